"""Whether the process lives, and whether it is ready for work."""

from __future__ import annotations

import time
from typing import Final, Protocol

from server.domain.errors import StoreUnavailable

_CACHE_SECONDS: Final = 2.0


class Pingable(Protocol):
    """Something that answers or raises ``StoreUnavailable``."""

    async def ping(self) -> None:
        """Return when it answers."""
        ...


class Health:
    """Answers ``/readyz``: the database answers, the start is over, and no drain has begun."""

    def __init__(self, store: Pingable) -> None:
        self._store = store
        self._is_started = False
        self._is_draining = False
        self._checked_at = float("-inf")
        self._is_store_up = False

    def started(self) -> None:
        """Indexes, migrations and catalogue are up to date and the port is open."""
        self._is_started = True

    def begin_draining(self) -> None:
        """From now on the proxy should send nothing here."""
        self._is_draining = True

    @property
    def is_draining(self) -> bool:
        """Whether the process is on its way out."""
        return self._is_draining

    async def checks(self) -> dict[str, bool]:
        """One line for each thing that must be right; ready when all are."""
        now = time.monotonic()
        if now - self._checked_at > _CACHE_SECONDS:
            try:
                await self._store.ping()
                self._is_store_up = True
            except StoreUnavailable:
                self._is_store_up = False
            self._checked_at = time.monotonic()
        return {
            "database": self._is_store_up,
            "started": self._is_started,
            "accepting": not self._is_draining,
        }
