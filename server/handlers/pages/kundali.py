"""Birth charts, matching, the panchang with its month, and the days that suit a puja."""

from __future__ import annotations

from collections.abc import Callable
from datetime import date, datetime, timedelta
from typing import Any, Final
from urllib.parse import urlencode

from kundali.bikram_sambat import MONTHS, BSDate, OutsideCalendar, month_lengths, to_ad
from kundali.chart import Stay
from kundali.dasha import Period, subperiods
from kundali.divisional import Varga
from kundali.muhurta import Muhurta
from kundali.names import GRAHAS, LAGNA, RASHIS, VARAS, Name
from kundali.names import TITHIS as TITHI_NAMES
from kundali.phrases import title, written
from kundali.sky import Siddhanta
from kundali.svg import Style, caption, varga_name
from kundali.zodiac import NAKSHATRA_TABLE
from server.domain.chart import DEFAULT_SHARE_DAYS, SavedChart
from server.domain.errors import FieldFault, Invalid
from server.domain.readings import ChartReading, MatchSide, ShownChart
from server.domain.texts import written_clock
from server.handlers.base import ANYONE
from server.handlers.page_base import Form
from server.handlers.pages.base import Page
from server.handlers.routing import Route
from server.schemas.almanac import MuhurtaQuery, PanchangQuery
from server.schemas.kundali import KundaliRequest, ShareRequest
from server.services.charts import drawing

_PER_PAGE: Final = 50
_MOST_MUHURTAS: Final = 20
# The date line: nowhere is it a later day than there.
_EAST_OF_UTC: Final = timedelta(hours=14)
_QUARTER: Final = 15
_VARGAS: Final = (Varga.D1, Varga.D9, Varga.D10)
_SUGGESTED: Final = 5
_BS_MONTHS: Final = 12


class AlmanacPage(Page):
    """What these pages share: names and sentences of the package in the reader's language."""

    def get_template_namespace(self) -> dict[str, Any]:
        """Add them."""
        language = self.reader.language
        return {
            **super().get_template_namespace(),
            "say": lambda phrase: phrase.text(language),
            "call": lambda name: name.in_language(language),
            "word": lambda code: title(code).in_language(language),
            "tell": lambda value: written(value, language),
            "grahas": GRAHAS,
            "rashis": RASHIS,
            "mansions": NAKSHATRA_TABLE,
            "lagna_name": LAGNA,
            "degrees": self._degrees,
            "day_both": self.day_both,
            "hour": self._hour,
        }

    def _degrees(self, value: float) -> str:
        minutes = int(value * 60)
        return self.formatter.digits(f"{minutes // 60}°{minutes % 60:02d}′")

    def day_both(self, day: date) -> str:
        """A day in short in both calendars, that of the reader's language first."""
        ad, bs = self.formatter.day_short(day), self.formatter.day_bs(day)
        if not bs:
            return ad
        return f"{bs} ({ad})" if self.reader.language == "ne" else f"{ad} ({bs})"

    def _hour(self, at: datetime, day: date | None = None) -> str:
        """A time on the clock of its own place, with the date where that is another day."""
        text = written_clock(at, self.reader.language)
        if day is not None and at.date() != day:
            return f"{text} ({self.formatter.day_short(at.date())})"
        return text


class KundalisPage(AlmanacPage):
    """One's own charts, and the form of a new one."""

    roles = ANYONE
    section = "kundali"

    async def get(self) -> None:
        """Show both."""
        await self._show(Form())

    async def post(self) -> None:
        """Cast a chart and keep it."""
        await self.submit(self._save, self._show)

    async def _save(self) -> str:
        more = {"time_known": "false"} if "time_unknown" in self.typed else {}
        body = self.read(KundaliRequest, **more)
        shown = await self.services.charts.save(
            self.person, body.name, body.birth(), body.choices()
        )
        return f"/kundali/{shown.saved.id}/"

    async def _show(self, form: Form) -> None:
        page = await self.services.charts.list_page(self.person, limit=_PER_PAGE, after=None)
        typed = form.values.get("place_of_birth", "")
        is_unknown = bool(typed) and bool(form.error("place_of_birth"))
        await self.show(
            "kundali/charts.html",
            title=self.translate("Kundali"),
            form=form,
            charts=page.rows,
            latest=(self.services.clock.now() + _EAST_OF_UTC).date().isoformat(),
            suggested=self.services.places.search(typed[:3], limit=_SUGGESTED)
            if is_unknown
            else (),
        )


class KundaliPage(AlmanacPage):
    """One of one's own charts."""

    roles = ANYONE
    section = "kundali"

    async def get(self, chart_id: str) -> None:
        """Show it."""
        shown = await self.services.charts.show(self.person, chart_id)
        await show_chart(self, shown, is_own=True)

    async def post(self, chart_id: str) -> None:
        """Share it, end its link, or delete it; that only once it is confirmed."""
        if self.typed.get("action") == "delete" and not self.is_confirmed:
            shown = await self.services.charts.show(self.person, chart_id)
            await self.ask(
                self.translate("Delete the kundali of {name}?", name=shown.saved.name),
                text=self.translate("It is gone for good, and no link shows it any more."),
                yes=self.translate("Delete the chart"),
                back=f"/kundali/{chart_id}/",
                sent={"action": "delete"},
            )
            return
        await self.do(lambda: self._act(chart_id), f"/kundali/{chart_id}/")

    async def _act(self, chart_id: str) -> str:
        charts = self.services.charts
        action = self.typed.get("action", "")
        if action == "delete":
            await charts.remove(self.person, chart_id)
            self.flash("good", self.translate("The chart has been deleted."))
            return "/kundali/"
        if action == "unshare":
            await charts.unshare(self.person, chart_id)
            self.flash("good", self.translate("The link no longer works."))
        elif action == "share":
            body = self.read(ShareRequest)
            link = await charts.share(self.person, chart_id, body.days, with_birth=body.with_birth)
            self.flash(
                "good",
                self.translate(
                    "Whoever has this link sees the chart until {day}: {url}",
                    day=self.day_both(self.reader.local(link.expires_at).date()),
                    url=f"{self.site_url}/kundali/shared/{link.token}/",
                ),
            )
        else:
            raise Invalid(FieldFault("action", "choice"))
        return f"/kundali/{chart_id}/"


class SharedKundaliPage(AlmanacPage):
    """A chart that somebody showed by a link."""

    section = "kundali"

    async def get(self, token: str) -> None:
        """Show it; the address goes to no other site and into no search engine."""
        self.set_header("Referrer-Policy", "no-referrer")
        self.set_header("X-Robots-Tag", "noindex")
        await show_chart(self, await self.services.charts.shared(token), is_own=False)


async def show_chart(page: AlmanacPage, shown: ShownChart, *, is_own: bool) -> None:
    """Show a chart with all that is read from it."""
    reading = shown.reading
    chart, language = reading.chart, page.reader.language
    vargas = _VARGAS if chart.is_time_known else (Varga.D1,)
    now = page.services.clock.now()
    wanted, day_both = page.get_query_argument("maha", ""), page.day_both

    def build() -> tuple[list[Any], list[dict[str, Any]]]:
        drawings = [
            (
                varga_name(varga),
                _drawn(reading, Style.NORTH, varga, language),
                _drawn(reading, Style.SOUTH, varga, language),
            )
            for varga in vargas
        ]
        return drawings, _periods(reading, now, wanted, day_both)

    drawings, periods = await page.services.charts.build(build)
    await page.show(
        "kundali/chart.html",
        title=page.translate("Kundali of {name}", name=shown.saved.name),
        saved=shown.saved,
        reading=reading,
        chart=chart,
        is_own=is_own,
        tells_birth=shown.tells_birth,
        is_shared=shown.saved.is_shared(now),
        shared_until=page.reader.maybe_local(shown.saved.share_expires_at),
        share_days=DEFAULT_SHARE_DAYS,
        north=drawings,
        caption=caption(chart, language),
        dasha=periods,
        sections=_sections(reading),
        tithi=TITHI_NAMES[reading.almanac.tithi],
        vara=VARAS[
            reading.almanac.civil_weekday if reading.almanac.vara is None else reading.almanac.vara
        ],
        now=now,
        moon_names=_moon_names(chart.moon_stays),
    )


def _drawn(reading: ChartReading, style: Style, varga: Varga, language: str) -> str:
    element_id = f"{style.value}-{varga.name.lower()}"
    return drawing(reading, style, language, varga, element_id=element_id)


def _periods(
    reading: ChartReading, now: datetime, wanted: str, day_both: Callable[[date], str]
) -> list[dict[str, Any]]:
    """The dasha with days in the zone of the birth: of one mahadasha to the third level.

    That is the one ``wanted`` by its number, else the one that runs now, else the first; of the
    others the antardashas. All at once would be 819 rows.
    """
    if reading.dasha is None:
        return []
    to_local = reading.chart.birth.to_local

    def row(period: Period, depth: int) -> dict[str, Any]:
        start, end = to_local(period.start), to_local(period.end)
        return {
            "lord": GRAHAS[period.lord],
            "days": f"{day_both(start.date())} – {day_both(end.date())}",
            "is_now": start <= now < end,
            "periods": [row(each, depth - 1) for each in subperiods(period)] if depth else [],
        }

    mahas = reading.dasha.mahadashas
    running = (at for at, each in enumerate(mahas) if to_local(each.start) <= now)
    last = max((at for at in running if now < to_local(mahas[at].end)), default=0)
    is_number = wanted.isascii() and wanted.isdigit() and len(wanted) == 1
    opened = int(wanted) if is_number and int(wanted) < len(mahas) else last
    return [
        {**row(each, 2 if at == opened else 1), "is_open": at == opened}
        for at, each in enumerate(mahas)
    ]


def _sections(reading: ChartReading) -> list[tuple[Name, list[Any]]]:
    found: dict[str, list[Any]] = {}
    for each in reading.predictions:
        found.setdefault(each.section.value, []).append(each)
    return [(title(f"section.{code}"), rows) for code, rows in found.items()]


def _moon_names(stays: tuple[Stay, ...]) -> list[Name]:
    return list(dict.fromkeys(NAKSHATRA_TABLE[stay.nakshatra].name for stay in stays))


class MatchPage(AlmanacPage):
    """Matching of two of one's own charts."""

    roles = ANYONE
    section = "kundali"

    async def get(self) -> None:
        """Show whom to choose, and what was found of those chosen."""
        groom, bride = (self.get_query_argument(name, "") for name in ("groom_id", "bride_id"))
        directed = self.get_query_argument("directed", "true") == "true"
        page = await self.services.charts.list_page(self.person, limit=_PER_PAGE, after=None)
        found, form = None, Form(values=self._query())
        if groom and bride:
            found = await self.services.charts.match(
                self.person,
                MatchSide(chart_id=groom),
                MatchSide(chart_id=bride),
                directed=directed,
            )
        await self.show(
            "kundali/match.html",
            title=self.translate("Matching"),
            form=form,
            charts=page.rows,
            found=found,
            directed=directed,
        )


class PanchangPage(AlmanacPage):
    """The almanac of a day, and the Bikram Sambat month around it."""

    section = "panchang"

    async def get(self) -> None:
        """Show both; what is wrong with the address is told above today's."""
        almanac = self.services.almanac
        form = Form(values=self._query())
        where = await almanac.where(None, None, None)
        try:
            query = self.filters(PanchangQuery)
            where = await almanac.where(query.lat, query.lng, query.timezone)
            day = await almanac.panchang(query.date or self._first_of_month(), where, query.sky())
        except Invalid as error:
            problem = self.describe_error(422, error)
            self.set_status(problem.status)
            form = Form(self._query(), problem)
            where = await almanac.where(None, None, None)
            day = await almanac.panchang(None, where, Siddhanta.SURYA)
        festivals = await almanac.festivals_between(day.day, day.day)
        await self.show(
            "kundali/panchang.html",
            title=self.translate("Panchang"),
            form=form,
            day=day,
            where=where,
            festivals=festivals,
            today=almanac.today,
            **await self._month(day.bs),
        )

    def _first_of_month(self) -> date | None:
        month = self.get_query_argument("month", "")
        if not month:
            return None
        try:
            year, number = (int(part) for part in month.split("-"))
            return to_ad(BSDate(year, number, 1))
        except (OutsideCalendar, OverflowError):
            raise Invalid(FieldFault("month", "outside-calendar")) from None
        except ValueError:
            raise Invalid(FieldFault("month", "bs-date")) from None

    async def _month(self, bs: BSDate | None) -> dict[str, Any]:
        if bs is None:
            return {"weeks": [], "month_name": "", "before": "", "after": "", "month_festivals": []}
        first = to_ad(BSDate(bs.year, bs.month, 1))
        length = month_lengths(bs.year)[bs.month - 1]
        days = await self.services.almanac.calendar(first, first + timedelta(days=length - 1))
        blank = first.isoweekday() % 7
        cells: list[Any] = [None] * blank + list(days)
        cells += [None] * (-len(cells) % 7)
        name = MONTHS[bs.month - 1]
        shown = name.ne if self.reader.language == "ne" else name.en
        return {
            "weeks": [cells[at : at + 7] for at in range(0, len(cells), 7)],
            "month_name": f"{shown} {self.formatter.digits(str(bs.year))}",
            "before": _beside(bs, -1),
            "after": _beside(bs, 1),
            "month_festivals": [each for day in days for each in day.festivals],
        }


def _beside(bs: BSDate, step: int) -> str:
    """The month before or after, empty at the ends of the calendar."""
    at = bs.year * _BS_MONTHS + bs.month - 1 + step
    year, month = at // _BS_MONTHS, at % _BS_MONTHS + 1
    try:
        BSDate(year, month, 1)
    except OutsideCalendar:
        return ""
    return f"{year}-{month:02d}"


class MuhurtaPage(AlmanacPage):
    """The days that suit a puja, each with its reasons and a way to book it."""

    section = "panchang"

    async def get(self) -> None:
        """Show the form, and what was found."""
        form, ranking = Form(values=self._query()), None
        service_id = self.get_query_argument("service_id", "")[:64]
        if self.get_query_argument("puja_id", ""):
            try:
                query = self.filters(MuhurtaQuery)
                ranking = await self.services.almanac.muhurtas(
                    query.puja_id, query.from_, query.to, most=_MOST_MUHURTAS,
                    persons=await self.services.charts.persons(self.actor, query.charts()),
                )  # fmt: skip
            except Invalid as error:
                problem = self.describe_error(422, error)
                self.set_status(problem.status)
                form = Form(self._query(), problem)
        sheets = (await self.services.catalogue.list_pujas()).rows
        ruled = self.services.almanac.pujas_with_rules
        charts: tuple[SavedChart, ...] = ()
        if self.actor is not None:
            page = await self.services.charts.list_page(self.actor, limit=_PER_PAGE, after=None)
            charts = page.rows
        await self.show(
            "kundali/muhurta.html",
            title=self.translate("Days for a puja"),
            form=form,
            ranking=ranking,
            charts=charts,
            pujas=[sheet.puja for sheet in sheets if sheet.puja.id in ruled],
            today=self.services.almanac.today,
            service_id=service_id,
            book=lambda found: _book_link(found, service_id, form.values.get("puja_id", "")),
        )


def _book_link(found: Muhurta, service_id: str, puja_id: str) -> str:
    """The booking form of the pandit, else the search for one, on the day at the first quarter."""
    at = first_quarter(found.start, found.end)
    if service_id:
        query = {"booking_date": found.day.isoformat(), "booking_time": at}
        path = f"/book/{service_id}/"
    else:
        query = {"puja_id": puja_id, "date": found.day.isoformat(), "time": at}
        path = "/pandits/"
    return f"{path}?{urlencode({name: value for name, value in query.items() if value})}"


def first_quarter(start: datetime, end: datetime) -> str:
    """The first full quarter of an hour within a time of the day, as ``HH:MM``; empty without."""
    past = timedelta(minutes=start.minute % _QUARTER, seconds=start.second)
    at = start.replace(microsecond=0)
    if past:
        at += timedelta(minutes=_QUARTER) - past
    return at.strftime("%H:%M") if at < end and at.date() == start.date() else ""


# "match" and "shared" stand before {id}: the first pattern that matches wins.
ROUTES: Final = (
    Route("/kundali/", KundalisPage, "page-kundalis"),
    Route("/kundali/match/", MatchPage, "page-kundali-match"),
    Route("/kundali/shared/{token}/", SharedKundaliPage, "page-kundali-shared"),
    Route("/kundali/{id}/", KundaliPage, "page-kundali"),
    Route("/panchang/", PanchangPage, "page-panchang"),
    Route("/muhurta/", MuhurtaPage, "page-muhurta"),
)
