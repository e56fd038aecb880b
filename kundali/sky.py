"""Two skies, and the limbs of the calendar (angas) that Sun and Moon make in them.

``surya`` is the sky of the printed calendar of Nepal (`kundali.surya`); ``drik`` is the one that
modern astronomy sees (`kundali.ephemeris`). The same day can bear another lunar day in either, so
every answer of the package names the one that it used.

An anga is a share of a circle that some sum of the two longitudes runs through: a tithi is 12
degrees of Moon less Sun, a karana 6, a nakshatra 13°20' of the Moon, a yoga 13°20' of Sun and Moon
together. All of them only ever grow, so each anga is one unbroken span of time and the spans lie
end to end.

Instants are Julian Days in Universal Time (`kundali.julian`).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from enum import Enum, StrEnum
from typing import Final, NamedTuple

from kundali import surya
from kundali.ephemeris import Ayanamsa, sun_and_moon


class Siddhanta(StrEnum):
    """Which reckoning of Sun and Moon."""

    SURYA = "surya"
    DRIK = "drik"


@dataclass(frozen=True, slots=True)
class Sky:
    """Sidereal longitudes of Sun and Moon by one reckoning.

    Parameters
    ----------
    ayanamsa
        Where the zodiac begins, in the modern sky alone: the Surya Siddhanta has its own.
    """

    siddhanta: Siddhanta
    ayanamsa: Ayanamsa = Ayanamsa.LAHIRI

    def sun_and_moon(self, julian_day_ut: float) -> tuple[float, float]:
        """Longitudes in degrees, 0 <= x < 360.

        Raises
        ------
        OutsideEphemeris
            In the modern sky, if its ephemeris does not cover the instant.
        """
        if self.siddhanta is Siddhanta.DRIK:
            return sun_and_moon(julian_day_ut, self.ayanamsa)
        return surya.sun_longitude(julian_day_ut), surya.moon_longitude(julian_day_ut)


SURYA: Final = Sky(Siddhanta.SURYA)
"""The sky of Nepal's printed calendar."""
DRIK: Final = Sky(Siddhanta.DRIK)
"""The modern sky, counted from the Lahiri ayanamsa."""


class _Share(NamedTuple):
    """``moon`` * Moon + ``sun`` * Sun, cut into ``parts`` equal parts of the circle."""

    moon: int
    sun: int
    parts: int


class Anga(Enum):
    """What to cut time by; each is numbered from 1."""

    TITHI = _Share(1, -1, 30)
    """1 to 15 in the bright half (Shukla), 16 to 30 in the dark (Krishna)."""
    KARANA = _Share(1, -1, 60)
    """Half a tithi."""
    NAKSHATRA = _Share(1, 0, 27)
    """Of the Moon, from Ashwini."""
    YOGA = _Share(1, 1, 27)
    """From Vishkambha."""
    LUNATION = _Share(1, -1, 1)
    """From new moon to new moon."""
    SUN_SIGN = _Share(0, 1, 12)
    """From Mesha: its starts are the sankrantis."""
    MOON_SIGN = _Share(1, 0, 12)
    """From Mesha."""
    SUN_NAKSHATRA = _Share(0, 1, 27)
    """Of the Sun, from Ashwini."""


class Span(NamedTuple):
    """One anga and the time it takes: ``start <= instant < end``."""

    number: int
    start: float
    end: float


# A millionth of a degree of the slowest, the Sun, takes a tenth of a second.
_CLOSE_DEGREES: Final = 1e-6
_MOST_STEPS: Final = 40


def angle(sky: Sky, anga: Anga, julian_day_ut: float) -> float:
    """Return the angle that an anga is a share of, in degrees, 0 <= x < 360."""
    sun, moon = sky.sun_and_moon(julian_day_ut)
    return (anga.value.moon * moon + anga.value.sun * sun) % 360.0


def number_at(sky: Sky, anga: Anga, julian_day_ut: float) -> int:
    """Return the number of the anga that runs at an instant, from 1."""
    return _number(anga, angle(sky, anga, julian_day_ut))


def _number(anga: Anga, degrees: float) -> int:
    # Rounding may lift the product to the count itself just below the full circle.
    return int(degrees * anga.value.parts / 360.0) % anga.value.parts + 1


def _rate(anga: Anga) -> float:
    """Mean motion in degrees a day."""
    return anga.value.moon * surya.MOON_RATE + anga.value.sun * surya.SUN_RATE


def _reach(sky: Sky, anga: Anga, target: float, guess: float) -> float:
    """Return the instant, near a guess, at which the angle comes to ``target`` degrees.

    The secant method: the motion never stands still nor turns, and a guess lies within half a
    circle of the answer, so that the way to it is known by its sign.
    """
    rate = _rate(anga)
    instant = guess
    ahead = _ahead(target, angle(sky, anga, instant))
    for _ in range(_MOST_STEPS):
        if abs(ahead) < _CLOSE_DEGREES:
            return instant
        step = ahead / rate
        left = _ahead(target, angle(sky, anga, instant + step))
        if left != ahead:
            rate = (ahead - left) / step
        instant, ahead = instant + step, left
    raise ArithmeticError(f"{anga.name} does not come to {target} near {guess}")


def _ahead(target: float, degrees: float) -> float:
    return (target - degrees + 180.0) % 360.0 - 180.0


def spans(sky: Sky, anga: Anga, start: float, end: float) -> tuple[Span, ...]:
    """Return every span that has time in ``start <= instant < end``, in order, in full length.

    The first begins at or before ``start``, the last ends at or after ``end``; each begins where
    the one before ends. Ends are right to a tenth of a second for what the Moon makes.

    Raises
    ------
    OutsideEphemeris
        In the modern sky, if its ephemeris does not cover the time.
    """
    return tuple(_spans(sky, anga, start, end))


def _spans(sky: Sky, anga: Anga, start: float, end: float) -> Iterator[Span]:
    count = anga.value.parts
    width = 360.0 / count
    rate = _rate(anga)
    degrees = angle(sky, anga, start)
    number = _number(anga, degrees)
    began = _reach(sky, anga, (number - 1) * width, start - (degrees % width) / rate)
    while began < end:
        ends = _reach(sky, anga, number * width % 360.0, began + width / rate)
        # What is solved to a tenth of a second may put a span's end just before the start.
        if ends > start:
            yield Span(number, began, ends)
        began, number = ends, number % count + 1


def span_at(sky: Sky, anga: Anga, julian_day_ut: float) -> Span:
    """Return the span that an instant lies in.

    Raises
    ------
    OutsideEphemeris
        In the modern sky, if its ephemeris does not cover the time.
    """
    return next(_spans(sky, anga, julian_day_ut, julian_day_ut + 1e-9))
