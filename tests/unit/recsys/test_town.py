"""What must hold on the made-up town if models and data are right."""

from functools import cache

import numpy as np
import pytest
from scipy.sparse import csr_array

from recsys import synth
from recsys.bootstrap import paired
from recsys.matrix import baskets
from recsys.metrics import list_figures
from recsys.models.association import Association, AssociationParams
from recsys.models.base import Interactions, top_k
from recsys.models.ease import Ease, EaseParams
from recsys.models.popularity import Popularity
from recsys.models.puja_popularity import PujaPopularity
from recsys.splits import leave_one_out
from recsys.town import TownConfig, simulate


@cache
def _cut(seed, cliques=True):
    """The baskets that no rule filled, cut by time."""
    town = simulate(TownConfig(seed=seed, users=1_500, pandits=100, items=160, cliques=cliques))
    data = synth.dataset(town)
    cells = baskets(data, now_ms=int(data.bookings.ts.max())).data
    cells = Interactions(matrix=cells.positive(), fields=cells.fields, context=cells.context)
    return town, cells


def _ndcg(model, train, test):
    """NDCG@10 of leave one out, one number a basket."""
    queries = leave_one_out(test)
    scores = model.fit(train).score_rows(queries.data)
    lists = np.full((len(scores), 10), -1, np.int32)
    for row, of_row in enumerate(scores):
        best = top_k(of_row, 10, queries.data.row(row).given).items
        lists[row, : len(best)] = best
    values = list_figures(lists, queries.relevant, 10).ndcg
    return np.bincount(queries.group, weights=values) / np.bincount(queries.group)


def _judged(cells, *names):
    n = cells.n_rows
    train = cells.select(np.arange(int(0.85 * n)))
    test = cells.select(np.arange(int(0.95 * n), n))
    models = {
        "popularity": Popularity(),
        "puja": PujaPopularity(),
        "items only": Ease(EaseParams(w_ctx=0)),
        "with context": Ease(EaseParams(w_ctx=2)),
    }
    return [_ndcg(models[name], train, test) for name in names]


@pytest.mark.parametrize("seed", [1, 2])
def test_planted_sets_are_found_beyond_what_is_usual_for_the_puja(seed):
    _, cells = _cut(seed)
    popular, puja, items, context = _judged(
        cells, "popularity", "puja", "items only", "with context"
    )
    assert paired(context, 1.15 * puja).low > 0
    assert context.mean() > 2 * puja.mean()
    assert paired(puja, 1.3 * popular).low > 0
    assert paired(context, items).low > 0


def test_without_planted_sets_baskets_alone_tell_no_more_than_the_puja():
    _, cells = _cut(1, cliques=False)
    puja, items, context = _judged(cells, "puja", "items only", "with context")
    assert paired(items, 1.02 * puja).low < 0
    assert paired(context, puja).low > 0


def test_no_model_beats_the_truth_that_made_the_town():
    town, cells = _cut(1, cliques=False)
    rows = baskets(synth.dataset(town), now_ms=int(town.bookings["ts"].max())).booking
    users, pujas, pandits = (town.bookings[name][rows] for name in ("user", "puja", "pandit"))
    truth = town.world.base_logit(users, pujas, pandits)
    truth[town.world.pandit_items[pandits]] = 1.4
    first = int(0.95 * cells.n_rows)
    test = cells.select(np.arange(first, cells.n_rows))
    queries = leave_one_out(test)
    row_of = np.flatnonzero(np.diff(test.matrix.indptr) >= 2)[queries.group] + first
    lists = np.array(
        [
            top_k(truth[row].astype(np.float32), 10, queries.data.row(at).given).items
            for at, row in enumerate(row_of)
        ]
    )
    oracle = np.bincount(
        queries.group, weights=list_figures(lists, queries.relevant, 10).ndcg
    ) / np.bincount(queries.group)
    for found in _judged(cells, "puja", "items only", "with context"):
        assert paired(oracle, found).low > 0


def test_nothing_beats_the_puja_once_only_its_shares_survive():
    """Permuting each item within each puja leaves no other structure: a gain would be a leak."""
    _, cells = _cut(1)
    random = np.random.default_rng(0)
    dense = cells.matrix.toarray()
    puja = cells.field("puja")
    for each in range(int(puja.max()) + 1):
        rows = np.flatnonzero(puja == each)
        for item in range(dense.shape[1]):
            dense[rows, item] = dense[random.permutation(rows), item]
    usual, items, context = _judged(
        cells.with_matrix(csr_array(dense)), "puja", "items only", "with context"
    )
    assert paired(items, 1.02 * usual).low < 0
    assert paired(context, 1.02 * usual).low < 0


def test_planted_cliques_are_the_strongest_rules_found():
    town, cells = _cut(1)
    planted = {
        frozenset((a, b)) for clique in town.world.cliques for a in clique for b in clique if a != b
    }
    assert len(planted) > 100
    rules = Association(AssociationParams(support=20)).fit(cells)
    ease = Ease(EaseParams(w_ctx=2)).fit(cells)
    confidence = np.array([rules.score([item]) for item in range(cells.n_items)])
    share = np.asarray(cells.positive().mean(axis=0)).ravel()
    for found in (confidence - share, ease.weights_[: cells.n_items]):
        both = np.minimum(found, found.T)
        upper = np.triu_indices(len(both), 1)
        best = np.argsort(-both[upper])[: len(planted)]
        hits = [frozenset((int(upper[0][at]), int(upper[1][at]))) in planted for at in best]
        assert np.mean(hits) > 0.85
