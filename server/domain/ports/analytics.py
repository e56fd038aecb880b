"""Figures over many bookings, payments and visits."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date, datetime
from typing import Protocol

from server.domain.analytics import (
    EarnedOn,
    Moved,
    Outcome,
    Period,
    Placed,
    RatedOn,
    Spending,
    Step,
    Tried,
)
from server.domain.booking import BookingStatus, Offer


class AnalyticsRepository(Protocol):
    """Figures, counted from what is stored. Each is one indexed query of the period's own rows."""

    async def placed(self, period: Period) -> tuple[Placed, ...]:
        """Return how many bookings were placed on each day, by how they stand, puja and town."""
        ...

    async def tried(self, period: Period) -> tuple[Tried, ...]:
        """Return what became of tries to pay, by method, of payments begun in the period."""
        ...

    async def moved(self, period: Period) -> tuple[Moved, ...]:
        """Return what moved in the ledger, by day, account and kind of entry."""
        ...

    async def offers(self, pandit_user_id: str, period: Period) -> tuple[Offer, ...]:
        """Return the offers that a pandit had of bookings placed in the period."""
        ...

    async def outcomes(
        self, pandit_user_id: str, period: Period, now: datetime
    ) -> tuple[Outcome, ...]:
        """Return how bookings stand that a pandit had accepted and that begin in the period.

        Those that end before ``now`` are over.
        """
        ...

    async def earned(self, pandit_user_id: str, period: Period) -> tuple[EarnedOn, ...]:
        """Return what a pandit earned and was paid, by day, from the ledger."""
        ...

    async def rated(self, pandit_id: str, period: Period) -> tuple[RatedOn, ...]:
        """Return a pandit's published reviews by the day on which they were written."""
        ...

    async def waiting(self, pandit_user_id: str, period: Period) -> int:
        """Return how many bookings that begin in the period wait for the pandit's answer."""
        ...

    async def upcoming(self, user_id: str, period: Period) -> int:
        """Return how many of a customer's bookings that begin in the period are ahead of him."""
        ...

    async def statuses(self, user_id: str, period: Period) -> dict[BookingStatus, int]:
        """Return how a customer's bookings stand that begin in the period."""
        ...

    async def spent(self, user_id: str, period: Period) -> tuple[Spending, ...]:
        """Return what a customer paid in the period, the latest first, without his wallet."""
        ...


class VisitRepository(Protocol):
    """How often things were done on a day that leave nothing else behind."""

    async def add(self, day: date, counts: Mapping[Step, int]) -> None:
        """Raise the day's counts; not to be repeated."""
        ...

    async def total(self, first: date, last: date) -> dict[Step, int] | None:
        """Sum the counts of those days; None where nothing was counted."""
        ...
