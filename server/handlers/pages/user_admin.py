"""Administration: accounts."""

from __future__ import annotations

from typing import Final

from server.domain.account import Role
from server.domain.errors import NotFound
from server.handlers.base import ADMIN
from server.handlers.pages.base import Page
from server.handlers.routing import Route
from server.schemas.user_admin import UsersQuery, WhyRequest, present_sheet, present_user_row


class UsersPage(Page):
    """Finding people."""

    roles = ADMIN
    section = "admin"

    async def get(self) -> None:
        """Show those who were asked for, else the newest."""
        query = self.filters(UsersQuery)
        page = await self.services.user_admin.search(
            self.person,
            text=query.q,
            role=query.role,
            is_active=query.is_active,
            limit=query.limit,
            after=self.after(query.cursor),
        )
        following = self.cursor(page.next_key)
        await self.show(
            "admin/users.html",
            title=self.translate("Accounts"),
            rows=[present_user_row(row, self.reader) for row in page.rows],
            query=query,
            roles=tuple(Role),
            following=following and self.here(cursor=following),
        )


class UserPage(Page):
    """One account."""

    roles = ADMIN
    section = "admin"

    async def get(self, user_id: str) -> None:
        """Show it with what belongs to it."""
        sheet = await self.services.user_admin.look_at(self.person, user_id)
        await self.show(
            "admin/user.html",
            title=sheet.user.full_name,
            user=present_sheet(sheet, self.reader),
        )


class UserActPage(Page):
    """What an administrator does to an account."""

    roles = ADMIN

    async def post(self, user_id: str, act: str) -> None:
        """Do it and show the account again."""
        users = self.services.user_admin
        acts = {
            "deactivate": (users.close, self.translate("The account is closed.")),
            "reactivate": (users.reopen, self.translate("The account is open again.")),
            "sign-out": (users.sign_out, self.translate("All sign-ins have ended.")),
        }
        if act not in acts:
            raise NotFound
        back = f"/admin/users/{user_id}/"

        async def done() -> str:
            do, said = acts[act]
            await do(self.person, user_id, self.read(WhyRequest).reason)
            self.flash("good", said)
            return back

        await self.do(done, back)


ROUTES: Final = (
    Route("/admin/users/", UsersPage, "page-admin-users"),
    Route("/admin/users/{id}/", UserPage, "page-admin-user"),
    Route("/admin/users/{id}/{act}/", UserActPage, "page-admin-user-act"),
)
