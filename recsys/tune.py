"""The search for parameters: one coordinate after the other, until nothing gets better.

A grid of three parameters with three values each has 27 points; walking along one axis at a time
finds its best point, or one next to it, in about ten. The walk begins in the middle of every axis,
is the same for equal data and seed, and ends early by itself (a round without a gain), after a
number of trials without a gain, or when the time is used up. A search that time cut short says so:
its result is the only one that the speed of the machine can change.
"""

from __future__ import annotations

import itertools
import math
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeAlias

import numpy as np

from recsys.bootstrap import unit_means
from recsys.comparison import rank
from recsys.metrics import list_figures
from recsys.models.base import Model
from recsys.splits import Queries

Space: TypeAlias = Mapping[str, Sequence[Any]]
Judge: TypeAlias = Callable[[Mapping[str, Any]], float]


@dataclass(frozen=True, slots=True)
class Trial:
    """One point that was tried; a higher score is better, minus infinity means that it failed."""

    params: Mapping[str, Any]
    score: float
    seconds: float
    problem: str = ""


@dataclass(frozen=True, slots=True)
class Found:
    """What a search found.

    Attributes
    ----------
    best
        The best trial; of equal ones, the first.
    trials
        All, in the order in which they were made.
    complete
        Whether the search ended by itself, not by time.
    """

    best: Trial
    trials: tuple[Trial, ...] = field(default=())
    complete: bool = True


def search(
    space: Space,
    judge: Judge,
    *,
    patience: int,
    deadline: float = math.inf,
    on_trial: Callable[[Trial], None] | None = None,
    clock: Callable[[], float] = time.monotonic,
) -> Found:
    """Look for the parameters with the highest score.

    Parameters
    ----------
    space : mapping
        The values to try of each parameter, in order: neighbours are alike.
    judge : callable
        The score of one choice. A ``ValueError`` or ``ArithmeticError`` counts as the worst score:
        one impossible corner does not end a search.
    patience : int
        Trials in a row without a gain after which it ends.
    deadline : float
        Of ``clock``. The first trial is made in any case.

    Raises
    ------
    ValueError
        When every trial failed.
    """
    walk = _Walk(space, judge, on_trial, clock)
    at = {name: (len(values) - 1) // 2 for name, values in space.items()}
    best, best_at, since, complete = walk.trial(at), at, 0, True
    improved = True
    while improved and complete and since < patience:
        improved = False
        near = _neighbourhood(space, best_at) if best.score > -math.inf else _everywhere(space)
        for step in near:
            if clock() >= deadline:
                complete = False
                break
            if walk.knows(step):
                continue
            trial = walk.trial(step)
            since = 0 if trial.score > best.score else since + 1
            if trial.score > best.score:
                best, best_at, improved = trial, step, True
                break
            if since >= patience:
                break
    if best.score == -math.inf:
        raise ValueError(f"no parameters work: {best.problem}")
    return Found(best, tuple(walk.trials), complete)


def _neighbourhood(space: Space, at: Mapping[str, int]) -> Iterator[dict[str, int]]:
    """The points one step away along each axis, and then those further away on it."""
    for name, values in space.items():
        others = [index for index in range(len(values)) if index != at[name]]
        for index in sorted(others, key=lambda index: (abs(index - at[name]), index)):
            yield {**at, name: index}


def _everywhere(space: Space) -> Iterator[dict[str, int]]:
    """All points, for when none was found from which to walk."""
    for indexes in itertools.product(*(range(len(values)) for values in space.values())):
        yield dict(zip(space, indexes, strict=True))


class _Walk:
    """The trials so far; no point is tried twice."""

    def __init__(
        self,
        space: Space,
        judge: Judge,
        on_trial: Callable[[Trial], None] | None,
        clock: Callable[[], float],
    ) -> None:
        self._space = space
        self._judge = judge
        self._on_trial = on_trial
        self._clock = clock
        self._known: set[tuple[int, ...]] = set()
        self.trials: list[Trial] = []

    def knows(self, at: Mapping[str, int]) -> bool:
        return self._key(at) in self._known

    def trial(self, at: Mapping[str, int]) -> Trial:
        params = {name: values[at[name]] for name, values in self._space.items()}
        self._known.add(self._key(at))
        started, problem = self._clock(), ""
        try:
            score = float(self._judge(params))
        except (ValueError, ArithmeticError) as error:
            score, problem = -math.inf, str(error)
        if math.isnan(score):
            score, problem = -math.inf, "the score is not a number"
        trial = Trial(params, score, self._clock() - started, problem)
        self.trials.append(trial)
        if self._on_trial is not None:
            self._on_trial(trial)
        return trial

    def _key(self, at: Mapping[str, int]) -> tuple[int, ...]:
        return tuple(at[name] for name in self._space)


def ndcg(model: Model[Any], queries: Queries, k: int) -> float:
    """The mean over units of the mean NDCG@k of a unit's queries; NaN without queries."""
    values = list_figures(rank(model, queries.data, k=k).lists, queries.relevant, k).ndcg
    units = unit_means(values, queries.group)
    return float(units.mean()) if len(units) else math.nan


def thinned(queries: Queries, at_most: int, seed: int) -> Queries:
    """At most so many questions, of whole units chosen at random, in their order."""
    if queries.data.n_rows <= at_most:
        return queries
    units, sizes = np.unique(queries.group, return_counts=True)
    order = np.random.default_rng(seed).permutation(len(units))
    fitting = np.cumsum(sizes[order]) <= at_most
    fitting[0] = True
    return queries.select(np.isin(queries.group, units[order[fitting]]))
