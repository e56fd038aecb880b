from decimal import Decimal
from itertools import combinations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from recsys.quantities import (
    Packing,
    QuantityRule,
    UnitMismatch,
    Weights,
    convert,
    is_counted,
    net_kept,
    packed,
    shrunk_median,
    trimmed_median,
)

_AMOUNTS = st.decimals("0.001", "10000", places=3)


def test_grams_and_kilograms_add_up():
    assert Decimal(500) + convert(Decimal("0.5"), "kg", "g") == 1000


def test_three_packs_of_250_hold_700():
    packing = packed(Decimal(700), Decimal(250))
    assert packing == Packing(
        needed=Decimal(700), packs=3, total=Decimal(750), leftover=Decimal(50)
    )


def test_piece_to_gram_without_weight_is_refused():
    with pytest.raises(UnitMismatch, match="piece does not convert to g"):
        convert(Decimal(1), "piece", "g")


def test_piece_to_gram_with_weight():
    coconut = Weights(g_per_piece=Decimal(600))
    assert convert(Decimal(2), "piece", "kg", coconut) == Decimal("1.2")
    assert convert(Decimal("1.2"), "kg", "piece", coconut) == 2


def test_volume_to_mass_with_density():
    ghee = Weights(g_per_ml=Decimal("0.9"))
    assert convert(Decimal(1), "l", "g", ghee) == 900


@pytest.mark.parametrize(
    "pair", list(combinations(["g", "ml", "m", "packet", "garland", "set"], 2))
)
def test_different_dimensions_do_not_convert(pair):
    with pytest.raises(UnitMismatch):
        convert(Decimal(1), *pair)


def test_unknown_unit_is_refused():
    with pytest.raises(UnitMismatch, match="handful"):
        convert(Decimal(1), "handful", "g")


@given(_AMOUNTS, st.sampled_from([("g", "kg"), ("ml", "l"), ("cm", "m"), ("piece", "dozen")]))
def test_there_and_back_is_the_same(amount, units):
    there = convert(amount, units[1], units[0])
    assert convert(there, units[0], units[1]) == amount


@given(_AMOUNTS, st.sampled_from(["1", "0.25", "50", "250"]).map(Decimal), _AMOUNTS)
def test_packs_hold_what_is_needed_and_less_than_one_more(needed, pack, minimum):
    packing = packed(needed, pack, minimum)
    assert packing.total >= max(needed, minimum)
    assert 0 <= packing.leftover < pack
    assert packing.total == packing.packs * pack


def test_empty_pack_is_refused():
    with pytest.raises(ValueError, match="pack"):
        packed(Decimal(1), Decimal(0))


def test_rule_grows_with_people_and_days_and_keeps_its_minimum():
    rule = QuantityRule(Decimal(100), Decimal(10), Decimal(50), minimum=Decimal(200))
    assert rule.needed(attendees=20, days=2) == 400
    assert rule.needed() == 200


def test_returned_quantity_counts_as_never_bought():
    assert net_kept(Decimal(500), Decimal(200)) == 300
    assert net_kept(Decimal(1), Decimal(2)) == 0


def test_median_is_deaf_to_outliers():
    kept = np.array([1.0] * 10 + [2.0] * 10 + [3.0] * 9 + [10_000.0])
    assert trimmed_median(kept) == 2.0
    assert np.isnan(trimmed_median(np.array([])))


def test_few_bookings_lean_on_the_general_median():
    anywhere = np.array([10.0] * 50)
    assert shrunk_median(np.array([20.0] * 5), anywhere) == 15.0
    assert shrunk_median(np.array([20.0] * 95), anywhere) == pytest.approx(19.5)
    assert shrunk_median(np.array([]), anywhere) == 10.0


def test_only_whole_garlands_but_any_weight():
    assert is_counted("garland")
    assert not is_counted("kg")
