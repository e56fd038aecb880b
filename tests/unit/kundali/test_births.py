"""Local clocks and calendars resolved to instants, and what is refused."""

from __future__ import annotations

from datetime import UTC, date, datetime, time, timedelta

import pytest

from kundali.births import BirthInput, BirthRefused, FaultCode, resolve
from tests.unit.kundali.support import birth, birth_of, births


@pytest.mark.parametrize("case", births(), ids=lambda case: case["id"])
def test_births_resolve_to_the_instants_of_the_cases(case):
    found = birth_of(case)
    assert found.utc == datetime.fromisoformat(case["expect"]["utc"]).replace(tzinfo=UTC)
    assert found.offset_seconds == case["expect"]["utc_offset_seconds"]
    assert found.to_local(found.julian_day).replace(tzinfo=None) == found.local


@pytest.mark.parametrize(
    ("day", "offset"),
    [
        ("1919-12-31", timedelta(hours=5, minutes=41, seconds=16)),
        ("1920-01-02", timedelta(hours=5, minutes=30)),
        ("1985-12-31", timedelta(hours=5, minutes=30)),
        ("1986-01-02", timedelta(hours=5, minutes=45)),
    ],
)
def test_nepals_clock_is_read_as_it_was_set_then(day, offset):
    assert birth(day).offset_seconds == offset.total_seconds()


def test_indias_war_time_is_not_forgotten():
    found = birth("1943-06-01", zone="Asia/Kolkata", latitude_degrees=28.6, longitude_degrees=77.2)
    assert found.offset_seconds == 6.5 * 3600


def refused(**changes):
    with pytest.raises(BirthRefused) as refusal:
        birth(**changes)
    return refusal.value.faults


@pytest.mark.parametrize("clock", ["00:00", "00:07:30", "00:14:59"])
def test_the_quarter_of_an_hour_that_nepal_skipped_is_refused(clock):
    (fault,) = refused(day="1986-01-01", clock=clock)
    assert fault.field == "time_of_birth"
    assert fault.code is FaultCode.SKIPPED_TIME
    assert fault.values == {"before": "1986-01-01T00:00:00", "after": "1986-01-01T00:15:00"}


def test_the_moments_around_the_skipped_quarter_of_an_hour_are_one_second_apart():
    before, after = birth("1985-12-31", "23:59:59"), birth("1986-01-01", "00:15:00")
    assert after.utc - before.utc == timedelta(seconds=1)


def test_a_summer_times_gap_is_refused_with_the_jump():
    (fault,) = refused(day="2026-03-29", clock="01:30", zone="Europe/London")
    assert fault.values == {"before": "2026-03-29T01:00:00", "after": "2026-03-29T02:00:00"}


def test_a_time_that_the_clock_showed_twice_has_two_readings():
    first = birth("2026-10-25", "01:30", zone="Europe/London")
    second = birth("2026-10-25", "01:30", zone="Europe/London", second_reading=True)
    assert first.is_ambiguous
    assert first.readings == second.readings
    assert second.utc - first.utc == timedelta(hours=1)
    assert not birth("2026-10-24", "01:30", zone="Europe/London", second_reading=True).is_ambiguous


def test_a_day_that_the_zone_jumped_over_is_refused():
    (fault,) = refused(day="2011-12-30", clock="10:00", zone="Pacific/Apia")
    assert (fault.field, fault.code) == ("date_of_birth", FaultCode.SKIPPED_DAY)


def test_an_unknown_time_is_noon_and_no_error():
    found = birth(clock=None)
    assert found.local.time() == time(12)
    assert not found.is_time_known


def test_a_forced_offset_goes_before_the_zone():
    found = birth("1990-05-05", "10:30", zone=None, forced_offset=timedelta(hours=-3, minutes=-30))
    assert found.utc == datetime(1990, 5, 5, 14, tzinfo=UTC)
    assert found.zone == "UTC-03:30"
    assert found.to_local(found.julian_day).isoformat() == "1990-05-05T10:30:00-03:30"


def test_every_missing_field_is_named():
    with pytest.raises(BirthRefused) as refusal:
        resolve(BirthInput(None, None, None, None, None))
    assert [fault.field for fault in refusal.value.faults] == [
        "date_of_birth",
        "time_of_birth",
        "latitude",
        "longitude",
        "timezone",
    ]
    assert {fault.code for fault in refusal.value.faults} == {FaultCode.REQUIRED}


@pytest.mark.parametrize(
    ("changes", "field", "code"),
    [
        ({"latitude_degrees": 90.5}, "latitude", FaultCode.OUT_OF_RANGE),
        ({"latitude_degrees": float("nan")}, "latitude", FaultCode.OUT_OF_RANGE),
        ({"longitude_degrees": -181.0}, "longitude", FaultCode.OUT_OF_RANGE),
        ({"altitude_metres": 1e5}, "altitude", FaultCode.OUT_OF_RANGE),
        ({"about_minutes": -1}, "about_minutes", FaultCode.OUT_OF_RANGE),
        ({"forced_offset": timedelta(hours=17)}, "utc_offset", FaultCode.OUT_OF_RANGE),
        ({"forced_offset": timedelta(days=2)}, "utc_offset", FaultCode.OUT_OF_RANGE),
        ({"zone": "Asia/Nowhere"}, "timezone", FaultCode.UNKNOWN_ZONE),
        ({"zone": "Asia"}, "timezone", FaultCode.UNKNOWN_ZONE),
        ({"zone": "../../etc/passwd"}, "timezone", FaultCode.UNKNOWN_ZONE),
        ({"zone": "a\0b"}, "timezone", FaultCode.UNKNOWN_ZONE),
        ({"zone": ""}, "timezone", FaultCode.REQUIRED),
        ({"day": "0001-01-01"}, "date_of_birth", FaultCode.OUTSIDE_EPHEMERIS),
        ({"day": "9999-12-31"}, "date_of_birth", FaultCode.OUTSIDE_EPHEMERIS),
    ],
)
def test_a_field_that_cannot_be_is_refused_by_name(changes, field, code):
    (fault,) = refused(**changes)
    assert (fault.field, fault.code) == (field, code)


def test_two_wrong_coordinates_are_two_faults():
    faults = refused(latitude_degrees=91.0, longitude_degrees=181.0)
    assert [fault.field for fault in faults] == ["latitude", "longitude"]


def test_the_first_and_last_supported_years_have_a_sky():
    for day in (date(2, 1, 2), date(3000, 12, 30)):
        assert birth(day.isoformat()).utc.year == day.year
