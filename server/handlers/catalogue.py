"""The catalogue: kinds of puja and samagri items, open to everybody."""

from __future__ import annotations

from typing import Final

from server.domain.account import Actor
from server.domain.errors import NotFound
from server.handlers.base import ApiHandler, operation
from server.handlers.routing import Route
from server.schemas.base import PageQuery, PageResponse
from server.schemas.catalogue import (
    EstimateQuery,
    EstimateResponse,
    ItemDetailResponse,
    ItemsQuery,
    PujaResponse,
    PujasQuery,
    SamagriCategoryResponse,
    SamagriItemResponse,
    TemplateResponse,
    TemplatesQuery,
    present_category,
    present_estimate,
    present_item,
    present_item_sheet,
    present_puja,
    present_template,
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


class SamagriItemHandler(ApiHandler):
    """One samagri item."""

    @operation("Show a samagri item with the pujas that use it", errors=(NotFound,))
    async def get(self, item_id: str) -> ItemDetailResponse:
        return present_item_sheet(await self.services.catalogue.item(item_id))


class EstimateHandler(ApiHandler):
    """What the samagri of a puja costs."""

    @operation("Estimate what the samagri of a puja costs today, line by line", errors=(NotFound,))
    async def get(self, actor: Actor | None, query: EstimateQuery) -> EstimateResponse:
        return present_estimate(await self.services.catalogue.estimate(actor, query.puja_id))


class TemplatesHandler(ApiHandler):
    """Ready lists of samagri."""

    @operation(
        "List the ready lists of samagri for a puja, the smallest first, with what they cost",
        errors=(NotFound,),
    )
    async def get(
        self, actor: Actor | None, query: TemplatesQuery
    ) -> PageResponse[TemplateResponse]:
        page = await self.services.templates.list_page(
            actor, query.puja_id, limit=query.limit, after=self.after(query.cursor)
        )
        return PageResponse(
            results=[present_template(each) for each in page.rows], next=self.cursor(page.next_key)
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
    Route("/api/samagri/items/{id}/", SamagriItemHandler, "samagri-item"),
    Route("/api/samagri/templates/", TemplatesHandler, "samagri-templates"),
    Route("/api/samagri/estimate/", EstimateHandler, "samagri-estimate"),
)
