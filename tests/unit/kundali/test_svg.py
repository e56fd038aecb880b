"""The drawings: well formed, complete, readable by ear and in both languages."""

from __future__ import annotations

import re
from xml.etree import ElementTree as ET

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kundali.chart import cast
from kundali.divisional import Varga
from kundali.ephemeris import Graha
from kundali.names import GRAHAS, RASHIS
from kundali.svg import SHORT, SIDE, NotDrawable, Style, draw
from tests.unit.kundali.support import birth, chart_of

NAMESPACE = "{http://www.w3.org/2000/svg}"
SPOT = re.compile(r'<text x="([\d.]+)" y="([\d.]+)" font-size="[\d.]+" font-weight')
styles = pytest.mark.parametrize("style", Style)
languages = pytest.mark.parametrize("language", ["en", "ne"])


def texts(drawing):
    root = ET.fromstring(drawing)  # noqa: S314 - our own drawing
    return ["".join(node.itertext()) for node in root.iter(f"{NAMESPACE}text")]


@styles
@languages
def test_every_graha_and_every_sign_is_drawn_once(style, language):
    found = texts(draw(cast(birth()), style, language))
    drawn = {name.in_language(language) for name in SHORT}
    # A label begins with the graha; degrees and marks follow it.
    heads = [re.sub("[0-9०-९]+°[Rव]?$", "", text) for text in found]
    assert sorted(head for head in heads if head in drawn) == sorted(drawn)
    signs = (
        [RASHIS[n].in_language(language) for n in range(12)]
        if style is Style.SOUTH
        else [*list("123456789"), "10", "11", "12"]
        if language == "en"
        else [*list("१२३४५६७८९"), "१०", "११", "१२"]
    )
    assert set(signs) <= set(found)


@styles
@languages
def test_a_screen_reader_hears_whose_chart_it_is_and_what_stands_where(style, language):
    drawing = draw(cast(birth()), style, language, name="Sita", element_id="one")
    root = ET.fromstring(drawing)  # noqa: S314 - our own drawing
    assert root.get("role") == "img"
    assert root.get("aria-labelledby") == "one-title one-desc"
    heading, description = (root.find(f"{NAMESPACE}{tag}") for tag in ("title", "desc"))
    assert heading is not None
    assert description is not None
    assert (heading.text or "").startswith("Sita, ")
    for name in (*GRAHAS, *RASHIS):
        assert name.in_language(language) in (description.text or "")


def test_the_northern_lagna_sign_stands_on_top():
    chart = cast(birth())
    drawing = draw(chart, Style.NORTH)
    top = re.search(r'x="200" y="184"[^>]*>(\d+)<', drawing)
    assert top is not None
    assert chart.lagna is not None
    assert int(top[1]) == chart.lagna.sign + 1


def test_a_name_cannot_break_out_of_the_drawing():
    drawing = draw(cast(birth()), name='<script>"&', element_id='x" onload="y')
    assert "<script>" not in drawing
    assert ET.fromstring(drawing).get("onload") is None  # noqa: S314 - our own drawing


@styles
def test_colours_follow_the_page_and_no_style_comes_along_unless_alone(style):
    inside, alone = (draw(cast(birth()), style, standalone=flag) for flag in (False, True))
    assert "<style" not in inside
    assert " style=" not in inside
    assert set(re.findall(r"#[0-9a-f]{3,6}", inside)) == set()
    assert "currentColor" in inside
    assert "prefers-color-scheme:dark" in alone


def test_a_navamsa_is_drawn_without_degrees():
    found = texts(draw(cast(birth()), varga=Varga.D9))
    assert not any("°" in text for text in found)
    assert "Navamsa" in found


def test_without_a_birth_time_the_chart_counts_from_the_moon_and_says_so():
    chart = cast(birth("1990-05-05", None))
    drawing = draw(chart)
    assert "drawn from the Moon" in drawing
    assert "As" not in texts(drawing)
    with pytest.raises(NotDrawable):
        draw(chart, varga=Varga.D9)


@settings(max_examples=60, deadline=None)
@given(
    st.integers(0, 11),
    st.lists(st.integers(0, 359), min_size=8, max_size=8),
    st.sampled_from(Style),
    st.sampled_from(["en", "ne"]),
)
def test_however_crowded_everything_stays_inside(lagna, places, style, language):
    named = {graha.name.lower(): float(at) for graha, at in zip(Graha, places, strict=False)}
    drawing = draw(chart_of(lagna, **named), style, language)
    found = texts(drawing)
    assert sum(text.startswith(tuple(at.in_language(language) for at in SHORT)) for text in found)
    spots = SPOT.findall(drawing)
    assert len(spots) == len(Graha) == len(set(spots))
    assert all(15 <= float(x) <= SIDE - 15 and 12 <= float(y) <= SIDE - 4 for x, y in spots)


@pytest.mark.parametrize("lagna", range(12))
@styles
def test_eight_grahas_in_one_sign_do_not_cover_each_other(lagna, style):
    named = {graha.name.lower(): 61.0 + 3 * graha for graha in Graha if graha < Graha.KETU}
    drawing = draw(chart_of(lagna, **named), style)
    spots = [(float(x), float(y)) for x, y in SPOT.findall(drawing)]
    for number, (x, y) in enumerate(spots):
        for other_x, other_y in spots[number + 1 :]:
            assert abs(x - other_x) >= 30 or abs(y - other_y) >= 11
