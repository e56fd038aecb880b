"""Counters of recommendations: one document for each target, and one for all together."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Final

from server.domain.learning import Counter, CounterKey
from server.store.client import ASCENDING, DESCENDING, Index, Store
from server.store.codec import from_document

COLLECTION: Final = "recommendation_counters"
_COUNTERS_OF_ONE: Final = 20
INDEXES: Final = (
    Index((("target", ASCENDING), ("version", DESCENDING), ("_id", ASCENDING))),
    Index((("version", ASCENDING), ("surface", ASCENDING), ("times_recommended", DESCENDING))),
)


class MongoCounterRepository:
    """See ``ports.CounterRepository``."""

    def __init__(self, store: Store) -> None:
        self._counters = store.collection(COLLECTION)

    async def add(self, increments: Mapping[CounterKey, Mapping[str, int]]) -> None:
        """Raise the named fields of all these counters, by one command."""
        await self._counters.update_each(
            [
                (
                    {"_id": key.id},
                    {
                        "$inc": dict(fields),
                        "$setOnInsert": {
                            "version": key.version,
                            "arm": key.arm,
                            "surface": key.surface,
                            "target": key.target,
                        },
                    },
                )
                for key, fields in increments.items()
            ],
            upsert=True,
        )

    async def list_totals(self, limit: int) -> list[Counter]:
        """Return the counters of all targets together, the newest model first."""
        documents = await self._counters.find(
            {"target": ""}, sort=(("version", DESCENDING), ("_id", ASCENDING)), limit=limit
        )
        return [from_document(Counter, document) for document in documents]

    async def list_targets(self, version: str, surface: str, limit: int) -> list[Counter]:
        """Return the counters of one model and surface, the most recommended first."""
        documents = await self._counters.find(
            {"version": version, "surface": surface},
            sort=(("times_recommended", DESCENDING),),
            limit=limit,
        )
        return [from_document(Counter, document) for document in documents]

    async def of_targets(
        self, surface: str, targets: Collection[str]
    ) -> Mapping[str, tuple[int, int]]:
        """See ``services.recommendations.Tallies``; of the newest models."""
        if not targets:
            return {}
        documents = await self._counters.find(
            {"target": {"$in": sorted(targets)}, "surface": surface},
            sort=(("version", DESCENDING), ("_id", ASCENDING)),
            limit=len(targets) * _COUNTERS_OF_ONE,
            fields=("target", "times_recommended", "times_purchased"),
        )
        found: dict[str, tuple[int, int]] = {}
        for each in documents:
            shown, bought = found.get(each["target"], (0, 0))
            shown += each.get("times_recommended", 0)
            found[each["target"]] = (shown, bought + each.get("times_purchased", 0))
        return found
