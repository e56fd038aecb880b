"""A birth: local clock, calendar and place, resolved to an instant.

The clock of the birth place is read with the rules that held there on that day. Nepal kept local
mean time (+5:41:16) until 1 January 1920, then +5:30, and since 1 January 1986 +5:45; the first
quarter of an hour of that day never was. Where a clock was set back, one reading stands for two
instants: the first is taken unless the caller chooses, and `Birth.readings` holds both.

Input comes from people, so `resolve` collects every fault of every field before it refuses. The
faults carry codes and values, no texts: whoever shows them translates them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, time, timedelta, timezone, tzinfo
from enum import Enum
from typing import Final, NamedTuple
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from kundali.ephemeris import FIRST_DAY, LAST_DAY, Place, PlaceOutOfRange
from kundali.julian import CivilDay, civil_day, clock_change, julian_day, to_datetime

NOON: Final = time(12)
"""Clock time that stands in for an unknown one: the middle of what the day may hold."""
MOST_MINUTES_ABOUT: Final = 120
"""Widest "about" of a birth time; beyond it the time is unknown."""
_WIDEST_OFFSET: Final = timedelta(hours=16)


class FaultCode(Enum):
    """What is wrong with one field of a birth."""

    REQUIRED = "required"
    """The field is missing."""
    OUT_OF_RANGE = "out_of_range"
    """A number outside ``low`` to ``high``."""
    UNKNOWN_ZONE = "unknown_zone"
    """No IANA zone has this ``name``."""
    SKIPPED_TIME = "skipped_time"
    """The clocks jumped over this time: from ``before`` to ``after``, both local ISO times."""
    SKIPPED_DAY = "skipped_day"
    """The zone jumped over this whole date."""
    OUTSIDE_EPHEMERIS = "outside_ephemeris"
    """The year is outside the ephemeris: years 1 to ``last_year``."""


class Fault(NamedTuple):
    """One fault of one field, with the values that a message about it needs."""

    field: str
    code: FaultCode
    values: Mapping[str, str | float]


class BirthRefused(ValueError):
    """The birth cannot be read; ``faults`` says why, field by field."""

    def __init__(self, faults: tuple[Fault, ...]) -> None:
        super().__init__(
            "; ".join(f"{at.field}: {at.code.value} {dict(at.values)}" for at in faults)
        )
        self.faults = faults


class Reading(NamedTuple):
    """One instant that a local clock reading may stand for."""

    utc: datetime
    offset_seconds: int
    """Local clock minus UTC."""


@dataclass(frozen=True, slots=True)
class Birth:
    """When and where somebody was born, resolved."""

    local: datetime
    """Local civil time without a zone; noon of the day if the time is unknown."""
    zone: str
    """IANA name, or ``UTC+05:30`` where the caller forced an offset."""
    place: Place
    readings: tuple[Reading, ...]
    """The instants that ``local`` may stand for: two where a clock was set back, else one."""
    reading: int
    """Index of the reading that was taken."""
    is_time_known: bool
    about_minutes: int
    """The time is right within so many minutes either way; 0 for as written."""
    day: CivilDay
    """Bounds of the local civil day, Julian days."""
    julian_day: float = field(init=False)
    """The instant, Universal Time."""

    def __post_init__(self) -> None:
        """Derive the instant from the reading taken."""
        object.__setattr__(self, "julian_day", julian_day(self.utc))

    @property
    def utc(self) -> datetime:
        """The instant in UTC."""
        return self.readings[self.reading].utc

    @property
    def offset_seconds(self) -> int:
        """Local clock minus UTC at the birth."""
        return self.readings[self.reading].offset_seconds

    @property
    def is_ambiguous(self) -> bool:
        """Whether the clock showed this time twice on that day."""
        return len(self.readings) > 1

    def to_local(self, julian_day_ut: float) -> datetime:
        """Return an instant on the clock of the birth place, aware."""
        return to_datetime(julian_day_ut, _forced(self.zone) or ZoneInfo(self.zone))


@dataclass(frozen=True, slots=True)
class BirthInput:
    """What a person filled in; every field may be missing or wrong."""

    day: date | None
    """Date by the Gregorian calendar."""
    clock: time | None
    """Local civil time, without a zone; none where nobody remembers it."""
    latitude_degrees: float | None
    longitude_degrees: float | None
    zone: str | None
    """IANA name of the zone, such as ``Asia/Kathmandu``."""
    is_time_known: bool = True
    """False says that ``clock`` is left out on purpose."""
    second_reading: bool = False
    """Take the later instant where the clock showed this time twice."""
    about_minutes: int = 0
    forced_offset: timedelta | None = None
    """Local clock minus UTC, in place of the zone's own: for records that state it."""
    altitude_metres: float = 0.0


FIELDS: Final[Mapping[str, str]] = {
    "day": "date_of_birth",
    "clock": "time_of_birth",
    "latitude_degrees": "latitude",
    "longitude_degrees": "longitude",
    "altitude_metres": "altitude",
    "zone": "timezone",
    "about_minutes": "about_minutes",
    "forced_offset": "utc_offset",
}
"""Name on the wire, used in faults, of each field of `BirthInput`."""


def resolve(given: BirthInput) -> Birth:
    """Resolve what a person filled in to an instant and a place.

    Raises
    ------
    BirthRefused
        With every fault found, in the order of the fields.
    """
    faults = [*_missing(given), *_out_of_range(given)]
    place, place_faults = _place(given)
    zone, zone_faults = _zone(given)
    faults += [*place_faults, *zone_faults]
    if given.day is None or zone is None or place is None or faults:
        raise BirthRefused(tuple(faults))
    local = datetime.combine(given.day, _clock(given))
    if faults := _unreal(local, zone, given):
        raise BirthRefused(tuple(faults))
    readings = _readings(local, zone)
    return Birth(
        local=local,
        zone=_zone_name(given),
        place=place,
        readings=readings,
        reading=1 if given.second_reading and len(readings) > 1 else 0,
        is_time_known=given.clock is not None and given.is_time_known,
        about_minutes=given.about_minutes,
        day=civil_day(given.day, zone),
    )


def _clock(given: BirthInput) -> time:
    return given.clock if given.is_time_known and given.clock is not None else NOON


def _missing(given: BirthInput) -> list[Fault]:
    wanted = ["day", "latitude_degrees", "longitude_degrees"]
    if given.is_time_known:
        wanted.insert(1, "clock")
    if given.forced_offset is None:
        wanted.append("zone")
    return [
        Fault(FIELDS[name], FaultCode.REQUIRED, {})
        for name in wanted
        if getattr(given, name) in (None, "")
    ]


def _out_of_range(given: BirthInput) -> list[Fault]:
    faults = []
    if not 0 <= given.about_minutes <= MOST_MINUTES_ABOUT:
        limits = {"low": 0, "high": MOST_MINUTES_ABOUT}
        faults.append(Fault(FIELDS["about_minutes"], FaultCode.OUT_OF_RANGE, limits))
    if given.forced_offset is not None and abs(given.forced_offset) > _WIDEST_OFFSET:
        limits = {"low": -16, "high": 16}
        faults.append(Fault(FIELDS["forced_offset"], FaultCode.OUT_OF_RANGE, limits))
    return faults


def _place(given: BirthInput) -> tuple[Place | None, list[Fault]]:
    faults = []
    # One coordinate at a time, so that both are named when both are wrong.
    for name in ("latitude_degrees", "longitude_degrees", "altitude_metres"):
        value = getattr(given, name)
        try:
            Place(**{"latitude_degrees": 0.0, "longitude_degrees": 0.0, name: value or 0.0})
        except PlaceOutOfRange as refusal:
            limits = {"low": refusal.low, "high": refusal.high}
            faults.append(Fault(FIELDS[name], FaultCode.OUT_OF_RANGE, limits))
    if faults or given.latitude_degrees is None or given.longitude_degrees is None:
        return None, faults
    return Place(given.latitude_degrees, given.longitude_degrees, given.altitude_metres), []


def _zone(given: BirthInput) -> tuple[tzinfo | None, list[Fault]]:
    if given.forced_offset is not None:
        within = abs(given.forced_offset) <= _WIDEST_OFFSET
        return (timezone(given.forced_offset) if within else None), []
    if not given.zone:
        return None, []
    try:
        return ZoneInfo(given.zone), []
    # A name with dots or a folder's name is a ValueError or an OSError, not a missing key.
    except (ZoneInfoNotFoundError, ValueError, OSError):
        return None, [Fault(FIELDS["zone"], FaultCode.UNKNOWN_ZONE, {"name": given.zone})]


def _zone_name(given: BirthInput) -> str:
    if given.forced_offset is None:
        return given.zone or ""
    return str(timezone(given.forced_offset))


def _forced(name: str) -> timezone | None:
    """Fixed zone of a forced offset's name, or none for an IANA name."""
    if name == "UTC":
        return UTC
    if not name.startswith(("UTC+", "UTC-")):
        return None
    hours, minutes, *seconds = (int(part) for part in name[4:].split(":"))
    size = timedelta(hours=hours, minutes=minutes, seconds=seconds[0] if seconds else 0)
    return timezone(size if name[3] == "+" else -size)


def _readings(local: datetime, zone: tzinfo) -> tuple[Reading, ...]:
    found = []
    for fold in (0, 1):
        aware = local.replace(tzinfo=zone, fold=fold)
        offset = aware.utcoffset() or timedelta()
        # Not astimezone: in a gap it would give an instant that shows another local time.
        found.append(Reading((local - offset).replace(tzinfo=UTC), int(offset.total_seconds())))
    return tuple(dict.fromkeys(found))


def _unreal(local: datetime, zone: tzinfo, given: BirthInput) -> list[Fault]:
    """Why no instant bears this local time, or why the ephemeris has none for it."""
    limits: dict[str, str | float] = {"last_year": 3000}
    # Year 1 and year 9999 have instants that no datetime can hold in another zone.
    if not 2 <= local.year <= 3000:
        return [Fault(FIELDS["day"], FaultCode.OUTSIDE_EPHEMERIS, limits)]
    readings = _readings(local, zone)
    moments = [julian_day(reading.utc) for reading in readings]
    if not all(FIRST_DAY < moment < LAST_DAY for moment in moments):
        return [Fault(FIELDS["day"], FaultCode.OUTSIDE_EPHEMERIS, limits)]
    shown = [reading.utc.astimezone(zone).replace(tzinfo=None) for reading in readings]
    if local in shown:
        return []
    day = civil_day(local.date(), zone)
    if day.start == day.end:
        return [Fault(FIELDS["day"], FaultCode.SKIPPED_DAY, {})]
    # In a gap the reading by the old offset shows a later time, the other an earlier one: they
    # stand on the two sides of the jump, as far from it as the asked time is.
    change = clock_change(readings[1].utc, readings[0].utc, zone)
    before = change + timedelta(seconds=readings[0].offset_seconds)
    after = change + timedelta(seconds=readings[1].offset_seconds)
    values = {"before": _clock_text(before), "after": _clock_text(after)}
    return [Fault(FIELDS["clock"], FaultCode.SKIPPED_TIME, values)]


def _clock_text(moment: datetime) -> str:
    return moment.replace(tzinfo=None).isoformat(timespec="seconds")
