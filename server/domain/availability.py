"""What hours a pandit may keep."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import date, time
from typing import Final

from server.domain.calendar import CLAIM_MINUTES, Availability, Interval
from server.domain.errors import FieldFault

MAX_EXCEPTIONS: Final = 366
MAX_INTERVALS: Final = 12
MAX_BUFFER_MINUTES: Final = 4 * 60
MAX_LEAD_MINUTES: Final = 14 * 24 * 60
MAX_PER_DAY: Final = 20
_MIDNIGHT: Final = time(0)


def availability_faults(availability: Availability, today: date) -> tuple[FieldFault, ...]:
    """All faults of the hours, by field; ``today`` is the pandit's own."""
    return tuple(_faults(availability, today))


def _faults(availability: Availability, today: date) -> Iterator[FieldFault]:
    if not 0 <= availability.buffer_minutes <= MAX_BUFFER_MINUTES:
        yield FieldFault("buffer_minutes", "range")
    if not 0 <= availability.lead_minutes <= MAX_LEAD_MINUTES:
        yield FieldFault("lead_minutes", "range")
    if availability.max_per_day is not None and not 1 <= availability.max_per_day <= MAX_PER_DAY:
        yield FieldFault("max_per_day", "range")
    weekdays: set[int] = set()
    for place, hours in enumerate(availability.weekly):
        if not 1 <= hours.weekday <= 7:
            yield FieldFault(f"weekly[{place}].weekday", "range")
        elif hours.weekday in weekdays:
            yield FieldFault(f"weekly[{place}].weekday", "overlap")
        weekdays.add(hours.weekday)
        yield from _interval_faults(f"weekly[{place}].intervals", hours.intervals)
    if len(availability.exceptions) > MAX_EXCEPTIONS:
        yield FieldFault("exceptions", "too-long")
    days: set[date] = set()
    for place, exception in enumerate(availability.exceptions):
        if exception.on < today:
            yield FieldFault(f"exceptions[{place}].date", "in-the-past")
        elif exception.on in days:
            yield FieldFault(f"exceptions[{place}].date", "overlap")
        days.add(exception.on)
        yield from _interval_faults(f"exceptions[{place}].intervals", exception.intervals)


def _interval_faults(field: str, intervals: Sequence[Interval]) -> Iterator[FieldFault]:
    if len(intervals) > MAX_INTERVALS:
        yield FieldFault(field, "too-long")
    earlier_end: int | None = None
    for place, interval in enumerate(intervals):
        for edge, at in (("start", interval.start), ("end", interval.end)):
            if at.minute % CLAIM_MINUTES or at.second or at.microsecond:
                yield FieldFault(f"{field}[{place}].{edge}", "not-quarter-hour")
        start, end = _minutes(interval.start), _minutes(interval.end)
        if interval.end == _MIDNIGHT:
            end = 24 * 60
        if end <= start:
            yield FieldFault(f"{field}[{place}].end", "order")
        if earlier_end is not None and start < earlier_end:
            yield FieldFault(f"{field}[{place}].start", "overlap")
        earlier_end = max(end, earlier_end or 0)


def _minutes(at: time) -> int:
    return at.hour * 60 + at.minute
