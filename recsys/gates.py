"""The gates between a trained model and the running server.

A gate is a number, a bound, and a sentence. All have to hold; what was not measured says why it
was not. Nothing here measures: the trainer does, and what it measured is kept with the verdict.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass, field, replace
from typing import Any, NamedTuple

from recsys.bootstrap import Interval
from recsys.config import Config


class Slice(NamedTuple):
    """One segment: its size, the value of the new model and of what it is compared with."""

    rows: int
    value: float
    reference: float


class Contest(NamedTuple):
    """One slot of customers, or the habits, against what would be told without it."""

    figure: str
    gain: Interval
    """The paired difference, new minus ``rival``."""
    rival: str
    against_current: Interval | None = None
    """The paired difference, new minus what serves."""
    compared: str = ""
    """How that was compared, or why it was not."""
    serves: str = ""
    """The part that alone asks it, where that is left out: nothing would ask it."""


@dataclass(frozen=True, slots=True)
class Gate:
    """One verdict.

    ``value`` and ``bound`` are None when the gate had nothing to measure; it then holds, and
    ``reason`` says why. ``left_out``: it holds because what lost is not in the version.
    """

    name: str
    passed: bool
    value: float | None
    bound: float | None
    reason: str
    left_out: bool = False

    def as_dict(self) -> dict[str, Any]:
        """As the manifest holds it."""
        return asdict(self)


@dataclass(frozen=True, slots=True, kw_only=True)
class Measured:
    """What was measured of one trained model; None where it could not be."""

    bookings: int
    users: int
    rejected_share: float
    newest_age_hours: float
    over_baseline: Interval | None = None
    """The paired difference of NDCG@10, new minus the best baseline."""
    baseline: str = ""
    """Which baseline that is."""
    against_current: Interval | None = None
    """The paired difference of NDCG@10, new minus current."""
    not_compared: str = "there is no current model to compare with"
    """Why there is no such difference."""
    contests: Mapping[str, Contest] = field(default_factory=dict)
    """By slot of customers, and of the habits. Who loses is left out: see `wins`."""
    models: int | None = None
    """How many models are left to be asked, and the habits where they are."""
    lost: tuple[str, ...] | None = None
    """Slots and parts that the current model has and this one lacks, but for those left out."""
    coverage: float | None = None
    exposure: float | None = None
    """The upper bound of the share of new pandits among the first five, over replayed lists."""
    slices: Mapping[str, Slice] = field(default_factory=dict)
    ece: float | None = None
    keep_rate: float | None = None
    shown: int = 0
    """Suggestions above the threshold in the test part, of which ``keep_rate`` is the share."""
    tier_violations: int | None = None
    """Rows of the lists for the test bookings that stand above one of a stronger type."""
    missing_required: int | None = None
    """Required and essential items that these lists lack."""
    never_show_violations: int | None = None
    """Optional rows of things that the customer never wants to see."""
    not_finite: int | None = None
    """Numbers of the model, and confidences of these lists, that are not finite."""
    norm_ratio: float | None = None
    """Largest factor between a mean factor norm and that of the current model, 1 or more."""
    jaccard: float | None = None
    artifact_bytes: int | None = None
    load_seconds: float | None = None
    p99_ms: float | None = None


def judge(measured: Measured, config: Config, *, force_drift: bool = False) -> list[Gate]:
    """Every gate, those that held and those that did not."""
    return [
        *_data(measured, config),
        *_quality(measured, config),
        *_breadth(measured, config),
        *_trust(measured, config),
        *_drift(measured, config, force_drift=force_drift),
        *_cost(measured, config),
    ]


def wins(gain: Interval, config: Config) -> bool:
    """Whether what gains so much is better, or as the settings may say no worse, than its rival.

    Without any question nothing was shown, and it does not.
    """
    return (gain.low if config.gates.must_beat_baseline else gain.high) > 0


def left_out(gates: Iterable[Gate]) -> dict[str, str]:
    """By slot or part what is left out, and why."""
    return {gate.name.rpartition(".")[2]: gate.reason for gate in gates if gate.left_out}


def failed(gates: list[Gate]) -> list[Gate]:
    """Those that did not hold."""
    return [gate for gate in gates if not gate.passed]


def _at_least(name: str, value: float | None, bound: float, what: str) -> Gate:
    if value is None:
        return Gate(name, True, None, None, f"{what}: not measured here")
    return Gate(name, value >= bound, value, bound, f"{what}: {value:.4g}, at least {bound:.4g}")


def _at_most(name: str, value: float | None, bound: float, what: str) -> Gate:
    if value is None:
        return Gate(name, True, None, None, f"{what}: not measured here")
    return Gate(name, value <= bound, value, bound, f"{what}: {value:.4g}, at most {bound:.4g}")


def _data(measured: Measured, config: Config) -> Iterator[Gate]:
    bounds = config.data
    yield _at_least("data.bookings", measured.bookings, bounds.min_bookings, "bookings")
    yield _at_least("data.users", measured.users, bounds.min_users, "users")
    share = measured.rejected_share
    yield _at_most("data.rejected", share, bounds.max_rejected, "share of unusable rows")
    age = measured.newest_age_hours
    yield _at_most("data.age", age, bounds.max_age_hours, "hours since the newest event")


def _quality(measured: Measured, config: Config) -> Iterator[Gate]:
    if measured.over_baseline is None:
        yield Gate("quality.baseline", True, None, None, "baskets were not trained")
    else:
        yield _better(
            "quality.baseline", measured.over_baseline, f"NDCG@10 over {measured.baseline}", config
        )
    yield _no_worse("quality.current", measured.against_current, measured.not_compared, config)
    # What a slot of customers would tell has a substitute: who does not beat it is left out, and
    # what is left may serve.
    for slot, contest in measured.contests.items():
        what = f"{contest.figure} over {contest.rival}"
        gate = _better(f"quality.baseline.{slot}", contest.gain, what, config)
        if contest.serves:
            reason = f"left out; only {contest.serves} would ask it, and they are"
            yield replace(gate, passed=True, reason=reason, left_out=True)
            continue
        if not gate.passed:
            yield replace(gate, passed=True, reason=f"left out; {gate.reason}", left_out=True)
            continue
        yield gate
        # Training has chosen between what it found and what serves: this tells how, and holds.
        yield _no_worse(
            f"quality.current.{slot}", contest.against_current, contest.compared, config
        )
    yield _at_least("models", measured.models, 1, "models and habits that are not left out")
    # Who trains one task alone and publishes it would take the other models from the servers.
    lost = measured.lost
    what = "slots and parts that the current model has and this one lacks"
    if lost:
        what = f"{what} ({', '.join(lost)})"
    yield _at_most("whole", None if lost is None else len(lost), 0, what)


def _better(name: str, gain: Interval, over: str, config: Config) -> Gate:
    if config.gates.must_beat_baseline:
        reason = f"lower bound of the gain in {over}: {gain.low:.4f}, must be above 0"
        return Gate(name, wins(gain, config), gain.low, 0.0, reason)
    told = f"{gain.high:.4f} (lower {gain.low:.4f}), must be above 0"
    reason = f"upper bound of the gain in {over}: {told}"
    return Gate(name, wins(gain, config), gain.high, 0.0, reason)


def _no_worse(name: str, gain: Interval | None, how: str, config: Config) -> Gate:
    if gain is None:
        return Gate(name, True, None, None, how)
    low, loss = gain.low, config.gates.paired_loss
    what = f"lower bound of the gain over the current model: {low:.4f}"
    return Gate(name, low >= -loss, low, -loss, f"{what}, must be at least {0 - loss:.4f} ({how})")


def _breadth(measured: Measured, config: Config) -> Iterator[Gate]:
    bounds = config.gates
    yield _at_least("coverage", measured.coverage, bounds.min_coverage, "coverage@10")
    what = "share of top-5 places for new pandits in replay, at most"
    yield _at_least("exposure", measured.exposure, bounds.min_exposure, what)
    counted = {
        name: each for name, each in measured.slices.items() if each.rows >= bounds.slice_rows
    }
    if not counted:
        yield Gate("slices", True, None, None, f"no slice has {bounds.slice_rows} rows to compare")
        return
    losses = {
        name: 1 - each.value / each.reference if each.reference > 0 else 0.0
        for name, each in counted.items()
    }
    name, worst = max(losses.items(), key=lambda pair: pair[1])
    what = f"largest relative loss of {len(counted)} slices ({name})"
    yield _at_most("slices", worst, bounds.slice_loss, what)


def _trust(measured: Measured, config: Config) -> Iterator[Gate]:
    bounds = config.gates
    yield _at_most("calibration", measured.ece, bounds.max_ece, "expected calibration error")
    what = f"share kept of {measured.shown} suggestions shown"
    if measured.shown < bounds.min_shown:
        yield Gate("keep_rate", True, None, None, f"{what}: too few to judge")
    else:
        yield _at_least("keep_rate", measured.keep_rate, bounds.min_keep_rate, what)
    yield _at_most("order", measured.tier_violations, 0, "rows above a stronger type")
    yield _at_most("required", measured.missing_required, 0, "required items missing")
    yield _at_most("never_show", measured.never_show_violations, 0, "never-show items shown")


def _drift(measured: Measured, config: Config, *, force_drift: bool) -> Iterator[Gate]:
    bounds = config.gates
    yield _at_most("finite", measured.not_finite, 0, "numbers that are not finite")
    what = "change of factor norms against the current model"
    yield _at_most("norms", measured.norm_ratio, bounds.norm_factor, what)
    what = "overlap of top 10 with the current model, median"
    gate = _at_least("drift", measured.jaccard, bounds.min_jaccard, what)
    if not gate.passed and force_drift:
        gate = Gate(gate.name, True, gate.value, gate.bound, f"{gate.reason} (drift was allowed)")
    yield gate


def _cost(measured: Measured, config: Config) -> Iterator[Gate]:
    bounds = config.gates
    size = None if measured.artifact_bytes is None else measured.artifact_bytes / 1e6
    yield _at_most("size", size, bounds.max_megabytes, "megabytes")
    what = "seconds to load and answer the smoke cases"
    yield _at_most("load", measured.load_seconds, bounds.max_load_s, what)
    yield _at_most("latency", measured.p99_ms, bounds.max_p99_ms, "p99 of a top 10 in ms")
