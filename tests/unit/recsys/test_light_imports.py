"""What serves, and what trains the demo's first model, needs numpy and scipy alone."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[3]
HEAVY = ("implicit", "pandas", "sklearn", "matplotlib", "pyarrow", "mlflow", "pyspark")
SCRIPT = f"""
import sys
for name in {HEAVY!r}:
    sys.modules[name] = None
import os
import numpy as np
import recsys
assert all(os.environ[name] for name in recsys.threads.VARIABLES)
import recsys.train, recsys.evaluate, recsys.bundle, recsys.store
from recsys import matrix, registry, synth
from recsys.town import TownConfig, simulate
data = synth.dataset(simulate(TownConfig(users=60, items=80, pandits=20, seed=1)))
rows = matrix.baskets(data, now_ms=data.newest_ms()).data
for name in registry.MODELS:
    params = {{"engine": "numpy", "factors": 4, "iterations": 2}} if name == "als" else {{}}
    if name != "rules":
        model = registry.create(name, params).fit(rows, seed=1)
        assert len(model.recommend([0], 5, context={{"puja": 1}}).items) == 5, name
"""


def test_all_models_train_and_answer_without_the_heavy_libraries() -> None:
    done = subprocess.run(  # noqa: S603 - the interpreter and a text of our own
        [sys.executable, "-W", "error", "-c", SCRIPT],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )
    assert done.returncode == 0, done.stderr
