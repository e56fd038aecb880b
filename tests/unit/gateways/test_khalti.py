"""Khalti: what is asked, and what each of its answers means."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from server.domain.errors import (
    GatewayDeclined,
    GatewayMisconfigured,
    GatewayUnavailable,
    NotFound,
)
from server.domain.gateway import ActionKind, AttemptFacts, Claim, Outcome, RefundOrder, RefundState
from server.gateways.khalti import (
    WIDGET_TOKEN,
    KhaltiGateway,
    read_lookup,
    read_widget_status,
    read_widget_verification,
)
from server.loopback import free_port
from server.settings import KhaltiSettings
from tests.provider import BAD_GATEWAY, BREAKS, HTML_PAGE, Reply, says
from tests.unit.gateways.conftest import STARTED

NOW = STARTED + timedelta(minutes=2)
KEY = "05bf95cc57244045b8df5fad06748dab"
PAID = {
    "pidx": "pidx-1",
    "total_amount": 150050,
    "status": "Completed",
    "transaction_id": "GFq9PFS7b2iYvL8Lir9oXe",
    "fee": 4502,
    "refunded": False,
}
STARTED_ANSWER = {
    "pidx": "pidx-1",
    "payment_url": "http://pay.example/?pidx=pidx-1",
    "expires_at": "2026-09-01T12:15:00+05:45",
    "expires_in": 1800,
}


@pytest.fixture
def khalti(provider, client):
    return KhaltiGateway(
        KhaltiSettings(
            enabled=True,
            api_url=f"{provider.url}/api/v2/",
            refund_url=f"{provider.url}/api/",
            secret_key=KEY,
            widget_secret_key="test_secret_key_f59e8b7d18b4499ca40f68195a846e9b",
        ),
        client,
    )


async def test_a_payment_is_started_in_paisa_under_the_key(khalti, provider, order):
    provider.will(says(STARTED_ANSWER))
    started = await khalti.start(order(customer_name="Sita", customer_phone="9800000001"))
    (asked,) = provider.seen
    assert asked.path == "/api/v2/epayment/initiate/"
    assert asked.headers["authorization"] == "Key 05bf95cc57244045b8df5fad06748dab"
    assert asked.json == {
        "return_url": "https://app.example/pay/return/PY-77",
        "website_url": "https://app.example",
        "amount": 150050,
        "purchase_order_id": "PY-77",
        "purchase_order_name": "Satyanarayan Puja",
        "customer_info": {"name": "Sita", "phone": "9800000001"},
    }
    assert started.action.kind is ActionKind.REDIRECT
    assert started.action.url == "http://pay.example/?pidx=pidx-1"
    assert started.gateway_id == "pidx-1"
    assert started.expires_at == datetime(2026, 9, 1, 6, 30, tzinfo=UTC)


@pytest.mark.parametrize(
    "refused", [{"currency": "USD"}, {"amount": 999}], ids=["currency", "amount"]
)
async def test_what_khalti_does_not_take_is_not_asked(khalti, provider, order, refused):
    provider.will(says(STARTED_ANSWER))
    with pytest.raises(GatewayDeclined):
        await khalti.start(order(**refused))
    assert provider.seen == []


@pytest.mark.logs_errors("khalti_refused_initiate")
async def test_a_refused_start_is_final(khalti, provider, order):
    text = "Amount should be greater than Rs. 10, that is 1000 paisa."
    provider.will(says({"amount": [text], "error_key": "validation_error"}, 400))
    with pytest.raises(GatewayDeclined) as caught:
        await khalti.start(order())
    assert caught.value.reason == "validation_error"


@pytest.mark.parametrize(
    "trouble",
    [
        BAD_GATEWAY,
        HTML_PAGE,
        BREAKS,
        says({}),
        says([]),
        says(STARTED_ANSWER | {"payment_url": "javascript:alert(1)"}),
        says(STARTED_ANSWER | {"payment_url": "http://[::1"}),
        says(STARTED_ANSWER | {"pidx": None}),
        says(STARTED_ANSWER | {"pidx": {"a": 1}}),
    ],
)
async def test_a_start_without_a_sound_answer_is_tried_once(khalti, provider, order, trouble):
    provider.will(trouble)
    with pytest.raises(GatewayUnavailable):
        await khalti.start(order())
    assert len(provider.seen) == 1


@pytest.mark.logs_errors("gateway_refused_us")
async def test_refused_keys_are_told_apart(khalti, provider, attempt, order):
    provider.will(says({"detail": "Invalid token.", "status_code": 401}, 401))
    with pytest.raises(GatewayMisconfigured):
        await khalti.start(order())
    with pytest.raises(GatewayMisconfigured):
        await khalti.verify(attempt(gateway_id="pidx-1"), NOW)


async def test_a_start_without_an_expiry_is_a_start(khalti, provider, order):
    provider.will(says(STARTED_ANSWER | {"expires_at": "soon"}))
    assert (await khalti.start(order())).expires_at is None


async def test_the_lookup_asks_for_the_stored_pidx(khalti, provider, attempt):
    provider.will(says(PAID))
    verdict = await khalti.verify(attempt(gateway_id="pidx-1"), NOW)
    assert provider.seen[0].path == "/api/v2/epayment/lookup/"
    assert provider.seen[0].json == {"pidx": "pidx-1"}
    assert verdict.outcome is Outcome.PAID
    assert verdict.amount == 150_050
    assert verdict.gateway_id == "pidx-1"
    assert verdict.transaction_id == "GFq9PFS7b2iYvL8Lir9oXe"
    assert verdict.fee == 4502
    assert verdict.refunded is None
    assert verdict.mismatches == ()
    assert verdict.raw["total_amount"] == "150050"


@pytest.mark.parametrize(
    ("answer", "status", "outcome", "review"),
    [
        ({"status": "Completed"}, 200, Outcome.PAID, ""),
        ({"status": "COMPLETED"}, 200, Outcome.PAID, ""),
        ({"status": "Completed"}, 400, Outcome.UNKNOWN, "success-with-a-bad-status"),
        ({"refunded": True}, 200, Outcome.REFUNDED, "completed-and-refunded"),
        ({"status": "Pending"}, 200, Outcome.IN_PROGRESS, ""),
        ({"status": "Initiated", "transaction_id": None}, 200, Outcome.UNCHANGED, ""),
        ({"status": "Refunded"}, 200, Outcome.REFUNDED, ""),
        ({"status": "Partially Refunded"}, 200, Outcome.PARTLY_REFUNDED, "size-of-refund-unknown"),
        ({"status": "Partially refunded"}, 200, Outcome.PARTLY_REFUNDED, "size-of-refund-unknown"),
        ({"status": "Expired"}, 400, Outcome.FAILED, ""),
        ({"status": "User canceled"}, 400, Outcome.FAILED, ""),
        ({"status": "Canceled"}, 200, Outcome.FAILED, ""),
        ({"status": "Failed"}, 200, Outcome.FAILED, ""),
        ({"status": "UserCanceled"}, 200, Outcome.UNKNOWN, "unknown-status"),
        ({"status": "Complete"}, 200, Outcome.UNKNOWN, "unknown-status"),
        ({"status": None}, 200, Outcome.UNKNOWN, "unknown-status"),
        ({"status": ["Completed"]}, 200, Outcome.UNKNOWN, "unknown-status"),
    ],
)
async def test_each_status_has_its_meaning(
    khalti, provider, attempt, answer, status, outcome, review
):
    provider.will(says(PAID | answer, status))
    verdict = await khalti.verify(attempt(gateway_id="pidx-1"), NOW)
    assert (verdict.outcome, verdict.review) == (outcome, review)
    assert len(provider.seen) == 1


async def test_an_unknown_pidx_moves_nothing(khalti, provider, attempt):
    provider.will(says({"detail": "Not found.", "error_key": "validation_error"}, 404))
    verdict = await khalti.verify(attempt(gateway_id="pidx-9"), NOW)
    assert verdict.outcome is Outcome.UNKNOWN
    assert verdict.reason == "Not found."


@pytest.mark.parametrize(
    ("missing", "mismatch"),
    [
        ({"pidx": None}, "gateway-id"),
        ({"total_amount": None}, "amount"),
        ({"total_amount": 1500.50}, "amount"),
        ({"total_amount": "1,50,050"}, "amount"),
        ({"total_amount": -150050}, "amount"),
        ({"transaction_id": None}, "transaction-id"),
        ({"transaction_id": ""}, "transaction-id"),
        ({"refunded": None}, "refunded"),
        ({"refunded": "false"}, "refunded"),
    ],
)
def test_a_success_that_lacks_a_fact_is_no_clean_success(missing, mismatch):
    data = {name: str(value) if type(value) is int else value for name, value in PAID.items()}
    changed = {
        name: str(value) if isinstance(value, int | float) else value
        for name, value in missing.items()
    }
    assert read_lookup(data | changed, is_good=True).mismatches == (mismatch,)


async def test_the_lookup_survives_trouble(khalti, provider, attempt):
    provider.will(BAD_GATEWAY, HTML_PAGE, BREAKS, says(PAID))
    assert (await khalti.verify(attempt(gateway_id="pidx-1"), NOW)).outcome is Outcome.PAID
    provider.will(BAD_GATEWAY)
    with pytest.raises(GatewayUnavailable):
        await khalti.verify(attempt(gateway_id="pidx-1"), NOW)


async def test_a_payment_whose_start_was_lost_ends_after_a_while(khalti, attempt):
    assert (await khalti.verify(attempt(), NOW)).outcome is Outcome.UNCHANGED
    late = await khalti.verify(attempt(), STARTED + timedelta(minutes=16))
    assert (late.outcome, late.reason) == (Outcome.FAILED, "never-started")


def test_the_return_is_read_as_a_hint(khalti, attempt):
    facts = attempt(gateway_id="pidx-1")
    query = {
        "pidx": "pidx-1",
        "status": "Completed",
        "transaction_id": "T1",
        "amount": "150050",
        "total_amount": "150050",
        "mobile": "98XXXXX904",
        "purchase_order_id": "PY-77",
    }
    hint = khalti.read_return(facts, query)
    assert (hint.claim, hint.mismatches) == (Claim.PAID, ())
    assert khalti.read_return(facts, query | {"status": "User canceled"}).claim is Claim.CANCELLED
    assert khalti.read_return(facts, query | {"status": "Pending"}).claim is Claim.PENDING
    assert khalti.read_return(facts, {}).claim is Claim.UNKNOWN
    changed = query | {"pidx": "other", "purchase_order_id": "PY-1", "total_amount": "1000"}
    assert khalti.read_return(facts, changed).mismatches == ("gateway-id", "reference", "amount")


REFUND = RefundOrder(id="r1", amount=150_050, is_full=True)
REFUNDED = says({"detail": "Transaction refund successful."})


@pytest.mark.parametrize(
    ("refund", "before", "body"),
    [
        (REFUND, 0, {}),
        (RefundOrder(id="r2", amount=50_000, is_full=False), 0, {"amount": 50_000}),
        (RefundOrder(id="r3", amount=100_050, is_full=True), 50_000, {"amount": 100_050}),
        (RefundOrder(id="r4", amount=150_050, is_full=True, payer_phone="9800000001"), 0, {}),
    ],
)
async def test_refunds_go_by_the_transaction(khalti, provider, attempt, refund, before, body):
    provider.will(REFUNDED)
    answer = await khalti.refund(attempt(transaction_id="T/1", refunded=before), refund)
    assert answer.state is RefundState.DONE
    assert provider.seen[0].path == "/api/merchant-transaction/T%2F1/refund/"
    assert provider.seen[0].json == body


async def test_a_bank_payment_is_refunded_to_a_wallet(khalti, provider, attempt):
    provider.will(says({"mobile": ["This field is required."]}, 400), REFUNDED)
    refund = RefundOrder(id="r1", amount=150_050, is_full=True, payer_phone="9800000001")
    answer = await khalti.refund(attempt(transaction_id="T1"), refund)
    assert answer.state is RefundState.DONE
    assert [seen.json for seen in provider.seen] == [{}, {"mobile": "9800000001"}]


@pytest.mark.parametrize("trouble", [BAD_GATEWAY, HTML_PAGE, BREAKS, says({"detail": "?"})])
async def test_a_lost_refund_is_neither_done_nor_failed(khalti, provider, attempt, trouble):
    provider.will(trouble)
    answer = await khalti.refund(attempt(transaction_id="T1"), REFUND)
    assert answer.state is RefundState.UNKNOWN
    assert len(provider.seen) == 1


async def test_a_refused_refund_says_why(khalti, provider, attempt):
    provider.will(says({"detail": "Already refunded.", "error_key": "validation_error"}, 400))
    answer = await khalti.refund(attempt(transaction_id="T1"), REFUND)
    assert (answer.state, answer.reason) == (RefundState.FAILED, "Already refunded.")


async def test_nothing_is_refunded_that_was_not_paid(khalti, provider, attempt):
    provider.will(REFUNDED)
    assert (await khalti.refund(attempt(), REFUND)).state is RefundState.FAILED
    assert provider.seen == []


async def test_a_refund_that_never_left_may_be_tried_again(client, attempt):
    nowhere = f"http://127.0.0.1:{free_port()}/"
    khalti = KhaltiGateway(KhaltiSettings(api_url=nowhere, refund_url=nowhere), client)
    with pytest.raises(GatewayUnavailable):
        await khalti.refund(attempt(transaction_id="T1"), REFUND)


VERIFIED = {
    "idx": "8xmeJnNXfoVjCvGcZiiGe7",
    "type": {"idx": "e476BL6jt9kgagEmsakyTL", "name": "Wallet payment"},
    "state": {"idx": "DhvMj9hdRufLqkP8ZY4d8g", "name": "Completed", "template": "is complete"},
    "amount": 150050,
    "fee_amount": 30,
    "refunded": False,
    "user": {"idx": "cCaPkRPQGn5D8StkiqqMJg", "name": "Test User", "mobile": "98XXXXXXX9"},
}


async def test_a_token_of_the_widget_is_verified_with_our_amount(khalti, provider, attempt):
    provider.will(says(VERIFIED))
    verdict = await khalti.verify(attempt(details={WIDGET_TOKEN: "QUao9cqFzxPgvWJNi9aKac"}), NOW)
    (asked,) = provider.seen
    assert asked.path == "/api/v2/payment/verify/"
    assert asked.body == b"token=QUao9cqFzxPgvWJNi9aKac&amount=150050"
    assert asked.headers["authorization"].startswith("Key test_secret_key_")
    assert verdict.outcome is Outcome.PAID
    assert verdict.amount == 150_050
    assert verdict.transaction_id == "8xmeJnNXfoVjCvGcZiiGe7"
    assert "user" not in verdict.raw


@pytest.mark.parametrize(
    ("state", "outcome"),
    [
        ("Complete", Outcome.PAID),
        ("Initiated", Outcome.UNCHANGED),
        ("Confirmed", Outcome.IN_PROGRESS),
        ("Failed", Outcome.FAILED),
        ("Error", Outcome.FAILED),
        ("Refunded", Outcome.REFUNDED),
        ("Partially refunded", Outcome.PARTLY_REFUNDED),
        ("Completed", Outcome.UNKNOWN),
    ],
)
@pytest.mark.parametrize("first", [says({"token": ["Invalid token."]}, 400), BAD_GATEWAY])
async def test_the_status_decides_where_verifying_gave_no_answer(
    khalti, provider, attempt, state, outcome, first
):
    told = says({"status": state == "Complete", "detail": "x", "state": state})
    provider.will(first, told, says({"token": ["Invalid token."]}, 400))
    verdict = await khalti.verify(attempt(details={WIDGET_TOKEN: "token-1"}), NOW)
    assert verdict.outcome is outcome
    assert provider.seen[1].query == {"token": "token-1", "amount": "150050"}
    assert verdict.transaction_id == ("token-1" if outcome is Outcome.PAID else None)


@pytest.mark.parametrize("trouble", [BREAKS, BAD_GATEWAY])
async def test_a_lost_verification_of_a_payment_is_asked_for_again(
    khalti, provider, attempt, trouble
):
    complete = says({"status": True, "detail": "x", "state": "Complete"})
    provider.will(trouble, complete, says(VERIFIED))
    verdict = await khalti.verify(attempt(details={WIDGET_TOKEN: "token-1"}), NOW)
    assert (verdict.outcome, verdict.transaction_id) == (Outcome.PAID, VERIFIED["idx"])
    provider.will(trouble, complete, says({"token": ["Invalid token."]}, 400))
    verdict = await khalti.verify(attempt(details={WIDGET_TOKEN: "token-1"}), NOW)
    assert (verdict.outcome, verdict.transaction_id) == (Outcome.PAID, "token-1")
    assert len(provider.seen) == 3


async def test_tokens_are_refused_where_there_is_no_key_for_them(provider, client, attempt):
    khalti = KhaltiGateway(KhaltiSettings(api_url=provider.url + "/"), client)
    assert not khalti.traits.accepts_tokens
    with pytest.raises(GatewayMisconfigured):
        await khalti.verify(attempt(details={WIDGET_TOKEN: "token-1"}), NOW)


def test_khalti_sends_no_webhooks(khalti):
    with pytest.raises(NotFound):
        khalti.read_webhook({}, b"{}", NOW)


def test_only_the_live_host_is_live(client):
    assert not KhaltiGateway(KhaltiSettings(), client).traits.is_test
    sandbox = KhaltiSettings(api_url="https://dev.khalti.com/api/v2/")
    assert KhaltiGateway(sandbox, client).traits.is_test


values = st.none() | st.booleans() | st.text(max_size=12) | st.sampled_from(["Completed", "1000"])
nested = values | st.dictionaries(st.sampled_from(["name", "x"]), values, max_size=2)
names = st.sampled_from([*PAID, *VERIFIED, "detail", "state"])


@given(st.dictionaries(names, nested, max_size=8))
def test_any_answer_is_read_without_a_fault(data):
    facts = AttemptFacts(reference="PY-77", amount=150_050, currency="NPR", created_at=STARTED)
    for verdict in (
        read_lookup(data, is_good=True),
        read_widget_verification(data),
        read_widget_status(data, facts, "t"),
    ):
        if verdict.outcome is Outcome.PAID and not verdict.mismatches:
            assert verdict.amount is not None
            assert verdict.transaction_id


async def test_a_surprising_body_is_not_a_fault(khalti, provider, attempt):
    for body in (b"\xff\xfe", b"[]", b"null", b'"Completed"', b""):
        provider.will(Reply(body))
        with pytest.raises(GatewayUnavailable):
            await khalti.verify(attempt(gateway_id="pidx-1"), NOW)
