"""Changing a document that others may change at the same moment, without a lock."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TypeVar

from server.domain.errors import ConcurrentChange

T = TypeVar("T")


async def change(
    load: Callable[[], Awaitable[T]],
    apply: Callable[[T], T],
    save: Callable[[T], Awaitable[bool]],
    attempts: int = 5,
) -> T:
    """Load, apply a pure function, save if nobody else was faster; otherwise begin again.

    Parameters
    ----------
    load
        Reads the present state, and decides whether the actor may see it at all.
    apply
        Returns the changed state or raises; it is called anew on every fresh state, so rules are
        always checked against what is really overwritten.
    save
        The conditional write of a repository: False when the version has moved on.
    attempts
        How many races may be lost before giving up.

    Returns
    -------
    T
        The state as ``apply`` made it and ``save`` wrote it.

    Raises
    ------
    ConcurrentChange
        If every attempt lost its race.
    """
    for _ in range(attempts):
        changed = apply(await load())
        if await save(changed):
            return changed
    raise ConcurrentChange
