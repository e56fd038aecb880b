"""Marks texts that people see, for translation where they are used."""

from __future__ import annotations


def N_(message: str) -> str:  # noqa: N802  # gettext's own name for "translate later"
    """Return the text unchanged; the extraction of texts looks for calls of this name."""
    return message
