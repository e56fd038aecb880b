"""Reviews in MongoDB, one for each booking."""

from __future__ import annotations

from statistics import fmean
from typing import Final

from server.domain.ports import Page, SortKey
from server.domain.review import Review
from server.store.client import ASCENDING, DESCENDING, Index, Store
from server.store.codec import from_document
from server.store.paging import cut, page_stages

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
    Index((("user_id", ASCENDING), ("created_at", DESCENDING), ("_id", DESCENDING))),
)


class MongoReviewRepository:
    """See ``ports.ReviewRepository``."""

    def __init__(self, store: Store) -> None:
        self._reviews = store.collection(COLLECTION)

    async def list_for_pandit(
        self, pandit_id: str, *, limit: int, after: SortKey | None
    ) -> Page[Review]:
        documents = await self._reviews.aggregate(
            page_stages(
                {"pandit_id": pandit_id, "is_verified": True},
                field="created_at",
                direction=DESCENDING,
                limit=limit,
                after=after,
            )
        )
        rows, next_key = cut(documents, "created_at", limit)
        return Page(tuple(from_document(Review, row) for row in rows), next_key)

    async def stars_given(self, user_id: str, limit: int) -> dict[str, float]:
        documents = await self._reviews.aggregate(
            [
                {"$match": {"user_id": user_id}},
                {"$sort": {"created_at": DESCENDING, "_id": DESCENDING}},
                {"$limit": limit},
                {"$project": {"pandit_id": 1, "rating": 1}},
            ]
        )
        given: dict[str, list[int]] = {}
        for document in documents:
            given.setdefault(document["pandit_id"], []).append(document["rating"])
        return {pandit_id: fmean(ratings) for pandit_id, ratings in given.items()}
