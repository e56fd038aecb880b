"""Association rules between pairs: how many of the rows with j have i too.

Lift is not offered: ranked by it, rare pairs win, and it does worse than popularity.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from recsys.models.base import Arrays, FloatArray, Interactions, Query, checked
from recsys.models.neighbours import NeighbourModel, Wide, gram, without_diagonal

_FALLBACK = 1e-5


@dataclass(frozen=True, slots=True)
class AssociationParams:
    """Parameters of ``Association``.

    Attributes
    ----------
    support
        A rule counts if so many rows (by weight) have both items.
    combine
        ``sum`` adds the confidences of all rules that fire, ``max`` takes the best.
    """

    support: float = 2.0
    combine: str = "sum"


class Association(NeighbourModel[AssociationParams]):
    """Scores by the confidence of the rules from the given items: ``n_ij / n_j``.

    Items that no rule reaches follow by popularity, far below those that one does.
    """

    name = "association"
    params_type = AssociationParams

    def __init__(self, params: AssociationParams | None = None) -> None:
        super().__init__(params)
        if self.params.combine not in ("sum", "max"):
            raise ValueError(f"combine is sum or max, not {self.params.combine}")

    def _neighbours(self, data: Interactions) -> Wide:
        together = gram(data)
        counts = together.diagonal()
        rules = without_diagonal(together)
        # Weighted counts are sums of roots squared: a hair below the whole number they stand for.
        rules.data = np.where(rules.data >= self.params.support - 1e-6, rules.data, 0.0)
        rules.eliminate_zeros()
        rules.data = rules.data / np.repeat(counts, np.diff(rules.indptr))
        return rules

    def _fit(self, data: Interactions, seed: int) -> None:
        super()._fit(data, seed)
        shares = data.counts() / max(data.weight(), 1e-12)
        self.shares_: FloatArray = (_FALLBACK * shares).astype(np.float32)

    def _score(self, query: Query) -> FloatArray:
        scores = super()._score(query) if self.params.combine == "sum" else self._best(query)
        scores += self.shares_
        return scores

    def _best(self, query: Query) -> FloatArray:
        scores = np.zeros(self.n_items, np.float32)
        for item, weight in zip(query.given.tolist(), query.weights, strict=True):
            start, end = self.pointers_[item], self.pointers_[item + 1]
            at = self.indices_[start:end]
            scores[at] = np.maximum(scores[at], weight * self.values_[start:end])
        return scores

    def _arrays(self) -> Arrays:
        return {**super()._arrays(), "shares": self.shares_}

    def _restore(self, arrays: Arrays) -> None:
        super()._restore(arrays)
        self.shares_ = checked(arrays, "shares", np.float32, (self.n_items,))
