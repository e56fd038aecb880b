"""What pandits say of customers, one for each booking."""

from __future__ import annotations

from typing import Final

from server.domain.errors import AlreadyExists
from server.domain.review import CustomerRating, CustomerStanding
from server.store.client import ASCENDING, DESCENDING, DuplicateKey, Index, Store
from server.store.codec import from_document, to_document

COLLECTION: Final = "customer_ratings"
INDEXES: Final = (
    Index((("booking_id", ASCENDING),), unique=True),
    Index((("user_id", ASCENDING), ("created_at", DESCENDING), ("_id", DESCENDING))),
)
_COUNTED: Final = 200
"""The latest of so many bookings say how somebody is; older ones no longer do."""


class MongoCustomerRatingRepository:
    """See ``ports.CustomerRatingRepository``."""

    def __init__(self, store: Store) -> None:
        self._ratings = store.collection(COLLECTION)

    async def add(self, rating: CustomerRating) -> None:
        try:
            await self._ratings.insert_one(to_document(rating))
        except DuplicateKey:
            raise AlreadyExists("rating") from None

    async def find_by_booking(self, booking_id: str) -> CustomerRating | None:
        document = await self._ratings.find_one({"booking_id": booking_id})
        return from_document(CustomerRating, document) if document else None

    async def standing_of(self, user_id: str, latest: int) -> CustomerStanding:
        documents = await self._ratings.aggregate(
            [
                {"$match": {"user_id": user_id}},
                {"$sort": {"created_at": DESCENDING, "_id": DESCENDING}},
                {"$limit": _COUNTED},
            ]
        )
        ratings = [from_document(CustomerRating, document) for document in documents]
        total = sum(each.rating for each in ratings)
        mean = total / len(ratings) if ratings else 0.0
        return CustomerStanding(len(ratings), mean, tuple(ratings[:latest]))
