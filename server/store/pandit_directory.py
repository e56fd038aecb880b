"""The search over the index in memory, which every search first brings up to date.

Why it exists: the embedded server reads every document that its index finds, and its 2dsphere index
finds all of them whatever the radius; at twenty thousand pandits a search took one to two seconds.
See ADR 10.

How it is true: a search first asks the database, by the index over ``updated_at``, what has
changed since the last one, so whatever was written before it began is seen, in whichever process. A
change carries the instant at which it was decided, a little before it was written; therefore each
look goes back ``_OVERLAP`` from the newest change known. The page itself is then read from the
documents, and whoever can no longer be booked falls away.

What no look can see (a write that took longer than that, a host whose clock is wrong, a change made
past the program) ``refresh`` finds by and by: it reads all pandits again, a part at a time, and
goes back further for new ones whenever it begins anew.
"""

from __future__ import annotations

import asyncio
from datetime import datetime, timedelta
from typing import Final

from server.domain.pandit import Pandit
from server.domain.ports.paging import Page
from server.domain.ports.pandits import PanditHit, PanditSearch
from server.domain.recommendation import PanditCandidate
from server.domain.search import fitting_offers
from server.store.client import Document, Store
from server.store.pandit_index import FIELDS, PanditIndex
from server.store.pandits import COLLECTION, MongoPanditRepository

_OVERLAP: Final = timedelta(seconds=30)
"""Longer than a write may take (``database.timeout_seconds``) and clocks may differ, together."""
_WIDE_OVERLAP: Final = timedelta(hours=1)
_BATCH_ROWS: Final = 100
_PART_ROWS: Final = 400
"""So many are read again at a time: some 60 ms of the embedded server."""


class IndexedPanditRepository(MongoPanditRepository):
    """See ``ports.PanditRepository``; searches by an index in memory.

    ``part_rows``: so many pandits are read again by one ``refresh``.
    """

    def __init__(self, store: Store, part_rows: int = _PART_ROWS) -> None:
        super().__init__(store)
        self._part_rows = part_rows
        self._documents = store.collection(COLLECTION)
        self._index = PanditIndex()
        self._newest: datetime | None = None
        self._lock = asyncio.Lock()
        self._looks_begun = 0
        self._refreshed_to = ""

    @property
    def size(self) -> int:
        """How many pandits the index knows."""
        return len(self._index)

    async def search(self, search: PanditSearch) -> Page[PanditHit]:
        await self.look()
        found = self._index.find(search)
        if not found.ids:
            return Page((), found.next_key)
        hits = await self.hits(found.ids, search)
        return Page(tuple(hit for hit in hits if _still_fits(hit.pandit, search)), found.next_key)

    async def candidates(self, search: PanditSearch) -> tuple[PanditCandidate, ...]:
        await self.look()
        return self._index.candidates(search)

    async def look(self) -> None:
        """Take in what has changed. Callers who wait for the same look share it."""
        wanted = self._looks_begun + 1
        async with self._lock:
            if self._looks_begun >= wanted:
                # One that began after this caller came has ended while he waited.
                return
            self._looks_begun += 1
            await self._read_since(_OVERLAP)

    async def refresh(self) -> int:
        # Beside searches, not before them: an older document never takes a newer one's place.
        if not self._refreshed_to:
            await self._read_since(_WIDE_OVERLAP)
        ids = self._index.ids_after(self._refreshed_to, self._part_rows)
        self._refreshed_to = ids[-1] if len(ids) == self._part_rows else ""
        gone = set(ids)

        def take(documents: list[Document]) -> None:
            self._take(documents)
            gone.difference_update(document["_id"] for document in documents)

        if ids:
            query = {"_id": {"$in": ids}}
            await self._documents.read_all(query, take, fields=FIELDS, rows=_BATCH_ROWS)
        for pandit_id in gone:
            self._index.forget(pandit_id)
        return len(gone)

    async def _read_since(self, overlap: timedelta) -> None:
        query: Document = {}
        if self._newest is not None:
            query = {"updated_at": {"$gte": self._newest - overlap}}
        await self._documents.read_all(query, self._take, fields=FIELDS, rows=_BATCH_ROWS)

    def _take(self, documents: list[Document]) -> None:
        for document in documents:
            self._index.put(document)
            self._newest = max(document["updated_at"], self._newest or document["updated_at"])


def _still_fits(pandit: Pandit, search: PanditSearch) -> bool:
    asks_for_offers = search.puja_ids is not None or search.max_price is not None
    return not asks_for_offers or bool(fitting_offers(pandit, search.puja_ids, search.max_price))
