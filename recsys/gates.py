"""The gates between a trained model and the running server.

A gate is a number, a bound, and a sentence. All have to hold; what was not measured says why it
was not. Nothing here measures: the trainer does, and what it measured is kept with the verdict.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, NamedTuple

from recsys.bootstrap import Interval
from recsys.config import Config


class Slice(NamedTuple):
    """One segment: its size, the value of the new model and of what it is compared with."""

    rows: int
    value: float
    reference: float


@dataclass(frozen=True, slots=True)
class Gate:
    """One verdict.

    ``value`` and ``bound`` are None when the gate had nothing to measure; it then holds, and
    ``reason`` says why.
    """

    name: str
    passed: bool
    value: float | None
    bound: float | None
    reason: str

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
    lost: tuple[str, ...] | None = None
    """Slots and parts that the current model has and this one lacks."""
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
    gain = measured.over_baseline
    if gain is None:
        yield Gate("quality.baseline", True, None, None, "baskets were not trained")
    elif config.gates.must_beat_baseline:
        what = f"lower bound of the gain in NDCG@10 over {measured.baseline}"
        reason = f"{what}: {gain.low:.4f}, above 0"
        yield Gate("quality.baseline", gain.low > 0, gain.low, 0.0, reason)
    else:
        what = f"upper bound of the gain in NDCG@10 over {measured.baseline}"
        reason = f"{what}: {gain.high:.4f} (lower {gain.low:.4f}), above 0"
        yield Gate("quality.baseline", gain.high > 0, gain.high, 0.0, reason)
    if measured.against_current is None:
        yield Gate("quality.current", True, None, None, measured.not_compared)
    else:
        low, loss = measured.against_current.low, config.gates.paired_loss
        yield Gate(
            "quality.current",
            low > -loss,
            low,
            -loss,
            f"lower bound of the gain over the current model: {low:.4f}, above {-loss:.4f}",
        )
    # Who trains one task alone and publishes it would take the other models from the servers.
    lost = measured.lost
    what = "slots and parts that the current model has and this one lacks"
    if lost:
        what = f"{what} ({', '.join(lost)})"
    yield _at_most("whole", None if lost is None else len(lost), 0, what)


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
