"""The day of the ritual calendar, from sunrise to sunrise, and its parts.

Sunrise and sunset are the modern ones (`kundali.ephemeris`) under either sky: the printed times of
Kathmandu agree with them to half a minute on average.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, timedelta, tzinfo
from enum import Enum
from typing import Final, NamedTuple
from zoneinfo import ZoneInfo

from kundali.ephemeris import KATHMANDU, Place, daylight
from kundali.julian import civil_day

NEPAL: Final = ZoneInfo("Asia/Kathmandu")
"""The clock of Nepal: 5:45 ahead of UTC since 1986, 5:30 from 1920 on."""


class _Part(NamedTuple):
    is_night: bool
    start: float
    end: float


class DayPart(Enum):
    """Parts of the day that rites belong to.

    By day they are shares of the time from sunrise to sunset: five fifths, and the forenoon. By
    night they are shares of the time from sunset to the next sunrise: its first fifth, the middle
    one of its fifteen muhurtas, and the last two.
    """

    PRATAH = _Part(False, 0.0, 0.2)
    SANGAVA = _Part(False, 0.2, 0.4)
    MADHYAHNA = _Part(False, 0.4, 0.6)
    APARAHNA = _Part(False, 0.6, 0.8)
    SAYAHNA = _Part(False, 0.8, 1.0)
    PURVAHNA = _Part(False, 0.0, 0.5)
    PRADOSH = _Part(True, 0.0, 0.2)
    NISHITA = _Part(True, 7 / 15, 8 / 15)
    ARUNODAYA = _Part(True, 13 / 15, 1.0)


class Window(NamedTuple):
    """A time, ``start <= instant < end``, in Julian Days (UT)."""

    start: float
    end: float

    def overlap(self, start: float, end: float) -> float:
        """Days that it shares with another time, 0 for none."""
        return max(0.0, min(self.end, end) - max(self.start, start))


@dataclass(frozen=True, slots=True)
class SolarDay:
    """A civil day's sunrise, sunset and the sunrise after, in Julian Days (UT)."""

    day: date
    sunrise: float
    sunset: float
    next_sunrise: float

    def part(self, part: DayPart) -> Window:
        """Return when a part of the day lasts."""
        start, length = self.sunrise, self.sunset - self.sunrise
        if part.value.is_night:
            start, length = self.sunset, self.next_sunrise - self.sunset
        return Window(start + part.value.start * length, start + part.value.end * length)

    def share(self, number: int, count: int) -> Window:
        """Return one of so many equal parts of the daylight, numbered from 1."""
        length = (self.sunset - self.sunrise) / count
        return Window(self.sunrise + (number - 1) * length, self.sunrise + number * length)

    def night_share(self, number: int, count: int) -> Window:
        """Return one of so many equal parts of the night, numbered from 1."""
        length = (self.next_sunrise - self.sunset) / count
        return Window(self.sunset + (number - 1) * length, self.sunset + number * length)

    @property
    def vara(self) -> int:
        """Weekday that begins at this sunrise, Sunday 0."""
        return self.day.isoweekday() % 7


class SolarDays:
    """The solar days of one place; each sunrise is computed once.

    Parameters
    ----------
    place
        Where the Sun rises.
    zone
        Whose midnights bound the civil days.
    """

    def __init__(self, place: Place = KATHMANDU, zone: tzinfo = NEPAL) -> None:
        self.place = place
        self.zone = zone
        self._daylight: dict[date, tuple[float, float]] = {}

    def __call__(self, day: date) -> SolarDay:
        """Return the solar day that begins on a civil day.

        Raises
        ------
        NoSunrise
            If the Sun does not rise or set there, on this day or the next.
        OutsideEphemeris
            If the ephemeris does not cover the day.
        """
        sunrise, sunset = self._light(day)
        return SolarDay(day, sunrise, sunset, self._light(day + timedelta(days=1))[0])

    def _light(self, day: date) -> tuple[float, float]:
        if (known := self._daylight.get(day)) is None:
            known = self._daylight[day] = daylight(*civil_day(day, self.zone), self.place)
        return known
