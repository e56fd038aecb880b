"""Birth charts, matching, and the calendar of rites."""

from __future__ import annotations

from typing import Any, Final

from kundali.divisional import Varga
from kundali.svg import Style
from server.domain.account import Actor
from server.domain.errors import Invalid, NotFound, Overloaded
from server.domain.readings import ShownChart
from server.handlers.base import ApiHandler, operation
from server.handlers.capabilities import CapabilityHandler
from server.handlers.routing import Route
from server.schemas.almanac import (
    CalendarQuery,
    CalendarResponse,
    FestivalsQuery,
    FestivalsResponse,
    MuhurtaQuery,
    MuhurtasResponse,
    PanchangQuery,
    PanchangResponse,
    present_calendar_day,
    present_festival,
    present_muhurtas,
    present_panchang,
)
from server.schemas.base import PageQuery, PageResponse
from server.schemas.kundali import (
    DrawingQuery,
    KundaliCardResponse,
    KundaliQuery,
    KundaliRequest,
    KundaliResponse,
    MatchRequest,
    MatchResponse,
    ShareRequest,
    ShareResponse,
    present_card,
    present_kundali,
    present_match,
    present_share,
)
from server.services.charts import drawing

_DOOR: Final = "compute"
_ERRORS: Final = (NotFound, Overloaded)


class KundalisHandler(ApiHandler):
    """One's own charts."""

    @operation("List one's own charts, the newest first")
    async def get(self, actor: Actor, query: PageQuery) -> PageResponse[KundaliCardResponse]:
        page = await self.services.charts.list_page(
            actor, limit=query.limit, after=self.after(query.cursor)
        )
        now = self.services.clock.now()
        return PageResponse(
            results=[present_card(row, self.reader, now) for row in page.rows],
            next=self.cursor(page.next_key),
        )

    @operation(
        "Cast a birth chart and keep it",
        status=201,
        door=_DOOR,
        errors=(Invalid, Overloaded),
        idempotent=True,
    )
    async def post(self, actor: Actor, body: KundaliRequest) -> KundaliResponse:
        shown = await self.services.charts.save(actor, body.name, body.birth(), body.choices())
        return present_kundali(shown, self.reader, self.services.clock.now())


class ChartHandler(ApiHandler):
    """What the handlers that show a chart share."""

    async def _presented(self, shown: ShownChart, dasha_levels: int) -> KundaliResponse:
        # To the third level there are 819 periods, each with two days of its own zone.
        reader, now = self.reader, self.services.clock.now()
        return await self.services.charts.build(
            lambda: present_kundali(shown, reader, now, dasha_levels=dasha_levels)
        )


class KundaliHandler(ChartHandler):
    """One of one's own charts."""

    @operation("Show one's own chart with its reading", door=_DOOR, errors=_ERRORS)
    async def get(self, kundali_id: str, actor: Actor, query: KundaliQuery) -> KundaliResponse:
        shown = await self.services.charts.show(actor, kundali_id)
        return await self._presented(shown, query.dasha_levels)

    @operation("Delete one's own chart", status=204, errors=(NotFound,))
    async def delete(self, kundali_id: str, actor: Actor) -> None:
        await self.services.charts.remove(actor, kundali_id)


class DrawingHandler(ApiHandler):
    """The drawing of one of one's own charts."""

    @operation("Draw one's own chart as SVG", door=_DOOR, errors=(NotFound, Overloaded))
    async def get(self, kundali_id: str, actor: Actor, query: DrawingQuery) -> bytes:
        shown = await self.services.charts.show(actor, kundali_id)
        return drawing(
            shown.reading,
            Style(query.style),
            query.language or self.reader.language,
            Varga[query.varga],
            name=shown.saved.name,
            standalone=True,
        ).encode()

    def _send(self, status: int, answer: Any) -> None:
        self.set_status(status)
        self.send_drawing(answer)

    def send_drawing(self, svg: bytes) -> None:
        """Send it as a file that runs no script, wherever it is opened."""
        self.set_header("Content-Type", "image/svg+xml; charset=utf-8")
        self.set_header("Cache-Control", "private, no-store")
        self.set_header("Vary", "Accept-Language, Authorization, Cookie")
        self.set_header(
            "Content-Security-Policy", "default-src 'none'; style-src 'unsafe-inline'; sandbox"
        )
        self.write(svg)


class ShareHandler(CapabilityHandler):
    """The link that shows one of one's own charts to others."""

    @operation(
        "Make a link that shows one's own chart for some days; the one before ends",
        status=201,
        idempotent=True,
        errors=(NotFound,),
    )
    async def post(self, kundali_id: str, actor: Actor, body: ShareRequest) -> ShareResponse:
        link = await self.services.charts.share(
            actor, kundali_id, body.days, with_birth=body.with_birth, token=self.new_token()
        )
        return present_share(link, self.site_url, self.reader)

    @operation("End the link to one's own chart", status=204, errors=(NotFound,))
    async def delete(self, kundali_id: str, actor: Actor) -> None:
        await self.services.charts.unshare(actor, kundali_id)


class SharedHandler(ChartHandler):
    """A chart that somebody showed by a link."""

    @operation("Show the chart of a link", door=_DOOR, errors=_ERRORS)
    async def get(self, token: str, query: KundaliQuery) -> KundaliResponse:
        shown = await self.services.charts.shared(token)
        self.set_header("Referrer-Policy", "no-referrer")
        return await self._presented(shown, query.dasha_levels)


class MatchHandler(ApiHandler):
    """Matching of two people."""

    @operation("Match two people: Ashtakoota of 36 and Manglik", door=_DOOR, errors=_ERRORS)
    async def post(self, actor: Actor | None, body: MatchRequest) -> MatchResponse:
        groom, bride = body.sides()
        found = await self.services.charts.match(actor, groom, bride, directed=body.directed)
        return present_match(found)


class PanchangHandler(ApiHandler):
    """The almanac of a day."""

    @operation("Show the almanac of a day and place", door=_DOOR, errors=(Overloaded,))
    async def get(self, query: PanchangQuery) -> PanchangResponse:
        almanac = self.services.almanac
        where = await almanac.where(query.lat, query.lng, query.timezone)
        day = await almanac.panchang(query.date, where, query.sky())
        festivals = await almanac.festivals_between(day.day, day.day)
        return present_panchang(day, where.zone, festivals)


class FestivalsHandler(ApiHandler):
    """The festivals of a year."""

    @operation("List the festivals of Nepal in a year", door=_DOOR, errors=(Overloaded,))
    async def get(self, query: FestivalsQuery) -> FestivalsResponse:
        found = await self.services.almanac.festivals(year=query.year, bs_year=query.bs_year)
        return FestivalsResponse(results=[present_festival(each) for each in found])


class MuhurtaHandler(ApiHandler):
    """The days and hours that suit a puja."""

    @operation("Rank the days for a puja with reasons", door=_DOOR, errors=_ERRORS)
    async def get(self, actor: Actor | None, query: MuhurtaQuery) -> MuhurtasResponse:
        almanac = self.services.almanac
        ranking = await almanac.muhurtas(
            query.puja_id,
            query.from_,
            query.to,
            where=await almanac.where(query.lat, query.lng, query.timezone),
            persons=await self.services.charts.persons(actor, query.charts()),
            most=query.limit,
        )
        return present_muhurtas(ranking)


class CalendarHandler(ApiHandler):
    """Days as a calendar shows them."""

    @operation(
        "List days with their Bikram Sambat date, festivals and what they are for a puja",
        door=_DOOR,
        errors=_ERRORS,
    )
    async def get(self, query: CalendarQuery) -> CalendarResponse:
        almanac = self.services.almanac
        days = await almanac.calendar(
            query.from_,
            query.to,
            query.puja_id,
            await almanac.where(query.lat, query.lng, query.timezone),
        )
        return CalendarResponse(results=[present_calendar_day(day) for day in days])


# "match" and "shared" stand before {id}: the first pattern that matches wins.
ROUTES: Final = (
    Route("/api/kundali/", KundalisHandler, "kundalis"),
    Route("/api/kundali/match/", MatchHandler, "kundali-match"),
    Route("/api/kundali/shared/{token}/", SharedHandler, "kundali-shared"),
    Route("/api/kundali/{id}/", KundaliHandler, "kundali"),
    Route("/api/kundali/{id}/share/", ShareHandler, "kundali-share"),
    Route("/api/kundali/{id}/chart.svg", DrawingHandler, "kundali-drawing"),
    Route("/api/panchang/", PanchangHandler, "panchang"),
    Route("/api/festivals/", FestivalsHandler, "festivals"),
    Route("/api/muhurta/", MuhurtaHandler, "muhurta"),
    Route("/api/calendar/", CalendarHandler, "calendar"),
)
