"""Sending tables as CSV, a piece at a time, so that nothing large is held."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable, Iterator, Sequence
from itertools import islice
from typing import Final

from server.handlers.base import ApiHandler
from server.schemas.tables import BOM, Cell, csv_text

_ROWS: Final = 100


class CsvHandler(ApiHandler):
    """A handler whose answer is a file; it writes by itself and returns nothing."""

    async def send_csv(
        self,
        file_name: str,
        head: Sequence[str],
        pieces: AsyncIterator[Sequence[Sequence[Cell]]],
    ) -> None:
        """Write a table as it comes, piece by piece."""
        self.set_header("Content-Type", "text/csv; charset=utf-8")
        self.set_header("Content-Disposition", f'attachment; filename="{file_name}"')
        self.set_header("Cache-Control", "no-store")
        self.set_header("Vary", "Authorization, Cookie")
        self.write(BOM + csv_text([head]))
        async for rows in pieces:
            self.write(csv_text(rows))
            # A slow reader holds the next piece back.
            await self.flush()

    def _send_bytes(self, status: int, body: bytes) -> None:
        """All has been written."""


async def in_pieces(rows: Iterable[Sequence[Cell]]) -> AsyncIterator[Sequence[Sequence[Cell]]]:
    """Rows that are at hand, some at a time."""
    left: Iterator[Sequence[Cell]] = iter(rows)
    while piece := list(islice(left, _ROWS)):
        yield piece
