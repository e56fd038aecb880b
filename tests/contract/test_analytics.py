"""Figures agree with a plain recount of the same bookings and payments, and with the ledger."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime, timedelta
from itertools import pairwise
from statistics import median
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from server.domain import booking as rules
from server.domain import ledger, refunds
from server.domain import payment_rules as paying
from server.domain.account import Actor, Place, Role
from server.domain.analytics import (
    Income,
    MonthCalendar,
    Period,
    Step,
    answers_of,
    held_of,
    income_of,
    ranked,
)
from server.domain.booking import Answer, Booking, BookingStatus, PaymentMethod, PaymentStatus
from server.domain.calendar import span_of
from server.domain.errors import Invalid
from server.domain.events import EventKind
from server.domain.gateway import Outcome, RefundAnswer, RefundState, Verdict
from server.domain.ledger import Chain, EntryKind, LedgerEntry, Posting
from server.domain.payment import PAID, Closing, Payment
from server.services.analytics import months_of
from server.services.ledger import LedgerService
from server.services.visits import VisitMeter
from server.store.analytics import MongoAnalyticsRepository
from server.store.bookings import booking_document
from server.store.client import Store
from server.store.ledger import MongoLedgerRepository, entry_document
from server.store.payments import payment_document
from server.store.reviews import COLLECTION as REVIEWS
from server.store.visits import MongoVisitRepository
from tests.factories import make_booking, make_payment
from tests.support import FakeClock

ZONE = ZoneInfo("Asia/Kathmandu")
PERIOD = Period(date(2026, 11, 1), date(2026, 11, 30))
CUSTOMER = Actor(user_id="customer", role=Role.USER, session_id="", full_name="Sita Sharma")
FIRST = Actor(user_id="pandit-user", role=Role.PANDIT, session_id="", full_name="Ram Acharya")
SECOND = replace(FIRST, user_id="second-user", full_name="Hari Joshi")
CITIES = ("Kathmandu", "kathmandu ", "Lalitpur", "")
PUJAS = ("satyanarayan-puja", "rudri-puja", "pasni")


@dataclass(frozen=True)
class Story:
    """What becomes of one booking. ``minute`` is when it is placed, from the period's first."""

    minute: int
    method: PaymentMethod
    fee: int
    puja: int
    city: int
    end: str
    answer_minutes: int
    refund: int


stories = st.builds(
    Story,
    # From two days before the period to two days after it, often just beside a midnight of Nepal.
    minute=st.one_of(
        st.integers(-2 * 1440, 32 * 1440),
        st.builds(lambda day, near: day * 1440 + near, st.integers(0, 30), st.integers(-1, 1)),
    ),
    method=st.sampled_from([PaymentMethod.CASH, PaymentMethod.KHALTI, PaymentMethod.ESEWA]),
    fee=st.integers(1, 9_999_999),
    puja=st.integers(0, 2),
    city=st.integers(0, 3),
    end=st.sampled_from(
        ["waiting", "unpaid", "declined", "lapsed", "accepted", "held", "called-off", "refunded"]
    ),
    answer_minutes=st.integers(1, 300),
    refund=st.integers(1, 100),
)


@dataclass
class World:
    """All that was made, as objects: what the recount counts."""

    bookings: list[Booking] = field(default_factory=list)
    payments: list[Payment] = field(default_factory=list)
    entries: list[LedgerEntry] = field(default_factory=list)

    def live(self, number: int, story: Story) -> None:
        """Lead one booking and its payment through their lives by the domain's own rules."""
        now = PERIOD.starts_at + timedelta(minutes=story.minute)
        span = span_of(now + timedelta(days=1), 120, 30)
        is_cash = story.method is PaymentMethod.CASH
        booking = make_booking(
            id=f"b{number}",
            puja_id=PUJAS[story.puja],
            location=Place(city=CITIES[story.city]),
            service_fee=story.fee,
            total_fee=story.fee,
            commission_amount=rules.commission_of(story.fee, 1000),
            payment_method=story.method,
            booking_date=span.starts_at.astimezone(ZONE).date(),
            starts_at=span.starts_at,
            ends_at=span.ends_at,
            claims=(),
            pay_by=None if is_cash else now + timedelta(minutes=15),
            answer_by=now + timedelta(hours=6),
            created_at=now,
            updated_at=now,
        )
        booking = rules.placed(booking, now)
        payment = paying.with_attempt(
            make_payment(
                id=f"b-b{number}",
                booking_id=booking.id,
                amount=story.fee,
                attempts=(),
                created_at=now,
                updated_at=now,
            ),
            reference=f"R{number}",
            method=story.method,
            now=now,
        )
        if story.end == "unpaid" and not is_cash:
            now += timedelta(minutes=15)
            payment = paying.given_up(payment, 1, "expired", now)
            self.keep(rules.fail_unpaid(booking, now), payment)
            return
        if not is_cash:
            now += timedelta(minutes=1)
            verdict = Verdict(outcome=Outcome.PAID, amount=story.fee, currency="NPR")
            payment = paying.judged(payment, 1, verdict, now, "test")
            booking = replace(
                booking,
                payment_status=PaymentStatus.COMPLETED,
                answer_by=now + timedelta(hours=6),
            )
            booking = rules._offered_at_last(booking, now, now + timedelta(hours=6))
        self.answer(booking, payment, story, now)

    def answer(self, booking: Booking, payment: Payment, story: Story, now: datetime) -> None:
        now += timedelta(minutes=story.answer_minutes)
        who = FIRST
        if story.end in ("declined", "lapsed"):
            if story.end == "declined":
                booking = rules.decline(booking, FIRST, now, "away")
            else:
                now += timedelta(hours=6)
                booking = rules.lapse(booking, now)
            booking = rules.reoffer(
                booking,
                pandit_id="second",
                pandit_user_id=SECOND.user_id,
                pandit_name=SECOND.full_name,
                pandit_name_ne="",
                pandit_phone="",
                distance_km=None,
                service_id="service-2",
                span=span_of(booking.starts_at, 120, 30),
                answer_by=now + timedelta(hours=6),
                now=now,
            )
            booking = replace(booking, claims=())
            payment = paying.for_pandit(payment, "second", SECOND.user_id)
            who = SECOND
            now += timedelta(minutes=3)
        if story.end in ("waiting", "unpaid"):
            self.keep(booking, payment)
            return
        booking = rules.accept(booking, who, now)
        if story.end == "called-off":
            booking = rules.cancel(booking, who, now, "ill")
            closing = Closing(at=now, reason="cancelled", share=7_000)
            self.keep(booking, self.settled(refunds.closed(payment, closing, now), now))
            return
        if story.end == "accepted":
            self.keep(booking, payment)
            return
        now = booking.starts_at
        booking = rules.complete(rules.start(booking, who, now, 0), who, now)
        if payment.captured is None:
            payment = paying.cash_collected(payment, 1, story.fee, who.user_id, now)
        payment = paying.earned(payment, booking.commission_amount, who.user_id, now)
        if story.end == "refunded":
            back = max(1, story.fee * story.refund // 100)
            payment = refunds.refund_asked(payment, 1, back, reason="sorry", by="admin", now=now)
            payment = self.settled(payment, now)
        self.keep(booking, payment)

    def settled(self, payment: Payment, now: datetime) -> Payment:
        """Every refund is given back."""
        for attempt in payment.attempts:
            for refund in attempt.refunds:
                payment = refunds.refund_sent(payment, attempt.number, refund.id, now)
                done = RefundAnswer(state=RefundState.DONE)
                payment = refunds.refund_answered(payment, attempt.number, refund.id, done, now)
        return payment

    def keep(self, booking: Booking, payment: Payment) -> None:
        self.bookings.append(replace(booking, outbox=()))
        self.entries += [
            ledger.entry_of(event)
            for event in payment.outbox
            if event.kind is EventKind.MONEY_MOVED
        ]
        self.payments.append(replace(payment, outbox=()))

    async def write(self, store: Store) -> None:
        heads: dict[str, Chain] = {}
        numbered = []
        for entry in self.entries:
            numbered.append(ledger.chained(entry, heads.get(entry.owner or "")))
            if (chain := numbered[-1].chain) is not None:
                heads[chain.owner] = chain
        for name, documents in (
            ("bookings", [booking_document(each) for each in self.bookings]),
            ("payments", [payment_document(each) for each in self.payments]),
            ("ledger", [entry_document(each) for each in numbered]),
        ):
            if documents:
                assert await store.collection(name).insert_many(documents) == {}


def day_of(at: datetime) -> date:
    return at.astimezone(ZONE).date()


def in_period(day: date) -> bool:
    return PERIOD.first <= day <= PERIOD.last


def amounts(entries: list[LedgerEntry], kind: EntryKind | None = None) -> Iterator[Posting]:
    for entry in entries:
        if in_period(day_of(entry.at)) and kind in (None, entry.kind):
            yield from entry.postings


@settings(
    max_examples=25,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(told=st.lists(stories, min_size=1, max_size=12))
async def test_figures_agree_with_a_plain_recount_and_with_the_ledger_to_the_paisa(
    store: Store, told: list[Story]
) -> None:
    for name in ("bookings", "payments", "ledger"):
        await store.collection(name).delete_many({})
    world = World()
    for number, story in enumerate(told):
        world.live(number, story)
    await world.write(store)
    await agree(store, world)


async def agree(store: Store, world: World) -> None:
    figures = MongoAnalyticsRepository(store)
    placed = [each for each in world.bookings if in_period(day_of(each.created_at))]
    await agree_on_bookings(figures, placed)
    await agree_on_money(store, figures, world)
    await agree_on_pandits(figures, world)
    await agree_on_customers(figures, world)


async def agree_on_bookings(figures: MongoAnalyticsRepository, placed: list[Booking]) -> None:
    rows = await figures.placed(PERIOD)
    counted: Counter[tuple[Any, ...]] = Counter()
    values: Counter[date] = Counter()
    for row in rows:
        key = (row.day, row.status, row.is_offered, row.is_accepted, row.is_paid)
        counted[key] += row.count
        values[row.day] += row.value
    paid = (PaymentStatus.COMPLETED, PaymentStatus.REFUNDED)
    assert counted == Counter(
        (
            day_of(each.created_at),
            each.status,
            bool(each.offers),
            each.accepted_at is not None,
            each.payment_status in paid,
        )
        for each in placed
    )
    expected: Counter[date] = Counter()
    for each in placed:
        expected[day_of(each.created_at)] += each.total_fee
    assert values == expected
    for found, key_of in (
        (ranked(rows, lambda row: row.puja_id, lambda row: row.service_name, 10), puja_of),
        (ranked(rows, lambda row: row.city.lower(), lambda row: row.city, 10), town_of),
    ):
        groups: dict[str, list[Booking]] = defaultdict(list)
        for each in placed:
            groups[key_of(each)].append(each)
        assert [one.bookings for one in found] == sorted(
            (len(group) for group in groups.values()), reverse=True
        )
        for one in found:
            group = groups[one.key]
            assert one.bookings == len(group)
            assert one.completed == sum(each.status is BookingStatus.COMPLETED for each in group)
            assert one.value == sum(each.total_fee for each in group)
    if placed:
        assert len(ranked(rows, lambda row: row.puja_id, lambda row: row.city, 1)) == 1


def puja_of(booking: Booking) -> str:
    return booking.puja_id


def town_of(booking: Booking) -> str:
    return booking.location.city.strip().lower()


async def agree_on_money(store: Store, figures: MongoAnalyticsRepository, world: World) -> None:
    moved = await figures.moved(PERIOD)
    assert sum(move.amount for move in moved) == 0
    book = LedgerService(MongoLedgerRepository(store))
    last = PERIOD.ends_at - timedelta(milliseconds=1)
    trial = await book.trial_balance(PERIOD.starts_at, last)
    sums: Counter[tuple[str, str]] = Counter()
    for move in moved:
        sums[move.account, move.currency] += move.amount
    assert {key: value for key, value in sums.items() if value} == {
        key: value for key, value in trial.totals.items() if value
    }
    income = income_of(moved, PERIOD.first, PERIOD.last)
    assert income == Income(
        first=PERIOD.first,
        last=PERIOD.last,
        turnover=sum(
            posting.amount
            for posting in amounts(world.entries, EntryKind.EARNING)
            if posting.account.startswith("customer:")
        ),
        commission=-account_sum(world, ledger.COMMISSION),
        unlocks=0,
        kept=-account_sum(world, ledger.KEPT_INCOME),
        borne=account_sum(world, ledger.ADJUSTMENTS),
    )
    assert income.revenue == income.commission + income.kept - income.borne
    tries = {(row.method, row.currency): row for row in await figures.tried(PERIOD)}
    begun = [each for each in world.payments if in_period(day_of(each.created_at))]
    attempts = [attempt for each in begun for attempt in each.attempts]
    assert {method for method, _ in tries} == {attempt.method for attempt in attempts}
    for (method, _), row in tries.items():
        own = [attempt for attempt in attempts if attempt.method is method]
        won = [attempt for attempt in own if attempt.status in PAID]
        assert row.succeeded == len(won)
        assert row.failed == sum(each.status is PaymentStatus.FAILED for each in own)
        assert row.open == sum(each.is_open for each in own)
        assert row.amount == sum(each.amount for each in won)
        assert row.refunded == sum(each.refunded for each in won)


def account_sum(world: World, account: str) -> int:
    return sum(each.amount for each in amounts(world.entries) if each.account == account)


async def agree_on_pandits(figures: MongoAnalyticsRepository, world: World) -> None:
    for who in (FIRST, SECOND):
        offers = [
            offer
            for each in world.bookings
            if in_period(day_of(each.created_at))
            for offer in each.offers
            if offer.pandit_user_id == who.user_id
        ]
        found = answers_of(await figures.offers(who.user_id, PERIOD))
        for answer in Answer:
            assert getattr(found, answer.value) == sum(offer.answer is answer for offer in offers)
        times = [
            (offer.answered_at - offer.offered_at).total_seconds()
            for offer in offers
            if offer.answered_at and offer.answer in (Answer.ACCEPTED, Answer.DECLINED)
        ]
        assert found.response_seconds == (median(times) if times else None)
        held = held_of(await figures.outcomes(who.user_id, PERIOD, PERIOD.ends_at))
        begun = [
            each
            for each in world.bookings
            if each.pandit_user_id == who.user_id
            and each.accepted_at is not None
            and in_period(each.booking_date)
        ]
        assert held.completed == sum(each.status is BookingStatus.COMPLETED for each in begun)
        assert held.called_off_by_him == sum(
            each.status is BookingStatus.CANCELLED for each in begun
        )
        assert held.left_open == sum(
            each.status is BookingStatus.ACCEPTED and each.ends_at < PERIOD.ends_at
            for each in begun
        )
        earned = await figures.earned(who.user_id, PERIOD)
        his = (ledger.pandit(who.user_id), ledger.cash(who.user_id))
        assert sum(each.earned for each in earned) == -sum(
            posting.amount
            for posting in amounts(world.entries, EntryKind.EARNING)
            if posting.account in his
        )
        assert sum(each.in_cash for each in earned) == -sum(
            posting.amount
            for posting in amounts(world.entries, EntryKind.EARNING)
            if posting.account == ledger.cash(who.user_id)
        )


async def agree_on_customers(figures: MongoAnalyticsRepository, world: World) -> None:
    spent = await figures.spent(CUSTOMER.user_id, PERIOD)
    confirmed = [
        each
        for each in world.payments
        if each.confirmed_at is not None and in_period(day_of(each.confirmed_at))
    ]
    assert sum(each.paid for each in spent) == sum(each.amount for each in confirmed)
    assert sum(each.refunded for each in spent) == sum(each.refunded for each in confirmed)
    assert sum(each.paid for each in spent) == -sum(
        posting.amount
        for posting in amounts(world.entries, EntryKind.CAPTURE)
        if posting.account == ledger.customer(CUSTOMER.user_id)
    )
    pujas = {each.id: each.puja_id for each in world.bookings}
    assert Counter((each.paid_on, each.puja_id) for each in spent) == Counter(
        (day_of(each.confirmed_at), pujas[each.booking_id or ""])
        for each in confirmed
        if each.confirmed_at
    )
    statuses = await figures.statuses(CUSTOMER.user_id, PERIOD)
    assert statuses == Counter(
        each.status for each in world.bookings if in_period(each.booking_date)
    )


async def test_a_payout_is_told_on_its_day(store: Store) -> None:
    book = LedgerService(MongoLedgerRepository(store))
    at = PERIOD.starts_at
    owner, asked = ledger.pandit("p"), ledger.payouts("p")
    steps = (
        (EntryKind.EARNING, (Posting("customer:c", 1000), Posting(owner, -1000))),
        (EntryKind.PAYOUT_ASKED, ledger.two(owner, asked, 700)),
        (EntryKind.PAYOUT_PAID, ledger.two(asked, ledger.BANK, 700)),
    )
    for number, (kind, postings) in enumerate(steps):
        await book.record(
            LedgerEntry(
                cause=f"c{number}",
                kind=kind,
                at=at + timedelta(days=number),
                currency="NPR",
                postings=postings,
            )
        )
    rows = await MongoAnalyticsRepository(store).earned("p", PERIOD)
    assert [(row.day.day, row.earned, row.in_cash, row.paid_out) for row in rows] == [
        (1, 1000, 0, 0),
        (3, 0, 0, 700),
    ]
    before = Period(PERIOD.first - timedelta(days=9), PERIOD.first - timedelta(days=1))
    assert await MongoAnalyticsRepository(store).earned("p", before) == ()


async def test_ratings_are_told_by_day_and_only_those_that_are_published(store: Store) -> None:
    row = {"pandit_id": "p", "is_verified": True, "rating": 4}
    late = PERIOD.ends_at - timedelta(milliseconds=1)
    await store.collection(REVIEWS).insert_many(
        [
            {**row, "_id": "1", "booking_id": "1", "created_at": PERIOD.starts_at},
            {**row, "_id": "2", "booking_id": "2", "created_at": late, "rating": 5},
            {**row, "_id": "3", "booking_id": "3", "created_at": late, "rating": 2},
            {**row, "_id": "4", "booking_id": "4", "created_at": PERIOD.ends_at},
            {**row, "_id": "5", "booking_id": "5", "created_at": late, "is_verified": False},
            {**row, "_id": "6", "booking_id": "6", "created_at": late, "pandit_id": "other"},
        ]
    )
    found = await MongoAnalyticsRepository(store).rated("p", PERIOD)
    assert [(each.day, each.count, each.stars) for each in found] == [
        (PERIOD.first, 1, 4),
        (PERIOD.last, 2, 7),
    ]


async def test_visits_are_counted_by_the_day_of_nepal(store: Store) -> None:
    repository = MongoVisitRepository(store)
    clock = FakeClock(datetime(2026, 11, 22, 18, 14, tzinfo=UTC))
    meter = VisitMeter(repository, clock)
    meter.count(Step.SEARCHED)
    meter.count(Step.SEARCHED)
    clock.advance(minutes=1)
    meter.count(Step.VIEWED)
    await meter.flush()
    await meter.flush()
    meter.count(Step.SEARCHED)
    await meter.flush()
    day = date(2026, 11, 22)
    assert await repository.total(day, day) == {
        Step.SEARCHED: 2,
        Step.VIEWED: 0,
        Step.DRAFTED: 0,
    }
    both = await repository.total(day, day + timedelta(days=1))
    assert both == {Step.SEARCHED: 3, Step.VIEWED: 1, Step.DRAFTED: 0}
    assert await repository.total(date(2026, 1, 1), date(2026, 1, 2)) is None


@given(first=st.dates(date(1930, 1, 1), date(2090, 1, 1)), days=st.integers(1, 372))
def test_months_of_both_calendars_cover_every_day_once(first: date, days: int) -> None:
    period = Period(first, first + timedelta(days=days - 1))
    for calendar in MonthCalendar:
        months = months_of(period, calendar)
        assert months[0].first == period.first
        assert months[-1].last == period.last
        for before, after in pairwise(months):
            assert after.first == before.last + timedelta(days=1)
            assert (after.year, after.number) in (
                (before.year, before.number + 1),
                (before.year + 1, 1),
            )


@given(first=st.dates(date(1930, 1, 1), date(2090, 1, 1)), days=st.integers(1, 372))
def test_parts_of_a_period_are_its_days_in_order(first: date, days: int) -> None:
    period = Period(first, first + timedelta(days=days - 1))
    parts = [*period.parts()]
    assert sum(part.days for part in parts) == period.days
    assert (parts[0].first, parts[-1].last) == (period.first, period.last)
    for before, after in pairwise(parts):
        assert after.first == before.last + timedelta(days=1)
        assert after.first.day == 1


@pytest.mark.parametrize(
    ("first", "last"),
    [
        (date(2026, 2, 2), date(2026, 2, 1)),
        (date(2025, 1, 1), date(2026, 2, 1)),
        (date(1, 1, 1), date(1, 1, 2)),
        (date(9999, 12, 30), date(9999, 12, 31)),
    ],
)
def test_days_that_make_no_sense_are_refused(first: date, last: date) -> None:
    with pytest.raises(Invalid):
        Period(first, last)
