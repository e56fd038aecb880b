"""Bookings for people's own calendars."""

from __future__ import annotations

from typing import Any, Final

from server.domain.account import Actor
from server.domain.errors import NotFound
from server.handlers.base import CUSTOMER, PANDIT, ApiHandler, operation
from server.handlers.capabilities import CapabilityHandler
from server.handlers.routing import Route
from server.schemas.feeds import FeedResponse, NewFeedResponse, present_feed, present_new_feed


class _CalendarFile(ApiHandler):
    """Base of handlers that send a calendar; Tornado adds the ETag and answers 304 by it."""

    def _send(self, status: int, answer: Any) -> None:
        self.set_status(status)
        self.set_header("Content-Type", "text/calendar; charset=utf-8")
        self.set_header("Cache-Control", "private, no-cache")
        self.write(answer)


class BookingCalendarHandler(_CalendarFile):
    """``/api/bookings/{id}/booking.ics``."""

    @operation("Get a booking as a file for one's own calendar", errors=(NotFound,))
    async def get(self, booking_id: str, actor: Actor) -> bytes:
        booking = await self.services.bookings.get(actor, booking_id)
        self.set_header("Content-Disposition", f'attachment; filename="booking-{booking.id}.ics"')
        self.set_header("Vary", "Accept-Language, Authorization, Cookie")
        return await self.services.calendars.calendar(
            [booking], actor, self.reader.language, self.site_url
        )


class FeedHandler(CapabilityHandler):
    """``/api/users/me/calendar-feed/``."""

    @operation("Whether one's calendar feed is on", roles=CUSTOMER | PANDIT)
    async def get(self, actor: Actor) -> FeedResponse:
        return present_feed(await self.services.feeds.find(actor), self.reader)

    @operation(
        "Switch the calendar feed on under a new address; an earlier one holds no more",
        status=201,
        roles=CUSTOMER | PANDIT,
        idempotent=True,
    )
    async def post(self, actor: Actor) -> NewFeedResponse:
        feed, token = await self.services.feeds.renew(actor, self.new_token())
        return present_new_feed(feed, token, self.site_url, self.reader)

    @operation("Switch the calendar feed off", status=204, roles=CUSTOMER | PANDIT)
    async def delete(self, actor: Actor) -> None:
        await self.services.feeds.switch_off(actor)


class FeedFileHandler(_CalendarFile):
    """``/calendar/feeds/{token}.ics``: who knows the address reads, whoever is signed in."""

    @operation(
        "Read somebody's bookings under his private address", door="feed", errors=(NotFound,)
    )
    async def get(self, token: str) -> bytes:
        agenda = await self.services.feeds.read(token)
        # The address is the secret: it must not travel on, nor be found by searching.
        self.set_header("Referrer-Policy", "no-referrer")
        self.set_header("X-Robots-Tag", "noindex, nofollow")
        reader = agenda.reader
        return await self.services.calendars.calendar(
            agenda.bookings, reader, reader.language, self.site_url
        )


ROUTES: Final = (
    Route("/api/bookings/{booking_id}/booking.ics", BookingCalendarHandler, "booking-calendar"),
    Route("/api/users/me/calendar-feed/", FeedHandler, "calendar-feed"),
    Route("/calendar/feeds/{token}.ics", FeedFileHandler, "calendar-feed-file"),
)
