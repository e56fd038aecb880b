"""A booking that comes again, with its days."""

from __future__ import annotations

from typing import Final

from server.domain.account import Role
from server.domain.booking import CANCELLABLE_BY, Booking, BookingStatus
from server.domain.cancellation import refund_share
from server.domain.money import share
from server.domain.payment import RefundTo
from server.domain.recurrence import OccurrenceState, occurrence_of
from server.handlers.base import CUSTOMER
from server.handlers.pages.base import Page
from server.handlers.recurrences import number_of
from server.handlers.routing import Route
from server.schemas.bookings import CancelRequest, present_booking
from server.schemas.recurrences import MoveRequest, present_series


class SeriesPage(Page):
    """The days, and what can be done with each."""

    roles = CUSTOMER
    section = "bookings"

    async def get(self, series_id: str) -> None:
        """Show them."""
        series = await self.services.recurrences.get(self.person, series_id)
        await self.show(
            "customer/series.html",
            title=self.labels.frequency(series.frequency),
            series=present_series(series, self.reader),
        )

    async def post(self, series_id: str) -> None:
        """Move or skip one day, or end all; a booked day is skipped only once that is confirmed."""
        back = f"/series/{series_id}/"
        recurrences = self.services.recurrences
        if (
            self.typed.get("do") == "skip"
            and not self.is_confirmed
            and (booking := await self._called_off(series_id)) is not None
        ):
            await self._ask(booking, back)
            return

        async def act() -> str:
            wanted = self.typed.get("do", "")
            if wanted == "end":
                await recurrences.end(self.person, series_id, with_booked=False)
                self.flash("good", self.translate("No more days are planned. Booked ones stay."))
                return back
            number = number_of(self.typed.get("number", ""))
            if wanted == "skip":
                body = self.read(CancelRequest)
                await recurrences.skip(
                    self.person,
                    series_id,
                    number,
                    refund_to_wallet=body.refund_to is RefundTo.WALLET,
                )
                self.flash("good", self.translate("The day is skipped."))
            else:
                moved = self.read(MoveRequest)
                await recurrences.move(self.person, series_id, number, moved.booking_date, moved.at)
                self.flash("good", self.translate("The day has another time now."))
            return back

        await self.do(act, back)

    async def _called_off(self, series_id: str) -> Booking | None:
        """The booking that would be called off if the day were skipped."""
        series = await self.services.recurrences.get(self.person, series_id)
        each = occurrence_of(series, number_of(self.typed.get("number", "")))
        if each.state is not OccurrenceState.BOOKED or each.booking_id is None:
            return None
        booking = await self.services.bookings.get(self.person, each.booking_id)
        return booking if Role.USER in CANCELLABLE_BY.get(booking.status, frozenset()) else None

    async def _ask(self, booking: Booking, back: str) -> None:
        """Show what comes back of what was paid, before the booking is called off."""
        now = self.services.clock.now()
        back_share = refund_share(
            booking.refund_tiers,
            booking.starts_at,
            now,
            Role.USER,
            is_accepted=booking.status is not BookingStatus.PENDING,
        )
        day = self.both_dates(booking.booking_date)
        await self.ask(
            self.translate("Skip {day} and cancel its booking?", day=day),
            yes=self.translate("Cancel the booking"),
            back=back,
            template="customer/skip.html",
            sent={"do": "skip", "number": self.typed.get("number", "")},
            booking=present_booking(booking, self.person, self.reader),
            returned=share(booking.total_fee, back_share),
        )


ROUTES: Final = (Route("/series/{id}/", SeriesPage, "page-series"),)
