from __future__ import annotations

import importlib.util
import json
import sqlite3
from pathlib import Path
from typing import Any

import pytest

from recsys import tracking
from recsys.config import Tracking


def record(recorder: tracking.Recorder, file: Path) -> None:
    recorder.params({"seed": 7, "grid": (1, 2)})
    recorder.metric("ndcg@10", 0.2, step=0)
    recorder.metric("ndcg@10", 0.3, step=1)
    recorder.metric("lost", float("nan"))
    recorder.file(file)
    recorder.end("finished")


def test_a_run_in_json(tmp_path: Path) -> None:
    file = tmp_path / "card.md"
    file.write_text("# card")
    record(tracking.begin(Tracking(backend="json", path=str(tmp_path / "runs")), "a run"), file)
    (folder,) = (tmp_path / "runs").iterdir()
    about = json.loads((folder / "params.json").read_bytes())
    assert about["params"] == {"seed": 7, "grid": [1, 2]}
    assert about["status"] == "finished"
    assert about["name"] == "a run"
    assert json.loads((folder / "metrics.json").read_bytes()) == {"ndcg@10": 0.3, "lost": None}
    lines = [json.loads(line) for line in (folder / "history.jsonl").read_text().splitlines()]
    assert [(line["name"], line["value"], line["step"]) for line in lines] == [
        ("ndcg@10", 0.2, 0),
        ("ndcg@10", 0.3, 1),
        ("lost", None, 0),
    ]
    assert (folder / "files" / "card.md").read_text() == "# card"


def test_no_record_is_kept_when_none_is_wanted(tmp_path: Path) -> None:
    record(tracking.begin(Tracking(backend="none", path=str(tmp_path)), "a run"), tmp_path)
    assert not list(tmp_path.iterdir())


def test_a_recorder_that_fails_stops_nothing_and_says_so_once(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    recorder = tracking.begin(Tracking(backend="json", path=str(tmp_path / "runs")), "a run")
    recorder.file(tmp_path / "absent")
    recorder.metric("after", 1.0)
    recorder.end("finished")
    assert capsys.readouterr().err.count("not recorded any further") == 1


def test_a_record_that_cannot_be_begun_stops_nothing(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "runs").write_text("a file, not a folder")
    recorder = tracking.begin(Tracking(backend="json", path=str(tmp_path / "runs")), "a run")
    record(recorder, tmp_path / "absent")
    assert capsys.readouterr().err.count("the run is not recorded") == 1


def test_automatic_is_json_without_mlflow(tmp_path: Path, monkeypatch: Any) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    tracking.begin(Tracking(backend="auto", path=str(tmp_path)), "a run").end("failed")
    (folder,) = tmp_path.iterdir()
    assert json.loads((folder / "params.json").read_bytes())["status"] == "failed"


@pytest.mark.skipif(importlib.util.find_spec("mlflow") is None, reason="MLflow is not installed")
@pytest.mark.filterwarnings("ignore")  # the library and its database layer deprecate each other
def test_a_run_in_mlflow_s_database(tmp_path: Path) -> None:
    file = tmp_path / "card.md"
    file.write_text("# card")
    record(tracking.begin(Tracking(backend="mlflow", path=str(tmp_path / "runs")), "a run"), file)
    with sqlite3.connect(tmp_path / "runs" / "mlflow.db") as database:
        values = database.execute("select key, value from metrics order by step").fetchall()
    assert ("ndcg_at_10", 0.3) in values
    assert list((tmp_path / "runs" / "files").rglob("card.md"))
    assert not (tmp_path / "mlruns").exists()
