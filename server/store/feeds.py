"""Calendar feeds, one for each person who wants one."""

from __future__ import annotations

from typing import Final

from server.domain.feed import CalendarFeed
from server.store.client import ASCENDING, Index, Store
from server.store.codec import from_document, to_document

COLLECTION: Final = "calendar_feeds"
INDEXES: Final = (Index((("token_hash", ASCENDING),), unique=True),)


class MongoFeedRepository:
    """See ``ports.FeedRepository``."""

    def __init__(self, store: Store) -> None:
        self._feeds = store.collection(COLLECTION)

    async def find(self, user_id: str) -> CalendarFeed | None:
        document = await self._feeds.find_one({"_id": user_id})
        return from_document(CalendarFeed, document) if document else None

    async def find_by_hash(self, token_hash: str) -> CalendarFeed | None:
        document = await self._feeds.find_one({"token_hash": token_hash})
        return from_document(CalendarFeed, document) if document else None

    async def put(self, feed: CalendarFeed) -> None:
        values = to_document(feed)
        del values["_id"]
        await self._feeds.update_one({"_id": feed.id}, {"$set": values}, upsert=True)

    async def remove(self, user_id: str) -> None:
        await self._feeds.delete_one({"_id": user_id})
