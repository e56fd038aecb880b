"""Reviews: the forms on a booking's page and on a pandit's, and the moderators' page."""

from __future__ import annotations

from typing import Final

from server.domain.review import ReviewState
from server.handlers.base import ADMIN, ANYONE, CUSTOMER, PANDIT
from server.handlers.pages.base import Page
from server.handlers.routing import Route
from server.schemas.reviews import (
    CustomerRatingRequest,
    ModerateRequest,
    ModerationQuery,
    ReplyRequest,
    ReportRequest,
    ReviewRequest,
    Verdict,
    present_moderated,
)

_MODERATION: Final = "/admin/reviews/"


class WriteReviewPage(Page):
    """The customer's review of a booking."""

    roles = CUSTOMER

    async def post(self, booking_id: str) -> None:
        """Store it."""

        async def write() -> str:
            body = self.read(ReviewRequest)
            await self.services.reviews.write(self.person, booking_id, body.opinion())
            self.flash(
                "good", self.translate("Thank you! Your review is published once it is checked.")
            )
            return f"/bookings/{booking_id}/#review"

        await self.do(write, f"/bookings/{booking_id}/#review")


class RateCustomerPage(Page):
    """The pandit's word about a booking's customer."""

    roles = PANDIT

    async def post(self, booking_id: str) -> None:
        """Store it."""

        async def rate() -> str:
            body = self.read(CustomerRatingRequest)
            await self.services.reviews.rate_customer(
                self.person, booking_id, body.rating, body.comment
            )
            self.flash("good", self.translate("Thank you. Other pandits and admins can see it."))
            return f"/bookings/{booking_id}/#review"

        await self.do(rate, f"/bookings/{booking_id}/#review")


class ReplyPage(Page):
    """The pandit's answer to a review."""

    roles = PANDIT

    async def post(self, review_id: str) -> None:
        """Store it."""
        back = self.next_path("/pandit/profile/")

        async def answer() -> str:
            body = self.read(ReplyRequest)
            await self.services.reviews.reply(self.person, review_id, body.reply, body.reply_ne)
            self.flash("good", self.translate("Your answer stands below the review."))
            return back

        await self.do(answer, back)


class ReportPage(Page):
    """That a review should be looked at."""

    roles = ANYONE

    async def post(self, review_id: str) -> None:
        """Store it."""
        back = self.next_path("/pandits/")

        async def report() -> str:
            body = self.read(ReportRequest)
            await self.services.reviews.report(self.person, review_id, body.reason)
            self.flash("good", self.translate("Thank you. A moderator will look at the review."))
            return back

        await self.do(report, back)


class ModerationPage(Page):
    """Reviews by where they stand with the moderators."""

    roles = ADMIN
    section = "reviews"

    async def get(self) -> None:
        """Show them."""
        query = self.filters(ModerationQuery)
        page = await self.services.reviews.list_by_state(
            query.state, limit=query.limit, after=self.after(query.cursor)
        )
        following = self.cursor(page.next_key)
        await self.show(
            "admin/reviews.html",
            title=self.translate("Reviews"),
            reviews=[present_moderated(review, self.reader) for review in page.rows],
            state=query.state,
            states=tuple(ReviewState),
            following=following and self.here(cursor=following),
            is_first="cursor" not in self.request.query_arguments,
        )


class ModeratePage(Page):
    """The decision about one of them."""

    roles = ADMIN

    async def post(self, review_id: str) -> None:
        """Publish or withdraw it."""
        back = self.next_path(_MODERATION)

        async def decide() -> str:
            body = self.read(ModerateRequest)
            is_approved = body.decision is Verdict.APPROVE
            await self.services.reviews.moderate(
                self.person, review_id, is_approved=is_approved, notes=body.notes
            )
            self.flash(
                "good",
                self.translate("The review is published and counted.")
                if is_approved
                else self.translate("The review is not shown and does not count."),
            )
            return back

        await self.do(decide, back)


ROUTES: Final = (
    # Before the moves of a booking, whose pattern has room for any word.
    Route("/bookings/{id}/review/", WriteReviewPage, "page-booking-review"),
    Route("/bookings/{id}/customer-rating/", RateCustomerPage, "page-customer-rating"),
    Route("/reviews/{id}/reply/", ReplyPage, "page-review-reply"),
    Route("/reviews/{id}/report/", ReportPage, "page-review-report"),
    Route("/admin/reviews/", ModerationPage, "page-admin-reviews"),
    Route("/admin/reviews/{id}/", ModeratePage, "page-admin-review"),
)
