"""Pujas and samagri items, and the tables that they are read in from."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Protocol

from server.domain.catalogue import (
    Catalogue,
    Puja,
    PujaCategory,
    PujaTemplate,
    SamagriCategory,
    SamagriItem,
)
from server.domain.catalogue_import import CatalogueImport
from server.domain.ports.paging import Page, SortKey


class CatalogueRepository(Protocol):
    """Pujas and samagri."""

    async def sync(self, catalogue: Catalogue) -> None:
        """Make the stored catalogue equal to this one; what it lacks is left as it is."""
        ...

    async def list_pujas(self) -> tuple[Puja, ...]:
        """Return all kinds of puja (some dozens), by name."""
        ...

    async def find_puja(self, puja_id: str) -> Puja | None:
        """Return the puja, or None."""
        ...

    async def known_pujas(self, puja_ids: Collection[str]) -> frozenset[str]:
        """Return those of the ids that name a puja, in one query."""
        ...

    async def list_puja_categories(self) -> tuple[PujaCategory, ...]:
        """Return all families of pujas."""
        ...

    async def list_categories(self) -> tuple[SamagriCategory, ...]:
        """Return all samagri categories by position."""
        ...

    async def list_items(
        self,
        *,
        query: str,
        category_id: str | None,
        limit: int,
        after: SortKey | None,
        is_active: bool = True,
    ) -> Page[SamagriItem]:
        """Return items by name: those that are active, or those that are switched off.

        ``query`` matches the beginning of any word of a name or alias.
        """
        ...

    async def find_items(self, item_ids: Collection[str]) -> dict[str, SamagriItem]:
        """Return those of the items that exist, by id, in one query."""
        ...

    async def all_items(self) -> tuple[SamagriItem, ...]:
        """Return every item, active or not, by id; for administration, some ten thousand."""
        ...

    async def put_items(self, items: Sequence[SamagriItem]) -> None:
        """Write items as an administrator has them; files leave them alone from then on.

        Each is written whole, so doing it again changes nothing.
        """
        ...

    async def put_pujas(self, pujas: Sequence[Puja]) -> None:
        """Write pujas with their rules as an administrator has them; see :meth:`put_items`."""
        ...

    async def list_templates(self, puja_id: str) -> tuple[PujaTemplate, ...]:
        """Return the stored templates of a puja, active or not, by id; some dozens at most."""
        ...

    async def all_templates(self) -> tuple[PujaTemplate, ...]:
        """Return every stored template, by id; for administration."""
        ...

    async def put_templates(self, templates: Sequence[PujaTemplate]) -> None:
        """Write templates as an administrator has them; see :meth:`put_items`."""
        ...


class CatalogueImportRepository(Protocol):
    """Tables that administrators have sent, and what became of them."""

    async def add(self, found: CatalogueImport, text: str) -> None:
        """Store a new one with its table."""
        ...

    async def find(self, import_id: str) -> CatalogueImport | None:
        """Return it without its table, or None."""
        ...

    async def text_of(self, import_id: str) -> str | None:
        """Return the table, None once it has been cleared away."""
        ...

    async def replace(self, found: CatalogueImport) -> bool:
        """Write it if nobody has changed it since it was read (``version``)."""
        ...

    async def list_page(self, *, limit: int, after: SortKey | None) -> Page[CatalogueImport]:
        """Return imports, the latest first; the sort key is (at, id)."""
        ...

    async def list_applying(self, limit: int) -> tuple[CatalogueImport, ...]:
        """Return those that were agreed to and are not through."""
        ...
