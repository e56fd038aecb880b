"""What the words of a search may mean beside themselves: kinds of puja, and places."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Final

from server.domain.catalogue import Puja, PujaCategory
from server.domain.places import place_key
from server.domain.ports.catalogue import CatalogueRepository
from server.domain.ports.kundali import PlaceDirectory
from server.domain.ports.world import Clock
from server.domain.search import Word, keys_of, query_words, words_of, words_wanted

_KEPT: Final = timedelta(seconds=30)
_WHOLE_UNDER: Final = 4
"""Shorter keys must be a whole word of a puja's: the beginnings of many are as short."""
_HOME: Final = "NP"


@dataclass(frozen=True, slots=True)
class _Known:
    """The catalogue as words: of each puja the keys of all its names, and its category."""

    read_at: datetime
    pujas: tuple[tuple[str, str, frozenset[str]], ...]

    def named(self, keys: Iterable[str]) -> frozenset[str]:
        """The pujas that one of these keys names."""
        return frozenset(
            puja_id
            for puja_id, _, known in self.pujas
            if any(
                key in known
                or (len(key) >= _WHOLE_UNDER and any(each.startswith(key) for each in known))
                for key in keys
            )
        )


class SearchWords:
    """Reads the words of searches. The catalogue is read anew after half a minute."""

    def __init__(
        self, catalogue: CatalogueRepository, places: PlaceDirectory, clock: Clock
    ) -> None:
        self._catalogue = catalogue
        self._places = places
        self._clock = clock
        self._known: _Known | None = None

    async def read(self, text: str) -> tuple[Word, ...]:
        """Return the words of a text: each also finds the pujas that go by it.

        A puja goes by its names, its aliases and its category, so "marriage" finds whoever offers
        weddings; and a place by all its names, so "Patan" finds Lalitpur.
        """
        words = words_wanted(text)
        if not words:
            return ()
        known = await self._catalogue_words()
        others = self._places_of(text)
        return tuple(
            replace(
                word,
                keys=tuple(dict.fromkeys((*word.keys, *others.get(word.keys[0], ())))),
                puja_ids=known.named(word.keys),
            )
            for word in words
        )

    async def pujas_of(self, category_id: str) -> frozenset[str]:
        """Return the pujas of a category; none of one that is unknown."""
        known = await self._catalogue_words()
        return frozenset(puja_id for puja_id, category, _ in known.pujas if category == category_id)

    def _places_of(self, text: str) -> dict[str, tuple[str, ...]]:
        """For the key of each word that names a place of Nepal, the keys of its proper name."""
        found: dict[str, tuple[str, ...]] = {}
        for word in words_of(text):
            place = self._places.named(word)
            if place is not None and place.country == _HOME:
                keys = {place_key(place.name), place_key(place.name_ne)}
                found |= {key: tuple(sorted(keys)) for key in query_words(word)}
        return found

    async def _catalogue_words(self) -> _Known:
        now = self._clock.now()
        if self._known is None or not timedelta(0) <= now - self._known.read_at < _KEPT:
            pujas = await self._catalogue.list_pujas()
            families = {each.id: each for each in await self._catalogue.list_puja_categories()}
            self._known = _Known(
                now,
                tuple(
                    (puja.id, puja.category_id, _keys(puja, families.get(puja.category_id)))
                    for puja in pujas
                ),
            )
        return self._known


def _keys(puja: Puja, family: PujaCategory | None) -> frozenset[str]:
    names = [puja.id, puja.name, puja.name_ne, *puja.aliases]
    if family is not None:
        names += [family.name, family.name_ne]
    return frozenset(keys_of(names))
