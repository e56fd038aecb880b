"""One's notifications."""

from __future__ import annotations

from typing import Final

from server.handlers.base import ANYONE
from server.handlers.pages.base import Page
from server.handlers.routing import Route
from server.schemas.notifications import NotificationResponse, present_notification

_PER_PAGE: Final = 20
_ICONS: Final = {
    "NEW_MESSAGE": "message-circle",
    "PANDIT_VERIFIED": "badge-check",
    "PANDIT_REJECTED": "circle-x",
    "PANDIT_REGISTERED": "user-round",
    "BOOKING_CANCELLED": "calendar-x",
    "BOOKING_REJECTED": "calendar-x",
    "BOOKING_FAILED": "calendar-x",
    "BOOKING_ACCEPTED": "calendar-check",
    "BOOKING_COMPLETED": "circle-check",
}


class NotificationsPage(Page):
    """All of them, the newest first."""

    roles = ANYONE
    section = "notifications"

    async def get(self) -> None:
        """Show them."""
        cursor = self.get_query_argument("cursor", "") or None
        page = await self.services.notifications.list_page(
            self.person, unread_only=False, limit=_PER_PAGE, after=self.after(cursor)
        )
        following = self.cursor(page.next_key)
        rows = [present_notification(row, self.reader) for row in page.rows]
        await self.show(
            "account/notifications.html",
            title=self.translate("Notifications"),
            rows=rows,
            has_unread=any(not row.is_read for row in rows),
            target=self._target,
            picture=lambda row: _ICONS.get(row.notification_type, "calendar-clock"),
            following=following and self.here(cursor=following),
        )

    async def post(self) -> None:
        """Mark all of them as read."""
        await self.services.notifications.mark_read(self.person)
        self.flash("good", self.translate("All notifications are marked as read."))
        self.go("/notifications/")

    def _target(self, row: NotificationResponse) -> str:
        """Where a notification leads."""
        if row.notification_type == "PANDIT_REGISTERED":
            return "/admin/pandits/"
        if row.notification_type.startswith("PANDIT_"):
            return "/pandit/profile/"
        if row.notification_type == "NEW_MESSAGE" and (room := row.data.get("room_id")):
            return f"/chats/{room}/"
        return f"/bookings/{row.booking}/" if row.booking else "/notifications/"


ROUTES: Final = (Route("/notifications/", NotificationsPage, "page-notifications"),)
