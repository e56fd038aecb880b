"""ALS for rows that are long: customer by item, by pandit, by puja.

A query is folded in from what is given, so a customer of today needs no new training and an
unknown one no stored vector. Vectors of customers are kept as well, for those whose history has
not changed since; they are read one row at a time, so a mapped file of a million of them is never
copied.
"""

from __future__ import annotations

from typing import Self

import numpy as np
from numpy.typing import NDArray

from recsys.engine import AlsParams, Factors, fit, fold_in
from recsys.models.base import (
    Arrays,
    FloatArray,
    Interactions,
    Model,
    Query,
    checked,
)


class Als(Model[AlsParams]):
    """Implicit-feedback ALS.

    Attributes
    ----------
    user_
        Rows by factors, float32, C order.
    item_
        Items by factors.
    gram_
        ``item_.T @ item_``, float64, made once so that folding in does not read all items.
    """

    name = "als"
    params_type = AlsParams

    def _fit(self, data: Interactions, seed: int) -> None:
        self._take(fit(data.matrix, self.params, seed))

    @classmethod
    def from_factors(cls, factors: Factors, params: AlsParams) -> Self:
        """A model of factors that an engine outside this process made.

        Raises
        ------
        ValueError
            If shape, engine or regularisation are not those of ``params``.
        """
        width = params.factors
        if factors.user.shape[1] != width or factors.item.shape[1] != width:
            raise ValueError(f"the vectors do not have the length {width}")
        if (factors.engine, factors.reg_mode) != (params.engine, params.reg_mode):
            raise ValueError(f"the factors are by {factors.engine}, {factors.reg_mode}")
        if not (np.isfinite(factors.user).all() and np.isfinite(factors.item).all()):
            raise ValueError("the factors are not finite")
        model = cls(params)
        model.n_items = len(factors.item)
        model._take(factors)
        return model

    def _take(self, factors: Factors) -> None:
        self.user_: FloatArray = np.ascontiguousarray(factors.user, np.float32)
        self.item_: FloatArray = np.ascontiguousarray(factors.item, np.float32)
        wide = self.item_.astype(np.float64)
        self.gram_: NDArray[np.float64] = wide.T @ wide

    def vector(self, query: Query) -> FloatArray:
        """The vector of whoever has these items with these strengths."""
        solved = fold_in(self.item_, self.gram_, query.given, query.weights, self.params)
        return solved.astype(np.float32)

    def score_user(self, user: int) -> FloatArray:
        """The scores of a user of the training, from the stored vector."""
        return np.asarray(self.item_ @ self.user_[user])

    def _score(self, query: Query) -> FloatArray:
        return np.asarray(self.item_ @ self.vector(query))

    def contributions(self, query: Query, item: int) -> FloatArray:
        """What each given item adds to the score of ``item``; they sum to the score.

        With A the matrix that folding in solves, the score is ``sum_j y' A^-1 c_j y_j`` over the
        items j that are liked.
        """
        r = query.weights.astype(np.float64)
        near = self.item_[query.given].astype(np.float64)
        excess = self.params.alpha * np.abs(r)
        liked = r > 0
        count = int(liked.sum()) if self.params.reg_mode == "scaled" else 1
        left = self.gram_ + (near.T * excess) @ near
        left[np.diag_indices_from(left)] += self.params.regularization * max(count, 1)
        pull = np.linalg.solve(left, self.item_[item].astype(np.float64))
        return np.where(liked, (1.0 + excess) * (near @ pull), 0.0).astype(np.float32)

    def _arrays(self) -> Arrays:
        return {"user": self.user_, "item": self.item_, "gram": self.gram_}

    def _restore(self, arrays: Arrays) -> None:
        width = self.params.factors
        self.user_ = checked(arrays, "user", np.float32, (None, width))
        self.item_ = checked(arrays, "item", np.float32, (self.n_items, width))
        self.gram_ = checked(arrays, "gram", np.float64, (width, width))
