"""Comparing recommenders: who gets which, and what the counts prove.

A customer's arm follows from a hash of his id, so it is the same in every process and on every day
and is stored nowhere. What is compared are people, not impressions: those of one person are not
independent of each other. Pure functions; formulas name their source.
"""

from __future__ import annotations

import hashlib
import math
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from itertools import pairwise
from statistics import NormalDist
from typing import Final

BUCKETS: Final = 10_000
SUSPICIOUS: Final = 0.001
"""Below this chance the arms' sizes are no accident, and nothing is read out."""
_Z: Final = NormalDist().inv_cdf(0.975)
"""Half the width of a 95 % interval, in standard deviations."""
_ARM: Final = re.compile(r"([a-z][a-z0-9-]{0,19}):(\d{1,4})-(\d{1,4})")
RULES_ARM: Final = "rules"
"""Who is in this arm gets no trained model."""


@dataclass(frozen=True, slots=True)
class Arm:
    """The customers whose bucket lies from ``first`` to ``last``, both included."""

    name: str
    first: int
    last: int

    @property
    def width(self) -> int:
        """How many buckets it has."""
        return self.last - self.first + 1


@dataclass(frozen=True, slots=True)
class Experiment:
    """One comparison. Its name salts the hash, so that two of them are independent.

    ``ends_on``: the day from which its result may be read; looking earlier, and stopping when it
    pleases, would prove anything.
    """

    name: str
    arms: tuple[Arm, ...]
    ends_on: date

    def arm_of(self, user_id: str) -> str:
        """The customer's arm, empty if his bucket belongs to none."""
        bucket = bucket_of(self.name, user_id)
        return next((arm.name for arm in self.arms if arm.first <= bucket <= arm.last), "")


def bucket_of(experiment: str, user_id: str) -> int:
    """The customer's bucket in an experiment, 0 to 9999."""
    digest = hashlib.sha256(f"{experiment}:{user_id}".encode()).hexdigest()
    return int(digest[:8], 16) % BUCKETS


def arms_of(texts: Iterable[str]) -> tuple[Arm, ...]:
    """The arms that texts such as ``model:0-4999`` declare, by their first bucket.

    Raises
    ------
    ValueError
        If there are fewer than two, one is not of that form, or two overlap or share a name.
    """
    arms = []
    for text in texts:
        match = _ARM.fullmatch(text)
        if match is None or int(match[2]) > int(match[3]):
            raise ValueError(f"{text!r} is not like model:0-4999")
        arms.append(Arm(match[1], int(match[2]), int(match[3])))
    arms.sort(key=lambda arm: arm.first)
    if len({arm.name for arm in arms}) < max(2, len(arms)):
        raise ValueError("two arms of different names are needed")
    for before, after in pairwise(arms):
        if after.first <= before.last:
            raise ValueError(f"{before.name} and {after.name} overlap")
    return tuple(arms)


@dataclass(frozen=True, slots=True)
class Rate:
    """``count`` of ``total``, and where the true share lies, 19 times in 20."""

    count: int
    total: int
    low: float
    high: float

    @property
    def value(self) -> float:
        """The share that was seen, 0 of nothing."""
        return self.count / self.total if self.total else 0.0


def rate(count: int, total: int) -> Rate:
    """A share with its 95 % interval by Wilson (1927); of nothing it lies anywhere.

    More than all is all: a thing may be bought without its impression having been reported.
    """
    count = min(count, total)
    if not total:
        return Rate(0, 0, 0.0, 1.0)
    squared = _Z * _Z
    centre = (count + squared / 2) / (total + squared)
    spread = count * (total - count) / total + squared / 4
    half = _Z / (total + squared) * math.sqrt(spread)
    low = 0.0 if count == 0 else max(0.0, centre - half)
    return Rate(count, total, low, 1.0 if count == total else min(1.0, centre + half))


@dataclass(frozen=True, slots=True)
class Difference:
    """By how much one share exceeds another, and where the true difference lies."""

    value: float
    low: float
    high: float

    @property
    def is_clear(self) -> bool:
        """Whether the interval lies on one side of zero."""
        return self.low > 0 or self.high < 0


def difference(one: Rate, other: Rate) -> Difference:
    """How much more the one is than the other, with the interval of Newcombe (1998), method 10."""
    value = one.value - other.value
    below = math.hypot(one.value - one.low, other.high - other.value)
    above = math.hypot(one.high - one.value, other.value - other.low)
    return Difference(value, max(-1.0, value - below), min(1.0, value + above))


def sample_ratio(counts: Sequence[int], widths: Sequence[int]) -> float:
    """The chance (0 to 1) that arms of these widths differ so much in size by accident.

    Pearson's chi-square test of fit.
    """
    total, width = sum(counts), sum(widths)
    if not total or len(counts) < 2:
        return 1.0
    expected = [total * each / width for each in widths]
    statistic = sum(
        (seen - wanted) ** 2 / wanted for seen, wanted in zip(counts, expected, strict=True)
    )
    return _chi_square_tail(statistic, len(counts) - 1)


def _chi_square_tail(statistic: float, freedom: int) -> float:
    """P(X > statistic) of a chi-square variable with a whole number of degrees of freedom.

    By the recurrence in the degrees (Abramowitz and Stegun 26.4.8, in steps of two).
    """
    half = statistic / 2
    tail = math.exp(-half) if freedom % 2 == 0 else math.erfc(math.sqrt(half))
    for degrees in range(2 if freedom % 2 == 0 else 1, freedom, 2):
        tail += half ** (degrees / 2) * math.exp(-half) / math.gamma(degrees / 2 + 1)
    return min(1.0, tail)


@dataclass(frozen=True, slots=True)
class ArmCount:
    """How many people saw recommendations of an arm, added one, and bought one."""

    exposed: int
    added: int
    bought: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Exposure:
    """That somebody has first seen recommendations of his arm, and what he did within a week."""

    id: str
    experiment: str
    user_id: str
    arm: str
    at: datetime
    has_added: bool = False
    has_bought: bool = False


@dataclass(frozen=True, slots=True)
class ArmResult:
    """What the people of one arm did within a week of first seeing recommendations.

    The differences are from the arm of the first buckets: None for that arm itself, and for all
    while nothing may be read out.
    """

    name: str
    share: float
    exposed: int
    added: Rate
    bought: Rate
    added_more: Difference | None = None
    bought_more: Difference | None = None


@dataclass(frozen=True, slots=True)
class Readout:
    """The state of the experiment. ``sample_ratio`` is the chance of such sizes by accident."""

    name: str
    ends_on: date
    is_over: bool
    is_balanced: bool
    sample_ratio: float
    arms: tuple[ArmResult, ...]
