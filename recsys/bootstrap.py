"""Percentile bootstrap over the unit that varies (a booking, a user), with a fixed seed.

Resampling queries instead of units would make intervals too narrow: the eight questions of one
basket are not eight witnesses. Two models are compared by the bootstrap of the difference of each
unit; "better" means that the lower bound is above 0.
"""

from __future__ import annotations

from typing import Any, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from recsys.models.base import IntArray

RESAMPLES: Final = 1000
SEED: Final = 7
_BLOCK: Final = 64


class Interval(NamedTuple):
    """A mean and the bounds that hold it with 95 percent confidence."""

    mean: float
    low: float
    high: float

    def __str__(self) -> str:
        return f"{self.mean:.4f} [{self.low:.4f}, {self.high:.4f}]"


def unit_means(values: NDArray[Any], group: IntArray | None) -> NDArray[np.float64]:
    """One number a unit: the mean of its values; values that are NaN are left out."""
    known = ~np.isnan(values)
    kept: NDArray[np.float64] = values[known].astype(np.float64)
    if group is None:
        return kept
    sums = np.bincount(group[known], weights=kept)
    counts = np.bincount(group[known])
    present = counts > 0
    means: NDArray[np.float64] = sums[present] / counts[present]
    return means


def interval(
    values: NDArray[Any],
    group: IntArray | None = None,
    *,
    resamples: int = RESAMPLES,
    seed: int = SEED,
    confidence: float = 0.95,
) -> Interval:
    """The mean over units and its percentile interval; NaN in all three without any unit.

    Parameters
    ----------
    values
        One number a query.
    group
        The unit of each query; without it each query is one.
    """
    units = unit_means(values, group)
    if not len(units):
        return Interval(np.nan, np.nan, np.nan)
    random = np.random.default_rng(seed)
    means = np.empty(resamples)
    for start in range(0, resamples, _BLOCK):
        size = min(_BLOCK, resamples - start)
        picks = random.integers(0, len(units), (size, len(units)))
        means[start : start + size] = units[picks].mean(axis=1)
    tail = (1 - confidence) / 2
    low, high = np.quantile(means, (tail, 1 - tail))
    return Interval(float(units.mean()), float(low), float(high))


def paired(
    first: NDArray[Any],
    second: NDArray[Any],
    group: IntArray | None = None,
    *,
    resamples: int = RESAMPLES,
    seed: int = SEED,
) -> Interval:
    """The interval of ``first - second``, query by query; above 0 means that the first is better.

    Raises
    ------
    ValueError
        If the two are not of the same queries.
    """
    if first.shape != second.shape:
        raise ValueError("a paired comparison needs the same queries")
    return interval(first - second, group, resamples=resamples, seed=seed)
