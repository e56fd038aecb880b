"""The map of a page of results: drawn here, so that it needs no tiles and no internet.

Places are those that everybody may know, on a grid of about a kilometre; who shares a point of it
shares a pin.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from server.domain.account import GeoPoint
from server.domain.places import NamedPlace

WIDTH: Final = 640
HEIGHT: Final = 360
_MARGIN: Final = 36
_KM_PER_DEGREE: Final = 111.2
_MOST_PIXELS_PER_KM: Final = 60.0
_RINGS_KM: Final = (1, 2, 5, 10, 25, 50, 100, 200, 400)
_MOST_RINGS: Final = 2
_MOST_NAMES: Final = 8
_NAME_WIDTH: Final = 90
_NAME_HEIGHT: Final = 18


@dataclass(frozen=True, slots=True)
class Pin:
    """One point of the map, and the places in the list (from 1) of those who are there."""

    x: float
    y: float
    numbers: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Ring:
    """A distance around the middle."""

    radius: float
    km: int


@dataclass(frozen=True, slots=True)
class Name:
    """A town or quarter, for orientation."""

    x: float
    y: float
    place: NamedPlace


@dataclass(frozen=True, slots=True)
class SearchMap:
    """What is drawn, in units of the picture. ``x``, ``y`` is where the search was made from."""

    x: float | None
    y: float | None
    pins: tuple[Pin, ...]
    rings: tuple[Ring, ...]
    names: tuple[Name, ...]
    width: int = WIDTH
    height: int = HEIGHT


@dataclass(frozen=True, slots=True)
class _Projection:
    """Flat enough for a country: kilometres east and north of the middle."""

    middle: GeoPoint
    pixels_per_km: float

    def place(self, point: GeoPoint) -> tuple[float, float]:
        east, north = _offset(self.middle, point)
        return (
            round(WIDTH / 2 + east * self.pixels_per_km, 1),
            round(HEIGHT / 2 - north * self.pixels_per_km, 1),
        )

    def box(self) -> tuple[GeoPoint, GeoPoint]:
        """The south-western and the north-eastern corner of the picture."""
        north = HEIGHT / 2 / self.pixels_per_km / _KM_PER_DEGREE
        east = WIDTH / 2 / self.pixels_per_km / (_KM_PER_DEGREE * _narrowing(self.middle))
        at = self.middle
        return (
            GeoPoint(at.latitude - north, at.longitude - east),
            GeoPoint(at.latitude + north, at.longitude + east),
        )


def box_of(
    points: Sequence[GeoPoint | None], near: GeoPoint | None
) -> tuple[GeoPoint, GeoPoint] | None:
    """The corners of the map of these results, None where there is nothing to draw."""
    projection = _projection([each for each in points if each], near)
    return projection.box() if projection else None


def draw(
    points: Sequence[GeoPoint | None],
    near: GeoPoint | None,
    places: Sequence[NamedPlace],
) -> SearchMap | None:
    """Lay out a map of results in their order, None when none of them has a place.

    ``places`` inside the picture are named, the first ones first, as far as there is room.
    """
    known = [each for each in points if each]
    projection = _projection(known, near)
    if projection is None:
        return None
    numbers: dict[tuple[float, float], list[int]] = {}
    for number, point in enumerate(points, 1):
        if point is not None:
            numbers.setdefault(projection.place(point), []).append(number)
    rings: tuple[Ring, ...] = ()
    if near is not None:
        fitting = [
            Ring(round(km * projection.pixels_per_km, 1), km)
            for km in _RINGS_KM
            if km * projection.pixels_per_km < HEIGHT / 2
        ]
        rings = tuple(fitting[-_MOST_RINGS:])
    x, y = projection.place(near) if near is not None else (None, None)
    pins = tuple(Pin(*at, tuple(those)) for at, those in numbers.items())
    return SearchMap(x, y, pins, rings, _names(projection, places))


def _projection(points: Sequence[GeoPoint], near: GeoPoint | None) -> _Projection | None:
    if not points:
        return None
    middle = near or GeoPoint(
        (min(p.latitude for p in points) + max(p.latitude for p in points)) / 2,
        (min(p.longitude for p in points) + max(p.longitude for p in points)) / 2,
    )
    offsets = [_offset(middle, point) for point in points]
    east = max(abs(each[0]) for each in offsets)
    north = max(abs(each[1]) for each in offsets)
    scale = min(
        (WIDTH / 2 - _MARGIN) / max(east, 0.1),
        (HEIGHT / 2 - _MARGIN) / max(north, 0.1),
        _MOST_PIXELS_PER_KM,
    )
    return _Projection(middle, scale)


def _names(projection: _Projection, places: Sequence[NamedPlace]) -> tuple[Name, ...]:
    chosen: list[Name] = []
    for place in places:
        x, y = projection.place(place.point)
        is_inside = _MARGIN / 2 < x < WIDTH - _NAME_WIDTH and _MARGIN / 2 < y < HEIGHT - _MARGIN / 2
        is_free = all(
            abs(each.x - x) > _NAME_WIDTH or abs(each.y - y) > _NAME_HEIGHT for each in chosen
        )
        if is_inside and is_free:
            chosen.append(Name(x, y, place))
        if len(chosen) == _MOST_NAMES:
            break
    return tuple(chosen)


def _offset(middle: GeoPoint, point: GeoPoint) -> tuple[float, float]:
    return (
        (point.longitude - middle.longitude) * _KM_PER_DEGREE * _narrowing(middle),
        (point.latitude - middle.latitude) * _KM_PER_DEGREE,
    )


def _narrowing(point: GeoPoint) -> float:
    return max(0.01, math.cos(math.radians(point.latitude)))
