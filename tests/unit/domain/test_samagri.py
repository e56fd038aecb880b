"""Templates and budgets: what stays, what is frozen, what fits, for any list."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal
from itertools import chain, combinations

from hypothesis import given
from hypothesis import strategies as st

from recsys.blend import SamagriBlend
from recsys.shelf import Shelf
from server.domain.booking import SamagriLine
from server.domain.catalogue import SamagriType
from server.domain.money import Unit, convert_quantity, line_price
from server.domain.samagri import by_template, cost_of, is_fixed, within_budget
from tests.factories import make_line

ITEMS = ("haldi", "ghee", "rice", "lotus", "sugar", "honey", "barley")
QUANTITIES = st.integers(1, 5_000).map(Decimal)
UNITS = st.sampled_from([Unit.G, Unit.KG])
PRICES = st.integers(1, 200_000)


@st.composite
def lines(
    draw: st.DrawFn, kinds: tuple[SamagriType, ...] = tuple(SamagriType), *, own: bool = False
) -> list[SamagriLine]:
    """A list with one line for each of some items, each priced by its own frozen price."""
    found = []
    for item_id in draw(st.lists(st.sampled_from(ITEMS), unique=True)):
        kind = draw(st.sampled_from(kinds))
        is_own = own and kind.can_remove and draw(st.booleans())
        line = make_line(
            item_id,
            type=kind,
            base_price=draw(PRICES),
            confidence=draw(st.sampled_from([0.6, 0.75, 0.8, 1.0])),
            source="customer" if is_own else draw(st.sampled_from(["rule", "model"])),
            user_added=is_own,
            auto_added=not is_own,
        ).resized(draw(QUANTITIES), draw(UNITS))
        if not kind.can_remove:
            least = draw(QUANTITIES)
            line = replace(line, suggested_quantity=least / 1000)
            if line.min_quantity is not None and line.quantity < line.min_quantity:
                line = line.resized(line.min_quantity, line.unit)
        found.append(line)
    return found


def in_kg(line: SamagriLine) -> Decimal:
    return convert_quantity(line.quantity, line.unit, Unit.KG)


FIRM = (SamagriType.REQUIRED, SamagriType.ESSENTIAL)


@given(lines(own=True), lines(FIRM), lines())
def test_a_template_never_loses_what_must_stay(
    present: list[SamagriLine], needed: list[SamagriLine], chosen: list[SamagriLine]
) -> None:
    made = by_template(present, needed, chosen)
    by_item = {line.item_id: line for line in made}
    assert len(by_item) == len(made), "one line for each item"
    for line in present:
        if line.user_added:
            assert line.item_id in by_item
        elif not line.can_remove:
            assert not by_item[line.item_id].can_remove
    for line in needed:
        kept = by_item[line.item_id]
        if not kept.user_added:
            assert not kept.can_remove
            assert in_kg(kept) >= kept.suggested_quantity  # type: ignore[operator]  # needed lines have one
    wanted = {line.item_id for line in (*needed, *chosen)}
    stays = {line.item_id for line in present if is_fixed(line)}
    assert set(by_item) == wanted | stays


@given(lines(own=True), lines(FIRM), lines())
def test_a_template_keeps_frozen_prices_and_prices_each_line_by_one_rule(
    present: list[SamagriLine], needed: list[SamagriLine], chosen: list[SamagriLine]
) -> None:
    frozen = {line.item_id: line.base_price for line in present}
    for line in by_template(present, needed, chosen):
        assert line.base_price == frozen.get(line.item_id, line.base_price)
        assert line.price_at_booking == line_price(
            line.quantity,
            line.unit,
            base_price=line.base_price,
            base_quantity=line.base_quantity,
            base_unit=line.base_unit,
        )


@given(lines(own=True), lines(FIRM), lines())
def test_taking_a_template_twice_is_taking_it_once(
    present: list[SamagriLine], needed: list[SamagriLine], chosen: list[SamagriLine]
) -> None:
    once = by_template(present, needed, chosen)
    assert by_template(once, needed, chosen) == once


def test_a_template_asks_for_more_of_what_is_needed_and_never_for_less() -> None:
    needed = make_line("rice", type=SamagriType.ESSENTIAL, suggested_quantity=Decimal("0.1"))
    more = make_line("rice", quantity=Decimal(1), unit=Unit.KG)
    (line,) = by_template((), [needed], [more])
    assert (line.quantity, line.unit, line.price_at_booking) == (Decimal(1), Unit.KG, 50_000)
    assert line.type is SamagriType.ESSENTIAL
    less = make_line("rice", quantity=Decimal(10))
    (line,) = by_template((), [needed], [less])
    assert (line.quantity, line.unit) == (Decimal(100), Unit.G)


BLEND = SamagriBlend(Shelf.of(()))


def chosen_of(found: list[SamagriLine], budget: int) -> frozenset[str]:
    fixed = cost_of(line for line in found if is_fixed(line))
    return BLEND.affordable(
        [
            (line.item_id, line.price_at_booking, line.confidence, line.source == "model")
            for line in found
            if not is_fixed(line)
        ],
        max(0, budget - fixed),
    )


@given(lines(own=True), st.integers(0, 1_000_000))
def test_a_budget_is_passed_by_fixed_lines_alone(found: list[SamagriLine], budget: int) -> None:
    plan = within_budget(found, chosen_of(found, budget), budget)
    fixed = [line for line in found if is_fixed(line)]
    assert plan.shortfall == max(0, cost_of(fixed) - budget)
    assert plan.cost <= budget + plan.shortfall
    assert {line.item_id for line in fixed} <= {line.item_id for line in plan.lines}
    assert sorted([*plan.lines, *plan.left_out], key=lambda line: line.item_id) == sorted(
        found, key=lambda line: line.item_id
    ), "every line is bought or left out, unchanged"
    if plan.shortfall:
        assert plan.cost == cost_of(fixed), "nothing that costs anything is bought beside them"


@given(lines((SamagriType.OPTIONAL,)), st.integers(0, 1_000_000))
def test_a_budget_buys_the_best_that_fits(found: list[SamagriLine], budget: int) -> None:
    def worth(of: tuple[SamagriLine, ...]) -> int:
        return sum(
            max(1, round(line.confidence * 1000 * (0.8 if line.source == "model" else 1)))
            for line in of
        )

    ways = chain.from_iterable(combinations(found, count) for count in range(len(found) + 1))
    best = max(worth(way) for way in ways if cost_of(way) <= budget)
    taken = chosen_of(found, budget)
    assert worth(tuple(line for line in found if line.item_id in taken)) == best
