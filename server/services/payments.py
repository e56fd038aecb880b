"""Paying: of a booking, of an unlock, into the wallet; and what customers and staff do afterwards.

Amounts are computed here and nowhere else. What a customer sends says which thing he wants to pay
and how, never how much; the wallet's top-up, which is his to choose, has bounds.
"""

from __future__ import annotations

import logging
import re
import secrets
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Final

from server.domain import payment_changes as changes
from server.domain import payment_rules as rules
from server.domain import refunds
from server.domain.account import Actor, Role
from server.domain.audit import Act
from server.domain.booking import Booking, PaymentMethod, PaymentStatus
from server.domain.errors import (
    AlreadyPaid,
    ConcurrentChange,
    DomainError,
    FieldFault,
    Forbidden,
    GatewayDeclined,
    GatewayUnavailable,
    IllegalTransition,
    InsufficientBalance,
    Invalid,
    NotFound,
    ProofReused,
)
from server.domain.gateway import (
    ActionKind,
    GatewayTraits,
    PaymentAction,
    PaymentOrder,
    RefundState,
    ReturnHint,
    StartedPayment,
)
from server.domain.money import NPR, in_rupees
from server.domain.payment import (
    GIVE_UP_AFTER,
    PAID,
    Attempt,
    Payment,
    Purpose,
    RefundTo,
    ReviewReason,
    attempt_id,
    booking_payment_id,
    open_cash,
    split_id,
    top_up_payment_id,
    unlock_payment_id,
)
from server.domain.ports.accounts import UserRepository
from server.domain.ports.paging import Page, SortKey
from server.domain.ports.pandits import PanditRepository
from server.domain.ports.payments import PaymentFilter, PaymentRepository
from server.domain.ports.world import Clock, IdSource
from server.services.audit import AuditService
from server.services.bookings import BookingService
from server.services.ledger import LedgerService
from server.services.settlement import Gateways, PaymentFrames, Settlement

_log: Final = logging.getLogger(__name__)
_ALPHABET: Final = "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567"
_REFERENCE_LENGTH: Final = 20
_NOT_PLAIN: Final = re.compile(r"[^A-Za-z0-9 -]+")
_MAX_TITLE: Final = 60
_LATE_PAYMENTS: Final = 10
_MAX_COMING: Final = 20
"""So many top-ups of one customer may be under way at once."""
TOKEN_DETAIL: Final = "kpg1_token"  # noqa: S105  # the name of a field
"""Where an attempt keeps the token of Khalti's older widget."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PaymentPolicy:
    """The settings of payments; see ``settings.PaymentSettings``."""

    unlock_fee: int
    top_up_min: int
    top_up_max: int
    wallet_max_balance: int


@dataclass(frozen=True, slots=True)
class PaymentView:
    """A payment and the attempt that is looked at; the attempt's id is the API's payment id."""

    payment: Payment
    attempt: Attempt

    @property
    def id(self) -> str:
        """What clients call it."""
        return attempt_id(self.payment, self.attempt)


@dataclass(frozen=True, slots=True)
class MethodOffer:
    """A way to pay that is open now."""

    method: PaymentMethod
    traits: GatewayTraits


class PaymentService:
    """The use cases of payments, for customers and staff."""

    def __init__(
        self,
        *,
        payments: PaymentRepository,
        settlement: Settlement,
        bookings: BookingService,
        pandits: PanditRepository,
        users: UserRepository,
        ledger: LedgerService,
        audit: AuditService,
        gateways: Gateways,
        frames: PaymentFrames,
        clock: Clock,
        ids: IdSource,
        policy: PaymentPolicy,
    ) -> None:
        self._payments = payments
        self._settlement = settlement
        self._bookings = bookings
        self._pandits = pandits
        self._users = users
        self._ledger = ledger
        self._audit = audit
        self._gateways = gateways
        self._frames = frames
        self._clock = clock
        self._ids = ids
        self._policy = policy

    # -- ways to pay ------------------------------------------------------------------------------

    def methods(self) -> tuple[MethodOffer, ...]:
        """The ways to pay that are open, in the order in which they are shown."""
        return tuple(
            MethodOffer(method, self._gateways[method].traits)
            for method in PaymentMethod
            if method in self._gateways
        )

    @property
    def form_origins(self) -> tuple[str, ...]:
        """The origins that pages must be allowed to post forms to."""
        return tuple(
            sorted({origin for offer in self.methods() for origin in offer.traits.form_origins})
        )

    @property
    def unlock_fee(self) -> int:
        """What an unlock costs, in paisa."""
        return self._policy.unlock_fee

    # -- beginning --------------------------------------------------------------------------------

    async def pay_booking(
        self,
        actor: Actor,
        booking_id: str,
        method: PaymentMethod,
        site_url: str,
        *,
        shown: int | None = None,
    ) -> PaymentView:
        """Begin to pay a booking of one's own: one attempt more, with what the browser has to do.

        ``site_url`` is where the provider sends the browser back to: scheme and host, no path.
        ``shown`` is the price in paisa that the payer has agreed to, where a page showed one.

        Raises
        ------
        NotFound, Forbidden
            If the booking is not the actor's own to pay.
        Invalid
            If the method is not open, or does not take that amount, or the price is not ``shown``.
        AlreadyPaid, IllegalTransition, TooManyAttempts
            If there is nothing to pay, or no more.
        GatewayDeclined, GatewayUnavailable, InsufficientBalance
            If the provider, or the wallet, does not take it.
        """
        booking = await self._bookings.get(actor, booking_id)
        if booking.user_id != actor.user_id:
            raise Forbidden
        self._require_method(method, booking.total_fee, booking.currency)
        await self._require_payable(booking_payment_id(booking_id), method)
        async with self._paying(actor, booking_id, method, shown) as booking:
            draft = booking_payment(booking, self._clock.now())
            return await self._begin(draft, method, site_url, booking.pay_by)

    async def pay_unlock(
        self, actor: Actor, pandit_id: str, method: PaymentMethod, site_url: str
    ) -> PaymentView:
        """Begin to pay for the chat with a pandit and his contact details, before any booking.

        Raises as :meth:`pay_booking` does; ``NotFound`` for a pandit who is not approved, or whose
        account is closed: nobody would answer.
        """
        if actor.role is not Role.USER:
            raise Forbidden
        pandit = await self._pandits.find(pandit_id)
        if pandit is None or pandit.user_id == actor.user_id:
            raise NotFound
        if not await self._bookings.may_answer(pandit):
            raise NotFound
        if method is PaymentMethod.CASH:
            raise Invalid(FieldFault("payment_method", "method-unavailable"))
        self._require_method(method, self._policy.unlock_fee, NPR)
        now = self._clock.now()
        draft = Payment(
            id=unlock_payment_id(actor.user_id, pandit.id),
            purpose=Purpose.UNLOCK,
            user_id=actor.user_id,
            title=f"Contact of {pandit.full_name}",
            title_ne=pandit.full_name_ne or pandit.full_name,
            pandit_id=pandit.id,
            pandit_user_id=pandit.user_id,
            pandit_name=pandit.full_name,
            amount=self._policy.unlock_fee,
            currency=NPR,
            created_at=now,
            updated_at=now,
        )
        return await self._begin(draft, method, site_url)

    async def top_up(
        self, actor: Actor, amount: int, method: PaymentMethod, site_url: str
    ) -> PaymentView:
        """Begin to pay into one's own wallet. ``amount`` is paisa, within the settings' bounds."""
        if actor.role is not Role.USER:
            raise Forbidden
        if method in (PaymentMethod.CASH, PaymentMethod.WALLET):
            raise Invalid(FieldFault("payment_method", "method-unavailable"))
        if amount < self._policy.top_up_min:
            least = in_rupees(self._policy.top_up_min)
            raise Invalid(FieldFault("amount", "least-amount", {"least": least}))
        if amount > self._policy.top_up_max:
            most = in_rupees(self._policy.top_up_max)
            raise Invalid(FieldFault("amount", "most-amount", {"most": most}))
        if fault := await self._wallet_fault(actor.user_id, amount):
            raise Invalid(FieldFault("amount", fault))
        self._require_method(method, amount, NPR)
        now = self._clock.now()
        draft = Payment(
            id=top_up_payment_id(self._ids.new()),
            purpose=Purpose.TOP_UP,
            user_id=actor.user_id,
            title="Wallet",
            title_ne="वालेट",
            amount=amount,
            currency=NPR,
            created_at=now,
            updated_at=now,
        )
        return await self._begin(draft, method, site_url)

    async def _wallet_fault(self, user_id: str, more: int = 0) -> str:
        """Why a top-up of so much ``more`` may not begin, if all comes that is on its way; or "".

        What nobody could decide for so long that it is given up counts no more: it would take its
        room for ever.
        """
        since = self._clock.now() - GIVE_UP_AFTER
        coming = await self._payments.list_coming_top_ups(user_id, since, _MAX_COMING + 1)
        if len(coming) + (more > 0) > _MAX_COMING:
            return "too-many-top-ups"
        # After them: what leaves the list meanwhile stands in the balance, never in neither.
        balance = await self._ledger.wallet_balance(user_id)
        held = balance + sum(each.amount for each in coming) + more
        return "wallet-full" if held > self._policy.wallet_max_balance else ""

    async def _require_wallet_room(self, payment: Payment, number: int) -> None:
        """Give up a top-up for which there is no room, before its payer is sent anywhere.

        It is stored by now, so of several that begin at once each sees the others.
        """
        fault = await self._wallet_fault(payment.user_id)
        if not fault:
            return
        await self._settlement.change(
            payment.id,
            lambda found: rules.not_started(found, number, fault, self._clock.now()),
        )
        raise Invalid(FieldFault("amount", fault))

    async def pay_by_token(
        self, actor: Actor, booking_id: str, token: str, amount: int
    ) -> PaymentView:
        """Take a payment that Khalti's older widget has made in the browser: verify its token.

        A token pays once, and only for the amount that is due. Raises as :meth:`pay_booking` does.
        """
        method = PaymentMethod.KHALTI
        booking = await self._bookings.get(actor, booking_id)
        if booking.user_id != actor.user_id:
            raise Forbidden
        gateway = self._gateways.get(method)
        if gateway is None or not gateway.traits.accepts_tokens:
            raise Invalid(FieldFault("token", "method-unavailable"))
        if amount != booking.total_fee:
            raise Invalid(FieldFault("amount", "not-the-amount"))
        self._require_method(method, booking.total_fee, booking.currency)
        gateway_id = f"kpg1-{token}"
        known = await self._payments.find_by_gateway_id(method, gateway_id)
        if known is not None:
            # Sent again, or sent for another booking: the first one has it.
            if known.user_id != actor.user_id or known.booking_id != booking_id:
                raise ProofReused
            attempt = next(each for each in known.attempts if each.gateway_id == gateway_id)
            return self._view(
                await self._settlement.ask(known.id, attempt.number, "token"), attempt.number
            )
        await self._require_payable(booking_payment_id(booking_id), method)
        given = StartedPayment(
            action=PaymentAction(kind=ActionKind.NONE), details={TOKEN_DETAIL: token}
        )
        reference = new_reference()
        async with self._paying(actor, booking_id, method) as booking:

            def apply(found: Payment) -> Payment:
                now = self._clock.now()
                added = rules.with_attempt(
                    found, reference=reference, method=method, now=now, pay_by=booking.pay_by
                )
                number = added.by_reference(reference).number
                # In one write: the unique key decides who may use the token.
                return rules.started(added, number, replace(given, gateway_id=gateway_id), now)

            draft = booking_payment(booking, self._clock.now())
            payment = await self._settlement.add(draft, apply)
        number = payment.by_reference(reference).number
        return self._view(await self._settlement.ask(payment.id, number, "token"), number)

    @asynccontextmanager
    async def _paying(
        self, actor: Actor, booking_id: str, method: PaymentMethod, shown: int | None = None
    ) -> AsyncIterator[Booking]:
        """The booking, with its price standing, while an attempt to pay it is begun.

        Where that comes to nothing the booking is what it was: nobody's time to answer, or to pay,
        hangs on a payment that there is not.
        """
        before, booking = await self._bookings.begin_payment(actor, booking_id, method, shown=shown)
        try:
            yield booking
        except DomainError:
            payment = await self._payments.find(booking_payment_id(booking_id))
            is_open = payment is not None and payment.has_open_prepayment
            with suppress(NotFound, ConcurrentChange):
                await self._bookings.take_payment_back(before, method, is_open=is_open)
            raise
        await self._bookings.pass_on_if_due(booking)

    async def _begin(
        self,
        draft: Payment,
        method: PaymentMethod,
        site_url: str,
        pay_by: datetime | None = None,
    ) -> PaymentView:
        reference = new_reference()

        def apply(found: Payment) -> Payment:
            now = self._clock.now()
            waiting = open_cash(found)
            if method is PaymentMethod.CASH and waiting is not None:
                # With none left the sum is put right when the cash is taken.
                if waiting.amount == found.amount or not rules.has_attempt_left(found):
                    return found
                found = rules.given_up(found, waiting.number, "superseded", now)
            return rules.with_attempt(
                found, reference=reference, method=method, now=now, pay_by=pay_by
            )

        payment = await self._settlement.add(draft, apply)
        if method is PaymentMethod.CASH:
            waiting = open_cash(payment)
            return PaymentView(payment, waiting or payment.attempts[-1])
        number = payment.by_reference(reference).number
        if payment.purpose is Purpose.TOP_UP:
            await self._require_wallet_room(payment, number)
        payment = await self._start(payment, number, site_url)
        attempt = payment.attempt(number)
        if attempt.action is not None and attempt.action.kind is ActionKind.NONE:
            payment = await self._settlement.ask(payment.id, number, "start")
        return self._view(payment, number)

    async def _start(self, payment: Payment, number: int, site_url: str) -> Payment:
        """Make the attempt known to its gateway; it is stored already, whatever happens now."""
        attempt = payment.attempt(number)
        order = await self._order(payment, attempt, site_url)
        try:
            given = await self._gateways[attempt.method].start(order)
        except (GatewayDeclined, GatewayUnavailable, InsufficientBalance) as error:
            code = error.code
            await self._settlement.change(
                payment.id,
                lambda found: rules.not_started(found, number, code, self._clock.now()),
            )
            raise
        return await self._settlement.change(
            payment.id, lambda found: rules.started(found, number, given, self._clock.now())
        )

    async def _order(self, payment: Payment, attempt: Attempt, site_url: str) -> PaymentOrder:
        payer = await self._users.find(payment.user_id)
        back = f"{site_url}/api/payments/{attempt.method}/return/{attempt.reference}/"
        return PaymentOrder(
            reference=attempt.reference,
            amount=attempt.amount,
            currency=attempt.currency,
            title=_plain(payment.title),
            note=_plain(payment.purpose.value.capitalize().replace("_", " ")),
            return_url=back,
            cancel_url=f"{back}cancelled/",
            website_url=f"{site_url}/",
            created_at=attempt.created_at,
            payer_id=payment.user_id,
            customer_name=payer.full_name if payer else "",
            customer_email=(payer.email or "") if payer else "",
            customer_phone=payer.phone_number if payer else "",
        )

    def _require_method(self, method: PaymentMethod, amount: int, currency: str) -> None:
        gateway = self._gateways.get(method)
        if gateway is None or currency not in gateway.traits.currencies:
            raise Invalid(FieldFault("payment_method", "method-unavailable"))
        if amount < gateway.traits.min_amount:
            raise Invalid(FieldFault("payment_method", "below-minimum"))
        if gateway.traits.max_amount is not None and amount > gateway.traits.max_amount:
            raise Invalid(FieldFault("payment_method", "above-maximum"))

    async def _require_payable(self, payment_id: str, method: PaymentMethod) -> None:
        found = await self._payments.find(payment_id)
        if found is None:
            return
        if found.captured is not None:
            raise AlreadyPaid
        if method is not PaymentMethod.CASH:
            rules.require_attempt_left(found)

    # -- reading ----------------------------------------------------------------------------------

    async def get(self, actor: Actor, public_id: str) -> PaymentView:
        """One payment, for its payer and for staff. Raises ``NotFound`` for everybody else.

        ``public_id`` is an attempt's, or that of the payment as a whole.
        """
        payment_id, number = split_id(public_id)
        payment = await self._settlement.load(payment_id)
        if not actor.is_admin and payment.user_id != actor.user_id:
            raise NotFound
        main = payment.main
        if number is None and main is None:
            raise NotFound
        return self._view(payment, main.number if number is None and main else number or 0)

    async def of_booking(self, actor: Actor, booking_id: str) -> Payment | None:
        """The payment of a booking, for its payer and for staff; None before there is one."""
        payment = await self._payments.find(booking_payment_id(booking_id))
        if payment is None or not (actor.is_admin or payment.user_id == actor.user_id):
            return None
        return payment

    async def invoice(self, actor: Actor, booking_id: str) -> tuple[Booking, Payment | None]:
        """A booking with its payment, for its parties and for staff. Raises ``NotFound`` else."""
        booking = await self._bookings.get(actor, booking_id)
        return booking, await self._payments.find(booking_payment_id(booking_id))

    async def list_own(self, actor: Actor, *, limit: int, after: SortKey | None) -> Page[Payment]:
        """The actor's own payments, newest first."""
        return await self._payments.list_page(
            PaymentFilter(user_id=actor.user_id, limit=limit, after=after)
        )

    async def list_all(self, wanted: PaymentFilter) -> Page[Payment]:
        """Everybody's payments; for staff."""
        return await self._payments.list_page(wanted)

    async def find_exactly(self, text: str) -> Payment | None:
        """The payment that a text names: by its id, an attempt's, its booking's or a reference."""
        payment_id, _ = split_id(text)
        named = await self._payments.find_many({payment_id, booking_payment_id(text)})
        for found in named.values():
            return found
        return await self._payments.find_by_reference(text)

    async def is_unlocked(self, user_id: str, pandit_id: str) -> bool:
        """Whether a customer has paid for a pandit's chat and contact details."""
        found = await self._payments.find(unlock_payment_id(user_id, pandit_id))
        return found is not None and found.is_confirmed

    async def frames_of(self, actor: Actor, public_id: str | None = None) -> list[bytes]:
        """Where the actor's payments stand, as frames: one of them, or those of late.

        Raises ``NotFound`` for one that is not his.
        """
        if public_id is not None:
            view = await self.get(actor, public_id)
            return [self._frames.payment(view.payment, view.attempt)]
        page = await self.list_own(actor, limit=_LATE_PAYMENTS, after=None)
        return [
            self._frames.payment(payment, payment.main)
            for payment in page.rows
            if payment.main is not None
        ]

    # -- coming back ------------------------------------------------------------------------------

    async def came_back(
        self, method: PaymentMethod, reference: str, query: Mapping[str, str]
    ) -> PaymentView:
        """The browser is back from the provider: keep what it says, and ask the provider itself.

        Raises
        ------
        NotFound
            If there is no such attempt of that method.
        ForgedCallback, Malformed
            If what it brings is not the provider's; the payment stands as it stood.
        """
        payment = await self._payments.find_by_reference(reference)
        if payment is None:
            raise NotFound
        attempt = payment.by_reference(reference)
        gateway = self._gateways.get(method)
        if attempt.method is not method or gateway is None:
            raise NotFound
        hint = gateway.read_return(attempt.facts, query)
        payment = await self._returned(payment, attempt.number, hint)
        if not payment.attempt(attempt.number).is_open and attempt.status in PAID:
            return self._view(payment, attempt.number)
        return self._view(
            await self._settlement.ask(payment.id, attempt.number, "return"), attempt.number
        )

    async def _returned(self, payment: Payment, number: int, hint: ReturnHint) -> Payment:
        return await self._settlement.change(
            payment.id, lambda found: rules.came_back(found, number, hint, self._clock.now())
        )

    async def find_attempt(self, method: PaymentMethod, reference: str) -> PaymentView:
        """The attempt of that reference, for one who knows it. Raises ``NotFound``."""
        payment = await self._payments.find_by_reference(reference)
        if payment is None:
            raise NotFound
        attempt = payment.by_reference(reference)
        if attempt.method is not method:
            raise NotFound
        return PaymentView(payment, attempt)

    async def find_by_gateway_id(self, method: PaymentMethod, gateway_id: str) -> PaymentView:
        """The attempt that the provider calls so. Raises ``NotFound``."""
        payment = await self._payments.find_by_gateway_id(method, gateway_id)
        for attempt in payment.attempts if payment else ():
            if payment and (attempt.method, attempt.gateway_id) == (method, gateway_id):
                return PaymentView(payment, attempt)
        raise NotFound

    async def find_by_transaction(self, method: PaymentMethod, transaction_id: str) -> PaymentView:
        """The attempt that a movement of the provider's money belongs to. Raises ``NotFound``."""
        payment = await self._payments.find_by_transaction(method, transaction_id)
        for attempt in payment.attempts if payment else ():
            if payment and (attempt.method, attempt.transaction_id) == (method, transaction_id):
                return PaymentView(payment, attempt)
        raise NotFound

    # -- cash -------------------------------------------------------------------------------------

    async def collect_cash(self, actor: Actor, public_id: str, amount: int) -> PaymentView:
        """The pandit of the booking, or staff, says that the cash was handed over, and how much.

        What staff say is on record. Raises ``NotFound`` for others, ``Invalid`` for more than was
        due, ``IllegalTransition`` before the puja was held, ``Conflict`` for an attempt of a price
        that is no longer due.
        """
        payment_id, number = split_id(public_id)
        payment = await self._settlement.load(payment_id)
        if not actor.is_admin and actor.user_id != payment.pandit_user_id:
            raise NotFound
        attempt = payment.attempt(number) if number else open_cash(payment)
        if attempt is None or attempt.method is not PaymentMethod.CASH:
            raise NotFound
        due = payment.amount
        if payment.booking_id is not None:
            booking = await self._bookings.get(actor, payment.booking_id)
            if booking.completed_at is None:
                raise IllegalTransition(booking.status)
            due = booking.total_fee
        chosen = attempt.number
        async with self._audit.recording(
            actor,
            Act.CASH_RECORDED,
            "payment",
            self._view(payment, chosen).id,
            amount=str(amount),
        ) as more:
            payment = await self._settlement.change(
                payment_id,
                lambda found: rules.cash_collected(
                    rules.due_now(found, due), chosen, amount, actor.user_id, self._clock.now()
                ),
            )
            more["status"] = payment.attempt(chosen).status
        return self._view(payment, chosen)

    async def check(self, actor: Actor, public_id: str) -> PaymentView:
        """Ask the provider again for its payer. Raises ``NotFound`` for everybody else."""
        view = await self.get(actor, public_id)
        if view.payment.user_id != actor.user_id:
            raise NotFound
        if not view.attempt.is_open or view.attempt.method is PaymentMethod.CASH:
            return view
        payment = await self._settlement.ask(view.payment.id, view.attempt.number, "payer")
        return self._view(payment, view.attempt.number)

    async def dispute(self, actor: Actor, public_id: str, text: str) -> PaymentView:
        """The customer says that something is wrong with it: a person looks."""
        view = await self.get(actor, public_id)
        if view.payment.user_id != actor.user_id:
            raise Forbidden
        payment = await self._settlement.change(
            view.payment.id,
            lambda found: (
                changes.review(
                    found, view.attempt.number, ReviewReason.DISPUTED, text, self._clock.now()
                )
                if found.attempt(view.attempt.number).status is not PaymentStatus.PENDING
                else found
            ),
        )
        return self._view(payment, view.attempt.number)

    # -- staff ------------------------------------------------------------------------------------

    async def refund(
        self,
        actor: Actor,
        public_id: str,
        *,
        amount: int | None,
        note: str,
        to: RefundTo = RefundTo.ORIGINAL,
    ) -> PaymentView:
        """Give money back, all that is left or a part; staff alone. Raises ``RefundRefused``."""
        self._require_staff(actor)
        view = await self.get(actor, public_id)
        number = view.attempt.number

        def apply(found: Payment) -> Payment:
            attempt = found.attempt(number)
            wanted = attempt.amount - attempt.committed if amount is None else amount
            return refunds.refund_asked(
                found,
                number,
                wanted,
                reason="staff",
                by=actor.user_id,
                to=to,
                note=note,
                now=self._clock.now(),
            )

        left = view.attempt.amount - view.attempt.committed
        async with self._audit.recording(
            actor,
            Act.REFUND_MADE,
            "payment",
            view.id,
            amount=str(left if amount is None else amount),
            note=note,
        ) as more:
            payment = await self._settlement.change(view.payment.id, apply)
            more["amount"] = str(payment.attempt(number).refunds[-1].amount)
        return self._view(payment, number)

    async def settle_refund(
        self, actor: Actor, public_id: str, refund_id: str, *, is_done: bool, note: str
    ) -> PaymentView:
        """Staff say what became of a refund that they made by hand in the provider's panel.

        Raises ``Conflict`` unless it waits for them: of two who say something the first decides.
        """
        self._require_staff(actor)
        view = await self.get(actor, public_id)
        number = view.attempt.number
        state = RefundState.DONE if is_done else RefundState.FAILED
        async with self._audit.recording(
            actor, Act.REFUND_MADE, "payment", view.id, refund=refund_id, state=state, note=note
        ):
            payment = await self._settlement.change(
                view.payment.id,
                lambda found: refunds.refund_settled(
                    found, number, refund_id, is_done=is_done, note=note, now=self._clock.now()
                ),
            )
        return self._view(payment, number)

    async def resolve(self, actor: Actor, public_id: str, note: str) -> PaymentView:
        """Staff have looked at what needed it."""
        self._require_staff(actor)
        view = await self.get(actor, public_id)
        number = view.attempt.number
        async with self._audit.recording(
            actor, Act.PAYMENT_REVIEWED, "payment", view.id, note=note
        ):
            payment = await self._settlement.change(
                view.payment.id,
                lambda found: changes.resolved(
                    found, number, actor.user_id, note, self._clock.now()
                ),
            )
        return self._view(payment, number)

    async def recheck(self, actor: Actor, public_id: str) -> PaymentView:
        """Staff have the provider asked again, now."""
        self._require_staff(actor)
        view = await self.get(actor, public_id)
        async with self._audit.recording(
            actor, Act.PAYMENT_REVIEWED, "payment", view.id, note="asked"
        ):
            payment = await self._settlement.ask(view.payment.id, view.attempt.number, "staff")
        return self._view(payment, view.attempt.number)

    @staticmethod
    def _require_staff(actor: Actor) -> None:
        if not actor.is_admin:
            raise Forbidden

    @staticmethod
    def _view(payment: Payment, number: int) -> PaymentView:
        return PaymentView(payment, payment.attempt(number))


def new_reference() -> str:
    """A reference that nobody can guess: 20 characters of 5 bits each, fit for every provider."""
    return "".join(secrets.choice(_ALPHABET) for _ in range(_REFERENCE_LENGTH))


def booking_payment(booking: Booking, now: datetime) -> Payment:
    """What a booking owes, before anybody has tried to pay it."""
    return Payment(
        id=booking_payment_id(booking.id),
        purpose=Purpose.BOOKING,
        user_id=booking.user_id,
        title=booking.service_name,
        title_ne=booking.service_name_ne,
        booking_id=booking.id,
        pandit_id=booking.pandit_id,
        pandit_user_id=booking.pandit_user_id,
        pandit_name=booking.pandit_name,
        amount=booking.total_fee,
        currency=booking.currency,
        pay_by=booking.pay_by,
        created_at=now,
        updated_at=now,
    )


def _plain(text: str) -> str:
    """Letters, digits, blanks and hyphens of it, which every provider takes."""
    plain = " ".join(_NOT_PLAIN.sub(" ", text).split())[:_MAX_TITLE].strip()
    return plain or "PanditYatra"
