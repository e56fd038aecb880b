"""Runs periodic duties, each at its own interval, never twice at once in one process.

Of several processes the one that holds the duty's lease does it; when it ends without a word,
another takes over after two intervals. That saves work and is no lock: while the processes cannot
hear of each other each of them does everything, so duties must be safe to run in several processes
at the same time. Conditional writes decide who wins.
"""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Final

import structlog

from server.domain.errors import Unavailable
from server.domain.ports.processes import Leases
from server.metrics import Metrics
from server.tasks import end_all

_log: Final = structlog.get_logger(__name__)
_LEASE_INTERVALS: Final = 2.0


@dataclass(frozen=True, slots=True)
class Duty:
    """One thing to do again and again; ``run`` returns how much there was to do.

    ``everywhere``: it is about the process's own memory, so every process does it.
    """

    name: str
    every_seconds: float
    run: Callable[[], Awaitable[int]]
    everywhere: bool = False


class Scheduler:
    """Starts one task for each duty and stops them in the end."""

    def __init__(self, duties: Sequence[Duty], metrics: Metrics, leases: Leases) -> None:
        self._duties = duties
        self._metrics = metrics
        self._leases = leases

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Run the duties while the context lasts."""
        tasks = [asyncio.create_task(self._repeat(duty), name=duty.name) for duty in self._duties]
        try:
            yield
        finally:
            await end_all(tasks)

    async def _repeat(self, duty: Duty) -> None:
        while True:
            # Spread, so that processes that start together do not work together.
            await asyncio.sleep(duty.every_seconds * random.uniform(0.8, 1.2))  # noqa: S311  # no secret
            seconds = duty.every_seconds * _LEASE_INTERVALS
            if not duty.everywhere and not await self._leases.hold(duty.name, seconds):
                continue
            began = time.perf_counter()
            outcome = "done"
            try:
                found = await duty.run()
                if found:
                    _log.info("duty", duty=duty.name, found=found)
            except Unavailable:
                outcome = "unavailable"
            except Exception:
                outcome = "failed"
                _log.exception("duty_failed", duty=duty.name)
            self._metrics.duties.labels(duty.name, outcome).observe(time.perf_counter() - began)
