"""The events that documents carry until they are delivered (see ``domain.events``)."""

from __future__ import annotations

from collections.abc import Collection as Ids
from datetime import datetime

from server.domain.events import Event
from server.store.client import ASCENDING, Index, Store
from server.store.codec import from_value


def outbox_index() -> Index:
    """The index by which waiting events are found.

    Not partial, though few documents carry events: the embedded server looks nothing up in partial
    indexes.
    """
    return Index((("outbox.at", ASCENDING),))


class MongoOutboxRepository:
    """See ``ports.OutboxRepository``; one for each collection whose documents carry events."""

    def __init__(self, store: Store, collection: str) -> None:
        self._documents = store.collection(collection)

    async def list_waiting(
        self, older_than: datetime, limit: int
    ) -> list[tuple[str, tuple[Event, ...]]]:
        documents = await self._documents.find(
            {"outbox.at": {"$lte": older_than}},
            fields=("outbox",),
            limit=limit,
        )
        return [
            (document["_id"], tuple(from_value(Event, event) for event in document["outbox"]))
            for document in documents
        ]

    async def remove(self, document_id: str, event_ids: Ids[str]) -> None:
        # The version rises with every change, so that nobody writes an old copy of the outbox back.
        left = {
            "$filter": {
                "input": {"$ifNull": ["$outbox", []]},
                "cond": {"$not": [{"$in": ["$$this.id", list(event_ids)]}]},
            }
        }
        await self._documents.update_one(
            {"_id": document_id, "outbox.id": {"$in": list(event_ids)}},
            [
                {"$set": {"outbox": left, "version": {"$add": ["$version", 1]}}},
                {"$set": {"outbox": {"$cond": [{"$eq": ["$outbox", []]}, "$$REMOVE", "$outbox"]}}},
            ],
        )
