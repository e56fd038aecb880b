"""A payment as a provider keeps it, and what the provider says about it."""

from __future__ import annotations

import enum
from dataclasses import dataclass, field
from typing import Any

from server.sandbox.faults import Faults


class Status(enum.StrEnum):
    """Where the money is. ``PAID`` stays when it went back: see ``Payment.refunds``."""

    OPEN = "open"
    PENDING = "pending"
    PAID = "paid"
    CANCELLED = "cancelled"
    FAILED = "failed"
    EXPIRED = "expired"


class RefundStatus(enum.StrEnum):
    """How far a refund has come; a failed one has given nothing back."""

    PENDING = "pending"
    SUCCEEDED = "succeeded"
    FAILED = "failed"


class Signature(enum.StrEnum):
    """How what is told is signed, by gateways that sign."""

    RIGHT = "right"
    WRONG = "wrong"
    MISSING = "missing"
    REFLECTED = "reflected"
    """The request's own signature, sent back."""


@dataclass(slots=True, kw_only=True)
class Refund:
    """Money that goes back, in minor units."""

    id: str
    amount: int
    created_at: float
    status: RefundStatus = RefundStatus.SUCCEEDED
    details: dict[str, Any] = field(default_factory=dict)


@dataclass(slots=True, kw_only=True)
class Payment:
    """One payment at one gateway.

    ``id`` is the gateway's (pidx, TokenId, session), ``reference`` the merchant's own. ``amount``
    is in minor units; instants are seconds since 1970 by the sandbox's clock. ``details`` is what
    the gateway's protocol needs besides.
    """

    gateway: str
    id: str
    reference: str
    amount: int
    currency: str = "NPR"
    title: str = ""
    return_url: str = ""
    cancel_url: str = ""
    created_at: float
    expires_at: float
    faults: Faults = field(default_factory=Faults)
    status: Status = Status.OPEN
    paid_at: float | None = None
    transaction_id: str = ""
    refunds: list[Refund] = field(default_factory=list)
    details: dict[str, Any] = field(default_factory=dict)

    @property
    def refunded(self) -> int:
        """How much went back, in minor units."""
        return sum(
            refund.amount for refund in self.refunds if refund.status is RefundStatus.SUCCEEDED
        )

    @property
    def refundable(self) -> int:
        """How much may still go back: what is on its way counts as gone."""
        if self.status is not Status.PAID:
            return 0
        gone = [each.amount for each in self.refunds if each.status is not RefundStatus.FAILED]
        return self.amount - sum(gone)


@dataclass(frozen=True, slots=True, kw_only=True)
class Story:
    """What a provider says of a payment, true or not; each gateway puts it into its own words.

    ``words`` stand in place of the gateway's own word for the status. ``signed_as`` is what was
    signed when something was changed afterwards.
    """

    status: Status
    amount: int
    currency: str
    reference: str
    gateway_id: str
    transaction_id: str
    refunded: int = 0
    words: str = ""
    signature: Signature = Signature.RIGHT
    signed_as: Story | None = None

    @property
    def is_refunded(self) -> bool:
        """Whether everything went back."""
        return self.status is Status.PAID and self.refunded >= self.amount

    @property
    def is_partly_refunded(self) -> bool:
        """Whether some of it went back."""
        return self.status is Status.PAID and 0 < self.refunded < self.amount
