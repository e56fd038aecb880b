"""Cash on service: no provider. The pandit, or staff, says when it was handed over."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime

from server.domain.booking import PaymentMethod
from server.domain.errors import NotFound
from server.domain.gateway import (
    ActionKind,
    AttemptFacts,
    Claim,
    GatewayTraits,
    Outcome,
    PaymentAction,
    PaymentOrder,
    RefundAnswer,
    RefundOrder,
    RefundState,
    ReturnHint,
    StartedPayment,
    Verdict,
    WebhookNotice,
)
from server.domain.money import NPR


class CashGateway:
    """See ``gateway.PaymentGateway``: nothing is started, and nobody can be asked."""

    method = PaymentMethod.CASH
    traits = GatewayTraits(
        currencies=frozenset({NPR}), min_amount=1, max_amount=None, is_prepaid=False
    )

    async def start(self, order: PaymentOrder) -> StartedPayment:
        """The customer has nothing to do until the puja is held."""
        return StartedPayment(action=PaymentAction(kind=ActionKind.NONE))

    def read_return(self, attempt: AttemptFacts, query: Mapping[str, str]) -> ReturnHint:
        """Nobody is sent anywhere, so nothing that comes back means anything."""
        return ReturnHint(claim=Claim.UNKNOWN)

    async def verify(self, attempt: AttemptFacts, now: datetime) -> Verdict:
        """Only people know whether it was paid."""
        return Verdict(outcome=Outcome.UNCHANGED)

    async def refund(self, attempt: AttemptFacts, order: RefundOrder) -> RefundAnswer:
        """Staff hand it back, and say so."""
        return RefundAnswer(state=RefundState.MANUAL)

    def read_webhook(
        self, headers: Mapping[str, str], body: bytes, now: datetime
    ) -> tuple[WebhookNotice, ...]:
        """There is nobody who could send one."""
        raise NotFound
