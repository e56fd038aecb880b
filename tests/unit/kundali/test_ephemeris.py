"""Positions, rising and setting, and the one door to the C library."""

from __future__ import annotations

import ast
import math
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, date, datetime, time, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kundali import ephemeris
from kundali.ephemeris import (
    FIRST_DAY,
    KATHMANDU,
    LAST_DAY,
    Ayanamsa,
    EphemerisError,
    Graha,
    Node,
    NoSunrise,
    OutsideEphemeris,
    Place,
    PlaceOutOfRange,
    Rising,
    angles,
    ayanamsa_degrees,
    daylight,
    elongation,
    position,
    positions,
    rising,
    setting,
    sun_and_moon,
)
from kundali.julian import MINUTE, civil_day, julian_day, to_datetime
from tests.unit.kundali.support import apart, births, place_of, read, utc_of

NEPAL = ZoneInfo("Asia/Kathmandu")
NEW_YEAR_2025 = julian_day(datetime(2025, 1, 1, tzinfo=UTC))
instants = st.floats(2415020.5, 2488069.5)


@pytest.mark.parametrize("case", births(), ids=lambda case: case["id"])
def test_births_have_the_positions_that_other_programs_give(case):
    expected, moment = case["expect"], julian_day(utc_of(case))
    tolerance = case["tolerance"]["longitude_deg"]
    found = {graha.name.title(): at.longitude for graha, at in enumerated(positions(moment))}
    found["Lagna"] = angles(moment, place_of(case)).ascendant
    far = {
        name: (found[name], value)
        for name, value in expected["sidereal_longitude"].items()
        if apart(found[name], value) > tolerance
    }
    assert not far
    assert apart(position(moment, Graha.RAHU, node=Node.TRUE)[0], expected["true_node_rahu"]) < (
        tolerance
    )
    assert ayanamsa_degrees(moment) == pytest.approx(
        expected["ayanamsa_lahiri"], abs=case["tolerance"]["ayanamsa_deg"]
    )


def enumerated(found):
    return [(Graha(index), at) for index, at in enumerate(found)]


@pytest.mark.parametrize("case", read("cases")["positions_skyfield_de421"]["cases"])
def test_tropical_positions_equal_those_of_another_library_over_jpl(case):
    tolerance = read("cases")["positions_skyfield_de421"]["tolerance_arcsec"]
    for name, expected in case["tropical_apparent_longitude"].items():
        found = position(case["jd_ut"], Graha[name.upper()], None).longitude
        assert apart(found, expected) * 3600 <= tolerance.get(name, tolerance["default"]), name


@pytest.mark.parametrize(
    ("ayanamsa", "degrees"),
    [
        (Ayanamsa.LAHIRI, 24.2064),
        (Ayanamsa.RAMAN, 22.7601),
        (Ayanamsa.KP, 24.1095),
        (Ayanamsa.TRUE_CHITRA, 24.1890),
    ],
)
def test_ayanamsas_of_new_year_2025(ayanamsa, degrees):
    assert ayanamsa_degrees(NEW_YEAR_2025, ayanamsa) == pytest.approx(degrees, abs=0.001)


@given(instants, st.sampled_from(Ayanamsa))
def test_the_ayanamsa_is_tropical_minus_sidereal(moment, ayanamsa):
    shift = ayanamsa_degrees(moment, ayanamsa)
    for graha in Graha:
        tropical = position(moment, graha, None).longitude
        sidereal = position(moment, graha, ayanamsa).longitude
        assert apart(tropical - shift, sidereal) < 1e-8


@given(instants, st.sampled_from(Node))
def test_one_graha_and_all_nine_agree_and_the_nodes_are_opposite(moment, node):
    found = positions(moment, node=node)
    assert [position(moment, graha, node=node) for graha in Graha] == list(found)
    assert apart(found[Graha.RAHU].longitude, found[Graha.KETU].longitude) == pytest.approx(180)
    assert found[Graha.SUN].speed > 0
    assert found[Graha.MOON].speed > 0
    assert all(0 <= at.longitude < 360 for at in found)
    sun, moon = sun_and_moon(moment)
    assert sun == pytest.approx(found[Graha.SUN].longitude, abs=1e-9)
    assert moon == pytest.approx(found[Graha.MOON].longitude, abs=1e-9)
    assert elongation(moment) == pytest.approx((moon - sun) % 360, abs=1e-8)


def test_ayanamsas_interleaved_in_many_threads_stay_apart():
    moments = [NEW_YEAR_2025 + day for day in range(40)]
    expected = {
        (moment, ayanamsa): position(moment, Graha.MOON, ayanamsa)
        for ayanamsa in Ayanamsa
        for moment in moments
    }

    def ask(key):
        moment, ayanamsa = key
        return position(moment, Graha.MOON, ayanamsa) == expected[key]

    interleaved = [(moment, ayanamsa) for moment in moments for ayanamsa in Ayanamsa] * 5
    with ThreadPoolExecutor(8) as pool:
        assert all(pool.map(ask, interleaved))


def test_no_other_module_calls_the_library():
    package = Path(ephemeris.__file__).parent
    for path in package.rglob("*.py"):
        tree = ast.parse(path.read_text(encoding="utf-8"))
        names = {
            alias.name
            for node in ast.walk(tree)
            if isinstance(node, ast.Import | ast.ImportFrom)
            for alias in node.names
        }
        assert ("swisseph" in names) == (path.name == "ephemeris.py"), path


@pytest.mark.parametrize("moment", [FIRST_DAY - 1, LAST_DAY + 1, math.nan, math.inf])
@pytest.mark.parametrize(
    "question",
    [
        positions,
        sun_and_moon,
        elongation,
        ayanamsa_degrees,
        lambda moment: position(moment, Graha.MOON),
        lambda moment: angles(moment, KATHMANDU),
        lambda moment: daylight(moment, moment + 1, KATHMANDU),
    ],
)
def test_an_instant_outside_the_ephemeris_is_refused(question, moment):
    with pytest.raises(OutsideEphemeris):
        question(moment)


@pytest.mark.parametrize(
    ("values", "field"),
    [
        ((90.1, 0), "latitude_degrees"),
        ((-91, 0), "latitude_degrees"),
        ((math.nan, 0), "latitude_degrees"),
        ((0, 180.5), "longitude_degrees"),
        ((0, 0, 9001), "altitude_metres"),
    ],
)
def test_a_place_off_the_earth_is_refused(values, field):
    with pytest.raises(PlaceOutOfRange) as refusal:
        Place(*values)
    assert refusal.value.field == field


@pytest.mark.parametrize("case", read("cases")["sunrise_kathmandu_published"]["cases"])
def test_sunrise_and_sunset_of_kathmandu_are_the_printed_ones(case):
    day = date.fromisoformat(case["date"])
    limit = timedelta(minutes=read("cases")["sunrise_kathmandu_published"]["tolerance_minutes"])
    light = daylight(*civil_day(day, NEPAL), KATHMANDU)
    for found, printed in ((light.sunrise, case["sunrise"]), (light.sunset, case["sunset"])):
        at = datetime.combine(day, time.fromisoformat(printed), NEPAL)
        assert abs(to_datetime(found, NEPAL) - at) <= limit


def test_the_definitions_of_sunrise_follow_one_another_by_minutes():
    day = civil_day(date(2026, 3, 20), NEPAL)
    limb, centre, hindu = (
        daylight(*day, KATHMANDU, rule).sunrise
        for rule in (Rising.LIMB, Rising.CENTRE, Rising.HINDU)
    )
    assert (centre - limb) / MINUTE == pytest.approx(1.2, abs=0.6)
    assert (hindu - centre) / MINUTE == pytest.approx(2.5, abs=0.5)


@pytest.mark.parametrize("day", [date(2026, 6, 21), date(2026, 12, 21)])
def test_polar_day_and_polar_night_have_no_sunrise(day):
    with pytest.raises(NoSunrise):
        daylight(*civil_day(day, UTC), Place(78.22, 15.65))


def test_the_moon_skips_a_rising_about_once_a_month():
    days = [civil_day(date(2026, 1, 1) + timedelta(days=n), NEPAL) for n in range(365)]
    without = [day for day in days if rising(Graha.MOON, *day, KATHMANDU) is None]
    assert 11 <= len(without) <= 13
    assert any(setting(Graha.MOON, *day, KATHMANDU) is not None for day in without)


def test_the_nodes_do_not_rise():
    with pytest.raises(EphemerisError, match="RAHU"):
        rising(Graha.RAHU, NEW_YEAR_2025, NEW_YEAR_2025 + 1, KATHMANDU)
