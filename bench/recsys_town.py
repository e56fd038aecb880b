"""Does the recommender find what was planted? The town of ``recsys.town``, three tasks, intervals.

``python -m bench.recsys_town [--seeds 1 2 3 4 5] [--users 5000] [--items 300]``. Models are fitted
on the first part of the bookings, calibrated and blended on the next two, fitted again on all three
and judged on the last. Prints a line a ranking with its 95 % interval over bookings, and the paired
differences; at the end a line a seed and task with the best of the others, and whether ours is
above it: by its paired interval (``better``), and with its own interval wholly above the other's
(``intervals apart``). Ends with 1 where it is not better, or does not reach twice the popularity of
the puja.
"""

# ruff: noqa: I001 - the package comes before numpy, whose threads it sets

from __future__ import annotations

import argparse
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import recsys  # noqa: F401 - see above
import numpy as np
from numpy.typing import NDArray

from recsys import blend_fit, blend_train, calibration, next_puja_train, pipeline, synth
from recsys import config as configs
from recsys.bootstrap import Interval, interval, paired
from recsys.calibration import sigmoid
from recsys.data import Dataset, Status
from recsys.engine import AlsParams
from recsys.matrix import baskets, users_by
from recsys.metrics import reliability
from recsys.models.als import Als
from recsys.models.base import Interactions, Model
from recsys.models.ease import Ease, EaseParams
from recsys.models.popularity import Popularity
from recsys.models.puja_popularity import PujaPopularity
from recsys.next_puja import Festival, NextPuja
from recsys.next_puja_fit import count_habits
from recsys.pandits import (
    Candidates,
    PanditParams,
    PanditRanker,
    Wish,
    fitted_prior,
    fitted_weights,
)
from recsys.signals import SIGNALS, Knowledge
from recsys.town import Town, TownConfig, available, simulate


@dataclass(frozen=True)
class Comparison:
    """Ours, the others, and the paired gains of ours over each."""

    ours: Interval
    others: dict[str, Interval]
    above: dict[str, Interval]

    def lines(self) -> dict[str, str]:
        """For reading."""
        return {"blend": str(self.ours)} | {
            name: f"{of}   blend above it by {self.above[name]}" for name, of in self.others.items()
        }

    def verdict(self, among: Sequence[str]) -> tuple[bool, str]:
        """Whether ours is better than the best of these, and a line about it."""
        best = max(among, key=lambda name: self.others[name].mean)
        other, gain = self.others[best], self.above[best]
        apart = "intervals apart" if self.ours.low > other.high else "intervals overlap"
        sure = "above 0" if gain.low > 0 else "NOT above 0"
        line = f"{self.ours} against {best} {other}; paired gain {gain}, {sure}; {apart}"
        return gain.low > 0, line


Rows = NDArray[np.int64]
Floats = NDArray[np.float64]
_GAINS = 1 / np.log2(np.arange(2, 12))
_UNASKED = ("season", "budget")
MOST_BASKETS = 600
"""Bookings that the lists of samagri are judged on: ten questions each."""
MOST_CHOICES = 1_500
"""Bookings that the weights of the pandits' ranking are fitted on; all of the test are judged."""


@dataclass(frozen=True, eq=False)
class Parts:
    """A town, cut by time."""

    town: Town
    data: Dataset
    train: Rows
    calibrate: Rows
    label: Rows
    test: Rows
    now_ms: int


def parts_of(config: TownConfig) -> Parts:
    """The town of a configuration, its bookings cut at 62, 72 and 85 %."""
    town = simulate(config)
    data = synth.dataset(town)
    n = len(data.bookings)
    cuts = [int(share * n) for share in (0.62, 0.72, 0.85)]
    train, calibrate, label, test = np.split(np.arange(n), cuts)
    live = data.bookings.status[test] != Status.CANCELLED
    now_ms = int(data.bookings.ts[calibrate[0]])
    return Parts(town, data, train, calibrate, label, test[live], now_ms)


def _some(parts: Parts, rows: Rows, most: int) -> Rows:
    """These bookings, or as many of them by lot."""
    random = np.random.default_rng(parts.town.config.seed)
    return np.sort(random.permutation(rows)[:most])


def ndcg(scores: NDArray[Any], relevant: NDArray[np.bool_], asked: NDArray[np.bool_]) -> float:
    """NDCG@10 of one list; ties go to the smaller index."""
    masked = np.where(asked, scores, -np.inf)
    best = np.argsort(-masked, kind="stable")[:10]
    hits = relevant[best] & asked[best]
    return float((hits * _GAINS).sum() / _GAINS[: min(10, int((relevant & asked).sum()))].sum())


def chosen_ease(parts: Parts) -> EaseParams:
    """The parameters that say most of the label part from what was known before it."""
    config = configs.resolve(None, {}, {})
    begin, end = (int(parts.data.bookings.ts[rows[0]]) for rows in (parts.label, parts.test))
    train = baskets(parts.data.before(begin), now_ms=begin).data
    most = config.search.max_queries
    asked = pipeline.basket_questions(parts.data, begin, end, most, config.run.seed)
    found = pipeline.choose(("ease",), train, asked.queries, config, pipeline.solve_here)
    return EaseParams(**found.params)


def samagri_models(parts: Parts, now_ms: int, ease: EaseParams) -> dict[str, Model[Any]]:
    """The models of the blend, and popularity to compare with, fitted on what was known then."""
    known = parts.data.before(now_ms)
    cells = baskets(known, now_ms=now_ms).data
    users = users_by(known, "item", now_ms=now_ms)
    als = AlsParams(factors=16, regularization=10, alpha=5, iterations=8, engine="numpy")
    return {
        "samagri": Ease(ease).fit(cells),
        "usual": PujaPopularity().fit(cells),
        "popular": Popularity().fit(cells),
        "user_item": Als(als).fit(users),
    }


def fitted_knowledge(parts: Parts, models: dict[str, Model[Any]]) -> Knowledge:
    """The blend over these models."""
    data = parts.data
    kinds = ("items", "pujas", "pandits", "regions", "categories")
    return blend_fit.fit(
        data,
        known=data.before(parts.now_ms),
        train=parts.train,
        calibrate=parts.calibrate,
        label=parts.label,
        models=models,
        ids={kind: getattr(data, kind) for kind in kinds},
        now_ms=parts.now_ms,
    )


def offered(parts: Parts, knowledge: Knowledge, asked: blend_fit.HeldBack) -> Floats:
    """The confidence of every item; below all others what the hard rules leave out.

    What is out of season, as the catalogue says, and what the family never wants to see.
    """
    world, bookings = parts.town.world, parts.data.bookings
    month = int(bookings.months()[asked.booking])
    left_out = available(world.item_season, month) == 0
    left_out |= world.dismissed[bookings.user[asked.booking]]
    return np.where(left_out, -1.0, blended(knowledge, asked))


def blended(knowledge: Knowledge, asked: blend_fit.HeldBack) -> Floats:
    """The confidence of every item, before hard rules."""
    weights = knowledge.weights[asked.situation.stage]
    fitted = [name for name in SIGNALS if name not in _UNASKED]
    theta = [
        weights.bias + sum(weights.null.get(name, 0.0) for name in _UNASKED),
        *(weights.signal[name] for name in fitted),
        *(weights.null.get(name, 0.0) for name in fitted),
    ]
    return sigmoid(blend_fit.design(knowledge, asked, fitted) @ np.array(theta))


def samagri(parts: Parts) -> dict[str, Any]:
    """Leave one out on what no rule added, and the whole list when a booking is made.

    The blend is taught with models of the first part; then all models, those that it is compared
    with as well, are fitted again on all that came before the test.
    """
    ease = chosen_ease(parts)
    learned = fitted_knowledge(parts, samagri_models(parts, parts.now_ms, ease))
    began = int(parts.data.bookings.ts[parts.test[0]])
    models = samagri_models(parts, began, ease)
    knowledge = blend_train.before(learned, models, parts.data, np.arange(parts.test[0]))
    user_item = models["user_item"]
    assert isinstance(user_item, Als)
    questions = blend_fit.Questions(parts.data, parts.data.before(began), user_item, began)
    of: dict[str, list[float]] = {}
    fresh: dict[str, list[float]] = {}
    promised, kept = [], []
    for booking in _some(parts, parts.test, MOST_BASKETS).tolist():
        begun = questions.ask(booking, 1.0)
        own = np.flatnonzero(
            begun.kept & np.isin(np.arange(len(begun.kept)), begun.situation.given)
        )
        own = own[~_by_rule(parts, booking)[own]]
        if len(own) >= 2:
            lists = [_left_out(begun, int(item)) for item in own]
            for name, score in _rankings(parts, models, knowledge).items():
                values = [ndcg(score(each), each.kept, each.asked) for each in lists]
                of.setdefault(name, []).append(float(np.mean(values)))
        first = questions.ask(booking, 0.0)
        if (first.kept & first.asked).any():
            for name, score in _rankings(parts, models, knowledge).items():
                fresh.setdefault(name, []).append(ndcg(score(first), first.kept, first.asked))
        promised.append(blended(knowledge, first)[first.asked])
        kept.append(first.kept[first.asked])
    shown = np.concatenate(promised) >= 0.6
    return {
        "leave one out, NDCG@10": _compared(of),
        "when booked, NDCG@10": _compared(fresh),
        "calibration error": round(
            reliability(np.concatenate(promised), np.concatenate(kept)).error(), 4
        ),
        "shown": int(shown.sum()),
        "keep rate": round(float(np.concatenate(kept)[shown].mean()), 3) if shown.any() else None,
    }


def _by_rule(parts: Parts, booking: int) -> NDArray[np.bool_]:
    """The items that the rules of this booking's puja demand."""
    told = parts.town.world.rules[parts.data.bookings.puja[booking]]
    return np.asarray((told == 0) | (told == 1))


def _left_out(begun: blend_fit.HeldBack, item: int) -> blend_fit.HeldBack:
    """The same booking with one item hidden, which is what has to be found."""
    given = begun.situation.given[begun.situation.given != item]
    kept = np.zeros_like(begun.kept)
    kept[item] = True
    asked = begun.asked.copy()
    asked[item] = True
    return replace(begun, situation=replace(begun.situation, given=given), asked=asked, kept=kept)


def _rankings(
    parts: Parts, models: dict[str, Model[Any]], knowledge: Knowledge
) -> dict[str, Callable[[blend_fit.HeldBack], NDArray[Any]]]:
    def scored(model: Model[Any]) -> Callable[[blend_fit.HeldBack], NDArray[Any]]:
        return lambda each: model.score(each.situation.given, context=each.situation.context)

    def ruled(each: blend_fit.HeldBack) -> NDArray[Any]:
        scores = np.zeros(len(each.kept))
        scores[each.by_rule] = 0.8
        return scores

    return {
        "blend": lambda each: offered(parts, knowledge, each),
        "ease": scored(models["samagri"]),
        "puja popularity": scored(models["usual"]),
        "popularity": scored(models["popular"]),
        "rules": ruled,
    }


def _compared(values: Mapping[str, Sequence[float]], ours: str = "blend") -> Comparison:
    """The mean of each with its interval, and by how much ours is above it."""
    arrays = {name: np.array(of) for name, of in values.items()}
    mine = arrays.pop(ours)
    return Comparison(
        interval(mine),
        {name: interval(of) for name, of in arrays.items()},
        {name: paired(mine, of) for name, of in arrays.items()},
    )


# --- pandits ----------------------------------------------------------------------------------


def pandits(parts: Parts) -> dict[str, Any]:
    """NDCG@10 of the pandit whom the family asked, among all who offer the puja.

    Calibration and weights are learned with what was known after the first part; then all, those
    that it is compared with as well, is counted and fitted again on what came before the test.
    """
    data = parts.data
    als, users = _by_pandits(data, parts.now_ms)
    done = _pandit_counts(parts, parts.train)
    curve = _pandit_calibration(parts, als, users)
    plain = PanditRanker(_pandit_params(done))
    choices = []
    for booking in _some(parts, parts.label, MOST_CHOICES).tolist():
        candidates, wish = _candidates(parts, booking, done, als, users, curve)
        there = np.flatnonzero(candidates.is_eligible)
        at = np.flatnonzero(there == data.bookings.pandit[booking])
        choices.append((plain.factors(candidates.take(there), wish), int(at[0])))
    weights = fitted_weights(choices)
    als, users = _by_pandits(data, int(data.bookings.ts[parts.test[0]]))
    done = _pandit_counts(parts, np.arange(parts.test[0]))
    params = _pandit_params(done)
    plain, ranker = PanditRanker(params), PanditRanker(replace(params, weights=weights))
    mean, weight = params.rating_mean, params.rating_weight
    of: dict[str, list[float]] = {}
    for booking in parts.test.tolist():
        chosen = int(data.bookings.pandit[booking])
        candidates, wish = _candidates(parts, booking, done, als, users, curve)
        position = {name: n for n, name in enumerate(data.pandits.ids)}
        by_blend, by_default, by_rules = np.zeros((3, len(position)))
        unmodelled = replace(candidates, affinity=np.full(len(position), np.nan))
        for scores, kind, those in (
            (by_blend, ranker, candidates),
            (by_default, plain, candidates),
            (by_rules, plain, unmodelled),
        ):
            for each in kind.rank(those, wish):
                scores[position[each.pandit_id]] = each.score
        offers = candidates.is_eligible
        near = -np.hypot(candidates.latitude - wish.latitude, candidates.longitude - wish.longitude)
        wanted = np.arange(len(position)) == chosen
        stars = (mean * weight + done["rating_sum"]) / (weight + done["rating_count"])
        rules = {
            "rules": by_rules,
            "default weights": by_default,
            "nearest": near,
            "best rated": stars,
            "popularity": done["total"],
        }
        for name, scores in {"blend": by_blend, **rules}.items():
            of.setdefault(name, []).append(ndcg(scores, wanted, offers))
    return {"the pandit asked, NDCG@10": _compared(of)}


def _by_pandits(data: Dataset, now_ms: int) -> tuple[Als, Interactions]:
    """The model of families by pandits, and what it was fitted on, as known at an instant."""
    users = users_by(data.before(now_ms), "pandit", now_ms=now_ms)
    als = Als(AlsParams(factors=8, regularization=3, alpha=5, iterations=8, engine="numpy"))
    als.fit(users)
    return als, users


def _pandit_params(done: Mapping[str, Floats]) -> PanditParams:
    mean, weight = fitted_prior(done["rating_sum"], done["rating_count"])
    cap = float(np.percentile(done["total"], 95)) or 1.0
    return PanditParams(rating_mean=mean, rating_weight=weight, experience_cap=cap, new_share=0)


def _pandit_counts(parts: Parts, rows: Rows) -> dict[str, Floats]:
    bookings = parts.town.bookings
    n = parts.town.config.pandits
    pandit, stars = bookings["pandit"][rows], bookings["stars"][rows]
    cancelled = bookings["status"][rows] == Status.CANCELLED
    this = np.zeros((parts.town.config.pujas, n))
    np.add.at(this, (bookings["puja"][rows][~cancelled], pandit[~cancelled]), 1)
    return {
        "rating_sum": np.bincount(pandit, weights=stars, minlength=n).astype(float),
        "rating_count": np.bincount(pandit[stars > 0], minlength=n).astype(float),
        "total": this.sum(axis=0),
        "this": this,
        "cancelled": np.bincount(pandit[cancelled], minlength=n).astype(float),
    }


def _pandit_calibration(parts: Parts, als: Als, users: Any) -> calibration.Calibration:
    """The model's scores against whom families asked, on bookings that it has not seen."""
    scores, labels = [], []
    for booking in parts.calibrate.tolist():
        query = users.row(int(parts.data.bookings.user[booking]))
        if len(query.given):
            scores.append(als.item_ @ als.vector(query))
            labels.append(np.arange(als.n_items) == parts.data.bookings.pandit[booking])
    return calibration.fit(np.concatenate(scores), np.concatenate(labels))


def _candidates(
    parts: Parts,
    booking: int,
    done: dict[str, Floats],
    als: Als,
    users: Any,
    curve: calibration.Calibration,
) -> tuple[Candidates, Wish]:
    data, world = parts.data, parts.town.world
    n = parts.town.config.pandits
    user, puja = int(data.bookings.user[booking]), int(data.bookings.puja[booking])
    earlier = np.flatnonzero(data.bookings.user[:booking] == user)
    live = earlier[data.bookings.status[earlier] == Status.COMPLETED]
    times = np.bincount(data.bookings.pandit[live], minlength=n).astype(float)
    query = users.row(user)
    nobody = np.full(n, np.nan)
    this = done["this"][puja]
    candidates = Candidates(
        pandit_id=data.pandits.ids,
        is_eligible=world.pandit_offers[:, puja],
        is_free=np.ones(n, bool),
        must_move=np.zeros(n, bool),
        latitude=world.pandit_place[:, 0],
        longitude=world.pandit_place[:, 1],
        max_km=np.full(n, np.inf),
        rating_sum=done["rating_sum"],
        rating_count=done["rating_count"],
        done_this=this,
        done_other=done["total"] - this,
        years=np.zeros(n),
        cancelled=done["cancelled"],
        no_show=np.zeros(n),
        language=world.pandit_language[:, world.language[user]].astype(float),
        past_times=times,
        past_stars=nobody,
        affinity=curve(als.item_ @ als.vector(query)) if len(query.given) else nobody,
        price=world.pandit_price.astype(float),
        shown=np.zeros(n),
        booked=np.zeros(n),
    )
    place = world.place[user]
    return candidates, Wish(latitude=float(place[0]), longitude=float(place[1]))


# --- next puja --------------------------------------------------------------------------------


def next_pujas(parts: Parts) -> dict[str, Any]:
    """HR@3: whether the puja that the family booked is among the three proposed on that day.

    Habits are counted on the first part and believed as far as the label part says; then they are
    counted again on all that came before the test.
    """
    data, world = parts.data, parts.town.world
    festivals = [
        Festival(data.pujas.ids[puja], day, name=data.pujas.ids[puja])
        for puja, day in world.festivals
    ]
    first = np.concatenate((parts.train, parts.calibrate))
    began = int(data.bookings.ts[parts.label[0]])
    learned = next_puja_train.learned(
        data,
        festivals,
        counted=first,
        tuning=parts.label,
        model=_by_pujas(data, began),
    )
    before = np.arange(parts.test[0])
    model = _by_pujas(data, int(data.bookings.ts[parts.test[0]]))
    habits = replace(count_habits(data, before, festivals), tuning=learned.tuning)
    habits = next_puja_train.with_scores(habits, data, parts.label, model)
    figures = next_puja_train.judged(
        data,
        NextPuja(data.pujas, data.pujas.ids, data.regions, habits, data.once()),
        festivals,
        known=before,
        test=parts.test,
        model=model,
    )
    return {"the puja booked, HR@3": Comparison(figures.hit, figures.others, figures.above)}


def _by_pujas(data: Dataset, now_ms: int) -> Ease:
    """The model of families by pujas, of what was known at an instant."""
    return Ease(EaseParams(lam=100)).fit(users_by(data.before(now_ms), "puja", now_ms=now_ms))


TASKS = {"samagri": samagri, "pandits": pandits, "next puja": next_pujas}
# What counts as popularity and as the rules alone, by what is judged.
RIVALS = {
    "leave one out, NDCG@10": ("puja popularity", "popularity", "rules"),
    "when booked, NDCG@10": ("puja popularity", "popularity", "rules"),
    "the pandit asked, NDCG@10": ("rules", "nearest", "best rated", "popularity"),
    "the puja booked, HR@3": ("next festivals", "own most frequent", "popularity"),
}
TWICE = "leave one out, NDCG@10"


def verdicts(found: Mapping[str, Any]) -> list[tuple[bool, str]]:
    """A verdict for each comparison of a task."""
    result = []
    for name, each in found.items():
        if not isinstance(each, Comparison):
            continue
        better, line = each.verdict(RIVALS[name])
        if name == TWICE:
            times = each.ours.mean / each.others["puja popularity"].mean
            line += f"; {times:.2f} times the puja's popularity"
            better = better and times >= 2
        result.append((better, f"{name}: {line}"))
    return result


def _plain(found: Mapping[str, Any]) -> dict[str, Any]:
    return {
        name: each.lines() if isinstance(each, Comparison) else each for name, each in found.items()
    }


def main() -> int:
    """Run the tasks for each seed; 1 when ours is not better everywhere."""
    parser = argparse.ArgumentParser(prog="python -m bench.recsys_town")
    parser.add_argument("--seeds", type=int, nargs="+", default=[1, 2, 3, 4, 5])
    parser.add_argument("--users", type=int, default=5_000)
    parser.add_argument("--items", type=int, default=300)
    parser.add_argument("--pandits", type=int, default=200)
    parser.add_argument("--tasks", nargs="+", default=list(TASKS), choices=list(TASKS))
    parser.add_argument("--no-cliques", action="store_true")
    given = parser.parse_args()
    told: list[tuple[bool, str]] = []
    for seed in given.seeds:
        config = TownConfig(
            seed=seed,
            users=given.users,
            items=given.items,
            pandits=given.pandits,
            cliques=not given.no_cliques,
        )
        parts = parts_of(config)
        print(f"seed {seed}: {len(parts.data.bookings)} bookings, {len(parts.test)} judged")
        for task in given.tasks:
            found = TASKS[task](parts)
            print(json.dumps({task: _plain(found)}, indent=1), flush=True)
            told += [(better, f"seed {seed}, {line}") for better, line in verdicts(found)]
    for better, line in told:
        print("better    " if better else "NOT BETTER", line)
    return 0 if all(better for better, _ in told) else 1


if __name__ == "__main__":
    raise SystemExit(main())
