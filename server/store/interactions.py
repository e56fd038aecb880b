"""The event log that training reads (``recsys.sources``): rows are added and never changed."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from server.domain.learning import Interaction
from server.store.client import ASCENDING, DESCENDING, Index, Store
from server.store.codec import to_document

COLLECTION: Final = "interactions"
INDEXES: Final = (Index((("user_id", ASCENDING), ("ts", DESCENDING))),)


class MongoInteractionRepository:
    """See ``ports.InteractionRepository``."""

    def __init__(self, store: Store) -> None:
        self._interactions = store.collection(COLLECTION)

    async def add(self, rows: Sequence[Interaction]) -> None:
        """Store those whose id is not there yet; columns without a value are left out."""
        documents = [
            {key: value for key, value in to_document(row).items() if value is not None}
            for row in rows
        ]
        if documents:
            await self._interactions.insert_many(documents)
