"""The calendar feed of a person: one address that reads his bookings, and nothing else."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

TOKEN_BYTES: Final = 32
"""Random bytes of an address: nobody finds one by trying."""
BEHIND: Final = timedelta(days=7)
"""So long a booking stays in the feed when it is over or called off: calendars ask seldom."""
AHEAD: Final = timedelta(days=3651)
"""Further ahead than any booking can be taken."""
MOST: Final = 500


@dataclass(frozen=True, slots=True, kw_only=True)
class CalendarFeed:
    """That a person has a feed; ``id`` is his user id. Only the hash of its address is known."""

    id: str
    token_hash: str
    created_at: datetime


def feed_hash(token: str) -> str:
    """What is stored of an address."""
    return hashlib.sha256(token.encode()).hexdigest()
