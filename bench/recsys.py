"""Our recommenders beside the reference figures, on the same splits: ``python bench/recsys.py``.

The work is in ``bench/recommenders.py``. This file has the name of the package, and Python puts the
folder of a script first on the path: so it steps aside when another script of this folder asks for
the package.
"""

from __future__ import annotations

import importlib
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path[:] = [str(HERE.parent), *(each for each in sys.path if Path(each).resolve() != HERE)]

if __name__ == "recsys":
    del sys.modules[__name__]
    importlib.import_module(__name__)
elif __name__ == "__main__":
    sys.exit(importlib.import_module("bench.recommenders").main())
