"""Sentences in both languages: reasons, meanings and readings, each a code with its values.

Results carry a `Phrase`, not a text: programs read the code and the values, people read
``phrase.text("ne")``. The sentences stand in ``tables/phrases.json``.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date, datetime
from typing import Final, NamedTuple, TypeAlias

from kundali.dignity import Dignity
from kundali.ephemeris import Graha
from kundali.names import GRAHAS, LAGNA, RASHIS, Name, digits, read_table
from kundali.zodiac import NAKSHATRA_TABLE

Value: TypeAlias = "Graha | Name | Dignity | int | float | str | date | tuple[Value, ...]"
"""What a sentence can be filled with; tuples are enumerated."""

_TABLE: Final[dict[str, Name]] = {
    code: Name(*texts) for code, texts in read_table("phrases")["phrases"].items()
}
_ORDINALS: Final = tuple(Name(*texts) for texts in read_table("phrases")["ordinals"])
_DIGNITIES: Final = {
    Dignity(code): Name(*texts) for code, texts in read_table("phrases")["dignities"].items()
}
_WITH_ARTICLE: Final = frozenset({Graha.SUN, Graha.MOON})
_AND: Final = Name(" and ", " र ")


class Phrase(NamedTuple):
    """One sentence: which, and what it is filled with."""

    code: str
    values: Mapping[str, Value] = {}

    def text(self, language: str) -> str:
        """Return the sentence in Nepali for ``ne``, in English for any other language.

        Raises
        ------
        KeyError
            If the code is not in the table, or a value is missing: a fault of this package.
        """
        pattern = _TABLE[self.code].in_language(language)
        return pattern.format_map(
            {name: written(value, language) for name, value in self.values.items()}
        )

    @property
    def name(self) -> Name:
        """The sentence in both languages."""
        return Name(self.text("en"), self.text("ne"))


def has(code: str) -> bool:
    """Whether there is a sentence of this code."""
    return code in _TABLE


def title(code: str) -> Name:
    """Words of a code that takes no values: the name of a yoga, a dosha, a koota."""
    return _TABLE[code]


def written(value: Value, language: str) -> str:
    """Write a value for people: names translated, digits in Devanagari for Nepali."""
    if isinstance(value, Name):
        return value.in_language(language)
    if isinstance(value, Graha):
        return GRAHAS[value].in_language(language)
    if isinstance(value, Dignity):
        return _DIGNITIES[value].in_language(language)
    if isinstance(value, tuple):
        parts = [written(item, language) for item in value]
        joined = ", ".join(parts[:-1])
        return f"{joined}{_AND.in_language(language)}{parts[-1]}" if joined else parts[-1]
    if isinstance(value, datetime):
        return digits(value.strftime("%Y-%m-%d %H:%M"), language)
    if isinstance(value, date):
        return digits(value.isoformat(), language)
    if isinstance(value, float):
        return digits(f"{value:.2f}".rstrip("0").rstrip("."), language)
    return digits(value, language)


def ordinal(number: int) -> Name:
    """Ordinal of a house or a sign, 1 to 12: "7th", "सातौँ"."""
    return _ORDINALS[number - 1]


def sign_name(sign: int) -> Name:
    """Name of a sign, 0 to 11."""
    return RASHIS[sign % 12]


def nakshatra_name(nakshatra: int) -> Name:
    """Name of a nakshatra, 0 to 26."""
    return NAKSHATRA_TABLE[nakshatra % 27].name


def origin_name(origin: Graha | None) -> Name:
    """Return what a count of houses starts from, with its article; none is the lagna."""
    if origin is None:
        return Name("the lagna", LAGNA.ne)
    name = GRAHAS[origin]
    return Name(f"the {name.en}", name.ne) if origin in _WITH_ARTICLE else name


def in_house(graha: Graha, house: int, origin: Graha | None = None) -> Phrase:
    """Return "Jupiter is in the 4th house from the Moon"; without an origin from the lagna."""
    counted = {"house": ordinal(house), "origin": origin_name(origin)}
    return Phrase("in_house", {"graha": graha, **counted})


def in_sign(graha: Graha, sign: int, dignity: Dignity) -> Phrase:
    """Return "Mars is in Aries, its own sign"."""
    return Phrase("in_sign", {"graha": graha, "sign": sign_name(sign), "dignity": dignity})


def together(grahas: tuple[Graha, ...], sign: int) -> Phrase:
    """Return "Sun and Mercury stand together in Leo"."""
    return Phrase("together", {"grahas": grahas, "sign": sign_name(sign)})
