"""The record of what administrators did.

An entry that is added as not done is written once more when its act is done, or taken out when that
was refused; nothing here touches one that is done.
"""

from __future__ import annotations

from typing import Final

from server.domain.audit import Act, AuditEntry
from server.domain.ports.paging import Page, SortKey
from server.store.client import DESCENDING, Document, Index, Store
from server.store.codec import from_document, to_document
from server.store.paging import cut, page_stages

COLLECTION: Final = "audit_entries"
INDEXES: Final = (
    Index((("at", DESCENDING), ("_id", DESCENDING))),
    Index((("act", DESCENDING), ("at", DESCENDING), ("_id", DESCENDING))),
    Index((("target_id", DESCENDING), ("at", DESCENDING), ("_id", DESCENDING))),
)


class MongoAuditRepository:
    """See ``ports.AuditRepository``."""

    def __init__(self, store: Store) -> None:
        self._entries = store.collection(COLLECTION)

    async def add(self, entry: AuditEntry) -> None:
        await self._entries.insert_one(to_document(entry))

    async def finish(self, entry: AuditEntry) -> None:
        await self._entries.replace_one({"_id": entry.id, "is_done": False}, to_document(entry))

    async def remove(self, entry_id: str) -> None:
        await self._entries.delete_many({"_id": entry_id, "is_done": False})

    async def list_page(
        self, *, act: Act | None, target_id: str | None, limit: int, after: SortKey | None
    ) -> Page[AuditEntry]:
        indexed: Document = {}
        sifting: Document = {}
        if target_id is not None:
            indexed["target_id"] = target_id
            if act is not None:
                sifting["act"] = act.value
        elif act is not None:
            indexed["act"] = act.value
        documents = await self._entries.aggregate(
            page_stages(
                indexed,
                sifting=sifting,
                field="at",
                direction=DESCENDING,
                limit=limit,
                after=after,
            )
        )
        rows, next_key = cut(documents, "at", limit)
        return Page(tuple(from_document(AuditEntry, row) for row in rows), next_key)
