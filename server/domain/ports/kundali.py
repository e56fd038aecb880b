"""Kept birth charts, the places they are cast for, and festivals."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date, datetime
from typing import Protocol

from server.domain.account import GeoPoint
from server.domain.chart import SavedChart
from server.domain.places import NamedPlace
from server.domain.ports.paging import Page, SortKey
from server.domain.recommendation import (
    FestivalDay,
)


class ChartRepository(Protocol):
    """The birth charts that people keep."""

    async def add(self, chart: SavedChart) -> None:
        """Store a chart."""
        ...

    async def count_of(self, user_id: str, *, limit: int) -> int:
        """Return how many charts a person keeps, up to the limit."""
        ...

    async def find(self, chart_id: str) -> SavedChart | None:
        """Return the chart, or None."""
        ...

    async def find_shared(self, share_hash: str) -> SavedChart | None:
        """Return the chart whose link has a token of that hash, or None."""
        ...

    async def share(
        self,
        chart_id: str,
        user_id: str,
        share_hash: str,
        expires_at: datetime | None,
        *,
        with_birth: bool,
    ) -> bool:
        """Put a link in place of the one before; whether there is such a chart of that person."""
        ...

    async def remove(self, chart_id: str, user_id: str) -> bool:
        """Delete a person's chart; whether there was one."""
        ...

    async def list_page(
        self, user_id: str, *, limit: int, after: SortKey | None
    ) -> Page[SavedChart]:
        """Return a person's charts, the newest first; the sort key is (created_at, id)."""
        ...


class PlaceDirectory(Protocol):
    """Towns and quarters by name, in memory; a call never waits."""

    def search(self, text: str, *, limit: int, country: str | None = None) -> Sequence[NamedPlace]:
        """Return places whose name, in any spelling, begins like that; the likeliest first.

        ``country`` is an ISO 3166 code of two letters; without one, Nepal's come before others.
        """
        ...

    def find(self, place_id: str) -> NamedPlace | None:
        """Return the place of that id, or None."""
        ...

    def within(self, south_west: GeoPoint, north_east: GeoPoint) -> Sequence[NamedPlace]:
        """Return Nepal's places between those corners, the largest first."""
        ...

    def named(self, text: str) -> NamedPlace | None:
        """Return the one place that is likeliest meant by a whole name, or None."""
        ...


class ZoneMap(Protocol):
    """The map of the world's time zones."""

    def zone_at(self, point: GeoPoint) -> str:
        """Return the IANA name of the zone at a position; for the workers, it may read files."""
        ...


class FestivalCalendar(Protocol):
    """The days of festivals on which families hold pujas."""

    async def between(self, first: date, last: date) -> Sequence[FestivalDay]:
        """Return those from the one day to the other, both included, in order.

        Raises ``Overloaded`` when they are not at hand and too many wait for others.
        """
        ...
