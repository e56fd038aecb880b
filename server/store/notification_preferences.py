"""What people do not want to hear of: a document for each who has said so."""

from __future__ import annotations

from collections.abc import Collection
from datetime import date
from typing import Final

from server.domain.notification import NotificationPreferences
from server.store.client import Index, Store
from server.store.codec import from_value, to_value

COLLECTION: Final = "notification_preferences"
INDEXES: Final[tuple[Index, ...]] = ()


class MongoNotificationPreferenceRepository:
    """See ``ports.NotificationPreferenceRepository``."""

    def __init__(self, store: Store) -> None:
        self._preferences = store.collection(COLLECTION)

    async def find(self, user_id: str) -> NotificationPreferences:
        return (await self.find_many([user_id]))[user_id]

    async def find_many(self, user_ids: Collection[str]) -> dict[str, NotificationPreferences]:
        rows = await self._preferences.find(
            {"_id": {"$in": list(user_ids)}}, limit=max(1, len(user_ids))
        )
        said = {row["_id"]: row for row in rows}
        return {
            user_id: from_value(
                NotificationPreferences, {**said.get(user_id, {}), "user_id": user_id}
            )
            for user_id in user_ids
        }

    async def put(self, preferences: NotificationPreferences) -> None:
        document = to_value(preferences)
        # The day of the last digest is the sender's, not the person's, to write.
        del document["digest_on"], document["user_id"]
        await self._preferences.update_one(
            {"_id": preferences.user_id}, {"$set": document}, upsert=True
        )

    async def take_digest(self, user_id: str, day: date) -> bool:
        await self._preferences.update_one(
            {"_id": user_id}, {"$setOnInsert": {"digest_on": None}}, upsert=True
        )
        # Of several processes one wins.
        updated = await self._preferences.update_one(
            {"_id": user_id, "digest_on": {"$ne": day.isoformat()}},
            {"$set": {"digest_on": day.isoformat()}},
        )
        return updated.modified == 1
