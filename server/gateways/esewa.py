"""eSewa: ePay v2 with its signed form, and the unsigned form before it (v1).

The browser posts the form. A success brings back a signed answer, anything else brings back
nothing; the status check decides either way. It has no authentication and is told our own three
values. There is no call for refunds.

The signature of our form covers amount, reference and product code, and the browser sees it. An
answer therefore counts as signed only if its signature covers all six names of an answer: else the
customer could hand our own signature back with ``status`` = ``COMPLETE`` put beside it.
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any, Final
from urllib.parse import urlsplit
from xml.parsers import expat

from server.domain.booking import PaymentMethod
from server.domain.errors import ForgedCallback, GatewayUnavailable, Malformed, NotFound
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
from server.domain.money import NPR, short_text
from server.gateways.answers import (
    amount,
    decode_base64,
    encode_base64,
    identifier,
    missing,
    record,
    require_acceptable,
    text,
)
from server.gateways.client import Call, GatewayClient, parse_object
from server.settings import EsewaSettings, is_test_host

_REQUEST_NAMES: Final = ("total_amount", "transaction_uuid", "product_code")
_ANSWER_NAMES: Final = (
    "transaction_code",
    "status",
    "total_amount",
    "transaction_uuid",
    "product_code",
    "signed_field_names",
)
_TEST_CODE: Final = "EPAYTEST"
_VERSION: Final = "version"
_SESSION: Final = timedelta(minutes=15)
_MAX_XML_BYTES: Final = 16 * 1024
_OUTCOMES: Final = {
    "COMPLETE": Outcome.PAID,
    "PENDING": Outcome.IN_PROGRESS,
    "AMBIGUOUS": Outcome.IN_PROGRESS,
    "CANCELED": Outcome.FAILED,
    "FULL_REFUND": Outcome.REFUNDED,
    "PARTIAL_REFUND": Outcome.PARTLY_REFUNDED,
}
_REVIEWS: Final = {
    "AMBIGUOUS": "halted-at-the-provider",
    "PARTIAL_REFUND": "size-of-refund-unknown",
}


class EsewaGateway:
    """Implements ``domain.gateway.PaymentGateway``.

    An attempt stays with the version that it was started with, whatever is set by then.
    """

    method = PaymentMethod.ESEWA

    def __init__(self, settings: EsewaSettings, client: GatewayClient) -> None:
        self._settings = settings
        self._client = client
        form_url = settings.v1_form_url if settings.use_v1 else settings.form_url
        form = urlsplit(form_url)
        self.traits = GatewayTraits(
            currencies=frozenset({NPR}),
            min_amount=100,
            max_amount=None,
            is_test=is_test_host(form_url) or settings.product_code == _TEST_CODE,
            form_origins=(f"{form.scheme}://{form.netloc}",),
        )

    async def start(self, order: PaymentOrder) -> StartedPayment:
        """Make the form; eSewa hears of it from the browser."""
        require_acceptable(order, self.traits)
        if self._settings.use_v1:
            url, fields = self._settings.v1_form_url, v1_form(order, self._settings)
        else:
            url, fields = self._settings.form_url, v2_form(order, self._settings)
        return StartedPayment(
            action=PaymentAction(kind=ActionKind.FORM, url=url, fields=fields),
            details={_VERSION: "1" if self._settings.use_v1 else "2"},
        )

    def read_return(self, attempt: AttemptFacts, query: Mapping[str, str]) -> ReturnHint:
        """Read what came to the success or the failure address.

        Raises
        ------
        Malformed
            If ``data`` is no answer of eSewa's form.
        ForgedCallback
            If it is one that eSewa has not signed.
        """
        if attempt.details.get(_VERSION) == "1":
            return _read_v1_return(attempt, query)
        if "data" not in query:
            # The failure address, which serves cancelled, failed and pending alike.
            return ReturnHint(claim=Claim.UNKNOWN)
        answer = read_signed_answer(query["data"], self._settings.secret_key)
        mismatches = []
        if answer["product_code"] != self._settings.product_code:
            mismatches.append("product-code")
        if answer["transaction_uuid"] != attempt.reference:
            mismatches.append("reference")
        if amount(answer, "total_amount") != attempt.amount:
            mismatches.append("amount")
        claim = Claim.PAID if answer["status"] == "COMPLETE" else Claim.UNKNOWN
        details = {} if mismatches else {"transaction_code": answer["transaction_code"]}
        return ReturnHint(claim=claim, details=details, mismatches=tuple(mismatches))

    async def verify(self, attempt: AttemptFacts, now: datetime) -> Verdict:
        """Ask for the status with our own amount and reference."""
        if attempt.details.get(_VERSION) == "1":
            return await self._verify_v1(attempt)
        answer = await self._client.send(
            Call(
                gateway="esewa",
                name="status",
                method="GET",
                url=self._settings.status_url,
                params={
                    "product_code": self._settings.product_code,
                    "total_amount": short_text(attempt.amount),
                    "transaction_uuid": attempt.reference,
                },
                is_safe=True,
                is_trouble=_is_outage,
            )
        )
        age = now - attempt.created_at
        verdict = read_status(answer.data, self._settings.product_code, age)
        if verdict.outcome is Outcome.PAID and not answer.is_good:
            raise GatewayUnavailable("esewa: a success with a bad status")
        return verdict

    async def refund(self, attempt: AttemptFacts, order: RefundOrder) -> RefundAnswer:
        """Refunds are made by staff, in the merchant panel."""
        return RefundAnswer(state=RefundState.MANUAL)

    def read_webhook(
        self, headers: Mapping[str, str], body: bytes, now: datetime
    ) -> tuple[WebhookNotice, ...]:
        """Find none: eSewa does not send any."""
        raise NotFound

    async def _verify_v1(self, attempt: AttemptFacts) -> Verdict:
        reference_id = attempt.details.get("ref_id")
        if not reference_id:
            return Verdict(outcome=Outcome.UNCHANGED, reason="no-reference-id-yet")
        answer = await self._client.send(
            Call(
                gateway="esewa",
                name="transrec",
                method="POST",
                url=self._settings.v1_verify_url,
                form={
                    "amt": short_text(attempt.amount),
                    "rid": reference_id,
                    "pid": attempt.reference,
                    "scd": self._settings.product_code,
                },
                is_safe=True,
                expects_json=False,
                is_trouble=_is_outage,
            )
        )
        return read_transrec(answer.body if answer.is_good else b"", attempt, reference_id)


def sign(message: str, secret_key: str) -> str:
    """base64 of HMAC-SHA256 over the UTF-8 text, keyed with the UTF-8 secret."""
    return encode_base64(hmac.digest(secret_key.encode(), message.encode(), hashlib.sha256))


def message_of(fields: Mapping[str, str], names: tuple[str, ...]) -> str:
    """Join ``name=value`` by commas, in the order given and without blanks."""
    return ",".join(f"{name}={fields[name]}" for name in names)


def v2_form(order: PaymentOrder, settings: EsewaSettings) -> dict[str, str]:
    """The fields that the browser posts, signed. The text of the amount is made once."""
    total = short_text(order.amount)
    fields = {
        "amount": total,
        "tax_amount": "0",
        "product_service_charge": "0",
        "product_delivery_charge": "0",
        "total_amount": total,
        "transaction_uuid": order.reference,
        "product_code": settings.product_code,
        "success_url": order.return_url,
        "failure_url": order.cancel_url,
        "signed_field_names": ",".join(_REQUEST_NAMES),
    }
    return fields | {"signature": sign(message_of(fields, _REQUEST_NAMES), settings.secret_key)}


def v1_form(order: PaymentOrder, settings: EsewaSettings) -> dict[str, str]:
    """The fields of the older form, which is not signed."""
    total = short_text(order.amount)
    return {
        "amt": total,
        "txAmt": "0",
        "psc": "0",
        "pdc": "0",
        "tAmt": total,
        "scd": settings.product_code,
        "pid": order.reference,
        "su": order.return_url,
        "fu": order.cancel_url,
    }


def read_signed_answer(data: str, secret_key: str) -> dict[str, str]:
    """Read the ``data`` of a success: the six fields that an answer has, all signed.

    Totals of a thousand and more have come with a comma that was not in the signed text, so the
    signature is tried with the text as it is and then with the commas of the total gone.

    Raises
    ------
    Malformed
        If it is no base64 of a JSON object of texts and numbers.
    ForgedCallback
        If a name is missing, not signed or signed twice, or if the signature is not eSewa's.
    """
    decoded = decode_base64(data)
    answer = parse_object(decoded) if decoded is not None else None
    if answer is None:
        raise Malformed
    names = text(answer, "signed_field_names").split(",")
    if len(set(names)) != len(names) or not set(_ANSWER_NAMES) <= set(names):
        raise ForgedCallback("signature-covers-too-little")
    fields = {name: value for name in names if isinstance(value := answer.get(name), str)}
    signature = text(answer, "signature")
    if len(fields) != len(names) or not signature.isascii():
        raise ForgedCallback("signed-fields-missing")
    bare = {**fields, "total_amount": fields["total_amount"].replace(",", "")}
    for signed in (fields, bare):
        try:
            expected = sign(message_of(signed, tuple(names)), secret_key)
        except UnicodeEncodeError as error:  # half of a surrogate pair, written as \ud800
            raise Malformed from error
        if hmac.compare_digest(expected, signature):
            return {name: fields[name] for name in _ANSWER_NAMES}
    raise ForgedCallback("wrong-signature")


def read_status(data: Mapping[str, Any], product_code: str, age: timedelta) -> Verdict:
    """Read the answer of the status check about an attempt of that ``age``."""
    status = text(data, "status")
    paid, reference = amount(data, "total_amount"), text(data, "transaction_uuid")
    mismatches: tuple[str, ...] = ()
    review = _REVIEWS.get(status, "")
    if status == "NOT_FOUND":
        # The session there ended, or the customer is still on the way to it.
        outcome = Outcome.UNCHANGED if age < _SESSION else Outcome.FAILED
    else:
        outcome = _OUTCOMES.get(status, Outcome.UNKNOWN)
    if outcome is Outcome.UNKNOWN:
        review = "unknown-status"
    if outcome is Outcome.PAID:
        mismatches = missing(amount=paid, reference=reference)
        if text(data, "product_code") != product_code:
            mismatches += ("product-code",)
    return Verdict(
        outcome=outcome,
        amount=paid,
        currency=NPR if paid is not None else None,
        reference=reference or None,
        transaction_id=identifier(data, "ref_id"),
        reason=status.lower(),
        mismatches=mismatches,
        review=review,
        raw=record(data),
    )


def read_transrec(body: bytes, attempt: AttemptFacts, reference_id: str) -> Verdict:
    """Read the XML of v1. It was asked with our amount and reference, and answers yes or no."""
    code = _response_code(body)
    outcome = {"success": Outcome.PAID, "failure": Outcome.FAILED}.get(code, Outcome.UNCHANGED)
    is_paid = outcome is Outcome.PAID
    return Verdict(
        outcome=outcome,
        amount=attempt.amount if is_paid else None,
        reference=attempt.reference if is_paid else None,
        transaction_id=reference_id if is_paid else None,
        reason=code,
        raw={"response_code": code[:40]},
    )


def _is_outage(body: bytes) -> bool:
    """Whether eSewa says, with any status, that its service is not available."""
    data = parse_object(body)
    return data is not None and "error_message" in data and "status" not in data


def _read_v1_return(attempt: AttemptFacts, query: Mapping[str, str]) -> ReturnHint:
    if "refId" not in query:
        return ReturnHint(claim=Claim.UNKNOWN)
    mismatches = []
    if query.get("oid") != attempt.reference:
        mismatches.append("reference")
    if amount(query, "amt") != attempt.amount:
        mismatches.append("amount")
    reference_id = identifier(query, "refId")
    if reference_id is None:
        raise Malformed
    details = {} if mismatches else {"ref_id": reference_id}
    return ReturnHint(claim=Claim.PAID, details=details, mismatches=tuple(mismatches))


def _response_code(body: bytes) -> str:
    """The text of ``response/response_code``, in small letters; empty where there is none.

    Document types and entities are refused, so nothing can be expanded or fetched.
    """
    if not body or len(body) > _MAX_XML_BYTES:
        return ""
    reader = _ResponseReader()
    try:
        reader.parser.Parse(body, True)
    except (expat.ExpatError, _Refused, ValueError, LookupError):
        return ""
    return "".join(reader.code).strip().lower() if reader.is_response else ""


class _Refused(Exception):
    """XML with a document type or an entity."""


class _ResponseReader:
    """Collects the text of the first ``response_code`` directly below the root ``response``."""

    def __init__(self) -> None:
        self.parser = expat.ParserCreate()
        self.code: list[str] = []
        self.is_response = False
        self._path: list[str] = []
        self._is_done = False
        self.parser.StartElementHandler = self._start
        self.parser.EndElementHandler = self._end
        self.parser.CharacterDataHandler = self._text
        for name in ("StartDoctypeDeclHandler", "EntityDeclHandler", "ExternalEntityRefHandler"):
            setattr(self.parser, name, self._refuse)

    def _start(self, name: str, _attributes: Mapping[str, str]) -> None:
        self._path.append(name)
        if len(self._path) == 1:
            self.is_response = name == "response"

    def _end(self, _name: str) -> None:
        if self._path == ["response", "response_code"]:
            self._is_done = True
        self._path.pop()

    def _text(self, data: str) -> None:
        if self._path == ["response", "response_code"] and not self._is_done:
            self.code.append(data)

    @staticmethod
    def _refuse(*_: object) -> None:
        raise _Refused
