"""Wire types of notifications."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated

from msgspec import Meta, Struct

from server.domain.errors import FieldFault, Invalid
from server.domain.events import EventKind
from server.domain.notification import (
    MAX_ENDPOINT,
    Channel,
    Notification,
    NotificationPreferences,
)
from server.schemas.base import Id, PageQuery, Reader, Request


class NotificationQuery(PageQuery, frozen=True, kw_only=True):
    """Which of one's notifications are wanted."""

    unread: bool = False


class NotificationReadRequest(Request, frozen=True, kw_only=True):
    """What has been read: some by id, all up to a sequence number, or all; exactly one of them."""

    ids: Annotated[list[Id], Meta(min_length=1, max_length=100)] | None = None
    up_to: Annotated[int, Meta(ge=0, le=2**53)] | None = None
    all: bool = False

    def require_one(self) -> None:
        """Raise ``Invalid`` unless exactly one way of saying it was chosen."""
        if (self.ids is not None) + (self.up_to is not None) + self.all != 1:
            raise Invalid(FieldFault("ids", "choice"))


class NotificationResponse(Struct, frozen=True, kw_only=True):
    """One notification, in both languages.

    ``booking`` is the id of the booking concerned, ``url`` the page of this site where it leads.
    """

    id: str
    sequence: int
    notification_type: EventKind
    title: str
    title_ne: str
    message: str
    message_ne: str
    booking: str | None
    data: dict[str, str]
    url: str
    is_read: bool
    read_at: datetime | None
    created_at: datetime
    user_timezone: str


class UnreadResponse(Struct, frozen=True, kw_only=True):
    """How many notifications are left unread."""

    unread: int


def present_notification(notification: Notification, reader: Reader) -> NotificationResponse:
    """Return the notification as its owner sees it."""
    return NotificationResponse(
        id=notification.id,
        sequence=notification.sequence,
        notification_type=notification.notification_type,
        title=notification.title,
        title_ne=notification.title_ne,
        message=notification.message,
        message_ne=notification.message_ne,
        booking=notification.booking_id,
        data=notification.data,
        url=notification.url,
        is_read=notification.is_read,
        read_at=reader.maybe_local(notification.read_at),
        created_at=reader.local(notification.created_at),
        user_timezone=notification.user_timezone,
    )


class PushKeys(Request, frozen=True, kw_only=True):
    """A browser's public key and its secret, in base64url."""

    p256dh: Annotated[str, Meta(max_length=100)]
    auth: Annotated[str, Meta(max_length=40)]


class PushSubscriptionRequest(
    Request, frozen=True, kw_only=True, rename={"expires": "expirationTime"}
):
    """What ``PushSubscription.toJSON()`` of a browser gives."""

    endpoint: Annotated[str, Meta(max_length=MAX_ENDPOINT)]
    keys: PushKeys
    expires: float | None = None


class PushEndpointRequest(Request, frozen=True, kw_only=True):
    """Which browser takes no more messages."""

    endpoint: Annotated[str, Meta(max_length=MAX_ENDPOINT)]


class PushSubscriptionResponse(Struct, frozen=True, kw_only=True):
    """A browser that takes messages."""

    id: str


class PushKeyResponse(Struct, frozen=True, kw_only=True):
    """What a browser subscribes with (``applicationServerKey``), in base64url."""

    public_key: str


class MutedKind(Request, frozen=True, kw_only=True):
    """One kind of notification that shall not ring on one channel."""

    kind: EventKind
    channel: Channel


class NotificationPreferencesRequest(Request, frozen=True, kw_only=True):
    """What one does not want to hear of; whatever is not named rings.

    ``wants_proposals``: whether pujas are proposed to hold next.
    """

    muted: Annotated[list[MutedKind], Meta(max_length=200)]
    wants_digest: bool = True
    wants_proposals: bool = True


class NotificationPreferencesResponse(Struct, frozen=True, kw_only=True):
    """What one does not want to hear of."""

    muted: list[MutedKind]
    wants_digest: bool
    wants_proposals: bool


def present_preferences(preferences: NotificationPreferences) -> NotificationPreferencesResponse:
    """Return the preferences in a stable order."""
    return NotificationPreferencesResponse(
        muted=[
            MutedKind(kind=kind, channel=channel) for kind, channel in sorted(preferences.muted)
        ],
        wants_digest=preferences.wants_digest,
        wants_proposals=preferences.wants_proposals,
    )
