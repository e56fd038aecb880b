"""Recommendations, and the models behind them."""

from __future__ import annotations

from typing import Final

from server.domain.account import Actor
from server.domain.errors import GatesFailed, ModelRefused, NotFound
from server.handlers.base import ADMIN, ApiHandler, operation
from server.handlers.routing import Route
from server.schemas.recommendations import (
    ActivateRequest,
    LiveModelResponse,
    ModelsQuery,
    ModelsResponse,
    NextPujaQuery,
    NextPujasResponse,
    RankingQuery,
    RankingResponse,
    SamagriAdviceResponse,
    SamagriQuery,
    TogetherQuery,
    TogetherResponse,
    present_models,
    present_next_puja,
    present_place,
    present_samagri_advice,
    present_state,
    present_together,
)


class SamagriAdviceHandler(ApiHandler):
    """Samagri for a puja."""

    @operation("Recommend samagri for a puja, within a budget", errors=(NotFound,))
    async def get(self, actor: Actor | None, query: SamagriQuery) -> SamagriAdviceResponse:
        advice = await self.services.recommendations.samagri(
            actor, query.puja_id, occasion=query.occasion(), budget=query.budget
        )
        return present_samagri_advice(advice)


class TogetherHandler(ApiHandler):
    """What goes with an item."""

    @operation("Recommend what goes with an item of samagri", errors=(NotFound,))
    async def get(self, actor: Actor | None, query: TogetherQuery) -> TogetherResponse:
        advice = await self.services.recommendations.together(
            actor, query.item_id, limit=query.limit
        )
        return present_together(advice.items, advice.model_version, advice.rec_id)


class RankingHandler(ApiHandler):
    """Pandits for a puja."""

    @operation("Recommend pandits for a puja, with what speaks for each", errors=(NotFound,))
    async def get(self, actor: Actor | None, query: RankingQuery) -> RankingResponse:
        advice = await self.services.recommendations.pandits(
            actor, query.puja_id, near=query.near(), day=query.date, limit=query.limit
        )
        return RankingResponse(
            results=[present_place(each.place, each.card, self.reader) for each in advice.places],
            model_version=advice.model_version,
            rec_id=advice.rec_id,
        )


class NextPujasHandler(ApiHandler):
    """The puja to hold next."""

    @operation("Propose pujas to hold next: festivals ahead, the season, one's own rhythm")
    async def get(self, actor: Actor, query: NextPujaQuery) -> NextPujasResponse:
        found = await self.services.recommendations.next_pujas(actor, limit=query.limit)
        return NextPujasResponse(
            results=[present_next_puja(each) for each in found.proposals],
            model_version=found.model_version,
            rec_id=found.rec_id,
        )


class ModelsHandler(ApiHandler):
    """The trained models."""

    @operation("List the trained models, which of them serves, and what was refused", roles=ADMIN)
    async def get(self, actor: Actor, query: ModelsQuery) -> ModelsResponse:
        recommendations = self.services.recommendations
        listing = await recommendations.model_versions(query.limit)
        return present_models(listing, recommendations.model_state, self.reader)


class ActivateModelHandler(ApiHandler):
    """Which trained model serves."""

    @operation(
        "Let a trained model serve, in all processes",
        roles=ADMIN,
        errors=(NotFound, GatesFailed, ModelRefused),
    )
    async def post(self, version: str, actor: Actor, body: ActivateRequest) -> LiveModelResponse:
        state = await self.services.recommendations.activate_model(
            actor, version, reason=body.reason, force=body.force
        )
        return present_state(state, self.reader)


ROUTES: Final = (
    Route("/api/recommendations/samagri/", SamagriAdviceHandler, "recommended-samagri"),
    Route("/api/recommendations/together/", TogetherHandler, "recommended-together"),
    Route("/api/recommendations/pandits/", RankingHandler, "recommended-pandits"),
    Route("/api/recommendations/bookings/", NextPujasHandler, "recommended-bookings"),
    Route("/api/admin/models/", ModelsHandler, "admin-models"),
    Route("/api/admin/models/{version}/activate/", ActivateModelHandler, "admin-model-activate"),
)
