"""Stripe: sessions, refunds under keys, and webhooks that only Stripe can have signed."""

from __future__ import annotations

import hashlib
import hmac
import json
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import parse_qs

import pytest
from hypothesis import given
from hypothesis import strategies as st

from server.domain.errors import (
    ForgedCallback,
    GatewayDeclined,
    GatewayMisconfigured,
    GatewayUnavailable,
    Malformed,
)
from server.domain.gateway import Claim, Outcome, RefundOrder, RefundState
from server.gateways.stripe import (
    StripeGateway,
    combined,
    read_event,
    read_intent,
    read_refund,
    read_session,
    signed_event,
    with_refunds,
)
from server.settings import StripeSettings
from tests.provider import BAD_GATEWAY, BREAKS, says
from tests.unit.gateways.conftest import STARTED

SECRET = "whsec_pandityatra_unit_test"
SIGNED_AT = datetime.fromtimestamp(1_760_000_000, UTC)
VECTOR = (
    b'{"id":"evt_py_1","object":"event","type":"payment_intent.succeeded","livemode":false,'
    b'"created":1760000000,"data":{"object":{"id":"pi_py_1","object":"payment_intent",'
    b'"amount":150000,"amount_received":150000,"currency":"npr","status":"succeeded",'
    b'"metadata":{"payment_id":"pay_1"}}}}'
)
VECTOR_DIGEST = "b1f1b21f83602ea287c663d06ca7e3aa053edf986334f20e3c2fb4bf8f8a8e1e"
VECTOR_HEADER = "t=1760000000,v1=8414e8ca1471a3d8cbb2190e5c61792f06d2c04eb1a1c36061cddf9ef20664ed"
NOW = STARTED + timedelta(minutes=2)
SESSION = {
    "id": "cs_test_1",
    "object": "checkout.session",
    "status": "complete",
    "payment_status": "paid",
    "amount_total": 150050,
    "currency": "npr",
    "payment_intent": "pi_1",
    "client_reference_id": "PY-77",
    "livemode": False,
    "url": None,
    "expires_at": 1788244800,
}
INTENT = {
    "id": "pi_1",
    "object": "payment_intent",
    "amount": 150050,
    "amount_received": 150050,
    "currency": "npr",
    "status": "succeeded",
    "metadata": {"payment_id": "PY-77"},
    "livemode": False,
}
NO_REFUNDS = says({"object": "list", "data": [], "has_more": False, "url": "/v1/refunds"})
OPEN = SESSION | {
    "status": "open",
    "payment_status": "unpaid",
    "payment_intent": None,
    "url": "http://pay.example/c/cs_test_1",
}


def settings(url: str, **changes: str) -> StripeSettings:
    values = {"api_url": url, "secret_key": "sk_test_1", "webhook_secret": SECRET} | changes
    return StripeSettings(enabled=True, **values)


@pytest.fixture
def stripe(provider, client):
    return StripeGateway(settings(provider.url), client, tries=0)


@pytest.fixture
def facts(attempt):
    def make(**changes):
        return attempt(**{"gateway_id": "cs_test_1"} | changes)

    return make


def refunds(*given: tuple[int, str]):
    data = [
        {"id": f"re_{number}", "object": "refund", "amount": amount, "status": status}
        for number, (amount, status) in enumerate(given)
    ]
    return says({"object": "list", "data": data, "has_more": False, "url": "/v1/refunds"})


def sign(body: bytes, at: int = 1_760_000_000, secret: str = SECRET) -> str:
    return hmac.new(secret.encode(), f"{at}.".encode() + body, hashlib.sha256).hexdigest()


def event(kind: str, data: dict[str, Any], **changes) -> bytes:
    envelope = {
        "id": "evt_1",
        "object": "event",
        "type": kind,
        "livemode": False,
        "data": {"object": data},
    }
    return json.dumps(envelope | changes).encode()


def notices(stripe: StripeGateway, body: bytes):
    header = {"stripe-signature": f"t=1760000000,v1={sign(body)}"}
    return stripe.read_webhook(header, body, SIGNED_AT)


def test_the_vector_is_accepted_and_computed(stripe):
    assert len(VECTOR) == 280
    assert hashlib.sha256(VECTOR).hexdigest() == VECTOR_DIGEST
    assert f"t=1760000000,v1={sign(VECTOR)}" == VECTOR_HEADER
    (notice,) = stripe.read_webhook({"stripe-signature": VECTOR_HEADER}, VECTOR, SIGNED_AT)
    assert notice.event_id == "evt_py_1"
    assert notice.reference == "pay_1"
    assert notice.transaction_id == "pi_py_1"
    assert notice.verdict.outcome is Outcome.PAID
    assert (notice.verdict.amount, notice.verdict.currency) == (150_000, "NPR")
    assert notice.verdict.gateway_id is None


def test_any_of_several_signatures_will_do():
    header = f"t=1760000000,v1={'0' * 64},v0=old,v1={sign(VECTOR)}"
    assert signed_event(VECTOR, header, SECRET, SIGNED_AT)["id"] == "evt_py_1"


@pytest.mark.parametrize("age", [300, 0, -400])
def test_a_signature_is_good_for_five_minutes(age):
    now = SIGNED_AT + timedelta(seconds=age)
    assert signed_event(VECTOR, VECTOR_HEADER, SECRET, now)["id"] == "evt_py_1"


def test_an_old_signature_is_refused():
    with pytest.raises(ForgedCallback, match="stale"):
        signed_event(VECTOR, VECTOR_HEADER, SECRET, SIGNED_AT + timedelta(seconds=301))


@pytest.mark.parametrize(
    ("body", "header", "secret"),
    [
        (VECTOR + b" ", VECTOR_HEADER, SECRET),
        (VECTOR.replace(b"150000", b"150001"), VECTOR_HEADER, SECRET),
        (VECTOR, "", SECRET),
        (VECTOR, VECTOR_HEADER.replace("v1=", "v0="), SECRET),
        (VECTOR, VECTOR_HEADER.replace("t=1760000000", "t=1760000001"), SECRET),
        (VECTOR, VECTOR_HEADER.partition(",")[2], SECRET),
        (VECTOR, "t=soon,v1=00", SECRET),
        (VECTOR, "t=1760000000,v1=\u00fc", SECRET),
        (VECTOR, "t=1760000000", SECRET),
        (VECTOR, VECTOR_HEADER, "whsec_other"),
        (VECTOR, f"t=1760000000,v1={sign(VECTOR, secret='')}", ""),
        (VECTOR, f"t=1760000000,v1={sign(VECTOR, secret=' ')}", " "),
    ],
)
def test_what_stripe_has_not_signed_is_refused(body, header, secret):
    with pytest.raises(ForgedCallback):
        signed_event(body, header, secret, SIGNED_AT)


@pytest.mark.parametrize("body", [b"", b"[]", b"{", b"null", b"\xff\xfe", b'"x"'])
def test_signed_bytes_that_are_no_event_are_malformed(body):
    header = f"t=1760000000,v1={sign(body)}"
    with pytest.raises((Malformed, ForgedCallback)):
        signed_event(body, header, SECRET, SIGNED_AT)


@given(st.binary(max_size=60), st.text(max_size=60))
def test_anything_unsigned_is_refused(body, header):
    with pytest.raises((Malformed, ForgedCallback)):
        signed_event(body, header, SECRET, SIGNED_AT)


def test_events_of_another_mode_mean_nothing(stripe):
    assert notices(stripe, event("payment_intent.succeeded", INTENT, livemode=True)) == ()


@pytest.mark.parametrize(
    ("kind", "change", "outcome"),
    [
        ("completed", {}, Outcome.PAID),
        ("completed", {"payment_status": "unpaid"}, Outcome.IN_PROGRESS),
        ("completed", {"payment_status": "no_payment_required"}, Outcome.UNKNOWN),
        ("async_payment_succeeded", {}, Outcome.PAID),
        ("async_payment_failed", {"payment_status": "unpaid"}, Outcome.FAILED),
        ("expired", {"status": "expired", "payment_status": "unpaid"}, Outcome.FAILED),
    ],
)
def test_events_of_sessions(stripe, kind, change, outcome):
    (notice,) = notices(stripe, event(f"checkout.session.{kind}", SESSION | change))
    assert (notice.reference, notice.gateway_id) == ("PY-77", "cs_test_1")
    assert notice.verdict.outcome is outcome
    assert notice.verdict.mismatches == ()
    assert (notice.verdict.amount, notice.verdict.currency) == (150_050, "NPR")


@pytest.mark.parametrize(
    ("kind", "change", "outcome"),
    [
        ("succeeded", {}, Outcome.PAID),
        ("processing", {"status": "processing", "amount_received": 0}, Outcome.IN_PROGRESS),
        ("payment_failed", {"status": "requires_payment_method"}, Outcome.UNCHANGED),
        ("canceled", {"status": "canceled"}, Outcome.FAILED),
        ("succeeded", {"status": "perhaps"}, Outcome.UNKNOWN),
    ],
)
def test_events_of_intents(stripe, kind, change, outcome):
    (notice,) = notices(stripe, event(f"payment_intent.{kind}", INTENT | change))
    assert (notice.reference, notice.gateway_id) == ("PY-77", None)
    assert notice.verdict.outcome is outcome


def test_a_declined_card_says_why():
    declined = INTENT | {
        "status": "requires_payment_method",
        "last_payment_error": {"code": "card_declined"},
    }
    assert read_intent(declined, is_live=False).reason == "card_declined"


CHARGE = {
    "id": "ch_1",
    "object": "charge",
    "amount": 150050,
    "amount_refunded": 150050,
    "currency": "npr",
    "livemode": False,
    "payment_intent": "pi_1",
    "metadata": {"payment_id": "PY-77"},
}


def test_a_refunded_charge_names_the_payment_and_decides_nothing(stripe):
    # Its total may be old: a refund that has failed since is still in it.
    (notice,) = notices(stripe, event("charge.refunded", CHARGE))
    assert (notice.reference, notice.transaction_id) == ("PY-77", "pi_1")
    assert (notice.verdict, notice.refund) == (None, None)


@pytest.mark.parametrize("kind", ["refund.created", "refund.failed", "charge.refund.updated"])
def test_events_of_refunds_name_ours(stripe, kind):
    refund = {
        "id": "re_1",
        "object": "refund",
        "amount": 50_000,
        "status": "failed" if kind == "refund.failed" else "succeeded",
        "failure_reason": "declined" if kind == "refund.failed" else None,
        "payment_intent": "pi_1",
        "metadata": {"payment_id": "PY-77", "refund_id": "PY-77-R1"},
    }
    (notice,) = notices(stripe, event(kind, refund))
    assert (notice.reference, notice.refund_id) == ("PY-77", "PY-77-R1")
    assert notice.verdict is None
    failed = kind == "refund.failed"
    assert notice.refund.state is (RefundState.FAILED if failed else RefundState.DONE)
    (foreign,) = notices(stripe, event(kind, refund | {"metadata": {}}))
    assert (foreign.refund_id, foreign.refund, foreign.reference) == (None, None, None)
    assert foreign.gateway_id == foreign.transaction_id == "pi_1"


def test_a_dispute_is_looked_at(stripe):
    dispute = {"id": "dp_1", "object": "dispute", "payment_intent": "pi_1", "amount": 150050}
    (notice,) = notices(stripe, event("charge.dispute.created", dispute))
    assert notice.transaction_id == "pi_1"
    assert notice.verdict.outcome is Outcome.UNCHANGED
    assert notice.verdict.review == "dispute-created"


@pytest.mark.parametrize("kind", ["customer.created", "charge.succeeded", "", "a", "."])
def test_other_events_mean_nothing(stripe, kind):
    assert notices(stripe, event(kind, {"id": "x"})) == ()


async def test_a_session_is_opened_in_minor_units(stripe, provider, order):
    provider.will(says(OPEN))
    started = await stripe.start(order(customer_email="sita@example.org", currency="USD"))
    (asked,) = provider.seen
    assert asked.path == "/v1/checkout/sessions"
    assert asked.headers["idempotency-key"] == "pay:PY-77:create"
    assert asked.headers["authorization"] == "Bearer sk_test_1"
    form = {name: value for name, (value,) in parse_qs(asked.body.decode()).items()}
    assert form == {
        "mode": "payment",
        "line_items[0][price_data][currency]": "usd",
        "line_items[0][price_data][unit_amount]": "150050",
        "line_items[0][price_data][product_data][name]": "Satyanarayan Puja",
        "line_items[0][quantity]": "1",
        "success_url": "https://app.example/pay/return/PY-77?session_id={CHECKOUT_SESSION_ID}",
        "cancel_url": "https://app.example/pay/cancel/PY-77",
        "client_reference_id": "PY-77",
        "metadata[payment_id]": "PY-77",
        "payment_intent_data[metadata][payment_id]": "PY-77",
        "expires_at": str(int((STARTED + timedelta(minutes=35)).timestamp())),
        "customer_email": "sita@example.org",
    }
    assert started.gateway_id == "cs_test_1"
    assert started.action.url == "http://pay.example/c/cs_test_1"
    assert started.expires_at == datetime.fromtimestamp(1788244800, UTC)


def failure(code: str, status: int = 400, kind: str = "invalid_request_error"):
    return says({"error": {"type": kind, "code": code, "message": "no"}}, status)


@pytest.mark.parametrize(
    ("reply", "error"),
    [
        (failure("amount_too_small"), GatewayDeclined),
        (failure("card_declined", 402, "card_error"), GatewayDeclined),
        (failure("", 401), GatewayMisconfigured),
        (failure("", 403), GatewayMisconfigured),
        (failure("", 429), GatewayUnavailable),
        (failure("", 400, "idempotency_error"), GatewayUnavailable),
        (failure("", 500, "api_error"), GatewayUnavailable),
        (BAD_GATEWAY, GatewayUnavailable),
        (BREAKS, GatewayUnavailable),
        (says(OPEN | {"url": "javascript:alert(1)"}), GatewayUnavailable),
        (says(OPEN | {"url": None}), GatewayUnavailable),
        (says(OPEN | {"id": None}), GatewayUnavailable),
    ],
)
@pytest.mark.logs_errors("gateway_refused_us")
async def test_failures_of_a_start_have_their_kinds(stripe, provider, order, reply, error):
    provider.will(reply)
    with pytest.raises(error) as caught:
        await stripe.start(order())
    if error is GatewayDeclined:
        assert caught.value.reason in ("amount_too_small", "card_declined")


async def test_the_library_tries_again_under_the_same_key(provider, client, order):
    provider.will(BAD_GATEWAY, says(OPEN))
    stripe = StripeGateway(settings(provider.url), client, tries=1)
    assert (await stripe.start(order())).gateway_id == "cs_test_1"
    first, second = provider.seen
    assert first.headers["idempotency-key"] == second.headers["idempotency-key"]


async def test_other_currencies_are_refused(stripe, order):
    with pytest.raises(GatewayDeclined):
        await stripe.start(order(currency="JPY"))


def test_the_return_names_its_session(stripe, facts):
    assert stripe.read_return(facts(), {"session_id": "cs_test_1"}).claim is Claim.PAID
    wrong = stripe.read_return(facts(), {"session_id": "cs_test_2"})
    assert wrong.mismatches == ("gateway-id",)
    assert stripe.read_return(facts(), {}).claim is Claim.CANCELLED


async def test_a_paid_session_counts_by_what_its_intent_received(stripe, provider, facts):
    provider.will(says(SESSION), says(INTENT), NO_REFUNDS)
    verdict = await stripe.verify(facts(), NOW)
    assert [seen.path for seen in provider.seen] == [
        "/v1/checkout/sessions/cs_test_1",
        "/v1/payment_intents/pi_1",
        "/v1/refunds",
    ]
    assert provider.seen[2].query == {"payment_intent": "pi_1", "limit": "100"}
    assert verdict.outcome is Outcome.PAID
    assert (verdict.amount, verdict.currency, verdict.refunded) == (150_050, "NPR", 0)
    assert (verdict.reference, verdict.gateway_id) == ("PY-77", "cs_test_1")
    assert (verdict.transaction_id, verdict.mismatches) == ("pi_1", ())


@pytest.mark.parametrize(
    ("session", "intent", "mismatches"),
    [
        ({"livemode": True}, {}, ("mode",)),
        ({}, {"livemode": True}, ("mode",)),
        ({}, {"amount_received": 100}, ("amount",)),
        ({}, {"amount_received": None}, ("amount",)),
        ({}, {"currency": "usd"}, ("currency",)),
        ({}, {"metadata": {"payment_id": "PY-1"}}, ("reference",)),
        ({"client_reference_id": None}, {}, ("reference",)),
        ({"amount_total": 100}, {}, ("amount",)),
    ],
)
async def test_session_and_intent_must_agree(stripe, provider, facts, session, intent, mismatches):
    provider.will(says(SESSION | session), says(INTENT | intent), NO_REFUNDS)
    assert (await stripe.verify(facts(), NOW)).mismatches == mismatches


@pytest.mark.parametrize(
    ("session", "intent", "outcome"),
    [
        (OPEN, None, Outcome.UNCHANGED),
        (SESSION | {"status": "expired", "payment_status": "unpaid"}, None, Outcome.FAILED),
        (SESSION | {"payment_status": "unpaid"}, {"status": "processing"}, Outcome.IN_PROGRESS),
        (
            SESSION | {"payment_status": "unpaid"},
            {"status": "requires_payment_method"},
            Outcome.FAILED,
        ),
        (SESSION | {"payment_status": "unpaid"}, {"status": "canceled"}, Outcome.FAILED),
        (SESSION, {"status": "perhaps"}, Outcome.UNKNOWN),
        (SESSION | {"payment_status": "no_payment_required"}, None, Outcome.UNKNOWN),
        (SESSION | {"status": "later"}, None, Outcome.UNKNOWN),
    ],
)
async def test_each_status_has_its_meaning(stripe, provider, facts, session, intent, outcome):
    replies = [says(session)] + ([says(INTENT | intent)] if intent else [])
    provider.will(*replies)
    verdict = await stripe.verify(facts(), NOW)
    assert verdict.outcome is outcome
    assert len(provider.seen) == len(replies)


@pytest.mark.parametrize(
    ("given", "outcome", "total"),
    [
        ([(150_050, "succeeded")], Outcome.REFUNDED, 150_050),
        ([(100_000, "succeeded"), (50_050, "succeeded")], Outcome.REFUNDED, 150_050),
        ([(100_000, "succeeded"), (50_050, "pending")], Outcome.PARTLY_REFUNDED, 100_000),
        ([(100_000, "failed"), (50_050, "pending")], Outcome.PAID, 0),
    ],
)
async def test_refunds_count_once_they_have_succeeded(
    stripe, provider, facts, given, outcome, total
):
    provider.will(says(SESSION), says(INTENT), refunds(*given))
    verdict = await stripe.verify(facts(), NOW)
    assert (verdict.outcome, verdict.refunded) == (outcome, total)


async def test_an_attempt_may_be_an_intent(stripe, provider, facts):
    provider.will(says(INTENT), NO_REFUNDS)
    verdict = await stripe.verify(facts(gateway_id="pi_1"), NOW)
    assert (verdict.outcome, verdict.gateway_id) == (Outcome.PAID, "pi_1")


async def test_an_unknown_session_is_looked_at(stripe, provider, facts):
    provider.will(failure("resource_missing", 404))
    verdict = await stripe.verify(facts(), NOW)
    assert (verdict.outcome, verdict.reason) == (Outcome.UNKNOWN, "resource_missing")
    assert verdict.review


@pytest.mark.parametrize("trouble", [BAD_GATEWAY, BREAKS])
async def test_trouble_at_stripe_changes_nothing(stripe, provider, facts, trouble):
    for replies in ([trouble], [says(SESSION), trouble], [says(SESSION), says(INTENT), trouble]):
        provider.will(*replies)
        with pytest.raises(GatewayUnavailable):
            await stripe.verify(facts(), NOW)


async def test_a_payment_whose_start_was_lost_ends_after_a_while(stripe, attempt):
    assert (await stripe.verify(attempt(), NOW)).outcome is Outcome.UNCHANGED
    late = await stripe.verify(attempt(), STARTED + timedelta(minutes=16))
    assert late.outcome is Outcome.FAILED


REFUND = RefundOrder(id="PY-77-R1", amount=50_000, is_full=False, reason="cancelled")


@pytest.mark.parametrize(
    ("status", "state"),
    [
        ("succeeded", RefundState.DONE),
        ("pending", RefundState.PENDING),
        ("requires_action", RefundState.PENDING),
        ("failed", RefundState.FAILED),
        ("canceled", RefundState.FAILED),
        ("perhaps", RefundState.UNKNOWN),
    ],
)
async def test_a_refund_is_asked_for_under_its_own_key(stripe, provider, facts, status, state):
    provider.will(says({"id": "re_1", "object": "refund", "status": status, "amount": 50_000}))
    answer = await stripe.refund(facts(transaction_id="pi_1"), REFUND)
    (asked,) = provider.seen
    assert asked.headers["idempotency-key"] == "pay:PY-77:refund:PY-77-R1"
    form = {name: value for name, (value,) in parse_qs(asked.body.decode()).items()}
    assert form == {
        "payment_intent": "pi_1",
        "amount": "50000",
        "metadata[payment_id]": "PY-77",
        "metadata[refund_id]": "PY-77-R1",
    }
    assert (answer.state, answer.gateway_id) == (state, "re_1")


@pytest.mark.parametrize("trouble", [BAD_GATEWAY, BREAKS, failure("", 500, "api_error")])
async def test_a_lost_refund_is_neither_done_nor_failed(stripe, provider, facts, trouble):
    provider.will(trouble)
    answer = await stripe.refund(facts(transaction_id="pi_1"), REFUND)
    assert answer.state is RefundState.UNKNOWN


async def test_a_refused_refund_says_why(stripe, provider, facts):
    provider.will(failure("charge_already_refunded"))
    answer = await stripe.refund(facts(transaction_id="pi_1"), REFUND)
    assert (answer.state, answer.reason) == (RefundState.FAILED, "charge_already_refunded")
    provider.will(failure("", 429))
    with pytest.raises(GatewayUnavailable):
        await stripe.refund(facts(transaction_id="pi_1"), REFUND)
    assert (await stripe.refund(facts(), REFUND)).reason == "never-paid"


def test_live_and_test_keys_are_told_apart(client):
    assert StripeGateway(settings("https://api.stripe.com"), client).traits.is_test
    for key in ("sk_live_1", "rk_live_1"):
        live = settings("https://api.stripe.com", secret_key=key)
        assert not StripeGateway(live, client).traits.is_test


things = st.none() | st.booleans() | st.integers() | st.text(max_size=9) | st.just("succeeded")
objects = st.dictionaries(
    st.sampled_from([*SESSION, *INTENT, *CHARGE, "type", "data", "last_payment_error"]),
    things | st.dictionaries(st.sampled_from(["payment_id", "code", "object"]), things),
)
kinds = st.sampled_from(
    [
        *("checkout.session.completed", "payment_intent.succeeded", "charge.refunded"),
        *("refund.failed", "charge.dispute.closed", "x"),
    ]
)


@given(objects, kinds, st.booleans())
def test_any_object_is_read_without_a_fault(data, kind, is_live):
    session, intent = read_session(data, is_live=is_live), read_intent(data, is_live=is_live)
    for verdict in (session, intent, combined(session, intent)):
        if verdict.outcome is Outcome.PAID and not verdict.mismatches:
            assert verdict.amount is not None
    with_refunds(intent, [data])
    read_refund(data)
    read_event({"id": "evt", "type": kind, "data": {"object": data}}, is_live=is_live)
