"""Doshas: what tradition asks to look at, each with its condition and what softens it.

A dosha is never a bare yes. It is given with the exact condition that held, with everything that
cancels or softens it, and with a remedy that is offered, not pushed. Those that hang on the lagna
or on a degree of the Moon are left out without a birth time, and `Doshas.undecided` names them.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from enum import Enum
from typing import Final, NamedTuple

from kundali.chart import Chart
from kundali.conditions import Conditions
from kundali.dignity import STRONG
from kundali.ephemeris import Graha
from kundali.names import LAGNA, Name
from kundali.phrases import (
    Phrase,
    Value,
    in_house,
    in_sign,
    nakshatra_name,
    ordinal,
    sign_name,
    title,
    together,
)
from kundali.zodiac import distance, gandanta_of

ARIES, TAURUS, GEMINI, CANCER, LEO, VIRGO, LIBRA = range(7)
SCORPIO, SAGITTARIUS, CAPRICORN, AQUARIUS, PISCES = range(7, 12)


class Weight(Enum):
    """How much a dosha counts before what softens it."""

    HIGH = "high"
    FULL = "full"
    HALF = "half"
    QUARTER = "quarter"
    INDICATION = "indication"
    """A convention without one classical rule."""


@dataclass(frozen=True, slots=True)
class Dosha:
    """One dosha that formed."""

    code: str
    """Its name on the wire; sentences are ``dosha.<code>.name``, ``.meaning``, ``.remedy``."""
    weight: Weight
    causes: tuple[Phrase, ...]
    softened_by: tuple[Phrase, ...] = ()
    """What cancels or softens it: each is held by some teachers, so all are listed."""

    @property
    def is_softened(self) -> bool:
        """Whether at least one cancellation applies."""
        return bool(self.softened_by)

    @property
    def name(self) -> Name:
        """Its traditional name."""
        return title(f"dosha.{self.code}.name")

    @property
    def meaning(self) -> Phrase:
        """What tradition reads in it."""
        return Phrase(f"dosha.{self.code}.meaning")

    @property
    def remedy(self) -> Phrase:
        """What is customarily offered."""
        return Phrase(f"dosha.{self.code}.remedy")


class Manglik(NamedTuple):
    """Mars counted from lagna, Moon and Venus."""

    from_lagna: int | None
    """House of Mars from the lagna; none without a birth time."""
    from_moon: int | None
    """House of Mars from the Moon; none if the Moon's sign is not certain."""
    from_venus: int
    holds: tuple[Graha | None, ...]
    """Origins from which the dosha holds; none stands for the lagna."""
    softened_by: tuple[Phrase, ...]

    @property
    def weight(self) -> Weight | None:
        """How much it counts, or none if it does not hold from anywhere."""
        if None in self.holds:
            return Weight.HIGH if self.from_lagna in {7, 8} else Weight.FULL
        if Graha.MOON in self.holds:
            return Weight.HALF
        return Weight.QUARTER if self.holds else None


@dataclass(frozen=True, slots=True)
class Doshas:
    """All doshas of a chart."""

    manglik: Manglik
    found: tuple[Dosha, ...]
    undecided: tuple[str, ...]
    """Codes of the doshas that cannot be decided without a birth time."""


_NEED_THE_TIME: Final = ("kaal_sarp", "pitra", "grahan", "gandanta")


def doshas(chart: Chart) -> Doshas:
    """Return the doshas of a chart with their conditions."""
    sky = Conditions(chart)
    found = manglik(chart)
    rows = [*_manglik_dosha(found), *_gandamula(chart)]
    undecided: list[str] = []
    if chart.is_time_known:
        rows += [*_kaal_sarp(sky), *_pitra(sky), *_grahan(sky), *_gandanta(chart)]
    else:
        undecided += _NEED_THE_TIME
        undecided += () if chart.is_nakshatra_certain else ("gandamula",)
    return Doshas(found, tuple(rows), tuple(undecided))


def _phrase(code: str, **values: Value) -> Phrase:
    return Phrase(code, values)


def manglik(chart: Chart) -> Manglik:
    """Count Mars from lagna, Moon and Venus, and list what softens it."""
    sky = Conditions(chart)
    houses = chart.options.manglik_houses.houses
    from_lagna = None if sky.lagna is None else sky.house(Graha.MARS)
    from_moon = sky.house(Graha.MARS, Graha.MOON) if chart.is_rashi_certain else None
    from_venus = sky.house(Graha.MARS, Graha.VENUS)
    counted = ((None, from_lagna), (Graha.MOON, from_moon), (Graha.VENUS, from_venus))
    holds = tuple(origin for origin, house in counted if house in houses)
    softened = tuple(_softened(sky, from_lagna)) if holds else ()
    return Manglik(from_lagna, from_moon, from_venus, holds, softened)


# House of Mars from the lagna, and the signs in which it is held to do no harm there.
_HARMLESS: Final = {
    1: (ARIES,),
    2: (GEMINI, VIRGO),
    4: (SCORPIO,),
    7: (CAPRICORN, CANCER),
    8: (SAGITTARIUS, CANCER),
    12: (TAURUS, LIBRA),
}


def _softened(sky: Conditions, from_lagna: int | None) -> Iterator[Phrase]:
    mars = sky.at(Graha.MARS)
    if mars.dignity in STRONG:
        yield in_sign(Graha.MARS, mars.sign, mars.dignity)
    if sky.share_sign(Graha.MARS, Graha.JUPITER):
        yield together((Graha.MARS, Graha.JUPITER), mars.sign)
    elif sky.looks_at(Graha.JUPITER, Graha.MARS):
        yield _phrase("aspected", graha=Graha.MARS, other=Graha.JUPITER)
    if from_lagna is not None and mars.sign in _HARMLESS.get(from_lagna, ()):
        yield _phrase("mars_harmless", house=ordinal(from_lagna), sign=sign_name(mars.sign))
    if sky.lagna is not None and sky.lagna in {CANCER, LEO}:
        yield _phrase("mars_yogakaraka", sign=sign_name(sky.lagna))


def _manglik_dosha(found: Manglik) -> Iterator[Dosha]:
    if found.weight is None:
        return
    houses = {None: found.from_lagna, Graha.MOON: found.from_moon, Graha.VENUS: found.from_venus}
    causes = tuple(
        in_house(Graha.MARS, house, origin) for origin in found.holds if (house := houses[origin])
    )
    yield Dosha("manglik", found.weight, causes, found.softened_by)


def _kaal_sarp(sky: Conditions) -> Iterator[Dosha]:
    rahu = sky.at(Graha.RAHU).at.longitude
    ahead = [(sky.at(graha).at.longitude - rahu) % 360.0 for graha in Graha if graha < Graha.RAHU]
    towards_ketu = sum(degrees < 180.0 for degrees in ahead)
    if towards_ketu not in {0, len(ahead)}:
        return
    house = sky.house(Graha.RAHU)
    first, last = (Graha.RAHU, Graha.KETU) if towards_ketu else (Graha.KETU, Graha.RAHU)
    yield Dosha(
        "kaal_sarp",
        Weight.FULL,
        (
            _phrase("between_nodes", first=first, last=last),
            _phrase("kaal_sarp_kind", kind=title(f"kaal_sarp.{house}"), house=ordinal(house)),
        ),
        (_phrase("kaal_sarp_modern"),),
    )


def outside_the_nodes(chart: Chart) -> tuple[Graha, ...]:
    """Return the grahas that break a Kaal Sarp: those on the emptier side of the nodes' axis.

    None outside is Kaal Sarp; one outside is what some call partial, and is no dosha.
    """
    rahu = chart[Graha.RAHU].at.longitude
    towards_ketu = tuple(
        graha
        for graha in Graha
        if graha < Graha.RAHU and (chart[graha].at.longitude - rahu) % 360.0 < 180.0
    )
    away = tuple(graha for graha in Graha if graha < Graha.RAHU and graha not in towards_ketu)
    return min(towards_ketu, away, key=len)


_HARSH_TO_THE_FATHER: Final = (Graha.RAHU, Graha.KETU, Graha.SATURN)


def _pitra(sky: Conditions) -> Iterator[Dosha]:
    causes = [
        together((Graha.SUN, other), sky.signs[Graha.SUN])
        for other in _HARSH_TO_THE_FATHER
        if sky.share_sign(Graha.SUN, other)
    ]
    causes += [in_house(other, 9) for other in _HARSH_TO_THE_FATHER if sky.house(other) == 9]
    ninth = sky.lord(9)
    for other in _HARSH_TO_THE_FATHER:
        if other is not ninth and sky.share_sign(ninth, other):
            causes.append(_phrase("lord_of", graha=ninth, house=ordinal(9)))
            causes.append(together((ninth, other), sky.signs[ninth]))
    if causes:
        yield Dosha("pitra", Weight.INDICATION, tuple(causes))


_ECLIPSE_DEGREES: Final = 12.0


def _grahan(sky: Conditions) -> Iterator[Dosha]:
    causes = []
    for light in (Graha.SUN, Graha.MOON):
        for node in (Graha.RAHU, Graha.KETU):
            apart = distance(sky.at(light).at.longitude, sky.at(node).at.longitude)
            if apart <= _ECLIPSE_DEGREES:
                causes.append(_phrase("apart", one=light, other=node, degrees=apart))
    if causes:
        yield Dosha("grahan", Weight.INDICATION, tuple(causes))


def _gandanta(chart: Chart) -> Iterator[Dosha]:
    causes = []
    points: list[tuple[Graha | Name, float]] = [(Graha.MOON, chart.moon.at.longitude)]
    if chart.lagna is not None:
        points.append((LAGNA, chart.lagna.at.longitude))
    is_strict = False
    for who, longitude in points:
        junction = gandanta_of(longitude)
        if junction is not None:
            is_strict = is_strict or junction.is_strict
            code = "gandanta_strict" if junction.is_strict else "gandanta_wide"
            causes.append(_phrase(code, who=who, degrees=junction.degrees_from_junction))
    if causes:
        yield Dosha("gandanta", Weight.FULL if is_strict else Weight.INDICATION, tuple(causes))


GANDAMULA: Final = frozenset({0, 8, 9, 17, 18, 26})
"""Ashwini, Ashlesha, Magha, Jyeshtha, Mula, Revati."""


def _gandamula(chart: Chart) -> Iterator[Dosha]:
    if not chart.is_nakshatra_certain:
        return
    stay = chart.moon_stays[0]
    if stay.nakshatra not in GANDAMULA:
        return
    cause = _phrase("moon_nakshatra", nakshatra=nakshatra_name(stay.nakshatra))
    if chart.is_pada_certain:
        cause = _phrase("moon_pada", nakshatra=nakshatra_name(stay.nakshatra), pada=stay.pada + 1)
    yield Dosha("gandamula", Weight.INDICATION, (cause,))
