"""The pages on which a person pays, or does not; and the forms that lead there."""

from __future__ import annotations

import urllib.parse
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import segno
from tornado import template

from server.sandbox.faults import Faults
from server.sandbox.payments import Payment, Status
from server.sandbox.provider import (
    Action,
    Answer,
    CallHandler,
    NotPossible,
    PlainHandler,
    Provider,
    Return,
)

TEMPLATES: Final = template.Loader(str(Path(__file__).resolve().parent / "templates"))
_CONFLICT: Final = 409
# Forms may lead anywhere: a merchant's return address is where it is.
_POLICY: Final = (
    "default-src 'none'; style-src 'self'; img-src 'self' data:; base-uri 'none'; "
    "frame-ancestors 'none'"
)


def money(amount: int, currency: str) -> str:
    """Write an amount for people: ``NPR 1,500.00``."""
    return f"{currency} {amount // 100:,}.{amount % 100:02}"


class PageHandler(PlainHandler):
    """A page for people."""

    def show(self, name: str, status: int = 200, **values: Any) -> None:
        """Render a template."""
        self.set_status(status)
        self.set_header("Content-Type", "text/html; charset=utf-8")
        self.set_header("Content-Security-Policy", _POLICY)
        self.set_header("Referrer-Policy", "no-referrer")
        self.finish(TEMPLATES.load(name).generate(money=money, **values))

    def go(self, back: Return) -> None:
        """Send the browser back to the merchant."""
        if back.fields is None:
            self.set_header("Location", back.url)
            self.set_status(303)
            self.finish()
        else:
            self.show("back.html", title="Going back", back=back)


class PayPage(PageHandler):
    """One payment: what is due, a QR of the page, and buttons for everything that may happen."""

    def get(self, payment_id: str) -> None:
        """Show it."""
        payment = self._payment(payment_id)
        if payment is not None:
            self._show(payment)

    def post(self, payment_id: str) -> None:
        """Do what a button says."""
        payment = self._payment(payment_id)
        if payment is None:
            return
        try:
            action = Action(self.get_body_argument("action", ""))
            amount = _paisa(self.get_body_argument("amount", ""))
        except ValueError:
            self._show(payment, 400, note="There is no such button, or the amount is no amount.")
            return
        if by := self.get_body_argument("by", ""):
            payment.details["by"] = by
        try:
            back = self.provider.act(payment, action, amount)
        except NotPossible as error:
            self._show(payment, _CONFLICT, note=str(error))
            return
        if back is None:
            self._show(payment, note=_said(payment, action))
        else:
            self.go(back)

    def _payment(self, payment_id: str) -> Payment | None:
        self.payment = self.world.find(self.provider.name, urllib.parse.unquote(payment_id))
        if self.payment is None:
            self.show("error.html", 404, title="Not found", code="404", text="No such payment.")
        return self.payment

    def _show(self, payment: Payment, status: int = 200, note: str = "") -> None:
        url = page_url(self, self.provider, payment)
        picture = segno.make(url, micro=False).svg_inline(scale=4, border=4, light="#fff")
        self.show(
            "pay.html",
            status,
            title=f"{self.provider.title}: {money(payment.amount, payment.currency)}",
            provider=self.provider,
            payment=payment,
            picture=picture,
            url=url,
            note=note,
            can_pay=payment.status not in (Status.PAID, Status.EXPIRED),
            is_open=payment.status in (Status.OPEN, Status.PENDING),
        )


class FormHandler(PageHandler, CallHandler):
    """Takes a form that the merchant's page has posted, and leads to the pay page."""

    def form(self) -> dict[str, str]:
        """Read its fields, of the body or of the query."""
        return {name: self.get_argument(name, strip=False) for name in self.request.arguments}

    def refuse(self, number: str, text: str, status: int = 400) -> None:
        """Say that the form is not accepted, as a page: its reader is the customer."""
        self.show("error.html", status, title=self.provider.title, code=number, text=text)

    async def begin(self, call: str, faults: Faults, start: Callable[[], Payment]) -> None:
        """Start the payment and show its page."""

        def work() -> Answer:
            self.payment = start()
            url = page_url(self, self.provider, self.payment)
            return Answer(body=b"", status=303, content_type="text/html", headers={"Location": url})

        await self.conduct(call, faults, work)


def page_url(handler: PlainHandler, provider: Provider, payment: Payment) -> str:
    """The full address of a payment's page, as whoever asks reaches us."""
    host = f"{handler.request.protocol}://{handler.request.host}"
    return f"{host}/{provider.name}/pay/{urllib.parse.quote(payment.id, safe='')}"


def _paisa(text: str) -> int | None:
    if not text:
        return None
    whole, _, rest = text.partition(".")
    if not (whole.isascii() and whole.isdigit()) or not (rest or "0").isdigit() or len(rest) > 2:
        raise ValueError(text)
    return int(whole) * 100 + int(rest.ljust(2, "0"))


def _said(payment: Payment, action: Action) -> str:
    if action in (Action.REFUND, Action.PARTIAL_REFUND):
        return f"Given back so far: {money(payment.refunded, payment.currency)}."
    return f"Now it is {payment.status}. Nothing leads back to the shop: close this tab."
