"""Administration of money: payments, what needs a person, callbacks, payouts, the ledger."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final
from zoneinfo import ZoneInfo

from server.domain.account import NEPAL, Role, User
from server.domain.booking import PaymentStatus
from server.domain.callback import CallbackOutcome
from server.domain.errors import Invalid, NotFound
from server.domain.payment import Payment, ReviewReason, split_id
from server.domain.payout import PayoutStatus
from server.domain.ports.paging import Page as Shown
from server.domain.ports.payments import PaymentFilter
from server.handlers.base import ADMIN
from server.handlers.page_base import Form
from server.handlers.pages.base import Page
from server.handlers.pages.payments import paisa
from server.handlers.payment_admin import ledger_span
from server.handlers.routing import Route
from server.i18n import N_
from server.schemas.payments import (
    CallbacksQuery,
    LedgerQuery,
    NoteRequest,
    PaymentSearchQuery,
    PayoutsQuery,
    RefundRequest,
    SettlePayoutRequest,
    SettleRefundRequest,
    present_callback,
    present_entry,
    present_for_staff,
    present_payout,
    present_totals,
)

_MOST_PEOPLE: Final = 20
_NEPAL: Final = ZoneInfo(NEPAL)
_OUTCOMES: Final = {
    CallbackOutcome.RECEIVED: N_("Only received"),
    CallbackOutcome.PROCESSED: N_("Applied"),
    CallbackOutcome.DUPLICATE: N_("Came before"),
    CallbackOutcome.IGNORED: N_("Of no concern"),
    CallbackOutcome.UNMATCHED: N_("Belongs to no payment"),
    CallbackOutcome.FORGED: N_("Not from the service"),
    CallbackOutcome.UNREADABLE: N_("Cannot be read"),
    CallbackOutcome.FAILED: N_("Handling failed"),
}
_REASONS: Final = {
    ReviewReason.MISMATCH: N_("What the service says does not fit the payment."),
    ReviewReason.UNKNOWN_STATUS: N_("The service told a status that is not known."),
    ReviewReason.LATE_SUCCESS: N_("Money came after the payment had been given up."),
    ReviewReason.SECOND_SUCCESS: N_("It was paid twice."),
    ReviewReason.PRICE_CHANGED: N_("The price had changed when it was paid."),
    ReviewReason.PROOF_REUSED: N_("A proof of payment was used for something else before."),
    ReviewReason.REFUND_FAILED: N_("A refund did not succeed."),
    ReviewReason.REFUND_OF_UNKNOWN_SIZE: N_("A refund was made, but not how much is known."),
    ReviewReason.REFUNDED_AT_GATEWAY: N_("The service gave money back that we did not ask for."),
    ReviewReason.UNDECIDED: N_("The service never said what became of it."),
    ReviewReason.CASH_SHORT: N_("Less cash was handed over than was due."),
    ReviewReason.DISPUTED: N_("The customer says that something is wrong."),
    ReviewReason.GATEWAY: N_("The service asks for a look."),
}


class PaymentsPage(Page):
    """Everybody's payments: all, those that need a person, those with open refunds."""

    roles = ADMIN
    section = "admin"

    async def get(self) -> None:
        """Show them, the latest first; of several customers who are meant, first whose."""
        query = self.filters(PaymentSearchQuery)
        people: tuple[User, ...] = ()
        page = await self._named(query)
        if page is None and query.q:
            found = await self.services.user_admin.search(
                self.person, text=query.q, role=Role.USER, limit=_MOST_PEOPLE
            )
            people = found.rows
        if page is None:
            page = await self._list(query, people)
        following = self.cursor(page.next_key)
        names = await self.services.user_admin.names(
            self.person, [row.user_id for row in page.rows]
        )
        await self.show(
            "admin/payments.html",
            title=self.translate("Payments"),
            rows=[present_for_staff(row, self.reader) for row in page.rows],
            names=names,
            people=people if len(people) > 1 else (),
            query=query,
            statuses=tuple(PaymentStatus),
            following=following and self.here(cursor=following),
        )

    async def _named(self, query: PaymentSearchQuery) -> Shown[Payment] | None:
        payment = await self.services.payments.find_exactly(query.q) if query.q else None
        return Shown((payment,), None) if payment else None

    async def _list(self, query: PaymentSearchQuery, people: Sequence[User]) -> Shown[Payment]:
        if query.q and len(people) != 1:
            return Shown((), None)
        return await self.services.payments.list_all(
            PaymentFilter(
                user_id=people[0].id if people else query.user_id,
                status=query.status,
                needs_review=query.needs_review,
                refunds=query.refunds,
                limit=query.limit,
                after=self.after(query.cursor),
            )
        )


class PaymentPage(Page):
    """One payment with all its attempts, and what staff can do about it."""

    roles = ADMIN
    section = "admin"

    async def get(self, payment_id: str) -> None:
        """Show it."""
        await self._show(payment_id, Form())

    async def _show(self, payment_id: str, form: Form) -> None:
        view = await self.services.payments.get(self.person, payment_id)
        payer = view.payment.user_id
        names = await self.services.user_admin.names(self.person, [payer])
        await self.show(
            "admin/payment.html",
            title=self.translate("Payment"),
            form=form,
            payment=present_for_staff(view.payment, self.reader),
            whole=view.payment,
            payer=names.get(payer, payer),
            waiting={
                refund.id
                for attempt in view.payment.attempts
                for refund in attempt.refunds
                if refund.waits_for_staff
            },
            reason_name=lambda reason: self.translate(_REASONS[reason]),
        )


class PaymentActPage(PaymentPage):
    """A button of staff."""

    async def get(self, payment_id: str, act: str) -> None:  # type: ignore[override]  # the address has a part more
        """Show where the button stands."""
        self.go(f"/admin/payments/{split_id(payment_id)[0]}/")

    async def post(self, payment_id: str, act: str) -> None:
        """Do it and show the payment again."""
        back = f"/admin/payments/{split_id(payment_id)[0]}/"
        payments = self.services.payments

        async def check() -> str:
            await payments.recheck(self.person, payment_id)
            return self.translate("The payment service has been asked.")

        async def resolve() -> str:
            await payments.resolve(self.person, payment_id, self.read(NoteRequest).note)
            return self.translate("It is noted as looked at.")

        async def refund() -> str:
            given = self.typed.get("amount", "")
            more = {"amount": paisa(given)} if given else {}
            body = self.read(RefundRequest, **more)
            await payments.refund(
                self.person, payment_id, amount=body.amount, note=body.note, to=body.to
            )
            return self.translate("The refund is on its way.")

        async def settle() -> str:
            body = self.read(SettleRefundRequest)
            await payments.settle_refund(
                self.person,
                payment_id,
                self.typed.get("refund_id", ""),
                is_done=body.is_done,
                note=body.note,
            )
            return self.translate("Saved.")

        acts = {"check": check, "resolve": resolve, "refund": refund, "settle-refund": settle}
        if act not in acts:
            raise NotFound

        async def done() -> str:
            self.flash("good", await acts[act]())
            return back

        await self.do(done, back)


class CallbacksPage(Page):
    """What payment services and returning browsers have sent."""

    roles = ADMIN
    section = "admin"

    async def get(self) -> None:
        """Show it, the latest first."""
        query = self.filters(CallbacksQuery)
        page = await self.services.callbacks.list_page(
            outcome=query.outcome, limit=query.limit, after=self.after(query.cursor)
        )
        following = self.cursor(page.next_key)
        await self.show(
            "admin/callbacks.html",
            title=self.translate("Callbacks"),
            rows=[(row, present_callback(row, self.reader)) for row in page.rows],
            query=query,
            outcomes=[(each, self.translate(name)) for each, name in _OUTCOMES.items()],
            outcome_name=lambda outcome: self.translate(_OUTCOMES[outcome]),
            following=following and self.here(cursor=following),
        )


class ReplayPage(Page):
    """Handling a message again."""

    roles = ADMIN
    told_on_the_form = Page.told_on_the_form | {500}

    async def post(self, callback_id: str) -> None:
        """Do it; what it had done already is not done twice."""
        back = self.next_path("/admin/callbacks/")

        async def replay() -> str:
            callback = await self.services.callbacks.replay(self.person, callback_id)
            outcome = self.translate(_OUTCOMES[callback.outcome])
            self.flash("good", self.translate("Handled again: {outcome}", outcome=outcome))
            return back

        await self.do(replay, back)


class PayoutsPage(Page):
    """What pandits have asked to be paid."""

    roles = ADMIN
    section = "admin"

    async def get(self) -> None:
        """Show it, the latest first."""
        query = self.filters(PayoutsQuery)
        page = await self.services.payouts.list_all(
            status=query.status, limit=query.limit, after=self.after(query.cursor)
        )
        following = self.cursor(page.next_key)
        await self.show(
            "admin/payouts.html",
            title=self.translate("Payouts"),
            rows=[present_payout(row, self.reader) for row in page.rows],
            query=query,
            statuses=tuple(PayoutStatus),
            following=following and self.here(cursor=following),
        )


class SettlePage(Page):
    """Paid, or refused."""

    roles = ADMIN

    async def post(self, payout_id: str) -> None:
        """Settle it once."""
        back = self.next_path("/admin/payouts/")

        async def settle() -> str:
            body = self.read(SettlePayoutRequest)
            await self.services.payouts.settle(
                self.person, payout_id, is_paid=body.is_paid, note=body.note
            )
            self.flash("good", self.translate("Saved."))
            return back

        await self.do(settle, back)


class LedgerPage(Page):
    """The ledger of some days: its entries, and the sums of its accounts."""

    roles = ADMIN
    section = "admin"

    async def get(self) -> None:
        """Show it; days that make no sense are told, and the last thirty are shown."""
        form = Form()
        query = LedgerQuery()
        try:
            query = self.filters(LedgerQuery)
            first, last = ledger_span(query, self.services.clock.now())
        except Invalid as error:
            problem = self.describe_error(422, error)
            self.set_status(problem.status)
            form = Form(self._query(), problem)
            query = LedgerQuery()
            first, last = ledger_span(query, self.services.clock.now())
        ledger = self.services.ledger
        page = await ledger.list_entries(
            account=query.account,
            first=first,
            last=last,
            limit=query.limit,
            after=self.after(query.cursor),
        )
        balance = await ledger.trial_balance(first, last)
        following = self.cursor(page.next_key)
        await self.show(
            "admin/ledger.html",
            title=self.translate("Ledger"),
            form=form,
            query=query,
            first=first.astimezone(_NEPAL).date(),
            last=last.astimezone(_NEPAL).date(),
            rows=[present_entry(row, self.reader) for row in page.rows],
            totals=present_totals(balance.totals, balance.difference()),
            csv=self.here(cursor=None).replace("/admin/ledger/", "/api/admin/ledger.csv", 1),
            following=following and self.here(cursor=following),
        )


ROUTES: Final = (
    Route("/admin/payments/", PaymentsPage, "page-admin-payments"),
    Route("/admin/payments/{id}/", PaymentPage, "page-admin-payment"),
    Route("/admin/payments/{id}/{act}/", PaymentActPage, "page-admin-payment-act"),
    Route("/admin/callbacks/", CallbacksPage, "page-admin-callbacks"),
    Route("/admin/callbacks/{id}/replay/", ReplayPage, "page-admin-callback-replay"),
    Route("/admin/payouts/", PayoutsPage, "page-admin-payouts"),
    Route("/admin/payouts/{id}/", SettlePage, "page-admin-payout"),
    Route("/admin/ledger/", LedgerPage, "page-admin-ledger"),
)
