"""Ending asyncio tasks, and the one that does a small thing again and again."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Iterable
from contextlib import asynccontextmanager
from typing import Any, Final

_log: Final = logging.getLogger(__name__)
_ASK_AGAIN_SECONDS: Final = 0.2


async def end_all(tasks: Iterable[asyncio.Task[Any]]) -> None:
    """Cancel tasks and wait until they have ended, however they end.

    Again until it works: a cancellation that meets the end of a ``wait_for`` of Python 3.11 (the
    clients of the database and of Redis use it) is swallowed. Whoever is cancelled while he waits
    here goes when all have ended.
    """
    pending = {task for task in tasks if not task.done()}
    cancelled: asyncio.CancelledError | None = None
    while pending:
        for task in pending:
            task.cancel()
        try:
            await asyncio.wait(pending, timeout=_ASK_AGAIN_SECONDS)
        except asyncio.CancelledError as error:
            cancelled = error
        pending = {task for task in pending if not task.done()}
    if cancelled is not None:
        raise cancelled


async def until_one_ends(*works: Coroutine[Any, Any, None]) -> None:
    """Do all of it at once until one has ended; then the others are ended, and its error is raised.

    Not a task group: that one cancels each task once, and waits for ever for one that swallows it.
    """
    tasks = [asyncio.create_task(work) for work in works]
    for task in tasks:
        task.add_done_callback(_hear)
    try:
        await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    finally:
        await end_all(tasks)
    errors = [error for each in tasks if not each.cancelled() and (error := each.exception())]
    if errors:
        raise errors[0]


def _hear(task: asyncio.Task[None]) -> None:
    # Of those that fail together, or while the whole is cancelled, none is told by the loop as one
    # that nobody heard of.
    if not task.cancelled():
        task.exception()


@asynccontextmanager
async def repeated(
    work: Callable[[], Awaitable[object]], every_seconds: float, name: str
) -> AsyncIterator[None]:
    """Do ``work`` every few seconds while the context lasts, and once more in the end.

    A round that fails is logged under ``name`` and the next one comes; the last one raises.
    """
    task = asyncio.create_task(_repeat(work, every_seconds, name), name=name)
    try:
        yield
    finally:
        await end_all([task])
        await work()


async def _repeat(work: Callable[[], Awaitable[object]], every_seconds: float, name: str) -> None:
    while True:
        await asyncio.sleep(every_seconds)
        try:
            await work()
        except Exception:
            _log.exception("round_failed", extra={"work": name})
