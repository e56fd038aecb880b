"""Ashtakoota held to the cases, its symmetries, cancellations, and Manglik of a couple."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kundali.chart import cast
from kundali.matching import (
    TOTAL,
    Koota,
    ManglikMatch,
    Verdict,
    match,
    match_charts,
    moon_at,
)
from kundali.names import read_table
from tests.unit.kundali.support import birth, read

moons = st.floats(0, 360, exclude_max=True).map(moon_at)
SYMMETRIC = (Koota.TARA, Koota.YONI, Koota.GRAHA_MAITRI, Koota.BHAKOOT, Koota.NADI)
TABLE = read_table("ashtakoota")


@pytest.mark.parametrize("case", read("cases")["ashtakoota"])
def test_couples_score_as_the_cases_say(case):
    groom, bride = (moon_at(case[who]["moon_longitude"]) for who in ("groom", "bride"))
    for who, moon in (("groom", groom), ("bride", bride)):
        assert (moon.nakshatra + 1, moon.pada + 1, moon.sign + 1) == (
            case[who]["nakshatra"],
            case[who]["pada"],
            case[who]["rashi"],
        )
    found = match(groom, bride)
    scores = {row.koota.value: row.points for row in found.kootas}
    assert scores | {"total": found.total} == case["expect"]


@given(moons, moons)
def test_swapping_groom_and_bride_changes_only_what_asks_who_is_who(groom, bride):
    there, back = match(groom, bride), match(bride, groom)
    for koota in SYMMETRIC:
        assert there[koota].points == back[koota].points


@given(moons, moons)
def test_without_groom_and_bride_the_order_does_not_matter(one, other):
    there, back = match(one, other, directed=False), match(other, one, directed=False)
    assert [row.points for row in there.kootas] == [row.points for row in back.kootas]
    directions = (match(one, other).total, match(other, one).total)
    assert there.total == pytest.approx(sum(directions) / 2)


@given(moons, moons)
def test_points_stay_within_their_kootas_and_every_row_gives_its_reason(groom, bride):
    found = match(groom, bride)
    assert [row.koota for row in found.kootas] == list(Koota)
    assert sum(row.most for row in found.kootas) == TOTAL
    for row in found.kootas:
        assert 0 <= row.points <= row.most
        for language in ("en", "ne"):
            texts = [row.reason.text(language), *(at.text(language) for at in row.cancelled_by)]
            assert all(text and "{" not in text for text in texts)
    assert {row.koota for row in found.faults} <= {Koota.NADI, Koota.BHAKOOT}


@given(moons)
def test_a_person_matched_with_a_twin_has_all_points_but_nadi(moon):
    found = match(moon, moon)
    assert found.total == TOTAL - 8
    assert not found[Koota.NADI].cancelled_by
    assert found.notes[0].code == "note.same_pada"


@pytest.mark.parametrize(
    ("groom", "bride", "code"),
    [
        (1.0, 5.0, "cancel.nadi_padas"),
        (27.0, 31.0, "cancel.nadi_signs"),
        (65.0, 81.0, None),
    ],
)
def test_a_nadi_fault_is_cancelled_as_the_table_says(groom, bride, code):
    row = match(moon_at(groom), moon_at(bride))[Koota.NADI]
    if code is None:
        # Madhya and Adya differ: no fault, nothing to cancel.
        assert (row.points, row.cancelled_by) == (8.0, ())
    else:
        assert row.points == 0
        assert [phrase.code for phrase in row.cancelled_by] == [code]


def test_one_sign_with_two_nakshatras_of_one_nadi_is_cancelled():
    # Ardra and Punarvasu are both Adya, and both reach into Gemini.
    row = match(moon_at(70.0), moon_at(82.0))[Koota.NADI]
    assert [phrase.code for phrase in row.cancelled_by] == ["cancel.nadi_nakshatras"]


def test_bhakoot_of_signs_with_one_lord_is_cancelled_but_gives_no_points():
    row = match(moon_at(5.0), moon_at(215.0))[Koota.BHAKOOT]
    assert row.points == 0
    assert row.is_fault
    assert row.cancelled_by[0].code == "cancel.lords_same"


@pytest.mark.parametrize(
    ("longitudes", "points"),
    [((241.0, 61.0), 2.0), ((256.0, 61.0), 1.0), ((271.0, 61.0), 1.0), ((286.0, 61.0), 0.5)],
)
def test_vashya_parts_sagittarius_and_capricorn_in_the_middle(longitudes, points):
    groom, bride = (moon_at(longitude) for longitude in longitudes)
    assert match(groom, bride)[Koota.VASHYA].points == points


def test_the_tables_are_whole():
    for koota, size in (("yoni", 14), ("graha_maitri", 12), ("bhakoot", 12)):
        table = TABLE[koota].get("table") or TABLE[koota]["table_by_moon_sign"]
        assert [len(row) for row in table] == [size] * size
        assert all(table[a][b] == table[b][a] for a in range(size) for b in range(size))


@pytest.mark.parametrize(
    ("total", "verdict"),
    [(17.5, Verdict.NOT_ADVISED), (17.75, Verdict.NOT_ADVISED), (18, Verdict.ACCEPTABLE)],
)
def test_the_border_of_what_is_advised_is_eighteen(total, verdict, monkeypatch):
    found = match(moon_at(0.0), moon_at(100.0))
    monkeypatch.setattr(type(found), "total", property(lambda _: total))
    assert found.verdict is verdict


def test_two_charts_give_one_total_and_both_mangliks():
    groom, bride = cast(birth("1990-05-05")), cast(birth("1993-11-12", "18:45"))
    found = match_charts(groom, bride)
    assert found.is_certain
    assert found.lowest == found.match.total
    assert found.groom_manglik.from_lagna is not None


def test_an_unknown_time_gives_a_range_that_holds_every_possible_total():
    groom = cast(birth("1990-05-05"))
    bride = cast(birth("1993-11-12", None))
    found = match_charts(groom, bride)
    assert found.lowest < found.highest
    for hour in range(24):
        exact = match_charts(groom, cast(birth("1993-11-12", f"{hour:02d}:20"))).match.total
        assert found.lowest <= exact <= found.highest


def couple(manglik_days):
    return match_charts(*(cast(birth(day, clock)) for day, clock in manglik_days))


def mangliks():
    """First births found that are Manglik unsoftened, Manglik softened, and not at all."""
    found: dict[str, tuple[str, str]] = {}
    for month in range(1, 13):
        for hour in range(0, 24, 2):
            at = (f"1990-{month:02d}-10", f"{hour:02d}:00")
            manglik = couple((at, at)).groom_manglik
            kind = "none" if manglik.weight is None else "soft" if manglik.softened_by else "hard"
            found.setdefault(kind, at)
    return found


def test_manglik_is_weighed_between_the_two():
    kinds = mangliks()
    hard, soft, none = kinds["hard"], kinds["soft"], kinds["none"]
    assert couple((hard, hard)).manglik is ManglikMatch.BOTH
    assert couple((hard, none)).manglik is ManglikMatch.ONE
    assert couple((none, soft)).manglik is ManglikMatch.ONE_SOFTENED
    assert couple((none, none)).manglik is ManglikMatch.NEITHER
