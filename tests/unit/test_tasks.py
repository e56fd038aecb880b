"""Tasks end when they are told to, and a small duty outlives a bad round."""

from __future__ import annotations

import asyncio
import gc
import logging
from contextlib import suppress

import pytest

from server.tasks import end_all, repeated, until_one_ends


async def test_a_task_that_swallows_a_cancellation_is_ended_all_the_same() -> None:
    swallowed = 0

    async def stubborn() -> None:
        nonlocal swallowed
        while True:
            try:
                await asyncio.Event().wait()
            except asyncio.CancelledError:
                if swallowed == 2:
                    raise
                swallowed += 1

    task = asyncio.create_task(stubborn())
    await asyncio.sleep(0)
    async with asyncio.timeout(5):
        await end_all([task])
    assert task.cancelled()
    assert swallowed == 2


async def test_who_is_cancelled_while_others_end_goes_when_they_have_ended() -> None:
    is_over = False

    async def stubborn() -> None:
        nonlocal is_over
        for _ in range(2):
            with suppress(asyncio.CancelledError):
                await asyncio.Event().wait()
        is_over = True

    async def wait() -> None:
        await until_one_ends(stubborn(), stubborn())

    task = asyncio.create_task(wait())
    await asyncio.sleep(0)
    async with asyncio.timeout(5):
        await end_all([task])
    assert task.cancelled()
    assert is_over


async def test_what_ends_first_ends_the_others_and_its_error_is_told() -> None:
    is_over = asyncio.Event()

    async def last() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            is_over.set()

    async def fail() -> None:
        await asyncio.sleep(0)
        raise ValueError

    async with asyncio.timeout(5):
        with pytest.raises(ValueError, match=r"^$"):
            await until_one_ends(last(), fail())
    assert is_over.is_set()


async def test_an_error_that_meets_the_end_of_the_whole_is_not_told_by_the_loop(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async def fail() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            raise ValueError

    task = asyncio.create_task(until_one_ends(fail(), fail()))
    await asyncio.sleep(0)
    async with asyncio.timeout(5):
        await end_all([task])
    assert task.cancelled()
    del task
    gc.collect()
    assert caplog.records == []


async def test_ended_and_failed_tasks_do_not_hold_up_the_end() -> None:
    async def fail() -> None:
        raise ValueError

    ended = asyncio.create_task(asyncio.sleep(0))
    failed = asyncio.create_task(fail())
    await asyncio.wait({ended, failed})
    async with asyncio.timeout(5):
        await end_all([ended, failed])
    assert isinstance(failed.exception(), ValueError)


@pytest.mark.logs_errors("round_failed")
async def test_a_round_that_fails_is_logged_and_the_next_one_comes(
    caplog: pytest.LogCaptureFixture,
) -> None:
    rounds = 0
    enough = asyncio.Event()

    async def work() -> None:
        nonlocal rounds
        rounds += 1
        if rounds == 1:
            raise ValueError
        enough.set()

    with caplog.at_level(logging.ERROR):
        async with asyncio.timeout(5), repeated(work, 0.001, "a-duty"):
            await enough.wait()
    assert rounds >= 3, "once more in the end"
    assert [record.message for record in caplog.records] == ["round_failed"]


async def test_the_last_round_is_made_though_the_time_has_not_come() -> None:
    rounds: list[int] = []

    async def work() -> None:
        rounds.append(1)

    async with repeated(work, 3600, "a-duty"):
        assert not rounds
    assert rounds == [1]
