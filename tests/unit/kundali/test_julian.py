"""Julian days and civil days."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kundali.julian import J2000, civil_day, julian_day, to_datetime

KATHMANDU = ZoneInfo("Asia/Kathmandu")


def test_noon_of_the_first_of_january_2000_is_j2000():
    assert julian_day(datetime(2000, 1, 1, 12, tzinfo=UTC)) == J2000


@given(st.integers(-5_364_662_400_000, 7_258_118_400_000))
def test_an_instant_comes_back_within_a_millisecond(milliseconds):
    instant = datetime(1970, 1, 1, tzinfo=UTC) + timedelta(milliseconds=milliseconds)
    assert abs(to_datetime(julian_day(instant)) - instant) <= timedelta(milliseconds=1)


def test_a_local_time_without_a_zone_is_no_instant():
    with pytest.raises(ValueError, match="zone"):
        julian_day(datetime(2000, 1, 1))  # noqa: DTZ001 - the refusal is what is tested


def test_nepals_day_of_the_clock_change_starts_at_its_first_instant():
    start, end = civil_day(date(1986, 1, 1), KATHMANDU)
    assert to_datetime(start, KATHMANDU).isoformat() == "1986-01-01T00:15:00+05:45"
    assert end - start == pytest.approx(1 - 15 / 1440, abs=1e-8)
    assert civil_day(date(1985, 12, 31), KATHMANDU).end == start


@pytest.mark.parametrize(
    ("zone", "day", "hours"),
    [
        ("Asia/Kathmandu", date(2026, 3, 29), 24),
        ("America/Sao_Paulo", date(2017, 10, 15), 23),
        ("Europe/London", date(2026, 3, 29), 23),
        ("Europe/London", date(2026, 10, 25), 25),
        ("Pacific/Apia", date(2011, 12, 30), 0),
    ],
)
def test_a_civil_day_is_as_long_as_its_zone_makes_it(zone, day, hours):
    start, end = civil_day(day, ZoneInfo(zone))
    assert (end - start) * 24 == pytest.approx(hours, abs=1e-6)
