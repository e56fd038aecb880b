"""Readings: every sentence in both languages, with its cause; notices where charts may differ."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta

import pytest

from kundali.chart import cast
from kundali.ephemeris import angles
from kundali.julian import julian_day
from kundali.reading import Section, notices, predictions, saturn_now
from tests.unit.kundali.support import birth, chart_of

NOW = julian_day(datetime(2026, 4, 14, tzinfo=UTC))
DAYS = [(date(1960, 1, 1) + timedelta(days=613 * n)).isoformat() for n in range(30)]


@pytest.mark.parametrize("day", DAYS)
@pytest.mark.parametrize("clock", ["04:20", "17:45", None])
def test_every_prediction_names_its_cause_in_both_languages(day, clock):
    chart = cast(birth(day, clock))
    for prediction in predictions(chart, NOW):
        assert prediction.causes
        for phrase in (prediction.text, *prediction.causes):
            assert phrase.text("en")
            assert phrase.text("ne")
    for notice in notices(chart):
        assert notice.text("en")
        assert notice.text("ne")


def test_a_known_birth_is_read_in_every_section():
    sections = {row.section for row in predictions(cast(birth()), NOW)}
    assert sections >= set(Section) - {Section.YOGAS, Section.DOSHAS}


def test_without_a_moment_nothing_is_said_of_the_present():
    assert Section.TIME not in {row.section for row in predictions(cast(birth()))}


def test_without_a_birth_time_the_moon_is_read_as_far_as_it_is_certain():
    certain = cast(birth("1990-05-04", None))
    doubtful = cast(birth("1990-05-05", None))
    assert {row.section for row in predictions(certain)} >= {Section.MIND}
    read = {row.section for row in predictions(doubtful, NOW)}
    assert not read & {Section.SELF, Section.MIND, Section.STAR, Section.WORK}
    codes = {notice.code for notice in notices(doubtful)}
    assert codes == {"reading.unknown_time", "reading.unknown_moon", "reading.unknown_star"}


def test_the_running_periods_are_read_with_their_dates():
    rows = [row for row in predictions(cast(birth()), NOW) if row.section is Section.TIME]
    assert rows[0].causes[0].code == "dasha_runs"
    assert rows[1].causes[0].code == "antar_runs"
    start, end = (rows[0].causes[0].values[name] for name in ("start", "end"))
    assert isinstance(start, date)
    assert isinstance(end, date)
    assert start < date(2026, 4, 14) < end


@pytest.mark.parametrize(
    ("moon", "phase"),
    [(0, "rising"), (11, "peak"), (10, "setting"), (8, "fourth"), (4, "eighth"), (2, None)],
)
def test_saturn_in_pisces_is_read_from_the_birth_moon(moon, phase):
    stay = saturn_now(chart_of(0, moon=30.0 * moon + 10), NOW)
    assert (stay.phase.value if stay else None) == phase


def test_a_birth_before_sunrise_is_told_both_weekdays():
    codes = {notice.code: notice for notice in notices(cast(birth("1990-05-08", "02:00")))}
    assert codes["notice.sunrise"].text("en").count("day") == 2


def test_a_clock_time_that_came_twice_is_told():
    chart = cast(birth("2026-10-25", "01:30", zone="Europe/London"))
    assert "01:30" in next(at for at in notices(chart) if "two_readings" in at.code).text("en")


def test_a_paper_china_that_may_differ_is_told():
    # The two skies differ by hours in the Moon's borders: among sixty births some fall between.
    codes = [
        notice.code
        for n in range(60)
        for notice in notices(cast(birth((date(1990, 1, 1) + timedelta(n)).isoformat())))
    ]
    assert 1 <= codes.count("notice.surya_nakshatra") <= 20
    assert 1 <= codes.count("notice.surya_tithi") <= 20


def test_a_time_about_right_tells_what_the_lagna_may_be():
    chart = cast(birth("1990-05-05", "10:30", about_minutes=30))
    told = next(at for at in notices(chart) if at.code == "notice.about")
    near = [
        angles(chart.birth.julian_day + minutes / 1440, chart.birth.place).ascendant
        for minutes in range(-29, 30)
    ]
    signs = told.values["signs"]
    navamsas = told.values["navamsas"]
    assert isinstance(signs, tuple)
    assert isinstance(navamsas, tuple)
    assert len(signs) == len({int(at // 30) for at in near})
    assert len(navamsas) == len({int(at * 0.3) for at in near})
    exact = cast(birth("1990-05-05", "10:30"))
    assert "notice.about" not in {at.code for at in notices(exact)}
