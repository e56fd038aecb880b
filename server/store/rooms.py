"""Chat rooms in MongoDB.

Beside the room's own fields a document carries ``members`` (the user ids of both parties) and
``active_at`` (the time of the newest message, else of creation), by which a person's rooms are
listed.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from server.domain.chat import ChatRoom, ReadMark, RoomHead
from server.domain.ports import Page, SortKey
from server.store.client import ASCENDING, DESCENDING, Document, DuplicateKey, Index, Store
from server.store.codec import from_document, to_document, to_value

COLLECTION: Final = "chat_rooms"
INDEXES: Final = (
    Index((("booking_id", ASCENDING),), unique=True),
    Index((("members", ASCENDING), ("active_at", DESCENDING), ("_id", DESCENDING))),
)
_UNREAD_FIELDS: Final = ("head.sequence", "reads")


class MongoRoomRepository:
    """See ``ports.RoomRepository``."""

    def __init__(self, store: Store) -> None:
        self._rooms = store.collection(COLLECTION)

    async def add(self, room: ChatRoom) -> ChatRoom:
        """Store the room, or return the one that the booking already has."""
        try:
            await self._rooms.insert_one(room_document(room))
        except DuplicateKey:
            return await self.find_by_booking(room.booking_id) or room
        return room

    async def find(self, room_id: str) -> ChatRoom | None:
        """Return the room, or None."""
        document = await self._rooms.find_one({"_id": room_id})
        return from_document(ChatRoom, document) if document else None

    async def find_by_booking(self, booking_id: str) -> ChatRoom | None:
        """Return the room of that booking, or None."""
        document = await self._rooms.find_one({"booking_id": booking_id})
        return from_document(ChatRoom, document) if document else None

    async def list_for(self, user_id: str, *, limit: int, after: SortKey | None) -> Page[ChatRoom]:
        """Return a member's rooms, the latest activity first; the key is (active_at, id)."""
        query: Document = {"members": user_id}
        if after is not None:
            active_at, room_id = after
            query["active_at"] = {"$lte": active_at}
            query["$or"] = [
                {"active_at": {"$lt": active_at}},
                {"active_at": active_at, "_id": {"$lt": room_id}},
            ]
        documents = await self._rooms.find(
            query, sort=(("active_at", DESCENDING), ("_id", DESCENDING)), limit=limit + 1
        )
        rows = tuple(from_document(ChatRoom, document) for document in documents[:limit])
        if len(documents) <= limit:
            return Page(rows)
        last = documents[limit - 1]
        return Page(rows, (last["active_at"], last["_id"]))

    async def advance_heads(
        self, heads: Mapping[str, RoomHead], marks: Mapping[str, Mapping[str, ReadMark]]
    ) -> None:
        """Move heads and marks forward, never back, as one unordered command."""
        updates: list[tuple[Document, Document | list[Document]]] = [
            (
                _below(room_id, "head", head.sequence),
                {"$set": {"head": to_value(head), "active_at": head.timestamp}},
            )
            for room_id, head in heads.items()
        ]
        updates += [
            _advance_mark(room_id, user_id, mark)
            for room_id, of_room in marks.items()
            for user_id, mark in of_room.items()
        ]
        if updates:
            await self._rooms.update_each(updates)

    async def advance_read(self, room_id: str, user_id: str, mark: ReadMark) -> bool:
        """Move the member's mark forward; False when it was already there or beyond."""
        query, update = _advance_mark(room_id, user_id, mark)
        return (await self._rooms.update_one(query, update)).matched == 1

    async def unread_totals(self, user_id: str, limit: int) -> dict[str, int]:
        """Return the unread count of each of the member's latest rooms that has any."""
        documents = await self._rooms.find(
            {"members": user_id},
            sort=(("active_at", DESCENDING), ("_id", DESCENDING)),
            limit=limit,
            fields=_UNREAD_FIELDS,
        )
        counts = {document["_id"]: _unread(document, user_id) for document in documents}
        return {room_id: count for room_id, count in counts.items() if count}

    async def close(self, booking_id: str) -> str | None:
        """Close the booking's room for writing and return its id."""
        document = await self._rooms.find_one_and_update(
            {"booking_id": booking_id}, {"$set": {"is_active": False}}
        )
        return document["_id"] if document else None


def room_document(room: ChatRoom) -> Document:
    """The document of a room with its derived fields; whoever writes in bulk uses it too."""
    document = to_document(room)
    document["members"] = list(room.members)
    document["active_at"] = room.head.timestamp if room.head else room.created_at
    return document


def _below(room_id: str, field: str, sequence: int) -> Document:
    # "Not at or beyond" also holds where there is no head or mark at all.
    return {"_id": room_id, f"{field}.sequence": {"$not": {"$gte": sequence}}}


def _advance_mark(room_id: str, user_id: str, mark: ReadMark) -> tuple[Document, Document]:
    field = f"reads.{user_id}"
    return _below(room_id, field, mark.sequence), {"$set": {field: to_value(mark)}}


def _unread(document: Document, user_id: str) -> int:
    head = (document.get("head") or {}).get("sequence", 0)
    mark = document.get("reads", {}).get(user_id, {}).get("sequence", 0)
    return max(0, int(head) - int(mark))
