"""The way between two bookings, and the numbers of a day."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from server.domain.account import GeoPoint, Place
from server.domain.booking import BookingStatus, ServiceLocation
from server.domain.calendar import (
    Availability,
    DayClaim,
    DayHours,
    Interval,
    claim_range,
    default_availability,
    slots_on,
    span_of,
)
from server.domain.travel import Engagement, too_far, travel_minutes, visited_point

NOON = datetime(2026, 11, 25, 6, 15, tzinfo=UTC)
DAY = date(2026, 11, 25)
PATAN, BHAKTAPUR = GeoPoint(27.67, 85.32), GeoPoint(27.67, 85.43)
places = st.builds(GeoPoint, st.floats(26.4, 30.4), st.floats(80.1, 88.2))
days = st.dates(date(2020, 1, 1), date(2090, 1, 1))


def engaged(starts_at: datetime, minutes: int, point: GeoPoint | None) -> Engagement:
    span = span_of(starts_at, minutes, 0)
    return Engagement(
        booking_id="other",
        starts_at=span.starts_at,
        ends_at=span.ends_at,
        status=BookingStatus.ACCEPTED,
        claims=span.claims,
        point=point,
    )


def test_the_way_is_rounded_up_to_minutes():
    # 0.11 degrees of longitude at that latitude are 10.83 km.
    assert travel_minutes(PATAN, BHAKTAPUR, 60) == 11
    assert travel_minutes(PATAN, BHAKTAPUR, 15) == 44
    assert travel_minutes(PATAN, PATAN, 15) == 0


@given(places, places, st.floats(1, 200))
def test_the_way_is_the_same_in_both_directions_and_never_too_short(first, second, speed):
    minutes = travel_minutes(first, second, speed)
    assert minutes == travel_minutes(second, first, speed)
    assert minutes >= first.distance_km(second) / speed * 60 - 1e-6
    assert minutes <= first.distance_km(second) / speed * 60 + 1


@given(places, places, st.integers(-600, 600), st.integers(1, 40), st.integers(1, 40))
def test_who_is_too_far_is_too_far_from_both_sides(first, second, apart, long, other_long):
    one, other = NOON, NOON + timedelta(minutes=15 * apart)
    ahead = too_far(
        span_of(one, 15 * long, 30), first, [engaged(other, 15 * other_long, second)], 15
    )
    back = too_far(
        span_of(other, 15 * other_long, 30), second, [engaged(one, 15 * long, first)], 15
    )
    assert bool(ahead) == bool(back)


@pytest.mark.parametrize(("minutes", "is_near"), [(43, False), (44, True)])
def test_there_must_be_time_for_the_way_before_and_behind(minutes, is_near):
    gap = timedelta(minutes=minutes)
    span = span_of(NOON, 60, 0)
    for other in (
        engaged(NOON + timedelta(hours=1) + gap, 60, BHAKTAPUR),
        engaged(NOON - timedelta(hours=1) - gap, 60, BHAKTAPUR),
    ):
        assert (not too_far(span, PATAN, [other], 15)) is is_near


def test_neighbours_may_touch_and_unknown_places_are_no_matter():
    span = span_of(NOON, 60, 0)
    after = NOON + timedelta(hours=1)
    assert not too_far(span, PATAN, [engaged(after, 60, PATAN)], 15)
    assert not too_far(span, None, [engaged(after, 60, BHAKTAPUR)], 15)
    assert not too_far(span, PATAN, [engaged(after, 60, None)], 15)


@pytest.mark.parametrize("kind", ServiceLocation)
def test_only_to_homes_and_temples_there_is_a_way(kind):
    point = visited_point(kind, Place(point=GeoPoint(27.671234, 85.324321)))
    if kind in (ServiceLocation.HOME, ServiceLocation.TEMPLE):
        assert point == GeoPoint(27.67, 85.32), "compared on the public grid"
    else:
        assert point is None
    assert visited_point(kind, Place()) is None


# -- numbers of a day ------------------------------------------------------------------------


@given(days, days, st.sets(st.integers(0, 40)), st.sampled_from([DayClaim.SEAT, DayClaim.TURN]))
def test_numbers_of_a_day_are_its_own(day, other, numbers, kind):
    held = {kind.claim(day.toordinal(), number) for number in numbers}
    assert len(held) == len(numbers)
    assert kind.count(day, held) == len(numbers)
    for stranger in {DayClaim.SEAT, DayClaim.TURN} - {kind}:
        assert stranger.count(day, held) == 0
    if other != day:
        assert kind.count(other, held) == 0
    lowest = next(number for number in range(50) if number not in numbers)
    assert kind.lowest_free(day, held) == kind.claim(day.toordinal(), lowest)


@given(days, st.integers(1_577_000_000, 3_780_000_000))
def test_numbers_of_days_are_no_quarter_hours_and_no_arrivals(day, seconds):
    at = datetime.fromtimestamp(seconds, UTC)
    quarter = claim_range(at, at)[0]
    arrival = DayClaim.ARRIVAL.claim(quarter)
    seat = DayClaim.SEAT.claim(day.toordinal())
    turn = DayClaim.TURN.claim(day.toordinal())
    assert len({quarter, arrival, seat, turn}) == 4
    assert max(arrival, seat, turn) < 0 <= quarter
    assert DayClaim.SEAT.count(day, {arrival, turn, quarter}) == 0


@pytest.mark.parametrize(("held", "is_full"), [(1, False), (2, True), (3, True)])
def test_a_full_day_offers_no_time(held, is_full):
    hours = Availability(
        weekly=(DayHours(weekday=3, intervals=default_availability().weekly[0].intervals),),
        max_per_day=2,
    )
    taken = {DayClaim.SEAT.claim(DAY.toordinal(), number) for number in range(held)}
    slots = list(
        slots_on(
            hours,
            day=DAY,
            duration_minutes=60,
            step_minutes=60,
            taken=taken,
            now=NOON - timedelta(days=3),
        )
    )
    assert slots
    assert all(slot.is_available is not is_full for slot in slots)


def test_what_cannot_be_reached_is_listed_as_taken():
    hours = Availability(
        weekly=(
            DayHours(
                weekday=3,
                intervals=(Interval(NOON.time().replace(6, 0), NOON.time().replace(12, 0)),),
            ),
        )
    )
    slots = slots_on(
        hours,
        day=DAY,
        duration_minutes=60,
        step_minutes=60,
        taken=(),
        now=NOON - timedelta(days=3),
        is_reachable=lambda span: span.starts_at.hour % 2 == 0,
    )
    found = [(slot.starts_at.hour % 2 == 0, slot.is_available) for slot in slots]
    assert {True, False} == {even for even, _ in found}
    assert all(even == available for even, available in found)
