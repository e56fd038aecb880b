"""Free times of the days that somebody looks at, told again whenever they change.

All connections of this process that look at the same day of the same service share one
:class:`SlotWatch`: what has changed is read once, and the same bytes go to all of them. News of a
pandit come over the bus and are only a hint; so that a hint that was lost costs little, and because
time passes, every watched day is also read anew now and then.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Coroutine, Iterable
from dataclasses import dataclass
from datetime import date
from typing import Any, Final

import msgspec

from server.domain.account import Actor
from server.domain.calendar import CLAIM_MINUTES
from server.domain.errors import NotFound, Unavailable
from server.domain.ports.processes import Bus
from server.schemas.frames import encode_frame, view_slots
from server.services.pandits import PanditService, SlotDay
from server.services.slot_news import SlotsChanged, slots_topic
from server.ws.framing import encode
from server.ws.session import Session

_log: Final = logging.getLogger(__name__)
_MERGE_SECONDS: Final = 0.25
"""What changes within this time is told together."""
_AGAIN_SECONDS: Final = 60.0
_READS_AT_ONCE: Final = 4
_EPOCH: Final = date(1970, 1, 1)
_CLAIMS_A_DAY: Final = 24 * 60 // CLAIM_MINUTES
_news: Final = msgspec.json.Decoder(SlotsChanged)


@dataclass(frozen=True, slots=True)
class Watched:
    """What is looked at: a service on a local day of its pandit.

    With ``exclude_id`` the watch is its owner's own, because that booking counts as free in it.
    """

    service_id: str
    day: date
    exclude_id: str | None = None


class SlotWatch:
    """One day that somebody looks at. ``frame`` is what was told last."""

    __slots__ = ("claims", "frame", "is_due", "key", "pandit_id", "sessions", "watched")

    def __init__(self, key: tuple[Watched, str], pandit_id: str) -> None:
        self.key = key
        self.watched = key[0]
        self.pandit_id = pandit_id
        self.sessions: set[Session] = set()
        self.frame = b""
        self.is_due = False
        # Wide enough for every zone, and for a booking of a day that began the day before.
        since_epoch = self.watched.day.toordinal() - _EPOCH.toordinal()
        self.claims = ((since_epoch - 2) * _CLAIMS_A_DAY, (since_epoch + 3) * _CLAIMS_A_DAY)


class SlotDays:
    """The days that the sockets of this process look at."""

    def __init__(
        self,
        bus: Bus,
        pandits: PanditService,
        spawn: Callable[[Coroutine[Any, Any, Any]], None],
    ) -> None:
        self._bus = bus
        self._pandits = pandits
        self._spawn = spawn
        self._watches: dict[tuple[Watched, str], SlotWatch] = {}
        self._of_pandit: dict[str, list[SlotWatch]] = {}
        self._hearers: dict[str, Callable[[bytes], None]] = {}
        self._reads = asyncio.Semaphore(_READS_AT_ONCE)

    def __len__(self) -> int:
        return len(self._watches)

    async def watch(self, session: Session, watched: Watched) -> None:
        """Look at a day instead of the one before; tells how it stands now.

        Raises ``NotFound`` when no bookable pandit offers that service.
        """
        self.leave(session)
        sought = await self._pandits.sought(
            watched.service_id, actor=session.actor, exclude_id=watched.exclude_id
        )
        pandit_id = sought.pandit.id
        if not session.is_open:
            return
        # What counts as free differs from person to person once a booking is left out.
        key = (watched, session.user_id if watched.exclude_id else "")
        found = self._watches.get(key)
        if found is None:
            found = self._watches[key] = SlotWatch(key, pandit_id)
            self._of_pandit.setdefault(pandit_id, []).append(found)
        found.sessions.add(session)
        session.busy.day = found
        try:
            await self._hear(pandit_id)
            # Read after the topic is heard: what changes from now on is told.
            is_told = await self._refresh(found, session.actor)
        except BaseException:
            self.leave(session)
            raise
        if not is_told and session.day is found:
            session.send_frame(found.frame)

    def leave(self, session: Session) -> None:
        """Look no more; harmless when nothing was looked at."""
        found = session.day
        if found is None:
            return
        session.busy.day = None
        found.sessions.discard(session)
        if found.sessions or self._watches.get(found.key) is not found:
            return
        del self._watches[found.key]
        others = self._of_pandit[found.pandit_id]
        others.remove(found)
        if not others:
            del self._of_pandit[found.pandit_id]
            hearer = self._hearers.pop(found.pandit_id, None)
            if hearer is not None:
                self._bus.unsubscribe(slots_topic(found.pandit_id), hearer)

    async def _hear(self, pandit_id: str) -> None:
        hearer = self._hearers.get(pandit_id)
        if hearer is None:

            def hearer(payload: bytes) -> None:
                self._on_news(pandit_id, payload)

            self._hearers[pandit_id] = hearer
        # The same hearer counts once; whoever comes second waits until it is heard, too.
        await self._bus.subscribe(slots_topic(pandit_id), hearer)
        if self._hearers.get(pandit_id) is not hearer:
            # The last one left meanwhile.
            self._bus.unsubscribe(slots_topic(pandit_id), hearer)

    def _on_news(self, pandit_id: str, payload: bytes) -> None:
        news = _news.decode(payload)
        watches = self._of_pandit.get(pandit_id, ())
        self._look([each for each in watches if news.touches(*each.claims)])

    def _look(self, watches: Iterable[SlotWatch]) -> None:
        for each in watches:
            if not each.is_due:
                each.is_due = True
                self._spawn(self._tell(each))

    async def look_again(self) -> None:
        """Read every watched day anew, a few at a time; for ever."""
        while True:
            await asyncio.sleep(_AGAIN_SECONDS)
            self._look(tuple(self._watches.values()))

    async def _tell(self, watch: SlotWatch) -> None:
        await asyncio.sleep(_MERGE_SECONDS)
        # From here on a new change is due anew: this read may not see it.
        watch.is_due = False
        actor = next((session.actor for session in watch.sessions), None)
        if actor is None:
            return
        try:
            await self._refresh(watch, actor)
        except Unavailable:
            _log.warning("slots_not_read", extra={"service_id": watch.watched.service_id})

    async def _refresh(self, watch: SlotWatch, actor: Actor) -> bool:
        """Read the day and tell all who look at it, if it is not as they know it."""
        watched = watch.watched
        async with self._reads:
            try:
                found: SlotDay | None = await self._pandits.slots(
                    watched.service_id, watched.day, actor=actor, exclude_id=watched.exclude_id
                )
            except NotFound:
                # He takes no more bookings, or offers this no more.
                found = None
        slots = found.slots if found is not None else ()
        frame = encode(encode_frame(view_slots(watched.service_id, watched.day, slots)))
        if frame == watch.frame:
            return False
        watch.frame = frame
        for session in tuple(watch.sessions):
            session.send_frame(frame)
        return True
