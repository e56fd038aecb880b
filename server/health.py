"""Whether the process lives, and whether it is ready for work."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any, Final, Protocol

from server.domain.errors import StoreUnavailable
from server.domain.recommendation import ModelState

_CACHE_SECONDS: Final = 2.0


class Pingable(Protocol):
    """Something that answers or raises ``StoreUnavailable``."""

    async def ping(self) -> None:
        """Return when it answers."""
        ...


class Health:
    """Answers ``/readyz``: the database answers, the start is over, and no drain has begun.

    The pointer to the current model was looked at, too; a model that is refused leaves the rules or
    the model before it serving, so it is told and takes nothing off the readiness.
    """

    def __init__(self, store: Pingable, model: Callable[[], ModelState]) -> None:
        self._store = store
        self._model = model
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

    def model(self) -> dict[str, Any]:
        """Which model serves, and what was refused last; codes only, since anybody may read it."""
        state = self._model()
        fault = state.last_error
        return {
            "version": state.version,
            "loaded_at": state.loaded_at,
            "last_error": fault
            and {"version": fault.version or None, "code": fault.code, "at": fault.at},
        }

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
            "model": self._model().is_checked,
            "started": self._is_started,
            "accepting": not self._is_draining,
        }
