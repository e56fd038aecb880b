"""Learning the blend: what bookings count, the calibrations, the weights. Training's half.

The models come fitted on older bookings. Two further sets of bookings, which no model has seen, are
held back: on the first the raw scores of the models are calibrated, on the second the weights of
the signals are fitted by logistic regression with an L2 penalty that pulls towards the prior
weights. Below 500 labelled bookings the prior weights stay.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from decimal import Decimal
from typing import Any, Final, TypeVar

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import coo_array, csr_array

from recsys import calibration
from recsys.calibration import Calibration, sigmoid
from recsys.data import Dataset, Rules, Source, Status, Tier
from recsys.matrix import users_by
from recsys.models.als import Als
from recsys.models.base import Csr, Model
from recsys.models.puja_popularity import PujaPopularity
from recsys.quantities import UnitMismatch, convert, shrunk_median, trimmed_median
from recsys.reasons import MIN_BOOKINGS_FOR_RATE
from recsys.shelf import Index
from recsys.signals import (
    BEGUN,
    FRESH,
    PRIOR_WEIGHTS,
    RULE_CONFIDENCE,
    SIGNALS,
    STAGES,
    BlendWeights,
    Knowledge,
    Situation,
    Tables,
    logit,
)
from recsys.splits import unit

MIN_LABELLED_BOOKINGS: Final = 500
LIFT_PRIOR: Final = 20.0
# Cells (bookings times items) beyond which held-back bookings are thinned out.
MAX_CELLS: Final = 4_000_000
_L2: Final = 1.0
_NEWTON_STEPS: Final = 30
# How much of what the customer added is given at each stage.
_GIVEN: Final = {FRESH: 0.0, BEGUN: 0.5}
# Signals that old bookings say nothing about.
_UNASKED: Final = ("season", "budget")

_Rows = NDArray[np.int64]


@dataclass(frozen=True, slots=True, eq=False)
class HeldBack:
    """One held-back booking as a question: what is given, what may be asked, what was kept."""

    booking: int
    situation: Situation
    asked: NDArray[np.bool_]
    kept: NDArray[np.bool_]
    by_rule: NDArray[np.int32]


def kept_cells(data: Dataset, rows: _Rows) -> Csr:
    """All bookings by items: 1 where one of these bookings kept the item."""
    lines = data.lines
    member = np.zeros(len(data.bookings), np.bool_)
    member[rows] = True
    kept = lines.kept & member[lines.booking]
    return _cells(data, kept & (data.bookings.status[lines.booking] != Status.CANCELLED))


def _cells(data: Dataset, which: NDArray[np.bool_]) -> Csr:
    """All bookings by items: 1 for each of these lines."""
    lines = data.lines
    shape = (len(data.bookings), len(data.items))
    cells = coo_array(
        (np.ones(int(which.sum()), np.float32), (lines.booking[which], lines.item[which])),
        shape=shape,
    )
    matrix = csr_array(cells.tocsr())
    matrix.sum_duplicates()
    matrix.data[:] = 1
    return matrix


def with_basket(data: Dataset, rows: _Rows) -> _Rows:
    """Those of these bookings that were not cancelled and kept an item.

    A family that wanted the pandit alone was never asked about samagri: its booking says nothing of
    what people take.
    """
    return rows[np.diff(kept_cells(data, rows).indptr)[rows] > 0]


def count_tables(data: Dataset, rows: _Rows, usual: PujaPopularity) -> Tables:
    """Everything that is counted, over these bookings only."""
    live = with_basket(data, rows)
    cells = kept_cells(data, live)
    n_pujas, n_items = len(data.pujas), len(data.items)
    bookings = data.bookings
    own = csr_array(cells[live])
    totals, counts = _grouped(own, bookings.puja[live], n_pujas)
    pairs = np.where(
        bookings.pandit[live] >= 0,
        bookings.pandit[live].astype(np.int64) * n_pujas + bookings.puja[live],
        -1,
    )
    known, number = np.unique(pairs[pairs >= 0], return_inverse=True)
    of_pandit = csr_array(own[pairs >= 0])
    pandit_totals, pandit_counts = _grouped(of_pandit, number, len(known))
    together = csr_array(own.T @ own)
    together.setdiag(0)
    together.data[together.data < MIN_BOOKINGS_FOR_RATE] = 0
    together.eliminate_zeros()
    together.sort_indices()
    quantity, anywhere = _quantities(data, live)
    region_totals, region_signal = _regions(data, live, own, usual)
    return Tables(
        puja_counts=counts.toarray().astype(np.int32),
        puja_totals=totals,
        region_signal=region_signal,
        region_totals=region_totals,
        pandit_pairs=known.astype(np.int64),
        pandit_totals=pandit_totals,
        pandit_pointers=pandit_counts.indptr.astype(np.int64),
        pandit_items=pandit_counts.indices.astype(np.int32),
        pandit_counts=pandit_counts.data.astype(np.int32),
        together_pointers=together.indptr.astype(np.int64),
        together_items=together.indices.astype(np.int32),
        together_counts=together.data.astype(np.int32),
        item_totals=np.asarray(own.sum(axis=0)).ravel().astype(np.int32),
        quantity=quantity,
        quantity_anywhere=anywhere,
        planned_share=_planned_shares(data, live, n_items),
    )


def _grouped(cells: Csr, group: NDArray[Any], size: int) -> tuple[NDArray[np.int32], Csr]:
    """How many rows each group has, and how many of them have each item."""
    rows = np.flatnonzero(group >= 0)
    member = csr_array(
        (np.ones(len(rows), np.float32), (group[rows], rows)), shape=(size, cells.shape[0])
    )
    counts = csr_array(member @ cells)
    counts.sort_indices()
    return np.bincount(group[rows], minlength=size).astype(np.int32), counts


def _regions(
    data: Dataset, live: _Rows, own: Csr, usual: PujaPopularity
) -> tuple[NDArray[np.int32], NDArray[np.float32]]:
    """Bookings by region and puja, and the signal of the lift of each item there."""
    n_pujas, n_regions, n_items = len(data.pujas), len(data.regions), len(data.items)
    region, puja = data.bookings.region[live], data.bookings.puja[live]
    group = np.where(region >= 0, region.astype(np.int64) * n_pujas + puja, -1)
    totals, counts = _grouped(own, group, n_regions * n_pujas)
    signal = np.empty((n_regions, n_pujas, n_items), np.float32)
    wide = counts.toarray().reshape(n_regions, n_pujas, n_items)
    for each in range(n_pujas):
        share = np.maximum(usual.score((), context={"puja": each}), 1e-4)
        expected = totals.reshape(n_regions, n_pujas)[:, each, None] * share
        # Towards no lift at all, by twenty bookings' worth of what is usual.
        lift = (wide[:, each] + LIFT_PRIOR * share) / (expected + LIFT_PRIOR * share)
        signal[:, each] = np.clip(0.5 + 0.25 * np.log2(lift), 0, 1)
    return totals.reshape(n_regions, n_pujas), signal


def _quantities(data: Dataset, live: _Rows) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """The usual kept quantity of each item in each puja, and anywhere, in canonical units."""
    lines = data.lines
    member = np.zeros(len(data.bookings), np.bool_)
    member[live] = True
    good = lines.kept & member[lines.booking] & np.isfinite(lines.quantity) & (lines.quantity > 0)
    good &= lines.unit >= 0
    factors = np.array([_canonical_factor(name) for name in data.units.ids])
    amounts = lines.quantity[good] * (factors[lines.unit[good]] if len(factors) else 1.0)
    item, puja = lines.item[good], data.bookings.puja[lines.booking[good]]
    quantity = np.zeros((len(data.pujas), len(data.items)), np.float32)
    anywhere = np.zeros(len(data.items), np.float32)
    for number, of_item in _by_key(item, amounts, puja):
        values, pujas = of_item
        anywhere[number] = trimmed_median(values)
        for each, (within, _) in _by_key(pujas, values, pujas):
            quantity[each, number] = shrunk_median(within, values)
    return quantity, anywhere


def _canonical_factor(name: str) -> float:
    for canonical in ("g", "ml", "m", "piece"):
        try:
            return float(convert(Decimal(1), name, canonical))
        except UnitMismatch:
            continue
    return 1.0


_T = TypeVar("_T")


def _by_key(
    key: NDArray[Any], values: NDArray[np.float64], other: NDArray[Any]
) -> Iterator[tuple[int, tuple[NDArray[np.float64], NDArray[Any]]]]:
    """The values of each key, in order of the keys."""
    order = np.argsort(key, kind="stable")
    if not len(order):
        return
    borders = np.flatnonzero(np.diff(key[order])) + 1
    for part in np.split(order, borders):
        yield int(key[part[0]]), (values[part], other[part])


def _planned_shares(data: Dataset, live: _Rows, n_items: int) -> NDArray[np.float32]:
    """Of each item: the median share of a booking's money that a line of its category takes."""
    lines = data.lines
    member = np.zeros(len(data.bookings), np.bool_)
    member[live] = True
    paid = lines.kept & member[lines.booking] & (lines.price > 0)
    shares = np.full(n_items, 0.05, np.float32)
    if not paid.any():
        return shares
    money = np.bincount(
        lines.booking[paid], weights=lines.price[paid], minlength=len(data.bookings)
    )
    share = lines.price[paid] / money[lines.booking[paid]]
    category = data.item_category[lines.item[paid]]
    for number, (values, _) in _by_key(category, share, category):
        shares[data.item_category == number] = np.median(values)
    return shares


# --- held-back bookings -----------------------------------------------------------------------


class Questions:
    """Held-back bookings as questions, as they would be asked when the booking is made.

    Parameters
    ----------
    known
        The data set of what was known when the models were trained: tastes come from it.
    """

    def __init__(self, data: Dataset, known: Dataset, user_item: Als | None, now_ms: int) -> None:
        self._data = data
        self._kept = kept_cells(data, np.arange(len(data.bookings)))
        # Whether they were kept or taken off: to ask about one of the two alone would be to choose
        # the questions by their answers.
        self._by_rule = _cells(data, data.lines.source == Source.RULE)
        self._tiers = _rule_tiers(data.rules, len(data.pujas), len(data.items))
        self._months = data.bookings.months()
        self._user_item = user_item
        self._tastes = None if user_item is None else users_by(known, "item", now_ms=now_ms)

    def ask(self, booking: int, share: float) -> HeldBack:
        """One booking: of what the customer added himself, ``share`` is given already, by hash."""
        data = self._data
        n_items = len(data.items)
        key = data.booking_ids.ids[booking]
        kept = np.zeros(n_items, np.bool_)
        kept[_row(self._kept, booking)] = True
        ruled = np.zeros(n_items, np.bool_)
        ruled[_row(self._by_rule, booking)] = True
        tiers = self._tiers[data.bookings.puja[booking]]
        demanded = (tiers == Tier.REQUIRED) | (tiers == Tier.ESSENTIAL)
        own = np.flatnonzero(kept & ~ruled & ~demanded)
        shown = np.array([unit(f"given:{key}:{item}") < share for item in own.tolist()], np.bool_)
        given = demanded.copy()
        given[own[shown]] = True
        situation = Situation(
            context=self.context(booking),
            given=np.flatnonzero(given).astype(np.int32),
            stage=BEGUN if shown.any() else FRESH,
            **self._taste(int(data.bookings.user[booking])),
        )
        return HeldBack(
            booking=booking,
            situation=situation,
            asked=~given & ~ruled,
            kept=kept,
            by_rule=np.flatnonzero(tiers == Tier.OPTIONAL).astype(np.int32),
        )

    def context(self, booking: int) -> dict[str, int]:
        """The context of a booking, by the names that the models use."""
        bookings, data = self._data.bookings, self._data
        puja = int(bookings.puja[booking])
        values = {
            "puja": puja,
            "puja_category": int(data.puja_category[puja]) if puja >= 0 else -1,
            "region": int(bookings.region[booking]),
            "pandit": int(bookings.pandit[booking]),
            "month": int(self._months[booking]),
        }
        return {name: value for name, value in values.items() if value >= 0}

    def _taste(self, user: int) -> dict[str, Any]:
        if self._user_item is None or self._tastes is None or user < 0:
            return {}
        query = self._tastes.row(user)
        if not (query.weights > 0).any():
            return {}
        return {"taste": self._user_item.vector(query), "history": len(query.given)}


def _row(cells: Csr, row: int) -> NDArray[Any]:
    return np.asarray(cells.indices[cells.indptr[row] : cells.indptr[row + 1]])


def _rule_tiers(rules: Rules, n_pujas: int, n_items: int) -> NDArray[np.int8]:
    """Pujas by items: the strongest rule that holds everywhere, -1 for none."""
    tiers = np.full((n_pujas, n_items), -1, np.int8)
    for row in np.argsort(-rules.tier, kind="stable").tolist():
        if rules.region[row] < 0:
            tiers[rules.puja[row], rules.item[row]] = rules.tier[row]
    return tiers


# --- fitting ----------------------------------------------------------------------------------


def fit(
    data: Dataset,
    *,
    known: Dataset,
    train: _Rows,
    calibrate: _Rows,
    label: _Rows,
    models: Mapping[str, Model[Any]],
    ids: Mapping[str, Index],
    now_ms: int,
) -> Knowledge:
    """Count, calibrate, and fit the weights.

    Parameters
    ----------
    known
        ``data`` as it was when the models were trained (``Dataset.before``): the tables are
        counted on it.
    train, calibrate, label
        Bookings of three kinds, no two alike: those that the models know, those for the
        calibrations, those for the weights.
    models
        By slot: ``usual`` must be there, ``samagri`` and ``user_item`` may.
    now_ms
        The end of the training window.
    """
    usual, user_item = models["usual"], models.get("user_item")
    if not isinstance(usual, PujaPopularity) or not isinstance(user_item, Als | None):
        raise TypeError("usual is a PujaPopularity, and user_item an Als")
    knowledge = Knowledge(
        ids=ids,
        usual=usual,
        tables=count_tables(known, train, usual),
        weights={stage: BlendWeights() for stage in STAGES},
        samagri=models.get("samagri"),
        user_item=user_item,
    )
    questions = Questions(data, known, user_item, now_ms)
    first = {stage: _asked(questions, _thinned(data, calibrate), stage) for stage in STAGES}
    calibrated = replace(
        knowledge,
        assoc_calibrations=_calibrated(first, lambda each: _assoc_scores(knowledge, each)),
        user_calibrations=_calibrated(first, lambda each: _user_scores(knowledge, each)),
    )
    rows = _thinned(data, label)
    return replace(
        calibrated,
        weights={
            stage: fit_weights(calibrated, _asked(questions, rows, stage)) for stage in STAGES
        },
    )


def _asked(questions: Questions, rows: list[int], stage: str) -> list[HeldBack]:
    asked = (questions.ask(each, _GIVEN[stage]) for each in rows)
    return [each for each in asked if each.situation.stage == stage]


def _thinned(data: Dataset, rows: _Rows) -> list[int]:
    """Those with a basket, evenly thinned out where there are too many for the catalogue's size."""
    live = with_basket(data, rows)
    most = max(MAX_CELLS // max(len(data.items), 1), 1)
    step = max(1, -(-len(live) // most))
    return [int(row) for row in np.sort(live)[::step]]


def _assoc_scores(knowledge: Knowledge, asked: HeldBack) -> NDArray[Any] | None:
    if knowledge.samagri is None:
        return None
    return knowledge.samagri.score(asked.situation.given, context=asked.situation.context)


def _user_scores(knowledge: Knowledge, asked: HeldBack) -> NDArray[Any] | None:
    if knowledge.user_item is None or asked.situation.taste is None:
        return None
    return np.asarray(knowledge.user_item.item_ @ asked.situation.taste)


def _calibrated(
    questions: Mapping[str, list[HeldBack]],
    scores_of: Callable[[HeldBack], NDArray[Any] | None],
) -> dict[str, Calibration]:
    """The calibrations of one model's scores; none where it scores nothing or nothing was kept."""
    fitted = {}
    for stage, asked in questions.items():
        scores, labels = [], []
        for each in asked:
            found = scores_of(each)
            if found is not None:
                scores.append(found[each.asked])
                labels.append(each.kept[each.asked])
        if scores and any(each.any() for each in labels):
            fitted[stage] = calibration.fit(np.concatenate(scores), np.concatenate(labels))
    return fitted


def fit_weights(knowledge: Knowledge, questions: list[HeldBack]) -> BlendWeights:
    """The weights, with an L2 penalty on their distance from the prior ones.

    The season and the budget are not asked in old bookings (what was out of season could not be
    kept, budgets were not written down), so their weights stay as they are.
    """
    if len(questions) < MIN_LABELLED_BOOKINGS:
        return BlendWeights(labelled_bookings=len(questions))
    fitted = [name for name in SIGNALS if name not in _UNASKED]
    rows, labels = [], []
    for each in questions:
        rows.append(design(knowledge, each, fitted)[each.asked])
        labels.append(each.kept[each.asked])
    features, y = np.concatenate(rows), np.concatenate(labels).astype(np.float64)
    prior = np.array([0.0, *(PRIOR_WEIGHTS[name] for name in fitted), *(0.0 for _ in fitted)])
    theta = logistic(features, y, prior)
    n = len(fitted)
    # What was asked could be had and paid: what the prior weights add for that comes off the bias
    # again, so that "in season" and "within budget" change nothing, and their contraries do.
    at_best = {name: PRIOR_WEIGHTS[name] * float(logit(np.ones(1))[0]) for name in _UNASKED}
    return BlendWeights(
        bias=float(theta[0]) - sum(at_best.values()),
        signal={**PRIOR_WEIGHTS, **dict(zip(fitted, theta[1 : n + 1].tolist(), strict=True))},
        null={**dict(zip(fitted, theta[n + 1 :].tolist(), strict=True)), **at_best},
        labelled_bookings=len(questions),
    )


def design(knowledge: Knowledge, asked: HeldBack, fitted: list[str]) -> NDArray[np.float32]:
    """Items by features: 1, each signal's logit (0 where null), and whether each is null."""
    n_items = len(asked.kept)
    features = np.zeros((n_items, 1 + 2 * len(fitted)), np.float32)
    features[:, 0] = 1
    known = knowledge.logits(asked.situation)
    for place, name in enumerate(fitted):
        if name == "rule":
            features[:, 1 + len(fitted) + place] = 1
            features[asked.by_rule, 1 + place] = logit(np.array([RULE_CONFIDENCE]))[0]
            features[asked.by_rule, 1 + len(fitted) + place] = 0
        elif name in known:
            features[:, 1 + place] = knowledge.scale(name, asked.situation) * known[name]
        else:
            features[:, 1 + len(fitted) + place] = 1
    return features


def logistic(
    features: NDArray[np.float32], labels: NDArray[np.float64], prior: NDArray[np.float64]
) -> NDArray[np.float64]:
    """The logistic regression nearest to ``prior``, by Newton steps; the bias is not penalised."""
    penalty = np.full(len(prior), _L2)
    penalty[0] = 1e-6
    theta = prior.copy()
    for _ in range(_NEWTON_STEPS):
        p = sigmoid(features @ theta)
        gradient = features.T @ (p - labels) + penalty * (theta - prior)
        spread = (p * (1 - p)).astype(np.float32)
        curvature = features.T @ (features * spread[:, None]) + np.diag(penalty)
        step = np.linalg.solve(curvature, gradient)
        theta = theta - step * min(1.0, 2.0 / max(float(np.abs(step).max()), 1e-12))
        if np.abs(step).max() < 1e-6:
            break
    return theta
