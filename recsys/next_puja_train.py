"""The next puja in a training: habits counted, believed as far as later bookings say, judged.

How far the habits of the family itself count beside those of its cohort is fitted on bookings that
the counts have not seen: a conditional logit (McFadden 1974) of which puja a family booked, given
that it booked one that day.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize

from recsys.artifact import Ids
from recsys.bootstrap import Interval, interval, paired
from recsys.config import Config
from recsys.data import Dataset, Kind, Status
from recsys.matrix import Strength, decay, users_by
from recsys.models.base import FloatArray, Model
from recsys.next_puja import (
    Family,
    Festival,
    Habits,
    NextPuja,
    Past,
    Terms,
    Tuning,
    plain_habits,
)
from recsys.next_puja_fit import count_habits
from recsys.pipeline import Solver, Trained, Windows, fitted

MIN_SCORED: Final = 100
"""Fewer families tell nothing of what the model of families by pujas usually says."""
MOST_TUNING: Final = 4_000
"""Bookings that tune; more change nothing."""
_TUNING_RANGE: Final = ((0.0, 2.0), (-1.0, 3.0), (0.0, 1.0))
# How many bookings' worth the tuning is drawn to what it was before it was fitted.
_TUNING_STRENGTH: Final = 5.0
_PLACES: Final = 3
PLAIN: Final = "festivals and a year later"
"""What would serve in place of the habits."""

_Rows = NDArray[np.int64]
_Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True, eq=False)
class Asked:
    """What was known of a family when it made a booking, and which puja it booked.

    ``liked`` and ``weights``: its row for the model of families by pujas, as serving makes it.
    """

    booking: int
    family: Family
    puja: int
    liked: NDArray[np.int32]
    weights: FloatArray


def families(data: Dataset, rows: _Rows) -> Iterator[Asked]:
    """The families that made these bookings, each on the day when it made it.

    Cancelled bookings ask nothing. What a family had booked earlier is known of it, and what of
    that it had called off by then.
    """
    bookings, settled = data.bookings, data.settled_ms()
    is_cancelled = bookings.status == Status.CANCELLED
    called_off = np.where(is_cancelled, settled, np.iinfo(np.int64).max)
    by_user: dict[int, list[int]] = defaultdict(list)
    wanted = set(rows[bookings.status[rows] != Status.CANCELLED].tolist())
    users = set(bookings.user[list(wanted)].tolist())
    for booking in np.argsort(bookings.ts, kind="stable").tolist():
        user = int(bookings.user[booking])
        if user not in users:
            continue
        if booking in wanted:
            at = bookings.ts[booking]
            earlier = [each for each in by_user[user] if called_off[each] >= at]
            yield _asked(data, booking, earlier)
        by_user[user].append(booking)


def _asked(data: Dataset, booking: int, earlier: Sequence[int]) -> Asked:
    bookings = data.bookings
    today = _day(int(bookings.ts[booking]))
    past: dict[int, Past] = {}
    booked = []
    strengths: dict[int, float] = defaultdict(float)
    strength = Strength()
    for row in sorted(earlier, key=lambda each: int(bookings.held_ts[each])):
        puja, held = int(bookings.puja[row]), _day(int(bookings.held_ts[row]))
        worth = strength.weights[Kind.BOOKING_CREATED.name]
        if held <= today:
            times = past[puja].times + 1 if puja in past else 1
            past[puja] = Past(data.pujas.ids[puja], held, times)
            worth += strength.weights[Kind.BOOKING_COMPLETED.name]
        else:
            booked.append((data.pujas.ids[puja], held))
        age = np.array([(today - held).days], np.float64)
        strengths[puja] += worth * float(decay(age, strength.half_life_days["puja"])[0])
    region = int(bookings.region[booking])
    liked = sorted(strengths)
    return Asked(
        booking=booking,
        family=Family(
            today=today,
            region=data.regions.ids[region] if region >= 0 else "",
            past=tuple(past.values()),
            booked=tuple(booked),
        ),
        puja=int(bookings.puja[booking]),
        liked=np.array(liked, np.int32),
        weights=np.clip(
            np.array([strengths[each] for each in liked], np.float32), strength.low, strength.high
        ),
    )


def scores_of(model: Model[Any] | None, asked: Asked) -> FloatArray | None:
    """What the model of families by pujas says of the family; None where it knows nothing."""
    if model is None or not len(asked.liked):
        return None
    return np.asarray(model.score(asked.liked, weights=asked.weights))


def _day(milliseconds: int) -> date:
    return datetime.fromtimestamp(milliseconds / 1000, UTC).date()


# --- fitting and judging --------------------------------------------------------------------------


def train_next_puja(
    data: Dataset,
    festivals: Sequence[Festival],
    cut: Windows,
    trained: Trained | None,
    config: Config,
    solver: Solver,
) -> tuple[Habits, NextPujaFigures]:
    """The habits that serve, and how the same did on the test window.

    Parameters
    ----------
    trained
        The slot of families by pujas; None where none serves.
    """
    made = data.bookings.ts
    rows = np.arange(len(made))
    early = None
    if trained is not None:
        choice = trained.choice
        known = users_by(data.before(cut.validation), "puja", now_ms=cut.validation)
        early = fitted(choice.kind, choice.params, known, config, solver)
    tuning = learned(
        data.before(cut.test),
        festivals,
        counted=rows[made < cut.validation],
        tuning=rows[(made >= cut.validation) & (made < cut.test)],
        model=early,
        seed=config.run.seed,
    ).tuning

    def believed(until: int, model: Model[Any] | None) -> Habits:
        seen = data.before(until)
        habits = count_habits(seen, rows[made < until], festivals)
        latest = rows[(made >= cut.validation) & (made < until)]
        return replace(with_scores(habits, seen, latest, model), tuning=tuning)

    before = believed(cut.test, trained.judged if trained else None)
    figures = judged(
        data,
        NextPuja(data.pujas, data.pujas.ids, data.regions, before, data.once()),
        festivals,
        known=rows[made < cut.test],
        test=rows[made >= cut.test],
        model=trained.judged if trained else None,
    )
    return believed(cut.end, trained.model if trained else None), figures


def learned(
    data: Dataset,
    festivals: Sequence[Festival],
    *,
    counted: _Rows,
    tuning: _Rows,
    model: Model[Any] | None,
    seed: int = 0,
) -> Habits:
    """The habits of the first bookings, believed as far as the later ones say.

    Parameters
    ----------
    tuning
        Bookings made after all of ``counted``, and after what ``model`` knows.
    model
        Of families by pujas, with their pujas numbered as in ``data``.
    """
    until = int(data.bookings.ts[tuning].min()) if len(tuning) else data.newest_ms() + 1
    tuning = _thinned(tuning, seed)
    habits = count_habits(data.before(until), counted, festivals)
    habits = with_scores(habits, data, tuning, model)
    plain = NextPuja(data.pujas, data.pujas.ids, data.regions, habits, data.once())
    asked = list(families(data, tuning))
    terms = [plain.terms(each.family, festivals, scores=scores_of(model, each)) for each in asked]
    booked = np.array([each.puja for each in asked], np.int64)
    return replace(habits, tuning=fitted_tuning(terms, booked))


def with_scores(habits: Habits, data: Dataset, rows: _Rows, model: Model[Any] | None) -> Habits:
    """With what the model usually says of each puja, to the families of these bookings."""
    asked = families(data, _thinned(rows, 0))
    found = [scores for each in asked if (scores := scores_of(model, each)) is not None]
    if len(found) < MIN_SCORED:
        return habits
    table = np.array(found, np.float64)
    usual = table.mean(axis=0)
    return replace(
        habits,
        usual_score=usual.astype(np.float32),
        spread=np.array([(table - usual).std()], np.float32),
    )


def _thinned(rows: _Rows, seed: int) -> _Rows:
    if len(rows) <= MOST_TUNING:
        return rows
    return np.sort(np.random.default_rng(seed).choice(rows, MOST_TUNING, replace=False))


def fitted_tuning(terms: Sequence[Terms], chosen: _Rows) -> Tuning:
    """The tuning under which what families booked is likeliest.

    Parameters
    ----------
    terms
        For each booking what spoke for the pujas that day.
    chosen
        The puja that each family booked.
    """
    before = Tuning()
    # What is barred was booked all the same by one or two: that says nothing of the tuning.
    told = [n for n, each in enumerate(terms) if not each.barred[chosen[n]]]
    if not told:
        return before
    stacked = {name: np.array([getattr(terms[n], name) for n in told]) for name in Terms.__slots__}
    rows, answer = np.arange(len(told)), chosen[told]
    start = np.array([before.again, before.known, before.likeness])

    def loss(theta: _Floats) -> float:
        tuned = Terms(**stacked).parts(Tuning(*theta.tolist()))
        pace = np.sum(list(tuned.values()), axis=0) + 1e-12
        pace[stacked["barred"]] = 0.0
        likelihood = np.log(pace[rows, answer] / pace.sum(axis=1)).sum()
        return float(_TUNING_STRENGTH * np.square(theta - start).sum() - likelihood)

    best = minimize(loss, start, method="L-BFGS-B", bounds=_TUNING_RANGE)
    return Tuning(*(round(float(value), 4) for value in best.x))


@dataclass(frozen=True, slots=True)
class NextPujaFigures:
    """How often the puja booked is among the three proposed that day.

    ``hit`` is ours; ``others`` those of what would serve in their place, of popularity, of the
    family's own most frequent pujas, and of the rule that proposes the next three festivals;
    ``above`` the paired gain over each.
    """

    bookings: int
    hit: Interval
    others: dict[str, Interval]
    above: dict[str, Interval]

    def gain(self) -> tuple[str, Interval]:
        """What would serve in their place, and the paired gain over it; NaN without a booking."""
        return PLAIN, self.above.get(PLAIN, Interval(np.nan, np.nan, np.nan))

    def as_dict(self) -> dict[str, Any]:
        """For manifest and card."""
        return {
            "bookings": self.bookings,
            "hr@3": list(self.hit),
            "others": {name: list(each) for name, each in self.others.items()},
            "above": {name: list(each) for name, each in self.above.items()},
        }


def judged(
    data: Dataset,
    next_puja: NextPuja,
    festivals: Sequence[Festival],
    *,
    known: _Rows,
    test: _Rows,
    model: Model[Any] | None,
) -> NextPujaFigures:
    """Judge the proposals on bookings made after all that they were learned from.

    ``known`` are those that popularity is counted on. The months that the catalogue names are not
    among the data, so what would serve instead is asked without them.
    """
    annual = {each.puja_id for each in festivals}
    ids = data.pujas.ids
    habits = plain_habits([()] * len(ids), [each in annual for each in ids])
    plain = NextPuja(data.pujas, ids, Ids(()), habits, data.once())
    popular = np.bincount(data.bookings.puja[known], minlength=len(data.pujas))
    dated = sorted((each.day, each.puja_id) for each in festivals)
    hits: dict[str, list[float]] = defaultdict(list)
    for each in families(data, test):
        own = np.zeros(len(data.pujas))
        for past in each.family.past:
            own[data.pujas.index(past.puja_id)] = past.times
        proposed = next_puja.suggest(
            each.family, festivals, scores=scores_of(model, each), limit=_PLACES
        )
        instead = plain.suggest(each.family, festivals, limit=_PLACES)
        ahead = dict.fromkeys(puja for day, puja in dated if day > each.family.today)
        lists = {
            "ours": [data.pujas.index(one.puja_id) for one in proposed],
            PLAIN: [data.pujas.index(one.puja_id) for one in instead],
            "popularity": np.argsort(-popular, kind="stable")[:_PLACES].tolist(),
            "own most frequent": np.argsort(-(own + popular / 1e9), kind="stable")[:_PLACES],
            "next festivals": [data.pujas.index(puja) for puja in list(ahead)[:_PLACES]],
        }
        for name, pujas in lists.items():
            hits[name].append(float(each.puja in pujas))
    values = {name: np.array(each) for name, each in hits.items()}
    ours = values.pop("ours", np.empty(0))
    return NextPujaFigures(
        bookings=len(ours),
        hit=interval(ours),
        others={name: interval(each) for name, each in values.items()},
        above={name: paired(ours, each) for name, each in values.items()},
    )
