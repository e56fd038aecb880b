"""Finding pandits: words that are looked up, the order of results, and what a result shows."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from itertools import pairwise
from typing import Final

from server.domain.account import GeoPoint
from server.domain.calendar import Slot
from server.domain.pandit import Pandit, Service
from server.domain.papers import Papers
from server.domain.recommendation import Factor
from server.domain.spelling import key_of

MAX_QUERY_WORDS: Final = 6
MAX_PREFIX: Final = 12
_APART: Final = re.compile(r"[\s,.;:!?()\[\]/\\\"'’+&|_\-–—।॥]+")

PRIOR_RATING: Final = 3.8
PRIOR_REVIEWS: Final = 8
"""A pandit without reviews counts as if he had this many of that rating."""
_EXPERIENCE_WEIGHT: Final = 0.8
_EXPERIENCE_HALF: Final = 8


def words_of(text: str) -> tuple[str, ...]:
    """The words of a text: small letters, Latin ones without their accents.

    Devanagari keeps its signs; a virama or vowel sign does not part a word.
    """
    folded = unicodedata.normalize("NFC", _without_accents(text).casefold())
    return tuple(dict.fromkeys(word for word in _APART.split(folded) if word))


def keys_of(texts: Iterable[str]) -> tuple[str, ...]:
    """The keys (see ``spelling``) of all words of the texts, and of each two that follow.

    The pairs are there because people part words as they like: "Griha Pravesh", "Grihapravesh".
    """
    found: dict[str, None] = {}
    for text in texts:
        keys = [key for word in words_of(text) if (key := key_of(word))]
        found.update(dict.fromkeys(keys))
        found.update(dict.fromkeys(first + second for first, second in pairwise(keys)))
    return tuple(found)


def query_words(text: str) -> tuple[str, ...]:
    """The keys of the words that somebody looks for, as long as beginnings are stored."""
    keys = (key_of(word) for word in words_of(text)[:MAX_QUERY_WORDS])
    return tuple(dict.fromkeys(key[:MAX_PREFIX] for key in keys if key))


@dataclass(frozen=True, slots=True)
class Word:
    """A word of a query: who has a key that begins like one of ``keys`` has it.

    Or who offers one of the pujas.
    """

    keys: tuple[str, ...]
    puja_ids: frozenset[str] = frozenset()


def words_wanted(text: str) -> tuple[Word, ...]:
    """The words of a query; each also stands for itself joined with the one beside it."""
    keys = query_words(text)
    joined = [(first + second)[:MAX_PREFIX] for first, second in pairwise(keys)]
    return tuple(
        Word(tuple(dict.fromkeys((key, *joined[max(0, place - 1) : place + 1]))))
        for place, key in enumerate(keys)
    )


def prefixes_of(texts: Iterable[str]) -> list[str]:
    """All beginnings of the keys of the texts, up to ``MAX_PREFIX`` characters, in order.

    A query word is then looked up by equality, which an index answers everywhere.
    """
    found = {
        key[:length] for key in keys_of(texts) for length in range(1, min(len(key), MAX_PREFIX) + 1)
    }
    return sorted(found)


def has_words(words: Iterable[str], texts: Iterable[str]) -> bool:
    """Whether every one of ``words`` (keys of a query) begins some key of the texts."""
    known = keys_of(texts)
    return all(any(each.startswith(word) for each in known) for word in words)


def ranking_of(pandit: Pandit) -> float:
    """The score of the order "recommended": about 3 to 5.8, higher is better.

    The mean of his ratings and of ``PRIOR_REVIEWS`` imagined ones (a Bayesian average), so that one
    review of five stars does not outrank fifty of 4.8; to it experience adds up to 0.8, half of
    that at eight years.
    """
    shrunken = (PRIOR_RATING * PRIOR_REVIEWS + pandit.rating * pandit.review_count) / (
        PRIOR_REVIEWS + pandit.review_count
    )
    years = pandit.experience_years
    return round(shrunken + _EXPERIENCE_WEIGHT * years / (years + _EXPERIENCE_HALF), 6)


def coarse_point(point: GeoPoint) -> GeoPoint:
    """The place as strangers may know it: on a grid of a hundredth of a degree, about 1 km wide."""
    return GeoPoint(round(point.latitude, 2), round(point.longitude, 2))


def fitting_offers(
    pandit: Pandit, puja_ids: Collection[str] | None, max_price: int | None
) -> tuple[Service, ...]:
    """His available services of those pujas (None: of any) up to that price, the cheapest first."""
    fitting = (
        service
        for service in pandit.services
        if service.is_available
        and (puja_ids is None or service.puja_id in puja_ids)
        and (max_price is None or service.price <= max_price)
    )
    return tuple(sorted(fitting, key=lambda service: (service.price, service.id)))


@dataclass(frozen=True, slots=True)
class PanditCard:
    """One result of a search.

    ``service`` is the offer that ``price`` (paisa) belongs to, the cheapest that fits what was
    asked; ``next_free_slot`` is the first time that it can be booked, None when there is none soon.
    Where only those with a free time are wanted, it is the cheapest that has one.
    ``factors`` say why he is recommended, where that order was asked for.
    """

    pandit: Pandit
    distance_km: float | None
    price: int | None
    service: Service | None
    next_free_slot: Slot | None
    factors: Mapping[str, Factor] | None = None


@dataclass(frozen=True, slots=True)
class PanditProfile:
    """A pandit as one reader may see him.

    ``shows_contact``: phone, e-mail, address and exact place; ``shows_papers``: certificates and
    the notes of the verification, for himself and admins alone.
    """

    pandit: Pandit
    papers: Papers
    shows_contact: bool
    shows_papers: bool


def _without_accents(text: str) -> str:
    # Only marks of the Latin range (U+0300 to U+036F); those of Devanagari are letters' parts.
    decomposed = unicodedata.normalize("NFD", text)
    return "".join(char for char in decomposed if not "\u0300" <= char <= "\u036f")
