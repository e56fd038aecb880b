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
from typing import Final

from server.domain.chat import Message
from server.domain.ports.chats import MessageKey, ReadSpan
from server.store.client import ASCENDING, DESCENDING, Document, Index, Store
from server.store.codec import from_document, to_value

COLLECTION: Final = "messages"
_STRIDE: Final = 50
"""Numbers that are looked at together when a room's head is searched for."""
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

    async def insert(self, messages: Sequence[Message]) -> dict[int, Message | None]:
        """Write all; see the port for what is returned.

        By one command, for two at the same time cost the embedded server thrice as much. Messages
        that are alone of their room go unordered: whichever is refused, no other depends on it. As
        soon as a room has several they all go in order, and the first refusal ends it, so that
        nothing is ever stored above a number that stayed free. That happens only to resends and
        between processes; then what is left goes by itself, room by room.
        """
        of_room: dict[str, list[int]] = {}
        for place, message in enumerate(messages):
            of_room.setdefault(message.room_id, []).append(place)
        if len(of_room) == len(messages):
            refused = await self._insert_alone(messages, range(len(messages)))
        else:
            refused = await self._insert_chains(messages, list(of_room.values()))
        return await self._explain(messages, refused) if refused else {}

    async def _insert_alone(self, messages: Sequence[Message], places: Sequence[int]) -> list[int]:
        documents = [_document(messages[place]) for place in places]
        refused = await self._messages.insert_batch(documents, ordered=False)
        return [places[index] for index in refused]

    async def _insert_chains(
        self, messages: Sequence[Message], chains: Sequence[list[int]]
    ) -> list[int]:
        """Insert rooms one behind the other; returns what was refused and what stood behind it."""
        documents = [_document(messages[place]) for places in chains for place in places]
        stopped = await self._messages.insert_batch(documents, ordered=True)
        if not stopped:
            return []
        index, number = next(iter(stopped)), 0
        while index >= len(chains[number]):
            index -= len(chains[number])
            number += 1
        refused, later = chains[number][index:], chains[number + 1 :]
        alone = [places[0] for places in later if len(places) == 1]
        several = [places for places in later if len(places) > 1]
        if alone:
            refused += await self._insert_alone(messages, alone)
        parts = await asyncio.gather(*(self._insert_chains(messages, [each]) for each in several))
        return refused + [place for part in parts for place in part]

    async def _explain(
        self, messages: Sequence[Message], refused: Sequence[int]
    ) -> dict[int, Message | None]:
        # Which of the indexes refused is not always told; whether the cid is known decides. One
        # that is there under its own id was stored by a try whose answer was lost.
        known = {
            _key(message): message
            for message in await self.find_sent([_key(messages[place]) for place in refused])
        }
        found = {place: known.get(_key(messages[place])) for place in refused}
        return {
            place: stored
            for place, stored in found.items()
            if stored is None
            or (stored.id, stored.sequence) != (messages[place].id, messages[place].sequence)
        }

    async def head(self, room_id: str, *, at_least: int = 0) -> int:
        """Return the highest sequence number of the room, 0 when it is empty.

        Searched for upwards from ``at_least``, which is known to be stored: asked for the end of a
        long room the embedded server would look at all of it.
        """
        while at_least:
            document = await self._messages.find_one(
                {"room_id": room_id, "sequence": {"$gte": at_least, "$lte": at_least + _STRIDE}},
                sort=(("sequence", DESCENDING),),
                fields=("sequence",),
            )
            if document is None:
                break
            if document["sequence"] < at_least + _STRIDE:
                return int(document["sequence"])
            at_least = int(document["sequence"])
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
        """Return up to ``limit`` messages with a higher sequence, ascending.

        A room's numbers have no gaps, so the range that is asked for holds just so many: the
        embedded server looks at all that match, whatever the limit.
        """
        documents = await self._messages.find(
            {"room_id": room_id, "sequence": {"$gt": sequence, "$lte": sequence + limit}},
            sort=(("sequence", ASCENDING),),
            limit=limit,
        )
        return [from_document(Message, document) for document in documents]

    async def list_before(self, room_id: str, sequence: int | None, limit: int) -> list[Message]:
        """Return the newest messages below ``sequence`` (or of all), ascending."""
        query: Document = {"room_id": room_id}
        if sequence is not None:
            query["sequence"] = {"$gte": sequence - limit, "$lt": sequence}
        documents = await self._messages.find(query, sort=(("sequence", DESCENDING),), limit=limit)
        return [from_document(Message, document) for document in reversed(documents)]

    async def mark_read(self, spans: Sequence[ReadSpan]) -> None:
        """Set ``read_at`` on the messages of others in these spans that have none.

        Found by their range alone and updated by their ids: with another field beside the range
        the embedded server looks at every message of the room, and nobody can write meanwhile.
        """
        ticks: list[tuple[Document, Document]] = []
        for span in spans:
            found = await self._messages.find(
                {"room_id": span.room_id, "sequence": {"$gt": span.above, "$lte": span.up_to}},
                limit=span.up_to - span.above,
                fields=("sender_id", "read_at"),
            )
            ticks += [
                ({"_id": each["_id"], "read_at": None}, {"$set": {"read_at": span.read_at}})
                for each in found
                if each["sender_id"] != span.reader_id and each["read_at"] is None
            ]
        if ticks:
            await self._messages.update_each(ticks)


def _key(message: Message) -> MessageKey:
    return message.room_id, message.sender_id, message.cid


def _document(message: Message) -> Document:
    """The document that ``to_document`` makes, in a fifth of its time."""
    attachment = message.attachment
    return {
        "_id": message.id,
        "room_id": message.room_id,
        "sequence": message.sequence,
        "sender_id": message.sender_id,
        "sender_role": message.sender_role,
        "sender_name": message.sender_name,
        "cid": message.cid,
        "message_type": str(message.message_type),
        "content": message.content,
        "content_ne": message.content_ne,
        "attachment": to_value(attachment) if attachment else None,
        "reply_to": message.reply_to,
        "timestamp": message.timestamp,
        "read_at": message.read_at,
    }
