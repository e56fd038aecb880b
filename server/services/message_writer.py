"""Writes chat messages in groups.

A message waits at most for the write that is under way: then everything that has arrived is
numbered and written as one batch, acknowledged, and told to the rooms in the order of its numbers.
At low load a batch is one message and costs what one insert costs; at high load the database is
asked once for hundreds.

Numbers are given from the head of each room that this process remembers. Nobody locks: the unique
index over (room, sequence) refuses a number that another process has used meanwhile, and what was
refused is numbered anew from a head read afresh, before anything is acknowledged.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections import Counter, OrderedDict, deque
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from typing import Final

from server.domain.chat import Message
from server.domain.errors import ClientIdConflict, Overloaded, StoreUnavailable
from server.domain.ports import Clock, MessageKey, MessageRepository

_log: Final = logging.getLogger(__name__)
_MAX_BATCH: Final = 500
_MAX_RENUMBERINGS: Final = 20
_MAX_FLUSH_SECONDS: Final = 15.0
_MAX_HEADS: Final = 50_000
_MAX_HEAD_READS: Final = 8
"""More reads at once make the driver's pool serve some of them very late."""


@dataclass(frozen=True, slots=True)
class Written:
    """A message that is stored. ``is_duplicate``: it already was.

    And nobody is told of it again.
    """

    message: Message
    is_duplicate: bool


@dataclass(frozen=True, slots=True)
class _Waiting:
    draft: Message
    done: asyncio.Future[Written]


Outcome = Written | Exception
OnStored = Callable[[Sequence[Message]], Awaitable[None]]


class MessageWriter:
    """The only way by which messages come into being.

    Parameters
    ----------
    messages, clock
        Where messages go, and the time that they carry.
    settle
        Called with every stored batch, in order, before its senders hear that it is stored; moves
        the rooms' heads. What it raises is logged: the messages are stored all the same.
    announce
        Called with every stored batch, ascending within each room, after its senders were told.
    max_waiting
        How many messages may wait, those under way included.
    """

    def __init__(
        self,
        messages: MessageRepository,
        clock: Clock,
        *,
        settle: OnStored,
        announce: OnStored,
        max_waiting: int,
    ) -> None:
        self._messages = messages
        self._clock = clock
        self._settle = settle
        self._announce = announce
        self._max_waiting = max_waiting
        self._queue: deque[_Waiting] = deque()
        self._writing = 0
        self._is_ending = False
        self._arrived = asyncio.Event()
        self._idle = asyncio.Event()
        self._idle.set()
        self._heads: OrderedDict[str, int] = OrderedDict()

    def submit(self, draft: Message) -> asyncio.Future[Written]:
        """Queue a message; its ``sequence`` and ``timestamp`` are given when it is written.

        The future ends when the message is durable, or with ``ClientIdConflict`` or
        ``StoreUnavailable``; after the latter it is unknown whether it was stored, and sending it
        again under the same cid is safe. Raises ``Overloaded`` when too many wait.
        """
        if len(self._queue) + self._writing >= self._max_waiting:
            raise Overloaded
        done: asyncio.Future[Written] = asyncio.get_running_loop().create_future()
        self._queue.append(_Waiting(draft, done))
        self._idle.clear()
        self._arrived.set()
        return done

    async def flush(self) -> None:
        """Return when everything that was submitted has been written, or refused."""
        await self._idle.wait()

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Write while the context lasts; its end waits a while for all that was submitted."""
        task = asyncio.create_task(self._run(), name="message-writer")
        try:
            yield
        finally:
            # Told, not cancelled: a write that is under way must come to its end.
            self._is_ending = True
            self._arrived.set()
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(task, _MAX_FLUSH_SECONDS)

    async def _run(self) -> None:
        while self._queue or not self._is_ending:
            await self._arrived.wait()
            batch = [self._queue.popleft() for _ in range(min(len(self._queue), _MAX_BATCH))]
            if batch:
                await self._write_safely(batch)
            if not self._queue:
                self._idle.set()
                if not self._is_ending:
                    self._arrived.clear()

    async def _write_safely(self, batch: Sequence[_Waiting]) -> None:
        self._writing = len(batch)
        try:
            await self._write(batch)
        except Exception as error:
            _log.exception("message_batch_failed")
            for waiting in batch:
                _resolve(waiting, error)
        self._writing = 0

    async def _write(self, batch: Sequence[_Waiting]) -> None:
        # Of equal ones in the batch the first is written, and answers for all of them.
        drafts: dict[MessageKey, Message] = {}
        for waiting in batch:
            drafts.setdefault(key_of(waiting.draft), waiting.draft)
        outcomes = await self._store(drafts)
        stored = [
            outcome.message
            for outcome in outcomes.values()
            if isinstance(outcome, Written) and not outcome.is_duplicate
        ]
        stored.sort(key=lambda message: message.sequence)
        if stored:
            await self._logging_errors(self._settle, stored)
        told: set[MessageKey] = set()
        for waiting in batch:
            key = key_of(waiting.draft)
            _resolve(waiting, _answer(waiting.draft, outcomes[key], is_first=key not in told))
            told.add(key)
        if stored:
            await self._logging_errors(self._announce, stored)

    async def _store(self, drafts: Mapping[MessageKey, Message]) -> dict[MessageKey, Outcome]:
        outcomes: dict[MessageKey, Outcome] = {}
        try:
            for message in await self._find_resent(drafts.values()):
                outcomes[key_of(message)] = Written(message, is_duplicate=True)
            for _ in range(_MAX_RENUMBERINGS):
                left = [draft for key, draft in drafts.items() if key not in outcomes]
                if not left:
                    break
                await self._store_once(left, outcomes)
        except StoreUnavailable as error:
            # What the database took of the batch is unknown, and so are the heads.
            for draft in drafts.values():
                self._heads.pop(draft.room_id, None)
                outcomes.setdefault(key_of(draft), error)
        for key in drafts:
            outcomes.setdefault(key, Overloaded())
        return outcomes

    async def _find_resent(self, drafts: Iterable[Message]) -> list[Message]:
        """Find those that are stored already, where writing would tell too late.

        A resend alone in its room is refused by the index, and its number stays free. Between
        others it would leave a hole in the room's numbers, so there it is looked up first.
        """
        rooms = Counter(draft.room_id for draft in drafts)
        keys = [key_of(draft) for draft in drafts if rooms[draft.room_id] > 1]
        return await self._messages.find_sent(keys) if keys else []

    async def _store_once(
        self, drafts: Sequence[Message], outcomes: dict[MessageKey, Outcome]
    ) -> None:
        numbered = await self._number(drafts)
        clashed: set[str] = set()
        results = await self._messages.insert(numbered)
        for message, result in zip(numbered, results, strict=True):
            if result.stored is not None:
                outcomes[key_of(message)] = Written(message, is_duplicate=False)
                self._remember(message.room_id, message.sequence)
            elif result.duplicate_of is not None:
                outcomes[key_of(message)] = Written(result.duplicate_of, is_duplicate=True)
            else:
                clashed.add(message.room_id)
        for room_id in clashed:
            self._heads.pop(room_id, None)

    async def _number(self, drafts: Sequence[Message]) -> list[Message]:
        next_numbers = await self._read_heads({draft.room_id for draft in drafts})
        now = self._clock.now()
        # The database keeps milliseconds; what is acknowledged is what will be read.
        now = now.replace(microsecond=now.microsecond // 1000 * 1000)
        numbered = []
        for draft in drafts:
            next_numbers[draft.room_id] += 1
            numbered.append(replace(draft, sequence=next_numbers[draft.room_id], timestamp=now))
        return numbered

    async def _read_heads(self, room_ids: set[str]) -> dict[str, int]:
        unknown = [room_id for room_id in room_ids if room_id not in self._heads]
        few = asyncio.Semaphore(_MAX_HEAD_READS)

        async def read(room_id: str) -> int:
            async with few:
                return await self._messages.head(room_id)

        heads = {room_id: self._heads[room_id] for room_id in room_ids if room_id in self._heads}
        if unknown:
            found = await asyncio.gather(*(read(room_id) for room_id in unknown))
            heads.update(zip(unknown, found, strict=True))
        return heads

    def _remember(self, room_id: str, sequence: int) -> None:
        self._heads[room_id] = max(sequence, self._heads.get(room_id, 0))
        self._heads.move_to_end(room_id)
        if len(self._heads) > _MAX_HEADS:
            self._heads.popitem(last=False)

    @staticmethod
    async def _logging_errors(hook: OnStored, stored: Sequence[Message]) -> None:
        try:
            await hook(stored)
        except StoreUnavailable:
            _log.warning("message_hook_without_database", extra={"count": len(stored)})
        except Exception:
            # The messages are durable; failing their senders now would be a lie.
            _log.exception("message_hook_failed")


def key_of(message: Message) -> MessageKey:
    """What makes a message the same when it is sent again."""
    return message.room_id, message.sender_id, message.cid


def _answer(draft: Message, outcome: Outcome, *, is_first: bool) -> Outcome:
    if not isinstance(outcome, Written):
        return outcome
    if _body(draft) != _body(outcome.message):
        return ClientIdConflict()
    return outcome if is_first else Written(outcome.message, is_duplicate=True)


def _body(message: Message) -> tuple[object, ...]:
    return (
        message.message_type,
        message.content,
        message.content_ne,
        message.attachment.id if message.attachment else None,
        message.reply_to,
    )


def _resolve(waiting: _Waiting, outcome: Outcome) -> None:
    if waiting.done.done():
        return
    if isinstance(outcome, Written):
        waiting.done.set_result(outcome)
    else:
        waiting.done.set_exception(outcome)
