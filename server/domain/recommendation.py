"""Recommendations: what is asked, what is answered, and what is known of the customer.

An *adviser* answers from one trained model, or from the rules alone. It never changes, so whoever
has taken one finishes with it while the next one is being put in its place.
"""

from __future__ import annotations

import enum
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime
from decimal import Decimal
from typing import Any, Final, Protocol

from server.domain.account import GeoPoint
from server.domain.booking import BookingStatus
from server.domain.catalogue import Puja, SamagriItem, SamagriType
from server.domain.money import NPR, Unit

MODEL: Final = "model"
"""The source of an item that no rule names."""
RULES_VERSION: Final = "rules"
"""What stands for a model's version where the rules alone answer."""
RULE_CODE: Final = "RULE_OPTIONAL"
"""The code of the reason that a rule of the catalogue names an optional item."""
MODELS_TOPIC: Final = "models"
"""On this topic of the bus the processes tell each other that another model is to serve."""
FACTORS: Final = ("location", "rating", "experience", "availability", "affinity")
"""The factors of a ranking of pandits, as clients see them."""


# -- what is known of the customer -----------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class Preferences:
    """What a customer has said that he wants, or never wants to see; ids of items.

    ``since``: when he said it last, by item.
    """

    never_show: frozenset[str] = frozenset()
    favourites: frozenset[str] = frozenset()
    since: Mapping[str, datetime] = field(default_factory=dict, compare=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class PastBooking:
    """One of a customer's bookings, as much of it as recommendations look at.

    ``item_ids`` and ``sources`` go together: what was on the list, and who had put it there.
    ``declined`` is what had been put there for the customer and he took off.
    """

    booking_id: str
    puja_id: str
    pandit_id: str
    status: BookingStatus
    booked_at: datetime
    held_on: date
    ended_at: datetime
    item_ids: tuple[str, ...] = ()
    sources: tuple[str, ...] = ()
    declined: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Customer:
    """Who asks, as recommendations know him; nobody in particular without a ``user_id``.

    ``history`` begins with the latest booking and holds so many; ``last_held`` reaches back further
    and says of each puja when he held it last. ``stars`` is the mean of what he gave, by pandit.
    ``language`` is the one that he reads; empty: not known.
    """

    user_id: str = ""
    city: str = ""
    language: str = ""
    home: GeoPoint | None = None
    preferences: Preferences = Preferences()
    history: tuple[PastBooking, ...] = ()
    last_held: Mapping[str, date] = field(default_factory=dict)
    stars: Mapping[str, float] = field(default_factory=dict)


NOBODY: Final = Customer()


@dataclass(frozen=True, slots=True, kw_only=True)
class Occasion:
    """For whom, where, with whom and when a puja is held, as far as it is known already.

    ``added`` are the items that the customer has put on the list himself.
    """

    user_id: str = ""
    city: str = ""
    pandit_id: str = ""
    held_on: date | None = None
    added: tuple[str, ...] = ()


# -- samagri ---------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Because:
    """One reason: a code with its data, and the sentence for it in both languages.

    ``weight`` is what it added to the logit of the confidence; 0 where a rule decided.
    """

    code: str
    weight: float
    data: Mapping[str, Any]
    text: str
    text_ne: str


@dataclass(frozen=True, slots=True, kw_only=True)
class SamagriQuestion:
    """What samagri a puja of this customer needs. ``budget`` in paisa is for all of it.

    ``month_bs`` is the month of Bikram Sambat in which it is held, 0 where nobody knows: what is
    out of season then is not offered. ``explores``: a new item may take the place of the last find,
    so that it gets its chance.
    """

    puja: Puja
    customer: Customer
    occasion: Occasion
    today: date
    budget: int | None = None
    explores: bool = False
    month_bs: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class AdvisedItem:
    """One line of the answer; ``price`` is that of the line, in paisa, ``confidence`` 0 to 1.

    ``over_budget``: it is there although the budget is used up, because the puja needs it.
    ``is_hidden``: the customer asked not to see it, but the puja needs it. ``is_explored``: it is
    new and is shown to find out whether families want it, by the chance ``propensity``.
    ``is_in_season`` is false of what the puja needs although it is hard to find; ``substitute_of``
    is the item in whose place it stands.
    """

    item: SamagriItem
    quantity: Decimal
    unit: Unit
    type: SamagriType
    source: str
    confidence: float
    price: int
    because: tuple[Because, ...]
    over_budget: bool = False
    is_hidden: bool = False
    is_explored: bool = False
    propensity: float = 1.0
    is_in_season: bool = True
    substitute_of: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class SamagriAdvice:
    """The answer, strongest type first. ``shortfall``: what the budget lacks for what is needed.

    ``left_out`` is what would be there too if the budget were larger, the likeliest first.
    ``rec_id`` is what feedback names; an answer to nobody in particular has none.
    """

    items: tuple[AdvisedItem, ...]
    total: int
    shortfall: int
    model_version: str
    currency: str = NPR
    rec_id: str | None = None
    left_out: tuple[AdvisedItem, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Affordable:
    """A line that a budget may buy or leave out. ``price`` is that of the line, in paisa."""

    item_id: str
    price: int
    confidence: float
    source: str


# -- pandits ---------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class PanditCandidate:
    """A pandit in question, who can be booked: what a ranking reads of him, and no more.

    ``point`` is his place as strangers may know it, ``price`` what the puja costs with him (paisa).
    """

    pandit_id: str
    languages: tuple[str, ...]
    experience_years: int
    rating: float
    review_count: int
    point: GeoPoint | None
    price: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class PanditQuestion:
    """Who of these suits."""

    puja_id: str | None
    customer: Customer
    near: GeoPoint | None
    candidates: Sequence[PanditCandidate]
    today: date
    limit: int | None = None


@dataclass(frozen=True, slots=True)
class Factor:
    """What one factor says, 0 to 1, and what it adds to the score.

    ``raw`` is in its own unit: km, stars, bookings; None where there is none.
    """

    value: float
    weight: float
    contribution: float
    raw: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class RankedPandit:
    """One place of the ranking; the contributions of ``factors`` sum to ``score``.

    ``is_new``: he has held few bookings yet. ``propensity`` is the chance with which he came to
    stand where he stands; 1 by merit.
    """

    pandit_id: str
    score: float
    factors: Mapping[str, Factor]
    is_new: bool = False
    is_explored: bool = False
    propensity: float = 1.0


# -- the next puja ---------------------------------------------------------------------------------


class PujaReason(enum.StrEnum):
    """Why a puja is proposed."""

    FESTIVAL = "upcoming_festival"
    SEASON = "seasonal"
    HISTORY = "user_history"


@dataclass(frozen=True, slots=True, kw_only=True)
class FestivalPuja:
    """A puja that families hold on a festival, named by its key in the calendar."""

    festival: str
    puja_id: str


@dataclass(frozen=True, slots=True, kw_only=True)
class FestivalDay:
    """A day on which families hold a puja."""

    puja_id: str
    day: date
    name: str
    name_ne: str


@dataclass(frozen=True, slots=True, kw_only=True)
class PujaQuestion:
    """Which pujas this customer may want next."""

    customer: Customer
    today: date
    festivals: Sequence[FestivalDay]
    limit: int


@dataclass(frozen=True, slots=True, kw_only=True)
class PujaAdvice:
    """One puja worth proposing, when to hold it, and why."""

    puja: Puja
    score: float
    reason: PujaReason
    detail: str
    detail_ne: str
    first_day: date
    last_day: date
    because: tuple[Because, ...]


# -- who answers -----------------------------------------------------------------------------------


class Adviser(Protocol):
    """Answers from one model, or from the rules alone. Immutable; a call never waits."""

    @property
    def version(self) -> str:
        """The version of the model; ``RULES_VERSION`` without one."""
        ...

    @property
    def has_model(self) -> bool:
        """Whether a trained model answers."""
        ...

    @property
    def rules(self) -> Adviser:
        """What answers those who are to be served without the model."""
        ...

    def samagri(self, question: SamagriQuestion) -> SamagriAdvice:
        """Say what the puja needs and what is likely wanted beside it."""
        ...

    def together(
        self, item: SamagriItem, customer: Customer, *, month_bs: int, limit: int
    ) -> tuple[AdvisedItem, ...]:
        """Say what goes with an item, one base quantity of each, the most telling first."""
        ...

    def affordable(self, lines: Sequence[Affordable], budget: int) -> frozenset[str]:
        """Choose among lines those of the highest worth whose prices fit a budget; ids of items."""
        ...

    def pandits(self, question: PanditQuestion) -> tuple[RankedPandit, ...]:
        """Put the candidates in order, best first; he falls away whom the customer rated 1 or 2."""
        ...

    def newcomers(self, by_merit: Sequence[RankedPandit], seed: str) -> tuple[RankedPandit, ...]:
        """Tell of whom one may be tried in this list, behind its first five; in many lists nobody.

        ``seed`` names customer and day; empty: nobody is.
        """
        ...

    def with_new(
        self,
        shown: Sequence[RankedPandit],
        newcomers: Sequence[RankedPandit],
        seed: str,
        counted: Mapping[str, tuple[int, int]],
    ) -> tuple[RankedPandit, ...]:
        """Put one of these newcomers, all of whom can be had, into the fourth or fifth place.

        ``counted``: how often each was recommended and booked of it, by pandit; else never.
        """
        ...

    def pujas(self, question: PujaQuestion) -> tuple[PujaAdvice, ...]:
        """Propose pujas, the likeliest first."""
        ...


class AdviserChoice(Protocol):
    """Chooses who answers a customer."""

    def of(self, user_id: str | None) -> Adviser:
        """Return the customer's adviser; take it once for an answer and keep it to its end."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelFault:
    """Why a model was refused. ``code`` is stable and may be shown, ``reason`` is for operators."""

    version: str
    code: str
    reason: str
    at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelState:
    """What serves in this process. ``version`` is ``RULES_VERSION`` without a model."""

    version: str
    loaded_at: datetime | None
    is_checked: bool
    last_error: ModelFault | None


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelVersion:
    """One version in the store; ``problem`` says why it cannot be read, empty where it can."""

    version: str
    is_current: bool
    created_at: str = ""
    code_version: str = ""
    engine: str = ""
    models: Mapping[str, str] = field(default_factory=dict)
    metrics: Mapping[str, Any] = field(default_factory=dict)
    baselines: Mapping[str, Any] = field(default_factory=dict)
    gates: tuple[Mapping[str, Any], ...] = ()
    gates_failed: tuple[str, ...] = ()
    training_window: Mapping[str, Any] = field(default_factory=dict)
    has_report: bool = False
    problem: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelListing:
    """The store: its versions, newest first, and which of them the pointer names."""

    versions: tuple[ModelVersion, ...]
    current: str | None
