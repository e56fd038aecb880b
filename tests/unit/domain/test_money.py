"""Quantities convert, prices round once, shares round half up."""

from __future__ import annotations

from decimal import Decimal
from fractions import Fraction
from math import floor

import pytest
from hypothesis import given
from hypothesis import strategies as st

from server.domain.money import Unit, convert_quantity, line_price, share

MEASURED = [Unit.KG, Unit.G, Unit.L, Unit.ML]
COUNTED = [unit for unit in Unit if unit.is_counted]
IN_SMALL = {Unit.KG: 1000, Unit.G: 1, Unit.L: 1000, Unit.ML: 1}
quantities = st.decimals("0.001", "9999.999", places=3)
prices = st.integers(1, 10_000_000)


def test_a_tenth_of_a_kilogram_costs_a_tenth():
    price = line_price(Decimal(100), Unit.G, base_price=50_000, base_quantity=1, base_unit=Unit.KG)
    assert price == 5_000


@pytest.mark.parametrize(
    ("quantity", "unit", "base_quantity", "base_unit", "base_price", "expected"),
    [
        ("0.5", Unit.KG, 500, Unit.G, 9_000, 9_000),
        ("200", Unit.ML, 1, Unit.L, 120_000, 24_000),
        ("1.25", Unit.L, 250, Unit.ML, 333, 1_665),
        ("3", Unit.PIECE, 12, Unit.PIECE, 10_000, 2_500),
        ("1", Unit.G, 1, Unit.KG, 500, 1),  # half a paisa goes up
        ("1", Unit.G, 1, Unit.KG, 499, 0),
    ],
)
def test_a_line_costs_its_share_of_the_pack(
    quantity, unit, base_quantity, base_unit, base_price, expected
):
    price = line_price(
        Decimal(quantity),
        unit,
        base_price=base_price,
        base_quantity=base_quantity,
        base_unit=base_unit,
    )
    assert price == expected


@given(quantity=quantities, unit=st.sampled_from(MEASURED), price=prices, pack=st.integers(1, 500))
def test_prices_are_the_exact_value_rounded_half_up_once(quantity, unit, price, pack):
    for base_unit in MEASURED:
        if base_unit.dimension != unit.dimension:
            continue
        exact = Fraction(quantity) * IN_SMALL[unit] / IN_SMALL[base_unit] * price / pack
        found = line_price(
            quantity, unit, base_price=price, base_quantity=pack, base_unit=base_unit
        )
        assert found == floor(exact + Fraction(1, 2))


@given(quantity=quantities, unit=st.sampled_from(MEASURED), price=prices)
def test_the_unit_in_which_a_quantity_is_said_does_not_change_its_price(quantity, unit, price):
    other = next(each for each in MEASURED if each is not unit and each.dimension == unit.dimension)
    said_otherwise = convert_quantity(quantity, unit, other)
    cost = [
        line_price(each, in_unit, base_price=price, base_quantity=1, base_unit=unit)
        for each, in_unit in ((quantity, unit), (said_otherwise, other))
    ]
    assert cost[0] == cost[1]
    assert convert_quantity(said_otherwise, other, unit) == quantity


@pytest.mark.parametrize("unit", COUNTED)
def test_counted_units_convert_into_nothing_else(unit):
    for other in Unit:
        if other is unit:
            assert convert_quantity(Decimal(7), unit, other) == 7
        else:
            with pytest.raises(ValueError, match="does not convert"):
                convert_quantity(Decimal(7), unit, other)


@given(amount=st.integers(0, 10**12), basis_points=st.integers(0, 10_000))
def test_a_share_and_the_rest_make_the_whole(amount, basis_points):
    part = share(amount, basis_points)
    assert 0 <= part <= amount
    assert part == floor(Fraction(amount * basis_points, 10_000) + Fraction(1, 2))
