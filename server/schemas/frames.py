"""Frames of the sockets, version 1: two closed families, what clients say and what they hear.

``type`` tells frames apart and stands first. Unknown fields are passed over on both sides, so that
either may be newer. Times are ISO 8601 in UTC with milliseconds, the same bytes for every receiver.
docs/protocol.md shows each frame with an example.
"""

from __future__ import annotations

import functools
from collections.abc import Iterable, Mapping
from datetime import UTC, date, datetime
from typing import Annotated, Any, Final

import msgspec
from msgspec import UNSET, Meta, Raw, Struct, UnsetType, field

from server.domain.calendar import Slot
from server.domain.chat import Attachment, ChatRoom, Message, ReadMark, RoomHead
from server.domain.payment import Attempt, Payment, attempt_id
from server.domain.ports.world import Translator
from server.domain.travel import Whereabouts
from server.schemas.chat import MAX_SEQUENCE, file_url
from server.schemas.payment_texts import reason_text

VERSION: Final = 1
TYPING_TTL_SECONDS: Final = 6
MAX_PAGE: Final = 200
DEFAULT_PAGE: Final = 50

Seq = Annotated[int, Meta(ge=0, le=MAX_SEQUENCE)]
Cid = Annotated[str, Meta(min_length=1, max_length=36)]
FrameId = Annotated[str, Meta(min_length=1, max_length=64)]
_METRE_DIGITS: Final = 5
_encoder: Final = msgspec.json.Encoder()


# -- what clients say ---------------------------------------------------------------------------


class AttachmentReference(Struct, frozen=True):
    """A file that the sender has uploaded before; the other fields are the server's to tell."""

    id: FrameId


class MessageCommand(Struct, frozen=True, tag="message"):
    """Send a message; answered by ``ack`` or ``error`` with the same cid."""

    kind: str = "TEXT"
    content: str = ""
    content_ne: str = ""
    cid: Cid | None = None
    attachment: AttachmentReference | None = None
    reply_to: FrameId | None = None


class TextCommand(Struct, frozen=True, tag="TEXT"):
    """Short form of a message of kind TEXT."""

    content: str = ""
    content_ne: str = ""
    cid: Cid | None = None


class ImageCommand(Struct, frozen=True, tag="IMAGE"):
    """Short form of a message of kind IMAGE."""

    attachment: AttachmentReference
    content: str = ""
    content_ne: str = ""
    cid: Cid | None = None


class FileCommand(Struct, frozen=True, tag="FILE"):
    """Short form of a message of kind FILE."""

    attachment: AttachmentReference
    content: str = ""
    content_ne: str = ""
    cid: Cid | None = None


class WatchCommand(Struct, frozen=True, tag="watch"):
    """Hear of this payment alone, beside others that are watched; answered by ``payment``."""

    payment: FrameId


class UnwatchCommand(Struct, frozen=True, tag="unwatch"):
    """Hear of this payment no more; when none is watched any longer, of all of them."""

    payment: FrameId


class WatchSlotsCommand(Struct, frozen=True, tag="watch_slots"):
    """Hear of the free times of a service on a local day of its pandit; answered by ``slots``.

    The newest watch of a connection takes the place of the one before. ``exclude``: what that
    booking of one's own holds, finished or not, counts as free. One that stands keeps its pandit
    and its length, whatever he offers today.
    """

    service: FrameId
    date: date
    exclude: FrameId | None = None


class UnwatchSlotsCommand(Struct, frozen=True, tag="unwatch_slots"):
    """Hear of them no more."""


class SyncCommand(Struct, frozen=True, tag="sync"):
    """Ask for what follows a number; answered by ``history``."""

    since: Seq
    limit: Annotated[int, Meta(ge=1, le=MAX_PAGE)] = MAX_PAGE


class HistoryCommand(Struct, frozen=True, tag="history"):
    """Page back from a number; answered by ``history``."""

    before: Annotated[int, Meta(ge=1, le=MAX_SEQUENCE)]
    limit: Annotated[int, Meta(ge=1, le=MAX_PAGE)] = DEFAULT_PAGE


class TypingCommand(Struct, frozen=True, tag="typing"):
    """One types, or has stopped."""

    on: bool


class ReadCommand(Struct, frozen=True, tag="read"):
    """Everything up to ``seq`` was read."""

    seq: Seq


class ReadNotificationsCommand(Struct, frozen=True, tag="read"):
    """Notifications that were read: up to a number, or by id."""

    seq: Seq | None = None
    ids: Annotated[list[FrameId], Meta(min_length=1, max_length=100)] | None = None


class AuthCommand(Struct, frozen=True, tag="auth"):
    """A fresh access token of the same person."""

    token: Annotated[str, Meta(max_length=4096)]


class PingCommand(Struct, frozen=True, tag="ping"):
    """Sign of life of those who cannot send a WebSocket ping."""

    t: str | int | float | bool | None = None


Command = (
    MessageCommand
    | TextCommand
    | ImageCommand
    | FileCommand
    | SyncCommand
    | HistoryCommand
    | TypingCommand
    | ReadCommand
    | AuthCommand
    | PingCommand
)


class ShareCommand(Struct, frozen=True, tag="share"):
    """A pandit begins to share his way to a booking; answered by ``sharing``."""

    booking: FrameId
    cid: Cid | None = None


class PositionCommand(Struct, frozen=True, tag="position"):
    """Where he is, in degrees; ``accuracy`` is the radius in metres that his device is sure of."""

    booking: FrameId
    lat: Annotated[float, Meta(ge=-90, le=90)]
    lng: Annotated[float, Meta(ge=-180, le=180)]
    accuracy: Annotated[float, Meta(ge=0, le=1_000_000)] | None = None
    cid: Cid | None = None


class UnshareCommand(Struct, frozen=True, tag="unshare"):
    """He shares no more."""

    booking: FrameId


NotificationCommand = (
    ReadNotificationsCommand
    | WatchSlotsCommand
    | UnwatchSlotsCommand
    | SyncCommand
    | ShareCommand
    | PositionCommand
    | UnshareCommand
    | AuthCommand
    | PingCommand
)
PaymentCommand = WatchCommand | UnwatchCommand | AuthCommand | PingCommand


# -- what clients hear --------------------------------------------------------------------------


class UserView(Struct, frozen=True):
    """Whose connection it is."""

    id: str
    role: str


class LimitsView(Struct, frozen=True):
    """What the client may do: bytes a frame, frames a second and at once, sends without ack."""

    frame: int
    rate: float
    burst: int
    unacked: int


class RoomView(Struct, frozen=True):
    """The room at the time of ``hello``. ``read`` maps each member to his mark."""

    id: str
    epoch: str
    head: int
    read: dict[str, int]
    is_active: bool


class HelloEvent(Struct, frozen=True, tag="hello"):
    """The first frame. ``head`` and ``unread`` on notification sockets, ``room`` on chat ones."""

    v: int
    conn: str
    user: UserView
    server_time: str
    exp: str
    ping: float
    limits: LimitsView
    room: RoomView | UnsetType = UNSET
    head: int | UnsetType = UNSET
    unread: int | UnsetType = UNSET


class SenderView(Struct, frozen=True):
    """Who sent a message: a name, nothing by which to reach him elsewhere."""

    id: str
    role: str
    name: str


class AttachmentView(Struct, frozen=True, omit_defaults=True):
    """A file of a message."""

    id: str
    name: str
    mime: str
    size: int
    url: str
    width: int | None = None
    height: int | None = None


class MessageEvent(Struct, frozen=True, tag="message"):
    """A message of the room."""

    seq: int
    id: str
    room: str
    cid: str
    sender: SenderView
    kind: str
    content: str
    content_ne: str
    attachment: AttachmentView | None
    reply_to: str | None
    ts: str
    read: str | None
    """When the other party read it, null while it has not."""


class HistoryEvent(Struct, frozen=True, tag="history"):
    """Messages (or notifications) ascending; brings the client to ``to``, even over holes."""

    from_: int = field(name="from")
    to: int
    more: bool
    gap: bool
    room: str | UnsetType = UNSET
    messages: list[Raw] | UnsetType = UNSET
    notifications: list[Raw] | UnsetType = UNSET


class AckEvent(Struct, frozen=True, tag="ack"):
    """The message is durable. ``dup``: it was stored before."""

    cid: str
    id: str
    seq: int
    ts: str
    dup: bool


class TypingEvent(Struct, frozen=True, tag="typing"):
    """A member types; forget it after ``ttl`` seconds."""

    room: str
    user: str
    on: bool
    ttl: int


class ReadEvent(Struct, frozen=True, tag="read"):
    """A member has read up to ``seq``."""

    room: str
    user: str
    seq: int
    ts: str


class PresenceEvent(Struct, frozen=True, tag="presence"):
    """A member has come or gone."""

    room: str
    user: str
    state: str
    last_seen: str | None


class RoomEvent(Struct, frozen=True, tag="room"):
    """The room or its booking has changed its state."""

    room: str
    is_active: bool
    booking: str
    booking_status: str


class RoomHeadEvent(Struct, frozen=True, tag="room_head"):
    """A room of the reader has a new message; on the notification socket."""

    room: str
    seq: int
    sender: str
    kind: str
    preview: str
    preview_ne: str
    ts: str


class PaymentEvent(Struct, frozen=True, tag="payment"):
    """Where a payment stands, whole and not as a change: keep the highest ``version`` of each."""

    payment: str
    booking: str | None
    version: int
    status: str
    provider: str
    amount: int
    currency: str
    refunded_amount: int
    needs_review: bool
    reason: str
    reason_ne: str
    purpose: str
    pandit: str | None
    ts: str


class SlotView(Struct, frozen=True):
    """A time at which the service can, or could, be booked."""

    start: str
    end: str
    available: bool


class SlotsEvent(Struct, frozen=True, tag="slots"):
    """All times of a watched day, whole and not as a change; nothing says who holds them."""

    service: str
    date: str
    slots: list[SlotView]


class SharingEvent(Struct, frozen=True, tag="sharing"):
    """A pandit's position is shared until then; one in ``interval`` seconds is enough."""

    booking: str
    until: str
    interval: float


class PositionEvent(Struct, frozen=True, tag="position"):
    """Where the pandit of a booking is, for its customer alone; forget it after ``ttl`` seconds."""

    booking: str
    lat: float
    lng: float
    accuracy: float | None
    distance_km: float | None
    minutes: int | None
    ts: str
    ttl: int


class PositionEndedEvent(Struct, frozen=True, tag="position_ended"):
    """No more positions come, and why."""

    booking: str
    reason: str


class ReconnectEvent(Struct, frozen=True, tag="reconnect"):
    """The server is going away: connect again after so many milliseconds."""

    after_ms: int


class TokenExpiringEvent(Struct, frozen=True, tag="token_expiring"):
    """The access token ends in so many seconds: send ``auth``."""

    in_: int = field(name="in")


class AuthOkEvent(Struct, frozen=True, tag="auth_ok"):
    """The fresh token holds until ``exp``."""

    exp: str


class PongEvent(Struct, frozen=True, tag="pong"):
    """Answer to ``ping``, with the same ``t``."""

    t: str | int | float | bool | None


class ErrorEvent(Struct, frozen=True, tag="error"):
    """Something that the client said was refused; the connection stays unless a close follows."""

    code: str
    message: str
    message_ne: str
    cid: str | UnsetType = UNSET
    retry_after: int | UnsetType = UNSET


Event = (
    HelloEvent
    | MessageEvent
    | HistoryEvent
    | AckEvent
    | TypingEvent
    | ReadEvent
    | PresenceEvent
    | RoomEvent
    | RoomHeadEvent
    | PaymentEvent
    | SlotsEvent
    | SharingEvent
    | PositionEvent
    | PositionEndedEvent
    | ReconnectEvent
    | TokenExpiringEvent
    | AuthOkEvent
    | PongEvent
    | ErrorEvent
)


class Heading(Struct, frozen=True):
    """As much of a published frame as the hub needs to deliver it."""

    type: str = ""
    seq: int = 0
    cid: str = ""
    user: str = ""
    state: str = ""
    is_active: bool = True
    unread: int = 0
    payment: str = ""
    sender: Any = None

    @property
    def sender_id(self) -> str:
        """The user who sent the message."""
        return self.sender.get("id", "") if isinstance(self.sender, dict) else ""


def encode_frame(event: Struct) -> bytes:
    """The JSON of a frame."""
    return _encoder.encode(event)


@functools.lru_cache(maxsize=256)
def stamp(at: datetime) -> str:
    """An instant as sockets tell it; a batch of messages has one, told three times."""
    text = at.astimezone(UTC).isoformat(timespec="milliseconds")
    return text.removesuffix("+00:00") + "Z"


def view_message(message: Message) -> MessageEvent:
    """The frame of a message."""
    return MessageEvent(
        seq=message.sequence,
        id=message.id,
        room=message.room_id,
        cid=message.cid,
        sender=SenderView(message.sender_id, message.sender_role, message.sender_name),
        kind=message.message_type,
        content=message.content,
        content_ne=message.content_ne,
        attachment=_view_attachment(message.attachment) if message.attachment else None,
        reply_to=message.reply_to,
        ts=stamp(message.timestamp),
        read=stamp(message.read_at) if message.read_at else None,
    )


def view_room(room: ChatRoom, head: int, reads: Mapping[str, int]) -> RoomView:
    """The room as ``hello`` shows it; ``head`` and ``reads`` may be newer than the stored ones."""
    marks = dict(reads)
    for user_id, mark in room.reads.items():
        marks[user_id] = max(mark.sequence, marks.get(user_id, 0))
    return RoomView(
        id=room.id,
        epoch=epoch_of(room),
        head=max(head, room.head.sequence if room.head else 0),
        read={user_id: marks.get(user_id, 0) for user_id in room.members},
        is_active=room.is_active,
    )


def view_slots(service_id: str, day: date, slots: Iterable[Slot]) -> SlotsEvent:
    """The frame of a day's times."""
    return SlotsEvent(
        service=service_id,
        date=day.isoformat(),
        slots=[
            SlotView(stamp(slot.starts_at), stamp(slot.ends_at), slot.is_available)
            for slot in slots
        ],
    )


def epoch_of(room: ChatRoom) -> str:
    """What changes when the numbers of a room begin anew: a restored or rebuilt room."""
    return format(int(room.created_at.timestamp() * 1000), "x")


def _view_attachment(attachment: Attachment) -> AttachmentView:
    return AttachmentView(
        id=attachment.id,
        name=attachment.name,
        mime=attachment.mime,
        size=attachment.size,
        url=file_url(attachment),
        width=attachment.width,
        height=attachment.height,
    )


class JsonChatFrames:
    """See ``services.chats.ChatFrames``."""

    def message(self, message: Message) -> bytes:
        """A stored message."""
        return encode_frame(view_message(message))

    def read(self, room_id: str, user_id: str, mark: ReadMark) -> bytes:
        """A member has read up to a message."""
        return encode_frame(
            ReadEvent(room=room_id, user=user_id, seq=mark.sequence, ts=stamp(mark.read_at))
        )

    def typing(self, room_id: str, user_id: str, *, is_on: bool) -> bytes:
        """A member types, or has stopped."""
        return encode_frame(
            TypingEvent(room=room_id, user=user_id, on=is_on, ttl=TYPING_TTL_SECONDS)
        )

    def presence(self, room_id: str, user_id: str, state: str, last_seen: str | None) -> bytes:
        """A member has come or gone."""
        return encode_frame(
            PresenceEvent(room=room_id, user=user_id, state=state, last_seen=last_seen)
        )

    def room(self, room: ChatRoom, booking_status: str) -> bytes:
        """The state of the room has changed."""
        return encode_frame(
            RoomEvent(
                room=room.id,
                is_active=room.is_active,
                booking=room.booking_id if room.is_of_booking else "",
                booking_status=booking_status,
            )
        )

    def room_head(self, room_id: str, head: RoomHead) -> bytes:
        """A room of the reader has a new message, in short."""
        return encode_frame(
            RoomHeadEvent(
                room=room_id,
                seq=head.sequence,
                sender=head.sender_id,
                kind=head.message_type,
                preview=head.preview,
                preview_ne=head.preview_ne,
                ts=stamp(head.timestamp),
            )
        )


class JsonPaymentFrames:
    """See ``services.settlement.PaymentFrames``."""

    def __init__(self, translator: Translator) -> None:
        self._translator = translator

    def payment(self, payment: Payment, attempt: Attempt) -> bytes:
        """Where an attempt stands."""
        reason = reason_text(attempt.reason)
        return encode_frame(
            PaymentEvent(
                payment=attempt_id(payment, attempt),
                booking=payment.booking_id,
                version=payment.version,
                status=attempt.status,
                provider=attempt.method,
                amount=attempt.amount,
                currency=attempt.currency,
                refunded_amount=attempt.refunded,
                needs_review=attempt.needs_review,
                reason=self._translator.text("en", reason) if reason else "",
                reason_ne=self._translator.text("ne", reason) if reason else "",
                purpose=payment.purpose,
                pandit=payment.pandit_id,
                ts=stamp(attempt.updated_at),
            )
        )


class JsonPositionFrames:
    """See ``services.positions.PositionFrames``."""

    def position(self, whereabouts: Whereabouts, ttl_seconds: int) -> bytes:
        """Where a pandit is, to about a metre."""
        return encode_frame(
            PositionEvent(
                booking=whereabouts.booking_id,
                lat=round(whereabouts.point.latitude, _METRE_DIGITS),
                lng=round(whereabouts.point.longitude, _METRE_DIGITS),
                accuracy=whereabouts.accuracy_m,
                distance_km=whereabouts.distance_km,
                minutes=whereabouts.minutes,
                ts=stamp(whereabouts.at),
                ttl=ttl_seconds,
            )
        )

    def position_ended(self, booking_id: str, reason: str) -> bytes:
        """No more positions come."""
        return encode_frame(PositionEndedEvent(booking=booking_id, reason=reason))
