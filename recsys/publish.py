"""``python -m recsys.publish [VERSION]``: check a version and let the servers take it up.

Without a name, the newest version. One that failed a gate needs ``--force`` and a reason; one that
is damaged, or answers its stored questions otherwise than when it was made, is never published.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import Any

from recsys.artifact import ArtifactError
from recsys.bundle import check_answers
from recsys.commands import guarded, say, store_parser, whoami
from recsys.store import ModelStore


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; returns the exit status."""
    parser = store_parser("publish", "Let the servers take up a version.")
    parser.add_argument("version", nargs="?", help="default: the newest")
    parser.add_argument("--force", action="store_true", help="although gates failed")
    parser.add_argument("--reason", default="", help="for the history; needed with --force")
    options = parser.parse_args(arguments)
    if options.force and not options.reason:
        parser.error("--force needs a --reason")

    def command(store: ModelStore) -> dict[str, Any]:
        versions = store.versions()
        if not (options.version or versions):
            raise ArtifactError("missing", f"there is no version in {store.root}")
        entry = store.publish(
            options.version or versions[0].version,
            by=whoami(),
            reason=options.reason,
            forced=options.force,
            check=check_answers,
        )
        say(f"{entry.version} is current; before it: {entry.previous or 'nothing'}")
        return {"version": entry.version, "previous": entry.previous}

    return guarded(command, options)


if __name__ == "__main__":
    sys.exit(main())
