"""The birth chart: where the grahas and the lagna stand, and how strong they are.

`cast` makes a chart of a birth. If the time of birth is unknown the grahas are those of local
noon, everything that needs the lagna is absent (`Chart.lagna`, houses, finer vargas), and
`Chart.moon_stays` tells what the Moon may have been in over the day, with the times of change.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final, NamedTuple

from kundali.births import Birth
from kundali.dignity import (
    Dignity,
    War,
    dignity,
    is_combust,
    is_deep,
    is_stationary,
    wars,
)
from kundali.divisional import Varga, varga_signs
from kundali.ephemeris import (
    ENGINE,
    Angles,
    Graha,
    NoSunrise,
    Position,
    angles,
    ayanamsa_degrees,
    daylight,
    elongation,
    position,
    positions,
    sun_and_moon,
)
from kundali.houses import SripatiHouses, sripati
from kundali.julian import MINUTE
from kundali.options import DEFAULT, Options
from kundali.roots import crossing
from kundali.zodiac import (
    CIRCLE_MAS,
    PADA_DEGREES,
    PADA_MAS,
    SIGN_MAS,
    distance,
    house_from,
    milliarcseconds,
)

VERSION: Final = "1"
"""Version of the rules of this package; stored charts carry it beside the ephemeris' name."""
ENGINE_VERSION: Final = f"kundali {VERSION}, {ENGINE}"


class Point(NamedTuple):
    """Where a longitude stands; numbers count from 0."""

    longitude: float
    sign: int
    degrees: float
    """Degrees within the sign, 0 <= x < 30."""
    nakshatra: int
    pada: int


def point(longitude: float) -> Point:
    """Return the sign, nakshatra and pada of a longitude."""
    mas = milliarcseconds(longitude)
    sign, rest = divmod(mas, SIGN_MAS)
    padas = mas // PADA_MAS
    # Rounded with the sign, so that 29.9999999999 is 0 of the next sign everywhere.
    return Point(longitude, sign, rest / 3_600_000, padas // 4, padas % 4)


@dataclass(frozen=True, slots=True)
class Placement:
    """One graha in a chart."""

    graha: Graha
    at: Point
    latitude: float
    """Degrees from the ecliptic, north positive."""
    speed: float
    """Degrees a day."""
    house: int | None
    """Whole-sign house, 1 to 12; none without a birth time."""
    sripati_house: int | None
    """House by Sripati's unequal division."""
    dignity: Dignity
    is_deep: bool
    """Exalted or debilitated within one degree of the deepest point."""
    is_retrograde: bool
    is_stationary: bool
    is_combust: bool
    sun_distance: float
    """Degrees from the Sun in longitude, 0 to 180."""
    vargas: Mapping[Varga, int]
    """Sign in each divisional chart; D1 alone without a birth time."""

    @property
    def sign(self) -> int:
        """Sign, 0 to 11."""
        return self.at.sign

    @property
    def is_vargottama(self) -> bool:
        """Whether sign and navamsa sign are the same; false if the navamsa is unknown."""
        return self.vargas.get(Varga.D9) == self.at.sign


@dataclass(frozen=True, slots=True)
class Lagna:
    """The rising degree and what is counted from it."""

    at: Point
    midheaven: float
    vargas: Mapping[Varga, int]
    sripati: SripatiHouses

    @property
    def sign(self) -> int:
        """Sign, 0 to 11."""
        return self.at.sign


class Stay(NamedTuple):
    """A stretch of time that the Moon, or the lagna, spends in one pada; Julian days."""

    start: float
    end: float
    sign: int
    nakshatra: int
    pada: int


@dataclass(frozen=True, slots=True)
class Chart:
    """A birth chart with all that it was made from."""

    birth: Birth
    options: Options
    engine: str
    ayanamsa_degrees: float
    lagna: Lagna | None
    placements: tuple[Placement, ...]
    """Indexed by graha."""
    signs: tuple[int, ...]
    """Sign of each graha."""
    wars: tuple[War, ...]
    moon_stays: tuple[Stay, ...]
    """Padas that the Moon may have been in: one with a known time, several without."""

    def __getitem__(self, graha: Graha) -> Placement:
        """Return the placement of a graha."""
        return self.placements[graha]

    @property
    def is_time_known(self) -> bool:
        """Whether the time of birth is known, so that there is a lagna."""
        return self.lagna is not None

    @property
    def moon(self) -> Placement:
        """The Moon, which names the rashi and the nakshatra of a person."""
        return self.placements[Graha.MOON]

    @property
    def is_nakshatra_certain(self) -> bool:
        """Whether the Moon's nakshatra is the same whenever in the day the birth was."""
        return len({stay.nakshatra for stay in self.moon_stays}) == 1

    @property
    def is_pada_certain(self) -> bool:
        """Whether the Moon's pada is the same whenever in the day the birth was."""
        return len(self.moon_stays) == 1

    @property
    def is_rashi_certain(self) -> bool:
        """Whether the Moon's sign is the same whenever in the day the birth was."""
        return len({stay.sign for stay in self.moon_stays}) == 1

    def house(self, number: int) -> int | None:
        """Sign of a whole-sign house, or none without a birth time."""
        return None if self.lagna is None else (self.lagna.at.sign + number - 1) % 12


def cast(birth: Birth, options: Options = DEFAULT) -> Chart:
    """Cast the chart of a birth.

    Raises
    ------
    OutsideEphemeris
        If the ephemeris does not cover the birth.
    """
    moment = birth.julian_day
    found = positions(moment, options.ayanamsa, options.node)
    rising = angles(moment, birth.place, options.ayanamsa) if birth.is_time_known else None
    return compose(birth, options, found, rising, ayanamsa_degrees(moment, options.ayanamsa))


def compose(
    birth: Birth,
    options: Options,
    found: tuple[Position, ...],
    rising: Angles | None,
    ayanamsa: float,
) -> Chart:
    """Put a chart together from positions that are known already, indexed by graha.

    ``rising`` are the sidereal ascendant and midheaven, or none without a birth time.
    """
    lagna = None if rising is None else _lagna(rising, options)
    points = tuple(point(at.longitude) for at in found)
    signs = tuple(at.sign for at in points)
    return Chart(
        birth=birth,
        options=options,
        engine=ENGINE_VERSION,
        ayanamsa_degrees=ayanamsa,
        lagna=lagna,
        placements=tuple(
            _placement(graha, found, points[graha], signs, lagna, options) for graha in Graha
        ),
        signs=signs,
        wars=wars(found),
        moon_stays=_moon_stays(birth, points[Graha.MOON], options),
    )


def _lagna(at: Angles, options: Options) -> Lagna:
    return Lagna(
        at=point(at.ascendant),
        midheaven=at.midheaven,
        vargas=varga_signs(at.ascendant, options.schools),
        sripati=sripati(at),
    )


def _placement(
    graha: Graha,
    found: tuple[Position, ...],
    at: Point,
    signs: tuple[int, ...],
    lagna: Lagna | None,
    options: Options,
) -> Placement:
    here = found[graha]
    sun = found[Graha.SUN].longitude
    standing = dignity(graha, signs, at.degrees, options.node_dignity)
    return Placement(
        graha=graha,
        at=at,
        latitude=here.latitude,
        speed=here.speed,
        house=house_from(at.sign, lagna.at.sign) if lagna else None,
        sripati_house=lagna.sripati.house_of(here.longitude) if lagna else None,
        dignity=standing,
        is_deep=standing in _DEEP and is_deep(graha, at.degrees),
        is_retrograde=here.speed < 0,
        is_stationary=is_stationary(graha, here.speed),
        is_combust=is_combust(graha, here, sun),
        sun_distance=distance(here.longitude, sun),
        vargas=varga_signs(here.longitude, options.schools) if lagna else {Varga.D1: at.sign},
    )


_DEEP: Final = frozenset({Dignity.EXALTED, Dignity.DEBILITATED})


def _moon_stays(birth: Birth, moon: Point, options: Options) -> tuple[Stay, ...]:
    if not birth.is_time_known:
        return moon_stays(birth.day.start, birth.day.end, options)
    if birth.about_minutes:
        around = birth.about_minutes * MINUTE
        return moon_stays(birth.julian_day - around, birth.julian_day + around, options)
    here = birth.julian_day
    return (Stay(here, here, moon.sign, moon.nakshatra, moon.pada),)


def moon_stays(start: float, end: float, options: Options = DEFAULT) -> tuple[Stay, ...]:
    """Return the padas that the Moon passes between two instants, in order, to the second."""

    def longitude(moment: float) -> float:
        return position(moment, Graha.MOON, options.ayanamsa).longitude

    return _stays(longitude, start, end)


# Further from the equator the lagna can run through half the circle in the widest "about", and
# beyond the polar circles it jumps.
_FARTHEST_DEGREES: Final = 60.0


def lagna_stays(chart: Chart) -> tuple[Stay, ...]:
    """Return the padas that the lagna may be in if the birth time is only about right, in order.

    None without a birth time, and none beyond 60 degrees of latitude, where the lagna runs too
    unevenly to tell.

    Raises
    ------
    OutsideEphemeris
        If the ephemeris does not cover the time.
    """
    birth = chart.birth
    if chart.lagna is None or abs(birth.place.latitude_degrees) > _FARTHEST_DEGREES:
        return ()
    if not birth.about_minutes:
        at = chart.lagna.at
        return (Stay(birth.julian_day, birth.julian_day, at.sign, at.nakshatra, at.pada),)
    around = birth.about_minutes * MINUTE

    def longitude(moment: float) -> float:
        return angles(moment, birth.place, chart.options.ayanamsa).ascendant

    return _stays(longitude, birth.julian_day - around, birth.julian_day + around)


def _stays(longitude: Callable[[float], float], start: float, end: float) -> tuple[Stay, ...]:
    """Padas that something passes that moves forward, and less than a circle."""
    first = longitude(start)
    travelled = (longitude(end) - first) % 360.0
    stays = []
    here, padas = start, milliarcseconds(first) // PADA_MAS
    while True:
        to_next = ((padas + 1) * PADA_DEGREES - first) % 360.0
        leaves = end
        if to_next < travelled:
            leaves = crossing(longitude, first + to_next, start, end)
        sign, nakshatra = padas * PADA_MAS // SIGN_MAS % 12, padas // 4 % 27
        stays.append(Stay(here, leaves, sign, nakshatra, padas % 4))
        if to_next >= travelled:
            return tuple(stays)
        here, padas = leaves, (padas + 1) % (CIRCLE_MAS // PADA_MAS)


class Almanac(NamedTuple):
    """The day's limbs at the birth, by the modern sky; numbers count from 0."""

    tithi: int
    """0 to 29, Shukla Pratipada first."""
    yoga: int
    half_tithi: int
    """0 to 59, which of the sixty halves of tithis (karanas) it is."""
    civil_weekday: int
    """Weekday of the calendar date, Sunday 0."""
    vara: int | None
    """Weekday that began at the last sunrise; none without a birth time or without a sunrise."""
    sunrise: float | None
    """Sunrise of the civil day, Julian day."""


def almanac(chart: Chart) -> Almanac:
    """Return tithi, yoga, karana and weekday at the birth; at noon if the time is unknown."""
    birth = chart.birth
    sun, moon = sun_and_moon(birth.julian_day, chart.options.ayanamsa)
    apart = elongation(birth.julian_day)
    weekday = birth.local.isoweekday() % 7
    try:
        sunrise = daylight(*birth.day, birth.place, chart.options.sunrise).sunrise
    except NoSunrise:
        sunrise = None
    vara = None
    if sunrise is not None and chart.is_time_known:
        vara = weekday if birth.julian_day >= sunrise else (weekday - 1) % 7
    return Almanac(
        tithi=int(apart // 12) % 30,
        yoga=int((sun + moon) % 360.0 * 27 / 360) % 27,
        half_tithi=int(apart // 6) % 60,
        civil_weekday=weekday,
        vara=vara,
        sunrise=sunrise,
    )
