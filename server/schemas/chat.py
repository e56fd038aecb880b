"""Wire types of chat over REST. Of the parties they carry names, never how to reach them."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Final, Literal

from msgspec import Meta, Struct

from server.domain.account import Actor
from server.domain.chat import Attachment, ChatRoom, Message, MessageType, RoomHead
from server.schemas.base import Id, Reader, Request

MAX_SEQUENCE: Final = 2**53
Sequence = Annotated[int, Meta(ge=0, le=MAX_SEQUENCE)]
Content = Annotated[str, Meta(max_length=4000)]


class MessageQuery(Request, frozen=True, kw_only=True):
    """Which messages of a room: after a number ascending, or the newest before one."""

    room_id: Id
    before: Annotated[int, Meta(ge=1, le=MAX_SEQUENCE)] | None = None
    after: Sequence | None = None
    limit: Annotated[int, Meta(ge=1, le=100)] = 20
    cursor: Annotated[str, Meta(max_length=400)] | None = None


class SendRequest(Request, frozen=True, kw_only=True):
    """A message to send. ``cid`` makes sending it again harmless."""

    room_id: Id
    cid: Annotated[str, Meta(min_length=1, max_length=36)] | None = None
    message_type: Literal["TEXT", "IMAGE", "FILE"] = "TEXT"
    content: Content = ""
    content_ne: Content = ""
    attachment_id: Id | None = None
    reply_to: Id | None = None


class ReadRequest(Request, frozen=True, kw_only=True):
    """Everything up to ``sequence`` was read."""

    room_id: Id
    sequence: Sequence


class AttachmentResponse(Struct, frozen=True, kw_only=True):
    """An uploaded file; only members of its room can fetch ``file_url``."""

    id: str
    file_url: str
    name: str
    mime: str
    size: int
    width: int | None
    height: int | None


class MessageResponse(Struct, frozen=True, kw_only=True):
    """One message. ``is_read`` tells whether the other party has read it."""

    id: str
    room_id: str
    sequence: int
    sender_id: str
    sender_role: str
    sender_name: str
    cid: str
    message_type: MessageType
    content: str
    content_ne: str
    file_url: str | None
    attachment: AttachmentResponse | None
    reply_to: str | None
    timestamp: datetime
    is_read: bool
    read_at: datetime | None


class LastMessageResponse(Struct, frozen=True, kw_only=True):
    """The newest message of a room, in short."""

    sequence: int
    sender_id: str
    message_type: MessageType
    preview: str
    preview_ne: str
    timestamp: datetime


class PartyResponse(Struct, frozen=True, kw_only=True):
    """The other party of a room."""

    user_id: str
    role: str
    name: str
    name_ne: str = ""


class RoomRequest(Request, frozen=True, kw_only=True):
    """The pandit with whom a customer wants to talk."""

    pandit_id: Id


class RoomResponse(Struct, frozen=True, kw_only=True):
    """One of the reader's rooms. ``read_sequence`` is how far the reader has read.

    ``booking_id`` is null of a room that was opened by an unlock.
    """

    id: str
    booking_id: str | None
    other: PartyResponse
    customer_name: str
    pandit_name: str
    pandit_name_ne: str
    pandit_id: str
    is_active: bool
    created_at: datetime
    last_message: LastMessageResponse | None
    unread_count: int
    read_sequence: int
    other_read_sequence: int


class ReadResponse(Struct, frozen=True, kw_only=True):
    """How far the reader has read now."""

    room_id: str
    sequence: int
    read_at: datetime


class UnreadCountResponse(Struct, frozen=True, kw_only=True):
    """What waits: messages in all and by room, and notifications."""

    total: int
    rooms: dict[str, int]
    notifications: int


def file_url(attachment: Attachment) -> str:
    """Where an attachment is fetched."""
    return f"/files/chat/{attachment.id}"


def present_attachment(attachment: Attachment) -> AttachmentResponse:
    """The attachment as members of its room see it."""
    return AttachmentResponse(
        id=attachment.id,
        file_url=file_url(attachment),
        name=attachment.name,
        mime=attachment.mime,
        size=attachment.size,
        width=attachment.width,
        height=attachment.height,
    )


def present_message(message: Message, reader: Reader) -> MessageResponse:
    """The message as members of its room see it."""
    attachment = message.attachment
    return MessageResponse(
        id=message.id,
        room_id=message.room_id,
        sequence=message.sequence,
        sender_id=message.sender_id,
        sender_role=message.sender_role,
        sender_name=message.sender_name,
        cid=message.cid,
        message_type=message.message_type,
        content=message.content,
        content_ne=message.content_ne,
        file_url=file_url(attachment) if attachment else None,
        attachment=present_attachment(attachment) if attachment else None,
        reply_to=message.reply_to,
        timestamp=reader.local(message.timestamp),
        is_read=message.is_read,
        read_at=reader.maybe_local(message.read_at),
    )


def present_room(room: ChatRoom, actor: Actor, reader: Reader) -> RoomResponse:
    """The room as the actor, one of its members, sees it."""
    other = (
        PartyResponse(
            user_id=room.pandit_user_id,
            role="pandit",
            name=room.pandit_name,
            name_ne=room.pandit_name_ne,
        )
        if actor.user_id == room.customer_id
        else PartyResponse(user_id=room.customer_id, role="user", name=room.customer_name)
    )
    return RoomResponse(
        id=room.id,
        booking_id=room.booking_id if room.is_of_booking else None,
        other=other,
        customer_name=room.customer_name,
        pandit_name=room.pandit_name,
        pandit_name_ne=room.pandit_name_ne,
        pandit_id=room.pandit_id,
        is_active=room.is_active,
        created_at=reader.local(room.created_at),
        last_message=_present_head(room.head, reader) if room.head else None,
        unread_count=room.unread_by(actor.user_id),
        read_sequence=_mark(room, actor.user_id),
        other_read_sequence=_mark(room, other.user_id),
    )


def _present_head(head: RoomHead, reader: Reader) -> LastMessageResponse:
    return LastMessageResponse(
        sequence=head.sequence,
        sender_id=head.sender_id,
        message_type=head.message_type,
        preview=head.preview,
        preview_ne=head.preview_ne,
        timestamp=reader.local(head.timestamp),
    )


def _mark(room: ChatRoom, user_id: str) -> int:
    mark = room.reads.get(user_id)
    return mark.sequence if mark else 0
