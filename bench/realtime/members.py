"""What all scenarios share: sizes, the server under load, sockets that mind their numbers."""

from __future__ import annotations

import asyncio
import re
import secrets
import sys
import time
from array import array
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Final

from tqdm import tqdm

from bench.realtime.client import Connection, Poller
from bench.realtime.contenders import Contender, Process
from bench.realtime.dialects import Event, Kind
from bench.realtime.disk import DiskWatch, milliseconds
from bench.realtime.processes import cpu_seconds, resident_bytes
from bench.realtime.town import Seat, Town
from bench.realtime.wire import request

Figures = dict[str, float]
TEXT: Final = "Namaste Pandit-ji, shall we buy the flowers the evening before?"
_OPENING: Final = 500
_READY_SECONDS: Final = 120.0
_MOST_WAIT_SECONDS: Final = 0.005
_LEAST_WAIT_SECONDS: Final = 0.001
"""uvloop's shortest real wait; of shorter ones it makes none, and the client would take a whole
core from those that are measured. What comes due meanwhile is sent together, its wait counted."""
_TRY_LATER: Final = 1013
_COMMANDS: Final = re.compile(rb'^\w*mongo_command_seconds_count\{command="(\w+)"\} (\S+)', re.M)


@dataclass(frozen=True, slots=True, kw_only=True)
class Sizes:
    """How much of everything; times in seconds, rates a second.

    ``idle``: sockets held for ``idle_hold``. ``crowd``: sockets of the one room, with ``window``
    messages on their way. ``seconds``: of each measured phase. ``pairs``: who chat. ``storm``:
    sockets that come back. ``slow``: readers that stop, who are offered ``slow_mib`` together.
    ``rollers``: people who talk through restarts.
    """

    idle: int
    idle_hold: float
    crowd: int
    window: int
    seconds: float
    pairs: int
    storm: int
    slow: int
    slow_mib: int
    slow_rate: float
    rollers: int = 0
    roll_rate: float = 0.0
    roll_window: float = 5.0


@dataclass(slots=True)
class Target:
    """A running server with those who may come. Made inside the running loop."""

    contender: Contender
    process: Process
    town: Town
    poller: Poller = field(init=False)
    tag: str = field(init=False)

    def __post_init__(self) -> None:
        """Give the run a poller and an own mark for its message ids."""
        self.poller = Poller(self.contender.dialect)
        self.tag = secrets.token_hex(4)

    def opening(self, seat: Seat, after: int) -> tuple[bytes, bytes]:
        """The request and the first payload that open a seat in its room."""
        dialect, token = self.contender.dialect, self.contender.token(seat)
        path = dialect.path(seat.room_id, after)
        return (
            request(path, self.process.port, dialect.header_token(token)),
            dialect.first(seat.room_id, token, after),
        )

    def notices_opening(self, seat: Seat) -> tuple[bytes, bytes]:
        """The same for the person's notifications; only the product has them."""
        token = self.contender.token(seat)
        return request("/ws/notifications/?after=0", self.process.port, token), b""

    def cpu(self) -> float:
        """Processor seconds of the server so far."""
        return cpu_seconds(self.process.pids)

    def memory(self) -> int:
        """Its resident bytes."""
        return resident_bytes(self.process.pids)

    def watch_disk(self) -> DiskWatch:
        """Watch the disk on which its database is, while a context lasts."""
        return DiskWatch(self.process.log.parent)

    async def commands(self) -> Counter[str] | None:
        """Database commands so far by name, as the product counts them; None for the peers."""
        if not self.contender.is_ours:
            return None
        reader, writer = await asyncio.open_connection("127.0.0.1", self.process.port)
        writer.write(b"GET /metrics HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n")
        async with asyncio.timeout(_READY_SECONDS):
            body = await reader.read()
        writer.close()
        return Counter(
            {name.decode(): int(float(count)) for name, count in _COMMANDS.findall(body)}
        )


class Faults(Counter[str]):
    """What must not happen, by kind."""

    def told(self) -> int:
        """How many there are; of which kinds is written beside the progress."""
        for kind, count in self.items():
            tqdm.write(f"  fault: {kind} ({count})", file=sys.stderr)
        return self.total()


class Member(Connection):
    """A socket that minds its numbers: one after the other, none left out, none twice."""

    __slots__ = ("faults",)

    def __init__(self, opening: tuple[bytes, bytes], faults: Faults, after: int = 0) -> None:
        super().__init__(*opening, after)
        self.faults = faults

    def take(self, event: Event) -> None:
        """Follow the numbers."""
        kind = event.kind
        if kind is Kind.MESSAGE:
            if event.seq != self.cursor + 1:
                self.faults["gap" if event.seq > self.cursor else "repeat"] += 1
            self.cursor = event.seq
            self.heard(event)
        elif kind is Kind.HISTORY:
            self.caught_up(event)
        elif kind is Kind.ACK:
            self.acked(event)
        elif kind is Kind.ERROR:
            self.faults[f"error {event.text}"] += 1

    def caught_up(self, event: Event) -> None:
        """History has come: without a hole, and not before what was seen."""
        if event.seqs and event.seqs != tuple(range(event.seqs[0], event.seqs[-1] + 1)):
            self.faults["hole in history"] += 1
        if event.seq < self.cursor:
            self.faults["history of the past"] += 1
        self.cursor = event.seq

    def heard(self, event: Event) -> None:
        """A message has come; for subclasses."""

    def acked(self, event: Event) -> None:
        """One's own message is stored; for subclasses."""

    def lost(self) -> None:
        """Count what the wire found wrong."""
        if self.fault and not self.was_busy:
            self.faults[self.fault] += 1


async def open_all(
    makers: Sequence[Callable[[], Connection]],
    target: Target,
    *,
    pollers: Sequence[Poller] = (),
    receive_bytes: int = 0,
    refusals: Counter[str] | None = None,
) -> list[Connection]:
    """Open many sockets, some hundreds at a time, and wait until each is up to date.

    Who is told that the server is busy comes again a second later, as clients are asked to.
    ``pollers`` says who reads from each; without it the target's does.

    Raises
    ------
    RuntimeError
        If one is refused for another reason, or not served in time.
    """
    line = asyncio.Semaphore(_OPENING)

    async def one(place: int) -> Connection:
        async with line, asyncio.timeout(_READY_SECONDS):
            while True:
                connection = makers[place]()
                poller = pollers[place] if pollers else target.poller
                await poller.open(
                    connection, target.process.port, place, receive_bytes=receive_bytes
                )
                code = await connection.ready
                if not code:
                    return connection
                if not connection.was_busy and code != _TRY_LATER:
                    raise RuntimeError(f"refused: {connection.fault or code}")
                if refusals is not None:
                    refusals["busy"] += 1
                await asyncio.sleep(1.0)

    return list(await asyncio.gather(*(one(place) for place in range(len(makers)))))


def close_all(connections: Sequence[Connection]) -> None:
    """Vanish with all of them."""
    for connection in connections:
        connection.drop()


async def by_the_clock(rate: float, seconds: float, act: Callable[[float], object]) -> None:
    """Act ``rate`` times a second; each time with the instant at which it was due.

    When the client is late the wait counts as latency: a stall is not hidden by sending less.
    """
    began = time.perf_counter()
    rate = max(rate, 1.0)
    total = max(1, int(rate * seconds))
    done = 0
    while done < total:
        now = time.perf_counter()
        while done < total and began + done / rate <= now:
            act(began + done / rate)
            done += 1
        wait = began + done / rate - time.perf_counter()
        await asyncio.sleep(min(_MOST_WAIT_SECONDS, max(_LEAST_WAIT_SECONDS, wait)))


async def until(is_done: Callable[[], bool], faults: Faults, seconds: float = 60.0) -> None:
    """Wait until something holds; when it does not in time, that is a fault."""
    end = time.perf_counter() + seconds
    while not is_done():
        if time.perf_counter() > end:
            faults["not delivered in time"] += 1
            return
        await asyncio.sleep(0.02)


def percentiles(name: str, latencies: array[float]) -> Figures:
    """Median and 99th percentile of seconds, in milliseconds."""
    ordered = sorted(latencies)
    return {
        f"{name}_p50_ms": milliseconds(ordered, 0.5),
        f"{name}_p99_ms": milliseconds(ordered, 0.99),
    }
