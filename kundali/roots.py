"""When a moving angle reaches a value: bracketed search on the circle."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from kundali.julian import SECOND

TOLERANCE_DAYS: Final = 0.1 * SECOND
_MOST_STEPS: Final = 80


def root(function: Callable[[float], float], low: float, high: float) -> float:
    """Zero of a continuous function between two instants where its signs differ.

    Regula falsi in its Illinois form: it keeps the bracket, and halves the weight of an end that
    stays, so that it closes in on both sides. The answer is within `TOLERANCE_DAYS`.

    Raises
    ------
    ValueError
        If the function has the same sign at both ends.
    """
    at_low, at_high = function(low), function(high)
    if at_low == 0:
        return low
    if at_high == 0:
        return high
    if (at_low < 0) == (at_high < 0):
        raise ValueError("the function does not change its sign between the two instants")
    last_side = 0
    for step in range(_MOST_STEPS):
        if high - low <= TOLERANCE_DAYS:
            break
        # Now and then a plain halving: it bounds the steps where the function is flat.
        middle = (low + high) / 2
        if step % 4 != 3 and at_high != at_low:
            middle = (low * at_high - high * at_low) / (at_high - at_low)
        value = function(middle)
        if value == 0:
            return middle
        if (value < 0) != (at_low < 0):
            high, at_high = middle, value
            at_low = at_low / 2 if last_side == 1 else at_low
            last_side = 1
        else:
            low, at_low = middle, value
            at_high = at_high / 2 if last_side == -1 else at_high
            last_side = -1
    return (low + high) / 2


def signed(angle: float) -> float:
    """Angle brought into -180 <= x < 180."""
    return (angle + 180.0) % 360.0 - 180.0


def crossing(longitude: Callable[[float], float], target: float, low: float, high: float) -> float:
    """Instant at which a longitude passes a target between two instants.

    At both ends the longitude must be within half a circle of the target, on different sides.

    Raises
    ------
    ValueError
        If it is on the same side at both ends.
    """
    return root(lambda moment: signed(longitude(moment) - target), low, high)
