"""Figures for customers, pandits and administrators: which days, by which months, from what.

Nothing is kept in step with what happens: every figure is counted anew from what is stored, over
a bounded time, by indexes (ADR 16). What administrators see is counted month by month and kept for
some seconds, so that those who look at the same days have them counted once; of months that are
long over for some minutes.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date, datetime, timedelta
from typing import Final

from kundali.bikram_sambat import BSDate, OutsideCalendar, month_lengths, to_ad, to_bs
from server.domain.account import NEPAL, Actor
from server.domain.analytics import (
    MAX_DAYS,
    CustomerFigures,
    DayFigures,
    EarnedIn,
    Funnel,
    Income,
    Month,
    MonthCalendar,
    Moved,
    PanditFigures,
    Period,
    Placed,
    PlatformFigures,
    Ranked,
    RatedIn,
    SpentIn,
    SpentOn,
    Step,
    Tried,
    answers_of,
    days_together,
    held_of,
    income_of,
    ranked,
    tried_together,
)
from server.domain.booking import BookingStatus
from server.domain.calendar import local_today
from server.domain.catalogue import Puja
from server.domain.errors import FieldFault, Forbidden, Invalid
from server.domain.ports.analytics import AnalyticsRepository, VisitRepository
from server.domain.ports.catalogue import CatalogueRepository
from server.domain.ports.pandits import PanditRepository
from server.domain.ports.world import Clock, Workers

_TOP: Final = 10
_KEPT: Final = 60
_SETTLED: Final = timedelta(days=45)
_LONGER: Final = 20
_DEFAULT_DAYS: Final = 30
_DEFAULT_MONTHS: Final = 12
_MONTHS_OF_YEAR: Final = 12


@dataclass(frozen=True, slots=True, kw_only=True)
class Choice:
    """Which days somebody asks for: a month of either calendar, or from a day to a day."""

    first: date | None = None
    last: date | None = None
    month: str | None = None
    month_bs: str | None = None
    calendar: MonthCalendar | None = None

    @property
    def by(self) -> MonthCalendar:
        """By which months the figures are told."""
        if self.calendar is not None:
            return self.calendar
        return MonthCalendar.BS if self.month_bs else MonthCalendar.AD


@dataclass(frozen=True, slots=True)
class _Counted:
    """What was counted of some days, and when."""

    at: datetime
    placed: tuple[Placed, ...]
    moved: tuple[Moved, ...]
    tried: tuple[Tried, ...]


class AnalyticsService:
    """The figures of one's own, and the platform's for administrators."""

    def __init__(
        self,
        *,
        figures: AnalyticsRepository,
        visits: VisitRepository,
        pandits: PanditRepository,
        catalogue: CatalogueRepository,
        workers: Workers,
        clock: Clock,
        cache_seconds: float,
    ) -> None:
        self._figures = figures
        self._visits = visits
        self._pandits = pandits
        self._catalogue = catalogue
        self._workers = workers
        self._clock = clock
        self._cache = timedelta(seconds=cache_seconds)
        self._kept: OrderedDict[Period, _Counted] = OrderedDict()
        self._counting: dict[Period, asyncio.Task[_Counted]] = {}

    @property
    def today(self) -> date:
        """The day in Nepal."""
        return local_today(self._clock.now(), NEPAL)

    def period_of(self, actor: Actor, choice: Choice) -> Period:
        """The days that are asked for; else an admin's last 30, and everybody else's last year.

        Raises ``Invalid`` for days that make no sense, or too many of them.
        """
        if choice.month or choice.month_bs:
            if choice.month and choice.month_bs:
                raise Invalid(FieldFault("month_bs", "one-date"))
            if choice.first or choice.last:
                raise Invalid(FieldFault("from", "one-date"))
            return _ad_month(choice.month) if choice.month else _bs_month(choice.month_bs or "")
        # A period of its own first: nothing is reckoned from a day outside the calendars.
        last = Period(choice.last or self.today, choice.last or self.today).last
        if choice.first is not None:
            return Period(choice.first, last)
        if actor.is_admin:
            return Period(last - timedelta(days=_DEFAULT_DAYS - 1), last)
        return Period(_a_year_back(last, choice.by), last)

    # -- customers -------------------------------------------------------------------------------

    async def of_customer(self, actor: Actor, choice: Choice) -> CustomerFigures:
        """A customer's bookings of the period and what he paid in it."""
        period = self.period_of(actor, choice)
        upcoming, statuses, spent = await asyncio.gather(
            self._figures.upcoming(actor.user_id, self._ahead()),
            self._figures.statuses(actor.user_id, period),
            self._figures.spent(actor.user_id, period),
        )
        names = {puja.id: puja for puja in await self._catalogue.list_pujas()}
        pujas: dict[str, SpentOn] = {}
        for each in spent:
            known = names.get(each.puja_id)
            so_far = pujas.get(each.puja_id) or SpentOn(
                puja_id=each.puja_id,
                name=known.name if known else each.title,
                name_ne=known.name_ne if known else each.title_ne,
                payments=0,
                spent=0,
            )
            pujas[each.puja_id] = replace(
                so_far, payments=so_far.payments + 1, spent=so_far.spent + each.spent
            )
        months = tuple(
            SpentIn(
                month=month,
                payments=len(paid),
                paid=sum(each.paid for each in paid),
                refunded=sum(each.refunded for each in paid),
            )
            for month in months_of(period, choice.by)
            for paid in [[each for each in spent if month.first <= each.paid_on <= month.last]]
        )
        return CustomerFigures(
            period=period,
            upcoming=upcoming,
            statuses=statuses,
            spent=sum(each.spent for each in spent),
            months=months,
            pujas=tuple(sorted(pujas.values(), key=lambda each: (-each.spent, each.name))),
        )

    # -- pandits ---------------------------------------------------------------------------------

    async def of_pandit(self, actor: Actor, choice: Choice) -> PanditFigures:
        """A pandit's answers, what he held and earned in the period, and how he was rated."""
        period = self.period_of(actor, choice)
        profile = await self._pandits.find_by_user(actor.user_id)
        waiting, offers, outcomes, earned = await asyncio.gather(
            self._figures.waiting(actor.user_id, self._ahead()),
            self._figures.offers(actor.user_id, period),
            self._figures.outcomes(actor.user_id, period, self._clock.now()),
            self._figures.earned(actor.user_id, period),
        )
        rated = await self._figures.rated(profile.id, period) if profile else ()
        months = months_of(period, choice.by)
        return PanditFigures(
            period=period,
            waiting=waiting,
            answers=answers_of(offers),
            held=held_of(outcomes),
            earned=sum(each.earned for each in earned),
            paid_out=sum(each.paid_out for each in earned),
            months=tuple(
                EarnedIn(
                    month=month,
                    earned=sum(each.earned for each in days),
                    in_cash=sum(each.in_cash for each in days),
                    paid_out=sum(each.paid_out for each in days),
                )
                for month in months
                for days in [[each for each in earned if month.first <= each.day <= month.last]]
            ),
            ratings=tuple(
                RatedIn(
                    month=month,
                    count=sum(each.count for each in days),
                    stars=sum(each.stars for each in days),
                )
                for month in months
                for days in [[each for each in rated if month.first <= each.day <= month.last]]
            ),
        )

    # -- the platform ----------------------------------------------------------------------------

    async def of_platform(self, actor: Actor, choice: Choice) -> PlatformFigures:
        """Everything about the period, for administrators; at most some seconds old."""
        if not actor.is_admin:
            raise Forbidden
        period = self.period_of(actor, choice)
        # One after the other: whoever books meanwhile is not to wait for whoever counts.
        parts = [await self._counted(part) for part in period.parts()]
        visits = await self._visits.total(period.first, period.last)
        names = {puja.id: puja for puja in await self._catalogue.list_pujas()}
        return await self._workers.run(lambda: _platform(period, choice.by, parts, visits, names))

    async def _counted(self, part: Period) -> _Counted:
        kept = self._kept.get(part)
        if kept is not None and self._clock.now() < kept.at + self._holds(part):
            self._kept.move_to_end(part)
            return kept
        counting = self._counting.get(part)
        if counting is None:
            counting = self._counting[part] = asyncio.create_task(self._count(part))
            counting.add_done_callback(lambda done: self._finished(part, done))
        # Whoever goes away does not take the others' figures with him.
        return await asyncio.shield(counting)

    def _holds(self, part: Period) -> timedelta:
        """How long figures are told again: longer of days about which little changes any more."""
        is_old = part.last < self.today - _SETTLED
        return self._cache * _LONGER if is_old else self._cache

    def _finished(self, part: Period, done: asyncio.Task[_Counted]) -> None:
        self._counting.pop(part, None)
        if done.cancelled() or done.exception() is not None:
            return
        self._kept[part] = done.result()
        self._kept.move_to_end(part)
        while len(self._kept) > _KEPT:
            self._kept.popitem(last=False)

    async def _count(self, part: Period) -> _Counted:
        return _Counted(
            at=self._clock.now(),
            placed=await self._figures.placed(part),
            moved=await self._figures.moved(part),
            tried=await self._figures.tried(part),
        )

    def _ahead(self) -> Period:
        """From yesterday, for what has begun and is not over, as far as anybody books ahead."""
        first = self.today - timedelta(days=1)
        return Period(first, first + timedelta(days=MAX_DAYS - 1))


def months_of(period: Period, calendar: MonthCalendar) -> tuple[Month, ...]:
    """The months of the period in order; the first and the last may lie in it by a part."""
    found: list[Month] = []
    first = period.first
    while first <= period.last:
        year, number, last = _month_at(first, calendar)
        found.append(Month(first, min(last, period.last), year, number))
        first = last + timedelta(days=1)
    return tuple(found)


def _month_at(day: date, calendar: MonthCalendar) -> tuple[int, int, date]:
    """Year and number of the month of a day, and the month's last day."""
    if calendar is MonthCalendar.BS:
        bs = to_bs(day)
        length = month_lengths(bs.year)[bs.month - 1]
        return bs.year, bs.month, day + timedelta(days=length - bs.day)
    return day.year, day.month, _next_month(day) - timedelta(days=1)


def _next_month(day: date) -> date:
    year, month = divmod(day.year * _MONTHS_OF_YEAR + day.month, _MONTHS_OF_YEAR)
    return date(year, month + 1, 1)


def _ad_month(text: str) -> Period:
    year, _, month = text.partition("-")
    try:
        first = date(int(year), int(month), 1)
        last = _next_month(first) - timedelta(days=1)
    except ValueError:
        raise Invalid(FieldFault("month", "range")) from None
    return Period(first, last)


def _bs_month(text: str) -> Period:
    year, _, month = text.partition("-")
    try:
        first = to_ad(BSDate(int(year), int(month), 1))
    except OutsideCalendar:
        raise Invalid(FieldFault("month_bs", "outside-calendar")) from None
    return Period(first, _month_at(first, MonthCalendar.BS)[2])


def _a_year_back(last: date, calendar: MonthCalendar) -> date:
    """The first day of the month eleven months before that of the day."""
    if calendar is MonthCalendar.BS:
        bs = to_bs(last)
        year, month = divmod(
            bs.year * _MONTHS_OF_YEAR + bs.month - _DEFAULT_MONTHS, _MONTHS_OF_YEAR
        )
        return to_ad(BSDate(year, month + 1, 1))
    year, month = divmod(
        last.year * _MONTHS_OF_YEAR + last.month - _DEFAULT_MONTHS, _MONTHS_OF_YEAR
    )
    return date(year, month + 1, 1)


def _platform(
    period: Period,
    calendar: MonthCalendar,
    parts: Sequence[_Counted],
    visits: dict[Step, int] | None,
    names: Mapping[str, Puja],
) -> PlatformFigures:
    placed = [each for part in parts for each in part.placed]
    days: dict[date, dict[BookingStatus, int]] = {}
    values: dict[date, int] = {}
    statuses: dict[BookingStatus, int] = {}
    for each in placed:
        of_day = days.setdefault(each.day, {})
        of_day[each.status] = of_day.get(each.status, 0) + each.count
        statuses[each.status] = statuses.get(each.status, 0) + each.count
        values[each.day] = values.get(each.day, 0) + each.value
    moves: dict[date, list[Moved]] = {}
    for move in (each for part in parts for each in part.moved):
        moves.setdefault(move.day, []).append(move)
    each_day = [period.first + timedelta(days=number) for number in range(period.days)]
    incomes = {day: income_of(moves.get(day, ()), day, day) for day in each_day}
    figures = tuple(
        DayFigures(day=day, statuses=days.get(day, {}), value=values.get(day, 0))
        for day in each_day
    )
    months = months_of(period, calendar)
    return PlatformFigures(
        period=period,
        counted_at=min(part.at for part in parts),
        days=figures,
        by_month=tuple(
            (
                month,
                days_together(
                    month.first, (each for each in figures if month.first <= each.day <= month.last)
                ),
            )
            for month in months
        ),
        statuses=statuses,
        value=sum(values.values()),
        income=_together(period.first, period.last, incomes.values()),
        incomes=tuple(incomes.values()),
        months=tuple(
            (
                month,
                _together(
                    month.first,
                    month.last,
                    (each for day, each in incomes.items() if month.first <= day <= month.last),
                ),
            )
            for month in months
        ),
        methods=tried_together([each for part in parts for each in part.tried]),
        funnel=_funnel(placed, visits),
        pujas=_named(ranked(placed, _puja_of, _service_of, _TOP), names),
        regions=ranked(placed, _town_of, _city_of, _TOP),
    )


def _named(rows: Iterable[Ranked], names: Mapping[str, Puja]) -> tuple[Ranked, ...]:
    """The rows under the names of the catalogue, where it has the puja."""
    return tuple(
        replace(each, name=names[each.key].name, name_ne=names[each.key].name_ne)
        if each.key in names
        else each
        for each in rows
    )


def _puja_of(placed: Placed) -> str:
    return placed.puja_id


def _service_of(placed: Placed) -> str:
    return placed.service_name


def _town_of(placed: Placed) -> str:
    # People write a town's name in small and in large letters.
    return placed.city.casefold()


def _city_of(placed: Placed) -> str:
    return placed.city


def _together(first: date, last: date, incomes: Iterable[Income]) -> Income:
    all_of_them = list(incomes)
    return Income(
        first=first,
        last=last,
        turnover=sum(each.turnover for each in all_of_them),
        commission=sum(each.commission for each in all_of_them),
        unlocks=sum(each.unlocks for each in all_of_them),
        kept=sum(each.kept for each in all_of_them),
        borne=sum(each.borne for each in all_of_them),
    )


def _funnel(placed: Sequence[Placed], visits: dict[Step, int] | None) -> Funnel:
    def some(is_meant: Iterable[bool]) -> int:
        return sum(each.count for each, is_it in zip(placed, is_meant, strict=True) if is_it)

    completed = [each.status is BookingStatus.COMPLETED for each in placed]
    return Funnel(
        searched=None if visits is None else visits[Step.SEARCHED],
        viewed=None if visits is None else visits[Step.VIEWED],
        drafted=None if visits is None else visits[Step.DRAFTED],
        placed=sum(each.count for each in placed),
        offered=some(each.is_offered for each in placed),
        accepted=some(each.is_accepted for each in placed),
        completed=some(completed),
        paid=some(
            each.is_paid and is_held for each, is_held in zip(placed, completed, strict=True)
        ),
    )
