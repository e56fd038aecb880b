"""``python -m recsys.list``: the versions in a store, newest first, and which one serves."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import Any

from recsys.commands import guarded, say, store_parser
from recsys.store import Listed, ModelStore


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; returns the exit status."""
    parser = store_parser("list", "The versions in a store, newest first.")
    parser.add_argument("--history", action="store_true", help="also who published what")
    options = parser.parse_args(arguments)

    def command(store: ModelStore) -> dict[str, Any]:
        listed = store.versions()
        if not options.json:
            say(*(_line(each) for each in listed) if listed else ["no versions"])
        history = store.history() if options.history else []
        if not options.json:
            for entry in history:
                how = f"{entry.action}, forced" if entry.forced else entry.action
                say(f"{entry.at} {entry.version} {how} by {entry.by or 'unknown'} {entry.reason}")
        return {
            "current": next((each.version for each in listed if each.is_current), None),
            "versions": [_as_dict(each) for each in listed],
            "history": history,
        }

    return guarded(command, options)


def _line(each: Listed) -> str:
    mark = "*" if each.is_current else " "
    if each.manifest is None:
        return f"{mark} {each.version}  unsound: {each.problem}"
    failed = each.manifest.gates_failed
    verdict = f"failed: {', '.join(failed)}" if failed else "gates held"
    size = sum(entry.bytes for entry in each.manifest.files) / 1e6
    kinds = ", ".join(
        f"{task} {model.get('model')}" for task, model in each.manifest.models.items()
    )
    return f"{mark} {each.version}  {size:7.1f} MB  {verdict}  {kinds}"


def _as_dict(each: Listed) -> dict[str, Any]:
    manifest = each.manifest
    return {
        "version": each.version,
        "is_current": each.is_current,
        "problem": each.problem,
        "created_at": manifest.created_at if manifest else None,
        "gates_failed": manifest.gates_failed if manifest else None,
        "metrics": manifest.metrics if manifest else None,
    }


if __name__ == "__main__":
    sys.exit(main())
