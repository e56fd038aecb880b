"""Chat's repositories in memory; the contract tests hold them to what the real ones do."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Collection, Sequence
from dataclasses import replace

from server.domain.chat import Message
from server.domain.errors import StoreUnavailable
from server.domain.ports.chats import MessageKey, ReadSpan
from server.services.message_writer import key_of


class MemoryMessageRepository:
    """Messages in a dictionary. ``gate`` holds inserts back, ``is_away`` fails them."""

    def __init__(self) -> None:
        self.rows: dict[tuple[str, int], Message] = {}
        self.batches: list[int] = []
        self.gate = asyncio.Event()
        self.gate.set()
        self.is_away = False

    async def insert(self, messages: Sequence[Message]) -> dict[int, Message | None]:
        await self.gate.wait()
        if self.is_away:
            raise StoreUnavailable
        self.batches.append(len(messages))
        rooms = Counter(message.room_id for message in messages)
        refused: dict[int, Message | None] = {}
        stopped: set[str] = set()
        for place, message in enumerate(messages):
            if message.room_id in stopped or not self._insert(message):
                refused[place] = self._known(key_of(message))
                if rooms[message.room_id] > 1:
                    stopped.add(message.room_id)
        return refused

    def _known(self, key: MessageKey) -> Message | None:
        return next((row for row in self.rows.values() if key_of(row) == key), None)

    def _insert(self, message: Message) -> bool:
        place = (message.room_id, message.sequence)
        if place in self.rows or self._known(key_of(message)) is not None:
            return False
        self.rows[place] = message
        return True

    def of_room(self, room_id: str) -> list[Message]:
        return [row for (room, _), row in sorted(self.rows.items()) if room == room_id]

    async def head(self, room_id: str, *, at_least: int = 0) -> int:
        if self.is_away:
            raise StoreUnavailable
        return max((row.sequence for row in self.of_room(room_id)), default=0)

    async def find_sent(self, keys: Collection[MessageKey]) -> list[Message]:
        return [row for row in self.rows.values() if key_of(row) in set(keys)]

    async def list_after(self, room_id: str, sequence: int, limit: int) -> list[Message]:
        return [row for row in self.of_room(room_id) if row.sequence > sequence][:limit]

    async def list_after_each(
        self, starts: Sequence[tuple[str, int]], limit: int
    ) -> list[list[Message]]:
        return [await self.list_after(*start, limit) for start in starts]

    async def list_before(self, room_id: str, sequence: int | None, limit: int) -> list[Message]:
        rows = self.of_room(room_id)
        return [row for row in rows if sequence is None or row.sequence < sequence][-limit:]

    async def mark_read(self, spans: Sequence[ReadSpan]) -> None:
        for span in spans:
            for row in self.of_room(span.room_id):
                is_theirs = row.sender_id != span.reader_id and row.read_at is None
                if is_theirs and span.above < row.sequence <= span.up_to:
                    place = (row.room_id, row.sequence)
                    self.rows[place] = replace(row, read_at=span.read_at)
