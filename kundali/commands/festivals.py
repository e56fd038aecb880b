"""``python -m kundali festivals``: the festivals of a year."""

from __future__ import annotations

import argparse
import tomllib
from datetime import date, datetime
from pathlib import Path
from typing import Any, Final

from kundali.commands.answer import Answer, Refused, a_day
from kundali.commands.panchang import add_sky, both_dates, sky_of
from kundali.festivals import (
    Basis,
    Festival,
    festival_names,
    festivals_between,
    festivals_of_bs_year,
    festivals_of_year,
)
from kundali.names import Name, digits
from kundali.plain import plain
from kundali.solar_day import NEPAL

NAME: Final = "festivals"
HELP: Final = "the festivals of Nepal in a year, 1950 to 2100"

_BASIS: Final = {
    Basis.PUBLISHED: Name("published", "प्रकाशित"),
    Basis.COMPUTED: Name("computed", "गणना"),
}
_YEARS_BACK: Final = 5
"""What `recsys.train` learns from: no town's bookings go back further."""
_PROVISIONAL: Final = Name("provisional", "अस्थायी")
_VAISHNAVA: Final = Name("Vaishnavas", "वैष्णव")
_RULE: Final = Name("by the rule", "नियमअनुसार")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Take a year of either calendar, or two days, and a sky."""
    when = parser.add_mutually_exclusive_group()
    when.add_argument("--year", type=int, help="Gregorian (default: this one)")
    when.add_argument("--bs-year", type=int, help="Bikram Sambat")
    when.add_argument(
        "--from",
        dest="first",
        type=a_day,
        metavar="YYYY-MM-DD[BS]",
        help="first day; needs --to",
    )
    parser.add_argument("--to", dest="last", type=a_day, metavar="YYYY-MM-DD[BS]", help="last day")
    parser.add_argument(
        "--pujas",
        type=Path,
        metavar="FILE",
        help="tell the days of the pujas that this table (config/festivals.toml) puts on festivals,"
        f" by default from {_YEARS_BACK} years back to the end of the next year; with --json it is"
        " what recsys.train --festivals reads",
    )
    add_sky(parser)


def run(arguments: argparse.Namespace) -> Answer:
    """Compute the festivals."""
    sky = sky_of(arguments)
    if (arguments.first is None) != (arguments.last is None):
        raise Refused("--from and --to belong together")
    if arguments.first is not None:
        found = festivals_between(arguments.first, arguments.last, sky)
    elif arguments.bs_year is not None:
        found = festivals_of_bs_year(arguments.bs_year, sky)
    elif arguments.year is not None or arguments.pujas is None:
        year = datetime.now(NEPAL).year if arguments.year is None else arguments.year
        found = festivals_of_year(year, sky)
    else:
        year = datetime.now(NEPAL).year
        found = festivals_between(date(year - _YEARS_BACK, 1, 1), date(year + 1, 12, 31), sky)
    if arguments.pujas is not None:
        return _of_pujas(found, _pujas(arguments.pujas))
    text = "\n".join(_line(each, arguments.language) for each in found)
    return Answer(text or "-", plain(found))


def _pujas(path: Path) -> list[tuple[str, str]]:
    """Read which puja is held on which festival."""
    try:
        rows = tomllib.loads(path.read_text(encoding="utf-8"))["puja_at"]
        pairs = [(str(row["festival"]), str(row["puja"])) for row in rows]
    except (OSError, tomllib.TOMLDecodeError, KeyError, TypeError) as error:
        raise Refused(f"{path} is no table of pujas at festivals: {error}") from error
    if unknown := {festival for festival, _ in pairs} - festival_names().keys():
        raise Refused(f"{path}: no such festivals: {', '.join(sorted(unknown))}")
    return pairs


def _of_pujas(found: tuple[Festival, ...], pujas: list[tuple[str, str]]) -> Answer:
    days: list[dict[str, Any]] = [
        {
            "puja_id": puja,
            "day": each.day.isoformat(),
            "name": each.name.en,
            "name_ne": each.name.ne,
        }
        for each in found
        for festival, puja in pujas
        if festival == each.key
    ]
    text = "\n".join(f"{each['day']}  {each['puja_id']}  {each['name']}" for each in days)
    return Answer(text or "-", days)


def _line(festival: Festival, language: str) -> str:
    notes = [_BASIS[festival.basis].in_language(language)]
    if festival.is_provisional:
        notes.append(_PROVISIONAL.in_language(language))
    if festival.vaishnava:
        notes.append(f"{_VAISHNAVA.in_language(language)} {digits(festival.vaishnava, language)}")
    if festival.computed != festival.day:
        notes.append(f"{_RULE.in_language(language)} {digits(festival.computed, language)}")
    notes += [dispute.ne if language == "ne" else dispute.en for dispute in festival.disputes]
    when = both_dates(festival.day, festival.bs, language)
    return f"{when}  {festival.name.in_language(language)}  [{'; '.join(notes)}]"
