"""Numbered streams: a room's messages, a person's notifications. In order, resumed by number.

The database is the truth and the bus a hint. A :class:`Stream` hands what is published on one topic
to the sessions of this process, in the order of the numbers; when one is missing it reads the
database. A :class:`Source` reads a stream from the database, for those who join or have missed
something.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Coroutine, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final, Protocol

import msgspec
from msgspec import UNSET, Raw, Struct

from server.domain.chat import ChatRoom, ReadMark
from server.domain.errors import StoreUnavailable
from server.domain.ports.processes import Bus
from server.schemas.frames import Heading, HistoryEvent, encode_frame, view_message
from server.services.chats import ChatService
from server.services.notifications import NotificationService
from server.ws.framing import deflated, encode
from server.ws.protocol import FIRST_PAGE, MAX_PAGE_BYTES, MAX_REPLAY, REPLAY_PAGE
from server.ws.session import Session
from server.ws.wire import Flushable

_log: Final = logging.getLogger(__name__)
_NUMBERED: Final = frozenset({"message", "notification"})
_EPHEMERAL: Final = frozenset({"typing", "presence", "position"})
_REPAIR_SECONDS: Final = 0.2
_RETRY_SECONDS: Final = 1.0
_MAX_PENDING: Final = 200
_FEWEST_ROWS: Final = 8
"""So many are read at a time for a client that takes fewer."""
_SERVED_PER_TURN: Final = 128
"""Sockets that are written to before the event loop has another turn: some two milliseconds."""
_NO_ROUNDS: Final[list[_Round | _Notice]] = []
_NO_MARKS: Final[dict[str, ReadMark]] = {}
_heading: Final = msgspec.json.Decoder(Heading)


@dataclass(frozen=True, slots=True)
class Numbered:
    """One entry of a stream as a finished frame."""

    sequence: int
    frame: bytes


class Source(Protocol):
    """Reads streams of one kind from the database; ``key`` says which one.

    Every method that reads may raise ``StoreUnavailable``.
    """

    def heard(self, key: str, sequence: int) -> None:
        """A number was published; whoever gives numbers need not try it."""
        ...

    def heard_read(self, key: str, user_id: str, sequence: int) -> None:
        """Somebody was told to have read so far, perhaps by another process."""
        ...

    def heard_presence(self, user_id: str) -> None:
        """Somebody was told to have come or gone, perhaps in another process."""
        ...

    async def after(self, key: str, sequence: int, limit: int) -> list[Numbered]:
        """Entries with a higher number, ascending."""
        ...

    async def before(self, key: str, sequence: int | None, limit: int) -> list[Numbered]:
        """The newest entries below a number, ascending."""
        ...

    def page(
        self, key: str, rows: Sequence[Numbered], start: int, end: int, *, more: bool, gap: bool
    ) -> HistoryEvent:
        """A ``history`` frame of these entries."""
        ...


class RoomSource:
    """The messages of rooms, for those who have passed the gate; the key is the room's id."""

    def __init__(self, chats: ChatService) -> None:
        self._chats = chats

    def heard(self, key: str, sequence: int) -> None:
        """Remember it: the next message of this process comes behind it."""
        self._chats.heard(key, sequence)

    def heard_read(self, key: str, user_id: str, sequence: int) -> None:
        """Remember it: whoever reads the room in another process need not be told of it."""
        self._chats.heard_read(key, user_id, sequence)

    def heard_presence(self, user_id: str) -> None:
        """Remember it: whoever has come to another process a moment ago may look at the room."""
        self._chats.heard_presence(user_id)

    async def after(self, key: str, sequence: int, limit: int) -> list[Numbered]:
        """Messages with a higher number, ascending."""
        rows = await self._chats.messages_after(key, sequence, limit)
        return [Numbered(row.sequence, encode_frame(view_message(row))) for row in rows]

    async def before(self, key: str, sequence: int | None, limit: int) -> list[Numbered]:
        """The newest messages below a number, ascending."""
        rows = await self._chats.messages_before(key, sequence, limit)
        return [Numbered(row.sequence, encode_frame(view_message(row))) for row in rows]

    def page(
        self, key: str, rows: Sequence[Numbered], start: int, end: int, *, more: bool, gap: bool
    ) -> HistoryEvent:
        """A ``history`` frame of these messages."""
        raw = [Raw(row.frame) for row in rows]
        return HistoryEvent(from_=start, to=end, more=more, gap=gap, room=key, messages=raw)


class NotificationSource:
    """The notifications of people; the key is the user's id."""

    def __init__(self, notifications: NotificationService) -> None:
        self._notifications = notifications

    def heard(self, key: str, sequence: int) -> None:
        """The database gives these numbers."""

    def heard_read(self, key: str, user_id: str, sequence: int) -> None:
        """Nobody asks for it."""

    def heard_presence(self, user_id: str) -> None:
        """Nobody asks for it."""

    async def after(self, key: str, sequence: int, limit: int) -> list[Numbered]:
        """Notifications with a higher number, ascending."""
        rows = await self._notifications.list_after(key, sequence, limit)
        return [Numbered(row.sequence, self._notifications.frame(row)) for row in rows]

    async def before(self, key: str, sequence: int | None, limit: int) -> list[Numbered]:
        """The newest notifications below a number, ascending."""
        rows = await self._notifications.list_before(key, sequence, limit)
        return [Numbered(row.sequence, self._notifications.frame(row)) for row in rows]

    def page(
        self, key: str, rows: Sequence[Numbered], start: int, end: int, *, more: bool, gap: bool
    ) -> HistoryEvent:
        """A ``history`` frame of these notifications."""
        raw = [Raw(row.frame) for row in rows]
        return HistoryEvent(
            from_=start, to=end, more=more, gap=gap, notifications=raw, messages=UNSET
        )


class PaymentSource:
    """A customer's payments are told as states and not numbered: there is nothing to replay."""

    def heard(self, key: str, sequence: int) -> None:
        """Nothing is numbered."""

    def heard_read(self, key: str, user_id: str, sequence: int) -> None:
        """Nobody asks for it."""

    def heard_presence(self, user_id: str) -> None:
        """Nobody asks for it."""

    async def after(self, key: str, sequence: int, limit: int) -> list[Numbered]:
        """Nothing."""
        return []

    async def before(self, key: str, sequence: int | None, limit: int) -> list[Numbered]:
        """Nothing."""
        return []

    def page(
        self, key: str, rows: Sequence[Numbered], start: int, end: int, *, more: bool, gap: bool
    ) -> HistoryEvent:
        """An empty page."""
        return HistoryEvent(from_=start, to=end, more=more, gap=gap, messages=UNSET)


class Shared:
    """What all streams of a process use: one object instead of a handful of references each."""

    def __init__(self, bus: Bus, soon: Callable[[Flushable], None]) -> None:
        self.bus = bus
        self.soon = soon
        self.frames_out = 0
        self._tasks: set[asyncio.Task[None]] = set()

    def start(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        """Run something aside and keep hold of it."""
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task


class _Entry(Struct, frozen=True, gc=False):
    """A numbered publication, framed."""

    sequence: int
    cid: str
    sender_id: str
    payload: bytes
    frame: bytes


class _Round:
    """Publications on their way to the sessions that were live when they came."""

    __slots__ = ("_blob", "_compressed", "_entries", "_place", "_sessions")

    def __init__(self, entries: list[_Entry], sessions: list[Session]) -> None:
        self._entries = entries
        self._sessions = sessions
        self._place = 0
        frames = [entry.frame for entry in entries]
        self._blob = frames[0] if len(frames) == 1 else b"".join(frames)
        self._compressed: bytes | None = None

    @property
    def is_done(self) -> bool:
        """Whether all have been served."""
        return self._place >= len(self._sessions)

    def serve(self, count: int, *, is_joined: bool) -> int:
        """Serve up to so many; returns how many more might have been.

        ``is_joined``: more follows in this turn, and leaves with it in one write.
        """
        start, end = self._place, self._place + count
        self._place = min(end, len(self._sessions))
        first = self._entries[0].sequence
        for session in self._sessions[start:end]:
            if not session.is_live:
                continue
            try:
                if session.has_own_cids or session.cursor >= first:
                    blob = self._lacking(session)
                elif session.deflates:
                    if self._compressed is None:
                        self._compressed = b"".join(map(_smallest, self._entries))
                    blob = self._compressed
                else:
                    blob = self._blob
                if is_joined:
                    session.send_frame(blob)
                elif blob:
                    session.push(blob)
            except Exception:
                # The others get theirs; this one would have a gap: it comes back and resumes.
                _log.exception("delivery_failed")
                session.abort()
        return end - self._place

    def _lacking(self, session: Session) -> bytes:
        wanted = [
            entry
            for entry in self._entries
            if entry.sequence > session.cursor
            and not (entry.sender_id == session.user_id and session.has_sent(entry.cid))
        ]
        if not session.deflates and len(wanted) == len(self._entries):
            return self._blob
        return b"".join(map(_smallest, wanted) if session.deflates else (e.frame for e in wanted))


class _Notice:
    """An unnumbered publication on its way."""

    __slots__ = ("_frame", "_is_droppable", "_place", "_sessions")

    def __init__(self, frame: bytes, sessions: list[Session], *, is_droppable: bool) -> None:
        self._frame = frame
        self._sessions = sessions
        self._is_droppable = is_droppable
        self._place = 0

    @property
    def is_done(self) -> bool:
        """Whether all have been served."""
        return self._place >= len(self._sessions)

    def serve(self, count: int, *, is_joined: bool) -> int:
        """Serve up to so many; returns how many more might have been."""
        start, end = self._place, self._place + count
        self._place = min(end, len(self._sessions))
        for session in self._sessions[start:end]:
            session.send_frame(self._frame, is_droppable=self._is_droppable)
        return end - self._place


class Stream:
    """What is published on one topic, for the sessions of this process.

    ``head`` is the highest number heard of. Of a room: ``room`` is its state as last heard of and
    ``reads`` the marks of its members. Of a person's notifications: ``unread`` is the last count
    heard of. ``joining`` counts those who are about to become sessions of it. ``unused_since`` is
    the tick since when there is nobody.

    What is published in one turn of the event loop leaves in one write for each socket, with the
    same bytes for all of them.
    """

    __slots__ = (
        "_delivered",
        "_is_due",
        "_is_subscribed",
        "_marks",
        "_pending",
        "_queue",
        "_repair",
        "_rounds",
        "_shared",
        "_subscribing",
        "head",
        "joining",
        "key",
        "room",
        "sessions",
        "source",
        "topic",
        "unread",
        "unused_since",
    )

    def __init__(self, topic: str, key: str, source: Source, shared: Shared) -> None:
        self.topic = topic
        self.key = key
        self.source = source
        self.room: ChatRoom | None = None
        self.sessions: list[Session] = []
        self.joining = 0
        self.unused_since: int | None = None
        self._subscribing: asyncio.Future[None] | None = None
        self._is_subscribed = False
        self.head = 0
        self.unread: int | None = None
        self._marks: tuple[int, ...] = ()
        self._shared = shared
        self._delivered: int | None = None
        self._queue: list[_Entry] | None = None
        self._rounds: list[_Round | _Notice] = _NO_ROUNDS
        self._is_due = False
        self._pending: dict[int, tuple[Heading, bytes]] | None = None
        self._repair: asyncio.Task[None] | None = None

    async def subscribe(self) -> None:
        """Return when the topic is received; for all who join at the same time by one command."""
        if self._is_subscribed:
            return
        subscribing = self._subscribing
        if subscribing is None:
            subscribing = self._subscribing = asyncio.ensure_future(
                self._shared.bus.subscribe(self.topic, self.receive)
            )
        try:
            await asyncio.shield(subscribing)
            self._is_subscribed = True
        finally:
            if subscribing.done():
                self._subscribing = None

    def receive(self, payload: bytes) -> None:
        """Take one publication; called by the bus."""
        heading = _heading.decode(payload)
        if heading.type in _NUMBERED:
            if heading.seq > self.head:
                self.head = heading.seq
                self.source.heard(self.key, heading.seq)
            self._take(heading, payload)
        else:
            self._pass_on(heading, payload)

    def learn_room(self, room: ChatRoom) -> None:
        """Take the stored state of the room, unless a newer one has been heard of.

        Of thousands of rooms only what the sockets need is kept.
        """
        if self.room is None:
            if room.head is not None:
                self.head = max(self.head, room.head.sequence)
            for user_id, mark in room.reads.items():
                self._mark(room.members, user_id, mark.sequence)
            self.room = replace(room, head=None, reads=_NO_MARKS, customer_name="", pandit_name="")

    def learn_unread(self, unread: int) -> None:
        """Take the stored count of what is unread, unless one was told of meanwhile."""
        if self.unread is None:
            self.unread = unread

    @property
    def reads(self) -> dict[str, int]:
        """The marks of the room's members, as far as heard of."""
        members = self.room.members if self.room is not None else ()
        return dict(zip(members, self._marks, strict=False))

    def _mark(self, members: tuple[str, ...], user_id: str, sequence: int) -> None:
        marks = self._marks or (0,) * len(members)
        self._marks = tuple(
            max(mark, sequence) if member == user_id else mark
            for member, mark in zip(members, marks, strict=True)
        )

    def may_go_live(self, session: Session) -> bool:
        """Let the session hear what is published from now on, if it has all that came before."""
        if session.cursor < max(self.head, self._delivered or 0):
            return False
        self._begin_round()
        if self._delivered is None:
            self._delivered = session.cursor
        session.is_live = True
        return True

    def leave(self, session: Session) -> None:
        """Take a session out."""
        if session in self.sessions:
            self.sessions.remove(session)
        session.is_live = False
        if not any(other.is_live for other in self.sessions):
            self._delivered = None
            self._pending = self._queue = None
            self._rounds = _NO_ROUNDS

    @property
    def is_unused(self) -> bool:
        """Whether nobody is served by it, nor about to be."""
        return not self.sessions and not self.joining

    @property
    def delivered(self) -> int | None:
        """Up to which number the live sessions have been served; None when there are none."""
        return self._delivered

    def close(self) -> None:
        """Stop what is under way and end the subscription."""
        if self._repair is not None:
            self._repair.cancel()
        if self._subscribing is not None:
            self._subscribing.cancel()
        self._shared.bus.unsubscribe(self.topic, self.receive)

    # -- in order -------------------------------------------------------------------------------

    def _take(self, heading: Heading, payload: bytes) -> None:
        if self._delivered is None or heading.seq <= self._delivered:
            return
        if heading.seq == self._delivered + 1:
            self._deliver(heading, payload)
            self._take_pending()
            return
        if self._pending is None:
            self._pending = {}
        if len(self._pending) < _MAX_PENDING:
            self._pending[heading.seq] = (heading, payload)
        if self._repair is None or self._repair.done():
            self._repair = self._shared.start(self._fill_gap())

    def _take_pending(self) -> None:
        while self._pending and self._delivered is not None:
            following = self._pending.pop(self._delivered + 1, None)
            if following is None:
                return
            self._deliver(*following)

    def _deliver(self, heading: Heading, payload: bytes) -> None:
        self._delivered = heading.seq
        entry = _Entry(heading.seq, heading.cid, heading.sender_id, payload, encode(payload))
        if self._queue is None:
            self._queue = []
        self._queue.append(entry)
        self._be_due()

    def _be_due(self) -> None:
        if not self._is_due:
            self._is_due = True
            self._shared.soon(self)

    def flush(self) -> None:
        """Send what was published in this turn: one write for each socket, the same bytes.

        A large room is served in several turns, so that the rest of the loop has its own: messages
        of meanwhile wait and leave together in the next round.
        """
        self._is_due = False
        if not self._rounds:
            self._begin_round()
        self._serve(is_joined=False)

    def _serve(self, *, is_joined: bool) -> None:
        left = _SERVED_PER_TURN
        while self._rounds and left > 0:
            left = self._rounds[0].serve(left, is_joined=is_joined)
            if self._rounds and self._rounds[0].is_done:
                self._rounds = self._rounds[1:] or _NO_ROUNDS
        if self._rounds or self._queue:
            self._be_due()

    def _begin_round(self) -> None:
        """Settle who gets what was published so far: those who are live now."""
        queue, self._queue = self._queue, None
        if queue:
            sessions = [session for session in self.sessions if session.is_live]
            self._shared.frames_out += len(queue) * len(sessions)
            self._rounds = [*self._rounds, _Round(queue, sessions)]

    async def fill(self) -> None:
        """Read from the database what the live sessions have not been served."""
        while self._delivered is not None:
            rows = await self.source.after(self.key, self._delivered, REPLAY_PAGE)
            for row in rows:
                self.head = max(self.head, row.sequence)
                self._take_row(row)
            self._take_pending()
            if len(rows) < REPLAY_PAGE:
                return

    def _take_row(self, row: Numbered) -> None:
        if self._delivered is not None and row.sequence > self._delivered:
            self._deliver(_heading.decode(row.frame), row.frame)

    async def _fill_gap(self) -> None:
        """Read from the database what the bus did not bring, after giving it a moment."""
        await asyncio.sleep(_REPAIR_SECONDS)
        while self._delivered is not None and self._delivered < self.head:
            before = self._delivered
            try:
                await self.fill()
            except StoreUnavailable:
                await asyncio.sleep(_RETRY_SECONDS)
                continue
            pending = self._pending or {}
            if self._delivered == before:
                # Numbers that nobody has: go on with what was published.
                for seq in sorted(pending):
                    if seq > self._delivered:
                        self._deliver(*pending[seq])
                self._delivered = self.head
            self._pending = None

    # -- unnumbered -----------------------------------------------------------------------------

    def _pass_on(self, heading: Heading, payload: bytes) -> None:
        if heading.type == "room" and self.room is not None:
            self.room = replace(self.room, is_active=heading.is_active)
        elif heading.type == "read" and heading.user:
            self.source.heard_read(self.key, heading.user, heading.seq)
            if self.room is not None:
                self._mark(self.room.members, heading.user, heading.seq)
        elif heading.type == "presence":
            self.source.heard_presence(heading.user)
            if heading.state != "online" and self._is_here(heading.user):
                # Told by a process that he has left before he came to this one.
                return
        elif heading.type == "badge":
            self.unread = heading.unread
        if not self.sessions:
            return
        is_ephemeral = heading.type in _EPHEMERAL
        wanted = [session for session in self.sessions if _is_meant(session, heading)]
        # Behind what was published before, and with it in one write.
        self._begin_round()
        notice = _Notice(encode(payload), wanted, is_droppable=is_ephemeral)
        self._rounds = [*self._rounds, notice]
        self._serve(is_joined=True)

    def _is_here(self, user_id: str) -> bool:
        return any(each.user_id == user_id and each.is_ready for each in self.sessions)


def _is_meant(session: Session, heading: Heading) -> bool:
    """Whether an unnumbered publication is told to the session."""
    if not session.is_ready:
        return False
    if heading.type == "payment":
        return session.watches(heading.payment)
    if heading.user != session.user_id:
        return True
    if heading.type == "read":
        return heading.seq > session.own_read
    return heading.type not in _EPHEMERAL


def _smallest(entry: _Entry) -> bytes:
    return deflated(entry.payload) or entry.frame


def send_what_fits(
    session: Session,
    stream: Stream,
    rows: list[Numbered],
    start: int,
    *,
    more: bool = False,
    gap: bool = False,
) -> tuple[int, int]:
    """Send entries as ``history`` frames of bounded size, as far as the client takes them.

    There is always at least one frame, so that a client knows that it has been answered. ``more``
    is said in the last one only, ``gap`` in the first. Returns the number that the client has been
    brought to, and how many entries are left. The list is empty then: what the client has no room
    for is not held, it is read again from that number when he has.
    """
    place, count = 0, len(rows)
    while True:
        cut: list[Numbered] = []
        size = 0
        while place < count and (not cut or size + len(rows[place].frame) <= MAX_PAGE_BYTES):
            size += len(rows[place].frame)
            cut.append(rows[place])
            place += 1
        first, last = (cut[0].sequence, cut[-1].sequence) if cut else (start, start)
        is_last = place == count
        session.send(
            stream.source.page(stream.key, cut, first, last, more=more and is_last, gap=gap)
        )
        start, gap = last, False
        if is_last or session.is_behind() or not session.is_open:
            rows.clear()
            return start, count - place


def rows_to_read(sent: int) -> int:
    """How many entries are read for a client that took so many of the last ones."""
    return min(REPLAY_PAGE, max(_FEWEST_ROWS, 2 * sent))


async def answer(
    session: Session, stream: Stream, rows: list[Numbered], start: int, *, more: bool
) -> None:
    """Answer a question with these entries, at the pace at which the client reads.

    ``start`` is the number that an empty answer names, ``more`` whether the client may ask on.
    """
    end = rows[-1].sequence if rows else start
    while True:
        count, is_end = len(rows), not rows or rows[-1].sequence >= end
        start, left = send_what_fits(session, stream, rows, start, more=more and is_end)
        await session.drained()
        if not session.is_open or (is_end and not left):
            return
        found = await stream.source.after(stream.key, start, rows_to_read(count - left))
        rows = [row for row in found if row.sequence <= end]
        del found


@dataclass(frozen=True, slots=True)
class FirstPage:
    """What a connection is brought up to date with first: one indexed read.

    The rows are gone from it as soon as they have been sent, or the client had no room for them.
    ``start`` is the number it begins after, ``head`` the stream's as far as is known then.
    """

    rows: list[Numbered]
    start: int
    head: int
    gap: bool
    is_complete: bool


async def read_first_page(stream: Stream, since: int | None) -> FirstPage:
    """Read what a client lacks that has seen all up to ``since`` (None: nothing yet).

    Whoever is further behind than ``MAX_REPLAY``, or ahead of the stream, gets the newest page.
    """
    source, key = stream.source, stream.key
    missed: list[Numbered] = []
    if since is not None and stream.head <= since + MAX_REPLAY:
        rows = await source.after(key, since, REPLAY_PAGE)
        if rows:
            stream.head = max(stream.head, rows[-1].sequence)
        if len(rows) == REPLAY_PAGE:
            missed = rows
        elif rows or since <= stream.head:
            return FirstPage(rows, since, stream.head, gap=False, is_complete=True)
    rows = await source.before(key, None, FIRST_PAGE)
    newest = rows[-1].sequence if rows else 0
    stream.head = max(stream.head, newest)
    if since is not None:
        if missed and newest <= since + MAX_REPLAY:
            return FirstPage(missed, since, stream.head, gap=False, is_complete=False)
        if since == newest or (rows and rows[0].sequence <= since + 1 <= newest):
            rows = [row for row in rows if row.sequence > since]
            return FirstPage(rows, since, stream.head, gap=False, is_complete=True)
    return FirstPage(rows, 0, stream.head, gap=since is not None, is_complete=True)


async def replay(session: Session, stream: Stream, first: FirstPage) -> None:
    """Bring a session that has joined the stream up to date, then let it go live.

    Nothing is held back in memory meanwhile: what is published while pages are read, and what the
    client has no room for, is in the database. The session goes live in the very moment when it
    lacks nothing.
    """
    rows, gap, is_complete = first.rows, first.gap, first.is_complete
    session.cursor, limit, is_answered = first.start, REPLAY_PAGE, False
    while session.is_open:
        if rows or not is_answered:
            count = len(rows)
            session.cursor, left = send_what_fits(session, stream, rows, session.cursor, gap=gap)
            is_answered, gap = True, False
            is_complete = is_complete and not left
            limit = rows_to_read(count - left) if left else min(REPLAY_PAGE, 2 * limit)
            await session.drained()
        if is_complete and stream.may_go_live(session):
            return
        head = stream.head
        rows = await stream.source.after(stream.key, session.cursor, limit)
        is_complete = len(rows) < limit
        if not rows:
            # Numbers that nobody has. What was published during the read may not be in it.
            session.cursor = max(session.cursor, min(head, session.cursor + limit))
            limit = REPLAY_PAGE
