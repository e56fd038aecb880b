"""What is said inside the frames: this product's protocol, and Socket.IO's.

The peers that are plain WebSocket servers speak the product's frames, so that all of them move the
same bytes. Socket.IO has an envelope of its own around them.
"""

from __future__ import annotations

import enum
from typing import Final, NamedTuple, Protocol

import msgspec


class Kind(enum.Enum):
    """What a frame is, as far as a load client cares."""

    HELLO = "hello"
    HISTORY = "history"
    MESSAGE = "message"
    ACK = "ack"
    RECONNECT = "reconnect"
    ERROR = "error"
    PING = "ping"
    OTHER = "other"


class Event(NamedTuple):
    """One frame. ``seq`` is the message's number, or that to which a history brings the client.

    ``seqs`` are the numbers inside a history; ``wait`` is a time in milliseconds.
    """

    kind: Kind
    seq: int = 0
    cid: str = ""
    seqs: tuple[int, ...] = ()
    wait: int = 0
    text: str = ""


class _Row(msgspec.Struct):
    seq: int


class _Frame(msgspec.Struct):
    type: str = ""
    seq: int = 0
    to: int = 0
    cid: str = ""
    messages: list[_Row] = []
    after_ms: int = 0
    code: str = ""


_KINDS: Final = {
    kind.value: kind
    for kind in (Kind.HELLO, Kind.HISTORY, Kind.MESSAGE, Kind.ACK, Kind.RECONNECT, Kind.ERROR)
}
_decoder: Final = msgspec.json.Decoder(_Frame)


class Dialect(Protocol):
    """How to open a room, say a message, and understand what comes."""

    pong: bytes

    def path(self, room_id: str, after: int) -> str:
        """The path to connect to."""
        ...

    def header_token(self, token: str) -> str | None:
        """The token, if it belongs into a header."""
        ...

    def first(self, room_id: str, token: str, after: int) -> bytes:
        """What the client says before it is admitted; may be nothing."""
        ...

    def message(self, cid: str, text: str, text_ne: str = "") -> bytes:
        """The payload that sends a message."""
        ...

    def read(self, payload: bytes) -> Event:
        """Understand a frame. Raises ``ValueError`` for what is not in the dialect."""
        ...


class PlainDialect:
    """Frames of docs/protocol.md."""

    pong = b""

    def path(self, room_id: str, after: int) -> str:
        """The room's socket; ``after`` resumes."""
        return f"/ws/chat/{room_id}/?after={after}"

    def header_token(self, token: str) -> str | None:
        """The token goes into ``Authorization``."""
        return token

    def first(self, room_id: str, token: str, after: int) -> bytes:
        """Nothing: the server speaks first."""
        return b""

    def message(self, cid: str, text: str, text_ne: str = "") -> bytes:
        """A message of kind TEXT."""
        return msgspec.json.encode(
            {"type": "message", "kind": "TEXT", "cid": cid, "content": text, "content_ne": text_ne}
        )

    def read(self, payload: bytes) -> Event:
        """Understand a frame."""
        found = _decoder.decode(payload)
        kind = _KINDS.get(found.type, Kind.OTHER)
        return Event(
            kind,
            found.to if kind is Kind.HISTORY else found.seq,
            found.cid,
            tuple(row.seq for row in found.messages),
            found.after_ms,
            found.code,
        )


class SocketIoDialect(PlainDialect):
    """Socket.IO 5 over Engine.IO 4, WebSocket alone: ``42["chat",{frame}]``."""

    pong = b"3"

    def path(self, room_id: str, after: int) -> str:
        """Engine.IO's own path."""
        return "/socket.io/?EIO=4&transport=websocket"

    def header_token(self, token: str) -> str | None:
        """The token travels in the CONNECT packet."""
        return None

    def first(self, room_id: str, token: str, after: int) -> bytes:
        """The CONNECT packet, with what the handler needs."""
        return b"40" + msgspec.json.encode({"token": token, "room": room_id, "after": after})

    def message(self, cid: str, text: str, text_ne: str = "") -> bytes:
        """An event with the same fields."""
        return b'42["chat",' + super().message(cid, text, text_ne) + b"]"

    def read(self, payload: bytes) -> Event:
        """Unpack the event."""
        if payload == b"2":
            return Event(Kind.PING)
        if payload.startswith(b'42["chat",'):
            return super().read(payload[10:-1])
        if payload[:2] in (b"40", b"41") or payload[:1] == b"0":
            return Event(Kind.OTHER)
        raise ValueError(payload[:40].decode(errors="replace"))
