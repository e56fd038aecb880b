"""Charts drawn as SVG: the north-Indian diamond, as Nepal draws it, and the south-Indian square.

North: the houses stand still, the lagna on top, and each bears the number of its sign. South: the
signs stand still, Aries second in the top row, and the lagna's sign is marked. Without a birth
time the north-Indian chart is drawn from the Moon's sign and says so.

The drawing carries a title and a description for those who hear it. Its colours are CSS variables
that fall back to the colour of the text around it, so that it follows a dark page:
``--kundali-line``, ``--kundali-graha``, ``--kundali-sign``, ``--kundali-lagna`` and
``--kundali-ground``. It has no styles of its own unless it stands alone.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Final, NamedTuple
from xml.sax.saxutils import escape, quoteattr

from kundali.chart import Chart
from kundali.divisional import Varga
from kundali.ephemeris import Graha
from kundali.names import GRAHAS, RASHIS, Name, digits
from kundali.phrases import Phrase, ordinal, title, written

SIDE: Final = 400
"""Width and height of the drawing in its own units."""


class Style(Enum):
    """How the chart is drawn."""

    NORTH = "north"
    SOUTH = "south"


class NotDrawable(ValueError):
    """The chart does not hold what was asked: a finer varga without a birth time."""


SHORT: Final = (
    Name("Su", "सू"),
    Name("Mo", "चं"),
    Name("Ma", "मं"),
    Name("Me", "बु"),
    Name("Ju", "बृ"),
    Name("Ve", "शु"),
    Name("Sa", "श"),
    Name("Ra", "रा"),
    Name("Ke", "के"),
)
"""What stands for each graha in the drawing."""
_LAGNA_MARK: Final = Name("As", "ल")
_RETROGRADE_MARK: Final = Name("R", "व")


class _Label(NamedTuple):
    text: str
    note: str
    """Degrees and marks, written smaller."""


@dataclass(frozen=True, slots=True)
class _Cell:
    """One house or sign of the drawing."""

    sign: int
    house: int | None
    grahas: tuple[Graha, ...]
    labels: tuple[_Label, ...]


def draw(
    chart: Chart,
    style: Style = Style.NORTH,
    language: str = "en",
    varga: Varga = Varga.D1,
    *,
    name: str = "",
    element_id: str = "kundali",
    standalone: bool = False,
) -> str:
    """Draw a chart.

    Parameters
    ----------
    chart
        The chart.
    style, language, varga
        What is drawn and for whom; ``ne`` writes grahas and digits in Devanagari.
    name
        Whose chart it is, for the title; may be empty.
    element_id
        Id of the drawing; unique within the page that it stands in.
    standalone
        Add colours of its own for a file that no page surrounds.

    Raises
    ------
    NotDrawable
        If the chart has no such varga because the birth time is unknown.
    """
    cells = _cells(chart, varga, language)
    heading = _heading(chart, varga, language, name)
    draw_cells = _north if style is Style.NORTH else _south
    lines = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {SIDE} {SIDE}" role="img"'
        f" id={quoteattr(element_id)} lang={quoteattr(language)}"
        f" aria-labelledby={quoteattr(f'{element_id}-title {element_id}-desc')}"
        f" class={quoteattr(f'kundali kundali-{style.value}')}"
        f' font-family="var(--kundali-font, sans-serif)" text-anchor="middle">',
        f"<title id={quoteattr(f'{element_id}-title')}>{escape(heading)}</title>",
        f"<desc id={quoteattr(f'{element_id}-desc')}>"
        f"{escape(_description(cells, language))}</desc>",
        _STANDALONE if standalone else "",
        *draw_cells(cells, chart, language, varga),
        "</svg>",
    ]
    return "\n".join(line for line in lines if line) + "\n"


_STANDALONE: Final = (
    "<style>:root{color:#1f1b16;background:#fffdf8}"
    "@media(prefers-color-scheme:dark){:root{color:#f3ede2;background:#17140f}}</style>"
)


def varga_name(varga: Varga) -> Name:
    """Traditional name of a divisional chart."""
    return title(f"varga.{varga.name.lower()}")


def _heading(chart: Chart, varga: Varga, language: str, name: str) -> str:
    parts = [name, title("svg.title").in_language(language)]
    parts.append(varga_name(varga).in_language(language))
    if not chart.is_time_known:
        parts.append(title("svg.from_moon").in_language(language))
    return ", ".join(part for part in parts if part)


def _cells(chart: Chart, varga: Varga, language: str) -> tuple[_Cell, ...]:
    """Cells in the order of the signs from Aries on."""
    if any(varga not in placement.vargas for placement in chart.placements):
        raise NotDrawable(f"{varga.name} needs a birth time")
    signs = [placement.vargas[varga] for placement in chart.placements]
    first = signs[Graha.MOON] if chart.lagna is None else chart.lagna.vargas[varga]
    cells = []
    for sign in range(12):
        grahas = tuple(graha for graha in Graha if signs[graha] == sign)
        cells.append(
            _Cell(
                sign=sign,
                house=(sign - first) % 12 + 1,
                grahas=grahas,
                labels=tuple(_label(chart, graha, varga, language) for graha in grahas),
            )
        )
    return tuple(cells)


def _label(chart: Chart, graha: Graha, varga: Varga, language: str) -> _Label:
    placement = chart[graha]
    note = digits(f"{int(placement.at.degrees)}°", language) if varga is Varga.D1 else ""
    # The mean nodes always move back: a mark on them would tell nothing.
    if placement.is_retrograde and graha < Graha.RAHU:
        note += _RETROGRADE_MARK.in_language(language)
    return _Label(SHORT[graha].in_language(language), note)


def _description(cells: Sequence[_Cell], language: str) -> str:
    sentences = []
    for cell in sorted(cells, key=lambda cell: cell.house or 0):
        values = {"house": ordinal(cell.house or 1), "sign": RASHIS[cell.sign]}
        if cell.grahas:
            names = tuple(GRAHAS[graha] for graha in cell.grahas)
            phrase = Phrase("svg.house", {**values, "grahas": names})
        else:
            phrase = Phrase("svg.empty", values)
        sentences.append(phrase.text(language))
    return " ".join(sentences)


# The twelve fields of the northern chart, house by house: where its grahas and its sign's number
# stand, and how it lies: a diamond, a flat triangle at the top or bottom, a tall one at a side.
_NORTH_FIELDS: Final = (
    ("diamond", (200, 96), (200, 184)),
    ("flat", (100, 34), (100, 92)),
    ("tall", (36, 100), (86, 105)),
    ("diamond", (96, 200), (184, 205)),
    ("tall", (36, 300), (86, 305)),
    ("flat_below", (100, 366), (100, 318)),
    ("diamond", (200, 304), (200, 226)),
    ("flat_below", (300, 366), (300, 318)),
    ("tall", (364, 300), (314, 305)),
    ("diamond", (304, 200), (216, 205)),
    ("tall", (364, 100), (314, 105)),
    ("flat", (300, 34), (300, 92)),
)
_MOST_IN_ROW: Final = {
    "diamond": (3, 3, 3),
    "flat": (3, 2, 2, 1),
    "flat_below": (1, 2, 2, 3),
    "tall": (1,) * 8,
    "square": (2,) * 4,
}
_LABEL_WIDTH: Final = {"diamond": 54, "flat": 50, "flat_below": 50, "tall": 50, "square": 46}
_CROWDED: Final = {"diamond": 6, "flat": 4, "flat_below": 4, "tall": 4, "square": 6}
"""With more labels than this a field writes smaller."""


def _north(cells: Sequence[_Cell], chart: Chart, language: str, varga: Varga) -> Iterator[str]:
    half = SIDE // 2
    frame = f"M2 2H{SIDE - 2}V{SIDE - 2}H2Z"
    diagonals = f"M2 2L{SIDE - 2} {SIDE - 2}M{SIDE - 2} 2L2 {SIDE - 2}"
    diamond = f"M{half} 2L{SIDE - 2} {half}L{half} {SIDE - 2}L2 {half}Z"
    yield _lines(f"{frame}{diagonals}{diamond}")
    by_house = {cell.house: cell for cell in cells}
    for house, (shape, at, number_at) in enumerate(_NORTH_FIELDS, 1):
        cell = by_house[house]
        yield _text(digits(cell.sign + 1, language), number_at, 13, "sign")
        yield from _labels(cell.labels, shape, at)
    if chart.lagna is not None:
        yield _text(_LAGNA_MARK.in_language(language), (200, 30), 12, "lagna")
    if varga is not Varga.D1:
        yield _text(varga_name(varga).in_language(language), (200, 52), 11, "sign")


# Cells of the southern chart from Aries on: column and row of a square of four.
_SOUTH_CELLS: Final = (
    (1, 0),
    (2, 0),
    (3, 0),
    (3, 1),
    (3, 2),
    (3, 3),
    (2, 3),
    (1, 3),
    (0, 3),
    (0, 2),
    (0, 1),
    (0, 0),
)


def _south(cells: Sequence[_Cell], chart: Chart, language: str, varga: Varga) -> Iterator[str]:
    side = SIDE // 4
    outer = f"M2 2H{SIDE - 2}V{SIDE - 2}H2Z"
    rows = f"M2 {side}H{SIDE - 2}M2 {3 * side}H{SIDE - 2}"
    rows += f"M2 {2 * side}H{side}M{3 * side} {2 * side}H{SIDE - 2}"
    columns = f"M{side} 2V{SIDE - 2}M{3 * side} 2V{SIDE - 2}"
    columns += f"M{2 * side} 2V{side}M{2 * side} {3 * side}V{SIDE - 2}"
    yield _lines(f"{outer}{rows}{columns}")
    middle = (SIDE / 2, SIDE / 2 + 6)
    yield _text(varga_name(varga).in_language(language), middle, 18, "sign")
    for cell, (column, row) in zip(cells, _SOUTH_CELLS, strict=True):
        left, top = column * side, row * side
        sign = RASHIS[cell.sign].in_language(language)
        yield _text(sign, (left + side // 2, top + side - 8), 11, "sign")
        if chart.lagna is not None and cell.house == 1:
            yield (
                f'<path d="M{left + 4} {top + 24}L{left + 24} {top + 4}"'
                f' stroke="var(--kundali-lagna, currentColor)" stroke-width="2"/>'
            )
            yield _text(_LAGNA_MARK.in_language(language), (left + 16, top + 30), 11, "lagna")
        yield from _labels(cell.labels, "square", (left + side // 2 + 4, top + 44))


def _lines(path: str) -> str:
    return (
        f'<path d="{path}" fill="var(--kundali-ground, none)"'
        ' stroke="var(--kundali-line, currentColor)" stroke-width="1.5"'
        ' stroke-linejoin="round"/>'
    )


def _text(text: str, at: tuple[float, float], size: float, kind: str) -> str:
    opacity = ' opacity="0.75"' if kind == "sign" else ""
    return (
        f'<text x="{at[0]:g}" y="{at[1]:g}" font-size="{size:g}"{opacity}'
        f' fill="var(--kundali-{kind}, currentColor)">{escape(text)}</text>'
    )


def _labels(labels: Sequence[_Label], shape: str, middle: tuple[float, float]) -> Iterator[str]:
    """Yield the labels of a field in rows around its middle."""
    scale = 1.0 if len(labels) <= _CROWDED[shape] else 0.72
    height, width = 19 * scale, _LABEL_WIDTH[shape] * scale
    rows = list(_rows(labels, shape))
    top = middle[1] - (len(rows) - 1) * height / 2 + 5 * scale
    for number, row in enumerate(rows):
        left = middle[0] - (len(row) - 1) * width / 2
        for column, label in enumerate(row):
            x, y = left + column * width, top + number * height
            note = f'<tspan font-size="{10 * scale:g}" dx="1">{escape(label.note)}</tspan>'
            yield (
                f'<text x="{x:g}" y="{y:g}" font-size="{16 * scale:g}" font-weight="600"'
                f' fill="var(--kundali-graha, currentColor)">{escape(label.text)}'
                f"{note if label.note else ''}</text>"
            )


def _rows(labels: Sequence[_Label], shape: str) -> Iterator[Sequence[_Label]]:
    """Fill the widest rows of a field first."""
    most = _MOST_IN_ROW[shape]
    if shape == "flat_below":
        # The widest row is the lowest: fill from below, keep the order of reading.
        taken = list(_fill(labels[::-1], most[::-1]))
        yield from (row[::-1] for row in reversed(taken))
    else:
        yield from _fill(labels, most)


def _fill(labels: Sequence[_Label], most: Sequence[int]) -> Iterator[Sequence[_Label]]:
    start = 0
    for room in most:
        if start >= len(labels):
            return
        yield labels[start : start + room]
        start += room


def caption(chart: Chart, language: str) -> str:
    """One line under a drawing: ayanamsa with its value, and the node."""
    ayanamsa = title(f"ayanamsa.{chart.options.ayanamsa.value}").in_language(language)
    node = title(f"node.{chart.options.node.value}").in_language(language)
    return f"{ayanamsa} {written(round(chart.ayanamsa_degrees, 2), language)}°, {node}"
