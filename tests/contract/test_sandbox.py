"""The sandbox speaks the providers' protocols: exact bodies, codes, signatures, and every failure.

Spoken to by plain HTTP, with none of the server's own clients.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
from collections.abc import AsyncIterator
from typing import Any
from urllib.parse import parse_qs, urlsplit

import httpx
import pytest

from server.sandbox import keys
from server.sandbox.world import Merchant
from tests.sandbox_control import Ear, SandboxControl, listening_ear, running_sandbox

SHOP = "http://127.0.0.1:9/pay"
KHALTI = {"Authorization": "Key 05bf95cc57244045b8df5fad06748dab"}
STRIPE = {"Authorization": f"Bearer {keys.STRIPE_SECRET_KEY}"}
IME = {
    "Authorization": "Basic cGFuZGl0eWF0cmE6c2VjcmV0",
    "Module": "UEFORElU",
}
CONNECTIPS = {"Authorization": "Basic TUVSLTU1MC1BUFAtMTpBYmNkQDEyMw=="}


@pytest.fixture
async def sandbox() -> AsyncIterator[SandboxControl]:
    merchant = Merchant(connectips_success=f"{SHOP}/success", connectips_failure=f"{SHOP}/failure")
    async with running_sandbox(merchant) as control:
        yield control


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
        ear.status = 500
        await self.paid(sandbox, ear)
        await ear.until(lambda: len(ear.heard) >= 6)
        ear.status = 200
        heard = len(ear.heard)
        await ear.until(lambda: len(ear.heard) >= heard + 3)
        assert {self.types(ear).count(kind) >= 2 for kind in self.types(ear)} == {True}

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
