"""Calendars of bookings, written in threads: hundreds of events take their time."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence

from server.domain.account import Actor
from server.domain.booking import Booking
from server.domain.ports.world import Workers

Write = Callable[[tuple[Booking, ...], Actor, str, str], bytes]
"""Writes bookings as that reader may see them, in that language, with links to that site."""


class CalendarPrinter:
    """Makes calendar files of bookings.

    Parameters
    ----------
    workers
        Where they are written.
    write
        What writes them.
    """

    def __init__(self, workers: Workers, write: Write) -> None:
        self._workers = workers
        self._write = write

    async def calendar(
        self, bookings: Sequence[Booking], reader: Actor, language: str, site_url: str
    ) -> bytes:
        """Return a calendar of the bookings as that reader may see them.

        Parameters
        ----------
        bookings
            Those to be written, in their order.
        reader
            As whom they are read; decides about addresses.
        language
            Of the texts.
        site_url
            Scheme and host of the site, for links to the bookings' pages.

        Raises
        ------
        Overloaded
            When too many wait.
        """
        return await self._workers.run(
            functools.partial(self._write, tuple(bookings), reader, language, site_url)
        )
