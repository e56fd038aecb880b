"""connectIPS: the signed form, ``validatetxn`` and ``gettxndetail``."""

from __future__ import annotations

import base64
import binascii
import hmac
from collections.abc import Mapping
from datetime import datetime
from typing import Any, Final

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import padding, rsa

from server.sandbox import keys, stories
from server.sandbox.courier import Courier
from server.sandbox.faults import Faults
from server.sandbox.pay_pages import FormHandler
from server.sandbox.payments import Payment, Status, Story
from server.sandbox.provider import Answer, CallHandler, Provider, Return, with_query
from server.sandbox.world import World, digits

_LENGTHS: Final = {
    "MERCHANTID": 20,
    "APPID": 20,
    "APPNAME": 30,
    "TXNID": 20,
    "TXNDATE": 10,
    "TXNCRNCY": 3,
    "TXNAMT": 20,
    "REFERENCEID": 20,
    "REMARKS": 50,
    "PARTICULARS": 100,
    "TOKEN": 512,
}
_SESSION_SECONDS: Final = 1800
_SUCCESS: Final = "TRANSACTION SUCCESSFUL"
_MISSPELT: Final = "TRANSACTION SUCESSFULL"
_INCOMPLETE: Final = "TRANSACTION INCOMPLETE"
_NOT_FOUND: Final = ("ERROR", "TRANSACTION NOT FOUND")
_WORDS: Final = {
    Status.OPEN: ("ERROR", _INCOMPLETE),
    Status.PENDING: ("ERROR", _INCOMPLETE),
    Status.PAID: ("SUCCESS", _SUCCESS),
    Status.CANCELLED: ("ERROR", _INCOMPLETE),
    Status.FAILED: ("FAILED", "TRANSACTION UNSUCCESSFUL"),
    Status.EXPIRED: ("ERROR", _INCOMPLETE),
}


def form_message(fields: Mapping[str, str]) -> str:
    """Make the text that the form's token signs."""
    names = [name for name in _LENGTHS if name != "TOKEN"]
    return ",".join([*(f"{name}={fields[name]}" for name in names), "TOKEN=TOKEN"])


def query_message(merchant: str, app: str, reference: str, amount: str) -> str:
    """Make the text that the token of a question signs."""
    return f"MERCHANTID={merchant},APPID={app},REFERENCEID={reference},TXNAMT={amount}"


class ConnectIps(Provider):
    """The stand-in of connectIPS, with the public half of the merchant's key."""

    name = "connectips"
    title = "connectIPS"
    first_call = "verify"

    def __init__(self, world: World, courier: Courier) -> None:
        super().__init__(world, courier)
        key = serialization.load_pem_private_key(keys.CONNECTIPS_PRIVATE_KEY.encode(), None)
        if not isinstance(key, rsa.RSAPrivateKey):
            raise TypeError("the key of connectIPS is an RSA key")
        self._key = key.public_key()

    def routes(self) -> list[Any]:
        """Give the paths of the form and of the two questions."""
        given = {"provider": self}
        api = "/connectips/connectipswebws/api/creditor"
        return [
            (r"/connectips/connectipswebgw/loginpage", _LoginPage, given),
            (rf"{api}/validatetxn", _Validate, given),
            (rf"{api}/gettxndetail", _Detail, given),
        ]

    def new_transaction_id(self) -> str:
        """Make the number of a batch."""
        return digits(9)

    def way_back(self, payment: Payment, story: Story) -> Return | None:
        """Send the browser to the registered address with TXNID alone."""
        is_success = story.status is Status.PAID
        merchant = self.world.merchant
        url = merchant.connectips_success if is_success else merchant.connectips_failure
        return Return(url=with_query(url, {"TXNID": story.reference})) if url else None

    def is_signed(self, message: str, token: str) -> bool:
        """Whether the merchant's key has signed this."""
        try:
            signature = base64.b64decode(token, validate=True)
            self._key.verify(signature, message.encode(), padding.PKCS1v15(), hashes.SHA256())
        except (binascii.Error, ValueError, InvalidSignature):
            return False
        return True


class _LoginPage(FormHandler):
    provider: ConnectIps

    async def post(self) -> None:
        """Take the signed form of the merchant's page."""
        fields = self.form()
        wrong = self._fault(fields)
        if wrong is not None:
            self.refuse("403", wrong, status=403)
            return
        faults = self.world.peek_faults("connectips")
        await self.begin("start", faults, lambda: self._start(fields))

    def _fault(self, fields: Mapping[str, str]) -> str | None:
        for name, length in _LENGTHS.items():
            if not fields.get(name):
                return f"{name} is required."
            if len(fields[name]) > length:
                return f"{name} is longer than {length} characters."
        if not all(
            fields[name].isascii() and fields[name].isdigit() for name in ("MERCHANTID", "TXNAMT")
        ):
            return "MERCHANTID and TXNAMT are whole numbers."
        if int(fields["TXNAMT"]) <= 0:
            return "TXNAMT must be more than zero."
        if fields["TXNCRNCY"] != "NPR":
            return "TXNCRNCY must be NPR."
        if not _is_day(fields["TXNDATE"]):
            return "TXNDATE is not like DD-MM-YYYY."
        if (int(fields["MERCHANTID"]), fields["APPID"]) != (
            keys.CONNECTIPS_MERCHANT_ID,
            keys.CONNECTIPS_APP_ID,
        ):
            return "There is no such merchant or app."
        if not self.provider.is_signed(form_message(fields), fields["TOKEN"]):
            return "The token is not valid."
        if self.world.find("connectips", fields["TXNID"]):
            return "Several gateway payments at once: this TXNID was used before."
        merchant = self.world.merchant
        if not merchant.connectips_success or not merchant.connectips_failure:
            return "No return addresses are registered for this app."
        return None

    def _start(self, fields: Mapping[str, str]) -> Payment:
        now = self.world.clock.now()
        payment = Payment(
            gateway="connectips",
            id=fields["TXNID"],
            reference=fields["TXNID"],
            amount=int(fields["TXNAMT"]),
            title=fields["PARTICULARS"],
            created_at=now,
            expires_at=now + _SESSION_SECONDS,
            faults=self.world.take_faults("connectips"),
            details={"reference_id": fields["REFERENCEID"], "remarks": fields["REMARKS"]},
        )
        self.world.add(payment)
        self.world.expire_when_due(payment, lambda: None)
        return payment


class _QuestionHandler(CallHandler):
    provider: ConnectIps

    async def post(self) -> None:
        """Check who asks, and answer."""
        user, password = self.basic_login()
        is_user = hmac.compare_digest(user.encode(), keys.CONNECTIPS_APP_ID.encode())
        if not is_user or not hmac.compare_digest(
            password.encode(), keys.CONNECTIPS_APP_PASSWORD.encode()
        ):
            self.set_header("WWW-Authenticate", 'Basic realm="connectIPS"')
            self.send(Answer.of({"error": "unauthorized"}, 401))
            return
        asked = self.read_json()
        if asked is None or not self._is_signed(asked):
            self.send(Answer.of({"status": "ERROR", "statusDesc": "INVALID TOKEN"}, 400))
            return
        payment = self.payment = self.world.find("connectips", str(asked["referenceId"]))
        faults = payment.faults if payment else Faults()
        await self.conduct("verify", faults, lambda: self._answer(payment, asked))

    def _is_signed(self, asked: Mapping[str, Any]) -> bool:
        names = ("merchantId", "appId", "referenceId", "txnAmt")
        if any(asked.get(name) in (None, "") for name in (*names, "token")):
            return False
        message = query_message(*(str(asked[name]) for name in names))
        return self.provider.is_signed(message, str(asked["token"]))

    def _answer(self, payment: Payment | None, asked: Mapping[str, Any]) -> Answer:
        status, text, story = *_NOT_FOUND, None
        if payment is not None and str(payment.amount) == str(asked["txnAmt"]):
            story = stories.answer(payment)
            status, text = _WORDS[story.status]
            if status == "SUCCESS" and payment.faults.get("misspelt-status"):
                text = _MISSPELT
            if story.words:
                status, text = story.words, story.words
        amount = str(story.amount if story else asked["txnAmt"])
        is_number = payment is not None and payment.faults.get("swapped-numbers")
        return Answer.of(
            {
                "merchantId": keys.CONNECTIPS_MERCHANT_ID,
                "appId": keys.CONNECTIPS_APP_ID,
                "referenceId": story.reference if story else asked["referenceId"],
                "txnAmt": int(amount) if is_number else amount,
                "token": None,
                "status": status,
                "statusDesc": text,
                **self._more(payment, story),
            }
        )

    def _more(self, payment: Payment | None, story: Story | None) -> dict[str, Any]:
        return {}


class _Validate(_QuestionHandler):
    """Says what became of a payment."""


class _Detail(_QuestionHandler):
    """Says it at length."""

    def _more(self, payment: Payment | None, story: Story | None) -> dict[str, Any]:
        if payment is None or story is None or payment.paid_at is None:
            return {}
        return {
            "debitBankCode": "0101",
            "txnId": int(payment.transaction_id),
            "batchId": int(payment.transaction_id),
            "txnDate": int(payment.paid_at * 1000),
            "txnCrncy": None,
            "chargeAmt": "0",
            "chargeLiability": "MN",
            "refId": payment.details["reference_id"],
            "remarks": payment.details["remarks"],
            "particulars": payment.title,
            "creditStatus": "000",
        }


def _is_day(text: str) -> bool:
    try:
        datetime.strptime(text, "%d-%m-%Y")  # noqa: DTZ007 - a day, not an instant
    except ValueError:
        return False
    return True
