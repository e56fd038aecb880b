"""What waits to be sent to one client, bounded in bytes.

All that the sockets lean on in Tornado for writing stands here. Tornado buffers without a limit
what a client does not read; this class counts the bytes, drops what may be dropped above the soft
limit, and tells when the hard one is reached.
"""

from __future__ import annotations

import asyncio
import functools
from typing import Any

from tornado.iostream import StreamClosedError
from tornado.websocket import WebSocketClosedError, WebSocketHandler


class Outbox:
    """Writes frames to one socket and keeps count of what has not left yet.

    Parameters
    ----------
    socket
        The open socket.
    soft_bytes, hard_bytes
        Above the first, droppable frames are dropped; what would pass the second is refused.
    """

    __slots__ = (
        "_hard_bytes",
        "_has_room",
        "_queued",
        "_since",
        "_socket",
        "_soft_bytes",
        "_turn",
    )

    def __init__(self, socket: WebSocketHandler, soft_bytes: int, hard_bytes: int) -> None:
        self._socket: WebSocketHandler | None = socket
        self._soft_bytes = soft_bytes
        self._hard_bytes = hard_bytes
        self._queued = 0
        self._turn = 0
        self._since: float | None = None
        self._has_room: asyncio.Future[None] | None = None

    @property
    def is_closed(self) -> bool:
        """Whether nothing can be sent any more."""
        return self._socket is None

    @property
    def queued_bytes(self) -> int:
        """How many bytes wait for the client to read."""
        if self._queued and not self._is_writing():
            self._emptied()
        return self._queued

    def send(self, frame: bytes, *, is_droppable: bool = False) -> bool:
        """Send a text frame; False when it would pass the hard limit.

        A droppable frame above the soft limit is dropped without a word.
        """
        if self._socket is None:
            return True
        queued = self.queued_bytes
        if is_droppable and queued > self._soft_bytes:
            return True
        if queued and queued + len(frame) > self._hard_bytes:
            return False
        try:
            future = self._socket.write_message(frame)
        except WebSocketClosedError:
            return True
        if not self._queued:
            self._since = asyncio.get_running_loop().time()
        self._queued += len(frame)
        future.add_done_callback(functools.partial(self._sent, self._turn, len(frame)))
        return True

    def ping(self) -> None:
        """Send a WebSocket ping."""
        if self._socket is not None:
            try:
                self._socket.ping()
            except (WebSocketClosedError, StreamClosedError):
                return

    async def drained(self) -> None:
        """Return when no more than the soft limit waits, or when the socket is closed."""
        while self._socket is not None and self.queued_bytes > self._soft_bytes:
            if self._has_room is None:
                self._has_room = asyncio.get_running_loop().create_future()
            await asyncio.shield(self._has_room)

    def stalled_seconds(self, now: float) -> float:
        """For how long there has been something waiting without a break."""
        return now - self._since if self.queued_bytes and self._since is not None else 0.0

    def close(self, code: int, reason: str) -> None:
        """Close the socket; nothing is sent after it. Tornado waits 5 s for the client's answer."""
        if self._socket is not None:
            socket, self._socket = self._socket, None
            socket.close(code, reason)
            self._wake()

    def abandon(self) -> None:
        """The socket is gone."""
        self._socket = None
        self._wake()

    def _is_writing(self) -> bool:
        connection = self._socket.ws_connection if self._socket is not None else None
        stream: Any = getattr(connection, "stream", None)
        return stream is not None and bool(stream.writing())

    def _sent(self, turn: int, size: int, future: asyncio.Future[None]) -> None:
        if not future.cancelled():
            future.exception()  # a closed socket; the handler hears of it by itself
        if turn != self._turn:
            return  # counted out already, when the buffer was found empty
        self._queued = max(0, self._queued - size)
        if not self._queued:
            self._emptied()
        elif self._queued <= self._soft_bytes:
            self._wake()

    def _emptied(self) -> None:
        self._queued = 0
        self._turn += 1
        self._since = None
        self._wake()

    def _wake(self) -> None:
        if self._has_room is not None and not self._has_room.done():
            self._has_room.set_result(None)
        self._has_room = None
