"""When people in Nepal hold which puja: the Sun's month, the Moon's age, and the day of the week.

Festivals follow the Moon. Here her age is reckoned with the mean synodic month, which is off by up
to half a day or so: enough to spread a demo's bookings over a year, not to fix a festival's date.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from typing import Final
from zoneinfo import ZoneInfo

from kundali.bikram_sambat import to_bs
from server.domain.account import NEPAL
from server.domain.catalogue import Puja

_NEW_MOON: Final = datetime(2000, 1, 6, 18, 14, tzinfo=UTC)
_SYNODIC_MONTH: Final = timedelta(days=29.530588853)
_ZONE: Final = ZoneInfo(NEPAL)
_SATURDAY: Final = 6
_OUT_OF_SEASON: Final = 0.12
_UNKNOWN_POPULARITY: Final = 0.6


@dataclass(frozen=True, slots=True)
class MoonAge:
    """Days since the new moon that began the lunar month, and that month's number.

    A lunar month has the number of the solar (Bikram Sambat) month in which it begins; one that is
    followed by another of the same number is intercalary and has no festivals.
    """

    month: int
    days: int
    is_intercalary: bool


@dataclass(frozen=True, slots=True)
class Feast:
    """The days of a festival: from ``first`` to ``last`` day after the new moon of ``month``.

    ``month`` 0 is every month; ``demand`` is how many times the usual demand there is.
    """

    month: int
    first: int
    last: int
    demand: float


FEASTS: Final[Mapping[str, tuple[Feast, ...]]] = {
    "durga-puja": (Feast(6, 0, 9, 11.0),),
    "lakshmi-puja": (Feast(7, -2, 0, 34.0),),
    "dhanwantari-puja": (Feast(7, -4, -2, 7.0),),
    "chhath-puja": (Feast(7, 4, 7, 8.0),),
    "tulsi-bibaha": (Feast(7, 10, 15, 4.0),),
    "saraswati-puja": (Feast(10, 4, 5, 16.0),),
    "swasthani-puja": (Feast(9, 14, 30, 1.6), Feast(10, 0, 15, 2.6)),
    "shivaratri-puja": (Feast(11, -2, 0, 16.0),),
    "janai-purnima": (Feast(4, 14, 15, 18.0),),
    "krishna-janmashtami": (Feast(4, 22, 23, 9.0),),
    "teej-puja": (Feast(5, 2, 3, 16.0),),
    "rishi-panchami": (Feast(5, 4, 5, 10.0),),
    "sora-shraddha": (Feast(5, 15, 30, 6.0),),
    "tarpan": (Feast(5, 15, 30, 2.5),),
    "satyanarayan-puja": (Feast(0, 14, 15, 2.2),),
    "ekadashi-udyapan": (Feast(0, 10, 11, 3.0), Feast(0, 25, 26, 2.0)),
    "ganesh-puja": (Feast(0, 3, 4, 2.5),),
    "rudri-puja": (Feast(0, 28, 29, 2.0),),
}
_ONLY_AT_FEASTS: Final = frozenset(
    {
        "durga-puja", "lakshmi-puja", "chhath-puja", "tulsi-bibaha", "saraswati-puja",
        "swasthani-puja", "shivaratri-puja", "janai-purnima", "krishna-janmashtami",
        "teej-puja", "rishi-panchami", "sora-shraddha", "bishwakarma-puja",
    }
)  # fmt: skip
_POPULARITY: Final[Mapping[str, float]] = {
    "satyanarayan-puja": 9.0, "rudri-puja": 5.0, "griha-pravesh": 4.5, "shraddha": 4.5,
    "nwaran": 3.5, "pasni": 3.5, "birthday-puja": 3.5, "wedding-ceremony": 3.5,
    "bratabandha": 2.6, "vehicle-puja": 2.6, "ganesh-puja": 2.4, "navagraha-shanti": 2.4,
    "business-opening": 2.0, "vastu-shanti": 1.8, "engagement": 1.8, "kul-puja": 1.8,
    "shuddhi-shanti": 1.6, "hanuman-puja": 1.5, "shilanyas": 1.5, "ekadashi-udyapan": 1.3,
    "chandi-path": 1.2, "chudakarma": 1.2, "shani-shanti": 1.2, "mahamrityunjaya-jaap": 1.0,
    "kaalsarpa-shanti": 0.8, "gunyu-cholo": 0.8, "ihi": 0.8, "bhagwat-saptaha": 0.5,
    "gai-daan": 0.5, "dhanwantari-puja": 0.4, "chaurasi-puja": 0.4,
}  # fmt: skip
_WEEKDAYS: Final[Mapping[tuple[str, int], float]] = {
    ("shani-shanti", _SATURDAY): 3.0,
    ("hanuman-puja", 2): 2.2,
    ("hanuman-puja", _SATURDAY): 1.6,
    ("rudri-puja", 1): 2.2,
}
"""Pujas that belong to a day of the week (ISO: 1 is Monday)."""
_BISHWAKARMA: Final = (6, 1)
"""The one festival here that follows the Sun."""
_MONTHS: Final = (1.25, 1.1, 0.85, 1.0, 0.85, 1.05, 1.2, 1.35, 0.55, 1.15, 1.35, 0.7)
"""How much is held in each solar month; Poush has no auspicious days."""
_OF_DAYS: Final = (1.0, 0.85, 0.85, 0.85, 0.9, 1.7, 1.1)
"""How much families like each weekday, from Monday; Saturday is the holiday."""


def moon_ages(day: date) -> tuple[MoonAge, MoonAge]:
    """The Moon's age at noon in Nepal, and the same counted back from the next new moon.

    The second is below zero: a festival may begin before the new moon after which it is named.
    """
    noon = datetime.combine(day, time(12), _ZONE)
    count = math.floor((noon - _NEW_MOON) / _SYNODIC_MONTH)
    began, ends, later = (_new_moon_day(count + ahead) for ahead in range(3))
    months = [to_bs(each).month for each in (began, ends, later)]
    return (
        MoonAge(months[0], (day - began).days, months[0] == months[1]),
        MoonAge(months[1], (day - ends).days, months[1] == months[2]),
    )


def demand_on(day: date, pujas: tuple[Puja, ...]) -> dict[str, float]:
    """How much each puja is wanted on a day, by its id; comparable between days."""
    solar_month = to_bs(day).month
    ages = moon_ages(day)
    general = _MONTHS[solar_month - 1] * _OF_DAYS[day.weekday()]
    wanted = {}
    for puja in pujas:
        demand = 0.0 if puja.id in _ONLY_AT_FEASTS else popularity_of(puja)
        if puja.months_bs and solar_month not in puja.months_bs:
            demand *= _OUT_OF_SEASON
        demand *= _WEEKDAYS.get((puja.id, day.isoweekday()), 1.0) * general
        wanted[puja.id] = demand + _at_feasts(puja.id, demand, ages)
    if (solar_month, to_bs(day).day) == _BISHWAKARMA and "bishwakarma-puja" in wanted:
        wanted["bishwakarma-puja"] = 24.0
    return wanted


def popularity_of(puja: Puja) -> float:
    """How much a puja is held over the whole year; that of Satyanarayan is 9."""
    return _POPULARITY.get(puja.id, _UNKNOWN_POPULARITY)


def _at_feasts(puja_id: str, usual: float, ages: tuple[MoonAge, ...]) -> float:
    extra = 0.0
    for feast in FEASTS.get(puja_id, ()):
        for age in ages:
            is_month = feast.month in (0, age.month) and not age.is_intercalary
            if is_month and feast.first <= age.days <= feast.last:
                is_rare = puja_id in _ONLY_AT_FEASTS
                extra += feast.demand if is_rare else (feast.demand - 1) * max(usual, 0.4)
    return extra


def _new_moon_day(count: int) -> date:
    return (_NEW_MOON + count * _SYNODIC_MONTH).astimezone(_ZONE).date()
