"""Item-kNN: items are near when they are in the same rows (cosine, shrunk by a constant)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.sparse import csr_array

from recsys.models.base import Interactions
from recsys.models.neighbours import NeighbourModel, Wide, gram, strongest, without_diagonal


@dataclass(frozen=True, slots=True)
class ItemKnnParams:
    """Parameters of ``ItemKnn``.

    Attributes
    ----------
    shrink
        Added below the line: pairs seen rarely get less near.
    neighbours
        How many each item keeps; 0 keeps all.
    """

    shrink: float = 50.0
    neighbours: int = 0


class ItemKnn(NeighbourModel[ItemKnnParams]):
    """``n_ij / (sqrt(n_i * n_j) + shrink)``."""

    name = "item_knn"
    params_type = ItemKnnParams

    def _neighbours(self, data: Interactions) -> Wide:
        together = gram(data)
        norms = np.sqrt(together.diagonal())
        near = without_diagonal(together)
        rows = np.repeat(np.arange(self.n_items), np.diff(near.indptr))
        near.data = near.data / (norms[rows] * norms[near.indices] + self.params.shrink)
        return strongest(csr_array(near), self.params.neighbours)
