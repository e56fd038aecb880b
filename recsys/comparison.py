"""Models against one another on the same questions: lists, figures, intervals, segments.

Nothing here trains or writes; ``recsys.evaluate`` and ``recsys.train`` do.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from recsys import metrics
from recsys.bootstrap import Interval, interval, paired
from recsys.metrics import ListFigures, Reliability, list_figures
from recsys.models.base import FloatArray, IntArray, Interactions, Model
from recsys.splits import Queries

DEEP: Final = 20
_CALIBRATED_CELLS: Final = 2_000_000


@dataclass(frozen=True, slots=True, eq=False)
class Outcome:
    """What one model did on one set of queries.

    Attributes
    ----------
    lists
        Queries by 20: the items ranked, -1 where there are no more.
    at_k, deep
        The figures of each query at k and at 20.
    microseconds
        What each query took, one at a time.
    """

    name: str
    k: int
    lists: IntArray
    group: IntArray
    at_k: ListFigures
    deep: ListFigures
    coverage: float
    novelty: float
    gini: float
    microseconds: NDArray[np.float64]
    fit_seconds: float = 0.0
    params: Mapping[str, Any] = field(default_factory=dict)

    def interval(self, figure: str = "ndcg", rows: NDArray[Any] | None = None) -> Interval:
        """The mean of a figure at k over its units, with its interval; ``rows`` narrows it."""
        values = getattr(self.at_k, figure)
        if rows is None:
            return interval(values, self.group)
        return interval(values[rows], self.group[rows])

    def mean(self, figure: str = "ndcg", *, deep: bool = False) -> float:
        """The mean of a figure over units, without an interval."""
        values = getattr(self.deep if deep else self.at_k, figure)
        return interval(values, self.group, resamples=1).mean

    def versus(self, other: Outcome, figure: str = "ndcg") -> Interval:
        """The paired difference to another model on the same queries."""
        return paired(getattr(self.at_k, figure), getattr(other.at_k, figure), self.group)


class Ranked(NamedTuple):
    """Lists of all queries, and what each took."""

    lists: IntArray
    microseconds: NDArray[np.float64]


def rank(
    model: Model[Any], queries: Interactions, *, k: int = DEEP, hidden: IntArray | None = None
) -> Ranked:
    """The best ``k`` items of each query, asked one at a time as serving does.

    What is given is never in the list, nor are the items in ``hidden``.
    """
    lists = np.full((queries.n_rows, k), metrics.NO_ITEM, np.int32)
    taken = np.empty(queries.n_rows)
    shut = np.empty(0, np.int32) if hidden is None else hidden
    for row in range(queries.n_rows):
        given, weights, context = queries.row(row)
        start = time.perf_counter()
        found = model.recommend(given, k, weights=weights, context=context, exclude=shut).items
        taken[row] = (time.perf_counter() - start) * 1e6
        lists[row, : len(found)] = found
    return Ranked(lists, taken)


def examine(
    model: Model[Any],
    queries: Queries,
    train: Interactions,
    *,
    k: int = 10,
    hidden: IntArray | None = None,
    name: str = "",
    fit_seconds: float = 0.0,
    params: Mapping[str, Any] | None = None,
) -> Outcome:
    """Rank all items for each query and judge the lists.

    Parameters
    ----------
    train
        What the model learned from; novelty counts by it, coverage by the items that it has.
    """
    ranked = rank(model, queries.data, k=max(k, DEEP), hidden=hidden)
    shares = train.counts() / max(train.weight(), 1e-12)
    shown = ranked.lists[:, :k]
    counts = metrics.shown_counts(shown, train.n_items)
    return Outcome(
        name=name or model.name,
        k=k,
        lists=ranked.lists,
        group=queries.group,
        at_k=list_figures(ranked.lists, queries.relevant, k),
        deep=list_figures(ranked.lists, queries.relevant, DEEP),
        coverage=metrics.coverage(shown, shares > 0),
        novelty=metrics.novelty(shown, shares),
        gini=metrics.gini(counts[(shares > 0) | (counts > 0)]),
        microseconds=ranked.microseconds,
        fit_seconds=fit_seconds,
        params=params or {},
    )


class Pairs(NamedTuple):
    """Raw scores of candidates and whether each was right, for calibration."""

    score: FloatArray
    label: NDArray[np.float32]


def scored_pairs(model: Model[Any], queries: Queries, *, seed: int = 7) -> Pairs:
    """Score and label of every item that each query could have been answered with.

    At most two million pairs: of more queries a seeded sample is taken, whole queries at a time.
    """
    wanted = max(1, _CALIBRATED_CELLS // max(model.n_items, 1))
    rows = np.arange(queries.data.n_rows)
    if len(rows) > wanted:
        rows = np.sort(np.random.default_rng(seed).choice(rows, wanted, replace=False))
    scores, labels = [], []
    for row in rows.tolist():
        given, weights, context = queries.data.row(row)
        found = model.score(given, weights=weights, context=context)
        right = np.zeros(model.n_items, np.float32)
        start, end = queries.relevant.indptr[row], queries.relevant.indptr[row + 1]
        right[queries.relevant.indices[start:end]] = 1
        free = np.ones(model.n_items, np.bool_)
        free[given] = False
        scores.append(found[free])
        labels.append(right[free])
    if not scores:
        return Pairs(np.empty(0, np.float32), np.empty(0, np.float32))
    return Pairs(np.concatenate(scores), np.concatenate(labels))


def calibration_curve(predicted: NDArray[Any], label: NDArray[Any]) -> Reliability:
    """The reliability of probabilities in ten bins of equal mass."""
    return metrics.reliability(predicted, label, bins=10)


def segments(
    queries: Queries,
    *,
    train_rows_of_user: NDArray[Any] | None = None,
    smallest: int = 30,
) -> dict[str, NDArray[np.bool_]]:
    """Masks of the queries of each segment that has at least ``smallest`` of them.

    By field of the context (``puja:3``, ``region:1``), and, if it is said how many rows training
    has of the user of each query, ``users:new`` (none), ``users:some`` and ``users:heavy`` (five or
    more).
    """
    found: dict[str, NDArray[np.bool_]] = {}
    if train_rows_of_user is not None:
        found["users:new"] = train_rows_of_user == 0
        found["users:some"] = (train_rows_of_user > 0) & (train_rows_of_user < 5)
        found["users:heavy"] = train_rows_of_user >= 5
    for name in ("puja", "region"):
        values = queries.data.field(name)
        if values is not None:
            for value in np.unique(values[values >= 0]).tolist():
                found[f"{name}:{value}"] = values == value
    return {name: mask for name, mask in found.items() if int(mask.sum()) >= smallest}
