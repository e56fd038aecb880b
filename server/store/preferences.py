"""What customers think of items of samagri: a document for each customer and item."""

from __future__ import annotations

from typing import Final

from server.domain.learning import MAX_PREFERENCES, PreferenceKind, SamagriPreference
from server.domain.ports.paging import Page, SortKey
from server.domain.recommendation import Preferences
from server.store.client import ASCENDING, Index, Store
from server.store.codec import from_document, to_document
from server.store.paging import cut, page_stages

COLLECTION: Final = "samagri_preferences"
INDEXES: Final = (Index((("user_id", ASCENDING), ("item_id", ASCENDING), ("_id", ASCENDING))),)


class MongoPreferenceRepository:
    """See ``ports.PreferenceRepository``."""

    def __init__(self, store: Store) -> None:
        self._preferences = store.collection(COLLECTION)

    async def find(self, user_id: str) -> Preferences:
        # A little more than are accepted: two requests at once may pass the limit together.
        documents = await self._preferences.find({"user_id": user_id}, limit=2 * MAX_PREFERENCES)
        by_kind: dict[str, set[str]] = {}
        for document in documents:
            by_kind.setdefault(document["preference"], set()).add(document["item_id"])
        return Preferences(
            never_show=frozenset(by_kind.get(PreferenceKind.NEVER_SHOW, ())),
            favourites=frozenset(by_kind.get(PreferenceKind.FAVOURITE, ())),
            since={document["item_id"]: document["updated_at"] for document in documents},
        )

    async def put(self, preference: SamagriPreference) -> None:
        document = to_document(preference)
        del document["_id"]
        await self._preferences.update_one({"_id": preference.id}, {"$set": document}, upsert=True)

    async def remove(self, user_id: str, item_id: str) -> bool:
        return await self._preferences.delete_one({"_id": f"{user_id}:{item_id}"})

    async def list_page(
        self, user_id: str, *, limit: int, after: SortKey | None
    ) -> Page[SamagriPreference]:
        documents = await self._preferences.aggregate(
            page_stages(
                {"user_id": user_id},
                field="item_id",
                direction=ASCENDING,
                limit=limit,
                after=after,
            )
        )
        rows, next_key = cut(documents, "item_id", limit)
        return Page(tuple(from_document(SamagriPreference, row) for row in rows), next_key)
