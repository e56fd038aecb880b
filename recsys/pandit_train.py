"""Pandits in a training: how far each keeps his word, what stars are usual, who is seen at all.

What a ranking needs beside the models: bookings that each pandit held, those in which he let a
family down (refused, did not answer, called off), and the prior of the ratings. A replay of the
latest bookings says how large a share of the first five places goes to pandits who are new.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array

from recsys.bootstrap import Interval, interval
from recsys.data import Dataset, Kind, Status
from recsys.matrix import users_by
from recsys.models.als import Als
from recsys.pandits import (
    NEW_BELOW,
    NO_PRIOR,
    Candidates,
    PanditParams,
    PanditRanker,
    Records,
    Wish,
    exposure,
    fitted_prior,
)

MOST_REPLAYED: Final = 600
TOP: Final = 5

_Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True, eq=False)
class _Counts:
    """By pandit: all that a ranking counts, from what was known at an instant."""

    this: _Floats
    """Pujas by pandits: bookings that were held."""
    let_down: _Floats
    stars: _Floats
    reviews: _Floats

    @property
    def done(self) -> _Floats:
        return np.asarray(self.this.sum(axis=0))


def _counts(data: Dataset, until: int) -> _Counts:
    data = data.before(until)
    bookings, events = data.bookings, data.events
    n_pandits = len(data.pandits)
    held = (bookings.status == Status.COMPLETED) & (bookings.held_ts < until)
    held &= bookings.pandit >= 0
    this = np.zeros((len(data.pujas), n_pandits))
    np.add.at(this, (bookings.puja[held], bookings.pandit[held]), 1)
    of_pandit = events.pandit >= 0
    refused = of_pandit & (events.kind == Kind.PANDIT_DECLINED)
    rated = of_pandit & (events.kind == Kind.RATING) & (events.rating > 0)
    return _Counts(
        this=this,
        let_down=np.bincount(events.pandit[refused], minlength=n_pandits).astype(np.float64),
        stars=np.bincount(
            events.pandit[rated], weights=events.rating[rated], minlength=n_pandits
        ).astype(np.float64),
        reviews=np.bincount(events.pandit[rated], minlength=n_pandits).astype(np.float64),
    )


def records(data: Dataset, until: int) -> Records:
    """What was known of the pandits at an instant (milliseconds)."""
    return _records(_counts(data, until))


def _records(counts: _Counts) -> Records:
    has_any = counts.reviews.any()
    mean, weight = fitted_prior(counts.stars, counts.reviews) if has_any else NO_PRIOR
    by_puja = csr_array(counts.this.astype(np.int32))
    return Records(
        done=counts.done.astype(np.int32),
        let_down=counts.let_down.astype(np.int32),
        puja_pointers=by_puja.indptr.astype(np.int64),
        puja_pandits=by_puja.indices.astype(np.int32),
        puja_done=by_puja.data,
        rating_mean=mean,
        rating_weight=weight,
    )


@dataclass(frozen=True, slots=True)
class Replay:
    """How the first five places of replayed lists were shared out.

    Attributes
    ----------
    lists
        Lists in which a new pandit could have stood.
    new_share
        The share of their places that new pandits got, with its interval over lists; NaN without
        any list.
    gini
        Of the impressions of all pandits.
    """

    lists: int
    new_share: Interval
    gini: float

    def as_dict(self) -> dict[str, Any]:
        """For manifest and card."""
        return {"lists": self.lists, "new_share": list(self.new_share), "gini": self.gini}


def replay(
    data: Dataset, begin: int, model: Als | None, *, new_share: float, seed: int = 0
) -> Replay:
    """Rank the pandits for bookings made since an instant, from what was known at it.

    Asked are those who have ever held the puja. Where they live, what they cost and which hours
    they have free is not in the data of a training; serving has more factors, and the same share
    for new pandits.
    """
    counts = _counts(data, begin)
    whole = _counts(data, data.newest_ms() + 1)
    told = _records(counts)
    ranker = PanditRanker(
        PanditParams(
            rating_mean=told.rating_mean,
            rating_weight=told.rating_weight,
            experience_cap=told.experience_cap(),
            new_share=new_share,
        )
    )
    known = users_by(data.before(begin), "pandit", now_ms=begin)
    bookings = data.bookings
    rows = np.flatnonzero((bookings.ts >= begin) & (bookings.puja >= 0))
    if len(rows) > MOST_REPLAYED:
        rows = np.sort(np.random.default_rng(seed).choice(rows, MOST_REPLAYED, replace=False))
    is_new = counts.done < NEW_BELOW
    impressions = np.zeros(len(data.pandits))
    shares = []
    for row in rows.tolist():
        user, puja = int(bookings.user[row]), int(bookings.puja[row])
        offers = whole.this[puja] > 0
        if int(offers.sum()) <= TOP or not is_new[offers].any():
            continue
        query = known.row(user)
        likes = model is not None and len(query.given) > 0
        affinity = model.item_ @ model.vector(query) if model is not None and likes else None
        candidates = _candidates(data, counts, puja, offers, affinity)
        wish = Wish(seed=f"{user}:{puja}:{int(bookings.ts[row])}")
        places = [data.pandits.index(each.pandit_id) for each in ranker.rank(candidates, wish, TOP)]
        impressions[places] += 1
        shares.append(float(is_new[places].mean()))
    shared = exposure(impressions, counts.done, is_new, {})
    return Replay(len(shares), interval(np.array(shares)), shared.gini)


def _candidates(
    data: Dataset, counts: _Counts, puja: int, offers: NDArray[np.bool_], affinity: Any
) -> Candidates:
    count = len(offers)
    nothing, unknown = np.zeros(count), np.full(count, np.nan)
    return Candidates(
        pandit_id=data.pandits.ids,
        is_eligible=offers,
        is_free=np.ones(count, np.bool_),
        must_move=np.zeros(count, np.bool_),
        latitude=unknown,
        longitude=unknown,
        max_km=np.full(count, np.inf),
        rating_sum=counts.stars,
        rating_count=counts.reviews,
        done_this=counts.this[puja],
        done_other=counts.done - counts.this[puja],
        years=nothing,
        cancelled=counts.let_down,
        no_show=nothing,
        language=unknown,
        past_times=nothing,
        past_stars=unknown,
        affinity=unknown if affinity is None else np.clip(affinity, 0.0, 1.0),
        price=unknown,
        shown=nothing,
        booked=nothing,
    )
