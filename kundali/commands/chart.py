"""``python -m kundali chart``: a birth chart."""

from __future__ import annotations

import argparse
from datetime import UTC, datetime, time
from typing import Any, Final

from kundali.chart import Almanac, Chart, Point, almanac, cast
from kundali.commands.answer import Answer, a_day
from kundali.commands.births import add_birth, add_options, birth_of, options_of
from kundali.dasha import Dasha, Period, dasha, subperiods
from kundali.divisional import Varga
from kundali.dosha import doshas
from kundali.julian import julian_day
from kundali.names import GRAHAS, LAGNA, RASHIS, TITHIS, VARAS, digits
from kundali.phrases import title
from kundali.plain import plain
from kundali.reading import notices, predictions
from kundali.svg import Style, caption, draw
from kundali.yogas import yogas
from kundali.zodiac import NAKSHATRA_TABLE

NAME: Final = "chart"
HELP: Final = "the chart of a birth: grahas, lagna, vargas, dasha, yogas, doshas, a reading"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Take one birth and the choices of a chart."""
    add_birth(parser)
    add_options(parser)
    parser.add_argument(
        "--at", type=a_day, metavar="YYYY-MM-DD[BS]", help="read the running periods for this day"
    )
    parser.add_argument(
        "--svg", choices=[style.value for style in Style], help="print the drawing instead"
    )
    parser.add_argument(
        "--varga", choices=[varga.name for varga in Varga], default="D1", help="chart to draw"
    )


def run(arguments: argparse.Namespace) -> Answer:
    """Cast the chart."""
    chart = cast(birth_of(arguments), options_of(arguments))
    moment = None
    if arguments.at is not None:
        moment = julian_day(datetime.combine(arguments.at, time(12), UTC))
    text = _text(chart, moment, arguments.language)
    if arguments.svg:
        style, varga = Style(arguments.svg), Varga[arguments.varga]
        text = draw(chart, style, arguments.language, varga, standalone=True)
    return Answer(text, _data(chart, moment))


def _data(chart: Chart, moment: float | None) -> dict[str, Any]:
    periods = dasha(chart)
    return {
        **plain(chart),
        "almanac": plain(almanac(chart)),
        "dasha": plain(periods),
        "antardashas": plain(_antardashas(periods)),
        "yogas": [{**plain(yoga), "name": plain(yoga.name)} for yoga in yogas(chart)],
        "doshas": plain(doshas(chart)),
        "predictions": plain(predictions(chart, moment)),
        "notices": plain(notices(chart)),
    }


def _antardashas(periods: Dasha | None) -> tuple[Period, ...]:
    if periods is None:
        return ()
    return tuple(sub for period in periods.mahadashas for sub in subperiods(period))


def _text(chart: Chart, moment: float | None, language: str) -> str:
    lines = [*_heading(chart, language), "", *_rows(chart, language)]
    periods = dasha(chart)
    if periods is not None:
        lines += ["", *_dasha_rows(chart, periods, language)]
    section = ""
    for prediction in predictions(chart, moment):
        heading = title(f"section.{prediction.section.value}").in_language(language)
        if heading != section:
            section = heading
            lines += ["", section]
        lines.append(f"  {prediction.text.text(language)}")
        lines += [f"    - {cause.text(language)}" for cause in prediction.causes]
    lines += ["", *(notice.text(language) for notice in notices(chart))]
    return "\n".join(lines)


def _rows(chart: Chart, language: str) -> list[str]:
    lines = []
    if chart.lagna is not None:
        lines.append(_row(LAGNA.in_language(language), chart.lagna.at, "", language))
    for placement in chart.placements:
        marks = "".join(
            mark
            for mark, holds in (
                (" R", placement.is_retrograde),
                (" C", placement.is_combust),
                (" V", placement.is_vargottama),
            )
            if holds
        )
        name = GRAHAS[placement.graha].in_language(language)
        lines.append(_row(name, placement.at, f"{placement.dignity.value}{marks}", language))
    return lines


def _dasha_rows(chart: Chart, periods: Dasha, language: str) -> list[str]:
    lines = [f"Vimshottari, {title(f'year.{periods.year.value}').in_language(language)}"]
    for period in periods.mahadashas:
        start = chart.birth.to_local(max(period.start, periods.birth)).date()
        name = GRAHAS[period.lord].in_language(language)
        lines.append(f"  {digits(start.isoformat(), language)}  {name}")
    return lines


def _heading(chart: Chart, language: str) -> list[str]:
    birth, at = chart.birth, chart.birth.place
    return [
        f"{digits(birth.local.isoformat(sep=' '), language)} {birth.zone}"
        f" (UTC {birth.utc:%Y-%m-%d %H:%M:%S})",
        digits(f"{at.latitude_degrees:.4f}, {at.longitude_degrees:.4f}", language),
        f"{caption(chart, language)}, drik: {chart.engine}",
        _day_text(almanac(chart), language),
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
