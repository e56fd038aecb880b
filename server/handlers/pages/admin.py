"""Administration: who asks to be verified."""

from __future__ import annotations

from typing import Final

from server.domain.pandit import VerificationStatus
from server.handlers.base import ADMIN
from server.handlers.pages.base import Page
from server.handlers.routing import Route
from server.schemas.admin import Decision, VerificationQuery, VerifyRequest
from server.schemas.pandits import present_own

_BACK: Final = "/admin/pandits/"


class VerificationsPage(Page):
    """Pandits by where the check of their papers stands."""

    roles = ADMIN
    section = "admin"

    async def get(self) -> None:
        """Show them, the longest waiting first."""
        query = self.filters(VerificationQuery)
        page = await self.services.pandits.list_for_verification(
            query.verification_status, limit=query.limit, after=self.after(query.cursor)
        )
        following = self.cursor(page.next_key)
        await self.show(
            "admin/pandits.html",
            title=self.translate("Verification of pandits"),
            pandits=[present_own(profile, self.reader) for profile in page.rows],
            status=query.verification_status,
            statuses=tuple(VerificationStatus),
            following=following and self.here(cursor=following),
        )


class VerifyPage(Page):
    """The decision about one of them."""

    roles = ADMIN

    async def post(self, pandit_id: str) -> None:
        """Approve or reject."""
        back = self.next_path(_BACK)

        async def decide() -> str:
            body = self.read(VerifyRequest)
            is_approved = body.decision is Decision.APPROVE
            profile = await self.services.pandits.verify(
                self.person, pandit_id, is_approved=is_approved, notes=body.notes
            )
            name = profile.pandit.full_name
            self.flash(
                "good",
                self.translate("{name} is approved and has been told.", name=name)
                if is_approved
                else self.translate("{name} is rejected and has been told.", name=name),
            )
            return back

        await self.do(decide, back)


ROUTES: Final = (
    Route("/admin/pandits/", VerificationsPage, "page-admin-pandits"),
    Route("/admin/pandits/{id}/", VerifyPage, "page-admin-pandit"),
)
