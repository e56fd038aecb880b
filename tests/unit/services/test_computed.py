"""Results that workers compute and that are kept for a while."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import TypeVar

import pytest

from server.services.computed import Computed

T = TypeVar("T")


class Gate:
    """Workers that do their work once they are let."""

    def __init__(self) -> None:
        self.open = asyncio.Event()
        self.count = 0

    async def run(self, work: Callable[[], T]) -> T:
        self.count += 1
        await self.open.wait()
        return work()


async def test_those_who_ask_at_once_share_one_computation():
    workers = Gate()
    kept: Computed[str, int] = Computed(workers, 2)
    asked = [asyncio.create_task(kept.get("a", lambda: 1)) for _ in range(5)]
    gone = asyncio.create_task(kept.get("a", lambda: 1))
    await asyncio.sleep(0)
    gone.cancel()
    workers.open.set()
    assert await asyncio.gather(*asked) == [1] * 5
    assert await kept.get("a", lambda: 2) == 1
    assert workers.count == 1


async def test_what_was_not_asked_for_longest_goes_first():
    workers = Gate()
    workers.open.set()
    kept: Computed[str, str] = Computed(workers, 2)
    for key in ("a", "b", "a", "c"):
        await kept.get(key, key.lower)
    assert workers.count == 3
    assert await kept.get("a", lambda: "again") == "a"
    assert await kept.get("b", lambda: "again") == "again"


async def test_a_failure_is_told_to_all_and_not_kept():
    workers = Gate()
    workers.open.set()
    kept: Computed[str, int] = Computed(workers, 2)

    def fail() -> int:
        raise ValueError("no")

    with pytest.raises(ValueError, match="no"):
        await kept.get("a", fail)
    assert await kept.get("a", lambda: 3) == 3
