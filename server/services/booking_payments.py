"""Joins two axes that never move each other's state: bookings and their payments.

A booking shows where its payment stands; a booking that ends closes its payment, by the policy
under which it was made; a puja that was held makes what was paid the pandit's. Each step reads the
present state of both and is applied once, so that events may come late, twice, or in another order.
"""

from __future__ import annotations

from datetime import datetime
from typing import Final

from server.domain import payment_rules as rules
from server.domain import refunds
from server.domain.booking import (
    ENDED,
    Booking,
    BookingStatus,
    PaymentMethod,
    PaymentState,
)
from server.domain.cancellation import refund_share
from server.domain.errors import ConcurrentChange, IllegalTransition
from server.domain.events import Event, EventKind
from server.domain.payment import Closing, Payment, RefundTo, booking_payment_id, open_cash
from server.domain.ports.bookings import BookingRepository
from server.domain.ports.payments import PaymentRepository
from server.domain.ports.world import Clock
from server.services.batches import each_of
from server.services.bookings import BookingService
from server.services.payments import booking_payment, new_reference
from server.services.settlement import Settlement

_HEARD: Final = frozenset(
    {
        EventKind.BOOKING_CANCELLED,
        EventKind.BOOKING_FAILED,
        EventKind.BOOKING_COMPLETED,
        EventKind.BOOKING_REOFFERED,
        EventKind.PAYMENT_CHANGED,
    }
)


class BookingPayments:
    """A ``ports.Receiver`` of the events of bookings and payments, and a duty of the clock."""

    def __init__(
        self,
        bookings: BookingRepository,
        booking_service: BookingService,
        payments: PaymentRepository,
        settlement: Settlement,
        clock: Clock,
    ) -> None:
        self._bookings = bookings
        self._service = booking_service
        self._payments = payments
        self._settlement = settlement
        self._clock = clock

    async def on_event(self, event: Event) -> None:
        """Bring booking and payment to what the other one says."""
        if event.kind not in _HEARD or event.booking_id is None:
            return
        if event.kind is EventKind.BOOKING_COMPLETED:
            booking = await self._bookings.find(event.booking_id)
            if booking is not None and booking.payment_method is PaymentMethod.CASH:
                await self._collect(booking, int(event.params.get("cash", booking.total_fee)))
        payment = await self._payments.find(booking_payment_id(event.booking_id))
        if payment is not None:
            await self._join(event.booking_id, payment)

    async def fail_unpaid(self) -> int:
        """End bookings whose time to pay has run out; those that were paid meanwhile go on."""
        waiting = await self._service.list_unpaid()
        paid = await self._payments.find_many(
            [booking_payment_id(booking.id) for booking in waiting]
        )

        async def end(booking_id: str) -> None:
            payment = paid.get(booking_payment_id(booking_id))
            if payment is not None and payment.is_confirmed:
                await self._join(booking_id, payment)
            else:
                await self._service.fail_unpaid(booking_id)

        await each_of(
            (booking.id for booking in waiting),
            end,
            # Paid, extended or ended at the last moment.
            expected=(IllegalTransition, ConcurrentChange),
            what="unpaid booking",
        )
        return len(waiting)

    async def _join(self, booking_id: str, payment: Payment) -> None:
        booking = await self._service.follow_payment(booking_id, _state_of(payment))
        if booking is None:
            return
        if _takes_other_sum(payment, booking):
            payment = await self._settlement.change(
                payment.id,
                lambda found: rules.mispaid(found, booking.total_fee, self._clock.now()),
            )
        if booking.status in ENDED and payment.closed is None:
            closing = closing_of(booking)
            await self._settlement.change(
                payment.id, lambda found: refunds.closed(found, closing, self._clock.now())
            )
        elif booking.status is BookingStatus.COMPLETED and payment.earned_at is None:
            await self._settlement.change(
                payment.id,
                lambda found: rules.earned(
                    found, booking.commission_amount, booking.pandit_user_id, self._clock.now()
                ),
            )

    async def _collect(self, booking: Booking, amount: int) -> None:
        """Record the cash that the pandit has confirmed by completing."""
        now = self._clock.now()
        reference = new_reference()

        def apply(payment: Payment) -> Payment:
            payment = rules.mispaid(payment, booking.total_fee, now)
            if payment.captured is not None:
                return payment
            waiting = open_cash(payment)
            if waiting is not None and waiting.amount != payment.amount:
                payment = rules.given_up(payment, waiting.number, "superseded", now)
                waiting = None
            if waiting is None:
                payment = rules.with_attempt(
                    payment, reference=reference, method=PaymentMethod.CASH, now=now
                )
                waiting = payment.attempts[-1]
            payment = rules.for_pandit(payment, booking.pandit_id, booking.pandit_user_id)
            return rules.cash_collected(
                payment, waiting.number, amount, booking.pandit_user_id, now
            )

        await self._settlement.add(booking_payment(booking, now), apply)


def closing_of(booking: Booking) -> Closing:
    """How the payment of a booking that has ended is closed."""
    last = booking.history[-1]
    at: datetime = last.at
    return Closing(
        at=at,
        reason="cancelled" if booking.status is BookingStatus.CANCELLED else "failed",
        share=refund_share(
            booking.refund_tiers,
            booking.starts_at,
            at,
            last.role,
            is_accepted=last.from_status is not BookingStatus.PENDING,
        ),
        to=RefundTo.WALLET if booking.refund_to_wallet else RefundTo.ORIGINAL,
    )


def _state_of(payment: Payment) -> PaymentState:
    main = payment.main
    is_captured = payment.confirmed_at is not None
    return PaymentState(
        version=payment.version,
        status=payment.status,
        method=main.method if main else PaymentMethod.CASH,
        refunded=payment.refunded,
        is_open=payment.has_open_prepayment,
        is_captured=is_captured,
        amount=main.amount if main and is_captured else payment.amount,
    )


def _takes_other_sum(payment: Payment, booking: Booking) -> bool:
    """Whether the price was changed in the moment in which an older attempt succeeded."""
    state = _state_of(payment)
    return state.is_captured and state.amount != booking.total_fee
