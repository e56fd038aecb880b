"""Wire types of how good recommendations are."""

from __future__ import annotations

from datetime import date
from typing import Annotated, Final

from msgspec import Meta, Struct

from server.domain.errors import FieldFault, Invalid
from server.domain.experiment import ArmResult, Difference, Rate, Readout
from server.domain.learning import Accuracy, CountedRow, Counter, Surface
from server.schemas.base import Request

_DIGITS: Final = 6


class AccuracyQuery(Request, frozen=True, kw_only=True):
    """Of which model and surface the most recommended things are wanted too; both or neither."""

    version: Annotated[str, Meta(min_length=1, max_length=64)] | None = None
    surface: Surface | None = None

    def require_both(self) -> None:
        """Raise ``Invalid`` when only one is there."""
        if (self.version is None) != (self.surface is None):
            raise Invalid(FieldFault("version" if self.version is None else "surface", "required"))


class RateResponse(Struct, frozen=True, kw_only=True):
    """A share with its 95 % interval; all 0 to 1."""

    rate: float
    low: float
    high: float


class CountsResponse(Struct, frozen=True, kw_only=True):
    """How often one thing was recommended, and what became of it.

    ``purchase_rate`` is drawn towards 1 in 20 while there are few.
    """

    target: str
    arm: str
    times_recommended: int
    times_clicked: int
    times_purchased: int
    times_removed: int
    purchase_rate: float


class AccuracyRowResponse(Struct, frozen=True, kw_only=True):
    """What became of all recommendations of one model, arm and surface."""

    version: str
    arm: str
    surface: str
    times_recommended: int
    times_clicked: int
    times_purchased: int
    times_removed: int
    purchase_rate: float
    added: RateResponse
    purchased: RateResponse
    removed: RateResponse


class DifferenceResponse(Struct, frozen=True, kw_only=True):
    """How much more people did than those of the first arm, with its 95 % interval."""

    difference: float
    low: float
    high: float
    is_clear: bool


class ArmResponse(Struct, frozen=True, kw_only=True):
    """The people of one arm; the differences are null while nothing may be read out."""

    name: str
    share: float
    exposed: int
    added: RateResponse
    bought: RateResponse
    added_more: DifferenceResponse | None
    bought_more: DifferenceResponse | None


class ExperimentResponse(Struct, frozen=True, kw_only=True):
    """The experiment. ``sample_ratio`` is the chance of such sizes of the arms by accident."""

    name: str
    ends_on: date
    is_over: bool
    is_balanced: bool
    sample_ratio: float
    arms: list[ArmResponse]


class AccuracyResponse(Struct, frozen=True, kw_only=True):
    """How good recommendations are: by model, arm and surface, the newest model first."""

    results: list[AccuracyRowResponse]
    next: None = None
    targets: list[CountsResponse]
    experiment: ExperimentResponse | None


def present_accuracy(accuracy: Accuracy) -> AccuracyResponse:
    """Return all of it as an admin sees it."""
    return AccuracyResponse(
        results=[_present_row(row) for row in accuracy.rows],
        targets=[_present_counts(counter) for counter in accuracy.targets],
        experiment=None if accuracy.readout is None else _present_readout(accuracy.readout),
    )


def _present_row(row: CountedRow) -> AccuracyRowResponse:
    counter = row.counter
    return AccuracyRowResponse(
        version=counter.version,
        arm=counter.arm,
        surface=counter.surface,
        times_recommended=counter.times_recommended,
        times_clicked=counter.times_clicked,
        times_purchased=counter.times_purchased,
        times_removed=counter.times_removed,
        purchase_rate=round(counter.purchase_rate, _DIGITS),
        added=_present_rate(row.added),
        purchased=_present_rate(row.purchased),
        removed=_present_rate(row.removed),
    )


def _present_counts(counter: Counter) -> CountsResponse:
    return CountsResponse(
        target=counter.target,
        arm=counter.arm,
        times_recommended=counter.times_recommended,
        times_clicked=counter.times_clicked,
        times_purchased=counter.times_purchased,
        times_removed=counter.times_removed,
        purchase_rate=round(counter.purchase_rate, _DIGITS),
    )


def _present_readout(readout: Readout) -> ExperimentResponse:
    return ExperimentResponse(
        name=readout.name,
        ends_on=readout.ends_on,
        is_over=readout.is_over,
        is_balanced=readout.is_balanced,
        sample_ratio=round(readout.sample_ratio, _DIGITS),
        arms=[_present_arm(arm) for arm in readout.arms],
    )


def _present_arm(arm: ArmResult) -> ArmResponse:
    return ArmResponse(
        name=arm.name,
        share=round(arm.share, _DIGITS),
        exposed=arm.exposed,
        added=_present_rate(arm.added),
        bought=_present_rate(arm.bought),
        added_more=_present_difference(arm.added_more),
        bought_more=_present_difference(arm.bought_more),
    )


def _present_rate(rate: Rate) -> RateResponse:
    return RateResponse(
        rate=round(rate.value, _DIGITS),
        low=round(rate.low, _DIGITS),
        high=round(rate.high, _DIGITS),
    )


def _present_difference(difference: Difference | None) -> DifferenceResponse | None:
    if difference is None:
        return None
    return DifferenceResponse(
        difference=round(difference.value, _DIGITS),
        low=round(difference.low, _DIGITS),
        high=round(difference.high, _DIGITS),
        is_clear=difference.is_clear,
    )
