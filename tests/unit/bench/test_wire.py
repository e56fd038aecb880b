"""The load client's own reader of frames: strict, and the same however the bytes are cut."""

from __future__ import annotations

import asyncio
import itertools
import json
import socket
import struct
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.realtime.client import ABNORMAL, Poller
from bench.realtime.dialects import Event, Kind, PlainDialect
from bench.realtime.members import Faults, Member
from bench.realtime.scenarios import Crowd, Listener
from bench.realtime.wire import (
    ACCEPT,
    BrokenFrameError,
    Control,
    Reader,
    Span,
    answer_end,
    bounds,
    frame,
)

ANSWER = (
    b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    b"Sec-WebSocket-Accept: " + ACCEPT + b"\r\n\r\n"
)


def served(payload: bytes, opcode: int = 1) -> bytes:
    """A frame as servers send them, by the letter of RFC 6455, 5.2."""
    size = len(payload)
    if size < 126:
        return struct.pack("!BB", 0x80 | opcode, size) + payload
    if size < 65_536:
        return struct.pack("!BBH", 0x80 | opcode, 126, size) + payload
    return struct.pack("!BBQ", 0x80 | opcode, 127, size) + payload


def message(seq: int, text: str = "Namaste") -> bytes:
    """The frame of a message."""
    return served(
        json.dumps({"type": "message", "seq": seq, "cid": f"c{seq}", "content": text}).encode()
    )


HISTORY = served(b'{"type":"history","from":0,"to":0,"messages":[]}')


@pytest.mark.parametrize("size", [0, 1, 125, 126, 127, 65_535, 65_536, 70_000])
def test_lengths(size: int) -> None:
    """Each of the three forms of a length, at its edges; a byte less is no frame yet."""
    data = served(b"x" * size)
    assert bounds(data, 0) == (1, len(data) - size, len(data))
    assert bounds(data[:-1], 0) is None
    assert bounds(b"ab" + data + b"cd", 2) == (1, len(data) - size + 2, len(data) + 2)


@pytest.mark.parametrize("cut", range(10))
def test_a_long_head_is_waited_for(cut: int) -> None:
    """A head of ten bytes that has not come whole is neither a frame nor a fault."""
    assert bounds(served(b"x" * 65_536)[:cut], 0) is None


@pytest.mark.parametrize(
    "data",
    [
        pytest.param(frame(b"{}"), id="masked"),
        pytest.param(b"\x01\x02{}", id="a first fragment"),
        pytest.param(b"\x80\x02{}", id="a last fragment"),
        pytest.param(b"\xc1\x02{}", id="compressed"),
        pytest.param(b"\xa1\x02{}", id="second reserved bit"),
        pytest.param(b"\x91\x02{}", id="third reserved bit"),
        pytest.param(b"\x82\x02{}", id="binary"),
        pytest.param(b"\x83\x00", id="an opcode nobody knows"),
        pytest.param(b"\x89\x7e\x00\x7e" + b"x" * 126, id="a long ping"),
        pytest.param(b"\x81\x7e\x00\x7d" + b"x" * 125, id="16 bits for 7"),
        pytest.param(b"\x81\x7f" + struct.pack("!Q", 65_535) + b"x" * 65_535, id="64 bits for 16"),
        pytest.param(b"\x81\x7f" + b"\xff" * 8, id="the topmost bit of a length"),
    ],
)
def test_what_the_rfc_forbids(data: bytes) -> None:
    """Also behind a good frame."""
    with pytest.raises(BrokenFrameError):
        bounds(data, 0)
    with pytest.raises(BrokenFrameError):
        Reader(PlainDialect()).walk(message(1) + data)


@pytest.mark.parametrize(
    "payload", [b"\xff\xfe", b'{"type":"message","content":"\xc3("}', b"{", b"[]", b"no json"]
)
@pytest.mark.parametrize("is_shared", [True, False])
def test_payloads_that_are_none(payload: bytes, is_shared: bool) -> None:
    """Broken UTF-8 even in a field that the client does not need; broken JSON."""
    with pytest.raises(ValueError, match=r".+"):
        Reader(PlainDialect()).walk(served(payload), is_shared=is_shared)


def test_a_chunk_is_known_when_it_comes_again() -> None:
    """Joined messages in line are one span; holes, pings and parts are not."""
    reader = Reader(PlainDialect())
    line = message(7) + message(8) + message(9)
    assert reader.known(line) is None
    found, rest = reader.walk(line, is_shared=True)
    assert [each.seq for each in found if isinstance(each, Event)] == [7, 8, 9]
    assert rest == b""
    assert reader.known(line) == Span(7, 9)
    for other in (
        message(7) + message(9),
        message(8) + message(7),
        message(7) + message(7),
        message(7) + served(b"", 9),
        message(7) + HISTORY,
        message(7)[:-1],
        HISTORY,
    ):
        reader.walk(other, is_shared=True)
        assert reader.known(other) is None


def test_a_frame_that_differs_in_one_byte_is_read_anew() -> None:
    """Recognition is by bytes, not by number."""
    reader = Reader(PlainDialect())
    reader.walk(message(3), is_shared=True)
    with pytest.raises(ValueError, match=r".+"):
        reader.walk(message(3).replace(b"Namaste", b"Nam\xffste"), is_shared=True)


@given(
    texts=st.lists(st.text(max_size=200), min_size=1, max_size=8),
    cuts=st.lists(st.integers(0, 3000), max_size=8),
    is_shared=st.booleans(),
)
def test_cuts_do_not_matter(texts: list[str], cuts: list[int], is_shared: bool) -> None:
    """The same events come of the same bytes, wherever the kernel cuts them."""
    frames = [message(place + 1, text) for place, text in enumerate(texts)]
    frames.insert(len(frames) // 2, served(b"beat", 9))
    data = b"".join(frames)
    whole, rest = Reader(PlainDialect()).walk(data)
    assert rest == b""
    reader, found, rest = Reader(PlainDialect()), [], b""
    for chunk in pieces(data, cuts):
        more, rest = reader.walk(rest + chunk, is_shared=is_shared)
        found += more
    assert found == whole
    assert rest == b""
    assert sum(isinstance(each, Control) for each in found) == 1


def pieces(data: bytes, cuts: list[int]) -> Iterator[bytes]:
    """Cut at these places."""
    edges = sorted({0, len(data), *(cut % (len(data) + 1) for cut in cuts)})
    for start, end in itertools.pairwise(edges):
        yield data[start:end]


@pytest.mark.parametrize(
    "data",
    [
        b"HTTP/1.1 200 OK\r\n\r\n",
        ANSWER.replace(ACCEPT, b"c29tZXRoaW5nIGVsc2UgaGVyZQ=="),
        ANSWER[:-2] + b"Sec-WebSocket-Extensions: permessage-deflate\r\n\r\n",
        b"HTTP/1.1 101 Switching Protocols\r\n\r\n",
        b"x" * 20_000,
    ],
)
def test_answers_that_are_no_upgrade(data: bytes) -> None:
    """No upgrade, a wrong key, compression that nobody offered, an answer without end."""
    with pytest.raises(BrokenFrameError):
        answer_end(data)
    assert answer_end(ANSWER) == len(ANSWER)
    assert answer_end(ANSWER[:-1]) == 0


class Peer:
    """The other end of a listener's socket, and what the listener counted."""

    def __init__(self, poller: Poller, faults: Faults, listener: Listener, end: Any) -> None:
        self.poller = poller
        self.faults = faults
        self.listener = listener
        self.end = end

    async def says(self, *chunks: bytes) -> None:
        """Send chunk by chunk, each of which is read before the next."""
        loop = asyncio.get_running_loop()
        for chunk in chunks:
            was_read = asyncio.Event()
            self.poller.after_turn = was_read.set
            await loop.sock_sendall(self.end, chunk)
            async with asyncio.timeout(5):
                await was_read.wait()


async def listen(*chunks: bytes) -> Peer:
    """A listener of a crowd of one that has been told this; the connection is a real one."""
    loop, poller = asyncio.get_running_loop(), Poller(PlainDialect())
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.setblocking(False)
        faults, crowd = Faults(), Crowd(poller, 1)
        listener = Listener((b"GET", b""), faults, crowd, is_sampled=False)
        await poller.open(listener, server.getsockname()[1], 0)
        end, _ = await loop.sock_accept(server)
    end.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    peer = Peer(poller, faults, listener, end)
    await peer.says(ANSWER + HISTORY, *chunks)
    return peer


@pytest.mark.parametrize(
    ("chunks", "heard", "short", "faults"),
    [
        ([message(1), message(2), message(3)], 3, 3, {}),
        ([message(1) + message(2), message(3)], 3, 2, {}),
        ([message(1)[:9], message(1)[9:] + message(2)], 2, 0, {}),
        ([message(1), message(2)[:1], message(2)[1:5], message(2)[5:]], 2, 1, {}),
        ([message(1), message(3)], 2, 1, {"gap": 1}),
        ([message(1), message(2), message(2)], 3, 2, {"repeat": 1}),
        ([message(1) + message(2), message(1) + message(2)], 4, 1, {"repeat": 1}),
        ([message(2), message(3)], 2, 1, {"gap": 1}),
    ],
)
async def test_listeners_find_gaps_and_repeats(
    chunks: list[bytes], heard: int, short: int, faults: dict[str, int]
) -> None:
    """On the long way (seen for the first time) and on the short one (known bytes) alike."""
    peer = await listen()
    for known in range(2):
        peer.listener.cursor = peer.poller.heard = 0
        peer.faults.clear()
        await peer.says(*chunks)
        assert peer.poller.heard == heard
        assert dict(peer.faults) == faults
        assert peer.poller.reads == known * short
    peer.poller.close()
    peer.end.close()


async def test_a_known_chunk_in_the_middle_of_a_frame_is_not_taken() -> None:
    """Bytes that are known are content here, and the frame around them is what counts."""
    peer = await listen(message(1))
    inner = message(2)
    assert peer.poller.reader.walk(inner, is_shared=True)
    assert peer.poller.reader.known(inner)
    outer = served(b"x" * 10 + inner)
    await peer.says(outer[:12], inner)
    assert peer.poller.heard == 1
    assert peer.listener.is_gone
    assert peer.faults.total() == 1
    peer.poller.close()
    peer.end.close()


async def test_pings_are_answered_and_closes_too() -> None:
    """With the same payload, masked; the close code is kept."""
    peer = await listen(message(1))
    loop = asyncio.get_running_loop()
    assert await loop.sock_recv(peer.end, 100) == b"GET"
    await peer.says(served(b"beat", 9))
    assert await loop.sock_recv(peer.end, 100) == frame(b"beat", 10)
    assert peer.listener.pings == 1
    await peer.says(message(2) + served(struct.pack("!H", 4001) + b"slow", 8))
    assert await loop.sock_recv(peer.end, 100) == frame(struct.pack("!H", 4001), 8)
    assert await peer.listener.closed == peer.listener.code == 4001
    assert peer.poller.heard == 2
    assert peer.faults.total() == 0
    peer.poller.close()
    peer.end.close()


async def test_a_lost_connection_is_told() -> None:
    """Nobody waits for ever, and what was not ready says so."""
    poller = Poller(PlainDialect())
    loop = asyncio.get_running_loop()
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.setblocking(False)
        member = Member((b"GET", b""), Faults())
        await poller.open(member, server.getsockname()[1], 0)
        end, _ = await loop.sock_accept(server)
        end.close()
        async with asyncio.timeout(5):
            assert await member.ready == ABNORMAL
            assert await member.closed == ABNORMAL
    assert member.is_gone
    poller.close()


async def test_history_must_not_go_back() -> None:
    """A history that ends before what was seen is a fault, and one with a hole is too."""
    peer = await listen(message(1), message(2))
    peer.listener.take(Event(Kind.HISTORY, 1))
    peer.listener.take(Event(Kind.HISTORY, 9, seqs=(7, 9)))
    assert dict(peer.faults) == {"history of the past": 1, "hole in history": 1}
    peer.poller.close()
    peer.end.close()
