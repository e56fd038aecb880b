"""Kinds of puja, samagri items, and the rules that join them."""

from __future__ import annotations

import enum
from collections.abc import Iterable
from dataclasses import dataclass, field
from decimal import Decimal

from server.domain.errors import FieldFault, Invalid
from server.domain.money import MAX_QUANTITY, NPR, Unit, line_price


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
    ritual.
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

    Empty: all year.
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
    requirements: tuple[Requirement, ...] = ()


@dataclass(frozen=True, slots=True)
class ItemUse:
    """That a puja uses an item, and how."""

    puja: Puja
    need: Requirement


@dataclass(frozen=True, slots=True)
class ItemSheet:
    """An item with its shelf, and the pujas that use it: the firmest use first, then by name."""

    item: SamagriItem
    category: SamagriCategory
    uses: tuple[ItemUse, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Catalogue:
    """The whole catalogue, checked: every name in it resolves."""

    categories: tuple[SamagriCategory, ...]
    items: tuple[SamagriItem, ...]
    puja_categories: tuple[PujaCategory, ...]
    pujas: tuple[Puja, ...]


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


def _key(name: str) -> str:
    return " ".join(name.casefold().split())
