"""The samagri of one booking: what has to be there, what is likely wanted, how much, and why.

In this order: what the puja demands comes first, whatever the scores; what the customer never wants
to see, what is out of season and what is there already fall away; the rest is scored by the
calibrated signals of the model; what reaches the threshold is kept, with no more of a kind than
variety allows; a budget then chooses among it as an exact knapsack. Equal input gives equal output,
in whatever order it comes.

Rows are ordered by type, then confidence, then price, then item id. A model's own find is
``OPTIONAL`` with the source ``model``.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from decimal import Decimal
from functools import cached_property
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from recsys.data import Tier
from recsys.knapsack import Option, solve
from recsys.models.base import FloatArray
from recsys.models.ease import Ease
from recsys.quantities import UnitMismatch, convert, packed
from recsys.reasons import MIN_BOOKINGS_FOR_RATE, Code, Reason
from recsys.shelf import Brand, Shelf
from recsys.signals import (
    BEGUN,
    FAVOUR,
    FRESH,
    REGRET,
    RULE_CONFIDENCE,
    SIGNALS,
    BlendWeights,
    Knowledge,
    Situation,
    logit,
)

MODEL: Final = "model"
RULES_VERSION: Final = "rules"
_DIGITS: Final = 4
_MIN_CONTRIBUTION: Final = 0.1
_MAX_REASONS: Final = 3
_VALUE_SCALE: Final = 1000
# The signals that are made of what bookings kept.
_OF_BOOKINGS: Final = frozenset({"puja", "assoc", "user", "region", "pandit"})
_CANONICAL: Final = {"kg": "g", "g": "g", "l": "ml", "ml": "ml", "cm": "m", "m": "m"}
_RULE_CODES: Final = {
    Tier.REQUIRED: Code.REQUIRED_BY_PUJA,
    Tier.ESSENTIAL: Code.RULE_ESSENTIAL,
    Tier.OPTIONAL: Code.RULE_OPTIONAL,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class BlendParams:
    """What the blend shows.

    Attributes
    ----------
    threshold
        Optional items of less confidence stay away.
    finds
        How many items that no rule names are shown at most.
    per_category
        How many of these may be of one category.
    essential_floor
        The least confidence of an essential item.
    optional_floor
        The least confidence of an optional item of the rules, before what the customer regretted.
    find_worth
        What a find is worth where the budget is short, beside 1 for an item of the rules.
    new_share
        The share of requests in which the last find makes room for a new item; 0: never.
    """

    threshold: float = 0.6
    finds: int = 8
    per_category: int = 3
    essential_floor: float = 0.9
    optional_floor: float = 0.0
    find_worth: float = 0.8
    new_share: float = 0.1


@dataclass(frozen=True, slots=True, kw_only=True)
class Demand:
    """What a rule of the catalogue asks for. Several may name one item; the strongest holds."""

    item_id: str
    tier: Tier
    quantity: Decimal
    unit: str
    source: str = "rule"
    rule_id: str = ""


@dataclass(frozen=True, slots=True)
class Bought:
    """That the customer took an item before: how often, and when last (milliseconds, UTC)."""

    times: int
    last_ts: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """One question. Ids throughout; what is not known to shelf or model counts as not said.

    Attributes
    ----------
    month
        1 to 12, in the calendar in which the seasons of the shelf are given; 0: not known.
    context_month
        The Gregorian month of the puja, 0 to 11, as the model learned it; -1: not known.
    added
        What the customer put on the list himself.
    never_show, regretted
        What he never wants to see; what he removed in two of his last three bookings of this puja.
    favourites
        What he has said that he likes.
    preferred
        What the pandit asks for by name.
    taste, history
        The customer's vector (of ``Als.vector`` or a stored row) and from how many events it comes.
    budget
        For all samagri, in the smallest unit of the currency; None: not said.
    fill
        Pad with items below the threshold, marked ``low_confidence``.
    seed
        Decides who is shown a new item: customer and day, say. Empty: nobody.
    """

    puja: str
    demands: tuple[Demand, ...] = ()
    puja_category: str = ""
    region: str = ""
    pandit: str = ""
    month: int = 0
    context_month: int = -1
    added: tuple[str, ...] = ()
    never_show: frozenset[str] = frozenset()
    regretted: frozenset[str] = frozenset()
    favourites: frozenset[str] = frozenset()
    preferred: tuple[str, ...] = ()
    bought: Mapping[str, Bought] = field(default_factory=dict)
    taste: FloatArray | None = None
    history: int = 0
    budget: int | None = None
    fill: bool = False
    seed: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One recommended item. ``price`` is that of the line; ``confidence`` 0 to 1.

    ``propensity`` is the chance with which an explored one came to be there; 1 by merit.
    """

    item_id: str
    tier: Tier
    source: str
    confidence: float
    quantity: Decimal
    unit: str
    price: int
    reasons: tuple[Reason, ...]
    brand_id: str = ""
    over_budget: bool = False
    in_season: bool = True
    user_hidden: bool = False
    low_confidence: bool = False
    explored: bool = False
    propensity: float = 1.0
    substitute_of: str = ""

    def as_dict(self) -> dict[str, Any]:
        """Plain values for JSON; the quantity as a string."""
        return {
            "item_id": self.item_id,
            "type": self.tier.name,
            "source": self.source,
            "confidence": self.confidence,
            "quantity": str(self.quantity),
            "unit": self.unit,
            "price": self.price,
            "brand_id": self.brand_id,
            "over_budget": self.over_budget,
            "in_season": self.in_season,
            "user_hidden": self.user_hidden,
            "low_confidence": self.low_confidence,
            "explored": self.explored,
            "propensity": self.propensity,
            "substitute_of": self.substitute_of,
            "reasons": [
                {"code": each.code.value, "weight": round(each.weight, 4), "data": dict(each.data)}
                for each in self.reasons
            ],
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class Recommendation:
    """The answer. ``shortfall``: by how much the demanded items alone exceed the budget.

    ``left_out`` are rows for which the budget has no room, in order.
    ``gap`` is above 0 only when so many items competed for the budget that the choice among them
    is not proved the best. ``unknown`` are demanded items that the shelf does not have, and that
    therefore have no price and no row.
    """

    rows: tuple[Row, ...]
    total: int
    shortfall: int = 0
    gap: int = 0
    left_out: tuple[Row, ...] = ()
    unknown: tuple[str, ...] = ()
    model_version: str = RULES_VERSION


class SamagriBlend:
    """Recommends samagri with what a model knows, or by rules alone.

    Parameters
    ----------
    shelf
        Made with the item ids of the same model.
    knowledge
        None: rules alone.
    """

    def __init__(
        self,
        shelf: Shelf,
        knowledge: Knowledge | None = None,
        *,
        version: str = RULES_VERSION,
        params: BlendParams | None = None,
    ) -> None:
        self.shelf = shelf
        self.knowledge = knowledge
        self.version = version
        self.params = params or BlendParams()
        self.usual_price = self._usual_price()

    def _usual_price(self) -> FloatArray:
        """What a usual line of each item costs; one base quantity where nothing is known."""
        usual = np.zeros(len(self.shelf), np.float32)
        if self.knowledge is not None:
            usual = self.shelf.gathered(self.knowledge.tables.quantity_anywhere, 0.0)
        return self.shelf.usual_price(usual)

    def recommend(self, request: Request) -> Recommendation:
        """The rows for one booking. Never fails for lack of knowledge."""
        case = self._case(request)
        demanded = case.demanded_rows()
        spent = sum(row.price for row in demanded)
        budget = request.budget
        wanted = case.optional_rows()
        chosen, gap = wanted, 0
        shortfall = 0
        if budget is not None:
            demanded = _marked(demanded, budget)
            chosen, gap = case.affordable(chosen, max(budget - spent, 0))
            shortfall = max(spent - budget, 0)
        rows = tuple(sorted((*demanded, *chosen), key=case.order))
        bought = {row.item_id for row in chosen}
        left_out = (row for row in wanted if row.item_id not in bought)
        return Recommendation(
            rows=rows,
            total=sum(row.price for row in rows),
            shortfall=shortfall,
            gap=gap,
            left_out=tuple(sorted(map(_too_dear, left_out), key=case.order)),
            unknown=tuple(
                sorted({d.item_id for d in request.demands if self.shelf.index(d.item_id) < 0})
            ),
            model_version=self.version,
        )

    def affordable(
        self, lines: Iterable[tuple[str, int, float, bool]], budget: int
    ) -> frozenset[str]:
        """The items of the highest worth whose prices fit a budget.

        Parameters
        ----------
        lines
            Item id, price, confidence, and whether it is a model's find; one for each item.
        """
        options = [
            Option(item_id, "", price, self._worth(item_id, confidence, is_find))
            for item_id, price, confidence, is_find in lines
        ]
        return frozenset(option.item_id for option in solve(options, max(budget, 0)).chosen)

    def _worth(self, item_id: str, confidence: float, is_find: bool) -> int:
        """What an item is worth where the budget is short; one that is gone counts as any other."""
        index = self.shelf.index(item_id)
        worth = (
            confidence * _VALUE_SCALE * (self.shelf.items[index].importance if index >= 0 else 1)
        )
        return max(1, round(worth * self.params.find_worth if is_find else worth))

    def companions(
        self, item_id: str, *, limit: int, month: int = 0, never_show: frozenset[str] = frozenset()
    ) -> list[tuple[str, Reason]]:
        """What bookings that kept this item keep beside it, the most telling first.

        By the weights of an EASE where there is one, else by how much oftener it is kept with the
        item than at all; never by fewer than ten bookings. Empty where nobody has counted.
        """
        index = self.shelf.index(item_id)
        column = int(self.shelf.column[index]) if index >= 0 else -1
        if self.knowledge is None or column < 0:
            return []
        tables = self.knowledge.tables
        cells = slice(
            int(tables.together_pointers[column]), int(tables.together_pointers[column + 1])
        )
        others, counts = tables.together_items[cells], tables.together_counts[cells]
        n = int(tables.item_totals[column])
        if isinstance(self.knowledge.samagri, Ease):
            tells = self.knowledge.samagri.weights_[column, others]
        else:
            share = tables.item_totals[others] / max(int(tables.puja_totals.sum()), 1)
            tells = counts / max(n, 1) - share
        known = np.flatnonzero(self.shelf.column >= 0)
        places = np.full(len(tables.item_totals), -1, np.int64)
        places[self.shelf.column[known]] = known
        stock = self.shelf.availability[month - 1] if 1 <= month <= 12 else None
        found: list[tuple[str, Reason]] = []
        for at in np.argsort(-tells, kind="stable").tolist():
            place = int(places[others[at]])
            if tells[at] <= 0 or len(found) == limit:
                break
            if place in (-1, index) or (stock is not None and stock[place] <= 0):
                continue
            name = self.shelf.items[place].item_id
            if name not in never_show:
                rate = round(int(counts[at]) / n, 3)
                data = {"with": [item_id], "n": n, "rate": rate}
                weight = round(float(tells[at]), _DIGITS)
                found.append((name, Reason(Code.OFTEN_TOGETHER, weight, data)))
        return found

    def confidences(self, request: Request) -> FloatArray:
        """The confidence of every item of the shelf, in its order, before any rule is applied."""
        return self._case(request).confidence

    def contributions(self, request: Request) -> Mapping[str, FloatArray]:
        """What each signal adds to the logit of every item of the shelf; null ones are absent."""
        return self._case(request).parts

    def _case(self, request: Request) -> _Case:
        if self.knowledge is None:
            return _Case(self, request)
        return _KnownCase(self, request, self.knowledge)


def _marked(rows: Sequence[Row], budget: int) -> list[Row]:
    """The demanded rows, those past the budget marked."""
    marked, spent = [], 0
    for row in rows:
        spent += row.price
        marked.append(replace(_too_dear(row), over_budget=True) if spent > budget else row)
    return marked


def _too_dear(row: Row) -> Row:
    """The same without the word that it fits the budget, for which there is no room."""
    reasons = tuple(each for each in row.reasons if each.code != Code.WITHIN_BUDGET)
    return row if len(reasons) == len(row.reasons) else replace(row, reasons=reasons)


class _Case:
    """One request while it is answered by the rules alone."""

    def __init__(self, blend: SamagriBlend, request: Request) -> None:
        self.shelf = blend.shelf
        self.params = blend.params
        self.request = request
        self.demands = _strongest(request.demands, self.shelf)
        self.added = sorted({i for each in request.added if (i := self.shelf.index(each)) >= 0})
        self.usual_price = blend.usual_price
        self.stock = (
            self.shelf.availability[request.month - 1]
            if 1 <= request.month <= len(self.shelf.availability)
            else None
        )
        self.substitutes = self._substitutes() if self.stock is not None else {}
        self.parts: dict[str, FloatArray] = {}
        self.confidence = self._confidence()
        ruled = [item for item, each in self.demands.items() if each.tier == Tier.OPTIONAL]
        self.confidence[ruled] = np.maximum(self.confidence[ruled], self.params.optional_floor)
        for item in self._indexes(request.regretted):
            self.confidence[item] = max(0.0, self.confidence[item] - REGRET)
        for item in self._indexes(request.favourites):
            # Where nothing else speaks for it a favourite stays below the threshold.
            self.confidence[item] = min(1.0, self.confidence[item] + FAVOUR)
        self.confidence = np.round(self.confidence, _DIGITS)

    def _indexes(self, ids: Iterable[str]) -> list[int]:
        return [index for each in ids if (index := self.shelf.index(each)) >= 0]

    # --- scoring ----------------------------------------------------------------------------------

    def _confidence(self) -> FloatArray:
        """The confidence of every item, before what the customer has said."""
        confidence = np.zeros(len(self.shelf), np.float32)
        confidence[self._optional()] = RULE_CONFIDENCE
        return confidence

    def _optional(self) -> list[int]:
        return [item for item, each in self.demands.items() if each.tier == Tier.OPTIONAL]

    def _reasons(self, item: int, limit: int) -> tuple[Reason, ...]:
        """What else than a rule speaks for an item: the rules know of nothing else."""
        return ()

    def _usual_canonical(self, item: int) -> float:
        """How much of it bookings keep, in its canonical unit; 0 where nobody knows."""
        return 0.0

    # --- rows -------------------------------------------------------------------------------------

    def order(self, row: Row) -> tuple[Any, ...]:
        """The place of a row: type, confidence, price of a unit, id."""
        index = self.shelf.index(row.item_id)
        return row.tier, -row.confidence, float(self.shelf.unit_price[index]), row.item_id

    def demanded_rows(self) -> list[Row]:
        """What the puja cannot do without, in order."""
        rows = [
            self._demanded_row(item, each)
            for item, each in self.demands.items()
            if each.tier != Tier.OPTIONAL
        ]
        return sorted(rows, key=self.order)

    def _demanded_row(self, item: int, demand: Demand) -> Row:
        if item in self.substitutes:
            return self._substitute_row(self.substitutes[item], demand)
        confidence = 1.0
        if demand.tier == Tier.ESSENTIAL:
            confidence = max(self.params.essential_floor, float(self.confidence[item]))
        hidden = demand.item_id in self.request.never_show
        notes = [Reason(_RULE_CODES[demand.tier], 0.0, self._rule_data(demand))]
        if hidden:
            notes.append(Reason(Code.NEEDED_THOUGH_HIDDEN, 0.0, {"puja": self.request.puja}))
        if not self._is_stocked(item):
            notes.append(Reason(Code.OUT_OF_SEASON))
        brand = self._cheapest(item)
        return Row(
            item_id=demand.item_id,
            tier=demand.tier,
            source=demand.source,
            confidence=round(confidence, _DIGITS),
            quantity=demand.quantity,
            unit=demand.unit,
            price=self._price(item, demand.quantity, demand.unit, brand),
            brand_id=brand.brand_id if brand else "",
            in_season=self._is_stocked(item),
            user_hidden=hidden,
            reasons=(*notes, *self._reasons(item, 1)),
        )

    def _rule_data(self, demand: Demand) -> dict[str, str]:
        data = {"puja": self.request.puja}
        return data | {"rule_id": demand.rule_id} if demand.rule_id else data

    def _is_stocked(self, item: int) -> bool:
        return self.stock is None or bool(self.stock[item] > 0)

    def _substitutes(self) -> dict[int, int]:
        """What stands for essential items out of season: something that is not there yet."""
        found: dict[int, int] = {}
        there = {*self.demands, *self.added}
        for item in sorted(self.demands):
            if self.demands[item].tier != Tier.ESSENTIAL or self._is_stocked(item):
                continue
            for each in self._indexes(self.shelf.items[item].substitutes):
                if each not in there and self._is_stocked(each):
                    found[item] = each
                    there.add(each)
                    break
        return found

    def _substitute_row(self, instead: int, demand: Demand) -> Row:
        quantity, unit = self._quantity_of_substitute(instead, demand)
        name = self.shelf.items[instead].item_id
        brand = self._cheapest(instead)
        return Row(
            item_id=name,
            tier=demand.tier,
            source=demand.source,
            confidence=self.params.essential_floor,
            quantity=quantity,
            unit=unit,
            price=self._price(instead, quantity, unit, brand),
            brand_id=brand.brand_id if brand else "",
            substitute_of=demand.item_id,
            user_hidden=name in self.request.never_show,
            reasons=(
                Reason(Code.SUBSTITUTE_FOR, 0.0, {"item": demand.item_id, "why": "season"}),
                Reason(_RULE_CODES[demand.tier], 0.0, self._rule_data(demand)),
            ),
        )

    def _quantity_of_substitute(self, instead: int, demand: Demand) -> tuple[Decimal, str]:
        """As much as was demanded, if the two are measured alike; else what is usual of it."""
        try:
            self._price(instead, demand.quantity, demand.unit, None)
        except UnitMismatch:
            return self._usual_quantity(instead)
        return demand.quantity, demand.unit

    def _cheapest(self, item: int) -> Brand | None:
        brands = self.shelf.items[item].brands
        return min(brands, key=lambda each: (each.price, each.brand_id), default=None)

    def _price(self, item: int, quantity: Decimal, unit: str, brand: Brand | None) -> int:
        return self.shelf.line_price(item, quantity, unit, brand.price if brand else None)

    def _allowed(self) -> NDArray[np.bool_]:
        """Which items may be offered at all."""
        may = np.ones(len(self.shelf), np.bool_)
        if self.stock is not None:
            may &= self.stock > 0
        may[self._indexes(self.request.never_show)] = False
        may[self.added] = False
        for item, each in self.demands.items():
            if each.tier != Tier.OPTIONAL:
                may[item] = False
        may[list(self.substitutes.values())] = False
        return may

    def optional_rows(self) -> list[Row]:
        """What is likely wanted, best first: items of the rules, and finds of the model."""
        may = self._allowed()
        likely = np.flatnonzero((self.confidence >= np.float32(self.params.threshold)) & may)
        items = [(item, False) for item in self._varied(self._sorted(likely))]
        if self.request.fill and len(items) < self.params.finds:
            may[likely] = False
            rest = self._sorted(self._best(may, 4 * self.params.finds))
            missing = self.params.finds - len(items)
            items += [(item, True) for item in self._varied(rest)[:missing]]
        rows = [self._optional_row(item, low) for item, low in items]
        return self._with_new(rows, may)

    def _sorted(self, items: NDArray[np.intp]) -> NDArray[np.intp]:
        return items[np.lexsort((items, self.shelf.unit_price[items], -self.confidence[items]))]

    def _best(self, may: NDArray[np.bool_], count: int) -> NDArray[np.intp]:
        """The most likely of those allowed, and all that are as likely as the last of them."""
        score = np.where(may & (self.confidence > 0), self.confidence, -1.0)
        if count >= len(score):
            return np.flatnonzero(score >= 0)
        border = max(float(np.partition(score, -count)[-count]), 0.0)
        return np.flatnonzero(score >= border)

    def _varied(self, items: NDArray[np.intp]) -> list[int]:
        """All items of the rules; of the others so many, and so many of one category."""
        ruled = np.zeros(len(self.shelf), np.bool_)
        ruled[list(self.demands)] = True
        keep = ruled[items]
        others = np.flatnonzero(~keep)
        category = self.shelf.category[items[others]]
        # The how-manieth of its category each is: places in a stable sort, less where it begins.
        by_category = np.argsort(category, kind="stable")
        begins = np.flatnonzero(np.diff(category[by_category], prepend=-1))
        lengths = np.diff(begins, append=len(others))
        number = np.empty(len(others), np.int64)
        number[by_category] = np.arange(len(others)) - np.repeat(begins, lengths)
        keep[others[number < self.params.per_category][: self.params.finds]] = True
        return [int(item) for item in items[keep]]

    def _with_new(self, rows: list[Row], may: NDArray[np.bool_]) -> list[Row]:
        """In some requests the last find makes room for a new item, so that it gets its chance."""
        if not self.request.seed or not self.shelf.is_new.any():
            return rows
        draw = hashlib.sha256(f"new:{self.request.seed}:{self.request.puja}".encode()).digest()
        if int.from_bytes(draw[:4], "big") / 2**32 >= self.params.new_share:
            return rows
        shown = {row.item_id for row in rows}
        fresh = [
            item
            for item in np.flatnonzero(self.shelf.is_new & may).tolist()
            if self.shelf.items[item].item_id not in shown and self._may_try(item)
        ]
        if not fresh:
            return rows
        item = fresh[int.from_bytes(draw[4:8], "big") % len(fresh)]
        finds = [row for row in rows if row.source == MODEL]
        kept = [row for row in rows if len(finds) < self.params.finds or row is not finds[-1]]
        chance = self.params.new_share / len(fresh)
        row = replace(self._optional_row(item, True), explored=True, propensity=chance)
        # What the model has a column for is in the catalogue since its training at least.
        why = Code.NEW_ITEM if self.shelf.column[item] < 0 else Code.SELDOM_TAKEN
        return [*kept, replace(row, reasons=(Reason(why), *row.reasons[:2]))]

    def _may_try(self, item: int) -> bool:
        """Whether pujas of this category ask for it, or none at all."""
        of = self.shelf.items[item].puja_categories
        return not of or self.request.puja_category in of

    def _optional_row(self, item: int, low_confidence: bool) -> Row:
        demand = self.demands.get(item)
        if demand is not None:
            quantity, unit, source = demand.quantity, demand.unit, demand.source
        else:
            quantity, unit = self._usual_quantity(item)
            source = MODEL
        reasons = self._reasons(item, _MAX_REASONS)
        if self.shelf.items[item].item_id in self.request.favourites:
            reasons = (Reason(Code.FAVOURITE), *reasons[: _MAX_REASONS - 1])
        if demand is not None and all(each.code != Code.RULE_OPTIONAL for each in reasons):
            rule = Reason(Code.RULE_OPTIONAL, 0.0, self._rule_data(demand))
            reasons = (*reasons[: _MAX_REASONS - 1], rule)
        brand = self._cheapest(item)
        return Row(
            item_id=self.shelf.items[item].item_id,
            tier=Tier.OPTIONAL,
            source=source,
            confidence=round(float(self.confidence[item]), _DIGITS),
            quantity=quantity,
            unit=unit,
            price=self._price(item, quantity, unit, brand),
            brand_id=brand.brand_id if brand else "",
            in_season=self._is_stocked(item),
            low_confidence=low_confidence,
            reasons=reasons,
        )

    def _usual_quantity(self, item: int) -> tuple[Decimal, str]:
        """What bookings kept of it, in whole packs; one pack or base quantity if nobody knows."""
        of = self.shelf.items[item]
        pack = self.shelf.pack(item)
        usual = self._usual_canonical(item)
        if usual <= 0:
            return packed(of.base_quantity if of.pack == 0 else of.pack, pack).total, of.base_unit
        try:
            unit = _CANONICAL.get(of.base_unit, of.base_unit)
            needed = convert(Decimal(f"{usual:.6g}"), unit, of.base_unit, of.weights)
        except UnitMismatch:
            needed = of.base_quantity
        return packed(needed, pack).total.normalize() + 0, of.base_unit

    def affordable(self, rows: Sequence[Row], left: int) -> tuple[list[Row], int]:
        """The rows of the highest worth that fit what is left, in the best affordable brand."""
        options = [option for row in rows for option in self._options(row)]
        selection = solve(options, left)
        chosen = {option.item_id: option for option in selection.chosen}
        return [
            replace(row, brand_id=chosen[row.item_id].grade, price=chosen[row.item_id].price)
            for row in rows
            if row.item_id in chosen
        ], selection.gap

    def _options(self, row: Row) -> list[Option]:
        item = self.shelf.index(row.item_id)
        of = self.shelf.items[item]
        worth = row.confidence * of.importance * _VALUE_SCALE
        if row.source == MODEL:
            worth *= self.params.find_worth
        if not of.brands:
            return [Option(row.item_id, "", row.price, max(1, round(worth)))]
        return [
            Option(
                row.item_id,
                brand.brand_id,
                self._price(item, row.quantity, row.unit, brand),
                max(1, round(worth * brand.worth)),
            )
            for brand in of.brands
        ]


class _KnownCase(_Case):
    """One request while it is answered with what a model knows."""

    def __init__(self, blend: SamagriBlend, request: Request, knowledge: Knowledge) -> None:
        # Before all else: the confidence is made of it.
        self.knowledge = knowledge
        super().__init__(blend, request)

    # --- scoring ----------------------------------------------------------------------------------

    @cached_property
    def given_ids(self) -> dict[int, str]:
        """What is on the list already: the item by the model's index, of those that it knows."""
        demanded = (item for item, each in self.demands.items() if each.tier != Tier.OPTIONAL)
        there = {*demanded, *self.added}
        columns = {int(self.shelf.column[item]): self.shelf.items[item].item_id for item in there}
        return {column: name for column, name in columns.items() if column >= 0}

    @cached_property
    def situation(self) -> Situation:
        """The request as the model sees it."""
        request, knowledge = self.request, self.knowledge
        ids = knowledge.ids
        context = {
            "puja": ids["pujas"].index(request.puja),
            "puja_category": ids["categories"].index(request.puja_category),
            "region": ids["regions"].index(request.region),
            "pandit": ids["pandits"].index(request.pandit),
            "month": request.context_month,
        }
        return Situation(
            context={name: value for name, value in context.items() if value >= 0},
            given=np.array(sorted(self.given_ids), np.int32),
            preferred=[
                column
                for column in self.shelf.column[sorted(self._indexes(request.preferred))].tolist()
                if column >= 0
            ],
            taste=request.taste,
            history=request.history,
            stage=BEGUN if self.added else FRESH,
        )

    def _confidence(self) -> FloatArray:
        optional = self._optional()
        knowledge, situation = self.knowledge, self.situation
        weights = knowledge.weights[situation.stage]
        known = knowledge.logits(situation)
        constant = weights.bias + sum(
            weights.null.get(name, 0.0)
            for name in ("puja", "assoc", "user", "region", "pandit")
            if name not in known
        )
        of_model = np.zeros(len(self.shelf.column) if not known else 0, np.float32)
        for name, values in known.items():
            part = np.float32(weights.signal[name] * knowledge.scale(name, situation)) * values
            self.parts[name] = part
            of_model = part.copy() if of_model.size == 0 else of_model + part
        unknown = sum(weights.null.get(name, 0.0) for name in known)
        z = self.shelf.gathered(of_model, unknown) + np.float32(constant)
        self.parts = {name: self.shelf.gathered(part, 0.0) for name, part in self.parts.items()}
        z = self._with_shelf(z, optional, weights)
        return np.asarray(1 / (1 + np.exp(-z)), np.float32)

    def _with_shelf(self, z: FloatArray, optional: list[int], weights: BlendWeights) -> FloatArray:
        """Add what the shelf, the budget and the rules say."""
        z = z + np.float32(weights.null.get("rule", 0.0))
        if optional:
            gain = weights.signal["rule"] * float(logit(np.array([RULE_CONFIDENCE]))[0])
            z[optional] += np.float32(gain - weights.null.get("rule", 0.0))
            self.parts["rule"] = np.zeros(len(z), np.float32)
            self.parts["rule"][optional] = gain
        if self.stock is None:
            z += np.float32(weights.null.get("season", 0.0))
        else:
            # Three values only: looked up, not computed item by item.
            of_stock = np.float32(weights.signal["season"]) * logit(np.array([0.0, 0.5, 1.0]))
            self.parts["season"] = of_stock[(self.stock * 2).astype(np.int8)]
            z += self.parts["season"]
        if self.request.budget is None:
            z += np.float32(weights.null.get("budget", 0.0))
        else:
            self.parts["budget"] = np.float32(weights.signal["budget"]) * logit(self.thrift)
            z += self.parts["budget"]
        return z

    @cached_property
    def thrift(self) -> FloatArray:
        """1 where a usual line costs no more than its planned share, falling to 0 at twice that."""
        tables = self.knowledge.tables
        share = self.shelf.gathered(tables.planned_share, 0.05)
        planned = np.maximum(np.float32(self.request.budget or 0) * share, 1.0)
        return np.asarray(np.clip(2 - self.usual_price / planned, 0, 1), np.float32)

    def _usual_canonical(self, item: int) -> float:
        column = int(self.shelf.column[item])
        if column < 0:
            return 0.0
        puja = self.situation.context.get("puja", -1)
        if puja >= 0 and self.knowledge.tables.quantity[puja, column] > 0:
            return float(self.knowledge.tables.quantity[puja, column])
        return float(self.knowledge.tables.quantity_anywhere[column])

    # --- reasons ----------------------------------------------------------------------------------

    @cached_property
    def _with_means(self) -> list[tuple[str, FloatArray, float]]:
        """Each signal's part, and what it is on the average item."""
        return [(name, part, float(part.mean())) for name, part in self.parts.items()]

    def _reasons(self, item: int, limit: int) -> tuple[Reason, ...]:
        """What lifted this item most above the others, as far as it can be put into true words.

        The weight of a reason is what its signal adds to the logit, less what it adds to the
        average item: a share of 0.4 is much where most items have 0.05. Of an item that no booking
        has kept nothing is told that bookings would have to tell.
        """
        silent = _OF_BOOKINGS if not self._was_kept(item) else frozenset()
        if self._is_preferred(item):
            silent -= {"pandit"}
        moved = [
            (lift, name)
            for name, part, mean in self._with_means
            if name not in silent and (lift := part.item(item) - mean) > _MIN_CONTRIBUTION
        ]
        moved.sort(key=lambda each: (-each[0], SIGNALS.index(each[1])))
        reasons: list[Reason] = []
        for weight, name in moved:
            if len(reasons) == limit:
                break
            found = _REASONS[name](self, item)
            if found is not None:
                code, data = found
                reasons.append(Reason(code, round(weight, _DIGITS), data))
        return tuple(reasons)

    def _was_kept(self, item: int) -> bool:
        """Whether any booking that the model has seen kept it."""
        column = self.shelf.column.item(item)
        return column >= 0 and bool(self.knowledge.tables.item_totals[column] > 0)

    def _is_preferred(self, item: int) -> bool:
        return self.shelf.items[item].item_id in self.request.preferred

    def _of_puja(self, item: int) -> tuple[Code, dict[str, Any]] | None:
        puja = self.situation.context.get("puja", -1)
        if puja < 0:
            return None
        tables = self.knowledge.tables
        kept = int(tables.puja_counts[puja, self.shelf.column.item(item)])
        # What lifts it may be the other pujas of the category.
        if kept == 0:
            return None
        data: dict[str, Any] = {"puja": self.request.puja}
        n = int(tables.puja_totals[puja])
        if n >= MIN_BOOKINGS_FOR_RATE:
            data |= {"n": n, "rate": round(kept / n, 3)}
        return Code.USUAL_FOR_PUJA, data

    def _of_basket(self, item: int) -> tuple[Code, dict[str, Any]] | None:
        """The given items that spoke most for this one; none if the context alone did.

        A model may have one item speak for another that was hardly ever kept beside it: told is of
        those alone that at least ten bookings kept together with this one.
        """
        column, given = int(self.shelf.column[item]), self.situation.given
        tables = self.knowledge.tables
        is_told = tables.beside(column, given) >= MIN_BOOKINGS_FOR_RATE
        if not is_told.any():
            return None
        spoke = np.where(is_told, self._spoke(column), 0.0)
        best = [int(given[at]) for at in np.argsort(-spoke, kind="stable")[:3] if spoke[at] > 0]
        if not best:
            return None
        both, n = tables.together(best[0], column), int(tables.item_totals[best[0]])
        return Code.OFTEN_TOGETHER, {
            "with": [self.given_ids[each] for each in best],
            "n": n,
            "rate": round(both / n, 3),
        }

    def _spoke(self, column: int) -> NDArray[np.float64]:
        """How much each given item speaks for this one."""
        model, given = self.knowledge.samagri, self.situation.given
        if isinstance(model, Ease):
            # What ``Ease.contributions`` says of the items, without asking for the context.
            return np.asarray(model.weights_[given, column], np.float64)
        # For other models: how much oftener it is kept with the given item than at all.
        tables = self.knowledge.tables
        total = max(int(tables.puja_totals.sum()), 1)
        base = int(tables.item_totals[column]) / total
        return np.array(
            [
                tables.together(each, column) / max(int(tables.item_totals[each]), 1) - base
                for each in given.tolist()
            ]
        )

    def _of_user(self, item: int) -> tuple[Code, dict[str, Any]] | None:
        bought = self.request.bought.get(self.shelf.items[item].item_id)
        if bought is None:
            return Code.YOUR_TASTE, {}
        return Code.YOU_BOUGHT_BEFORE, {"times": bought.times, "last_ts": bought.last_ts}

    def _of_region(self, item: int) -> tuple[Code, dict[str, Any]] | None:
        context, tables = self.situation.context, self.knowledge.tables
        region, puja = context["region"], context["puja"]
        n = int(tables.region_totals[region, puja])
        if n < MIN_BOOKINGS_FOR_RATE:
            return None
        signal = float(tables.region_signal[region, puja, int(self.shelf.column[item])])
        # Above the average item is not yet above the other regions.
        if signal <= 0.5 or self.parts["region"].item(item) <= 0:
            return None
        return Code.REGION, {
            "region": self.request.region,
            "n": n,
            "lift": round(2 ** (4 * (signal - 0.5)), 2),
        }

    def _of_season(self, item: int) -> tuple[Code, dict[str, Any]] | None:
        season = self.shelf.items[item].season
        if season is None or (season[1] - season[0]) % 12 == 11:
            return None
        return Code.IN_SEASON, {"from": season[0], "to": season[1]}

    def _of_pandit(self, item: int) -> tuple[Code, dict[str, Any]] | None:
        data: dict[str, Any] = {"pandit": self.request.pandit}
        if self._is_preferred(item):
            return Code.PANDIT_PREFERS, data
        context = self.situation.context
        row = self.knowledge.tables.pandit_row(context.get("pandit", -1), context.get("puja", -1))
        if row is None or row[0] < MIN_BOOKINGS_FOR_RATE:
            return None
        total, items, counts = row
        kept = int(counts[items == self.shelf.column[item]].sum())
        if kept == 0:
            return None
        return Code.PANDIT_PREFERS, data | {"n": total, "rate": round(kept / total, 3)}

    def _of_budget(self, item: int) -> tuple[Code, dict[str, Any]] | None:
        if self.thrift.item(item) < 1:
            return None
        return Code.WITHIN_BUDGET, {"budget": self.request.budget}

    def _of_rule(self, item: int) -> tuple[Code, dict[str, Any]] | None:
        return Code.RULE_OPTIONAL, self._rule_data(self.demands[item])


_REASONS: Final[Mapping[str, Callable[[_KnownCase, int], tuple[Code, dict[str, Any]] | None]]] = {
    "puja": _KnownCase._of_puja,
    "assoc": _KnownCase._of_basket,
    "user": _KnownCase._of_user,
    "region": _KnownCase._of_region,
    "season": _KnownCase._of_season,
    "pandit": _KnownCase._of_pandit,
    "budget": _KnownCase._of_budget,
    "rule": _KnownCase._of_rule,
}


def _strongest(demands: Iterable[Demand], shelf: Shelf) -> dict[int, Demand]:
    """One demand for each item that is on the shelf: the strongest, whatever order they came in."""
    found: dict[int, Demand] = {}
    for each in sorted(demands, key=lambda d: (d.tier, d.item_id, d.source, d.rule_id, d.quantity)):
        index = shelf.index(each.item_id)
        if index >= 0:
            found.setdefault(index, each)
    return found
