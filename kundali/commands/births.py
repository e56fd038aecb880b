"""Arguments that describe a birth and the choices of a chart."""

from __future__ import annotations

import argparse
from datetime import timedelta
from enum import Enum

from kundali.births import Birth, BirthInput, resolve
from kundali.commands.answer import a_clock, a_day, add_place
from kundali.divisional import Schools
from kundali.ephemeris import Ayanamsa, Node
from kundali.options import ManglikHouses, Options, YearLength


def add_birth(parser: argparse.ArgumentParser, prefix: str = "") -> None:
    """Add the date, time and place of a birth; ``prefix`` such as ``bride-`` tells two apart."""
    parser.add_argument(
        f"--{prefix}date",
        type=a_day,
        required=True,
        metavar="YYYY-MM-DD[BS]",
        help="Gregorian, or Bikram Sambat with BS at the end",
    )
    parser.add_argument(
        f"--{prefix}time",
        type=a_clock,
        metavar="HH:MM[:SS]",
        help="local civil time; leave it out if it is unknown",
    )
    parser.add_argument(
        f"--{prefix}about",
        type=int,
        default=0,
        metavar="MINUTES",
        help="the time is right within so many minutes",
    )
    parser.add_argument(
        f"--{prefix}second-reading",
        action="store_true",
        help="take the later instant where the clock showed this time twice",
    )
    parser.add_argument(
        f"--{prefix}utc-offset",
        type=float,
        metavar="HOURS",
        help="force local clock minus UTC, against what the zone says",
    )
    add_place(parser, prefix)


def birth_of(arguments: argparse.Namespace, prefix: str = "") -> Birth:
    """Resolve the birth of the arguments that `add_birth` added.

    Raises
    ------
    BirthRefused
        If the arguments describe no birth.
    """
    given = {
        name.removeprefix(prefix.replace("-", "_")): value
        for name, value in vars(arguments).items()
        if name.startswith(prefix.replace("-", "_"))
    }
    offset = given["utc_offset"]
    return resolve(
        BirthInput(
            day=given["date"],
            clock=given["time"],
            latitude_degrees=given["latitude"],
            longitude_degrees=given["longitude"],
            zone=given["zone"],
            is_time_known=given["time"] is not None,
            second_reading=given["second_reading"],
            about_minutes=given["about"],
            forced_offset=None if offset is None else timedelta(hours=offset),
        )
    )


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add the choices of a chart."""
    group = parser.add_argument_group("choices")
    _add_choice(group, "--ayanamsa", Ayanamsa.LAHIRI, "where the sidereal zodiac begins")
    _add_choice(group, "--node", Node.MEAN, "mean or true Rahu")
    _add_choice(group, "--year", YearLength.JULIAN, "length of a dasha's year")
    _add_choice(group, "--manglik", ManglikHouses.NORTH, "houses that make a Manglik")
    group.add_argument(
        "--hora-over-twelve-signs", action="store_true", help="the other school of the D2"
    )
    group.add_argument(
        "--siddhamsa-even-from-leo", action="store_true", help="the other school of the D24"
    )


def _add_choice(group: argparse._ArgumentGroup, flag: str, default: Enum, meaning: str) -> None:
    group.add_argument(
        flag,
        choices=[item.value for item in type(default)],
        default=default.value,
        help=f"{meaning} (default: {default.value})",
    )


def options_of(arguments: argparse.Namespace) -> Options:
    """Return the choices of the arguments that `add_options` added."""
    return Options(
        ayanamsa=Ayanamsa(arguments.ayanamsa),
        node=Node(arguments.node),
        year=YearLength(arguments.year),
        manglik_houses=ManglikHouses(arguments.manglik),
        schools=Schools(
            hora_over_twelve_signs=arguments.hora_over_twelve_signs,
            siddhamsa_even_from_leo=arguments.siddhamsa_even_from_leo,
        ),
    )
