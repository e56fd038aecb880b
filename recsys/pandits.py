"""Who suits a booking: hard filters, a weighted mean of factors in 0..1, and a chance for the new.

The candidates of one booking are columns. Every factor of every candidate is given back with its
weight and contribution, and the contributions sum to the score. No trait that the law or decency
protects is a factor: not gender, not caste, not age, not origin.

In some lists one pandit with few bookings takes the fourth or fifth place: Thompson sampling over
the Beta posterior of being booked when shown, by probability matching, so that the probability of
what was shown (the propensity) is known exactly and later estimates can be free of bias.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from typing import Any, Final, Self, TypeAlias

import numpy as np
from numpy.typing import NDArray

from recsys.models.base import Saved

Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]
_Count: TypeAlias = NDArray[Any] | float

DEFAULT_WEIGHTS: Final[Mapping[str, float]] = {
    "location": 0.20,
    "rating": 0.25,
    "experience": 0.10,
    "reliability": 0.10,
    "availability": 0.10,
    "language": 0.10,
    "past": 0.10,
    "affinity": 0.05,
    "price": 0.0,
}
PRICE_WEIGHT: Final = 0.10  # once the customer has named a budget
NEW_BELOW: Final = 10  # completed bookings
NO_PRIOR: Final = (4.2, 10.0)
"""Mean stars and their weight in reviews, where no reviews tell them."""
_EARTH_KM: Final = 6371.0088
_DRAWS: Final = 128
_MAX_NEW: Final = 16
_TOP: Final = 5
_PLACES: Final = (3, 4)
_NEWTON_STEPS: Final = 60
_HALVINGS: Final = 20
# What a booking of another puja, or a year, is worth as experience of this one.
_OF_OTHERS: Final = 0.3
_LEAST_CAP: Final = 20.0
_NO_CAP: Final = 50.0  # where nobody has held anything
_PER_PANDIT: Final = ("done", "let_down")
_PER_PUJA: Final = ("puja_pointers", "puja_pandits", "puja_done")


@dataclass(frozen=True, slots=True, eq=False)
class Records:
    """What is known of each pandit of the model, by index.

    Attributes
    ----------
    done, let_down
        Bookings that he held; bookings in which he let the family down.
    puja_pointers, puja_pandits, puja_done
        Pujas by pandits, sparse: how many bookings of the puja he held. Without any row it was
        not counted by puja.
    rating_mean, rating_weight
        The mean of all stars, and for how many reviews it counts beside a pandit's own.
    """

    done: NDArray[np.int32]
    let_down: NDArray[np.int32]
    puja_pointers: NDArray[np.int64] = field(default_factory=lambda: np.zeros(1, np.int64))
    puja_pandits: NDArray[np.int32] = field(default_factory=lambda: np.zeros(0, np.int32))
    puja_done: NDArray[np.int32] = field(default_factory=lambda: np.zeros(0, np.int32))
    rating_mean: float = NO_PRIOR[0]
    rating_weight: float = NO_PRIOR[1]

    def of_puja(self, puja: int) -> NDArray[np.float64]:
        """By pandit: how many bookings of this puja he held; 0 of one that is not known (-1)."""
        found = np.zeros(len(self.done))
        if 0 <= puja < len(self.puja_pointers) - 1:
            cells = slice(int(self.puja_pointers[puja]), int(self.puja_pointers[puja + 1]))
            found[self.puja_pandits[cells]] = self.puja_done[cells]
        return found

    def experience_cap(self) -> float:
        """The experience, without years, that a twentieth of the pandits have more than."""
        total = self.done[self.puja_pandits].astype(np.float64)
        of_pairs = practice(self.puja_done, total - self.puja_done)
        if not len(of_pairs):
            of_pairs = practice(0.0, self.done[self.done > 0])
        return max(float(np.quantile(of_pairs, 0.95)), _LEAST_CAP) if len(of_pairs) else _NO_CAP

    def saved(self) -> Saved:
        """The arrays, and the prior as parameters."""
        return Saved(
            {name: getattr(self, name) for name in (*_PER_PANDIT, *_PER_PUJA)},
            {"rating_mean": self.rating_mean, "rating_weight": self.rating_weight},
        )

    @classmethod
    def restored(cls, saved: Saved, n_pandits: int, n_pujas: int) -> Self:
        """What ``saved`` gave, or a version from before bookings were counted by puja.

        Raises ``ValueError`` if it does not fit the ids.
        """
        found = {}
        for name in _PER_PANDIT:
            array = saved.arrays.get(name)
            if array is None or array.shape != (n_pandits,) or (array < 0).any():
                raise ValueError(f"the records lack {name} of {n_pandits} pandits")
            found[name] = array
        by_puja: dict[str, NDArray[Any]] = {
            name: saved.arrays[name] for name in _PER_PUJA if name in saved.arrays
        }
        if by_puja:
            _check_by_puja(by_puja, found["done"], n_pujas)
        try:
            mean, weight = (float(saved.params[name]) for name in ("rating_mean", "rating_weight"))
        except (KeyError, TypeError) as error:
            raise ValueError(f"the records lack {error}") from error
        if not (1 <= mean <= 5 and 0 < weight <= 1000):
            raise ValueError(f"no prior of ratings: {mean} of {weight}")
        return cls(**found, **by_puja, rating_mean=mean, rating_weight=weight)


def _check_by_puja(
    arrays: Mapping[str, NDArray[Any]], done: NDArray[np.int32], n_pujas: int
) -> None:
    """Refuse counts by puja that cannot be looked up or are not those of ``done``."""
    if len(arrays) < len(_PER_PUJA) or any(each.dtype.kind != "i" for each in arrays.values()):
        raise ValueError("the records lack what each pandit held of each puja")
    pointers, pandits, counts = (arrays[name] for name in _PER_PUJA)
    if pointers.shape != (n_pujas + 1,) or pandits.ndim != 1 or pandits.shape != counts.shape:
        raise ValueError(f"the records by puja are not of {n_pujas} pujas")
    if pointers[0] != 0 or pointers[-1] != len(pandits) or (np.diff(pointers) < 0).any():
        raise ValueError(f"the records by puja do not part {len(pandits)} cells")
    if len(pandits) and not 0 <= pandits.min() <= pandits.max() < len(done):
        raise ValueError("the records by puja name a pandit who is not there")
    puja = np.repeat(np.arange(n_pujas), np.diff(pointers))
    if (np.diff(puja * np.int64(len(done)) + pandits) <= 0).any():
        raise ValueError("the records by puja do not ascend")
    total = np.bincount(pandits, weights=counts, minlength=len(done))
    if (counts <= 0).any() or (total != done).any():
        raise ValueError("the records by puja are of other bookings than those in all")


@dataclass(frozen=True, slots=True, eq=False)
class Candidates:
    """The pandits in question, as columns of equal length; NaN where something is not known.

    Attributes
    ----------
    pandit_id
        Their ids, in any order.
    is_eligible
        Verified, active, and offers this puja.
    is_free, must_move
        Free in the slot, travel included; free only if something else moves by less than an hour.
    latitude, longitude
        Degrees. ``max_km`` is how far he travels (infinite: anywhere).
    rating_sum, rating_count
        Over the public reviews, 1 to 5 stars each.
    done_this, done_other, years
        Completed bookings of this puja and of others; years of practice.
    cancelled, no_show
        Bookings that he cancelled or did not come to.
    language
        1 speaks it, 0.5 in part, 0 not; NaN if the customer did not say which.
    past_times, past_stars
        How often this customer had him, and the mean stars that he gave; NaN without.
    affinity
        Calibrated score of the model, 0 to 1; NaN for a customer that it does not know.
    price
        In the smallest unit of the currency.
    shown, booked
        Impressions in the fourth and fifth place so far, and the bookings that came of them.
    """

    pandit_id: Sequence[str]
    is_eligible: Bools
    is_free: Bools
    must_move: Bools
    latitude: Floats
    longitude: Floats
    max_km: Floats
    rating_sum: Floats
    rating_count: Floats
    done_this: Floats
    done_other: Floats
    years: Floats
    cancelled: Floats
    no_show: Floats
    language: Floats
    past_times: Floats
    past_stars: Floats
    affinity: Floats
    price: Floats
    shown: Floats
    booked: Floats

    def __len__(self) -> int:
        return len(self.pandit_id)

    def take(self, rows: NDArray[np.intp]) -> Self:
        """Only these candidates, in this order."""
        columns: dict[str, Any] = {
            each.name: getattr(self, each.name)[rows]
            for each in fields(self)
            if each.name != "pandit_id"
        }
        return type(self)(pandit_id=[self.pandit_id[row] for row in rows.tolist()], **columns)


@dataclass(frozen=True, slots=True, kw_only=True)
class Wish:
    """What the customer asked for.

    ``budget`` is for the pandit's fee. ``needs_language``: who does not speak it at all falls away.
    ``seed`` names customer, day and slot: the same list all day. Empty: nobody new is tried.
    """

    latitude: float = math.nan
    longitude: float = math.nan
    is_rural: bool = False
    needs_language: bool = False
    budget: int | None = None
    blocked: frozenset[str] = frozenset()
    seed: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class PanditParams:
    """How pandits are ranked.

    Attributes
    ----------
    rating_mean, rating_weight
        What is believed of a pandit without reviews, 1 to 5, and for how many reviews it counts.
    experience_cap
        So much weighted experience and more counts 1: the 95th percentile of all.
    city_km, rural_km
        After so many kilometres nearness has fallen to 1/e.
    new_share
        Of the top five places at least this share goes to new pandits, where there are any. 0: off.
    """

    weights: Mapping[str, float] = field(default_factory=lambda: dict(DEFAULT_WEIGHTS))
    rating_mean: float = 4.2
    rating_weight: float = 10.0
    experience_cap: float = 100.0
    city_km: float = 8.0
    rural_km: float = 25.0
    new_share: float = 0.10


@dataclass(frozen=True, slots=True)
class Factor:
    """One factor of one pandit. ``raw`` is in its own unit: km, stars, bookings, money."""

    value: float
    weight: float
    contribution: float
    raw: float


@dataclass(frozen=True, slots=True, kw_only=True)
class RankedPandit:
    """One place of the list. ``propensity`` is the chance that he stood there; 1 by merit."""

    pandit_id: str
    score: float
    rank: int
    factors: Mapping[str, Factor]
    distance_km: float
    basis: str
    is_new: bool = False
    explored: bool = False
    propensity: float = 1.0

    def as_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return {
            "pandit_id": self.pandit_id,
            "score": self.score,
            "rank": self.rank,
            "factors": {
                name: {
                    "value": each.value,
                    "weight": each.weight,
                    "contribution": each.contribution,
                    "raw": None if math.isnan(each.raw) else each.raw,
                }
                for name, each in self.factors.items()
            },
            "distance_km": None if math.isnan(self.distance_km) else round(self.distance_km, 2),
            "basis": self.basis,
            "explored": self.explored,
            "propensity": self.propensity,
        }


@dataclass(frozen=True, slots=True)
class Trial:
    """Who is tried in a list: his row among those who may be, his place (from 0), his chance."""

    row: int
    place: int
    propensity: float


def practice(this: _Count, other: _Count, years: _Count = 0.0) -> Floats:
    """Experience of a puja, in bookings of it: others count less, and so do years."""
    return np.asarray(this + _OF_OTHERS * other + _OF_OTHERS * years)


def haversine_km(
    latitude: float, longitude: float, latitudes: Floats, longitudes: Floats
) -> Floats:
    """Great-circle distances in kilometres, from degrees (Sinnott 1984)."""
    north, south = math.radians(latitude), np.radians(latitudes)
    half = np.sin((south - north) / 2) ** 2
    half += math.cos(north) * np.cos(south) * np.sin(np.radians(longitudes - longitude) / 2) ** 2
    return np.asarray(2 * _EARTH_KM * np.arcsin(np.sqrt(half)))


def shrunk_rating(total: Floats, count: Floats, mean: float, weight: float) -> Floats:
    """Stars with ``weight`` reviews of the mean mixed in: few reviews prove little."""
    return np.asarray((weight * mean + total) / (weight + count))


def fitted_prior(total: Floats, count: Floats) -> tuple[float, float]:
    """Mean stars of a puja category, and for how many reviews they count.

    Empirical Bayes: the squared distance of a pandit's own mean from that of all is, on average,
    ``t + s / reviews``, with t the variance between pandits and s that between reviews of one. The
    best weight is ``s / t``, within 1..50; 10 with fewer than 30 rated pandits.
    """
    rated = count > 0
    if not rated.any():
        return 4.2, 10.0
    mean = float(total[rated].sum() / count[rated].sum())
    if rated.sum() < 30 or np.ptp(count[rated]) == 0:
        return mean, 10.0
    distance = np.square(total[rated] / count[rated] - mean)
    design = np.column_stack((np.ones(int(rated.sum())), 1 / count[rated]))
    # A mean of few reviews is scattered wider: it counts in proportion to its reviews.
    heavy = np.sqrt(count[rated])
    between, within = np.linalg.lstsq(design * heavy[:, None], distance * heavy, rcond=None)[0]
    return mean, float(np.clip(max(within, 1e-9) / max(between, 1e-9), 1, 50))


def lower_rating(total: Floats, count: Floats, mean: float, weight: float) -> Floats:
    """The stars that a pandit reaches with 90 % certainty: for a cautious order.

    The 10 % quantile of the Beta posterior, read from its density on a grid.
    """
    share = (shrunk_rating(total, count, mean, weight) - 1) / 4
    alpha, beta = share * (weight + count), (1 - share) * (weight + count)
    grid = (np.arange(400) + 0.5) / 400
    logs = np.outer(alpha - 1, np.log(grid)) + np.outer(beta - 1, np.log1p(-grid))
    mass = np.exp(logs - logs.max(axis=1, keepdims=True)).cumsum(axis=1)
    below = (mass < 0.1 * mass[:, -1:]).sum(axis=1)
    return np.asarray(1 + 4 * grid[below])


class PanditRanker:
    """Ranks the candidates of a booking."""

    def __init__(self, params: PanditParams | None = None) -> None:
        self.params = params or PanditParams()

    def rank(
        self, candidates: Candidates, wish: Wish, limit: int | None = None
    ) -> list[RankedPandit]:
        """Those who pass the filters, best first; equal scores by id.

        Parameters
        ----------
        limit
            So many at most.
        """
        km = self._distances(candidates, wish)
        passed = np.flatnonzero(self._passes(candidates, wish, km))
        candidates, km = candidates.take(passed), km[passed]
        values, raw = self._factors(candidates, wish, km)
        weights = self._weights(wish)
        matrix = np.array([values[name] for name in weights])
        weight = np.array(list(weights.values()))[:, None] * ~np.isnan(matrix)
        total = weight.sum(axis=0)
        shares = weight / np.where(total > 0, total, 1.0)
        contributions = shares * np.nan_to_num(matrix)
        score = contributions.sum(axis=0)
        by_merit = np.lexsort((np.array(candidates.pandit_id, dtype=str), -np.round(score, 9)))
        is_new = (candidates.done_this + candidates.done_other) < NEW_BELOW
        order, place, propensity = self._with_new(candidates, by_merit, is_new, wish)
        ranked = []
        for rank, row in enumerate(order[:limit].tolist()):
            explored = rank == place
            factors = {
                name: Factor(
                    float(matrix[at, row]),
                    float(shares[at, row]),
                    float(contributions[at, row]),
                    float(raw[name][row]),
                )
                for at, name in enumerate(weights)
                if not np.isnan(matrix[at, row])
            }
            ranked.append(
                RankedPandit(
                    pandit_id=candidates.pandit_id[row],
                    score=float(score[row]),
                    rank=rank + 1,
                    factors=factors,
                    distance_km=float(km[row]),
                    basis="model" if "affinity" in factors else "factors",
                    is_new=bool(is_new[row]),
                    explored=explored,
                    propensity=propensity if explored else 1.0,
                )
            )
        return ranked

    def _distances(self, candidates: Candidates, wish: Wish) -> Floats:
        if math.isnan(wish.latitude) or math.isnan(wish.longitude):
            return np.full(len(candidates), np.nan)
        return haversine_km(
            wish.latitude, wish.longitude, candidates.latitude, candidates.longitude
        )

    def _passes(self, candidates: Candidates, wish: Wish, km: Floats) -> Bools:
        passes = candidates.is_eligible & (candidates.is_free | candidates.must_move)
        passes &= ~(km > candidates.max_km)
        if wish.needs_language:
            passes &= ~(candidates.language <= 0)
        passes &= ~(candidates.past_stars <= 2)
        if wish.blocked:
            passes &= np.array([each not in wish.blocked for each in candidates.pandit_id])
        return passes

    def _weights(self, wish: Wish) -> dict[str, float]:
        weights = dict(self.params.weights)
        if wish.budget is not None and weights.get("price", 0.0) == 0:
            weights["price"] = PRICE_WEIGHT
        return {name: weight for name, weight in weights.items() if weight > 0}

    def _factors(
        self, of: Candidates, wish: Wish, km: Floats
    ) -> tuple[dict[str, Floats], dict[str, Floats]]:
        """Values in 0..1 and what they are made of, in their own units."""
        params = self.params
        stars = shrunk_rating(
            of.rating_sum, of.rating_count, params.rating_mean, params.rating_weight
        )
        experience = practice(of.done_this, of.done_other, of.years)
        finished = of.done_this + of.done_other
        reliability = (finished + 18) / (finished + of.cancelled + of.no_show + 20)
        # Of a family that has had none of them nothing is known; of one that has had some, it is
        # known of the others too. Null there would rank a stranger above an acquaintance.
        strange = 0.0 if (of.past_times > 0).any() else math.nan
        budget = math.nan if wish.budget is None else max(float(wish.budget), 1.0)
        values = {
            "location": np.exp(-km / (params.rural_km if wish.is_rural else params.city_km)),
            "rating": (stars - 1) / 4,
            "experience": np.minimum(np.log1p(experience) / np.log1p(params.experience_cap), 1.0),
            "reliability": reliability,
            "availability": np.where(of.is_free, 1.0, 0.6),
            "language": of.language,
            "past": np.where(
                of.past_times > 0,
                (1 - 0.5**of.past_times) * np.where(of.past_stars < 3, 0.0, 1.0),
                strange,
            ),
            "affinity": of.affinity,
            "price": np.clip(3 - 2 * of.price / budget, 0, 1),
        }
        raw = {
            "location": km,
            "rating": stars,
            "experience": experience,
            "reliability": reliability,
            "availability": values["availability"],
            "language": of.language,
            "past": of.past_times,
            "affinity": of.affinity,
            "price": of.price,
        }
        return values, raw

    def factors(self, candidates: Candidates, wish: Wish) -> dict[str, Floats]:
        """The factors of all candidates, filtered or not; NaN where null."""
        return self._factors(candidates, wish, self._distances(candidates, wish))[0]

    # --- exploration ------------------------------------------------------------------------------

    def newcomers(self, is_new: Bools, seed: str) -> NDArray[np.intp]:
        """Of a list by merit, the rows of those of whom one may be tried; in many lists nobody.

        A list that has a new pandit among its five by merit does its part already. The others try
        one with the probability that makes up the share of all places.
        """
        nobody = np.zeros(0, np.intp)
        if not seed or len(is_new) <= _TOP or is_new[:_TOP].any():
            return nobody
        if _fraction(f"pandit:{seed}") >= self._chance:
            return nobody
        return (_TOP + np.flatnonzero(is_new[_TOP:]))[:_MAX_NEW]

    def trial(self, names: Sequence[str], shown: Floats, booked: Floats, seed: str) -> Trial:
        """Which of some newcomers is tried, and where.

        Everybody draws for himself, so another one who comes or goes does not change who is tried
        unless it is he.
        """
        odds = _best_odds(booked, shown)
        draws = np.array([_fraction(f"pandit:{seed}:{name}") for name in names])
        row = int(np.argmin(-np.log1p(-draws) / odds))
        place = _PLACES[int(_fraction(f"place:{seed}") * len(_PLACES))]
        return Trial(row, place, self._chance * float(odds[row]) / len(_PLACES))

    @property
    def _chance(self) -> float:
        """In how many of the lists that have nobody new among their five one is tried."""
        return min(1.0, max(0.0, self.params.new_share * _TOP))

    def _with_new(
        self, of: Candidates, by_merit: NDArray[np.intp], is_new: Bools, wish: Wish
    ) -> tuple[NDArray[np.intp], int, float]:
        """The order, the place (from 0) of the one tried, -1 for none, and the propensity."""
        fresh = by_merit[self.newcomers(is_new[by_merit], wish.seed)]
        if not len(fresh):
            return by_merit, -1, 1.0
        names = [of.pandit_id[row] for row in fresh.tolist()]
        found = self.trial(names, of.shown[fresh], of.booked[fresh], wish.seed)
        order = np.insert(by_merit[by_merit != fresh[found.row]], found.place, fresh[found.row])
        return order, found.place, found.propensity


def _fraction(text: str) -> float:
    """A number in [0, 1) that is the same for the same text."""
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:6], "big") / 2**48


def _best_odds(booked: Floats, shown: Floats) -> Floats:
    """The probability of each to have the highest true rate of being booked when shown.

    From draws of the Beta posteriors with a fixed seed, so that equal counts give equal odds; half
    a win for everybody keeps all of them possible.
    """
    alpha, beta = 1 + booked, 10 + np.maximum(shown - booked, 0)
    random = np.random.default_rng(0)
    wins = np.bincount(
        random.beta(alpha, beta, (_DRAWS, len(alpha))).argmax(axis=1), minlength=len(alpha)
    )
    return np.asarray((wins + 0.5) / (wins + 0.5).sum())


def fitted_weights(
    choices: Sequence[tuple[Mapping[str, Floats], int]], *, strength: float = 20.0
) -> dict[str, float]:
    """Weights under which what families chose is likeliest, in sum 1.

    A conditional logit (McFadden 1974) over the factors, null ones at the mean of the list; weights
    cannot be below 0, and are drawn to the default ones by a penalty worth ``strength`` choices.

    Parameters
    ----------
    choices
        For each booking the factors of those who could be asked, and the number of the one asked.
    """
    names = [name for name, weight in DEFAULT_WEIGHTS.items() if weight > 0]
    prior = np.array([DEFAULT_WEIGHTS[name] for name in names]) * 10
    lists = [_filled(factors, names) for factors, _ in choices]
    chosen = [at for _, at in choices]
    theta, (loss, gradient, curvature) = prior, _likelihood(prior, prior, strength, lists, chosen)
    for _ in range(_NEWTON_STEPS):
        # What is at 0 and would go below it stays; the others take a Newton step together.
        free = (theta > 0) | (gradient < 0)
        if not free.any():
            break
        step = np.zeros(len(names))
        step[free] = np.linalg.solve(curvature[np.ix_(free, free)], gradient[free])
        for halving in range(_HALVINGS):
            tried = np.maximum(theta - step * 0.5**halving, 0.0)
            found = _likelihood(tried, prior, strength, lists, chosen)
            if found[0] <= loss:
                break
        else:
            break
        moved = float(np.abs(tried - theta).max())
        theta, (loss, gradient, curvature) = tried, found
        if moved < 1e-5:
            break
    total = float(theta.sum()) or 1.0
    fitted = {name: float(weight) / total for name, weight in zip(names, theta, strict=True)}
    return {**DEFAULT_WEIGHTS, **fitted}


def _likelihood(
    theta: Floats, prior: Floats, strength: float, lists: Sequence[Floats], chosen: Sequence[int]
) -> tuple[float, Floats, Floats]:
    """What is to be made small, its gradient and its curvature."""
    loss = 0.5 * strength * float(np.square(theta - prior).sum())
    gradient, curvature = strength * (theta - prior), strength * np.eye(len(theta))
    for values, at in zip(lists, chosen, strict=True):
        z = values @ theta
        z -= z.max()
        p = np.exp(z)
        total = float(p.sum())
        p /= total
        mean = p @ values
        loss += math.log(total) - float(z[at])
        gradient += mean - values[at]
        centred = values - mean
        curvature += (centred * p[:, None]).T @ centred
    return loss, gradient, curvature


def _filled(factors: Mapping[str, Floats], names: Sequence[str]) -> Floats:
    """Candidates by factors, null ones at the mean of the known ones."""
    table = np.array([factors[name] for name in names]).T
    known = ~np.isnan(table)
    mean = np.where(known, table, 0).sum(axis=0) / np.maximum(known.sum(axis=0), 1)
    return np.where(known, table, mean)


@dataclass(frozen=True, slots=True)
class Exposure:
    """How places were shared out.

    ``gini`` is over impressions. ``by_group``: for each group its share of the impressions over
    its share of merit; 1 is even.
    """

    gini: float
    new_share: float
    by_group: Mapping[str, float]


def exposure(
    impressions: Floats, merit: Floats, is_new: Bools, groups: Mapping[str, Bools]
) -> Exposure:
    """Report how impressions were shared out over pandits.

    Groups (of region, language, or gender where it is recorded and lawful) are for this report
    only.
    """
    total = max(float(impressions.sum()), 1e-12)
    ordered = np.sort(impressions)
    n = len(ordered)
    lorenz = (2 * np.arange(1, n + 1) - n - 1) @ ordered / (n * total) if n else 0.0
    return Exposure(
        gini=float(lorenz),
        new_share=float(impressions[is_new].sum()) / total,
        by_group={
            name: float(impressions[members].sum() / total)
            / max(float(merit[members].sum() / max(merit.sum(), 1e-12)), 1e-12)
            for name, members in groups.items()
        },
    )
