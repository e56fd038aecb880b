"""The Sun's entry into the signs (sankranti), and the months of Bikram Sambat that follow it.

A month begins on the Nepali civil day, from midnight to midnight, on which the Sun of the Surya
Siddhanta enters its sign, with two exceptions that the printed calendars keep: an entry into Karka
(Saun) before 05:40 counts to the day before, and one into Makara (Magh) from 17:00 on to the day
after. The rule gives 1003 of the 1008 months printed for 2000 to 2083 BS; in the other five the
Sun enters within twenty minutes after midnight. `kundali.bikram_sambat` holds what was printed,
and what this rule forecasts.
"""

from __future__ import annotations

from datetime import date, time, timedelta
from itertools import pairwise
from typing import Final

from kundali.julian import to_datetime
from kundali.sky import SURYA, Anga, span_at
from kundali.solar_day import NEPAL

# 1 Baisakh 2000 BS was 14 April 1943; a year of the Surya Siddhanta has 365.25876 days.
_BAISAKH_2000: Final = 2430828.5
_YEAR_DAYS: Final = 365.258756
_MONTH_DAYS: Final = _YEAR_DAYS / 12
_SAUN, _MAGH = 4, 10
_SAUN_COUNTS_FROM: Final = time(5, 40)
_MAGH_COUNTS_UNTIL: Final = time(17, 0)


def sankranti(year: int, month: int) -> float:
    """Julian Day (UT) at which the Sun enters the sign of a month of a Bikram Sambat year.

    Parameters
    ----------
    month
        1 Baisakh, whose sign is Mesha, to 12 Chait.
    """
    middle = _BAISAKH_2000 + (year - 2000) * _YEAR_DAYS + (month - 0.5) * _MONTH_DAYS
    # Signs last from 29.3 to 31.6 days, and their middles stray from an even count by four at most.
    return span_at(SURYA, Anga.SUN_SIGN, middle).start


def first_day(year: int, month: int) -> date:
    """Gregorian date on which the rule begins a month of a Bikram Sambat year."""
    entry = to_datetime(sankranti(year, month), NEPAL)
    if month == _SAUN and entry.time() < _SAUN_COUNTS_FROM:
        return entry.date() - timedelta(days=1)
    if month == _MAGH and entry.time() >= _MAGH_COUNTS_UNTIL:
        return entry.date() + timedelta(days=1)
    return entry.date()


def month_lengths(year: int) -> tuple[int, ...]:
    """Days that the rule gives to each of the twelve months of a Bikram Sambat year."""
    starts = [first_day(year, month) for month in range(1, 13)]
    starts.append(first_day(year + 1, 1))
    return tuple((after - before).days for before, after in pairwise(starts))
