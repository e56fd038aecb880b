"""What a pandit asks to be paid of his earnings."""

from __future__ import annotations

import enum
from dataclasses import dataclass
from datetime import datetime


class PayoutStatus(enum.StrEnum):
    """Where a payout stands; the last two are final."""

    ASKED = "ASKED"
    PAID = "PAID"
    REFUSED = "REFUSED"


@dataclass(frozen=True, slots=True, kw_only=True)
class Payout:
    """A sum (minor units) that is reserved from the moment in which it was asked for.

    One that is refused without ``settled_by`` found no money: another one was faster.
    """

    id: str
    pandit_user_id: str
    pandit_name: str
    amount: int
    currency: str
    destination: str
    status: PayoutStatus = PayoutStatus.ASKED
    asked_at: datetime
    settled_at: datetime | None = None
    settled_by: str | None = None
    note: str = ""
