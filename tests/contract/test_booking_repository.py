"""The store of bookings: races are decided by the database."""

from __future__ import annotations

import asyncio
import random
from dataclasses import replace
from datetime import UTC, date, time, timedelta
from typing import Any

import pytest

from server.domain.booking import (
    Booking,
    BookingStatus,
    PaymentStatus,
    RescheduleProposal,
    SamagriProposal,
)
from server.domain.calendar import span_of
from server.domain.errors import AlreadyExists, SlotTaken
from server.domain.events import Event, EventKind
from server.domain.ports.bookings import BookingFilter
from server.store import bookings as documents
from server.store.bookings import MongoBookingRepository
from server.store.client import Store
from server.store.outbox import MongoOutboxRepository
from tests.factories import NOW, STARTS_AT, make_booking, make_line


@pytest.fixture
def bookings(store: Store) -> MongoBookingRepository:
    return MongoBookingRepository(store)


async def test_a_booking_comes_back_as_it_was(bookings: MongoBookingRepository) -> None:
    booking = make_booking(
        samagri=(make_line("haldi"), make_line("akshat")),
        samagri_declined=("paan", "mala"),
        samagri_own_declined=("mala",),
    )
    await bookings.add(booking)
    assert await bookings.find(booking.id) == booking
    (past,) = await bookings.past_of(booking.user_id, 10)
    assert (past.item_ids, past.declined) == (("haldi", "akshat"), ("paan",))
    assert await bookings.find("another") is None


async def test_several_bookings_are_read_at_once(bookings: MongoBookingRepository) -> None:
    made = [
        make_booking(id=f"b{number}", status=BookingStatus.COMPLETED, claims=())
        for number in range(3)
    ]
    for each in made:
        await bookings.add(each)
    assert await bookings.find_each({"b0", "b2", "none"}) == {"b0": made[0], "b2": made[2]}
    assert await bookings.find_each(()) == {}


async def test_it_is_told_when_each_puja_was_held_last(bookings: MongoBookingRepository) -> None:
    for number, (puja_id, status) in enumerate(
        [
            ("pasni", BookingStatus.COMPLETED),
            ("rudri-puja", BookingStatus.COMPLETED),
            ("rudri-puja", BookingStatus.COMPLETED),
            ("rudri-puja", BookingStatus.CANCELLED),
            ("nwaran", BookingStatus.PENDING),
        ]
    ):
        await bookings.add(
            make_booking(
                id=f"booking-{number}",
                puja_id=puja_id,
                status=status,
                claims=(),
                booking_date=date(2026, 5, 1 + number),
            )
        )
    user_id = make_booking().user_id
    assert await bookings.last_held(user_id) == {
        "pasni": date(2026, 5, 1),
        "rudri-puja": date(2026, 5, 3),
    }
    assert await bookings.last_held("nobody") == {}


async def test_a_list_that_waits_for_consent_comes_back_as_it_was(
    bookings: MongoBookingRepository, store: Store
) -> None:
    proposal = SamagriProposal(
        revision=4,
        lines=(make_line("haldi"), make_line("paan", user_added=True)),
        declined=("akshat", "mala"),
        own_declined=("mala",),
        proposed_at=NOW,
        answer_by=NOW + timedelta(hours=24),
    )
    booking = make_booking(
        samagri=(make_line("haldi"),), samagri_proposal=proposal, samagri_asked_at=NOW
    )
    await bookings.add(booking)
    assert await bookings.find(booking.id) == booking
    # As a booking stands there that was made before lists could be proposed.
    await bookings.add(make_booking(id="old", claims=()))
    rows = store.collection(documents.COLLECTION)
    await rows.update_one(
        {"_id": "old"}, {"$unset": {"samagri_proposal": "", "samagri_asked_at": ""}}
    )
    assert await bookings.find("old") == make_booking(id="old", claims=())


async def test_proposals_are_found_by_the_first_of_them_that_runs_out(
    bookings: MongoBookingRepository,
) -> None:
    def listed(hours: int) -> SamagriProposal:
        until = NOW + timedelta(hours=hours)
        return SamagriProposal(revision=2, lines=(), proposed_at=NOW, answer_by=until)

    def timed(hours: int) -> RescheduleProposal:
        until = NOW + timedelta(hours=hours)
        return RescheduleProposal(
            by="customer",
            booking_date=STARTS_AT.date(),
            booking_time=time(9),
            proposed_at=NOW,
            answer_by=until,
        )

    waiting: tuple[dict[str, Any], ...] = (
        {"samagri_proposal": listed(2)},
        {"proposal": timed(1), "samagri_proposal": listed(9)},
        {"proposal": timed(9), "samagri_proposal": listed(3)},
        {"proposal": timed(4)},
        {},
    )
    for number, proposals in enumerate(waiting):
        await bookings.add(make_booking(id=f"b{number}", claims=(), **proposals))

    async def due(hours: int) -> list[str]:
        found = await bookings.list_unanswered_proposals(NOW + timedelta(hours=hours), 10)
        return [booking.id for booking in found]

    assert await due(0) == []
    assert await due(1) == ["b1"]
    assert await due(3) == ["b1", "b0", "b2"]
    assert await due(9) == ["b1", "b0", "b2", "b3"]
    answered = await bookings.find("b2")
    assert answered is not None
    await bookings.replace(replace(answered, samagri_proposal=None))
    assert await due(3) == ["b1", "b0"]


async def test_of_200_who_race_for_overlapping_times_no_two_win(
    bookings: MongoBookingRepository,
) -> None:
    """Starts and lengths differ; every pair of winners must be apart.

    And every loser must meet one.
    """
    rng = random.Random(7)
    wishes = []
    for number in range(200):
        starts_at = STARTS_AT + timedelta(minutes=15 * rng.randrange(0, 24))
        span = span_of(starts_at, rng.choice((15, 45, 90, 120, 240)), rng.choice((0, 15, 30)))
        wishes.append(make_booking(id=f"b{number}", claims=span.claims))

    async def attempt(booking: Booking) -> bool:
        try:
            await bookings.add(booking)
        except SlotTaken:
            return False
        return True

    outcomes = await asyncio.gather(*map(attempt, wishes))
    won = [wish for wish, is_won in zip(wishes, outcomes, strict=True) if is_won]
    lost = [wish for wish, is_won in zip(wishes, outcomes, strict=True) if not is_won]
    claims = [claim for wish in won for claim in wish.claims]
    assert won
    assert len(claims) == len(set(claims))
    assert all(set(wish.claims) & set(claims) for wish in lost)
    stored = await bookings.claims(["pandit"], 0, 10**9)
    assert stored["pandit"] == frozenset(claims)


async def test_an_ended_booking_frees_its_time_in_the_same_write(
    bookings: MongoBookingRepository,
) -> None:
    booking = make_booking()
    await bookings.add(booking)
    with pytest.raises(SlotTaken):
        await bookings.add(make_booking(id="other"))
    await bookings.replace(replace(booking, status=BookingStatus.CANCELLED, claims=()))
    await bookings.add(make_booking(id="other"))
    await bookings.add(make_booking(id="elsewhere", pandit_id="another-pandit"))


async def test_a_place_among_open_bookings_is_held_once_and_by_open_ones_alone(
    bookings: MongoBookingRepository,
) -> None:
    first = make_booking(id="first", claims=(), open_place="unpaid.0")
    second = make_booking(id="second", claims=(), open_place="unpaid.0")
    await bookings.add(first)
    with pytest.raises(AlreadyExists) as refused:
        await bookings.add(second)
    assert refused.value.field == "open_place"
    assert await bookings.open_places(first.user_id) == {"unpaid.0"}
    assert await bookings.open_places("nobody") == frozenset()
    await bookings.add(make_booking(id="other", claims=(), user_id="gita", open_place="unpaid.0"))
    for change in (
        {"payment_status": PaymentStatus.COMPLETED},
        {"status": BookingStatus.ACCEPTED, "open_place": "unpaid.0"},
    ):
        stored = await bookings.find("first")
        assert stored is not None
        assert await bookings.replace(replace(stored, **change))
        assert await bookings.open_places(first.user_id) == frozenset()
    await bookings.add(second)


async def test_two_ended_bookings_do_not_clash(bookings: MongoBookingRepository) -> None:
    for number in range(2):
        await bookings.add(make_booking(id=f"b{number}", claims=()))


async def test_of_many_who_change_one_booking_one_wins(bookings: MongoBookingRepository) -> None:
    booking = make_booking()
    await bookings.add(booking)
    outcomes = await asyncio.gather(
        *(bookings.replace(replace(booking, notes=str(number))) for number in range(20))
    )
    assert sum(outcomes) == 1
    found = await bookings.find(booking.id)
    assert found is not None
    assert found.version == booking.version + 1


async def test_moving_into_a_held_time_changes_nothing(bookings: MongoBookingRepository) -> None:
    held = make_booking(id="held")
    later = span_of(STARTS_AT + timedelta(days=1), 60, 0)
    other = make_booking(id="other", claims=later.claims)
    await bookings.add(held)
    await bookings.add(other)
    with pytest.raises(SlotTaken):
        await bookings.replace(replace(other, claims=held.claims))
    assert await bookings.find("other") == other


@pytest.mark.parametrize("soonest_first", [False, True])
@pytest.mark.parametrize("user_id", ["customer", None])
async def test_pages_cover_everything_once(
    bookings: MongoBookingRepository, soonest_first: bool, user_id: str | None
) -> None:
    for number in range(25):
        await bookings.add(
            make_booking(
                id=f"b{number:02}", claims=(), starts_at=STARTS_AT + timedelta(hours=number // 3)
            )
        )
    seen, after = [], None
    while True:
        page = await bookings.list_page(
            BookingFilter(user_id=user_id, limit=7, after=after, soonest_first=soonest_first)
        )
        seen += [booking.id for booking in page.rows]
        after = page.next_key
        if after is None:
            break
    assert len(seen) == len(set(seen)) == 25
    numbers = [int(each[1:]) for each in seen]
    assert numbers == sorted(numbers, reverse=not soonest_first)
    assert not (await bookings.list_page(BookingFilter(user_id="stranger"))).rows


async def test_delivered_events_leave_and_the_version_rises(
    bookings: MongoBookingRepository, store: Store
) -> None:
    events = tuple(
        Event(id=f"e{n}", kind=EventKind.BOOKING_CREATED, at=NOW, recipients=("pandit-user",))
        for n in range(2)
    )
    booking = make_booking(outbox=events)
    await bookings.add(booking)
    outbox = MongoOutboxRepository(store, documents.COLLECTION)
    assert await outbox.list_waiting(NOW - timedelta(seconds=1), 10) == []
    assert await outbox.list_waiting(NOW, 10) == [(booking.id, events)]

    await outbox.remove(booking.id, ["e0"])
    assert await outbox.list_waiting(NOW, 10) == [(booking.id, events[1:])]
    assert not await bookings.replace(booking), "an old copy would bring the event back"
    await outbox.remove(booking.id, ["e1"])
    await outbox.remove(booking.id, ["e1"])
    assert await outbox.list_waiting(NOW, 10) == []
    found = await bookings.find(booking.id)
    assert found is not None
    assert found.outbox == ()


async def test_unanswered_bookings_are_found(bookings: MongoBookingRepository) -> None:
    due = NOW.astimezone(UTC)
    await bookings.add(make_booking(id="due", claims=(), answer_by=due))
    await bookings.add(make_booking(id="later", claims=(), answer_by=due + timedelta(hours=1)))
    await bookings.add(
        make_booking(id="answered", claims=(), answer_by=due, status=BookingStatus.ACCEPTED)
    )
    assert [each.id for each in await bookings.list_unanswered(due, 10)] == ["due"]


async def test_contact_is_known_from_accepted_bookings_only(
    bookings: MongoBookingRepository,
) -> None:
    await bookings.add(make_booking(id="asked", pandit_id="asked"))
    await bookings.add(
        make_booking(id="met", pandit_id="met", status=BookingStatus.COMPLETED, claims=())
    )
    found = await bookings.accepted_pandits("customer", ["asked", "met", "unknown"])
    assert found == frozenset({"met"})
    assert await bookings.has_accepted("customer", "met")
    assert not await bookings.has_accepted("another-customer", "met")
