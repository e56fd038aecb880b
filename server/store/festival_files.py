"""Which puja families hold on which festival, from ``config/festivals.toml``."""

from __future__ import annotations

import tomllib
from collections.abc import Sequence
from pathlib import Path

import msgspec

from server.domain.recommendation import FestivalPuja


class _PujaAt(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    festival: str
    puja: str


class _File(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    puja_at: tuple[_PujaAt, ...]


def load_festival_pujas(path: Path) -> Sequence[FestivalPuja]:
    """Read the table.

    Raises
    ------
    ValueError
        If the file is no such table; the message names the place.
    """
    try:
        raw = tomllib.loads(path.read_text(encoding="utf-8"))
        read = msgspec.convert(raw, _File)
    except (tomllib.TOMLDecodeError, msgspec.ValidationError) as error:
        raise ValueError(f"{path.name}: {error}") from error
    return [FestivalPuja(festival=each.festival, puja_id=each.puja) for each in read.puja_at]
