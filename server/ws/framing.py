"""The bytes of RFC 6455 on the server's side: frames in and out, compression, the handshake.

Pure functions: no socket, no loop, no state but a small ``Partial`` while a frame or a message is
unfinished, so an idle connection costs nothing here.

We parse ourselves because ``wsproto`` and the Sans-I/O half of ``websockets`` take 10 and 3 µs for
a frame of 300 bytes and keep 1.5 KiB a connection where this takes 0.8 and keeps nothing, and
because ``picows``, which takes a third of that on a transport of its own, holds 27 KiB a connection
(``python -m bench.framing``).
"""

from __future__ import annotations

import base64
import binascii
import enum
import functools
import hashlib
import re
import struct
import zlib
from collections.abc import Callable, Mapping
from typing import Final, NamedTuple

__all__ = [
    "PING",
    "Fault",
    "Opcode",
    "Partial",
    "Received",
    "accept_key",
    "close_frame",
    "deflated",
    "encode",
    "handshake_fault",
    "handshake_response",
    "is_valid_close_code",
    "is_valid_handshake",
    "negotiate_deflate",
    "read_frames",
    "unmask_by_ints",
]


class Opcode(enum.IntEnum):
    """What a frame is (RFC 6455, 11.8)."""

    CONTINUATION = 0
    TEXT = 1
    BINARY = 2
    CLOSE = 8
    PING = 9
    PONG = 10


class Fault(NamedTuple):
    """What the connection must be closed with: the code and the reason for the peer's log."""

    code: int
    reason: str


class Received(NamedTuple):
    """A whole message or a control frame.

    ``opcode`` is a value of ``Opcode``, never CONTINUATION. ``payload`` is unmasked, defragmented
    and decompressed; of TEXT it is valid UTF-8, of CLOSE it is empty or a valid code and reason.
    """

    opcode: int
    payload: bytes


class Partial:
    """What is kept of an unfinished frame or message; there is none while nothing is unfinished.

    Attributes
    ----------
    rest
        Bytes of a frame that has not come whole, at most the limit and a header.
    opcode
        How the fragmented message began (TEXT or BINARY, with the bit of compression), or 0.
    fragments
        The unmasked bytes of its fragments so far, in one buffer, at most the limit.
    size
        How many fragments have come.
    """

    __slots__ = ("fragments", "opcode", "rest", "size")

    def __init__(
        self, rest: bytearray, opcode: int, fragments: bytearray | None, size: int
    ) -> None:
        self.rest = rest
        self.opcode = opcode
        self.fragments = fragments
        self.size = size


def unmask_by_ints(mask: bytes, data: bytes) -> bytes:
    """Return ``data`` with ``mask`` (4 bytes) taken off, in plain Python: two long numbers."""
    size = len(data)
    key = (mask * ((size >> 2) + 1))[:size]
    number = int.from_bytes(data, "little") ^ int.from_bytes(key, "little")
    return number.to_bytes(size, "little")


_unmask: Callable[[bytes, bytes], bytes]
try:
    # In C, 0.2 µs for 300 bytes; a wheel without it is slower, not broken.
    from tornado.speedups import websocket_mask as _unmask
except ImportError:  # pragma: no cover - the wheels of every supported platform have it
    _unmask = unmask_by_ints

# Half the cost of the named tuple's own constructor.
_received: Callable[[tuple[int, bytes]], Received] = functools.partial(tuple.__new__, Received)

_TEXT, _BINARY, _CLOSE = 1, 2, 8
_FIN, _RSV1, _RSV23, _OPCODE = 0x80, 0x40, 0x30, 0x0F
_MASKED, _LENGTH = 0x80, 0x7F
_MAX_CONTROL = 125
_SPARE_FRAGMENTS = 16
"""Fragments that a message may have beyond one a byte of the limit: empty ones have to end."""
_MAX_FINAL_BLOCKS = 4
"""Streams in one compressed message; one is what everybody sends, two RFC 7692, 7.2.3.4."""
# The end that every message leaves out (RFC 7692, 7.2.2), and behind it an empty final block:
# decompression has come to an end only if the message was whole.
_TAIL: Final = b"\x00\x00\xff\xff\x03\x00"
_WINDOW: Final = 32768

_RESERVED = Fault(1002, "a reserved bit is set")
_UNKNOWN = Fault(1002, "unknown opcode")
_FRAGMENTED_CONTROL = Fault(1002, "a control frame in fragments")
_LONG_CONTROL = Fault(1002, "a control frame above 125 bytes")
_NOTHING_TO_CONTINUE = Fault(1002, "a continuation of nothing")
_NOT_CONTINUED = Fault(1002, "a new message inside another")
_UNMASKED = Fault(1002, "a frame without mask")
_LENGTH_FORM = Fault(1002, "a length not in its shortest form")
_LENGTH_SIGN = Fault(1002, "a length above 63 bits")
_CLOSE_PAYLOAD = Fault(1002, "a close code of one byte")
_CLOSE_CODE = Fault(1002, "an invalid close code")
_NOT_UTF8 = Fault(1007, "not UTF-8")
_NOT_DEFLATE = Fault(1007, "not deflate")
_TOO_BIG = Fault(1009, "too big")
_TOO_MANY = Fault(1009, "too many fragments")


def read_frames(
    data: bytes, partial: Partial | None, limit: int, *, deflate: bool = False
) -> tuple[list[Received], Partial | None, Fault | None]:
    """Read what a client sent; the result does not depend on how the bytes were cut.

    A close frame ends the stream: what came behind it is thrown away, and so must be what comes
    later. After a fault, too, the caller closes and reads no more.

    Parameters
    ----------
    data
        The bytes that have just come.
    partial
        What the last call on this connection gave back. It belongs to this function.
    limit
        The largest message in bytes, whole and decompressed. What compression makes larger than
        that is too big as well, so no more than this and a header is ever kept.
    deflate
        Whether permessage-deflate was agreed on.

    Returns
    -------
    tuple
        Every message and control frame that is whole, in order; what to pass to the next call;
        and what to close with, if anything was wrong behind those frames: 1002 for what breaks
        RFC 6455, 1007 for bad UTF-8 or deflate, 1009 as soon as a header tells of too much.
    """
    # The usual case first: one whole short text frame and nothing else.
    if partial is None and len(data) > 6 and data[0] == 0x81:
        second = data[1]
        if second < 0xFE:
            if len(data) == second - 0x7A and second - 0x80 <= limit:
                payload = _unmask(data[2:6], data[6:])
                if payload.isascii() or _is_utf8(payload):
                    return [_received((_TEXT, payload))], None, None
                return [], None, _NOT_UTF8
        elif second == 0xFE and len(data) >= 134:
            size = len(data) - 8
            if size <= limit and size == data[2] << 8 | data[3]:
                payload = _unmask(data[4:8], data[8:])
                if payload.isascii() or _is_utf8(payload):
                    return [_received((_TEXT, payload))], None, None
                return [], None, _NOT_UTF8
    return _read_any(data, partial, limit, deflate)


def _read_any(
    data: bytes, partial: Partial | None, limit: int, deflate: bool
) -> tuple[list[Received], Partial | None, Fault | None]:
    buffer: bytes | bytearray = data
    opcode, fragments, count = 0, None, 0
    if partial is not None:
        opcode, fragments, count = partial.opcode, partial.fragments, partial.size
        if partial.rest:
            # Grown in place: a frame that comes byte by byte costs its length, not its square.
            partial.rest += data
            buffer = partial.rest
    found: list[Received] = []
    at, end = 0, len(buffer)
    while at < end:
        # Checks go by the order of the bytes, so that the first fault is the same for any cut.
        first = buffer[at]
        kind = first & _OPCODE
        fault = _first_byte_fault(first, kind, opcode, deflate)
        if fault is not None:
            return found, None, fault
        if end - at < 2:
            break
        second = buffer[at + 1]
        if second < _MASKED:
            return found, None, _UNMASKED
        size = second & _LENGTH
        start = at + 6
        if kind >= _CLOSE:
            if size > _MAX_CONTROL:
                return found, None, _LONG_CONTROL
        else:
            if size == 126:
                start = at + 8
                if end - at < 4:
                    break
                size = buffer[at + 2] << 8 | buffer[at + 3]
                if size < 126:
                    return found, None, _LENGTH_FORM
            elif size == 127:
                start = at + 14
                if end - at < 10:
                    break
                size = int.from_bytes(buffer[at + 2 : at + 10], "big")
                if size >> 63:
                    return found, None, _LENGTH_SIGN
                if size < 65536:
                    return found, None, _LENGTH_FORM
            if size + (len(fragments) if fragments is not None else 0) > limit:
                return found, None, _TOO_BIG
        stop = start + size
        if stop > end:
            break
        if type(buffer) is not bytes:
            buffer = bytes(buffer)
        payload = _unmask(buffer[start - 4 : start], buffer[start:stop])
        at = stop
        if kind >= _CLOSE:
            if kind == _CLOSE:
                fault = _close_fault(payload)
                if fault is None:
                    found.append(_received((kind, payload)))
                return found, None, fault
            found.append(_received((kind, payload)))
            continue
        if kind:
            opcode = first & (_RSV1 | _OPCODE)
        if not first & _FIN:
            count += 1
            if count > limit + _SPARE_FRAGMENTS:
                return found, None, _TOO_MANY
            if fragments is None:
                fragments = bytearray(payload)
            else:
                fragments += payload
            continue
        if fragments is not None:
            fragments += payload
            payload = bytes(fragments)
        if opcode & _RSV1:
            inflated = _inflated(payload, limit)
            if isinstance(inflated, Fault):
                return found, None, inflated
            payload = inflated
        opcode &= _OPCODE
        if opcode == _TEXT and not (payload.isascii() or _is_utf8(payload)):
            return found, None, _NOT_UTF8
        found.append(_received((opcode, payload)))
        opcode, fragments, count = 0, None, 0
    if at == 0 and partial is not None and buffer is partial.rest:
        return found, partial, None
    if at == end and not opcode:
        return found, None, None
    # A copy of its own, so that a few bytes do not hold the large buffer they came in.
    return found, Partial(bytearray(buffer[at:]), opcode, fragments, count), None


def _first_byte_fault(first: int, kind: int, opcode: int, deflate: bool) -> Fault | None:
    """Judge the first byte; ``opcode`` is that of the message under way, or 0."""
    if first & (_RSV23 | _RSV1) and (first & _RSV23 or not deflate or kind not in (_TEXT, _BINARY)):
        return _RESERVED
    if kind >= _CLOSE:
        if kind > 10:
            return _UNKNOWN
        return None if first & _FIN else _FRAGMENTED_CONTROL
    if kind > _BINARY:
        return _UNKNOWN
    if kind == 0:
        return None if opcode else _NOTHING_TO_CONTINUE
    return _NOT_CONTINUED if opcode else None


def _is_utf8(payload: bytes) -> bool:
    try:
        payload.decode()
    except UnicodeDecodeError:
        return False
    return True


def is_valid_close_code(code: int) -> bool:
    """Whether a close frame may carry this code (RFC 6455, 7.4, and the registry of IANA)."""
    return 3000 <= code <= 4999 or 1000 <= code <= 1003 or 1007 <= code <= 1014


def _close_fault(payload: bytes) -> Fault | None:
    if not payload:
        return None
    if len(payload) == 1:
        return _CLOSE_PAYLOAD
    if not is_valid_close_code(payload[0] << 8 | payload[1]):
        return _CLOSE_CODE
    return None if _is_utf8(payload[2:]) else _NOT_UTF8


def _inflated(payload: bytes, limit: int) -> bytes | Fault:
    """Decompress one message, never to more than a byte above the limit."""
    out = b""
    rest = payload + _TAIL
    try:
        for _ in range(_MAX_FINAL_BLOCKS):
            stream = zlib.decompressobj(-zlib.MAX_WBITS, zdict=out[-_WINDOW:])
            out += stream.decompress(rest, limit + 1 - len(out))
            if len(out) > limit:
                return _TOO_BIG
            if not stream.eof:
                return _NOT_DEFLATE
            rest = stream.unused_data
            if not rest:
                return out
    except zlib.error:
        pass
    return _NOT_DEFLATE


_TEXT_HEADS: Final = tuple(bytes((_FIN | _TEXT, size)) for size in range(126))
_pack_medium = struct.Struct("!BBH").pack
_pack_large = struct.Struct("!BBQ").pack


def encode(payload: bytes, opcode: int = Opcode.TEXT) -> bytes:
    """Return one whole frame as a server sends it: unmasked."""
    if opcode == _TEXT and len(payload) < 126:
        return _TEXT_HEADS[len(payload)] + payload
    return _head(_FIN | opcode, len(payload)) + payload


def _head(first: int, size: int) -> bytes:
    if size < 126:
        return bytes((first, size))
    if size < 65536:
        return _pack_medium(first, 126, size)
    return _pack_large(first, 127, size)


PING: Final = encode(b"", Opcode.PING)
"""The heartbeat, the same bytes for every socket."""


def close_frame(code: int, reason: str = "") -> bytes:
    """Return the frame that closes with this code; the reason is cut to the 123 bytes it may have.

    Raises
    ------
    ValueError
        When the code may not stand in a frame, such as 1005 and 1006.
    """
    if not is_valid_close_code(code):
        raise ValueError(f"{code} is no close code")
    text = reason.encode("utf-8", "replace")
    if len(text) > _MAX_CONTROL - 2:
        text = text[: _MAX_CONTROL - 2].decode("utf-8", "ignore").encode()
    return encode(code.to_bytes(2, "big") + text, Opcode.CLOSE)


def deflated(payload: bytes) -> bytes | None:
    """Return a whole compressed text frame, or None when it would not be smaller.

    It leans on no frame before it (no context takeover), so all sockets that agreed on
    compression can be sent the same bytes.
    """
    stream = zlib.compressobj(wbits=-zlib.MAX_WBITS)
    body = stream.compress(payload) + stream.flush(zlib.Z_SYNC_FLUSH)
    size = len(body) - 4
    if size >= len(payload):
        return None
    return _head(_FIN | _RSV1 | _TEXT, size) + body[:-4]


DEFLATE_ANSWER: Final = "permessage-deflate; server_no_context_takeover; client_no_context_takeover"


def negotiate_deflate(header: str, *, is_enabled: bool) -> str | None:
    """Answer a ``Sec-WebSocket-Extensions`` header (RFC 7692, 7.1).

    Returns
    -------
    str or None
        The value of the answer's header for the first offer that can be taken. None when there is
        none, or compression is off: then the header is left out.
    """
    if not is_enabled or "permessage-deflate" not in header:
        return None
    if any(_is_acceptable(offer) for offer in header.split(",")):
        return DEFLATE_ANSWER
    return None


def _is_acceptable(offer: str) -> bool:
    name, *parameters = (part.strip() for part in offer.split(";"))
    if name != "permessage-deflate":
        return False
    seen = set()
    for parameter in parameters:
        key, equals, value = (part.strip() for part in parameter.partition("="))
        if key in seen:
            return False
        seen.add(key)
        if key in ("server_no_context_takeover", "client_no_context_takeover"):
            if equals:
                return False
        elif key == "client_max_window_bits":
            # We read every window; with or without a value this only tells what the client could.
            if equals and not _WINDOW_BITS.fullmatch(value):
                return False
        else:
            # Among them server_max_window_bits, which would bind what is sent to all alike.
            return False
    return True


_WINDOW_BITS = re.compile(r'("?)(8|9|1[0-5])\1')
_GUID: Final = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
_KEY_BYTES: Final = 16


def accept_key(key: str) -> str:
    """Return the ``Sec-WebSocket-Accept`` that answers a key (RFC 6455, 4.2.2)."""
    digest = hashlib.sha1(key.encode() + _GUID, usedforsecurity=False).digest()
    return base64.b64encode(digest).decode()


def handshake_response(
    key: str, subprotocol: str | None = None, extensions: str | None = None
) -> bytes:
    """Return the whole head of the answer that switches protocols.

    Parameters
    ----------
    key
        The client's ``Sec-WebSocket-Key``.
    subprotocol, extensions
        What was agreed on, or None.

    Raises
    ------
    ValueError
        When one of them would begin a new line.
    """
    lines = [
        "HTTP/1.1 101 Switching Protocols",
        "Upgrade: websocket",
        "Connection: Upgrade",
        f"Sec-WebSocket-Accept: {accept_key(key)}",
    ]
    if subprotocol is not None:
        lines.append(f"Sec-WebSocket-Protocol: {subprotocol}")
    if extensions is not None:
        lines.append(f"Sec-WebSocket-Extensions: {extensions}")
    if any("\r" in line or "\n" in line for line in lines):
        raise ValueError("a line break in a header")
    return ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1")


def handshake_fault(headers: Mapping[str, str]) -> int | None:
    """Judge the headers of a GET that wants to become a socket (RFC 6455, 4.2.1).

    Parameters
    ----------
    headers
        Looked up without regard to case, as those of Tornado are.

    Returns
    -------
    int or None
        None when they are right; 426 when only the version is not 13 (the answer then names 13 in
        ``Sec-WebSocket-Version``); else 400.
    """
    if not _has_token(headers.get("Upgrade", ""), "websocket"):
        return 400
    if not _has_token(headers.get("Connection", ""), "upgrade"):
        return 400
    if headers.get("Sec-WebSocket-Version", "").strip() != "13":
        return 426
    try:
        key = binascii.a2b_base64(headers.get("Sec-WebSocket-Key", "").strip(), strict_mode=True)
    except ValueError:
        return 400
    return None if len(key) == _KEY_BYTES else 400


def is_valid_handshake(headers: Mapping[str, str]) -> bool:
    """Whether these headers of a GET open a socket; ``handshake_fault`` tells what is wrong."""
    return handshake_fault(headers) is None


def _has_token(value: str, token: str) -> bool:
    return any(each.strip().lower() == token for each in value.split(","))
