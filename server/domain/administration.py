"""What administrators see of an account."""

from __future__ import annotations

from dataclasses import dataclass

from server.domain.account import Session, User
from server.domain.booking import Booking
from server.domain.pandit import Pandit
from server.domain.payment import Payment


@dataclass(frozen=True, slots=True)
class UserSheet:
    """An account with what belongs to it: a pandit's profile, sign-ins, latest bookings, payments.

    ``is_own``: the one who looks at it is himself.
    """

    user: User
    pandit: Pandit | None
    sessions: tuple[Session, ...]
    bookings: tuple[Booking, ...]
    payments: tuple[Payment, ...]
    is_own: bool
