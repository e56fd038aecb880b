"""Named places: where "Lalitpur" is, without a service on the internet."""

from __future__ import annotations

from dataclasses import dataclass

from server.domain.account import GeoPoint
from server.domain.search import words_of
from server.domain.spelling import key_of


@dataclass(frozen=True, slots=True, kw_only=True)
class NamedPlace:
    """A town, or a quarter of one.

    ``region`` is the district in Nepal and empty elsewhere, ``country`` an ISO 3166 code of two
    letters, ``timezone`` a name of the tz database. ``name_ne`` is empty where it is not known.
    """

    id: str
    name: str
    name_ne: str
    region: str
    country: str
    point: GeoPoint
    timezone: str


def place_key(name: str) -> str:
    """The key of a whole name: alike for all its spellings, and for how its words are parted."""
    return "".join(key_of(word) for word in words_of(name))
