"""One thread for the linear algebra libraries, unless the environment says otherwise.

OpenBLAS starts a thread for each core by default. Small products get slower by that, not faster,
the parallel loops of ``implicit`` fight with it, and sums done in another order are not equal to
the last bit. The variables count only if they are set before numpy is imported.
"""

from __future__ import annotations

import os
from typing import Final

VARIABLES: Final = (
    "OPENBLAS_NUM_THREADS",
    "OMP_NUM_THREADS",
    "MKL_NUM_THREADS",
    "BLIS_NUM_THREADS",
)


def limit_threads(count: int = 1) -> None:
    """Set the number of threads in the environment, where it is not set already."""
    for name in VARIABLES:
        os.environ.setdefault(name, str(count))


def settings() -> dict[str, str]:
    """What the environment says about threads now, for a run's record."""
    return {name: os.environ.get(name, "") for name in VARIABLES}
