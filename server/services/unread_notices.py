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
from server.domain.ports.chats import RoomRepository
from server.domain.ports.events import Receiver
from server.domain.ports.processes import PresenceBoard
from server.services.room_state import RoomCard, RoomState

_log: Final = logging.getLogger(__name__)
_MAX_FINISH_SECONDS: Final = 2.0
_MAX_WAITING: Final = 10_000
_MAX_REMEMBERED: Final = 50_000
_RECHECK_SECONDS: Final = 5.0
"""Longer than a mark of another process takes to the database: read frames are merged for two
seconds, and marks are written one and a half later."""


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


@dataclass(slots=True, eq=False)
class _Unsure:
    """Somebody is connected elsewhere and perhaps looks at the room: his stored mark will tell.

    ``first`` is old enough then to be told of; ``newest`` may not be.
    """

    first: Message
    newest: Message
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

    Who looks at the room in another process is not known here. What he reads is heard of while
    the room is open in this process too (:meth:`heard_read`). Whoever is connected elsewhere is not
    told at once but in ``recheck_seconds``, if his stored mark says by then that he does not read.

    When too many rooms wait, a further one is left to its next message.
    """

    def __init__(
        self,
        rooms: RoomRepository,
        state: RoomState,
        presence: RoomPresence,
        board: PresenceBoard,
        receiver: Receiver,
        *,
        recheck_seconds: float = _RECHECK_SECONDS,
    ) -> None:
        self._rooms = rooms
        self._state = state
        self._presence = presence
        self._board = board
        self._receiver = receiver
        self._recheck_seconds = recheck_seconds
        self._waiting: OrderedDict[str, Message] = OrderedDict()
        self._later: OrderedDict[str, _Later] = OrderedDict()
        self._unsure: OrderedDict[str, _Unsure] = OrderedDict()
        self._heard: OrderedDict[tuple[str, str], int] = OrderedDict()
        self._moved: OrderedDict[str, float] = OrderedDict()
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
            unsure, later = self._unsure.get(room_id), self._later.get(room_id)
            if unsure is not None:
                unsure.newest = message
            elif later is not None and card is not None and self._are_told(card, message):
                later.message, later.added_at = message, asyncio.get_running_loop().time()
            elif len(self._waiting) < _MAX_WAITING:
                self._waiting[room_id] = message
                self._arrived.set()

    def heard_read(self, room_id: str, user_id: str, sequence: int) -> None:
        """Take in that a member has read so far in another process, which writes it down.

        It is kept from the marks of :class:`RoomState`: it may be lost with that process yet, and
        would have to be written here then when the member says it again.
        """
        if sequence > self._heard.get((room_id, user_id), 0):
            self._heard[room_id, user_id] = sequence
            self._heard.move_to_end((room_id, user_id))
            if len(self._heard) > _MAX_REMEMBERED:
                self._heard.popitem(last=False)

    def heard_presence(self, user_id: str) -> None:
        """Take in that somebody has come or gone; the board says so only a moment later."""
        if self._board.delay_seconds:
            self._moved[user_id] = asyncio.get_running_loop().time()
            self._moved.move_to_end(user_id)
            if len(self._moved) > _MAX_REMEMBERED:
                self._moved.popitem(last=False)

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
        while self._waiting or self._later or self._unsure or not self._is_ending:
            await self._wait()
            while self._waiting:
                _, message = self._waiting.popitem(last=False)
                await self._safely(message, self._look(message))
            while (later := self._take_due()) is not None:
                await self._safely(later.message, self._look_again(later))
            while (unsure := self._take_sure()) is not None:
                await self._safely(unsure.newest, self._decide(unsure))

    async def _wait(self) -> None:
        """Wait for a message, or for the time of the next second look."""
        later = next(iter(self._later.values()), None)
        unsure = next(iter(self._unsure.values()), None)
        due_at = min((each.due_at for each in (later, unsure) if each is not None), default=None)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout_at(due_at):
                await self._arrived.wait()
        if not self._is_ending:
            self._arrived.clear()

    def _take_due(self) -> _Later | None:
        later = next(iter(self._later.values()), None)
        now = asyncio.get_running_loop().time()
        if later is None or (later.due_at > now and not self._is_ending):
            return None
        return self._later.pop(later.message.room_id)

    def _take_sure(self) -> _Unsure | None:
        unsure = next(iter(self._unsure.values()), None)
        now = asyncio.get_running_loop().time()
        if unsure is None or (unsure.due_at > now and not self._is_ending):
            return None
        return self._unsure.pop(unsure.newest.room_id)

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

    async def _decide(self, unsure: _Unsure) -> None:
        """Tell whoever was connected elsewhere and has not read what he could have read by now."""
        first, newest = unsure.first, unsure.newest
        card = self._state.card(first.room_id)
        if card is None or self._who_missed(card, first):
            card = await self._read(first.room_id)
        if card is None:
            return
        await self._tell(card, first, is_sure=True)
        if newest.sequence > first.sequence and self._who_missed(card, newest):
            await self._look(newest)

    def _be_unsure(self, message: Message) -> None:
        known = self._unsure.get(message.room_id)
        if known is not None:
            known.newest = message
        elif len(self._unsure) < _MAX_WAITING:
            due_at = asyncio.get_running_loop().time() + self._recheck_seconds
            self._unsure[message.room_id] = _Unsure(message, message, due_at)

    def _keep_for_later(self, message: Message, added_at: float) -> None:
        if not self._is_ending and len(self._later) < _MAX_WAITING:
            due_at = asyncio.get_running_loop().time() + self._recheck_seconds
            # In the order of their times, which all lie as far ahead.
            self._later.pop(message.room_id, None)
            self._later[message.room_id] = _Later(message, added_at, due_at)

    async def _read(self, room_id: str) -> RoomCard | None:
        room = await self._rooms.find(room_id)
        return None if room is None else self._state.learn(room)

    async def _may_be_elsewhere(self, user_id: str) -> bool:
        moved_at = self._moved.get(user_id)
        if moved_at is not None:
            if asyncio.get_running_loop().time() < moved_at + self._board.delay_seconds:
                return True
            del self._moved[user_id]
        return await self._board.is_elsewhere(user_id) is not False

    def _mark_of(self, card: RoomCard, room_id: str, user_id: str) -> int:
        return max(card.mark_of(user_id), self._heard.get((room_id, user_id), 0))

    def _who_missed(self, card: RoomCard, message: Message) -> list[str]:
        """The members who have not read it and do not look."""
        room_id, sender_id = message.room_id, message.sender_id
        return [
            user_id
            for user_id in card.members
            if user_id != sender_id
            and not self._presence.is_here(room_id, user_id)
            and self._mark_of(card, room_id, user_id) < message.sequence
        ]

    def _are_told(self, card: RoomCard, message: Message) -> bool:
        """Whether all whom it concerns are told of this run, as far as this process knows."""
        room_id, missed = message.room_id, self._who_missed(card, message)
        return bool(missed) and all(
            self._told.get((room_id, user_id)) == self._mark_of(card, room_id, user_id)
            for user_id in missed
        )

    async def _tell(self, card: RoomCard, message: Message, *, is_sure: bool = False) -> None:
        """Tell who has missed it; unless ``is_sure``, not those who may look at it elsewhere."""
        room_id = message.room_id
        for user_id in self._who_missed(card, message):
            mark = self._mark_of(card, room_id, user_id)
            if self._told.get((room_id, user_id)) == mark:
                continue
            if not (is_sure or self._is_ending):
                if await self._may_be_elsewhere(user_id):
                    self._be_unsure(message)
                    continue
                if user_id not in self._who_missed(card, message):
                    # He has read it meanwhile.
                    continue
            await self._receiver.on_event(
                Event(
                    id=f"unread.{room_id}.{mark}",
                    kind=EventKind.NEW_MESSAGE,
                    at=message.timestamp,
                    recipients=(user_id,),
                    booking_id=card.booking_id,
                    params={
                        "sender": message.sender_name,
                        "sender_ne": card.nepali_name_of(message.sender_id),
                        "room_id": room_id,
                    },
                )
            )
            self._told[room_id, user_id] = mark
            if len(self._told) > _MAX_REMEMBERED:
                self._told.popitem(last=False)
