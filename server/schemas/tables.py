"""Tables for spreadsheets: what stands in a cell, and that no cell is a formula.

Whatever people have typed may begin like a formula, and a spreadsheet that opens the file would
work it out (OWASP, "CSV Injection"). Such a text gets an apostrophe in front, which spreadsheets
take for "this is text". Numbers are ours and stay numbers, also below zero.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from typing import Final

Cell = str | int | float | Decimal | date | None

BOM: Final = "\ufeff"
"""Tells spreadsheets that the file is UTF-8; it stands before the first row."""
_FORMULA: Final = ("=", "+", "-", "@", "\t", "\r", "\n", "＝", "＋", "－", "＠")
_PAISA: Final = 100


@dataclass(frozen=True, slots=True)
class Table:
    """A table by its name: the names of its columns, and its rows."""

    name: str
    head: tuple[str, ...]
    rows: Sequence[Sequence[Cell]]


def rupees(paisa: int) -> Decimal:
    """An amount as spreadsheets calculate with it, with two decimals."""
    return (Decimal(paisa) / _PAISA).quantize(Decimal("0.01"))


def csv_text(rows: Iterable[Sequence[Cell]]) -> str:
    """Return the rows as CSV (RFC 4180)."""
    text = io.StringIO()
    csv.writer(text).writerows([shown(cell) for cell in row] for row in rows)
    return text.getvalue()


def shown(cell: Cell) -> str:
    """What stands in the file for a cell; a text is never a formula."""
    if cell is None:
        return ""
    if not isinstance(cell, str):
        return cell.isoformat() if isinstance(cell, date) else str(cell)
    return f"'{cell}" if cell.lstrip(" \u00a0\u200b").startswith(_FORMULA) else cell
