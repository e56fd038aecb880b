"""What waits for a pandit: requests to answer, pujas to hold."""

from __future__ import annotations

from typing import Final

from server.domain.booking import BookingStatus
from server.domain.calendar import local_today
from server.handlers.base import PANDIT
from server.handlers.pages.base import Page
from server.handlers.routing import Route
from server.schemas.bookings import BookingResponse, present_booking
from server.schemas.pandits import present_own

_MOST: Final = 100


class RequestsPage(Page):
    """The pandit's desk."""

    roles = PANDIT
    section = "requests"

    async def get(self) -> None:
        """Show what waits, the soonest first."""
        page = await self.services.bookings.list_own(
            self.person,
            statuses=(BookingStatus.PENDING, BookingStatus.ACCEPTED, BookingStatus.IN_PROGRESS),
            limit=_MOST,
            soonest_first=True,
        )
        shown = [present_booking(row, self.person, self.reader) for row in page.rows]
        profile = await self.services.pandits.own_profile(self.person)
        await self.show(
            "pandit/requests.html",
            title=self.translate("Requests"),
            pending=_of(shown, BookingStatus.PENDING),
            accepted=_of(shown, BookingStatus.ACCEPTED),
            running=_of(shown, BookingStatus.IN_PROGRESS),
            own=present_own(profile, self.reader),
            today=local_today(self.services.clock.now(), self.nepal.timezone),
        )


def _of(bookings: list[BookingResponse], status: BookingStatus) -> list[BookingResponse]:
    return [booking for booking in bookings if booking.status is status]


ROUTES: Final = (Route("/requests/", RequestsPage, "page-requests"),)
