"""Texts, numbers and dates in the languages of the product.

Texts are looked up in the gettext catalogues of ``locale/``; English is the language of the source.
"""

from __future__ import annotations

import gettext
from collections.abc import Mapping, Sequence
from datetime import date, datetime, time
from decimal import Decimal
from functools import cached_property, lru_cache
from pathlib import Path
from typing import Final
from zoneinfo import ZoneInfo

from babel.core import negotiate_locale
from babel.dates import format_date, format_datetime, format_timedelta
from babel.numbers import format_decimal

from kundali.bikram_sambat import MONTHS, OutsideCalendar, to_bs
from server.domain.account import DEFAULT_LANGUAGE, LANGUAGES
from server.domain.money import Unit
from server.domain.ports.world import Translator
from server.domain.texts import N_, written_clock

_DIGITS: Final = str.maketrans("0123456789", "०१२३४५६७८९")
_DOMAIN: Final = "messages"


class Translations:
    """The catalogues of all languages, loaded once. Implements ``ports.Translator``."""

    def __init__(self, locale_path: Path) -> None:
        self._catalogues: dict[str, gettext.NullTranslations] = {
            language: gettext.translation(_DOMAIN, locale_path, [language], fallback=True)
            for language in LANGUAGES
        }

    def text(self, language: str, message: str, **params: str | int | time) -> str:
        """The message in that language, its ``{placeholders}`` filled.

        Numbers and times of day are written as the language does; texts, such as codes, stay as
        they are.
        """
        found = self._catalogue(language).gettext(message)
        return found.format(**_written(language, params)) if params else found

    def plural(self, language: str, one: str, many: str, count: int, **params: str | int) -> str:
        """The singular or plural form for ``count``, which also fills ``{n}``."""
        found = self._catalogue(language).ngettext(one, many, count)
        return found.format(**_written(language, {"n": count, **params}))

    def _catalogue(self, language: str) -> gettext.NullTranslations:
        return self._catalogues.get(language) or self._catalogues[DEFAULT_LANGUAGE]


def _written(language: str, params: Mapping[str, str | int | time]) -> dict[str, str]:
    return {name: _value(language, value) for name, value in params.items()}


def _value(language: str, value: str | int | time) -> str:
    if isinstance(value, time):
        return written_clock(value, language)
    is_number = isinstance(value, int) and language == "ne"
    return str(value).translate(_DIGITS) if is_number else str(value)


def best_language(accepted: str) -> str:
    """The language of an ``Accept-Language`` header that suits best."""
    wanted = []
    for part in accepted.split(",")[:20]:
        tag, _, quality = part.strip().partition(";q=")
        try:
            wanted.append((float(quality) if quality else 1.0, tag.replace("-", "_")))
        except ValueError:
            continue
    preferred: Sequence[str] = [tag for _, tag in sorted(wanted, key=lambda each: -each[0])]
    return negotiate_locale(preferred, LANGUAGES) or DEFAULT_LANGUAGE


__all__ = ["N_", "Formatter", "Translations", "best_language"]


# Babel reads its patterns anew each time, and a table of figures has hundreds of small numbers.
@lru_cache(maxsize=4096)
def _decimal(value: float, pattern: str, locale: str) -> str:
    return format_decimal(value, pattern, locale=locale)


@lru_cache(maxsize=2048)
def _date(day: date, pattern: str, locale: str) -> str:
    return format_date(day, pattern, locale=locale)


class Formatter:
    """Numbers, prices and dates as one reader expects them: in his language, digits and zone."""

    def __init__(self, language: str, timezone: str) -> None:
        self.language = language
        self.timezone = timezone

    @cached_property
    def _zone(self) -> ZoneInfo:
        return ZoneInfo(self.timezone)

    @property
    def _is_nepali(self) -> bool:
        return self.language == "ne"

    @property
    def _dates(self) -> str:
        return "ne_NP" if self._is_nepali else "en_GB"

    def digits(self, text: str) -> str:
        """The text with the digits of the language."""
        return text.translate(_DIGITS) if self._is_nepali else text

    def number(self, value: float) -> str:
        """A number with Nepal's grouping: 12,34,567.5."""
        locale = "ne_NP" if self._is_nepali else "en_IN"
        return self.digits(_decimal(value, "#,##,##0.##", locale))

    def price(self, paisa: int) -> str:
        """An amount of rupees; the paisa only where there are any."""
        rupees, rest = divmod(abs(paisa), 100)
        locale = "ne_NP" if self._is_nepali else "en_IN"
        text = _decimal(rupees, "#,##,##0", locale) + (f".{rest:02d}" if rest else "")
        sign = "-" if paisa < 0 else ""
        return f"{sign}{'रु' if self._is_nepali else 'Rs'} {self.digits(text)}"

    def instant(self, at: datetime) -> str:
        """An instant as date and time in the reader's zone."""
        day = format_datetime(at, "d MMM y, EEE", tzinfo=self._zone, locale=self._dates)
        return f"{self.digits(day)} {self.clock(at)}"

    def day(self, day: date) -> str:
        """A date of the AD calendar."""
        return self.digits(_date(day, "d MMMM y, EEEE", self._dates))

    def day_short(self, day: date) -> str:
        """A date of the AD calendar in a few letters: 22 Nov 2026."""
        return self.digits(_date(day, "d MMM y", self._dates))

    def month(self, day: date) -> str:
        """The month of a date of the AD calendar, with its year."""
        return self.digits(_date(day, "MMMM y", self._dates))

    def day_bs(self, day: date) -> str:
        """A date of the Bikram Sambat calendar, empty outside its table.

        Nepali names the year first: २०८३ मङ्सिर ६, English last: 6 Mangsir 2083.
        """
        try:
            bs = to_bs(day)
        except OutsideCalendar:
            return ""
        month = MONTHS[bs.month - 1]
        if self._is_nepali:
            return self.digits(f"{bs.year} {month.ne} {bs.day}")
        return f"{bs.day} {month.en} {bs.year}"

    def clock(self, at: datetime) -> str:
        """The time of day of an instant in the reader's zone: 6:05 pm, साँझ ६:०५."""
        return written_clock(at.astimezone(self._zone), self.language)

    def wall_clock(self, shown: str) -> str:
        """A time of day ``07:00`` as :meth:`clock` writes it."""
        return written_clock(time.fromisoformat(shown), self.language)

    def ago(self, at: datetime, now: datetime) -> str:
        """How long ago an instant was."""
        return self.digits(format_timedelta(at - now, add_direction=True, locale=self._dates))


def n_(one: str, many: str) -> tuple[str, str]:
    """Mark a pair of texts for translation, singular and plural."""
    return one, many


_MEASURES: Final = {Unit.KG: N_("kg"), Unit.G: N_("g"), Unit.L: N_("l"), Unit.ML: N_("ml")}
_COUNTED: Final = {
    Unit.PIECE: n_("piece", "pieces"),
    Unit.PACKET: n_("packet", "packets"),
    Unit.BUNCH: n_("bunch", "bunches"),
    Unit.GARLAND: n_("garland", "garlands"),
    Unit.ROLL: n_("roll", "rolls"),
    Unit.BUNDLE: n_("bundle", "bundles"),
    Unit.BOTTLE: n_("bottle", "bottles"),
    Unit.SET: n_("set", "sets"),
}


def unit_text(translator: Translator, language: str, unit: Unit, quantity: Decimal) -> str:
    """A unit beside a quantity, in that language."""
    if unit in _MEASURES:
        return translator.text(language, _MEASURES[unit])
    one, many = _COUNTED[unit]
    return translator.plural(language, one, many, 1 if quantity == 1 else 2)
