"""What all wire types share: decoding with every fault named, paging, the reader's view."""

from __future__ import annotations

import re
import typing
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, datetime
from functools import cached_property
from typing import Annotated, Any, Final, Generic, TypeVar
from zoneinfo import ZoneInfo

import msgspec
from msgspec import UNSET, Meta, Struct, UnsetType

from kundali.bikram_sambat import OutsideCalendar, to_bs
from server.domain.errors import FieldFault, Invalid, Malformed

T = TypeVar("T")
R = TypeVar("R")

Name = Annotated[str, Meta(min_length=1, max_length=120)]
ShortText = Annotated[str, Meta(max_length=300)]
LongText = Annotated[str, Meta(max_length=4000)]
Id = Annotated[str, Meta(min_length=1, max_length=64)]
ClockTime = Annotated[str, Meta(pattern=r"^([01][0-9]|2[0-3]):[0-5][0-9](?!\n)$")]
"""Hours and minutes as ``time.fromisoformat`` takes them; ``$`` alone lets a line end pass."""
Rupees = Annotated[int, Meta(ge=0, le=100_000_000_00)]
"""Paisa, up to ten crore rupees."""

_encoder: Final = msgspec.json.Encoder(decimal_format="number")
_CODES: Final = (
    (re.compile(r"length >= |length <= 0"), "too-short"),
    (re.compile(r"length <="), "too-long"),
    (re.compile(r"matching regex"), "pattern"),
    (re.compile(r"Invalid enum value|Invalid value"), "choice"),
    (re.compile(r"(?:Expected|expected) `\w+` [<>]=?|out of range"), "range"),
    (re.compile(r"missing required field"), "required"),
)


class Request(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Base of all request bodies and queries: unknown fields are faults."""


class PageQuery(Request, frozen=True, kw_only=True):
    """How lists are asked for."""

    limit: Annotated[int, Meta(ge=1, le=100)] = 20
    cursor: Annotated[str, Meta(max_length=400)] | None = None


class PageResponse(Struct, Generic[R], frozen=True, kw_only=True):
    """A stretch of a list. ``next`` is the cursor to go on with, null at the end."""

    results: list[R]
    next: str | None = None


@dataclass(frozen=True)
class Reader:
    """Who will read an answer: in which language and zone it speaks."""

    language: str
    timezone: str

    @cached_property
    def zone(self) -> ZoneInfo:
        """The reader's time zone."""
        return ZoneInfo(self.timezone)

    def local(self, at: datetime) -> datetime:
        """The instant with the reader's offset."""
        return at.astimezone(self.zone)

    def maybe_local(self, at: datetime | None) -> datetime | None:
        """The same for an instant that may be missing."""
        return None if at is None else self.local(at)


def bs_text(day: date) -> str | None:
    """The Bikram Sambat date as ``YYYY-MM-DD``, None outside the calendar's table."""
    try:
        return to_bs(day).isoformat()
    except OutsideCalendar:
        return None


def encode(answer: Any) -> bytes:
    """The JSON of an answer; quantities are numbers."""
    return _encoder.encode(answer)


def decode_body(body: bytes, expected: type[T]) -> T:
    """The request type in a JSON body.

    Raises
    ------
    Malformed
        If the body is no JSON object in UTF-8.
    Invalid
        Naming every faulty field.
    """
    body = body or b"{}"
    try:
        return msgspec.json.decode(body, type=expected)
    except msgspec.ValidationError:
        pass
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        raise Malformed from None
    try:
        plain = msgspec.json.decode(body)
    except RecursionError:
        raise Malformed from None
    if not isinstance(plain, dict):
        raise Malformed
    raise Invalid(*_faults(plain, expected, strict=True))


def decode_query(arguments: Mapping[str, str], expected: type[T]) -> T:
    """The request type in query arguments, whose values are texts. Raises ``Invalid``."""
    try:
        return msgspec.convert(dict(arguments), expected, strict=False)
    except msgspec.ValidationError:
        raise Invalid(*_faults(arguments, expected, strict=False)) from None


def _faults(plain: Mapping[str, Any], expected: type[Any], *, strict: bool) -> list[FieldFault]:
    known = {field.encode_name: field for field in msgspec.structs.fields(expected)}
    faults = [FieldFault(str(name)[:80], "unknown") for name in plain if name not in known]
    for name, field in known.items():
        if name not in plain:
            if field.required:
                faults.append(FieldFault(name, "required"))
            continue
        try:
            msgspec.convert(plain[name], field.type, strict=strict)
        except msgspec.ValidationError as error:
            faults.append(_fault(name, str(error)))
    return faults or [FieldFault("", "type")]


def _fault(name: str, message: str) -> FieldFault:
    code = next((code for pattern, code in _CODES if pattern.search(message)), "type")
    if path := re.search(r"at `\$(.+?)`", message):
        name += path[1]
    return FieldFault(name, code)


def changes_of(body: Struct) -> dict[str, Any]:
    """The fields of a PATCH body that were sent."""
    return {
        name: value
        for name in body.__struct_fields__
        if not isinstance(value := getattr(body, name), UnsetType)
    }


def resolve_hints(function: Any) -> dict[str, Any]:
    """The evaluated annotations of a function."""
    return typing.get_type_hints(function)


__all__ = [
    "UNSET",
    "Id",
    "LongText",
    "Name",
    "PageQuery",
    "PageResponse",
    "Reader",
    "Request",
    "Rupees",
    "ShortText",
    "Struct",
    "UnsetType",
    "bs_text",
    "changes_of",
    "decode_body",
    "decode_query",
    "encode",
    "resolve_hints",
]
