"""Chat rooms and messages."""

from __future__ import annotations

import enum
from dataclasses import dataclass, field
from datetime import datetime
from typing import Final

MAX_CONTENT_LENGTH: Final = 4000
MAX_CID_LENGTH: Final = 36
SYSTEM_SENDER: Final = "system"
_PREVIEW_LENGTH: Final = 120
_UNLOCK: Final = "u-"


class MessageType(enum.StrEnum):
    """Kinds of message. SYSTEM comes from the server alone."""

    TEXT = "TEXT"
    IMAGE = "IMAGE"
    FILE = "FILE"
    SYSTEM = "SYSTEM"


@dataclass(frozen=True, slots=True, kw_only=True)
class Attachment:
    """An uploaded file. ``id`` is its random name; only members of ``room_id`` may fetch it."""

    id: str
    room_id: str
    owner_id: str
    name: str
    mime: str
    size: int
    width: int | None = None
    height: int | None = None
    created_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class ReadMark:
    """How far somebody has read a room: everything up to ``sequence``."""

    sequence: int
    read_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class RoomHead:
    """The newest message of a room, in short."""

    sequence: int
    sender_id: str
    message_type: MessageType
    preview: str
    preview_ne: str
    timestamp: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class ChatRoom:
    """The conversation about one booking, or of one unlock. Only its two members know of it.

    ``booking_id`` is the booking's, or the payment's that unlocked it. ``customer_id`` and
    ``pandit_user_id`` are user ids. ``reads`` maps a member's user id to his mark.
    """

    id: str
    booking_id: str
    customer_id: str
    customer_name: str
    pandit_id: str
    pandit_user_id: str
    pandit_name: str
    pandit_name_ne: str = ""
    created_at: datetime
    is_active: bool = True
    head: RoomHead | None = None
    reads: dict[str, ReadMark] = field(default_factory=dict)

    @property
    def is_of_booking(self) -> bool:
        """Whether it belongs to a booking, and not to an unlock."""
        return not self.booking_id.startswith(_UNLOCK)

    @property
    def members(self) -> tuple[str, str]:
        """The user ids of the two parties."""
        return self.customer_id, self.pandit_user_id

    def unread_by(self, user_id: str) -> int:
        """How many messages lie above the member's mark; his own sends move his mark."""
        mark = self.reads.get(user_id)
        read_up_to = mark.sequence if mark else 0
        return max(0, (self.head.sequence if self.head else 0) - read_up_to)


@dataclass(frozen=True, slots=True, kw_only=True)
class Message:
    """One message. ``sequence`` counts from 1 within its room, without gaps.

    ``cid`` is the sender's own id.
    """

    id: str
    room_id: str
    sequence: int
    sender_id: str
    sender_role: str
    sender_name: str
    cid: str
    message_type: MessageType
    content: str = ""
    content_ne: str = ""
    attachment: Attachment | None = None
    reply_to: str | None = None
    timestamp: datetime
    read_at: datetime | None = None

    @property
    def is_read(self) -> bool:
        """Whether the other party has read it."""
        return self.read_at is not None


def head_of(message: Message) -> RoomHead:
    """Return the message in short, as lists of rooms show it."""
    return RoomHead(
        sequence=message.sequence,
        sender_id=message.sender_id,
        message_type=message.message_type,
        preview=message.content[:_PREVIEW_LENGTH],
        preview_ne=message.content_ne[:_PREVIEW_LENGTH],
        timestamp=message.timestamp,
    )
