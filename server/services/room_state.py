"""What this process knows of rooms that the rooms' documents do not say yet.

A message is acknowledged when it is stored. The head of its room, the marks of those who have read
and the times at which messages were read follow: they are remembered here, merged, and written
together a moment later, so that a busy room costs one update a round and not one a message.

The messages are the truth, and all this can be had from them again:

- A **head** that a killed process has not written is seen when somebody reads the newest messages
  of the room, which everybody does who opens it, and goes into the document then.
- A **mark** of the last moments may be lost by a kill; the client tells it again, and answering
  moves it as well.
- **Read times** of messages are a refinement: whether a message is read is decided by its number
  and the reader's mark, and the mark's time stands in for a time that was not written. They are
  written only while no message waits to be, and of a long span the newest alone.

Others who read the documents see them late by a round. Whoever asks this process gets what it has
not written yet laid over them, and so do those whose answers come while it is being written.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections import OrderedDict
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import datetime
from typing import Final

from server.domain.chat import SYSTEM_SENDER, ChatRoom, Message, ReadMark, head_of
from server.domain.errors import StoreUnavailable
from server.domain.ports.chats import MessageRepository, ReadSpan, RoomChange, RoomRepository
from server.tasks import end_all

_log: Final = logging.getLogger(__name__)
_ROUND_SECONDS: Final = 1.5
_MAX_FINISH_SECONDS: Final = 3.0
"""All has been written once in the time for draining; this is for what came after."""
_MAX_CARDS: Final = 50_000
_MAX_CHANGES: Final = 50_000
_MAX_SPANS: Final = 10_000
_ROOMS_PER_COMMAND: Final = 1
"""A longer command would make the messages behind it wait."""
_TICKS_PER_COMMAND: Final = 6
_MAX_TICKS: Final = 256
_HURRY_SECONDS: Final = 2.0
"""What read times may take of the time in which a process ends: the mark's stands in for them."""
_REST: Final = 10.0
"""Between commands a round rests so many times as long as the last one took: the database belongs
to the messages first."""

_Mark = tuple[int, datetime]
_Member = tuple[str, str]


class RoomCard:
    """What is known of one room: who belongs to it, its highest number, its members' marks."""

    __slots__ = ("booking_id", "head", "marks", "members", "pandit_name_ne")

    def __init__(self, members: tuple[str, str], booking_id: str, pandit_name_ne: str = "") -> None:
        self.members = members
        self.booking_id = booking_id
        self.pandit_name_ne = pandit_name_ne
        self.head = 0
        self.marks: dict[str, _Mark] = {}

    def nepali_name_of(self, user_id: str) -> str:
        """The member's name in Nepali, empty unless he is the pandit and has given it."""
        return self.pandit_name_ne if user_id == self.members[1] else ""

    def mark_of(self, user_id: str) -> int:
        """How far the member has read, as far as this process knows."""
        mark = self.marks.get(user_id)
        return mark[0] if mark else 0

    def read_at(self, message: Message) -> datetime | None:
        """When another than its sender had read the message at the latest; None if nobody has."""
        times = [
            mark[1]
            for user_id, mark in self.marks.items()
            if user_id != message.sender_id and mark[0] >= message.sequence
        ]
        return min(times) if times else None


class _Change:
    """What a room's document lacks."""

    __slots__ = ("marks", "newest")

    def __init__(self) -> None:
        self.newest: Message | None = None
        self.marks: dict[str, _Mark] = {}

    def take_older(self, older: _Change) -> None:
        """Add what an older change says and this one does not."""
        self.newest = self.newest or older.newest
        self.marks = {**older.marks, **self.marks}

    def of(self, room_id: str) -> RoomChange:
        """What the repository is asked to do."""
        return RoomChange(
            room_id,
            head_of(self.newest) if self.newest else None,
            {
                user_id: ReadMark(sequence=sequence, read_at=at)
                for user_id, (sequence, at) in self.marks.items()
            },
        )


class RoomState:
    """The rooms as this process knows them, and the one who writes that down.

    Parameters
    ----------
    rooms, messages
        Where heads and marks, and read times, are written.
    is_busy
        Whether messages wait to be written; read times then wait for them.
    turn
        Taken to begin a command that moves heads and marks, and held by whoever writes messages.
    round_seconds
        The least time between two rounds of writing.

    Everything is bounded: of too many rooms the one that was heard of longest ago is forgotten, of
    too many changes the oldest. While the database is away what could not be written stays.
    """

    def __init__(
        self,
        rooms: RoomRepository,
        messages: MessageRepository,
        *,
        is_busy: Callable[[], bool],
        turn: asyncio.Lock,
        round_seconds: float = _ROUND_SECONDS,
    ) -> None:
        self._rooms = rooms
        self._messages = messages
        self._is_busy = is_busy
        self._round_seconds = round_seconds
        self._turn = turn
        self._cards: OrderedDict[str, RoomCard] = OrderedDict()
        self._changes: dict[str, _Change] = {}
        # What the last round has written, or is writing: a reader may hold the document of before.
        self._written: dict[str, _Change] = {}
        self._spans: dict[_Member, tuple[int, _Mark]] = {}
        self._changed = asyncio.Event()
        self._is_ending = False
        # While somebody waits for all to be written, rounds do not rest.
        self._hurry = asyncio.Event()
        self._waiting = 0
        self._read_times_until = 0.0
        self._round = asyncio.Lock()

    # -- what is known --------------------------------------------------------------------------

    def card(self, room_id: str) -> RoomCard | None:
        """What is known of the room, if anything is."""
        return self._cards.get(room_id)

    def learn(self, room: ChatRoom) -> RoomCard:
        """Take in a room as its document says; what is known better stays."""
        card = self._cards.get(room.id)
        if card is None:
            card = self._cards[room.id] = RoomCard(
                room.members, room.booking_id, room.pandit_name_ne
            )
            if len(self._cards) > _MAX_CARDS:
                self._cards.popitem(last=False)
        else:
            self._cards.move_to_end(room.id)
        if room.head is not None and room.head.sequence > card.head:
            card.head = room.head.sequence
        for user_id, mark in room.reads.items():
            if mark.sequence > card.mark_of(user_id):
                card.marks[user_id] = (mark.sequence, mark.read_at)
        return card

    def with_news(self, room: ChatRoom) -> ChatRoom:
        """The room with what its document did not say yet."""
        head, reads = room.head, dict(room.reads)
        for change in self._changes_of(room.id):
            newest = change.newest
            if newest is not None and (head is None or newest.sequence > head.sequence):
                head = head_of(newest)
            for user_id, (sequence, at) in change.marks.items():
                if user_id not in reads or sequence > reads[user_id].sequence:
                    reads[user_id] = ReadMark(sequence=sequence, read_at=at)
        if head is room.head and reads == room.reads:
            return room
        return replace(room, head=head, reads=reads)

    def unread(self, room_id: str, user_id: str, head: int, mark: int) -> int:
        """How many messages a member has not read; ``head`` and ``mark`` as the document says."""
        for change in self._changes_of(room_id):
            if change.newest is not None:
                head = max(head, change.newest.sequence)
            if user_id in change.marks:
                mark = max(mark, change.marks[user_id][0])
        return max(0, head - mark)

    def with_read_times(self, room_id: str, messages: list[Message]) -> list[Message]:
        """Messages with the times at which they were read, where only the mark knows yet.

        ``messages`` ascend. The newest may be one whose room does not know of it.
        """
        card = self._cards.get(room_id)
        if card is None or not messages:
            return messages
        if messages[-1].sequence > card.head:
            card.head = messages[-1].sequence
            self._change(room_id).newest = messages[-1]
        if not card.marks:
            return messages
        return [
            message
            if message.read_at is not None or (read_at := card.read_at(message)) is None
            else replace(message, read_at=read_at)
            for message in messages
        ]

    def _changes_of(self, room_id: str) -> Sequence[_Change]:
        changes = (self._written.get(room_id), self._changes.get(room_id))
        return [change for change in changes if change is not None]

    # -- what happens ---------------------------------------------------------------------------

    def stored(self, messages: Sequence[Message]) -> dict[_Member, Message]:
        """Take in stored messages, ascending within a room.

        Returns the last message of each (room, user) who has read others' messages by sending.
        """
        answered: dict[_Member, Message] = {}
        changes, cards = self._changes, self._cards
        for message in messages:
            room_id, sequence = message.room_id, message.sequence
            change = changes.get(room_id) or self._change(room_id)
            if change.newest is None or sequence > change.newest.sequence:
                change.newest = message
            card = cards.get(room_id)
            if card is None or message.sender_id == SYSTEM_SENDER:
                if card is not None:
                    card.head = max(card.head, sequence)
                continue
            sender_id = message.sender_id
            if sequence > card.head:
                card.head = sequence
            before = card.mark_of(sender_id)
            if sequence <= before:
                continue
            mark = card.marks[sender_id] = change.marks[sender_id] = (sequence, message.timestamp)
            if sequence - before > 1:
                answered[room_id, sender_id] = message
                self._tick(room_id, sender_id, before, mark)
        return answered

    def read(self, room_id: str, user_id: str, mark: ReadMark) -> bool:
        """Take in that a member has read so far; False when he had read that already."""
        card = self._cards.get(room_id)
        before = card.mark_of(user_id) if card else 0
        if mark.sequence <= before:
            return False
        kept = (mark.sequence, mark.read_at)
        if card is not None:
            card.marks[user_id] = kept
        self._change(room_id).marks[user_id] = kept
        self._tick(room_id, user_id, before, kept)
        return True

    def _change(self, room_id: str) -> _Change:
        change = self._changes.get(room_id)
        if change is None:
            if len(self._changes) >= _MAX_CHANGES:
                del self._changes[next(iter(self._changes))]
            change = self._changes[room_id] = _Change()
            self._changed.set()
        return change

    def _tick(self, room_id: str, user_id: str, above: int, mark: _Mark) -> None:
        known = self._spans.pop((room_id, user_id), None)
        above = min(above, known[0]) if known else above
        self._spans[room_id, user_id] = (max(above, mark[0] - _MAX_TICKS), mark)
        if len(self._spans) > _MAX_SPANS:
            del self._spans[next(iter(self._spans))]

    # -- writing --------------------------------------------------------------------------------

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Write in rounds while the context lasts; its end writes what is left."""
        task = asyncio.create_task(self._run(), name="room-state")
        try:
            yield
        finally:
            self._is_ending = True
            self._changed.set()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(_MAX_FINISH_SECONDS):
                    await self.flush()
                    await task
            await end_all([task])

    async def flush(self) -> None:
        """Write heads and marks now, and what read times there is time for.

        While the database is away it all stays for a later round.
        """
        self._waiting += 1
        self._read_times_until = asyncio.get_running_loop().time() + _HURRY_SECONDS
        self._hurry.set()
        try:
            await self._write_safely()
        finally:
            self._waiting -= 1
            if not self._waiting and not self._is_ending:
                self._hurry.clear()

    async def _run(self) -> None:
        while not self._is_ending:
            await self._changed.wait()
            await self._rest(self._round_seconds)
            if not self._is_ending:
                self._changed.clear()
                await self._write_safely()
                if self._changes or self._spans:
                    self._changed.set()

    async def _rest(self, seconds: float) -> None:
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._hurry.wait(), seconds)

    async def _write_safely(self) -> None:
        async with self._round:
            try:
                await self._write_rooms()
                await self._write_read_times()
            except StoreUnavailable:
                _log.warning("room_state_without_database", extra={"count": len(self._changes)})
            except Exception:
                _log.exception("room_state_failed")

    async def _write_rooms(self) -> None:
        self._written, self._changes = self._changes, {}
        left = list(self._written)
        loop = asyncio.get_running_loop()
        while left:
            chosen, left = left[:_ROOMS_PER_COMMAND], left[_ROOMS_PER_COMMAND:]
            try:
                changes = [self._written[each].of(each) for each in chosen]
                async with self._turn:
                    began = loop.time()
                    # Begun between two batches of messages, and the next is sent right behind it:
                    # a task that was made before another was woken takes its first step before it.
                    advancing = asyncio.create_task(self._rooms.advance(changes))
                await advancing
            except BaseException as error:
                # What fails by a bug would fail in every round; the others need not suffer for it.
                is_lost = isinstance(error, Exception) and not isinstance(error, StoreUnavailable)
                for room_id in left if is_lost else (*chosen, *left):
                    self._change(room_id).take_older(self._written[room_id])
                raise
            if left:
                await self._rest((loop.time() - began) * _REST)

    async def _write_read_times(self) -> None:
        while self._spans and self._is_time_for_read_times():
            chosen, began = self._next_spans(), asyncio.get_running_loop().time()
            try:
                await self._messages.mark_read(chosen)
            except StoreUnavailable:
                for span in chosen:
                    mark = (span.up_to, span.read_at)
                    member = (span.room_id, span.reader_id)
                    known = self._spans.get(member)
                    self._spans[member] = (span.above, known[1] if known else mark)
                raise
            await self._rest((asyncio.get_running_loop().time() - began) * _REST)

    def _is_time_for_read_times(self) -> bool:
        if self._hurry.is_set():
            return asyncio.get_running_loop().time() < self._read_times_until
        return not self._is_busy()

    def _next_spans(self) -> list[ReadSpan]:
        chosen: list[ReadSpan] = []
        room_left = _TICKS_PER_COMMAND
        while self._spans and room_left > 0:
            member = next(iter(self._spans))
            above, (up_to, at) = self._spans.pop(member)
            end = min(up_to, above + room_left)
            if end < up_to:
                self._spans[member] = (end, (up_to, at))
            chosen.append(ReadSpan(*member, above, end, at))
            room_left -= end - above
        return chosen
