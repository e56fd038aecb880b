"""Figures for whoever asks: a customer's, a pandit's, or the platform's for administrators."""

from __future__ import annotations

from typing import Final

from server.domain.account import Actor, Role
from server.domain.audit import Act
from server.domain.errors import NotFound
from server.handlers.base import ApiHandler, operation
from server.handlers.csv_export import CsvHandler, in_pieces
from server.handlers.routing import Route
from server.schemas.analytics import (
    AnalyticsQuery,
    AnalyticsResponse,
    present_customer,
    present_pandit,
    present_platform,
)
from server.schemas.analytics_tables import tables_of
from server.services.analytics import Choice


def choice_of(query: AnalyticsQuery) -> Choice:
    """The days that a query names."""
    return Choice(
        first=query.from_,
        last=query.to,
        month=query.month,
        month_bs=query.month_bs,
        calendar=query.calendar,
    )


class Figures(ApiHandler):
    """For handlers that tell figures."""

    async def figures(self, actor: Actor, query: AnalyticsQuery) -> AnalyticsResponse:
        """The actor's own, or the platform's for administrators."""
        choice, services = choice_of(query), self.services
        if actor.role is Role.USER:
            customer = await services.analytics.of_customer(actor, choice)
            return present_customer(customer, choice.by)
        if actor.role is Role.PANDIT:
            pandit = await services.analytics.of_pandit(actor, choice)
            has = await services.payouts.earnings(actor)
            return present_pandit(
                pandit, choice.by, balance=has.balance, under_way=has.under_way, owed=has.owed
            )
        platform = await services.analytics.of_platform(actor, choice)
        accuracy = await services.accuracy.accuracy()
        return present_platform(platform, choice.by, accuracy, self.reader)


class AnalyticsHandler(Figures):
    """``/api/bookings/booking-analytics/``."""

    @operation("Show figures: one's own, or the platform's for administrators", door="figures")
    async def get(self, actor: Actor, query: AnalyticsQuery) -> AnalyticsResponse:
        return await self.figures(actor, query)


class AnalyticsCsvHandler(Figures, CsvHandler):
    """``/api/bookings/booking-analytics/{table}.csv``."""

    @operation("Export one of the tables of figures as CSV", door="figures", errors=(NotFound,))
    async def get(self, table: str, actor: Actor, query: AnalyticsQuery) -> None:
        figures = await self.figures(actor, query)
        found = tables_of(figures).get(table)
        if found is None:
            raise NotFound
        period = figures.period
        # What leaves the house is on record before it leaves.
        await self.services.audit.record(
            actor,
            Act.DATA_EXPORTED,
            "analytics",
            table,
            first=period.from_.isoformat(),
            last=period.to.isoformat(),
        )
        name = f"{table}-{period.from_}-{period.to}.csv"
        await self.send_csv(name, found.head, in_pieces(found.rows))


ROUTES: Final = (
    Route("/api/bookings/booking-analytics/", AnalyticsHandler, "booking-analytics"),
    Route(
        "/api/bookings/booking-analytics/{table}.csv", AnalyticsCsvHandler, "booking-analytics-csv"
    ),
)
