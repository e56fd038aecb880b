"""Yogas: each forms under its condition, says it, and does not form without it."""

from __future__ import annotations

from datetime import date, timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kundali.chart import cast
from kundali.ephemeris import Graha
from kundali.yogas import Standing, yogas
from tests.unit.kundali.support import birth, chart_of

ARIES, TAURUS, GEMINI, CANCER, LEO, VIRGO, LIBRA = (30.0 * n + 2.0 for n in range(7))
SCORPIO, SAGITTARIUS, CAPRICORN, AQUARIUS, PISCES = (30.0 * n + 2.0 for n in range(7, 12))


def found(lagna, **longitudes):
    return {yoga.code: yoga for yoga in yogas(chart_of(lagna, **longitudes))}


def codes(yoga):
    return [cause.code for cause in yoga.causes]


def test_gajakesari_is_jupiter_in_a_corner_from_the_moon():
    yoga = found(0, moon=CANCER, jupiter=LIBRA, sun=SAGITTARIUS)["gajakesari"]
    assert yoga.causes[0].text("en") == "Jupiter is in the 4th house from the Moon."
    assert "gajakesari" not in found(0, moon=CANCER, jupiter=SCORPIO)


def test_gajakesari_is_weak_with_a_combust_jupiter():
    near = found(0, moon=CANCER, jupiter=CANCER, sun=CANCER + 5)["gajakesari"]
    assert near.standing is Standing.WEAK
    assert [phrase.code for phrase in near.against] == ["combust"]
    far = found(0, moon=CANCER, jupiter=CANCER, sun=CAPRICORN)["gajakesari"]
    assert far.standing is Standing.STRONG


@pytest.mark.parametrize(("apart", "standing"), [(2.9, Standing.WEAK), (3.1, Standing.FORMED)])
def test_budhaditya_is_weak_within_three_degrees(apart, standing):
    yoga = found(0, sun=LEO, mercury=LEO + apart)["budhaditya"]
    assert yoga.standing is standing


@pytest.mark.parametrize(
    ("code", "graha", "longitude", "lagna"),
    [
        ("ruchaka", "mars", CAPRICORN, 0),
        ("bhadra", "mercury", GEMINI, 2),
        ("hamsa", "jupiter", CANCER, 6),
        ("malavya", "venus", PISCES, 8),
        ("shasha", "saturn", AQUARIUS, 7),
    ],
)
def test_a_mahapurusha_is_strong_in_a_corner(code, graha, longitude, lagna):
    assert code in found(lagna, **{graha: longitude})
    assert code not in found(lagna + 1, **{graha: longitude})


LONELY = {
    "moon": LEO,
    "sun": LEO,
    "mars": SCORPIO + 0,
    "mercury": CAPRICORN,
    "jupiter": CAPRICORN,
    "venus": CAPRICORN,
    "saturn": CAPRICORN,
}


def test_kemadruma_is_a_moon_alone():
    far = LONELY | {"mars": CAPRICORN}
    yoga = found(2, **far)["kemadruma"]
    assert yoga.standing is Standing.FORMED
    assert "kemadruma" not in found(2, **far | {"venus": VIRGO})


@pytest.mark.parametrize(
    ("lagna", "changes", "code"),
    [
        (2, {}, "in_kendra"),
        (4, {"mars": CAPRICORN}, "in_house"),
        (2, {"mars": CAPRICORN, "jupiter": ARIES}, "aspected"),
    ],
)
def test_kemadruma_is_cancelled_and_says_by_what(lagna, changes, code):
    yoga = found(lagna, **LONELY | changes)["kemadruma"]
    assert yoga.standing is Standing.CANCELLED
    assert code in {phrase.code for phrase in yoga.against}


@pytest.mark.parametrize(
    ("mars", "venus", "code"),
    [(VIRGO, PISCES, "sunapha"), (CANCER, PISCES, "anapha"), (VIRGO, CANCER, "durudhara")],
)
def test_grahas_beside_the_moon_name_the_yoga(mars, venus, code):
    away = {"mercury": PISCES, "jupiter": PISCES, "saturn": PISCES, "moon": LEO}
    assert code in found(0, mars=mars, venus=venus, **away)


@pytest.mark.parametrize(
    ("mars", "venus", "code"),
    [(VIRGO, PISCES, "veshi"), (CANCER, PISCES, "voshi"), (VIRGO, CANCER, "ubhayachari")],
)
def test_grahas_beside_the_sun_name_the_yoga(mars, venus, code):
    away = {"mercury": PISCES, "jupiter": PISCES, "saturn": PISCES, "sun": LEO, "moon": VIRGO}
    assert code in found(0, mars=mars, venus=venus, **away)


def test_chandra_mangala_is_moon_with_mars():
    assert "chandra_mangala" in found(0, moon=LEO, mars=LEO + 20)
    assert "chandra_mangala" not in found(0, moon=LEO, mars=AQUARIUS)


def test_adhi_is_three_benefics_around_the_seventh():
    yoga = found(0, moon=ARIES, mercury=VIRGO, jupiter=LIBRA, venus=SCORPIO)["adhi"]
    assert len(yoga.causes) == 3
    assert "adhi" not in found(1, moon=ARIES, mercury=VIRGO, jupiter=LEO, venus=SCORPIO)


def test_amala_is_a_tenth_of_benefics_alone():
    assert "amala" in found(0, jupiter=CAPRICORN, saturn=LEO, rahu=GEMINI)
    both = found(0, moon=LEO, jupiter=CAPRICORN, saturn=CAPRICORN, rahu=GEMINI)
    assert "amala" not in both


def test_vasumati_is_benefics_in_the_growing_houses():
    kind = {"mercury": GEMINI, "jupiter": VIRGO, "venus": AQUARIUS, "rahu": CANCER}
    assert "vasumati" in found(0, mars=LEO, saturn=LEO, sun=LEO, **kind)
    assert "vasumati" not in found(1, moon=TAURUS, mars=LEO, saturn=LEO, sun=LEO, **kind)


def test_raja_joins_the_lord_of_a_corner_and_of_a_trine():
    # Aries lagna: Moon rules the 4th, Jupiter the 9th.
    formed = [yoga for yoga in yogas(chart_of(0, moon=LEO, jupiter=LEO)) if yoga.code == "raja"]
    (yoga,) = (yoga for yoga in formed if yoga.grahas == (Graha.MOON, Graha.JUPITER))
    assert codes(yoga) == ["lord_of", "lord_of", "together"]


@pytest.mark.parametrize(
    ("lagna", "graha"),
    [(1, "SATURN"), (6, "SATURN"), (3, "MARS"), (4, "MARS"), (9, "VENUS"), (10, "VENUS")],
)
def test_the_giver_of_good_owns_a_corner_and_a_trine(lagna, graha):
    assert found(lagna)["yogakaraka"].grahas == (Graha[graha],)


@pytest.mark.parametrize("lagna", [0, 2, 5, 7, 8, 11])
def test_other_lagnas_have_no_such_giver(lagna):
    assert "yogakaraka" not in found(lagna)


def test_dharma_karmadhipati_joins_the_ninth_and_tenth_lords():
    # Cancer lagna: Jupiter rules the 9th, Mars the 10th.
    assert "dharma_karmadhipati" in found(3, jupiter=LEO, mars=AQUARIUS)
    assert "dharma_karmadhipati" not in found(3, jupiter=LEO, mars=PISCES, sun=ARIES)


@pytest.mark.parametrize(("code", "graha"), [("harsha", "mercury"), ("sarala", "mars")])
def test_viparita_is_a_lord_of_hardship_in_hardship(code, graha):
    assert code in found(0, **{graha: SCORPIO})
    assert code not in found(0, **{graha: LEO})


def test_neecha_bhanga_tells_what_lifts_the_fallen():
    # Saturn falls in Aries; Mars, lord of Aries, stands in the tenth.
    yoga = found(0, saturn=ARIES, mars=CAPRICORN)["neecha_bhanga"]
    assert codes(yoga)[0] == "in_sign"
    assert "in_kendra" in codes(yoga)


def test_the_moon_in_its_own_corner_lifts_nobody():
    # Mars falls in Cancer: its lord is the Moon, away from the lagna's corners and from Mars.
    away = {"mars": CANCER, "moon": TAURUS, "jupiter": ARIES, "saturn": ARIES}
    causes = [
        cause
        for yoga in yogas(chart_of(0, **away))
        if yoga.code == "neecha_bhanga" and yoga.grahas == (Graha.MARS,)
        for cause in yoga.causes
    ]
    assert causes
    assert all(cause.values.get("grahas") != (Graha.MOON,) for cause in causes)


def test_dhana_joins_lords_of_means():
    # Aries lagna: Venus rules the 2nd, Sun the 5th.
    assert "dhana" in found(0, venus=GEMINI, sun=GEMINI)


def test_lakshmi_wants_strong_lords_of_fortune_and_self():
    assert "lakshmi" in found(0, jupiter=SAGITTARIUS, mars=ARIES)
    assert "lakshmi" not in found(0, jupiter=SAGITTARIUS, mars=TAURUS)


def test_saraswati_wants_a_welcome_jupiter():
    kind = {"mercury": TAURUS, "venus": CANCER}
    assert "saraswati" in found(0, jupiter=CANCER, **kind)
    assert "saraswati" not in found(0, jupiter=CAPRICORN, **kind)


def test_parivartana_is_an_exchange_of_signs():
    yoga = found(0, sun=CANCER, moon=LEO)["parivartana"]
    assert yoga.grahas == (Graha.SUN, Graha.MOON)


def test_shakata_is_cancelled_by_a_moon_in_a_corner():
    assert found(1, moon=VIRGO, jupiter=ARIES)["shakata"].standing is Standing.FORMED
    assert found(2, moon=VIRGO, jupiter=ARIES)["shakata"].standing is Standing.CANCELLED


def test_guru_chandala_is_jupiter_with_a_node():
    assert "guru_chandala" in found(0, jupiter=LEO, rahu=LEO + 9)
    assert "guru_chandala" in found(0, jupiter=AQUARIUS, rahu=LEO)
    assert "guru_chandala" not in found(0, jupiter=VIRGO, rahu=LEO)


def test_without_a_birth_time_nothing_counts_from_the_lagna():
    for day in range(0, 400, 7):
        chart = cast(birth((date(1990, 1, 1) + timedelta(days=day)).isoformat(), None))
        formed = {yoga.code for yoga in yogas(chart)}
        assert not formed & {"raja", "dhana", "yogakaraka", "ruchaka", "hamsa", "harsha"}
        if not chart.is_rashi_certain:
            assert not formed & {"gajakesari", "kemadruma", "sunapha", "anapha", "shakata"}


longitudes = st.floats(0, 360, exclude_max=True)


@settings(max_examples=200, deadline=None)
@given(
    st.integers(0, 11),
    st.fixed_dictionaries({graha.name.lower(): longitudes for graha in Graha if graha < 8}),
)
def test_every_yoga_names_itself_and_its_reasons_in_both_languages(lagna, places):
    for yoga in yogas(chart_of(lagna, **places)):
        assert yoga.causes
        assert (yoga.standing in {Standing.WEAK, Standing.CANCELLED}) == bool(yoga.against)
        for language in ("en", "ne"):
            assert yoga.name.in_language(language)
            sentences = (yoga.meaning, *yoga.causes, *yoga.against)
            assert all(sentence.text(language) for sentence in sentences)
