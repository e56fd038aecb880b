"""Rooms, their messages and files."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final, Protocol

from server.domain.chat import Attachment, ChatRoom, Message, ReadMark, RoomHead
from server.domain.ports.paging import Page, SortKey


@dataclass(frozen=True, slots=True)
class RoomChange:
    """How far a room has moved: its newest message, and marks by user id."""

    room_id: str
    head: RoomHead | None
    marks: Mapping[str, ReadMark]


@dataclass(frozen=True, slots=True)
class ReadSpan:
    """The messages of a room that somebody has read: those above one number, up to another."""

    room_id: str
    reader_id: str
    above: int
    up_to: int
    read_at: datetime


class RoomRepository(Protocol):
    """Chat rooms, one for each booking."""

    async def add(self, room: ChatRoom) -> ChatRoom:
        """Store the room, or return the one that the booking already has."""
        ...

    async def find(self, room_id: str) -> ChatRoom | None:
        """Return the room, or None."""
        ...

    async def find_by_booking(self, booking_id: str) -> ChatRoom | None:
        """Return the room of that booking, or None."""
        ...

    async def find_with(self, customer_id: str, pandit_id: str) -> ChatRoom | None:
        """Return a customer's room with a pandit, the liveliest that is open first, or None."""
        ...

    async def list_for(self, user_id: str, *, limit: int, after: SortKey | None) -> Page[ChatRoom]:
        """Return a member's rooms, the latest activity first, with head and marks, in one query."""
        ...

    async def advance(self, changes: Sequence[RoomChange]) -> None:
        """Move heads and marks forward, never back; one command for all.

        Repeating it is harmless.
        """
        ...

    async def heads_and_marks(self, user_id: str, limit: int) -> dict[str, tuple[int, int]]:
        """Return head and own mark of each of the member's latest rooms, in one query."""
        ...

    async def close(self, booking_id: str) -> str | None:
        """Close the booking's room for writing and return its id."""
        ...

    async def reopen(self, booking_id: str) -> None:
        """Open the room of that booking or unlock for writing again."""
        ...


MessageKey = tuple[str, str, str]
"""(room id, sender id, cid): what makes a message the same message when it is sent again."""


MAX_STARTS: Final = 16
"""Of so many places at once it may be asked what follows, and of no more than 8 messages each."""


class MessageRepository(Protocol):
    """Messages, unique by (room, sequence) and by (room, sender, cid)."""

    async def insert(self, messages: Sequence[Message]) -> dict[int, Message | None]:
        """Write all, and return by its place each one that was not written.

        With the message that is stored under its cid, or None: then its number is taken or its turn
        did not come, and it wants a new number. Messages of one room ascend, and of a room nothing
        is written behind one that was refused: no number is ever left out.
        """
        ...

    async def head(self, room_id: str, *, at_least: int = 0) -> int:
        """Return the highest sequence number of the room, 0 when it is empty.

        ``at_least`` is one that is known to be stored; the nearer, the cheaper.
        """
        ...

    async def list_after(self, room_id: str, sequence: int, limit: int) -> list[Message]:
        """Return up to ``limit`` messages with a higher sequence, ascending."""
        ...

    async def list_after_each(
        self, starts: Sequence[tuple[str, int]], limit: int
    ) -> list[list[Message]]:
        """Return the same for each (room id, sequence), in their order, by one query.

        ``limit`` and the number of starts are small; see ``MAX_STARTS``.
        """
        ...

    async def list_before(self, room_id: str, sequence: int | None, limit: int) -> list[Message]:
        """Return the newest messages below ``sequence`` (or of all), ascending."""
        ...

    async def find_sent(self, keys: Collection[MessageKey]) -> list[Message]:
        """Return those messages that exist of these (room, sender, cid), each by an index."""
        ...

    async def mark_read(self, spans: Sequence[ReadSpan]) -> None:
        """Set ``read_at`` on the messages of others in these spans that have none."""
        ...


class AttachmentRepository(Protocol):
    """Descriptions of uploaded files."""

    async def add(self, attachment: Attachment, expires_at: datetime) -> None:
        """Store a new description; unless it is kept, its file is abandoned at that time."""
        ...

    async def find(self, attachment_id: str) -> Attachment | None:
        """Return the description, or None."""
        ...

    async def keep(self, attachment_id: str) -> bool:
        """Keep it for good; False when it is gone."""
        ...

    async def count_unsent(self, owner_id: str, limit: int) -> int:
        """Return how many of that person are not kept yet, counting up to ``limit``."""
        ...

    async def list_abandoned(self, now: datetime, limit: int) -> tuple[str, ...]:
        """Return the ids of some whose time is over."""
        ...

    async def remove_abandoned(self, attachment_id: str, now: datetime) -> bool:
        """Delete it if its time is over and it was not kept; False otherwise."""
        ...
