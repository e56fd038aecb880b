"""``python -m kundali match``: the eight kootas of two births."""

from __future__ import annotations

import argparse
from typing import Any, Final

from kundali.chart import cast
from kundali.commands.answer import Answer
from kundali.commands.births import add_birth, add_options, birth_of, options_of
from kundali.matching import TOTAL, CoupleMatch, match_charts
from kundali.phrases import title, written
from kundali.plain import plain

NAME: Final = "match"
HELP: Final = "match two births: eight kootas, cancellations, Manglik"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Take two births and the choices of their charts."""
    add_birth(parser, "groom-")
    add_birth(parser, "bride-")
    add_options(parser)
    parser.add_argument(
        "--either-way",
        action="store_true",
        help="the two are not groom and bride: take the mean of both directions",
    )


def run(arguments: argparse.Namespace) -> Answer:
    """Match the two."""
    options = options_of(arguments)
    groom, bride = (cast(birth_of(arguments, who), options) for who in ("groom-", "bride-"))
    found = match_charts(groom, bride, directed=not arguments.either_way)
    return Answer(_text(found, arguments.language), _data(found, groom.engine))


def _data(found: CoupleMatch, engine: str) -> dict[str, Any]:
    return {
        **plain(found),
        "engine": engine,
        "total": found.match.total if found.is_certain else None,
        "of": TOTAL,
        "is_certain": found.is_certain,
        "verdicts": [
            {"code": verdict.value, **plain(verdict.phrase.name)} for verdict in found.verdicts
        ],
        "manglik": {"code": found.manglik.value, **plain(found.manglik.phrase.name)},
    }


def _text(found: CoupleMatch, language: str) -> str:
    lines = []
    # Where a birth time is unknown the rows are those of noon, and only the range is sure.
    for row in found.match.kootas:
        name = title(f"koota.{row.koota.value}.name").in_language(language)
        points = f"{written(row.points, language)}/{written(row.most, language)}"
        lines.append(f"{name:<14} {points:>6}  {row.reason.text(language)}")
        lines += [f"{'':<22} {phrase.text(language)}" for phrase in row.cancelled_by]
    total = written(found.match.total, language)
    if not found.is_certain:
        total = f"{written(found.lowest, language)}–{written(found.highest, language)}"
    lines += ["", f"{total} / {written(TOTAL, language)}  "]
    lines[-1] += " – ".join(verdict.phrase.text(language) for verdict in found.verdicts)
    lines += [phrase.text(language) for phrase in found.match.notes]
    lines.append(found.manglik.phrase.text(language))
    return "\n".join(lines)
