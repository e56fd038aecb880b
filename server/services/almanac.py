"""The calendar of rites: almanac, festivals, and the days and hours that suit a puja."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import date, timedelta
from typing import Final
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from kundali.bikram_sambat import BSDate, OutsideCalendar, month_lengths, to_ad, to_bs
from kundali.ephemeris import KATHMANDU, NoSunrise, OutsideEphemeris, Place, PlaceOutOfRange
from kundali.festivals import (
    FIRST_YEAR,
    LAST_YEAR,
    Festival,
    UnknownYear,
    festivals_of_bs_year,
    festivals_of_year,
)
from kundali.muhurta import Judgement, Person, Rite, judge_dates, rite_of
from kundali.panchang import Panchang, panchang, panchangs
from kundali.sky import DRIK, SURYA, Siddhanta, Sky
from server.domain.account import NEPAL, GeoPoint
from server.domain.catalogue import Puja
from server.domain.errors import FieldFault, Invalid, NotFound
from server.domain.ports.catalogue import CatalogueRepository
from server.domain.ports.kundali import ZoneMap
from server.domain.ports.world import Clock, Workers
from server.domain.readings import CalendarDay, Ranking, Where
from server.services.computed import Computed

MOST_RANKED_DAYS: Final = 190
"""Half a year: more would keep the workers busy for seconds."""
MOST_CALENDAR_DAYS: Final = 62
_DEFAULT_DAYS: Final = 60
_FIRST_DAY, _LAST_DAY = date(100, 1, 1), date(2900, 12, 31)
"""Days whose neighbours too lie within the ephemeris and the calendar of Python."""
_SKIES: Final = {Siddhanta.SURYA: SURYA, Siddhanta.DRIK: DRIK}
_PLACES_DECIMALS: Final = 2
"""About a kilometre, in which sunrise moves by less than three seconds."""


HOME: Final = Where(
    round(KATHMANDU.latitude_degrees, _PLACES_DECIMALS),
    round(KATHMANDU.longitude_degrees, _PLACES_DECIMALS),
    NEPAL,
)
"""Kathmandu, for which the national almanac is made."""


class AlmanacService:
    """The use cases of the ritual calendar; open to everybody.

    Parameters
    ----------
    rites
        Key of the rite whose rules a puja follows, by the puja's id.
    workers
        Compute: some milliseconds a day.

    Raises
    ------
    UnknownRite
        If the table names a rite that has no rules.
    """

    def __init__(
        self,
        *,
        catalogue: CatalogueRepository,
        rites: Mapping[str, str],
        zones: ZoneMap,
        workers: Workers,
        clock: Clock,
    ) -> None:
        self._catalogue = catalogue
        self._rites = {puja_id: rite_of(key) for puja_id, key in rites.items()}
        self._zones = zones
        self._workers = workers
        self._clock = clock
        self._days: Computed[tuple[date, Where, Siddhanta], Panchang] = Computed(workers, 512)
        self._months: Computed[tuple[int, int, Where], tuple[Panchang, ...]] = Computed(workers, 48)
        self._festivals: Computed[tuple[bool, int], tuple[Festival, ...]] = Computed(workers, 160)
        self._judged: Computed[
            tuple[str, date, date, Where, tuple[Person, ...]], tuple[Judgement, ...]
        ] = Computed(workers, 128)

    @property
    def today(self) -> date:
        """The day in Nepal."""
        return self._clock.now().astimezone(ZoneInfo(NEPAL)).date()

    @property
    def pujas_with_rules(self) -> frozenset[str]:
        """Ids of the pujas whose days can be ranked."""
        return frozenset(self._rites)

    async def where(
        self, latitude: float | None, longitude: float | None, zone: str | None
    ) -> Where:
        """Return the place to compute for; Kathmandu without coordinates.

        Raises ``Invalid`` for half a position, one that is not on Earth, and an unknown zone.
        """
        if zone is not None:
            _check_zone(zone)
        if latitude is None and longitude is None:
            return HOME._replace(zone=zone or NEPAL)
        if latitude is None or longitude is None:
            raise Invalid(FieldFault("lat" if latitude is None else "lng", "required"))
        try:
            Place(latitude, longitude)
        except PlaceOutOfRange as refusal:
            field = "lat" if refusal.field.startswith("latitude") else "lng"
            limits: dict[str, str | int] = {"low": int(refusal.low), "high": int(refusal.high)}
            raise Invalid(FieldFault(field, "between", limits)) from None
        point = GeoPoint(
            round(latitude, _PLACES_DECIMALS) + 0.0, round(longitude, _PLACES_DECIMALS) + 0.0
        )
        if zone is None:
            zone = await self._workers.run(lambda: self._zones.zone_at(point))
        return Where(point.latitude, point.longitude, zone)

    async def panchang(
        self, day: date | None, where: Where = HOME, siddhanta: Siddhanta = Siddhanta.SURYA
    ) -> Panchang:
        """Return the almanac of a day; today's without one.

        Raises ``Invalid`` for a day outside the ephemeris and a place without sunrise on it.
        """
        day = self.today if day is None else day
        _check_day("date", day)
        sky = _SKIES[siddhanta]
        return await self._days.get((day, where, siddhanta), lambda: _one_day(day, where, sky))

    async def month(self, year: int, month: int, where: Where = HOME) -> tuple[Panchang, ...]:
        """Return the almanac of each day of a Bikram Sambat month.

        Raises ``Invalid`` for a month outside the calendar and a place without sunrise in it.
        """
        try:
            first = to_ad(BSDate(year, month, 1))
            last = first + timedelta(days=month_lengths(year)[month - 1] - 1)
        except OutsideCalendar:
            raise Invalid(FieldFault("month", "outside-calendar")) from None
        return await self._months.get((year, month, where), lambda: _some_days(first, last, where))

    async def festivals(
        self, *, year: int | None = None, bs_year: int | None = None
    ) -> tuple[Festival, ...]:
        """Return the festivals of a year of either calendar; of this one without a year.

        Raises ``Invalid`` for a year outside the calendar.
        """
        if bs_year is None:
            year = self.today.year if year is None else year
            return await self._festivals_of(year, is_bs=False)
        return await self._festivals_of(bs_year, is_bs=True)

    async def festivals_between(self, first: date, last: date) -> tuple[Festival, ...]:
        """Return those from the one day to the other; years without a calendar have none."""
        years = range(max(first.year, FIRST_YEAR), min(last.year, LAST_YEAR) + 1)
        found = [each for year in years for each in await self._festivals_of(year, is_bs=False)]
        return tuple(each for each in found if first <= each.day <= last)

    async def _festivals_of(self, year: int, *, is_bs: bool) -> tuple[Festival, ...]:
        field = "bs_year" if is_bs else "year"
        try:
            return await self._festivals.get(
                (is_bs, year),
                lambda: festivals_of_bs_year(year) if is_bs else festivals_of_year(year),
            )
        except (UnknownYear, OutsideCalendar):
            limits: dict[str, str | int] = {"low": FIRST_YEAR, "high": LAST_YEAR}
            if is_bs:
                limits = {"low": FIRST_YEAR + 57, "high": LAST_YEAR + 56}
            raise Invalid(FieldFault(field, "between", limits)) from None

    async def muhurtas(
        self,
        puja_id: str,
        first: date | None = None,
        last: date | None = None,
        *,
        where: Where = HOME,
        persons: Sequence[Person] = (),
        most: int = 10,
    ) -> Ranking:
        """Rank the days for a puja, printed ones first, then by score.

        Without a range those of the next two months.

        Raises ``NotFound`` for an unknown puja, ``Invalid`` for one whose day is not chosen by such
        rules, a range that is too long or outside the calendar, and a place without sunrise.
        """
        puja, rite = await self._rite(puja_id)
        first = self.today if first is None else first
        last = first + timedelta(days=_DEFAULT_DAYS) if last is None else last
        judged = await self._judge(rite, first, last, where, tuple(persons), MOST_RANKED_DAYS)
        found = [each.muhurta for each in judged if each.muhurta is not None]
        found.sort(key=lambda each: (not each.is_printed, -each.score, each.day))
        return Ranking(
            puja=puja,
            rite=rite,
            first=first,
            last=last,
            muhurtas=tuple(found[:most]),
            best_barred=() if found else tuple(judged[:most]),
        )

    async def calendar(
        self, first: date, last: date, puja_id: str | None = None, where: Where = HOME
    ) -> tuple[CalendarDay, ...]:
        """Return the days of a calendar with festivals and what they are for a puja.

        A puja without rules has days without a judgement. Raises ``NotFound`` for an unknown puja,
        ``Invalid`` for more than `MOST_CALENDAR_DAYS` or days outside the calendar.
        """
        _check_range(first, last, MOST_CALENDAR_DAYS)
        festivals: dict[date, list[Festival]] = {}
        for each in await self.festivals_between(first, last):
            festivals.setdefault(each.day, []).append(each)
        judged: dict[date, Judgement] = {}
        if puja_id is not None:
            if await self._catalogue.find_puja(puja_id) is None:
                raise NotFound
            rite = self._rites.get(puja_id)
            if rite is not None:
                found = await self._judge(rite, first, last, where, (), MOST_CALENDAR_DAYS)
                judged = {each.day: each for each in found}
        days = (first + timedelta(days=ahead) for ahead in range((last - first).days + 1))
        return tuple(
            CalendarDay(
                day=day,
                bs=_bs(day),
                festivals=tuple(festivals.get(day, ())),
                judgement=judged.get(day),
            )
            for day in days
        )

    async def _rite(self, puja_id: str) -> tuple[Puja, Rite]:
        puja = await self._catalogue.find_puja(puja_id)
        if puja is None:
            raise NotFound
        rite = self._rites.get(puja_id)
        if rite is None:
            raise Invalid(FieldFault("puja_id", "no-muhurta-rules"))
        return puja, rite

    async def _judge(
        self,
        rite: Rite,
        first: date,
        last: date,
        where: Where,
        persons: tuple[Person, ...],
        most: int,
    ) -> tuple[Judgement, ...]:
        _check_range(first, last, most)
        key = (rite.key, first, last, where, persons)
        return await self._judged.get(key, lambda: _judge(rite.key, first, last, where, persons))


def _one_day(day: date, where: Where, sky: Sky) -> Panchang:
    try:
        return panchang(day, where.place, ZoneInfo(where.zone), sky)
    except NoSunrise:
        raise Invalid(FieldFault("lat", "no-sunrise")) from None
    except OutsideEphemeris:
        raise Invalid(FieldFault("date", "outside-almanac")) from None


def _some_days(first: date, last: date, where: Where) -> tuple[Panchang, ...]:
    try:
        return panchangs(first, last, where.place, ZoneInfo(where.zone))
    except NoSunrise:
        raise Invalid(FieldFault("lat", "no-sunrise")) from None


def _judge(
    rite: str, first: date, last: date, where: Where, persons: tuple[Person, ...]
) -> tuple[Judgement, ...]:
    try:
        return judge_dates(
            rite, first, last, place=where.place, zone=ZoneInfo(where.zone), persons=persons
        )
    except OutsideCalendar:
        raise Invalid(FieldFault("from", "outside-calendar")) from None
    except NoSunrise:
        raise Invalid(FieldFault("lat", "no-sunrise")) from None


def _bs(day: date) -> BSDate | None:
    try:
        return to_bs(day)
    except OutsideCalendar:
        return None


def _check_day(field: str, day: date) -> None:
    if not _FIRST_DAY <= day <= _LAST_DAY:
        raise Invalid(FieldFault(field, "outside-almanac"))


def _check_range(first: date, last: date, most: int) -> None:
    _check_day("from", first)
    _check_day("to", last)
    if last < first:
        raise Invalid(FieldFault("to", "order"))
    if (last - first).days >= most:
        raise Invalid(FieldFault("to", "too-many-days", {"most": most}))


def _check_zone(name: str) -> None:
    try:
        ZoneInfo(name)
    # A name with dots or a folder's name is a ValueError or an OSError, not a missing key.
    except (ZoneInfoNotFoundError, ValueError, OSError):
        raise Invalid(FieldFault("timezone", "timezone")) from None
