"""From raw scores to probabilities.

A calibration is two arrays of knots; serving is one ``np.interp``. It is fitted on bookings that
neither the model nor the blend has seen: isotonic regression by pool adjacent violators (Ayer et
al. 1955; Zadrozny and Elkan 2002), or a sigmoid (Platt 1999, with his smoothed targets) while there
are too few positives for the free form.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final, Self

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

MIN_POSITIVES_FOR_ISOTONIC: Final = 1_000
_SIGMOID_KNOTS: Final = 129
_NEWTON_STEPS: Final = 50
_MIN_SLOPE: Final = 1e-6
_RIDGE: Final = 1e-9


@dataclass(frozen=True, slots=True, eq=False)
class Calibration:
    """A monotone map from a raw score to a probability.

    Attributes
    ----------
    x_knots, y_knots
        Float64, of equal length; x ascending, y ascending within 0..1. Outside the knots the
        nearest one holds.
    """

    x_knots: Floats
    y_knots: Floats

    def __post_init__(self) -> None:
        """Refuse knots that are no monotone map into 0..1."""
        x, y = self.x_knots, self.y_knots
        if x.ndim != 1 or x.shape != y.shape or len(x) == 0:
            raise ValueError("a calibration needs as many y knots as x knots, at least one")
        if not (np.isfinite(x).all() and np.isfinite(y).all()):
            raise ValueError("knots must be finite")
        if (np.diff(x) < 0).any() or (np.diff(y) < 0).any() or y[0] < 0 or y[-1] > 1:
            raise ValueError("knots must ascend, and y must stay within 0..1")

    def __call__(self, scores: NDArray[Any]) -> Floats:
        """The probability for each score; same shape."""
        return np.asarray(np.interp(scores, self.x_knots, self.y_knots))

    def arrays(self, prefix: str) -> dict[str, Floats]:
        """The knots by name, for an artifact."""
        return {f"{prefix}_x_knots": self.x_knots, f"{prefix}_y_knots": self.y_knots}

    @classmethod
    def restored(cls, arrays: Any, prefix: str) -> Self:
        """What ``arrays`` gave. Raises ``KeyError`` or ``ValueError`` on anything else."""
        return cls(
            np.asarray(arrays[f"{prefix}_x_knots"], dtype=np.float64),
            np.asarray(arrays[f"{prefix}_y_knots"], dtype=np.float64),
        )


def fit(scores: NDArray[Any], labels: NDArray[Any]) -> Calibration:
    """The calibration of ``scores`` (any real numbers) against ``labels`` (0 or 1).

    Isotonic from 1,000 positives on, a sigmoid below.

    Raises
    ------
    ValueError
        If there is nothing to learn from: no rows, or scores that are not finite.
    """
    x = np.asarray(scores, dtype=np.float64)
    y = np.asarray(labels, dtype=np.float64)
    if x.size == 0 or x.shape != y.shape:
        raise ValueError("scores and labels must be as many, at least one")
    if not np.isfinite(x).all():
        raise ValueError("scores must be finite")
    if y.sum() >= MIN_POSITIVES_FOR_ISOTONIC:
        return isotonic(x, y)
    return platt(x, y)


def isotonic(scores: Floats, labels: Floats) -> Calibration:
    """The closest ascending steps, joined by lines between their centres.

    Steps themselves would make equals of scores that were not (Oron and Flournoy 2017, centred
    isotonic regression). A step of only zeros or only ones would claim certainty, so probabilities
    stay half a row away from 0 and 1.
    """
    x, counts = np.unique(scores, return_counts=True)
    ordered = labels[np.argsort(scores, kind="stable")]
    sums = np.add.reduceat(ordered, np.cumsum(counts) - counts)
    means, ends = _pool(sums / counts, counts.astype(np.float64))
    begins = np.concatenate(([0], ends[:-1] + 1))
    centres = np.add.reduceat(x * counts, begins) / np.add.reduceat(counts, begins)
    # A sum of many may be a hair outside its own parts.
    centres = np.clip(centres, x[begins], x[ends])
    margin = 0.5 / (len(scores) + 1)
    return Calibration(centres, np.clip(means, margin, 1 - margin))


def _pool(means: Floats, weights: Floats) -> tuple[Floats, NDArray[np.intp]]:
    """Merge neighbours that descend until none does: mean and last index of each block."""
    block_mean: list[float] = []
    block_weight: list[float] = []
    block_end: list[int] = []
    for end, row in enumerate(zip(means.tolist(), weights.tolist(), strict=True)):
        mean, weight = row
        while block_mean and block_mean[-1] >= mean:
            other = block_weight.pop()
            mean = (block_mean.pop() * other + mean * weight) / (other + weight)
            weight += other
            block_end.pop()
        block_mean.append(mean)
        block_weight.append(weight)
        block_end.append(end)
    return np.array(block_mean), np.array(block_end, dtype=np.intp)


def platt(scores: Floats, labels: Floats) -> Calibration:
    """A sigmoid ``1 / (1 + exp(-(a * score + b)))`` with ``a >= 0``, laid down as knots.

    The targets are smoothed, ``(n+ + 1) / (n+ + 2)`` and ``1 / (n- + 2)``, so that few rows claim
    no certainty.
    """
    centre, spread = float(scores.mean()), float(scores.std())
    x = (scores - centre) / spread if spread > 0 else np.zeros_like(scores)
    positives = labels.sum()
    negatives = len(labels) - positives
    target = np.where(labels > 0, (positives + 1) / (positives + 2), 1 / (negatives + 2))
    slope, shift = _sigmoid_fit(x, target)
    if slope < _MIN_SLOPE:
        # Scores that mean nothing, or the contrary: the base rate for all.
        base = float(target.mean())
        return Calibration(np.array([centre]), np.array([base]))
    low, high = float(x.min()), float(x.max())
    knots = np.linspace(low, high, _SIGMOID_KNOTS)
    y = sigmoid(slope * knots + shift)
    return Calibration(knots * spread + centre, np.maximum.accumulate(y))


def _sigmoid_fit(x: Floats, target: Floats) -> tuple[float, float]:
    """The most likely slope and shift, by damped Newton steps."""
    base = float(np.clip(target.mean(), 1e-6, 1 - 1e-6))
    theta = np.array([0.0, np.log(base / (1 - base))])
    design = np.column_stack((x, np.ones_like(x)))
    loss = _log_loss(design @ theta, target)
    for _ in range(_NEWTON_STEPS):
        p = sigmoid(design @ theta)
        gradient = design.T @ (p - target)
        curvature = (design * (p * (1 - p))[:, None]).T @ design + _RIDGE * np.eye(2)
        step = np.linalg.solve(curvature, gradient)
        size = 1.0
        while size > 1e-6 and _log_loss(design @ (theta - size * step), target) > loss:
            size /= 2
        theta = theta - size * step
        before, loss = loss, _log_loss(design @ theta, target)
        if before - loss < 1e-9 * (1 + abs(loss)):
            break
    return float(theta[0]), float(theta[1])


def _log_loss(z: Floats, target: Floats) -> float:
    return float((np.logaddexp(0.0, z) - target * z).sum())


def sigmoid(z: NDArray[Any]) -> Floats:
    """``1 / (1 + exp(-z))`` without overflow."""
    return np.asarray(0.5 * (1.0 + np.tanh(0.5 * np.asarray(z, dtype=np.float64))))
