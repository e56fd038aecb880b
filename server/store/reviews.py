"""Reviews in MongoDB, one for each booking."""

from __future__ import annotations

from typing import Final

from server.domain.ports import Page, SortKey
from server.domain.review import Review
from server.store.client import ASCENDING, DESCENDING, Document, Index, Store
from server.store.codec import from_document

COLLECTION: Final = "reviews"
INDEXES: Final = (
    Index((("booking_id", ASCENDING),), unique=True),
    Index(
        (
            ("pandit_id", ASCENDING),
            ("is_verified", ASCENDING),
            ("created_at", DESCENDING),
            ("_id", DESCENDING),
        )
    ),
)


class MongoReviewRepository:
    """See ``ports.ReviewRepository``."""

    def __init__(self, store: Store) -> None:
        self._reviews = store.collection(COLLECTION)

    async def list_for_pandit(
        self, pandit_id: str, *, limit: int, after: SortKey | None
    ) -> Page[Review]:
        query: Document = {"pandit_id": pandit_id, "is_verified": True}
        if after is not None:
            created_at, review_id = after
            query["created_at"] = {"$lte": created_at}
            query["$or"] = [
                {"created_at": {"$lt": created_at}},
                {"created_at": created_at, "_id": {"$lt": review_id}},
            ]
        documents = await self._reviews.find(
            query, sort=(("created_at", DESCENDING), ("_id", DESCENDING)), limit=limit + 1
        )
        rows = tuple(from_document(Review, document) for document in documents[:limit])
        is_last = len(documents) <= limit
        return Page(rows, None if is_last else (rows[-1].created_at, rows[-1].id))
