"""Where a pandit is while he is on his way to a family: told to that family, and kept nowhere.

A share lives in the memory of the process that his socket is connected to. It begins when he says
so, and ends by itself: when he says so, arrives or begins, when the booking is called off or moved,
when its time is over, and when nothing has come from him for a while. What he sends goes over
the bus to the customer's sockets and is forgotten; no store and no log sees it.
"""

from __future__ import annotations

import asyncio
import json
import logging
import math
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Final, Protocol

from server.domain import booking as rules
from server.domain.account import Actor, GeoPoint
from server.domain.booking import Booking
from server.domain.errors import DomainError, NotFound, StoreUnavailable
from server.domain.events import Event, EventKind
from server.domain.ports.bookings import BookingRepository
from server.domain.ports.processes import Bus
from server.domain.ports.world import Clock
from server.domain.travel import Whereabouts, travel_minutes
from server.services.notifications import user_topic
from server.tasks import end_all

_log: Final = logging.getLogger(__name__)
_ENDED_TOPIC: Final = "positions"
_SWEEP_SECONDS: Final = 5.0
_MAX_SHARES: Final = 10_000
_ENDING: Final = {
    EventKind.BOOKING_ARRIVED: "arrived",
    EventKind.BOOKING_STARTED: "started",
    EventKind.BOOKING_COMPLETED: "started",
    EventKind.BOOKING_CANCELLED: "cancelled",
    EventKind.BOOKING_FAILED: "cancelled",
    EventKind.BOOKING_RESCHEDULED: "moved",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class PositionPolicy:
    """Bounds of sharing; see ``settings.BookingSettings``.

    ``ahead``: so long before the beginning it may start. A position is told at most once in
    ``interval``, a share of which nothing comes for ``silence`` ends, and the booking is looked at
    again after ``checked``.
    """

    ahead: timedelta
    speed_kmh: float
    interval: timedelta = timedelta(seconds=3)
    silence: timedelta = timedelta(seconds=90)
    checked: timedelta = timedelta(seconds=60)


class PositionFrames(Protocol):
    """The finished frames of what is told."""

    def position(self, whereabouts: Whereabouts, ttl_seconds: int) -> bytes:
        """Where the pandit is; to be forgotten after so many seconds."""
        ...

    def position_ended(self, booking_id: str, reason: str) -> bytes:
        """No more positions come; for both sides."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Share:
    """A pandit's consent to be seen by one customer, until a time."""

    booking_id: str
    pandit_user_id: str
    customer_id: str
    goal: GeoPoint | None
    until: datetime
    heard_at: datetime
    told_at: datetime | None
    checked_at: datetime


class PositionService:
    """The use cases of sharing a position. A ``ports.Receiver`` of what ends it."""

    def __init__(
        self,
        *,
        bookings: BookingRepository,
        frames: PositionFrames,
        bus: Bus,
        clock: Clock,
        policy: PositionPolicy,
    ) -> None:
        self._bookings = bookings
        self._frames = frames
        self._bus = bus
        self._clock = clock
        self._policy = policy
        self._shares: dict[str, Share] = {}

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Let shares end by themselves while the context lasts."""
        await self._bus.subscribe(_ENDED_TOPIC, self._on_ended)
        sweep = asyncio.create_task(self._sweep_often(), name="positions")
        try:
            yield
        finally:
            await end_all([sweep])
            for booking_id in tuple(self._shares):
                self._end(booking_id, "stopped")
            self._bus.unsubscribe(_ENDED_TOPIC, self._on_ended)

    @property
    def interval_seconds(self) -> float:
        """At most one position in so many seconds is told."""
        return self._policy.interval.total_seconds()

    # -- what the pandit does ----------------------------------------------------------------------

    async def share(self, actor: Actor, booking_id: str) -> Share:
        """Begin to share with the customer of that booking; again, it goes on.

        Raises
        ------
        NotFound, Forbidden
            If the actor is not its pandit.
        IllegalTransition, TooEarly
            If he is not on his way to it now (see ``booking.require_on_the_way``).
        """
        booking = await self._load(booking_id)
        rules.require_party(booking, actor)
        now = self._clock.now()
        until = rules.require_on_the_way(booking, actor, now, self._policy.ahead)
        if len(self._shares) >= _MAX_SHARES and booking_id not in self._shares:
            raise NotFound
        share = Share(
            booking_id=booking.id,
            pandit_user_id=booking.pandit_user_id,
            customer_id=booking.user_id,
            goal=booking.location.point,
            until=until,
            heard_at=now,
            told_at=None,
            checked_at=now,
        )
        self._shares[booking.id] = share
        return share

    async def tell(
        self, actor: Actor, booking_id: str, point: GeoPoint, accuracy_m: float | None
    ) -> None:
        """Tell the customer where the actor is; too soon after the last one nothing happens.

        Raises ``NotFound`` when nothing is shared with the customer of that booking by him, here
        and now: he begins again.
        """
        share = self._shares.get(booking_id)
        if share is None or share.pandit_user_id != actor.user_id:
            raise NotFound
        now = self._clock.now()
        if now >= share.until:
            self._end(booking_id, "time")
            raise NotFound
        if share.told_at is not None and now - share.told_at < self._policy.interval:
            return
        share = replace(share, heard_at=now, told_at=now)
        self._shares[booking_id] = share
        if now - share.checked_at >= self._policy.checked and not await self._still(actor, share):
            return
        self._bus.publish(
            user_topic(share.customer_id),
            self._frames.position(
                self._whereabouts(share, point, accuracy_m, now),
                int(self._policy.silence.total_seconds()),
            ),
        )

    def stop(self, actor: Actor, booking_id: str) -> None:
        """Share no more; what was not shared stays so."""
        share = self._shares.get(booking_id)
        if share is not None and share.pandit_user_id == actor.user_id:
            self._end(booking_id, "stopped")

    # -- what ends it ------------------------------------------------------------------------------

    async def on_event(self, event: Event) -> None:
        """Tell all processes that a booking has no way any more to be shared."""
        if event.booking_id is not None and (reason := _ENDING.get(event.kind)):
            news = json.dumps({"booking": event.booking_id, "reason": reason})
            self._bus.publish(_ENDED_TOPIC, news.encode())

    def sweep(self) -> None:
        """End what has run out of time, and what nothing has come of."""
        now = self._clock.now()
        for share in tuple(self._shares.values()):
            if now >= share.until:
                self._end(share.booking_id, "time")
            elif now - share.heard_at >= self._policy.silence:
                self._end(share.booking_id, "silent")

    async def _sweep_often(self) -> None:
        while True:
            await asyncio.sleep(_SWEEP_SECONDS)
            try:
                self.sweep()
            except Exception:
                _log.exception("position_sweep_failed")

    def _on_ended(self, payload: bytes) -> None:
        news = json.loads(payload)
        self._end(str(news["booking"]), str(news["reason"]))

    def _end(self, booking_id: str, reason: str) -> None:
        share = self._shares.pop(booking_id, None)
        if share is None:
            return
        frame = self._frames.position_ended(booking_id, reason)
        for user_id in (share.customer_id, share.pandit_user_id):
            self._bus.publish(user_topic(user_id), frame)

    # -- inside ------------------------------------------------------------------------------------

    async def _still(self, actor: Actor, share: Share) -> bool:
        """Look at the booking again; what would end the share may have been missed."""
        now = self._clock.now()
        try:
            booking = await self._load(share.booking_id)
            rules.require_on_the_way(booking, actor, now, self._policy.ahead)
        except StoreUnavailable:
            return share.booking_id in self._shares
        except DomainError:
            self._end(share.booking_id, "stopped")
            return False
        if share.booking_id not in self._shares:
            return False
        self._shares[share.booking_id] = replace(share, checked_at=now)
        return True

    async def _load(self, booking_id: str) -> Booking:
        booking = await self._bookings.find(booking_id)
        if booking is None:
            raise NotFound
        return booking

    def _whereabouts(
        self, share: Share, point: GeoPoint, accuracy_m: float | None, now: datetime
    ) -> Whereabouts:
        goal = share.goal
        return Whereabouts(
            booking_id=share.booking_id,
            point=point,
            accuracy_m=accuracy_m,
            distance_km=None if goal is None else _tenths(point.distance_km(goal)),
            minutes=(None if goal is None else travel_minutes(point, goal, self._policy.speed_kmh)),
            at=now,
        )


def _tenths(distance_km: float) -> float:
    return math.ceil(distance_km * 10) / 10
