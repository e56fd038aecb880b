"""One-time codes on the terminal, for the demo and for development."""

from __future__ import annotations

import sys
from typing import TextIO


class ConsoleCodeSender:
    """Prints each code as one line, to standard error unless told otherwise.

    It writes past the log on purpose: the log masks codes and phone numbers, and is kept.
    """

    def __init__(self, stream: TextIO | None = None) -> None:
        self._stream = stream

    async def send(self, phone_number: str, code: str, language: str) -> None:
        """Print the code."""
        stream = self._stream or sys.stderr
        stream.write(f"[one-time code] {phone_number} ({language}): {code}\n")
        stream.flush()
