"""Bookings that come again: every week, fortnight or month, or every year on the same tithi.

A series plans days; each of them becomes an ordinary booking once it lies within the days that can
be booked. What cannot be booked is not forgotten: it is a conflict, of which the customer is told,
and which he moves or skips.
"""

from __future__ import annotations

import calendar
import enum
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date, datetime, time, timedelta
from typing import Final

from server.domain.account import NEPAL, Actor
from server.domain.booking import (
    NOT_PAID,
    Booking,
    BookingStatus,
    BookingWish,
    PaymentMethod,
    PaymentStatus,
)
from server.domain.calendar import local_instant
from server.domain.errors import FieldFault, IllegalTransition, Invalid, NotFound
from server.domain.events import Event, EventKind


class Frequency(enum.StrEnum):
    """How often a booking comes again."""

    WEEKLY = "weekly"
    FORTNIGHTLY = "fortnightly"
    MONTHLY = "monthly"
    YEARLY_TITHI = "yearly_tithi"
    """Every year on the same tithi of the same lunar month, as vows and shraddha are kept."""


MOST: Final[Mapping[Frequency, int]] = {
    Frequency.WEEKLY: 52,
    Frequency.FORTNIGHTLY: 26,
    Frequency.MONTHLY: 24,
    Frequency.YEARLY_TITHI: 10,
}
"""How many days a series has at most."""

YearlyDays = Callable[[date, int], Sequence[date]]
"""Given a first day and a count: the days of as many years on its tithi, the first included."""


class OccurrenceState(enum.StrEnum):
    """How far one day of a series has come."""

    PLANNED = "PLANNED"
    BOOKED = "BOOKED"
    CONFLICT = "CONFLICT"
    SKIPPED = "SKIPPED"


_OPEN: Final = frozenset({OccurrenceState.PLANNED, OccurrenceState.CONFLICT})


@dataclass(frozen=True, slots=True, kw_only=True)
class Occurrence:
    """One day of a series. ``reason`` is the code of why it could not be booked."""

    number: int
    on: date
    at: time
    state: OccurrenceState = OccurrenceState.PLANNED
    booking_id: str | None = None
    reason: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class RecurrenceRule:
    """How often, and until when: so many times, or up to a day; one of the two is said."""

    frequency: Frequency
    count: int | None = None
    until: date | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Series:
    """A booking that comes again. ``wish`` holds what each of its days asks for.

    ``plan_on`` is the day on which the next planned one can be booked, None when none is left. It
    is not before ``retry_on``, to which the series was put off.
    """

    id: str
    user_id: str
    wish: BookingWish
    frequency: Frequency
    occurrences: tuple[Occurrence, ...]
    plan_on: date | None = None
    retry_on: date | None = None
    is_ended: bool = False
    created_at: datetime
    updated_at: datetime
    outbox: tuple[Event, ...] = ()
    version: int = 1


def wanted_again(booking: Booking, rule: RecurrenceRule, now: datetime) -> Booking:
    """Have a series made of a booking: the wish rides in the booking's own outbox.

    So it is made if and only if the booking is, also after a crash.
    """
    params = {"frequency": str(rule.frequency)}
    if rule.count is not None:
        params["count"] = str(rule.count)
    if rule.until is not None:
        params["until"] = rule.until.isoformat()
    event = Event(
        id=f"{booking.id}.{booking.version + 1}.{len(booking.outbox)}",
        kind=EventKind.SERIES_WANTED,
        at=now,
        recipients=(),
        booking_id=booking.id,
        params=params,
    )
    return replace(booking, outbox=(*booking.outbox, event))


def rule_of(event: Event) -> RecurrenceRule:
    """The rule that such an event carries."""
    count, until = event.params.get("count"), event.params.get("until")
    return RecurrenceRule(
        frequency=Frequency(event.params["frequency"]),
        count=int(count) if count else None,
        until=date.fromisoformat(until) if until else None,
    )


def days_of(rule: RecurrenceRule, first: date, yearly: YearlyDays) -> tuple[date, ...]:
    """Return the days of a series, the first included.

    A month that lacks the day has it on its last: 31 January, 28 February, 31 March.

    Raises
    ------
    Invalid
        If count and until are both said or neither, or make no day beyond the first, or too many.
    """
    most = MOST[rule.frequency]
    if (rule.count is None) == (rule.until is None):
        raise Invalid(FieldFault("recurrence.count", "choice"))
    if rule.count is not None:
        if not 2 <= rule.count <= most:
            raise Invalid(FieldFault("recurrence.count", "range"))
        return tuple(_first_of(rule.frequency, first, rule.count, yearly))
    found = [
        day
        for day in _first_of(rule.frequency, first, most + 1, yearly)
        if rule.until is not None and day <= rule.until
    ]
    if not 2 <= len(found) <= most:
        raise Invalid(FieldFault("recurrence.until", "range"))
    return tuple(found)


def planned(series: Series, horizon_days: int) -> Series:
    """Set when the next planned day can be booked."""
    ahead = [each.on for each in series.occurrences if each.state is OccurrenceState.PLANNED]
    plan_on = min(ahead) - timedelta(days=horizon_days) if ahead else None
    if plan_on is not None and series.retry_on is not None:
        plan_on = max(plan_on, series.retry_on)
    return replace(series, plan_on=plan_on)


def occurrence_of(series: Series, number: int) -> Occurrence:
    """The day with that number. Raises ``NotFound``."""
    for each in series.occurrences:
        if each.number == number:
            return each
    raise NotFound


def require_owner(series: Series, actor: Actor) -> Series:
    """The series, if it is the actor's or he is an admin; to others it does not exist."""
    if actor.is_admin or actor.user_id == series.user_id:
        return series
    raise NotFound


def booked(series: Series, number: int, booking_id: str, now: datetime) -> Series:
    """Record that a day has its booking."""
    return _changed(
        series, number, now, state=OccurrenceState.BOOKED, booking_id=booking_id, reason=""
    )


def conflicting(series: Series, number: int, reason: str, now: datetime) -> Series:
    """Record that a day cannot be booked, and tell the customer."""
    each = occurrence_of(series, number)
    told = _changed(series, number, now, state=OccurrenceState.CONFLICT, reason=reason)
    if each.state is OccurrenceState.CONFLICT:
        return told
    event = Event(
        id=f"{series.id}.{series.version + 1}.{len(series.outbox)}",
        kind=EventKind.RECURRENCE_CONFLICT,
        at=now,
        recipients=(series.user_id,),
        params={
            "series_id": series.id,
            "starts_at": local_instant(each.on, each.at, NEPAL).isoformat(),
        },
    )
    return replace(told, outbox=(*told.outbox, event))


def put_off(series: Series, until: date, now: datetime) -> Series:
    """Let what is planned wait, which is told to nobody; put off again changes nothing."""
    if series.is_ended or series.retry_on == until:
        return series
    return replace(series, retry_on=until, updated_at=now)


def moved(series: Series, number: int, on: date, at: time, now: datetime) -> Series:
    """Plan an open day for another time. Raises ``IllegalTransition`` for one that is settled."""
    each = occurrence_of(series, number)
    if each.state not in _OPEN:
        raise IllegalTransition(each.state)
    return _changed(series, number, now, on=on, at=at, state=OccurrenceState.PLANNED, reason="")


def moved_back(series: Series, moved: Occurrence, before: Occurrence, now: datetime) -> Series:
    """Let a day that could not be booked where it was ``moved`` be as it was before.

    One that somebody has settled or moved elsewhere meanwhile stays.
    """
    each = occurrence_of(series, moved.number)
    if series.is_ended or each.state not in _OPEN or (each.on, each.at) != (moved.on, moved.at):
        return series
    rows = tuple(before if row is each else row for row in series.occurrences)
    return replace(series, occurrences=rows, updated_at=now)


def is_booked_at(series: Series, number: int, on: date, at: time) -> bool:
    """Whether that day has a booking, and for that time."""
    each = occurrence_of(series, number)
    return (each.state, each.on, each.at) == (OccurrenceState.BOOKED, on, at)


def skipped(series: Series, number: int, now: datetime) -> Series:
    """Leave a day out; leaving it out again changes nothing."""
    return _changed(series, number, now, state=OccurrenceState.SKIPPED, reason="")


def following(series: Series, booking: Booking, now: datetime) -> Series:
    """Say of the booking's day what the booking says; the same again changes nothing."""
    rows = tuple(
        replace(each, on=booking.booking_date, at=booking.booking_time)
        if each.booking_id == booking.id
        else each
        for each in series.occurrences
    )
    if rows == series.occurrences:
        return series
    return replace(series, occurrences=rows, updated_at=now)


def is_abandoned(first: Booking | None) -> bool:
    """Whether a series begins with a booking that was never paid: then nothing follows.

    Its time to pay ran out, or it was called off before that, and no pandit has been asked. What
    one was asked for in cash was meant, also where it was to be paid in advance later.
    """
    if first is None or first.offers:
        return False
    if first.status is BookingStatus.FAILED:
        return bool(first.history) and first.history[-1].reason == NOT_PAID
    is_unpaid = first.payment_method is not PaymentMethod.CASH and first.payment_status not in (
        PaymentStatus.COMPLETED,
        PaymentStatus.REFUNDED,
    )
    return first.status is BookingStatus.CANCELLED and is_unpaid


def ended(series: Series, now: datetime) -> Series:
    """Plan no more days; those that are booked stay."""
    rest = tuple(
        replace(each, state=OccurrenceState.SKIPPED) if each.state in _OPEN else each
        for each in series.occurrences
    )
    return replace(series, occurrences=rest, is_ended=True, plan_on=None, updated_at=now)


def _changed(series: Series, number: int, now: datetime, **changes: object) -> Series:
    if series.is_ended:
        raise IllegalTransition("ENDED")
    occurrence_of(series, number)
    rows = tuple(
        replace(each, **changes) if each.number == number else each  # type: ignore[arg-type]  # fields of Occurrence
        for each in series.occurrences
    )
    return replace(series, occurrences=rows, updated_at=now)


def _first_of(frequency: Frequency, first: date, count: int, yearly: YearlyDays) -> Iterator[date]:
    if frequency is Frequency.YEARLY_TITHI:
        yield from yearly(first, count)
        return
    for place in range(count):
        if frequency is Frequency.MONTHLY:
            yield _months_on(first, place)
        else:
            yield first + timedelta(weeks=place * (2 if frequency is Frequency.FORTNIGHTLY else 1))


def _months_on(first: date, months: int) -> date:
    year, month = divmod(first.year * 12 + first.month - 1 + months, 12)
    last = calendar.monthrange(year, month + 1)[1]
    return date(year, month + 1, min(first.day, last))
