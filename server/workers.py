"""Threads for work that would hold the event loop up, a bounded number of them."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

from server.domain.errors import Overloaded

T = TypeVar("T")


class Threads:
    """Implements ``ports.Workers``.

    Parameters
    ----------
    name
        What the threads are called in a stack dump.
    threads
        How many pieces of work run at once.
    queue
        How many more may wait; beyond that callers get ``Overloaded``.
    """

    def __init__(self, name: str, threads: int, queue: int) -> None:
        self._pool = ThreadPoolExecutor(threads, thread_name_prefix=name)
        self._room = threads + queue

    async def run(self, work: Callable[[], T]) -> T:
        """Do the work in a thread and return what it returns; its error is the caller's."""
        if self._room <= 0:
            raise Overloaded
        self._room -= 1
        future = asyncio.get_running_loop().run_in_executor(self._pool, work)
        future.add_done_callback(self._make_room)
        # A caller who goes away does not take the thread's work with him, so the place stays taken.
        return await asyncio.shield(future)

    def close(self) -> None:
        """Let the threads end; what still waits is dropped."""
        self._pool.shutdown(wait=False, cancel_futures=True)

    def _make_room(self, _future: asyncio.Future[Any]) -> None:
        self._room += 1
