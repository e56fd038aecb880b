from __future__ import annotations

from collections.abc import Mapping
from itertools import product
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.sparse import csr_array

from recsys.models.base import Interactions
from recsys.models.popularity import Popularity
from recsys.splits import leave_one_out
from recsys.tune import Trial, ndcg, search, thinned

SPACE = {"a": (1, 2, 3, 4), "b": (0.1, 0.2, 0.3)}


def hill(params: Mapping[str, Any]) -> float:
    return -abs(params["a"] - 4) - abs(params["b"] - 0.1)


def test_a_hill_is_climbed_without_trying_everything() -> None:
    found = search(SPACE, hill, patience=99)
    assert found.best.params == {"a": 4, "b": 0.1}
    assert found.complete
    assert len(found.trials) < len(list(product(*SPACE.values())))


def test_no_point_is_tried_twice_and_all_are_told() -> None:
    told: list[Trial] = []
    found = search(SPACE, hill, patience=99, on_trial=told.append)
    points = [tuple(trial.params.values()) for trial in found.trials]
    assert len(set(points)) == len(points)
    assert tuple(told) == found.trials


def test_patience_ends_a_search_without_gain() -> None:
    found = search(SPACE, lambda params: 0.0, patience=2)
    assert len(found.trials) == 3
    assert found.best is found.trials[0]
    assert found.complete


def test_time_ends_a_search_after_one_trial_at_least_and_it_says_so() -> None:
    ticks = iter(range(100))
    found = search(SPACE, hill, patience=99, deadline=0, clock=lambda: next(ticks))
    assert len(found.trials) == 1
    assert not found.complete


def test_an_impossible_corner_does_not_end_a_search() -> None:
    def judge(params: Mapping[str, Any]) -> float:
        if params["a"] == 2:
            raise ValueError("too small")
        return float("nan") if params["b"] == 0.2 else float(params["a"])

    found = search(SPACE, judge, patience=99)
    assert found.best.score > 0
    assert found.trials[0].problem == "too small"
    with pytest.raises(ValueError, match="no parameters work: never"):
        search(SPACE, _never, patience=3)


def _never(params: Mapping[str, Any]) -> float:
    raise ArithmeticError("never")


@given(st.lists(st.floats(0, 1), min_size=12, max_size=12), st.integers(1, 12))
def test_the_best_is_the_best_of_what_was_tried(values: list[float], patience: int) -> None:
    table = dict(zip(product(*SPACE.values()), values, strict=True))
    found = search(SPACE, lambda params: table[params["a"], params["b"]], patience=patience)
    assert found.best.score == max(trial.score for trial in found.trials)
    again = search(SPACE, lambda params: table[params["a"], params["b"]], patience=patience)
    assert [trial.params for trial in again.trials] == [trial.params for trial in found.trials]


def baskets() -> Interactions:
    cells = np.array([[1, 1, 0, 0], [1, 1, 1, 0], [1, 0, 0, 1], [1, 1, 0, 0]], np.float32)
    return Interactions(csr_array(cells))


def test_ndcg_is_the_mean_over_units() -> None:
    data = baskets()
    queries = leave_one_out(data)
    # Popularity has the order 0, 1, 2, 3; an item that is asked for comes after the more popular
    # ones that are not given: in each of these baskets it is first, or third behind 1 and 2.
    expected = np.mean([1.0, 1.0, (1 + 1 / np.log2(4)) / 2, 1.0])
    assert ndcg(Popularity().fit(data), queries, 10) == pytest.approx(expected)


def test_thinning_keeps_whole_units_in_their_order() -> None:
    queries = leave_one_out(baskets())
    assert thinned(queries, 99, 7) is queries
    fewer = thinned(queries, 5, 7)
    assert 0 < fewer.data.n_rows <= 5
    full = np.bincount(queries.group)
    for unit, size in zip(*np.unique(fewer.group, return_counts=True), strict=True):
        assert size == full[unit]
    assert (np.diff(fewer.group) >= 0).all()
    assert thinned(queries, 5, 7).group.tolist() == fewer.group.tolist()
