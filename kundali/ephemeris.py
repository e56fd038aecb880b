"""The sky as modern astronomy computes it: the one place that calls the Swiss Ephemeris.

The C library keeps its settings (above all the sidereal mode) in state of its own, so every call
goes through this module, which sets what it needs and calls under one lock. Nothing outside may
import ``swisseph``; whoever replaces the library replaces this module.

Conventions:

- positions are apparent and geocentric, by the Moshier theory that the library carries inside: no
  data files. Against JPL's DE421 it stays within 1 arc-second for the planets, 3 for the Moon.
- instants are Julian days in Universal Time (`kundali.julian`); the library adds delta-T.
- angles are degrees; longitudes 0 <= x < 360; speeds degrees a day.
- sidereal longitudes are counted from the ayanamsa that the caller names; ``None`` asks for
  tropical ones.

Typical use::

    moment = julian_day(instant)
    moon = position(moment, Graha.MOON)                   # sidereal, Lahiri
    grahas = positions(moment, Ayanamsa.KP, Node.TRUE)    # all nine, indexed by Graha
    lagna = angles(moment, place).ascendant
    elongation(moment)                                     # Moon - Sun, for tithi and karana
    start, end = civil_day(day, zone)
    sunrise, sunset = daylight(start, end, place)          # drik sunrise as Nepal prints it
    moonrise = rising(Graha.MOON, start, end, place)       # None on a day without one
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from enum import Enum, IntEnum
from threading import Lock, get_ident
from typing import Final, NamedTuple

import swisseph as swe

ENGINE: Final = f"Swiss Ephemeris {swe.version} (Moshier)"
"""Name and version of what computes the positions, to print with every result."""

FIRST_DAY: Final = 625001.5
"""First Julian day of the ephemeris, in the year 3001 BC."""
LAST_DAY: Final = 2817999.5
"""Last Julian day of the ephemeris, in the year 3003."""


class EphemerisError(ValueError):
    """The sky cannot be computed as asked."""


class OutsideEphemeris(EphemerisError):
    """The instant lies outside the years that the ephemeris covers, or is no number."""

    def __init__(self, julian_day_ut: float) -> None:
        super().__init__(f"Julian day {julian_day_ut} is not in {FIRST_DAY}..{LAST_DAY}")
        self.julian_day_ut = julian_day_ut


class PlaceOutOfRange(EphemerisError):
    """A latitude, longitude or altitude that no place on Earth has; ``field`` names it."""

    def __init__(self, field: str, value: float, low: float, high: float) -> None:
        super().__init__(f"{field} {value} is not in {low}..{high}")
        self.field = field
        self.value = value
        self.low = low
        self.high = high


class NoSunrise(EphemerisError):
    """The Sun stays above or below the horizon all day: polar day or polar night."""

    def __init__(self, place: Place, start: float) -> None:
        super().__init__(f"no sunrise or no sunset at latitude {place.latitude_degrees}")
        self.place = place
        self.start = start


class Graha(IntEnum):
    """The nine grahas, in the order of the weekdays, then the nodes."""

    SUN = 0
    MOON = 1
    MARS = 2
    MERCURY = 3
    JUPITER = 4
    VENUS = 5
    SATURN = 6
    RAHU = 7
    KETU = 8


class Ayanamsa(Enum):
    """Where the sidereal zodiac begins; the value is the name on the wire."""

    LAHIRI = "lahiri"
    RAMAN = "raman"
    KP = "kp"
    TRUE_CHITRA = "true_chitra"


class Node(Enum):
    """Which lunar node Rahu is: the mean one, always retrograde, or the true one."""

    MEAN = "mean"
    TRUE = "true"


class Rising(Enum):
    """What counts as rising and setting.

    ``CENTRE`` is the centre of the disc with refraction, altitude 0: the printed times of
    Kathmandu within half a minute on average. ``HINDU`` is the centre without refraction and
    without ecliptic latitude, some 2.5 minutes later at sunrise. ``LIMB`` is the upper limb with
    refraction, the civil definition, some 1.6 minutes earlier.
    """

    CENTRE = "centre"
    HINDU = "hindu"
    LIMB = "limb"


@dataclass(frozen=True, slots=True)
class Place:
    """A place on Earth, north and east positive.

    Raises
    ------
    PlaceOutOfRange
        On construction, for a coordinate that does not exist.
    """

    latitude_degrees: float
    longitude_degrees: float
    altitude_metres: float = 0.0

    def __post_init__(self) -> None:
        """Refuse what is not on Earth, NaN and infinity included."""
        for field, limits in _PLACE_LIMITS.items():
            value = getattr(self, field)
            if not limits[0] <= value <= limits[1]:
                raise PlaceOutOfRange(field, value, *limits)


_PLACE_LIMITS: Final = {
    "latitude_degrees": (-90.0, 90.0),
    "longitude_degrees": (-180.0, 180.0),
    # The Dead Sea's shore and the top of Sagarmatha, with room.
    "altitude_metres": (-500.0, 9000.0),
}

KATHMANDU: Final = Place(27.7172, 85.324)
"""Where the national almanac of Nepal is computed for."""


class Position(NamedTuple):
    """Where a graha stands and how fast it moves."""

    longitude: float
    """Ecliptic longitude in degrees, 0 <= longitude < 360."""
    latitude: float
    """Ecliptic latitude in degrees, north positive."""
    speed: float
    """Motion in longitude, degrees a day; negative while retrograde."""


class Angles(NamedTuple):
    """The points of the ecliptic that rise and culminate."""

    ascendant: float
    """Rising degree (lagna)."""
    midheaven: float
    """Culminating degree."""


_BODIES: Final = {
    Graha.SUN: swe.SUN,
    Graha.MOON: swe.MOON,
    Graha.MARS: swe.MARS,
    Graha.MERCURY: swe.MERCURY,
    Graha.JUPITER: swe.JUPITER,
    Graha.VENUS: swe.VENUS,
    Graha.SATURN: swe.SATURN,
}
_NODES: Final = {Node.MEAN: swe.MEAN_NODE, Node.TRUE: swe.TRUE_NODE}
_SIDEREAL_MODES: Final = {
    Ayanamsa.LAHIRI: swe.SIDM_LAHIRI,
    Ayanamsa.RAMAN: swe.SIDM_RAMAN,
    Ayanamsa.KP: swe.SIDM_KRISHNAMURTI,
    Ayanamsa.TRUE_CHITRA: swe.SIDM_TRUE_CITRA,
}
# In the order of Graha; the node comes last and gives both Rahu and Ketu.
_BODIES_OF_NODE: Final = {node: (*_BODIES.values(), body) for node, body in _NODES.items()}
# Geocentric, without ecliptic latitude: the library documents 128 and the binding has no name.
_NO_ECLIPTIC_LATITUDE: Final = 128
_RISING_FLAGS: Final = {
    Rising.CENTRE: swe.BIT_DISC_CENTER,
    Rising.HINDU: swe.BIT_DISC_CENTER | swe.BIT_NO_REFRACTION | _NO_ECLIPTIC_LATITUDE,
    Rising.LIMB: 0,
}
_TROPICAL: Final[int] = swe.FLG_MOSEPH | swe.FLG_SPEED
_SIDEREAL: Final[int] = _TROPICAL | swe.FLG_SIDEREAL


class _Library:
    """Owner of the C library's global state."""

    def __init__(self) -> None:
        self.lock = Lock()
        # Setting the mode throws the library's cached positions away, so it is set only when it
        # changes. Some builds keep it per thread: the thread belongs to the key.
        self._mode: tuple[int, Ayanamsa] | None = None

    def set_mode(self, ayanamsa: Ayanamsa) -> None:
        """Choose the sidereal mode; the caller holds the lock."""
        wanted = (get_ident(), ayanamsa)
        if self._mode != wanted:
            swe.set_sid_mode(_SIDEREAL_MODES[ayanamsa])
            self._mode = wanted

    def flags(self, ayanamsa: Ayanamsa | None) -> int:
        """Set the zodiac and return the flags of a calculation; the caller holds the lock."""
        if ayanamsa is None:
            return _TROPICAL
        self.set_mode(ayanamsa)
        return _SIDEREAL


_LIBRARY: Final = _Library()


def _check(julian_day_ut: float) -> None:
    # Written so that NaN fails too: the library would answer NaN without complaint.
    if not FIRST_DAY <= julian_day_ut <= LAST_DAY:
        raise OutsideEphemeris(julian_day_ut)


def positions(
    julian_day_ut: float,
    ayanamsa: Ayanamsa | None = Ayanamsa.LAHIRI,
    node: Node = Node.MEAN,
) -> tuple[Position, ...]:
    """All nine grahas at an instant, indexed by `Graha`.

    Raises
    ------
    OutsideEphemeris
        If the ephemeris does not cover the instant.
    """
    _check(julian_day_ut)
    found = []
    with _LIBRARY.lock:
        flags = _LIBRARY.flags(ayanamsa)
        for body in _BODIES_OF_NODE[node]:
            values = swe.calc_ut(julian_day_ut, body, flags)[0]
            found.append(Position(values[0], values[1], values[3]))
    rahu = found[-1]
    found.append(Position((rahu.longitude + 180.0) % 360.0, -rahu.latitude, rahu.speed))
    return tuple(found)


def position(
    julian_day_ut: float,
    graha: Graha,
    ayanamsa: Ayanamsa | None = Ayanamsa.LAHIRI,
    node: Node = Node.MEAN,
) -> Position:
    """One graha at an instant.

    Raises
    ------
    OutsideEphemeris
        If the ephemeris does not cover the instant.
    """
    _check(julian_day_ut)
    body = _BODIES.get(graha, _NODES[node])
    with _LIBRARY.lock:
        values = swe.calc_ut(julian_day_ut, body, _LIBRARY.flags(ayanamsa))[0]
    if graha is Graha.KETU:
        return Position((values[0] + 180.0) % 360.0, -values[1], values[3])
    return Position(values[0], values[1], values[3])


def sun_and_moon(
    julian_day_ut: float, ayanamsa: Ayanamsa | None = Ayanamsa.LAHIRI
) -> tuple[float, float]:
    """Longitudes of Sun and Moon: what tithi, yoga, karana and nakshatra are made of.

    Raises
    ------
    OutsideEphemeris
        If the ephemeris does not cover the instant.
    """
    _check(julian_day_ut)
    with _LIBRARY.lock:
        # Without speeds, which cost two more evaluations of the theory.
        flags = _LIBRARY.flags(ayanamsa) & ~swe.FLG_SPEED
        sun = swe.calc_ut(julian_day_ut, swe.SUN, flags)[0][0]
        moon = swe.calc_ut(julian_day_ut, swe.MOON, flags)[0][0]
    return sun, moon


def elongation(julian_day_ut: float) -> float:
    """Moon's longitude minus the Sun's, 0 <= x < 360; it needs no ayanamsa.

    Raises
    ------
    OutsideEphemeris
        If the ephemeris does not cover the instant.
    """
    sun, moon = sun_and_moon(julian_day_ut, None)
    return (moon - sun) % 360.0


def ayanamsa_degrees(julian_day_ut: float, ayanamsa: Ayanamsa = Ayanamsa.LAHIRI) -> float:
    """Tropical minus sidereal longitude at an instant, nutation included.

    Raises
    ------
    OutsideEphemeris
        If the ephemeris does not cover the instant.
    """
    _check(julian_day_ut)
    with _LIBRARY.lock:
        _LIBRARY.set_mode(ayanamsa)
        return float(swe.get_ayanamsa_ex_ut(julian_day_ut, swe.FLG_MOSEPH)[1])


def angles(
    julian_day_ut: float, place: Place, ayanamsa: Ayanamsa | None = Ayanamsa.LAHIRI
) -> Angles:
    """Rising and culminating degrees at an instant and place; defined at any latitude.

    Raises
    ------
    OutsideEphemeris
        If the ephemeris does not cover the instant.
    """
    _check(julian_day_ut)
    with _LIBRARY.lock:
        # Porphyry's houses: the only quadrant system that the library gives near the poles.
        _, points = swe.houses_ex(
            julian_day_ut,
            place.latitude_degrees,
            place.longitude_degrees,
            b"O",
            _LIBRARY.flags(ayanamsa),
        )
    return Angles(points[0], points[1])


def rising(
    graha: Graha, start: float, end: float, place: Place, definition: Rising = Rising.CENTRE
) -> float | None:
    """First rising of a graha in ``start <= instant < end``, or none.

    The Moon rises some 50 minutes later each day, so about one day a month has no moonrise.

    Raises
    ------
    OutsideEphemeris
        If the ephemeris does not cover the interval.
    """
    return _crossing(swe.CALC_RISE, graha, start, end, place, definition)


def setting(
    graha: Graha, start: float, end: float, place: Place, definition: Rising = Rising.CENTRE
) -> float | None:
    """First setting of a graha in ``start <= instant < end``, or none.

    Raises
    ------
    OutsideEphemeris
        If the ephemeris does not cover the interval.
    """
    return _crossing(swe.CALC_SET, graha, start, end, place, definition)


class Daylight(NamedTuple):
    """Sunrise and the sunset that follows it, Julian days in Universal Time."""

    sunrise: float
    sunset: float


def daylight(
    start: float, end: float, place: Place, definition: Rising = Rising.CENTRE
) -> Daylight:
    """Sunrise within a civil day (`kundali.julian.civil_day`) and the sunset after it.

    Raises
    ------
    NoSunrise
        If the Sun does not rise on that day, or does not set within a day of rising.
    OutsideEphemeris
        If the ephemeris does not cover the day.
    """
    sunrise = rising(Graha.SUN, start, end, place, definition)
    if sunrise is None:
        raise NoSunrise(place, start)
    sunset = setting(Graha.SUN, sunrise, sunrise + 1.0, place, definition)
    if sunset is None:
        raise NoSunrise(place, start)
    return Daylight(sunrise, sunset)


def _crossing(
    event: int, graha: Graha, start: float, end: float, place: Place, definition: Rising
) -> float | None:
    _check(start)
    _check(end)
    if graha not in _BODIES:
        raise EphemerisError(f"{graha.name} is a point, not a body that rises")
    where = (place.longitude_degrees, place.latitude_degrees, place.altitude_metres)
    flags = event | _RISING_FLAGS[definition]
    with _LIBRARY.lock:
        # Pressure and temperature 0: the library's standard atmosphere for the altitude.
        found, instants = swe.rise_trans(
            start, _BODIES[graha], flags, where, 0.0, 0.0, swe.FLG_MOSEPH
        )
    if found != 0:
        return None
    instant = float(instants[0])
    return instant if math.isfinite(instant) and start <= instant < end else None


class Eclipse(NamedTuple):
    """An eclipse that a place sees."""

    graha: Graha
    """Which of Sun and Moon is darkened."""
    greatest: float
    """Julian day at which it is darkest."""


def eclipses(start: float, end: float, place: Place) -> tuple[Eclipse, ...]:
    """Eclipses that can be seen from a place, greatest in ``start <= instant < end``, in order.

    Those of the Moon in which only the penumbra touches it are left out: the eye does not see
    them, and no almanac prints them.

    Raises
    ------
    OutsideEphemeris
        If the ephemeris does not cover the interval.
    """
    _check(start)
    _check(end)
    where = (place.longitude_degrees, place.latitude_degrees, place.altitude_metres)
    found = []
    searches = ((Graha.SUN, swe.sol_eclipse_when_loc), (Graha.MOON, swe.lun_eclipse_when_loc))
    for graha, search in searches:
        instant = start
        # Two eclipses of one kind are a lunation apart at least.
        while instant < end:
            with _LIBRARY.lock:
                kind, instants, _ = search(instant, where, swe.FLG_MOSEPH)
            greatest = float(instants[0])
            if start <= greatest < end and not kind & swe.ECL_PENUMBRAL:
                found.append(Eclipse(graha, greatest))
            instant = max(greatest, instant) + 20.0
    return tuple(sorted(found, key=lambda each: each.greatest))
