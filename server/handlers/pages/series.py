"""A booking that comes again, with its days."""

from __future__ import annotations

from typing import Final

from server.handlers.base import CUSTOMER
from server.handlers.pages.base import Page
from server.handlers.recurrences import number_of
from server.handlers.routing import Route
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
        """Move or skip one day, or end all."""
        back = f"/series/{series_id}/"
        recurrences = self.services.recurrences

        async def act() -> str:
            wanted = self.typed.get("do", "")
            if wanted == "end":
                await recurrences.end(self.person, series_id, with_booked=False)
                self.flash("good", self.translate("No more days are planned. Booked ones stay."))
                return back
            number = number_of(self.typed.get("number", ""))
            if wanted == "skip":
                await recurrences.skip(self.person, series_id, number)
                self.flash("good", self.translate("The day is skipped."))
            else:
                moved = self.read(MoveRequest)
                await recurrences.move(self.person, series_id, number, moved.booking_date, moved.at)
                self.flash("good", self.translate("The day has another time now."))
            return back

        await self.do(act, back)


ROUTES: Final = (Route("/series/{id}/", SeriesPage, "page-series"),)
