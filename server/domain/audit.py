"""The record of what administrators did: who, when, what, to whom."""

from __future__ import annotations

import enum
from dataclasses import dataclass, field
from datetime import datetime
from typing import Final

MAX_DETAIL: Final = 300
"""Characters of a detail that are kept; the record says what happened, it is no copy."""


class Act(enum.StrEnum):
    """What an administrator can do that others must be able to look up later."""

    PANDIT_APPROVED = "pandit-approved"
    PANDIT_REJECTED = "pandit-rejected"
    DOCUMENT_VIEWED = "document-viewed"
    CHAT_READ = "chat-read"
    USER_VIEWED = "user-viewed"
    USER_SIGNED_OUT = "user-signed-out"
    USER_DEACTIVATED = "user-deactivated"
    USER_REACTIVATED = "user-reactivated"
    BOOKING_CANCELLED = "booking-cancelled"
    PROPOSAL_DECLINED = "proposal-declined"
    ITEM_CHANGED = "item-changed"
    PUJA_CHANGED = "puja-changed"
    TEMPLATE_CHANGED = "template-changed"
    CATALOGUE_CHECKED = "catalogue-checked"
    CATALOGUE_IMPORTED = "catalogue-imported"
    CATALOGUE_DROPPED = "catalogue-dropped"
    REVIEW_MODERATED = "review-moderated"
    CASH_RECORDED = "cash-recorded"
    REFUND_MADE = "refund-made"
    PAYMENT_REVIEWED = "payment-reviewed"
    PAYOUT_PAID = "payout-paid"
    WEBHOOK_REPLAYED = "webhook-replayed"
    MODEL_ACTIVATED = "model-activated"
    DATA_EXPORTED = "data-exported"


@dataclass(frozen=True, slots=True, kw_only=True)
class AuditEntry:
    """One act. The entry of one that was done stays for good, as it is.

    ``target_kind`` and ``target_id`` say to what it was done (``pandit``, ``user``, ``item``, …).
    What changes something is added before it is done: ``is_done`` is False while it is under way,
    and stays so where a crash leaves unknown what became of it. Then it is written anew once, with
    what was known only then; the entry of an act that was refused whole is taken out.
    """

    id: str
    at: datetime
    admin_id: str
    admin_name: str
    act: Act
    target_kind: str
    target_id: str
    details: dict[str, str] = field(default_factory=dict)
    is_done: bool = True
