"""The birth charts that people keep."""

from __future__ import annotations

from datetime import datetime
from typing import Final

from server.domain.chart import SavedChart
from server.domain.ports.paging import Page, SortKey
from server.store.client import ASCENDING, DESCENDING, Index, Store
from server.store.codec import from_document, to_document
from server.store.paging import cut, page_stages

COLLECTION: Final = "charts"
INDEXES: Final = (
    Index((("user_id", ASCENDING), ("created_at", DESCENDING), ("_id", DESCENDING))),
    Index((("share_hash", ASCENDING),)),
)


class MongoChartRepository:
    """See ``ports.ChartRepository``."""

    def __init__(self, store: Store) -> None:
        self._charts = store.collection(COLLECTION)

    async def add(self, chart: SavedChart) -> None:
        """Store it."""
        await self._charts.insert_one(to_document(chart))

    async def count_of(self, user_id: str, *, limit: int) -> int:
        """Return how many charts a person keeps, up to the limit."""
        return await self._charts.count({"user_id": user_id}, limit=limit)

    async def find(self, chart_id: str) -> SavedChart | None:
        """Return the chart, or None."""
        document = await self._charts.find_one({"_id": chart_id})
        return from_document(SavedChart, document) if document else None

    async def find_shared(self, share_hash: str) -> SavedChart | None:
        """Return the chart whose link has a token of that hash, or None."""
        document = await self._charts.find_one({"share_hash": share_hash})
        return from_document(SavedChart, document) if document else None

    async def share(
        self,
        chart_id: str,
        user_id: str,
        share_hash: str,
        expires_at: datetime | None,
        *,
        with_birth: bool,
    ) -> bool:
        """Put a link in place of the one before; whether there is such a chart of that person."""
        found = await self._charts.find_one_and_update(
            {"_id": chart_id, "user_id": user_id},
            {
                "$set": {
                    "share_hash": share_hash,
                    "share_expires_at": expires_at,
                    "share_with_birth": with_birth,
                }
            },
        )
        return found is not None

    async def remove(self, chart_id: str, user_id: str) -> bool:
        """Delete a person's chart; whether there was one."""
        return await self._charts.delete_one({"_id": chart_id, "user_id": user_id})

    async def list_page(
        self, user_id: str, *, limit: int, after: SortKey | None
    ) -> Page[SavedChart]:
        """Return a person's charts, the newest first; the sort key is (created_at, id)."""
        documents = await self._charts.aggregate(
            page_stages(
                {"user_id": user_id},
                field="created_at",
                direction=DESCENDING,
                limit=limit,
                after=after,
            )
        )
        rows, next_key = cut(documents, "created_at", limit)
        return Page(tuple(from_document(SavedChart, row) for row in rows), next_key)
