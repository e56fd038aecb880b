"""Divisional charts: the rules' own properties."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kundali.divisional import (
    Schools,
    Varga,
    is_vargottama,
    varga_degrees,
    varga_sign,
    varga_signs,
)

longitudes = st.floats(0, 360, exclude_max=True)
schools = st.builds(Schools, st.booleans(), st.booleans())


@given(longitudes, schools)
def test_one_chart_and_all_sixteen_agree(longitude, chosen):
    assert varga_signs(longitude, chosen) == {
        varga: varga_sign(varga, longitude, chosen) for varga in Varga
    }


@given(st.integers(0, 1_295_999_999))
def test_the_navamsa_is_the_sign_of_nine_times_the_longitude(mas):
    assert varga_sign(Varga.D9, mas / 3_600_000) == mas * 9 // 108_000_000 % 12


@given(st.integers(0, 1_295_999_999))
def test_the_thirtieths_of_a_sign_belong_to_the_five_planets_alone(mas):
    longitude = mas / 3_600_000
    sign = varga_sign(Varga.D30, longitude)
    odd = longitude // 30 % 2 == 0
    assert sign in ({0, 10, 8, 2, 6} if odd else {1, 5, 11, 9, 7})


@pytest.mark.parametrize(
    ("longitude", "varga", "sign"),
    [
        (5.0, Varga.D30, 10),
        (4.99, Varga.D30, 0),
        (35.0, Varga.D30, 5),
        (42.0, Varga.D30, 11),
        (14.99, Varga.D2, 4),
        (15.0, Varga.D2, 3),
        (30.0, Varga.D2, 3),
        (45.0, Varga.D2, 4),
        (10.0, Varga.D3, 4),
        (30.0, Varga.D24, 3),
        (30.0, Varga.D7, 7),
        (30.0, Varga.D10, 9),
        (60.0, Varga.D16, 8),
        (30.0, Varga.D27, 3),
        (30.0, Varga.D40, 6),
    ],
)
def test_parts_begin_where_parashara_puts_them(longitude, varga, sign):
    assert varga_sign(varga, longitude) == sign


def test_the_other_schools_count_otherwise():
    assert varga_sign(Varga.D2, 30.0, Schools(hora_over_twelve_signs=True)) == 2
    assert varga_sign(Varga.D24, 30.0, Schools(siddhamsa_even_from_leo=True)) == 4


@given(longitudes)
def test_vargottama_is_the_same_sign_in_both(longitude):
    navamsa, sign = varga_sign(Varga.D9, longitude), varga_sign(Varga.D1, longitude)
    assert is_vargottama(longitude) == (navamsa == sign)


@given(longitudes, st.sampled_from(Varga))
def test_degrees_within_a_divisional_sign_stay_within_it(longitude, varga):
    assert 0 <= varga_degrees(varga, longitude) < 30
