"""Answers remembered by idempotency key.

A document goes from running to finished. One that still runs after a minute belongs to a process
that died in the middle: the next request with the key takes it over.
"""

from __future__ import annotations

import hashlib
from datetime import datetime, timedelta
from typing import Final

from server.domain.errors import KeyReused, RequestInProgress
from server.domain.ports.processes import StoredAnswer
from server.domain.ports.world import Clock
from server.store.client import ASCENDING, Document, DuplicateKey, Index, Store

COLLECTION: Final = "idempotency"
INDEXES: Final = (Index((("expires_at", ASCENDING),), expire_after_seconds=0),)
_KEPT: Final = timedelta(hours=24)
_CRASHED_AFTER: Final = timedelta(seconds=60)


class MongoIdempotencyStore:
    """Implements ``ports.IdempotencyStore``."""

    def __init__(self, store: Store, clock: Clock) -> None:
        self._requests = store.collection(COLLECTION)
        self._clock = clock

    async def begin(self, scope: str, body_hash: str) -> StoredAnswer | None:
        """Claim the key, or return the stored answer.

        Raises ``KeyReused`` for another body and ``RequestInProgress`` while the first still runs.
        """
        now = self._clock.now()
        claim: Document = {
            "body_hash": body_hash,
            "state": "running",
            "started_at": now,
            "expires_at": now + _KEPT,
        }
        key = _key(scope)
        try:
            await self._requests.insert_one({"_id": key, **claim})
        except DuplicateKey:
            earlier = await self._requests.find_one({"_id": key})
        else:
            return None
        if earlier is None:
            # Abandoned or expired between the two commands; the client may simply repeat.
            raise RequestInProgress
        if earlier["expires_at"] > now:
            if earlier["body_hash"] != body_hash:
                raise KeyReused
            if earlier["state"] == "finished":
                return StoredAnswer(earlier["status"], bytes(earlier["body"]))
            if earlier["started_at"] > now - _CRASHED_AFTER:
                raise RequestInProgress
        await self._take_over(key, earlier["started_at"], claim)
        return None

    async def finish(self, scope: str, answer: StoredAnswer) -> None:
        """Store the answer for later repeats."""
        await self._requests.update_one(
            {"_id": _key(scope), "state": "running"},
            {"$set": {"state": "finished", "status": answer.status, "body": answer.body}},
        )

    async def abandon(self, scope: str) -> None:
        """Give the key free again, after a failure that may be retried."""
        await self._requests.delete_one({"_id": _key(scope), "state": "running"})

    async def _take_over(self, key: str, started_at: datetime, claim: Document) -> None:
        taken = await self._requests.update_one(
            {"_id": key, "started_at": started_at}, {"$set": claim}
        )
        if taken.matched == 0:
            raise RequestInProgress


def _key(scope: str) -> str:
    # Hashed: the scope of somebody who is not signed in holds his address.
    return hashlib.sha256(scope.encode()).hexdigest()
