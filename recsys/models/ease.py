"""EASE^R: the linear item-to-item model in closed form, with context as columns of the input.

Steck, "Embarrassingly shallow autoencoders for sparse data", WWW 2019: with ``G = X'X + lam*I``
and ``P = inv(G)``, the weights are ``S = -P / diag(P)`` by columns, with a diagonal of zeros, and
the scores of a row x are ``x @ S``.

Context (which puja, region, month, pandit) is appended to X as one-hot columns of height
``w_ctx``. They are input only: they have rows in S, and nobody is recommended a month. One
inversion thereby learns what the puja asks for and what goes with what is in the basket.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import lapack
from scipy.sparse import csr_array, hstack

from recsys.models.base import (
    Arrays,
    Csr,
    FloatArray,
    IntArray,
    Interactions,
    Model,
    Query,
    checked,
)

_BLOCK = 512


@dataclass(frozen=True, slots=True)
class EaseParams:
    """Parameters of ``Ease``.

    Attributes
    ----------
    lam
        The weight of regularisation; more for fewer rows.
    w_ctx
        The height of the context columns; 0 leaves them out.
    fields
        The fields of the context to use; empty uses all that the data has.
    min_rows
        An item that fewer rows (by weight) have is not learned: it scores 0 and speaks for
        nothing.
    """

    lam: float = 200.0
    w_ctx: float = 1.0
    fields: tuple[str, ...] = ()
    min_rows: float = 0.0

    def __post_init__(self) -> None:
        """Refuse what cannot be inverted; JSON has lists where fields are wanted."""
        if self.lam <= 0:
            raise ValueError("lam must be above 0")
        object.__setattr__(self, "fields", tuple(self.fields))


class Ease(Model[EaseParams]):
    """EASE^R with context columns.

    Attributes
    ----------
    weights_
        (items + context values) by items, float32, C order: row j is what j speaks for.
    """

    name = "ease"
    params_type = EaseParams

    def _fit(self, data: Interactions, seed: int) -> None:
        self._offsets = self._field_offsets()
        columns = self._columns(data)
        inverse = inverse_of_gram(columns, self.params.lam)
        n = self.n_items
        weights = np.empty((len(inverse), n), np.float32)
        diagonal = np.diag(inverse)[:n].copy()
        for start in range(0, len(inverse), _BLOCK):
            rows = slice(start, start + _BLOCK)
            weights[rows] = inverse[rows, :n] / -diagonal
        weights[np.arange(n), np.arange(n)] = 0.0
        self.weights_: FloatArray = weights

    def _columns(self, data: Interactions) -> Csr:
        cells = data.matrix
        if self.params.min_rows > 0:
            rare = data.counts() < self.params.min_rows - 1e-6
            cells = csr_array(cells, copy=True)
            cells.data = np.where(rare[cells.indices], 0, cells.data).astype(np.float32)
            cells.eliminate_zeros()
        parts = [cells, *(self._one_hot(data, name) for name in self._offsets)]
        return data.scaled_rows(csr_array(hstack(parts, format="csr", dtype=np.float32)))

    def _one_hot(self, data: Interactions, name: str) -> Csr:
        values = data.field(name)
        size = next(field.size for field in self.fields if field.name == name)
        assert values is not None  # noqa: S101 - the offsets are made of the data's own fields
        rows = np.flatnonzero(values >= 0)
        heights = np.full(len(rows), self.params.w_ctx, np.float32)
        return csr_array((heights, (rows, values[rows])), shape=(data.n_rows, size))

    def _field_offsets(self) -> dict[str, int]:
        """The row of ``weights_`` at which each used field begins."""
        offsets, start = {}, self.n_items
        for field in self.fields:
            used = not self.params.fields or field.name in self.params.fields
            if used and self.params.w_ctx > 0:
                offsets[field.name] = start
                start += field.size
        return offsets

    def _score(self, query: Query) -> FloatArray:
        rows, factors = self._rows_of(query)
        scores = np.zeros(self.n_items, np.float32)
        part = np.empty(self.n_items, np.float32)
        for row, factor in zip(rows.tolist(), factors, strict=True):
            # Row by row, so that nothing larger than one row is made of mapped memory.
            np.multiply(self.weights_[row], factor, out=part)
            scores += part
        return scores

    def _rows_of(self, query: Query) -> tuple[IntArray, FloatArray]:
        extra = [
            start + value
            for name, start in self._offsets.items()
            if (value := self.context_value(query.context, name)) >= 0
        ]
        speaks = query.weights != 0
        rows = np.concatenate((query.given[speaks], np.array(extra, np.int32)))
        heights = np.full(len(extra), self.params.w_ctx, np.float32)
        return rows, np.concatenate((query.weights[speaks], heights))

    def contributions(self, query: Query, item: int) -> tuple[FloatArray, dict[str, float]]:
        """What each given item and each field of the context add to the score of ``item``.

        They sum to the score.
        """
        of_items = query.weights * self.weights_[query.given, item]
        of_context = {
            name: float(np.float32(self.params.w_ctx) * self.weights_[start + value, item])
            for name, start in self._offsets.items()
            if (value := self.context_value(query.context, name)) >= 0
        }
        return of_items, of_context

    def _arrays(self) -> Arrays:
        return {"weights": self.weights_}

    def _restore(self, arrays: Arrays) -> None:
        self._offsets = self._field_offsets()
        used = sum(field.size for field in self.fields if field.name in self._offsets)
        shape = (self.n_items + used, self.n_items)
        self.weights_ = checked(arrays, "weights", np.float32, shape)


def inverse_of_gram(columns: Csr, lam: float) -> NDArray[np.float64]:
    """``inv(X'X + lam*I)``, dense, in place: one float64 matrix of columns by columns is made."""
    n = columns.shape[1]
    gram = np.zeros((n, n), np.float64, order="F")
    cells = columns.astype(np.float64)
    transposed = csr_array(cells.T)
    by_column = cells.tocsc()
    for start in range(0, n, _BLOCK):
        block = slice(start, min(start + _BLOCK, n))
        gram[:, block] = (transposed @ by_column[:, block]).toarray()
    gram[np.arange(n), np.arange(n)] += lam
    factor, failed = lapack.dpotrf(gram, lower=1, overwrite_a=1, clean=0)
    if failed:
        raise ValueError("the gram matrix is not positive definite; lam is too small")
    inverse, failed = lapack.dpotri(factor, lower=1, overwrite_c=1)
    if failed:
        raise ValueError("the gram matrix cannot be inverted; lam is too small")
    # LAPACK fills one triangle. Mirrored in blocks, not by a second matrix.
    for start in range(0, n, _BLOCK):
        rows = slice(start, min(start + _BLOCK, n))
        inverse[rows, rows.stop :] = inverse[rows.stop :, rows].T
        corner = inverse[rows, rows]
        inverse[rows, rows] = np.tril(corner) + np.tril(corner, -1).T
    result: NDArray[np.float64] = inverse
    return result
