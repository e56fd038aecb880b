"""An event exists if and only if its change was committed, exactly once, also after a crash."""

from __future__ import annotations

import asyncio
from dataclasses import replace

from server.app import RunningServer
from server.domain import booking as rules
from server.domain.account import Actor, Role
from server.store.bookings import MongoBookingRepository
from tests.factories import make_booking
from tests.support import FakeClock, People


async def test_a_crash_after_the_write_delays_the_event_and_does_not_lose_or_double_it(
    server: RunningServer, people: People, clock: FakeClock
) -> None:
    customer, pandit = await people.customer(), await people.pandit()
    bookings = MongoBookingRepository(server.store)
    booking = rules.placed(
        make_booking(
            user_id=customer.user_id, pandit_id=pandit.pandit_id, pandit_user_id=pandit.user_id
        ),
        clock.now(),
    )
    await bookings.add(booking)  # and here the process dies: nobody delivers

    async def told() -> list[str]:
        listed = (await pandit.api.get("/api/notifications/")).json()["results"]
        return [each["notification_type"] for each in listed]

    assert "BOOKING_CREATED" not in await told()
    assert await server.services.relay.sweep() == 0, "the writer may still be delivering it"
    clock.advance(seconds=6)
    await asyncio.gather(*(server.services.relay.sweep() for _ in range(5)))
    assert (await told()).count("BOOKING_CREATED") == 1
    stored = await bookings.find(booking.id)
    assert stored is not None
    assert stored.outbox == ()
    assert await server.services.relay.sweep() == 0


async def test_a_change_that_was_refused_tells_nothing(
    server: RunningServer, people: People, clock: FakeClock
) -> None:
    customer, pandit = await people.customer(), await people.pandit()
    bookings = MongoBookingRepository(server.store)
    booking = make_booking(
        user_id=customer.user_id, pandit_id=pandit.pandit_id, pandit_user_id=pandit.user_id
    )
    await bookings.add(booking)
    stale = rules.cancel(booking, customer_actor(customer.user_id), clock.now(), "changed my mind")
    await bookings.replace(replace(booking, notes="somebody was faster"))
    assert not await bookings.replace(stale)
    clock.advance(seconds=6)
    assert await server.services.relay.sweep() == 0
    listed = (await pandit.api.get("/api/notifications/")).json()["results"]
    assert [each["notification_type"] for each in listed] == ["PANDIT_VERIFIED"]


def customer_actor(user_id: str) -> Actor:
    return Actor(user_id=user_id, role=Role.USER, session_id="s", full_name="Sita Sharma")
