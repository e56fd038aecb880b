"""The events that documents carry until they are delivered (see ``domain.events``)."""

from __future__ import annotations

from collections.abc import Collection as Ids
from datetime import UTC, datetime
from typing import Final

from server.domain.events import Event
from server.store.client import ASCENDING, Index, Store
from server.store.codec import from_value

LONG_AGO: Final = datetime(1970, 1, 1, tzinfo=UTC)
ANY_TIME: Final = {"$gt": LONG_AGO}
"""Stands for "has this time" in partial indexes and the queries that use them.

Of $exists the embedded server does not see that an index serves; and an upper bound alone would
make it read all documents that lack the field.
"""


def outbox_index() -> Index:
    """The index by which waiting events are found; only documents that carry any are in it."""
    return Index((("outbox.at", ASCENDING),), partial={"outbox.at": ANY_TIME})


class MongoOutboxRepository:
    """See ``ports.OutboxRepository``; one for each collection whose documents carry events."""

    def __init__(self, store: Store, collection: str) -> None:
        self._documents = store.collection(collection)

    async def list_waiting(
        self, older_than: datetime, limit: int
    ) -> list[tuple[str, tuple[Event, ...]]]:
        documents = await self._documents.find(
            {"outbox.at": {**ANY_TIME, "$lte": older_than}},
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
