"""Notifications, and the ways on which they reach somebody."""

from __future__ import annotations

from collections.abc import Collection
from datetime import date, datetime
from typing import Protocol

from server.domain.notification import (
    Notification,
    NotificationPreferences,
    PushMessage,
    PushOutcome,
    PushSubscription,
)
from server.domain.ports.paging import Page, SortKey


class NotificationRepository(Protocol):
    """Notifications, unique by (user, event) and by (user, sequence)."""

    async def add(self, notification: Notification) -> Notification | None:
        """Number and store it; None when the user already has one for that event.

        ``sequence`` of the argument is ignored: the store gives the user's next number, without
        gaps.
        """
        ...

    async def list_page(
        self, user_id: str, *, unread_only: bool, limit: int, after: SortKey | None
    ) -> Page[Notification]:
        """Return a user's notifications, newest first."""
        ...

    async def list_after(self, user_id: str, sequence: int, limit: int) -> list[Notification]:
        """Return notifications with a higher sequence, ascending."""
        ...

    async def head(self, user_id: str) -> int:
        """Return the highest sequence number of the user's stream, 0 when empty."""
        ...

    async def unread_count(self, user_id: str) -> int:
        """Return how many are unread, by an index."""
        ...

    async def mark_read(
        self,
        user_id: str,
        read_at: datetime,
        *,
        ids: Collection[str] | None = None,
        up_to: int | None = None,
    ) -> int:
        """Mark the user's own notifications and return how many changed."""
        ...


class NotificationPreferenceRepository(Protocol):
    """What people do not want to hear of."""

    async def find(self, user_id: str) -> NotificationPreferences:
        """Return what the person has said, else the defaults."""
        ...

    async def find_many(self, user_ids: Collection[str]) -> dict[str, NotificationPreferences]:
        """Return the same for each of them, by user id."""
        ...

    async def put(self, preferences: NotificationPreferences) -> None:
        """Store them; ``digest_on`` is not theirs to change."""
        ...

    async def take_digest(self, user_id: str, day: date) -> bool:
        """Take the right to send the digest of that day; True for one caller only."""
        ...


class PushSubscriptionRepository(Protocol):
    """Browsers that take messages."""

    async def put(self, subscription: PushSubscription) -> None:
        """Store it, or what has changed of it; the oldest beyond ``MAX_SUBSCRIPTIONS`` go."""
        ...

    async def list_of(self, user_id: str) -> list[PushSubscription]:
        """Return a person's, the newest first, at most ``MAX_SUBSCRIPTIONS``."""
        ...

    async def list_users(self, after: str, limit: int) -> list[str]:
        """Return ids of people with any, ascending, from above ``after``, of ``limit`` rows."""
        ...

    async def remove(self, subscription_id: str, user_id: str | None = None) -> bool:
        """Forget one, if it is that person's; False when there was none."""
        ...

    async def remove_session(self, session_id: str) -> None:
        """Forget those of one session."""
        ...


class PushSender(Protocol):
    """Sends messages to browsers through their push services."""

    @property
    def public_key(self) -> str:
        """The key that browsers subscribe with: an uncompressed P-256 point in base64url."""
        ...

    async def send(self, subscription: PushSubscription, message: PushMessage) -> PushOutcome:
        """Send it, with bounded time and retries; never raises for what a push service does."""
        ...
