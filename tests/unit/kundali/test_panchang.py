"""The almanac of a day: what runs, when it ends, and what the hours are good for."""

from __future__ import annotations

from datetime import date, datetime, timedelta
from itertools import pairwise
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kundali.bikram_sambat import BSDate, OutsideCalendar, month_lengths
from kundali.ephemeris import NoSunrise, Place
from kundali.names import KARANAS
from kundali.panchang import (
    MOST_DAYS,
    Limb,
    Period,
    TooManyDays,
    karana_name,
    panchang,
    panchang_of_bs_month,
    panchangs,
)
from kundali.sky import DRIK, SURYA, Siddhanta
from kundali.solar_day import NEPAL
from tests.unit.kundali.support import read

LONDON = Place(51.5074, -0.1278)
TROMSO = Place(69.6492, 18.9553)
DAYS = st.dates(date(1950, 1, 1), date(2100, 12, 31))


def clock(day: date, text: str) -> datetime:
    return datetime.combine(day, datetime.strptime(text, "%H:%M").time(), NEPAL)  # noqa: DTZ007


@pytest.mark.parametrize(
    "case", read("cases")["sunrise_kathmandu_published"]["cases"], ids=lambda each: each["date"]
)
def test_sunrise_and_sunset_are_the_printed_ones_within_three_minutes(case):
    day = date.fromisoformat(case["date"])
    almanac = panchang(day)
    for given_, printed in ((almanac.sunrise, "sunrise"), (almanac.sunset, "sunset")):
        assert abs(given_ - clock(day, case[printed])) <= timedelta(minutes=3)


@pytest.mark.parametrize("sky", [SURYA, DRIK], ids=["surya", "drik"])
@settings(max_examples=20, deadline=None)
@given(first=DAYS)
def test_each_kind_covers_the_day_without_gap(sky, first):
    for almanac in panchangs(first, first + timedelta(days=1), sky=sky):
        for limbs in (
            almanac.tithis,
            almanac.nakshatras,
            almanac.yogas,
            almanac.karanas,
            almanac.moon_signs,
        ):
            assert limbs[0].start <= almanac.sunrise < limbs[0].end
            assert limbs[-1].start < almanac.next_sunrise <= limbs[-1].end
            assert all(one.end == other.start for one, other in pairwise(limbs))


@given(first=DAYS)
@settings(max_examples=20, deadline=None)
def test_a_day_within_a_stretch_is_the_day_alone(first):
    stretch = panchangs(first, first + timedelta(days=3))
    alone = panchang(first + timedelta(days=2))

    def told(limbs: tuple[Limb, ...]) -> list[tuple[int, int]]:
        return [(each.number, round(each.end.timestamp())) for each in limbs]

    for one, other in (
        (stretch[2].tithis, alone.tithis),
        (stretch[2].yogas, alone.yogas),
        (stretch[2].karanas, alone.karanas),
    ):
        assert [number for number, _ in told(one)] == [number for number, _ in told(other)]
        assert all(
            abs(here - there) <= 1
            for (_, here), (_, there) in zip(told(one), told(other), strict=True)
        )
    assert stretch[2].masa == alone.masa
    assert stretch[2].rahu_kaal == alone.rahu_kaal


def test_a_day_as_nepal_prints_it():
    day = panchang(date(2025, 9, 22))
    assert (day.siddhanta, day.risings) == (Siddhanta.SURYA, Siddhanta.DRIK)
    assert day.bs == BSDate(2082, 6, 6)
    assert not day.is_provisional
    assert day.vara_name.ne == "सोमबार"
    assert [each.name.ne for each in day.tithis] == ["प्रतिपदा", "द्वितीया"]
    assert day.tithis[0].end.strftime("%d %H:%M") == "23 01:21"
    assert [each.name.en for each in day.nakshatras] == ["Uttara Phalguni", "Hasta"]
    assert [each.name.en for each in day.karanas] == ["Kimstughna", "Bava", "Balava"]
    assert (day.masa.amanta_name.ne, day.paksha_name.ne) == ("आश्विन", "शुक्ल")
    assert (day.shaka_year, day.nepal_sambat) == (1947, 1145)
    assert day.ayana.en == "Dakshinayana"
    assert day.moonrise is not None
    assert day.moonset is not None
    assert day.moonrise < day.moonset


def test_the_two_skies_may_differ_on_the_tithi_of_a_day():
    day = date(2025, 10, 28)
    printed, modern = panchang(day), panchang(day, sky=DRIK)
    assert modern.siddhanta is Siddhanta.DRIK
    assert printed.tithis[0].number != modern.tithis[0].number
    assert printed.sunrise == modern.sunrise


# Sunday 4 January 2026 and on: the eighths that every almanac gives.
@pytest.mark.parametrize(
    ("ahead", "rahu", "yama", "gulika"),
    [
        (0, 8, 5, 7),
        (1, 2, 4, 6),
        (2, 7, 3, 5),
        (3, 5, 2, 4),
        (4, 6, 1, 3),
        (5, 4, 7, 2),
        (6, 3, 6, 1),
    ],
)
def test_the_evil_eighths_follow_the_weekday(ahead, rahu, yama, gulika):
    day = panchang(date(2026, 1, 4) + timedelta(days=ahead))
    assert day.vara == ahead

    def part(period: Period) -> float:
        eighth = (day.sunset - day.sunrise) / 8
        assert abs(period.end - period.start - eighth) < timedelta(seconds=1)
        return (period.end - day.sunrise) / eighth

    assert part(day.rahu_kaal) == pytest.approx(rahu, abs=0.01)
    assert part(day.yamaganda) == pytest.approx(yama, abs=0.01)
    assert part(day.gulika) == pytest.approx(gulika, abs=0.01)


def test_abhijit_lies_about_noon_and_brahma_muhurta_before_dawn():
    day = panchang(date(2026, 3, 20))
    noon = day.sunrise + (day.sunset - day.sunrise) / 2
    assert day.abhijit.start < noon < day.abhijit.end
    assert noon - day.abhijit.start == pytest.approx(
        day.abhijit.end - noon, abs=timedelta(seconds=1)
    )
    # Nights are twelve hours at the equinox: a muhurta is 48 minutes.
    muhurta = timedelta(minutes=48)
    assert day.sunrise - day.brahma_muhurta.end == pytest.approx(muhurta, abs=timedelta(seconds=30))
    assert day.brahma_muhurta.end - day.brahma_muhurta.start == pytest.approx(
        muhurta, abs=timedelta(seconds=30)
    )


def test_choghadiyas_cover_day_and_night():
    day = panchang(date(2026, 1, 4))
    assert len(day.choghadiyas) == 16
    assert day.choghadiyas[0].start == day.sunrise
    assert day.choghadiyas[8].start == day.sunset
    assert day.choghadiyas[8].is_night
    assert day.choghadiyas[-1].end == day.next_sunrise
    assert all(one.end == other.start for one, other in pairwise(day.choghadiyas))
    assert [each.name.en for each in day.choghadiyas[:3]] == ["Udveg", "Char", "Labh"]
    assert {each.name.en for each in day.choghadiyas if not each.is_good} == {
        "Udveg",
        "Kaal",
        "Rog",
    }


def test_a_lost_tithi_and_a_repeated_one_are_told():
    # Dashain of 2024 lost Navami to Ashtami's day; that of 2026 had Ashtami twice over.
    lost = [each for each in panchangs(date(2024, 10, 1), date(2024, 10, 31)) if each.lost_tithis]
    assert all(each.tithis[1].number in each.lost_tithis for each in lost)
    for one, other in pairwise(panchangs(date(2026, 10, 1), date(2026, 10, 31))):
        step = (other.tithis[0].number - one.tithis[0].number) % 30
        assert step == 1 + len(one.lost_tithis) - other.is_tithi_repeated


def test_an_adhika_month_is_named_and_not_doubled_in_purnimanta():
    day = panchang(date(2026, 6, 10))
    assert day.masa.is_adhika
    assert day.paksha_name.en == "Krishna"
    assert (day.masa.amanta_name.en, day.masa.purnimanta_name.en) == ("Jyeshtha", "Jyeshtha")


def test_a_lost_month_is_named():
    day = panchang(date(1983, 1, 20))
    assert day.masa.lost_name is not None
    assert (day.masa.amanta_name.en, day.masa.lost_name.en) == ("Pausha", "Magha")


@pytest.mark.parametrize(
    ("day", "shaka", "nepal_sambat"),
    [
        # Chaitra began on 30 March 2025, Kartik on 22 October 2025.
        (date(2025, 3, 28), 1946, 1145),
        (date(2025, 3, 31), 1947, 1145),
        (date(2025, 10, 20), 1947, 1145),
        (date(2025, 10, 23), 1947, 1146),
        (date(2026, 1, 2), 1947, 1146),
    ],
)
def test_eras_change_with_their_own_new_year(day, shaka, nepal_sambat):
    almanac = panchang(day)
    assert (almanac.shaka_year, almanac.nepal_sambat) == (shaka, nepal_sambat)


def test_the_eras_only_grow():
    stretch = panchangs(date(2028, 9, 1), date(2029, 6, 1))
    for era in ("shaka_year", "nepal_sambat"):
        years = [getattr(each, era) for each in stretch]
        assert years == sorted(years)
        assert len(set(years)) == 2


def test_a_sankranti_is_told_on_its_civil_day():
    day = panchang(date(2026, 1, 14))
    assert day.sankranti is not None
    assert day.sankranti.name.en == "Capricorn"
    assert day.sankranti.start.date() == day.day
    assert panchang(date(2026, 1, 15)).sankranti is None
    assert panchang(date(2026, 1, 15)).ayana.en == "Uttarayana"


def test_a_bikram_sambat_month_is_given_whole():
    month = panchang_of_bs_month(2082, 6)
    assert len(month) == month_lengths(2082)[5]
    assert [each.bs for each in month] == [BSDate(2082, 6, day) for day in range(1, len(month) + 1)]
    with pytest.raises(OutsideCalendar):
        panchang_of_bs_month(2082, 13)


def test_days_outside_the_table_have_no_bikram_sambat_date():
    day = panchang(date(1900, 1, 1))
    assert day.bs is None
    assert day.ritu is None
    assert not day.is_provisional


def test_another_place_keeps_its_own_clock_and_sunrise():
    day = panchang(date(2026, 6, 21), LONDON, ZoneInfo("Europe/London"))
    assert day.sunrise.hour == 4
    assert day.sunrise.utcoffset() == timedelta(hours=1)
    assert day.rahu_kaal.start.utcoffset() == timedelta(hours=1)


@pytest.mark.parametrize("day", [date(2026, 6, 21), date(2026, 12, 21)])
def test_where_the_sun_does_not_rise_there_is_no_day(day):
    with pytest.raises(NoSunrise):
        panchang(day, TROMSO, ZoneInfo("Europe/Oslo"))


def test_too_many_days_at_once_are_refused():
    first = date(2026, 1, 1)
    with pytest.raises(TooManyDays):
        panchangs(first, first + timedelta(days=MOST_DAYS))
    with pytest.raises(TooManyDays):
        panchangs(first, first - timedelta(days=1))


def test_karanas_are_four_fixed_ones_and_seven_in_turn():
    names = [karana_name(number) for number in range(1, 61)]
    fixed = {each.en for each in KARANAS[7:]}
    assert [each.en for each in names if each.en in fixed] == [
        "Kimstughna",
        "Shakuni",
        "Chatushpada",
        "Naga",
    ]
    assert all(names.count(each) == 8 for each in KARANAS[:7])
    assert names[1:57] == list(KARANAS[:7]) * 8
