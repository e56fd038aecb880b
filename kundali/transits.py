"""When a graha enters a sign, forward or back: ingresses, and Sade Sati made of them."""

from __future__ import annotations

from collections.abc import Callable
from enum import Enum
from itertools import pairwise
from typing import Final, NamedTuple

from kundali.ephemeris import Ayanamsa, Graha, position
from kundali.roots import crossing, root
from kundali.zodiac import house_from, sign_of

_SATURNS_STEP_DAYS: Final = 30.0
"""Half a loop of Saturn lasts four months: no station hides between two looks."""
_AFTER_DAYS: Final = 1e-4


class Stay(NamedTuple):
    """An unbroken stay of a graha in a sign, Julian days."""

    sign: int
    start: float
    end: float


def stays_of_saturn(
    start: float, end: float, ayanamsa: Ayanamsa = Ayanamsa.LAHIRI
) -> tuple[Stay, ...]:
    """Signs that Saturn stays in between two instants, in order, retrograde returns included.

    Between two stations Saturn moves one way, so each sign border is passed once: the borders are
    found to the second. The first and last stay are cut at the instants given.

    Raises
    ------
    OutsideEphemeris
        If the ephemeris does not cover the time.
    """

    def longitude(moment: float) -> float:
        return position(moment, Graha.SATURN, ayanamsa).longitude

    def speed(moment: float) -> float:
        return position(moment, Graha.SATURN, ayanamsa).speed

    turns = [start, *_zeros(speed, start, end, _SATURNS_STEP_DAYS), end]
    borders = [start]
    for one, other in pairwise(turns):
        borders += _borders(longitude, one, other)
    borders.append(end)
    return tuple(
        Stay(sign_of(longitude((one + other) / 2)), one, other)
        for one, other in pairwise(borders)
        if other - one > _AFTER_DAYS
    )


def _zeros(
    function: Callable[[float], float], start: float, end: float, step: float
) -> list[float]:
    found = []
    here, value = start, function(start)
    while here < end:
        there = min(here + step, end)
        next_value = function(there)
        if (value < 0) != (next_value < 0):
            found.append(root(function, here, there))
        here, value = there, next_value
    return found


def _borders(longitude: Callable[[float], float], start: float, end: float) -> list[float]:
    """Instants at which a sign border is passed, where the motion keeps its direction."""
    first, last = longitude(start), longitude(end)
    travelled = (last - first + 180.0) % 360.0 - 180.0
    number = int(first // 30) + (travelled > 0)
    found: list[float] = []
    while True:
        target = number * 30.0 % 360.0
        to_target = (target - first + 180.0) % 360.0 - 180.0
        if travelled * to_target < 0 or abs(to_target) >= abs(travelled):
            return found
        if to_target != 0:
            found.append(crossing(longitude, target, start, end))
        number += 1 if travelled > 0 else -1


class SaturnPhase(Enum):
    """Where transiting Saturn stands from the birth Moon."""

    RISING = "rising"
    """First phase of Sade Sati: the sign before the Moon's."""
    PEAK = "peak"
    """Second phase: the Moon's own sign."""
    SETTING = "setting"
    """Third phase: the sign after the Moon's."""
    FOURTH = "fourth"
    """Small panoti (dhaiya): the fourth sign from the Moon."""
    EIGHTH = "eighth"
    """Small panoti (dhaiya): the eighth sign from the Moon."""

    @property
    def is_sade_sati(self) -> bool:
        """Whether the phase is one of the three of Sade Sati."""
        return self not in _DHAIYA


_DHAIYA: Final = frozenset({SaturnPhase.FOURTH, SaturnPhase.EIGHTH})
_PHASES: Final = {
    12: SaturnPhase.RISING,
    1: SaturnPhase.PEAK,
    2: SaturnPhase.SETTING,
    4: SaturnPhase.FOURTH,
    8: SaturnPhase.EIGHTH,
}


class SaturnStay(NamedTuple):
    """An unbroken stay of Saturn in a sign that counts from the birth Moon."""

    phase: SaturnPhase
    sign: int
    start: float
    end: float


def sade_sati(
    moon_sign: int, start: float, end: float, ayanamsa: Ayanamsa = Ayanamsa.LAHIRI
) -> tuple[SaturnStay, ...]:
    """Stays of Saturn around a birth Moon between two instants, in order.

    A phase that Saturn leaves backward and enters again is several stays.

    Raises
    ------
    OutsideEphemeris
        If the ephemeris does not cover the time.
    """
    return tuple(
        SaturnStay(_PHASES[house], stay.sign, stay.start, stay.end)
        for stay in stays_of_saturn(start, end, ayanamsa)
        if (house := house_from(stay.sign, moon_sign)) in _PHASES
    )
