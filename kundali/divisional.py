"""Divisional charts (vargas) after Parashara: which sign a longitude falls in, D1 to D60.

A sign of 30 degrees is cut in n parts; the rule of each chart says where the count of the parts
starts. Two charts have a second school, which `Schools` chooses: the hora that spreads over all
twelve signs instead of Cancer and Leo, and the D24 that counts even signs from Leo too.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum
from typing import Final

from kundali.zodiac import SIGN_MAS, milliarcseconds


class Varga(IntEnum):
    """The sixteen charts; the value is the number of parts of a sign."""

    D1 = 1
    D2 = 2
    D3 = 3
    D4 = 4
    D7 = 7
    D9 = 9
    D10 = 10
    D12 = 12
    D16 = 16
    D20 = 20
    D24 = 24
    D27 = 27
    D30 = 30
    D40 = 40
    D45 = 45
    D60 = 60


FINE: Final = 27
"""From this many parts on, a lagna from a time written to the minute is not reliable."""


@dataclass(frozen=True, slots=True)
class Schools:
    """Choices where teachers differ."""

    hora_over_twelve_signs: bool = False
    """D2: count the two halves over all signs (2r + k) instead of Leo and Cancer."""
    siddhamsa_even_from_leo: bool = False
    """D24: count even signs from Leo like odd ones, instead of from Cancer."""


PARASHARA: Final = Schools()

_ARIES, _TAURUS, _GEMINI, _CANCER, _LEO, _VIRGO, _LIBRA = range(7)
_SCORPIO, _SAGITTARIUS, _CAPRICORN, _AQUARIUS, _PISCES = range(7, 12)


def _by_quality(movable: int, fixed: int, dual: int) -> tuple[int, ...]:
    return (movable, fixed, dual) * 4


def _by_oddness(odd: int, even: int) -> tuple[int, ...]:
    return (odd, even) * 6


def _by_element(fire: int, earth: int, air: int, water: int) -> tuple[int, ...]:
    return (fire, earth, air, water) * 3


_STARTS: Final[dict[Varga, tuple[int, ...]]] = {
    Varga.D1: tuple(range(12)),
    Varga.D3: tuple(range(12)),
    Varga.D4: tuple(range(12)),
    Varga.D7: tuple((sign + 6 * (sign % 2)) % 12 for sign in range(12)),
    Varga.D9: tuple(9 * sign % 12 for sign in range(12)),
    Varga.D10: tuple((sign + 8 * (sign % 2)) % 12 for sign in range(12)),
    Varga.D12: tuple(range(12)),
    Varga.D16: _by_quality(_ARIES, _LEO, _SAGITTARIUS),
    Varga.D20: _by_quality(_ARIES, _SAGITTARIUS, _LEO),
    Varga.D24: _by_oddness(_LEO, _CANCER),
    Varga.D27: _by_element(_ARIES, _CANCER, _LIBRA, _CAPRICORN),
    Varga.D40: _by_oddness(_ARIES, _LIBRA),
    Varga.D45: _by_quality(_ARIES, _LEO, _SAGITTARIUS),
    Varga.D60: tuple(range(12)),
}
"""Sign that the first part of each sign falls in."""
_STEPS: Final = {Varga.D3: 4, Varga.D4: 3}
"""Signs from one part to the next, where it is not one."""
_SIDDHAMSA_FROM_LEO: Final = _by_oddness(_LEO, _LEO)
_TRIMSAMSA: Final = (
    ((5, _ARIES), (10, _AQUARIUS), (18, _SAGITTARIUS), (25, _GEMINI), (30, _LIBRA)),
    ((5, _TAURUS), (12, _VIRGO), (20, _PISCES), (25, _CAPRICORN), (30, _SCORPIO)),
)
"""D30's unequal parts, by their ends in degrees: of odd signs, of even signs."""
_DEGREE_MAS: Final = 3_600_000


def _trimsamsa_by_degree() -> tuple[tuple[int, ...], ...]:
    return tuple(
        tuple(next(sign for end, sign in parts if degree < end) for degree in range(30))
        for parts in _TRIMSAMSA
    )


_TRIMSAMSA_SIGNS: Final = _trimsamsa_by_degree()
_RULES: Final = tuple(
    (varga, _STARTS[varga], _STEPS.get(varga, 1)) for varga in Varga if varga in _STARTS
)


def varga_sign(varga: Varga, longitude: float, schools: Schools = PARASHARA) -> int:
    """Sign, 0 to 11, that a longitude falls in."""
    sign, rest = divmod(milliarcseconds(longitude), SIGN_MAS)
    if varga is Varga.D30:
        return _TRIMSAMSA_SIGNS[sign % 2][rest // _DEGREE_MAS]
    part = rest * varga // SIGN_MAS
    if varga is Varga.D2:
        return _hora(sign, part, schools)
    starts = _STARTS[varga]
    if varga is Varga.D24 and schools.siddhamsa_even_from_leo:
        starts = _SIDDHAMSA_FROM_LEO
    return (starts[sign] + part * _STEPS.get(varga, 1)) % 12


def _hora(sign: int, part: int, schools: Schools) -> int:
    if schools.hora_over_twelve_signs:
        return (2 * sign + part) % 12
    return _CANCER if (sign + part) % 2 else _LEO


def varga_degrees(varga: Varga, longitude: float) -> float:
    """Degrees within the sign of a divisional chart, 0 <= x < 30."""
    return longitude * varga % 30.0


def varga_signs(longitude: float, schools: Schools = PARASHARA) -> dict[Varga, int]:
    """Sign of a longitude in each of the sixteen charts."""
    sign, rest = divmod(milliarcseconds(longitude), SIGN_MAS)
    signs = {
        varga: (starts[sign] + rest * varga // SIGN_MAS * step) % 12
        for varga, starts, step in _RULES
    }
    signs[Varga.D2] = _hora(sign, rest * 2 // SIGN_MAS, schools)
    signs[Varga.D30] = _TRIMSAMSA_SIGNS[sign % 2][rest // _DEGREE_MAS]
    if schools.siddhamsa_even_from_leo:
        signs[Varga.D24] = (_LEO + rest * 24 // SIGN_MAS) % 12
    return signs


def is_vargottama(longitude: float) -> bool:
    """Whether a longitude keeps its sign in the navamsa."""
    return varga_sign(Varga.D9, longitude) == varga_sign(Varga.D1, longitude)
