"""What becomes of attempts: gateways are asked, their words applied, refunds sent, all told.

Every change of a payment goes through :meth:`Settlement.change`: read, apply a pure rule, write if
nobody was faster. Whatever a crash leaves behind (an attempt nobody asked about, a refund whose
answer was lost) stands in the payment with the time at which something is due, and the reconciler
takes it up from there.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager, suppress
from dataclasses import replace
from typing import Final, Protocol

from server.domain import payment as rules
from server.domain.booking import PaymentMethod, PaymentStatus
from server.domain.errors import (
    ConcurrentChange,
    Conflict,
    DomainError,
    GatewayDeclined,
    GatewayUnavailable,
    NotFound,
    ProofReused,
    Unavailable,
)
from server.domain.gateway import (
    Outcome,
    PaymentGateway,
    RefundAnswer,
    RefundOrder,
    RefundState,
    Verdict,
)
from server.domain.payment import Attempt, Payment, Refund, RefundTo, ReviewReason
from server.domain.ports import Bus, Clock, PaymentRepository, UserRepository
from server.services.relay import EventRelay
from server.tasks import end_all

_log: Final = logging.getLogger(__name__)
_ATTEMPTS: Final = 20
_MAX_WAITING: Final = 1000
_WORKERS: Final = 4

Gateways = Mapping[PaymentMethod, PaymentGateway]
Apply = Callable[[Payment], Payment]


class PaymentFrames(Protocol):
    """The finished frames of what is told of payments; what travels on the bus."""

    def payment(self, payment: Payment, attempt: Attempt) -> bytes:
        """Where an attempt stands."""
        ...


class PaymentMeter(Protocol):
    """Counts what becomes of payments."""

    def attempt_moved(self, method: str, status: str) -> None:
        """An attempt has come to that state."""
        ...

    def review_wanted(self, method: str, reason: str) -> None:
        """A person has to look."""
        ...


def payments_topic(user_id: str) -> str:
    """The bus topic of all that becomes of a customer's payments."""
    return f"payments.{user_id}"


class Settlement:
    """Moves payments, for the other services, the inbox and the clock."""

    def __init__(
        self,
        *,
        payments: PaymentRepository,
        users: UserRepository,
        gateways: Gateways,
        relay: EventRelay,
        bus: Bus,
        frames: PaymentFrames,
        meter: PaymentMeter,
        clock: Clock,
        batch: int,
    ) -> None:
        self._payments = payments
        self._users = users
        self._gateways = gateways
        self._relay = relay
        self._bus = bus
        self._frames = frames
        self._meter = meter
        self._clock = clock
        self._batch = batch
        self._waiting: asyncio.Queue[str] = asyncio.Queue(_MAX_WAITING)
        self._known: set[str] = set()

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Do what falls due at once in the background while the context lasts."""
        workers = [
            asyncio.create_task(self._work(), name="payment-worker") for _ in range(_WORKERS)
        ]
        try:
            yield
        finally:
            await end_all(workers)

    async def idle(self) -> None:
        """Return when everything that was to be done at once has been done."""
        await self._waiting.join()

    # -- changing ---------------------------------------------------------------------------------

    async def load(self, payment_id: str) -> Payment:
        """The payment. Raises ``NotFound``."""
        found = await self._payments.find(payment_id)
        if found is None:
            raise NotFound
        return found

    async def change(self, payment_id: str, apply: Apply) -> Payment:
        """Apply a rule to the stored payment, anew on each fresh state, and tell of the change.

        Raises what the rule raises, ``NotFound``, ``ProofReused`` or ``ConcurrentChange``.
        """
        for _ in range(_ATTEMPTS):
            found = await self.load(payment_id)
            changed = apply(found)
            if changed is found:
                return found
            saved = await self._save(found, changed)
            if saved is not None:
                return saved
        raise ConcurrentChange

    async def add(self, draft: Payment, apply: Apply) -> Payment:
        """The same for a payment that there may not be yet; ``draft`` is how it would begin.

        What is due follows the draft: a booking's price may have changed since the last try.
        """
        for _ in range(_ATTEMPTS):
            found = await self._payments.find(draft.id)
            if found is None:
                changed = rules.announced(None, apply(draft), self._clock.now())
                if await self._payments.add(changed):
                    await self._told(draft, changed)
                    return changed
                continue
            changed = apply(_with_price(found, draft))
            if changed is found:
                return found
            saved = await self._save(found, changed)
            if saved is not None:
                return saved
        raise ConcurrentChange

    async def _save(self, found: Payment, changed: Payment) -> Payment | None:
        changed = rules.announced(found, changed, self._clock.now())
        if not await self._payments.replace(changed):
            return None
        saved = replace(changed, version=found.version + 1)
        await self._told(found, saved)
        return saved

    async def _told(self, before: Payment, saved: Payment) -> None:
        old = {attempt.number: attempt for attempt in before.attempts}
        for attempt in saved.attempts:
            known = old.get(attempt.number)
            if known == attempt:
                continue
            self._count(known, attempt)
            frame = self._frames.payment(saved, attempt)
            self._bus.publish(payments_topic(saved.user_id), frame)
        told = {event.id for event in before.outbox}
        news = [event for event in saved.outbox if event.id not in told]
        if news:
            await self._relay.deliver("payments", saved.id, news)
        due = saved.next_check_at
        if due is not None and due <= self._clock.now():
            self.soon(saved.id)

    def _count(self, known: Attempt | None, attempt: Attempt) -> None:
        if known is None or known.status is not attempt.status:
            self._meter.attempt_moved(attempt.method, attempt.status)
        for review in attempt.reviews[len(known.reviews) if known else 0 :]:
            self._meter.review_wanted(attempt.method, review.reason)
            _log.warning(
                "payment_needs_review",
                extra={"reference": attempt.reference, "reason": review.reason.value},
            )

    # -- asking -----------------------------------------------------------------------------------

    async def ask(self, payment_id: str, number: int, source: str) -> Payment:
        """Ask the gateway's server what became of an attempt, and apply it.

        A gateway that does not answer moves nothing: the reconciler goes on.
        """
        payment = await self.load(payment_id)
        attempt = payment.attempt(number)
        gateway = self._gateways.get(attempt.method)
        if gateway is None:
            return await self._unreachable(payment_id, number)
        try:
            verdict = await gateway.verify(attempt.facts, self._clock.now())
        except GatewayUnavailable:
            return await self._unreachable(payment_id, number)
        return await self.apply(payment_id, number, verdict, source)

    async def apply(self, payment_id: str, number: int, verdict: Verdict, source: str) -> Payment:
        """Apply what a gateway's server has said, in an answer or in a signed message."""
        now = self._clock.now()

        def judge(payment: Payment) -> Payment:
            before = payment.attempt(number)
            if verdict.outcome is Outcome.PAID and before.status is PaymentStatus.REFUNDED:
                _log.info("replayed_success_ignored", extra={"reference": before.reference})
            payment = rules.judged(payment, number, verdict, now, source)
            attempt = payment.attempt(number)
            is_unpaid = verdict.outcome in (Outcome.IN_PROGRESS, Outcome.UNCHANGED, Outcome.FAILED)
            if attempt.is_open and is_unpaid and not attempt.needs_review:
                if rules.is_overdue(attempt, now):
                    payment = rules.given_up(payment, number, "ran-out", now)
                elif attempt.started_at is None:
                    payment = self._never_started(payment, number)
            return rules.checked(payment, number, now)

        try:
            return await self.change(payment_id, judge)
        except ProofReused:
            return await self.change(
                payment_id,
                lambda found: rules.checked(
                    rules.review(
                        found,
                        number,
                        ReviewReason.PROOF_REUSED,
                        verdict.transaction_id or verdict.gateway_id or "",
                        now,
                    ),
                    number,
                    now,
                ),
            )

    def _never_started(self, payment: Payment, number: int) -> Payment:
        """Nobody was sent away with it: we ended between storing it and starting it."""
        now = self._clock.now()
        due = payment.attempt(number).next_check_at
        if due is None or due > now:
            return payment
        return rules.not_started(payment, number, "not-started", now)

    async def _unreachable(self, payment_id: str, number: int) -> Payment:
        now = self._clock.now()

        def later(payment: Payment) -> Payment:
            if rules.is_overdue(payment.attempt(number), now):
                payment = rules.review(payment, number, ReviewReason.UNDECIDED, "no answer", now)
            return rules.checked(payment, number, now)

        return await self.change(payment_id, later)

    # -- refunds ----------------------------------------------------------------------------------

    async def _refund(self, payment: Payment, attempt: Attempt, refund: Refund) -> None:
        gateway = self._gateways.get(attempt.method)
        if refund.state is RefundState.REQUESTED:
            await self._send_refund(payment, attempt, refund, gateway)
        elif gateway is not None:
            await self._look_up_refund(payment, attempt, refund, gateway)

    async def _send_refund(
        self,
        payment: Payment,
        attempt: Attempt,
        refund: Refund,
        gateway: PaymentGateway | None,
    ) -> None:
        if refund.to is RefundTo.WALLET:
            await self.answer_refund(
                payment.id, attempt.number, refund.id, RefundAnswer(state=RefundState.DONE)
            )
            return
        is_full = refund.amount == attempt.amount
        if (
            gateway is None
            or not gateway.traits.can_refund
            or not (is_full or gateway.traits.can_refund_partly)
        ):
            await self.answer_refund(
                payment.id, attempt.number, refund.id, RefundAnswer(state=RefundState.MANUAL)
            )
            return
        payer = await self._users.find(payment.user_id)
        order = RefundOrder(
            id=refund.id,
            amount=refund.amount,
            is_full=is_full,
            reason=refund.reason,
            payer_phone=payer.phone_number if payer else "",
        )
        # From here on the answer may be lost: who comes after must look it up first.
        await self.change(
            payment.id,
            lambda found: rules.refund_sent(found, attempt.number, refund.id, self._clock.now()),
        )
        try:
            answer = await gateway.refund(attempt.facts, order)
        except GatewayUnavailable:
            answer = RefundAnswer(state=RefundState.REQUESTED, reason="unavailable")
        except GatewayDeclined as error:
            answer = RefundAnswer(state=RefundState.FAILED, reason=error.reason)
        await self.answer_refund(payment.id, attempt.number, refund.id, answer)

    async def answer_refund(
        self, payment_id: str, number: int, refund_id: str, answer: RefundAnswer
    ) -> Payment:
        """Apply what became of a refund."""
        now = self._clock.now()
        return await self.change(
            payment_id,
            lambda found: rules.refund_answered(found, number, refund_id, answer, now),
        )

    async def _look_up_refund(
        self, payment: Payment, attempt: Attempt, refund: Refund, gateway: PaymentGateway
    ) -> None:
        now = self._clock.now()
        try:
            verdict = await gateway.verify(attempt.facts, now)
        except GatewayUnavailable:
            verdict = Verdict(outcome=Outcome.UNCHANGED)
        await self.change(
            payment.id,
            lambda found: rules.refund_looked_up(found, attempt.number, refund.id, verdict, now),
        )

    # -- the clock --------------------------------------------------------------------------------

    async def reconcile(self) -> int:
        """Do what is due: ask about attempts, send and look up refunds. Returns how many had any.

        Safe in several processes at once: what is asked twice is applied once, and a refund is sent
        by the one who has said so in its document.
        """
        due = await self._payments.list_due(self._clock.now(), self._batch)
        turns = asyncio.Semaphore(_WORKERS)

        async def one(payment_id: str) -> None:
            async with turns:
                await self._do_due(payment_id)

        await asyncio.gather(*(one(payment.id) for payment in due))
        return len(due)

    def soon(self, payment_id: str) -> None:
        """Do what is due of a payment at once; with too many waiting the clock finds it later."""
        if payment_id in self._known:
            return
        with suppress(asyncio.QueueFull):
            self._waiting.put_nowait(payment_id)
            self._known.add(payment_id)

    async def _work(self) -> None:
        while True:
            payment_id = await self._waiting.get()
            self._known.discard(payment_id)
            try:
                await self._do_due(payment_id)
            finally:
                self._waiting.task_done()

    async def _do_due(self, payment_id: str) -> None:
        try:
            payment = await self.load(payment_id)
            now = self._clock.now()
            for attempt in payment.attempts:
                if attempt.next_check_at is not None and attempt.next_check_at <= now:
                    await self.ask(payment_id, attempt.number, "reconciler")
                for refund in attempt.refunds:
                    if refund.next_try_at is not None and refund.next_try_at <= now:
                        await self._refund(payment, attempt, refund)
        except (Unavailable, Conflict) as error:
            # The database is away, or another process does it: its turn comes again.
            _log.info("payment_put_off", extra={"payment_id": payment_id, "code": error.code})
        except DomainError as error:
            _log.warning(
                "payment_work_refused", extra={"payment_id": payment_id, "code": error.code}
            )
        except Exception:
            _log.exception("payment_work_failed", extra={"payment_id": payment_id})


def _with_price(found: Payment, draft: Payment) -> Payment:
    if found.amount == draft.amount or found.captured is not None:
        return found
    return replace(found, amount=draft.amount)
