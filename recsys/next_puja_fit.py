"""Counting the habits of families: festivals, months, and how long after the last time.

Every rate is a count over those who could have, shrunk to the rate of a wider group.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from datetime import UTC, date, datetime

import numpy as np
from numpy.typing import NDArray

from recsys.data import DAY_MS, Dataset, Status
from recsys.next_puja import (
    HORIZON_DAYS,
    MAX_MONTHS,
    PRIOR_STRENGTH,
    Festival,
    Habits,
    PujaRule,
    elapsed_months,
)

# A booking this near to a festival, in days, was for it.
WINDOW_DAYS = 7
_MONTH_MS = 30.4375 * DAY_MS
_DEFAULT_LEAD = 10.0
# Fewer bookings for festivals tell nothing of when they are made.
MIN_BOOKINGS = 100


def count_habits(
    data: Dataset,
    rows: NDArray[np.int64],
    festivals: Iterable[Festival],
    *,
    annual: Collection[str],
) -> Habits:
    """The habits, from these bookings and the festivals that fell among them.

    Parameters
    ----------
    annual
        Pujas that follow a lunar day: their distances are counted in whole years.
    """
    live = rows[data.bookings.status[rows] != Status.CANCELLED]
    n_users = np.maximum(_users_by_region(data, live), 1)
    near = _festival_of(data, live, festivals)
    return Habits(
        festival=_festival_rates(data, live, near, festivals, n_users),
        month=_month_rates(data, live[near < 0], n_users),
        hazard=_hazard(data, live, annual),
        ripe=_ripeness(data, live[near >= 0]),
    )


def lead_days(data: Dataset, rows: NDArray[np.int64]) -> dict[str, float]:
    """The median number of days between booking and puja, by puja id; 10 where few tell."""
    days = (data.bookings.held_ts[rows] - data.bookings.ts[rows]) / DAY_MS
    found = {}
    for puja, name in enumerate(data.pujas.ids):
        mine = days[data.bookings.puja[rows] == puja]
        found[name] = float(np.median(mine)) if len(mine) >= 10 else _DEFAULT_LEAD
    return found


def rules_of(
    data: Dataset, rows: NDArray[np.int64], *, annual: Collection[str], once: Collection[str]
) -> dict[str, PujaRule]:
    """What is known of each puja, with the lead times of these bookings."""
    leads = lead_days(data, rows)
    return {
        name: PujaRule(
            name, is_repeatable=name not in once, lead_days=leads[name], is_annual=name in annual
        )
        for name in data.pujas.ids
    }


def _users_by_region(data: Dataset, live: NDArray[np.int64]) -> NDArray[np.int64]:
    """Families that booked at all: everywhere first, then by region."""
    user, region = data.bookings.user[live], data.bookings.region[live]
    pairs = np.unique(np.column_stack((region, user)), axis=0)
    by_region = np.bincount(pairs[pairs[:, 0] >= 0, 0], minlength=len(data.regions))
    return np.concatenate(([len(np.unique(user))], by_region))


def _festival_of(
    data: Dataset, live: NDArray[np.int64], festivals: Iterable[Festival]
) -> NDArray[np.int64]:
    """For each booking the number of the festival that it was for, -1 for none."""
    near = np.full(len(live), -1)
    puja, held = data.bookings.puja[live], data.bookings.held_ts[live]
    for number, each in enumerate(festivals):
        index = data.pujas.index(each.puja_id)
        days = np.abs(held - _noon_ms(each.day)) / DAY_MS
        near[(puja == index) & (days <= WINDOW_DAYS + 0.5)] = number
    return near


def _noon_ms(day: date) -> int:
    return int(datetime(day.year, day.month, day.day, 12, tzinfo=UTC).timestamp() * 1000)


def _festival_rates(
    data: Dataset,
    live: NDArray[np.int64],
    near: NDArray[np.int64],
    festivals: Iterable[Festival],
    n_users: NDArray[np.int64],
) -> NDArray[np.float32]:
    n_regions, n_pujas = len(data.regions), len(data.pujas)
    times = np.zeros(n_pujas)
    start, end = _span(data, live)
    for each in festivals:
        index = data.pujas.index(each.puja_id)
        if index >= 0 and start <= _noon_ms(each.day) <= end:
            times[index] += 1
    mine = near >= 0
    puja, region = data.bookings.puja[live[mine]], data.bookings.region[live[mine]]
    counts = np.zeros((1 + n_regions, n_pujas))
    np.add.at(counts[0], puja, 1)
    known = region >= 0
    np.add.at(counts, (1 + region[known], puja[known]), 1)
    chances = n_users[:, None] * times
    overall = counts[0].sum() / max(chances[0].sum(), 1)
    rates = np.empty_like(counts)
    rates[0] = (counts[0] + PRIOR_STRENGTH * overall) / (chances[0] + PRIOR_STRENGTH)
    rates[1:] = (counts[1:] + PRIOR_STRENGTH * rates[0]) / (chances[1:] + PRIOR_STRENGTH)
    return np.minimum(rates, 1).astype(np.float32)


def _span(data: Dataset, live: NDArray[np.int64]) -> tuple[int, int]:
    held = data.bookings.held_ts[live]
    return (int(held.min()), int(held.max())) if len(live) else (0, 0)


def _month_rates(
    data: Dataset, live: NDArray[np.int64], n_users: NDArray[np.int64]
) -> NDArray[np.float32]:
    """Bookings that no festival explains, per family and calendar month."""
    n_regions, n_pujas = len(data.regions), len(data.pujas)
    counts = np.zeros((1 + n_regions, n_pujas, 12))
    month = data.bookings.months()[live]
    puja, region = data.bookings.puja[live], data.bookings.region[live]
    np.add.at(counts[0], (puja, month), 1)
    known = region >= 0
    np.add.at(counts, (1 + region[known], puja[known], month[known]), 1)
    start, end = _span(data, live)
    months = np.arange(int(start // _MONTH_MS), int(end // _MONTH_MS) + 1)
    years = max(len(months) / 12, 1 / 12)
    chances = n_users * years
    rates = np.empty_like(counts)
    flat = counts[0].mean(axis=1, keepdims=True)
    rates[0] = (counts[0] + flat * PRIOR_STRENGTH / chances[0]) / (chances[0] + PRIOR_STRENGTH)
    rates[1:] = (counts[1:] + PRIOR_STRENGTH * rates[0]) / (
        chances[1:, None, None] + PRIOR_STRENGTH
    )
    return np.minimum(rates, 1).astype(np.float32)


def _ripeness(data: Dataset, rows: NDArray[np.int64]) -> NDArray[np.float32]:
    """When bookings for festivals are made, by days ahead; smoothed over a week, shrunk to all."""
    curves = np.zeros((len(data.pujas), HORIZON_DAYS + 1), np.float32)
    if len(rows) < MIN_BOOKINGS:
        return curves
    ahead = np.ceil((data.bookings.held_ts[rows] - data.bookings.ts[rows]) / DAY_MS).astype(int)
    within = (ahead >= 1) & (ahead <= HORIZON_DAYS)
    counts = np.zeros(curves.shape)
    np.add.at(counts, (data.bookings.puja[rows[within]], ahead[within]), 1)
    pooled = counts.sum(axis=0) / max(int(within.sum()), 1)
    counts += 5 * PRIOR_STRENGTH * pooled
    window = np.array([1.0, 2.0, 3.0, 4.0, 3.0, 2.0, 1.0])
    for puja, row in enumerate(counts):
        smooth = np.convolve(row, window, mode="same") / np.convolve(row * 0 + 1, window, "same")
        curves[puja] = smooth / smooth.max()
    curves[:, 0] = 0
    return curves


def _hazard(data: Dataset, live: NDArray[np.int64], annual: Collection[str]) -> NDArray[np.float32]:
    """Events over those at risk, by months since the last time; shrunk to the mean of all pujas."""
    n_pujas = len(data.pujas)
    events = np.zeros((n_pujas, MAX_MONTHS + 1))
    at_risk = np.zeros((n_pujas, MAX_MONTHS + 1))
    order = np.lexsort(
        (data.bookings.held_ts[live], data.bookings.puja[live], data.bookings.user[live])
    )
    sorted_rows = live[order]
    end = date.fromtimestamp(_span(data, live)[1] / 1000) if len(live) else date.min  # noqa: DTZ012 - a day, whatever the zone
    held = [
        datetime.fromtimestamp(int(ms) / 1000, UTC).date()
        for ms in data.bookings.held_ts[sorted_rows]
    ]
    user, puja = data.bookings.user[sorted_rows], data.bookings.puja[sorted_rows]
    is_annual = np.array([name in annual for name in data.pujas.ids], np.bool_)
    for at in range(len(sorted_rows)):
        mine = int(puja[at])
        again = at + 1 < len(sorted_rows) and user[at + 1] == user[at] and puja[at + 1] == mine
        until = held[at + 1] if again else end
        months = elapsed_months(held[at], until, is_annual=bool(is_annual[mine]))
        at_risk[mine, : months + 1] += 1
        if again:
            events[mine, months] += 1
    # Towards the mean of all pujas of the same nature: an annual rite does not come back monthly.
    rates = np.empty_like(events)
    for group in (is_annual, ~is_annual):
        pooled = (events[group].sum(axis=0) + 0.05) / (at_risk[group].sum(axis=0) + PRIOR_STRENGTH)
        rates[group] = (events[group] + PRIOR_STRENGTH * pooled) / (at_risk[group] + PRIOR_STRENGTH)
    return np.minimum(rates, 1).astype(np.float32)
