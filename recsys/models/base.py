"""The interface that all models share, and the ranking that all of them use.

A model sees indexes only: rows and items are numbered by the id maps of the data set, and whoever
talks to people maps ids at the edge. Scores are raw: they order the items of one query and mean
nothing else until they are calibrated. Ties are broken by the smaller item index everywhere.

A new model is a class with a ``name``, a frozen dataclass of parameters, and four methods:
``_fit``, ``_score``, ``_arrays`` and ``_restore``.
"""

from __future__ import annotations

import dataclasses
from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Generic, NamedTuple, Self, TypeAlias, TypeVar

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.sparse import csr_array

IntArray: TypeAlias = NDArray[np.int32]
FloatArray: TypeAlias = NDArray[np.float32]
Arrays: TypeAlias = Mapping[str, NDArray[Any]]
Json: TypeAlias = Mapping[str, Any]
Csr: TypeAlias = csr_array[np.float32, tuple[int, int]]

P = TypeVar("P")

NO_CONTEXT: Mapping[str, int] = {}


class BadModelData(ValueError):
    """Arrays or parameters that do not belong to the model that should load them."""


@dataclass(frozen=True, slots=True)
class Field:
    """One field of the context of a row: its name, and how many values it has."""

    name: str
    size: int


@dataclass(frozen=True, slots=True, eq=False)
class Interactions:
    """What a model is fitted on.

    Attributes
    ----------
    matrix
        Rows by items, float32, indices sorted: baskets (a row is a booking) or users.
    fields
        The fields of the context, in the order of the columns of ``context``.
    context
        Rows by fields: the index of the value that the row has, -1 where it is not known.
    given
        Rows by items, or None: what was in the row by itself (put there by a rule). Nothing is
        learned from it, so it says nothing either; it is only never recommended again.
    row_weights
        How much each row counts, float32 and not negative, or None: all count 1. A row of weight
        2 teaches what two equal rows of weight 1 teach.
    """

    matrix: Csr
    fields: tuple[Field, ...] = ()
    context: IntArray = dataclasses.field(default_factory=lambda: np.empty((0, 0), np.int32))
    given: Csr | None = None
    row_weights: FloatArray | None = None

    def __post_init__(self) -> None:
        """Refuse what does not fit together."""
        rows = self.matrix.shape[0]
        if not self.fields and self.context.size == 0:
            object.__setattr__(self, "context", np.empty((rows, 0), np.int32))
        if self.context.shape != (rows, len(self.fields)):
            raise ValueError(f"context is {self.context.shape}, not {(rows, len(self.fields))}")
        for column, field in enumerate(self.fields):
            values = self.context[:, column]
            if len(values) and (values.min() < -1 or values.max() >= field.size):
                raise ValueError(f"context field {field.name} has values outside -1..{field.size}")
        if self.given is not None and self.given.shape != self.matrix.shape:
            raise ValueError(f"given is {self.given.shape}, not {self.matrix.shape}")
        if self.row_weights is not None and self.row_weights.shape != (rows,):
            raise ValueError(f"{len(self.row_weights)} weights for {rows} rows")

    @property
    def n_rows(self) -> int:
        """The number of rows."""
        return int(self.matrix.shape[0])

    @property
    def n_items(self) -> int:
        """The number of items, those without any interaction included."""
        return int(self.matrix.shape[1])

    def select(self, rows: NDArray[Any]) -> Interactions:
        """Only these rows: indexes or a mask, in the order given."""
        return Interactions(
            matrix=csr_array(self.matrix[rows]),
            fields=self.fields,
            context=self.context[rows],
            given=None if self.given is None else csr_array(self.given[rows]),
            row_weights=None if self.row_weights is None else self.row_weights[rows],
        )

    def with_matrix(self, matrix: Csr) -> Interactions:
        """The same rows with other cells."""
        return dataclasses.replace(self, matrix=matrix)

    def without_context(self) -> Interactions:
        """The same rows, and nothing known about them but their cells."""
        return Interactions(matrix=self.matrix, given=self.given, row_weights=self.row_weights)

    def field(self, name: str) -> IntArray | None:
        """The values of one field, -1 where unknown; None if there is no such field."""
        for column, field in enumerate(self.fields):
            if field.name == name:
                return self.context[:, column]
        return None

    def counts(self) -> NDArray[np.float64]:
        """How much weight of rows has each item with a positive cell."""
        positive = self.matrix.data > 0
        weights = self._weights_of_cells()[positive]
        return np.bincount(
            self.matrix.indices[positive], weights=weights, minlength=self.n_items
        ).astype(np.float64)

    def weight(self) -> float:
        """The weight of all rows together."""
        return float(self.n_rows if self.row_weights is None else self.row_weights.sum())

    def positive(self) -> Csr:
        """The cells above 0 with the value 1."""
        matrix = csr_array(self.matrix, copy=True)
        matrix.data = (matrix.data > 0).astype(np.float32)
        matrix.eliminate_zeros()
        return matrix

    def scaled_rows(self, matrix: Csr) -> Csr:
        """``matrix`` with each row times the root of its weight: its gram is the weighted one."""
        if self.row_weights is None:
            return matrix
        scaled = csr_array(matrix, copy=True)
        scaled.data *= np.repeat(np.sqrt(self.row_weights), np.diff(matrix.indptr))
        return scaled

    def _weights_of_cells(self) -> NDArray[Any]:
        if self.row_weights is None:
            return np.ones(self.matrix.nnz, np.float32)
        return np.repeat(self.row_weights, np.diff(self.matrix.indptr))

    def row(self, index: int) -> Query:
        """Return what is known of a row, as a query; what was given besides has the weight 0."""
        items, weights = _cells(self.matrix, index)
        if self.given is not None:
            more, _ = _cells(self.given, index)
            more = more[~np.isin(more, items)]
            items = np.concatenate((items, more))
            weights = np.concatenate((weights, np.zeros(len(more), np.float32)))
        return Query(given=items, weights=weights, context=self.context_of(index))

    def context_of(self, index: int) -> dict[str, int]:
        """The known context of a row, by the names of the fields."""
        values = self.context[index].tolist()
        return {f.name: v for f, v in zip(self.fields, values, strict=True) if v >= 0}


def _cells(matrix: Csr, row: int) -> tuple[IntArray, FloatArray]:
    start, end = matrix.indptr[row], matrix.indptr[row + 1]
    return matrix.indices[start:end].astype(np.int32, copy=False), matrix.data[start:end]


class Query(NamedTuple):
    """One question: the items that are there with their weights, and the context."""

    given: IntArray
    weights: FloatArray
    context: Mapping[str, int]


class Ranking(NamedTuple):
    """Items, best first, with their raw scores; both of the same length."""

    items: IntArray
    scores: FloatArray


class Saved(NamedTuple):
    """A model at rest: named numeric arrays, and parameters that JSON can hold."""

    arrays: dict[str, NDArray[Any]]
    params: dict[str, Any]


def top_k(scores: FloatArray, k: int, exclude: ArrayLike = ()) -> Ranking:
    """The ``k`` best items: score descending, then index ascending.

    Items in ``exclude`` and items with a score of minus infinity are never there, so the answer
    may be shorter than ``k``. The scores given are not changed.
    """
    excluded = np.asarray(exclude, dtype=np.int64)
    if excluded.size:
        scores = scores.copy()
        scores[excluded] = -np.inf
    if k <= 0:
        return Ranking(np.empty(0, np.int32), np.empty(0, np.float32))
    if k < len(scores):
        # argpartition alone takes any of several equal scores at the border.
        border = np.partition(scores, len(scores) - k)[len(scores) - k]
        above = np.flatnonzero(scores > border)
        level = np.flatnonzero(scores == border)[: k - len(above)]
        chosen = np.sort(np.concatenate((above, level)))
    else:
        chosen = np.arange(len(scores))
    chosen = chosen[np.argsort(-scores[chosen], kind="stable")]
    chosen = chosen[scores[chosen] > -np.inf]
    return Ranking(chosen.astype(np.int32), scores[chosen].astype(np.float32, copy=False))


class Model(ABC, Generic[P]):
    """One model. ``fit`` or ``load`` first, then ask.

    Attributes
    ----------
    name
        How configurations, artifacts and reports call it.
    params_type
        The frozen dataclass of its parameters, all with defaults.
    """

    name: ClassVar[str]
    params_type: ClassVar[type[Any]]

    def __init__(self, params: P | None = None) -> None:
        self.params: P = self.params_type() if params is None else params
        self.n_items: int = 0
        self.fields: tuple[Field, ...] = ()

    def fit(self, data: Interactions, *, seed: int = 0) -> Self:
        """Learn from all rows, anew, and return self. Equal data and seed give equal arrays."""
        if data.n_items == 0:
            raise ValueError("there are no items to learn about")
        self.n_items = data.n_items
        self.fields = data.fields
        self._fit(data, seed)
        return self

    def score(
        self,
        given: ArrayLike,
        *,
        weights: ArrayLike | None = None,
        context: Mapping[str, int] = NO_CONTEXT,
    ) -> FloatArray:
        """The raw score of every item, as an array of ``n_items`` that the caller may keep.

        Parameters
        ----------
        given
            Indexes of the items that are there already, without repeats.
        weights
            How strongly each is there; 1 by default. An item of weight 0 says nothing.
        context
            Indexes by field name. Fields and values that the model has not seen count as unknown.

        Raises
        ------
        ValueError
            If an index is no item, or the weights are not as many as the items.
        """
        return self._score(self._query(given, weights, context))

    def recommend(
        self,
        given: ArrayLike,
        k: int,
        *,
        weights: ArrayLike | None = None,
        context: Mapping[str, int] = NO_CONTEXT,
        exclude: ArrayLike = (),
    ) -> Ranking:
        """The ``k`` best items that are neither given nor in ``exclude``."""
        query = self._query(given, weights, context)
        hidden = np.concatenate((query.given, np.asarray(exclude, dtype=np.int32)))
        return top_k(self._score(query), k, hidden)

    def score_rows(self, data: Interactions) -> FloatArray:
        """Score each row of ``data`` as a query; rows by items. Equal to ``score`` of each row."""
        scores = np.empty((data.n_rows, self.n_items), np.float32)
        for index in range(data.n_rows):
            scores[index] = self._score(data.row(index))
        return scores

    def save(self) -> Saved:
        """Arrays and parameters from which ``load`` makes a model with equal answers."""
        params = {
            "model": self.name,
            "n_items": self.n_items,
            "fields": [[field.name, field.size] for field in self.fields],
            "params": dataclasses.asdict(self.params),  # type: ignore[call-overload]
        }
        return Saved(dict(self._arrays()), params)

    @classmethod
    def load(cls, arrays: Arrays, params: Json) -> Self:
        """A model from what ``save`` gave. The arrays are kept, not copied: they may be mapped.

        Raises
        ------
        BadModelData
            If something is missing, or has another shape or type than it should.
        """
        try:
            if params["model"] != cls.name:
                raise BadModelData(f"these are the parameters of {params['model']}, not {cls.name}")
            model = cls(cls.params_type(**params["params"]))
            model.n_items = int(params["n_items"])
            model.fields = tuple(Field(str(name), int(size)) for name, size in params["fields"])
            model._restore(arrays)
        except (KeyError, TypeError, AttributeError) as error:
            raise BadModelData(f"{cls.name}: {type(error).__name__}: {error}") from error
        return model

    @abstractmethod
    def _fit(self, data: Interactions, seed: int) -> None:
        """Learn. ``n_items`` and ``fields`` are set already."""

    @abstractmethod
    def _score(self, query: Query) -> FloatArray:
        """Score every item; the query is valid. Returns a new float32 array."""

    @abstractmethod
    def _arrays(self) -> Arrays:
        """The learned arrays, by plain names."""

    @abstractmethod
    def _restore(self, arrays: Arrays) -> None:
        """Take the learned arrays; ``checked`` helps to refuse wrong ones."""

    def _query(
        self, given: ArrayLike, weights: ArrayLike | None, context: Mapping[str, int]
    ) -> Query:
        items = np.asarray(given, dtype=np.int32)
        if items.size and (items.min() < 0 or items.max() >= self.n_items):
            raise ValueError(f"a given item is outside 0..{self.n_items - 1}")
        if weights is None:
            strengths = np.ones(len(items), np.float32)
        else:
            strengths = np.asarray(weights, dtype=np.float32)
            if strengths.shape != items.shape:
                raise ValueError(f"{len(strengths)} weights for {len(items)} items")
        return Query(items, strengths, context)

    def context_value(self, context: Mapping[str, int], name: str) -> int:
        """The index that ``context`` has for a field; -1 if it is not known to the model."""
        value = context.get(name, -1)
        for field in self.fields:
            if field.name == name:
                return value if 0 <= value < field.size else -1
        return -1


def checked(
    arrays: Arrays, name: str, dtype: type[np.generic], shape: tuple[int | None, ...]
) -> NDArray[Any]:
    """The named array, if it has this type and shape (None: any length) and is finite.

    Of a mapped array only type and shape are looked at: reading it through would bring all of it
    into memory, and ``recsys.artifact`` has done so already, through a small buffer. It comes back
    as a plain array over the same memory, because each slice of a ``memmap`` costs microseconds.

    Raises
    ------
    BadModelData
        If it has not.
    """
    if name not in arrays:
        raise BadModelData(f"the array {name} is missing")
    array = arrays[name]
    if array.dtype != np.dtype(dtype):
        raise BadModelData(f"{name} is {array.dtype}, not {np.dtype(dtype)}")
    fits = len(array.shape) == len(shape) and all(
        wanted is None or wanted == length
        for wanted, length in zip(shape, array.shape, strict=True)
    )
    if not fits:
        raise BadModelData(f"{name} has the shape {array.shape}, not {shape}")
    if isinstance(array, np.memmap):
        return array.view(np.ndarray)
    if array.dtype.kind == "f" and not np.isfinite(array).all():
        raise BadModelData(f"{name} has values that are not finite")
    return array
