"""Sheets as PDF files, set in threads: setting one takes tens of milliseconds of a core."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from server.documents.sheet import Sheet
from server.domain.ports.world import Workers


class Printer:
    """Makes files of sheets.

    Parameters
    ----------
    workers
        Where they are set.
    pdf_of
        Sets one (``pdf.pdf_of`` with its fonts).
    """

    def __init__(self, workers: Workers, pdf_of: Callable[[Sheet], bytes]) -> None:
        self._workers = workers
        self._pdf_of = pdf_of

    async def pdf(self, sheet: Sheet) -> bytes:
        """Set the sheet on A4 pages. Raises ``Overloaded`` when too many wait."""
        return await self._workers.run(partial(self._pdf_of, sheet))
