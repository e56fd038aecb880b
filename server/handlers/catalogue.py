"""The catalogue: kinds of puja and samagri items, open to everybody."""

from __future__ import annotations

from typing import Final

from server.domain.errors import NotFound
from server.handlers.base import ApiHandler, operation
from server.handlers.routing import Route
from server.schemas.base import PageQuery, PageResponse
from server.schemas.catalogue import (
    ItemsQuery,
    PujaResponse,
    PujasQuery,
    SamagriCategoryResponse,
    SamagriItemResponse,
    present_category,
    present_item,
    present_puja,
)


class PujasHandler(ApiHandler):
    """The kinds of puja."""

    @operation("List the kinds of puja with what they need, by name")
    async def get(self, query: PujasQuery) -> PageResponse[PujaResponse]:
        page = await self.services.catalogue.list_pujas(
            query=query.q,
            category_id=query.category,
            limit=query.limit,
            after=self.after(query.cursor),
        )
        return PageResponse(
            results=[present_puja(row.puja, row.category, row.items) for row in page.rows],
            next=self.cursor(page.next_key),
        )


class PujaHandler(ApiHandler):
    """One kind of puja."""

    @operation("Show a kind of puja with what it needs", errors=(NotFound,))
    async def get(self, puja_id: str) -> PujaResponse:
        sheet = await self.services.catalogue.puja(puja_id)
        return present_puja(sheet.puja, sheet.category, sheet.items)


class SamagriCategoriesHandler(ApiHandler):
    """The shelves of the samagri catalogue."""

    @operation("List the samagri categories in their order")
    async def get(self, query: PageQuery) -> PageResponse[SamagriCategoryResponse]:
        page = await self.services.catalogue.list_categories(
            limit=query.limit, after=self.after(query.cursor)
        )
        return PageResponse(
            results=[present_category(row) for row in page.rows], next=self.cursor(page.next_key)
        )


class SamagriItemsHandler(ApiHandler):
    """The samagri items."""

    @operation("List samagri items by name")
    async def get(self, query: ItemsQuery) -> PageResponse[SamagriItemResponse]:
        page = await self.services.catalogue.list_items(
            query=query.q,
            category_id=query.category,
            limit=query.limit,
            after=self.after(query.cursor),
        )
        return PageResponse(
            results=[present_item(item) for item in page.rows],
            next=self.cursor(page.next_key),
        )


ROUTES: Final = (
    Route("/api/pujas/", PujasHandler, "pujas"),
    Route("/api/pujas/{id}/", PujaHandler, "puja"),
    Route("/api/samagri/categories/", SamagriCategoriesHandler, "samagri-categories"),
    Route("/api/samagri/items/", SamagriItemsHandler, "samagri-items"),
)
