"""The festivals of Nepal, for any year from 1950 to 2100.

A festival follows a lunar day, a day of the Bikram Sambat calendar or one of the Gregorian. Lunar
ones are found in the Surya sky for Kathmandu (`kundali.sky`): the tithi of the named month, never
one that is put in, and of the days that it touches the one whose ritual hour holds it. The hour and
what decides between two days are in ``tables/festivals.json``; where custom is not settled the
rule says what it is about, and each date that depends on it says so.

Years whose calendars were printed come from what was printed, with its sources; `Festival.computed`
keeps what the rule gives, so that a difference is seen. All other dates say that they were
computed.

Festivals that other calendars or committees set (Gyalpo Lhosar, the Islamic feasts, Gaura Parva,
the chariots of Rato Machhindranath and Bisket) have no rule here and are not listed.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from enum import StrEnum
from functools import cache
from itertools import pairwise
from typing import Any, Final, NamedTuple

from kundali.bikram_sambat import BSDate, OutsideCalendar, is_provisional, to_ad, to_bs
from kundali.ephemeris import KATHMANDU
from kundali.julian import civil_day
from kundali.lunar_month import LunarMonth, lunar_months
from kundali.names import Name, read_table
from kundali.observance import TwoDays, day_of
from kundali.sky import SURYA, Anga, Siddhanta, Sky, Span, spans
from kundali.solar_day import NEPAL, DayPart, SolarDays, Window

FIRST_YEAR: Final = 1950
LAST_YEAR: Final = 2100
FIRST_DAY: Final = date(FIRST_YEAR, 1, 1)
LAST_DAY: Final = date(LAST_YEAR, 12, 31)

# A month lost lies within five of the one put in before it, and of the one after.
_AROUND_DAYS: Final = 400.0
# The longest that one lunar day is away from a printed date of the same festival.
_NEAR_DAYS: Final = 3
_EKADASHI: Final = 11


class UnknownYear(ValueError):
    """A year for which no festivals are computed."""


class Basis(StrEnum):
    """Where a date comes from."""

    PUBLISHED = "published"
    COMPUTED = "computed"


class Dispute(NamedTuple):
    """What is not settled about a date, in both languages."""

    en: str
    ne: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Festival:
    """One festival on its day.

    Parameters
    ----------
    key
        Name that does not change, as ``maha_shivaratri``.
    day, bs
        Its civil day in both calendars.
    is_provisional
        Whether the Bikram Sambat year is not published yet, so that ``bs`` may move by a day.
    basis
        Whether the day was printed or computed.
    computed
        The day that the rule gives; not ``day`` where the print differs.
    vaishnava
        Of a fast on Ekadashi, the day that Vaishnavas keep, where it is another.
    rule
        The rule in one line of English.
    also
        Other days that were printed for it.
    disputes
        What is not settled about the day: empty where nothing is known to be.
    sources
        Those that printed the day.
    siddhanta
        The sky that the rule was computed in; None if it follows no tithi.
    """

    key: str
    name: Name
    day: date
    bs: BSDate
    is_provisional: bool
    basis: Basis
    computed: date
    rule: str
    vaishnava: date | None = None
    also: tuple[date, ...] = ()
    disputes: tuple[Dispute, ...] = ()
    sources: tuple[str, ...] = ()
    siddhanta: Siddhanta | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class _LunarRule:
    key: str
    name: Name
    month: int
    tithi: int
    part: DayPart | None
    """None is the instant of sunrise."""
    two_days: TwoDays
    offset_days: int
    dispute: Dispute | None
    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class _FixedRule:
    key: str
    name: Name
    month: int
    day: int
    is_bs: bool
    since: int
    """First year of its calendar in which it was kept."""
    dispute: Dispute | None
    text: str


class _Printed(NamedTuple):
    day: date
    sources: tuple[str, ...]
    also: tuple[date, ...]


class _Table(NamedTuple):
    lunar: tuple[_LunarRule, ...]
    fixed: tuple[_FixedRule, ...]
    printed: Mapping[str, tuple[_Printed, ...]]
    """By key, in order of the days."""
    month_lost: Dispute
    printed_otherwise: Dispute
    printed_twice: Dispute


@cache
def _table() -> _Table:
    raw = read_table("festivals")
    sources = raw["sources"]
    return _Table(
        lunar=tuple(_lunar_rule(row) for row in raw["lunar"]),
        fixed=tuple(
            _FixedRule(
                key=row["key"],
                name=Name(row["en"], row["ne"]),
                month=row["month"],
                day=row["day"],
                is_bs=row["calendar"] == "bs",
                since=row.get("since", 0),
                dispute=Dispute(**row["dispute"]) if "dispute" in row else None,
                text=f"{row['calendar'].upper()} {row['month']}-{row['day']}",
            )
            for row in raw["fixed"]
        ),
        printed={
            key: tuple(
                sorted(
                    _Printed(
                        date.fromisoformat(row["day"]),
                        tuple(sources[letter] for letter in row["sources"]),
                        tuple(date.fromisoformat(day) for day in row.get("also", ())),
                    )
                    for row in rows
                )
            )
            for key, rows in raw["published"].items()
        },
        **{name: Dispute(**raw["disputes"][name]) for name in _Table._fields[3:]},
    )


def _lunar_rule(row: dict[str, Any]) -> _LunarRule:
    months = read_table("names")["lunar_months"]
    half = "Shukla" if row["tithi"] <= 15 else "Krishna"
    part = row["day_part"]
    text = (
        f"{months[row['month'] - 1]['en']} (amanta) {half} {(row['tithi'] - 1) % 15 + 1}"
        f" at {part}; of two days: {row['two_days']}"
    )
    offset = row.get("offset_days", 0)
    return _LunarRule(
        key=row["key"],
        name=Name(row["en"], row["ne"]),
        month=row["month"],
        tithi=row["tithi"],
        part=None if part == "sunrise" else DayPart[part.upper()],
        two_days=TwoDays(row["two_days"]),
        offset_days=offset,
        dispute=Dispute(**row["dispute"]) if "dispute" in row else None,
        text=f"{text}; plus {offset} day" if offset else text,
    )


def festival_names() -> Mapping[str, Name]:
    """Return the names of all festivals by their keys."""
    table = _table()
    rules: tuple[_LunarRule | _FixedRule, ...] = (*table.lunar, *table.fixed)
    return {rule.key: rule.name for rule in rules}


def festivals_of_year(year: int, sky: Sky = SURYA) -> tuple[Festival, ...]:
    """Return the festivals of a Gregorian year, in order of their days.

    Raises
    ------
    UnknownYear
        If the year is not in 1950 to 2100.
    """
    if not FIRST_YEAR <= year <= LAST_YEAR:
        raise UnknownYear(f"year {year} is not in {FIRST_YEAR}..{LAST_YEAR}")
    return festivals_between(date(year, 1, 1), date(year, 12, 31), sky)


def festivals_of_bs_year(year: int, sky: Sky = SURYA) -> tuple[Festival, ...]:
    """Return the festivals of a Bikram Sambat year, in order of their days.

    Raises
    ------
    UnknownYear
        If the year does not lie in 1950 to 2100 from end to end.
    """
    try:
        first, last = to_ad(BSDate(year, 1, 1)), to_ad(BSDate(year + 1, 1, 1)) - timedelta(days=1)
    except OutsideCalendar as error:
        raise UnknownYear(str(error)) from error
    return festivals_between(first, last, sky)


def festivals_between(first: date, last: date, sky: Sky = SURYA) -> tuple[Festival, ...]:
    """Return the festivals from the one day to the other, both included, in order of their days.

    A year takes some tens of milliseconds.

    Parameters
    ----------
    sky
        By whose tithis. What was printed counts in the sky of the printed calendar alone.

    Raises
    ------
    UnknownYear
        If a day is not in 1950 to 2100.
    """
    for day in (first, last):
        if not FIRST_DAY <= day <= LAST_DAY:
            raise UnknownYear(f"{day} is not in {FIRST_DAY}..{LAST_DAY}")
    # A printed day may lie a few days off the computed one, so that one is looked for beyond.
    found = _Finder(first - timedelta(days=5), last + timedelta(days=5), sky).all()
    return tuple(
        sorted(
            (each for each in found if first <= each.day <= last),
            key=lambda each: (each.day, each.key),
        )
    )


class _Finder:
    """Finds the festivals of a stretch of days."""

    def __init__(self, first: date, last: date, sky: Sky) -> None:
        self.first = first
        self.last = last
        self.sky = sky
        self.days = SolarDays(KATHMANDU, NEPAL)
        start, end = civil_day(first, NEPAL).start, civil_day(last, NEPAL).end
        months = lunar_months(sky, start, end)
        self.uneven = _uneven(lunar_months(sky, start - _AROUND_DAYS, end + _AROUND_DAYS))
        tithis = spans(sky, Anga.TITHI, months[0].start, months[-1].end - 0.1)
        self.tithis: list[tuple[LunarMonth, dict[int, Span]]] = [
            (
                month,
                {
                    tithi.number: tithi
                    for tithi in tithis
                    if month.start <= (tithi.start + tithi.end) / 2 < month.end
                },
            )
            for month in months
        ]

    def all(self) -> Iterator[Festival]:
        table = _table()
        for rule in table.lunar:
            yield from self._lunar(rule)
        for fixed in table.fixed:
            yield from self._fixed(fixed)

    def _lunar(self, rule: _LunarRule) -> Iterator[Festival]:
        for month, tithis in self.tithis:
            if not month.holds(rule.month):
                continue
            disputes = [rule.dispute] if rule.dispute else []
            if any(start <= month.start < end for start, end in self.uneven):
                disputes.append(_table().month_lost)
            tithi = tithis[rule.tithi]
            computed = day_of(tithi, rule.part, rule.two_days, self.days)
            computed += timedelta(days=rule.offset_days)
            vaishnava = None
            if rule.tithi % 15 == _EKADASHI:
                kept = self._vaishnava(computed, tithi)
                vaishnava = kept if kept != computed else None
            yield _festival(rule, computed, disputes, vaishnava, self.sky.siddhanta)

    def _fixed(self, rule: _FixedRule) -> Iterator[Festival]:
        if rule.is_bs:
            years = range(to_bs(self.first).year, to_bs(self.last).year + 1)
            days = [
                to_ad(BSDate(year, rule.month, rule.day)) for year in years if year >= rule.since
            ]
        else:
            years = range(self.first.year, self.last.year + 1)
            days = [date(year, rule.month, rule.day) for year in years if year >= rule.since]
        for day in days:
            if not self.first <= day <= self.last:
                continue
            yield _festival(rule, day, [rule.dispute] if rule.dispute else [], None, None)

    def _vaishnava(self, smarta: date, tithi: Span) -> date:
        """Return the day on which Vaishnavas fast: not one whose dawn the tenth tithi touches."""
        following = smarta + timedelta(days=1)
        if tithi.start <= self.days(following).sunrise < tithi.end:
            return following
        before = self.days(smarta - timedelta(days=1))
        return following if tithi.start > before.part(DayPart.ARUNODAYA).start else smarta


def _festival(
    rule: _LunarRule | _FixedRule,
    computed: date,
    disputes: list[Dispute],
    vaishnava: date | None,
    siddhanta: Siddhanta | None,
) -> Festival:
    table = _table()
    rows = () if siddhanta is Siddhanta.DRIK else table.printed.get(rule.key, ())
    printed = _printed_near(rows, computed)
    day = printed.day if printed else computed
    if printed and printed.day != computed:
        disputes = [*disputes, table.printed_otherwise]
    if printed and printed.also:
        disputes = [*disputes, table.printed_twice]
    bs = to_bs(day)
    return Festival(
        key=rule.key,
        name=rule.name,
        day=day,
        bs=bs,
        is_provisional=is_provisional(bs.year),
        basis=Basis.PUBLISHED if printed else Basis.COMPUTED,
        computed=computed,
        rule=rule.text,
        vaishnava=vaishnava,
        also=printed.also if printed else (),
        disputes=tuple(disputes),
        sources=printed.sources if printed else (),
        siddhanta=siddhanta,
    )


def _uneven(months: Sequence[LunarMonth]) -> tuple[Window, ...]:
    """Return the times between two months put in, where one is lost between them."""
    adhika = [each for each in months if each.is_adhika]
    return tuple(
        Window(before.start, after.end)
        for before, after in pairwise(adhika)
        if any(each.is_kshaya and before.start < each.start < after.start for each in months)
    )


def _printed_near(printed: tuple[_Printed, ...], computed: date) -> _Printed | None:
    at = bisect_left(printed, computed - timedelta(days=_NEAR_DAYS), key=lambda each: each.day)
    if at < len(printed) and printed[at].day <= computed + timedelta(days=_NEAR_DAYS):
        return printed[at]
    return None
