"""What a training tells of pandits: who keeps his word, what stars are usual, who is seen."""

from functools import cache

import numpy as np
import pytest

from recsys import synth
from recsys.data import Kind, Status
from recsys.engine import AlsParams
from recsys.matrix import users_by
from recsys.models.als import Als
from recsys.models.base import Saved
from recsys.pandit_train import records, replay
from recsys.pandits import Records
from recsys.town import TownConfig, simulate


@cache
def _town():
    data = synth.dataset(simulate(TownConfig(seed=5, users=1_200, pandits=60, items=80)))
    begin = int(np.quantile(data.bookings.ts, 0.85))
    return data, begin


def test_records_count_what_was_known_then():
    data, begin = _town()
    found = records(data, begin)
    held = (data.bookings.status == Status.COMPLETED) & (data.bookings.held_ts < begin)
    assert found.done.sum() == held.sum()
    rated = (data.events.kind == Kind.RATING) & (data.events.ts < begin)
    assert found.rating_mean == pytest.approx(data.events.rating[rated].mean(), abs=0.01)
    assert found.let_down.sum() == 0  # the town tells of no refusals
    restored = Records.restored(found.saved(), len(data.pandits))
    assert (restored.done == found.done).all()
    assert restored.rating_weight == found.rating_weight


@pytest.mark.parametrize(
    ("arrays", "params"),
    [
        ({}, {}),
        ({"done": np.zeros(3, np.int32), "let_down": np.zeros(4, np.int32)}, {}),
        ({"done": np.zeros(3, np.int32), "let_down": np.full(3, -1, np.int32)}, {}),
        ({"done": np.zeros(3, np.int32), "let_down": np.zeros(3, np.int32)}, {}),
        (
            {"done": np.zeros(3, np.int32), "let_down": np.zeros(3, np.int32)},
            {"rating_mean": 9.0, "rating_weight": 10.0},
        ),
    ],
)
def test_records_that_do_not_fit_are_refused(arrays, params):
    with pytest.raises(ValueError, match=r"records|prior"):
        Records.restored(Saved(arrays, params), 3)


def test_new_pandits_get_their_share_of_the_first_places():
    data, begin = _town()
    users = users_by(data.before(begin), "pandit", now_ms=begin)
    params = AlsParams(factors=8, regularization=3, alpha=5, iterations=4, engine="numpy")
    model = Als(params).fit(users)
    tried = replay(data, begin, model, new_share=0.1)
    never = replay(data, begin, model, new_share=0.0)
    assert tried.lists == never.lists > 100
    assert tried.new_share.high >= 0.1
    assert never.new_share.mean < tried.new_share.mean
    assert tried.gini <= never.gini


def test_without_bookings_to_replay_nothing_is_said():
    data, _ = _town()
    found = replay(data, data.newest_ms() + 1, None, new_share=0.1)
    assert found.lists == 0
    assert np.isnan(found.new_share.mean)
