"""Messages of before move to where they are found by their place, each beside its claim.

The indexes that said so before are dropped: documents of today lack their fields. A process of a
version before this one must not write messages meanwhile or afterwards.
"""

from __future__ import annotations

from collections.abc import Sequence

from server.domain.chat import Message
from server.store.client import ASCENDING, Collection, Document, Index, Store
from server.store.codec import from_document
from server.store.messages import COLLECTION, documents_of

_ROWS = 200
OLD_INDEXES = (
    Index((("room_id", ASCENDING), ("sequence", ASCENDING)), unique=True),
    Index((("room_id", ASCENDING), ("sender_id", ASCENDING), ("cid", ASCENDING)), unique=True),
)
_OLD: Document = {"room_id": {"$exists": True}, "message_id": {"$exists": False}}


async def run(store: Store) -> None:
    """Write each anew before its old document goes; what a crash left twice is there already.

    Raises ``RuntimeError`` if another message stands where one belongs: nothing is deleted then.
    """
    messages = store.collection(COLLECTION)
    await messages.drop_indexes(OLD_INDEXES)
    found: list[Document] = []
    await messages.read_all(_OLD, found.extend, fields=("_id",), rows=_ROWS)
    for place in range(0, len(found), _ROWS):
        ids = [each["_id"] for each in found[place : place + _ROWS]]
        rows = await messages.find({"_id": {"$in": ids}}, limit=len(ids))
        if rows:
            await _move(messages, [from_document(Message, row) for row in rows])


async def _move(messages: Collection, moving: Sequence[Message]) -> None:
    pairs = [each for message in moving for each in documents_of(message)]
    refused = await messages.insert_batch(pairs, ordered=False)
    wanted = {pairs[place]["_id"]: pairs[place] for place in refused}
    there = await messages.find(
        {"_id": {"$in": list(wanted)}}, limit=len(wanted) + 1, fields=("message_id", "sequence")
    )
    for each in there:
        meant = wanted[each["_id"]]
        if (each.get("message_id"), each["sequence"]) != (
            meant.get("message_id"),
            meant["sequence"],
        ):
            raise RuntimeError(f"two messages claim {each['_id']}: an older version still writes")
    await messages.delete_many({"_id": {"$in": [message.id for message in moving]}})
