"""Reviews: written by customers, decided by moderators, answered by pandits, counted exactly."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import replace
from typing import Final

from server.domain import review as rules
from server.domain.account import Actor
from server.domain.audit import Act
from server.domain.booking import Booking, BookingStatus, require_party
from server.domain.errors import ConcurrentChange, FieldFault, Forbidden, Invalid, NotFound
from server.domain.events import Event, EventKind
from server.domain.ports.accounts import UserRepository
from server.domain.ports.bookings import BookingRepository
from server.domain.ports.paging import Page, SortKey
from server.domain.ports.pandits import PanditRepository
from server.domain.ports.reviews import CustomerRatingRepository, ReviewRepository
from server.domain.ports.world import Clock, IdSource
from server.domain.review import (
    CustomerRating,
    CustomerStanding,
    Feedback,
    Opinion,
    Review,
    ReviewState,
)
from server.services.audit import AuditService
from server.services.optimistic import change
from server.services.relay import EventRelay

_log: Final = logging.getLogger(__name__)
_ATTEMPTS: Final = 8
_LATEST: Final = 10
_DECIDED: Final = frozenset({EventKind.REVIEW_PUBLISHED, EventKind.REVIEW_WITHDRAWN})


class RatingKeeper:
    """Brings pandits' sums up to date with decided reviews. A ``ports.Receiver``.

    Taking in is safe to repeat and to race: a pandit's document is replaced only as it was read,
    and says up to which turn it has counted.
    """

    def __init__(self, reviews: ReviewRepository, pandits: PanditRepository, clock: Clock) -> None:
        self._reviews = reviews
        self._pandits = pandits
        self._clock = clock

    async def on_event(self, event: Event) -> None:
        """Count what was decided, also when its decider has not lived to do so."""
        if event.kind in _DECIDED:
            await self.catch_up(event.params["pandit_id"])

    async def catch_up(self, pandit_id: str) -> int:
        """Take in every turn that has been given; returns the last one."""
        while True:
            pandit = await self._pandits.find(pandit_id)
            if pandit is None:
                raise NotFound
            turn = pandit.sums.turn + 1
            review = await self._reviews.find_by_turn(pandit_id, turn)
            if review is None:
                return pandit.sums.turn
            sums = pandit.sums.with_turn(turn, review.stars, review.sign_of(turn))
            # Refused when somebody else has changed the pandit: then it is looked at anew.
            await self._pandits.replace(
                replace(
                    pandit,
                    sums=sums,
                    rating=sums.mean(sums.rating),
                    review_count=sums.count,
                    updated_at=self._clock.now(),
                )
            )


class ReviewService:
    """The use cases of reviews, for customers, pandits and admins."""

    def __init__(
        self,
        *,
        reviews: ReviewRepository,
        ratings: CustomerRatingRepository,
        bookings: BookingRepository,
        pandits: PanditRepository,
        users: UserRepository,
        keeper: RatingKeeper,
        relay: EventRelay,
        audit: AuditService,
        clock: Clock,
        ids: IdSource,
    ) -> None:
        self._audit = audit
        self._reviews = reviews
        self._ratings = ratings
        self._bookings = bookings
        self._pandits = pandits
        self._users = users
        self._keeper = keeper
        self._relay = relay
        self._clock = clock
        self._ids = ids

    # -- customers --------------------------------------------------------------------------------

    async def write(self, actor: Actor, booking_id: str, opinion: Opinion) -> Review:
        """Review a completed booking, once.

        Raises
        ------
        NotFound
            For everybody but the booking's customer.
        IllegalTransition
            Before the booking is completed.
        AlreadyExists
            If the booking has its review.
        """
        booking = await self._booking(actor, booking_id)
        review = rules.written(
            self._ids.new(),
            booking,
            actor,
            opinion,
            self._clock.now(),
            await self._users.list_admin_ids(),
        )
        await self._reviews.add(review)
        await self._relay.deliver("reviews", review.id, review.outbox)
        return review

    async def of_booking(self, actor: Actor, booking_id: str) -> Review:
        """Return the review of a booking: the customer's own, or a public one to its pandit.

        Raises ``NotFound`` where there is none to see.
        """
        await self._booking(actor, booking_id)
        review = await self._reviews.find_by_booking(booking_id)
        if review is None:
            raise NotFound
        if not (actor.is_admin or actor.user_id == review.user_id or review.is_verified):
            raise NotFound
        return review

    async def seen(self, actor: Actor, review_id: str) -> Review:
        """Return a review that the actor may look at: a public one, an admin any.

        Raises ``NotFound``.
        """
        review = await self._load(review_id)
        if not (review.is_verified or actor.is_admin):
            raise NotFound
        return review

    async def list_for_pandit(
        self, pandit_id: str, *, limit: int, after: SortKey | None
    ) -> Page[Review]:
        """Return the approved reviews of a pandit, newest first. Raises ``NotFound``."""
        pandit = await self._pandits.find(pandit_id)
        if pandit is None or not pandit.is_verified:
            raise NotFound
        return await self._reviews.list_for_pandit(pandit_id, limit=limit, after=after)

    async def report(self, actor: Actor, review_id: str, reason: str) -> Review:
        """Ask the moderators to look at a public review; a second time changes nothing."""
        now, admin_ids = self._clock.now(), await self._users.list_admin_ids()
        return await self._change(
            review_id, lambda found: rules.reported(found, actor, reason, now, admin_ids)
        )

    # -- pandits ----------------------------------------------------------------------------------

    async def reply(self, actor: Actor, review_id: str, text: str, text_ne: str) -> Review:
        """Answer a public review of oneself, once. Raises ``NotFound``, ``AlreadyExists``."""
        now = self._clock.now()
        return await self._change(
            review_id, lambda found: rules.replied(found, actor, text, text_ne, now)
        )

    async def rate_customer(
        self, actor: Actor, booking_id: str, rating: int, comment: str
    ) -> CustomerRating:
        """Rate the customer of a completed booking, once; pandits and admins see it.

        Raises
        ------
        NotFound, Forbidden
            For everybody but the booking's pandit.
        IllegalTransition
            Before the booking is completed.
        AlreadyExists
            On a second rating.
        """
        booking = await self._booking(actor, booking_id)
        if actor.user_id != booking.pandit_user_id:
            raise Forbidden
        rules.require_completed(booking)
        if not rules.MIN_STARS <= rating <= rules.MAX_STARS:
            raise Invalid(FieldFault("rating", "range"))
        given = CustomerRating(
            id=self._ids.new(),
            booking_id=booking.id,
            user_id=booking.user_id,
            pandit_id=booking.pandit_id,
            pandit_name=booking.pandit_name,
            rating=rating,
            comment=comment.strip(),
            created_at=self._clock.now(),
        )
        await self._ratings.add(given)
        return given

    async def customer_standing(self, actor: Actor, booking_id: str) -> CustomerStanding:
        """Return how pandits have found the customer of a booking.

        For the pandit to whom the booking is offered now, and admins; never for the customer.
        """
        booking = await self._booking(actor, booking_id)
        if not (actor.is_admin or actor.user_id == booking.pandit_user_id):
            raise NotFound
        return await self._ratings.standing_of(booking.user_id, _LATEST)

    async def around(self, actor: Actor, booking: Booking) -> Feedback:
        """Return what a party of a booking sees of its reviews, and what he may still write."""
        is_held = booking.status is BookingStatus.COMPLETED
        review = await self._reviews.find_by_booking(booking.id) if is_held else None
        if actor.user_id == booking.user_id:
            return Feedback(review=review, may_review=is_held and review is None)
        seen = review if review is not None and (actor.is_admin or review.is_verified) else None
        standing = await self._ratings.standing_of(booking.user_id, _LATEST)
        given = await self._ratings.find_by_booking(booking.id) if is_held else None
        return Feedback(
            review=seen,
            may_rate_customer=(
                is_held and given is None and actor.user_id == booking.pandit_user_id
            ),
            standing=standing,
        )

    # -- moderators -------------------------------------------------------------------------------

    async def list_by_state(
        self, state: ReviewState, *, limit: int, after: SortKey | None
    ) -> Page[Review]:
        """Return reviews for admins: open ones longest waiting first, decided ones newest first."""
        return await self._reviews.list_by_state(state, limit=limit, after=after)

    async def moderate(
        self, actor: Actor, review_id: str, *, is_approved: bool, notes: str
    ) -> Review:
        """Publish a review or withdraw it, and count it accordingly; for admins.

        Repeating a decision changes nothing but its notes.

        Raises
        ------
        NotFound
            If there is no such review.
        ConcurrentChange
            If others decided about the same pandit's reviews again and again meanwhile.
        """
        async with self._audit.recording(
            actor,
            Act.REVIEW_MODERATED,
            "review",
            review_id,
            decision="approve" if is_approved else "withdraw",
        ) as more:
            decided = await self._decided(actor, review_id, is_approved=is_approved, notes=notes)
            more["notes"] = decided.notes
        return decided

    async def _decided(
        self, actor: Actor, review_id: str, *, is_approved: bool, notes: str
    ) -> Review:
        decide = rules.approved if is_approved else rules.withdrawn
        for _ in range(_ATTEMPTS):
            review = await self._load(review_id)
            # The next turn is free once all that were given are in the sums.
            turn = await self._keeper.catch_up(review.pandit_id) + 1
            decided = decide(review, actor, turn, self._clock.now(), notes)
            if not await self._reviews.replace(decided):
                continue
            try:
                await self._keeper.catch_up(review.pandit_id)
            except Exception:
                # It is decided; the event that rides with it has it counted later.
                _log.exception("rating_not_counted", extra={"review_id": review_id})
            await self._relay.deliver("reviews", review_id, decided.outbox)
            return decided
        raise ConcurrentChange

    # -- inside -----------------------------------------------------------------------------------

    async def _booking(self, actor: Actor, booking_id: str) -> Booking:
        booking = await self._bookings.find(booking_id)
        if booking is None:
            raise NotFound
        return require_party(booking, actor)

    async def _load(self, review_id: str) -> Review:
        review = await self._reviews.find(review_id)
        if review is None:
            raise NotFound
        return review

    async def _change(self, review_id: str, apply: Callable[[Review], Review]) -> Review:
        changed = await change(lambda: self._load(review_id), apply, self._reviews.replace)
        if changed.outbox:
            await self._relay.deliver("reviews", changed.id, changed.outbox)
        return changed
