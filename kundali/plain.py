"""Results as plain data: dictionaries, lists, numbers and texts, ready for JSON.

A sentence (`kundali.phrases.Phrase`) gives its code, its values and both texts; an enumeration its
wire value (grahas their lower-case name), an instant its ISO text, a named tuple or a dataclass a
dictionary by field. Numbers that count signs and nakshatras stay as the package counts them; the
callers that write for people add one.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from datetime import date, datetime, time, timedelta
from enum import Enum, IntEnum
from typing import Any

from kundali.phrases import Phrase


def plain(value: Any) -> Any:
    """Return a result of this package as plain data.

    Raises
    ------
    TypeError
        For a type that no result holds.
    """
    if isinstance(value, Enum):
        return value.name.lower() if isinstance(value, IntEnum) else value.value
    if value is None or isinstance(value, bool | int | float | str):
        return value
    if isinstance(value, datetime | date | time):
        return value.isoformat()
    if isinstance(value, timedelta):
        return value.total_seconds()
    if isinstance(value, Phrase):
        # Both languages go along: whoever reads the JSON needs no table of sentences.
        return {"code": value.code, "values": plain(value.values), **plain(value.name)}
    if isinstance(value, Mapping):
        return {str(plain(key)): plain(item) for key, item in value.items()}
    if isinstance(value, tuple) and hasattr(value, "_fields"):
        return {name: plain(item) for name, item in zip(value._fields, value, strict=True)}
    if isinstance(value, tuple | list | frozenset | set):
        return [plain(item) for item in value]
    if is_dataclass(value):
        return {at.name: plain(getattr(value, at.name)) for at in fields(value)}
    raise TypeError(f"no plain form of {type(value).__name__}")
