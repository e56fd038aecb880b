"""Names of towns to positions, for people who search or enter where they were born."""

from __future__ import annotations

from typing import Final

from server.handlers.base import ApiHandler, operation
from server.handlers.routing import Route
from server.schemas.places import PlacesQuery, PlacesResponse, present_place


class PlacesHandler(ApiHandler):
    """Places by name."""

    @operation("Find towns and quarters by the beginning of their name, in any spelling")
    async def get(self, query: PlacesQuery) -> PlacesResponse:
        found = self.services.places.search(query.q, limit=query.limit, country=query.country)
        return PlacesResponse(results=[present_place(place) for place in found])


ROUTES: Final = (Route("/api/places/", PlacesHandler, "places"),)
