"""Feedback on recommendations, and one's preferences about samagri."""

from __future__ import annotations

from typing import Final

from server.domain.account import Actor
from server.domain.errors import NotFound
from server.handlers.base import ApiHandler, operation
from server.handlers.routing import Route
from server.schemas.base import PageQuery, PageResponse
from server.schemas.feedback import (
    FeedbackRequest,
    FeedbackResponse,
    PreferenceRequest,
    PreferenceResponse,
    present_preference,
)
from server.services.learning import Report


class FeedbackHandler(ApiHandler):
    """``/api/recommendations/feedback/``."""

    @operation("Say what became of a recommendation; saying it again changes nothing")
    async def post(self, actor: Actor, body: FeedbackRequest) -> FeedbackResponse:
        surface, targets = body.named()
        recorded = await self.services.learning.report(
            actor,
            Report(kind=body.feedback_kind, surface=surface, targets=targets, rec_id=body.rec_id),
        )
        return FeedbackResponse(recorded=recorded)


class PreferencesHandler(ApiHandler):
    """``/api/users/me/samagri-preferences/``."""

    @operation("List one's favourite and hidden items of samagri, by item")
    async def get(self, actor: Actor, query: PageQuery) -> PageResponse[PreferenceResponse]:
        page = await self.services.preferences.list_own(
            actor, limit=query.limit, after=self.after(query.cursor)
        )
        return PageResponse(
            results=[present_preference(row, self.reader) for row in page.rows],
            next=self.cursor(page.next_key),
        )


class PreferenceHandler(ApiHandler):
    """``/api/users/me/samagri-preferences/{item_id}/``."""

    @operation("Make an item a favourite, or never have it suggested again")
    async def put(self, item_id: str, actor: Actor, body: PreferenceRequest) -> PreferenceResponse:
        kept = await self.services.preferences.put(actor, item_id, body.preference)
        return present_preference(kept, self.reader)

    @operation("Take back what one said of an item", status=204, errors=(NotFound,))
    async def delete(self, item_id: str, actor: Actor) -> None:
        await self.services.preferences.remove(actor, item_id)


ROUTES: Final = (
    Route("/api/recommendations/feedback/", FeedbackHandler, "recommendation-feedback"),
    Route("/api/users/me/samagri-preferences/", PreferencesHandler, "samagri-preferences"),
    Route("/api/users/me/samagri-preferences/{item_id}/", PreferenceHandler, "samagri-preference"),
)
