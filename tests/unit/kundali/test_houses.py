"""Sripati's houses against the library's own, and their shape."""

from __future__ import annotations

import pytest
import swisseph
from hypothesis import given
from hypothesis import strategies as st

from kundali.ephemeris import Angles, Place, angles
from kundali.houses import sripati
from kundali.julian import julian_day
from tests.unit.kundali.support import apart, births, place_of, utc_of

degrees = st.floats(0, 360, exclude_max=True)


@pytest.mark.parametrize("case", births(), ids=lambda case: case["id"])
def test_boundaries_are_those_of_the_library(case):
    moment, place = julian_day(utc_of(case)), place_of(case)
    found = sripati(angles(moment, place, None)).starts
    expected, _ = swisseph.houses_ex(
        moment, place.latitude_degrees, place.longitude_degrees, b"S", swisseph.FLG_MOSEPH
    )
    assert all(apart(one, other) < 1e-6 for one, other in zip(found, expected, strict=True))


@given(st.floats(2415020.5, 2488069.5), st.floats(-66, 66), st.floats(-180, 180))
def test_every_point_of_the_circle_is_in_one_house(moment, latitude, longitude):
    houses = sripati(angles(moment, Place(latitude, longitude)))
    for number, (start, middle) in enumerate(zip(houses.starts, houses.middles, strict=True), 1):
        assert houses.house_of(middle) == number
        assert houses.house_of((start + 1e-6) % 360) == number


def test_with_a_quarter_between_the_angles_the_houses_are_equal():
    houses = sripati(Angles(100.0, 10.0))
    assert houses.middles[:4] == pytest.approx((100.0, 130.0, 160.0, 190.0))
    assert houses.starts[:2] == pytest.approx((85.0, 115.0))
    assert houses.house_of(84.9) == 12
