"""What the town's pujas were paid with: payments, payouts, and the ledger that follows from them.

Each payment is led through its life by ``domain.payment_rules`` itself, so the ledger sums to zero
and agrees with the payments as it does in the running server. Nothing is left open: the demo's
sandbox of providers knows nothing of what was paid before it began.
"""

from __future__ import annotations

import heapq
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from itertools import count
from random import Random
from typing import Final
from zoneinfo import ZoneInfo

from server.demo.bookings import Story
from server.demo.residents import Ids
from server.domain import ledger, refunds
from server.domain import payment_rules as rules
from server.domain.account import NEPAL, User
from server.domain.booking import Booking, BookingStatus, PaymentMethod
from server.domain.events import EventKind
from server.domain.gateway import Outcome, RefundAnswer, RefundState, Verdict
from server.domain.ledger import Chain, EntryKind, LedgerEntry, Posting
from server.domain.money import NPR
from server.domain.payment import Payment
from server.domain.payout import Payout, PayoutStatus
from server.services.booking_payments import closing_of
from server.services.payments import booking_payment

_METHODS: Final = {
    PaymentMethod.KHALTI: 0.42,
    PaymentMethod.ESEWA: 0.4,
    PaymentMethod.CONNECT_IPS: 0.1,
    PaymentMethod.IME_PAY: 0.08,
}
_ONLINE_SHARE: Final = 0.45
_FAILING_SHARE: Final = 0.12
_OVER: Final = (BookingStatus.COMPLETED, BookingStatus.CANCELLED)
_LEAST_PAYOUT: Final = 1_000_00
_PAID_AFTER: Final = timedelta(days=2)
_ZONE: Final = ZoneInfo(NEPAL)


@dataclass(frozen=True, slots=True, kw_only=True)
class Money:
    """Everything that has to do with money, and the stories as it left them."""

    stories: tuple[Story, ...]
    payments: tuple[Payment, ...]
    entries: tuple[LedgerEntry, ...]
    payouts: tuple[Payout, ...]


def make_money(
    random: Random,
    ids: Ids,
    stories: Sequence[Story],
    admin: User,
    now: datetime,
) -> Money:
    """Have the stories' pujas paid, refunded where they were called off, and pandits paid out."""
    told: list[Story] = []
    payments: list[Payment] = []
    moved: list[LedgerEntry] = []
    for story in stories:
        payment = _paid(random, story, now)
        if payment is None:
            told.append(story)
            continue
        moved += [
            ledger.entry_of(event)
            for event in payment.outbox
            if event.kind is EventKind.MONEY_MOVED
        ]
        payment = _at_rest(payment)
        payments.append(payment)
        told.append(replace(story, booking=_following(story.booking, payment)))
    names = {story.priest.user.id: story.priest.user.full_name for story in stories}
    cashier = _Cashier(ids, names, admin, now)
    entries = tuple(cashier.booked(moved))
    return Money(
        stories=tuple(told),
        payments=tuple(payments),
        entries=entries,
        payouts=tuple(cashier.payouts),
    )


def _paid(random: Random, story: Story, now: datetime) -> Payment | None:
    """The payment of a story, None where nothing has been paid or tried."""
    booking, accepted_at = story.booking, story.accepted_at
    is_online = random.random() < _ONLINE_SHARE
    share, fails = random.uniform(0.02, 0.6), random.random() < _FAILING_SHARE
    method = random.choices(list(_METHODS), list(_METHODS.values()))[0]
    if accepted_at is None:
        return None
    ends_at = booking.history[-1].at if booking.status in _OVER else booking.starts_at
    paid_at = (accepted_at + (min(booking.starts_at, ends_at) - accepted_at) * share).replace(
        microsecond=0
    )
    if is_online and paid_at < now:
        payment = _online(booking, method, paid_at, fails=fails)
    elif booking.status is BookingStatus.COMPLETED:
        payment = _in_cash(booking, ends_at)
    else:
        return None
    if booking.status is BookingStatus.COMPLETED:
        return rules.earned(payment, booking.commission_amount, booking.pandit_user_id, ends_at)
    if booking.status is BookingStatus.CANCELLED:
        return _given_back(refunds.closed(payment, closing_of(booking), ends_at), ends_at)
    return payment


def _online(booking: Booking, method: PaymentMethod, at: datetime, *, fails: bool) -> Payment:
    payment = booking_payment(booking, at)
    if fails:
        payment = rules.with_attempt(
            payment, reference=_reference(booking, 1), method=method, now=at
        )
        payment = rules.given_up(payment, 1, "expired", at + timedelta(minutes=1))
    number = len(payment.attempts) + 1
    later = at + timedelta(minutes=2)
    payment = rules.with_attempt(
        payment, reference=_reference(booking, number), method=method, now=later
    )
    verdict = Verdict(
        outcome=Outcome.PAID,
        amount=payment.amount,
        currency=payment.currency,
        transaction_id=f"demo-{booking.id}",
    )
    return rules.judged(payment, number, verdict, later, "demo")


def _in_cash(booking: Booking, at: datetime) -> Payment:
    payment = rules.with_attempt(
        booking_payment(booking, at),
        reference=_reference(booking, 1),
        method=PaymentMethod.CASH,
        now=at,
    )
    return rules.cash_collected(payment, 1, payment.amount, booking.pandit_user_id, at)


def _given_back(payment: Payment, at: datetime) -> Payment:
    for attempt in payment.attempts:
        for refund in attempt.refunds:
            payment = refunds.refund_sent(payment, attempt.number, refund.id, at)
            done = RefundAnswer(state=RefundState.DONE)
            payment = refunds.refund_answered(payment, attempt.number, refund.id, done, at)
    return payment


def _at_rest(payment: Payment) -> Payment:
    """The payment as it is stored: told of, and nobody is to be asked about it again."""
    attempts = tuple(replace(attempt, next_check_at=None) for attempt in payment.attempts)
    return replace(payment, attempts=attempts, outbox=(), version=payment.version + 1)


def _following(booking: Booking, payment: Payment) -> Booking:
    main = payment.main
    return replace(
        booking,
        payment_status=payment.status,
        payment_method=main.method if main else booking.payment_method,
        payment_version=payment.version,
        refunded_amount=payment.refunded,
    )


def _reference(booking: Booking, number: int) -> str:
    return f"DEMO-{booking.id}-{number}"


class _Cashier:
    """Numbers the entries of each wallet and pandit in order of time, and pays pandits monthly."""

    def __init__(self, ids: Ids, names: dict[str, str], admin: User, now: datetime) -> None:
        self.payouts: list[Payout] = []
        self._ids = ids
        self._names = names
        self._admin = admin
        self._now = now
        self._heads: dict[str, Chain] = {}
        self._waiting: list[tuple[datetime, int, LedgerEntry]] = []
        self._order = count()

    def booked(self, entries: Iterable[LedgerEntry]) -> Iterator[LedgerEntry]:
        """All entries, those of payouts among them, each with its place in its chain."""
        month = None
        for entry in sorted(entries, key=lambda each: each.at):
            this = entry.at.astimezone(_ZONE).strftime("%Y-%m")
            if month not in (None, this):
                self._pay_out(entry.at)
            month = this
            yield from self._due(entry.at)
            yield self._chained(entry)
        yield from self._due(self._now)

    def _due(self, until: datetime) -> Iterator[LedgerEntry]:
        while self._waiting and self._waiting[0][0] <= until:
            yield self._chained(heapq.heappop(self._waiting)[2])

    def _chained(self, entry: LedgerEntry) -> LedgerEntry:
        chained = ledger.chained(entry, self._heads.get(entry.owner or ""))
        if chained.chain is not None:
            self._heads[chained.chain.owner] = chained.chain
        return chained

    def _pay_out(self, at: datetime) -> None:
        """Those who have enough ask for all of it, and are paid after two days."""
        if at + _PAID_AFTER > self._now:
            return
        for user_id, name in self._names.items():
            head = self._heads.get(ledger.pandit(user_id))
            if head is None:
                continue
            owed = max(0, -head.balance(ledger.cash(user_id)))
            amount = head.balance(ledger.pandit(user_id)) - owed
            if amount < _LEAST_PAYOUT:
                continue
            payout = Payout(
                id=self._ids.at(at),
                pandit_user_id=user_id,
                pandit_name=name,
                amount=amount,
                currency=NPR,
                destination="Nabil Bank 0123456789",
                asked_at=at,
                status=PayoutStatus.PAID,
                settled_at=at + _PAID_AFTER,
                settled_by=self._admin.id,
            )
            self.payouts.append(payout)
            asked = [
                Posting(ledger.pandit(user_id), amount + owed),
                Posting(ledger.payouts(user_id), -amount),
            ]
            if owed:
                asked.append(Posting(ledger.cash(user_id), -owed))
            paid = ledger.two(ledger.payouts(user_id), ledger.BANK, amount)
            self._plan(payout, f"payout-asked:{payout.id}", EntryKind.PAYOUT_ASKED, asked, at)
            self._plan(
                payout,
                f"payout-settled:{payout.id}",
                EntryKind.PAYOUT_PAID,
                paid,
                at + _PAID_AFTER,
            )

    def _plan(
        self,
        payout: Payout,
        cause: str,
        kind: EntryKind,
        postings: Iterable[Posting],
        at: datetime,
    ) -> None:
        entry = LedgerEntry(
            cause=cause,
            kind=kind,
            at=at,
            currency=payout.currency,
            postings=tuple(postings),
            refs={"payout_id": payout.id, "user_id": payout.pandit_user_id},
        )
        heapq.heappush(self._waiting, (at, next(self._order), entry))
