"""What all rules of payments are made of: an attempt moves, a person is asked, people are told.

The rules themselves are in ``payment_rules`` and ``refunds``.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime
from typing import Final

from server.domain import ledger
from server.domain.booking import PaymentMethod, PaymentStatus
from server.domain.events import Event, EventKind
from server.domain.ledger import EntryKind, LedgerEntry, Posting
from server.domain.payment import (
    Attempt,
    Note,
    Payment,
    Purpose,
    Review,
    ReviewReason,
    attempt_id,
    may_move,
    open_cash,
    summary,
)

_MAX_NOTES: Final = 20
_MAX_REVIEWS: Final = 20
_MAX_DETAILS: Final = 20
MAX_TEXT: Final = 300
"""So many characters of a text from outside, or of a note, are kept."""


def put(payment: Payment, changed: Attempt, now: datetime) -> Payment:
    """The payment with the attempt in the place of its older self."""
    attempts = tuple(
        changed if each.number == changed.number else each for each in payment.attempts
    )
    return replace(payment, attempts=attempts, updated_at=now)


def moved(attempt: Attempt, to: PaymentStatus, now: datetime, reason: str = "") -> Attempt:
    """The attempt in another state. Raises ``ValueError`` for a move that there is not."""
    if not may_move(attempt.status, to):
        raise ValueError(f"{attempt.status} does not become {to}")
    return replace(attempt, status=to, updated_at=now, reason=reason[:MAX_TEXT])


def without_cash(payment: Payment, now: datetime, reason: str, but: int | None = None) -> Payment:
    """Give up cash that was still to come, except the attempt numbered ``but``."""
    waiting = open_cash(payment)
    if waiting is None or waiting.number == but:
        return payment
    return put(payment, moved(waiting, PaymentStatus.FAILED, now, reason), now)


def noted(
    attempt: Attempt,
    now: datetime,
    source: str,
    outcome: str,
    raw: Mapping[str, str] | None = None,
) -> Attempt:
    """Keep what was heard of an attempt, from whom and in which words; the oldest falls away."""
    note = Note(
        at=now,
        source=source,
        outcome=outcome[:MAX_TEXT],
        status=attempt.status,
        raw=merged({}, raw or {}),
    )
    return replace(attempt, notes=(*attempt.notes, note)[-_MAX_NOTES:])


def merged(old: Mapping[str, str], new: Mapping[str, str]) -> dict[str, str]:
    """Add details to an attempt's, as many and as long as are kept."""
    both = {**old, **{name[:40]: value[:MAX_TEXT] for name, value in new.items()}}
    return dict(list(both.items())[:_MAX_DETAILS])


def reviewed(attempt: Attempt, reason: ReviewReason, detail: str, now: datetime) -> Attempt:
    """The attempt with one reason more to look at it, unless that waits already."""
    detail = detail[:MAX_TEXT]
    is_known = any(
        each.resolved_at is None and (each.reason, each.detail) == (reason, detail)
        for each in attempt.reviews
    )
    if is_known or len(attempt.reviews) >= _MAX_REVIEWS:
        return attempt
    return replace(
        attempt, reviews=(*attempt.reviews, Review(reason=reason, detail=detail, at=now))
    )


def review(
    payment: Payment, number: int, reason: ReviewReason, detail: str, now: datetime
) -> Payment:
    """Have a person look at an attempt; a customer who was waiting for it goes on waiting."""
    attempt = payment.attempt(number)
    changed = reviewed(attempt, reason, detail, now)
    if attempt.status is PaymentStatus.PENDING:
        changed = moved(changed, PaymentStatus.PROCESSING, now)
    return payment if changed == attempt else put(payment, changed, now)


def resolved(payment: Payment, number: int, by: str, note: str, now: datetime) -> Payment:
    """A person has looked at everything that there was."""
    attempt = payment.attempt(number)
    reviews = tuple(
        each
        if each.resolved_at is not None
        else replace(each, resolved_at=now, resolved_by=by, note=note[:MAX_TEXT])
        for each in attempt.reviews
    )
    if reviews == attempt.reviews:
        return payment
    return put(payment, replace(attempt, reviews=reviews), now)


def booked(
    payment: Payment, kind: EntryKind, cause: str, postings: tuple[Posting, ...], now: datetime
) -> Payment:
    """Have the ledger told, by the same write; of a ``cause`` there is one entry ever."""
    refs = {"payment_id": payment.id, "user_id": payment.user_id}
    if payment.booking_id is not None:
        refs["booking_id"] = payment.booking_id
    entry = LedgerEntry(
        cause=cause, kind=kind, at=now, currency=payment.currency, postings=postings, refs=refs
    )
    event = ledger.event_of(entry, _event_id(payment), payment.booking_id)
    return replace(payment, outbox=(*payment.outbox, event))


def booked_capture(payment: Payment, attempt: Attempt, now: datetime) -> Payment:
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
    return booked(payment, kind, f"capture:{attempt.reference}", postings, now)


def told(
    payment: Payment,
    kind: EventKind,
    attempt: Attempt,
    now: datetime,
    amount: int | None = None,
    recipients: tuple[str, ...] | None = None,
) -> Payment:
    """Have people told, the payer if nobody is named, of the attempt's amount or another."""
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
    return told(payment, EventKind.PAYMENT_REVIEW_WANTED, attempt, now, recipients=admin_ids)


def _event_id(payment: Payment) -> str:
    return f"{payment.id}.{payment.version + 1}.{len(payment.outbox)}"
