"""Pandits in MongoDB: profile, services and hours in one document, so that a page is one query.

Three fields are derived at every write and never read back: ``search_keys`` (words, see
``domain.spelling``), ``ranking`` (the order "recommended") and ``geo``. The last is the public,
rounded position: were distances measured from the exact one, three searches would tell anybody
where a pandit lives.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any, Final

from server.domain.account import GeoPoint
from server.domain.errors import AlreadyExists
from server.domain.pandit import Pandit, VerificationStatus
from server.domain.ports.paging import Page, SortKey
from server.domain.ports.pandits import PanditHit, PanditSearch
from server.domain.recommendation import PanditCandidate
from server.domain.search import (
    Word,
    coarse_point,
    fitting_offers,
    keys_of,
    ranking_of,
)
from server.store.client import ASCENDING, DESCENDING, Document, DuplicateKey, Index, Store
from server.store.codec import from_document, to_document
from server.store.outbox import outbox_index
from server.store.paging import cut, ordered_stages, page_stages

COLLECTION: Final = "pandits"


def _search_index(*fields: tuple[str, int | str]) -> Index:
    return Index((("verification_status", ASCENDING), ("is_available", ASCENDING), *fields))


INDEXES: Final = (
    Index((("user_id", ASCENDING),), unique=True),
    Index((("services.id", ASCENDING),), unique=True, partial={"services": {"$exists": True}}),
    # The one above keeps services unique; the embedded server finds nothing by an index that is
    # partial on $exists.
    Index((("services.id", ASCENDING), ("_id", ASCENDING))),
    Index((("geo", "2dsphere"),)),
    _search_index(("ranking", DESCENDING), ("_id", DESCENDING)),
    _search_index(("rating", DESCENDING), ("_id", DESCENDING)),
    _search_index(("experience_years", DESCENDING), ("_id", DESCENDING)),
    _search_index(("search_keys", ASCENDING)),
    _search_index(("services.puja_id", ASCENDING)),
    Index((("verification_status", ASCENDING), ("date_joined", ASCENDING), ("_id", ASCENDING))),
    Index((("updated_at", ASCENDING), ("_id", ASCENDING))),
    outbox_index(),
)

_NO_PRICE: Final = 1 << 53
"""Sorts those who offer nothing behind all others; no price is that high."""
_SORTS: Final[dict[str, tuple[str, int]]] = {
    "recommended": ("ranking", DESCENDING),
    "rating": ("rating", DESCENDING),
    "experience": ("experience_years", DESCENDING),
    "price": ("found_price", ASCENDING),
    "distance": ("found_distance", ASCENDING),
}


class MongoPanditRepository:
    """See ``ports.PanditRepository``."""

    def __init__(self, store: Store) -> None:
        self._pandits = store.collection(COLLECTION)

    async def add(self, pandit: Pandit) -> None:
        try:
            await self._pandits.insert_one(pandit_document(pandit))
        except DuplicateKey as error:
            raise AlreadyExists(error.fields[0]) from None

    async def find(self, pandit_id: str) -> Pandit | None:
        return await self._find_one({"_id": pandit_id})

    async def find_by_user(self, user_id: str) -> Pandit | None:
        return await self._find_one({"user_id": user_id})

    async def find_by_service(self, service_id: str) -> Pandit | None:
        return await self._find_one({"services.id": service_id})

    async def replace(self, pandit: Pandit) -> bool:
        document = pandit_document(pandit)
        document["version"] = pandit.version + 1
        return await self._pandits.replace_one(
            {"_id": pandit.id, "version": pandit.version}, document
        )

    async def search(self, search: PanditSearch) -> Page[PanditHit]:
        documents = await self._pandits.aggregate(search_pipeline(search))
        field, _ = _SORTS[search.sort]
        rows, next_key = cut(documents, field, search.limit)
        return Page(tuple(hit_of(row, search) for row in rows), next_key)

    async def candidates(self, search: PanditSearch) -> tuple[PanditCandidate, ...]:
        documents = await self._pandits.aggregate(search_pipeline(search, _CANDIDATE))
        field, _ = _SORTS[search.sort]
        rows, _ = cut(documents, field, search.limit)
        return tuple(_candidate_of(row, search) for row in rows)

    async def refresh(self) -> int:
        return 0

    async def hits(self, pandit_ids: Sequence[str], search: PanditSearch) -> tuple[PanditHit, ...]:
        documents = await self._pandits.aggregate(
            [{"$match": {"_id": {"$in": list(pandit_ids)}}}, _PUBLIC]
        )
        by_id = {document["_id"]: document for document in documents}
        found = (hit_of(by_id[each], search) for each in pandit_ids if each in by_id)
        return tuple(hit for hit in found if hit.pandit.is_bookable)

    async def list_by_status(
        self, status: VerificationStatus, *, limit: int, after: SortKey | None
    ) -> Page[Pandit]:
        documents = await self._pandits.aggregate(
            page_stages(
                {"verification_status": status.value},
                field="date_joined",
                direction=ASCENDING if status is VerificationStatus.PENDING else DESCENDING,
                limit=limit,
                after=after,
            )
        )
        rows, next_key = cut(documents, "date_joined", limit)
        return Page(tuple(from_document(Pandit, row) for row in rows), next_key)

    async def _find_one(self, query: Document) -> Pandit | None:
        document = await self._pandits.find_one(query)
        return from_document(Pandit, document) if document else None


def pandit_document(pandit: Pandit) -> Document:
    """The document of a pandit with its derived fields; whoever writes in bulk uses it too."""
    document = to_document(pandit)
    # Absent, not empty: the unique and partial indexes hold only documents that have any.
    for name in ("services", "outbox"):
        if not document[name]:
            del document[name]
    place = pandit.location
    texts = (
        pandit.full_name,
        pandit.full_name_ne,
        place.area,
        place.city,
        *pandit.expertise,
        *(text for each in pandit.services for text in (each.name, each.name_ne, each.puja_id)),
    )
    document["search_keys"] = keys_of(texts)
    document["ranking"] = ranking_of(pandit)
    if place.point is not None:
        document["geo"] = _geo_json(coarse_point(place.point))
    return document


_PUBLIC: Final[Document] = {"$project": {"search_keys": 0, "outbox": 0}}
_CANDIDATE: Final[Document] = {
    "$project": {
        "languages": 1,
        "experience_years": 1,
        "rating": 1,
        "review_count": 1,
        "ranking": 1,
        "geo": 1,
        "services.puja_id": 1,
        "services.price": 1,
        "services.is_available": 1,
        "found_price": 1,
        "found_distance": 1,
    }
}
"""What a ranking reads, and what a page is ordered by."""


def search_pipeline(search: PanditSearch, shown: Document = _PUBLIC) -> list[Document]:
    """The one command of a search; it limits its own output to a page and one row more.

    ``shown`` is the stage that says which fields come.
    """
    indexed, sifting = _conditions(search)
    field, direction = _SORTS[search.sort]
    if search.near is not None and (search.radius_km is not None or search.sort == "distance"):
        stages = [_nearby(search.near, search.radius_km, {**indexed, **sifting})]
    else:
        stages = [{"$match": indexed}, {"$match": sifting}]
    if search.sort == "price":
        stages.append({"$addFields": {"found_price": _cheapest(search)}})
    stages += ordered_stages(
        field=field, direction=direction, limit=search.limit, after=search.after
    )
    return [*stages, shown]


def _nearby(near: GeoPoint, radius_km: float | None, query: Document) -> Document:
    stage: Document = {
        "near": _geo_json(near),
        "key": "geo",
        "distanceField": "found_distance",
        "spherical": True,
        "query": query,
    }
    if radius_km is not None:
        stage["maxDistance"] = radius_km * 1000
    return {"$geoNear": stage}


def _conditions(search: PanditSearch) -> tuple[Document, Document]:
    """The conditions of a search that an index answers, and the others (see ``store.paging``)."""
    indexed: Document = {
        "verification_status": VerificationStatus.APPROVED.value,
        "is_available": True,
    }
    sifting: Document = {}
    offer: Document = {}
    if search.puja_ids is not None:
        offer["puja_id"] = {"$in": list(search.puja_ids)}
    if search.max_price is not None:
        offer["price"] = {"$lte": search.max_price}
    if offer:
        sifting["services"] = {"$elemMatch": {**offer, "is_available": True}}
    if search.language is not None:
        sifting["languages"] = search.language
    if search.min_rating is not None:
        sifting["rating"] = {"$gte": search.min_rating}
    words = search.wanted_words
    if words:
        sifting["$and"] = [
            {
                "$or": [
                    {"search_keys": _beginning(word)},
                    {
                        "services": {
                            "$elemMatch": {
                                "puja_id": {"$in": sorted(word.puja_ids)},
                                "is_available": True,
                            }
                        }
                    },
                ]
            }
            for word in words
        ]
        if plain := next((word for word in words if not word.puja_ids), None):
            indexed["search_keys"] = _beginning(plain)
    elif search.puja_ids is not None and len(search.puja_ids) == 1:
        indexed["services.puja_id"] = search.puja_ids[0]
    return indexed, sifting


def _beginning(word: Word) -> Document:
    """Matches keys that begin like one of the word's; such a pattern is answered by an index."""
    return {"$regex": "^(?:" + "|".join(re.escape(key) for key in word.keys) + ")"}


def _cheapest(search: PanditSearch) -> Document:
    conditions: list[Any] = ["$$this.is_available"]
    if search.puja_ids is not None:
        conditions.append({"$in": ["$$this.puja_id", list(search.puja_ids)]})
    if search.max_price is not None:
        conditions.append({"$lte": ["$$this.price", search.max_price]})
    offers = {"$filter": {"input": {"$ifNull": ["$services", []]}, "cond": {"$and": conditions}}}
    prices = {"$map": {"input": offers, "in": "$$this.price"}}
    return {"$ifNull": [{"$min": prices}, _NO_PRICE]}


def hit_of(document: Document, search: PanditSearch) -> PanditHit:
    """The result that a pandit's document is for a search."""
    pandit = from_document(Pandit, document)
    offers = fitting_offers(pandit, search.puja_ids, search.max_price)
    return PanditHit(pandit, _distance(pandit, search.near), offers[0].price if offers else None)


def _candidate_of(document: Document, search: PanditSearch) -> PanditCandidate:
    point = None
    if (geo := document.get("geo")) is not None:
        longitude, latitude = geo["coordinates"]
        point = GeoPoint(latitude, longitude)
    prices = [
        service["price"]
        for service in document.get("services", ())
        if service["is_available"]
        and (search.puja_ids is None or service["puja_id"] in search.puja_ids)
        and (search.max_price is None or service["price"] <= search.max_price)
    ]
    return PanditCandidate(
        pandit_id=document["_id"],
        languages=tuple(document["languages"]),
        experience_years=document["experience_years"],
        rating=document["rating"],
        review_count=document["review_count"],
        point=point,
        price=min(prices, default=None),
    )


def _distance(pandit: Pandit, near: GeoPoint | None) -> float | None:
    if near is None or pandit.location.point is None:
        return None
    return near.distance_km(coarse_point(pandit.location.point))


def _geo_json(point: GeoPoint) -> Document:
    return {"type": "Point", "coordinates": [point.longitude, point.latitude]}
