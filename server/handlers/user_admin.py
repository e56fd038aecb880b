"""Administration of accounts."""

from __future__ import annotations

from typing import Final

from server.domain.account import Actor
from server.domain.errors import LastAdmin, NotFound, OwnAccount
from server.handlers.base import ADMIN, ApiHandler, operation
from server.handlers.routing import Route
from server.schemas.base import PageResponse
from server.schemas.user_admin import (
    UserRowResponse,
    UserSheetResponse,
    UsersQuery,
    WhyRequest,
    present_sheet,
    present_user_row,
)


class UsersHandler(ApiHandler):
    """``/api/admin/users/``."""

    @operation("Find accounts by phone, name, user name or email", roles=ADMIN)
    async def get(self, actor: Actor, query: UsersQuery) -> PageResponse[UserRowResponse]:
        page = await self.services.user_admin.search(
            actor,
            text=query.q,
            role=query.role,
            is_active=query.is_active,
            limit=query.limit,
            after=self.after(query.cursor),
        )
        return PageResponse(
            results=[present_user_row(row, self.reader) for row in page.rows],
            next=self.cursor(page.next_key),
        )


class UserHandler(ApiHandler):
    """``/api/admin/users/{id}/``."""

    @operation("Show an account with what belongs to it", roles=ADMIN, errors=(NotFound,))
    async def get(self, user_id: str, actor: Actor) -> UserSheetResponse:
        return present_sheet(await self.services.user_admin.look_at(actor, user_id), self.reader)


class DeactivateHandler(ApiHandler):
    """``/api/admin/users/{id}/deactivate/``."""

    @operation(
        "Close an account; its sessions and sockets end at once",
        roles=ADMIN,
        errors=(NotFound, OwnAccount, LastAdmin),
    )
    async def post(self, user_id: str, actor: Actor, body: WhyRequest) -> UserSheetResponse:
        sheet = await self.services.user_admin.close(actor, user_id, body.reason)
        return present_sheet(sheet, self.reader)


class ReactivateHandler(ApiHandler):
    """``/api/admin/users/{id}/reactivate/``."""

    @operation("Open a closed account again", roles=ADMIN, errors=(NotFound,))
    async def post(self, user_id: str, actor: Actor, body: WhyRequest) -> UserSheetResponse:
        sheet = await self.services.user_admin.reopen(actor, user_id, body.reason)
        return present_sheet(sheet, self.reader)


class SignOutHandler(ApiHandler):
    """``/api/admin/users/{id}/sign-out/``."""

    @operation("End all sign-ins of an account", roles=ADMIN, errors=(NotFound,))
    async def post(self, user_id: str, actor: Actor, body: WhyRequest) -> UserSheetResponse:
        sheet = await self.services.user_admin.sign_out(actor, user_id, body.reason)
        return present_sheet(sheet, self.reader)


ROUTES: Final = (
    Route("/api/admin/users/", UsersHandler, "admin-users"),
    Route("/api/admin/users/{id}/", UserHandler, "admin-user"),
    Route("/api/admin/users/{id}/deactivate/", DeactivateHandler, "admin-user-deactivate"),
    Route("/api/admin/users/{id}/reactivate/", ReactivateHandler, "admin-user-reactivate"),
    Route("/api/admin/users/{id}/sign-out/", SignOutHandler, "admin-user-sign-out"),
)
