"""What the platform's figures cost: who counts, who waits for it, and how long it is told again."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from datetime import date, timedelta
from typing import Any

import pytest

from server.domain.account import Actor, Role
from server.domain.analytics import Moved, Period, Placed, Step, Tried
from server.domain.booking import BookingStatus, PaymentMethod
from server.domain.errors import Forbidden, StoreUnavailable
from server.services.analytics import AnalyticsService, Choice
from server.workers import Threads
from tests.support import FakeClock

ADMIN = Actor(user_id="admin", role=Role.ADMIN, session_id="", full_name="Admin Thapa")
CACHE_SECONDS = 30.0
QUARTER = Choice(first=date(2026, 9, 10), last=date(2026, 11, 22))


class Counting:
    """Figures that can be counted on: one booking a month; it keeps which months were asked for."""

    def __init__(self) -> None:
        self.asked: list[Period] = []
        self.is_away = False
        self.began = asyncio.Event()
        self.gate = asyncio.Event()
        self.gate.set()

    async def placed(self, period: Period) -> tuple[Placed, ...]:
        self.asked.append(period)
        self.began.set()
        await self.gate.wait()
        if self.is_away:
            raise StoreUnavailable
        return (
            Placed(
                day=period.first,
                status=BookingStatus.COMPLETED,
                is_offered=True,
                is_accepted=True,
                is_paid=True,
                puja_id="pasni",
                service_name="Pasni",
                city="Kathmandu",
                count=1,
                value=250_000,
            ),
        )

    async def moved(self, period: Period) -> tuple[Moved, ...]:
        return (
            Moved(
                day=period.first,
                account="commission",
                kind="earning",
                currency="NPR",
                amount=-25_000,
            ),
        )

    async def tried(self, period: Period) -> tuple[Tried, ...]:
        return (Tried(method=PaymentMethod.CASH, succeeded=1, amount=250_000),)


class NoVisits:
    async def add(self, day: date, counts: Any) -> None:
        raise AssertionError

    async def total(self, first: date, last: date) -> dict[Step, int] | None:
        return None


class EmptyCatalogue:
    async def list_pujas(self) -> tuple[Any, ...]:
        return ()


@pytest.fixture
def figures() -> Counting:
    return Counting()


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
async def service(figures: Counting, clock: FakeClock) -> AsyncIterator[AnalyticsService]:
    workers = Threads("test", threads=1, queue=10)
    yield AnalyticsService(
        figures=figures,  # type: ignore[arg-type]  # as much of it as administrators ask for
        visits=NoVisits(),
        pandits=None,  # type: ignore[arg-type]  # nobody asks for pandits
        catalogue=EmptyCatalogue(),  # type: ignore[arg-type]  # only its list of pujas
        workers=workers,
        clock=clock,
        cache_seconds=CACHE_SECONDS,
    )
    workers.close()


async def test_a_period_is_counted_month_by_month_and_told_together(
    service: AnalyticsService, figures: Counting
) -> None:
    found = await service.of_platform(ADMIN, QUARTER)
    assert [(part.first, part.last) for part in figures.asked] == [
        (date(2026, 9, 10), date(2026, 9, 30)),
        (date(2026, 10, 1), date(2026, 10, 31)),
        (date(2026, 11, 1), date(2026, 11, 22)),
    ]
    assert (found.placed, found.value) == (3, 750_000)
    assert (found.income.commission, found.income.revenue) == (75_000, 75_000)
    (cash,) = found.methods
    assert (cash.succeeded, cash.amount) == (3, 750_000)
    (puja,) = found.pujas
    assert (puja.key, puja.name, puja.bookings, puja.completed) == ("pasni", "Pasni", 3, 3)
    assert len(found.days) == 74
    assert found.funnel.searched is None


async def test_figures_are_told_again_for_a_while_and_old_months_for_longer(
    service: AnalyticsService, figures: Counting, clock: FakeClock
) -> None:
    await service.of_platform(ADMIN, QUARTER)
    counted_at = clock.now()
    clock.advance(seconds=CACHE_SECONDS - 1)
    again = await service.of_platform(ADMIN, QUARTER)
    assert len(figures.asked) == 3
    assert again.counted_at == counted_at
    clock.advance(seconds=2)
    figures.asked.clear()
    await service.of_platform(ADMIN, QUARTER)
    assert [part.first.month for part in figures.asked] == [10, 11], "September is long over"
    clock.advance(seconds=20 * CACHE_SECONDS)
    figures.asked.clear()
    await service.of_platform(ADMIN, QUARTER)
    assert len(figures.asked) == 3


async def test_those_who_ask_at_once_wait_for_one_count(
    service: AnalyticsService, figures: Counting
) -> None:
    figures.gate.clear()
    asking = [asyncio.create_task(service.of_platform(ADMIN, QUARTER)) for _ in range(5)]
    await figures.began.wait()
    asking[0].cancel()
    figures.gate.set()
    answers = await asyncio.gather(*asking[1:])
    assert len(figures.asked) == 3
    assert {answer.placed for answer in answers} == {3}


async def test_a_count_that_failed_is_not_kept(
    service: AnalyticsService, figures: Counting
) -> None:
    figures.is_away = True
    with pytest.raises(StoreUnavailable):
        await service.of_platform(ADMIN, QUARTER)
    figures.is_away = False
    assert (await service.of_platform(ADMIN, QUARTER)).placed == 3


async def test_what_is_kept_is_bounded(service: AnalyticsService, figures: Counting) -> None:
    for number in range(100):
        day = date(2026, 1, 1) + timedelta(days=number)
        await service.of_platform(ADMIN, Choice(first=day, last=day))
    assert len(service._kept) == 60
    assert service._counting == {}


async def test_only_administrators_see_the_platform(service: AnalyticsService) -> None:
    for role in (Role.USER, Role.PANDIT):
        with pytest.raises(Forbidden):
            await service.of_platform(
                Actor(user_id="x", role=role, session_id="", full_name=""), QUARTER
            )
