"""Compare models on one split: ``python -m recsys.evaluate --source DIR --report DIR``.

The split is by time: models see what was known before the test window and are asked about the
bookings made in it. Their parameters are searched on the window before that. Writes
``report.json``, and ``report.html`` with plots inside it, readable without a network.

Exit codes are those of all commands: 0, 2 settings, 3 data, 5 the report could not be written.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, NamedTuple

import msgspec
import numpy as np
from tqdm import tqdm

from recsys import calibration, pipeline, registry, report
from recsys import config as configs
from recsys.artifact import ArtifactError, read_manifest
from recsys.bootstrap import Interval
from recsys.commands import Exit, say, say_json, tell
from recsys.comparison import Outcome, examine, scored_pairs, segments
from recsys.config import BadConfig, Config
from recsys.data import BadData, Dataset
from recsys.matrix import baskets, users_by
from recsys.metrics import Reliability, reliability
from recsys.models.base import Interactions, Model
from recsys.pipeline import USER_SLOTS, Solver, TooLittleData, Trained, Windows
from recsys.sources import read_source
from recsys.splits import Queries
from recsys.store import ModelStore

BASKET_MODELS: Final = (
    "popularity",
    "puja_popularity",
    "item_knn",
    "rp3beta",
    "association",
    "als",
    "ease",
)
USER_MODELS: Final = ("popularity", "item_knn", "rp3beta", "als", "ease")
TASKS: Final = ("samagri", "pandit", "puja", "user_item")
_BASELINES: Final = ("popularity", "puja_popularity")


@dataclass(frozen=True, slots=True, eq=False)
class Judged:
    """One model on one task: its outcome, and how well its scores become probabilities."""

    outcome: Outcome
    calibration: Reliability | None
    strangers: Outcome | None = None
    """The same of users without a history, who are not in ``outcome``."""


@dataclass(frozen=True, slots=True, eq=False)
class TaskReport:
    """All models on one task.

    Attributes
    ----------
    segments
        For each segment its size and the interval of NDCG at k of each model. In a task of users
        ``users:new`` are those without a history: of them all other figures tell nothing.
    """

    name: str
    train: Interactions
    questions: Queries
    models: Mapping[str, Judged]
    segments: Mapping[str, tuple[int, Mapping[str, Interval]]] = field(default_factory=dict)

    @property
    def baseline(self) -> str:
        """The best of the baselines, by NDCG."""
        present = [name for name in _BASELINES if name in self.models]
        return max(present or self.models, key=lambda name: self.models[name].outcome.mean())

    def record(self) -> dict[str, Any]:
        """The task for a program to read."""
        base = self.models[self.baseline].outcome
        return {
            "task": self.name,
            "questions": self.questions.data.n_rows,
            "units": len(np.unique(self.questions.group)),
            "rows": self.train.n_rows,
            "items": self.train.n_items,
            "baseline": self.baseline,
            "models": {
                name: {**figures(judged), "against_baseline": judged.outcome.versus(base)}
                for name, judged in self.models.items()
            },
            "segments": {
                name: {"questions": size, "ndcg": dict(found)}
                for name, (size, found) in self.segments.items()
            },
        }


def figures(judged: Judged) -> dict[str, Any]:
    """Everything that was measured of one model on one task."""
    found = judged.outcome
    taken = found.microseconds
    return {
        "params": dict(found.params),
        "ndcg": found.interval(),
        "hr": found.interval("hr"),
        "recall_at_20": found.mean("recall", deep=True),
        "map": found.mean("average_precision"),
        "mrr": found.mean("mrr"),
        "coverage": found.coverage,
        "novelty_bits": found.novelty,
        "gini": found.gini,
        "ece": judged.calibration.error() if judged.calibration else None,
        "fit_seconds": found.fit_seconds,
        "p50_microseconds": float(np.median(taken)) if len(taken) else None,
        "p99_microseconds": float(np.quantile(taken, 0.99)) if len(taken) else None,
    }


class Evaluation:
    """One comparison: a data set, its windows, and the settings.

    Parameters
    ----------
    search
        Whether parameters are searched on the validation window; else ``fixed`` or the defaults.
    fixed
        Parameters by model that are taken as they are.
    solver
        What fits ALS.
    """

    def __init__(
        self,
        data: Dataset,
        config: Config,
        *,
        search: bool = True,
        fixed: Mapping[str, Mapping[str, Any]] | None = None,
        solver: Solver = pipeline.solve_here,
    ) -> None:
        self._data = data
        self._solver = solver
        self._config = config
        self._search = search
        self._fixed = fixed or {}
        self.windows: Windows = pipeline.windows(data, config)

    def run(self, task: str, models: Sequence[str], *, quiet: bool = True) -> TaskReport:
        """Every model on one task.

        Raises
        ------
        TooLittleData
            If the test window asks nothing.
        """
        early, validation, _ = self._questions(task, self.windows.validation, self.windows.test)
        train, test, user = self._questions(task, self.windows.test, self.windows.end)
        if not test.data.n_rows:
            raise TooLittleData(f"{task}: the test window asks nothing")
        strangers = self._strangers(task)
        judged = {}
        steps = tqdm(models, desc=task, disable=True if quiet else None, leave=False)
        for name in steps:
            params = self._params(name, early, validation)
            judged[name] = self._judge(name, params, early, validation, train, test, strangers)
        return TaskReport(task, train, test, judged, self._segments(test, user, judged))

    def _questions(
        self, task: str, begin: int, end: int
    ) -> tuple[Interactions, Queries, np.ndarray[Any, Any] | None]:
        """What is known at ``begin``, and what is asked of the time until ``end``."""
        known = self._data.before(begin)
        most = self._config.search.max_queries * pipeline.TEST_FACTOR
        seed = self._config.run.seed
        if task == "samagri":
            asked = pipeline.basket_questions(self._data, begin, end, most, seed)
            return baskets(known, now_ms=begin).data, asked.queries, asked.user
        target = USER_SLOTS[task]
        queries = pipeline.user_questions(self._data, target, begin, end, most, seed)
        return users_by(known, target, now_ms=begin), queries, None

    def _strangers(self, task: str) -> Queries | None:
        """What is asked of the time since the test began for users without a history."""
        if task not in USER_SLOTS:
            return None
        cut, config = self.windows, self._config
        most = config.search.max_queries * pipeline.TEST_FACTOR
        found = pipeline.user_questions(
            self._data, USER_SLOTS[task], cut.test, cut.end, most, config.run.seed, strangers=True
        )
        return found if found.data.n_rows else None

    def _params(self, name: str, train: Interactions, questions: Queries) -> Mapping[str, Any]:
        if name in self._fixed:
            return self._fixed[name]
        if not self._search or name not in pipeline.spaces(self._config):
            return {}
        if not questions.data.n_rows:
            return {}
        deadline = time.monotonic() + self._config.run.budget_s / len(TASKS)
        chosen = pipeline.choose(
            (name,), train, questions, self._config, self._solver, deadline=deadline
        )
        return chosen.params

    def _fit(self, name: str, params: Mapping[str, Any], data: Interactions) -> Model[Any]:
        try:
            return pipeline.fitted(name, params, data, self._config, self._solver)
        except ValueError as error:
            raise BadConfig([f"{name}: {error}"]) from error

    def _judge(
        self,
        name: str,
        params: Mapping[str, Any],
        early: Interactions,
        validation: Queries,
        train: Interactions,
        test: Queries,
        strangers: Queries | None,
    ) -> Judged:
        start = time.perf_counter()
        model = self._fit(name, params, train)
        seconds = time.perf_counter() - start
        k = self._config.search.k
        outcome = examine(model, test, train, k=k, fit_seconds=seconds, params=params)
        new = None if strangers is None else examine(model, strangers, train, k=k)
        curve = None
        if validation.data.n_rows:
            # Calibrated on questions that neither training nor the test has seen.
            model = self._fit(name, params, early)
            known = scored_pairs(model, validation)
            fresh = scored_pairs(model, test)
            probability = calibration.fit(known.score, known.label)(fresh.score)
            curve = reliability(probability, fresh.label)
        return Judged(outcome, curve, new)

    def _segments(
        self, test: Queries, user: np.ndarray[Any, Any] | None, judged: Mapping[str, Judged]
    ) -> dict[str, tuple[int, dict[str, Interval]]]:
        counts = None
        if user is not None:
            bookings = self._data.bookings
            seen = bookings.user[bookings.ts < self.windows.test]
            counts = np.bincount(seen, minlength=len(self._data.users))[user]
        found = {}
        for label, mask in segments(test, train_rows_of_user=counts).items():
            kind, _, value = label.partition(":")
            names = {"puja": self._data.pujas, "region": self._data.regions}.get(kind)
            title = f"{kind}:{names.ids[int(value)]}" if names is not None else label
            found[title] = (
                int(mask.sum()),
                {name: each.outcome.interval(rows=mask) for name, each in judged.items()},
            )
        new = {name: each.strangers for name, each in judged.items() if each.strangers}
        if new:
            size = len(next(iter(new.values())).group)
            found["users:new"] = (size, {name: each.interval() for name, each in new.items()})
        return found


class Report(NamedTuple):
    """A comparison for people, one HTML file, and for programs, plain values."""

    page: str
    record: dict[str, Any]

    def json(self) -> bytes:
        """The values as an indented file."""
        return msgspec.json.format(msgspec.json.encode(self.record), indent=1)


def reported(
    data: Dataset,
    config: Config,
    cut: Windows,
    tasks: Sequence[TaskReport],
    served: Mapping[str, Any] | None = None,
    left_out: Mapping[str, str] | None = None,
) -> Report:
    """Put the report of these tasks together.

    Parameters
    ----------
    served
        Figures of what is served beside the models: ``blend``, ``habits``, ``pandits``.
    left_out
        By name what was trained and is not served, and why.
    """
    record = {
        "fingerprint": data.fingerprint(),
        "windows_ms": [cut.validation, cut.test],
        "seed": config.run.seed,
        "tasks": [task.record() for task in tasks],
        "served": dict(served or {}),
        "left_out": dict(left_out or {}),
    }
    plain = msgspec.json.decode(msgspec.json.encode(record, enc_hook=_plain))
    return Report(report.page(tasks, plain), plain)


def of_training(
    data: Dataset,
    config: Config,
    cut: Windows,
    trained: Mapping[str, Trained],
    solver: Solver,
    served: Mapping[str, Any],
    left_out: Mapping[str, str],
) -> Report:
    """Compare what a training has tried, each kind with its best parameters, with the baselines.

    All are fitted on what was known before the test window and asked its questions; nothing is
    searched again.
    """
    tasks = []
    for slot, each in trained.items():
        fixed = {kind: found.best.params for kind, found in each.choice.searches.items()}
        fixed[each.choice.kind] = dict(each.choice.params)
        baselines = _BASELINES if slot == "samagri" else _BASELINES[:1]
        evaluation = Evaluation(data, config, search=False, fixed=fixed, solver=solver)
        with contextlib.suppress(TooLittleData):
            tasks.append(evaluation.run(slot, tuple(dict.fromkeys((*baselines, *fixed)))))
    return reported(data, config, cut, tasks, served, left_out)


def main(arguments: Sequence[str] | None = None) -> int:
    """Compare, write the report; returns the exit status."""
    options = _parser().parse_args(arguments)
    path = options.config or (configs.CONFIG_FILE if configs.CONFIG_FILE.is_file() else None)
    try:
        config = configs.resolve(path, os.environ, vars(options))
        if config.run.engine == "auto":
            run = msgspec.structs.replace(config.run, engine=report.engine_at_hand())
            config = msgspec.structs.replace(config, run=run)
        fixed = dict(_fixed(options.set or ()))
        fixed.update(_published(options, config) if options.version else {})
        models = _names(options.models)
        names = _tasks(options.tasks)
    except BadConfig as error:
        tell("the settings are wrong:", *(f"  {fault}" for fault in error.faults))
        return _ended(options, Exit.BAD_CONFIG, {"reason": str(error)})
    try:
        data, _ = read_source(options.source)
        with pipeline.solver_of(config) as solver:
            evaluation = Evaluation(
                data, config, search=not options.no_search, fixed=fixed, solver=solver
            )
            tasks = [evaluation.run(task, models(task), quiet=options.quiet) for task in names]
    except BadConfig as error:
        tell(*error.faults)
        return _ended(options, Exit.BAD_CONFIG, {"reason": str(error)})
    except (BadData, TooLittleData) as error:
        tell(f"the data cannot be evaluated on: {error}")
        return _ended(options, Exit.BAD_DATA, {"reason": str(error)})
    made = reported(data, config, evaluation.windows, tasks)
    try:
        options.report.mkdir(parents=True, exist_ok=True)
        (options.report / "report.json").write_bytes(made.json())
        (options.report / "report.html").write_text(made.page, encoding="utf-8")
    except OSError as error:
        tell(f"the report could not be written: {error}")
        return _ended(options, Exit.PUBLISH_FAILED, {"reason": str(error)})
    for task in tasks:
        say(*report.text_table(task))
    return _ended(options, Exit.OK, {"report": str(options.report / "report.html"), **made.record})


def _plain(value: Any) -> Any:
    """Numbers of numpy and other values that JSON has no form for."""
    return value.item() if isinstance(value, np.generic) else str(value)


def _ended(options: argparse.Namespace, status: Exit, result: Mapping[str, Any]) -> int:
    if options.json:
        line = msgspec.json.encode(dict(result), enc_hook=_plain)
        say_json({"ok": status == Exit.OK, "exit": int(status), **msgspec.json.decode(line)})
    return int(status)


def _names(wanted: str | None) -> Any:
    """What gives the models of a task."""
    if wanted is None:
        return lambda task: BASKET_MODELS if task == "samagri" else USER_MODELS
    names = tuple(filter(None, wanted.split(",")))
    unknown = [name for name in names if name not in registry.MODELS]
    if unknown or not names:
        raise BadConfig([f"--models: there is no {', '.join(unknown) or 'model named'}"])
    return lambda task: names


def _tasks(wanted: str) -> tuple[str, ...]:
    names = tuple(filter(None, wanted.split(",")))
    unknown = [name for name in names if name not in TASKS]
    if unknown or not names:
        raise BadConfig([f"--tasks: there is no {', '.join(unknown) or 'task named'}"])
    return names


def _fixed(given: Sequence[str]) -> Iterator[tuple[str, dict[str, Any]]]:
    """``ease.lam=100`` and the like, by model."""
    found: dict[str, dict[str, Any]] = {}
    for each in given:
        key, equals, value = each.partition("=")
        model, dot, name = key.partition(".")
        if not (equals and dot):
            raise BadConfig([f"--set {each}: not of the form model.parameter=value"])
        params = found.setdefault(model, {})
        try:
            params[name] = msgspec.json.decode(value)
        except msgspec.DecodeError:
            params[name] = value
    for model, params in found.items():
        try:
            registry.create(model, params)
            msgspec.convert(params, registry.MODELS[model].params_type)
        except (ValueError, msgspec.ValidationError) as error:
            raise BadConfig([f"--set {model}: {error}"]) from error
    yield from found.items()


def _published(options: argparse.Namespace, config: Config) -> dict[str, dict[str, Any]]:
    """The kind and parameters of the basket model of a published version.

    The version itself has seen the test window; so a model of its kind is fitted again, without.
    """
    store, version = options.store, options.version
    try:
        where = ModelStore(store)
        found = where.current() if version == "current" else version
        if found is None:
            raise BadConfig([f"{store} has no current version"])
        told = read_manifest(where.folder(found)).models["samagri"]
    except (ArtifactError, OSError, KeyError) as error:
        raise BadConfig([f"--version {version}: {error}"]) from error
    params = pipeline.refittable(told["model"], told["params"], config)
    if params is None:
        engine = config.run.engine
        raise BadConfig([f"--version {version}: {engine} lacks its regularisation; numpy has both"])
    return {told["model"]: params}


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m recsys.evaluate", description="Compare models."
    )
    parser.add_argument(
        "--source",
        "--data",
        required=True,
        help="mongodb://…, a folder of tables, or synth:users=1500,items=160,seed=7",
    )
    parser.add_argument("--report", type=Path, required=True, help="folder for the report")
    parser.add_argument("--config", type=Path, help=f"default: {configs.CONFIG_FILE}, where it is")
    parser.add_argument("--tasks", default="samagri,pandit,puja", help=f"of {', '.join(TASKS)}")
    parser.add_argument("--models", help="only these, parted by commas")
    parser.add_argument("--set", action="append", help="a fixed parameter, as ease.lam=100")
    parser.add_argument("--no-search", action="store_true", help="default parameters, no search")
    parser.add_argument("--store", type=Path, default=Path(configs.Store().path))
    parser.add_argument("--version", help="take the basket model's parameters from there; current")
    parser.add_argument("--json", action="store_true", help="the last line is one JSON object")
    parser.add_argument("--quiet", action="store_true", help="no progress")
    configs.add_flags(parser)
    return parser


if __name__ == "__main__":
    sys.exit(main())
