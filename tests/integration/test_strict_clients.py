"""A strict client says and hears every kind of frame there is, on both sockets.

The client is that of ``websockets``, which offers compression; the server agrees to it or not.
A kind that the schemas know and that never crossed the wire here is a failure.
"""

from __future__ import annotations

import asyncio
import dataclasses
import json
import struct
import zlib
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from typing import Any, Final, get_args

import pytest
from websockets.asyncio.client import ClientConnection

from server.app import RunningServer
from server.schemas import frames
from server.settings import RealtimeSettings, Settings
from tests.support import FakeClock, People, Person
from tests.talk import Client, Frame, Talk, accept, book, make_talk, open_socket

# Kind of frame: who says it, and on which socket.
CHAT_SAID: Final = frozenset(
    {"message", "TEXT", "IMAGE", "FILE", "sync", "history", "typing", "read", "auth", "ping"}
)
CHAT_HEARD: Final = frozenset(
    {"hello", "presence", "history", "message", "ack", "typing", "read", "room"}
    | {"token_expiring", "auth_ok", "reconnect", "pong", "error"}
)
BELL_SAID: Final = frozenset(
    {"sync", "read", "watch_slots", "unwatch_slots", "share", "position", "unshare"}
    | {"auth", "ping"}
)
BELL_HEARD: Final = frozenset(
    {"hello", "history", "notification", "badge", "room_head", "job_update", "read", "slots"}
    | {"sharing", "position", "position_ended"}
    | {"token_expiring", "auth_ok", "reconnect", "pong", "error"}
)
PURSE_SAID: Final = frozenset({"watch", "unwatch", "auth", "ping"})
PURSE_HEARD: Final = frozenset(
    {"hello", "payment", "token_expiring", "auth_ok", "reconnect", "pong", "error"}
)
PUSHED_BY_NOTIFICATIONS: Final = frozenset({"notification", "badge", "job_update"})


def chunk(name: bytes, data: bytes) -> bytes:
    check = struct.pack(">I", zlib.crc32(name + data))
    return struct.pack(">I", len(data)) + name + data + check


PNG: Final = (
    b"\x89PNG\r\n\x1a\n"
    + chunk(b"IHDR", struct.pack(">IIBBBBB", 3, 2, 8, 2, 0, 0, 0))
    + chunk(b"IDAT", zlib.compress(b"\x00" * 20))
    + chunk(b"IEND", b"")
)
PDF: Final = b"%PDF-1.7\n1 0 obj<<>>endobj\ntrailer<<>>\n%%EOF\n"


@pytest.fixture(params=[False, True], ids=["plain", "compressed"])
def is_compressed(request: pytest.FixtureRequest) -> bool:
    is_on: bool = request.param
    return is_on


@pytest.fixture
def settings(settings: Settings, is_compressed: bool) -> Settings:
    realtime = RealtimeSettings(
        reconnect_window_seconds=0.3,
        messages_per_second=1000.0,
        message_burst=1000,
        presence_grace_seconds=0.2,
        merge_seconds=0.1,
        ping_seconds=2.0,
        compression=is_compressed,
    )
    return dataclasses.replace(settings, realtime=realtime)


@pytest.fixture
async def talk(server: RunningServer, people: People) -> Talk:
    return await make_talk(people, server.port)


class Witness(Client):
    """A client that notes which kinds of frames it has said and heard."""

    def __init__(self, connection: ClientConnection) -> None:
        super().__init__(connection)
        self.said_kinds: set[str] = set()
        self.heard_kinds: set[str] = set()

    async def receive(self) -> Frame:
        frame = await super().receive()
        self.heard_kinds.add(frame["type"])
        return frame

    async def send(self, **frame: Any) -> None:
        self.said_kinds.add(frame["type"])
        await super().send(**frame)

    async def until(self, **wanted: Any) -> Frame:
        """The next frame that has these values."""
        return await self.where(lambda frame: wanted.items() <= frame.items())


class Room:
    """Both parties of a talk in its chat and at their bells, all of them witnesses."""

    def __init__(self, talk: Talk, stack: AsyncExitStack) -> None:
        self._talk = talk
        self._stack = stack
        self.witnesses: list[Witness] = []

    async def chat(self, person: Person) -> Witness:
        return await self._open(f"/ws/chat/{self._talk.room_id}/", person)

    async def bell(self, person: Person) -> Witness:
        return await self._open("/ws/notifications/", person)

    async def purse(self, person: Person) -> Witness:
        return await self._open("/ws/payment/", person)

    async def _open(self, path: str, person: Person) -> Witness:
        url = f"ws://127.0.0.1:{self._talk.port}{path}"
        client = await self._stack.enter_async_context(
            open_socket(url, person.access, subprotocol=True, greet=False)
        )
        witness = Witness(client.connection)
        witness.hello = await witness.receive()
        assert witness.hello["type"] == "hello"
        self.witnesses.append(witness)
        return witness


@pytest.fixture
async def room(talk: Talk) -> AsyncIterator[Room]:
    async with AsyncExitStack() as stack:
        yield Room(talk, stack)


def tags(union: object) -> set[str]:
    return {str(each.__struct_config__.tag) for each in get_args(union)}


async def uploaded(person: Person, talk: Talk, name: str, content: bytes) -> str:
    answer = await person.api.post(
        "/api/chat/attachments/", data={"room_id": talk.room_id}, files={"file": (name, content)}
    )
    file_id: str = answer.raise_for_status().json()["id"]
    return file_id


async def renewed(person: Person) -> str:
    """A fresh access token of the person, who uses it from now on."""
    answer = await person.api.post("/api/auth/token/refresh/", json={"refresh": person.refresh})
    tokens = answer.raise_for_status().json()
    person.access, person.refresh = tokens["access"], tokens["refresh"]
    person.api.headers["Authorization"] = f"Bearer {person.access}"
    return person.access


def test_the_table_names_every_kind_that_the_schemas_know() -> None:
    assert tags(frames.Command) == CHAT_SAID
    assert tags(frames.NotificationCommand) == BELL_SAID
    assert tags(frames.PaymentCommand) == PURSE_SAID
    assert tags(frames.Event) | PUSHED_BY_NOTIFICATIONS == CHAT_HEARD | BELL_HEARD | PURSE_HEARD


async def test_compression_is_what_was_agreed(talk: Talk, room: Room, is_compressed: bool) -> None:
    witness = await room.chat(talk.customer)
    names = [each.name for each in witness.connection.protocol.extensions]
    assert names == (["permessage-deflate"] if is_compressed else [])
    assert witness.connection.subprotocol == "pandityatra.v1"
    for size in (1, 100, 1000, 4000):
        text = ("नमस्ते Namaste " * 400)[:size].strip() or "n"
        await witness.said(text, f"size-{size}")
    await witness.send(type="sync", since=0)
    page = await witness.where(lambda f: f["type"] == "history" and len(f["messages"]) >= 5)
    assert len(page["messages"][-1]["content"]) > 3990


async def test_every_kind_of_frame_crosses_the_chat_socket(
    talk: Talk, room: Room, server: RunningServer, clock: FakeClock
) -> None:
    pandit = await room.chat(talk.pandit)
    customer = await room.chat(talk.customer)
    await customer.next("presence")
    await customer.next("history")
    await pandit.until(type="presence", state="online")
    picture = await uploaded(talk.customer, talk, "altar.png", PNG)
    paper = await uploaded(talk.customer, talk, "list.pdf", PDF)

    ack = await customer.said("Namaste")
    await customer.send(type="TEXT", content="नमस्ते")
    await customer.send(type="IMAGE", content="The altar", attachment={"id": picture})
    await customer.send(type="FILE", content="The list", attachment={"id": paper})
    numbers = [ack["seq"], *[(await customer.next("ack"))["seq"] for _ in range(3)]]
    heard = [await pandit.next("message") for _ in range(4)]
    assert [each["seq"] for each in heard] == numbers
    assert [each["kind"] for each in heard] == ["TEXT", "TEXT", "IMAGE", "FILE"]

    await customer.send(type="typing", on=True)
    assert (await pandit.next("typing"))["on"] is True
    await pandit.send(type="read", seq=numbers[-1])
    assert (await customer.until(type="read", user=talk.pandit.user_id))["seq"] == numbers[-1]
    await customer.send(type="sync", since=numbers[1], limit=10)
    page = await customer.next("history")
    assert [each["seq"] for each in page["messages"]] == numbers[2:]
    await customer.send(type="history", before=numbers[1], limit=1)
    page = await customer.next("history")
    assert [each["seq"] for each in page["messages"]] == numbers[:1]
    await customer.send(type="ping", t=17)
    assert (await customer.next("pong"))["t"] == 17
    await customer.connection.send(json.dumps({"type": "nonsense"}))
    assert (await customer.next("error"))["code"] == "unknown_type"
    # Fragments, pings and pongs of the wire itself.
    await customer.connection.send(['{"type":', '"ping"', ',"t":18}'])
    assert (await customer.next("pong"))["t"] == 18
    await asyncio.wait_for(await customer.connection.ping(b"life"), 10)
    await customer.connection.pong(b"unasked")

    clock.advance(minutes=9, seconds=30)
    for witness, person in ((customer, talk.customer), (pandit, talk.pandit)):
        await witness.next("token_expiring")
        await witness.send(type="auth", token=await renewed(person))
        await witness.next("auth_ok")

    cancelled = await talk.customer.api.post(
        f"/api/bookings/{talk.booking_id}/cancel/", json={"reason": "Family plans changed"}
    )
    assert cancelled.status_code == 200, cancelled.text
    assert (await customer.next("room"))["booking_status"] == "CANCELLED"

    draining = asyncio.create_task(server.services.hub.drain())
    assert (await customer.next("reconnect"))["after_ms"] <= 300
    assert await customer.closed() == 4000
    assert await pandit.closed() == 4000
    await draining
    assert customer.said_kinds | pandit.said_kinds == CHAT_SAID
    assert customer.heard_kinds | pandit.heard_kinds == CHAT_HEARD


async def test_every_kind_of_frame_crosses_the_notification_socket(
    talk: Talk, room: Room, server: RunningServer, clock: FakeClock
) -> None:
    phone = await room.bell(talk.customer)
    laptop = await room.bell(talk.customer)
    chat = await room.chat(talk.pandit)
    road = await room.bell(talk.pandit)
    for witness in (phone, laptop):
        await witness.next("history")
    ack = await chat.said("Namaste")
    assert (await phone.next("room_head"))["seq"] == ack["seq"]
    second = await book(talk.customer, talk.pandit, booking_date="2026-11-22", booking_time="12:00")
    await accept(talk.pandit, second)
    told = await phone.until(type="notification", kind="BOOKING_ACCEPTED")
    await phone.next("job_update", "badge")
    await phone.next("job_update", "badge")
    await laptop.next("job_update")

    await laptop.send(type="sync", since=told["seq"] - 1)
    page = await laptop.next("history")
    assert told["seq"] in [each["seq"] for each in page["notifications"]]
    await phone.send(type="read", ids=[told["id"]])
    assert (await laptop.next("read"))["ids"] == [told["id"]]
    await phone.send(type="read", seq=told["seq"])
    await laptop.until(type="badge", unread=0)
    await phone.send(type="watch_slots", service=talk.pandit.service_id, date="2026-11-27")
    assert any(slot["available"] for slot in (await phone.next("slots"))["slots"])
    await phone.send(type="unwatch_slots")
    await phone.send(type="ping", t="t")
    assert (await phone.next("pong"))["t"] == "t"
    await phone.connection.send('{"type":"typing","on":true}')
    assert (await phone.next("error"))["code"] == "unknown_type"
    await asyncio.wait_for(await phone.connection.ping(b"life"), 10)

    await road.send(type="share", booking=second)
    assert (await road.next("sharing"))["booking"] == second
    await road.send(type="position", booking=second, lat=27.7, lng=85.3, accuracy=9.5)
    assert (await phone.next("position"))["lat"] == 27.7
    await road.send(type="unshare", booking=second)
    assert (await laptop.next("position_ended"))["reason"] == "stopped"

    clock.advance(minutes=9, seconds=30)
    await phone.next("token_expiring")
    await phone.send(type="auth", token=await renewed(talk.customer))
    await phone.next("auth_ok")

    draining = asyncio.create_task(server.services.hub.drain())
    assert (await phone.next("reconnect"))["after_ms"] <= 300
    assert await phone.closed() == 4000
    await draining
    witnesses = (phone, laptop, road)
    assert set[str]().union(*(each.said_kinds for each in witnesses)) == BELL_SAID
    assert set[str]().union(*(each.heard_kinds for each in witnesses)) == BELL_HEARD


async def test_every_kind_of_frame_crosses_the_payment_socket(
    talk: Talk, room: Room, server: RunningServer, clock: FakeClock
) -> None:
    made = await talk.customer.api.post(
        "/api/payments/", json={"booking_id": talk.booking_id, "payment_method": "CASH"}
    )
    payment = made.raise_for_status().json()
    purse = await room.purse(talk.customer)
    first = await purse.next("payment")
    assert (first["payment"], first["status"]) == (payment["id"], "PENDING")
    await purse.send(type="watch", payment=payment["id"])
    assert await purse.next("payment") == first
    await purse.send(type="unwatch", payment=payment["id"])
    await purse.send(type="watch", payment="nobody's")
    assert (await purse.next("error"))["code"] == "not_found"
    await purse.send(type="ping", t=17)
    assert (await purse.next("pong"))["t"] == 17
    await asyncio.wait_for(await purse.connection.ping(b"life"), 10)

    clock.advance(minutes=9, seconds=30)
    await purse.next("token_expiring")
    await purse.send(type="auth", token=await renewed(talk.customer))
    await purse.next("auth_ok")

    draining = asyncio.create_task(server.services.hub.drain())
    assert (await purse.next("reconnect"))["after_ms"] <= 300
    assert await purse.closed() == 4000
    await draining
    assert purse.said_kinds == PURSE_SAID
    assert purse.heard_kinds == PURSE_HEARD
