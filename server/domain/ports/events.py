"""Events on their way from what happened to those whom it concerns."""

from __future__ import annotations

from collections.abc import Collection
from datetime import datetime
from typing import Protocol

from server.domain.events import Event


class OutboxRepository(Protocol):
    """The events that documents of one kind carry and that have not been delivered."""

    async def list_waiting(
        self, older_than: datetime, limit: int
    ) -> list[tuple[str, tuple[Event, ...]]]:
        """Return (document id, its events) for documents with an event older than that."""
        ...

    async def remove(self, document_id: str, event_ids: Collection[str]) -> None:
        """Take delivered events off the document and raise its version.

        Repeating it is harmless.
        """
        ...


class Receiver(Protocol):
    """Wants to hear of events; is called at least once for each.

    And must be idempotent by event id.
    """

    async def on_event(self, event: Event) -> None:
        """React to one event."""
        ...
