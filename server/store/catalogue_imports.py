"""Tables of the catalogue that administrators have sent; the tables themselves stay for a month."""

from __future__ import annotations

from typing import Final

from server.domain.catalogue_import import CatalogueImport, ImportState
from server.domain.ports.paging import Page, SortKey
from server.store.client import ASCENDING, DESCENDING, Index, Store
from server.store.codec import from_document, to_document
from server.store.paging import cut, page_stages

COLLECTION: Final = "catalogue_imports"
INDEXES: Final = (
    Index((("at", DESCENDING), ("_id", DESCENDING))),
    Index((("state", ASCENDING), ("at", ASCENDING))),
)
TEXTS: Final = "catalogue_import_texts"
TEXT_INDEXES: Final = (Index((("at", ASCENDING),), expire_after_seconds=30 * 24 * 3600),)


class MongoCatalogueImportRepository:
    """See ``ports.CatalogueImportRepository``."""

    def __init__(self, store: Store) -> None:
        self._imports = store.collection(COLLECTION)
        self._texts = store.collection(TEXTS)

    async def add(self, found: CatalogueImport, text: str) -> None:
        # The table first: an import that can be seen can be applied.
        await self._texts.insert_one({"_id": found.id, "text": text, "at": found.at})
        await self._imports.insert_one(to_document(found))

    async def find(self, import_id: str) -> CatalogueImport | None:
        document = await self._imports.find_one({"_id": import_id})
        return from_document(CatalogueImport, document) if document else None

    async def text_of(self, import_id: str) -> str | None:
        document = await self._texts.find_one({"_id": import_id})
        return document["text"] if document else None

    async def replace(self, found: CatalogueImport) -> bool:
        document = {**to_document(found), "version": found.version + 1}
        return await self._imports.replace_one(
            {"_id": found.id, "version": found.version}, document
        )

    async def list_page(self, *, limit: int, after: SortKey | None) -> Page[CatalogueImport]:
        documents = await self._imports.aggregate(
            page_stages({}, field="at", direction=DESCENDING, limit=limit, after=after)
        )
        rows, next_key = cut(documents, "at", limit)
        return Page(tuple(from_document(CatalogueImport, row) for row in rows), next_key)

    async def list_applying(self, limit: int) -> tuple[CatalogueImport, ...]:
        documents = await self._imports.find(
            {"state": ImportState.APPLYING.value}, sort=(("at", ASCENDING),), limit=limit
        )
        return tuple(from_document(CatalogueImport, document) for document in documents)
