"""Bookings that come again."""

from __future__ import annotations

from typing import Final

from server.domain.account import Actor
from server.domain.errors import (
    IllegalTransition,
    NotBookable,
    NotFound,
    SlotTaken,
    TooManyOpen,
)
from server.handlers.base import CUSTOMER, ApiHandler, operation
from server.handlers.routing import Route
from server.schemas.base import PageQuery, PageResponse
from server.schemas.bookings import EmptyRequest
from server.schemas.recurrences import EndRequest, MoveRequest, SeriesResponse, present_series

_MOST_DIGITS: Final = 3


class SeriesListHandler(ApiHandler):
    """``/api/recurrences/``."""

    @operation("List one's series of bookings, the latest first", roles=CUSTOMER)
    async def get(self, actor: Actor, query: PageQuery) -> PageResponse[SeriesResponse]:
        page = await self.services.recurrences.list_own(
            actor, limit=query.limit, after=self.after(query.cursor)
        )
        return PageResponse(
            results=[present_series(row, self.reader) for row in page.rows],
            next=self.cursor(page.next_key),
        )


class SeriesHandler(ApiHandler):
    """``/api/recurrences/{id}/``."""

    @operation("Show a series of bookings with its days", errors=(NotFound,))
    async def get(self, series_id: str, actor: Actor) -> SeriesResponse:
        return present_series(await self.services.recurrences.get(actor, series_id), self.reader)


class MoveHandler(ApiHandler):
    """``/api/recurrences/{id}/occurrences/{number}/move/``."""

    @operation(
        "Give one day of a series another time",
        roles=CUSTOMER,
        idempotent=True,
        errors=(NotFound, NotBookable, SlotTaken, IllegalTransition, TooManyOpen),
    )
    async def post(
        self, series_id: str, number: str, actor: Actor, body: MoveRequest
    ) -> SeriesResponse:
        series = await self.services.recurrences.move(
            actor, series_id, number_of(number), body.booking_date, body.at
        )
        return present_series(series, self.reader)


class SkipHandler(ApiHandler):
    """``/api/recurrences/{id}/occurrences/{number}/skip/``."""

    @operation(
        "Leave one day of a series out", roles=CUSTOMER, errors=(NotFound, IllegalTransition)
    )
    async def post(
        self, series_id: str, number: str, actor: Actor, body: EmptyRequest
    ) -> SeriesResponse:
        series = await self.services.recurrences.skip(actor, series_id, number_of(number))
        return present_series(series, self.reader)


class EndHandler(ApiHandler):
    """``/api/recurrences/{id}/cancel/``."""

    @operation("End a series of bookings", roles=CUSTOMER, errors=(NotFound, IllegalTransition))
    async def post(self, series_id: str, actor: Actor, body: EndRequest) -> SeriesResponse:
        series = await self.services.recurrences.end(actor, series_id, with_booked=body.with_booked)
        return present_series(series, self.reader)


def number_of(text: str) -> int:
    """The number of a day in an address. Raises ``NotFound`` for what is none."""
    if not (text.isdecimal() and len(text) <= _MOST_DIGITS):
        raise NotFound
    return int(text)


ROUTES: Final = (
    Route("/api/recurrences/", SeriesListHandler, "series-list"),
    Route("/api/recurrences/{id}/", SeriesHandler, "series"),
    Route("/api/recurrences/{id}/occurrences/{number}/move/", MoveHandler, "series-move"),
    Route("/api/recurrences/{id}/occurrences/{number}/skip/", SkipHandler, "series-skip"),
    Route("/api/recurrences/{id}/cancel/", EndHandler, "series-cancel"),
)
