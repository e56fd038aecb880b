"""Putting a booking together step by step, while its slot is held.

Each step is one conditional write of the draft; the last one puts the booking in its place. The
rules of a booking itself are those of ``services.bookings``.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from datetime import date, time
from typing import Final

from server.domain import draft as rules
from server.domain import recurrence
from server.domain.account import Actor, Place
from server.domain.analytics import Step
from server.domain.booking import (
    Booking,
    BookingWish,
    PaymentMethod,
    SamagriLine,
    ServiceLocation,
    with_samagri,
)
from server.domain.draft import Draft, DraftPolicy, WizardStep
from server.domain.errors import (
    AlreadyExists,
    ConcurrentChange,
    IllegalTransition,
    NotFound,
    TooManyDrafts,
    TooManyOpen,
)
from server.domain.pandit import Pandit, Service
from server.domain.ports.bookings import DraftRepository
from server.domain.ports.world import Clock, IdSource
from server.domain.recurrence import RecurrenceRule
from server.services.bookings import BookingService, check_place, distance_of
from server.services.optimistic import change
from server.services.places import PlaceService
from server.services.recurrences import RecurrenceService
from server.services.slot_news import SlotNews
from server.services.timetable import Timetable, wanted_by
from server.services.visits import VisitMeter

_ATTEMPTS: Final = 5
_LAPSED_ROWS: Final = 100


class DraftService:
    """The five steps of a booking, for customers, and the end of what nobody finishes."""

    def __init__(
        self,
        *,
        drafts: DraftRepository,
        bookings: BookingService,
        recurrences: RecurrenceService,
        timetable: Timetable,
        slots: SlotNews,
        places: PlaceService,
        clock: Clock,
        ids: IdSource,
        policy: DraftPolicy,
        visits: VisitMeter,
    ) -> None:
        self._drafts = drafts
        self._bookings = bookings
        self._recurrences = recurrences
        self._timetable = timetable
        self._slots = slots
        self._places = places
        self._clock = clock
        self._ids = ids
        self._policy = policy
        self._visits = visits

    # -- reading ---------------------------------------------------------------------------------

    async def get(self, actor: Actor, draft_id: str) -> Draft:
        """One open draft of the actor's own. Raises ``NotFound``."""
        return rules.require_open(await self._drafts.find(draft_id), actor, self._clock.now())

    async def list_own(self, actor: Actor) -> tuple[Draft, ...]:
        """The actor's open drafts, the oldest first; on whichever device they were begun."""
        now = self._clock.now()
        return tuple(
            draft for draft in await self._drafts.list_of(actor.user_id) if now < draft.lapses_at
        )

    # -- the steps -------------------------------------------------------------------------------

    async def choose_service(
        self, actor: Actor, service_id: str, draft_id: str | None = None
    ) -> Draft:
        """Begin a draft, or give one another service; the slot of the one before is free then.

        Raises
        ------
        NotFound, NotBookable, Forbidden
            As ``BookingService.offer``.
        TooManyDrafts
            If the actor has as many of them as he may.
        """
        pandit, service = await self._bookings.offer(actor, service_id)
        if draft_id is None:
            return await self._begin(actor, pandit, service)
        now = self._clock.now()
        return await self._change(
            actor,
            draft_id,
            lambda found: rules.with_service(found, pandit.id, service.id, now, self._policy),
        )

    async def _begin(self, actor: Actor, pandit: Pandit, service: Service) -> Draft:
        now = self._clock.now()
        mine = await self._drafts.list_of(actor.user_id)
        for lapsed in (draft for draft in mine if now >= draft.lapses_at):
            await self._remove(lapsed)
        taken = {draft.place for draft in mine if now < draft.lapses_at}
        for place in range(self._policy.most):
            if place in taken:
                continue
            draft = rules.begun(
                self._ids.new(),
                user_id=actor.user_id,
                place=place,
                pandit_id=pandit.id,
                service_id=service.id,
                now=now,
                policy=self._policy,
            )
            # Of two that begin at once in one place the index lets one through.
            with suppress(AlreadyExists):
                await self._drafts.add(draft)
                self._visits.count(Step.DRAFTED)
                return draft
        raise TooManyDrafts(self._policy.most)

    async def choose_time(
        self, actor: Actor, draft_id: str, day: date, at: time, rule: RecurrenceRule | None
    ) -> Draft:
        """Hold a slot, and give the one before back. Of two who want the same one gets it.

        Raises
        ------
        NotBookable
            If the time lies outside the pandit's hours, too near or too far.
        SlotTaken
            If it is held; the draft then keeps the slot that it had.
        Invalid
            For a rule that makes no series.
        """
        draft = await self.get(actor, draft_id)
        if rule is not None:
            await self._recurrences.check(rule, day)
        pandit, service = await self._bookings.offer(actor, draft.service_id)
        now = self._clock.now()
        fresh = await self._bookings.draw_up(
            actor, draft_id, pandit, _as_drafted(service, draft.booking), _wish(day, at), now
        )

        def apply(found: Draft, claims: tuple[int, ...]) -> Draft:
            if found.service_id != service.id:
                raise ConcurrentChange
            timed = replace(fresh, claims=claims)
            booking = timed if found.booking is None else _at_time_of(found.booking, timed)
            return rules.with_time(found, booking, rule, now, self._policy)

        return await self._timetable.fitted(
            pandit,
            wanted_by(_at_time_of(draft.booking, fresh) if draft.booking else fresh),
            lambda claims: self._change(actor, draft_id, lambda found: apply(found, claims)),
        )

    async def give_details(
        self,
        actor: Actor,
        draft_id: str,
        *,
        service_location: ServiceLocation,
        location: Place,
        notes: str,
        samagri_required: bool,
    ) -> Draft:
        """Say where the puja is held and whether samagri is wanted; its list is made then.

        A place without a position is given that of the quarter or town it names. Raises ``Invalid``
        for a place without an address that needs one, or before a time is held.
        """
        draft = await self.get(actor, draft_id)
        before = rules.booking_before(draft, WizardStep.DETAILS)
        wish = _wish(before.booking_date, before.booking_time)
        check_place(replace(wish, service_location=service_location, location=location))
        location = self._places.located(location)
        pandit, _ = await self._bookings.offer(actor, draft.service_id)
        now = self._clock.now()
        said = replace(
            before,
            service_location=service_location,
            location=location,
            distance_km=distance_of(pandit, location),
            notes=notes,
            samagri_required=samagri_required,
        )
        # Where it is held decides whether he gets there in time; nothing else has changed.
        await self._timetable.claims_for(pandit, wanted_by(said))
        # A list that is there stays as the customer left it.
        is_new = samagri_required and not (draft.has_details and before.samagri_required)
        suggested = await self._bookings.suggested(said) if is_new else ()

        def apply(found: Draft) -> Draft:
            present = rules.booking_before(found, WizardStep.DETAILS)
            booking = replace(
                present,
                service_location=said.service_location,
                location=said.location,
                distance_km=said.distance_km,
                notes=said.notes,
                samagri_required=samagri_required,
            )
            lines: tuple[SamagriLine, ...] = ()
            if samagri_required:
                lines = suggested if is_new else present.samagri
            declined = present.samagri_declined if lines and not is_new else ()
            booking = with_samagri(booking, lines, declined, now)
            with_details = replace(found, has_details=True)
            return rules.with_booking(with_details, booking, now, self._policy)

        return await self._change(actor, draft_id, apply)

    async def choose_payment(self, actor: Actor, draft_id: str, method: PaymentMethod) -> Draft:
        """Choose how to pay. Raises ``Invalid`` for a way that is not enabled, or too early."""
        self._bookings.check_method(method)
        now = self._clock.now()

        def apply(found: Draft) -> Draft:
            booking = rules.booking_before(found, WizardStep.PAYMENT)
            chosen = replace(found, has_payment=True)
            return rules.with_booking(
                chosen, replace(booking, payment_method=method), now, self._policy
            )

        return await self._change(actor, draft_id, apply)

    async def confirm(self, actor: Actor, draft_id: str) -> Booking:
        """Make the booking: one write puts it in the place of the draft, which ends the hold.

        Confirming again returns the booking that came of it.

        Raises
        ------
        NotFound
            If there is no such draft, or its time has run out.
        NotBookable
            If the pandit has changed his hours or his offer meanwhile.
        TooManyOpen
            If the customer has as many bookings unpaid or unanswered as he may.
        """
        for _ in range(_ATTEMPTS):
            found = await self._drafts.find(draft_id)
            if found is None:
                return await self._confirmed(actor, draft_id)
            now = self._clock.now()
            draft = rules.require_open(found, actor, now)
            prepared = rules.booking_before(draft, WizardStep.CONFIRMATION)
            self._bookings.check_method(prepared.payment_method)
            pandit, service = await self._bookings.offer(actor, draft.service_id)
            # The pandit's hours may have changed, and the customer's name or number.
            today = await self._bookings.draw_up(
                actor,
                draft_id,
                pandit,
                _as_drafted(service, prepared),
                _wish(prepared.booking_date, prepared.booking_time),
                now,
            )
            booking = replace(
                prepared,
                customer_name=today.customer_name,
                customer_phone=today.customer_phone,
                pandit_name=today.pandit_name,
                pandit_name_ne=today.pandit_name_ne,
                pandit_phone=today.pandit_phone,
                version=draft.version,
            )
            booking = self._bookings.placed(booking, now)
            if draft.recurrence is not None:
                booking = recurrence.wanted_again(booking, draft.recurrence, now)
            try:
                booking, is_made = await self._bookings.in_open_place(
                    booking, functools.partial(self._fitted, draft, pandit)
                )
            except TooManyOpen:
                if await self._drafts.find(draft_id) is not None:
                    raise
                # The last place is this very booking's, confirmed at the same moment.
                return await self._confirmed(actor, draft_id)
            if is_made:
                self._slots.touched(booking.pandit_id, booking.claims)
                await self._bookings.told(booking)
                return booking
        raise ConcurrentChange

    async def _fitted(self, draft: Draft, pandit: Pandit, booking: Booking) -> tuple[Booking, bool]:
        return await self._timetable.fitted(
            pandit, wanted_by(booking), functools.partial(self._made, draft, booking)
        )

    async def _made(
        self, draft: Draft, booking: Booking, claims: tuple[int, ...]
    ) -> tuple[Booking, bool]:
        seated = replace(booking, claims=claims)
        return seated, await self._drafts.confirm(draft, seated)

    async def _confirmed(self, actor: Actor, draft_id: str) -> Booking:
        booking = await self._bookings.find(draft_id)
        if booking is None or booking.user_id != actor.user_id:
            raise NotFound
        return booking

    # -- holding on, and letting go --------------------------------------------------------------

    async def renew(self, actor: Actor, draft_id: str) -> Draft:
        """Hold the slot a while longer, up to the bound: somebody is at work."""
        now = self._clock.now()
        return await self._change(
            actor, draft_id, lambda found: rules.renewed(found, now, self._policy)
        )

    async def discard(self, actor: Actor, draft_id: str) -> None:
        """Drop a draft; its slot is free at once.

        Raises ``NotFound``, or ``IllegalTransition`` when it has become a booking.
        """
        for _ in range(_ATTEMPTS):
            found = await self._drafts.find(draft_id)
            if found is None:
                raise IllegalTransition((await self._confirmed(actor, draft_id)).status)
            if await self._remove(rules.require_open(found, actor, self._clock.now())):
                return
        raise ConcurrentChange

    async def end_lapsed(self) -> int:
        """Let the drafts disappear whose time has run out; for the clock.

        One that goes on at the last moment has another version by then, and stays.
        """
        lapsed = await self._drafts.list_lapsed(self._clock.now(), _LAPSED_ROWS)
        for draft in lapsed:
            await self._remove(draft)
        return len(lapsed)

    async def _remove(self, draft: Draft) -> bool:
        if not await self._drafts.remove(draft):
            return False
        self._slots.touched(draft.pandit_id, draft.claims)
        return True

    # -- inside ----------------------------------------------------------------------------------

    async def _change(self, actor: Actor, draft_id: str, apply: Callable[[Draft], Draft]) -> Draft:
        before: list[Draft] = []

        async def load() -> Draft:
            found = await self._drafts.find(draft_id)
            if found is None:
                # What has become a booking is no draft any more.
                raise IllegalTransition((await self._confirmed(actor, draft_id)).status)
            return rules.require_open(found, actor, self._clock.now())

        def noted(found: Draft) -> Draft:
            before[:] = [found]
            return apply(found)

        changed = await change(load, noted, self._drafts.replace, _ATTEMPTS)
        (old,) = before
        self._slots.moved(old.pandit_id, old.claims, changed.pandit_id, changed.claims)
        return replace(changed, version=changed.version + 1)


def _wish(day: date, at: time) -> BookingWish:
    """What is known once a time is chosen; the rest is said in later steps."""
    return BookingWish(
        service_id="",
        booking_date=day,
        booking_time=at,
        service_location=ServiceLocation.HOME,
        location=Place(),
        notes="",
        samagri_required=False,
    )


def _as_drafted(service: Service, booking: Booking | None) -> Service:
    """The service as it was when the draft's price was frozen."""
    if booking is None:
        return service
    minutes = int((booking.ends_at - booking.starts_at).total_seconds()) // 60
    return replace(service, duration_minutes=minutes, price=booking.service_fee)


def _at_time_of(booking: Booking, fresh: Booking) -> Booking:
    return replace(
        booking,
        booking_date=fresh.booking_date,
        booking_time=fresh.booking_time,
        starts_at=fresh.starts_at,
        ends_at=fresh.ends_at,
        claims=fresh.claims,
    )
