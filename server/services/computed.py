"""Results that are computed by workers and kept for a while."""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Callable, Hashable
from typing import Generic, TypeVar

from server.domain.ports.world import Workers

K = TypeVar("K", bound=Hashable)
V = TypeVar("V")


class Computed(Generic[K, V]):
    """The latest results by their key, a bounded number of them.

    Those who ask for the same thing at once wait for one computation. A failure is not kept.

    Parameters
    ----------
    workers
        Compute.
    most
        How many results are kept; the one not asked for longest goes first.
    """

    def __init__(self, workers: Workers, most: int) -> None:
        self._workers = workers
        self._most = most
        self._kept: OrderedDict[K, V] = OrderedDict()
        self._running: dict[K, asyncio.Task[V]] = {}

    async def get(self, key: K, work: Callable[[], V]) -> V:
        """Return the result of the key, computed by ``work`` if it is not at hand.

        Raises what ``work`` raises, and ``Overloaded`` when too much waits for the workers.
        """
        if key in self._kept:
            self._kept.move_to_end(key)
            return self._kept[key]
        running = self._running.get(key)
        if running is None:
            running = asyncio.create_task(self._compute(key, work))
            self._running[key] = running
            running.add_done_callback(lambda done: self._finished(key, done))
        # Whoever goes away does not take the others' result with him.
        return await asyncio.shield(running)

    async def _compute(self, key: K, work: Callable[[], V]) -> V:
        found = await self._workers.run(work)
        self._kept[key] = found
        while len(self._kept) > self._most:
            self._kept.popitem(last=False)
        return found

    def _finished(self, key: K, done: asyncio.Task[V]) -> None:
        self._running.pop(key, None)
        if not done.cancelled():
            # Looked at, so that a failure that everybody ran away from is not logged as lost.
            done.exception()
