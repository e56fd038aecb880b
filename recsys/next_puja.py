"""Which puja next: festivals ahead, the family's own rhythm, the season, and families like it.

Everything is an intensity: how many bookings of a puja the family would make in a month that went
on as today. Its cohort (the region, shrunk to everywhere) sets the pace, by the festival's day and
the usual lead time before it, and by the season; what the family held before, and how long ago,
makes that faster or slower, and so does what families of like pujas hold. Parts that are added as
intensities are a noisy-or of probabilities:
``1 - exp(-(a + b)) = 1 - (1 - (1 - exp(-a))) * (1 - (1 - exp(-b)))``: one good reason is enough,
several make it surer.

Festivals, and the days on which a lunar date falls, are given as a table of dated days: nothing
here knows a calendar.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from datetime import date, timedelta
from functools import lru_cache
from typing import Final, Self

import numpy as np
from numpy.typing import NDArray

from recsys.models.base import FloatArray, Saved
from recsys.reasons import Code, Reason
from recsys.shelf import Index

Floats = NDArray[np.float64]
Spoke = Callable[[], Mapping[str, FloatArray]]
"""By id of a puja that the family has: what it adds to the score of each puja."""

HORIZON_DAYS: Final = 45
MAX_MONTHS: Final = 36
# A booking this near to a festival, in days, was for it.
WINDOW_DAYS: Final = 7
DAYS_A_MONTH: Final = 30.4375
_DIGITS: Final = 4
_MIN_REASON: Final = 0.001
_MOST_LIKENESS: Final = 3.0
_SPAN_DAYS: Final = 30
_LEADS: Final = 1024  # every version has medians of its own
USUAL_LEAD_DAYS: Final = 10.0
"""How long before it families book a puja, where nothing was counted."""
# What is believed without any counting: how many families in one hold a festival's puja, a puja in
# one of its months, and any in another month; and how many times likelier who held it does a year
# later.
PLAIN_FESTIVAL: Final = 0.35
_PLAIN_MONTH: Final = 0.04
_PLAIN_OTHER: Final = 0.002
_PLAIN_YEARLY: Final = 8.0
FESTIVAL, OWN, SEASON = "upcoming_festival", "user_history", "seasonal"


@dataclass(frozen=True, slots=True)
class Festival:
    """A day on which a puja falls. ``regions`` and ``traditions`` empty: everywhere, for all.

    ``name`` and ``name_ne`` are for reasons.
    """

    puja_id: str
    day: date
    name: str = ""
    name_ne: str = ""
    regions: frozenset[str] = frozenset()
    traditions: frozenset[str] = frozenset()

    def is_for(self, region: str, tradition: str) -> bool:
        """Whether it is kept there and by them; who does not say counts as everybody."""
        return (not self.regions or not region or region in self.regions) and (
            not self.traditions or not tradition or tradition in self.traditions
        )


@dataclass(frozen=True, slots=True)
class Past:
    """The customer's last booking of a puja, how often he held it, and how often he cancelled."""

    puja_id: str
    last_on: date
    times: int = 1
    cancelled_running: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Family:
    """Who asks.

    Attributes
    ----------
    past
        His own pujas; one entry for each.
    booked
        (puja, day) of what is booked and still ahead.
    """

    today: date
    region: str = ""
    tradition: str = ""
    past: tuple[Past, ...] = ()
    booked: tuple[tuple[str, date], ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class PujaSuggestion:
    """One puja worth proposing: when to hold it, and why. It is good until ``to_day``."""

    puja_id: str
    confidence: float
    kind: str
    from_day: date
    to_day: date
    reasons: tuple[Reason, ...]


@dataclass(frozen=True, slots=True)
class Tuning:
    """How far what was counted is believed, fitted on bookings that the counts have not seen.

    Attributes
    ----------
    again
        The exponent of the habits of holding a puja again. 1: as counted, 0: not at all.
    known
        Added to the logarithm of the intensity of whatever the family has held before: whoever
        held it once likes it better than his cohort.
    likeness
        The same for each standard deviation by which the model of families by pujas scores it
        above what it usually does.
    """

    again: float = 0.75
    known: float = 1.0
    likeness: float = 0.1


@dataclass(frozen=True, slots=True, eq=False)
class Habits:
    """What training counted, over the pujas of the model.

    Attributes
    ----------
    festival
        (1 + regions) by pujas: how many families in one book it for one occurrence of its
        festival. Row 0 is everywhere, the others are shrunk to it.
    month
        (1 + regions) by pujas by 12: that one holds it in one Gregorian month, festivals aside.
    ripe
        Pujas by days 0..45: the share of the bookings for its festival that are made so many days
        ahead. Empty rows of 0: ``lead`` of its usual days is taken.
    lead_days
        By puja how many days before it families book it, the middle of all.
    again_at_festival, again_by_month
        Pujas by months 0..36, the last for longer: how many times oftener than its cohort a family
        that held it so many months ago holds it again; at the festival ahead, and in that month.
    usual_score, spread
        By puja the mean score of the model of families by pujas, and the standard deviation about
        it (one number). 0: that model is not used.
    """

    festival: FloatArray
    month: FloatArray
    ripe: FloatArray
    lead_days: FloatArray
    again_at_festival: FloatArray
    again_by_month: FloatArray
    usual_score: FloatArray
    spread: FloatArray
    tuning: Tuning = field(default_factory=Tuning)

    def saved(self) -> Saved:
        """Arrays, and the tuning as parameters."""
        arrays = {name: getattr(self, name) for name in _shapes(0, 0)}
        return Saved(arrays, {"tuning": asdict(self.tuning)})

    @classmethod
    def restored(cls, saved: Saved, n_pujas: int, n_regions: int) -> Self:
        """What ``saved`` gave. Raises ``ValueError`` if it does not fit the ids."""
        shapes = _shapes(n_pujas, n_regions)
        # Habits that were stored before lead times were counted have none.
        lead_days = np.full(n_pujas, USUAL_LEAD_DAYS, np.float32)
        arrays = {"lead_days": lead_days, **saved.arrays}
        for name, shape in shapes.items():
            found = arrays.get(name)
            if found is None or found.shape != shape:
                raise ValueError(f"the habits lack {name} of the shape {shape}")
            if not (found >= 0).all() and name != "usual_score":
                raise ValueError(f"the habits have {name} below 0")
        given = saved.params.get("tuning")
        names = Tuning.__dataclass_fields__
        if not isinstance(given, Mapping) or not all(
            isinstance(given.get(name), int | float) and np.isfinite(given[name]) for name in names
        ):
            raise ValueError("the habits lack their tuning")
        tuning = Tuning(**{name: float(given[name]) for name in names})
        return cls(**{name: arrays[name] for name in shapes}, tuning=tuning)


def _shapes(n_pujas: int, n_regions: int) -> dict[str, tuple[int, ...]]:
    return {
        "festival": (1 + n_regions, n_pujas),
        "month": (1 + n_regions, n_pujas, 12),
        "ripe": (n_pujas, HORIZON_DAYS + 1),
        "lead_days": (n_pujas,),
        "again_at_festival": (n_pujas, MAX_MONTHS + 1),
        "again_by_month": (n_pujas, MAX_MONTHS + 1),
        "usual_score": (n_pujas,),
        "spread": (1,),
    }


def plain_habits(months_bs: Sequence[Iterable[int]], annual: Sequence[bool]) -> Habits:
    """What may be said without having counted anything: festivals, months, and a year later.

    It serves where no habits do, and is what counted habits have to beat.

    Parameters
    ----------
    months_bs
        By puja the solar months in which it is held, 1 to 12; none where nothing is said.
    annual
        By puja whether it follows a lunar day.
    """
    n_pujas = len(annual)
    month = np.zeros((1, n_pujas, 12), np.float32)
    for puja, months in enumerate(months_bs):
        if not annual[puja]:
            month[0, puja] = _PLAIN_OTHER
        for solar in months:
            # Baisakh begins in the middle of April: a solar month lies in two of the others.
            month[0, puja, [(solar + 2) % 12, (solar + 3) % 12]] = _PLAIN_MONTH
    again = np.broadcast_to(plain_again(), (n_pujas, MAX_MONTHS + 1))
    return Habits(
        festival=np.full((1, n_pujas), PLAIN_FESTIVAL, np.float32),
        month=month,
        ripe=np.zeros((n_pujas, HORIZON_DAYS + 1), np.float32),
        lead_days=np.full(n_pujas, USUAL_LEAD_DAYS, np.float32),
        again_at_festival=again,
        again_by_month=again,
        usual_score=np.zeros(n_pujas, np.float32),
        spread=np.zeros(1, np.float32),
    )


def plain_again() -> FloatArray:
    """By months: hardly in the month in which it was held, and oftener a year later."""
    again = np.ones(MAX_MONTHS + 1, np.float32)
    again[0] = 0.0
    again[[11, 12, 13, 24, 36]] = _PLAIN_YEARLY
    return again


def lead(days: float, median_days: float) -> float:
    """How ripe the time is, so many days ahead: 1 at the usual lead time, 0 outside 1..45 days."""
    if not 1 <= days <= HORIZON_DAYS:
        return 0.0
    ratio = days / max(median_days, 1.0)
    return float(ratio * np.exp(1 - ratio)) if ratio < 1 else float(np.exp((1 - ratio) / 3))


@lru_cache(_LEADS)
def lead_shares(median_days: float) -> tuple[float, ...]:
    """``lead`` of 0 to 45 days, in sum 1: the share of the bookings that are made that day."""
    curve = [lead(days, median_days) for days in range(HORIZON_DAYS + 1)]
    return tuple(each / sum(curve) for each in curve)


def elapsed_months(last: date, until: date, *, to_festival: bool) -> int:
    """Months from one holding to a day, 0 to 36.

    To a festival whole years are meant: its lunar day wanders over eleven months to thirteen.
    """
    days = (until - last).days
    if to_festival and days > 300:
        return min(12 * round(days / 365.25), MAX_MONTHS)
    return int(min(max(round(days / DAYS_A_MONTH), 0), MAX_MONTHS))


@dataclass(frozen=True, slots=True, eq=False)
class Terms:
    """What speaks for each puja, before the tuning; all arrays over the pujas.

    Attributes
    ----------
    festival, season
        The intensities of the cohort, in bookings a month: for the festival ahead, and otherwise.
    again_at_festival, again_by_month
        The habit of holding it again, for either; 1 for what the family has not held.
    known
        Whether the family has held it.
    likeness
        Standard deviations by which the model of families by pujas scores it above the usual.
    barred
        What is not to be proposed.
    """

    festival: Floats
    season: Floats
    again_at_festival: Floats
    again_by_month: Floats
    known: NDArray[np.bool_]
    likeness: Floats
    barred: NDArray[np.bool_]

    def parts(self, tuning: Tuning) -> dict[Code, Floats]:
        """The intensity of each reason; their sum is that of the puja.

        What slows the pace takes from all, what quickens it is a reason of its own.
        """
        known = np.exp(tuning.known * self.known)
        liked = np.exp(tuning.likeness * self.likeness)
        at_festival = known * self.again_at_festival**tuning.again
        by_month = known * self.again_by_month**tuning.again
        slow = np.minimum(liked, 1)
        more = self.festival * np.maximum(at_festival - 1, 0)
        more += self.season * np.maximum(by_month - 1, 0)
        whole = self.festival * at_festival + self.season * by_month
        return {
            Code.FESTIVAL: self.festival * np.minimum(at_festival, 1) * slow,
            Code.REPEAT: more * slow,
            Code.SEASONAL: self.season * np.minimum(by_month, 1) * slow,
            Code.SIMILAR: whole * np.maximum(liked - 1, 0),
        }


@dataclass(frozen=True, slots=True, eq=False)
class NextPuja:
    """Proposes pujas to a family.

    ``once``: ids of pujas that are held once in a life. It is the life of one of the family, of
    whom nothing is known here: whoever has held one is not told of it again, and books it himself
    when it is another's turn.
    """

    pujas: Index
    puja_ids: Sequence[str]
    regions: Index
    habits: Habits
    once: frozenset[str] = frozenset()

    def suggest(
        self,
        family: Family,
        festivals: Iterable[Festival],
        *,
        scores: FloatArray | None = None,
        spoke: Spoke | None = None,
        limit: int = 5,
    ) -> list[PujaSuggestion]:
        """The best proposals, surest first; equal ones by id.

        Parameters
        ----------
        festivals
            Dated days; those outside the next 45 days and of others are passed over.
        scores
            Raw scores of all pujas by the model of families by pujas; None for a family that it
            knows nothing of.
        spoke
            What the scores are made of; asked for a reason only where likeness is one.
        """
        ahead = self._ahead(family, festivals)
        terms = self._terms(family, ahead, scores)
        parts = terms.parts(self.habits.tuning)
        pace = np.sum(list(parts.values()), axis=0)
        pace[terms.barred] = 0.0
        total = np.round(-np.expm1(-pace), _DIGITS)
        order = np.lexsort((np.arange(len(pace)), -np.round(pace, 9)))
        chosen = [int(puja) for puja in order[:limit] if total[puja] > 0]
        shares = {code: -np.expm1(-part) for code, part in parts.items()}
        of_likeness = shares[Code.SIMILAR][chosen]
        like: Mapping[str, FloatArray] = {}
        if spoke is not None and (of_likeness > _MIN_REASON).any():
            held = {past.puja_id for past in family.past if past.times > 0}
            like = {name: added for name, added in spoke().items() if name in held}
        return [
            self._suggestion(puja, float(total[puja]), shares, family, ahead, like)
            for puja in chosen
        ]

    def terms(
        self, family: Family, festivals: Iterable[Festival], *, scores: FloatArray | None = None
    ) -> Terms:
        """What speaks for each puja; parameters as those of ``suggest``."""
        return self._terms(family, self._ahead(family, festivals), scores)

    # --- the parts --------------------------------------------------------------------------------

    def _ahead(self, family: Family, festivals: Iterable[Festival]) -> dict[int, Festival]:
        """The next occurrence of each puja within the horizon."""
        last = family.today + timedelta(days=HORIZON_DAYS)
        near = [each for each in festivals if family.today < each.day <= last]
        theirs = [each for each in near if each.is_for(family.region, family.tradition)]
        found: dict[int, Festival] = {}
        for each in sorted(theirs, key=_by_day):
            puja = self.pujas.index(each.puja_id)
            if puja >= 0:
                found.setdefault(puja, each)
        return found

    def _terms(
        self, family: Family, ahead: Mapping[int, Festival], scores: FloatArray | None
    ) -> Terms:
        habits, n_pujas = self.habits, len(self.puja_ids)
        row = 1 + self.regions.index(family.region)
        festival = np.zeros(n_pujas)
        for puja, each in ahead.items():
            days = (each.day - family.today).days
            ripe: Sequence[float] | FloatArray = habits.ripe[puja]
            if not habits.ripe[puja].any():
                ripe = lead_shares(float(habits.lead_days[puja]))
            festival[puja] = habits.festival[row, puja] * ripe[days] * DAYS_A_MONTH
        again_at_festival, again_by_month = np.ones(n_pujas), np.ones(n_pujas)
        known = np.zeros(n_pujas, np.bool_)
        for past in family.past:
            puja = self.pujas.index(past.puja_id)
            if puja < 0 or past.times <= 0:
                continue
            known[puja] = True
            months = elapsed_months(past.last_on, family.today, to_festival=False)
            again_by_month[puja] = habits.again_by_month[puja, months]
            if puja in ahead:
                months = elapsed_months(past.last_on, ahead[puja].day, to_festival=True)
                again_at_festival[puja] = habits.again_at_festival[puja, months]
        return Terms(
            festival=festival,
            season=self._season(family.today, row),
            again_at_festival=again_at_festival,
            again_by_month=again_by_month,
            known=known,
            likeness=self._likeness(scores),
            barred=self._barred(family, ahead),
        )

    def _season(self, today: date, row: int) -> Floats:
        month = today.month - 1
        of_month = self.habits.month[row].astype(np.float64)
        left = 1 - (today.day - 1) / 31
        return np.asarray(left * of_month[:, month] + (1 - left) * of_month[:, (month + 1) % 12])

    def _likeness(self, scores: FloatArray | None) -> Floats:
        spread = float(self.habits.spread[0])
        if scores is None or spread <= 0:
            return np.zeros(len(self.puja_ids))
        above = (scores - self.habits.usual_score).astype(np.float64) / spread
        return np.clip(above, -_MOST_LIKENESS, _MOST_LIKENESS)

    def _barred(self, family: Family, ahead: Mapping[int, Festival]) -> NDArray[np.bool_]:
        """Booked already, cancelled twice running, done once for ever or just now."""
        found = set()
        for puja_id, day in family.booked:
            puja = self.pujas.index(puja_id)
            festival = ahead.get(puja)
            if day >= family.today and (festival is None or abs((festival.day - day).days) <= 15):
                found.add(puja)
        for past in family.past:
            puja = self.pujas.index(past.puja_id)
            festival = ahead.get(puja)
            just = festival is not None and (festival.day - past.last_on).days <= WINDOW_DAYS
            over = past.times > 0 and (just or past.puja_id in self.once)
            if over or past.cancelled_running >= 2:
                found.add(puja)
        barred = np.zeros(len(self.puja_ids), np.bool_)
        barred[sorted(found - {-1})] = True
        return barred

    # --- the answer -------------------------------------------------------------------------------

    def _suggestion(
        self,
        puja: int,
        confidence: float,
        parts: Mapping[Code, Floats],
        family: Family,
        ahead: Mapping[int, Festival],
        like: Mapping[str, FloatArray],
    ) -> PujaSuggestion:
        moved = sorted(
            ((float(part[puja]), code) for code, part in parts.items() if part[puja] > _MIN_REASON),
            key=lambda each: (-each[0], each[1]),
        )
        said = [self._reason(code, weight, puja, family, ahead, like) for weight, code in moved]
        # Likeness that nothing held explains is said of the season, which is said once.
        once = {each.code: each for each in reversed(said)}
        reasons = tuple(each for each in said if once[each.code] is each)
        strongest = max(parts, key=lambda code: (float(parts[code][puja]), code))
        if strongest is Code.SIMILAR and Code.SIMILAR not in once:
            strongest = Code.SEASONAL
        kind = {Code.FESTIVAL: FESTIVAL, Code.SEASONAL: SEASON}.get(strongest, OWN)
        festival = ahead.get(puja)
        if festival is not None:
            first = last = festival.day
        else:
            ready = max(1, round(float(self.habits.lead_days[puja])))
            first = family.today + timedelta(days=ready)
            last = first + timedelta(days=_SPAN_DAYS)
        return PujaSuggestion(
            puja_id=self.puja_ids[puja],
            confidence=confidence,
            kind=kind,
            from_day=first,
            to_day=last,
            reasons=reasons[:3],
        )

    def _reason(
        self,
        code: Code,
        weight: float,
        puja: int,
        family: Family,
        ahead: Mapping[int, Festival],
        like: Mapping[str, FloatArray],
    ) -> Reason:
        """One part in words that name its day, its last time or the puja that it comes from."""
        weight = round(weight, _DIGITS)
        puja_id = self.puja_ids[puja]
        if code is Code.FESTIVAL:
            day = ahead[puja].day.isoformat()
            name = ahead[puja].name or puja_id
            names = {"en": name, "ne": ahead[puja].name_ne or name}
            return Reason(code, weight, {"name": names, "date": day})
        if code is Code.REPEAT:
            last = next(past.last_on for past in family.past if past.puja_id == puja_id)
            months = elapsed_months(last, family.today, to_festival=False)
            kind = Code.ANNUAL if 10 <= months <= 13 else Code.REPEAT
            return Reason(kind, weight, {"puja": puja_id, "last": last.isoformat()})
        if code is Code.SIMILAR:
            added = ((float(each[puja]), name) for name, each in like.items() if name != puja_id)
            most, name = max(added, default=(0.0, ""))
            if most > 0:
                return Reason(code, weight, {"puja": name})
        return Reason(Code.SEASONAL, weight, {"puja": puja_id, "month": family.today.month})


def _by_day(festival: Festival) -> tuple[date, str]:
    return festival.day, festival.puja_id
