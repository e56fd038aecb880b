"""Which rite's muhurta rules a puja follows, from ``config/rites.toml``."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from pathlib import Path

import msgspec


class _RiteOf(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    puja: str
    rite: str


class _File(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    rite_of: tuple[_RiteOf, ...]


def load_rites(path: Path) -> Mapping[str, str]:
    """Read the table: rite key by puja.

    Raises
    ------
    ValueError
        If the file is no such table, or a puja stands in it twice; the message names the place.
    """
    try:
        raw = tomllib.loads(path.read_text(encoding="utf-8"))
        read = msgspec.convert(raw, _File)
    except (tomllib.TOMLDecodeError, msgspec.ValidationError) as error:
        raise ValueError(f"{path.name}: {error}") from error
    found: dict[str, str] = {}
    for each in read.rite_of:
        if found.setdefault(each.puja, each.rite) != each.rite:
            raise ValueError(f"{path.name}: {each.puja} has two rites")
    return found
