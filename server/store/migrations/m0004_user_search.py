"""Accounts of before can be found by the words of their names."""

from __future__ import annotations

from server.domain.account import User
from server.store.client import Document, Store
from server.store.codec import from_document
from server.store.users import USERS, search_terms

_ROWS = 200


async def run(store: Store) -> None:
    """Derive what accounts are found by; one that changes meanwhile has got it by that change."""
    users = store.collection(USERS)
    found: list[Document] = []
    await users.read_all({}, found.extend, fields=("_id",), rows=_ROWS)
    for place in range(0, len(found), _ROWS):
        ids = [each["_id"] for each in found[place : place + _ROWS]]
        rows = await users.find({"_id": {"$in": ids}}, limit=len(ids))
        await users.update_each(
            [
                (
                    {"_id": row["_id"], "updated_at": row["updated_at"]},
                    {"$set": {"search_terms": search_terms(from_document(User, row))}},
                )
                for row in rows
            ]
        )
