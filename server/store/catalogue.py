"""The catalogue in MongoDB: samagri items, their categories, pujas and their families."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from collections.abc import Collection as Ids
from typing import Any, Final, TypeVar

import msgspec

from server.domain.catalogue import (
    Catalogue,
    Puja,
    PujaCategory,
    PujaTemplate,
    SamagriCategory,
    SamagriItem,
)
from server.domain.ports.paging import Page, SortKey
from server.domain.search import prefixes_of, query_words
from server.store.client import ASCENDING, Collection, Document, Index, Store
from server.store.codec import from_document, to_document
from server.store.paging import cut, page_stages

E = TypeVar("E")

COLLECTION: Final = "samagri_items"
INDEXES: Final = (
    Index((("is_active", ASCENDING), ("name", ASCENDING), ("_id", ASCENDING))),
    Index(
        (
            ("is_active", ASCENDING),
            ("category_id", ASCENDING),
            ("name", ASCENDING),
            ("_id", ASCENDING),
        )
    ),
    Index(
        (
            ("is_active", ASCENDING),
            ("search_terms", ASCENDING),
            ("name", ASCENDING),
            ("_id", ASCENDING),
        )
    ),
)
TEMPLATES: Final = "puja_templates"
TEMPLATE_INDEXES: Final = (Index((("puja_id", ASCENDING), ("_id", ASCENDING))),)
_CATEGORIES: Final = "samagri_categories"
_PUJAS: Final = "pujas"
_PUJA_CATEGORIES: Final = "puja_categories"
_STATE: Final = "catalogue_state"
_STATE_ID: Final = "files"
_MAX_ROWS: Final = 1000
_MAX_ITEMS: Final = 50_000
_CHUNK: Final = 50
"""Documents that are made and sent at once; the event loop is free in between."""
_STEP: Final = 200


class MongoCatalogueRepository:
    """See ``ports.CatalogueRepository``."""

    def __init__(self, store: Store) -> None:
        self._items = store.collection(COLLECTION)
        self._categories = store.collection(_CATEGORIES)
        self._pujas = store.collection(_PUJAS)
        self._puja_categories = store.collection(_PUJA_CATEGORIES)
        self._templates = store.collection(TEMPLATES)
        self._state = store.collection(_STATE)

    async def sync(self, catalogue: Catalogue) -> None:
        """Make the stored catalogue equal to this one; what it lacks is left as it is.

        So is what an administrator has edited: from then on the database has the last word on it,
        and only what it does not say yet, because it is older than that field, is added.
        Writes only when the fingerprint of the last write differs. The fingerprint is written last,
        so a crash half way only means that the next start writes again; several processes may do it
        at once.
        """
        wanted: tuple[tuple[Collection, list[Document]], ...] = (
            (self._categories, [to_document(each) for each in catalogue.categories]),
            (self._items, [_item_document(each) for each in catalogue.items]),
            (self._puja_categories, [to_document(each) for each in catalogue.puja_categories]),
            (self._pujas, [to_document(each) for each in catalogue.pujas]),
            (self._templates, [to_document(each) for each in catalogue.templates]),
        )
        fingerprint = _fingerprint([documents for _, documents in wanted])
        state = await self._state.find_one({"_id": _STATE_ID})
        if state is not None and state["fingerprint"] == fingerprint:
            return
        for collection, documents in wanted:
            await _put_each(collection, documents)
        await self._state.update_one(
            {"_id": _STATE_ID}, {"$set": {"fingerprint": fingerprint}}, upsert=True
        )

    async def list_pujas(self) -> tuple[Puja, ...]:
        documents = await _all(self._pujas)
        pujas = [from_document(Puja, document) for document in documents]
        return tuple(sorted(pujas, key=lambda puja: (puja.name, puja.id)))

    async def find_puja(self, puja_id: str) -> Puja | None:
        document = await self._pujas.find_one({"_id": puja_id})
        return from_document(Puja, document) if document else None

    async def known_pujas(self, puja_ids: Ids[str]) -> frozenset[str]:
        if not puja_ids:
            return frozenset()
        wanted = {"_id": {"$in": sorted(set(puja_ids))}}
        found = await self._pujas.find(wanted, limit=len(puja_ids), fields=("_id",))
        return frozenset(document["_id"] for document in found)

    async def list_puja_categories(self) -> tuple[PujaCategory, ...]:
        documents = await _all(self._puja_categories)
        found = [from_document(PujaCategory, document) for document in documents]
        return tuple(sorted(found, key=lambda category: category.name))

    async def list_categories(self) -> tuple[SamagriCategory, ...]:
        documents = await _all(self._categories)
        found = [from_document(SamagriCategory, document) for document in documents]
        return tuple(sorted(found, key=lambda category: category.position))

    async def list_items(
        self,
        *,
        query: str,
        category_id: str | None,
        limit: int,
        after: SortKey | None,
        is_active: bool = True,
    ) -> Page[SamagriItem]:
        indexed: Document = {"is_active": is_active}
        sifting: Document = {}
        if category_id is not None:
            indexed["category_id"] = category_id
        if words := query_words(query):
            indexed["search_terms"] = words[0]
            sifting["search_terms"] = {"$all": list(words)}
        documents = await self._items.aggregate(
            page_stages(
                indexed,
                sifting=sifting,
                field="name",
                direction=ASCENDING,
                limit=limit,
                after=after,
            )
        )
        rows, next_key = cut(documents, "name", limit)
        return Page(tuple(from_document(SamagriItem, row) for row in rows), next_key)

    async def find_items(self, item_ids: Ids[str]) -> dict[str, SamagriItem]:
        if not item_ids:
            return {}
        documents = await self._items.find({"_id": {"$in": sorted(item_ids)}}, limit=len(item_ids))
        return {document["_id"]: from_document(SamagriItem, document) for document in documents}

    async def all_items(self) -> tuple[SamagriItem, ...]:
        found: list[SamagriItem] = []
        # In steps, so that the event loop is not held up by ten thousand of them.
        while len(found) < _MAX_ITEMS:
            documents = await self._items.find(
                {"_id": {"$gt": found[-1].id if found else ""}},
                sort=(("_id", ASCENDING),),
                limit=_STEP,
            )
            found += [from_document(SamagriItem, document) for document in documents]
            if len(documents) < _STEP:
                break
        return tuple(found)

    async def put_items(self, items: Sequence[SamagriItem]) -> None:
        await _overwrite(self._items, items, _item_document)

    async def put_pujas(self, pujas: Sequence[Puja]) -> None:
        await _overwrite(self._pujas, pujas, to_document)

    async def list_templates(self, puja_id: str) -> tuple[PujaTemplate, ...]:
        documents = await self._templates.find(
            {"puja_id": puja_id}, sort=(("_id", ASCENDING),), limit=_MAX_ROWS
        )
        return tuple(from_document(PujaTemplate, document) for document in documents)

    async def all_templates(self) -> tuple[PujaTemplate, ...]:
        return tuple(
            from_document(PujaTemplate, document) for document in await _all(self._templates)
        )

    async def put_templates(self, templates: Sequence[PujaTemplate]) -> None:
        await _overwrite(self._templates, templates, to_document)


async def _overwrite(
    collection: Collection, entities: Sequence[E], document_of: Callable[[E], Document]
) -> None:
    for start in range(0, len(entities), _CHUNK):
        documents = map(document_of, entities[start : start + _CHUNK])
        await collection.update_each(
            [
                ({"_id": document["_id"]}, {"$set": {**_without_id(document), "is_edited": True}})
                for document in documents
            ],
            upsert=True,
        )


def _item_document(item: SamagriItem) -> Document:
    document = to_document(item)
    document["search_terms"] = prefixes_of((item.id, item.name, item.name_ne, *item.aliases))
    return document


def _fingerprint(parts: Sequence[Any]) -> str:
    return hashlib.sha256(msgspec.json.encode(parts, order="deterministic")).hexdigest()


async def _all(collection: Collection) -> list[Document]:
    return await collection.find({}, sort=(("_id", ASCENDING),), limit=_MAX_ROWS)


async def _put_each(collection: Collection, documents: Sequence[Document]) -> None:
    # Not upserts: two processes that insert the same document at once would make one of them fail.
    present = await collection.insert_many([dict(document) for document in documents])
    changed = [documents[place] for place in present]
    if changed:
        await collection.update_each(
            [
                ({"_id": document["_id"], "is_edited": None}, {"$set": _without_id(document)})
                for document in changed
            ]
        )
        await _complete_edited(collection, changed)


async def _complete_edited(collection: Collection, documents: Sequence[Document]) -> None:
    """Give edited documents the fields that were not known yet when they were written."""
    wanted = {document["_id"]: document for document in documents}
    edited = await collection.find(
        {"_id": {"$in": sorted(wanted)}, "is_edited": True}, limit=len(wanted)
    )
    missing = [
        ({"_id": there["_id"], name: {"$exists": False}}, {"$set": {name: value}})
        for there in edited
        for name, value in wanted[there["_id"]].items()
        if name not in there
    ]
    if missing:
        await collection.update_each(missing)


def _without_id(document: Document) -> Document:
    return {name: value for name, value in document.items() if name != "_id"}
