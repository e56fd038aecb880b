"""Chat messages in MongoDB.

A message is stored under its place: its ``_id`` is the room and the sequence number. Beside it
stands its *claim*, a small document whose ``_id`` is the room, the sender and the cid, and which
names the message's number. So the one index that every collection has decides both rules (a number
is one message, a cid is one message), and history is read by naming places, for numbers have no
gaps. Two further unique indexes would say the same, and on the embedded server they cost more than
the message itself.

What keeps a cid from being stored twice, whoever races and whatever is lost on the way:

1. A claim is written before its message. They go in one ordered command, which the first refusal
   ends; so a message never stands without its claim.
2. A claim names a number only when the number before it is stored.
3. A claim moves to another number only from one at which another message has been seen, and by a
   conditional update. Nobody can store the message at the old number any more, nor at a higher one
   that a claim has not named.

A claim without its message (its writer died between the two, or its number was taken) hinders
nobody: whoever sends the message again takes the claim over.
"""

from __future__ import annotations

from collections.abc import Collection as Keys
from collections.abc import Iterable, Sequence
from typing import Final

from server.domain.chat import Message
from server.domain.ports.chats import MessageKey, ReadSpan
from server.store.client import Document, Store
from server.store.codec import from_document, to_value

COLLECTION: Final = "messages"
_FEW: Final = 8
"""So many numbers behind one that is stored are looked at one by one when a head is looked for."""
_MANY: Final = 128
"""Ids of one query; of more the embedded server makes ever heavier work."""
_STRIDES: Final = sorted({*range(1, _FEW + 1), *(1 << power for power in range(20))})
"""How far from a number that is stored a room's head is looked for."""
_POINTS: Final = 16
"""Numbers between two that are looked at together when a head is searched for."""


class MongoMessageRepository:
    """See ``ports.MessageRepository``."""

    def __init__(self, store: Store) -> None:
        self._messages = store.collection(COLLECTION)

    async def insert(self, messages: Sequence[Message]) -> dict[int, Message | None]:
        """Write all; see the port for what is returned.

        By one command, unless something is refused. That happens only to resends and between
        processes; then it is looked up what all that is left may expect, and the rest goes on.
        """
        refused: dict[int, Message | None] = {}
        left = list(range(len(messages)))
        while left:
            documents = [each for place in left for each in documents_of(messages[place])]
            stopped = await self._messages.insert_batch(documents, ordered=True)
            if not stopped:
                break
            left = await self._settle(messages, left[next(iter(stopped)) // 2 :], refused)
        return refused

    async def _settle(
        self,
        messages: Sequence[Message],
        places: Sequence[int],
        refused: dict[int, Message | None],
    ) -> list[int]:
        """Say what becomes of those whose cid is claimed or number is taken; returns the others.

        The first of ``places`` is one whose claim or number was refused.
        """
        claims = await self._claims([_key(messages[place]) for place in places])
        wanted = {(messages[place].room_id, messages[place].sequence) for place in places}
        wanted |= {(room_id, number) for (room_id, _, _), number in claims.items()}
        at = {(each.room_id, each.sequence): each for each in await self._read(wanted)}
        ended: set[str] = set()
        unwritten: set[str] = set()
        left: list[int] = []
        for place in places:
            message, key = messages[place], _key(messages[place])
            number = claims.get(key)
            there = at.get((message.room_id, message.sequence if number is None else number))
            if there is not None and _key(there) == key:
                if (there.id, there.sequence) == (message.id, message.sequence):
                    # Stored by a try of ours whose answer was lost.
                    continue
                refused[place] = there
            elif message.room_id in ended:
                refused[place] = None
            elif number is None and there is None and place != places[0]:
                left.append(place)
                unwritten.add(message.room_id)
                continue
            elif (
                number is not None
                and message.room_id not in unwritten
                and await self._take_over(message, number, is_taken=there is not None)
            ):
                continue
            else:
                refused[place] = None
            ended.add(message.room_id)
        return left

    async def _take_over(self, message: Message, number: int, *, is_taken: bool) -> bool:
        """Store a message whose claim names ``number``, where it is not; False if it cannot be.

        ``is_taken``: another message has been seen there. Otherwise whoever wrote the claim may
        still be about to store it at that very number, and so nowhere else may we.
        """
        claim, document = documents_of(message)
        if is_taken == (number == message.sequence):
            return False
        if is_taken:
            moved = await self._messages.update_one(
                {"_id": claim["_id"], "sequence": number},
                {"$set": {"sequence": message.sequence}},
            )
            if not moved.matched:
                return False
        return not await self._messages.insert_batch([document], ordered=True)

    async def _claims(self, keys: Keys[MessageKey]) -> dict[MessageKey, int]:
        by_id = {_claim_id(key): key for key in keys}
        found = await self._find(list(by_id))
        return {by_id[each["_id"]]: each["sequence"] for each in found}

    async def head(self, room_id: str, *, at_least: int = 0) -> int:
        """Return the highest sequence number of the room, 0 when it is empty.

        Searched for upwards from ``at_least``, first in ever longer strides and then between the
        last that is there and the first that is not. That is a query or two from near the head, and
        a handful from the beginning of a long room.
        """
        low, high = at_least, 0
        while not high:
            numbers = [low + stride for stride in _STRIDES]
            stored = await self._stored(room_id, [low, *numbers] if low else numbers)
            if low and low not in stored:
                # It is not, whoever said so.
                return await self.head(room_id)
            low = max(stored, default=0)
            high = min((number for number in numbers if number > low), default=0)
        while high - low > 1:
            step = -(-(high - low) // _POINTS)
            numbers = list(range(low + step, high, step))
            low = max(await self._stored(room_id, numbers), default=low)
            high = min((number for number in numbers if number > low), default=high)
        return low

    async def _stored(self, room_id: str, numbers: Iterable[int]) -> set[int]:
        ids = [_place_id(room_id, number) for number in numbers]
        return {each["sequence"] for each in await self._find(ids, fields=("sequence",))}

    async def find_sent(self, keys: Keys[MessageKey]) -> list[Message]:
        """Return those messages that exist of these (room, sender, cid)."""
        claims = await self._claims(keys)
        found = await self._read((room_id, number) for (room_id, _, _), number in claims.items())
        return [message for message in found if claims.get(_key(message)) == message.sequence]

    async def list_after(self, room_id: str, sequence: int, limit: int) -> list[Message]:
        """Return up to ``limit`` messages with a higher sequence, ascending."""
        rows: list[Message] = []
        end = sequence + limit
        while sequence < end:
            numbers = range(sequence + 1, min(sequence + _MANY, end) + 1)
            found = await self._read_range(room_id, numbers)
            rows += found
            if len(found) < len(numbers):
                break
            sequence = numbers[-1]
        return rows

    async def list_after_each(
        self, starts: Sequence[tuple[str, int]], limit: int
    ) -> list[list[Message]]:
        """Return the same for each (room id, sequence), in their order, by one query."""
        spans = [(room_id, range(start + 1, start + limit + 1)) for room_id, start in starts]
        places = dict.fromkeys((room_id, each) for room_id, numbers in spans for each in numbers)
        at = {(each.room_id, each.sequence): each for each in await self._read(places)}
        pages = []
        for room_id, numbers in spans:
            found = [at[room_id, number] for number in numbers if (room_id, number) in at]
            pages.append(await self._without_holes(room_id, numbers, found))
        return pages

    async def list_before(self, room_id: str, sequence: int | None, limit: int) -> list[Message]:
        """Return the newest messages below ``sequence`` (or of all), ascending."""
        if sequence is None:
            sequence = await self.head(room_id) + 1
        first = max(1, sequence - limit)
        return await self._read_range(room_id, range(first, sequence))

    async def mark_read(self, spans: Sequence[ReadSpan]) -> None:
        """Set ``read_at`` on the messages of others in these spans that have none."""
        ticks: list[tuple[Document, Document]] = []
        for span in spans:
            ids = [_place_id(span.room_id, each) for each in range(span.above + 1, span.up_to + 1)]
            ticks += [
                ({"_id": each["_id"], "read_at": None}, {"$set": {"read_at": span.read_at}})
                for each in await self._find(ids, fields=("sender_id", "read_at"))
                if each["sender_id"] != span.reader_id and each["read_at"] is None
            ]
        if ticks:
            await self._messages.update_each(ticks)

    async def _read_range(self, room_id: str, numbers: range) -> list[Message]:
        """The messages of these numbers, ascending."""
        found = await self._read((room_id, number) for number in numbers)
        return await self._without_holes(room_id, numbers, found)

    async def _without_holes(
        self, room_id: str, numbers: range, found: list[Message]
    ) -> list[Message]:
        """What was found of these numbers, read again if it has holes.

        Some may be stored while it is read: where a number is missing below one that is there, it
        was looked for too early.
        """
        if found and len(found) <= found[-1].sequence - numbers[0]:
            known = range(numbers[0], found[-1].sequence + 1)
            found = await self._read((room_id, number) for number in known)
        return found

    async def _read(self, places: Iterable[tuple[str, int]]) -> list[Message]:
        """The messages at these places, ascending within a room."""
        found = await self._find([_place_id(*place) for place in places])
        return sorted(map(message_of, found), key=lambda message: message.sequence)

    async def _find(
        self, ids: Sequence[str], fields: Sequence[str] | None = None
    ) -> list[Document]:
        found: list[Document] = []
        for start in range(0, len(ids), _MANY):
            some = list(ids[start : start + _MANY])
            found += await self._messages.find(
                {"_id": {"$in": some}}, limit=len(some), fields=fields
            )
        return found


def documents_of(message: Message) -> tuple[Document, Document]:
    """The claim of a message and the message, in the order in which they are written."""
    return (
        {"_id": _claim_id(_key(message)), "sequence": message.sequence},
        _document(message),
    )


def message_of(document: Document) -> Message:
    """The message of a document that is one."""
    return from_document(Message, {**document, "_id": document["message_id"]})


def _key(message: Message) -> MessageKey:
    return message.room_id, message.sender_id, message.cid


def _claim_id(key: MessageKey) -> str:
    # A cid may hold any character; ids of rooms and people hold no slash.
    return "/".join(key)


def _place_id(room_id: str, sequence: int) -> str:
    return f"{room_id}:{sequence}"


def _document(message: Message) -> Document:
    """The document of a message, made in a fifth of the time that ``to_document`` takes."""
    attachment = message.attachment
    return {
        "_id": _place_id(message.room_id, message.sequence),
        "message_id": message.id,
        "room_id": message.room_id,
        "sequence": message.sequence,
        "sender_id": message.sender_id,
        "sender_role": message.sender_role,
        "sender_name": message.sender_name,
        "cid": message.cid,
        "message_type": str(message.message_type),
        "content": message.content,
        "content_ne": message.content_ne,
        "attachment": to_value(attachment) if attachment else None,
        "reply_to": message.reply_to,
        "timestamp": message.timestamp,
        "read_at": message.read_at,
    }
