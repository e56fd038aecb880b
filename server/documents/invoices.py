"""What invoices and receipts say, in both languages at once: the page and the PDF alike.

Labels stand in the reader's language with the other one beside it; amounts are the booking's and
the payment's own, never computed anew. Nobody's phone number, e-mail or street stands on a sheet:
it is handed around, and contact details are shown to the parties alone, on the booking's page.
"""

from __future__ import annotations

from typing import Final

from server.documents.sheet import Sheet, SheetTable, Sum
from server.domain.booking import Booking, PaymentMethod, PaymentStatus, SamagriLine
from server.domain.gateway import RefundState
from server.domain.payment import PAID, Attempt, Payment, Purpose, attempt_id
from server.domain.ports.world import Translator
from server.domain.texts import N_
from server.i18n import Formatter, unit_text

_ISSUER: Final = "PanditYatra"
METHODS: Final = {
    PaymentMethod.KHALTI: N_("Khalti"),
    PaymentMethod.ESEWA: N_("eSewa"),
    PaymentMethod.CONNECT_IPS: N_("connectIPS"),
    PaymentMethod.IME_PAY: N_("IME Pay"),
    PaymentMethod.STRIPE: N_("Card (Stripe)"),
    PaymentMethod.CASH: N_("Cash"),
    PaymentMethod.WALLET: N_("Wallet"),
}
"""What ways to pay are called."""
_STATES: Final = {
    PaymentStatus.PENDING: N_("Not paid yet"),
    PaymentStatus.PROCESSING: N_("Payment under way"),
    PaymentStatus.COMPLETED: N_("Paid"),
    PaymentStatus.FAILED: N_("Not paid yet"),
    PaymentStatus.REFUNDED: N_("Refunded"),
}
_PURPOSES: Final = {
    Purpose.UNLOCK: N_("Chat and contact details of a pandit"),
    Purpose.TOP_UP: N_("Money for the wallet"),
}


class Clerk:
    """Words sheets for one reader."""

    def __init__(self, translator: Translator, formatter: Formatter) -> None:
        self._translator = translator
        self._fmt = formatter

    def invoice(self, booking: Booking, payment: Payment | None, link: str) -> Sheet:
        """What a booking costs, line by line, and what has been paid and given back."""
        return Sheet(
            title=self._both(N_("Invoice")),
            number=booking.id,
            language=self._fmt.language,
            issuer=_ISSUER,
            state=self._both(_STATES[booking.payment_status]),
            facts=(
                (self._both(N_("Booked on")), self._fmt.instant(booking.created_at)),
                (self._both(N_("Puja")), self._name(booking, "service_name")),
                (self._both(N_("Date of the puja")), self._puja_day(booking)),
                (self._both(N_("Customer")), booking.customer_name),
                (self._both(N_("Pandit")), self._name(booking, "pandit_name")),
            ),
            tables=(self._lines(booking), *self._payments(booking, payment)),
            notes=(self._both(N_("Amounts are in Nepali rupees.")), *self._extra(payment)),
            link=link,
            link_label=self._both(N_("This booking")),
            page_of=self._text(N_("Page {page} of {pages}")),
        )

    def receipt(self, payment: Payment, attempt: Attempt, link: str) -> Sheet:
        """What was paid at once, how, and what of it went back."""
        paid_at = attempt.completed_at or attempt.created_at
        facts = [
            (self._both(N_("Paid on")), self._fmt.instant(paid_at)),
            (self._both(N_("Way to pay")), self._both(METHODS[attempt.method])),
            (self._both(N_("Reference")), attempt.reference),
        ]
        if attempt.transaction_id:
            facts.append((self._both(N_("Number at the payment service")), attempt.transaction_id))
        if payment.pandit_name:
            facts.append((self._both(N_("Pandit")), payment.pandit_name))
        rows = ((self._subject(payment), self._fmt.price(attempt.amount)),)
        return Sheet(
            title=self._both(N_("Receipt")),
            number=attempt_id(payment, attempt),
            language=self._fmt.language,
            issuer=_ISSUER,
            state=self._both(_STATES[attempt.status]),
            facts=tuple(facts),
            tables=(
                SheetTable(
                    heading=self._both(N_("Paid")),
                    columns=(self._both(N_("For what")), self._both(N_("Amount"))),
                    rows=(*rows, *self._refund_rows(attempt, 2)),
                    sums=(
                        Sum(
                            label=self._both(N_("Paid, less what went back")),
                            value=self._fmt.price(attempt.amount - attempt.refunded),
                            is_strong=True,
                        ),
                    ),
                ),
            ),
            notes=(self._both(N_("Amounts are in Nepali rupees.")),),
            link=link,
            link_label=self._both(N_("This payment")),
            page_of=self._text(N_("Page {page} of {pages}")),
        )

    def _lines(self, booking: Booking) -> SheetTable:
        service = self._both(N_("Puja service"))
        rows = [(f"{service}: {self._name(booking, 'service_name')}", "1", booking.service_fee)]
        rows += [
            (self._name(line), self._quantity(line), line.price_at_booking)
            for line in booking.samagri
        ]
        sums = [Sum(label=service, value=self._fmt.price(booking.service_fee))]
        if booking.samagri:
            label = self._both(N_("Samagri"))
            sums.append(Sum(label=label, value=self._fmt.price(booking.samagri_fee)))
        total = self._fmt.price(booking.total_fee)
        return SheetTable(
            heading=self._both(N_("What it costs")),
            columns=tuple(self._both(each) for each in (N_("Item"), N_("Quantity"), N_("Amount"))),
            rows=tuple((name, count, self._fmt.price(amount)) for name, count, amount in rows),
            sums=(*sums, Sum(label=self._both(N_("Total")), value=total, is_strong=True)),
        )

    def _payments(self, booking: Booking, payment: Payment | None) -> tuple[SheetTable, ...]:
        paid = [each for each in payment.attempts if each.status in PAID] if payment else []
        if not paid:
            return ()
        rows: list[tuple[str, ...]] = []
        for attempt in paid:
            at = self._fmt.instant(attempt.completed_at or attempt.created_at)
            method = self._both(METHODS[attempt.method])
            rows.append((f"{method}, {at}", attempt.reference, self._fmt.price(attempt.amount)))
            rows += self._refund_rows(attempt, 3)
        received = sum(attempt.amount - attempt.refunded for attempt in paid)
        sums = [Sum(label=self._both(N_("Received")), value=self._fmt.price(received))]
        kept = payment is not None and payment.captured is not None
        if not kept:
            due = self._fmt.price(booking.total_fee - received)
            sums.append(Sum(label=self._both(N_("Still to pay")), value=due, is_strong=True))
        return (
            SheetTable(
                heading=self._both(N_("Payments")),
                columns=tuple(
                    self._both(each) for each in (N_("Way to pay"), N_("Reference"), N_("Amount"))
                ),
                rows=tuple(rows),
                sums=tuple(sums),
            ),
        )

    def _refund_rows(self, attempt: Attempt, columns: int) -> list[tuple[str, ...]]:
        """Refunds that were made, and those on their way, which are not taken off yet."""
        rows = []
        for refund in attempt.refunds:
            if refund.state is RefundState.FAILED:
                continue
            is_done = refund.state is RefundState.DONE
            label = self._both(N_("Refund")) if is_done else self._both(N_("Refund on its way"))
            at = self._fmt.instant(refund.settled_at or refund.asked_at)
            amount = self._fmt.price(-refund.amount)
            middle = (refund.id,) if columns > 2 else ()
            rows.append((f"{label}, {at}", *middle, amount if is_done else f"({amount})"))
        return rows

    def _extra(self, payment: Payment | None) -> tuple[str, ...]:
        if payment is None or not payment.needs_review:
            return ()
        return (self._both(N_("A person of our team is looking at a payment of this booking.")),)

    def _subject(self, payment: Payment) -> str:
        if payment.purpose in _PURPOSES:
            return self._both(_PURPOSES[payment.purpose])
        return self._name(payment, "title")

    def _puja_day(self, booking: Booking) -> str:
        nepal = Formatter(self._fmt.language, booking.timezone)
        bs = nepal.day_bs(booking.booking_date)
        day = nepal.day(booking.booking_date)
        days = (bs, day) if self._fmt.language == "ne" else (day, bs)
        return f"{' · '.join(filter(None, days))}, {nepal.clock(booking.starts_at)}"

    def _quantity(self, line: SamagriLine) -> str:
        unit = unit_text(self._translator, self._fmt.language, line.unit, line.quantity)
        return f"{self._fmt.number(float(line.quantity))} {unit}"

    def _name(self, thing: object, name: str = "name") -> str:
        english, nepali = getattr(thing, name), getattr(thing, f"{name}_ne", "")
        chosen = nepali or english if self._fmt.language == "ne" else english or nepali
        return str(chosen)

    def _text(self, message: str) -> str:
        return self._translator.text(self._fmt.language, message)

    def _both(self, message: str) -> str:
        """The text in the reader's language, then in the other one."""
        english = self._translator.text("en", message)
        nepali = self._translator.text("ne", message)
        if english == nepali:
            return english
        return f"{nepali} · {english}" if self._fmt.language == "ne" else f"{english} · {nepali}"
