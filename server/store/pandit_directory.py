"""The search over the index in memory, which every search first brings up to date.

Why it exists: the embedded server reads every document that its index finds, and its 2dsphere index
finds all of them whatever the radius; at twenty thousand pandits a search took one to two seconds.
See ADR 10.

How it is true: a search first asks the database, by the index over ``updated_at``, what has
changed since the last one, so whatever was written before it began is seen, in whichever process. A
change carries the instant at which it was decided, a little before it was written; therefore each
look goes back ``_OVERLAP`` from the newest change known. The page itself is then read from the
documents, and whoever can no longer be booked falls away.
"""

from __future__ import annotations

import asyncio
from datetime import datetime, timedelta
from typing import Final

from server.domain.pandit import Pandit
from server.domain.ports import Page, PanditHit, PanditSearch
from server.domain.search import fitting_offers
from server.store.client import Document, Store
from server.store.pandit_index import FIELDS, PanditIndex
from server.store.pandits import COLLECTION, MongoPanditRepository, hit_of

_OVERLAP: Final = timedelta(seconds=30)
"""Longer than a write may take (``database.timeout_seconds``) and clocks may differ, together."""
_BATCH_ROWS: Final = 100


class IndexedPanditRepository(MongoPanditRepository):
    """See ``ports.PanditRepository``; searches by an index in memory."""

    def __init__(self, store: Store) -> None:
        super().__init__(store)
        self._documents = store.collection(COLLECTION)
        self._index = PanditIndex()
        self._newest: datetime | None = None
        self._lock = asyncio.Lock()
        self._looks_begun = 0

    async def search(self, search: PanditSearch) -> Page[PanditHit]:
        await self.look()
        found = self._index.find(search)
        if not found.ids:
            return Page((), found.next_key)
        documents = await self._documents.aggregate(
            [
                {"$match": {"_id": {"$in": list(found.ids)}}},
                {"$project": {"search_keys": 0, "outbox": 0}},
            ]
        )
        by_id = {document["_id"]: document for document in documents}
        hits = (hit_of(by_id[pandit_id], search) for pandit_id in found.ids if pandit_id in by_id)
        return Page(tuple(hit for hit in hits if _still_fits(hit.pandit, search)), found.next_key)

    async def look(self) -> None:
        """Take in what has changed. Callers who wait for the same look share it."""
        wanted = self._looks_begun + 1
        async with self._lock:
            if self._looks_begun >= wanted:
                # One that began after this caller came has ended while he waited.
                return
            self._looks_begun += 1
            query: Document = {}
            if self._newest is not None:
                query = {"updated_at": {"$gte": self._newest - _OVERLAP}}
            await self._documents.read_all(query, self._take, fields=FIELDS, rows=_BATCH_ROWS)

    def _take(self, documents: list[Document]) -> None:
        for document in documents:
            self._index.put(document)
            self._newest = max(document["updated_at"], self._newest or document["updated_at"])


def _still_fits(pandit: Pandit, search: PanditSearch) -> bool:
    if not pandit.is_bookable:
        return False
    asks_for_offers = search.puja_ids is not None or search.max_price is not None
    return not asks_for_offers or bool(fitting_offers(pandit, search.puja_ids, search.max_price))
