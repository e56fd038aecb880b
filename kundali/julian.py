"""Julian days: the one scale of time inside the package.

A Julian day here is a float in Universal Time: days since noon of 1 January 4713 BC. UTC stands in
for UT1; the two stay within 0.9 seconds of each other, which moves the Moon by half an arc-second.
A float holds a Julian day of our centuries to about 40 microseconds.
"""

from __future__ import annotations

from datetime import UTC, date, datetime, time, timedelta, tzinfo
from typing import Final, NamedTuple

J2000: Final = 2451545.0
"""Noon of 1 January 2000."""
SECOND: Final = 1 / 86400
"""One second, in days."""
MINUTE: Final = 1 / 1440
"""One minute, in days."""

_UNIX_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_UNIX_EPOCH_JULIAN_DAY: Final = 2440587.5
_MICROSECONDS_A_DAY: Final = 86_400_000_000


def julian_day(instant: datetime) -> float:
    """Julian day of an aware instant.

    Raises
    ------
    ValueError
        If the instant carries no zone: a local time alone is no instant.
    """
    if instant.utcoffset() is None:
        raise ValueError("an instant needs a zone")
    elapsed = (instant - _UNIX_EPOCH) // timedelta(microseconds=1)
    return _UNIX_EPOCH_JULIAN_DAY + elapsed / _MICROSECONDS_A_DAY


def to_datetime(julian_day_ut: float, zone: tzinfo = UTC) -> datetime:
    """Instant of a Julian day in a zone, rounded to the millisecond.

    Raises
    ------
    OverflowError
        If the year is outside 1 to 9999.
    """
    elapsed = round((julian_day_ut - _UNIX_EPOCH_JULIAN_DAY) * 86_400_000)
    return (_UNIX_EPOCH + timedelta(milliseconds=elapsed)).astimezone(zone)


class CivilDay(NamedTuple):
    """A day from midnight to midnight in a zone, in Julian days: ``start <= instant < end``."""

    start: float
    end: float


def civil_day(day: date, zone: tzinfo) -> CivilDay:
    """Bounds of a civil day; 23 or 25 hours long where the clocks change, most often 24.

    Where midnight itself is skipped, the day starts at the first instant that bears its date.
    """
    return CivilDay(_midnight(day, zone), _midnight(day + timedelta(days=1), zone))


def _midnight(day: date, zone: tzinfo) -> float:
    # fold=0 reads a skipped midnight with the offset before the gap: that is the instant of the
    # change, plus what the clock would have shown; the offset after the gap gives the change.
    first = datetime.combine(day, time.min, zone)
    second = first.replace(fold=1)
    skipped = first.astimezone(UTC).astimezone(zone).replace(tzinfo=None) != first.replace(
        tzinfo=None
    )
    if not skipped:
        return julian_day(first)
    return julian_day(clock_change(second.astimezone(UTC), first.astimezone(UTC), zone))


def clock_change(low: datetime, high: datetime, zone: tzinfo) -> datetime:
    """First whole second, in UTC, at which a zone's clock differs from what it was at ``low``.

    Both bounds are aware, and the one change of the clock lies between them.
    """
    before = low.astimezone(zone).utcoffset()
    start, end = int(low.timestamp()), int(high.timestamp()) + 1
    while end - start > 1:
        middle = (start + end) // 2
        if datetime.fromtimestamp(middle, zone).utcoffset() == before:
            start = middle
        else:
            end = middle
    return datetime.fromtimestamp(end, UTC)
