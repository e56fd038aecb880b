"""Counts what people do on the way to a booking: searches, pandits looked at, bookings begun."""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import date
from typing import Final

from server.domain.account import NEPAL
from server.domain.analytics import Step
from server.domain.calendar import local_today
from server.domain.errors import StoreUnavailable
from server.domain.ports.analytics import VisitRepository
from server.domain.ports.world import Clock
from server.tasks import repeated

_log: Final = logging.getLogger(__name__)
_FLUSH_SECONDS: Final = 5.0


class VisitMeter:
    """Counts in memory and writes every few seconds, one small command for a day.

    A write that fails may have happened, so it is not repeated, and a process that is killed takes
    its last seconds with it: these counts may lack something and have nothing twice. They tell how
    many look; what they book, pay and hold is counted from the bookings themselves.
    """

    def __init__(
        self, visits: VisitRepository, clock: Clock, *, every_seconds: float = _FLUSH_SECONDS
    ) -> None:
        self._visits = visits
        self._clock = clock
        self._every_seconds = every_seconds
        self._counted: dict[date, dict[Step, int]] = {}

    def count(self, step: Step) -> None:
        """Count one; never waits."""
        steps = self._counted.setdefault(local_today(self._clock.now(), NEPAL), {})
        steps[step] = steps.get(step, 0) + 1

    async def flush(self) -> None:
        """Write now what has been counted."""
        counted, self._counted = self._counted, {}
        for day, steps in counted.items():
            try:
                await self._visits.add(day, steps)
            except StoreUnavailable:
                _log.warning("visits_lost", extra={"lost": sum(steps.values())})

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Write every few seconds while the context lasts, and once more in the end."""
        async with repeated(self.flush, self._every_seconds, "visit-counters"):
            yield
