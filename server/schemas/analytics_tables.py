"""The tables in which figures are told, for spreadsheets; amounts in rupees."""

from __future__ import annotations

from typing import Final

from server.domain.booking import BookingStatus
from server.schemas.accuracy import AccuracyResponse
from server.schemas.analytics import (
    AnalyticsResponse,
    CustomerAnalyticsResponse,
    FunnelResponse,
    IncomeResponse,
    MonthResponse,
    PanditAnalyticsResponse,
    PlatformAnalyticsResponse,
    RankedResponse,
)
from server.schemas.tables import Cell, Table, rupees

_INCOME: Final = ("turnover", "commission", "unlocks", "kept", "borne", "revenue")
_MONTH: Final = ("calendar", "month", "from", "to")
_STATUSES: Final = tuple(BookingStatus)


def tables_of(figures: AnalyticsResponse) -> dict[str, Table]:
    """All tables of these figures, by the names under which they are fetched."""
    if isinstance(figures, CustomerAnalyticsResponse):
        found = _of_customer(figures)
    elif isinstance(figures, PanditAnalyticsResponse):
        found = _of_pandit(figures)
    else:
        found = _of_platform(figures)
    return {table.name: table for table in found}


def _of_customer(figures: CustomerAnalyticsResponse) -> tuple[Table, ...]:
    return (
        Table("history", ("status", "bookings"), [*figures.history.items()]),
        Table(
            "spending",
            (*_MONTH, "payments", "paid", "refunded", "spent"),
            [
                (
                    *_month(each.month),
                    each.payments,
                    rupees(each.paid),
                    rupees(each.refunded),
                    rupees(each.spent),
                )
                for each in figures.by_month
            ],
        ),
        Table(
            "pujas",
            ("puja_id", "name", "name_ne", "payments", "spent"),
            [
                (each.puja_id, each.name, each.name_ne, each.payments, rupees(each.spent))
                for each in figures.by_puja
            ],
        ),
    )


def _of_pandit(figures: PanditAnalyticsResponse) -> tuple[Table, ...]:
    return (
        Table(
            "earnings",
            (*_MONTH, "earned", "in_cash", "paid_out"),
            [
                (
                    *_month(each.month),
                    rupees(each.earned),
                    rupees(each.in_cash),
                    rupees(each.paid_out),
                )
                for each in figures.by_month
            ],
        ),
        Table(
            "ratings",
            (*_MONTH, "reviews", "mean"),
            [(*_month(each.month), each.count, each.mean) for each in figures.ratings],
        ),
    )


def _of_platform(figures: PlatformAnalyticsResponse) -> tuple[Table, ...]:
    return (
        Table(
            "bookings",
            ("day", "day_bs", "placed", *_STATUSES, "value"),
            [
                (
                    each.day,
                    each.date_bs,
                    each.placed,
                    *(each.statuses.get(status, 0) for status in _STATUSES),
                    rupees(each.value),
                )
                for each in figures.by_day
            ],
        ),
        Table(
            "bookings-by-month",
            (*_MONTH, "placed", *_STATUSES, "value"),
            [
                (
                    *_month(each.month),
                    each.placed,
                    *(each.statuses.get(status, 0) for status in _STATUSES),
                    rupees(each.value),
                )
                for each in figures.by_month
            ],
        ),
        Table(
            "revenue",
            ("day", "day_bs", *_INCOME),
            [(each.day, each.date_bs, *_income(each.income)) for each in figures.income_by_day],
        ),
        Table(
            "revenue-by-month",
            (*_MONTH, *_INCOME),
            [(*_month(each.month), *_income(each.income)) for each in figures.income_by_month],
        ),
        Table(
            "methods",
            (
                "payment_method",
                "currency",
                "succeeded",
                "failed",
                "open",
                "success_rate",
                "amount",
                "refunded",
            ),
            [
                (
                    each.payment_method,
                    each.currency,
                    each.succeeded,
                    each.failed,
                    each.open,
                    each.success.rate,
                    rupees(each.amount),
                    rupees(each.refunded),
                )
                for each in figures.methods
            ],
        ),
        Table("funnel", ("step", "count"), _steps(figures.funnel)),
        Table("pujas", _RANKED, _ranked(figures.pujas)),
        Table("regions", _RANKED, _ranked(figures.regions)),
        _accuracy(figures.recommendations),
    )


_RANKED: Final = ("key", "name", "name_ne", "bookings", "completed", "value")


def _ranked(rows: list[RankedResponse]) -> list[tuple[Cell, ...]]:
    return [
        (each.key, each.name, each.name_ne, each.bookings, each.completed, rupees(each.value))
        for each in rows
    ]


def _steps(funnel: FunnelResponse) -> list[tuple[Cell, ...]]:
    return [(name, getattr(funnel, name)) for name in funnel.__struct_fields__]


def _accuracy(accuracy: AccuracyResponse) -> Table:
    return Table(
        "recommendations",
        ("surface", "version", "arm", "recommended", "added", "purchased", "removed"),
        [
            (
                each.surface,
                each.version,
                each.arm,
                each.times_recommended,
                each.times_clicked,
                each.times_purchased,
                each.times_removed,
            )
            for each in accuracy.results
        ],
    )


def _income(income: IncomeResponse) -> tuple[Cell, ...]:
    return tuple(rupees(getattr(income, name)) for name in _INCOME)


def _month(month: MonthResponse) -> tuple[Cell, ...]:
    return (month.calendar, month.code, month.from_, month.to)
