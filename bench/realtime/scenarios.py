"""What is done to a server, and what is measured meanwhile. Each scenario returns named figures.

Processor time and memory are the server's alone. A scenario fails loudly: a gap, a repeat or a
broken frame on any socket is a fault, and the faults stand in the table.
"""

from __future__ import annotations

import asyncio
import time
from array import array
from collections import Counter
from collections.abc import Callable, Sequence
from typing import Final

from bench.realtime.client import Connection, Poller
from bench.realtime.dialects import Event, Kind
from bench.realtime.members import (
    TEXT,
    Faults,
    Figures,
    Member,
    Sizes,
    Target,
    by_the_clock,
    close_all,
    open_all,
    percentiles,
    until,
)
from bench.realtime.processes import socket_buffer_bytes, until_quiet
from bench.realtime.town import SEEN, Seat
from bench.realtime.wire import Span

_MIB: Final = 1024 * 1024
_BIG: Final = 8000
"""Bytes of a message to slow readers, half of it in each language: the longest there is."""
_JOINED: Final = 12
"""Messages that wait on a socket until the client reads, where latency is not measured."""
_SPEAKERS: Final = 8
_SAMPLED: Final = 10
"""Of so many listeners one measures latency."""
_READS: Final = ("find", "aggregate", "getMore", "count", "distinct")
_FIFTEEN_THOUSAND: Final = 15_000


# -- idle ---------------------------------------------------------------------------------------


async def idle(target: Target, sizes: Sizes) -> Figures:
    """Memory of a socket that has been admitted, and what heartbeats cost.

    Of the product's sockets half are in their rooms and half are notification streams, pair by
    pair; the peers have rooms alone.
    """
    faults = Faults()

    def make(seat: Seat, place: int) -> Connection:
        if target.contender.is_ours and place // 2 % 2:
            return Member(target.notices_opening(seat), faults)
        return Member(target.opening(seat, SEEN), faults, SEEN)

    def makers(seats: Sequence[Seat]) -> list[Callable[[], Connection]]:
        return [
            lambda seat=seat, place=place: make(seat, place)  # type: ignore[misc]  # bound at once
            for place, seat in enumerate(seats)
        ]

    # The first sockets pay for imports, pools and caches that are no part of a connection.
    close_all(await open_all(makers(target.town.idle[:20]), target))
    await until_quiet(target.process.pids)
    before = target.memory()
    members = await open_all(makers(target.town.idle[: sizes.idle]), target)
    await until_quiet(target.process.pids)
    held = target.memory() - before
    before_hold = sum(member.pings for member in members)
    cpu = target.cpu()
    await asyncio.sleep(sizes.idle_hold)
    cpu = target.cpu() - cpu
    later = target.memory() - before
    pings = sum(member.pings for member in members) - before_hold
    lost = sum(member.is_gone for member in members)
    close_all(members)
    await until_quiet(target.process.pids)
    return {
        "idle_sockets": len(members),
        "idle_kib": held / len(members) / 1024,
        "idle_held_kib": later / len(members) / 1024,
        "idle_cpu_percent": cpu / sizes.idle_hold * 100,
        "idle_cpu_percent_15k": (cpu / sizes.idle_hold * 100 * _FIFTEEN_THOUSAND / len(members)),
        "idle_pings": pings,
        "idle_faults": faults.told() + lost,
    }


# -- fan-out ------------------------------------------------------------------------------------


class Crowd:
    """A room full of listeners, and one who speaks.

    In closed loop ``window`` messages are on their way at once: whenever all have heard some more,
    as many are sent. In open loop they are sent by the clock. The target's poller reads from those
    who measure latency, ``bulk`` from the others.
    """

    def __init__(self, poller: Poller, size: int) -> None:
        self.prompt = poller
        self.prompt.heard = 0
        self.bulk = Poller(poller.reader.dialect)
        self.size = size
        self.sent = 0
        self.window = 0
        self.base = 0
        self.due: list[float] = []
        self.latencies = array("d")
        self.is_timed = False
        self.speak: Callable[[int], None] = lambda count: None

    @property
    def heard(self) -> int:
        """Deliveries so far."""
        return self.prompt.heard + self.bulk.heard

    @property
    def has_heard_all(self) -> bool:
        """Whether every message has come to everybody."""
        return self.heard >= self.sent * self.size

    def go_round(self, window: int) -> None:
        """Begin or change the closed loop; 0 ends it."""
        self.window = window
        for poller in (self.prompt, self.bulk):
            poller.after_turn = self.fill if window else None
        if window:
            self.fill()

    def fill(self) -> None:
        """Send what the window has room for."""
        room = self.window - (self.sent - self.heard // self.size)
        if room > 0:
            self.speak(room)

    def on_heard(self, span: Span) -> None:
        """Measure deliveries."""
        if self.is_timed:
            now = time.perf_counter()
            for place in range(span.first - self.base, span.last - self.base + 1):
                if 0 <= place < len(self.due):
                    self.latencies.append(now - self.due[place])


class Listener(Member):
    """One of the crowd."""

    __slots__ = ("crowd",)

    def __init__(
        self, opening: tuple[bytes, bytes], faults: Faults, crowd: Crowd, *, is_sampled: bool
    ) -> None:
        super().__init__(opening, faults)
        self.crowd = crowd
        self.is_listener = True
        self.is_sampled = is_sampled

    def heard(self, event: Event) -> None:
        """Count what came the long way."""
        assert self.poller is not None
        self.poller.heard += 1
        if self.is_sampled:
            self.heard_span(Span(event.seq, event.seq))

    def heard_span(self, span: Span) -> None:
        """Tell the crowd."""
        self.crowd.on_heard(span)


class Speaker(Member):
    """One who speaks. What it hears is checked on the listeners' sockets."""

    __slots__ = ()

    def take(self, event: Event) -> None:
        """Mind only what goes wrong."""
        if event.kind is Kind.ERROR:
            self.faults[f"error {event.text}"] += 1


async def _gather_crowd(
    target: Target, pair: tuple[Seat, Seat], size: int, faults: Faults
) -> tuple[Crowd, list[Connection], list[Connection]]:
    """A crowd, its speakers and its listeners."""
    crowd = Crowd(target.poller, size)
    share = min(_SAMPLED, max(1, size // 20))
    listeners = await open_all(
        [
            lambda place=place: Listener(  # type: ignore[misc]  # bound at once
                target.opening(pair[place % 2], 0), faults, crowd, is_sampled=place % share == 0
            )
            for place in range(size)
        ],
        target,
        pollers=[crowd.bulk if place % share else crowd.prompt for place in range(size)],
    )
    speakers = await open_all(
        [
            lambda place=place: Speaker(target.opening(pair[place % 2], 0), faults)  # type: ignore[misc]  # bound at once
            for place in range(_SPEAKERS)
        ],
        target,
    )
    return crowd, speakers, listeners


def _count_closed(faults: Faults, connections: Sequence[Connection]) -> None:
    """Nobody who reads what he is sent may be closed, for whatever reason."""
    for each in connections:
        if each.is_gone:
            faults[f"closed with {each.code}"] += 1


async def fan_out(target: Target, sizes: Sizes) -> Figures:
    """One room, many sockets: at saturation, message by message, and at half of what a core can do.

    A server that joins writes delivers the more cheaply the more it is behind, so half of its
    saturation is no calm: latency is measured at half of what one core delivers message by message,
    and at no more than half of saturation.
    """
    faults = Faults()
    dialect = target.contender.dialect
    crowd, speakers, listeners = await _gather_crowd(
        target, next(target.town.pairs), sizes.crowd, faults
    )
    await until_quiet(target.process.pids)

    def speak(count: int) -> None:
        payloads = [
            dialect.message(f"{target.tag}f{place}", TEXT)
            for place in range(crowd.sent, crowd.sent + count)
        ]
        turn = crowd.sent
        crowd.sent += count
        for place, speaker in enumerate(speakers):
            said = payloads[(place - turn) % len(speakers) :: len(speakers)]
            if said:
                speaker.send(*said)

    async def cost(seconds: float) -> tuple[float, float, float]:
        """Processor time of the server and of the client, and deliveries, a second."""
        await asyncio.sleep(min(1.5, seconds / 3))
        began, cpu, own = time.perf_counter(), target.cpu(), time.process_time()
        heard = crowd.heard
        await asyncio.sleep(seconds)
        took = time.perf_counter() - began
        return (
            (target.cpu() - cpu) / took,
            (time.process_time() - own) / took,
            max(1, crowd.heard - heard) / took,
        )

    crowd.speak = speak
    crowd.prompt.read_in_bulk(_JOINED)
    crowd.bulk.read_in_bulk(_JOINED)
    crowd.go_round(sizes.window)
    cpu, own, rate = await cost(sizes.seconds)
    crowd.go_round(0)
    await until(lambda: crowd.has_heard_all, faults)
    crowd.prompt.read_at_once()

    # Message by message: nothing can be joined.
    crowd.bulk.read_at_once()
    crowd.go_round(1)
    alone, _, alone_rate = await cost(sizes.seconds / 2)
    crowd.go_round(0)
    await until(lambda: crowd.has_heard_all, faults)

    # Who measures latency reads at once.
    crowd.base, crowd.is_timed = listeners[0].cursor + 1, True

    def speak_when_due(due: float) -> None:
        crowd.due.append(due)
        speak(1)

    before, half = time.process_time(), crowd.heard
    offered = min(rate, alone_rate / alone) / 2
    with target.watch_disk() as disk:
        await by_the_clock(offered / crowd.size, sizes.seconds, speak_when_due)
        await until(lambda: crowd.has_heard_all, faults)
    calm, half = time.process_time() - before, crowd.heard - half
    crowd.is_timed = False
    _count_closed(faults, [*speakers, *listeners])
    close_all([*speakers, *listeners])
    crowd.bulk.close()
    await until_quiet(target.process.pids)
    return {
        "fan_sockets": crowd.size,
        "fan_cpu_us": cpu / rate * 1e6,
        "fan_per_second": rate,
        "fan_server_busy_percent": cpu * 100,
        "fan_client_cpu_us": own / rate * 1e6,
        "fan_alone_cpu_us": alone / alone_rate * 1e6,
        "fan_calm_per_second": offered,
        "fan_client_half_cpu_us": calm / max(1, half) * 1e6,
        **percentiles("fan", crowd.latencies),
        "fan_disk_ms": disk.longest_ms,
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
        return self.target.contender.dialect.message(cid, TEXT)


class Talker(Member):
    """Speaks with one other.

    His own messages come back as acks, so numbers are checked as a set: nothing twice while it
    runs, and in the end no hole.
    """

    __slots__ = ("conversation", "first", "numbers")

    def __init__(
        self,
        opening: tuple[bytes, bytes],
        faults: Faults,
        conversation: Conversation,
    ) -> None:
        super().__init__(opening, faults, SEEN)
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
                target.opening(seat, SEEN), faults, conversation
            )
            for seat in next(target.town.talkers)[: sizes.pairs * 2]
        ],
        target,
    )
    await until_quiet(target.process.pids)
    conversation.is_closed_loop = True
    for talker in talkers:
        talker.send(conversation.new_message(time.perf_counter()))
    await asyncio.sleep(min(1.0, sizes.seconds / 3))
    began, cpu, acked = time.perf_counter(), target.cpu(), conversation.acked
    own = time.process_time()
    await asyncio.sleep(sizes.seconds)
    seconds = time.perf_counter() - began
    cpu, acked = target.cpu() - cpu, conversation.acked - acked
    own = time.process_time() - own
    conversation.is_closed_loop = False
    await until(lambda: conversation.is_answered, faults)

    conversation.latencies, conversation.ack_latencies = array("d"), array("d")
    turn = iter(range(1 << 60))

    def say(due: float) -> None:
        talkers[next(turn) % len(talkers)].send(conversation.new_message(due))

    with target.watch_disk() as disk:
        await by_the_clock(acked / seconds / 2, sizes.seconds, say)
        await until(lambda: conversation.is_answered, faults)
    for talker in talkers:
        assert isinstance(talker, Talker)
        talker.check()
    _count_closed(faults, talkers)
    close_all(talkers)
    await until_quiet(target.process.pids)
    return {
        "chat_pairs": sizes.pairs,
        "chat_cpu_us": cpu / max(1, acked) * 1e6,
        "chat_client_cpu_us": own / max(1, acked) * 1e6,
        "chat_acked_per_second": acked / seconds,
        "chat_server_busy_percent": cpu / seconds * 100,
        **percentiles("chat", conversation.latencies),
        **percentiles("chat_ack", conversation.ack_latencies),
        "chat_disk_ms": disk.longest_ms,
        "chat_faults": faults.told(),
    }


# -- reconnect storm ----------------------------------------------------------------------------


class Returning(Member):
    """Somebody who comes back, and how long it took until he was up to date."""

    __slots__ = ("began", "waits")

    def __init__(self, opening: tuple[bytes, bytes], faults: Faults, waits: array[float]) -> None:
        super().__init__(opening, faults, SEEN)
        self.waits = waits
        self.began = time.perf_counter()

    def caught_up(self, event: Event) -> None:
        """Stop the clock at the first history."""
        super().caught_up(event)
        if self.began:
            self.waits.append(time.perf_counter() - self.began)
            self.began = 0.0


async def storm(target: Target, sizes: Sizes) -> Figures:
    """All lose the network at once, come back, and catch up with what they have missed."""
    faults = Faults()
    waits = array("d")
    makers: list[Callable[[], Connection]] = [
        lambda seat=seat: Returning(target.opening(seat, SEEN), faults, waits)  # type: ignore[misc]  # bound at once
        for seat in target.town.idle[: sizes.storm]
    ]
    close_all(await open_all(makers, target))
    await until_quiet(target.process.pids)
    del waits[:]
    refusals: Counter[str] = Counter()
    commands = await target.commands()
    began, cpu = time.perf_counter(), target.cpu()
    members = await open_all(makers, target, refusals=refusals)
    seconds = time.perf_counter() - began
    await until_quiet(target.process.pids)
    cpu = target.cpu() - cpu
    figures: Figures = {}
    if commands is not None:
        more = (await target.commands() or Counter()) - commands
        reads = sum(more[name] for name in _READS)
        # To the hundredth: the server's own duties read now and then too.
        figures["storm_reads"] = round(reads / len(members), 2)
        figures["storm_writes"] = (more.total() - reads) / len(members)
    close_all(members)
    await until_quiet(target.process.pids)
    return {
        "storm_sockets": len(members),
        "storm_cpu_ms": cpu / len(members) * 1e3,
        "storm_seconds": seconds,
        "storm_refused": refusals.total(),
        "storm_per_second": len(members) / seconds,
        **figures,
        **percentiles("storm", waits),
        "storm_faults": faults.told(),
    }


# -- slow readers -------------------------------------------------------------------------------


async def slow_reader(target: Target, sizes: Sizes) -> Figures:
    """Some of a room stop to read: memory, and what the others notice of it."""
    faults = Faults()
    readers = 20
    pair = next(target.town.pairs)
    crowd, speakers, listeners = await _gather_crowd(target, pair, readers, faults)
    dialect = target.contender.dialect
    messages = max(20, sizes.slow_mib * _MIB // (sizes.slow * _BIG))
    seconds = messages / sizes.slow_rate

    def speak(due: float) -> None:
        crowd.due.append(due)
        half = "x" * (_BIG // 2)
        speaker = speakers[crowd.sent % len(speakers)]
        speaker.send(dialect.message(f"{target.tag}s{crowd.sent}", half, half))
        crowd.sent += 1

    crowd.base, crowd.is_timed = listeners[0].cursor + 1, True
    # For as long as with slow readers: a p99 of fewer messages is another figure.
    with target.watch_disk() as calm_disk:
        await by_the_clock(sizes.slow_rate, seconds, speak)
        await until(lambda: crowd.has_heard_all, faults)
    calm, crowd.latencies = crowd.latencies, array("d")

    ignored, newest = Faults(), listeners[0].cursor
    lazy = await open_all(
        [
            # From the newest on: who has to catch up first is offered nothing.
            lambda seat=pair[place % 2]: Member(target.opening(seat, newest), ignored, newest)  # type: ignore[misc]  # bound at once
            for place in range(sizes.slow)
        ],
        target,
        receive_bytes=4096,
    )
    for each in lazy:
        each.pause()
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
    with target.watch_disk() as disk:
        await by_the_clock(sizes.slow_rate, seconds, speak)
        await until(lambda: crowd.has_heard_all, faults)
    await asyncio.sleep(0.5)
    watcher.cancel()
    for each in lazy:
        each.resume()
    await asyncio.sleep(1.0)
    told = sum(each.code == 4001 for each in lazy)
    cut = sum(each.is_gone for each in lazy)
    _count_closed(faults, [*speakers, *listeners])
    close_all([*speakers, *listeners, *lazy])
    crowd.bulk.close()
    await until_quiet(target.process.pids)
    during = percentiles("slow", crowd.latencies)
    calm_p99 = percentiles("slow", calm)["slow_p99_ms"]
    return {
        "slow_sockets": sizes.slow,
        "slow_offered_mib": messages * _BIG * sizes.slow / _MIB,
        "slow_growth_mib": (peak - before) / _MIB,
        "slow_kernel_mib": (kernel_peak - kernel_before) / _MIB,
        "slow_closed": cut,
        "slow_told_4001": told,
        "slow_calm_p99_ms": calm_p99,
        "slow_calm_disk_ms": calm_disk.longest_ms,
        "slow_disk_ms": disk.longest_ms,
        "slow_p99_ratio": during["slow_p99_ms"] / calm_p99,
        **during,
        "slow_faults": faults.told(),
    }
