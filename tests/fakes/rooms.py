"""Rooms in memory, for what chat asks of them while people talk."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from server.domain.chat import ChatRoom
from server.domain.errors import StoreUnavailable
from server.domain.ports.chats import RoomChange
from server.domain.ports.paging import Page, SortKey


class MemoryRoomRepository:
    """Rooms in a dictionary. ``is_away`` fails everything."""

    def __init__(self) -> None:
        self.rows: dict[str, ChatRoom] = {}
        self.is_away = False

    def _look(self) -> None:
        if self.is_away:
            raise StoreUnavailable

    async def add(self, room: ChatRoom) -> ChatRoom:
        self._look()
        known = await self.find_by_booking(room.booking_id)
        return known or self.rows.setdefault(room.id, room)

    async def find(self, room_id: str) -> ChatRoom | None:
        self._look()
        return self.rows.get(room_id)

    async def find_with(self, customer_id: str, pandit_id: str) -> ChatRoom | None:
        rooms = [
            room
            for room in self.rows.values()
            if (room.customer_id, room.pandit_id) == (customer_id, pandit_id)
        ]
        return max(rooms, key=lambda room: room.is_active, default=None)

    async def find_by_booking(self, booking_id: str) -> ChatRoom | None:
        self._look()
        return next((row for row in self.rows.values() if row.booking_id == booking_id), None)

    async def list_for(self, user_id: str, *, limit: int, after: SortKey | None) -> Page[ChatRoom]:
        self._look()
        mine = [row for row in self.rows.values() if user_id in row.members]
        mine.sort(
            key=lambda row: (row.head.timestamp if row.head else row.created_at, row.id),
            reverse=True,
        )
        return Page(tuple(mine[:limit]), None)

    async def advance(self, changes: Sequence[RoomChange]) -> None:
        self._look()
        for change in changes:
            row = self.rows[change.room_id]
            head, reads = row.head, dict(row.reads)
            if change.head and (head is None or change.head.sequence > head.sequence):
                head = change.head
            for user_id, mark in change.marks.items():
                if user_id not in reads or mark.sequence > reads[user_id].sequence:
                    reads[user_id] = mark
            self.rows[change.room_id] = replace(row, head=head, reads=reads)

    async def heads_and_marks(self, user_id: str, limit: int) -> dict[str, tuple[int, int]]:
        page = await self.list_for(user_id, limit=limit, after=None)
        return {
            row.id: (
                row.head.sequence if row.head else 0,
                row.reads[user_id].sequence if user_id in row.reads else 0,
            )
            for row in page.rows
        }

    async def close(self, booking_id: str) -> str | None:
        room = await self.find_by_booking(booking_id)
        if room is not None:
            self.rows[room.id] = replace(room, is_active=False)
        return room.id if room else None

    async def reopen(self, booking_id: str) -> None:
        room = await self.find_by_booking(booking_id)
        if room is not None:
            self.rows[room.id] = replace(room, is_active=True)
