"""Doshas: the condition, the weight, and what softens it."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kundali.chart import cast
from kundali.dosha import Weight, doshas, manglik, outside_the_nodes
from kundali.ephemeris import Graha
from kundali.options import ManglikHouses, Options
from tests.unit.kundali.support import birth, chart_of

ARIES, TAURUS, GEMINI, CANCER, LEO, VIRGO, LIBRA = (30.0 * n + 2.0 for n in range(7))
SCORPIO, SAGITTARIUS, CAPRICORN, AQUARIUS, PISCES = (30.0 * n + 2.0 for n in range(7, 12))
ALOOF = {"moon": PISCES, "venus": PISCES, "jupiter": PISCES, "saturn": PISCES}


def found(lagna, **longitudes):
    return {dosha.code: dosha for dosha in doshas(chart_of(lagna, **longitudes)).found}


@pytest.mark.parametrize("house", range(1, 13))
def test_mars_makes_a_manglik_in_five_houses_of_the_north(house):
    # Moon and Venus stand with Mars' third sign before it, where it never counts.
    mars = 30.0 * (house - 1) + 2.0
    aside = (mars - 60.0) % 360
    chart = chart_of(0, mars=mars, moon=aside, venus=aside, jupiter=(mars + 30) % 360)
    row = manglik(chart)
    assert row.from_lagna == house
    assert (None in row.holds) == (house in {1, 4, 7, 8, 12})
    assert row.weight is (
        Weight.HIGH if house in {7, 8} else Weight.FULL if house in {1, 4, 12} else None
    )


def test_the_south_counts_the_second_for_the_first():
    south = Options(manglik_houses=ManglikHouses.SOUTH)
    assert None not in manglik(chart_of(0, south, mars=ARIES)).holds
    assert None in manglik(chart_of(0, south, mars=TAURUS)).holds
    both = Options(manglik_houses=ManglikHouses.BOTH)
    assert all(None in manglik(chart_of(0, both, mars=at)).holds for at in (ARIES, TAURUS))


def test_from_the_moon_it_counts_half_and_from_venus_a_quarter():
    from_moon = manglik(chart_of(0, mars=GEMINI, moon=SAGITTARIUS, venus=ARIES))
    assert (from_moon.from_moon, from_moon.weight) == (7, Weight.HALF)
    from_venus = manglik(chart_of(0, mars=GEMINI, venus=SAGITTARIUS, moon=ARIES))
    assert (from_venus.from_venus, from_venus.weight) == (7, Weight.QUARTER)


@pytest.mark.parametrize(
    ("lagna", "places", "code"),
    [
        (6, {"mars": ARIES}, "in_sign"),
        (5, {"mars": PISCES, "jupiter": PISCES + 9}, "together"),
        (5, {"mars": PISCES, "jupiter": SCORPIO}, "aspected"),
        (9, {"mars": CANCER}, "mars_harmless"),
        (3, {"mars": LIBRA}, "mars_yogakaraka"),
    ],
)
def test_what_softens_a_manglik_is_listed(lagna, places, code):
    row = manglik(chart_of(lagna, **places))
    assert None in row.holds
    assert code in {phrase.code for phrase in row.softened_by}


def test_nothing_softens_what_does_not_hold():
    row = manglik(chart_of(0, mars=GEMINI, moon=ARIES, venus=ARIES))
    assert row.weight is None
    assert row.softened_by == ()
    assert "manglik" not in found(0, mars=GEMINI, moon=ARIES, venus=ARIES)


ONE_SIDE = {
    "rahu": ARIES,
    "sun": TAURUS,
    "moon": GEMINI,
    "mars": CANCER,
    "mercury": TAURUS + 5,
    "jupiter": LEO,
    "venus": TAURUS + 9,
    "saturn": VIRGO,
}


def test_kaal_sarp_is_all_grahas_on_one_side_and_takes_its_name_from_rahus_house():
    dosha = found(8, **ONE_SIDE)["kaal_sarp"]
    assert dosha.causes[0].text("en") == "All seven grahas stand between Rahu and Ketu."
    assert "Padma" in dosha.causes[1].text("en")
    assert "शास्त्रीय" in dosha.softened_by[0].text("ne")


def test_a_kaal_sarp_behind_rahu_names_ketu_first():
    behind = {name: (at + 180) % 360 for name, at in ONE_SIDE.items()} | {"rahu": ARIES}
    assert found(8, **behind)["kaal_sarp"].causes[0].values["first"] is Graha.KETU


def test_one_graha_outside_is_no_dosha():
    partial = ONE_SIDE | {"saturn": CAPRICORN}
    assert "kaal_sarp" not in found(8, **partial)
    assert outside_the_nodes(chart_of(8, **partial)) == (Graha.SATURN,)
    assert outside_the_nodes(chart_of(8, **ONE_SIDE)) == ()


@pytest.mark.parametrize(
    ("lagna", "places"),
    [
        (0, {"sun": LEO, "saturn": LEO}),
        (0, {"sun": LEO, "rahu": LEO}),
        (0, {"saturn": SAGITTARIUS}),
        (0, {"jupiter": VIRGO, "saturn": VIRGO}),
    ],
)
def test_pitra_is_an_indication_with_its_line(lagna, places):
    dosha = found(lagna, **places)["pitra"]
    assert dosha.weight is Weight.INDICATION
    assert dosha.causes


@pytest.mark.parametrize(("degrees", "holds"), [(11.9, True), (12.1, False)])
def test_grahan_is_a_light_within_twelve_degrees_of_a_node(degrees, holds):
    aside = {"moon": CANCER, "rahu": LEO}
    assert ("grahan" in found(0, sun=LEO + degrees, **aside)) is holds
    assert ("grahan" in found(0, sun=AQUARIUS - degrees, **aside)) is holds


@pytest.mark.parametrize(
    ("moon", "weight"),
    [
        (119.5, Weight.FULL),
        (120.5, Weight.FULL),
        (117.0, Weight.INDICATION),
        (123.0, Weight.INDICATION),
        (0.1, Weight.FULL),
        (359.9, Weight.FULL),
        (116.0, None),
        (124.0, None),
        (59.9, None),
    ],
)
def test_gandanta_lies_on_both_sides_of_water_and_fire(moon, weight):
    dosha = found(1, moon=moon).get("gandanta")
    assert (dosha.weight if dosha else None) is weight


@pytest.mark.parametrize(
    ("clock", "nakshatra"), [("1990-05-02", "Ashlesha"), ("1990-05-03", "Magha")]
)
def test_gandamula_gives_nakshatra_and_pada(clock, nakshatra):
    chart = cast(birth(clock, "20:00"))
    dosha = {at.code: at for at in doshas(chart).found}["gandamula"]
    assert nakshatra in dosha.causes[0].text("en")
    assert f"pada {chart.moon.at.pada + 1}" in dosha.causes[0].text("en")


def test_without_a_birth_time_what_cannot_be_decided_is_named():
    result = doshas(cast(birth("1990-05-05", None)))
    assert set(result.undecided) >= {"kaal_sarp", "pitra", "grahan", "gandanta"}
    assert result.manglik.from_lagna is None
    assert result.manglik.from_moon is None
    assert "gandamula" in result.undecided


longitudes = st.floats(0, 360, exclude_max=True)


@settings(max_examples=200, deadline=None)
@given(
    st.integers(0, 11),
    st.fixed_dictionaries({graha.name.lower(): longitudes for graha in Graha if graha < 8}),
)
def test_every_dosha_gives_cause_and_remedy_and_never_frightens(lagna, places):
    frightening = ("death", "die", "disease", "danger", "मृत्यु", "रोग", "मर्ने", "खतरा")
    for dosha in doshas(chart_of(lagna, **places)).found:
        assert dosha.causes
        for language in ("en", "ne"):
            sentences = (dosha.meaning, dosha.remedy, *dosha.causes, *dosha.softened_by)
            texts = [dosha.name.in_language(language), *(at.text(language) for at in sentences)]
            assert all(texts)
            assert not any(word in text for text in texts for word in frightening)
