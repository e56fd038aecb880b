"""Which puja next: festivals ahead, the customer's own rhythm, the season, and families like him.

``score = 1 - (1-p_festival)(1-p_repeat)(1-p_season)(1-p_similar)`` (noisy-or): one good reason is
enough, several make it surer. Festivals, and the days on which a lunar date falls, are given as a
table of dated days: nothing here knows a calendar.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, timedelta
from typing import Any, Final, Self

import numpy as np
from numpy.typing import NDArray

from recsys.calibration import Calibration
from recsys.models.base import FloatArray, Saved
from recsys.reasons import Code, Reason
from recsys.shelf import Index

Floats = NDArray[np.float64]

HORIZON_DAYS: Final = 45
MAX_MONTHS: Final = 36
# How many bookings' worth the wider group counts beside the narrower one.
PRIOR_STRENGTH: Final = 20.0
_DAYS_A_MONTH: Final = 30.4375
_DIGITS: Final = 4
_MIN_REASON: Final = 0.01
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
class PujaRule:
    """What is known of a kind of puja beside bookings.

    ``is_repeatable`` False: once in a life. ``lead_days``: how long before it families book it, the
    middle of all. ``is_annual``: it follows a lunar day, so a year is counted to the next
    occurrence of that day.
    """

    puja_id: str
    is_repeatable: bool = True
    lead_days: float = 10.0
    is_annual: bool = False


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
    occasions
        Days that he told of, and lunar days of his family: (puja, day), as ``Festival`` is.
    booked
        (puja, day) of what is booked and still ahead.
    opted_out
        Pujas of which he wants no reminder; ``wants_none``: of nothing at all.
    """

    today: date
    region: str = ""
    tradition: str = ""
    past: tuple[Past, ...] = ()
    occasions: tuple[tuple[str, date], ...] = ()
    booked: tuple[tuple[str, date], ...] = ()
    opted_out: frozenset[str] = frozenset()
    wants_none: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class PujaSuggestion:
    """One puja worth proposing: when to hold it, why, and until when the proposal is good."""

    puja_id: str
    confidence: float
    kind: str
    from_day: date
    to_day: date
    expires_on: date
    reasons: tuple[Reason, ...]

    def as_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return {
            "puja_id": self.puja_id,
            "score": self.confidence,
            "reason": self.kind,
            "from": self.from_day.isoformat(),
            "to": self.to_day.isoformat(),
            "expires_on": self.expires_on.isoformat(),
            "detail": [
                {"code": each.code.value, "weight": round(each.weight, 4), "data": dict(each.data)}
                for each in self.reasons
            ],
        }


@dataclass(frozen=True, slots=True, eq=False)
class Habits:
    """What training counted, over the pujas of the model.

    Attributes
    ----------
    festival
        (1 + regions) by pujas: the probability that a family books it for one occurrence of its
        festival. Row 0 is everywhere, the others are shrunk to it.
    month
        (1 + regions) by pujas by 12: that it books it in one Gregorian month, festivals aside.
    hazard
        Pujas by months 0..36: that a family that held it so many months ago holds it in that month
        again; the last column stands for longer. Shrunk to the mean of all pujas.
    ripe
        Pujas by days 0..45: how likely a booking for a festival is made so many days ahead,
        beside the likeliest day, which is 1. Empty rows of 0: ``lead`` of the rule is taken.
    """

    festival: FloatArray
    month: FloatArray
    hazard: FloatArray
    ripe: FloatArray

    def saved(self) -> Saved:
        """Arrays and no parameters."""
        return Saved({name: getattr(self, name) for name in self.__dataclass_fields__}, {})

    @classmethod
    def restored(cls, saved: Saved, n_pujas: int, n_regions: int) -> Self:
        """What ``saved`` gave. Raises ``ValueError`` if it does not fit the ids."""
        shapes = {
            "festival": (1 + n_regions, n_pujas),
            "month": (1 + n_regions, n_pujas, 12),
            "hazard": (n_pujas, MAX_MONTHS + 1),
            "ripe": (n_pujas, HORIZON_DAYS + 1),
        }
        for name, shape in shapes.items():
            found = saved.arrays.get(name)
            if found is None or found.shape != shape:
                raise ValueError(f"the habits lack {name} of the shape {shape}")
        return cls(**{name: saved.arrays[name] for name in shapes})


def lead(days: float, median_days: float) -> float:
    """How ripe the time is, so many days ahead: 1 at the usual lead time, 0 outside 1..45 days."""
    if not 1 <= days <= HORIZON_DAYS:
        return 0.0
    ratio = days / max(median_days, 1.0)
    return float(ratio * np.exp(1 - ratio)) if ratio < 1 else float(np.exp((1 - ratio) / 3))


def elapsed_months(last: date, until: date, *, is_annual: bool) -> int:
    """Months from one holding to a day, at most 36.

    Of an annual rite whole years are meant: its lunar day wanders over eleven months to thirteen.
    """
    days = (until - last).days
    if is_annual and days > 300:
        return min(12 * round(days / 365.25), MAX_MONTHS)
    return int(min(max(round(days / _DAYS_A_MONTH), 0), MAX_MONTHS))


@dataclass(frozen=True, slots=True, eq=False)
class NextPuja:
    """Proposes pujas to a family.

    Attributes
    ----------
    rules
        By puja id; a puja without one is an ordinary one.
    similar
        The calibration of the scores of the model of families by pujas; None: not used.
    usual
        The mean calibrated score of each puja over families: a family whose own is above it keeps
        that festival more often than its cohort. None: all are as their cohort.
    """

    pujas: Index
    puja_ids: Sequence[str]
    regions: Index
    habits: Habits
    rules: Mapping[str, PujaRule] = field(default_factory=dict)
    similar: Calibration | None = None
    usual: Floats | None = None

    def suggest(
        self,
        family: Family,
        festivals: Iterable[Festival],
        *,
        scores: FloatArray | None = None,
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
        """
        if family.wants_none:
            return []
        ahead = self._ahead(family, festivals)
        parts = {
            Code.FESTIVAL: self._by_festival(family, ahead, self._lift(scores)),
            Code.REPEAT: self._by_rhythm(family, ahead),
            Code.SEASONAL: self._by_season(family),
            Code.SIMILAR: self._by_likeness(scores),
        }
        missed = np.ones(len(self.puja_ids))
        for part in parts.values():
            missed *= 1 - part
        total = np.round(1 - missed, _DIGITS)
        total[self._suppressed(family, ahead)] = 0.0
        order = np.lexsort((np.arange(len(total)), -total))
        chosen = [int(puja) for puja in order[:limit] if total[puja] > 0]
        return [self._suggestion(puja, float(total[puja]), parts, family, ahead) for puja in chosen]

    # --- the parts --------------------------------------------------------------------------------

    def _ahead(self, family: Family, festivals: Iterable[Festival]) -> dict[int, Festival]:
        """The next occurrence of each puja within the horizon; the family's own days come first."""
        last = family.today + timedelta(days=HORIZON_DAYS)
        own = [Festival(puja, day) for puja, day in family.occasions]
        theirs = [each for each in festivals if each.is_for(family.region, family.tradition)]
        found: dict[int, Festival] = {}
        for each in (*sorted(own, key=_by_day), *sorted(theirs, key=_by_day)):
            puja = self.pujas.index(each.puja_id)
            if puja >= 0 and family.today < each.day <= last:
                found.setdefault(puja, each)
        return found

    def _lift(self, scores: FloatArray | None) -> Floats:
        """How much oftener than others this family holds each puja, within a quarter and 4."""
        if scores is None or self.similar is None or self.usual is None:
            return np.ones(len(self.puja_ids))
        return np.clip(self.similar(scores) / np.maximum(self.usual, 1e-4), 0.25, 4)

    def _by_festival(self, family: Family, ahead: Mapping[int, Festival], lift: Floats) -> Floats:
        part = np.zeros(len(self.puja_ids))
        row = 1 + self.regions.index(family.region)
        own = {puja for puja, _ in family.occasions}
        for puja, festival in ahead.items():
            days = (festival.day - family.today).days
            ripe = float(self.habits.ripe[puja, days])
            if not self.habits.ripe[puja].any():
                ripe = lead(days, self._rule(puja).lead_days)
            # A day that the family told of itself is as good as a festival that all keep.
            odds = float(self.habits.festival[row, puja] * lift[puja])
            part[puja] = ripe * (0.9 if festival.puja_id in own else min(odds, 0.9))
        return part

    def _by_rhythm(self, family: Family, ahead: Mapping[int, Festival]) -> Floats:
        part = np.zeros(len(self.puja_ids))
        for past in family.past:
            puja = self.pujas.index(past.puja_id)
            if puja < 0:
                continue
            is_annual = self._rule(puja).is_annual
            if is_annual and puja not in ahead:
                continue  # its day is not near, whatever the distance in months
            until = ahead[puja].day if puja in ahead else family.today
            months = elapsed_months(past.last_on, until, is_annual=is_annual)
            if puja not in ahead:
                # The month that has begun, and the next one.
                later = min(months + 1, MAX_MONTHS)
                rates = self.habits.hazard[puja, [months, later]]
                part[puja] = 1 - float(np.prod(1 - rates))
            else:
                part[puja] = float(self.habits.hazard[puja, months])
        return part

    def _by_season(self, family: Family) -> Floats:
        row = 1 + self.regions.index(family.region)
        month = family.today.month - 1
        of_month = self.habits.month[row].astype(np.float64)
        left = 1 - (family.today.day - 1) / 31
        return np.asarray(left * of_month[:, month] + (1 - left) * of_month[:, (month + 1) % 12])

    def _by_likeness(self, scores: FloatArray | None) -> Floats:
        if scores is None or self.similar is None:
            return np.zeros(len(self.puja_ids))
        return self.similar(scores)

    def _suppressed(self, family: Family, ahead: Mapping[int, Festival]) -> list[int]:
        """Booked already, cancelled twice running, done once for ever, not wanted."""
        found = {self.pujas.index(each) for each in family.opted_out}
        for puja_id, day in family.booked:
            puja = self.pujas.index(puja_id)
            festival = ahead.get(puja)
            if day >= family.today and (festival is None or abs((festival.day - day).days) <= 15):
                found.add(puja)
        for past in family.past:
            puja = self.pujas.index(past.puja_id)
            once = puja >= 0 and not self._rule(puja).is_repeatable and past.times > 0
            if once or past.cancelled_running >= 2:
                found.add(puja)
        return sorted(found - {-1})

    def _rule(self, puja: int) -> PujaRule:
        puja_id = self.puja_ids[puja]
        return self.rules.get(puja_id, PujaRule(puja_id))

    # --- the answer -------------------------------------------------------------------------------

    def _suggestion(
        self,
        puja: int,
        confidence: float,
        parts: Mapping[Code, Floats],
        family: Family,
        ahead: Mapping[int, Festival],
    ) -> PujaSuggestion:
        moved = sorted(
            ((float(part[puja]), code) for code, part in parts.items() if part[puja] > _MIN_REASON),
            key=lambda each: (-each[0], each[1]),
        )
        reasons = [self._reason(code, weight, puja, family, ahead) for weight, code in moved]
        strongest = max(parts, key=lambda code: (float(parts[code][puja]), code))
        kind = {Code.FESTIVAL: FESTIVAL, Code.SEASONAL: SEASON}.get(strongest, OWN)
        festival = ahead.get(puja)
        if festival is not None:
            first = last = expires = festival.day
        else:
            ready = round(self._rule(puja).lead_days)
            first = family.today + timedelta(days=max(1, ready))
            last = expires = family.today + timedelta(days=max(1, ready) + 30)
        return PujaSuggestion(
            puja_id=self.puja_ids[puja],
            confidence=confidence,
            kind=kind,
            from_day=first,
            to_day=last,
            expires_on=expires,
            reasons=tuple(reasons[:3]),
        )

    def _reason(
        self, code: Code, weight: float, puja: int, family: Family, ahead: Mapping[int, Festival]
    ) -> Reason:
        """One part in words that name its day, its last time or the puja that it comes from."""
        weight = round(weight, _DIGITS)
        puja_id = self.puja_ids[puja]
        mine = {past.puja_id: past for past in family.past}
        if code is Code.FESTIVAL:
            day = ahead[puja].day.isoformat()
            if any(puja_id == each for each, _ in family.occasions):
                return Reason(Code.OCCASION, weight, {"puja": puja_id, "date": day})
            name = ahead[puja].name or puja_id
            names = {"en": name, "ne": ahead[puja].name_ne or name}
            return Reason(code, weight, {"name": names, "date": day})
        if code is Code.REPEAT:
            last = mine[puja_id].last_on
            months = elapsed_months(last, family.today, is_annual=False)
            kind = Code.ANNUAL if 10 <= months <= 13 else Code.REPEAT
            return Reason(kind, weight, {"puja": puja_id, "last": last.isoformat()})
        if code is Code.SIMILAR and mine:
            latest = max(family.past, key=lambda past: (past.last_on, past.puja_id))
            if latest.puja_id != puja_id:
                return Reason(code, weight, {"puja": latest.puja_id})
        return Reason(Code.SEASONAL, weight, {"puja": puja_id, "month": family.today.month})


def _by_day(festival: Festival) -> tuple[date, str]:
    return festival.day, festival.puja_id
