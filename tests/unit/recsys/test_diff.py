"""Two versions beside each other: the same questions to both, and what their manifests say."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from recsys import diff
from recsys.bundle import Bundle
from recsys.diff import churn, figures
from recsys.store import ModelStore
from tests.unit.recsys.bundles import a_bundle, names, put

OLD, NEW = "20260401T000000Z", "20260402T000000Z"


@pytest.fixture
def store(tmp_path: Path) -> ModelStore:
    return ModelStore(tmp_path / "models")


def told(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, dict[str, object]]:
    status = diff.main([*arguments, "--json"])
    return status, json.loads(capsys.readouterr().out.splitlines()[-1])


@pytest.mark.parametrize("slot", ["samagri", "pandit"])
def test_a_model_is_no_other_than_itself(slot: str) -> None:
    found = churn(a_bundle(), a_bundle(), slot)
    assert found is not None
    assert found["churn"] == 0.0
    assert found["same_first"] == 1.0
    assert found["questions"] == {"samagri": 6, "pandit": 5}[slot]


def test_what_changed_is_counted_over_the_same_ids_wherever_they_stand() -> None:
    first = a_bundle()
    weights = first.models["samagri"]
    # The same model with its items named the other way round answers everything otherwise.
    second = replace(
        first,
        ids={
            **first.ids,
            "items": type(first.ids["items"])(tuple(reversed(first.ids["items"].ids))),
        },
    )
    assert second.models["samagri"] is weights
    found = churn(first, second, "samagri")
    assert found is not None
    assert found["same_first"] < 1.0
    assert 0.0 < found["churn"] <= found["most"]["churn"] <= 1.0


def test_what_is_gone_is_not_asked_about_and_counts_as_changed() -> None:
    first = a_bundle()
    second = replace(first, ids={**first.ids, "pandits": names("other", 5)})
    assert churn(first, second, "pandit") is None
    assert churn(first, second, "puja") is None
    fewer = Bundle("", {**first.ids, "pujas": names("puja", 1)}, first.models)
    found = churn(first, fewer, "samagri")
    assert found is not None
    assert found["questions"] == 2


def test_figures_are_the_numbers_and_the_middles_of_intervals() -> None:
    metrics = {
        "samagri": {"ndcg@10": [0.5, 0.4, 0.6], "questions": 12, "model": "ease", "flag": True},
        "blend": {"reliability": [[0.1, 0.2], [0.3, 0.4]], "order": [3, 1, 2]},
    }
    assert figures(metrics) == {"samagri.ndcg@10": 0.5, "samagri.questions": 12.0}


def test_the_command_compares_with_the_current_one(
    store: ModelStore, capsys: pytest.CaptureFixture[str]
) -> None:
    old = put(store, a_bundle(), OLD, metrics={"samagri": {"ndcg@10": [0.5, 0.4, 0.6]}})
    new = put(store, a_bundle(seed=1), NEW, metrics={"samagri": {"ndcg@10": [0.6, 0.5, 0.7]}})
    store.publish(new, by="test")
    status, result = told(capsys, "--store", str(store.root), old)
    assert status == 0
    assert result["versions"] == [old, new]
    assert result["metrics"] == {"samagri.ndcg@10": [0.5, 0.6]}
    slots = result["slots"]
    assert isinstance(slots, dict)
    assert slots["samagri"]["churn"] > 0
    assert slots["puja"] is None
    assert diff.main(["--store", str(store.root), old, new]) == 0
    lines = capsys.readouterr().out
    assert "of the top 10 changed" in lines
    assert "samagri.ndcg@10" in lines


def test_a_version_that_is_not_there_is_refused(
    store: ModelStore, capsys: pytest.CaptureFixture[str]
) -> None:
    old = put(store, a_bundle(), OLD)
    status, result = told(capsys, "--store", str(store.root), old)
    assert (status, result["ok"]) == (5, False)
    assert "nothing is published" in str(result["reason"])
    assert told(capsys, "--store", str(store.root), old, "20300101T000000Z-00000000")[0] == 5
