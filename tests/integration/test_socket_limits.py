"""Limits of sockets that have a metric of their own, compression, and what a return costs."""

from __future__ import annotations

import asyncio
import dataclasses
import uuid
from contextlib import AsyncExitStack
from typing import Any

import pytest
from websockets.exceptions import InvalidStatus
from websockets.extensions.permessage_deflate import PerMessageDeflate

from bench.commands import Recorder
from server.app import RunningServer
from server.settings import Settings
from tests.support import People
from tests.talk import Client, Talk, chat_socket, make_talk, notification_socket

_OF_SOCKETS = {"messages", "notifications", "chat_rooms", "users", "sessions"}


@pytest.fixture
def recorder() -> Recorder:
    return Recorder()


@pytest.fixture
def listeners(recorder: Recorder) -> list[Recorder]:
    return [recorder]


@pytest.fixture
def settings(settings: Settings, request: pytest.FixtureRequest) -> Settings:
    limits = getattr(request, "param", {})
    return dataclasses.replace(
        settings,
        realtime=dataclasses.replace(settings.realtime, **limits),
        http=dataclasses.replace(settings.http, trusted_proxies=("127.0.0.1",)),
    )


@pytest.fixture
async def talk(server: RunningServer, people: People) -> Talk:
    return await make_talk(people, server.port)


def limited(**values: Any) -> pytest.MarkDecorator:
    return pytest.mark.parametrize("settings", [values], indirect=True, ids=["small"])


def reached(server: RunningServer, limit: str) -> float:
    value: float = server.services.metrics.socket_limits.labels(limit)._value.get()
    return value


@limited(connections_per_address=3)
async def test_connections_of_one_address_are_counted_while_they_last(
    talk: Talk, server: RunningServer
) -> None:
    async with AsyncExitStack() as stack:
        first = AsyncExitStack()
        await first.enter_async_context(talk.socket(talk.customer))
        for _ in range(2):
            await stack.enter_async_context(talk.socket(talk.pandit))
        with pytest.raises(InvalidStatus) as refused:
            async with talk.socket(talk.customer):
                pass
        assert refused.value.response.status_code == 429
        assert reached(server, "connections_per_address") == 1
        await first.aclose()
        async with asyncio.timeout(10):
            while server.services.hub._by_address.total() > 2:  # noqa: ASYNC110  # no event tells it
                await asyncio.sleep(0.01)
        async with talk.socket(talk.customer) as again:
            await again.quiet()


@limited(connections_per_address=1)
async def test_sockets_of_a_household_count_as_one_address(
    server: RunningServer, people: People
) -> None:
    person = await people.customer()

    def connect(address: str) -> Any:
        headers = {"X-Forwarded-For": address}
        return notification_socket(server.port, person.access, headers=headers)

    async with connect("2001:db8:0:7::1"):
        with pytest.raises(InvalidStatus) as refused:
            async with connect("2001:db8:0:7:8::2"):
                pass
        assert refused.value.response.status_code == 429
        async with connect("2001:db8:0:8::1"), connect("198.51.100.1"):
            with pytest.raises(InvalidStatus):
                async with connect("::ffff:198.51.100.1"):
                    pass


@limited(connections_per_user=2, messages_per_second=0.02, message_burst=5, max_unacked=1)
async def test_every_limit_that_is_reached_is_counted(talk: Talk, server: RunningServer) -> None:
    async with AsyncExitStack() as stack:
        clients = [await stack.enter_async_context(talk.socket(talk.customer)) for _ in range(3)]
        assert await clients[0].closed() == 4409
        for number in range(3):
            await clients[2].say(f"quickly {number}")
        acks = [await clients[2].next("ack") for _ in range(3)]
        assert [ack["seq"] for ack in acks] == [2, 3, 4]
        for number in range(9):
            await clients[1].send(type="ping", t=number)
        await clients[1].next("error")
    assert reached(server, "connections_per_user") == 1
    assert reached(server, "unacked") >= 1
    assert reached(server, "frame_rate") >= 1


@limited(connections_per_user=1)
async def test_an_opening_that_fails_costs_no_other_connection(
    talk: Talk, server: RunningServer
) -> None:
    async with talk.socket(talk.customer) as first:
        async with chat_socket(server.port, talk.customer.access, "0" * 24, greet=False) as nowhere:
            assert await nowhere.closed() == 4404
        await first.say("still here")
        assert (await first.next("ack"))["seq"] == 2
        async with talk.socket(talk.customer):
            assert await first.closed() == 4409


@limited(compression=True)
async def test_compressed_and_plain_clients_get_the_same(talk: Talk) -> None:
    deflate = {"compression": "deflate", "max_size": 2**20}
    async with (
        talk.socket(talk.customer, **deflate) as packed,
        talk.socket(talk.pandit, **deflate) as packed_too,
        talk.socket(talk.pandit, compression=None) as plain,
    ):
        extensions = packed.connection.protocol.extensions
        assert [type(extension) for extension in extensions] == [PerMessageDeflate]
        assert plain.connection.protocol.extensions == []
        text = "Shall we buy marigolds? " * 100
        ack = await packed.said(text)
        heard = [await client.next("message") for client in (packed_too, plain)]
        assert [message["content"] for message in heard] == [text, text]
        assert {message["seq"] for message in heard} == {ack["seq"]}
        async with talk.socket(talk.customer, query="?after=1", **deflate) as returned:
            page = await returned.next("history")
        assert [message["content"] for message in page["messages"]] == [text]


async def test_nothing_is_compressed_unless_the_settings_say_so(talk: Talk) -> None:
    async with talk.socket(talk.customer, compression="deflate") as client:
        assert client.connection.protocol.extensions == []


async def test_whoever_comes_back_costs_one_read(talk: Talk, recorder: Recorder) -> None:
    async def chat() -> int:
        async with talk.socket(talk.customer, query="?after=1") as client:
            return int((await client.next("history"))["to"])

    async def notifications() -> int:
        token = talk.customer.access
        async with notification_socket(talk.port, token, query="?after=1") as client:
            return int((await client.next("history"))["to"])

    for come_back, collection in ((chat, "messages"), (notifications, "notifications")):
        await come_back()
        recorder.take()
        assert await come_back() == 1
        asked = [(each["name"], each["command"].get(each["name"])) for each in recorder.take()]
        # What the server does by itself meanwhile is not of the sockets.
        assert [each for each in asked if each[1] in _OF_SOCKETS] == [("find", collection)]


async def test_a_room_that_everybody_left_still_knows_what_happened_meanwhile(
    talk: Talk, server: RunningServer
) -> None:
    async with talk.socket(talk.customer) as client:
        await client.said("before")
    async with talk.socket(talk.pandit) as client:
        await client.said("while he was away", cid=str(uuid.uuid4()))
    answer = await talk.customer.api.post(
        f"/api/bookings/{talk.booking_id}/cancel/", json={"reason": "We are travelling"}
    )
    answer.raise_for_status()
    async with talk.socket(talk.customer, query="?after=2") as client:
        page = await client.next("history")
        assert [m["seq"] for m in page["messages"]] == [3, 4]
        assert client.hello["room"]["is_active"] is False
        await client.say("too late")
        assert (await client.next("error"))["code"] == "room_closed"


async def test_an_open_socket_speaks_under_the_present_name(talk: Talk) -> None:
    async with talk.socket(talk.customer) as customer, talk.socket(talk.pandit) as pandit:
        await customer.said("before")
        assert (await pandit.next("message"))["sender"]["name"] == "Sita Sharma"
        answer = await talk.customer.api.patch("/api/auth/me/", json={"full_name": "Sita Rai"})
        answer.raise_for_status()
        async with asyncio.timeout(10):
            name = ""
            while name != "Sita Rai":
                await customer.said("and after")
                name = (await pandit.next("message"))["sender"]["name"]


@limited(connections_per_user=1000, message_burst=200, max_unacked=200, connect_burst=1000)
async def test_a_room_that_takes_several_turns_is_served_in_order_while_others_join(
    talk: Talk,
) -> None:
    async with AsyncExitStack() as stack:
        crowd = [await stack.enter_async_context(talk.socket(talk.pandit)) for _ in range(200)]
        speaker = await stack.enter_async_context(talk.socket(talk.customer))

        async def speak() -> None:
            for number in range(60):
                await speaker.say(f"message {number}")
                await asyncio.sleep(0)

        async def join() -> list[int]:
            async with talk.socket(talk.pandit, query="?after=1") as late:
                return await numbers(late)

        async def numbers(client: Client) -> list[int]:
            seen: list[int] = []
            while not seen or seen[-1] < 61:
                frame = await client.next("message", "history")
                found = frame["messages"] if frame["type"] == "history" else [frame]
                seen += [m["seq"] for m in found if m["seq"] > 1]
            return seen

        speaking = asyncio.create_task(speak())
        joined = await asyncio.gather(*(join() for _ in range(20)))
        await speaking
        everybody = await asyncio.gather(*(numbers(client) for client in crowd))
    assert all(seen == list(range(2, 62)) for seen in (*everybody, *joined))


@limited(messages_per_second=0.01, message_burst=10, user_rate_factor=1.5)
async def test_all_connections_of_one_person_share_his_pace_and_coming_back_refills_nothing(
    talk: Talk, server: RunningServer
) -> None:
    async def accepted(client: Client, count: int) -> int:
        for number in range(count):
            await client.send(type="ping", t=number)
        answers = [await client.next("pong", "error") for _ in range(count)]
        return [answer["type"] for answer in answers].count("pong")

    async with talk.socket(talk.customer) as phone, talk.socket(talk.customer) as desk:
        # One connection alone does not use up what the person has.
        assert await accepted(phone, 12) == 10
        assert await accepted(desk, 10) == 5
    assert reached(server, "frame_rate") >= 1
    assert reached(server, "user_rate") >= 4
    async with talk.socket(talk.customer) as again, talk.socket(talk.pandit) as other:
        assert await accepted(again, 8) == 0
        assert await accepted(other, 10) == 10


@limited(messages_per_second=0.01, message_burst=10, ping_seconds=0.2, pong_grace_seconds=5.0)
async def test_the_answers_to_our_own_pings_use_up_nothing(
    talk: Talk, server: RunningServer
) -> None:
    async with talk.socket(talk.customer) as client:
        session = next(iter(server.services.hub._by_user[talk.customer.user_id]))
        answered = 0
        async with asyncio.timeout(30):
            while answered < 12:
                was_pinged = session.is_pinged
                await asyncio.sleep(0)
                answered += was_pinged and not session.is_pinged
        for number in range(12):
            await client.send(type="ping", t=number)
        answers = [(await client.next("pong", "error"))["type"] for _ in range(12)]
    assert answers.count("pong") == 10, answers
