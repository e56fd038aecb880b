"""Payments: what is owed once, and every try to pay it.

A payment is one document: of a booking, of the unlocking of a pandit's contact details, or of money
for the wallet. Each click on "pay" is an :class:`Attempt` in it with a reference of its own. So the
questions that must have one answer ("is this the first success?", "has it been refunded already?")
are decided by one conditional write.

What is due, what was asked for and what has been paid is known here alone; gateways only report.
What may become of a payment is decided by ``payment_rules`` and ``refunds``.

States of an attempt and the only moves between them::

    PENDING ──> PROCESSING ──> COMPLETED ──> REFUNDED
       │ └──────────│──────────────^ ^           │
       └──> FAILED <┘                │           │ only when the provider says that its
              └──── late success ────┘<──────────┘ own refund has failed
"""

from __future__ import annotations

import enum
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Final

from server.domain.booking import PaymentMethod, PaymentStatus
from server.domain.errors import NotFound
from server.domain.events import Event
from server.domain.gateway import AttemptFacts, PaymentAction, RefundState

_Status = PaymentStatus
MOVES: Final[Mapping[PaymentStatus, frozenset[PaymentStatus]]] = {
    _Status.PENDING: frozenset({_Status.PROCESSING, _Status.COMPLETED, _Status.FAILED}),
    _Status.PROCESSING: frozenset({_Status.COMPLETED, _Status.FAILED}),
    _Status.FAILED: frozenset({_Status.COMPLETED}),
    _Status.COMPLETED: frozenset({_Status.REFUNDED}),
    _Status.REFUNDED: frozenset({_Status.COMPLETED}),
}
"""Every move there is; all others are ignored."""
OPEN: Final = frozenset({_Status.PENDING, _Status.PROCESSING})
PAID: Final = frozenset({_Status.COMPLETED, _Status.REFUNDED})
MAX_ATTEMPTS: Final = 20
GIVE_UP_AFTER: Final = timedelta(hours=24)


class Purpose(enum.StrEnum):
    """What is paid for."""

    BOOKING = "BOOKING"
    UNLOCK = "UNLOCK"
    TOP_UP = "TOP_UP"


class RefundTo(enum.StrEnum):
    """Where a refund goes: the way the money came, or the customer's wallet."""

    ORIGINAL = "ORIGINAL"
    WALLET = "WALLET"


class ReviewReason(enum.StrEnum):
    """Why a person has to look."""

    MISMATCH = "mismatch"
    UNKNOWN_STATUS = "unknown-status"
    LATE_SUCCESS = "late-success"
    SECOND_SUCCESS = "second-success"
    PRICE_CHANGED = "price-changed"
    PROOF_REUSED = "proof-reused"
    REFUND_FAILED = "refund-failed"
    REFUND_OF_UNKNOWN_SIZE = "refund-of-unknown-size"
    REFUNDED_AT_GATEWAY = "refunded-at-gateway"
    UNDECIDED = "undecided"
    CASH_SHORT = "cash-short"
    DISPUTED = "disputed"
    GATEWAY = "gateway"


@dataclass(frozen=True, slots=True, kw_only=True)
class Note:
    """A line of an attempt's history: what came in from where, and what it moved."""

    at: datetime
    source: str
    outcome: str
    status: PaymentStatus
    raw: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Review:
    """Something that a person has to look at, until somebody has."""

    reason: ReviewReason
    detail: str
    at: datetime
    resolved_at: datetime | None = None
    resolved_by: str | None = None
    note: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Refund:
    """Money on its way back. ``id`` is unique for ever and the provider's idempotency key.

    ``next_try_at`` is when something is to be done about it by itself; None when it is settled, or
    when it waits for a person.
    """

    id: str
    amount: int
    reason: str
    to: RefundTo
    by: str
    asked_at: datetime
    state: RefundState = RefundState.REQUESTED
    gateway_id: str | None = None
    source: str = ""
    tries: int = 0
    next_try_at: datetime | None = None
    settled_at: datetime | None = None
    note: str = ""

    @property
    def is_open(self) -> bool:
        """Whether it may still be given back."""
        return self.state not in (RefundState.DONE, RefundState.FAILED)

    @property
    def waits_for_staff(self) -> bool:
        """Whether a person, and nothing else any more, says what became of it."""
        if self.to is not RefundTo.ORIGINAL or self.next_try_at is not None:
            return False
        return self.state in (RefundState.MANUAL, RefundState.UNKNOWN, RefundState.PENDING)


@dataclass(frozen=True, slots=True, kw_only=True)
class Attempt:
    """One try to pay. ``reference`` is what the provider knows it by; amounts are minor units.

    ``refunded`` is a running total. ``next_check_at`` is when the provider is asked again.
    """

    number: int
    reference: str
    method: PaymentMethod
    amount: int
    currency: str
    status: PaymentStatus = _Status.PENDING
    created_at: datetime
    updated_at: datetime
    started_at: datetime | None = None
    completed_at: datetime | None = None
    expires_at: datetime | None = None
    gateway_id: str | None = None
    transaction_id: str | None = None
    action: PaymentAction | None = None
    details: Mapping[str, str] = field(default_factory=dict)
    refunded: int = 0
    fee: int | None = None
    reason: str = ""
    next_check_at: datetime | None = None
    notes: tuple[Note, ...] = ()
    reviews: tuple[Review, ...] = ()
    refunds: tuple[Refund, ...] = ()

    @property
    def is_open(self) -> bool:
        """Whether its outcome is not known yet."""
        return self.status in OPEN

    @property
    def needs_review(self) -> bool:
        """Whether a person has to look."""
        return any(review.resolved_at is None for review in self.reviews)

    @property
    def committed(self) -> int:
        """What has been given back or is on its way."""
        return self.refunded + sum(refund.amount for refund in self.refunds if refund.is_open)

    @property
    def refunded_there(self) -> int:
        """What the provider itself has given back: it knows nothing of our wallets."""
        return sum(
            refund.amount
            for refund in self.refunds
            if refund.state is RefundState.DONE and refund.to is RefundTo.ORIGINAL
        )

    @property
    def facts(self) -> AttemptFacts:
        """What a gateway is told of it."""
        return AttemptFacts(
            reference=self.reference,
            amount=self.amount,
            currency=self.currency,
            created_at=self.created_at,
            gateway_id=self.gateway_id,
            transaction_id=self.transaction_id,
            refunded=self.refunded_there,
            details=self.details,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Closing:
    """What was paid for does not happen; so much of it goes back, in hundredths of a percent."""

    at: datetime
    reason: str
    share: int
    to: RefundTo = RefundTo.ORIGINAL


@dataclass(frozen=True, slots=True, kw_only=True)
class Payment:
    """What is owed once. ``amount`` is what is due now, in minor units of ``currency``.

    ``captured`` is the number of the attempt that succeeded first, over what was due at that time;
    ``confirmed_at`` is when that paid for the subject, None when the subject was closed before.
    ``spent`` is what is no longer the customer's of it: earned, or kept by the rules of
    cancellation.
    """

    id: str
    purpose: Purpose
    user_id: str
    title: str
    title_ne: str = ""
    booking_id: str | None = None
    pandit_id: str | None = None
    pandit_user_id: str | None = None
    pandit_name: str = ""
    amount: int
    currency: str
    attempts: tuple[Attempt, ...] = ()
    captured: int | None = None
    confirmed_at: datetime | None = None
    closed: Closing | None = None
    spent: int = 0
    earned_at: datetime | None = None
    pay_by: datetime | None = None
    created_at: datetime
    updated_at: datetime
    outbox: tuple[Event, ...] = ()
    version: int = 1

    @property
    def main(self) -> Attempt | None:
        """The attempt that counts: the one that paid, else the latest."""
        if self.captured is not None:
            return self.attempt(self.captured)
        return self.attempts[-1] if self.attempts else None

    @property
    def status(self) -> PaymentStatus:
        """Where the payment as a whole stands."""
        if self.captured is not None:
            return self.attempt(self.captured).status
        found = {attempt.status for attempt in self.attempts}
        for status in (_Status.PROCESSING, _Status.PENDING):
            if status in found:
                return status
        return _Status.FAILED if found else _Status.PENDING

    @property
    def is_confirmed(self) -> bool:
        """Whether its subject is paid for, and not refunded in full."""
        return self.confirmed_at is not None and self.status is _Status.COMPLETED

    @property
    def has_open_prepayment(self) -> bool:
        """Whether a prepaid attempt may still succeed by itself."""
        return any(
            attempt.is_open and attempt.method is not PaymentMethod.CASH
            for attempt in self.attempts
        )

    @property
    def needs_review(self) -> bool:
        """Whether a person has to look at any attempt."""
        return any(attempt.needs_review for attempt in self.attempts)

    @property
    def refunded(self) -> int:
        """How much of what paid for the subject went back."""
        return self.attempt(self.captured).refunded if self.captured is not None else 0

    @property
    def next_check_at(self) -> datetime | None:
        """When something is to be done about it by itself."""
        times = [
            at
            for attempt in self.attempts
            for at in (attempt.next_check_at, *(refund.next_try_at for refund in attempt.refunds))
            if at is not None
        ]
        return min(times, default=None)

    def attempt(self, number: int) -> Attempt:
        """The attempt of that number. Raises ``NotFound``."""
        for attempt in self.attempts:
            if attempt.number == number:
                return attempt
        raise NotFound

    def by_reference(self, reference: str) -> Attempt:
        """The attempt with that reference. Raises ``NotFound``."""
        for attempt in self.attempts:
            if attempt.reference == reference:
                return attempt
        raise NotFound


def booking_payment_id(booking_id: str) -> str:
    """The id of the one payment that a booking has."""
    return f"b-{booking_id}"


def unlock_payment_id(user_id: str, pandit_id: str) -> str:
    """The id of the one payment by which a customer unlocks a pandit."""
    return f"u-{user_id}-{pandit_id}"


def top_up_payment_id(request_id: str) -> str:
    """The id of a payment into the wallet."""
    return f"t-{request_id}"


def attempt_id(payment: Payment, attempt: Attempt) -> str:
    """What clients call an attempt; it is the API's payment id."""
    return f"{payment.id}.{attempt.number}"


def split_id(public_id: str) -> tuple[str, int | None]:
    """The payment's id and the attempt's number of a public id.

    The number is None of an id that names a payment as a whole.
    """
    head, dot, number = public_id.rpartition(".")
    if dot and number.isascii() and number.isdigit() and len(number) <= len(str(MAX_ATTEMPTS)):
        return head, int(number)
    return public_id, None


def open_cash(payment: Payment) -> Attempt | None:
    """The cash attempt that waits, if there is one."""
    for attempt in payment.attempts:
        if attempt.method is PaymentMethod.CASH and attempt.is_open:
            return attempt
    return None


def may_move(old: PaymentStatus, new: PaymentStatus) -> bool:
    """Whether there is such a move."""
    return new in MOVES[old]


def summary(payment: Payment) -> tuple[object, ...]:
    """What a booking shows of its payment."""
    main = payment.main
    return (
        payment.status,
        main.method if main else None,
        payment.refunded,
        payment.confirmed_at,
        payment.has_open_prepayment,
        payment.captured is not None,
    )
