"""Arms by hash, intervals, and the check of the arms' sizes."""

from __future__ import annotations

import math
from collections import Counter
from datetime import date
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from server.domain.experiment import (
    BUCKETS,
    Arm,
    Experiment,
    arms_of,
    bucket_of,
    difference,
    rate,
    sample_ratio,
)

ARMS = arms_of(["model:0-8999", "rules:9000-9999"])
TRIAL = Experiment("blend", ARMS, date(2026, 12, 31))


def test_a_bucket_follows_from_the_hash_alone() -> None:
    # The first 32 bits of sha256("blend:sita"), as printf blend:sita | sha256sum has them.
    assert bucket_of("blend", "sita") == 0x344FB2B1 % BUCKETS
    assert bucket_of("blend", "sita") != bucket_of("other", "sita")


def test_arms_get_their_share_and_experiments_are_independent() -> None:
    users = [f"user-{number}" for number in range(20_000)]
    dealt = Counter(TRIAL.arm_of(user) for user in users)
    assert sample_ratio([dealt["model"], dealt["rules"]], [9000, 1000]) > 0.001
    other = Experiment("other", arms_of(["a:0-4999", "b:5000-9999"]), TRIAL.ends_on)
    of_rules = Counter(other.arm_of(user) for user in users if TRIAL.arm_of(user) == "rules")
    assert sample_ratio([of_rules["a"], of_rules["b"]], [5000, 5000]) > 0.001


def test_a_bucket_outside_of_all_ranges_has_no_arm() -> None:
    narrow = Experiment("blend", (Arm("a", 0, 0), Arm("b", 1, 1)), TRIAL.ends_on)
    assert {narrow.arm_of(f"user-{number}") for number in range(100)} <= {"", "a", "b"}
    assert narrow.arm_of("sita") == ""


@pytest.mark.parametrize(
    "texts",
    [
        ["model:0-4999"],
        ["model:0-4999", "rules:4999-9999"],
        ["model:0-4999", "model:5000-9999"],
        ["model:4999-0", "rules:5000-9999"],
        ["model:0-10000", "rules:5000-9999"],
        ["model 0-4999", "rules:5000-9999"],
        [],
    ],
)
def test_arms_that_make_no_sense_are_refused(texts: list[str]) -> None:
    with pytest.raises(ValueError, match=r"arms|like|overlap"):
        arms_of(texts)


def test_the_interval_of_a_rate_is_wilsons() -> None:
    # Newcombe (1998), table I: 81 of 263 and 1 of 29.
    many, few = rate(81, 263), rate(1, 29)
    assert (round(many.low, 4), round(many.high, 4)) == (0.2553, 0.3662)
    assert (round(few.low, 4), round(few.high, 4)) == (0.0061, 0.1718)
    assert (rate(0, 0).value, rate(0, 0).low, rate(0, 0).high) == (0.0, 0.0, 1.0)


def test_the_interval_of_a_difference_is_newcombes() -> None:
    # Newcombe (1998), part II, table II: 56 of 70 against 48 of 80, method 10.
    found = difference(rate(56, 70), rate(48, 80))
    assert round(found.value, 4) == 0.2
    assert (round(found.low, 4), round(found.high, 4)) == (0.0524, 0.3339)
    assert found.is_clear
    assert not difference(rate(5, 10), rate(4, 10)).is_clear


@given(st.integers(0, 500), st.integers(0, 500), st.integers(0, 500), st.integers(0, 500))
def test_intervals_hold_what_was_seen(a: int, b: int, c: int, d: int) -> None:
    one, other = rate(min(a, b), max(a, b)), rate(min(c, d), max(c, d))
    for each in (one, other):
        assert 0 <= each.low <= each.high <= 1
        assert each.low - 1e-12 <= each.value <= each.high + 1e-12
    found = difference(one, other)
    assert -1 <= found.low <= found.value <= found.high <= 1
    turned = difference(other, one)
    assert math.isclose(turned.low, -found.high, abs_tol=1e-12)


def test_more_purchases_than_impressions_count_as_all() -> None:
    assert (rate(3, 2).count, rate(3, 2).value) == (2, 1.0)


@pytest.mark.parametrize(
    ("statistic_counts", "widths", "expected"),
    [
        # Chi-square of 4, 6 and 8 with 1, 2 and 3 degrees of freedom, from any table.
        ([60, 40], [1, 1], 0.0455),
        ([120, 90, 90], [1, 1, 1], 0.0498),
        ([100, 100, 120, 80], [1, 1, 1, 1], 0.0460),
    ],
)
def test_the_sample_ratio_is_the_chi_square_tail(
    statistic_counts: list[int], widths: list[int], expected: float
) -> None:
    assert round(sample_ratio(statistic_counts, widths), 4) == expected


def test_the_more_the_sizes_differ_the_less_it_is_chance() -> None:
    chances = [sample_ratio([500 + lead, 500 - lead], [5000, 5000]) for lead in range(0, 200, 10)]
    assert chances[0] == 1.0
    assert all(before > after for before, after in pairwise(chances))
    assert chances[-1] < 1e-6
    assert sample_ratio([0, 0], [1, 1]) == 1.0
    assert sample_ratio([900, 100], [9000, 1000]) == 1.0
