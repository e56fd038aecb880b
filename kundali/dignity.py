"""Strength by sign: dignity, friendship, combustion, aspects, the war of planets.

All rules and numbers come from ``tables/dignity.json``. They are certain for the seven grahas;
for the nodes the texts disagree, and `NodeDignity` chooses.
"""

from __future__ import annotations

from collections.abc import Sequence
from enum import Enum, IntEnum
from typing import Final, NamedTuple

from kundali.ephemeris import Graha, Position
from kundali.names import RASHIS, read_table
from kundali.zodiac import SIGN_LORDS, distance

_RAW: Final = read_table("dignity")
_SIGN_NUMBERS: Final = {name.en: number for number, name in enumerate(RASHIS)}


class Dignity(Enum):
    """How a graha stands in a sign, best first."""

    EXALTED = "exalted"
    MOOLATRIKONA = "moolatrikona"
    OWN = "own"
    GREAT_FRIEND = "great_friend"
    FRIEND = "friend"
    NEUTRAL = "neutral"
    ENEMY = "enemy"
    GREAT_ENEMY = "great_enemy"
    DEBILITATED = "debilitated"


STRONG: Final = frozenset({Dignity.EXALTED, Dignity.MOOLATRIKONA, Dignity.OWN})
UNFRIENDLY: Final = frozenset({Dignity.ENEMY, Dignity.GREAT_ENEMY})


class NodeDignity(Enum):
    """In which signs Rahu and Ketu are exalted and debilitated: schools differ."""

    TAURUS_SCORPIO = "taurus_scorpio"
    """Rahu exalted in Taurus, Ketu in Scorpio."""
    GEMINI_SAGITTARIUS = "gemini_sagittarius"
    """Rahu exalted in Gemini, Ketu in Sagittarius."""
    NONE = "none"
    """The nodes have no dignity of their own."""


class Relation(IntEnum):
    """Natural regard of one graha for another."""

    ENEMY = -1
    NEUTRAL = 0
    FRIEND = 1


def _graha(name: str) -> Graha:
    return Graha[name.upper()]


def _natural() -> tuple[tuple[Relation, ...], ...]:
    rows = []
    for graha in Graha:
        name = graha.name.title()
        table = _RAW["natural_friendship"] | _RAW["natural_friendship_nodes_disputed"]
        friends = {_graha(other) for other in table[name]["friends"]}
        enemies = {_graha(other) for other in table[name]["enemies"]}
        rows.append(
            tuple(
                Relation.FRIEND
                if other in friends or other is graha
                else Relation.ENEMY
                if other in enemies
                else Relation.NEUTRAL
                for other in Graha
            )
        )
    return tuple(rows)


NATURAL: Final = _natural()
"""``NATURAL[one][other]``: how one graha regards the other; itself is a friend."""

EXALTATION_SIGNS: Final = {
    _graha(name): _SIGN_NUMBERS[at["sign"]] for name, at in _RAW["exaltation"].items()
}
EXALTATION_DEGREES: Final[dict[Graha, float]] = {
    _graha(name): at["deg"] for name, at in _RAW["exaltation"].items()
}
"""Degree within the sign of deepest exaltation; of deepest debilitation in the opposite sign."""
OWN_SIGNS: Final = {
    _graha(name): tuple(_SIGN_NUMBERS[sign] for sign in signs)
    for name, signs in _RAW["own"].items()
}
_MOOLATRIKONA: Final = {
    _graha(name): (_SIGN_NUMBERS[sign], low, high)
    for name, (sign, low, high) in _RAW["moolatrikona"].items()
}
_NODES_EXALTED: Final = {
    (school, _graha(name)): _SIGN_NUMBERS[_RAW["nodes_disputed"][name]["exalted"][index]]
    for index, school in enumerate((NodeDignity.TAURUS_SCORPIO, NodeDignity.GEMINI_SAGITTARIUS))
    for name in ("Rahu", "Ketu")
}
_NODES_OWN: Final = {
    _graha(name): tuple(_SIGN_NUMBERS[sign] for sign in signs)
    for name, signs in _RAW["own_nodes_disputed"].items()
}
_TEMPORAL_FRIENDS: Final = frozenset({1, 2, 3, 9, 10, 11})
_COMPOUND: Final = {
    2: Dignity.GREAT_FRIEND,
    1: Dignity.FRIEND,
    0: Dignity.NEUTRAL,
    -1: Dignity.ENEMY,
    -2: Dignity.GREAT_ENEMY,
}
_DEEP_DEGREES: Final = 1.0
_ASPECTS: Final = tuple(
    frozenset(_RAW["aspects_full"].get(graha.name.title(), _RAW["aspects_full"]["all"]))
    if graha < Graha.RAHU
    else frozenset[int]()
    for graha in Graha
)
_COMBUSTION: Final[dict[Graha, tuple[float, float]]] = {
    _graha(name): (arcs["direct"], arcs.get("retrograde", arcs["direct"]))
    for name, arcs in _RAW["combustion_orbs_deg"].items()
}
_MEAN_SPEEDS: Final = {
    # Mean geocentric motion in degrees a day; Mercury and Venus keep with the Sun.
    Graha.MARS: 0.5240,
    Graha.MERCURY: 0.9856,
    Graha.JUPITER: 0.0831,
    Graha.VENUS: 0.9856,
    Graha.SATURN: 0.0335,
}
_STATIONARY_PART: Final = 0.05
_WAR_DEGREES: Final = 1.0


def dignity_by_sign(
    graha: Graha, sign: int, degrees: float, nodes: NodeDignity = NodeDignity.TAURUS_SCORPIO
) -> Dignity | None:
    """Dignity that a graha has by its place alone, or none where its lord's friendship decides.

    Exaltation goes before moolatrikona, that before own sign; in Taurus the Moon, in Virgo
    Mercury pass from the first to the next within the sign.
    """
    if graha >= Graha.RAHU:
        return _node_dignity(graha, sign, nodes)
    root_sign, low, high = _MOOLATRIKONA[graha]
    exalted = EXALTATION_SIGNS[graha]
    if sign == exalted and (sign != root_sign or degrees < low):
        return Dignity.EXALTED
    if sign == root_sign and low <= degrees < high:
        return Dignity.MOOLATRIKONA
    if sign in OWN_SIGNS[graha]:
        return Dignity.OWN
    return Dignity.DEBILITATED if sign == (exalted + 6) % 12 else None


def _node_dignity(graha: Graha, sign: int, school: NodeDignity) -> Dignity | None:
    if school is NodeDignity.NONE:
        return None
    exalted = _NODES_EXALTED[school, graha]
    if sign == exalted:
        return Dignity.EXALTED
    if sign in _NODES_OWN[graha]:
        return Dignity.OWN
    return Dignity.DEBILITATED if sign == (exalted + 6) % 12 else None


def is_deep(graha: Graha, degrees: float) -> bool:
    """Whether a graha is within a degree of its deepest exaltation or debilitation."""
    return abs(degrees - EXALTATION_DEGREES.get(graha, -9.0)) <= _DEEP_DEGREES


def compound_relation(graha: Graha, other: Graha, signs: Sequence[int]) -> Dignity:
    """Regard of one graha for another in a chart: natural plus temporal friendship.

    A graha in the 2nd, 3rd, 4th, 10th, 11th or 12th sign from another is its friend for the time,
    in any other its enemy. ``signs`` holds the sign of each graha.
    """
    near = (signs[other] - signs[graha]) % 12 in _TEMPORAL_FRIENDS
    return _COMPOUND[NATURAL[graha][other] + (1 if near else -1)]


def dignity(
    graha: Graha,
    signs: Sequence[int],
    degrees: float,
    nodes: NodeDignity = NodeDignity.TAURUS_SCORPIO,
) -> Dignity:
    """Dignity of a graha in a chart: by place, else by its regard for the lord of its sign."""
    sign = signs[graha]
    by_sign = dignity_by_sign(graha, sign, degrees, nodes)
    return by_sign or compound_relation(graha, SIGN_LORDS[sign], signs)


def is_combust(graha: Graha, position: Position, sun_longitude: float) -> bool:
    """Whether a graha is so near the Sun in longitude that it is lost in its light."""
    arcs = _COMBUSTION.get(graha)
    if arcs is None:
        return False
    return distance(position.longitude, sun_longitude) <= arcs[position.speed < 0]


def is_stationary(graha: Graha, speed: float) -> bool:
    """Whether a graha moves at less than a twentieth of its mean speed."""
    return abs(speed) < _MEAN_SPEEDS.get(graha, 0.0) * _STATIONARY_PART


def aspects(graha: Graha, sign: int, other_sign: int) -> bool:
    """Whether a graha in a sign looks fully at another sign: by whole signs, nodes not at all."""
    return (other_sign - sign) % 12 + 1 in _ASPECTS[graha]


class War(NamedTuple):
    """Two of Mars to Saturn within one degree; the one further north wins (texts differ)."""

    winner: Graha
    loser: Graha
    degrees: float


def wars(positions: Sequence[Position]) -> tuple[War, ...]:
    """Wars among the five planets; ``positions`` is indexed by graha."""
    found = []
    for one in range(Graha.MARS, Graha.SATURN):
        for other in range(one + 1, Graha.RAHU):
            apart = distance(positions[one].longitude, positions[other].longitude)
            if apart <= _WAR_DEGREES:
                north, south = sorted((one, other), key=lambda at: -positions[at].latitude)
                found.append(War(Graha(north), Graha(south), apart))
    return tuple(found)
