"""connectIPS: what is signed, to the letter, and what its answers mean."""

from __future__ import annotations

import base64
from datetime import UTC, datetime, timedelta

import pytest
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from hypothesis import given
from hypothesis import strategies as st

from server.domain.errors import GatewayDeclined, GatewayMisconfigured, GatewayUnavailable, NotFound
from server.domain.gateway import ActionKind, Claim, Outcome, RefundOrder, RefundState
from server.gateways.connectips import (
    ConnectIpsGateway,
    basic,
    form_message,
    load_key,
    question_message,
    read_validation,
    sign,
    with_detail,
)
from server.settings import ConnectIpsSettings, SettingsError
from tests.payment_keys import throw_away_key, write_pfx
from tests.provider import BAD_GATEWAY, HTML_PAGE, says
from tests.unit.gateways.conftest import STARTED

NOW = STARTED + timedelta(minutes=2)
LATER = STARTED + timedelta(minutes=31)
EXAMPLE = {
    "MERCHANTID": "550",
    "APPID": "MER-550-APP-1",
    "APPNAME": "Test",
    "TXNID": "txn123",
    "TXNDATE": "15-03-2022",
    "TXNCRNCY": "NPR",
    "TXNAMT": "500",
    "REFERENCEID": "REF-001",
    "REMARKS": "RMKS-001",
    "PARTICULARS": "PART-001",
}
FORM_TOKEN = (
    "qbx4G0gsdfAVkVNN58Pk9eR6JOfOPZalp19SCRy+dX8BxCiazHzjPJP5GWC6WyyCQRgsPVRjSb8yf6AZQ5K9J/zH"
    "Su5QfBaBccBfnHj2dMZdbUVXIZeA1T/gi77A+G1HimDJgN8FKIj8gZl+pbWRSM9uQ3OS6KQR4RE08WttXuUDbh4a"
    "Pmm2z/TZHznlnXZpEO19Roc4b+Vr99WpYqfyIgGFgPJFnLAmLLbqBdfxsnqu+HHIUx1LTh2DBVwdlpRwi1+mPjJ2"
    "5M+tZMHXBUJ6x+iYMVJJ4SZ8s9a+Jg0vV7OPbKRZfLrlLbZJL+LCY7v2BK3NUlEyn6Vg9fuVznQsdQ=="
)
QUESTION_TOKEN = (
    "K/9tinV8AUlNhnkeftx3GgNqw0ZUmxHedu2mLOKuV59AGv4aeR0pFc+PUvR1npkSpS/6H62R0dX7xQw5Sy1iYw8A"
    "5Wl/h4WlwwtsAx4Kte8JE+gp/GXFyJQ9CprxZ3EbEeFpsXrLmjqAX0kNMLh7mo8UQXUFDQsEKCD4hfm2s8dWZx0F"
    "g2A6dSwjmboa3Me+53lfITpsNK9L1LffiNaCpGoP+BocHFKjO7V0RzU/fg56nxV+p7b3UP3YWBIqg8gspiXskHi6"
    "+bf1+gLi+J0RCDPVSWslHriO1ALf1zA1+L/KnJzyhuJWNoMtmnNcjSEMcA0XkXxvnZx+CCT7DEImeQ=="
)
VALID = {
    "merchantId": 550,
    "appId": "MER-550-APP-1",
    "referenceId": "PY-77",
    "txnAmt": "150050",
    "token": None,
    "status": "SUCCESS",
    "statusDesc": "TRANSACTION SUCCESSFUL",
}
DETAIL = VALID | {"txnId": 123456, "creditStatus": "000", "chargeAmt": "4.00", "txnCrncy": None}


@pytest.fixture(scope="module")
def pfx(tmp_path_factory):
    return write_pfx(tmp_path_factory.mktemp("keys") / "CREDITOR.pfx", "1234")


@pytest.fixture
def settings(provider, pfx):
    return ConnectIpsSettings(
        enabled=True,
        base_url=provider.url,
        merchant_id="550",
        app_id="MER-550-APP-1",
        app_name="Test",
        app_password="Abcd@123",
        key_path=str(pfx),
        key_password="1234",
    )


@pytest.fixture
def connectips(settings, client):
    return ConnectIpsGateway(settings, client)


def test_the_form_is_signed_as_the_provider_says():
    message = form_message(EXAMPLE)
    assert message == (
        "MERCHANTID=550,APPID=MER-550-APP-1,APPNAME=Test,TXNID=txn123,TXNDATE=15-03-2022,"
        "TXNCRNCY=NPR,TXNAMT=500,REFERENCEID=REF-001,REMARKS=RMKS-001,PARTICULARS=PART-001,"
        "TOKEN=TOKEN"
    )
    assert sign(message, throw_away_key()) == FORM_TOKEN


def test_questions_are_signed_as_the_provider_says(settings):
    message = question_message(settings, "txn123", 500)
    assert message == "MERCHANTID=550,APPID=MER-550-APP-1,REFERENCEID=txn123,TXNAMT=500"
    assert sign(message, throw_away_key()) == QUESTION_TOKEN


def test_the_api_knows_us_by_name_and_password():
    assert basic("MER-550-APP-1", "Abcd@123") == "Basic TUVSLTU1MC1BUFAtMTpBYmNkQDEyMw=="


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("REMARKS", ""),
        ("TXNID", "x" * 21),
        ("APPNAME", "x" * 31),
        ("REMARKS", "x" * 51),
        ("PARTICULARS", "x" * 101),
        ("REMARKS", "a,TXNAMT=1"),
    ],
)
def test_what_cannot_be_sent_is_not_signed(name, value):
    with pytest.raises(ValueError, match=name):
        form_message(EXAMPLE | {name: value})


def test_the_key_comes_out_of_its_file(pfx):
    assert sign("x", load_key(pfx, "1234")) == sign("x", throw_away_key())


def test_a_key_that_cannot_be_read_stops_the_start(pfx, tmp_path):
    with pytest.raises(SettingsError, match="key_path"):
        load_key(pfx, "wrong")
    with pytest.raises(SettingsError, match="key_path"):
        load_key(tmp_path / "absent.pfx", "1234")
    (tmp_path / "bad.pfx").write_bytes(b"no key")
    with pytest.raises(SettingsError, match="key_path"):
        load_key(tmp_path / "bad.pfx", "1234")
    other = write_pfx(tmp_path / "ec.pfx", "1234", ec.generate_private_key(ec.SECP256R1()))
    with pytest.raises(SettingsError, match="no RSA key"):
        load_key(other, "1234")


async def test_the_form_is_whole_and_its_token_fits(connectips, provider, order):
    started = await connectips.start(
        order(title="Satyanarayan & Puja", note="Pūjā, with TXNAMT=1" + "x" * 120)
    )
    assert started.action.kind is ActionKind.FORM
    assert started.action.url == f"{provider.url}/connectipswebgw/loginpage"
    fields = dict(started.action.fields)
    token = fields.pop("TOKEN")
    assert fields.pop("PARTICULARS").startswith("P j with TXNAMT 1x")
    assert fields == {
        "MERCHANTID": "550",
        "APPID": "MER-550-APP-1",
        "APPNAME": "Test",
        "TXNID": "PY-77",
        "TXNDATE": "01-09-2026",
        "TXNCRNCY": "NPR",
        "TXNAMT": "150050",
        "REFERENCEID": "PY-77",
        "REMARKS": "Satyanarayan Puja",
    }
    signed = form_message(dict(started.action.fields)).encode()
    public = throw_away_key().public_key()
    public.verify(base64.b64decode(token), signed, padding.PKCS1v15(), hashes.SHA256())
    with pytest.raises(InvalidSignature):
        public.verify(base64.b64decode(token), signed + b" ", padding.PKCS1v15(), hashes.SHA256())
    assert connectips.traits.form_origins == (provider.url,)
    assert connectips.traits.is_test


async def test_the_date_is_that_of_nepal(connectips, order):
    evening = datetime(2026, 9, 1, 18, 30, tzinfo=UTC)
    started = await connectips.start(order(created_at=evening, title="पूजा", note=""))
    assert started.action.fields["TXNDATE"] == "02-09-2026"
    assert started.action.fields["REMARKS"] == "PY-77"
    assert started.action.fields["PARTICULARS"] == "PY-77"


async def test_other_currencies_are_refused(connectips, order):
    with pytest.raises(GatewayDeclined):
        await connectips.start(order(currency="USD"))


def test_the_return_says_nothing_of_the_outcome(connectips, attempt):
    hint = connectips.read_return(attempt(), {"TXNID": "PY-77"})
    assert (hint.claim, hint.mismatches) == (Claim.UNKNOWN, ())
    assert connectips.read_return(attempt(), {"TXNID": "PY-1"}).mismatches == ("reference",)


async def test_a_success_is_asked_for_with_our_own_values(connectips, provider, attempt):
    provider.will(says(VALID), says(DETAIL))
    verdict = await connectips.verify(attempt(), NOW)
    validated, detailed = provider.seen
    assert validated.path == "/connectipswebws/api/creditor/validatetxn"
    assert detailed.path == "/connectipswebws/api/creditor/gettxndetail"
    token = validated.json["token"]
    assert (
        validated.json
        == detailed.json
        == {
            "merchantId": 550,
            "appId": "MER-550-APP-1",
            "referenceId": "PY-77",
            "txnAmt": 150050,
            "token": token,
        }
    )
    signed = "MERCHANTID=550,APPID=MER-550-APP-1,REFERENCEID=PY-77,TXNAMT=150050"
    assert token == sign(signed, throw_away_key())
    assert validated.headers["authorization"] == "Basic TUVSLTU1MC1BUFAtMTpBYmNkQDEyMw=="
    assert verdict.outcome is Outcome.PAID
    assert (verdict.amount, verdict.reference) == (150_050, "PY-77")
    assert (verdict.transaction_id, verdict.mismatches, verdict.review) == ("123456", (), "")


@pytest.mark.parametrize(
    ("status", "words", "at", "outcome"),
    [
        ("SUCCESS", "TRANSACTION SUCESSFULL", NOW, Outcome.PAID),
        ("FAILED", "TRANSACTION UNSUCCESSFUL", NOW, Outcome.FAILED),
        ("FAILED", "TRANSACTION SUCCESSFUL", NOW, Outcome.FAILED),
        ("ERROR", "TRANSACTION NOT FOUND", NOW, Outcome.UNCHANGED),
        ("ERROR", "TRANSACTION INCOMPLETE", NOW, Outcome.UNCHANGED),
        ("ERROR", "TRANSACTION INCOMPLETE", LATER, Outcome.FAILED),
        ("ERROR", "TRANSACTION SUCCESSFUL", NOW, Outcome.UNCHANGED),
        ("SUCCESSFUL", "TRANSACTION SUCCESSFUL", NOW, Outcome.UNKNOWN),
        (None, "TRANSACTION SUCCESSFUL", NOW, Outcome.UNKNOWN),
    ],
)
async def test_the_status_decides_never_the_wording(
    connectips, provider, attempt, status, words, at, outcome
):
    provider.will(says(VALID | {"status": status, "statusDesc": words}), says(DETAIL))
    verdict = await connectips.verify(attempt(), at)
    assert verdict.outcome is outcome
    assert (verdict.review == "unknown-status") == (outcome is Outcome.UNKNOWN)


@pytest.mark.parametrize(
    ("change", "mismatch"),
    [
        ({"merchantId": 551}, "merchant"),
        ({"appId": "OTHER"}, "app"),
        ({"txnAmt": None}, "amount"),
        ({"txnAmt": "1500.50"}, "amount"),
        ({"referenceId": None}, "reference"),
    ],
)
async def test_a_success_that_contradicts_is_no_clean_success(
    connectips, provider, attempt, change, mismatch
):
    provider.will(says(VALID | change), says(DETAIL))
    assert (await connectips.verify(attempt(), NOW)).mismatches == (mismatch,)


@pytest.mark.parametrize(
    ("credit", "review"),
    [("000", ""), ("999", ""), ("DEFER", ""), ("001", "not-credited"), (None, "not-credited")],
)
async def test_a_success_that_was_not_credited_is_looked_at(
    connectips, provider, attempt, credit, review
):
    provider.will(says(VALID), says(DETAIL | {"creditStatus": credit}))
    verdict = await connectips.verify(attempt(), NOW)
    assert (verdict.outcome, verdict.review) == (Outcome.PAID, review)


async def test_a_success_stands_without_its_detail(connectips, provider, attempt):
    provider.will(says(VALID), BAD_GATEWAY)
    verdict = await connectips.verify(attempt(), NOW)
    assert (verdict.outcome, verdict.transaction_id) == (Outcome.PAID, None)


@pytest.mark.parametrize(
    "trouble", [BAD_GATEWAY, HTML_PAGE, says({"status": "ERROR", "statusDesc": "TOKEN"}, 400)]
)
async def test_trouble_at_the_provider_changes_nothing(connectips, provider, attempt, trouble):
    provider.will(trouble)
    with pytest.raises(GatewayUnavailable):
        await connectips.verify(attempt(), LATER)


@pytest.mark.logs_errors("gateway_refused_us")
async def test_a_refused_password_is_an_alarm(connectips, provider, attempt):
    provider.will(says({"error": "unauthorized"}, 401))
    with pytest.raises(GatewayMisconfigured):
        await connectips.verify(attempt(), NOW)


async def test_refunds_are_for_staff(connectips, attempt):
    answer = await connectips.refund(attempt(), RefundOrder(id="r1", amount=1, is_full=False))
    assert answer.state is RefundState.MANUAL
    with pytest.raises(NotFound):
        connectips.read_webhook({}, b"", NOW)


def test_the_published_key_is_a_test_even_at_the_live_host(client, pfx, tmp_path):
    live = ConnectIpsSettings(merchant_id="550", key_path=str(pfx), key_password="1234")
    assert ConnectIpsGateway(live, client).traits.is_test
    fresh = rsa.generate_private_key(65537, 2048)
    own = write_pfx(tmp_path / "own.pfx", "1234", fresh)
    live = ConnectIpsSettings(merchant_id="550", key_path=str(own), key_password="1234")
    assert not ConnectIpsGateway(live, client).traits.is_test


@given(
    st.dictionaries(
        st.sampled_from([*DETAIL, "x"]), st.none() | st.booleans() | st.text() | st.just("SUCCESS")
    )
)
def test_any_answer_is_read_without_a_fault(data):
    known = ConnectIpsSettings(merchant_id="550", app_id="MER-550-APP-1")
    verdict = with_detail(read_validation(data, known, timedelta()), data)
    if verdict.outcome is Outcome.PAID and not verdict.mismatches:
        assert verdict.amount is not None
