"""Bookings, the drafts and series that they come from, and calendars of them."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from datetime import date, datetime
from typing import Protocol

from server.domain.booking import Booking, BookingStatus
from server.domain.draft import Draft
from server.domain.feed import CalendarFeed
from server.domain.ports.paging import Page, SortKey
from server.domain.recommendation import (
    PastBooking,
)
from server.domain.recurrence import Series
from server.domain.travel import Engagement


@dataclass(frozen=True, slots=True, kw_only=True)
class BookingFilter:
    """Whose bookings, and which of them. Dates are the booking's own, inclusive.

    ``is_held``: only those that wait to be paid in advance, or only those that do not.
    """

    user_id: str | None = None
    pandit_user_id: str | None = None
    statuses: tuple[BookingStatus, ...] = ()
    first: date | None = None
    last: date | None = None
    is_held: bool | None = None
    limit: int = 20
    after: SortKey | None = None
    soonest_first: bool = False


class BookingRepository(Protocol):
    """Bookings. A unique index over (pandit, claim) refuses overlapping ones."""

    async def add(self, booking: Booking) -> None:
        """Store a new booking.

        Raises ``SlotTaken`` when any of its claims is held, ``AlreadyExists`` when the customer has
        one with its ``request_key`` or in its ``open_place``.
        """
        ...

    async def open_places(self, user_id: str) -> frozenset[str]:
        """Return the places that a customer's open bookings hold."""
        ...

    async def find_by_request(self, user_id: str, request_key: str) -> Booking | None:
        """Return the customer's booking that came of that request, or None."""
        ...

    async def find(self, booking_id: str) -> Booking | None:
        """Return the booking, or None."""
        ...

    async def find_each(self, booking_ids: Collection[str]) -> dict[str, Booking]:
        """Return those of the bookings that exist, by id, in one query."""
        ...

    async def replace(self, booking: Booking) -> bool:
        """Write the booking back if ``version`` is still the stored one, and raise it by one.

        Returns False when somebody else was faster; raises ``SlotTaken`` when a new claim is held.
        """
        ...

    async def list_page(self, wanted: BookingFilter) -> Page[Booking]:
        """Return bookings, the latest start first, by one indexed query."""
        ...

    async def list_between(
        self, user_id: str, *, as_pandit: bool, first: datetime, last: datetime, limit: int
    ) -> tuple[Booking, ...]:
        """Return a person's bookings that begin in [first, last), the next one first.

        Those that he has made, or as a pandit is asked for, by one indexed query.
        """
        ...

    async def claims(
        self, pandit_ids: Collection[str], first: int, last: int
    ) -> dict[str, frozenset[int]]:
        """Return the claims in [first, last) of each of the pandits, by one indexed query."""
        ...

    async def engagements(self, pandit_id: str, first: int, last: int) -> tuple[Engagement, ...]:
        """Return the pandit's bookings that hold a claim in [first, last), by one indexed query."""
        ...

    async def has_accepted(self, user_id: str, pandit_id: str) -> bool:
        """Whether customer and pandit have a booking in which they share contact details."""
        ...

    async def accepted_pandits(self, user_id: str, pandit_ids: Collection[str]) -> frozenset[str]:
        """Return those of the pandits with whom the customer shares contact details.

        In one query.
        """
        ...

    async def list_unanswered(self, now: datetime, limit: int) -> tuple[Booking, ...]:
        """Return pending bookings whose time to answer has run out."""
        ...

    async def list_to_remind(self, now: datetime, limit: int) -> tuple[Booking, ...]:
        """Return bookings whose parties are due to be reminded, the longest due first."""
        ...

    async def list_unpaid(self, now: datetime, limit: int) -> tuple[Booking, ...]:
        """Return pending bookings whose time to pay has run out."""
        ...

    async def list_unanswered_proposals(self, now: datetime, limit: int) -> tuple[Booking, ...]:
        """Return bookings with a proposed time or list that nobody has answered in time."""
        ...

    async def past_of(self, user_id: str, limit: int) -> tuple[PastBooking, ...]:
        """Return what a customer booked, the latest start first, by one indexed query."""
        ...

    async def last_held(self, user_id: str) -> dict[str, date]:
        """Return when a customer last held each puja that he ever held, by one indexed query."""
        ...


class DraftRepository(Protocol):
    """Bookings that are being put together; they hold time by the same index as bookings."""

    async def add(self, draft: Draft) -> None:
        """Store a new draft. Raises ``AlreadyExists`` when the customer has one of its place."""
        ...

    async def find(self, draft_id: str) -> Draft | None:
        """Return the draft, or None; also when it has become a booking."""
        ...

    async def list_of(self, user_id: str) -> tuple[Draft, ...]:
        """Return the customer's drafts (a handful), the oldest first."""
        ...

    async def replace(self, draft: Draft) -> bool:
        """Write the draft back if ``version`` is still the stored one, and raise it by one.

        Returns False when somebody else was faster; raises ``SlotTaken`` when a new claim is held.
        """
        ...

    async def confirm(self, draft: Draft, booking: Booking) -> bool:
        """Put the booking in the place of the draft, in one write, if ``version`` still holds.

        Raises ``SlotTaken`` when the booking claims more than the draft, and that is held.
        """
        ...

    async def remove(self, draft: Draft) -> bool:
        """Delete the draft, and so free its slot, if ``version`` is still the stored one."""
        ...

    async def list_lapsed(self, now: datetime, limit: int) -> tuple[Draft, ...]:
        """Return drafts whose time has run out, the longest first."""
        ...


class SeriesRepository(Protocol):
    """Bookings that come again."""

    async def add(self, series: Series) -> None:
        """Store a new one. Raises ``AlreadyExists``."""
        ...

    async def find(self, series_id: str) -> Series | None:
        """Return it, or None."""
        ...

    async def find_by_booking(self, booking_id: str) -> Series | None:
        """Return the series that a booking belongs to, or None."""
        ...

    async def replace(self, series: Series) -> bool:
        """Write it if nobody has changed it since it was read (``version``)."""
        ...

    async def list_page(self, user_id: str, *, limit: int, after: SortKey | None) -> Page[Series]:
        """Return a customer's, the latest first; the sort key is (created_at, id)."""
        ...

    async def list_due(
        self, today: date, limit: int, *, but: Collection[str] = ()
    ) -> tuple[Series, ...]:
        """Return those with a planned day that can be booked from today on, without those ``but``.

        The longest due first.
        """
        ...


class FeedRepository(Protocol):
    """Calendar feeds, at most one for each person."""

    async def find(self, user_id: str) -> CalendarFeed | None:
        """Return the person's feed, or None."""
        ...

    async def find_by_hash(self, token_hash: str) -> CalendarFeed | None:
        """Return the feed whose address has a token of that hash, or None."""
        ...

    async def put(self, feed: CalendarFeed) -> None:
        """Store it in the place of the person's feed before it."""
        ...

    async def remove(self, user_id: str) -> None:
        """Delete the person's feed; without one nothing happens."""
        ...
