"""Bookings and their samagri on the wire."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from typing import Annotated

from msgspec import Meta, Struct, structs

from server.domain.account import Actor, GeoPoint, Place
from server.domain.booking import (
    SYSTEM,
    Booking,
    BookingStatus,
    BookingWish,
    PaymentMethod,
    PaymentStatus,
    SamagriLine,
    SamagriProposal,
    ServiceLocation,
    Transition,
    require_samagri_editable,
    sees_address,
)
from server.domain.catalogue import SamagriType
from server.domain.errors import DomainError, FieldFault, Invalid
from server.domain.money import NPR, Unit, share
from server.domain.pandit import Pandit
from server.domain.payment import RefundTo
from server.domain.recurrence import Frequency, RecurrenceRule
from server.domain.samagri import BudgetPlan, LeftOut
from server.domain.samagri_consent import LineChange, line_changes, open_proposal
from server.schemas.base import ClockTime, Id, PageQuery, Reader, Request, Rupees, bs_text
from server.schemas.catalogue import LeftOutResponse, present_left_out

Latitude = Annotated[float, Meta(ge=-90, le=90)]
Longitude = Annotated[float, Meta(ge=-180, le=180)]


def point_of(latitude: float | None, longitude: float | None) -> GeoPoint | None:
    """The point of two fields. Raises ``Invalid`` where one of them is missing."""
    if latitude is None and longitude is None:
        return None
    if latitude is None or longitude is None:
        raise Invalid(FieldFault("lat" if latitude is None else "lng", "required"))
    return GeoPoint(latitude, longitude)


class RecurrenceRequest(Request, frozen=True, kw_only=True):
    """How often: so many times (the first included), or up to a day; one of the two."""

    frequency: Frequency
    count: Annotated[int, Meta(ge=2, le=52)] | None = None
    until: date | None = None

    def rule(self) -> RecurrenceRule:
        """The domain's form."""
        return RecurrenceRule(frequency=self.frequency, count=self.count, until=self.until)


class CreateBookingRequest(Request, frozen=True, kw_only=True):
    """A puja to be booked. Date and time are the pandit's local ones.

    With another method than CASH the slot is held for a payment in advance, and the pandit is asked
    once it is paid. ``template_id`` is one of the puja's ready lists of samagri; without one it is
    put together by itself.
    """

    service_id: Id
    booking_date: date
    booking_time: ClockTime
    service_location: ServiceLocation
    area: Annotated[str, Meta(max_length=120)] = ""
    city: Annotated[str, Meta(max_length=120)] = ""
    address: Annotated[str, Meta(max_length=300)] = ""
    lat: Latitude | None = None
    lng: Longitude | None = None
    notes: Annotated[str, Meta(max_length=1000)] = ""
    samagri_required: bool = False
    payment_method: PaymentMethod = PaymentMethod.CASH
    template_id: Annotated[str, Meta(max_length=128)] = ""
    recurrence: RecurrenceRequest | None = None

    def wish(self, request_key: str | None) -> BookingWish:
        """The domain's form; ``request_key`` is the idempotency key that came with it."""
        point = point_of(self.lat, self.lng)
        return BookingWish(
            service_id=self.service_id,
            booking_date=self.booking_date,
            booking_time=time.fromisoformat(self.booking_time),
            service_location=self.service_location,
            location=Place(area=self.area, city=self.city, address=self.address, point=point),
            notes=self.notes,
            samagri_required=self.samagri_required,
            payment_method=self.payment_method,
            template_id=self.template_id,
            request_key=request_key,
        )


class BookingsQuery(PageQuery, frozen=True, kw_only=True, rename={"from_": "from"}):
    """Filters of one's own bookings."""

    status: BookingStatus | None = None
    from_: date | None = None
    to: date | None = None


class ReasonRequest(Request, frozen=True, kw_only=True):
    """Why something is refused or called off."""

    reason: Annotated[str, Meta(max_length=500)] = ""


class CancelRequest(ReasonRequest, frozen=True, kw_only=True):
    """Why a booking is called off, and where what comes back of a payment shall go."""

    refund_to: RefundTo = RefundTo.ORIGINAL


class AcceptRequest(Request, frozen=True, kw_only=True):
    """The time that the pandit says yes to; another one is not accepted. Without it any."""

    starts_at: Annotated[datetime, Meta(tz=True)] | None = None


class CompleteRequest(Request, frozen=True, kw_only=True):
    """The cash that the pandit has got, in paisa; without it all that was due."""

    cash_amount: Annotated[int, Meta(ge=0, le=1_000_000_000_00)] | None = None


class EmptyRequest(Request, frozen=True, kw_only=True):
    """A body without fields."""


class RescheduleRequest(Request, frozen=True, kw_only=True):
    """Another time; or ``decline: true`` to drop the open proposal."""

    booking_date: date | None = None
    booking_time: ClockTime | None = None
    decline: bool = False


class ChoiceRequest(Request, frozen=True, kw_only=True):
    """The pandit who shall be asked in the place of the present one."""

    pandit_id: Id


class ChoiceResponse(Struct, frozen=True, kw_only=True):
    """A pandit who may be asked in the place of the present one; the price stays."""

    id: str
    full_name: str
    full_name_ne: str
    rating: float
    review_count: int
    experience_years: int
    distance_km: float | None


class QuantityRequest(Request, frozen=True, kw_only=True):
    """How much of an item; without a unit, in the one that the line has."""

    quantity: Decimal
    unit: Unit | None = None


class PartyResponse(Struct, frozen=True, kw_only=True):
    """One side of a booking. Contact details only where the reader is entitled to them."""

    id: str
    full_name: str
    full_name_ne: str = ""
    phone_number: str | None = None


class PlaceResponse(Struct, frozen=True, kw_only=True):
    """Where the puja is held. Address and position only where the reader is entitled to them."""

    area: str
    city: str
    address: str | None = None
    lat: float | None = None
    lng: float | None = None


class TransitionResponse(Struct, frozen=True, kw_only=True):
    """One move of the booking."""

    from_status: BookingStatus | None
    to_status: BookingStatus
    role: str
    at: datetime
    reason: str


class ProposalResponse(Struct, frozen=True, kw_only=True):
    """Another time that one side has asked for; after ``answer_by`` it falls away."""

    by: str
    booking_date: date
    date_bs: str | None
    booking_time: str
    answer_by: datetime | None


class SamagriAskedResponse(Struct, frozen=True, kw_only=True):
    """That the customer asks for another list of samagri, and the fees that would follow, in paisa.

    ``difference`` is by how much the total would grow. The list stays as it is until the pandit
    agrees to this ``revision``; after ``answer_by`` the proposal falls away.
    """

    revision: int
    samagri_fee: int
    total_fee: int
    difference: int
    proposed_at: datetime
    answer_by: datetime


class RefundTierResponse(Struct, frozen=True, kw_only=True):
    """Called off by the customer until then, so much is given back; later than the last nothing.

    That is from its acceptance on: of an offer that no pandit has accepted all is given back.
    """

    until: datetime
    hours_before: int
    share_percent: float
    amount: int


class BookingResponse(Struct, frozen=True, kw_only=True):
    """A booking as one of its parties sees it. Fees are paisa.

    ``pay_by``: until then its slot is held for a payment, and the pandit cannot answer.
    ``refund_policy`` is what a customer who cancels gets back once it is accepted; what is called
    off before, or by others, is given back in full.
    """

    id: str
    user: PartyResponse
    pandit: PartyResponse
    service: str
    puja: str
    service_name: str
    service_name_ne: str
    service_location: ServiceLocation
    location: PlaceResponse
    distance_km: float | None
    booking_date: date
    date_bs: str | None
    booking_time: str
    starts_at: datetime
    ends_at: datetime
    status: BookingStatus
    notes: str
    samagri_required: bool
    service_fee: int
    samagri_fee: int
    total_fee: int
    currency: str
    commission_amount: int | None
    payment_status: PaymentStatus
    payment_method: PaymentMethod
    pay_by: datetime | None
    refunded_amount: int
    refund_policy: list[RefundTierResponse]
    proposal: ProposalResponse | None
    samagri_proposal: SamagriAskedResponse | None
    answer_by: datetime | None
    created_at: datetime
    updated_at: datetime
    accepted_at: datetime | None
    arrived_at: datetime | None
    completed_at: datetime | None
    history: list[TransitionResponse]


class StateResponse(Struct, frozen=True, kw_only=True):
    """What a pandit who is no longer asked may still know of a booking."""

    id: str
    status: BookingStatus


class ItemResponse(Struct, frozen=True, kw_only=True):
    """A samagri item, in short."""

    id: str
    name: str
    name_ne: str
    category: str


class SamagriLineResponse(Struct, frozen=True, kw_only=True):
    """One line of the samagri. ``price_at_booking`` is the line's price in paisa.

    ``min_quantity``, in ``unit``, is the least of it that the puja needs; null where less may be
    asked for.
    """

    item: ItemResponse
    quantity: Decimal
    min_quantity: Decimal | None
    unit: Unit
    base_unit: Unit
    type: SamagriType
    confidence: float
    source: str
    reason: str
    reason_ne: str
    can_remove: bool
    is_required: bool
    price_at_booking: int
    auto_added: bool
    user_added: bool


class AmountResponse(Struct, frozen=True, kw_only=True):
    """So much of an item, and what it costs in paisa."""

    quantity: Decimal
    unit: Unit
    price: int


class SamagriChangeResponse(Struct, frozen=True, kw_only=True):
    """What a proposal changes of one item: before, after, and by how much it gets dearer, in paisa.

    ``before`` is null for an item that is added, ``after`` for one that goes.
    """

    item: ItemResponse
    before: AmountResponse | None
    after: AmountResponse | None
    price_difference: int


class SamagriProposalResponse(SamagriAskedResponse, frozen=True, kw_only=True):
    """The list that the customer asks for: all of it, and what it changes."""

    results: list[SamagriLineResponse]
    changes: list[SamagriChangeResponse]


class SamagriAnswerRequest(Request, frozen=True, kw_only=True):
    """Whether the pandit agrees to the list that was proposed under that revision."""

    revision: Annotated[int, Meta(ge=1, le=2**53)]
    agree: bool


class SamagriResponse(Struct, frozen=True, kw_only=True):
    """The samagri of a booking, with the fees that follow from it.

    ``needs_consent``: changes become a ``proposal``, and the list itself changes once the pandit
    agrees.
    """

    results: list[SamagriLineResponse]
    next: None = None
    service_fee: int
    samagri_fee: int
    total_fee: int
    currency: str
    can_edit: bool
    needs_consent: bool
    proposal: SamagriProposalResponse | None


class TemplateChoiceRequest(Request, frozen=True, kw_only=True):
    """Which ready list of samagri."""

    template_id: Annotated[str, Meta(min_length=1, max_length=128)]


class BudgetRequest(Request, frozen=True, kw_only=True):
    """For all samagri of the booking, in paisa."""

    budget: Rupees


class ChosenTemplateResponse(SamagriResponse, frozen=True, kw_only=True):
    """The list by a template, and what of it is not brought, and why."""

    left_out: list[LeftOutResponse]


class BudgetPlanResponse(Struct, frozen=True, kw_only=True):
    """The list that a budget allows, in paisa.

    ``left_out`` would be on the list if there were more money. ``shortfall`` is by how much what is
    needed, and what the customer has added himself, passes the budget alone.
    """

    budget: int
    cost: int
    shortfall: int
    currency: str
    results: list[SamagriLineResponse]
    next: None = None
    left_out: list[SamagriLineResponse]


def present_chosen(
    booking: Booking, actor: Actor, left_out: Sequence[LeftOut], reader: Reader, now: datetime
) -> ChosenTemplateResponse:
    """The samagri of a booking after a template was chosen."""
    return ChosenTemplateResponse(
        **structs.asdict(present_samagri(booking, actor, reader, now)),
        left_out=[present_left_out(each) for each in left_out],
    )


def present_plan(plan: BudgetPlan, currency: str = NPR) -> BudgetPlanResponse:
    """What a budget allows."""
    return BudgetPlanResponse(
        budget=plan.budget,
        cost=plan.cost,
        shortfall=plan.shortfall,
        currency=currency,
        results=[_present_line(line) for line in plan.lines],
        left_out=[_present_line(line) for line in plan.left_out],
    )


def present_choice(pandit: Pandit, distance_km: float | None) -> ChoiceResponse:
    """A pandit among those whom the customer may choose."""
    return ChoiceResponse(
        id=pandit.id,
        full_name=pandit.full_name,
        full_name_ne=pandit.full_name_ne,
        rating=pandit.rating,
        review_count=pandit.review_count,
        experience_years=pandit.experience_years,
        distance_km=distance_km,
    )


def present_booking(booking: Booking, actor: Actor, reader: Reader) -> BookingResponse:
    """The booking for one of its parties: contact details only once it is accepted."""
    is_customer = actor.user_id == booking.user_id
    sees_customer = sees_address(booking, actor)
    sees_pandit = not is_customer or booking.shares_contact
    point = booking.location.point if sees_customer else None
    proposal, asked = booking.proposal, booking.samagri_proposal
    return BookingResponse(
        id=booking.id,
        user=PartyResponse(
            id=booking.user_id,
            full_name=booking.customer_name,
            phone_number=booking.customer_phone if sees_customer else None,
        ),
        pandit=PartyResponse(
            id=booking.pandit_id,
            full_name=booking.pandit_name,
            full_name_ne=booking.pandit_name_ne,
            phone_number=booking.pandit_phone if sees_pandit else None,
        ),
        service=booking.service_id,
        puja=booking.puja_id,
        service_name=booking.service_name,
        service_name_ne=booking.service_name_ne,
        service_location=booking.service_location,
        location=PlaceResponse(
            area=booking.location.area,
            city=booking.location.city,
            address=booking.location.address if sees_customer else None,
            lat=point.latitude if point else None,
            lng=point.longitude if point else None,
        ),
        distance_km=booking.distance_km,
        booking_date=booking.booking_date,
        date_bs=bs_text(booking.booking_date),
        booking_time=f"{booking.booking_time:%H:%M}",
        starts_at=reader.local(booking.starts_at),
        ends_at=reader.local(booking.ends_at),
        status=booking.status,
        notes=booking.notes,
        samagri_required=booking.samagri_required,
        service_fee=booking.service_fee,
        samagri_fee=booking.samagri_fee,
        total_fee=booking.total_fee,
        currency=booking.currency,
        commission_amount=None if is_customer else booking.commission_amount,
        payment_status=booking.payment_status,
        payment_method=booking.payment_method,
        pay_by=reader.maybe_local(booking.pay_by),
        refunded_amount=booking.refunded_amount,
        refund_policy=present_tiers(booking, reader),
        proposal=None
        if proposal is None
        else ProposalResponse(
            by="user" if proposal.by == booking.user_id else "pandit",
            booking_date=proposal.booking_date,
            date_bs=bs_text(proposal.booking_date),
            booking_time=f"{proposal.booking_time:%H:%M}",
            answer_by=reader.maybe_local(proposal.answer_by),
        ),
        samagri_proposal=None if asked is None else _present_asked(booking, asked, reader),
        answer_by=reader.maybe_local(booking.answer_by),
        created_at=reader.local(booking.created_at),
        updated_at=reader.local(booking.updated_at),
        accepted_at=reader.maybe_local(booking.accepted_at),
        arrived_at=reader.maybe_local(booking.arrived_at),
        completed_at=reader.maybe_local(booking.completed_at),
        history=[_present_transition(move, actor, reader) for move in _history_for(booking, actor)],
    )


def present_tiers(booking: Booking, reader: Reader) -> list[RefundTierResponse]:
    """What comes back of the price when the customer cancels, and until when."""
    return [
        RefundTierResponse(
            until=reader.local(booking.starts_at - timedelta(hours=tier.hours)),
            hours_before=tier.hours,
            share_percent=tier.share / 100,
            amount=share(booking.total_fee, tier.share),
        )
        for tier in sorted(booking.refund_tiers, key=lambda each: each.hours, reverse=True)
    ]


def present_samagri(
    booking: Booking, actor: Actor, reader: Reader, now: datetime
) -> SamagriResponse:
    """The samagri of a booking, and the list that waits for the pandit's consent."""
    can_edit = False
    with suppress(DomainError):
        require_samagri_editable(booking, actor, now)
        can_edit = True
    return SamagriResponse(
        results=[_present_line(line) for line in booking.samagri],
        service_fee=booking.service_fee,
        samagri_fee=booking.samagri_fee,
        total_fee=booking.total_fee,
        currency=booking.currency,
        can_edit=can_edit,
        needs_consent=booking.status is not BookingStatus.PENDING,
        proposal=present_samagri_proposal(booking, reader, now),
    )


def present_samagri_proposal(
    booking: Booking, reader: Reader, now: datetime
) -> SamagriProposalResponse | None:
    """The list that waits for the pandit's consent, and what it changes."""
    proposal = open_proposal(booking, now)
    if proposal is None:
        return None
    return SamagriProposalResponse(
        **structs.asdict(_present_asked(booking, proposal, reader)),
        results=[_present_line(line) for line in proposal.lines],
        changes=[_present_change(each) for each in line_changes(booking, proposal)],
    )


def _present_asked(
    booking: Booking, proposal: SamagriProposal, reader: Reader
) -> SamagriAskedResponse:
    return SamagriAskedResponse(
        revision=proposal.revision,
        samagri_fee=proposal.samagri_fee,
        total_fee=booking.service_fee + proposal.samagri_fee,
        difference=proposal.samagri_fee - booking.samagri_fee,
        proposed_at=reader.local(proposal.proposed_at),
        answer_by=reader.local(proposal.answer_by),
    )


def _present_change(change: LineChange) -> SamagriChangeResponse:
    return SamagriChangeResponse(
        item=_present_item(change.line),
        before=_present_amount(change.before),
        after=_present_amount(change.after),
        price_difference=change.price_difference,
    )


def _present_amount(line: SamagriLine | None) -> AmountResponse | None:
    if line is None:
        return None
    return AmountResponse(quantity=line.quantity, unit=line.unit, price=line.price_at_booking)


def _present_item(line: SamagriLine) -> ItemResponse:
    return ItemResponse(
        id=line.item_id, name=line.name, name_ne=line.name_ne, category=line.category_id
    )


def _present_line(line: SamagriLine) -> SamagriLineResponse:
    return SamagriLineResponse(
        item=_present_item(line),
        quantity=line.quantity,
        min_quantity=line.min_quantity,
        unit=line.unit,
        base_unit=line.base_unit,
        type=line.type,
        confidence=line.confidence,
        source=line.source,
        reason=line.reason,
        reason_ne=line.reason_ne,
        can_remove=line.can_remove,
        is_required=line.is_required,
        price_at_booking=line.price_at_booking,
        auto_added=line.auto_added,
        user_added=line.user_added,
    )


def _history_for(booking: Booking, actor: Actor) -> Sequence[Transition]:
    """What the actor may know of the booking's moves.

    For its pandit it begins when it was offered to him: who was asked before, and what they
    answered, is not his business. The refusal of the one before him is the offer to him.
    """
    if actor.is_admin or actor.user_id == booking.user_id:
        return booking.history
    refusals = [place for place, move in enumerate(booking.history) if _is_refusal(move)]
    if booking.pandit_id in booking.rejected_by:
        refusals = refusals[:-1]  # the last is his own
    if not refusals:
        return booking.history
    before = booking.history[refusals[-1]]
    offer = replace(before, from_status=None, by=SYSTEM, role=SYSTEM, reason="")
    return (offer, *booking.history[refusals[-1] + 1 :])


def _is_refusal(move: Transition) -> bool:
    return move.from_status is move.to_status is BookingStatus.PENDING


def _present_transition(move: Transition, actor: Actor, reader: Reader) -> TransitionResponse:
    # What a pandit writes when he says no could be a phone number, before anything is accepted.
    is_hidden = _is_refusal(move) and move.role != SYSTEM and not actor.is_admin
    return TransitionResponse(
        from_status=move.from_status,
        to_status=move.to_status,
        role=move.role,
        at=reader.local(move.at),
        reason="" if is_hidden else move.reason,
    )
