"""How much of an item: units, the puja's rule, what bookings kept, and whole packs.

Exact where goods are counted and paid (:class:`decimal.Decimal`), statistics in floats.
"""

from __future__ import annotations

from dataclasses import dataclass
from decimal import ROUND_CEILING, Decimal
from typing import Final

import numpy as np
import numpy.typing as npt

# Each unit: what it measures, and how many of the canonical unit of that dimension it is.
_UNITS: Final[dict[str, tuple[str, Decimal]]] = {
    "g": ("mass", Decimal(1)),
    "kg": ("mass", Decimal(1000)),
    "ml": ("volume", Decimal(1)),
    "l": ("volume", Decimal(1000)),
    "m": ("length", Decimal(1)),
    "cm": ("length", Decimal("0.01")),
    "piece": ("piece", Decimal(1)),
    "dozen": ("piece", Decimal(12)),
    "packet": ("packet", Decimal(1)),
    "bunch": ("bunch", Decimal(1)),
    "garland": ("garland", Decimal(1)),
    "roll": ("roll", Decimal(1)),
    "bundle": ("bundle", Decimal(1)),
    "bottle": ("bottle", Decimal(1)),
    "set": ("set", Decimal(1)),
}
_DIVISIBLE: Final = frozenset({"mass", "volume", "length"})
# So many bookings' worth of trust has the item's general median beside that within the puja.
PRIOR_BOOKINGS: Final = 5
_TRIM: Final = 0.05

_Floats = npt.NDArray[np.float64]


class UnitMismatch(ValueError):
    """Two units measure different things, and the item's weights do not bridge them."""


@dataclass(frozen=True, slots=True)
class Weights:
    """What bridges dimensions for one item: grams of a piece (or bunch), grams of a millilitre."""

    g_per_piece: Decimal | None = None
    g_per_ml: Decimal | None = None


_NO_WEIGHTS: Final = Weights()


def is_counted(unit: str) -> bool:
    """Whether only whole numbers of the unit make sense. Raises ``UnitMismatch`` if unknown."""
    return _of(unit)[0] not in _DIVISIBLE


def convert(quantity: Decimal, unit: str, to: str, weights: Weights = _NO_WEIGHTS) -> Decimal:
    """Express ``quantity`` of ``unit`` in ``to``.

    Raises
    ------
    UnitMismatch
        If a unit is unknown, or the two measure different things and ``weights`` do not say how
        much a piece or a millilitre of the item weighs.
    """
    dimension, factor = _of(unit)
    wanted, wanted_factor = _of(to)
    if dimension == wanted:
        return quantity * factor / wanted_factor
    grams = quantity * factor * _grams(dimension, weights, unit, to)
    return grams / (wanted_factor * _grams(wanted, weights, unit, to))


def _of(unit: str) -> tuple[str, Decimal]:
    try:
        return _UNITS[unit]
    except KeyError:
        raise UnitMismatch(f"unknown unit {unit!r}") from None


def _grams(dimension: str, weights: Weights, unit: str, to: str) -> Decimal:
    known = {"mass": Decimal(1), "piece": weights.g_per_piece, "volume": weights.g_per_ml}
    grams = known.get(dimension)
    if grams is None:
        raise UnitMismatch(f"{unit} does not convert to {to} without a weight")
    return grams


@dataclass(frozen=True, slots=True)
class QuantityRule:
    """What a puja needs of an item: ``base + per_person * attendees + per_day * days``.

    Never below ``minimum``.
    """

    base: Decimal
    per_person: Decimal = Decimal(0)
    per_day: Decimal = Decimal(0)
    minimum: Decimal = Decimal(0)

    def needed(self, attendees: int = 0, days: int = 0) -> Decimal:
        """The quantity for so many people and days, in the unit of the rule."""
        wanted = self.base + self.per_person * attendees + self.per_day * days
        return max(wanted, self.minimum)


@dataclass(frozen=True, slots=True)
class Packing:
    """Whole packs: ``packs`` of them hold what is ``needed`` and ``leftover`` beyond it."""

    needed: Decimal
    packs: int
    total: Decimal
    leftover: Decimal


def packed(needed: Decimal, pack: Decimal, minimum: Decimal = Decimal(0)) -> Packing:
    """Round up to whole packs of ``pack``; never below ``minimum``. All in one unit.

    Raises
    ------
    ValueError
        If the pack is not above zero.
    """
    if pack <= 0:
        raise ValueError("a pack holds something")
    wanted = max(needed, minimum)
    packs = int((wanted / pack).to_integral_value(rounding=ROUND_CEILING))
    total = packs * pack
    return Packing(needed=wanted, packs=packs, total=total, leftover=total - wanted)


def net_kept(bought: Decimal, returned: Decimal) -> Decimal:
    """What a customer really used: what came back counts as never bought."""
    return max(bought - returned, Decimal(0))


def trimmed_median(kept: _Floats) -> float:
    """The median without the top and bottom 5 %; NaN for nothing."""
    if len(kept) == 0:
        return float("nan")
    ordered = np.sort(kept)
    cut = int(len(ordered) * _TRIM)
    return float(np.median(ordered[cut : len(ordered) - cut]))


def shrunk_median(in_puja: _Floats, anywhere: _Floats) -> float:
    """The usual kept quantity of an item in a puja, leaning on its median anywhere when few.

    ``(n * median in puja + 5 * median anywhere) / (n + 5)`` with n the puja's bookings; NaN when
    the item was never kept.
    """
    general = trimmed_median(anywhere)
    count = len(in_puja)
    if count == 0:
        return general
    return (count * trimmed_median(in_puja) + PRIOR_BOOKINGS * general) / (count + PRIOR_BOOKINGS)
