"""Payouts in MongoDB. What they move stands in the ledger; this says for whom and how it ended."""

from __future__ import annotations

from typing import Final

from server.domain.payout import Payout, PayoutStatus
from server.domain.ports.paging import Page, SortKey
from server.store.client import ASCENDING, DESCENDING, Document, Index, Store
from server.store.codec import from_document, to_document
from server.store.outbox import ANY_TIME
from server.store.paging import cut, page_stages

COLLECTION: Final = "payouts"
INDEXES: Final = (
    Index((("pandit_user_id", ASCENDING), ("asked_at", DESCENDING), ("_id", DESCENDING))),
    Index((("status", ASCENDING), ("asked_at", DESCENDING), ("_id", DESCENDING))),
    Index((("asked_at", DESCENDING), ("_id", DESCENDING))),
)


class MongoPayoutRepository:
    """See ``ports.PayoutRepository``."""

    def __init__(self, store: Store) -> None:
        self._payouts = store.collection(COLLECTION)

    async def add(self, payout: Payout) -> None:
        """Store a new one."""
        await self._payouts.insert_one(to_document(payout))

    async def find(self, payout_id: str) -> Payout | None:
        """Return it, or None."""
        document = await self._payouts.find_one({"_id": payout_id})
        return from_document(Payout, document) if document else None

    async def settle_if_asked(self, payout: Payout) -> bool:
        """Write how it ended, if it has not ended before."""
        return await self._payouts.replace_one(
            {"_id": payout.id, "status": PayoutStatus.ASKED.value}, to_document(payout)
        )

    async def list_page(
        self,
        *,
        pandit_user_id: str | None,
        status: PayoutStatus | None,
        limit: int,
        after: SortKey | None,
    ) -> Page[Payout]:
        """Return payouts, newest first: a pandit's, or all of a status."""
        latest = {"$lte": after[0]} if after else {}
        indexed: Document = {"asked_at": {**ANY_TIME, **latest}}
        sifting: Document = {}
        if pandit_user_id is not None:
            indexed["pandit_user_id"] = pandit_user_id
        if status is not None:
            (indexed if pandit_user_id is None else sifting)["status"] = status.value
        documents = await self._payouts.aggregate(
            page_stages(
                indexed,
                field="asked_at",
                direction=DESCENDING,
                limit=limit,
                after=after,
                sifting=sifting,
            )
        )
        rows, next_key = cut(documents, "asked_at", limit)
        return Page(tuple(from_document(Payout, row) for row in rows), next_key)
