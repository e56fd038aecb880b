"""Numbered streams: a room's messages, a person's notifications. In order, resumed by number.

The database is the truth and the bus a hint. A :class:`Stream` hands what is published on one topic
to the sessions of this process, in the order of the numbers; when one is missing it reads the
database. A :class:`Source` reads a stream from the database, for those who join or have missed
something.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final, Protocol

import msgspec
from msgspec import UNSET, Raw

from server.domain.account import Actor
from server.domain.errors import StoreUnavailable
from server.domain.ports import Bus
from server.schemas.frames import Heading, HistoryEvent, encode_frame, view_message
from server.services.chats import ChatService
from server.services.notifications import NotificationService
from server.ws.protocol import FIRST_PAGE, MAX_PAGE_BYTES, MAX_REPLAY, REPLAY_PAGE
from server.ws.session import Session

_NUMBERED: Final = frozenset({"message", "notification"})
_EPHEMERAL: Final = frozenset({"typing", "presence"})
_REPAIR_SECONDS: Final = 0.2
_RETRY_SECONDS: Final = 1.0
_MAX_PENDING: Final = 200
_heading: Final = msgspec.json.Decoder(Heading)


@dataclass(frozen=True, slots=True)
class Numbered:
    """One entry of a stream as a finished frame."""

    sequence: int
    frame: bytes


class Source(Protocol):
    """Reads one stream from the database. Every method may raise ``StoreUnavailable``."""

    async def after(self, sequence: int, limit: int) -> list[Numbered]:
        """Entries with a higher number, ascending."""
        ...

    async def before(self, sequence: int | None, limit: int) -> list[Numbered]:
        """The newest entries below a number, ascending."""
        ...

    def page(
        self, rows: Sequence[Numbered], start: int, end: int, *, more: bool, gap: bool
    ) -> HistoryEvent:
        """A ``history`` frame of these entries."""
        ...


class RoomSource:
    """The messages of a room, for those who have passed its gate."""

    def __init__(self, chats: ChatService, room_id: str) -> None:
        self._chats = chats
        self._room_id = room_id

    async def after(self, sequence: int, limit: int) -> list[Numbered]:
        """Messages with a higher number, ascending."""
        rows = await self._chats.messages_after(self._room_id, sequence, limit)
        return [Numbered(row.sequence, encode_frame(view_message(row))) for row in rows]

    async def before(self, sequence: int | None, limit: int) -> list[Numbered]:
        """The newest messages below a number, ascending."""
        rows = await self._chats.messages_before(self._room_id, sequence, limit)
        return [Numbered(row.sequence, encode_frame(view_message(row))) for row in rows]

    def page(
        self, rows: Sequence[Numbered], start: int, end: int, *, more: bool, gap: bool
    ) -> HistoryEvent:
        """A ``history`` frame of these messages."""
        raw = [Raw(row.frame) for row in rows]
        return HistoryEvent(
            from_=start, to=end, more=more, gap=gap, room=self._room_id, messages=raw
        )


class NotificationSource:
    """The notifications of one person."""

    def __init__(self, notifications: NotificationService, actor: Actor) -> None:
        self._notifications = notifications
        self._actor = actor

    async def after(self, sequence: int, limit: int) -> list[Numbered]:
        """Notifications with a higher number, ascending."""
        rows = await self._notifications.list_after(self._actor.user_id, sequence, limit)
        return [Numbered(row.sequence, self._notifications.frame(row)) for row in rows]

    async def before(self, sequence: int | None, limit: int) -> list[Numbered]:
        """The newest notifications below a number, ascending."""
        page = await self._notifications.list_page(
            self._actor,
            unread_only=False,
            limit=limit,
            after=None if sequence is None else (sequence,),
        )
        return [
            Numbered(row.sequence, self._notifications.frame(row)) for row in reversed(page.rows)
        ]

    def page(
        self, rows: Sequence[Numbered], start: int, end: int, *, more: bool, gap: bool
    ) -> HistoryEvent:
        """A ``history`` frame of these notifications."""
        raw = [Raw(row.frame) for row in rows]
        return HistoryEvent(
            from_=start, to=end, more=more, gap=gap, notifications=raw, messages=UNSET
        )


class Stream:
    """What is published on one topic, for the sessions of this process.

    ``head`` is the highest number heard of. Of a room: ``members`` are the people whom it belongs
    to, ``reads`` their marks and ``is_active`` its state as last heard of. ``joining`` counts those
    who are about to become sessions of it.
    """

    def __init__(
        self,
        topic: str,
        source: Source,
        bus: Bus,
    ) -> None:
        self.topic = topic
        self.source = source
        self.room_id: str | None = None
        self.members: tuple[str, ...] = ()
        self.sessions: set[Session] = set()
        self.joining = 0
        self.subscribed = asyncio.ensure_future(bus.subscribe(topic, self.receive))
        self._bus = bus
        self.head = 0
        self.is_active = True
        self.reads: dict[str, int] = {}
        self._delivered: int | None = None
        self._pending: dict[int, tuple[Heading, bytes]] = {}
        self._repair: asyncio.Task[None] | None = None

    def receive(self, payload: bytes) -> None:
        """Take one publication; called by the bus."""
        heading = _heading.decode(payload)
        if heading.type in _NUMBERED:
            self.head = max(self.head, heading.seq)
            self._take(heading, payload)
        else:
            self._pass_on(heading, payload)

    def may_go_live(self, session: Session) -> bool:
        """Let the session hear what is published from now on, if it has all that came before."""
        if session.cursor < max(self.head, self._delivered or 0):
            return False
        if self._delivered is None:
            self._delivered = session.cursor
        session.is_live = True
        return True

    def leave(self, session: Session) -> None:
        """Take a session out."""
        self.sessions.discard(session)
        if not any(other.is_live for other in self.sessions):
            self._delivered = None
            self._pending.clear()

    @property
    def is_unused(self) -> bool:
        """Whether nobody is served by it, nor about to be."""
        return not self.sessions and not self.joining

    def close(self) -> None:
        """Stop what is under way and end the subscription."""
        if self._repair is not None:
            self._repair.cancel()
        self.subscribed.cancel()
        self._bus.unsubscribe(self.topic, self.receive)

    # -- in order -------------------------------------------------------------------------------

    def _take(self, heading: Heading, payload: bytes) -> None:
        if self._delivered is None or heading.seq <= self._delivered:
            return
        if heading.seq == self._delivered + 1:
            self._deliver(heading, payload)
            self._take_pending()
            return
        if len(self._pending) < _MAX_PENDING:
            self._pending[heading.seq] = (heading, payload)
        if self._repair is None or self._repair.done():
            self._repair = asyncio.create_task(self._fill_gap(), name=f"fill-gap-{self.topic}")

    def _take_pending(self) -> None:
        while self._delivered is not None and (
            following := self._pending.pop(self._delivered + 1, None)
        ):
            self._deliver(*following)

    def _deliver(self, heading: Heading, payload: bytes) -> None:
        self._delivered = heading.seq
        sender_id = heading.sender_id
        for session in tuple(self.sessions):
            if not session.is_live or session.cursor >= heading.seq:
                continue
            session.cursor = heading.seq
            if not session.has_sent(heading.cid, sender_id):
                session.send_bytes(payload)

    async def _fill_gap(self) -> None:
        """Read from the database what the bus did not bring, after giving it a moment."""
        await asyncio.sleep(_REPAIR_SECONDS)
        while self._delivered is not None and self._delivered < self.head:
            try:
                rows = await self.source.after(self._delivered, REPLAY_PAGE)
            except StoreUnavailable:
                await asyncio.sleep(_RETRY_SECONDS)
                continue
            if self._delivered is None:
                return
            if not rows:
                # Numbers that nobody has: go on with what was published.
                for seq in sorted(self._pending):
                    self._deliver(*self._pending[seq])
                self._delivered = self.head
            for row in rows:
                if row.sequence > self._delivered:
                    self._deliver(_heading.decode(row.frame), row.frame)
            self._pending = {
                seq: each for seq, each in self._pending.items() if seq > (self._delivered or 0)
            }
            self._take_pending()

    # -- unnumbered -----------------------------------------------------------------------------

    def _pass_on(self, heading: Heading, payload: bytes) -> None:
        if heading.type == "room":
            self.is_active = heading.is_active
        elif heading.type == "read" and heading.user:
            self.reads[heading.user] = max(heading.seq, self.reads.get(heading.user, 0))
        is_ephemeral = heading.type in _EPHEMERAL
        for session in tuple(self.sessions):
            if not session.is_ready:
                continue
            if heading.type == "room" and session.room is not None:
                session.room = replace(session.room, is_active=heading.is_active)
            if is_ephemeral and heading.user == session.user_id:
                continue
            is_own_mark = heading.type == "read" and heading.user == session.user_id
            if is_own_mark and heading.seq <= session.own_read:
                continue
            session.send_bytes(payload, is_droppable=is_ephemeral)


def pages_of(
    source: Source, rows: Sequence[Numbered], start: int, *, more: bool, gap: bool
) -> list[tuple[HistoryEvent, int]]:
    """Cut entries into ``history`` frames of bounded size; each with the number it brings to.

    There is always at least one, so that a client knows that it has been answered. ``more`` is said
    in the last one only, ``gap`` in the first.
    """
    cuts: list[list[Numbered]] = [[]]
    size = 0
    for row in rows:
        if cuts[-1] and size + len(row.frame) > MAX_PAGE_BYTES:
            cuts.append([])
            size = 0
        cuts[-1].append(row)
        size += len(row.frame)
    pages = []
    for place, cut in enumerate(cuts):
        first, last = (cut[0].sequence, cut[-1].sequence) if cut else (start, start)
        page = source.page(
            cut, first, last, more=more and place == len(cuts) - 1, gap=gap and place == 0
        )
        pages.append((page, last))
    return pages


async def replay(session: Session, stream: Stream, *, since: int | None, head: int) -> None:
    """Bring a session that has joined the stream up to date, then let it go live.

    Nothing is held back in memory meanwhile: what is published while pages are read is in the
    database, and the session goes live in the very moment when it lacks nothing. ``head`` is the
    stream's head when the session opened.
    """
    source, head = stream.source, max(head, stream.head)
    newest: list[Numbered] | None = None
    if since is not None and since > head:
        # What is written becomes readable a moment before the head moves: the database decides.
        newest = await source.before(None, FIRST_PAGE)
        head = newest[-1].sequence if newest else 0
    if since is not None and since <= head <= since + MAX_REPLAY:
        session.cursor = since
        rows = await source.after(since, REPLAY_PAGE)
        is_complete = len(rows) < REPLAY_PAGE
        await _send_pages(session, source, rows, gap=False)
    else:
        rows = await source.before(None, FIRST_PAGE) if newest is None else newest
        is_complete = True
        await _send_pages(session, source, rows, gap=since is not None)
    while not session.outbox.is_closed:
        if is_complete and stream.may_go_live(session):
            return
        rows = await source.after(session.cursor, REPLAY_PAGE)
        is_complete = len(rows) < REPLAY_PAGE
        if rows:
            await _send_pages(session, source, rows, gap=False)
        else:
            session.cursor = max(session.cursor, stream.head)


async def _send_pages(
    session: Session, source: Source, rows: Sequence[Numbered], *, gap: bool
) -> None:
    for page, end in pages_of(source, rows, session.cursor, more=False, gap=gap):
        session.send(page)
        session.cursor = end
        await session.outbox.drained()
