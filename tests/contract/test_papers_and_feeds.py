"""Uploads of pandits, calendar feeds, and what a day of a pandit holds, in the real database."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from datetime import datetime, timedelta

import pytest

from server.domain.account import GeoPoint
from server.domain.booking import BookingStatus, ServiceLocation
from server.domain.calendar import DayClaim, claim_range
from server.domain.errors import SlotTaken
from server.domain.feed import CalendarFeed, feed_hash
from server.domain.papers import Papers, Picture
from server.store.bookings import MongoBookingRepository
from server.store.client import Store
from server.store.feeds import MongoFeedRepository
from server.store.papers import MongoPapersRepository
from tests.factories import NOW, STARTS_AT, make_booking

PICTURE = Picture(id="a" * 32, mime="image/png", size=9, width=3, height=2, uploaded_at=NOW)


async def test_papers_are_written_under_their_version(store: Store) -> None:
    repository = MongoPapersRepository(store)
    empty = await repository.find("ram")
    assert empty == Papers(id="ram")
    first = replace(empty, portfolio=(PICTURE,))
    # Of all who begin with nothing, one is first.
    won = await asyncio.gather(*(repository.replace(first) for _ in range(5)))
    assert sorted(won) == [False] * 4 + [True]
    stored = await repository.find("ram")
    assert stored == replace(first, version=1)
    won = await asyncio.gather(*(repository.replace(stored) for _ in range(5)))
    assert sorted(won) == [False] * 4 + [True]
    assert await repository.find_each(["ram", "hari"]) == {"ram": replace(first, version=2)}
    assert await repository.find_each([]) == {}


async def test_a_person_has_one_feed(store: Store) -> None:
    repository = MongoFeedRepository(store)
    assert await repository.find("sita") is None
    for token in ("first", "second"):
        feed = CalendarFeed(id="sita", token_hash=feed_hash(token), created_at=NOW)
        await repository.put(feed)
        assert await repository.find("sita") == feed
        assert await repository.find_by_hash(feed_hash(token)) == feed
    assert await repository.find_by_hash(feed_hash("first")) is None
    await repository.remove("sita")
    await repository.remove("sita")
    assert await repository.find_by_hash(feed_hash("second")) is None


async def test_a_day_of_a_pandit_tells_what_holds_time_in_it(store: Store) -> None:
    repository = MongoBookingRepository(store)
    near = make_booking(id="near")
    online = make_booking(
        id="online",
        service_location=ServiceLocation.ONLINE,
        starts_at=STARTS_AT + timedelta(hours=4),
        ends_at=STARTS_AT + timedelta(hours=5),
        claims=claims_from(STARTS_AT + timedelta(hours=4)),
    )
    gone = make_booking(id="gone", status=BookingStatus.CANCELLED, claims=())
    other = make_booking(id="other", pandit_id="rival")
    far = make_booking(
        id="far",
        starts_at=STARTS_AT + timedelta(days=9),
        ends_at=STARTS_AT + timedelta(days=9, hours=1),
        claims=claims_from(STARTS_AT + timedelta(days=9)),
    )
    for booking in (near, online, gone, other, far):
        await repository.add(booking)
    around = claim_range(STARTS_AT - timedelta(days=1), STARTS_AT + timedelta(days=1))
    found = {each.booking_id: each for each in await repository.engagements("pandit", *around)}
    assert set(found) == {"near", "online"}
    assert found["near"].point == GeoPoint(27.69, 85.34)
    assert found["online"].point is None
    assert found["near"].claims == near.claims
    assert (found["near"].starts_at, found["near"].ends_at) == (near.starts_at, near.ends_at)
    assert not found["near"].is_settled


def claims_from(at: datetime) -> tuple[int, ...]:
    return tuple(range(*claim_range(at, at + timedelta(hours=1))))


@pytest.mark.parametrize("kind", DayClaim)
async def test_a_number_of_a_day_is_given_once(store: Store, kind: DayClaim) -> None:
    repository = MongoBookingRepository(store)
    number = kind.claim(STARTS_AT.toordinal())
    rows = [
        make_booking(
            id=f"b{place}", claims=(*claims_from(STARTS_AT + timedelta(hours=place)), number)
        )
        for place in range(6)
    ]
    outcomes = await asyncio.gather(*map(repository.add, rows), return_exceptions=True)
    assert [type(each) for each in outcomes if each is not None] == [SlotTaken] * 5


async def test_what_begins_in_a_span_is_listed_for_each_side(store: Store) -> None:
    repository = MongoBookingRepository(store)
    for place in range(4):
        at = STARTS_AT + timedelta(days=place)
        await repository.add(
            make_booking(
                id=f"b{place}",
                starts_at=at,
                ends_at=at + timedelta(hours=1),
                claims=claims_from(at),
            )
        )
    span = {"first": STARTS_AT + timedelta(days=1), "last": STARTS_AT + timedelta(days=3)}
    for user_id, as_pandit in (("customer", False), ("pandit-user", True)):
        found = await repository.list_between(user_id, as_pandit=as_pandit, limit=10, **span)
        assert [each.id for each in found] == ["b1", "b2"]
    found = await repository.list_between("customer", as_pandit=False, limit=1, **span)
    assert [each.id for each in found] == ["b1"]
    assert await repository.list_between("customer", as_pandit=True, limit=9, **span) == ()
