"""Training from the command line: from data to a version in a store."""

from __future__ import annotations

import dataclasses
import importlib.util
import json
import os
import shutil
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from recsys import blend_train, pipeline, promises, synth, train
from recsys.artifact import read_manifest
from recsys.blend import Recommendation, Request, SamagriBlend
from recsys.bootstrap import Interval
from recsys.bundle import (
    calibration_of,
    check_answers,
    habits_of,
    knowledge_of,
    open_bundle,
    records_of,
)
from recsys.data import Dataset
from recsys.next_puja_train import NextPujaFigures
from recsys.sources import read_source
from recsys.splits import Queries
from recsys.store import ModelStore
from recsys.town import TownConfig, simulate
from tests.model_artifacts import fill

pytestmark = pytest.mark.timeout(240)
ROOT = Path(__file__).resolve().parents[2]
FRESH_DATABASE = True

TOWN = "synth:users=500,items=80,pandits=30,months=18,seed=3"
# Large enough for the weights of the blend to be fitted; the small one has to do with the prior.
LARGER_TOWN = "synth:users=900,items=80,pandits=30,months=18,bookings_per_user=6,seed=3"
PRIOR = ("--gates.max-ece", "1", "--gates.min-keep-rate", "0")
QUICK = (
    *("--quiet", "--json", "--engine", "numpy", "--tracking.backend", "none"),
    *("--search.candidates", "ease,rp3beta", "--search.max-queries", "300"),
    *("--ease.lam", "25,50", "--ease.context-weight", "2", "--rp3.alpha", "1", "--rp3.beta", "0.4"),
    *("--als.factors", "8", "--als.regularization", "10", "--als.alpha", "1"),
    *("--als.iterations", "4", "--als.search-iterations", "3", "--data.min-bookings", "300"),
    *("--run.report", "false"),
)


def run(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, dict[str, Any]]:
    """Train in this process; the exit status and the JSON of the last line."""
    status = train.main([*QUICK, *arguments])
    return status, json.loads(capsys.readouterr().out.splitlines()[-1])


def hashes(store: ModelStore, version: str, below: str = "versions") -> dict[str, str]:
    manifest = read_manifest(store.root / below / version)
    return {entry.path: entry.sha256 for entry in manifest.files if entry.path.endswith(".npy")}


def test_a_model_is_trained_tested_stored_and_published(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    store = ModelStore(tmp_path / "models")
    where = ("--source", LARGER_TOWN, "--out", str(store.root))
    status, told = run(capsys, *where, "--publish", "--run.report", "true")
    assert status == 0
    assert told["published"]
    assert store.current() == told["version"]
    artifact = store.load_current()
    assert artifact is not None
    check_answers(artifact)
    bundle = open_bundle(artifact)
    assert set(bundle.models) == {"samagri", "usual", "popular", "user_item", "pandit", "puja"}
    assert knowledge_of(bundle) is not None
    assert habits_of(bundle) is not None
    assert records_of(bundle) is not None
    for name in ("habits", "pandits"):
        assert artifact.manifest.metrics[name]
    for slot in ("pandit", "puja", "user_item"):
        calibration = calibration_of(bundle, slot)
        assert calibration is not None
        assert 0 <= calibration.y_knots[0] < calibration.y_knots[-1] <= 1
    manifest = artifact.manifest
    assert not manifest.gates_failed
    assert manifest.metrics["blend"]["ece"] <= 0.05
    assert manifest.metrics["blend"]["keep_rate"][0] >= 0.55
    assert manifest.engine == "numpy"
    assert manifest.config["ease"]["lam"] == [25.0, 50.0]
    assert manifest.training_window["bookings"] > 300
    assert (
        manifest.metrics["samagri"]["ndcg@10"][1]
        > (manifest.baselines["samagri"]["puja_popularity"]["ndcg@10"][0])
    )
    card = (store.folder(told["version"]) / "card.md").read_text(encoding="utf-8")
    assert "all gates held" in card
    assert "## Segments" in card
    assert "## Calibration of the blend" in card
    assert json.loads((store.folder(told["version"]) / "card.json").read_bytes())["purpose"]
    report = store.text(told["version"], "report.html")
    assert report.count("data:image/png;base64,") == 5 * 4 + 1
    assert "<h2>The next puja</h2>" in report
    assert "<script" not in report
    compared = artifact.documents["report"]
    assert [task["task"] for task in compared["tasks"]] == [
        "samagri",
        "user_item",
        "pandit",
        "puja",
    ]
    samagri = compared["tasks"][0]["models"]
    assert {"popularity", "puja_popularity", "ease", "rp3beta"} == samagri.keys()
    chosen = manifest.models["samagri"]["model"]
    assert samagri[chosen]["ndcg"] == manifest.metrics["samagri"]["ndcg@10"]


def test_two_trainings_with_one_seed_are_equal_to_the_bit(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    found = []
    for name in ("first", "second"):
        store = ModelStore(tmp_path / name)
        engine = ("--engine", "implicit", *PRIOR)
        status, told = run(capsys, "--source", TOWN, "--out", str(store.root), *engine)
        assert status == 0
        found.append(hashes(store, told["version"]))
    assert found[0] == found[1]
    assert len(found[0]) >= 10
    store = ModelStore(tmp_path / "third")
    _, told = run(
        capsys,
        "--source",
        TOWN,
        "--out",
        str(store.root),
        "--seed",
        "8",
        "--force",
        "--only",
        "pandit",
    )
    assert hashes(store, told["version"])["pandit.als.user.npy"] != found[0]["pandit.als.user.npy"]


def test_a_failed_gate_rejects_and_force_overrules(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    store = ModelStore(tmp_path / "models")
    where = ("--source", TOWN, "--out", str(store.root), "--only", "samagri", "--publish", *PRIOR)
    strict = ("--gates.min-coverage", "1.0")
    assert train.main([*QUICK, *where, *strict]) == 4
    said = capsys.readouterr()
    assert "gate coverage did not hold: coverage@10" in said.err
    told = json.loads(said.out.splitlines()[-1])
    assert told["gates_failed"] == ["coverage"]
    assert store.current() is None
    assert store.versions() == []
    card = (store.root / "rejected" / told["version"] / "card.md").read_text(encoding="utf-8")
    assert "| coverage | **no** |" in card

    status, told = run(capsys, *where, *strict, "--force", "--reason", "the first model")
    assert status == 0
    assert store.current() == told["version"]
    assert store.history()[-1].forced

    # Now there is one to compare with: the same kind on the same data neither wins nor loses.
    status, told = run(capsys, *where)
    assert status == 0
    manifest = read_manifest(store.folder(told["version"]))
    gates = {gate["name"]: gate for gate in manifest.gates}
    assert gates["quality.current"]["value"] == 0
    assert gates["drift"]["value"] == 1
    assert manifest.parents == (store.history()[-2].version,)


def test_a_blend_that_forgets_what_is_required_is_rejected(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    class Forgetful(SamagriBlend):
        def recommend(self, request: Request) -> Recommendation:
            answer = super().recommend(request)
            return dataclasses.replace(answer, rows=answer.rows[1:])

    monkeypatch.setattr(promises, "SamagriBlend", Forgetful)
    store = ModelStore(tmp_path / "models")
    where = ("--source", TOWN, "--out", str(store.root), "--only", "samagri", *PRIOR)
    status, told = run(capsys, *where)
    assert status == 4
    assert told["gates_failed"] == ["required"]
    gates = {
        each["name"]: each
        for each in read_manifest(store.root / "rejected" / told["version"]).gates
    }
    assert gates["required"]["value"] > 0
    for name in ("order", "never_show", "finite"):
        assert gates[name]["value"] == 0


def test_a_model_of_one_task_does_not_take_the_others_from_the_servers(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    store = ModelStore(tmp_path / "models")
    where = ("--source", TOWN, "--out", str(store.root), "--publish", *PRIOR)
    status, first = run(capsys, *where, "--only", "pandit,puja")
    assert status == 0
    alone = ("--only", "pandit")
    status, told = run(capsys, *where, *alone)
    assert status == 4
    assert told["gates_failed"] == ["whole"]
    assert store.current() == first["version"]
    gates = {
        each["name"]: each
        for each in read_manifest(store.root / "rejected" / told["version"]).gates
    }
    assert "(habits, puja)" in gates["whole"]["reason"]
    status, told = run(capsys, *where, *alone, "--force", "--reason", "pandits only")
    assert status == 0
    assert store.current() == told["version"]


# So strong that every vector is next to nothing.
POOR = ("--als.regularization", "10000000", "--search.puja-candidates", "als")


def gates_of(store: ModelStore, version: str) -> dict[str, dict[str, Any]]:
    return {gate["name"]: gate for gate in read_manifest(store.folder(version)).gates}


def test_a_slot_worse_than_popularity_is_left_out_and_the_others_serve(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    store = ModelStore(tmp_path / "models")
    where = ("--source", TOWN, "--out", str(store.root), "--publish", "--only", "pandit,puja")
    status, told = run(capsys, *where, *POOR, "--run.report", "true")
    assert status == 0
    assert told["gates_failed"] == []
    assert told["left_out"] == ["puja"]
    manifest = read_manifest(store.folder(told["version"]))
    assert (
        manifest.metrics["puja"]["ndcg@10"][0]
        < (manifest.baselines["puja"]["popularity"]["ndcg@10"][0])
    )
    assert manifest.feature_flags == {"pandit": True, "puja": False, "habits": True}
    artifact = store.load(told["version"])
    check_answers(artifact)
    bundle = open_bundle(artifact)
    assert set(bundle.models) == {"pandit"}
    assert calibration_of(bundle, "puja") is None
    habits = habits_of(bundle)
    assert habits is not None
    assert habits.spread[0] == 0, "nobody is asked what this family likes"
    gate = gates_of(store, told["version"])["quality.baseline.puja"]
    assert gate["left_out"]
    assert gate["value"] < gate["bound"]
    card = (store.folder(told["version"]) / "card.md").read_text(encoding="utf-8")
    assert "| quality.baseline.puja | left out | left out; lower bound of the gain" in card
    assert artifact.documents["report"]["left_out"].keys() == {"puja"}
    assert "<h2>Left out</h2>" in store.text(told["version"], "report.html")


def test_a_slot_that_the_test_asks_nothing_is_left_out(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    questions = pipeline.user_questions

    def of_strangers(
        data: Dataset, target: Any, begin: int, end: int, *more: Any, **how: bool
    ) -> Queries:
        found = questions(data, target, begin, end, *more, **how)
        is_test = end > data.newest_ms()
        return found.select(np.full(found.data.n_rows, not is_test))

    monkeypatch.setattr(pipeline, "user_questions", of_strangers)
    store = ModelStore(tmp_path / "models")
    where = ("--source", TOWN, "--out", str(store.root), "--only", "pandit,puja")
    status, told = run(capsys, *where, "--run.report", "true")
    assert status == 0
    assert told["left_out"] == ["pandit", "puja"]
    assert told["metrics"]["pandit"]["ndcg@10"] == [None, None, None]
    folder = store.folder(told["version"])
    card = (folder / "card.md").read_text(encoding="utf-8")
    assert "| pandit | als | – [–, –] |" in card
    check_answers(store.load(told["version"]))


def lost_habits(figures: NextPujaFigures) -> tuple[str, Interval]:
    return "what would serve", Interval(-0.1, -0.2, -0.05)


def test_habits_alone_are_worth_a_version_and_without_any_nothing_is_published(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    store = ModelStore(tmp_path / "models")
    where = ("--source", TOWN, "--out", str(store.root), "--publish", "--only", "puja")
    status, told = run(capsys, *where, *POOR)
    assert status == 0
    assert told["left_out"] == ["puja"]
    assert store.current() == told["version"]
    monkeypatch.setattr(NextPujaFigures, "gain", lost_habits)
    status, told = run(capsys, *where, *POOR)
    assert status == 4
    assert told["gates_failed"] == ["models"]


def test_the_model_of_pujas_goes_with_the_habits_that_ask_it(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    store = ModelStore(tmp_path / "models")
    where = ("--source", TOWN, "--out", str(store.root), "--publish", "--only", "pandit,puja")
    status, first = run(capsys, *where, *PRIOR)
    assert status == 0
    assert "puja" in open_bundle(store.load(first["version"])).models
    monkeypatch.setattr(NextPujaFigures, "gain", lost_habits)
    status, told = run(capsys, *where, *PRIOR)
    assert status == 0
    assert sorted(told["left_out"]) == ["habits", "puja"]
    bundle = open_bundle(store.load(told["version"]))
    assert set(bundle.models) == {"pandit"}
    assert habits_of(bundle) is None
    gates = gates_of(store, told["version"])
    assert "only habits would ask it" in gates["quality.baseline.puja"]["reason"]
    assert gates["whole"]["value"] == 0


def test_kind_and_parameters_that_serve_stay_where_what_was_found_is_worse(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    store = ModelStore(tmp_path / "models")
    where = ("--source", TOWN, "--out", str(store.root), "--publish", "--only", "pandit,puja")
    status, first = run(capsys, *where)
    assert status == 0
    before = read_manifest(store.folder(first["version"]))
    status, told = run(capsys, *where, *POOR)
    assert status == 0
    assert told["left_out"] == []
    after = read_manifest(store.folder(told["version"]))
    for slot in ("pandit", "puja"):
        assert after.models[slot] == before.models[slot]
        assert after.metrics[slot]["ndcg@10"] == before.metrics[slot]["ndcg@10"]
        assert gates_of(store, told["version"])[f"quality.current.{slot}"]["value"] == 0
    assert hashes(store, told["version"]) == hashes(store, first["version"])
    compared = json.loads((store.folder(told["version"]) / "card.json").read_bytes())["compared"]
    assert "stay" in compared["pandit"]["how"]


def test_what_customers_like_is_left_out_where_lists_are_better_without(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    store = ModelStore(tmp_path / "models")
    where = ("--source", TOWN, "--out", str(store.root), "--publish", "--only", "samagri", *PRIOR)
    with monkeypatch.context() as patched:
        for module in (blend_train, train):
            patched.setattr(module, "wins", lambda gain, config: True)
        status, first = run(capsys, *where)
    assert status == 0
    assert "user_item" in read_manifest(store.folder(first["version"])).models
    status, told = run(capsys, *where)
    assert status == 0, "what is left out is not missed, though the current model has it"
    assert told["left_out"] == ["user_item"]
    artifact = store.load(told["version"])
    check_answers(artifact)
    knowledge = knowledge_of(open_bundle(artifact))
    assert knowledge is not None
    assert knowledge.samagri is not None
    assert knowledge.user_item is None
    gate = gates_of(store, told["version"])["quality.baseline.user_item"]
    assert "log loss over the lists without it" in gate["reason"]


def test_old_versions_go_also_when_nothing_is_published(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    store = ModelStore(tmp_path / "models")
    for day in range(1, 8):
        for rejected in (False, True):
            with store.staging() as writer:
                fill(writer, moment=f"202604{day:02d}T031500Z")
                store.add(writer.folder, rejected=rejected)
    where = ("--source", TOWN, "--out", str(store.root), "--only", "pandit", "--store.keep", "2")
    status, kept = run(capsys, *where)
    assert status == 0
    assert store.versions()[0].version == kept["version"]
    assert len(store.versions()) == 2
    status, bad = run(capsys, *where, "--data.min-users", "10000")
    assert status == 4
    rejected_ones = sorted(path.name for path in (store.root / "rejected").iterdir())
    assert len(rejected_ones) == 5
    assert rejected_ones[-1] == bad["version"]


def test_a_dry_run_writes_nothing(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    root = tmp_path / "models"
    where = ("--source", TOWN, "--out", str(root), "--only", "pandit")
    status, told = run(capsys, *where, "--dry-run")
    assert status == 0
    assert told["metrics"]["pandit"]["ndcg@10"]
    assert not root.exists()
    assert run(capsys, *where, "--dry-run", "--publish")[0] == 2


def test_festivals_are_counted_where_their_days_are_told(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data, _ = read_source(TOWN)
    puja = int(np.bincount(data.bookings.puja).argmax())
    held = data.bookings.held_ts[data.bookings.puja == puja]
    days = {datetime.fromtimestamp(ms / 1000, UTC).date().isoformat() for ms in held[::20].tolist()}
    told = [{"puja_id": data.pujas.ids[puja], "day": day} for day in sorted(days)]
    (tmp_path / "festivals.json").write_text(json.dumps(told))
    rates = {}
    for name, more in (
        ("with", ("--festivals", str(tmp_path / "festivals.json"))),
        ("without", ()),
    ):
        store = ModelStore(tmp_path / name)
        status, result = run(
            capsys, "--source", TOWN, "--out", str(store.root), "--only", "puja", "--force", *more
        )
        assert status == 0
        habits = habits_of(open_bundle(store.load(result["version"])))
        assert habits is not None
        rates[name] = float(habits.festival[0, puja])
    assert rates["with"] > rates["without"] == 0


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        (("--run.seed", "-1"), "--run.seed"),
        (("--split.test-at", "0.5"), "split"),
        (("--config", "absent.toml"), "absent.toml"),
        (("--source", "synth:houses=3"), "a town has"),
        (("--source", "synth:users=many"), "users"),
        (("--source", "synth:items=40"), "at least 80 items"),
        (("--source", "synth:bookings_per_user=0"), "bookings_per_user"),
        (("--search.candidates", "guesswork"), "search.candidates"),
        (("--festivals", "absent.json"), "--festivals absent.json"),
    ],
)
def test_wrong_settings_end_with_2(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], arguments: tuple[str, ...], reason: str
) -> None:
    status, told = run(capsys, "--source", TOWN, "--out", str(tmp_path / "models"), *arguments)
    assert status == 2
    assert reason in told["reason"]


def test_data_that_cannot_be_trained_on_end_with_3(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = ("--out", str(tmp_path / "models"))
    assert run(capsys, "--source", str(tmp_path), *out)[0] == 3
    row = {"booking_id": "b", "user_id": "u", "puja_id": "p", "ts": 1_750_000_000_000}
    (tmp_path / "bookings.jsonl").write_text(json.dumps(row) + "\n")
    status, told = run(capsys, "--source", str(tmp_path), *out)
    assert status == 3
    assert "split" in told["reason"]
    status, told = run(capsys, "--source", str(tmp_path), *out, "--at", "2010-01-01")
    assert status == 3
    assert told["reason"] == "no booking can be used: ts is in the future (1)"
    # Nobody listens on the discard port.
    status, told = run(
        capsys, "--source", "mongodb://127.0.0.1:9/x?serverSelectionTimeoutMS=200", *out
    )
    assert status == 3
    # Its password would have to be escaped.
    status, told = run(capsys, "--source", "mongodb://who:pass/word@127.0.0.1/x", *out)
    assert status == 3
    assert "the address of the database cannot be read" in told["reason"]
    assert "word" not in told["reason"].partition("username and password")[0]


def test_a_record_that_cannot_be_begun_stops_no_training(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "runs").write_text("a file, not a folder")
    where = ("--source", TOWN, "--out", str(tmp_path / "models"), "--only", "pandit", "--dry-run")
    record = ("--tracking.backend", "json", "--tracking.path", str(tmp_path / "runs"))
    assert train.main([*QUICK, *where, *record]) == 0
    assert "the run is not recorded" in capsys.readouterr().err


def test_the_record_of_a_run_says_how_it_ended_whatever_came(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: object) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr(train, "read_source", broken)
    where = ("--source", TOWN, "--out", str(tmp_path / "models"), "--tracking.backend", "json")
    with pytest.raises(ZeroDivisionError):
        train.main([*QUICK, *where, "--tracking.path", str(tmp_path / "runs")])
    (run,) = (tmp_path / "runs").glob("*/params.json")
    assert json.loads(run.read_bytes())["status"] == "failed"


def test_a_store_that_cannot_be_written_ends_with_5(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "models").write_text("a file, not a folder")
    where = ("--source", TOWN, "--out", str(tmp_path / "models"), "--only", "pandit")
    assert run(capsys, *where)[0] == 5


def test_old_data_do_not_pass_but_may_be_looked_at_from_their_own_time(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    town = simulate(TownConfig(users=500, items=80, pandits=30, months=18, seed=3))
    synth.write(town, tmp_path / "tables")
    where = ("--source", str(tmp_path / "tables"), "--out", str(tmp_path / "models"))
    status, told = run(capsys, *where, "--only", "pandit")
    assert status == 4
    assert told["gates_failed"] == ["data.age"]
    newest = synth.dataset(town).newest_ms()
    at = datetime.fromtimestamp(newest / 1000, UTC).isoformat()
    assert run(capsys, *where, "--only", "pandit", "--at", at)[0] == 0


def test_the_command_runs_as_a_program_and_hides_passwords(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "recsys.train", "--source"]
    command += ["mongodb://who:secret@127.0.0.1:9/x?serverSelectionTimeoutMS=200"]
    command += ["--out", str(tmp_path), "--tracking.backend", "none"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)  # noqa: S603 - itself
    assert done.returncode == 3
    assert "cannot be read" in done.stderr
    assert "secret" not in done.stdout + done.stderr


def _spark_is_missing() -> str:
    if importlib.util.find_spec("pyspark") is None:
        return "pyspark is not installed"
    return "" if os.environ.get("JAVA_HOME") or shutil.which("java") else "java is not installed"


@pytest.mark.skipif(bool(_spark_is_missing()), reason=_spark_is_missing() or "spark is here")
def test_spark_makes_the_same_artifact_within_the_interval_of_the_local_engine(
    tmp_path: Path,
) -> None:
    # A process of its own: the Java machine that Spark starts lives as long as it.
    found = {}
    for engine, regularization in (("numpy", "10"), ("spark", "0.5")):
        command = [sys.executable, "-m", "recsys.train", *QUICK, "--source", TOWN]
        command += ["--out", str(tmp_path / engine), "--only", "pandit", "--engine", engine]
        command += ["--als.regularization", "10", "--spark.regularization", regularization]
        command += ["--spark.memory", "1g"]
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)  # noqa: S603 - itself
        assert done.returncode == 0, done.stderr
        found[engine] = json.loads(done.stdout.splitlines()[-1])
    store = ModelStore(tmp_path / "spark")
    artifact = store.load(found["spark"]["version"])
    check_answers(artifact)
    assert artifact.manifest.engine == "spark"
    assert artifact.manifest.models["pandit"]["params"]["reg_mode"] == "scaled"
    _, low, high = found["numpy"]["metrics"]["pandit"]["ndcg@10"]
    assert low <= found["spark"]["metrics"]["pandit"]["ndcg@10"][0] <= high
