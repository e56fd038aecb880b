"""Sentences in both languages."""

from __future__ import annotations

import re
from string import Formatter

import pytest

from kundali.dignity import Dignity
from kundali.ephemeris import Graha
from kundali.names import LAGNA, read_table
from kundali.phrases import Phrase, in_house, in_sign, ordinal, title, together, written

TABLE = read_table("phrases")["phrases"]


def fields(text):
    return {name for _, name, _, _ in Formatter().parse(text) if name is not None}


@pytest.mark.parametrize("code", TABLE)
def test_both_languages_are_filled_with_the_same_values(code):
    english, nepali = TABLE[code]
    assert fields(english) == fields(nepali)
    assert english
    assert nepali


@pytest.mark.parametrize("code", TABLE)
def test_nepali_sentences_hold_no_latin_letters_or_digits(code):
    text = re.sub(r"\{\w+\}", "", TABLE[code][1])
    assert not re.search(r"[A-Za-z0-9]", text)


def test_names_numbers_and_lists_are_written_in_the_readers_language():
    assert in_house(Graha.JUPITER, 4, Graha.MOON).name == (
        "Jupiter is in the 4th house from the Moon.",
        "चन्द्रबाट चौथो भावमा बृहस्पति छ।",
    )
    assert in_house(Graha.SUN, 1).text("ne") == "लग्नबाट पहिलो भावमा सूर्य छ।"
    assert in_sign(Graha.MARS, 0, Dignity.OWN).text("en") == "Mars is in Aries: its own sign."
    three = (Graha.SUN, Graha.MOON, Graha.RAHU)
    assert together(three, 4).text("en") == "Sun, Moon and Rahu stand together in Leo."
    assert together(three, 4).text("ne") == "सूर्य, चन्द्र र राहु सँगै सिंह राशिमा छन्।"
    assert written(12.5, "ne") == "१२.५"
    assert written(3.0, "en") == "3"
    assert written(LAGNA, "ne") == "लग्न"


def test_ordinals_and_titles_need_no_values():
    assert ordinal(12) == ("12th", "बाह्रौँ")
    assert title("yoga.hamsa.name").en == "Hamsa"


def test_a_sentence_without_its_value_is_a_fault():
    with pytest.raises(KeyError):
        Phrase("in_house", {"graha": Graha.SUN}).text("en")
