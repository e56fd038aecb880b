"""Administration: the verification of pandits."""

from __future__ import annotations

from typing import Final

from server.domain.account import Actor
from server.domain.errors import NotFound
from server.handlers.base import ADMIN, ApiHandler, operation
from server.handlers.routing import Route
from server.schemas.admin import Decision, VerificationQuery, VerifyRequest
from server.schemas.base import PageResponse
from server.schemas.pandits import OwnPanditResponse, present_own


class VerificationsHandler(ApiHandler):
    """Pandits by where the check of their papers stands."""

    @operation("List pandits by verification status, the longest waiting first", roles=ADMIN)
    async def get(self, actor: Actor, query: VerificationQuery) -> PageResponse[OwnPanditResponse]:
        page = await self.services.pandits.list_for_verification(
            query.verification_status, limit=query.limit, after=self.after(query.cursor)
        )
        return PageResponse(
            results=[present_own(profile, self.reader) for profile in page.rows],
            next=self.cursor(page.next_key),
        )


class VerifyHandler(ApiHandler):
    """The decision about a pandit's papers."""

    @operation("Approve or reject a pandit; he is told", roles=ADMIN, errors=(NotFound,))
    async def post(self, pandit_id: str, actor: Actor, body: VerifyRequest) -> OwnPanditResponse:
        profile = await self.services.pandits.verify(
            actor, pandit_id, is_approved=body.decision is Decision.APPROVE, notes=body.notes
        )
        return present_own(profile, self.reader)


ROUTES: Final = (
    Route("/api/admin/pandits/", VerificationsHandler, "admin-pandits"),
    Route("/api/admin/pandits/{id}/verify/", VerifyHandler, "admin-pandit-verify"),
)
