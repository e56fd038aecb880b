"""Kinds of puja, samagri items, and the rules that join them."""

from __future__ import annotations

import enum
from collections.abc import Iterable
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Final

from server.domain.errors import FieldFault, Invalid
from server.domain.money import MAX_QUANTITY, NPR, Unit, convert_quantity, line_price

MONTHS: Final = 12
MAX_SUBSTITUTES: Final = 5
MAX_TEMPLATE_LINES: Final = 200


class SamagriType(enum.StrEnum):
    """How firmly an item belongs to a puja, strongest first."""

    REQUIRED = "REQUIRED"
    ESSENTIAL = "ESSENTIAL"
    OPTIONAL = "OPTIONAL"

    @property
    def can_remove(self) -> bool:
        """Whether a customer may leave it out."""
        return self is SamagriType.OPTIONAL

    @property
    def rank(self) -> int:
        """Its place among the three, 0 the strongest."""
        return list(SamagriType).index(self)


@dataclass(frozen=True, slots=True, kw_only=True)
class SamagriCategory:
    """A shelf of the catalogue."""

    id: str
    name: str
    name_ne: str
    position: int


@dataclass(frozen=True, slots=True, kw_only=True)
class SamagriItem:
    """A ritual item. ``base_quantity`` of ``base_unit`` costs ``price`` paisa.

    ``aliases`` are all other spellings that mean this item; ``use`` says what it is for in the
    ritual. ``season`` is the first and the last month of Bikram Sambat, 1 to 12, in which it can be
    had, None all year; ``substitutes`` are ids of items that may stand for it outside, the best
    first.
    """

    id: str
    name: str
    name_ne: str
    aliases: tuple[str, ...] = ()
    category_id: str
    base_unit: Unit
    base_quantity: int
    price: int
    currency: str = NPR
    use: str = ""
    use_ne: str = ""
    is_active: bool = True
    season: tuple[int, int] | None = None
    substitutes: tuple[str, ...] = ()

    @property
    def season_months(self) -> tuple[int, ...]:
        """The months of its season in their order; empty: all year."""
        if self.season is None:
            return ()
        first, last = self.season
        return tuple((first - 1 + step) % MONTHS + 1 for step in range((last - first) % MONTHS + 1))

    def is_in_season(self, month_bs: int) -> bool:
        """Whether it can be had in that month of Bikram Sambat; 0: in a month that is not known."""
        return self.season is None or month_bs == 0 or month_bs in self.season_months

    def price_of(self, quantity: Decimal, unit: Unit) -> int:
        """What so much of it costs today, in paisa; see ``money.line_price``."""
        return line_price(
            quantity,
            unit,
            base_price=self.price,
            base_quantity=self.base_quantity,
            base_unit=self.base_unit,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Requirement:
    """That a puja needs so much of an item. ``quantity`` is in ``unit``."""

    item_id: str
    quantity: Decimal
    unit: Unit
    type: SamagriType


@dataclass(frozen=True, slots=True, kw_only=True)
class PujaCategory:
    """A family of pujas."""

    id: str
    name: str
    name_ne: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Puja:
    """A kind of puja. ``base_price`` is a usual dakshina in paisa; ``months_bs`` 1 to 12.

    Empty: all year. ``is_repeatable`` is false of what comes once in the life of a person or a
    house: it may be booked as often as anybody likes, but who has held it is not told of it again.
    """

    id: str
    name: str
    name_ne: str
    aliases: tuple[str, ...] = ()
    category_id: str
    description: str
    description_ne: str
    duration_minutes: int
    base_price: int
    currency: str = NPR
    months_bs: tuple[int, ...] = ()
    is_repeatable: bool = True
    requirements: tuple[Requirement, ...] = ()


@dataclass(frozen=True, slots=True)
class ItemUse:
    """That a puja uses an item, and how."""

    puja: Puja
    need: Requirement


@dataclass(frozen=True, slots=True)
class ItemSheet:
    """An item with its shelf, and the pujas that use it: the firmest use first, then by name.

    ``substitutes`` are those that can be had.
    """

    item: SamagriItem
    category: SamagriCategory
    uses: tuple[ItemUse, ...]
    substitutes: tuple[SamagriItem, ...] = ()


class TemplateSize(enum.StrEnum):
    """How much a template holds, the least first."""

    SIMPLE = "SIMPLE"
    USUAL = "USUAL"
    FULL = "FULL"

    @property
    def rank(self) -> int:
        """Its place among the sizes, 0 the smallest."""
        return list(TemplateSize).index(self)


@dataclass(frozen=True, slots=True, kw_only=True)
class TemplateLine:
    """So much of an item."""

    item_id: str
    quantity: Decimal
    unit: Unit


@dataclass(frozen=True, slots=True, kw_only=True)
class PujaTemplate:
    """A ready list of samagri for a puja, put together by people who know it.

    It never leaves out what the puja needs: that is added to it, and no less than is needed.
    ``is_stored`` is false of those that are made of the puja's rules when they are asked for.
    """

    id: str
    puja_id: str
    size: TemplateSize
    name: str
    name_ne: str
    description: str = ""
    description_ne: str = ""
    lines: tuple[TemplateLine, ...] = ()
    is_active: bool = True
    is_stored: bool = True

    @property
    def place(self) -> tuple[int, str]:
        """Its place among the templates of a puja."""
        return self.size.rank, self.id


@dataclass(frozen=True, slots=True, kw_only=True)
class Catalogue:
    """The whole catalogue, checked: every name in it resolves."""

    categories: tuple[SamagriCategory, ...]
    items: tuple[SamagriItem, ...]
    puja_categories: tuple[PujaCategory, ...]
    pujas: tuple[Puja, ...]
    templates: tuple[PujaTemplate, ...] = ()


@dataclass(slots=True)
class CatalogueFault(ValueError):
    """The catalogue contradicts itself; ``faults`` are sentences that name what and where."""

    faults: list[str] = field(default_factory=list)

    def __str__(self) -> str:
        """Join the faults, a line each."""
        return "\n".join(self.faults)


class ItemNames:
    """Finds items by code, name or alias, ignoring case and surrounding space.

    Never by part of a name.
    """

    def __init__(self, items: Iterable[SamagriItem]) -> None:
        self._by_name: dict[str, SamagriItem] = {}
        faults = []
        for item in items:
            for name in {_key(text) for text in (item.id, item.name, item.name_ne, *item.aliases)}:
                other = self._by_name.setdefault(name, item)
                if other is not item:
                    faults.append(f"items {other.id!r} and {item.id!r} share the name {name!r}")
        if faults:
            raise CatalogueFault(faults)

    def find(self, name: str) -> SamagriItem | None:
        """The one item that ``name`` means, or None."""
        return self._by_name.get(_key(name))


def check_quantity(quantity: Decimal, unit: Unit, base_unit: Unit) -> None:
    """Raise ``Invalid`` unless so much of an item makes sense.

    Above zero and at most 10,000, to three decimals, in a unit that measures what ``base_unit``
    measures, and whole where pieces are counted.
    """
    if not (quantity.is_finite() and 0 < quantity <= MAX_QUANTITY):
        raise Invalid(FieldFault("quantity", "range"))
    if unit.dimension != base_unit.dimension:
        raise Invalid(FieldFault("unit", "unit"))
    if quantity != round(quantity, 0 if unit.is_counted else 3):
        raise Invalid(FieldFault("quantity", "whole-number" if unit.is_counted else "type"))


def check_template_line(line: TemplateLine, item: SamagriItem, puja: Puja | None) -> None:
    """Raise ``Invalid`` unless a template of that puja may have such a line of the item.

    Of what the puja cannot do without it has at least as much as is needed.
    """
    check_quantity(line.quantity, line.unit, item.base_unit)
    for need in puja.requirements if puja else ():
        if need.item_id != item.id or need.type.can_remove:
            continue
        least = convert_quantity(need.quantity, need.unit, item.base_unit)
        if convert_quantity(line.quantity, line.unit, item.base_unit) < least:
            raise Invalid(FieldFault("quantity", "less-than-needed"))


def _key(name: str) -> str:
    return " ".join(name.casefold().split())
