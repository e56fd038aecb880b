"""What every peer does for a chat, with the same database and the same steps as the product.

To admit: verify the token, find the sign-in session, the user and the room, and see that he is a
member. To bring up to date: one indexed read. To store: one insert for each message, acknowledged
by the database, with the same two unique indexes. A room's next number is kept in memory after one
read, which is less work than any of these frameworks' tutorials do.
"""

from __future__ import annotations

import asyncio
import os
from datetime import UTC, datetime
from typing import Any

import jwt
from bson import ObjectId
from pymongo import ASCENDING, DESCENDING, AsyncMongoClient, WriteConcern

PING_SECONDS = float(os.environ.get("BENCH_PING_SECONDS", "25"))
_AT_ONCE = 8


class Refused(Exception):
    """No such person, or not in that room."""


class Desk:
    """One per process, made inside the running loop."""

    def __init__(self) -> None:
        self._key = os.environ["BENCH_KEY"]
        self._heads: dict[str, int] = {}
        self._locks: dict[str, asyncio.Lock] = {}
        self.connect()

    # -- what another database does otherwise ----------------------------------------------------

    def connect(self) -> None:
        """Find the collections."""
        client: AsyncMongoClient[dict[str, Any]] = AsyncMongoClient(
            os.environ["BENCH_MONGO"], tz_aware=True, maxPoolSize=16
        )
        database = client.get_database(
            os.environ["BENCH_DATABASE"], write_concern=WriteConcern(w="majority", j=True)
        )
        self._users = database["users"]
        self._sessions = database["sessions"]
        self._rooms = database["chat_rooms"]
        self._messages = database[os.environ["BENCH_MESSAGES"]]
        # The driver's pool serves some of many waiters very late; in line they are served in turn.
        self._line = asyncio.Semaphore(_AT_ONCE)

    async def find_person(self, session_id: str, user_id: str, room_id: str) -> dict[str, Any]:
        """The user, if the session is his and the room too; raises ``Refused``."""
        async with self._line:
            session = await self._sessions.find_one({"_id": session_id})
        async with self._line:
            user = await self._users.find_one({"_id": user_id})
        async with self._line:
            room = await self._rooms.find_one({"_id": room_id})
        if not session or not user or not room or user["_id"] not in room["members"]:
            raise Refused
        return {"id": user["_id"], "role": user["role"], "name": user["full_name"]}

    async def find_rows(self, room_id: str, after: int) -> list[dict[str, Any]]:
        """What follows a number, the newest 50 without one; ascending."""
        async with self._line:
            if after:
                found = self._messages.find({"room_id": room_id, "sequence": {"$gt": after}})
                return await found.sort("sequence", ASCENDING).limit(200).to_list()
            found = self._messages.find({"room_id": room_id})
            rows = await found.sort("sequence", DESCENDING).limit(50).to_list()
        return rows[::-1]

    async def find_head(self, room_id: str) -> int:
        """The room's newest number."""
        async with self._line:
            newest = await self._messages.find_one(
                {"room_id": room_id}, sort=[("sequence", DESCENDING)]
            )
        return newest["sequence"] if newest else 0

    async def insert(self, row: dict[str, Any]) -> None:
        """One insert, acknowledged when it is durable."""
        async with self._line:
            await self._messages.insert_one(row)

    # -- the steps -------------------------------------------------------------------------------

    async def admit(self, token: str, room_id: str) -> dict[str, Any]:
        """Return the user, if he is signed in and a member of the room."""
        try:
            claims = jwt.decode(token, self._key, algorithms=["HS256"])
        except jwt.PyJWTError:
            raise Refused from None
        return await self.find_person(claims["sid"], claims["sub"], room_id)

    def hello(self, user: dict[str, Any], room_id: str) -> dict[str, Any]:
        """The first frame."""
        return {
            "type": "hello",
            "v": 1,
            "user": {"id": user["id"], "role": user["role"]},
            "server_time": _stamp(datetime.now(UTC)),
            "room": {"id": room_id},
        }

    async def history(self, room_id: str, after: int) -> dict[str, Any]:
        """What follows a number; the newest 50 on a first visit."""
        rows = await self.find_rows(room_id, after)
        last = rows[-1]["sequence"] if rows else after
        return {
            "type": "history",
            "from": after,
            "to": last,
            "more": len(rows) == 200,
            "gap": False,
            "room": room_id,
            "messages": [_view(row) for row in rows],
        }

    async def store(
        self, user: dict[str, Any], room_id: str, command: dict[str, Any]
    ) -> tuple[dict[str, Any], dict[str, Any]]:
        """Store a message; return its frame and the sender's ``ack``."""
        lock = self._locks.setdefault(room_id, asyncio.Lock())
        async with lock:
            head = self._heads.get(room_id)
            if head is None:
                head = await self.find_head(room_id)
            row = {
                "_id": str(ObjectId()),
                "room_id": room_id,
                "sequence": head + 1,
                "sender_id": user["id"],
                "sender_role": user["role"],
                "sender_name": user["name"],
                "cid": command["cid"],
                "message_type": command["kind"],
                "content": command["content"],
                "content_ne": command["content_ne"],
                "attachment": None,
                "reply_to": None,
                "timestamp": datetime.now(UTC),
                "read_at": None,
            }
            await self.insert(row)
            self._heads[room_id] = head + 1
        ack = {
            "type": "ack",
            "cid": row["cid"],
            "id": row["_id"],
            "seq": row["sequence"],
            "ts": _stamp(row["timestamp"]),
            "dup": False,
        }
        return _view(row), ack


def _view(row: dict[str, Any]) -> dict[str, Any]:
    return {
        "type": "message",
        "seq": row["sequence"],
        "id": row["_id"],
        "room": row["room_id"],
        "cid": row["cid"],
        "sender": {"id": row["sender_id"], "role": row["sender_role"], "name": row["sender_name"]},
        "kind": row["message_type"],
        "content": row["content"],
        "content_ne": row["content_ne"],
        "attachment": row["attachment"],
        "reply_to": row["reply_to"],
        "ts": _stamp(row["timestamp"]),
        "read": None,
    }


def _stamp(at: datetime) -> str:
    return at.isoformat(timespec="milliseconds").removesuffix("+00:00") + "Z"
