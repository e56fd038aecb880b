"""The connectIPS of NCHL: an RSA-signed form for the browser, and a signed question that decides.

The browser comes back to an address that was registered at NCHL, with our reference and nothing
else. ``validatetxn`` says what became of it; the amount that it shows may be an echo of our own
question, so what binds the amount is the form that we signed. There is no call for refunds.
"""

from __future__ import annotations

import hashlib
import logging
import re
from collections.abc import Mapping
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit
from zoneinfo import ZoneInfo

from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import padding
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
from cryptography.hazmat.primitives.serialization import pkcs12

from server.domain.account import NEPAL
from server.domain.booking import PaymentMethod
from server.domain.errors import GatewayUnavailable, NotFound
from server.domain.gateway import (
    ActionKind,
    AttemptFacts,
    Claim,
    GatewayTraits,
    Outcome,
    PaymentAction,
    PaymentOrder,
    RefundAnswer,
    RefundOrder,
    RefundState,
    ReturnHint,
    StartedPayment,
    Verdict,
    WebhookNotice,
)
from server.domain.money import NPR, whole_minor_units
from server.gateways.answers import (
    amount,
    encode_base64,
    identifier,
    missing,
    record,
    require_acceptable,
    text,
)
from server.gateways.client import Call, GatewayClient
from server.settings import ConnectIpsSettings, SettingsError, is_test_host

_log: Final = logging.getLogger(__name__)
_FORM: Final = {
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
}
"""The signed fields in their order, and how long each may be."""
_SESSION: Final = timedelta(minutes=30)
# Published with its private half, for tests: whoever has it could sign in our name.
_PUBLISHED_KEYS: Final = frozenset(
    {"5cb5d70598bf9d0fa69b97bfc258cb2b683b9ab624b8c3a2846c411d52b48c12"}
)
_CREDITED: Final = frozenset({"000", "999", "DEFER"})
_UNSAFE: Final = re.compile(r"[^A-Za-z0-9 -]+")


class ConnectIpsGateway:
    """Implements ``domain.gateway.PaymentGateway``.

    Raises
    ------
    SettingsError
        If the key cannot be read, see :func:`load_key`.
    """

    method = PaymentMethod.CONNECT_IPS

    def __init__(self, settings: ConnectIpsSettings, client: GatewayClient) -> None:
        self._settings = settings
        self._client = client
        self._key = load_key(Path(settings.key_path), settings.key_password)
        self._base_url = settings.base_url.rstrip("/")
        base = urlsplit(self._base_url)
        self.traits = GatewayTraits(
            currencies=frozenset({NPR}),
            min_amount=100,
            max_amount=None,
            is_test=is_test_host(self._base_url) or fingerprint(self._key) in _PUBLISHED_KEYS,
            form_origins=(f"{base.scheme}://{base.netloc}",),
        )

    async def start(self, order: PaymentOrder) -> StartedPayment:
        """Sign the form; NCHL hears of it from the browser."""
        require_acceptable(order, self.traits)
        fields = {
            "MERCHANTID": self._settings.merchant_id,
            "APPID": self._settings.app_id,
            "APPNAME": self._settings.app_name,
            "TXNID": order.reference,
            "TXNDATE": f"{order.created_at.astimezone(ZoneInfo(NEPAL)):%d-%m-%Y}",
            "TXNCRNCY": order.currency,
            "TXNAMT": str(order.amount),
            "REFERENCEID": order.reference,
            "REMARKS": _plain(order.title, _FORM["REMARKS"]) or order.reference,
            "PARTICULARS": _plain(order.note, _FORM["PARTICULARS"]) or order.reference,
        }
        token = sign(form_message(fields), self._key)
        return StartedPayment(
            action=PaymentAction(
                kind=ActionKind.FORM,
                url=f"{self._base_url}/connectipswebgw/loginpage",
                fields={**fields, "TOKEN": token},
            )
        )

    def read_return(self, attempt: AttemptFacts, query: Mapping[str, str]) -> ReturnHint:
        """Read the only thing that comes back, our reference; it says nothing of the outcome."""
        is_ours = query.get("TXNID", attempt.reference) == attempt.reference
        return ReturnHint(claim=Claim.UNKNOWN, mismatches=() if is_ours else ("reference",))

    async def verify(self, attempt: AttemptFacts, now: datetime) -> Verdict:
        """Ask ``validatetxn``; of a success also ``gettxndetail``, which may raise a doubt."""
        data = await self._ask(attempt, "validatetxn")
        verdict = read_validation(data, self._settings, now - attempt.created_at)
        if verdict.outcome is not Outcome.PAID:
            return verdict
        try:
            detail = await self._ask(attempt, "gettxndetail")
        except GatewayUnavailable:
            # The decision stands without it.
            _log.warning("connectips_detail_missing %s", attempt.reference)
            return verdict
        return with_detail(verdict, detail)

    async def refund(self, attempt: AttemptFacts, order: RefundOrder) -> RefundAnswer:
        """Refunds are made by staff, through the bank."""
        return RefundAnswer(state=RefundState.MANUAL)

    def read_webhook(
        self, headers: Mapping[str, str], body: bytes, now: datetime
    ) -> tuple[WebhookNotice, ...]:
        """Find none: connectIPS does not send any."""
        raise NotFound

    async def _ask(self, attempt: AttemptFacts, name: str) -> Mapping[str, Any]:
        settings = self._settings
        token = sign(question_message(settings, attempt.reference, attempt.amount), self._key)
        answer = await self._client.send(
            Call(
                gateway="connectips",
                name=name,
                method="POST",
                url=f"{self._base_url}/connectipswebws/api/creditor/{name}",
                headers={"Authorization": basic(settings.app_id, settings.app_password)},
                json={
                    "merchantId": int(settings.merchant_id),
                    "appId": settings.app_id,
                    "referenceId": attempt.reference,
                    "txnAmt": attempt.amount,
                    "token": token,
                },
                is_safe=True,
            )
        )
        if not answer.is_good:
            raise GatewayUnavailable(f"connectips {name}: {answer.status}")
        return answer.data


def load_key(path: Path, password: str) -> RSAPrivateKey:
    """Read the key that signs out of a PKCS#12 file.

    Raises
    ------
    SettingsError
        If the file cannot be read or opened with the password, or has no RSA key.
    """
    try:
        content = path.read_bytes()
        key, _, _ = pkcs12.load_key_and_certificates(content, password.encode() or None)
    except (OSError, ValueError) as error:
        raise SettingsError([f"connect_ips.key_path: cannot be opened: {error}"]) from error
    if not isinstance(key, RSAPrivateKey):
        raise SettingsError(["connect_ips.key_path: has no RSA key"])
    return key


def fingerprint(key: RSAPrivateKey) -> str:
    """SHA-256 of the public half, in hexadecimal."""
    public = key.public_key().public_bytes(
        serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
    )
    return hashlib.sha256(public).hexdigest()


def sign(message: str, key: RSAPrivateKey) -> str:
    """RSASSA-PKCS1-v1_5 with SHA-256 over the UTF-8 bytes, as base64 on one line."""
    return encode_base64(key.sign(message.encode(), padding.PKCS1v15(), hashes.SHA256()))


def form_message(fields: Mapping[str, str]) -> str:
    """What is signed of the form: names and values in order, and the literal word at the end.

    Raises
    ------
    ValueError
        If a value is empty, too long, or could pass for more than one field.
    """
    for name, longest in _FORM.items():
        value = fields[name]
        if not value or len(value) > longest or "," in value:
            raise ValueError(f"connectips: {name} cannot be sent")
    return ",".join(f"{name}={fields[name]}" for name in _FORM) + ",TOKEN=TOKEN"


def question_message(settings: ConnectIpsSettings, reference: str, paisa: int) -> str:
    """What is signed of a question about the payment with that reference."""
    return (
        f"MERCHANTID={settings.merchant_id},APPID={settings.app_id},"
        f"REFERENCEID={reference},TXNAMT={paisa}"
    )


def basic(user: str, password: str) -> str:
    """The value of an ``Authorization`` header of the basic kind."""
    return f"Basic {encode_base64(f'{user}:{password}')}"


def read_validation(
    data: Mapping[str, Any], settings: ConnectIpsSettings, age: timedelta
) -> Verdict:
    """Read the answer of ``validatetxn`` about an attempt of that ``age``.

    ``status`` decides, the wording never: "not found" and "incomplete" both come as ERROR, also
    while the customer is still on the page.
    """
    status = text(data, "status")
    paid, reference = amount(data, "txnAmt", whole_minor_units), text(data, "referenceId")
    mismatches: tuple[str, ...] = ()
    outcome = Outcome.UNKNOWN
    if status == "SUCCESS":
        outcome = Outcome.PAID
        mismatches = missing(amount=paid, reference=reference)
        if text(data, "merchantId") != settings.merchant_id:
            mismatches += ("merchant",)
        if text(data, "appId") != settings.app_id:
            mismatches += ("app",)
    elif status == "FAILED":
        outcome = Outcome.FAILED
    elif status == "ERROR":
        outcome = Outcome.UNCHANGED if age < _SESSION else Outcome.FAILED
    return Verdict(
        outcome=outcome,
        amount=paid,
        reference=reference or None,
        reason=text(data, "statusDesc").lower() or status.lower(),
        mismatches=mismatches,
        review="unknown-status" if outcome is Outcome.UNKNOWN else "",
        raw=record(data),
    )


def with_detail(verdict: Verdict, detail: Mapping[str, Any]) -> Verdict:
    """Add the bank's side to a success. Its amounts are in no certain unit and decide nothing."""
    credit = text(detail, "creditStatus")
    is_doubtful = text(detail, "status") == "SUCCESS" and credit not in _CREDITED
    raw = {f"detail_{name}": value for name, value in record(detail).items()}
    return Verdict(
        outcome=verdict.outcome,
        amount=verdict.amount,
        reference=verdict.reference,
        transaction_id=identifier(detail, "txnId"),
        reason=verdict.reason,
        mismatches=verdict.mismatches,
        review="not-credited" if is_doubtful else "",
        raw={**verdict.raw, **raw},
    )


def _plain(words: str, longest: int) -> str:
    return " ".join(_UNSAFE.sub(" ", words).split())[:longest].strip()
