"""``python -m kundali chart``: a birth chart."""

from __future__ import annotations

import argparse
from typing import Any, Final

from kundali.chart import Almanac, Chart, Point, almanac, cast
from kundali.commands.answer import Answer
from kundali.commands.births import add_birth, add_options, birth_of, options_of
from kundali.dasha import Dasha, Period, dasha, subperiods
from kundali.names import (
    GRAHAS,
    LAGNA,
    RASHIS,
    TITHIS,
    VARAS,
    digits,
)
from kundali.plain import plain
from kundali.zodiac import NAKSHATRA_TABLE

NAME: Final = "chart"
HELP: Final = "the chart of a birth: grahas, lagna, vargas, dasha"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Take one birth and the choices of a chart."""
    add_birth(parser)
    add_options(parser)


def run(arguments: argparse.Namespace) -> Answer:
    """Cast the chart."""
    chart = cast(birth_of(arguments), options_of(arguments))
    return Answer(_text(chart, arguments.language), _data(chart))


def _data(chart: Chart) -> dict[str, Any]:
    periods = dasha(chart)
    return {
        **plain(chart),
        "almanac": plain(almanac(chart)),
        "dasha": plain(periods),
        "antardashas": plain(_antardashas(periods)),
    }


def _antardashas(periods: Dasha | None) -> tuple[Period, ...]:
    if periods is None:
        return ()
    return tuple(sub for period in periods.mahadashas for sub in subperiods(period))


def _text(chart: Chart, language: str) -> str:
    lines = [*_heading(chart, language), ""]
    if chart.lagna is not None:
        lines.append(_row(LAGNA.in_language(language), chart.lagna.at, "", language))
    for placement in chart.placements:
        name = GRAHAS[placement.graha].in_language(language)
        marks = "".join(
            mark
            for mark, holds in (
                (" R", placement.is_retrograde),
                (" C", placement.is_combust),
                (" V", placement.is_vargottama),
            )
            if holds
        )
        note = f"{placement.dignity.value}{marks}"
        lines.append(_row(name, placement.at, note, language))
    periods = dasha(chart)
    if periods is not None:
        lines += ["", f"Vimshottari ({periods.year.days} days)"]
        for period in periods.mahadashas:
            start = chart.birth.to_local(max(period.start, periods.birth)).date()
            name = GRAHAS[period.lord].in_language(language)
            lines.append(f"  {digits(start.isoformat(), language)}  {name}")
    return "\n".join(lines)


def _heading(chart: Chart, language: str) -> list[str]:
    birth, day = chart.birth, almanac(chart)
    at = birth.place
    return [
        f"{digits(birth.local.isoformat(sep=' '), language)} {birth.zone}"
        f" (UTC {birth.utc:%Y-%m-%d %H:%M:%S})"
        + ("" if birth.is_time_known else ", time unknown: noon"),
        digits(f"{at.latitude_degrees:.4f}, {at.longitude_degrees:.4f}", language),
        f"{chart.options.ayanamsa.value} {digits(f'{chart.ayanamsa_degrees:.4f}', language)}"
        f", {chart.options.node.value} node, {chart.engine}",
        _day_text(day, language),
    ]


def _day_text(day: Almanac, language: str) -> str:
    weekday = VARAS[day.civil_weekday if day.vara is None else day.vara]
    return f"{TITHIS[day.tithi].in_language(language)}, {weekday.in_language(language)}"


def _row(name: str, at: Point, note: str, language: str) -> str:
    minutes = int(at.degrees * 60)
    place = digits(f"{minutes // 60:02d}°{minutes % 60:02d}'", language)
    mansion = NAKSHATRA_TABLE[at.nakshatra].name.in_language(language)
    sign = RASHIS[at.sign].in_language(language)
    return f"  {name:<12} {sign:<12} {place}  {mansion} {digits(at.pada + 1, language)}  {note}"
