"""Figures on the wire, one shape for each role, and the same figures as tables."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date, datetime
from typing import Annotated, Final

from msgspec import Meta, Struct

from server.domain.analytics import (
    CustomerFigures,
    Income,
    Month,
    MonthCalendar,
    PanditFigures,
    Period,
    PlatformFigures,
    Ranked,
    Share,
    Tried,
)
from server.domain.booking import BookingStatus, PaymentMethod
from server.domain.learning import Accuracy
from server.domain.money import NPR
from server.schemas.accuracy import AccuracyResponse, present_accuracy
from server.schemas.base import Reader, Request, bs_text

_DIGITS: Final = 6


class AnalyticsQuery(Request, frozen=True, kw_only=True, rename={"from_": "from"}):
    """Which days: a ``month`` (AD), a ``month_bs``, or ``from`` a day ``to`` a day in Nepal.

    Without any, an administrator's last 30 days and everybody else's last twelve months.
    ``calendar`` says by which months figures are told.
    """

    from_: date | None = None
    to: date | None = None
    month: Annotated[str, Meta(pattern=r"^\d{4}-\d{2}$")] | None = None
    month_bs: Annotated[str, Meta(pattern=r"^\d{4}-\d{2}$")] | None = None
    calendar: MonthCalendar | None = None


class PeriodResponse(Struct, frozen=True, kw_only=True, rename={"from_": "from"}):
    """The days that figures are of, both included."""

    from_: date
    to: date
    from_bs: str | None
    to_bs: str | None


class MonthResponse(Struct, frozen=True, kw_only=True, rename={"from_": "from"}):
    """A month of the period; at its ends a part of one. ``code`` is year and month."""

    calendar: MonthCalendar
    code: str
    from_: date
    to: date


class ShareResponse(Struct, frozen=True, kw_only=True):
    """So many ``of`` so many; ``rate`` is 0 to 1, null where there are none."""

    count: int
    of: int
    rate: float | None


class SpentInResponse(Struct, frozen=True, kw_only=True):
    """What was paid in a month, in paisa, less what of it was given back."""

    month: MonthResponse
    payments: int
    paid: int
    refunded: int
    spent: int


class SpentOnResponse(Struct, frozen=True, kw_only=True):
    """What one puja has cost; an empty ``puja_id`` stands for contact fees."""

    puja_id: str
    name: str
    name_ne: str
    payments: int
    spent: int


class CustomerAnalyticsResponse(Struct, frozen=True, kw_only=True, tag_field="role", tag="user"):
    """A customer's own figures. ``history`` counts bookings that begin in the period."""

    period: PeriodResponse
    upcoming: int
    history: dict[BookingStatus, int]
    currency: str
    spent: int
    by_month: list[SpentInResponse]
    by_puja: list[SpentOnResponse]


class EarnedInResponse(Struct, frozen=True, kw_only=True):
    """A month's earnings in paisa; ``in_cash`` of them the pandit took himself."""

    month: MonthResponse
    earned: int
    in_cash: int
    paid_out: int


class RatedInResponse(Struct, frozen=True, kw_only=True):
    """The published reviews of a month, and the mean of their stars."""

    month: MonthResponse
    count: int
    mean: float | None


class AnswersResponse(Struct, frozen=True, kw_only=True):
    """What became of the bookings that were offered to the pandit in the period."""

    accepted: int
    declined: int
    lapsed: int
    withdrawn: int
    open: int
    acceptance: ShareResponse
    response_seconds: float | None


class HeldResponse(Struct, frozen=True, kw_only=True):
    """What became of accepted bookings that begin in the period."""

    completed: int
    called_off_by_him: int
    called_off_by_others: int
    left_open: int
    completion: ShareResponse


class PanditAnalyticsResponse(Struct, frozen=True, kw_only=True, tag_field="role", tag="pandit"):
    """A pandit's own figures. ``waiting`` requests want his answer now.

    ``balance``, ``under_way`` and ``owed`` stand as they are now; money in paisa.
    """

    period: PeriodResponse
    waiting: int
    answers: AnswersResponse
    held: HeldResponse
    currency: str
    earned: int
    paid_out: int
    balance: int
    under_way: int
    owed: int
    by_month: list[EarnedInResponse]
    ratings: list[RatedInResponse]


class DayResponse(Struct, frozen=True, kw_only=True):
    """The bookings placed on a day, by how they stand now, and what they cost in paisa."""

    day: date
    date_bs: str | None
    placed: int
    statuses: dict[BookingStatus, int]
    value: int


class MonthBookingsResponse(Struct, frozen=True, kw_only=True):
    """The bookings placed in a month, by how they stand now, and what they cost in paisa."""

    month: MonthResponse
    placed: int
    statuses: dict[BookingStatus, int]
    value: int


class IncomeResponse(Struct, frozen=True, kw_only=True):
    """What the platform took in, in paisa, from the ledger.

    ``turnover`` was paid for pujas that were held; ``revenue`` is ``commission``, ``unlocks`` and
    ``kept`` less what was refunded at our own cost, ``borne``.
    """

    turnover: int
    commission: int
    unlocks: int
    kept: int
    borne: int
    revenue: int


class DayIncomeResponse(Struct, frozen=True, kw_only=True):
    """The income of a day."""

    day: date
    date_bs: str | None
    income: IncomeResponse


class MonthIncomeResponse(Struct, frozen=True, kw_only=True):
    """The income of a month."""

    month: MonthResponse
    income: IncomeResponse


class MethodResponse(Struct, frozen=True, kw_only=True):
    """Tries to pay by one method, of payments begun in the period; amounts in minor units."""

    payment_method: PaymentMethod
    currency: str
    succeeded: int
    failed: int
    open: int
    success: ShareResponse
    amount: int
    refunded: int


class FunnelResponse(Struct, frozen=True, kw_only=True):
    """How far people came. The first three are null where nothing was counted.

    ``offered`` are bookings that reached a pandit: paid in advance, or to be paid in cash. ``paid``
    are those of ``completed`` that are paid in full.
    """

    searched: int | None
    viewed: int | None
    drafted: int | None
    placed: int
    offered: int
    accepted: int
    completed: int
    paid: int


class RankedResponse(Struct, frozen=True, kw_only=True):
    """One of the pujas or towns with most bookings; an empty ``key`` stands for no place."""

    key: str
    name: str
    name_ne: str
    bookings: int
    completed: int
    value: int


class PlatformAnalyticsResponse(Struct, frozen=True, kw_only=True, tag_field="role", tag="admin"):
    """The platform's figures; ``counted_at`` is when they were counted."""

    period: PeriodResponse
    counted_at: datetime
    currency: str
    placed: int
    value: int
    statuses: dict[BookingStatus, int]
    completion: ShareResponse
    by_day: list[DayResponse]
    by_month: list[MonthBookingsResponse]
    income: IncomeResponse
    income_by_day: list[DayIncomeResponse]
    income_by_month: list[MonthIncomeResponse]
    methods: list[MethodResponse]
    funnel: FunnelResponse
    pujas: list[RankedResponse]
    regions: list[RankedResponse]
    recommendations: AccuracyResponse


AnalyticsResponse = CustomerAnalyticsResponse | PanditAnalyticsResponse | PlatformAnalyticsResponse


def present_customer(
    figures: CustomerFigures, calendar: MonthCalendar
) -> CustomerAnalyticsResponse:
    """A customer's figures."""
    return CustomerAnalyticsResponse(
        period=_period(figures.period),
        upcoming=figures.upcoming,
        history=figures.statuses,
        currency=NPR,
        spent=figures.spent,
        by_month=[
            SpentInResponse(
                month=_month(each.month, calendar),
                payments=each.payments,
                paid=each.paid,
                refunded=each.refunded,
                spent=each.spent,
            )
            for each in figures.months
        ],
        by_puja=[
            SpentOnResponse(
                puja_id=each.puja_id,
                name=each.name,
                name_ne=each.name_ne,
                payments=each.payments,
                spent=each.spent,
            )
            for each in figures.pujas
        ],
    )


def present_pandit(
    figures: PanditFigures,
    calendar: MonthCalendar,
    *,
    balance: int,
    under_way: int,
    owed: int,
) -> PanditAnalyticsResponse:
    """A pandit's figures, with what stands in his account now."""
    answers, held = figures.answers, figures.held
    return PanditAnalyticsResponse(
        period=_period(figures.period),
        waiting=figures.waiting,
        answers=AnswersResponse(
            accepted=answers.accepted,
            declined=answers.declined,
            lapsed=answers.lapsed,
            withdrawn=answers.withdrawn,
            open=answers.open,
            acceptance=_share(answers.acceptance),
            response_seconds=answers.response_seconds,
        ),
        held=HeldResponse(
            completed=held.completed,
            called_off_by_him=held.called_off_by_him,
            called_off_by_others=held.called_off_by_others,
            left_open=held.left_open,
            completion=_share(held.completion),
        ),
        currency=NPR,
        earned=figures.earned,
        paid_out=figures.paid_out,
        balance=balance,
        under_way=under_way,
        owed=owed,
        by_month=[
            EarnedInResponse(
                month=_month(each.month, calendar),
                earned=each.earned,
                in_cash=each.in_cash,
                paid_out=each.paid_out,
            )
            for each in figures.months
        ],
        ratings=[
            RatedInResponse(
                month=_month(each.month, calendar),
                count=each.count,
                mean=None if each.mean is None else round(each.mean, 2),
            )
            for each in figures.ratings
        ],
    )


def present_platform(
    figures: PlatformFigures, calendar: MonthCalendar, accuracy: Accuracy, reader: Reader
) -> PlatformAnalyticsResponse:
    """The platform's figures."""
    funnel = figures.funnel
    return PlatformAnalyticsResponse(
        period=_period(figures.period),
        counted_at=reader.local(figures.counted_at),
        currency=NPR,
        placed=figures.placed,
        value=figures.value,
        statuses=figures.statuses,
        completion=_share(figures.completion),
        by_day=[
            DayResponse(
                day=each.day,
                date_bs=bs_text(each.day),
                placed=each.placed,
                statuses=each.statuses,
                value=each.value,
            )
            for each in figures.days
        ],
        by_month=[
            MonthBookingsResponse(
                month=_month(month, calendar),
                placed=each.placed,
                statuses=each.statuses,
                value=each.value,
            )
            for month, each in figures.by_month
        ],
        income=_income(figures.income),
        income_by_day=[
            DayIncomeResponse(day=each.first, date_bs=bs_text(each.first), income=_income(each))
            for each in figures.incomes
        ],
        income_by_month=[
            MonthIncomeResponse(month=_month(month, calendar), income=_income(each))
            for month, each in figures.months
        ],
        methods=[_method(each) for each in figures.methods],
        funnel=FunnelResponse(
            searched=funnel.searched,
            viewed=funnel.viewed,
            drafted=funnel.drafted,
            placed=funnel.placed,
            offered=funnel.offered,
            accepted=funnel.accepted,
            completed=funnel.completed,
            paid=funnel.paid,
        ),
        pujas=_ranked(figures.pujas),
        regions=_ranked(figures.regions),
        recommendations=present_accuracy(accuracy),
    )


def _period(period: Period) -> PeriodResponse:
    return PeriodResponse(
        from_=period.first,
        to=period.last,
        from_bs=bs_text(period.first),
        to_bs=bs_text(period.last),
    )


def _month(month: Month, calendar: MonthCalendar) -> MonthResponse:
    return MonthResponse(calendar=calendar, code=month.code, from_=month.first, to=month.last)


def _share(share: Share) -> ShareResponse:
    rate = share.rate
    return ShareResponse(
        count=share.count, of=share.of, rate=None if rate is None else round(rate, _DIGITS)
    )


def _income(income: Income) -> IncomeResponse:
    return IncomeResponse(
        turnover=income.turnover,
        commission=income.commission,
        unlocks=income.unlocks,
        kept=income.kept,
        borne=income.borne,
        revenue=income.revenue,
    )


def _method(tried: Tried) -> MethodResponse:
    return MethodResponse(
        payment_method=tried.method,
        currency=tried.currency,
        succeeded=tried.succeeded,
        failed=tried.failed,
        open=tried.open,
        success=_share(tried.success),
        amount=tried.amount,
        refunded=tried.refunded,
    )


def _ranked(rows: Sequence[Ranked]) -> list[RankedResponse]:
    return [
        RankedResponse(
            key=each.key,
            name=each.name,
            name_ne=each.name_ne or each.name,
            bookings=each.bookings,
            completed=each.completed,
            value=each.value,
        )
        for each in rows
    ]
