"""One's notifications."""

from __future__ import annotations

from typing import Final

from server.domain.account import Role
from server.domain.notification import Channel
from server.handlers.base import ANYONE
from server.handlers.pages.base import Page
from server.handlers.routing import Route
from server.schemas.notifications import present_notification
from server.services.notification_texts import WORDINGS
from server.services.push import kinds_for

_PER_PAGE: Final = 20
_ICONS: Final = {
    "NEW_MESSAGE": "message-circle",
    "PANDIT_VERIFIED": "badge-check",
    "PANDIT_REJECTED": "circle-x",
    "PANDIT_REGISTERED": "user-round",
    "PANDIT_RESUBMITTED": "user-round",
    "BOOKING_CANCELLED": "calendar-x",
    "BOOKING_REJECTED": "calendar-x",
    "BOOKING_FAILED": "calendar-x",
    "BOOKING_PASSED_ON": "calendar-x",
    "BOOKING_ACCEPTED": "calendar-check",
    "BOOKING_COMPLETED": "circle-check",
    "REVIEW_SUBMITTED": "star",
    "REVIEW_REPORTED": "star",
    "REVIEW_RECEIVED": "star",
    "REVIEW_PUBLISHED": "star",
    "REVIEW_WITHDRAWN": "star",
    "REVIEW_REPLIED": "message-circle",
    "BOOKING_REMINDER": "bell",
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
            picture=lambda row: _ICONS.get(row.notification_type, "calendar-clock"),
            following=following and self.here(cursor=following),
        )

    async def post(self) -> None:
        """Mark all of them as read."""
        await self.services.notifications.mark_read(self.person)
        self.flash("good", self.translate("All notifications are marked as read."))
        self.go("/notifications/")


class PreferencesPage(Page):
    """What one wants to hear of, and how."""

    roles = ANYONE
    section = "notifications"

    async def get(self) -> None:
        """Show the table of kinds and channels."""
        preferences = await self.services.push.preferences(self.person)
        await self.show(
            "account/notification_preferences.html",
            title=self.translate("What we tell you, and how"),
            kinds=[
                (kind, self.translate(WORDINGS[kind].title)) for kind in kinds_for(self.person.role)
            ],
            channels=tuple(Channel),
            preferences=preferences,
            has_push=self.services.push.is_enabled,
            is_customer=self.person.role is Role.USER,
        )

    async def post(self) -> None:
        """Keep what was ticked."""
        wanted = set(self.get_body_arguments("wanted"))
        kinds = kinds_for(self.person.role)
        muted = {
            (kind, channel)
            for kind in kinds
            for channel in Channel
            if f"{kind}:{channel}" not in wanted
        }
        await self.services.push.set_preferences(
            self.person,
            muted,
            wants_digest="digest" in wanted,
            # Others have no such box: nothing is proposed to them.
            wants_proposals="proposals" in wanted or self.person.role is not Role.USER,
        )
        self.flash("good", self.translate("Saved."))
        self.go("/notifications/preferences/")


ROUTES: Final = (
    Route("/notifications/", NotificationsPage, "page-notifications"),
    Route("/notifications/preferences/", PreferencesPage, "page-notification-preferences"),
)
