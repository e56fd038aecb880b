"""Who has seen recommendations of which arm of an experiment, and what he did then."""

from __future__ import annotations

from datetime import datetime
from typing import Final

from server.domain.experiment import ArmCount, Exposure
from server.store.client import ASCENDING, DuplicateKey, Index, Store
from server.store.codec import to_document

COLLECTION: Final = "experiment_exposures"
_ARM: Final = (("experiment", ASCENDING), ("arm", ASCENDING))
INDEXES: Final = (
    Index((*_ARM, ("has_added", ASCENDING))),
    Index((*_ARM, ("has_bought", ASCENDING))),
)
_MOST: Final = 1_000_000


class MongoExposureRepository:
    """See ``ports.ExposureRepository``."""

    def __init__(self, store: Store) -> None:
        self._exposures = store.collection(COLLECTION)

    async def add(self, exposure: Exposure) -> None:
        """Store it unless the customer has been exposed before."""
        try:
            await self._exposures.insert_one(to_document(exposure))
        except DuplicateKey:
            return

    async def mark(
        self, exposure_id: str, since: datetime, *, has_added: bool, has_bought: bool
    ) -> None:
        """Say what the customer did, if he was first exposed at that time or later."""
        done = {"has_added": has_added, "has_bought": has_bought}
        await self._exposures.update_one(
            {"_id": exposure_id, "at": {"$gte": since}},
            {"$set": {name: True for name, is_done in done.items() if is_done}},
        )

    async def count(self, experiment: str, arm: str) -> ArmCount:
        """Return how many saw, added and bought, each up to a million, by an index."""
        everybody = {"experiment": experiment, "arm": arm}
        return ArmCount(
            exposed=await self._exposures.count(everybody, limit=_MOST),
            added=await self._exposures.count({**everybody, "has_added": True}, limit=_MOST),
            bought=await self._exposures.count({**everybody, "has_bought": True}, limit=_MOST),
        )
