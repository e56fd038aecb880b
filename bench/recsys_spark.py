"""ALS on Spark beside ALS on this machine, on the same split: ``python -m bench.recsys_spark``.

Needs the ``spark`` extra and Java 17. Both engines factorise customers by pandits and by items of
the synthetic town, as known before the test window; each searches its own regularisation (the two
mean different things by it) on the validation window. Spark holds when its NDCG@10 on the test
window lies within the bootstrap interval of the local engine's. Also told: how far rows that Spark
solved are from those that our own folding in solves with Spark's conventions.
"""

from __future__ import annotations

import argparse
import sys
import time
from contextlib import ExitStack
from typing import Any

import msgspec
import numpy as np

from recsys.comparison import examine
from recsys.config import Als as AlsGrid
from recsys.config import Config, Search
from recsys.config import Run as RunSettings
from recsys.engine import fold_in
from recsys.matrix import users_by
from recsys.models.als import Als
from recsys.pipeline import Solver, choose, fitted, solve_here, user_questions, windows
from recsys.sources import read_source
from recsys.spark_als import SparkEngine

SOURCE = "synth:users=1500,items=160,pandits=80,months=24,seed=1"
GRID = AlsGrid(factors=(16,), alpha=(1.0, 5.0), regularization=(10.0, 30.0), iterations=10)


def main() -> int:
    """Compare, print; status 1 when Spark is outside the interval."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--source", default=SOURCE)
    options = parser.parse_args()
    data, _ = read_source(options.source)
    base = Config(als=GRID, search=Search(max_queries=1500))
    cut = windows(data, base)
    outside = 0
    print(f"{'target':8} {'engine':9} {'NDCG@10':26} {'chosen':46} {'seconds':>8}")
    with ExitStack() as stack:
        session = stack.enter_context(SparkEngine(base.spark))

        def on_spark(interactions: Any, params: Any, seed: int) -> Als:
            return Als.from_factors(session.fit(interactions.matrix, params, seed), params)

        engines: tuple[tuple[str, Solver], ...] = (("implicit", solve_here), ("spark", on_spark))
        for target in ("pandit", "item"):
            early = users_by(data.before(cut.validation), target, now_ms=cut.validation)
            asked = user_questions(data, target, cut.validation, cut.test, 1500, 7)
            known = users_by(data.before(cut.test), target, now_ms=cut.test)
            test = user_questions(data, target, cut.test, cut.end, 5000, 7)
            found = {}
            for name, solver in engines:
                run = msgspec.structs.replace(RunSettings(), engine=name)
                config = msgspec.structs.replace(base, run=run)
                started = time.perf_counter()
                choice = choose(("als",), early, asked, config, solver)
                model = fitted("als", choice.params, known, config, solver)
                took = time.perf_counter() - started
                found[name] = examine(model, test, known).interval()
                shown = ", ".join(f"{key} {value}" for key, value in choice.params.items())
                print(f"{target:8} {name:9} {found[name]!s:26} {shown:46} {took:8.1f}")
                if name == "spark" and isinstance(model, Als):
                    print(f"{'':8} rows solved again differ by {_difference(model, known):.1e}")
            local = found["implicit"]
            within = local.low <= found["spark"].mean <= local.high
            outside += not within
            print(f"{'':8} {'within' if within else 'OUTSIDE'} the local engine's interval")
    return 1 if outside else 0


def _difference(model: Als, known: Any) -> float:
    """The largest relative difference between Spark's rows and ours, of fifty rows."""
    worst = 0.0
    lengths = np.diff(known.matrix.indptr)
    for row in np.flatnonzero(lengths)[:50].tolist():
        cells = slice(known.matrix.indptr[row], known.matrix.indptr[row + 1])
        ours = fold_in(
            model.item_,
            model.gram_,
            known.matrix.indices[cells],
            known.matrix.data[cells],
            model.params,
        )
        size = np.abs(ours).max()
        if size > 0:
            worst = max(worst, float(np.abs(ours - model.user_[row]).max() / size))
    return worst


if __name__ == "__main__":
    sys.exit(main())
