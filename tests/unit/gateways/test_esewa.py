"""eSewa: its signatures to the letter, and who may be believed."""

from __future__ import annotations

import base64
import json
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from server.domain.errors import (
    ForgedCallback,
    GatewayDeclined,
    GatewayMisconfigured,
    GatewayUnavailable,
    Malformed,
    NotFound,
)
from server.domain.gateway import (
    ActionKind,
    AttemptFacts,
    Claim,
    Outcome,
    RefundOrder,
    RefundState,
)
from server.gateways.esewa import (
    EsewaGateway,
    message_of,
    read_signed_answer,
    read_status,
    read_transrec,
    sign,
)
from server.settings import EsewaSettings
from tests.provider import BAD_GATEWAY, HTML_PAGE, Reply, says
from tests.unit.gateways.conftest import STARTED

KEY = "8gBm/:&EnhH.1/q"
NOW = STARTED + timedelta(minutes=2)
LATER = STARTED + timedelta(minutes=16)
REQUEST = ("total_amount", "transaction_uuid", "product_code")
SIX = ("transaction_code", "status", *REQUEST, "signed_field_names")
PROVIDERS_SAMPLE = (
    "eyJ0cmFuc2FjdGlvbl9jb2RlIjoiMDAwQVdFTyIsInN0YXR1cyI6IkNPTVBMRVRFIiwidG90YWxfYW1vdW50Ijoi"
    "MTAwMC4wIiwidHJhbnNhY3Rpb25fdXVpZCI6IjI1MDYxMC0xNjI0MTMiLCJwcm9kdWN0X2NvZGUiOiJFUEFZVEVT"
    "VCIsInNpZ25lZF9maWVsZF9uYW1lcyI6InRyYW5zYWN0aW9uX2NvZGUsc3RhdHVzLHRvdGFsX2Ftb3VudCx0cmFu"
    "c2FjdGlvbl91dWlkLHByb2R1Y3RfY29kZSxzaWduZWRfZmllbGRfbmFtZXMiLCJzaWduYXR1cmUiOiI2MkdjZlpU"
    "bVZremh0VWVoK1FKMUFxaUpyam9XV0dvZjNVK2VUUFRaN2ZBPSJ9"
)
WITH_COMMA = (
    "eyJ0cmFuc2FjdGlvbl9jb2RlIjoiMDAwOTZNViIsInN0YXR1cyI6IkNPTVBMRVRFIiwidG90YWxfYW1vdW50Ijoi"
    "Miw2NDAuMCIsInRyYW5zYWN0aW9uX3V1aWQiOiJXLUctZS1mLUsiLCJwcm9kdWN0X2NvZGUiOiJFUEFZVEVTVCIs"
    "InNpZ25lZF9maWVsZF9uYW1lcyI6InRyYW5zYWN0aW9uX2NvZGUsc3RhdHVzLHRvdGFsX2Ftb3VudCx0cmFuc2Fj"
    "dGlvbl91dWlkLHByb2R1Y3RfY29kZSxzaWduZWRfZmllbGRfbmFtZXMiLCJzaWduYXR1cmUiOiJGVGxXdzB6K2hS"
    "bWZRMFFBRkN5cHRQbGpsK2d6OVd3YVEza3BOKzNrcm5BPSJ9"
)
OURS = (
    "eyJ0cmFuc2FjdGlvbl9jb2RlIjoiMDAwUFlUMSIsInN0YXR1cyI6IkNPTVBMRVRFIiwidG90YWxfYW1vdW50Ijoi"
    "MTUwMC4wIiwidHJhbnNhY3Rpb25fdXVpZCI6IlBZLTEiLCJwcm9kdWN0X2NvZGUiOiJFUEFZVEVTVCIsInNpZ25l"
    "ZF9maWVsZF9uYW1lcyI6InRyYW5zYWN0aW9uX2NvZGUsc3RhdHVzLHRvdGFsX2Ftb3VudCx0cmFuc2FjdGlvbl91"
    "dWlkLHByb2R1Y3RfY29kZSxzaWduZWRfZmllbGRfbmFtZXMiLCJzaWduYXR1cmUiOiJxaEQrOXRxZHBLWHdoQUl5"
    "LzJKRVU5MjlpMm1zcXZWQ0pMTlliQXhTT2ZnPSJ9"
)
REFLECTED = (
    "eyJ0cmFuc2FjdGlvbl9jb2RlIjoiRkFLRTAxIiwic3RhdHVzIjoiQ09NUExFVEUiLCJ0b3RhbF9hbW91bnQiOiIx"
    "MTAiLCJ0cmFuc2FjdGlvbl91dWlkIjoiMjQxMDI4IiwicHJvZHVjdF9jb2RlIjoiRVBBWVRFU1QiLCJzaWduZWRf"
    "ZmllbGRfbmFtZXMiOiJ0b3RhbF9hbW91bnQsdHJhbnNhY3Rpb25fdXVpZCxwcm9kdWN0X2NvZGUiLCJzaWduYXR1"
    "cmUiOiJpOTR6c2Qzb1hGNlpzU3Iva0dxVDRzU3pZUXpqajFXL3dheGpXeVJ3YU1FPSJ9"
)


def settings(url: str = "https://rc-epay.esewa.com.np", **changes) -> EsewaSettings:
    facts: dict[str, Any] = {
        "enabled": True,
        "product_code": "EPAYTEST",
        "secret_key": KEY,
        "form_url": f"{url}/api/epay/main/v2/form",
        "status_url": f"{url}/api/epay/transaction/status/",
        "v1_form_url": f"{url}/epay/main",
        "v1_verify_url": f"{url}/epay/transrec",
    }
    return EsewaSettings(**facts | changes)


def signed(**changes) -> str:
    """An answer as eSewa signs it; ``names`` and ``signature`` may be put instead."""
    names = changes.pop("names", SIX)
    fields = {
        "transaction_code": "000PYT1",
        "status": "COMPLETE",
        "total_amount": "1500.5",
        "transaction_uuid": "PY-77",
        "product_code": "EPAYTEST",
        "signed_field_names": ",".join(names),
    } | changes
    covered = tuple(name for name in names if name in fields)
    fields.setdefault("signature", sign(message_of(fields, covered), KEY))
    return base64.b64encode(json.dumps(fields).encode()).decode()


@pytest.fixture
def esewa(provider, client):
    return EsewaGateway(settings(provider.url), client)


@pytest.mark.parametrize(
    ("total", "uuid", "signature"),
    [
        ("110", "241028", "i94zsd3oXF6ZsSr/kGqT4sSzYQzjj1W/waxjWyRwaME="),
        ("100", "11-201-13", "5DZywcrTKD0gia/rsSMcrRHmJl+4Tbol6S+lWgdJ94E="),
        ("1500.50", "PY-20260901-7f3a", "PrULsalNQcT9MHbDN6+mOL4MUu04mUwCjVAih/m68HE="),
        ("1500.5", "PY-20260901-7f3a", "RBur/YuL4okI4mrcikKXsRhYSZzu38dbHS01o/qTIX0="),
    ],
)
def test_requests_are_signed_as_the_provider_signs_them(total, uuid, signature):
    fields = {"total_amount": total, "transaction_uuid": uuid, "product_code": "EPAYTEST"}
    message = message_of(fields, REQUEST)
    assert message == f"total_amount={total},transaction_uuid={uuid},product_code=EPAYTEST"
    assert sign(message, KEY) == signature


@pytest.mark.parametrize(
    ("data", "code", "total", "uuid"),
    [
        (PROVIDERS_SAMPLE, "000AWEO", "1000.0", "250610-162413"),
        (WITH_COMMA, "00096MV", "2,640.0", "W-G-e-f-K"),
        (OURS, "000PYT1", "1500.0", "PY-1"),
    ],
)
def test_real_answers_are_accepted(data, code, total, uuid):
    answer = read_signed_answer(data, KEY)
    assert answer["transaction_code"] == code
    assert answer["total_amount"] == total
    assert answer["transaction_uuid"] == uuid
    assert answer["status"] == "COMPLETE"


def test_the_signatures_of_real_answers_are_computed():
    sample = json.loads(base64.b64decode(PROVIDERS_SAMPLE))
    assert sign(message_of(sample, SIX), KEY) == "62GcfZTmVkzhtUeh+QJ1AqiJrjoWWGof3U+eTPTZ7fA="
    ours = json.loads(base64.b64decode(OURS))
    assert sign(message_of(ours, SIX), KEY) == "qhD+9tqdpKXwhAIy/2JEU929i2msqvVCJLNYbAxSOfg="
    comma = json.loads(base64.b64decode(WITH_COMMA)) | {"total_amount": "2640.0"}
    assert sign(message_of(comma, SIX), KEY) == "FTlWw0z+hRmfQ0QAFCyptPljl+gz9WwaQ3kpN+3krnA="


def test_our_own_signature_handed_back_is_refused():
    reflected = json.loads(base64.b64decode(REFLECTED))
    assert sign(message_of(reflected, REQUEST), KEY) == reflected["signature"]
    with pytest.raises(ForgedCallback, match="covers-too-little"):
        read_signed_answer(REFLECTED, KEY)


@pytest.mark.parametrize(
    "forged",
    [
        signed(signature="AAAA"),
        signed(signature=""),
        signed(signature="ü"),
        signed(signature=None),
        signed(names=REQUEST),
        signed(names=SIX[:-1]),
        signed(names=SIX[1:]),
        signed(names=(*SIX, "status")),
        signed(names=(*SIX, "absent")),
        signed(status=True, signature="AAAA"),
        signed(signed_field_names=",".join(REQUEST), names=REQUEST),
        signed(signed_field_names="", signature="AAAA"),
    ],
)
def test_what_esewa_has_not_signed_is_refused(forged):
    with pytest.raises(ForgedCallback):
        read_signed_answer(forged, KEY)


def test_each_signed_field_is_bound():
    for name in SIX[:5]:
        fields = json.loads(base64.b64decode(OURS)) | {name: "1"}
        with pytest.raises(ForgedCallback):
            read_signed_answer(base64.b64encode(json.dumps(fields).encode()).decode(), KEY)


def test_nothing_but_commas_of_the_total_is_removed():
    text = signed(total_amount="1500.0")
    fields = json.loads(base64.b64decode(text))
    for total in ("1500", "1500.00", " 1500.0", "1500.0 "):
        changed = base64.b64encode(json.dumps(fields | {"total_amount": total}).encode()).decode()
        with pytest.raises(ForgedCallback):
            read_signed_answer(changed, KEY)


def test_a_total_that_came_as_a_number_is_checked_as_it_was_written():
    text = base64.b64decode(signed(total_amount="1500.50")).decode()
    as_number = text.replace('"1500.50"', "1500.50")
    assert as_number != text
    answer = read_signed_answer(base64.b64encode(as_number.encode()).decode(), KEY)
    assert answer["total_amount"] == "1500.50"


def test_blanks_and_lost_padding_are_mended():
    data = signed(transaction_uuid="PY->>>???~~~")
    assert read_signed_answer(f"  {data.replace('+', ' ').rstrip('=')}\n", KEY)


@pytest.mark.parametrize(
    "garbage",
    ["", "%%%", "AAAA", "é", "bnVsbA==", "W10=", "A" * 20_000, "A", "eyJzdGF0dXMiOiA"],
)
def test_what_cannot_be_read_is_malformed(garbage):
    with pytest.raises(Malformed):
        read_signed_answer(garbage, KEY)


def test_half_a_character_is_malformed():
    fields = json.loads(base64.b64decode(OURS)) | {"transaction_code": "\ud800"}
    with pytest.raises(Malformed):
        read_signed_answer(base64.b64encode(json.dumps(fields).encode()).decode(), KEY)


@given(st.text(max_size=80) | st.binary(max_size=80).map(lambda b: base64.b64encode(b).decode()))
def test_any_data_is_refused_quietly(data):
    with pytest.raises((Malformed, ForgedCallback)):
        read_signed_answer(data, KEY)


values = st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.lists(st.text())


@given(st.dictionaries(st.sampled_from([*SIX, "signature"]), values))
def test_any_object_without_the_key_is_refused(fields):
    with pytest.raises((Malformed, ForgedCallback)):
        read_signed_answer(base64.b64encode(json.dumps(fields).encode()).decode(), KEY)


async def test_the_form_is_signed_and_whole(esewa, provider, order):
    started = await esewa.start(order())
    assert started.action.kind is ActionKind.FORM
    assert started.action.url == f"{provider.url}/api/epay/main/v2/form"
    fields = dict(started.action.fields)
    signature = fields.pop("signature")
    assert fields == {
        "amount": "1500.50",
        "tax_amount": "0",
        "product_service_charge": "0",
        "product_delivery_charge": "0",
        "total_amount": "1500.50",
        "transaction_uuid": "PY-77",
        "product_code": "EPAYTEST",
        "success_url": "https://app.example/pay/return/PY-77",
        "failure_url": "https://app.example/pay/cancel/PY-77",
        "signed_field_names": "total_amount,transaction_uuid,product_code",
    }
    assert signature == sign(
        "total_amount=1500.50,transaction_uuid=PY-77,product_code=EPAYTEST", KEY
    )
    assert (await esewa.start(order(amount=150_000))).action.fields["amount"] == "1500"
    assert esewa.traits.form_origins == (provider.url,)
    assert esewa.traits.is_test


async def test_other_currencies_are_refused(esewa, order):
    with pytest.raises(GatewayDeclined):
        await esewa.start(order(currency="USD"))


def test_the_return_is_checked_and_bound(esewa, attempt):
    facts = attempt(details={"version": "2"})
    hint = esewa.read_return(facts, {"data": signed()})
    assert (hint.claim, hint.mismatches) == (Claim.PAID, ())
    assert hint.details == {"transaction_code": "000PYT1"}
    assert esewa.read_return(facts, {}).claim is Claim.UNKNOWN
    assert esewa.read_return(facts, {"data": signed(status="PENDING")}).claim is Claim.UNKNOWN
    for change, mismatch in (
        ({"product_code": "OTHER"}, "product-code"),
        ({"transaction_uuid": "PY-1"}, "reference"),
        ({"total_amount": "10"}, "amount"),
        ({"total_amount": "many"}, "amount"),
    ):
        wrong = esewa.read_return(facts, {"data": signed(**change)})
        assert wrong.mismatches == (mismatch,)
        assert wrong.details == {}
    with pytest.raises(ForgedCallback):
        esewa.read_return(facts, {"data": REFLECTED})


STATUS = {
    "product_code": "EPAYTEST",
    "transaction_uuid": "PY-77",
    "total_amount": 1500.5,
    "status": "COMPLETE",
    "ref_id": "0001TS9",
}


async def test_the_status_is_asked_with_our_own_values(esewa, provider, attempt):
    provider.will(says(STATUS))
    verdict = await esewa.verify(attempt(), NOW)
    (asked,) = provider.seen
    assert (asked.method, asked.path) == ("GET", "/api/epay/transaction/status/")
    assert asked.query == {
        "product_code": "EPAYTEST",
        "total_amount": "1500.50",
        "transaction_uuid": "PY-77",
    }
    assert verdict.outcome is Outcome.PAID
    assert (verdict.amount, verdict.currency) == (150_050, "NPR")
    assert (verdict.reference, verdict.transaction_id) == ("PY-77", "0001TS9")
    assert verdict.mismatches == ()


@pytest.mark.parametrize(
    ("status", "at", "outcome", "review"),
    [
        ("COMPLETE", NOW, Outcome.PAID, ""),
        ("PENDING", NOW, Outcome.IN_PROGRESS, ""),
        ("AMBIGUOUS", NOW, Outcome.IN_PROGRESS, "halted-at-the-provider"),
        ("NOT_FOUND", NOW, Outcome.UNCHANGED, ""),
        ("NOT_FOUND", LATER, Outcome.FAILED, ""),
        ("CANCELED", NOW, Outcome.FAILED, ""),
        ("FULL_REFUND", NOW, Outcome.REFUNDED, ""),
        ("PARTIAL_REFUND", NOW, Outcome.PARTLY_REFUNDED, "size-of-refund-unknown"),
        ("complete", NOW, Outcome.UNKNOWN, "unknown-status"),
        ("COMPLETED", NOW, Outcome.UNKNOWN, "unknown-status"),
        (None, NOW, Outcome.UNKNOWN, "unknown-status"),
    ],
)
async def test_each_status_has_its_meaning(esewa, provider, attempt, status, at, outcome, review):
    provider.will(says(STATUS | {"status": status}))
    verdict = await esewa.verify(attempt(), at)
    assert (verdict.outcome, verdict.review) == (outcome, review)


@pytest.mark.parametrize("total", [100, "100", "100.0", "100.00", 100.0, "100.0000"])
async def test_totals_are_compared_as_numbers(esewa, provider, attempt, total):
    provider.will(says(STATUS | {"total_amount": total}))
    assert (await esewa.verify(attempt(amount=10_000), NOW)).amount == 10_000


@pytest.mark.parametrize(
    ("change", "mismatch"),
    [
        ({"product_code": "OTHER"}, "product-code"),
        ({"product_code": None}, "product-code"),
        ({"total_amount": None}, "amount"),
        ({"total_amount": 0.001}, "amount"),
        ({"transaction_uuid": None}, "reference"),
    ],
)
async def test_a_success_that_contradicts_is_no_clean_success(
    esewa, provider, attempt, change, mismatch
):
    provider.will(says(STATUS | change))
    assert (await esewa.verify(attempt(), NOW)).mismatches == (mismatch,)


@pytest.mark.parametrize(
    "trouble",
    [
        BAD_GATEWAY,
        HTML_PAGE,
        says({"code": 0, "error_message": "Service is currently unavailable"}),
        says(STATUS, 400),
    ],
)
async def test_trouble_at_esewa_changes_nothing(esewa, provider, attempt, trouble):
    provider.will(trouble)
    with pytest.raises(GatewayUnavailable):
        await esewa.verify(attempt(), NOW)


@pytest.mark.logs_errors("gateway_refused_us")
async def test_a_refused_server_is_an_alarm(esewa, provider, attempt):
    provider.will(Reply(b"<html>Forbidden</html>", 403))
    with pytest.raises(GatewayMisconfigured):
        await esewa.verify(attempt(), NOW)


async def test_refunds_are_for_staff(esewa, attempt):
    answer = await esewa.refund(attempt(), RefundOrder(id="r1", amount=1, is_full=False))
    assert answer.state is RefundState.MANUAL
    with pytest.raises(NotFound):
        esewa.read_webhook({}, b"{}", NOW)


@given(st.dictionaries(st.sampled_from([*STATUS, "x"]), st.none() | st.booleans() | st.text()))
def test_any_status_is_read_without_a_fault(data):
    verdict = read_status(data, "EPAYTEST", timedelta())
    if verdict.outcome is Outcome.PAID and not verdict.mismatches:
        assert verdict.amount is not None


XML = b"<response>\n  <response_code>\n    Success\n  </response_code>\n</response>\n"


@pytest.fixture
def older(provider, client):
    return EsewaGateway(settings(provider.url, use_v1=True), client)


async def test_the_older_form_is_not_signed(older, provider, order):
    started = await older.start(order())
    assert started.action.url == f"{provider.url}/epay/main"
    assert dict(started.action.fields) == {
        "amt": "1500.50",
        "txAmt": "0",
        "psc": "0",
        "pdc": "0",
        "tAmt": "1500.50",
        "scd": "EPAYTEST",
        "pid": "PY-77",
        "su": "https://app.example/pay/return/PY-77",
        "fu": "https://app.example/pay/cancel/PY-77",
    }
    assert started.details == {"version": "1"}


async def test_an_older_payment_is_verified_by_its_own_call(esewa, provider, attempt):
    facts = attempt(details={"version": "1"})
    query = {"q": "su", "oid": "PY-77", "amt": "1500.5", "refId": "000AE01"}
    hint = esewa.read_return(facts, query)
    assert (hint.claim, hint.details, hint.mismatches) == (Claim.PAID, {"ref_id": "000AE01"}, ())
    provider.will(Reply(XML, content_type="application/xml"))
    verdict = await esewa.verify(attempt(details={"version": "1", **hint.details}), NOW)
    assert provider.seen[0].path == "/epay/transrec"
    assert provider.seen[0].body == b"amt=1500.50&rid=000AE01&pid=PY-77&scd=EPAYTEST"
    assert verdict.outcome is Outcome.PAID
    assert verdict.amount == 150_050
    assert verdict.transaction_id == "000AE01"


async def test_an_older_payment_without_its_id_cannot_be_verified_yet(esewa, attempt):
    assert (await esewa.verify(attempt(details={"version": "1"}), NOW)).outcome is (
        Outcome.UNCHANGED
    )


def test_an_older_return_is_bound(esewa, attempt):
    facts = attempt(details={"version": "1"})
    wrong = esewa.read_return(facts, {"oid": "PY-1", "amt": "10", "refId": "000AE01"})
    assert (wrong.mismatches, wrong.details) == (("reference", "amount"), {})
    assert esewa.read_return(facts, {}).claim is Claim.UNKNOWN
    with pytest.raises(Malformed):
        esewa.read_return(facts, {"oid": "PY-77", "amt": "1500.5", "refId": "<x>"})


@pytest.mark.parametrize(
    ("body", "outcome"),
    [
        (XML, Outcome.PAID),
        (b"<response><response_code>Success</response_code></response>", Outcome.PAID),
        (b"<response><response_code>failure</response_code></response>", Outcome.FAILED),
        (b"<response><response_code>\nFailure\n</response_code></response>", Outcome.FAILED),
        (b"<response><response_code>Pending</response_code></response>", Outcome.UNCHANGED),
        (b"<response><message>Success</message></response>", Outcome.UNCHANGED),
        (b"<x><response_code>Success</response_code></x>", Outcome.UNCHANGED),
        (b"<response><a><response_code>Success</response_code></a></response>", Outcome.UNCHANGED),
        (
            b"<response><response_code/><response_code>Success</response_code></response>",
            Outcome.UNCHANGED,
        ),
        (b"<html>Success</html>", Outcome.UNCHANGED),
        (b"Success", Outcome.UNCHANGED),
        (b"<response><response_code>Success</response_code>", Outcome.UNCHANGED),
        (
            b'<!DOCTYPE r [<!ENTITY s "Success">]><response><response_code>&s;</response_code>'
            b"</response>",
            Outcome.UNCHANGED,
        ),
        (
            b'<!DOCTYPE response SYSTEM "file:///etc/passwd"><response><response_code>Success'
            b"</response_code></response>",
            Outcome.UNCHANGED,
        ),
        (b'<?xml version="1.0" encoding="no-such"?><response/>', Outcome.UNCHANGED),
        (b"", Outcome.UNCHANGED),
        (b" " * 20_000 + XML, Outcome.UNCHANGED),
    ],
)
def test_only_the_word_in_its_place_counts(body, outcome, attempt):
    assert read_transrec(body, attempt(), "000AE01").outcome is outcome


async def test_a_bad_status_of_the_older_call_is_no_success(esewa, provider, attempt):
    provider.will(Reply(XML, 404))
    verdict = await esewa.verify(attempt(details={"version": "1", "ref_id": "R"}), NOW)
    assert verdict.outcome is Outcome.UNCHANGED


@given(st.binary(max_size=120))
def test_any_bytes_are_no_success(body):
    facts = AttemptFacts(reference="PY-77", amount=1, currency="NPR", created_at=STARTED)
    assert read_transrec(b"<response>" + body, facts, "R").outcome is not Outcome.PAID
