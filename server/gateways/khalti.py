"""Khalti: ePayment (KPG-2), and tokens of its older widget (KPG-1).

Nothing is signed. What the browser brings back is a hint; the lookup decides. The lookup tells
"expired" and "user canceled" with status 400, and knows no reference of ours: the bond is the pidx
that we stored. Amounts are whole paisa.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any, Final
from urllib.parse import quote, urlsplit

from server.domain.booking import PaymentMethod
from server.domain.errors import GatewayDeclined, GatewayMisconfigured, GatewayUnavailable, NotFound
from server.domain.gateway import (
    ActionKind,
    AttemptFacts,
    Claim,
    GatewayTraits,
    Outcome,
    PaymentAction,
    PaymentOrder,
    RefundAnswer,
    RefundOrder,
    RefundState,
    ReturnHint,
    StartedPayment,
    Verdict,
    WebhookNotice,
)
from server.domain.money import NPR, whole_minor_units
from server.gateways.answers import amount, identifier, missing, record, require_acceptable, text
from server.gateways.client import Answer, AnswerLost, Call, GatewayClient
from server.settings import KhaltiSettings, is_test_host

_log: Final = logging.getLogger(__name__)
WIDGET_TOKEN: Final = "kpg1_token"  # noqa: S105  # the name of a field
"""Where ``AttemptFacts.details`` has the token of a payment through the older widget."""
_MIN_PAISA: Final = 1000
_START_GRACE: Final = timedelta(minutes=15)
_REFUNDED_TEXT: Final = "transaction refund successful"
_CLAIMS: Final = {
    "completed": Claim.PAID,
    "pending": Claim.PENDING,
    "user canceled": Claim.CANCELLED,
    "expired": Claim.FAILED,
}
_OUTCOMES: Final = {
    "completed": Outcome.PAID,
    "pending": Outcome.IN_PROGRESS,
    "initiated": Outcome.UNCHANGED,
    "refunded": Outcome.REFUNDED,
    "partially refunded": Outcome.PARTLY_REFUNDED,
    "expired": Outcome.FAILED,
    "user canceled": Outcome.FAILED,
    "canceled": Outcome.FAILED,
    "failed": Outcome.FAILED,
}
_WIDGET_OUTCOMES: Final = {
    "complete": Outcome.PAID,
    "initiated": Outcome.UNCHANGED,
    "confirmed": Outcome.IN_PROGRESS,
    "failed": Outcome.FAILED,
    # "Transaction not found", also where the amount is another one.
    "error": Outcome.FAILED,
    "refunded": Outcome.REFUNDED,
    "partially refunded": Outcome.PARTLY_REFUNDED,
}


class KhaltiGateway:
    """Implements ``domain.gateway.PaymentGateway``."""

    method = PaymentMethod.KHALTI

    def __init__(self, settings: KhaltiSettings, client: GatewayClient) -> None:
        self._settings = settings
        self._client = client
        self._api_url = settings.api_url.rstrip("/") + "/"
        self._refund_url = settings.refund_url.rstrip("/") + "/"
        self.traits = GatewayTraits(
            currencies=frozenset({NPR}),
            min_amount=_MIN_PAISA,
            max_amount=None,
            can_refund=True,
            can_refund_partly=True,
            accepts_tokens=bool(settings.widget_secret_key),
            is_test=is_test_host(settings.api_url),
        )

    async def start(self, order: PaymentOrder) -> StartedPayment:
        """Initiate; the browser goes to the page that Khalti names.

        A payment through the widget is not started here: it exists when its token arrives.
        """
        require_acceptable(order, self.traits)
        answer = await self._client.send(self._initiation(order))
        pidx, url = identifier(answer.data, "pidx"), text(answer.data, "payment_url")
        if answer.status // 100 == 4:
            _log.error("khalti_refused_initiate %s", sorted(answer.data))
            raise GatewayDeclined(text(answer.data, "error_key") or "refused")
        if not answer.is_good or pidx is None or not self._is_page(url):
            raise GatewayUnavailable("khalti: no pidx or no page")
        return StartedPayment(
            action=PaymentAction(kind=ActionKind.REDIRECT, url=url),
            gateway_id=pidx,
            expires_at=_instant(text(answer.data, "expires_at")),
            raw=record(answer.data),
        )

    def read_return(self, attempt: AttemptFacts, query: Mapping[str, str]) -> ReturnHint:
        """Read the parameters, which anybody can write."""
        mismatches = []
        if query.get("pidx", attempt.gateway_id) != attempt.gateway_id:
            mismatches.append("gateway-id")
        if query.get("purchase_order_id", attempt.reference) != attempt.reference:
            mismatches.append("reference")
        claimed = query.get("total_amount") or query.get("amount") or str(attempt.amount)
        if claimed != str(attempt.amount):
            mismatches.append("amount")
        claim = _CLAIMS.get(query.get("status", "").strip().lower(), Claim.UNKNOWN)
        return ReturnHint(claim=claim, mismatches=tuple(mismatches))

    async def verify(self, attempt: AttemptFacts, now: datetime) -> Verdict:
        """Look the payment up by the stored pidx, or verify the widget's token."""
        if token := attempt.details.get(WIDGET_TOKEN):
            if not self.traits.accepts_tokens:
                raise GatewayMisconfigured("khalti: no key for the widget's tokens")
            return await self._verify_token(attempt, token)
        if attempt.gateway_id is None:
            # Khalti's answer to our start was lost, so nobody was ever sent to its page.
            is_over = now - attempt.created_at > _START_GRACE
            outcome = Outcome.FAILED if is_over else Outcome.UNCHANGED
            return Verdict(outcome=outcome, reason="never-started")
        answer = await self._client.send(
            self._call("lookup", "epayment/lookup/", {"pidx": attempt.gateway_id}, is_safe=True)
        )
        return read_lookup(answer.data, is_good=answer.is_good)

    async def refund(self, attempt: AttemptFacts, order: RefundOrder) -> RefundAnswer:
        """Ask for a refund by the id that the lookup gave; there is no key against repetition.

        A payment from a bank wants the payer's Khalti number; Khalti says so by refusing without.
        """
        if not attempt.transaction_id:
            return RefundAnswer(state=RefundState.FAILED, reason="never-paid")
        is_whole = order.is_full and attempt.refunded == 0
        body: dict[str, Any] = {} if is_whole else {"amount": order.amount}
        try:
            answer = await self._client.send(self._refund_call(attempt.transaction_id, body))
            if "mobile" in answer.data and answer.status == 400 and order.payer_phone:
                body["mobile"] = order.payer_phone
                answer = await self._client.send(self._refund_call(attempt.transaction_id, body))
        except AnswerLost as error:
            return RefundAnswer(state=RefundState.UNKNOWN, reason=str(error))
        return _refund_answer(answer)

    def read_webhook(
        self, headers: Mapping[str, str], body: bytes, now: datetime
    ) -> tuple[WebhookNotice, ...]:
        """Khalti sends none."""
        raise NotFound

    async def _verify_token(self, attempt: AttemptFacts, token: str) -> Verdict:
        """Verify; when that is not an answer, the status of the token decides.

        Verifying is what takes the money, and a second time it may be refused. Only its answer
        names the transaction, so a lost one of a payment that was made is asked for once more.
        """
        paid = {"token": token, "amount": str(attempt.amount)}
        answer = await self._widget_verification(paid)
        if answer is not None and answer.is_good:
            return read_widget_verification(answer.data)
        verdict = await self._widget_status(attempt, token, paid)
        if answer is None and verdict.outcome is Outcome.PAID:
            again = await self._widget_verification(paid)
            if again is not None and again.is_good:
                return read_widget_verification(again.data)
        return verdict

    async def _widget_verification(self, paid: Mapping[str, str]) -> Answer | None:
        try:
            return await self._client.send(
                Call(
                    gateway="khalti",
                    name="widget-verify",
                    method="POST",
                    url=self._api_url + "payment/verify/",
                    headers=self._headers(self._settings.widget_secret_key),
                    form=paid,
                    is_safe=False,
                )
            )
        except AnswerLost:
            return None

    async def _widget_status(
        self, attempt: AttemptFacts, token: str, paid: Mapping[str, str]
    ) -> Verdict:
        answer = await self._client.send(
            Call(
                gateway="khalti",
                name="widget-status",
                method="GET",
                url=self._api_url + "payment/status/",
                params=paid,
                headers=self._headers(self._settings.widget_secret_key),
                is_safe=True,
            )
        )
        return read_widget_status(answer.data, attempt, token)

    def _initiation(self, order: PaymentOrder) -> Call:
        customer = {
            "name": order.customer_name,
            "email": order.customer_email,
            "phone": order.customer_phone,
        }
        body: dict[str, Any] = {
            "return_url": order.return_url,
            "website_url": order.website_url,
            "amount": order.amount,
            "purchase_order_id": order.reference,
            "purchase_order_name": order.title,
        }
        if told := {name: value for name, value in customer.items() if value}:
            body["customer_info"] = told
        return self._call("initiate", "epayment/initiate/", body, is_safe=False)

    def _call(self, name: str, path: str, body: Mapping[str, Any], *, is_safe: bool) -> Call:
        return Call(
            gateway="khalti",
            name=name,
            method="POST",
            url=self._api_url + path,
            headers=self._headers(self._settings.secret_key),
            json=body,
            is_safe=is_safe,
        )

    def _refund_call(self, transaction_id: str, body: Mapping[str, Any]) -> Call:
        path = f"merchant-transaction/{quote(transaction_id, safe='')}/refund/"
        return Call(
            gateway="khalti",
            name="refund",
            method="POST",
            url=self._refund_url + path,
            headers=self._headers(self._settings.secret_key),
            json=body,
            is_safe=False,
        )

    @staticmethod
    def _headers(key: str) -> dict[str, str]:
        return {"Authorization": f"Key {key}"}

    def _is_page(self, url: str) -> bool:
        try:
            page = urlsplit(url)
        except ValueError:
            return False
        # Plain http only where the API is plain http too: a sandbox.
        schemes = {"https", urlsplit(self._api_url).scheme}
        return page.scheme in schemes and bool(page.hostname)


def read_lookup(data: Mapping[str, Any], *, is_good: bool) -> Verdict:
    """Read the answer of the lookup: bad news may come with a bad status, a success may not."""
    status = text(data, "status").lower()
    outcome = _OUTCOMES.get(status, Outcome.UNKNOWN)
    review = ""
    mismatches: tuple[str, ...] = ()
    pidx, paid = identifier(data, "pidx"), amount(data, "total_amount", whole_minor_units)
    transaction_id = identifier(data, "transaction_id")
    if outcome is Outcome.PAID and not is_good:
        outcome, review = Outcome.UNKNOWN, "success-with-a-bad-status"
    elif outcome is Outcome.PAID:
        if data.get("refunded") is True:
            outcome, review = Outcome.REFUNDED, "completed-and-refunded"
        else:
            refunded = data.get("refunded") is False or None
            mismatches = missing(
                gateway_id=pidx, amount=paid, transaction_id=transaction_id, refunded=refunded
            )
    elif outcome is Outcome.PARTLY_REFUNDED:
        review = "size-of-refund-unknown"
    elif outcome is Outcome.UNKNOWN:
        review = "unknown-status"
    return Verdict(
        outcome=outcome,
        amount=paid,
        gateway_id=pidx,
        transaction_id=transaction_id,
        fee=amount(data, "fee", whole_minor_units),
        reason=status or text(data, "detail"),
        mismatches=mismatches,
        review=review,
        raw=record(data),
    )


def read_widget_verification(data: Mapping[str, Any]) -> Verdict:
    """Read the answer of KPG-1's verify."""
    state = data.get("state")
    status = text(state, "name").lower() if isinstance(state, dict) else ""
    transaction_id, paid = identifier(data, "idx"), amount(data, "amount", whole_minor_units)
    is_refunded = data.get("refunded") is True
    if status != "completed":
        outcome, review = Outcome.UNKNOWN, "unknown-status"
    elif is_refunded:
        outcome, review = Outcome.REFUNDED, "completed-and-refunded"
    else:
        outcome, review = Outcome.PAID, ""
    return Verdict(
        outcome=outcome,
        amount=paid,
        transaction_id=transaction_id,
        fee=amount(data, "fee_amount", whole_minor_units),
        reason=status,
        mismatches=missing(amount=paid, transaction_id=transaction_id),
        review=review,
        raw=record(data) | {"state": status},
    )


def read_widget_status(data: Mapping[str, Any], attempt: AttemptFacts, token: str) -> Verdict:
    """Read the answer of KPG-1's status. It was asked with our amount and knows no other.

    It names no transaction: one that is known from before holds, else the token stands for it.
    """
    status = text(data, "state").lower()
    outcome = _WIDGET_OUTCOMES.get(status, Outcome.UNKNOWN)
    review = "unknown-status" if outcome is Outcome.UNKNOWN else ""
    if outcome is Outcome.PAID and data.get("status") is not True:
        outcome, review = Outcome.UNKNOWN, "unknown-status"
    if outcome is Outcome.PARTLY_REFUNDED:
        review = "size-of-refund-unknown"
    is_paid = outcome is Outcome.PAID
    return Verdict(
        outcome=outcome,
        amount=attempt.amount if is_paid else None,
        transaction_id=(attempt.transaction_id or token) if is_paid else None,
        reason=status or text(data, "detail"),
        review=review,
        raw=record(data),
    )


def _refund_answer(answer: Answer) -> RefundAnswer:
    detail = text(answer.data, "detail")
    if answer.is_good and detail.lower().rstrip(".") == _REFUNDED_TEXT:
        state = RefundState.DONE
    elif answer.is_good:
        state = RefundState.UNKNOWN
    else:
        state = RefundState.FAILED
    reason = "" if state is RefundState.DONE else detail or text(answer.data, "error_key")
    return RefundAnswer(state=state, reason=reason, raw=record(answer.data))


def _instant(value: str) -> datetime | None:
    try:
        moment = datetime.fromisoformat(value)
    except ValueError:
        return None
    return moment.astimezone(UTC) if moment.tzinfo else None
