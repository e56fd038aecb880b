"""What speaks for each item in one booking, and how much: signals, weights, confidence.

Every signal is a probability or a share in 0..1, or unknown (null) for the whole booking or for one
item. The confidence is ``sigmoid(bias + sum of weight * logit(signal))``; a signal that is null
adds its null weight in place of that. Numpy alone is needed here: this half serves.

A booking is asked about at two stages, with calibrations and weights of their own: *fresh*, when
only the puja and its demands are known, and *begun*, when the customer has put something on the
list himself. What he still wants then is less, and his own items tell more of it than the puja.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, Self

import numpy as np
from numpy.typing import NDArray

from recsys.calibration import Calibration
from recsys.models.als import Als
from recsys.models.base import FloatArray, Model, Saved
from recsys.models.puja_popularity import PujaPopularity
from recsys.shelf import Index

SIGNALS: Final = ("puja", "assoc", "user", "region", "season", "pandit", "budget", "rule")
# Before there are enough labelled bookings to fit them; the bias is PRIOR_BIAS.
FRESH: Final = "fresh"
BEGUN: Final = "begun"
STAGES: Final = (FRESH, BEGUN)
PRIOR_WEIGHTS: Final = {
    "puja": 1.0,
    "assoc": 0.7,
    "user": 0.4,
    "region": 0.2,
    "season": 0.3,
    "pandit": 0.5,
    "budget": 0.2,
    "rule": 0.5,
}
PRIOR_BIAS: Final = -1.0
RULE_CONFIDENCE: Final = 0.8
REGRET: Final = 0.3
FAVOUR: Final = 0.2
"""What is added to the confidence of an item that the customer has called a favourite."""
PANDIT_PRIOR: Final = 10.0
HISTORY_PRIOR: Final = 5.0
_CLIP: Final = 0.01
_FLOOR: Final = float(np.log(_CLIP / (1 - _CLIP)))


def logit(share: NDArray[Any]) -> FloatArray:
    """``log(p / (1 - p))`` of shares clipped to [0.01, 0.99], float32."""
    clipped = np.clip(share, _CLIP, 1 - _CLIP).astype(np.float32, copy=False)
    return np.asarray(np.log(clipped / (1 - clipped)))


def calibrated_logit(calibration: Calibration, scores: NDArray[Any]) -> FloatArray:
    """The logit of the calibrated scores.

    Most items of a large catalogue lie where the calibration is at its floor; those are not looked
    up one by one.
    """
    above = np.searchsorted(calibration.y_knots, _CLIP, side="right")
    if above == 0:
        return logit(calibration(scores))
    result = np.full(len(scores), _FLOOR, np.float32)
    high = np.flatnonzero(scores > calibration.x_knots[above - 1])
    result[high] = logit(calibration(scores[high]))
    return result


@dataclass(frozen=True, slots=True, eq=False)
class BlendWeights:
    """The fitted (or prior) weights of the blend, by signal; ``null`` for a signal that is null."""

    bias: float = PRIOR_BIAS
    signal: Mapping[str, float] = field(default_factory=lambda: dict(PRIOR_WEIGHTS))
    null: Mapping[str, float] = field(default_factory=dict)
    labelled_bookings: int = 0

    @classmethod
    def restored(cls, params: Mapping[str, Any]) -> Self:
        """What was saved.

        Raises ``KeyError`` if a signal is missing, ``ValueError`` if a weight is not finite.
        """
        found = cls(
            bias=float(params["bias"]),
            signal={name: float(params["signal"][name]) for name in SIGNALS},
            null={str(name): float(value) for name, value in params["null"].items()},
            labelled_bookings=int(params["labelled_bookings"]),
        )
        if not np.isfinite([found.bias, *found.signal.values(), *found.null.values()]).all():
            raise ValueError("a weight is not finite")
        return found


@dataclass(frozen=True, slots=True, eq=False)
class Tables:
    """What training counted, as arrays over the model's items.

    Attributes
    ----------
    puja_counts, puja_totals
        Pujas by items: bookings that kept the item; and bookings of each puja.
    region_signal, region_totals
        Regions by pujas by items: ``clip(0.5 + 0.25 * log2(shrunk lift), 0, 1)``; bookings.
    pandit_pairs
        Sorted ``pandit * pujas + puja`` of the pairs with bookings; the row numbers of the next.
    pandit_totals, pandit_pointers, pandit_items, pandit_counts
        Bookings of each pair; and as a sparse matrix, how many of them kept which item.
    together_pointers, together_items, together_counts, item_totals
        How many bookings kept both of two items (at least 10), sparse; and each item.
    quantity
        Pujas by items: the usual kept quantity in canonical units, 0 where unknown.
    quantity_anywhere
        The same whatever the puja.
    planned_share
        Of each item: the share of a booking's samagri money that a line of its kind usually takes.
    """

    puja_counts: NDArray[np.int32]
    puja_totals: NDArray[np.int32]
    region_signal: NDArray[np.float32]
    region_totals: NDArray[np.int32]
    pandit_pairs: NDArray[np.int64]
    pandit_totals: NDArray[np.int32]
    pandit_pointers: NDArray[np.int64]
    pandit_items: NDArray[np.int32]
    pandit_counts: NDArray[np.int32]
    together_pointers: NDArray[np.int64]
    together_items: NDArray[np.int32]
    together_counts: NDArray[np.int32]
    item_totals: NDArray[np.int32]
    quantity: NDArray[np.float32]
    quantity_anywhere: NDArray[np.float32]
    planned_share: NDArray[np.float32]

    def check(self, ids: Mapping[str, Index]) -> None:
        """Refuse tables that are not of these ids, or that point outside themselves.

        Whatever passes can be looked up for every item, puja, region and pandit of the ids.

        Raises
        ------
        ValueError
            With the name of the first table that is wrong.
        """
        sizes = {kind: len(ids[kind]) for kind in ("items", "pujas", "regions", "pandits")}
        sizes["pairs"], sizes["pair cells"] = self.pandit_pairs.size, self.pandit_items.size
        sizes["item cells"] = self.together_items.size
        for name, (kind, axes) in _LAYOUT.items():
            table = getattr(self, name)
            shape = tuple(sizes[axis] for axis in axes)
            if name.endswith("_pointers"):
                shape = (shape[0] + 1,)
            if table.shape != shape or table.dtype.kind != kind:
                raise ValueError(f"{name} is {table.dtype} {table.shape}, not of {axes}")
        _check_rows("pandit", self.pandit_pointers, self.pandit_items, sizes["items"])
        _check_rows("together", self.together_pointers, self.together_items, sizes["items"])
        pairs = self.pandit_pairs
        if (np.diff(pairs) <= 0).any():
            raise ValueError("pandit_pairs do not ascend")
        if len(pairs) and not 0 <= pairs[0] <= pairs[-1] < sizes["pandits"] * sizes["pujas"]:
            raise ValueError("pandit_pairs name a pandit or a puja that is not there")
        for name, (kind, _) in _LAYOUT.items():
            table = getattr(self, name)
            if kind == "i" and table.size and table.min() < 0:
                raise ValueError(f"{name} has a number below 0")
        # A share is told of a count and its total: none may be of nothing, or above 1.
        of_pair = np.repeat(self.pandit_totals, np.diff(self.pandit_pointers))
        of_item = np.repeat(self.item_totals, np.diff(self.together_pointers))
        if (self.pandit_counts > of_pair).any() or (self.together_counts > of_item).any():
            raise ValueError("more bookings kept an item than there were")

    def pandit_row(
        self, pandit: int, puja: int
    ) -> tuple[int, NDArray[np.int32], NDArray[np.int32]] | None:
        """Bookings of this puja by this pandit, and which items how many of them kept."""
        if pandit < 0 or puja < 0:
            return None
        key = pandit * len(self.puja_totals) + puja
        row = int(np.searchsorted(self.pandit_pairs, key))
        if row == len(self.pandit_pairs) or self.pandit_pairs[row] != key:
            return None
        cells = slice(int(self.pandit_pointers[row]), int(self.pandit_pointers[row + 1]))
        return int(self.pandit_totals[row]), self.pandit_items[cells], self.pandit_counts[cells]

    def together(self, first: int, second: int) -> int:
        """How many bookings kept both items; 0 for fewer than ten."""
        start, end = int(self.together_pointers[first]), int(self.together_pointers[first + 1])
        found = start + int(np.searchsorted(self.together_items[start:end], second))
        is_there = found < end and self.together_items[found] == second
        return int(self.together_counts[found]) if is_there else 0

    def beside(self, item: int, others: NDArray[np.int32]) -> NDArray[np.int32]:
        """How many bookings kept the item and each of these others; 0 for fewer than ten."""
        cells = slice(int(self.together_pointers[item]), int(self.together_pointers[item + 1]))
        known, counts = self.together_items[cells], self.together_counts[cells]
        if not len(known):
            return np.zeros(len(others), np.int32)
        at = np.minimum(np.searchsorted(known, others), len(known) - 1)
        return np.where(known[at] == others, counts[at], 0)


# The kind of the numbers of each table, and what its axes belong to.
_LAYOUT: Final[Mapping[str, tuple[str, tuple[str, ...]]]] = {
    "puja_counts": ("i", ("pujas", "items")),
    "puja_totals": ("i", ("pujas",)),
    "region_signal": ("f", ("regions", "pujas", "items")),
    "region_totals": ("i", ("regions", "pujas")),
    "pandit_pairs": ("i", ("pairs",)),
    "pandit_totals": ("i", ("pairs",)),
    "pandit_pointers": ("i", ("pairs",)),
    "pandit_items": ("i", ("pair cells",)),
    "pandit_counts": ("i", ("pair cells",)),
    "together_pointers": ("i", ("items",)),
    "together_items": ("i", ("item cells",)),
    "together_counts": ("i", ("item cells",)),
    "item_totals": ("i", ("items",)),
    "quantity": ("f", ("pujas", "items")),
    "quantity_anywhere": ("f", ("items",)),
    "planned_share": ("f", ("items",)),
}
_ID_KINDS: Final = ("items", "pujas", "pandits", "regions", "categories")


def _check_rows(
    name: str, pointers: NDArray[np.int64], items: NDArray[np.int32], n_items: int
) -> None:
    """Refuse a sparse matrix whose rows do not lie one after the other within its cells."""
    if pointers[0] != 0 or pointers[-1] != len(items) or (np.diff(pointers) < 0).any():
        raise ValueError(f"{name}_pointers do not part {len(items)} cells")
    if len(items) and not 0 <= items.min() <= items.max() < n_items:
        raise ValueError(f"{name}_items name an item that is not there")
    descends = np.diff(items) < 0
    begins = pointers[1:-1]
    # From one row to the next they may fall.
    descends[begins[(begins > 0) & (begins < len(items))] - 1] = False
    if descends.any():
        raise ValueError(f"{name}_items do not ascend within their rows")


@dataclass(frozen=True, slots=True, eq=False)
class Situation:
    """One booking as the model sees it: indexes of the model; what it does not know is left out.

    ``preferred`` are items that the pandit asks for by name. ``taste`` is the customer's vector
    and ``history`` from how many events it comes.
    """

    context: Mapping[str, int]
    given: NDArray[np.int32]
    preferred: Sequence[int] = ()
    taste: FloatArray | None = None
    history: int = 0
    stage: str = FRESH


@dataclass(frozen=True, slots=True, eq=False)
class Knowledge:
    """All that training left for the blend.

    ``weights`` and the calibrations are by stage; a calibration may be missing.
    """

    ids: Mapping[str, Index]
    usual: PujaPopularity
    tables: Tables
    weights: Mapping[str, BlendWeights]
    samagri: Model[Any] | None = None
    assoc_calibrations: Mapping[str, Calibration] = field(default_factory=dict)
    user_item: Als | None = None
    user_calibrations: Mapping[str, Calibration] = field(default_factory=dict)

    def logits(self, situation: Situation) -> dict[str, FloatArray]:
        """The logits of the signals that the model gives, over its items; null ones are absent."""
        context = situation.context
        usual = self.usual.score((), context=context)
        found = {"puja": logit(usual)}
        calibration = self.assoc_calibrations.get(situation.stage)
        if self.samagri is not None and calibration is not None:
            scores = self.samagri.score(situation.given, context=context)
            found["assoc"] = calibrated_logit(calibration, scores)
        calibration = self.user_calibrations.get(situation.stage)
        if self.user_item is not None and calibration is not None:
            found |= self._of_user(self.user_item, calibration, situation)
        puja, region = context.get("puja", -1), context.get("region", -1)
        if puja >= 0 and region >= 0:
            found["region"] = logit(self.tables.region_signal[region, puja])
        pandit = self._of_pandit(situation, usual)
        if pandit is not None:
            found["pandit"] = pandit
        return found

    @staticmethod
    def _of_user(
        model: Als, calibration: Calibration, situation: Situation
    ) -> dict[str, FloatArray]:
        if situation.taste is None or situation.history <= 0:
            return {}
        return {"user": calibrated_logit(calibration, model.item_ @ situation.taste)}

    def _of_pandit(self, situation: Situation, usual: FloatArray) -> FloatArray | None:
        context = situation.context
        row = self.tables.pandit_row(context.get("pandit", -1), context.get("puja", -1))
        if row is None and not situation.preferred:
            return None
        total, items, counts = row if row is not None else (0, np.empty(0, np.int32), None)
        share = usual * np.float32(PANDIT_PRIOR / (total + PANDIT_PRIOR))
        if counts is not None:
            share[items] += counts / np.float32(total + PANDIT_PRIOR)
        share[np.asarray(situation.preferred, np.int64)] = 1.0
        return logit(share)

    def scale(self, signal: str, situation: Situation) -> float:
        """How far a signal is trusted, 0 to 1: a short history speaks more softly."""
        if signal == "user":
            return situation.history / (situation.history + HISTORY_PRIOR)
        return 1.0

    def saved(self) -> Saved:
        """What is not a model of its own: tables, weights and calibrations."""
        arrays: dict[str, NDArray[Any]] = {
            name: getattr(self.tables, name) for name in Tables.__dataclass_fields__
        }
        for prefix, calibration in self._calibrations().items():
            arrays |= calibration.arrays(prefix)
        return Saved(
            arrays,
            {
                "weights": {
                    stage: {
                        "bias": each.bias,
                        "signal": dict(each.signal),
                        "null": dict(each.null),
                        "labelled_bookings": each.labelled_bookings,
                    }
                    for stage, each in self.weights.items()
                },
                "calibrations": sorted(self._calibrations()),
            },
        )

    def _calibrations(self) -> dict[str, Calibration]:
        of = {"assoc": self.assoc_calibrations, "user": self.user_calibrations}
        return {f"{name}_{stage}": each for name in of for stage, each in of[name].items()}

    @classmethod
    def restored(
        cls, saved: Saved, models: Mapping[str, Model[Any]], ids: Mapping[str, Index]
    ) -> Self:
        """What ``saved`` gave, with the models of the same artifact (by slot).

        Raises
        ------
        ValueError
            If something is missing or does not fit the ids.
        """
        try:
            tables = Tables(**{name: saved.arrays[name] for name in Tables.__dataclass_fields__})
            weights = {
                stage: BlendWeights.restored(saved.params["weights"][stage]) for stage in STAGES
            }
            fitted = {
                name: Calibration.restored(saved.arrays, name)
                for name in saved.params["calibrations"]
            }
            usual, user_item = models["usual"], models.get("user_item")
        except (AttributeError, KeyError, TypeError) as error:
            raise ValueError(f"the blend lacks {error}") from error
        if not isinstance(usual, PujaPopularity) or not isinstance(user_item, Als | None):
            raise ValueError("the models of the blend are not of the kinds that it was made with")
        if missing := [kind for kind in _ID_KINDS if kind not in ids]:
            raise ValueError(f"there are no ids of {', '.join(missing)}")
        tables.check(ids)
        return cls(
            ids=ids,
            usual=usual,
            tables=tables,
            weights=weights,
            samagri=models.get("samagri"),
            assoc_calibrations=_of_stages(fitted, "assoc"),
            user_item=user_item,
            user_calibrations=_of_stages(fitted, "user"),
        )


def _of_stages(fitted: Mapping[str, Calibration], name: str) -> dict[str, Calibration]:
    pairs = {stage: fitted.get(f"{name}_{stage}") for stage in STAGES}
    return {stage: each for stage, each in pairs.items() if each is not None}
