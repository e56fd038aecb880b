"""Stripe: hosted Checkout Sessions through Stripe's own library, refunds, signed webhooks.

The attempt's ``gateway_id`` is the session; the PaymentIntent below it is the ``transaction_id``.
An attempt whose id is a PaymentIntent's is read as well. What counts as paid is
``amount_received`` of an intent that has succeeded. Refunds count when they have succeeded, and
their sum is asked for, never added up from events, which come twice and in any order.
"""

from __future__ import annotations

import dataclasses
import logging
from collections.abc import Awaitable, Callable, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any, Final, TypeVar
from urllib.parse import urlsplit

import httpx
import stripe

from server.domain.booking import PaymentMethod
from server.domain.errors import (
    ForgedCallback,
    GatewayDeclined,
    GatewayMisconfigured,
    GatewayUnavailable,
    Malformed,
)
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
from server.domain.money import NPR, USD
from server.gateways.answers import missing, require_acceptable
from server.gateways.client import AnswerLost, GatewayClient, NotSent
from server.settings import StripeSettings, is_test_host

T = TypeVar("T")
Data = Mapping[str, Any]

_log: Final = logging.getLogger(__name__)
_OURS: Final = "payment_id"
"""Where Stripe's metadata has our reference."""
_REFUND: Final = "refund_id"
_TRIES: Final = 2
_SESSION: Final = timedelta(minutes=35)  # Stripe takes 30 minutes and more
_START_GRACE: Final = timedelta(minutes=15)
_TOLERANCE_SECONDS: Final = 300
_MOST_REFUNDS: Final = 100
_INTENT_PREFIX: Final = "pi_"
_KEPT: Final = (
    *("id", "object", "status", "payment_status", "amount", "amount_total", "amount_received"),
    *("amount_refunded", "currency", "payment_intent", "livemode", "client_reference_id", "reason"),
)
_INTENT_OUTCOMES: Final = {
    # After a declined card the page stays open for another one.
    "requires_payment_method": Outcome.UNCHANGED,
    "requires_confirmation": Outcome.UNCHANGED,
    "requires_action": Outcome.IN_PROGRESS,
    "processing": Outcome.IN_PROGRESS,
    "requires_capture": Outcome.IN_PROGRESS,
    "succeeded": Outcome.PAID,
    "canceled": Outcome.FAILED,
}
_REFUND_STATES: Final = {
    "succeeded": RefundState.DONE,
    "pending": RefundState.PENDING,
    "requires_action": RefundState.PENDING,
    "failed": RefundState.FAILED,
    "canceled": RefundState.FAILED,
}


class StripeGateway:
    """Implements ``domain.gateway.PaymentGateway``.

    Parameters
    ----------
    settings, client
        Of ``client`` its timeouts and its end are taken; the library has connections of its own.
    tries
        How often the library repeats a call that failed.
    """

    method = PaymentMethod.STRIPE

    def __init__(
        self, settings: StripeSettings, client: GatewayClient, tries: int = _TRIES
    ) -> None:
        self._settings = settings
        self._is_live = settings.secret_key.startswith(("sk_live_", "rk_live_"))
        waits = client.settings
        http = stripe.HTTPXClient(
            timeout=httpx.Timeout(waits.read_seconds, connect=waits.connect_seconds)
        )
        client.also_close(http.close_async)
        self._stripe = stripe.StripeClient(
            settings.secret_key,
            max_network_retries=tries,
            http_client=http,
            base_addresses={"api": settings.api_url.rstrip("/")},
        )
        self.traits = GatewayTraits(
            currencies=frozenset({NPR, USD}),
            # Half a dollar. What half a dollar is in rupees Stripe knows, and says so.
            min_amount=50,
            max_amount=99_999_999,
            can_refund=True,
            can_refund_partly=True,
            is_test=not self._is_live or is_test_host(settings.api_url),
        )

    async def start(self, order: PaymentOrder) -> StartedPayment:
        """Open a session; asking again for the same reference gives the same one."""
        require_acceptable(order, self.traits)
        try:
            session = await self._ask(
                "session-create",
                lambda: self._stripe.v1.checkout.sessions.create_async(
                    session_params(order), {"idempotency_key": f"pay:{order.reference}:create"}
                ),
            )
        except stripe.InvalidRequestError as error:
            raise GatewayDeclined(error.code or "invalid-request") from error
        data = session.to_dict()
        url, session_id = _text(data, "url"), _text(data, "id")
        if not session_id or urlsplit(url).scheme not in ("https", self._scheme):
            raise GatewayUnavailable("stripe: no session or no page")
        expires = _whole(data, "expires_at")
        return StartedPayment(
            action=PaymentAction(kind=ActionKind.REDIRECT, url=url),
            gateway_id=session_id,
            expires_at=datetime.fromtimestamp(expires, UTC) if expires else None,
            raw=_raw(data),
        )

    def read_return(self, attempt: AttemptFacts, query: Mapping[str, str]) -> ReturnHint:
        """Read whether the browser came to the success address, which names the session."""
        session_id = query.get("session_id")
        if session_id is None:
            return ReturnHint(claim=Claim.CANCELLED)
        is_ours = session_id == attempt.gateway_id
        return ReturnHint(claim=Claim.PAID, mismatches=() if is_ours else ("gateway-id",))

    async def verify(self, attempt: AttemptFacts, now: datetime) -> Verdict:
        """Retrieve the session, its intent, and of a success its refunds."""
        if attempt.gateway_id is None:
            # The session was made or not, but nobody was ever sent to its page.
            is_over = now - attempt.created_at > _START_GRACE
            outcome = Outcome.FAILED if is_over else Outcome.UNCHANGED
            return Verdict(outcome=outcome, reason="never-started")
        try:
            if attempt.gateway_id.startswith(_INTENT_PREFIX):
                intent = await self._intent(attempt.gateway_id)
                verdict = read_intent(intent, is_live=self._is_live)
            else:
                verdict = await self._verify_session(attempt.gateway_id)
            if verdict.outcome is not Outcome.PAID or verdict.transaction_id is None:
                return verdict
            return with_refunds(verdict, await self._refunds(verdict.transaction_id))
        except stripe.InvalidRequestError as error:
            return Verdict(
                outcome=Outcome.UNKNOWN,
                reason=error.code or "invalid-request",
                review="unknown-at-the-provider",
            )

    async def refund(self, attempt: AttemptFacts, order: RefundOrder) -> RefundAnswer:
        """Ask for a refund under the key of its row: the same one is never made twice."""
        intent = attempt.transaction_id or attempt.gateway_id or ""
        if not intent.startswith(_INTENT_PREFIX):
            return RefundAnswer(state=RefundState.FAILED, reason="never-paid")
        params: Any = {
            "payment_intent": intent,
            "amount": order.amount,
            "metadata": {_OURS: attempt.reference, _REFUND: order.id},
        }
        key = f"pay:{attempt.reference}:refund:{order.id}"
        try:
            made = await self._ask(
                "refund-create",
                lambda: self._stripe.v1.refunds.create_async(params, {"idempotency_key": key}),
            )
        except AnswerLost as error:
            return RefundAnswer(state=RefundState.UNKNOWN, reason=str(error))
        except stripe.InvalidRequestError as error:
            reason = error.code or "invalid-request"
            return RefundAnswer(state=RefundState.FAILED, reason=reason)
        return read_refund(made.to_dict())

    def read_webhook(
        self, headers: Mapping[str, str], body: bytes, now: datetime
    ) -> tuple[WebhookNotice, ...]:
        """Check the signature over the raw bytes and its age, and read the event."""
        event = signed_event(
            body, headers.get("stripe-signature", ""), self._settings.webhook_secret, now
        )
        if event.get("livemode") is not self._is_live:
            _log.warning("stripe_event_of_another_mode %s", _text(event, "id"))
            return ()
        notice = read_event(event, is_live=self._is_live)
        return () if notice is None else (notice,)

    @property
    def _scheme(self) -> str:
        # Plain http only where the API is plain http too: a sandbox.
        return urlsplit(self._settings.api_url).scheme

    async def _verify_session(self, session_id: str) -> Verdict:
        session = (
            await self._ask(
                "session-retrieve",
                lambda: self._stripe.v1.checkout.sessions.retrieve_async(session_id),
            )
        ).to_dict()
        verdict = read_session(session, is_live=self._is_live)
        intent_id = verdict.transaction_id
        if _text(session, "status") != "complete" or intent_id is None:
            return verdict
        if verdict.outcome not in (Outcome.PAID, Outcome.IN_PROGRESS):
            return verdict
        intent = read_intent(await self._intent(intent_id), is_live=self._is_live)
        return combined(verdict, intent)

    async def _intent(self, intent_id: str) -> dict[str, Any]:
        intent = await self._ask(
            "intent-retrieve", lambda: self._stripe.v1.payment_intents.retrieve_async(intent_id)
        )
        return intent.to_dict()

    async def _refunds(self, intent_id: str) -> list[dict[str, Any]]:
        params: Any = {"payment_intent": intent_id, "limit": _MOST_REFUNDS}
        found = await self._ask("refund-list", lambda: self._stripe.v1.refunds.list_async(params))
        return [each.to_dict() for each in found.data]

    async def _ask(self, name: str, call: Callable[[], Awaitable[T]]) -> T:
        """Make a call of the library and put its failures into our words.

        ``stripe.InvalidRequestError`` passes: what it means depends on the call.
        """
        try:
            answer = await call()
        except (stripe.AuthenticationError, stripe.PermissionError) as error:
            _log.error("gateway_refused_us stripe %s %s", name, error.http_status)
            raise GatewayMisconfigured(f"stripe {name}: {error.http_status}") from error
        except stripe.RateLimitError as error:
            raise NotSent(f"stripe {name}: too many requests") from error
        except stripe.CardError as error:
            raise GatewayDeclined(error.code or "card") from error
        except stripe.InvalidRequestError as error:
            _log.warning("gateway_call_refused stripe %s %s", name, error.code)
            raise
        except stripe.StripeError as error:
            # No connection, a fault at Stripe, or a key that is used for something else.
            _log.warning("gateway_call_failed stripe %s %s", name, type(error).__name__)
            raise AnswerLost(f"stripe {name}: {type(error).__name__}") from error
        _log.info("gateway_call stripe %s", name)
        return answer


def session_params(order: PaymentOrder) -> Any:
    """What a Checkout Session is made of. Its metadata is not the intent's: both get ours."""
    ours = {_OURS: order.reference}
    item = {
        "price_data": {
            "currency": order.currency.lower(),
            "unit_amount": order.amount,
            "product_data": {"name": order.title},
        },
        "quantity": 1,
    }
    params: dict[str, Any] = {
        "mode": "payment",
        "line_items": [item],
        "success_url": order.return_url + "?session_id={CHECKOUT_SESSION_ID}",
        "cancel_url": order.cancel_url,
        "client_reference_id": order.reference,
        "metadata": ours,
        "payment_intent_data": {"metadata": ours},
        "expires_at": int((order.created_at + _SESSION).timestamp()),
    }
    if order.customer_email:
        params["customer_email"] = order.customer_email
    return params


def read_session(data: Data, *, is_live: bool) -> Verdict:
    """Read a Checkout Session by itself."""
    status, payment = _text(data, "status"), _text(data, "payment_status")
    review = ""
    match status, payment:
        case "complete", "paid":
            outcome = Outcome.PAID
        case "complete", "unpaid":
            outcome = Outcome.IN_PROGRESS
        case "open", "unpaid":
            outcome = Outcome.UNCHANGED
        case "expired", "unpaid":
            outcome = Outcome.FAILED
        case _:
            outcome, review = Outcome.UNKNOWN, "unknown-status"
    paid, currency = _whole(data, "amount_total"), _text(data, "currency").upper()
    reference = _text(data, "client_reference_id")
    mismatches = _mode(data, is_live=is_live)
    if outcome is Outcome.PAID:
        intent = _id(data, "payment_intent")
        mismatches += missing(
            amount=paid, currency=currency, reference=reference, transaction_id=intent
        )
    return Verdict(
        outcome=outcome,
        amount=paid,
        currency=currency or None,
        reference=reference or None,
        gateway_id=_text(data, "id") or None,
        transaction_id=_id(data, "payment_intent"),
        reason=status if payment in ("", "paid") else f"{status}, {payment}",
        mismatches=mismatches,
        review=review,
        raw=_raw(data),
    )


def read_intent(data: Data, *, is_live: bool) -> Verdict:
    """Read a PaymentIntent: what was received, not what was asked for."""
    status = _text(data, "status")
    outcome = _INTENT_OUTCOMES.get(status, Outcome.UNKNOWN)
    received, currency = _whole(data, "amount_received"), _text(data, "currency").upper()
    reference = _text(_part(data, "metadata"), _OURS)
    mismatches = _mode(data, is_live=is_live)
    if outcome is Outcome.PAID:
        mismatches += missing(amount=received, currency=currency, reference=reference)
    intent_id = _text(data, "id") or None
    return Verdict(
        outcome=outcome,
        amount=received if outcome is Outcome.PAID else None,
        currency=currency or None,
        reference=reference or None,
        gateway_id=intent_id,
        transaction_id=intent_id,
        reason=_text(_part(data, "last_payment_error"), "code") or status,
        mismatches=mismatches,
        review="unknown-status" if outcome is Outcome.UNKNOWN else "",
        raw=_raw(data),
    )


def combined(session: Verdict, intent: Verdict) -> Verdict:
    """The verdict on a session that is complete: its intent decides, both must agree."""
    mismatches = session.mismatches + intent.mismatches
    if intent.outcome is Outcome.PAID:
        for name in ("reference", "amount", "currency"):
            if getattr(session, name) != getattr(intent, name):
                mismatches += (name,)
    # A complete page takes no other card: what failed below it has failed.
    is_over = intent.outcome is Outcome.UNCHANGED
    return dataclasses.replace(
        intent,
        outcome=Outcome.FAILED if is_over else intent.outcome,
        gateway_id=session.gateway_id,
        mismatches=tuple(dict.fromkeys(mismatches)),
        raw={**{f"session_{name}": value for name, value in session.raw.items()}, **intent.raw},
    )


def with_refunds(verdict: Verdict, refunds: list[dict[str, Any]]) -> Verdict:
    """Add what has gone back of a success: the sum of the refunds that have succeeded."""
    total = sum(
        _whole(each, "amount") or 0 for each in refunds if _text(each, "status") == "succeeded"
    )
    return dataclasses.replace(verdict, outcome=_refunded(total, verdict.amount), refunded=total)


def read_refund(data: Data) -> RefundAnswer:
    """Read a refund. A state that we do not know is not known to be any."""
    status = _text(data, "status")
    return RefundAnswer(
        state=_REFUND_STATES.get(status, RefundState.UNKNOWN),
        gateway_id=_text(data, "id") or None,
        reason=_text(data, "failure_reason") or ("" if status == "succeeded" else status),
        raw=_raw(data),
    )


def signed_event(body: bytes, header: str, secret: str, now: datetime) -> dict[str, Any]:
    """Check Stripe's signature over the raw bytes and read the event.

    The age is held against ``now``, which the library would take from the machine's clock.

    Raises
    ------
    ForgedCallback
        For a signature that is missing, wrong or older than five minutes, and for no secret.
    Malformed
        For signed bytes that are no event.
    """
    try:
        if not header.isascii():
            raise ForgedCallback("wrong-signature")
        event = stripe.Webhook.construct_event(body, header, secret, tolerance=0)
        data: dict[str, Any] = event.to_dict()
    except stripe.SignatureVerificationError as error:
        raise ForgedCallback("wrong-signature") from error
    except (ValueError, TypeError, AttributeError) as error:
        raise Malformed from error
    # The library has found one and read it as a whole number.
    signed_at = next(int(part.split("=")[1]) for part in header.split(",") if part[:2] == "t=")
    if signed_at < now.timestamp() - _TOLERANCE_SECONDS:
        raise ForgedCallback("stale-signature")
    return data


def read_event(event: Data, *, is_live: bool) -> WebhookNotice | None:
    """Read one event; None for those that mean nothing to us."""
    kind, data = _text(event, "type"), _part(_part(event, "data"), "object")
    family, _, what = kind.rpartition(".")
    notice = WebhookNotice(event_id=_text(event, "id"), kind=kind)
    if family == "checkout.session":
        return _session_notice(notice, what, data, is_live=is_live)
    if family == "payment_intent":
        return _intent_notice(notice, data, is_live=is_live)
    if kind == "charge.refunded":
        # Its running total may be older than what is known, and a refund can fail afterwards: the
        # API is asked what has gone back.
        return _found_by_charge(notice, data, None)
    if family in ("refund", "charge.refund"):
        refund_id = _text(_part(data, "metadata"), _REFUND) or None
        refund = read_refund(data) if refund_id else None
        found = _found_by_charge(notice, data, None)
        return dataclasses.replace(found, refund_id=refund_id, refund=refund)
    if family == "charge.dispute":
        doubt = Verdict(outcome=Outcome.UNCHANGED, review=f"dispute-{what}", raw=_raw(data))
        return _found_by_charge(notice, data, doubt)
    return None


def _session_notice(
    notice: WebhookNotice, what: str, data: Data, *, is_live: bool
) -> WebhookNotice | None:
    verdict = read_session(data, is_live=is_live)
    if what == "async_payment_failed":
        verdict = dataclasses.replace(verdict, outcome=Outcome.FAILED, review="")
    elif what not in ("completed", "async_payment_succeeded", "expired"):
        return None
    return dataclasses.replace(
        notice,
        reference=verdict.reference,
        gateway_id=verdict.gateway_id,
        transaction_id=verdict.transaction_id,
        verdict=verdict,
    )


def _intent_notice(notice: WebhookNotice, data: Data, *, is_live: bool) -> WebhookNotice:
    verdict = read_intent(data, is_live=is_live)
    # The attempt may be known by its session, which an intent does not name.
    return dataclasses.replace(
        notice,
        reference=verdict.reference,
        gateway_id=None if verdict.reference else verdict.gateway_id,
        transaction_id=verdict.transaction_id,
        verdict=dataclasses.replace(verdict, gateway_id=None),
    )


def _found_by_charge(notice: WebhookNotice, data: Data, verdict: Verdict | None) -> WebhookNotice:
    reference = _text(_part(data, "metadata"), _OURS) or None
    intent_id = _id(data, "payment_intent")
    return dataclasses.replace(
        notice,
        reference=reference,
        gateway_id=None if reference else intent_id,
        transaction_id=intent_id,
        verdict=verdict,
    )


def _refunded(total: int, paid: int | None) -> Outcome:
    if total <= 0:
        return Outcome.PAID
    return Outcome.REFUNDED if paid is not None and total >= paid else Outcome.PARTLY_REFUNDED


def _mode(data: Data, *, is_live: bool) -> tuple[str, ...]:
    return () if data.get("livemode") is is_live else ("mode",)


def _part(data: Data, name: str) -> Data:
    part = data.get(name)
    return part if isinstance(part, Mapping) else {}


def _text(data: Data, name: str) -> str:
    value = data.get(name)
    return value if isinstance(value, str) else ""


def _id(data: Data, name: str) -> str | None:
    """An id that stands there as such, or within the object that it names."""
    return _text(data, name) or _text(_part(data, name), "id") or None


def _whole(data: Data, name: str) -> int | None:
    value = data.get(name)
    return value if isinstance(value, int) and not isinstance(value, bool) and value >= 0 else None


def _raw(data: Data) -> dict[str, str]:
    kept = {name: data[name] for name in _KEPT if name in data}
    return {
        name: str(value)[:300]
        for name, value in kept.items()
        if isinstance(value, (str, int)) and value != ""
    }
