"""A published ALS is compared with by what it was fitted with, or not at all."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import msgspec
import numpy as np
import pytest

from recsys import pipeline, synth
from recsys.artifact import Ids
from recsys.bundle import Bundle
from recsys.config import Als as AlsSettings
from recsys.config import BadConfig, Config, Run, Search
from recsys.data import Dataset
from recsys.engine import AlsParams, Factors
from recsys.matrix import users_by
from recsys.models.als import Als
from recsys.models.base import Model
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


@pytest.fixture(scope="module")
def crowd() -> Dataset:
    """Enough pandits for it to matter which."""
    return synth.dataset(simulate(TownConfig(users=500, items=80, pandits=30, months=18, seed=3)))


def of_pandits(
    data: Dataset, config: Config, *, serving: Model[Any] | None = None, loss: float = 0.005
) -> Trained:
    """The slot of pandits, searched beside a model that serves."""
    gates = msgspec.structs.replace(config.gates, paired_loss=loss)
    config = msgspec.structs.replace(config, gates=gates)
    current = None
    if serving is not None:
        current = Bundle("v", {"pandits": Ids(data.pandits.ids)}, {"pandit": serving})
    cut = pipeline.windows(data, config)
    return pipeline.train_users(data, "pandit", cut, config, solve_here, current=current)


def of_strength(regularization: float) -> Config:
    als = msgspec.structs.replace(CONFIG.als, regularization=(regularization,))
    return msgspec.structs.replace(CONFIG, als=als)


def test_a_slot_of_customers_keeps_what_serves_unless_it_found_what_is_no_worse(
    crowd: Dataset,
) -> None:
    good = of_pandits(crowd, CONFIG)
    poor = of_pandits(crowd, of_strength(1e7))
    assert good.against_current is None
    assert good.compared == pipeline.NOT_SERVED
    assert good.outcome.versus(poor.outcome).low > 0

    again = of_pandits(crowd, CONFIG, serving=good.model)
    assert again.against_current == (0, 0, 0)
    assert "those that serve" in again.compared

    stays = of_pandits(crowd, of_strength(1e7), serving=good.model)
    assert stays.against_current == (0, 0, 0)
    assert "stay" in stays.compared
    assert stays.choice.params["regularization"] == 5.0
    assert stays.outcome.mean() == good.outcome.mean()
    assert isinstance(stays.model, Als)
    assert isinstance(good.model, Als)
    assert np.array_equal(stays.model.item_, good.model.item_)

    taken = of_pandits(crowd, of_strength(1e7), serving=good.model, loss=1.0)
    assert taken.compared == "fitted again"
    assert taken.against_current is not None
    assert taken.against_current.high < 0
    assert taken.choice.params["regularization"] == 1e7

    better = of_pandits(crowd, CONFIG, serving=poor.model)
    assert better.against_current is not None
    assert better.against_current.low > 0
    assert better.choice.params["regularization"] == 5.0


def test_what_serves_gives_way_where_it_alone_does_not_win_against_popularity(
    crowd: Dataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    good = of_pandits(crowd, CONFIG)
    verdicts = iter((True, False))
    monkeypatch.setattr(pipeline, "wins", lambda gain, config: next(verdicts))
    taken = of_pandits(crowd, of_strength(1e7), serving=good.model)
    assert next(verdicts, None) is None, "both were asked"
    assert taken.choice.params["regularization"] == 1e7
    assert taken.against_current is None
    assert "does not win against popularity" in taken.compared

    monkeypatch.setattr(pipeline, "wins", lambda gain, config: False)
    stays = of_pandits(crowd, of_strength(1e7), serving=good.model)
    assert stays.choice.params["regularization"] == 5.0


def test_a_slot_of_customers_is_not_compared_with_what_the_engine_cannot_fit(
    data: Dataset,
) -> None:
    model = of_pandits(data, CONFIG).model
    assert isinstance(model, Als)
    config = msgspec.structs.replace(CONFIG, run=Run(engine="implicit"))
    found = of_pandits(data, config, serving=scaled(model))
    assert found.against_current is None
    assert found.compared.startswith("not at all")


def test_settings_that_no_model_can_be_fitted_with_are_bad_settings(
    data: Dataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    def impossible(*_: Any, **__: Any) -> Model[Any]:
        raise ValueError("the gram matrix is not positive definite; lam is too small")

    monkeypatch.setattr(pipeline, "fitted", impossible)
    with pytest.raises(BadConfig, match="als: no parameters work: the gram matrix"):
        pipeline.train_baskets(data, pipeline.windows(data, CONFIG), CONFIG, solve_here)
