"""Houses: whole signs, and Sripati's unequal ones.

Whole-sign houses need the lagna's sign alone and hold at any latitude. Sripati's middles are the
cusps of Porphyry: ascendant and midheaven, with the arcs between them cut in three. A house runs
between the points half way to the neighbouring middles.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Final

from kundali.ephemeris import Angles

KENDRA: Final = frozenset({1, 4, 7, 10})
"""The corners."""
TRIKONA: Final = frozenset({1, 5, 9})
"""The trines."""
DUSTHANA: Final = frozenset({6, 8, 12})
"""The houses of hardship."""


@dataclass(frozen=True, slots=True)
class SripatiHouses:
    """Twelve unequal houses, sidereal degrees; index 0 is the first house."""

    starts: tuple[float, ...]
    """Where each house begins (sandhi)."""
    middles: tuple[float, ...]
    """Where each house is strongest (madhya)."""

    def house_of(self, longitude: float) -> int:
        """House, 1 to 12, that a longitude stands in."""
        first = self.starts[0]
        away = (longitude - first) % 360.0
        house = 1
        while house < 12 and (self.starts[house] - first) % 360.0 <= away:
            house += 1
        return house


def sripati(angles: Angles) -> SripatiHouses:
    """Sripati's houses of an ascendant and a midheaven."""
    middles = _porphyry(angles)
    starts = tuple(
        _between(middles[house - 1], middles[house], 0.5) for house in range(len(middles))
    )
    return SripatiHouses(starts, middles)


def _porphyry(angles: Angles) -> tuple[float, ...]:
    ascendant, midheaven = angles
    corners: Sequence[float] = (
        ascendant,
        (midheaven + 180.0) % 360.0,
        (ascendant + 180.0) % 360.0,
        midheaven,
        ascendant,
    )
    return tuple(
        _between(start, end, part / 3) for start, end in pairwise(corners) for part in range(3)
    )


def _between(start: float, end: float, part: float) -> float:
    """Point a part of the way from one longitude forward to another."""
    return (start + (end - start) % 360.0 * part) % 360.0
