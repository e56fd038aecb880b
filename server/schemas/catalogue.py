"""The catalogue on the wire."""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal
from typing import Annotated

from msgspec import Meta, Struct

from server.domain.catalogue import (
    Puja,
    PujaCategory,
    Requirement,
    SamagriCategory,
    SamagriItem,
    SamagriType,
)
from server.domain.money import Unit, line_price
from server.schemas.base import Id, PageQuery

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
    """A kind of puja. Prices are paisa; ``months_bs`` 1 to 12 of Bikram Sambat, empty: all year."""

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
    samagri_estimate: int
    samagri_requirements: list[RequirementResponse]


class SamagriCategoryResponse(Struct, frozen=True, kw_only=True):
    """A shelf of the samagri catalogue."""

    id: str
    name: str
    name_ne: str
    position: int


class SamagriItemResponse(Struct, frozen=True, kw_only=True):
    """A samagri item. ``base_quantity`` of ``unit`` costs ``price`` paisa."""

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
        estimated_price=line_price(
            need.quantity,
            need.unit,
            base_price=item.price,
            base_quantity=item.base_quantity,
            base_unit=item.base_unit,
        ),
        currency=item.currency,
    )
