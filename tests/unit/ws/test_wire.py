"""Sockets below the framework, over real loopback connections."""

from __future__ import annotations

import asyncio
import random
import socket
import struct
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field

import pytest

from server.ws.framing import Opcode, Received, close_frame, encode
from server.ws.wire import HAS_EPOLL, Bounds, Poller, Socket

SOFT, HARD = 16_384, 65_536
WAIT_SECONDS = 10.0


class Recorder(Socket):
    """Remembers what happens to it."""

    def __init__(self, *, message_bytes: int = 1000) -> None:
        super().__init__(Bounds(message_bytes=message_bytes, soft_bytes=SOFT, hard_bytes=HARD))
        self.received: list[Received] = []
        self.overflows = 0
        self.ends: list[int | None] = []
        self.ended = asyncio.Event()

    def on_received(self, received: Received) -> None:
        self.received.append(received)

    def on_overflow(self) -> None:
        self.overflows += 1
        self.close(4001, "slow reader")

    def on_end(self, code: int | None) -> None:
        self.ends.append(code)
        self.ended.set()


@dataclass
class Pair:
    """Both ends of a connection: ours under test, the client's as a plain socket."""

    poller: Poller
    made: Recorder
    client: socket.socket
    taken: bytearray = field(default_factory=bytearray)

    async def read(self, size: int) -> bytes:
        """So many bytes, as soon as they have come."""
        loop = asyncio.get_running_loop()
        async with asyncio.timeout(WAIT_SECONDS):
            while len(self.taken) < size:
                data = await loop.sock_recv(self.client, 65_536)
                assert data, "the connection ended early"
                self.taken += data
        wanted = bytes(self.taken[:size])
        del self.taken[:size]
        return wanted

    async def rest(self) -> bytes:
        """Everything up to the end of the stream."""
        loop = asyncio.get_running_loop()
        async with asyncio.timeout(WAIT_SECONDS):
            while data := await loop.sock_recv(self.client, 65_536):
                self.taken += data
        return bytes(self.taken)

    def say(self, payload: bytes, opcode: int = Opcode.TEXT) -> None:
        mask = b"\x11\x22\x33\x44"
        body = bytes(byte ^ mask[place % 4] for place, byte in enumerate(payload))
        self.client.sendall(bytes((0x80 | opcode, 0x80 | len(payload))) + mask + body)


Connect = Callable[..., Pair]


async def until(is_true: Callable[[], bool]) -> None:
    async with asyncio.timeout(WAIT_SECONDS):
        while not is_true():  # noqa: ASYNC110  # the other end is a socket, which sets no event
            await asyncio.sleep(0.005)


@pytest.fixture(params=[pytest.param(True, id="epoll"), pytest.param(False, id="loop")])
async def poller(request: pytest.FixtureRequest) -> AsyncIterator[Poller]:
    if request.param and not HAS_EPOLL:
        pytest.skip("no epoll on this system")
    made = Poller(send_buffer_bytes=SOFT, has_epoll=request.param)
    yield made
    made.close()


@pytest.fixture
def connect(poller: Poller) -> Connect:
    def make(head: bytes = b"", first: bytes = b"", message_bytes: int = 1000) -> Pair:
        with socket.create_server(("127.0.0.1", 0)) as listening:
            client = socket.socket()
            client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            client.connect(listening.getsockname())
            accepted, _ = listening.accept()
        client.setblocking(False)
        made = Recorder(message_bytes=message_bytes)
        poller.adopt(accepted, made, head, first)
        return Pair(poller, made, client)

    return make


async def test_what_is_sent_in_one_turn_arrives_in_order_behind_the_head(connect: Connect) -> None:
    pair = connect(head=b"HTTP/1.1 101\r\n\r\n")
    frames = [encode(b"%d" % number) for number in range(700)]
    await asyncio.sleep(0.05)
    with pytest.raises(BlockingIOError):
        pair.client.recv(1)  # The head waits for what belongs to it.
    for frame in frames[:-1]:
        pair.made.send_frame(frame)
    pair.made.push(frames[-1])
    sent = b"HTTP/1.1 101\r\n\r\n" + b"".join(frames)
    assert await pair.read(len(sent)) == sent
    assert pair.made.queued_bytes == 0


async def test_a_client_that_does_not_read_is_served_to_the_byte_when_it_does(
    connect: Connect,
) -> None:
    pair = connect()
    random_ = random.Random(5)
    sent = bytearray()
    # Until the kernel takes no more, then a good deal more than the soft limit.
    while pair.made.queued_bytes < SOFT * 2:
        frame = encode(random_.randbytes(random_.randrange(1, 3000)))
        (pair.made.push if random_.random() < 0.5 else pair.made.send_frame)(frame)
        sent += frame
        if random_.random() < 0.3:
            await asyncio.sleep(0)
    assert pair.made.is_blocked
    assert [blocked for blocked, _ in pair.poller.blocked_since()] == [pair.made]
    pair.made.send_frame(encode(b"typing"), is_droppable=True)
    waiting = asyncio.create_task(pair.made.drained())
    await asyncio.sleep(0)
    assert not waiting.done()
    assert await pair.read(len(sent)) == bytes(sent)
    await asyncio.wait_for(waiting, WAIT_SECONDS)
    await until(lambda: not pair.made.is_blocked)
    pair.made.send_frame(encode(b"after"))
    assert await pair.read(7) == encode(b"after")
    assert pair.made.overflows == 0


async def test_above_the_hard_limit_it_is_closed_and_what_was_begun_is_ended(
    connect: Connect,
) -> None:
    pair = connect()
    frame = encode(bytes(5000))
    count = 0
    while not pair.made.overflows:
        pair.made.push(frame)
        count += 1
        assert pair.made.queued_bytes <= HARD
    assert not pair.made.is_open
    assert pair.made.queued_bytes <= len(frame) + 125
    closing = close_frame(4001, "slow reader")
    while (heard := await pair.read(2)) != closing[:2]:
        assert heard + await pair.read(len(frame) - 2) == frame, "whole frames before the close"
        count -= 1
    assert count > 0, "most of it was never sent"
    assert await pair.read(len(closing) - 2) == closing[2:]
    pair.say(struct.pack("!H", 4001), Opcode.CLOSE)
    await asyncio.wait_for(pair.made.ended.wait(), WAIT_SECONDS)
    assert await pair.rest() == b""
    assert pair.made.ends == [None]


async def test_who_does_not_answer_a_close_is_cut(
    connect: Connect, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("server.ws.wire._CLOSE_SECONDS", 0.0)
    pair = connect()
    pair.made.close(1001, "going away")
    await asyncio.sleep(0.01)
    pair.poller.end_overdue()
    assert pair.made.ends == [None]
    assert await pair.rest() == close_frame(1001, "going away")
    assert pair.poller.open_count == 0


async def test_of_many_who_do_not_read_why_they_are_closed_the_longest_waiting_are_cut(
    connect: Connect, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("server.ws.wire._MAX_SLOW_CLOSING", 2)
    pairs = [connect() for _ in range(4)]
    for pair in pairs:
        while not pair.made.overflows:
            pair.made.push(encode(bytes(5000)))
    assert [pair.made.ends for pair in pairs] == [[None], [None], [], []]
    pairs[2].made.abort()
    last = connect()
    while not last.made.overflows:
        last.made.push(encode(bytes(5000)))
    assert pairs[3].made.ends == [], "who has gone takes nobody's place"
    for pair in (*pairs, last):
        pair.client.close()


async def test_a_ping_is_answered_and_every_frame_is_handed_on(connect: Connect) -> None:
    pair = connect()
    pair.say(b"hello")
    pair.say(b"are you there", Opcode.PING)
    pair.say(b"", Opcode.PONG)
    assert await pair.read(15) == encode(b"are you there", Opcode.PONG)
    await until(lambda: len(pair.made.received) == 3)
    assert pair.made.received == [
        (Opcode.TEXT, b"hello"),
        (Opcode.PING, b"are you there"),
        (Opcode.PONG, b""),
    ]


async def test_what_came_with_the_opening_request_is_not_lost(connect: Connect) -> None:
    frame = bytes((0x81, 0x82)) + bytes(4) + b"hi"
    pair = connect(first=frame[:5])
    pair.client.sendall(frame[5:])
    await until(lambda: bool(pair.made.received))
    assert pair.made.received == [(Opcode.TEXT, b"hi")]


async def test_the_clients_close_is_echoed_and_told(connect: Connect) -> None:
    pair = connect()
    pair.say(struct.pack("!H", 1000) + b"bye", Opcode.CLOSE)
    assert await pair.rest() == close_frame(1000)
    assert pair.made.ends == [1000]
    pair.made.send_frame(encode(b"too late"))
    pair.made.push(encode(b"too late"))
    pair.made.close(4000)
    assert pair.made.ends == [1000]


async def test_a_broken_frame_closes_with_its_code(connect: Connect) -> None:
    pair = connect()
    pair.client.sendall(bytes((0x81, 0x02)) + b"hi")
    assert (await pair.read(4))[2:] == struct.pack("!H", 1002)
    pair.client.close()
    await asyncio.wait_for(pair.made.ended.wait(), WAIT_SECONDS)


async def test_nothing_is_read_while_paused(connect: Connect) -> None:
    pair = connect()
    pair.made.pause()
    pair.say(b"later")
    await asyncio.sleep(0.05)
    assert pair.made.received == []
    pair.made.resume()
    await until(lambda: bool(pair.made.received))


async def test_a_client_that_resets_while_paused_is_noticed(connect: Connect) -> None:
    pair = connect()
    pair.made.pause()
    pair.client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    pair.client.close()
    if not pair.poller.has_epoll:
        pair.made.resume()  # The event loop tells of it only to those who read.
    await asyncio.wait_for(pair.made.ended.wait(), WAIT_SECONDS)
    assert pair.made.ends == [None]


async def test_many_sockets_share_one_turn(connect: Connect) -> None:
    pairs = [connect() for _ in range(300)]
    blob = encode(b"to all of you")
    for pair in pairs:
        pair.made.push(blob)
        pair.say(b"heard")
    for pair in pairs:
        assert await pair.read(len(blob)) == blob
    await until(lambda: all(len(pair.made.received) == 1 for pair in pairs))
    for pair in pairs:
        pair.client.close()
    await until(lambda: pairs[0].poller.open_count == 0)
    assert all(pair.made.ends == [None] for pair in pairs)


async def test_after_a_broken_frame_nothing_is_heard_and_the_reason_still_arrives(
    connect: Connect,
) -> None:
    pair = connect()
    loop = asyncio.get_running_loop()
    # Far more than the buffers of both sides hold: all of it must be read for the write to end.
    garbage = bytes((0x81, 0x02)) + b"\xff" * 8_000_000
    async with asyncio.timeout(WAIT_SECONDS):
        await loop.sock_sendall(pair.client, garbage)
    told = await pair.rest()
    assert told[:1] == b"\x88"
    assert told[2:4] == struct.pack("!H", 1002)
    assert len(told) == 2 + told[1]
    assert pair.made.received == []
    assert pair.made.ends == []
    pair.client.close()
    await asyncio.wait_for(pair.made.ended.wait(), WAIT_SECONDS)
    assert pair.made.ends == [None]


async def test_a_frame_under_way_when_the_server_closes_is_read_to_its_end(
    connect: Connect,
) -> None:
    pair = connect()
    mask = bytes(4)
    pair.client.sendall(bytes((0x81, 0x85)) + mask + b"he")
    await until(lambda: pair.made._partial is not None)
    pair.made.close(4000, "draining")
    told = await pair.read(2)
    await pair.read(told[1])
    pair.client.sendall(b"llo")
    pair.say(struct.pack("!H", 4000), Opcode.CLOSE)
    assert await pair.rest() == b""
    assert pair.made.received == []
    assert pair.made.ends == [None]


class Broken:
    """Something that fails at the end of the turn."""

    def flush(self) -> None:
        raise RuntimeError("broken")


@pytest.mark.logs_errors("flush_failed")
async def test_one_that_fails_keeps_nothing_from_the_others(connect: Connect) -> None:
    pair = connect()
    pair.poller.soon(Broken())
    pair.made.send_frame(encode(b"still here"))
    assert await pair.read(12) == encode(b"still here")


@pytest.mark.logs_errors("socket_failed")
async def test_a_socket_that_fails_at_what_was_said_is_dropped(
    connect: Connect, monkeypatch: pytest.MonkeyPatch
) -> None:
    pair, other = connect(), connect()

    def fail(self: Recorder, received: Received) -> None:
        if received.payload == b"break":
            raise RuntimeError("broken")
        self.received.append(received)

    monkeypatch.setattr(Recorder, "on_received", fail)
    pair.say(b"break")
    other.say(b"hello")
    await pair.made.ended.wait()
    await until(lambda: bool(other.made.received))
    assert pair.poller.open_count == 1


async def test_a_socket_that_cannot_be_watched_stays_the_callers(
    poller: Poller, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(fd: int, *, reads: bool, writes: bool) -> None:
        raise OSError(28, "no space left")

    monkeypatch.setattr(poller._watcher, "watch", full)
    ours, theirs = (socket.socket() for _ in range(2))
    with ours, theirs, pytest.raises(OSError, match="no space"):
        poller.adopt(ours, Recorder(), b"", b"")
    assert poller.open_count == 0
