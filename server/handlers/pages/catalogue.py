"""The catalogue for everybody: kinds of puja with what they need and cost, and samagri items."""

from __future__ import annotations

from typing import Final

from server.domain.booking import SamagriLine
from server.domain.calendar import local_today
from server.domain.catalogue import SamagriItem, SamagriType
from server.domain.errors import Invalid
from server.domain.learning import PreferenceKind, Surface
from server.domain.recommendation import MODEL, AdvisedItem
from server.handlers.base import CUSTOMER
from server.handlers.page_base import Form, decode_known
from server.handlers.pages.base import Page
from server.handlers.routing import Route
from server.i18n import N_
from server.schemas.base import PageQuery
from server.schemas.catalogue import ItemsQuery, PujasQuery
from server.schemas.feedback import PreferenceRequest
from server.services.catalogue import PujaSheet
from server.services.seasons import month_bs

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
_COMPANIONS: Final = 6
_SAID: Final = {
    PreferenceKind.FAVOURITE: N_("It is one of your favourites now."),
    PreferenceKind.NEVER_SHOW: N_("It will not be suggested again."),
}


class CataloguePage(Page):
    """A page that knows which month it is."""

    @property
    def _month(self) -> int:
        """The month of Bikram Sambat in Nepal; 0 outside its table."""
        return month_bs(local_today(self.services.clock.now(), self.nepal.timezone))


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
        await self.note_opened(Surface.BOOKINGS, puja_id)
        estimate = await self.services.catalogue.estimate(self.actor, puja_id)
        finds = [line for line in estimate.lines if line.source == MODEL]
        if finds:
            await self.note_shown(
                Surface.SAMAGRI,
                finds[0].advised_by,
                [line.item_id for line in finds],
                puja_id,
            )
        offers = await self.services.templates.list_page(self.actor, puja_id)
        await self.show(
            "customer/puja.html",
            offers=offers.rows,
            title=self.local_name(sheet.puja),
            puja=sheet.puja,
            family=sheet.category,
            estimate=estimate,
            groups=_groups(estimate.lines),
            finds=finds,
            has_rules=puja_id in self.services.almanac.pujas_with_rules,
            icon=_ICONS.get(sheet.category.id, "flower-2"),
        )


class ItemsPage(CataloguePage):
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
            month=self._month,
            categories=(await self.services.catalogue.list_categories()).rows,
            is_first="cursor" not in self.request.query_arguments,
            following=following and self.here(cursor=following),
        )


class ItemPage(CataloguePage):
    """One item: what it is, what it costs, and which pujas use it."""

    section = "samagri"

    async def _together(self, item_id: str) -> tuple[AdvisedItem, ...]:
        """What goes with it, counted as shown."""
        advice = await self.services.recommendations.together(
            self.actor, item_id, limit=_COMPANIONS
        )
        shown = [each.item.id for each in advice.items]
        await self.note_shown(Surface.SAMAGRI, advice.model_version, shown)
        return advice.items

    async def _preference(self, item_id: str) -> PreferenceKind | None:
        """What the reader has said of it."""
        if self.actor is None:
            return None
        said = await self.services.preferences.find(self.actor.user_id)
        if item_id in said.favourites:
            return PreferenceKind.FAVOURITE
        return PreferenceKind.NEVER_SHOW if item_id in said.never_show else None

    async def get(self, item_id: str) -> None:
        """Show it."""
        sheet = await self.services.catalogue.item(item_id)
        await self.show(
            "customer/item.html",
            preference=await self._preference(item_id),
            together=await self._together(item_id),
            title=self.local_name(sheet.item),
            item=sheet.item,
            shelf=sheet.category,
            uses=sheet.uses,
            substitutes=sheet.substitutes,
            month=self._month,
        )


class PreferencePage(Page):
    """What a customer thinks of an item: a button on the pages that show it."""

    roles = CUSTOMER

    async def post(self, item_id: str) -> None:
        """Keep it, or forget it, and go back to where the button was pressed."""
        back = self.next_path(f"/samagri/{item_id}/")

        async def change() -> str:
            wanted = self.typed.get("preference", "")
            if wanted:
                kind = decode_known({"preference": wanted}, PreferenceRequest).preference
                await self.services.preferences.put(self.person, item_id, kind)
                self.flash("good", self.translate(_SAID[kind]))
            else:
                await self.services.preferences.remove(self.person, item_id)
                self.flash("good", self.translate("Forgotten. Nothing special is known of it now."))
            return back

        await self.do(change, back)


class PreferencesPage(Page):
    """One's favourite items, and those never to be suggested."""

    roles = CUSTOMER
    section = "account"

    async def get(self) -> None:
        """Show them."""
        query = self.filters(PageQuery)
        page = await self.services.preferences.list_with_items(
            self.person, limit=query.limit, after=self.after(query.cursor)
        )
        following = self.cursor(page.next_key)
        await self.show(
            "account/samagri.html",
            title=self.translate("Your samagri"),
            favourites=[
                item for row, item in page.rows if row.preference is PreferenceKind.FAVOURITE
            ],
            hidden=[item for row, item in page.rows if row.preference is PreferenceKind.NEVER_SHOW],
            is_first="cursor" not in self.request.query_arguments,
            following=following and self.here(cursor=following),
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
    Route("/samagri/{id}/preference/", PreferencePage, "page-samagri-preference"),
    Route("/account/samagri/", PreferencesPage, "page-samagri-preferences"),
)
