"""Versioned changes of stored documents, each run once, in order, by one process at a time.

A migration is a coroutine function in a module of this folder; it must be safe to run again after a
crash in its middle, because it counts as done only when it has returned. An empty database starts
at the newest number: there is nothing to change.
"""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Final

import structlog

from server.store.client import ASCENDING, DuplicateKey, Store
from server.store.migrations import (
    m0001_state,
    m0002_search_keys,
    m0003_review_turns,
    m0004_user_search,
    m0005_message_places,
)

_log: Final = structlog.get_logger(__name__)
COLLECTION: Final = "migrations"
_LEASE: Final = timedelta(minutes=10)
_LOCK: Final = "lock"
_WAIT_SECONDS: Final = 0.2


@dataclass(frozen=True, slots=True)
class Migration:
    """One change of stored documents."""

    number: int
    name: str
    run: Callable[[Store], Awaitable[None]]


MIGRATIONS: Final[tuple[Migration, ...]] = (
    Migration(1, "every versioned document has a version", m0001_state.run),
    Migration(2, "searches and free times are looked up by derived fields", m0002_search_keys.run),
    Migration(3, "approved reviews are counted by turns", m0003_review_turns.run),
    Migration(4, "accounts are found by beginnings of their names", m0004_user_search.run),
    Migration(5, "messages and cids are found by ids", m0005_message_places.run),
)


async def migrate(store: Store, migrations: Sequence[Migration] = MIGRATIONS) -> int:
    """Run those migrations that have not run; returns how many did.

    Other processes that start meanwhile wait. A process that died while it held the lock holds it
    for ten minutes at most.
    """
    holder = secrets.token_hex(8)
    await _lock(store, holder)
    try:
        done = await store.collection(COLLECTION).find(
            {"number": {"$exists": True}}, sort=(("number", ASCENDING),), limit=1000
        )
        numbers = {document["number"] for document in done}
        waiting = [each for each in migrations if each.number not in numbers]
        for each in waiting:
            _log.info("migration", number=each.number, name=each.name)
            await each.run(store)
            await store.collection(COLLECTION).insert_one(
                {"_id": f"m{each.number:04}", "number": each.number, "done_at": datetime.now(UTC)}
            )
        return len(waiting)
    finally:
        await store.collection(COLLECTION).delete_one({"_id": _LOCK, "holder": holder})


async def _lock(store: Store, holder: str) -> None:
    collection = store.collection(COLLECTION)
    while True:
        now = datetime.now(UTC)
        try:
            # Matches no lock, or one whose holder is long dead; a living one clashes on _id.
            await collection.find_one_and_update(
                {"_id": _LOCK, "until": {"$lt": now}},
                {"$set": {"holder": holder, "until": now + _LEASE}},
                upsert=True,
            )
        except DuplicateKey:
            await asyncio.sleep(_WAIT_SECONDS)
        else:
            return
