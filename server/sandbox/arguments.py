"""The command line of the sandbox; imports nothing of it, so that other commands start quickly."""

from __future__ import annotations

import argparse
from typing import Final

DEFAULT_PORT: Final = 8890


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add what the sandbox wants to be told; it has no other settings."""
    parser.add_argument("--port", type=int, default=DEFAULT_PORT, help="0: a free one")
    parser.add_argument(
        "--site",
        default="",
        metavar="URL",
        help="where PanditYatra answers: Stripe's webhooks and connectIPS's returns go there",
    )
    parser.add_argument("--stripe-webhook", default="", metavar="URL", help="instead of the site's")
    parser.add_argument("--stripe-webhook-secret", default="", help="what webhooks are signed with")
    parser.add_argument("--connectips-success", default="", metavar="URL", help="of the site else")
    parser.add_argument("--connectips-failure", default="", metavar="URL", help="of the site else")
    parser.add_argument(
        "--write-settings",
        default="",
        metavar="FOLDER",
        help="write settings.toml there, for a server whose payments shall come here "
        "(PANDITYATRA_CONFIG=FOLDER/settings.toml), and the key of connectIPS",
    )
