"""No sequence of events leaves the allowed moves, confirms twice, or unbalances the ledger."""

from __future__ import annotations

from contextlib import nullcontext, suppress
from dataclasses import replace
from datetime import timedelta

import pytest
from hypothesis import Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from server.domain import ledger, refunds
from server.domain import payment as payments
from server.domain import payment_changes as changes
from server.domain import payment_rules as rules
from server.domain.booking import PaymentMethod, PaymentStatus
from server.domain.errors import AlreadyPaid, Conflict, RefundRefused, TooManyAttempts
from server.domain.events import EventKind
from server.domain.gateway import (
    ActionKind,
    Claim,
    Outcome,
    PaymentAction,
    RefundAnswer,
    RefundState,
    ReturnHint,
    StartedPayment,
    Verdict,
)
from server.domain.ledger import Chain, LedgerEntry
from server.domain.payment import (
    GIVE_UP_AFTER,
    Closing,
    Payment,
    Purpose,
    RefundTo,
    ReviewReason,
    may_move,
    open_cash,
)
from tests.factories import NOW, make_payment

METHODS = (PaymentMethod.KHALTI, PaymentMethod.ESEWA, PaymentMethod.CASH)
PAID = Verdict(outcome=Outcome.PAID, amount=250_000, currency="NPR")


class PaymentMachine(RuleBasedStateMachine):
    """A payment to which anything may happen, in any order, any number of times."""

    @initialize(purpose=st.sampled_from(Purpose))
    def begin(self, purpose: Purpose) -> None:
        self.now = NOW
        self.payment = make_payment(attempts=(), purpose=purpose)
        self.entries: dict[str, LedgerEntry] = {}
        self.successes = 0
        self.withdrawn = 0
        self.seen: dict[int, PaymentStatus] = {}

    def become(self, changed: Payment) -> None:
        for attempt in changed.attempts:
            before = self.seen.get(attempt.number)
            if before is not None and before is not attempt.status:
                # Paid and given back may be learnt in one answer; that is two moves.
                steps = ((before,), (before, PaymentStatus.COMPLETED))
                assert any(
                    all(map(may_move, path, (*path[1:], attempt.status))) for path in steps
                ), (before, attempt.status)
            self.seen[attempt.number] = attempt.status
        for event in changed.outbox:
            if event.kind is EventKind.MONEY_MOVED:
                entry = ledger.entry_of(event)
                assert entry.cause not in self.entries
                self.entries[entry.cause] = entry
            if event.kind is EventKind.PAYMENT_SUCCESS:
                self.successes += 1
        self.payment = replace(changed, outbox=(), version=changed.version + 1)

    def number(self, place: int) -> int | None:
        attempts = self.payment.attempts
        return attempts[place % len(attempts)].number if attempts else None

    @rule(seconds=st.integers(1, 40_000))
    def time_passes(self, seconds: int) -> None:
        self.now += timedelta(seconds=seconds)

    @rule(method=st.sampled_from(METHODS))
    def a_click(self, method: PaymentMethod) -> None:
        if method is PaymentMethod.CASH and self.payment.purpose is not Purpose.BOOKING:
            return  # Nobody hands over cash for these.
        reference = f"REF-{len(self.payment.attempts) + 1}"
        try:
            added = rules.with_attempt(
                self.payment, reference=reference, method=method, now=self.now
            )
        except (AlreadyPaid, TooManyAttempts, Conflict):
            return
        given = StartedPayment(action=PaymentAction(kind=ActionKind.NONE), gateway_id=reference)
        self.become(rules.started(added, added.attempts[-1].number, given, self.now))

    @rule(place=st.integers(0, 20), claim=st.sampled_from(Claim))
    def a_return(self, place: int, claim: Claim) -> None:
        if (number := self.number(place)) is not None:
            hint = ReturnHint(claim=claim, mismatches=("amount",) if claim is Claim.FAILED else ())
            self.become(rules.came_back(self.payment, number, hint, self.now))

    @rule(
        place=st.integers(0, 20),
        outcome=st.sampled_from(Outcome),
        amount=st.sampled_from((None, 250_000, 249_999, 300_000)),
        currency=st.sampled_from((None, "NPR", "npr", "USD")),
        refunded=st.sampled_from((None, 0, 100_000, 250_000, 400_000)),
        is_asked=st.booleans(),
    )
    def an_answer(
        self,
        place: int,
        outcome: Outcome,
        amount: int | None,
        currency: str | None,
        refunded: int | None,
        is_asked: bool,
    ) -> None:
        if (number := self.number(place)) is None:
            return
        verdict = Verdict(outcome=outcome, amount=amount, currency=currency, refunded=refunded)
        before = self.payment.attempt(number)
        asked_at = self.now if is_asked else None
        self.become(
            rules.judged(self.payment, number, verdict, self.now, "test", asked_at=asked_at)
        )
        after = self.payment.attempt(number)
        is_new_success = before.status not in payments.PAID and after.status in payments.PAID
        if is_new_success:
            assert amount in (None, after.amount)
            assert currency in (None, "NPR", "npr")
            # Of what was paid and partly given back before we heard of it, a person finds the rest.
            assert outcome in (Outcome.PAID, Outcome.PARTLY_REFUNDED)
        self.become(rules.checked(self.payment, number, self.now))

    @rule(amount=st.sampled_from((249_999, 250_000)))
    def cash(self, amount: int) -> None:
        if (waiting := open_cash(self.payment)) is not None:
            with suppress(Conflict):  # It was begun for another price.
                self.become(
                    rules.cash_collected(self.payment, waiting.number, amount, "pandit", self.now)
                )

    @rule(amount=st.sampled_from((250_000, 300_000)))
    def the_price_changes(self, amount: int) -> None:
        self.become(rules.due_now(self.payment, amount))

    @rule(amount=st.sampled_from((250_000, 300_000)))
    def the_booking_says_what_it_costs(self, amount: int) -> None:
        was_confirmed = self.payment.confirmed_at is not None
        self.become(rules.mispaid(self.payment, amount, self.now))
        self.withdrawn += was_confirmed and self.payment.confirmed_at is None

    @rule()
    def an_unlock_is_wanted_again(self) -> None:
        was_confirmed = self.payment.confirmed_at is not None
        self.become(rules.reopened(self.payment))
        self.withdrawn += was_confirmed and self.payment.confirmed_at is None

    @rule(share=st.sampled_from((0, 5_000, 7_500, 10_000)), to=st.sampled_from(RefundTo))
    def it_ends(self, share: int, to: RefundTo) -> None:
        closing = Closing(at=self.now, reason="cancelled", share=share, to=to)
        self.become(refunds.closed(self.payment, closing, self.now))

    @rule()
    def the_puja_is_held(self) -> None:
        self.become(rules.earned(self.payment, 25_000, "pandit-user", self.now))

    @rule(
        place=st.integers(0, 20),
        amount=st.sampled_from((1, 100_000, 250_000)),
        to=st.sampled_from(RefundTo),
    )
    def staff_refund(self, place: int, amount: int, to: RefundTo) -> None:
        if (number := self.number(place)) is None:
            return
        try:
            changed = refunds.refund_asked(
                self.payment, number, amount, reason="staff", by="admin", now=self.now, to=to
            )
        except RefundRefused:
            return
        self.become(changed)

    @rule(place=st.integers(0, 20), which=st.integers(0, 40), state=st.sampled_from(RefundState))
    def a_refund_moves(self, place: int, which: int, state: RefundState) -> None:
        number = self.number(place)
        known = self.payment.attempt(number).refunds if number is not None else ()
        if number is None or not known:
            return
        refund = known[which % len(known)]
        if refund.state is RefundState.DONE and refund.to is RefundTo.WALLET:
            return  # The wallet has it; nobody can report otherwise.
        answer = RefundAnswer(state=state, reason="because")
        self.become(refunds.refund_answered(self.payment, number, refund.id, answer, self.now))

    @rule(place=st.integers(0, 20), which=st.integers(0, 40), outcome=st.sampled_from(Outcome))
    def a_refund_is_looked_up(self, place: int, which: int, outcome: Outcome) -> None:
        number = self.number(place)
        known = self.payment.attempt(number).refunds if number is not None else ()
        if number is None or not known:
            return
        refund = known[which % len(known)]
        verdict = Verdict(outcome=outcome, amount=250_000, currency="NPR")
        self.become(rules.refund_looked_up(self.payment, number, refund.id, verdict, self.now))

    # -- what always holds ------------------------------------------------------------------------

    @invariant()
    def there_is_one_confirmation_at_most(self) -> None:
        if hasattr(self, "payment"):
            assert self.successes == self.withdrawn + (self.payment.confirmed_at is not None)

    @invariant()
    def what_pays_is_what_is_due(self) -> None:
        if hasattr(self, "payment") and self.payment.is_confirmed:
            assert self.payment.captured is not None
            assert self.payment.attempt(self.payment.captured).amount == self.payment.amount

    @invariant()
    def no_more_goes_back_than_came(self) -> None:
        for attempt in getattr(self, "payment", make_payment(attempts=())).attempts:
            assert 0 <= attempt.refunded <= attempt.committed <= attempt.amount
            assert (attempt.status is PaymentStatus.REFUNDED) == (
                attempt.refunded == attempt.amount
            )
            if attempt.status not in payments.PAID:
                assert not attempt.refunds

    @invariant()
    def the_ledger_tells_the_same(self) -> None:
        if not hasattr(self, "payment"):
            return
        sums: dict[str, int] = {}
        for entry in self.entries.values():
            for posting in entry.postings:
                sums[posting.account] = sums.get(posting.account, 0) + posting.amount
        assert sum(sums.values()) == 0
        for method in METHODS:
            came = sum(
                attempt.amount
                for attempt in self.payment.attempts
                if attempt.method is method and attempt.status in payments.PAID
            )
            gone = sum(
                refund.amount
                for attempt in self.payment.attempts
                if attempt.method is method
                for refund in attempt.refunds
                if refund.state is RefundState.DONE and refund.to is RefundTo.ORIGINAL
            )
            if method is PaymentMethod.CASH:
                assert sums.get("gateway:CASH", 0) == -gone
            else:
                assert sums.get(ledger.gateway(method), 0) == came - gone
        owed = sum(
            refund.amount
            for attempt in self.payment.attempts
            for refund in attempt.refunds
            if refund.is_open
        )
        assert -sums.get(ledger.REFUNDS, 0) == owed
        # A customer's money is never spent twice.
        assert sums.get(ledger.customer(self.payment.user_id), 0) <= 0

    @invariant()
    def what_is_due_is_not_forgotten(self) -> None:
        for attempt in getattr(self, "payment", make_payment(attempts=())).attempts:
            if attempt.is_open and attempt.method is not PaymentMethod.CASH:
                age = self.now - attempt.created_at
                assert attempt.next_check_at is not None or age >= GIVE_UP_AFTER


PaymentMachine.TestCase.settings = settings(
    # No shrinking: on Python 3.11 its explanations trace every line and take minutes.
    max_examples=60,
    stateful_step_count=30,
    deadline=None,
    phases=(Phase.explicit, Phase.reuse, Phase.generate),
)
test_any_sequence_of_events = PaymentMachine.TestCase


def test_an_entry_that_does_not_sum_to_zero_cannot_be_made() -> None:
    with pytest.raises(ValueError, match="sum to zero"):
        LedgerEntry(
            cause="x",
            kind=ledger.EntryKind.CAPTURE,
            at=NOW,
            currency="NPR",
            postings=(ledger.Posting("a", 1),),
        )


def test_an_entry_survives_its_way_as_an_event() -> None:
    entry = LedgerEntry(
        cause="capture:REF",
        kind=ledger.EntryKind.CAPTURE,
        at=NOW,
        currency="NPR",
        postings=ledger.two("gateway:KHALTI", "customer:6b01", 250_000),
        refs={"payment_id": "b-1", "booking_id": "1"},
    )
    assert ledger.entry_of(ledger.event_of(entry, "e", "1")) == entry


def test_a_chain_goes_below_zero_for_nobody_but_cash() -> None:
    spend = LedgerEntry(
        cause="x",
        kind=ledger.EntryKind.WALLET_PAYMENT,
        at=NOW,
        currency="NPR",
        postings=ledger.two(ledger.wallet("u"), "gateway:WALLET", 100),
    )
    head = Chain(owner="wallet:u", number=4, balances={"wallet:u": 100})
    numbered = ledger.chained(spend, head)
    assert numbered.chain == Chain(owner="wallet:u", number=5, balances={"wallet:u": 0})
    with pytest.raises(Conflict):
        ledger.chained(spend, numbered.chain)
    owed = replace(spend, postings=ledger.two(ledger.cash("p"), "commission", 100))
    chain = ledger.chained(owed, None).chain
    assert chain is not None
    assert chain.balance("cash:p") == -100


def test_what_is_paid_by_an_attempt_for_another_price_goes_back() -> None:
    for price in (100_000, 1_100_000):
        dearer = rules.due_now(make_payment(), price)
        paid = rules.judged(dearer, 1, PAID, NOW, "test")
        assert (paid.captured, paid.confirmed_at) == (None, None)
        (refund,) = paid.attempt(1).refunds
        assert (refund.amount, refund.reason) == (250_000, "price-changed")
        assert paid.attempt(1).needs_review
        again = rules.with_attempt(paid, reference="R2", method=PaymentMethod.KHALTI, now=NOW)
        right = replace(PAID, amount=price)
        assert rules.judged(again, 2, right, NOW, "test").captured == 2


def test_administrators_are_told_once_until_one_of_them_has_looked() -> None:
    quiet = make_payment()
    wanted = changes.review(quiet, 1, ReviewReason.MISMATCH, "amount", NOW)
    assert changes.begins_review(quiet, wanted)
    assert changes.begins_review(None, wanted)
    assert not changes.begins_review(None, quiet)
    further = changes.review(wanted, 1, ReviewReason.UNKNOWN_STATUS, "odd", NOW)
    assert not changes.begins_review(wanted, further)
    looked = changes.resolved(further, 1, "admin", "seen", NOW)
    assert not changes.begins_review(further, looked)
    anew = changes.review(looked, 1, ReviewReason.MISMATCH, "amount", NOW)
    assert changes.begins_review(looked, anew)
    (event,) = changes.alerted(wanted, ("a", "b"), NOW).outbox
    assert event.kind is EventKind.PAYMENT_REVIEW_WANTED
    assert event.recipients == ("a", "b")
    assert event.params["payment_id"] == f"{wanted.id}.1"


def test_what_the_provider_gave_back_by_itself_and_got_back_counts_again() -> None:
    paid = rules.judged(make_payment(), 1, PAID, NOW, "test")
    later = NOW + timedelta(hours=1)
    gone = replace(PAID, outcome=Outcome.REFUNDED, refunded=250_000)
    returned = rules.judged(paid, 1, gone, NOW, "test")
    assert returned.status is PaymentStatus.REFUNDED
    here = replace(PAID, refunded=0)
    # An old message does not count, nor an answer to a question that was asked before.
    for asked_at in (None, NOW - timedelta(seconds=1)):
        assert rules.judged(returned, 1, here, later, "test", asked_at=asked_at) is returned
    failed = rules.judged(returned, 1, here, later, "test", asked_at=later)
    assert (failed.status, failed.refunded) == (PaymentStatus.COMPLETED, 0)
    assert failed.needs_review
    part = replace(PAID, outcome=Outcome.PARTLY_REFUNDED, refunded=100_000)
    partly = rules.judged(returned, 1, part, later, "test", asked_at=later)
    assert (partly.status, partly.refunded) == (PaymentStatus.COMPLETED, 100_000)


@pytest.mark.parametrize("state", RefundState)
def test_staff_settle_only_what_waits_for_them(state: RefundState) -> None:
    paid = rules.judged(make_payment(), 1, PAID, NOW, "test")
    for to in RefundTo:
        asked = refunds.refund_asked(paid, 1, 100_000, reason="staff", by="admin", now=NOW, to=to)
        (refund,) = asked.attempt(1).refunds
        for next_try_at in (None, NOW):
            left = replace(refund, state=state, next_try_at=next_try_at)
            payment = replace(asked, attempts=(replace(asked.attempt(1), refunds=(left,)),))
            waits = (
                state in (RefundState.MANUAL, RefundState.UNKNOWN, RefundState.PENDING)
                and to is RefundTo.ORIGINAL
                and next_try_at is None
            )
            assert left.waits_for_staff == waits
            for is_done in (True, False):
                with nullcontext() if waits else pytest.raises(Conflict):
                    settled = refunds.refund_settled(
                        payment, 1, refund.id, is_done=is_done, note="", now=NOW
                    )
                    assert settled.refunded == (100_000 if is_done else 0)


def test_money_that_came_before_the_end_is_shared_and_money_that_came_after_goes_back() -> None:
    for seconds, back in ((-1, 125_000), (0, 250_000), (60, 250_000)):
        paid_at = NOW + timedelta(seconds=60 + seconds)
        payment = rules.judged(make_payment(), 1, PAID, paid_at, "test")
        closing = Closing(at=NOW + timedelta(seconds=60), reason="cancelled", share=5_000)
        closed = refunds.closed(payment, closing, NOW + timedelta(hours=1))
        assert [refund.amount for refund in closed.attempt(1).refunds] == [back]
        assert closed.needs_review == (back == 250_000)
