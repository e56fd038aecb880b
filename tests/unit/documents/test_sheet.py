"""Sheets as PDF: what they hold, and that Nepali looks as it is read."""

from __future__ import annotations

import io
import re
import shutil
import subprocess
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from fontTools.ttLib import TTFont
from PIL import Image

from server.documents.pdf import pdf_of
from server.documents.sheet import Sheet, SheetTable, Sum
from server.paths import web_path

FONTS = web_path("static") / "vendor" / "fonts"
PDFTOPPM = shutil.which("pdftoppm")
PICTURE = Path(__file__).with_name("shaping.png")
# Reordered vowel, conjuncts, the eyelash ra, a half form, a stacked one, digits, the rupee's word.
HARD_WORDS = "हिन्दि क्षेत्र गर्‍यो राष्ट्र ज्ञान श्रीमद् पण्डित बुकिङ रु १२,३४,५६७.५०"

SHEET = Sheet(
    title="Invoice · बीजक",
    number="PY-20260901-a1b2c3",
    language="ne",
    issuer="PanditYatra · पण्डितयात्रा",
    state="Paid · भुक्तानी भयो",
    facts=(("Customer · ग्राहक", "सीता शर्मा"), ("Puja · पूजा", HARD_WORDS)),
    tables=(
        SheetTable(
            heading="Fees · शुल्क",
            columns=("What · विवरण", "How much · परिमाण", "Amount · रकम"),
            rows=(("Kapur · कपुर", "१०० ग्राम", "रु ५०"), (HARD_WORDS, "2 kg", "Rs 1,000.50")),
            sums=(Sum(label="Total · जम्मा", value="Rs 1,050.50", is_strong=True),),
        ),
    ),
    link="https://pandityatra.example/bookings/a1b2c3/",
    link_label="Online",
    page_of="Page {page} of {pages}",
)


def test_the_file_is_a_pdf_that_carries_its_number():
    data = pdf_of(SHEET, FONTS)
    assert data.startswith(b"%PDF-")
    assert b"PY-20260901-a1b2c3" in data


def test_a_long_table_goes_on_over_pages():
    table = replace(SHEET.tables[0], rows=SHEET.tables[0].rows * 60)
    data = pdf_of(replace(SHEET, tables=(table,)), FONTS)
    count = re.search(rb"/Count (\d+)", data)
    assert count is not None
    assert int(count[1]) >= 3


def test_markup_in_names_is_text():
    data = pdf_of(replace(SHEET, facts=(("<b>who</b>", "<img src='x'/> & <para>"),)), FONTS)
    assert data.startswith(b"%PDF-")


def test_the_fonts_have_every_letter_of_both_scripts():
    texts = HARD_WORDS + "ABCxyz0123456789·₹–—’“”%&/()०१२३४५६७८९।॥ॐ"
    for weight in (400, 700):
        cmap = TTFont(FONTS / f"noto-sans-devanagari-print-{weight}.ttf").getBestCmap()
        # The joiner is no letter: HarfBuzz takes it out after it has done its work.
        missing = {letter for letter in texts if ord(letter) not in cmap} - {"\u200d"}
        assert not missing


@pytest.mark.skipif(PDFTOPPM is None, reason="pdftoppm is missing")
def test_nepali_is_shaped_as_it_was_when_somebody_looked_at_it(tmp_path: Path):
    # Compared small and grey, so that another version of the rasteriser does not matter and a
    # vowel on the wrong side does.
    path = tmp_path / "sheet.pdf"
    path.write_bytes(pdf_of(SHEET, FONTS))
    drawn = subprocess.run(  # noqa: S603 - our own file
        [PDFTOPPM or "", "-r", "110", "-gray", "-singlefile", str(path)],
        check=True,
        capture_output=True,
        timeout=60,
    ).stdout
    page = Image.open(io.BytesIO(drawn)).convert("L")
    seen = np.asarray(page.resize((page.width // 2, page.height // 2)), dtype=float)
    expected = np.asarray(Image.open(PICTURE).convert("L"), dtype=float)
    assert seen.shape == expected.shape
    assert np.abs(seen - expected).mean() < 0.5
    assert (np.abs(seen - expected) > 96).mean() < 0.0005
