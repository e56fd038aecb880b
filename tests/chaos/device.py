"""A device that talks through anything: the client's rules of docs/protocol.md, and no others.

It says its last number when it connects, moves its cursor by the numbers alone, keeps what is not
acknowledged and sends it again under the same cid, and decides by the range of the close code.
What it does between is drawn from its own random numbers.
"""

from __future__ import annotations

import asyncio
import json
import random
import time
from collections import Counter
from collections.abc import Mapping
from contextlib import suppress
from typing import Any

from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidHandshake, InvalidMessage

from tests.chaos.checker import Ack, Entry, Live, Page, Record, Visit
from tests.server_process import Member

RESEND_SECONDS = 10.0
SILENCE_SECONDS = 40.0
GOOD_SECONDS = 60.0
OPEN_SECONDS = 10.0
JUMP_SECONDS = 1.0
DRAINED = 4000
STAY_AWAY = range(4400, 4500)
_TEXTS = ("Namaste", "नमस्ते पण्डित जी", "Shall we buy the flowers the evening before?", "ठीक छ।")
# What a device does next, with its weight.
DEEDS: Mapping[str, float] = {
    "say": 80.0,
    "burst": 3.0,
    "repeat": 2.0,
    "typing": 4.0,
    "read": 5.0,
    "drop": 2.5,
    "stall": 1.0,
    "close": 1.0,
    "sleep": 0.7,
}


class Device:
    """One device of a member of a room.

    Parameters
    ----------
    name
        Told in faults; the cids begin with it.
    member, room_id
        Who talks, and where.
    ports
        Of the processes that may be connected to.
    seed
        Decides all that it does.
    rate
        Deeds a second while connected.
    max_backoff_seconds
        Longest wait before another try.
    longest_sleep_seconds
        How long it may be away by itself.
    deeds
        What it does, with weights.
    """

    def __init__(
        self,
        name: str,
        member: Member,
        room_id: str,
        ports: list[int],
        *,
        seed: str,
        rate: float,
        max_backoff_seconds: float = 30.0,
        longest_sleep_seconds: float = 8.0,
        deeds: Mapping[str, float] = DEEDS,
    ) -> None:
        self.name = name
        self.member = member
        self.room_id = room_id
        self.record = Record(name, member.user_id)
        self.counts: Counter[str] = Counter()
        self.closes: Counter[int] = Counter()
        self.outages: list[float] = []
        self.faults: list[str] = []
        self.cursor: int | None = None
        self.is_quiet = rate == 0
        self.latencies: list[float] = []
        self._ports = ports
        self._random = random.Random(seed)
        self._rate = rate
        self._max_backoff = max_backoff_seconds
        self._longest_sleep = longest_sleep_seconds
        self._deeds = deeds
        self._floor = 1
        self._epoch = ""
        self._have: dict[int, Entry] = {}
        self._pending: dict[str, float] = {}
        self._said_at: dict[str, float] = {}
        self._last_cid = ""
        self._connection: ClientConnection | None = None
        self._visit: Visit | None = None
        self._asked_at = 0.0
        self._has_asked = False
        self._jumped_at: float | None = None
        self._highest = 0
        self._lost_at: float | None = None
        self._is_over = False
        self._leaving_by_itself = False
        self._away_seconds = 0.0
        self._is_wanted = asyncio.Event()

    # -- what the test asks ---------------------------------------------------------------------

    @property
    def is_settled(self) -> bool:
        """Whether nothing that it said waits for an answer."""
        return not self._pending

    @property
    def is_connected(self) -> bool:
        return self._visit is not None

    @property
    def lacks_older(self) -> bool:
        """Whether it has a list that does not begin with the first message."""
        return self._floor > 1

    def finish(self) -> Record:
        """The record with what is shown in the end."""
        cursor = self.cursor or 0
        self.record.shown = [
            self._have[seq] for seq in range(self._floor, cursor + 1) if seq in self._have
        ]
        self.record.pending = list(self._pending)
        return self.record

    def drop(self) -> None:
        """Lose the connection without a word."""
        if self._connection is not None:
            self.counts["drops"] += 1
            self._connection.transport.abort()

    def hush(self) -> None:
        """Say nothing more, and be there: whoever sleeps comes back."""
        self.is_quiet = True
        self._is_wanted.set()

    def end(self) -> None:
        """Go for good."""
        self._is_over = True
        if self._connection is not None:
            self._connection.transport.abort()

    # -- a life ---------------------------------------------------------------------------------

    async def live(self) -> None:
        """Be connected, to whichever process, until the end."""
        failures = 0
        port = self._random.choice(self._ports)
        while not self._is_over:
            began = time.monotonic()
            code = await self._visit_once(port)
            if self._is_over:
                return
            port = self._next_port(port)
            if code is None:
                # A balancer in front would have asked the other process at once.
                failures += 1
                self._lost_at = self._lost_at or began
                if failures % len(self._ports) == 0:
                    await asyncio.sleep(self._backoff(failures // len(self._ports)))
                continue
            self.closes[code] += 1
            if code in STAY_AWAY:
                self.faults.append(f"{self.name}: closed with {code}")
                return
            failures, was_good = 0, time.monotonic() - began > GOOD_SECONDS
            if self._leaving_by_itself:
                self._leaving_by_itself = False
                with suppress(TimeoutError):
                    async with asyncio.timeout(self._away_seconds):
                        await self._is_wanted.wait()
            else:
                self._lost_at = self._lost_at or time.monotonic()
                if code != DRAINED:
                    await asyncio.sleep(self._backoff(0 if was_good else 1))

    def _next_port(self, port: int) -> int:
        others = [other for other in self._ports if other != port] or [port]
        return port if self._random.random() < 0.2 else self._random.choice(others)

    def _backoff(self, tries: int) -> float:
        return self._random.uniform(0, min(self._max_backoff, 0.5 * 2**tries))

    async def _visit_once(self, port: int) -> int | None:
        """One connection; the code with which it ended, or None when there was none."""
        query = "" if self.cursor is None else f"?after={self.cursor}&epoch={self._epoch}"
        url = f"ws://127.0.0.1:{port}/ws/chat/{self.room_id}/{query}"
        headers = {"Authorization": f"Bearer {self.member.token}"}
        try:
            connection = await connect(
                url, additional_headers=headers, proxy=None, compression=None,
                ping_interval=None, open_timeout=OPEN_SECONDS, close_timeout=1, max_queue=None,
            )  # fmt: skip
        except (OSError, InvalidHandshake, InvalidMessage, TimeoutError, EOFError):
            self.counts["refused"] += 1
            return None
        self._connection = connection
        self._has_asked, self._jumped_at = False, None
        visit = Visit(self.cursor, port)
        talking: asyncio.Task[None] | None = None
        try:
            while (hello := await self._receive(connection))["type"] != "hello":
                self._take_error(hello)
            if self._lost_at is not None:
                self.outages.append(time.monotonic() - self._lost_at)
                self._lost_at = None
            self.counts["visits"] += 1
            visit.head, self._epoch = hello["room"]["head"], hello["room"]["epoch"]
            self.record.visits.append(visit)
            self._visit = visit
            await self._resend(connection, visit)
            talking = asyncio.create_task(self._talk(connection, visit))
            while True:
                self._take(await self._receive(connection), visit)
        except ConnectionClosed as error:
            visit.closed_with = error.rcvd.code if error.rcvd else 1006
        except TimeoutError:
            self.counts["silences"] += 1
            visit.closed_with = 1006
        finally:
            self._visit = self._connection = None
            connection.transport.abort()
            if talking is not None:
                talking.cancel()
                await asyncio.gather(talking, return_exceptions=True)
        return visit.closed_with

    @staticmethod
    async def _receive(connection: ClientConnection) -> dict[str, Any]:
        async with asyncio.timeout(SILENCE_SECONDS):
            decoded: dict[str, Any] = json.loads(await connection.recv())
        return decoded

    # -- listening ------------------------------------------------------------------------------

    def _take(self, frame: dict[str, Any], visit: Visit) -> None:
        kind = frame["type"]
        if kind == "message":
            visit.seen.append(Live(frame["seq"]))
            self._keep(_entry(frame))
            self._follow()
        elif kind == "history":
            self._take_page(frame, visit)
        elif kind == "ack":
            self._take_ack(frame, visit)
        elif kind == "error":
            self._take_error(frame)
        elif kind == "reconnect":
            self.counts["told to reconnect"] += 1

    def _take_page(self, frame: dict[str, Any], visit: Visit) -> None:
        entries = [_entry(row) for row in frame["messages"]]
        seqs = tuple(entry.seq for entry in entries)
        visit.seen.append(Page(seqs, frame["to"], frame["gap"], self._has_asked))
        is_older = bool(seqs) and self.cursor is not None and seqs[-1] < self._floor
        if frame["gap"] or self.cursor is None:
            self.counts["gaps"] += bool(frame["gap"])
            self._floor = max(1, frame["from"])
            self._have = {seq: each for seq, each in self._have.items() if seq >= self._floor}
            self.cursor = frame["to"]
        for entry in entries:
            self._keep(entry)
        if is_older:
            while self._floor - 1 in self._have:
                self._floor -= 1
        else:
            self.cursor = max(self.cursor or 0, frame["to"])
        self._asked_at = 0.0
        self._follow()

    def _take_ack(self, frame: dict[str, Any], visit: Visit) -> None:
        cid = frame["cid"]
        visit.seen.append(Ack(cid, frame["seq"], frame["id"], frame["dup"]))
        self.counts["acks"] += 1
        self.counts["dup acks"] += bool(frame["dup"])
        if cid not in self.record.said:
            self.faults.append(f"{self.name}: ack of {cid}, which it has not said")
            return
        if self._pending.pop(cid, None) is not None:
            self.latencies.append(time.monotonic() - self._said_at.pop(cid))
        content = self.record.said[cid]
        self._keep(Entry(frame["seq"], frame["id"], self.member.user_id, cid, content))
        self._follow()

    def _take_error(self, frame: dict[str, Any]) -> None:
        self.counts[f"error {frame.get('code')}"] += 1
        if frame["type"] != "error":
            self.faults.append(f"{self.name}: {frame} before hello")
        elif frame["code"] in ("storage_unavailable", "overloaded", "rate_limited"):
            if (cid := frame.get("cid")) in self._pending:
                # Again in a second, by the look at what has waited too long.
                self._pending[cid] = time.monotonic() - RESEND_SECONDS + 1.0
        else:
            self.faults.append(f"{self.name}: {frame}")

    def _keep(self, entry: Entry) -> None:
        self._highest = max(self._highest, entry.seq)
        known = self._have.setdefault(entry.seq, entry)
        if known != entry:
            self.faults.append(f"{self.name}: {entry} where it had {known}")

    def _follow(self) -> None:
        if self.cursor is None:
            return
        while self.cursor + 1 in self._have:
            self.cursor += 1
        if self._highest <= self.cursor:
            self._jumped_at = None
        elif self._jumped_at is None:
            self._jumped_at = time.monotonic()

    # -- talking --------------------------------------------------------------------------------

    async def _talk(self, connection: ClientConnection, visit: Visit) -> None:
        deeds, weights = list(self._deeds), list(self._deeds.values())
        with suppress(ConnectionClosed):
            while True:
                if self.is_quiet:
                    await asyncio.sleep(0.2)
                else:
                    await asyncio.sleep(self._random.expovariate(self._rate))
                    await self._do(self._random.choices(deeds, weights)[0], connection, visit)
                await self._look_after(connection, visit)

    async def _do(self, deed: str, connection: ClientConnection, visit: Visit) -> None:
        if self.is_quiet:
            return
        draw = self._random
        if deed == "say":
            await self._say(connection, visit)
        elif deed == "burst":
            for _ in range(draw.randrange(3, 12)):
                await self._say(connection, visit)
        elif deed == "repeat" and self._last_cid:
            await self._send_message(self._last_cid, connection, visit)
        elif deed == "typing":
            await connection.send(json.dumps({"type": "typing", "on": True}))
        elif deed == "read" and self.cursor:
            await connection.send(json.dumps({"type": "read", "seq": self.cursor}))
        elif deed in ("drop", "close", "stall", "sleep"):
            self._leaving_by_itself = True
            self._away_seconds = draw.uniform(0, 0.5)
            self.counts[f"{deed}s"] += 1
            if deed == "close":
                await connection.close()
                return
            if deed == "sleep":
                self._away_seconds = draw.uniform(0.5, self._longest_sleep)
            elif deed == "stall":
                connection.transport.pause_reading()
                await asyncio.sleep(draw.uniform(0.5, 3.0))
            connection.transport.abort()

    async def _say(self, connection: ClientConnection, visit: Visit) -> None:
        self._last_cid = cid = f"{self.name}-{len(self.record.said)}"
        self.record.said[cid] = f"{self._random.choice(_TEXTS)} {cid}"
        self._said_at[cid] = time.monotonic()
        self.counts["said"] += 1
        await self._send_message(cid, connection, visit)

    async def _send_message(self, cid: str, connection: ClientConnection, visit: Visit) -> None:
        self.counts["sends"] += 1
        if cid in self._said_at:
            self._pending[cid] = time.monotonic()
        visit.sent.add(cid)
        frame = {"type": "message", "cid": cid, "kind": "TEXT", "content": self.record.said[cid]}
        await connection.send(json.dumps(frame, ensure_ascii=False))

    async def _resend(self, connection: ClientConnection, visit: Visit) -> None:
        for cid in tuple(self._pending):
            self.counts["resends"] += 1
            await self._send_message(cid, connection, visit)

    async def _look_after(self, connection: ClientConnection, visit: Visit) -> None:
        """Ask for what is missing, say again what was not acknowledged."""
        now = time.monotonic()
        oldest = min(self._pending.values(), default=now)
        if now - oldest > RESEND_SECONDS:
            await self._resend(connection, visit)
        is_open = self.cursor is not None and self.cursor >= visit.head
        if not is_open or now - self._asked_at < JUMP_SECONDS:
            return
        if self._jumped_at is not None and now - self._jumped_at > JUMP_SECONDS:
            await self._ask(connection, {"type": "sync", "since": self.cursor, "limit": 200})
        elif self._floor > 1:
            await self._ask(connection, {"type": "history", "before": self._floor, "limit": 50})

    async def _ask(self, connection: ClientConnection, question: dict[str, Any]) -> None:
        self.counts["syncs" if question["type"] == "sync" else "pages back"] += 1
        self._has_asked, self._asked_at = True, time.monotonic()
        await connection.send(json.dumps(question))


def _entry(frame: dict[str, Any]) -> Entry:
    return Entry(frame["seq"], frame["id"], frame["sender"]["id"], frame["cid"], frame["content"])
