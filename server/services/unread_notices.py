"""Tells people who are not looking that messages wait for them: once a run of unread messages."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections import Counter, OrderedDict
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Final

from server.domain.chat import SYSTEM_SENDER, ChatRoom, Message
from server.domain.events import Event, EventKind
from server.domain.ports import Receiver, RoomRepository

_log: Final = logging.getLogger(__name__)
_MAX_FINISH_SECONDS: Final = 10.0
_MAX_WAITING: Final = 10_000
_MAX_REMEMBERED: Final = 50_000


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


class UnreadNotices:
    """Makes one NEW_MESSAGE event for each run of messages that somebody has not read.

    A run is known by the member's read mark: until the mark moves, the event has the same id, and
    whoever stores notifications recognises it. Losing a notice to a crash is repaired by the next
    message of the run. The work is done aside, so that no sender waits for it.
    """

    def __init__(self, rooms: RoomRepository, presence: RoomPresence, receiver: Receiver) -> None:
        self._rooms = rooms
        self._presence = presence
        self._receiver = receiver
        self._waiting: OrderedDict[str, Message] = OrderedDict()
        self._is_ending = False
        self._arrived = asyncio.Event()
        self._told: OrderedDict[tuple[str, str], int] = OrderedDict()

    def add(self, messages: Sequence[Message]) -> None:
        """Look at stored messages; of each room the newest counts."""
        for message in messages:
            if message.sender_id != SYSTEM_SENDER and len(self._waiting) < _MAX_WAITING:
                self._waiting[message.room_id] = message
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
        while self._waiting or not self._is_ending:
            await self._arrived.wait()
            while self._waiting:
                await self._next()
            if not self._is_ending:
                self._arrived.clear()

    async def _next(self) -> None:
        room_id, message = self._waiting.popitem(last=False)
        try:
            room = await self._rooms.find(room_id)
            if room is not None:
                await self._tell(room, message)
        except Exception:
            # The message itself is stored and the next one of the run tries again.
            _log.exception("unread_notice_failed", extra={"room_id": room_id})

    async def _tell(self, room: ChatRoom, message: Message) -> None:
        for user_id in room.members:
            if user_id == message.sender_id or self._presence.is_here(room.id, user_id):
                continue
            mark = room.reads[user_id].sequence if user_id in room.reads else 0
            if message.sequence <= mark or self._told.get((room.id, user_id)) == mark:
                continue
            await self._receiver.on_event(
                Event(
                    id=f"unread.{room.id}.{mark}",
                    kind=EventKind.NEW_MESSAGE,
                    at=message.timestamp,
                    recipients=(user_id,),
                    booking_id=room.booking_id,
                    params={"sender": message.sender_name, "room_id": room.id},
                )
            )
            self._told[room.id, user_id] = mark
            if len(self._told) > _MAX_REMEMBERED:
                self._told.popitem(last=False)
