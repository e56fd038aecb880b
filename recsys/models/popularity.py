"""Popularity: the share of rows that have each item. The baseline of every comparison."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from recsys.models.base import Arrays, FloatArray, Interactions, Model, Query, checked


@dataclass(frozen=True, slots=True)
class PopularityParams:
    """Popularity has nothing to set."""


class Popularity(Model[PopularityParams]):
    """The same list for everybody."""

    name = "popularity"
    params_type = PopularityParams

    def _fit(self, data: Interactions, seed: int) -> None:
        shares = data.counts() / max(data.weight(), 1e-12)
        self.shares_: FloatArray = shares.astype(np.float32)

    def _score(self, query: Query) -> FloatArray:
        return np.array(self.shares_, np.float32)

    def _arrays(self) -> Arrays:
        return {"shares": self.shares_}

    def _restore(self, arrays: Arrays) -> None:
        self.shares_ = checked(arrays, "shares", np.float32, (self.n_items,))
