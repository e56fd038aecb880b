"""The bracketed search for an instant."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kundali.roots import TOLERANCE_DAYS, crossing, root, signed


@given(st.floats(0, 360, exclude_max=True), st.floats(0.1, 15), st.floats(0.01, 0.99))
def test_an_evenly_moving_angle_is_met_on_time(first, speed, part):
    target = (first + speed * part) % 360
    found = crossing(lambda t: (first + speed * t) % 360, target, 0.0, 1.0)
    assert found == pytest.approx(part, abs=TOLERANCE_DAYS)


@given(st.floats(-0.9, 0.9))
def test_a_flat_root_is_found_too(zero):
    found = root(lambda t: (t - zero) ** 3, -1.0, 1.0)
    assert found == pytest.approx(zero, abs=TOLERANCE_DAYS)


def test_ends_that_are_roots_are_given_back():
    assert root(lambda t: t, 0.0, 1.0) == 0.0
    assert root(lambda t: t - 1, 0.0, 1.0) == 1.0


def test_without_a_change_of_sign_there_is_no_answer():
    with pytest.raises(ValueError, match="sign"):
        root(lambda t: t + 2, 0.0, 1.0)


def test_signed_angles_lie_around_zero():
    assert [signed(angle) for angle in (0, 179, 180, 181, 359, -10)] == [
        0,
        179,
        -180,
        -179,
        -1,
        -10,
    ]
