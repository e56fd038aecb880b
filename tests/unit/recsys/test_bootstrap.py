from __future__ import annotations

import numpy as np
import pytest

from recsys.bootstrap import interval, paired, unit_means


def test_a_unit_counts_once_however_many_queries_it_has() -> None:
    values = np.array([1.0, 1.0, 1.0, 0.0])
    assert interval(values, np.array([0, 0, 0, 1], np.int32)).mean == 0.5


def test_queries_without_a_figure_are_left_out() -> None:
    values = np.array([1.0, np.nan, 0.0, np.nan])
    group = np.array([0, 0, 1, 2], np.int32)
    assert unit_means(values, group).tolist() == [1.0, 0.0]


def test_the_interval_is_that_of_the_normal_law_for_many_units() -> None:
    values = np.random.default_rng(1).normal(3, 2, 4000)
    found = interval(values, resamples=4000)
    half = 1.96 * values.std() / np.sqrt(len(values))
    assert found.low == pytest.approx(values.mean() - half, abs=0.1 * half)
    assert found.high == pytest.approx(values.mean() + half, abs=0.1 * half)


def test_the_same_seed_gives_the_same_interval() -> None:
    values = np.random.default_rng(1).random(50)
    assert interval(values) == interval(values)
    assert interval(values, seed=8) != interval(values)


def test_a_paired_difference_is_narrower_than_the_two_alone() -> None:
    random = np.random.default_rng(2)
    base = random.random(300)
    better = base + 0.02 + random.normal(0, 0.005, 300)
    gain = paired(better, base)
    assert gain.low > 0
    assert interval(better).low < interval(base).high


def test_a_paired_comparison_needs_the_same_queries() -> None:
    with pytest.raises(ValueError, match="same queries"):
        paired(np.zeros(3), np.zeros(4))


def test_nothing_measured_has_no_interval() -> None:
    assert np.isnan(interval(np.array([np.nan])).mean)
