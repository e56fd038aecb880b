"""Tells people who are not looking that messages wait for them: once a run of unread messages."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections import Counter, OrderedDict
from collections.abc import AsyncIterator, Awaitable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Final

from server.domain.chat import SYSTEM_SENDER, Message
from server.domain.errors import StoreUnavailable
from server.domain.events import Event, EventKind
from server.domain.ports import Receiver, RoomRepository
from server.services.room_state import RoomCard, RoomState

_log: Final = logging.getLogger(__name__)
_MAX_FINISH_SECONDS: Final = 10.0
_MAX_WAITING: Final = 10_000
_MAX_REMEMBERED: Final = 50_000
_RECHECK_SECONDS: Final = 3.0
"""Longer than a mark of another process takes to the database."""


class RoomPresence:
    """Who has which room open in this process, counted by connection."""

    def __init__(self) -> None:
        self._open: Counter[tuple[str, str]] = Counter()

    def enter(self, room_id: str, user_id: str) -> None:
        """Count a connection in."""
        self._open[room_id, user_id] += 1

    def leave(self, room_id: str, user_id: str) -> None:
        """Count a connection out."""
        self._open[room_id, user_id] -= 1
        if self._open[room_id, user_id] <= 0:
            del self._open[room_id, user_id]

    def is_here(self, room_id: str, user_id: str) -> bool:
        """Whether the user has the room open."""
        return (room_id, user_id) in self._open


@dataclass(slots=True, eq=False)
class _Later:
    """A second look at a room: at its newest message, when that was added, and when to look."""

    message: Message
    added_at: float
    due_at: float


class UnreadNotices:
    """Makes one NEW_MESSAGE event for each run of messages that somebody has not read.

    A run is known by the member's read mark: until the mark moves, the event has the same id, and
    whoever stores notifications recognises it. Losing a notice to a crash is repaired by the next
    message of the run. The work is done aside, so that no sender waits for it.

    While everybody who should know has the room open, nothing is asked of the database. Else the
    room is read for the first notice of this process, and, when the run seems to be told of, once
    more in a while: the mark may have been moved by another process, which writes it a moment
    later. So a busy room whose other member is away costs a read in ``recheck_seconds``.

    When too many rooms wait, a further one is left to its next message.
    """

    def __init__(
        self,
        rooms: RoomRepository,
        state: RoomState,
        presence: RoomPresence,
        receiver: Receiver,
        *,
        recheck_seconds: float = _RECHECK_SECONDS,
    ) -> None:
        self._rooms = rooms
        self._state = state
        self._presence = presence
        self._receiver = receiver
        self._recheck_seconds = recheck_seconds
        self._waiting: OrderedDict[str, Message] = OrderedDict()
        self._later: OrderedDict[str, _Later] = OrderedDict()
        self._is_ending = False
        self._arrived = asyncio.Event()
        self._told: OrderedDict[tuple[str, str], int] = OrderedDict()

    def add(self, messages: Sequence[Message]) -> None:
        """Look at stored messages; of each room the newest counts."""
        for message in messages:
            room_id = message.room_id
            card = self._state.card(room_id)
            if message.sender_id == SYSTEM_SENDER or (
                card is not None and not self._who_missed(card, message)
            ):
                continue
            later = self._later.get(room_id)
            if later is not None and card is not None and self._are_told(card, message):
                later.message, later.added_at = message, asyncio.get_running_loop().time()
            elif len(self._waiting) < _MAX_WAITING:
                self._waiting[room_id] = message
                self._arrived.set()

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Work while the context lasts, and finish what is left in the end."""
        task = asyncio.create_task(self._run(), name="unread-notices")
        try:
            yield
        finally:
            self._is_ending = True
            self._arrived.set()
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(task, _MAX_FINISH_SECONDS)

    async def _run(self) -> None:
        while self._waiting or self._later or not self._is_ending:
            await self._wait()
            while self._waiting:
                _, message = self._waiting.popitem(last=False)
                await self._safely(message, self._look(message))
            while (later := self._take_due()) is not None:
                await self._safely(later.message, self._look_again(later))

    async def _wait(self) -> None:
        """Wait for a message, or for the time of the next second look."""
        later = next(iter(self._later.values()), None)
        now = asyncio.get_running_loop().time()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(None if later is None else max(0.0, later.due_at - now)):
                await self._arrived.wait()
        if not self._is_ending:
            self._arrived.clear()

    def _take_due(self) -> _Later | None:
        later = next(iter(self._later.values()), None)
        now = asyncio.get_running_loop().time()
        if later is None or (later.due_at > now and not self._is_ending):
            return None
        return self._later.pop(later.message.room_id)

    @staticmethod
    async def _safely(message: Message, work: Awaitable[None]) -> None:
        try:
            await work
        except StoreUnavailable:
            _log.warning("unread_notice_without_database", extra={"room_id": message.room_id})
        except Exception:
            # The message itself is stored and the next one of the run tries again.
            _log.exception("unread_notice_failed", extra={"room_id": message.room_id})

    # -- one room -------------------------------------------------------------------------------

    async def _look(self, message: Message) -> None:
        card = self._state.card(message.room_id)
        missed = [] if card is None else self._who_missed(card, message)
        if card is None or any((message.room_id, user_id) not in self._told for user_id in missed):
            card = await self._read(message.room_id)
        if card is None:
            return
        if self._are_told(card, message):
            self._keep_for_later(message, asyncio.get_running_loop().time())
        await self._tell(card, message)

    async def _look_again(self, later: _Later) -> None:
        now = asyncio.get_running_loop().time()
        card = await self._read(later.message.room_id)
        if card is None:
            return
        await self._tell(card, later.message)
        if now < later.added_at + self._recheck_seconds:
            # A mark from before this message may still be on its way to the database.
            self._keep_for_later(later.message, later.added_at)

    def _keep_for_later(self, message: Message, added_at: float) -> None:
        if not self._is_ending and len(self._later) < _MAX_WAITING:
            due_at = asyncio.get_running_loop().time() + self._recheck_seconds
            # In the order of their times, which all lie as far ahead.
            self._later.pop(message.room_id, None)
            self._later[message.room_id] = _Later(message, added_at, due_at)

    async def _read(self, room_id: str) -> RoomCard | None:
        room = await self._rooms.find(room_id)
        return None if room is None else self._state.learn(room)

    def _who_missed(self, card: RoomCard, message: Message) -> list[str]:
        """The members who have not read it and do not look."""
        room_id, sender_id = message.room_id, message.sender_id
        return [
            user_id
            for user_id in card.members
            if user_id != sender_id
            and not self._presence.is_here(room_id, user_id)
            and card.mark_of(user_id) < message.sequence
        ]

    def _are_told(self, card: RoomCard, message: Message) -> bool:
        """Whether all whom it concerns are told of this run, as far as this process knows."""
        missed = self._who_missed(card, message)
        return bool(missed) and all(
            self._told.get((message.room_id, user_id)) == card.mark_of(user_id)
            for user_id in missed
        )

    async def _tell(self, card: RoomCard, message: Message) -> None:
        room_id = message.room_id
        for user_id in self._who_missed(card, message):
            mark = card.mark_of(user_id)
            if self._told.get((room_id, user_id)) == mark:
                continue
            await self._receiver.on_event(
                Event(
                    id=f"unread.{room_id}.{mark}",
                    kind=EventKind.NEW_MESSAGE,
                    at=message.timestamp,
                    recipients=(user_id,),
                    booking_id=card.booking_id,
                    params={"sender": message.sender_name, "room_id": room_id},
                )
            )
            self._told[room_id, user_id] = mark
            if len(self._told) > _MAX_REMEMBERED:
                self._told.popitem(last=False)
