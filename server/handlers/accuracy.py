"""How good recommendations are, for admins."""

from __future__ import annotations

from typing import Final

from server.domain.account import Actor
from server.handlers.base import ADMIN, ApiHandler, operation
from server.handlers.routing import Route
from server.schemas.accuracy import AccuracyQuery, AccuracyResponse, present_accuracy


class AccuracyHandler(ApiHandler):
    """``/api/admin/recommendations/accuracy/``."""

    @operation("Show what became of recommendations, by model and arm", roles=ADMIN)
    async def get(self, actor: Actor, query: AccuracyQuery) -> AccuracyResponse:
        query.require_both()
        accuracy = await self.services.accuracy.accuracy(query.version, query.surface)
        return present_accuracy(accuracy)


ROUTES: Final = (
    Route("/api/admin/recommendations/accuracy/", AccuracyHandler, "recommendation-accuracy"),
)
