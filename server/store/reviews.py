"""Reviews in MongoDB, one for each booking, and what pandits say of customers.

The unique index over (pandit, turn) gives each turn of a pandit's sums to one decision alone; see
``domain.review``.
"""

from __future__ import annotations

from statistics import fmean
from typing import Final

from server.domain.errors import AlreadyExists
from server.domain.ports.paging import Page, SortKey
from server.domain.review import Review, ReviewState
from server.store.client import ASCENDING, DESCENDING, Document, DuplicateKey, Index, Store
from server.store.codec import from_document, to_document
from server.store.outbox import outbox_index
from server.store.paging import cut, page_stages

COLLECTION: Final = "reviews"
INDEXES: Final = (
    Index((("booking_id", ASCENDING),), unique=True),
    Index(
        (("pandit_id", ASCENDING), ("turns", ASCENDING)),
        unique=True,
        partial={"turns": {"$gt": 0}},
    ),
    Index(
        (
            ("pandit_id", ASCENDING),
            ("is_verified", ASCENDING),
            ("created_at", DESCENDING),
            ("_id", DESCENDING),
        )
    ),
    Index(
        (
            ("is_open", ASCENDING),
            ("is_verified", ASCENDING),
            ("created_at", DESCENDING),
            ("_id", DESCENDING),
        )
    ),
    Index((("is_open", ASCENDING), ("created_at", ASCENDING), ("_id", ASCENDING))),
    Index((("user_id", ASCENDING), ("created_at", DESCENDING), ("_id", DESCENDING))),
    outbox_index(),
)


class MongoReviewRepository:
    """See ``ports.ReviewRepository``."""

    def __init__(self, store: Store) -> None:
        self._reviews = store.collection(COLLECTION)

    async def add(self, review: Review) -> None:
        try:
            await self._reviews.insert_one(review_document(review))
        except DuplicateKey:
            raise AlreadyExists("review") from None

    async def find(self, review_id: str) -> Review | None:
        return await self._find_one({"_id": review_id})

    async def find_by_booking(self, booking_id: str) -> Review | None:
        return await self._find_one({"booking_id": booking_id})

    async def find_by_turn(self, pandit_id: str, turn: int) -> Review | None:
        return await self._find_one({"pandit_id": pandit_id, "turns": turn})

    async def replace(self, review: Review) -> bool:
        document = review_document(review)
        document["version"] = review.version + 1
        try:
            return await self._reviews.replace_one(
                {"_id": review.id, "version": review.version}, document
            )
        except DuplicateKey:
            # Another decision has taken that turn.
            return False

    async def list_for_pandit(
        self, pandit_id: str, *, limit: int, after: SortKey | None
    ) -> Page[Review]:
        return await self._page(
            {"pandit_id": pandit_id, "is_verified": True},
            direction=DESCENDING,
            limit=limit,
            after=after,
        )

    async def list_by_state(
        self, state: ReviewState, *, limit: int, after: SortKey | None
    ) -> Page[Review]:
        if state is ReviewState.OPEN:
            return await self._page(
                {"is_open": True}, direction=ASCENDING, limit=limit, after=after
            )
        return await self._page(
            {"is_open": False, "is_verified": state is ReviewState.PUBLISHED},
            direction=DESCENDING,
            limit=limit,
            after=after,
        )

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

    async def _find_one(self, query: Document) -> Review | None:
        document = await self._reviews.find_one(query)
        return from_document(Review, document) if document else None

    async def _page(
        self, query: Document, *, direction: int, limit: int, after: SortKey | None
    ) -> Page[Review]:
        documents = await self._reviews.aggregate(
            page_stages(query, field="created_at", direction=direction, limit=limit, after=after)
        )
        rows, next_key = cut(documents, "created_at", limit)
        return Page(tuple(from_document(Review, row) for row in rows), next_key)


def review_document(review: Review) -> Document:
    """The document of a review; whoever writes in bulk uses it too."""
    document = to_document(review)
    # Absent, not empty: the index over turns holds only those who have any.
    for name in ("turns", "outbox"):
        if not document[name]:
            del document[name]
    return document
