"""Reviews of pandits, and ratings of customers."""

from __future__ import annotations

from typing import Protocol

from server.domain.ports.paging import Page, SortKey
from server.domain.review import CustomerRating, CustomerStanding, Review, ReviewState


class ReviewRepository(Protocol):
    """Reviews, one for each booking; a pandit's turn belongs to one of them alone."""

    async def add(self, review: Review) -> None:
        """Store a new review. Raises ``AlreadyExists`` when the booking has one."""
        ...

    async def find(self, review_id: str) -> Review | None:
        """Return the review, or None."""
        ...

    async def find_by_booking(self, booking_id: str) -> Review | None:
        """Return the review of that booking, or None."""
        ...

    async def find_by_turn(self, pandit_id: str, turn: int) -> Review | None:
        """Return the review to which that turn of the pandit's was given, or None."""
        ...

    async def replace(self, review: Review) -> bool:
        """Write the review back if ``version`` is still the stored one, and raise it by one.

        Returns False when somebody was faster: with this review, or with one of its turns.
        """
        ...

    async def list_by_state(
        self, state: ReviewState, *, limit: int, after: SortKey | None
    ) -> Page[Review]:
        """Return reviews of that state: open ones longest waiting first, others newest first."""
        ...

    async def list_for_pandit(
        self, pandit_id: str, *, limit: int, after: SortKey | None
    ) -> Page[Review]:
        """Return approved reviews, newest first."""
        ...

    async def stars_given(self, user_id: str, limit: int) -> dict[str, float]:
        """Return the mean of the stars that a customer gave, by pandit, by one indexed query."""
        ...


class CustomerRatingRepository(Protocol):
    """What pandits say of customers, one for each booking."""

    async def add(self, rating: CustomerRating) -> None:
        """Store it. Raises ``AlreadyExists`` when the booking has one."""
        ...

    async def find_by_booking(self, booking_id: str) -> CustomerRating | None:
        """Return that of a booking, or None."""
        ...

    async def standing_of(self, user_id: str, latest: int) -> CustomerStanding:
        """Return how a customer stands, with so many of the latest ratings; one indexed query."""
        ...
