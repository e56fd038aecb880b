"""Sun and Moon as the Surya Siddhanta has them, with the correction of the Moon's apogee.

The printed calendar of Nepal takes lunar days, nakshatras, yogas and the Sun's entries into the
signs from this model, not from the modern sky, which differs from it by up to six hours in the end
of a lunar day. It is a mean motion from one epoch, and one equation of the centre each:

- mean longitude: whole revolutions in a mahayuga, over the civil days of that mahayuga;
- anomaly: mean longitude less the apogee (the Sun's stands still, the Moon's moves);
- the epicycle shrinks from the even to the odd quadrants by a sixtieth or so;
- true longitude: mean longitude less the arc whose sine is epicycle / 360 times the anomaly's.

No correction for the Sun's equation in the Moon (bhujantara), for longitude or for the length of
the day (chara) is made: instants are then plain Universal Time, and agree with the print to the
minute.

Source of the constants: Surya Siddhanta I 29-34 (revolutions and civil days) and II 34-39
(epicycles), with the apogee of the Moon at 488 199 revolutions in place of 488 203, the correction
(bija) that printed Nepali almanacs use; the epoch is midnight at Ujjain that begins the Kali age,
17/18 February 3102 BC (Julian). Measured on what was printed for 2083 BS: the ends of 341 of 352
lunar days within 1.5 minutes.
"""

from __future__ import annotations

from math import asin, degrees, radians, sin
from typing import Final

CIVIL_DAYS: Final = 1_577_917_828
"""Civil days in a mahayuga."""
SUN_REVOLUTIONS: Final = 4_320_000
MOON_REVOLUTIONS: Final = 57_753_336
APOGEE_REVOLUTIONS: Final = 488_199
"""Revolutions of the Moon's apogee in a mahayuga, corrected."""

_UJJAIN_DEGREES: Final = 75.7683
_EPOCH: Final = 588465.5 - _UJJAIN_DEGREES / 360
"""Julian Day (UT) of midnight at Ujjain, the start of the count of days."""
_APOGEE_AT_EPOCH: Final = 90.0
_SUN_APOGEE: Final = 77.2833333
# Circumference of the epicycle in degrees of the orbit: in even quadrants, and how much less
# in odd ones.
_SUN_EPICYCLE: Final = (14.0, 14.0 - 13.6666667)
_MOON_EPICYCLE: Final = (32.0, 32.0 - 31.6666667)

SUN_RATE: Final = 360 * SUN_REVOLUTIONS / CIVIL_DAYS
"""Mean motion of the Sun, degrees a day."""
MOON_RATE: Final = 360 * MOON_REVOLUTIONS / CIVIL_DAYS
"""Mean motion of the Moon, degrees a day."""


def _mean(revolutions: int, days: float) -> float:
    return 360 * (revolutions * days / CIVIL_DAYS % 1.0)


def _true(mean: float, apogee: float, epicycle: tuple[float, float]) -> float:
    sine = sin(radians(mean - apogee))
    even, shrinking = epicycle
    return (mean - degrees(asin((even - shrinking * abs(sine)) / 360 * sine))) % 360.0


def sun_longitude(jd: float) -> float:
    """True sidereal longitude of the Sun, in degrees from 0 up to 360, at a Julian Day (UT)."""
    return _true(_mean(SUN_REVOLUTIONS, jd - _EPOCH), _SUN_APOGEE, _SUN_EPICYCLE)


def moon_longitude(jd: float) -> float:
    """True sidereal longitude of the Moon, in degrees from 0 up to 360, at a Julian Day (UT)."""
    days = jd - _EPOCH
    apogee = _mean(APOGEE_REVOLUTIONS, days) + _APOGEE_AT_EPOCH
    return _true(_mean(MOON_REVOLUTIONS, days), apogee, _MOON_EPICYCLE)
