"""Leases: in memory and in a real Redis, and what the scheduler does with them."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from server.bus.leases import MemoryLeases, RedisLeases
from server.jobs.scheduler import Duty, Scheduler
from server.loopback import free_port
from server.metrics import Metrics
from tests.redis_process import (
    PROGRAM,
    RedisClusterProcesses,
    RedisProcess,
    cluster_fault,
)

needs_redis = pytest.mark.skipif(PROGRAM is None, reason="redis-server is not installed")
# Ten asks, of which the first waits a second; ten waits would take ten.
ONE_WAIT = 6.0


class Lasting:
    """The leases of a process, which last until they are given back."""

    def __init__(self, leases: RedisLeases) -> None:
        self._leases = leases

    async def hold(self, name: str, seconds: float) -> bool:
        return await self._leases.hold(name, seconds + 600)


@pytest.fixture(params=["memory", pytest.param("redis", marks=needs_redis)])
async def leases(
    request: pytest.FixtureRequest, tmp_path: Path
) -> AsyncIterator[MemoryLeases | RedisLeases]:
    if request.param == "memory":
        yield MemoryLeases()
        return
    process = RedisProcess(tmp_path)
    await process.start()
    async with RedisLeases.open(process.url) as opened:
        yield opened
    await process.kill()


async def test_a_holder_holds_on(leases: MemoryLeases | RedisLeases) -> None:
    for _ in range(3):
        assert await leases.hold("relay", 30.0)
    assert await leases.hold("another", 30.0)


async def test_one_process_holds_at_a_time_and_gives_back_in_the_end(redis: RedisProcess) -> None:
    async with RedisLeases.open(redis.url) as two:
        async with RedisLeases.open(redis.url) as one:
            assert await one.hold("relay", 30.0)
            assert not await two.hold("relay", 30.0)
            assert await two.hold("another", 30.0)
            assert not await one.hold("another", 30.0)
            assert await one.hold("relay", 30.0)
        assert await two.hold("relay", 30.0)
        assert await two.hold("another", 30.0)


async def test_a_race_has_one_winner(redis: RedisProcess) -> None:
    async with RedisLeases.open(redis.url) as one, RedisLeases.open(redis.url) as two:
        for number in range(30):
            won = await asyncio.gather(*(each.hold(f"race-{number}", 30.0) for each in (one, two)))
            assert sorted(won) == [False, True]


async def test_a_lease_that_is_not_prolonged_is_free_again(redis: RedisProcess) -> None:
    async with RedisLeases.open(redis.url) as one, RedisLeases.open(redis.url) as two:
        began = time.monotonic()
        assert await one.hold("relay", 1.0)
        async with asyncio.timeout(20):
            while not await two.hold("relay", 30.0):  # noqa: ASYNC110  # Redis announces nothing
                await asyncio.sleep(0.02)
        assert time.monotonic() - began > 0.9
        assert not await one.hold("relay", 1.0)


@pytest.mark.parametrize("scheme", ["redis", "redis+cluster"])
@pytest.mark.usefixtures("impatience")
async def test_without_redis_everybody_holds_everything_at_once(scheme: str) -> None:
    async with RedisLeases.open(f"{scheme}://127.0.0.1:{free_port()}/0") as leases:
        began = time.monotonic()
        for _ in range(10):
            assert await leases.hold("relay", 30.0)
        assert time.monotonic() - began < ONE_WAIT


@pytest.mark.usefixtures("impatience")
async def test_a_silent_redis_holds_nobody_up_for_long(redis: RedisProcess) -> None:
    async with RedisLeases.open(redis.url) as leases:
        redis.freeze()
        began = time.monotonic()
        for _ in range(10):
            assert await leases.hold("relay", 30.0)
        assert time.monotonic() - began < ONE_WAIT
        redis.thaw()


async def test_a_cluster_keeps_leases_too(tmp_path: Path) -> None:
    if fault := cluster_fault():
        pytest.skip(fault)
    cluster = RedisClusterProcesses(tmp_path, 2)
    try:
        await cluster.start()
        async with RedisLeases.open(cluster.url) as one, RedisLeases.open(cluster.url) as two:
            for name in ("a", "b", "c", "d"):
                assert await one.hold(name, 30.0)
                assert not await two.hold(name, 30.0)
    finally:
        await cluster.kill()


async def test_of_two_schedulers_one_works_and_the_other_takes_over(redis: RedisProcess) -> None:
    runs: list[str] = []
    ran = asyncio.Event()

    def duty(who: str) -> Duty:
        async def run() -> int:
            runs.append(who)
            ran.set()
            return 1

        return Duty("relay", 0.05, run)

    async def wait_for_runs(count: int) -> None:
        async with asyncio.timeout(30):
            while len(runs) < count:
                ran.clear()
                await ran.wait()

    async with RedisLeases.open(redis.url) as two:
        second = Scheduler([duty("two")], Metrics(), Lasting(two))
        async with RedisLeases.open(redis.url) as one:
            first = Scheduler([duty("one")], Metrics(), Lasting(one))
            async with first.running():
                await wait_for_runs(3)
                async with second.running():
                    await wait_for_runs(12)
                    assert set(runs) == {"one"}
        async with second.running():
            count = len(runs)
            await wait_for_runs(count + 3)
            assert set(runs[count:]) == {"two"}
