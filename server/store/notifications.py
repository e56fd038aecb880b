"""Notifications in MongoDB.

Two unique indexes carry the rules: an event reaches a user once, and a user's sequence numbers have
no gaps and no repeats. A number is taken only after the one below it has been seen, and nothing is
deleted.
"""

from __future__ import annotations

from collections.abc import Collection as Ids
from dataclasses import replace
from datetime import datetime
from typing import Final

from server.domain.notification import Notification
from server.domain.ports.paging import Page, SortKey
from server.store.client import ASCENDING, DESCENDING, Document, DuplicateKey, Index, Store
from server.store.codec import from_document, to_document

COLLECTION: Final = "notifications"
INDEXES: Final = (
    Index((("user_id", ASCENDING), ("event_id", ASCENDING)), unique=True),
    Index((("user_id", ASCENDING), ("sequence", DESCENDING)), unique=True),
    Index(
        (("user_id", ASCENDING), ("is_read", ASCENDING), ("sequence", DESCENDING)),
        partial={"is_read": False},
    ),
)
_MAX_UNREAD: Final = 10_000


class MongoNotificationRepository:
    """See ``ports.NotificationRepository``."""

    def __init__(self, store: Store) -> None:
        self._notifications = store.collection(COLLECTION)

    async def add(self, notification: Notification) -> Notification | None:
        """Store it under the next number; None when the user already has one for that event."""
        sequence = await self.head(notification.user_id) + 1
        while True:
            numbered = replace(notification, sequence=sequence)
            try:
                await self._notifications.insert_one(to_document(numbered))
            except DuplicateKey as error:
                if "event_id" in error.fields:
                    return None
                # Somebody else has just taken this number, so the next one leaves no gap.
                sequence += 1
            else:
                return numbered

    async def list_page(
        self, user_id: str, *, unread_only: bool, limit: int, after: SortKey | None
    ) -> Page[Notification]:
        """Return a user's notifications, newest first; the sort key is (sequence,)."""
        query: Document = {"user_id": user_id}
        if unread_only:
            query["is_read"] = False
        if after is not None:
            query["sequence"] = {"$lt": after[0]}
        documents = await self._notifications.find(
            query, sort=(("sequence", DESCENDING),), limit=limit + 1
        )
        rows = tuple(from_document(Notification, document) for document in documents[:limit])
        return Page(rows, (rows[-1].sequence,) if len(documents) > limit else None)

    async def list_after(self, user_id: str, sequence: int, limit: int) -> list[Notification]:
        """Return notifications with a higher sequence, ascending."""
        documents = await self._notifications.find(
            {"user_id": user_id, "sequence": {"$gt": sequence}},
            sort=(("sequence", ASCENDING),),
            limit=limit,
        )
        return [from_document(Notification, document) for document in documents]

    async def head(self, user_id: str) -> int:
        """Return the highest sequence number of the user's stream, 0 when empty."""
        newest = await self._notifications.find_one(
            {"user_id": user_id}, sort=(("sequence", DESCENDING),), fields=("sequence",)
        )
        return int(newest["sequence"]) if newest else 0

    async def unread_count(self, user_id: str) -> int:
        """Return how many are unread, up to 10,000, from the index alone."""
        return await self._notifications.count(
            {"user_id": user_id, "is_read": False}, limit=_MAX_UNREAD
        )

    async def mark_read(
        self,
        user_id: str,
        read_at: datetime,
        *,
        ids: Ids[str] | None = None,
        up_to: int | None = None,
    ) -> int:
        """Mark the user's own and return how many changed; with neither bound, all of them."""
        query: Document = {"user_id": user_id, "is_read": False}
        if ids is not None:
            query["_id"] = {"$in": list(ids)}
        if up_to is not None:
            query["sequence"] = {"$lte": up_to}
        updated = await self._notifications.update_many(
            query, {"$set": {"is_read": True, "read_at": read_at}}
        )
        return updated.modified
