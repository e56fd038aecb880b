"""IME Pay: ``GetToken``, the checkout, ``Confirm`` and ``Recheck``."""

from __future__ import annotations

import base64
import binascii
import hmac
import re
from collections.abc import Mapping
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any, Final

from server.sandbox import keys, stories
from server.sandbox.faults import Faults
from server.sandbox.pay_pages import FormHandler
from server.sandbox.payments import Payment, Status, Story
from server.sandbox.provider import Answer, CallHandler, Provider, Return, with_query
from server.sandbox.world import digits

_SESSION_SECONDS: Final = 900
_AMOUNT: Final = re.compile(r"\d{1,12}\.\d{2}")
_CHECKOUT: Final = (
    "TokenId", "MerchantCode", "RefId", "TranAmount", "Method", "RespUrl", "CancelUrl",
)  # fmt: skip
_PAYER: Final = "9800000000"
_MAX_REFERENCE: Final = 20
_WORDS: Final = {
    Status.OPEN: ("2", "Transaction In Process"),
    Status.PENDING: ("2", "Transaction In Process"),
    Status.PAID: ("0", "Success"),
    Status.CANCELLED: ("3", "Transaction Cancelled By User"),
    Status.FAILED: ("1", "Transaction Failed"),
    Status.EXPIRED: ("1", "Transaction Not Found"),
}
_NOT_FOUND: Final = ("1", "Transaction Not Found")


def long_rupees(paisa: int) -> str:
    """Write an amount as IME Pay answers it, with four decimals: ``1500.0000``."""
    return f"{paisa // 100}.{paisa % 100:02}00"


class ImePay(Provider):
    """The stand-in of IME Pay."""

    name = "imepay"
    title = "IME Pay"

    def routes(self) -> list[Any]:
        """Give the paths of the API and of the checkout."""
        given = {"provider": self}
        return [
            (r"/imepay/api/Web/GetToken", _GetToken, given),
            (r"/imepay/api/Web/Confirm", _Confirm, given),
            (r"/imepay/api/Web/Recheck", _Recheck, given),
            (r"/imepay/WebCheckout/Checkout", _Checkout, given),
        ]

    def new_transaction_id(self) -> str:
        """Make a number that begins with the day."""
        return _dated_number(self.world.clock.now(), 10)

    def way_back(self, payment: Payment, story: Story) -> Return | None:
        """Send the browser back in the way that the merchant has chosen."""
        number, text = _WORDS[story.status]
        values = {
            "ResponseCode": story.words or number,
            "ResponseDescription": text,
            "Msisdn": _PAYER,
            "TransactionId": story.transaction_id,
            "RefId": story.reference,
            "TranAmount": long_rupees(story.amount),
            "TokenId": story.gateway_id,
        }
        is_cancelled = story.status is Status.CANCELLED
        url = payment.cancel_url if is_cancelled else payment.return_url
        if not url:
            return None
        if payment.details.get("method") == "POST":
            return Return(url=url, fields=values)
        data = base64.b64encode("|".join(values.values()).encode()).decode()
        return Return(url=with_query(url, {"data": data}))


class _ImeHandler(CallHandler):
    """A call with user, password and module."""

    async def post(self) -> None:
        """Check who asks, and answer."""
        user, password = self.basic_login()
        is_user = hmac.compare_digest(user.encode(), keys.IMEPAY_USER.encode())
        if not is_user or not hmac.compare_digest(password.encode(), keys.IMEPAY_PASSWORD.encode()):
            self.send(Answer.of({"Message": "Authorization has been denied."}, 401))
            return
        if self.request.headers.get("Module", "") != _module():
            self.send(Answer.of({"Message": "The service is not allowed."}, 403))
            return
        asked = self.read_json()
        if asked is None or asked.get("MerchantCode") != keys.IMEPAY_MERCHANT_CODE:
            self.send(Answer.of(_refusal("Invalid Merchant Code", asked or {})))
            return
        await self.answer(asked)

    async def answer(self, asked: Mapping[str, Any]) -> None:
        """Answer one who may ask."""
        raise NotImplementedError


class _GetToken(_ImeHandler):
    async def answer(self, asked: Mapping[str, Any]) -> None:
        """Give out a token for an amount and a reference."""
        reference, amount = str(asked.get("RefId", "")), str(asked.get("Amount", ""))
        if not 0 < len(reference) <= _MAX_REFERENCE:
            self.send(Answer.of(_refusal("Invalid RefId", asked)))
        elif not _AMOUNT.fullmatch(amount) or not Decimal(amount):
            self.send(Answer.of(_refusal("Invalid Amount", asked)))
        elif self.world.find_by("imepay", lambda each: each.reference == reference):
            self.send(Answer.of(_refusal("Duplicate RefId", asked)))
        else:
            faults = self.world.peek_faults("imepay")
            await self.conduct("start", faults, lambda: self._start(reference, Decimal(amount)))

    def _start(self, reference: str, rupees: Decimal) -> Answer:
        now = self.world.clock.now()
        payment = Payment(
            gateway="imepay",
            id=_dated_number(now, 10),
            reference=reference,
            amount=int(rupees * 100),
            created_at=now,
            expires_at=now + _SESSION_SECONDS,
            faults=self.world.take_faults("imepay"),
        )
        self.payment = payment
        self.world.add(payment)
        self.world.expire_when_due(payment, lambda: None)
        is_swapped = payment.faults.get("swapped-numbers")
        return Answer.of(
            {
                "ResponseCode": "0" if is_swapped else 0,
                "TokenId": int(payment.id) if is_swapped else payment.id,
                "Amount": long_rupees(payment.amount),
                "RefId": reference,
                "ResponseDescription": None,
            }
        )


class _Confirm(_ImeHandler):
    call = "confirm"

    async def answer(self, asked: Mapping[str, Any]) -> None:
        """Tell what became of the payment that token and reference name."""
        payment = self.payment = self.world.find("imepay", str(asked.get("TokenId", "")))
        if payment is not None and payment.reference != asked.get("RefId"):
            payment = None
        faults = payment.faults if payment else Faults()
        await self.conduct(self.call, faults, lambda: self._tell(payment, asked))

    def _tell(self, payment: Payment | None, asked: Mapping[str, Any]) -> Answer:
        if payment is None or not self._is_meant(payment, asked):
            return Answer.of(_said(_NOT_FOUND, asked, "", is_swapped=False))
        story = stories.answer(payment)
        number, text = _WORDS[story.status]
        told = {"RefId": story.reference, "TokenId": story.gateway_id}
        answer = _said(
            (story.words or number, text),
            told,
            story.transaction_id,
            is_swapped=payment.faults.get("swapped-numbers") is not None,
        )
        fault = payment.faults.get("changed-amount")
        if fault is not None and fault.values["where"] != "callback":
            # An amount is not always told; where it is, it must not mislead.
            answer["Amount"] = long_rupees(story.amount)
        return Answer.of(answer)

    def _is_meant(self, payment: Payment, asked: Mapping[str, Any]) -> bool:
        """Whether the question fits; a confirmation names the movement of the money."""
        return payment.status is Status.PAID and (
            str(asked.get("TransactionId", "")) == payment.transaction_id
        )


class _Recheck(_Confirm):
    call = "verify"

    def _is_meant(self, payment: Payment, asked: Mapping[str, Any]) -> bool:
        return True


class _Checkout(FormHandler):
    async def get(self) -> None:
        """Take the seven values as one text."""
        try:
            text = base64.b64decode(self.get_query_argument("data", ""), validate=True).decode()
        except (binascii.Error, ValueError):
            text = ""
        parts = text.split("|")
        if len(parts) != len(_CHECKOUT):
            self.refuse("Invalid request", "The data cannot be read.")
            return
        await self._open(dict(zip(_CHECKOUT, parts, strict=True)))

    async def post(self) -> None:
        """Take them as a form."""
        await self._open(self.form())

    async def _open(self, fields: Mapping[str, str]) -> None:
        for name in _CHECKOUT:
            if not fields.get(name):
                self.refuse("Invalid request", f"{name} is required.")
                return
        payment = self.world.find("imepay", fields["TokenId"])
        amount = fields["TranAmount"]
        is_bound = (
            payment is not None
            and fields["MerchantCode"] == keys.IMEPAY_MERCHANT_CODE
            and fields["RefId"] == payment.reference
            and _AMOUNT.fullmatch(amount) is not None
            and int(Decimal(amount) * 100) == payment.amount
        )
        if payment is None or not is_bound:
            self.refuse("Invalid request", "Token, reference and amount do not belong together.")
        elif fields["Method"] not in ("GET", "POST"):
            self.refuse("Invalid request", "Method is GET or POST.")
        else:
            await self.begin("form", payment.faults, lambda: _open(payment, fields))


def _open(payment: Payment, fields: Mapping[str, str]) -> Payment:
    payment.return_url = fields["RespUrl"]
    payment.cancel_url = fields["CancelUrl"]
    payment.details["method"] = fields["Method"]
    return payment


def _module() -> str:
    return base64.b64encode(keys.IMEPAY_MODULE.encode()).decode()


def _dated_number(now: float, length: int) -> str:
    return f"{datetime.fromtimestamp(now, UTC):%Y%m%d}{digits(length)}"


def _refusal(text: str, asked: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "ResponseCode": 1,
        "TokenId": None,
        "Amount": asked.get("Amount"),
        "RefId": asked.get("RefId"),
        "ResponseDescription": text,
    }


def _said(
    words: tuple[str, str], asked: Mapping[str, Any], transaction_id: str, *, is_swapped: bool
) -> dict[str, Any]:
    number, text = words
    return {
        "ResponseCode": number if is_swapped or not number.isdigit() else int(number),
        "ResponseDescription": text,
        "RefId": asked.get("RefId"),
        "TokenId": asked.get("TokenId"),
        "TransactionId": transaction_id or None,
        "Msisdn": _PAYER,
    }
