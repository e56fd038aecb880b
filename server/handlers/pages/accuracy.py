"""Administration: how good the recommendations are."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from server.domain.experiment import Difference, Rate
from server.domain.learning import CountedRow, Surface
from server.handlers.base import ADMIN
from server.handlers.pages.base import Page
from server.handlers.routing import Route
from server.i18n import N_

SURFACES: Final = {
    Surface.SAMAGRI: N_("Samagri"),
    Surface.PANDITS: N_("Pandits"),
    Surface.BOOKINGS: N_("Next puja"),
    Surface.AUTO_ADD: N_("Samagri added by itself"),
}
_WIDTH: Final = 360
_ROW_HEIGHT: Final = 58
_AXIS_HEIGHT: Final = 24
_TICKS: Final = 4
_ENDS: Final = (0.05, 0.1, 0.2, 0.4, 0.6, 0.8, 1.0)
_MOST_BARS: Final = 12


@dataclass(frozen=True, slots=True)
class Bar:
    """One bar of the chart, in the units of its picture; ``y`` is the line of its label."""

    label: str
    model: str
    shown: str
    y: int
    width: float
    low: float
    high: float


@dataclass(frozen=True, slots=True)
class Chart:
    """Bars from zero to ``most``, a share, with a line for each tick."""

    bars: tuple[Bar, ...]
    ticks: tuple[tuple[float, str], ...]
    width: int
    height: int


class AccuracyPage(Page):
    """What became of recommendations, by model and arm."""

    roles = ADMIN
    section = "analytics"

    async def get(self) -> None:
        """Show the counts, a chart of them, and the experiment."""
        accuracy = await self.services.accuracy.accuracy()
        await self.show(
            "admin/accuracy.html",
            title=self.translate("Recommendation accuracy"),
            rows=accuracy.rows,
            chart=self._chart(accuracy.rows),
            readout=accuracy.readout,
            surface=self._surface,
            percent=self._percent,
            interval=self._interval,
            more=self._more,
        )

    def _chart(self, all_rows: tuple[CountedRow, ...]) -> Chart | None:
        """The newest models; None where nothing has been shown yet."""
        rows = [row for row in all_rows if row.counter.times_recommended][:_MOST_BARS]
        if not rows:
            return None
        highest = max(row.added.high for row in rows)
        most = next(end for end in _ENDS if end >= highest or end == _ENDS[-1])
        bars = tuple(
            Bar(
                label=self._name(row),
                model=row.counter.version,
                shown=self._percent(row.added.value),
                y=place * _ROW_HEIGHT,
                width=_scaled(row.added.value, most),
                low=_scaled(row.added.low, most),
                high=_scaled(row.added.high, most),
            )
            for place, row in enumerate(rows)
        )
        ticks = tuple(
            (_scaled(most * each / _TICKS, most), self._percent(most * each / _TICKS))
            for each in range(_TICKS + 1)
        )
        return Chart(bars, ticks, _WIDTH, len(bars) * _ROW_HEIGHT + _AXIS_HEIGHT)

    def _name(self, row: CountedRow) -> str:
        if not row.counter.arm:
            return self._surface(row)
        arm = self.translate("arm {arm}", arm=row.counter.arm)
        return f"{self._surface(row)} · {arm}"

    def _surface(self, row: CountedRow) -> str:
        return self.translate(SURFACES[Surface(row.counter.surface)])

    def _percent(self, share: float) -> str:
        return self.translate("{percent} %", percent=round(100 * share, 1))

    def _interval(self, rate: Rate) -> str:
        if not rate.total:
            return "–"
        return self.translate(
            "{low} to {high} %", low=round(100 * rate.low, 1), high=round(100 * rate.high, 1)
        )

    def _more(self, difference: Difference | None) -> str:
        if difference is None:
            return "–"
        return self.translate(
            "{difference} points ({low} to {high})",
            difference=round(100 * difference.value, 1),
            low=round(100 * difference.low, 1),
            high=round(100 * difference.high, 1),
        )


def _scaled(share: float, most: float) -> float:
    return round(_WIDTH * min(share, most) / most, 1)


ROUTES: Final = (Route("/admin/accuracy/", AccuracyPage, "page-admin-accuracy"),)
