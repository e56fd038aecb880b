"""What is done to a server, and what is measured meanwhile. Each scenario returns named figures.

Processor time and memory are the server's alone. A scenario fails loudly: a gap, a repeat or a
broken frame on any socket is a fault, and the faults stand in the table.
"""

from __future__ import annotations

import asyncio
import secrets
import sys
import time
from array import array
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Final

from tqdm import tqdm

from bench.realtime.contenders import Contender, Process
from bench.realtime.dialects import Event, Kind
from bench.realtime.processes import (
    cpu_seconds,
    resident_bytes,
    socket_buffer_bytes,
    until_quiet,
)
from bench.realtime.town import SEEN, Seat, Town
from bench.realtime.wire import Connection, Reader, open_one, request

Figures = dict[str, float]
_OPENING: Final = 500
_READY_SECONDS: Final = 120.0
_TICK_SECONDS: Final = 0.005
_TEXT: Final = "Namaste Pandit-ji, shall we buy the flowers the evening before?"
_TRY_LATER: Final = 1013
_MIB: Final = 1024 * 1024
_BIG: Final = 8000
"""Bytes of a message to slow readers, half of it in each language: the longest there is."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Sizes:
    """How much of everything; times in seconds."""

    idle: int
    idle_hold: float
    crowd: int
    window: int = 16
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
    """A running server with those who may come."""

    contender: Contender
    process: Process
    town: Town
    reader: Reader = field(init=False)
    tag: str = field(init=False)

    def __post_init__(self) -> None:
        """Give the run an own mark for its message ids."""
        self.reader = Reader(self.contender.dialect)
        self.tag = secrets.token_hex(4)

    def opening(self, seat: Seat, after: int, port: int = 0) -> tuple[bytes, bytes]:
        """The request and the first payload that open a seat."""
        dialect, token = self.contender.dialect, self.contender.token(seat)
        return (
            request(
                dialect.path(seat.room_id, after),
                port or self.process.port,
                dialect.header_token(token),
            ),
            dialect.first(seat.room_id, token, after),
        )

    def cpu(self) -> float:
        """Processor seconds of the server so far."""
        return cpu_seconds(self.process.pids)

    def memory(self) -> int:
        """Its resident bytes."""
        return resident_bytes(self.process.pids)


class Faults(Counter[str]):
    """What must not happen, by kind."""

    def told(self) -> int:
        """How many there are; of which kinds is written beside the progress."""
        for kind, count in self.items():
            tqdm.write(f"  fault: {kind} ({count})", file=sys.stderr)
        return self.total()


class Member(Connection):
    """A socket that minds its numbers: one after the other, none left out, none twice."""

    def __init__(
        self, reader: Reader, opening: tuple[bytes, bytes], faults: Faults, after: int = 0
    ) -> None:
        super().__init__(reader, *opening)
        self.faults = faults
        self.cursor = after

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
    port: int,
    *,
    receive_bytes: int = 0,
    refusals: Counter[str] | None = None,
) -> list[Connection]:
    """Open many sockets, some hundreds at a time, and wait until each is up to date.

    Who is told that the server is busy comes again a second later, as clients are asked to.

    Raises
    ------
    RuntimeError
        If one is refused for another reason, or not served in time.
    """
    line = asyncio.Semaphore(_OPENING)

    async def one(place: int) -> Connection:
        async with line, asyncio.timeout(_READY_SECONDS):
            while True:
                connection = await open_one(makers[place], port, place, receive_bytes=receive_bytes)
                code = await connection.ready
                if not code:
                    return connection
                if not connection.was_busy and code != _TRY_LATER:
                    raise RuntimeError(f"refused: {connection.fault or code}")
                if refusals is not None:
                    refusals["busy"] += 1
                await asyncio.sleep(1.0)

    return list(await asyncio.gather(*(one(place) for place in range(len(makers)))))


async def close_all(connections: Sequence[Connection]) -> None:
    """Vanish with all of them."""
    for connection in connections:
        connection.drop()
    await asyncio.gather(*(connection.closed for connection in connections))


# -- idle ---------------------------------------------------------------------------------------


async def idle(target: Target, sizes: Sizes) -> Figures:
    """Memory of a socket that has been admitted to its room, and what heartbeats cost."""
    faults = Faults()

    def makers(seats: Sequence[Seat]) -> list[Callable[[], Connection]]:
        return [
            lambda seat=seat: Member(target.reader, target.opening(seat, SEEN), faults, SEEN)  # type: ignore[misc]  # bound at once
            for seat in seats
        ]

    # The first sockets pay for imports, pools and caches that are no part of a connection.
    await close_all(await open_all(makers(target.town.talkers[:20]), target.process.port))
    await until_quiet(target.process.pids)
    before = target.memory()
    members = await open_all(makers(target.town.idle[: sizes.idle]), target.process.port)
    await until_quiet(target.process.pids)
    held = target.memory() - before
    cpu = target.cpu()
    await asyncio.sleep(sizes.idle_hold)
    cpu = target.cpu() - cpu
    pings = sum(member.pings for member in members)
    lost = sum(member.transport is None for member in members)
    await close_all(members)
    await until_quiet(target.process.pids)
    return {
        "idle_sockets": len(members),
        "idle_kib": held / len(members) / 1024,
        "idle_cpu_percent": cpu / sizes.idle_hold * 100,
        "idle_cpu_percent_15k": cpu / sizes.idle_hold * 100 * 15_000 / len(members),
        "idle_pings": pings,
        "idle_faults": faults.told() + lost,
    }


# -- fan-out ------------------------------------------------------------------------------------


class Crowd:
    """A room full of listeners, and one who speaks.

    In closed loop ``window`` messages are on their way at once: the next is sent when all have
    heard the one so many before. In open loop they are sent by the clock.
    """

    def __init__(self, size: int) -> None:
        self.size = size
        self.heard = 0
        self.sent = 0
        self.window = 0
        self.base = 0
        self.due: list[float] = []
        self.latencies = array("d")
        self.is_timed = False
        self.speak: Callable[[], None] = lambda: None

    def on_heard(self, seq: int) -> None:
        """Count a delivery."""
        self.heard += 1
        if self.is_timed:
            place = seq - self.base
            if 0 <= place < len(self.due):
                self.latencies.append(time.perf_counter() - self.due[place])
        if self.window and self.heard >= (self.sent - self.window + 1) * self.size:
            self.speak()


class Listener(Member):
    """One of the crowd."""

    def __init__(
        self, reader: Reader, opening: tuple[bytes, bytes], faults: Faults, crowd: Crowd
    ) -> None:
        super().__init__(reader, opening, faults)
        self.crowd = crowd

    def heard(self, event: Event) -> None:
        """Tell the crowd."""
        self.crowd.on_heard(event.seq)


class Speaker(Member):
    """The one who speaks; hears acks alone."""

    stored = 0

    def acked(self, event: Event) -> None:
        """Move along with one's own numbers."""
        self.cursor = max(self.cursor, event.seq)
        self.stored += 1


async def _gather_crowd(
    target: Target, pair: tuple[Seat, Seat], size: int, faults: Faults
) -> tuple[Crowd, Speaker, list[Connection]]:
    crowd = Crowd(size)
    listeners = await open_all(
        [
            lambda seat=pair[place % 2]: Listener(  # type: ignore[misc]  # bound at once
                target.reader, target.opening(seat, 0), faults, crowd
            )
            for place in range(size)
        ],
        target.process.port,
    )
    (speaker,) = await open_all(
        [lambda: Speaker(target.reader, target.opening(pair[0], 0), faults)], target.process.port
    )
    assert isinstance(speaker, Speaker)
    return crowd, speaker, listeners


async def fan_out(target: Target, sizes: Sizes) -> Figures:
    """One room, many sockets: at saturation, then by the clock at half of that."""
    faults = Faults()
    crowd, speaker, listeners = await _gather_crowd(target, target.town.crowd, sizes.crowd, faults)
    dialect = target.contender.dialect

    def speak() -> None:
        speaker.send(dialect.message(f"{target.tag}f{crowd.sent}", _TEXT))
        crowd.sent += 1

    crowd.speak = speak
    crowd.window = sizes.window
    for _ in range(sizes.window):
        speak()
    await asyncio.sleep(min(1.0, sizes.seconds / 3))
    began, cpu, heard = time.perf_counter(), target.cpu(), crowd.heard
    own = time.process_time()
    await asyncio.sleep(sizes.seconds)
    seconds = time.perf_counter() - began
    cpu, heard, own = target.cpu() - cpu, crowd.heard - heard, time.process_time() - own
    crowd.window = 0
    await _until(lambda: crowd.heard >= crowd.sent * crowd.size, faults)

    rate = heard / seconds / crowd.size / 2
    crowd.base, crowd.is_timed = speaker.cursor + 1, True

    def speak_when_due(due: float) -> None:
        crowd.due.append(due)
        speak()

    await _by_the_clock(rate, sizes.seconds, speak_when_due)
    await _until(lambda: crowd.heard >= crowd.sent * crowd.size, faults)
    await close_all([speaker, *listeners])
    await until_quiet(target.process.pids)
    return {
        "fan_sockets": crowd.size,
        "fan_cpu_us": cpu / max(1, heard) * 1e6,
        "fan_per_second": heard / seconds,
        "fan_server_busy_percent": cpu / seconds * 100,
        "fan_client_cpu_us": own / max(1, heard) * 1e6,
        **_percentiles("fan", crowd.latencies),
        "fan_faults": faults.told(),
    }


# -- one to one ---------------------------------------------------------------------------------


class Conversation:
    """What all talkers share."""

    def __init__(self, target: Target) -> None:
        self.target = target
        self.is_closed_loop = False
        self.due: dict[str, float] = {}
        self.acked = 0
        self.heard = 0
        self.sent = 0
        self.ack_latencies = array("d")
        self.latencies = array("d")

    @property
    def is_answered(self) -> bool:
        """Whether everything that was sent has been acknowledged and delivered."""
        return min(self.acked, self.heard) >= self.sent

    def new_message(self, due: float) -> bytes:
        """The next payload, remembered by its id."""
        cid = f"{self.target.tag}c{self.sent}"
        self.sent += 1
        self.due[cid] = due
        return self.target.contender.dialect.message(cid, _TEXT)


class Talker(Member):
    """Speaks with one other.

    His own messages come back as acks, so numbers are checked as a set: nothing twice while it
    runs, and in the end no hole.
    """

    def __init__(
        self,
        reader: Reader,
        opening: tuple[bytes, bytes],
        faults: Faults,
        conversation: Conversation,
    ) -> None:
        super().__init__(reader, opening, faults, SEEN)
        self.conversation = conversation
        self.first = 0
        self.numbers: set[int] = set()

    def caught_up(self, event: Event) -> None:
        """Begin to count."""
        super().caught_up(event)
        self.first = event.seq

    def take(self, event: Event) -> None:
        """Check messages against those before."""
        if event.kind is not Kind.MESSAGE:
            super().take(event)
            return
        if event.seq <= self.cursor:
            self.faults["out of order"] += 1
        self.cursor = event.seq
        self._count(event.seq)
        conversation = self.conversation
        conversation.heard += 1
        conversation.latencies.append(time.perf_counter() - conversation.due[event.cid])

    def acked(self, event: Event) -> None:
        """One message is stored; in closed loop the next one follows."""
        self._count(event.seq)
        conversation, now = self.conversation, time.perf_counter()
        conversation.acked += 1
        conversation.ack_latencies.append(now - conversation.due[event.cid])
        if conversation.is_closed_loop:
            self.send(conversation.new_message(now))

    def check(self) -> None:
        """No hole in what was seen."""
        if self.numbers != set(range(self.first + 1, self.first + 1 + len(self.numbers))):
            self.faults["hole"] += 1

    def _count(self, seq: int) -> None:
        if seq in self.numbers:
            self.faults["twice"] += 1
        self.numbers.add(seq)


async def chat(target: Target, sizes: Sizes) -> Figures:
    """Pairs who talk, every message stored: as fast as acks come, then at half of that."""
    faults = Faults()
    conversation = Conversation(target)
    talkers = await open_all(
        [
            lambda seat=seat: Talker(  # type: ignore[misc]  # bound at once
                target.reader, target.opening(seat, SEEN), faults, conversation
            )
            for seat in target.town.talkers[: sizes.pairs * 2]
        ],
        target.process.port,
    )
    await until_quiet(target.process.pids)
    conversation.is_closed_loop = True
    for talker in talkers:
        talker.send(conversation.new_message(time.perf_counter()))
    await asyncio.sleep(min(1.0, sizes.seconds / 3))
    began, cpu, acked = time.perf_counter(), target.cpu(), conversation.acked
    await asyncio.sleep(sizes.seconds)
    seconds = time.perf_counter() - began
    cpu, acked = target.cpu() - cpu, conversation.acked - acked
    conversation.is_closed_loop = False
    await _until(lambda: conversation.is_answered, faults)

    conversation.latencies, conversation.ack_latencies = array("d"), array("d")
    turn = iter(range(1 << 60))

    def say(due: float) -> None:
        talkers[next(turn) % len(talkers)].send(conversation.new_message(due))

    await _by_the_clock(acked / seconds / 2, sizes.seconds, say)
    await _until(lambda: conversation.is_answered, faults)
    for talker in talkers:
        assert isinstance(talker, Talker)
        talker.check()
    await close_all(talkers)
    await until_quiet(target.process.pids)
    return {
        "chat_pairs": sizes.pairs,
        "chat_cpu_us": cpu / max(1, acked) * 1e6,
        "chat_acked_per_second": acked / seconds,
        "chat_server_busy_percent": cpu / seconds * 100,
        **_percentiles("chat", conversation.latencies),
        **_percentiles("chat_ack", conversation.ack_latencies),
        "chat_faults": faults.told(),
    }


# -- reconnect storm ----------------------------------------------------------------------------


async def storm(target: Target, sizes: Sizes) -> Figures:
    """All lose the network at once, come back, and catch up with what they have missed."""
    faults = Faults()
    waits = array("d")

    class Returning(Member):
        began = 0.0

        def caught_up(self, event: Event) -> None:
            super().caught_up(event)
            if self.began:
                waits.append(time.perf_counter() - self.began)
                self.began = 0.0

    def make(seat: Seat) -> Connection:
        member = Returning(target.reader, target.opening(seat, SEEN), faults, SEEN)
        member.began = time.perf_counter()
        return member

    makers: list[Callable[[], Connection]] = [
        lambda seat=seat: make(seat)  # type: ignore[misc]  # bound at once
        for seat in target.town.idle[: sizes.storm]
    ]
    await close_all(await open_all(makers, target.process.port))
    await until_quiet(target.process.pids)
    del waits[:]
    refusals: Counter[str] = Counter()
    began, cpu = time.perf_counter(), target.cpu()
    members = await open_all(makers, target.process.port, refusals=refusals)
    seconds = time.perf_counter() - began
    await until_quiet(target.process.pids)
    cpu = target.cpu() - cpu
    await close_all(members)
    await until_quiet(target.process.pids)
    return {
        "storm_sockets": len(members),
        "storm_cpu_ms": cpu / len(members) * 1e3,
        "storm_seconds": seconds,
        "storm_refused": refusals.total(),
        "storm_per_second": len(members) / seconds,
        **_percentiles("storm", waits),
        "storm_faults": faults.told(),
    }


# -- slow readers -------------------------------------------------------------------------------


async def slow_reader(target: Target, sizes: Sizes) -> Figures:
    """Some of a room stop to read: memory, and what the others notice of it."""
    faults = Faults()
    readers = 20
    crowd, speaker, listeners = await _gather_crowd(target, target.town.slow, readers, faults)
    dialect = target.contender.dialect
    messages = max(20, sizes.slow_mib * _MIB // (sizes.slow * _BIG))
    seconds = messages / sizes.slow_rate

    def speak(due: float) -> None:
        crowd.due.append(due)
        half = "x" * (_BIG // 2)
        speaker.send(dialect.message(f"{target.tag}s{crowd.sent}", half, half))
        crowd.sent += 1

    crowd.base, crowd.is_timed = speaker.cursor + 1, True
    await _by_the_clock(sizes.slow_rate, min(seconds / 4, 10.0), speak)
    await _until(lambda: crowd.heard >= crowd.sent * crowd.size, faults)
    calm, crowd.latencies = crowd.latencies, array("d")

    ignored = Faults()
    pair = target.town.slow
    lazy = await open_all(
        [
            lambda seat=pair[place % 2]: Member(  # type: ignore[misc]  # bound at once
                target.reader, target.opening(seat, 0), ignored
            )
            for place in range(sizes.slow)
        ],
        target.process.port,
        receive_bytes=4096,
    )
    for each in lazy:
        if each.transport is not None:
            each.transport.pause_reading()
    await until_quiet(target.process.pids, 3.0)
    before = peak = target.memory()
    kernel_before = kernel_peak = socket_buffer_bytes()

    async def watch() -> None:
        nonlocal peak, kernel_peak
        while True:
            peak = max(peak, target.memory())
            kernel_peak = max(kernel_peak, socket_buffer_bytes())
            await asyncio.sleep(0.1)

    watcher = asyncio.create_task(watch())
    await _by_the_clock(sizes.slow_rate, seconds, speak)
    await _until(lambda: crowd.heard >= crowd.sent * crowd.size, faults)
    await asyncio.sleep(0.5)
    watcher.cancel()
    for each in lazy:
        if each.transport is not None:
            each.transport.resume_reading()
    await asyncio.sleep(1.0)
    told = sum(each.code == 4001 for each in lazy)
    cut = sum(each.transport is None for each in lazy)
    await close_all([speaker, *listeners, *lazy])
    await until_quiet(target.process.pids)
    during = _percentiles("slow", crowd.latencies)
    return {
        "slow_sockets": sizes.slow,
        "slow_offered_mib": messages * _BIG * sizes.slow / _MIB,
        "slow_growth_mib": (peak - before) / _MIB,
        "slow_kernel_mib": (kernel_peak - kernel_before) / _MIB,
        "slow_closed": cut,
        "slow_told_4001": told,
        "slow_calm_p99_ms": _percentiles("slow", calm)["slow_p99_ms"],
        **during,
        "slow_faults": faults.told(),
    }


# -- shared -------------------------------------------------------------------------------------


async def _by_the_clock(rate: float, seconds: float, act: Callable[[float], object]) -> None:
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
        await asyncio.sleep(_TICK_SECONDS)


async def _until(is_done: Callable[[], bool], faults: Faults, seconds: float = 60.0) -> None:
    end = time.perf_counter() + seconds
    while not is_done():
        if time.perf_counter() > end:
            faults["not delivered in time"] += 1
            return
        await asyncio.sleep(0.02)


def _percentiles(name: str, latencies: array[float]) -> Figures:
    ordered = sorted(latencies)
    if not ordered:
        return {f"{name}_p50_ms": float("nan"), f"{name}_p99_ms": float("nan")}
    return {
        f"{name}_p50_ms": ordered[len(ordered) // 2] * 1e3,
        f"{name}_p99_ms": ordered[min(len(ordered) - 1, int(len(ordered) * 0.99))] * 1e3,
    }
