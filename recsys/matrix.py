"""From events and bookings to the two matrices that models learn from, and to confidences.

``baskets`` (a row is a booking) answers what goes together in a puja; ``users_by`` (a row is a
user) answers what a person likes: items, pandits or pujas. They are never mixed.

The strength of a pair is ``r = sum over its events of w(kind) * decay(age)``, within [-1, 20].

What a solver wants is not what r says, and libraries disagree. Here ``r`` becomes, in one place:

* ``implicit_values``: what ``implicit`` takes with its own ``alpha`` left at 1. There a stored
  value *is* the confidence ``c`` of "wanted" (and ``-c`` that of "not wanted"), while all missing
  cells have confidence 1. So r becomes ``1 + alpha*r``; without the 1, an r of 0.3 would count
  for less than not having seen the item at all.
* Spark takes r as it is and ``alpha`` as a parameter; it makes ``1 + alpha*|r|`` of it itself.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final, Literal, NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import coo_array, csr_array

from recsys.data import DAY_MS, NONE, Dataset, Events, Kind, Source, Status, Tier
from recsys.models.base import Csr, Field, IntArray, Interactions

Target: TypeAlias = Literal["item", "pandit", "puja"]

_BOOKING_KINDS: Final = {Kind.BOOKING_COMPLETED: 4.0, Kind.BOOKING_CREATED: 2.0}
_ITEM_KINDS: Final = {
    Kind.SAMAGRI_PURCHASED: 4.0,
    Kind.SAMAGRI_ADDED: 2.0,
    Kind.ITEM_VIEWED: 0.3,
    Kind.SAMAGRI_REMOVED: -1.0,
    Kind.SAMAGRI_RETURNED: -3.0,
}
_RATINGS: Final = (0.0, -4.0, -2.0, 0.0, 1.5, 3.0)
_VIEWS: Final = (Kind.ITEM_VIEWED, Kind.PANDIT_VIEWED)


@dataclass(frozen=True, slots=True, kw_only=True)
class Strength:
    """How events become strengths.

    Attributes
    ----------
    weights
        What an event of each kind adds, by its name; kinds that are absent add nothing.
    ratings
        What a rating of 0 (none) to 5 stars adds.
    from_recommendation
        The factor of events whose source is a recommendation: it was shown, so it proves less.
    views_a_day
        How many views of one thing by one user count on one day.
    half_life_days
        After so many days an event counts half, by target; views have their own.
    low, high
        The bounds of the sum.
    """

    weights: Mapping[str, float] = field(
        default_factory=lambda: {
            kind.name: weight
            for kind, weight in (
                *_BOOKING_KINDS.items(),
                *_ITEM_KINDS.items(),
                (Kind.PANDIT_VIEWED, 0.3),
            )
        }
    )
    ratings: tuple[float, ...] = _RATINGS
    from_recommendation: float = 0.7
    views_a_day: int = 3
    half_life_days: Mapping[str, float] = field(
        default_factory=lambda: {
            "basket": 365.0,
            "puja": 365.0,
            "pandit": 365.0,
            "item": 180.0,
            "view": 120.0,
        }
    )
    low: float = -1.0
    high: float = 20.0


def decay(age_days: NDArray[np.float64], half_life_days: float) -> NDArray[np.float64]:
    """The share that is left of an event's weight: 1 today, one half after the half-life."""
    return np.exp2(-np.maximum(age_days, 0.0) / half_life_days)


class Baskets(NamedTuple):
    """The basket matrix, and for each of its rows the row of the booking."""

    data: Interactions
    booking: IntArray


BASKET_FIELDS: Final = ("puja", "puja_category", "region", "month", "pandit")


def baskets(
    data: Dataset,
    *,
    now_ms: int,
    strength: Strength | None = None,
    field_names: tuple[str, ...] = BASKET_FIELDS,
) -> Baskets:
    """One row for each booking that was not cancelled and has a line, in order of its time.

    A cell is 1 where the customer kept an item, less where a recommendation or an optional rule
    had put it there. The row's weight is the decay of its age, and half of that for a booking not
    held yet. Lines that a required or essential rule added are ``given``: learning from them would
    be learning our own rules.

    Parameters
    ----------
    now_ms
        The instant that ages are counted from; the end of the training window.
    field_names
        The context, out of ``BASKET_FIELDS``.
    """
    how = strength or Strength()
    lines, bookings = data.lines, data.bookings
    kept = lines.kept & (bookings.status[lines.booking] != Status.CANCELLED)
    used = np.unique(lines.booking[kept])
    used = used[np.argsort(bookings.ts[used], kind="stable")].astype(np.int32)
    row_of = np.full(len(bookings), NONE, np.int32)
    row_of[used] = np.arange(len(used), dtype=np.int32)
    shape = (len(used), len(data.items))
    by_rule = lines.source == Source.RULE
    shown = by_rule | (lines.source == Source.REC)
    values = np.where(shown, how.from_recommendation, 1.0)
    ruled = kept & by_rule & (lines.tier != Tier.OPTIONAL)
    chosen = kept & ~ruled
    age_days = (now_ms - bookings.ts[used]) / DAY_MS
    weights = decay(age_days, how.half_life_days["basket"])
    weights *= np.where(bookings.status[used] == Status.COMPLETED, 1.0, 0.5)
    fields, context = _context(data, used, field_names)
    interactions = Interactions(
        matrix=sum_cells(row_of[lines.booking[chosen]], lines.item[chosen], values[chosen], shape),
        fields=fields,
        context=context,
        given=sum_cells(
            row_of[lines.booking[ruled]], lines.item[ruled], np.ones(int(ruled.sum())), shape
        ),
        row_weights=weights.astype(np.float32),
    )
    return Baskets(interactions, used)


def _context(
    data: Dataset, used: IntArray, names: tuple[str, ...]
) -> tuple[tuple[Field, ...], IntArray]:
    bookings = data.bookings
    puja = bookings.puja[used]
    columns = {
        "puja": (puja, len(data.pujas)),
        "puja_category": (data.puja_category[puja], len(data.categories)),
        "region": (bookings.region[used], len(data.regions)),
        "month": (bookings.months()[used], 12),
        "pandit": (bookings.pandit[used], len(data.pandits)),
    }
    fields = tuple(Field(name, columns[name][1]) for name in names)
    context = np.empty((len(used), len(names)), np.int32)
    for column, name in enumerate(names):
        context[:, column] = columns[name][0]
    return fields, context


def users_by(
    data: Dataset, target: Target, *, now_ms: int, strength: Strength | None = None
) -> Interactions:
    """Users by items, pandits or pujas: the strength of each pair, from events before ``now_ms``.

    Items that a rule added say nothing of the user and are left out. An addition that was taken
    back in the same booking does not count, the removal does.
    """
    how = strength or Strength()
    events = data.events
    column = {"item": events.item, "pandit": events.pandit, "puja": events.puja}[target]
    values = event_strengths(events, target, now_ms=now_ms, strength=how)
    used = (values != 0) & (column >= 0) & (events.user >= 0) & (events.ts < now_ms)
    n_columns = {"item": len(data.items), "pandit": len(data.pandits), "puja": len(data.pujas)}
    matrix = sum_cells(
        events.user[used], column[used], values[used], (len(data.users), n_columns[target])
    )
    np.clip(matrix.data, how.low, how.high, out=matrix.data)
    return Interactions(matrix=matrix)


def event_strengths(
    events: Events, target: Target, *, now_ms: int, strength: Strength
) -> NDArray[np.float64]:
    """What each event adds to the strength of its user and its target; 0 for most kinds."""
    kinds = _ITEM_KINDS if target == "item" else _BOOKING_KINDS
    by_kind = np.zeros(len(Kind))
    for kind in (*kinds, *((Kind.PANDIT_VIEWED,) if target == "pandit" else ())):
        by_kind[kind] = strength.weights.get(kind.name, 0.0)
    values = by_kind[events.kind]
    rated = (events.kind == Kind.RATING) & _is_rating_of(events, target)
    values[rated] = np.asarray(strength.ratings)[events.rating[rated]]
    views = np.isin(events.kind, _VIEWS)
    age_days = (now_ms - events.ts) / DAY_MS
    half_life = strength.half_life_days
    values *= np.where(
        views, decay(age_days, half_life["view"]), decay(age_days, half_life[target])
    )
    values[events.source == Source.REC] *= strength.from_recommendation
    if target == "item":
        values[events.source == Source.RULE] = 0.0
        values[_taken_back(events)] = 0.0
        values[_overruled(events, now_ms)] = 0.0
    column = events.item if target == "item" else events.pandit
    values[_beyond_daily(events, views, column, strength.views_a_day)] = 0.0
    return values


def _is_rating_of(events: Events, target: Target) -> NDArray[np.bool_]:
    """A rating is of the item if it names one, else of the pandit, else of the puja."""
    if target == "item":
        return events.item >= 0
    if target == "pandit":
        return (events.item < 0) & (events.pandit >= 0)
    return (events.item < 0) & (events.pandit < 0)


def _taken_back(events: Events) -> NDArray[np.bool_]:
    """Mark additions whose item was removed from the same booking at that time or later."""
    last_removal = dict[tuple[int, int], int]()
    removals = np.flatnonzero(events.kind == Kind.SAMAGRI_REMOVED)
    for row in removals.tolist():  # events are in order of time
        last_removal[int(events.booking[row]), int(events.item[row])] = int(events.ts[row])
    marked = np.zeros(len(events), np.bool_)
    if last_removal:
        for row in np.flatnonzero(events.kind == Kind.SAMAGRI_ADDED).tolist():
            pair = (int(events.booking[row]), int(events.item[row]))
            marked[row] = pair[0] >= 0 and last_removal.get(pair, -1) >= events.ts[row]
    return marked


def _overruled(events: Events, now_ms: int) -> NDArray[np.bool_]:
    """Mark what users said of an item before they said, until now, something else of it."""
    said = np.isin(events.kind, (Kind.RATING, Kind.ITEM_DISMISSED))
    said &= (events.item >= 0) & (events.user >= 0) & (events.ts < now_ms)
    rows = np.flatnonzero(said)[::-1]  # events are in order of time
    pairs = np.stack((events.user[rows], events.item[rows]))
    _, newest = np.unique(pairs, axis=1, return_index=True)
    said[rows[newest]] = False
    return said


def _beyond_daily(
    events: Events, views: NDArray[np.bool_], column: IntArray, limit: int
) -> NDArray[np.bool_]:
    """Mark the views that come after the first ``limit`` of one thing by one user on one day."""
    marked = np.zeros(len(events), np.bool_)
    rows = np.flatnonzero(views)
    if not len(rows):
        return marked
    keys = (events.ts[rows] // DAY_MS, column[rows], events.user[rows])
    order = np.lexsort(keys)
    changed = np.ones(len(rows), np.bool_)
    changed[1:] = np.any([key[order][1:] != key[order][:-1] for key in keys], axis=0)
    starts = np.flatnonzero(changed)
    place = np.arange(len(rows)) - np.repeat(starts, np.diff([*starts, len(rows)]))
    marked[rows[order]] = place >= limit
    return marked


def sum_cells(
    rows: NDArray[np.integer],
    columns: NDArray[np.integer],
    values: NDArray[np.float64],
    shape: tuple[int, int],
) -> Csr:
    """A float32 matrix of the sums per cell, indices sorted; cells that sum to 0 are not stored."""
    # Sorted first, so that equal rows in another order give the same sums to the last bit.
    order = np.lexsort((values, columns, rows))
    cells = coo_array((values[order], (rows[order], columns[order])), shape=shape).tocsr()
    cells.sum_duplicates()
    cells.eliminate_zeros()
    return csr_array(
        (
            cells.data.astype(np.float32),
            cells.indices.astype(np.int32),
            cells.indptr.astype(np.int32),
        ),
        shape=shape,
    )


def implicit_values(matrix: Csr, alpha: float) -> Csr:
    """Strengths as ``implicit`` wants them: ``1 + alpha*r``, ``-(1 + alpha*|r|)`` below 0.

    To be used with the constructor's ``alpha`` at 1.
    """
    values = csr_array(matrix, copy=True)
    values.eliminate_zeros()
    values.data = (np.sign(values.data) * (1.0 + alpha * np.abs(values.data))).astype(np.float32)
    return values
