"""The days of festivals that the server proposes pujas for."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from datetime import date
from typing import Any

import pytest

from server.domain.errors import Overloaded
from server.domain.recommendation import FestivalPuja
from server.paths import data_path
from server.services.festivals import FestivalDays
from server.store.festival_files import load_festival_pujas

TEEJ = FestivalPuja(festival="teej", puja_id="teej-puja")


class CountingWorkers:
    """Does the work in a thread and counts it."""

    def __init__(self) -> None:
        self.count = 0

    async def run(self, work: Callable[[], Any]) -> Any:
        self.count += 1
        return await asyncio.to_thread(work)


class FullAtFirst(CountingWorkers):
    """Has no room for the first piece of work."""

    async def run(self, work: Callable[[], Any]) -> Any:
        if not self.count:
            self.count = 1
            raise Overloaded
        return await super().run(work)


async def test_days_are_in_order_and_in_both_languages():
    pujas = load_festival_pujas(data_path("config") / "festivals.toml")
    calendar = FestivalDays(pujas, CountingWorkers())
    days = await calendar.between(date(2026, 1, 1), date(2028, 12, 31))
    assert {each.day.year for each in days} == {2026, 2027, 2028}
    assert list(days) == sorted(days, key=lambda each: each.day)
    assert all(any("\u0900" <= char <= "\u097f" for char in each.name_ne) for each in days)
    assert {each.puja_id for each in days} == calendar.pujas


async def test_both_ends_are_included_and_years_are_crossed():
    calendar = FestivalDays(
        [TEEJ, FestivalPuja(festival="yomari_punhi", puja_id="satyanarayan-puja")],
        CountingWorkers(),
    )
    days = await calendar.between(date(2025, 12, 4), date(2026, 9, 14))
    assert [(each.day, each.puja_id) for each in days] == [
        (date(2025, 12, 4), "satyanarayan-puja"),
        (date(2026, 9, 14), "teej-puja"),
    ]


async def test_a_festival_may_be_for_two_pujas():
    calendar = FestivalDays(
        [TEEJ, FestivalPuja(festival="teej", puja_id="rudri-puja")], CountingWorkers()
    )
    days = await calendar.between(date(2025, 8, 26), date(2025, 8, 26))
    assert [each.puja_id for each in days] == ["rudri-puja", "teej-puja"]


async def test_a_year_is_computed_once_however_many_ask():
    workers = CountingWorkers()
    calendar = FestivalDays([TEEJ], workers)
    asked = [calendar.between(date(2025, 1, 1), date(2025, 12, 31)) for _ in range(5)]
    answers = await asyncio.gather(*asked)
    assert all(answer == answers[0] for answer in answers)
    await calendar.between(date(2025, 3, 1), date(2025, 4, 1))
    assert workers.count == 1


async def test_years_that_the_calendar_does_not_reach_have_none():
    calendar = FestivalDays([TEEJ], CountingWorkers())
    assert await calendar.between(date(1900, 1, 1), date(1949, 12, 31)) == []
    assert await calendar.between(date(2101, 1, 1), date(2101, 12, 31)) == []
    assert len(await calendar.between(date(2100, 1, 1), date(2101, 12, 31))) == 1


async def test_a_year_that_could_not_be_computed_is_tried_again():
    calendar = FestivalDays([TEEJ], FullAtFirst())
    with pytest.raises(Overloaded):
        await calendar.between(date(2025, 1, 1), date(2025, 12, 31))
    assert len(await calendar.between(date(2025, 1, 1), date(2025, 12, 31))) == 1


def test_a_festival_that_the_calendar_does_not_know_is_refused():
    with pytest.raises(ValueError, match="no such festivals: easter"):
        FestivalDays([FestivalPuja(festival="easter", puja_id="teej-puja")], CountingWorkers())


@pytest.mark.parametrize(
    "content",
    ["[[puja_at", "[[puja_at]]\nfestival = 'teej'\n", "[[puja_at]]\nfestival = 1\npuja = 'a'\n"],
)
def test_a_file_that_is_no_such_table_is_refused_by_its_name(tmp_path, content):
    path = tmp_path / "festivals.toml"
    path.write_text(content)
    with pytest.raises(ValueError, match=r"festivals\.toml"):
        load_festival_pujas(path)
