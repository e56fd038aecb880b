"""What people did and what leaves nothing else behind: one small document for each day, its id."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date
from typing import Final

from server.domain.analytics import Step
from server.store.client import ASCENDING, Index, Store

COLLECTION: Final = "visits"
# Beside the id, which says the same: the embedded server finds a range of ids by reading them all.
INDEXES: Final = (Index((("day", ASCENDING),)),)


class MongoVisitRepository:
    """See ``ports.VisitRepository``."""

    def __init__(self, store: Store) -> None:
        self._visits = store.collection(COLLECTION)

    async def add(self, day: date, counts: Mapping[Step, int]) -> None:
        await self._visits.update_each(
            [
                (
                    {"_id": day.isoformat()},
                    {
                        "$inc": {step.value: n for step, n in counts.items()},
                        "$setOnInsert": {"day": day.isoformat()},
                    },
                )
            ],
            upsert=True,
        )

    async def total(self, first: date, last: date) -> dict[Step, int] | None:
        rows = await self._visits.find(
            {"day": {"$gte": first.isoformat(), "$lte": last.isoformat()}},
            limit=(last - first).days + 1,
        )
        if not rows:
            return None
        return {step: sum(row.get(step.value, 0) for row in rows) for step in Step}
