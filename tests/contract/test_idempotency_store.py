"""Answers remembered by idempotency key, on the real database."""

from __future__ import annotations

import asyncio

import pytest

from server.domain.errors import KeyReused, RequestInProgress
from server.domain.ports.processes import StoredAnswer
from server.store.client import Store
from server.store.idempotency import MongoIdempotencyStore
from tests.support import FakeClock

SCOPE = "u1|POST|/api/bookings|key-number-1"
ANSWER = StoredAnswer(201, b'{"id":"b1"}')


@pytest.fixture
def answers(store: Store, clock: FakeClock) -> MongoIdempotencyStore:
    return MongoIdempotencyStore(store, clock)


async def test_repeat_gets_the_first_answer(answers: MongoIdempotencyStore):
    assert await answers.begin(SCOPE, "hash") is None
    await answers.finish(SCOPE, ANSWER)
    assert await answers.begin(SCOPE, "hash") == ANSWER
    assert await answers.begin(SCOPE.replace("u1", "u2"), "hash") is None


async def test_same_key_with_another_body_is_refused(answers: MongoIdempotencyStore):
    await answers.begin(SCOPE, "hash")
    with pytest.raises(KeyReused):
        await answers.begin(SCOPE, "other")
    await answers.finish(SCOPE, ANSWER)
    with pytest.raises(KeyReused):
        await answers.begin(SCOPE, "other")


async def test_one_of_racing_requests_runs(answers: MongoIdempotencyStore):
    outcomes = await asyncio.gather(
        *(answers.begin(SCOPE, "hash") for _ in range(10)), return_exceptions=True
    )
    assert outcomes.count(None) == 1
    assert sum(isinstance(each, RequestInProgress) for each in outcomes) == 9


async def test_abandoned_key_is_free_again(answers: MongoIdempotencyStore):
    await answers.begin(SCOPE, "hash")
    await answers.abandon(SCOPE)
    assert await answers.begin(SCOPE, "other") is None


async def test_finished_answer_is_not_abandoned(answers: MongoIdempotencyStore):
    await answers.begin(SCOPE, "hash")
    await answers.finish(SCOPE, ANSWER)
    await answers.abandon(SCOPE)
    assert await answers.begin(SCOPE, "hash") == ANSWER


async def test_crashed_request_is_taken_over_by_one_after_a_minute(
    answers: MongoIdempotencyStore, clock: FakeClock
):
    await answers.begin(SCOPE, "hash")
    clock.advance(seconds=59)
    with pytest.raises(RequestInProgress):
        await answers.begin(SCOPE, "hash")
    clock.advance(seconds=2)
    outcomes = await asyncio.gather(
        *(answers.begin(SCOPE, "hash") for _ in range(5)), return_exceptions=True
    )
    assert outcomes.count(None) == 1
    assert sum(isinstance(each, RequestInProgress) for each in outcomes) == 4


async def test_answer_is_forgotten_after_a_day(answers: MongoIdempotencyStore, clock: FakeClock):
    await answers.begin(SCOPE, "hash")
    await answers.finish(SCOPE, ANSWER)
    clock.advance(hours=24, seconds=1)
    assert await answers.begin(SCOPE, "other") is None
    with pytest.raises(RequestInProgress):
        await answers.begin(SCOPE, "other")
