"""Writes chat messages in groups.

A message waits at most for the write that is under way: then everything that has arrived is
numbered and written as one batch, acknowledged, and told to the rooms in the order of its numbers.
At low load a batch is one message and costs what one insert costs; at high load the database is
asked once for hundreds. Nothing else is asked before the acknowledgement. If more has arrived by
then, the next batch is sent first: the database works on it while this process acknowledges.

**Numbers** are given from the head of each room that this process remembers. Nobody locks: the
database refuses a number that another process has used meanwhile, and what was refused is numbered
anew from a head read afresh, before anything is acknowledged.

**No number is left out**, whoever races, because a message is only ever stored where the number
before it is stored already:

- A head is never guessed: it was read, stored by us, or told of by whoever stored it.
- A number that is refused as taken is taken by a stored message.
- A message that is refused because it is a resend leaves its number free. So nothing of its room
  may be stored behind it: the repository writes the messages of one room in order and stops at a
  refusal. What did not get its turn is numbered anew, without the resend. This holds whether or
  not this process has ever heard of the client's id, and for a write of ours that comes to the
  database late, after we gave it up.

**Resends** are known by the claim to (room, sender, cid). Those of which this process
remembers that it has stored them are looked up and never sent to the database again. What is
remembered is a hash: a mistaken one costs a lookup, a forgotten one a refusal.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections import OrderedDict, deque
from collections.abc import AsyncIterator, Callable, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Final

from server.domain.chat import Attachment, Message, MessageType
from server.domain.errors import ClientIdConflict, Overloaded, StoreUnavailable
from server.domain.ports.chats import MessageKey, MessageRepository
from server.domain.ports.world import Clock, IdSource

_log: Final = logging.getLogger(__name__)
_MAX_BATCH: Final = 500
_MAX_BATCH_CHARACTERS: Final = 128 * 1024
"""Of what waited for a database that stood still, no more is told to a room at a time than those
who read well have room for; the write of the next part gives them the time to take it."""
_MAX_RENUMBERINGS: Final = 20
_MAX_FLUSH_SECONDS: Final = 4.0
"""All has been flushed once in the time for draining; this is for what came after."""
_MAX_HEADS: Final = 50_000
_MAX_RECENT: Final = 20_000


@dataclass(slots=True, eq=False)
class Draft:
    """A message before it has a number and a time; see ``Message`` for the fields."""

    room_id: str
    sender_id: str
    sender_role: str
    sender_name: str
    cid: str
    message_type: MessageType = MessageType.TEXT
    content: str = ""
    content_ne: str = ""
    attachment: Attachment | None = None
    reply_to: str | None = None


@dataclass(slots=True, frozen=True)
class Written:
    """A message that is stored. ``is_duplicate``: it already was.

    And nobody is told of it again.
    """

    message: Message
    is_duplicate: bool


Outcome = Written | Exception
OnStored = Callable[[Sequence[Message]], None]
_Waiting = tuple[Draft, asyncio.Future[Written]]
_Answer = tuple[asyncio.Future[Written], Outcome]
_NONE: Final[Mapping[MessageKey, Outcome]] = {}


class MessageWriter:
    """The only way by which messages come into being.

    Parameters
    ----------
    messages, clock, ids
        Where messages go, and the time and the id that they carry.
    announce
        Called with every stored batch, ascending within each room, before its senders run on. What
        it raises is logged: the messages are stored all the same.
    announce_again
        Called with resends that another process stored, or that a write stored whose answer was
        lost: whoever stored them may have died before anybody heard of them.
    max_waiting
        How many messages may wait, those under way included.
    known_head
        A number of the room that is known to be stored, 0 when none is: its head is looked for
        from there.
    """

    def __init__(
        self,
        messages: MessageRepository,
        clock: Clock,
        ids: IdSource,
        *,
        announce: OnStored,
        announce_again: OnStored,
        max_waiting: int,
        known_head: Callable[[str], int],
    ) -> None:
        self._messages = messages
        self._clock = clock
        self._ids = ids
        self._announce = announce
        self._announce_again = announce_again
        self._max_waiting = max_waiting
        self._known_head = known_head
        self._queue: deque[_Waiting] = deque()
        self._writing = 0
        self._unanswered = 0
        self._is_ending = False
        self._arrived = asyncio.Event()
        self._idle = asyncio.Event()
        self._idle.set()
        self._heads: OrderedDict[str, int] = OrderedDict()
        self._recent: dict[int, None] = {}
        self._loop: asyncio.AbstractEventLoop | None = None
        self._turn = asyncio.Lock()

    @property
    def is_busy(self) -> bool:
        """Whether a message waits, is being written or has not been answered."""
        return not self._idle.is_set()

    @property
    def is_full(self) -> bool:
        """Whether so many messages wait that a further one is refused."""
        return len(self._queue) + self._writing >= self._max_waiting

    def submit(self, draft: Draft) -> asyncio.Future[Written]:
        """Queue a message.

        The future ends when the message is durable, or with ``ClientIdConflict`` or
        ``StoreUnavailable``; after the latter it is unknown whether it was stored, and sending it
        again under the same cid is safe. Raises ``Overloaded`` when too many wait.
        """
        if self.is_full:
            raise Overloaded
        if self._loop is None:
            # Asked for once: each time costs a system call.
            self._loop = asyncio.get_running_loop()
        done: asyncio.Future[Written] = self._loop.create_future()
        self._queue.append((draft, done))
        self._idle.clear()
        self._arrived.set()
        return done

    def heard(self, room_id: str, sequence: int) -> None:
        """Take in that a message is stored under that number, perhaps by another process.

        Not needed for anything to be right, but it saves a refusal and a second write.
        """
        head = self._heads.get(room_id)
        if head is not None and head < sequence:
            self._heads[room_id] = sequence

    @property
    def turn(self) -> asyncio.Lock:
        """Held while a batch is written; whoever else writes a lot takes it to begin.

        A write that comes upon a batch costs the embedded server more than one that goes before it.
        """
        return self._turn

    async def flush(self) -> None:
        """Return when everything that was submitted has been written and told of, or refused."""
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
            async with self._turn:
                await self._write_next()
            if not self._queue and not self._is_ending:
                self._arrived.clear()

    async def _write_next(self) -> None:
        batch = self._next_batch()
        if batch:
            await self._write_safely(batch)

    def _next_batch(self) -> list[_Waiting]:
        queue, left = self._queue, _MAX_BATCH_CHARACTERS
        batch: list[_Waiting] = []
        while queue and left > 0 and len(batch) < _MAX_BATCH:
            draft = queue[0][0]
            left -= len(draft.content) + len(draft.content_ne)
            batch.append(queue.popleft())
        return batch

    async def _write_safely(self, batch: Sequence[_Waiting]) -> None:
        self._writing = len(batch)
        try:
            await self._write(batch)
        except asyncio.CancelledError:
            task = asyncio.current_task()
            if task is not None and task.cancelling():
                raise
            # Something within was cancelled, not this: it must not end the writing for good.
            _log.exception("message_batch_cancelled")
            self._answer_soon([(done, StoreUnavailable()) for _, done in batch])
        except Exception as error:
            _log.exception("message_batch_failed")
            self._answer_soon([(done, error) for _, done in batch])
        self._writing = 0

    async def _write(self, batch: Sequence[_Waiting]) -> None:
        # Of equal ones in the batch the first is written, and answers for all of them.
        drafts: dict[MessageKey, Draft] = {}
        keys = [(draft.room_id, draft.sender_id, draft.cid) for draft, _ in batch]
        for key, (draft, _) in zip(keys, batch, strict=True):
            drafts.setdefault(key, draft)
        stored: list[Message] = []
        outcomes = await self._store(drafts, stored)
        answers: list[_Answer] = []
        for key, (draft, done) in zip(keys, batch, strict=True):
            outcome = outcomes[key]
            is_new = isinstance(outcome, Written) and not outcome.is_duplicate
            if not (is_new and drafts[key] is draft):
                outcome = _of_another(draft, outcome)
            answers.append((done, outcome))
        self._answer_soon(answers, stored, outcomes if len(stored) < len(drafts) else {})

    def _answer_soon(
        self,
        answers: Sequence[_Answer],
        stored: Sequence[Message] = (),
        resends: Mapping[MessageKey, Outcome] = _NONE,
    ) -> None:
        """Answer once this task waits, and so after the next batch has been sent if there is one.

        There is never more than one batch to answer: no write ends before the loop has turned.
        """
        self._unanswered += 1
        asyncio.get_running_loop().call_soon(self._answer, answers, stored, resends)

    def _answer(
        self,
        answers: Sequence[_Answer],
        stored: Sequence[Message],
        resends: Mapping[MessageKey, Outcome],
    ) -> None:
        for done, outcome in answers:
            _resolve(done, outcome)
        if stored:
            self._logging_errors(self._announce, stored)
        if resends:
            self._tell_again(resends)
        self._unanswered -= 1
        if not (self._unanswered or self._writing or self._queue):
            self._idle.set()

    def _tell_again(self, outcomes: Mapping[MessageKey, Outcome]) -> None:
        """Tell of resends that this process has not told of: perhaps nobody has."""
        untold = [
            outcome.message
            for key, outcome in outcomes.items()
            if isinstance(outcome, Written)
            and outcome.is_duplicate
            and hash(key) not in self._recent
        ]
        if untold:
            self._recent.update((hash(key_of(message)), None) for message in untold)
            self._logging_errors(self._announce_again, untold)

    @staticmethod
    def _logging_errors(hook: OnStored, messages: Sequence[Message]) -> None:
        try:
            hook(messages)
        except Exception:
            # The messages are durable; failing their senders now would be a lie.
            _log.exception("message_hook_failed")

    async def _store(
        self, drafts: Mapping[MessageKey, Draft], stored: list[Message]
    ) -> dict[MessageKey, Outcome]:
        """Write the drafts and say what became of each; appends to ``stored`` what is new."""
        outcomes: dict[MessageKey, Outcome] = {}
        try:
            suspects = [key for key in drafts if hash(key) in self._recent]
            if suspects:
                for message in await self._messages.find_sent(suspects):
                    outcomes[key_of(message)] = Written(message, is_duplicate=True)
            for _ in range(_MAX_RENUMBERINGS):
                left = [draft for key, draft in drafts.items() if key not in outcomes]
                if not left:
                    break
                await self._store_once(left, outcomes, stored)
        except StoreUnavailable as error:
            # What the database took of the batch is unknown, and so are the heads.
            for key in drafts:
                self._heads.pop(key[0], None)
                outcomes.setdefault(key, error)
        for key in drafts:
            outcomes.setdefault(key, Overloaded())
        return outcomes

    async def _store_once(
        self, drafts: Sequence[Draft], outcomes: dict[MessageKey, Outcome], stored: list[Message]
    ) -> None:
        numbered = await self._number(drafts)
        refused = await self._messages.insert(numbered)
        for place, message in enumerate(numbered):
            if place not in refused:
                key = (message.room_id, message.sender_id, message.cid)
                outcomes[key] = Written(message, is_duplicate=False)
                self._heads[message.room_id] = message.sequence
                self._recent[hash(key)] = None
                stored.append(message)
        for place, known in refused.items():
            if known is None:
                self._heads.pop(numbered[place].room_id, None)
            else:
                outcomes[key_of(known)] = Written(known, is_duplicate=True)
        self._forget_the_oldest()

    async def _number(self, drafts: Sequence[Draft]) -> list[Message]:
        heads = self._heads
        unknown = {draft.room_id for draft in drafts if draft.room_id not in heads}
        read = await self._read_heads(unknown) if unknown else {}
        now = self._clock.now()
        # The database keeps milliseconds; what is acknowledged is what will be read.
        now = now.replace(microsecond=now.microsecond // 1000 * 1000)
        last: dict[str, int] = {}
        numbered = []
        for draft in drafts:
            room_id = draft.room_id
            sequence = last.get(room_id)
            if sequence is None:
                sequence = heads[room_id] if room_id in heads else read[room_id]
            last[room_id] = sequence = sequence + 1
            numbered.append(
                Message(
                    id=self._ids.new(),
                    room_id=room_id,
                    sequence=sequence,
                    sender_id=draft.sender_id,
                    sender_role=draft.sender_role,
                    sender_name=draft.sender_name,
                    cid=draft.cid,
                    message_type=draft.message_type,
                    content=draft.content,
                    content_ne=draft.content_ne,
                    attachment=draft.attachment,
                    reply_to=draft.reply_to,
                    timestamp=now,
                )
            )
        return numbered

    async def _read_heads(self, room_ids: Iterable[str]) -> dict[str, int]:
        chosen = list(room_ids)
        found = await asyncio.gather(
            *(
                self._messages.head(room_id, at_least=self._known_head(room_id))
                for room_id in chosen
            )
        )
        return dict(zip(chosen, found, strict=True))

    def _forget_the_oldest(self) -> None:
        while len(self._heads) > _MAX_HEADS:
            self._heads.popitem(last=False)
        while len(self._recent) > _MAX_RECENT:
            del self._recent[next(iter(self._recent))]


def key_of(message: Message) -> MessageKey:
    """What makes a message the same when it is sent again."""
    return message.room_id, message.sender_id, message.cid


def _of_another(draft: Draft, outcome: Outcome) -> Outcome:
    """What is answered for a draft that another message stands for."""
    if not isinstance(outcome, Written):
        return outcome
    if _body(draft) != _body(outcome.message):
        return ClientIdConflict()
    return outcome if outcome.is_duplicate else Written(outcome.message, is_duplicate=True)


def _body(message: Message | Draft) -> tuple[object, ...]:
    return (
        message.message_type,
        message.content,
        message.content_ne,
        message.attachment.id if message.attachment else None,
        message.reply_to,
    )


def _resolve(done: asyncio.Future[Written], outcome: Outcome) -> None:
    if done.done():
        return
    if isinstance(outcome, Written):
        done.set_result(outcome)
    else:
        done.set_exception(outcome)
