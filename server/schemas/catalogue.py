"""The catalogue on the wire."""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal
from typing import Annotated

from msgspec import Meta, Struct, structs

from server.domain.booking import SamagriLine
from server.domain.catalogue import (
    ItemSheet,
    Puja,
    PujaCategory,
    Requirement,
    SamagriCategory,
    SamagriItem,
    SamagriType,
    TemplateSize,
)
from server.domain.money import NPR, Unit
from server.domain.samagri import Estimate, LeftOut, Omission, TemplateOffer
from server.schemas.base import Id, PageQuery, Request

SearchText = Annotated[str, Meta(max_length=100)]


class PujasQuery(PageQuery, frozen=True, kw_only=True):
    """Which kinds of puja: ``q`` matches names in English, Nepali and romanised spelling."""

    q: SearchText = ""
    category: Id | None = None


class ItemsQuery(PageQuery, frozen=True, kw_only=True):
    """Which samagri items: ``q`` matches beginnings of words of any of their names."""

    q: SearchText = ""
    category: Id | None = None


class PujaCategoryResponse(Struct, frozen=True, kw_only=True):
    """A family of pujas."""

    id: str
    name: str
    name_ne: str


class PujaNameResponse(Struct, frozen=True, kw_only=True):
    """A kind of puja, in short."""

    id: str
    name: str
    name_ne: str


class NeededItemResponse(Struct, frozen=True, kw_only=True):
    """The item of a requirement."""

    id: str
    name: str
    name_ne: str
    category_id: str


class RequirementResponse(Struct, frozen=True, kw_only=True):
    """What a puja needs. ``estimated_price`` is today's price of that quantity, in paisa."""

    item: NeededItemResponse
    quantity: Decimal
    unit: Unit
    type: SamagriType
    can_remove: bool
    estimated_price: int
    currency: str


class PujaResponse(Struct, frozen=True, kw_only=True):
    """A kind of puja. Prices are paisa; ``months_bs`` 1 to 12 of Bikram Sambat, empty: all year.

    ``is_repeatable``: false of what comes once in a life, as a wedding does.
    """

    id: str
    name: str
    name_ne: str
    category: PujaCategoryResponse
    description: str
    description_ne: str
    duration_minutes: int
    base_price: int
    currency: str
    months_bs: list[int]
    is_repeatable: bool
    samagri_estimate: int
    samagri_requirements: list[RequirementResponse]


class SamagriCategoryResponse(Struct, frozen=True, kw_only=True):
    """A shelf of the samagri catalogue."""

    id: str
    name: str
    name_ne: str
    position: int


class SamagriItemResponse(Struct, frozen=True, kw_only=True):
    """A samagri item. ``base_quantity`` of ``unit`` costs ``price`` paisa.

    ``season``: first and last month of Bikram Sambat in which it can be had, null all year;
    ``substitutes``: ids of items that may stand for it outside its season.
    """

    id: str
    name: str
    name_ne: str
    aliases: list[str]
    category_id: str
    unit: Unit
    base_quantity: int
    price: int
    currency: str
    use: str
    use_ne: str
    season: tuple[int, int] | None
    substitutes: list[str]


class TemplatesQuery(PageQuery, frozen=True, kw_only=True):
    """Of which puja."""

    puja_id: Id


class TemplateLineResponse(Struct, frozen=True, kw_only=True):
    """A line that a new booking would have by a template; ``price`` is today's, in paisa."""

    item: NeededItemResponse
    quantity: Decimal
    unit: Unit
    type: SamagriType
    can_remove: bool
    price: int


class LeftOutResponse(Struct, frozen=True, kw_only=True):
    """What a template names and does not bring.

    ``why``: ``hidden`` (the reader never wants to see it), ``season`` or ``gone`` (it cannot be had
    now, or any more).
    """

    item: NeededItemResponse
    why: Omission


class TemplateResponse(Struct, frozen=True, kw_only=True):
    """A ready list of samagri for a puja, with all that the puja cannot do without.

    ``estimated_cost`` is the sum of its lines at the prices of today, in paisa. ``is_curated`` is
    false of those that are made of the puja's rules.
    """

    id: str
    puja_id: str
    size: TemplateSize
    name: str
    name_ne: str
    description: str
    description_ne: str
    is_curated: bool
    estimated_cost: int
    currency: str
    lines: list[TemplateLineResponse]
    left_out: list[LeftOutResponse]


class ItemUseResponse(Struct, frozen=True, kw_only=True):
    """That a puja uses an item: how much, how firmly, and what that costs today in paisa."""

    puja: PujaNameResponse
    quantity: Decimal
    unit: Unit
    type: SamagriType
    estimated_price: int


class ItemDetailResponse(SamagriItemResponse, frozen=True, kw_only=True):
    """A samagri item with its category and the pujas that use it, the firmest use first."""

    category: SamagriCategoryResponse
    pujas: list[ItemUseResponse]


class EstimateQuery(Request, frozen=True, kw_only=True):
    """Of which puja."""

    puja_id: Id


class EstimateLineResponse(Struct, frozen=True, kw_only=True):
    """One item of an estimate; ``price`` of the line in paisa.

    ``is_usual``: a booking begins with it. ``source``: who named it, as on a booking.
    """

    item: NeededItemResponse
    quantity: Decimal
    unit: Unit
    type: SamagriType
    source: str
    confidence: float
    reason: str
    reason_ne: str
    can_remove: bool
    is_usual: bool
    price: int


class EstimateResponse(Struct, frozen=True, kw_only=True):
    """What the samagri of a puja costs today, in paisa.

    ``low`` is what cannot be left out, ``usual`` what a booking begins with for this reader,
    ``full`` that with all optional items.
    """

    puja_id: str
    low: int
    usual: int
    full: int
    currency: str
    results: list[EstimateLineResponse]
    next: None = None


def present_puja_category(category: PujaCategory) -> PujaCategoryResponse:
    """Show a family of pujas."""
    return PujaCategoryResponse(id=category.id, name=category.name, name_ne=category.name_ne)


def present_puja(
    puja: Puja, category: PujaCategory, items: Mapping[str, SamagriItem]
) -> PujaResponse:
    """Show a puja; ``items`` holds those that it needs, by id."""
    needs = [
        _present_requirement(need, items[need.item_id])
        for need in puja.requirements
        if need.item_id in items
    ]
    return PujaResponse(
        id=puja.id,
        name=puja.name,
        name_ne=puja.name_ne,
        category=present_puja_category(category),
        description=puja.description,
        description_ne=puja.description_ne,
        duration_minutes=puja.duration_minutes,
        base_price=puja.base_price,
        currency=puja.currency,
        months_bs=list(puja.months_bs),
        is_repeatable=puja.is_repeatable,
        samagri_estimate=sum(need.estimated_price for need in needs),
        samagri_requirements=needs,
    )


def present_category(category: SamagriCategory) -> SamagriCategoryResponse:
    """Show a shelf."""
    return SamagriCategoryResponse(
        id=category.id, name=category.name, name_ne=category.name_ne, position=category.position
    )


def present_item(item: SamagriItem) -> SamagriItemResponse:
    """Show a samagri item."""
    return SamagriItemResponse(
        id=item.id,
        name=item.name,
        name_ne=item.name_ne,
        aliases=list(item.aliases),
        category_id=item.category_id,
        unit=item.base_unit,
        base_quantity=item.base_quantity,
        price=item.price,
        currency=item.currency,
        use=item.use,
        use_ne=item.use_ne,
        season=item.season,
        substitutes=list(item.substitutes),
    )


def present_item_sheet(sheet: ItemSheet) -> ItemDetailResponse:
    """Show an item with the pujas that use it."""
    item = sheet.item
    return ItemDetailResponse(
        **structs.asdict(present_item(item)),
        category=present_category(sheet.category),
        pujas=[
            ItemUseResponse(
                puja=PujaNameResponse(id=use.puja.id, name=use.puja.name, name_ne=use.puja.name_ne),
                quantity=use.need.quantity,
                unit=use.need.unit,
                type=use.need.type,
                estimated_price=item.price_of(use.need.quantity, use.need.unit),
            )
            for use in sheet.uses
        ],
    )


def present_template(offer: TemplateOffer) -> TemplateResponse:
    """Show a template with what it costs."""
    template = offer.template
    return TemplateResponse(
        id=template.id,
        puja_id=template.puja_id,
        size=template.size,
        name=template.name,
        name_ne=template.name_ne,
        description=template.description,
        description_ne=template.description_ne,
        is_curated=template.is_stored,
        estimated_cost=offer.cost,
        currency=NPR,
        lines=[
            TemplateLineResponse(
                item=_present_name(line),
                quantity=line.quantity,
                unit=line.unit,
                type=line.type,
                can_remove=line.can_remove,
                price=line.price_at_booking,
            )
            for line in offer.lines
        ],
        left_out=[present_left_out(each) for each in offer.left_out],
    )


def present_left_out(left: LeftOut) -> LeftOutResponse:
    """Show what a template does not bring."""
    item = left.item
    return LeftOutResponse(
        item=NeededItemResponse(
            id=item.id, name=item.name, name_ne=item.name_ne, category_id=item.category_id
        ),
        why=left.why,
    )


def _present_name(line: SamagriLine) -> NeededItemResponse:
    return NeededItemResponse(
        id=line.item_id, name=line.name, name_ne=line.name_ne, category_id=line.category_id
    )


def present_estimate(estimate: Estimate) -> EstimateResponse:
    """Show what the samagri of a puja costs."""
    return EstimateResponse(
        puja_id=estimate.puja.id,
        low=estimate.low,
        usual=estimate.usual,
        full=estimate.full,
        currency=estimate.puja.currency,
        results=[
            *(_present_estimated(line, is_usual=True) for line in estimate.lines),
            *(_present_estimated(line, is_usual=False) for line in estimate.others),
        ],
    )


def _present_estimated(line: SamagriLine, *, is_usual: bool) -> EstimateLineResponse:
    return EstimateLineResponse(
        item=_present_name(line),
        quantity=line.quantity,
        unit=line.unit,
        type=line.type,
        source=line.source,
        confidence=line.confidence,
        reason=line.reason,
        reason_ne=line.reason_ne,
        can_remove=line.can_remove,
        is_usual=is_usual,
        price=line.price_at_booking,
    )


def _present_requirement(need: Requirement, item: SamagriItem) -> RequirementResponse:
    return RequirementResponse(
        item=NeededItemResponse(
            id=item.id, name=item.name, name_ne=item.name_ne, category_id=item.category_id
        ),
        quantity=need.quantity,
        unit=need.unit,
        type=need.type,
        can_remove=need.type.can_remove,
        estimated_price=item.price_of(need.quantity, need.unit),
        currency=item.currency,
    )
