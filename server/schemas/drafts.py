"""Bookings that are being put together, on the wire."""

from __future__ import annotations

from datetime import date, datetime, time
from typing import Annotated, Any

from msgspec import Meta, Struct

from server.domain.account import Actor, Place
from server.domain.booking import Booking, PaymentMethod, ServiceLocation
from server.domain.draft import DRAFT, Draft, WizardStep
from server.domain.errors import FieldFault, Invalid
from server.domain.recurrence import RecurrenceRule
from server.schemas.base import ClockTime, Id, Reader, Request, bs_text
from server.schemas.bookings import (
    BookingResponse,
    Latitude,
    Longitude,
    PlaceResponse,
    RecurrenceRequest,
    RefundTierResponse,
    point_of,
    present_booking,
    present_tiers,
)


class StepRequest(Request, frozen=True, kw_only=True):
    """One step of a booking; ``booking_id`` is what the first step has answered.

    Each step reads its own fields and passes over the others: ``service_selection`` needs
    ``service_id``; ``datetime_selection`` ``booking_date`` and ``booking_time``, the pandit's local
    ones; ``details`` ``service_location``; ``payment`` ``payment_method``; ``confirmation``
    nothing.
    """

    booking_step: WizardStep
    booking_id: Id | None = None
    service_id: Id | None = None
    booking_date: date | None = None
    booking_time: ClockTime | None = None
    recurrence: RecurrenceRequest | None = None
    service_location: ServiceLocation | None = None
    area: Annotated[str, Meta(max_length=120)] = ""
    city: Annotated[str, Meta(max_length=120)] = ""
    address: Annotated[str, Meta(max_length=300)] = ""
    lat: Latitude | None = None
    lng: Longitude | None = None
    notes: Annotated[str, Meta(max_length=1000)] = ""
    samagri_required: bool = False
    payment_method: PaymentMethod | None = None

    @property
    def draft(self) -> str:
        """Which draft. Raises ``Invalid`` where none is named."""
        (draft_id,) = self._need("booking_id")
        return str(draft_id)

    @property
    def service(self) -> str:
        """The service chosen."""
        (service_id,) = self._need("service_id")
        return str(service_id)

    @property
    def day(self) -> date:
        """The day chosen."""
        return self._when()[0]

    @property
    def at(self) -> time:
        """The time chosen."""
        return self._when()[1]

    @property
    def rule(self) -> RecurrenceRule | None:
        """How often the puja comes again, None: once."""
        return self.recurrence.rule() if self.recurrence else None

    @property
    def where(self) -> ServiceLocation:
        """Where the puja is held."""
        (kind,) = self._need("service_location")
        return ServiceLocation(kind)

    @property
    def place(self) -> Place:
        """The address."""
        return Place(
            area=self.area,
            city=self.city,
            address=self.address,
            point=point_of(self.lat, self.lng),
        )

    @property
    def method(self) -> PaymentMethod:
        """The way to pay."""
        (method,) = self._need("payment_method")
        return PaymentMethod(method)

    def _when(self) -> tuple[date, time]:
        day, at = self._need("booking_date", "booking_time")
        return day, time.fromisoformat(at)

    def _need(self, *names: str) -> tuple[Any, ...]:
        values = tuple(getattr(self, name) for name in names)
        missing = [name for name, value in zip(names, values, strict=True) if value is None]
        if missing:
            raise Invalid(*(FieldFault(name, "required") for name in missing))
        return values


class DraftResponse(Struct, frozen=True, kw_only=True):
    """A booking that is being put together. ``id`` and ``booking_id`` are the same.

    ``status`` is DRAFT until it is confirmed; then ``booking`` is the booking that it has become.
    ``booking_step`` is the step to be done next. At ``expires_at`` it disappears;
    ``held_until`` is the same instant as soon as it holds a slot, and null before. Fees are paisa,
    null until a time is chosen, and stand from then on.
    """

    id: str
    booking_id: str
    status: str
    booking_step: WizardStep
    expires_at: datetime | None
    held_until: datetime | None
    service: str
    pandit: str
    service_name: str
    service_name_ne: str
    booking_date: date | None
    date_bs: str | None
    booking_time: str | None
    starts_at: datetime | None
    ends_at: datetime | None
    recurrence: RecurrenceRequest | None
    service_location: ServiceLocation | None
    location: PlaceResponse | None
    notes: str
    samagri_required: bool
    payment_method: PaymentMethod | None
    service_fee: int | None
    samagri_fee: int | None
    total_fee: int | None
    currency: str | None
    refund_policy: list[RefundTierResponse]
    booking: BookingResponse | None


class DraftsResponse(Struct, frozen=True, kw_only=True):
    """One's open drafts: a handful, the oldest first."""

    results: list[DraftResponse]
    next: None = None


def present_draft(draft: Draft, reader: Reader) -> DraftResponse:
    """Show a draft to its customer."""
    return _present(
        draft.booking,
        reader,
        draft_id=draft.id,
        status=DRAFT,
        booking_step=draft.next_step,
        expires_at=reader.local(draft.lapses_at),
        held_until=reader.local(draft.lapses_at) if draft.booking else None,
        service=draft.service_id,
        pandit=draft.pandit_id,
        recurrence=_present_rule(draft.recurrence),
        has_details=draft.has_details,
        has_payment=draft.has_payment,
        confirmed=None,
    )


def present_confirmed(booking: Booking, actor: Actor, reader: Reader) -> DraftResponse:
    """Show what a draft has become."""
    return _present(
        booking,
        reader,
        draft_id=booking.id,
        status=booking.status,
        booking_step=WizardStep.CONFIRMATION,
        expires_at=None,
        held_until=None,
        service=booking.service_id,
        pandit=booking.pandit_id,
        recurrence=None,
        has_details=True,
        has_payment=True,
        confirmed=present_booking(booking, actor, reader),
    )


def _present(
    booking: Booking | None,
    reader: Reader,
    *,
    draft_id: str,
    status: str,
    booking_step: WizardStep,
    expires_at: datetime | None,
    held_until: datetime | None,
    service: str,
    pandit: str,
    recurrence: RecurrenceRequest | None,
    has_details: bool,
    has_payment: bool,
    confirmed: BookingResponse | None,
) -> DraftResponse:
    detailed = booking if has_details else None
    point = detailed.location.point if detailed else None
    return DraftResponse(
        id=draft_id,
        booking_id=draft_id,
        status=status,
        booking_step=booking_step,
        expires_at=expires_at,
        held_until=held_until,
        service=service,
        pandit=pandit,
        service_name=booking.service_name if booking else "",
        service_name_ne=booking.service_name_ne if booking else "",
        booking_date=booking.booking_date if booking else None,
        date_bs=bs_text(booking.booking_date) if booking else None,
        booking_time=f"{booking.booking_time:%H:%M}" if booking else None,
        starts_at=reader.local(booking.starts_at) if booking else None,
        ends_at=reader.local(booking.ends_at) if booking else None,
        recurrence=recurrence,
        service_location=detailed.service_location if detailed else None,
        location=PlaceResponse(
            area=detailed.location.area,
            city=detailed.location.city,
            address=detailed.location.address,
            lat=point.latitude if point else None,
            lng=point.longitude if point else None,
        )
        if detailed
        else None,
        notes=detailed.notes if detailed else "",
        samagri_required=detailed.samagri_required if detailed else False,
        payment_method=booking.payment_method if booking and has_payment else None,
        service_fee=booking.service_fee if booking else None,
        samagri_fee=booking.samagri_fee if booking else None,
        total_fee=booking.total_fee if booking else None,
        currency=booking.currency if booking else None,
        refund_policy=present_tiers(booking, reader) if booking else [],
        booking=confirmed,
    )


def _present_rule(rule: RecurrenceRule | None) -> RecurrenceRequest | None:
    if rule is None:
        return None
    return RecurrenceRequest(frequency=rule.frequency, count=rule.count, until=rule.until)
