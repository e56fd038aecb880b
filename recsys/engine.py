"""What factorises a matrix for ALS: one interface, several solvers, the same factors out.

``implicit`` is the default. ``numpy`` is the reference: no compiled dependency, for small data and
for tests. Spark has a module of its own and gives the same ``Factors``.

All minimise ``sum c (p - x.y)^2 + lam * (|x|^2 + |y|^2)``, where a missing cell has c = 1 and
p = 0, and a cell of strength r has ``c = 1 + alpha*|r|`` and p = 1 if r > 0, else 0 (Hu, Koren and
Volinsky, ICDM 2008). They differ in the regularisation: ``plain`` adds lam to every row, ``scaled``
(Spark) adds lam times the number of the row's positive cells.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array, csr_matrix

from recsys.matrix import implicit_values
from recsys.models.base import Csr, FloatArray, IntArray

Engine: TypeAlias = Literal["implicit", "numpy", "spark"]
RegMode: TypeAlias = Literal["plain", "scaled"]


@dataclass(frozen=True, slots=True)
class AlsParams:
    """Parameters of ALS.

    Attributes
    ----------
    factors
        The length of each vector.
    regularization
        lam; see ``reg_mode`` for what it multiplies.
    alpha
        How much a strength of 1 adds to the confidence.
    iterations
        How often both sides are solved.
    engine
        Who solves: ``implicit``, ``numpy`` or ``spark``.
    reg_mode
        ``plain`` or ``scaled``; folding in must use that of the training.
    """

    factors: int = 32
    regularization: float = 10.0
    alpha: float = 2.0
    iterations: int = 15
    engine: Engine = "implicit"
    reg_mode: RegMode = "plain"

    def __post_init__(self) -> None:
        """Refuse what no engine can solve."""
        if self.factors < 1 or self.iterations < 1:
            raise ValueError("factors and iterations must be at least 1")
        if self.regularization <= 0 or self.alpha < 0:
            raise ValueError("regularization must be above 0 and alpha not below")
        if self.engine not in ("implicit", "numpy", "spark"):
            raise ValueError(f"unknown engine {self.engine}")
        if self.reg_mode not in ("plain", "scaled"):
            raise ValueError(f"unknown reg_mode {self.reg_mode}")


@dataclass(frozen=True, slots=True, eq=False)
class Factors:
    """Vectors of rows and of items, float32, C order, and who made them."""

    user: FloatArray
    item: FloatArray
    engine: Engine
    reg_mode: RegMode


def fit(matrix: Csr, params: AlsParams, seed: int) -> Factors:
    """Factorise ``matrix`` (strengths r) with the engine that the parameters name.

    Raises
    ------
    ValueError
        For ``spark``, whose ``Factors`` come from its own module, and for a ``reg_mode`` that the
        engine does not have.
    """
    if params.engine == "numpy":
        return _fit_numpy(matrix, params, seed)
    if params.engine == "implicit":
        return _fit_implicit(matrix, params, seed)
    raise ValueError("Spark trains in recsys.spark_als")


def _fit_implicit(matrix: Csr, params: AlsParams, seed: int) -> Factors:
    from implicit.cpu.als import AlternatingLeastSquares
    from threadpoolctl import threadpool_limits

    if params.reg_mode != "plain":
        raise ValueError("implicit has plain regularisation only")
    # The environment counts only if numpy was not there first; in a notebook it often was.
    with threadpool_limits(1, "blas"):
        model = AlternatingLeastSquares(
            factors=params.factors,
            regularization=params.regularization,
            alpha=1.0,
            iterations=params.iterations,
            num_threads=1,
            random_state=seed,
            dtype=np.float32,
        )
        model.fit(csr_matrix(implicit_values(matrix, params.alpha)), show_progress=False)
    return Factors(
        np.ascontiguousarray(model.user_factors, np.float32),
        np.ascontiguousarray(model.item_factors, np.float32),
        "implicit",
        "plain",
    )


def _fit_numpy(matrix: Csr, params: AlsParams, seed: int) -> Factors:
    random = np.random.default_rng(seed)
    rows, columns = matrix.shape
    user = random.normal(0, 0.01, (rows, params.factors))
    item = random.normal(0, 0.01, (columns, params.factors))
    turned = csr_array(matrix.T)
    for _ in range(params.iterations):
        user = _solve_side(matrix, item, params)
        item = _solve_side(turned, user, params)
    return Factors(user.astype(np.float32), item.astype(np.float32), "numpy", params.reg_mode)


def _solve_side(matrix: Csr, other: NDArray[Any], params: AlsParams) -> NDArray[np.float64]:
    gram = other.T @ other
    solved = np.zeros((matrix.shape[0], params.factors))
    for row in range(len(solved)):
        start, end = matrix.indptr[row], matrix.indptr[row + 1]
        if start < end:
            solved[row] = fold_in(
                other, gram, matrix.indices[start:end], matrix.data[start:end], params
            )
    return solved


def fold_in(
    factors: NDArray[Any],
    gram: NDArray[Any],
    indexes: IntArray | NDArray[Any],
    strengths: FloatArray | NDArray[Any],
    params: AlsParams,
) -> NDArray[np.float64]:
    """The vector of one row, given the vectors of the other side: one exact half step of ALS.

    ``x = (Y'Y + sum (c-1) y y' + lam*I)^-1 @ sum over r > 0 of c*y``. Costs O(n d^2 + d^3).

    Parameters
    ----------
    factors
        Y, all vectors of the other side; only the rows in ``indexes`` are read.
    gram
        ``Y'Y``, d by d.
    indexes, strengths
        The cells of the row. Strengths of 0 count as missing.

    Returns
    -------
    numpy.ndarray
        d numbers; zeros for a row without positive cells.
    """
    seen = strengths != 0
    near = np.asarray(factors[indexes[seen]], np.float64)
    r = np.asarray(strengths[seen], np.float64)
    excess = params.alpha * np.abs(r)
    liked = r > 0
    count = int(liked.sum()) if params.reg_mode == "scaled" else 1
    if not liked.any():
        return np.zeros(params.factors)
    left = gram + (near.T * excess) @ near
    left[np.diag_indices_from(left)] += params.regularization * count
    right = near[liked].T @ (1.0 + excess[liked])
    return np.asarray(np.linalg.solve(left, right), np.float64)
