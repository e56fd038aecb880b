"""Each model on public data, beside figures measured elsewhere by the same protocol.

``python bench/recsys.py --data DIR`` where DIR has any of the folders ``groceries``
(``baskets.txt`` and ``items.csv``), ``ml-100k`` (``u.data`` or ``ml-100k.inter``) and
``movielens-latest-small`` (``ratings.csv``, also gzipped). None of them is shipped. MovieLens 100K
may not be passed on, but a package has it: after ``pip install --no-deps --target DIR
recbole==1.2.1`` it is in ``DIR/recbole/dataset_example/ml-100k``.

The parameters of each model are chosen on the validation part by NDCG@10; then it is fitted on
training and validation together and judged once on the test part. A row is at least its reference
if its NDCG@10 is, up to what the reference itself is rounded to. Ends with status 1 if one is not.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import product
from pathlib import Path
from typing import Any, Final

import numpy as np
from tqdm import tqdm

from recsys import registry, sources, splits
from recsys.comparison import Outcome, examine
from recsys.matrix import sum_cells
from recsys.models.base import Interactions
from recsys.splits import Queries

SEED: Final = 7
ROUNDING: Final = 0.0005


@dataclass(frozen=True, slots=True)
class Reference:
    """What the reference measured: NDCG@10, HR@10 and a third figure that the task names."""

    ndcg: float
    hr: float | None = None
    third: float | None = None


@dataclass(frozen=True, slots=True)
class Entry:
    """One row: a model, the parameters to choose from, and the reference."""

    label: str
    model: str
    grid: Mapping[str, Sequence[Any]] = field(default_factory=dict)
    reference: Reference | None = None

    def candidates(self) -> Iterator[dict[str, Any]]:
        """All combinations of the grid."""
        for values in product(*self.grid.values()):
            yield dict(zip(self.grid, values, strict=True))


@dataclass(frozen=True, slots=True, eq=False)
class Task:
    """A data set cut into parts, and the rows to print of it."""

    title: str
    third: str
    search: Interactions
    validation: Queries
    train: Interactions
    test: Queries
    entries: tuple[Entry, ...]
    extra: Queries | None = None
    """A second set of test questions, printed without a choice of its own."""
    same_questions: bool = True
    """Whether the reference was asked the very same."""


_ALS_SMALL: Final = {
    "factors": (4, 8, 16),
    "regularization": (30.0, 100.0),
    "alpha": (0.5, 1.5, 5.0),
    "iterations": (8,),
}
_ALS_WIDE: Final = {
    "factors": (32, 48),
    "regularization": (10.0, 15.0, 20.0),
    "alpha": (0.5, 1.0),
    "iterations": (15,),
}
_EASE: Final = {"lam": (100.0, 200.0, 300.0, 500.0)}
_RP3: Final = {"beta": (0.2, 0.3, 0.4, 0.5, 0.6)}
_KNN_WIDE: Final = {"shrink": (10.0,), "neighbours": (50, 100, 200)}


def groceries(folder: Path) -> Task:
    """Market baskets: one item of each left out, and half baskets besides."""
    data = sources.groceries(folder)
    parts = splits.by_hash(data.n_rows)
    test = data.select(parts.test)
    return Task(
        title=f"groceries, leave one out ({data.n_rows} baskets, {data.n_items} items)",
        third="mrr",
        search=data.select(parts.train),
        validation=splits.leave_one_out(data.select(parts.validation)),
        train=data.select(np.sort(np.concatenate((parts.train, parts.validation)))),
        test=splits.leave_one_out(test),
        extra=splits.half_baskets(test, [str(row) for row in range(test.n_rows)]),
        entries=(
            Entry("popularity", "popularity", {}, Reference(0.2037, 0.3761, 0.1512)),
            Entry(
                "rules, max confidence",
                "association",
                {"support": (10.0,), "combine": ("max",)},
                Reference(0.2157, 0.3937, 0.1616),
            ),
            Entry(
                "rules, sum of confidences",
                "association",
                {"support": (2.0, 5.0, 10.0)},
                Reference(0.2165, 0.3943, 0.1624),
            ),
            Entry(
                "item-kNN cosine",
                "item_knn",
                {"shrink": (20.0, 50.0, 100.0)},
                Reference(0.2178, 0.3933, 0.1646),
            ),
            Entry("RP3beta", "rp3beta", _RP3, Reference(0.2271, 0.4015, 0.1739)),
            Entry("EASE lam 200", "ease", {"lam": (200.0,)}, Reference(0.2264, 0.4024, 0.1727)),
            Entry("EASE, lam chosen", "ease", _EASE, Reference(0.2264, 0.4024, 0.1727)),
            Entry("ALS", "als", _ALS_SMALL, Reference(0.2055, 0.3811, 0.1522)),
        ),
    )


def movielens_random(path: Path, title: str, *, referenced: bool) -> Task:
    """Ratings as likes: a fifth of each user's, by hash, is to be found."""
    data = sources.movielens(path)
    users = [data.users.ids[each].lstrip("0") for each in data.user.tolist()]
    items = [data.items.ids[each].lstrip("0") for each in data.item.tolist()]
    known = splits.cells_by_hash(users, items)
    searched = known & splits.cells_by_hash(users, items, tag=f"{splits.TAG}:u1v")
    found = _parts(data, searched, known & ~searched, known, ~known)
    return Task(f"{title}, random fifth", "recall", *found, _movielens_entries(referenced, "u1"))


def movielens_time(path: Path, title: str, *, referenced: bool) -> Task:
    """Ratings as likes, cut at one instant: what users liked in the last fifth is to be found.

    The reference does not say where it cut and has 106 users; this cut leaves 109, the nearest that
    any cut comes. Its figures stand beside ours, but nothing is said to be below them.
    """
    data = sources.movielens(path)
    first, _ = splits.instants(data.ts, train_end=0.7)
    second, _ = splits.instants(data.ts, train_end=0.8)
    before, known = data.ts < first, data.ts < second
    found = _parts(data, before, known & ~before, known, ~known)
    entries = _movielens_entries(referenced, "u2")
    return Task(f"{title}, global time", "recall", *found, entries, same_questions=False)


def _parts(
    data: sources.Ratings, search: Any, validation: Any, train: Any, test: Any
) -> tuple[Interactions, Queries, Interactions, Queries]:
    shape = (len(data.users), len(data.items))

    def cells(mask: Any) -> Interactions:
        ones = np.ones(int(mask.sum()))
        return Interactions(sum_cells(data.user[mask], data.item[mask], ones, shape))

    def asked(known: Interactions, hidden: Interactions) -> Queries:
        queries = splits.held_out(known, hidden.matrix)
        return queries.select(np.diff(queries.data.matrix.indptr) > 0)

    first, whole = cells(search), cells(train)
    return first, asked(first, cells(validation)), whole, asked(whole, cells(test))


def _movielens_entries(referenced: bool, split: str) -> tuple[Entry, ...]:
    known = {
        "u1": {
            "popularity": Reference(0.2135, 0.7463, 0.1688),
            "item_knn": Reference(0.3988, 0.8843, 0.3275),
            "rp3beta": Reference(0.3958, 0.8960, 0.3312),
            "ease": Reference(0.4406, 0.9193, 0.3578),
            "als": Reference(0.4354, 0.9066, 0.3594),
        },
        "u2": {
            "popularity": Reference(0.1442),
            "item_knn": Reference(0.1577),
            "rp3beta": Reference(0.1534),
            "ease": Reference(0.1818),
            "als": Reference(0.1801),
        },
    }[split]
    rows: tuple[tuple[str, str, Mapping[str, Sequence[Any]]], ...] = (
        ("popularity", "popularity", {}),
        ("item-kNN cosine", "item_knn", _KNN_WIDE),
        ("RP3beta", "rp3beta", _RP3),
        ("EASE", "ease", _EASE),
        ("ALS", "als", _ALS_WIDE),
    )
    return tuple(
        Entry(label, model, grid, known[model] if referenced else None)
        for label, model, grid in rows
    )


@dataclass(frozen=True, slots=True, eq=False)
class Row:
    """What came of an entry."""

    entry: Entry
    validation: float
    outcome: Outcome
    extra: Outcome | None
    kibibytes: float
    same_questions: bool

    @property
    def holds(self) -> bool:
        """Whether it is at least its reference, as far as they can be compared."""
        wanted = self.entry.reference
        if wanted is None or not self.same_questions:
            return True
        return self.outcome.mean() >= wanted.ndcg - ROUNDING

    def record(self, third: str) -> dict[str, Any]:
        """The row for a program to read."""
        found, wanted = self.outcome, self.entry.reference
        return {
            "model": self.entry.label,
            "params": found.params,
            "validation_ndcg": self.validation,
            "ndcg": found.interval()._asdict(),
            "hr": found.mean("hr"),
            third: found.mean(third, deep=third == "recall"),
            "half_recall": self.extra.mean("recall") if self.extra else None,
            "half_ndcg": self.extra.mean() if self.extra else None,
            "coverage": found.coverage,
            "novelty": found.novelty,
            "fit_seconds": found.fit_seconds,
            "kibibytes": self.kibibytes,
            "p50_microseconds": float(np.median(found.microseconds)),
            "reference_ndcg": wanted.ndcg if wanted else None,
            "at_least_reference": self.holds if wanted and self.same_questions else None,
        }


def judge(task: Task, entry: Entry) -> Row:
    """Choose parameters on validation, fit on both parts, judge on the test part."""
    best: tuple[float, dict[str, Any]] = (-1.0, {})
    for params in entry.candidates():
        model = registry.create(entry.model, params).fit(task.search, seed=SEED)
        value = examine(model, task.validation, task.search).mean()
        if value > best[0]:
            best = (value, params)
    start = time.perf_counter()
    model = registry.create(entry.model, best[1]).fit(task.train, seed=SEED)
    taken = time.perf_counter() - start
    found = examine(model, task.test, task.train, fit_seconds=taken, params=best[1])
    extra = examine(model, task.extra, task.train) if task.extra else None
    size = sum(array.nbytes for array in model.save().arrays.values()) / 1024
    return Row(entry, best[0], found, extra, size, task.same_questions)


def show(task: Task, rows: Sequence[Row]) -> None:
    """Print the table of a task."""
    third = {"mrr": "MRR@10", "recall": "Rec@20"}[task.third]
    print(f"\n{task.title}: {task.test.data.n_rows} questions")
    half = "  half Rec@10/NDCG" if task.extra else ""
    print(
        f"{'model':26} {'NDCG@10 [95 %]':24} {'ref.':>7} {'HR@10':>7} {'ref.':>7} {third:>7} "
        f"{'ref.':>7} {'cover':>6} {'novel':>6} {'fit s':>6} {'KiB':>6} {'p50 us':>6}{half}"
    )
    for row in rows:
        found, wanted = row.outcome, row.entry.reference or Reference(np.nan)
        mean, low, high = found.interval()
        value = found.mean(task.third, deep=task.third == "recall")
        halves = f"  {row.extra.mean('recall'):.4f} {row.extra.mean():.4f}" if row.extra else ""
        print(
            f"{row.entry.label:26} {f'{mean:.4f} [{low:.3f},{high:.3f}]':24} "
            f"{_cell(wanted.ndcg)} {found.mean('hr'):7.4f} {_cell(wanted.hr)} {value:7.4f} "
            f"{_cell(wanted.third)} {found.coverage:6.2f} {found.novelty:6.2f} "
            f"{found.fit_seconds:6.2f} {row.kibibytes:6.0f} {np.median(found.microseconds):6.0f}"
            f"{halves}  {'' if row.holds else 'BELOW '}{_text(found.params)}"
        )
    chosen = max(rows, key=lambda row: row.validation)
    print(f"chosen by validation: {chosen.entry.label}, NDCG@10 {chosen.outcome.mean():.4f}")


def _cell(value: float | None) -> str:
    return f"{'-':>7}" if value is None or np.isnan(value) else f"{value:7.4f}"


def _text(params: Mapping[str, Any]) -> str:
    return ", ".join(f"{key} {value}" for key, value in params.items())


def tasks(data: Path) -> Iterator[Task]:
    """The tasks whose data is there; says which is not."""
    for folder in ("groceries", "ml-100k", "movielens-latest-small"):
        path = data / folder
        if not path.is_dir():
            print(f"no {folder} in {data}: left out")
        elif folder == "groceries":
            yield groceries(path)
        else:
            title = {"ml-100k": "MovieLens 100K"}.get(folder, "MovieLens latest-small")
            for make in (movielens_random, movielens_time):
                yield make(path, title, referenced=folder == "ml-100k")


def main() -> int:
    """Run all tasks and print their tables."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0] if __doc__ else None)
    parser.add_argument("--data", type=Path, default=Path("var/data"), help="where the sets are")
    parser.add_argument("--json", type=Path, help="write the rows there as well")
    options = parser.parse_args()
    records = []
    below = 0
    for task in tasks(options.data):
        entries = tqdm(task.entries, desc=task.title, leave=False, disable=None)
        rows = [judge(task, entry) for entry in entries]
        show(task, rows)
        below += sum(not row.holds for row in rows)
        records.append({"task": task.title, "rows": [row.record(task.third) for row in rows]})
    if options.json:
        options.json.write_text(json.dumps(records, indent=1), encoding="utf-8")
    print(f"\n{below} rows below their reference" if records else "\nno data: see --help")
    return 1 if below or not records else 0
