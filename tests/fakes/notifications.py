"""Notifications in a dictionary, held to the same contract as those in the database."""

from __future__ import annotations

import asyncio
from collections.abc import Collection
from dataclasses import replace
from datetime import datetime

from server.domain.account import User
from server.domain.notification import Notification, NotificationPreferences
from server.domain.ports.paging import Page, SortKey


class MemoryNotificationRepository:
    """See ``ports.NotificationRepository``."""

    def __init__(self) -> None:
        self._rows: dict[str, list[Notification]] = {}

    async def add(self, notification: Notification) -> Notification | None:
        await asyncio.sleep(0)  # as a database would, let others run
        rows = self._rows.setdefault(notification.user_id, [])
        if any(row.event_id == notification.event_id for row in rows):
            return None
        rows.append(replace(notification, sequence=len(rows) + 1))
        return rows[-1]

    async def list_page(
        self, user_id: str, *, unread_only: bool, limit: int, after: SortKey | None
    ) -> Page[Notification]:
        rows = [
            row
            for row in reversed(self._rows.get(user_id, []))
            if not (unread_only and row.is_read) and (after is None or row.sequence < after[0])
        ]
        page = tuple(rows[:limit])
        return Page(page, (page[-1].sequence,) if len(rows) > limit else None)

    async def list_after(self, user_id: str, sequence: int, limit: int) -> list[Notification]:
        return self._rows.get(user_id, [])[sequence : sequence + limit]

    async def head(self, user_id: str) -> int:
        return len(self._rows.get(user_id, []))

    async def unread_count(self, user_id: str) -> int:
        await asyncio.sleep(0)
        return sum(not row.is_read for row in self._rows.get(user_id, []))

    async def mark_read(
        self,
        user_id: str,
        read_at: datetime,
        *,
        ids: Collection[str] | None = None,
        up_to: int | None = None,
    ) -> int:
        changed = 0
        rows = self._rows.get(user_id, [])
        for place, row in enumerate(rows):
            is_meant = (ids is None or row.id in ids) and (up_to is None or row.sequence <= up_to)
            if is_meant and not row.is_read:
                rows[place] = replace(row, is_read=True, read_at=read_at)
                changed += 1
        return changed


class QuietRinger:
    """Keeps whom it was to ring up, and why."""

    def __init__(self) -> None:
        self.wishes: dict[str, NotificationPreferences] = {}
        self.rung: list[tuple[str, Notification]] = []

    async def wishes_of(self, user_id: str) -> NotificationPreferences:
        return self.wishes.get(user_id, NotificationPreferences(user_id=user_id))

    def ring(self, notification: Notification, user: User) -> None:
        self.rung.append((user.id, notification))
