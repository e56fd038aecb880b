"""Marks texts that people see, for translation where they are used; how days and clocks read."""

from __future__ import annotations

from datetime import date, datetime, time
from typing import Final

from kundali.bikram_sambat import MONTHS, OutsideCalendar, to_bs

_ENGLISH_MONTHS: Final = (
    "Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec",
)  # fmt: skip
_DIGITS: Final = str.maketrans("0123456789", "०१२३४५६७८९")
# What Nepali says before an hour from then on; nobody speaks of the am and pm of its tables.
_TIMES_OF_DAY: Final = ((20, "राति"), (17, "साँझ"), (12, "दिउँसो"), (4, "बिहान"), (0, "राति"))


def N_(message: str) -> str:  # noqa: N802  # gettext's own name for "translate later"
    """Return the text unchanged; the extraction of texts looks for calls of this name."""
    return message


def written_day(day: date, language: str) -> str:
    """Write a date as people do in a sentence.

    English "22 Nov 2026"; Nepali in Bikram Sambat "२०८३ मङ्सिर ६", or, outside the table of that
    calendar, in the numbers of the Gregorian date.
    """
    if language != "ne":
        return f"{day.day} {_ENGLISH_MONTHS[day.month - 1]} {day.year}"
    try:
        bs = to_bs(day)
    except OutsideCalendar:
        return day.isoformat().translate(_DIGITS)
    return f"{bs.year} {MONTHS[bs.month - 1].ne} {bs.day}".translate(_DIGITS)


def written_clock(at: datetime | time, language: str) -> str:
    """The time of day that a clock shows at ``at``: 6:05 pm, साँझ ६:०५."""
    shown = f"{at.hour % 12 or 12}:{at.minute:02d}"
    if language == "ne":
        words = next(words for hour, words in _TIMES_OF_DAY if at.hour >= hour)
        return f"{words} {shown.translate(_DIGITS)}"
    return f"{shown} {'am' if at.hour < 12 else 'pm'}"
