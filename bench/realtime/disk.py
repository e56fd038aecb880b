"""What the disk itself does while something else is measured on it.

Nothing is acknowledged before it is kept, so no server is prompter than its disk; and a disk that
many machines share pauses when it likes.
"""

from __future__ import annotations

import os
import threading
import time
from pathlib import Path
from types import TracebackType
from typing import Final, Self

_BLOCK: Final = b"x" * 8192


class DiskWatch:
    """Keeps 8 KB in a file of ``folder`` over and over, in a thread, while the context lasts.

    ``took`` is how long each time took, in seconds; ``pause`` lies between two of them.
    """

    def __init__(self, folder: Path, pause: float = 0.02) -> None:
        self.took: list[float] = []
        self._path = folder / "pauses"
        self._pause = pause
        self._is_over = threading.Event()
        self._thread = threading.Thread(target=self._run, name="disk-watch")

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._is_over.set()
        self._thread.join()
        self._path.unlink(missing_ok=True)

    @property
    def longest_ms(self) -> float:
        """The longest time, in milliseconds."""
        return milliseconds(sorted(self.took), 1)

    def _run(self) -> None:
        with self._path.open("wb", buffering=0) as file:
            while not self._is_over.is_set():
                began = time.perf_counter()
                file.write(_BLOCK)
                os.fdatasync(file.fileno())
                self.took.append(time.perf_counter() - began)
                self._is_over.wait(self._pause)


def milliseconds(ascending: list[float], part: float) -> float:
    """The value below which that part of these seconds lies, in milliseconds."""
    if not ascending:
        return float("nan")
    return ascending[min(len(ascending) - 1, int(len(ascending) * part))] * 1e3
