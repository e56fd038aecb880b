"""What searches look up is stored in one spelling; bookings name the pandit whose time they hold.

Documents written before lack both, or have words as they were typed.
"""

from __future__ import annotations

from server.domain.pandit import Pandit
from server.store.client import Document, Store
from server.store.codec import from_document
from server.store.pandits import pandit_document

_ROWS = 200


async def run(store: Store) -> None:
    """Derive these fields anew; a document that changes meanwhile has got them by that change."""
    for name, needed in (("pandits", ("_id",)), ("bookings", ("_id", "pandit_id", "claims"))):
        collection = store.collection(name)
        found: list[Document] = []
        await collection.read_all({}, found.extend, fields=needed, rows=_ROWS)
        for place in range(0, len(found), _ROWS):
            some = found[place : place + _ROWS]
            if name == "bookings":
                changes = [
                    ({"_id": each["_id"], "claims.0": {"$exists": True}},
                     {"$set": {"busy_pandit_id": each["pandit_id"]}})
                    for each in some
                    if each.get("claims")
                ]  # fmt: skip
            else:
                rows = await collection.find(
                    {"_id": {"$in": [each["_id"] for each in some]}}, limit=len(some)
                )
                changes = [
                    (
                        {"_id": row["_id"], "version": row["version"]},
                        {"$set": _derived(row), "$unset": {"search_terms": ""}},
                    )
                    for row in rows
                ]
            if changes:
                await collection.update_each(changes)


def _derived(row: Document) -> Document:
    document = pandit_document(from_document(Pandit, row))
    names = ("search_keys", "ranking", "geo")
    return {name: document[name] for name in names if name in document}
