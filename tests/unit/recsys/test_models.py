from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest

from recsys import registry
from recsys.bootstrap import interval
from recsys.comparison import examine
from recsys.engine import AlsParams, fit, fold_in
from recsys.matrix import implicit_values
from recsys.models.als import Als
from recsys.models.base import BadModelData, Field, Interactions, Model, checked, top_k
from recsys.models.ease import Ease, EaseParams
from recsys.models.popularity import Popularity
from recsys.models.puja_popularity import PujaPopularity, PujaPopularityParams
from recsys.splits import leave_one_out
from tests.unit.recsys.rows import matrix_of, random_rows

CASES: dict[str, dict[str, Any]] = {
    "popularity": {},
    "puja_popularity": {"m": 5.0},
    "item_knn": {"shrink": 2.0, "neighbours": 4},
    "rp3beta": {},
    "association": {"support": 1.0},
    "als": {"factors": 4, "regularization": 0.5, "iterations": 5},
    "ease": {"lam": 5.0, "w_ctx": 1.5},
}


def fitted(name: str, *, seed: int = 1) -> Model[Any]:
    return registry.create(name, CASES[name]).fit(random_rows(), seed=seed)


def test_every_model_is_tested() -> None:
    assert set(registry.MODELS) <= set(CASES) | {"rules"}


@pytest.mark.parametrize("name", CASES)
def test_a_saved_model_comes_back_bit_for_bit(name: str) -> None:
    model = fitted(name)
    arrays, params = model.save()
    again = registry.load(arrays, json.loads(json.dumps(params)))
    context = {"puja": 1, "region": 0}
    before = model.score([0, 3], weights=[1.0, 0.5], context=context)
    assert again.score([0, 3], weights=[1.0, 0.5], context=context).tobytes() == before.tobytes()
    assert again.save().params == params
    for key, array in again.save().arrays.items():
        assert array.tobytes() == arrays[key].tobytes()
        assert array.dtype.kind in "fi"


@pytest.mark.parametrize("name", CASES)
def test_two_trainings_with_one_seed_are_bit_equal(name: str) -> None:
    first, second = fitted(name).save().arrays, fitted(name).save().arrays
    assert {key: array.tobytes() for key, array in first.items()} == {
        key: array.tobytes() for key, array in second.items()
    }


@pytest.mark.parametrize("name", CASES)
def test_a_batch_scores_as_each_query_alone(name: str) -> None:
    model, data = fitted(name), random_rows(5)
    together = model.score_rows(data)
    for row in range(0, data.n_rows, 7):
        given, weights, context = data.row(row)
        alone = model.score(given, weights=weights, context=context)
        assert together[row].tobytes() == alone.tobytes()


@pytest.mark.parametrize("name", CASES)
def test_given_and_excluded_items_are_not_recommended(name: str) -> None:
    found = fitted(name).recommend([2, 5], 50, exclude=[7])
    assert not {2, 5, 7} & set(found.items.tolist())
    assert len(set(found.items.tolist())) == len(found.items) == 17
    assert (np.diff(found.scores) <= 0).all()


@pytest.mark.parametrize("name", CASES)
def test_nothing_given_and_an_unknown_context_still_get_an_answer(name: str) -> None:
    context = {"puja": 99, "region": -1, "moon": 2}
    assert len(fitted(name).recommend([], 5, context=context).items) == 5


@pytest.mark.parametrize("name", CASES)
def test_wrong_questions_are_refused(name: str) -> None:
    model = fitted(name)
    with pytest.raises(ValueError, match="outside"):
        model.score([20])
    with pytest.raises(ValueError, match="weights"):
        model.score([1], weights=[1.0, 2.0])


@pytest.mark.parametrize("name", CASES)
def test_arrays_that_do_not_fit_are_refused(name: str) -> None:
    arrays, params = fitted(name).save()
    some = next(iter(arrays))
    spoiled: dict[str, dict[str, Any]] = {
        "missing": {key: value for key, value in arrays.items() if key != some},
        "type": {**arrays, some: arrays[some].astype(np.float16)},
        "shape": {**arrays, some: arrays[some][..., None]},
    }
    for each in spoiled.values():
        with pytest.raises(BadModelData):
            registry.load(each, params)
    with pytest.raises(BadModelData):
        registry.load(arrays, {**params, "n_items": 21})
    with pytest.raises(BadModelData):
        registry.load(arrays, {**params, "model": "oracle"})
    with pytest.raises(BadModelData):
        registry.load(arrays, {**params, "params": {"surprise": 1}})


@pytest.mark.parametrize("name", CASES)
def test_an_array_with_a_nan_is_refused(name: str) -> None:
    arrays, params = fitted(name).save()
    key = next(key for key, array in arrays.items() if array.dtype.kind == "f" and array.size)
    broken = arrays[key].copy()
    broken.flat[0] = np.nan
    with pytest.raises(BadModelData, match="finite"):
        registry.load({**arrays, key: broken}, params)


@pytest.mark.parametrize("name", ["puja_popularity", "item_knn", "rp3beta", "ease", "als"])
def test_models_beat_popularity_where_there_is_something_to_learn(name: str) -> None:
    train, queries = random_rows(1, n_rows=600), leave_one_out(random_rows(2, n_rows=80))
    model = registry.create(name, CASES[name]).fit(train, seed=1)
    found = examine(model, queries, train)
    base = examine(Popularity().fit(train), queries, train)
    assert found.versus(base).low > 0


def test_equal_scores_go_by_the_smaller_index() -> None:
    scores = np.array([1, 3, 2, 3, 2, 2], np.float32)
    found = top_k(scores, 4)
    assert found.items.tolist() == [1, 3, 2, 4]
    assert top_k(scores, 4, [3]).items.tolist() == [1, 2, 4, 5]
    assert scores.tolist() == [1, 3, 2, 3, 2, 2]


def test_top_k_agrees_with_a_full_sort() -> None:
    random = np.random.default_rng(9)
    for _ in range(200):
        n = int(random.integers(1, 30))
        scores = random.integers(0, 6, n).astype(np.float32)
        hidden = np.flatnonzero(random.random(n) < 0.3)
        k = int(random.integers(0, 35))
        order = [i for i in sorted(range(n), key=lambda i: (-scores[i], i)) if i not in set(hidden)]
        assert top_k(scores, k, hidden).items.tolist() == order[:k]


def test_popularity_is_the_weighted_share_of_rows() -> None:
    data = Interactions(
        matrix_of([[1, 0], [1, 1], [0, -1]]), row_weights=np.array([1, 2, 1], np.float32)
    )
    assert Popularity().fit(data).score([]).tolist() == [0.75, 0.5]


def test_puja_popularity_shrinks_to_the_category_and_that_to_all() -> None:
    data = Interactions(
        matrix=matrix_of([[1, 0], [1, 0], [0, 1], [0, 1]]),
        fields=(Field("puja", 4), Field("puja_category", 2)),
        context=np.array([[0, 0], [1, 0], [2, 1], [-1, -1]], np.int32),
    )
    model = PujaPopularity(PujaPopularityParams(m=2.0)).fit(data)
    category = (2 + 2 * 0.5) / (2 + 2)
    puja = (1 + 2 * category) / (1 + 2)
    assert model.score([], context={"puja": 0})[0] == pytest.approx(puja)
    assert model.score([], context={"puja_category": 0})[0] == pytest.approx(category)
    assert model.score([], context={})[0] == pytest.approx(0.5)
    never_booked = model.score([], context={"puja": 3, "puja_category": 1})
    assert never_booked.tolist() == model.score([], context={"puja_category": 1}).tolist()


def test_item_knn_by_hand() -> None:
    data = Interactions(matrix_of([[1, 1, 0], [1, 1, 1], [1, 0, 0], [0, 0, 1]]))
    model = registry.create("item_knn", {"shrink": 1.0}).fit(data)
    found = model.score([0])
    assert found.tolist() == pytest.approx([0, 2 / (6**0.5 + 1), 1 / (6**0.5 + 1)])


def test_rp3beta_by_hand() -> None:
    data = Interactions(matrix_of([[1, 1, 0], [1, 0, 1]]))
    model = registry.create("rp3beta", {"beta": 1.0}).fit(data)
    # From item 0 to either row with 1/2, from there to the other item with 1/2, over popularity 1.
    assert model.score([0]).tolist() == pytest.approx([0, 0.25, 0.25])
    # From item 1 to its only row, to item 0 with 1/2, over popularity 2.
    assert model.score([1]).tolist() == pytest.approx([0.25, 0, 0])


def test_association_by_hand() -> None:
    data = Interactions(matrix_of([[1, 1, 0], [1, 1, 0], [1, 0, 1], [0, 1, 1]]))
    summed = registry.create("association", {"support": 2.0}).fit(data).score([0, 2])
    assert summed[1] == pytest.approx(2 / 3, abs=1e-4)
    all_rules = {"support": 1.0, "combine": "max"}
    best = registry.create("association", all_rules).fit(data).score([0, 2])
    assert best[1] == pytest.approx(2 / 3, abs=1e-4)
    unreached = registry.create("association", {"support": 2.0}).fit(data).score([2])
    assert unreached[0] == unreached[1] > unreached[2] > 0


def dense_ease(data: Interactions, lam: float, w_ctx: float) -> np.ndarray[Any, Any]:
    """The definition, with dense matrices and a loop over columns."""
    x = data.matrix.toarray().astype(np.float64)
    hot = [x]
    for column, field in enumerate(data.fields):
        block = np.zeros((data.n_rows, field.size))
        for row, value in enumerate(data.context[:, column]):
            if value >= 0:
                block[row, value] = w_ctx
        hot.append(block)
    x = np.hstack(hot)
    weights = np.ones(len(x)) if data.row_weights is None else data.row_weights
    inverse = np.linalg.inv(
        x.T @ np.diag(weights.astype(np.float64)) @ x + lam * np.eye(x.shape[1])
    )
    out = np.zeros((x.shape[1], data.n_items))
    for column in range(data.n_items):
        out[:, column] = -inverse[:, column] / inverse[column, column]
        out[column, column] = 0
    return out


@pytest.mark.parametrize("w_ctx", [0.0, 1.5])
def test_ease_is_its_definition(w_ctx: float) -> None:
    data = random_rows()
    model = Ease(EaseParams(lam=3.0, w_ctx=w_ctx)).fit(data)
    used = data if w_ctx else data.without_context()
    expected = dense_ease(used, 3.0, w_ctx)
    np.testing.assert_allclose(model.weights_, expected, atol=2e-6)
    row = data.row(4)
    scores = model.score(row.given, weights=row.weights, context=row.context)
    x = np.zeros(len(expected))
    x[row.given] = row.weights
    start = data.n_items
    for field in used.fields:
        if field.name in row.context:
            x[start + row.context[field.name]] = w_ctx
        start += field.size
    np.testing.assert_allclose(scores, x @ expected, atol=1e-5)


def test_ease_over_more_columns_than_a_block_is_the_same() -> None:
    data = random_rows(n_rows=900, n_items=600)
    model = Ease(EaseParams(lam=20.0)).fit(data)
    np.testing.assert_allclose(model.weights_, dense_ease(data, 20.0, 1.0), atol=1e-5)


def test_ease_contributions_sum_to_the_score() -> None:
    model, query = Ease(EaseParams(lam=3.0)).fit(random_rows()), random_rows(8).row(3)
    scores = model.score(query.given, weights=query.weights, context=query.context)
    of_items, of_context = model.contributions(query, 1)
    assert of_items.sum() + sum(of_context.values()) == pytest.approx(scores[1], abs=1e-5)


def test_ease_does_not_learn_rare_items() -> None:
    data = random_rows()
    rare = int(np.argmin(data.counts()))
    model = Ease(EaseParams(lam=3.0, w_ctx=0.0, min_rows=float(data.counts().min()) + 0.1))
    assert model.fit(data).score([rare]).tolist() == [0.0] * data.n_items
    assert model.score([(rare + 3) % 20])[rare] == 0


def test_ease_without_regularisation_is_refused() -> None:
    with pytest.raises(ValueError, match="lam"):
        EaseParams(lam=0.0)


def test_neighbour_contributions_sum_to_the_score() -> None:
    for name in ("item_knn", "rp3beta"):
        model, query = fitted(name), random_rows(8).row(3)
        scores = model.score(query.given, weights=query.weights)
        parts = model.contributions(query, 1)  # type: ignore[attr-defined]
        assert parts.sum() == pytest.approx(scores[1], abs=1e-6)


@pytest.mark.parametrize("alpha", [0.5, 4.0])
def test_fold_in_is_what_implicit_recalculates(alpha: float) -> None:
    from implicit.cpu.als import AlternatingLeastSquares
    from scipy.sparse import csr_matrix
    from threadpoolctl import threadpool_limits

    data = random_rows(binary=False)
    params = AlsParams(factors=6, regularization=0.7, alpha=alpha, iterations=4)
    values = csr_matrix(implicit_values(data.matrix, alpha))
    with threadpool_limits(1, "blas"):
        oracle = AlternatingLeastSquares(
            factors=6, regularization=0.7, alpha=1.0, iterations=4, num_threads=1, random_state=1
        )
        oracle.fit(values, show_progress=False)
    model = Als(params).fit(data, seed=1)
    np.testing.assert_array_equal(model.item_, oracle.item_factors)
    for row in range(data.n_rows):
        query = data.row(row)
        expected = oracle.recalculate_user(0, values[row])
        found = model.vector(query)
        if not (query.weights > 0).any():
            assert not found.any()
            continue
        scale = max(float(np.abs(expected).max()), 1e-6)
        assert float(np.abs(found - expected).max()) / scale < 1e-4


def test_fold_in_solves_the_equations_of_the_loss() -> None:
    data = random_rows(binary=False)
    params = AlsParams(factors=3, regularization=0.4, alpha=2.0, engine="numpy")
    item = np.random.default_rng(1).normal(size=(data.n_items, 3))
    for reg_mode, count in (("plain", 1), ("scaled", None)):
        how = AlsParams(**{**_as_dict(params), "reg_mode": reg_mode})
        query = data.row(2)
        dense = np.zeros(data.n_items)
        dense[query.given] = query.weights
        confidence = np.diag(1 + 2.0 * np.abs(dense))
        times = count or int((dense > 0).sum())
        left = item.T @ confidence @ item + 0.4 * times * np.eye(3)
        expected = np.linalg.solve(left, item.T @ confidence @ (dense > 0))
        found = fold_in(item, item.T @ item, query.given, query.weights, how)
        np.testing.assert_allclose(found, expected, rtol=1e-6)


def _as_dict(params: AlsParams) -> dict[str, Any]:
    from dataclasses import asdict

    return asdict(params)


def test_both_engines_come_to_the_same_loss() -> None:
    data = random_rows(n_rows=80)
    losses = {}
    for engine in ("implicit", "numpy"):
        params = AlsParams(
            factors=5,
            regularization=1.0,
            alpha=3.0,
            iterations=40,
            engine=engine,
        )
        found = fit(data.matrix, params, seed=2)
        dense = data.matrix.toarray()
        residual = (dense > 0) - found.user @ found.item.T
        norms = float((found.user**2).sum() + (found.item**2).sum())
        losses[engine] = float(((1 + 3.0 * dense) * residual**2).sum()) + norms
    assert losses["numpy"] == pytest.approx(losses["implicit"], rel=0.02)


def test_als_contributions_sum_to_the_score() -> None:
    model, query = fitted("als"), random_rows(8, binary=False).row(3)
    scores = model.score(query.given, weights=query.weights)
    parts = model.contributions(query, 1)  # type: ignore[attr-defined]
    assert parts.sum() == pytest.approx(scores[1], abs=1e-4)


def test_a_known_user_is_scored_from_the_stored_vector() -> None:
    data = random_rows()
    model = Als(AlsParams(factors=6, iterations=60, regularization=0.5)).fit(data, seed=1)
    query = data.row(0)
    folded = model.score(query.given, weights=query.weights)
    np.testing.assert_allclose(model.score_user(0), folded, atol=0.05)


def test_factors_of_another_engine_make_a_model() -> None:
    params = AlsParams(factors=4, engine="numpy", reg_mode="scaled", iterations=3)
    made = fit(random_rows().matrix, params, seed=1)
    model = Als.from_factors(made, params)
    assert len(model.recommend([1], 5).items) == 5
    with pytest.raises(ValueError, match="numpy"):
        Als.from_factors(made, AlsParams(factors=4))
    with pytest.raises(ValueError, match="length"):
        Als.from_factors(made, AlsParams(factors=5, engine="numpy", reg_mode="scaled"))


def test_a_mapped_array_is_kept_and_not_copied(tmp_path: Any) -> None:
    arrays, params = fitted("als").save()
    for name, array in arrays.items():
        np.save(tmp_path / f"{name}.npy", array)
    mapped = {
        name: np.load(tmp_path / f"{name}.npy", mmap_mode="r", allow_pickle=False)
        for name in arrays
    }
    model = Als.load(mapped, params)
    assert np.shares_memory(model.user_, mapped["user"])
    assert model.score([1]).tobytes() == fitted("als").score([1]).tobytes()


def test_unknown_models_and_parameters_are_named() -> None:
    with pytest.raises(ValueError, match="no model magic"):
        registry.create("magic")
    with pytest.raises(ValueError, match="wand"):
        registry.create("ease", {"wand": 1})


def test_interactions_that_do_not_fit_together_are_refused() -> None:
    matrix = matrix_of([[1, 0], [0, 1]])
    with pytest.raises(ValueError, match="context"):
        Interactions(matrix, fields=(Field("puja", 2),))
    with pytest.raises(ValueError, match="outside"):
        Interactions(matrix, (Field("puja", 2),), np.array([[0], [2]], np.int32))
    with pytest.raises(ValueError, match="given"):
        Interactions(matrix, given=matrix_of([[1, 0]]))
    with pytest.raises(ValueError, match="weights"):
        Interactions(matrix, row_weights=np.ones(3, np.float32))


def test_a_row_of_weight_two_teaches_what_two_rows_do() -> None:
    once = Interactions(matrix_of([[1, 1, 0], [0, 1, 1]]), row_weights=np.array([2, 1], np.float32))
    twice = Interactions(matrix_of([[1, 1, 0], [1, 1, 0], [0, 1, 1]]))
    for name in ("popularity", "item_knn", "rp3beta", "association", "ease"):
        first = registry.create(name).fit(once).score([1])
        second = registry.create(name).fit(twice).score([1])
        np.testing.assert_allclose(first, second, rtol=1e-5, atol=1e-8)


def test_checked_names_what_is_wrong() -> None:
    with pytest.raises(BadModelData, match="missing"):
        checked({}, "weights", np.float32, (None,))


def test_intervals_of_an_outcome_are_over_its_groups() -> None:
    train = random_rows()
    queries = leave_one_out(random_rows(2))
    found = examine(Popularity().fit(train), queries, train)
    assert found.interval() == interval(found.at_k.ndcg, queries.group)
    assert 0 < found.coverage <= 1
