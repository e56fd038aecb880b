"""Clients that break the rules of the wire: each is told, and nobody else notices.

Raw bytes over a real connection, in whole, in halves and byte by byte. What the server answers is
read by the strict library. After each of them two good clients still talk, nothing stands in the
log as an error, and the count of open sockets is what it was.
"""

from __future__ import annotations

import asyncio
import dataclasses
import itertools
import json
import logging
import struct
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager, suppress
from typing import Any

import pytest
from websockets.frames import Frame, Opcode
from websockets.protocol import OPEN, Protocol, Side

from server.app import RunningServer
from server.settings import RealtimeSettings, Settings
from tests.frame_streams import FAULTS, LIMIT, client, cut, one_by_one
from tests.support import People
from tests.talk import Client, Talk, make_talk

WAIT_SECONDS = 10.0
KEY = "dGhlIHNhbXBsZSBub25jZQ=="


@pytest.fixture
def limits() -> dict[str, Any]:
    return {}


@pytest.fixture
def settings(settings: Settings, limits: dict[str, Any]) -> Settings:
    realtime = RealtimeSettings(
        messages_per_second=100_000.0,
        message_burst=100_000,
        connects_per_second=100_000.0,
        connect_burst=100_000,
    )
    return dataclasses.replace(settings, realtime=dataclasses.replace(realtime, **limits))


@pytest.fixture
async def talk(server: RunningServer, people: People) -> Talk:
    return await make_talk(people, server.port)


class Others:
    """Two people who talk all the while."""

    def __init__(self, server: RunningServer, customer: Client, pandit: Client, log: Any) -> None:
        self._server = server
        self._customer = customer
        self._pandit = pandit
        self._log = log
        self._numbers = itertools.count()
        self.open_before = self.open

    @property
    def open(self) -> float:
        registry = self._server.services.metrics.registry
        return registry.get_sample_value("sockets_open", {"kind": "chat"}) or 0.0

    async def are_unharmed(self, case: str) -> list[str]:
        """They hear each other; what was said in the room meanwhile."""
        try:
            async with asyncio.timeout(WAIT_SECONDS):
                while self.open != self.open_before:  # noqa: ASYNC110 - it tells nobody
                    await asyncio.sleep(0.005)
        except TimeoutError:
            pytest.fail(f"{case}: {self.open - self.open_before:+.0f} sockets are counted open")
        cid = f"good-{next(self._numbers)}"
        await self._customer.said(f"after {case}", cid)
        heard = []
        while True:
            message = await self._pandit.next("message")
            if message["cid"] == cid:
                break
            heard.append(message["content"])
        errors = [r.getMessage() for r in self._log.records if r.levelno >= logging.ERROR]
        assert not errors, (case, errors)
        return heard


@pytest.fixture
async def others(
    talk: Talk, server: RunningServer, caplog: pytest.LogCaptureFixture
) -> AsyncIterator[Others]:
    async with talk.socket(talk.customer) as customer, talk.socket(talk.pandit) as pandit:
        await customer.quiet()
        await pandit.quiet()
        yield Others(server, customer, pandit, caplog)


def request(talk: Talk, line: str = "", /, **changes: str | None) -> bytes:
    """A handshake; names with ``_`` for ``-``, and None to leave a header out."""
    headers: dict[str, str | None] = {
        "Host": f"127.0.0.1:{talk.port}",
        "Upgrade": "websocket",
        "Connection": "Upgrade",
        "Sec-WebSocket-Version": "13",
        "Sec-WebSocket-Key": KEY,
        "Authorization": f"Bearer {talk.customer.access}",
    }
    headers |= {name.replace("_", "-"): value for name, value in changes.items()}
    lines = [line or f"GET /ws/chat/{talk.room_id}/ HTTP/1.1"]
    lines += [f"{name}: {value}" for name, value in headers.items() if value is not None]
    return ("\r\n".join(lines) + "\r\n\r\n").encode()


class Raw:
    """A client that writes any bytes, and reads strictly."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer
        self._judge = Protocol(Side.CLIENT, state=OPEN, max_size=None)
        self.status = 0
        self.headers: dict[str, str] = {}
        self.frames: list[Frame] = []

    async def write(self, *chunks: bytes) -> None:
        """Write; whoever has closed already need not hear the rest."""
        with suppress(ConnectionError):
            for chunk in chunks:
                self._writer.write(chunk)
                await self._writer.drain()
                await asyncio.sleep(0)  # the server reads what there is

    async def read_head(self) -> int:
        """The status of the answer, 0 when there is none."""
        try:
            head = await self._within(self._reader.readuntil(b"\r\n\r\n"))
        except (asyncio.IncompleteReadError, ConnectionError):
            return 0
        status, *lines = head.decode("latin-1").strip().split("\r\n")
        self.status = int(status.split()[1])
        self.headers = {
            name.lower(): value for name, _, value in (line.partition(": ") for line in lines)
        }
        return self.status

    async def next(self, opcode: Opcode) -> Frame:
        """The next frame of this kind; others are passed over."""
        while True:
            while self.frames:
                frame = self.frames.pop(0)
                if frame.opcode is opcode:
                    return frame
            data = await self._within(self._reader.read(65536))
            assert data, "the server has closed"
            self._take(data)

    async def next_text(self, kind: str) -> dict[str, Any]:
        """The next frame of our protocol of this type."""
        while True:
            frame: dict[str, Any] = json.loads(bytes((await self.next(Opcode.TEXT)).data))
            if frame["type"] == kind:
                return frame

    async def rest(self) -> int | None:
        """Read to the end: the code of the close frame, 1005 for one without, None for none."""
        with suppress(ConnectionError):
            while data := await self._within(self._reader.read(65536)):
                self._take(data)
                if answer := b"".join(self._judge.data_to_send()):
                    await self.write(answer)
        received = self._judge.close_rcvd
        return None if received is None else int(received.code)

    def end(self) -> None:
        """Send no more."""
        self._writer.write_eof()

    def cut(self) -> None:
        """Be gone at once."""
        self._writer.transport.abort()

    def _take(self, data: bytes) -> None:
        self._judge.receive_data(data)
        assert self._judge.parser_exc is None, repr(self._judge.parser_exc)
        self.frames += [each for each in self._judge.events_received() if isinstance(each, Frame)]

    async def _within(self, reading: Any) -> bytes:
        data: bytes = await asyncio.wait_for(reading, WAIT_SECONDS)
        return data


@asynccontextmanager
async def connected(talk: Talk) -> AsyncIterator[Raw]:
    reader, writer = await asyncio.open_connection("127.0.0.1", talk.port)
    try:
        yield Raw(reader, writer)
    finally:
        writer.transport.abort()
        with suppress(ConnectionError):
            await writer.wait_closed()


@asynccontextmanager
async def opened(talk: Talk, **changes: str | None) -> AsyncIterator[Raw]:
    """A raw client that has heard its hello."""
    async with connected(talk) as raw:
        await raw.write(request(talk, **changes))
        assert await raw.read_head() == 101
        await raw.next_text("hello")
        yield raw


def text(**frame: Any) -> bytes:
    return client(0x81, json.dumps(frame).encode())


def halves(data: bytes) -> list[bytes]:
    return cut(data, [len(data) // 2])


def bytewise(data: bytes) -> list[bytes]:
    """Byte by byte; the long ones as far as their header and then in pieces."""
    if len(data) < 500:
        return one_by_one(data)
    return [*one_by_one(data[:40]), *cut(data[40:], range(997, len(data) - 40, 997))]


# -- frames -------------------------------------------------------------------------------------


@pytest.mark.parametrize("pieces", [lambda data: [data], halves, bytewise])
async def test_a_fault_closes_with_its_code(talk: Talk, others: Others, pieces: Any) -> None:
    for case, (data, code) in FAULTS.items():
        async with opened(talk) as raw:
            await raw.write(*pieces(data))
            assert await raw.rest() == code, case
        assert await others.are_unharmed(case) == [], case


async def test_what_came_before_a_fault_is_done(talk: Talk, others: Others) -> None:
    for case in ("second reserved bit", "bad UTF-8", "above the limit"):
        data, code = FAULTS[case]
        async with opened(talk) as raw:
            await raw.write(text(type="message", content=case, cid=case.replace(" ", "-")) + data)
            assert await raw.rest() == code, case
        assert await others.are_unharmed(case) == [case], case


async def test_a_frame_of_a_megabyte_is_refused_in_good_order(talk: Talk, others: Others) -> None:
    data = client(0x81, b"x" * 1_000_000)
    for pieces in ([data], halves(data), cut(data, range(50_000, 1_000_000, 50_000))):
        async with opened(talk) as raw:
            await raw.write(*pieces)
            assert await raw.rest() == 1009
        await others.are_unharmed("a megabyte")


@pytest.mark.parametrize("piece", [b"", b"x", b"x" * 1000])
async def test_fragments_without_end_are_ended(talk: Talk, others: Others, piece: bytes) -> None:
    fragment = client(0x00, piece)
    batch = fragment * (200 if len(piece) < 10 else 1)
    async with opened(talk) as raw:
        await raw.write(client(0x01, piece), *itertools.repeat(batch, 100))
        assert await raw.rest() == 1009
    await others.are_unharmed("fragments without end")


async def test_every_size_of_a_good_frame_is_taken(talk: Talk, others: Others) -> None:
    empty = len(text(type="ping", t="")) - 6
    async with opened(talk) as raw:
        for size in (empty, 125, 126, 127, 4000, LIMIT - 1, LIMIT):
            frame = text(type="ping", t="x" * (size - empty))
            for chunks in ([frame], halves(frame), bytewise(frame)):
                await raw.write(*chunks)
                assert len((await raw.next_text("pong"))["t"]) == size - empty
    await others.are_unharmed("good frames")


async def test_many_frames_in_one_write_are_all_answered(talk: Talk, others: Others) -> None:
    async with opened(talk) as raw:
        await raw.write(b"".join(text(type="ping", t=number) for number in range(2000)))
        assert [(await raw.next_text("pong"))["t"] for _ in range(2000)] == list(range(2000))
    await others.are_unharmed("many frames")


async def test_control_frames_come_between_fragments(talk: Talk, others: Others) -> None:
    async with opened(talk) as raw:
        data = client(0x01, b'{"type":') + client(0x89, b"life") + client(0x00) + client(0x8A)
        data += client(0x80, b'"ping","t":1}')
        for chunks in ([data], halves(data), one_by_one(data)):
            await raw.write(*chunks)
            assert (await raw.next(Opcode.PONG)).data == b"life"
            assert (await raw.next_text("pong"))["t"] == 1
    await others.are_unharmed("control frames between fragments")


async def test_pings_are_answered_alike_and_unasked_pongs_are_let_pass(
    talk: Talk, others: Others
) -> None:
    async with opened(talk) as raw:
        for payload in (b"", b"\x00\xff" * 62, b"x" * 125):
            await raw.write(client(0x8A, payload), client(0x89, payload), client(0x8A))
            assert (await raw.next(Opcode.PONG)).data == payload
        await raw.write(text(type="ping", t=7))
        assert (await raw.next_text("pong"))["t"] == 7
    await others.are_unharmed("pongs")


@pytest.mark.parametrize("limits", [{"messages_per_second": 5.0, "message_burst": 10}])
async def test_a_flood_of_pings_is_closed(talk: Talk, others: Others) -> None:
    async with opened(talk) as raw:
        await raw.write(*itertools.repeat(client(0x89, b"flood") * 100, 50))
        assert await raw.rest() == 4005
    await others.are_unharmed("a flood of pings")


# -- closing ------------------------------------------------------------------------------------


def closing(code: int, reason: bytes = b"") -> bytes:
    return client(0x88, struct.pack("!H", code) + reason)


CLOSINGS: dict[str, tuple[bytes, Iterable[int | None]]] = {
    "empty": (client(0x88), (1000, 1005)),
    "1000": (closing(1000), (1000,)),
    "1001 with a reason": (closing(1001, "पछि भेटौँला".encode()), (1001,)),
    "a reason of 123 bytes": (closing(1000, b"x" * 123), (1000,)),
    "3000": (closing(3000), (3000,)),
    "4999": (closing(4999), (4999,)),
    "twice": (closing(1000) + closing(1001), (1000,)),
    "inside a message": (client(0x01, b"{") + closing(1000), (1000,)),
    "with bytes of nothing behind it": (closing(1000) + b"\xff" * 100, (1000,)),
    "0": (closing(0), (1002,)),
    "999": (closing(999), (1002,)),
    "1004": (closing(1004), (1002,)),
    "1005": (closing(1005), (1002,)),
    "1006": (closing(1006), (1002,)),
    "1015": (closing(1015), (1002,)),
    "1016": (closing(1016), (1002,)),
    "2999": (closing(2999), (1002,)),
    "5000": (closing(5000), (1002,)),
    "65535": (closing(65535), (1002,)),
}


async def test_a_close_is_answered_by_its_code(talk: Talk, others: Others) -> None:
    for case, (data, codes) in CLOSINGS.items():
        # Who goes on after a close may find the connection gone before it reads the answer.
        is_over = case in ("twice", "with bytes of nothing behind it")
        for chunks in ([data],) if is_over else ([data], one_by_one(data)):
            async with opened(talk) as raw:
                await raw.write(*chunks)
                assert await raw.rest() in codes, case
            await others.are_unharmed(case)


async def test_what_is_said_after_a_close_is_not_heard(talk: Talk, others: Others) -> None:
    async with opened(talk) as raw:
        await raw.write(closing(1000) + text(type="message", content="too late", cid="late"))
        assert await raw.rest() == 1000
    assert await others.are_unharmed("words after a close") == []


async def test_who_goes_without_a_word_is_forgotten(talk: Talk, others: Others) -> None:
    half = text(type="message", content="half a message")[:-5]
    for rest in (b"", half, client(0x01, b"{"), half[:3]):
        async with opened(talk) as raw:
            await raw.write(rest)
            raw.end()
            await raw.rest()
        await others.are_unharmed("an end")
        async with opened(talk) as raw:
            await raw.write(rest)
            raw.cut()
        await others.are_unharmed("a cut")


# -- the handshake ------------------------------------------------------------------------------


def handshakes(talk: Talk) -> dict[str, tuple[bytes, Iterable[int]]]:
    path = f"/ws/chat/{talk.room_id}/"
    return {
        "no upgrade": (request(talk, Upgrade=None), (400,)),
        "another upgrade": (request(talk, Upgrade="h2c"), (400,)),
        "no connection": (request(talk, Connection=None), (400,)),
        "connection kept": (request(talk, Connection="keep-alive"), (400,)),
        "version 8": (request(talk, Sec_WebSocket_Version="8"), (426,)),
        "version 14": (request(talk, Sec_WebSocket_Version="14"), (426,)),
        "no version": (request(talk, Sec_WebSocket_Version=None), (426,)),
        "no key": (request(talk, Sec_WebSocket_Key=None), (400,)),
        "an empty key": (request(talk, Sec_WebSocket_Key=""), (400,)),
        "a short key": (request(talk, Sec_WebSocket_Key="c2hvcnQ="), (400,)),
        "a key that is no base64": (request(talk, Sec_WebSocket_Key="*" * 24), (400,)),
        "HTTP/1.0": (request(talk, f"GET {path} HTTP/1.0"), (400, 426, 505)),
        "POST": (request(talk, f"POST {path} HTTP/1.1", Content_Length="0"), (403, 404, 405)),
        "no HTTP": (b"\x81\x85hello there\r\n\r\n", (0, 400)),
        "a head of 200 KB": (request(talk, X_Long="x" * 200_000), (0, 400, 431)),
        "a foreign origin": (request(talk, Origin="https://evil.example"), (403,)),
    }


async def test_a_bad_handshake_has_its_status(talk: Talk, others: Others) -> None:
    for case, (data, statuses) in handshakes(talk).items():
        for chunks in ([data], halves(data), bytewise(data)):
            async with connected(talk) as raw:
                await raw.write(*chunks)
                assert await raw.read_head() in statuses, case
                if raw.status == 426:
                    offered = raw.headers["sec-websocket-version"].split(",")
                    assert "13" in [version.strip() for version in offered]
            await others.are_unharmed(case)


async def test_a_good_handshake_may_come_in_any_form(talk: Talk, others: Others) -> None:
    for case in (
        {"Upgrade": "WebSocket"},
        {"Connection": "keep-alive, Upgrade"},
        {"Connection": "upgrade"},
        {"Sec_WebSocket_Extensions": "permessage-deflate; client_max_window_bits"},
        {"Sec_WebSocket_Protocol": "chat, pandityatra.v1"},
    ):
        data = request(talk, **case)
        for chunks in ([data], halves(data), bytewise(data)):
            async with connected(talk) as raw:
                await raw.write(*chunks)
                assert await raw.read_head() == 101, case
                assert raw.headers["sec-websocket-accept"] == "s3pPLMBiTxaQ9kYGzzhZRbK+xOo="
                assert "sec-websocket-extensions" not in raw.headers
                assert raw.headers.get("sec-websocket-protocol") in (
                    ("pandityatra.v1",) if "Sec_WebSocket_Protocol" in case else (None,)
                )
                await raw.next_text("hello")
        await others.are_unharmed(str(case))


async def test_frames_right_behind_the_handshake_are_heard(talk: Talk, others: Others) -> None:
    early = text(type="message", content="early", cid="early") + client(0x89, b"life")
    for number, behind in enumerate((early, early + text(type="ping", t=1)[:7])):
        async with connected(talk) as raw:
            await raw.write(request(talk) + behind)
            assert await raw.read_head() == 101
            pong = await raw.next(Opcode.PONG)
            assert pong.data == b"life"
            if number:
                await raw.write(text(type="ping", t=1)[7:])
            else:
                await raw.write(text(type="ping", t=1))
            assert (await raw.next_text("pong"))["t"] == 1
        assert await others.are_unharmed("early frames") == ["early"] * (1 - number)


async def test_a_fault_right_behind_the_handshake_is_told(talk: Talk, others: Others) -> None:
    for case in ("text without mask", "bad UTF-8", "far above the limit"):
        data, code = FAULTS[case]
        async with connected(talk) as raw:
            await raw.write(request(talk) + data)
            assert await raw.read_head() == 101
            assert await raw.rest() == code, case
        await others.are_unharmed(case)


async def test_a_body_is_not_taken_for_frames(talk: Talk, others: Others) -> None:
    async with connected(talk) as raw:
        await raw.write(request(talk, Content_Length="11") + b"\x81\x85no frame.")
        assert await raw.read_head() in (101, 400)
        if raw.status == 101:
            await raw.write(text(type="ping", t=1))
            assert (await raw.next_text("pong"))["t"] == 1
    await others.are_unharmed("a body")


async def test_handshakes_that_never_end_hold_nobody_up(talk: Talk, others: Others) -> None:
    data = request(talk)
    waiting = []
    for number in range(40):
        raw = Raw(*await asyncio.open_connection("127.0.0.1", talk.port))
        await raw.write(data[: number * 7])
        waiting.append(raw)
    await others.are_unharmed("half handshakes")
    slow, *gone = waiting
    for raw in gone:
        raw.cut()
    await others.are_unharmed("handshakes given up")
    await slow.write(*one_by_one(data))
    assert await slow.read_head() == 101
    assert (await slow.next_text("hello"))["v"] == 1
    slow.cut()
    await others.are_unharmed("a slow handshake")
