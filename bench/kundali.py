"""What charts and the ritual calendar cost, and how much of it is the Swiss Ephemeris itself.

``python bench/kundali.py [--seconds 2]``. Each row is run again and again for so long; time is
processor time, so that neighbours count little. ``ratio`` is the time of a row over the part of it
spent inside pyswisseph, found by running the same calls of the library with the same arguments and
nothing around them.
"""

# ruff: noqa: E402 - the path is set before the package is imported

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import date, datetime, timedelta
from pathlib import Path
from typing import Any, NamedTuple

# Run by its path, the folder of this file comes first and this file would stand for the package.
sys.path[0] = str(Path(__file__).resolve().parent.parent)

import swisseph as swe

from kundali import festivals, muhurta, panchang
from kundali.births import Birth, BirthInput, resolve
from kundali.chart import Chart, cast
from kundali.dasha import dasha
from kundali.dosha import doshas
from kundali.matching import match_charts
from kundali.reading import notices, predictions
from kundali.sky import DRIK
from kundali.yogas import yogas

_LIBRARY = (
    "calc_ut",
    "rise_trans",
    "houses_ex",
    "get_ayanamsa_ex_ut",
    "set_sid_mode",
    "sol_eclipse_when_loc",
    "lun_eclipse_when_loc",
)

Call = tuple[Callable[..., Any], tuple[Any, ...]]


class Row(NamedTuple):
    """One thing measured, in seconds of processor time for one run."""

    name: str
    each: float
    inside: float


@contextmanager
def recorded() -> Iterator[list[Call]]:
    """Record every call into pyswisseph while the context lasts."""
    calls: list[Call] = []
    kept = {name: getattr(swe, name) for name in _LIBRARY}

    def recorder(function: Callable[..., Any]) -> Callable[..., Any]:
        def record(*arguments: Any) -> Any:
            calls.append((function, arguments))
            return function(*arguments)

        return record

    for name, function in kept.items():
        setattr(swe, name, recorder(function))
    try:
        yield calls
    finally:
        for name, function in kept.items():
            setattr(swe, name, function)


def timed(work: Callable[[], object], seconds: float) -> float:
    """Processor seconds of one run, over runs that take this long together."""
    work()
    runs, started = 0, time.process_time()
    while (spent := time.process_time() - started) < seconds or runs < 3:
        work()
        runs += 1
    return spent / runs


def measure(name: str, work: Callable[[], object], seconds: float, parts: int = 1) -> Row:
    """Measure one row; ``parts`` is how many of the thing one run makes."""
    with recorded() as calls:
        work()

    def replay() -> None:
        for function, arguments in calls:
            function(*arguments)

    inside = timed(replay, seconds) if calls else 0.0
    return Row(name, timed(work, seconds) / parts, inside / parts)


_CHARTS = 100


def given_births() -> list[BirthInput]:
    """Births that share no instant: the library keeps the last one it computed."""
    first = datetime(1950, 1, 1, 4, 10)  # noqa: DTZ001 - a local clock
    moments = [first + timedelta(days=271.3 * number) for number in range(_CHARTS)]
    return [BirthInput(at.date(), at.time(), 27.7172, 85.324, "Asia/Kathmandu") for at in moments]


def whole(birth: Birth) -> object:
    """All that a chart's page shows."""
    chart = cast(birth)
    return (
        dasha(chart),
        yogas(chart),
        doshas(chart),
        predictions(chart),
        notices(chart),
    )


def chart_rows(seconds: float) -> Iterator[Row]:
    """Rows of births, charts and matching."""
    given = given_births()
    births = [resolve(one) for one in given]
    charts = [cast(birth) for birth in births]

    def chart_and_dasha(birth: Birth) -> object:
        chart: Chart = cast(birth)
        periods = dasha(chart)
        return periods and periods.at(birth.julian_day + 9000.0)

    rows: tuple[tuple[str, Callable[[], object]], ...] = (
        ("chart", lambda: [cast(birth) for birth in births]),
        ("chart and dasha", lambda: [chart_and_dasha(birth) for birth in births]),
        ("birth resolved and chart", lambda: [cast(resolve(one)) for one in given]),
        ("chart, yogas, doshas, words", lambda: [whole(birth) for birth in births]),
        ("match of two charts", lambda: [match_charts(charts[0], other) for other in charts]),
    )
    for name, work in rows:
        yield measure(name, work, seconds, _CHARTS)


def calendar_rows(seconds: float) -> Iterator[Row]:
    """Rows of the ritual calendar."""
    yield measure("panchang, a month", lambda: panchang.panchang_of_bs_month(2082, 6), seconds)
    yield measure(
        "panchang, a month, drik",
        lambda: panchang.panchang_of_bs_month(2082, 6, sky=DRIK),
        seconds,
    )
    day = date(2025, 9, 22)
    yield measure("panchang, a day", lambda: panchang.panchang(day), seconds)
    yield measure("festivals, a year", lambda: festivals.festivals_of_year(2025), seconds)
    first, last = date(2026, 4, 14), date(2026, 7, 14)
    yield measure(
        "muhurta, three months",
        lambda: muhurta.rank_dates("vivah", first, last, persons=[muhurta.Person("-", 4, 2)]),
        seconds,
    )


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=2.0, help="for each row, twice")
    seconds = parser.parse_args().seconds
    print(f"{'':<28}{'ms each':>10}{'a second':>10}{'in swe ms':>11}{'ratio':>7}")
    for row in (*chart_rows(seconds), *calendar_rows(seconds)):
        ratio = f"{row.each / row.inside:.2f}" if row.inside else "-"
        print(
            f"{row.name:<28}{row.each * 1e3:>10.3f}{1 / row.each:>10.0f}"
            f"{row.inside * 1e3:>11.3f}{ratio:>7}"
        )


if __name__ == "__main__":
    main()
