"""A published ALS is compared with by what it was fitted with, or not at all."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import msgspec
import pytest

from recsys import pipeline, synth
from recsys.artifact import Ids
from recsys.bundle import Bundle
from recsys.config import Als as AlsSettings
from recsys.config import Config, Run, Search
from recsys.data import Dataset
from recsys.engine import AlsParams, Factors
from recsys.matrix import users_by
from recsys.models.als import Als
from recsys.pipeline import Asked, Trained, Windows, against, fitted, refittable, solve_here
from recsys.town import TownConfig, simulate

CONFIG = Config(
    run=Run(engine="numpy"),
    search=Search(candidates=("als",), max_queries=60),
    als=AlsSettings(
        factors=(4,), regularization=(5.0,), alpha=(1.0,), iterations=4, search_iterations=2
    ),
)


@pytest.fixture(scope="module")
def data() -> Dataset:
    return synth.dataset(simulate(TownConfig(users=150, items=80, pandits=12, months=12, seed=3)))


@pytest.fixture(scope="module")
def made(data: Dataset) -> tuple[Windows, Trained, Asked]:
    cut = pipeline.windows(data, CONFIG)
    trained, test, _ = pipeline.train_baskets(data, cut, CONFIG, solve_here)
    return cut, trained, test


def compared(
    data: Dataset, made: tuple[Windows, Trained, Asked], model: Any, config: Config
) -> pipeline.Comparison:
    cut, trained, test = made
    kinds = ("items", "pujas", "pandits", "regions", "categories")
    current: Any = Bundle(
        "v", {kind: Ids(getattr(data, kind).ids) for kind in kinds}, {"samagri": model}
    )
    found = against(current, cut.end, trained, test, data, cut, config, solve_here)
    assert found is not None
    return found


def test_the_current_model_is_fitted_again_with_all_of_its_own_parameters(
    data: Dataset, made: tuple[Windows, Trained, Asked]
) -> None:
    hurried = msgspec.structs.replace(CONFIG, als=msgspec.structs.replace(CONFIG.als, iterations=1))
    found = compared(data, made, made[1].model, hurried)
    assert found.how == "fitted again"
    assert found.gain is not None
    assert list(found.gain) == [0.0, 0.0, 0.0], "the same model, fitted on the same"


def scaled(model: Als) -> Als:
    params = replace(model.params, engine="spark", reg_mode="scaled")
    return Als.from_factors(Factors(model.user_, model.item_, "spark", "scaled"), params)


def test_what_the_engine_cannot_fit_is_not_compared_with(
    data: Dataset, made: tuple[Windows, Trained, Asked]
) -> None:
    model = made[1].model
    assert isinstance(model, Als)
    config = msgspec.structs.replace(CONFIG, run=Run(engine="implicit"))
    found = compared(data, made, scaled(model), config)
    assert found.gain is None
    assert found.how.startswith("not at all")
    assert 0 < found.jaccard <= 1, "lists are compared all the same"
    by_numpy = compared(data, made, scaled(model), CONFIG)
    assert by_numpy.gain is not None
    assert list(by_numpy.gain) != [0.0, 0.0, 0.0], "another regularisation, another model"


@pytest.mark.parametrize(
    ("engine", "mode", "can"),
    [
        ("numpy", "plain", True),
        ("numpy", "scaled", True),
        ("implicit", "plain", True),
        ("implicit", "scaled", False),
        ("spark", "plain", False),
        ("spark", "scaled", True),
    ],
)
def test_an_engine_fits_again_what_has_its_regularisation(
    engine: Any, mode: str, can: bool
) -> None:
    config = msgspec.structs.replace(CONFIG, run=Run(engine=engine))
    params = {"factors": 4, "iterations": 3, "engine": "numpy", "reg_mode": mode}
    found = refittable("als", params, config)
    assert (found is not None) == can
    if found is not None:
        assert found == {"factors": 4, "iterations": 3, "reg_mode": mode}


def test_parameters_come_before_the_settings(data: Dataset) -> None:
    rows = users_by(data, "item", now_ms=data.newest_ms() + 1)
    given = {"factors": 3, "iterations": 2, "reg_mode": "scaled"}
    model = fitted("als", given, rows, CONFIG, solve_here)
    assert model.params == AlsParams(factors=3, iterations=2, engine="numpy", reg_mode="scaled")
    plain = fitted("als", {"factors": 3}, rows, CONFIG, solve_here)
    assert plain.params == AlsParams(factors=3, iterations=4, engine="numpy")
