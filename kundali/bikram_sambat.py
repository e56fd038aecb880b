"""Bikram Sambat, the civil calendar of Nepal, and its conversion from and to the Gregorian one.

The length of a Bikram Sambat month follows the Sun and is fixed by the yearly almanac, so there
is no closed formula: ``tables/bs_calendar.json`` holds the lengths of the years 1975 to 2157
(13 April 1918 to 14 April 2101) with its sources. Years after the last published almanac are
forecasts, and in a few years the printed calendars contradict each other by one day within the
year; `is_provisional` and `is_disputed` say so, and the Gregorian date is the one to store.

A day of either calendar runs from midnight to midnight in Nepal. Take the date in the zone
``Asia/Kathmandu`` before converting an instant.
"""

from __future__ import annotations

import json
import re
from bisect import bisect_right
from dataclasses import dataclass
from datetime import date
from importlib.resources import files
from itertools import accumulate, chain
from typing import Final, NamedTuple


class OutsideCalendar(ValueError):
    """The calendar has no such date: a year outside the table, or no such month or day."""


class MonthName(NamedTuple):
    """Name of a month in English letters and in Nepali."""

    en: str
    ne: str


MONTHS: Final = (
    MonthName("Baisakh", "वैशाख"),
    MonthName("Jestha", "जेठ"),
    MonthName("Asar", "असार"),
    MonthName("Saun", "साउन"),
    MonthName("Bhadau", "भदौ"),
    MonthName("Asoj", "असोज"),
    MonthName("Kartik", "कात्तिक"),
    MonthName("Mangsir", "मङ्सिर"),
    MonthName("Poush", "पुस"),
    MonthName("Magh", "माघ"),
    MonthName("Phagun", "फागुन"),
    MonthName("Chait", "चैत"),
)
"""The twelve months in order; month number ``n`` of a date is ``MONTHS[n - 1]``."""

_WRITTEN_DATE: Final = re.compile(r"([0-9]{4})([-/.])([0-9]{1,2})\2([0-9]{1,2})")
_ASCII_DIGITS: Final = str.maketrans("०१२३४५६७८९", "0123456789")


class _Table(NamedTuple):
    lengths: dict[int, tuple[int, ...]]
    month_starts: tuple[int, ...]
    """Proleptic Gregorian ordinals of every month's first day, then of the day after the end."""
    official_until: int
    disputed_years: frozenset[int]


def _read_table() -> _Table:
    text = files("kundali").joinpath("tables", "bs_calendar.json").read_text(encoding="utf-8")
    raw = json.loads(text)
    lengths = {int(year): tuple(days) for year, days in raw["month_lengths"].items()}
    anchor = date.fromisoformat(raw["anchor"]["ad"]).toordinal()
    return _Table(
        lengths=lengths,
        month_starts=tuple(accumulate(chain.from_iterable(lengths.values()), initial=anchor)),
        official_until=raw["official_until"],
        disputed_years=frozenset(raw["disputed_years"]),
    )


_TABLE: Final = _read_table()
_FIRST_YEAR: Final = min(_TABLE.lengths)
_LAST_YEAR: Final = max(_TABLE.lengths)


def month_lengths(year: int) -> tuple[int, ...]:
    """Days in each of the twelve months of a Bikram Sambat year.

    Raises
    ------
    OutsideCalendar
        If the table does not hold the year.
    """
    try:
        return _TABLE.lengths[year]
    except KeyError:
        raise OutsideCalendar(
            f"Bikram Sambat year {year} is not in {_FIRST_YEAR}..{_LAST_YEAR}"
        ) from None


@dataclass(frozen=True, slots=True, order=True)
class BSDate:
    """A day of the Bikram Sambat calendar that exists; ordered by time.

    Raises
    ------
    OutsideCalendar
        On construction, if the table holds no such day.
    """

    year: int
    month: int
    day: int

    def __post_init__(self) -> None:
        """Refuse a day that the calendar does not have."""
        lengths = month_lengths(self.year)
        if not 1 <= self.month <= len(lengths):
            raise OutsideCalendar(f"a year has no month {self.month}")
        if not 1 <= self.day <= lengths[self.month - 1]:
            name = MONTHS[self.month - 1].en
            raise OutsideCalendar(f"{name} {self.year} has no day {self.day}")

    def isoformat(self) -> str:
        """Return the date as ``YYYY-MM-DD``."""
        return f"{self.year:04d}-{self.month:02d}-{self.day:02d}"


FIRST: Final = BSDate(_FIRST_YEAR, 1, 1)
"""First day of the table."""
LAST: Final = BSDate(_LAST_YEAR, 12, _TABLE.lengths[_LAST_YEAR][-1])
"""Last day of the table."""
FIRST_AD: Final = date.fromordinal(_TABLE.month_starts[0])
"""Gregorian date of `FIRST`."""
LAST_AD: Final = date.fromordinal(_TABLE.month_starts[-1] - 1)
"""Gregorian date of `LAST`."""
OFFICIAL_UNTIL: Final = _TABLE.official_until
"""Last Bikram Sambat year whose almanac has been published."""


def to_bs(day: date) -> BSDate:
    """Convert a Gregorian date.

    Raises
    ------
    OutsideCalendar
        If the date lies before `FIRST_AD` or after `LAST_AD`.
    """
    if not FIRST_AD.toordinal() <= (ordinal := day.toordinal()) <= LAST_AD.toordinal():
        raise OutsideCalendar(f"{day.isoformat()} is not in {FIRST_AD}..{LAST_AD}")
    index = bisect_right(_TABLE.month_starts, ordinal) - 1
    years, months = divmod(index, len(MONTHS))
    return BSDate(_FIRST_YEAR + years, months + 1, ordinal - _TABLE.month_starts[index] + 1)


def to_ad(day: BSDate) -> date:
    """Convert a Bikram Sambat date to the Gregorian one."""
    index = (day.year - _FIRST_YEAR) * len(MONTHS) + day.month - 1
    return date.fromordinal(_TABLE.month_starts[index] + day.day - 1)


def parse(text: str) -> BSDate:
    """Read a date written as year, month, day, such as ``2083-08-05`` or ``२०८३/८/५``.

    Digits may be ASCII or Devanagari, the separator ``-``, ``/`` or ``.``, and leading zeros of
    month and day may be left out.

    Raises
    ------
    OutsideCalendar
        If the text is a date but the calendar has no such day.
    ValueError
        If the text is not a date in this form.
    """
    match = _WRITTEN_DATE.fullmatch(text.strip().translate(_ASCII_DIGITS))
    if match is None:
        raise ValueError(f"not a Bikram Sambat date: {text[:40]!r}")
    return BSDate(int(match[1]), int(match[3]), int(match[4]))


def is_provisional(year: int) -> bool:
    """Whether the year's almanac is still unpublished, so that its dates are a forecast.

    Raises
    ------
    OutsideCalendar
        If the table does not hold the year.
    """
    month_lengths(year)
    return year > OFFICIAL_UNTIL


def is_disputed(year: int) -> bool:
    """Whether calendars in circulation differ from this one by a day within the year.

    Raises
    ------
    OutsideCalendar
        If the table does not hold the year.
    """
    month_lengths(year)
    return year in _TABLE.disputed_years
