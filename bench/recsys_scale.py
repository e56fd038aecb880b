"""What training costs from a hundred thousand to ten million interactions.

``python -m bench.recsys_scale [--sizes 100000 1000000 10000000] [--plot FILE.png]``

Each size runs in a process of its own: raw interactions to matrices, the samagri model (EASE^R with
context) on baskets, ALS on customers by items, both popularities, and a judgement on held-back
rows, with parameters fixed. Printed are seconds by step, the peak of the resident memory, and the
cost of an interaction in time of the processor, so that other programs on the machine do not count.
The catalogue stays the same while customers and bookings grow, as they do in a town.
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

import numpy as np
from numpy.typing import NDArray

from recsys.engine import AlsParams
from recsys.matrix import sum_cells
from recsys.models.als import Als
from recsys.models.base import Csr, Field, IntArray, Interactions, Model
from recsys.models.ease import Ease, EaseParams
from recsys.models.popularity import Popularity
from recsys.models.puja_popularity import PujaPopularity
from recsys.splits import leave_one_out
from recsys.tune import ndcg, thinned

SIZES = (100_000, 1_000_000, 10_000_000)
ITEMS, PUJAS, KINDS = 1_000, 60, 20
LINES_A_BASKET, BASKETS_A_USER = 10, 5
TRAINING = ("matrices", "ease", "als", "popularity")
# The data come from nothing and a fixed number of questions is asked: neither grows with training.
SHOWN = ("make", *TRAINING, "judge")
MAX_SECONDS, MAX_GIGABYTES = 600, 6.0

T = TypeVar("T")


class Raw(NamedTuple):
    """Basket and item of each line, puja and customer of each basket."""

    row: IntArray
    item: IntArray
    puja: IntArray
    user: IntArray


def invented(size: int, seed: int) -> Raw:
    """So many lines of baskets.

    Each puja has its own favourites among the items, each customer a bent for one kind of them.
    """
    random = np.random.default_rng(seed)
    baskets = size // LINES_A_BASKET
    puja = (PUJAS * random.random(baskets) ** 2).astype(np.int32)
    user = random.integers(0, max(baskets // BASKETS_A_USER, 1), baskets).astype(np.int32)
    row = np.repeat(np.arange(baskets, dtype=np.int32), LINES_A_BASKET)
    rank = (ITEMS * random.random(len(row)) ** 4).astype(np.int64)
    item = (rank + puja[row].astype(np.int64) * 37) % ITEMS
    bent = random.random(len(row)) < 0.3
    own = (user[row].astype(np.int64) * 7919) % KINDS
    item[bent] = (rank[bent] % (ITEMS // KINDS)) * KINDS + own[bent]
    return Raw(row, item.astype(np.int32), puja, user)


def matrices(raw: Raw, users: int) -> tuple[Interactions, Csr]:
    """Baskets by items with their pujas, and customers by items."""
    cells = matrix(raw.row, raw.item, (len(raw.puja), ITEMS))
    cells.data[:] = 1.0
    data = Interactions(cells, (Field("puja", PUJAS),), raw.puja[:, None])
    return data, matrix(raw.user[raw.row], raw.item, (users, ITEMS))


def matrix(rows: NDArray[Any], columns: NDArray[Any], shape: tuple[int, int]) -> Csr:
    """The strengths of pairs, at most 20."""
    cells = sum_cells(rows, columns, np.ones(len(rows)), shape)
    np.minimum(cells.data, 20, out=cells.data)
    return cells


def measured(size: int, seed: int = 7) -> dict[str, Any]:
    """Train once on so many interactions, in this process."""
    seconds: dict[str, float] = {}
    processor: dict[str, float] = {}
    # Loading the libraries is no part of the cost of an interaction.
    tiny = Interactions(matrix(np.arange(9), np.arange(9), (9, 9)))
    Als(AlsParams(factors=2, iterations=1)).fit(tiny)
    Ease().fit(tiny)

    def timed(name: str, step: Callable[[], T]) -> T:
        started, worked = time.perf_counter(), time.process_time()
        result = step()
        seconds[name] = seconds.get(name, 0.0) + time.perf_counter() - started
        processor[name] = processor.get(name, 0.0) + time.process_time() - worked
        return result

    raw = timed("make", lambda: invented(size, seed))
    users = int(raw.user.max()) + 1
    data, by_user = timed("matrices", lambda: matrices(raw, users))
    test = np.arange(0, data.n_rows, max(data.n_rows // 200, 1))
    train = data.select(np.setdiff1d(np.arange(data.n_rows), test))
    ease = timed("ease", lambda: Ease(EaseParams(lam=200.0, w_ctx=1.0)).fit(train))
    params = AlsParams(factors=32, regularization=10.0, alpha=5.0, iterations=15)
    als = timed("als", lambda: Als(params).fit(Interactions(by_user), seed=seed))
    popular = timed("popularity", lambda: Popularity().fit(train))
    usual = timed("popularity", lambda: PujaPopularity(_of_puja()).fit(train))
    questions = thinned(leave_one_out(data.select(test)), 1000, seed)
    models: tuple[Model[Any], ...] = (ease, popular, usual)
    found = timed("judge", lambda: {model.name: ndcg(model, questions, 10) for model in models})
    assert np.isfinite(als.item_).all()
    assert found["ease"] > found["popularity"]
    training = sum(seconds[name] for name in TRAINING)
    worked = sum(processor[name] for name in TRAINING)
    return {
        "size": size,
        "users": users,
        "seconds": seconds,
        "training_seconds": training,
        "peak_gb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024**2,
        "processor": processor,
        "us_each": worked / size * 1e6,
        "ndcg": found,
    }


def _of_puja() -> Any:
    return PujaPopularity.params_type(parent="")


def plot(results: list[dict[str, Any]], path: Path) -> None:
    """The cost of an interaction, and its parts, against the size."""
    import matplotlib as mpl

    mpl.use("Agg")
    from matplotlib import pyplot

    sizes = [each["size"] for each in results]
    figure, (left, right) = pyplot.subplots(1, 2, figsize=(11, 4))
    left.plot(sizes, [each["us_each"] for each in results], "o-", color="black", label="all")
    for name in ("matrices", "ease", "als"):
        costs = [each["processor"][name] / each["size"] * 1e6 for each in results]
        left.plot(sizes, costs, ".--", label=name)
    left.set(
        xscale="log",
        xlabel="interactions",
        ylabel="µs of processor",
        title="Cost of an interaction",
    )
    left.set_ylim(bottom=0)
    left.legend()
    right.plot(sizes, [each["peak_gb"] for each in results], "o-", color="black")
    right.set(xscale="log", xlabel="interactions", ylabel="GiB", title="Peak of resident memory")
    right.set_ylim(bottom=0)
    figure.tight_layout()
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=110)


def main() -> int:
    """Run every size in its own process, print and plot."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--sizes", type=int, nargs="+", default=SIZES)
    parser.add_argument("--plot", type=Path, default=Path("var/bench/recsys_scale.png"))
    parser.add_argument("--json", type=Path, help="also write the figures here")
    parser.add_argument("--one", type=int, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.one:
        print(json.dumps(measured(options.one)))
        return 0
    results = []
    print(f"{'interactions':>12} {'seconds':>8} {'peak GiB':>8} {'µs each':>8}  seconds by step")
    for size in options.sizes:
        command = [sys.executable, "-m", "bench.recsys_scale", "--one", str(size)]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode:
            print(done.stderr)
            return 1
        each = json.loads(done.stdout.splitlines()[-1])
        results.append(each)
        steps = ", ".join(f"{name} {each['seconds'][name]:.1f}" for name in SHOWN)
        print(
            f"{size:>12,} {each['training_seconds']:>8.1f} {each['peak_gb']:>8.2f}"
            f" {each['us_each']:>8.2f}  {steps}",
            flush=True,
        )
    plot(results, options.plot)
    print(f"plot: {options.plot}")
    if options.json:
        options.json.write_text(json.dumps(results, indent=1) + "\n", encoding="utf-8")
    slow = [each for each in results if each["training_seconds"] > MAX_SECONDS]
    large = [each for each in results if each["peak_gb"] > MAX_GIGABYTES]
    return 1 if slow or large else 0


if __name__ == "__main__":
    sys.exit(main())
