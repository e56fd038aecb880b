"""A sheet (invoice, receipt) as PDF, with Devanagari shaped as it is read.

ReportLab sets the text and HarfBuzz shapes it: conjuncts, reordered vowels and the eyelash ra come
out right, from wheels alone. Text that is copied out of such a file loses conjuncts; the page of
the same sheet is the accessible one, and the file's metadata holds its number.
"""

from __future__ import annotations

import io
from collections.abc import Sequence
from functools import cache
from html import escape
from pathlib import Path
from typing import Any, Final

import segno
from reportlab.lib import colors
from reportlab.lib.enums import TA_RIGHT
from reportlab.lib.pagesizes import A4
from reportlab.lib.styles import ParagraphStyle
from reportlab.lib.units import mm
from reportlab.pdfbase import pdfmetrics
from reportlab.pdfbase.ttfonts import TTFont
from reportlab.pdfgen.canvas import Canvas
from reportlab.platypus import (
    Flowable,
    KeepTogether,
    Paragraph,
    SimpleDocTemplate,
    Spacer,
    Table,
    TableStyle,
)

from server.documents.sheet import Sheet, SheetTable

_REGULAR: Final = "SheetRegular"
_BOLD: Final = "SheetBold"
_INK: Final = colors.HexColor("#2b1d14")
_FAINT: Final = colors.HexColor("#6b5b4e")
_LINE: Final = colors.HexColor("#d8c9bb")
_ACCENT: Final = colors.HexColor("#9a3412")
_MARGIN: Final = 18 * mm
_QR_MM: Final = 28
# ReportLab keeps so many points free inside a frame.
_FRAME_PADDING: Final = 6


def pdf_of(sheet: Sheet, fonts: Path) -> bytes:
    """Set the sheet on A4 pages.

    Takes some tens of milliseconds of a core, seconds the first time in a process: run it in a
    thread. ``fonts`` is the folder with the fonts that hold both scripts.
    """
    _register(fonts)
    out = io.BytesIO()
    document = SimpleDocTemplate(
        out,
        pagesize=A4,
        leftMargin=_MARGIN,
        rightMargin=_MARGIN,
        topMargin=_MARGIN,
        bottomMargin=_MARGIN + 6 * mm,
        title=f"{sheet.title} {sheet.number}",
        author=sheet.issuer,
        subject=sheet.number,
        lang=sheet.language,
        creator=sheet.issuer,
    )
    width = A4[0] - 2 * _MARGIN - 2 * _FRAME_PADDING
    story: list[Flowable] = [_head(sheet, width), Spacer(1, 5 * mm), _facts(sheet.facts, width)]
    for table in sheet.tables:
        story += [Spacer(1, 6 * mm), *_table(table, width)]
    foot: list[Flowable] = [Paragraph(escape(note), _style("note")) for note in sheet.notes]
    if sheet.link:
        foot = [_qr(sheet, width), Spacer(1, 3 * mm), *foot]
    if foot:
        story += [Spacer(1, 8 * mm), KeepTogether(foot)]
    document.build(story, canvasmaker=_numbered(sheet.page_of))
    return out.getvalue()


@cache
def _register(fonts: Path) -> None:
    """Make the fonts known to ReportLab, whose registry is the process's."""
    for name, weight in ((_REGULAR, 400), (_BOLD, 700)):
        path = fonts / f"noto-sans-devanagari-print-{weight}.ttf"
        pdfmetrics.registerFont(TTFont(name, str(path), shapable=True))


@cache
def _style(name: str) -> ParagraphStyle:
    looks: dict[str, dict[str, Any]] = {
        "title": {"fontName": _BOLD, "fontSize": 20, "leading": 27, "textColor": _ACCENT},
        "issuer": {"fontName": _BOLD, "fontSize": 11, "leading": 16, "alignment": TA_RIGHT},
        "state": {"fontSize": 10, "leading": 15, "alignment": TA_RIGHT, "textColor": _FAINT},
        "heading": {"fontName": _BOLD, "fontSize": 11, "leading": 17, "textColor": _ACCENT},
        "label": {"fontSize": 8, "leading": 12, "textColor": _FAINT},
        "text": {},
        "strong": {"fontName": _BOLD},
        "amount": {"alignment": TA_RIGHT},
        "total": {"fontName": _BOLD, "alignment": TA_RIGHT, "fontSize": 11, "leading": 16},
        "note": {"fontSize": 8, "leading": 12.5, "textColor": _FAINT},
    }
    look = {"fontName": _REGULAR, "fontSize": 9.5, "leading": 14.5, "textColor": _INK}
    return ParagraphStyle(name, shaping=1, **{**look, **looks[name]})


def _text(text: str, style: str) -> Paragraph:
    return Paragraph(escape(text), _style(style))


def _head(sheet: Sheet, width: float) -> Table:
    left = [_text(sheet.title, "title"), _text(sheet.number, "strong")]
    right = [_text(sheet.issuer, "issuer"), _text(sheet.state, "state")]
    head = Table([[left, right]], colWidths=[width * 0.6, width * 0.4])
    head.setStyle(
        TableStyle(
            [
                ("VALIGN", (0, 0), (-1, -1), "TOP"),
                ("LEFTPADDING", (0, 0), (-1, -1), 0),
                ("RIGHTPADDING", (0, 0), (-1, -1), 0),
                ("LINEBELOW", (0, 0), (-1, -1), 1, _ACCENT),
            ]
        )
    )
    return head


def _facts(facts: Sequence[tuple[str, str]], width: float) -> Table:
    cells = [[_text(label, "label"), _text(value, "text")] for label, value in facts]
    if len(cells) % 2:
        cells.append([])
    pairs = [[cells[at], cells[at + 1]] for at in range(0, len(cells), 2)]
    table = Table(pairs, colWidths=[width / 2, width / 2])
    table.setStyle(
        TableStyle(
            [
                ("VALIGN", (0, 0), (-1, -1), "TOP"),
                ("LEFTPADDING", (0, 0), (-1, -1), 0),
                ("TOPPADDING", (0, 0), (-1, -1), 1),
                ("BOTTOMPADDING", (0, 0), (-1, -1), 3),
            ]
        )
    )
    return table


def _table(table: SheetTable, width: float) -> list[Flowable]:
    count = len(table.columns)
    amounts = 32 * mm
    widths = [width - amounts] if count == 2 else [width - amounts - (count - 2) * 34 * mm]
    widths += [34 * mm] * (count - 2) + [amounts]
    head = [
        _text(column, "amount" if at == count - 1 else "strong")
        for at, column in enumerate(table.columns)
    ]
    body = [
        [_text(cell, "amount" if at == count - 1 else "text") for at, cell in enumerate(row)]
        for row in table.rows
    ]
    rules: list[Any] = [
        ("VALIGN", (0, 0), (-1, -1), "TOP"),
        ("LINEBELOW", (0, 0), (-1, 0), 0.8, _INK),
        ("LINEBELOW", (0, 1), (-1, -1), 0.3, _LINE),
        ("LEFTPADDING", (0, 0), (0, -1), 0),
        ("RIGHTPADDING", (-1, 0), (-1, -1), 0),
    ]
    sums: list[list[Any]] = []
    for line in table.sums:
        style = "total" if line.is_strong else "amount"
        at = 1 + len(body) + len(sums)
        rules.append(("SPAN", (0, at), (count - 2, at)))
        sums.append(
            [_text(line.label, style), *[""] * (count - 2), _text(line.value, style)],
        )
    grid = Table([head, *body, *sums], colWidths=widths, repeatRows=1)
    grid.setStyle(TableStyle(rules))
    return [_text(table.heading, "heading"), Spacer(1, 1 * mm), grid]


class _Code(Flowable):  # type: ignore[misc]  # the library has no types
    """A QR code, drawn as squares: no picture to embed, sharp at every size."""

    def __init__(self, text: str, size: float) -> None:
        super().__init__()
        self._rows = [bytes(row) for row in segno.make(text, error="m").matrix]
        self.width = self.height = size

    def draw(self) -> None:
        """Draw each dark module."""
        side = self.width / len(self._rows)
        self.canv.setFillColor(colors.black)
        for y, row in enumerate(self._rows):
            for x, dark in enumerate(row):
                if dark:
                    top = self.height - (y + 1) * side
                    # A hair of overlap, else viewers show seams between the squares.
                    self.canv.rect(x * side, top, side * 1.02, side * 1.02, stroke=0, fill=1)


def _qr(sheet: Sheet, width: float) -> Table:
    side = _QR_MM * mm
    words = [_text(sheet.link_label, "strong"), _text(sheet.link, "note")]
    table = Table([[_Code(sheet.link, side), words]], colWidths=[side + 5 * mm, None])
    table.setStyle(
        TableStyle([("VALIGN", (0, 0), (-1, -1), "MIDDLE"), ("LEFTPADDING", (0, 0), (-1, -1), 0)])
    )
    table.hAlign = "LEFT"
    return table


def _numbered(wording: str) -> type[Canvas]:
    """Return a canvas that writes the number of each page once it is known how many there are."""

    class NumberedCanvas(Canvas):  # type: ignore[misc]  # the library has no types
        def __init__(self, *args: Any, **kwargs: Any) -> None:
            super().__init__(*args, **kwargs)
            self._pages: list[dict[str, Any]] = []

        def showPage(self) -> None:  # noqa: N802 - the library's name
            self._pages.append(dict(self.__dict__))
            self._startPage()

        def save(self) -> None:
            for number, page in enumerate(self._pages, 1):
                self.__dict__.update(page)
                text = wording.format(page=number, pages=len(self._pages))
                footer = Paragraph(escape(text), _style("note"))
                footer.wrapOn(self, A4[0] - 2 * _MARGIN, 20)
                footer.drawOn(self, _MARGIN + _FRAME_PADDING, 11 * mm)
                super().showPage()
            super().save()

    return NumberedCanvas
