"""Matching of two charts: the eight kootas of 36 points, what cancels a fault, Manglik of both.

The tables are in ``tables/ashtakoota.json`` with what is disputed in them. Three kootas ask who is
groom and who is bride: varna, vashya and gana. For a couple without that distinction `match` takes
the mean of both directions.
Cancellations are listed beside the raw points and never added to them.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from enum import Enum
from typing import Any, Final, NamedTuple

from kundali.chart import Chart, Point, Stay, point
from kundali.dignity import NATURAL, Relation
from kundali.divisional import Varga, varga_sign
from kundali.dosha import Manglik, manglik
from kundali.ephemeris import Graha, position
from kundali.julian import SECOND
from kundali.names import Name, read_table
from kundali.phrases import Phrase, Value, nakshatra_name, sign_name, title
from kundali.zodiac import NAKSHATRA_TABLE, SIGN_LORDS

TOTAL: Final = 36


class Koota(Enum):
    """The eight kootas, in the order of their points."""

    VARNA = "varna"
    VASHYA = "vashya"
    TARA = "tara"
    YONI = "yoni"
    GRAHA_MAITRI = "graha_maitri"
    GANA = "gana"
    BHAKOOT = "bhakoot"
    NADI = "nadi"

    @property
    def most(self) -> int:
        """Most points that the koota gives."""
        return _MOST[self]


class Verdict(Enum):
    """What tradition makes of the total."""

    NOT_ADVISED = "not_advised"
    """Under 18."""
    ACCEPTABLE = "acceptable"
    """18 to 24."""
    GOOD = "good"
    """Over 24, to 32."""
    EXCELLENT = "excellent"
    """Over 32."""

    @property
    def phrase(self) -> Phrase:
        """The verdict as a sentence."""
        return Phrase(f"verdict.{self.value}")


class Moon(NamedTuple):
    """What matching takes from one person: the Moon's place, numbers from 0."""

    sign: int
    nakshatra: int
    pada: int
    degrees: float
    """Degrees within the sign: Vashya parts Sagittarius and Capricorn in the middle."""
    navamsa: int
    """Navamsa sign of the Moon."""


def moon_at(longitude: float) -> Moon:
    """Return what matching takes from a Moon's sidereal longitude."""
    return _moon(point(longitude))


def _moon(at: Point) -> Moon:
    navamsa = varga_sign(Varga.D9, at.longitude)
    return Moon(at.sign, at.nakshatra, at.pada, at.degrees, navamsa)


@dataclass(frozen=True, slots=True)
class KootaScore:
    """Points of one koota and their reason."""

    koota: Koota
    points: float
    reason: Phrase
    cancelled_by: tuple[Phrase, ...] = ()
    """What cancels the fault, if there is one; the points stay as they are."""

    @property
    def most(self) -> int:
        """Most points that the koota gives."""
        return self.koota.most

    @property
    def is_fault(self) -> bool:
        """Whether the koota gives nothing where tradition calls that a dosha."""
        return self.points == 0 and self.koota in _FAULTS


@dataclass(frozen=True, slots=True)
class Match:
    """The eight kootas of a couple."""

    kootas: tuple[KootaScore, ...]
    notes: tuple[Phrase, ...]
    """What the points do not tell: the same nakshatra, the same sign."""

    @property
    def total(self) -> float:
        """Points of `TOTAL`."""
        return sum(row.points for row in self.kootas)

    @property
    def verdict(self) -> Verdict:
        """What tradition makes of the total."""
        return verdict_of(self.total)

    @property
    def faults(self) -> tuple[KootaScore, ...]:
        """Nadi and bhakoot without points: named even above 18."""
        return tuple(row for row in self.kootas if row.is_fault)

    def __getitem__(self, koota: Koota) -> KootaScore:
        """Return the score of a koota."""
        return next(row for row in self.kootas if row.koota is koota)


_RAW: Final[dict[str, Any]] = read_table("ashtakoota")
_MOST: Final = {koota: int(_RAW["max"][koota.value]) for koota in Koota}
_FAULTS: Final = frozenset({Koota.NADI, Koota.BHAKOOT})
_VARNAS: Final = tuple(_RAW["varna"]["order_high_to_low"])
_VARNA_BY_SIGN: Final = tuple(_VARNAS.index(name) for name in _RAW["varna"]["by_rashi_aries_first"])
_VASHYA_TABLE: Final = _RAW["vashya"]["table"]
_VASHYA_CLASSES: Final = tuple(_RAW["vashya"]["classes"])
# Class of the first and of the second half of each sign, in the order of the table's classes.
_CHATUSHPADA, _MANAVA, _JALACHARA, _VANACHARA, _KEETA = range(5)
_VASHYA_BY_SIGN: Final = (
    (_CHATUSHPADA, _CHATUSHPADA),
    (_CHATUSHPADA, _CHATUSHPADA),
    (_MANAVA, _MANAVA),
    (_JALACHARA, _JALACHARA),
    (_VANACHARA, _VANACHARA),
    (_MANAVA, _MANAVA),
    (_MANAVA, _MANAVA),
    (_KEETA, _KEETA),
    (_MANAVA, _CHATUSHPADA),
    (_CHATUSHPADA, _JALACHARA),
    (_MANAVA, _MANAVA),
    (_JALACHARA, _JALACHARA),
)
_HALF_SIGN: Final = 15.0
_BAD_TARAS: Final = frozenset({3, 5, 7})
_YONIS: Final = tuple(_RAW["yoni"]["order"])
_YONI_BY_NAKSHATRA: Final = tuple(_YONIS.index(name) for name in _RAW["yoni"]["by_nakshatra"])
_YONI_TABLE: Final = _RAW["yoni"]["table"]
_MAITRI_TABLE: Final = _RAW["graha_maitri"]["table_by_moon_sign"]
_GANAS: Final = tuple(_RAW["gana"]["order"])
_GANA_TABLE: Final = _RAW["gana"]["table"]
_BHAKOOT_TABLE: Final = _RAW["bhakoot"]["table_by_moon_sign"]
_NADI_BY_NAKSHATRA: Final = tuple(_RAW["nadi"]["by_nakshatra"])
_GANA_BY_NAKSHATRA: Final = tuple(_GANAS.index(row.gana.en) for row in NAKSHATRA_TABLE)


def match(groom: Moon, bride: Moon, *, directed: bool = True) -> Match:
    """Score two Moons.

    Parameters
    ----------
    groom, bride
        The two; for a couple who are not groom and bride, in any order.
    directed
        False takes the mean of both directions for the kootas that ask who is who.
    """
    rows = [rule(groom, bride) for rule in _RULES]
    if not directed:
        back = [rule(bride, groom) for rule in _RULES]
        rows = [_mean(one, other) for one, other in zip(rows, back, strict=True)]
    return Match(tuple(rows), tuple(_notes(groom, bride)))


def _mean(one: KootaScore, other: KootaScore) -> KootaScore:
    if one.points == other.points:
        return one
    reason = _phrase("koota.mean", first=one.points, second=other.points)
    points = (one.points + other.points) / 2
    # Phrases hold mappings and cannot be members of a set.
    cancelled = [*one.cancelled_by]
    cancelled += [phrase for phrase in other.cancelled_by if phrase not in cancelled]
    return KootaScore(one.koota, points, reason, tuple(cancelled))


def _phrase(code: str, **values: Value) -> Phrase:
    return Phrase(code, values)


def _score(koota: Koota, points: float, *cancelled_by: Phrase, **values: Value) -> KootaScore:
    return KootaScore(koota, points, _phrase(f"koota.{koota.value}", **values), cancelled_by)


def _varna(groom: Moon, bride: Moon) -> KootaScore:
    his, hers = _VARNA_BY_SIGN[groom.sign], _VARNA_BY_SIGN[bride.sign]
    points = 1.0 if his <= hers else 0.0
    cancelled: tuple[Phrase, ...] = ()
    if not points and _LORD_VARNAS[SIGN_LORDS[groom.sign]] < _LORD_VARNAS[SIGN_LORDS[bride.sign]]:
        cancelled = (
            _phrase(
                "cancel.varna_lords",
                one=SIGN_LORDS[groom.sign],
                other=SIGN_LORDS[bride.sign],
            ),
        )
    return _score(
        Koota.VARNA,
        points,
        *cancelled,
        groom=_class_name("varna", _VARNAS[his]),
        bride=_class_name("varna", _VARNAS[hers]),
    )


# Varna of the grahas after Parashara, 0 the highest: Jupiter and Venus Brahmin, Sun and Mars
# Kshatriya, Moon and Mercury Vaishya, Saturn Shudra.
_LORD_VARNAS: Final = {
    Graha.JUPITER: 0,
    Graha.VENUS: 0,
    Graha.SUN: 1,
    Graha.MARS: 1,
    Graha.MOON: 2,
    Graha.MERCURY: 2,
    Graha.SATURN: 3,
}


def _class_name(koota: str, name: str) -> Name:
    return title(f"class.{koota}.{name.lower()}")


def _vashya(groom: Moon, bride: Moon) -> KootaScore:
    his, hers = (_VASHYA_BY_SIGN[moon.sign][moon.degrees >= _HALF_SIGN] for moon in (groom, bride))
    return _score(
        Koota.VASHYA,
        float(_VASHYA_TABLE[his][hers]),
        groom=_class_name("vashya", _VASHYA_CLASSES[his]),
        bride=_class_name("vashya", _VASHYA_CLASSES[hers]),
    )


def _tara(groom: Moon, bride: Moon) -> KootaScore:
    to_groom, to_bride = (
        (there.nakshatra - here.nakshatra) % 27 % 9 + 1
        for here, there in ((bride, groom), (groom, bride))
    )
    points = 1.5 * ((to_groom not in _BAD_TARAS) + (to_bride not in _BAD_TARAS))
    return _score(
        Koota.TARA, points, groom=title(f"tara.{to_groom}"), bride=title(f"tara.{to_bride}")
    )


def _yoni(groom: Moon, bride: Moon) -> KootaScore:
    his, hers = (_YONI_BY_NAKSHATRA[moon.nakshatra] for moon in (groom, bride))
    return _score(
        Koota.YONI,
        float(_YONI_TABLE[his][hers]),
        groom=NAKSHATRA_TABLE[groom.nakshatra].yoni,
        bride=NAKSHATRA_TABLE[bride.nakshatra].yoni,
    )


def _graha_maitri(groom: Moon, bride: Moon) -> KootaScore:
    his, hers = SIGN_LORDS[groom.sign], SIGN_LORDS[bride.sign]
    return _score(
        Koota.GRAHA_MAITRI,
        float(_MAITRI_TABLE[groom.sign][bride.sign]),
        groom=his,
        bride=hers,
        his=title(f"relation.{NATURAL[his][hers].name.lower()}"),
        hers=title(f"relation.{NATURAL[hers][his].name.lower()}"),
    )


def _gana(groom: Moon, bride: Moon) -> KootaScore:
    his, hers = (_GANA_BY_NAKSHATRA[moon.nakshatra] for moon in (groom, bride))
    points = float(_GANA_TABLE[his][hers])
    cancelled = tuple(_friendly_lords(groom, bride)) if points <= 1 else ()
    return _score(
        Koota.GANA,
        points,
        *cancelled,
        groom=NAKSHATRA_TABLE[groom.nakshatra].gana,
        bride=NAKSHATRA_TABLE[bride.nakshatra].gana,
    )


def _bhakoot(groom: Moon, bride: Moon) -> KootaScore:
    points = float(_BHAKOOT_TABLE[groom.sign][bride.sign])
    cancelled = tuple(_friendly_lords(groom, bride)) if not points else ()
    return _score(
        Koota.BHAKOOT,
        points,
        *cancelled,
        groom=sign_name(groom.sign),
        bride=sign_name(bride.sign),
        there=(bride.sign - groom.sign) % 12 + 1,
        back=(groom.sign - bride.sign) % 12 + 1,
    )


def _friendly_lords(groom: Moon, bride: Moon) -> Iterator[Phrase]:
    """Yield the friendship of the sign lords, then, weaker, of the navamsa lords."""
    for code, one, other in (
        ("lords", groom.sign, bride.sign),
        ("navamsa_lords", groom.navamsa, bride.navamsa),
    ):
        his, hers = SIGN_LORDS[one], SIGN_LORDS[other]
        if his is hers:
            yield _phrase(f"cancel.{code}_same", graha=his)
        elif NATURAL[his][hers] is NATURAL[hers][his] is Relation.FRIEND:
            yield _phrase(f"cancel.{code}_friends", one=his, other=hers)


def _nadi(groom: Moon, bride: Moon) -> KootaScore:
    his, hers = (_NADI_BY_NAKSHATRA[moon.nakshatra] for moon in (groom, bride))
    same = his == hers
    return _score(
        Koota.NADI,
        0.0 if same else float(_MOST[Koota.NADI]),
        *(_nadi_cancelled(groom, bride) if same else ()),
        groom=NAKSHATRA_TABLE[groom.nakshatra].nadi,
        bride=NAKSHATRA_TABLE[bride.nakshatra].nadi,
    )


def _nadi_cancelled(groom: Moon, bride: Moon) -> Iterator[Phrase]:
    same_nakshatra = groom.nakshatra == bride.nakshatra
    same_sign = groom.sign == bride.sign
    if same_nakshatra and not same_sign:
        yield _phrase("cancel.nadi_signs", nakshatra=nakshatra_name(groom.nakshatra))
    elif same_nakshatra and groom.pada != bride.pada:
        yield _phrase(
            "cancel.nadi_padas",
            nakshatra=nakshatra_name(groom.nakshatra),
            one=groom.pada + 1,
            other=bride.pada + 1,
        )
    elif same_sign and not same_nakshatra:
        yield _phrase("cancel.nadi_nakshatras", sign=sign_name(groom.sign))


_RULES: Final = (_varna, _vashya, _tara, _yoni, _graha_maitri, _gana, _bhakoot, _nadi)


def _notes(groom: Moon, bride: Moon) -> Iterator[Phrase]:
    if groom.nakshatra == bride.nakshatra:
        code = "note.same_pada" if groom.pada == bride.pada else "note.same_nakshatra"
        yield _phrase(code, nakshatra=nakshatra_name(groom.nakshatra))
    elif groom.sign == bride.sign:
        yield _phrase("note.same_sign", sign=sign_name(groom.sign))


def verdict_of(total: float) -> Verdict:
    """Return what tradition makes of a total of points."""
    found = Verdict.NOT_ADVISED
    for row, verdict in zip(_RAW["thresholds"], Verdict, strict=True):
        if total >= row["min"]:
            found = verdict
    return found


class ManglikMatch(Enum):
    """How Manglik stands between two people."""

    NEITHER = "neither"
    BOTH = "both"
    """Each cancels the other's."""
    ONE_SOFTENED = "one_softened"
    """One is Manglik, and something softens it."""
    ONE = "one"

    @property
    def phrase(self) -> Phrase:
        """The finding as a sentence."""
        return Phrase(f"manglik.{self.value}")


@dataclass(frozen=True, slots=True)
class CoupleMatch:
    """Matching of two charts."""

    match: Match
    """Scored with the Moons of the charts; of noon where a birth time is unknown."""
    groom_manglik: Manglik
    bride_manglik: Manglik
    lowest: float
    """Lowest total of the Moons that the two may have had; equal to the highest if certain."""
    highest: float

    @property
    def is_certain(self) -> bool:
        """Whether both Moons are certain enough for one total."""
        return self.lowest == self.highest

    @property
    def verdicts(self) -> tuple[Verdict, ...]:
        """What tradition makes of the total: one, or that of the lowest and of the highest."""
        return tuple(dict.fromkeys((verdict_of(self.lowest), verdict_of(self.highest))))

    @property
    def manglik(self) -> ManglikMatch:
        """How Manglik stands between the two."""
        holding = [one for one in (self.groom_manglik, self.bride_manglik) if one.weight]
        if len(holding) == 2:
            return ManglikMatch.BOTH
        if not holding:
            return ManglikMatch.NEITHER
        return ManglikMatch.ONE_SOFTENED if holding[0].softened_by else ManglikMatch.ONE


def match_charts(groom: Chart, bride: Chart, *, directed: bool = True) -> CoupleMatch:
    """Match two charts; where a Moon is not certain, over all that it may have been in."""
    totals = [
        match(his, hers, directed=directed).total
        for his in _possible_moons(groom)
        for hers in _possible_moons(bride)
    ]
    return CoupleMatch(
        match=match(_moon(groom.moon.at), _moon(bride.moon.at), directed=directed),
        groom_manglik=manglik(groom),
        bride_manglik=manglik(bride),
        lowest=min(totals),
        highest=max(totals),
    )


def _possible_moons(chart: Chart) -> list[Moon]:
    if len(chart.moon_stays) == 1:
        return [_moon(chart.moon.at)]
    # The Moon enters and leaves a stay on the borders of a pada; just inside of both ends also
    # tells the halves of Sagittarius and Capricorn apart.
    return [
        moon_at(position(moment, Graha.MOON, chart.options.ayanamsa).longitude)
        for stay in chart.moon_stays
        for moment in _inside(stay)
    ]


def _inside(stay: Stay) -> tuple[float, float]:
    inset = min(SECOND, (stay.end - stay.start) / 4)
    return stay.start + inset, stay.end - inset
