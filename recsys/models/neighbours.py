"""What item-kNN, RP3beta and association rules share: a sparse matrix of item by item.

Row j says what a given item j speaks for, and how loudly; a score is the sum over the given items,
each times its weight. How the matrix comes about is all that the three differ in.
"""

from __future__ import annotations

from abc import abstractmethod
from typing import TypeAlias, TypeVar

import numpy as np
from scipy.sparse import csr_array

from recsys.models.base import (
    Arrays,
    BadModelData,
    FloatArray,
    Interactions,
    Model,
    Query,
    checked,
)

Wide: TypeAlias = csr_array[np.float64, tuple[int, int]]

P = TypeVar("P")


class NeighbourModel(Model[P]):
    """Scores from a sparse item-by-item matrix that ``_neighbours`` makes."""

    @abstractmethod
    def _neighbours(self, data: Interactions) -> Wide:
        """Items by items: row j is what j speaks for."""

    def _fit(self, data: Interactions, seed: int) -> None:
        matrix = self._neighbours(data)
        matrix.sort_indices()
        self.values_ = matrix.data.astype(np.float32)
        self.indices_ = matrix.indices.astype(np.int32)
        self.pointers_ = matrix.indptr.astype(np.int64)

    def _score(self, query: Query) -> FloatArray:
        scores = np.zeros(self.n_items, np.float32)
        for item, weight in zip(query.given.tolist(), query.weights, strict=True):
            start, end = self.pointers_[item], self.pointers_[item + 1]
            scores[self.indices_[start:end]] += weight * self.values_[start:end]
        return scores

    def contributions(self, query: Query, item: int) -> FloatArray:
        """How much each given item adds to the score of ``item``; their sum is the score."""
        found = np.zeros(len(query.given), np.float32)
        for place, given in enumerate(query.given.tolist()):
            start, end = self.pointers_[given], self.pointers_[given + 1]
            at = int(np.searchsorted(self.indices_[start:end], item)) + start
            if at < end and self.indices_[at] == item:
                found[place] = query.weights[place] * self.values_[at]
        return found

    def _arrays(self) -> Arrays:
        return {"values": self.values_, "indices": self.indices_, "pointers": self.pointers_}

    def _restore(self, arrays: Arrays) -> None:
        self.values_ = checked(arrays, "values", np.float32, (None,))
        self.indices_ = checked(arrays, "indices", np.int32, (len(self.values_),))
        self.pointers_ = checked(arrays, "pointers", np.int64, (self.n_items + 1,))
        steps = np.diff(self.pointers_)
        if self.pointers_[0] != 0 or self.pointers_[-1] != len(self.values_) or steps.min() < 0:
            raise BadModelData("pointers do not divide the values into rows")
        if len(self.indices_) and not (
            int(self.indices_.min()) >= 0 and int(self.indices_.max()) < self.n_items
        ):
            raise BadModelData(f"indices are outside 0..{self.n_items - 1}")


def gram(data: Interactions) -> Wide:
    """Items by items: the weight of the rows that have both; the diagonal has the counts."""
    cells = data.scaled_rows(data.positive()).astype(np.float64)
    return csr_array(cells.T @ cells)


def without_diagonal(matrix: Wide) -> Wide:
    """The same matrix with a diagonal of zeros, which are not stored."""
    cells = matrix.tocoo()
    off = cells.row != cells.col
    return csr_array((cells.data[off], (cells.row[off], cells.col[off])), shape=matrix.shape)


def strongest(matrix: Wide, count: int) -> Wide:
    """For each item the ``count`` others that speak for it loudest; of equals the smaller index.

    Cut by the item spoken for, not by the one that speaks: so every item can still be reached,
    and popular ones do not crowd the others out.
    """
    if count <= 0:
        return matrix
    by_target = csr_array(matrix.T)
    by_target.sort_indices()
    keep = np.ones(by_target.nnz, np.bool_)
    for row in np.flatnonzero(np.diff(by_target.indptr) > count).tolist():
        start, end = by_target.indptr[row], by_target.indptr[row + 1]
        order = np.argsort(-by_target.data[start:end], kind="stable")
        keep[start + order[count:]] = False
    by_target.data = np.where(keep, by_target.data, 0)
    by_target.eliminate_zeros()
    return csr_array(by_target.T)
