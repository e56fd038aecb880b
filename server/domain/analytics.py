"""Figures about bookings and money: over what time they are told, and what they are called.

Days are days in Nepal. Money is paisa. Nothing here is stored: every figure is counted from
bookings, payments, reviews and the ledger when somebody asks for it (ADR 16 says why).
"""

from __future__ import annotations

import enum
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime, time, timedelta
from statistics import median
from typing import Final
from zoneinfo import ZoneInfo

from server.domain.account import NEPAL
from server.domain.booking import Answer, BookingStatus, Offer, PaymentMethod
from server.domain.errors import FieldFault, Invalid
from server.domain.money import NPR

MAX_DAYS: Final = 372
"""The longest time that is told at once: any year of either calendar, and a week."""
_MORE_THAN_A_MONTH: Final = 32
_ZONE: Final = ZoneInfo(NEPAL)
_FIRST_DAY: Final = date(1920, 1, 1)
_LAST_DAY: Final = date(2100, 1, 1)


class MonthCalendar(enum.StrEnum):
    """By which calendar months are counted."""

    AD = "ad"
    BS = "bs"


class Step(enum.StrEnum):
    """What people do on the way to a booking that leaves nothing else behind; counted by day."""

    SEARCHED = "searched"
    VIEWED = "viewed"
    DRAFTED = "drafted"


@dataclass(frozen=True, slots=True)
class Period:
    """Some days, both ends included.

    Raises
    ------
    Invalid
        If the end comes before the beginning, if there are more than ``MAX_DAYS``, or if they lie
        outside what the calendars hold.
    """

    first: date
    last: date

    def __post_init__(self) -> None:
        for name, day in (("to", self.last), ("from", self.first)):
            if not _FIRST_DAY <= day <= _LAST_DAY:
                raise Invalid(FieldFault(name, "range"))
        if self.last < self.first:
            raise Invalid(FieldFault("to", "order"))
        if self.days > MAX_DAYS:
            raise Invalid(FieldFault("to", "too-many-days", {"most": MAX_DAYS}))

    @property
    def days(self) -> int:
        """How many days there are."""
        return (self.last - self.first).days + 1

    def parts(self) -> Iterator[Period]:
        """The same days, cut where months of the AD calendar end."""
        first = self.first
        while first <= self.last:
            later = (first.replace(day=1) + timedelta(days=_MORE_THAN_A_MONTH)).replace(day=1)
            yield Period(first, min(self.last, later - timedelta(days=1)))
            first = later

    @property
    def starts_at(self) -> datetime:
        """The first instant, in UTC."""
        return _midnight(self.first)

    @property
    def ends_at(self) -> datetime:
        """The first instant that is no longer of it, in UTC."""
        return _midnight(self.last + timedelta(days=1))


@dataclass(frozen=True, slots=True, order=True)
class Month:
    """The part of a month that lies in a period; ``year`` and ``number`` are of its calendar."""

    first: date
    last: date
    year: int
    number: int

    @property
    def code(self) -> str:
        """Year and month: 2083-08."""
        return f"{self.year:04d}-{self.number:02d}"


@dataclass(frozen=True, slots=True)
class Share:
    """So many of so many; without any there is no share."""

    count: int
    of: int

    @property
    def rate(self) -> float | None:
        """The share, 0 to 1."""
        return self.count / self.of if self.of else None


# -- customers ---------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class Spending:
    """What a customer has paid for one thing, and what of it was given back; see ``spent``."""

    paid_on: date
    booking_id: str | None
    puja_id: str
    title: str
    title_ne: str
    paid: int
    refunded: int

    @property
    def spent(self) -> int:
        """What it has cost him in the end."""
        return self.paid - self.refunded


@dataclass(frozen=True, slots=True, kw_only=True)
class SpentOn:
    """What one puja has cost a customer; an empty ``puja_id`` stands for contact fees."""

    puja_id: str
    name: str
    name_ne: str
    payments: int
    spent: int


@dataclass(frozen=True, slots=True, kw_only=True)
class SpentIn:
    """What a month has cost a customer."""

    month: Month
    payments: int
    paid: int
    refunded: int

    @property
    def spent(self) -> int:
        """What it has cost in the end."""
        return self.paid - self.refunded


@dataclass(frozen=True, slots=True, kw_only=True)
class CustomerFigures:
    """A customer's bookings that begin in the period, and what he has paid in it."""

    period: Period
    upcoming: int
    statuses: dict[BookingStatus, int]
    spent: int
    months: tuple[SpentIn, ...]
    pujas: tuple[SpentOn, ...]


# -- pandits -----------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """How many bookings that a pandit had accepted stand so; ``by`` is the role that ended them."""

    status: BookingStatus
    by: str
    is_over: bool
    count: int


@dataclass(frozen=True, slots=True, kw_only=True)
class EarnedOn:
    """What a pandit earned and was paid on a day.

    ``in_cash`` is the part of ``earned`` that he took himself.
    """

    day: date
    earned: int = 0
    in_cash: int = 0
    paid_out: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class EarnedIn:
    """What a pandit earned and was paid in a month."""

    month: Month
    earned: int
    in_cash: int
    paid_out: int


@dataclass(frozen=True, slots=True, kw_only=True)
class RatedOn:
    """The published reviews of a day: how many, and the sum of their stars."""

    day: date
    count: int
    stars: int


@dataclass(frozen=True, slots=True, kw_only=True)
class RatedIn:
    """The published reviews of a month."""

    month: Month
    count: int
    stars: int

    @property
    def mean(self) -> float | None:
        """The mean of the stars, None without reviews."""
        return self.stars / self.count if self.count else None


@dataclass(frozen=True, slots=True, kw_only=True)
class Answers:
    """What a pandit made of what he was offered in a period.

    ``open`` waits for him; ``withdrawn`` ended before he could answer and counts for nothing.
    ``response_seconds`` is the median time of his own answers, yes or no.
    """

    accepted: int = 0
    declined: int = 0
    lapsed: int = 0
    withdrawn: int = 0
    open: int = 0
    response_seconds: float | None = None

    @property
    def acceptance(self) -> Share:
        """How many he took on, of those that were his to answer."""
        return Share(self.accepted, self.accepted + self.declined + self.lapsed)


@dataclass(frozen=True, slots=True, kw_only=True)
class Held:
    """What became of what a pandit had accepted and whose time is over.

    ``called_off_by_others`` counts neither for nor against him.
    """

    completed: int = 0
    called_off_by_him: int = 0
    called_off_by_others: int = 0
    left_open: int = 0

    @property
    def completion(self) -> Share:
        """How many he held, of those that nobody else called off."""
        missed = self.called_off_by_him + self.left_open
        return Share(self.completed, self.completed + missed)


@dataclass(frozen=True, slots=True, kw_only=True)
class PanditFigures:
    """A pandit's work of a period, and what waits for him now."""

    period: Period
    waiting: int
    answers: Answers
    held: Held
    earned: int
    paid_out: int
    months: tuple[EarnedIn, ...]
    ratings: tuple[RatedIn, ...]


# -- the platform ------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class Placed:
    """How many bookings of a puja and a town were placed on a day and stand so, and their value.

    ``is_offered``: a pandit has been asked, so they are paid or to be paid in cash.
    """

    day: date
    status: BookingStatus
    is_offered: bool
    is_accepted: bool
    is_paid: bool
    puja_id: str
    service_name: str
    city: str
    count: int
    value: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Ranked:
    """One of the pujas or places with most bookings. Without a place ``key`` is empty."""

    key: str
    name: str = ""
    name_ne: str = ""
    bookings: int
    completed: int
    value: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Tried:
    """How many tries to pay by one method ended so, and about how much money.

    Of payments that were begun in the period.
    """

    method: PaymentMethod
    currency: str = NPR
    succeeded: int = 0
    failed: int = 0
    open: int = 0
    amount: int = 0
    refunded: int = 0

    @property
    def success(self) -> Share:
        """How many succeeded of those that are decided."""
        return Share(self.succeeded, self.succeeded + self.failed)


@dataclass(frozen=True, slots=True, kw_only=True)
class Moved:
    """What an account moved by on a day, by why: debit less credit, in minor units."""

    day: date
    account: str
    kind: str
    currency: str
    amount: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Income:
    """What the platform took in over some days, from the ledger.

    ``turnover`` is what was paid for pujas that were held, ``commission`` our share of it,
    ``borne`` what was refunded at our own cost.
    """

    first: date
    last: date
    turnover: int = 0
    commission: int = 0
    unlocks: int = 0
    kept: int = 0
    borne: int = 0

    @property
    def revenue(self) -> int:
        """What is left to the platform."""
        return self.commission + self.unlocks + self.kept - self.borne


@dataclass(frozen=True, slots=True, kw_only=True)
class Funnel:
    """How far those came who looked for a pandit.

    The first three count what people did, guests as well: searches, pandits looked at, bookings
    begun; None where nothing was counted. The others are bookings placed in the period. ``paid``
    are those of ``completed`` that are paid in full.
    """

    searched: int | None
    viewed: int | None
    drafted: int | None
    placed: int
    offered: int
    accepted: int
    completed: int
    paid: int


@dataclass(frozen=True, slots=True, kw_only=True)
class PlatformFigures:
    """Everything about a period that administrators see. ``counted_at`` is when it was counted."""

    period: Period
    counted_at: datetime
    days: tuple[DayFigures, ...]
    by_month: tuple[tuple[Month, DayFigures], ...]
    statuses: dict[BookingStatus, int]
    value: int
    income: Income
    incomes: tuple[Income, ...]
    months: tuple[tuple[Month, Income], ...]
    methods: tuple[Tried, ...]
    funnel: Funnel
    pujas: tuple[Ranked, ...]
    regions: tuple[Ranked, ...]

    @property
    def placed(self) -> int:
        """How many bookings were placed."""
        return sum(self.statuses.values())

    @property
    def completion(self) -> Share:
        """How many were held, of those that have ended."""
        ended = (BookingStatus.COMPLETED, BookingStatus.CANCELLED, BookingStatus.FAILED)
        return Share(
            self.statuses.get(BookingStatus.COMPLETED, 0),
            sum(self.statuses.get(status, 0) for status in ended),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class DayFigures:
    """The bookings that were placed on a day, or from it on, by how they stand now."""

    day: date
    statuses: dict[BookingStatus, int] = field(default_factory=dict)
    value: int = 0

    @property
    def placed(self) -> int:
        """How many were placed."""
        return sum(self.statuses.values())


def days_together(first: date, days: Iterable[DayFigures]) -> DayFigures:
    """The bookings of several days as those of one."""
    statuses: dict[BookingStatus, int] = {}
    value = 0
    for each in days:
        value += each.value
        for status, count in each.statuses.items():
            statuses[status] = statuses.get(status, 0) + count
    return DayFigures(day=first, statuses=statuses, value=value)


def answers_of(offers: Sequence[Offer]) -> Answers:
    """What became of offers, all of one pandit."""
    counts = dict.fromkeys(Answer, 0)
    times: list[float] = []
    for offer in offers:
        if offer.answer is None:
            continue
        counts[offer.answer] += 1
        is_his = offer.answer in (Answer.ACCEPTED, Answer.DECLINED)
        if is_his and offer.answered_at is not None:
            times.append((offer.answered_at - offer.offered_at).total_seconds())
    return Answers(
        accepted=counts[Answer.ACCEPTED],
        declined=counts[Answer.DECLINED],
        lapsed=counts[Answer.LAPSED],
        withdrawn=counts[Answer.WITHDRAWN],
        open=len(offers) - sum(counts.values()),
        response_seconds=median(times) if times else None,
    )


def held_of(outcomes: Sequence[Outcome]) -> Held:
    """What became of accepted bookings, all of one pandit."""
    completed = by_him = by_others = left_open = 0
    for each in outcomes:
        if each.status is BookingStatus.COMPLETED:
            completed += each.count
        elif each.status is BookingStatus.CANCELLED and each.by == "pandit":
            by_him += each.count
        elif each.status is BookingStatus.CANCELLED:
            by_others += each.count
        elif each.is_over:
            left_open += each.count
    return Held(
        completed=completed,
        called_off_by_him=by_him,
        called_off_by_others=by_others,
        left_open=left_open,
    )


def ranked(
    placed: Sequence[Placed],
    key: Callable[[Placed], str],
    name: Callable[[Placed], str],
    limit: int,
) -> tuple[Ranked, ...]:
    """Those with most bookings, by what ``key`` says they belong to."""
    found: dict[str, Ranked] = {}
    for each in placed:
        row = found.get(key(each)) or Ranked(
            key=key(each), name=name(each), bookings=0, completed=0, value=0
        )
        is_held = each.status is BookingStatus.COMPLETED
        found[row.key] = replace(
            row,
            bookings=row.bookings + each.count,
            completed=row.completed + (each.count if is_held else 0),
            value=row.value + each.value,
        )
    return tuple(sorted(found.values(), key=lambda row: (-row.bookings, row.key))[:limit])


def tried_together(tries: Sequence[Tried]) -> tuple[Tried, ...]:
    """What became of tries in several periods, by method."""
    found: dict[tuple[str, str], Tried] = {}
    for each in tries:
        key = (each.method.value, each.currency)
        so_far = found.get(key)
        found[key] = (
            each
            if so_far is None
            else replace(
                so_far,
                succeeded=so_far.succeeded + each.succeeded,
                failed=so_far.failed + each.failed,
                open=so_far.open + each.open,
                amount=so_far.amount + each.amount,
                refunded=so_far.refunded + each.refunded,
            )
        )
    return tuple(found[key] for key in sorted(found))


def income_of(moves: Sequence[Moved], first: date, last: date) -> Income:
    """What the platform took in, of movements of those days in rupees."""
    turnover = commission = unlocks = kept = borne = 0
    for move in moves:
        if move.currency != NPR or not first <= move.day <= last:
            continue
        if move.account == "customer" and move.kind == "earning":
            turnover += move.amount
        elif move.account == "commission":
            commission -= move.amount
        elif move.account == "income:unlocks":
            unlocks -= move.amount
        elif move.account == "income:kept":
            kept -= move.amount
        elif move.account == "adjustments":
            borne += move.amount
    return Income(
        first=first,
        last=last,
        turnover=turnover,
        commission=commission,
        unlocks=unlocks,
        kept=kept,
        borne=borne,
    )


def _midnight(day: date) -> datetime:
    return datetime.combine(day, time(), _ZONE).astimezone(UTC)
