"""Reviews of completed bookings."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Review:
    """What a customer says of a completed booking. The four ratings are 1 to 5.

    Public, and counted in the pandit's rating, only once ``is_verified`` by a moderator.
    """

    id: str
    booking_id: str
    user_id: str
    customer_name: str
    pandit_id: str
    rating: int
    professionalism: int
    knowledge: int
    punctuality: int
    comment: str = ""
    comment_ne: str = ""
    is_verified: bool = False
    created_at: datetime
