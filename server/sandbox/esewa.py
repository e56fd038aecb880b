"""eSewa: the signed form with its status check, and the older form with ``transrec``."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import re
from collections.abc import Mapping
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any, Final
from urllib.parse import quote

from server.sandbox import keys, stories
from server.sandbox.faults import Faults
from server.sandbox.pay_pages import FormHandler
from server.sandbox.payments import Payment, Signature, Status, Story
from server.sandbox.provider import Answer, CallHandler, Provider, Return, with_query
from server.sandbox.world import code

_SESSION_SECONDS: Final = 600
_AMOUNT: Final = re.compile(r"\d{1,12}(\.\d{1,2})?")
_UUID: Final = re.compile(r"[A-Za-z0-9-]+")
_REQUEST_FIELDS: Final = "total_amount,transaction_uuid,product_code"
_ANSWER_FIELDS: Final = (
    "transaction_code,status,total_amount,transaction_uuid,product_code,signed_field_names"
)
_PARTS: Final = ("amount", "tax_amount", "product_service_charge", "product_delivery_charge")
_OLD_PARTS: Final = ("amt", "txAmt", "psc", "pdc")
_WORDS: Final = {
    Status.OPEN: "PENDING",
    Status.PENDING: "PENDING",
    Status.PAID: "COMPLETE",
    Status.CANCELLED: "CANCELED",
    Status.FAILED: "CANCELED",
    Status.EXPIRED: "NOT_FOUND",
}


def sign(values: Mapping[str, str], names: str) -> str:
    """Sign the named values in their order, as base64 of HMAC-SHA256."""
    message = ",".join(f"{name}={values[name]}" for name in names.split(","))
    digest = hmac.digest(keys.ESEWA_SECRET_KEY.encode(), message.encode(), hashlib.sha256)
    return base64.b64encode(digest).decode()


def rupees(paisa: int) -> str:
    """Write an amount as eSewa answers it: always with a point, ``1500.0``."""
    whole, rest = divmod(paisa, 100)
    return f"{whole}.{f'{rest:02}'.rstrip('0') or '0'}"


class Esewa(Provider):
    """The stand-in of eSewa."""

    name = "esewa"
    title = "eSewa"
    first_call = "verify"
    service_down = Answer.of({"code": 0, "error_message": "Service is currently unavailable"}, 200)

    def routes(self) -> list[Any]:
        """Give the paths of both versions."""
        given = {"provider": self}
        return [
            (r"/esewa/api/epay/main/v2/form/?", _Form, given),
            (r"/esewa/api/epay/transaction/status/?", _StatusCheck, given),
            (r"/esewa/epay/main/?", _OldForm, given),
            (r"/esewa/epay/transrec/?", _OldVerify, given),
        ]

    def new_transaction_id(self) -> str:
        """Make a code like those of eSewa."""
        return f"000{code(6)}"

    def way_back(self, payment: Payment, story: Story) -> Return | None:
        """Send a success with its signed data to one address, everything else to the other."""
        is_success = story.status is Status.PAID or bool(story.words)
        if not is_success:
            return Return(url=payment.cancel_url)
        if payment.details.get("is_old"):
            fields = {
                "oid": story.reference,
                "amt": rupees(story.amount),
                "refId": story.transaction_id,
            }
            return Return(url=with_query(payment.return_url, fields))
        data = base64.b64encode(self._data(payment, story).encode()).decode()
        # Appended blindly, as the real one does: an address with a query loses the payment.
        return Return(url=f"{payment.return_url}?data={quote(data, safe='')}")

    def _data(self, payment: Payment, story: Story) -> str:
        values = _answer_values(story)
        signed = _answer_values(story.signed_as or story)
        if story.signature is Signature.REFLECTED:
            values["signed_field_names"] = _REQUEST_FIELDS
            values["total_amount"] = payment.details["total_amount"]
            values["signature"] = payment.details["signature"]
        elif story.signature is Signature.WRONG:
            values["signature"] = base64.b64encode(hashlib.sha256(b"wrong").digest()).decode()
        elif story.signature is Signature.RIGHT:
            values["signature"] = sign(signed, _ANSWER_FIELDS)
        if payment.faults.get("comma-amount"):
            whole, _, rest = values["total_amount"].partition(".")
            values["total_amount"] = f"{int(whole):,}.{rest}"
        text = json.dumps(values, separators=(",", ":"))
        if payment.faults.get("number-amount"):
            number = values["total_amount"]
            text = text.replace(f'"total_amount":"{number}"', f'"total_amount":{number}')
        return text


def _answer_values(story: Story) -> dict[str, str]:
    return {
        "transaction_code": story.transaction_id,
        "status": story.words or _WORDS[story.status],
        "total_amount": rupees(story.amount),
        "transaction_uuid": story.reference,
        "product_code": keys.ESEWA_PRODUCT_CODE,
        "signed_field_names": _ANSWER_FIELDS,
    }


class _Form(FormHandler):
    async def post(self) -> None:
        """Take the signed form of the merchant's page."""
        fields = self.form()
        wrong = _form_fault(fields)
        if wrong is None and self.world.find("esewa", fields["transaction_uuid"]):
            wrong = "ES105", "Duplicate transaction UUID."
        if wrong is not None:
            self.refuse(*wrong)
            return
        await self.begin("start", self.world.peek_faults("esewa"), lambda: self._start(fields))

    def _start(self, fields: Mapping[str, str]) -> Payment:
        return _new_payment(
            self,
            reference=fields["transaction_uuid"],
            total=fields["total_amount"],
            urls=(fields["success_url"], fields["failure_url"]),
            details={"signature": fields["signature"], "total_amount": fields["total_amount"]},
        )


class _StatusCheck(CallHandler):
    async def get(self) -> None:
        """Tell what became of a payment, to whoever knows its three values."""
        product, total, uuid = (
            self.get_query_argument(name, "")
            for name in ("product_code", "total_amount", "transaction_uuid")
        )
        payment = self.payment = self.world.find("esewa", uuid)
        faults = payment.faults if payment else Faults()
        asked = {"product_code": product, "transaction_uuid": uuid, "total_amount": total}
        await self.conduct("verify", faults, lambda: self._tell(payment, asked))

    def _tell(self, payment: Payment | None, asked: Mapping[str, str]) -> Answer:
        if not all(asked.values()):
            return Answer.of({"code": "ES101", "error_message": "Required field is missing."}, 400)
        is_known = (
            payment is not None
            and asked["product_code"] == keys.ESEWA_PRODUCT_CODE
            and _paisa(asked["total_amount"]) == payment.amount
        )
        if payment is None or not is_known:
            return Answer.of({**asked, "status": "NOT_FOUND", "ref_id": None})
        story = stories.answer(payment)
        word = _WORDS[story.status]
        if payment.faults.get("ambiguous"):
            word = "AMBIGUOUS"
        elif story.is_refunded:
            word = "FULL_REFUND"
        elif story.is_partly_refunded:
            word = "PARTIAL_REFUND"
        return Answer.of(
            {
                "product_code": keys.ESEWA_PRODUCT_CODE,
                "transaction_uuid": story.reference,
                # A number of the wire, never reckoned with.
                "total_amount": float(Decimal(rupees(story.amount))),
                "status": story.words or word,
                "ref_id": story.transaction_id or None,
            }
        )


class _OldForm(FormHandler):
    async def get(self) -> None:
        """Take the old form as a link."""
        await self.post()

    async def post(self) -> None:
        """Take the old form, which nobody signs."""
        fields = self.form()
        if wrong := _old_form_fault(fields):
            self.refuse("Invalid request", wrong)
        elif self.world.find("esewa", fields["pid"]):
            self.refuse("Invalid request", "Duplicate pid.")
        else:
            await self.begin("start", self.world.peek_faults("esewa"), lambda: self._start(fields))

    def _start(self, fields: Mapping[str, str]) -> Payment:
        return _new_payment(
            self,
            reference=fields["pid"],
            total=fields["tAmt"],
            urls=(fields["su"], fields["fu"]),
            details={"is_old": True},
        )


class _OldVerify(CallHandler):
    async def post(self) -> None:
        """Say whether this reference, id and amount were paid."""
        fields = self.read_fields()
        payment = self.payment = self.world.find("esewa", str(fields.get("pid", "")))
        faults = payment.faults if payment else Faults()
        await self.conduct("verify", faults, lambda: self._tell(payment, fields))

    def _tell(self, payment: Payment | None, fields: Mapping[str, Any]) -> Answer:
        word = "failure"
        if payment is not None:
            story = stories.answer(payment)
            is_paid = (
                story.status is Status.PAID
                and not story.refunded
                and fields.get("scd") == keys.ESEWA_PRODUCT_CODE
                and fields.get("rid") == story.transaction_id
                and _paisa(str(fields.get("amt", ""))) == story.amount
                and fields.get("pid") == story.reference
            )
            word = story.words or ("Success" if is_paid else "failure")
        body = f"<response>\n<response_code>\n{word}\n</response_code>\n</response>\n"
        return Answer(body=body.encode(), content_type="application/xml")


def _new_payment(
    handler: FormHandler,
    *,
    reference: str,
    total: str,
    urls: tuple[str, str],
    details: dict[str, Any],
) -> Payment:
    world = handler.world
    now = world.clock.now()
    payment = Payment(
        gateway="esewa",
        id=reference,
        reference=reference,
        amount=_paisa(total) or 0,
        title=f"EPAYTEST, {datetime.fromtimestamp(now, UTC):%Y-%m-%d}",
        return_url=urls[0],
        cancel_url=urls[1],
        created_at=now,
        expires_at=now + _SESSION_SECONDS,
        faults=world.take_faults("esewa"),
        details=details,
    )
    world.add(payment)
    world.expire_when_due(payment, lambda: None)
    return payment


def _form_fault(fields: Mapping[str, str]) -> tuple[str, str] | None:
    needed = (
        *_PARTS, "total_amount", "transaction_uuid", "product_code", "success_url", "failure_url",
        "signed_field_names", "signature",
    )  # fmt: skip
    for name in needed:
        if not fields.get(name):
            return "ES101", f"{name} is required."
    amounts = [_paisa(fields[name]) for name in (*_PARTS, "total_amount")]
    if any(amount is None for amount in amounts):
        return "ES102", "Invalid amount."
    *parts, total = (amount or 0 for amount in amounts)
    if not _UUID.fullmatch(fields["transaction_uuid"]):
        return "ES103", "transaction_uuid may hold letters, digits and hyphens."
    if fields["product_code"] != keys.ESEWA_PRODUCT_CODE:
        return "ES100", "Unknown product_code."
    if fields["signed_field_names"] != _REQUEST_FIELDS or not hmac.compare_digest(
        sign(fields, _REQUEST_FIELDS).encode(), fields["signature"].encode()
    ):
        return "ES104", "Invalid payload signature."
    if sum(parts) != total or total <= 0:
        return "ES102", "total_amount is not the sum of its parts."
    return None


def _old_form_fault(fields: Mapping[str, str]) -> str | None:
    for name in (*_OLD_PARTS, "tAmt", "scd", "pid", "su", "fu"):
        if not fields.get(name):
            return f"{name} is required."
    amounts = [_paisa(fields[name]) for name in (*_OLD_PARTS, "tAmt")]
    if any(amount is None for amount in amounts):
        return "Invalid amount."
    *parts, total = (amount or 0 for amount in amounts)
    if sum(parts) != total or total <= 0:
        return "tAmt is not the sum of its parts."
    return None if fields["scd"] == keys.ESEWA_PRODUCT_CODE else "Unknown scd."


def _paisa(text: str) -> int | None:
    return int(Decimal(text) * 100) if _AMOUNT.fullmatch(text) else None
