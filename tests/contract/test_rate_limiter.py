"""Door limits: in memory, in a real Redis where there is one, and while Redis is away."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from server.bus import ratelimit
from server.bus.ratelimit import DoorLimiter
from server.domain.errors import RateLimited
from server.loopback import free_port
from server.settings import LimitSettings
from tests.redis_process import (
    PROGRAM,
    RedisClusterProcesses,
    RedisProcess,
    cluster_fault,
)

pytestmark = pytest.mark.usefixtures("steady_limits")
needs_redis = pytest.mark.skipif(PROGRAM is None, reason="redis-server is not installed")
# Ten uses, of which the first waits a second for Redis; ten waits would take ten.
ONE_WAIT = 6.0
LIMITS = LimitSettings(sign_in="9/hour", register="1/hour")


@asynccontextmanager
async def limiting(url: str = "") -> AsyncIterator[DoorLimiter]:
    limiter = DoorLimiter(LIMITS, url)
    yield limiter
    await limiter.close()


@pytest.fixture(params=["memory", pytest.param("redis", marks=needs_redis)])
async def limiter(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[DoorLimiter]:
    if request.param == "memory":
        async with limiting() as opened:
            yield opened
        return
    process = RedisProcess(tmp_path)
    await process.start()
    async with limiting(process.url) as opened:
        yield opened
    await process.kill()


async def test_door_closes_after_so_many_uses(limiter: DoorLimiter):
    for _ in range(9):
        await limiter.hit("sign_in", "somebody")
    with pytest.raises(RateLimited) as refusal:
        await limiter.hit("sign_in", "somebody")
    # A window lasts an hour at most: it begins with the clock's hour, in Redis with the first use.
    assert 1 <= refusal.value.retry_after_seconds <= 3600


async def test_looking_counts_nothing(limiter: DoorLimiter):
    for _ in range(20):
        await limiter.check("sign_in", "somebody")
    for _ in range(9):
        await limiter.hit("sign_in", "somebody")
    for _ in range(2):
        with pytest.raises(RateLimited) as refusal:
            await limiter.check("sign_in", "somebody")
        assert 1 <= refusal.value.retry_after_seconds <= 3600
    await limiter.check("sign_in", "somebody else")


async def test_doors_and_people_are_counted_apart(limiter: DoorLimiter):
    await limiter.hit("register", "somebody")
    with pytest.raises(RateLimited):
        await limiter.hit("register", "somebody")
    await limiter.hit("register", "another")
    await limiter.hit("sign_in", "somebody")


async def test_racing_uses_are_counted(limiter: DoorLimiter):
    outcomes = await asyncio.gather(
        *(limiter.hit("sign_in", "somebody") for _ in range(16)), return_exceptions=True
    )
    assert outcomes.count(None) == 9
    assert sum(isinstance(each, RateLimited) for each in outcomes) == 7


async def test_unknown_door_is_a_bug(limiter: DoorLimiter):
    with pytest.raises(KeyError):
        await limiter.hit("no-such-door", "somebody")


async def test_unreadable_limit_stops_the_start():
    with pytest.raises(ValueError, match="often"):
        DoorLimiter(LimitSettings(sign_in="often"))


async def test_processes_count_together(redis: RedisProcess):
    async with limiting(redis.url) as one, limiting(redis.url) as two:
        await one.hit("register", "somebody")
        with pytest.raises(RateLimited):
            await two.hit("register", "somebody")


@pytest.mark.usefixtures("impatience")
async def test_without_redis_each_process_counts_for_itself():
    async with limiting(f"redis://127.0.0.1:{free_port()}/0") as limiter:
        began = time.monotonic()
        for _ in range(9):
            await limiter.hit("sign_in", "somebody")
        with pytest.raises(RateLimited):
            await limiter.hit("sign_in", "somebody")
        assert time.monotonic() - began < ONE_WAIT


@pytest.mark.usefixtures("impatience")
async def test_silent_redis_holds_nobody_up_for_long(redis: RedisProcess):
    async with limiting(redis.url) as limiter:
        await limiter.hit("sign_in", "somebody else")
        redis.freeze()
        began = time.monotonic()
        for _ in range(9):
            await limiter.hit("sign_in", "somebody")
        with pytest.raises(RateLimited):
            await limiter.hit("sign_in", "somebody")
        # Not asked for a while.
        assert time.monotonic() - began < ONE_WAIT
        redis.thaw()


async def test_processes_count_together_in_a_cluster(tmp_path: Path):
    if fault := cluster_fault():
        pytest.skip(fault)
    cluster = RedisClusterProcesses(tmp_path, 2)
    try:
        await cluster.start()
        async with limiting(cluster.url) as one, limiting(cluster.url) as two:
            for who in ("a", "b", "c", "d"):
                await one.hit("register", who)
                with pytest.raises(RateLimited):
                    await two.hit("register", who)
    finally:
        await cluster.kill()


async def test_what_is_asked_too_long_is_not_cut_off(monkeypatch: pytest.MonkeyPatch):
    ended = []

    async def asked(*_: object) -> None:
        try:
            await asyncio.sleep(0.2)
        except asyncio.CancelledError:
            ended.append("cut off")
            raise
        ended.append("by itself")
        raise ConnectionError

    async with limiting(f"redis://127.0.0.1:{free_port()}/0") as limiter:
        monkeypatch.setattr(ratelimit, "_ANSWER_SECONDS", 0.01)
        monkeypatch.setattr(limiter._shared, "hit", asked)
        await limiter.hit("register", "somebody")
        assert not ended
        with pytest.raises(RateLimited):
            await limiter.hit("register", "somebody")
    assert ended == ["by itself"]


@pytest.mark.usefixtures("impatience")
async def test_without_its_cluster_each_process_counts_for_itself():
    async with limiting(f"redis+cluster://127.0.0.1:{free_port()}/0") as limiter:
        began = time.monotonic()
        await limiter.hit("register", "somebody")
        with pytest.raises(RateLimited):
            await limiter.hit("register", "somebody")
        assert time.monotonic() - began < ONE_WAIT
