"""What the doctor finds in a store, and what it says of the machine."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from recsys import doctor, threads
from recsys.doctor import Finding, findings
from recsys.store import ModelStore
from tests.unit.recsys.bundles import a_bundle, put

MOMENT = "20260401T000000Z"


@pytest.fixture
def store(tmp_path: Path) -> ModelStore:
    return ModelStore(tmp_path / "models")


def of_store(store: ModelStore) -> list[Finding]:
    return [each for each in findings(store) if each.about == "store"]


def test_a_sound_store_is_said_to_be_sound(store: ModelStore) -> None:
    version = put(store, a_bundle(), MOMENT)
    (counted, note) = of_store(store)
    assert counted.verdict == "ok"
    assert (note.verdict, note.what) == ("note", "nothing is published")
    store.publish(version, by="test")
    assert {each.verdict for each in of_store(store)} == {"ok"}
    assert doctor.main(["--store", str(store.root)]) == 0


def test_a_store_that_is_not_there_is_no_fault(store: ModelStore) -> None:
    (found,) = of_store(store)
    assert found.verdict == "note"
    assert "the rules alone serve" in found.what


def test_a_broken_current_version_is_a_fault_with_what_to_do(
    store: ModelStore, capsys: pytest.CaptureFixture[str]
) -> None:
    version = put(store, a_bundle(), MOMENT)
    store.publish(version, by="test")
    array = next(store.folder(version).glob("*.npy"))
    array.write_bytes(array.read_bytes()[:-4])
    found = of_store(store)[-1]
    assert found.verdict == "fault"
    assert "recsys.rollback" in found.advice
    assert doctor.main(["--store", str(store.root), "--json"]) == 5
    told = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert (told["ok"], told["faults"]) == (False, 1)


def test_another_unsound_version_is_only_told(store: ModelStore) -> None:
    store.publish(put(store, a_bundle(), MOMENT), by="test")
    other = put(store, a_bundle(seed=1), "20260402T000000Z")
    (store.folder(other) / "manifest.json").write_bytes(b"{")
    notes = [each for each in of_store(store) if each.verdict == "note"]
    assert len(notes) == 1
    assert other in notes[0].what


def test_more_threads_than_one_are_told(store: ModelStore, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(threads.VARIABLES[0], "4")
    notes = [each for each in findings(store) if each.about == "threads" and each.advice]
    assert any(threads.VARIABLES[0] in each.advice for each in notes)


def test_an_engine_that_is_missing_is_told_with_its_extra(
    store: ModelStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(doctor, "_version", lambda name: None)
    notes = {each.what: each for each in findings(store) if each.about == "engines"}
    assert set(notes) == {
        "no implicit: no engine = implicit",
        "no pyspark: no --engine spark",
        "no mlflow: no runs in MLflow",
    }
    assert "pandityatra[spark]" in notes["no pyspark: no --engine spark"].advice
