"""What crosses the border between our payments and a payment gateway.

A gateway translates: it starts a payment at the provider, reads what comes back through the
customer's browser, asks the provider's server, and asks for refunds. It decides nothing. State,
amounts, locking, uniqueness and the decision whether something is paid belong to
``domain.payment_rules`` and ``services.payments``; so a gateway reports the provider's words as
facts (:class:`Verdict`) and never compares them with what is due, except for what concerns our
account there: merchant, product code, live or test mode (``Verdict.mismatches``).

Failures come in four kinds, all in ``domain.errors``: ``GatewayDeclined`` (final),
``GatewayUnavailable`` (ask again later), ``ForgedCallback`` (alarm) and ``GatewayMisconfigured``
(our keys are wrong; the payment is untouched).
"""

from __future__ import annotations

import enum
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Protocol

from server.domain.booking import PaymentMethod


class ActionKind(enum.StrEnum):
    """What the customer's browser has to do to pay."""

    REDIRECT = "redirect"
    FORM = "form"
    NONE = "none"


@dataclass(frozen=True, slots=True, kw_only=True)
class PaymentAction:
    """Go to ``url``; of kind FORM, POST ``fields`` there (hidden inputs), exactly as they are."""

    kind: ActionKind
    url: str = ""
    fields: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class GatewayTraits:
    """What a gateway can do. Amounts are minor units of the currency.

    ``is_prepaid``: the money is taken before the puja. ``can_refund``: there is a call for it;
    without one a refund is a task for staff. ``accepts_tokens``: a payment that the provider's own
    widget has taken can be verified by its token. ``is_test``: it runs with test keys or hosts.
    ``form_origins`` are the origins that a page which posts a form must allow.
    """

    currencies: frozenset[str]
    min_amount: int
    max_amount: int | None
    is_prepaid: bool = True
    can_refund: bool = False
    can_refund_partly: bool = False
    accepts_tokens: bool = False
    is_test: bool = False
    form_origins: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class PaymentOrder:
    """What shall be paid. ``amount`` is in minor units of ``currency``.

    ``reference`` is ours: unguessable, unique, at most 20 characters of ``[A-Za-z0-9-]``.
    ``return_url`` and ``cancel_url`` hold it in their path and carry no query. ``title`` is shown
    to the payer; it is plain ASCII letters, digits, blanks and hyphens. ``payer_id`` is the
    customer's account with us, which no provider is told.
    """

    reference: str
    amount: int
    currency: str
    title: str
    note: str
    return_url: str
    cancel_url: str
    website_url: str
    created_at: datetime
    payer_id: str = ""
    customer_name: str = ""
    customer_email: str = ""
    customer_phone: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class StartedPayment:
    """The provider knows of the payment now, or will when the browser's form arrives there.

    ``gateway_id`` is the provider's own id where it gives one at the start (pidx, TokenId, session
    id). ``details`` is what the gateway wants to be given back in :class:`AttemptFacts`.
    """

    action: PaymentAction
    gateway_id: str | None = None
    expires_at: datetime | None = None
    details: Mapping[str, str] = field(default_factory=dict)
    raw: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class AttemptFacts:
    """An attempt as we stored it: all that a gateway may believe."""

    reference: str
    amount: int
    currency: str
    created_at: datetime
    gateway_id: str | None = None
    transaction_id: str | None = None
    refunded: int = 0
    details: Mapping[str, str] = field(default_factory=dict)


class Claim(enum.StrEnum):
    """What the browser says became of the payment: a hint, never proof."""

    PAID = "paid"
    PENDING = "pending"
    CANCELLED = "cancelled"
    FAILED = "failed"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True, kw_only=True)
class ReturnHint:
    """A return through the browser, read. ``details`` are stored on the attempt and come back.

    ``mismatches`` name fields that contradict the stored attempt (amount, reference, token).
    """

    claim: Claim
    details: Mapping[str, str] = field(default_factory=dict)
    mismatches: tuple[str, ...] = ()


class Outcome(enum.StrEnum):
    """What the provider's server says of a payment."""

    PAID = "paid"
    IN_PROGRESS = "in-progress"
    UNCHANGED = "unchanged"
    FAILED = "failed"
    REFUNDED = "refunded"
    PARTLY_REFUNDED = "partly-refunded"
    UNKNOWN = "unknown"
    """Words that we do not know: nothing moves, a person looks."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """The answer of the provider's server, in our terms; None where it does not say.

    ``amount`` and ``refunded`` (a running total) are minor units. ``mismatches`` name what
    contradicts our configuration or the stored attempt (merchant, product-code, mode, …);
    ``review`` names another reason to have a person look. ``raw`` is the answer without secrets,
    for the record.
    """

    outcome: Outcome
    amount: int | None = None
    currency: str | None = None
    reference: str | None = None
    gateway_id: str | None = None
    transaction_id: str | None = None
    refunded: int | None = None
    fee: int | None = None
    reason: str = ""
    mismatches: tuple[str, ...] = ()
    review: str = ""
    raw: Mapping[str, str] = field(default_factory=dict)


class RefundState(enum.StrEnum):
    """How far a refund has come."""

    REQUESTED = "requested"
    PENDING = "pending"
    DONE = "done"
    FAILED = "failed"
    MANUAL = "manual"
    """The provider has no call for it: staff refund in the provider's panel and say so here."""
    UNKNOWN = "unknown"
    """The answer was lost: look the payment up before anything is tried again."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RefundOrder:
    """Give ``amount`` minor units back. ``id`` is the row of ours and the idempotency key."""

    id: str
    amount: int
    is_full: bool
    reason: str = ""
    payer_phone: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class RefundAnswer:
    """What became of a request for a refund; ``gateway_id`` where the provider gives it one."""

    state: RefundState
    gateway_id: str | None = None
    reason: str = ""
    raw: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class WebhookNotice:
    """One thing that a signed webhook tells: look at this attempt.

    ``event_id`` is unique at the provider. Of ``reference``, ``gateway_id`` and ``transaction_id``
    at least one is there: events about a charge may know no more than the last. ``verdict`` is
    what the signed body itself proves, None when the provider has to be asked. ``refund`` tells of
    one refund of ours, by the id that :class:`RefundOrder` had.
    """

    event_id: str
    kind: str
    reference: str | None = None
    gateway_id: str | None = None
    transaction_id: str | None = None
    verdict: Verdict | None = None
    refund_id: str | None = None
    refund: RefundAnswer | None = None


class PaymentGateway(Protocol):
    """One way to pay. Cash and the wallet stand behind the same interface."""

    @property
    def method(self) -> PaymentMethod:
        """Which method this is."""
        ...

    @property
    def traits(self) -> GatewayTraits:
        """What it can do."""
        ...

    async def start(self, order: PaymentOrder) -> StartedPayment:
        """Make the payment known to the provider and say what the browser must do.

        Raises ``GatewayDeclined``, ``GatewayUnavailable`` or ``GatewayMisconfigured``.
        """
        ...

    def read_return(self, attempt: AttemptFacts, query: Mapping[str, str]) -> ReturnHint:
        """Read what the browser brought back; pure, proves nothing.

        Raises ``ForgedCallback`` for a signature that is missing, wrong or covers too little, and
        ``Malformed`` for what cannot be read.
        """
        ...

    async def verify(self, attempt: AttemptFacts, now: datetime) -> Verdict:
        """Ask the provider's server what became of the attempt; safe to repeat.

        Raises ``GatewayUnavailable`` or ``GatewayMisconfigured``.
        """
        ...

    async def refund(self, attempt: AttemptFacts, order: RefundOrder) -> RefundAnswer:
        """Ask the provider to give money back; a lost answer is ``RefundState.UNKNOWN``.

        Raises ``GatewayUnavailable`` only when it is certain that nothing was done.
        """
        ...

    def read_webhook(
        self, headers: Mapping[str, str], body: bytes, now: datetime
    ) -> tuple[WebhookNotice, ...]:
        """Check the signature over the raw bytes and read what the webhook tells; may be nothing.

        ``headers`` have lower-case names. Raises ``ForgedCallback`` or ``Malformed``; ``NotFound``
        when this provider sends none.
        """
        ...
