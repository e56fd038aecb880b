"""Chat messages in MongoDB.

Two unique indexes carry the rules: a room's sequence numbers never repeat, and a message that is
sent again under the same client id is the same message. Both also serve the queries: history by
(room, sequence), resends by (room, sender, cid).
"""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Collection as Keys
from collections.abc import Sequence
from datetime import datetime
from typing import Final

from server.domain.chat import Message
from server.domain.ports import InsertOutcome, MessageKey
from server.store.client import ASCENDING, DESCENDING, Document, Index, Store
from server.store.codec import from_document, to_document

COLLECTION: Final = "messages"
_MAX_LOOKUPS: Final = 8
"""Queries of one lookup at once; more of them starve others of the driver's connections."""
INDEXES: Final = (
    Index((("room_id", ASCENDING), ("sequence", ASCENDING)), unique=True),
    Index((("room_id", ASCENDING), ("sender_id", ASCENDING), ("cid", ASCENDING)), unique=True),
)


class MongoMessageRepository:
    """See ``ports.MessageRepository``."""

    def __init__(self, store: Store) -> None:
        self._messages = store.collection(COLLECTION)

    async def insert(self, messages: Sequence[Message]) -> list[InsertOutcome]:
        """Write all in one unordered batch and say for each what became of it."""
        refused = await self._messages.insert_many([to_document(message) for message in messages])
        if not refused:
            return [InsertOutcome(stored=message) for message in messages]
        # Which of the two indexes refused is not always told; whether the cid is known decides.
        known = {
            _key(message): message
            for message in await self.find_sent([_key(messages[place]) for place in refused])
        }
        return [
            InsertOutcome(duplicate_of=known.get(_key(message)))
            if place in refused
            else InsertOutcome(stored=message)
            for place, message in enumerate(messages)
        ]

    async def head(self, room_id: str) -> int:
        """Return the highest sequence number of the room, 0 when it is empty."""
        document = await self._messages.find_one(
            {"room_id": room_id}, sort=(("sequence", DESCENDING),), fields=("sequence",)
        )
        return int(document["sequence"]) if document else 0

    async def find_sent(self, keys: Keys[MessageKey]) -> list[Message]:
        """Return those messages that exist of these (room, sender, cid).

        One query for each sender of a room: the embedded server answers one that names several
        senders or rooms by reading the whole collection.
        """
        cids: defaultdict[tuple[str, str], list[str]] = defaultdict(list)
        for room_id, sender_id, cid in keys:
            cids[room_id, sender_id].append(cid)
        few = asyncio.Semaphore(_MAX_LOOKUPS)

        async def find(room_id: str, sender_id: str, wanted: list[str]) -> list[Document]:
            async with few:
                return await self._messages.find(
                    {"room_id": room_id, "sender_id": sender_id, "cid": {"$in": wanted}},
                    limit=len(wanted),
                )

        found = await asyncio.gather(*(find(*sender, wanted) for sender, wanted in cids.items()))
        return [from_document(Message, document) for part in found for document in part]

    async def list_after(self, room_id: str, sequence: int, limit: int) -> list[Message]:
        """Return up to ``limit`` messages with a higher sequence, ascending."""
        documents = await self._messages.find(
            {"room_id": room_id, "sequence": {"$gt": sequence}},
            sort=(("sequence", ASCENDING),),
            limit=limit,
        )
        return [from_document(Message, document) for document in documents]

    async def list_before(self, room_id: str, sequence: int | None, limit: int) -> list[Message]:
        """Return the newest messages below ``sequence`` (or of all), ascending."""
        query: Document = {"room_id": room_id}
        if sequence is not None:
            query["sequence"] = {"$lt": sequence}
        documents = await self._messages.find(query, sort=(("sequence", DESCENDING),), limit=limit)
        return [from_document(Message, document) for document in reversed(documents)]

    async def mark_read(
        self, room_id: str, reader_id: str, span: tuple[int, int], read_at: datetime
    ) -> None:
        """Set ``read_at`` on the messages of others within the span that have none."""
        already, now = span
        if now > already:
            await self._messages.update_many(
                {
                    "room_id": room_id,
                    "sequence": {"$gt": already, "$lte": now},
                    "sender_id": {"$ne": reader_id},
                    "read_at": None,
                },
                {"$set": {"read_at": read_at}},
            )


def _key(message: Message) -> MessageKey:
    return message.room_id, message.sender_id, message.cid
