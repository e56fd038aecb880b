"""Reading what providers send, and keeping it without what identifies or admits somebody."""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Callable, Mapping
from typing import Any, Final

from server.domain.errors import GatewayDeclined
from server.domain.gateway import GatewayTraits, PaymentOrder
from server.domain.money import minor_units

_MAX_ENCODED: Final = 8192
_MAX_FIELDS: Final = 40
_MAX_TEXT: Final = 300
_FIELD: Final = re.compile(r"[A-Za-z][A-Za-z0-9_]{0,39}")
_PHONES: Final = frozenset({"mobile", "msisdn", "phone", "customer_phone"})
_SECRETS: Final = frozenset({"token", "signature", "client_secret", "password", "authorization"})
_ID: Final = re.compile(r"[A-Za-z0-9_.:-]{1,100}")


def require_acceptable(order: PaymentOrder, traits: GatewayTraits) -> None:
    """Refuse an order that the provider does not take, before it hears of it.

    Raises
    ------
    GatewayDeclined
        For another currency, and for an amount outside its limits.
    """
    if order.currency not in traits.currencies:
        raise GatewayDeclined("currency-not-supported")
    if order.amount < traits.min_amount:
        raise GatewayDeclined("amount-too-small")
    if traits.max_amount is not None and order.amount > traits.max_amount:
        raise GatewayDeclined("amount-too-large")


def text(data: Mapping[str, Any], name: str) -> str:
    """A text field, trimmed; empty where it is missing, null, or anything but a text.

    Numbers are texts here, see ``client.parse_object``.
    """
    value = data.get(name)
    return value.strip() if isinstance(value, str) else ""


def identifier(data: Mapping[str, Any], name: str) -> str | None:
    """An id of the provider's; None where it is missing or could not be one."""
    value = text(data, name)
    return value if _ID.fullmatch(value) else None


def amount(
    data: Mapping[str, Any], name: str, read: Callable[[str], int] = minor_units
) -> int | None:
    """An amount in minor units; None where it is missing or cannot be read exactly."""
    try:
        return read(text(data, name))
    except ValueError:
        return None


def missing(**values: object) -> tuple[str, ...]:
    """Name the values that an answer should have had and has not: each is a mismatch.

    A verdict of which nothing is known could not contradict anything.
    """
    return tuple(name.replace("_", "-") for name, value in values.items() if value in (None, ""))


def decode_base64(encoded: str) -> bytes | None:
    """Decode what came as a query parameter: blanks were ``+``, padding may be gone.

    Returns None for what is no base64, or too long to be an answer.
    """
    encoded = encoded.strip().replace(" ", "+")
    if not encoded or len(encoded) > _MAX_ENCODED:
        return None
    try:
        return base64.b64decode(encoded + "=" * (-len(encoded) % 4), validate=True)
    except (binascii.Error, ValueError):
        return None


def encode_base64(data: bytes | str) -> str:
    """Encode on one line."""
    return base64.b64encode(data.encode() if isinstance(data, str) else data).decode("ascii")


def mask_phone(phone: str) -> str:
    """Leave the first and last two digits: enough to recognise one's own."""
    return (
        f"{phone[:2]}{'*' * (len(phone) - 4)}{phone[-2:]}" if len(phone) > 4 else "*" * len(phone)
    )


def record(data: Mapping[str, Any]) -> dict[str, str]:
    """The plain fields of an answer as they may be stored and shown to staff.

    Secrets are left out, phone numbers masked, long texts cut, nested parts left out.
    """
    kept: dict[str, str] = {}
    for name, value in data.items():
        if len(kept) >= _MAX_FIELDS:
            break
        is_plain = isinstance(value, (str, bool)) or value is None
        if not is_plain or not _FIELD.fullmatch(name) or name.lower() in _SECRETS:
            continue
        shown = {None: "null", True: "true", False: "false"}.get(value, value)
        kept[name] = mask_phone(shown) if name.lower() in _PHONES else shown[:_MAX_TEXT]
    return kept
