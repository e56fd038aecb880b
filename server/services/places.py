"""Finding places by name."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace
from typing import Final

from server.domain.account import GeoPoint, Place
from server.domain.places import NamedPlace, place_key
from server.domain.ports.kundali import PlaceDirectory

_ADDED: Final = re.compile(r"[,/(;0-9०-९-]")
"""With what people go on behind a name: "Pokhara-6", "Kathmandu, Nepal"."""
_AREA_WITHIN_KM: Final = 30.0
"""A quarter lies no further from the middle of its town; what does is a namesake."""


class PlaceService:
    """The use cases of named places; open to everybody."""

    def __init__(self, places: PlaceDirectory) -> None:
        self._places = places

    def search(self, text: str, *, limit: int, country: str | None = None) -> Sequence[NamedPlace]:
        """Return places whose name begins like that, the likeliest first; Nepal's before others."""
        return self._places.search(text, limit=limit, country=country)

    def within(self, south_west: GeoPoint, north_east: GeoPoint) -> Sequence[NamedPlace]:
        """Return Nepal's places between those corners, the largest first."""
        return self._places.within(south_west, north_east)

    def named(self, text: str) -> NamedPlace | None:
        """Return the one place that is likeliest meant by a whole name, or None."""
        return self._places.named(text)

    def nepali_name(self, text: str) -> str:
        """Return how Nepali writes the place that was typed by its own name, else the text.

        By-names stay as they are: whoever says Patan reads of Patan.
        """
        known = self._places.named(text)
        is_its_own = known is not None and place_key(known.name) == place_key(text)
        return (known.name_ne or text) if known and is_its_own else text

    def located(self, place: Place) -> Place:
        """Return the place with a position: its own, else that of its area, else of its city.

        What is looked up is the middle of a quarter or of a town, kilometres wide of the door. An
        area counts only near the city that is named with it: quarters of many towns are called
        alike. A place that no table knows stays without a position.
        """
        if place.point is not None:
            return place
        city, area = self._known(place.city), self._known(place.area)
        if place.city.strip() and (
            city is None or area is None or area.point.distance_km(city.point) > _AREA_WITHIN_KM
        ):
            area = None
        found = area or city
        return place if found is None else replace(place, point=found.point)

    def _known(self, text: str) -> NamedPlace | None:
        name = _ADDED.split(text, maxsplit=1)[0]
        return self._places.named(text) or (self._places.named(name) if name != text else None)
