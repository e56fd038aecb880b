"""The bus of a single process."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable
from typing import Final

from server.domain.ports import Deliver

_log: Final = logging.getLogger(__name__)


class MemoryBus:
    """See ``ports.Bus``."""

    def __init__(self) -> None:
        self._receivers: dict[str, dict[object, Deliver]] = {}

    @property
    def topics(self) -> frozenset[str]:
        """The topics that have a receiver in this process."""
        return frozenset(self._receivers)

    def __contains__(self, topic: str) -> bool:
        """Whether the topic has a receiver in this process."""
        return topic in self._receivers

    async def publish(self, topic: str, payload: bytes) -> None:
        """Call every receiver, then return."""
        self.deliver(topic, payload)

    def deliver(self, topic: str, payload: bytes) -> None:
        """Call the receivers in the order in which they subscribed."""
        for receive in tuple(self._receivers.get(topic, {}).values()):
            try:
                receive(payload)
            except Exception:
                # One broken socket must not keep the news from the others.
                _log.exception("bus_receiver_failed", extra={"topic": topic})

    async def subscribe(self, topic: str, deliver: Deliver) -> Callable[[], Awaitable[None]]:
        """Begin to receive a topic; returns what ends it, harmless to call again."""
        key = object()
        self._receivers.setdefault(topic, {})[key] = deliver

        async def end() -> None:
            receivers = self._receivers.get(topic, {})
            receivers.pop(key, None)
            if not receivers:
                self._receivers.pop(topic, None)

        return end
