"""Delivers the events that documents carry (see ``domain.events``)."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import Final

from server.domain.events import Event
from server.domain.ports.events import OutboxRepository, Receiver
from server.domain.ports.world import Clock

_log: Final = logging.getLogger(__name__)
_SWEEP_AFTER: Final = timedelta(seconds=5)
_SWEEP_ROWS: Final = 100


class EventRelay:
    """Hands events to the receivers, then takes them off their document.

    Delivery is tried at once after the write; what a crash or an error leaves behind, :meth:`sweep`
    delivers later. Receivers recognise an event that comes again.
    """

    def __init__(
        self,
        outboxes: Mapping[str, OutboxRepository],
        receivers: Sequence[Receiver],
        clock: Clock,
    ) -> None:
        self._outboxes = outboxes
        self._receivers = receivers
        self._clock = clock

    async def deliver(self, aggregate: str, document_id: str, events: Sequence[Event]) -> None:
        """Deliver the events of one document now; an error is logged and left to the sweep.

        ``aggregate`` names the kind of document: bookings or pandits.
        """
        try:
            for event in events:
                for receiver in self._receivers:
                    await receiver.on_event(event)
            await self._outboxes[aggregate].remove(document_id, [event.id for event in events])
        except Exception:
            # The change itself is committed; the person who made it must not see it fail.
            _log.exception("event_delivery_failed", extra={"document_id": document_id})

    async def sweep(self) -> int:
        """Deliver what has waited for more than a few seconds.

        Returns how many documents had any.
        """
        found = 0
        for aggregate, outbox in self._outboxes.items():
            waiting = await outbox.list_waiting(self._clock.now() - _SWEEP_AFTER, _SWEEP_ROWS)
            for document_id, events in waiting:
                await self.deliver(aggregate, document_id, events)
            found += len(waiting)
        return found
