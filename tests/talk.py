"""A conversation to test with: a booking with a room, and strict socket clients."""

from __future__ import annotations

import asyncio
import json
import uuid
from collections import deque
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed

from tests.support import People, Person

WAIT_SECONDS = 30.0
Frame = dict[str, Any]


@dataclass(frozen=True)
class Talk:
    """A customer and a pandit who may talk to each other."""

    customer: Person
    pandit: Person
    booking_id: str
    room_id: str
    port: int

    def socket(self, person: Person, **options: Any) -> Any:
        return chat_socket(self.port, person.access, self.room_id, **options)


async def book(customer: Person, pandit: Person, **overrides: Any) -> str:
    wish = {
        "service_id": pandit.service_id,
        "booking_date": "2026-11-25",
        "booking_time": "10:00",
        "service_location": "HOME",
        "area": "Baneshwor",
        "city": "Kathmandu",
        "address": "House 7, Shantinagar",
        "samagri_required": False,
        **overrides,
    }
    answer = await customer.api.post("/api/bookings/", json=wish)
    booking_id: str = answer.raise_for_status().json()["id"]
    return booking_id


async def accept(pandit: Person, booking_id: str) -> None:
    (await pandit.api.post(f"/api/bookings/{booking_id}/accept/", json={})).raise_for_status()


async def make_talk(people: People, port: int) -> Talk:
    """Book and accept; the room's first message is the system's."""
    customer, pandit = await people.customer(), await people.pandit()
    booking_id = await book(customer, pandit)
    await accept(pandit, booking_id)
    rooms = (await customer.api.get("/api/chat/rooms/")).raise_for_status().json()["results"]
    return Talk(customer, pandit, booking_id, rooms[0]["id"], port)


class Client:
    """One strict client; every wait ends."""

    def __init__(self, connection: ClientConnection) -> None:
        self.connection = connection
        self.hello: Frame = {}
        self._last: deque[Frame] = deque(maxlen=5)

    async def receive(self) -> Frame:
        try:
            async with asyncio.timeout(WAIT_SECONDS):
                frame = await self.connection.recv()
        except TimeoutError:
            raise AssertionError(f"nothing more came; the last: {list(self._last)}") from None
        assert isinstance(frame, str), "every frame is text"
        decoded: Frame = json.loads(frame)
        assert next(iter(decoded)) == "type", "the type stands first"
        self._last.append(decoded)
        return decoded

    async def next(self, *types: str) -> Frame:
        """The next frame of one of these types; others are passed over."""
        while True:
            frame = await self.receive()
            if frame["type"] in types:
                return frame

    async def where(self, is_wanted: Callable[[Frame], bool]) -> Frame:
        while True:
            frame = await self.receive()
            if is_wanted(frame):
                return frame

    async def send(self, **frame: Any) -> None:
        await self.connection.send(json.dumps(frame, ensure_ascii=False))

    async def say(self, content: str, cid: str | None = None, **more: Any) -> str:
        cid = cid or str(uuid.uuid4())
        await self.send(type="message", kind="TEXT", content=content, cid=cid, **more)
        return cid

    async def said(self, content: str, cid: str | None = None) -> Frame:
        """Say it and wait for the acknowledgement; a refusal fails the test at once."""
        cid = await self.say(content, cid)
        answer = await self.where(lambda f: f["type"] in ("ack", "error") and f.get("cid") == cid)
        assert answer["type"] == "ack", answer
        return answer

    async def quiet(self) -> list[Frame]:
        """Everything up to the answer to a ping: what the server had to say by now."""
        marker = uuid.uuid4().hex
        await self.send(type="ping", t=marker)
        frames: list[Frame] = []
        while True:
            frame = await self.receive()
            if frame["type"] == "pong" and frame["t"] == marker:
                return frames
            frames.append(frame)

    async def rest(self) -> tuple[list[Frame], int]:
        """All frames up to the end, and the code with which the server closes."""
        frames: list[Frame] = []
        try:
            async with asyncio.timeout(WAIT_SECONDS):
                while True:
                    frames.append(json.loads(await self.connection.recv()))
        except ConnectionClosed as error:
            return frames, error.rcvd.code if error.rcvd else 1006

    async def closed(self) -> int:
        """The code with which the server closes; frames before it are passed over."""
        return (await self.rest())[1]


@asynccontextmanager
async def open_socket(
    url: str,
    token: str | None,
    *,
    subprotocol: bool = False,
    origin: str | None = None,
    cookie: str | None = None,
    greet: bool = True,
    headers: dict[str, str] | None = None,
    **options: Any,
) -> AsyncIterator[Client]:
    headers = dict(headers or {})
    if cookie is not None:
        headers["Cookie"] = cookie
    if token is not None and not subprotocol:
        headers["Authorization"] = f"Bearer {token}"
    offered: Any = ["pandityatra.v1", f"bearer.{token}"] if subprotocol else None
    async with connect(
        url,
        additional_headers=headers,
        subprotocols=offered,
        origin=origin,  # type: ignore[arg-type]  # a NewType of str
        proxy=None,
        ping_interval=None,
        close_timeout=2,
        max_queue=None,
        **options,
    ) as connection:
        client = Client(connection)
        if greet:
            client.hello = await client.receive()
            assert client.hello["type"] == "hello"
        yield client


def chat_socket(
    port: int, token: str | None, room_id: str, *, query: str = "", **options: Any
) -> Any:
    return open_socket(f"ws://127.0.0.1:{port}/ws/chat/{room_id}/{query}", token, **options)


def notification_socket(port: int, token: str | None, *, query: str = "", **options: Any) -> Any:
    return open_socket(f"ws://127.0.0.1:{port}/ws/notifications/{query}", token, **options)


def payment_socket(port: int, token: str | None, *, query: str = "", **options: Any) -> Any:
    return open_socket(f"ws://127.0.0.1:{port}/ws/payment/{query}", token, **options)
