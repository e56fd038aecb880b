"""Lists of samagri asked of the data alone: what a catalogue says beside it is not known here.

Prices and units are those of the data: an item costs the middle of what lines of it cost, for as
much as such a line has, and what it is called is its id. Seasons and substitutes are of the
catalogue, and are left out.
"""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from dataclasses import dataclass
from decimal import Decimal
from typing import Final, Self

import numpy as np

from recsys.blend import BlendParams, Bought, Demand, Request
from recsys.data import Dataset, IntArray, Kind, Status, Tier
from recsys.quantities import UnitMismatch, convert
from recsys.shelf import Index, Shelf, ShelfItem
from recsys.signals import RULE_CONFIDENCE

AS_SERVED: Final = BlendParams(essential_floor=1.0, optional_floor=RULE_CONFIDENCE)
"""What the lists of the product show."""
_UNIT: Final = "piece"
_LATEST: Final = 3
_REGRETTED: Final = 2


@dataclass(frozen=True, slots=True, eq=False)
class Lists:
    """What a data set tells of its items, and of what its pujas ask for."""

    data: Dataset
    items: tuple[ShelfItem, ...]
    _months: IntArray
    _demands: dict[int, list[tuple[int, Demand]]]

    @classmethod
    def of(cls, data: Dataset) -> Self:
        """Gather it."""
        units = _base_units(data)
        items = tuple(_shelf_items(data, units))
        return cls(data, items, data.bookings.months(), _demands(data, units))

    def shelf(self, model_ids: Index) -> Shelf:
        """The items as a model knows them by its ids."""
        return Shelf.of(self.items, model_ids)

    def demands(self, puja: int, region: int) -> tuple[Demand, ...]:
        """What the rules of a puja ask for in a region; indexes of the data, -1: not known."""
        return tuple(each for at, each in self._demands.get(puja, ()) if at in (-1, region))

    def category(self, puja: int) -> str:
        """The id of a puja's category; empty where it has none."""
        category = int(self.data.puja_category[puja]) if puja >= 0 else -1
        return self.data.categories.ids[category] if category >= 0 else ""

    def request(
        self,
        row: int,
        *,
        never_show: frozenset[str] = frozenset(),
        budget: int | None = None,
    ) -> Request:
        """The question of one booking, by its row, as it was made."""
        data, bookings = self.data, self.data.bookings
        puja, region, pandit = (
            int(column[row]) for column in (bookings.puja, bookings.region, bookings.pandit)
        )
        return Request(
            puja=data.pujas.ids[puja] if puja >= 0 else "",
            puja_category=self.category(puja),
            region=data.regions.ids[region] if region >= 0 else "",
            pandit=data.pandits.ids[pandit] if pandit >= 0 else "",
            context_month=int(self._months[row]),
            demands=self.demands(puja, region),
            never_show=never_show,
            budget=budget,
        )


def dismissed(data: Dataset, known_at: int) -> dict[int, frozenset[str]]:
    """By customer's index the items that he had dismissed by then (milliseconds)."""
    events = data.events
    rows = np.flatnonzero(
        (events.kind == Kind.ITEM_DISMISSED) & (events.item >= 0) & (events.ts < known_at)
    )
    found: dict[int, set[str]] = defaultdict(set)
    for row in rows.tolist():
        found[int(events.user[row])].add(data.items.ids[events.item[row]])
    return {user: frozenset(items) for user, items in found.items()}


def bought(data: Dataset, user: int) -> dict[str, Bought]:
    """What a customer's completed bookings kept: how often, and when last."""
    bookings, lines = data.bookings, data.lines
    his = (bookings.user == user) & (bookings.status == Status.COMPLETED)
    found: dict[str, Bought] = {}
    for row in np.flatnonzero(lines.kept & his[lines.booking]).tolist():
        name, ts = data.items.ids[lines.item[row]], int(bookings.held_ts[lines.booking[row]])
        known = found.get(name, Bought(0, ts))
        found[name] = Bought(known.times + 1, max(known.last_ts, ts))
    return found


def regretted(data: Dataset, user: int, puja: int) -> frozenset[str]:
    """What a customer took off in two of his last three bookings of a puja."""
    bookings, lines = data.bookings, data.lines
    rows = np.flatnonzero((bookings.user == user) & (bookings.puja == puja))
    latest = rows[np.argsort(-bookings.ts[rows], kind="stable")][:_LATEST]
    taken_off = np.isin(lines.booking, latest) & ~lines.kept
    items, times = np.unique(lines.item[taken_off], return_counts=True)
    return frozenset(data.items.decode(items[times >= _REGRETTED].tolist()))


def _base_units(data: Dataset) -> list[str]:
    """Of each item the unit in which it is asked for most, by rules before lists."""
    names, counts = data.units.ids, defaultdict[int, Counter[int]](Counter)
    for table, weight in ((data.rules, len(data.lines) + 1), (data.lines, 1)):
        known = table.unit >= 0
        pairs, times = np.unique(
            np.column_stack((table.item[known], table.unit[known])), axis=0, return_counts=True
        )
        for (item, unit), count in zip(pairs.tolist(), times.tolist(), strict=True):
            counts[item][unit] += count * weight
    return [
        next(
            (name for unit, _ in counts[item].most_common() if _is_unit(name := names[unit])), _UNIT
        )
        for item in range(len(data.items))
    ]


def _is_unit(name: str) -> bool:
    return _can_be_priced(name, name)


def _shelf_items(data: Dataset, units: list[str]) -> list[ShelfItem]:
    """The items of the data: so much as a line has in the middle, for what such lines cost."""
    lines, names = data.lines, data.units.ids
    sold = (lines.price > 0) & (lines.quantity > 0) & (lines.unit >= 0)
    found: dict[int, list[tuple[int, float]]] = defaultdict(list)
    for row in np.flatnonzero(sold).tolist():
        item = int(lines.item[row])
        if names[lines.unit[row]] == units[item]:
            found[item].append((int(lines.price[row]), float(lines.quantity[row])))
    items = []
    for item, (name, category) in enumerate(
        zip(data.items.ids, data.item_category.tolist(), strict=True)
    ):
        price, quantity = np.median(found[item], axis=0) if found[item] else (1.0, 1.0)
        items.append(
            ShelfItem(
                item_id=name,
                price=max(1, round(float(price))),
                base_quantity=Decimal(f"{float(quantity):.6g}"),
                base_unit=units[item],
                category=data.categories.ids[category] if category >= 0 else "",
            )
        )
    return items


def _demands(data: Dataset, units: list[str]) -> dict[int, list[tuple[int, Demand]]]:
    """By puja: what each rule asks for, and in which region (-1: everywhere)."""
    rules = data.rules
    found: dict[int, list[tuple[int, Demand]]] = defaultdict(list)
    for row in range(len(rules)):
        item = int(rules.item[row])
        unit = data.units.ids[rules.unit[row]] if rules.unit[row] >= 0 else units[item]
        quantity = float(rules.quantity[row])
        amount = Decimal(f"{quantity:.6g}") if math.isfinite(quantity) else Decimal(1)
        demand = Demand(
            item_id=data.items.ids[item],
            tier=Tier(int(rules.tier[row])),
            quantity=amount,
            unit=unit if _can_be_priced(unit, units[item]) else units[item],
        )
        found[int(rules.puja[row])].append((int(rules.region[row]), demand))
    return found


def _can_be_priced(unit: str, base: str) -> bool:
    try:
        convert(Decimal(1), unit, base)
    except UnitMismatch:
        return False
    return True
