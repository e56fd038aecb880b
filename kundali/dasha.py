"""Vimshottari dasha: who rules which years of a life, to the third level.

The nine grahas rule 120 years in turn, beginning with the lord of the Moon's nakshatra. Of the
first lord's years the part is gone that the Moon had already run of its nakshatra. Every period
is divided among the nine in proportion to their years, beginning with its own lord; all bounds
are computed from the start of the first period, never from rounded dates.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final, NamedTuple

from kundali.chart import Chart
from kundali.ephemeris import Graha
from kundali.names import read_table
from kundali.options import YearLength
from kundali.zodiac import NAKSHATRA_TABLE, nakshatra_of, part_of_nakshatra

_RAW: Final = read_table("dignity")
ORDER: Final = tuple(Graha[name.upper()] for name in _RAW["vimshottari_order"])
"""The nine lords as they follow one another."""
YEARS: Final = {Graha[name.upper()]: years for name, years in _RAW["vimshottari_years"].items()}
CYCLE_YEARS: Final = 120
DEEPEST_LEVEL: Final = 3
"""Mahadasha, antardasha, pratyantardasha."""

_FOLLOWING: Final = {lord: ORDER[at:] + ORDER[:at] for at, lord in enumerate(ORDER)}


class Period(NamedTuple):
    """A stretch of life under one, two or three lords; Julian days, ``start <= t < end``."""

    lords: tuple[Graha, ...]
    """Lord of the mahadasha, then of the antardasha, then of the pratyantardasha."""
    start: float
    end: float

    @property
    def level(self) -> int:
        """1 for a mahadasha, 2 for an antardasha, 3 for a pratyantardasha."""
        return len(self.lords)

    @property
    def lord(self) -> Graha:
        """Lord of the period itself, at its own level."""
        return self.lords[-1]

    @property
    def days(self) -> float:
        """Length in days."""
        return self.end - self.start


@dataclass(frozen=True, slots=True)
class Dasha:
    """The nine mahadashas around a birth."""

    birth: float
    """Julian day of the birth."""
    year: YearLength
    balance_years: float
    """Years of the first mahadasha that were left at birth."""
    mahadashas: tuple[Period, ...]
    """Nine in order. The first is given whole: it starts at or before the birth."""

    @property
    def lord_at_birth(self) -> Graha:
        """Lord of the mahadasha that ran at birth."""
        return self.mahadashas[0].lord

    def at(self, moment: float, level: int = DEEPEST_LEVEL) -> Period | None:
        """Period of a level that runs at an instant; none before birth or after 120 years."""
        if moment < self.birth:
            return None
        running = _running(self.mahadashas, moment)
        while running is not None and running.level < level:
            running = _running(subperiods(running), moment)
        return running

    def between(self, start: float, end: float, level: int) -> Iterator[Period]:
        """Yield the periods of a level that touch a stretch of life, in order."""
        for period in _of_level(self.mahadashas, level, max(start, self.birth), end):
            if period.end > start and period.start < end:
                yield period


def dasha(chart: Chart) -> Dasha | None:
    """Return the dasha of a chart, or none without a birth time: its dates hang on minutes."""
    if not chart.is_time_known:
        return None
    return vimshottari(chart.moon.at.longitude, chart.birth.julian_day, chart.options.year)


def vimshottari(moon_longitude: float, birth: float, year: YearLength = YearLength.JULIAN) -> Dasha:
    """Nine mahadashas of a Moon's sidereal longitude at a birth's Julian day."""
    lord = NAKSHATRA_TABLE[nakshatra_of(moon_longitude)].lord
    gone = part_of_nakshatra(moon_longitude) * YEARS[lord]
    start = birth - gone * year.days
    cycle = Period((), start, start + CYCLE_YEARS * year.days)
    return Dasha(
        birth=birth,
        year=year,
        balance_years=YEARS[lord] - gone,
        mahadashas=_divided(cycle, lord),
    )


def subperiods(period: Period) -> tuple[Period, ...]:
    """Nine periods of the next level, from the period's own lord on; they fill it exactly."""
    return _divided(period, period.lord)


def _divided(period: Period, first: Graha) -> tuple[Period, ...]:
    lords, start, end = period
    unit = (end - start) / CYCLE_YEARS
    parts = []
    gone = 0
    here = start
    for lord in _FOLLOWING[first]:
        gone += YEARS[lord]
        there = start + gone * unit if gone < CYCLE_YEARS else end
        parts.append(Period((*lords, lord), here, there))
        here = there
    return tuple(parts)


def _running(periods: tuple[Period, ...], moment: float) -> Period | None:
    return next((period for period in periods if period.start <= moment < period.end), None)


def _of_level(
    periods: tuple[Period, ...], level: int, start: float, end: float
) -> Iterator[Period]:
    for period in periods:
        if period.end <= start or period.start >= end:
            continue
        if period.level == level:
            yield period
        else:
            yield from _of_level(subperiods(period), level, start, end)
