"""What the seed decides."""

from __future__ import annotations

from tests.chaos.play import plan_faults


def test_one_seed_is_one_plan() -> None:
    assert list(plan_faults(7, 60)) == list(plan_faults(7, 60))
    assert list(plan_faults(7, 60)) != list(plan_faults(8, 60))


def test_half_a_minute_breaks_every_kind_of_thing() -> None:
    for seed in range(50):
        kinds = {fault.what.partition(" ")[0] for fault in plan_faults(seed, 30)}
        assert kinds == {"kill", "stop", "freeze", "drop"}
        assert {fault.what for fault in plan_faults(seed, 30)} & {"kill redis", "freeze redis"}
