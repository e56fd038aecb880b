"""Hours, claims and slots, in Nepal's time."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, date, datetime, time, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from server.domain.calendar import (
    Availability,
    DayException,
    DayHours,
    Interval,
    Refusal,
    Span,
    check_bookable,
    claim_range,
    default_availability,
    local_instant,
    local_today,
    slots_on,
    span_of,
)

NEPAL = ZoneInfo("Asia/Kathmandu")
SUNDAY = date(2026, 11, 22)
LONG_AGO = datetime(2020, 1, 1, tzinfo=UTC)
quarter_hours = st.integers(0, 95).map(lambda count: time(count // 4, count % 4 * 15))
starts = st.integers(0, 2**21).map(
    lambda count: datetime(2026, 1, 1, tzinfo=UTC) + timedelta(minutes=count)
)


def check(availability=None, *, day=SUNDAY, at=time(10), minutes=60, now=LONG_AGO, horizon=365_0):
    return check_bookable(
        availability or default_availability(),
        day=day,
        at=at,
        duration_minutes=minutes,
        now=now,
        horizon_days=horizon,
    )


def hours(*intervals, **overrides):
    week = tuple(DayHours(weekday=day, intervals=tuple(intervals)) for day in range(1, 8))
    return Availability(weekly=week, **overrides)


@given(starts, st.integers(1, 1440), st.integers(0, 240))
def test_claims_cover_the_booking_and_its_buffer_and_no_more(starts_at, minutes, buffer):
    span = span_of(starts_at, minutes, buffer)
    free_at = starts_at + timedelta(minutes=minutes + buffer)
    edges = [datetime.fromtimestamp(claim * 900, UTC) for claim in span.claims]
    quarter = timedelta(minutes=15)
    assert list(span.claims) == list(range(span.claims[0], span.claims[-1] + 1))
    assert edges[0] <= starts_at < edges[0] + quarter
    assert edges[-1] < free_at <= edges[-1] + quarter
    assert claim_range(starts_at, free_at) == (span.claims[0], span.claims[-1] + 1)


@given(starts, starts, st.integers(15, 600), st.integers(15, 600), st.integers(0, 60))
def test_bookings_that_overlap_share_a_claim(one, other, minutes, other_minutes, buffer):
    first, second = span_of(one, minutes, buffer), span_of(other, other_minutes, buffer)
    lasts = timedelta(minutes=buffer)
    if one < second.ends_at + lasts and other < first.ends_at + lasts:
        assert set(first.claims) & set(second.claims)


@given(quarter_hours, st.integers(1, 40))
def test_bookings_on_quarter_hours_touch_without_sharing_a_claim(at, quarters):
    first = span_of(local_instant(SUNDAY, at, "Asia/Kathmandu"), quarters * 15, 0)
    second = span_of(first.ends_at, 60, 0)
    assert not set(first.claims) & set(second.claims)


@given(
    opens=quarter_hours,
    closes=quarter_hours,
    quarters=st.integers(1, 20),
    buffer=st.integers(0, 60),
    ahead=st.integers(-1440, 1440),
    taken_from=st.integers(0, 95),
    taken_quarters=st.integers(0, 12),
)
def test_slots_are_exactly_what_can_be_booked(
    opens, closes, quarters, buffer, ahead, taken_from, taken_quarters
):
    availability = hours(Interval(opens, closes), buffer_minutes=buffer)
    now = local_instant(SUNDAY, time(12), "Asia/Kathmandu") + timedelta(minutes=ahead)
    midnight = local_instant(SUNDAY, time(0), "Asia/Kathmandu")
    taken = set(
        span_of(midnight + timedelta(minutes=15 * taken_from), taken_quarters * 15, 0).claims
    )
    listed = {
        slot.starts_at: slot
        for slot in slots_on(
            availability,
            day=SUNDAY,
            duration_minutes=quarters * 15,
            step_minutes=15,
            taken=taken,
            now=now,
        )
    }
    for count in range(96):
        at = time(count // 4, count % 4 * 15)
        span = check(availability, at=at, minutes=quarters * 15, now=now)
        can_be_booked = isinstance(span, Span) and not taken & set(span.claims)
        slot = listed.get(local_instant(SUNDAY, at, "Asia/Kathmandu"))
        assert can_be_booked == (slot is not None and slot.is_available)


def test_today_in_nepal_at_one_in_the_morning_is_not_yesterday():
    one_oclock = datetime(2026, 11, 22, 1, tzinfo=NEPAL).astimezone(UTC)
    assert one_oclock.date() == date(2026, 11, 21)
    assert local_today(one_oclock, "Asia/Kathmandu") == SUNDAY
    assert isinstance(check(at=time(6), now=one_oclock, horizon=0), Span)
    assert check(day=date(2026, 11, 23), now=one_oclock, horizon=0) is Refusal.TOO_FAR
    assert check(day=date(2026, 11, 20), at=time(17), now=one_oclock) is Refusal.IN_THE_PAST


def test_lead_time_is_counted_from_now_in_nepal():
    five = datetime(2026, 11, 22, 5, tzinfo=NEPAL).astimezone(UTC)
    free = [
        slot.starts_at.astimezone(NEPAL).time()
        for slot in slots_on(
            default_availability(),
            day=SUNDAY,
            duration_minutes=60,
            step_minutes=30,
            taken=(),
            now=five,
        )
        if slot.is_available
    ]
    assert free[0] == time(7)
    assert check(at=time(6, 45), now=five) is Refusal.TOO_SOON
    assert isinstance(check(at=time(7), now=five), Span)


def test_the_default_week_is_sunday_to_friday():
    week = [SUNDAY + timedelta(days=ahead) for ahead in range(7)]
    assert [isinstance(check(day=day), Span) for day in week] == [True] * 6 + [False]
    assert check(day=week[6]) is Refusal.OUTSIDE_HOURS


@pytest.mark.parametrize("at", [time(10, 5), time(10, 0, 1), time(10, 0, 0, 1)])
def test_bookings_begin_on_quarter_hours(at):
    assert check(at=at) is Refusal.NOT_QUARTER_HOUR


def test_a_booking_must_fit_into_one_stretch_of_hours():
    availability = hours(Interval(time(6), time(10)), Interval(time(14), time(18)))
    assert isinstance(check(availability, at=time(9)), Span)
    assert check(availability, at=time(9, 15)) is Refusal.OUTSIDE_HOURS
    assert check(availability, at=time(9), minutes=360) is Refusal.OUTSIDE_HOURS
    # The buffer is the pandit's own and may reach beyond his hours.
    assert isinstance(check(replace(availability, buffer_minutes=60), at=time(17)), Span)


def test_hours_may_last_to_midnight():
    availability = hours(Interval(time(18), time(0)))
    assert isinstance(check(availability, at=time(22), minutes=120), Span)
    assert check(availability, at=time(22, 15), minutes=120) is Refusal.OUTSIDE_HOURS


def test_an_exception_replaces_the_hours_of_its_day():
    saturday = date(2026, 11, 28)
    availability = replace(
        default_availability(),
        exceptions=(
            DayException(on=SUNDAY),
            DayException(on=saturday, intervals=(Interval(time(10), time(12)),)),
        ),
    )
    assert check(availability) is Refusal.OUTSIDE_HOURS
    assert isinstance(check(availability, day=saturday), Span)
    assert check(availability, day=saturday, at=time(11, 15)) is Refusal.OUTSIDE_HOURS
    assert isinstance(check(availability, day=date(2026, 11, 23)), Span)


def test_a_taken_quarter_hour_blocks_every_slot_whose_buffer_reaches_it():
    taken = span_of(local_instant(SUNDAY, time(10), "Asia/Kathmandu"), 60, 30).claims
    free = [
        slot.starts_at.astimezone(NEPAL).time()
        for slot in slots_on(
            default_availability(),
            day=SUNDAY,
            duration_minutes=60,
            step_minutes=30,
            taken=set(taken),
            now=LONG_AGO,
        )
        if slot.is_available
    ]
    assert time(8, 30) in free
    assert time(9) not in free  # ends at 10:00 and would need a buffer until 10:30
    assert time(11) not in free
    assert time(11, 30) in free
