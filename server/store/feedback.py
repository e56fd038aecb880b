"""The ledger of what became of recommendations; half a year is kept."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Final

from server.domain.learning import Feedback
from server.store.client import ASCENDING, DESCENDING, Document, Index, Store
from server.store.codec import from_value, to_value

COLLECTION: Final = "recommendation_feedback"
_KEPT_SECONDS: Final = 180 * 24 * 3600
INDEXES: Final = (
    Index((("user_id", ASCENDING), ("at", DESCENDING))),
    Index((("at", ASCENDING),), expire_after_seconds=_KEPT_SECONDS),
)


class MongoFeedbackRepository:
    """See ``ports.FeedbackRepository``."""

    def __init__(self, store: Store) -> None:
        self._feedback = store.collection(COLLECTION)

    async def record(self, rows: Sequence[Feedback]) -> list[Feedback]:
        """Store those that are not there yet and return them."""
        if not rows:
            return []
        documents = [{"_id": row.id, **to_value(row)} for row in rows]
        refused = await self._feedback.insert_many(documents)
        return [row for place, row in enumerate(rows) if place not in refused]

    async def list_of_user(
        self, user_id: str, first: datetime, last: datetime, limit: int
    ) -> list[Feedback]:
        """Return a user's rows of that time, newest first."""
        query: Document = {"user_id": user_id, "at": {"$gte": first, "$lte": last}}
        documents = await self._feedback.find(query, sort=(("at", DESCENDING),), limit=limit)
        return [from_value(Feedback, document) for document in documents]
