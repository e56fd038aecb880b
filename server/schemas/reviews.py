"""Reviews on the wire: what the public, its writer, the pandit and moderators see of one."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, datetime
from enum import StrEnum
from typing import Annotated, TypeAlias

from msgspec import Meta, Struct

from server.domain.review import (
    CustomerRating,
    CustomerStanding,
    Feedback,
    Opinion,
    Reply,
    Review,
    ReviewState,
    Stars,
)
from server.schemas.base import Id, PageQuery, Reader, Request

Day: TypeAlias = date
OneToFive = Annotated[int, Meta(ge=1, le=5)]
Comment = Annotated[str, Meta(max_length=2000)]


class Verdict(StrEnum):
    """What a moderator may decide."""

    APPROVE = "approve"
    WITHDRAW = "withdraw"


# -- requests ------------------------------------------------------------------------------------


class ReviewsQuery(PageQuery, frozen=True, kw_only=True):
    """Whose reviews."""

    pandit_id: Id


class ReviewRequest(Request, frozen=True, kw_only=True):
    """A review: four ratings 1 to 5, a comment in either language or both."""

    rating: OneToFive
    professionalism: OneToFive
    knowledge: OneToFive
    punctuality: OneToFive
    comment: Comment = ""
    comment_ne: Comment = ""

    def opinion(self) -> Opinion:
        """Return the domain's form."""
        return Opinion(
            Stars(
                rating=self.rating,
                professionalism=self.professionalism,
                knowledge=self.knowledge,
                punctuality=self.punctuality,
            ),
            self.comment,
            self.comment_ne,
        )


class ReplyRequest(Request, frozen=True, kw_only=True):
    """The pandit's one answer, in either language or both."""

    reply: Comment = ""
    reply_ne: Comment = ""


class ReportRequest(Request, frozen=True, kw_only=True):
    """Why a review should be looked at."""

    reason: Annotated[str, Meta(min_length=1, max_length=500)]


class ModerationQuery(PageQuery, frozen=True, kw_only=True):
    """Reviews of which state."""

    state: ReviewState = ReviewState.OPEN


class ModerateRequest(Request, frozen=True, kw_only=True):
    """A moderator's decision; the customer reads the notes where it is withdrawn."""

    decision: Verdict
    notes: Annotated[str, Meta(max_length=500)] = ""


class CustomerRatingRequest(Request, frozen=True, kw_only=True):
    """What a pandit says of a customer."""

    rating: OneToFive
    comment: Annotated[str, Meta(max_length=1000)] = ""


# -- answers -------------------------------------------------------------------------------------


class ReplyResponse(Struct, frozen=True, kw_only=True):
    """A pandit's answer to a review."""

    reply: str
    reply_ne: str
    created_at: datetime


class ReviewResponse(Struct, frozen=True, kw_only=True):
    """A published review; ratings are 1 to 5."""

    id: str
    pandit_id: str
    customer_name: str
    service_name: str
    service_name_ne: str
    rating: int
    professionalism: int
    knowledge: int
    punctuality: int
    comment: str
    comment_ne: str
    reply: ReplyResponse | None
    created_at: datetime


class OwnReviewResponse(ReviewResponse, frozen=True, kw_only=True):
    """A review as its writer sees it. ``notes``: why a moderator does not show it."""

    booking: str
    is_verified: bool
    state: ReviewState
    notes: str


class ReportResponse(Struct, frozen=True, kw_only=True):
    """Why somebody has reported a review."""

    reason: str
    created_at: datetime


class ModeratedReviewResponse(OwnReviewResponse, frozen=True, kw_only=True):
    """A review as moderators see it."""

    pandit_name: str
    reports: list[ReportResponse]
    decided_at: datetime | None


class CustomerRatingResponse(Struct, frozen=True, kw_only=True):
    """What a pandit said of a customer, 1 to 5."""

    id: str
    pandit_name: str
    rating: int
    comment: str
    created_at: datetime


class CustomerStandingResponse(Struct, frozen=True, kw_only=True):
    """How pandits have found a customer: the mean of ``count`` ratings, 0 without any."""

    count: int
    rating: float
    latest: list[CustomerRatingResponse]


def present_review(review: Review, reader: Reader) -> ReviewResponse:
    """Show a published review."""
    return ReviewResponse(
        id=review.id,
        pandit_id=review.pandit_id,
        customer_name=review.customer_name,
        service_name=review.service_name,
        service_name_ne=review.service_name_ne,
        rating=review.rating,
        professionalism=review.professionalism,
        knowledge=review.knowledge,
        punctuality=review.punctuality,
        comment=review.comment,
        comment_ne=review.comment_ne,
        reply=_present_reply(review.reply, reader) if review.reply else None,
        created_at=reader.local(review.created_at),
    )


def present_own_review(review: Review, reader: Reader) -> OwnReviewResponse:
    """Show a review to the customer who wrote it."""
    shown = present_review(review, reader)
    return OwnReviewResponse(
        **{name: getattr(shown, name) for name in shown.__struct_fields__},
        booking=review.booking_id,
        is_verified=review.is_verified,
        # That others have reported it is not the writer's to know.
        state=ReviewState.PUBLISHED if review.is_verified else review.state,
        notes=review.notes if review.state is ReviewState.WITHDRAWN else "",
    )


def present_moderated(review: Review, reader: Reader) -> ModeratedReviewResponse:
    """Show a review to a moderator."""
    shown = present_review(review, reader)
    return ModeratedReviewResponse(
        **{name: getattr(shown, name) for name in shown.__struct_fields__},
        booking=review.booking_id,
        is_verified=review.is_verified,
        state=review.state,
        notes=review.notes,
        pandit_name=review.pandit_name,
        reports=[
            ReportResponse(reason=each.reason, created_at=reader.local(each.at))
            for each in review.reports
        ],
        decided_at=reader.maybe_local(review.decided_at),
    )


def present_customer_rating(rating: CustomerRating, reader: Reader) -> CustomerRatingResponse:
    """Show what a pandit said of a customer."""
    return CustomerRatingResponse(
        id=rating.id,
        pandit_name=rating.pandit_name,
        rating=rating.rating,
        comment=rating.comment,
        created_at=reader.local(rating.created_at),
    )


def present_standing(standing: CustomerStanding, reader: Reader) -> CustomerStandingResponse:
    """Show how a customer stands."""
    return CustomerStandingResponse(
        count=standing.count,
        rating=round(standing.mean, 2),
        latest=[present_customer_rating(each, reader) for each in standing.latest],
    )


@dataclass(frozen=True, slots=True)
class FeedbackView:
    """What a booking's page shows of reviews to its reader."""

    review: OwnReviewResponse | None
    may_review: bool
    may_rate_customer: bool
    standing: CustomerStandingResponse | None


def present_feedback(feedback: Feedback, reader: Reader) -> FeedbackView:
    """Show a booking's reviews on its page."""
    return FeedbackView(
        review=present_own_review(feedback.review, reader) if feedback.review else None,
        may_review=feedback.may_review,
        may_rate_customer=feedback.may_rate_customer,
        standing=present_standing(feedback.standing, reader) if feedback.standing else None,
    )


def _present_reply(reply: Reply, reader: Reader) -> ReplyResponse:
    return ReplyResponse(
        reply=reply.text, reply_ne=reply.text_ne, created_at=reader.local(reply.at)
    )
