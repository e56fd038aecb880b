"""Where a longitude falls: sign, nakshatra, pada, and who rules them.

Numbers count from 0: sign 0 is Aries, nakshatra 0 Ashwini, pada 0 the first quarter. Boundaries
are exact: a longitude is taken as a whole number of milliarc-seconds, and one that stands on a
boundary belongs to what begins there.
"""

from __future__ import annotations

from typing import Any, Final, NamedTuple

from kundali.ephemeris import Graha
from kundali.names import Name, read_table

SIGNS: Final = 12
NAKSHATRAS: Final = 27
PADAS: Final = 108

CIRCLE_MAS: Final = 1_296_000_000
"""Milliarc-seconds in a circle."""
SIGN_MAS: Final = CIRCLE_MAS // SIGNS
PADA_MAS: Final = CIRCLE_MAS // PADAS
PADA_DEGREES: Final = 360.0 / PADAS
"""3 degrees 20 minutes."""

SIGN_LORDS: Final = tuple(Graha[row["lord"].upper()] for row in read_table("names")["rashis"])
"""Ruler of each sign from Aries on."""


class Nakshatra(NamedTuple):
    """A lunar mansion of 13 degrees 20 minutes and its classes."""

    name: Name
    lord: Graha
    """Ruler in the Vimshottari order."""
    deity: Name
    yoni: Name
    gana: Name
    nadi: Name
    syllables: tuple[str, str, str, str]
    """First syllable of a name given to a child, pada by pada, in Devanagari."""


def _nakshatra(row: dict[str, Any]) -> Nakshatra:
    first, second, third, fourth = row["name_syllables_by_pada"]
    return Nakshatra(
        name=Name(row["en"], row["ne"]),
        lord=Graha[row["vimshottari_lord"].upper()],
        deity=Name(row["deity"], row["deity_ne"]),
        yoni=Name(row["yoni"], row["yoni_ne"]),
        gana=Name(row["gana"], row["gana_ne"]),
        nadi=Name(row["nadi"], row["nadi_ne"]),
        syllables=(first, second, third, fourth),
    )


NAKSHATRA_TABLE: Final = tuple(_nakshatra(row) for row in read_table("nakshatras")["nakshatras"])
"""The mansions from Ashwini on."""


def milliarcseconds(longitude: float) -> int:
    """Longitude as whole milliarc-seconds, 0 <= x < `CIRCLE_MAS`."""
    return round(longitude * 3_600_000) % CIRCLE_MAS


def sign_of(longitude: float) -> int:
    """Sign of a longitude, 0 to 11."""
    return milliarcseconds(longitude) // SIGN_MAS


def nakshatra_of(longitude: float) -> int:
    """Nakshatra of a longitude, 0 to 26."""
    return milliarcseconds(longitude) // (4 * PADA_MAS)


def pada_of(longitude: float) -> int:
    """Quarter of its nakshatra that a longitude stands in, 0 to 3."""
    return milliarcseconds(longitude) // PADA_MAS % 4


def part_of_nakshatra(longitude: float) -> float:
    """How much of its nakshatra a longitude has run through, 0 <= part < 1."""
    return longitude % 360.0 * NAKSHATRAS / 360.0 % 1.0


def house_from(sign: int, origin: int) -> int:
    """Whole-sign house of a sign counted from another, 1 to 12."""
    return (sign - origin) % SIGNS + 1


def distance(one: float, other: float) -> float:
    """Angle between two longitudes, 0 to 180."""
    return abs((one - other + 180.0) % 360.0 - 180.0)


class Gandanta(NamedTuple):
    """A junction of water and fire: the last pada of Cancer, Scorpio, Pisces, and the next."""

    degrees_from_junction: float
    is_strict: bool
    """Within 48 minutes of arc, the narrow definition."""


def gandanta_of(longitude: float) -> Gandanta | None:
    """Junction that a longitude stands in, or none."""
    away = (longitude + 60.0) % 120.0 - 60.0
    # The junctions are 0, 120 and 240: ends of Pisces, Cancer and Scorpio.
    if not -PADA_DEGREES <= away < PADA_DEGREES:
        return None
    return Gandanta(abs(away), abs(away) <= 0.8)
