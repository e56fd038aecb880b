"""What pandits have uploaded about themselves, one document for each pandit.

They stand apart from the pandits' own documents: searches read those by the page and need nothing
of these.
"""

from __future__ import annotations

from collections.abc import Collection as Ids
from typing import Final

from server.domain.papers import Papers
from server.store.client import DuplicateKey, Store
from server.store.codec import from_document, to_document

COLLECTION: Final = "papers"
"""Found by ``_id`` alone, the pandit's id: no further index."""


class MongoPapersRepository:
    """See ``ports.PapersRepository``."""

    def __init__(self, store: Store) -> None:
        self._papers = store.collection(COLLECTION)

    async def find(self, pandit_id: str) -> Papers:
        document = await self._papers.find_one({"_id": pandit_id})
        return from_document(Papers, document) if document else Papers(id=pandit_id)

    async def find_each(self, pandit_ids: Ids[str]) -> dict[str, Papers]:
        if not pandit_ids:
            return {}
        documents = await self._papers.find(
            {"_id": {"$in": list(pandit_ids)}}, limit=len(pandit_ids)
        )
        return {row["_id"]: from_document(Papers, row) for row in documents}

    async def replace(self, papers: Papers) -> bool:
        document = to_document(papers)
        document["version"] = papers.version + 1
        if papers.version:
            return await self._papers.replace_one(
                {"_id": papers.id, "version": papers.version}, document
            )
        try:
            await self._papers.insert_one(document)
        except DuplicateKey:
            return False
        return True
