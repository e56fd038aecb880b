"""The items that can be recommended today: prices, units, seasons, as columns.

Made once from the catalogue of the day and the ids of a model, and shared by all requests. It is
numbered by its own sorted ids; ``column`` says where the model has each item, so the catalogue may
gain and lose items between two trainings.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from decimal import ROUND_HALF_UP, Decimal
from typing import Any, Final, Protocol, Self

import numpy as np
from numpy.typing import NDArray

from recsys.quantities import Weights, convert, is_counted

MONTHS: Final = 12
NEW_BELOW: Final = 5
"""Bookings that kept an item; below that it is new, however long it has been there."""
# How many canonical units (g, ml, m) such a unit is.
_CANONICAL: Final = {"kg": 1000.0, "l": 1000.0, "cm": 0.01, "dozen": 12.0}
_NO_WEIGHTS: Final = Weights()


class Index(Protocol):
    """An id map, whoever made it."""

    def index(self, name: str | None, /) -> int:
        """The index of an id, -1 if it is not there."""
        ...

    def __len__(self) -> int:
        """How many ids there are."""
        ...


@dataclass(frozen=True, slots=True)
class Brand:
    """One of several approved ways to buy an item; price as that of the item itself."""

    brand_id: str
    price: int
    worth: float = 1.0


@dataclass(frozen=True, slots=True, kw_only=True)
class ShelfItem:
    """One item of the catalogue.

    Attributes
    ----------
    price, base_quantity, base_unit
        So much money (in the smallest unit of the currency) for so much of it.
    pack
        The multiple in which it is sold, in the base unit; 0: any amount, whole ones of pieces.
    season
        The first and last month, 1 to 12, in the calendar of the caller; None: all year.
    substitutes
        Ids of items that may stand for it, the best first.
    importance
        What it weighs where the budget is short, beside others of equal confidence.
    is_new
        It came after the model was trained, or hardly anybody has had the chance to take it: fewer
        than ``NEW_BELOW`` bookings have kept it.
    puja_categories
        Of the pujas whose rules name it: what is new is tried in such pujas alone, so that nothing
        of a rite for the dead comes into a wedding. None: it is tried in any.
    """

    item_id: str
    price: int
    base_quantity: Decimal = Decimal(1)
    base_unit: str = "piece"
    pack: Decimal = Decimal(0)
    category: str = ""
    season: tuple[int, int] | None = None
    substitutes: tuple[str, ...] = ()
    importance: float = 1.0
    weights: Weights = _NO_WEIGHTS
    brands: tuple[Brand, ...] = ()
    is_new: bool = False
    puja_categories: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True, eq=False)
class Shelf:
    """The items in the order of their ids.

    Attributes
    ----------
    column
        The index of each item in the model, -1 where it has none.
    unit_price
        What one base unit costs.
    category
        Numbered in the order of the names.
    availability
        12 by items: 1 in season, 0.5 in its first and last month, 0 outside.
    """

    items: tuple[ShelfItem, ...]
    indexes: Mapping[str, int]
    column: NDArray[np.int32]
    unit_price: NDArray[np.float32]
    category: NDArray[np.int32]
    availability: NDArray[np.float32]
    is_new: NDArray[np.bool_]
    follows_model: bool

    @classmethod
    def of(cls, items: Iterable[ShelfItem], model_ids: Index | None = None) -> Self:
        """The shelf of these items, seen from a model with these ids (or from none)."""
        ordered = tuple(sorted(items, key=lambda item: item.item_id))
        column = np.array(
            [-1 if model_ids is None else model_ids.index(item.item_id) for item in ordered],
            np.int32,
        )
        categories = {name: i for i, name in enumerate(sorted({each.category for each in ordered}))}
        complete = model_ids is not None and len(model_ids) == len(ordered)
        return cls(
            items=ordered,
            indexes={item.item_id: index for index, item in enumerate(ordered)},
            column=column,
            unit_price=np.array([i.price / float(i.base_quantity) for i in ordered], np.float32),
            category=np.array([categories[item.category] for item in ordered], np.int32),
            availability=_availability(ordered),
            is_new=np.array([item.is_new for item in ordered], np.bool_),
            follows_model=complete and bool((column == np.arange(len(ordered))).all()),
        )

    def __len__(self) -> int:
        return len(self.items)

    def index(self, item_id: str) -> int:
        """The index of an item, -1 if it is not on the shelf."""
        return self.indexes.get(item_id, -1)

    def gathered(self, of_model: NDArray[Any], missing: float) -> NDArray[Any]:
        """Numbers of the model's items as numbers of the shelf's; ``missing`` where it has none."""
        if self.follows_model:
            return of_model
        return np.where(self.column >= 0, of_model[self.column], np.float32(missing))

    def line_price(self, item: int, quantity: Decimal, unit: str, price: int | None = None) -> int:
        """What so much costs, rounded half up once. Raises ``UnitMismatch`` on a wrong unit."""
        of = self.items[item]
        in_base = quantity
        if unit != of.base_unit:
            in_base = convert(quantity, unit, of.base_unit, of.weights)
        exact = in_base * (of.price if price is None else price) / of.base_quantity
        return int(exact.quantize(Decimal(1), rounding=ROUND_HALF_UP))

    def usual_price(self, canonical: NDArray[np.float32]) -> NDArray[np.float32]:
        """What a line of so much costs, in canonical units (g, ml, m); 0: a base quantity."""
        factor = np.array([_CANONICAL.get(item.base_unit, 1.0) for item in self.items], np.float32)
        base = np.array([float(item.base_quantity) for item in self.items], np.float32)
        quantity = np.where(canonical > 0, canonical / factor, base)
        return np.asarray(self.unit_price * quantity, np.float32)

    def pack(self, item: int) -> Decimal:
        """The multiple in which an item is sold, in its base unit."""
        of = self.items[item]
        if of.pack > 0:
            return of.pack
        return Decimal(1) if is_counted(of.base_unit) else Decimal("0.001")


def _availability(items: tuple[ShelfItem, ...]) -> NDArray[np.float32]:
    table = np.ones((MONTHS, len(items)), np.float32)
    for index, item in enumerate(items):
        if item.season is None:
            continue
        first, last = item.season
        length = (last - first) % MONTHS + 1
        for month in range(MONTHS):
            position = (month + 1 - first) % MONTHS
            edge = length < MONTHS and position in (0, length - 1)
            table[month, index] = 0.0 if position >= length else 0.5 if edge else 1.0
    return table
