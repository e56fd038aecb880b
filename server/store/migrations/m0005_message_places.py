"""Messages of before move to where they are found by their place, each beside its claim.

The indexes that said so before are dropped: documents of today lack their fields. A process of a
version before this one must not write messages meanwhile or afterwards.
"""

from __future__ import annotations

from server.domain.chat import Message
from server.store.client import ASCENDING, Document, Index, Store
from server.store.codec import from_document
from server.store.messages import COLLECTION, documents_of

_ROWS = 200
OLD_INDEXES = (
    Index((("room_id", ASCENDING), ("sequence", ASCENDING)), unique=True),
    Index((("room_id", ASCENDING), ("sender_id", ASCENDING), ("cid", ASCENDING)), unique=True),
)
_OLD: Document = {"room_id": {"$exists": True}, "message_id": {"$exists": False}}


async def run(store: Store) -> None:
    """Write each anew before its old document goes; what a crash left twice is there already."""
    messages = store.collection(COLLECTION)
    await messages.drop_indexes(OLD_INDEXES)
    found: list[Document] = []
    await messages.read_all(_OLD, found.extend, fields=("_id",), rows=_ROWS)
    for place in range(0, len(found), _ROWS):
        ids = [each["_id"] for each in found[place : place + _ROWS]]
        rows = await messages.find({"_id": {"$in": ids}}, limit=len(ids))
        said = [from_document(Message, row) for row in rows]
        pairs = [each for message in said for each in documents_of(message)]
        await messages.insert_batch(pairs, ordered=False)
        await messages.delete_many({"_id": {"$in": ids}})
