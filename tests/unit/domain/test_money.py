"""Quantities convert, prices round once, shares round half up."""

from __future__ import annotations

from decimal import Decimal
from fractions import Fraction
from math import floor

import pytest
from hypothesis import given
from hypothesis import strategies as st

from server.domain.money import (
    MAX_AMOUNT,
    NPR,
    USD,
    Unit,
    convert_quantity,
    full_text,
    line_price,
    minor_units,
    share,
    short_text,
    whole_minor_units,
)

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


amounts = st.integers(0, MAX_AMOUNT)
currencies = st.sampled_from([NPR, USD])


@given(amounts, currencies)
def test_an_amount_survives_its_texts(amount, currency):
    assert minor_units(full_text(amount, currency), currency) == amount
    assert minor_units(short_text(amount, currency), currency) == amount
    assert minor_units(full_text(amount, currency) + "00", currency) == amount
    assert whole_minor_units(str(amount)) == amount


@given(amounts)
def test_an_amount_survives_commas_of_thousands_and_of_lakhs(amount):
    rupees, paisa = divmod(amount, 100)
    lakhs = f"{rupees // 1000}"
    pairs: list[str] = []
    while len(lakhs) > 2:
        lakhs, pair = lakhs[:-2], lakhs[-2:]
        pairs.insert(0, pair)
    assert minor_units(f"{rupees:,}.{paisa:02}") == amount
    if rupees >= 1000:
        assert minor_units(",".join([lakhs, *pairs, f"{rupees % 1000:03}"]) + f".{paisa:02}") == (
            amount
        )


@pytest.mark.parametrize(
    ("text", "amount"),
    [
        ("1500", 150_000),
        ("1500.5", 150_050),
        ("1500.5000", 150_050),
        ("1040.10", 104_010),
        ("2,640.0", 264_000),
        ("1,00,000", 10_000_000),
        ("0", 0),
    ],
)
def test_amounts_are_read_as_gateways_write_them(text, amount):
    assert minor_units(text) == amount


@pytest.mark.parametrize(
    "text",
    [
        *("", "-1", "+1", "1.", ".5", "1e3", "1E3", "NaN", "Infinity", "1_000", " 1", "1 ", "१५००"),
        *(
            "1,2",
            ",100",
            "1,,000",
            "10,00",
            "1,000,",
            "1234,000",
            "0x10",
            "1.001",
            "0.999",
            "Rs. 5",
        ),
        *("9" * 16, "9" * 5000, "1." + "0" * 13, "100000000000.01", "٣"),
    ],
)
def test_what_is_no_amount_is_refused(text):
    with pytest.raises(ValueError, match=r"."):
        minor_units(text)


@given(st.text(max_size=20))
def test_any_text_is_an_amount_or_refused(text):
    for read in (minor_units, whole_minor_units):
        try:
            amount = read(text)
        except ValueError:
            continue
        assert 0 <= amount <= MAX_AMOUNT


@given(st.decimals("0", "99999999999", places=5))
def test_nothing_is_rounded(exact):
    text = f"{exact:f}"
    if exact.scaleb(2) == int(exact.scaleb(2)):
        assert Decimal(minor_units(text)).scaleb(-2) == exact
    else:
        with pytest.raises(ValueError, match="smallest coin"):
            minor_units(text)


@pytest.mark.parametrize("text", ["", "1.0", "-5", "1,000", "１", "9" * 40])
def test_minor_units_are_whole(text):
    with pytest.raises(ValueError, match="minor units"):
        whole_minor_units(text)


def test_whole_rupees_have_no_point_where_it_is_not_wanted():
    assert short_text(150_000) == "1500"
    assert short_text(150_050) == "1500.50"
    assert short_text(5) == "0.05"
    assert full_text(150_000) == "1500.00"


def test_unknown_currencies_and_debts_have_no_text():
    with pytest.raises(ValueError, match="currency"):
        minor_units("1", "JPY")
    with pytest.raises(ValueError, match="negative"):
        full_text(-1)
