"""Chat's repositories in memory; the contract tests hold them to what the real ones do."""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Sequence
from dataclasses import replace
from datetime import datetime

from server.domain.chat import Message
from server.domain.errors import StoreUnavailable
from server.domain.ports import InsertOutcome, MessageKey
from server.services.message_writer import key_of


class MemoryMessageRepository:
    """Messages in a dictionary. ``gate`` holds inserts back, ``is_away`` fails them."""

    def __init__(self) -> None:
        self.rows: dict[tuple[str, int], Message] = {}
        self.batches: list[int] = []
        self.gate = asyncio.Event()
        self.gate.set()
        self.is_away = False

    async def insert(self, messages: Sequence[Message]) -> list[InsertOutcome]:
        await self.gate.wait()
        if self.is_away:
            raise StoreUnavailable
        self.batches.append(len(messages))
        return [self._insert(message) for message in messages]

    def _insert(self, message: Message) -> InsertOutcome:
        for stored in self.rows.values():
            if key_of(stored) == key_of(message):
                return InsertOutcome(duplicate_of=stored)
        if (message.room_id, message.sequence) in self.rows:
            return InsertOutcome()
        self.rows[message.room_id, message.sequence] = message
        return InsertOutcome(stored=message)

    def of_room(self, room_id: str) -> list[Message]:
        return [row for (room, _), row in sorted(self.rows.items()) if room == room_id]

    async def head(self, room_id: str) -> int:
        if self.is_away:
            raise StoreUnavailable
        return max((row.sequence for row in self.of_room(room_id)), default=0)

    async def find_sent(self, keys: Collection[MessageKey]) -> list[Message]:
        return [row for row in self.rows.values() if key_of(row) in set(keys)]

    async def list_after(self, room_id: str, sequence: int, limit: int) -> list[Message]:
        return [row for row in self.of_room(room_id) if row.sequence > sequence][:limit]

    async def list_before(self, room_id: str, sequence: int | None, limit: int) -> list[Message]:
        rows = self.of_room(room_id)
        return [row for row in rows if sequence is None or row.sequence < sequence][-limit:]

    async def mark_read(
        self, room_id: str, reader_id: str, span: tuple[int, int], read_at: datetime
    ) -> None:
        for row in self.of_room(room_id):
            is_theirs = row.sender_id != reader_id and row.read_at is None
            if is_theirs and span[0] < row.sequence <= span[1]:
                self.rows[room_id, row.sequence] = replace(row, read_at=read_at)
