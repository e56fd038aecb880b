"""Chat rooms in MongoDB.

Beside the room's own fields a document carries ``members`` (the user ids of both parties) and
``active_at`` (the time of the newest message, else of creation), by which a person's rooms are
listed.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from server.domain.chat import ChatRoom
from server.domain.ports.chats import RoomChange
from server.domain.ports.paging import Page, SortKey
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

    async def find_with(self, customer_id: str, pandit_id: str) -> ChatRoom | None:
        """Return a customer's room with a pandit, the liveliest that is open first, or None."""
        documents = await self._rooms.aggregate(
            [
                {"$match": {"members": customer_id}},
                {"$match": {"pandit_id": pandit_id, "customer_id": customer_id}},
                {"$sort": {"is_active": DESCENDING, "active_at": DESCENDING}},
                {"$limit": 1},
            ]
        )
        return from_document(ChatRoom, documents[0]) if documents else None

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

    async def advance(self, changes: Sequence[RoomChange]) -> None:
        """Move heads and marks forward, never back: one update a room, in one unordered command.

        Documents compare by their first field first, which is the sequence number of both. Messages
        wait for it, so it waits for no other operation.
        """
        if changes:
            await self._rooms.update_each([_advance(change) for change in changes], is_batch=True)

    async def heads_and_marks(self, user_id: str, limit: int) -> dict[str, tuple[int, int]]:
        """Return the numbers of head and own mark of each of the member's latest rooms."""
        documents = await self._rooms.find(
            {"members": user_id},
            sort=(("active_at", DESCENDING), ("_id", DESCENDING)),
            limit=limit,
            fields=_UNREAD_FIELDS,
        )
        return {document["_id"]: _numbers(document, user_id) for document in documents}

    async def close(self, booking_id: str) -> str | None:
        """Close the booking's room for writing and return its id."""
        document = await self._rooms.find_one_and_update(
            {"booking_id": booking_id}, {"$set": {"is_active": False}}
        )
        return document["_id"] if document else None

    async def reopen(self, booking_id: str) -> None:
        """Open the room of that booking or unlock for writing again."""
        await self._rooms.update_one({"booking_id": booking_id}, {"$set": {"is_active": True}})


def room_document(room: ChatRoom) -> Document:
    """The document of a room with its derived fields; whoever writes in bulk uses it too."""
    document = to_document(room)
    document["members"] = list(room.members)
    document["active_at"] = room.head.timestamp if room.head else room.created_at
    return document


def _advance(change: RoomChange) -> tuple[Document, Document]:
    news: Document = {
        f"reads.{user_id}": {"sequence": mark.sequence, "read_at": mark.read_at}
        for user_id, mark in change.marks.items()
    }
    if change.head is not None:
        news["head"] = to_value(change.head)
        news["active_at"] = change.head.timestamp
    return {"_id": change.room_id}, {"$max": news}


def _numbers(document: Document, user_id: str) -> tuple[int, int]:
    head = (document.get("head") or {}).get("sequence", 0)
    mark = document.get("reads", {}).get(user_id, {}).get("sequence", 0)
    return int(head), int(mark)
