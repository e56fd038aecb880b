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
from datetime import datetime
from typing import Final, Protocol

from server.domain import payment_changes as changes
from server.domain import payment_rules as rules
from server.domain import refunds
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
from server.domain.ports.accounts import UserRepository
from server.domain.ports.bookings import BookingRepository
from server.domain.ports.payments import PaymentRepository
from server.domain.ports.processes import Bus
from server.domain.ports.world import Clock
from server.services.relay import EventRelay
from server.tasks import end_all

_log: Final = logging.getLogger(__name__)
_ATTEMPTS: Final = 20
_MAX_WAITING: Final = 1000
_TURNS: Final = 4
_PATIENCE: Final = 3
_PASS_SECONDS: Final = 10.0
_MAX_BATCHES: Final = 25
_TAKEN: Final = frozenset({Outcome.PAID, Outcome.PARTLY_REFUNDED})

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
        bookings: BookingRepository,
    ) -> None:
        self._payments = payments
        self._bookings = bookings
        self._users = users
        self._gateways = gateways
        self._relay = relay
        self._bus = bus
        self._frames = frames
        self._meter = meter
        self._clock = clock
        self._batch = batch
        self._lanes = {method: _Lane() for method in PaymentMethod}

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Do what falls due at once in the background while the context lasts."""
        workers = [
            asyncio.create_task(self._work(method), name=f"payment-worker-{method}")
            for method in self._lanes
            for _ in range(_TURNS)
        ]
        try:
            yield
        finally:
            passes = [lane.passing for lane in self._lanes.values() if lane.passing is not None]
            await end_all([*workers, *passes])

    async def idle(self) -> None:
        """Return when everything that was to be done at once has been done."""
        while any(lane.unfinished for lane in self._lanes.values()):
            for lane in self._lanes.values():
                await lane.waiting.join()

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
                changed = await self._announced(None, apply(draft))
                if await self._payments.add(changed):
                    await self._told(draft, changed)
                    return changed
                continue
            changed = apply(rules.due_now(rules.reopened(found), draft.amount))
            if changed is found:
                return found
            saved = await self._save(found, changed)
            if saved is not None:
                return saved
        raise ConcurrentChange

    async def _save(self, found: Payment, changed: Payment) -> Payment | None:
        changed = await self._announced(found, changed)
        if not await self._payments.replace(changed):
            return None
        saved = replace(changed, version=found.version + 1)
        await self._told(found, saved)
        return saved

    async def _announced(self, before: Payment | None, changed: Payment) -> Payment:
        now = self._clock.now()
        if changes.begins_review(before, changed):
            changed = changes.alerted(changed, await self._users.list_admin_ids(), now)
        return changes.announced(before, changed, now)

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
        for method in _methods_due(saved, self._clock.now()):
            self._soon(saved.id, method)

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

    async def ask(
        self, payment_id: str, number: int, source: str, *, is_strict: bool = False
    ) -> Payment:
        """Ask the gateway's server what became of an attempt, and apply it.

        A gateway that does not answer moves nothing: the reconciler goes on. With ``is_strict``
        that raises ``GatewayUnavailable``, for those who have to know that nothing was learnt.
        """
        payment = await self.load(payment_id)
        attempt = payment.attempt(number)
        gateway = self._gateways.get(attempt.method)
        asked_at = self._clock.now()
        try:
            if gateway is None:
                raise GatewayUnavailable
            verdict = await gateway.verify(attempt.facts, asked_at)
        except GatewayUnavailable:
            unmoved = await self._unreachable(payment_id, number)
            if is_strict:
                raise
            return unmoved
        return await self.apply(payment_id, number, verdict, source, asked_at=asked_at)

    async def apply(
        self,
        payment_id: str,
        number: int,
        verdict: Verdict,
        source: str,
        *,
        asked_at: datetime | None = None,
    ) -> Payment:
        """Apply what a gateway's server has said, in an answer or in a signed message.

        ``asked_at`` is when it was asked for the answer; None of a message, which may be old.
        """
        now = self._clock.now()
        due = await self._due(payment_id) if verdict.outcome in _TAKEN else None

        def judge(payment: Payment) -> Payment:
            if due is not None:
                payment = rules.due_now(payment, due)
            before = payment.attempt(number)
            if verdict.outcome is Outcome.PAID and before.status is PaymentStatus.REFUNDED:
                _log.info("replayed_success_ignored", extra={"reference": before.reference})
            payment = rules.judged(payment, number, verdict, now, source, asked_at=asked_at)
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
                    changes.review(
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

    async def _due(self, payment_id: str) -> int | None:
        """What a booking costs now, which samagri may have changed since somebody set about paying.

        It may change once more before the success is written; ``rules.mispaid`` is for that.
        """
        payment = await self.load(payment_id)
        if payment.booking_id is None or payment.captured is not None:
            return None
        booking = await self._bookings.find(payment.booking_id)
        return booking.total_fee if booking is not None else None

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
                payment = changes.review(payment, number, ReviewReason.UNDECIDED, "no answer", now)
            return rules.checked(payment, number, now)

        return await self.change(payment_id, later)

    # -- refunds ----------------------------------------------------------------------------------

    async def _refund(self, payment: Payment, attempt: Attempt, refund: Refund) -> bool:
        """Send a refund, or look up what became of it; False if the provider did not answer."""
        gateway = self._gateways.get(attempt.method)
        if refund.state is RefundState.REQUESTED:
            return await self._send_refund(payment, attempt, refund, gateway)
        if gateway is None:
            return True
        return await self._look_up_refund(payment, attempt, refund, gateway)

    async def _put_off(self, payment_id: str, number: int, refund_id: str) -> None:
        now = self._clock.now()
        await self.change(
            payment_id, lambda found: refunds.refund_put_off(found, number, refund_id, now)
        )

    async def _send_refund(
        self,
        payment: Payment,
        attempt: Attempt,
        refund: Refund,
        gateway: PaymentGateway | None,
    ) -> bool:
        if refund.to is RefundTo.WALLET:
            await self.answer_refund(
                payment.id, attempt.number, refund.id, RefundAnswer(state=RefundState.DONE)
            )
            return True
        is_full = refund.amount == attempt.amount
        if (
            gateway is None
            or not gateway.traits.can_refund
            or not (is_full or gateway.traits.can_refund_partly)
        ):
            await self.answer_refund(
                payment.id, attempt.number, refund.id, RefundAnswer(state=RefundState.MANUAL)
            )
            return True
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
            lambda found: refunds.refund_sent(found, attempt.number, refund.id, self._clock.now()),
        )
        has_answered = True
        try:
            answer = await gateway.refund(attempt.facts, order)
        except GatewayUnavailable:
            has_answered = False
            answer = RefundAnswer(state=RefundState.REQUESTED, reason="unavailable")
        except GatewayDeclined as error:
            answer = RefundAnswer(state=RefundState.FAILED, reason=error.reason)
        await self.answer_refund(payment.id, attempt.number, refund.id, answer)
        return has_answered

    async def answer_refund(
        self, payment_id: str, number: int, refund_id: str, answer: RefundAnswer
    ) -> Payment:
        """Apply what became of a refund."""
        now = self._clock.now()
        return await self.change(
            payment_id,
            lambda found: refunds.refund_answered(found, number, refund_id, answer, now),
        )

    async def _look_up_refund(
        self, payment: Payment, attempt: Attempt, refund: Refund, gateway: PaymentGateway
    ) -> bool:
        now = self._clock.now()
        has_answered = True
        try:
            verdict = await gateway.verify(attempt.facts, now)
        except GatewayUnavailable:
            has_answered = False
            verdict = Verdict(outcome=Outcome.UNCHANGED)
        await self.change(
            payment.id,
            lambda found: rules.refund_looked_up(found, attempt.number, refund.id, verdict, now),
        )
        return has_answered

    # -- the clock --------------------------------------------------------------------------------

    async def reconcile(self) -> int:
        """Do what is due: ask about attempts, send and look up refunds. Returns how many had any.

        Safe in several processes at once: what is asked twice is applied once, and a refund is sent
        by the one who has said so in its document.

        Each method has a lane of its own: a provider that is silent keeps none of the others
        waiting. It is left alone for the rest of the pass after some calls without an answer, and
        a lane that is not through when the others are goes on by itself.
        """
        now = self._clock.now()
        due: dict[PaymentMethod, list[str]] = {method: [] for method in self._lanes}
        count = 0
        async for payment in self._list_due(now):
            count += 1
            for method in _methods_due(payment, now):
                due[method].append(payment.id)
        passes = []
        for method, lane in self._lanes.items():
            if due[method] and (lane.passing is None or lane.passing.done()):
                lane.passing = asyncio.create_task(
                    self._pass(method, due[method]), name=f"payment-pass-{method}"
                )
                passes.append(lane.passing)
        if passes:
            await asyncio.wait(passes, timeout=_PASS_SECONDS)
        return count

    async def _list_due(self, now: datetime) -> AsyncIterator[Payment]:
        """What is due, batch by batch: behind many of a silent provider there may be others."""
        after = None
        for _ in range(_MAX_BATCHES):
            rows = await self._payments.list_due(now, self._batch, after)
            for payment in rows:
                yield payment
            if len(rows) < self._batch:
                return
            # Of those due in the very same moment some may be left for the next pass.
            after = rows[-1].next_check_at

    async def _pass(self, method: PaymentMethod, due: list[str]) -> None:
        """Do what is due of one method, some at a time, as long as its provider answers."""
        turns = asyncio.Semaphore(_TURNS)
        silences = 0

        async def one(payment_id: str) -> None:
            nonlocal silences
            async with turns:
                is_silent = silences >= _PATIENCE
                if not await self._do_due(payment_id, method, is_silent=is_silent):
                    silences += 1

        await asyncio.gather(*(one(payment_id) for payment_id in due))
        if silences:
            _log.warning("provider_silent", extra={"method": method, "unanswered": silences})

    def _soon(self, payment_id: str, method: PaymentMethod) -> None:
        """Do what is due at once; with too many waiting the clock finds it later."""
        lane = self._lanes[method]
        if payment_id in lane.known:
            return
        with suppress(asyncio.QueueFull):
            lane.waiting.put_nowait(payment_id)
            lane.known.add(payment_id)
            lane.unfinished += 1

    async def _work(self, method: PaymentMethod) -> None:
        lane = self._lanes[method]
        while True:
            payment_id = await lane.waiting.get()
            lane.known.discard(payment_id)
            try:
                await self._do_due(payment_id, method)
            finally:
                lane.unfinished -= 1
                lane.waiting.task_done()

    async def _do_due(
        self, payment_id: str, method: PaymentMethod, *, is_silent: bool = False
    ) -> bool:
        """Do what is due of a payment by one method; False if its provider did not answer.

        A provider that ``is_silent`` is not asked: all waits for its next turn, as if it had not
        answered.
        """
        has_answered = True
        try:
            payment = await self.load(payment_id)
            now = self._clock.now()
            for attempt in payment.attempts:
                if attempt.method is not method:
                    continue
                if attempt.next_check_at is not None and attempt.next_check_at <= now:
                    if is_silent:
                        await self._unreachable(payment_id, attempt.number)
                    else:
                        await self.ask(payment_id, attempt.number, "reconciler", is_strict=True)
                for refund in attempt.refunds:
                    if refund.next_try_at is None or refund.next_try_at > now:
                        continue
                    if is_silent and refund.to is RefundTo.ORIGINAL:
                        await self._put_off(payment_id, attempt.number, refund.id)
                    elif not await self._refund(payment, attempt, refund):
                        has_answered = False
        except GatewayUnavailable:
            return False
        except (Unavailable, Conflict) as error:
            # The database is away, or another process does it: its turn comes again.
            _log.info("payment_put_off", extra={"payment_id": payment_id, "code": error.code})
        except DomainError as error:
            _log.warning(
                "payment_work_refused", extra={"payment_id": payment_id, "code": error.code}
            )
        except Exception:
            _log.exception("payment_work_failed", extra={"payment_id": payment_id})
        return has_answered


class _Lane:
    """The work of one method: what is to be done at once, and the pass that is under way.

    ``known`` are those that wait, ``unfinished`` counts also those that are being done.
    """

    def __init__(self) -> None:
        self.waiting: asyncio.Queue[str] = asyncio.Queue(_MAX_WAITING)
        self.known: set[str] = set()
        self.unfinished = 0
        self.passing: asyncio.Task[None] | None = None


def _methods_due(payment: Payment, now: datetime) -> frozenset[PaymentMethod]:
    """By which methods something is due of a payment."""
    return frozenset(
        attempt.method
        for attempt in payment.attempts
        for at in (attempt.next_check_at, *(refund.next_try_at for refund in attempt.refunds))
        if at is not None and at <= now
    )
