"""Choosing the day and hour of a rite: every date judged, with reasons for and against.

A day may be barred as a whole (the month, a hidden Jupiter or Venus, an eclipse), and so may hours
of it (a bad tithi, Vishti, the bad part of a yoga, Rahu Kaal). What is left is scored, out of 100:
nakshatra 30, tithi 20, weekday 15, yoga 10, karana 10, and for the persons of the rite tara 10 and
the Moon's place 5, put in proportion when no persons are named. The best unbroken time of the day
is offered. Rules and texts are in ``tables/muhurta.json``; the weights are a choice, not scripture.

The answer is a suggestion: for weddings and the sacred thread families follow the days that the
calendar prints. Those come first where they are known, and all others say that they were computed.

Tithi and the rest are of the Surya sky unless the caller asks otherwise; sunrise, the hiding of
Jupiter and Venus, and eclipses are of the modern one. The same question has always the same answer.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta, tzinfo
from functools import cache
from itertools import pairwise
from typing import Any, Final, NamedTuple

from kundali.bikram_sambat import MONTHS, BSDate, is_provisional, to_bs
from kundali.ephemeris import KATHMANDU, Graha, Place, eclipses, position
from kundali.julian import SECOND, civil_day, to_datetime
from kundali.lunar_month import LunarMonth, lunar_months
from kundali.names import GRAHAS, PAKSHAS, TITHIS, VARAS, YOGAS, Name, digits, read_table
from kundali.observance import TwoDays, day_of
from kundali.panchang import gulika, karana_name, rahu_kaal, yamaganda
from kundali.sky import SURYA, Anga, Siddhanta, Sky, Span, number_at, spans
from kundali.solar_day import NEPAL, DayPart, SolarDay, SolarDays, Window
from kundali.zodiac import NAKSHATRA_TABLE

MOST_DAYS: Final = 400
"""Days that may be judged at once."""
MOST_PERSONS: Final = 20

_NAKSHATRA, _TITHI, _WEEKDAY, _YOGA, _KARANA, _TARA, _CHANDRA = 30, 20, 15, 10, 10, 10, 5
_SHORTEST: Final = 24 / 1440
"""One ghati: no shorter time is offered."""
_GHATI: Final = 1 / 60
_AMAVASYA: Final = 30
_VISHTI: Final = "Vishti (Bhadra)"
_RIKTA: Final = (4, 9, 14)
_SAUN: Final = 4
_TRAYODASHI: Final = 13
_SHIVARATRI: Final = (11, 29)
_ASHADHA, _KARTIK, _EKADASHI = 4, 8, 11
_TARAS: Final = 9
_GOOD_TARAS, _BAD_TARAS = frozenset({2, 4, 6, 8, 0}), frozenset({3, 5, 7})
_GOOD_HOUSES, _BAD_HOUSES = frozenset({1, 3, 6, 7, 10, 11}), frozenset({4, 8, 12})
# Degrees from the Sun within which they are not seen, going forward and going back.
_ASTA: Final = {Graha.JUPITER: (11.0, 11.0), Graha.VENUS: (10.0, 8.0)}
_SHIVA_GOOD: Final = (1, 2, 3)
_SHIVA_MEAL: Final = 5
_FIRE_ON_EARTH: Final = (0, 3)


class UnknownRite(ValueError):
    """No rule is known for the rite."""


class BadRange(ValueError):
    """The days end before they begin, or are more than are judged at once."""


@dataclass(frozen=True, slots=True)
class Person:
    """Somebody whom the rite is for.

    Parameters
    ----------
    name
        As the reasons shall call them.
    nakshatra, rashi
        Of the Moon at birth, from 1 Ashwini and 1 Mesha.

    Raises
    ------
    ValueError
        On construction, for a number that stands for none.
    """

    name: str
    nakshatra: int
    rashi: int

    def __post_init__(self) -> None:
        """Refuse numbers beyond the circle."""
        for field, most in (("nakshatra", 27), ("rashi", 12)):
            if not 1 <= getattr(self, field) <= most:
                raise ValueError(f"{field} {getattr(self, field)} is not in 1..{most}")


class Reason(NamedTuple):
    """Why a time is good or bad, with what it counted."""

    code: str
    text: Name
    points: int
    most: int

    @property
    def is_for(self) -> bool:
        """Whether it speaks for the time: it earned more than half of what it could."""
        return 2 * self.points > self.most


class Note(NamedTuple):
    """Something to know beside the score."""

    code: str
    text: Name


@dataclass(frozen=True, slots=True, kw_only=True)
class Muhurta:
    """The best time of a day for a rite.

    Parameters
    ----------
    start, end
        Unbroken time in which what is judged does not change, on the clock of the place.
    score
        0 to 100.
    reasons_for, reasons_against
        Every criterion once, in order of its weight.
    warnings
        What to heed beside the score.
    is_printed
        Whether the calendar printed the day for the rite.
    """

    rite: str
    day: date
    bs: BSDate
    start: datetime
    end: datetime
    score: int
    reasons_for: tuple[Reason, ...]
    reasons_against: tuple[Reason, ...]
    warnings: tuple[Note, ...]
    is_printed: bool
    siddhanta: Siddhanta


@dataclass(frozen=True, slots=True, kw_only=True)
class Judgement:
    """What a day is for a rite: its best time, or why it has none."""

    day: date
    muhurta: Muhurta | None
    barred: tuple[Note, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Rite:
    """A rite whose days can be ranked, as the table has it."""

    key: str
    name: Name
    bs_months: frozenset[int]
    weekdays_best: frozenset[int]
    weekdays_ok: frozenset[int]
    weekdays_bad: frozenset[int]
    tithis_good: frozenset[int]
    tithis_ok: frozenset[int]
    tithis_avoid: frozenset[int]
    tithis_bad: frozenset[int]
    nakshatras: frozenset[int]
    nakshatras_ok: frozenset[int]
    bars: frozenset[str]
    day_parts: tuple[DayPart, ...]
    special: tuple[tuple[int, int], ...]
    """Lunar month and tithi of days that need no choosing."""
    sankranti_is_good: bool
    asta_margin_days: int
    eclipse_margin_days: int
    chaturmas_allows_months: frozenset[int]
    note: Name | None
    printed: frozenset[date]


class _Table(NamedTuple):
    rites: dict[str, Rite]
    texts: dict[str, Name]
    yogas_whole: frozenset[int]
    yogas_first_ghatis: dict[int, int]
    yogas_first_half: frozenset[int]
    inauspicious_yogas: frozenset[int]
    bhumi_shayana: frozenset[int]
    shivavasa: tuple[Name, ...]
    agnivasa: tuple[Name, ...]
    taras: tuple[Name, ...]


@cache
def _table() -> _Table:
    raw = read_table("muhurta")
    yogas = raw["bad_yogas"]
    return _Table(
        rites={row["key"]: _rite(row, raw["printed"].get(row["key"], ())) for row in raw["rites"]},
        texts={code: Name(**text) for code, text in raw["texts"].items()},
        yogas_whole=frozenset(yogas["whole"]),
        yogas_first_ghatis={int(yoga): ghatis for yoga, ghatis in yogas["first_ghatis"].items()},
        yogas_first_half=frozenset(yogas["first_half"]),
        inauspicious_yogas=frozenset(
            row["n"] for row in read_table("names")["yogas"] if row["inauspicious"]
        ),
        bhumi_shayana=frozenset(raw["bhumi_shayana"]),
        shivavasa=tuple(Name(**row) for row in raw["shivavasa"]),
        agnivasa=tuple(Name(**row) for row in raw["agnivasa"]),
        taras=tuple(Name(**row) for row in raw["taras"]),
    )


def _rite(row: dict[str, Any], printed: Iterable[str]) -> Rite:
    def numbers(field: str) -> frozenset[int]:
        return frozenset(row.get(field, ()))

    def of_both_halves(field: str) -> frozenset[int]:
        named = numbers(field)
        return named | {number + 15 for number in named if number <= 15}

    return Rite(
        key=row["key"],
        name=Name(row["en"], row["ne"]),
        bs_months=numbers("bs_months") or frozenset(range(1, 13)),
        weekdays_best=numbers("weekdays_best"),
        weekdays_ok=numbers("weekdays_ok"),
        weekdays_bad=numbers("weekdays_bad"),
        tithis_good=numbers("tithis_good"),
        tithis_ok=numbers("tithis_ok"),
        tithis_avoid=of_both_halves("tithis_avoid"),
        tithis_bad=of_both_halves("tithis_bad"),
        nakshatras=numbers("nakshatras"),
        nakshatras_ok=numbers("nakshatras_ok"),
        bars=frozenset(row["bars"]),
        day_parts=tuple(DayPart[part.upper()] for part in row.get("day_parts", ())),
        special=tuple((month, tithi) for month, tithi in row.get("special", ())),
        sankranti_is_good=row.get("sankranti_is_good", False),
        asta_margin_days=row.get("asta_margin_days", 0),
        eclipse_margin_days=row.get("eclipse_margin_days", 0),
        chaturmas_allows_months=numbers("chaturmas_allows_months"),
        note=Name(**row["note"]) if "note" in row else None,
        printed=frozenset(date.fromisoformat(day) for day in printed),
    )


def rites() -> tuple[Rite, ...]:
    """Return the rites whose days can be ranked, in the order of the table."""
    return tuple(_table().rites.values())


def rite_of(key: str) -> Rite:
    """Return a rite by its key, as ``vivah``.

    Raises
    ------
    UnknownRite
        If there is none of that key.
    """
    try:
        return _table().rites[key]
    except KeyError:
        raise UnknownRite(f"no rules for the rite {key[:40]!r}") from None


def rank_dates(
    rite: str,
    first: date,
    last: date,
    *,
    place: Place = KATHMANDU,
    zone: tzinfo = NEPAL,
    persons: Sequence[Person] = (),
    most: int = 10,
    sky: Sky = SURYA,
) -> tuple[Muhurta, ...]:
    """Return the best days for a rite from the one to the other, the best first.

    Days that the calendar printed come before all others; then by score, then by date.

    Raises
    ------
    UnknownRite, BadRange, OutsideCalendar, NoSunrise, OutsideEphemeris
        As `judge_dates`.
    """
    judged = judge_dates(rite, first, last, place=place, zone=zone, persons=persons, sky=sky)
    found = [each.muhurta for each in judged if each.muhurta is not None]
    found.sort(key=lambda each: (not each.is_printed, -each.score, each.day))
    return tuple(found[: max(most, 0)])


def judge_dates(
    rite: str,
    first: date,
    last: date,
    *,
    place: Place = KATHMANDU,
    zone: tzinfo = NEPAL,
    persons: Sequence[Person] = (),
    sky: Sky = SURYA,
) -> tuple[Judgement, ...]:
    """Judge every day from the one to the other, both included, in order.

    Raises
    ------
    UnknownRite
        If there are no rules for the rite.
    BadRange
        If the days are more than `MOST_DAYS` or none, or the persons more than `MOST_PERSONS`.
    OutsideCalendar
        If the Bikram Sambat calendar does not reach a day.
    NoSunrise
        If the Sun does not rise or set at the place.
    OutsideEphemeris
        If the ephemeris does not cover the days.
    """
    rules = rite_of(rite)
    if not 0 <= (last - first).days < MOST_DAYS:
        raise BadRange(f"{first} to {last} is not 1 to {MOST_DAYS} days")
    if len(persons) > MOST_PERSONS:
        raise BadRange(f"{len(persons)} persons are more than {MOST_PERSONS}")
    return _Judge(rules, first, last, place, zone, tuple(persons), sky).all()


class ShraddhaDay(NamedTuple):
    """A day on which the shraddha of one who died on a tithi is held."""

    day: date
    bs: BSDate
    is_pitri_paksha: bool
    """Whether it is the one of the fortnight of the ancestors."""


def shraddha_days(
    month: int,
    tithi: int,
    first: date,
    last: date,
    *,
    place: Place = KATHMANDU,
    zone: tzinfo = NEPAL,
    sky: Sky = SURYA,
) -> tuple[ShraddhaDay, ...]:
    """Return the days of a shraddha: the tithi of the death, and the same one of Pitri Paksha.

    It is kept on the day whose afternoon (aparahna) the tithi holds, of two the one with more. A
    death on the full moon is kept in Pitri Paksha on its first day's eve, the full moon itself.

    Parameters
    ----------
    month
        Lunar month of the death, from new moon to new moon, 1 Chaitra to 12 Phalguna.
    tithi
        1 to 30.

    Raises
    ------
    ValueError
        If there is no such month or tithi.
    BadRange
        If the days are more than `MOST_DAYS` or none.
    OutsideCalendar, NoSunrise, OutsideEphemeris
        As `judge_dates`.
    """
    if not 1 <= month <= 12:
        raise ValueError(f"lunar month {month} is not in 1..12")
    if not 1 <= tithi <= 30:
        raise ValueError(f"tithi {tithi} is not in 1..30")
    if not 0 <= (last - first).days < MOST_DAYS:
        raise BadRange(f"{first} to {last} is not 1 to {MOST_DAYS} days")
    days = SolarDays(place, zone)
    bhadrapada = 6
    ancestors = 15 if tithi == 15 else (tithi - 1) % 15 + 16
    wanted = {(month, tithi): False, (bhadrapada, ancestors): True}
    found = []
    start, end = civil_day(first, zone).start - 2, civil_day(last, zone).end + 2
    for each in lunar_months(sky, start, end):
        tithis = spans(sky, Anga.TITHI, each.start + SECOND, each.end - SECOND)
        by_number = {span.number: span for span in tithis}
        for (number, day_tithi), is_pitri_paksha in wanted.items():
            if not each.holds(number):
                continue
            day = day_of(by_number[day_tithi], DayPart.APARAHNA, TwoDays.MORE, days)
            if first <= day <= last:
                found.append(ShraddhaDay(day, to_bs(day), is_pitri_paksha))
    return tuple(sorted(found))


class _Run:
    """Spans that lie end to end, looked up by instant."""

    def __init__(self, found: Sequence[Span]) -> None:
        self.spans = found
        self._starts = [each.start for each in found]

    def at(self, instant: float) -> Span:
        return self.spans[bisect_right(self._starts, instant) - 1]

    def edges(self, start: float, end: float) -> Iterable[float]:
        low, high = bisect_right(self._starts, start), bisect_right(self._starts, end)
        return self._starts[low:high]


class _Judge:
    """Judges a stretch of days for one rite."""

    def __init__(
        self,
        rite: Rite,
        first: date,
        last: date,
        place: Place,
        zone: tzinfo,
        persons: tuple[Person, ...],
        sky: Sky,
    ) -> None:
        self.rite = rite
        self.zone = zone
        self.persons = persons
        self.sky = sky
        solar = SolarDays(place, zone)
        count = (last - first).days + 1
        self.days = [solar(first + timedelta(days=ahead)) for ahead in range(count)]
        start, end = self.days[0].sunrise, self.days[-1].next_sunrise
        self.tithis = _Run(spans(sky, Anga.TITHI, start, end))
        self.nakshatras = _Run(spans(sky, Anga.NAKSHATRA, start, end))
        self.yogas = _Run(spans(sky, Anga.YOGA, start, end))
        self.karanas = _Run(spans(sky, Anga.KARANA, start, end))
        self.moon_signs = _Run(spans(sky, Anga.MOON_SIGN, start, end))
        self.months = lunar_months(sky, start, end)
        signs = spans(sky, Anga.SUN_SIGN, start - 1, end + 1)
        self.sankrantis = {to_datetime(sign.start, zone).date() for sign in signs}
        self.eclipsed = self._eclipsed(place) if "eclipse" in rite.bars else frozenset()
        self.hidden = self._hidden() if "asta" in rite.bars else {}

    def all(self) -> tuple[Judgement, ...]:
        return tuple(self._judged(day) for day in self.days)

    # -- what holds for whole days

    def _eclipsed(self, place: Place) -> frozenset[date]:
        margin = self.rite.eclipse_margin_days
        start, end = self.days[0].sunrise - margin - 1, self.days[-1].next_sunrise + 1
        days = (
            to_datetime(each.greatest, self.zone).date() for each in eclipses(start, end, place)
        )
        return frozenset(day + timedelta(days=ahead) for day in days for ahead in range(margin + 1))

    def _hidden(self) -> dict[date, Graha]:
        margin = self.rite.asta_margin_days
        found: dict[date, Graha] = {}
        for ahead in range(-margin, len(self.days) + margin):
            instant = self.days[0].sunrise + ahead
            sun = position(instant, Graha.SUN).longitude
            for graha, limits in _ASTA.items():
                at = position(instant, graha)
                apart = abs((at.longitude - sun + 180) % 360 - 180)
                if apart < limits[at.speed < 0]:
                    day = self.days[0].day + timedelta(days=ahead)
                    for near in range(-margin, margin + 1):
                        found.setdefault(day + timedelta(days=near), graha)
        return found

    def _barred(self, day: SolarDay, bs: BSDate, month: LunarMonth, tithi: int) -> list[Note]:
        rite, bars, found = self.rite, self.rite.bars, []
        if bs.month not in rite.bs_months and not self._is_special(month, tithi):
            found.append(_note("month", bs_month=Name(*MONTHS[bs.month - 1])))
        if "adhika" in bars and month.is_adhika:
            found.append(_note("adhika"))
        if "kshaya" in bars and month.is_kshaya:
            found.append(_note("kshaya"))
        if (graha := self.hidden.get(day.day)) is not None:
            found.append(_note("asta", graha=GRAHAS[graha]))
        if (
            "chaturmas" in bars
            and bs.month not in rite.chaturmas_allows_months
            and (_ASHADHA, _EKADASHI) <= (month.number, tithi) < (_KARTIK, _EKADASHI)
        ):
            found.append(_note("chaturmas"))
        if day.day in self.eclipsed:
            found.append(_note("eclipse"))
        if "sankranti" in bars and day.day in self.sankrantis:
            found.append(_note("sankranti"))
        if "weekday" in bars and day.vara in rite.weekdays_bad:
            found.append(_note("weekday_barred", vara=VARAS[day.vara]))
        if "shivavasa" in bars and not self._is_free_of_shivavasa(day, bs, month, tithi):
            place = (2 * tithi + 5) % 7
            if (place not in _SHIVA_GOOD and place != _SHIVA_MEAL) or tithi == _AMAVASYA:
                found.append(_note("shivavasa", place=_table().shivavasa[place]))
        if "agnivasa" in bars and (fire := _agnivasa(tithi, day.vara)) not in _FIRE_ON_EARTH:
            found.append(_note("agnivasa", place=_table().agnivasa[fire]))
        return found

    def _is_special(self, month: LunarMonth, tithi: int) -> bool:
        return any(month.holds(number) and tithi == kept for number, kept in self.rite.special)

    def _is_free_of_shivavasa(
        self, day: SolarDay, bs: BSDate, month: LunarMonth, tithi: int
    ) -> bool:
        at_dusk = self.tithis.at(day.sunset).number
        is_pradosh = (at_dusk - 1) % 15 + 1 == _TRAYODASHI
        is_shivaratri = month.holds(_SHIVARATRI[0]) and tithi == _SHIVARATRI[1]
        return bs.month == _SAUN or is_pradosh or is_shivaratri

    # -- what holds for hours

    def _bad_part(self, yoga: Span) -> Window:
        """Return the part of a yoga in which nothing is begun, empty for most."""
        table = _table()
        if yoga.number in table.yogas_whole:
            return Window(yoga.start, yoga.end)
        if yoga.number in table.yogas_first_half:
            return Window(yoga.start, (yoga.start + yoga.end) / 2)
        ghatis = table.yogas_first_ghatis.get(yoga.number, 0)
        return Window(yoga.start, yoga.start + ghatis * _GHATI)

    def _windows(self, day: SolarDay) -> list[Window]:
        if self.rite.day_parts:
            return [day.part(part) for part in self.rite.day_parts]
        return [Window(day.sunrise, day.sunset)]

    def _judged(self, day: SolarDay) -> Judgement:
        bs = to_bs(day.day)
        month = next(each for each in self.months if each.start <= day.sunrise < each.end)
        tithi = self.tithis.at(day.sunrise).number
        barred = self._barred(day, bs, month, tithi)
        # Families follow the print: a rule that it overrides is told, and bars nothing.
        if barred and day.day not in self.rite.printed:
            return Judgement(day=day.day, muhurta=None, barred=tuple(barred))
        chosen = self._best(day, bs, month)
        if chosen is None:
            barred.append(_note("no_window"))
            if day.day in self.rite.printed:
                chosen = self._best(day, bs, month, is_lenient=True)
        if chosen is None:
            return Judgement(day=day.day, muhurta=None, barred=tuple(barred))
        return Judgement(day=day.day, muhurta=self._muhurta(day, bs, *chosen, barred))

    def _best(
        self, day: SolarDay, bs: BSDate, month: LunarMonth, *, is_lenient: bool = False
    ) -> tuple[Window, list[Reason]] | None:
        """Return the time with most points, of equals the longest, of those the first."""
        times = [
            (window, reasons)
            for window, reasons in self._times(day, bs, month, is_lenient=is_lenient)
            if window.end - window.start >= _SHORTEST
        ]
        return max(
            times,
            key=lambda each: (_score(each[1]), each[0].end - each[0].start, -each[0].start),
            default=None,
        )

    def _times(
        self, day: SolarDay, bs: BSDate, month: LunarMonth, *, is_lenient: bool
    ) -> list[tuple[Window, list[Reason]]]:
        """Return the times of the day that are not barred, each with its reasons.

        Lenient: Rahu Kaal and Vishti alone bar a time.
        Neighbours that earn the same points are one time: what changes between them does not count.
        """
        rahu = rahu_kaal(day)
        found: list[tuple[Window, list[Reason]]] = []
        for window in self._windows(day):
            for start, end in self._pieces(window, rahu):
                middle = (start + end) / 2
                if self._is_bad(middle, rahu):
                    continue
                if not is_lenient and self._is_bad_by_moon(middle):
                    continue
                reasons = self._reasons(day, bs, month, middle)
                if found and found[-1][0].end == start and _alike(found[-1][1], reasons):
                    found[-1] = (Window(found[-1][0].start, end), found[-1][1])
                else:
                    found.append((Window(start, end), reasons))
        return found

    def _pieces(self, window: Window, rahu: Window) -> list[tuple[float, float]]:
        edges = {window.start, window.end, *rahu}
        for run in (self.tithis, self.nakshatras, self.yogas, self.karanas, self.moon_signs):
            edges.update(run.edges(window.start, window.end))
        for instant in [window.start, *self.yogas.edges(window.start, window.end)]:
            edges.update(self._bad_part(self.yogas.at(instant)))
        inside = sorted(edge for edge in edges if window.start <= edge <= window.end)
        return list(pairwise(inside))

    def _is_bad(self, instant: float, rahu: Window) -> bool:
        karana = karana_name(self.karanas.at(instant).number)
        return karana.en == _VISHTI or rahu.start <= instant < rahu.end

    def _is_bad_by_moon(self, instant: float) -> bool:
        tithi = self.tithis.at(instant).number
        bad_yoga = self._bad_part(self.yogas.at(instant))
        return (
            tithi in self.rite.tithis_bad
            or tithi == _AMAVASYA
            or bad_yoga.start <= instant < bad_yoga.end
            or ("bhumi_shayana" in self.rite.bars and self._earth_sleeps(instant))
        )

    def _earth_sleeps(self, instant: float) -> bool:
        sun = number_at(self.sky, Anga.SUN_NAKSHATRA, instant)
        count = (self.nakshatras.at(instant).number - sun) % 27 + 1
        return count in _table().bhumi_shayana

    # -- points

    def _reasons(
        self, day: SolarDay, bs: BSDate, month: LunarMonth, instant: float
    ) -> list[Reason]:
        found = [
            self._of_nakshatra(self.nakshatras.at(instant).number),
            self._of_tithi(day, bs, month, self.tithis.at(instant).number),
            self._of_weekday(day.vara),
            self._of_yoga(self.yogas.at(instant).number),
            self._of_karana(self.karanas.at(instant).number),
        ]
        if self.persons:
            found.append(self._of_tara(self.nakshatras.at(instant).number))
            tithi = self.tithis.at(instant).number
            found.append(self._of_moon(self.moon_signs.at(instant).number, is_waxing=tithi <= 15))
        return found

    def _of_nakshatra(self, number: int) -> Reason:
        rite, name = self.rite, NAKSHATRA_TABLE[number - 1].name
        if not rite.nakshatras:
            return _reason("nakshatra_any", _NAKSHATRA, _NAKSHATRA)
        if number in rite.nakshatras:
            return _reason("nakshatra_good", _NAKSHATRA, _NAKSHATRA, nakshatra=name)
        if number in rite.nakshatras_ok:
            return _reason("nakshatra_ok", 18, _NAKSHATRA, nakshatra=name)
        return _reason("nakshatra_bad", 0, _NAKSHATRA, nakshatra=name)

    def _of_tithi(self, day: SolarDay, bs: BSDate, month: LunarMonth, number: int) -> Reason:
        rite = self.rite
        sunrise_tithi = self.tithis.at(day.sunrise).number
        if self._is_special(month, sunrise_tithi):
            return _reason("special", _TITHI, _TITHI)
        if rite.sankranti_is_good and day.day in self.sankrantis:
            return _reason("sankranti_good", _TITHI, _TITHI)
        if "shivavasa" in rite.bars:
            if self._is_free_of_shivavasa(day, bs, month, sunrise_tithi):
                return _reason("shivavasa_free", _TITHI, _TITHI)
            place = (2 * sunrise_tithi + 5) % 7
            if place == _SHIVA_MEAL:
                return _reason("shivavasa_meal", 8, _TITHI)
            home = _table().shivavasa[place]
            return _reason("shivavasa_good", _TITHI, _TITHI, place=home)
        if "agnivasa" in rite.bars:
            return _reason("agnivasa_good", _TITHI, _TITHI)
        names = {"paksha": PAKSHAS[number > 15], "tithi": TITHIS[number - 1]}
        if number in rite.tithis_good:
            return _reason("tithi_good", _TITHI, _TITHI, **names)
        if number in rite.tithis_ok:
            return _reason("tithi_ok", 12, _TITHI, **names)
        if number in rite.tithis_avoid or (number - 1) % 15 + 1 in _RIKTA:
            return _reason("tithi_avoid", 4, _TITHI, **names)
        return _reason("tithi_plain", 8, _TITHI, **names)

    def _of_weekday(self, vara: int) -> Reason:
        rite, name = self.rite, VARAS[vara]
        if vara in rite.weekdays_best or not (rite.weekdays_best or rite.weekdays_ok):
            return _reason("weekday_best", _WEEKDAY, _WEEKDAY, vara=name)
        if vara in rite.weekdays_ok:
            return _reason("weekday_ok", 8, _WEEKDAY, vara=name)
        if vara in rite.weekdays_bad:
            return _reason("weekday_bad", 0, _WEEKDAY, vara=name)
        return _reason("weekday_plain", 4, _WEEKDAY, vara=name)

    def _of_yoga(self, number: int) -> Reason:
        is_bad = number in _table().inauspicious_yogas
        code, points = ("yoga_bad", 3) if is_bad else ("yoga_good", _YOGA)
        return _reason(code, points, _YOGA, yoga=YOGAS[number - 1])

    def _of_karana(self, number: int) -> Reason:
        name = karana_name(number)
        is_fixed = number == 1 or number >= 58
        code, points = ("karana_fixed", 4) if is_fixed else ("karana_good", _KARANA)
        return _reason(code, points, _KARANA, karana=name)

    def _of_tara(self, nakshatra: int) -> Reason:
        by_tara = [((nakshatra - each.nakshatra) % 27 + 1) % _TARAS for each in self.persons]
        bad = [index for index, tara in enumerate(by_tara) if tara in _BAD_TARAS]
        if bad:
            tara = _table().taras[by_tara[bad[0]] - 1]
            return _reason("tara_bad", 0, _TARA, tara=tara, names=self._called(bad))
        neutral = [index for index, tara in enumerate(by_tara) if tara not in _GOOD_TARAS]
        if neutral:
            return _reason("tara_neutral", 5, _TARA, names=self._called(neutral))
        return _reason("tara_good", _TARA, _TARA, names=self._called(range(len(self.persons))))

    def _of_moon(self, sign: int, *, is_waxing: bool) -> Reason:
        houses = [(sign - each.rashi) % 12 + 1 for each in self.persons]
        bad = [index for index, house in enumerate(houses) if house in _BAD_HOUSES]
        if bad:
            house = Name(str(houses[bad[0]]), str(houses[bad[0]]))
            return _reason("chandra_bad", 0, _CHANDRA, house=house, names=self._called(bad))
        fair = [index for index, house in enumerate(houses) if house not in _GOOD_HOUSES]
        if fair and not is_waxing:
            return _reason("chandra_fair", 3, _CHANDRA, names=self._called(fair))
        everybody = self._called(range(len(self.persons)))
        return _reason("chandra_good", _CHANDRA, _CHANDRA, names=everybody)

    def _called(self, indices: Iterable[int]) -> Name:
        text = ", ".join(self.persons[index].name for index in indices)
        return Name(text, text)

    # -- the answer

    def _hour(self, moment: float) -> Name:
        shown = to_datetime(moment, self.zone).strftime("%H:%M")
        return Name(shown, digits(shown, "ne"))

    def _muhurta(
        self,
        day: SolarDay,
        bs: BSDate,
        window: Window,
        reasons: list[Reason],
        overridden: Iterable[Note],
    ) -> Muhurta:
        is_printed = day.day in self.rite.printed
        warnings = [_note("printed" if is_printed else "confirm"), *overridden]
        for code, bad in (("yamaganda", yamaganda(day)), ("gulika", gulika(day))):
            if window.overlap(bad.start, bad.end) > 0:
                start = self._hour(max(bad.start, window.start))
                end = self._hour(min(bad.end, window.end))
                warnings.append(_note(code, start=start, end=end))
        if is_provisional(bs.year):
            warnings.append(_note("provisional"))
        if self.rite.note:
            warnings.append(Note("rite", self.rite.note))
        return Muhurta(
            rite=self.rite.key,
            day=day.day,
            bs=bs,
            start=to_datetime(window.start, self.zone),
            end=to_datetime(window.end, self.zone),
            score=_score(reasons),
            reasons_for=tuple(each for each in reasons if each.is_for),
            reasons_against=tuple(each for each in reasons if not each.is_for),
            warnings=tuple(warnings),
            is_printed=is_printed,
            siddhanta=self.sky.siddhanta,
        )


def _agnivasa(tithi: int, vara: int) -> int:
    """Where the fire dwells: 0 and 3 on earth, 1 in the sky, 2 in the underworld."""
    return (tithi + (vara + 1) + 1) % 4


def _score(reasons: Sequence[Reason]) -> int:
    points, most = sum(each.points for each in reasons), sum(each.most for each in reasons)
    return (200 * points + most) // (2 * most)


def _alike(one: Sequence[Reason], other: Sequence[Reason]) -> bool:
    return [each.points for each in one] == [each.points for each in other]


def _text(code: str, names: dict[str, Name]) -> Name:
    text = _table().texts[code]
    return Name(
        text.en.format(**{key: name.en for key, name in names.items()}),
        text.ne.format(**{key: name.ne for key, name in names.items()}),
    )


def _reason(code: str, points: int, most: int, **names: Name) -> Reason:
    return Reason(code, _text(code, names), points, most)


def _note(code: str, **names: Name) -> Note:
    return Note(code, _text(code, names))
