"""The sandbox speaks the providers' protocols: exact bodies, codes, signatures, and every failure.

Spoken to by plain HTTP, with none of the server's own clients.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
from collections import Counter
from collections.abc import AsyncIterator
from decimal import Decimal
from typing import Any
from urllib.parse import parse_qs, urlsplit

import httpx
import pytest
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import padding, rsa

from server.sandbox import keys
from server.sandbox.faults import GATEWAYS, MODES
from tests.sandbox_control import Ear, SandboxControl, listening_ear, running_sandbox

SHOP = "http://127.0.0.1:9/pay"
KHALTI = {"Authorization": "Key 05bf95cc57244045b8df5fad06748dab"}
STRIPE = {"Authorization": f"Bearer {keys.STRIPE_SECRET_KEY}"}
IME = {
    "Authorization": "Basic cGFuZGl0eWF0cmE6c2VjcmV0",
    "Module": "UEFORElU",
}
CONNECTIPS = {"Authorization": "Basic TUVSLTU1MC1BUFAtMTpBYmNkQDEyMw=="}


@pytest.fixture(scope="module")
async def running() -> AsyncIterator[SandboxControl]:
    async with running_sandbox() as control:
        yield control


@pytest.fixture
async def sandbox(running: SandboxControl) -> SandboxControl:
    """A sandbox that has forgotten everything."""
    await running.client.post("/_sandbox/reset")
    await running.register(
        stripe_webhook="",
        connectips_success=f"{SHOP}/success",
        connectips_failure=f"{SHOP}/failure",
    )
    return running


@pytest.fixture
async def ear() -> AsyncIterator[Ear]:
    async with listening_ear() as merchant:
        yield merchant


def query_of(response: httpx.Response) -> dict[str, str]:
    """The parameters of the address to which the browser is sent."""
    assert response.status_code == 303, response.text
    found = parse_qs(urlsplit(response.headers["location"]).query, keep_blank_values=True)
    return {name: values[0] for name, values in found.items()}


class TestKhalti:
    async def start(self, sandbox: SandboxControl, **changes: Any) -> httpx.Response:
        fields = {
            "return_url": f"{SHOP}/khalti/PY-77",
            "website_url": "http://127.0.0.1:9",
            "amount": 150050,
            "purchase_order_id": "PY-77",
            "purchase_order_name": "Griha Pravesh",
            **changes,
        }
        fields = {name: value for name, value in fields.items() if value is not None}
        return await sandbox.client.post(
            "/khalti/api/v2/epayment/initiate/", headers=KHALTI, json=fields
        )

    async def started(self, sandbox: SandboxControl) -> str:
        response = await self.start(sandbox)
        assert response.status_code == 200, response.text
        return str(response.json()["pidx"])

    async def lookup(self, sandbox: SandboxControl, pidx: str) -> httpx.Response:
        return await sandbox.client.post(
            "/khalti/api/v2/epayment/lookup/", headers=KHALTI, json={"pidx": pidx}
        )

    async def test_a_start_gives_a_page_and_a_time_in_nepal(self, sandbox):
        told = (await self.start(sandbox)).json()
        assert set(told) == {"pidx", "payment_url", "expires_at", "expires_in"}
        assert told["payment_url"] == f"{sandbox.url}/khalti/pay/{told['pidx']}"
        assert told["expires_at"].endswith("+05:45")

    @pytest.mark.parametrize(
        ("changes", "body"),
        [
            ({"return_url": ""}, {"return_url": ["This field may not be blank."]}),
            ({"return_url": "shop"}, {"return_url": ["Enter a valid URL."]}),
            ({"website_url": None}, {"website_url": ["This field is required."]}),
            ({"purchase_order_id": ""}, {"purchase_order_id": ["This field may not be blank."]}),
            (
                {"purchase_order_name": ""},
                {"purchase_order_name": ["This field may not be blank."]},
            ),
            (
                {"amount": 999},
                {"amount": ["Amount should be greater than Rs. 10, that is 1000 paisa."]},
            ),
            ({"amount": "1500.50"}, {"amount": ["A valid integer is required."]}),
            ({"amount": 1500.5}, {"amount": ["A valid integer is required."]}),
            (
                {"amount_breakdown": [{"label": "Puja", "amount": 1}]},
                {"amount": ["Amount Breakdown mismatch."]},
            ),
        ],
    )
    async def test_a_wrong_start_is_refused_in_the_documented_words(self, sandbox, changes, body):
        response = await self.start(sandbox, **changes)
        assert response.status_code == 400
        assert response.json() == {**body, "error_key": "validation_error"}

    @pytest.mark.parametrize(
        ("header", "detail"),
        [
            ({}, "Authentication credentials were not provided."),
            (
                {"Authorization": "05bf95cc57244045b8df5fad06748dab"},
                "Authentication credentials were not provided.",
            ),
            ({"Authorization": "Key wrong"}, "Invalid token."),
        ],
    )
    async def test_a_wrong_key_is_refused(self, sandbox, header, detail):
        for path in ("v2/epayment/initiate", "v2/epayment/lookup", "merchant-transaction/x/refund"):
            response = await sandbox.client.post(f"/khalti/api/{path}/", headers=header, json={})
            assert response.status_code == 401
            assert response.json() == {"detail": detail, "status_code": 401}

    @pytest.mark.parametrize(
        ("action", "code", "word"),
        [
            ("pay", 200, "Completed"),
            ("later", 200, "Pending"),
            ("cancel", 400, "User canceled"),
            ("fail", 400, "Failed"),
        ],
    )
    async def test_return_and_lookup_tell_the_outcome(self, sandbox, action, code, word):
        pidx = await self.started(sandbox)
        before = await self.lookup(sandbox, pidx)
        assert before.json()["status"] == "Initiated"
        assert before.json()["transaction_id"] is None
        hint = query_of(await sandbox.act("khalti", pidx, action))
        assert set(hint) == {
            "pidx", "transaction_id", "tidx", "txnId", "amount", "total_amount", "mobile",
            "status", "purchase_order_id", "purchase_order_name",
        }  # fmt: skip
        assert hint["status"] == word
        assert hint["purchase_order_id"] == "PY-77"
        answer = await self.lookup(sandbox, pidx)
        assert answer.status_code == code
        told = answer.json()
        assert set(told) == {
            "pidx", "total_amount", "status", "transaction_id", "fee", "refunded",
        }  # fmt: skip
        assert told["status"] == word
        assert told["total_amount"] == 150050
        assert (told["transaction_id"] or "") == hint["transaction_id"]

    async def test_a_link_expires_by_the_clock(self, sandbox):
        pidx = await self.started(sandbox)
        await sandbox.advance(3601)
        answer = await self.lookup(sandbox, pidx)
        assert (answer.status_code, answer.json()["status"]) == (400, "Expired")
        assert (await sandbox.act("khalti", pidx, "pay")).status_code == 409

    async def test_an_unknown_pidx_is_not_found(self, sandbox):
        answer = await self.lookup(sandbox, "nothing")
        assert answer.status_code == 404
        assert answer.json() == {"detail": "Not found.", "error_key": "validation_error"}

    async def test_a_refund_is_partial_then_full_and_then_impossible(self, sandbox):
        pidx = await self.started(sandbox)
        await sandbox.act("khalti", pidx, "pay")
        number = (await self.lookup(sandbox, pidx)).json()["transaction_id"]
        url = f"/khalti/api/merchant-transaction/{number}/refund/"
        part = await sandbox.client.post(url, headers=KHALTI, json={"amount": 50050})
        assert part.json() == {"detail": "Transaction refund successful."}
        assert (await self.lookup(sandbox, pidx)).json()["status"] == "Partially Refunded"
        too_much = await sandbox.client.post(url, headers=KHALTI, json={"amount": 100001})
        assert too_much.status_code == 400
        rest = await sandbox.client.post(url, headers=KHALTI, json={})
        assert rest.status_code == 200
        told = (await self.lookup(sandbox, pidx)).json()
        assert (told["status"], told["refunded"]) == ("Refunded", True)
        assert (await sandbox.client.post(url, headers=KHALTI, json={})).status_code == 400
        assert (await sandbox.row("PY-77"))["refunded"] == 150050

    async def test_a_refund_to_a_bank_needs_the_payers_number(self, sandbox):
        pidx = await self.started(sandbox)
        await sandbox.act("khalti", pidx, "pay", by="bank")
        number = (await self.lookup(sandbox, pidx)).json()["transaction_id"]
        url = f"/khalti/api/merchant-transaction/{number}/refund/"
        assert (await sandbox.client.post(url, headers=KHALTI, json={})).status_code == 400
        told = await sandbox.client.post(url, headers=KHALTI, json={"mobile": "9800000000"})
        assert told.status_code == 200

    async def test_the_older_flow_gives_a_token_that_is_verified_with_its_amount(self, sandbox):
        fields = {
            "public_key": keys.KHALTI_PUBLIC_KEY, "mobile": "9800000000", "amount": 150050,
            "transaction_pin": "1111", "product_identity": "PY-78", "product_name": "Puja",
        }  # fmt: skip
        base = "/khalti/api/v2/payment"
        post = sandbox.client.post
        token = (await post(f"{base}/initiate/", json=fields)).json()["token"]
        verify = {"token": token, "amount": 150050}
        early = await post(f"{base}/verify/", headers=KHALTI, data=verify)
        assert (early.status_code, early.json()) == (400, {"token": ["Invalid token."]})
        confirm = {
            "public_key": keys.KHALTI_PUBLIC_KEY, "token": token, "confirmation_code": "987654",
            "transaction_pin": "1111",
        }  # fmt: skip
        payload = (await post(f"{base}/confirm/", json=confirm)).json()
        assert (payload["token"], payload["amount"]) == (token, 150050)
        cheap = await post(f"{base}/verify/", headers=KHALTI, data={"token": token, "amount": 1})
        assert cheap.status_code == 400
        told = (await post(f"{base}/verify/", headers=KHALTI, data=verify)).json()
        assert told["state"]["name"] == "Completed"
        assert (told["amount"], told["refunded"]) == (150050, False)
        status = await sandbox.client.get(f"{base}/status/", headers=KHALTI, params=verify)
        assert status.json()["state"] == "Complete"
        assert (await sandbox.row("PY-78"))["paid"] == 150050


class TestEsewa:
    NAMES = "transaction_code,status,total_amount,transaction_uuid,product_code,signed_field_names"

    def sign(self, values: dict[str, str], names: str) -> str:
        message = ",".join(f"{name}={values[name]}" for name in names.split(","))
        key = b"8gBm/:&EnhH.1/q"
        return base64.b64encode(hmac.digest(key, message.encode(), hashlib.sha256)).decode()

    def form(self, total: str = "1500.50", uuid: str = "PY-77", **changes: str) -> dict[str, str]:
        fields = {
            "amount": total, "tax_amount": "0", "product_service_charge": "0",
            "product_delivery_charge": "0", "total_amount": total, "transaction_uuid": uuid,
            "product_code": "EPAYTEST", "success_url": f"{SHOP}/esewa/{uuid}",
            "failure_url": f"{SHOP}/esewa/{uuid}/failed",
            "signed_field_names": "total_amount,transaction_uuid,product_code",
        }  # fmt: skip
        fields["signature"] = self.sign(fields, fields["signed_field_names"])
        return {**fields, **changes}

    async def send(self, sandbox: SandboxControl, fields: dict[str, str]) -> httpx.Response:
        return await sandbox.client.post("/esewa/api/epay/main/v2/form", data=fields)

    async def start(self, sandbox: SandboxControl, **changes: str) -> None:
        response = await self.send(sandbox, self.form(**changes))
        assert response.status_code == 303, response.text
        assert response.headers["location"].startswith(f"{sandbox.url}/esewa/pay/")

    async def status(self, sandbox: SandboxControl, total: str = "1500.50") -> Any:
        asked = {
            "product_code": "EPAYTEST",
            "total_amount": total,
            "transaction_uuid": "PY-77",
        }
        response = await sandbox.client.get("/esewa/api/epay/transaction/status/", params=asked)
        assert response.status_code == 200
        return response.json()

    def data(self, response: httpx.Response) -> dict[str, str]:
        raw = base64.b64decode(query_of(response)["data"])
        told: dict[str, str] = json.loads(raw, parse_float=str, parse_int=str)
        return told

    async def test_a_success_comes_back_signed_over_six_names(self, sandbox):
        await self.start(sandbox)
        told = self.data(await sandbox.act("esewa", "PY-77", "pay"))
        assert told["signed_field_names"] == self.NAMES
        assert told["signature"] == self.sign(told, self.NAMES)
        assert (told["status"], told["total_amount"]) == ("COMPLETE", "1500.5")
        answer = await self.status(sandbox)
        assert answer == {
            "product_code": "EPAYTEST", "transaction_uuid": "PY-77", "total_amount": 1500.5,
            "status": "COMPLETE", "ref_id": told["transaction_code"],
        }  # fmt: skip

    async def test_the_data_is_appended_blindly(self, sandbox):
        await self.start(sandbox, success_url=f"{SHOP}/success?payment=7")
        back = (await sandbox.act("esewa", "PY-77", "pay")).headers["location"]
        assert back.startswith(f"{SHOP}/success?payment=7?data=")

    @pytest.mark.parametrize(
        ("action", "word"), [("cancel", "CANCELED"), ("fail", "CANCELED"), ("later", "PENDING")]
    )
    async def test_everything_else_comes_back_plain_to_the_other_address(
        self, sandbox, action, word
    ):
        await self.start(sandbox)
        back = await sandbox.act("esewa", "PY-77", action)
        assert back.headers["location"] == f"{SHOP}/esewa/PY-77/failed"
        answer = await self.status(sandbox)
        assert (answer["status"], answer["ref_id"]) == (word, None)

    @pytest.mark.parametrize(
        ("changes", "number"),
        [
            ({"signature": "i94zsd3oXF6ZsSr/kGqT4sSzYQzjj1W/waxjWyRwaME="}, "ES104"),
            ({"total_amount": "1500.5"}, "ES104"),
            ({"tax_amount": "1"}, "ES102"),
            ({"amount": "1,500.50"}, "ES102"),
            ({"transaction_uuid": "PY_77"}, "ES103"),
            ({"product_code": "OTHER"}, "ES100"),
            ({"failure_url": ""}, "ES101"),
            ({"signed_field_names": "transaction_uuid,total_amount,product_code"}, "ES104"),
        ],
    )
    async def test_a_wrong_form_is_refused_with_a_page(self, sandbox, changes, number):
        response = await self.send(sandbox, self.form(**changes))
        assert response.status_code == 400
        assert number in response.text
        assert await sandbox.ledger() == []

    async def test_a_uuid_serves_once(self, sandbox):
        await self.start(sandbox)
        again = await self.send(sandbox, self.form())
        assert (again.status_code, "Duplicate" in again.text) == (400, True)

    async def test_who_asks_with_another_amount_finds_nothing(self, sandbox):
        await self.start(sandbox)
        await sandbox.act("esewa", "PY-77", "pay")
        assert (await self.status(sandbox, "1500"))["status"] == "NOT_FOUND"

    async def test_a_session_ends_by_the_clock(self, sandbox):
        await self.start(sandbox)
        await sandbox.advance(601)
        assert (await self.status(sandbox))["status"] == "NOT_FOUND"

    async def test_refunds_at_the_gateway_show_in_the_status(self, sandbox):
        await self.start(sandbox)
        await sandbox.act("esewa", "PY-77", "pay")
        await sandbox.act("esewa", "PY-77", "partial-refund", amount="500.50")
        assert (await self.status(sandbox))["status"] == "PARTIAL_REFUND"
        await sandbox.act("esewa", "PY-77", "refund")
        assert (await self.status(sandbox))["status"] == "FULL_REFUND"

    async def test_a_total_with_a_comma_was_signed_without_it(self, sandbox):
        await sandbox.order("esewa", "comma-amount")
        await self.start(sandbox)
        told = self.data(await sandbox.act("esewa", "PY-77", "pay"))
        assert told["total_amount"] == "1,500.5"
        assert told["signature"] == self.sign({**told, "total_amount": "1500.5"}, self.NAMES)

    async def test_a_total_can_be_a_number_of_json(self, sandbox):
        await sandbox.order("esewa", "number-amount")
        await self.start(sandbox, total="1500")
        back = query_of(await sandbox.act("esewa", "PY-77", "pay"))
        assert b'"total_amount":1500.0,' in base64.b64decode(back["data"])

    @pytest.mark.parametrize(
        "mode", ["wrong-signature", "changed-amount", "changed-reference", "missing-signature"]
    )
    async def test_a_forged_answer_has_no_good_signature(self, sandbox, mode):
        await sandbox.order("esewa", mode)
        await self.start(sandbox)
        told = self.data(await sandbox.act("esewa", "PY-77", "pay"))
        assert told.get("signature") != self.sign(told, self.NAMES)

    async def test_a_changed_answer_can_be_signed_by_whoever_knows_the_public_key(self, sandbox):
        await sandbox.order("esewa", "changed-amount", value=100, signed=True)
        await self.start(sandbox)
        told = self.data(await sandbox.act("esewa", "PY-77", "pay"))
        assert told["total_amount"] == "1.0"
        assert told["signature"] == self.sign(told, self.NAMES)

    async def test_a_cancelled_payment_can_be_told_as_paid(self, sandbox):
        await sandbox.order("esewa", "changed-status", signed=True)
        await self.start(sandbox)
        told = self.data(await sandbox.act("esewa", "PY-77", "cancel"))
        assert told["status"] == "COMPLETE"
        assert (await self.status(sandbox))["status"] == "CANCELED"

    async def test_a_reflected_signature_is_that_of_the_request(self, sandbox):
        await sandbox.order("esewa", "reflected-signature")
        await self.start(sandbox)
        told = self.data(await sandbox.act("esewa", "PY-77", "pay"))
        assert told["signature"] == self.form()["signature"]
        assert told["signed_field_names"] == "total_amount,transaction_uuid,product_code"
        assert told["signature"] == self.sign(told, told["signed_field_names"])

    async def test_it_can_be_ambiguous_or_out_of_service(self, sandbox):
        await sandbox.order_all("esewa", {"mode": "ambiguous"}, {"mode": "service-down"})
        await self.start(sandbox)
        assert await self.status(sandbox) == {
            "code": 0,
            "error_message": "Service is currently unavailable",
        }
        assert (await self.status(sandbox))["status"] == "AMBIGUOUS"

    async def test_the_older_form_is_verified_with_an_xml_of_many_lines(self, sandbox):
        fields = {
            "amt": "1500", "txAmt": "0", "psc": "0", "pdc": "0", "tAmt": "1500",
            "scd": "EPAYTEST", "pid": "PY-79", "su": f"{SHOP}/old/PY-79", "fu": f"{SHOP}/no",
        }  # fmt: skip
        started = await sandbox.client.post("/esewa/epay/main", data=fields)
        assert started.status_code == 303
        asked = {"amt": "1500", "rid": "", "pid": "PY-79", "scd": "EPAYTEST"}
        no = await sandbox.client.post("/esewa/epay/transrec", data=asked)
        assert "failure" in no.text
        hint = query_of(await sandbox.act("esewa", "PY-79", "pay"))
        assert set(hint) == {"oid", "amt", "refId"}
        asked["rid"] = hint["refId"]
        yes = await sandbox.client.post("/esewa/epay/transrec", data=asked)
        assert yes.text == ("<response>\n<response_code>\nSuccess\n</response_code>\n</response>\n")
        other = await sandbox.client.post("/esewa/epay/transrec", data={**asked, "amt": "15"})
        assert "failure" in other.text


class TestStripe:
    def session(self, **changes: str) -> dict[str, str]:
        return {
            "mode": "payment",
            "line_items[0][price_data][currency]": "npr",
            "line_items[0][price_data][unit_amount]": "150050",
            "line_items[0][price_data][product_data][name]": "Griha Pravesh",
            "line_items[0][quantity]": "1",
            "success_url": f"{SHOP}/stripe/PY-77?session={{CHECKOUT_SESSION_ID}}",
            "cancel_url": f"{SHOP}/stripe/PY-77/cancelled",
            "client_reference_id": "PY-77",
            "metadata[payment_id]": "PY-77",
            "payment_intent_data[metadata][payment_id]": "PY-77",
            **changes,
        }

    async def post(
        self, sandbox: SandboxControl, path: str, key: str = "", **fields: str
    ) -> httpx.Response:
        headers = {**STRIPE, **({"Idempotency-Key": key} if key else {})}
        return await sandbox.client.post(f"/stripe/v1/{path}", headers=headers, data=fields)

    async def get(self, sandbox: SandboxControl, path: str) -> Any:
        return (await sandbox.client.get(f"/stripe/v1/{path}", headers=STRIPE)).json()

    async def start(self, sandbox: SandboxControl, **changes: str) -> Any:
        response = await self.post(sandbox, "checkout/sessions", **self.session(**changes))
        assert response.status_code == 200, response.text
        return response.json()

    async def test_a_session_is_paid_and_leads_back_with_its_id(self, sandbox):
        session = await self.start(sandbox)
        assert (session["status"], session["payment_status"]) == ("open", "unpaid")
        assert (session["amount_total"], session["currency"]) == (150050, "npr")
        assert session["payment_intent"] is None
        back = query_of(await sandbox.act("stripe", session["id"], "pay"))
        assert back == {"session": session["id"]}
        path = f"checkout/sessions/{session['id']}"
        told = await self.get(sandbox, f"{path}?expand[]=payment_intent.latest_charge")
        assert (told["status"], told["payment_status"]) == ("complete", "paid")
        intent = told["payment_intent"]
        assert (intent["status"], intent["amount_received"]) == ("succeeded", 150050)
        assert intent["metadata"] == {"payment_id": "PY-77"}
        assert intent["latest_charge"]["amount_refunded"] == 0

    async def test_cancelling_leaves_the_session_open_until_it_expires(self, sandbox, ear):
        await sandbox.register(stripe_webhook=f"{ear.url}/hook")
        session = await self.start(sandbox)
        back = await sandbox.act("stripe", session["id"], "cancel")
        assert back.headers["location"] == f"{SHOP}/stripe/PY-77/cancelled"
        path = f"checkout/sessions/{session['id']}"
        assert (await self.get(sandbox, path))["status"] == "open"
        closed = await self.post(sandbox, f"{path}/expire")
        assert closed.json()["status"] == "expired"
        await ear.until(lambda: len(ear.heard) == 1)
        assert json.loads(ear.heard[0][2])["type"] == "checkout.session.expired"
        assert (await self.post(sandbox, f"{path}/expire")).status_code == 400

    @pytest.mark.parametrize(
        ("changes", "param"),
        [
            ({"line_items[0][price_data][unit_amount]": "1500.50"}, "unit_amount"),
            ({"line_items[0][price_data][currency]": "xyz"}, "currency"),
            ({"line_items[0][price_data][unit_amount]": "100"}, "amount"),
            ({"line_items[0][quantity]": "0"}, "quantity"),
            ({"success_url": "shop"}, "success_url"),
            ({"mode": "subscription"}, "mode"),
            ({"amount": "100"}, "amount"),
            ({"expires_at": "100"}, "expires_at"),
        ],
    )
    async def test_a_wrong_session_is_refused(self, sandbox, changes, param):
        response = await self.post(sandbox, "checkout/sessions", **self.session(**changes))
        assert response.status_code == 400
        error = response.json()["error"]
        assert error["type"] == "invalid_request_error"
        assert param in error["param"]

    async def test_a_wrong_key_is_refused_and_basic_is_as_good_as_bearer(self, sandbox):
        get = sandbox.client.get
        wrong = await get("/stripe/v1/refunds/re_1", headers={"Authorization": "Bearer sk_test_x"})
        assert wrong.status_code == 401
        assert (await get("/stripe/v1/refunds/re_1")).status_code == 401
        basic = await get("/stripe/v1/refunds/re_1", auth=(keys.STRIPE_SECRET_KEY, ""))
        assert basic.status_code == 404

    async def test_the_same_key_and_parameters_give_the_first_answer(self, sandbox):
        path, fields = "checkout/sessions", self.session()
        first = await self.post(sandbox, path, "k1", **fields)
        again = await self.post(sandbox, path, "k1", **fields)
        assert again.content == first.content
        assert again.headers["idempotent-replayed"] == "true"
        assert len(await sandbox.ledger()) == 1

    async def test_the_same_key_with_other_parameters_is_a_conflict(self, sandbox):
        await self.post(sandbox, "checkout/sessions", "k1", **self.session())
        other = self.session(cancel_url=f"{SHOP}/other")
        response = await self.post(sandbox, "checkout/sessions", "k1", **other)
        assert response.status_code == 400
        assert response.json()["error"]["type"] == "idempotency_error"

    async def test_a_key_is_free_again_after_a_refusal_and_after_a_day(self, sandbox):
        path = "checkout/sessions"
        bad = await self.post(sandbox, path, "k1", **self.session(mode="setup"))
        assert bad.status_code == 400
        good = await self.post(sandbox, path, "k1", **self.session())
        assert good.status_code == 200
        await sandbox.advance(86_401)
        later = await self.post(sandbox, path, "k1", **self.session())
        assert later.json()["id"] != good.json()["id"]

    async def test_a_lost_answer_is_had_again_under_its_key(self, sandbox):
        await sandbox.order("stripe", "drop", on="start")
        with pytest.raises(httpx.TransportError):
            await self.post(sandbox, "checkout/sessions", "k1", **self.session())
        again = await self.post(sandbox, "checkout/sessions", "k1", **self.session())
        (row,) = await sandbox.ledger()
        assert again.json()["id"] == row["id"]

    async def test_an_intent_is_confirmed_declined_checked_and_cancelled(self, sandbox):
        fields = {
            "amount": "150050", "currency": "npr", "automatic_payment_methods[enabled]": "true",
            "metadata[payment_id]": "PY-80",
        }  # fmt: skip
        intent = (await self.post(sandbox, "payment_intents", **fields)).json()
        path = f"payment_intents/{intent['id']}"
        assert intent["status"] == "requires_payment_method"
        no = await self.post(sandbox, f"{path}/confirm", payment_method="pm_card_chargeDeclined")
        assert no.status_code == 402
        assert no.json()["error"]["code"] == "card_declined"
        assert (await self.get(sandbox, path))["last_payment_error"]["code"] == "card_declined"
        asked = await self.post(
            sandbox, f"{path}/confirm", payment_method="pm_card_authenticationRequired"
        )
        assert asked.json()["status"] == "requires_action"
        paid = await self.post(sandbox, f"{path}/confirm", payment_method="pm_card_visa")
        assert (paid.json()["status"], paid.json()["amount_received"]) == ("succeeded", 150050)
        assert (await self.post(sandbox, f"{path}/cancel")).status_code == 400
        other = (await self.post(sandbox, "payment_intents", **fields)).json()
        ended = await self.post(sandbox, f"payment_intents/{other['id']}/cancel")
        assert ended.json()["status"] == "canceled"

    async def test_refunds_stop_at_what_was_paid(self, sandbox):
        session = await self.start(sandbox)
        await sandbox.act("stripe", session["id"], "pay")
        intent = (await sandbox.row("PY-77"))["intent"]
        part = await self.post(sandbox, "refunds", payment_intent=intent, amount="50000")
        assert (part.json()["status"], part.json()["amount"]) == ("succeeded", 50000)
        much = await self.post(sandbox, "refunds", payment_intent=intent, amount="100051")
        assert much.status_code == 400
        rest = await self.post(sandbox, "refunds", payment_intent=intent)
        assert rest.json()["amount"] == 100050
        none = await self.post(sandbox, "refunds", payment_intent=intent)
        assert none.json()["error"]["code"] == "charge_already_refunded"
        listed = await self.get(sandbox, f"refunds?payment_intent={intent}")
        assert [each["amount"] for each in listed["data"]] == [100050, 50000]

    async def test_a_refund_can_wait_fail_later_or_be_declined(self, sandbox):
        session = await self.start(sandbox)
        await sandbox.act("stripe", session["id"], "pay")
        intent = (await sandbox.row("PY-77"))["intent"]

        async def refund(mode: str) -> Any:
            await sandbox.order("stripe", mode, on_payment=session["id"])
            told = await self.post(sandbox, "refunds", payment_intent=intent, amount="1000")
            return told.json()

        declined = await refund("refund-declined")
        assert declined["status"] == "failed"
        waiting = await refund("refund-pending")
        assert waiting["status"] == "pending"
        failing = await refund("refund-fails-later")
        assert failing["status"] == "succeeded"
        await sandbox.advance(61)
        ends = [
            (await self.get(sandbox, f"refunds/{each['id']}"))["status"]
            for each in (declined, waiting, failing)
        ]
        assert ends == ["failed", "succeeded", "failed"]
        assert (await sandbox.row("PY-77"))["refunded"] == 1000


def verified(secret: str, header: str, body: bytes, now: float) -> bool:
    """Whether a webhook is as Stripe's documentation wants it."""
    parts = dict(part.split("=", 1) for part in header.split(","))
    digest = hmac.digest(secret.encode(), f"{parts['t']}.".encode() + body, hashlib.sha256)
    return digest.hex() == parts["v1"] and abs(now - int(parts["t"])) < 300


class TestStripeWebhooks:
    stripe = TestStripe()

    async def paid(self, sandbox: SandboxControl, ear: Ear) -> str:
        await sandbox.register(stripe_webhook=f"{ear.url}/hook")
        session = await self.stripe.start(sandbox)
        await sandbox.act("stripe", session["id"], "pay")
        return str(session["id"])

    def types(self, ear: Ear) -> list[str]:
        return [json.loads(body)["type"] for _, _, body in ear.heard]

    async def now(self, sandbox: SandboxControl) -> float:
        return float((await sandbox.client.get("/_sandbox/clock")).json()["now"])

    async def test_they_are_signed_over_the_raw_bytes(self, sandbox, ear):
        await sandbox.client.post("/_sandbox/clock", json={"now": 1_760_000_000})
        await self.paid(sandbox, ear)
        await ear.until(lambda: len(ear.heard) == 3)
        now = await self.now(sandbox)
        for uri, headers, body in ear.heard:
            assert uri == "/hook"
            assert verified(keys.STRIPE_WEBHOOK_SECRET, headers["stripe-signature"], body, now)
        assert self.types(ear) == [
            "payment_intent.succeeded",
            "charge.succeeded",
            "checkout.session.completed",
        ]
        done = json.loads(ear.heard[2][2])["data"]["object"]
        assert (done["payment_status"], done["amount_total"]) == ("paid", 150050)

    async def test_they_are_tried_again_until_they_are_taken(self, sandbox, ear):
        def tries() -> Counter[str]:
            return Counter(self.types(ear))

        ear.status = 500
        await self.paid(sandbox, ear)
        await ear.until(lambda: len(tries()) == 3 and min(tries().values()) >= 2)
        ear.status = 200
        refused = tries()
        await ear.until(lambda: all(tries()[kind] > refused[kind] for kind in refused))

    async def test_a_delayed_payment_is_told_twice(self, sandbox, ear):
        await sandbox.register(stripe_webhook=f"{ear.url}/hook")
        session = await self.stripe.start(sandbox)
        back = await sandbox.act("stripe", session["id"], "later")
        assert query_of(back) == {"session": session["id"]}
        await ear.until(lambda: len(ear.heard) == 2)
        assert self.types(ear) == ["payment_intent.processing", "checkout.session.completed"]
        await sandbox.act("stripe", session["id"], "fail")
        await ear.until(lambda: len(ear.heard) == 4)
        assert self.types(ear)[2:] == [
            "payment_intent.payment_failed",
            "checkout.session.async_payment_failed",
        ]

    async def test_duplicates_come_at_once_and_under_a_second_id(self, sandbox, ear):
        await sandbox.order("stripe", "duplicate-callback", count=3)
        await self.paid(sandbox, ear)
        await ear.until(lambda: self.types(ear).count("checkout.session.completed") == 4)
        events = [json.loads(body) for _, _, body in ear.heard]
        ids = [each["id"] for each in events if each["type"] == "checkout.session.completed"]
        assert sorted(ids.count(each) for each in set(ids)) == [1, 3]

    @pytest.mark.parametrize("mode", ["wrong-signature", "missing-signature", "stale-webhook"])
    async def test_no_signature_is_good_when_so_ordered(self, sandbox, ear, mode):
        await sandbox.order("stripe", mode)
        await self.paid(sandbox, ear)
        await ear.until(lambda: len(ear.heard) == 3)
        now = await self.now(sandbox)
        secret = keys.STRIPE_WEBHOOK_SECRET
        for _, headers, body in ear.heard:
            header = headers.get("stripe-signature", "")
            assert not header or not verified(secret, header, body, now)

    async def test_a_stale_one_is_old_but_well_signed(self, sandbox, ear):
        await sandbox.order("stripe", "stale-webhook", seconds=400)
        await self.paid(sandbox, ear)
        await ear.until(lambda: len(ear.heard) == 3)
        now = await self.now(sandbox)
        _, headers, body = ear.heard[0]
        header = headers["stripe-signature"]
        assert not verified(keys.STRIPE_WEBHOOK_SECRET, header, body, now)
        assert verified(keys.STRIPE_WEBHOOK_SECRET, header, body, now - 400)

    async def test_a_changed_amount_breaks_the_signature(self, sandbox, ear):
        await sandbox.order("stripe", "changed-amount", value=100)
        await self.paid(sandbox, ear)
        await ear.until(lambda: len(ear.heard) == 3)
        now = await self.now(sandbox)
        _, headers, body = ear.heard[2]
        assert json.loads(body)["data"]["object"]["amount_total"] == 100
        header = headers["stripe-signature"]
        assert not verified(keys.STRIPE_WEBHOOK_SECRET, header, body, now)

    async def test_out_of_order_the_newest_comes_first_and_an_old_failure_last(self, sandbox, ear):
        await sandbox.order("stripe", "out-of-order-webhooks")
        await self.paid(sandbox, ear)
        await ear.until(lambda: len(ear.heard) == 4)
        types = self.types(ear)
        assert types[0] == "checkout.session.completed"
        assert types[-1] == "payment_intent.payment_failed"
        made = [json.loads(body)["created"] for _, _, body in ear.heard]
        assert made[-1] < made[0]

    async def test_lost_ones_can_be_sent_by_hand_many_at_once(self, sandbox, ear):
        await sandbox.order("stripe", "lost-webhooks")
        session = await self.paid(sandbox, ear)
        events = (await sandbox.client.get(f"/_sandbox/webhooks?payment={session}")).json()
        assert ear.heard == []
        again = {"event": events[-1]["id"], "times": 50}
        assert (await sandbox.client.post("/_sandbox/webhooks", json=again)).status_code == 200
        await ear.until(lambda: len(ear.heard) == 50)
        assert len({body for _, _, body in ear.heard}) == 1

    async def test_a_foreign_currency_can_be_told(self, sandbox):
        await sandbox.order("stripe", "wrong-currency", value="usd", where="both")
        session = await self.stripe.start(sandbox)
        await sandbox.act("stripe", session["id"], "pay")
        told = await self.stripe.get(sandbox, f"checkout/sessions/{session['id']}")
        assert (told["currency"], told["amount_total"]) == ("usd", 150050)


class TestConnectIps:
    def sign(self, message: str) -> str:
        key = serialization.load_pem_private_key(keys.CONNECTIPS_PRIVATE_KEY.encode(), None)
        assert isinstance(key, rsa.RSAPrivateKey)
        signature = key.sign(message.encode(), padding.PKCS1v15(), hashes.SHA256())
        return base64.b64encode(signature).decode()

    def form(self, **changes: str) -> dict[str, str]:
        fields = {
            "MERCHANTID": "550", "APPID": "MER-550-APP-1", "APPNAME": "Test", "TXNID": "PY-77",
            "TXNDATE": "21-11-2026", "TXNCRNCY": "NPR", "TXNAMT": "150050",
            "REFERENCEID": "REF-001", "REMARKS": "RMKS-001", "PARTICULARS": "PART-001",
            **changes,
        }  # fmt: skip
        message = ",".join([*(f"{name}={value}" for name, value in fields.items()), "TOKEN=TOKEN"])
        return {**fields, "TOKEN": self.sign(message)}

    async def start(self, sandbox: SandboxControl, **changes: str) -> httpx.Response:
        url = "/connectips/connectipswebgw/loginpage"
        return await sandbox.client.post(url, data=self.form(**changes))

    async def ask(
        self, sandbox: SandboxControl, call: str = "validatetxn", **changes: Any
    ) -> httpx.Response:
        asked = {
            "merchantId": 550, "appId": "MER-550-APP-1", "referenceId": "PY-77", "txnAmt": 150050,
            **changes,
        }  # fmt: skip
        message = (
            f"MERCHANTID={asked['merchantId']},APPID={asked['appId']},"
            f"REFERENCEID={asked['referenceId']},TXNAMT={asked['txnAmt']}"
        )
        asked = {"token": self.sign(message), **asked}
        url = f"/connectips/connectipswebws/api/creditor/{call}"
        return await sandbox.client.post(url, headers=CONNECTIPS, json=asked)

    async def test_it_leads_to_the_registered_address_with_the_number_alone(self, sandbox):
        started = await self.start(sandbox)
        assert started.headers["location"] == f"{sandbox.url}/connectips/pay/PY-77"
        back = await sandbox.act("connectips", "PY-77", "pay")
        assert back.headers["location"] == f"{SHOP}/success?TXNID=PY-77"

    @pytest.mark.parametrize(
        ("action", "status", "text"),
        [
            ("pay", "SUCCESS", "TRANSACTION SUCCESSFUL"),
            ("fail", "FAILED", "TRANSACTION UNSUCCESSFUL"),
            ("cancel", "ERROR", "TRANSACTION INCOMPLETE"),
            ("later", "ERROR", "TRANSACTION INCOMPLETE"),
        ],
    )
    async def test_validatetxn_tells_the_outcome(self, sandbox, action, status, text):
        await self.start(sandbox)
        back = await sandbox.act("connectips", "PY-77", action)
        where = "success" if action == "pay" else "failure"
        assert back.headers["location"] == f"{SHOP}/{where}?TXNID=PY-77"
        assert (await self.ask(sandbox)).json() == {
            "merchantId": 550, "appId": "MER-550-APP-1", "referenceId": "PY-77",
            "txnAmt": "150050", "token": None, "status": status, "statusDesc": text,
        }  # fmt: skip

    async def test_what_it_does_not_know_is_not_found(self, sandbox):
        await self.start(sandbox)
        for changes in ({"referenceId": "PY-78"}, {"txnAmt": 100}):
            told = (await self.ask(sandbox, **changes)).json()
            assert (told["status"], told["statusDesc"]) == ("ERROR", "TRANSACTION NOT FOUND")

    async def test_a_question_needs_the_password_and_a_good_token(self, sandbox):
        url = "/connectips/connectipswebws/api/creditor/validatetxn"
        no_user = await sandbox.client.post(url, json={})
        assert no_user.status_code == 401
        bad = await self.ask(sandbox, token=self.sign("something else"))
        assert bad.status_code == 400

    @pytest.mark.parametrize(
        "changes",
        [
            {"TXNID": "P" * 21},
            {"REMARKS": "r" * 51},
            {"TXNCRNCY": "USD"},
            {"TXNAMT": "1500.50"},
            {"TXNDATE": "2026-11-21"},
            {"MERCHANTID": "551"},
            {"PARTICULARS": ""},
        ],
    )
    async def test_a_wrong_form_is_refused(self, sandbox, changes):
        assert (await self.start(sandbox, **changes)).status_code == 403
        assert await sandbox.ledger() == []

    async def test_a_form_changed_after_signing_is_refused(self, sandbox):
        fields = {**self.form(), "TXNAMT": "100"}
        url = "/connectips/connectipswebgw/loginpage"
        refused = await sandbox.client.post(url, data=fields)
        assert (refused.status_code, "token" in refused.text) == (403, True)

    async def test_a_number_serves_once(self, sandbox):
        assert (await self.start(sandbox)).status_code == 303
        assert (await self.start(sandbox)).status_code == 403

    async def test_without_registered_addresses_nobody_pays(self, sandbox):
        await sandbox.register(connectips_success="")
        assert (await self.start(sandbox)).status_code == 403

    async def test_the_detail_tells_more(self, sandbox):
        await self.start(sandbox)
        await sandbox.act("connectips", "PY-77", "pay")
        told = (await self.ask(sandbox, "gettxndetail")).json()
        assert (told["status"], told["creditStatus"]) == ("SUCCESS", "000")
        assert (told["refId"], told["remarks"]) == ("REF-001", "RMKS-001")

    async def test_it_can_misspell_and_send_numbers(self, sandbox):
        await sandbox.order_all(
            "connectips", {"mode": "misspelt-status"}, {"mode": "swapped-numbers"}
        )
        await self.start(sandbox)
        await sandbox.act("connectips", "PY-77", "pay")
        told = (await self.ask(sandbox)).json()
        assert told["status"] == "SUCCESS"
        assert told["statusDesc"] == "TRANSACTION SUCESSFULL"
        assert told["txnAmt"] == 150050


class TestImePay:
    async def call(self, sandbox: SandboxControl, name: str, **fields: Any) -> Any:
        body = {"MerchantCode": "PANDIT", **fields}
        response = await sandbox.client.post(f"/imepay/api/Web/{name}", headers=IME, json=body)
        assert response.status_code == 200
        return response.json()

    async def token(self, sandbox: SandboxControl, reference: str = "PY-77") -> str:
        told = await self.call(sandbox, "GetToken", Amount="1500.50", RefId=reference)
        assert int(told["ResponseCode"]) == 0
        return str(told["TokenId"])

    def fields(self, token: str, **changes: str) -> dict[str, str]:
        return {
            "TokenId": token, "MerchantCode": "PANDIT", "RefId": "PY-77", "TranAmount": "1500.50",
            "Method": "GET", "RespUrl": f"{SHOP}/ime/PY-77", "CancelUrl": f"{SHOP}/ime/no/PY-77",
            **changes,
        }  # fmt: skip

    async def start(self, sandbox: SandboxControl, **changes: str) -> str:
        token = await self.token(sandbox)
        data = self.fields(token, **changes)
        opened = await sandbox.client.post("/imepay/WebCheckout/Checkout", data=data)
        assert opened.headers["location"] == f"{sandbox.url}/imepay/pay/{token}"
        return token

    def parts(self, response: httpx.Response) -> list[str]:
        return base64.b64decode(query_of(response)["data"]).decode().split("|")

    async def test_a_token_is_bound_to_reference_and_amount(self, sandbox):
        told = await self.call(sandbox, "GetToken", Amount="1500.50", RefId="PY-77")
        assert set(told) == {
            "ResponseCode", "TokenId", "Amount", "RefId", "ResponseDescription",
        }  # fmt: skip
        assert told["Amount"] == "1500.5000"
        assert told["TokenId"].isdigit()
        again = await self.call(sandbox, "GetToken", Amount="1500.50", RefId="PY-77")
        assert again["ResponseCode"] == 1

    @pytest.mark.parametrize(
        "fields",
        [
            {"Amount": "1500.5", "RefId": "PY-77"},
            {"Amount": "0.00", "RefId": "PY-77"},
            {"Amount": "1500.50", "RefId": ""},
            {"Amount": "1500.50", "RefId": "P" * 21},
            {"Amount": "1500.50", "RefId": "PY-77", "MerchantCode": "OTHER"},
        ],
    )
    async def test_a_wrong_token_request_is_refused(self, sandbox, fields):
        assert (await self.call(sandbox, "GetToken", **fields))["ResponseCode"] == 1

    async def test_user_and_module_are_checked(self, sandbox):
        url = "/imepay/api/Web/GetToken"
        assert (await sandbox.client.post(url, json={})).status_code == 401
        only_user = {"Authorization": IME["Authorization"]}
        assert (await sandbox.client.post(url, headers=only_user, json={})).status_code == 403

    async def test_success_comes_back_as_seven_parts_and_is_confirmed(self, sandbox):
        token = await self.start(sandbox)
        code, _, msisdn, number, reference, amount, told_token = self.parts(
            await sandbox.act("imepay", token, "pay")
        )
        assert (code, reference, amount, told_token) == ("0", "PY-77", "1500.5000", token)
        asked = {"RefId": "PY-77", "TokenId": token, "Msisdn": msisdn}
        yes = await self.call(sandbox, "Confirm", TransactionId=number, **asked)
        assert yes == {
            "ResponseCode": 0, "ResponseDescription": "Success", "RefId": "PY-77",
            "TokenId": token, "TransactionId": number, "Msisdn": msisdn,
        }  # fmt: skip
        no = await self.call(sandbox, "Confirm", TransactionId="1", **asked)
        assert (no["ResponseCode"], no["ResponseDescription"]) == (1, "Transaction Not Found")

    @pytest.mark.parametrize(
        ("action", "code", "where"),
        [("cancel", 3, "/ime/no/PY-77"), ("fail", 1, "/ime/PY-77"), ("later", 2, "/ime/PY-77")],
    )
    async def test_recheck_tells_what_did_not_succeed(self, sandbox, action, code, where):
        token = await self.start(sandbox)
        back = await sandbox.act("imepay", token, action)
        assert urlsplit(back.headers["location"]).path.endswith(where)
        assert self.parts(back)[0] == str(code)
        told = await self.call(sandbox, "Recheck", RefId="PY-77", TokenId=token)
        assert (told["ResponseCode"], told["TransactionId"]) == (code, None)

    async def test_recheck_of_another_reference_finds_nothing(self, sandbox):
        token = await self.start(sandbox)
        await sandbox.act("imepay", token, "pay")
        told = await self.call(sandbox, "Recheck", RefId="PY-78", TokenId=token)
        assert told["ResponseCode"] == 1

    async def test_the_checkout_opens_with_one_text_too(self, sandbox):
        token = await self.token(sandbox)
        text = "|".join(self.fields(token).values())
        data = {"data": base64.b64encode(text.encode()).decode()}
        opened = await sandbox.client.get("/imepay/WebCheckout/Checkout", params=data)
        assert opened.status_code == 303
        broken = await sandbox.client.get("/imepay/WebCheckout/Checkout", params={"data": "eA=="})
        assert broken.status_code == 400

    @pytest.mark.parametrize(
        "changes",
        [
            {"TranAmount": "1.00"},
            {"RefId": "PY-78"},
            {"MerchantCode": "OTHER"},
            {"Method": "PUT"},
            {"RespUrl": ""},
        ],
    )
    async def test_a_checkout_that_does_not_fit_its_token_is_refused(self, sandbox, changes):
        data = self.fields(await self.token(sandbox), **changes)
        opened = await sandbox.client.post("/imepay/WebCheckout/Checkout", data=data)
        assert opened.status_code == 400

    async def test_the_return_can_be_a_form(self, sandbox):
        token = await self.start(sandbox, Method="POST")
        page = await sandbox.act("imepay", token, "pay")
        assert page.status_code == 200
        assert f'action="{SHOP}/ime/PY-77"' in page.text
        assert 'name="ResponseCode" value="0"' in page.text

    async def test_texts_and_numbers_can_change_places(self, sandbox):
        await sandbox.order("imepay", "swapped-numbers")
        told = await self.call(sandbox, "GetToken", Amount="1500.50", RefId="PY-77")
        assert told["ResponseCode"] == "0"
        assert isinstance(told["TokenId"], int)


class Shop:
    """A merchant of every gateway, as thin as can be: start, ask, refund, read a return."""

    def __init__(self, sandbox: SandboxControl) -> None:
        self.sandbox = sandbox
        self.starts = 0

    async def start(self, gateway: str, reference: str) -> str:
        """Bring a payment to its pay page; the gateway's id."""
        response = await self._start(gateway, reference)
        assert response.status_code in (200, 303), response.text
        if gateway == "khalti":
            return str(response.json()["pidx"])
        if gateway == "stripe":
            return str(response.json()["id"])
        if gateway == "imepay":
            token = str(response.json()["TokenId"])
            fields = {**TestImePay().fields(token), "RefId": reference}
            url = "/imepay/WebCheckout/Checkout"
            await self.sandbox.client.post(url, data=fields)
            return token
        return reference

    async def _start(self, gateway: str, reference: str) -> httpx.Response:
        client = self.sandbox.client
        if gateway == "khalti":
            return await TestKhalti().start(self.sandbox, purchase_order_id=reference)
        if gateway == "esewa":
            return await TestEsewa().send(self.sandbox, TestEsewa().form(uuid=reference))
        if gateway == "connectips":
            return await TestConnectIps().start(self.sandbox, TXNID=reference)
        if gateway == "imepay":
            body = {"MerchantCode": "PANDIT", "Amount": "1500.50", "RefId": reference}
            return await client.post("/imepay/api/Web/GetToken", headers=IME, json=body)
        fields = TestStripe().session(client_reference_id=reference)
        return await TestStripe().post(self.sandbox, "checkout/sessions", **fields)

    async def ask(self, gateway: str, reference: str, payment_id: str) -> httpx.Response:
        client = self.sandbox.client
        if gateway == "khalti":
            return await TestKhalti().lookup(self.sandbox, payment_id)
        if gateway == "esewa":
            asked = {
                "product_code": "EPAYTEST",
                "total_amount": "1500.50",
                "transaction_uuid": reference,
            }
            return await client.get("/esewa/api/epay/transaction/status/", params=asked)
        if gateway == "connectips":
            return await TestConnectIps().ask(self.sandbox, referenceId=reference)
        if gateway == "imepay":
            body = {"MerchantCode": "PANDIT", "RefId": reference, "TokenId": payment_id}
            return await client.post("/imepay/api/Web/Recheck", headers=IME, json=body)
        url = f"/stripe/v1/checkout/sessions/{payment_id}"
        return await client.get(url, headers=STRIPE)

    async def word(self, gateway: str, reference: str, payment_id: str) -> str:
        """The gateway's own word for the state."""
        told = (await self.ask(gateway, reference, payment_id)).json()
        name = {"imepay": "ResponseCode", "stripe": "payment_status"}.get(gateway, "status")
        return str(told[name])

    async def amount(self, gateway: str, reference: str, payment_id: str) -> Decimal:
        """The amount that the gateway's server tells, in paisa."""
        told = (await self.ask(gateway, reference, payment_id)).json()
        name = {
            "khalti": "total_amount",
            "esewa": "total_amount",
            "connectips": "txnAmt",
            "imepay": "Amount",
            "stripe": "amount_total",
        }[gateway]
        in_rupees = gateway in ("esewa", "imepay")
        return Decimal(str(told[name])) * (100 if in_rupees else 1)


PAID = {
    "khalti": "Completed",
    "esewa": "COMPLETE",
    "connectips": "SUCCESS",
    "imepay": "0",
    "stripe": "paid",
}
SUCCESS_PATHS = ("/khalti/", "/esewa/PY-1", "/success", "/ime/PY-77", "/stripe/PY-77")


def claims_paid(gateway: str, back: httpx.Response) -> bool:
    """Whether the return looks like a success."""
    url = urlsplit(back.headers["location"])
    if gateway == "khalti":
        return query_of(back)["status"] == "Completed"
    if gateway == "imepay":
        return base64.b64decode(query_of(back)["data"]).decode().startswith("0|")
    return {
        "esewa": "data=" in url.query,
        "connectips": url.path.endswith("/success"),
        "stripe": "session=" in url.query,
    }[gateway]


@pytest.fixture
def shop(sandbox: SandboxControl) -> Shop:
    return Shop(sandbox)


@pytest.mark.parametrize("gateway", GATEWAYS)
class TestEveryGateway:
    async def test_pays_and_says_so(self, sandbox, shop, gateway):
        payment = await shop.start(gateway, "PY-1")
        assert await shop.word(gateway, "PY-1", payment) != PAID[gateway]
        back = await sandbox.act(gateway, payment, "pay")
        assert claims_paid(gateway, back)
        assert await shop.word(gateway, "PY-1", payment) == PAID[gateway]
        row = await sandbox.row("PY-1")
        assert (row["paid"], row["refunded"], row["status"]) == (150050, 0, "paid")

    async def test_paying_twice_takes_the_money_once(self, sandbox, shop, gateway):
        payment = await shop.start(gateway, "PY-1")
        first = await sandbox.act(gateway, payment, "pay")
        second = await sandbox.act(gateway, payment, "pay")
        assert second.headers["location"] == first.headers["location"]
        ledger = (await sandbox.client.get("/_sandbox/ledger")).json()
        assert ledger["totals"] == {gateway: {"paid": 150050, "refunded": 0}}

    async def test_a_timeout_comes_after_the_work_was_done(self, sandbox, shop, gateway):
        call = "start" if gateway in ("khalti", "imepay", "stripe") else "verify"
        await sandbox.order(gateway, "timeout", on=call)
        url, client = sandbox.url, sandbox.client
        async with httpx.AsyncClient(base_url=url, timeout=0.3) as hasty:
            sandbox.client = hasty
            if call == "start":
                with pytest.raises(httpx.ReadTimeout):
                    await shop._start(gateway, "PY-1")
            else:
                await shop.start(gateway, "PY-1")
                with pytest.raises(httpx.ReadTimeout):
                    await shop.ask(gateway, "PY-1", "PY-1")
        sandbox.client = client
        row = await sandbox.row("PY-1")
        assert row["status"] == "open"
        assert (await shop.ask(gateway, "PY-1", row["id"])).status_code == 200

    async def test_a_connection_is_cut(self, sandbox, shop, gateway):
        await sandbox.order(gateway, "drop", on="verify")
        payment = await shop.start(gateway, "PY-1")
        with pytest.raises(httpx.TransportError):
            await shop.ask(gateway, "PY-1", payment)
        assert (await shop.ask(gateway, "PY-1", payment)).status_code == 200

    async def test_a_bad_gateway_answers_with_html_so_often_as_ordered(
        self, sandbox, shop, gateway
    ):
        await sandbox.order(gateway, "bad-gateway", on="verify", count=2)
        payment = await shop.start(gateway, "PY-1")
        for _ in range(2):
            answer = await shop.ask(gateway, "PY-1", payment)
            assert answer.status_code == 502
            assert answer.headers["content-type"].startswith("text/html")
        assert (await shop.ask(gateway, "PY-1", payment)).status_code == 200

    async def test_a_return_comes_twice_at_once(self, sandbox, shop, gateway, ear):
        await sandbox.order(gateway, "duplicate-callback", count=3)
        await sandbox.register(
            connectips_success=f"{ear.url}/success", connectips_failure=f"{ear.url}/failure"
        )
        payment = await shop.start(gateway, "PY-1")
        assert sandbox.world
        kept = sandbox.world.find(gateway, payment)
        assert kept is not None
        kept.return_url = kept.return_url.replace("http://127.0.0.1:9", ear.url)
        back = await sandbox.act(gateway, payment, "pay")
        await ear.until(lambda: len(ear.heard) == 2)
        assert {ear.url + uri for uri, _, _ in ear.heard} == {back.headers["location"]}

    async def test_a_return_tells_another_reference(self, sandbox, shop, gateway):
        await sandbox.order(gateway, "changed-reference", value="PY-OTHER")
        payment = await shop.start(gateway, "PY-1")
        back = (await sandbox.act(gateway, payment, "pay")).headers["location"]
        data = query_of_url(back).get("data", "")
        told = back + base64.b64decode(data + "=" * (-len(data) % 4)).decode(errors="replace")
        assert "PY-OTHER" in told
        assert await shop.word(gateway, "PY-1", payment) == PAID[gateway]

    async def test_the_gateways_own_answer_has_another_amount(self, sandbox, shop, gateway):
        await sandbox.order(gateway, "changed-amount", value=100, where="answer")
        payment = await shop.start(gateway, "PY-1")
        await sandbox.act(gateway, payment, "pay")
        assert await shop.amount(gateway, "PY-1", payment) == 100

    async def test_a_return_says_cancelled_of_what_is_paid_and_the_reverse(
        self, sandbox, shop, gateway
    ):
        await sandbox.order(gateway, "changed-status")
        await sandbox.order(gateway, "changed-status")
        first = await shop.start(gateway, "PY-1")
        assert not claims_paid(gateway, await sandbox.act(gateway, first, "pay"))
        assert await shop.word(gateway, "PY-1", first) == PAID[gateway]
        second = await shop.start(gateway, "PY-2")
        assert claims_paid(gateway, await sandbox.act(gateway, second, "cancel"))
        assert await shop.word(gateway, "PY-2", second) != PAID[gateway]

    async def test_a_return_says_paid_while_the_gateway_says_pending(self, sandbox, shop, gateway):
        await sandbox.order(gateway, "redirect-says-paid", seconds=60)
        payment = await shop.start(gateway, "PY-1")
        assert claims_paid(gateway, await sandbox.act(gateway, payment, "pay"))
        assert await shop.word(gateway, "PY-1", payment) != PAID[gateway]
        assert (await sandbox.row("PY-1"))["paid"] == 0
        await sandbox.advance(61)
        assert await shop.word(gateway, "PY-1", payment) == PAID[gateway]

    async def test_a_return_says_failed_while_the_gateway_says_paid(self, sandbox, shop, gateway):
        await sandbox.order(gateway, "redirect-says-failed")
        payment = await shop.start(gateway, "PY-1")
        assert not claims_paid(gateway, await sandbox.act(gateway, payment, "pay"))
        assert await shop.word(gateway, "PY-1", payment) == PAID[gateway]

    @pytest.mark.parametrize("way", ["mode", "button"])
    async def test_nobody_comes_back(self, sandbox, shop, gateway, way):
        if way == "mode":
            await sandbox.order(gateway, "no-redirect")
        payment = await shop.start(gateway, "PY-1")
        action = "pay" if way == "mode" else "pay-and-close"
        page = await sandbox.act(gateway, payment, action)
        assert page.status_code == 200
        assert "close this tab" in page.text
        assert await shop.word(gateway, "PY-1", payment) == PAID[gateway]

    async def test_a_failure_becomes_a_success_a_minute_later(self, sandbox, shop, gateway):
        await sandbox.order(gateway, "late-success")
        payment = await shop.start(gateway, "PY-1")
        assert not claims_paid(gateway, await sandbox.act(gateway, payment, "pay"))
        assert await shop.word(gateway, "PY-1", payment) != PAID[gateway]
        await sandbox.advance(59)
        assert (await sandbox.row("PY-1"))["paid"] == 0
        await sandbox.advance(2)
        assert await shop.word(gateway, "PY-1", payment) == PAID[gateway]

    async def test_money_goes_back_at_the_gateway(self, sandbox, shop, gateway):
        await sandbox.order(gateway, "refund-at-gateway")
        await sandbox.order(gateway, "partial-refund-at-gateway", amount=50, seconds=10)
        for number in (1, 2):
            payment = await shop.start(gateway, f"PY-{number}")
            await sandbox.act(gateway, payment, "pay")
        assert (await sandbox.row("PY-1"))["refunded"] == 150050
        assert (await sandbox.row("PY-2"))["refunded"] == 0
        await sandbox.advance(11)
        assert (await sandbox.row("PY-2"))["refunded"] == 50

    async def test_the_status_is_a_word_that_nobody_knows(self, sandbox, shop, gateway):
        await sandbox.order(gateway, "unknown-status", value="Hokum")
        payment = await shop.start(gateway, "PY-1")
        await sandbox.act(gateway, payment, "pay")
        assert await shop.word(gateway, "PY-1", payment) == "Hokum"

    async def test_another_payments_answer_is_replayed(self, sandbox, shop, gateway):
        first = await shop.start(gateway, "PY-1")
        await sandbox.act(gateway, first, "pay")
        await sandbox.order(gateway, "replay-other", payment=first)
        second = await shop.start(gateway, "PY-2")
        back = await sandbox.act(gateway, second, "cancel")
        assert claims_paid(gateway, back)
        data = query_of_url(back.headers["location"]).get("data", "")
        told = back.headers["location"] + base64.b64decode(data).decode(errors="replace")
        assert first in told or "PY-1" in told.replace("/PY-1", "")
        assert (await sandbox.row("PY-2"))["paid"] == 0

    async def test_what_has_expired_is_not_paid(self, sandbox, shop, gateway):
        payment = await shop.start(gateway, "PY-1")
        await sandbox.advance(86_400 * 2)
        assert (await sandbox.row("PY-1"))["status"] == "expired"
        assert (await sandbox.act(gateway, payment, "pay")).status_code == 409

    async def test_its_page_can_be_read_and_says_that_no_money_moves(self, sandbox, shop, gateway):
        payment = await shop.start(gateway, "PY-1")
        url = f"/{gateway}/pay/{payment}"
        page = await sandbox.client.get(url)
        assert page.status_code == 200
        assert "Sandbox: no real money" in page.text
        assert "NPR 1,500.50" in page.text
        assert "<svg" in page.text
        assert f"{sandbox.url}{url}" in page.text
        for action in ("pay", "cancel", "fail", "later"):
            assert f'value="{action}"' in page.text

    async def test_a_refund_beyond_what_was_paid_is_refused(self, sandbox, shop, gateway):
        payment = await shop.start(gateway, "PY-1")
        assert (await sandbox.act(gateway, payment, "refund")).status_code == 409
        await sandbox.act(gateway, payment, "pay")
        much = await sandbox.act(gateway, payment, "partial-refund", amount="1500.51")
        assert much.status_code == 409
        odd = await sandbox.act(gateway, payment, "partial-refund", amount="1.234")
        assert odd.status_code == 400
        assert (await sandbox.row("PY-1"))["refunded"] == 0


def query_of_url(url: str) -> dict[str, str]:
    """The parameters of an address."""
    found = parse_qs(urlsplit(url).query)
    return {name: values[0] for name, values in found.items()}


@pytest.mark.parametrize("gateway", ["khalti", "stripe"])
async def test_a_refund_takes_effect_though_no_answer_comes(sandbox, shop, gateway):
    await sandbox.order(gateway, "refund-timeout")
    payment = await shop.start(gateway, "PY-1")
    await sandbox.act(gateway, payment, "pay")
    row = await sandbox.row("PY-1")
    call: dict[str, Any] = {
        "khalti": {
            "url": f"/khalti/api/merchant-transaction/{row['transaction_id']}/refund/",
            "headers": KHALTI,
            "json": {},
        },
        "stripe": {
            "url": "/stripe/v1/refunds",
            "headers": STRIPE,
            "data": {"payment_intent": row["intent"]},
        },
    }[gateway]
    async with httpx.AsyncClient(base_url=sandbox.url, timeout=0.3) as hasty:
        with pytest.raises(httpx.ReadTimeout):
            await hasty.post(**call)
    assert (await sandbox.row("PY-1"))["refunded"] == 150050


class TestControl:
    async def test_every_kind_of_failure_can_be_ordered(self, sandbox):
        told = (await sandbox.client.get("/_sandbox/modes")).json()
        assert {mode["kind"] for mode in told} >= set(range(1, 15))
        for mode in told:
            for gateway in mode["gateways"]:
                await sandbox.order(gateway, mode["mode"])
        assert {mode["mode"] for mode in told} == set(MODES)

    @pytest.mark.parametrize(
        ("wanted", "says"),
        [
            ({"gateway": "paypal", "mode": "drop"}, "gateway"),
            ({"gateway": "khalti", "mode": "explode"}, "mode"),
            ({"gateway": "khalti", "mode": "wrong-signature"}, "makes no sense"),
            ({"gateway": "khalti", "mode": "drop", "times": 3}, "no parameter"),
            ({"gateway": "khalti", "mode": "drop", "on": "lunch"}, "on:"),
            ({"gateway": "khalti", "mode": "drop", "count": 0}, "count"),
            ({"gateway": "khalti", "mode": "drop", "count": True}, "count"),
            ({"gateway": "khalti", "mode": "drop", "done": "yes"}, "done"),
            ({"gateway": "khalti", "mode": "changed-amount", "where": "there"}, "where"),
            ({"gateway": "khalti", "mode": "drop", "on_payment": "none"}, "no payment"),
            ([], "no object"),
            ("drop", "no object"),
        ],
    )
    async def test_a_wrong_order_is_refused_with_its_reason(self, sandbox, wanted, says):
        response = await sandbox.client.post("/_sandbox/next", json=wanted)
        assert response.status_code == 400
        assert says in response.json()["error"]

    async def test_orders_wait_in_line_payment_by_payment(self, sandbox, shop):
        await sandbox.order_all("esewa", {"mode": "ambiguous"}, {"mode": "comma-amount"})
        await sandbox.order("esewa", "no-redirect")
        for number in (1, 2, 3):
            await shop.start("esewa", f"PY-{number}")
        rows = await sandbox.ledger()
        assert [row["faults"] for row in rows] == [
            ["ambiguous", "comma-amount"],
            ["no-redirect"],
            [],
        ]

    async def test_a_reset_forgets_everything_but_the_merchant(self, sandbox, shop):
        await sandbox.register(stripe_webhook="http://127.0.0.1:9/hook")
        await shop.start("stripe", "PY-1")
        await sandbox.order("khalti", "drop")
        await sandbox.advance(1_000_000)
        assert (await sandbox.client.post("/_sandbox/reset")).status_code == 200
        assert await sandbox.ledger() == []
        assert (await sandbox.client.get("/_sandbox/webhooks")).json() == []
        told = (await sandbox.client.get("/_sandbox/merchant")).json()
        assert told["stripe_webhook"] == "http://127.0.0.1:9/hook"
        payment = await shop.start("khalti", "PY-1")
        assert (await shop.ask("khalti", "PY-1", payment)).status_code == 200

    @pytest.mark.parametrize(
        "body",
        [{"advance": -1}, {"advance": "1"}, {"now": "soon"}, {"now": -5}, {"now": None}],
    )
    async def test_the_clock_goes_forward_alone(self, sandbox, body):
        assert (await sandbox.client.post("/_sandbox/clock", json=body)).status_code == 400

    async def test_the_clock_can_be_set(self, sandbox):
        told = await sandbox.client.post("/_sandbox/clock", json={"now": "2026-11-22T10:00+05:45"})
        assert told.json()["iso"].startswith("2026-11-22T04:15:0")

    async def test_the_log_holds_what_came_and_no_control(self, sandbox, shop):
        payment = await shop.start("khalti", "PY-1")
        await shop.ask("khalti", "PY-1", payment)
        entries = await sandbox.log(gateway="khalti", payment=payment)
        assert [(entry["url"], entry["status"]) for entry in entries] == [
            ("/khalti/api/v2/epayment/initiate/", 200),
            ("/khalti/api/v2/epayment/lookup/", 200),
        ]
        assert "Key" not in json.dumps(entries)

    async def test_the_home_page_lists_payments_and_takes_orders(self, sandbox, shop):
        form = {"gateway": "esewa", "mode": "comma-amount"}
        ordered = await sandbox.client.post("/_sandbox/next", data=form)
        assert ordered.headers["location"] == "/"
        page = (await sandbox.client.get("/")).text
        assert "Waiting: comma-amount" in page
        await shop.start("esewa", "PY-1")
        page = (await sandbox.client.get("/")).text
        assert "/esewa/pay/PY-1" in page
        assert "NPR 1,500.50" in page

    async def test_an_unknown_payment_has_no_page(self, sandbox):
        assert (await sandbox.client.get("/khalti/pay/none")).status_code == 404

    async def test_what_a_merchant_sends_is_never_markup(self, sandbox):
        fields = {"purchase_order_name": "<script>alert(1)</script>"}
        started = await TestKhalti().start(sandbox, **fields)
        page = (await sandbox.client.get(f"/khalti/pay/{started.json()['pidx']}")).text
        assert "<script>" not in page
