"""The almanac of a day and place: tithi, nakshatra, yoga, karana, weekday, month, and good hours.

The day runs from sunrise to sunrise, and an anga that ends in it is followed by the next: a day
may bear two tithis, or three karanas. Tithi and the rest come from the Surya sky unless the caller
asks for the modern one; sunrise, sunset and moonrise are always modern. `Panchang.siddhanta` and
`Panchang.risings` say so.

Typical use::

    today = panchang(date(2025, 9, 22))                         # Kathmandu, as Nepal prints it
    today.tithis[0].name.ne, today.tithis[0].end
    month = panchang_of_bs_month(2082, 6)                       # thirty days at once
    abroad = panchang(day, Place(51.5, -0.12), ZoneInfo("Europe/London"), DRIK)
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta, tzinfo
from functools import cache
from typing import Final, NamedTuple, TypeVar

from kundali.bikram_sambat import (
    BSDate,
    OutsideCalendar,
    is_provisional,
    month_lengths,
    to_ad,
    to_bs,
)
from kundali.ephemeris import KATHMANDU, Graha, Place, rising, setting
from kundali.julian import to_datetime
from kundali.lunar_month import SHUKLA_TITHIS, LunarMonth, lunar_months
from kundali.names import (
    AYANAS,
    KARANAS,
    LUNAR_MONTHS,
    PAKSHAS,
    RASHIS,
    RITUS,
    TITHIS,
    VARAS,
    YOGAS,
    Name,
    read_table,
)
from kundali.sky import SURYA, Anga, Siddhanta, Sky, Span, spans
from kundali.solar_day import NEPAL, DayPart, SolarDay, SolarDays, Window
from kundali.zodiac import NAKSHATRA_TABLE

MOST_DAYS: Final = 400
"""Days that may be asked for at once."""

_T = TypeVar("_T", Span, LunarMonth)

_MUHURTAS: Final = 15
_ABHIJIT: Final = 8
_BRAHMA: Final = 14
_MOVABLE_KARANAS: Final = 7
_FIRST_LATE_KARANA: Final = 58
_SHAKA_EPOCH, _NEPAL_SAMBAT_EPOCH = 78, 879
_MAKARA, _MITHUNA = 10, 3


class TooManyDays(ValueError):
    """More days were asked for at once than are computed, or they end before they begin."""


class Period(NamedTuple):
    """A time of the day, ``start <= instant < end``, on the clock of the place."""

    start: datetime
    end: datetime


class Limb(NamedTuple):
    """One anga that runs on the day, with the whole time that it lasts."""

    number: int
    """From 1: tithi 1 to 30, nakshatra and yoga 1 to 27, karana 1 to 60, sign 1 to 12."""
    name: Name
    start: datetime
    end: datetime


class Choghadiya(NamedTuple):
    """An eighth of the daylight or of the night."""

    name: Name
    is_good: bool
    is_night: bool
    start: datetime
    end: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Masa:
    """The lunar month of the day, by both ways of counting.

    Parameters
    ----------
    amanta, purnimanta
        Number from 1 Chaitra, counted from new moon to new moon, and as Nepal writes it, from
        full moon to full moon.
    is_adhika
        Whether the month is put in (adhika, mala, purushottama).
    lost
        Number of the month that is lost in this one (kshaya).
    """

    amanta: int
    amanta_name: Name
    purnimanta: int
    purnimanta_name: Name
    is_adhika: bool
    lost: int | None
    lost_name: Name | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Panchang:
    """The almanac of one day; times are on the clock of the place.

    Parameters
    ----------
    bs, is_provisional
        The Bikram Sambat date, and whether its year is not published yet. None outside the table.
    siddhanta, risings
        The sky of tithi, nakshatra, yoga, karana, signs and month; and that of Sun and Moon rising.
    vara
        Weekday that begins at sunrise, Sunday 0.
    moonrise, moonset
        First ones between this sunrise and the next; None where there is none.
    tithis, nakshatras, yogas, karanas, moon_signs
        What runs from this sunrise to the next, in order; the first runs at sunrise and names the
        day.
    paksha
        0 bright half (Shukla), 1 dark half (Krishna), at sunrise.
    lost_tithis
        Tithis that hold no sunrise, this day's nor the next (kshaya).
    is_tithi_repeated
        Whether the tithi at sunrise held the sunrise before too (vriddhi).
    """

    day: date
    bs: BSDate | None
    is_provisional: bool
    place: Place
    siddhanta: Siddhanta
    risings: Siddhanta
    vara: int
    vara_name: Name
    sunrise: datetime
    sunset: datetime
    next_sunrise: datetime
    moonrise: datetime | None
    moonset: datetime | None
    tithis: tuple[Limb, ...]
    nakshatras: tuple[Limb, ...]
    yogas: tuple[Limb, ...]
    karanas: tuple[Limb, ...]
    moon_signs: tuple[Limb, ...]
    sun_sign: int
    sun_sign_name: Name
    sankranti: Limb | None
    """The sign that the Sun enters on this civil day, with the time that he stays in it."""
    paksha: int
    paksha_name: Name
    lost_tithis: tuple[int, ...]
    is_tithi_repeated: bool
    masa: Masa
    ritu: Name | None
    """Season, two Bikram Sambat months each from Baisakh, as Nepal counts them."""
    ayana: Name
    shaka_year: int
    nepal_sambat: int
    rahu_kaal: Period
    yamaganda: Period
    gulika: Period
    abhijit: Period
    brahma_muhurta: Period
    """Of the night before: it ends a muhurta before this sunrise."""
    pradosh: Period
    nishita: Period
    choghadiyas: tuple[Choghadiya, ...]


class _Table(NamedTuple):
    rahu_kaal: tuple[int, ...]
    yamaganda: tuple[int, ...]
    gulika: tuple[int, ...]
    choghadiyas: tuple[tuple[Name, bool], ...]
    by_day: tuple[tuple[int, ...], ...]
    by_night: tuple[tuple[int, ...], ...]


@cache
def _table() -> _Table:
    raw = read_table("panchang")
    return _Table(
        **{name: tuple(parts) for name, parts in raw["eighths"].items()},
        choghadiyas=tuple(
            (Name(row["en"], row["ne"]), row["is_good"]) for row in raw["choghadiya"]
        ),
        by_day=tuple(tuple(row) for row in raw["choghadiya_day"]),
        by_night=tuple(tuple(row) for row in raw["choghadiya_night"]),
    )


def rahu_kaal(day: SolarDay) -> Window:
    """Eighth of the daylight that Rahu rules: nothing is begun in it."""
    return day.share(_table().rahu_kaal[day.vara], 8)


def yamaganda(day: SolarDay) -> Window:
    """Eighth of the daylight that Yama rules."""
    return day.share(_table().yamaganda[day.vara], 8)


def gulika(day: SolarDay) -> Window:
    """Eighth of the daylight that Gulika, Saturn's son, rules."""
    return day.share(_table().gulika[day.vara], 8)


def abhijit(day: SolarDay) -> Window:
    """Eighth of the fifteen muhurtas of the daylight, about noon; Nepal prints it every day."""
    return day.share(_ABHIJIT, _MUHURTAS)


def karana_name(number: int) -> Name:
    """Name of one of the sixty half tithis: seven in turn, and four at the new moon once each."""
    if number == 1:
        return KARANAS[-1]
    if number >= _FIRST_LATE_KARANA:
        return KARANAS[_MOVABLE_KARANAS + number - _FIRST_LATE_KARANA]
    return KARANAS[(number - 2) % _MOVABLE_KARANAS]


def panchang(
    day: date, place: Place = KATHMANDU, zone: tzinfo = NEPAL, sky: Sky = SURYA
) -> Panchang:
    """Return the almanac of a civil day, from its sunrise to the next.

    Raises
    ------
    NoSunrise
        If the Sun does not rise or set there on that day, the one before or the one after.
    OutsideEphemeris
        If the ephemeris does not cover the day.
    """
    return panchangs(day, day, place, zone, sky)[0]


def panchang_of_bs_month(
    year: int, month: int, place: Place = KATHMANDU, zone: tzinfo = NEPAL, sky: Sky = SURYA
) -> tuple[Panchang, ...]:
    """Return the almanac of every day of a Bikram Sambat month.

    Raises
    ------
    OutsideCalendar
        If the calendar has no such month.
    NoSunrise
        If the Sun does not rise or set there on one of the days, or beside them.
    """
    first = to_ad(BSDate(year, month, 1))
    last = first + timedelta(days=month_lengths(year)[month - 1] - 1)
    return panchangs(first, last, place, zone, sky)


def panchangs(
    first: date, last: date, place: Place = KATHMANDU, zone: tzinfo = NEPAL, sky: Sky = SURYA
) -> tuple[Panchang, ...]:
    """Return the almanac of each day from the one to the other, both included.

    Raises
    ------
    TooManyDays
        If they are more than `MOST_DAYS`, or the last is before the first.
    NoSunrise
        If the Sun does not rise or set there on one of the days, or beside them.
    OutsideEphemeris
        If the ephemeris does not cover one of the days.
    """
    if not 0 <= (last - first).days < MOST_DAYS:
        raise TooManyDays(f"{first} to {last} is not 1 to {MOST_DAYS} days")
    return _Almanac(first, last, place, zone, sky).all()


class _Almanac:
    """Computes a stretch of days over shared spans."""

    def __init__(self, first: date, last: date, place: Place, zone: tzinfo, sky: Sky) -> None:
        self.place = place
        self.zone = zone
        self.sky = sky
        solar = SolarDays(place, zone)
        count = (last - first).days + 1
        # The night before the first day holds its Brahma muhurta.
        self.before, *self.days = [
            solar(first + timedelta(days=ahead)) for ahead in range(-1, count)
        ]
        self.start, self.end = self.before.sunrise, self.days[-1].next_sunrise
        self.tithis = self._spans(Anga.TITHI)
        self.nakshatras = self._spans(Anga.NAKSHATRA)
        self.yogas = self._spans(Anga.YOGA)
        self.karanas = self._spans(Anga.KARANA)
        self.moon_signs = self._spans(Anga.MOON_SIGN)
        # The Sun may enter a sign after midnight, before the first sunrise or past the last.
        self.sun_signs = spans(sky, Anga.SUN_SIGN, self.start, self.end + 1)
        self.months = lunar_months(sky, self.start, self.end)

    def _spans(self, anga: Anga) -> tuple[Span, ...]:
        return spans(self.sky, anga, self.start, self.end)

    def all(self) -> tuple[Panchang, ...]:
        """Return every day in order."""
        found = []
        yesterday = self.before
        for day in self.days:
            found.append(self._day(day, yesterday))
            yesterday = day
        return tuple(found)

    def _day(self, day: SolarDay, yesterday: SolarDay) -> Panchang:
        tithis = _within(self.tithis, day.sunrise, day.next_sunrise)
        tithi = tithis[0].number
        month = _running(self.months, day.sunrise)
        sun_sign = _running(self.sun_signs, day.sunrise).number
        bs = _bs(day.day)
        limbs = self._limbs
        return Panchang(
            day=day.day,
            bs=bs,
            is_provisional=bs is not None and is_provisional(bs.year),
            place=self.place,
            siddhanta=self.sky.siddhanta,
            risings=Siddhanta.DRIK,
            vara=day.vara,
            vara_name=VARAS[day.vara],
            sunrise=self._clock(day.sunrise),
            sunset=self._clock(day.sunset),
            next_sunrise=self._clock(day.next_sunrise),
            moonrise=self._moon(rising(Graha.MOON, day.sunrise, day.next_sunrise, self.place)),
            moonset=self._moon(setting(Graha.MOON, day.sunrise, day.next_sunrise, self.place)),
            tithis=limbs(tithis, TITHIS),
            nakshatras=limbs(_within(self.nakshatras, day.sunrise, day.next_sunrise), _NAKSHATRAS),
            yogas=limbs(_within(self.yogas, day.sunrise, day.next_sunrise), YOGAS),
            karanas=limbs(_within(self.karanas, day.sunrise, day.next_sunrise), _KARANAS_OF_TITHIS),
            moon_signs=limbs(_within(self.moon_signs, day.sunrise, day.next_sunrise), RASHIS),
            sun_sign=sun_sign,
            sun_sign_name=RASHIS[sun_sign - 1],
            sankranti=self._sankranti(day.day),
            paksha=int(tithi > SHUKLA_TITHIS),
            paksha_name=PAKSHAS[tithi > SHUKLA_TITHIS],
            lost_tithis=tuple(
                each.number
                for each in tithis
                if each.start > day.sunrise and each.end <= day.next_sunrise
            ),
            is_tithi_repeated=tithis[0].start <= yesterday.sunrise,
            masa=_masa(month, tithi),
            ritu=RITUS[(bs.month - 1) // 2] if bs else None,
            ayana=AYANAS[_MITHUNA < sun_sign < _MAKARA],
            shaka_year=_year(day.day, month.number, _SHAKA_EPOCH, first_month=1),
            nepal_sambat=_year(day.day, month.number, _NEPAL_SAMBAT_EPOCH, first_month=8),
            rahu_kaal=self._period(rahu_kaal(day)),
            yamaganda=self._period(yamaganda(day)),
            gulika=self._period(gulika(day)),
            abhijit=self._period(abhijit(day)),
            brahma_muhurta=self._period(yesterday.night_share(_BRAHMA, _MUHURTAS)),
            pradosh=self._period(day.part(DayPart.PRADOSH)),
            nishita=self._period(day.part(DayPart.NISHITA)),
            choghadiyas=self._choghadiyas(day),
        )

    def _clock(self, instant: float) -> datetime:
        return to_datetime(instant, self.zone)

    def _moon(self, instant: float | None) -> datetime | None:
        return None if instant is None else self._clock(instant)

    def _period(self, window: Window) -> Period:
        return Period(self._clock(window.start), self._clock(window.end))

    def _limbs(self, found: Sequence[Span], names: Sequence[Name]) -> tuple[Limb, ...]:
        return tuple(
            Limb(
                each.number,
                names[each.number - 1],
                self._clock(each.start),
                self._clock(each.end),
            )
            for each in found
        )

    def _sankranti(self, day: date) -> Limb | None:
        entered = [sign for sign in self.sun_signs if self._clock(sign.start).date() == day]
        return self._limbs(entered, RASHIS)[0] if entered else None

    def _choghadiyas(self, day: SolarDay) -> tuple[Choghadiya, ...]:
        table = _table()
        found = []
        for is_night, order in ((False, table.by_day), (True, table.by_night)):
            for part, kind in enumerate(order[day.vara], start=1):
                window = day.night_share(part, 8) if is_night else day.share(part, 8)
                name, is_good = table.choghadiyas[kind - 1]
                period = self._period(window)
                found.append(Choghadiya(name, is_good, is_night, period.start, period.end))
        return tuple(found)


_NAKSHATRAS: Final = tuple(each.name for each in NAKSHATRA_TABLE)
_KARANAS_OF_TITHIS: Final = tuple(karana_name(number) for number in range(1, 61))


def _within(all_spans: Sequence[Span], start: float, end: float) -> tuple[Span, ...]:
    return tuple(each for each in all_spans if each.start < end and each.end > start)


def _running(all_spans: Sequence[_T], instant: float) -> _T:
    return next(each for each in all_spans if each.start <= instant < each.end)


def _bs(day: date) -> BSDate | None:
    try:
        return to_bs(day)
    except OutsideCalendar:
        return None


def _masa(month: LunarMonth, tithi: int) -> Masa:
    purnimanta = month.purnimanta(tithi)
    return Masa(
        amanta=month.number,
        amanta_name=LUNAR_MONTHS[month.number - 1],
        purnimanta=purnimanta,
        purnimanta_name=LUNAR_MONTHS[purnimanta - 1],
        is_adhika=month.is_adhika,
        lost=month.lost,
        lost_name=LUNAR_MONTHS[month.lost - 1] if month.lost else None,
    )


def _year(day: date, month: int, epoch: int, *, first_month: int) -> int:
    """Year of an era that begins with a lunar month: Chaitra in spring, or Kartik in autumn.

    Around 1 January the lunar months are Margashirsha to Magha, so a month and the half of the
    civil year tell on which side of the new year a day lies.
    """
    if first_month == 1:
        return day.year - epoch - (day.month <= 6 and month >= 8)
    return day.year - epoch - (day.month <= 6 or month < first_month)
