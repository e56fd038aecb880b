"""What customers think of items of samagri: favourites, and what is never to be shown."""

from __future__ import annotations

import time
from collections import OrderedDict
from datetime import datetime
from typing import Final

from server.domain.account import Actor
from server.domain.catalogue import SamagriItem
from server.domain.errors import FieldFault, Invalid, NotFound
from server.domain.learning import (
    MAX_PREFERENCES,
    Interaction,
    PreferenceKind,
    SamagriPreference,
)
from server.domain.ports.catalogue import CatalogueRepository
from server.domain.ports.learning import InteractionRepository, PreferenceRepository
from server.domain.ports.paging import Page, SortKey
from server.domain.ports.world import Clock
from server.domain.recommendation import Preferences

_BELIEVED_SECONDS: Final = 5.0
_MAX_REMEMBERED: Final = 10_000
_BEST_RATING: Final = 5
_NO_RATING: Final = 3


class PreferenceService:
    """Keeps them, and tells recommenders of them.

    What was read is believed for a few seconds, so that a page with several recommendations asks
    once; a change of one's own holds at once in the process that made it.
    """

    def __init__(
        self,
        preferences: PreferenceRepository,
        catalogue: CatalogueRepository,
        interactions: InteractionRepository,
        clock: Clock,
    ) -> None:
        self._preferences = preferences
        self._catalogue = catalogue
        self._interactions = interactions
        self._clock = clock
        self._read: OrderedDict[str, tuple[float, Preferences]] = OrderedDict()
        self._changes = 0

    async def find(self, user_id: str) -> Preferences:
        """Return a customer's favourites and hidden items; at most a few seconds old."""
        known = self._read.get(user_id)
        if known is not None and time.monotonic() - known[0] < _BELIEVED_SECONDS:
            return known[1]
        changes = self._changes
        found = await self._preferences.find(user_id)
        if changes == self._changes:
            # Else somebody has changed his meanwhile, and this may be what he said before.
            self._read[user_id] = (time.monotonic(), found)
            self._read.move_to_end(user_id)
            if len(self._read) > _MAX_REMEMBERED:
                self._read.popitem(last=False)
        return found

    async def list_own(
        self, actor: Actor, *, limit: int, after: SortKey | None
    ) -> Page[SamagriPreference]:
        """Return the actor's own, by item id."""
        return await self._preferences.list_page(actor.user_id, limit=limit, after=after)

    async def list_with_items(
        self, actor: Actor, *, limit: int, after: SortKey | None
    ) -> Page[tuple[SamagriPreference, SamagriItem]]:
        """Return the actor's own with the items that they are about, by item id."""
        page = await self.list_own(actor, limit=limit, after=after)
        items = await self._catalogue.find_items({row.item_id for row in page.rows})
        rows = tuple((row, items[row.item_id]) for row in page.rows if row.item_id in items)
        return Page(rows, page.next_key)

    async def put(
        self, actor: Actor, item_id: str, preference: PreferenceKind
    ) -> SamagriPreference:
        """Keep what the actor thinks of an item, in the place of what he thought before.

        Training hears of each change of mind once, however often the same is said.

        Raises ``Invalid`` when there is no such item, or when he has too many preferences.
        """
        if item_id not in await self._catalogue.find_items([item_id]):
            raise Invalid(FieldFault("item_id", "unknown-item"))
        user_id = actor.user_id
        said = await self._preferences.find(user_id)
        items = said.favourites | said.never_show
        if item_id not in items and len(items) >= MAX_PREFERENCES:
            raise Invalid(FieldFault("item_id", "too-many"))
        held = said.favourites if preference is PreferenceKind.FAVOURITE else said.never_show
        now = self._clock.now()
        kept = SamagriPreference(
            id=f"{user_id}:{item_id}",
            user_id=user_id,
            item_id=item_id,
            preference=preference,
            updated_at=said.since.get(item_id, now) if item_id in held else now,
        )
        await self._preferences.put(kept)
        self._forget(user_id)
        await self._interactions.add([_opinion(kept)])
        return kept

    async def remove(self, actor: Actor, item_id: str) -> None:
        """Forget what the actor thinks of an item, and tell training that he thinks nothing of it.

        Raises ``NotFound`` when that is nothing.
        """
        is_removed = await self._preferences.remove(actor.user_id, item_id)
        self._forget(actor.user_id)
        if not is_removed:
            raise NotFound
        await self._interactions.add([_no_opinion(actor.user_id, item_id, self._clock.now())])

    def _forget(self, user_id: str) -> None:
        self._changes += 1
        self._read.pop(user_id, None)


def _opinion(kept: SamagriPreference) -> Interaction:
    is_liked = kept.preference is PreferenceKind.FAVOURITE
    return Interaction(
        id=f"{kept.preference.lower()}:{kept.id}:{_instant(kept.updated_at)}",
        user_id=kept.user_id,
        ts=kept.updated_at,
        kind="rating" if is_liked else "item_dismissed",
        item_id=kept.item_id,
        rating=_BEST_RATING if is_liked else None,
    )


def _no_opinion(user_id: str, item_id: str, at: datetime) -> Interaction:
    """The newest opinion holds at training: stars that say neither good nor ill end the others."""
    return Interaction(
        id=f"withdrawn:{user_id}:{item_id}:{_instant(at)}",
        user_id=user_id,
        ts=at,
        kind="rating",
        item_id=item_id,
        rating=_NO_RATING,
    )


def _instant(at: datetime) -> str:
    """As exact as the database keeps it, so that the same opinion read again has the same id."""
    return at.isoformat(timespec="milliseconds")
