"""Figures of merit over lists, each defined here and nowhere else.

A list L has at most k items, best first; T is the set that should be found. Every item of the
catalogue that was not given is ranked: negatives are never sampled.

* ``HR@k``: 1 if L has any item of T.
* ``Recall@k``: ``|L and T| / |T|``. Some papers divide by ``min(k, |T|)``; not here.
* ``NDCG@k``: ``sum over hits at rank j of 1/log2(j+1)``, over the same sum for
  ``j = 1..min(k, |T|)``.
* ``MAP@k``: ``1/min(k, |T|) * sum over hits at rank j of precision@j``.
* ``MRR@k``: 1 / rank of the first hit, 0 without one.

A query with an empty T has no figure: it is NaN, and means leave it out.
"""

from __future__ import annotations

from typing import Any, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from recsys.models.base import Csr, IntArray

Figures = NDArray[np.float64]
NO_ITEM: Final = -1


class ListFigures(NamedTuple):
    """One number a query, NaN where nothing was to be found."""

    hr: Figures
    recall: Figures
    ndcg: Figures
    average_precision: Figures
    mrr: Figures


def hits(lists: IntArray, relevant: Csr) -> NDArray[np.bool_]:
    """Queries by ranks: whether the item there is one that should be found.

    Parameters
    ----------
    lists
        Queries by k: items, best first; a shorter list is filled up with -1.
    relevant
        Queries by items: stored cells are what should be found.
    """
    n_items = relevant.shape[1]
    rows = np.arange(len(lists), dtype=np.int64)[:, None]
    found = lists + rows * n_items
    wanted = np.repeat(rows[:, 0], np.diff(relevant.indptr)) * n_items + relevant.indices
    marks: NDArray[np.bool_] = np.isin(found, wanted) & (lists != NO_ITEM)
    return marks


def list_figures(lists: IntArray, relevant: Csr, k: int) -> ListFigures:
    """The figures of each query at ``k``; lists longer than k are cut."""
    marks = hits(lists[:, :k], relevant)
    wanted = np.diff(relevant.indptr).astype(np.float64)
    wanted[wanted == 0] = np.nan
    found = marks.sum(axis=1)
    ranks = np.arange(1, marks.shape[1] + 1)
    gains = 1.0 / np.log2(ranks + 1)
    ideal = np.concatenate(([0.0], np.cumsum(1.0 / np.log2(np.arange(2, k + 2)))))
    best = np.minimum(np.nan_to_num(wanted), k).astype(np.int64)
    skip = np.where(np.isnan(wanted), np.nan, 1.0)
    precision = np.cumsum(marks, axis=1) / ranks
    first = np.where(found > 0, marks.argmax(axis=1) + 1, 0)
    return ListFigures(
        hr=(found > 0) * skip,
        recall=found / wanted,
        ndcg=(marks @ gains) / np.where(best > 0, ideal[best], np.nan),
        average_precision=(precision * marks).sum(axis=1) / np.where(best > 0, best, np.nan),
        mrr=np.divide(1.0, first, out=np.zeros(len(first)), where=first > 0) * skip,
    )


def coverage(lists: IntArray, is_candidate: NDArray[np.bool_]) -> float:
    """The share of the candidate items that is in any list, 0 to 1; others do not count."""
    shown = np.unique(lists[lists != NO_ITEM])
    candidates = int(is_candidate.sum())
    return int(is_candidate[shown].sum()) / candidates if candidates else 0.0


def novelty(lists: IntArray, shares: NDArray[Any]) -> float:
    """The mean of ``-log2(share of the training rows that have the item)`` over all places, bits.

    An item that no row has counts as if half a row of a million had it.
    """
    shown = lists[lists != NO_ITEM]
    if not len(shown):
        return 0.0
    return float(-np.log2(np.maximum(shares[shown].astype(np.float64), 5e-7)).mean())


def gini(counts: NDArray[Any]) -> float:
    """How unequal counts are: 0 if all are equal, towards 1 if one has everything."""
    ordered = np.sort(counts.astype(np.float64))
    total = ordered.sum()
    n = len(ordered)
    if n == 0 or total == 0:
        return 0.0
    return float((2 * np.arange(1, n + 1) - n - 1) @ ordered / (n * total))


def shown_counts(lists: IntArray, n_items: int) -> NDArray[np.int64]:
    """In how many lists each item is."""
    return np.bincount(lists[lists != NO_ITEM], minlength=n_items)


class Reliability(NamedTuple):
    """Bins of equal mass, in order of the prediction: mean prediction, share of ones, size."""

    predicted: Figures
    observed: Figures
    size: NDArray[np.int64]

    def error(self) -> float:
        """The expected calibration error: the mean distance of the two, by size."""
        total = self.size.sum()
        if total == 0:
            return 0.0
        return float((np.abs(self.predicted - self.observed) * self.size).sum() / total)


def reliability(predicted: NDArray[Any], label: NDArray[Any], bins: int = 10) -> Reliability:
    """Sort by prediction, cut into bins of equal mass, compare each bin's means."""
    order = np.argsort(predicted, kind="stable")
    parts = [part for part in np.array_split(order, bins) if len(part)]
    return Reliability(
        np.array([predicted[part].mean() for part in parts], np.float64),
        np.array([label[part].mean() for part in parts], np.float64),
        np.array([len(part) for part in parts], np.int64),
    )


def kendall_tau(first: NDArray[Any], second: NDArray[Any]) -> float:
    """Kendall's tau-b of two scorings of the same things; 0 if either is constant."""
    a = np.sign(first[:, None] - first[None, :])
    b = np.sign(second[:, None] - second[None, :])
    norm = np.sqrt(float((a != 0).sum()) * float((b != 0).sum()))
    return float((a * b).sum() / norm) if norm else 0.0
