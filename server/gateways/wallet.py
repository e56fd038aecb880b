"""The customer's wallet behind the same interface as a provider: the ledger answers for it.

A payment is one entry under the attempt's reference. So it is taken once however often it is asked
for, never below a balance of zero, and whoever lost the answer looks it up.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime

from server.domain import ledger
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
from server.domain.ledger import EntryKind, LedgerEntry
from server.domain.money import NPR
from server.domain.ports.payments import LedgerBook
from server.domain.ports.world import Clock


class WalletGateway:
    """See ``gateway.PaymentGateway``. The order's ``payer_id`` says whose wallet it is."""

    method = PaymentMethod.WALLET
    traits = GatewayTraits(
        currencies=frozenset({NPR}),
        min_amount=1,
        max_amount=None,
        can_refund=True,
        can_refund_partly=True,
    )

    def __init__(self, book: LedgerBook, clock: Clock) -> None:
        self._book = book
        self._clock = clock

    async def start(self, order: PaymentOrder) -> StartedPayment:
        """Take the money. Raises ``InsufficientBalance``."""
        await self._book.record(
            self._entry(
                _taken(order.reference),
                EntryKind.WALLET_PAYMENT,
                ledger.two(
                    ledger.wallet(order.payer_id), ledger.gateway(self.method), order.amount
                ),
                order.currency,
                order.payer_id,
            )
        )
        return StartedPayment(action=PaymentAction(kind=ActionKind.NONE))

    def read_return(self, attempt: AttemptFacts, query: Mapping[str, str]) -> ReturnHint:
        """Nobody is sent anywhere, so nothing that comes back means anything."""
        return ReturnHint(claim=Claim.UNKNOWN)

    async def verify(self, attempt: AttemptFacts, now: datetime) -> Verdict:
        """Look into the ledger whether it was taken."""
        entry = await self._book.find(_taken(attempt.reference))
        if entry is None:
            return Verdict(outcome=Outcome.FAILED, reason="not-taken")
        return Verdict(
            outcome=Outcome.PAID,
            amount=max(posting.amount for posting in entry.postings),
            currency=entry.currency,
            reference=attempt.reference,
            transaction_id=entry.cause,
        )

    async def refund(self, attempt: AttemptFacts, order: RefundOrder) -> RefundAnswer:
        """Put it back; the refund's id makes that happen once."""
        entry = await self._book.find(_taken(attempt.reference))
        if entry is None:
            return RefundAnswer(state=RefundState.FAILED, reason="not-taken")
        payer_id = entry.refs["user_id"]
        await self._book.record(
            self._entry(
                f"wallet-refund:{order.id}",
                EntryKind.WALLET_REFUND,
                ledger.two(ledger.gateway(self.method), ledger.wallet(payer_id), order.amount),
                entry.currency,
                payer_id,
            )
        )
        return RefundAnswer(state=RefundState.DONE, gateway_id=f"wallet-refund:{order.id}")

    def read_webhook(
        self, headers: Mapping[str, str], body: bytes, now: datetime
    ) -> tuple[WebhookNotice, ...]:
        """There is nobody who could send one."""
        raise NotFound

    def _entry(
        self,
        cause: str,
        kind: EntryKind,
        postings: tuple[ledger.Posting, ...],
        currency: str,
        user_id: str,
    ) -> LedgerEntry:
        return LedgerEntry(
            cause=cause,
            kind=kind,
            at=self._clock.now(),
            currency=currency,
            postings=postings,
            refs={"user_id": user_id},
        )


def _taken(reference: str) -> str:
    return f"wallet-payment:{reference}"
