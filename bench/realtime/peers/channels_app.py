"""Chat in Django Channels with channels_redis, as its tutorial builds it: Daphne and uvicorn."""

from __future__ import annotations

import json
import os
from typing import Any
from urllib.parse import parse_qs

import django
from django.conf import settings
from orm_settings import DATABASES

IS_ORM = "BENCH_POSTGRES" in os.environ

settings.configure(
    SECRET_KEY=os.environ["BENCH_KEY"],
    ALLOWED_HOSTS=["*"],
    INSTALLED_APPS=["channels", "town_orm"] if IS_ORM else ["channels"],
    DATABASES=DATABASES if IS_ORM else {},
    DEFAULT_AUTO_FIELD="django.db.models.BigAutoField",
    CHANNEL_LAYERS={
        "default": {
            "BACKEND": "channels_redis.core.RedisChannelLayer",
            "CONFIG": {"hosts": [os.environ["BENCH_REDIS"]], "capacity": 1000},
        }
    },
)
django.setup()

from channels.generic.websocket import AsyncWebsocketConsumer  # noqa: E402
from channels.routing import ProtocolTypeRouter, URLRouter  # noqa: E402
from desk import Desk, Refused  # noqa: E402
from django.core.asgi import get_asgi_application  # noqa: E402
from django.urls import path  # noqa: E402

if IS_ORM:
    from orm_desk import OrmDesk

_desks: list[Desk] = []


def desk() -> Desk:
    """The process's desk, made when the loop runs."""
    if not _desks:
        _desks.append(OrmDesk() if IS_ORM else Desk())
    return _desks[0]


class ChatConsumer(AsyncWebsocketConsumer):
    """One socket of one room."""

    async def connect(self) -> None:
        """Admit, join the group, say hello, bring up to date."""
        self.room = self.scope["url_route"]["kwargs"]["room_id"]
        headers = dict(self.scope["headers"])
        token = headers.get(b"authorization", b"").decode().removeprefix("Bearer ")
        after = int(parse_qs(self.scope["query_string"].decode()).get("after", ["0"])[0])
        try:
            self.user = await desk().admit(token, self.room)
        except Refused:
            await self.close(4401)
            return
        await self.channel_layer.group_add(self.room, self.channel_name)
        await self.accept()
        await self.send(json.dumps(desk().hello(self.user, self.room)))
        await self.send(json.dumps(await desk().history(self.room, after)))

    async def disconnect(self, code: int) -> None:
        """Leave the group."""
        await self.channel_layer.group_discard(self.room, self.channel_name)

    async def receive(self, text_data: str = "", bytes_data: bytes | None = None) -> None:
        """Store a message, acknowledge it, tell the group; encoded once for all of them."""
        frame, ack = await desk().store(self.user, self.room, json.loads(text_data))
        await self.send(json.dumps(ack))
        await self.channel_layer.group_send(
            self.room,
            {"type": "chat.message", "from": self.channel_name, "text": json.dumps(frame)},
        )

    async def chat_message(self, event: dict[str, Any]) -> None:
        """Pass a message on, not to the socket that sent it."""
        if event["from"] != self.channel_name:
            await self.send(event["text"])


application = ProtocolTypeRouter(
    {
        "http": get_asgi_application(),
        "websocket": URLRouter([path("ws/chat/<room_id>/", ChatConsumer.as_asgi())]),
    }
)
