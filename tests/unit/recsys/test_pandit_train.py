"""What a training tells of pandits: who keeps his word, what stars are usual, who is seen."""

from functools import cache
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

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
    restored = Records.restored(found.saved(), len(data.pandits), len(data.pujas))
    assert (restored.done == found.done).all()
    for puja in range(len(data.pujas)):
        of_puja = held & (data.bookings.puja == puja)
        counted = np.bincount(data.bookings.pandit[of_puja], minlength=len(data.pandits))
        assert (restored.of_puja(puja) == counted).all()
    assert not restored.of_puja(-1).any()
    assert restored.experience_cap() == found.experience_cap() > 20
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
        Records.restored(Saved(arrays, params), 3, 2)


_BY_PUJA: dict[str, NDArray[Any]] = {
    "done": np.array([4, 0, 3], np.int32),
    "let_down": np.zeros(3, np.int32),
    "puja_pointers": np.array([0, 2, 3], np.int64),
    "puja_pandits": np.array([0, 2, 0], np.int32),
    "puja_done": np.array([1, 3, 3], np.int32),
}
_PRIOR = {"rating_mean": 4.0, "rating_weight": 10.0}


def test_what_each_held_of_each_puja_is_looked_up():
    found = Records.restored(Saved(_BY_PUJA, _PRIOR), 3, 2)
    assert found.of_puja(0).tolist() == [1, 0, 3]
    assert found.of_puja(1).tolist() == [3, 0, 0]


@pytest.mark.parametrize(
    "changes",
    [
        {"puja_pointers": np.array([0, 2], np.int64)},
        {"puja_pointers": np.array([1, 2, 3], np.int64)},
        {"puja_pointers": np.array([0, 2, 2], np.int64)},
        {"puja_pointers": np.array([0, 4, 3], np.int64)},
        {"puja_pandits": np.array([0, 3, 0], np.int32)},
        {"puja_pandits": np.array([0, -1, 0], np.int32)},
        {"puja_pandits": np.array([2, 0, 0], np.int32)},
        {"puja_pandits": np.array([0, 2], np.int32)},
        {"puja_done": np.array([1, 2, 3], np.int32)},
        {"puja_done": np.array([1.0, 3.0, 3.0], np.float32)},
        {"puja_done": np.array([4, 3, 0], np.int32)},
        {"done": np.array([4, 1, 3], np.int32)},
        {"puja_done": None},
    ],
)
def test_records_by_puja_that_do_not_fit_are_refused(changes):
    arrays = {name: each for name, each in (_BY_PUJA | changes).items() if each is not None}
    with pytest.raises(ValueError, match="the records"):
        Records.restored(Saved(arrays, _PRIOR), 3, 2)


def test_records_of_a_version_that_did_not_count_by_puja_are_taken_as_they_are():
    arrays = {"done": np.array([400, 0, 30], np.int32), "let_down": np.zeros(3, np.int32)}
    found = Records.restored(Saved(arrays, _PRIOR), 3, 2)
    assert not found.of_puja(0).any()
    # On the scale of what is known of them: bookings of any puja count 0.3 each.
    assert 20 < found.experience_cap() <= 120


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
