"""Conversion between the Bikram Sambat and the Gregorian calendar."""

from __future__ import annotations

from datetime import date, timedelta

import pytest

from kundali.bikram_sambat import (
    FIRST,
    FIRST_AD,
    LAST,
    LAST_AD,
    MONTHS,
    BSDate,
    OutsideCalendar,
    is_disputed,
    is_provisional,
    month_lengths,
    parse,
    to_ad,
    to_bs,
)

NEW_YEARS = {
    1975: "1918-04-13",
    2000: "1943-04-14",
    2013: "1956-04-13",
    2036: "1979-04-14",
    2062: "2005-04-14",
    2077: "2020-04-13",
    2081: "2024-04-13",
    2082: "2025-04-14",
    2083: "2026-04-14",
    2084: "2027-04-14",
    2099: "2042-04-14",
    2157: "2100-04-15",
}

# Days that every Nepali knows in both calendars.
KNOWN_DAYS = {
    "1990-10-02": "1934-01-15",  # the great earthquake of 1990
    "2007-11-07": "1951-02-18",  # Democracy Day
    "2063-01-11": "2006-04-24",  # Loktantra Day
    "2065-02-15": "2008-05-28",  # Republic Day
    "2072-01-12": "2015-04-25",  # the Gorkha earthquake
    "2072-06-03": "2015-09-20",  # the constitution
    "2082-06-06": "2025-09-22",  # Ghatasthapana
    "2083-08-05": "2026-11-21",
}


@pytest.mark.parametrize(("year", "ad"), NEW_YEARS.items())
def test_new_year_falls_on_the_published_day(year: int, ad: str) -> None:
    assert to_ad(BSDate(year, 1, 1)) == date.fromisoformat(ad)


@pytest.mark.parametrize(("bs", "ad"), KNOWN_DAYS.items())
def test_known_days_convert_both_ways(bs: str, ad: str) -> None:
    assert to_bs(date.fromisoformat(ad)).isoformat() == bs
    assert to_ad(parse(bs)).isoformat() == ad


def test_every_day_of_the_table_survives_the_round_trip_in_order() -> None:
    expected_ad = FIRST_AD
    for year in range(FIRST.year, LAST.year + 1):
        for month, days in enumerate(month_lengths(year), start=1):
            for day in range(1, days + 1):
                bs = BSDate(year, month, day)
                assert to_ad(bs) == expected_ad
                assert to_bs(expected_ad) == bs
                expected_ad += timedelta(days=1)
    assert expected_ad == LAST_AD + timedelta(days=1)


def test_the_table_holds_183_years_of_365_or_366_days() -> None:
    years = range(1975, 2158)
    assert (FIRST.year, LAST.year) == (1975, 2157)
    assert all(len(month_lengths(year)) == len(MONTHS) == 12 for year in years)
    assert all(29 <= days <= 32 for year in years for days in month_lengths(year))
    assert {sum(month_lengths(year)) for year in years} == {365, 366}


def test_bounds_of_the_table() -> None:
    assert (FIRST.isoformat(), FIRST_AD.isoformat()) == ("1975-01-01", "1918-04-13")
    assert to_ad(LAST) == LAST_AD
    assert to_bs(FIRST_AD) == FIRST
    assert to_bs(LAST_AD) == LAST


@pytest.mark.parametrize("day", [FIRST_AD - timedelta(days=1), LAST_AD + timedelta(days=1)])
def test_days_beyond_the_table_are_refused(day: date) -> None:
    with pytest.raises(OutsideCalendar):
        to_bs(day)


@pytest.mark.parametrize(
    ("year", "month", "day"),
    [
        (1974, 12, 1),
        (2158, 1, 1),
        (2083, 0, 1),
        (2083, 13, 1),
        (2083, 1, 0),
        (2083, 1, -1),
        (2083, 1, 32),
        (2062, 1, 31),
    ],
)
def test_days_that_do_not_exist_are_refused(year: int, month: int, day: int) -> None:
    with pytest.raises(OutsideCalendar):
        BSDate(year, month, day)


@pytest.mark.parametrize(
    "text",
    ["2083-08-05", "2083-8-5", "२०८३-०८-०५", "२०८३/८/५", "2083.08.05", "  २०८३-08-5 "],
)
def test_dates_are_read_in_both_scripts(text: str) -> None:
    assert parse(text) == BSDate(2083, 8, 5)


@pytest.mark.parametrize(
    "text",
    ["", "2083", "2083-08", "83-08-05", "2083-08/05", "05-08-2083", "2083-08-05T00:00", "x" * 99],
)
def test_other_text_is_no_date(text: str) -> None:
    with pytest.raises(ValueError, match="not a Bikram Sambat date"):
        parse(text)


def test_a_written_day_that_does_not_exist_is_told_apart_from_bad_text() -> None:
    with pytest.raises(OutsideCalendar, match="Baisakh 2083 has no day 32"):
        parse("2083-01-32")


def test_dates_are_ordered_by_time() -> None:
    days = [BSDate(2083, 8, 5), BSDate(2082, 12, 30), BSDate(2083, 7, 29)]
    assert sorted(days) == sorted(days, key=to_ad)


def test_years_after_the_last_almanac_are_provisional() -> None:
    assert not is_provisional(2083)
    assert is_provisional(2084)
    with pytest.raises(OutsideCalendar):
        is_provisional(2158)


def test_years_in_which_calendars_differ_are_marked() -> None:
    assert is_disputed(2062)
    assert not is_disputed(2082)
    with pytest.raises(OutsideCalendar):
        is_disputed(1974)


def test_months_have_names_in_both_languages() -> None:
    assert MONTHS[0] == ("Baisakh", "वैशाख")
    assert MONTHS[7].ne == "मङ्सिर"
    assert len({name.en for name in MONTHS}) == len({name.ne for name in MONTHS}) == 12
