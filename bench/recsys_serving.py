"""What an answer of the recommender costs in process: p50 and p99.

``python -m bench.recsys_serving [--items 10000] [--users 100000] [--requests 2000]``. The model is
made of random numbers of the right sizes and types, so nothing has to be trained; what is measured
does not depend on whether its advice is good. Prints a line a case, with ``--json`` an object too.
"""

# ruff: noqa: I001 - the package comes before numpy, whose threads it sets

from __future__ import annotations

import argparse
import gc
import json
import time
import tracemalloc
from collections.abc import Callable
from dataclasses import replace
from datetime import date, timedelta
from decimal import Decimal
from typing import Any

import recsys  # noqa: F401 - see above
import numpy as np

from recsys.blend import Demand, Request, SamagriBlend
from recsys.calibration import Calibration, sigmoid
from recsys.data import IdMap, Tier
from recsys.engine import AlsParams, Factors
from recsys.models.als import Als
from recsys.models.base import Query
from recsys.models.ease import Ease, EaseParams
from recsys.models.puja_popularity import PujaPopularity, PujaPopularityParams
from recsys.next_puja import Family, Festival, Habits, NextPuja, Past
from recsys.pandits import Candidates, PanditRanker, Wish
from recsys.shelf import Shelf, ShelfItem
from recsys.signals import STAGES, BlendWeights, Knowledge, Tables
from recsys.synth import names

PUJAS, PANDITS, REGIONS, CATEGORIES = 50, 1_000, 8, 12
FACTORS = 64


def random_knowledge(items: int, users: int, seed: int = 7) -> Knowledge:
    """A model of these sizes whose numbers are spread as those of a trained one."""
    random = np.random.default_rng(seed)
    ids = {
        "items": IdMap(names("item", items)),
        "pujas": IdMap(names("puja", PUJAS)),
        "pandits": IdMap(names("pandit", PANDITS)),
        "regions": IdMap(names("region", REGIONS)),
        "categories": IdMap(names("category", CATEGORIES)),
    }
    fields = [["puja", PUJAS], ["region", REGIONS], ["month", 12], ["pandit", PANDITS]]
    width = items + PUJAS + REGIONS + 12 + PANDITS
    weights = random.standard_normal((width, items), np.float32)
    weights *= np.float32(0.01)
    weights[np.arange(items), np.arange(items)] = 0
    params = {"n_items": items, "fields": fields}
    ease = Ease.load(
        {"weights": weights},
        {"model": "ease", "params": {"lam": EaseParams().lam, "w_ctx": 1.0}, **params},
    )
    share = (random.beta(0.2, 4, (PUJAS, items))).astype(np.float32)
    totals = np.full(PUJAS, 400, np.float32)
    usual = PujaPopularity.load(
        {
            "overall": share.mean(axis=0),
            "by_parent": share[:0],
            "by_puja": share,
            "bookings": totals,
        },
        {
            "model": "puja_popularity",
            "params": {"m": PujaPopularityParams().m},
            "n_items": items,
            "fields": [["puja", PUJAS]],
        },
    )
    als_params = AlsParams(factors=FACTORS, engine="numpy")
    als = Als.from_factors(
        Factors(
            user=random.standard_normal((users, FACTORS), np.float32) / np.float32(8),
            item=random.standard_normal((items, FACTORS), np.float32) / np.float32(8),
            engine="numpy",
            reg_mode=als_params.reg_mode,
        ),
        als_params,
    )
    pairs = np.sort(random.choice(PANDITS * PUJAS, 5_000, replace=False)).astype(np.int64)
    cells = np.sort(random.integers(0, items, (len(pairs), 30)), axis=1).astype(np.int32)
    near = np.sort(random.integers(0, items, (items, 20)), axis=1).astype(np.int32)
    tables = Tables(
        puja_counts=(share * 400).astype(np.int32),
        puja_totals=np.full(PUJAS, 400, np.int32),
        region_signal=random.beta(20, 20, (REGIONS, PUJAS, items)).astype(np.float32),
        region_totals=np.full((REGIONS, PUJAS), 50, np.int32),
        pandit_pairs=pairs,
        pandit_totals=np.full(len(pairs), 20, np.int32),
        pandit_pointers=np.arange(0, cells.size + 1, 30),
        pandit_items=cells.ravel(),
        pandit_counts=random.integers(1, 20, cells.size).astype(np.int32),
        together_pointers=np.arange(0, near.size + 1, 20),
        together_items=near.ravel(),
        together_counts=random.integers(10, 90, near.size).astype(np.int32),
        item_totals=np.full(items, 100, np.int32),
        quantity=np.full((PUJAS, items), 100, np.float32),
        quantity_anywhere=np.full(items, 100, np.float32),
        planned_share=np.full(items, 0.05, np.float32),
    )
    knots = np.linspace(-0.2, 0.3, 200)
    # One item in twenty is likelier than 1 %: bookings keep a few dozen of ten thousand items.
    of_basket = Calibration(knots, sigmoid((knots - 0.2) / 0.03))
    of_taste = Calibration(3 * knots, sigmoid((3 * knots - 0.6) / 0.1))
    return Knowledge(
        ids=ids,
        usual=usual,
        tables=tables,
        weights={stage: BlendWeights(bias=4.0) for stage in STAGES},
        samagri=ease,
        assoc_calibrations=dict.fromkeys(STAGES, of_basket),
        user_item=als,
        user_calibrations=dict.fromkeys(STAGES, of_taste),
    )


def samagri_cases(items: int, users: int, requests: int) -> dict[str, Callable[[int], Any]]:
    """Blends for one customer: with and without a budget."""
    knowledge = random_knowledge(items, users)
    random = np.random.default_rng(1)
    ids = knowledge.ids["items"]
    assert isinstance(ids, IdMap)
    shelf = Shelf.of(
        (
            ShelfItem(
                item_id=name,
                price=int(random.integers(1_000, 90_000)),
                base_quantity=Decimal(100),
                base_unit="g",
                pack=Decimal(50),
                category=f"c{index % CATEGORIES}",
                season=(1, 8) if index % 9 == 0 else None,
            )
            for index, name in enumerate(ids.ids)
        ),
        ids,
    )
    blend = SamagriBlend(shelf, knowledge, version="bench")
    als = knowledge.user_item
    assert als is not None
    asked = [
        Request(
            puja=f"puja-{random.integers(0, PUJAS):02}",
            region=f"region-{random.integers(0, REGIONS)}",
            pandit=f"pandit-{random.integers(0, PANDITS):03}",
            month=int(random.integers(1, 13)),
            context_month=int(random.integers(0, 12)),
            demands=tuple(
                Demand(
                    item_id=ids.ids[int(item)],
                    tier=Tier(min(number // 8, 2)),
                    quantity=Decimal(200),
                    unit="g",
                )
                for number, item in enumerate(random.choice(items, 25, replace=False))
            ),
            never_show=frozenset(ids.ids[int(i)] for i in random.integers(0, items, 20)),
            taste=als.user_[int(random.integers(0, users))],
            history=int(random.integers(1, 60)),
        )
        for _ in range(requests)
    ]
    answer = blend.recommend(asked[0])
    assert len(answer.rows) == 24
    # Two demanded items and eight finds.
    ten = [replace(each, demands=each.demands[:2]) for each in asked]
    assert len(blend.recommend(ten[0]).rows) == 10
    with_budget = [
        replace(each, budget=int(random.integers(1_200_000, 2_400_000))) for each in asked
    ]
    history = [
        (random.choice(items, 30, replace=False).astype(np.int32), np.ones(30, np.float32))
        for _ in range(requests)
    ]
    return {
        "samagri, top 10": lambda at: blend.recommend(ten[at]),
        "samagri, 24 rows": lambda at: blend.recommend(asked[at]),
        "samagri, 24 rows, budget": lambda at: blend.recommend(with_budget[at]),
        "fold-in, 30 items": lambda at: als.vector(Query(*history[at], {})),
    }


def pandit_case(requests: int, count: int = 200) -> dict[str, Callable[[int], Any]]:
    """The ranking of many candidates, five shown, with exploration."""
    random = np.random.default_rng(2)
    done = np.where(random.random(count) < 0.2, 1.0, 60.0)
    candidates = Candidates(
        pandit_id=names("pandit", count),
        is_eligible=np.ones(count, bool),
        is_free=random.random(count) < 0.9,
        must_move=np.zeros(count, bool),
        latitude=27.7 + random.normal(0, 0.1, count),
        longitude=85.3 + random.normal(0, 0.1, count),
        max_km=np.full(count, 40.0),
        rating_sum=done * 4.5,
        rating_count=done,
        done_this=done,
        done_other=done / 2,
        years=done / 4,
        cancelled=np.ones(count),
        no_show=np.zeros(count),
        language=np.ones(count),
        past_times=np.zeros(count),
        past_stars=np.full(count, np.nan),
        affinity=random.random(count),
        price=random.random(count) * 1e6,
        shown=np.ones(count) * 30,
        booked=np.ones(count),
    )
    ranker = PanditRanker()
    wishes = [Wish(latitude=27.7, longitude=85.3, seed=str(n)) for n in range(requests)]
    return {f"pandits, {count}": lambda at: ranker.rank(candidates, wishes[at], 20)}


def next_puja_case(requests: int) -> dict[str, Callable[[int], Any]]:
    """The next puja of a family of ten, sixty festivals in the table."""
    random = np.random.default_rng(3)
    ids, regions = IdMap(names("puja", PUJAS)), IdMap(names("region", REGIONS))
    habits = Habits(
        festival=random.random((1 + REGIONS, PUJAS), np.float32) / np.float32(5),
        month=random.random((1 + REGIONS, PUJAS, 12), np.float32) / np.float32(50),
        ripe=random.random((PUJAS, 46), np.float32) / np.float32(23),
        lead_days=np.full(PUJAS, 10, np.float32),
        again_at_festival=random.random((PUJAS, 37), np.float32) * np.float32(10),
        again_by_month=random.random((PUJAS, 37), np.float32) * np.float32(10),
        usual_score=np.full(PUJAS, 0.5, np.float32),
        spread=np.full(1, 0.3, np.float32),
    )
    model = NextPuja(ids, ids.ids, regions, habits)
    today = date(2026, 9, 1)
    festivals = [
        Festival(ids.ids[n % PUJAS], today + timedelta(days=6 * n - 30)) for n in range(60)
    ]
    families = [
        Family(
            today=today,
            region=regions.ids[n % REGIONS],
            past=tuple(
                Past(ids.ids[int(p)], today - timedelta(days=int(random.integers(20, 900))))
                for p in random.choice(PUJAS, 10, replace=False)
            ),
        )
        for n in range(requests)
    ]
    scores = random.random((requests, PUJAS), np.float32)
    return {"next puja": lambda at: model.suggest(families[at], festivals, scores=scores[at])}


def measured(case: Callable[[int], Any], requests: int) -> dict[str, float]:
    """Milliseconds of each call in turn, the first tenth not counted.

    On the clock, and of the processor: on a busy machine the first counts the neighbours too.
    """
    times = np.empty((requests, 2))
    for at in range(requests):
        start, start_cpu = time.perf_counter(), time.thread_time()
        case(at)
        times[at] = time.perf_counter() - start, time.thread_time() - start_cpu
    middle, most = np.percentile(1000 * times[requests // 10 :], [50, 99], axis=0).round(3)
    return {
        "p50_ms": float(middle[0]),
        "p99_ms": float(most[0]),
        "cpu_p50_ms": float(middle[1]),
        "cpu_p99_ms": float(most[1]),
    }


def peak_kib(case: Callable[[int], Any]) -> float:
    """The most memory that one call held at a time, in KiB."""
    case(0)
    tracemalloc.start()
    case(1)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    return round(peak / 1024, 1)


def main() -> None:
    """Measure every case and print it."""
    parser = argparse.ArgumentParser(prog="python -m bench.recsys_serving")
    parser.add_argument("--items", type=int, default=10_000)
    parser.add_argument("--users", type=int, default=100_000)
    parser.add_argument("--requests", type=int, default=2_000)
    parser.add_argument("--json", action="store_true")
    given = parser.parse_args()
    cases = {
        **samagri_cases(given.items, given.users, given.requests),
        **pandit_case(given.requests),
        **next_puja_case(given.requests),
    }
    # The catalogue and the id maps live as long as the process; a collector that walks through
    # tens of thousands of objects in the middle of a request finds nothing.
    gc.collect()
    gc.freeze()
    results = {}
    for name, case in cases.items():
        results[name] = measured(case, given.requests) | {"peak_kib": peak_kib(case)}
        print(f"{name:24}", "  ".join(f"{key} {value}" for key, value in results[name].items()))
    if given.json:
        print(json.dumps({"items": given.items, "users": given.users, "results": results}))


if __name__ == "__main__":
    main()
