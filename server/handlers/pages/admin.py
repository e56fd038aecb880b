"""Administration: who asks to be verified."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from server.domain.errors import FieldFault, Invalid
from server.domain.pandit import VerificationStatus
from server.domain.search import PanditProfile
from server.handlers.base import ADMIN
from server.handlers.page_base import Form
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
        await self._show(
            page.rows,
            query.verification_status,
            following=following and self.here(cursor=following),
        )

    async def _show(
        self,
        profiles: Sequence[PanditProfile],
        status: VerificationStatus,
        *,
        following: str | None = None,
        form: Form | None = None,
        decided: str = "",
        back: str | None = None,
    ) -> None:
        """Show these; ``form`` is what was refused about the pandit ``decided``."""
        await self.show(
            "admin/pandits.html",
            title=self.translate("Verification of pandits"),
            pandits=[present_own(profile, self.reader) for profile in profiles],
            status=status,
            statuses=tuple(VerificationStatus),
            following=following,
            decision_form=form or Form(),
            decided=decided,
            back=self.here() if back is None else back,
        )


class VerifyPage(VerificationsPage):
    """The decision about one of them."""

    async def get(self, pandit_id: str) -> None:  # type: ignore[override]  # with his id
        """Go to the list on which he stands."""
        profile = await self.services.pandits.profile(self.person, pandit_id)
        self.go(f"{_BACK}?verification_status={profile.pandit.verification_status}")

    async def post(self, pandit_id: str) -> None:
        """Approve, or reject with what he has to mend."""
        back = self.next_path(_BACK)

        async def decide() -> str:
            body = self.read(VerifyRequest)
            is_approved = body.decision is Decision.APPROVE
            if not is_approved and not body.notes:
                raise Invalid(FieldFault("notes", "required"))
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

        async def again(form: Form) -> None:
            profile = await self.services.pandits.profile(self.person, pandit_id)
            status = profile.pandit.verification_status
            await self._show([profile], status, form=form, decided=pandit_id, back=back)

        await self.submit(decide, again)


ROUTES: Final = (
    Route("/admin/pandits/", VerificationsPage, "page-admin-pandits"),
    Route("/admin/pandits/{id}/", VerifyPage, "page-admin-pandit"),
)
