"""What a chart lets its reader choose; every result prints what was chosen."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import Final

from kundali.dignity import NodeDignity
from kundali.divisional import PARASHARA, Schools
from kundali.ephemeris import Ayanamsa, Node, Rising


class YearLength(Enum):
    """Length of a dasha's year; dates of two programs differ mostly by this and the ayanamsa."""

    JULIAN = "julian"
    """365.25 days: what most programs on the web use."""
    GREGORIAN = "gregorian"
    """365.2425 days: 0.9 days away after 120 years."""
    SIDEREAL = "sidereal"
    """365.256364 days: the Sun's return to the same star."""
    SAVANA = "savana"
    """360 days: a minority's year; it moves dates by years."""

    @property
    def days(self) -> float:
        """Days in the year."""
        return _YEAR_DAYS[self]


_YEAR_DAYS: Final = {
    YearLength.JULIAN: 365.25,
    YearLength.GREGORIAN: 365.2425,
    YearLength.SIDEREAL: 365.256364,
    YearLength.SAVANA: 360.0,
}


class ManglikHouses(Enum):
    """Houses in which Mars makes the Manglik dosha."""

    NORTH = "north"
    """1, 4, 7, 8, 12: Nepal and the north of India."""
    SOUTH = "south"
    """2, 4, 7, 8, 12: the south of India."""
    BOTH = "both"
    """1, 2, 4, 7, 8, 12: either of them."""

    @property
    def houses(self) -> frozenset[int]:
        """The houses, counted from 1."""
        return _MANGLIK_HOUSES[self]


_MANGLIK_HOUSES: Final = {
    ManglikHouses.NORTH: frozenset({1, 4, 7, 8, 12}),
    ManglikHouses.SOUTH: frozenset({2, 4, 7, 8, 12}),
    ManglikHouses.BOTH: frozenset({1, 2, 4, 7, 8, 12}),
}


@dataclass(frozen=True, slots=True)
class Options:
    """Choices of one chart."""

    ayanamsa: Ayanamsa = Ayanamsa.LAHIRI
    node: Node = Node.MEAN
    year: YearLength = YearLength.JULIAN
    node_dignity: NodeDignity = NodeDignity.TAURUS_SCORPIO
    manglik_houses: ManglikHouses = ManglikHouses.NORTH
    schools: Schools = PARASHARA
    sunrise: Rising = Rising.CENTRE


DEFAULT: Final = Options()
"""What almanacs and most astrologers of Nepal use."""
