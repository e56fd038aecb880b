"""Notifications: what people are told of an event, in both languages."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime

from server.domain.account import NEPAL
from server.domain.events import EventKind


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
