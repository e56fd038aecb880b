"""One open socket: whose it is, what it may still do, how far it has been served."""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Callable
from datetime import datetime
from typing import TYPE_CHECKING, Any, Final, Generic, Protocol, TypeVar

import msgspec

from server.domain.account import Actor
from server.domain.chat import ChatRoom
from server.schemas.frames import encode_frame
from server.ws.framing import Fault, Opcode, Received, encode
from server.ws.protocol import CloseCode
from server.ws.wire import Bounds, Socket

if TYPE_CHECKING:
    from server.ws.slot_days import SlotWatch
    from server.ws.streams import Stream

_log: Final = logging.getLogger(__name__)
T = TypeVar("T")
_MAX_OWN_CIDS: Final = 128
_MINUTE: Final = 60.0


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


class Keeper(Protocol):
    """What a session tells of itself."""

    tick: int

    def received(self, session: Session, received: Received) -> None:
        """A frame has come."""
        ...

    def closing(self, session: Session, code: CloseCode | int) -> None:
        """We have begun to close it: it counts no more."""
        ...

    def ended(self, session: Session, code: int | None) -> None:
        """The connection is gone; ``code`` is the client's, if it said one."""
        ...


class Busy:
    """What only sessions have that do something at the moment; the idle ones share one ``None``.

    ``own_cids`` are messages sent here whose ``ack`` takes the place of their publication,
    ``watched`` the payments that it is narrowed to, ``day`` the day whose free times it watches.
    """

    __slots__ = (
        "bursts",
        "day",
        "malformed",
        "own_cids",
        "read_merger",
        "refused",
        "typing_merger",
        "unacked",
        "watched",
        "when_acked",
    )

    def __init__(self) -> None:
        self.own_cids: dict[str, None] = {}
        self.unacked = 0
        self.when_acked: asyncio.Future[None] | None = None
        self.refused = 0
        self.bursts: deque[float] = deque()
        self.malformed: deque[float] = deque()
        self.typing_merger: Merger[bool] | None = None
        self.read_merger: Merger[int] | None = None
        self.watched: set[str] = set()
        self.day: SlotWatch | None = None


class Session(Socket):
    """The state of one connection.

    ``cursor`` is the sequence number up to which the client was served before it went live; from
    then on the stream's own number counts. ``is_live`` says whether it is served what is published,
    and not still catching up. Nothing but ``hello`` goes out before ``is_ready``. ``heard_at`` is
    the tick of the hub's wheel at which something came last. ``is_pinged`` while a ping of ours
    waits for its pong.
    """

    __slots__ = (
        "__weakref__",
        "_backlog",
        "_busy",
        "_keeper",
        "_running",
        "actor",
        "address",
        "closed_with",
        "cursor",
        "expires_at",
        "has_heard_of_expiry",
        "heard_at",
        "is_live",
        "is_pinged",
        "is_ready",
        "kind",
        "number",
        "opened_at",
        "own_read",
        "paid_until",
        "received_count",
        "stream",
    )

    def __init__(
        self,
        number: int,
        kind: str,
        actor: Actor,
        expires_at: datetime,
        address: str,
        bounds: Bounds,
        keeper: Keeper,
        *,
        deflates: bool,
    ) -> None:
        super().__init__(bounds, deflates=deflates)
        self.number = number
        self.kind = kind
        self.actor = actor
        self.expires_at = expires_at
        self.address = address
        self.stream: Stream | None = None
        self.cursor = 0
        self.is_ready = False
        self.is_live = False
        self.heard_at = keeper.tick
        self.opened_at = keeper.tick
        self.has_heard_of_expiry = False
        self.is_pinged = False
        self.own_read = 0
        self.paid_until = 0.0
        self.received_count = 0
        self.closed_with: int | None = None
        self._keeper = keeper
        self._busy: Busy | None = None
        self._backlog: deque[Received] | None = None
        self._running: asyncio.Future[Any] | None = None

    @property
    def user_id(self) -> str:
        """Whose connection it is."""
        return self.actor.user_id

    @property
    def room(self) -> ChatRoom | None:
        """The room that it is connected to; None on a notification socket."""
        return self.stream.room if self.stream is not None else None

    @property
    def busy(self) -> Busy:
        """Its state beyond idleness."""
        if self._busy is None:
            self._busy = Busy()
        return self._busy

    @property
    def day(self) -> SlotWatch | None:
        """The day whose free times it watches."""
        return self._busy.day if self._busy is not None else None

    def watches(self, payment_id: str) -> bool:
        """Whether it wants to hear of that payment: of all, unless it has named some."""
        watched = self._busy.watched if self._busy is not None else None
        return not watched or payment_id in watched

    # -- sending --------------------------------------------------------------------------------

    def send(self, event: msgspec.Struct) -> None:
        """Send one frame to this client alone."""
        self.send_frame(encode(encode_frame(event)))

    def close_with(self, code: CloseCode) -> None:
        """Close the connection from our side."""
        self.close(code, code.reason)

    def close(self, code: int, reason: str = "") -> None:
        """See :meth:`Socket.close`."""
        if self.is_open:
            self.closed_with = code
            super().close(code, reason)
            self._keeper.closing(self, code)

    def on_overflow(self) -> None:
        """A client that does not read what it was sent is closed; it resumes by number."""
        self.close_with(CloseCode.SLOW_READER)

    # -- receiving ------------------------------------------------------------------------------

    def on_bytes(self) -> None:
        """Any bytes count as life."""
        self.heard_at = self._keeper.tick

    def on_received(self, received: Received) -> None:
        """Act on it, or keep it until the one before is done."""
        if self._running is not None:
            if received.opcode == Opcode.PONG:
                return
            if self._backlog is None:
                self._backlog = deque()
            self._backlog.append(received)
            return
        self._keeper.received(self, received)

    def on_fault(self, fault: Fault) -> None:
        """The client broke the protocol of frames."""
        self.close(fault.code, fault.reason)

    def hold(self, work: asyncio.Future[Any]) -> None:
        """Read nothing more, and act on nothing that was read, until the work is done."""
        self._running = work
        self.pause()
        work.add_done_callback(self._go_on)

    def _go_on(self, work: asyncio.Future[Any]) -> None:
        self._running = None
        try:
            while self._backlog and self.is_open:
                self._keeper.received(self, self._backlog.popleft())
                if self._is_held():
                    return
        except Exception:
            # Else it would not be read any more: it comes back and resumes.
            _log.exception("socket_failed")
            self.abort()
        self._backlog = None
        self.resume()

    def _is_held(self) -> bool:
        return self._running is not None

    # -- sends without acknowledgement ------------------------------------------------------------

    def sending(self, cid: str) -> None:
        """One more message waits for the database."""
        busy = self.busy
        busy.unacked += 1
        busy.own_cids.pop(cid, None)
        busy.own_cids[cid] = None
        if len(busy.own_cids) > _MAX_OWN_CIDS:
            del busy.own_cids[next(iter(busy.own_cids))]

    def answered(self) -> None:
        """One of them has been answered."""
        busy = self.busy
        busy.unacked -= 1
        if busy.when_acked is not None:
            waiting, busy.when_acked = busy.when_acked, None
            if not waiting.done():
                waiting.set_result(None)

    @property
    def unacked(self) -> int:
        """How many messages wait for their answer."""
        return self._busy.unacked if self._busy is not None else 0

    def next_answer(self) -> asyncio.Future[None]:
        """Ends when the next message is answered, or the connection has ended."""
        busy = self.busy
        if busy.when_acked is None:
            busy.when_acked = asyncio.get_running_loop().create_future()
        return busy.when_acked

    async def acked_below(self, most: int) -> None:
        """Return when fewer than so many messages wait."""
        while self.unacked >= most and self.is_open:
            await asyncio.shield(self.next_answer())

    @property
    def has_own_cids(self) -> bool:
        """Whether it has sent anything whose publication it is not to get."""
        return self._busy is not None and bool(self._busy.own_cids)

    def has_sent(self, cid: str) -> bool:
        """Whether a published message is this connection's own, which the ``ack`` tells of.

        Asked once for each: it is forgotten then.
        """
        return self._busy is not None and self._busy.own_cids.pop(cid, cid) is None

    def failed(self, cid: str) -> None:
        """It was refused, or nobody knows: if it turns up, the client hears of it."""
        self.busy.own_cids.pop(cid, None)

    # -- limits ---------------------------------------------------------------------------------

    def count_malformed(self, now: float) -> int:
        """Count a frame that is no command; returns how many there were in a minute."""
        return _count_recent(self.busy.malformed, now)

    def count_refused(self, now: float, burst: int) -> int:
        """Count a frame that came too fast; returns how many bursts of them were in a minute."""
        busy = self.busy
        busy.refused += 1
        if busy.refused % burst == 1 or burst == 1:
            _count_recent(busy.bursts, now)
        return len(busy.bursts)

    # -- the end --------------------------------------------------------------------------------

    def finish(self) -> None:
        """Nobody waits for it any longer, and its last mark is kept."""
        busy = self._busy
        if busy is None:
            return
        if busy.when_acked is not None and not busy.when_acked.done():
            busy.when_acked.set_result(None)
        if busy.read_merger is not None:
            busy.read_merger.finish()
        if busy.typing_merger is not None:
            busy.typing_merger.finish()

    def on_end(self, code: int | None) -> None:
        """The connection is gone."""
        self._keeper.ended(self, code)


def _count_recent(times: deque[float], now: float) -> int:
    """Add an instant, forget those of more than a minute ago, return how many are left."""
    times.append(now)
    while times[0] < now - _MINUTE:
        times.popleft()
    return len(times)
