"""Reviews: what a customer says of a completed booking, and how it counts for the pandit.

A review is public, and counted, only while a moderator's approval holds. Counting is exact without
a transaction over the two documents: each approval and each withdrawal takes the pandit's next
*turn*, a number that a unique index gives to one change alone, in the very write that decides it.
The pandit's sums take in one turn after the other, each once, because his document says which was
the last. Whoever decides catches up first with what others have left undone.
"""

from __future__ import annotations

import enum
from dataclasses import dataclass, replace
from datetime import date, datetime
from typing import Final

from server.domain.account import Actor
from server.domain.booking import Booking, BookingStatus
from server.domain.errors import (
    AlreadyExists,
    FieldFault,
    Forbidden,
    IllegalTransition,
    Invalid,
    NotFound,
)
from server.domain.events import Event, EventKind

MIN_STARS: Final = 1
MAX_STARS: Final = 5
MAX_REPORTS: Final = 20
"""A review that so many have reported has a moderator's attention; more are not kept."""


class ReviewState(enum.StrEnum):
    """Where a review stands with the moderators."""

    OPEN = "open"
    """Somebody has to look: it is new, or was reported since the last decision."""
    PUBLISHED = "published"
    WITHDRAWN = "withdrawn"


@dataclass(frozen=True, slots=True, kw_only=True)
class Stars:
    """The four ratings, each 1 to 5."""

    rating: int
    professionalism: int
    knowledge: int
    punctuality: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Reply:
    """The pandit's one answer, in either language or both."""

    text: str = ""
    text_ne: str = ""
    at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """That somebody finds a review wrong, and why."""

    by: str
    reason: str
    at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Review:
    """What a customer says of a completed booking. The four ratings are 1 to 5.

    Public, and counted in the pandit's rating, only once ``is_verified`` by a moderator.
    ``is_open``: a moderator should look at it. ``turns`` are the pandit's turns at which it was
    approved, withdrawn, approved again and so on. ``customer_name`` is what the public reads.
    """

    id: str
    booking_id: str
    user_id: str
    customer_name: str
    pandit_id: str
    pandit_user_id: str = ""
    pandit_name: str = ""
    pandit_name_ne: str = ""
    puja_id: str = ""
    service_name: str = ""
    service_name_ne: str = ""
    held_on: date | None = None
    rating: int
    professionalism: int
    knowledge: int
    punctuality: int
    comment: str = ""
    comment_ne: str = ""
    is_verified: bool = False
    is_open: bool = False
    turns: tuple[int, ...] = ()
    decided_by: str = ""
    decided_at: datetime | None = None
    notes: str = ""
    reply: Reply | None = None
    reports: tuple[Report, ...] = ()
    created_at: datetime
    updated_at: datetime | None = None
    outbox: tuple[Event, ...] = ()
    version: int = 1

    @property
    def state(self) -> ReviewState:
        """Where it stands with the moderators."""
        if self.is_open:
            return ReviewState.OPEN
        return ReviewState.PUBLISHED if self.is_verified else ReviewState.WITHDRAWN

    @property
    def stars(self) -> Stars:
        """Its four ratings."""
        return Stars(
            rating=self.rating,
            professionalism=self.professionalism,
            knowledge=self.knowledge,
            punctuality=self.punctuality,
        )

    def sign_of(self, turn: int) -> int:
        """What the review does at one of its turns: 1 it begins to count, -1 it ceases to."""
        return -1 if self.turns.index(turn) % 2 else 1


@dataclass(frozen=True, slots=True)
class Opinion:
    """What somebody writes in a review: stars and a comment in either language or both."""

    stars: Stars
    comment: str = ""
    comment_ne: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class RatingSums:
    """The approved reviews of a pandit, added up; ``turn`` is the last change that is in them."""

    turn: int = 0
    count: int = 0
    rating: int = 0
    professionalism: int = 0
    knowledge: int = 0
    punctuality: int = 0

    def with_turn(self, turn: int, stars: Stars, sign: int) -> RatingSums:
        """The sums after the next turn, at which a review begins (1) or ceases (-1) to count."""
        if turn != self.turn + 1:
            raise ValueError(f"turn {turn} does not follow {self.turn}")
        return RatingSums(
            turn=turn,
            count=self.count + sign,
            rating=self.rating + sign * stars.rating,
            professionalism=self.professionalism + sign * stars.professionalism,
            knowledge=self.knowledge + sign * stars.knowledge,
            punctuality=self.punctuality + sign * stars.punctuality,
        )

    def mean(self, total: int) -> float:
        """One of the sums as a mean, 0 without reviews."""
        return total / self.count if self.count else 0.0


NO_REVIEWS: Final = RatingSums()


@dataclass(frozen=True, slots=True, kw_only=True)
class CustomerRating:
    """What a pandit says of the customer of a completed booking; for pandits and admins."""

    id: str
    booking_id: str
    user_id: str
    pandit_id: str
    pandit_name: str
    rating: int
    comment: str = ""
    created_at: datetime


@dataclass(frozen=True, slots=True)
class CustomerStanding:
    """A customer as pandits have found him: how many ratings, their mean, and the latest."""

    count: int
    mean: float
    latest: tuple[CustomerRating, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Feedback:
    """What one party of a booking sees of its reviews, and what he may still write."""

    review: Review | None = None
    may_review: bool = False
    may_rate_customer: bool = False
    standing: CustomerStanding | None = None


def check_opinion(opinion: Opinion) -> None:
    """Raise ``Invalid`` unless all four ratings are 1 to 5."""
    names = ("rating", "professionalism", "knowledge", "punctuality")
    faults = [
        FieldFault(name, "range")
        for name in names
        if not MIN_STARS <= getattr(opinion.stars, name) <= MAX_STARS
    ]
    if faults:
        raise Invalid(*faults)


def require_completed(booking: Booking) -> None:
    """Raise ``IllegalTransition`` unless the booking is over and was held."""
    if booking.status is not BookingStatus.COMPLETED:
        raise IllegalTransition(booking.status)


def written(
    review_id: str,
    booking: Booking,
    actor: Actor,
    opinion: Opinion,
    now: datetime,
    admin_ids: tuple[str, ...],
) -> Review:
    """The customer's review of his completed booking; admins are told.

    Raises
    ------
    NotFound
        For everybody but the customer.
    IllegalTransition
        Before the booking is completed.
    """
    if actor.user_id != booking.user_id:
        raise NotFound
    require_completed(booking)
    check_opinion(opinion)
    review = Review(
        id=review_id,
        booking_id=booking.id,
        user_id=booking.user_id,
        customer_name=public_name(booking.customer_name),
        pandit_id=booking.pandit_id,
        pandit_user_id=booking.pandit_user_id,
        pandit_name=booking.pandit_name,
        pandit_name_ne=booking.pandit_name_ne,
        puja_id=booking.puja_id,
        service_name=booking.service_name,
        service_name_ne=booking.service_name_ne,
        held_on=booking.booking_date,
        rating=opinion.stars.rating,
        professionalism=opinion.stars.professionalism,
        knowledge=opinion.stars.knowledge,
        punctuality=opinion.stars.punctuality,
        comment=opinion.comment.strip(),
        comment_ne=opinion.comment_ne.strip(),
        is_open=True,
        created_at=now,
        updated_at=now,
    )
    return _told(review, EventKind.REVIEW_SUBMITTED, now, admin_ids)


def approved(review: Review, actor: Actor, turn: int, now: datetime, notes: str) -> Review:
    """Publish it at the pandit's ``turn``; he and the customer are told. Approving again closes it.

    A review that was reported and is found good keeps its place in the sums.
    """
    decided = _decided(review, actor, now, notes)
    if review.is_verified:
        return decided
    published = replace(decided, is_verified=True, turns=(*review.turns, turn))
    if review.turns:
        # They were told when it was published first.
        return _told(published, EventKind.REVIEW_PUBLISHED, now, ())
    told = _told(published, EventKind.REVIEW_RECEIVED, now, (review.pandit_user_id,))
    return _told(told, EventKind.REVIEW_PUBLISHED, now, (review.user_id,))


def withdrawn(review: Review, actor: Actor, turn: int, now: datetime, notes: str) -> Review:
    """Keep it from the public, or take it back at the pandit's ``turn``; the customer is told."""
    decided = _decided(review, actor, now, notes)
    if not review.is_verified and not review.is_open:
        return decided
    turns = (*review.turns, turn) if review.is_verified else review.turns
    hidden = replace(decided, is_verified=False, turns=turns)
    return _told(hidden, EventKind.REVIEW_WITHDRAWN, now, (review.user_id,))


def replied(review: Review, actor: Actor, text: str, text_ne: str, now: datetime) -> Review:
    """The pandit's one answer to a public review; the customer is told.

    Raises
    ------
    NotFound
        For everybody else, and while it is not public.
    AlreadyExists
        On a second answer.
    """
    if not review.is_verified or actor.user_id != review.pandit_user_id:
        raise NotFound
    if not text.strip() and not text_ne.strip():
        raise Invalid(FieldFault("reply", "required"))
    if review.reply is not None:
        raise AlreadyExists("reply")
    reply = Reply(text=text.strip(), text_ne=text_ne.strip(), at=now)
    return _told(
        replace(review, reply=reply, updated_at=now),
        EventKind.REVIEW_REPLIED,
        now,
        (review.user_id,),
    )


def reported(
    review: Review, actor: Actor, reason: str, now: datetime, admin_ids: tuple[str, ...]
) -> Review:
    """Somebody asks the moderators to look at a public review; once each, and it stays meanwhile.

    Raises ``Forbidden`` for him who wrote it.
    """
    if not review.is_verified:
        raise NotFound
    if actor.user_id == review.user_id:
        raise Forbidden
    if not reason.strip():
        raise Invalid(FieldFault("reason", "required"))
    if any(each.by == actor.user_id for each in review.reports):
        return review
    if len(review.reports) >= MAX_REPORTS:
        return review
    report = Report(by=actor.user_id, reason=reason.strip(), at=now)
    changed = replace(review, reports=(*review.reports, report), is_open=True, updated_at=now)
    if review.is_open:
        return changed
    return _told(changed, EventKind.REVIEW_REPORTED, now, admin_ids)


def public_name(full_name: str) -> str:
    """How the public reads a customer's name: the first, and the initial of the last."""
    names = full_name.split()
    return f"{names[0]} {names[-1][0]}." if len(names) > 1 else full_name


def _decided(review: Review, actor: Actor, now: datetime, notes: str) -> Review:
    return replace(
        review,
        is_open=False,
        decided_by=actor.user_id,
        decided_at=now,
        notes=notes.strip(),
        updated_at=now,
    )


def _told(review: Review, kind: EventKind, now: datetime, recipients: tuple[str, ...]) -> Review:
    event = Event(
        id=f"{review.id}.{review.version + 1}.{len(review.outbox)}",
        kind=kind,
        at=now,
        recipients=tuple(each for each in recipients if each),
        booking_id=review.booking_id,
        params={
            "review_id": review.id,
            "pandit_id": review.pandit_id,
            "pandit": review.pandit_name,
            "pandit_ne": review.pandit_name_ne,
            "customer": review.customer_name,
            "service": review.service_name,
            "service_ne": review.service_name_ne,
            "stars": str(review.rating),
            "notes": review.notes,
        },
    )
    return replace(review, outbox=(*review.outbox, event))
