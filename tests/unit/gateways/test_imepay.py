"""IME Pay: its encodings to the letter, what is confirmed, and when."""

from __future__ import annotations

import base64
import contextlib
from datetime import timedelta
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from hypothesis import given
from hypothesis import strategies as st

from server.domain.errors import (
    GatewayDeclined,
    GatewayMisconfigured,
    GatewayUnavailable,
    Malformed,
    NotFound,
)
from server.domain.gateway import Claim, Outcome, PaymentOrder, RefundOrder, RefundState
from server.gateways.imepay import (
    ImePayGateway,
    checkout_data,
    headers,
    read_answer,
    read_returned,
)
from server.settings import ImePaySettings
from tests.provider import BAD_GATEWAY, BREAKS, HTML_PAGE, says
from tests.unit.gateways.conftest import STARTED

NOW = STARTED + timedelta(minutes=2)
TOKEN_ID = "202103111046564183"
TRANSACTION = "202103091150349847"
RETURNED = (
    "MHxTdWNjZXNzfDk4MDAwMDAwMDB8MjAyMTAzMDkxMTUwMzQ5ODQ3fFBZLTF8MTUwMC4wMDAwfDIwMjEwMzExMTA0"
    "NjU2NDE4Mw=="
)
CHECKOUT = (
    "MjAyMTAzMTExMDQ2NTY0MTgzfFBBTkRJVHxQWS0xfDE1MDAuMDB8R0VUfGh0dHBzOi8vYXBwLmV4YW1wbGUvcGF5"
    "L2ltZS9yZXR1cm4vUFktMXxodHRwczovL2FwcC5leGFtcGxlL3BheS9pbWUvY2FuY2VsL1BZLTE="
)
TOKEN = {
    "ResponseCode": 0,
    "TokenId": int(TOKEN_ID),
    "Amount": "1500.0000",
    "RefId": "PY-1",
    "ResponseDescription": None,
}
PAID = {
    "ResponseCode": 0,
    "ResponseDescription": "Success",
    "RefId": "PY-1",
    "TokenId": TOKEN_ID,
    "TransactionId": TRANSACTION,
    "Msisdn": "9800000000",
}
WAITING = PAID | {"ResponseCode": 2, "TransactionId": None, "ResponseDescription": "In Process"}
NOT_FOUND = PAID | {"ResponseCode": "1", "ResponseDescription": "Transaction Not Found"}


@pytest.fixture
def imepay(provider, client):
    return ImePayGateway(
        ImePaySettings(
            enabled=True,
            base_url=provider.url,
            merchant_code="PANDIT",
            module="PANDIT",
            user="pandityatra",
            password="secret",
        ),
        client,
    )


@pytest.fixture
def facts(attempt):
    def make(**changes):
        return attempt(**{"reference": "PY-1", "amount": 150_000, "gateway_id": TOKEN_ID} | changes)

    return make


def ours(**changes) -> PaymentOrder:
    values: dict[str, Any] = {
        "reference": "PY-1",
        "amount": 150_000,
        "currency": "NPR",
        "title": "Puja",
        "note": "",
        "return_url": "https://app.example/pay/ime/return/PY-1",
        "cancel_url": "https://app.example/pay/ime/cancel/PY-1",
        "website_url": "https://app.example",
        "created_at": STARTED,
    }
    return PaymentOrder(**values | changes)


def returned(**changes: str) -> dict[str, str]:
    parts = dict(
        zip(
            ("code", "words", "phone", "transaction", "reference", "amount", "token"),
            base64.b64decode(RETURNED).decode().split("|"),
            strict=True,
        )
    )
    return {"data": base64.b64encode("|".join((parts | changes).values()).encode()).decode()}


def test_the_api_knows_us_by_its_headers():
    assert headers("pandityatra", "secret", "PANDIT") == {
        "Authorization": "Basic cGFuZGl0eWF0cmE6c2VjcmV0",
        "Module": "UEFORElU",
    }


def test_the_checkout_is_encoded_as_the_provider_says():
    assert checkout_data(TOKEN_ID, "PANDIT", ours()) == CHECKOUT


def test_the_return_is_decoded_as_the_provider_says():
    assert read_returned({"data": RETURNED}) == {
        "ResponseCode": "0",
        "ResponseDescription": "Success",
        "Msisdn": "9800000000",
        "TransactionId": TRANSACTION,
        "RefId": "PY-1",
        "TranAmount": "1500.0000",
        "TokenId": TOKEN_ID,
    }


@pytest.mark.parametrize("token_id", [TOKEN_ID, int(TOKEN_ID)], ids=["text", "number"])
@pytest.mark.parametrize("code", [0, "0"], ids=["number", "text"])
async def test_a_token_is_bought_for_the_amount(imepay, provider, token_id, code):
    provider.will(says(TOKEN | {"TokenId": token_id, "ResponseCode": code}))
    started = await imepay.start(ours())
    (asked,) = provider.seen
    assert asked.path == "/api/Web/GetToken"
    assert asked.json == {"MerchantCode": "PANDIT", "Amount": "1500.00", "RefId": "PY-1"}
    assert asked.headers["module"] == "UEFORElU"
    assert asked.headers["authorization"] == "Basic cGFuZGl0eWF0cmE6c2VjcmV0"
    assert started.gateway_id == TOKEN_ID
    url = urlsplit(started.action.url)
    assert f"{url.scheme}://{url.netloc}{url.path}" == f"{provider.url}/WebCheckout/Checkout"
    assert parse_qs(url.query) == {"data": [CHECKOUT]}


async def test_a_refused_token_is_final(imepay, provider):
    refused = {"ResponseCode": 1, "TokenId": None, "ResponseDescription": "Duplicate RefId"}
    provider.will(says(TOKEN | refused))
    with pytest.raises(GatewayDeclined):
        await imepay.start(ours())
    with pytest.raises(GatewayDeclined):
        await imepay.start(ours(currency="USD"))
    assert len(provider.seen) == 1


@pytest.mark.parametrize(
    "trouble",
    [
        BAD_GATEWAY,
        HTML_PAGE,
        BREAKS,
        says({"Message": "?"}, 400),
        says(TOKEN | {"TokenId": None}),
        says(TOKEN | {"Amount": "1.0000"}),
        says(TOKEN | {"RefId": "PY-2"}),
    ],
)
async def test_a_start_without_a_sound_answer_is_tried_once(imepay, provider, trouble):
    provider.will(trouble)
    with pytest.raises(GatewayUnavailable):
        await imepay.start(ours())
    assert len(provider.seen) == 1


@pytest.mark.parametrize("status", [401, 403])
@pytest.mark.logs_errors("gateway_refused_us")
async def test_refused_keys_are_an_alarm(imepay, provider, status):
    provider.will(says({"Message": "denied"}, status))
    with pytest.raises(GatewayMisconfigured):
        await imepay.start(ours())


def test_a_return_that_is_ours_gives_what_is_confirmed(imepay, facts):
    hint = imepay.read_return(facts(), {"data": RETURNED})
    assert (hint.claim, hint.mismatches) == (Claim.PAID, ())
    assert hint.details == {"transaction_id": TRANSACTION, "msisdn": "9800000000"}
    posted = read_returned({"data": RETURNED})
    assert imepay.read_return(facts(), posted) == hint
    assert imepay.read_return(facts(), posted | {"TokenId": ""}).details == hint.details


@pytest.mark.parametrize(
    ("change", "mismatch"),
    [
        ({"reference": "PY-2"}, "reference"),
        ({"token": "1"}, "gateway-id"),
        ({"amount": "10.0000"}, "amount"),
        ({"amount": "much"}, "amount"),
    ],
)
def test_a_return_of_another_payment_is_not_confirmed(imepay, facts, change, mismatch):
    hint = imepay.read_return(facts(), returned(**change))
    assert hint.mismatches == (mismatch,)
    assert hint.details == {}


@pytest.mark.parametrize(
    ("code", "claim"),
    [("1", Claim.FAILED), ("2", Claim.PENDING), ("3", Claim.CANCELLED), ("9", Claim.UNKNOWN)],
)
def test_a_return_without_success_is_not_confirmed(imepay, facts, code, claim):
    hint = imepay.read_return(facts(), returned(code=code))
    assert (hint.claim, hint.details) == (claim, {})
    assert imepay.read_return(facts(), {}).claim is Claim.UNKNOWN


@pytest.mark.parametrize("data", ["", "%", "AAAA", base64.b64encode(b"0|a|b|c|d|e").decode()])
def test_what_cannot_be_read_is_malformed(data):
    with pytest.raises(Malformed):
        read_returned({"data": data})


@given(st.text(max_size=60) | st.binary(max_size=60).map(lambda b: base64.b64encode(b).decode()))
def test_any_return_is_read_or_malformed(data):
    with contextlib.suppress(Malformed):
        assert len(read_returned({"data": data})) == 7


BROUGHT = {"transaction_id": TRANSACTION, "msisdn": "9800000000"}


async def test_what_the_browser_told_of_is_confirmed(imepay, provider, facts):
    provider.will(says(PAID))
    verdict = await imepay.verify(facts(details=BROUGHT), NOW)
    (asked,) = provider.seen
    assert asked.path == "/api/Web/Confirm"
    assert asked.json == {
        "MerchantCode": "PANDIT",
        "RefId": "PY-1",
        "TokenId": TOKEN_ID,
        "TransactionId": TRANSACTION,
        "Msisdn": "9800000000",
    }
    assert verdict.outcome is Outcome.PAID
    assert (verdict.reference, verdict.gateway_id) == ("PY-1", TOKEN_ID)
    assert (verdict.transaction_id, verdict.amount) == (TRANSACTION, None)
    assert verdict.raw["Msisdn"] == "98******00"


async def test_a_success_that_the_recheck_finds_is_confirmed_too(imepay, provider, facts):
    provider.will(says(PAID))
    verdict = await imepay.verify(facts(), NOW)
    assert [seen.path for seen in provider.seen] == ["/api/Web/Recheck", "/api/Web/Confirm"]
    assert provider.seen[0].json == {
        "MerchantCode": "PANDIT",
        "RefId": "PY-1",
        "TokenId": TOKEN_ID,
    }
    assert provider.seen[1].json["TransactionId"] == TRANSACTION
    assert verdict.outcome is Outcome.PAID


@pytest.mark.parametrize(
    ("answer", "outcome"),
    [
        (WAITING, Outcome.IN_PROGRESS),
        (NOT_FOUND, Outcome.FAILED),
        (PAID | {"ResponseCode": 3}, Outcome.FAILED),
        (PAID | {"ResponseCode": 100}, Outcome.UNKNOWN),
        (PAID | {"ResponseCode": "Success"}, Outcome.UNKNOWN),
        (PAID | {"ResponseCode": None}, Outcome.UNKNOWN),
    ],
)
async def test_the_recheck_decides_what_was_not_confirmed(imepay, provider, facts, answer, outcome):
    provider.will(says(NOT_FOUND), says(answer))
    verdict = await imepay.verify(facts(details=BROUGHT), NOW)
    assert [seen.path for seen in provider.seen] == ["/api/Web/Confirm", "/api/Web/Recheck"]
    assert verdict.outcome is outcome
    assert (verdict.review == "unknown-status") == (outcome is Outcome.UNKNOWN)


async def test_a_forged_transaction_is_replaced_by_the_real_one(imepay, provider, facts):
    provider.will(says(NOT_FOUND), says(PAID), says(PAID))
    verdict = await imepay.verify(facts(details={"transaction_id": "1", "msisdn": "9800"}), NOW)
    assert [seen.json.get("TransactionId") for seen in provider.seen] == ["1", None, TRANSACTION]
    assert (verdict.outcome, verdict.transaction_id) == (Outcome.PAID, TRANSACTION)


@pytest.mark.parametrize("trouble", [BAD_GATEWAY, BREAKS])
async def test_a_lost_confirmation_is_made_again(imepay, provider, facts, trouble):
    provider.will(trouble, says(PAID), says(PAID))
    verdict = await imepay.verify(facts(details=BROUGHT), NOW)
    assert [seen.path.rpartition("/")[2] for seen in provider.seen] == [
        "Confirm",
        "Recheck",
        "Confirm",
    ]
    assert verdict.outcome is Outcome.PAID


async def test_nothing_is_settled_before_it_is_confirmed(imepay, provider, facts):
    provider.will(BAD_GATEWAY, says(PAID), BAD_GATEWAY)
    verdict = await imepay.verify(facts(details=BROUGHT), NOW)
    assert (verdict.outcome, verdict.reason) == (Outcome.IN_PROGRESS, "not-confirmed-yet")


async def test_what_was_confirmed_before_is_paid(imepay, provider, facts):
    provider.will(says(NOT_FOUND), says(PAID))
    verdict = await imepay.verify(facts(details=BROUGHT), NOW)
    assert (verdict.outcome, verdict.reason) == (Outcome.PAID, "not-confirmed")
    provider.will(says(PAID))
    verdict = await imepay.verify(facts(details=BROUGHT, transaction_id=TRANSACTION), NOW)
    assert [seen.path for seen in provider.seen] == ["/api/Web/Recheck"]
    assert verdict.outcome is Outcome.PAID


async def test_a_success_without_a_transaction_is_looked_at(imepay, provider, facts):
    provider.will(says(PAID | {"TransactionId": None}))
    verdict = await imepay.verify(facts(), NOW)
    assert (verdict.outcome, verdict.review) == (Outcome.PAID, "no-transaction-to-confirm")


async def test_a_confirmation_of_another_transaction_is_a_contradiction(imepay, provider, facts):
    provider.will(says(PAID | {"TransactionId": "7"}))
    assert (await imepay.verify(facts(details=BROUGHT), NOW)).mismatches == ("transaction-id",)


@pytest.mark.parametrize(
    ("told", "amount", "mismatches"),
    [
        ({"Amount": "1500.0000"}, 150_000, ()),
        ({"Amount": 1500}, 150_000, ()),
        ({"Amount": 10.5}, 1_050, ()),
        ({"TranAmount": "1,500.00"}, 150_000, ()),
        ({"Amount": "1500.0001"}, None, ("amount",)),
        ({"Amount": "much"}, None, ("amount",)),
        ({"Amount": None}, None, ()),
    ],
)
async def test_an_amount_is_read_where_there_is_one(
    imepay, provider, facts, told, amount, mismatches
):
    provider.will(says(PAID | told))
    verdict = await imepay.verify(facts(details=BROUGHT), NOW)
    assert (verdict.amount, verdict.mismatches) == (amount, mismatches)


async def test_a_payment_whose_start_was_lost_ends_after_a_while(imepay, facts):
    assert (await imepay.verify(facts(gateway_id=None), NOW)).outcome is Outcome.UNCHANGED
    late = await imepay.verify(facts(gateway_id=None), STARTED + timedelta(minutes=16))
    assert late.outcome is Outcome.FAILED


@pytest.mark.parametrize("trouble", [BAD_GATEWAY, HTML_PAGE])
async def test_trouble_at_the_recheck_changes_nothing(imepay, provider, facts, trouble):
    provider.will(trouble)
    with pytest.raises(GatewayUnavailable):
        await imepay.verify(facts(), NOW)


async def test_refunds_are_for_staff(imepay, facts):
    answer = await imepay.refund(facts(), RefundOrder(id="r1", amount=1, is_full=False))
    assert answer.state is RefundState.MANUAL
    with pytest.raises(NotFound):
        imepay.read_webhook({}, b"", NOW)


@given(st.dictionaries(st.sampled_from([*PAID, "Amount"]), st.none() | st.booleans() | st.text()))
def test_any_answer_is_read_without_a_fault(data):
    verdict = read_answer(data)
    if verdict.outcome is Outcome.PAID:
        assert data["ResponseCode"].strip() == "0"
