"""One's own notifications."""

from __future__ import annotations

from typing import Final

from server.domain.account import Actor
from server.handlers.base import ApiHandler, operation
from server.handlers.routing import Route
from server.schemas.base import PageResponse
from server.schemas.notifications import (
    NotificationQuery,
    NotificationReadRequest,
    NotificationResponse,
    UnreadResponse,
    present_notification,
)


class NotificationsHandler(ApiHandler):
    """``/api/notifications/``."""

    @operation("List one's notifications, newest first")
    async def get(
        self, actor: Actor, query: NotificationQuery
    ) -> PageResponse[NotificationResponse]:
        page = await self.services.notifications.list_page(
            actor,
            unread_only=query.unread,
            limit=query.limit,
            after=self.after(query.cursor),
        )
        return PageResponse(
            results=[present_notification(row, self.reader) for row in page.rows],
            next=self.cursor(page.next_key),
        )


class NotificationReadHandler(ApiHandler):
    """``/api/notifications/read/``."""

    @operation("Mark one's notifications as read")
    async def post(self, actor: Actor, body: NotificationReadRequest) -> UnreadResponse:
        body.require_one()
        unread = await self.services.notifications.mark_read(actor, ids=body.ids, up_to=body.up_to)
        return UnreadResponse(unread=unread)


ROUTES: Final = (
    Route("/api/notifications/", NotificationsHandler, "notifications"),
    Route("/api/notifications/read/", NotificationReadHandler, "notification_read"),
)
