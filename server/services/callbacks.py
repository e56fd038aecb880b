"""The inbox: what providers send is stored as it came, then verified and applied, once.

Storing comes first, so nothing that a provider has told us once is lost; and what could not be
handled is answered as a failure, so that the provider tells it again. Staff can replay it, too.
"""

from __future__ import annotations

import base64
import logging
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import replace
from typing import Final
from urllib.parse import urlencode

from server.domain.account import Actor
from server.domain.audit import Act
from server.domain.booking import PaymentMethod
from server.domain.callback import (
    MAX_BODY_BYTES,
    Callback,
    CallbackOutcome,
    kept_headers,
    kept_query,
)
from server.domain.errors import (
    CallbackFailed,
    Conflict,
    DomainError,
    Forbidden,
    ForgedCallback,
    Malformed,
    NotFound,
    TooLarge,
)
from server.domain.gateway import WebhookNotice
from server.domain.ports.paging import Page, SortKey
from server.domain.ports.payments import CallbackRepository
from server.domain.ports.world import Clock, IdSource
from server.services.audit import AuditService
from server.services.payments import PaymentService, PaymentView
from server.services.settlement import Gateways, Settlement

_log: Final = logging.getLogger(__name__)


class CallbackService:
    """Takes in what providers send and what browsers bring back."""

    def __init__(
        self,
        *,
        callbacks: CallbackRepository,
        payments: PaymentService,
        settlement: Settlement,
        gateways: Gateways,
        audit: AuditService,
        clock: Clock,
        ids: IdSource,
    ) -> None:
        self._callbacks = callbacks
        self._payments = payments
        self._settlement = settlement
        self._gateways = gateways
        self._audit = audit
        self._clock = clock
        self._ids = ids

    # -- webhooks ---------------------------------------------------------------------------------

    async def receive(
        self, method: PaymentMethod, headers: Mapping[str, str], body: bytes
    ) -> Callback:
        """Store a provider's message, then verify and apply it.

        Raises
        ------
        NotFound
            If no provider of ours sends messages there.
        TooLarge
            For a body that is not stored at all.
        ForgedCallback, Malformed
            If it is not the provider's; it is stored as that.
        CallbackFailed
            If it was stored and handling it failed: the provider shall repeat it.
        """
        if method not in self._gateways:
            raise NotFound
        if len(body) > MAX_BODY_BYTES:
            raise TooLarge(MAX_BODY_BYTES)
        callback = Callback(
            id=self._ids.new(),
            method=method,
            is_return=False,
            headers=kept_headers(headers),
            body=base64.b64encode(body).decode("ascii"),
            received_at=self._clock.now(),
        )
        await self._callbacks.add(callback)
        return await self._handle(callback)

    async def replay(self, actor: Actor, callback_id: str) -> Callback:
        """Handle a stored message again; what it had done already is not done twice.

        Raises ``NotFound``, ``Conflict`` for a browser's return, or as :meth:`receive` does.
        """
        if not actor.is_admin:
            raise Forbidden
        callback = await self._callbacks.find(callback_id)
        if callback is None:
            raise NotFound
        if not callback.is_replayable:
            raise Conflict
        await self._audit.record(
            actor, Act.WEBHOOK_REPLAYED, "callback", callback_id, method=callback.method
        )
        return await self._handle(callback)

    async def list_page(
        self, *, outcome: CallbackOutcome | None, limit: int, after: SortKey | None
    ) -> Page[Callback]:
        """What came in, newest first; for staff."""
        return await self._callbacks.list_page(outcome=outcome, limit=limit, after=after)

    async def find(self, callback_id: str) -> Callback:
        """One of them; for staff. Raises ``NotFound``."""
        found = await self._callbacks.find(callback_id)
        if found is None:
            raise NotFound
        return found

    async def _handle(self, callback: Callback) -> Callback:
        gateway = self._gateways.get(callback.method)
        if gateway is None:
            raise NotFound
        body = base64.b64decode(callback.body)
        # Its own clock: a replay comes long after the time that the signature allows.
        try:
            notices = gateway.read_webhook(callback.headers, body, callback.received_at)
        except ForgedCallback as error:
            _log.warning(
                "callback_forged", extra={"method": callback.method, "reason": error.reason}
            )
            await self._finish(callback, CallbackOutcome.FORGED, error.reason)
            raise
        except Malformed:
            await self._finish(callback, CallbackOutcome.UNREADABLE)
            raise
        except NotFound:
            await self._finish(callback, CallbackOutcome.IGNORED, "this provider sends none")
            raise
        try:
            outcomes = [await self._apply(callback, notice) for notice in notices]
        except Exception as error:
            code = error.code if isinstance(error, DomainError) else type(error).__name__
            if not isinstance(error, DomainError):
                _log.exception("callback_failed", extra={"callback_id": callback.id})
            await self._finish(callback, CallbackOutcome.FAILED, code)
            raise CallbackFailed from error
        outcome, payment_id = min(outcomes, default=(CallbackOutcome.IGNORED, None), key=_weight)
        return await self._finish(callback, outcome, payment_id=payment_id)

    async def _apply(
        self, callback: Callback, notice: WebhookNotice
    ) -> tuple[CallbackOutcome, str | None]:
        key = f"{callback.method}:{notice.event_id}"
        is_replay = callback.tries > 0
        if not is_replay and await self._callbacks.was_handled(key):
            return CallbackOutcome.DUPLICATE, None
        try:
            view = await self._find(callback.method, notice)
        except NotFound:
            return CallbackOutcome.UNMATCHED, None
        payment_id, number = view.payment.id, view.attempt.number
        if notice.refund_id is not None and notice.refund is not None:
            await self._settlement.answer_refund(
                payment_id, number, notice.refund_id, notice.refund
            )
        elif notice.verdict is not None:
            await self._settlement.apply(payment_id, number, notice.verdict, "webhook")
        else:
            await self._settlement.ask(payment_id, number, "webhook", is_strict=True)
        # After the effect: a crash in between has it applied again, which changes nothing.
        await self._callbacks.is_first(key, self._clock.now())
        return CallbackOutcome.PROCESSED, view.id

    async def _find(self, method: PaymentMethod, notice: WebhookNotice) -> PaymentView:
        if notice.reference is not None:
            return await self._payments.find_attempt(method, notice.reference)
        if notice.gateway_id is not None:
            with suppress(NotFound):
                return await self._payments.find_by_gateway_id(method, notice.gateway_id)
        # What was begun in the provider's panel names neither: only the money that it is about.
        if notice.transaction_id is not None:
            return await self._payments.find_by_transaction(method, notice.transaction_id)
        raise NotFound

    async def _finish(
        self,
        callback: Callback,
        outcome: CallbackOutcome,
        detail: str = "",
        payment_id: str | None = None,
    ) -> Callback:
        finished = replace(
            callback,
            processed_at=None if outcome is CallbackOutcome.FAILED else self._clock.now(),
            outcome=outcome,
            detail=detail[:300],
            payment_id=payment_id or callback.payment_id,
            tries=callback.tries + 1,
        )
        await self._callbacks.finish(finished)
        return finished

    # -- returns ----------------------------------------------------------------------------------

    async def came_back(
        self,
        method: PaymentMethod,
        reference: str | None,
        query: Mapping[str, str],
        headers: Mapping[str, str],
    ) -> PaymentView:
        """A browser is back from a provider: stored, then the provider itself is asked.

        Without a reference in our own path, as of providers that know one address alone, the one
        that the browser says only chooses which payment is asked about.

        Raises
        ------
        NotFound
            If it belongs to no payment.
        """
        callback = Callback(
            id=self._ids.new(),
            method=method,
            is_return=True,
            headers=kept_headers(headers),
            body=urlencode(kept_query(query)),
            received_at=self._clock.now(),
        )
        await self._callbacks.add(callback)
        view = None
        try:
            view = await self._named(method, reference, query)
            view = await self._payments.came_back(method, view.attempt.reference, query)
        except (ForgedCallback, Malformed) as error:
            _log.warning("return_refused", extra={"method": method, "code": error.code})
            payment_id = view.id if view else None
            await self._finish(callback, CallbackOutcome.FORGED, error.code, payment_id)
            if view is None:
                raise
            # The payment stands as it stood; that is what he is shown.
            return view
        except NotFound:
            await self._finish(callback, CallbackOutcome.UNMATCHED)
            raise
        await self._finish(callback, CallbackOutcome.PROCESSED, payment_id=view.id)
        return view

    async def _named(
        self, method: PaymentMethod, reference: str | None, query: Mapping[str, str]
    ) -> PaymentView:
        if reference is not None:
            return await self._payments.find_attempt(method, reference)
        lower = {name.lower(): value for name, value in query.items()}
        for name in ("txnid", "refid", "reference"):
            if value := lower.get(name):
                return await self._payments.find_attempt(method, value)
        for name in ("pidx", "tokenid", "session_id"):
            if value := lower.get(name):
                return await self._payments.find_by_gateway_id(method, value)
        raise NotFound


def _weight(found: tuple[CallbackOutcome, str | None]) -> int:
    order = (CallbackOutcome.PROCESSED, CallbackOutcome.DUPLICATE)
    return order.index(found[0]) if found[0] in order else len(order)
