"""The ledger in MongoDB. An entry is inserted under its cause and never touched again.

The unique index over (owner, number) of chains keeps balances above zero: two entries of one
owner that race both want the next number, and the loser is checked against the winner's balance.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any, Final

from server.domain.errors import ConcurrentChange
from server.domain.ledger import Chain, LedgerEntry
from server.domain.ports.paging import Page, SortKey
from server.store.client import ASCENDING, DESCENDING, Document, DuplicateKey, Index, Store
from server.store.codec import from_value, to_value
from server.store.paging import cut, page_stages

COLLECTION: Final = "ledger"
INDEXES: Final = (
    Index(
        (("chain.owner", ASCENDING), ("chain.number", DESCENDING)),
        unique=True,
        partial={"chain.number": {"$gt": 0}},
    ),
    # The one above keeps numbers apart; the embedded server may not find rows by a partial one.
    Index((("chain.owner", ASCENDING), ("chain.number", DESCENDING), ("_id", DESCENDING))),
    # What somebody earned in a time.
    Index((("chain.owner", ASCENDING), ("at", DESCENDING))),
    Index((("postings.account", ASCENDING), ("at", DESCENDING), ("_id", DESCENDING))),
    Index((("at", DESCENDING), ("_id", DESCENDING))),
)
_MAX_TOTALS: Final = 10_000


class MongoLedgerRepository:
    """See ``ports.LedgerRepository``."""

    def __init__(self, store: Store) -> None:
        self._entries = store.collection(COLLECTION)

    async def add(self, entry: LedgerEntry) -> bool:
        """Store an entry; False when its cause is there already."""
        try:
            await self._entries.insert_one(entry_document(entry))
        except DuplicateKey as error:
            if "chain.owner" in error.fields:
                if await self.find(entry.cause) is not None:
                    return False
                raise ConcurrentChange from None
            return False
        return True

    async def find(self, cause: str) -> LedgerEntry | None:
        """Return the entry of that cause, or None."""
        document = await self._entries.find_one({"_id": cause})
        return _entry(document) if document else None

    async def head(self, owner: str) -> Chain | None:
        """Return the newest link of the owner's chain."""
        document = await self._entries.find_one(
            {"chain.owner": owner}, sort=(("chain.number", DESCENDING),), fields=("chain",)
        )
        return from_value(Chain, document["chain"]) if document else None

    async def list_chain(
        self, owner: str, *, limit: int, after: SortKey | None
    ) -> Page[LedgerEntry]:
        """Return the entries of an owner, newest first."""
        query: Document = {"chain.owner": owner}
        if after is not None:
            query["chain.number"] = {"$lt": after[0]}
        documents = await self._entries.find(
            query, sort=(("chain.number", DESCENDING),), limit=limit + 1
        )
        rows = tuple(_entry(document) for document in documents[:limit])
        if len(documents) <= limit:
            return Page(rows)
        return Page(rows, (documents[limit - 1]["chain"]["number"],))

    async def list_page(
        self,
        *,
        account: str | None,
        first: datetime,
        last: datetime,
        limit: int,
        after: SortKey | None,
    ) -> Page[LedgerEntry]:
        """Return the entries of that time, newest first; the key is (time, cause)."""
        indexed: Document = {} if account is None else {"postings.account": account}
        latest = min(last, after[0]) if after is not None else last
        indexed["at"] = {"$gte": first, "$lte": latest}
        documents = await self._entries.aggregate(
            page_stages(indexed, field="at", direction=DESCENDING, limit=limit, after=after)
        )
        rows, next_key = cut(documents, "at", limit)
        return Page(tuple(_entry(row) for row in rows), next_key)

    async def totals(self, first: datetime, last: datetime) -> dict[tuple[str, str], int]:
        """Sum the postings of that time by (kind of account, currency)."""
        kind: Document = {
            # People's accounts are summed by kind, the house's own stand alone.
            "$cond": [
                {"$regexMatch": {"input": "$postings.account", "regex": "^(gateway|income):"}},
                "$postings.account",
                {"$arrayElemAt": [{"$split": ["$postings.account", ":"]}, 0]},
            ]
        }
        documents = await self._entries.aggregate(
            [
                {"$match": {"at": {"$gte": first, "$lte": last}}},
                {"$unwind": "$postings"},
                {
                    "$group": {
                        "_id": {"account": kind, "currency": "$currency"},
                        "amount": {"$sum": "$postings.amount"},
                    }
                },
                {"$limit": _MAX_TOTALS},
            ]
        )
        return {(row["_id"]["account"], row["_id"]["currency"]): row["amount"] for row in documents}


def entry_document(entry: LedgerEntry) -> Document:
    """The document of an entry."""
    document: Document = to_value(entry)
    document["_id"] = document.pop("cause")
    if document["chain"] is None:
        del document["chain"]
    return document


def _entry(document: dict[str, Any]) -> LedgerEntry:
    return from_value(LedgerEntry, {**document, "cause": document["_id"]})
