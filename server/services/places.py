"""Finding places by name."""

from __future__ import annotations

from collections.abc import Sequence

from server.domain.account import GeoPoint
from server.domain.places import NamedPlace
from server.domain.ports import PlaceDirectory


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
