"""Payments, refunds, callbacks, payouts and the ledger, for staff."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import UTC, date, datetime, time, timedelta
from typing import Final
from zoneinfo import ZoneInfo

from server.domain.account import NEPAL, Actor
from server.domain.audit import Act
from server.domain.errors import Conflict, FieldFault, ForgedCallback, Invalid, NotFound
from server.domain.ports.payments import PaymentFilter
from server.handlers.base import ADMIN, ApiHandler, operation
from server.handlers.csv_export import CsvHandler
from server.handlers.routing import Route
from server.schemas.base import PageResponse
from server.schemas.bookings import EmptyRequest
from server.schemas.payments import (
    CSV_HEAD,
    CallbackResponse,
    CallbacksQuery,
    LedgerEntryResponse,
    LedgerQuery,
    NoteRequest,
    PaymentsQuery,
    PayoutResponse,
    PayoutsQuery,
    SettlePayoutRequest,
    SettleRefundRequest,
    StaffPaymentResponse,
    TrialBalanceResponse,
    csv_rows,
    present_callback,
    present_entry,
    present_for_staff,
    present_payout,
    present_totals,
)

_DEFAULT_DAYS: Final = 30
_MAX_DAYS: Final = 366
_CSV_PAGE: Final = 100
_CSV_ROWS: Final = 20_000


class AdminPaymentsHandler(ApiHandler):
    """``/api/admin/payments/``."""

    @operation(
        "List payments, newest first; those that need review, or with open refunds", roles=ADMIN
    )
    async def get(self, actor: Actor, query: PaymentsQuery) -> PageResponse[StaffPaymentResponse]:
        """List them with all their attempts."""
        page = await self.services.payments.list_all(
            PaymentFilter(
                user_id=query.user_id,
                status=query.status,
                needs_review=query.needs_review,
                refunds=query.refunds,
                limit=query.limit,
                after=self.after(query.cursor),
            )
        )
        return PageResponse(
            results=[present_for_staff(row, self.reader) for row in page.rows],
            next=self.cursor(page.next_key),
        )


class AdminPaymentHandler(ApiHandler):
    """``/api/admin/payments/{id}/``."""

    @operation("Show a payment with all that is known of it", roles=ADMIN, errors=(NotFound,))
    async def get(self, payment_id: str, actor: Actor) -> StaffPaymentResponse:
        """Show it."""
        view = await self.services.payments.get(actor, payment_id)
        return present_for_staff(view.payment, self.reader)


class ResolveHandler(ApiHandler):
    """``/api/admin/payments/{id}/resolve/``."""

    @operation("Say that a payment has been looked at", roles=ADMIN, errors=(NotFound,))
    async def post(self, payment_id: str, actor: Actor, body: NoteRequest) -> StaffPaymentResponse:
        """Close what asked for a review."""
        view = await self.services.payments.resolve(actor, payment_id, body.note)
        return present_for_staff(view.payment, self.reader)


class RecheckHandler(ApiHandler):
    """``/api/admin/payments/{id}/check/``."""

    @operation("Ask the provider about a payment now", roles=ADMIN, errors=(NotFound,))
    async def post(self, payment_id: str, actor: Actor, body: EmptyRequest) -> StaffPaymentResponse:
        """Ask and apply."""
        view = await self.services.payments.recheck(actor, payment_id)
        return present_for_staff(view.payment, self.reader)


class SettleRefundHandler(ApiHandler):
    """``/api/admin/payments/{id}/refunds/{refund_id}/``."""

    @operation("Say what became of a refund made by hand", roles=ADMIN, errors=(NotFound,))
    async def post(
        self, payment_id: str, refund_id: str, actor: Actor, body: SettleRefundRequest
    ) -> StaffPaymentResponse:
        """Record that it was given back, or that it was not."""
        view = await self.services.payments.settle_refund(
            actor, payment_id, refund_id, is_done=body.is_done, note=body.note
        )
        return present_for_staff(view.payment, self.reader)


class CallbacksHandler(ApiHandler):
    """``/api/admin/callbacks/``."""

    @operation("List what providers have sent, newest first", roles=ADMIN)
    async def get(self, actor: Actor, query: CallbacksQuery) -> PageResponse[CallbackResponse]:
        """List it."""
        page = await self.services.callbacks.list_page(
            outcome=query.outcome, limit=query.limit, after=self.after(query.cursor)
        )
        return PageResponse(
            results=[present_callback(row, self.reader) for row in page.rows],
            next=self.cursor(page.next_key),
        )


class ReplayHandler(ApiHandler):
    """``/api/admin/callbacks/{id}/replay/``."""

    @operation(
        "Handle a provider's message again",
        roles=ADMIN,
        errors=(NotFound, Conflict, ForgedCallback),
    )
    async def post(self, callback_id: str, actor: Actor, body: EmptyRequest) -> CallbackResponse:
        """Handle it as if it had just come; what it did already is not done twice."""
        callback = await self.services.callbacks.replay(actor, callback_id)
        return present_callback(callback, self.reader)


class AdminPayoutsHandler(ApiHandler):
    """``/api/admin/payouts/``."""

    @operation("List payouts, newest first", roles=ADMIN)
    async def get(self, actor: Actor, query: PayoutsQuery) -> PageResponse[PayoutResponse]:
        """List them."""
        page = await self.services.payouts.list_all(
            status=query.status, limit=query.limit, after=self.after(query.cursor)
        )
        return PageResponse(
            results=[present_payout(row, self.reader) for row in page.rows],
            next=self.cursor(page.next_key),
        )


class SettlePayoutHandler(ApiHandler):
    """``/api/admin/payouts/{id}/settle/``."""

    @operation("Mark a payout as paid, or refuse it", roles=ADMIN, errors=(NotFound, Conflict))
    async def post(self, payout_id: str, actor: Actor, body: SettlePayoutRequest) -> PayoutResponse:
        """Settle it once."""
        payout = await self.services.payouts.settle(
            actor, payout_id, is_paid=body.is_paid, note=body.note
        )
        return present_payout(payout, self.reader)


def ledger_span(query: LedgerQuery, now: datetime) -> tuple[datetime, datetime]:
    """The days that are asked for, in Nepal, as instants. Raises ``Invalid``."""
    zone = ZoneInfo(NEPAL)
    last = query.to or now.astimezone(zone).date()
    first = query.from_ or last - timedelta(days=_DEFAULT_DAYS)
    if first > last:
        raise Invalid(FieldFault("to", "order"))
    if (last - first).days > _MAX_DAYS:
        raise Invalid(FieldFault("from", "range"))
    return _midnight(first, zone), _midnight(last + timedelta(days=1), zone) - _TICK


_TICK: Final = timedelta(milliseconds=1)


def _midnight(day: date, zone: ZoneInfo) -> datetime:
    return datetime.combine(day, time(), zone).astimezone(UTC)


class LedgerHandler(ApiHandler):
    """``/api/admin/ledger/``."""

    @operation("List the entries of the ledger, newest first", roles=ADMIN)
    async def get(self, actor: Actor, query: LedgerQuery) -> PageResponse[LedgerEntryResponse]:
        """List those of some days, all of them or one account's."""
        first, last = ledger_span(query, self.services.clock.now())
        page = await self.services.ledger.list_entries(
            account=query.account,
            first=first,
            last=last,
            limit=query.limit,
            after=self.after(query.cursor),
        )
        return PageResponse(
            results=[present_entry(row, self.reader) for row in page.rows],
            next=self.cursor(page.next_key),
        )


class TrialBalanceHandler(ApiHandler):
    """``/api/admin/ledger/totals/``."""

    @operation("Sum the accounts of the ledger over some days", roles=ADMIN)
    async def get(self, actor: Actor, query: LedgerQuery) -> TrialBalanceResponse:
        """Sum them; all together are zero."""
        first, last = ledger_span(query, self.services.clock.now())
        balance = await self.services.ledger.trial_balance(first, last)
        return present_totals(balance.totals, balance.difference())


class LedgerCsvHandler(CsvHandler):
    """``/api/admin/ledger.csv``: the same entries for spreadsheets, one row for each posting."""

    @operation("Export the ledger of some days as CSV", roles=ADMIN)
    async def get(self, actor: Actor, query: LedgerQuery) -> None:
        """Write page by page, so that nothing large is held."""
        first, last = ledger_span(query, self.services.clock.now())
        # What leaves the house is on record before it leaves.
        await self.services.audit.record(
            actor,
            Act.DATA_EXPORTED,
            "ledger",
            query.account or "all",
            first=f"{first:%Y-%m-%d}",
            last=f"{last:%Y-%m-%d}",
        )
        await self.send_csv("ledger.csv", CSV_HEAD, self._pieces(query.account, first, last))

    async def _pieces(
        self, account: str | None, first: datetime, last: datetime
    ) -> AsyncIterator[list[tuple[str, ...]]]:
        after, written = None, 0
        while written < _CSV_ROWS:
            page = await self.services.ledger.list_entries(
                account=account, first=first, last=last, limit=_CSV_PAGE, after=after
            )
            yield csv_rows(page.rows, self.reader)
            written += len(page.rows)
            after = page.next_key
            if after is None:
                break


ROUTES: Final = (
    Route("/api/admin/payments/", AdminPaymentsHandler, "admin-payments"),
    Route("/api/admin/payments/{payment_id}/", AdminPaymentHandler, "admin-payment"),
    Route("/api/admin/payments/{payment_id}/resolve/", ResolveHandler, "admin-payment-resolve"),
    Route("/api/admin/payments/{payment_id}/check/", RecheckHandler, "admin-payment-check"),
    Route(
        "/api/admin/payments/{payment_id}/refunds/{refund_id}/",
        SettleRefundHandler,
        "admin-refund-settle",
    ),
    Route("/api/admin/callbacks/", CallbacksHandler, "admin-callbacks"),
    Route("/api/admin/callbacks/{callback_id}/replay/", ReplayHandler, "admin-callback-replay"),
    Route("/api/admin/payouts/", AdminPayoutsHandler, "admin-payouts"),
    Route("/api/admin/payouts/{payout_id}/settle/", SettlePayoutHandler, "admin-payout-settle"),
    Route("/api/admin/ledger/", LedgerHandler, "admin-ledger"),
    Route("/api/admin/ledger/totals/", TrialBalanceHandler, "admin-ledger-totals"),
    Route("/api/admin/ledger.csv", LedgerCsvHandler, "admin-ledger-csv"),
)
