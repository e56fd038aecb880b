"""What tests of payments share: bookings to pay, a provider that does as it is told, the ledger."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from server.app import RunningServer
from server.domain.booking import PaymentMethod
from server.domain.errors import ForgedCallback, GatewayUnavailable
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
from tests.support import FakeClock, People, Person

LONG_AGO = datetime(2020, 1, 1, tzinfo=UTC)
FAR = datetime(2040, 1, 1, tzinfo=UTC)


TRAITS = GatewayTraits(
    currencies=frozenset({"NPR"}),
    min_amount=1000,
    max_amount=None,
    can_refund=True,
    can_refund_partly=True,
    is_test=True,
)


@dataclass
class Bookings:
    """A customer, a pandit, and bookings between them on the same Wednesday."""

    customer: Person
    pandit: Person
    clock: FakeClock
    people: People
    hour: int = 6

    @classmethod
    async def make(cls, server: RunningServer, people: People, clock: FakeClock) -> Bookings:
        return cls(
            await people.customer(),
            await people.pandit(duration_minutes=60),
            clock,
            people,
        )

    async def book(self, **overrides: Any) -> dict[str, Any]:
        answer = await self.customer.api.post("/api/bookings/", json=self.wish(**overrides))
        assert answer.status_code == 201, answer.text
        booking: dict[str, Any] = answer.json()
        return booking

    def wish(self, **overrides: Any) -> dict[str, Any]:
        self.hour += 2
        return {
            "service_id": self.pandit.service_id,
            "booking_date": "2026-11-25",
            "booking_time": f"{self.hour:02}:00",
            "service_location": "PANDIT_LOCATION",
            **overrides,
        }

    async def show(self, booking_id: str) -> dict[str, Any]:
        shown: dict[str, Any] = (
            (await self.customer.api.get(f"/api/bookings/{booking_id}/")).raise_for_status().json()
        )
        return shown

    async def accept(self, booking_id: str) -> None:
        (await self.pandit.api.post(f"/api/bookings/{booking_id}/accept/")).raise_for_status()

    async def hold_puja(self, booking_id: str, **completing: Any) -> None:
        """Accept, start and complete it, at its time."""
        if (await self.show(booking_id))["status"] == "PENDING":
            await self.accept(booking_id)
        starts_at = datetime.fromisoformat((await self.show(booking_id))["starts_at"])
        self.clock.set(starts_at.astimezone(UTC))
        for person in (self.pandit, self.customer):
            await self.people.sign_in_again(person)
        for move, body in (("start", {}), ("complete", completing)):
            answer = await self.pandit.api.post(f"/api/bookings/{booking_id}/{move}/", json=body)
            assert answer.status_code == 200, answer.text

    @staticmethod
    def starts_at(booking: dict[str, Any]) -> datetime:
        """When the puja begins."""
        return datetime.fromisoformat(booking["starts_at"]).astimezone(UTC)

    async def pass_time(self, **span: float) -> None:
        self.clock.advance(**span)
        for person in (self.pandit, self.customer):
            await self.people.sign_in_again(person)


async def pay(person: Person, booking_id: str, method: str = "KHALTI") -> dict[str, Any]:
    """Begin to pay a booking."""
    answer = await person.api.post(
        "/api/payments/", json={"booking_id": booking_id, "payment_method": method}
    )
    assert answer.status_code == 201, answer.text
    begun: dict[str, Any] = answer.json()
    return begun


async def ledger_sums(server: RunningServer) -> dict[str, int]:
    """What is left of each currency when the whole ledger is added up."""
    balance = await server.services.ledger.trial_balance(LONG_AGO, FAR)
    return balance.difference()


async def ledger_totals(server: RunningServer) -> dict[str, int]:
    """The sum of each account of the house and of each kind of people's accounts, in paisa."""
    balance = await server.services.ledger.trial_balance(LONG_AGO, FAR)
    return {account: amount for (account, _), amount in balance.totals.items() if amount}


@dataclass
class ToldProvider:
    """A provider's gateway that answers as a test says, and keeps what money it has moved.

    It stands where a real client stands, for what a real provider cannot be brought to say in the
    very moment that a test is about.
    """

    method: PaymentMethod = PaymentMethod.KHALTI
    outcomes: dict[str, Verdict] = field(default_factory=dict)
    refunds: dict[str, int] = field(default_factory=dict)
    refund_answers: list[RefundState] = field(default_factory=list)
    is_down: bool = False
    orders: dict[str, PaymentOrder] = field(default_factory=dict)
    asked: int = 0
    traits: GatewayTraits = TRAITS

    def pays(self, paid: str, /, **overrides: Any) -> None:
        """From now on the provider says that the order of that reference was paid."""
        reference = paid
        order = self.orders[reference]
        verdict = Verdict(
            outcome=Outcome.PAID,
            amount=order.amount,
            currency=order.currency,
            gateway_id=f"gw-{reference}",
            transaction_id=f"tx-{reference}",
        )
        self.outcomes[reference] = dataclasses.replace(verdict, **overrides)

    def says(self, reference: str, outcome: Outcome, **more: Any) -> None:
        """From now on the provider says that."""
        self.outcomes[reference] = Verdict(outcome=outcome, **more)

    async def start(self, order: PaymentOrder) -> StartedPayment:
        if self.is_down:
            raise GatewayUnavailable
        self.orders[order.reference] = order
        return StartedPayment(
            action=PaymentAction(
                kind=ActionKind.REDIRECT, url=f"https://pay.example/{order.reference}"
            ),
            gateway_id=f"gw-{order.reference}",
        )

    def read_return(self, attempt: AttemptFacts, query: Mapping[str, str]) -> ReturnHint:
        if query.get("signature") == "wrong":
            raise ForgedCallback("signature")
        return ReturnHint(claim=Claim(query.get("claim", "unknown")))

    async def verify(self, attempt: AttemptFacts, now: datetime) -> Verdict:
        self.asked += 1
        if self.is_down:
            raise GatewayUnavailable
        verdict = self.outcomes.get(attempt.reference, Verdict(outcome=Outcome.IN_PROGRESS))
        refunded = self.refunds.get(attempt.reference, 0)
        if verdict.outcome is Outcome.PAID and refunded:
            full = refunded == attempt.amount
            outcome = Outcome.REFUNDED if full else Outcome.PARTLY_REFUNDED
            return dataclasses.replace(verdict, outcome=outcome, refunded=refunded)
        return verdict

    async def refund(self, attempt: AttemptFacts, order: RefundOrder) -> RefundAnswer:
        state = self.refund_answers.pop(0) if self.refund_answers else RefundState.DONE
        if state in (RefundState.DONE, RefundState.UNKNOWN):
            self.refunds[attempt.reference] = self.refunds.get(attempt.reference, 0) + order.amount
        if state is RefundState.REQUESTED:
            raise GatewayUnavailable
        return RefundAnswer(state=state)

    def read_webhook(
        self, headers: Mapping[str, str], body: bytes, now: datetime
    ) -> tuple[WebhookNotice, ...]:
        if headers.get("content-type") != "application/json":
            raise ForgedCallback("signature")
        reference, _, event_id = body.decode().partition(" ")
        return (
            WebhookNotice(
                event_id=event_id or reference,
                kind="told",
                reference=reference,
                verdict=self.outcomes.get(reference),
            ),
        )


def minutes(count: float) -> timedelta:
    return timedelta(minutes=count)
