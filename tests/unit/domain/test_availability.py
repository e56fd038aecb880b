"""Which hours a pandit may keep."""

from __future__ import annotations

from dataclasses import replace
from datetime import date, time, timedelta

import pytest

from server.domain.availability import availability_faults
from server.domain.calendar import (
    DayException,
    DayHours,
    Interval,
    default_availability,
)

TODAY = date(2026, 11, 22)


def faults_of(**overrides):
    availability = replace(default_availability(), **overrides)
    return [(fault.field, fault.code) for fault in availability_faults(availability, TODAY)]


def day(*intervals, weekday=1):
    return DayHours(
        weekday=weekday, intervals=tuple(Interval(start, end) for start, end in intervals)
    )


def test_the_default_hours_are_fine():
    assert faults_of() == []


def test_touching_intervals_and_midnight_are_fine():
    assert faults_of(weekly=(day((time(6), time(12)), (time(12), time(0))),)) == []


@pytest.mark.parametrize(
    ("weekly", "field", "code"),
    [
        ((day((time(6), time(6))),), "weekly[0].intervals[0].end", "order"),
        ((day((time(9), time(6))),), "weekly[0].intervals[0].end", "order"),
        ((day((time(6, 10), time(9))),), "weekly[0].intervals[0].start", "not-quarter-hour"),
        (
            (day((time(6), time(12)), (time(11), time(13))),),
            "weekly[0].intervals[1].start",
            "overlap",
        ),
        (
            (day((time(12), time(0)), (time(6), time(9))),),
            "weekly[0].intervals[1].start",
            "overlap",
        ),
        ((day(weekday=2), day(weekday=2)), "weekly[1].weekday", "overlap"),
        ((day(weekday=8),), "weekly[0].weekday", "range"),
    ],
)
def test_hours_that_make_no_sense_are_named(weekly, field, code):
    assert faults_of(weekly=weekly) == [(field, code)]


def test_exceptions_may_begin_today_and_not_before():
    assert faults_of(exceptions=(DayException(on=TODAY),)) == []
    yesterday = TODAY - timedelta(days=1)
    assert faults_of(exceptions=(DayException(on=yesterday),)) == [
        ("exceptions[0].date", "in-the-past")
    ]


def test_one_exception_for_a_day_and_at_most_a_year_of_them():
    year = tuple(DayException(on=TODAY + timedelta(days=ahead)) for ahead in range(366))
    assert faults_of(exceptions=year) == []
    assert faults_of(exceptions=(*year, DayException(on=TODAY))) == [
        ("exceptions", "too-long"),
        ("exceptions[366].date", "overlap"),
    ]


@pytest.mark.parametrize(
    ("field", "value"),
    [("buffer_minutes", -1), ("buffer_minutes", 241), ("lead_minutes", 20_161)],
)
def test_buffer_and_lead_stay_within_reason(field, value):
    assert faults_of(**{field: value}) == [(field, "range")]
