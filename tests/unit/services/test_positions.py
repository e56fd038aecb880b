"""Shares of several processes that hear of each other over a bus."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack
from datetime import timedelta
from typing import Any, cast

import pytest

from server.bus.memory import MemoryBus
from server.domain.account import Actor, GeoPoint, Role
from server.domain.booking import Booking, BookingStatus
from server.domain.errors import NotFound
from server.domain.events import Event, EventKind
from server.schemas.frames import JsonPositionFrames
from server.services.positions import PositionPolicy, PositionService
from tests.factories import STARTS_AT, make_booking
from tests.support import FakeClock

PANDIT = Actor(user_id="pandit-user", role=Role.PANDIT, session_id="s", full_name="Ram")
HERE = GeoPoint(27.7, 85.3)


class OneBooking:
    """A repository that holds one accepted booking."""

    def __init__(self) -> None:
        self.booking = make_booking(status=BookingStatus.ACCEPTED)

    async def find(self, booking_id: str) -> Booking | None:
        return self.booking if booking_id == self.booking.id else None


def process(bus: MemoryBus, clock: FakeClock) -> PositionService:
    return PositionService(
        bookings=cast("Any", OneBooking()),
        frames=JsonPositionFrames(),
        bus=bus,
        clock=clock,
        policy=PositionPolicy(ahead=timedelta(hours=2), speed_kmh=15.0),
    )


def event(kind: EventKind) -> Event:
    return Event(id="e", kind=kind, at=STARTS_AT, recipients=(), booking_id="booking")


async def play(kind: EventKind, *, is_over: bool) -> None:
    bus, clock = MemoryBus(), FakeClock(STARTS_AT - timedelta(hours=1))
    heard: list[bytes] = []
    await bus.subscribe("user.customer", heard.append)
    async with AsyncExitStack() as stack:
        here, there = process(bus, clock), process(bus, clock)
        for each in (here, there):
            await stack.enter_async_context(each.running())
        await here.share(PANDIT, "booking")
        await here.tell(PANDIT, "booking", HERE, None)
        with pytest.raises(NotFound):
            await there.tell(PANDIT, "booking", HERE, None)
        await there.on_event(event(kind))
        clock.advance(seconds=5)
        if is_over:
            with pytest.raises(NotFound):
                await here.tell(PANDIT, "booking", HERE, None)
        else:
            await here.tell(PANDIT, "booking", HERE, None)
    told = [b'"position_ended"' in each for each in heard]
    assert told == ([False, True] if is_over else [False, False, True])
    assert not bus.topics - {"user.customer"}


@pytest.mark.parametrize(
    ("kind", "is_over"),
    [
        (EventKind.BOOKING_ARRIVED, True),
        (EventKind.BOOKING_STARTED, True),
        (EventKind.BOOKING_CANCELLED, True),
        (EventKind.BOOKING_RESCHEDULED, True),
        (EventKind.BOOKING_REMINDER, False),
        (EventKind.NEW_MESSAGE, False),
    ],
)
def test_what_ends_a_way_ends_it_in_every_process(kind: EventKind, is_over: bool) -> None:
    asyncio.run(play(kind, is_over=is_over))
