"""What a customer gets back when a booking that is paid for is called off."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from server.domain.account import Role

ALL: Final = 10_000


@dataclass(frozen=True, slots=True)
class RefundTier:
    """Called off at least ``hours`` before the puja: ``share`` hundredths of a percent go back."""

    hours: int
    share: int


DEFAULT_TIERS: Final = (RefundTier(48, ALL), RefundTier(24, 7_500), RefundTier(6, 5_000))
"""All until two days before, three quarters until a day before, half until six hours before."""


def refund_share(
    tiers: Sequence[RefundTier],
    starts_at: datetime,
    at: datetime,
    by_role: str,
    *,
    is_accepted: bool,
) -> int:
    """The share that goes back, in hundredths of a percent.

    Only a customer's own late cancellation of what a pandit has accepted costs him anything:
    whatever the pandit, an admin or the system calls off, and an offer that nobody has accepted, is
    given back in full.
    """
    if by_role != Role.USER or not is_accepted:
        return ALL
    for tier in sorted(tiers, key=lambda each: each.hours, reverse=True):
        if at <= starts_at - timedelta(hours=tier.hours):
            return tier.share
    return 0
