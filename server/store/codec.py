"""Entities to documents and back: msgspec converts, ``id`` is stored as ``_id``.

Dates and times of day are ISO texts (BSON has only instants), instants are BSON dates of a
millisecond.
"""

from __future__ import annotations

from datetime import datetime
from decimal import Decimal
from typing import Any, Final, TypeVar

import msgspec

from server.store.client import Document

T = TypeVar("T")
_NATIVE: Final = (datetime, Decimal, bytes)


def to_document(entity: Any) -> Document:
    """The document of an entity that has an ``id``."""
    document: Document = to_value(entity)
    document["_id"] = document.pop("id")
    return document


def to_value(value: Any) -> Any:
    """Plain data of a value object, as it stands inside a document."""
    return msgspec.to_builtins(value, builtin_types=_NATIVE)


def from_document(cls: type[T], document: Document) -> T:
    """The entity of a document; fields that the class does not know are passed over."""
    return msgspec.convert({**document, "id": document["_id"]}, cls, builtin_types=_NATIVE)


def from_value(cls: type[T], value: Any) -> T:
    """The value object of plain data from inside a document."""
    return msgspec.convert(value, cls, builtin_types=_NATIVE)
