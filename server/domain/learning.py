"""What is learned from use: recommendations, what became of them, and what a customer prefers.

A recommendation is known by its ``rec_id``, which says for whom, by which model and of what it was
made; the server signs it, so that nobody can report on one that was never made. What became of it
is kept once for each (recommendation, target, kind), in a ledger of its own. Apart from it stand
the rows of the event log that training reads: what somebody has done or said, not what was shown.
"""

from __future__ import annotations

import enum
import hashlib
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Final

from server.domain.experiment import Rate, Readout

PURCHASE_WINDOW: Final = timedelta(days=7)
"""How long after it was shown a purchase still counts for a recommendation."""
_PRIOR_PURCHASES: Final = 1
_PRIOR_SHOWN: Final = 20
FINGERPRINT_BYTES: Final = 6
MAX_TARGETS: Final = 100
"""How many things one recommendation may name."""

MAX_PREFERENCES: Final = 500
"""About how many items one customer may have an opinion."""


class Surface(enum.StrEnum):
    """Where a recommendation is shown, which also says what its targets are.

    ``AUTO_ADD``: items that were put on a booking's list by themselves. Clients report nothing of
    these, for the booking tells it.
    """

    SAMAGRI = "samagri"
    PANDITS = "pandits"
    BOOKINGS = "bookings"
    AUTO_ADD = "auto_add"


class FeedbackKind(enum.StrEnum):
    """What became of a recommended thing. ``PURCHASED`` is said by the server alone."""

    SHOWN = "shown"
    ADDED = "added"
    REMOVED = "removed"
    FAVOURITE = "favourite"
    NEVER_SHOW = "never_show"
    PURCHASED = "purchased"


class PreferenceKind(enum.StrEnum):
    """What a customer thinks of an item of samagri."""

    FAVOURITE = "FAVOURITE"
    NEVER_SHOW = "NEVER_SHOW"


def fingerprint(key: bytes, target: str) -> bytes:
    """A few bytes that stand for a target's id inside a ``rec_id``.

    Without the key, which never leaves the server, nobody finds another text with the same.
    """
    # A third of the time that an HMAC takes, and there may be a hundred of them in an answer.
    return hashlib.blake2b(target.encode(), key=key, digest_size=FINGERPRINT_BYTES).digest()


@dataclass(frozen=True, slots=True)
class Trial:
    """That a thing was recommended to find out whether it is wanted, and not by merit.

    ``place`` is where it stood, from 1; ``propensity`` the chance with which it came to be there.
    """

    place: int
    propensity: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Recommendation:
    """What a ``rec_id`` says. ``version`` is that of the model, ``rules`` without one.

    ``key`` is that of its fingerprints; ``tried`` the fingerprint of the one thing that was tried.
    """

    id: str
    user_id: str
    surface: Surface
    version: str
    arm: str
    puja_id: str | None
    issued_at: datetime
    fingerprints: frozenset[bytes]
    key: bytes = field(repr=False)
    tried: tuple[bytes, Trial] | None = None

    def names(self, target: str) -> bool:
        """Whether that thing was recommended."""
        return fingerprint(self.key, target) in self.fingerprints

    def trial_of(self, target: str) -> Trial | None:
        """How that thing was tried; None when it was there by merit."""
        if self.tried is None or self.tried[0] != fingerprint(self.key, target):
            return None
        return self.tried[1]


@dataclass(frozen=True, slots=True, kw_only=True)
class Feedback:
    """One row of the ledger: what became of one target of one recommendation.

    With a ``trial`` the target was there to be tried, and who estimates anything of it later has to
    weigh it by its propensity.
    """

    rec_id: str
    target: str
    kind: FeedbackKind
    user_id: str
    surface: Surface
    version: str
    arm: str
    at: datetime
    trial: Trial | None = None

    @property
    def id(self) -> str:
        """Unique for ever: the same thing said again is the same row."""
        return f"{self.rec_id}:{self.target}:{self.kind}"

    @property
    def counter(self) -> CounterKey:
        """Where it is counted."""
        return CounterKey(self.version, self.arm, self.surface, self.target)


@dataclass(frozen=True, slots=True, kw_only=True)
class Interaction:
    """A row of the event log, in the columns that training reads.

    ``kind`` and ``source`` are names of ``recsys.data.Kind`` and ``Source`` in small letters.
    """

    id: str
    user_id: str
    ts: datetime
    kind: str
    source: str = "manual"
    puja_id: str | None = None
    booking_id: str | None = None
    item_id: str | None = None
    pandit_id: str | None = None
    quantity: float | None = None
    unit: str | None = None
    price: int | None = None
    rating: int | None = None
    rec_id: str | None = None
    region: str | None = None


@dataclass(frozen=True, slots=True)
class CounterKey:
    """What is counted apart: one target of one surface, by model version and arm.

    An empty ``target`` stands for all of them together.
    """

    version: str
    arm: str
    surface: str
    target: str = ""

    @property
    def id(self) -> str:
        """The counter's id."""
        return f"{self.version}|{self.arm}|{self.surface}|{self.target}"

    @property
    def total(self) -> CounterKey:
        """The counter of all targets together."""
        return CounterKey(self.version, self.arm, self.surface)


@dataclass(frozen=True, slots=True, kw_only=True)
class Counter:
    """How often a target was recommended, and what became of it."""

    id: str
    version: str
    arm: str
    surface: str
    target: str
    times_recommended: int = 0
    times_clicked: int = 0
    times_purchased: int = 0
    times_removed: int = 0

    @property
    def purchase_rate(self) -> float:
        """Purchases per recommendation, drawn towards 1 in 20 while there are few."""
        return (self.times_purchased + _PRIOR_PURCHASES) / (self.times_recommended + _PRIOR_SHOWN)


COUNTED_AS: Final = {
    FeedbackKind.SHOWN: "times_recommended",
    FeedbackKind.ADDED: "times_clicked",
    FeedbackKind.PURCHASED: "times_purchased",
    FeedbackKind.REMOVED: "times_removed",
}
"""The field of a counter that each kind of feedback raises by one."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SamagriPreference:
    """What one customer thinks of one item."""

    id: str
    user_id: str
    item_id: str
    preference: PreferenceKind
    updated_at: datetime


@dataclass(frozen=True, slots=True)
class CountedRow:
    """What became of the recommendations of one model, arm and surface."""

    counter: Counter
    added: Rate
    purchased: Rate
    removed: Rate


@dataclass(frozen=True, slots=True)
class Accuracy:
    """All of it. ``targets`` are the most recommended things of one model and surface."""

    rows: tuple[CountedRow, ...]
    readout: Readout | None
    targets: tuple[Counter, ...] = ()
