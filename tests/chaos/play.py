"""Two processes, a database, a Redis, and people who talk while all but the database breaks.

One seed decides what breaks when and what everybody does; the machine decides the rest. In the end
everything is whole again and it is asked: does everybody who stayed get what he lacks without
coming back, and does everybody who comes back have exactly what the database has?
"""

from __future__ import annotations

import asyncio
import random
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

from server.settings import DatabaseSettings
from server.store.client import Store
from server.store.embedded import EmbeddedServer
from tests.chaos.checker import Ack, Entry, Live, Page, Record, check_room
from tests.chaos.device import Device
from tests.redis_process import RedisProcess
from tests.server_process import Room, ServerProcess, fresh_store, make_rooms, stored_messages

PROCESSES = 2
SETTLE_SECONDS = 30.0
LAST_WORDS_SECONDS = 2.0
RESUME_SECONDS = 60.0
_SETTINGS = {
    "REALTIME__MESSAGES_PER_SECOND": "1000",
    "REALTIME__MESSAGE_BURST": "1000",
    "REALTIME__CONNECTIONS_PER_USER": "100",
    "REALTIME__CONNECTS_PER_SECOND": "1000",
    "REALTIME__CONNECT_BURST": "1000",
    "REALTIME__RECONNECT_WINDOW_SECONDS": "1.0",
}
# One of each is dealt before any comes again, so that a short run has all of them.
_DECK = (
    "kill 0", "kill 1", "stop 0", "stop 1", "freeze 0", "freeze 1", "kill both",
    "kill redis", "kill redis", "freeze redis", "drop all", "drop all",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Fault:
    """Something breaks ``at`` seconds after the start and ``lasts`` so long."""

    at: float
    what: str
    lasts: float


def plan_faults(seed: int, seconds: float) -> Iterator[Fault]:
    """What breaks when; the same for the same seed."""
    draw = random.Random(f"{seed} faults")
    at, deck = 1.0, list[str]()
    while at < seconds:
        if not deck:
            deck = draw.sample(_DECK, len(_DECK))
        what = deck.pop()
        # Redis is away long enough for a publication to be lost, a frozen process briefly enough
        # that its clients do not give it up.
        longest = 6.0 if "redis" in what else 2.0
        yield Fault(at, what, draw.uniform(0.2, longest))
        at += draw.uniform(1.0, 3.5)


@dataclass(slots=True)
class Outcome:
    """What came of a run: what is wrong, by room, and what happened."""

    seed: int
    seconds: float
    faults: dict[str, list[str]] = field(default_factory=dict)
    histories: dict[str, str] = field(default_factory=dict)
    counts: Counter[str] = field(default_factory=Counter)
    closes: Counter[int] = field(default_factory=Counter)
    broken: Counter[str] = field(default_factory=Counter)
    longest_outage: float = 0.0
    settled_seconds: float = 0.0
    ack_p50_ms: float = 0.0
    ack_p99_ms: float = 0.0
    stored: int = 0
    swapped: int = 0
    logged: list[str] = field(default_factory=list)

    def summary(self) -> str:
        """The figures, a line each."""
        broken = ", ".join(f"{what} {times}x" for what, times in sorted(self.broken.items()))
        counts = ", ".join(f"{what} {times}" for what, times in sorted(self.counts.items()))
        closes = ", ".join(f"{code} {times}x" for code, times in sorted(self.closes.items()))
        return "\n".join(
            (
                f"seed {self.seed}, {self.seconds:.0f} s",
                f"stored   {self.stored} messages",
                f"broken   {broken}",
                f"clients  {counts}",
                f"closes   {closes}",
                f"acks     median {self.ack_p50_ms:.0f} ms, 99 % {self.ack_p99_ms:.0f} ms, "
                "what was lost and said again included",
                f"outages  longest {self.longest_outage:.1f} s",
                f"settled  {self.settled_seconds:.1f} s after Redis was back, without reconnecting",
                f"order    {self.swapped} messages stored before an earlier one of the same device",
                f"errors   {len(self.logged)} lines in the servers' logs",
            )
        )

    def complaint(self) -> str:
        """All that is wrong, with the history of each room concerned."""
        parts = [f"seed {self.seed} over {self.seconds:.0f} s"]
        for room, faults in self.faults.items():
            parts += [f"\n{room}", *(f"  {fault}" for fault in faults[:20])]
            if len(faults) > 20:
                parts.append(f"  and {len(faults) - 20} more")
            if room in self.histories:
                parts.append(self.histories[room])
        return "\n".join([*parts, "", self.summary(), *self.logged[:5]])


class Play:
    """One run."""

    def __init__(
        self,
        path: Path,
        store: Store,
        rooms: list[Room],
        servers: list[ServerProcess],
        redis: RedisProcess,
        outcome: Outcome,
        tell: Callable[[str], None],
    ) -> None:
        self.path = path
        self.store = store
        self.rooms = rooms
        self.servers = servers
        self.redis = redis
        self.outcome = outcome
        self.tell = tell
        self._one_at_a_time = asyncio.Lock()
        self._redis_in_turn = asyncio.Lock()
        self._began = time.monotonic()
        ports = [server.port for server in servers]
        draw = random.Random(f"{outcome.seed} rates")
        longest_sleep = max(8.0, outcome.seconds / 6)
        self.devices = [
            [
                Device(
                    f"r{place}{side}{number}", member, room.room_id, ports,
                    seed=f"{outcome.seed} {place} {side} {number}",
                    rate=draw.uniform(1.0, 5.0),
                    max_backoff_seconds=4.0,
                    longest_sleep_seconds=longest_sleep,
                )
                for side, member in (("c", room.customer), ("p", room.pandit))
                for number in range(draw.choice((1, 2)))
            ]
            for place, room in enumerate(rooms)
        ]  # fmt: skip

    @property
    def everybody(self) -> list[Device]:
        return [device for devices in self.devices for device in devices]

    async def run(self) -> None:
        """Talk while things break, then look at what came of it."""
        async with asyncio.TaskGroup() as tasks:
            for device in self.everybody:
                tasks.create_task(device.live())
            await self._break_things()
            await self._talk_without_redis()
            stayed = await self._wait_for_those_who_stayed()
            latecomers = await self._resume(tasks)
            for device in (*self.everybody, *latecomers):
                device.end()
        for place, room in enumerate(self.rooms):
            await self._judge(room, [*self.devices[place], latecomers[place]], stayed[place])
        self._count()

    # -- breaking -------------------------------------------------------------------------------

    async def _break_things(self) -> None:
        self._began = time.monotonic()
        async with asyncio.TaskGroup() as tasks:
            for fault in plan_faults(self.outcome.seed, self.outcome.seconds):
                await asyncio.sleep(self._began + fault.at - time.monotonic())
                self.outcome.broken[fault.what] += 1
                said = sum(device.counts["said"] for device in self.everybody)
                self.tell(f"{fault.at:6.1f} s  {fault.what} for {fault.lasts:.1f} s, {said} said")
                tasks.create_task(self._break(fault))
            await asyncio.sleep(self._began + self.outcome.seconds - time.monotonic())

    async def _break(self, fault: Fault) -> None:
        kind, _, target = fault.what.partition(" ")
        if fault.what == "drop all":
            for device in self.everybody:
                device.drop()
        elif target == "redis":
            async with self._redis_in_turn:
                await self._break_redis(kind, fault.lasts)
        elif target == "both":
            async with self._one_at_a_time:
                await asyncio.gather(
                    *(self._break_server(kind, place, fault.lasts) for place in range(PROCESSES))
                )
        else:
            # A process that is on its way up is as good as gone: with both of them gone all the
            # time nothing would be said.
            async with self._one_at_a_time:
                await self._break_server(kind, int(target), fault.lasts)

    async def _break_redis(self, kind: str, seconds: float) -> None:
        if kind == "freeze":
            self.redis.freeze()
            await asyncio.sleep(seconds)
            self.redis.thaw()
        else:
            await self.redis.kill()
            await asyncio.sleep(seconds)
            await self.redis.start()

    async def _break_server(self, kind: str, place: int, seconds: float) -> None:
        server = self.servers[place]
        if kind == "freeze":
            server.freeze()
            await asyncio.sleep(seconds)
            server.thaw()
            return
        if kind == "kill":
            await server.kill()
        elif (status := await server.stop()) != 0:
            self._blame("processes", f"{server.name} ended with {status} after SIGTERM")
        await asyncio.sleep(seconds / 4)
        await server.start()

    async def _talk_without_redis(self) -> None:
        """Say something while Redis is away, and nothing when it is back: no later message shows
        that one is missing.
        """
        self.tell(f"{self.outcome.seconds:6.1f} s  the last words, without Redis")
        await self.redis.kill()
        await asyncio.sleep(LAST_WORDS_SECONDS)
        for device in self.everybody:
            device.hush()
        await until(lambda: all(each.is_settled for each in self.everybody), SETTLE_SECONDS)
        await self.redis.start()

    # -- the end --------------------------------------------------------------------------------

    async def _wait_for_those_who_stayed(self) -> list[list[str]]:
        """Who stays connected gets what it lacks by itself: nobody must come back for it."""
        began = time.monotonic()
        while True:
            late = [await self._late(place) for place in range(len(self.rooms))]
            self.outcome.settled_seconds = time.monotonic() - began
            if not any(late) or self.outcome.settled_seconds > SETTLE_SECONDS:
                return late
            await asyncio.sleep(0.2)

    async def _late(self, place: int) -> list[str]:
        head = await self._head(place)
        return [
            f"{device.name} stays at {device.cursor} of {head} without reconnecting"
            f" ({'' if device.is_connected else 'not '}connected,"
            f" {len(device.finish().pending)} not acknowledged)"
            for device in self.devices[place]
            if device.cursor != head or not device.is_settled
        ]

    async def _head(self, place: int) -> int:
        rows = await self.store.collection("messages").find(
            {"room_id": self.rooms[place].room_id}, sort=(("sequence", -1),), limit=1,
            fields=("sequence",),
        )  # fmt: skip
        return int(rows[0]["sequence"]) if rows else 0

    async def _resume(self, tasks: asyncio.TaskGroup) -> list[Device]:
        """Everybody drops and comes back; somebody new in each room reads it from the beginning."""
        ports = [server.port for server in self.servers]
        latecomers = []
        for place, room in enumerate(self.rooms):
            seed = f"{self.outcome.seed} {place} late"
            late = Device(f"r{place}late", room.customer, room.room_id, ports, seed=seed, rate=0)
            latecomers.append(late)
            tasks.create_task(late.live())
        for device in self.everybody:
            device.drop()
        await asyncio.sleep(0)
        heads = [await self._head(place) for place in range(len(self.rooms))]

        def is_done() -> bool:
            return all(
                device.is_connected
                and device.is_settled
                and device.cursor == heads[place]
                and not device.lacks_older
                for place, late in enumerate(latecomers)
                for device in (*self.devices[place], late)
            )

        await until(is_done, RESUME_SECONDS)
        return latecomers

    # -- judging --------------------------------------------------------------------------------

    def _blame(self, whom: str, fault: str) -> None:
        self.outcome.faults.setdefault(whom, []).append(fault)

    async def _judge(self, room: Room, devices: list[Device], late: list[str]) -> None:
        stored = await stored_entries(self.store, room.room_id)
        records = [device.finish() for device in devices]
        found = [
            *late,
            *(fault for device in devices for fault in device.faults),
            *check_room(stored, records),
        ]
        for fault in found:
            self._blame(room.room_id, fault)
        if found:
            self.outcome.histories[room.room_id] = _told(stored, records)
        self.outcome.stored += len(stored)
        self.outcome.swapped += _count_swapped(stored)

    def _count(self) -> None:
        outcome = self.outcome
        latencies = sorted(each for device in self.everybody for each in device.latencies)
        if latencies:
            outcome.ack_p50_ms = latencies[len(latencies) // 2] * 1e3
            outcome.ack_p99_ms = latencies[int(len(latencies) * 0.99)] * 1e3
        for device in self.everybody:
            outcome.counts.update(device.counts)
            outcome.closes.update(device.closes)
            outcome.longest_outage = max(outcome.longest_outage, *device.outages, 0.0)
        outcome.logged = [line for server in self.servers for line in server.errors()]


async def stored_entries(store: Store, room_id: str) -> list[Entry]:
    """All messages of a room as the database has them, by number."""
    return [
        Entry(row["sequence"], row["message_id"], row["sender_id"], row["cid"], row["content"])
        for row in await stored_messages(store, room_id)
    ]


async def until(is_done: Callable[[], bool], seconds: float) -> None:
    """Return when it is done, or when the time is over; the judge then says what is missing."""
    end = time.monotonic() + seconds
    while not is_done():
        if time.monotonic() > end:
            return
        await asyncio.sleep(0.1)


def _count_swapped(stored: list[Entry]) -> int:
    """How many messages stand before one that the same device has said earlier."""
    newest: dict[str, int] = {}
    swapped = 0
    for entry in stored:
        device, _, number = entry.cid.rpartition("-")
        if int(number) < newest.get(device, -1):
            swapped += 1
        newest[device] = max(int(number), newest.get(device, -1))
    return swapped


def _told(stored: list[Entry], records: list[Record], newest: int = 40) -> str:
    """The end of a room's history, and how each device has lived through it."""
    lines = [f"  the last of {len(stored)} in the database:"]
    lines += [f"    {entry.seq} {entry.cid} {entry.id}" for entry in stored[-newest:]]
    for record in records:
        lines.append(f"  {record.name}, {len(record.visits)} connections, the last ones:")
        for number, visit in list(enumerate(record.visits))[-6:]:
            events = " ".join(_short(seen) for seen in visit.seen[:8])
            if len(visit.seen) > 16:
                events += " ..."
            events += " " + " ".join(_short(seen) for seen in visit.seen[8:][-8:])
            lines.append(
                f"    {number}: port {visit.port} after={visit.after} head={visit.head}"
                f" {events} closed {visit.closed_with}"
            )
    return "\n".join(lines)


def _short(seen: Ack | Page | Live) -> str:
    if isinstance(seen, Live):
        return str(seen.seq)
    if isinstance(seen, Ack):
        return f"ack {seen.cid}={seen.seq}{'d' if seen.is_duplicate else ''}"
    span = f"{seen.seqs[0]}-{seen.seqs[-1]}" if seen.seqs else "empty"
    return f"[{span}{' gap' if seen.gap else ''}{' asked' if seen.is_asked else ''}]"


@asynccontextmanager
async def _database(path: Path, uri: str | None) -> AsyncIterator[str]:
    if uri is not None:
        yield uri
        return
    embedded = EmbeddedServer(DatabaseSettings(embedded_path=str(path / "mongo")))
    await embedded.start()
    try:
        yield embedded.uri
    finally:
        await embedded.stop()


async def play(
    path: Path,
    *,
    seed: int,
    seconds: float,
    uri: str | None = None,
    room_count: int = 10,
    tell: Callable[[str], None] = lambda line: None,
) -> Outcome:
    """Run it in the folder ``path``, on the database at ``uri`` or an own one."""
    outcome = Outcome(seed, seconds)
    name = f"chaos_{seed}_{time.time_ns():x}"
    async with _database(path, uri) as address, fresh_store(address, name) as store:
        rooms = await make_rooms(store, room_count)
        redis = RedisProcess(path)
        settings = {
            **_SETTINGS,
            "DATABASE__URI": address,
            "DATABASE__NAME": name,
            "BUS__REDIS_URL": redis.url,
        }
        servers = [ServerProcess(path, f"server{place}", settings) for place in range(PROCESSES)]
        await redis.start()
        try:
            await asyncio.gather(*(server.start() for server in servers))
            await Play(path, store, rooms, servers, redis, outcome, tell).run()
        finally:
            await asyncio.gather(*(server.kill() for server in servers), redis.kill())
    return outcome
