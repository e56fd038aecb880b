"""One row that always fails does not hold up those behind it."""

from __future__ import annotations

import logging

import pytest

from server.domain.errors import ConcurrentChange, StoreUnavailable
from server.services.batches import each_of


@pytest.mark.logs_errors("row_failed")
async def test_the_rest_is_done_and_what_was_not_expected_is_logged(
    caplog: pytest.LogCaptureFixture,
) -> None:
    done: list[str] = []

    async def work(row: str) -> None:
        if row == "settled":
            raise ConcurrentChange
        if row == "broken":
            raise KeyError(row)
        done.append(row)

    with caplog.at_level(logging.ERROR):
        await each_of(
            ["settled", "broken", "good"], work, expected=(ConcurrentChange,), what="duty"
        )
    assert done == ["good"]
    (record,) = caplog.records
    assert (record.message, record.__dict__["id"]) == ("row_failed", "broken")


async def test_without_a_database_the_round_ends() -> None:
    tried: list[str] = []

    async def work(row: str) -> None:
        tried.append(row)
        raise StoreUnavailable

    with pytest.raises(StoreUnavailable):
        await each_of(["first", "second"], work, expected=(), what="duty")
    assert tried == ["first"]
