"""``python -m recsys.train``: from data to a model that servers can take up.

Load, check, split by time, search, fit, test, gates, write, verify, and with ``--publish`` point
the servers to it. Exit codes: 0 done, 2 settings, 3 data, 4 a gate did not hold (the artifact lies
in ``rejected/`` with its reasons), 5 it could not be published.

Equal data, seed and settings beside the same current model give, with one thread, equal arrays, to
the bit, unless the search was cut short by its time (``--budget-s``), which the card then says.
"""

from __future__ import annotations

import argparse
import contextlib
import dataclasses
import importlib.metadata
import importlib.util
import os
import platform
import subprocess
import sys
import tempfile
import time
from collections.abc import Collection, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

import msgspec
import numpy as np
from tqdm import tqdm

from recsys import config as configs
from recsys import evaluate, pipeline, tracking
from recsys.artifact import REPORT, ArtifactError, ArtifactWriter, Ids, Manifest, load
from recsys.blend_train import Trust, train_blend
from recsys.bootstrap import Interval
from recsys.bundle import (
    BLEND,
    CALIBRATIONS,
    HABITS,
    PANDITS,
    Bundle,
    build_name,
    check_answers,
    open_bundle,
    questions,
    write_bundle,
)
from recsys.card import Card, markdown
from recsys.commands import Exit, say, say_json, tell, whoami
from recsys.comparison import Outcome, segments
from recsys.config import BadConfig, Config
from recsys.data import DAY_MS, BadData, Dataset, to_ms
from recsys.gates import Contest, Gate, Measured, Slice, failed, judge, left_out, wins
from recsys.models.als import Als
from recsys.models.base import Model, Saved
from recsys.next_puja import Festival
from recsys.next_puja_train import train_next_puja
from recsys.pandit_train import Replay, records, replay
from recsys.pandits import PanditParams
from recsys.pipeline import SLOTS_OF_TASK, Solver, TooLittleData, Trained, Windows
from recsys.sources import read_source
from recsys.store import ModelStore
from recsys.tune import Trial

_HOUR_MS: Final = DAY_MS / 24
_BASKET_SHARE: Final = 0.6
"""Of the search's time that goes to the baskets; the other slots share the rest."""
_NOTHING_SEARCHED: Final = "habits are counted: nothing is chosen that could be compared"
_ALONE: Final = ("pandit", "puja")
"""Slots of customers whose answers are served as they are; what they like is one of many signals
of the lists, and is judged by these."""
_LIBRARIES: Final = ("numpy", "scipy", "implicit", "pyspark", "scikit-learn", "pandas")


class Progress:
    """Tells what is going on: a bar on a terminal, lines elsewhere, nothing when quiet."""

    def __init__(self, steps: int, *, quiet: bool) -> None:
        self._quiet = quiet
        self._bar = tqdm(
            total=steps,
            disable=True if quiet else None,
            unit="step",
            leave=False,
            bar_format="{l_bar}{bar:20}| {n_fmt}/{total_fmt} [{elapsed}] {desc}",
        )
        self._started = time.monotonic()

    def step(self, title: str) -> None:
        """A step has begun."""
        self._bar.update()
        self._tell(title)

    def trial(self, slot: str, kind: str, number: int, trial: Trial) -> None:
        """A trial of a search has ended."""
        values = " ".join(f"{name}={value}" for name, value in trial.params.items())
        figure = trial.problem or f"{trial.score:.4f}"
        self._tell(f"  {slot} {kind} #{number} {values}: {figure} ({trial.seconds:.1f} s)")

    def close(self) -> None:
        """Take the bar away."""
        self._bar.close()

    def _tell(self, text: str) -> None:
        if self._quiet:
            return
        if self._bar.disable:
            tell(f"{time.monotonic() - self._started:7.1f} s  {text}")
        else:
            self._bar.set_description_str(text.strip())


def main(arguments: Sequence[str] | None = None) -> int:
    """Train; returns the exit status."""
    options = _parser().parse_args(arguments)
    path = options.config or (configs.CONFIG_FILE if configs.CONFIG_FILE.is_file() else None)
    try:
        config = configs.resolve(path, os.environ, vars(options))
        if options.dry_run and options.publish:
            raise BadConfig(["--dry-run writes nothing, so it cannot --publish"])
    except BadConfig as error:
        tell("the settings are wrong:", *(f"  {fault}" for fault in error.faults))
        return _ended(options, Exit.BAD_CONFIG, {"reason": str(error)})
    if config.run.engine == "auto":
        found = "implicit" if importlib.util.find_spec("implicit") else "numpy"
        run_settings = msgspec.structs.replace(config.run, engine=found)
        config = msgspec.structs.replace(config, run=run_settings)
    try:
        recorder = tracking.begin(config.tracking, "train")
    except ModuleNotFoundError as error:
        tell(f"the run cannot be recorded: {error}")
        return _ended(options, Exit.BAD_CONFIG, {"reason": str(error)})
    run = _Run(config, options, recorder)
    status: Exit | None = None
    try:
        status, result = run.all()
    except (BadData, TooLittleData) as error:
        tell(f"the data cannot be trained on: {error}")
        status, result = Exit.BAD_DATA, {"reason": str(error)}
    except BadConfig as error:
        tell(*error.faults)
        status, result = Exit.BAD_CONFIG, {"reason": str(error)}
    except (ArtifactError, OSError) as error:
        tell(f"the model could not be stored or published: {error}")
        status, result = Exit.PUBLISH_FAILED, {"reason": str(error)}
    finally:
        run.progress.close()
        # Also of what nobody foresaw the record says how it ended.
        ends = {Exit.OK: "finished", Exit.GATE_FAILED: "rejected"}
        recorder.end(ends.get(status, "failed") if status is not None else "failed")
    return _ended(options, status, result)


def _ended(options: argparse.Namespace, status: Exit, result: Mapping[str, Any]) -> int:
    if options.json:
        say_json({"ok": status == Exit.OK, "exit": int(status), **result})
    return status


class _Run:
    """One training, from the data to the store."""

    def __init__(
        self, config: Config, options: argparse.Namespace, recorder: tracking.Recorder
    ) -> None:
        self.config = config
        self.options = options
        self.recorder = recorder
        slots = [slot for task in config.run.only for slot in SLOTS_OF_TASK[task]]
        self.slots = tuple(dict.fromkeys(slots))
        self.progress = Progress(10 + len(self.slots), quiet=options.quiet)
        self._trials = 0

    def all(self) -> tuple[Exit, dict[str, Any]]:
        """Every step; returns how it ended and what is told of it."""
        festivals = self._festivals()
        self.progress.step(f"load {_without_secret(self.options.source)}")
        data, present = read_source(self.options.source, self.options.at)
        self.progress.step(
            f"split {len(data.bookings)} bookings, {len(data.lines)} lines,"
            f" {len(data.events)} events"
        )
        cut = pipeline.windows(data, self.config)
        self.recorder.params(_flat(configs.as_dict(self.config)))
        with contextlib.ExitStack() as stack:
            solver = stack.enter_context(pipeline.solver_of(self.config))
            current, current_until = _current(ModelStore(Path(self.config.store.path)))
            trained, test, support = self._train(data, cut, solver, current)
            contests = {slot: _contest(each) for slot, each in trained.items() if slot in _ALONE}
            served = {slot: each for slot, each in trained.items() if self._wins(contests, slot)}
            models = {**support, **{slot: each.model for slot, each in served.items()}}
            trust, parts = None, {}
            figures: dict[str, Any] = {}
            if "samagri" in trained:
                self.progress.step("blend: calibrate, fit, test")
                blended = train_blend(data, cut, served, models, self.config, solver)
                knowledge, trust = blended.knowledge, blended.trust
                if blended.gain_of_taste is not None:
                    contests["user_item"] = _contest(trained["user_item"])._replace(
                        figure="log loss",
                        gain=blended.gain_of_taste,
                        rival="the lists without it",
                    )
                if not self._wins(contests, "user_item"):
                    del served["user_item"], models["user_item"]
                parts[BLEND] = knowledge.saved()
                figures[BLEND] = trust.as_dict()
            if "puja" in trained:
                self.progress.step("next puja: count, tune, test")
                habits, hits = train_next_puja(
                    data, festivals, cut, served.get("puja"), self.config, solver
                )
                figures[HABITS] = hits.as_dict()
                rival, gain = hits.gain()
                contests[HABITS] = Contest("HR@3", gain, rival, compared=_NOTHING_SEARCHED)
                if self._wins(contests, HABITS):
                    parts[HABITS] = habits.saved()
                elif "puja" in served:
                    contests["puja"] = contests["puja"]._replace(serves=HABITS)
                    del served["puja"], models["puja"]
            replayed = None
            if "pandit" in trained:
                self.progress.step("pandits: count, replay")
                parts[PANDITS] = records(data, cut.end).saved()
                replayed = self._replayed(data, cut, served.get("pandit"))
                figures[PANDITS] = replayed.as_dict()
            parts[CALIBRATIONS] = _calibrations(served)
            bundle = Bundle("", _ids(data), models, parts)
            root = Path(self.config.store.path)
            if self.options.dry_run:
                root = Path(stack.enter_context(tempfile.TemporaryDirectory()))
            store = ModelStore(root)
            measured, compared = self._measure(
                data,
                cut,
                present,
                served,
                contests,
                test,
                models,
                current,
                current_until,
                solver,
                trust,
                replayed,
                parts,
            )
            made = None
            if self.config.run.report:
                self.progress.step("report: compare what was tried")
                without = left_out(judge(measured, self.config))
                made = evaluate.of_training(
                    data, self.config, cut, trained, solver, figures, without
                )
            self.progress.step("write and verify")
            stack.enter_context(_swept(store))
            with store.staging() as writer:
                if made is not None:
                    writer.text(REPORT, made.page)
                    writer.document("report", made.record)
                return self._store(
                    store, writer, bundle, data, cut, trained, measured, compared, current, figures
                )

    def _wins(self, contests: Mapping[str, Contest], name: str) -> bool:
        """Whether a slot or part is served: without a contest of its own it is."""
        if name not in contests:
            return True
        contest = contests[name]
        return not contest.serves and wins(contest.gain, self.config)

    def _festivals(self) -> list[Festival]:
        path = self.options.festivals
        if path is None:
            return []
        try:
            return msgspec.json.decode(path.read_bytes(), type=list[Festival])
        except (OSError, msgspec.DecodeError) as error:
            raise BadConfig([f"--festivals {path}: {error}"]) from error

    def _train(
        self, data: Dataset, cut: Windows, solver: Solver, current: Bundle | None
    ) -> tuple[dict[str, Trained], pipeline.Asked | None, dict[str, Model[Any]]]:
        budget = self.config.run.budget_s
        trained: dict[str, Trained] = {}
        support: dict[str, Model[Any]] = {}
        test = None
        began = time.monotonic()
        if "samagri" in self.slots:
            self.progress.step("samagri: search, fit, test")
            share = _BASKET_SHARE if len(self.config.run.only) > 1 else 1.0
            trained["samagri"], test, support = pipeline.train_baskets(
                data, cut, self.config, solver, deadline=began + share * budget, told=self._told
            )
        others = [slot for slot in self.slots if slot in pipeline.USER_SLOTS]
        for number, slot in enumerate(others):
            self.progress.step(f"{slot}: search, fit, test")
            left = began + budget - time.monotonic()
            deadline = time.monotonic() + max(left, 0.0) / (len(others) - number)
            trained[slot] = pipeline.train_users(
                data,
                slot,
                cut,
                self.config,
                solver,
                current=current,
                deadline=deadline,
                told=self._told,
            )
        for slot, each in trained.items():
            self.recorder.metric(f"{slot}.ndcg@10", each.outcome.mean())
        return trained, test, support

    def _replayed(self, data: Dataset, cut: Windows, served: Trained | None) -> Replay:
        model = served.judged if served and isinstance(served.judged, Als) else None
        share = PanditParams().new_share
        return replay(data, cut.test, model, new_share=share, seed=self.config.run.seed)

    def _told(self, slot: str, kind: str, number: int, trial: Trial) -> None:
        self._trials += 1
        self.progress.trial(slot, kind, number, trial)
        self.recorder.metric(f"search.{slot}.{kind}", trial.score, step=number)

    def _measure(
        self,
        data: Dataset,
        cut: Windows,
        present: int,
        served: Mapping[str, Trained],
        contests: Mapping[str, Contest],
        test: pipeline.Asked | None,
        models: Mapping[str, Model[Any]],
        current: Bundle | None,
        current_until: int,
        solver: Solver,
        trust: Trust | None,
        replayed: Replay | None,
        parts: Mapping[str, Saved],
    ) -> tuple[Measured, pipeline.Comparison | None]:
        self.progress.step("compare with what serves")
        baskets = served.get("samagri")
        without = [name for name in contests if not self._wins(contests, name)]
        compared = None
        if baskets is not None and test is not None and current is not None:
            compared = pipeline.against(
                current, current_until, baskets, test, data, cut, self.config, solver
            )
        measured = Measured(
            bookings=len(data.bookings),
            users=len(np.unique(data.bookings.user)),
            rejected_share=data.rejects.share,
            newest_age_hours=(present - data.newest_ms()) / _HOUR_MS,
            over_baseline=baskets.gain() if baskets else None,
            baseline=baskets.best_baseline().name if baskets else "",
            against_current=compared.gain if compared else None,
            not_compared=compared.how if compared else "there is no current model to compare with",
            contests=contests,
            models=len(models) + (HABITS in parts),
            lost=_lost(current, models, parts, without) if current else None,
            coverage=baskets.outcome.coverage if baskets else None,
            exposure=replayed.new_share.high if replayed and replayed.lists else None,
            slices=_slices(data, cut, baskets, test) if baskets and test else {},
            ece=trust.ece if trust else None,
            keep_rate=trust.keep_rate.mean if trust and trust.shown else None,
            shown=trust.shown if trust else 0,
            tier_violations=trust.promises.order_breaks if trust else None,
            missing_required=trust.promises.missing if trust else None,
            never_show_violations=trust.promises.unwanted if trust else None,
            not_finite=_not_finite(models, parts) + (trust.promises.not_finite if trust else 0),
            norm_ratio=pipeline.norm_ratio(models, current),
            jaccard=compared.jaccard if compared else None,
            p99_ms=pipeline.slowest_ms(served.values()),
        )
        return measured, compared

    def _store(
        self,
        store: ModelStore,
        writer: ArtifactWriter,
        bundle: Bundle,
        data: Dataset,
        cut: Windows,
        trained: Mapping[str, Trained],
        measured: Measured,
        compared: pipeline.Comparison | None,
        current: Bundle | None,
        figures: Mapping[str, Any],
    ) -> tuple[Exit, dict[str, Any]]:
        moment = datetime.now(UTC)
        draft = Manifest(
            schema_version=0,
            version=f"{moment:%Y%m%dT%H%M%SZ}",
            created_at=moment.isoformat(timespec="seconds"),
            code_version=code_version(),
            build=build_name(),
            engine=self.config.run.engine,
            models=write_bundle(writer, bundle),
            training_window=_window(data, cut),
            data_fingerprint=data.fingerprint(),
            config=configs.as_dict(self.config),
            seeds={"run": self.config.run.seed},
            libraries=libraries(),
            metrics={
                **{slot: _figures(each.outcome) for slot, each in trained.items()},
                **figures,
            },
            baselines={
                slot: {name: _figures(outcome) for name, outcome in each.baselines.items()}
                for slot, each in trained.items()
            },
            smoke=questions(bundle),
            parents=(current.version,) if current is not None else (),
            feature_flags={
                name: name in bundle.models or name in bundle.parts
                for name in (*trained, *measured.contests)
            },
        )
        first = writer.finish(draft)
        started = time.perf_counter()
        check_answers(load(writer.folder))
        measured = _with_cost(measured, first, time.perf_counter() - started)
        self.progress.step("gates")
        gates = judge(measured, self.config, force_drift=self.options.force_drift)
        card = self._card(first, data, trained, measured, compared, gates)
        writer.text("card.md", markdown(card))
        writer.document("card", card.as_dict())
        final = writer.finish(
            msgspec.structs.replace(draft, gates=tuple(gate.as_dict() for gate in gates))
        )
        return self._publish(store, writer, final, gates)

    def _publish(
        self, store: ModelStore, writer: ArtifactWriter, manifest: Manifest, gates: list[Gate]
    ) -> tuple[Exit, dict[str, Any]]:
        options, bad = self.options, failed(gates)
        result: dict[str, Any] = {
            "version": manifest.version,
            "metrics": manifest.metrics,
            "gates_failed": [gate.name for gate in bad],
            "published": False,
            "trials": self._trials,
        }
        without = left_out(gates)
        result["left_out"] = list(without)
        for name, reason in without.items():
            tell(f"{name} is {reason}")
        for gate in bad:
            tell(f"gate {gate.name} did not hold: {gate.reason}")
        for name in ("manifest.json", "card.md", REPORT):
            if (writer.folder / name).exists():
                self.recorder.file(writer.folder / name)
        if options.dry_run:
            say(f"dry run: {_summary(manifest)}; nothing was written")
            return (Exit.GATE_FAILED if bad else Exit.OK), result
        rejected = bool(bad) and not options.force
        version = store.add(writer.folder, rejected=rejected)
        # Also what is rejected or not published lies on the disk.
        store.prune(self.config.store.keep)
        if rejected:
            say(f"{version} is rejected: {', '.join(gate.name for gate in bad)}")
            return Exit.GATE_FAILED, result
        say(f"{version}: {_summary(manifest)}")
        if options.publish:
            self.progress.step("publish")
            reason = options.reason or ("forced" if bad else "trained")
            store.publish(
                version, by=whoami(), reason=reason, forced=bool(bad), check=check_answers
            )
            result["published"] = True
            say(f"{version} is current")
        return Exit.OK, result

    def _card(
        self,
        manifest: Manifest,
        data: Dataset,
        trained: Mapping[str, Trained],
        measured: Measured,
        compared: pipeline.Comparison | None,
        gates: list[Gate],
    ) -> Card:
        cut_short = [slot for slot, each in trained.items() if not each.choice.complete]
        notes = [f"The search for {slot} was cut short by time." for slot in cut_short]
        return Card(
            version=manifest.version.partition("-")[0],
            created_at=manifest.created_at,
            trained_by=whoami(),
            code_version=manifest.code_version,
            engine=manifest.engine,
            libraries=manifest.libraries,
            seeds=manifest.seeds,
            window=manifest.training_window,
            fingerprint=manifest.data_fingerprint,
            exclusions={f"{t}: {why}": n for (t, why), n in sorted(data.rejects.reasons.items())},
            models={
                slot: {
                    "model": each.choice.kind,
                    "params": dict(each.choice.params),
                    "trials": sum(len(found.trials) for found in each.choice.searches.values()),
                    "tried": {
                        kind: found.best.score for kind, found in each.choice.searches.items()
                    },
                }
                for slot, each in trained.items()
            },
            metrics=manifest.metrics,
            baselines=manifest.baselines,
            slices={name: each._asdict() for name, each in measured.slices.items()},
            gates=gates,
            compared=_compared(trained, compared),
            fairness=manifest.metrics.get(PANDITS, {}),
            notes=notes,
        )


# --- small parts ----------------------------------------------------------------------------------


def code_version() -> str:
    """The package's version, and the commit where this is a checkout."""
    version = importlib.metadata.version("pandityatra")
    root = Path(__file__).resolve().parent.parent
    if not (root / ".git").exists():
        return version
    with contextlib.suppress(OSError, subprocess.SubprocessError):
        command = ["git", "-C", str(root), "rev-parse", "--short=12", "HEAD"]
        done = subprocess.run(  # noqa: S603 - a fixed command, no shell
            command, capture_output=True, timeout=10, check=True
        )
        return f"{version}+{done.stdout.decode('ascii', 'replace').strip()}"
    return version


def libraries() -> dict[str, str]:
    """The versions of what computes."""
    found = {"python": platform.python_version()}
    for name in _LIBRARIES:
        with contextlib.suppress(importlib.metadata.PackageNotFoundError):
            found[name] = importlib.metadata.version(name)
    return found


@contextlib.contextmanager
def _swept(store: ModelStore) -> Iterator[None]:
    """What crashed runs of earlier days left behind goes when this one is done."""
    yield
    store.sweep()


def _current(store: ModelStore) -> tuple[Bundle | None, int]:
    """The model that serves now, and the end of what it learned from; a broken one is none."""
    try:
        artifact = store.load_current()
        if artifact is None:
            return None, 0
        until = to_ms(artifact.manifest.training_window.get("to"))
        return open_bundle(artifact), until or 0
    except ArtifactError as error:
        tell(f"the current model cannot be compared with: {error}")
        return None, 0


def _with_cost(measured: Measured, manifest: Manifest, seconds: float) -> Measured:
    size = sum(entry.bytes for entry in manifest.files)
    return dataclasses.replace(measured, artifact_bytes=size, load_seconds=seconds)


def _contest(trained: Trained) -> Contest:
    return Contest(
        "NDCG@10",
        trained.gain(),
        trained.best_baseline().name,
        trained.against_current,
        trained.compared,
    )


def _lost(
    current: Bundle,
    models: Mapping[str, Model[Any]],
    parts: Mapping[str, Saved],
    without: Collection[str],
) -> tuple[str, ...]:
    """What the current model has and these models and parts lack, but for what was left out."""
    gone = (current.models.keys() - models) | (current.parts.keys() - parts)
    return tuple(sorted(gone.difference(without)))


def _not_finite(models: Mapping[str, Model[Any]], parts: Mapping[str, Saved]) -> int:
    """How many numbers of these models and parts are not finite."""
    saved = (*(model.save() for model in models.values()), *parts.values())
    return sum(
        int(array.size - np.isfinite(array).sum())
        for each in saved
        for array in each.arrays.values()
        if array.dtype.kind == "f"
    )


def _slices(
    data: Dataset, cut: Windows, trained: Trained, test: pipeline.Asked
) -> dict[str, Slice]:
    """The model beside its best baseline, by segment."""
    seen = data.bookings.ts < cut.test
    counts = np.bincount(data.bookings.user[seen], minlength=len(data.users))
    best = max(trained.baselines.values(), key=lambda outcome: outcome.mean())
    found = {}
    for name, mask in segments(test.queries, train_rows_of_user=counts[test.user]).items():
        kind, _, value = name.partition(":")
        names = {"puja": data.pujas, "region": data.regions}.get(kind)
        label = f"{kind}:{names.ids[int(value)]}" if names is not None else name
        found[label] = Slice(
            rows=int(mask.sum()),
            value=trained.outcome.interval(rows=mask).mean,
            reference=best.interval(rows=mask).mean,
        )
    return found


def _calibrations(trained: Mapping[str, Trained]) -> Saved:
    """The calibrations of the slots that have one, as a part of the bundle."""
    found = {slot: each.calibration for slot, each in trained.items() if each.calibration}
    arrays = {
        name: array for slot, each in found.items() for name, array in each.arrays(slot).items()
    }
    return Saved(arrays, {"slots": sorted(found)})


def _compared(
    trained: Mapping[str, Trained], baskets: pipeline.Comparison | None
) -> dict[str, Any]:
    """For the card: by slot what was found beside what served."""
    found: dict[str, Any] = {}
    if baskets is not None:
        found["samagri"] = {
            "gain in NDCG@10": None if baskets.gain is None else list(baskets.gain),
            "overlap of top 10, median": baskets.jaccard,
            "questions": baskets.queries,
            "how": baskets.how,
        }
    for slot, each in trained.items():
        if slot != "samagri" and each.compared != pipeline.NOT_SERVED:
            gain = None if each.against_current is None else list(each.against_current)
            found[slot] = {"gain in NDCG@10": gain, "how": each.compared}
    return found


def _figures(outcome: Outcome) -> dict[str, Any]:
    ndcg: Interval = outcome.interval()
    taken = outcome.microseconds
    return {
        "model": outcome.name,
        "ndcg@10": list(ndcg),
        "hr@10": outcome.mean("hr"),
        "mrr@10": outcome.mean("mrr"),
        "recall@20": outcome.mean("recall", deep=True),
        "coverage@10": outcome.coverage,
        "novelty@10": outcome.novelty,
        "gini@10": outcome.gini,
        "p50_us": float(np.median(taken)) if len(taken) else 0.0,
        "p99_us": float(np.quantile(taken, 0.99)) if len(taken) else 0.0,
        "fit_s": outcome.fit_seconds,
        "questions": len(outcome.group),
        "units": len(np.unique(outcome.group)),
    }


def _window(data: Dataset, cut: Windows) -> dict[str, Any]:
    return {
        "from": _iso(int(data.bookings.ts.min())),
        "to": _iso(cut.end),
        "validation_from": _iso(cut.validation),
        "test_from": _iso(cut.test),
        "bookings": len(data.bookings),
        "events": len(data.events),
        "users": len(data.users),
        "items": len(data.items),
        "pujas": len(data.pujas),
        "pandits": len(data.pandits),
    }


def _iso(milliseconds: int) -> str:
    return datetime.fromtimestamp(milliseconds / 1000, UTC).isoformat(timespec="milliseconds")


def _ids(data: Dataset) -> dict[str, Ids]:
    return {
        kind: Ids(getattr(data, kind).ids)
        for kind in ("items", "users", "pujas", "pandits", "regions", "categories")
    }


def _summary(manifest: Manifest) -> str:
    return "; ".join(
        f"{slot} {manifest.models[slot]['model']} NDCG@10 {figures['ndcg@10'][0]:.4f}"
        f" [{figures['ndcg@10'][1]:.4f}, {figures['ndcg@10'][2]:.4f}]"
        for slot, figures in manifest.metrics.items()
        if "ndcg@10" in figures and slot in manifest.models
    )


def _flat(tree: Mapping[str, Any]) -> dict[str, Any]:
    return {
        f"{section}.{key}": value for section, keys in tree.items() for key, value in keys.items()
    }


def _without_secret(source: str) -> str:
    """An address without the name and password that it may carry."""
    scheme, mark, rest = source.partition("://")
    return f"{scheme}://{rest.rpartition('@')[2]}" if mark else source


def _instant(text: str) -> int:
    value = to_ms(int(text) if text.isdigit() else text)
    if value is None:
        raise argparse.ArgumentTypeError(f"{text!r} is no instant")
    return value


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m recsys.train", description="Train a model.")
    parser.add_argument(
        "--source",
        "--data",
        required=True,
        help="mongodb://…, a folder of tables, or synth:users=1500,items=160,seed=7",
    )
    parser.add_argument("--config", type=Path, help=f"default: {configs.CONFIG_FILE}, where it is")
    parser.add_argument(
        "--festivals",
        type=Path,
        help="dated festivals, past ones too: what `python -m kundali festivals --pujas` tells",
    )
    parser.add_argument("--at", type=_instant, help="what counts as the present (ISO 8601)")
    parser.add_argument("--publish", action="store_true", help="let the servers take it up")
    parser.add_argument("--force", action="store_true", help="although gates fail")
    parser.add_argument("--force-drift", action="store_true", help="although lists change a lot")
    parser.add_argument("--reason", default="", help="of a publication, for the history")
    parser.add_argument("--dry-run", action="store_true", help="do everything, write nothing")
    parser.add_argument("--json", action="store_true", help="the last line is one JSON object")
    parser.add_argument("--quiet", action="store_true", help="no progress")
    for flag, name in (
        ("--out", "store.path"),
        ("--engine", "run.engine"),
        ("--seed", "run.seed"),
        ("--only", "run.only"),
        ("--budget-s", "run.budget_s"),
        ("--factors", "als.factors"),
    ):
        parser.add_argument(flag, dest=name, default=argparse.SUPPRESS, help=f"short for --{name}")
    configs.add_flags(parser)
    return parser


if __name__ == "__main__":
    sys.exit(main())
