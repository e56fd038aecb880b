"""Notifications: what people are told of an event, in both languages, and on which channel."""

from __future__ import annotations

import enum
import hashlib
import re
from collections.abc import Collection
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from typing import Final
from urllib.parse import urlsplit

from server.domain.account import NEPAL
from server.domain.errors import FieldFault, Invalid
from server.domain.events import EventKind

MAX_SUBSCRIPTIONS: Final = 10
"""Browsers of one person that are pushed to; the oldest goes."""
MAX_ENDPOINT: Final = 1024
_KEY: Final = re.compile(r"[A-Za-z0-9_-]{87}=?")
_AUTH: Final = re.compile(r"[A-Za-z0-9_-]{22}(?:==)?")


@dataclass(frozen=True, slots=True, kw_only=True)
class Notification:
    """One entry of a person's stream. ``sequence`` counts from 1 per user, without gaps.

    ``event_id`` with ``user_id`` is unique: an event that is delivered again changes nothing.
    """

    id: str
    user_id: str
    sequence: int
    event_id: str
    notification_type: EventKind
    title: str
    title_ne: str
    message: str
    message_ne: str
    booking_id: str | None = None
    data: dict[str, str] = field(default_factory=dict)
    is_read: bool = False
    read_at: datetime | None = None
    created_at: datetime
    user_timezone: str = NEPAL

    @property
    def url(self) -> str:
        """The page of this site where it leads, from a list, a bell and a browser's message."""
        return url_of(self.notification_type, self.data)


class Channel(enum.StrEnum):
    """Ways on which somebody hears of a notification.

    The list of notifications itself always has all of them: a channel that is switched off does not
    ring, and nothing is lost.
    """

    LIVE = "live"
    """The bell and the count of unread ones on open pages."""
    PUSH = "push"
    """A message of the browser to somebody who has no page open."""


@dataclass(frozen=True, slots=True, kw_only=True)
class NotificationPreferences:
    """What a person does not want to hear of, as pairs of kind and channel.

    ``wants_digest``: one message a day about what is still unread. ``digest_on`` is the last day
    (of the person's own calendar) for which there was one. ``wants_proposals``: to be reminded of
    pujas that his family may want to hold next.
    """

    user_id: str
    muted: frozenset[tuple[EventKind, Channel]] = frozenset()
    wants_digest: bool = True
    wants_proposals: bool = True
    digest_on: date | None = None

    def wants(self, kind: EventKind, channel: Channel) -> bool:
        """Whether a notification of that kind may ring on that channel."""
        return (kind, channel) not in self.muted


@dataclass(frozen=True, slots=True, kw_only=True)
class PushSubscription:
    """One browser that takes messages for one session (RFC 8030, RFC 8291).

    ``p256dh`` and ``auth`` are the browser's public key and secret in base64url.
    """

    id: str
    user_id: str
    session_id: str
    endpoint: str
    p256dh: str
    auth: str
    created_at: datetime


def subscription_id(endpoint: str) -> str:
    """The id of a browser's subscription: nobody else has its address."""
    return hashlib.sha256(endpoint.encode()).hexdigest()[:40]


def check_subscription(endpoint: str, p256dh: str, auth: str, hosts: Collection[str]) -> None:
    """Raise ``Invalid`` unless the address belongs to a known push service.

    ``hosts`` are names, or with a leading dot all names below one. The server calls this address:
    an open list would let a stranger make it call inside hosts. A host with a port is taken
    exactly, without TLS: a push service of this very machine, for tests.
    """
    faults = []
    if len(endpoint) > MAX_ENDPOINT or not _is_push_service(endpoint, hosts):
        faults.append(FieldFault("endpoint", "push-service-unknown"))
    if not _KEY.fullmatch(p256dh):
        faults.append(FieldFault("keys.p256dh", "malformed"))
    if not _AUTH.fullmatch(auth):
        faults.append(FieldFault("keys.auth", "malformed"))
    if faults:
        raise Invalid(*faults)


def _is_push_service(endpoint: str, hosts: Collection[str]) -> bool:
    try:
        parts = urlsplit(endpoint)
        host, port = (parts.hostname or "").lower(), parts.port
    except ValueError:
        # Brackets without an address, or a port that is none.
        return False
    is_known = any(
        host == known or (known.startswith(".") and host.endswith(known)) for known in hosts
    )
    is_usual = parts.scheme == "https" and port in (None, 443) and is_known
    is_local = parts.scheme == "http" and parts.netloc in hosts
    has_person = parts.username is not None or parts.password is not None
    return not has_person and (is_usual or is_local)


@dataclass(frozen=True, slots=True, kw_only=True)
class PushMessage:
    """What a browser shows. ``topic`` replaces an undelivered one of the same name.

    ``ttl_seconds`` is how long the push service keeps it for a browser that is away.
    """

    title: str
    body: str
    url: str
    tag: str
    language: str
    ttl_seconds: int
    is_urgent: bool = False

    @property
    def topic(self) -> str:
        """The name under which a later message replaces this one, at most 32 characters."""
        return hashlib.sha256(self.tag.encode()).hexdigest()[:32]


class PushOutcome(enum.StrEnum):
    """What a push service says to a message."""

    SENT = "sent"
    GONE = "gone"
    """The browser takes no messages any more: forget the subscription."""
    REFUSED = "refused"
    FAILED = "failed"
    """Not answered, or busy, in all tries."""


_HOUR: Final = int(timedelta(hours=1).total_seconds())
_LIFE: Final[dict[EventKind, int]] = {
    EventKind.BOOKING_REMINDER: _HOUR,
    EventKind.BOOKING_ARRIVED: _HOUR,
    EventKind.BOOKING_CREATED: 4 * _HOUR,
    EventKind.NEW_MESSAGE: 24 * _HOUR,
}
_URGENT: Final = frozenset(
    {"BOOKING_ARRIVED", "BOOKING_REMINDER", "BOOKING_CREATED", "BOOKING_CANCELLED"}
)


def life_of(kind: EventKind) -> int:
    """For how many seconds a message of that kind is worth delivering."""
    return _LIFE.get(kind, 72 * _HOUR)


def is_urgent(kind: EventKind) -> bool:
    """Whether a browser should be woken for it: money, and what is about to happen."""
    return kind in _URGENT or kind.startswith("PAYMENT_")


def url_of(kind: EventKind, data: dict[str, str]) -> str:
    """The page of this site where a notification leads."""
    if kind in (EventKind.REVIEW_SUBMITTED, EventKind.REVIEW_REPORTED):
        return "/admin/reviews/"
    if kind in (EventKind.PANDIT_REGISTERED, EventKind.PANDIT_RESUBMITTED):
        return "/admin/pandits/"
    if kind.startswith("PANDIT_"):
        return "/pandit/profile/"
    if kind is EventKind.BOOKING_PASSED_ON:
        # The booking itself is not his to see any more.
        return "/requests/"
    if kind is EventKind.NEW_MESSAGE and (room_id := data.get("room_id")):
        return f"/chats/{room_id}/"
    if kind is EventKind.PAYMENT_REVIEW_WANTED and (payment_id := data.get("payment_id")):
        return f"/admin/payments/{payment_id}/"
    if kind.startswith("PAYMENT_") and (payment_id := data.get("payment_id")):
        return f"/payments/{payment_id}/"
    if series_id := data.get("series_id"):
        return f"/series/{series_id}/"
    booking_id = data.get("booking_id")
    return f"/bookings/{booking_id}/" if booking_id else "/notifications/"
