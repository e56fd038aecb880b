"""The command line: ``python -m kundali chart|match|...``, text or JSON."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from typing import Final, cast

from kundali.births import BirthRefused
from kundali.commands import chart, festivals, match, muhurta, panchang
from kundali.commands.answer import Command

COMMANDS: Final = tuple(
    cast(Command, module) for module in (chart, match, panchang, festivals, muhurta)
)


def parser() -> argparse.ArgumentParser:
    """Return the parser of all commands."""
    root = argparse.ArgumentParser(
        prog="python -m kundali", description="Birth charts, matching and the calendar of Nepal."
    )
    shared = argparse.ArgumentParser(add_help=False)
    shared.add_argument("--json", action="store_true", help="print JSON instead of text")
    shared.add_argument("--language", choices=("en", "ne"), default="en", help="of the text")
    commands = root.add_subparsers(title="commands", required=True, metavar="COMMAND")
    for command in COMMANDS:
        own = commands.add_parser(
            command.NAME, help=command.HELP, description=command.HELP, parents=[shared]
        )
        command.add_arguments(own)
        own.set_defaults(command=command)
    return root


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; 0 if it answered, 2 if what was asked cannot be answered."""
    given = parser().parse_args(arguments)
    try:
        answer = given.command.run(given)
    except BirthRefused as refusal:
        for fault in refusal.faults:
            values = ", ".join(f"{name} {value}" for name, value in fault.values.items())
            sys.stderr.write(f"{fault.field}: {fault.code.value} {values}".rstrip() + "\n")
        return 2
    except ValueError as refusal:
        sys.stderr.write(f"{refusal}\n")
        return 2
    text = json.dumps(answer.data, ensure_ascii=False, indent=1) if given.json else answer.text
    sys.stdout.write(text.rstrip("\n") + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
