"""Series of bookings in MongoDB."""

from __future__ import annotations

from collections.abc import Collection as Ids
from datetime import date
from typing import Final

from server.domain.errors import AlreadyExists
from server.domain.ports.paging import Page, SortKey
from server.domain.recurrence import Series
from server.store.client import ASCENDING, DESCENDING, Document, DuplicateKey, Index, Store
from server.store.codec import from_document, to_document
from server.store.outbox import outbox_index
from server.store.paging import cut, page_stages

COLLECTION: Final = "booking_series"
INDEXES: Final = (
    Index((("user_id", ASCENDING), ("created_at", DESCENDING), ("_id", DESCENDING))),
    Index((("occurrences.booking_id", ASCENDING),)),
    Index((("plan_on", ASCENDING),), partial={"plan_on": {"$gt": ""}}),
    outbox_index(),
)


class MongoSeriesRepository:
    """See ``ports.SeriesRepository``."""

    def __init__(self, store: Store) -> None:
        self._series = store.collection(COLLECTION)

    async def add(self, series: Series) -> None:
        try:
            await self._series.insert_one(_document(series))
        except DuplicateKey:
            raise AlreadyExists("id") from None

    async def find(self, series_id: str) -> Series | None:
        document = await self._series.find_one({"_id": series_id})
        return from_document(Series, document) if document else None

    async def find_by_booking(self, booking_id: str) -> Series | None:
        document = await self._series.find_one({"occurrences.booking_id": booking_id})
        return from_document(Series, document) if document else None

    async def replace(self, series: Series) -> bool:
        document = {**_document(series), "version": series.version + 1}
        return await self._series.replace_one(
            {"_id": series.id, "version": series.version}, document
        )

    async def list_page(self, user_id: str, *, limit: int, after: SortKey | None) -> Page[Series]:
        documents = await self._series.aggregate(
            page_stages(
                {"user_id": user_id},
                field="created_at",
                direction=DESCENDING,
                limit=limit,
                after=after,
            )
        )
        rows, next_key = cut(documents, "created_at", limit)
        return Page(tuple(from_document(Series, row) for row in rows), next_key)

    async def list_due(self, today: date, limit: int, *, but: Ids[str] = ()) -> tuple[Series, ...]:
        # By the index of those days first: see ``store.paging``.
        stages: list[Document] = [{"$match": {"plan_on": {"$gt": "", "$lte": today.isoformat()}}}]
        if but:
            stages.append({"$match": {"_id": {"$nin": list(but)}}})
        documents = await self._series.aggregate(
            [*stages, {"$sort": {"plan_on": ASCENDING}}, {"$limit": limit}]
        )
        return tuple(from_document(Series, document) for document in documents)


def _document(series: Series) -> Document:
    # Absent, not empty: partial indexes hold those alone that have it.
    document = to_document(series)
    if not document["outbox"]:
        del document["outbox"]
    if document["plan_on"] is None:
        del document["plan_on"]
    return document
