"""The days of festivals from ``config/festivals.toml``, until a calendar computes them."""

from __future__ import annotations

import tomllib
from bisect import bisect_left
from collections.abc import Sequence
from datetime import date
from pathlib import Path

import msgspec

from server.domain.recommendation import FestivalDay


class _Festival(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    name: str
    name_ne: str
    puja: str
    days: tuple[date, ...]


class _File(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    festival: tuple[_Festival, ...]


class FestivalTable:
    """See ``ports.FestivalCalendar``."""

    def __init__(self, days: Sequence[FestivalDay]) -> None:
        self._days = sorted(days, key=lambda each: (each.day, each.puja_id, each.name))

    def between(self, first: date, last: date) -> Sequence[FestivalDay]:
        """Return those from the one day to the other, both included, in order."""
        begin = bisect_left(self._days, first, key=lambda each: each.day)
        end = bisect_left(self._days, last, lo=begin, key=lambda each: each.day)
        while end < len(self._days) and self._days[end].day == last:
            end += 1
        return self._days[begin:end]

    @property
    def pujas(self) -> frozenset[str]:
        """The pujas that follow a festival: their rhythm is that of its day."""
        return frozenset(each.puja_id for each in self._days)


def load_festivals(path: Path) -> FestivalTable:
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
    return FestivalTable(
        [
            FestivalDay(puja_id=each.puja, day=day, name=each.name, name_ne=each.name_ne)
            for each in read.festival
            for day in each.days
        ]
    )
