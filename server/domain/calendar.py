"""When a pandit can be booked: weekly hours, exceptions, quarter-hour claims and slots.

A booking claims every quarter hour of [start, end + buffer). A claim is the number of quarter hours
since the Unix epoch; a unique index over (pandit, claim) makes the database refuse a second booking
of any of them. Nepal's offset of 5 h 45 min is a whole number of quarter hours, so local quarter
hours are claims too.

Beside these it claims a seat of its day and a turn of its day, which are numbers below zero
(:class:`DayClaim`): by the seats nobody has more bookings on a day than he wants, by the turns of
two bookings made at the same moment the second sees the first.
"""

from __future__ import annotations

import enum
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from typing import Final
from zoneinfo import ZoneInfo

CLAIM_MINUTES: Final = 15
_CLAIM_SECONDS: Final = CLAIM_MINUTES * 60
MAX_DURATION_MINUTES: Final = 24 * 60
USUAL_LEAD_MINUTES: Final = 120
"""So long ahead a pandit wants to know of a booking, unless he says otherwise."""
_PER_DAY: Final = 1024
"""Numbers of a day: far more than the bookings and moves that it can hold at one time."""


@dataclass(frozen=True, slots=True, order=True)
class Interval:
    """A span of one day, local time; ``end`` of 00:00 means midnight at the end of the day."""

    start: time
    end: time


@dataclass(frozen=True, slots=True, kw_only=True)
class DayHours:
    """The hours of one weekday (ISO: 1 is Monday, 7 is Sunday); no intervals: a day off."""

    weekday: int
    intervals: tuple[Interval, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class DayException:
    """Other hours on one date; no intervals: a day off."""

    on: date
    intervals: tuple[Interval, ...] = ()
    note: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Availability:
    """When a pandit works, in his own zone, and how far ahead he wants to know.

    ``buffer_minutes`` lie between two bookings at least, ``lead_minutes`` between now and the next
    one. ``max_per_day``: more bookings than that he does not take for one day; None: any number.
    """

    weekly: tuple[DayHours, ...]
    exceptions: tuple[DayException, ...] = ()
    buffer_minutes: int = 30
    lead_minutes: int = USUAL_LEAD_MINUTES
    max_per_day: int | None = None
    timezone: str = "Asia/Kathmandu"

    def intervals_on(self, day: date) -> tuple[Interval, ...]:
        """The hours that hold on ``day``: an exception replaces the weekday's."""
        for exception in self.exceptions:
            if exception.on == day:
                return exception.intervals
        for hours in self.weekly:
            if hours.weekday == day.isoweekday():
                return hours.intervals
        return ()


def default_availability() -> Availability:
    """Sunday to Friday, 06:00 to 18:00; Saturday is Nepal's holiday."""
    working = (Interval(time(6), time(18)),)
    return Availability(
        weekly=tuple(
            DayHours(weekday=weekday, intervals=() if weekday == 6 else working)
            for weekday in range(1, 8)
        )
    )


class Refusal(enum.StrEnum):
    """Why a time cannot be booked."""

    NOT_QUARTER_HOUR = "not-quarter-hour"
    IN_THE_PAST = "in-the-past"
    TOO_SOON = "too-soon"
    TOO_FAR = "too-far"
    OUTSIDE_HOURS = "outside-hours"
    NOT_OFFERED = "not-offered"
    NOT_AVAILABLE = "not-available"
    """The day is full, or the way from another family too long: his matter, not the asker's."""


@dataclass(frozen=True, slots=True)
class Span:
    """The time of a booking: instants in UTC, and the quarter hours that it claims."""

    starts_at: datetime
    ends_at: datetime
    claims: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Slot:
    """A possible booking time. ``is_available`` is False when it is claimed or too near."""

    starts_at: datetime
    ends_at: datetime
    is_available: bool


def local_instant(day: date, at: time, timezone: str) -> datetime:
    """The UTC instant of a local day and time."""
    return datetime.combine(day, at, ZoneInfo(timezone)).astimezone(UTC)


def local_today(now: datetime, timezone: str) -> date:
    """The date in ``timezone`` at ``now``."""
    return now.astimezone(ZoneInfo(timezone)).date()


def span_of(starts_at: datetime, duration_minutes: int, buffer_minutes: int) -> Span:
    """The span of a booking, its claims rounded outward to whole quarter hours."""
    ends_at = starts_at + timedelta(minutes=duration_minutes)
    free_at = ends_at + timedelta(minutes=buffer_minutes)
    first = int(starts_at.timestamp()) // _CLAIM_SECONDS
    last = -(-int(free_at.timestamp()) // _CLAIM_SECONDS)
    return Span(starts_at, ends_at, tuple(range(first, last)))


class DayClaim(enum.IntEnum):
    """What a booking claims beside its time; each kind has numbers of its own, all below zero."""

    SEAT = 0
    """One of the bookings of a day; held as long as the time is."""
    TURN = 1
    """When in the day's history it was made or moved."""
    ARRIVAL = 2
    """That the pandit gets in time to a booking that begins at that quarter hour."""

    def claim(self, first: int, number: int = 0) -> int:
        """The claim of that number; ``first`` is an ordinal day, or a quarter hour."""
        return -(1 + (first * _PER_DAY + number) * len(DayClaim) + self)

    def lowest_free(self, day: date, held: Collection[int]) -> int:
        """The claim of the lowest number of that day that nobody holds.

        All who have seen the same bookings come to the same one, so only one of them gets it.
        """
        ordinal = day.toordinal()
        return next(
            claim
            for number in range(_PER_DAY)
            if (claim := self.claim(ordinal, number)) not in held
        )

    def count(self, day: date, held: Collection[int]) -> int:
        """How many of that day are held."""
        ordinal = day.toordinal()
        last, first = self.claim(ordinal, _PER_DAY - 1), self.claim(ordinal)
        return sum(
            last <= claim <= first and (-1 - claim) % len(DayClaim) == self for claim in held
        )


def claim_range(first: datetime, last: datetime) -> tuple[int, int]:
    """The claims that touch [first, last), as a half-open range."""
    return (
        int(first.timestamp()) // _CLAIM_SECONDS,
        -(-int(last.timestamp()) // _CLAIM_SECONDS),
    )


def check_bookable(
    availability: Availability,
    *,
    day: date,
    at: time,
    duration_minutes: int,
    now: datetime,
    horizon_days: int,
) -> Span | Refusal:
    """The span of a booking at that local day and time, or why there can be none.

    Claims of other bookings are not looked at: only the database can decide about those.
    """
    if at.minute % CLAIM_MINUTES or at.second or at.microsecond:
        return Refusal.NOT_QUARTER_HOUR
    zone = availability.timezone
    # By the day first: at the ends of the calendar a day has no instant in UTC.
    today = local_today(now, zone)
    if day < today:
        return Refusal.IN_THE_PAST
    if day > today + timedelta(days=horizon_days):
        return Refusal.TOO_FAR
    starts_at = local_instant(day, at, zone)
    if starts_at <= now:
        return Refusal.IN_THE_PAST
    if starts_at < now + timedelta(minutes=availability.lead_minutes):
        return Refusal.TOO_SOON
    span = span_of(starts_at, duration_minutes, availability.buffer_minutes)
    for opens_at, closes_at in _open_spans(availability, day):
        if opens_at <= span.starts_at and span.ends_at <= closes_at:
            return span
    return Refusal.OUTSIDE_HOURS


def slots_on(
    availability: Availability,
    *,
    day: date,
    duration_minutes: int,
    step_minutes: int,
    taken: Collection[int],
    now: datetime,
    is_reachable: Callable[[Span], bool] = lambda _: True,
) -> Iterator[Slot]:
    """All times of ``day`` at which a booking fits into the pandit's hours, in order.

    ``taken`` are the claims of his bookings around that day; a slot that meets one of them, that
    begins before now plus the lead time, or that ``is_reachable`` denies, is listed as not
    available, and so are all slots of a day that is full.
    """
    earliest = now + timedelta(minutes=availability.lead_minutes)
    most = availability.max_per_day
    if most is not None and DayClaim.SEAT.count(day, taken) >= most:
        earliest = datetime.max.replace(tzinfo=UTC)
    for opens_at, closes_at in _open_spans(availability, day):
        starts_at = opens_at
        while True:
            span = span_of(starts_at, duration_minutes, availability.buffer_minutes)
            if span.ends_at > closes_at:
                break
            is_free = (
                starts_at >= earliest
                and not any(claim in taken for claim in span.claims)
                and is_reachable(span)
            )
            yield Slot(span.starts_at, span.ends_at, is_free)
            starts_at += timedelta(minutes=step_minutes)


def _open_spans(availability: Availability, day: date) -> Iterator[tuple[datetime, datetime]]:
    for interval in availability.intervals_on(day):
        opens_at = local_instant(day, interval.start, availability.timezone)
        last_day = day if interval.end > interval.start else day + timedelta(days=1)
        yield opens_at, local_instant(last_day, interval.end, availability.timezone)
