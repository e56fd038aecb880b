"""On which civil day a tithi is kept: the day whose ritual hour it holds."""

from __future__ import annotations

from datetime import date, timedelta
from enum import StrEnum

from kundali.julian import to_datetime
from kundali.sky import Span
from kundali.solar_day import DayPart, SolarDays


class TwoDays(StrEnum):
    """Which day it is when the tithi holds the ritual hour of two."""

    FIRST = "first"
    LAST = "last"
    MORE = "more"
    """The day that it holds more of; the later of equals."""


def day_of(tithi: Span, part: DayPart | None, two_days: TwoDays, days: SolarDays) -> date:
    """Return the civil day on which a tithi is kept.

    Parameters
    ----------
    part
        The ritual hour; None for the instant of sunrise. A tithi that holds that of no day is
        kept on the solar day, from sunrise to sunrise, in which it begins.

    Raises
    ------
    NoSunrise
        If the Sun does not rise or set at the place of the days.
    """
    begins = to_datetime(tithi.start, days.zone).date()
    shares: list[tuple[date, float]] = []
    # A tithi is shorter than 27 hours: it touches the hours of three days at most, the first
    # of them the night of the day before it begins.
    for ahead in range(-1, 3):
        solar = days(begins + timedelta(days=ahead))
        if part is None:
            share = float(tithi.start <= solar.sunrise < tithi.end)
        else:
            share = solar.part(part).overlap(tithi.start, tithi.end)
        if share > 0:
            shares.append((solar.day, share))
    if not shares:
        return begins if tithi.start >= days(begins).sunrise else begins - timedelta(days=1)
    if two_days is TwoDays.MORE:
        return max(shares, key=lambda each: (each[1], each[0]))[0]
    return shares[0 if two_days is TwoDays.FIRST else -1][0]
