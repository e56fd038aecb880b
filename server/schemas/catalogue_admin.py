"""Administration of the catalogue, and the record of what administrators did, on the wire."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from decimal import Decimal
from typing import Annotated

from msgspec import Meta, Struct

from server.domain.audit import Act, AuditEntry
from server.domain.catalogue import (
    MAX_SUBSTITUTES,
    MAX_TEMPLATE_LINES,
    MONTHS,
    Puja,
    PujaTemplate,
    Requirement,
    SamagriItem,
    SamagriType,
    TemplateLine,
    TemplateSize,
)
from server.domain.catalogue_import import (
    CatalogueImport,
    ImportKind,
    ImportState,
    RowChange,
    RowFault,
)
from server.domain.money import Unit
from server.schemas.base import Id, Name, PageQuery, Reader, Request, ShortText
from server.schemas.catalogue import ItemsQuery

Month = Annotated[int, Meta(ge=1, le=MONTHS)]


class ItemsAdminQuery(ItemsQuery, frozen=True, kw_only=True):
    """Which samagri items; with ``is_active`` false those that are switched off."""

    is_active: bool = True


class ItemRequest(Request, frozen=True, kw_only=True):
    """A samagri item as it shall be. ``base_quantity`` of ``base_unit`` costs ``price`` paisa.

    ``season``: first and last month of Bikram Sambat in which it can be had, null all year;
    ``substitutes``: items that may stand for it outside its season, the best first.
    """

    name: Name
    name_ne: Name
    aliases: Annotated[tuple[Name, ...], Meta(max_length=20)] = ()
    category_id: Id
    base_unit: Unit
    base_quantity: Annotated[int, Meta(ge=1, le=10_000)]
    price: Annotated[int, Meta(ge=1, le=10_000_000_00)]
    use: ShortText = ""
    use_ne: ShortText = ""
    is_active: bool = True
    season: tuple[Month, Month] | None = None
    substitutes: Annotated[tuple[Id, ...], Meta(max_length=MAX_SUBSTITUTES)] = ()

    def item(self, item_id: str) -> SamagriItem:
        """The domain's form."""
        return SamagriItem(
            id=item_id,
            name=self.name.strip(),
            name_ne=self.name_ne.strip(),
            aliases=tuple(dict.fromkeys(alias.strip() for alias in self.aliases)),
            category_id=self.category_id,
            base_unit=self.base_unit,
            base_quantity=self.base_quantity,
            price=self.price,
            use=self.use.strip(),
            use_ne=self.use_ne.strip(),
            is_active=self.is_active,
            season=self.season,
            substitutes=tuple(dict.fromkeys(self.substitutes)),
        )


class ItemAdminResponse(Struct, frozen=True, kw_only=True):
    """A samagri item with what only administration needs."""

    id: str
    name: str
    name_ne: str
    aliases: list[str]
    category_id: str
    base_unit: Unit
    base_quantity: int
    price: int
    currency: str
    use: str
    use_ne: str
    is_active: bool
    season: tuple[int, int] | None
    substitutes: list[str]


class RuleRequest(Request, frozen=True, kw_only=True):
    """One thing that a puja needs."""

    item_id: Id
    type: SamagriType
    quantity: Decimal
    unit: Unit


class RulesRequest(Request, frozen=True, kw_only=True):
    """All that a puja needs; what is not named is needed no longer."""

    requirements: Annotated[list[RuleRequest], Meta(min_length=1, max_length=200)]

    def needs(self) -> tuple[Requirement, ...]:
        """The domain's form."""
        return tuple(
            Requirement(
                item_id=rule.item_id, quantity=rule.quantity, unit=rule.unit, type=rule.type
            )
            for rule in self.requirements
        )


class RuleResponse(Struct, frozen=True, kw_only=True):
    """One thing that a puja needs."""

    item_id: str
    type: SamagriType
    quantity: Decimal
    unit: Unit


class RulesResponse(Struct, frozen=True, kw_only=True):
    """All that a puja needs."""

    puja_id: str
    requirements: list[RuleResponse]


class TemplateAdminQuery(PageQuery, frozen=True, kw_only=True):
    """Of which puja; without one, of all."""

    puja_id: Id | None = None


class TemplateLineRequest(Request, frozen=True, kw_only=True):
    """So much of an item, by its code, its name or any other spelling."""

    item: Annotated[str, Meta(min_length=1, max_length=120)]
    quantity: Decimal
    unit: Unit


class TemplateRequest(Request, frozen=True, kw_only=True):
    """A ready list of samagri as it shall be; what a puja cannot do without is added to it."""

    puja_id: Id
    size: TemplateSize
    name: Name
    name_ne: Name
    description: ShortText = ""
    description_ne: ShortText = ""
    is_active: bool = True
    lines: Annotated[list[TemplateLineRequest], Meta(min_length=1, max_length=MAX_TEMPLATE_LINES)]

    def template(self, template_id: str) -> PujaTemplate:
        """The domain's form; items are still called as they were written."""
        return PujaTemplate(
            id=template_id,
            puja_id=self.puja_id,
            size=self.size,
            name=self.name.strip(),
            name_ne=self.name_ne.strip(),
            description=self.description.strip(),
            description_ne=self.description_ne.strip(),
            is_active=self.is_active,
            lines=tuple(
                TemplateLine(item_id=line.item, quantity=line.quantity, unit=line.unit)
                for line in self.lines
            ),
        )


class TemplateLineAdminResponse(Struct, frozen=True, kw_only=True):
    """So much of an item."""

    item_id: str
    quantity: Decimal
    unit: Unit


class TemplateAdminResponse(Struct, frozen=True, kw_only=True):
    """A ready list of samagri as it is stored."""

    id: str
    puja_id: str
    size: TemplateSize
    name: str
    name_ne: str
    description: str
    description_ne: str
    is_active: bool
    lines: list[TemplateLineAdminResponse]


def present_admin_template(template: PujaTemplate) -> TemplateAdminResponse:
    """Show a template to administrators."""
    return TemplateAdminResponse(
        id=template.id,
        puja_id=template.puja_id,
        size=template.size,
        name=template.name,
        name_ne=template.name_ne,
        description=template.description,
        description_ne=template.description_ne,
        is_active=template.is_active,
        lines=[
            TemplateLineAdminResponse(item_id=line.item_id, quantity=line.quantity, unit=line.unit)
            for line in template.lines
        ],
    )


class RowFaultResponse(Struct, frozen=True, kw_only=True):
    """A fault in one row; the heading is row 1."""

    row: int
    column: str
    code: str
    value: str
    message: str


class RowChangeResponse(Struct, frozen=True, kw_only=True):
    """What a row would change: for each field its old and its new text."""

    id: str
    is_new: bool
    fields: dict[str, tuple[str, str]]


class ImportResponse(Struct, frozen=True, kw_only=True):
    """A table that was sent. ``faults`` and ``changes`` name the first 200, the counts say all."""

    id: str
    kind: ImportKind
    file_name: str
    at: datetime
    state: ImportState
    rows: int
    added: int
    changed: int
    unchanged: int
    fault_count: int
    faults: list[RowFaultResponse]
    changes: list[RowChangeResponse]


class AuditQuery(PageQuery, frozen=True, kw_only=True):
    """Which acts."""

    act: Act | None = None
    target: Id | None = None


class AuditResponse(Struct, frozen=True, kw_only=True):
    """One act of an administrator.

    ``is_done`` is False while it is under way, and where nobody knows whether it was done.
    """

    id: str
    at: datetime
    admin_id: str
    admin_name: str
    act: Act
    target_kind: str
    target_id: str
    details: dict[str, str]
    is_done: bool


def present_admin_item(item: SamagriItem) -> ItemAdminResponse:
    """Show an item to administrators."""
    return ItemAdminResponse(
        id=item.id,
        name=item.name,
        name_ne=item.name_ne,
        aliases=list(item.aliases),
        category_id=item.category_id,
        base_unit=item.base_unit,
        base_quantity=item.base_quantity,
        price=item.price,
        currency=item.currency,
        use=item.use,
        use_ne=item.use_ne,
        is_active=item.is_active,
        season=item.season,
        substitutes=list(item.substitutes),
    )


def present_rules(puja: Puja) -> RulesResponse:
    """Show what a puja needs."""
    return RulesResponse(
        puja_id=puja.id,
        requirements=[
            RuleResponse(
                item_id=need.item_id, type=need.type, quantity=need.quantity, unit=need.unit
            )
            for need in puja.requirements
        ],
    )


def present_import(
    found: CatalogueImport, reader: Reader, say: Callable[[str], str]
) -> ImportResponse:
    """Show a table that was sent; ``say`` words the code of a fault in the reader's language."""
    return ImportResponse(
        id=found.id,
        kind=found.kind,
        file_name=found.file_name,
        at=reader.local(found.at),
        state=found.state,
        rows=found.rows,
        added=found.added,
        changed=found.changed,
        unchanged=found.unchanged,
        fault_count=found.fault_count,
        faults=[_present_fault(fault, say) for fault in found.faults],
        changes=[_present_change(change) for change in found.changes],
    )


def present_audit(entry: AuditEntry, reader: Reader) -> AuditResponse:
    """Show an act."""
    return AuditResponse(
        id=entry.id,
        at=reader.local(entry.at),
        admin_id=entry.admin_id,
        admin_name=entry.admin_name,
        act=entry.act,
        target_kind=entry.target_kind,
        target_id=entry.target_id,
        details=entry.details,
        is_done=entry.is_done,
    )


def _present_fault(fault: RowFault, say: Callable[[str], str]) -> RowFaultResponse:
    return RowFaultResponse(
        row=fault.row,
        column=fault.column,
        code=fault.code,
        value=fault.value,
        message=say(fault.code),
    )


def _present_change(change: RowChange) -> RowChangeResponse:
    return RowChangeResponse(id=change.id, is_new=change.is_new, fields=change.fields)
