"""After acceptance the customer asks and the pandit agrees: until then nothing changes."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import date, time, timedelta
from decimal import Decimal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from server.domain import booking as rules
from server.domain import samagri_consent as consent
from server.domain.account import Actor, Role
from server.domain.booking import (
    Booking,
    BookingStatus,
    PaymentMethod,
    PaymentState,
    PaymentStatus,
    SamagriLine,
)
from server.domain.calendar import span_of
from server.domain.catalogue import SamagriType
from server.domain.errors import (
    DomainError,
    Forbidden,
    IllegalTransition,
    Invalid,
    ItemRequired,
    NotFound,
    PaymentOpen,
    ProposalChanged,
)
from server.domain.events import EventKind
from server.domain.money import Unit
from tests.factories import NOW, STARTS_AT, make_booking, make_line

WITHIN = timedelta(hours=24)
Edit = Callable[[Booking], Booking]


def actor(role: Role, user_id: str) -> Actor:
    return Actor(user_id=user_id, role=role, session_id="s", full_name="Somebody")


CUSTOMER = actor(Role.USER, "customer")
PANDIT = actor(Role.PANDIT, "pandit-user")
ADMIN = actor(Role.ADMIN, "admin")
KUMKUM = make_line("kumkum", type=SamagriType.REQUIRED, suggested_quantity=Decimal("0.1"))
AKSHAT = make_line("akshat", type=SamagriType.ESSENTIAL)
HALDI = make_line("haldi")
INCENSE = make_line("incense", source="customer", auto_added=False, user_added=True, confidence=1.0)
FEE = 250_000


def accepted(**overrides: object) -> Booking:
    """An accepted booking with three lines of Rs. 50, of which one may be left out."""
    listed = rules.with_samagri(make_booking(), (KUMKUM, AKSHAT, HALDI), (), NOW)
    return replace(
        listed,
        **{"status": BookingStatus.ACCEPTED, "accepted_at": NOW, "version": 7, **overrides},  # type: ignore[arg-type]  # fields by name
    )


def sized(item_id: str, quantity: int, unit: Unit = Unit.G) -> Edit:
    return lambda found: rules.with_quantity(found, item_id, Decimal(quantity), unit, NOW)


def without(item_id: str) -> Edit:
    return lambda found: rules.without_line(found, item_id, NOW)


def with_line(line: SamagriLine) -> Edit:
    return lambda found: rules.with_samagri(
        found, (*found.samagri, line), found.samagri_declined, NOW
    )


def edited(booking: Booking, edit: Edit, at: timedelta = timedelta()) -> Booking:
    """The booking after an edit of its customer, as the store has it then."""
    return stored(consent.edited(booking, CUSTOMER, edit, NOW + at, WITHIN), booking)


def stored(changed: Booking, before: Booking) -> Booking:
    return replace(changed, version=before.version + 1)


def asked(booking: Booking) -> rules.SamagriProposal:
    assert booking.samagri_proposal is not None
    return booking.samagri_proposal


def own_part(booking: Booking) -> tuple[object, ...]:
    return (
        booking.samagri,
        booking.samagri_declined,
        booking.samagri_fee,
        booking.total_fee,
        booking.commission_amount,
    )


def kinds(booking: Booking) -> list[EventKind]:
    return [event.kind for event in booking.outbox]


def test_an_edit_before_acceptance_changes_the_list_at_once() -> None:
    pending = accepted(status=BookingStatus.PENDING, accepted_at=None)
    changed = edited(pending, without("haldi"))
    assert [line.item_id for line in changed.samagri] == ["kumkum", "akshat"]
    assert changed.samagri_proposal is None
    assert changed.total_fee == FEE + 10_000


def test_who_had_put_there_what_a_proposal_leaves_out_is_known_when_it_is_agreed_to() -> None:
    own = replace(INCENSE, auto_added=False, user_added=True)
    booking = accepted()
    for edit in (without("haldi"), with_line(own), without("incense")):
        booking = edited(booking, edit)
    assert asked(booking).own_declined == ("incense",)
    agreed = consent.agree(booking, PANDIT, asked(booking).revision, NOW)
    assert (agreed.samagri_declined, agreed.samagri_own_declined) == (
        ("haldi", "incense"),
        ("incense",),
    )
    assert rules.refused_items(agreed) == ("haldi",)


def test_edits_after_acceptance_make_one_proposal_and_change_nothing_else() -> None:
    booking = accepted()
    first = edited(booking, sized("haldi", 200))
    second = edited(first, with_line(INCENSE), timedelta(minutes=1))
    third = edited(second, without("haldi"), timedelta(minutes=2))
    for each in (first, second, third):
        assert own_part(each) == own_part(booking)
    proposal = asked(third)
    assert [line.item_id for line in proposal.lines] == ["kumkum", "akshat", "incense"]
    assert proposal.declined == ("haldi",)
    assert proposal.proposed_at == NOW
    assert proposal.answer_by == NOW + timedelta(minutes=2) + WITHIN
    assert asked(first).revision < asked(second).revision < proposal.revision
    assert kinds(third) == [EventKind.BOOKING_SAMAGRI_PROPOSED], "the pandit is told once"
    assert third.outbox[0].recipients == (PANDIT.user_id,)
    would_be = consent.as_proposed(third, NOW)
    assert (would_be.samagri_fee, would_be.total_fee) == (15_000, FEE + 15_000)


def test_the_pandit_agrees_to_the_list_that_he_has_seen_and_to_no_other() -> None:
    seen = edited(accepted(), sized("haldi", 200))
    changed = edited(seen, sized("haldi", 300))
    for answer in (consent.agree, consent.decline):
        with pytest.raises(ProposalChanged):
            answer(changed, PANDIT, asked(seen).revision, NOW)
    agreed = consent.agree(changed, PANDIT, asked(changed).revision, NOW)
    assert agreed.samagri == asked(changed).lines
    assert (agreed.samagri_fee, agreed.total_fee) == (25_000, FEE + 25_000)
    assert (agreed.samagri_proposal, agreed.samagri_asked_at) == (None, None)
    event = agreed.outbox[-1]
    assert (event.kind, event.recipients) == (
        EventKind.BOOKING_SAMAGRI_AGREED,
        (CUSTOMER.user_id,),
    )
    assert event.params["amount"] == str(agreed.total_fee)
    with pytest.raises(ProposalChanged):
        consent.agree(stored(agreed, changed), PANDIT, asked(changed).revision, NOW)


def test_a_revision_is_never_used_again() -> None:
    first = edited(accepted(), sized("haldi", 200))
    declined = stored(consent.decline(first, PANDIT, asked(first).revision, NOW), first)
    again = edited(declined, sized("haldi", 900))
    with pytest.raises(ProposalChanged):
        consent.agree(again, PANDIT, asked(first).revision, NOW)


@pytest.mark.parametrize("who", [CUSTOMER, ADMIN], ids=lambda each: each.user_id)
def test_nobody_agrees_for_the_pandit(who: Actor) -> None:
    booking = edited(accepted(), sized("haldi", 200))
    for answer in (consent.agree, consent.decline):
        with pytest.raises(Forbidden):
            answer(booking, who, asked(booking).revision, NOW)


@pytest.mark.parametrize("who", [PANDIT, ADMIN], ids=lambda each: each.user_id)
def test_nobody_edits_or_withdraws_for_the_customer(who: Actor) -> None:
    booking = edited(accepted(), sized("haldi", 200))
    with pytest.raises(Forbidden):
        consent.withdraw(booking, who, NOW)
    with pytest.raises(Forbidden):
        consent.edited(booking, who, without("haldi"), NOW, WITHIN)


def test_an_end_without_agreement_leaves_all_as_it_was_and_is_told() -> None:
    booking = edited(accepted(), sized("haldi", 200))
    revision = asked(booking).revision
    late = NOW + WITHIN
    for ended, kind, recipients in (
        (
            consent.decline(booking, PANDIT, revision, NOW),
            EventKind.BOOKING_SAMAGRI_DECLINED,
            {CUSTOMER.user_id},
        ),
        (
            consent.withdraw(booking, CUSTOMER, NOW),
            EventKind.BOOKING_SAMAGRI_DECLINED,
            {PANDIT.user_id},
        ),
        (
            consent.end_unanswered(booking, late),
            EventKind.BOOKING_SAMAGRI_LAPSED,
            {CUSTOMER.user_id, PANDIT.user_id},
        ),
    ):
        assert own_part(ended) == own_part(booking)
        assert ended.samagri_proposal is None
        assert ended.outbox[-1].kind is kind
        assert set(ended.outbox[-1].recipients) == recipients
        with pytest.raises(ProposalChanged):
            consent.withdraw(ended, CUSTOMER, NOW)
        with pytest.raises(IllegalTransition):
            consent.end_unanswered(ended, late)


def test_what_has_lapsed_is_neither_agreed_to_nor_gone_on_with() -> None:
    booking = edited(accepted(), sized("haldi", 200))
    late = NOW + WITHIN
    with pytest.raises(IllegalTransition):
        consent.end_unanswered(booking, late - timedelta(seconds=1))
    with pytest.raises(ProposalChanged):
        consent.agree(booking, PANDIT, asked(booking).revision, late)
    assert consent.as_proposed(booking, late) is booking
    anew = edited(booking, with_line(INCENSE), WITHIN)
    assert [line.item_id for line in asked(anew).lines] == ["kumkum", "akshat", "haldi", "incense"]
    assert asked(anew).lines[2] == HALDI, "it begins with the booking's own list"
    assert kinds(anew) == [EventKind.BOOKING_SAMAGRI_PROPOSED] * 2


def test_nobody_is_asked_or_waited_for_once_the_time_of_the_puja_has_come() -> None:
    late = edited(accepted(), sized("haldi", 200), STARTS_AT - NOW - timedelta(hours=1))
    assert asked(late).answer_by == STARTS_AT
    with pytest.raises(IllegalTransition):
        edited(late, sized("haldi", 300), STARTS_AT - NOW)
    sooner = span_of(STARTS_AT - timedelta(days=2), 120, 30)
    early = edited(accepted(), sized("haldi", 200))
    proposed = rules.propose_time(
        early,
        PANDIT,
        NOW,
        day=date(2026, 11, 23),
        at=time(10),
        span=sooner,
        answer_within=WITHIN,
    )
    moved = rules.move_time(
        proposed, CUSTOMER, NOW, day=date(2026, 11, 23), at=time(10), span=sooner, within=WITHIN
    )
    assert asked(moved).lines == asked(early).lines, "another time says nothing of the list"
    assert asked(moved).answer_by <= sooner.starts_at


def test_another_time_and_another_list_are_proposed_side_by_side() -> None:
    booking = edited(accepted(), sized("haldi", 200))
    span = span_of(STARTS_AT + timedelta(days=1), 120, 30)
    both = rules.propose_time(
        booking,
        PANDIT,
        NOW,
        day=date(2026, 11, 26),
        at=time(10),
        span=span,
        answer_within=2 * WITHIN,
    )
    one = consent.end_unanswered(both, NOW + WITHIN)
    assert one.proposal is not None
    assert one.samagri_proposal is None
    none = consent.end_unanswered(both, NOW + 2 * WITHIN)
    assert (none.proposal, none.samagri_proposal) == (None, None)
    assert none.claims == booking.claims
    assert kinds(none)[-2:] == [EventKind.BOOKING_TIME_LAPSED, EventKind.BOOKING_SAMAGRI_LAPSED]
    agreed = consent.agree(both, PANDIT, asked(both).revision, NOW)
    assert agreed.proposal == both.proposal


def test_an_edit_that_leads_back_withdraws_the_proposal() -> None:
    booking = accepted()
    there = edited(booking, sized("haldi", 200))
    back = edited(there, sized("haldi", 100), timedelta(minutes=1))
    assert back.samagri_proposal is None
    assert own_part(back) == own_part(booking)
    assert kinds(back) == [EventKind.BOOKING_SAMAGRI_PROPOSED], "a slip is not told again"
    anew = edited(back, sized("haldi", 300), timedelta(minutes=2))
    assert kinds(anew) == [EventKind.BOOKING_SAMAGRI_PROPOSED]
    gone = edited(anew, sized("haldi", 100), timedelta(hours=1))
    assert gone.samagri_proposal is None
    assert gone.outbox[-1].kind is EventKind.BOOKING_SAMAGRI_DECLINED, "he has looked by now"
    later = edited(gone, sized("haldi", 300), timedelta(hours=1, minutes=1))
    assert later.outbox[-1].kind is EventKind.BOOKING_SAMAGRI_PROPOSED


def test_after_a_refusal_the_pandit_is_told_of_the_next_proposal_at_once() -> None:
    first = edited(accepted(), sized("haldi", 200))
    declined = stored(consent.decline(first, PANDIT, asked(first).revision, NOW), first)
    assert edited(declined, sized("haldi", 300)).outbox[-1].kind is (
        EventKind.BOOKING_SAMAGRI_PROPOSED
    )


def test_an_edit_that_changes_nothing_proposes_nothing() -> None:
    booking = accepted()
    for same in (sized("haldi", 100), lambda found: sized("haldi", 100)(found)):
        assert consent.edited(booking, CUSTOMER, same, NOW, WITHIN) is booking
    other_unit: Edit = lambda found: rules.with_quantity(  # noqa: E731  # one edit among others
        found, "haldi", Decimal("0.1"), Unit.KG, NOW
    )
    assert consent.edited(booking, CUSTOMER, other_unit, NOW, WITHIN) is booking
    proposed = edited(booking, sized("haldi", 200))
    assert consent.edited(proposed, CUSTOMER, sized("haldi", 200), NOW, WITHIN) is proposed


def test_what_the_puja_needs_stays_in_a_proposal_too() -> None:
    booking = accepted()
    for item in ("kumkum", "akshat"):
        with pytest.raises(ItemRequired):
            edited(booking, without(item))
    with pytest.raises(Invalid):
        edited(booking, sized("kumkum", 99))
    emptied: Edit = lambda found: rules.with_samagri(  # noqa: E731  # one edit among others
        found, (HALDI,), (), NOW
    )
    with pytest.raises(ItemRequired):
        edited(booking, emptied)


def test_an_item_that_goes_and_comes_back_keeps_the_price_that_was_frozen() -> None:
    booking = accepted()
    today = make_line("haldi", base_price=99_000, price_at_booking=9_900, user_added=True)
    gone = edited(booking, without("haldi"))
    back = edited(gone, with_line(today))
    assert back.samagri_proposal is None, "the list is what it was"
    more = edited(gone, with_line(today.resized(Decimal(300), Unit.G)))
    (line,) = (each for each in asked(more).lines if each.item_id == "haldi")
    assert line.price_at_booking == 15_000
    assert asked(more).samagri_fee == 25_000


def test_the_changes_are_told_line_by_line() -> None:
    booking = edited(accepted(), sized("kumkum", 150))
    booking = edited(edited(booking, with_line(INCENSE)), without("haldi"))
    changes = consent.line_changes(booking, asked(booking))
    assert [(each.line.item_id, each.price_difference) for each in changes] == [
        ("kumkum", 2_500),
        ("incense", 5_000),
        ("haldi", -5_000),
    ]
    kumkum, incense, haldi = changes
    assert kumkum.before is not None
    assert kumkum.after is not None
    assert (kumkum.before.quantity, kumkum.after.quantity) == (Decimal(100), Decimal(150))
    assert (incense.before, haldi.after) == (None, None)


def test_paying_lets_go_of_the_proposal_and_closes_the_list() -> None:
    booking = edited(accepted(), sized("haldi", 200))
    paying = rules.begin_payment(
        booking, CUSTOMER, PaymentMethod.KHALTI, NOW, hold=WITHIN, answer_by=NOW
    )
    assert paying.samagri_proposal is None
    assert own_part(paying) == own_part(booking)
    event = paying.outbox[-1]
    assert (event.kind, event.recipients) == (
        EventKind.BOOKING_SAMAGRI_DECLINED,
        (PANDIT.user_id,),
    )
    with pytest.raises(PaymentOpen):
        edited(paying, sized("haldi", 300))
    with pytest.raises(PaymentOpen):
        consent.agree(paying, PANDIT, asked(booking).revision, NOW)
    in_cash = rules.begin_payment(
        booking, CUSTOMER, PaymentMethod.CASH, NOW, hold=WITHIN, answer_by=NOW
    )
    assert in_cash is booking, "cash is due at the end, whatever it is by then"


def test_money_that_comes_late_closes_the_list_too() -> None:
    booking = edited(accepted(), sized("haldi", 200))
    state = PaymentState(
        version=3,
        status=PaymentStatus.COMPLETED,
        method=PaymentMethod.KHALTI,
        refunded=0,
        is_open=False,
        is_captured=True,
        amount=booking.total_fee,
    )
    paid = rules.with_payment(booking, state, NOW, NOW)
    assert (paid.payment_status, paid.samagri_proposal) == (PaymentStatus.COMPLETED, None)
    with pytest.raises(PaymentOpen):
        consent.agree(paid, PANDIT, asked(booking).revision, NOW)
    revision = asked(booking).revision
    agreed = stored(consent.agree(booking, PANDIT, revision, NOW), booking)
    assert rules.with_payment(agreed, state, NOW, NOW) is agreed, "it pays another price"


def test_whoever_is_paid_already_is_not_asked() -> None:
    with pytest.raises(PaymentOpen):
        edited(accepted(payment_status=PaymentStatus.COMPLETED), sized("haldi", 200))
    with pytest.raises(IllegalTransition):
        edited(accepted(samagri_required=False), sized("haldi", 200))


def test_a_beginning_or_an_end_drops_the_proposal() -> None:
    booking = edited(accepted(), sized("haldi", 200))
    begun = rules.start(booking, PANDIT, STARTS_AT, 60)
    for each in (begun, rules.cancel(booking, CUSTOMER, NOW, "")):
        assert (each.samagri_proposal, each.samagri_asked_at) == (None, None)
        assert own_part(each) == own_part(booking)
        with pytest.raises(IllegalTransition):
            consent.agree(each, PANDIT, asked(booking).revision, NOW)
        with pytest.raises(IllegalTransition):
            edited(each, sized("haldi", 300))


def test_an_item_that_is_not_there_is_not_found() -> None:
    with pytest.raises(NotFound):
        edited(accepted(), without("camphor"))


_ITEMS = st.sampled_from(["kumkum", "akshat", "haldi", "incense", "camphor"])
_OTHERS = [ADMIN, actor(Role.USER, "stranger")]
_SOMEBODY = st.sampled_from([CUSTOMER, PANDIT, *_OTHERS])
# Mostly those whose it is to do: what nobody may do is refused at once and leads nowhere.
_CUSTOMER_MOSTLY = st.sampled_from([CUSTOMER, CUSTOMER, CUSTOMER, PANDIT, *_OTHERS])
_PANDIT_MOSTLY = st.sampled_from([PANDIT, PANDIT, PANDIT, CUSTOMER, *_OTHERS])


class Consent(RuleBasedStateMachine):
    """Whatever they do in whatever order: no price changes without consent, or under a payment."""

    def __init__(self) -> None:
        super().__init__()
        self.booking = replace(accepted(), history=(), version=1)
        self.now = NOW
        self.payment = 0
        self.seen = 0

    def attempt(self, move: Callable[[Booking], Booking], *, may_change_list: bool = False) -> None:
        before = self.booking
        try:
            after = move(before)
        except DomainError:
            return
        if not may_change_list:
            assert own_part(after) == own_part(before)
        if rules.price_stands(before):
            assert (after.total_fee, after.samagri) == (before.total_fee, before.samagri)
        self.booking = stored(after, before)

    @rule(minutes=st.sampled_from([1, 20, 60, 60 * 25]))
    def time_passes(self, minutes: int) -> None:
        self.now += timedelta(minutes=minutes)

    @rule(
        who=_CUSTOMER_MOSTLY,
        item=st.sampled_from(["haldi", "incense", "camphor"]),
        grams=st.integers(1, 400),
    )
    def want(self, who: Actor, item: str, grams: int) -> None:
        """As much of it as is said, whether it is on the list or not, at a price of today."""
        line = make_line(item, base_price=70_000).resized(Decimal(grams), Unit.G)

        def wanted(found: Booking) -> Booking:
            if any(each.item_id == item for each in found.samagri):
                return rules.with_quantity(found, item, Decimal(grams), Unit.G, self.now)
            return with_line(line)(found)

        self.attempt(lambda found: consent.edited(found, who, wanted, self.now, WITHIN))

    @rule(who=_CUSTOMER_MOSTLY, item=_ITEMS)
    def want_no_more(self, who: Actor, item: str) -> None:
        self.attempt(lambda found: consent.edited(found, who, without(item), self.now, WITHIN))

    @rule(
        who=_CUSTOMER_MOSTLY, item=st.sampled_from(["kumkum", "akshat"]), grams=st.integers(1, 400)
    )
    def want_more_of_what_is_needed(self, who: Actor, item: str, grams: int) -> None:
        self.attempt(lambda found: consent.edited(found, who, sized(item, grams), self.now, WITHIN))

    @rule()
    def the_pandit_looks(self) -> None:
        self.look()

    def look(self) -> None:
        proposal = self.booking.samagri_proposal
        self.seen = proposal.revision if proposal else 0

    @rule(who=_PANDIT_MOSTLY, is_agreed=st.booleans(), looks=st.booleans())
    def somebody_answers(self, who: Actor, is_agreed: bool, looks: bool) -> None:
        self.answer(who, is_agreed=is_agreed, looks=looks)

    def answer(self, who: Actor, *, is_agreed: bool, looks: bool) -> None:
        if looks:
            self.look()
        before, proposal = self.booking, self.booking.samagri_proposal
        act = consent.agree if is_agreed else consent.decline
        self.attempt(lambda found: act(found, who, self.seen, self.now), may_change_list=is_agreed)
        if own_part(self.booking) != own_part(before):
            assert who is PANDIT
            assert proposal is not None
            assert proposal.revision == self.seen
            assert self.now < proposal.answer_by
            assert self.booking.samagri == proposal.lines

    @rule()
    def the_pandit_agrees_to_what_he_sees(self) -> None:
        self.answer(PANDIT, is_agreed=True, looks=True)

    @rule(who=_SOMEBODY)
    def withdraw(self, who: Actor) -> None:
        self.attempt(lambda found: consent.withdraw(found, who, self.now))

    @rule()
    def the_clock_sweeps(self) -> None:
        self.attempt(lambda found: consent.end_unanswered(found, self.now))

    @rule(
        method=st.sampled_from([PaymentMethod.KHALTI, PaymentMethod.CASH]), luck=st.integers(0, 2)
    )
    def pay(self, method: PaymentMethod, luck: int) -> None:
        if luck:
            return
        self.attempt(
            lambda found: rules.begin_payment(
                found, CUSTOMER, method, self.now, hold=WITHIN, answer_by=self.now
            )
        )

    @rule(
        is_paid=st.sampled_from([False, False, True]),
        is_open=st.booleans(),
        other=st.sampled_from([0, 1]),
        luck=st.integers(0, 5),
    )
    def the_payment_goes_on(self, is_paid: bool, is_open: bool, other: int, luck: int) -> None:
        if luck and not self.booking.payment_open:
            # Money that comes of an older try is rarer than money of this one.
            return
        self.payment += 1
        state = PaymentState(
            version=self.payment,
            status=PaymentStatus.COMPLETED if is_paid else PaymentStatus.FAILED,
            method=PaymentMethod.KHALTI,
            refunded=0,
            is_open=is_open and not is_paid and self.booking.payment_open,
            is_captured=is_paid,
            amount=self.booking.total_fee + other,
        )
        self.attempt(lambda found: rules.with_payment(found, state, self.now, self.now))

    @rule(
        who=_SOMEBODY,
        which=st.sampled_from(["start", "complete", "cancel"]),
        luck=st.integers(0, 5),
    )
    def move(self, who: Actor, which: str, luck: int) -> None:
        if luck:
            # Too soon an end leaves nothing to play with.
            return
        moves: dict[str, Callable[[Booking], Booking]] = {
            "start": lambda found: rules.start(found, who, self.now, 60),
            "complete": lambda found: rules.complete(found, who, self.now),
            "cancel": lambda found: rules.cancel(found, who, self.now, ""),
        }
        self.attempt(moves[which])

    @invariant()
    def the_total_is_the_sum_of_its_parts(self) -> None:
        for each in (self.booking, consent.as_proposed(self.booking, self.now)):
            assert each.samagri_fee == sum(line.price_at_booking for line in each.samagri)
            assert each.total_fee == each.service_fee + each.samagri_fee
            assert each.commission_amount == self.booking.commission_amount

    @invariant()
    def what_the_puja_needs_is_always_there(self) -> None:
        proposal = self.booking.samagri_proposal
        for lines in (self.booking.samagri, proposal.lines if proposal else None):
            if lines is None:
                continue
            there = {line.item_id: line for line in lines}
            assert len(there) == len(lines)
            assert {"kumkum", "akshat"} <= set(there)
            assert there["kumkum"].resized(there["kumkum"].quantity, Unit.G).quantity >= 100

    @invariant()
    def nothing_is_proposed_where_the_price_stands_or_it_is_over(self) -> None:
        if rules.price_stands(self.booking) or self.booking.status is not BookingStatus.ACCEPTED:
            assert self.booking.samagri_proposal is None

    @invariant()
    def what_was_there_keeps_its_frozen_price(self) -> None:
        proposal = self.booking.samagri_proposal
        rates = {line.item_id: line.base_price for line in self.booking.samagri}
        for line in proposal.lines if proposal else ():
            assert line.base_price == rates.get(line.item_id, line.base_price)


TestConsent = Consent.TestCase
TestConsent.settings = settings(max_examples=150, stateful_step_count=40, deadline=None)


@given(st.lists(st.tuples(_ITEMS, st.integers(0, 400)), max_size=12))
def test_without_an_answer_nothing_ever_changes(edits: list[tuple[str, int]]) -> None:
    booking = accepted()
    for item, grams in edits:
        with_edit = without(item) if grams == 0 else sized(item, grams)
        try:
            booking = edited(booking, with_edit)
        except DomainError:
            continue
        assert own_part(booking) == own_part(accepted())
