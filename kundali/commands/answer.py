"""What a command gives back, and what it takes alike."""

from __future__ import annotations

import argparse
from datetime import date, time
from typing import Any, NamedTuple, Protocol
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from kundali import bikram_sambat
from kundali.ephemeris import KATHMANDU, Place

NEPAL = "Asia/Kathmandu"


class Answer(NamedTuple):
    """A result for people and for programs."""

    text: str
    data: Any
    """Plain data, see `kundali.plain`."""


class Command(Protocol):
    """A module of this package that is a command."""

    NAME: str
    HELP: str

    def add_arguments(self, parser: argparse.ArgumentParser) -> None:
        """Declare what the command takes beside ``--json`` and ``--language``."""

    def run(self, arguments: argparse.Namespace) -> Answer:
        """Answer.

        Raises
        ------
        ValueError
            If the arguments cannot be answered; the message is for the person.
        """


class Refused(ValueError):
    """The arguments cannot be answered; the message says why."""


def a_day(text: str) -> date:
    """Read a Gregorian date, or a Bikram Sambat one that ends in ``BS``: ``2045-05-12BS``.

    Raises
    ------
    argparse.ArgumentTypeError
        If the text is no date of its calendar.
    """
    try:
        if text.upper().endswith("BS"):
            return bikram_sambat.to_ad(bikram_sambat.parse(text[:-2]))
        return date.fromisoformat(text)
    except ValueError as refusal:
        raise argparse.ArgumentTypeError(f"no date {text!r}: {refusal}") from None


def a_clock(text: str) -> time:
    """Read a time of the day without a zone, such as ``06:05`` or ``06:05:30``.

    Raises
    ------
    argparse.ArgumentTypeError
        If the text is no time of the day.
    """
    try:
        clock = time.fromisoformat(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"no time of the day: {text!r}") from None
    if clock.tzinfo is not None:
        raise argparse.ArgumentTypeError("a local time carries no zone; see --zone")
    return clock


def add_place(parser: argparse.ArgumentParser, prefix: str = "") -> None:
    """Add ``--latitude``, ``--longitude`` and ``--zone``, by default Kathmandu's."""
    group = parser.add_argument_group(f"{prefix.rstrip('-') or 'place'}".strip())
    group.add_argument(
        f"--{prefix}latitude",
        type=float,
        default=KATHMANDU.latitude_degrees,
        metavar="DEGREES",
        help="north positive (default: Kathmandu)",
    )
    group.add_argument(
        f"--{prefix}longitude",
        type=float,
        default=KATHMANDU.longitude_degrees,
        metavar="DEGREES",
        help="east positive (default: Kathmandu)",
    )
    group.add_argument(
        f"--{prefix}zone", default=NEPAL, metavar="NAME", help=f"IANA zone (default: {NEPAL})"
    )


def place_of(arguments: argparse.Namespace) -> Place:
    """Place of the arguments that `add_place` added."""
    return Place(arguments.latitude, arguments.longitude)


def zone_of(arguments: argparse.Namespace) -> ZoneInfo:
    """Zone of the arguments that `add_place` added.

    Raises
    ------
    Refused
        If there is no such zone.
    """
    try:
        return ZoneInfo(arguments.zone)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        raise Refused(f"no time zone is called {arguments.zone!r}") from None
