"""What the disk does while something is measured on it."""

from __future__ import annotations

import math
import os
import time
from pathlib import Path

import pytest

from bench.realtime.disk import DiskWatch, milliseconds


def test_a_pause_of_the_disk_is_seen_and_nothing_is_left(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls = 0

    def keep(_file: int) -> None:
        nonlocal calls
        calls += 1
        time.sleep(0.05 if calls == 2 else 0)

    monkeypatch.setattr(os, "fdatasync", keep)
    with DiskWatch(tmp_path, pause=0.001) as disk:
        while calls < 4:
            time.sleep(0.001)
    assert len(disk.took) == calls
    assert disk.took[1] >= 0.05
    assert disk.longest_ms >= 50
    assert list(tmp_path.iterdir()) == []


def test_parts_of_what_was_measured() -> None:
    seconds = [each / 1000 for each in range(1, 101)]
    assert milliseconds(seconds, 0.5) == pytest.approx(51)
    assert milliseconds(seconds, 0.99) == pytest.approx(100)
    assert milliseconds(seconds, 1) == pytest.approx(100)
    assert math.isnan(milliseconds([], 0.5))
