"""What providers and browsers brought, as it came; kept for some months."""

from __future__ import annotations

from datetime import datetime
from typing import Final

from server.domain.callback import Callback
from server.domain.ports.paging import Page, SortKey
from server.store.client import ASCENDING, DESCENDING, Document, DuplicateKey, Index, Store
from server.store.codec import from_document, to_document
from server.store.outbox import ANY_TIME
from server.store.paging import cut, page_stages

COLLECTION: Final = "callbacks"
HANDLED: Final = "handled_events"
_KEPT_SECONDS: Final = 120 * 24 * 3600
INDEXES: Final = (
    Index((("outcome", ASCENDING), ("received_at", DESCENDING), ("_id", DESCENDING))),
    Index((("received_at", DESCENDING), ("_id", DESCENDING))),
    Index((("received_at", ASCENDING),), expire_after_seconds=_KEPT_SECONDS),
)
HANDLED_INDEXES: Final = (Index((("at", ASCENDING),), expire_after_seconds=_KEPT_SECONDS),)


class MongoCallbackRepository:
    """See ``ports.CallbackRepository``."""

    def __init__(self, store: Store) -> None:
        self._callbacks = store.collection(COLLECTION)
        self._handled = store.collection(HANDLED)

    async def add(self, callback: Callback) -> None:
        """Store what has just come in."""
        await self._callbacks.insert_one(to_document(callback))

    async def find(self, callback_id: str) -> Callback | None:
        """Return the callback, or None."""
        document = await self._callbacks.find_one({"_id": callback_id})
        return from_document(Callback, document) if document else None

    async def finish(self, callback: Callback) -> None:
        """Write what became of it."""
        await self._callbacks.replace_one({"_id": callback.id}, to_document(callback))

    async def is_first(self, event_key: str, at: datetime) -> bool:
        """Remember that an event was handled; False when it had been before."""
        try:
            await self._handled.insert_one({"_id": event_key, "at": at})
        except DuplicateKey:
            return False
        return True

    async def was_handled(self, event_key: str) -> bool:
        """Whether an event was handled before."""
        return await self._handled.find_one({"_id": event_key}, fields=("_id",)) is not None

    async def list_page(
        self, *, outcome: str | None, limit: int, after: SortKey | None
    ) -> Page[Callback]:
        """Return what came in, newest first."""
        latest = {"$lte": after[0]} if after else {}
        indexed: Document = {"received_at": {**ANY_TIME, **latest}}
        if outcome is not None:
            indexed["outcome"] = outcome
        documents = await self._callbacks.aggregate(
            page_stages(
                indexed, field="received_at", direction=DESCENDING, limit=limit, after=after
            )
        )
        rows, next_key = cut(documents, "received_at", limit)
        return Page(tuple(from_document(Callback, row) for row in rows), next_key)
