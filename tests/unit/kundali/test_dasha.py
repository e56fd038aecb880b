"""Vimshottari dasha held to the cases, and what its periods add up to."""

from __future__ import annotations

import itertools
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kundali.chart import cast
from kundali.dasha import ORDER, YEARS, dasha, subperiods, vimshottari
from kundali.julian import julian_day
from kundali.options import Options, YearLength
from tests.unit.kundali.support import birth, birth_of, births, present

every_birth = pytest.mark.parametrize("case", births(), ids=lambda case: case["id"])
NEW_YEAR_2025 = julian_day(datetime(2025, 1, 1, tzinfo=UTC))
moons = st.floats(0, 360, exclude_max=True)
moments = st.floats(2400000, 2500000)
years = st.sampled_from(YearLength)


@every_birth
def test_lord_and_balance_at_birth_are_those_of_the_cases(case):
    found, expected = present(dasha(cast(birth_of(case)))), case["expect"]["vimshottari"]
    assert found.lord_at_birth.name.title() == expected["lord_at_birth"]
    tolerance = case["tolerance"]["balance_years"]
    assert found.balance_years == pytest.approx(expected["balance_years"], abs=tolerance)


@every_birth
@pytest.mark.parametrize(
    ("year", "key"), [(YearLength.JULIAN, "365.25"), (YearLength.GREGORIAN, "365.2425")]
)
def test_mahadashas_start_when_the_cases_say(case, year, key):
    found = present(dasha(cast(birth_of(case), Options(year=year))))
    expected = case["expect"]["vimshottari"][f"mahadasha_start_utc_{key}"]
    assert [period.lord.name.title() for period in found.mahadashas] == [row[0] for row in expected]
    for period, (_, start) in zip(found.mahadashas, expected, strict=True):
        printed = julian_day(datetime.fromisoformat(start).replace(tzinfo=UTC))
        assert period.start == pytest.approx(printed, abs=case["tolerance"]["dates_days"])


@every_birth
def test_the_periods_of_new_year_2025_are_those_of_the_cases(case):
    running = present(present(dasha(cast(birth_of(case)))).at(NEW_YEAR_2025, 2))
    expected = case["expect"]["vimshottari"]["maha_antar_on_2025_01_01_utc_365.25"]
    assert [lord.name.title() for lord in running.lords] == expected


@given(moons, moments, years)
def test_nine_mahadashas_last_120_years_and_follow_one_another(moon, moment, year):
    found = vimshottari(moon, moment, year)
    periods = found.mahadashas
    assert periods[-1].end - periods[0].start == pytest.approx(120 * year.days, abs=1e-6)
    assert all(one.end == other.start for one, other in itertools.pairwise(periods))
    assert sorted(period.lord for period in periods) == sorted(ORDER)
    assert periods[0].start <= moment
    assert moment < periods[0].end + 1e-6
    left = (periods[0].end - moment) / year.days
    assert left == pytest.approx(found.balance_years, abs=1e-6)


@given(moons, moments, years)
def test_subperiods_of_both_levels_fill_their_period_exactly(moon, moment, year):
    for maha in vimshottari(moon, moment, year).mahadashas:
        antars = subperiods(maha)
        assert antars[0].lord is maha.lord
        assert (antars[0].start, antars[-1].end) == (maha.start, maha.end)
        for antar in antars:
            share = YEARS[maha.lord] * YEARS[antar.lord] / 120 * year.days
            assert antar.days == pytest.approx(share, abs=1e-5)
            pratyantars = subperiods(antar)
            assert (pratyantars[0].start, pratyantars[-1].end) == (antar.start, antar.end)
            assert sum(YEARS[part.lord] for part in pratyantars) == 120


@given(moons, moments, st.floats(0, 119))
def test_the_period_that_runs_at_an_instant_holds_it(moon, moment, age):
    found = vimshottari(moon, moment)
    then = moment + age * 365.25
    running = found.at(then)
    if running is None:
        assert then >= found.mahadashas[-1].end
    else:
        assert running.level == 3
        assert running.start <= then < running.end
        assert running.lords[:1] == present(found.at(then, 1)).lords


def test_no_period_runs_before_birth_or_after_the_cycle():
    found = vimshottari(100.0, NEW_YEAR_2025)
    assert found.at(NEW_YEAR_2025 - 1) is None
    assert found.at(found.mahadashas[-1].end) is None


def test_the_periods_of_a_stretch_of_life_cover_it():
    found = vimshottari(100.0, NEW_YEAR_2025)
    start, end = NEW_YEAR_2025 + 1000, NEW_YEAR_2025 + 3000
    periods = list(found.between(start, end, 3))
    assert periods[0].start <= start < periods[0].end
    assert periods[-1].start < end <= periods[-1].end
    assert all(one.end == other.start for one, other in itertools.pairwise(periods))
    assert {period.level for period in periods} == {3}


def test_without_a_time_of_birth_there_are_no_dates():
    assert dasha(cast(birth(clock=None))) is None
