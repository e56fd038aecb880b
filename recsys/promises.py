"""What a list of samagri promises whatever the model says, counted on the bookings of the test.

What a puja demands is on its list, stronger types stand above weaker ones, and what a customer
never wants to see is not offered to him. The blend is asked as serving asks it, once as each
booking was made and once more by a customer who wants none of what was offered to him first, half
of them with a budget. Prices are those of the data; what an item of it is called is its id.
"""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from dataclasses import asdict, dataclass
from decimal import Decimal
from typing import Final

import numpy as np
from numpy.typing import NDArray

from recsys.blend import BlendParams, Demand, Recommendation, Request, SamagriBlend
from recsys.data import Dataset, Kind, Tier
from recsys.quantities import UnitMismatch, convert
from recsys.shelf import Shelf, ShelfItem
from recsys.signals import RULE_CONFIDENCE, Knowledge

MOST_ASKED: Final = 300
_UNIT: Final = "piece"
_Rows = NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Promises:
    """How many lists were made, and what in them was not as promised.

    Attributes
    ----------
    order_breaks
        Rows that stand above one of a stronger type.
    missing
        Required and essential items that are not there, nor what stands for them.
    unwanted
        Optional rows of things that the customer never wants to see.
    not_finite
        Confidences that are no numbers.
    """

    lists: int = 0
    order_breaks: int = 0
    missing: int = 0
    unwanted: int = 0
    not_finite: int = 0

    def as_dict(self) -> dict[str, int]:
        """For manifest and card."""
        return asdict(self)


def broken_promises(knowledge: Knowledge, data: Dataset, rows: _Rows, known_at: int) -> Promises:
    """Ask for some of these bookings and count.

    Parameters
    ----------
    known_at
        What customers had dismissed by then (milliseconds) is what they never want to see.
    """
    units = _base_units(data)
    shelf = Shelf.of(_shelf_items(data, units), data.items)
    params = BlendParams(essential_floor=1.0, optional_floor=RULE_CONFIDENCE)
    blend = SamagriBlend(shelf, knowledge, params=params)
    demands, dismissed = _demands(data, units), _dismissed(data, known_at)
    found = Counter[str]()
    for number, row in enumerate(_spread(rows)):
        request = _request(data, row, demands, dismissed)
        answer = blend.recommend(request)
        found.update(_counted(request, answer))
        optional = {each.item_id for each in answer.rows if each.tier == Tier.OPTIONAL}
        again = _request(
            data,
            row,
            demands,
            dismissed,
            more=frozenset(optional),
            budget=answer.total // 2 if number % 2 else None,
        )
        found.update(_counted(again, blend.recommend(again)))
    return Promises(**found)


def _spread(rows: _Rows) -> list[int]:
    step = max(1, -(-len(rows) // MOST_ASKED))
    return [int(row) for row in rows[::step]]


def _counted(request: Request, answer: Recommendation) -> dict[str, int]:
    tiers = [int(row.tier) for row in answer.rows]
    there = {row.item_id for row in answer.rows} | {row.substitute_of for row in answer.rows}
    needed = {each.item_id for each in request.demands if each.tier != Tier.OPTIONAL}
    return {
        "lists": 1,
        "order_breaks": sum(a > min(tiers[place:]) for place, a in enumerate(tiers)),
        "missing": len(needed - there),
        "unwanted": sum(
            row.tier == Tier.OPTIONAL and row.item_id in request.never_show for row in answer.rows
        ),
        "not_finite": sum(not math.isfinite(row.confidence) for row in answer.rows),
    }


def _request(
    data: Dataset,
    row: int,
    demands: dict[int, list[tuple[int, Demand]]],
    dismissed: dict[int, frozenset[str]],
    *,
    more: frozenset[str] = frozenset(),
    budget: int | None = None,
) -> Request:
    bookings = data.bookings
    puja, region, pandit = (
        int(column[row]) for column in (bookings.puja, bookings.region, bookings.pandit)
    )
    category = int(data.puja_category[puja]) if puja >= 0 else -1
    return Request(
        puja=data.pujas.ids[puja] if puja >= 0 else "",
        puja_category=data.categories.ids[category] if category >= 0 else "",
        region=data.regions.ids[region] if region >= 0 else "",
        pandit=data.pandits.ids[pandit] if pandit >= 0 else "",
        context_month=int(bookings.months()[row]),
        demands=tuple(each for where, each in demands.get(puja, ()) if where in (-1, region)),
        never_show=dismissed.get(int(bookings.user[row]), frozenset()) | more,
        budget=budget,
    )


def _dismissed(data: Dataset, known_at: int) -> dict[int, frozenset[str]]:
    events = data.events
    rows = np.flatnonzero(
        (events.kind == Kind.ITEM_DISMISSED) & (events.item >= 0) & (events.ts < known_at)
    )
    found: dict[int, set[str]] = defaultdict(set)
    for row in rows.tolist():
        found[int(events.user[row])].add(data.items.ids[events.item[row]])
    return {user: frozenset(items) for user, items in found.items()}


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
    """The items of the data at the middle of the prices paid for a line."""
    lines = data.lines
    paid = lines.price > 0
    prices: dict[int, list[int]] = defaultdict(list)
    for item, price in zip(lines.item[paid].tolist(), lines.price[paid].tolist(), strict=True):
        prices[item].append(price)
    return [
        ShelfItem(
            item_id=name,
            price=int(np.median(prices[item])) if prices[item] else 1,
            base_unit=units[item],
            category=data.categories.ids[category] if category >= 0 else "",
        )
        for item, (name, category) in enumerate(
            zip(data.items.ids, data.item_category.tolist(), strict=True)
        )
    ]


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
