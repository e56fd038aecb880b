"""Days of a series, and what becomes of each."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, date, datetime, time, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from server.domain import booking as booking_rules
from server.domain import recurrence as rules
from server.domain.account import Actor, Place, Role
from server.domain.booking import BookingWish, PaymentMethod, PaymentStatus, ServiceLocation
from server.domain.errors import IllegalTransition, Invalid, NotFound
from server.domain.recurrence import (
    MOST,
    Frequency,
    Occurrence,
    OccurrenceState,
    RecurrenceRule,
    Series,
    days_of,
)
from tests.factories import make_booking

NOW = datetime(2026, 11, 22, 4, 15, tzinfo=UTC)
WISH = BookingWish(
    service_id="s1",
    booking_date=date(2026, 11, 25),
    booking_time=time(10),
    service_location=ServiceLocation.PANDIT_LOCATION,
    location=Place(),
    notes="",
    samagri_required=False,
)


def yearly(first: date, count: int) -> Sequence[date]:
    return [first.replace(year=first.year + number) for number in range(count)]


def series(count: int = 4) -> Series:
    days = days_of(
        RecurrenceRule(frequency=Frequency.WEEKLY, count=count), date(2026, 11, 25), yearly
    )
    return Series(
        id="x",
        user_id="sita",
        wish=WISH,
        frequency=Frequency.WEEKLY,
        occurrences=tuple(
            Occurrence(number=number, on=day, at=time(10)) for number, day in enumerate(days)
        ),
        created_at=NOW,
        updated_at=NOW,
    )


def test_a_month_without_that_day_has_it_on_its_last():
    found = days_of(
        RecurrenceRule(frequency=Frequency.MONTHLY, count=5), date(2027, 10, 31), yearly
    )
    assert [day.isoformat() for day in found] == [
        "2027-10-31",
        "2027-11-30",
        "2027-12-31",
        "2028-01-31",
        "2028-02-29",
    ]


@given(
    st.sampled_from([Frequency.WEEKLY, Frequency.FORTNIGHTLY, Frequency.MONTHLY]),
    st.dates(date(2000, 1, 1), date(2090, 1, 1)),
    st.integers(2, 24),
)
def test_a_series_begins_on_its_first_day_and_goes_forward(
    frequency: Frequency, first: date, count: int
):
    found = days_of(RecurrenceRule(frequency=frequency, count=count), first, yearly)
    assert len(found) == count
    assert found[0] == first
    assert list(found) == sorted(set(found))
    # Up to its last day, said as a day, it is the same series.
    again = days_of(RecurrenceRule(frequency=frequency, until=found[-1]), first, yearly)
    assert again == found


@pytest.mark.parametrize(
    "rule_",
    [
        RecurrenceRule(frequency=Frequency.WEEKLY),
        RecurrenceRule(frequency=Frequency.WEEKLY, count=3, until=date(2027, 1, 1)),
        RecurrenceRule(frequency=Frequency.WEEKLY, count=1),
        RecurrenceRule(frequency=Frequency.WEEKLY, count=53),
        RecurrenceRule(frequency=Frequency.YEARLY_TITHI, count=11),
        RecurrenceRule(frequency=Frequency.WEEKLY, until=date(2026, 11, 26)),
        RecurrenceRule(frequency=Frequency.WEEKLY, until=date(2040, 1, 1)),
    ],
)
def test_a_rule_that_makes_no_series_is_refused(rule_: RecurrenceRule):
    with pytest.raises(Invalid):
        days_of(rule_, date(2026, 11, 25), yearly)


def test_every_kind_has_its_limit():
    assert set(MOST) == set(Frequency)


def test_a_conflict_is_told_once():
    told = rules.conflicting(series(), 1, "slot-taken", NOW)
    again = rules.conflicting(told, 1, "slot-taken", NOW)
    assert [event.recipients for event in told.outbox] == [("sita",)]
    assert again.outbox == told.outbox


def test_a_booked_day_is_not_planned_anew():
    found = rules.booked(series(), 1, "b1", NOW)
    with pytest.raises(IllegalTransition):
        rules.moved(found, 1, date(2026, 12, 5), time(9), NOW)


def test_a_day_that_could_not_be_moved_is_as_it_was_unless_it_went_on_meanwhile():
    told = rules.conflicting(series(), 1, "slot-taken", NOW)
    before = rules.occurrence_of(told, 1)
    moved = rules.moved(told, 1, date(2026, 12, 5), time(9), NOW)
    day = rules.occurrence_of(moved, 1)
    assert rules.moved_back(moved, day, before, NOW).occurrences == told.occurrences
    refused_there = rules.conflicting(moved, 1, "slot-taken", NOW)
    assert rules.moved_back(refused_there, day, before, NOW).occurrences == told.occurrences
    for later in (
        rules.booked(moved, 1, "b1", NOW),
        rules.skipped(moved, 1, NOW),
        rules.moved(moved, 1, date(2026, 12, 6), time(9), NOW),
        rules.ended(moved, NOW),
    ):
        assert rules.moved_back(later, day, before, NOW) is later


def test_strangers_know_of_no_series():
    stranger = Actor(user_id="gita", role=Role.USER, session_id="s", full_name="Gita")
    with pytest.raises(NotFound):
        rules.require_owner(series(), stranger)
    with pytest.raises(NotFound):
        rules.occurrence_of(series(), 9)


class SeriesMachine(RuleBasedStateMachine):
    """Whatever happens in whatever order: nothing is lost, and what is settled stays settled."""

    def __init__(self) -> None:
        super().__init__()
        self.series = series(6)
        self.bookings: dict[int, str] = {}
        self.skipped: set[int] = set()

    def _do(self, apply: object, number: int) -> bool:
        try:
            self.series = rules.planned(apply(self.series), 60)  # type: ignore[operator]
        except IllegalTransition:
            return False
        return True

    @rule(number=st.integers(0, 5))
    def book(self, number: int) -> None:
        each = rules.occurrence_of(self.series, number)
        if each.state is OccurrenceState.PLANNED and self._do(
            lambda found: rules.booked(found, number, f"b{number}", NOW), number
        ):
            self.bookings[number] = f"b{number}"

    @rule(number=st.integers(0, 5))
    def conflict(self, number: int) -> None:
        if rules.occurrence_of(self.series, number).state is OccurrenceState.PLANNED:
            self._do(lambda found: rules.conflicting(found, number, "slot-taken", NOW), number)

    @rule(number=st.integers(0, 5), days=st.integers(1, 300))
    def move(self, number: int, days: int) -> None:
        before = rules.occurrence_of(self.series, number).state
        on = date(2026, 11, 25) + timedelta(days=days)
        done = self._do(lambda found: rules.moved(found, number, on, time(9), NOW), number)
        assert done == (
            before in (OccurrenceState.PLANNED, OccurrenceState.CONFLICT)
            and not self.series.is_ended
        )

    @rule(number=st.integers(0, 5))
    def skip(self, number: int) -> None:
        if self._do(lambda found: rules.skipped(found, number, NOW), number):
            self.skipped.add(number)

    @rule(days=st.integers(1, 30))
    def put_off(self, days: int) -> None:
        until = date(2026, 11, 25) + timedelta(days=days)
        self._do(lambda found: rules.put_off(found, until, NOW), 0)
        plan_on = self.series.plan_on
        assert plan_on is None or self.series.is_ended or plan_on >= until

    @rule()
    def end(self) -> None:
        self.series = rules.ended(self.series, NOW)

    @invariant()
    def every_day_is_there_once(self) -> None:
        assert [each.number for each in self.series.occurrences] == list(range(6))

    @invariant()
    def bookings_are_kept(self) -> None:
        for number, booking_id in self.bookings.items():
            assert rules.occurrence_of(self.series, number).booking_id == booking_id

    @invariant()
    def the_next_look_is_due_exactly_while_something_is_planned(self) -> None:
        has_plans = any(each.state is OccurrenceState.PLANNED for each in self.series.occurrences)
        assert (self.series.plan_on is not None) == has_plans or self.series.version == 1

    @invariant()
    def an_ended_series_plans_nothing(self) -> None:
        if self.series.is_ended:
            states = {each.state for each in self.series.occurrences}
            assert states <= {OccurrenceState.BOOKED, OccurrenceState.SKIPPED}


TestSeries = SeriesMachine.TestCase


def test_nothing_follows_a_first_booking_that_was_called_off_before_it_was_paid() -> None:
    customer = Actor(user_id="customer", role=Role.USER, session_id="s", full_name="Sita")
    in_cash = booking_rules.placed(make_booking(), NOW)
    unpaid = booking_rules.placed(
        replace(
            make_booking(), payment_method=PaymentMethod.WALLET, pay_by=NOW + timedelta(minutes=15)
        ),
        NOW,
    )
    assert not rules.is_abandoned(None)
    for alive in (in_cash, unpaid):
        assert not rules.is_abandoned(alive)
    assert rules.is_abandoned(booking_rules.cancel(unpaid, customer, NOW, ""))
    paid = replace(unpaid, payment_status=PaymentStatus.COMPLETED, pay_by=None)
    for known in (in_cash, paid):
        assert not rules.is_abandoned(booking_rules.cancel(known, customer, NOW, ""))


def test_a_first_booking_that_a_pandit_was_asked_for_was_meant_though_it_was_not_paid() -> None:
    customer = Actor(user_id="customer", role=Role.USER, session_id="s", full_name="Sita")
    in_cash = booking_rules.placed(make_booking(), NOW)
    hold = timedelta(minutes=15)
    online = booking_rules.begin_payment(
        in_cash, customer, PaymentMethod.KHALTI, NOW, hold=hold, answer_by=None
    )
    assert not rules.is_abandoned(booking_rules.fail_unpaid(online, NOW + hold))
    never_asked = replace(in_cash, offers=(), pay_by=NOW + hold)
    assert rules.is_abandoned(booking_rules.fail_unpaid(never_asked, NOW + hold))
