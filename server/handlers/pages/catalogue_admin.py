"""Administration: the catalogue, tables of it, and the record of what administrators did."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from typing import Any, Final

import msgspec

from server import problems
from server.domain.audit import Act
from server.domain.catalogue import Puja, TemplateSize
from server.domain.catalogue_import import ImportState, read_season, season_text
from server.domain.errors import FieldFault, Invalid, NotFound
from server.domain.money import Unit, minor_units
from server.domain.pandit import VerificationStatus
from server.domain.payout import PayoutStatus
from server.domain.ports.paging import Page as Slice
from server.domain.ports.payments import PaymentFilter
from server.handlers.base import ADMIN
from server.handlers.page_base import Form, whole_number
from server.handlers.pages.base import Page
from server.handlers.pages.labels import SIZES
from server.handlers.routing import Route
from server.i18n import N_
from server.schemas.base import PageQuery, decode_body
from server.schemas.catalogue_admin import (
    AuditQuery,
    ItemRequest,
    ItemsAdminQuery,
    TemplateAdminQuery,
    TemplateRequest,
    present_import,
)

_BACK: Final = "/admin/catalogue/"
_IMPORTS_SHOWN: Final = 5
_TEMPLATES: Final = "/admin/catalogue/templates/"
_NEW: Final = "new"
_SPARE_ROWS: Final = 5
_DIGITS: Final = str.maketrans("०१२३४५६७८९", "0123456789")
_ACTS: Final = {
    Act.PANDIT_APPROVED: N_("Pandit approved"),
    Act.PANDIT_REJECTED: N_("Pandit rejected"),
    Act.DOCUMENT_VIEWED: N_("Document looked at"),
    Act.CHAT_READ: N_("Chat read"),
    Act.USER_VIEWED: N_("Account looked at"),
    Act.USER_SIGNED_OUT: N_("Signed out by force"),
    Act.USER_DEACTIVATED: N_("Account closed"),
    Act.USER_REACTIVATED: N_("Account opened again"),
    Act.BOOKING_CANCELLED: N_("Booking called off"),
    Act.PROPOSAL_DECLINED: N_("Proposed time declined"),
    Act.ITEM_CHANGED: N_("Item changed"),
    Act.PUJA_CHANGED: N_("Rules of a puja changed"),
    Act.TEMPLATE_CHANGED: N_("Ready list changed"),
    Act.CATALOGUE_CHECKED: N_("Table sent"),
    Act.CATALOGUE_IMPORTED: N_("Table imported"),
    Act.CATALOGUE_DROPPED: N_("Table dropped"),
    Act.REVIEW_MODERATED: N_("Review decided on"),
    Act.CASH_RECORDED: N_("Cash recorded"),
    Act.REFUND_MADE: N_("Refund made"),
    Act.PAYMENT_REVIEWED: N_("Payment looked into"),
    Act.PAYOUT_PAID: N_("Payout paid"),
    Act.WEBHOOK_REPLAYED: N_("Callback processed again"),
    Act.MODEL_ACTIVATED: N_("Model made live"),
    Act.DATA_EXPORTED: N_("Data exported"),
}
_STATES: Final = {
    ImportState.READY: N_("Waits for you"),
    ImportState.FAULTY: N_("Has faults"),
    ImportState.APPLYING: N_("Is being written"),
    ImportState.APPLIED: N_("Written"),
    ImportState.DROPPED: N_("Dropped"),
}


class CataloguePage(Page):
    """The items, and the way to edit or exchange them."""

    roles = ADMIN
    section = "admin"

    async def get(self) -> None:
        """Show items by name, and the latest tables."""
        query = self.filters(ItemsAdminQuery)
        page = await self.services.catalogue_admin.list_items(
            self.person,
            query=query.q,
            category_id=query.category,
            is_active=query.is_active,
            limit=query.limit,
            after=self.after(query.cursor),
        )
        imports = await self.services.catalogue_admin.list_page(
            self.person, limit=_IMPORTS_SHOWN, after=None
        )
        following = self.cursor(page.next_key)
        await self.show(
            "admin/catalogue.html",
            title=self.translate("Catalogue"),
            query=query,
            items=page.rows,
            categories=(await self.services.catalogue.list_categories()).rows,
            imports=imports.rows,
            state_name=lambda state: self.translate(_STATES[state]),
            following=following and self.here(cursor=following),
        )


class ItemPage(Page):
    """One item."""

    roles = ADMIN
    section = "admin"

    async def get(self, item_id: str) -> None:
        """Show its form."""
        await self._show(item_id, Form())

    async def post(self, item_id: str) -> None:
        """Save it."""

        async def save() -> str:
            body = decode_body(msgspec.json.encode(self._given()), ItemRequest)
            await self.services.catalogue_admin.save_item(self.person, body.item(item_id))
            self.flash("good", self.translate("Saved."))
            return _BACK

        await self.submit(save, lambda form: self._show(item_id, form))

    def _given(self) -> dict[str, Any]:
        typed = self.typed
        texts = ("name", "name_ne", "category_id", "base_unit", "use", "use_ne")
        quantity = typed.get("base_quantity", "")
        return {
            **{name: typed.get(name, "") for name in texts},
            "base_quantity": whole_number(quantity) if quantity.isdecimal() else quantity,
            "price": _paisa(typed.get("price", "")),
            "aliases": [
                part.strip() for part in typed.get("aliases", "").split("|") if part.strip()
            ],
            "is_active": "is_active" in typed,
            "season": _season(typed.get("season", "")),
            "substitutes": [
                part.strip() for part in typed.get("substitutes", "").split("|") if part.strip()
            ],
        }

    async def _show(self, item_id: str, form: Form) -> None:
        item = await self.services.catalogue_admin.item(self.person, item_id)
        await self.show(
            "admin/item.html",
            title=self.local_name(item),
            item=item,
            item_form=form,
            season=season_text(item.season),
            units=tuple(Unit),
            categories=(await self.services.catalogue.list_categories()).rows,
        )


class TemplatesPage(Page):
    """The ready lists of samagri."""

    roles = ADMIN
    section = "admin"

    async def get(self) -> None:
        """Show those that are stored, by puja and size."""
        query = self.filters(TemplateAdminQuery)
        page = await self.services.catalogue_admin.templates(
            self.person, query.puja_id, limit=query.limit, after=self.after(query.cursor)
        )
        following = self.cursor(page.next_key)
        await self.show(
            "admin/templates.html",
            title=self.translate("Ready lists"),
            query=query,
            templates=page.rows,
            pujas=await self._pujas(),
            is_first="cursor" not in self.request.query_arguments,
            following=following and self.here(cursor=following),
        )

    async def _pujas(self) -> dict[str, Puja]:
        sheets = (await self.services.catalogue.list_pujas()).rows
        return {sheet.puja.id: sheet.puja for sheet in sheets}


class TemplatePage(TemplatesPage):
    """One ready list; ``new`` in the address is one that is still to be made."""

    async def get(self, template_id: str) -> None:  # type: ignore[override]  # with its id
        """Show its form."""
        await self._show(template_id, Form())

    async def post(self, template_id: str) -> None:
        """Save it."""

        async def save() -> str:
            code = self.typed.get("code", "") if template_id == _NEW else template_id
            body = decode_body(msgspec.json.encode(self._given()), TemplateRequest)
            if template_id == _NEW:
                await self._require_unused(code)
            await self.services.catalogue_admin.save_template(self.person, body.template(code))
            self.flash("good", self.translate("Saved."))
            return f"{_TEMPLATES}{code}/"

        await self.submit(save, lambda form: self._show(template_id, form))

    async def _require_unused(self, code: str) -> None:
        with suppress(NotFound):
            await self.services.catalogue_admin.template(self.person, code)
            raise Invalid(FieldFault("code", "taken"))

    def _given(self) -> dict[str, Any]:
        typed = self.typed
        texts = ("puja_id", "size", "name", "name_ne", "description", "description_ne")
        cells = zip(
            self.get_body_arguments("item"),
            self.get_body_arguments("quantity"),
            self.get_body_arguments("unit"),
            strict=False,
        )
        return {
            **{name: typed.get(name, "") for name in texts},
            "is_active": "is_active" in typed,
            "lines": [
                {"item": item.strip(), "quantity": _quantity(quantity), "unit": unit}
                for item, quantity, unit in cells
                if item.strip()
            ],
        }

    async def _show(self, template_id: str, form: Form) -> None:
        template = None
        if template_id != _NEW:
            template = await self.services.catalogue_admin.template(self.person, template_id)
        stored = template.lines if template else ()
        rows = [(line.item_id, f"{line.quantity:f}", line.unit.value) for line in stored]
        if form.problem is not None:
            rows = [row for row in self._typed_rows() if row[0].strip()]
        await self.show(
            "admin/template.html",
            title=self.local_name(template) if template else self.translate("New ready list"),
            ready=template,
            action=f"{_TEMPLATES}{template_id}/",
            form=form,
            rows=rows + [("", "", Unit.PIECE.value)] * _SPARE_ROWS,
            sizes=[(size, self.translate(SIZES[size])) for size in TemplateSize],
            units=tuple(Unit),
            pujas=sorted((await self._pujas()).values(), key=self.local_name),
        )

    def _typed_rows(self) -> list[tuple[str, str, str]]:
        names = ("item", "quantity", "unit")
        cells = (self.get_body_arguments(name) for name in names)
        return [(item, quantity, unit) for item, quantity, unit in zip(*cells, strict=False)]


class ImportPage(Page):
    """A table that was sent: what it would change, or what is wrong with it."""

    roles = ADMIN
    section = "admin"

    async def get(self, import_id: str) -> None:
        """Show it."""
        found = await self.services.catalogue_admin.find(self.person, import_id)
        language = self.reader.language
        await self.show(
            "admin/import.html",
            title=self.translate("Table: {name}", name=found.file_name),
            found=present_import(
                found,
                self.reader,
                lambda code: problems.fault_text(self.services.translations, language, code),
            ),
            state_name=lambda state: self.translate(_STATES[state]),
        )

    async def post(self, import_id: str) -> None:
        """Write it or drop it."""

        async def decide() -> str:
            if self.typed.get("do") == "apply":
                await self.services.catalogue_admin.apply(self.person, import_id)
                self.flash("good", self.translate("The whole table is written."))
            else:
                await self.services.catalogue_admin.drop(self.person, import_id)
                self.flash("info", self.translate("The table is dropped. Nothing has changed."))
            return _BACK

        await self.do(decide, f"{_BACK}imports/{import_id}/")


class AuditPage(Page):
    """The record."""

    roles = ADMIN
    section = "admin"

    async def get(self) -> None:
        """Show it, the latest act first."""
        query = self.filters(AuditQuery)
        page = await self.services.audit.list_page(
            self.person,
            act=query.act,
            target_id=query.target,
            limit=query.limit,
            after=self.after(query.cursor),
        )
        following = self.cursor(page.next_key)
        await self.show(
            "admin/audit.html",
            title=self.translate("What administrators did"),
            rows=page.rows,
            acts=[(act, self.translate(name)) for act, name in _ACTS.items()],
            act=query.act,
            name_of=lambda act: self.translate(_ACTS[act]),
            following=following and self.here(cursor=following),
        )


@dataclass(frozen=True, slots=True)
class _Count:
    """How many wait, counted no further than one page."""

    least: int
    is_more: bool

    @classmethod
    def of(cls, page: Slice[Any]) -> _Count:
        """The rows of a first page, and whether there is a second."""
        return cls(len(page.rows), page.next_key is not None)


class AdminPage(Page):
    """Where administrators begin."""

    roles = ADMIN
    section = "admin"

    async def get(self) -> None:
        """Show what there is to do."""
        waiting = await self.services.pandits.list_for_verification(
            VerificationStatus.PENDING, limit=PageQuery().limit, after=None
        )
        review = await self.services.payments.list_all(PaymentFilter(needs_review=True))
        payouts = await self.services.payouts.list_all(
            status=PayoutStatus.ASKED, limit=PageQuery().limit, after=None
        )
        await self.show(
            "admin/home.html",
            title=self.translate("Administration"),
            waiting=_Count.of(waiting),
            reviews=_Count.of(review),
            payouts=_Count.of(payouts),
        )


def _quantity(text: str) -> Decimal | str:
    """The quantity as typed, in either digits; what is none stays, and its field refuses it."""
    try:
        return Decimal(text.replace(",", "").translate(_DIGITS))
    except InvalidOperation:
        return text


def _season(text: str) -> tuple[int, int] | str | None:
    """The season as typed; what is none stays, and its field refuses it."""
    try:
        return read_season(text)
    except ValueError:
        return text


def _paisa(text: str) -> int | str:
    """Paisa of an amount typed in rupees; what is no amount stays, and its field refuses it."""
    try:
        return minor_units(text.translate(_DIGITS))
    except ValueError:
        return text


ROUTES: Final = (
    Route("/admin/", AdminPage, "page-admin"),
    Route("/admin/catalogue/", CataloguePage, "page-admin-catalogue"),
    Route("/admin/catalogue/items/{id}/", ItemPage, "page-admin-item"),
    Route("/admin/catalogue/templates/", TemplatesPage, "page-admin-templates"),
    Route("/admin/catalogue/templates/{id}/", TemplatePage, "page-admin-template"),
    Route("/admin/catalogue/imports/{id}/", ImportPage, "page-admin-import"),
    Route("/admin/audit/", AuditPage, "page-admin-audit"),
)
