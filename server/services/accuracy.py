"""How good the recommendations are: by model and arm, and what an experiment has proved."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime
from typing import Final

from server.domain.account import NEPAL
from server.domain.calendar import local_today
from server.domain.experiment import (
    SUSPICIOUS,
    ArmCount,
    ArmResult,
    Experiment,
    Exposure,
    Readout,
    difference,
    rate,
    sample_ratio,
)
from server.domain.learning import (
    PURCHASE_WINDOW,
    Accuracy,
    CountedRow,
    Counter,
    Feedback,
    FeedbackKind,
)
from server.domain.ports.learning import CounterRepository, ExposureRepository
from server.domain.ports.world import Clock

_ROWS: Final = 200
_TARGETS: Final = 50


class AccuracyService:
    """Assigns arms, notes who was exposed and what he did, and reads out the result."""

    def __init__(
        self,
        counters: CounterRepository,
        exposures: ExposureRepository,
        clock: Clock,
        experiment: Experiment | None,
    ) -> None:
        self._counters = counters
        self._exposures = exposures
        self._clock = clock
        self._experiment = experiment

    def arm_of(self, user_id: str) -> str:
        """Return the customer's arm, empty outside of any experiment."""
        return self._experiment.arm_of(user_id) if self._experiment else ""

    async def note(self, row: Feedback, seen_at: datetime) -> None:
        """Take a new row of the ledger into the experiment; repeating it is harmless.

        Being shown something exposes; what follows counts if it came within a week of that.
        ``seen_at`` is when the customer decided: for a purchase, when its list was closed.
        """
        if self._experiment is None or row.arm != self._experiment.arm_of(row.user_id):
            # Made outside of the experiment, or before it.
            return
        if not row.arm:
            return
        exposure_id = f"{self._experiment.name}:{row.user_id}"
        if row.kind is FeedbackKind.SHOWN:
            await self._exposures.add(
                Exposure(
                    id=exposure_id,
                    experiment=self._experiment.name,
                    user_id=row.user_id,
                    arm=row.arm,
                    at=row.at,
                )
            )
        elif row.kind in (FeedbackKind.ADDED, FeedbackKind.PURCHASED):
            await self._exposures.mark(
                exposure_id,
                seen_at - PURCHASE_WINDOW,
                has_added=row.kind is FeedbackKind.ADDED,
                has_bought=row.kind is FeedbackKind.PURCHASED,
            )

    async def accuracy(self, version: str | None = None, surface: str | None = None) -> Accuracy:
        """Return the counts by model and arm, and the experiment's state.

        With a ``version`` and a ``surface`` also its most recommended targets.
        """
        totals = await self._counters.list_totals(_ROWS)
        targets: list[Counter] = []
        if version is not None and surface is not None:
            found = await self._counters.list_targets(version, surface, _TARGETS + _ROWS)
            targets = [each for each in found if each.target][:_TARGETS]
        return Accuracy(
            rows=tuple(_counted(each) for each in totals),
            readout=await self._readout(),
            targets=tuple(targets),
        )

    async def _readout(self) -> Readout | None:
        experiment = self._experiment
        if experiment is None:
            return None
        counts = [await self._exposures.count(experiment.name, arm.name) for arm in experiment.arms]
        widths = [arm.width for arm in experiment.arms]
        chance = sample_ratio([each.exposed for each in counts], widths)
        is_over = local_today(self._clock.now(), NEPAL) >= experiment.ends_on
        results = [
            _result(arm.name, arm.width / sum(widths), count)
            for arm, count in zip(experiment.arms, counts, strict=True)
        ]
        if is_over and chance >= SUSPICIOUS:
            results = [results[0], *(_compared(each, results[0]) for each in results[1:])]
        return Readout(
            name=experiment.name,
            ends_on=experiment.ends_on,
            is_over=is_over,
            is_balanced=chance >= SUSPICIOUS,
            sample_ratio=chance,
            arms=tuple(results),
        )


def _counted(counter: Counter) -> CountedRow:
    shown = counter.times_recommended
    return CountedRow(
        counter=counter,
        added=rate(counter.times_clicked, shown),
        purchased=rate(counter.times_purchased, shown),
        removed=rate(counter.times_removed, shown),
    )


def _result(name: str, share: float, count: ArmCount) -> ArmResult:
    return ArmResult(
        name=name,
        share=share,
        exposed=count.exposed,
        added=rate(count.added, count.exposed),
        bought=rate(count.bought, count.exposed),
    )


def _compared(result: ArmResult, first: ArmResult) -> ArmResult:
    return replace(
        result,
        added_more=difference(result.added, first.added),
        bought_more=difference(result.bought, first.bought),
    )
