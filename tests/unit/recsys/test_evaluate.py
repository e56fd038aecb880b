from __future__ import annotations

import dataclasses
import json
import sys
import types
from pathlib import Path

import numpy as np
import pytest

from recsys import synth
from recsys.bundle import Bundle
from recsys.config import Config, Spark
from recsys.engine import AlsParams, Factors, fit
from recsys.evaluate import Evaluation, main
from recsys.models.als import Als
from recsys.models.base import Csr
from recsys.report import text_table
from recsys.store import ModelStore
from recsys.town import TownConfig, simulate
from tests.serving_models import Recipe, a_bundle, put

TOWN = "synth:users=250,items=80,pandits=30,seed=3"


@pytest.fixture(scope="module")
def evaluation() -> Evaluation:
    town = simulate(TownConfig(users=250, items=80, pandits=30, seed=3))
    return Evaluation(synth.dataset(town), Config(), search=False)


def test_context_and_company_beat_the_usual_of_the_puja(evaluation: Evaluation) -> None:
    found = evaluation.run("samagri", ("popularity", "puja_popularity", "ease"))
    assert found.baseline == "puja_popularity"
    ease = found.models["ease"]
    assert ease.outcome.versus(found.models["puja_popularity"].outcome).low > 0
    assert ease.calibration is not None
    assert ease.calibration.error() <= 0.05
    assert next(text_table(found)).startswith("samagri: ")


def test_segments_are_parts_of_the_questions(evaluation: Evaluation) -> None:
    found = evaluation.run("samagri", ("popularity",))
    total = found.questions.data.n_rows
    users = {name: size for name, (size, _) in found.segments.items() if name.startswith("users")}
    regions = [size for name, (size, _) in found.segments.items() if name.startswith("region")]
    assert 0 < sum(users.values()) <= total
    assert 0 < sum(regions) <= total
    weighted = [
        (size, each["popularity"].mean)
        for name, (size, each) in found.segments.items()
        if name.startswith("users")
    ]
    low, high = min(mean for _, mean in weighted), max(mean for _, mean in weighted)
    assert low <= found.models["popularity"].outcome.mean() <= high


def test_users_without_a_history_are_told_apart(evaluation: Evaluation) -> None:
    found = evaluation.run("pandit", ("popularity", "ease"))
    size, of_new = found.segments["users:new"]
    bookings, begin = evaluation._data.bookings, evaluation.windows.test
    since = set(bookings.user[bookings.ts >= begin].tolist())
    assert size > 0
    assert of_new.keys() == {"popularity", "ease"}
    assert size + found.questions.data.n_rows <= len(since)
    assert 0 < of_new["popularity"].mean < 1


def test_training_never_sees_the_test_window(evaluation: Evaluation) -> None:
    found = evaluation.run("user_item", ("popularity",))
    again = Evaluation(evaluation._data.before(evaluation.windows.test), Config(), search=False)
    cells = found.train.matrix
    earlier, _, _ = again._questions("user_item", evaluation.windows.test, evaluation.windows.end)
    assert np.array_equal(earlier.matrix.data, cells.data)


def test_the_report_is_one_file_that_loads_nothing(tmp_path: Path) -> None:
    status = main(
        ["--source", TOWN, "--report", str(tmp_path), "--no-search", "--quiet",
         "--tasks", "samagri,puja", "--models", "popularity,ease", "--set", "ease.lam=80",
         "--set", "association.combine=max"]
    )  # fmt: skip
    assert status == 0
    page = (tmp_path / "report.html").read_text(encoding="utf-8")
    assert page.count("data:image/png;base64,") == 10
    assert "http" not in page
    record = json.loads((tmp_path / "report.json").read_text(encoding="utf-8"))
    assert [task["task"] for task in record["tasks"]] == ["samagri", "puja"]
    ease = record["tasks"][0]["models"]["ease"]
    assert ease["params"] == {"lam": 80}
    assert ease["ndcg"][1] < ease["ndcg"][0] < ease["ndcg"][2]


def test_two_evaluations_agree_but_for_time(evaluation: Evaluation) -> None:
    first = evaluation.run("samagri", ("ease",)).models["ease"].outcome
    second = evaluation.run("samagri", ("ease",)).models["ease"].outcome
    assert first.lists.tobytes() == second.lists.tobytes()
    assert first.interval() == second.interval()


@pytest.mark.parametrize(
    "wrong",
    [
        ["--models", "oracle"],
        ["--set", "ease"],
        ["--set", "ease.wand=1"],
        ["--set", "item_knn.shrink=much"],
        ["--tasks", "pandit", "--models", "als", "--no-search", "--set", "als.engine=spark"],
        ["--version", "x"],
        ["--tasks", "samagri,guesswork"],
        ["--tasks", ","],
        ["--source", "synth:houses=3"],
        ["--source", "synth:items=40"],
    ],
)
def test_wrong_arguments_end_with_two(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], wrong: list[str]
) -> None:
    where = ["--source", TOWN, "--report", str(tmp_path), "--quiet", "--json"]
    assert main([*where, *wrong]) == 2
    told = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert (told["ok"], told["exit"]) == (False, 2)
    assert told["reason"]


def test_als_is_fitted_by_the_engine_that_is_asked_for(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    class Session:
        def __init__(self, settings: Spark) -> None:
            self._settings = settings

        def __enter__(self) -> Session:
            return self

        def __exit__(self, *failure: object) -> None: ...

        def fit(self, matrix: Csr, params: AlsParams, seed: int) -> Factors:
            asked.append(params)
            return dataclasses.replace(
                fit(matrix, dataclasses.replace(params, engine="numpy"), seed), engine="spark"
            )

    asked: list[AlsParams] = []
    fake = types.ModuleType("recsys.spark_als")
    monkeypatch.setattr(fake, "SparkEngine", Session, raising=False)
    monkeypatch.setitem(sys.modules, "recsys.spark_als", fake)
    where = ["--source", TOWN, "--report", str(tmp_path), "--quiet", "--json", "--no-search"]
    where += ["--tasks", "pandit", "--models", "als", "--run.engine", "spark"]
    assert main(where) == 0
    assert {each.engine for each in asked} == {"spark"}
    monkeypatch.setitem(sys.modules, "recsys.spark_als", None)
    capsys.readouterr()
    assert main(where) == 2
    told = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert "--engine spark" in told["reason"]


def test_missing_data_ends_with_three(tmp_path: Path) -> None:
    assert main(["--source", str(tmp_path), "--report", str(tmp_path), "--quiet"]) == 3


def test_a_published_als_is_evaluated_with_all_of_its_own_parameters(tmp_path: Path) -> None:
    store = ModelStore(tmp_path / "models")
    ids = a_bundle(Recipe()).ids
    params = AlsParams(factors=3, iterations=2, engine="numpy", alpha=3.0)
    random = np.random.default_rng(1)
    user, item = (random.random((each, 3), np.float32) for each in (3, len(ids["items"])))
    als = Als.from_factors(Factors(user, item, "numpy", "plain"), params)
    store.publish(put(store, Bundle("", ids, {"samagri": als}), 1))
    status = main(
        ["--source", TOWN, "--report", str(tmp_path), "--quiet", "--tasks", "samagri",
         "--models", "popularity,als", "--store", str(store.root), "--version", "current",
         "--run.engine", "numpy"]
    )  # fmt: skip
    assert status == 0
    record = json.loads((tmp_path / "report.json").read_text(encoding="utf-8"))
    told = record["tasks"][0]["models"]["als"]["params"]
    assert (told["iterations"], told["alpha"], told["reg_mode"]) == (2, 3.0, "plain")
    spark = ["--version", "current", "--run.engine", "spark", "--store", str(store.root)]
    assert main(["--source", TOWN, "--report", str(tmp_path), "--quiet", *spark]) == 2
