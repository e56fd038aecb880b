"""``python -m tests.chaos --seconds 600 --seed 7``: as long as one likes, with a summary."""

from __future__ import annotations

import argparse
import asyncio
import random
import sys
import tempfile
from pathlib import Path

from tests.chaos.play import play


def main() -> int:
    parser = argparse.ArgumentParser(prog="tests.chaos", description=__doc__)
    parser.add_argument("--seconds", type=float, default=600.0)
    parser.add_argument("--seed", type=int, default=random.randrange(10_000))
    parser.add_argument("--rooms", type=int, default=10)
    parser.add_argument("--quiet", action="store_true", help="only the summary")
    options = parser.parse_args()
    tell(f"seed {options.seed}")
    with tempfile.TemporaryDirectory() as folder:
        outcome = asyncio.run(
            play(
                Path(folder),
                seed=options.seed,
                seconds=options.seconds,
                room_count=options.rooms,
                tell=(lambda line: None) if options.quiet else tell,
            )
        )
    tell(outcome.complaint() if outcome.faults else f"{outcome.summary()}\nall in order")
    return 1 if outcome.faults else 0


def tell(line: str) -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
