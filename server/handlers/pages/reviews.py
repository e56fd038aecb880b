"""Reviews: the forms on a booking's page and on a pandit's, and the moderators' page."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from server.domain.errors import FieldFault, Invalid
from server.domain.review import Review, ReviewState
from server.handlers.base import ADMIN, ANYONE, CUSTOMER, PANDIT
from server.handlers.page_base import Form
from server.handlers.pages.base import Page
from server.handlers.pages.bookings import BookingPage
from server.handlers.pages.search import PanditPages
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


class WriteReviewPage(BookingPage):
    """The customer's review of a booking, on the page of the booking."""

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

        await self.submit(write, lambda form: self._show(booking_id, Form(), form))


class RateCustomerPage(BookingPage):
    """The pandit's word about a booking's customer, on the page of the booking."""

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

        await self.submit(rate, lambda form: self._show(booking_id, Form(), form))


class OfReviewPage(PanditPages):
    """What is said about a review, on the page of its pandit."""

    async def get(self, review_id: str) -> None:
        """Go to the review."""
        review = await self.services.reviews.seen(self.person, review_id)
        self.go(f"/pandits/{review.pandit_id}/#review-{review.id}")

    async def _again(self, said: str, review_id: str, form: Form, back: str) -> None:
        review = await self.services.reviews.seen(self.person, review_id)
        await self._show(
            review.pandit_id, review_form=form, said=said, said_about=review, back=back
        )


class ReplyPage(OfReviewPage):
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

        await self.submit(answer, lambda form: self._again("reply", review_id, form, back))


class ReportPage(OfReviewPage):
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

        await self.submit(report, lambda form: self._again("report", review_id, form, back))


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
        await self._show(
            page.rows,
            query.state,
            following=following and self.here(cursor=following),
            is_first="cursor" not in self.request.query_arguments,
        )

    async def _show(
        self,
        reviews: Sequence[Review],
        state: ReviewState,
        *,
        following: str | None = None,
        is_first: bool = True,
        form: Form | None = None,
        decided: str = "",
        back: str | None = None,
    ) -> None:
        """Show these; ``form`` is what was refused about the review ``decided``."""
        await self.show(
            "admin/reviews.html",
            title=self.translate("Reviews"),
            reviews=[present_moderated(review, self.reader) for review in reviews],
            state=state,
            states=tuple(ReviewState),
            following=following,
            is_first=is_first,
            review_form=form or Form(),
            decided=decided,
            back=self.here() if back is None else back,
        )


class ModeratePage(ModerationPage):
    """The decision about one of them."""

    async def get(self, review_id: str) -> None:  # type: ignore[override]  # with its id
        """Go to the list on which it stands."""
        review = await self.services.reviews.seen(self.person, review_id)
        self.go(f"{_MODERATION}?state={review.state}#review-{review.id}")

    async def post(self, review_id: str) -> None:
        """Publish it, or withdraw it and say why."""
        back = self.next_path(_MODERATION)

        async def decide() -> str:
            body = self.read(ModerateRequest)
            is_approved = body.decision is Verdict.APPROVE
            if not is_approved and not body.notes:
                raise Invalid(FieldFault("notes", "required"))
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

        async def again(form: Form) -> None:
            review = await self.services.reviews.seen(self.person, review_id)
            await self._show([review], review.state, form=form, decided=review_id, back=back)

        await self.submit(decide, again)


ROUTES: Final = (
    # Before the moves of a booking, whose pattern has room for any word.
    Route("/bookings/{id}/review/", WriteReviewPage, "page-booking-review"),
    Route("/bookings/{id}/customer-rating/", RateCustomerPage, "page-customer-rating"),
    Route("/reviews/{id}/reply/", ReplyPage, "page-review-reply"),
    Route("/reviews/{id}/report/", ReportPage, "page-review-report"),
    Route("/admin/reviews/", ModerationPage, "page-admin-reviews"),
    Route("/admin/reviews/{id}/", ModeratePage, "page-admin-review"),
)
