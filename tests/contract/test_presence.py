"""One suite over both presence boards, then what only several processes can show."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import pytest
from redis.asyncio import Redis

from server.bus.presence import MemoryPresence, RedisPresence
from server.loopback import free_port
from tests.redis_process import (
    PROGRAM,
    RedisClusterProcesses,
    RedisProcess,
    cluster_fault,
)

needs_redis = pytest.mark.skipif(PROGRAM is None, reason="redis-server is not installed")
# Ten questions, of which the first waits a second; ten waits would take ten.
ONE_WAIT = 6.0
Board = MemoryPresence | RedisPresence


@pytest.fixture(params=["memory", pytest.param("redis", marks=needs_redis)])
async def board(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Board]:
    if request.param == "memory":
        yield MemoryPresence()
        return
    process = RedisProcess(tmp_path)
    await process.start()
    async with RedisPresence.open(process.url) as opened:
        await until(lambda: written(opened))
        yield opened
    await process.kill()


async def until(is_so: Callable[[], Awaitable[bool]], seconds: float = 30.0) -> None:
    """Wait for what nobody announces."""
    async with asyncio.timeout(seconds):
        while not await is_so():  # noqa: ASYNC110  # there is nothing to wait on
            await asyncio.sleep(0.01)


async def written(board: RedisPresence) -> bool:
    return await board.is_elsewhere("nobody") is False


async def test_who_has_arrived_is_somewhere_until_he_departs(board: Board) -> None:
    board.arrive("sita")
    board.arrive("ram")
    board.arrive("sita")
    assert await board.whereabouts(["sita", "hari", "ram"]) == {
        "sita": True,
        "hari": False,
        "ram": True,
    }
    board.depart("sita")
    board.depart("sita")
    board.depart("never here")
    assert await board.whereabouts(["sita", "ram"]) == {"sita": False, "ram": True}


async def test_who_is_here_alone_is_not_elsewhere(board: Board) -> None:
    board.arrive("sita")
    assert await board.is_elsewhere("sita") is False


async def test_nobody_is_asked_for(board: Board) -> None:
    assert await board.whereabouts([]) == {}


# -- several processes
# ------------------------------------------------------------------------------


async def test_the_others_know_who_is_here(redis: RedisProcess) -> None:
    async with RedisPresence.open(redis.url) as one, RedisPresence.open(redis.url) as two:
        await until(lambda: written(one))
        await until(lambda: written(two))
        one.arrive("sita")
        await until(lambda: elsewhere(two, "sita"))
        two.arrive("sita")
        await until(lambda: elsewhere(one, "sita"))
        one.depart("sita")
        assert await one.whereabouts(["sita"]) == {"sita": True}
        await until(lambda: not_elsewhere(two, "sita"))


async def elsewhere(board: RedisPresence, user_id: str) -> bool:
    return await board.is_elsewhere(user_id) is True


async def not_elsewhere(board: RedisPresence, user_id: str) -> bool:
    return await board.is_elsewhere(user_id) is False


async def test_many_arrive_at_once_in_few_writes(redis: RedisProcess) -> None:
    names = [f"user-{number}" for number in range(5000)]
    async with RedisPresence.open(redis.url) as one, RedisPresence.open(redis.url) as two:
        await until(lambda: written(one))
        await until(lambda: written(two))
        async with Redis.from_url(redis.url) as client:
            before = (await client.info("commandstats"))["cmdstat_zadd"]["calls"]
            for name in names:
                one.arrive(name)
            await until(lambda: elsewhere(two, names[-1]))
            stats = await client.info("commandstats")
        assert stats["cmdstat_zadd"]["calls"] - before <= 4
        assert set((await two.whereabouts(names)).values()) == {True}


async def test_a_clean_end_takes_its_users_along(redis: RedisProcess) -> None:
    async with RedisPresence.open(redis.url) as two:
        async with RedisPresence.open(redis.url) as one:
            one.arrive("sita")
            await until(lambda: elsewhere(two, "sita"))
        assert await two.is_elsewhere("sita") is False
        async with Redis.from_url(redis.url) as client:
            assert await client.keys("*users*") == []


async def test_a_killed_process_fades(redis: RedisProcess) -> None:
    # Refreshed too seldom to live: what Redis has of it is what a killed process leaves.
    async with (
        RedisPresence.open(redis.url) as two,
        RedisPresence.open(redis.url, life_seconds=1.0, refresh_seconds=60) as one,
    ):
        one.arrive("sita")
        await until(lambda: elsewhere(two, "sita"))
        await until(lambda: not_elsewhere(two, "sita"))


async def test_a_living_process_does_not_fade(redis: RedisProcess) -> None:
    async with (
        RedisPresence.open(redis.url) as two,
        RedisPresence.open(redis.url, life_seconds=5.0, refresh_seconds=0.5) as one,
    ):
        one.arrive("sita")
        await until(lambda: elsewhere(two, "sita"))
        end = time.monotonic() + 7.0
        while time.monotonic() < end:
            assert await two.is_elsewhere("sita") is True
            await asyncio.sleep(0.05)


async def test_a_redis_that_has_forgotten_everything_is_told_again(redis: RedisProcess) -> None:
    async with RedisPresence.open(redis.url) as one, RedisPresence.open(redis.url) as two:
        one.arrive("sita")
        await until(lambda: elsewhere(two, "sita"))
        async with Redis.from_url(redis.url) as client:
            await client.flushall()
        # Nobody says no before everybody has been heard: it was forgotten, not seen to be false.
        assert await two.is_elsewhere("sita") is None
        one.refresh()
        two.refresh()
        await until(lambda: elsewhere(two, "sita"))


@pytest.mark.usefixtures("impatience")
async def test_without_redis_the_others_are_unknown_and_the_log_stays_short(
    redis: RedisProcess, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "server.bus.presence")
    async with RedisPresence.open(redis.url) as one:
        one.arrive("sita")
        await until(lambda: written(one))
        await redis.kill()
        began = time.monotonic()
        for _ in range(10):
            assert await one.whereabouts(["sita", "ram"]) == {"sita": True, "ram": None}
            assert await one.is_elsewhere("sita") is None
        assert time.monotonic() - began < ONE_WAIT
        assert [record.message for record in caplog.records] == ["presence_store_away"]
        await redis.start()
        one.refresh()
        await until(lambda: written(one))
        assert await one.whereabouts(["sita", "ram"]) == {"sita": True, "ram": False}


@pytest.mark.usefixtures("impatience")
async def test_a_silent_redis_holds_nobody_up_for_long(redis: RedisProcess) -> None:
    async with RedisPresence.open(redis.url) as one:
        await until(lambda: written(one))
        redis.freeze()
        began = time.monotonic()
        for _ in range(10):
            assert await one.whereabouts(["ram"]) == {"ram": None}
        assert time.monotonic() - began < ONE_WAIT
        redis.thaw()


@pytest.mark.parametrize("scheme", ["redis", "redis+cluster"])
@pytest.mark.usefixtures("impatience")
async def test_a_board_may_open_before_redis(scheme: str) -> None:
    async with RedisPresence.open(f"{scheme}://127.0.0.1:{free_port()}/0") as board:
        board.arrive("sita")
        assert await board.whereabouts(["sita", "ram"]) == {"sita": True, "ram": None}


async def test_a_cluster_keeps_the_board_too(tmp_path: Path) -> None:
    if fault := cluster_fault():
        pytest.skip(fault)
    cluster = RedisClusterProcesses(tmp_path, 2)
    try:
        await cluster.start()
        async with RedisPresence.open(cluster.url) as one, RedisPresence.open(cluster.url) as two:
            one.arrive("sita")
            await until(lambda: elsewhere(two, "sita"))
            one.depart("sita")
            await until(lambda: not_elsewhere(two, "sita"))
    finally:
        await cluster.kill()
