"""Dashboards: what is ahead, what has been, and what it came to."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Any, Final
from urllib.parse import urlencode

from kundali.bikram_sambat import MONTHS, OutsideCalendar, to_bs
from server.domain.account import Role
from server.domain.analytics import MonthCalendar, Period
from server.domain.booking import Booking, BookingStatus
from server.domain.errors import Invalid
from server.domain.learning import Surface
from server.handlers.analytics import choice_of
from server.handlers.base import ADMIN, CUSTOMER, PANDIT
from server.handlers.page_base import Form, decode_known
from server.handlers.pages.accuracy import SURFACES
from server.handlers.pages.base import Page
from server.handlers.routing import Route
from server.i18n import N_
from server.schemas.analytics import (
    AnalyticsQuery,
    FunnelResponse,
    MonthResponse,
    PlatformAnalyticsResponse,
    present_customer,
    present_pandit,
    present_platform,
)
from server.schemas.bookings import BookingResponse, present_booking
from server.schemas.pandits import present_own
from server.services.analytics import Choice, months_of

_AHEAD: Final = (BookingStatus.PENDING, BookingStatus.ACCEPTED, BookingStatus.IN_PROGRESS)
_OVER: Final = (BookingStatus.COMPLETED, BookingStatus.CANCELLED, BookingStatus.FAILED)
_IN_THE_WEEK: Final = (*_AHEAD, BookingStatus.COMPLETED)
_SHOWN: Final = 5
_MOST_OF_A_WEEK: Final = 100
_MOST_DAYS_SHOWN: Final = 62
_MONTHS_OFFERED: Final = 24
_WEEK: Final = 7
_MINUTE: Final = 60
_HOUR: Final = 3600
_DAY: Final = 86_400
_STEPS: Final = {
    "searched": N_("Searches"),
    "viewed": N_("Pandits looked at"),
    "drafted": N_("Bookings begun"),
    "placed": N_("Bookings placed"),
    "offered": N_("Paid, or to be paid in cash"),
    "accepted": N_("Accepted by a pandit"),
    "completed": N_("Pujas held"),
    "paid": N_("Held and paid in full"),
}


@dataclass(frozen=True, slots=True)
class MonthChoice:
    """A month that a form offers: what it sends, and what it is called."""

    value: str
    name: str


@dataclass(frozen=True, slots=True)
class WeekDay:
    """A day of a pandit's week, with what he holds on it."""

    day: date
    name: str
    is_today: bool
    bookings: list[BookingResponse]


@dataclass(frozen=True, slots=True)
class PlacedRow:
    """A day or a month of the chart of bookings; ``short`` names it below the chart."""

    first: date
    name: str
    short: str
    placed: int
    statuses: dict[BookingStatus, int]
    value: int


@dataclass(frozen=True, slots=True)
class FunnelStep:
    """A step of the funnel; ``share`` is of the step before where that counts the same thing."""

    name: str
    count: int
    share: float | None


class FiguresPage(Page):
    """For pages that tell figures of some days; which ones stands in the address."""

    async def choice(self) -> tuple[Choice, Form]:
        """The days that are asked for; days that make no sense are told, and the usual ones hold.

        ``m`` is a month as the form offers it, ``ad:2026-11`` or ``bs:2083-08``.
        """
        given = self._query()
        calendar, _, code = given.pop("m", "").partition(":")
        if code:
            given.pop("from", None)
            given.pop("to", None)
            given["month_bs" if calendar == "bs" else "month"] = code
        given = {name: value for name, value in given.items() if value}
        given.setdefault("calendar", self.usual_calendar)
        try:
            choice = choice_of(decode_known(given, AnalyticsQuery))
            self.services.analytics.period_of(self.person, choice)
        except Invalid as error:
            problem = self.describe_error(422, error)
            self.set_status(problem.status)
            return Choice(calendar=MonthCalendar(self.usual_calendar)), Form(given, problem)
        return choice, Form()

    @property
    def usual_calendar(self) -> str:
        """By which months the reader lives."""
        return MonthCalendar.BS if self.reader.language == "ne" else MonthCalendar.AD

    def month_name(self, month: MonthResponse) -> str:
        """A month with its year: November 2026, मङ्सिर २०८३."""
        year, _, number = month.code.partition("-")
        return self._month(month.calendar, int(year), int(number), month.from_)

    def _month(self, calendar: MonthCalendar, year: int, number: int, day: date) -> str:
        if calendar is MonthCalendar.BS:
            name = MONTHS[number - 1]
            text = name.ne if self.reader.language == "ne" else name.en
            return self.formatter.digits(f"{text} {year}")
        return self.formatter.month(day)

    def offered_months(self, calendar: MonthCalendar) -> list[MonthChoice]:
        """The latest months, the present one first."""
        today = self.services.analytics.today
        found: list[MonthChoice] = []
        last = today
        while len(found) < _MONTHS_OFFERED:
            period = Period(last - timedelta(days=40), last)
            month = months_of(period, calendar)[-1]
            name = self._month(calendar, month.year, month.number, month.first)
            found.append(MonthChoice(f"{calendar}:{month.code}", name))
            last = month.first - timedelta(days=1)
        return found

    def csv(self, table: str, period: Period, calendar: MonthCalendar) -> str:
        """Where the same table is had for spreadsheets."""
        query = urlencode({"from": period.first, "to": period.last, "calendar": calendar.value})
        return f"/api/bookings/booking-analytics/{table}.csv?{query}"

    def percent(self, rate: float | None) -> str:
        """A share; a dash where there is none."""
        if rate is None:
            return "–"
        return self.translate("{percent} %", percent=round(100 * rate, 1))

    def lasting(self, seconds: float | None) -> str:
        """A span of time in its largest unit and the next; a dash where there is none."""
        if seconds is None:
            return "–"
        minutes = max(1, round(seconds / _MINUTE))
        if seconds < 2 * _DAY:
            return self.labels.duration(minutes)
        return self.translate_count("{n} day", "{n} days", round(seconds / _DAY))

    async def show_figures(self, template: str, choice: Choice, form: Form, **values: Any) -> None:
        """Render a page with its picker of days."""
        period = self.services.analytics.period_of(self.person, choice)
        wanted = choice.month or choice.month_bs
        calendar = MonthCalendar.BS if choice.month_bs else MonthCalendar.AD
        await self.show(
            template,
            form=form,
            period=period,
            by=choice.by,
            chosen_month=f"{calendar}:{wanted}" if wanted else "",
            months_ad=self.offered_months(MonthCalendar.AD),
            months_bs=self.offered_months(MonthCalendar.BS),
            month_name=self.month_name,
            percent=self.percent,
            lasting=self.lasting,
            csv=lambda table: self.csv(table, period, choice.by),
            **values,
        )


class DashboardPage(FiguresPage):
    """A customer's, or a pandit's, own."""

    roles = CUSTOMER | PANDIT | ADMIN
    section = "dashboard"

    async def get(self) -> None:
        """Show it; administrators have their own page."""
        if self.person.role is Role.ADMIN:
            self.go("/admin/analytics/")
        elif self.person.role is Role.PANDIT:
            await self._show_pandit()
        else:
            await self._show_customer()

    async def _show_customer(self) -> None:
        choice, form = await self.choice()
        figures = await self.services.analytics.of_customer(self.person, choice)
        today = self.services.analytics.today
        bookings = self.services.bookings
        ahead = await bookings.list_own(
            self.person, statuses=_AHEAD, first=today, limit=_SHOWN, soonest_first=True
        )
        past = await bookings.list_own(
            self.person, statuses=_OVER, first=figures.period.first, last=today, limit=_SHOWN
        )
        await self.show_figures(
            "customer/dashboard.html",
            choice,
            form,
            title=self.translate("Your dashboard"),
            figures=present_customer(figures, choice.by),
            ahead=self._presented(ahead.rows),
            past=self._presented(past.rows),
        )

    async def _show_pandit(self) -> None:
        choice, form = await self.choice()
        figures = await self.services.analytics.of_pandit(self.person, choice)
        has = await self.services.payouts.earnings(self.person)
        profile = await self.services.pandits.own_profile(self.person)
        monday = self._first_of_week()
        await self.show_figures(
            "pandit/dashboard.html",
            choice,
            form,
            title=self.translate("Your dashboard"),
            figures=present_pandit(
                figures, choice.by, balance=has.balance, under_way=has.under_way, owed=has.owed
            ),
            earnings=has,
            own=present_own(profile, self.reader),
            week=await self._week(monday),
            week_before=self.here(week=(monday - timedelta(days=_WEEK)).isoformat()),
            week_after=self.here(week=(monday + timedelta(days=_WEEK)).isoformat()),
            this_week=self.here(week=None),
        )

    def _first_of_week(self) -> date:
        """The Sunday, as weeks begin in Nepal, of the week that is asked for."""
        today = self.services.analytics.today
        try:
            day = date.fromisoformat(self.get_query_argument("week", "") or today.isoformat())
            to_bs(day)
        except (ValueError, OutsideCalendar):
            day = today
        return day - timedelta(days=day.isoweekday() % _WEEK)

    async def _week(self, sunday: date) -> list[WeekDay]:
        page = await self.services.bookings.list_own(
            self.person,
            statuses=_IN_THE_WEEK,
            first=sunday,
            last=sunday + timedelta(days=_WEEK - 1),
            limit=_MOST_OF_A_WEEK,
            soonest_first=True,
        )
        shown = [
            (row.booking_date, present_booking(row, self.person, self.reader)) for row in page.rows
        ]
        days = [sunday + timedelta(days=number) for number in range(_WEEK)]
        return [
            WeekDay(
                day,
                self.labels.weekday(day.isoweekday()),
                day == self.services.analytics.today,
                [booking for on, booking in shown if on == day],
            )
            for day in days
        ]

    def _presented(self, rows: Sequence[Booking]) -> list[BookingResponse]:
        return [present_booking(row, self.person, self.reader) for row in rows]


class AnalyticsPage(FiguresPage):
    """The platform's figures."""

    roles = ADMIN
    section = "analytics"

    async def get(self) -> None:
        """Show them."""
        choice, form = await self.choice()
        figures = await self.services.analytics.of_platform(self.person, choice)
        accuracy = await self.services.accuracy.accuracy()
        shown = present_platform(figures, choice.by, accuracy, self.reader)
        await self.show_figures(
            "admin/analytics.html",
            choice,
            form,
            title=self.translate("Figures"),
            figures=shown,
            statuses=tuple(BookingStatus),
            is_by_day=figures.period.days <= _MOST_DAYS_SHOWN,
            placed=self._placed(shown, is_by_day=figures.period.days <= _MOST_DAYS_SHOWN),
            steps=self._steps(shown.funnel),
            surface=lambda surface: self.translate(SURFACES[Surface(surface)]),
            most=max((each.bookings for each in (*shown.pujas, *shown.regions)), default=1),
        )

    def _placed(self, shown: PlatformAnalyticsResponse, *, is_by_day: bool) -> list[PlacedRow]:
        """A row for each day, of a longer time for each month; the table takes all days along."""
        if not is_by_day:
            return [
                PlacedRow(
                    each.month.from_,
                    self.month_name(each.month),
                    self.month_name(each.month),
                    each.placed,
                    each.statuses,
                    each.value,
                )
                for each in shown.by_month
            ]
        return [
            PlacedRow(
                each.day,
                self.both_dates(each.day),
                " ".join(self.day_badge(each.day)),
                each.placed,
                each.statuses,
                each.value,
            )
            for each in shown.by_day
        ]

    def _steps(self, funnel: FunnelResponse) -> list[FunnelStep]:
        found: list[FunnelStep] = []
        before: int | None = None
        for name, text in _STEPS.items():
            count: int | None = getattr(funnel, name)
            if count is None:
                continue
            # What is counted of people is no share of what is counted of bookings, and the other
            # way round: only bookings follow from bookings.
            is_booking = name not in ("searched", "viewed", "drafted", "placed")
            share = count / before if is_booking and before else None
            found.append(FunnelStep(self.translate(text), count, share))
            before = count
        return found


ROUTES: Final = (
    Route("/dashboard/", DashboardPage, "page-dashboard"),
    Route("/admin/analytics/", AnalyticsPage, "page-admin-analytics"),
)
