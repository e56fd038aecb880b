"""The Surya Siddhanta's Sun and Moon, and what Nepal prints of them."""

from __future__ import annotations

from datetime import date, timedelta

import pytest

from kundali.ephemeris import KATHMANDU, daylight
from kundali.julian import MINUTE, civil_day
from kundali.sky import SURYA, Anga, number_at, span_at
from kundali.solar_day import NEPAL
from kundali.surya import moon_longitude, sun_longitude
from tests.unit.kundali.support import apart, read


def sunrise(day: date) -> float:
    return daylight(*civil_day(day, NEPAL), KATHMANDU).sunrise


@pytest.mark.parametrize("case", read("surya")["check_positions"], ids=lambda each: each["jd_ut"])
def test_positions_are_those_of_another_reckoning_of_the_model(case):
    instant = case["jd_ut"]
    # The cases are rounded to five decimals.
    assert apart(sun_longitude(instant), case["sun"]) < 6e-6
    assert apart(moon_longitude(instant), case["moon"]) < 6e-6


@pytest.mark.parametrize("year", ["2076", "2080"])
def test_the_tithi_at_sunrise_is_the_printed_one_on_every_day_of_the_year(year):
    printed = read("surya")["tithi_at_sunrise"][year]
    first = date.fromisoformat(printed["first_day"])
    assert len(printed["tithis"]) == 365
    assert [
        number_at(SURYA, Anga.TITHI, sunrise(first + timedelta(days=ahead)))
        for ahead in range(len(printed["tithis"]))
    ] == printed["tithis"]


def test_the_ends_of_tithis_are_the_printed_ones_within_two_minutes():
    away = []
    for text, number, minute, is_next_day in read("surya")["tithi_ends_2083"]:
        day = date.fromisoformat(text)
        tithi = span_at(SURYA, Anga.TITHI, sunrise(day))
        assert tithi.number == number, day
        printed = civil_day(day, NEPAL).start + (minute + 1440 * is_next_day) * MINUTE
        away.append((abs(tithi.end - printed) / MINUTE, text))
    far = [each for each in away if each[0] > 2]
    # One of 172: printed as minute 0 of the day that it ends, a day early.
    assert [text for _, text in far] == ["2027-03-18"]
    assert far[0][0] == pytest.approx(1440, abs=1)
