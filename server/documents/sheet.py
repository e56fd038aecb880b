"""What a sheet (invoice, receipt) says, in the words of its reader; ``pdf`` sets it."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Sum:
    """One line below a table: what is added up, and how much it is."""

    label: str
    value: str
    is_strong: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class SheetTable:
    """A table with a heading; the last column holds amounts and is set to the right."""

    heading: str
    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    sums: tuple[Sum, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Sheet:
    """All that a sheet says, worded in its reader's languages.

    ``facts`` are pairs of label and value, set in two columns. ``link`` becomes a QR code with the
    same text beside it. ``page_of`` words the page number: ``Page {page} of {pages}``.
    """

    title: str
    number: str
    language: str
    issuer: str
    state: str
    facts: tuple[tuple[str, str], ...]
    tables: tuple[SheetTable, ...]
    notes: tuple[str, ...] = ()
    link: str = ""
    link_label: str = ""
    page_of: str = "{page} / {pages}"
