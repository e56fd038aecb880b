"""``python -m kundali muhurta``: the best days and hours for a rite, and the days of a shraddha."""

from __future__ import annotations

import argparse
from datetime import date, datetime, timedelta
from typing import Final

from kundali.commands.answer import Answer, Refused, a_day, add_place, place_of, zone_of
from kundali.commands.panchang import SKIES, add_sky, both_dates, sky_of
from kundali.muhurta import Muhurta, Person, Reason, ShraddhaDay, rank_dates, rites, shraddha_days
from kundali.names import Name, digits
from kundali.plain import plain
from kundali.solar_day import NEPAL

NAME: Final = "muhurta"
HELP: Final = "the best days and hours for a rite, with reasons for and against"

_SHRADDHA: Final = "shraddha"
_DAYS: Final = 90
_ANCESTORS: Final = Name("Sora Shraddha", "सोह्र श्राद्ध")
_YEARLY: Final = Name("yearly shraddha", "वार्षिक श्राद्ध")


def a_person(text: str) -> Person:
    """Read ``NAME:NAKSHATRA:RASHI``, the Moon's at birth, each counted from 1.

    Raises
    ------
    argparse.ArgumentTypeError
        If the text is not in this form, or counts beyond the circle.
    """
    name, nakshatra, rashi = (*text.split(":"), "", "")[:3]
    try:
        return Person(name, int(nakshatra), int(rashi))
    except ValueError as refusal:
        raise argparse.ArgumentTypeError(
            f"no person {text!r}, write NAME:NAKSHATRA:RASHI: {refusal}"
        ) from None


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Take a rite, two days, the persons and a place."""
    parser.add_argument("rite", choices=[*(each.key for each in rites()), _SHRADDHA])
    parser.add_argument(
        "--from",
        dest="first",
        type=a_day,
        metavar="YYYY-MM-DD[BS]",
        help="first day (default: today in Nepal)",
    )
    parser.add_argument(
        "--to",
        dest="last",
        type=a_day,
        metavar="YYYY-MM-DD[BS]",
        help=f"last day (default: {_DAYS} days later)",
    )
    parser.add_argument(
        "--person",
        action="append",
        default=[],
        type=a_person,
        metavar="NAME:NAKSHATRA:RASHI",
        help="whom the rite is for, by the Moon at birth; may be given again",
    )
    parser.add_argument("--most", type=int, default=10, help="days to tell (default: 10)")
    death = parser.add_argument_group("shraddha: the lunar day of the death")
    death.add_argument("--lunar-month", type=int, metavar="1..12", help="amanta, from Chaitra")
    death.add_argument("--tithi", type=int, metavar="1..30", help="from Shukla Pratipada")
    add_place(parser)
    add_sky(parser)


def run(arguments: argparse.Namespace) -> Answer:
    """Rank the days."""
    first = arguments.first or datetime.now(NEPAL).date()
    last = arguments.last or first + timedelta(days=_DAYS)
    if arguments.rite == _SHRADDHA:
        return _shraddha(arguments, first, last)
    found = rank_dates(
        arguments.rite,
        first,
        last,
        place=place_of(arguments),
        zone=zone_of(arguments),
        persons=arguments.person,
        most=arguments.most,
        sky=sky_of(arguments),
    )
    text = "\n\n".join(_text(each, arguments.language) for each in found)
    return Answer(text or "-", plain(found))


def _shraddha(arguments: argparse.Namespace, first: date, last: date) -> Answer:
    if arguments.lunar_month is None or arguments.tithi is None:
        raise Refused("a shraddha needs --lunar-month and --tithi of the death")
    found = shraddha_days(
        arguments.lunar_month,
        arguments.tithi,
        first,
        last,
        place=place_of(arguments),
        zone=zone_of(arguments),
        sky=sky_of(arguments),
    )
    lines = [_shraddha_line(each, arguments.language) for each in found]
    return Answer("\n".join(lines) or "-", plain(found))


def _shraddha_line(day: ShraddhaDay, language: str) -> str:
    kind = _ANCESTORS if day.is_pitri_paksha else _YEARLY
    return f"{both_dates(day.day, day.bs, language)}  {kind.in_language(language)}"


def _text(muhurta: Muhurta, language: str) -> str:
    hours = digits(f"{muhurta.start:%H:%M}-{muhurta.end:%H:%M}", language)
    score = digits(muhurta.score, language)
    when = both_dates(muhurta.day, muhurta.bs, language)
    sky = SKIES[muhurta.siddhanta].in_language(language)
    lines = [f"{when}  {hours}  {score}/{digits(100, language)}  ({sky})"]
    lines += [f"  + {_points(each, language)}" for each in muhurta.reasons_for]
    lines += [f"  - {_points(each, language)}" for each in muhurta.reasons_against]
    lines += [f"  ! {each.text.in_language(language)}" for each in muhurta.warnings]
    return "\n".join(lines)


def _points(reason: Reason, language: str) -> str:
    points = digits(f"{reason.points}/{reason.most}", language)
    return f"{reason.text.in_language(language)} ({points})"
