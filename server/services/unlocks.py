"""Unlocks: a paid one opens the chat with a pandit, and shows his contact details."""

from __future__ import annotations

from typing import Final

from server.domain.events import Event, EventKind
from server.domain.payment import PAID, Purpose
from server.domain.ports.accounts import UserRepository
from server.domain.ports.payments import PaymentRepository
from server.services.chats import ChatService

_UNLOCK: Final = Purpose.UNLOCK.value


class UnlockService:
    """A ``ports.Receiver``: opens the room of an unlock that is paid, closes a refunded one's."""

    def __init__(
        self, payments: PaymentRepository, users: UserRepository, chats: ChatService
    ) -> None:
        self._payments = payments
        self._users = users
        self._chats = chats

    async def on_event(self, event: Event) -> None:
        """Bring the room to what the payment says."""
        if event.kind is not EventKind.PAYMENT_CHANGED or event.params["purpose"] != _UNLOCK:
            return
        payment = await self._payments.find(event.params["payment_id"])
        if payment is None:
            return
        if not payment.is_confirmed:
            # Refunded, perhaps begun anew since; of one that was never paid there is no room.
            if any(attempt.status in PAID for attempt in payment.attempts):
                await self._chats.close_unlocked(payment.id)
            return
        customer = await self._users.find(payment.user_id)
        await self._chats.open_unlocked(
            payment.id,
            customer_id=payment.user_id,
            customer_name=customer.full_name if customer else "",
            pandit_id=payment.pandit_id or "",
            pandit_user_id=payment.pandit_user_id or "",
            pandit_name=payment.pandit_name,
            # What an unlock is called in Nepali is the pandit's name.
            pandit_name_ne=payment.title_ne,
        )
