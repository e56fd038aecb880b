"""The demo town obeys the rules that the product itself obeys."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Collection
from datetime import UTC, date, datetime, timedelta
from itertools import pairwise
from statistics import fmean
from typing import cast

import pytest

from kundali.bikram_sambat import to_bs
from server.demo.bookings import DAYS_BACK, Materials
from server.demo.residents import (
    CUSTOMERS,
    DEMO_CUSTOMER_PHONE,
    DEMO_PANDIT_PHONE,
)
from server.demo.seasons import demand_on, moon_ages
from server.demo.town import Town, make_town
from server.domain.account import NEPAL, Role, normalise_phone
from server.domain.availability import availability_faults
from server.domain.booking import OCCUPYING, BookingStatus, PaymentStatus, commission_of
from server.domain.calendar import Refusal, check_bookable, local_today, span_of
from server.domain.catalogue import SamagriItem, check_quantity
from server.domain.events import EventKind
from server.domain.ledger import Chain
from server.domain.money import line_price
from server.domain.pandit import VerificationStatus
from server.domain.ports.catalogue import CatalogueRepository
from server.i18n import Translations
from server.paths import data_path
from server.services.samagri import RuleRecommender, SamagriAdder
from server.settings import BookingSettings
from server.store.catalogue_files import load_catalogue

NOW = datetime(2026, 11, 22, 4, 15, tzinfo=UTC)
CATALOGUE = load_catalogue(data_path("config") / "catalogue")
ITEMS = {item.id: item for item in CATALOGUE.items}
FINAL = {BookingStatus.COMPLETED, BookingStatus.CANCELLED, BookingStatus.FAILED}


class Shelf:
    """As much of a catalogue repository as adding samagri needs."""

    async def find_items(self, item_ids: Collection[str]) -> dict[str, SamagriItem]:
        return {item_id: ITEMS[item_id] for item_id in item_ids if item_id in ITEMS}


async def materials() -> Materials:
    translator, policy = Translations(data_path("locale")), BookingSettings()
    adder = SamagriAdder(
        [RuleRecommender()],
        cast("CatalogueRepository", Shelf()),
        translator,
        threshold=policy.samagri_threshold,
        add_optional=policy.add_optional_samagri,
    )
    return Materials(
        pujas=CATALOGUE.pujas,
        items=ITEMS,
        suggested={puja.id: await adder.lines_for(puja) for puja in CATALOGUE.pujas},
        adder=adder,
        policy=policy,
    )


async def build(*, now: datetime = NOW, seed: int = 1) -> Town:
    return make_town(
        await materials(),
        Translations(data_path("locale")),
        password_hash="$argon2id$",
        now=now,
        seed=seed,
    )


@pytest.fixture(scope="module")
async def town() -> Town:
    return await build()


async def test_same_seed_and_moment_give_the_same_town(town):
    assert await build() == town


async def test_another_seed_gives_another_town(town):
    other = await build(seed=2)
    assert other.bookings != town.bookings
    assert not {each.id for each in other.bookings} & {each.id for each in town.bookings}


@pytest.mark.parametrize(
    "now",
    [
        datetime(2026, 11, 20, 18, 30, tzinfo=UTC),  # after midnight of a Saturday in Nepal
        datetime(2027, 2, 28, 16, 30, tzinfo=UTC),  # late in the evening
    ],
)
async def test_accounts_of_the_demo_have_something_to_show_whenever_it_is_made(now):
    town = await build(now=now)
    by_phone = {user.phone_number: user for user in town.users}
    pandit, customer = by_phone[DEMO_PANDIT_PHONE], by_phone[DEMO_CUSTOMER_PHONE]
    today = local_today(now, NEPAL)
    waiting = [
        booking
        for booking in town.bookings
        if booking.pandit_user_id == pandit.id and booking.status is BookingStatus.PENDING
    ]
    soon = [each for each in waiting if each.booking_date <= today + timedelta(days=1)]
    assert len(soon) >= 2
    ahead = [
        booking
        for booking in town.bookings
        if booking.user_id == customer.id and booking.starts_at > now
    ]
    assert {BookingStatus.ACCEPTED, BookingStatus.PENDING} <= {each.status for each in ahead}
    rooms = {room.booking_id for room in town.rooms}
    assert all(each.id in rooms for each in ahead if each.status is BookingStatus.ACCEPTED)


def test_town_has_the_people_it_should_have(town):
    roles = Counter(user.role for user in town.users)
    assert roles == {Role.USER: CUSTOMERS, Role.PANDIT: 40, Role.ADMIN: 1}
    statuses = Counter(pandit.verification_status for pandit in town.pandits)
    assert statuses == {
        VerificationStatus.APPROVED: 37,
        VerificationStatus.PENDING: 2,
        VerificationStatus.REJECTED: 1,
    }
    assert len({pandit.location.city for pandit in town.pandits}) >= 10
    for field in ("id", "phone_number", "email", "username"):
        values = [value for user in town.users if (value := getattr(user, field)) is not None]
        assert len(values) == len(set(values)), field
    assert all(normalise_phone(user.phone_number) == user.phone_number for user in town.users)


def test_profiles_of_pandits_are_whole(town):
    users = {user.id: user for user in town.users}
    spoken = {language for pandit in town.pandits for language in pandit.languages}
    assert spoken == {"ne", "en", "hi", "new", "mai", "sa"}
    for pandit in town.pandits:
        assert pandit.phone_number == users[pandit.user_id].phone_number
        assert 3 <= len(pandit.services) <= 8
        assert pandit.expertise == tuple(service.puja_id for service in pandit.services)
        assert pandit.full_name_ne
        assert pandit.bio
        assert pandit.bio_ne
        assert "{" not in pandit.bio + pandit.bio_ne
        assert not availability_faults(pandit.availability, local_today(NOW, NEPAL))
        assert pandit.is_verified == (pandit.verified_date is not None)
        for service in pandit.services:
            assert service.duration_minutes % 15 == 0
            assert service.price > 0
            assert service.price % 50_00 == 0


def test_every_puja_can_be_booked_somewhere_at_differing_prices(town):
    prices = defaultdict(set)
    for pandit in town.pandits:
        for service in pandit.services:
            if pandit.is_bookable and service.is_available:
                prices[service.puja_id].add(service.price)
    # A pandit may have paused the only offer of a rare puja.
    assert len(prices) >= len(CATALOGUE.pujas) - 3
    assert len(prices["satyanarayan-puja"]) > 5


def test_fees_add_up(town):
    for booking in town.bookings:
        assert booking.samagri_fee == sum(line.price_at_booking for line in booking.samagri)
        assert booking.total_fee == booking.service_fee + booking.samagri_fee
        assert booking.commission_amount == commission_of(
            booking.service_fee, booking.commission_basis_points
        )


def test_samagri_is_what_the_rules_give_with_the_changes_of_customers(town):
    pujas = {puja.id: puja for puja in CATALOGUE.pujas}
    declined = added = 0
    for booking in town.bookings:
        lines = {line.item_id: line for line in booking.samagri}
        assert len(lines) == len(booking.samagri)
        if not booking.samagri_required:
            assert not lines
            continue
        for need in pujas[booking.puja_id].requirements:
            assert need.item_id in lines or (
                need.type.can_remove and need.item_id in booking.samagri_declined
            )
        for line in booking.samagri:
            check_quantity(line.quantity, line.unit, line.base_unit)
            assert line.price_at_booking == line_price(
                line.quantity,
                line.unit,
                base_price=ITEMS[line.item_id].price,
                base_quantity=ITEMS[line.item_id].base_quantity,
                base_unit=ITEMS[line.item_id].base_unit,
            )
        declined += len(booking.samagri_declined)
        added += sum(line.user_added for line in booking.samagri)
    assert declined > 100
    assert added > 100


def test_no_pandit_is_in_two_places_at_once(town):
    held = Counter(
        (booking.pandit_id, claim) for booking in town.bookings for claim in booking.claims
    )
    assert held
    assert max(held.values()) == 1
    busy = defaultdict(list)
    for booking in town.bookings:
        if booking.status is BookingStatus.COMPLETED:
            busy[booking.pandit_id].append((booking.starts_at, booking.ends_at))
    for spans in busy.values():
        for (_, ends_at), (starts_at, _) in pairwise(sorted(spans)):
            assert ends_at <= starts_at


def test_claims_and_times_are_those_the_server_would_give(town):
    pandits = {pandit.id: pandit for pandit in town.pandits}
    for booking in town.bookings:
        pandit = pandits[booking.pandit_id]
        service = pandit.service(booking.service_id)
        assert service is not None
        assert service.puja_id == booking.puja_id
        span = span_of(
            booking.starts_at, service.duration_minutes, pandit.availability.buffer_minutes
        )
        assert booking.ends_at == span.ends_at
        assert booking.claims == (span.claims if booking.status in OCCUPYING else ())
        asked_at = booking.created_at
        for move in booking.history:
            if move.to_status is BookingStatus.PENDING:
                asked_at = move.at
        answer = check_bookable(
            pandit.availability,
            day=booking.booking_date,
            at=booking.booking_time,
            duration_minutes=service.duration_minutes,
            now=asked_at,
            horizon_days=BookingSettings().horizon_days,
        )
        if booking.status is not BookingStatus.FAILED:
            assert not isinstance(answer, Refusal), booking


def test_states_fit_the_present_moment(town):
    for booking in town.bookings:
        assert not booking.outbox
        assert booking.created_at < NOW
        assert booking.updated_at <= NOW
        if booking.status is BookingStatus.PENDING:
            assert booking.answer_by is not None
            assert NOW < booking.answer_by <= booking.starts_at
        else:
            assert booking.answer_by is None
        if booking.status is BookingStatus.ACCEPTED:
            assert booking.starts_at + timedelta(minutes=15) > NOW
        if booking.status is BookingStatus.IN_PROGRESS:
            assert booking.ends_at + timedelta(minutes=15) > NOW
        if booking.starts_at < NOW - timedelta(days=1):
            assert booking.status in FINAL
        if booking.status is BookingStatus.COMPLETED:
            assert booking.payment_status is PaymentStatus.COMPLETED
        elif booking.accepted_at is None:
            assert booking.payment_status is PaymentStatus.PENDING
        if booking.refunded_amount:
            assert booking.status is BookingStatus.CANCELLED


def test_histories_are_unbroken(town):
    for booking in town.bookings:
        first, *rest = booking.history
        assert first.from_status is None
        assert first.at == booking.created_at
        for earlier, later in pairwise((first, *rest)):
            assert later.from_status == earlier.to_status
            assert later.at >= earlier.at
        assert booking.history[-1].to_status == booking.status
        assert len({booking.pandit_id, *booking.rejected_by}) >= len(booking.rejected_by)
    assert any(len(booking.rejected_by) > 1 for booking in town.bookings)
    assert {booking.status for booking in town.bookings} >= FINAL


def test_nobody_booked_before_he_joined(town):
    joined = {user.id: user.created_at for user in town.users}
    assert all(joined[booking.user_id] < booking.created_at for booking in town.bookings)


def test_families_come_back_to_the_pandit_whom_they_know(town):
    pairs = Counter(
        (booking.user_id, booking.pandit_id)
        for booking in town.bookings
        if booking.status is BookingStatus.COMPLETED
    )
    again = sum(number for number in pairs.values() if number > 1)
    assert again > 0.4 * sum(pairs.values())


def test_ratings_are_the_means_of_approved_reviews(town):
    ratings = defaultdict(list)
    for review in town.reviews:
        if review.is_verified:
            ratings[review.pandit_id].append(review.rating)
    for pandit in town.pandits:
        given = ratings[pandit.id]
        assert pandit.review_count == len(given)
        assert pandit.rating == (fmean(given) if given else 0.0)
        assert (pandit.sums.count, pandit.sums.rating) == (len(given), sum(given))


def test_reviews_are_of_completed_bookings_and_some_wait(town):
    bookings = {booking.id: booking for booking in town.bookings}
    assert len({review.booking_id for review in town.reviews}) == len(town.reviews)
    for review in town.reviews:
        booking = bookings[review.booking_id]
        assert booking.completed_at is not None
        assert booking.completed_at < review.created_at < NOW
        assert (review.user_id, review.pandit_id) == (booking.user_id, booking.pandit_id)
        marks = (review.rating, review.professionalism, review.knowledge, review.punctuality)
        assert all(1 <= mark <= 5 for mark in marks)
        assert bool(review.comment) == bool(review.comment_ne)
    assert 1 <= sum(not review.is_verified for review in town.reviews) <= 40


def test_rooms_and_messages_agree(town):
    by_room = defaultdict(list)
    for message in town.messages:
        by_room[message.room_id].append(message)
    assert len({room.booking_id for room in town.rooms}) == len(town.rooms)
    for room in town.rooms:
        messages = by_room[room.id]
        assert [each.sequence for each in messages] == list(range(1, len(messages) + 1))
        assert all(first.timestamp <= then.timestamp for first, then in pairwise(messages))
        assert room.head is not None
        assert (room.head.sequence, room.head.timestamp) == (
            messages[-1].sequence,
            messages[-1].timestamp,
        )
        assert messages[-1].timestamp <= NOW
        for member in room.members:
            mark = room.reads[member].sequence if member in room.reads else 0
            sent = [each.sequence for each in messages if each.sender_id == member]
            assert mark >= max(sent, default=0)
        for message in messages:
            readers = [
                member
                for member, mark in room.reads.items()
                if member != message.sender_id and mark.sequence >= message.sequence
            ]
            assert message.is_read == bool(readers)
    accepted = {booking.id for booking in town.bookings if booking.accepted_at is not None}
    assert {room.booking_id for room in town.rooms} == accepted
    cids = Counter((each.room_id, each.sender_id, each.cid) for each in town.messages)
    assert max(cids.values()) == 1
    assert any(room.unread_by(room.customer_id) for room in town.rooms)


def test_cancelled_bookings_have_a_closed_room(town):
    statuses = {booking.id: booking.status for booking in town.bookings}
    for room in town.rooms:
        assert room.is_active == (statuses[room.booking_id] is not BookingStatus.CANCELLED)


def test_both_languages_are_spoken(town):
    texts = [message.content for message in town.messages if message.sender_role != "system"]
    nepali = sum(any("\u0900" <= sign <= "\u097f" for sign in text) for text in texts)
    assert 0.2 < nepali / len(texts) < 0.9


def test_notifications_are_numbered_without_gaps(town):
    streams = defaultdict(list)
    for told in town.notifications:
        streams[told.user_id].append(told)
    for stream in streams.values():
        assert [each.sequence for each in stream] == list(range(1, len(stream) + 1))
        assert len({each.event_id for each in stream}) == len(stream)
        assert all(first.created_at <= then.created_at for first, then in pairwise(stream))
    for told in town.notifications:
        assert told.is_read == (told.read_at is not None)
        assert "{" not in told.message + told.message_ne
    kinds = {told.notification_type for told in town.notifications}
    assert {
        EventKind.BOOKING_CREATED,
        EventKind.BOOKING_ACCEPTED,
        EventKind.NEW_MESSAGE,
        EventKind.PANDIT_REGISTERED,
    } <= kinds


def test_bookings_follow_seasons_and_festivals(town):
    by_puja: defaultdict[str, Counter[int]] = defaultdict(Counter)
    for booking in town.bookings:
        by_puja[booking.puja_id][to_bs(booking.booking_date).month] += 1
    assert set(by_puja["lakshmi-puja"]) <= {6, 7}
    assert set(by_puja["teej-puja"]) <= {5, 6}
    wedding = by_puja["wedding-ceremony"]
    months = next(puja.months_bs for puja in CATALOGUE.pujas if puja.id == "wedding-ceremony")
    assert sum(wedding[month] for month in months) > 0.8 * wedding.total()


def test_two_years_lie_behind(town):
    days = {booking.booking_date for booking in town.bookings}
    assert min(days) < local_today(NOW, NEPAL) - timedelta(days=DAYS_BACK - 15)
    assert max(days) > local_today(NOW, NEPAL) + timedelta(days=10)
    assert 2500 < len(town.bookings) < 5000
    saturdays = sum(day.isoweekday() == 6 for day in (each.booking_date for each in town.bookings))
    assert saturdays > len(town.bookings) / 10


@pytest.mark.parametrize(
    ("day", "puja_id"),
    [
        (date(2026, 11, 8), "lakshmi-puja"),
        (date(2025, 10, 20), "lakshmi-puja"),
        (date(2026, 10, 20), "durga-puja"),
        (date(2026, 9, 14), "teej-puja"),
        (date(2026, 2, 15), "shivaratri-puja"),
        (date(2026, 1, 23), "saraswati-puja"),
        (date(2026, 8, 28), "janai-purnima"),
        (date(2026, 9, 17), "bishwakarma-puja"),
    ],
)
def test_festivals_fall_on_their_known_days(day, puja_id):
    wanted = demand_on(day, CATALOGUE.pujas)
    half_a_year_on = demand_on(day + timedelta(days=170), CATALOGUE.pujas)
    assert wanted[puja_id] > 5
    assert half_a_year_on[puja_id] == 0


def test_moon_is_full_in_the_middle_of_her_month():
    # 24 November 2026 is the full moon of Kartik.
    age, coming = moon_ages(date(2026, 11, 24))
    assert 13 <= age.days <= 16
    assert (age.month, coming.month) == (7, 8)
    assert coming.days < 0


def test_money_of_the_town_sums_to_zero_and_agrees_with_its_bookings(town):
    assert sum(posting.amount for entry in town.entries for posting in entry.postings) == 0
    assert len({entry.cause for entry in town.entries}) == len(town.entries)
    payments = {payment.booking_id: payment for payment in town.payments}
    assert len(payments) == len(town.payments) > 2000
    for booking in town.bookings:
        payment = payments.get(booking.id)
        if booking.status is BookingStatus.COMPLETED:
            assert payment is not None
            assert payment.is_confirmed
            assert payment.earned_at == booking.completed_at
        if payment is not None:
            assert booking.payment_status is payment.status
            assert booking.refunded_amount == payment.refunded
    commission = -sum(
        posting.amount
        for entry in town.entries
        for posting in entry.postings
        if posting.account == "commission"
    )
    assert commission == sum(
        booking.commission_amount
        for booking in town.bookings
        if booking.status is BookingStatus.COMPLETED
    )


def test_nothing_of_the_towns_money_waits_for_a_provider(town):
    for payment in town.payments:
        assert payment.next_check_at is None
        assert not any(attempt.is_open for attempt in payment.attempts)
        assert not any(refund.is_open for each in payment.attempts for refund in each.refunds)
    methods = {attempt.method for payment in town.payments for attempt in payment.attempts}
    assert len(methods) == 5
    assert any(len(payment.attempts) > 1 for payment in town.payments)


def test_pandits_of_the_town_are_paid_what_they_earned_and_no_more(town):
    assert len(town.payouts) > 50
    last: dict[str, Chain] = {}
    for entry in town.entries:
        if entry.chain is not None:
            before = last.get(entry.chain.owner)
            assert entry.chain.number == (before.number + 1 if before else 1)
            last[entry.chain.owner] = entry.chain
    for owner, chain in last.items():
        assert all(
            balance >= 0 or account.startswith("cash:")
            for account, balance in chain.balances.items()
        ), owner
