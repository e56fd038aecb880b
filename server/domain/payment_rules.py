"""Rules of paying: beginning an attempt, what is due, what comes in, asking again, earnings.

Functions take a payment and return the changed copy, the very same object when nothing changes.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta
from typing import Final

from server.domain import ledger, refunds
from server.domain import payment_changes as changes
from server.domain.booking import PaymentMethod, PaymentStatus
from server.domain.errors import AlreadyPaid, Conflict, FieldFault, Invalid, TooManyAttempts
from server.domain.events import EventKind
from server.domain.gateway import Outcome, ReturnHint, StartedPayment, Verdict
from server.domain.ledger import EntryKind, Posting
from server.domain.payment import (
    GIVE_UP_AFTER,
    MAX_ATTEMPTS,
    PAID,
    Attempt,
    Payment,
    Purpose,
    RefundTo,
    ReviewReason,
)

_WITH_REFUNDS: Final = frozenset({Outcome.PAID, Outcome.PARTLY_REFUNDED, Outcome.REFUNDED})
_CHECK_AFTER: Final = tuple(timedelta(minutes=minutes) for minutes in (1, 3, 10, 30))
_HOUR: Final = timedelta(hours=1)
_LATE_SUCCESS_WITHIN: Final = timedelta(hours=1)
_BEFORE_HOLD_ENDS: Final = timedelta(seconds=45)


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
        If there have been too many; cash is taken all the same.
    Conflict
        If what was to be paid for does not happen.
    """
    if payment.captured is not None:
        raise AlreadyPaid
    if payment.closed is not None:
        raise Conflict
    is_cash = method is PaymentMethod.CASH
    if not is_cash:
        require_attempt_left(payment)
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
    superseded = payment if is_cash else changes.without_cash(payment, now, "superseded")
    return replace(
        superseded,
        attempts=(*superseded.attempts, attempt),
        pay_by=pay_by,
        updated_at=now,
    )


def has_attempt_left(payment: Payment) -> bool:
    """Whether one may try once more."""
    return len(payment.attempts) < MAX_ATTEMPTS


def require_attempt_left(payment: Payment) -> None:
    """Raise ``TooManyAttempts`` if there have been too many."""
    if not has_attempt_left(payment):
        raise TooManyAttempts


def started(payment: Payment, number: int, given: StartedPayment, now: datetime) -> Payment:
    """Keep what the gateway said when the attempt was made known to it."""
    attempt = payment.attempt(number)
    changed = replace(
        attempt,
        started_at=attempt.started_at or now,
        gateway_id=attempt.gateway_id or given.gateway_id,
        action=given.action,
        expires_at=given.expires_at,
        details=changes.merged(attempt.details, given.details),
        updated_at=now,
    )
    return changes.put(payment, changes.noted(changed, now, "start", "started", given.raw), now)


def not_started(payment: Payment, number: int, reason: str, now: datetime) -> Payment:
    """The gateway would not have it, or was away: the customer was never sent there."""
    attempt = payment.attempt(number)
    if not attempt.is_open or attempt.started_at is not None:
        return payment
    failed = changes.moved(attempt, PaymentStatus.FAILED, now, reason)
    failed = replace(failed, next_check_at=None)
    return changes.put(payment, changes.noted(failed, now, "start", reason), now)


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
    if payment.status is not PaymentStatus.REFUNDED:
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
    payment = changes.review(payment, attempt.number, ReviewReason.PRICE_CHANGED, detail, now)
    left = attempt.amount - attempt.committed
    if attempt.status is not PaymentStatus.COMPLETED or left <= 0:
        return payment
    reason = ReviewReason.PRICE_CHANGED.value
    return refunds.refund_asked(payment, attempt.number, left, reason=reason, by="system", now=now)


# -- what comes in ---------------------------------------------------------------------------------


def came_back(payment: Payment, number: int, hint: ReturnHint, now: datetime) -> Payment:
    """The customer's browser has come back; what it says is only kept."""
    attempt = payment.attempt(number)
    changed = replace(attempt, details=changes.merged(attempt.details, hint.details))
    if attempt.status is PaymentStatus.PENDING:
        changed = changes.moved(changed, PaymentStatus.PROCESSING, now)
    for mismatch in hint.mismatches:
        changed = changes.reviewed(changed, ReviewReason.MISMATCH, f"return: {mismatch}", now)
    if changed == attempt:
        return payment
    return changes.put(payment, changes.noted(changed, now, "return", hint.claim.value), now)


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
        return changes.review(payment, number, ReviewReason.MISMATCH, ", ".join(mismatches), now)
    before = payment
    if verdict.review:
        payment = changes.review(payment, number, ReviewReason.GATEWAY, verdict.review, now)
    if asked_at is not None and verdict.outcome in _WITH_REFUNDS:
        payment = refunds.refunds_taken_back(payment, number, verdict.refunded, asked_at, now)
    payment = _settled(payment, number, verdict, now, source)
    after = payment.attempt(number)
    if after.status is not attempt.status or after.refunded != attempt.refunded:
        noted = changes.noted(after, now, source, verdict.outcome.value, verdict.raw)
        payment = changes.put(payment, noted, now)
    return before if payment == before else payment


def _settled(
    payment: Payment, number: int, verdict: Verdict, now: datetime, source: str
) -> Payment:
    attempt = payment.attempt(number)
    match verdict.outcome:
        case Outcome.PAID:
            payment = _captured(payment, number, verdict, now)
            return refunds.refunds_seen(payment, number, verdict.refunded, now)
        case Outcome.IN_PROGRESS:
            if attempt.status is PaymentStatus.PENDING:
                return changes.put(
                    payment, changes.moved(attempt, PaymentStatus.PROCESSING, now), now
                )
        case Outcome.FAILED:
            if attempt.is_open:
                return _failed(payment, number, verdict.reason or "declined", now)
        case Outcome.REFUNDED if attempt.is_open:
            # It was paid and given back before we ever heard of it: nothing of it is ours.
            return _failed(payment, number, "refunded", now)
        case Outcome.PARTLY_REFUNDED if attempt.status not in PAID:
            # It was paid, or nothing could have gone back; how much is left, a person finds out.
            payment = _captured(payment, number, verdict, now)
            return refunds.partly_refunded(payment, number, verdict.refunded, now)
        case Outcome.REFUNDED if attempt.status is PaymentStatus.COMPLETED:
            return refunds.refunds_seen(payment, number, attempt.amount, now)
        case Outcome.PARTLY_REFUNDED if attempt.status is PaymentStatus.COMPLETED:
            return refunds.partly_refunded(payment, number, verdict.refunded, now)
        case Outcome.UNKNOWN:
            detail = verdict.reason or source
            return changes.review(payment, number, ReviewReason.UNKNOWN_STATUS, detail, now)
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
        changed = changes.reviewed(attempt, ReviewReason.CASH_SHORT, detail, now)
        return payment if changed == attempt else changes.put(payment, changed, now)
    paid = Verdict(outcome=Outcome.PAID, amount=amount, currency=attempt.currency)
    payment = _captured(payment, number, paid, now)
    noted = changes.noted(payment.attempt(number), now, "cash", "collected", {"by": by})
    return changes.put(payment, noted, now)


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
    attempt = changes.moved(attempt, PaymentStatus.COMPLETED, now)
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
    payment = changes.put(payment, attempt, now)
    if is_first and (is_due or payment.closed is not None):
        payment = replace(payment, captured=number)
    if is_first and is_due and payment.closed is None:
        payment = replace(payment, confirmed_at=now)
        payment = changes.without_cash(payment, now, "superseded", but=number)
        payment = changes.booked_capture(payment, attempt, now)
        return changes.told(payment, EventKind.PAYMENT_SUCCESS, attempt, now)
    payment = changes.booked_capture(payment, attempt, now)
    reason, detail = ReviewReason.SECOND_SUCCESS, ""
    if payment.closed is not None:
        reason = ReviewReason.LATE_SUCCESS
    elif is_first:
        reason, detail = ReviewReason.PRICE_CHANGED, f"{attempt.amount} for {payment.amount}"
    payment = changes.review(payment, number, reason, detail, now)
    to = payment.closed.to if payment.closed else RefundTo.ORIGINAL
    return refunds.refund_asked(
        payment, number, attempt.amount, reason=reason.value, by="system", to=to, now=now
    )


def _failed(payment: Payment, number: int, reason: str, now: datetime) -> Payment:
    attempt = payment.attempt(number)
    failed = changes.moved(attempt, PaymentStatus.FAILED, now, reason)
    payment = changes.put(payment, replace(failed, next_check_at=_late_check(failed, now)), now)
    return changes.told(payment, EventKind.PAYMENT_FAILED, payment.attempt(number), now)


# -- asking again ----------------------------------------------------------------------------------


def checked(payment: Payment, number: int, now: datetime) -> Payment:
    """Settle when the provider is asked again, after it has been or could not be."""
    attempt = payment.attempt(number)
    if attempt.next_check_at is None or attempt.next_check_at > now:
        return payment
    following = _next_check(attempt, payment.pay_by, now)
    return changes.put(payment, replace(attempt, next_check_at=following), now)


def is_overdue(attempt: Attempt, now: datetime) -> bool:
    """Whether it has been asked about for so long that it is given up."""
    return attempt.is_open and now >= attempt.created_at + GIVE_UP_AFTER


def _next_check(attempt: Attempt, pay_by: datetime | None, now: datetime) -> datetime | None:
    if attempt.status is PaymentStatus.FAILED:
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


def refund_looked_up(
    payment: Payment, number: int, refund_id: str, verdict: Verdict, now: datetime
) -> Payment:
    """Decide by the provider's present word whether a refund with a lost answer took effect."""
    payment = judged(payment, number, verdict, now, "refund-check")
    return refunds.refund_reconsidered(payment, number, refund_id, verdict, now)


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
    if attempt.status is not PaymentStatus.COMPLETED or left <= 0:
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
    return changes.booked(payment, EntryKind.EARNING, f"earning:{payment.id}", postings, now)
