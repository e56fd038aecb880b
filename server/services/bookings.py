"""Booking a puja and everything that happens to the booking until it ends.

The rules of each move are in ``domain.booking``; here they are applied to the stored booking under
its version, and the events that a move tells of are delivered once it is written.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from typing import Final, TypeVar

from server.domain import booking as rules
from server.domain import draft as drafting
from server.domain import samagri_consent as consent
from server.domain.account import Actor, GeoPoint, Place, Role
from server.domain.audit import Act
from server.domain.booking import (
    Booking,
    BookingStatus,
    BookingWish,
    PaymentMethod,
    PaymentState,
    SamagriLine,
    ServiceLocation,
)
from server.domain.calendar import Refusal, Span, check_bookable
from server.domain.cancellation import DEFAULT_TIERS, RefundTier
from server.domain.draft import Draft, DraftPolicy, WizardStep
from server.domain.errors import (
    AlreadyExists,
    ConcurrentChange,
    DomainError,
    FieldFault,
    Forbidden,
    IllegalTransition,
    Invalid,
    NotBookable,
    NotFound,
    PaymentDue,
    ProposalChanged,
    SlotTaken,
    TooManyOpen,
)
from server.domain.money import Unit
from server.domain.pandit import Pandit, Service
from server.domain.ports.accounts import UserRepository
from server.domain.ports.bookings import BookingFilter, BookingRepository, DraftRepository
from server.domain.ports.catalogue import CatalogueRepository
from server.domain.ports.paging import Page, SortKey
from server.domain.ports.pandits import PanditRepository, PanditSearch
from server.domain.ports.world import Clock, IdSource
from server.domain.recommendation import AdviserChoice, Affordable, Occasion
from server.domain.samagri import (
    BudgetPlan,
    LeftOut,
    TemplateOffer,
    by_template,
    cost_of,
    is_fixed,
    within_budget,
)
from server.domain.search import coarse_point
from server.domain.travel import visited_point
from server.services.audit import AuditService
from server.services.batches import each_of
from server.services.optimistic import change
from server.services.places import PlaceService
from server.services.relay import EventRelay
from server.services.samagri import SamagriAdder, with_own_line
from server.services.slot_news import SlotNews
from server.services.templates import TemplateService
from server.services.timetable import Timetable, Wanted, wanted_by

T = TypeVar("T")

_UNANSWERED_ROWS: Final = 50
_SETTLED: Final = (IllegalTransition, ConcurrentChange)
_ATTEMPTS: Final = 5
_CHOICES: Final = 3
"""So many pandits a customer may choose from whose first one has said no."""
_CANDIDATES: Final = 50
_MOST_CANDIDATES: Final = 500
"""How many pandits of one circle are looked at, the best of them first, and how many at once."""
_WIDENINGS: Final = (1, 2, 4)
"""By how much the circle grows in which the next pandit is looked for."""
_NEEDS_ADDRESS: Final = frozenset({ServiceLocation.HOME, ServiceLocation.TEMPLE})


@dataclass(frozen=True, slots=True, kw_only=True)
class BookingPolicy:
    """The settings of bookings; see ``settings.BookingSettings``."""

    slot_step_minutes: int
    horizon_days: int
    answer_hours: float
    start_early_minutes: int
    travel_ahead_minutes: int
    commission_basis_points: int
    max_offers: int
    offer_radius_km: float
    hold_minutes: int = 15
    proposal_hours: float = 24.0
    most_unpaid: int = 5
    most_unanswered: int = 20
    most_repeated: int = 60
    drafts: DraftPolicy = field(default_factory=DraftPolicy)
    refund_tiers: tuple[RefundTier, ...] = DEFAULT_TIERS
    payment_methods: frozenset[PaymentMethod] = frozenset(PaymentMethod)


class BookingService:
    """The use cases of bookings, for customers, pandits, admins and the clock."""

    def __init__(
        self,
        *,
        bookings: BookingRepository,
        pandits: PanditRepository,
        users: UserRepository,
        catalogue: CatalogueRepository,
        drafts: DraftRepository,
        adder: SamagriAdder,
        timetable: Timetable,
        templates: TemplateService,
        advisers: AdviserChoice,
        relay: EventRelay,
        slots: SlotNews,
        audit: AuditService,
        places: PlaceService,
        clock: Clock,
        ids: IdSource,
        policy: BookingPolicy,
    ) -> None:
        self._bookings = bookings
        self._drafts = drafts
        self._slots = slots
        self._audit = audit
        self._places = places
        self._pandits = pandits
        self._users = users
        self._catalogue = catalogue
        self._adder = adder
        self._timetable = timetable
        self._templates = templates
        self._advisers = advisers
        self._relay = relay
        self._clock = clock
        self._ids = ids
        self._policy = policy

    # -- placing ---------------------------------------------------------------------------------

    async def book(self, actor: Actor, wish: BookingWish) -> Booking:
        """Place a booking; its samagri is already added when that was asked for.

        Raises
        ------
        NotFound
            If no bookable pandit offers that service.
        NotBookable
            If the time lies outside his hours, too near or too far.
        SlotTaken
            If another booking holds part of that time.
        TooManyOpen
            If the customer has as many bookings open as he may.
        """
        try:
            booking = await self._made(actor, wish)
        except (AlreadyExists, SlotTaken, NotBookable, NotFound, TooManyOpen):
            # Made by this very request, when its first answer was lost in a crash.
            if earlier := await self._of_request(actor, wish):
                return earlier
            raise
        self._slots.touched(booking.pandit_id, booking.claims)
        await self.told(booking)
        return booking

    async def _made(self, actor: Actor, wish: BookingWish) -> Booking:
        now = self._clock.now()
        self.check_method(wish.payment_method)
        pandit, service = await self.offer(actor, wish.service_id)
        check_place(wish)
        wish = replace(wish, location=self._places.located(wish.location))
        booking = await self.draw_up(actor, self._ids.new(), pandit, service, wish, now)
        if wish.samagri_required:
            lines = await self.suggested(booking)
            if wish.template_id:
                lines = await self._begun_by_template(booking, wish, lines)
            booking = rules.with_samagri(booking, lines, (), now)
        booking = self.placed(booking, now)

        async def fitted(drawn: Booking) -> Booking:
            return await self._timetable.fitted(
                pandit,
                wanted_by(drawn),
                lambda claims: self._added(replace(drawn, claims=claims)),
            )

        return await self.in_open_place(booking, fitted, is_repeated=wish.is_repeated)

    async def in_open_place(
        self,
        booking: Booking,
        write: Callable[[Booking], Awaitable[T]],
        *,
        is_repeated: bool = False,
    ) -> T:
        """Have ``write`` store a new booking in a place that its customer has left.

        Of two that are made at once in one place the database lets one through, so nobody holds
        more of pandits' time, unpaid or unanswered, than he may. What a series books by itself has
        places of its own. Raises ``TooManyOpen``.
        """
        if is_repeated:
            kind, most = "repeated", self._policy.most_repeated
        elif booking.pay_by is not None:
            kind, most = "unpaid", self._policy.most_unpaid
        else:
            kind, most = "unanswered", self._policy.most_unanswered
        taken = await self._bookings.open_places(booking.user_id)
        for place in (f"{kind}.{number}" for number in range(most)):
            if place in taken:
                continue
            try:
                return await write(replace(booking, open_place=place))
            except AlreadyExists as error:
                if error.field != "open_place":
                    raise
        raise TooManyOpen(most)

    def check_method(self, method: PaymentMethod) -> None:
        """Raise ``Invalid`` for a way to pay that is not enabled."""
        if method not in self._policy.payment_methods:
            raise Invalid(FieldFault("payment_method", "method-unavailable"))

    async def draw_up(
        self,
        actor: Actor,
        booking_id: str,
        pandit: Pandit,
        service: Service,
        wish: BookingWish,
        now: datetime,
    ) -> Booking:
        """A booking as the actor wishes it, at today's price; stored nowhere yet.

        Raises
        ------
        NotBookable
            If the time lies outside the pandit's hours, too near or too far.
        """
        span = self._span(
            pandit, service.duration_minutes, wish.booking_date, wish.booking_time, now
        )
        customer = await self._users.find(actor.user_id)
        if customer is None:
            raise NotFound
        return Booking(
            id=booking_id,
            user_id=actor.user_id,
            customer_name=customer.full_name,
            customer_phone=customer.phone_number,
            pandit_id=pandit.id,
            pandit_user_id=pandit.user_id,
            pandit_name=pandit.full_name,
            pandit_name_ne=pandit.full_name_ne,
            pandit_phone=pandit.phone_number,
            distance_km=distance_of(pandit, wish.location),
            service_id=service.id,
            puja_id=service.puja_id,
            service_name=service.name,
            service_name_ne=service.name_ne or service.name,
            service_location=wish.service_location,
            location=wish.location,
            booking_date=wish.booking_date,
            booking_time=wish.booking_time,
            timezone=pandit.availability.timezone,
            starts_at=span.starts_at,
            ends_at=span.ends_at,
            claims=span.claims,
            status=BookingStatus.PENDING,
            notes=wish.notes,
            samagri_required=wish.samagri_required,
            request_key=wish.request_key,
            service_fee=service.price,
            total_fee=service.price,
            currency=service.currency,
            commission_basis_points=self._policy.commission_basis_points,
            commission_amount=rules.commission_of(
                service.price, self._policy.commission_basis_points
            ),
            payment_method=wish.payment_method,
            refund_tiers=self._policy.refund_tiers,
            created_at=now,
            updated_at=now,
        )

    def placed(self, booking: Booking, now: datetime) -> Booking:
        """The booking as it begins: its pandit is asked now, or once it is paid in advance."""
        is_prepaid = booking.payment_method is not PaymentMethod.CASH
        booking = replace(
            booking,
            answer_by=None if is_prepaid else self._answer_by(now, booking.starts_at),
            pay_by=min(now + self._hold, booking.starts_at) if is_prepaid else None,
            created_at=now,
            updated_at=now,
        )
        return rules.placed(booking, now)

    async def _added(self, booking: Booking) -> Booking:
        await self._bookings.add(booking)
        return booking

    async def _of_request(self, actor: Actor, wish: BookingWish) -> Booking | None:
        if wish.request_key is None:
            return None
        return await self._bookings.find_by_request(actor.user_id, wish.request_key)

    # -- reading ---------------------------------------------------------------------------------

    async def get(self, actor: Actor, booking_id: str) -> Booking:
        """One booking of the actor's own. Raises ``NotFound`` for everybody else's."""
        return rules.require_party(await self._load(booking_id), actor)

    async def held_each(self, actor: Actor, booking_ids: Collection[str]) -> dict[str, Booking]:
        """Those of the bookings in which the actor is the pandit, by id."""
        found = await self._bookings.find_each(booking_ids)
        return {
            booking.id: booking
            for booking in found.values()
            if booking.pandit_user_id == actor.user_id
        }

    async def find(self, booking_id: str) -> Booking | None:
        """The booking, for other services; None when there is none."""
        return await self._bookings.find(booking_id)

    async def get_listed(self, actor: Actor, booking_id: str) -> Booking:
        """One booking for the sake of its samagri: the actor's unfinished one, too.

        Raises ``NotFound`` for everybody else's.
        """
        found = await self._bookings.find(booking_id)
        if found is not None:
            return rules.require_party(found, actor)
        return drafting.booking_before(await self._draft(actor, booking_id), WizardStep.DETAILS)

    async def list_own(
        self,
        actor: Actor,
        *,
        statuses: tuple[BookingStatus, ...] = (),
        first: date | None = None,
        last: date | None = None,
        is_held: bool | None = None,
        limit: int = 20,
        after: SortKey | None = None,
        soonest_first: bool = False,
    ) -> Page[Booking]:
        """The actor's bookings, the latest start first or the soonest.

        An admin sees everybody's. ``is_held`` takes out those that wait to be paid in advance, or
        all others.
        """
        whose = {
            Role.USER: {"user_id": actor.user_id},
            Role.PANDIT: {"pandit_user_id": actor.user_id},
            Role.ADMIN: {},
        }[actor.role]
        return await self._bookings.list_page(
            BookingFilter(
                **whose,
                statuses=statuses,
                first=first,
                last=last,
                is_held=is_held,
                limit=limit,
                after=after,
                soonest_first=soonest_first,
            )
        )

    # -- moves -----------------------------------------------------------------------------------

    async def accept(
        self, actor: Actor, booking_id: str, starts_at: datetime | None = None
    ) -> Booking:
        """The pandit takes it on, for the time ``starts_at`` if he says which one he has seen.

        Raises
        ------
        Forbidden
            Unless he is verified at this time. One who has lost his approval may still hold what
            he accepted before.
        ProposalChanged
            If its customer has moved it to another time.
        """
        now = self._clock.now()
        booking = await self.get(actor, booking_id)
        pandit = await self._pandits.find(booking.pandit_id)
        if pandit is None or not pandit.is_verified:
            raise Forbidden

        def accepted(found: Booking, arrivals: tuple[int, ...]) -> Booking:
            if (found.pandit_id, found.starts_at) != (booking.pandit_id, booking.starts_at):
                # Passed on or moved meanwhile: the way that was looked at is another one.
                raise ConcurrentChange
            return rules.accept(found, actor, now, arrivals)

        accepted(booking, ())
        if starts_at is not None and starts_at != booking.starts_at:
            raise ProposalChanged
        return await self._timetable.promised(
            booking,
            lambda arrivals: self._move(actor, booking_id, lambda found: accepted(found, arrivals)),
        )

    async def arrive(self, actor: Actor, booking_id: str) -> Booking:
        """The pandit is at the door."""
        now, ahead = self._clock.now(), timedelta(minutes=self._policy.travel_ahead_minutes)
        return await self._move(
            actor, booking_id, lambda found: rules.arrive(found, actor, now, ahead)
        )

    def is_on_the_way(self, actor: Actor, booking: Booking) -> bool:
        """Whether the actor may now share his way with the customer, or say that he is there."""
        ahead = timedelta(minutes=self._policy.travel_ahead_minutes)
        try:
            rules.require_on_the_way(booking, actor, self._clock.now(), ahead)
        except DomainError:
            return False
        return True

    def is_startable(self, actor: Actor, booking: Booking) -> bool:
        """Whether the actor may begin the puja now."""
        early = self._policy.start_early_minutes
        try:
            rules.require_startable(booking, actor, self._clock.now(), early)
        except DomainError:
            return False
        return True

    async def start(self, actor: Actor, booking_id: str) -> Booking:
        """The pandit begins."""
        now, early = self._clock.now(), self._policy.start_early_minutes
        return await self._move(
            actor, booking_id, lambda found: rules.start(found, actor, now, early)
        )

    async def complete(
        self, actor: Actor, booking_id: str, cash_amount: int | None = None
    ) -> Booking:
        """The pandit has finished; of cash he has got all that was due, or says how much."""
        now = self._clock.now()
        return await self._move(
            actor, booking_id, lambda found: rules.complete(found, actor, now, cash_amount)
        )

    async def cancel(
        self, actor: Actor, booking_id: str, reason: str, *, refund_to_wallet: bool = False
    ) -> Booking:
        """Call it off; what was paid goes back by the policy that the booking was made under.

        What an admin calls off is on record.
        """
        now = self._clock.now()
        async with self._audit.recording(
            actor, Act.BOOKING_CANCELLED, "booking", booking_id, reason=reason
        ):
            return await self._move(
                actor,
                booking_id,
                lambda found: rules.cancel(
                    found, actor, now, reason, refund_to_wallet=refund_to_wallet
                ),
            )

    async def reject(self, actor: Actor, booking_id: str, reason: str) -> Booking:
        """The pandit says no; the booking goes to the next pandit, or fails when there is none."""
        now = self._clock.now()
        return await self._pass_on(
            booking_id,
            lambda found: rules.decline(rules.require_party(found, actor), actor, now, reason),
        )

    async def choices(
        self, actor: Actor, booking_id: str
    ) -> tuple[tuple[Pandit, float | None], ...]:
        """A few pandits whom the customer may ask in the place of the present one, with distances.

        None while he may not choose: see ``rules.take_request_back``.
        """
        now, booking = self._clock.now(), await self.get(actor, booking_id)
        found: list[tuple[Pandit, float | None]] = []
        with suppress(Forbidden, IllegalTransition, PaymentDue):
            free = rules.take_request_back(booking, actor, now)
            async for pandit, _ in self._candidates(free, now):
                found.append((pandit, distance_of(pandit, booking.location)))
                if len(found) == _CHOICES:
                    break
        return tuple(found)

    async def choose(self, actor: Actor, booking_id: str, pandit_id: str) -> Booking:
        """Ask that pandit in the place of the one who is asked now; asked already, nothing changes.

        Raises ``NotBookable`` or ``SlotTaken`` when he cannot take it: then it stays where it is.
        """
        now = self._clock.now()
        for _ in range(_ATTEMPTS):
            before = await self.get(actor, booking_id)
            free = rules.take_request_back(before, actor, now)
            if before.pandit_id == pandit_id:
                return before
            pandit, service = await self._chosen(free, pandit_id)
            offered, is_written = await self._offer_to(free, pandit, service, now)
            if is_written:
                self._tell_slots(before, offered)
                await self.told(offered)
                return offered
        raise ConcurrentChange

    async def _chosen(self, free: Booking, pandit_id: str) -> tuple[Pandit, Service]:
        pandit = await self._pandits.find(pandit_id)
        service = _service_for(pandit, free) if pandit and pandit.is_bookable else None
        is_spent = len(free.rejected_by) >= self._policy.max_offers
        if pandit is None or service is None or pandit_id in free.rejected_by or is_spent:
            raise NotBookable(Refusal.NOT_OFFERED)
        if pandit.user_id == free.user_id:
            raise Forbidden
        return pandit, service

    async def take_offer_back(self, booking_id: str, pandit_id: str) -> Booking:
        """Ask another pandit in the place of that one, who takes no bookings any more.

        Raises ``IllegalTransition`` when he is not the one who is asked now.
        """
        now = self._clock.now()
        return await self._pass_on(
            booking_id, lambda found: rules.take_offer_back(found, pandit_id, now)
        )

    async def pass_on_if_due(self, booking: Booking) -> Booking:
        """Pass a booking on at once whose pandit is not to be waited for; others stay as they are.

        The clock would do it a little later.
        """
        now = self._clock.now()
        is_due = booking.answer_by is not None and booking.answer_by <= now
        if booking.status is BookingStatus.PENDING and is_due:
            with suppress(*_SETTLED):
                return await self._pass_on(booking.id, lambda found: rules.lapse(found, now))
        return booking

    async def pass_on_unanswered(self) -> int:
        """Offer bookings whose pandit has not answered in time to the next one; for the clock."""
        now = self._clock.now()
        waiting = await self._bookings.list_unanswered(now, _UNANSWERED_ROWS)
        # He answered at the last moment, or another process has passed it on already.
        await each_of(
            (booking.id for booking in waiting),
            lambda booking_id: self._pass_on(booking_id, lambda found: rules.lapse(found, now)),
            expected=_SETTLED,
            what="unanswered booking",
        )
        return len(waiting)

    async def remind_due(self) -> int:
        """Remind the parties of accepted bookings that are near; for the clock."""
        now = self._clock.now()
        due = await self._bookings.list_to_remind(now, _UNANSWERED_ROWS)
        # Moved, called off or reminded of by another process in the meantime.
        await each_of(
            (booking.id for booking in due),
            lambda booking_id: self._change(booking_id, lambda found: rules.remind(found, now)),
            expected=_SETTLED,
            what="reminder",
        )
        return len(due)

    async def reschedule(self, actor: Actor, booking_id: str, day: date, at: time) -> Booking:
        """Move a pending booking, propose another time for an accepted one, or agree to a proposal.

        The customer moves his pending booking at once. For an accepted one the first call proposes;
        the other side agrees by calling with the same day and time.
        """
        now = self._clock.now()
        booking = await self.get(actor, booking_id)
        pandit, span = await self._span_of(booking, day, at, now)

        def apply(found: Booking, claims: tuple[int, ...]) -> Booking:
            rules.require_party(found, actor)
            wanted = replace(span, claims=claims)
            if found.pandit_id != booking.pandit_id:
                # Passed on meanwhile: the hours that were looked at are another pandit's.
                raise ConcurrentChange
            proposal = found.proposal
            is_agreed = (
                proposal is not None
                and proposal.by != actor.user_id
                and (proposal.booking_date, proposal.booking_time) == (day, at)
                and not rules.is_lapsed(proposal, now)
            )
            if found.status is BookingStatus.ACCEPTED and not is_agreed:
                return rules.propose_time(
                    found,
                    actor,
                    now,
                    day=day,
                    at=at,
                    span=wanted,
                    answer_within=timedelta(hours=self._policy.proposal_hours),
                )
            return rules.move_time(
                found, actor, now, day=day, at=at, span=wanted, within=self._answer_within
            )

        point = visited_point(booking.service_location, booking.location)
        return await self._timetable.fitted(
            pandit,
            Wanted(day=day, span=span, point=point, booking_id=booking.id),
            lambda claims: self._change(booking_id, lambda found: apply(found, claims)),
        )

    async def decline_proposal(self, actor: Actor, booking_id: str) -> Booking:
        """Keep the present time; either party may drop the open proposal.

        So may an admin, and that is on record.
        """
        now = self._clock.now()
        async with self._audit.recording(actor, Act.PROPOSAL_DECLINED, "booking", booking_id):
            return await self._move(
                actor, booking_id, lambda found: rules.decline_time(found, actor, now)
            )

    async def end_unanswered_proposals(self) -> int:
        """Let go of proposed times and lists that nobody has answered in time; for the clock."""
        now = self._clock.now()
        waiting = await self._bookings.list_unanswered_proposals(now, _UNANSWERED_ROWS)
        # Answered at the last moment, or ended by another process.
        await each_of(
            (booking.id for booking in waiting),
            lambda booking_id: self._change(
                booking_id, lambda found: consent.end_unanswered(found, now)
            ),
            expected=_SETTLED,
            what="proposal",
        )
        return len(waiting)

    # -- paying ----------------------------------------------------------------------------------

    async def begin_payment(
        self, actor: Actor, booking_id: str, method: PaymentMethod, *, shown: int | None = None
    ) -> tuple[Booking, Booking]:
        """The customer sets about paying; the price stands from now on.

        ``shown`` is the price in paisa that he has seen, where one was shown: until now the pandit
        could agree to another list of samagri. Returns the booking as it was, and as it is.

        Raises ``NotFound``, ``Forbidden`` unless he is the customer, ``AlreadyPaid``,
        ``IllegalTransition`` when the booking has ended, or ``Invalid`` if the price is another.
        """
        now = self._clock.now()
        before: list[Booking] = []
        held = await self.get(actor, booking_id)
        may_be_asked = await self._may_be_asked(held)

        def begun(found: Booking) -> Booking:
            before[:] = [found]
            if shown is not None and shown != found.total_fee:
                raise Invalid(FieldFault("amount", "price-changed"))
            # Whoever was asked already has no more time than he had.
            asked_at = rules.asked_at(found) or now
            answer_by = self._answer_by(asked_at, found.starts_at) if may_be_asked else None
            return rules.begin_payment(
                found, actor, method, now, hold=self._hold, answer_by=answer_by
            )

        booking = await self._move(actor, booking_id, begun)
        return before[0], booking

    async def take_payment_back(
        self, before: Booking, method: PaymentMethod, *, is_open: bool
    ) -> None:
        """A payment that was begun came to nothing: the booking is again as it was ``before``.

        ``is_open``: a payment is under way all the same, begun at another time. A pandit who has
        left meanwhile is asked no longer, but the next one is.
        """
        now = self._clock.now()
        found = await self._load(before.id)
        may_be_asked = await self._may_be_asked(found)
        within = self._answer_within if may_be_asked else None

        def apply(found: Booking) -> Booking:
            return rules.take_payment_back(
                found, before, method, now, is_open=is_open, within=within
            )

        if apply(found) is not found:
            changed = await self._change(before.id, apply)
            if not may_be_asked:
                await self.pass_on_if_due(changed)

    async def follow_payment(self, booking_id: str, state: PaymentState) -> Booking | None:
        """Take over where the payment stands; None when there is no such booking.

        A pandit who takes no bookings any more when his is paid is not asked, but the next one is;
        what he was asked before he may answer.
        """
        now = self._clock.now()
        found = await self._bookings.find(booking_id)
        if found is None:
            return None
        if rules.with_payment(found, state, now, now) is found:
            return found
        may_be_asked = await self._may_be_asked(found)

        def followed(old: Booking) -> Booking:
            answer_by = self._answer_by(now, old.starts_at) if may_be_asked else None
            return rules.with_payment(old, state, now, answer_by)

        changed = await self._change(booking_id, followed)
        return changed if may_be_asked else await self.pass_on_if_due(changed)

    async def list_unpaid(self) -> tuple[Booking, ...]:
        """Some of the bookings whose time to pay has run out; for the clock."""
        return await self._bookings.list_unpaid(self._clock.now(), _UNANSWERED_ROWS)

    async def fail_unpaid(self, booking_id: str) -> Booking:
        """Give the slot of an unpaid booking free. Raises ``IllegalTransition`` before its time."""
        now = self._clock.now()
        return await self._change(booking_id, lambda found: rules.fail_unpaid(found, now))

    # -- samagri ---------------------------------------------------------------------------------
    #
    # Once the booking is accepted, each of these changes makes or extends a proposal, and the
    # booking's own list stays until the pandit agrees: see ``domain.samagri_consent``.

    async def answer_samagri(
        self, actor: Actor, booking_id: str, revision: int, *, is_agreed: bool
    ) -> Booking:
        """The pandit agrees to the list that was proposed under ``revision``, or declines it.

        Raises
        ------
        ProposalChanged
            If something else, or nothing, is proposed by now.
        PaymentOpen
            If the price is being paid.
        """
        now = self._clock.now()
        answer = consent.agree if is_agreed else consent.decline
        return await self._move(
            actor, booking_id, lambda found: answer(found, actor, revision, now)
        )

    async def withdraw_samagri(self, actor: Actor, booking_id: str) -> Booking:
        """The customer takes his proposal back. Raises ``ProposalChanged`` when none is open."""
        now = self._clock.now()
        return await self._move(
            actor, booking_id, lambda found: consent.withdraw(found, actor, now)
        )

    async def add_suggested(self, actor: Actor, booking_id: str) -> Booking:
        """Compute the recommended samagri and add what is missing; declined items stay away."""
        booking = await self._get_edited(actor, booking_id)
        suggested = await self.suggested(booking)
        return await self._edit(
            actor,
            booking_id,
            lambda found: rules.with_samagri(
                found,
                self._adder.with_suggested(found, suggested),
                found.samagri_declined,
                self._clock.now(),
            ),
        )

    async def set_quantity(
        self, actor: Actor, booking_id: str, item_id: str, quantity: Decimal, unit: Unit | None
    ) -> Booking:
        """Change how much of an item is wanted."""
        return await self._edit(
            actor,
            booking_id,
            lambda found: rules.with_quantity(found, item_id, quantity, unit, self._clock.now()),
        )

    async def add_item(
        self, actor: Actor, booking_id: str, item_id: str, quantity: Decimal, unit: Unit | None
    ) -> Booking:
        """Add an item of the customer's own; one that is there already gets the quantity."""
        await self._get_edited(actor, booking_id)
        item = await self._adder.item(item_id)
        line = self._adder.own_line(item, quantity, unit or item.base_unit)

        def apply(found: Booking) -> Booking:
            now = self._clock.now()
            if any(each.item_id == item_id for each in found.samagri):
                return rules.with_quantity(found, item_id, quantity, unit, now)
            declined = tuple(each for each in found.samagri_declined if each != item_id)
            return rules.with_samagri(found, with_own_line(found, line), declined, now)

        return await self._edit(actor, booking_id, apply)

    async def remove_item(self, actor: Actor, booking_id: str, item_id: str) -> Booking:
        """Take an optional item off the list. Raises ``ItemRequired`` for the others."""
        return await self._edit(
            actor, booking_id, lambda found: rules.without_line(found, item_id, self._clock.now())
        )

    async def use_template(
        self, actor: Actor, booking_id: str, template_id: str
    ) -> tuple[Booking, tuple[LeftOut, ...]]:
        """Make a ready list the booking's own; also returns what of it is not brought, and why.

        What the puja needs stays, as does what the customer has added himself, and what was there
        keeps its frozen price. Of all else there is what the template has.

        Raises ``Invalid`` when the puja has no such template.
        """
        booking = await self._get_edited(actor, booking_id)
        needed = _needed(await self.suggested(booking))
        chosen = await self._of_template(booking, template_id)

        def apply(found: Booking) -> Booking:
            lines = by_template(found.samagri, needed, chosen.lines)
            there = {line.item_id for line in lines}
            declined = tuple(each for each in found.samagri_declined if each not in there)
            return rules.with_samagri(found, lines, declined, self._clock.now())

        return await self._edit(actor, booking_id, apply), chosen.left_out

    async def plan_budget(self, actor: Actor, booking_id: str, budget: int) -> BudgetPlan:
        """Return the list that so many paisa allow; nothing changes.

        Of all that is on the list or suggested for it the best that fits; what the puja needs and
        what the customer has added himself is there whatever it costs.
        """
        booking = await self._get_edited(actor, booking_id)
        return self._planned(booking, await self.suggested(booking), budget)

    async def fit_budget(
        self, actor: Actor, booking_id: str, budget: int
    ) -> tuple[Booking, BudgetPlan]:
        """Make the list that a budget allows the booking's own.

        What it leaves out is not declined: with more money it comes back.
        """
        booking = await self._get_edited(actor, booking_id)
        suggested = await self.suggested(booking)

        def apply(found: Booking) -> Booking:
            lines = self._planned(found, suggested, budget).lines
            return rules.with_samagri(found, lines, found.samagri_declined, self._clock.now())

        changed = await self._edit(actor, booking_id, apply)
        listed = consent.as_proposed(changed, self._clock.now())
        return changed, self._planned(listed, suggested, budget)

    # -- inside ----------------------------------------------------------------------------------

    async def _move(
        self, actor: Actor, booking_id: str, move: Callable[[Booking], Booking]
    ) -> Booking:
        return await self._change(booking_id, lambda found: move(rules.require_party(found, actor)))

    async def _edit(
        self, actor: Actor, booking_id: str, edit: Callable[[Booking], Booking]
    ) -> Booking:
        now, within = self._clock.now(), timedelta(hours=self._policy.proposal_hours)

        def apply(found: Booking) -> Booking:
            rules.require_party(found, actor)
            return consent.edited(found, actor, edit, now, within)

        try:
            return await self._change(booking_id, apply)
        except NotFound:
            return await self._edit_draft(actor, booking_id, apply)

    async def _get_edited(self, actor: Actor, booking_id: str) -> Booking:
        """The booking with the list that an edit of the actor would change now."""
        booking, now = await self.get_listed(actor, booking_id), self._clock.now()
        rules.require_samagri_editable(booking, actor, now)
        return consent.as_proposed(booking, now)

    async def _edit_draft(
        self, actor: Actor, draft_id: str, apply: Callable[[Booking], Booking]
    ) -> Booking:
        now = self._clock.now()

        def edited(draft: Draft) -> Draft:
            booking = apply(drafting.booking_before(draft, WizardStep.DETAILS))
            return drafting.with_booking(draft, booking, now, self._policy.drafts)

        draft = await change(
            lambda: self._draft(actor, draft_id), edited, self._drafts.replace, _ATTEMPTS
        )
        return drafting.booking_before(draft, WizardStep.DETAILS)

    async def _draft(self, actor: Actor, draft_id: str) -> Draft:
        found = await self._drafts.find(draft_id)
        return drafting.require_open(found, actor, self._clock.now())

    async def _change(self, booking_id: str, apply: Callable[[Booking], Booking]) -> Booking:
        before: list[Booking] = []

        def noted(found: Booking) -> Booking:
            before[:] = [found]
            return apply(found)

        changed = await change(
            lambda: self._load(booking_id), noted, self._bookings.replace, _ATTEMPTS
        )
        self._tell_slots(before[0], changed)
        await self.told(changed)
        return changed

    def _tell_slots(self, before: Booking, after: Booking) -> None:
        self._slots.moved(before.pandit_id, before.claims, after.pandit_id, after.claims)

    async def _load(self, booking_id: str) -> Booking:
        found = await self._bookings.find(booking_id)
        if found is None:
            raise NotFound
        return found

    async def told(self, booking: Booking) -> None:
        """Deliver what a booking that was just written tells of."""
        if booking.outbox:
            await self._relay.deliver("bookings", booking.id, booking.outbox)

    async def offer(self, actor: Actor, service_id: str) -> tuple[Pandit, Service]:
        """A service that the actor may book, with the pandit who offers it.

        Raises
        ------
        NotFound
            If no bookable pandit offers it.
        NotBookable
            If he does not offer it at present.
        Forbidden
            If the pandit is the actor himself.
        """
        pandit = await self._pandits.find_by_service(service_id)
        service = pandit.service(service_id) if pandit else None
        if pandit is None or service is None or not pandit.is_bookable:
            raise NotFound
        if not service.is_available:
            raise NotBookable(Refusal.NOT_OFFERED)
        if pandit.user_id == actor.user_id:
            raise Forbidden
        return pandit, service

    def _span(self, pandit: Pandit, minutes: int, day: date, at: time, now: datetime) -> Span:
        span = check_bookable(
            pandit.availability,
            day=day,
            at=at,
            duration_minutes=minutes,
            now=now,
            horizon_days=self._policy.horizon_days,
        )
        if isinstance(span, Refusal):
            raise NotBookable(span)
        return span

    async def _span_of(
        self, booking: Booking, day: date, at: time, now: datetime
    ) -> tuple[Pandit, Span]:
        """Its pandit, and the span of a booking at another time: as long as it was booked for.

        The service may have changed since, or be offered no more.
        """
        pandit = await self._pandits.find(booking.pandit_id)
        if pandit is None:
            raise NotBookable(Refusal.NOT_OFFERED)
        minutes = (booking.ends_at - booking.starts_at) // timedelta(minutes=1)
        return pandit, self._span(pandit, minutes, day, at, now)

    async def may_answer(self, pandit: Pandit) -> bool:
        """Whether the pandit may answer what he was asked, also one who takes nothing new."""
        user = await self._users.find(pandit.user_id)
        return pandit.is_verified and user is not None and user.is_active

    async def _may_be_asked(self, booking: Booking) -> bool:
        """Whether a booking that is held for its payment may go to its own pandit after that."""
        if booking.pay_by is None:
            return True
        pandit = await self._pandits.find(booking.pandit_id)
        if pandit is None or not await self.may_answer(pandit):
            return False
        return pandit.is_available or rules.asked_at(booking) is not None

    def _answer_by(self, now: datetime, starts_at: datetime) -> datetime:
        return rules.answer_time(now, starts_at, self._answer_within)

    @property
    def _answer_within(self) -> timedelta:
        return timedelta(hours=self._policy.answer_hours)

    @property
    def _hold(self) -> timedelta:
        return timedelta(minutes=self._policy.hold_minutes)

    async def suggested(self, booking: Booking) -> tuple[SamagriLine, ...]:
        """The lines that the booking's samagri begins with."""
        puja = await self._catalogue.find_puja(booking.puja_id)
        if puja is None:
            return ()
        return await self._adder.lines_for(
            puja,
            Occasion(
                user_id=booking.user_id,
                city=booking.location.city,
                pandit_id=booking.pandit_id,
                held_on=booking.booking_date,
                added=tuple(line.item_id for line in booking.samagri if line.user_added),
            ),
        )

    async def _begun_by_template(
        self, booking: Booking, wish: BookingWish, suggested: tuple[SamagriLine, ...]
    ) -> tuple[SamagriLine, ...]:
        try:
            chosen = await self._of_template(booking, wish.template_id)
        except Invalid:
            if not wish.is_repeated:
                raise
            return suggested
        return by_template((), _needed(suggested), chosen.lines)

    async def _of_template(self, booking: Booking, template_id: str) -> TemplateOffer:
        try:
            return await self._templates.offer(
                booking.puja_id, template_id, user_id=booking.user_id, day=booking.booking_date
            )
        except NotFound:
            raise Invalid(FieldFault("template_id", "choice")) from None

    def _planned(
        self, booking: Booking, suggested: Sequence[SamagriLine], budget: int
    ) -> BudgetPlan:
        lines = self._adder.with_suggested(booking, suggested)
        fixed = cost_of(line for line in lines if is_fixed(line))
        choice = [
            Affordable(
                item_id=line.item_id,
                price=line.price_at_booking,
                confidence=line.confidence,
                source=line.source,
            )
            for line in lines
            if not is_fixed(line)
        ]
        taken = self._advisers.of(booking.user_id).affordable(choice, max(0, budget - fixed))
        return within_budget(lines, taken, budget)

    async def _pass_on(self, booking_id: str, decline: Callable[[Booking], Booking]) -> Booking:
        """Decline, and in the same write offer to the next pandit, or fail when none is left."""
        for _ in range(_ATTEMPTS):
            before = await self._load(booking_id)
            declined = decline(before)
            offered, is_written = await self._offer_on(declined, self._clock.now())
            if is_written:
                self._tell_slots(before, offered)
                await self.told(offered)
                return offered
        raise ConcurrentChange

    async def _offer_on(self, declined: Booking, now: datetime) -> tuple[Booking, bool]:
        """Offer to the best pandit who has time; fail when there is none.

        False beside it when somebody has changed the booking meanwhile.
        """
        async for pandit, service in self._candidates(declined, now):
            # Otherwise he does not work then, or has no room for it in his day.
            with suppress(NotBookable, SlotTaken):
                return await self._offer_to(declined, pandit, service, now)
        failed = rules.fail(declined, now, "no-pandit-left")
        return failed, await self._bookings.replace(failed)

    async def _offer_to(
        self, declined: Booking, pandit: Pandit, service: Service, now: datetime
    ) -> tuple[Booking, bool]:
        """Offer the booking to that pandit; False beside it when somebody has changed it meanwhile.

        Raises ``NotBookable`` or ``SlotTaken`` when he cannot at its time.
        """
        day = declined.booking_date
        span = self._span(pandit, service.duration_minutes, day, declined.booking_time, now)
        point = visited_point(declined.service_location, declined.location)

        async def write(claims: tuple[int, ...]) -> tuple[Booking, bool]:
            offered = self._offered(declined, pandit, service, replace(span, claims=claims), now)
            return offered, await self._bookings.replace(offered)

        wanted = Wanted(day=day, span=span, point=point, booking_id=declined.id)
        return await self._timetable.fitted(pandit, wanted, write)

    def _offered(
        self, declined: Booking, pandit: Pandit, service: Service, span: Span, now: datetime
    ) -> Booking:
        return rules.reoffer(
            declined,
            pandit_id=pandit.id,
            pandit_user_id=pandit.user_id,
            pandit_name=pandit.full_name,
            pandit_name_ne=pandit.full_name_ne,
            pandit_phone=pandit.phone_number,
            distance_km=distance_of(pandit, declined.location),
            service_id=service.id,
            span=span,
            answer_by=self._answer_by(now, span.starts_at),
            now=now,
        )

    async def _candidates(
        self, booking: Booking, now: datetime
    ) -> AsyncIterator[tuple[Pandit, Service]]:
        """Pandits not asked yet who offer the puja at no more than the frozen price.

        The best of the neighbourhood first, then those farther away. Nobody is asked to cross the
        country: they live around the place of the puja, or around the pandit who was asked before
        where that is not known.
        """
        if len(booking.rejected_by) >= self._policy.max_offers or booking.starts_at <= now:
            return
        near = await self._meeting_point(booking)
        seen = set(booking.rejected_by)
        for widening in _WIDENINGS if near is not None else (1,):
            wanted = PanditSearch(
                puja_ids=(booking.puja_id,),
                max_price=booking.service_fee,
                day=booking.booking_date,
                at=booking.booking_time,
                near=near,
                radius_km=None if near is None else self._policy.offer_radius_km * widening,
                limit=_CANDIDATES,
            )
            for _ in range(_MOST_CANDIDATES // _CANDIDATES):
                page = await self._pandits.search(wanted)
                fresh = [hit.pandit for hit in page.rows if hit.pandit.id not in seen]
                seen.update(pandit.id for pandit in fresh)
                for candidate in await self._unheld(booking, fresh, now):
                    yield candidate
                if page.next_key is None:
                    break
                wanted = replace(wanted, after=page.next_key)

    async def _unheld(
        self, booking: Booking, pandits: Sequence[Pandit], now: datetime
    ) -> list[tuple[Pandit, Service]]:
        """Those who may hold the booking, and whose time nobody holds, by one query."""
        found: list[tuple[Pandit, Service, Span]] = []
        for pandit in pandits:
            service = _service_for(pandit, booking)
            if service is None or pandit.user_id == booking.user_id:
                continue
            # Otherwise he does not work then.
            with suppress(NotBookable):
                day, at = booking.booking_date, booking.booking_time
                span = self._span(pandit, service.duration_minutes, day, at, now)
                found.append((pandit, service, span))
        if not found:
            return []
        first = min(span.claims[0] for *_, span in found)
        last = max(span.claims[-1] for *_, span in found) + 1
        held = await self._bookings.claims([pandit.id for pandit, *_ in found], first, last)
        return [
            (pandit, service)
            for pandit, service, span in found
            if held[pandit.id].isdisjoint(span.claims)
        ]

    async def _meeting_point(self, booking: Booking) -> GeoPoint | None:
        """Where people have to come together; None when they meet online, or nobody knows."""
        if booking.service_location is ServiceLocation.ONLINE:
            return None
        if booking.location.point is not None:
            return booking.location.point
        asked = await self._pandits.find(booking.pandit_id)
        return asked.location.point if asked else None


def _service_for(pandit: Pandit, booking: Booking) -> Service | None:
    """What he offers of the booking's puja at no more than its price."""
    for service in pandit.services:
        is_it = service.puja_id == booking.puja_id and service.is_available
        if is_it and service.price <= booking.service_fee:
            return service
    return None


def check_place(wish: BookingWish) -> None:
    """Raise ``Invalid`` where a puja is to be held at an address that nobody has told."""
    if wish.service_location in _NEEDS_ADDRESS and not wish.location.address.strip():
        raise Invalid(FieldFault("address", "address-needed"))


def _needed(lines: Iterable[SamagriLine]) -> list[SamagriLine]:
    return [line for line in lines if not line.can_remove]


def distance_of(pandit: Pandit, place: Place) -> float | None:
    """How far the place is from where the pandit lives, in km; None where one is not known."""
    if pandit.location.point is None or place.point is None:
        return None
    # From the rounded position: bookings at three places must not tell where he lives.
    return round(coarse_point(pandit.location.point).distance_km(place.point), 1)
