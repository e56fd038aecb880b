"""Finds a place in a pandit's day: his number of bookings, and the way between them.

The database decides who gets it (see ``domain.calendar`` and ADR 17). A booking claims the lowest
free seat and turn of its day. Two that are made at the same moment come to the same numbers, one of
them is refused, looks again, and now sees the other.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Final, TypeVar

from server.domain.account import GeoPoint
from server.domain.booking import Booking
from server.domain.calendar import (
    Availability,
    DayClaim,
    Refusal,
    Span,
    claim_range,
    local_today,
)
from server.domain.errors import ConcurrentChange, NotBookable, SlotTaken, TooFarApart
from server.domain.pandit import Pandit
from server.domain.ports.bookings import BookingRepository
from server.domain.travel import Engagement, too_far, visited_point

T = TypeVar("T")
_ATTEMPTS: Final = 8
_AROUND: Final = timedelta(days=2)
"""So far around a booking others are looked at: one of a day with its buffer, and the way."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """A time that is asked for. ``point`` is where the pandit would have to go.

    ``booking_id`` is the booking that is to be moved there; None: it is a new one.
    """

    day: date
    span: Span
    point: GeoPoint | None
    booking_id: str | None = None


def wanted_by(booking: Booking) -> Wanted:
    """What a booking, or one that is being put together, takes of a day."""
    time = tuple(claim for claim in booking.claims if claim >= 0)
    return Wanted(
        day=booking.booking_date,
        span=Span(booking.starts_at, booking.ends_at, time),
        point=visited_point(booking.service_location, booking.location),
        booking_id=booking.id,
    )


def is_full_day(hours: Availability, day: date, engagements: Iterable[Engagement]) -> bool:
    """Whether the pandit has as many bookings for that day as he wants.

    By their seats too: a proposed time has one, though its booking may be on another day.
    """
    if hours.max_per_day is None:
        return False
    of_day = {
        each.booking_id
        for each in engagements
        if local_today(each.starts_at, hours.timezone) == day
        or DayClaim.SEAT.count(day, each.claims)
    }
    return len(of_day) >= hours.max_per_day


class Timetable:
    """The days of pandits. ``speed_kmh`` is how fast they get on, as the crow flies."""

    def __init__(self, bookings: BookingRepository, speed_kmh: float) -> None:
        self._bookings = bookings
        self._speed_kmh = speed_kmh

    async def engagements(
        self, pandit_id: str, first: datetime, last: datetime
    ) -> tuple[Engagement, ...]:
        """What the pandit has around that time, by one query."""
        return await self._bookings.engagements(
            pandit_id, *claim_range(first - _AROUND, last + _AROUND)
        )

    def is_reachable(
        self, span: Span, point: GeoPoint | None, engagements: Sequence[Engagement]
    ) -> bool:
        """Whether there is time for the way from and to all of them."""
        return not too_far(span, point, engagements, self._speed_kmh)

    async def fitted(
        self, pandit: Pandit, wanted: Wanted, write: Callable[[tuple[int, ...]], Awaitable[T]]
    ) -> T:
        """Have ``write`` store a booking under the claims that fit it into the pandit's day.

        ``write`` is called anew when another booking has taken one of them meanwhile.

        Raises
        ------
        SlotTaken
            If the time itself is held.
        NotBookable
            If the day is full, or there is no time for the way; both are told alike.
        """
        for _ in range(_ATTEMPTS):
            claims = await self.claims_for(pandit, wanted)
            try:
                return await write(claims)
            except SlotTaken:
                # The time itself, or only the seat or the turn: looking again tells.
                continue
        raise SlotTaken

    async def claims_for(self, pandit: Pandit, wanted: Wanted) -> tuple[int, ...]:
        """The claims by which that time can be had now. Raises as :meth:`fitted` does."""
        span, day = wanted.span, wanted.day
        around = await self.engagements(pandit.id, span.starts_at, span.ends_at)
        others = [each for each in around if each.booking_id != wanted.booking_id]
        held = {claim for each in others for claim in each.claims}
        if not held.isdisjoint(span.claims):
            raise SlotTaken
        if not self.is_reachable(span, wanted.point, others):
            raise NotBookable(Refusal.NOT_AVAILABLE)
        if is_full_day(pandit.availability, day, others):
            raise NotBookable(Refusal.NOT_AVAILABLE)
        # A booking that is moved takes a new turn: that is how others hear of the move.
        turns = {claim for each in around for claim in each.claims}
        return (
            *span.claims,
            DayClaim.SEAT.lowest_free(day, held),
            DayClaim.TURN.lowest_free(day, turns),
        )

    async def promised(
        self, booking: Booking, write: Callable[[tuple[int, ...]], Awaitable[T]]
    ) -> T:
        """Have ``write`` accept the booking under claims that let no other one come too near.

        Others were looked at when it was made. Two that were made while a third was called off may
        not have seen each other: of such a pair only one can be accepted, because both would claim
        the arrival at the later one.

        Raises ``TooFarApart`` where the other one of such a pair is accepted already.
        """
        span = Span(booking.starts_at, booking.ends_at, booking.claims)
        point = visited_point(booking.service_location, booking.location)
        for _ in range(_ATTEMPTS):
            around = await self.engagements(booking.pandit_id, span.starts_at, span.ends_at)
            others = [each for each in around if each.booking_id != booking.id]
            near = too_far(span, point, others, self._speed_kmh)
            if any(each.is_settled for each in near):
                raise TooFarApart
            arrivals = {
                DayClaim.ARRIVAL.claim(
                    claim_range(max(each.starts_at, span.starts_at), span.ends_at)[0]
                )
                for each in near
            }
            try:
                return await write(tuple(sorted(arrivals)))
            except SlotTaken:
                continue
        raise ConcurrentChange
