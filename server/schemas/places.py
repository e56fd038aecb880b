"""Named places on the wire."""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta, Struct

from server.domain.places import NamedPlace
from server.schemas.base import Request


class PlacesQuery(Request, frozen=True, kw_only=True):
    """The beginning of a name, in any spelling; ``country`` is an ISO 3166 code."""

    q: Annotated[str, Meta(min_length=1, max_length=60)]
    country: Annotated[str, Meta(pattern=r"^[A-Z]{2}$")] | None = None
    limit: Annotated[int, Meta(ge=1, le=20)] = 8


class NamedPlaceResponse(Struct, frozen=True, kw_only=True):
    """A place; ``region`` is its district where it lies in Nepal."""

    id: str
    name: str
    name_ne: str
    region: str
    country: str
    latitude: float
    longitude: float
    timezone: str


class PlacesResponse(Struct, frozen=True, kw_only=True):
    """Those that fit, the likeliest first."""

    results: list[NamedPlaceResponse]


def present_place(place: NamedPlace) -> NamedPlaceResponse:
    """Show a named place."""
    return NamedPlaceResponse(
        id=place.id,
        name=place.name,
        name_ne=place.name_ne or place.name,
        region=place.region,
        country=place.country,
        latitude=place.point.latitude,
        longitude=place.point.longitude,
        timezone=place.timezone,
    )
