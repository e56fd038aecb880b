"""What happened, told once.

An event is written in the same document, by the same write, as the change that it tells of (its
``outbox``). It therefore exists if and only if the change was committed. The relay delivers it
afterwards, as often as it takes, and every receiver recognises an ``id`` that it has seen.
"""

from __future__ import annotations

import enum
from dataclasses import dataclass, field
from datetime import datetime


class EventKind(enum.StrEnum):
    """Kinds of event, which are the notification types of the API.

    PAYMENT_CHANGED, MONEY_MOVED, SERIES_WANTED and PANDIT_LEFT are heard by services alone.
    """

    BOOKING_CREATED = "BOOKING_CREATED"
    BOOKING_ACCEPTED = "BOOKING_ACCEPTED"
    BOOKING_REJECTED = "BOOKING_REJECTED"
    BOOKING_ARRIVED = "BOOKING_ARRIVED"
    BOOKING_STARTED = "BOOKING_STARTED"
    BOOKING_COMPLETED = "BOOKING_COMPLETED"
    BOOKING_CANCELLED = "BOOKING_CANCELLED"
    BOOKING_FAILED = "BOOKING_FAILED"
    BOOKING_REOFFERED = "BOOKING_REOFFERED"
    BOOKING_PASSED_ON = "BOOKING_PASSED_ON"
    BOOKING_RESCHEDULED = "BOOKING_RESCHEDULED"
    BOOKING_TIME_PROPOSED = "BOOKING_TIME_PROPOSED"
    BOOKING_TIME_DECLINED = "BOOKING_TIME_DECLINED"
    BOOKING_TIME_LAPSED = "BOOKING_TIME_LAPSED"
    BOOKING_SAMAGRI_PROPOSED = "BOOKING_SAMAGRI_PROPOSED"
    BOOKING_SAMAGRI_AGREED = "BOOKING_SAMAGRI_AGREED"
    BOOKING_SAMAGRI_DECLINED = "BOOKING_SAMAGRI_DECLINED"
    BOOKING_SAMAGRI_LAPSED = "BOOKING_SAMAGRI_LAPSED"
    BOOKING_REMINDER = "BOOKING_REMINDER"
    PAYMENT_SUCCESS = "PAYMENT_SUCCESS"
    PAYMENT_FAILED = "PAYMENT_FAILED"
    PAYMENT_REFUNDED = "PAYMENT_REFUNDED"
    PAYMENT_REVIEW_WANTED = "PAYMENT_REVIEW_WANTED"
    PAYMENT_CHANGED = "PAYMENT_CHANGED"
    MONEY_MOVED = "MONEY_MOVED"
    SERIES_WANTED = "SERIES_WANTED"
    RECURRENCE_CONFLICT = "RECURRENCE_CONFLICT"
    NEW_MESSAGE = "NEW_MESSAGE"
    REVIEW_SUBMITTED = "REVIEW_SUBMITTED"
    REVIEW_REPORTED = "REVIEW_REPORTED"
    REVIEW_RECEIVED = "REVIEW_RECEIVED"
    REVIEW_PUBLISHED = "REVIEW_PUBLISHED"
    REVIEW_WITHDRAWN = "REVIEW_WITHDRAWN"
    REVIEW_REPLIED = "REVIEW_REPLIED"
    PANDIT_REGISTERED = "PANDIT_REGISTERED"
    PANDIT_RESUBMITTED = "PANDIT_RESUBMITTED"
    PANDIT_VERIFIED = "PANDIT_VERIFIED"
    PANDIT_REJECTED = "PANDIT_REJECTED"
    PANDIT_LEFT = "PANDIT_LEFT"


SERVICES_ONLY = frozenset(
    {
        EventKind.PAYMENT_CHANGED,
        EventKind.MONEY_MOVED,
        EventKind.SERIES_WANTED,
        EventKind.PANDIT_LEFT,
    }
)
"""Kinds that nobody is told of."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """One thing that happened. ``id`` is unique for ever.

    ``params`` fill the texts shown to people.
    """

    id: str
    kind: EventKind
    at: datetime
    recipients: tuple[str, ...]
    booking_id: str | None = None
    params: dict[str, str] = field(default_factory=dict)
