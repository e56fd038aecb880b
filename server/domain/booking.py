"""Bookings: the state machine, who may move it, and what a move changes.

Every function takes a booking and returns the changed copy or raises; the store writes it back only
if nobody else has changed the booking meanwhile (``version``), so of two racing callers one wins.
"""

from __future__ import annotations

import enum
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from typing import Final

from server.domain.account import Actor, Place, Role
from server.domain.calendar import USUAL_LEAD_MINUTES, Span, local_instant
from server.domain.cancellation import DEFAULT_TIERS, RefundTier
from server.domain.catalogue import SamagriType, check_quantity
from server.domain.errors import (
    AlreadyPaid,
    FieldFault,
    Forbidden,
    IllegalTransition,
    Invalid,
    ItemRequired,
    NotFound,
    NotOnTheWay,
    PaymentDue,
    PaymentOpen,
    TooEarly,
)
from server.domain.events import Event, EventKind
from server.domain.money import NPR, Unit, convert_quantity, line_price, share

SYSTEM: Final = "system"
NOT_PAID: Final = "not-paid"
"""Why a booking failed that was to be paid in advance."""
NO_ANSWER: Final = "no-answer"
NOT_AVAILABLE: Final = "not-available"
"""Why a booking was passed on: its pandit takes no bookings any more."""
OTHER_CHOSEN: Final = "other-chosen"
"""Why a booking was passed on: its customer has chosen another pandit."""


class BookingStatus(enum.StrEnum):
    """States of a booking; the last three are final."""

    PENDING = "PENDING"
    ACCEPTED = "ACCEPTED"
    IN_PROGRESS = "IN_PROGRESS"
    COMPLETED = "COMPLETED"
    CANCELLED = "CANCELLED"
    FAILED = "FAILED"


_Status = BookingStatus
OCCUPYING: Final = frozenset({_Status.PENDING, _Status.ACCEPTED, _Status.IN_PROGRESS})
"""States in which a booking holds its pandit's time."""

CONTACT_SHARED: Final = frozenset({_Status.ACCEPTED, _Status.IN_PROGRESS, _Status.COMPLETED})
"""States in which the two parties see each other's address and phone."""

LATE: Final = timedelta(hours=1)
"""So much too late a pandit may still be on his way."""
REMIND_AHEAD: Final = (timedelta(days=1), timedelta(hours=1))
"""How long before the beginning of an accepted booking its parties are reminded."""
USUAL_NOTICE: Final = timedelta(minutes=USUAL_LEAD_MINUTES)
"""How long before a puja most pandits want to know of it."""
LEAST_TO_ANSWER: Final = timedelta(minutes=15)
"""So long a pandit has to answer when the puja is near."""
ENDED: Final = frozenset({_Status.CANCELLED, _Status.FAILED})
"""States in which what was to be paid for does not happen."""

CANCELLABLE_BY: Final = {
    _Status.PENDING: frozenset({Role.USER, Role.ADMIN}),
    _Status.ACCEPTED: frozenset({Role.USER, Role.PANDIT, Role.ADMIN}),
    _Status.IN_PROGRESS: frozenset({Role.ADMIN}),
}


class ServiceLocation(enum.StrEnum):
    """Where the puja is held."""

    ONLINE = "ONLINE"
    HOME = "HOME"
    TEMPLE = "TEMPLE"
    PANDIT_LOCATION = "PANDIT_LOCATION"


VISITS: Final = frozenset({ServiceLocation.HOME, ServiceLocation.TEMPLE})
"""Where the pandit has to go; online, or at his own place, he is there at once."""


class PaymentStatus(enum.StrEnum):
    """Where the payment stands; an axis apart from the booking's own state."""

    PENDING = "PENDING"
    PROCESSING = "PROCESSING"
    COMPLETED = "COMPLETED"
    FAILED = "FAILED"
    REFUNDED = "REFUNDED"


class PaymentMethod(enum.StrEnum):
    """How the customer pays."""

    KHALTI = "KHALTI"
    ESEWA = "ESEWA"
    CONNECT_IPS = "CONNECT_IPS"
    IME_PAY = "IME_PAY"
    STRIPE = "STRIPE"
    CASH = "CASH"
    WALLET = "WALLET"


_UNPAID: Final = frozenset({PaymentStatus.PENDING, PaymentStatus.FAILED})


@dataclass(frozen=True, slots=True, kw_only=True)
class SamagriLine:
    """One item of a booking. ``price_at_booking`` is the line's price in paisa, frozen.

    ``base_quantity`` of ``base_unit`` costs ``base_price`` paisa, as it did when the line was
    added; a new quantity is priced by that. ``source`` says who put it there: requirement, rule,
    model or customer. ``suggested_quantity``, in ``base_unit``, is how much the puja needs, as it
    was when the line was added by itself; None where nobody suggested it.
    ``advised_by`` is the version of the model that chose what was added by itself, ``rules`` where
    the rules alone did.
    """

    item_id: str
    name: str
    name_ne: str
    category_id: str
    quantity: Decimal
    unit: Unit
    base_price: int
    base_quantity: int
    base_unit: Unit
    type: SamagriType
    confidence: float
    source: str
    reason: str
    reason_ne: str
    price_at_booking: int
    auto_added: bool
    user_added: bool
    suggested_quantity: Decimal | None = None
    advised_by: str = ""

    @property
    def min_quantity(self) -> Decimal | None:
        """The least that may be asked for, in ``unit``, of an item that cannot be removed."""
        if self.can_remove or self.suggested_quantity is None:
            return None
        return convert_quantity(self.suggested_quantity, self.base_unit, self.unit)

    def resized(self, quantity: Decimal, unit: Unit) -> SamagriLine:
        """The line in another quantity, at the price that it has frozen."""
        price = line_price(
            quantity,
            unit,
            base_price=self.base_price,
            base_quantity=self.base_quantity,
            base_unit=self.base_unit,
        )
        return replace(self, quantity=quantity, unit=unit, price_at_booking=price)

    @property
    def is_required(self) -> bool:
        """Whether the puja cannot be held without it."""
        return not self.type.can_remove

    @property
    def can_remove(self) -> bool:
        """Whether the customer may take it off the list."""
        return self.type.can_remove


@dataclass(frozen=True, slots=True, kw_only=True)
class Transition:
    """One move of the state machine: ``by`` is a user id or "system"."""

    from_status: BookingStatus | None
    to_status: BookingStatus
    by: str
    role: str
    at: datetime
    reason: str = ""


class Answer(enum.StrEnum):
    """What became of an offer.

    ``WITHDRAWN``: while he was still asked the booking ended, he could not be booked any more, or
    the customer has chosen another one.
    """

    ACCEPTED = "accepted"
    DECLINED = "declined"
    LAPSED = "lapsed"
    WITHDRAWN = "withdrawn"


@dataclass(frozen=True, slots=True, kw_only=True)
class Offer:
    """That a pandit was asked to take the booking on, and what he said."""

    pandit_user_id: str
    offered_at: datetime
    answered_at: datetime | None = None
    answer: Answer | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class RescheduleProposal:
    """Another time that one party asks for and the other has not answered yet.

    ``held`` are the quarter hours that the booking claims for it beside its own; after
    ``answer_by`` the proposal falls away.
    """

    by: str
    booking_date: date
    booking_time: time
    proposed_at: datetime
    answer_by: datetime | None = None
    held: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class SamagriProposal:
    """Another list of samagri that the customer of an accepted booking asks for.

    ``declined`` and ``own_declined`` are the items that he does not want, as in a booking.
    ``revision`` is greater with each change of the list and never used again: it names the very
    list to which the pandit agrees. After ``answer_by`` the proposal falls away. The rules are in
    ``domain.samagri_consent``.
    """

    revision: int
    lines: tuple[SamagriLine, ...]
    declined: tuple[str, ...] = ()
    own_declined: tuple[str, ...] = ()
    proposed_at: datetime
    answer_by: datetime

    @property
    def samagri_fee(self) -> int:
        """What the list costs, in paisa."""
        return sum(line.price_at_booking for line in self.lines)


@dataclass(frozen=True, slots=True, kw_only=True)
class Booking:
    """A puja booked with a pandit.

    Names, prices and rates are copies made at booking time and do not follow later changes.
    ``claims`` are the quarter hours of the pandit that it occupies, with its seat and turn of the
    day (see ``calendar``), empty when it occupies none. ``user_id`` is the customer's account,
    ``pandit_user_id`` the pandit's. Fees are paisa. Phones and the exact place are for the parties
    of an accepted booking only (``shares_contact``).

    ``samagri_declined`` are the items that the customer took off the list and that do not come back
    by themselves; ``samagri_own_declined`` those of them that he had put there himself, as his own
    or with a ready list.

    ``offers`` are the pandits who were asked, each once; only the last may still be unanswered.

    ``payment_*`` follow the payment's own document, whose version ``payment_version`` is.
    ``payment_open``: a payment is under way, so the price must not change. ``pay_by``: until then
    the slot is held for a payment in advance, and the pandit has not been told.

    ``open_place`` is its place among those that its customer has open; each place is held once. The
    store lets go of it when the booking is open no more.

    ``samagri_proposal`` waits for the pandit's consent; ``samagri_asked_at`` is when he was told of
    the last one, None when he has been told since what became of it.
    """

    id: str
    user_id: str
    customer_name: str
    customer_phone: str
    pandit_id: str
    pandit_user_id: str
    pandit_name: str
    pandit_name_ne: str = ""
    pandit_phone: str = ""
    distance_km: float | None = None
    service_id: str
    puja_id: str
    service_name: str
    service_name_ne: str
    service_location: ServiceLocation
    location: Place = Place()
    booking_date: date
    booking_time: time
    timezone: str
    starts_at: datetime
    ends_at: datetime
    claims: tuple[int, ...] = ()
    status: BookingStatus
    notes: str = ""
    samagri_required: bool
    samagri: tuple[SamagriLine, ...] = ()
    samagri_declined: tuple[str, ...] = ()
    samagri_own_declined: tuple[str, ...] = ()
    samagri_proposal: SamagriProposal | None = None
    samagri_asked_at: datetime | None = None
    service_fee: int
    samagri_fee: int = 0
    total_fee: int
    currency: str = NPR
    commission_basis_points: int
    commission_amount: int
    payment_status: PaymentStatus = PaymentStatus.PENDING
    payment_method: PaymentMethod = PaymentMethod.CASH
    payment_version: int = 0
    payment_open: bool = False
    pay_by: datetime | None = None
    refunded_amount: int = 0
    refund_tiers: tuple[RefundTier, ...] = DEFAULT_TIERS
    refund_to_wallet: bool = False
    request_key: str | None = None
    open_place: str | None = None
    rejected_by: tuple[str, ...] = ()
    offers: tuple[Offer, ...] = ()
    proposal: RescheduleProposal | None = None
    answer_by: datetime | None = None
    remind_at: datetime | None = None
    created_at: datetime
    updated_at: datetime
    accepted_at: datetime | None = None
    arrived_at: datetime | None = None
    started_at: datetime | None = None
    completed_at: datetime | None = None
    history: tuple[Transition, ...] = ()
    outbox: tuple[Event, ...] = ()
    version: int = 1

    @property
    def shares_contact(self) -> bool:
        """Whether the parties may see each other's phone and address."""
        return self.status in CONTACT_SHARED

    @property
    def is_open(self) -> bool:
        """Whether it holds time without a promise of either side: not paid, and not accepted."""
        is_settled = self.payment_status in (PaymentStatus.COMPLETED, PaymentStatus.REFUNDED)
        return self.status is _Status.PENDING and not is_settled


@dataclass(frozen=True, slots=True, kw_only=True)
class BookingWish:
    """What a customer asks for. Prices are not his to say."""

    service_id: str
    booking_date: date
    booking_time: time
    service_location: ServiceLocation
    location: Place
    notes: str
    samagri_required: bool
    payment_method: PaymentMethod = PaymentMethod.CASH
    request_key: str | None = None
    """Marks the request itself: the same key of the same customer means the same booking."""
    template_id: str = ""
    """The template by which its samagri is put together; empty: as it is added by itself."""
    is_repeated: bool = False
    """It was made earlier, for a later day, which the series books by itself.

    A template that is offered no more is passed over, and its bookings have open places of their
    own.
    """


def commission_of(service_fee: int, basis_points: int) -> int:
    """The platform's share of the pandit's fee, in paisa; samagri carries none."""
    return share(service_fee, basis_points)


def require_party(booking: Booking, actor: Actor) -> Booking:
    """The booking, if the actor is its customer, its present pandit or an admin.

    Raises
    ------
    NotFound
        For everybody else: to them the booking does not exist.
    """
    if actor.is_admin or actor.user_id in (booking.user_id, booking.pandit_user_id):
        return booking
    raise NotFound


def sees_address(booking: Booking, actor: Actor) -> bool:
    """Whether the actor, one of its parties or an admin, may know the street and the position.

    The pandit may once he has accepted.
    """
    return actor.user_id == booking.user_id or actor.is_admin or booking.shares_contact


def placed(booking: Booking, now: datetime) -> Booking:
    """Record that the customer has placed the booking, and tell the pandit.

    One that is paid in advance is told to him once it is paid.
    """
    first = Transition(
        from_status=None, to_status=_Status.PENDING, by=booking.user_id, role=Role.USER, at=now
    )
    booking = replace(booking, history=(first,))
    if booking.pay_by is not None:
        return booking
    return told(_asked(booking, now), EventKind.BOOKING_CREATED, now, (booking.pandit_user_id,))


def accept(
    booking: Booking, actor: Actor, now: datetime, arrivals: tuple[int, ...] = ()
) -> Booking:
    """The pandit takes the booking on; from now on both see each other's contact details.

    ``arrivals`` are claims by which he can come to it in time (see ``services.timetable``).
    """
    _require_asked(booking, actor)
    if now >= booking.starts_at:
        raise IllegalTransition(booking.status)
    moved = _moved(booking, _Status.ACCEPTED, actor.user_id, actor.role, now)
    moved = replace(
        _answered(moved, Answer.ACCEPTED, now),
        accepted_at=now,
        claims=(*booking.claims, *arrivals),
        answer_by=None,
        remind_at=next_reminder(booking.starts_at, now),
    )
    return told(moved, EventKind.BOOKING_ACCEPTED, now, (booking.user_id,))


def require_on_the_way(booking: Booking, actor: Actor, now: datetime, ahead: timedelta) -> datetime:
    """Until when the pandit is on his way to this booking, if he is now.

    He is from ``ahead`` before its time on, until he arrives or begins, or is more than ``LATE``
    too late. To a puja online or at his own place there is no way.

    Raises
    ------
    Forbidden, IllegalTransition, NotOnTheWay
        For somebody else; for a booking that he does not go to, or not any more; before its time.
    """
    _require_pandit(booking, actor)
    _require_status(booking, _Status.ACCEPTED)
    until = booking.starts_at + LATE
    if booking.service_location not in VISITS or booking.arrived_at or now >= until:
        raise IllegalTransition(booking.status)
    if now < booking.starts_at - ahead:
        raise NotOnTheWay
    return until


def arrive(booking: Booking, actor: Actor, now: datetime, ahead: timedelta) -> Booking:
    """The pandit is there; the customer is told, and it stands in the history."""
    require_on_the_way(booking, actor, now, ahead)
    moved = _moved(booking, _Status.ACCEPTED, actor.user_id, actor.role, now)
    return told(replace(moved, arrived_at=now), EventKind.BOOKING_ARRIVED, now, (booking.user_id,))


def require_startable(booking: Booking, actor: Actor, now: datetime, early_minutes: int) -> None:
    """Refuse all but the pandit of an accepted booking, and him before its time has come.

    Raises
    ------
    Forbidden, IllegalTransition, TooEarly
        For somebody else; for a booking that is not accepted; before its time.
    """
    _require_pandit(booking, actor)
    _require_status(booking, _Status.ACCEPTED)
    if now < booking.starts_at - timedelta(minutes=early_minutes):
        raise TooEarly


def start(booking: Booking, actor: Actor, now: datetime, early_minutes: int) -> Booking:
    """The pandit begins, at most ``early_minutes`` ahead of the booked time."""
    require_startable(booking, actor, now, early_minutes)
    moved = _moved(booking, _Status.IN_PROGRESS, actor.user_id, actor.role, now)
    return told(
        replace(without_samagri_proposal(_without_proposal(moved)), started_at=now, remind_at=None),
        EventKind.BOOKING_STARTED,
        now,
        (booking.user_id,),
    )


def complete(
    booking: Booking, actor: Actor, now: datetime, cash_amount: int | None = None
) -> Booking:
    """The pandit has finished; his time is free again and the review opens.

    Cash is the pandit's to confirm, and completing confirms it: all that is due, unless he says
    that it was less. Then it stays unpaid.
    """
    _require_pandit(booking, actor)
    _require_status(booking, _Status.IN_PROGRESS)
    moved = _freed(_moved(booking, _Status.COMPLETED, actor.user_id, actor.role, now))
    moved = replace(moved, completed_at=now)
    is_cash = booking.payment_method is PaymentMethod.CASH
    collected = booking.total_fee if cash_amount is None else cash_amount
    if cash_amount is not None and (not is_cash or collected > booking.total_fee):
        raise Invalid(FieldFault("cash_amount", "more-than-due"))
    if is_cash and collected == booking.total_fee:
        moved = replace(moved, payment_status=PaymentStatus.COMPLETED)
    more = {"cash": str(collected)} if is_cash else {}
    return told(moved, EventKind.BOOKING_COMPLETED, now, (booking.user_id,), more)


def cancel(
    booking: Booking, actor: Actor, now: datetime, reason: str, *, refund_to_wallet: bool = False
) -> Booking:
    """Call the booking off; the pandit's time is free at once.

    ``refund_to_wallet``: what the customer gets back goes to his wallet, and not the way it came.
    """
    allowed = CANCELLABLE_BY.get(booking.status)
    if allowed is None:
        raise IllegalTransition(booking.status)
    if actor.role not in allowed:
        raise Forbidden
    moved = _freed(_moved(booking, _Status.CANCELLED, actor.user_id, actor.role, now, reason))
    moved = _answered(moved, Answer.WITHDRAWN, now)
    moved = replace(moved, refund_to_wallet=refund_to_wallet and actor.role is Role.USER)
    return told(moved, EventKind.BOOKING_CANCELLED, now, _others(booking, actor))


def decline(booking: Booking, actor: Actor, now: datetime, reason: str) -> Booking:
    """The pandit says no: he is remembered and never asked again; the booking stays PENDING.

    His time is freed. The service then offers the booking to another pandit or fails it.
    """
    _require_asked(booking, actor)
    answered = _answered(booking, Answer.DECLINED, now)
    return _withdrawn(answered, actor.user_id, actor.role, now, reason)


def answer_time(now: datetime, starts_at: datetime, within: timedelta) -> datetime:
    """Until when a pandit who is asked now may answer.

    Half of the time that is left where that is less: the other half is the next one's. Only the
    time before the usual notice counts, for after it hardly anybody can be asked any more; but
    ``LEAST_TO_ANSWER`` he has, or half of the time to the puja where that is shorter still.
    """
    left = starts_at - now
    share = max((left - USUAL_NOTICE) / 2, LEAST_TO_ANSWER)
    return now + min(within, share, left / 2)


def _answered_sooner(
    answer_by: datetime | None, starts_at: datetime, now: datetime, within: timedelta
) -> datetime | None:
    """Leave the next pandit his share of the time, also where the puja has come nearer."""
    return answer_by and min(answer_by, answer_time(now, starts_at, within))


def lapse(booking: Booking, now: datetime) -> Booking:
    """The pandit has not answered in time; the same as a refusal, by the system. He is told.

    One who could not be asked at all is passed over likewise, and told nothing.

    Refused while his time runs or nobody is asked: whoever found the booking overdue may be late,
    and meanwhile it was offered to the next pandit already, or its customer sits down to pay.
    """
    if booking.answer_by is None or now < booking.answer_by:
        raise IllegalTransition(booking.status)
    reason = NOT_AVAILABLE if asked_at(booking) is None else NO_ANSWER
    return _passed_on(booking, Answer.LAPSED, now, reason)


def take_offer_back(booking: Booking, pandit_id: str, now: datetime) -> Booking:
    """The pandit, who takes no bookings any more, is asked no longer; he is told.

    Raises ``IllegalTransition`` when he is not the one who is asked now.
    """
    if booking.pandit_id != pandit_id or booking.answer_by is None:
        raise IllegalTransition(booking.status)
    return _passed_on(booking, Answer.WITHDRAWN, now, NOT_AVAILABLE)


def take_request_back(booking: Booking, actor: Actor, now: datetime) -> Booking:
    """The customer takes his request from the pandit who is asked, to ask one of his own choice.

    He may once a pandit has said no: the first one he has chosen himself. Who was asked is told,
    and is not asked again.
    """
    if actor.user_id != booking.user_id:
        raise Forbidden
    _require_status(booking, _Status.PENDING)
    _require_offered(booking)
    if not booking.rejected_by:
        raise IllegalTransition(booking.status)
    moved = _given_up(
        _answered(booking, Answer.WITHDRAWN, now), actor.user_id, actor.role, now, OTHER_CHOSEN
    )
    return moved if asked_at(booking) is None else _told_of_loss(moved, now, OTHER_CHOSEN)


def reoffer(
    declined: Booking,
    *,
    pandit_id: str,
    pandit_user_id: str,
    pandit_name: str,
    pandit_name_ne: str,
    pandit_phone: str,
    distance_km: float | None,
    service_id: str,
    span: Span,
    answer_by: datetime,
    now: datetime,
) -> Booking:
    """Offer a declined booking to another pandit, at the price that was frozen."""
    offered = replace(
        declined,
        pandit_id=pandit_id,
        pandit_user_id=pandit_user_id,
        pandit_name=pandit_name,
        pandit_name_ne=pandit_name_ne,
        pandit_phone=pandit_phone,
        distance_km=distance_km,
        service_id=service_id,
        ends_at=span.ends_at,
        claims=span.claims,
        answer_by=answer_by,
    )
    offered = _asked(offered, now)
    offered = told(offered, EventKind.BOOKING_REOFFERED, now, (offered.user_id,))
    return told(offered, EventKind.BOOKING_CREATED, now, (pandit_user_id,))


def fail(booking: Booking, now: datetime, reason: str) -> Booking:
    """Nobody is left to ask, or nobody has paid: the booking ends.

    A pandit who was still asked is told too.
    """
    _require_status(booking, _Status.PENDING)
    moved = _freed(_moved(booking, _Status.FAILED, SYSTEM, SYSTEM, now, reason))
    moved = _answered(moved, Answer.WITHDRAWN, now)
    parties = (booking.user_id, booking.pandit_user_id)
    recipients = parties if asked_at(booking) is not None else parties[:1]
    return told(moved, EventKind.BOOKING_FAILED, now, recipients, {"reason": reason})


# -- paying ----------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class PaymentState:
    """Where the payment of a booking stands, as its own document says under ``version``.

    ``amount`` is what was taken if ``is_captured``, else what was due when somebody last paid.
    """

    version: int
    status: PaymentStatus
    method: PaymentMethod
    refunded: int
    is_open: bool
    is_captured: bool
    amount: int


def begin_payment(
    booking: Booking,
    actor: Actor,
    method: PaymentMethod,
    now: datetime,
    *,
    hold: timedelta,
    answer_by: datetime | None,
) -> Booking:
    """The customer sets about paying; from now on the price stands.

    Paying in advance for what no pandit has accepted holds the slot for a time, in which nobody
    answers; choosing cash again ends that, and a pandit who was not asked before is told. Another
    list of samagri that he has been asked to agree to falls away.

    ``answer_by`` None: the pandit may not be asked any more, and another one is to be.
    """
    if actor.user_id != booking.user_id:
        raise Forbidden
    _require_status(booking, _Status.PENDING, _Status.ACCEPTED, _Status.IN_PROGRESS)
    if booking.payment_status in (PaymentStatus.COMPLETED, PaymentStatus.REFUNDED):
        raise AlreadyPaid
    if method is PaymentMethod.CASH:
        if booking.pay_by is None:
            return booking
        cash = replace(booking, payment_method=method, payment_status=PaymentStatus.PENDING)
        if asked_at(booking) is not None and answer_by is not None:
            # He knows of it, and what is left of his time goes on.
            return replace(cash, pay_by=None, answer_by=answer_by, updated_at=now)
        return _offered_at_last(cash, now, answer_by)
    changed = replace(booking, payment_open=True, updated_at=now)
    if booking.status is not _Status.PENDING:
        return _price_standing(changed, now)
    return replace(
        changed,
        payment_method=method,
        pay_by=booking.pay_by or min(now + hold, booking.starts_at),
        answer_by=None,
    )


def take_payment_back(
    booking: Booking,
    before: Booking,
    method: PaymentMethod,
    now: datetime,
    *,
    is_open: bool,
    within: timedelta | None,
) -> Booking:
    """A try to pay by ``method`` came to nothing; the very same booking when it goes on as it is.

    What was to be paid in cash ``before`` is so again: its pandit has been asked, and answers; see
    ``answer_time`` for ``within``. None: he may not any more, and another one is to be asked.
    """
    if booking.payment_status not in (*_UNPAID, PaymentStatus.PROCESSING):
        return booking
    is_switched = (
        booking.status is _Status.PENDING
        and booking.pay_by is not None
        and (before.payment_method, before.pay_by) == (PaymentMethod.CASH, None)
        and (booking.payment_method, booking.pandit_id) == (method, before.pandit_id)
        and (before.payment_open or not is_open)
    )
    if is_switched:
        is_under_way = booking.payment_status is PaymentStatus.PROCESSING
        status = PaymentStatus.PROCESSING if is_under_way else PaymentStatus.PENDING
        cash = replace(
            booking,
            payment_method=before.payment_method,
            payment_status=status,
            payment_open=is_open,
        )
        if within is None:
            return _offered_at_last(cash, now, None)
        answer_by = _answered_sooner(before.answer_by, booking.starts_at, now, within)
        return replace(cash, pay_by=None, answer_by=answer_by, updated_at=now)
    if booking.payment_open == is_open:
        return booking
    return replace(booking, payment_open=is_open, updated_at=now)


def with_payment(
    booking: Booking, state: PaymentState, now: datetime, answer_by: datetime | None
) -> Booking:
    """Take over where the payment stands; the very same booking when that is known already.

    It never moves the booking's own state. The first success of a booking that was held for it is
    when the pandit is told. A sum that is not the booking's price does not pay for it.

    ``answer_by`` None: the pandit may not be asked any more, and another one is to be.
    """
    if state.version <= booking.payment_version:
        return booking
    if state.is_captured and state.amount != booking.total_fee:
        return booking
    method = state.method if state.is_captured else booking.payment_method
    status = state.status
    if method is PaymentMethod.CASH and not state.is_captured:
        # A failed try to pay online takes nothing away: cash is due at the end as before.
        is_collected = booking.payment_status is PaymentStatus.COMPLETED
        unpaid = PaymentStatus.COMPLETED if is_collected else PaymentStatus.PENDING
        status = status if status is PaymentStatus.PROCESSING and not is_collected else unpaid
    news = (status, method, state.is_open, state.refunded)
    is_waiting = booking.pay_by is not None and booking.status is _Status.PENDING
    is_paid = state.is_captured and status is PaymentStatus.COMPLETED
    if news == _payment_news(booking) and not (is_waiting and is_paid):
        return booking
    changed = replace(
        booking,
        payment_version=state.version,
        payment_status=status,
        payment_method=method,
        payment_open=state.is_open,
        refunded_amount=state.refunded,
        updated_at=now,
    )
    changed = _price_standing(changed, now)
    return _offered_at_last(changed, now, answer_by) if is_waiting and is_paid else changed


def price_stands(booking: Booking) -> bool:
    """Whether the price must not change: a payment is under way, or was made."""
    return booking.payment_open or booking.payment_status not in _UNPAID


def _price_standing(booking: Booking, now: datetime) -> Booking:
    """Let go of another list of samagri while the price stands; the pandit is told."""
    if booking.samagri_proposal is None or not price_stands(booking):
        return booking
    return told(
        without_samagri_proposal(booking),
        EventKind.BOOKING_SAMAGRI_DECLINED,
        now,
        (booking.pandit_user_id,),
    )


def _payment_news(booking: Booking) -> tuple[object, ...]:
    return (
        booking.payment_status,
        booking.payment_method,
        booking.payment_open,
        booking.refunded_amount,
    )


def fail_unpaid(booking: Booking, now: datetime) -> Booking:
    """The time to pay has run out: the booking ends and its slot is free."""
    if booking.pay_by is None or now < booking.pay_by:
        raise IllegalTransition(booking.status)
    return fail(booking, now, NOT_PAID)


def _offered_at_last(booking: Booking, now: datetime, answer_by: datetime | None) -> Booking:
    """Ask the pandit for what was held; without ``answer_by`` it is to be passed on at once."""
    offered = replace(booking, pay_by=None, answer_by=answer_by or now, updated_at=now)
    if answer_by is None:
        withdrawn = _answered(offered, Answer.WITHDRAWN, now)
        return withdrawn if asked_at(booking) is None else _told_of_loss(withdrawn, now)
    offered = _asked(offered, now)
    return told(offered, EventKind.BOOKING_CREATED, now, (offered.pandit_user_id,))


def _require_offered(booking: Booking) -> None:
    if booking.pay_by is not None:
        raise PaymentDue


def _require_asked(booking: Booking, actor: Actor) -> None:
    """Refuse all but the pandit whose answer is awaited.

    Whoever may not be asked, or not any more, stands in the booking until it is passed on; he
    cannot take it in the meantime.
    """
    _require_pandit(booking, actor)
    _require_status(booking, _Status.PENDING)
    _require_offered(booking)
    if asked_at(booking) is None:
        raise IllegalTransition(booking.status)


# -- another time ----------------------------------------------------------------------------


def next_reminder(starts_at: datetime, now: datetime) -> datetime | None:
    """When the parties are to be reminded next, None when no reminder is left.

    A reminder whose time has passed at acceptance falls away: who books for this afternoon knows.
    """
    return next((at for ahead in REMIND_AHEAD if (at := starts_at - ahead) > now), None)


def remind(booking: Booking, now: datetime) -> Booking:
    """Remind both parties of what is ahead; each reminder is told once.

    Raises ``IllegalTransition`` while none is due: another process has told it already, or the
    booking was moved.
    """
    _require_status(booking, _Status.ACCEPTED)
    if booking.remind_at is None or now < booking.remind_at:
        raise IllegalTransition(booking.status)
    moved = replace(booking, remind_at=next_reminder(booking.starts_at, now))
    if now >= booking.starts_at:
        # The server was away when it was due.
        return moved
    parties = (booking.user_id, booking.pandit_user_id)
    return told(moved, EventKind.BOOKING_REMINDER, now, parties)


def propose_time(
    booking: Booking,
    actor: Actor,
    now: datetime,
    *,
    day: date,
    at: time,
    span: Span,
    answer_within: timedelta,
) -> Booking:
    """One party of an accepted booking asks the other for another time, and he is told.

    That time is held, beside the present one, until it is answered or ``answer_within`` is over.
    Asking again for the same time changes nothing, so nobody is told twice.
    """
    if actor.user_id not in (booking.user_id, booking.pandit_user_id):
        raise Forbidden
    _require_status(booking, _Status.ACCEPTED)
    answer_by = min(now + answer_within, booking.starts_at, span.starts_at)
    if answer_by <= now:
        raise IllegalTransition(booking.status)
    known = booking.proposal
    if (
        known is not None
        and (known.by, known.booking_date, known.booking_time) == (actor.user_id, day, at)
        and not is_lapsed(known, now)
    ):
        return booking
    plain = _without_proposal(booking)
    held = tuple(claim for claim in span.claims if claim not in plain.claims)
    proposal = RescheduleProposal(
        by=actor.user_id,
        booking_date=day,
        booking_time=at,
        proposed_at=now,
        answer_by=answer_by,
        held=held,
    )
    claims = tuple(sorted((*plain.claims, *held)))
    return _told_of_proposal(
        replace(plain, claims=claims, proposal=proposal, updated_at=now),
        proposal,
        EventKind.BOOKING_TIME_PROPOSED,
        now,
        _others(booking, actor),
    )


def decline_time(booking: Booking, actor: Actor, now: datetime) -> Booking:
    """Drop the open proposal; either party may, and the other is told."""
    proposal = booking.proposal
    if proposal is None:
        raise IllegalTransition(booking.status)
    return _told_of_proposal(
        replace(_without_proposal(booking), updated_at=now),
        proposal,
        EventKind.BOOKING_TIME_DECLINED,
        now,
        _others(booking, actor),
    )


def lapse_proposal(booking: Booking, now: datetime) -> Booking:
    """Nobody has answered the proposal in time: the booking keeps its time, both are told.

    Raises ``IllegalTransition`` while there is still time, or when it has been answered.
    """
    proposal = booking.proposal
    if proposal is None or not is_lapsed(proposal, now):
        raise IllegalTransition(booking.status)
    return _told_of_proposal(
        replace(_without_proposal(booking), updated_at=now),
        proposal,
        EventKind.BOOKING_TIME_LAPSED,
        now,
        (booking.user_id, booking.pandit_user_id),
    )


def is_lapsed(proposal: RescheduleProposal, now: datetime) -> bool:
    """Whether its time to be answered has run out."""
    return proposal.answer_by is not None and now >= proposal.answer_by


def _without_proposal(booking: Booking) -> Booking:
    """The booking without its open proposal, and without the time that was held for it."""
    if booking.proposal is None:
        return booking
    held = frozenset(booking.proposal.held)
    own = tuple(claim for claim in booking.claims if claim not in held)
    return replace(booking, claims=own, proposal=None)


def without_samagri_proposal(booking: Booking) -> Booking:
    """The booking without the list that waits for the pandit's consent."""
    return replace(booking, samagri_proposal=None, samagri_asked_at=None)


def move_time(
    booking: Booking,
    actor: Actor,
    now: datetime,
    *,
    day: date,
    at: time,
    span: Span,
    within: timedelta,
) -> Booking:
    """Give the booking another time; price and payment stay.

    The customer may while it is PENDING; once ACCEPTED it takes a proposal of the other side.
    Whoever has not answered yet has no longer than if he were asked now: see ``answer_time``.
    """
    _require_status(booking, _Status.PENDING, _Status.ACCEPTED)
    if booking.status is _Status.PENDING:
        if actor.user_id != booking.user_id:
            raise Forbidden
    elif (
        booking.proposal is None
        or booking.proposal.by == actor.user_id
        or actor.user_id not in (booking.user_id, booking.pandit_user_id)
    ):
        raise Forbidden
    waiting = booking.samagri_proposal
    moved = replace(
        booking,
        booking_date=day,
        booking_time=at,
        starts_at=span.starts_at,
        ends_at=span.ends_at,
        claims=span.claims,
        answer_by=_answered_sooner(booking.answer_by, span.starts_at, now, within),
        samagri_proposal=waiting
        and replace(waiting, answer_by=min(waiting.answer_by, span.starts_at)),
        remind_at=next_reminder(span.starts_at, now) if booking.accepted_at else None,
        proposal=None,
        arrived_at=None,
        updated_at=now,
    )
    return told(moved, EventKind.BOOKING_RESCHEDULED, now, _others(booking, actor))


def require_samagri_editable(booking: Booking, actor: Actor, now: datetime) -> None:
    """Raise unless the actor may change the samagri now: the customer.

    Until the booking is accepted; from then on until the puja's time, by the pandit's consent (see
    ``domain.samagri_consent``).
    """
    if actor.user_id != booking.user_id:
        raise Forbidden
    _require_status(booking, _Status.PENDING, _Status.ACCEPTED)
    is_begun = booking.status is _Status.ACCEPTED and now >= booking.starts_at
    if is_begun or not booking.samagri_required:
        raise IllegalTransition(booking.status)
    if price_stands(booking):
        raise PaymentOpen


def with_samagri(
    booking: Booking, lines: tuple[SamagriLine, ...], declined: tuple[str, ...], now: datetime
) -> Booking:
    """Replace the samagri lines; the fees follow."""
    own_declined = tuple(each for each in booking.samagri_own_declined if each in declined)
    samagri_fee = sum(line.price_at_booking for line in lines)
    return replace(
        booking,
        samagri=lines,
        samagri_declined=declined,
        samagri_own_declined=own_declined,
        samagri_fee=samagri_fee,
        total_fee=booking.service_fee + samagri_fee,
        updated_at=now,
    )


def without_line(booking: Booking, item_id: str, now: datetime) -> Booking:
    """Take one optional item off the list, and remember that it is not wanted."""
    line = line_of(booking, item_id)
    if not line.can_remove:
        raise ItemRequired
    lines = tuple(other for other in booking.samagri if other.item_id != item_id)
    changed = with_samagri(booking, lines, (*booking.samagri_declined, item_id), now)
    if line.auto_added:
        return changed
    return replace(changed, samagri_own_declined=(*changed.samagri_own_declined, item_id))


def refused_items(booking: Booking) -> tuple[str, ...]:
    """What was put on the list for the customer and he took off again.

    That he changed his mind about what he had put there himself says nothing of what is advised.
    """
    own = booking.samagri_own_declined
    return tuple(each for each in booking.samagri_declined if each not in own)


def with_quantity(
    booking: Booking, item_id: str, quantity: Decimal, unit: Unit | None, now: datetime
) -> Booking:
    """Change how much of one item is wanted, at the price that was frozen.

    Raises ``NotFound`` when the item has no line, ``Invalid`` for a quantity that makes no sense,
    or that is less than the puja needs of an item that cannot be removed.
    """
    line = line_of(booking, item_id)
    wanted = unit or line.unit
    check_quantity(quantity, wanted, line.base_unit)
    changed = line.resized(quantity, wanted)
    if changed.min_quantity is not None and quantity < changed.min_quantity:
        raise Invalid(FieldFault("quantity", "less-than-needed"))
    lines = tuple(changed if each is line else each for each in booking.samagri)
    return with_samagri(booking, lines, booking.samagri_declined, now)


def line_of(booking: Booking, item_id: str) -> SamagriLine:
    """The line of that item."""
    for line in booking.samagri:
        if line.item_id == item_id:
            return line
    raise NotFound


def asked_at(booking: Booking) -> datetime | None:
    """Since when the present pandit has been asked; None when nobody is."""
    if booking.offers and booking.offers[-1].answer is None:
        return booking.offers[-1].offered_at
    return None


def _asked(booking: Booking, now: datetime) -> Booking:
    """Note that the present pandit is asked; one who is asked already is not asked again."""
    if asked_at(booking) is not None:
        return booking
    offer = Offer(pandit_user_id=booking.pandit_user_id, offered_at=now)
    return replace(booking, offers=(*booking.offers, offer))


def _answered(booking: Booking, answer: Answer, now: datetime) -> Booking:
    """Note what became of the last offer, if it is still open."""
    if not booking.offers or booking.offers[-1].answer is not None:
        return booking
    closed = replace(booking.offers[-1], answer=answer, answered_at=now)
    return replace(booking, offers=(*booking.offers[:-1], closed))


def _require_pandit(booking: Booking, actor: Actor) -> None:
    if actor.user_id != booking.pandit_user_id:
        raise Forbidden


def _require_status(booking: Booking, *allowed: BookingStatus) -> None:
    if booking.status not in allowed:
        raise IllegalTransition(booking.status)


def _moved(
    booking: Booking, to: BookingStatus, by: str, role: str, now: datetime, reason: str = ""
) -> Booking:
    move = Transition(
        from_status=booking.status, to_status=to, by=by, role=role, at=now, reason=reason
    )
    return replace(booking, status=to, updated_at=now, history=(*booking.history, move))


def _freed(booking: Booking) -> Booking:
    bare = without_samagri_proposal(booking)
    return replace(bare, claims=(), proposal=None, answer_by=None, remind_at=None, pay_by=None)


def _withdrawn(booking: Booking, by: str, role: str, now: datetime, reason: str) -> Booking:
    moved = _given_up(booking, by, role, now, reason)
    return told(moved, EventKind.BOOKING_REJECTED, now, (booking.user_id,))


def _given_up(booking: Booking, by: str, role: str, now: datetime, reason: str) -> Booking:
    """Free the time of the present pandit, and remember that he is not asked again."""
    _require_status(booking, _Status.PENDING)
    moved = _freed(_moved(booking, _Status.PENDING, by, role, now, reason))
    return replace(moved, rejected_by=(*booking.rejected_by, booking.pandit_id))


def _others(booking: Booking, actor: Actor) -> tuple[str, ...]:
    """The parties who have not done it themselves; both of them when an admin has.

    The pandit is none yet before he is asked: while the booking waits for its payment, or for
    another one where he cannot be asked.
    """
    is_told = booking.status is not _Status.PENDING or asked_at(booking) is not None
    parties = (booking.user_id, booking.pandit_user_id)
    return tuple(user for user in parties[: 2 if is_told else 1] if user != actor.user_id)


def _passed_on(booking: Booking, answer: Answer, now: datetime, reason: str) -> Booking:
    moved = _withdrawn(_answered(booking, answer, now), SYSTEM, SYSTEM, now, reason)
    return moved if asked_at(booking) is None else _told_of_loss(moved, now, reason)


def _told_of_loss(booking: Booking, now: datetime, reason: str = NOT_AVAILABLE) -> Booking:
    """Tell the pandit that what he was asked for is not his to answer any more."""
    recipients = (booking.pandit_user_id,)
    return told(booking, EventKind.BOOKING_PASSED_ON, now, recipients, {"reason": reason})


def _told_of_proposal(
    booking: Booking,
    proposal: RescheduleProposal,
    kind: EventKind,
    now: datetime,
    recipients: tuple[str, ...],
) -> Booking:
    wanted = local_instant(proposal.booking_date, proposal.booking_time, booking.timezone)
    return told(booking, kind, now, recipients, {"proposed_at": wanted.isoformat()})


def told(
    booking: Booking,
    kind: EventKind,
    now: datetime,
    recipients: tuple[str, ...],
    more: Mapping[str, str] | None = None,
) -> Booking:
    """Note in the booking what the recipients shall be told of it; ``more`` fills the texts."""
    event = Event(
        id=f"{booking.id}.{booking.version + 1}.{len(booking.outbox)}",
        kind=kind,
        at=now,
        recipients=recipients,
        booking_id=booking.id,
        params={
            "service": booking.service_name,
            "service_ne": booking.service_name_ne,
            "customer": booking.customer_name,
            "pandit": booking.pandit_name,
            "pandit_ne": booking.pandit_name_ne,
            "pandit_id": booking.pandit_id,
            "starts_at": booking.starts_at.isoformat(),
            "status": booking.status,
            **(more or {}),
        },
    )
    return replace(booking, outbox=(*booking.outbox, event))
