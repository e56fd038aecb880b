"""Creates every index at start; the indexes stand beside the documents that they serve."""

from __future__ import annotations

from types import ModuleType
from typing import Final

from server.store import (
    attachments,
    audit,
    bookings,
    callbacks,
    catalogue,
    catalogue_imports,
    charts,
    counters,
    customer_ratings,
    exposures,
    feedback,
    feeds,
    idempotency,
    interactions,
    ledger,
    notification_preferences,
    notifications,
    pandits,
    payments,
    payouts,
    preferences,
    push_subscriptions,
    reviews,
    rooms,
    series,
    users,
    visits,
)
from server.store.client import Index, Store

_MODULES: Final[tuple[ModuleType, ...]] = (
    attachments,
    audit,
    bookings,
    callbacks,
    catalogue,
    catalogue_imports,
    charts,
    counters,
    customer_ratings,
    exposures,
    feedback,
    feeds,
    idempotency,
    interactions,
    ledger,
    notification_preferences,
    notifications,
    pandits,
    payments,
    payouts,
    preferences,
    push_subscriptions,
    reviews,
    rooms,
    series,
    visits,
)


def declared_indexes() -> dict[str, tuple[Index, ...]]:
    """All indexes by collection."""
    found: dict[str, tuple[Index, ...]] = {
        module.COLLECTION: module.INDEXES for module in _MODULES if module.INDEXES
    }
    found.update(users.INDEXES)
    found[catalogue.TEMPLATES] = catalogue.TEMPLATE_INDEXES
    found[catalogue_imports.TEXTS] = catalogue_imports.TEXT_INDEXES
    found[callbacks.HANDLED] = callbacks.HANDLED_INDEXES
    return found


async def create_indexes(store: Store) -> None:
    """Create those that do not exist; several processes may do it at once."""
    for collection, indexes in declared_indexes().items():
        await store.collection(collection).create_indexes(indexes)
