"""The client's half of RFC 6455, as little of it as strictness allows.

One :class:`Connection` is one ``asyncio.Protocol``: no stream, no task, no queue. A chunk of bytes
that has been read once is recognised when it comes again, so that the thousand equal deliveries of
a broadcast are parsed once; that keeps the client cheaper than any server that it loads. Whatever
breaks the protocol is counted, never forgiven.
"""

from __future__ import annotations

import asyncio
import base64
import hashlib
import socket
import struct
from collections.abc import Callable
from typing import Final, cast

from bench.realtime.dialects import Dialect, Event, Kind

_KEY: Final = base64.b64encode(b"pandityatrabench").decode()
_ACCEPT: Final = base64.b64encode(
    hashlib.sha1(f"{_KEY}258EAFA5-E914-47DA-95CA-C5AB0DC85B11".encode()).digest()  # noqa: S324  # RFC 6455 says SHA-1
)
_MASK: Final = b"\x37\xfa\x21\x3d"
_TEXT: Final = 0x1
_CLOSE: Final = 0x8
_PING: Final = 0x9
_PONG: Final = 0xA
_MAX_HEAD: Final = 16 * 1024
_MAX_KNOWN: Final = 512
_MAX_CONTROL: Final = 125
_SHORT, _LONG = 126, 127
ABNORMAL: Final = 1006


class BrokenFrameError(ValueError):
    """The server sent what RFC 6455 forbids."""


def request(path: str, port: int, token: str | None) -> bytes:
    """The opening request."""
    lines = [
        f"GET {path} HTTP/1.1",
        f"Host: 127.0.0.1:{port}",
        "Upgrade: websocket",
        "Connection: Upgrade",
        f"Sec-WebSocket-Key: {_KEY}",
        "Sec-WebSocket-Version: 13",
    ]
    if token is not None:
        lines.append(f"Authorization: Bearer {token}")
    return ("\r\n".join(lines) + "\r\n\r\n").encode()


def frame(payload: bytes, opcode: int = _TEXT) -> bytes:
    """A masked frame, as clients send them."""
    size = len(payload)
    if size < _SHORT:
        head = struct.pack("!BB", 0x80 | opcode, 0x80 | size)
    elif size < 1 << 16:
        head = struct.pack("!BBH", 0x80 | opcode, 0x80 | _SHORT, size)
    else:
        head = struct.pack("!BBQ", 0x80 | opcode, 0x80 | _LONG, size)
    mask = int.from_bytes((_MASK * (size // 4 + 1))[:size], "big")
    return head + _MASK + (int.from_bytes(payload, "big") ^ mask).to_bytes(size, "big")


def next_frame(data: bytes, start: int) -> tuple[int, bytes, int] | None:
    """Return opcode, payload and end of the frame at ``start``, or None while it is not complete.

    Raises
    ------
    BrokenFrameError
        For reserved bits, a mask, a fragment (no server here has reason to send one), an unknown
        opcode, an over-long control frame, a length that is not in its shortest form.
    """
    if len(data) - start < 2:
        return None
    first, size = data[start], data[start + 1]
    opcode = first & 0x0F
    if first & 0xF0 != 0x80 or size & 0x80:
        raise BrokenFrameError("reserved bits, a fragment or a mask")
    if opcode not in (_TEXT, _CLOSE, _PING, _PONG):
        raise BrokenFrameError(f"opcode {opcode}")
    if opcode != _TEXT and size > _MAX_CONTROL:
        raise BrokenFrameError("a long control frame")
    body = start + 2
    if size >= _SHORT:
        wide = 2 if size == _SHORT else 8
        if len(data) - body < wide:
            return None
        size = int.from_bytes(data[body : body + wide], "big")
        if size < (_SHORT if wide == 2 else 1 << 16):
            raise BrokenFrameError("a length with idle bytes")
        body += wide
    if len(data) - body < size:
        return None
    return opcode, data[body : body + size], body + size


class Reader:
    """Turns chunks into events, for all connections of one dialect; knows chunks that repeat."""

    def __init__(self, dialect: Dialect) -> None:
        self.dialect = dialect
        self._known: dict[bytes, tuple[Event, ...]] = {}
        self.known = self._known.get

    def remember(self, chunk: bytes, events: tuple[Event, ...]) -> None:
        """Keep what a chunk of whole frames means, when others may get the same."""
        if len(self._known) >= _MAX_KNOWN:
            self._known.clear()
        self._known[chunk] = events


class Connection(asyncio.Protocol):
    """One socket. ``take`` is called with each event; ``ready`` ends when the server has admitted.

    ``pings`` counts heartbeats answered, ``code`` is the close code once it is closed.
    """

    def __init__(self, reader: Reader, opening: bytes, first: bytes = b"") -> None:
        self.reader = reader
        self.transport: asyncio.Transport | None = None
        self.ready: asyncio.Future[int] = asyncio.get_running_loop().create_future()
        self.closed: asyncio.Future[int] = asyncio.get_running_loop().create_future()
        self.fault: str = ""
        self.was_busy = False
        self.pings = 0
        self.code = 0
        self._opening = opening
        self._first = first
        self._rest = b""
        self._is_open = False

    # -- what is called from outside -------------------------------------------------------------

    def send(self, payload: bytes) -> None:
        """Send one text frame."""
        if self.transport is not None:
            self.transport.write(frame(payload))

    def drop(self) -> None:
        """Vanish without a word, as a phone does that loses its network."""
        if self.transport is not None:
            self.transport.abort()

    def take(self, event: Event) -> None:
        """Act on an event; for subclasses."""

    def lost(self) -> None:
        """The connection is gone; for subclasses."""

    # -- asyncio.Protocol ------------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Ask for the upgrade."""
        # uvloop's transports are no subclass of asyncio's, only alike.
        self.transport = cast(asyncio.Transport, transport)
        self.transport.write(self._opening)

    def data_received(self, data: bytes) -> None:
        """Read what came, by the short way if these very bytes have been read before."""
        if self._is_open and not self._rest:
            events = self.reader.known(data)
            if events is not None:
                for event in events:
                    self.take(event)
                return
        self._read(self._rest + data)

    def connection_lost(self, exc: Exception | None) -> None:
        """Tell those who wait."""
        self.transport = None
        self.code = self.code or ABNORMAL
        for future in (self.ready, self.closed):
            if not future.done():
                future.set_result(self.code)
        self.lost()

    # -- reading ---------------------------------------------------------------------------------

    def _read(self, data: bytes) -> None:
        try:
            start = 0
            if not self._is_open:
                start = self._read_head(data)
                if not start:
                    return
            self._read_frames(data, start)
        except (BrokenFrameError, ValueError, KeyError) as error:
            self.fault = self.fault or f"{type(error).__name__}: {error}"
            self.drop()

    def _read_head(self, data: bytes) -> int:
        end = data.find(b"\r\n\r\n")
        if end < 0:
            if len(data) > _MAX_HEAD:
                raise BrokenFrameError("an endless answer")
            self._rest = data
            return 0
        status, *lines = data[:end].split(b"\r\n")
        if b" 101 " not in status:
            self.was_busy = b" 503 " in status
            raise BrokenFrameError(status.decode(errors="replace"))
        headers = {
            name.strip().lower(): value.strip()
            for name, _, value in (line.partition(b":") for line in lines)
        }
        if headers[b"sec-websocket-accept"] != _ACCEPT or b"sec-websocket-extensions" in headers:
            raise BrokenFrameError("a wrong answer to the upgrade")
        self._is_open = True
        if self._first:
            self.send(self._first)
        return end + 4

    def _read_frames(self, data: bytes, start: int) -> None:
        at, events, is_plain = start, [], start == 0
        while found := next_frame(data, at):
            opcode, payload, at = found
            if opcode == _TEXT:
                event = self.reader.dialect.read(payload)
                events.append(event)
                is_plain &= event.kind is Kind.MESSAGE
            else:
                is_plain = False
                self._control(opcode, payload)
        self._rest = data[at:]
        if is_plain and not self._rest:
            self.reader.remember(data, tuple(events))
        for event in events:
            if event.kind is Kind.PING:
                self.pings += 1
                self.send(self.reader.dialect.pong)
                continue
            self.take(event)
            if event.kind is Kind.HISTORY and not self.ready.done():
                self.ready.set_result(0)

    def _control(self, opcode: int, payload: bytes) -> None:
        if self.transport is None:
            return
        if opcode == _PING:
            self.pings += 1
            self.transport.write(frame(payload, _PONG))
        elif opcode == _CLOSE:
            self.code = int.from_bytes(payload[:2], "big") if len(payload) >= 2 else 1005
            self.transport.write(frame(payload[:2], _CLOSE))
            self.transport.close()


async def open_one(
    make: Callable[[], Connection], port: int, place: int, *, receive_bytes: int = 0
) -> Connection:
    """Connect from one of many loopback addresses, so that no one runs out of ports.

    ``receive_bytes`` bounds the kernel's buffer of what was received but not read. Raises
    ``OSError``.
    """
    loop = asyncio.get_running_loop()
    sock = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    try:
        sock.setblocking(False)
        if receive_bytes:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_bytes)
        # The port is chosen at connect, so that equal ports may serve different destinations.
        sock.setsockopt(socket.IPPROTO_IP, getattr(socket, "IP_BIND_ADDRESS_NO_PORT", 24), 1)
        sock.bind((f"127.0.{1 + place // 5000}.{2 + place % 200}", 0))
        await loop.sock_connect(sock, ("127.0.0.1", port))
        _, connection = await loop.create_connection(make, sock=sock)
    except BaseException:
        sock.close()
        raise
    return connection
