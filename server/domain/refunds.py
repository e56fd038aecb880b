"""Rules of giving money back: asked for, sent, answered, seen at the provider, settled by staff.

As in ``payment_rules`` a function returns the very same payment when nothing changes.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta
from typing import Final

from server.domain import ledger
from server.domain import payment_changes as changes
from server.domain.booking import PaymentStatus
from server.domain.errors import Conflict, NotFound, RefundRefused
from server.domain.events import EventKind
from server.domain.gateway import Outcome, RefundAnswer, RefundState, Verdict
from server.domain.ledger import EntryKind
from server.domain.money import share
from server.domain.payment import (
    GIVE_UP_AFTER,
    Attempt,
    Closing,
    Payment,
    Purpose,
    Refund,
    RefundTo,
    ReviewReason,
)

_GATEWAY: Final = "gateway"
"""By whom a refund was made that nobody here has asked for."""
_MAX_REFUNDS: Final = 40
_MAX_REFUND_TRIES: Final = 5
_HOUR: Final = timedelta(hours=1)
_REFUND_CHECKS: Final = tuple(timedelta(minutes=minutes) for minutes in (1, 3, 10, 30, 60))


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
    is_possible = attempt.status is PaymentStatus.COMPLETED and len(attempt.refunds) < _MAX_REFUNDS
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
        note=note[: changes.MAX_TEXT],
    )
    payment = changes.put(payment, replace(attempt, refunds=(*attempt.refunds, refund)), now)
    postings = ledger.two(refund.source, ledger.REFUNDS, amount)
    return changes.booked(payment, EntryKind.REFUND_DUE, f"refund-due:{refund.id}", postings, now)


def closed(payment: Payment, closing: Closing, now: datetime) -> Payment:
    """What was paid for does not happen: give back the share, keep the rest. Once.

    What succeeded after ``closing.at`` was late, and goes back in full.
    """
    if payment.closed is not None or payment.purpose is not Purpose.BOOKING:
        return payment
    payment = changes.without_cash(
        replace(payment, closed=closing, pay_by=None), now, closing.reason
    )
    if payment.captured is None or payment.confirmed_at is None:
        return replace(payment, updated_at=now)
    attempt = payment.attempt(payment.captured)
    is_late = attempt.completed_at is not None and attempt.completed_at >= closing.at
    if attempt.status is not PaymentStatus.COMPLETED or payment.spent:
        return replace(payment, updated_at=now)
    left = attempt.amount - attempt.committed
    back = left if is_late else share(attempt.amount, closing.share) - attempt.committed
    back = max(0, min(back, left))
    if is_late:
        payment = changes.review(
            payment, attempt.number, ReviewReason.LATE_SUCCESS, closing.reason, now
        )
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
        payment = changes.booked(payment, EntryKind.KEPT, f"kept:{payment.id}", postings, now)
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
    return changes.put(payment, _with_refund(attempt, changed), now)


def refund_put_off(payment: Payment, number: int, refund_id: str, now: datetime) -> Payment:
    """The provider is away: nothing is sent to it, and nothing is asked, for a while."""
    attempt = payment.attempt(number)
    refund = _refund(attempt, refund_id)
    if refund.next_try_at is None or refund.next_try_at > now:
        return payment
    later = replace(refund, next_try_at=now + _REFUND_CHECKS[0])
    return changes.put(payment, _with_refund(attempt, later), now)


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
    return changes.put(payment, _with_refund(attempt, changed), now)


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


def refund_reconsidered(
    payment: Payment, number: int, refund_id: str, verdict: Verdict, now: datetime
) -> Payment:
    """Decide a refund with a lost answer by what the provider says now; else look again later."""
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
    payment = changes.put(payment, _with_refund(attempt, changed), now)
    if following is None:
        payment = changes.review(payment, number, ReviewReason.REFUND_FAILED, "undecided", now)
    return payment


def _refund_done(payment: Payment, attempt: Attempt, refund: Refund, now: datetime) -> Payment:
    done = replace(refund, state=RefundState.DONE, settled_at=now, next_try_at=None)
    refunded = min(attempt.amount, attempt.refunded + refund.amount)
    changed = replace(_with_refund(attempt, done), refunded=refunded)
    if refunded == attempt.amount:
        changed = changes.moved(changed, PaymentStatus.REFUNDED, now)
    payment = changes.put(payment, changed, now)
    if refund.to is RefundTo.WALLET:
        to = ledger.wallet(payment.user_id)
    else:
        to = ledger.gateway(attempt.method)
    postings = ledger.two(ledger.REFUNDS, to, refund.amount)
    payment = changes.booked(
        payment, EntryKind.REFUND_PAID, f"refund-paid:{refund.id}", postings, now
    )
    return changes.told(payment, EventKind.PAYMENT_REFUNDED, changed, now, refund.amount)


def _refund_failed(
    payment: Payment, attempt: Attempt, refund: Refund, reason: str, now: datetime
) -> Payment:
    failed = replace(refund, state=RefundState.FAILED, settled_at=now, next_try_at=None)
    payment = changes.put(payment, _with_refund(attempt, failed), now)
    postings = ledger.two(ledger.REFUNDS, refund.source, refund.amount)
    payment = changes.booked(
        payment, EntryKind.REFUND_VOID, f"refund-void:{refund.id}", postings, now
    )
    return changes.review(payment, attempt.number, ReviewReason.REFUND_FAILED, reason, now)


def _refund_undone(
    payment: Payment, attempt: Attempt, refund: Refund, reason: str, now: datetime
) -> Payment:
    """The provider says that a refund which it had reported as done has failed."""
    failed = replace(refund, state=RefundState.FAILED, settled_at=now, next_try_at=None)
    changed = replace(_with_refund(attempt, failed), refunded=attempt.refunded - refund.amount)
    if attempt.status is PaymentStatus.REFUNDED:
        changed = changes.moved(changed, PaymentStatus.COMPLETED, now)
    payment = changes.put(payment, changed, now)
    postings = ledger.two(ledger.gateway(attempt.method), refund.source, refund.amount)
    payment = changes.booked(
        payment, EntryKind.REFUND_UNDONE, f"refund-undone:{refund.id}", postings, now
    )
    return changes.review(
        payment, attempt.number, ReviewReason.REFUND_FAILED, reason or "undone", now
    )


def _refund_again(
    payment: Payment, attempt: Attempt, refund: Refund, reason: str, now: datetime
) -> Payment:
    if refund.tries >= _MAX_REFUND_TRIES:
        return _refund_failed(payment, attempt, refund, reason, now)
    pause = _REFUND_CHECKS[min(refund.tries, len(_REFUND_CHECKS) - 1)]
    again = replace(refund, state=RefundState.REQUESTED, next_try_at=now + pause)
    return changes.put(payment, _with_refund(attempt, again), now)


def refunds_taken_back(
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


def refunds_seen(payment: Payment, number: int, total: int | None, now: datetime) -> Payment:
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
        return changes.review(payment, number, reason, f"{total} at the provider", now)
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
    payment = changes.put(payment, replace(attempt, refunds=(*attempt.refunds, refund)), now)
    postings = ledger.two(refund.source, ledger.REFUNDS, amount)
    payment = changes.booked(
        payment, EntryKind.REFUND_DUE, f"refund-due:{refund.id}", postings, now
    )
    payment = _refund_done(payment, payment.attempt(number), refund, now)
    return changes.review(payment, number, ReviewReason.REFUNDED_AT_GATEWAY, str(amount), now)


def partly_refunded(payment: Payment, number: int, total: int | None, now: datetime) -> Payment:
    """Take in that a part has gone back: so much, or nobody says how much."""
    attempt = payment.attempt(number)
    if total is not None:
        return refunds_seen(payment, number, total, now)
    waiting = [refund for refund in attempt.refunds if refund.state is RefundState.UNKNOWN]
    if len(waiting) == 1 and not attempt.refunded_there and waiting[0].amount < attempt.amount:
        # It does not say how much, but ours is the only one that there can be.
        done = RefundAnswer(state=RefundState.DONE)
        return refund_answered(payment, number, waiting[0].id, done, now)
    if attempt.refunded_there:
        return payment
    return changes.review(payment, number, ReviewReason.REFUND_OF_UNKNOWN_SIZE, "", now)


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
