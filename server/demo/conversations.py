"""Chats of the demo: a room for each accepted booking, with what people say there."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from random import Random
from typing import Final

from server.demo import phrases
from server.demo.bookings import Story
from server.demo.residents import Ids
from server.domain.account import User
from server.domain.booking import Booking, BookingStatus
from server.domain.chat import (
    SYSTEM_SENDER,
    ChatRoom,
    Message,
    MessageType,
    ReadMark,
    head_of,
)
from server.domain.events import Event, EventKind
from server.domain.ports.world import Translator
from server.services.chats import SYSTEM_NAME, SYSTEM_TEXTS, system_names

_OLD: Final = timedelta(days=120)
_OLD_LINES: Final = 2
_JUST: Final = timedelta(hours=2)
_UNREAD_SHARE: Final = 0.4


@dataclass(frozen=True, slots=True)
class Conversation:
    """A room with all its messages, and what the members were told of unread ones."""

    room: ChatRoom
    messages: tuple[Message, ...]
    notices: tuple[Event, ...]


class Talk:
    """Makes the conversations of a town at the moment ``now``."""

    def __init__(self, random: Random, ids: Ids, translator: Translator, now: datetime) -> None:
        self._random = random
        self._ids = ids
        self._translator = translator
        self._now = now

    def of(self, story: Story) -> Conversation | None:
        """The conversation about a booking; None for one that nobody has accepted."""
        booking, accepted_at = story.booking, story.accepted_at
        if accepted_at is None:
            return None
        room = ChatRoom(
            id=self._ids.at(accepted_at),
            booking_id=booking.id,
            customer_id=booking.user_id,
            customer_name=booking.customer_name,
            pandit_id=booking.pandit_id,
            pandit_user_id=booking.pandit_user_id,
            pandit_name=booking.pandit_name,
            pandit_name_ne=booking.pandit_name_ne,
            created_at=accepted_at,
            is_active=booking.status is not BookingStatus.CANCELLED,
        )
        drafts = sorted(self._drafts(story, room), key=lambda message: message.timestamp)
        messages = [
            replace(message, sequence=place) for place, message in enumerate(drafts, start=1)
        ]
        return self._read(story, room, messages)

    # -- what is said ----------------------------------------------------------------------------

    def _drafts(self, story: Story, room: ChatRoom) -> Iterator[Message]:
        booking = story.booking
        last_at = story.accepted_at or booking.created_at
        for event in story.events:
            if event.kind in (EventKind.BOOKING_ACCEPTED, EventKind.BOOKING_CANCELLED):
                yield self._system(room, event, booking)
        is_cancelled = booking.status is BookingStatus.CANCELLED
        until = min(self._now, booking.updated_at if is_cancelled else booking.starts_at)
        for who, text in self._lines(story):
            last_at += timedelta(minutes=self._random.lognormvariate(2.5, 1.1))
            if last_at >= until:
                break
            yield self._text(story, room, who, text, last_at)
        if booking.completed_at is not None and self._random.random() < 0.35:
            said_at = booking.completed_at
            for who, text in phrases.THANKS[story.customer.user.language]:
                said_at += timedelta(minutes=self._random.uniform(20, 150))
                if said_at < self._now:
                    yield self._text(story, room, who, text, said_at)
        last_at = max(last_at, self._now - timedelta(hours=6))
        if self._is_to_come(story) and self._random.random() < _UNREAD_SHARE:
            asked_at = last_at + (self._now - last_at) * self._random.uniform(0.3, 0.95)
            questions = phrases.UNREAD_QUESTIONS[story.customer.user.language]
            yield self._text(story, room, *self._random.choice(questions), asked_at)

    def _lines(self, story: Story) -> tuple[phrases.Line, ...]:
        lines = self._random.choice(phrases.TALKS[story.customer.user.language])
        is_old = story.booking.starts_at < self._now - _OLD
        return lines[:_OLD_LINES] if is_old else lines

    def _is_to_come(self, story: Story) -> bool:
        return story.booking.status is BookingStatus.ACCEPTED

    def _text(self, story: Story, room: ChatRoom, who: str, text: str, at: datetime) -> Message:
        sender: User = story.customer.user if who == phrases.CUSTOMER else story.priest.user
        at = at.replace(microsecond=0)
        return Message(
            id=self._ids.at(at),
            room_id=room.id,
            sequence=0,
            sender_id=sender.id,
            sender_role=sender.role,
            sender_name=sender.full_name,
            cid=self._ids.at(at),
            message_type=MessageType.TEXT,
            content=text,
            timestamp=at,
        )

    def _system(self, room: ChatRoom, event: Event, booking: Booking) -> Message:
        text = SYSTEM_TEXTS[event.kind]
        names = system_names(booking)
        return Message(
            id=self._ids.at(event.at),
            room_id=room.id,
            sequence=0,
            sender_id=SYSTEM_SENDER,
            sender_role=SYSTEM_SENDER,
            sender_name=SYSTEM_NAME,
            cid=event.id,
            message_type=MessageType.SYSTEM,
            content=self._translator.text("en", text, pandit=names["en"]),
            content_ne=self._translator.text("ne", text, pandit=names["ne"]),
            timestamp=event.at,
        )

    # -- who has read it -------------------------------------------------------------------------

    def _read(self, story: Story, room: ChatRoom, messages: list[Message]) -> Conversation:
        """Marks and ticks: all is read by both, but for the newest message of a live room."""
        last = messages[-1]
        is_fresh = last.timestamp > self._now - timedelta(hours=6) and self._is_to_come(story)
        marks = {}
        for member in room.members:
            read = messages[:-1] if is_fresh and last.sender_id != member else messages
            if read:
                marks[member] = ReadMark(
                    sequence=read[-1].sequence, read_at=self._soon_after(read[-1].timestamp)
                )
        ticked = tuple(self._ticked(message, room, marks) for message in messages)
        notices = tuple(
            _notice(room, last, member, marks.get(member))
            for member in room.members
            if is_fresh and last.sender_id not in (member, SYSTEM_SENDER)
        )
        return Conversation(replace(room, head=head_of(last), reads=marks), ticked, notices)

    def _ticked(self, message: Message, room: ChatRoom, marks: dict[str, ReadMark]) -> Message:
        read_at = [
            min(marks[member].read_at, self._soon_after(message.timestamp))
            for member in room.members
            if member != message.sender_id
            and member in marks
            and marks[member].sequence >= message.sequence
        ]
        return replace(message, read_at=min(read_at)) if read_at else message

    def _soon_after(self, at: datetime) -> datetime:
        later = at + timedelta(minutes=self._random.uniform(0.5, 25))
        return min(later, max(self._now, at)).replace(microsecond=0)


def _notice(room: ChatRoom, message: Message, user_id: str, mark: ReadMark | None) -> Event:
    """What the server has told the reader of the messages above his mark."""
    return Event(
        id=f"unread.{room.id}.{mark.sequence if mark else 0}",
        kind=EventKind.NEW_MESSAGE,
        at=message.timestamp,
        recipients=(user_id,),
        booking_id=room.booking_id,
        params={
            "sender": message.sender_name,
            "sender_ne": room.pandit_name_ne if message.sender_id == room.pandit_user_id else "",
            "room_id": room.id,
        },
    )
