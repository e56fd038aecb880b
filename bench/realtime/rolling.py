"""Two processes behind one Redis are restarted in turn while people talk.

The clients do what docs/protocol.md asks of clients: number by number, resend what was not
acknowledged, come back with the number up to which they have everything. In the end the database is
asked: every acknowledged message once, and everybody has seen all of his room.
"""

from __future__ import annotations

import asyncio
import random
import secrets
import time
from array import array
from dataclasses import dataclass, field
from typing import Final

from bench.realtime.client import Connection, Poller
from bench.realtime.contenders import Contender, Surroundings, start
from bench.realtime.dialects import Event, Kind
from bench.realtime.members import TEXT, Faults, Figures, Sizes
from bench.realtime.town import SEEN, Seat, Town
from bench.realtime.wire import request
from server.store import messages
from server.store.client import Store

_MAX_ROWS: Final = 100_000


@dataclass(slots=True)
class _Run:
    contender: Contender
    poller: Poller
    ports: list[int]
    faults: Faults
    tag: str = field(default_factory=lambda: secrets.token_hex(4))
    sent: int = 0
    is_over: bool = False
    outages: array[float] = field(default_factory=lambda: array("d"))
    latencies: array[float] = field(default_factory=lambda: array("d"))


class _Visit(Connection):
    """One connection of a person."""

    __slots__ = ("person",)

    def __init__(self, opening: bytes, person: Person) -> None:
        super().__init__(opening)
        self.person = person

    def take(self, event: Event) -> None:
        """Hand everything on."""
        self.person.take(event)


class Person:
    """Somebody who talks through restarts."""

    def __init__(self, run: _Run, seat: Seat, place: int) -> None:
        self.run = run
        self.seat = seat
        self.place = place
        self.cursor = SEEN
        self.seen: set[int] = set()
        self.acks: dict[str, int] = {}
        self.pending: dict[str, tuple[bytes, float]] = {}
        self.visit: _Visit | None = None
        self._random = random.Random(place)

    def say(self, due: float) -> None:
        """Say something, now or when there is a connection again."""
        cid = f"{self.run.tag}r{self.run.sent}"
        self.run.sent += 1
        payload = self.run.contender.dialect.message(cid, TEXT)
        self.pending[cid] = (payload, due)
        if self.visit is not None:
            self.visit.send(payload)

    def take(self, event: Event) -> None:
        """Follow the numbers; the cursor stands before the first one that is missing."""
        if event.kind is Kind.ACK:
            waited = self.pending.pop(event.cid, None)
            if waited is not None:
                self.run.latencies.append(time.perf_counter() - waited[1])
            if self.acks.setdefault(event.cid, event.seq) != event.seq:
                self.run.faults["two numbers for one message"] += 1
            self._see(event.seq)
        elif event.kind is Kind.MESSAGE:
            if event.seq <= self.cursor:
                self.run.faults["twice"] += 1
            self._see(event.seq)
        elif event.kind is Kind.HISTORY:
            for seq in event.seqs:
                self._see(seq)
            self.cursor = max(self.cursor, event.seq)
        elif event.kind is Kind.ERROR and event.text not in ("storage_unavailable", "overloaded"):
            self.run.faults[f"error {event.text}"] += 1

    def _see(self, seq: int) -> None:
        if seq > self.cursor:
            self.seen.add(seq)
        while self.cursor + 1 in self.seen:
            self.cursor += 1
            self.seen.discard(self.cursor)

    async def live(self) -> None:
        """Be connected, to either process, until it is over."""
        tries, lost_at = self.place, 0.0
        while not self.run.is_over:
            port = self.run.ports[tries % len(self.run.ports)]
            dialect = self.run.contender.dialect
            opening = request(dialect.path(self.seat.room_id, self.cursor), port, self.seat.token)
            visit = await self._connect(opening, port)
            if visit is None:
                tries += 1
                await asyncio.sleep(self._random.uniform(0.05, 0.3))
                continue
            self.visit = visit
            if lost_at:
                self.run.outages.append(time.perf_counter() - lost_at)
            for payload, _ in tuple(self.pending.values()):
                visit.send(payload)
            await visit.closed
            self.visit, lost_at = None, time.perf_counter()
            tries += 1
            await asyncio.sleep(self._random.uniform(0.0, 0.2))

    async def _connect(self, opening: bytes, port: int) -> _Visit | None:
        visit = _Visit(opening, self)
        try:
            await self.run.poller.open(visit, port, self.place)
        except OSError:
            return None
        return None if await visit.ready else visit

    def leave(self) -> None:
        """Go for good."""
        if self.visit is not None:
            self.visit.drop()


async def rolling_restart(
    contender: Contender, around: Surroundings, town: Town, store: Store, sizes: Sizes
) -> Figures:
    """Restart both processes one after the other under load."""
    faults = Faults()
    extra = {
        "PANDITYATRA_BUS__REDIS_URL": around.redis_url,
        "PANDITYATRA_REALTIME__RECONNECT_WINDOW_SECONDS": str(sizes.roll_window),
    }
    processes = [await start(contender, around, extra) for _ in range(2)]
    try:
        run = _Run(contender, Poller(contender.dialect), [each.port for each in processes], faults)
        people = [
            Person(run, seat, place)
            for place, seat in enumerate(next(town.rollers)[: sizes.rollers])
        ]
        lives = [asyncio.create_task(person.live()) for person in people]
        talk = asyncio.create_task(_talk(people, sizes.roll_rate))
        await asyncio.sleep(sizes.seconds / 2)
        for place in range(len(processes)):
            await processes[place].stop()
            processes[place] = await start(contender, around, extra, processes[place].port)
            await asyncio.sleep(sizes.seconds / 2)
        talk.cancel()
        began = time.perf_counter()
        await _until_settled(people)
        settled = time.perf_counter() - began
        lost = await _count_lost(people, store, faults)
        run.is_over = True
        for person in people:
            person.leave()
        await asyncio.gather(*lives)
        run.poller.close()
    finally:
        for process in processes:
            await process.stop()
    ordered = sorted(run.latencies)
    return {
        "roll_acked": sum(len(person.acks) for person in people),
        "roll_lost": lost,
        "roll_unanswered": sum(len(person.pending) for person in people),
        "roll_settled_s": settled,
        "roll_outages": len(run.outages),
        "roll_longest_outage_s": max(run.outages, default=float("nan")),
        "roll_ack_p99_ms": ordered[int(len(ordered) * 0.99)] * 1e3 if ordered else float("nan"),
        "roll_faults": faults.told(),
    }


async def _talk(people: list[Person], rate: float) -> None:
    began, done = time.perf_counter(), 0
    while True:
        while began + done / rate <= time.perf_counter():
            people[done % len(people)].say(began + done / rate)
            done += 1
        await asyncio.sleep(0.005)


async def _until_settled(people: list[Person]) -> None:
    """Wait until all is acknowledged and those who share a room stand at the same number."""
    end = time.perf_counter() + 30
    while time.perf_counter() < end:
        heads: dict[str, set[int]] = {}
        for person in people:
            heads.setdefault(person.seat.room_id, set()).add(person.cursor)
        if not any(person.pending for person in people) and all(
            len(each) == 1 for each in heads.values()
        ):
            return
        await asyncio.sleep(0.1)


async def _count_lost(people: list[Person], store: Store, faults: Faults) -> int:
    """Acknowledged messages that are not in the database with the number that was told."""
    room_ids = sorted({person.seat.room_id for person in people})
    rows = await store.collection(messages.COLLECTION).find(
        {"room_id": {"$in": room_ids}}, limit=_MAX_ROWS, fields=("cid", "sequence", "room_id")
    )
    stored: dict[tuple[str, str], list[int]] = {}
    heads: dict[str, int] = {}
    for row in rows:
        stored.setdefault((row["room_id"], row["cid"]), []).append(row["sequence"])
        heads[row["room_id"]] = max(row["sequence"], heads.get(row["room_id"], 0))
    lost = 0
    for person in people:
        if person.cursor != heads[person.seat.room_id]:
            faults["not up to date"] += 1
        for cid, seq in person.acks.items():
            lost += stored.get((person.seat.room_id, cid)) != [seq]
    return lost
