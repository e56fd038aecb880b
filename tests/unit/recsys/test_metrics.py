from __future__ import annotations

from math import log2

import numpy as np
import pytest

from recsys import metrics
from tests.unit.recsys.rows import matrix_of


def figures_of(found: list[int], wanted: set[int], k: int) -> metrics.ListFigures:
    relevant = matrix_of([[float(item in wanted) for item in range(10)]])
    return metrics.list_figures(np.array([found], np.int32), relevant, k)


def test_hits_at_the_first_and_third_place() -> None:
    found = figures_of([4, 1, 7, 2], {4, 7, 9}, k=4)
    ideal = 1 + 1 / log2(3) + 1 / 2
    assert found.hr[0] == 1
    assert found.recall[0] == pytest.approx(2 / 3)
    assert found.ndcg[0] == pytest.approx((1 + 1 / 2) / ideal)
    assert found.average_precision[0] == pytest.approx((1 + 2 / 3) / 3)
    assert found.mrr[0] == 1


def test_a_hit_beyond_k_does_not_count() -> None:
    found = figures_of([4, 1, 7], {7}, k=2)
    assert [found.hr[0], found.recall[0], found.ndcg[0], found.mrr[0]] == [0, 0, 0, 0]


def test_more_wanted_than_places_can_still_be_perfect_by_ndcg_but_not_by_recall() -> None:
    found = figures_of([1, 2], {1, 2, 3, 4, 5}, k=2)
    assert found.ndcg[0] == pytest.approx(1)
    assert found.average_precision[0] == pytest.approx(1)
    assert found.recall[0] == pytest.approx(2 / 5)


def test_a_short_list_has_no_hits_in_its_empty_places() -> None:
    found = figures_of([3, -1, -1], {3, 9}, k=3)
    assert found.recall[0] == pytest.approx(1 / 2)
    assert found.ndcg[0] == pytest.approx(1 / (1 + 1 / log2(3)))


def test_the_rank_of_the_first_hit() -> None:
    assert figures_of([0, 1, 2], {2}, k=3).mrr[0] == pytest.approx(1 / 3)


def test_a_query_with_nothing_to_find_has_no_figures() -> None:
    found = figures_of([0, 1], set(), k=2)
    assert all(np.isnan(values[0]) for values in found)


def test_each_query_has_its_own_relevant_items() -> None:
    relevant = matrix_of([[1, 0, 0], [0, 0, 1]])
    lists = np.array([[0], [0]], np.int32)
    assert metrics.list_figures(lists, relevant, 1).hr.tolist() == [1, 0]


def test_coverage_counts_items_in_any_list() -> None:
    lists = np.array([[0, 1], [1, -1]], np.int32)
    assert metrics.coverage(lists, np.ones(4, bool)) == 0.5


def test_coverage_is_of_the_candidates_alone() -> None:
    lists = np.array([[0, 1, 2], [1, 3, -1]], np.int32)
    assert metrics.coverage(lists, np.array([True, True, False, False, True])) == 2 / 3
    assert metrics.coverage(lists, np.zeros(5, bool)) == 0.0


def test_novelty_is_the_mean_surprise_in_bits() -> None:
    lists = np.array([[0, 1], [1, -1]], np.int32)
    assert metrics.novelty(lists, np.array([0.5, 0.25])) == pytest.approx((1 + 2 + 2) / 3)


@pytest.mark.parametrize(
    ("counts", "expected"), [([3, 3, 3], 0.0), ([0, 0, 9], 2 / 3), ([1, 3], 0.25), ([], 0.0)]
)
def test_gini_of_counts(counts: list[int], expected: float) -> None:
    assert metrics.gini(np.array(counts)) == pytest.approx(expected)


def test_calibration_error_of_two_bins_by_hand() -> None:
    predicted = np.array([0.1, 0.2, 0.8, 0.9])
    found = metrics.reliability(predicted, np.array([0, 0, 1, 0]), bins=2)
    assert found.predicted.tolist() == pytest.approx([0.15, 0.85])
    assert found.observed.tolist() == [0.0, 0.5]
    assert found.error() == pytest.approx((0.15 + 0.35) / 2)


def test_kendall_of_a_reversed_order_is_minus_one() -> None:
    up = np.arange(5)
    assert metrics.kendall_tau(up, up) == 1
    assert metrics.kendall_tau(up, -up) == -1
    assert metrics.kendall_tau(up, np.zeros(5)) == 0
