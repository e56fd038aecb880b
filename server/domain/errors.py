"""What can go wrong, in the words of the business.

::

    DomainError
    ├── Malformed                 the request cannot be read at all
    ├── Invalid                   readable, but some fields break a rule
    │   └── NotBookable           that time cannot be booked, and why
    ├── ModelRefused              a trained model that cannot serve
    ├── NotSignedIn               nobody, or a credential that no longer holds
    │   └── InvalidCredentials    wrong name, password or code
    ├── Forbidden                 signed in, but not entitled to this action
    │   └── UnlockNeeded          the pandit's contact has to be unlocked first
    ├── NotFound                  absent, or not the asker's to know of
    ├── Conflict                  at odds with the present state
    │   ├── SlotTaken
    │   ├── IllegalTransition
    │   ├── TooFarApart           no way from one booking to the other in time
    │   ├── ItemRequired
    │   ├── ProposalChanged       what was looked at is not what is proposed now
    │   ├── ConcurrentChange
    │   ├── AlreadyExists
    │   ├── RoomClosed
    │   ├── PapersRelied          an admin's approval rests on them
    │   ├── ClientIdConflict
    │   ├── GatesFailed
    │   ├── CatalogueMoved
    │   ├── PaymentDue            it waits for the customer's payment
    │   ├── PaymentOpen           a payment of it is under way
    │   ├── OwnAccount            another administrator has to do it
    │   ├── LastAdmin             one administrator has to be left
    │   ├── AlreadyPaid
    │   ├── TooManyAttempts
    │   ├── TooManyDrafts         as many bookings are being put together as may be
    │   ├── TooManyOpen           as many wait to be paid, or for an answer, as may
    │   ├── RefundRefused         more than is left, or not to be refunded at all
    │   ├── InsufficientBalance
    │   ├── ProofReused           a proof of payment that belongs to another payment
    │   └── RequestInProgress
    ├── TooLarge
    ├── UnsupportedMedia
    ├── RateLimited
    ├── GatewayDeclined           the payment provider says no, for good
    ├── ForgedCallback            what came back from a provider is not its own
    ├── CallbackFailed            it is kept, but handling it failed: it shall come again
    └── Unavailable               try again later
        ├── StoreUnavailable
        ├── Overloaded
        └── GatewayUnavailable    the payment provider does not answer
            └── GatewayMisconfigured  it refuses our keys: an alarm for us, a pause for the payer

Each class carries a stable ``code`` and typed data; status numbers and texts live in
``server/problems.py``.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import time
from typing import ClassVar


class DomainError(Exception):
    """Root of the tree. ``code`` is the stable machine name that clients see."""

    code: ClassVar[str] = "error"

    def params(self) -> dict[str, str | int]:
        """Values for the placeholders of the message that is shown to people."""
        return {}


@dataclass(frozen=True, slots=True)
class FieldFault:
    """One fault in one input field: ``code`` is looked up for the text, ``params`` fill it."""

    field: str
    code: str
    params: Mapping[str, str | int | time] = dataclasses.field(default_factory=dict)


class Malformed(DomainError):
    """The body or query cannot be parsed."""

    code = "malformed"


class Invalid(DomainError):
    """Well-formed input that breaks rules; names every faulty field at once."""

    code = "invalid"

    def __init__(self, *faults: FieldFault) -> None:
        super().__init__(", ".join(f"{fault.field}: {fault.code}" for fault in faults))
        self.faults = faults


class NotBookable(Invalid):
    """The pandit cannot be booked at that time.

    ``reason`` is one of the codes of ``calendar.Refusal``.
    """

    code = "not-bookable"

    def __init__(self, reason: str) -> None:
        super().__init__(FieldFault("booking_time", reason))
        self.reason = reason


class ModelRefused(DomainError):
    """A trained model is damaged, or does not fit this server; ``fault`` is a stable code."""

    code = "model-refused"

    def __init__(self, fault: str) -> None:
        super().__init__(fault)
        self.fault = fault

    def params(self) -> dict[str, str | int]:
        """Give the code of the fault."""
        return {"fault": self.fault}


class NotSignedIn(DomainError):
    """No credential, or one that no longer holds."""

    code = "not-signed-in"


class SessionOver(NotSignedIn):
    """A token that was ours, and whose time is over."""


class InvalidCredentials(NotSignedIn):
    """The name, password, code or refresh token is wrong; says not which."""

    code = "invalid-credentials"


class Forbidden(DomainError):
    """The actor is known and is not entitled to this action."""

    code = "forbidden"


class UnlockNeeded(Forbidden):
    """Chat and contact details of a pandit take an accepted booking with him, or an unlock."""

    code = "unlock-needed"


class NotFound(DomainError):
    """No such thing, or none that the actor may know of."""

    code = "not-found"


class Conflict(DomainError):
    """The request is at odds with the present state."""

    code = "conflict"


class SlotTaken(Conflict):
    """Another booking of this pandit already occupies part of that time."""

    code = "slot-taken"


class IllegalTransition(Conflict):
    """The booking is in a state from which this move does not exist."""

    code = "illegal-transition"

    def __init__(self, state: str) -> None:
        super().__init__(state)
        self.state = state

    def params(self) -> dict[str, str | int]:
        """Give the present state."""
        return {"state": self.state}


class TooFarApart(Conflict):
    """The pandit cannot get in time from one of his accepted bookings to another."""

    code = "too-far-apart"


class TooEarly(Conflict):
    """A booking may only be started from a set time ahead of its beginning."""

    code = "too-early"


class NotOnTheWay(TooEarly):
    """A pandit sets out for a booking, and arrives, on its day and not long before its time."""


class ItemRequired(Conflict):
    """A required or essential item cannot be removed."""

    code = "item-required"


class ProposalChanged(Conflict):
    """What somebody answers is no longer proposed: it was changed, answered, or has lapsed."""

    code = "proposal-changed"


class ConcurrentChange(Conflict):
    """Somebody else changed the same thing again and again while we tried."""

    code = "concurrent-change"


class AlreadyExists(Conflict):
    """A value that must be unique is taken; ``field`` names it."""

    code = "already-exists"

    def __init__(self, field: str) -> None:
        super().__init__(field)
        self.field = field

    def params(self) -> dict[str, str | int]:
        """Give the field's name."""
        return {"field": self.field}


class RoomClosed(Conflict):
    """The room can be read but no longer written."""

    code = "room-closed"


class PapersRelied(Conflict):
    """A certificate on which an approval rests stays as long as the approval does."""

    code = "papers-relied"


class ClientIdConflict(Conflict):
    """The same client id was sent before with another body."""

    code = "cid-conflict"


class GatesFailed(Conflict):
    """A trained model was found too weak to serve; ``gates`` names the tests it failed."""

    code = "gates-failed"

    def __init__(self, gates: str) -> None:
        super().__init__(gates)
        self.gates = gates

    def params(self) -> dict[str, str | int]:
        """Give the names of the gates."""
        return {"gates": self.gates}


class CatalogueMoved(Conflict):
    """The catalogue is not what it was when the table was checked against it."""

    code = "catalogue-moved"


class RequestInProgress(Conflict):
    """The first request with this idempotency key is still running."""

    code = "request-in-progress"


class PaymentDue(Conflict):
    """The customer has to pay first; until then nobody answers for the pandit."""

    code = "payment-due"


class PaymentOpen(Conflict):
    """A payment is under way, so its price cannot change."""

    code = "payment-open"


class OwnAccount(Conflict):
    """Nobody closes his own account by the administration's door."""

    code = "own-account"


class LastAdmin(Conflict):
    """The account of whoever closes others' has just been closed; one has to be left."""

    code = "last-admin"


class AlreadyPaid(Conflict):
    """There was a successful payment before."""

    code = "already-paid"


class TooManyAttempts(Conflict):
    """Too many tries to pay the same thing."""

    code = "too-many-attempts"


class TooManyDrafts(Conflict):
    """The customer has as many unfinished bookings as he may have; ``most`` says how many."""

    code = "too-many-drafts"

    def __init__(self, most: int) -> None:
        super().__init__(str(most))
        self.most = most

    def params(self) -> dict[str, str | int]:
        """Give the bound."""
        return {"most": self.most}


class TooManyOpen(Conflict):
    """So many of the customer's bookings wait to be paid or answered as may; ``most`` of them."""

    code = "too-many-open"

    def __init__(self, most: int) -> None:
        super().__init__(str(most))
        self.most = most

    def params(self) -> dict[str, str | int]:
        """Give the bound."""
        return {"most": self.most}


class RefundRefused(Conflict):
    """Nothing is left to give back of it, or not so much, or it cannot be refunded."""

    code = "refund-refused"


class InsufficientBalance(Conflict):
    """A wallet or a pandit's earnings do not hold so much."""

    code = "insufficient-balance"


class ProofReused(Conflict):
    """What a provider gave as proof belongs to another payment already."""

    code = "proof-reused"


class KeyReused(DomainError):
    """An idempotency key came again with another body."""

    code = "idempotency-key-reused"


class TooLarge(DomainError):
    """The body, message or file is larger than allowed.

    ``limit_bytes`` says how large it may be.
    """

    code = "too-large"

    def __init__(self, limit_bytes: int) -> None:
        super().__init__(str(limit_bytes))
        self.limit_bytes = limit_bytes

    def params(self) -> dict[str, str | int]:
        """Give the limit in kB, as people read it."""
        return {"limit": max(1, self.limit_bytes // 1000)}


class UnsupportedMedia(DomainError):
    """The content type is not one that is accepted here."""

    code = "unsupported-media"


class RateLimited(DomainError):
    """Too many requests; try again after ``retry_after_seconds``."""

    code = "rate-limited"

    def __init__(self, retry_after_seconds: int) -> None:
        super().__init__(str(retry_after_seconds))
        self.retry_after_seconds = retry_after_seconds

    def params(self) -> dict[str, str | int]:
        """Give the seconds to wait."""
        return {"seconds": self.retry_after_seconds}


class Unavailable(DomainError):
    """A thing that we depend on is away; the same request may succeed later."""

    code = "unavailable"
    retry_after_seconds: ClassVar[int] = 5


class StoreUnavailable(Unavailable):
    """The database cannot be reached; whether a write happened is unknown."""

    code = "storage-unavailable"


class Overloaded(Unavailable):
    """A bounded queue is full."""

    code = "overloaded"
    retry_after_seconds = 2


class NoCodes(Unavailable):
    """Nobody signs in by code here: nothing is set up that could send one."""

    code = "no-codes"
    retry_after_seconds = 3600


class GatewayDeclined(DomainError):
    """The payment provider refuses, and asking again will not help; ``reason`` is its own code."""

    code = "payment-declined"

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


class ForgedCallback(DomainError):
    """A callback that its provider did not make; ``reason`` says what gave it away."""

    code = "callback-refused"

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


class CallbackFailed(DomainError):
    """A provider's callback was stored, but handling it failed: the provider shall repeat it."""

    code = "callback-failed"


class GatewayUnavailable(Unavailable):
    """The payment provider cannot be reached or answers nonsense; the payment is untouched."""

    code = "gateway-unavailable"
    retry_after_seconds = 30


class GatewayMisconfigured(GatewayUnavailable):
    """The provider refuses our credentials: the payment is untouched, somebody must look."""

    code = "gateway-unavailable"
