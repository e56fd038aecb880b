"""Half a minute of chaos; ``python -m tests.chaos --seconds 600`` is the long one.

``CHAOS_SEED`` and ``CHAOS_SECONDS`` choose another run.
"""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests.chaos.play import play

SEED = int(os.environ.get("CHAOS_SEED", "7"))
SECONDS = float(os.environ.get("CHAOS_SECONDS", "30"))


@pytest.mark.timeout(SECONDS + 240)
async def test_what_is_acknowledged_is_seen_once_and_in_order_whatever_breaks(
    tmp_path: Path, mongo_uri: str
) -> None:
    outcome = await play(tmp_path, seed=SEED, seconds=SECONDS, uri=mongo_uri)
    assert not outcome.faults, outcome.complaint()
    # It was chaos indeed.
    assert outcome.stored > 5 * SECONDS, outcome.summary()
    assert outcome.counts["resends"] > 0, outcome.summary()
    assert outcome.counts["visits"] > 100, outcome.summary()
