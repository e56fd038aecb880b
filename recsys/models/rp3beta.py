"""RP3beta: a random walk of three steps, item to row to item, with popular ends held back.

Paudel, Christoffel, Newell and Bernstein, "Updatable, accurate, diverse, and scalable
recommendations for interactive applications", ACM TiiS 7(1), 2016.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array

from recsys.models.base import Interactions
from recsys.models.neighbours import NeighbourModel, Wide, strongest, without_diagonal


@dataclass(frozen=True, slots=True)
class Rp3BetaParams:
    """Parameters of ``Rp3Beta``.

    Attributes
    ----------
    alpha
        The power of each step's probability.
    beta
        The power of an item's popularity that its score is divided by.
    neighbours
        How many each item keeps; 0 keeps all.
    """

    alpha: float = 1.0
    beta: float = 0.4
    neighbours: int = 0


class Rp3Beta(NeighbourModel[Rp3BetaParams]):
    """``P(item -> row)^alpha @ P(row -> item)^alpha / popularity^beta``."""

    name = "rp3beta"
    params_type = Rp3BetaParams

    def _neighbours(self, data: Interactions) -> Wide:
        cells = data.positive()
        weights = np.ones(data.n_rows) if data.row_weights is None else data.row_weights
        popularity = data.counts()
        to_item = _times_rows(cells, _power(np.diff(cells.indptr), -self.params.alpha))
        # The step back from an item to a row takes heavy rows more often.
        back = csr_array(_times_rows(cells, np.power(weights, self.params.alpha)).T)
        back = _times_rows(back, _power(popularity, -self.params.alpha))
        walk = without_diagonal(csr_array(back @ to_item))
        walk.data = walk.data * _power(popularity, -self.params.beta)[walk.indices]
        return strongest(walk, self.params.neighbours)


def _power(values: NDArray[np.number], exponent: float) -> NDArray[np.float64]:
    """The values to a negative power, 0 where the value is 0."""
    filled = np.where(values > 0, values, 1.0).astype(np.float64)
    return np.where(values > 0, np.power(filled, exponent), 0.0)


def _times_rows(matrix: csr_array[Any, tuple[int, int]], factors: NDArray[Any]) -> Wide:
    scaled: Wide = csr_array(matrix.astype(np.float64))
    scaled.data = scaled.data * np.repeat(factors, np.diff(matrix.indptr))
    return scaled
