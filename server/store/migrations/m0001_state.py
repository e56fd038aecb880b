"""Documents that are changed under a version get one: ``replace`` compares it."""

from __future__ import annotations

from server.store.client import Store


async def run(store: Store) -> None:
    """Set ``version`` where it is missing."""
    for name in ("bookings", "pandits"):
        await store.collection(name).update_many(
            {"version": {"$exists": False}}, {"$set": {"version": 1}}
        )
