"""Stripe's words: its form encoding, its objects, its errors and its signature."""

from __future__ import annotations

import hashlib
import hmac
import itertools
import re
from collections.abc import Iterable, Mapping
from typing import Any, Final
from urllib.parse import parse_qsl

from server.sandbox.payments import Payment, Refund, Status, Story
from server.sandbox.provider import Answer

_PATH: Final = re.compile(r"([^\[\]]+)((?:\[[^\[\]]*\])*)")
_STEP: Final = re.compile(r"\[([^\[\]]*)\]")
_MAX_FIELDS: Final = 500
_INTENT_WORDS: Final = {
    Status.OPEN: "requires_payment_method",
    Status.PENDING: "processing",
    Status.PAID: "succeeded",
    Status.CANCELLED: "canceled",
    Status.FAILED: "requires_payment_method",
    Status.EXPIRED: "canceled",
}
_DECLINED: Final = {
    "type": "card_error",
    "code": "card_declined",
    "decline_code": "generic_decline",
    "message": "Your card was declined.",
}


def decode_form(body: bytes) -> dict[str, Any]:
    """Read ``a[b][0][c]=x`` into nested dictionaries and lists.

    Raises
    ------
    ValueError
        If a name cannot be read, or there are too many.
    """
    pairs = parse_qsl(body.decode(), keep_blank_values=True, max_num_fields=_MAX_FIELDS)
    root: dict[str, Any] = {}
    for name, value in pairs:
        match = _PATH.fullmatch(name)
        if match is None:
            raise ValueError(name)
        steps = [match[1], *_STEP.findall(match[2])]
        node = root
        for step, following in itertools.pairwise(steps):
            inner = node.setdefault(step or str(len(node)), {})
            if not isinstance(inner, dict):
                raise ValueError(f"{name}: {following}")
            node = inner
        node[steps[-1] or str(len(node))] = value
    return {name: _with_lists(value) for name, value in root.items()}


def _with_lists(value: Any) -> Any:
    if not isinstance(value, dict):
        return value
    inner = {name: _with_lists(each) for name, each in value.items()}
    if inner and list(inner) == [str(number) for number in range(len(inner))]:
        return list(inner.values())
    return inner


def error(
    message: str,
    *,
    status: int = 400,
    kind: str = "invalid_request_error",
    code: str = "",
    param: str = "",
    **more: Any,
) -> Answer:
    """Make an error as Stripe words it."""
    named = {"code": code, "param": param, **more}
    told = {name: value for name, value in named.items() if value}
    return Answer.of({"error": {"type": kind, "message": message, **told}}, status)


def sign_webhook(secret: str, at: int, body: bytes) -> str:
    """Sign a webhook: the header's value."""
    digest = hmac.digest(secret.encode(), f"{at}.".encode() + body, hashlib.sha256)
    return f"t={at},v1={digest.hex()}"


def session(payment: Payment, story: Story, expand: Iterable[str] = ()) -> dict[str, Any]:
    """Make the Checkout Session of a payment."""
    details = payment.details
    is_complete = story.status in (Status.PAID, Status.PENDING, Status.FAILED)
    status = "complete" if is_complete else "open"
    if story.status in (Status.EXPIRED, Status.CANCELLED):
        status = "expired"
    deeper = [each.removeprefix("payment_intent.") for each in expand]
    held: Any = details.get("intent")
    if held and any(each.startswith("payment_intent") for each in expand):
        held = intent(payment, story, deeper)
    paid = "paid" if story.status is Status.PAID else "unpaid"
    return {
        "id": story.gateway_id,
        "object": "checkout.session",
        "amount_subtotal": story.amount,
        "amount_total": story.amount,
        "cancel_url": payment.cancel_url or None,
        "client_reference_id": story.reference if details.get("client_reference_id") else None,
        "created": int(payment.created_at),
        "currency": story.currency.lower(),
        "customer_email": details.get("customer_email"),
        "expires_at": int(payment.expires_at),
        "livemode": False,
        "metadata": _metadata(payment, story, "metadata"),
        "mode": "payment",
        "payment_intent": held,
        "payment_status": story.words or paid,
        "status": status,
        "success_url": payment.return_url,
        "url": details["url"] if status == "open" else None,
    }


def intent(payment: Payment, story: Story, expand: Iterable[str] = ()) -> dict[str, Any]:
    """Make the PaymentIntent of a payment."""
    details = payment.details
    is_paid = story.status is Status.PAID
    held: Any = story.transaction_id or None
    if held and "latest_charge" in expand:
        held = charge(payment, story)
    has_failed = story.status is Status.FAILED or details.get("is_declined")
    is_own = details.get("kind") == "intent"
    word = details.get("intent_status", "") if story.status is Status.OPEN else ""
    return {
        "id": story.gateway_id if is_own else details["intent"],
        "object": "payment_intent",
        "amount": story.amount,
        "amount_received": story.amount if is_paid else 0,
        "automatic_payment_methods": {"enabled": True} if is_own else None,
        "canceled_at": None,
        "client_secret": f"{details['intent']}_secret_{details['client_secret']}",
        "created": int(payment.created_at),
        "currency": story.currency.lower(),
        "description": details.get("description"),
        "last_payment_error": _DECLINED if has_failed and not is_paid else None,
        "latest_charge": held,
        "livemode": False,
        "metadata": _metadata(payment, story, "intent_metadata"),
        "receipt_email": details.get("receipt_email"),
        "status": story.words or word or _INTENT_WORDS[story.status],
    }


def charge(payment: Payment, story: Story) -> dict[str, Any]:
    """Make the Charge of a paid payment."""
    return {
        "id": story.transaction_id,
        "object": "charge",
        "amount": story.amount,
        "amount_captured": story.amount,
        "amount_refunded": story.refunded,
        "created": int(payment.paid_at or payment.created_at),
        "currency": story.currency.lower(),
        "livemode": False,
        "metadata": _metadata(payment, story, "intent_metadata"),
        "paid": True,
        "payment_intent": payment.details["intent"],
        "refunded": story.is_refunded,
        "status": "succeeded",
    }


def refund(payment: Payment, given: Refund) -> dict[str, Any]:
    """Make the Refund."""
    return {
        "id": given.id,
        "object": "refund",
        "amount": given.amount,
        "charge": payment.transaction_id,
        "created": int(given.created_at),
        "currency": payment.currency.lower(),
        "failure_reason": given.details.get("failure_reason"),
        "metadata": given.details.get("metadata", {}),
        "payment_intent": payment.details["intent"],
        "reason": given.details.get("reason"),
        "status": str(given.status),
    }


def listed(objects: list[dict[str, Any]], url: str) -> Answer:
    """Make a list that has no further page."""
    return Answer.of({"object": "list", "data": objects, "has_more": False, "url": url})


def _metadata(payment: Payment, story: Story, name: str) -> dict[str, str]:
    kept: Mapping[str, str] = payment.details.get(name, {})
    return {
        key: story.reference if value == payment.reference else value for key, value in kept.items()
    }
