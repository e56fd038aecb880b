"""The project's own copy of the published and computed cases that the package is held to."""

from __future__ import annotations

import json
from datetime import date, datetime, time
from functools import cache
from pathlib import Path
from typing import Any, TypeVar

from kundali.births import Birth, BirthInput, resolve
from kundali.chart import Chart, compose
from kundali.ephemeris import Angles, Graha, Place, Position
from kundali.options import DEFAULT, Options

Thing = TypeVar("Thing")

DATA = Path(__file__).parent / "data"


@cache
def read(name: str) -> Any:
    """Read one file of the cases."""
    return json.loads((DATA / f"{name}.json").read_text(encoding="utf-8"))


def births() -> list[Any]:
    """Births with what two other programs give for them."""
    return read("cases")["births"]


def place_of(case: Any) -> Place:
    """Where a case's birth was."""
    return Place(case["input"]["lat"], case["input"]["lon"])


def utc_of(case: Any) -> datetime:
    """When a case's birth was, in UTC."""
    return datetime.fromisoformat(case["expect"]["utc"] + "+00:00")


def apart(one: float, other: float) -> float:
    """Distance of two longitudes in degrees, 0 to 180."""
    return abs((one - other + 180.0) % 360.0 - 180.0)


def birth(day: str = "1990-05-05", clock: str | None = "10:30", **changes: Any) -> Birth:
    """Resolve a birth in Kathmandu; ``clock`` none for an unknown time."""
    given = {
        "day": date.fromisoformat(day),
        "clock": None if clock is None else time.fromisoformat(clock),
        "is_time_known": clock is not None,
        "latitude_degrees": 27.7172,
        "longitude_degrees": 85.324,
        "zone": "Asia/Kathmandu",
    }
    return resolve(BirthInput(**given | changes))


def birth_of(case: Any) -> Birth:
    """Resolve a case's birth."""
    given = case["input"]
    day, clock = given["local"].split("T")
    return birth(
        day, clock, latitude_degrees=given["lat"], longitude_degrees=given["lon"], zone=given["tz"]
    )


def present(thing: Thing | None) -> Thing:
    """Return what the test knows to be there."""
    assert thing is not None
    return thing


def chart_of(lagna: int | None, *options: Options, **longitudes: float) -> Chart:
    """Compose a chart: the lagna's sign, 0 to 11, and sidereal longitudes by graha's name.

    A graha that is not named stands at 5 degrees of the sign that its number gives: Sun Aries,
    Moon Taurus, Mars Gemini and so on; Ketu opposite Rahu.
    """
    at = {graha: 30.0 * graha + 5.0 for graha in Graha}
    at |= {Graha[name.upper()]: longitude for name, longitude in longitudes.items()}
    at[Graha.KETU] = (at[Graha.RAHU] + 180.0) % 360.0
    found = tuple(
        Position(at[graha], 0.0, -0.05 if graha >= Graha.RAHU else 0.5) for graha in Graha
    )
    rising = None if lagna is None else Angles(30.0 * lagna + 10.0, (30.0 * lagna + 280.0) % 360.0)
    born = birth(clock=None if lagna is None else "10:30")
    return compose(born, options[0] if options else DEFAULT, found, rising, 24.0)
