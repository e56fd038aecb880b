"""How long lists are read, a page at a time."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Generic, TypeVar

T = TypeVar("T")


SortKey = tuple[Any, ...]


@dataclass(frozen=True, slots=True)
class Page(Generic[T]):
    """A stretch of a list. ``next_key`` is the sort key to go on after, None at the end."""

    rows: tuple[T, ...]
    next_key: SortKey | None = None
