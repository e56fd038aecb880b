"""Looking at the catalogue: the kinds of puja and the samagri items."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from server.domain.account import NEPAL, Actor
from server.domain.calendar import local_today
from server.domain.catalogue import (
    ItemSheet,
    ItemUse,
    Puja,
    PujaCategory,
    SamagriCategory,
    SamagriItem,
)
from server.domain.errors import NotFound
from server.domain.ports.catalogue import CatalogueRepository
from server.domain.ports.paging import Page, SortKey
from server.domain.ports.world import Clock
from server.domain.recommendation import Occasion
from server.domain.samagri import Estimate
from server.domain.search import has_words, query_words
from server.services.preferences import PreferenceService
from server.services.samagri import SamagriAdder
from server.services.seasons import month_bs


@dataclass(frozen=True, slots=True)
class PujaSheet:
    """A puja with its family and the items that it needs, by id."""

    puja: Puja
    category: PujaCategory
    items: Mapping[str, SamagriItem]


class CatalogueService:
    """What everybody may look up, signed in or not.

    Prices of a puja's samagri are made by the adder of bookings, so that what is estimated here is
    what a booking costs.
    """

    def __init__(
        self,
        catalogue: CatalogueRepository,
        adder: SamagriAdder,
        preferences: PreferenceService,
        clock: Clock,
    ) -> None:
        self._clock = clock
        self._catalogue = catalogue
        self._adder = adder
        self._preferences = preferences

    async def list_pujas(
        self,
        *,
        query: str = "",
        category_id: str | None = None,
        limit: int = 100,
        after: SortKey | None = None,
    ) -> Page[PujaSheet]:
        """Return kinds of puja by name, with what they need.

        ``query`` matches the beginnings of words of the English, Nepali and romanised names.
        """
        words = query_words(query)
        found = [
            puja
            for puja in await self._catalogue.list_pujas()
            if category_id in (None, puja.category_id)
            and has_words(words, (puja.id, puja.name, puja.name_ne, *puja.aliases))
            and (after is None or (puja.name, puja.id) > after)
        ]
        rows = found[:limit]
        sheets = await self._sheets(rows)
        return Page(sheets, (rows[-1].name, rows[-1].id) if len(found) > limit else None)

    async def puja(self, puja_id: str) -> PujaSheet:
        """Return one puja. Raises ``NotFound``."""
        puja = await self._catalogue.find_puja(puja_id)
        if puja is None:
            raise NotFound
        return (await self._sheets((puja,)))[0]

    async def list_puja_categories(self) -> tuple[PujaCategory, ...]:
        """Return the families of pujas, by name."""
        return await self._catalogue.list_puja_categories()

    async def list_categories(
        self, *, limit: int = 100, after: SortKey | None = None
    ) -> Page[SamagriCategory]:
        """Return the shelves of the samagri catalogue, in their order."""
        found = [
            category
            for category in await self._catalogue.list_categories()
            if after is None or (category.position, category.id) > after
        ]
        rows = tuple(found[:limit])
        return Page(rows, (rows[-1].position, rows[-1].id) if len(found) > limit else None)

    async def list_items(
        self,
        *,
        query: str = "",
        category_id: str | None = None,
        limit: int = 20,
        after: SortKey | None = None,
    ) -> Page[SamagriItem]:
        """Return samagri items by name; ``query`` matches beginnings of words of any spelling."""
        return await self._catalogue.list_items(
            query=query, category_id=category_id, limit=limit, after=after
        )

    async def item(self, item_id: str) -> ItemSheet:
        """Return one item with the pujas that use it.

        Raises ``NotFound``, also for an item that cannot be had at present.
        """
        item = (await self._catalogue.find_items([item_id])).get(item_id)
        if item is None or not item.is_active:
            raise NotFound
        shelves = {each.id: each for each in await self._catalogue.list_categories()}
        uses = [
            ItemUse(puja, need)
            for puja in await self._catalogue.list_pujas()
            for need in puja.requirements
            if need.item_id == item_id
        ]
        uses.sort(key=lambda use: (use.need.type.rank, use.puja.name))
        others = await self._catalogue.find_items(item.substitutes)
        return ItemSheet(
            item,
            shelves[item.category_id],
            tuple(uses),
            tuple(
                others[each]
                for each in item.substitutes
                if each in others and others[each].is_active
            ),
        )

    async def estimate(self, actor: Actor | None, puja_id: str) -> Estimate:
        """Return what the samagri of a puja costs, for this reader or for nobody in particular.

        Raises ``NotFound`` if there is no such puja.
        """
        puja = await self._catalogue.find_puja(puja_id)
        if puja is None:
            raise NotFound
        user_id = actor.user_id if actor else ""
        lines = await self._adder.lines_for(puja, Occasion(user_id=user_id))
        hidden = (await self._preferences.find(user_id)).never_show if user_id else frozenset()
        present = {line.item_id for line in lines}
        return Estimate(
            puja=puja,
            lines=lines,
            others=await self._adder.others_for(
                puja, present | hidden, month_bs(local_today(self._clock.now(), NEPAL))
            ),
        )

    async def _sheets(self, pujas: Iterable[Puja]) -> tuple[PujaSheet, ...]:
        found = tuple(pujas)
        families = {each.id: each for each in await self._catalogue.list_puja_categories()}
        items = await self._catalogue.find_items(
            {need.item_id for puja in found for need in puja.requirements}
        )
        return tuple(PujaSheet(puja, families[puja.category_id], items) for puja in found)
