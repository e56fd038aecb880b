"""Angas in both skies: unbroken, in order, and where their angle says."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kundali.julian import SECOND
from kundali.lunar_month import LunarMonth, lunar_month_at, lunar_months
from kundali.sky import DRIK, SURYA, Anga, angle, number_at, span_at, spans

# 1950 to 2100.
INSTANTS = st.floats(2433282.5, 2488434.5)
SKIES = pytest.mark.parametrize("sky", [SURYA, DRIK], ids=["surya", "drik"])


@SKIES
@settings(deadline=None)
@given(start=INSTANTS, anga=st.sampled_from([Anga.TITHI, Anga.YOGA, Anga.KARANA, Anga.NAKSHATRA]))
def test_angas_cover_the_time_without_gap_in_order(sky, start, anga):
    found = spans(sky, anga, start, start + 3)
    assert found[0].start <= start < found[0].end
    assert found[-1].start < start + 3 <= found[-1].end
    for one, other in pairwise(found):
        assert one.end == other.start
        assert other.number == one.number % anga.value.parts + 1
    assert all(each.start < each.end for each in found)


@SKIES
@settings(deadline=None)
@given(instant=INSTANTS, anga=st.sampled_from(list(Anga)))
def test_an_anga_ends_when_its_angle_is_full(sky, instant, anga):
    span = span_at(sky, anga, instant)
    assert number_at(sky, anga, (span.start + span.end) / 2) == span.number
    full = span.number * 360 / anga.value.parts
    assert abs((angle(sky, anga, span.end) - full + 180) % 360 - 180) < 2e-6


@given(instant=INSTANTS)
def test_a_tithi_is_two_karanas(instant):
    tithi = span_at(SURYA, Anga.TITHI, instant)
    first = span_at(SURYA, Anga.KARANA, tithi.start + 60 * SECOND)
    second = span_at(SURYA, Anga.KARANA, tithi.end - 60 * SECOND)
    assert (first.number, second.number) == (2 * tithi.number - 1, 2 * tithi.number)
    assert first.start == pytest.approx(tithi.start, abs=SECOND)
    assert second.end == pytest.approx(tithi.end, abs=SECOND)


def month(jd: float) -> LunarMonth:
    return lunar_month_at(SURYA, jd)


@pytest.mark.parametrize(
    ("day", "number"),
    # New moons that began Ashwin 2020, Shravana 2023 and Jyeshtha 2026, each put in.
    [(2459120.5, 7), (2460150.5, 5), (2461190.5, 3)],
)
def test_months_that_were_put_in_are_known(day, number):
    assert month(day).is_adhika
    assert month(day).number == number
    assert not month(day + 29.53).is_adhika
    assert month(day + 29.53).number == number


def test_an_adhika_month_holds_no_rites():
    assert not month(2459120.5).holds(7)
    assert month(2459150.5).holds(7)


def test_the_winter_of_1983_lost_a_month_between_two_that_were_put_in():
    found = lunar_months(SURYA, 2445230.0, 2445400.0)
    assert [each.number for each in found if each.is_adhika] == [7, 12]
    (lost,) = (each for each in found if each.is_kshaya)
    assert (lost.number, lost.lost) == (10, 11)
    assert lost.holds(10)
    assert lost.holds(11)
    assert lost.purnimanta(20) == 12


def test_the_dark_half_bears_the_name_of_the_month_to_come():
    ashwin = month(2460586.5)
    assert (ashwin.number, ashwin.purnimanta(15), ashwin.purnimanta(16)) == (7, 7, 8)
    phalguna = LunarMonth(12, 0.0, 29.5)
    assert phalguna.purnimanta(30) == 1


@given(start=INSTANTS)
def test_lunar_months_follow_one_another(start):
    for one, other in pairwise(lunar_months(SURYA, start, start + 400)):
        assert one.end == other.start
        last = one.lost or one.number
        assert other.number == (last if one.is_adhika else last % 12 + 1)
