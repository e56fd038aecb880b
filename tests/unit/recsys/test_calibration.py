import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from recsys import calibration
from recsys.calibration import Calibration, isotonic, platt
from recsys.metrics import reliability

_ROWS = st.lists(st.tuples(st.floats(-5, 5), st.booleans()), min_size=1, max_size=60)


def _columns(rows):
    return np.array([row[0] for row in rows]), np.array([float(row[1]) for row in rows])


@given(_ROWS, st.sampled_from([isotonic, platt]))
def test_calibration_ascends_and_stays_a_probability(rows, fit):
    scores, labels = _columns(rows)
    calibrated = fit(scores, labels)
    grid = calibrated(np.linspace(-6, 6, 101))
    assert (np.diff(grid) >= 0).all()
    assert grid.min() > 0
    assert grid.max() < 1


def test_isotonic_of_a_hand_made_example():
    scores = np.array([1.0, 2, 3, 4, 5, 6])
    labels = np.array([0.0, 1, 0, 1, 1, 1])
    calibrated = isotonic(scores, labels)
    margin = 0.5 / 7
    assert calibrated.x_knots == pytest.approx([1.0, 2.5, 5.0])
    assert calibrated.y_knots == pytest.approx([margin, 0.5, 1 - margin])


def test_isotonic_tells_scores_of_one_step_apart():
    scores = np.array([1.0, 2, 3, 4, 5, 6])
    labels = np.array([0.0, 0, 1, 0, 1, 1])
    assert (np.diff(isotonic(scores, labels)(np.linspace(1.5, 5.5, 20))) > 0).all()


def test_isotonic_is_no_worse_than_any_ascending_map():
    random = np.random.default_rng(4)
    scores = random.normal(size=4_000)
    labels = (random.random(4_000) < calibration.sigmoid(2 * scores - 1)).astype(float)
    error = np.square(isotonic(scores, labels)(scores) - labels).mean()
    truth = np.square(calibration.sigmoid(2 * scores - 1) - labels).mean()
    assert error <= truth + 1e-4


@pytest.mark.parametrize("rows", [500, 20_000])
def test_fresh_rows_are_promised_what_they_keep(rows):
    random = np.random.default_rng(5)

    def draw(count):
        scores = random.normal(size=count)
        return scores, random.random(count) < calibration.sigmoid(1.5 * scores - 2)

    calibrated = calibration.fit(*draw(rows))
    scores, labels = draw(20_000)
    assert reliability(calibrated(scores), labels).error() < 0.04
    raw = calibration.sigmoid(scores)
    assert reliability(raw, labels).error() > 0.2


def test_contrary_scores_become_the_base_rate():
    scores = np.arange(40.0)
    labels = (scores < 10).astype(float)
    calibrated = platt(scores, labels)
    assert np.ptp(calibrated(scores)) == 0
    assert calibrated(scores)[0] == pytest.approx(0.25, abs=0.05)


@pytest.mark.parametrize(
    ("x", "y"),
    [
        ([0.0, 1.0], [0.4, 0.3]),
        ([1.0, 0.0], [0.1, 0.2]),
        ([0.0], [0.1, 0.2]),
        ([0.0, np.nan], [0.1, 0.2]),
        ([0.0, 1.0], [0.1, 1.2]),
        ([], []),
    ],
)
def test_knots_that_are_no_calibration_are_refused(x, y):
    with pytest.raises(ValueError, match="knots"):
        Calibration(np.array(x), np.array(y))


def test_nothing_to_learn_from_is_refused():
    with pytest.raises(ValueError, match="at least one"):
        calibration.fit(np.array([]), np.array([]))
    with pytest.raises(ValueError, match="finite"):
        calibration.fit(np.array([np.inf]), np.array([1]))


def test_arrays_give_the_same_calibration_back():
    fitted = isotonic(np.array([0.0, 1, 2, 3]), np.array([0.0, 1, 0, 1]))
    restored = Calibration.restored(fitted.arrays("assoc"), "assoc")
    scores = np.linspace(-1, 4, 50)
    assert (restored(scores) == fitted(scores)).all()
