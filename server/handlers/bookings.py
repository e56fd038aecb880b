"""Bookings: placing them, moving them, and their samagri."""

from __future__ import annotations

from datetime import time
from typing import Final

from server.domain.account import Actor
from server.domain.booking import Booking
from server.domain.errors import (
    FieldFault,
    IllegalTransition,
    Invalid,
    ItemRequired,
    NotBookable,
    NotFound,
    NotOnTheWay,
    PaymentDue,
    PaymentOpen,
    ProposalChanged,
    SlotTaken,
    TooEarly,
    TooFarApart,
    TooManyOpen,
)
from server.domain.payment import RefundTo
from server.handlers.base import CUSTOMER, PANDIT, ApiHandler, operation
from server.handlers.routing import Route
from server.schemas.base import PageResponse
from server.schemas.bookings import (
    AcceptRequest,
    BookingResponse,
    BookingsQuery,
    BudgetPlanResponse,
    BudgetRequest,
    CancelRequest,
    ChoiceRequest,
    ChoiceResponse,
    ChosenTemplateResponse,
    CompleteRequest,
    CreateBookingRequest,
    EmptyRequest,
    QuantityRequest,
    ReasonRequest,
    RescheduleRequest,
    SamagriAnswerRequest,
    SamagriResponse,
    StateResponse,
    TemplateChoiceRequest,
    present_booking,
    present_choice,
    present_chosen,
    present_plan,
    present_samagri,
)


class BookingsHandler(ApiHandler):
    """One's own bookings."""

    @operation("List one's own bookings, the latest start first")
    async def get(self, actor: Actor, query: BookingsQuery) -> PageResponse[BookingResponse]:
        page = await self.services.bookings.list_own(
            actor,
            statuses=(query.status,) if query.status else (),
            first=query.from_,
            last=query.to,
            limit=query.limit,
            after=self.after(query.cursor),
        )
        return PageResponse(
            results=[present_booking(booking, actor, self.reader) for booking in page.rows],
            next=self.cursor(page.next_key),
        )

    @operation(
        "Book a puja with a pandit",
        status=201,
        roles=CUSTOMER,
        idempotent=True,
        errors=(NotFound, NotBookable, SlotTaken, TooManyOpen),
    )
    async def post(self, actor: Actor, body: CreateBookingRequest) -> BookingResponse:
        rule = body.recurrence.rule() if body.recurrence else None
        booking = await self.services.recurrences.book(actor, body.wish(self.idempotency_key), rule)
        return present_booking(booking, actor, self.reader)


class BookingHandler(ApiHandler):
    """One booking; it is never deleted."""

    @operation("Show a booking", errors=(NotFound,))
    async def get(self, booking_id: str, actor: Actor) -> BookingResponse:
        booking = await self.services.bookings.get(actor, booking_id)
        return present_booking(booking, actor, self.reader)


class AcceptHandler(ApiHandler):
    """The pandit takes a booking on."""

    @operation(
        "Accept a booking",
        roles=PANDIT,
        errors=(NotFound, IllegalTransition, PaymentDue, TooFarApart, ProposalChanged),
    )
    async def post(self, booking_id: str, actor: Actor, body: AcceptRequest) -> BookingResponse:
        booking = await self.services.bookings.accept(actor, booking_id, body.starts_at)
        return present_booking(booking, actor, self.reader)


class RejectHandler(ApiHandler):
    """The pandit says no."""

    @operation(
        "Reject a booking; it is offered to the next pandit",
        roles=PANDIT,
        errors=(NotFound, IllegalTransition),
    )
    async def post(self, booking_id: str, actor: Actor, body: ReasonRequest) -> StateResponse:
        booking = await self.services.bookings.reject(actor, booking_id, body.reason)
        return StateResponse(id=booking.id, status=booking.status)


class ChooseHandler(ApiHandler):
    """Another pandit than the one who is asked, when the first one has said no."""

    @operation(
        "List a few pandits who may be asked in the place of the present one",
        roles=CUSTOMER,
        errors=(NotFound,),
    )
    async def get(self, booking_id: str, actor: Actor) -> PageResponse[ChoiceResponse]:
        found = await self.services.bookings.choices(actor, booking_id)
        return PageResponse(results=[present_choice(*each) for each in found])

    @operation(
        "Ask another pandit of one's own choice, once one has said no; the price stays",
        roles=CUSTOMER,
        errors=(NotFound, IllegalTransition, PaymentDue, NotBookable, SlotTaken),
    )
    async def post(self, booking_id: str, actor: Actor, body: ChoiceRequest) -> BookingResponse:
        booking = await self.services.bookings.choose(actor, booking_id, body.pandit_id)
        return present_booking(booking, actor, self.reader)


class ArriveHandler(ApiHandler):
    """The pandit is at the door."""

    @operation(
        "Say that one has arrived; the customer is told",
        roles=PANDIT,
        errors=(NotFound, IllegalTransition, NotOnTheWay),
    )
    async def post(self, booking_id: str, actor: Actor, body: EmptyRequest) -> BookingResponse:
        booking = await self.services.bookings.arrive(actor, booking_id)
        return present_booking(booking, actor, self.reader)


class StartHandler(ApiHandler):
    """The pandit begins."""

    @operation("Start the puja", roles=PANDIT, errors=(NotFound, IllegalTransition, TooEarly))
    async def post(self, booking_id: str, actor: Actor, body: EmptyRequest) -> BookingResponse:
        booking = await self.services.bookings.start(actor, booking_id)
        return present_booking(booking, actor, self.reader)


class CompleteHandler(ApiHandler):
    """The pandit has finished."""

    @operation("Complete the puja", roles=PANDIT, errors=(NotFound, IllegalTransition))
    async def post(self, booking_id: str, actor: Actor, body: CompleteRequest) -> BookingResponse:
        booking = await self.services.bookings.complete(actor, booking_id, body.cash_amount)
        return present_booking(booking, actor, self.reader)


class CancelHandler(ApiHandler):
    """A party calls the booking off."""

    @operation("Cancel a booking", errors=(NotFound, IllegalTransition))
    async def post(self, booking_id: str, actor: Actor, body: CancelRequest) -> BookingResponse:
        booking = await self.services.bookings.cancel(
            actor,
            booking_id,
            body.reason,
            refund_to_wallet=body.refund_to is RefundTo.WALLET,
        )
        return present_booking(booking, actor, self.reader)


class RescheduleHandler(ApiHandler):
    """Another time for a booking."""

    @operation(
        "Move a pending booking; propose, agree to or decline another time for an accepted one",
        errors=(NotFound, IllegalTransition, NotBookable, SlotTaken),
    )
    async def post(self, booking_id: str, actor: Actor, body: RescheduleRequest) -> BookingResponse:
        if body.decline:
            booking = await self.services.bookings.decline_proposal(actor, booking_id)
        elif body.booking_date is None or body.booking_time is None:
            raise Invalid(FieldFault("booking_date", "required"))
        else:
            booking = await self.services.bookings.reschedule(
                actor, booking_id, body.booking_date, time.fromisoformat(body.booking_time)
            )
        return present_booking(booking, actor, self.reader)


class ListHandler(ApiHandler):
    """For what answers with the samagri of a booking."""

    def samagri(self, booking: Booking, actor: Actor) -> SamagriResponse:
        """The list as it is now, and what waits for the pandit's consent."""
        return present_samagri(booking, actor, self.reader, self.services.clock.now())


class SamagriHandler(ListHandler):
    """The samagri of a booking. Once it is accepted, edits propose another list to its pandit."""

    @operation("List the samagri of a booking, and what is proposed instead", errors=(NotFound,))
    async def get(self, booking_id: str, actor: Actor) -> SamagriResponse:
        booking = await self.services.bookings.get_listed(actor, booking_id)
        return self.samagri(booking, actor)

    @operation(
        "Compute the recommended samagri and add what is missing, or propose it once accepted",
        roles=CUSTOMER,
        idempotent=True,
        errors=(NotFound, IllegalTransition, PaymentOpen),
    )
    async def post(self, booking_id: str, actor: Actor, body: EmptyRequest) -> SamagriResponse:
        booking = await self.services.bookings.add_suggested(actor, booking_id)
        return self.samagri(booking, actor)


class SamagriTemplateHandler(ApiHandler):
    """A ready list for a booking."""

    @operation(
        "Make a ready list of the puja the booking's own, or propose it once accepted",
        roles=CUSTOMER,
        errors=(NotFound, IllegalTransition, PaymentOpen),
    )
    async def post(
        self, booking_id: str, actor: Actor, body: TemplateChoiceRequest
    ) -> ChosenTemplateResponse:
        booking, left_out = await self.services.bookings.use_template(
            actor, booking_id, body.template_id
        )
        return present_chosen(booking, actor, left_out, self.reader, self.services.clock.now())


class SamagriBudgetHandler(ApiHandler):
    """The samagri of a booking within a budget."""

    @operation(
        "Show the best list that a budget allows; nothing changes",
        roles=CUSTOMER,
        errors=(NotFound, IllegalTransition, PaymentOpen),
    )
    async def get(self, booking_id: str, actor: Actor, query: BudgetRequest) -> BudgetPlanResponse:
        return present_plan(
            await self.services.bookings.plan_budget(actor, booking_id, query.budget)
        )

    @operation(
        "Make the best list that a budget allows the booking's own, or propose it once accepted",
        roles=CUSTOMER,
        errors=(NotFound, IllegalTransition, PaymentOpen),
    )
    async def post(self, booking_id: str, actor: Actor, body: BudgetRequest) -> BudgetPlanResponse:
        _, plan = await self.services.bookings.fit_budget(actor, booking_id, body.budget)
        return present_plan(plan)


class SamagriProposalHandler(ListHandler):
    """Another list of samagri that the customer of an accepted booking asks for."""

    @operation(
        "Agree to the samagri that the customer proposes, or decline it",
        roles=PANDIT,
        errors=(NotFound, IllegalTransition, PaymentOpen, ProposalChanged),
    )
    async def post(
        self, booking_id: str, actor: Actor, body: SamagriAnswerRequest
    ) -> SamagriResponse:
        booking = await self.services.bookings.answer_samagri(
            actor, booking_id, body.revision, is_agreed=body.agree
        )
        return self.samagri(booking, actor)

    @operation(
        "Withdraw the samagri that one has proposed",
        roles=CUSTOMER,
        errors=(NotFound, ProposalChanged),
    )
    async def delete(self, booking_id: str, actor: Actor) -> SamagriResponse:
        booking = await self.services.bookings.withdraw_samagri(actor, booking_id)
        return self.samagri(booking, actor)


class SamagriItemHandler(ListHandler):
    """One item of a booking's samagri."""

    @operation(
        "Add an item of one's own, or propose it once accepted",
        roles=CUSTOMER,
        errors=(NotFound, IllegalTransition, PaymentOpen),
    )
    async def put(
        self, booking_id: str, item_id: str, actor: Actor, body: QuantityRequest
    ) -> SamagriResponse:
        booking = await self.services.bookings.add_item(
            actor, booking_id, item_id, body.quantity, body.unit
        )
        return self.samagri(booking, actor)

    @operation(
        "Change an item's quantity, or propose it once accepted",
        roles=CUSTOMER,
        errors=(NotFound, IllegalTransition, PaymentOpen),
    )
    async def patch(
        self, booking_id: str, item_id: str, actor: Actor, body: QuantityRequest
    ) -> SamagriResponse:
        booking = await self.services.bookings.set_quantity(
            actor, booking_id, item_id, body.quantity, body.unit
        )
        return self.samagri(booking, actor)

    @operation(
        "Remove an optional item, or propose it once accepted",
        roles=CUSTOMER,
        errors=(NotFound, IllegalTransition, PaymentOpen, ItemRequired),
    )
    async def delete(self, booking_id: str, item_id: str, actor: Actor) -> SamagriResponse:
        booking = await self.services.bookings.remove_item(actor, booking_id, item_id)
        return self.samagri(booking, actor)


ROUTES: Final = (
    Route("/api/bookings/", BookingsHandler, "bookings"),
    Route("/api/bookings/{booking_id}/", BookingHandler, "booking"),
    Route("/api/bookings/{booking_id}/accept/", AcceptHandler, "booking-accept"),
    Route("/api/bookings/{booking_id}/reject/", RejectHandler, "booking-reject"),
    Route("/api/bookings/{booking_id}/choose/", ChooseHandler, "booking-choose"),
    Route("/api/bookings/{booking_id}/arrive/", ArriveHandler, "booking-arrive"),
    Route("/api/bookings/{booking_id}/start/", StartHandler, "booking-start"),
    Route("/api/bookings/{booking_id}/complete/", CompleteHandler, "booking-complete"),
    Route("/api/bookings/{booking_id}/cancel/", CancelHandler, "booking-cancel"),
    Route("/api/bookings/{booking_id}/reschedule/", RescheduleHandler, "booking-reschedule"),
    Route("/api/bookings/{booking_id}/samagri/", SamagriHandler, "booking-samagri"),
    # Before the items: no item has one of these codes.
    Route(
        "/api/bookings/{booking_id}/samagri/proposal/",
        SamagriProposalHandler,
        "booking-samagri-proposal",
    ),
    Route(
        "/api/bookings/{booking_id}/samagri/template/",
        SamagriTemplateHandler,
        "booking-samagri-template",
    ),
    Route(
        "/api/bookings/{booking_id}/samagri/budget/", SamagriBudgetHandler, "booking-samagri-budget"
    ),
    Route(
        "/api/bookings/{booking_id}/samagri/{item_id}/", SamagriItemHandler, "booking-samagri-item"
    ),
)
