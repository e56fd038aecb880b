"""Splits: by time, by hash. The same everywhere and for ever, because no random state is in them.

A random choice is ``unit(key)``, a number in [0, 1) from the sha256 of a text, so any program in
any language gets the same split. The split by time is the one that decides; the others compare
with the published and the reference figures.
"""

from __future__ import annotations

import hashlib
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array

from recsys.models.base import Csr, IntArray, Interactions

TAG: Final = "recsys-v1"
Rows = NDArray[np.int64]


def unit(key: str) -> float:
    """A number in [0, 1) that depends on the text alone."""
    return int(hashlib.sha256(key.encode()).hexdigest()[:8], 16) / 2**32


class Split(NamedTuple):
    """Row numbers of three parts; together all rows, each once."""

    train: Rows
    validation: Rows
    test: Rows


def by_hash(
    n_rows: int, *, tag: str = TAG, train_end: float = 0.7, validation_end: float = 0.8
) -> Split:
    """Split rows by the hash of ``"<tag>:<row>"``."""
    units = np.array([unit(f"{tag}:{row}") for row in range(n_rows)])
    return _parts(units, train_end, validation_end)


def by_time(ts: NDArray[np.int64], *, train_end: float = 0.8, validation_end: float = 0.9) -> Split:
    """Split rows at two instants, so that these shares of the rows lie before them.

    Rows of one instant are never parted: they belong to the later part.
    """
    if not len(ts):
        empty = np.empty(0, np.int64)
        return Split(empty, empty, empty)
    first, second = instants(ts, train_end=train_end, validation_end=validation_end)
    return Split(
        np.flatnonzero(ts < first),
        np.flatnonzero((ts >= first) & (ts < second)),
        np.flatnonzero(ts >= second),
    )


def instants(
    ts: NDArray[np.int64], *, train_end: float = 0.8, validation_end: float = 0.9
) -> tuple[int, int]:
    """The instants at which validation and test begin."""
    ordered = np.sort(ts)
    first, second = (
        int(ordered[min(int(share * len(ts)), len(ts) - 1)])
        for share in (train_end, validation_end)
    )
    return first, second


def cells_by_hash(
    rows: list[str], columns: list[str], *, tag: str = f"{TAG}:u1", train_end: float = 0.8
) -> NDArray[np.bool_]:
    """Mark the pairs that are for training, by the hash of ``"<tag>:<row>:<column>"``."""
    return np.array(
        [
            unit(f"{tag}:{row}:{column}") < train_end
            for row, column in zip(rows, columns, strict=True)
        ]
    )


def _parts(units: NDArray[np.float64], first: float, second: float) -> Split:
    return Split(
        np.flatnonzero(units < first),
        np.flatnonzero((units >= first) & (units < second)),
        np.flatnonzero(units >= second),
    )


class Queries(NamedTuple):
    """Questions with known answers.

    Attributes
    ----------
    data
        A row a question: what is given, and the context.
    relevant
        Rows by items: what should be found, 1 each.
    group
        The unit that each question belongs to (a basket, a user), for averages and intervals.
    """

    data: Interactions
    relevant: Csr
    group: IntArray

    def select(self, rows: NDArray[np.int64] | NDArray[np.bool_]) -> Queries:
        """Only these questions."""
        return Queries(self.data.select(rows), csr_array(self.relevant[rows]), self.group[rows])


def leave_one_out(data: Interactions) -> Queries:
    """For each row of two or more items, one question for each item: the others are given."""
    lengths = np.diff(data.matrix.indptr)
    rows = np.flatnonzero(lengths >= 2)
    asked = np.repeat(rows, lengths[rows])
    hidden = csr_array(data.matrix[rows]).indices.astype(np.int32)
    chosen = data.select(asked)
    given = csr_array(chosen.matrix, copy=True)
    row_of_cell = np.repeat(np.arange(len(asked)), np.diff(given.indptr))
    given.data = np.where(given.indices == hidden[row_of_cell], 0, given.data).astype(np.float32)
    given.eliminate_zeros()
    group = np.repeat(np.arange(len(rows), dtype=np.int32), lengths[rows])
    return Queries(chosen.with_matrix(given), _ones(hidden, data.n_items), group)


def _ones(columns: IntArray, n_items: int) -> Csr:
    """One row for each column number, with a 1 there."""
    pointers = np.arange(len(columns) + 1, dtype=np.int32)
    return csr_array(
        (np.ones(len(columns), np.float32), columns, pointers), shape=(len(columns), n_items)
    )


def half_baskets(data: Interactions, row_keys: list[str], *, tag: str = f"{TAG}:half") -> Queries:
    """For each row of four or more items: the first half by hash is given, the rest is hidden.

    The order is that of the hash of ``"<tag>:<row key>:<item>"``; of an odd number the larger
    half is given.
    """
    lengths = np.diff(data.matrix.indptr)
    rows = np.flatnonzero(lengths >= 4)
    is_given = np.zeros(data.matrix.nnz, np.bool_)
    for row in rows.tolist():
        start, end = int(data.matrix.indptr[row]), int(data.matrix.indptr[row + 1])
        items = data.matrix.indices[start:end].tolist()
        order = sorted(
            range(end - start), key=lambda at: (unit(f"{tag}:{row_keys[row]}:{items[at]}"), at)
        )
        for at in order[: (end - start + 1) // 2]:
            is_given[start + at] = True
    return _hide(data, rows, is_given)


def strong_generalisation(
    data: Interactions, row_keys: list[str], *, tag: str = f"{TAG}:u3", share: float = 0.8
) -> Queries:
    """For unseen rows of two or more items: ``share`` of the items by hash is given."""
    lengths = np.diff(data.matrix.indptr)
    cell_rows = np.repeat(np.arange(data.n_rows), lengths)
    is_given = np.array(
        [
            unit(f"{tag}:{row_keys[row]}:{item}") < share
            for row, item in zip(cell_rows.tolist(), data.matrix.indices.tolist(), strict=True)
        ],
        np.bool_,
    )
    n_given = np.bincount(cell_rows[is_given], minlength=data.n_rows)
    rows = np.flatnonzero((n_given > 0) & (n_given < lengths))
    return _hide(data, rows, is_given)


def _hide(data: Interactions, rows: NDArray[np.int64], is_given: NDArray[np.bool_]) -> Queries:
    def part(mask: NDArray[np.bool_]) -> Csr:
        matrix = csr_array(data.matrix, copy=True)
        matrix.data = (matrix.data * mask).astype(np.float32)
        matrix.eliminate_zeros()
        return csr_array(matrix[rows])

    hidden = part(~is_given)
    hidden.data = np.ones_like(hidden.data)
    given = data.select(rows).with_matrix(part(is_given))
    return Queries(given, hidden, np.arange(len(rows), dtype=np.int32))


def held_out(train: Interactions, test: Csr) -> Queries:
    """For each row with test cells: what training has of it is given, the test cells are hidden."""
    rows = np.flatnonzero(np.diff(test.indptr) > 0)
    relevant = csr_array(test[rows])
    relevant.data = np.ones_like(relevant.data, dtype=np.float32)
    return Queries(train.select(rows), relevant, rows.astype(np.int32))
