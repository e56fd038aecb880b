"""The client's half of RFC 6455, as little of it as strictness allows: bytes in, events out.

Nothing here touches a socket. A chunk of bytes that has been read once is recognised when it comes
again, and so is each single frame of a chunk, so that the thousand equal deliveries of a broadcast
are parsed once, however the kernel cuts and joins them.
"""

from __future__ import annotations

import base64
import hashlib
import struct
from typing import Final, NamedTuple

from bench.realtime.dialects import Dialect, Event, Kind

_KEY: Final = base64.b64encode(b"pandityatrabench").decode()
ACCEPT: Final = base64.b64encode(
    hashlib.sha1(f"{_KEY}258EAFA5-E914-47DA-95CA-C5AB0DC85B11".encode()).digest()  # noqa: S324  # RFC 6455 says SHA-1
)
_MASK: Final = b"\x37\xfa\x21\x3d"
TEXT: Final = 0x1
CLOSE: Final = 0x8
PING: Final = 0x9
PONG: Final = 0xA
_MAX_HEAD: Final = 16 * 1024
_MAX_KNOWN: Final = 1024
_MAX_CONTROL: Final = 125
_SHORT, _LONG = 126, 127


class BrokenFrameError(ValueError):
    """The server sent what RFC 6455 forbids."""


class Span(NamedTuple):
    """What a chunk of whole message frames says: the messages numbered ``first`` to ``last``."""

    first: int
    last: int


class Control(NamedTuple):
    """A frame that is not text."""

    opcode: int
    payload: bytes


def request(path: str, port: int, token: str | None) -> bytes:
    """The opening request; it offers no compression."""
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


def answer_end(data: bytes) -> int:
    """Return where the answer to the opening request ends, 0 while it is not complete.

    Raises
    ------
    BrokenFrameError
        For any answer but a correct upgrade without extensions; the text begins with the status.
    """
    end = data.find(b"\r\n\r\n")
    if end < 0:
        if len(data) > _MAX_HEAD:
            raise BrokenFrameError("an endless answer")
        return 0
    status, *lines = data[:end].split(b"\r\n")
    if b" 101 " not in status:
        raise BrokenFrameError(status.decode(errors="replace"))
    headers = {
        name.strip().lower(): value.strip()
        for name, _, value in (line.partition(b":") for line in lines)
    }
    if headers.get(b"sec-websocket-accept") != ACCEPT or b"sec-websocket-extensions" in headers:
        raise BrokenFrameError("a wrong answer to the upgrade")
    return end + 4


def frame(payload: bytes, opcode: int = TEXT) -> bytes:
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


def bounds(data: bytes, start: int) -> tuple[int, int, int] | None:
    """Return opcode, start of the payload and end of the frame at ``start``.

    None while the frame is not complete.

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
    if opcode not in (TEXT, CLOSE, PING, PONG):
        raise BrokenFrameError(f"opcode {opcode}")
    if opcode != TEXT and size > _MAX_CONTROL:
        raise BrokenFrameError("a long control frame")
    body = start + 2
    if size >= _SHORT:
        wide = 2 if size == _SHORT else 8
        if len(data) - body < wide:
            return None
        size = int.from_bytes(data[body : body + wide], "big")
        if size < (_SHORT if wide == 2 else 1 << 16) or size >> 63:
            raise BrokenFrameError("a length with idle bytes")
        body += wide
    if len(data) - body < size:
        return None
    return opcode, body, body + size


class Reader:
    """Turns chunks into events, for all connections of one dialect; knows what repeats.

    ``known`` finds the span of a chunk that consists of whole messages numbered without a gap.
    """

    def __init__(self, dialect: Dialect) -> None:
        self.dialect = dialect
        self._spans: dict[bytes, Span] = {}
        self._events: dict[bytes, Event] = {}
        self.known = self._spans.get

    def walk(
        self, data: bytes, start: int = 0, *, is_shared: bool = False
    ) -> tuple[list[Event | Control], bytes]:
        """Read all whole frames from ``start`` on; return what they say, and the rest.

        ``is_shared`` says that other connections are likely to get the same bytes.

        Raises
        ------
        BrokenFrameError
            As ``bounds``.
        ValueError
            For a payload that is not of the dialect, UTF-8 that does not hold included.
        """
        at = start
        found: list[Event | Control] = []
        while edges := bounds(data, at):
            opcode, body, end = edges
            if opcode == TEXT:
                found.append(self._event(data, at, body, end, is_shared=is_shared))
            else:
                found.append(Control(opcode, data[body:end]))
            at = end
        if is_shared and start == 0 and at == len(data):
            self._remember(data, found)
        return found, data[at:]

    def _event(self, data: bytes, at: int, body: int, end: int, *, is_shared: bool) -> Event:
        if not is_shared:
            return self._understand(data[body:end])
        whole = data[at:end]
        event = self._events.get(whole)
        if event is None:
            event = self._understand(data[body:end])
            if len(self._events) >= _MAX_KNOWN:
                self._events.clear()
            self._events[whole] = event
        return event

    def _understand(self, payload: bytes) -> Event:
        # The decoder passes over the fields that it does not need, broken UTF-8 included.
        str(payload, "utf-8")
        return self.dialect.read(payload)

    def _remember(self, chunk: bytes, found: list[Event | Control]) -> None:
        """Keep what a chunk means, if it is nothing but messages in line."""
        numbers = [
            each.seq for each in found if isinstance(each, Event) and each.kind is Kind.MESSAGE
        ]
        if not numbers or len(numbers) != len(found):
            return
        if numbers != list(range(numbers[0], numbers[-1] + 1)):
            return
        if len(self._spans) >= _MAX_KNOWN:
            self._spans.clear()
        self._spans[chunk] = Span(numbers[0], numbers[-1])
