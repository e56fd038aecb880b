"""The way from one family to the next: how long it takes, and whether there is time for it.

Places are compared on the grid on which strangers may know them, about 1 km wide: from the exact
ones, somebody who asks for free times at many places could find out where another family lives.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from server.domain.account import GeoPoint, Place
from server.domain.booking import VISITS, BookingStatus, ServiceLocation
from server.domain.calendar import Span
from server.domain.search import coarse_point

_SETTLED: Final = frozenset({BookingStatus.ACCEPTED, BookingStatus.IN_PROGRESS})
_SLACK: Final = 1e-9


@dataclass(frozen=True, slots=True, kw_only=True)
class Engagement:
    """A booking as the pandit's calendar knows it.

    ``point`` is where he has to be, None where he need not go or nobody knows.
    """

    booking_id: str
    starts_at: datetime
    ends_at: datetime
    status: BookingStatus
    claims: tuple[int, ...]
    point: GeoPoint | None

    @property
    def is_settled(self) -> bool:
        """Whether he has promised to be there."""
        return self.status in _SETTLED


@dataclass(frozen=True, slots=True, kw_only=True)
class Whereabouts:
    """What a customer is told. ``accuracy_m`` is the radius that the device is sure of.

    ``distance_km`` and ``minutes`` lead to the place of the puja, None where that is not known.
    """

    booking_id: str
    point: GeoPoint
    accuracy_m: float | None
    distance_km: float | None
    minutes: int | None
    at: datetime


def visited_point(kind: ServiceLocation, place: Place) -> GeoPoint | None:
    """Where the pandit has to go, on the public grid; None where he need not, or nobody knows."""
    if kind not in VISITS or place.point is None:
        return None
    return coarse_point(place.point)


def travel_minutes(start: GeoPoint, end: GeoPoint, speed_kmh: float) -> int:
    """Whole minutes, rounded up, for the way as the crow flies at that speed."""
    return math.ceil(start.distance_km(end) / speed_kmh * 60 - _SLACK)


def too_far(
    span: Span, point: GeoPoint | None, engagements: Iterable[Engagement], speed_kmh: float
) -> tuple[Engagement, ...]:
    """Those bookings from or to which there is not enough time for the way.

    The buffer between bookings counts towards it: where the way takes longer, the way decides.
    Bookings that overlap are not this rule's matter; of those nobody finds the way either.
    """
    if point is None:
        return ()
    return tuple(
        other
        for other in engagements
        if other.point is not None and _gap(span, other) < _way(point, other.point, speed_kmh)
    )


def _gap(span: Span, other: Engagement) -> timedelta:
    if other.starts_at >= span.starts_at:
        return other.starts_at - span.ends_at
    return span.starts_at - other.ends_at


def _way(start: GeoPoint, end: GeoPoint, speed_kmh: float) -> timedelta:
    minutes = travel_minutes(start, end, speed_kmh)
    # To the neighbours there is no way: bookings may even touch.
    return timedelta(minutes=minutes) if minutes else timedelta.min
