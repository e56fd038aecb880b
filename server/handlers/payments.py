"""Paying, coming back from providers, and what providers send."""

from __future__ import annotations

from typing import Final

from server.domain import ledger
from server.domain.account import Actor
from server.domain.booking import PaymentMethod
from server.domain.errors import (
    AlreadyPaid,
    CallbackFailed,
    Conflict,
    ForgedCallback,
    GatewayDeclined,
    GatewayUnavailable,
    IllegalTransition,
    InsufficientBalance,
    Malformed,
    NotFound,
    ProofReused,
    RefundRefused,
    TooLarge,
    TooManyAttempts,
)
from server.domain.money import NPR
from server.handlers.base import ADMIN, CUSTOMER, PANDIT, ApiHandler, operation
from server.handlers.routing import Route
from server.schemas.base import PageQuery, PageResponse
from server.schemas.payments import (
    AcceptedResponse,
    AccountEntryResponse,
    BalanceResponse,
    CashRequest,
    EarningsResponse,
    MethodResponse,
    MethodsResponse,
    NoteRequest,
    PaymentResponse,
    PayoutRequest,
    PayoutResponse,
    PayRequest,
    RefundRequest,
    ReturnResponse,
    TokenRequest,
    TopUpRequest,
    UnlockRequest,
    present_account_entry,
    present_payment,
    present_payout,
)
from server.services.payments import PaymentView

_PAY_ERRORS: Final = (
    NotFound,
    AlreadyPaid,
    IllegalTransition,
    TooManyAttempts,
    InsufficientBalance,
    GatewayDeclined,
    GatewayUnavailable,
)


class MethodsHandler(ApiHandler):
    """``/api/payment-methods/``."""

    @operation("List the ways to pay")
    async def get(self) -> MethodsResponse:
        """List those that are enabled, with limits and currencies."""
        payments = self.services.payments
        return MethodsResponse(
            results=[
                MethodResponse(
                    payment_method=offer.method,
                    currencies=sorted(offer.traits.currencies),
                    currency=NPR,
                    min_amount=offer.traits.min_amount,
                    max_amount=offer.traits.max_amount,
                    is_prepaid=offer.traits.is_prepaid,
                    can_refund=offer.traits.can_refund,
                    is_test=offer.traits.is_test,
                )
                for offer in payments.methods()
            ],
            unlock_fee=payments.unlock_fee,
            currency=NPR,
        )


class _PayHandler(ApiHandler):
    def present(self, view: PaymentView) -> PaymentResponse:
        return present_payment(view.payment, view.attempt, self.reader)


class PaymentsHandler(_PayHandler):
    """``/api/payments/``."""

    @operation("List one's own payments, newest first", roles=CUSTOMER)
    async def get(self, actor: Actor, query: PageQuery) -> PageResponse[PaymentResponse]:
        """List what one has paid, or tried to pay; of each the attempt that counts."""
        page = await self.services.payments.list_own(
            actor, limit=query.limit, after=self.after(query.cursor)
        )
        return PageResponse(
            results=[
                present_payment(payment, payment.main, self.reader)
                for payment in page.rows
                if payment.main is not None
            ],
            next=self.cursor(page.next_key),
        )

    @operation(
        "Begin to pay a booking",
        status=201,
        roles=CUSTOMER,
        door="pay",
        idempotent=True,
        errors=_PAY_ERRORS,
    )
    async def post(self, actor: Actor, body: PayRequest) -> PaymentResponse:
        """Begin one attempt more; the answer says what the browser has to do."""
        view = await self.services.payments.pay_booking(
            actor, body.booking_id, body.payment_method, self.site_url, shown=body.amount
        )
        return self.present(view)


class PaymentHandler(_PayHandler):
    """``/api/payments/{id}/``."""

    @operation("Show a payment", errors=(NotFound,))
    async def get(self, payment_id: str, actor: Actor) -> PaymentResponse:
        """Show where it stands, as stored."""
        return self.present(await self.services.payments.get(actor, payment_id))


class UnlockHandler(_PayHandler):
    """``/api/payments/create-payment-intent/``."""

    @operation(
        "Begin to pay for the chat with a pandit and his contact details",
        status=201,
        roles=CUSTOMER,
        door="pay",
        idempotent=True,
        errors=_PAY_ERRORS,
    )
    async def post(self, actor: Actor, body: UnlockRequest) -> PaymentResponse:
        """Begin an attempt; the room opens once it is paid."""
        view = await self.services.payments.pay_unlock(
            actor, body.pandit_id, body.payment_method, self.site_url
        )
        return self.present(view)


class TokenHandler(_PayHandler):
    """``/api/payments/process-khalti-payment/``."""

    @operation(
        "Take a payment that Khalti's older widget has made",
        roles=CUSTOMER,
        door="pay",
        idempotent=True,
        errors=(*_PAY_ERRORS, ProofReused),
    )
    async def post(self, actor: Actor, body: TokenRequest) -> PaymentResponse:
        """Verify the token with Khalti and apply what it says."""
        view = await self.services.payments.pay_by_token(
            actor, body.booking_id, body.token, body.amount
        )
        return self.present(view)


class RefundHandler(_PayHandler):
    """``/api/payments/{id}/refund/``."""

    @operation(
        "Give a payment back, all that is left or a part",
        roles=ADMIN,
        idempotent=True,
        errors=(NotFound, RefundRefused),
    )
    async def post(self, payment_id: str, actor: Actor, body: RefundRequest) -> PaymentResponse:
        """Decide it; giving it back follows at once, in the background."""
        view = await self.services.payments.refund(
            actor, payment_id, amount=body.amount, note=body.note, to=body.to
        )
        return self.present(view)


class CashHandler(ApiHandler):
    """``/api/payments/{id}/cash/``."""

    @operation(
        "Record cash that was handed over",
        roles=PANDIT | ADMIN,
        idempotent=True,
        errors=(NotFound, IllegalTransition),
    )
    async def post(self, payment_id: str, actor: Actor, body: CashRequest) -> ReturnResponse:
        """Record it once; it must be what is due."""
        view = await self.services.payments.collect_cash(actor, payment_id, body.amount)
        return _present_return(view)


class DisputeHandler(_PayHandler):
    """``/api/payments/{id}/dispute/``."""

    @operation("Say that something is wrong with a payment", roles=CUSTOMER, errors=(NotFound,))
    async def post(self, payment_id: str, actor: Actor, body: NoteRequest) -> PaymentResponse:
        """Have staff look at it."""
        return self.present(await self.services.payments.dispute(actor, payment_id, body.note))


class ReturnHandler(ApiHandler):
    """``/api/payments/{method}/return/`` and below: where providers send browsers back to.

    What the browser brings proves nothing. Nobody needs to be signed in: a foreign site's POST
    brings no cookie, and the answer says no more than where the payment stands.
    """

    async def _come_back(self, method: str, reference: str | None) -> ReturnResponse:
        form = {name: self.get_body_argument(name) for name in self.request.body_arguments}
        view = await self.services.callbacks.came_back(
            _method(method), reference, {**form, **self._query()}, self.request.headers
        )
        if "application/json" not in self.request.headers.get("Accept", ""):
            # A browser: on to the page that shows where it stands, whoever is signed in there.
            self.set_header("Location", f"/payments/{view.id}/")
            self.redirects = True
        return _present_return(view)

    redirects = False

    def _send_bytes(self, status: int, body: bytes) -> None:
        super()._send_bytes(303 if self.redirects else status, body)

    def _require_json(self) -> None:
        """Providers post forms."""

    @operation("Come back from a payment provider", door="callback", errors=(NotFound, Malformed))
    async def get(self, method: str, reference: str | None = None) -> ReturnResponse:
        """Ask the provider what became of it, and show that."""
        return await self._come_back(method, reference)

    @operation(
        "Come back from a payment provider by a form", door="callback", errors=(NotFound, Malformed)
    )
    async def post(self, method: str, reference: str | None = None) -> ReturnResponse:
        """Do the same."""
        return await self._come_back(method, reference)


class WebhookHandler(ApiHandler):
    """``/api/payments/webhooks/{method}/``: what providers send by themselves."""

    @operation(
        "Take in what a payment provider sends",
        door="callback",
        errors=(NotFound, TooLarge, ForgedCallback, Malformed, CallbackFailed),
    )
    async def post(self, method: str) -> AcceptedResponse:
        """Store it, then verify and apply it; what fails is answered so that it is repeated."""
        callback = await self.services.callbacks.receive(
            _method(method), dict(self.request.headers), self.request.body
        )
        return AcceptedResponse(received=True, outcome=callback.outcome)


class WalletHandler(ApiHandler):
    """``/api/wallet/``."""

    @operation("Show what is in one's wallet", roles=CUSTOMER)
    async def get(self, actor: Actor) -> BalanceResponse:
        """Show the balance."""
        balance = await self.services.ledger.wallet_balance(actor.user_id)
        return BalanceResponse(balance=balance, currency=NPR)


class WalletEntriesHandler(ApiHandler):
    """``/api/wallet/entries/``."""

    @operation("List what went into one's wallet and out of it, newest first", roles=CUSTOMER)
    async def get(self, actor: Actor, query: PageQuery) -> PageResponse[AccountEntryResponse]:
        """List entries, each with the balance after it."""
        page = await self.services.ledger.wallet_entries(
            actor.user_id, limit=query.limit, after=self.after(query.cursor)
        )
        account = ledger.wallet(actor.user_id)
        return PageResponse(
            results=[present_account_entry(row, account, self.reader) for row in page.rows],
            next=self.cursor(page.next_key),
        )


class TopUpHandler(_PayHandler):
    """``/api/wallet/top-up/``."""

    @operation(
        "Begin to pay into one's wallet",
        status=201,
        roles=CUSTOMER,
        door="pay",
        idempotent=True,
        errors=(GatewayDeclined, GatewayUnavailable),
    )
    async def post(self, actor: Actor, body: TopUpRequest) -> PaymentResponse:
        """Begin an attempt; the sum is in the wallet once it is paid."""
        view = await self.services.payments.top_up(
            actor, body.amount, body.payment_method, self.site_url
        )
        return self.present(view)


class EarningsHandler(ApiHandler):
    """``/api/pandits/me/earnings/``."""

    @operation("Show what one has earned", roles=PANDIT)
    async def get(self, actor: Actor) -> EarningsResponse:
        """Show what can be withdrawn, what is under way, and what is owed of cash."""
        earnings = await self.services.payouts.earnings(actor)
        return EarningsResponse(
            balance=earnings.balance,
            under_way=earnings.under_way,
            owed=earnings.owed,
            available=earnings.available,
            currency=NPR,
        )


class EarningEntriesHandler(ApiHandler):
    """``/api/pandits/me/earnings/entries/``."""

    @operation("List one's earnings and payouts, newest first", roles=PANDIT)
    async def get(self, actor: Actor, query: PageQuery) -> PageResponse[AccountEntryResponse]:
        """List entries, each with the balance after it."""
        page = await self.services.ledger.pandit_entries(
            actor.user_id, limit=query.limit, after=self.after(query.cursor)
        )
        account = ledger.pandit(actor.user_id)
        return PageResponse(
            results=[present_account_entry(row, account, self.reader) for row in page.rows],
            next=self.cursor(page.next_key),
        )


class PayoutsHandler(ApiHandler):
    """``/api/payouts/``."""

    @operation("List one's own payouts, newest first", roles=PANDIT)
    async def get(self, actor: Actor, query: PageQuery) -> PageResponse[PayoutResponse]:
        """List them."""
        page = await self.services.payouts.list_own(
            actor, limit=query.limit, after=self.after(query.cursor)
        )
        return PageResponse(
            results=[present_payout(row, self.reader) for row in page.rows],
            next=self.cursor(page.next_key),
        )

    @operation(
        "Ask to be paid what one has earned",
        status=201,
        roles=PANDIT,
        idempotent=True,
        errors=(InsufficientBalance, Conflict),
    )
    async def post(self, actor: Actor, body: PayoutRequest) -> PayoutResponse:
        """Reserve the sum until staff have paid it."""
        payout = await self.services.payouts.ask(actor, body.amount, body.destination)
        return present_payout(payout, self.reader)


def _method(text: str) -> PaymentMethod:
    """The method of a path. Raises ``NotFound``."""
    try:
        return PaymentMethod(text.upper().replace("-", "_"))
    except ValueError:
        raise NotFound from None


def _present_return(view: PaymentView) -> ReturnResponse:
    return ReturnResponse(
        id=view.id,
        status=view.attempt.status,
        booking_id=view.payment.booking_id,
        needs_review=view.attempt.needs_review,
    )


ROUTES: Final = (
    Route("/api/payment-methods/", MethodsHandler, "payment-methods"),
    Route("/api/payments/", PaymentsHandler, "payments"),
    Route("/api/payments/create-payment-intent/", UnlockHandler, "payment-unlock"),
    Route("/api/payments/process-khalti-payment/", TokenHandler, "payment-khalti-token"),
    Route("/api/payments/webhooks/{method}/", WebhookHandler, "payment-webhook"),
    Route("/api/payments/{method}/return/", ReturnHandler, "payment-return"),
    Route("/api/payments/{method}/return/{reference}/", ReturnHandler, "payment-return-of"),
    Route(
        "/api/payments/{method}/return/{reference}/cancelled/",
        ReturnHandler,
        "payment-return-cancelled",
    ),
    Route("/api/payments/{payment_id}/", PaymentHandler, "payment"),
    Route("/api/payments/{payment_id}/refund/", RefundHandler, "payment-refund"),
    Route("/api/payments/{payment_id}/cash/", CashHandler, "payment-cash"),
    Route("/api/payments/{payment_id}/dispute/", DisputeHandler, "payment-dispute"),
    Route("/api/wallet/", WalletHandler, "wallet"),
    Route("/api/wallet/entries/", WalletEntriesHandler, "wallet-entries"),
    Route("/api/wallet/top-up/", TopUpHandler, "wallet-top-up"),
    Route("/api/pandits/me/earnings/", EarningsHandler, "pandit-earnings"),
    Route("/api/pandits/me/earnings/entries/", EarningEntriesHandler, "pandit-earning-entries"),
    Route("/api/payouts/", PayoutsHandler, "payouts"),
)
