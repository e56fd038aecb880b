"""Browsers that take messages."""

from __future__ import annotations

from typing import Final

from server.domain.notification import MAX_SUBSCRIPTIONS, PushSubscription
from server.store.client import ASCENDING, DESCENDING, Document, Index, Store
from server.store.codec import from_document, to_document

COLLECTION: Final = "push_subscriptions"
INDEXES: Final = (
    Index((("user_id", ASCENDING), ("created_at", DESCENDING))),
    Index((("session_id", ASCENDING),)),
)


class MongoPushSubscriptionRepository:
    """See ``ports.PushSubscriptionRepository``."""

    def __init__(self, store: Store) -> None:
        self._subscriptions = store.collection(COLLECTION)

    async def put(self, subscription: PushSubscription) -> None:
        document = to_document(subscription)
        del document["_id"]
        await self._subscriptions.update_one(
            {"_id": subscription.id}, {"$set": document}, upsert=True
        )
        rows = await self._subscriptions.find(
            {"user_id": subscription.user_id},
            sort=(("created_at", DESCENDING),),
            limit=2 * MAX_SUBSCRIPTIONS,
            fields=("_id",),
        )
        for row in rows[MAX_SUBSCRIPTIONS:]:
            await self._subscriptions.delete_one({"_id": row["_id"]})

    async def list_of(self, user_id: str) -> list[PushSubscription]:
        rows = await self._subscriptions.find(
            {"user_id": user_id}, sort=(("created_at", DESCENDING),), limit=MAX_SUBSCRIPTIONS
        )
        return [from_document(PushSubscription, row) for row in rows]

    async def list_users(self, after: str, limit: int) -> list[str]:
        query: Document = {"user_id": {"$gt": after}}
        rows = await self._subscriptions.find(
            query, sort=(("user_id", ASCENDING),), limit=limit, fields=("user_id",)
        )
        return sorted({row["user_id"] for row in rows})

    async def remove(self, subscription_id: str, user_id: str | None = None) -> bool:
        query: Document = {"_id": subscription_id}
        if user_id is not None:
            query["user_id"] = user_id
        return await self._subscriptions.delete_one(query)

    async def remove_session(self, session_id: str) -> None:
        rows = await self._subscriptions.find(
            {"session_id": session_id}, limit=MAX_SUBSCRIPTIONS, fields=("_id",)
        )
        for row in rows:
            await self._subscriptions.delete_one({"_id": row["_id"]})
