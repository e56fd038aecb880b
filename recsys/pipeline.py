"""The steps of a training, each a function of data: windows, questions, models by slot.

Time decides. Models are chosen by what they say of the validation window from what was known
before it, and judged by what they say of the test window; what is published is the chosen kind
with the chosen parameters, fitted again on everything.
"""

from __future__ import annotations

import contextlib
import dataclasses
import importlib
import math
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, fields
from typing import Any, Final, Literal, NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from recsys import registry
from recsys.bootstrap import Interval, paired
from recsys.bundle import Bundle
from recsys.calibration import Calibration
from recsys.calibration import fit as fit_calibration
from recsys.comparison import Outcome, examine, rank, scored_pairs
from recsys.config import BadConfig, Config
from recsys.data import Dataset
from recsys.engine import AlsParams
from recsys.gates import wins
from recsys.matrix import Baskets, baskets, users_by
from recsys.metrics import NO_ITEM, list_figures
from recsys.models.als import Als
from recsys.models.base import IntArray, Interactions, Model
from recsys.models.popularity import Popularity
from recsys.models.puja_popularity import PujaPopularity
from recsys.splits import Queries, held_out, instants, leave_one_out
from recsys.tune import Found, Space, Trial, ndcg, search, thinned

TEST_FACTOR: Final = 5
"""The test may ask so many times more questions than a trial."""
_DRIFT_QUERIES: Final = 500
_OWN_UNITS: Final = 200
_TIMED_QUERIES: Final = 300
_GONE: Final = 20
"""Places kept free in another model's lists for items that are gone."""

Target = Literal["item", "pandit", "puja"]
USER_SLOTS: Final[Mapping[str, Target]] = {
    "user_item": "item",
    "pandit": "pandit",
    "puja": "puja",
}
SLOTS_OF_TASK: Final[Mapping[str, tuple[str, ...]]] = {
    "samagri": ("samagri", "usual", "popular", "user_item"),
    "pandit": ("pandit",),
    "puja": ("puja",),
}
# Spark takes seconds and a Java to start: its module is loaded when it is asked for.
_ENGINES: Final = {"spark": "recsys.spark_als"}
NOT_SERVED: Final = "there is no current model of it to compare with"
TrialTold = Callable[[str, str, int, Trial], None]


class TooLittleData(ValueError):
    """There is too little to split, tune and test on."""


class Solver(Protocol):
    """What fits ALS: this machine, or Spark."""

    def __call__(self, data: Interactions, params: AlsParams, seed: int, /) -> Als:
        """A fitted model."""


def solve_here(data: Interactions, params: AlsParams, seed: int) -> Als:
    """Fit with the engine that the parameters name, in this process."""
    return Als(params).fit(data, seed=seed)


@contextlib.contextmanager
def solver_of(config: Config) -> Iterator[Solver]:
    """What fits ALS by these settings, for as long as the context lasts.

    Raises
    ------
    BadConfig
        When the engine that they name is not to be had here.
    """
    engine = config.run.engine
    if engine not in _ENGINES:
        yield solve_here
        return
    with contextlib.ExitStack() as stack:
        try:
            module = importlib.import_module(_ENGINES[engine])
            session = stack.enter_context(module.SparkEngine(config.spark))
        except (ImportError, RuntimeError) as error:
            raise BadConfig([f"--engine {engine}: {error}"]) from error

        def solve(data: Interactions, params: AlsParams, seed: int) -> Als:
            return Als.from_factors(session.fit(data.matrix, params, seed), params)

        yield solve


@dataclass(frozen=True, slots=True)
class Windows:
    """Instants in milliseconds at which a window begins, and the end of the data (exclusive).

    The blend's window reaches to the test, over the validation: it needs many bookings.
    """

    blend: int
    validation: int
    test: int
    end: int


def windows(data: Dataset, config: Config) -> Windows:
    """Cut the time of the data by shares of its bookings.

    Raises
    ------
    TooLittleData
        When a part would be empty.
    """
    first, second = instants(
        data.bookings.ts,
        train_end=config.split.validation_at,
        validation_end=config.split.test_at,
    )
    blend, _ = instants(data.bookings.ts, train_end=config.split.blend_at)
    end = data.newest_ms() + 1
    begin = int(data.bookings.ts.min())
    if not (begin < first < second < end and begin < blend < second):
        raise TooLittleData("the bookings do not spread over time enough to be split")
    return Windows(blend, first, second, end)


@dataclass(frozen=True, slots=True, eq=False)
class Asked:
    """Questions, and the user and the time of the booking that each belongs to."""

    queries: Queries
    user: NDArray[np.int32]
    ts: NDArray[np.int64]

    @property
    def count(self) -> int:
        """How many questions there are."""
        return self.queries.data.n_rows

    def select(self, mask: NDArray[np.bool_]) -> Asked:
        """Only these questions."""
        return Asked(self.queries.select(mask), self.user[mask], self.ts[mask])


def basket_questions(data: Dataset, begin: int, end: int, at_most: int, seed: int) -> Asked:
    """Leave-one-out questions of the bookings made in ``[begin, end)``, as known at the end."""
    known = baskets(data.before(end), now_ms=end)
    made = data.bookings.ts[known.booking]
    rows = np.flatnonzero(made >= begin)
    part = known.data.select(rows)
    long_enough = rows[np.diff(part.matrix.indptr) >= 2]
    queries = thinned(leave_one_out(part), at_most, seed) if len(long_enough) else None
    if queries is None:
        raise TooLittleData("no booking of the window has two items of the customer's own")
    booking = known.booking[long_enough[queries.group]]
    return Asked(queries, data.bookings.user[booking], data.bookings.ts[booking])


def user_questions(
    data: Dataset,
    target: Target,
    begin: int,
    end: int,
    at_most: int,
    seed: int,
    *,
    strangers: bool = False,
) -> Queries:
    """For each user known at ``begin``: what of the target was new to them before ``end``.

    What they had before is given. Repeats are left to the parts that count them. ``strangers``: of
    those instead who liked nothing before, so that nothing of them is known.
    """
    given = users_by(data.before(begin), target, now_ms=begin)
    before_end = data.before(end)
    later = before_end.events.ts >= begin
    fresh = users_by(
        dataclasses.replace(before_end, events=_taken(before_end.events, later)),
        target,
        now_ms=end,
    ).positive()
    had = given.matrix.copy()
    had.data = np.ones_like(had.data)
    fresh = (fresh - fresh.multiply(had)).tocsr()
    fresh.eliminate_zeros()
    wide = held_out(given, fresh)
    known = np.diff(wide.data.positive().indptr) > 0
    return thinned(wide.select(~known if strangers else known), at_most, seed)


def _taken(table: Any, mask: NDArray[np.bool_]) -> Any:
    return type(table)(**{each.name: getattr(table, each.name)[mask] for each in fields(table)})


@dataclass(frozen=True, slots=True, eq=False)
class Choice:
    """What validation chose for a slot, and what was tried on the way."""

    kind: str
    params: Mapping[str, Any]
    score: float
    searches: Mapping[str, Found] = field(default_factory=dict)

    @property
    def complete(self) -> bool:
        """Whether no search was cut short by time."""
        return all(found.complete for found in self.searches.values())


def spaces(config: Config) -> dict[str, Space]:
    """The parameters to try, by kind of model."""
    als = config.als
    regularization = (
        config.spark.regularization if config.run.engine == "spark" else als.regularization
    )
    return {
        "ease": {"lam": config.ease.lam, "w_ctx": config.ease.context_weight},
        "rp3beta": {"alpha": config.rp3.alpha, "beta": config.rp3.beta},
        "item_knn": {"shrink": config.knn.shrink},
        "association": {"support": config.association.support},
        "als": {
            "factors": als.factors,
            "regularization": regularization,
            "alpha": als.alpha,
        },
    }


def _space(kind: str, train: Interactions, config: Config) -> Space:
    """The space of a kind; without a context there is no weight of it to try."""
    space = spaces(config)[kind]
    if train.fields:
        return space
    return {name: values for name, values in space.items() if name != "w_ctx"}


def fitted(
    kind: str,
    params: Mapping[str, Any],
    data: Interactions,
    config: Config,
    solver: Solver,
    *,
    searching: bool = False,
) -> Model[Any]:
    """A model of this kind, fitted.

    Iterations, engine and regularisation of ALS are those of the settings where ``params`` have
    none; the parameters of a published model have their own.
    """
    seed = config.run.seed
    if kind != "als":
        return registry.create(kind, params).fit(data, seed=seed)
    steps = config.als.search_iterations if searching else config.als.iterations
    engine = config.run.engine
    if engine == "auto":
        raise ValueError("which engine is decided before training begins")
    own = {
        "iterations": steps,
        "engine": engine,
        "reg_mode": "scaled" if engine == "spark" else "plain",
    }
    return solver(data, AlsParams(**{**own, **params}), seed)


def refittable(kind: str, params: Mapping[str, Any], config: Config) -> dict[str, Any] | None:
    """The parameters of a published model for fitting its kind again; None where that cannot be.

    The engines differ in what the regularisation multiplies (``engine.RegMode``). That of Spark can
    be fitted by Spark and by numpy, the plain one by numpy and implicit.
    """
    if kind != "als":
        return dict(params)
    found = {name: value for name, value in params.items() if name != "engine"}
    scaled = found.get("reg_mode", "plain") == "scaled"
    engine = config.run.engine
    if engine == ("implicit" if scaled else "spark"):
        return None
    return found


def choose(
    kinds: Sequence[str],
    train: Interactions,
    questions: Queries,
    config: Config,
    solver: Solver,
    *,
    deadline: float = math.inf,
    told: Callable[[str, int, Trial], None] | None = None,
) -> Choice:
    """Search the parameters of each kind, and choose the kind, by NDCG on the questions.

    Time is shared: each kind may take its part of what is left. Of equal kinds the first is
    chosen.

    Raises
    ------
    TooLittleData
        When there are no questions.
    BadConfig
        When a kind can be fitted with none of the parameters that the settings name.
    """
    if questions.data.n_rows == 0:
        raise TooLittleData("the validation window asks nothing")
    found: dict[str, Found] = {}
    for number, kind in enumerate(kinds):
        now = time.monotonic()
        share = now + (deadline - now) / (len(kinds) - number)

        def judge(params: Mapping[str, Any], kind: str = kind) -> float:
            model = fitted(kind, params, train, config, solver, searching=True)
            return ndcg(model, questions, config.search.k)

        tried: list[Trial] = []

        def on_trial(trial: Trial, kind: str = kind, tried: list[Trial] = tried) -> None:
            tried.append(trial)
            if told is not None:
                told(kind, len(tried), trial)

        try:
            found[kind] = search(
                _space(kind, train, config),
                judge,
                patience=config.search.patience,
                deadline=share,
                on_trial=on_trial,
            )
        except ValueError as error:
            raise BadConfig([f"{kind}: {error}"]) from error
    best = max(kinds, key=lambda kind: found[kind].best.score)
    return Choice(best, dict(found[best].best.params), found[best].best.score, found)


@dataclass(frozen=True, slots=True, eq=False)
class Trained:
    """One slot: the model on everything, and how its kind did on the test window."""

    slot: str
    choice: Choice
    model: Model[Any]
    outcome: Outcome
    baselines: Mapping[str, Outcome]
    questions: Queries
    """Those of the test window."""
    judged: Model[Any]
    """The model that the outcome is of: fitted on what was known before the test."""
    calibration: Calibration | None = None
    """From raw score to the probability of something new in a window as long as validation's."""
    against_current: Interval | None = None
    """The paired gain in NDCG over what serves in this slot, fitted again; None without any."""
    compared: str = NOT_SERVED
    """How that comparison was made, or why it was not."""

    def gain(self) -> Interval:
        """The paired gain in NDCG over the best baseline."""
        return self.outcome.versus(self.best_baseline())

    def best_baseline(self) -> Outcome:
        """The baseline with the highest NDCG."""
        return max(self.baselines.values(), key=lambda outcome: outcome.mean())


def train_baskets(
    data: Dataset,
    cut: Windows,
    config: Config,
    solver: Solver,
    *,
    deadline: float = math.inf,
    told: TrialTold | None = None,
) -> tuple[Trained, Asked, dict[str, Model[Any]]]:
    """Train the samagri slot and those that support it.

    Returns
    -------
    Trained, Asked, dict
        The slot, the questions of the test, and the models of the slots ``usual`` and
        ``popular``.
    """
    most, seed, k = config.search.max_queries, config.run.seed, config.search.k
    early = baskets(data.before(cut.validation), now_ms=cut.validation).data
    questions = basket_questions(data, cut.validation, cut.test, most, seed)
    choice = choose(
        config.search.candidates,
        early,
        questions.queries,
        config,
        solver,
        deadline=deadline,
        told=_of_slot("samagri", told),
    )
    known = baskets(data.before(cut.test), now_ms=cut.test).data
    test = basket_questions(data, cut.test, cut.end, most * TEST_FACTOR, seed)
    judged, seconds = _timed(lambda: fitted(choice.kind, choice.params, known, config, solver))
    outcome = examine(judged, test.queries, known, k=k, fit_seconds=seconds, params=choice.params)
    baselines = {
        model.name: examine(model, test.queries, known, k=k)
        for model in (
            Popularity().fit(known, seed=seed),
            PujaPopularity().fit(known, seed=seed),
        )
    }
    whole = all_baskets(data, cut).data
    support: dict[str, Model[Any]] = {
        "usual": PujaPopularity().fit(whole, seed=seed),
        "popular": Popularity().fit(whole, seed=seed),
    }
    model = fitted(choice.kind, choice.params, whole, config, solver)
    trained = Trained("samagri", choice, model, outcome, baselines, test.queries, judged)
    return trained, test, support


def all_baskets(data: Dataset, cut: Windows) -> Baskets:
    """Every basket, as known at the end."""
    return baskets(data.before(cut.end), now_ms=cut.end)


def train_users(
    data: Dataset,
    slot: str,
    cut: Windows,
    config: Config,
    solver: Solver,
    *,
    current: Bundle | None = None,
    deadline: float = math.inf,
    told: TrialTold | None = None,
) -> Trained:
    """Train a slot of customers by items, pandits or pujas, beside popularity.

    ALS for items and pandits; for the next puja, where rows are short, what validation chooses.
    Kind and parameters that serve now stay unless the test shows that what was found is no worse:
    rows of customers are few, and a search alone often finds what only looks better.
    """
    target = USER_SLOTS[slot]
    most, seed, k = config.search.max_queries, config.run.seed, config.search.k
    early = users_by(data.before(cut.validation), target, now_ms=cut.validation)
    questions = user_questions(data, target, cut.validation, cut.test, most, seed)
    choice = choose(
        config.search.puja_candidates if slot == "puja" else ("als",),
        early,
        questions,
        config,
        solver,
        deadline=deadline,
        told=_of_slot(slot, told),
    )
    known = users_by(data.before(cut.test), target, now_ms=cut.test)
    test = user_questions(data, target, cut.test, cut.end, most * TEST_FACTOR, seed)
    found = _tested(choice, known, test, config, solver)
    popular = examine(Popularity().fit(known, seed=seed), test, known, k=k)
    choice, judged, outcome, gain, compared = _challenged(
        slot, found, current, known, test, popular, config, solver
    )
    whole = users_by(data.before(cut.end), target, now_ms=cut.end)
    model = fitted(choice.kind, choice.params, whole, config, solver)
    before = fitted(choice.kind, choice.params, early, config, solver)
    pairs = scored_pairs(before, questions, seed=seed)
    calibration = fit_calibration(pairs.score, pairs.label) if pairs.label.any() else None
    baselines = {"popularity": popular}
    return Trained(
        slot, choice, model, outcome, baselines, test, judged, calibration, gain, compared
    )


class _Tested(NamedTuple):
    """A choice, fitted on what was known before the test, and how it did there."""

    choice: Choice
    model: Model[Any]
    outcome: Outcome
    gain: Interval | None = None
    compared: str = NOT_SERVED


def _tested(
    choice: Choice, known: Interactions, test: Queries, config: Config, solver: Solver
) -> _Tested:
    model, seconds = _timed(lambda: fitted(choice.kind, choice.params, known, config, solver))
    outcome = examine(
        model, test, known, k=config.search.k, fit_seconds=seconds, params=choice.params
    )
    return _Tested(choice, model, outcome)


def _challenged(
    slot: str,
    found: _Tested,
    current: Bundle | None,
    known: Interactions,
    test: Queries,
    popular: Outcome,
    config: Config,
    solver: Solver,
) -> _Tested:
    """What was found, or what serves where that does better by more than it may.

    What serves and does not win against popularity would be left out: what was found and wins is
    taken instead.
    """
    if current is None or slot not in current.models:
        return found
    saved = current.models[slot].save().params
    kind, params = saved["model"], refittable(saved["model"], saved["params"], config)
    if params is None:
        # With another regularisation it would be another model: not a fair comparison.
        how = f"not at all: {config.run.engine} cannot fit it again"
        return found._replace(compared=how)
    level = Interval(0.0, 0.0, 0.0)
    ours = found.model.save().params["params"]
    if kind == found.choice.kind and params == {name: ours.get(name) for name in params}:
        return found._replace(gain=level, compared="kind and parameters are those that serve")
    serving = _tested(
        dataclasses.replace(found.choice, kind=kind, params=params), known, test, config, solver
    )
    gain = found.outcome.versus(serving.outcome)
    if gain.low > -config.gates.paired_loss:
        return found._replace(gain=gain, compared="fitted again")
    if wins(found.outcome.versus(popular), config) and not wins(
        serving.outcome.versus(popular), config
    ):
        return found._replace(compared="not at all: what serves does not win against popularity")
    lost = f"the gain of what was found has the lower bound {gain.low:.4f}"
    return serving._replace(gain=level, compared=f"kind and parameters that serve stay: {lost}")


def _of_slot(slot: str, told: TrialTold | None) -> Callable[[str, int, Trial], None] | None:
    if told is None:
        return None
    tell = told
    return lambda kind, number, trial: tell(slot, kind, number, trial)


def _timed(fit: Callable[[], Model[Any]]) -> tuple[Model[Any], float]:
    started = time.perf_counter()
    model = fit()
    return model, time.perf_counter() - started


# --- against the model that serves now ------------------------------------------------------------


def lists_of(bundle: Bundle, data: Dataset, questions: Queries, k: int) -> IntArray:
    """What another version's samagri model answers, in the indexes of this data set.

    Items, pujas and regions that it does not know are left out of the question; those that it
    recommends and that are gone are left out of the answer.
    """
    model, theirs = bundle.models["samagri"], bundle.ids_of("samagri")
    there = np.array([theirs.index(name) for name in data.items.ids], np.int32)
    here = np.array([data.items.index(name) for name in theirs], np.int32)
    names = {
        "puja": data.pujas,
        "puja_category": data.categories,
        "region": data.regions,
        "pandit": data.pandits,
    }
    found = np.full((questions.data.n_rows, k), NO_ITEM, np.int32)
    for row in range(len(found)):
        given, weights, context = questions.data.row(row)
        known = there[given] >= 0
        values = {
            name: names[name].ids[index] if name in names else index
            for name, index in context.items()
        }
        ranking = model.recommend(
            there[given[known]],
            k + _GONE,
            weights=weights[known],
            context=bundle.context(values),
        )
        items = here[ranking.items]
        items = items[items >= 0][:k]
        found[row, : len(items)] = items
    return found


@dataclass(frozen=True, slots=True)
class Comparison:
    """The new model against the one that serves."""

    gain: Interval | None
    """None where the current model cannot be fitted again here."""
    jaccard: float
    queries: int
    how: str
    """``as it serves``, or ``fitted again`` where it has seen the test window itself."""


def against(
    current: Bundle,
    current_until: int,
    trained: Trained,
    test: Asked,
    data: Dataset,
    cut: Windows,
    config: Config,
    solver: Solver,
) -> Comparison | None:
    """Compare with the current model on questions that neither has seen.

    The current model was fitted on everything before ``current_until``. Where too few questions
    are newer than that, its kind and parameters are fitted again on what the new model was judged
    by: an equal chance for both.
    """
    if "samagri" not in current.models:
        return None
    k = config.search.k
    gain = None
    newer = test.ts >= current_until
    if len(np.unique(test.queries.group[newer])) >= _OWN_UNITS:
        part, how = test.select(newer), "as it serves"
        lists = lists_of(current, data, part.queries, k)
        theirs = list_figures(lists, part.queries.relevant, k).ndcg
        gain = paired(trained.outcome.at_k.ndcg[newer], theirs, part.queries.group)
    else:
        part, how = test, "fitted again"
        saved = current.models["samagri"].save().params
        params = refittable(saved["model"], saved["params"], config)
        if params is None:
            # With another regularisation it would be another model: not a fair comparison.
            how = f"not at all: {config.run.engine} cannot fit it again"
        else:
            known = baskets(data.before(cut.test), now_ms=cut.test).data
            again = fitted(saved["model"], params, known, config, solver)
            theirs = examine(again, part.queries, known, k=k).at_k.ndcg
            gain = paired(trained.outcome.at_k.ndcg, theirs, part.queries.group)
    sample = thinned(test.queries, _DRIFT_QUERIES, config.run.seed)
    before = lists_of(current, data, sample, k)
    after = rank(trained.model, sample.data, k=k).lists
    overlaps = [_jaccard(a, b) for a, b in zip(before.tolist(), after.tolist(), strict=True)]
    return Comparison(
        gain=gain,
        jaccard=float(np.median(overlaps)),
        queries=part.count,
        how=how,
    )


def _jaccard(first: list[int], second: list[int]) -> float:
    a, b = set(first) - {NO_ITEM}, set(second) - {NO_ITEM}
    return len(a & b) / len(a | b) if a | b else 1.0


def slowest_ms(trained: Iterable[Trained]) -> float:
    """The 99th percentile of a top 10 of the slowest slot, one question at a time.

    Of three tries of each question the quickest counts: what other programs do on this machine is
    not the model's doing.
    """
    return max((_p99_ms(each) for each in trained), default=0.0)


def _p99_ms(trained: Trained) -> float:
    data = trained.questions.data
    rows = np.linspace(0, data.n_rows - 1, min(data.n_rows, _TIMED_QUERIES)).astype(np.int64)
    taken = []
    for row in np.unique(rows).tolist():
        given, weights, context = data.row(row)
        tries = []
        for _ in range(3):
            started = time.perf_counter()
            trained.model.recommend(given, 10, weights=weights, context=context)
            tries.append(time.perf_counter() - started)
        taken.append(min(tries))
    return float(np.quantile(taken, 0.99)) * 1000 if taken else 0.0


def norm_ratio(models: Mapping[str, Model[Any]], current: Bundle | None) -> float | None:
    """The largest factor by which mean norms of item vectors differ from the current ones."""
    if current is None:
        return None
    ratios = []
    for slot, model in models.items():
        other = current.models.get(slot)
        if isinstance(model, Als) and isinstance(other, Als):
            ours, theirs = (
                float(np.linalg.norm(each.item_, axis=1).mean()) for each in (model, other)
            )
            if min(ours, theirs) > 0:
                ratios.append(max(ours / theirs, theirs / ours))
    return max(ratios, default=None)
