"""Popularity within the puja, shrunk to the puja's category, and that to all pujas.

``P(item | puja) = (n(puja, item) + m * P(item | category)) / (n(puja) + m)``, where
``P(item | category)`` is shrunk to ``P(item)`` with the same m. The values are shares of bookings,
so they are probabilities as they stand.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array

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


@dataclass(frozen=True, slots=True)
class PujaPopularityParams:
    """Parameters of ``PujaPopularity``.

    Attributes
    ----------
    m
        How many imagined bookings the wider group counts for.
    field
        The field of the context that names the puja.
    parent
        The field that names its category; it may be missing.
    """

    m: float = 20.0
    field: str = "puja"
    parent: str = "puja_category"


class PujaPopularity(Model[PujaPopularityParams]):
    """What is usual for this puja. Without a known puja: for its category, else for all."""

    name = "puja_popularity"
    params_type = PujaPopularityParams

    def _fit(self, data: Interactions, seed: int) -> None:
        overall = data.counts() / max(data.weight(), 1e-12)
        cells = data.positive()
        weights = np.ones(data.n_rows) if data.row_weights is None else data.row_weights
        own, parent = data.field(self.params.field), data.field(self.params.parent)
        wide = self._shares(cells, weights, parent, self._size(self.params.parent), overall[None])
        shares = np.broadcast_to(overall, (self._size(self.params.field), self.n_items))
        if own is not None:
            # The category in which each puja was booked: every puja has one, or none.
            prior = np.broadcast_to(overall, shares.shape).copy()
            if parent is not None:
                known = (own >= 0) & (parent >= 0)
                prior[own[known]] = wide[parent[known]]
            shares = self._shares(cells, weights, own, len(shares), prior)
        self.bookings_: FloatArray = np.zeros(len(shares), np.float32)
        if own is not None:
            rows = np.flatnonzero(own >= 0)
            np.add.at(self.bookings_, own[rows], weights[rows].astype(np.float32))
        self.overall_: FloatArray = overall.astype(np.float32)
        self.by_parent_: FloatArray = np.ascontiguousarray(wide, np.float32)
        self.by_puja_: FloatArray = np.ascontiguousarray(shares, np.float32)

    def _size(self, field: str) -> int:
        return next((each.size for each in self.fields if each.name == field), 0)

    def _shares(
        self,
        cells: Csr,
        weights: NDArray[np.floating],
        group: IntArray | None,
        n_groups: int,
        prior: NDArray[np.float64],
    ) -> NDArray[np.float64]:
        if group is None or not n_groups:
            return np.empty((0, self.n_items))
        rows = np.flatnonzero(group >= 0)
        member = csr_array(
            (weights[rows].astype(np.float64), (group[rows], rows)), shape=(n_groups, len(group))
        )
        counts = (member @ cells).toarray()
        sizes = np.bincount(group[rows], weights=weights[rows], minlength=n_groups)
        m = self.params.m
        shares: NDArray[np.float64] = (counts + m * prior) / np.maximum(sizes + m, 1e-12)[:, None]
        return shares

    def _score(self, query: Query) -> FloatArray:
        puja = self.context_value(query.context, self.params.field)
        parent = self.context_value(query.context, self.params.parent)
        # Of a puja that nobody booked the rows do not tell the category; the question does.
        if puja >= 0 and (self.bookings_[puja] > 0 or parent < 0):
            return np.array(self.by_puja_[puja], np.float32)
        if parent >= 0:
            return np.array(self.by_parent_[parent], np.float32)
        return np.array(self.overall_, np.float32)

    def _arrays(self) -> Arrays:
        return {
            "overall": self.overall_,
            "by_parent": self.by_parent_,
            "by_puja": self.by_puja_,
            "bookings": self.bookings_,
        }

    def _restore(self, arrays: Arrays) -> None:
        puja, parent = self._size(self.params.field), self._size(self.params.parent)
        self.overall_ = checked(arrays, "overall", np.float32, (self.n_items,))
        self.by_parent_ = checked(arrays, "by_parent", np.float32, (parent, self.n_items))
        self.bookings_ = checked(arrays, "bookings", np.float32, (puja,))
        self.by_puja_ = checked(arrays, "by_puja", np.float32, (puja, self.n_items))
