"""IME Pay: a token bought for an amount, a checkout in the browser, and a confirmation by us.

There is no public specification: codes and amounts come as numbers or as texts, amounts with four
decimals, and the amount of a payment is not always told again. What binds the amount is the token,
which was given out for exactly that; a token that the browser brings and that is not ours counts
for nothing. A payment is always confirmed, since IME may reverse one that is not.
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any, Final
from urllib.parse import urlencode

from server.domain.booking import PaymentMethod
from server.domain.errors import GatewayDeclined, GatewayUnavailable, Malformed, NotFound
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
from server.domain.money import NPR, full_text
from server.gateways.answers import (
    amount,
    decode_base64,
    encode_base64,
    identifier,
    record,
    require_acceptable,
    text,
)
from server.gateways.client import AnswerLost, Call, GatewayClient
from server.settings import ImePaySettings, is_test_host

_RETURNED: Final = (
    "ResponseCode",
    "ResponseDescription",
    "Msisdn",
    "TransactionId",
    "RefId",
    "TranAmount",
    "TokenId",
)
_START_GRACE: Final = timedelta(minutes=15)
_MSISDN: Final = re.compile(r"\+?[0-9]{6,15}")
_TRANSACTION: Final = "transaction_id"
_PHONE: Final = "msisdn"
_CLAIMS: Final = {"0": Claim.PAID, "1": Claim.FAILED, "2": Claim.PENDING, "3": Claim.CANCELLED}
_OUTCOMES: Final = {
    "0": Outcome.PAID,
    "1": Outcome.FAILED,
    "2": Outcome.IN_PROGRESS,
    "3": Outcome.FAILED,
}


class ImePayGateway:
    """Implements ``domain.gateway.PaymentGateway``."""

    method = PaymentMethod.IME_PAY

    def __init__(self, settings: ImePaySettings, client: GatewayClient) -> None:
        self._settings = settings
        self._client = client
        self._base_url = settings.base_url.rstrip("/")
        self.traits = GatewayTraits(
            currencies=frozenset({NPR}),
            min_amount=100,
            max_amount=None,
            is_test=is_test_host(self._base_url),
        )

    async def start(self, order: PaymentOrder) -> StartedPayment:
        """Get a token for the amount; the browser takes it to the checkout."""
        require_acceptable(order, self.traits)
        data = await self._ask(
            "GetToken",
            {"Amount": full_text(order.amount), "RefId": order.reference},
            is_safe=False,
        )
        token_id = identifier(data, "TokenId")
        if (code := text(data, "ResponseCode")) != "0":
            raise GatewayDeclined(code[:20] or "no-code")
        if token_id is None or not _fits(data, order):
            raise GatewayUnavailable("imepay: the token is for something else")
        checkout = checkout_data(token_id, self._settings.merchant_code, order)
        return StartedPayment(
            action=PaymentAction(
                kind=ActionKind.REDIRECT,
                url=f"{self._base_url}/WebCheckout/Checkout?{urlencode({'data': checkout})}",
            ),
            gateway_id=token_id,
            raw=record(data),
        )

    def read_return(self, attempt: AttemptFacts, query: Mapping[str, str]) -> ReturnHint:
        """Read the seven values, which anybody can write, as one text or as fields.

        Only those that belong to the attempt are kept for the confirmation.
        """
        fields = read_returned(query)
        if not fields:
            return ReturnHint(claim=Claim.UNKNOWN)
        mismatches = []
        if fields["RefId"] != attempt.reference:
            mismatches.append("reference")
        if fields["TokenId"] not in ("", attempt.gateway_id):
            mismatches.append("gateway-id")
        if fields["TranAmount"] and amount(fields, "TranAmount") != attempt.amount:
            mismatches.append("amount")
        claim = _CLAIMS.get(fields["ResponseCode"], Claim.UNKNOWN)
        transaction_id = identifier(fields, "TransactionId")
        details = {}
        if claim is Claim.PAID and transaction_id and not mismatches:
            details = {_TRANSACTION: transaction_id}
            if _MSISDN.fullmatch(fields["Msisdn"]):
                details[_PHONE] = fields["Msisdn"]
        return ReturnHint(claim=claim, details=details, mismatches=tuple(mismatches))

    async def verify(self, attempt: AttemptFacts, now: datetime) -> Verdict:
        """Confirm what the browser told of; without that, or without success, recheck.

        A success that only the recheck tells of is confirmed then.
        """
        if attempt.gateway_id is None:
            # Our request for a token got no answer, so nobody was ever sent to the checkout.
            is_over = now - attempt.created_at > _START_GRACE
            outcome = Outcome.FAILED if is_over else Outcome.UNCHANGED
            return Verdict(outcome=outcome, reason="never-started")
        told = attempt.details.get(_TRANSACTION)
        confirmed: Verdict | None = None
        if told and attempt.transaction_id is None:
            confirmed = await self._confirm(attempt, told, attempt.details.get(_PHONE, ""))
            if confirmed is not None and confirmed.outcome is Outcome.PAID:
                return confirmed
        data = await self._ask("Recheck", self._payment(attempt), is_safe=True)
        rechecked = read_answer(data)
        if rechecked.outcome is not Outcome.PAID or attempt.transaction_id is not None:
            return rechecked
        found = rechecked.transaction_id
        if found is None:
            return dataclasses.replace(rechecked, review="no-transaction-to-confirm")
        if confirmed is None or found != told:
            phone = text(data, "Msisdn") or attempt.details.get(_PHONE, "")
            confirmed = await self._confirm(attempt, found, phone)
            if confirmed is not None and confirmed.outcome is Outcome.PAID:
                return confirmed
        if confirmed is None:
            # Paid and perhaps not confirmed: it is not settled before IME has taken that.
            return dataclasses.replace(
                rechecked, outcome=Outcome.IN_PROGRESS, reason="not-confirmed-yet"
            )
        # IME has refused to be told again what it knows to be paid.
        return dataclasses.replace(rechecked, reason="not-confirmed")

    async def refund(self, attempt: AttemptFacts, order: RefundOrder) -> RefundAnswer:
        """Refunds are made by staff, through IME."""
        return RefundAnswer(state=RefundState.MANUAL)

    def read_webhook(
        self, headers: Mapping[str, str], body: bytes, now: datetime
    ) -> tuple[WebhookNotice, ...]:
        """Find none: IME Pay does not send any for the web."""
        raise NotFound

    async def _confirm(
        self, attempt: AttemptFacts, transaction_id: str, phone: str
    ) -> Verdict | None:
        """Confirm; None when the answer was lost, and the recheck has to tell."""
        body = {**self._payment(attempt), "TransactionId": transaction_id, "Msisdn": phone}
        try:
            data = await self._ask("Confirm", body, is_safe=False)
        except AnswerLost:
            return None
        verdict = read_answer(data)
        if verdict.transaction_id is None:
            return dataclasses.replace(verdict, transaction_id=transaction_id)
        if verdict.transaction_id != transaction_id:
            return dataclasses.replace(verdict, mismatches=("transaction-id",))
        return verdict

    def _payment(self, attempt: AttemptFacts) -> dict[str, str]:
        return {"RefId": attempt.reference, "TokenId": attempt.gateway_id or ""}

    async def _ask(self, name: str, body: Mapping[str, str], *, is_safe: bool) -> Mapping[str, Any]:
        settings = self._settings
        answer = await self._client.send(
            Call(
                gateway="imepay",
                name=name,
                method="POST",
                url=f"{self._base_url}/api/Web/{name}",
                headers=headers(settings.user, settings.password, settings.module),
                json={"MerchantCode": settings.merchant_code, **body},
                is_safe=is_safe,
            )
        )
        if not answer.is_good:
            raise AnswerLost(f"imepay {name}: {answer.status}")
        return answer.data


def headers(user: str, password: str, module: str) -> dict[str, str]:
    """The headers by which IME Pay knows us."""
    return {
        "Authorization": f"Basic {encode_base64(f'{user}:{password}')}",
        "Module": encode_base64(module),
    }


def checkout_data(token_id: str, merchant_code: str, order: PaymentOrder) -> str:
    """The seven values of a checkout in their order, as one text in base64."""
    values = (
        token_id,
        merchant_code,
        order.reference,
        full_text(order.amount),
        "GET",
        order.return_url,
        order.cancel_url,
    )
    return encode_base64("|".join(values))


def read_returned(query: Mapping[str, str]) -> dict[str, str]:
    """Read what a browser brought back: seven values, or none at all from the cancel address.

    Raises
    ------
    Malformed
        If ``data`` is no base64 of exactly seven parts.
    """
    if "data" not in query:
        if "ResponseCode" not in query:
            return {}
        return {name: text(query, name) for name in _RETURNED}
    decoded = decode_base64(query["data"])
    try:
        parts = decoded.decode().split("|") if decoded is not None else []
    except UnicodeDecodeError as error:
        raise Malformed from error
    if len(parts) != len(_RETURNED):
        raise Malformed
    return {name: part.strip() for name, part in zip(_RETURNED, parts, strict=True)}


def read_answer(data: Mapping[str, Any]) -> Verdict:
    """Read the answer of Confirm or Recheck; both speak alike. Amounts may be missing."""
    code = text(data, "ResponseCode")
    outcome = _OUTCOMES.get(code, Outcome.UNKNOWN)
    mismatches: tuple[str, ...] = ()
    told = next((name for name in ("Amount", "TranAmount") if data.get(name) is not None), None)
    paid = amount(data, told) if told else None
    if told and paid is None and outcome is Outcome.PAID:
        mismatches = ("amount",)
    return Verdict(
        outcome=outcome,
        amount=paid,
        reference=text(data, "RefId") or None,
        gateway_id=identifier(data, "TokenId"),
        transaction_id=identifier(data, "TransactionId"),
        reason=text(data, "ResponseDescription").lower(),
        mismatches=mismatches,
        review="unknown-status" if outcome is Outcome.UNKNOWN else "",
        raw=record(data),
    )


def _fits(data: Mapping[str, Any], order: PaymentOrder) -> bool:
    """Whether an answer about a token is about ours, where it says so."""
    is_amount = data.get("Amount") is None or amount(data, "Amount") == order.amount
    return is_amount and text(data, "RefId") in ("", order.reference)
