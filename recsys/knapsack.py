"""The best choice of optional items within a budget: a multiple-choice knapsack.

An item may come in several brands or grades, of which at most one is taken. Prices are integers
in the smallest unit of the currency, values are integers too, so the sums are exact.

The ways of solving, in this order:

``all``     everything fits: the best grade of each item;
``value``   dynamic programming over the value, exact (Martello and Toth, Knapsack Problems, 1990,
            sections 2.6 and 6.6), while the values sum to at most :data:`MAX_VALUE_CELLS`;
``price``   dynamic programming over the price in at most :data:`MAX_PRICE_BUCKETS` buckets, each
            price rounded up: never above the budget, perhaps a little below the best;
``greedy``  by value for money, then single swaps, for very many items.

The last two say how far they may be from the best: ``gap``, against a Lagrangian bound.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

MAX_VALUE_CELLS: Final = 200_000
MAX_PRICE_BUCKETS: Final = 20_000
# Choices that are remembered for the way back, a byte or two each.
MAX_TABLE_CELLS: Final = 100_000_000
_NEVER: Final = np.int64(2**62)
_NARROW: Final = 2**30
_BOUND_STEPS: Final = 60

_Ints = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True, order=True)
class Option:
    """One way to buy an item: a grade or brand of it. ``value`` is what it is worth, 0 or more."""

    item_id: str
    grade: str
    price: int
    value: int


@dataclass(frozen=True, slots=True)
class Selection:
    """What is bought. ``gap`` bounds how much value a better choice could still add; 0: none."""

    chosen: tuple[Option, ...]
    value: int
    price: int
    gap: int
    method: str


def solve(options: Iterable[Option], budget: int) -> Selection:
    """Choose at most one option of each item, of the highest total value within ``budget``.

    Among equal values the lower price wins, then the set that holds the smaller item ids, so the
    answer does not depend on the order of ``options``. More budget never lowers the value as long
    as the method is exact (``all`` or ``value``).

    Raises
    ------
    ValueError
        If a price or a value is negative.
    """
    groups = _grouped(options, budget)
    best = [_best_grade(group) for group in groups]
    if sum(option.price for option in best) <= budget:
        return _selection(best, 0, "all")
    total = sum(option.value for option in best)
    if total <= MAX_VALUE_CELLS and total * len(groups) <= MAX_TABLE_CELLS:
        return _selection(_by_value(groups, budget), 0, "value")
    bound, worth = _lagrangian_bound(groups, budget)
    if MAX_PRICE_BUCKETS * len(groups) <= MAX_TABLE_CELLS:
        chosen, method = _by_price(groups, budget), "price"
    else:
        chosen, method = _greedy(groups, budget, worth), "greedy"
    return _selection(chosen, bound - sum(option.value for option in chosen), method)


def _selection(chosen: Iterable[Option], gap: int, method: str) -> Selection:
    ordered = tuple(sorted(chosen))
    return Selection(
        chosen=ordered,
        value=sum(option.value for option in ordered),
        price=sum(option.price for option in ordered),
        gap=max(gap, 0),
        method=method,
    )


def _grouped(options: Iterable[Option], budget: int) -> list[list[Option]]:
    """Those that are worth something and can be paid, by item; items and grades in order of id."""
    groups: dict[str, list[Option]] = {}
    for option in sorted(options):
        if option.price < 0 or option.value < 0:
            raise ValueError(f"negative price or value: {option}")
        if option.value > 0 and option.price <= budget:
            groups.setdefault(option.item_id, []).append(option)
    return list(groups.values())


def _best_grade(group: Sequence[Option]) -> Option:
    return min(group, key=lambda option: (-option.value, option.price, option.grade))


def _by_value(groups: Sequence[Sequence[Option]], budget: int) -> list[Option]:
    """The exact choice: ``cheapest[v]`` is the lowest price at which the value is just ``v``.

    Items go in from the largest id to the smallest and win every tie, which makes the set with
    the smaller ids the winner among equals.
    """
    # Half the width is twice the speed; a price and the sentinel must not overflow together.
    never = _NEVER if budget >= _NARROW else np.int32(_NARROW)
    cheapest = np.full(1 + sum(_best_grade(group).value for group in groups), never)
    limit = cheapest.dtype.type(budget)
    cheapest[0] = 0
    reached = 0
    steps: list[tuple[Sequence[Option], npt.NDArray[np.int16]]] = []
    for group in reversed(groups):
        before = cheapest[: reached + 1].copy()
        reached += _best_grade(group).value
        taken = np.full(reached + 1, -1, dtype=np.int16)
        for index in range(len(group) - 1, -1, -1):
            option = group[index]
            span = slice(option.value, option.value + len(before))
            candidate = before + cheapest.dtype.type(option.price)
            better = candidate <= np.minimum(cheapest[span], limit)
            np.copyto(cheapest[span], candidate, where=better)
            np.copyto(taken[span], np.int16(index), where=better)
        steps.append((group, taken))
    value = int(np.flatnonzero(cheapest <= budget)[-1])
    chosen = []
    for group, taken in reversed(steps):
        index = int(taken[value]) if value < len(taken) else -1
        if index >= 0:
            chosen.append(group[index])
            value -= group[index].value
    return chosen


def _by_price(groups: Sequence[Sequence[Option]], budget: int) -> list[Option]:
    """The best choice with prices rounded up to buckets: ``best[b]`` is the value for ``b``."""
    width = max(1, -(-budget // MAX_PRICE_BUCKETS))
    buckets = budget // width
    best: _Ints = np.zeros(buckets + 1, dtype=np.int64)
    steps: list[tuple[Sequence[Option], npt.NDArray[np.int16]]] = []
    for group in reversed(groups):
        before = best.copy()
        taken = np.full(buckets + 1, -1, dtype=np.int16)
        for index in range(len(group) - 1, -1, -1):
            option = group[index]
            cost = -(-option.price // width)
            if cost > buckets:
                continue
            candidate = before[: buckets + 1 - cost] + option.value
            better = candidate >= best[cost:]
            np.copyto(best[cost:], candidate, where=better)
            np.copyto(taken[cost:], np.int16(index), where=better)
        steps.append((group, taken))
    left = buckets
    chosen = []
    for group, taken in reversed(steps):
        index = int(taken[left])
        if index >= 0:
            chosen.append(group[index])
            left -= -(-group[index].price // width)
    return chosen


def _lagrangian_bound(groups: Sequence[Sequence[Option]], budget: int) -> tuple[int, float]:
    """No choice is worth more than this; and the worth of one paisa at which that is proved.

    For any worth ``w >= 0`` of money, ``w * budget + sum over items of max(0, value - w * price)``
    is above the best choice; it is convex in ``w``, so a ternary search finds its lowest.
    """
    prices = np.array([option.price for group in groups for option in group], dtype=np.float64)
    values = np.array([option.value for group in groups for option in group], dtype=np.float64)
    starts = np.cumsum([0, *(len(group) for group in groups)])[:-1]

    def bound(worth: float) -> float:
        reduced = np.maximum(values - worth * prices, 0.0)
        return worth * budget + float(np.maximum.reduceat(reduced, starts).sum())

    low, high = 0.0, float((values / np.maximum(prices, 1.0)).max())
    for _ in range(_BOUND_STEPS):
        third = (high - low) / 3
        if bound(low + third) <= bound(high - third):
            high -= third
        else:
            low += third
    worth = (low + high) / 2
    return int(min(bound(worth), bound(low), bound(high)) + 1e-6), worth


def _greedy(groups: Sequence[Sequence[Option]], budget: int, worth: float) -> list[Option]:
    """Each item's best grade at the worth of money, the best value for money first; then swaps."""
    wanted = [
        max(group, key=lambda option: option.value - worth * option.price) for group in groups
    ]
    wanted.sort(key=lambda option: (-option.value / max(option.price, 1), option.item_id))
    chosen: dict[str, Option] = {}
    left = budget
    for option in wanted:
        if option.price <= left:
            chosen[option.item_id] = option
            left -= option.price
    for option in sorted((each for group in groups for each in group), key=lambda o: (-o.value, o)):
        rival = _cheapest_rival(chosen, option, left)
        if rival is not None:
            left += sum(each.price for each in rival) - option.price
            for each in rival:
                del chosen[each.item_id]
            chosen[option.item_id] = option
    return list(chosen.values())


def _cheapest_rival(
    chosen: dict[str, Option], option: Option, left: int
) -> tuple[Option, ...] | None:
    """What must go for ``option`` to come in with profit: nothing, one item, or None: it stays out.

    Another grade of the same item always goes.
    """
    same = chosen.get(option.item_id)
    if same is not None:
        fits = same.price + left >= option.price and option.value > same.value
        return (same,) if fits else None
    if option.price <= left:
        return ()
    rivals = [
        each
        for each in chosen.values()
        if each.value < option.value and each.price + left >= option.price
    ]
    return (min(rivals, key=lambda each: (each.value, each)),) if rivals else None
