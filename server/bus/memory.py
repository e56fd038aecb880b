"""The bus of a single process."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Final

from server.domain.ports.processes import Deliver

_log: Final = logging.getLogger(__name__)


class MemoryBus:
    """See ``ports.Bus``."""

    def __init__(self) -> None:
        self._receivers: dict[str, tuple[Deliver, ...]] = {}

    @property
    def topics(self) -> frozenset[str]:
        """The topics that have a receiver in this process."""
        return frozenset(self._receivers)

    @property
    def is_online(self) -> bool:
        """True: there is nothing that could be away."""
        return True

    def on_restored(self, callback: Callable[[], None]) -> None:
        """Do nothing: nothing is ever missed."""

    def __contains__(self, topic: str) -> bool:
        """Whether the topic has a receiver in this process."""
        return topic in self._receivers

    def publish(self, topic: str, payload: bytes) -> None:
        """Call every receiver, then return."""
        self.deliver(topic, payload)

    def deliver(self, topic: str, payload: bytes) -> None:
        """Call the receivers in the order in which they subscribed."""
        for receive in self._receivers.get(topic, ()):
            try:
                receive(payload)
            except Exception:
                # One broken socket must not keep the news from the others.
                _log.exception("bus_receiver_failed", extra={"topic": topic})

    async def subscribe(self, topic: str, deliver: Deliver) -> None:
        """Begin to receive a topic; the same callback counts once."""
        receivers = self._receivers.get(topic, ())
        if deliver not in receivers:
            self._receivers[topic] = (*receivers, deliver)

    def unsubscribe(self, topic: str, deliver: Deliver) -> None:
        """Stop receiving a topic."""
        left = tuple(each for each in self._receivers.get(topic, ()) if each != deliver)
        if left:
            self._receivers[topic] = left
        else:
            self._receivers.pop(topic, None)
