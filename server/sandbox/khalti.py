"""Khalti: the ePayment API (initiate, lookup, refund) and the older token flow."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta, timezone
from typing import Any, Final

from server.sandbox import keys, stories
from server.sandbox.faults import Faults
from server.sandbox.payments import Payment, Status, Story
from server.sandbox.provider import Answer, CallHandler, Provider, Return, with_query
from server.sandbox.world import code

_NEPAL: Final = timezone(timedelta(hours=5, minutes=45))
_LINK_SECONDS: Final = 3600
_LEAST: Final = 1000
_URL: Final = re.compile(r"https?://[^\s/?#]+([/?#]\S*)?")
_LEAST_TEXT: Final = "Amount should be greater than Rs. 10, that is 1000 paisa."
_NOT_FOUND: Final = {"detail": "Not found.", "error_key": "validation_error"}
_PAYER: Final = "98XXXXX000"
_BAD_TOKEN: Final = {"token": ["Invalid token."]}

_WORDS: Final = {
    Status.OPEN: "Initiated",
    Status.PENDING: "Pending",
    Status.PAID: "Completed",
    Status.CANCELLED: "User canceled",
    Status.FAILED: "Failed",
    Status.EXPIRED: "Expired",
}
_TOKEN_WORDS: Final = {
    Status.OPEN: "Initiated",
    Status.PENDING: "Confirmed",
    Status.PAID: "Complete",
    Status.CANCELLED: "Failed",
    Status.FAILED: "Failed",
    Status.EXPIRED: "Failed",
}


class Khalti(Provider):
    """The stand-in of Khalti."""

    name = "khalti"
    title = "Khalti"

    def routes(self) -> list[Any]:
        """Give the paths of the API: version 2, and the refund without a version."""
        given = {"provider": self}
        return [
            (r"/khalti/api/v2/epayment/initiate/", _Initiate, given),
            (r"/khalti/api/v2/epayment/lookup/", _Lookup, given),
            (r"/khalti/api/merchant-transaction/([^/]+)/refund/", _Refund, given),
            (r"/khalti/api/v2/payment/initiate/", _TokenInitiate, given),
            (r"/khalti/api/v2/payment/confirm/", _TokenConfirm, given),
            (r"/khalti/api/v2/payment/verify/", _TokenVerify, given),
            (r"/khalti/api/v2/payment/status/", _TokenStatus, given),
            (r"/khalti/api/v2/merchant-transaction/([^/]+)/", _TokenRecord, given),
        ]

    def way_back(self, payment: Payment, story: Story) -> Return | None:
        """Send the browser to the one return address, whatever became of the payment."""
        if not payment.return_url:
            return None
        fields = {
            "pidx": story.gateway_id,
            "transaction_id": story.transaction_id,
            "tidx": story.transaction_id,
            "txnId": story.transaction_id,
            "amount": str(story.amount),
            "total_amount": str(story.amount),
            "mobile": _PAYER,
            "status": story.words or _WORDS[story.status],
            "purchase_order_id": story.reference,
            "purchase_order_name": payment.title,
            **payment.details.get("merchant", {}),
        }
        return Return(url=with_query(payment.return_url, fields))


class _KhaltiHandler(CallHandler):
    """A call with a secret key."""

    def refusal(self) -> Answer | None:
        """Say what is wrong with the key; None when nothing is."""
        kind, _, key = self.request.headers.get("Authorization", "").partition(" ")
        if kind.lower() != "key":
            detail = "Authentication credentials were not provided."
        elif key.strip() not in keys.KHALTI_SECRET_KEYS:
            detail = "Invalid token."
        else:
            return None
        return Answer.of({"detail": detail, "status_code": 401}, 401)


class _Initiate(_KhaltiHandler):
    async def post(self) -> None:
        """Start a payment."""
        fields = self.read_json()
        wrong = self.refusal() or _start_fault(fields)
        if wrong is not None or fields is None:
            self.send(wrong or _invalid("non_field_errors", "Invalid data."))
            return
        await self.conduct("start", self.world.peek_faults("khalti"), lambda: self._start(fields))

    def _start(self, fields: Mapping[str, Any]) -> Answer:
        now = self.world.clock.now()
        payment = Payment(
            gateway="khalti",
            id=code(22),
            reference=str(fields["purchase_order_id"]),
            amount=int(fields["amount"]),
            title=str(fields["purchase_order_name"]),
            return_url=str(fields["return_url"]),
            cancel_url=str(fields["return_url"]),
            created_at=now,
            expires_at=now + _LINK_SECONDS,
            faults=self.world.take_faults("khalti"),
            details={
                "merchant": {
                    name: str(value)
                    for name, value in fields.items()
                    if name.startswith("merchant_")
                }
            },
        )
        self.payment = payment
        self.world.add(payment)
        self.world.expire_when_due(payment, lambda: None)
        expires = datetime.fromtimestamp(payment.expires_at, UTC).astimezone(_NEPAL)
        host = f"{self.request.protocol}://{self.request.host}"
        return Answer.of(
            {
                "pidx": payment.id,
                "payment_url": f"{host}/khalti/pay/{payment.id}",
                "expires_at": expires.isoformat(),
                "expires_in": _LINK_SECONDS,
            }
        )


class _Lookup(_KhaltiHandler):
    async def post(self) -> None:
        """Tell what became of a payment; some answers carry 400 and are answers all the same."""
        if wrong := self.refusal():
            self.send(wrong)
            return
        pidx = (self.read_json() or {}).get("pidx")
        if not isinstance(pidx, str) or not pidx:
            self.send(_invalid("pidx", "This field is required."))
            return
        payment = self.payment = self.world.find("khalti", pidx)
        faults = payment.faults if payment else Faults()
        await self.conduct("verify", faults, lambda: self._tell(payment))

    def _tell(self, payment: Payment | None) -> Answer:
        if payment is None:
            return Answer.of(_NOT_FOUND, 404)
        story = stories.answer(payment)
        word = _WORDS[story.status]
        if story.is_refunded:
            word = "Refunded"
        elif story.is_partly_refunded:
            word = "Partially Refunded"
        is_over = story.status in (
            Status.CANCELLED,
            Status.EXPIRED,
            Status.FAILED,
        )
        return Answer.of(
            {
                "pidx": story.gateway_id,
                "total_amount": story.amount,
                "status": story.words or word,
                "transaction_id": story.transaction_id or None,
                "fee": 0,
                "refunded": story.is_refunded,
            },
            400 if is_over and not story.words else 200,
        )


class _Refund(_KhaltiHandler):
    async def post(self, transaction_id: str) -> None:
        """Give everything back, or a part."""
        if wrong := self.refusal():
            self.send(wrong)
            return
        fields = (self.read_json() if self.request.body.strip() else {}) or {}
        payment = self.payment = self.world.find_by(
            "khalti", lambda each: each.transaction_id == transaction_id
        )
        faults = payment.faults if payment else Faults()
        await self.conduct("refund", faults, lambda: self._refund(payment, fields))

    def _refund(self, payment: Payment | None, fields: Mapping[str, Any]) -> Answer:
        if payment is None:
            return Answer.of(_NOT_FOUND, 404)
        if payment.faults.take("refund-declined"):
            return Answer.of(
                {"detail": "Transaction cannot be refunded.", "error_key": "validation_error"}, 400
            )
        amount = fields.get("amount", payment.refundable)
        if isinstance(amount, bool) or not isinstance(amount, int):
            return _invalid("amount", "A valid integer is required.")
        if payment.details.get("by") == "bank" and not str(fields.get("mobile", "")):
            return _invalid("mobile", "This field is required.")
        if self.provider.refund(payment, amount) is None:
            return _invalid("detail", "Transaction has already been refunded.")
        return Answer.of({"detail": "Transaction refund successful."})


class _TokenInitiate(CallHandler):
    async def post(self) -> None:
        """Start the older flow, as its widget does."""
        fields = self.read_fields()
        if fields.get("public_key") != keys.KHALTI_PUBLIC_KEY:
            self.send(Answer.of({"public_key": ["Invalid public key."]}, 400))
            return
        amount = _whole(fields.get("amount"))
        if amount is None or amount < _LEAST:
            self.send(Answer.of({"amount": [_LEAST_TEXT]}, 400))
            return
        if fields.get("transaction_pin", keys.KHALTI_PIN) != keys.KHALTI_PIN:
            self.send(Answer.of({"detail": "Invalid Khalti MPIN."}, 400))
            return
        faults = self.world.peek_faults("khalti")
        await self.conduct("start", faults, lambda: self._start(fields, amount))

    def _start(self, fields: Mapping[str, Any], amount: int) -> Answer:
        now = self.world.clock.now()
        payment = Payment(
            gateway="khalti",
            id=code(22),
            reference=str(fields.get("product_identity", "")),
            amount=amount,
            title=str(fields.get("product_name", "")),
            created_at=now,
            expires_at=now + _LINK_SECONDS,
            faults=self.world.take_faults("khalti"),
            details={"mobile": str(fields.get("mobile", "")), "is_token": True},
        )
        self.payment = payment
        self.world.add(payment)
        return Answer.of({"token": payment.id, "pin_created": False, "pin_created_message": ""})


class _TokenConfirm(CallHandler):
    async def post(self) -> None:
        """Take the one-time code; then the token may be verified."""
        fields = self.read_fields()
        payment = self.payment = _token(self, fields.get("token"))
        if payment is None or payment.status is not Status.OPEN:
            self.send(Answer.of(_BAD_TOKEN, 400))
        elif str(fields.get("confirmation_code", "")) != keys.KHALTI_CODE:
            self.send(Answer.of({"detail": "Confirmation code does not match."}, 400))
        else:
            payment.status = Status.PENDING
            self.send(
                Answer.of(
                    {
                        "token": payment.id,
                        "amount": payment.amount,
                        "mobile": payment.details["mobile"],
                        "product_identity": payment.reference,
                        "product_name": payment.title,
                    }
                )
            )


class _TokenVerify(_KhaltiHandler):
    async def post(self) -> None:
        """Take the money of a confirmed token."""
        if wrong := self.refusal():
            self.send(wrong)
            return
        fields = self.read_fields()
        payment = self.payment = _token(self, fields.get("token"))
        faults = payment.faults if payment else Faults()
        amount = _whole(fields.get("amount"))
        await self.conduct("verify", faults, lambda: self._verify(payment, amount))

    def _verify(self, payment: Payment | None, amount: int | None) -> Answer:
        if payment is None or payment.status not in (Status.PENDING, Status.PAID):
            return Answer.of(_BAD_TOKEN, 400)
        if amount != payment.amount:
            return Answer.of({"amount": ["Invalid amount."]}, 400)
        self.provider.settle(payment)
        return Answer.of(_record(payment))


class _TokenStatus(_KhaltiHandler):
    async def get(self) -> None:
        """Tell the state of a token."""
        if wrong := self.refusal():
            self.send(wrong)
            return
        payment = self.payment = _token(self, self.get_query_argument("token", ""))
        amount = _whole(self.get_query_argument("amount", ""))
        faults = payment.faults if payment else Faults()
        await self.conduct("verify", faults, lambda: self._tell(payment, amount))

    def _tell(self, payment: Payment | None, amount: int | None) -> Answer:
        if payment is None or payment.amount != amount:
            return Answer.of(
                {"status": False, "detail": "Transaction not found", "state": "Error"}, 400
            )
        story = stories.answer(payment)
        word = _TOKEN_WORDS[story.status]
        if story.is_refunded:
            word = "Refunded"
        elif story.is_partly_refunded:
            word = "Partially refunded"
        word = story.words or word
        return Answer.of({"status": word == "Complete", "detail": word, "state": word})


class _TokenRecord(_KhaltiHandler):
    async def get(self, transaction_id: str) -> None:
        """Give the record of a token's transaction."""
        if wrong := self.refusal():
            self.send(wrong)
            return
        payment = self.payment = self.world.find_by(
            "khalti", lambda each: each.transaction_id == transaction_id
        )
        if payment is None:
            self.send(Answer.of({"detail": "Not found."}, 404))
            return
        more = {"can_refund": payment.refundable > 0, "child_transactions": [], "meta": {}}
        self.send(Answer.of({**_record(payment), **more}))


def _token(handler: CallHandler, token: object) -> Payment | None:
    payment = handler.world.find("khalti", str(token or ""))
    return payment if payment is not None and payment.details.get("is_token") else None


def _record(payment: Payment) -> dict[str, Any]:
    story = stories.answer(payment)
    created = datetime.fromtimestamp(payment.created_at, UTC).astimezone(_NEPAL)
    word = story.words or ("Refunded" if story.is_refunded else "Completed")
    return {
        "idx": payment.transaction_id,
        "type": {"idx": "e476BL6jt9kgagEmsakyTL", "name": "Wallet payment"},
        "state": {"idx": "DhvMj9hdRufLqkP8ZY4d8g", "name": word, "template": "is complete"},
        "amount": story.amount,
        "fee_amount": 0,
        "refunded": story.is_refunded,
        "created_on": created.isoformat(),
        "ebanker": None,
        "user": {
            "idx": "cCaPkRPQGn5D8StkiqqMJg",
            "name": "Sandbox payer",
            "mobile": payment.details.get("mobile", ""),
        },
        "merchant": {
            "idx": "UM75Gm2gWmZvA4TPwkwZye",
            "name": "Sandbox merchant",
            "mobile": "sandbox@example.com",
        },
    }


def _start_fault(fields: Mapping[str, Any] | None) -> Answer | None:
    """Say what is wrong with a start, in the documented order and words."""
    if fields is None:
        return _invalid("non_field_errors", "Invalid data.")
    texts = ("return_url", "website_url", "purchase_order_id", "purchase_order_name")
    for name in (*texts, "amount"):
        if name not in fields:
            return _invalid(name, "This field is required.")
    for name in texts:
        if not str(fields[name] or "").strip():
            return _invalid(name, "This field may not be blank.")
        if name.endswith("_url") and not _URL.fullmatch(str(fields[name])):
            return _invalid(name, "Enter a valid URL.")
    amount = fields["amount"]
    if isinstance(amount, bool) or not isinstance(amount, int):
        return _invalid("amount", "A valid integer is required.")
    if amount < _LEAST:
        return _invalid("amount", _LEAST_TEXT)
    return _breakdown_fault(fields.get("amount_breakdown"), amount)


def _breakdown_fault(parts: object, amount: int) -> Answer | None:
    if parts is None:
        return None
    if not isinstance(parts, list) or not all(
        isinstance(part, dict) and isinstance(part.get("amount"), int) for part in parts
    ):
        return _invalid("amount_breakdown", "Invalid data.")
    if sum(part["amount"] for part in parts) != amount:
        return _invalid("amount", "Amount Breakdown mismatch.")
    return None


def _whole(value: object) -> int | None:
    text = str(value)
    return int(text) if text.isascii() and text.isdigit() and len(text) < 16 else None


def _invalid(name: str, text: str) -> Answer:
    return Answer.of({name: [text], "error_key": "validation_error"}, 400)
