from itertools import product
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from recsys import knapsack
from recsys.knapsack import Option, solve

_OPTIONS = st.lists(
    st.builds(
        Option,
        item_id=st.sampled_from("abcdefgh"),
        grade=st.sampled_from(["", "fine"]),
        price=st.integers(0, 60),
        value=st.integers(0, 40),
    ),
    max_size=12,
    unique_by=lambda option: (option.item_id, option.grade),
)


def _best_by_force(options, budget):
    groups: dict[str, list[Option | None]] = {}
    for option in options:
        groups.setdefault(option.item_id, [None]).append(option)
    best: tuple[int, int] = (0, 0)
    for choice in product(*groups.values()):
        taken = sorted(option for option in choice if option is not None and option.value > 0)
        price = sum(option.price for option in taken)
        value = sum(option.value for option in taken)
        if price <= budget:
            best = max(best, (value, -price))
    return best


@settings(deadline=None)
@given(_OPTIONS, st.integers(0, 200))
def test_choice_equals_brute_force_in_value_and_price(options, budget):
    selection = solve(options, budget)
    value, price = _best_by_force(options, budget)
    assert selection.value == value
    if selection.method == "value":
        assert selection.price == -price
    assert selection.gap == 0


def test_eighteen_items_equal_brute_force():
    random = Random(3)
    options = [
        Option(f"i{number:02}", "", random.randint(1, 5_000), random.randint(1, 900))
        for number in range(18)
    ]
    for budget in (4_000, 13_000, 30_000):
        assert solve(options, budget).value == _best_by_force(options, budget)[0]


@settings(deadline=None)
@given(_OPTIONS, st.integers(0, 200))
def test_budget_is_never_passed_and_one_grade_of_an_item_is_taken(options, budget):
    selection = solve(options, budget)
    assert selection.price <= budget
    ids = [option.item_id for option in selection.chosen]
    assert len(ids) == len(set(ids))


@settings(deadline=None)
@given(_OPTIONS, st.integers(0, 200), st.integers(0, 100))
def test_more_budget_never_lowers_the_value(options, budget, more):
    assert solve(options, budget + more).value >= solve(options, budget).value


@settings(deadline=None)
@given(_OPTIONS, st.integers(0, 200), st.randoms())
def test_choice_does_not_depend_on_the_order_of_options(options, budget, random):
    shuffled = list(options)
    random.shuffle(shuffled)
    assert solve(shuffled, budget) == solve(options, budget)


def test_smaller_ids_win_among_equals():
    options = [Option(item, "", 10, 5) for item in "dcba"]
    assert [option.item_id for option in solve(options, 20).chosen] == ["a", "b"]


def test_cheaper_grade_is_taken_when_the_better_one_crowds_others_out():
    options = [
        Option("ghee", "cow", 90, 12),
        Option("ghee", "plain", 40, 9),
        Option("honey", "", 50, 8),
    ]
    assert [(o.item_id, o.grade) for o in solve(options, 90).chosen] == [
        ("ghee", "plain"),
        ("honey", ""),
    ]


def test_negative_price_is_refused():
    with pytest.raises(ValueError, match="negative"):
        solve([Option("a", "", -1, 5)], 10)


def _many(seed, count):
    random = Random(seed)
    return [
        Option(
            f"i{number // 2:05}", str(number % 2), random.randint(1, 90_000), random.randint(1, 950)
        )
        for number in range(count)
    ]


@pytest.mark.parametrize("budget", [70_000, 1_000_003])
def test_methods_for_many_items_stay_within_budget_and_near_the_bound(monkeypatch, budget):
    options = _many(5, 400)
    exact = solve(options, budget)
    assert exact.method == "value"
    monkeypatch.setattr(knapsack, "MAX_VALUE_CELLS", 1)
    bucketed = solve(options, budget)
    monkeypatch.setattr(knapsack, "MAX_TABLE_CELLS", 1)
    greedy = solve(options, budget)
    assert (bucketed.method, greedy.method) == ("price", "greedy")
    for selection in (bucketed, greedy):
        assert selection.price <= budget
        assert selection.value <= exact.value <= selection.value + selection.gap
    assert bucketed.value >= 0.995 * exact.value
    assert greedy.value >= 0.9 * exact.value
