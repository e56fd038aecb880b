"""``python -m recsys.rollback [--to VERSION]``: let the servers go back to an earlier version.

Without a name, the one that served before. It is checked like any that is published; one that never
served and failed a gate needs ``--force`` and a reason.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import Any

from recsys.bundle import check_answers
from recsys.commands import guarded, say, store_parser, whoami
from recsys.store import ModelStore


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; returns the exit status."""
    parser = store_parser("rollback", "Let the servers go back to an earlier version.")
    parser.add_argument("--to", metavar="VERSION", help="default: what served before")
    parser.add_argument("--force", action="store_true", help="although gates failed")
    parser.add_argument("--reason", default="", help="for the history; needed with --force")
    options = parser.parse_args(arguments)
    if options.force and not options.reason:
        parser.error("--force needs a --reason")

    def command(store: ModelStore) -> dict[str, Any]:
        entry = store.roll_back(
            options.to,
            by=whoami(),
            reason=options.reason,
            forced=options.force,
            check=check_answers,
        )
        say(f"{entry.version} is current again; before it: {entry.previous or 'nothing'}")
        return {"version": entry.version, "previous": entry.previous}

    return guarded(command, options)


if __name__ == "__main__":
    sys.exit(main())
