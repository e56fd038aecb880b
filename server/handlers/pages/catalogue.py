"""The catalogue for everybody: kinds of puja with what they need and cost, and samagri items."""

from __future__ import annotations

from typing import Final

from server.domain.booking import SamagriLine
from server.domain.catalogue import SamagriItem, SamagriType
from server.domain.errors import Invalid
from server.domain.learning import Surface
from server.domain.recommendation import MODEL
from server.handlers.page_base import Form
from server.handlers.pages.base import Page
from server.handlers.routing import Route
from server.schemas.catalogue import ItemsQuery, PujasQuery
from server.services.catalogue import PujaSheet

_ICONS: Final = {
    "home": "house",
    "life-cycle": "heart",
    "deity": "landmark",
    "recitation": "book-open",
    "planetary": "sun",
    "health": "sparkles",
    "ancestral": "flame",
}
"""A picture for each family of pujas; ``flower-2`` for those that have none."""


class PujasPage(Page):
    """All kinds of puja, by family; the search stands in the address."""

    section = "pujas"

    async def get(self) -> None:
        """Show them."""
        form = Form(self._query())
        sheets: tuple[PujaSheet, ...] = ()
        try:
            query = self.filters(PujasQuery)
            page = await self.services.catalogue.list_pujas(
                query=query.q, category_id=query.category, limit=100
            )
            sheets = page.rows
        except Invalid as error:
            problem = self.describe_error(422, error)
            self.set_status(problem.status)
            form = Form(self._query(), problem)
        groups: dict[str, list[PujaSheet]] = {}
        for sheet in sorted(sheets, key=lambda each: self.local_name(each.puja)):
            groups.setdefault(sheet.category.id, []).append(sheet)
        families = await self.services.catalogue.list_puja_categories()
        await self.show(
            "customer/pujas.html",
            title=self.translate("Kinds of puja"),
            form=form,
            families=sorted(families, key=self.local_name),
            groups=groups,
            icons=_ICONS,
        )


class PujaPage(Page):
    """A kind of puja: what it is, what it needs, and what that costs."""

    section = "pujas"

    async def get(self, puja_id: str) -> None:
        """Show it."""
        sheet = await self.services.catalogue.puja(puja_id)
        estimate = await self.services.catalogue.estimate(self.actor, puja_id)
        finds = [line for line in estimate.lines if line.source == MODEL]
        if finds:
            await self.note_shown(
                Surface.SAMAGRI,
                finds[0].advised_by,
                [line.item_id for line in finds],
                puja_id,
            )
        await self.show(
            "customer/puja.html",
            title=self.local_name(sheet.puja),
            puja=sheet.puja,
            family=sheet.category,
            estimate=estimate,
            groups=_groups(estimate.lines),
            finds=finds,
            has_rules=puja_id in self.services.almanac.pujas_with_rules,
            icon=_ICONS.get(sheet.category.id, "flower-2"),
        )


class ItemsPage(Page):
    """The samagri items by name; shelf and search stand in the address."""

    section = "samagri"

    async def get(self) -> None:
        """Show a page of them."""
        form, shelf = Form(self._query()), ""
        items: tuple[SamagriItem, ...] = ()
        following: str | None = None
        try:
            query = self.filters(ItemsQuery)
            shelf = query.category or ""
            page = await self.services.catalogue.list_items(
                query=query.q,
                category_id=query.category,
                limit=query.limit,
                after=self.after(query.cursor),
            )
            items, following = page.rows, self.cursor(page.next_key)
        except Invalid as error:
            problem = self.describe_error(422, error)
            self.set_status(problem.status)
            form = Form(self._query(), problem)
        await self.show(
            "customer/items.html",
            title=self.translate("Samagri"),
            form=form,
            items=items,
            shelf=shelf,
            categories=(await self.services.catalogue.list_categories()).rows,
            is_first="cursor" not in self.request.query_arguments,
            following=following and self.here(cursor=following),
        )


class ItemPage(Page):
    """One item: what it is, what it costs, and which pujas use it."""

    section = "samagri"

    async def get(self, item_id: str) -> None:
        """Show it."""
        sheet = await self.services.catalogue.item(item_id)
        await self.show(
            "customer/item.html",
            title=self.local_name(sheet.item),
            item=sheet.item,
            shelf=sheet.category,
            uses=sheet.uses,
        )


def _groups(lines: tuple[SamagriLine, ...]) -> list[tuple[SamagriType, list[SamagriLine]]]:
    """What the catalogue names, by type; empty groups fall away."""
    found = [
        (kind, [line for line in lines if line.type is kind and line.source != MODEL])
        for kind in SamagriType
    ]
    return [group for group in found if group[1]]


ROUTES: Final = (
    Route("/pujas/", PujasPage, "page-pujas"),
    Route("/pujas/{id}/", PujaPage, "page-puja"),
    Route("/samagri/", ItemsPage, "page-samagri"),
    Route("/samagri/{id}/", ItemPage, "page-samagri-item"),
)
