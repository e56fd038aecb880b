"""The same desk over PostgreSQL, with Django's asynchronous ORM as its documentation shows it."""

from __future__ import annotations

from typing import Any

from desk import Desk, Refused
from town_orm.models import Message, Room, SignIn


class OrmDesk(Desk):
    """See ``Desk``; the connection stays open between messages, which Django's default does not."""

    def connect(self) -> None:
        """Django connects by itself."""

    async def find_person(self, session_id: str, user_id: str, room_id: str) -> dict[str, Any]:
        """Two reads, where the others need three."""
        try:
            signed_in = await SignIn.objects.select_related("person").aget(
                pk=session_id, person_id=user_id
            )
            room = await Room.objects.aget(pk=room_id)
        except (SignIn.DoesNotExist, Room.DoesNotExist):
            raise Refused from None
        if user_id not in (room.customer_id, room.pandit_id):
            raise Refused
        person = signed_in.person
        return {"id": person.id, "role": person.role, "name": person.full_name}

    async def find_rows(self, room_id: str, after: int) -> list[dict[str, Any]]:
        """What follows a number, the newest 50 without one; ascending."""
        rows = Message.objects.filter(room_id=room_id)
        if after:
            found = rows.filter(sequence__gt=after).order_by("sequence")[:200]
            return [_named(row) async for row in found.values()]
        newest = [_named(row) async for row in rows.order_by("-sequence")[:50].values()]
        return newest[::-1]

    async def find_head(self, room_id: str) -> int:
        """The room's newest number."""
        newest = await Message.objects.filter(room_id=room_id).order_by("-sequence").afirst()
        return newest.sequence if newest else 0

    async def insert(self, row: dict[str, Any]) -> None:
        """One insert, committed by itself."""
        await Message.objects.acreate(
            **{("id" if name == "_id" else name): value for name, value in row.items()}
        )


def _named(row: dict[str, Any]) -> dict[str, Any]:
    row["_id"] = row.pop("id")
    return row
