"""Payments: what is owed once, every try to pay it, and what may become of each.

A payment is one document: of a booking, of the unlocking of a pandit's contact details, or of money
for the wallet. Each click on "pay" is an :class:`Attempt` in it with a reference of its own. So the
questions that must have one answer ("is this the first success?", "has it been refunded already?")
are decided by one conditional write.

Functions take a payment and return the changed copy, the very same object when nothing changes.
What is due, what was asked for and what has been paid is known here alone; gateways only report.

States of an attempt and the only moves between them::

    PENDING ──> PROCESSING ──> COMPLETED ──> REFUNDED
       │ └──────────│──────────────^ ^           │
       └──> FAILED <┘                │           │ only when the provider says that its
              └──── late success ────┘<──────────┘ own refund has failed
"""

from __future__ import annotations

import enum
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Final

from server.domain import ledger
from server.domain.booking import PaymentMethod, PaymentStatus
from server.domain.errors import (
    AlreadyPaid,
    Conflict,
    FieldFault,
    Invalid,
    NotFound,
    RefundRefused,
    TooManyAttempts,
)
from server.domain.events import Event, EventKind
from server.domain.gateway import (
    AttemptFacts,
    Outcome,
    PaymentAction,
    RefundAnswer,
    RefundState,
    ReturnHint,
    StartedPayment,
    Verdict,
)
from server.domain.ledger import EntryKind, LedgerEntry, Posting
from server.domain.money import share

_Status = PaymentStatus
MOVES: Final[Mapping[PaymentStatus, frozenset[PaymentStatus]]] = {
    _Status.PENDING: frozenset({_Status.PROCESSING, _Status.COMPLETED, _Status.FAILED}),
    _Status.PROCESSING: frozenset({_Status.COMPLETED, _Status.FAILED}),
    _Status.FAILED: frozenset({_Status.COMPLETED}),
    _Status.COMPLETED: frozenset({_Status.REFUNDED}),
    _Status.REFUNDED: frozenset({_Status.COMPLETED}),
}
"""Every move there is; all others are ignored."""

_WITH_REFUNDS: Final = frozenset({Outcome.PAID, Outcome.PARTLY_REFUNDED, Outcome.REFUNDED})
_GATEWAY: Final = "gateway"
"""By whom a refund was made that nobody here has asked for."""

OPEN: Final = frozenset({_Status.PENDING, _Status.PROCESSING})
PAID: Final = frozenset({_Status.COMPLETED, _Status.REFUNDED})
MAX_ATTEMPTS: Final = 20
_MAX_NOTES: Final = 20
_MAX_REVIEWS: Final = 20
_MAX_REFUNDS: Final = 40
_MAX_DETAILS: Final = 20
_MAX_TEXT: Final = 300
_MAX_REFUND_TRIES: Final = 5
_CHECK_AFTER: Final = tuple(timedelta(minutes=minutes) for minutes in (1, 3, 10, 30))
_HOUR: Final = timedelta(hours=1)
GIVE_UP_AFTER: Final = timedelta(hours=24)
_LATE_SUCCESS_WITHIN: Final = timedelta(hours=1)
_BEFORE_HOLD_ENDS: Final = timedelta(seconds=45)
_REFUND_CHECKS: Final = tuple(timedelta(minutes=minutes) for minutes in (1, 3, 10, 30, 60))


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


# -- starting --------------------------------------------------------------------------------------


def with_attempt(
    payment: Payment,
    *,
    reference: str,
    method: PaymentMethod,
    now: datetime,
    pay_by: datetime | None = None,
) -> Payment:
    """Add a try to pay what is due. A cash attempt that waits is closed by any other one.

    Raises
    ------
    AlreadyPaid
        If there was a success before.
    TooManyAttempts
        If there have been too many.
    Conflict
        If what was to be paid for does not happen.
    """
    if payment.captured is not None:
        raise AlreadyPaid
    if payment.closed is not None:
        raise Conflict
    if len(payment.attempts) >= MAX_ATTEMPTS:
        raise TooManyAttempts
    is_cash = method is PaymentMethod.CASH
    attempt = Attempt(
        number=len(payment.attempts) + 1,
        reference=reference,
        method=method,
        amount=payment.amount,
        currency=payment.currency,
        created_at=now,
        updated_at=now,
        started_at=now if is_cash else None,
        next_check_at=None if is_cash else now + _CHECK_AFTER[0],
    )
    superseded = payment if is_cash else _without_cash(payment, now, "superseded")
    return replace(
        superseded,
        attempts=(*superseded.attempts, attempt),
        pay_by=pay_by,
        updated_at=now,
    )


def open_cash(payment: Payment) -> Attempt | None:
    """The cash attempt that waits, if there is one."""
    for attempt in payment.attempts:
        if attempt.method is PaymentMethod.CASH and attempt.is_open:
            return attempt
    return None


def started(payment: Payment, number: int, given: StartedPayment, now: datetime) -> Payment:
    """Keep what the gateway said when the attempt was made known to it."""
    attempt = payment.attempt(number)
    changed = replace(
        attempt,
        started_at=attempt.started_at or now,
        gateway_id=attempt.gateway_id or given.gateway_id,
        action=given.action,
        expires_at=given.expires_at,
        details=_merged(attempt.details, given.details),
        updated_at=now,
    )
    return _put(payment, _noted(changed, now, "start", "started", given.raw), now)


def not_started(payment: Payment, number: int, reason: str, now: datetime) -> Payment:
    """The gateway would not have it, or was away: the customer was never sent there."""
    attempt = payment.attempt(number)
    if not attempt.is_open or attempt.started_at is not None:
        return payment
    failed = _moved(attempt, _Status.FAILED, now, reason)
    failed = replace(failed, next_check_at=None)
    return _put(payment, _noted(failed, now, "start", reason), now)


# -- what is due -----------------------------------------------------------------------------------


def due_now(payment: Payment, amount: int) -> Payment:
    """What is due follows the price of what is paid for, until it is paid."""
    if payment.amount == amount or payment.captured is not None:
        return payment
    return replace(payment, amount=amount)


def reopened(payment: Payment) -> Payment:
    """An unlock that was given back in full can be paid for again; nothing else can."""
    if payment.purpose is not Purpose.UNLOCK or payment.captured is None:
        return payment
    if payment.status is not _Status.REFUNDED:
        return payment
    return replace(payment, captured=None, confirmed_at=None)


def mispaid(payment: Payment, due: int, now: datetime) -> Payment:
    """A booking costs ``due``, and something else was taken for it: that goes back.

    The price may change in the moment in which an older attempt succeeds. The booking says what it
    costs; it is unpaid again.
    """
    if payment.captured is None or payment.confirmed_at is None:
        return payment
    attempt = payment.attempt(payment.captured)
    is_over = payment.closed is not None or payment.earned_at is not None
    if attempt.amount == due or is_over or payment.purpose is not Purpose.BOOKING:
        return payment
    payment = replace(payment, amount=due, captured=None, confirmed_at=None, updated_at=now)
    detail = f"{attempt.amount} for {due}"
    payment = review(payment, attempt.number, ReviewReason.PRICE_CHANGED, detail, now)
    left = attempt.amount - attempt.committed
    if attempt.status is not _Status.COMPLETED or left <= 0:
        return payment
    reason = ReviewReason.PRICE_CHANGED.value
    return refund_asked(payment, attempt.number, left, reason=reason, by="system", now=now)


# -- what comes in ---------------------------------------------------------------------------------


def came_back(payment: Payment, number: int, hint: ReturnHint, now: datetime) -> Payment:
    """The customer's browser has come back; what it says is only kept."""
    attempt = payment.attempt(number)
    changed = replace(attempt, details=_merged(attempt.details, hint.details))
    if attempt.status is _Status.PENDING:
        changed = _moved(changed, _Status.PROCESSING, now)
    for mismatch in hint.mismatches:
        changed = _reviewed(changed, ReviewReason.MISMATCH, f"return: {mismatch}", now)
    if changed == attempt:
        return payment
    return _put(payment, _noted(changed, now, "return", hint.claim.value), now)


def review(
    payment: Payment, number: int, reason: ReviewReason, detail: str, now: datetime
) -> Payment:
    """Have a person look at an attempt; a customer who was waiting for it goes on waiting."""
    attempt = payment.attempt(number)
    changed = _reviewed(attempt, reason, detail, now)
    if attempt.status is _Status.PENDING:
        changed = _moved(changed, _Status.PROCESSING, now)
    return payment if changed == attempt else _put(payment, changed, now)


def resolved(payment: Payment, number: int, by: str, note: str, now: datetime) -> Payment:
    """A person has looked at everything that there was."""
    attempt = payment.attempt(number)
    reviews = tuple(
        each
        if each.resolved_at is not None
        else replace(each, resolved_at=now, resolved_by=by, note=note[:_MAX_TEXT])
        for each in attempt.reviews
    )
    if reviews == attempt.reviews:
        return payment
    return _put(payment, replace(attempt, reviews=reviews), now)


def judged(
    payment: Payment,
    number: int,
    verdict: Verdict,
    now: datetime,
    source: str,
    *,
    asked_at: datetime | None = None,
) -> Payment:
    """Apply what the provider's own server says of an attempt: the one way to success.

    It counts only if everything that it says agrees with what we stored: amount, currency,
    reference, the provider's id, and our account there. ``source`` says who asked: a return, a
    webhook, the reconciler or staff. ``asked_at`` is when the provider was asked for it; None of a
    message, which may be older than what is known.
    """
    attempt = payment.attempt(number)
    if verdict.outcome is Outcome.UNCHANGED and not verdict.review and not verdict.mismatches:
        return payment
    mismatches = _mismatches(attempt, verdict)
    if mismatches:
        return review(payment, number, ReviewReason.MISMATCH, ", ".join(mismatches), now)
    before = payment
    if verdict.review:
        payment = review(payment, number, ReviewReason.GATEWAY, verdict.review, now)
    if asked_at is not None and verdict.outcome in _WITH_REFUNDS:
        payment = _refunds_taken_back(payment, number, verdict.refunded, asked_at, now)
    payment = _settled(payment, number, verdict, now, source)
    after = payment.attempt(number)
    if after.status is not attempt.status or after.refunded != attempt.refunded:
        noted = _noted(after, now, source, verdict.outcome.value, verdict.raw)
        payment = _put(payment, noted, now)
    return before if payment == before else payment


def _settled(
    payment: Payment, number: int, verdict: Verdict, now: datetime, source: str
) -> Payment:
    attempt = payment.attempt(number)
    match verdict.outcome:
        case Outcome.PAID:
            payment = _captured(payment, number, verdict, now)
            return _refunds_seen(payment, number, verdict.refunded, now)
        case Outcome.IN_PROGRESS:
            if attempt.status is _Status.PENDING:
                return _put(payment, _moved(attempt, _Status.PROCESSING, now), now)
        case Outcome.FAILED:
            if attempt.is_open:
                return _failed(payment, number, verdict.reason or "declined", now)
        case Outcome.REFUNDED if attempt.is_open:
            # It was paid and given back before we ever heard of it: nothing of it is ours.
            return _failed(payment, number, "refunded", now)
        case Outcome.PARTLY_REFUNDED if attempt.status not in PAID:
            # It was paid, or nothing could have gone back; how much is left, a person finds out.
            payment = _captured(payment, number, verdict, now)
            return _partly_refunded(payment, number, verdict.refunded, now)
        case Outcome.REFUNDED if attempt.status is _Status.COMPLETED:
            return _refunds_seen(payment, number, attempt.amount, now)
        case Outcome.PARTLY_REFUNDED if attempt.status is _Status.COMPLETED:
            return _partly_refunded(payment, number, verdict.refunded, now)
        case Outcome.UNKNOWN:
            detail = verdict.reason or source
            return review(payment, number, ReviewReason.UNKNOWN_STATUS, detail, now)
        case _:
            pass
    return payment


def cash_collected(payment: Payment, number: int, amount: int, by: str, now: datetime) -> Payment:
    """The pandit, or staff, says that the cash was handed over; saying it twice has one effect.

    Raises ``Invalid`` when it is more than was due; less is kept for a person to look at.
    """
    attempt = payment.attempt(number)
    if amount > attempt.amount:
        raise Invalid(FieldFault("amount", "more-than-due"))
    if attempt.status in PAID or payment.captured is not None:
        return payment
    if attempt.amount != payment.amount:
        # Something else is due by now.
        raise Conflict
    if amount < attempt.amount:
        detail = f"{amount} of {attempt.amount} by {by}"
        changed = _reviewed(attempt, ReviewReason.CASH_SHORT, detail, now)
        return payment if changed == attempt else _put(payment, changed, now)
    paid = Verdict(outcome=Outcome.PAID, amount=amount, currency=attempt.currency)
    payment = _captured(payment, number, paid, now)
    noted = _noted(payment.attempt(number), now, "cash", "collected", {"by": by})
    return _put(payment, noted, now)


def for_pandit(payment: Payment, pandit_id: str, pandit_user_id: str) -> Payment:
    """Who holds the puja now: a booking may have been passed on since the payment was begun."""
    if payment.pandit_user_id == pandit_user_id:
        return payment
    return replace(payment, pandit_id=pandit_id, pandit_user_id=pandit_user_id)


def given_up(payment: Payment, number: int, reason: str, now: datetime) -> Payment:
    """Its time has run out and the provider says that nothing was paid."""
    return _failed(payment, number, reason, now) if payment.attempt(number).is_open else payment


def _mismatches(attempt: Attempt, verdict: Verdict) -> list[str]:
    found = list(verdict.mismatches)
    if verdict.outcome in _WITH_REFUNDS:
        pairs = (
            ("amount", verdict.amount, attempt.amount),
            ("currency", verdict.currency and verdict.currency.upper(), attempt.currency),
            ("transaction", verdict.transaction_id, attempt.transaction_id),
        )
        found += [
            f"{name} {said} for {due}"
            for name, said, due in pairs
            if said is not None and due is not None and said != due
        ]
    for name, said, ours in (
        ("reference", verdict.reference, attempt.reference),
        ("gateway-id", verdict.gateway_id, attempt.gateway_id),
    ):
        if said is not None and ours is not None and said != ours:
            found.append(name)
    return found


def _captured(payment: Payment, number: int, verdict: Verdict, now: datetime) -> Payment:
    """The money of this attempt is ours. It pays for the subject, or it goes back.

    It pays if nothing has before, if the subject still goes ahead, and if it is what is due now: an
    older attempt, of which the customer may have kept the form, was begun for another price.
    """
    attempt = payment.attempt(number)
    if attempt.status in PAID:
        # A replayed success moves nothing, and least of all takes a refund back.
        return payment
    attempt = _moved(attempt, _Status.COMPLETED, now)
    attempt = replace(
        attempt,
        completed_at=now,
        started_at=attempt.started_at or now,
        transaction_id=attempt.transaction_id or verdict.transaction_id,
        gateway_id=attempt.gateway_id or verdict.gateway_id,
        fee=verdict.fee if verdict.fee is not None else attempt.fee,
        next_check_at=None,
        reason="",
    )
    is_first = payment.captured is None
    is_due = attempt.amount == payment.amount
    payment = _put(payment, attempt, now)
    if is_first and (is_due or payment.closed is not None):
        payment = replace(payment, captured=number)
    if is_first and is_due and payment.closed is None:
        payment = replace(payment, confirmed_at=now)
        payment = _without_cash(payment, now, "superseded", but=number)
        payment = _booked_capture(payment, attempt, now)
        return _told(payment, EventKind.PAYMENT_SUCCESS, attempt, now)
    payment = _booked_capture(payment, attempt, now)
    reason, detail = ReviewReason.SECOND_SUCCESS, ""
    if payment.closed is not None:
        reason = ReviewReason.LATE_SUCCESS
    elif is_first:
        reason, detail = ReviewReason.PRICE_CHANGED, f"{attempt.amount} for {payment.amount}"
    payment = review(payment, number, reason, detail, now)
    to = payment.closed.to if payment.closed else RefundTo.ORIGINAL
    return refund_asked(
        payment, number, attempt.amount, reason=reason.value, by="system", to=to, now=now
    )


def _failed(payment: Payment, number: int, reason: str, now: datetime) -> Payment:
    attempt = payment.attempt(number)
    failed = _moved(attempt, _Status.FAILED, now, reason)
    payment = _put(payment, replace(failed, next_check_at=_late_check(failed, now)), now)
    return _told(payment, EventKind.PAYMENT_FAILED, payment.attempt(number), now)


# -- asking again ----------------------------------------------------------------------------------


def checked(payment: Payment, number: int, now: datetime) -> Payment:
    """Settle when the provider is asked again, after it has been or could not be."""
    attempt = payment.attempt(number)
    if attempt.next_check_at is None or attempt.next_check_at > now:
        return payment
    following = _next_check(attempt, payment.pay_by, now)
    return _put(payment, replace(attempt, next_check_at=following), now)


def is_overdue(attempt: Attempt, now: datetime) -> bool:
    """Whether it has been asked about for so long that it is given up."""
    return attempt.is_open and now >= attempt.created_at + GIVE_UP_AFTER


def _next_check(attempt: Attempt, pay_by: datetime | None, now: datetime) -> datetime | None:
    if attempt.status is _Status.FAILED:
        return _late_check(attempt, now)
    age = now - attempt.created_at
    if not attempt.is_open or age >= GIVE_UP_AFTER:
        return None
    steps = [after for after in _CHECK_AFTER if after > age]
    after = steps[0] if steps else (age // _HOUR + 1) * _HOUR
    following = attempt.created_at + min(after, GIVE_UP_AFTER)
    if pay_by is not None and now < pay_by - _BEFORE_HOLD_ENDS < following:
        # Once more before the slot is given away.
        return pay_by - _BEFORE_HOLD_ENDS
    return following


def _late_check(attempt: Attempt, now: datetime) -> datetime | None:
    """A failure may still turn into a success: the early steps of the schedule are kept."""
    if attempt.started_at is None or attempt.method is PaymentMethod.CASH:
        return None
    age = now - attempt.created_at
    if age >= _LATE_SUCCESS_WITHIN:
        return None
    steps = [after for after in (*_CHECK_AFTER, _LATE_SUCCESS_WITHIN) if after > age]
    return attempt.created_at + steps[0]


# -- refunds ---------------------------------------------------------------------------------------


def refund_asked(
    payment: Payment,
    number: int,
    amount: int,
    *,
    reason: str,
    by: str,
    now: datetime,
    to: RefundTo = RefundTo.ORIGINAL,
    note: str = "",
) -> Payment:
    """Decide that money goes back; giving it back follows.

    Raises ``RefundRefused`` for more than is left of a payment that was completed.
    """
    attempt = payment.attempt(number)
    is_possible = attempt.status is _Status.COMPLETED and len(attempt.refunds) < _MAX_REFUNDS
    if not is_possible or not 0 < amount <= attempt.amount - attempt.committed:
        raise RefundRefused
    if payment.purpose is Purpose.TOP_UP and number == payment.captured and payment.confirmed_at:
        # It is in the wallet, perhaps spent.
        raise RefundRefused
    refund = Refund(
        id=f"{attempt.reference}-R{len(attempt.refunds) + 1}",
        amount=amount,
        reason=reason,
        to=to,
        by=by,
        asked_at=now,
        source=_refund_source(payment, attempt, amount),
        next_try_at=now,
        note=note[:_MAX_TEXT],
    )
    payment = _put(payment, replace(attempt, refunds=(*attempt.refunds, refund)), now)
    postings = ledger.two(refund.source, ledger.REFUNDS, amount)
    return _booked(payment, EntryKind.REFUND_DUE, f"refund-due:{refund.id}", postings, now)


def closed(payment: Payment, closing: Closing, now: datetime) -> Payment:
    """What was paid for does not happen: give back the share, keep the rest. Once.

    What succeeded after ``closing.at`` was late, and goes back in full.
    """
    if payment.closed is not None or payment.purpose is not Purpose.BOOKING:
        return payment
    payment = _without_cash(replace(payment, closed=closing, pay_by=None), now, closing.reason)
    if payment.captured is None or payment.confirmed_at is None:
        return replace(payment, updated_at=now)
    attempt = payment.attempt(payment.captured)
    is_late = attempt.completed_at is not None and attempt.completed_at >= closing.at
    if attempt.status is not _Status.COMPLETED or payment.spent:
        return replace(payment, updated_at=now)
    left = attempt.amount - attempt.committed
    back = left if is_late else share(attempt.amount, closing.share) - attempt.committed
    back = max(0, min(back, left))
    if is_late:
        payment = review(payment, attempt.number, ReviewReason.LATE_SUCCESS, closing.reason, now)
    if back:
        payment = refund_asked(
            payment,
            attempt.number,
            back,
            reason=ReviewReason.LATE_SUCCESS.value if is_late else closing.reason,
            by="system",
            to=closing.to,
            now=now,
        )
    kept = left - back
    if kept:
        payment = replace(payment, spent=payment.spent + kept)
        postings = ledger.two(ledger.customer(payment.user_id), ledger.KEPT_INCOME, kept)
        payment = _booked(payment, EntryKind.KEPT, f"kept:{payment.id}", postings, now)
    return replace(payment, updated_at=now)


def refund_sent(payment: Payment, number: int, refund_id: str, now: datetime) -> Payment:
    """The request for it leaves now. Written before, so that its outcome is unknown after a crash.

    Raises ``Conflict`` when somebody else has sent it.
    """
    attempt = payment.attempt(number)
    refund = _refund(attempt, refund_id)
    if refund.state is not RefundState.REQUESTED:
        raise Conflict
    changed = replace(
        refund,
        state=RefundState.UNKNOWN,
        tries=refund.tries + 1,
        next_try_at=now + _REFUND_CHECKS[0],
    )
    return _put(payment, _with_refund(attempt, changed), now)


def refund_put_off(payment: Payment, number: int, refund_id: str, now: datetime) -> Payment:
    """The provider is away: nothing is sent to it, and nothing is asked, for a while."""
    attempt = payment.attempt(number)
    refund = _refund(attempt, refund_id)
    if refund.next_try_at is None or refund.next_try_at > now:
        return payment
    later = replace(refund, next_try_at=now + _REFUND_CHECKS[0])
    return _put(payment, _with_refund(attempt, later), now)


def refund_answered(
    payment: Payment, number: int, refund_id: str, answer: RefundAnswer, now: datetime
) -> Payment:
    """Apply what became of a refund: by the call's own answer, a webhook, a look-up or staff."""
    attempt = payment.attempt(number)
    refund = _refund(attempt, refund_id)
    if refund.state is answer.state and refund.gateway_id == (
        answer.gateway_id or refund.gateway_id
    ):
        return payment
    refund = replace(refund, gateway_id=refund.gateway_id or answer.gateway_id)
    match answer.state:
        case RefundState.DONE if refund.is_open:
            return _refund_done(payment, attempt, refund, now)
        case RefundState.FAILED if refund.is_open:
            return _refund_failed(payment, attempt, refund, answer.reason, now)
        case RefundState.FAILED if refund.state is RefundState.DONE:
            return _refund_undone(payment, attempt, refund, answer.reason, now)
        case RefundState.REQUESTED if refund.is_open:
            return _refund_again(payment, attempt, refund, answer.reason, now)
        case RefundState.MANUAL if refund.is_open:
            changed = replace(refund, state=RefundState.MANUAL, next_try_at=None)
        case RefundState.PENDING | RefundState.UNKNOWN if refund.is_open:
            changed = replace(refund, state=answer.state, next_try_at=_refund_check(refund, now))
        case _:
            return payment
    return _put(payment, _with_refund(attempt, changed), now)


def refund_settled(
    payment: Payment, number: int, refund_id: str, *, is_done: bool, note: str, now: datetime
) -> Payment:
    """Staff say what became of a refund that they made by hand.

    Raises ``Conflict`` unless it waits for a person: what is settled stays, whoever has not seen
    it, and of what is still on its way the provider is asked.
    """
    if not _refund(payment.attempt(number), refund_id).waits_for_staff:
        raise Conflict
    state = RefundState.DONE if is_done else RefundState.FAILED
    answer = RefundAnswer(state=state, reason=note or "staff")
    return refund_answered(payment, number, refund_id, answer, now)


def refund_looked_up(
    payment: Payment, number: int, refund_id: str, verdict: Verdict, now: datetime
) -> Payment:
    """Decide by the provider's present word whether a refund with a lost answer took effect."""
    payment = judged(payment, number, verdict, now, "refund-check")
    attempt = payment.attempt(number)
    refund = _refund(attempt, refund_id)
    if not refund.is_open:
        return payment
    says_untouched = (
        verdict.outcome is Outcome.PAID and (verdict.refunded or 0) <= attempt.refunded_there
    )
    if refund.state is RefundState.UNKNOWN and says_untouched:
        nothing = RefundAnswer(state=RefundState.REQUESTED, reason="did not take effect")
        return refund_answered(payment, number, refund_id, nothing, now)
    following = _refund_check(refund, now)
    changed = replace(refund, next_try_at=following)
    payment = _put(payment, _with_refund(attempt, changed), now)
    if following is None:
        payment = review(payment, number, ReviewReason.REFUND_FAILED, "undecided", now)
    return payment


def _refund_done(payment: Payment, attempt: Attempt, refund: Refund, now: datetime) -> Payment:
    done = replace(refund, state=RefundState.DONE, settled_at=now, next_try_at=None)
    refunded = min(attempt.amount, attempt.refunded + refund.amount)
    changed = replace(_with_refund(attempt, done), refunded=refunded)
    if refunded == attempt.amount:
        changed = _moved(changed, _Status.REFUNDED, now)
    payment = _put(payment, changed, now)
    if refund.to is RefundTo.WALLET:
        to = ledger.wallet(payment.user_id)
    else:
        to = ledger.gateway(attempt.method)
    postings = ledger.two(ledger.REFUNDS, to, refund.amount)
    payment = _booked(payment, EntryKind.REFUND_PAID, f"refund-paid:{refund.id}", postings, now)
    return _told(payment, EventKind.PAYMENT_REFUNDED, changed, now, refund.amount)


def _refund_failed(
    payment: Payment, attempt: Attempt, refund: Refund, reason: str, now: datetime
) -> Payment:
    failed = replace(refund, state=RefundState.FAILED, settled_at=now, next_try_at=None)
    payment = _put(payment, _with_refund(attempt, failed), now)
    postings = ledger.two(ledger.REFUNDS, refund.source, refund.amount)
    payment = _booked(payment, EntryKind.REFUND_VOID, f"refund-void:{refund.id}", postings, now)
    return review(payment, attempt.number, ReviewReason.REFUND_FAILED, reason, now)


def _refund_undone(
    payment: Payment, attempt: Attempt, refund: Refund, reason: str, now: datetime
) -> Payment:
    """The provider says that a refund which it had reported as done has failed."""
    failed = replace(refund, state=RefundState.FAILED, settled_at=now, next_try_at=None)
    changed = replace(_with_refund(attempt, failed), refunded=attempt.refunded - refund.amount)
    if attempt.status is _Status.REFUNDED:
        changed = _moved(changed, _Status.COMPLETED, now)
    payment = _put(payment, changed, now)
    postings = ledger.two(ledger.gateway(attempt.method), refund.source, refund.amount)
    payment = _booked(payment, EntryKind.REFUND_UNDONE, f"refund-undone:{refund.id}", postings, now)
    return review(payment, attempt.number, ReviewReason.REFUND_FAILED, reason or "undone", now)


def _refund_again(
    payment: Payment, attempt: Attempt, refund: Refund, reason: str, now: datetime
) -> Payment:
    if refund.tries >= _MAX_REFUND_TRIES:
        return _refund_failed(payment, attempt, refund, reason, now)
    pause = _REFUND_CHECKS[min(refund.tries, len(_REFUND_CHECKS) - 1)]
    again = replace(refund, state=RefundState.REQUESTED, next_try_at=now + pause)
    return _put(payment, _with_refund(attempt, again), now)


def _refunds_taken_back(
    payment: Payment, number: int, total: int | None, asked_at: datetime, now: datetime
) -> Payment:
    """The provider counts less than we do: what it gave back by itself has come back, newest first.

    What we have learnt since it was asked is not in its answer and stays.
    """
    if total is None:
        return payment
    for refund in reversed(payment.attempt(number).refunds):
        attempt = payment.attempt(number)
        is_its_own = refund.by == _GATEWAY and refund.state is RefundState.DONE
        is_known = refund.settled_at is not None and refund.settled_at <= asked_at
        if is_its_own and is_known and total < attempt.refunded_there:
            payment = _refund_undone(payment, attempt, refund, "undone at the provider", now)
    return payment


def _refunds_seen(payment: Payment, number: int, total: int | None, now: datetime) -> Payment:
    """Take the provider's running total of refunds; it counts ours first, then its own."""
    attempt = payment.attempt(number)
    if total is None or total <= attempt.refunded_there:
        return payment
    for refund in attempt.refunds:
        left = total - payment.attempt(number).refunded_there
        if refund.is_open and refund.to is RefundTo.ORIGINAL and refund.amount <= left:
            done = RefundAnswer(state=RefundState.DONE)
            payment = refund_answered(payment, number, refund.id, done, now)
    return _refunded_elsewhere(payment, number, total, now)


def _refunded_elsewhere(payment: Payment, number: int, total: int, now: datetime) -> Payment:
    """What the provider gave back without our asking, in its own panel."""
    attempt = payment.attempt(number)
    amount = total - attempt.refunded_there
    if amount <= 0:
        return payment
    if amount > attempt.amount - attempt.refunded or len(attempt.refunds) >= _MAX_REFUNDS:
        # More than we ever took, counting what went into the wallet: nothing that we could book.
        reason = ReviewReason.REFUND_OF_UNKNOWN_SIZE
        return review(payment, number, reason, f"{total} at the provider", now)
    for planned in attempt.refunds:
        # What the provider has given back by itself is not given back once more.
        attempt = payment.attempt(number)
        if planned.is_open and amount > attempt.amount - attempt.committed:
            payment = _refund_failed(payment, attempt, planned, "refunded at the provider", now)
    attempt = payment.attempt(number)
    refund = Refund(
        id=f"{attempt.reference}-R{len(attempt.refunds) + 1}",
        amount=amount,
        reason=ReviewReason.REFUNDED_AT_GATEWAY.value,
        to=RefundTo.ORIGINAL,
        by=_GATEWAY,
        asked_at=now,
        source=_refund_source(payment, attempt, amount),
    )
    payment = _put(payment, replace(attempt, refunds=(*attempt.refunds, refund)), now)
    postings = ledger.two(refund.source, ledger.REFUNDS, amount)
    payment = _booked(payment, EntryKind.REFUND_DUE, f"refund-due:{refund.id}", postings, now)
    payment = _refund_done(payment, payment.attempt(number), refund, now)
    return review(payment, number, ReviewReason.REFUNDED_AT_GATEWAY, str(amount), now)


def _partly_refunded(payment: Payment, number: int, total: int | None, now: datetime) -> Payment:
    attempt = payment.attempt(number)
    if total is not None:
        return _refunds_seen(payment, number, total, now)
    waiting = [refund for refund in attempt.refunds if refund.state is RefundState.UNKNOWN]
    if len(waiting) == 1 and not attempt.refunded_there and waiting[0].amount < attempt.amount:
        # It does not say how much, but ours is the only one that there can be.
        done = RefundAnswer(state=RefundState.DONE)
        return refund_answered(payment, number, waiting[0].id, done, now)
    if attempt.refunded_there:
        return payment
    return review(payment, number, ReviewReason.REFUND_OF_UNKNOWN_SIZE, "", now)


def _refund(attempt: Attempt, refund_id: str) -> Refund:
    for refund in attempt.refunds:
        if refund.id == refund_id:
            return refund
    raise NotFound


def _with_refund(attempt: Attempt, changed: Refund) -> Attempt:
    refunds = tuple(changed if each.id == changed.id else each for each in attempt.refunds)
    return replace(attempt, refunds=refunds)


def _refund_check(refund: Refund, now: datetime) -> datetime | None:
    """When an undecided refund is looked up again; None when that has been done long enough."""
    age = now - refund.asked_at
    if age >= GIVE_UP_AFTER:
        return None
    later = [after for after in _REFUND_CHECKS if after > age]
    return refund.asked_at + (later[0] if later else (age // _HOUR + 1) * _HOUR)


def _refund_source(payment: Payment, attempt: Attempt, amount: int) -> str:
    """Out of which account a refund comes: the customer's own money as long as it is there."""
    if attempt.number != payment.captured or payment.confirmed_at is None:
        return ledger.customer(payment.user_id)
    if payment.purpose is Purpose.UNLOCK:
        return ledger.UNLOCK_INCOME
    left = attempt.amount - attempt.committed - payment.spent
    if payment.purpose is Purpose.BOOKING and amount <= left:
        return ledger.customer(payment.user_id)
    return ledger.ADJUSTMENTS


# -- earnings --------------------------------------------------------------------------------------


def earned(payment: Payment, commission: int, pandit_user_id: str, now: datetime) -> Payment:
    """The puja was held: what was paid is the pandit's, less our commission. Once.

    Of cash, which he holds already, he owes the commission.
    """
    if payment.earned_at is not None or payment.purpose is not Purpose.BOOKING:
        return payment
    if payment.captured is None or payment.confirmed_at is None:
        return payment
    attempt = payment.attempt(payment.captured)
    left = attempt.amount - attempt.committed - payment.spent
    if attempt.status is not _Status.COMPLETED or left <= 0:
        return payment
    ours = min(commission, left)
    is_cash = attempt.method is PaymentMethod.CASH
    his = ledger.cash(pandit_user_id) if is_cash else ledger.pandit(pandit_user_id)
    postings = tuple(
        posting
        for posting in (
            Posting(ledger.customer(payment.user_id), left),
            Posting(ledger.COMMISSION, -ours),
            Posting(his, ours - left),
        )
        if posting.amount
    )
    payment = replace(payment, earned_at=now, spent=payment.spent + left, updated_at=now)
    return _booked(payment, EntryKind.EARNING, f"earning:{payment.id}", postings, now)


# -- inside ----------------------------------------------------------------------------------------


def may_move(old: PaymentStatus, new: PaymentStatus) -> bool:
    """Whether there is such a move."""
    return new in MOVES[old]


def _moved(attempt: Attempt, to: PaymentStatus, now: datetime, reason: str = "") -> Attempt:
    if not may_move(attempt.status, to):
        raise ValueError(f"{attempt.status} does not become {to}")
    return replace(attempt, status=to, updated_at=now, reason=reason[:_MAX_TEXT])


def _put(payment: Payment, changed: Attempt, now: datetime) -> Payment:
    attempts = tuple(
        changed if each.number == changed.number else each for each in payment.attempts
    )
    return replace(payment, attempts=attempts, updated_at=now)


def _without_cash(payment: Payment, now: datetime, reason: str, but: int | None = None) -> Payment:
    waiting = open_cash(payment)
    if waiting is None or waiting.number == but:
        return payment
    return _put(payment, _moved(waiting, _Status.FAILED, now, reason), now)


def _merged(old: Mapping[str, str], new: Mapping[str, str]) -> dict[str, str]:
    merged = {**old, **{name[:40]: value[:_MAX_TEXT] for name, value in new.items()}}
    return dict(list(merged.items())[:_MAX_DETAILS])


def _noted(
    attempt: Attempt,
    now: datetime,
    source: str,
    outcome: str,
    raw: Mapping[str, str] | None = None,
) -> Attempt:
    note = Note(
        at=now,
        source=source,
        outcome=outcome[:_MAX_TEXT],
        status=attempt.status,
        raw=_merged({}, raw or {}),
    )
    return replace(attempt, notes=(*attempt.notes, note)[-_MAX_NOTES:])


def _reviewed(attempt: Attempt, reason: ReviewReason, detail: str, now: datetime) -> Attempt:
    detail = detail[:_MAX_TEXT]
    is_known = any(
        each.resolved_at is None and (each.reason, each.detail) == (reason, detail)
        for each in attempt.reviews
    )
    if is_known or len(attempt.reviews) >= _MAX_REVIEWS:
        return attempt
    return replace(
        attempt, reviews=(*attempt.reviews, Review(reason=reason, detail=detail, at=now))
    )


def _booked_capture(payment: Payment, attempt: Attempt, now: datetime) -> Payment:
    """Tell the ledger of money that came in."""
    is_main = attempt.number == payment.captured and payment.confirmed_at is not None
    deposit = ledger.customer(payment.user_id)
    source = (
        ledger.cash(payment.pandit_user_id or "")
        if attempt.method is PaymentMethod.CASH
        else ledger.gateway(attempt.method)
    )
    kind = EntryKind.CAPTURE
    if is_main and payment.purpose is Purpose.TOP_UP:
        kind, deposit = EntryKind.TOP_UP, ledger.wallet(payment.user_id)
    elif is_main and payment.purpose is Purpose.UNLOCK:
        kind, deposit = EntryKind.UNLOCK, ledger.UNLOCK_INCOME
    postings = ledger.two(source, deposit, attempt.amount)
    return _booked(payment, kind, f"capture:{attempt.reference}", postings, now)


def _booked(
    payment: Payment, kind: EntryKind, cause: str, postings: tuple[Posting, ...], now: datetime
) -> Payment:
    refs = {"payment_id": payment.id, "user_id": payment.user_id}
    if payment.booking_id is not None:
        refs["booking_id"] = payment.booking_id
    entry = LedgerEntry(
        cause=cause, kind=kind, at=now, currency=payment.currency, postings=postings, refs=refs
    )
    event = ledger.event_of(entry, _event_id(payment), payment.booking_id)
    return replace(payment, outbox=(*payment.outbox, event))


def _told(
    payment: Payment,
    kind: EventKind,
    attempt: Attempt,
    now: datetime,
    amount: int | None = None,
    recipients: tuple[str, ...] | None = None,
) -> Payment:
    event = Event(
        id=_event_id(payment),
        kind=kind,
        at=now,
        recipients=(payment.user_id,) if recipients is None else recipients,
        booking_id=payment.booking_id,
        params={
            "payment_id": attempt_id(payment, attempt),
            "purpose": payment.purpose.value,
            "service": payment.title,
            "service_ne": payment.title_ne or payment.title,
            "pandit_id": payment.pandit_id or "",
            "amount": str(attempt.amount if amount is None else amount),
            "currency": attempt.currency,
            "method": attempt.method.value,
            "status": attempt.status.value,
        },
    )
    return replace(payment, outbox=(*payment.outbox, event))


def announced(before: Payment | None, after: Payment, now: datetime) -> Payment:
    """Add the word that the payment has changed, if others than its own readers care.

    It goes before what people are told, so that they find the booking as they are told it is.
    """
    if before is not None and summary(before) == summary(after):
        return after
    event = Event(
        id=_event_id(after),
        kind=EventKind.PAYMENT_CHANGED,
        at=now,
        recipients=(),
        booking_id=after.booking_id,
        params={"payment_id": after.id, "purpose": after.purpose.value},
    )
    return replace(after, outbox=(event, *after.outbox))


def begins_review(before: Payment | None, after: Payment) -> bool:
    """Whether a person has to look, and had not to before."""
    return after.needs_review and not (before is not None and before.needs_review)


def alerted(payment: Payment, admin_ids: tuple[str, ...], now: datetime) -> Payment:
    """Tell the administrators that one of them has to look."""
    attempt = next(each for each in payment.attempts if each.needs_review)
    return _told(payment, EventKind.PAYMENT_REVIEW_WANTED, attempt, now, recipients=admin_ids)


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


def _event_id(payment: Payment) -> str:
    return f"{payment.id}.{payment.version + 1}.{len(payment.outbox)}"
