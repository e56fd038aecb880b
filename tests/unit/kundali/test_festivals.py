"""Festivals: every printed day right, and every other year by the same rules."""

from __future__ import annotations

from collections import Counter
from datetime import date, timedelta

import pytest

from kundali.bikram_sambat import to_bs
from kundali.festivals import (
    Basis,
    Festival,
    UnknownYear,
    festivals_between,
    festivals_of_bs_year,
    festivals_of_year,
)
from kundali.names import read_table
from kundali.sky import DRIK, Siddhanta
from tests.unit.kundali.support import read

PRINTED = [
    (key, date.fromisoformat(day), tuple(date.fromisoformat(each) for each in also))
    for key, day, also in read("festivals")["published"]
]
YEARS = sorted({day.year for _, day, _ in PRINTED})


def named(key: str, year: int) -> Festival:
    (found,) = (each for each in festivals_of_year(year) if each.key == key)
    return found


@pytest.mark.parametrize("year", YEARS)
def test_every_printed_day_is_given(year):
    given = {(each.key, each.day): each for each in festivals_of_year(year)}
    for key, day, also in PRINTED:
        if day.year == year:
            assert (key, day) in given
            festival = given[key, day]
            assert festival.basis is Basis.PUBLISHED
            assert festival.sources
            assert festival.also == also


@pytest.mark.parametrize("year", YEARS)
def test_the_rules_alone_give_a_printed_day_and_name_the_dispute_otherwise(year):
    for festival in festivals_of_year(year):
        if festival.basis is Basis.PUBLISHED and festival.computed != festival.day:
            assert festival.computed in festival.also
            assert festival.disputes


def test_the_rules_miss_the_first_printed_day_of_two_of_184():
    assert len(PRINTED) == 184
    missed = [
        (each.key, each.day, each.computed)
        for year in YEARS
        for each in festivals_of_year(year)
        if each.basis is Basis.PUBLISHED and each.computed != each.day
    ]
    assert missed == [
        ("dhanteras", date(2020, 11, 13), date(2020, 11, 12)),
        ("gobardhan_puja", date(2020, 11, 15), date(2020, 11, 16)),
    ]


def test_two_rites_fall_on_one_day_when_a_tithi_is_lost():
    assert named("maha_ashtami", 2024).day == named("maha_navami", 2024).day == date(2024, 10, 11)


def test_a_day_is_empty_when_a_tithi_is_doubled():
    days = [named(key, 2026).day.day for key in ("maha_ashtami", "maha_navami", "vijaya_dashami")]
    assert days == [18, 20, 21]


@pytest.mark.parametrize(
    ("key", "day"),
    [
        # Years with no printed days here, from the calendars of their time.
        ("vijaya_dashami", date(2025, 10, 2)),
        ("vijaya_dashami", date(2023, 10, 24)),
        ("maha_shivaratri", date(2025, 2, 26)),
        ("buddha_jayanti", date(2025, 5, 12)),
        ("laxmi_puja", date(2025, 10, 20)),
        ("holi_hill", date(2025, 3, 13)),
        ("nepali_new_year", date(2025, 4, 14)),
    ],
)
def test_other_years_are_computed_and_say_so(key, day):
    festival = named(key, day.year)
    assert festival.day == festival.computed == day
    assert festival.basis is Basis.COMPUTED
    assert not festival.sources


def test_each_says_which_sky_it_was_found_in():
    by_key = {each.key: each for each in festivals_of_year(2025)}
    assert by_key["jitiya"].siddhanta is Siddhanta.SURYA
    assert by_key["constitution_day"].siddhanta is None
    modern = {each.key: each for each in festivals_of_year(2025, DRIK)}
    assert modern["jitiya"].siddhanta is Siddhanta.DRIK
    assert modern["jitiya"].day == by_key["jitiya"].day - timedelta(days=1)


def test_no_printed_day_is_given_for_the_modern_sky():
    assert {each.basis for each in festivals_of_year(2024, DRIK) if each.siddhanta} == {
        Basis.COMPUTED
    }


def test_a_vaishnava_fast_on_another_day_is_named():
    nirjala = named("nirjala_ekadashi", 2025)
    assert (nirjala.day, nirjala.vaishnava) == (date(2025, 6, 6), date(2025, 6, 7))
    apart = [each for each in festivals_of_year(2025) if each.vaishnava]
    assert all(each.vaishnava == each.day + timedelta(days=1) for each in apart)
    assert all("ekadashi" in each.key for each in apart)
    assert len(apart) < 12


def test_festivals_of_a_season_with_a_lost_month_say_that_schools_differ():
    assert any("lost" in dispute.en for dispute in named("chhath", 2028).disputes)
    assert not named("chhath", 2027).disputes
    assert any("lost" in dispute.en for dispute in named("swasthani_start", 1983).disputes)


@pytest.mark.parametrize("year", [1950, 1963, 1982, 2042, 2047, 2085, 2100])
def test_a_year_holds_each_festival_once_in_order(year):
    found = festivals_of_year(year)
    assert [each.day for each in found] == sorted(each.day for each in found)
    assert all(each.day.year == year for each in found)
    assert all(each.bs == to_bs(each.day) for each in found)
    counts = Counter(each.key for each in found)
    # Twelve lunar months are eleven days short of a year: what falls in its first or last days may
    # come twice, or not at all. So may what belongs to a season with a month put in.
    strays = {key: count for key, count in counts.items() if count != 1}
    assert len(strays) <= 8
    assert counts["vijaya_dashami"] == counts["maha_shivaratri"] == counts["teej"] == 1


def test_a_bikram_sambat_year_and_its_gregorian_days_agree():
    found = festivals_of_bs_year(2082)
    assert {each.bs.year for each in found} == {2082}
    assert found[0].key == "nepali_new_year"
    assert found == festivals_between(date(2025, 4, 14), date(2026, 4, 13))


def test_one_day_is_the_same_as_that_day_of_its_year():
    day = date(2024, 10, 11)
    assert festivals_between(day, day) == tuple(
        each for each in festivals_of_year(2024) if each.day == day
    )


def test_names_and_disputes_are_in_both_languages():
    raw = read_table("festivals")
    rows = [*raw["lunar"], *raw["fixed"]]
    assert len({row["key"] for row in rows}) == len(rows)
    for row in rows:
        dispute = row.get("dispute", {"en": row["en"], "ne": row["ne"]})
        assert row["en"].isascii()
        assert not dispute["ne"].isascii()
        assert not row["ne"].isascii()


def test_years_after_the_last_printed_calendar_are_provisional():
    assert not any(each.is_provisional for each in festivals_of_bs_year(2083))
    assert all(each.is_provisional for each in festivals_of_bs_year(2084))


@pytest.mark.parametrize("year", [1949, 2101, 0, 10_000])
def test_years_beyond_the_rules_are_refused(year):
    with pytest.raises(UnknownYear):
        festivals_of_year(year)


@pytest.mark.parametrize("year", [2006, 2157, 2158, 1, 99_999])
def test_bikram_sambat_years_beyond_the_rules_are_refused(year):
    with pytest.raises(UnknownYear):
        festivals_of_bs_year(year)


def test_national_days_are_kept_from_their_first_year_on():
    assert not any(each.key == "republic_day" for each in festivals_of_year(2000))
    assert named("republic_day", 2008).day == date(2008, 5, 28)
