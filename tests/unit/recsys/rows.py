"""Small matrices for the tests of models, made of a seed."""

from __future__ import annotations

import numpy as np
from scipy.sparse import csr_array

from recsys.models.base import Csr, Field, Interactions


def matrix_of(rows: list[list[float]]) -> Csr:
    return csr_array(np.array(rows, np.float32))


def random_rows(
    seed: int = 3, n_rows: int = 60, n_items: int = 20, *, binary: bool = True
) -> Interactions:
    """Rows of two groups (the puja) that like different items, with context and row weights."""
    random = np.random.default_rng(seed)
    puja = random.integers(0, 3, n_rows)
    liked = np.where(np.arange(n_items)[None, :] % 3 == puja[:, None], 0.5, 0.1)
    cells = (random.random((n_rows, n_items)) < liked).astype(np.float32)
    if not binary:
        cells *= random.choice([0.3, 1.0, 4.0, -1.0], cells.shape).astype(np.float32)
    region = random.integers(-1, 2, n_rows)
    return Interactions(
        matrix=csr_array(cells),
        fields=(Field("puja", 4), Field("puja_category", 2), Field("region", 2)),
        context=np.column_stack((puja, puja // 2, region)).astype(np.int32),
        row_weights=random.uniform(0.2, 1.0, n_rows).astype(np.float32),
    )
