"""What waits for a pandit: requests to answer, pujas to hold."""

from __future__ import annotations

from typing import Final

from server.domain.booking import BookingStatus
from server.handlers.base import PANDIT
from server.handlers.pages.base import Page
from server.handlers.routing import Route
from server.schemas.bookings import BookingResponse, present_booking
from server.schemas.pandits import present_own

_MOST: Final = 100
_MOST_HELD: Final = 10


class RequestsPage(Page):
    """The pandit's desk."""

    roles = PANDIT
    section = "requests"

    async def get(self) -> None:
        """Show what waits, the soonest first.

        What is not paid yet is no request: it stands apart, so that it never hides one.
        """
        page = await self.services.bookings.list_own(
            self.person,
            statuses=(BookingStatus.PENDING, BookingStatus.ACCEPTED, BookingStatus.IN_PROGRESS),
            is_held=False,
            limit=_MOST,
            soonest_first=True,
        )
        held = await self.services.bookings.list_own(
            self.person,
            statuses=(BookingStatus.PENDING,),
            is_held=True,
            limit=_MOST_HELD,
            soonest_first=True,
        )
        shown = [present_booking(row, self.person, self.reader) for row in page.rows]
        accepted = _of(shown, BookingStatus.ACCEPTED)
        profile = await self.services.pandits.own_profile(self.person)
        await self.show(
            "pandit/requests.html",
            title=self.translate("Requests"),
            pending=_of(shown, BookingStatus.PENDING),
            asked=[each for each in accepted if _is_asked(each)],
            accepted=[each for each in accepted if not _is_asked(each)],
            held=[present_booking(row, self.person, self.reader) for row in held.rows],
            running=_of(shown, BookingStatus.IN_PROGRESS),
            own=present_own(profile, self.reader),
            startable={
                row.id for row in page.rows if self.services.bookings.is_startable(self.person, row)
            },
        )


def _of(bookings: list[BookingResponse], status: BookingStatus) -> list[BookingResponse]:
    return [booking for booking in bookings if booking.status is status]


def _is_asked(booking: BookingResponse) -> bool:
    """Whether the family waits for his word on another time, or on other samagri."""
    is_timed = booking.proposal is not None and booking.proposal.by == "user"
    return is_timed or booking.samagri_proposal is not None


ROUTES: Final = (Route("/requests/", RequestsPage, "page-requests"),)
