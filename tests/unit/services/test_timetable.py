"""Any number of people book, move, accept and call off at once: the day holds what it may.

The repository is a model of the real one: each call is one step, a unique index over claims, and
hypothesis decides whose step comes next.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime, time, timedelta
from typing import Any, cast

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from server.domain.account import GeoPoint, Place
from server.domain.booking import Booking, BookingStatus
from server.domain.calendar import default_availability, span_of
from server.domain.errors import DomainError, SlotTaken
from server.domain.pandit import Pandit
from server.domain.travel import Engagement, travel_minutes, visited_point
from server.services.timetable import Timetable, Wanted
from tests.factories import NOW, make_booking

SIX = datetime(2026, 11, 25, 0, 15, tzinfo=UTC)
DAY = date(2026, 11, 25)
SPEED = 15.0
SPOTS = (
    GeoPoint(27.67, 85.32),
    GeoPoint(27.67, 85.35),
    GeoPoint(27.67, 85.43),
    GeoPoint(27.72, 85.36),
)
_LIVE = (BookingStatus.PENDING, BookingStatus.ACCEPTED)


@dataclass
class Steps:
    """A booking repository whose every call waits for its turn."""

    bookings: dict[str, Booking] = field(default_factory=dict)
    waiting: list[asyncio.Future[None]] = field(default_factory=list)

    async def step(self) -> None:
        turn = asyncio.get_running_loop().create_future()
        self.waiting.append(turn)
        await turn

    async def engagements(self, pandit_id: str, first: int, last: int) -> tuple[Engagement, ...]:
        await self.step()
        return tuple(
            Engagement(
                booking_id=each.id,
                starts_at=each.starts_at,
                ends_at=each.ends_at,
                status=each.status,
                claims=each.claims,
                point=visited_point(each.service_location, each.location),
            )
            for each in self.bookings.values()
            if any(first <= claim < last for claim in each.claims)
        )

    async def store(self, booking: Booking) -> None:
        await self.step()
        held = {
            claim
            for each in self.bookings.values()
            if each.id != booking.id
            for claim in each.claims
        }
        if not held.isdisjoint(booking.claims):
            raise SlotTaken
        self.bookings[booking.id] = booking

    async def call_off(self, booking_id: str) -> None:
        await self.step()
        if found := self.bookings.get(booking_id):
            self.bookings[booking_id] = replace(found, status=BookingStatus.CANCELLED, claims=())


def pandit(most: int | None) -> Pandit:
    hours = replace(default_availability(), max_per_day=most, buffer_minutes=0)
    return Pandit(
        id="pandit",
        user_id="pandit-user",
        full_name="Ram",
        phone_number="+9779800000002",
        availability=hours,
        date_joined=NOW,
        updated_at=NOW,
    )


def wanted_at(quarter: int, spot: int, booking_id: str | None = None) -> Wanted:
    span = span_of(SIX + timedelta(minutes=15 * quarter), 30, 0)
    return Wanted(day=DAY, span=span, point=SPOTS[spot], booking_id=booking_id)


class World:
    """One pandit's day, and people who do things to it."""

    def __init__(self, most: int | None) -> None:
        self.steps = Steps()
        self.pandit = pandit(most)
        self.timetable = Timetable(cast("Any", self.steps), SPEED)

    async def book(self, name: str, quarter: int, spot: int) -> None:
        wanted = wanted_at(quarter, spot)

        async def write(claims: tuple[int, ...]) -> None:
            await self.steps.store(
                make_booking(
                    id=name,
                    booking_date=DAY,
                    booking_time=time(6),
                    starts_at=wanted.span.starts_at,
                    ends_at=wanted.span.ends_at,
                    claims=claims,
                    location=Place(address="House 7", point=SPOTS[spot]),
                )
            )

        await self.timetable.fitted(self.pandit, wanted, write)

    async def move(self, name: str, quarter: int) -> None:
        found = self.steps.bookings.get(name)
        if found is None or found.location.point is None:
            return
        wanted = wanted_at(quarter, SPOTS.index(found.location.point), name)

        async def write(claims: tuple[int, ...]) -> None:
            # Like the conditional write of the real one: not over somebody else's change.
            if self.steps.bookings[name] is found and found.status is BookingStatus.PENDING:
                await self.steps.store(
                    replace(
                        found,
                        starts_at=wanted.span.starts_at,
                        ends_at=wanted.span.ends_at,
                        claims=claims,
                    )
                )

        await self.timetable.fitted(self.pandit, wanted, write)

    async def accept(self, name: str) -> None:
        found = self.steps.bookings.get(name)
        if found is None:
            return

        async def write(arrivals: tuple[int, ...]) -> None:
            now = self.steps.bookings[name]
            if now is found and found.status is BookingStatus.PENDING:
                await self.steps.store(
                    replace(
                        found,
                        status=BookingStatus.ACCEPTED,
                        claims=(*found.claims, *arrivals),
                    )
                )

        await self.timetable.promised(found, write)

    async def call_off(self, name: str) -> None:
        await self.steps.call_off(name)

    async def run(
        self,
        jobs: list[Coroutine[Any, Any, None]],
        choose: Callable[[int], int],
        check: Callable[[], None],
    ) -> None:
        """Do all jobs, one step at a time, each step whose turn ``choose`` says."""

        async def quietly(job: Coroutine[Any, Any, None]) -> None:
            try:
                await job
            except DomainError:
                return

        tasks = [asyncio.create_task(quietly(job)) for job in jobs]
        while not all(task.done() for task in tasks):
            await asyncio.sleep(0)
            if self.steps.waiting:
                turn = self.steps.waiting.pop(choose(len(self.steps.waiting)))
                turn.set_result(None)
                for _ in range(4):
                    await asyncio.sleep(0)
                check()
        await asyncio.gather(*tasks)


def way(first: Booking, second: Booking) -> timedelta:
    here, there = first.location.point, second.location.point
    assert here is not None
    assert there is not None
    return timedelta(minutes=travel_minutes(here, there, SPEED))


acts = st.one_of(
    st.tuples(st.just("book"), st.integers(0, 12), st.integers(0, len(SPOTS) - 1)),
    st.tuples(st.just("move"), st.integers(0, 7), st.integers(0, 12)),
    st.tuples(st.just("accept"), st.integers(0, 7), st.just(0)),
    st.tuples(st.just("call_off"), st.integers(0, 7), st.just(0)),
)


@settings(deadline=None, max_examples=150)
@given(
    most=st.one_of(st.none(), st.integers(1, 3)),
    begin=st.lists(st.tuples(st.integers(0, 12), st.integers(0, len(SPOTS) - 1)), max_size=4),
    doings=st.lists(acts, min_size=2, max_size=8),
    data=st.data(),
)
def test_no_day_holds_too_many_or_sends_the_pandit_too_far(most, begin, doings, data):
    world = World(most)

    def live() -> list[Booking]:
        return [each for each in world.steps.bookings.values() if each.status in _LIVE]

    def check() -> None:
        found = live()
        claims = [claim for each in found for claim in each.claims]
        assert len(claims) == len(set(claims))
        if most is not None:
            assert len(found) <= most
        promised = [each for each in found if each.status is BookingStatus.ACCEPTED]
        ordered = sorted(promised, key=lambda each: each.starts_at)
        for place, each in enumerate(ordered):
            for then in ordered[place + 1 :]:
                assert then.starts_at - each.ends_at >= way(each, then)

    async def play() -> None:
        for number, (quarter, spot) in enumerate(begin):
            await world.run([world.book(f"b{number}", quarter, spot)], lambda _: 0, check)
        jobs = []
        for number, (act, first, second) in enumerate(doings):
            if act == "book":
                jobs.append(world.book(f"b{number + 4}", first, second))
            elif act == "move":
                jobs.append(world.move(f"b{first}", second))
            elif act == "accept":
                jobs.append(world.accept(f"b{first}"))
            else:
                jobs.append(world.call_off(f"b{first}"))
        await world.run(jobs, lambda count: data.draw(st.integers(0, count - 1)), check)
        # The pandit then takes on whatever he can.
        for each in live():
            await world.run([world.accept(each.id)], lambda _: 0, check)

    asyncio.run(play())


@pytest.mark.parametrize("first_to_accept", ["near", "far"])
def test_of_two_that_did_not_see_each_other_one_is_accepted(first_to_accept):
    world = World(None)
    other = {"near": "far", "far": "near"}[first_to_accept]

    async def play() -> None:
        for name, quarter, spot, claims in (("near", 0, 0, (-1,)), ("far", 2, 2, (-2,))):
            wanted = wanted_at(quarter, spot)
            world.steps.bookings[name] = make_booking(
                id=name,
                starts_at=wanted.span.starts_at,
                ends_at=wanted.span.ends_at,
                claims=(*wanted.span.claims, *claims),
                location=Place(address="House 7", point=SPOTS[spot]),
            )
        # Both look before either writes.
        order = iter([0, 0, 0, 0, 0, 0, 0, 0])
        await world.run(
            [world.accept(first_to_accept), world.accept(other)],
            lambda _: next(order),
            lambda: None,
        )

    asyncio.run(play())
    states = {name: each.status for name, each in world.steps.bookings.items()}
    assert states[first_to_accept] is BookingStatus.ACCEPTED
    assert states[other] is BookingStatus.PENDING
