"""The Swiss Ephemeris against another program over another theory: skyfield with JPL's DE421."""

from __future__ import annotations

import random
from pathlib import Path

import pytest
import skyfield_data
import swisseph
from skyfield.api import Loader
from skyfield.framelib import ecliptic_frame

from kundali.ephemeris import Graha, position
from tests.unit.kundali.support import apart

DAYS = [random.Random(20260413).uniform(2433282.5, 2469807.5) for _ in range(200)]
"""Two hundred instants of the years 1950 to 2050."""
BODIES = {
    Graha.SUN: "sun",
    Graha.MOON: "moon",
    Graha.MARS: "mars",
    Graha.MERCURY: "mercury",
    Graha.JUPITER: "jupiter barycenter",
    Graha.VENUS: "venus",
    Graha.SATURN: "saturn barycenter",
}
ARC_SECONDS = {Graha.MOON: 5.0}


@pytest.fixture(scope="module")
def sky():
    # Not by the package's own function: it warns of an old table of the Earth's rotation, by the
    # day's date, and in terrestrial time that table is not asked.
    load = Loader(Path(skyfield_data.__file__).parent / "data", verbose=False)
    planets = load("de421.bsp")
    yield load.timescale(builtin=True), planets
    planets.close()


@pytest.mark.parametrize("graha", BODIES)
def test_positions_equal_those_over_jpl_at_two_hundred_instants(sky, graha):
    timescale, planets = sky
    # The two programs predict delta-T of coming decades otherwise, by seconds: they are compared
    # at one instant of terrestrial time, the scale that both theories run on.
    times = timescale.tt_jd([day + delta_t(day) for day in DAYS])
    seen = planets["earth"].at(times).observe(planets[BODIES[graha]]).apparent()
    _, longitudes, _ = seen.frame_latlon(ecliptic_frame)
    off = [
        apart(position(day, graha, None).longitude, longitude) * 3600
        for day, longitude in zip(DAYS, longitudes.degrees, strict=True)
    ]
    assert max(off) <= ARC_SECONDS.get(graha, 2.0)


def delta_t(julian_day_ut):
    return swisseph.deltat_ex(julian_day_ut, swisseph.FLG_MOSEPH)
