"""``python -m server.sandbox``: the sandbox alone, as ``pandityatra sandbox`` starts it too."""

from __future__ import annotations

import argparse
import asyncio
import sys

from server.sandbox.app import run
from server.sandbox.arguments import add_arguments


def main() -> int:
    """Run until it is told to end; returns the process's exit status."""
    parser = argparse.ArgumentParser(
        prog="python -m server.sandbox", description="Payment gateways without real money."
    )
    add_arguments(parser)
    try:
        asyncio.run(run(parser.parse_args()))
    except OSError as error:
        print(f"Cannot start: {error}", file=sys.stderr)  # noqa: T201
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
