"""The blend's place in a training: calibrated and weighed on held-back bookings, then tested.

The models that are asked for calibration were fitted before the blend's window. Two fifths of its
bookings, by hash, calibrate, the others fit the weights; what comes out is put before the
models of the test for the figures, and before those fitted on everything for serving. A map from
score to probability may be moved like this because kind, parameters and scale of the scores are the
same; the error on the test window says how well it went.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace
from typing import Any, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from recsys import blend_fit, metrics
from recsys.bootstrap import Interval, interval, paired
from recsys.calibration import sigmoid
from recsys.config import Config
from recsys.data import Dataset
from recsys.gates import wins
from recsys.matrix import baskets, users_by
from recsys.metrics import Reliability
from recsys.models.base import Model
from recsys.models.puja_popularity import PujaPopularity
from recsys.pipeline import Solver, Trained, Windows, fitted
from recsys.promises import Promises, broken_promises
from recsys.signals import SIGNALS, Knowledge
from recsys.splits import unit

THRESHOLD: Final = 0.6
_MOST_TESTED: Final = 2000
_SHARES: Final = (0.0, 0.5)
_CALIBRATES: Final = 0.4
_TASTE: Final = "user_item"
_SLOTS: Final = ("samagri", _TASTE)
_ID_KINDS: Final = ("items", "pujas", "pandits", "regions", "categories")


@dataclass(frozen=True, slots=True)
class Trust:
    """How far confidences can be believed, on the test window.

    Attributes
    ----------
    ece
        Expected calibration error over everything that could have been suggested.
    shown, keep_rate
        Suggestions at or above the threshold, and the share of them that was kept, with its
        interval over bookings.
    promises
        Which of the lists' promises were broken for these bookings.
    """

    bookings: int
    ece: float
    shown: int
    keep_rate: Interval
    reliability: Reliability
    promises: Promises

    def as_dict(self) -> dict[str, Any]:
        """For manifest and card."""
        return {
            "bookings": self.bookings,
            "ece": self.ece,
            "shown": self.shown,
            "keep_rate": list(self.keep_rate),
            "promises": self.promises.as_dict(),
            "reliability": [each.tolist() for each in self.reliability],
        }


@dataclass(frozen=True, slots=True, eq=False)
class Blended:
    """The blend that serves, and how well the same did before the models of the test.

    ``gain_of_taste``: by how much the slot ``user_item`` lowers the log loss of the test bookings;
    the blend has that slot where it wins, see `recsys.gates.wins`.
    """

    knowledge: Knowledge
    trust: Trust
    gain_of_taste: Interval | None


def train_blend(
    data: Dataset,
    cut: Windows,
    trained: Mapping[str, Trained],
    final: Mapping[str, Model[Any]],
    config: Config,
    solver: Solver,
) -> Blended:
    """Fit the blend and test it.

    What customers like is one signal of many, and makes no list of its own: what counts is whether
    the lists are better with it. So the blend is fitted without it too, and does without where it
    does not win.

    Parameters
    ----------
    trained
        The slots ``samagri`` and, where there is one, ``user_item``, with the models that were
        judged.
    final
        The models fitted on everything, by slot; ``usual`` among them.
    """
    ids = {kind: getattr(data, kind) for kind in _ID_KINDS}
    made = data.bookings.ts
    rows = np.arange(len(made))
    window = rows[(made >= cut.blend) & (made < cut.test)]
    first = np.array(
        [unit(f"blend:{data.booking_ids.ids[row]}") < _CALIBRATES for row in window], np.bool_
    )
    early = _models_before(data, cut.blend, trained, config, solver)
    until_test = data.before(cut.test)
    known = data.before(cut.blend)
    judged = {
        **{slot: trained[slot].judged for slot in _SLOTS if slot in trained},
        "usual": PujaPopularity().fit(baskets(until_test, now_ms=cut.test).data),
    }

    def tried(*without: str) -> _Tried:
        learned = blend_fit.fit(
            until_test,
            known=known,
            train=rows[made < cut.blend],
            calibrate=window[first],
            label=window[~first],
            models=_but(early, without),
            ids=ids,
            now_ms=cut.blend,
        )
        tested = before(learned, _but(judged, without), until_test, rows[made < cut.test])
        asked = _questions(data, cut, tested, rows[made >= cut.test], config.run.seed)
        said = [confidences(tested, each)[each.asked] for each in asked]
        return _Tried(learned, tested, asked, said)

    chosen, gain = tried(), None
    if _TASTE in trained:
        plain = tried(_TASTE)
        gain = paired(_losses(plain), _losses(chosen))
        if not wins(gain, config):
            chosen, final = plain, _but(final, (_TASTE,))
    promises = broken_promises(chosen.tested, data, rows[made >= cut.test], cut.test)
    return Blended(
        knowledge=before(chosen.learned, final, data, rows),
        trust=_trust(chosen, promises),
        gain_of_taste=gain,
    )


class _Tried(NamedTuple):
    """A blend, the same before the models of the test, and what that said of test bookings."""

    learned: Knowledge
    tested: Knowledge
    asked: list[blend_fit.HeldBack]
    said: list[NDArray[np.float64]]


def _but(models: Mapping[str, Model[Any]], without: Collection[str]) -> dict[str, Model[Any]]:
    return {slot: model for slot, model in models.items() if slot not in without}


def _losses(tried: _Tried) -> NDArray[np.float64]:
    """The log loss of each booking, over all that it could have been suggested."""
    found = np.full(len(tried.asked), np.nan)
    for number, (each, said) in enumerate(zip(tried.asked, tried.said, strict=True)):
        kept = each.kept[each.asked] > 0
        if len(kept):
            right = np.where(kept, said, 1 - said)
            found[number] = -np.log(np.maximum(right, 1e-6)).mean()
    return found


def _models_before(
    data: Dataset,
    until: int,
    trained: Mapping[str, Trained],
    config: Config,
    solver: Solver,
) -> dict[str, Model[Any]]:
    known = data.before(until)
    cells = baskets(known, now_ms=until).data
    sources = {"samagri": cells, "user_item": users_by(known, "item", now_ms=until)}
    models = {
        slot: fitted(trained[slot].choice.kind, trained[slot].choice.params, source, config, solver)
        for slot, source in sources.items()
        if slot in trained
    }
    return {**models, "usual": PujaPopularity().fit(cells)}


def before(
    learned: Knowledge, models: Mapping[str, Any], data: Dataset, rows: NDArray[np.int64]
) -> Knowledge:
    """The same calibrations and weights before other models, with the counts of these bookings."""
    return replace(
        learned,
        usual=models["usual"],
        samagri=models["samagri"],
        user_item=models.get("user_item"),
        tables=blend_fit.count_tables(data, rows, models["usual"]),
    )


def _questions(
    data: Dataset, cut: Windows, knowledge: Knowledge, rows: NDArray[np.int64], seed: int
) -> list[blend_fit.HeldBack]:
    if len(rows) > _MOST_TESTED:
        rows = np.sort(np.random.default_rng(seed).choice(rows, _MOST_TESTED, replace=False))
    live = blend_fit.with_basket(data, rows)
    questions = blend_fit.Questions(data, data.before(cut.test), knowledge.user_item, cut.test)
    # Half of them as when the list is empty, half as when the customer has begun it.
    return [
        questions.ask(int(row), _SHARES[number % len(_SHARES)]) for number, row in enumerate(live)
    ]


def _trust(tried: _Tried, promises: Promises) -> Trust:
    predicted, labels, booking = [], [], []
    for number, (each, found) in enumerate(zip(tried.asked, tried.said, strict=True)):
        predicted.append(found)
        labels.append(each.kept[each.asked])
        booking.append(np.full(len(found), number, np.int32))
    if not predicted:
        nothing = metrics.reliability(np.empty(0), np.empty(0))
        return Trust(0, float("nan"), 0, interval(np.empty(0)), nothing, promises)
    p: NDArray[np.float64] = np.concatenate(predicted)
    y, group = np.concatenate(labels), np.concatenate(booking)
    bins = metrics.reliability(p, y)
    shown = p >= THRESHOLD
    return Trust(
        bookings=len(tried.asked),
        ece=bins.error(),
        shown=int(shown.sum()),
        keep_rate=interval(y[shown].astype(np.float64), group[shown]),
        reliability=bins,
        promises=promises,
    )


def confidences(knowledge: Knowledge, asked: blend_fit.HeldBack) -> NDArray[np.float64]:
    """The confidence of every item in a held-back booking, season and budget unknown."""
    weights = knowledge.weights[asked.situation.stage]
    names = list(SIGNALS)
    features = blend_fit.design(knowledge, asked, names)
    theta = np.array(
        [
            weights.bias,
            *(weights.signal[name] for name in names),
            *(weights.null.get(name, 0.0) for name in names),
        ]
    )
    return sigmoid(features @ theta)
