"""Does the recommender find what was planted? The town of ``recsys.town``, three tasks, intervals.

``python -m bench.recsys_town [--seeds 1 2 3 4 5] [--users 1500] [--items 160]``. Models are fitted
on the first part of the bookings, calibrated and blended on the next two, and judged on the last.
Prints a line a ranking with its 95 % interval over bookings, and the paired differences.
"""

# ruff: noqa: I001 - the package comes before numpy, whose threads it sets

from __future__ import annotations

import argparse
import json
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime
from typing import Any

import recsys  # noqa: F401 - see above
import numpy as np
from numpy.typing import NDArray

from recsys import blend_fit, calibration, next_puja_fit, synth
from recsys.bootstrap import interval, paired
from recsys.calibration import sigmoid
from recsys.data import Dataset, Status
from recsys.engine import AlsParams
from recsys.matrix import baskets, users_by
from recsys.metrics import reliability
from recsys.models.als import Als
from recsys.models.base import Model
from recsys.models.ease import Ease, EaseParams
from recsys.models.popularity import Popularity
from recsys.models.puja_popularity import PujaPopularity
from recsys.next_puja import Family, Festival, NextPuja, Past
from recsys.pandits import (
    Candidates,
    PanditParams,
    PanditRanker,
    Wish,
    fitted_prior,
    fitted_weights,
)
from recsys.signals import SIGNALS, Knowledge
from recsys.town import KINDS, Town, TownConfig, simulate

Rows = NDArray[np.int64]
Floats = NDArray[np.float64]
_GAINS = 1 / np.log2(np.arange(2, 12))
_UNASKED = ("season", "budget")


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


def ndcg(scores: NDArray[Any], relevant: NDArray[np.bool_], asked: NDArray[np.bool_]) -> float:
    """NDCG@10 of one list; ties go to the smaller index."""
    masked = np.where(asked, scores, -np.inf)
    best = np.argsort(-masked, kind="stable")[:10]
    hits = relevant[best] & asked[best]
    return float((hits * _GAINS).sum() / _GAINS[: min(10, int((relevant & asked).sum()))].sum())


def samagri_models(parts: Parts) -> dict[str, Model[Any]]:
    """The models of the blend, and popularity to compare with, fitted on the first part."""
    known = parts.data.before(parts.now_ms)
    cells = baskets(known, now_ms=parts.now_ms).data
    users = users_by(known, "item", now_ms=parts.now_ms)
    als = AlsParams(factors=16, regularization=10, alpha=5, iterations=8, engine="numpy")
    return {
        "samagri": Ease(EaseParams(lam=200, w_ctx=2)).fit(cells),
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
    """Leave one out on what no rule added, and the whole list when a booking is made."""
    models = samagri_models(parts)
    knowledge = fitted_knowledge(parts, models)
    known = parts.data.before(parts.now_ms)
    user_item = models["user_item"]
    assert isinstance(user_item, Als)
    questions = blend_fit.Questions(parts.data, known, user_item, parts.now_ms)
    of: dict[str, list[float]] = {}
    fresh: dict[str, list[float]] = {}
    promised, kept = [], []
    for booking in parts.test.tolist():
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
        "leave one out, NDCG@10": _compared(of, "blend"),
        "when booked, NDCG@10": _compared(fresh, "blend"),
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
        "blend": lambda each: blended(knowledge, each),
        "ease": scored(models["samagri"]),
        "puja popularity": scored(models["usual"]),
        "popularity": scored(models["popular"]),
        "rules": ruled,
    }


def _compared(values: dict[str, list[float]], ours: str) -> dict[str, str]:
    """The mean of each with its interval, and by how much ours is above it."""
    result = {}
    mine = np.array(values[ours])
    for name, of in values.items():
        line = str(interval(np.array(of)))
        if name != ours:
            line += f"   {ours} above it by {paired(mine, np.array(of))}"
        result[name] = line
    return result


# --- pandits ----------------------------------------------------------------------------------


def pandits(parts: Parts) -> dict[str, Any]:
    """NDCG@10 of the pandit whom the family asked, among all who offer the puja."""
    data = parts.data
    known = data.before(parts.now_ms)
    users = users_by(known, "pandit", now_ms=parts.now_ms)
    als = Als(AlsParams(factors=8, regularization=3, alpha=5, iterations=8, engine="numpy"))
    als.fit(users)
    done = _pandit_counts(parts, parts.train)
    curve = _pandit_calibration(parts, als, users)
    mean, weight = fitted_prior(done["rating_sum"], done["rating_count"])
    cap = float(np.percentile(done["total"], 95)) or 1.0
    params = PanditParams(rating_mean=mean, rating_weight=weight, experience_cap=cap, new_share=0)
    plain = PanditRanker(params)
    choices = []
    for booking in parts.label.tolist():
        candidates, wish = _candidates(parts, booking, done, als, users, curve)
        there = np.flatnonzero(candidates.is_eligible)
        at = np.flatnonzero(there == data.bookings.pandit[booking])
        choices.append((plain.factors(candidates.take(there), wish), int(at[0])))
    ranker = PanditRanker(replace(params, weights=fitted_weights(choices)))
    of: dict[str, list[float]] = {}
    for booking in parts.test.tolist():
        chosen = int(data.bookings.pandit[booking])
        candidates, wish = _candidates(parts, booking, done, als, users, curve)
        position = {name: n for n, name in enumerate(data.pandits.ids)}
        by_blend, by_default = np.zeros(len(position)), np.zeros(len(position))
        for scores, kind in ((by_blend, ranker), (by_default, plain)):
            for each in kind.rank(candidates, wish):
                scores[position[each.pandit_id]] = each.score
        offers = candidates.is_eligible
        near = -np.hypot(candidates.latitude - wish.latitude, candidates.longitude - wish.longitude)
        wanted = np.arange(len(position)) == chosen
        stars = (mean * weight + done["rating_sum"]) / (weight + done["rating_count"])
        rules = {
            "default weights": by_default,
            "nearest": near,
            "best rated": stars,
            "popularity": done["total"],
        }
        for name, scores in {"blend": by_blend, **rules}.items():
            of.setdefault(name, []).append(ndcg(scores, wanted, offers))
    return {"the pandit asked, NDCG@10": _compared(of, "blend")}


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
    """HR@3: whether the puja that the family booked is among the three proposed on that day."""
    data, world = parts.data, parts.town.world
    festivals = [
        Festival(data.pujas.ids[puja], day, name=data.pujas.ids[puja])
        for puja, day in world.festivals
    ]
    annual = {data.pujas.ids[p] for p in np.flatnonzero(world.puja_kind == 0)}
    once = {data.pujas.ids[p] for p in np.flatnonzero(world.puja_kind == KINDS.index("once"))}
    past_rows = np.concatenate((parts.train, parts.calibrate))
    known = data.before(parts.now_ms)
    users = users_by(known, "puja", now_ms=parts.now_ms)
    ease = Ease(EaseParams(lam=100)).fit(users)
    curve, usual = _puja_calibration(parts, ease, users)
    model = NextPuja(
        pujas=data.pujas,
        puja_ids=data.pujas.ids,
        regions=data.regions,
        habits=next_puja_fit.count_habits(data, past_rows, festivals, annual=annual),
        rules=next_puja_fit.rules_of(data, past_rows, annual=annual, once=once),
        similar=curve,
        usual=usual,
    )
    popular = np.bincount(data.bookings.puja[past_rows], minlength=len(data.pujas))
    of: dict[str, list[float]] = {}
    for booking in parts.test.tolist():
        user = int(data.bookings.user[booking])
        family, counts = _family(data, booking, user)
        query = users.row(user)
        scores = ease.score(query.given, weights=query.weights) if len(query.given) else None
        proposed = model.suggest(family, festivals, scores=scores, limit=3)
        wanted = int(data.bookings.puja[booking])
        nearest = sorted((each.day, each.puja_id) for each in festivals if each.day > family.today)[
            :3
        ]
        rankings = {
            "blend": [data.pujas.index(each.puja_id) for each in proposed],
            "own most frequent": np.argsort(-(counts + popular / 1e6), kind="stable")[:3].tolist(),
            "popularity": np.argsort(-popular, kind="stable")[:3].tolist(),
            "next festivals": [data.pujas.index(name) for _, name in nearest],
        }
        for name, best in rankings.items():
            of.setdefault(name, []).append(float(wanted in best))
    return {"the puja booked, HR@3": _compared(of, "blend")}


def _puja_calibration(
    parts: Parts, ease: Ease, users: Any
) -> tuple[calibration.Calibration, Floats]:
    """The model's scores against what families booked next; and the mean of each puja."""
    scores, labels = [], []
    for booking in parts.calibrate.tolist():
        query = users.row(int(parts.data.bookings.user[booking]))
        if len(query.given):
            scores.append(ease.score(query.given, weights=query.weights))
            labels.append(np.arange(ease.n_items) == parts.data.bookings.puja[booking])
    curve = calibration.fit(np.concatenate(scores), np.concatenate(labels))
    return curve, np.mean([curve(each) for each in scores], axis=0)


def _family(data: Dataset, booking: int, user: int) -> tuple[Family, NDArray[Any]]:
    """What was known of the family when it booked."""
    earlier = np.flatnonzero(data.bookings.user[:booking] == user)
    today = _day(int(data.bookings.ts[booking]))
    past: dict[int, Past] = {}
    for row in earlier.tolist():
        puja = int(data.bookings.puja[row])
        held = _day(int(data.bookings.held_ts[row]))
        if data.bookings.status[row] == Status.COMPLETED and held <= today:
            times = past[puja].times + 1 if puja in past else 1
            past[puja] = Past(data.pujas.ids[puja], held, times)
    counts = np.bincount(data.bookings.puja[earlier], minlength=len(data.pujas))
    region = data.regions.ids[int(data.bookings.region[booking])]
    booked = tuple(
        (data.pujas.ids[int(data.bookings.puja[row])], _day(int(data.bookings.held_ts[row])))
        for row in earlier.tolist()
        if _day(int(data.bookings.held_ts[row])) > today
    )
    return Family(today=today, region=region, past=tuple(past.values()), booked=booked), counts


def _day(ms: int) -> date:
    return datetime.fromtimestamp(ms / 1000, UTC).date()


TASKS = {"samagri": samagri, "pandits": pandits, "next puja": next_pujas}


def main() -> None:
    """Run the tasks for each seed."""
    parser = argparse.ArgumentParser(prog="python -m bench.recsys_town")
    parser.add_argument("--seeds", type=int, nargs="+", default=[1, 2, 3, 4, 5])
    parser.add_argument("--users", type=int, default=1_500)
    parser.add_argument("--items", type=int, default=160)
    parser.add_argument("--pandits", type=int, default=100)
    parser.add_argument("--tasks", nargs="+", default=list(TASKS), choices=list(TASKS))
    parser.add_argument("--no-cliques", action="store_true")
    given = parser.parse_args()
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
            print(json.dumps({task: TASKS[task](parts)}, indent=1))


if __name__ == "__main__":
    main()
