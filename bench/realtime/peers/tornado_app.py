"""Chat in Tornado as its own chat demo writes it: ``write_message`` of a dict to each socket."""

from __future__ import annotations

import asyncio
import json
import sys
from collections import defaultdict
from typing import Any

from desk import PING_SECONDS, Desk, Refused
from tornado import web, websocket


class ChatSocket(websocket.WebSocketHandler):
    """One socket of one room."""

    def initialize(self, desk: Desk, rooms: dict[str, set[ChatSocket]]) -> None:
        """Take what is shared."""
        self.desk = desk
        self.rooms = rooms
        self.room = ""

    async def open(self, room_id: str) -> None:
        """Admit, join, say hello, bring up to date."""
        token = self.request.headers.get("Authorization", "").removeprefix("Bearer ")
        try:
            self.user = await self.desk.admit(token, room_id)
        except Refused:
            self.close(4401)
            return
        self.room = room_id
        self.rooms[room_id].add(self)
        self.write_message(self.desk.hello(self.user, room_id))
        after = int(self.get_query_argument("after", "0"))
        self.write_message(await self.desk.history(room_id, after))

    async def on_message(self, message: str | bytes) -> None:
        """Store a message, acknowledge it, tell the room."""
        frame, ack = await self.desk.store(self.user, self.room, json.loads(message))
        self.write_message(ack)
        for other in self.rooms[self.room]:
            if other is not self:
                other.write_message(frame)

    def on_close(self) -> None:
        """Leave."""
        self.rooms[self.room].discard(self)


async def main() -> None:
    """Serve until killed."""
    shared: dict[str, Any] = {"desk": Desk(), "rooms": defaultdict(set)}
    app = web.Application(
        [(r"/ws/chat/([^/]+)/", ChatSocket, shared)], websocket_ping_interval=PING_SECONDS
    )
    app.listen(int(sys.argv[1]), "127.0.0.1", backlog=1024)
    await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(main())
