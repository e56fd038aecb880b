"""The table of Bikram Sambat, held to the Sun's entry into the signs."""

from __future__ import annotations

import pytest

from kundali import bikram_sambat, sankranti
from kundali.bikram_sambat import BSDate, to_ad
from kundali.sky import SURYA, Anga, number_at


def test_the_rule_gives_all_but_five_of_the_printed_months():
    missed = [
        (year, month)
        for year in range(2000, bikram_sambat.OFFICIAL_UNTIL + 1)
        for month in range(1, 13)
        if sankranti.first_day(year, month) != to_ad(BSDate(year, month, 1))
    ]
    # Each entry lies within twenty minutes after midnight.
    assert missed == [(2035, 2), (2046, 11), (2062, 2), (2066, 12), (2073, 11)]


def test_years_not_yet_published_are_the_rules():
    for year in range(bikram_sambat.OFFICIAL_UNTIL + 1, bikram_sambat.LAST.year + 1):
        assert bikram_sambat.month_lengths(year) == sankranti.month_lengths(year), year


def test_years_before_the_printed_ones_follow_the_rule_but_for_two_that_are_disputed():
    missed = {
        year
        for year in range(bikram_sambat.FIRST.year, 2000)
        if bikram_sambat.month_lengths(year) != sankranti.month_lengths(year)
    }
    assert missed == {1977, 1993}
    assert all(bikram_sambat.is_disputed(year) for year in missed)


@pytest.mark.parametrize("year", [1975, 2000, 2083, 2157])
def test_the_sun_enters_the_sign_of_the_month(year):
    for month in range(1, 13):
        entry = sankranti.sankranti(year, month)
        assert number_at(SURYA, Anga.SUN_SIGN, entry + 0.001) == month
        assert number_at(SURYA, Anga.SUN_SIGN, entry - 0.001) == (month - 2) % 12 + 1
