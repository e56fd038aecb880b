"""``python -m recsys.verify [VERSION | --all]``: check versions as a server would, change nothing.

Without a name, the current one. Every byte is hashed and the stored questions are asked again.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Sequence
from typing import Any

from recsys.artifact import ArtifactError
from recsys.bundle import check_answers
from recsys.commands import guarded, say, store_parser
from recsys.store import ModelStore


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; returns the exit status."""
    parser = store_parser("verify", "Check versions as a server would.")
    which = parser.add_mutually_exclusive_group()
    which.add_argument("version", nargs="?", help="default: the current one")
    which.add_argument("--all", action="store_true", help="every version in the store")
    options = parser.parse_args(arguments)

    def command(store: ModelStore) -> dict[str, Any]:
        if options.all:
            names = [listed.version for listed in store.versions()]
        else:
            name = options.version or store.current()
            if name is None:
                raise ArtifactError("missing", f"nothing is published in {store.root}")
            names = [name]
        problems = {name: problem for name in names if (problem := _problem(store, name))}
        if problems:
            raise ArtifactError("verify", f"{len(problems)} of {len(names)} versions are unsound")
        return {"versions": names}

    return guarded(command, options)


def _problem(store: ModelStore, version: str) -> str:
    started = time.perf_counter()
    try:
        artifact = store.load(version)
        check_answers(artifact)
    except ArtifactError as error:
        say(f"{version}: {error.code}: {error}")
        return str(error)
    size = sum(entry.bytes for entry in artifact.manifest.files) / 1e6
    took = time.perf_counter() - started
    questions = len(artifact.manifest.smoke)
    say(f"{version}: sound, {size:.1f} MB and {questions} questions in {took:.2f} s")
    return ""


if __name__ == "__main__":
    sys.exit(main())
