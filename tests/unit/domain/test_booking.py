"""The booking's state machine: every move from every state by every kind of actor."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
)

from server.domain import booking as rules
from server.domain.account import Actor, Role
from server.domain.booking import (
    OCCUPYING,
    Answer,
    Booking,
    BookingStatus,
    PaymentMethod,
    PaymentState,
    PaymentStatus,
    SamagriLine,
)
from server.domain.calendar import Span, span_of
from server.domain.catalogue import SamagriType
from server.domain.errors import (
    DomainError,
    Forbidden,
    IllegalTransition,
    Invalid,
    ItemRequired,
    NotFound,
    PaymentDue,
    TooEarly,
)
from server.domain.events import EventKind
from server.domain.money import Unit
from tests.factories import NOW, STARTS_AT, make_booking, make_line

Status = BookingStatus


def actor(role: Role, user_id: str) -> Actor:
    return Actor(user_id=user_id, role=role, session_id="s", full_name="Somebody")


CUSTOMER = actor(Role.USER, "customer")
PANDIT = actor(Role.PANDIT, "pandit-user")
OTHER_PANDIT = actor(Role.PANDIT, "other-pandit-user")
ADMIN = actor(Role.ADMIN, "admin")
WITHIN = timedelta(hours=12)
SOON = STARTS_AT - timedelta(minutes=30)
ASKED = rules.placed(replace(make_booking(), answer_by=NOW + WITHIN), NOW)
HELD = rules.placed(
    replace(
        make_booking(), payment_method=PaymentMethod.WALLET, pay_by=NOW + timedelta(minutes=15)
    ),
    NOW,
)


def in_state(status: Status) -> Booking:
    claims = span_of(STARTS_AT, 120, 30).claims if status in OCCUPYING else ()
    return replace(ASKED, status=status, claims=claims)


MOVES = {
    "accept": (lambda found, who: rules.accept(found, who, NOW), Status.ACCEPTED),
    "start": (lambda found, who: rules.start(found, who, SOON, 60), Status.IN_PROGRESS),
    "complete": (lambda found, who: rules.complete(found, who, NOW), Status.COMPLETED),
    "cancel": (lambda found, who: rules.cancel(found, who, NOW, "ill"), Status.CANCELLED),
}
ALLOWED = {
    ("accept", Status.PENDING, "pandit-user"),
    ("start", Status.ACCEPTED, "pandit-user"),
    ("complete", Status.IN_PROGRESS, "pandit-user"),
    ("cancel", Status.PENDING, "customer"),
    ("cancel", Status.PENDING, "admin"),
    ("cancel", Status.ACCEPTED, "customer"),
    ("cancel", Status.ACCEPTED, "pandit-user"),
    ("cancel", Status.ACCEPTED, "admin"),
    ("cancel", Status.IN_PROGRESS, "admin"),
}


@pytest.mark.parametrize("who", [CUSTOMER, PANDIT, ADMIN], ids=lambda each: each.user_id)
@pytest.mark.parametrize("status", list(Status))
@pytest.mark.parametrize("move", list(MOVES))
def test_only_the_moves_of_the_table_exist(move: str, status: Status, who: Actor) -> None:
    run, target = MOVES[move]
    found = in_state(status)
    if (move, status, who.user_id) in ALLOWED:
        moved = run(found, who)
        assert moved.status is target
        last = moved.history[-1]
        assert (last.from_status, last.to_status, last.by) == (status, target, who.user_id)
        assert moved.outbox, "a move is told"
        assert who.user_id not in moved.outbox[-1].recipients, "nobody is told of his own deed"
    else:
        with pytest.raises((Forbidden, IllegalTransition)):
            run(found, who)


def test_a_stranger_does_not_learn_that_a_booking_exists() -> None:
    for stranger in (OTHER_PANDIT, actor(Role.USER, "another-customer")):
        with pytest.raises(NotFound):
            rules.require_party(make_booking(), stranger)


def test_another_pandit_cannot_accept() -> None:
    with pytest.raises(Forbidden):
        rules.accept(ASKED, OTHER_PANDIT, NOW)


def test_a_booking_whose_time_has_come_cannot_be_accepted() -> None:
    with pytest.raises(IllegalTransition):
        rules.accept(ASKED, PANDIT, STARTS_AT)


def test_whoever_is_not_asked_any_more_can_neither_accept_nor_refuse() -> None:
    gone_before_he_was_asked = rules.with_payment(HELD, paid_state(HELD), NOW, None)
    taken_back = rules.take_offer_back(ASKED, "pandit", NOW)
    for booking in (gone_before_he_was_asked, taken_back):
        assert booking.status is Status.PENDING
        assert booking.pandit_user_id == PANDIT.user_id
        with pytest.raises(IllegalTransition):
            rules.accept(booking, PANDIT, NOW)
        with pytest.raises(IllegalTransition):
            rules.decline(booking, PANDIT, NOW, "")


def test_a_puja_is_not_started_long_before_its_time() -> None:
    accepted = in_state(Status.ACCEPTED)
    with pytest.raises(TooEarly):
        rules.start(accepted, PANDIT, STARTS_AT - timedelta(minutes=61), 60)
    assert rules.start(accepted, PANDIT, STARTS_AT - timedelta(minutes=60), 60).started_at


def test_contact_is_shared_from_acceptance_on_and_not_after_cancelling() -> None:
    assert not make_booking().shares_contact
    accepted = rules.accept(ASKED, PANDIT, NOW)
    assert accepted.shares_contact
    assert not rules.cancel(accepted, CUSTOMER, NOW, "").shares_contact


def test_ending_frees_the_time_and_completing_cash_pays() -> None:
    assert rules.cancel(in_state(Status.ACCEPTED), CUSTOMER, NOW, "").claims == ()
    completed = rules.complete(in_state(Status.IN_PROGRESS), PANDIT, NOW)
    assert completed.claims == ()
    assert completed.payment_status is PaymentStatus.COMPLETED
    assert rules.accept(ASKED, PANDIT, NOW).payment_status is PaymentStatus.PENDING


def test_a_refusal_keeps_the_booking_pending_and_is_remembered() -> None:
    declined = rules.decline(ASKED, PANDIT, NOW, "travelling")
    assert declined.status is Status.PENDING
    assert declined.rejected_by == ("pandit",)
    assert declined.claims == ()
    offered = rules.reoffer(
        declined,
        pandit_id="next",
        pandit_user_id="next-user",
        pandit_name="Next",
        pandit_name_ne="",
        pandit_phone="+9779800000009",
        distance_km=None,
        service_id="other-service",
        span=span_of(STARTS_AT, 90, 15),
        answer_by=STARTS_AT,
        now=NOW,
    )
    assert offered.total_fee == make_booking().total_fee, "the price was frozen"
    assert [event.kind for event in offered.outbox] == [
        EventKind.BOOKING_CREATED,
        EventKind.BOOKING_REJECTED,
        EventKind.BOOKING_REOFFERED,
        EventKind.BOOKING_CREATED,
    ]
    assert offered.outbox[-1].recipients == ("next-user",)
    assert len({event.id for event in offered.outbox}) == 4


def propose(booking: Booking, by: Actor, now: datetime = NOW) -> Booking:
    """Thursday at nine, to be answered within a day."""
    return rules.propose_time(
        booking,
        by,
        now,
        day=date(2026, 11, 26),
        at=time(9),
        span=span_of(datetime(2026, 11, 26, 3, 15, tzinfo=UTC), 120, 30),
        answer_within=timedelta(days=1),
    )


def test_a_proposal_that_nobody_answers_falls_away_and_frees_its_time() -> None:
    accepted = in_state(Status.ACCEPTED)
    proposed = propose(accepted, PANDIT)
    assert proposed.proposal is not None
    assert proposed.proposal.answer_by == NOW + timedelta(days=1)
    with pytest.raises(IllegalTransition):
        rules.lapse_proposal(proposed, NOW + timedelta(hours=23))
    lapsed = rules.lapse_proposal(proposed, NOW + timedelta(days=1))
    assert (lapsed.claims, lapsed.proposal) == (accepted.claims, None)
    assert lapsed.outbox[-1].kind is EventKind.BOOKING_TIME_LAPSED
    assert set(lapsed.outbox[-1].recipients) == {accepted.user_id, accepted.pandit_user_id}
    with pytest.raises(IllegalTransition):
        rules.lapse_proposal(lapsed, NOW + timedelta(days=2))


def test_a_proposed_time_is_let_go_when_it_is_declined_or_the_puja_begins() -> None:
    accepted = in_state(Status.ACCEPTED)
    proposed = propose(accepted, CUSTOMER)
    assert rules.decline_time(proposed, PANDIT, NOW).claims == accepted.claims
    begun = rules.start(proposed, PANDIT, accepted.starts_at, 60)
    assert (begun.claims, begun.proposal) == (accepted.claims, None)
    assert rules.cancel(proposed, CUSTOMER, NOW, "").claims == ()


def test_a_counter_proposal_takes_the_place_of_the_first_and_holds_its_own_time_alone() -> None:
    accepted = in_state(Status.ACCEPTED)
    span = span_of(accepted.starts_at + timedelta(hours=1), 120, 30)
    countered = rules.propose_time(
        propose(accepted, CUSTOMER),
        PANDIT,
        NOW,
        day=accepted.booking_date,
        at=time(11),
        span=span,
        answer_within=timedelta(days=30),
    )
    assert countered.proposal is not None
    assert countered.proposal.by == PANDIT.user_id
    assert countered.proposal.answer_by == accepted.starts_at, "nobody waits beyond the beginning"
    assert set(countered.claims) == {*accepted.claims, *span.claims}
    assert rules.decline_time(countered, CUSTOMER, NOW).claims == accepted.claims


def test_an_accepted_booking_moves_only_with_the_other_sides_consent() -> None:
    day, at = date(2026, 11, 26), time(9)
    span = span_of(datetime(2026, 11, 26, 3, 15, tzinfo=UTC), 120, 30)
    accepted = in_state(Status.ACCEPTED)
    with pytest.raises(Forbidden):
        rules.move_time(accepted, CUSTOMER, NOW, day=day, at=at, span=span, within=WITHIN)
    proposed = propose(accepted, CUSTOMER)
    assert set(proposed.claims) == {*accepted.claims, *span.claims}, "both times are held"
    with pytest.raises(Forbidden):
        rules.move_time(proposed, CUSTOMER, NOW, day=day, at=at, span=span, within=WITHIN)
    moved = rules.move_time(proposed, PANDIT, NOW, day=day, at=at, span=span, within=WITHIN)
    assert (moved.booking_date, moved.claims, moved.proposal) == (day, span.claims, None)
    assert moved.total_fee == accepted.total_fee


@pytest.mark.parametrize(
    ("proposer", "other"), [(CUSTOMER, PANDIT), (PANDIT, CUSTOMER)], ids=["customer", "pandit"]
)
def test_a_proposal_and_its_refusal_are_told_to_the_other_side(
    proposer: Actor, other: Actor
) -> None:
    proposed = propose(in_state(Status.ACCEPTED), proposer)
    again = propose(proposed, proposer, NOW + timedelta(minutes=1))
    assert again is proposed, "the same wish is not told again"
    declined = rules.decline_time(proposed, other, NOW)
    withdrawn = rules.decline_time(proposed, proposer, NOW)
    for booking, kind, told in (
        (proposed, EventKind.BOOKING_TIME_PROPOSED, other),
        (declined, EventKind.BOOKING_TIME_DECLINED, proposer),
        (withdrawn, EventKind.BOOKING_TIME_DECLINED, other),
    ):
        event = booking.outbox[-1]
        assert (event.kind, event.recipients) == (kind, (told.user_id,))
        assert event.params["starts_at"] == STARTS_AT.isoformat()
        assert event.params["proposed_at"] == "2026-11-26T03:15:00+00:00"
    assert rules.decline_time(proposed, ADMIN, NOW).outbox[-1].recipients == (
        "customer",
        "pandit-user",
    )
    with pytest.raises(IllegalTransition):
        rules.decline_time(declined, other, NOW)


def test_required_and_essential_items_stay() -> None:
    lines = tuple(make_line(kind, type=kind) for kind in SamagriType)
    found = rules.with_samagri(make_booking(), lines, (), NOW)
    for kind in (SamagriType.REQUIRED, SamagriType.ESSENTIAL):
        with pytest.raises(ItemRequired):
            rules.without_line(found, kind, NOW)
    without = rules.without_line(found, SamagriType.OPTIONAL, NOW)
    assert without.samagri_declined == (SamagriType.OPTIONAL,)
    assert without.total_fee == without.service_fee + without.samagri_fee
    with pytest.raises(NotFound):
        rules.without_line(without, SamagriType.OPTIONAL, NOW)


def test_what_the_customer_put_there_himself_and_took_off_is_told_apart() -> None:
    own = make_line("incense", source="customer", auto_added=False, user_added=True)
    ready = make_line("mala", source="template", auto_added=False)
    found = rules.with_samagri(make_booking(), (make_line("haldi"), own, ready), (), NOW)
    for item_id in ("haldi", "incense", "mala"):
        found = rules.without_line(found, item_id, NOW)
    assert found.samagri_declined == ("haldi", "incense", "mala"), "none comes back by itself"
    assert found.samagri_own_declined == ("incense", "mala")
    assert rules.refused_items(found) == ("haldi",)
    again = rules.with_samagri(found, (own,), ("haldi", "mala"), NOW)
    assert again.samagri_own_declined == ("mala",)


def test_a_new_quantity_is_priced_at_the_frozen_price() -> None:
    found = rules.with_samagri(make_booking(), (make_line("haldi"),), (), NOW)
    assert found.samagri_fee == 5_000
    grown = rules.with_quantity(found, "haldi", Decimal("0.25"), Unit.KG, NOW)
    assert grown.samagri[0].price_at_booking == grown.samagri_fee == 12_500


@pytest.mark.parametrize(
    ("quantity", "unit", "code"),
    [
        ("0", Unit.G, "range"),
        ("-1", Unit.G, "range"),
        ("10001", Unit.G, "range"),
        ("1", Unit.GARLAND, "unit"),
        ("1", Unit.ML, "unit"),
        ("0.1234", Unit.KG, "type"),
    ],
)
def test_a_quantity_that_makes_no_sense_is_refused(quantity: str, unit: Unit, code: str) -> None:
    found = rules.with_samagri(make_booking(), (make_line("haldi"),), (), NOW)
    with pytest.raises(Invalid) as caught:
        rules.with_quantity(found, "haldi", Decimal(quantity), unit, NOW)
    assert caught.value.faults[0].code == code


@pytest.mark.parametrize("kind", [SamagriType.REQUIRED, SamagriType.ESSENTIAL])
def test_what_the_puja_needs_is_not_made_less(kind: SamagriType) -> None:
    line = make_line("haldi", type=kind, suggested_quantity=Decimal("0.1"))
    found = rules.with_samagri(make_booking(), (line,), (), NOW)
    assert line.min_quantity == 100
    for quantity, unit in (("0.001", Unit.G), ("99.999", Unit.G), ("0.099", Unit.KG)):
        with pytest.raises(Invalid) as caught:
            rules.with_quantity(found, "haldi", Decimal(quantity), unit, NOW)
        (fault,) = caught.value.faults
        assert (fault.field, fault.code) == ("quantity", "less-than-needed")
    more = rules.with_quantity(found, "haldi", Decimal("0.2"), Unit.KG, NOW)
    assert more.samagri[0].min_quantity == Decimal("0.1")
    back = rules.with_quantity(more, "haldi", Decimal(100), Unit.G, NOW)
    assert back.samagri_fee == found.samagri_fee


def test_an_optional_item_may_be_made_less() -> None:
    line = make_line("haldi", suggested_quantity=Decimal("0.1"))
    found = rules.with_samagri(make_booking(), (line,), (), NOW)
    assert line.min_quantity is None
    less = rules.with_quantity(found, "haldi", Decimal(10), Unit.G, NOW)
    assert less.samagri_fee == 500


@given(st.lists(st.integers(0, 10_000_000), max_size=12), st.integers(0, 100_000_000))
def test_the_total_is_always_the_sum_of_its_parts(prices: list[int], service_fee: int) -> None:
    lines = tuple(
        replace(make_line(str(place)), price_at_booking=price) for place, price in enumerate(prices)
    )
    found = rules.with_samagri(replace(make_booking(), service_fee=service_fee), lines, (), NOW)
    assert found.samagri_fee == sum(prices)
    assert found.total_fee == service_fee + sum(prices)


def paid_state(booking: Booking) -> PaymentState:
    return PaymentState(
        version=booking.payment_version + 1,
        status=PaymentStatus.COMPLETED,
        method=PaymentMethod.WALLET,
        refunded=0,
        is_open=False,
        is_captured=True,
        amount=booking.total_fee,
    )


def told_to(booking: Booking, user_id: str) -> list[EventKind]:
    return [event.kind for event in booking.outbox if user_id in event.recipients]


def test_a_pandit_who_was_asked_hears_the_end_of_it_and_no_other() -> None:
    lapsed = rules.lapse(ASKED, NOW + WITHIN)
    assert told_to(lapsed, "pandit-user")[-1] is EventKind.BOOKING_PASSED_ON
    assert lapsed.outbox[-1].params["reason"] == lapsed.history[-1].reason == "no-answer"
    failed = rules.fail(lapsed, NOW, "no-pandit-left")
    assert failed.outbox[-1].recipients == (CUSTOMER.user_id,), "he has heard of it already"
    declined = rules.decline(ASKED, PANDIT, NOW, "")
    assert told_to(declined, "pandit-user") == told_to(ASKED, "pandit-user")
    unpaid = rules.fail_unpaid(at_the_till(ASKED), NOW + timedelta(minutes=15))
    assert told_to(unpaid, "pandit-user")[-1] is EventKind.BOOKING_FAILED
    assert told_to(rules.fail_unpaid(HELD, NOW + timedelta(minutes=15)), "pandit-user") == []


@pytest.mark.parametrize("is_paid", [True, False])
@pytest.mark.parametrize("was_asked", [True, False])
def test_what_was_held_waits_for_nobody_when_its_pandit_cannot_be_asked(
    is_paid: bool, was_asked: bool
) -> None:
    booking = at_the_till(ASKED) if was_asked else HELD
    if is_paid:
        freed = rules.with_payment(booking, paid_state(booking), NOW, None)
        assert rules.with_payment(freed, paid_state(booking), NOW, None) is freed
    else:
        freed = rules.begin_payment(
            booking, CUSTOMER, PaymentMethod.CASH, NOW, hold=WITHIN, answer_by=None
        )
    assert (freed.pay_by, freed.answer_by, rules.asked_at(freed)) == (None, NOW, None)
    news = [EventKind.BOOKING_CREATED, EventKind.BOOKING_PASSED_ON] if was_asked else []
    lapsed = rules.lapse(freed, NOW)
    assert told_to(freed, "pandit-user") == told_to(lapsed, "pandit-user") == news
    assert (lapsed.rejected_by, lapsed.claims) == (("pandit",), ())
    assert lapsed.history[-1].reason == "not-available"


def test_an_offer_is_taken_back_from_the_one_who_is_asked_and_only_while_he_is() -> None:
    taken = rules.take_offer_back(ASKED, "pandit", NOW)
    assert taken.rejected_by == ("pandit",)
    assert told_to(taken, "pandit-user")[-1] is EventKind.BOOKING_PASSED_ON
    accepted = rules.accept(ASKED, PANDIT, NOW)
    for booking, pandit in ((ASKED, "other"), (taken, "pandit"), (HELD, "pandit")):
        with pytest.raises(IllegalTransition):
            rules.take_offer_back(booking, pandit, NOW)
    with pytest.raises(IllegalTransition):
        rules.take_offer_back(accepted, "pandit", NOW)


def test_a_request_is_taken_back_by_its_customer_once_one_has_said_no() -> None:
    once_refused = replace(ASKED, rejected_by=("first",))
    taken = rules.take_request_back(once_refused, CUSTOMER, NOW)
    assert (taken.status, taken.claims) == (Status.PENDING, ())
    assert taken.rejected_by == ("first", "pandit")
    assert told_to(taken, "pandit-user")[-1] is EventKind.BOOKING_PASSED_ON
    assert told_to(taken, CUSTOMER.user_id) == told_to(ASKED, CUSTOMER.user_id)
    with pytest.raises(IllegalTransition):
        rules.take_request_back(ASKED, CUSTOMER, NOW)
    for other in (PANDIT, OTHER_PANDIT, ADMIN):
        with pytest.raises(Forbidden):
            rules.take_request_back(once_refused, other, NOW)
    with pytest.raises(PaymentDue):
        rules.take_request_back(at_the_till(once_refused), CUSTOMER, NOW)
    with pytest.raises(IllegalTransition):
        rules.take_request_back(rules.accept(once_refused, PANDIT, NOW), CUSTOMER, NOW)


class Life(RuleBasedStateMachine):
    """Any sequence of attempts by anybody leaves a booking that keeps the rules."""

    def __init__(self) -> None:
        super().__init__()
        self.booking = ASKED
        self.now = NOW

    @initialize(is_prepaid=st.booleans())
    def begin(self, is_prepaid: bool) -> None:
        self.booking = HELD if is_prepaid else ASKED

    def attempt(self, move: object) -> None:
        before = self.booking
        try:
            self.booking = move(before)  # type: ignore[operator]  # any of the lambdas below
        except DomainError:
            assert self.booking is before, "a refused move changes nothing"
        else:
            self.booking = replace(self.booking, version=before.version + 1)

    def paid(self, found: Booking, answer_by: datetime | None) -> Booking:
        return rules.with_payment(found, paid_state(found), self.now, answer_by)

    def paying(self, found: Booking, method: PaymentMethod, answer_by: datetime | None) -> Booking:
        hold = timedelta(minutes=15)
        return rules.begin_payment(
            found, CUSTOMER, method, self.now, hold=hold, answer_by=answer_by
        )

    @rule(minutes=st.integers(0, 60 * 24 * 2))
    def time_passes(self, minutes: int) -> None:
        self.now += timedelta(minutes=minutes)

    @rule(
        who=st.sampled_from([CUSTOMER, PANDIT, OTHER_PANDIT, ADMIN]),
        which=st.sampled_from(
            [
                "accept",
                "start",
                "complete",
                "cancel",
                "decline",
                "lapse",
                "fail",
                "fail unpaid",
                "take back",
                "choose another",
                "pay",
                "pay in cash",
                "pay, and the pandit is gone",
                "pay in cash, and the pandit is gone",
                "begin to pay",
            ]
        ),
    )
    def somebody_tries(self, who: Actor, which: str) -> None:
        moves = {
            "accept": lambda found: rules.accept(found, who, self.now),
            "start": lambda found: rules.start(found, who, self.now, 60),
            "complete": lambda found: rules.complete(found, who, self.now),
            "cancel": lambda found: rules.cancel(found, who, self.now, ""),
            "decline": lambda found: rules.decline(found, who, self.now, ""),
            "lapse": lambda found: rules.lapse(found, self.now),
            "fail": lambda found: rules.fail(found, self.now, ""),
            "fail unpaid": lambda found: rules.fail_unpaid(found, self.now),
            "take back": lambda found: rules.take_offer_back(found, "pandit", self.now),
            "choose another": lambda found: rules.take_request_back(found, who, self.now),
            "pay": lambda found: self.paid(found, self.now + WITHIN),
            "pay, and the pandit is gone": lambda found: self.paid(found, None),
            "begin to pay": lambda found: self.paying(found, PaymentMethod.WALLET, None),
            "pay in cash": lambda found: self.paying(found, PaymentMethod.CASH, self.now + WITHIN),
            "pay in cash, and the pandit is gone": lambda found: self.paying(
                found, PaymentMethod.CASH, None
            ),
        }
        self.attempt(moves[which])

    @precondition(
        lambda self: self.booking.status in (Status.COMPLETED, Status.CANCELLED, Status.FAILED)
    )
    @rule()
    def final_states_stay(self) -> None:
        before = self.booking.status
        for who in (CUSTOMER, PANDIT, ADMIN):
            self.somebody_tries(who, "accept")
            self.somebody_tries(who, "cancel")
        assert self.booking.status is before

    @invariant()
    def only_living_bookings_hold_time(self) -> None:
        if self.booking.status not in OCCUPYING:
            assert self.booking.claims == ()

    @invariant()
    def the_history_is_a_chain_that_ends_in_the_present(self) -> None:
        states = [move.to_status for move in self.booking.history]
        froms = [move.from_status for move in self.booking.history]
        assert froms[1:] == states[:-1]
        assert states[-1] is self.booking.status

    @invariant()
    def whoever_was_asked_is_told_and_hears_what_he_has_not_done_himself(self) -> None:
        told = told_to(self.booking, "pandit-user")
        assert bool(told) is bool(self.booking.offers), "nobody else hears of it"
        if self.booking.offers and self.booking.offers[-1].answer in (
            Answer.LAPSED,
            Answer.WITHDRAWN,
        ):
            assert set(told) & {
                EventKind.BOOKING_PASSED_ON,
                EventKind.BOOKING_FAILED,
                EventKind.BOOKING_CANCELLED,
            }

    @invariant()
    def every_event_has_an_id_of_its_own(self) -> None:
        ids = [event.id for event in self.booking.outbox]
        assert len(ids) == len(set(ids))


TestLife = Life.TestCase


def test_lines_know_what_may_be_removed() -> None:
    line: SamagriLine = make_line("haldi", type=SamagriType.ESSENTIAL)
    assert line.is_required
    assert not line.can_remove


def test_a_booking_passed_on_by_another_process_gives_the_next_pandit_his_time() -> None:
    offered = replace(in_state(Status.PENDING), answer_by=NOW + timedelta(hours=12))
    with pytest.raises(IllegalTransition):
        rules.lapse(offered, NOW)
    late = rules.lapse(offered, NOW + timedelta(hours=12))
    assert late.rejected_by == ("pandit",)


def test_a_booking_that_is_being_paid_is_not_passed_on_for_silence() -> None:
    overdue = replace(in_state(Status.PENDING), answer_by=NOW)
    assert rules.lapse(overdue, NOW).rejected_by == (overdue.pandit_id,)
    at_the_till = replace(overdue, answer_by=None, pay_by=NOW + timedelta(minutes=15))
    with pytest.raises(IllegalTransition):
        rules.lapse(at_the_till, NOW)


@pytest.mark.parametrize(
    ("ahead", "wait"),
    [(48, 12), (26, 12), (24, 11), (10, 4), (3, 0.5), (2.5, 0.25), (2, 0.25), (0.4, 0.2)],
)
def test_an_answer_is_waited_for_half_of_the_time_before_the_usual_notice_at_most(
    ahead: float, wait: float
) -> None:
    until = rules.answer_time(NOW, NOW + timedelta(hours=ahead), timedelta(hours=12))
    assert until == NOW + timedelta(hours=wait)


SPANS_OF_TIME = st.timedeltas(timedelta(minutes=1), timedelta(days=20))


@given(SPANS_OF_TIME, SPANS_OF_TIME, st.timedeltas(timedelta(minutes=6), timedelta(days=2)))
def test_whoever_is_asked_has_time_and_leaves_some(
    ahead: timedelta, later: timedelta, within: timedelta
) -> None:
    starts_at = NOW + ahead
    until = rules.answer_time(NOW, starts_at, within)
    assert NOW < until < starts_at
    notice_at = starts_at - rules.USUAL_NOTICE
    if notice_at - NOW > rules.LEAST_TO_ANSWER:
        assert until <= notice_at, "the next one can still be asked"
    # So nobody gains or loses by being looked at again, unless the puja comes nearer.
    assert rules.answer_time(NOW + min(later, ahead), starts_at, within) >= until


def moved_to(booking: Booking, span: Span, at: datetime = NOW) -> Booking:
    return rules.move_time(
        booking,
        CUSTOMER,
        at,
        day=span.starts_at.date(),
        at=time(10),
        span=span,
        within=WITHIN,
    )


def test_a_request_that_is_moved_nearer_leaves_time_for_the_next_pandit() -> None:
    booking = replace(in_state(Status.PENDING), answer_by=NOW + timedelta(hours=12))
    sooner, later = (span_of(NOW + timedelta(hours=hours), 120, 30) for hours in (6, 400))
    moved = moved_to(booking, sooner)
    assert moved.answer_by == NOW + timedelta(hours=2)
    again = moved_to(moved, sooner, NOW + timedelta(hours=1))
    assert again.answer_by == moved.answer_by, "the same time again changes nothing"
    assert moved_to(booking, later).answer_by == booking.answer_by, "nobody has more than he had"


def at_the_till(before: Booking) -> Booking:
    return rules.begin_payment(
        before, CUSTOMER, PaymentMethod.KHALTI, NOW, hold=timedelta(minutes=15), answer_by=NOW
    )


def taken_back(booking: Booking, before: Booking, *, is_open: bool = False) -> Booking:
    return rules.take_payment_back(
        booking, before, PaymentMethod.KHALTI, NOW, is_open=is_open, within=WITHIN
    )


def test_a_payment_that_was_not_begun_gives_the_pandit_back_his_time_to_answer() -> None:
    before = rules.placed(replace(make_booking(), answer_by=NOW + timedelta(hours=12)), NOW)
    paying = at_the_till(before)
    assert (paying.answer_by, paying.payment_open) == (None, True)
    assert taken_back(paying, before) == before
    sooner = span_of(NOW + timedelta(hours=3), 120, 30)
    moved = moved_to(paying, sooner)
    assert moved.answer_by is None
    assert taken_back(moved, before).answer_by == NOW + timedelta(minutes=30)


def test_a_payment_that_was_not_begun_gives_nothing_back_to_a_pandit_who_has_left() -> None:
    paying = at_the_till(ASKED)
    freed = rules.take_payment_back(
        paying, ASKED, PaymentMethod.KHALTI, NOW, is_open=False, within=None
    )
    assert (freed.pay_by, freed.answer_by, rules.asked_at(freed)) == (None, NOW, None)
    assert (freed.payment_method, freed.payment_open) == (PaymentMethod.CASH, False)
    assert told_to(freed, "pandit-user")[-1] is EventKind.BOOKING_PASSED_ON
    assert rules.lapse(freed, NOW).rejected_by == ("pandit",)


def test_what_went_on_meanwhile_is_not_taken_back() -> None:
    before = rules.placed(replace(make_booking(), answer_by=NOW + timedelta(hours=12)), NOW)
    paying = at_the_till(before)
    # Another try of the same customer, by this method or by another one, is under way.
    assert taken_back(paying, before, is_open=True) is paying
    other = replace(paying, payment_method=PaymentMethod.ESEWA)
    assert taken_back(other, before, is_open=True) is other
    paid = replace(paying, payment_status=PaymentStatus.COMPLETED, pay_by=None)
    assert taken_back(paid, before) is paid
    # It was to be paid in advance before this try: its time to pay goes on.
    held = at_the_till(paying)
    assert taken_back(held, paying) == replace(held, payment_open=False)
    ended = rules.cancel(paying, CUSTOMER, NOW, "")
    assert taken_back(ended, before).status is Status.CANCELLED


def test_a_pandit_who_was_asked_hears_of_what_is_done_while_it_is_being_paid() -> None:
    before = rules.placed(replace(make_booking(), answer_by=NOW + timedelta(hours=12)), NOW)
    told = rules.cancel(at_the_till(before), CUSTOMER, NOW, "").outbox[-1]
    assert told.recipients == (PANDIT.user_id,)
    unasked = rules.placed(replace(make_booking(), pay_by=NOW + timedelta(minutes=15)), NOW)
    assert rules.cancel(unasked, CUSTOMER, NOW, "").outbox[-1].recipients == ()
