"""Birth charts: casting, keeping, showing by a link, matching."""

from __future__ import annotations

import secrets
from collections.abc import Callable
from dataclasses import replace
from datetime import date, datetime, time, timedelta
from typing import Final, TypeVar

from kundali.births import Birth, BirthInput, BirthRefused, Fault, FaultCode, resolve
from kundali.chart import ENGINE_VERSION, Chart, almanac, cast
from kundali.dasha import dasha
from kundali.divisional import Varga
from kundali.dosha import doshas
from kundali.ephemeris import FIRST_DAY, LAST_DAY, Ayanamsa, Node, OutsideEphemeris
from kundali.julian import julian_day
from kundali.matching import match_charts
from kundali.muhurta import Person
from kundali.options import Options, YearLength
from kundali.reading import notices, predictions
from kundali.sky import Siddhanta
from kundali.svg import NotDrawable, Style, draw
from kundali.transits import SaturnStay, sade_sati
from kundali.yogas import yogas
from server.domain.account import Actor, GeoPoint
from server.domain.chart import (
    MAX_CHARTS,
    BirthDetails,
    ChartChoices,
    ChartSummary,
    SavedChart,
    share_hash,
)
from server.domain.errors import FieldFault, Invalid, NotFound, NotSignedIn
from server.domain.ports.kundali import ChartRepository, PlaceDirectory, ZoneMap
from server.domain.ports.paging import Page, SortKey
from server.domain.ports.world import Clock, IdSource, Workers
from server.domain.readings import (
    ChartReading,
    MatchReading,
    MatchSide,
    ShareLink,
    ShownChart,
)
from server.services.computed import Computed

E = TypeVar("E", Ayanamsa, Node, YearLength)
T = TypeVar("T")

_KEPT_READINGS: Final = 256
_SATURN_BACK_DAYS: Final = 10 * 365.25
_SATURN_AHEAD_DAYS: Final = 30 * 365.25
_TOKEN_BYTES: Final = 32

_FAULT_CODES: Final = {
    FaultCode.REQUIRED: "required",
    FaultCode.OUT_OF_RANGE: "between",
    FaultCode.UNKNOWN_ZONE: "timezone",
    FaultCode.SKIPPED_TIME: "skipped-time",
    FaultCode.SKIPPED_DAY: "skipped-day",
    FaultCode.OUTSIDE_EPHEMERIS: "outside-ephemeris",
}


class ChartService:
    """The use cases of birth charts. To all but its owner a chart does not exist.

    Parameters
    ----------
    workers
        Cast charts and read them: some tens of milliseconds each.
    """

    def __init__(
        self,
        *,
        charts: ChartRepository,
        places: PlaceDirectory,
        zones: ZoneMap,
        workers: Workers,
        clock: Clock,
        ids: IdSource,
    ) -> None:
        self._charts = charts
        self._places = places
        self._zones = zones
        self._workers = workers
        self._clock = clock
        self._ids = ids
        self._readings: Computed[tuple[BirthDetails, ChartChoices, date], ChartReading] = Computed(
            workers, _KEPT_READINGS
        )

    async def save(
        self, actor: Actor, name: str, birth: BirthDetails, choices: ChartChoices
    ) -> ShownChart:
        """Cast a chart and keep it.

        Raises ``Invalid`` naming every fault of the birth, or ``name: too-many`` for one who keeps
        `MAX_CHARTS` already.
        """
        reading = await self._read(await self._accepted(birth), choices)
        if await self._charts.count_of(actor.user_id, limit=MAX_CHARTS) >= MAX_CHARTS:
            raise Invalid(FieldFault("name", "too-many"))
        saved = SavedChart(
            id=self._ids.new(),
            user_id=actor.user_id,
            name=name,
            birth=reading.details,
            choices=choices,
            summary=_summary(reading.chart),
            engine=ENGINE_VERSION,
            siddhanta=Siddhanta.DRIK.value,
            created_at=self._clock.now(),
        )
        await self._charts.add(saved)
        return ShownChart(saved=saved, reading=reading)

    async def list_page(
        self, actor: Actor, *, limit: int, after: SortKey | None
    ) -> Page[SavedChart]:
        """Return one's own charts, the newest first."""
        return await self._charts.list_page(actor.user_id, limit=limit, after=after)

    async def show(self, actor: Actor, chart_id: str) -> ShownChart:
        """Return one's own chart. Raises ``NotFound``."""
        saved = await self._own(actor, chart_id)
        return ShownChart(saved=saved, reading=await self._read(saved.birth, saved.choices))

    async def remove(self, actor: Actor, chart_id: str) -> None:
        """Delete one's own chart; its link ends with it. Raises ``NotFound``."""
        if not await self._charts.remove(chart_id, actor.user_id):
            raise NotFound

    async def share(
        self, actor: Actor, chart_id: str, days: int, *, with_birth: bool = False, token: str = ""
    ) -> ShareLink:
        """Make a link that shows one's own chart for some days; the one before ends.

        Its secret is ``token``, else one that is drawn here.
        Time and place of the birth are told only ``with_birth``. Raises ``NotFound``.
        """
        token = token or secrets.token_urlsafe(_TOKEN_BYTES)
        expires_at = self._clock.now() + timedelta(days=days)
        if not await self._charts.share(
            chart_id, actor.user_id, share_hash(token), expires_at, with_birth=with_birth
        ):
            raise NotFound
        return ShareLink(token=token, expires_at=expires_at)

    async def unshare(self, actor: Actor, chart_id: str) -> None:
        """End the link to one's own chart. Raises ``NotFound``."""
        if not await self._charts.share(chart_id, actor.user_id, "", None, with_birth=False):
            raise NotFound

    async def shared(self, token: str) -> ShownChart:
        """Return the chart that a link shows, with time and place only if its owner added them.

        Raises ``NotFound`` for a token that is none, was replaced, or whose time is over.
        """
        saved = await self._charts.find_shared(share_hash(token))
        if saved is None or not saved.opens_with(token, self._clock.now()):
            raise NotFound
        shown = ShownChart(saved=saved, reading=await self._read(saved.birth, saved.choices))
        return shown if saved.share_with_birth else shown.without_birth()

    async def match(
        self, actor: Actor | None, groom: MatchSide, bride: MatchSide, *, directed: bool = True
    ) -> MatchReading:
        """Match two people, both by the sky of one choice.

        That is the choice of the groom's chart if it is a kept one, else Lahiri: two Moons of
        different zodiacs say nothing of each other.

        Raises ``Invalid`` naming every fault of both births, ``NotFound`` for a chart that is not
        the actor's own, ``NotSignedIn`` if charts are named and nobody is signed in.
        """
        faults: list[FieldFault] = []
        readings = []
        choices = ChartChoices()
        for prefix, side in (("groom", groom), ("bride", bride)):
            try:
                name, birth, chosen = await self._side(actor, side)
                if prefix == "groom":
                    choices = chosen
                readings.append((name, await self._read(birth, choices)))
            except Invalid as refusal:
                faults += [
                    FieldFault(f"{prefix}.{fault.field}", fault.code, fault.params)
                    for fault in refusal.faults
                ]
        if faults:
            raise Invalid(*faults)
        (his_name, his), (her_name, hers) = readings
        couple = await self._workers.run(
            lambda: match_charts(his.chart, hers.chart, directed=directed)
        )
        return MatchReading(
            groom=his.chart,
            bride=hers.chart,
            groom_name=his_name,
            bride_name=her_name,
            couple=couple,
            directed=directed,
        )

    async def persons(self, actor: Actor | None, chart_ids: tuple[str, ...]) -> tuple[Person, ...]:
        """Return the owners of one's own charts as muhurta counts them.

        Raises ``NotFound`` for a chart that is not one's own, and ``Invalid`` for one whose Moon is
        not certain without a birth time.
        """
        found = []
        for chart_id in chart_ids:
            if actor is None:
                raise NotSignedIn
            saved = await self._own(actor, chart_id)
            if saved.summary.nakshatra is None or saved.summary.rashi is None:
                raise Invalid(FieldFault("kundali_id", "moon-uncertain"))
            found.append(Person(saved.name, saved.summary.nakshatra, saved.summary.rashi))
        return tuple(found)

    async def build(self, work: Callable[[], T]) -> T:
        """Build something large of a reading aside, so that nobody else waits for it.

        Raises ``Overloaded`` when too much waits for the workers.
        """
        return await self._workers.run(work)

    async def _side(
        self, actor: Actor | None, side: MatchSide
    ) -> tuple[str, BirthDetails, ChartChoices]:
        if side.chart_id is not None:
            if actor is None:
                raise NotSignedIn
            saved = await self._own(actor, side.chart_id)
            return saved.name, saved.birth, saved.choices
        return side.name, await self._accepted(side.birth or BirthDetails()), ChartChoices()

    async def _own(self, actor: Actor, chart_id: str) -> SavedChart:
        saved = await self._charts.find(chart_id)
        if saved is None or saved.user_id != actor.user_id:
            raise NotFound
        return saved

    async def _accepted(self, given: BirthDetails) -> BirthDetails:
        """Fill in what is missing and refuse what cannot be, a birth to come among it."""
        details = await self._complete(given)
        birth = resolve_birth(details)
        today = birth.to_local(julian_day(self._clock.now())).date()
        if birth.local.date() > today:
            raise Invalid(FieldFault("date_of_birth", "future-birth"))
        return details

    async def _complete(self, given: BirthDetails) -> BirthDetails:
        """Fill in what the name of the place tells, or the position its zone."""
        if given.latitude is None and given.longitude is None:
            if not given.place_of_birth:
                faults = [FieldFault("place_of_birth", "required"), *_missing_day(given)]
                raise Invalid(*faults)
            place = self._places.named(given.place_of_birth)
            if place is None:
                raise Invalid(FieldFault("place_of_birth", "unknown-place"), *_missing_day(given))
            return replace(
                given,
                latitude=place.point.latitude,
                longitude=place.point.longitude,
                timezone=given.timezone or place.timezone,
            )
        if given.timezone or given.latitude is None or given.longitude is None:
            return given
        if not (abs(given.latitude) <= 90 and abs(given.longitude) <= 180):
            # Not on Earth: the reading names the field, and no zone is missing then.
            return replace(given, timezone="UTC")
        point = GeoPoint(given.latitude, given.longitude)
        return replace(given, timezone=await self._workers.run(lambda: self._zones.zone_at(point)))

    async def _read(self, birth: BirthDetails, choices: ChartChoices) -> ChartReading:
        now = self._clock.now()
        moment = julian_day(now)
        return await self._readings.get(
            (birth, choices, now.date()), lambda: read_chart(birth, choices, moment)
        )


def read_chart(details: BirthDetails, choices: ChartChoices, moment: float) -> ChartReading:
    """Cast and read a chart for an instant (Julian day). Raises ``Invalid``."""
    birth = resolve_birth(details)
    try:
        chart = cast(birth, _options(choices))
        saturn: tuple[SaturnStay, ...] = ()
        if chart.is_rashi_certain:
            start = max(FIRST_DAY, birth.julian_day, moment - _SATURN_BACK_DAYS)
            end = min(LAST_DAY, max(start, moment) + _SATURN_AHEAD_DAYS)
            saturn = sade_sati(chart.moon_stays[0].sign, start, end, chart.options.ayanamsa)
        return ChartReading(
            details=details,
            chart=chart,
            almanac=almanac(chart),
            dasha=dasha(chart),
            yogas=yogas(chart),
            doshas=doshas(chart),
            predictions=predictions(chart, moment),
            notices=notices(chart),
            saturn=saturn,
        )
    except OutsideEphemeris:
        raise Invalid(
            FieldFault("date_of_birth", "outside-ephemeris", {"last_year": 3000})
        ) from None


def resolve_birth(details: BirthDetails) -> Birth:
    """Resolve what was filled in to an instant and a place. Raises ``Invalid``, field by field."""
    try:
        return resolve(
            BirthInput(
                day=details.date_of_birth,
                clock=details.time_of_birth if details.is_time_known else None,
                latitude_degrees=details.latitude,
                longitude_degrees=details.longitude,
                zone=details.timezone or None,
                is_time_known=details.is_time_known,
                second_reading=details.second_reading,
                about_minutes=details.about_minutes,
            )
        )
    except BirthRefused as refusal:
        raise Invalid(*(_fault(each) for each in refusal.faults)) from None


def drawing(
    reading: ChartReading, style: Style, language: str, varga: Varga, **how: str | bool
) -> str:
    """Draw a chart as SVG. Raises ``Invalid`` for a varga that needs the time of birth."""
    try:
        return draw(reading.chart, style, language, varga, **how)  # type: ignore[arg-type]  # of draw
    except NotDrawable:
        raise Invalid(FieldFault("varga", "needs-birth-time")) from None


def _missing_day(given: BirthDetails) -> list[FieldFault]:
    """What else is half filled in, so that everything is named at once."""
    faults = []
    if given.date_of_birth is None:
        faults.append(FieldFault("date_of_birth", "required"))
    if given.is_time_known and given.time_of_birth is None:
        faults.append(FieldFault("time_of_birth", "required"))
    return faults


def _fault(fault: Fault) -> FieldFault:
    params: dict[str, str | int | time] = {}
    for name, value in fault.values.items():
        if fault.code is FaultCode.SKIPPED_TIME:
            params[name] = datetime.fromisoformat(str(value)).time()
        else:
            params[name] = value if isinstance(value, str) else int(value)
    return FieldFault(fault.field, _FAULT_CODES[fault.code], params)


def _options(choices: ChartChoices) -> Options:
    return Options(
        ayanamsa=_choice(Ayanamsa, choices.ayanamsa, "ayanamsa"),
        node=_choice(Node, choices.node, "node"),
        year=_choice(YearLength, choices.year, "year"),
    )


def _choice(kind: type[E], value: str, field: str) -> E:
    try:
        return kind(value)
    except ValueError:
        raise Invalid(FieldFault(field, "choice")) from None


def _summary(chart: Chart) -> ChartSummary:
    stay = chart.moon_stays[0]
    return ChartSummary(
        lagna=None if chart.lagna is None else chart.lagna.sign + 1,
        rashi=stay.sign + 1 if chart.is_rashi_certain else None,
        nakshatra=stay.nakshatra + 1 if chart.is_nakshatra_certain else None,
    )
