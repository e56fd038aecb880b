"""Takes requests away from pandits who cannot answer them any more."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import replace
from typing import Final

from server.domain.booking import BookingStatus
from server.domain.errors import ConcurrentChange, IllegalTransition
from server.domain.events import Event, EventKind
from server.domain.ports.bookings import BookingFilter, BookingRepository
from server.domain.ports.pandits import PanditRepository
from server.services.bookings import BookingService

_HEARD: Final = frozenset({EventKind.PANDIT_REJECTED, EventKind.PANDIT_LEFT})
_ROWS: Final = 50


class OfferKeeper:
    """Passes on what a pandit is asked for when he loses his approval or his account is closed.

    A ``ports.Receiver``; hearing of it again changes nothing. Switching ``is_available`` off takes
    nothing away: he may still answer what he was asked before.
    """

    def __init__(
        self,
        bookings: BookingRepository,
        service: BookingService,
        pandits: PanditRepository,
    ) -> None:
        self._bookings = bookings
        self._service = service
        self._pandits = pandits

    async def on_event(self, event: Event) -> None:
        """Pass on what he has not answered, unless he may answer by now."""
        if event.kind not in _HEARD:
            return
        pandit = await self._pandits.find(event.params["pandit_id"])
        if pandit is None or await self._service.may_answer(pandit):
            return
        wanted = BookingFilter(
            pandit_user_id=pandit.user_id, statuses=(BookingStatus.PENDING,), limit=_ROWS
        )
        after = None
        while True:
            page = await self._bookings.list_page(replace(wanted, after=after))
            for booking in page.rows:
                # Otherwise it is being paid, and then he is not asked; or it was passed on already.
                with suppress(IllegalTransition, ConcurrentChange):
                    await self._service.take_offer_back(booking.id, pandit.id)
            after = page.next_key
            if after is None:
                return
