from __future__ import annotations

from dataclasses import fields, replace
from typing import Any

import msgspec
import pytest

from recsys.bootstrap import Interval
from recsys.config import Config
from recsys.gates import Contest, Measured, Slice, failed, judge, left_out, wins

GOOD = Measured(
    bookings=5000,
    users=800,
    rejected_share=0.001,
    newest_age_hours=3.0,
    over_baseline=Interval(0.1, 0.08, 0.12),
    baseline="puja_popularity",
    against_current=Interval(0.001, -0.004, 0.006),
    contests={
        slot: Contest("NDCG@10", Interval(0.1, 0.08, 0.12), "popularity", Interval(0.0, 0.0, 0.0))
        for slot in ("pandit", "habits")
    },
    models=6,
    lost=(),
    coverage=0.6,
    exposure=0.12,
    slices={"region:hills": Slice(300, 0.39, 0.40)},
    ece=0.03,
    keep_rate=0.6,
    shown=900,
    tier_violations=0,
    missing_required=0,
    never_show_violations=0,
    not_finite=0,
    norm_ratio=1.2,
    jaccard=0.7,
    artifact_bytes=1_000_000,
    load_seconds=0.2,
    p99_ms=2.0,
)


def against_current(slot: str, low: float) -> dict[str, Any]:
    contest = GOOD.contests[slot]._replace(against_current=Interval(0.1, low, 0.2))
    return {"contests": {**GOOD.contests, slot: contest}}


def names_of_failed(measured: Measured, **options: Any) -> set[str]:
    return {gate.name for gate in failed(judge(measured, Config(), **options))}


def test_a_good_model_passes_and_each_gate_gives_its_number() -> None:
    gates = judge(GOOD, Config())
    assert not failed(gates)
    assert len({gate.name for gate in gates}) == len(gates)
    assert all(gate.value is not None and gate.bound is not None for gate in gates)
    assert all(gate.reason for gate in gates)
    msgspec.json.encode([gate.as_dict() for gate in gates])


@pytest.mark.parametrize(
    ("change", "name"),
    [
        ({"bookings": 499}, "data.bookings"),
        ({"users": 49}, "data.users"),
        ({"rejected_share": 0.011}, "data.rejected"),
        ({"newest_age_hours": 48.1}, "data.age"),
        ({"over_baseline": Interval(-0.1, -0.2, -0.01)}, "quality.baseline"),
        ({"against_current": Interval(0.1, -0.0051, 0.2)}, "quality.current"),
        ({"over_baseline": Interval(0.001, -0.001, 0.003)}, "quality.baseline"),
        (against_current("pandit", -0.0051), "quality.current.pandit"),
        ({"models": 0}, "models"),
        ({"lost": ("pandit",)}, "whole"),
        ({"coverage": 0.29}, "coverage"),
        ({"exposure": 0.09}, "exposure"),
        ({"slices": {"new": Slice(200, 0.37, 0.40)}}, "slices"),
        ({"ece": 0.051}, "calibration"),
        ({"keep_rate": 0.54}, "keep_rate"),
        ({"tier_violations": 1}, "order"),
        ({"missing_required": 1}, "required"),
        ({"never_show_violations": 1}, "never_show"),
        ({"not_finite": 1}, "finite"),
        ({"norm_ratio": 10.1}, "norms"),
        ({"jaccard": 0.29}, "drift"),
        ({"artifact_bytes": 2_000_000_000}, "size"),
        ({"load_seconds": 2.1}, "load"),
        ({"p99_ms": 10.1}, "latency"),
        ({"p99_ms": float("nan")}, "latency"),
        ({"ece": float("nan")}, "calibration"),
        ({"coverage": float("nan")}, "coverage"),
    ],
)
def test_each_bound_closes_its_own_gate(change: dict[str, Any], name: str) -> None:
    assert names_of_failed(replace(GOOD, **change)) == {name}


def test_every_measured_field_is_looked_at_by_a_gate() -> None:
    only_told = {"baseline", "shown", "not_compared"}
    worst: dict[str, Any] = {
        field.name: float("nan") if field.name != "slices" else {"x": Slice(999, 0.0, 1.0)}
        for field in fields(Measured)
        if field.name not in only_told | {"over_baseline", "against_current", "contests", "lost"}
    }
    worst["lost"] = ("samagri",)
    nothing = Interval(float("nan"), float("nan"), float("nan"))
    bad = replace(GOOD, over_baseline=nothing, against_current=nothing, **worst)
    contests = {
        slot: each._replace(against_current=nothing) for slot, each in GOOD.contests.items()
    }
    # A slot that does not win is left out, so that it closes nothing.
    winners = {f"quality.baseline.{slot}" for slot in contests}
    gates = {gate.name for gate in judge(GOOD, Config())}
    assert names_of_failed(replace(bad, contests=contests)) == gates - winners


def test_small_slices_do_not_decide() -> None:
    measured = replace(GOOD, slices={"tiny": Slice(199, 0.0, 0.4)})
    assert not names_of_failed(measured)
    gate = next(gate for gate in judge(measured, Config()) if gate.name == "slices")
    assert gate.value is None
    assert "200 rows" in gate.reason


def test_what_was_not_measured_says_so() -> None:
    bare = Measured(bookings=500, users=50, rejected_share=0.0, newest_age_hours=0.0)
    gates = {gate.name: gate for gate in judge(bare, Config())}
    assert not failed(list(gates.values()))
    assert gates["quality.current"].reason == "there is no current model to compare with"
    for name in ("whole", "coverage", "order", "required", "never_show", "finite"):
        assert "not measured" in gates[name].reason
        assert gates[name].value is None
    other = replace(bare, not_compared="not at all: spark cannot fit it again")
    told = {gate.name: gate.reason for gate in judge(other, Config())}
    assert told["quality.current"] == other.not_compared


def test_better_beyond_the_interval_need_not_be_asked_for() -> None:
    level = replace(GOOD, over_baseline=Interval(0.01, -0.01, 0.03))
    assert names_of_failed(level) == {"quality.baseline"}
    lenient = msgspec.structs.replace(Config().gates, must_beat_baseline=False)
    config = msgspec.structs.replace(Config(), gates=lenient)
    assert not failed(judge(level, config))
    worse = replace(GOOD, over_baseline=Interval(-0.1, -0.2, -0.01))
    assert [gate.name for gate in failed(judge(worse, config))] == ["quality.baseline"]


@pytest.mark.parametrize(
    ("gain", "strict", "lenient"),
    [
        (Interval(0.02, 0.001, 0.04), True, True),
        (Interval(0.01, -0.01, 0.03), False, True),
        (Interval(-0.02, -0.04, -0.001), False, False),
        (Interval(float("nan"), float("nan"), float("nan")), False, False),
    ],
)
def test_a_slot_that_does_not_win_is_left_out_and_holds_up_nothing(
    gain: Interval, strict: bool, lenient: bool
) -> None:
    contest = Contest("NDCG@10", gain, "popularity", Interval(0.0, -0.5, 0.5))
    measured = replace(GOOD, contests={"pandit": contest})
    gates = msgspec.structs.replace(Config().gates, must_beat_baseline=False)
    for config, is_better in (
        (Config(), strict),
        (msgspec.structs.replace(Config(), gates=gates), lenient),
    ):
        assert wins(gain, config) is is_better
        found = judge(measured, config)
        told = next(gate for gate in found if gate.name == "quality.baseline.pandit")
        assert told.passed
        assert told.left_out is not is_better
        assert "over popularity" in told.reason
        # What is not there does not have to be as good as what serves.
        held = {gate.name for gate in failed(found)}
        assert held == ({"quality.current.pandit"} if is_better else set())
        assert left_out(found) == ({} if is_better else {"pandit": told.reason})


def test_what_equals_the_current_model_is_no_worse_where_nothing_may_be_lost() -> None:
    level = Interval(0.0, 0.0, 0.0)
    contests = {
        slot: each._replace(against_current=level, compared="the same")
        for slot, each in GOOD.contests.items()
    }
    gates = msgspec.structs.replace(Config().gates, paired_loss=0.0)
    config = msgspec.structs.replace(Config(), gates=gates)
    found = judge(replace(GOOD, against_current=level, contests=contests), config)
    assert not failed(found)
    told = next(gate for gate in found if gate.name == "quality.current.pandit")
    assert told.reason.endswith("must be at least 0.0000 (the same)")


def test_what_the_current_model_has_besides_is_named() -> None:
    gates = judge(replace(GOOD, lost=("habits", "puja")), Config())
    gate = next(gate for gate in gates if gate.name == "whole")
    assert gate.value == 2
    assert "(habits, puja)" in gate.reason


def test_a_handful_of_suggestions_is_not_judged() -> None:
    measured = replace(GOOD, keep_rate=0.0, shown=29)
    gate = next(gate for gate in judge(measured, Config()) if gate.name == "keep_rate")
    assert gate.passed
    assert gate.reason.endswith("too few to judge")


def test_drift_may_be_allowed() -> None:
    measured = replace(GOOD, jaccard=0.1)
    assert names_of_failed(measured) == {"drift"}
    assert not names_of_failed(measured, force_drift=True)
