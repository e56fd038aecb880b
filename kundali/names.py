"""Names of everything in the sky and the calendar, in English, Nepali and Sanskrit.

Read once from ``tables/names.json``. Tuples are indexed from 0: Aries, Ashwini's month, Sunday.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from importlib.resources import files
from typing import Any, Final, NamedTuple


class Name(NamedTuple):
    """One thing's name in both languages."""

    en: str
    ne: str

    def in_language(self, language: str) -> str:
        """Return the Nepali name for ``ne``, the English one for any other language."""
        return self.ne if language == "ne" else self.en


def read_table(name: str) -> Any:
    """Read ``tables/<name>.json``, a table that the package ships."""
    text = files("kundali").joinpath("tables", f"{name}.json").read_text(encoding="utf-8")
    return json.loads(text)


def _names(rows: Iterable[dict[str, Any]]) -> tuple[Name, ...]:
    return tuple(Name(row["en"], row["ne"]) for row in rows)


_RAW: Final = read_table("names")

GRAHAS: Final = _names(_RAW["grahas"])
"""Indexed by `kundali.ephemeris.Graha`."""
GRAHAS_SANSKRIT: Final = tuple(row["sanskrit"].split("/")[0] for row in _RAW["grahas"])
LAGNA: Final = Name(_RAW["lagna"]["en"], _RAW["lagna"]["ne"])
RASHIS: Final = _names(_RAW["rashis"])
"""Signs from Aries on."""
RASHIS_SANSKRIT: Final = tuple(row["sanskrit"] for row in _RAW["rashis"])
TITHIS: Final = _names(_RAW["tithis"])
"""The thirty tithis from Shukla Pratipada to Amavasya, without the paksha."""
PAKSHAS: Final = _names(_RAW["pakshas"])
"""Shukla (waxing) and Krishna (waning)."""
YOGAS: Final = _names(_RAW["yogas"])
KARANAS: Final = _names(_RAW["karanas"])
"""The seven movable karanas, then the four fixed ones."""
VARAS: Final = _names(_RAW["varas"])
"""Weekdays from Sunday on."""
LUNAR_MONTHS: Final = _names(_RAW["lunar_months"])
"""Lunar months from Chaitra on."""
AYANAS: Final = _names(_RAW["ayanas"])
RITUS: Final = _names(_RAW["ritus"])

_TO_DEVANAGARI: Final = str.maketrans("0123456789", _RAW["devanagari_digits"])


def digits(text: object, language: str = "ne") -> str:
    """Write the digits of a number or text in Devanagari for Nepali, unchanged otherwise."""
    return str(text).translate(_TO_DEVANAGARI) if language == "ne" else str(text)
