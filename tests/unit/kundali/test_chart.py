"""The birth chart held to two other programs, and births without a time."""

from __future__ import annotations

import itertools
from datetime import timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kundali.chart import almanac, cast, moon_stays, point
from kundali.divisional import Varga
from kundali.ephemeris import Ayanamsa, Graha, position
from kundali.options import Options
from tests.unit.kundali.support import birth, birth_of, births, present

every_birth = pytest.mark.parametrize("case", births(), ids=lambda case: case["id"])


@every_birth
def test_signs_houses_and_motion_are_those_of_the_cases(case):
    chart, expected = cast(birth_of(case)), case["expect"]
    found = {graha.name.title(): chart[graha] for graha in Graha}
    assert {name: at.sign + 1 for name, at in found.items()} | {
        "Lagna": present(chart.lagna).sign + 1
    } == expected["rashi"]
    assert {name: at.house for name, at in found.items()} == expected["house_whole_sign"]
    moving_back = [name for name, at in found.items() if at.is_retrograde]
    # The mean nodes always move back, and the cases do not list them.
    assert moving_back == [*expected["retrograde"], "Rahu", "Ketu"]


@every_birth
def test_the_moons_nakshatra_and_pada_are_those_of_the_cases(case):
    moon = cast(birth_of(case)).moon.at
    assert moon.nakshatra + 1 == case["expect"]["moon_nakshatra"]
    assert moon.pada + 1 == case["expect"]["moon_pada"]


@every_birth
def test_the_lagna_is_that_of_the_cases(case):
    lagna = present(cast(birth_of(case)).lagna)
    expected = case["expect"]["sidereal_longitude"]["Lagna"]
    assert lagna.at.longitude == pytest.approx(expected, abs=case["tolerance"]["lagna_deg"])


@every_birth
def test_divisional_signs_are_those_on_which_two_programs_agree(case):
    chart = cast(birth_of(case))
    found = {
        name: {
            graha: 1
            + (present(chart.lagna) if graha == "Lagna" else chart[Graha[graha.upper()]]).vargas[
                Varga[name]
            ]
            for graha in signs
        }
        for name, signs in case["expect"]["vargas_sign_1_12"].items()
    }
    assert found == case["expect"]["vargas_sign_1_12"]


@every_birth
def test_the_almanac_at_birth_is_that_of_the_cases(case):
    found = almanac(cast(birth_of(case)))
    assert {
        "tithi": found.tithi + 1,
        "yoga": found.yoga + 1,
        "karana_half_tithi_index0": found.half_tithi,
    } == case["expect"]["panchanga_at_birth_drik"]


def test_a_birth_before_sunrise_belongs_to_the_weekday_before():
    # 8 May 1990 was a Tuesday.
    night, day = almanac(cast(birth("1990-05-08", "02:00"))), almanac(cast(birth("1990-05-08")))
    assert (night.civil_weekday, night.vara) == (2, 1)
    assert (day.civil_weekday, day.vara) == (2, 2)


def test_a_birth_in_the_polar_night_has_no_vara_but_a_chart():
    chart = cast(birth("1990-12-21", latitude_degrees=78.2, longitude_degrees=15.6))
    assert almanac(chart).vara is None
    assert almanac(chart).sunrise is None
    assert chart.lagna is not None


def test_an_unknown_time_hides_what_hangs_on_the_lagna():
    chart = cast(birth(clock=None))
    assert chart.lagna is None
    assert chart.house(1) is None
    assert almanac(chart).vara is None
    for placement in chart.placements:
        assert placement.house is None
        assert placement.sripati_house is None
        assert dict(placement.vargas) == {Varga.D1: placement.sign}


def test_an_unknown_time_lists_what_the_moon_may_be_in_with_the_times_of_change():
    chart = cast(birth("1990-05-05", None))
    stays = chart.moon_stays
    assert not chart.is_nakshatra_certain
    assert not chart.is_rashi_certain
    assert not chart.is_pada_certain
    assert stays[0].start == chart.birth.day.start
    assert stays[-1].end == chart.birth.day.end
    for before, after in itertools.pairwise(stays):
        assert before.end == after.start
        edge = position(before.end, Graha.MOON).longitude
        assert (edge * 0.3) % 1 == pytest.approx(round((edge * 0.3) % 1), abs=1e-5)
        second = 1 / 86400
        assert point(position(before.end - second, Graha.MOON).longitude).pada == before.pada
        assert point(position(before.end + second, Graha.MOON).longitude).pada == after.pada


def test_a_known_time_leaves_no_doubt_about_the_moon():
    chart = cast(birth())
    assert chart.is_nakshatra_certain
    assert chart.is_pada_certain
    assert chart.moon_stays[0].nakshatra == chart.moon.at.nakshatra


def test_a_time_that_is_about_right_lists_the_moons_padas_around_it():
    chart = cast(birth("1990-05-05", "10:50", about_minutes=10))
    assert [stay.pada for stay in chart.moon_stays] == [0, 1]
    assert chart.is_nakshatra_certain
    width = chart.moon_stays[-1].end - chart.moon_stays[0].start
    assert timedelta(width) == pytest.approx(timedelta(minutes=20), abs=timedelta(seconds=1))


@settings(max_examples=50, deadline=None)
@given(st.floats(2415020.5, 2488069.5), st.floats(0.01, 3))
def test_the_moons_stays_fill_the_time_without_gap(start, length):
    stays = moon_stays(start, start + length)
    assert stays[0].start == start
    assert stays[-1].end == start + length
    assert all(one.end == other.start for one, other in itertools.pairwise(stays))
    padas = [stay.nakshatra * 4 + stay.pada for stay in stays]
    assert all((other - one) % 108 == 1 for one, other in itertools.pairwise(padas))


def test_a_longitude_on_a_boundary_belongs_to_what_begins_there():
    for pada in range(108):
        at = point(pada * 10 / 3)
        assert (at.nakshatra * 4 + at.pada, at.sign) == (pada, pada * 10 // 90)
    assert point(359.9999999999).sign == 0
    assert point(29.99999).sign == 0


def test_the_choice_of_ayanamsa_moves_every_graha_alike():
    lahiri, raman = cast(birth()), cast(birth(), Options(ayanamsa=Ayanamsa.RAMAN))
    shift = lahiri.ayanamsa_degrees - raman.ayanamsa_degrees
    for graha in Graha:
        moved = raman[graha].at.longitude - lahiri[graha].at.longitude
        assert moved % 360 == pytest.approx(shift, abs=1e-6)
    lagnas = [present(chart.lagna).at.longitude for chart in (lahiri, raman)]
    assert (lagnas[1] - lagnas[0]) % 360 == pytest.approx(shift)
