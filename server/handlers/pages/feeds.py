"""The calendar feed: switching it on, renewing it, switching it off."""

from __future__ import annotations

from typing import Final

from server.domain.errors import NotFound
from server.handlers.base import CUSTOMER, PANDIT
from server.handlers.pages.base import Page
from server.handlers.routing import Route
from server.schemas.feeds import NewFeedResponse, present_feed, present_new_feed

_BACK: Final = "/account/calendar/"


class FeedPage(Page):
    """Whether there is a feed, and its address in the moment in which it is made."""

    roles = CUSTOMER | PANDIT
    section = "account"

    async def get(self) -> None:
        """Show it."""
        await self._show(None)

    async def post(self) -> None:
        """Do what the button says. A new address is shown at once: it is kept nowhere."""
        wanted = self.typed.get("do", "")
        if wanted == "renew":
            feed, token = await self.services.feeds.renew(self.person)
            await self._show(present_new_feed(feed, token, self.site_url, self.reader))
        elif wanted == "off":
            await self.services.feeds.switch_off(self.person)
            self.flash("good", self.translate("The calendar address is switched off."))
            self.go(_BACK)
        else:
            raise NotFound

    async def _show(self, made: NewFeedResponse | None) -> None:
        self.set_header("Referrer-Policy", "no-referrer")
        if made is not None:
            self.set_header("Cache-Control", "no-store")
        await self.show(
            "account/calendar.html",
            title=self.translate("Your bookings in your calendar"),
            feed=present_feed(await self.services.feeds.find(self.person), self.reader),
            made=made,
        )


ROUTES: Final = (Route(_BACK, FeedPage, "page-calendar-feed"),)
