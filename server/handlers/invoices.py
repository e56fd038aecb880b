"""Invoices and receipts as files."""

from __future__ import annotations

from typing import Final

from server.documents.invoices import Clerk
from server.documents.sheet import Sheet
from server.domain.account import Actor
from server.domain.errors import NotFound
from server.domain.payment import PAID
from server.handlers.base import ApiHandler, BaseHandler, operation
from server.handlers.routing import Route
from server.services.payments import PaymentView


class _SheetFile(ApiHandler):
    async def send_sheet(self, sheet: Sheet, name: str) -> None:
        """Answer with the sheet as a file."""
        file = await self.services.printer.pdf(sheet)
        self.set_header("Content-Disposition", f'inline; filename="{name}.pdf"')
        self.set_header("Cache-Control", "private, no-store")
        self.set_header("Vary", "Accept-Language, Authorization, Cookie")
        self.set_header("Content-Language", self.reader.language)
        self.set_header("Content-Type", "application/pdf")
        self.write(file)

    def _send_bytes(self, status: int, body: bytes) -> None:
        """All has been written."""


class InvoiceFile(_SheetFile):
    """``/api/bookings/{id}/invoice.pdf``."""

    @operation("Get the invoice of a booking as PDF", errors=(NotFound,))
    async def get(self, booking_id: str, actor: Actor) -> None:
        """Set the same sheet that the page shows, in the reader's language and the other one."""
        booking, payment = await self.services.payments.invoice(actor, booking_id)
        clerk = Clerk(self.services.translations, self.formatter)
        sheet = clerk.invoice(booking, payment, f"{self.site_url}/bookings/{booking_id}/")
        await self.send_sheet(sheet, f"invoice-{booking_id}")


class ReceiptFile(_SheetFile):
    """``/api/payments/{id}/receipt.pdf``."""

    @operation("Get the receipt of a payment as PDF", errors=(NotFound,))
    async def get(self, payment_id: str, actor: Actor) -> None:
        """Set it; what is not paid has none."""
        view = await self.services.payments.get(actor, payment_id)
        sheet = receipt_of(self, view, f"{self.site_url}/payments/{view.id}/")
        await self.send_sheet(sheet, f"receipt-{view.id}")


def receipt_of(handler: BaseHandler, view: PaymentView, link: str) -> Sheet:
    """The sheet of a paid attempt. Raises ``NotFound`` for one that is not paid."""
    if view.attempt.status not in PAID:
        raise NotFound
    clerk = Clerk(handler.services.translations, handler.formatter)
    return clerk.receipt(view.payment, view.attempt, link)


ROUTES: Final = (
    Route("/api/bookings/{booking_id}/invoice.pdf", InvoiceFile, "booking-invoice"),
    Route("/api/payments/{payment_id}/receipt.pdf", ReceiptFile, "payment-receipt"),
)
