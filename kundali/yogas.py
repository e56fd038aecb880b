"""Yogas: combinations that tradition names, each with the exact condition that held.

All count by whole signs. Those that need the lagna are left out without a birth time, and those
that count from the Moon too if its sign is not certain. A yoga that is weakened or cancelled is
reported with the reason; none is reported that did not form.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from enum import Enum
from itertools import combinations
from typing import Final

from kundali.chart import Chart
from kundali.conditions import PLANETS, Conditions
from kundali.dignity import (
    EXALTATION_SIGNS,
    OWN_SIGNS,
    Dignity,
)
from kundali.divisional import Varga
from kundali.ephemeris import Graha
from kundali.houses import DUSTHANA, KENDRA, TRIKONA
from kundali.names import Name
from kundali.phrases import Phrase, Value, in_house, in_sign, ordinal, origin_name, title, together
from kundali.zodiac import SIGN_LORDS, distance

_COMBUST_MERCURY_DEGREES: Final = 3.0


class Standing(Enum):
    """How much a yoga that formed is worth."""

    STRONG = "strong"
    FORMED = "formed"
    WEAK = "weak"
    CANCELLED = "cancelled"


@dataclass(frozen=True, slots=True)
class Yoga:
    """One yoga that formed."""

    code: str
    """Its name on the wire; sentences about it are ``yoga.<code>.name`` and ``.meaning``."""
    standing: Standing
    grahas: tuple[Graha, ...]
    causes: tuple[Phrase, ...]
    """The condition that held."""
    against: tuple[Phrase, ...] = ()
    """What weakens or cancels it."""

    @property
    def name(self) -> Name:
        """Its traditional name."""
        return title(f"yoga.{self.code}.name")

    @property
    def meaning(self) -> Phrase:
        """What tradition reads in it."""
        return Phrase(f"yoga.{self.code}.meaning")


def yogas(chart: Chart) -> tuple[Yoga, ...]:
    """Return the yogas of a chart, those of the Moon and Sun first."""
    conditions = Conditions(chart)
    rules: list[_Rule] = [*_FROM_THE_SUN]
    if chart.is_rashi_certain:
        rules += _FROM_THE_MOON
    if chart.is_time_known:
        rules += _FROM_THE_LAGNA
    return tuple(yoga for rule in rules for yoga in rule(conditions))


_Rule = Callable[[Conditions], Iterator[Yoga]]


def _phrase(code: str, **values: Value) -> Phrase:
    return Phrase(code, values)


def _gajakesari(sky: Conditions) -> Iterator[Yoga]:
    house = sky.house(Graha.JUPITER, Graha.MOON)
    if house not in KENDRA:
        return
    jupiter = sky.at(Graha.JUPITER)
    against = []
    if jupiter.is_combust:
        against.append(_phrase("combust", graha=Graha.JUPITER, degrees=jupiter.sun_distance))
    if sky.is_debilitated(Graha.JUPITER) or sky.is_unfriendly(Graha.JUPITER):
        against.append(in_sign(Graha.JUPITER, jupiter.sign, jupiter.dignity))
    yield Yoga(
        "gajakesari",
        Standing.WEAK if against else Standing.STRONG,
        (Graha.MOON, Graha.JUPITER),
        (in_house(Graha.JUPITER, house, Graha.MOON),),
        tuple(against),
    )


def _budhaditya(sky: Conditions) -> Iterator[Yoga]:
    if not sky.share_sign(Graha.SUN, Graha.MERCURY):
        return
    apart = sky.at(Graha.MERCURY).sun_distance
    near = apart <= _COMBUST_MERCURY_DEGREES
    yield Yoga(
        "budhaditya",
        Standing.WEAK if near else Standing.FORMED,
        (Graha.SUN, Graha.MERCURY),
        (together((Graha.SUN, Graha.MERCURY), sky.signs[Graha.SUN]),),
        (_phrase("combust", graha=Graha.MERCURY, degrees=apart),) if near else (),
    )


_MAHAPURUSHA: Final = {
    Graha.MARS: "ruchaka",
    Graha.MERCURY: "bhadra",
    Graha.JUPITER: "hamsa",
    Graha.VENUS: "malavya",
    Graha.SATURN: "shasha",
}


def _mahapurusha(sky: Conditions) -> Iterator[Yoga]:
    for graha, code in _MAHAPURUSHA.items():
        at, house = sky.at(graha), sky.house(graha)
        if house in KENDRA and (at.sign in OWN_SIGNS[graha] or at.sign == EXALTATION_SIGNS[graha]):
            causes = (in_sign(graha, at.sign, at.dignity), in_house(graha, house))
            yield Yoga(code, Standing.STRONG, (graha,), causes)


def _kemadruma(sky: Conditions) -> Iterator[Yoga]:
    beside = [graha for graha in PLANETS if sky.house(graha, Graha.MOON) in {12, 1, 2}]
    if beside:
        return
    against = []
    for origin in sky.origins():
        corners = tuple(graha for graha in PLANETS if sky.house(graha, origin) in KENDRA)
        if corners:
            against.append(_phrase("in_kendra", grahas=corners, origin=origin_name(origin)))
    if sky.looks_at(Graha.JUPITER, Graha.MOON):
        against.append(_phrase("aspected", graha=Graha.MOON, other=Graha.JUPITER))
    if sky.lagna is not None and sky.house(Graha.MOON) in KENDRA:
        against.append(in_house(Graha.MOON, sky.house(Graha.MOON)))
    yield Yoga(
        "kemadruma",
        Standing.CANCELLED if against else Standing.FORMED,
        (Graha.MOON,),
        (_phrase("moon_alone"),),
        tuple(against),
    )


def _beside(
    sky: Conditions, origin: Graha, codes: tuple[str, str, str], names: tuple[Name, Name]
) -> Iterator[Yoga]:
    """Yield the yoga of grahas in the second, the twelfth or both from a luminary."""
    second, twelfth = (sky.in_house(house, origin, PLANETS) for house in (2, 12))
    if not second and not twelfth:
        return
    code = codes[2] if second and twelfth else codes[0] if second else codes[1]
    causes = tuple(
        _phrase("grahas_in_house", grahas=grahas, house=name, origin=origin_name(origin))
        for grahas, name in zip((second, twelfth), names, strict=True)
        if grahas
    )
    yield Yoga(code, Standing.FORMED, (origin, *second, *twelfth), causes)


_SIDES: Final = (ordinal(2), ordinal(12))


def _beside_the_moon(sky: Conditions) -> Iterator[Yoga]:
    yield from _beside(sky, Graha.MOON, ("sunapha", "anapha", "durudhara"), _SIDES)


def _beside_the_sun(sky: Conditions) -> Iterator[Yoga]:
    yield from _beside(sky, Graha.SUN, ("veshi", "voshi", "ubhayachari"), _SIDES)


def _chandra_mangala(sky: Conditions) -> Iterator[Yoga]:
    pair = (Graha.MOON, Graha.MARS)
    if sky.share_sign(*pair):
        causes = (together(pair, sky.signs[Graha.MOON]),)
        yield Yoga("chandra_mangala", Standing.FORMED, pair, causes)


_THREE_KIND: Final = (Graha.MERCURY, Graha.JUPITER, Graha.VENUS)


def _adhi(sky: Conditions) -> Iterator[Yoga]:
    for origin in sky.origins():
        houses = {graha: sky.house(graha, origin) for graha in _THREE_KIND}
        if set(houses.values()) <= {6, 7, 8}:
            causes = tuple(in_house(graha, house, origin) for graha, house in houses.items())
            yield Yoga("adhi", Standing.FORMED, _THREE_KIND, causes)


def _amala(sky: Conditions) -> Iterator[Yoga]:
    for origin in sky.origins():
        tenth = sky.in_house(10, origin)
        if tenth and set(tenth) <= sky.benefics:
            cause = _phrase(
                "only_benefics",
                grahas=tenth,
                house=ordinal(10),
                origin=origin_name(origin),
            )
            yield Yoga("amala", Standing.FORMED, tenth, (cause,))


_GROWING: Final = frozenset({3, 6, 10, 11})


def _vasumati(sky: Conditions) -> Iterator[Yoga]:
    kind = tuple(graha for graha in _THREE_KIND if graha in sky.benefics)
    for origin in sky.origins():
        if all(sky.house(graha, origin) in _GROWING for graha in kind):
            cause = _phrase("benefics_growing", grahas=kind, origin=origin_name(origin))
            yield Yoga("vasumati", Standing.FORMED, kind, (cause,))


def _bond(sky: Conditions, one: Graha, other: Graha) -> Phrase | None:
    """How two grahas are joined: in one sign, face to face or by exchange; none if not."""
    if sky.share_sign(one, other):
        return together((one, other), sky.signs[one])
    if sky.exchange(one, other):
        return _phrase("exchange", one=one, other=other)
    return _phrase("face", one=one, other=other) if sky.face(one, other) else None


def _lords(sky: Conditions, houses: frozenset[int]) -> dict[Graha, int]:
    """Return the lords of houses, each with the first of the houses that it rules."""
    found: dict[Graha, int] = {}
    for house in sorted(houses):
        found.setdefault(sky.lord(house), house)
    return found


def _lord_of(graha: Graha, house: int) -> Phrase:
    return _phrase("lord_of", graha=graha, house=ordinal(house))


def _raja(sky: Conditions) -> Iterator[Yoga]:
    corners, trines = _lords(sky, KENDRA), _lords(sky, TRIKONA)
    seen = set()
    for one, corner in corners.items():
        for other, trine in trines.items():
            pair = frozenset({one, other})
            if one is other or pair in seen:
                continue
            seen.add(pair)
            bond = _bond(sky, one, other)
            if bond:
                causes = (_lord_of(one, corner), _lord_of(other, trine), bond)
                yield Yoga("raja", Standing.FORMED, (one, other), causes)


def _yogakaraka(sky: Conditions) -> Iterator[Yoga]:
    corners = {sky.lord(house): house for house in (4, 7, 10)}
    for house in (5, 9):
        graha = sky.lord(house)
        if graha in corners:
            causes = (_lord_of(graha, corners[graha]), _lord_of(graha, house))
            standing = Standing.STRONG if sky.is_strong(graha) else Standing.FORMED
            yield Yoga("yogakaraka", standing, (graha,), causes)


def _dharma_karmadhipati(sky: Conditions) -> Iterator[Yoga]:
    ninth, tenth = sky.lord(9), sky.lord(10)
    bond = None if ninth is tenth else _bond(sky, ninth, tenth)
    if bond:
        causes = (_lord_of(ninth, 9), _lord_of(tenth, 10), bond)
        yield Yoga("dharma_karmadhipati", Standing.FORMED, (ninth, tenth), causes)


_VIPARITA: Final = {6: "harsha", 8: "sarala", 12: "vimala"}


def _viparita(sky: Conditions) -> Iterator[Yoga]:
    for house, code in _VIPARITA.items():
        graha = sky.lord(house)
        if sky.house(graha) in DUSTHANA:
            causes = (_lord_of(graha, house), in_house(graha, sky.house(graha)))
            yield Yoga(code, Standing.FORMED, (graha,), causes)


_EXALTED_IN: Final = {sign: graha for graha, sign in EXALTATION_SIGNS.items()}


def _neecha_bhanga(sky: Conditions) -> Iterator[Yoga]:
    for graha in EXALTATION_SIGNS:
        if not sky.is_debilitated(graha):
            continue
        at = sky.at(graha)
        causes = tuple(_raised(sky, graha, at.sign))
        if at.vargas.get(Varga.D9) == EXALTATION_SIGNS[graha]:
            causes = (*causes, _phrase("exalted_in_navamsa", graha=graha))
        if causes:
            fall = in_sign(graha, at.sign, Dignity.DEBILITATED)
            yield Yoga("neecha_bhanga", Standing.FORMED, (graha,), (fall, *causes))


def _raised(sky: Conditions, graha: Graha, sign: int) -> Iterator[Phrase]:
    """Yield what lifts a fallen graha, but for its navamsa."""
    lord = SIGN_LORDS[sign]
    helpers = [lord]
    if sign in _EXALTED_IN and _EXALTED_IN[sign] is not lord:
        helpers.append(_EXALTED_IN[sign])
    for helper in helpers:
        for origin in sky.origins():
            # From itself the Moon is always in a corner: that lifts nobody.
            if helper is not origin and sky.house(helper, origin) in KENDRA:
                yield _phrase("in_kendra", grahas=(helper,), origin=origin_name(origin))
    if sky.share_sign(graha, lord):
        yield together((graha, lord), sign)
    elif sky.looks_at(lord, graha):
        yield _phrase("aspected", graha=graha, other=lord)


def _dhana(sky: Conditions) -> Iterator[Yoga]:
    lords = _lords(sky, frozenset({2, 5, 9, 11}))
    for (one, house), (other, next_house) in combinations(lords.items(), 2):
        bond = None if sky.face(one, other) else _bond(sky, one, other)
        if bond:
            causes = (_lord_of(one, house), _lord_of(other, next_house), bond)
            yield Yoga("dhana", Standing.FORMED, (one, other), causes)


def _lakshmi(sky: Conditions) -> Iterator[Yoga]:
    ninth, first = sky.lord(9), sky.lord(1)
    house = sky.house(ninth)
    if sky.is_strong(ninth) and sky.is_strong(first) and house in KENDRA | TRIKONA:
        causes = (
            _lord_of(ninth, 9),
            in_sign(ninth, sky.signs[ninth], sky.at(ninth).dignity),
            in_house(ninth, house),
            _lord_of(first, 1),
            in_sign(first, sky.signs[first], sky.at(first).dignity),
        )
        yield Yoga("lakshmi", Standing.STRONG, tuple(dict.fromkeys((ninth, first))), causes)


_SARASWATI: Final = frozenset({1, 2, 4, 5, 7, 9, 10})
_WELCOME: Final = frozenset(
    {
        Dignity.EXALTED,
        Dignity.MOOLATRIKONA,
        Dignity.OWN,
        Dignity.GREAT_FRIEND,
        Dignity.FRIEND,
    }
)


def _saraswati(sky: Conditions) -> Iterator[Yoga]:
    houses = {graha: sky.house(graha) for graha in _THREE_KIND}
    jupiter = sky.at(Graha.JUPITER)
    if set(houses.values()) <= _SARASWATI and jupiter.dignity in _WELCOME:
        causes = (
            *(in_house(graha, house) for graha, house in houses.items()),
            in_sign(Graha.JUPITER, jupiter.sign, jupiter.dignity),
        )
        yield Yoga("saraswati", Standing.FORMED, _THREE_KIND, causes)


def _parivartana(sky: Conditions) -> Iterator[Yoga]:
    for one, other in combinations(sorted(OWN_SIGNS), 2):
        if sky.exchange(one, other):
            causes = (_phrase("exchange", one=one, other=other),)
            yield Yoga("parivartana", Standing.FORMED, (one, other), causes)


def _shakata(sky: Conditions) -> Iterator[Yoga]:
    house = sky.house(Graha.MOON, Graha.JUPITER)
    if house not in DUSTHANA:
        return
    against: tuple[Phrase, ...] = ()
    if sky.lagna is not None and sky.house(Graha.MOON) in KENDRA:
        against = (in_house(Graha.MOON, sky.house(Graha.MOON)),)
    yield Yoga(
        "shakata",
        Standing.CANCELLED if against else Standing.FORMED,
        (Graha.MOON, Graha.JUPITER),
        (in_house(Graha.MOON, house, Graha.JUPITER),),
        against,
    )


def _guru_chandala(sky: Conditions) -> Iterator[Yoga]:
    for node in (Graha.RAHU, Graha.KETU):
        if sky.share_sign(Graha.JUPITER, node):
            pair = (Graha.JUPITER, node)
            apart = distance(sky.at(Graha.JUPITER).at.longitude, sky.at(node).at.longitude)
            causes = (
                together(pair, sky.signs[node]),
                _phrase("apart", one=Graha.JUPITER, other=node, degrees=apart),
            )
            yield Yoga("guru_chandala", Standing.FORMED, pair, causes)


_FROM_THE_SUN: Final[tuple[_Rule, ...]] = (
    _budhaditya,
    _beside_the_sun,
    _guru_chandala,
    _parivartana,
)
_FROM_THE_MOON: Final[tuple[_Rule, ...]] = (
    _gajakesari,
    _chandra_mangala,
    _beside_the_moon,
    _kemadruma,
    _adhi,
    _amala,
    _vasumati,
    _shakata,
    _neecha_bhanga,
)
_FROM_THE_LAGNA: Final[tuple[_Rule, ...]] = (
    _mahapurusha,
    _raja,
    _yogakaraka,
    _dharma_karmadhipati,
    _viparita,
    _dhana,
    _lakshmi,
    _saraswati,
)
