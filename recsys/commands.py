"""What the commands of this package share: exit codes, the store's flag, and how they speak.

An exit code says which part went wrong: 0 all is well, 2 the settings or arguments, 3 the data,
4 a gate, 5 the publishing. Results go to standard output, progress and reasons to standard error.
With ``--json`` the last line of the output is one JSON object.
"""

from __future__ import annotations

import argparse
import getpass
import os
import sys
from collections.abc import Callable
from enum import IntEnum
from pathlib import Path
from typing import Any, Final

import msgspec

from recsys.artifact import ArtifactError
from recsys.config import Store
from recsys.store import ModelStore

STORE_VARIABLE: Final = "RECSYS_STORE__PATH"


class Exit(IntEnum):
    """The exit codes of all commands."""

    OK = 0
    BAD_CONFIG = 2
    BAD_DATA = 3
    GATE_FAILED = 4
    PUBLISH_FAILED = 5


def say(*lines: str) -> None:
    """Write lines to the output, at once."""
    sys.stdout.write("".join(line + "\n" for line in lines))
    sys.stdout.flush()


def tell(*lines: str) -> None:
    """Write lines to the error output: progress, and reasons."""
    sys.stderr.write("".join(line + "\n" for line in lines))
    sys.stderr.flush()


def say_json(content: dict[str, Any]) -> None:
    """Write one line of JSON."""
    say(msgspec.json.encode(content, enc_hook=str).decode())


def store_parser(name: str, description: str) -> argparse.ArgumentParser:
    """A parser of a command that works on a store."""
    parser = argparse.ArgumentParser(prog=f"python -m recsys.{name}", description=description)
    parser.add_argument(
        "--store",
        type=Path,
        default=Path(os.environ.get(STORE_VARIABLE) or Store().path),
        help=f"folder of the published models ({STORE_VARIABLE}; default: {Store().path})",
    )
    parser.add_argument("--json", action="store_true", help="the last line is one JSON object")
    return parser


def guarded(command: Callable[[ModelStore], dict[str, Any]], options: argparse.Namespace) -> int:
    """Run a command on its store, and turn its end into an exit code.

    ``command`` returns what ``--json`` shows.
    """
    try:
        result = command(ModelStore(options.store))
    except (ArtifactError, OSError) as error:
        code = getattr(error, "code", "io")
        tell(f"refused ({code}): {error}")
        if options.json:
            say_json({"ok": False, "code": code, "reason": str(error)})
        return Exit.PUBLISH_FAILED
    if options.json:
        say_json({"ok": True, **result})
    return Exit.OK


def whoami() -> str:
    """The name of the account that runs this, for the history."""
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return ""
