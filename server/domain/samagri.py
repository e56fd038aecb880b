"""The samagri of a puja before and beside a booking: what it costs, its templates, what fits.

Everything here is a pure function of lines. A booking's own lines keep the prices that they have
frozen, whatever happens to them.
"""

from __future__ import annotations

import enum
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Final

from server.domain.booking import SamagriLine
from server.domain.catalogue import Puja, PujaTemplate, SamagriItem, check_quantity
from server.domain.money import convert_quantity

TEMPLATE: Final = "template"
"""The source of a line that a template brought."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Estimate:
    """What the samagri of a puja costs today; sums in paisa.

    ``lines`` are those that a booking would begin with, at the prices that it would freeze;
    ``others`` are optional items that the puja names and that nobody adds by himself.
    """

    puja: Puja
    lines: tuple[SamagriLine, ...]
    others: tuple[SamagriLine, ...]

    @property
    def low(self) -> int:
        """What cannot be left out."""
        return cost_of(line for line in self.lines if not line.can_remove)

    @property
    def usual(self) -> int:
        """What a booking begins with: the sum of ``lines``."""
        return cost_of(self.lines)

    @property
    def full(self) -> int:
        """With all optional items."""
        return self.usual + cost_of(self.others)


class Omission(enum.StrEnum):
    """Why something is not on a list that might be."""

    HIDDEN = "hidden"
    SEASON = "season"
    GONE = "gone"


@dataclass(frozen=True, slots=True)
class LeftOut:
    """An item that a template names and that it does not bring, and why."""

    item: SamagriItem
    why: Omission


@dataclass(frozen=True, slots=True, kw_only=True)
class TemplateOffer:
    """A template with the lines that it brings, at the prices of today."""

    template: PujaTemplate
    lines: tuple[SamagriLine, ...]
    left_out: tuple[LeftOut, ...]

    @property
    def cost(self) -> int:
        """What all of it costs, in paisa."""
        return cost_of(self.lines)


def cost_of(lines: Iterable[SamagriLine]) -> int:
    """The sum of the lines' prices, in paisa."""
    return sum(line.price_at_booking for line in lines)


def ordered(lines: Iterable[SamagriLine]) -> tuple[SamagriLine, ...]:
    """The lines as they are shown: by type, the customer's own last, the most confident first."""
    return tuple(
        sorted(lines, key=lambda line: (line.type.rank, line.user_added, -line.confidence))
    )


def by_template(
    present: Sequence[SamagriLine],
    needed: Iterable[SamagriLine],
    chosen: Iterable[SamagriLine],
) -> tuple[SamagriLine, ...]:
    """The list of somebody who takes a template.

    What cannot be removed stays and what is ``needed`` is there, in the template's quantity and
    never in less than is needed; what the customer has added himself stays as it is; of all else
    there is what the template has ``chosen`` and nothing more. A line that is ``present`` keeps its
    frozen price.
    """
    there = {line.item_id: line for line in present}
    found = {line.item_id: line for line in present if line.user_added or not line.can_remove}
    for line in needed:
        if line.item_id not in found:
            found[line.item_id] = _firm(there.get(line.item_id), line)
    for line in chosen:
        known = found.get(line.item_id, there.get(line.item_id))
        if known is None:
            found[line.item_id] = line
        elif not known.user_added:
            found[line.item_id] = _resized(known, line)
    return ordered(found.values())


def at_frozen_price(line: SamagriLine, present: SamagriLine) -> SamagriLine:
    """The line at the price that ``present``, a line of the same item, has frozen.

    Raises ``Invalid`` when the item is measured otherwise by now than it was then.
    """
    check_quantity(line.quantity, line.unit, present.base_unit)
    suggested = line.suggested_quantity
    frozen = replace(
        line,
        base_price=present.base_price,
        base_quantity=present.base_quantity,
        base_unit=present.base_unit,
        suggested_quantity=suggested
        and convert_quantity(suggested, line.base_unit, present.base_unit),
    )
    return frozen.resized(line.quantity, line.unit)


def _firm(present: SamagriLine | None, needed: SamagriLine) -> SamagriLine:
    """The needed line; one that was there as an optional one keeps its frozen price."""
    return needed if present is None else at_frozen_price(needed, present)


def _resized(line: SamagriLine, wanted: SamagriLine) -> SamagriLine:
    """The line in the wanted quantity, or in what is needed of it where that is more."""
    changed = line.resized(wanted.quantity, wanted.unit)
    least = changed.min_quantity
    if least is None or wanted.quantity >= least:
        return changed
    return line.resized(least, wanted.unit)


@dataclass(frozen=True, slots=True, kw_only=True)
class BudgetPlan:
    """The list that a budget allows. Sums in paisa.

    ``lines`` are what is bought; ``left_out`` what would be on the list if there were more money,
    the dearest worth first. ``shortfall`` is by how much the fixed lines alone, needed ones and the
    customer's own, pass the budget.
    """

    budget: int
    lines: tuple[SamagriLine, ...]
    left_out: tuple[SamagriLine, ...]
    shortfall: int

    @property
    def cost(self) -> int:
        """What the list costs."""
        return cost_of(self.lines)


def is_fixed(line: SamagriLine) -> bool:
    """Whether a budget leaves a line alone: it is needed, or the customer's own."""
    return line.user_added or not line.can_remove


def within_budget(lines: Sequence[SamagriLine], taken: frozenset[str], budget: int) -> BudgetPlan:
    """The plan in which of all lines that are not fixed those of the items ``taken`` are bought."""
    kept = [line for line in lines if is_fixed(line) or line.item_id in taken]
    left_out = [line for line in lines if not is_fixed(line) and line.item_id not in taken]
    return BudgetPlan(
        budget=budget,
        lines=ordered(kept),
        left_out=tuple(sorted(left_out, key=lambda line: (-line.confidence, line.item_id))),
        shortfall=max(0, cost_of(line for line in lines if is_fixed(line)) - budget),
    )
