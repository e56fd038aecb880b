"""What the load client's members share: when they speak."""

from __future__ import annotations

import asyncio
import time

import pytest

from bench.realtime.members import by_the_clock


async def test_whoever_speaks_by_the_clock_is_on_time_and_leaves_the_processor_to_others(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    sleep, waits, dues = asyncio.sleep, list[float](), list[float]()

    async def noted(seconds: float) -> None:
        waits.append(seconds)
        await sleep(seconds)

    monkeypatch.setattr(asyncio, "sleep", noted)
    began = time.perf_counter()
    await by_the_clock(5_000, 0.2, dues.append)
    assert len(dues) == 1_000
    assert dues == sorted(dues)
    assert 0 <= dues[0] - began < 0.1
    assert dues[-1] - dues[0] == pytest.approx(999 / 5_000)
    # A shorter wait is none: the loop would only turn.
    assert min(waits) >= 0.001
