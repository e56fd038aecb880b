"""Reviews: written by customers, answered by pandits, reported by anybody, decided by admins."""

from __future__ import annotations

from typing import Final

from server.domain.account import Actor
from server.domain.errors import AlreadyExists, Forbidden, IllegalTransition, NotFound
from server.handlers.base import ADMIN, CUSTOMER, PANDIT, ApiHandler, operation
from server.handlers.routing import Route
from server.schemas.base import PageResponse
from server.schemas.reviews import (
    CustomerRatingRequest,
    CustomerRatingResponse,
    CustomerStandingResponse,
    ModeratedReviewResponse,
    ModerateRequest,
    ModerationQuery,
    OwnReviewResponse,
    ReplyRequest,
    ReportRequest,
    ReviewRequest,
    ReviewResponse,
    ReviewsQuery,
    Verdict,
    present_customer_rating,
    present_moderated,
    present_own_review,
    present_review,
    present_standing,
)


class ReviewsHandler(ApiHandler):
    """What customers say of a pandit."""

    @operation("List the published reviews of a pandit, newest first", errors=(NotFound,))
    async def get(self, actor: Actor | None, query: ReviewsQuery) -> PageResponse[ReviewResponse]:
        page = await self.services.reviews.list_for_pandit(
            query.pandit_id, limit=query.limit, after=self.after(query.cursor)
        )
        return PageResponse(
            results=[present_review(review, self.reader) for review in page.rows],
            next=self.cursor(page.next_key),
        )


class BookingReviewHandler(ApiHandler):
    """The review of one booking."""

    @operation("Show the review of a booking", errors=(NotFound,))
    async def get(self, booking_id: str, actor: Actor) -> OwnReviewResponse:
        review = await self.services.reviews.of_booking(actor, booking_id)
        return present_own_review(review, self.reader)

    @operation(
        "Review a completed booking, once; it is public when a moderator has approved it",
        status=201,
        roles=CUSTOMER,
        errors=(NotFound, IllegalTransition, AlreadyExists),
        idempotent=True,
    )
    async def post(self, booking_id: str, actor: Actor, body: ReviewRequest) -> OwnReviewResponse:
        review = await self.services.reviews.write(actor, booking_id, body.opinion())
        return present_own_review(review, self.reader)


class ReplyHandler(ApiHandler):
    """The pandit's answer to a review."""

    @operation(
        "Answer a published review of oneself, once",
        status=201,
        roles=PANDIT,
        errors=(NotFound, AlreadyExists),
        idempotent=True,
    )
    async def post(self, review_id: str, actor: Actor, body: ReplyRequest) -> ReviewResponse:
        review = await self.services.reviews.reply(actor, review_id, body.reply, body.reply_ne)
        return present_review(review, self.reader)


class ReportHandler(ApiHandler):
    """That a review should be looked at."""

    @operation(
        "Report a published review to the moderators; it stays until they decide",
        status=204,
        errors=(NotFound, Forbidden),
    )
    async def post(self, review_id: str, actor: Actor, body: ReportRequest) -> None:
        await self.services.reviews.report(actor, review_id, body.reason)


class CustomerRatingHandler(ApiHandler):
    """What pandits say of a booking's customer."""

    @operation(
        "Show how pandits have found a booking's customer; for its pandit and admins",
        roles=PANDIT | ADMIN,
        errors=(NotFound,),
    )
    async def get(self, booking_id: str, actor: Actor) -> CustomerStandingResponse:
        standing = await self.services.reviews.customer_standing(actor, booking_id)
        return present_standing(standing, self.reader)

    @operation(
        "Rate the customer of a completed booking, once; pandits and admins see it",
        status=201,
        roles=PANDIT,
        errors=(NotFound, IllegalTransition, AlreadyExists),
        idempotent=True,
    )
    async def post(
        self, booking_id: str, actor: Actor, body: CustomerRatingRequest
    ) -> CustomerRatingResponse:
        rating = await self.services.reviews.rate_customer(
            actor, booking_id, body.rating, body.comment
        )
        return present_customer_rating(rating, self.reader)


class ModerationHandler(ApiHandler):
    """Reviews by where they stand with the moderators."""

    @operation("List reviews: open ones longest waiting first, others newest first", roles=ADMIN)
    async def get(
        self, actor: Actor, query: ModerationQuery
    ) -> PageResponse[ModeratedReviewResponse]:
        page = await self.services.reviews.list_by_state(
            query.state, limit=query.limit, after=self.after(query.cursor)
        )
        return PageResponse(
            results=[present_moderated(review, self.reader) for review in page.rows],
            next=self.cursor(page.next_key),
        )


class ModerateHandler(ApiHandler):
    """The decision about a review."""

    @operation("Publish a review or withdraw it", roles=ADMIN, errors=(NotFound,))
    async def post(
        self, review_id: str, actor: Actor, body: ModerateRequest
    ) -> ModeratedReviewResponse:
        review = await self.services.reviews.moderate(
            actor,
            review_id,
            is_approved=body.decision is Verdict.APPROVE,
            notes=body.notes,
        )
        return present_moderated(review, self.reader)


ROUTES: Final = (
    Route("/api/reviews/", ReviewsHandler, "reviews"),
    Route("/api/reviews/{id}/reply/", ReplyHandler, "review-reply"),
    Route("/api/reviews/{id}/report/", ReportHandler, "review-report"),
    Route("/api/bookings/{id}/review/", BookingReviewHandler, "booking-review"),
    Route("/api/bookings/{id}/customer-rating/", CustomerRatingHandler, "customer-rating"),
    Route("/api/admin/reviews/", ModerationHandler, "admin-reviews"),
    Route("/api/admin/reviews/{id}/moderate/", ModerateHandler, "admin-review-moderate"),
)
