"""Sheets as PDF files, set in threads: setting one takes tens of milliseconds of a core."""

from __future__ import annotations

import functools
from pathlib import Path

from server.documents.sheet import Sheet, pdf_of
from server.domain.ports import Workers


class Printer:
    """Makes files of sheets.

    Parameters
    ----------
    workers
        Where they are set.
    fonts
        The folder with the fonts that hold both scripts.
    """

    def __init__(self, workers: Workers, fonts: Path) -> None:
        self._workers = workers
        self._fonts = fonts

    async def pdf(self, sheet: Sheet) -> bytes:
        """Set the sheet on A4 pages. Raises ``Overloaded`` when too many wait."""
        return await self._workers.run(functools.partial(pdf_of, sheet, self._fonts))
