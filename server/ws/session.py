"""One open socket: whose it is, what it may still do, how far it has been served."""

from __future__ import annotations

import asyncio
from collections import OrderedDict, deque
from collections.abc import Callable
from datetime import datetime
from typing import Any, Final, Generic, TypeVar

import msgspec

from server.domain.account import Actor
from server.domain.chat import ChatRoom
from server.schemas.frames import encode_frame
from server.ws.limits import TokenBucket
from server.ws.outbox import Outbox
from server.ws.protocol import CloseCode

T = TypeVar("T")
_MAX_OWN_CIDS: Final = 128


class Merger(Generic[T]):
    """Lets the first value through at once and then, in each interval, only the last that came."""

    __slots__ = ("_act", "_free_at", "_interval", "_timer", "_waiting")

    def __init__(self, interval: float, act: Callable[[T], None]) -> None:
        self._interval = interval
        self._act = act
        self._free_at = 0.0
        self._timer: asyncio.TimerHandle | None = None
        self._waiting: list[T] = []

    def offer(self, value: T) -> None:
        """Act on the value now or, merged with what follows, at the end of the interval."""
        loop = asyncio.get_running_loop()
        if loop.time() >= self._free_at and self._timer is None:
            self._free_at = loop.time() + self._interval
            self._act(value)
            return
        self._waiting = [value]
        if self._timer is None:
            self._timer = loop.call_at(self._free_at, self.finish)

    def finish(self) -> None:
        """Act on what waits."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self._waiting:
            self._free_at = asyncio.get_running_loop().time() + self._interval
            self._act(self._waiting.pop())


class Session:
    """The state of one connection.

    ``cursor`` is the sequence number up to which the client has been served; ``is_live`` whether it
    is served what is published, and not still catching up. Nothing but ``hello`` goes out before
    ``is_ready``.
    """

    __slots__ = (
        "actor",
        "bucket",
        "bursts",
        "closed_with",
        "cursor",
        "expires_at",
        "frames",
        "has_heard_of_expiry",
        "id",
        "is_live",
        "is_ready",
        "kind",
        "last_heard",
        "malformed",
        "next_ping_at",
        "on_close",
        "outbox",
        "own_cids",
        "own_read",
        "read_merger",
        "received",
        "refused",
        "resume",
        "room",
        "typing_merger",
        "unacked",
        "when_acked",
    )

    def __init__(
        self,
        session_id: str,
        kind: str,
        actor: Actor,
        expires_at: datetime,
        outbox: Outbox,
        bucket: TokenBucket,
        now: float,
        on_close: Callable[[Session, CloseCode], None],
    ) -> None:
        self.id = session_id
        self.kind = kind
        self.actor = actor
        self.expires_at = expires_at
        self.outbox = outbox
        self.bucket = bucket
        self.on_close = on_close
        self.room: ChatRoom | None = None
        self.cursor = 0
        self.is_ready = False
        self.is_live = False
        self.last_heard = now
        self.next_ping_at = now
        self.has_heard_of_expiry = False
        self.unacked = 0
        self.resume: asyncio.Future[None] | None = None
        self.when_acked: asyncio.Future[None] | None = None
        self.own_cids: OrderedDict[str, None] = OrderedDict()
        self.own_read = 0
        self.refused = 0
        self.bursts: deque[float] = deque()
        self.malformed: deque[float] = deque()
        self.frames = 0
        self.received = 0
        self.typing_merger: Merger[bool] | None = None
        self.read_merger: Merger[int] | None = None
        self.closed_with: CloseCode | None = None

    @property
    def user_id(self) -> str:
        """Whose connection it is."""
        return self.actor.user_id

    def send(self, event: msgspec.Struct) -> None:
        """Send one frame to this client alone."""
        self.send_bytes(encode_frame(event))

    def send_bytes(self, frame: bytes, *, is_droppable: bool = False) -> None:
        """Send finished bytes; a client that does not read what it was sent is closed."""
        if self.outbox.is_closed:
            return
        self.frames += 1
        if not self.outbox.send(frame, is_droppable=is_droppable):
            self.close(CloseCode.SLOW_READER)

    def close(self, code: CloseCode) -> None:
        """Close the connection from our side."""
        if self.closed_with is None and not self.outbox.is_closed:
            self.closed_with = code
            self.outbox.close(code, code.name.lower().replace("_", " "))
            self.on_close(self, code)

    # -- sends without acknowledgement ------------------------------------------------------------

    def sending(self, cid: str) -> None:
        """One more message waits for the database."""
        self.unacked += 1
        self.own_cids[cid] = None
        self.own_cids.move_to_end(cid)
        if len(self.own_cids) > _MAX_OWN_CIDS:
            self.own_cids.popitem(last=False)

    def answered(self, max_unacked: int) -> None:
        """One of them has been answered."""
        self.unacked -= 1
        if self.resume is not None and self.unacked < max_unacked:
            _fulfil(self.resume)
            self.resume = None
        if self.when_acked is not None and self.unacked == 0:
            _fulfil(self.when_acked)
            self.when_acked = None

    def pause(self, max_unacked: int) -> asyncio.Future[None] | None:
        """What reading waits for when too many sends are unanswered."""
        if self.unacked < max_unacked:
            return None
        self.resume = self.resume or asyncio.get_running_loop().create_future()
        return self.resume

    async def all_answered(self) -> None:
        """Return when no send waits."""
        if self.unacked:
            if self.when_acked is None:
                self.when_acked = asyncio.get_running_loop().create_future()
            await asyncio.shield(self.when_acked)

    def gone(self) -> None:
        """The socket no longer exists: nobody waits for it, and its last mark is kept."""
        self.outbox.abandon()
        for waiting in (self.resume, self.when_acked):
            if waiting is not None:
                _fulfil(waiting)
        if self.read_merger is not None:
            self.read_merger.finish()
        if self.typing_merger is not None:
            self.typing_merger.finish()

    def has_sent(self, cid: str, sender_id: str) -> bool:
        """Whether a published message is this connection's own, which the ``ack`` tells of."""
        return sender_id == self.actor.user_id and cid in self.own_cids


def _fulfil(future: asyncio.Future[Any]) -> None:
    if not future.done():
        future.set_result(None)
