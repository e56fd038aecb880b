"""Drafts in MongoDB: documents of the bookings' own collection.

There the unique index over (pandit, claim) keeps drafts and bookings apart. A draft has none of the
fields by which bookings are found (customer, start, status of a booking), so it is on no list; all
that is its own lies under ``draft``.
"""

from __future__ import annotations

from datetime import datetime
from typing import Final

from server.domain.booking import Booking
from server.domain.draft import DRAFT, Draft
from server.domain.errors import AlreadyExists
from server.store.bookings import COLLECTION, booking_document, taken
from server.store.client import ASCENDING, Document, DuplicateKey, Store
from server.store.codec import from_value, to_value
from server.store.outbox import ANY_TIME

_MOST_LISTED: Final = 50


class MongoDraftRepository:
    """See ``ports.DraftRepository``."""

    def __init__(self, store: Store) -> None:
        self._bookings = store.collection(COLLECTION)

    async def add(self, draft: Draft) -> None:
        try:
            await self._bookings.insert_one(_document(draft, draft.version))
        except DuplicateKey as error:
            raise _taken(error) from None

    async def find(self, draft_id: str) -> Draft | None:
        document = await self._bookings.find_one({"_id": draft_id})
        is_draft = document is not None and document["status"] == DRAFT
        return _draft(document) if document and is_draft else None

    async def list_of(self, user_id: str) -> tuple[Draft, ...]:
        documents = await self._bookings.find({"drafter_id": user_id}, limit=_MOST_LISTED)
        drafts = (_draft(document) for document in documents)
        return tuple(sorted(drafts, key=lambda draft: draft.created_at))

    async def replace(self, draft: Draft) -> bool:
        return await self._put(draft, _document(draft, draft.version + 1))

    async def confirm(self, draft: Draft, booking: Booking) -> bool:
        document = booking_document(booking)
        document["version"] = draft.version + 1
        return await self._put(draft, document)

    async def remove(self, draft: Draft) -> bool:
        return await self._bookings.delete_one({"_id": draft.id, "version": draft.version})

    async def list_lapsed(self, now: datetime, limit: int) -> tuple[Draft, ...]:
        documents = await self._bookings.find(
            {"lapses_at": {**ANY_TIME, "$lte": now}}, sort=(("lapses_at", ASCENDING),), limit=limit
        )
        return tuple(_draft(document) for document in documents)

    async def _put(self, draft: Draft, document: Document) -> bool:
        try:
            return await self._bookings.replace_one(
                {"_id": draft.id, "version": draft.version}, document
            )
        except DuplicateKey as error:
            raise _taken(error) from None


def _document(draft: Draft, version: int) -> Document:
    document: Document = {
        "_id": draft.id,
        "status": DRAFT,
        "version": version,
        "drafter_id": draft.user_id,
        "place": draft.place,
        "pandit_id": draft.pandit_id,
        "lapses_at": draft.lapses_at,
        "draft": to_value(draft),
    }
    if draft.claims:
        document |= {"claims": list(draft.claims), "busy_pandit_id": draft.pandit_id}
    return document


def _draft(document: Document) -> Draft:
    # The version beside it is the one that counts.
    return from_value(Draft, {**document["draft"], "version": document["version"]})


def _taken(error: DuplicateKey) -> Exception:
    return AlreadyExists("place") if "place" in error.fields else taken(error)
