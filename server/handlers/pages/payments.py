"""Paying: choosing a way, going there, waiting for the outcome, and what is left on paper."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from typing import Final

import segno

from server.documents.invoices import Clerk
from server.domain import ledger
from server.domain.account import Role
from server.domain.booking import Booking, BookingStatus, PaymentMethod
from server.domain.errors import FieldFault, Forbidden, Invalid, NotFound
from server.domain.gateway import ActionKind
from server.domain.ledger import EntryKind, LedgerEntry
from server.domain.money import NPR
from server.domain.payment import PAID, Purpose
from server.handlers.base import ANYONE, CUSTOMER, PANDIT
from server.handlers.invoices import receipt_of
from server.handlers.page_base import Form
from server.handlers.pages.base import Page
from server.handlers.routing import Route
from server.schemas.base import PageQuery
from server.schemas.bookings import present_booking
from server.schemas.payments import (
    NoteRequest,
    PayoutRequest,
    PayRequest,
    TopUpRequest,
    UnlockRequest,
    present_account_entry,
    present_payment,
    present_payout,
)
from server.services.payments import MethodOffer, PaymentView

_PAISA: Final = 100
_MOST: Final = Decimal(10**9)
_PAYERS: Final = CUSTOMER | frozenset({Role.ADMIN})
_AWAY: Final = frozenset({503})
_PAYABLE: Final = (BookingStatus.PENDING, BookingStatus.ACCEPTED, BookingStatus.IN_PROGRESS)
_TOP_UPS: Final = (50_000, 100_000, 200_000)


@dataclass(frozen=True, slots=True)
class Origin:
    """What an entry of a pandit's account comes from, and what it is made of.

    ``cash`` is what he took himself, ``fee`` what the family paid him, ``commission`` our part of
    that, ``payout`` what left; each in paisa, 0 where the entry has none.
    """

    puja: str
    customer: str
    cash: int
    fee: int
    commission: int
    payout: int


@dataclass(frozen=True, slots=True)
class Choice:
    """A way to pay as a form offers it. ``fault`` says why it cannot be chosen."""

    offer: MethodOffer
    fault: str = ""


class Checkout(Page):
    """For pages on which somebody chooses how to pay."""

    told_on_the_form = Page.told_on_the_form | _AWAY

    async def choices(self, amount: int, purpose: Purpose, balance: int) -> list[Choice]:
        """The ways to pay that sum, with the reason beside those that do not take it."""
        found = []
        for offer in self.services.payments.methods():
            is_ours = offer.method in (PaymentMethod.CASH, PaymentMethod.WALLET)
            is_cash = offer.method is PaymentMethod.CASH
            if (is_cash and purpose is not Purpose.BOOKING) or (
                is_ours and purpose is Purpose.TOP_UP
            ):
                continue
            if NPR in offer.traits.currencies:
                found.append(Choice(offer, self._fault(offer, amount, balance)))
        return found

    def _fault(self, offer: MethodOffer, amount: int, balance: int) -> str:
        traits, price = offer.traits, self.formatter.price
        if offer.method is PaymentMethod.WALLET and amount > balance:
            return self.translate("There is only {price} in it.", price=price(balance))
        if amount and amount < traits.min_amount:
            return self.translate("Only from {price} on.", price=price(traits.min_amount))
        if traits.max_amount is not None and amount > traits.max_amount:
            return self.translate("Only up to {price}.", price=price(traits.max_amount))
        return ""

    async def balance(self) -> int:
        """What is in the person's wallet."""
        return await self.services.ledger.wallet_balance(self.person.user_id)

    @staticmethod
    def way_on(view: PaymentView) -> str:
        """Where a payment goes on that has been begun."""
        action = view.attempt.action
        leaves = view.attempt.is_open and action is not None and action.kind is not ActionKind.NONE
        return f"/payments/{view.id}/go/" if leaves else f"/payments/{view.id}/"

    def qr(self, text: str) -> str:
        """A QR code as the source of a picture."""
        return str(segno.make(text, error="m", micro=False).svg_data_uri(scale=4, border=4))


class PayPage(Checkout):
    """The payment step of a booking."""

    roles = CUSTOMER
    section = "bookings"

    async def get(self, booking_id: str) -> None:
        """Show the price, the policy, and the ways to pay."""
        chosen = self.get_query_argument("payment_method", "")
        await self._show(booking_id, Form({"payment_method": chosen}))

    async def post(self, booking_id: str) -> None:
        """Begin to pay and go where it is paid."""
        await self.submit(lambda: self._pay(booking_id), lambda form: self._show(booking_id, form))

    async def _pay(self, booking_id: str) -> str:
        await self.limit("pay")
        body = self.read(PayRequest, booking_id=booking_id)
        view = await self.services.payments.pay_booking(
            self.person,
            body.booking_id,
            body.payment_method,
            self.site_url,
            shown=body.amount,
        )
        return self.way_on(view)

    async def _show(self, booking_id: str, form: Form) -> None:
        booking = await self.services.bookings.get(self.person, booking_id)
        if booking.user_id != self.person.user_id:
            raise Forbidden
        payment = await self.services.payments.of_booking(self.person, booking_id)
        balance = await self.balance()
        link = f"{self.site_url}/bookings/{booking_id}/pay/"
        await self.show(
            "payments/pay.html",
            title=self.translate("Pay your booking"),
            form=form,
            booking=present_booking(booking, self.person, self.reader),
            is_payable=may_pay(booking),
            is_paid=payment is not None and payment.captured is not None,
            choices=await self.choices(booking.total_fee, Purpose.BOOKING, balance),
            chosen=form.values.get("payment_method") or booking.payment_method,
            balance=balance,
            link=link,
            qr=self.qr(link),
        )


class GoPage(Page):
    """From here to the payment service: by itself, or by a button without script."""

    roles = CUSTOMER

    async def get(self, payment_id: str) -> None:
        """Send the browser there; what is over goes back to its own page."""
        view = await self.services.payments.get(self.person, payment_id)
        attempt, action = view.attempt, view.attempt.action
        if not attempt.is_open or action is None or action.kind is ActionKind.NONE:
            self.go(f"/payments/{view.id}/")
            return
        if action.kind is ActionKind.FORM:
            self._allow_forms_to(attempt.method)
        await self.show(
            "payments/go.html",
            title=self.translate("On to {method}", method=self.labels.method(attempt.method)),
            payment=present_payment(view.payment, attempt, self.reader),
            action=action,
        )

    def _allow_forms_to(self, method: PaymentMethod) -> None:
        """Let this page, and no other, post its form to that one service."""
        origins = next(
            (
                offer.traits.form_origins
                for offer in self.services.payments.methods()
                if offer.method is method
            ),
            (),
        )
        name = "Content-Security-Policy"
        policy = str(self.application.settings["security_headers"][name])
        self.set_header(
            name,
            policy.replace("form-action 'self'", " ".join(("form-action", "'self'", *origins))),
        )


class PaymentPage(Checkout):
    """Where a payment stands: waiting, paid, failed, looked at by a person."""

    roles = _PAYERS
    section = "bookings"

    async def get(self, payment_id: str) -> None:
        """Show it."""
        view = await self.services.payments.get(self.person, payment_id)
        attempt = view.attempt
        shown = present_payment(view.payment, attempt, self.reader)
        # Only what a phone can open by itself: a form cannot be scanned.
        link = shown.action.url if shown.action.kind is ActionKind.REDIRECT else ""
        await self.show(
            "payments/payment.html",
            title=self.translate("Your payment"),
            payment=shown,
            whole=view.payment,
            subject=self._subject(view),
            again=_again(view),
            is_waiting=attempt.is_open and attempt.method is not PaymentMethod.CASH,
            is_paid=attempt.status in PAID,
            is_own=view.payment.user_id == self.person.user_id,
            link=link,
            qr=self.qr(link) if link else "",
        )

    def _subject(self, view: PaymentView) -> str:
        payment = view.payment
        if payment.purpose is Purpose.BOOKING:
            return self.local_name(payment, "title")
        name = self.labels.purpose(payment.purpose)
        return f"{name}: {payment.pandit_name}" if payment.pandit_name else name


class PaymentMovePage(Page):
    """A button of a payment: ask the service again, or tell us of a problem."""

    roles = CUSTOMER

    async def post(self, payment_id: str, move: str) -> None:
        """Do it and go back."""
        back = f"/payments/{payment_id}/"

        async def check() -> str:
            await self.limit("pay")
            view = await self.services.payments.check(self.person, payment_id)
            if view.attempt.is_open:
                self.flash("info", self.translate("The payment service has not decided yet."))
            return back

        async def dispute() -> str:
            note = self.read(NoteRequest).note
            await self.services.payments.dispute(self.person, payment_id, note)
            self.flash("good", self.translate("Thank you. A person of our team will look at it."))
            return back

        moves = {"check": check, "dispute": dispute}
        if move not in moves:
            raise NotFound
        await self.do(moves[move], back)


class PaymentsPage(Page):
    """What one has paid, and tried to pay."""

    roles = CUSTOMER
    section = "account"

    async def get(self) -> None:
        """Show it, the latest first."""
        query = self.filters(PageQuery)
        page = await self.services.payments.list_own(
            self.person, limit=query.limit, after=self.after(query.cursor)
        )
        following = self.cursor(page.next_key)
        await self.show(
            "payments/payments.html",
            title=self.translate("Your payments"),
            rows=[
                (row, present_payment(row, row.main, self.reader))
                for row in page.rows
                if row.main is not None
            ],
            following=following and self.here(cursor=following),
        )


class WalletPage(Checkout):
    """The wallet: what is in it, what moved, and paying into it."""

    roles = CUSTOMER
    section = "account"

    async def get(self) -> None:
        """Show it."""
        await self._show(Form())

    async def post(self) -> None:
        """Begin to pay into it."""
        await self.submit(self._top_up, self._show)

    async def _top_up(self) -> str:
        await self.limit("pay")
        body = self.read(TopUpRequest, amount=paisa(self.typed.get("amount", "")))
        view = await self.services.payments.top_up(
            self.person, body.amount, body.payment_method, self.site_url
        )
        return self.way_on(view)

    async def _show(self, form: Form) -> None:
        query = self.filters(PageQuery)
        page = await self.services.ledger.wallet_entries(
            self.person.user_id, limit=query.limit, after=self.after(query.cursor)
        )
        following = self.cursor(page.next_key)
        account = ledger.wallet(self.person.user_id)
        await self.show(
            "payments/wallet.html",
            title=self.translate("Your wallet"),
            form=form,
            balance=await self.balance(),
            choices=await self.choices(0, Purpose.TOP_UP, 0),
            sums=_TOP_UPS,
            entries=[present_account_entry(row, account, self.reader) for row in page.rows],
            following=following and self.here(cursor=following),
        )


class UnlockPage(Checkout):
    """Chat and contact details of a pandit before any booking, for a small fee."""

    roles = CUSTOMER
    section = "pandits"

    async def get(self, pandit_id: str) -> None:
        """Show what it costs and the ways to pay."""
        await self._show(pandit_id, Form())

    async def post(self, pandit_id: str) -> None:
        """Begin to pay."""
        await self.submit(lambda: self._pay(pandit_id), lambda form: self._show(pandit_id, form))

    async def _pay(self, pandit_id: str) -> str:
        await self.limit("pay")
        body = self.read(UnlockRequest, pandit_id=pandit_id)
        view = await self.services.payments.pay_unlock(
            self.person, body.pandit_id, body.payment_method, self.site_url
        )
        return self.way_on(view)

    async def _show(self, pandit_id: str, form: Form) -> None:
        profile = await self.services.pandits.profile(self.person, pandit_id)
        payments = self.services.payments
        balance = await self.balance()
        await self.show(
            "payments/unlock.html",
            title=self.translate(
                "Write to {pandit}", pandit=self.local_name(profile.pandit, "full_name")
            ),
            form=form,
            pandit=profile.pandit,
            fee=payments.unlock_fee,
            is_unlocked=await payments.is_unlocked(self.person.user_id, pandit_id),
            choices=await self.choices(payments.unlock_fee, Purpose.UNLOCK, balance),
            chosen=form.values.get("payment_method", ""),
            balance=balance,
        )


class EarningsPage(Page):
    """What a pandit has earned, and asking to be paid it."""

    roles = PANDIT
    section = "account"

    async def get(self) -> None:
        """Show it."""
        await self._show(Form())

    async def post(self) -> None:
        """Ask for a payout."""
        await self.submit(self._ask, self._show)

    async def _ask(self) -> str:
        body = self.read(PayoutRequest, amount=paisa(self.typed.get("amount", "")))
        await self.services.payouts.ask(self.person, body.amount, body.destination)
        self.flash("good", self.translate("We have noted it and will pay it to you."))
        return "/pandit/earnings/"

    async def _show(self, form: Form) -> None:
        query = self.filters(PageQuery)
        entries = await self.services.ledger.pandit_entries(
            self.person.user_id, limit=query.limit, after=self.after(query.cursor)
        )
        payouts = await self.services.payouts.list_own(self.person, limit=5, after=None)
        following = self.cursor(entries.next_key)
        account = ledger.pandit(self.person.user_id)
        await self.show(
            "payments/earnings.html",
            title=self.translate("Your earnings"),
            form=form,
            earnings=await self.services.payouts.earnings(self.person),
            entries=[present_account_entry(row, account, self.reader) for row in entries.rows],
            origins=await self._origins(entries.rows),
            payouts=[present_payout(row, self.reader) for row in payouts.rows],
            following=following and self.here(cursor=following),
        )

    async def _origins(self, entries: Sequence[LedgerEntry]) -> dict[str, Origin]:
        """Of each entry, by its id, where it comes from."""
        named = {entry.refs["booking_id"] for entry in entries if "booking_id" in entry.refs}
        bookings = await self.services.bookings.held_each(self.person, named)
        return {
            entry.cause: self._origin(entry, bookings.get(entry.refs.get("booking_id", "")))
            for entry in entries
        }

    def _origin(self, entry: LedgerEntry, booking: Booking | None) -> Origin:
        def moved(account: str) -> int:
            return sum(each.amount for each in entry.postings if each.account == account)

        me, is_earning = self.person.user_id, entry.kind is EntryKind.EARNING
        is_paid = entry.kind is EntryKind.PAYOUT_PAID
        return Origin(
            puja=self.local_name(booking, "service_name") if booking else "",
            customer=booking.customer_name.partition(" ")[0] if booking else "",
            cash=moved(ledger.cash(me)) if entry.kind is EntryKind.CAPTURE else 0,
            fee=moved(ledger.customer(booking.user_id)) if booking and is_earning else 0,
            commission=-moved(ledger.COMMISSION) if is_earning else 0,
            payout=moved(ledger.payouts(me)) if is_paid else 0,
        )


class InvoicePage(Page):
    """A booking's invoice, to read and to print."""

    roles = ANYONE
    section = "bookings"

    async def get(self, booking_id: str) -> None:
        """Show it."""
        booking, payment = await self.services.payments.invoice(self.person, booking_id)
        link = f"{self.site_url}/bookings/{booking_id}/"
        clerk = Clerk(self.services.translations, self.formatter)
        await self.show(
            "payments/sheet.html",
            title=self.translate("Invoice"),
            sheet=clerk.invoice(booking, payment, link),
            pdf=f"/api/bookings/{booking_id}/invoice.pdf",
            back=f"/bookings/{booking_id}/",
            qr=segno.make(link, error="m", micro=False).svg_data_uri(scale=3, border=4),
        )


class ReceiptPage(Page):
    """The receipt of a payment."""

    roles = _PAYERS
    section = "account"

    async def get(self, payment_id: str) -> None:
        """Show it; what is not paid has none."""
        view = await self.services.payments.get(self.person, payment_id)
        link = f"{self.site_url}/payments/{view.id}/"
        await self.show(
            "payments/sheet.html",
            title=self.translate("Receipt"),
            sheet=receipt_of(self, view, link),
            pdf=f"/api/payments/{view.id}/receipt.pdf",
            back=f"/payments/{view.id}/",
            qr=segno.make(link, error="m", micro=False).svg_data_uri(scale=3, border=4),
        )


def may_pay(booking: Booking) -> bool:
    """Whether there is something that its customer can pay now."""
    return booking.status in _PAYABLE and booking.payment_status not in PAID


def paisa(rupees: str) -> str:
    """Paisa of an amount typed in rupees; what is none stays, for the wire type to refuse."""
    try:
        amount = Decimal(rupees.replace(",", ""))
    except InvalidOperation:
        return rupees
    if not amount.is_finite() or abs(amount) > _MOST:
        raise Invalid(FieldFault("amount", "above-maximum"))
    return f"{(amount * _PAISA).normalize():f}"


def _again(view: PaymentView) -> str:
    """Where the same thing can be paid another way."""
    payment = view.payment
    if payment.purpose is Purpose.BOOKING:
        return f"/bookings/{payment.booking_id}/pay/"
    if payment.purpose is Purpose.UNLOCK:
        return f"/pandits/{payment.pandit_id}/unlock/"
    return "/wallet/"


ROUTES: Final = (
    Route("/payments/", PaymentsPage, "page-payments"),
    Route("/payments/{id}/", PaymentPage, "page-payment"),
    Route("/payments/{id}/go/", GoPage, "page-payment-go"),
    Route("/payments/{id}/receipt/", ReceiptPage, "page-receipt"),
    Route("/payments/{id}/{move}/", PaymentMovePage, "page-payment-move"),
    Route("/wallet/", WalletPage, "page-wallet"),
    Route("/pandits/{id}/unlock/", UnlockPage, "page-unlock"),
    Route("/pandit/earnings/", EarningsPage, "page-earnings"),
    Route("/bookings/{id}/pay/", PayPage, "page-pay"),
    Route("/bookings/{id}/invoice/", InvoicePage, "page-invoice"),
)
