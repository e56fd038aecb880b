"""Chat: rooms, messages, read marks, attachments. REST and sockets are two doors to this.

A room is open to its two parties alone; an administrator may read it, and leaves a trace in the
log. To all others it does not exist. A message is told to the room only after it is durable, and
sending one reads what stood before it: everything above a member's mark is from the other side.
"""

from __future__ import annotations

import asyncio
import contextlib
import re
import secrets
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Final, Protocol

from server.domain import media
from server.domain.account import Actor
from server.domain.audit import Act
from server.domain.booking import Booking, BookingStatus
from server.domain.chat import (
    MAX_CID_LENGTH,
    MAX_CONTENT_LENGTH,
    SYSTEM_SENDER,
    Attachment,
    ChatRoom,
    Message,
    MessageType,
    ReadMark,
    RoomHead,
    head_of,
)
from server.domain.errors import (
    ClientIdConflict,
    FieldFault,
    Forbidden,
    Invalid,
    NotFound,
    Overloaded,
    RoomClosed,
    UnlockNeeded,
)
from server.domain.events import Event, EventKind
from server.domain.metadata import without_metadata
from server.domain.ports.bookings import BookingRepository
from server.domain.ports.chats import AttachmentRepository, MessageRepository, RoomRepository
from server.domain.ports.events import Receiver
from server.domain.ports.paging import Page, SortKey
from server.domain.ports.processes import Bus, PresenceBoard
from server.domain.ports.world import Clock, FileStore, IdSource, Translator
from server.domain.texts import N_
from server.services.audit import AuditService
from server.services.message_reader import MessageReader
from server.services.message_writer import Draft, MessageWriter, Written
from server.services.room_state import RoomState
from server.services.unread_notices import RoomPresence, UnreadNotices

_CID: Final = re.compile(rf"[\x21-\x7e]{{1,{MAX_CID_LENGTH}}}")
_MAX_REPLY_ID: Final = 64
_MAX_ROOMS: Final = 1000
"""Of so many of a person's latest rooms the unread messages are counted."""
_ABANDONED_ROWS: Final = 100
_AHEAD: Final = 8
"""So many messages may have come from other processes since a room's head was heard of."""
SYSTEM_NAME: Final = "PanditYatra"
_WRITABLE: Final = frozenset({MessageType.TEXT, MessageType.IMAGE, MessageType.FILE})
SYSTEM_TEXTS: Final = {
    EventKind.BOOKING_ACCEPTED: N_(
        "{pandit} has accepted the booking. You can talk about the puja here."
    ),
    EventKind.BOOKING_CANCELLED: N_("The booking was cancelled, so this chat is closed."),
    EventKind.BOOKING_FAILED: N_("The booking could not go ahead, so this chat is closed."),
}
_NOT_OF_ROOMS: Final = frozenset(
    {
        EventKind.NEW_MESSAGE,
        EventKind.PAYMENT_SUCCESS,
        EventKind.PAYMENT_FAILED,
        EventKind.PAYMENT_REFUNDED,
        EventKind.PAYMENT_REVIEW_WANTED,
        EventKind.PAYMENT_CHANGED,
        EventKind.MONEY_MOVED,
        EventKind.SERIES_WANTED,
    }
)
UNLOCKED_TEXT: Final = N_("The contact is unlocked. You can talk with {pandit} here.")
_CLOSING: Final = frozenset({EventKind.BOOKING_CANCELLED, EventKind.BOOKING_FAILED})
_ENDED: Final = frozenset({BookingStatus.CANCELLED, BookingStatus.FAILED})


@dataclass(frozen=True, slots=True, kw_only=True)
class ChatPolicy:
    """Bounds: messages that may wait for the database, the size of uploads, and those not sent.

    A file that was not sent after ``unsent_hours`` is removed; one person has ``max_unsent`` such.
    """

    max_waiting: int
    max_upload_bytes: int
    max_picture_pixels: int
    unsent_hours: float = 24.0
    max_unsent: int = 50


@dataclass(frozen=True, slots=True, kw_only=True)
class Outgoing:
    """What somebody wants to say. ``cid`` is the sender's own id of it; without one we make it."""

    message_type: MessageType = MessageType.TEXT
    content: str = ""
    content_ne: str = ""
    attachment_id: str | None = None
    reply_to: str | None = None
    cid: str | None = None


class ChatFrames(Protocol):
    """The finished frames of what is told to a room; what travels on the bus."""

    def message(self, message: Message) -> bytes:
        """A stored message."""
        ...

    def read(self, room_id: str, user_id: str, mark: ReadMark) -> bytes:
        """A member has read up to a message."""
        ...

    def typing(self, room_id: str, user_id: str, *, is_on: bool) -> bytes:
        """A member types, or has stopped."""
        ...

    def presence(self, room_id: str, user_id: str, state: str, last_seen: str | None) -> bytes:
        """A member has come or gone."""
        ...

    def room(self, room: ChatRoom, booking_status: str) -> bytes:
        """The state of the room has changed."""
        ...

    def room_head(self, room_id: str, head: RoomHead) -> bytes:
        """A room of the reader has a new message, in short."""
        ...


def system_names(booking: Booking) -> dict[str, str]:
    """The pandit's name as SYSTEM messages say it, by language."""
    return {"en": booking.pandit_name, "ne": booking.pandit_name_ne or booking.pandit_name}


def room_topic(room_id: str) -> str:
    """The bus topic of everything that is told to a room."""
    return f"room.{room_id}"


class ChatService:
    """The use cases of chat."""

    def __init__(
        self,
        *,
        rooms: RoomRepository,
        messages: MessageRepository,
        attachments: AttachmentRepository,
        files: FileStore,
        bookings: BookingRepository,
        notices: Receiver,
        board: PresenceBoard,
        audit: AuditService,
        frames: ChatFrames,
        bus: Bus,
        translator: Translator,
        clock: Clock,
        ids: IdSource,
        policy: ChatPolicy,
    ) -> None:
        self._rooms = rooms
        self._messages = messages
        self._attachments = attachments
        self._files = files
        self._bookings = bookings
        self._frames = frames
        self._bus = bus
        self._translator = translator
        self._clock = clock
        self._ids = ids
        self.policy = policy
        self.presence = RoomPresence()
        self._writer = MessageWriter(
            messages,
            clock,
            ids,
            announce=self._announce,
            # Who has heard of them passes them over by their number.
            announce_again=self._announce,
            max_waiting=policy.max_waiting,
            known_head=self._known_head,
        )
        self._reader = MessageReader(messages)
        self._state = RoomState(
            rooms, messages, is_busy=lambda: self._writer.is_busy, turn=self._writer.turn
        )
        self._audit = audit
        self._notices = UnreadNotices(rooms, self._state, self.presence, board, notices)

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Read and write messages while the context lasts."""
        async with (
            self._reader.running(),
            self._state.running(),
            self._notices.running(),
            self._writer.running(),
        ):
            yield

    async def flush(self) -> None:
        """Return when every accepted message is stored and acknowledged, or refused.

        And when the rooms' heads and marks are written too.
        """
        await self._writer.flush()
        await self._state.flush()

    def _known_head(self, room_id: str) -> int:
        card = self._state.card(room_id)
        return card.head if card is not None else 0

    def heard(self, room_id: str, sequence: int) -> None:
        """Take in that a message of that number was told of, perhaps by another process."""
        self._writer.heard(room_id, sequence)

    def heard_read(self, room_id: str, user_id: str, sequence: int) -> None:
        """Take in that a member was told to have read so far, perhaps by another process."""
        card = self._state.card(room_id)
        if card is None or sequence > card.mark_of(user_id):
            self._notices.heard_read(room_id, user_id, sequence)

    def heard_presence(self, user_id: str) -> None:
        """Take in that a member was told to have come or gone, perhaps in another process."""
        self._notices.heard_presence(user_id)

    # -- rooms ----------------------------------------------------------------------------------

    async def room_of(self, actor: Actor, room_id: str) -> ChatRoom:
        """The gate: the room, for its members and for administrators.

        Raises ``NotFound`` for everybody else, as for a room that does not exist.
        """
        room = await self._rooms.find(room_id)
        if room is None:
            raise NotFound
        if actor.user_id not in room.members:
            if not actor.is_admin:
                raise NotFound
            await self._audit.record(actor, Act.CHAT_READ, "room", room_id)
        return self._learn(room)

    async def news_of(self, room: ChatRoom, reads: Mapping[str, int]) -> list[bytes]:
        """The frames that say how a room has changed since somebody knew it and its marks so.

        For whoever may not have heard what was told. Raises ``StoreUnavailable``.
        """
        found = await self._rooms.find(room.id)
        if found is None:
            return []
        now = self._learn(found)
        frames = [
            self._frames.read(now.id, user_id, mark)
            for user_id, mark in now.reads.items()
            if mark.sequence > reads.get(user_id, 0)
        ]
        if now.is_active != room.is_active:
            booking = await self._bookings.find(now.booking_id)
            frames.append(self._frames.room(now, booking.status if booking else ""))
        return frames

    async def find_room_of(self, actor: Actor, booking_id: str) -> ChatRoom | None:
        """The room of a booking for its members; None to all others, and before there is one."""
        room = await self._rooms.find_by_booking(booking_id)
        return room if room is not None and actor.user_id in room.members else None

    async def list_rooms(
        self, actor: Actor, *, limit: int, after: SortKey | None
    ) -> Page[ChatRoom]:
        """The actor's own rooms, the latest activity first.

        A page is cut by the activity that the database knows of, at most a few seconds old.
        """
        page = await self._rooms.list_for(actor.user_id, limit=limit, after=after)
        rows = sorted(map(self._state.with_news, page.rows), key=_active_at, reverse=True)
        return Page(tuple(rows), page.next_key)

    async def unread(self, actor: Actor) -> dict[str, int]:
        """How many messages wait in each of the actor's rooms that has any."""
        numbers = await self._rooms.heads_and_marks(actor.user_id, _MAX_ROOMS)
        counts = {
            room_id: self._state.unread(room_id, actor.user_id, head, mark)
            for room_id, (head, mark) in numbers.items()
        }
        return {room_id: count for room_id, count in counts.items() if count}

    # -- messages -------------------------------------------------------------------------------

    async def history(
        self, actor: Actor, room_id: str, *, before: int | None, after: int | None, limit: int
    ) -> list[Message]:
        """Messages of a room, ascending: those after a number, or the newest before one."""
        room = await self.room_of(actor, room_id)
        if after is not None:
            return await self.messages_after(room.id, after, limit)
        return await self.messages_before(room.id, before, limit)

    async def messages_after(self, room_id: str, sequence: int, limit: int) -> list[Message]:
        """The same for one who has passed the gate already."""
        rows = await self._reader.after(room_id, sequence, limit)
        return self._state.with_read_times(room_id, rows)

    async def messages_before(
        self, room_id: str, sequence: int | None, limit: int
    ) -> list[Message]:
        """The same, backwards."""
        rows = await self._newest(room_id, limit) if sequence is None else None
        if rows is None:
            rows = await self._messages.list_before(room_id, sequence, limit)
        return self._state.with_read_times(room_id, rows)

    async def _newest(self, room_id: str, limit: int) -> list[Message] | None:
        """The newest messages, found from the head that is known; None when too little is known.

        Asked for the end of a long room the embedded server would look at all of it.
        """
        card = self._state.card(room_id)
        if card is None or not card.head:
            return None
        end = card.head + _AHEAD
        rows = await self._messages.list_before(room_id, end + 1, limit + _AHEAD)
        return rows[-limit:] if rows and rows[-1].sequence < end else None

    async def send(self, actor: Actor, room_id: str, outgoing: Outgoing) -> Written:
        """Send a message and return when it is durable.

        Raises
        ------
        NotFound, Forbidden, RoomClosed
            If the actor may not write there.
        Invalid
            For empty or too long content, a foreign attachment, a bad cid.
        ClientIdConflict, Overloaded, StoreUnavailable
            See ``MessageWriter.submit``.
        """
        room = await self.room_of(actor, room_id)
        attachment = await self.keep(await self.find_sendable(actor, room, outgoing))
        return await self.submit(actor, room, outgoing, attachment)

    def submit(
        self,
        actor: Actor,
        room: ChatRoom,
        outgoing: Outgoing,
        attachment: Attachment | None = None,
    ) -> asyncio.Future[Written]:
        """Queue a message of one who has passed the gate; raises as :meth:`send` does.

        ``attachment`` is what :meth:`find_sendable` found and :meth:`keep` kept.
        """
        self._require_sendable(actor, room, outgoing, attachment)
        if self._state.card(room.id) is None:
            self._state.learn(room)
        return self._writer.submit(
            Draft(
                room.id,
                actor.user_id,
                actor.role,
                actor.full_name,
                outgoing.cid or self._ids.new(),
                outgoing.message_type,
                outgoing.content,
                outgoing.content_ne,
                attachment,
                outgoing.reply_to,
            )
        )

    async def find_sendable(
        self, actor: Actor, room: ChatRoom, outgoing: Outgoing
    ) -> Attachment | None:
        """The file to send, if the actor has uploaded it to this very room; else None.

        Raises as :meth:`submit` does: a message that would be refused keeps no file.
        """
        if outgoing.attachment_id is None:
            return None
        found = await self._attachments.find(outgoing.attachment_id)
        if found is None or (found.room_id, found.owner_id) != (room.id, actor.user_id):
            return None
        self._require_sendable(actor, room, outgoing, found)
        if self._writer.is_full:
            raise Overloaded
        return found

    async def keep(self, attachment: Attachment | None) -> Attachment | None:
        """Make sure of the file, right before its message is submitted.

        From here on it is no abandoned upload; one that is being removed is not there any more.
        """
        if attachment is None or not await self._attachments.keep(attachment.id):
            return None
        return attachment

    async def read(self, actor: Actor, room_id: str, sequence: int) -> ReadMark:
        """Move the actor's own mark up to a message, never back, and tell the room.

        Returns the mark as it stands then; it is written a moment later. Marking changes nothing
        on the other member's side.
        """
        card = self._state.card(room_id)
        if card is None or actor.user_id not in card.members:
            room = await self.room_of(actor, room_id)
            self._require_member(actor, room)
            card = self._state.learn(room)
        if sequence > card.head:
            stored = await self._messages.head(room_id, at_least=card.head)
            card.head = max(card.head, stored)
        now, wanted = self._clock.now(), min(sequence, card.head)
        mark = ReadMark(sequence=wanted, read_at=now)
        if self._state.read(room_id, actor.user_id, mark):
            self._tell_read(room_id, actor.user_id, mark)
            return mark
        sequence, read_at = card.marks.get(actor.user_id, (0, now))
        return ReadMark(sequence=sequence, read_at=read_at)

    def typing(self, actor: Actor, room: ChatRoom, *, is_on: bool) -> None:
        """Tell the room that the actor types, or has stopped; nothing is stored."""
        self._require_writable(actor, room)
        self._bus.publish(
            room_topic(room.id), self._frames.typing(room.id, actor.user_id, is_on=is_on)
        )

    def tell_presence(self, room_id: str, user_id: str, state: str, last_seen: str | None) -> None:
        """Tell a room that a member has come or gone; nothing is stored."""
        frame = self._frames.presence(room_id, user_id, state, last_seen)
        self._bus.publish(room_topic(room_id), frame)

    # -- attachments ----------------------------------------------------------------------------

    async def upload(self, actor: Actor, room_id: str, name: str, content: bytes) -> Attachment:
        """Keep a file for a message to this room.

        What a picture tells about its maker is taken out. A file that is not sent is removed later.
        Raises ``TooLarge``, or ``Invalid`` for what is neither a picture nor a PDF by its content,
        for a picture that is damaged or has too many pixels, and for one who has too many files
        waiting.
        """
        room = await self.room_of(actor, room_id)
        self._require_writable(actor, room)
        found = media.admit(
            content,
            max_bytes=self.policy.max_upload_bytes,
            max_pixels=self.policy.max_picture_pixels,
        )
        waiting = await self._attachments.count_unsent(actor.user_id, self.policy.max_unsent)
        if waiting >= self.policy.max_unsent:
            raise Invalid(FieldFault("file", "too-many"))
        plain = await asyncio.to_thread(without_metadata, content, found.mime)
        if plain is None:
            raise Invalid(FieldFault("file", "picture-damaged"))
        now = self._clock.now()
        attachment = Attachment(
            id=secrets.token_hex(16),
            room_id=room.id,
            owner_id=actor.user_id,
            name=media.plain_name(name),
            mime=found.mime,
            size=len(plain),
            width=found.width,
            height=found.height,
            created_at=now,
        )
        await self._files.write(attachment.id, plain)
        await self._attachments.add(attachment, now + timedelta(hours=self.policy.unsent_hours))
        return attachment

    async def drop_abandoned(self) -> int:
        """Remove files that were uploaded and never sent; for the clock."""
        now = self._clock.now()
        abandoned = await self._attachments.list_abandoned(now, _ABANDONED_ROWS)
        for attachment_id in abandoned:
            # Unless it is being sent at this very moment.
            if await self._attachments.remove_abandoned(attachment_id, now):
                await self._files.remove(attachment_id)
        return len(abandoned)

    async def download(self, actor: Actor, attachment_id: str) -> tuple[Attachment, bytes]:
        """A file and its bytes, for those who may read its room. Raises ``NotFound``."""
        attachment = await self._attachments.find(attachment_id)
        if attachment is None:
            raise NotFound
        await self.room_of(actor, attachment.room_id)
        return attachment, await self._files.read(attachment.id)

    # -- events of bookings ---------------------------------------------------------------------

    async def on_event(self, event: Event) -> None:
        """Open the room of an accepted booking, close that of a cancelled one, tell of the rest."""
        if event.booking_id is None or event.kind in _NOT_OF_ROOMS:
            return
        booking = await self._bookings.find(event.booking_id)
        if booking is None:
            return
        if event.kind is EventKind.BOOKING_ACCEPTED:
            room: ChatRoom | None = await self._rooms.add(self._new_room(booking))
        else:
            room = await self._rooms.find_by_booking(booking.id)
        if room is None:
            return
        self._learn(room)
        if event.kind in SYSTEM_TEXTS:
            await self._say(room, event, SYSTEM_TEXTS[event.kind], booking)
        # The status too: an old event may arrive when the booking has ended already.
        if event.kind in _CLOSING or booking.status in _ENDED:
            await self._rooms.close(booking.id)
            room = replace(room, is_active=False)
        frame = self._frames.room(room, booking.status)
        self._bus.publish(room_topic(room.id), frame)

    # -- unlocks --------------------------------------------------------------------------------

    async def open_unlocked(
        self,
        unlock_id: str,
        *,
        customer_id: str,
        customer_name: str,
        pandit_id: str,
        pandit_user_id: str,
        pandit_name: str,
        pandit_name_ne: str = "",
    ) -> ChatRoom:
        """Open the room of an unlock, once however often it is asked for.

        One that was closed because it was refunded goes on where it ended.
        """
        room = await self._rooms.add(
            ChatRoom(
                id=self._ids.new(),
                booking_id=unlock_id,
                customer_id=customer_id,
                customer_name=customer_name,
                pandit_id=pandit_id,
                pandit_user_id=pandit_user_id,
                pandit_name=pandit_name,
                pandit_name_ne=pandit_name_ne,
                created_at=self._clock.now(),
            )
        )
        if not room.is_active:
            await self._rooms.reopen(unlock_id)
            room = replace(room, is_active=True)
            self._bus.publish(room_topic(room.id), self._frames.room(room, ""))
        self._learn(room)
        names = {"en": pandit_name, "ne": pandit_name_ne or pandit_name}
        await self._tell_room(room, "unlocked", UNLOCKED_TEXT, names)
        return room

    async def close_unlocked(self, unlock_id: str) -> None:
        """Close the room of an unlock that was refunded; it can still be read."""
        room = await self._rooms.find_by_booking(unlock_id)
        if room is None or not room.is_active:
            return
        await self._rooms.close(unlock_id)
        frame = self._frames.room(replace(room, is_active=False), "")
        self._bus.publish(room_topic(room.id), frame)

    async def room_with(self, actor: Actor, pandit_id: str) -> ChatRoom:
        """The room in which a customer talks with a pandit: of an unlock, or of a booking.

        Raises ``UnlockNeeded`` before there is one.
        """
        found = await self._rooms.find_with(actor.user_id, pandit_id)
        if found is None:
            raise UnlockNeeded
        return self._learn(found)

    def _new_room(self, booking: Booking) -> ChatRoom:
        return ChatRoom(
            id=self._ids.new(),
            booking_id=booking.id,
            customer_id=booking.user_id,
            customer_name=booking.customer_name,
            pandit_id=booking.pandit_id,
            pandit_user_id=booking.pandit_user_id,
            pandit_name=booking.pandit_name,
            pandit_name_ne=booking.pandit_name_ne,
            created_at=self._clock.now(),
        )

    async def _say(self, room: ChatRoom, event: Event, text: str, booking: Booking) -> None:
        # The event's id as cid: an event that is delivered again finds its message already there.
        await self._tell_room(room, event.id, text, system_names(booking))

    async def _tell_room(
        self, room: ChatRoom, cid: str, text: str, names: Mapping[str, str]
    ) -> None:
        # Said already, perhaps in the words of an earlier release.
        with contextlib.suppress(ClientIdConflict):
            await self._writer.submit(
                Draft(
                    room_id=room.id,
                    sender_id=SYSTEM_SENDER,
                    sender_role=SYSTEM_SENDER,
                    sender_name=SYSTEM_NAME,
                    cid=cid,
                    message_type=MessageType.SYSTEM,
                    content=self._translator.text("en", text, pandit=names["en"]),
                    content_ne=self._translator.text("ne", text, pandit=names["ne"]),
                )
            )

    # -- after a batch is stored ----------------------------------------------------------------

    def _announce(self, stored: Sequence[Message]) -> None:
        newest = {message.room_id: message for message in stored}
        self._tell(stored)
        for room_id, message in newest.items():
            card = self._state.card(room_id)
            if card is not None and message.sequence >= card.head:
                frame = self._frames.room_head(room_id, head_of(message))
                for user_id in card.members:
                    self._bus.publish(f"user.{user_id}", frame)
        self._notices.add(stored)

    def _tell(self, messages: Sequence[Message]) -> None:
        answered = self._state.stored(messages)
        for message in messages:
            self._bus.publish(room_topic(message.room_id), self._frames.message(message))
        for (room_id, user_id), message in answered.items():
            mark = ReadMark(sequence=message.sequence, read_at=message.timestamp)
            self._tell_read(room_id, user_id, mark)

    def _tell_read(self, room_id: str, user_id: str, mark: ReadMark) -> None:
        frame = self._frames.read(room_id, user_id, mark)
        self._bus.publish(room_topic(room_id), frame)

    def _learn(self, room: ChatRoom) -> ChatRoom:
        self._state.learn(room)
        return self._state.with_news(room)

    # -- who may --------------------------------------------------------------------------------

    @staticmethod
    def _require_member(actor: Actor, room: ChatRoom) -> None:
        if actor.user_id not in room.members:
            raise Forbidden

    def _require_writable(self, actor: Actor, room: ChatRoom) -> None:
        self._require_member(actor, room)
        if not room.is_active:
            raise RoomClosed

    def _require_sendable(
        self, actor: Actor, room: ChatRoom, outgoing: Outgoing, attachment: Attachment | None
    ) -> None:
        self._require_writable(actor, room)
        faults = _faults(outgoing, attachment)
        if faults:
            raise Invalid(*faults)


def _active_at(room: ChatRoom) -> tuple[datetime, str]:
    return room.head.timestamp if room.head else room.created_at, room.id


def _faults(outgoing: Outgoing, attachment: Attachment | None) -> list[FieldFault]:
    faults = [
        FieldFault(field, "too-long")
        for field, text in (("content", outgoing.content), ("content_ne", outgoing.content_ne))
        if len(text) > MAX_CONTENT_LENGTH
    ]
    if outgoing.cid is not None and not _CID.fullmatch(outgoing.cid):
        faults.append(FieldFault("cid", "pattern"))
    if outgoing.reply_to is not None and not 0 < len(outgoing.reply_to) <= _MAX_REPLY_ID:
        faults.append(FieldFault("reply_to", "pattern"))
    if outgoing.message_type not in _WRITABLE:
        faults.append(FieldFault("message_type", "choice"))
    elif outgoing.message_type is MessageType.TEXT:
        if outgoing.attachment_id is not None:
            faults.append(FieldFault("attachment_id", "attachment"))
        if not (outgoing.content.strip() or outgoing.content_ne.strip()):
            faults.append(FieldFault("content", "empty"))
    elif attachment is None or (
        outgoing.message_type is MessageType.IMAGE and not attachment.mime.startswith("image/")
    ):
        faults.append(FieldFault("attachment_id", "attachment"))
    return faults
