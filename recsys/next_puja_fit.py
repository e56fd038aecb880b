"""Counting the habits of families: festivals, seasons, lead times, and how soon a puja comes again.

Every rate is a count over those who could have, shrunk to the rate of a wider group.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from recsys.data import DAY_MS, Dataset, Status
from recsys.models.base import FloatArray
from recsys.next_puja import (
    DAYS_A_MONTH,
    HORIZON_DAYS,
    MAX_MONTHS,
    USUAL_LEAD_DAYS,
    WINDOW_DAYS,
    Festival,
    Habits,
    elapsed_months,
)

_Rows = NDArray[np.int64]
_Floats = NDArray[np.float64]
_FEWEST_LEADS: Final = 10
# Fewer bookings for festivals tell nothing of when they are made.
MIN_BOOKINGS: Final = 100
# How many bookings the wider group counts beside the narrower one. The intensities of regions
# differ by half or so, which is what about four bookings tell.
PRIOR_BOOKINGS: Final = 4.0
_PRIOR_OF_ALL: Final = 0.5
_PRIOR_AGAIN: Final = 1.0
_PRIOR_LEAD: Final = 100.0


def count_habits(data: Dataset, rows: _Rows, festivals: Iterable[Festival]) -> Habits:
    """The habits, from these bookings and the festivals that fell among them."""
    live = rows[data.bookings.status[rows] != Status.CANCELLED]
    days = _days_of(data, festivals)
    seen = _Seen.of(data, live, days)
    cohort = _festival_rates(seen)
    month = _month_rates(seen)
    at_festival, by_month = _again(seen, cohort, month)
    return Habits(
        festival=_narrow(cohort),
        month=_narrow(month),
        ripe=_ripeness(seen),
        lead_days=_lead_days(seen),
        again_at_festival=_narrow(at_festival),
        again_by_month=_narrow(by_month),
        usual_score=np.zeros(seen.n_pujas, np.float32),
        spread=np.zeros(1, np.float32),
    )


def _days_of(data: Dataset, festivals: Iterable[Festival]) -> list[_Floats]:
    """For each puja the days of its festivals, as numbers since 1970, ascending."""
    found: list[list[int]] = [[] for _ in data.pujas.ids]
    for each in festivals:
        puja = data.pujas.index(each.puja_id)
        if puja >= 0:
            found[puja].append((each.day - date(1970, 1, 1)).days)
    return [np.unique(np.array(days, np.float64)) for days in found]


@dataclass(frozen=True, slots=True, eq=False)
class _Seen:
    """The bookings that are counted, by user, puja and day of holding.

    ``for_festival``: the number of the occurrence that each was for, -1 for none. ``follows``: that
    the booking before it is one of the same family for the same puja. ``n_users``: families that
    booked at all, everywhere first, then by region.
    """

    n_pujas: int
    n_regions: int
    user: NDArray[np.int32]
    puja: NDArray[np.int32]
    region: NDArray[np.int32]
    month: NDArray[np.int32]
    held: _Floats
    ahead: _Floats
    days: list[_Floats]
    for_festival: NDArray[np.int64]
    follows: NDArray[np.bool_]
    n_users: NDArray[np.int64]
    begin: float
    end: float

    @classmethod
    def of(cls, data: Dataset, live: _Rows, days: list[_Floats]) -> _Seen:
        bookings = data.bookings
        order = np.lexsort((bookings.held_ts[live], bookings.puja[live], bookings.user[live]))
        rows = live[order]
        held = np.floor(bookings.held_ts[rows] / DAY_MS)
        made = bookings.ts[rows] / DAY_MS
        user, puja = bookings.user[rows], bookings.puja[rows]
        nearest = np.full(len(rows), -1)
        for number, its in enumerate(days):
            mine = np.flatnonzero(puja == number)
            if len(its) and len(mine):
                after = np.clip(np.searchsorted(its, held[mine]), 1, len(its) - 1)
                best = np.where(
                    np.abs(its[after - 1] - held[mine]) <= np.abs(its[after] - held[mine]),
                    after - 1,
                    after,
                )
                best = best if len(its) > 1 else np.zeros(len(mine), np.int64)
                is_near = np.abs(its[best] - held[mine]) <= WINDOW_DAYS
                nearest[mine] = np.where(is_near, best, -1)
        follows = np.zeros(len(rows), np.bool_)
        follows[1:] = (user[1:] == user[:-1]) & (puja[1:] == puja[:-1])
        region = bookings.region[rows]
        pairs = np.unique(np.column_stack((region, user)), axis=0)
        by_region = np.bincount(pairs[pairs[:, 0] >= 0, 0], minlength=len(data.regions))
        return cls(
            n_pujas=len(data.pujas),
            n_regions=len(data.regions),
            user=user,
            puja=puja,
            region=region,
            month=bookings.months()[rows] if len(bookings) else np.zeros(0, np.int32),
            held=held,
            ahead=bookings.held_ts[rows] / DAY_MS - made,
            days=days,
            for_festival=nearest,
            follows=follows,
            n_users=np.maximum(np.concatenate(([len(np.unique(user))], by_region)), 1),
            begin=float(made.min()) if len(rows) else 0.0,
            # Of what is held later not all has been booked yet.
            end=float(made.max()) if len(rows) else 0.0,
        )

    def counts(self, chosen: NDArray[np.bool_], *more: NDArray[Any], size: int = 1) -> _Floats:
        """(1 + regions) by pujas (by what ``more`` numbers, of ``size``): how many were chosen."""
        shape = (1 + self.n_regions, self.n_pujas, *([size] if more else []))
        found = np.zeros(shape)
        known = chosen & (self.region >= 0)
        for member, row in ((chosen, np.zeros_like(self.region)), (known, 1 + self.region)):
            cells = [each[member] for each in (row, self.puja, *more)]
            np.add.at(found, tuple(cells), 1)
        return found


def _shrunk(counts: _Floats, chances: _Floats, overall: _Floats) -> _Floats:
    """Rates: of all regions drawn to ``overall``, of each to all of them. Axis 0 is the region."""
    least = np.maximum(overall, 1e-9)
    rates = np.empty_like(counts)
    rates[0] = (counts[0] + _PRIOR_OF_ALL) / (chances[0] + _PRIOR_OF_ALL / least)
    rates[1:] = (counts[1:] + PRIOR_BOOKINGS) / (chances[1:] + PRIOR_BOOKINGS / rates[0])
    return rates


def _festival_rates(seen: _Seen) -> _Floats:
    """Bookings for a festival, per family and occurrence; 0 everywhere before the first has come.

    Where a puja's first is still to come some have booked already, of nobody knows how many.
    """
    times = np.array([((its > seen.begin) & (its <= seen.end)).sum() for its in seen.days])
    counts = seen.counts((seen.for_festival >= 0) & (times[seen.puja] > 0))
    chances = seen.n_users[:, None] * np.maximum(times, 1e-9)
    overall = counts[0].sum() / max(float(seen.n_users[0] * times.sum()), 1.0)
    if not counts.any():
        return np.zeros_like(counts)
    return np.minimum(_shrunk(counts, chances, np.full(seen.n_pujas, overall)), 1.0)


def _month_rates(seen: _Seen) -> _Floats:
    """Bookings that no festival explains, per family and calendar month."""
    counts = seen.counts(seen.for_festival < 0, seen.month, size=12)
    years = max((seen.end - seen.begin) / 365.25, 1 / 12)
    chances = np.broadcast_to(seen.n_users[:, None, None] * years, counts.shape)
    whole = counts[0].sum(axis=1)
    flat = (whole + _PRIOR_OF_ALL / seen.n_pujas) / (12 * chances[0, :, 0])
    rates = np.empty_like(counts)
    rates[0] = (counts[0] + PRIOR_BOOKINGS) / (chances[0] + PRIOR_BOOKINGS / flat[:, None])
    # A region differs in how often at all, not in the shape of the year: few bookings tell that.
    of_region = counts[1:].sum(axis=2, keepdims=True)
    expected = chances[1:, :, :1] * rates[0].sum(axis=1)[:, None]
    rates[1:] = rates[0] * (of_region + PRIOR_BOOKINGS) / (expected + PRIOR_BOOKINGS)
    return np.minimum(rates, 1.0)


def _ripeness(seen: _Seen) -> NDArray[np.float32]:
    """When bookings for festivals are made, by days ahead; smoothed over a week, shrunk to all."""
    curves = np.zeros((seen.n_pujas, HORIZON_DAYS + 1), np.float32)
    mine = seen.for_festival >= 0
    if int(mine.sum()) < MIN_BOOKINGS:
        return curves
    ahead = np.ceil(seen.ahead[mine]).astype(int)
    within = (ahead >= 1) & (ahead <= HORIZON_DAYS)
    counts = np.zeros(curves.shape)
    np.add.at(counts, (seen.puja[mine][within], ahead[within]), 1)
    counts += _PRIOR_LEAD * counts.sum(axis=0) / max(int(within.sum()), 1)
    window = np.array([1.0, 2.0, 3.0, 4.0, 3.0, 2.0, 1.0])
    for puja, row in enumerate(counts):
        smooth = np.convolve(row, window, mode="same") / np.convolve(row * 0 + 1, window, "same")
        smooth[0] = 0
        curves[puja] = smooth / max(smooth.sum(), 1e-12)
    return curves


def _lead_days(seen: _Seen) -> NDArray[np.float32]:
    """By puja the median of days between booking and holding; of all bookings where few tell."""
    ahead = np.maximum(seen.ahead, 0.0)
    of_all = np.median(ahead) if len(ahead) >= _FEWEST_LEADS else USUAL_LEAD_DAYS
    found = np.full(seen.n_pujas, of_all, np.float32)
    for puja in range(seen.n_pujas):
        mine = ahead[seen.puja == puja]
        if len(mine) >= _FEWEST_LEADS:
            found[puja] = np.median(mine)
    return found


def _again(seen: _Seen, cohort: _Floats, month: _Floats) -> tuple[_Floats, _Floats]:
    """How many times oftener than its cohort a family holds a puja again, by months since.

    Bookings over what the cohort's rate let expect of those at risk, for the festivals that came
    and for the months that passed until the next holding or the end of what was seen.
    """
    shape = (2, seen.n_pujas, MAX_MONTHS + 1)
    found, expected = np.zeros(shape), np.zeros(shape)
    last = np.flatnonzero(seen.held <= seen.end)
    has_next = np.zeros(len(seen.held), np.bool_)
    has_next[:-1] = seen.follows[1:]
    following = np.where(has_next, np.append(seen.held[1:], 0.0), np.inf)
    _count_festivals(seen, cohort, last, following, found[0], expected[0])
    _count_months(seen, month, last, following, found[1], expected[1])
    # Towards the mean of all pujas of the same nature: a festival does not come back monthly.
    is_festival = np.array([len(its) > 0 for its in seen.days], np.bool_)
    ratios = np.ones(shape)
    for group in (is_festival, ~is_festival):
        for kind in range(2):
            done, due = found[kind][group], expected[kind][group]
            pooled = (done.sum(axis=0) + 1) / (due.sum(axis=0) + 1)
            ratios[kind][group] = (done + _PRIOR_AGAIN * pooled) / (due + _PRIOR_AGAIN)
    return ratios[0], ratios[1]


def _count_festivals(
    seen: _Seen, cohort: _Floats, last: _Rows, following: _Floats, found: _Floats, due: _Floats
) -> None:
    """Of each festival that came: who had held it before, how long ago, and who held it again."""
    for puja, its in enumerate(seen.days):
        mine = last[seen.puja[last] == puja]
        for number, day in enumerate(its):
            if not seen.begin < day <= seen.end:
                continue
            opens = day - WINDOW_DAYS
            risk = mine[(seen.held[mine] < opens) & (following[mine] >= opens)]
            gaps = day - seen.held[risk]
            months = np.array([_months(gap) for gap in gaps.tolist()], np.int64)
            again = np.abs(following[risk] - day) <= WINDOW_DAYS
            # What came near to two festivals belongs to the nearer one.
            again &= seen.for_festival[np.minimum(risk + 1, len(seen.held) - 1)] == number
            np.add.at(due[puja], months, cohort[1 + seen.region[risk], puja])
            np.add.at(found[puja], months[again], 1)


def _months(gap: float) -> int:
    origin = date(2000, 1, 1)
    until = date.fromordinal(origin.toordinal() + int(gap))
    return elapsed_months(origin, until, to_festival=True)


def _count_months(
    seen: _Seen, month: _Floats, last: _Rows, following: _Floats, found: _Floats, due: _Floats
) -> None:
    """Of each month since the last holding: how many were at risk in it, and who held it again."""
    again = np.isfinite(following[last])
    until = np.where(again, following[last], seen.end)
    passed = np.rint((until - seen.held[last]) / DAYS_A_MONTH).astype(np.int64)
    passed = np.clip(passed, 0, MAX_MONTHS)
    shape = (1 + seen.n_regions, seen.n_pujas, MAX_MONTHS + 1)
    ends = np.zeros(shape)
    row = 1 + seen.region[last]
    np.add.at(ends, (row, seen.puja[last], passed), 1)
    at_risk = np.cumsum(ends[:, :, ::-1], axis=2)[:, :, ::-1]
    # Of the month in which it ends a half has passed, on the average; of the first one too.
    at_risk = at_risk - 0.5 * ends
    at_risk[:, :, 0] *= 0.5
    rate = month.mean(axis=2)
    due += np.einsum("rpm,rp->pm", at_risk, rate)
    nexts = np.minimum(last + 1, len(seen.held) - 1)
    other = again & (seen.for_festival[nexts] < 0)
    np.add.at(found, (seen.puja[last][other], passed[other]), 1)


def _narrow(values: _Floats) -> FloatArray:
    return values.astype(np.float32)
