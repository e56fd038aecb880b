"""Sockets on two servers that share a database and Redis: presence, revocation, Redis away."""

from __future__ import annotations

import asyncio
import dataclasses
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack

import pytest

from server.app import RunningServer, open_server
from server.settings import BusSettings, Settings
from tests.redis_process import RedisProcess
from tests.support import CapturingCodeSender, FakeClock, People, Person
from tests.talk import Client, Frame, Talk, make_talk, notification_socket


@pytest.fixture
def settings(settings: Settings, redis: RedisProcess) -> Settings:
    realtime = dataclasses.replace(
        settings.realtime, presence_grace_seconds=0.1, merge_seconds=0.05, linger_seconds=0.2
    )
    return dataclasses.replace(settings, realtime=realtime, bus=BusSettings(redis_url=redis.url))


@pytest.fixture
async def other(
    server: RunningServer, settings: Settings, clock: FakeClock
) -> AsyncIterator[RunningServer]:
    """The second process; the first one is ``server``."""
    async with open_server(settings, clock=clock, sender=CapturingCodeSender()) as running:
        yield running


@pytest.fixture
async def talk(server: RunningServer, people: People) -> Talk:
    return await make_talk(people, server.port)


@pytest.fixture
async def elsewhere(talk: Talk, other: RunningServer) -> Talk:
    """The same conversation through the other process."""
    return dataclasses.replace(talk, port=other.port)


def is_presence(state: str) -> Callable[[Frame], bool]:
    return lambda frame: frame["type"] == "presence" and frame["state"] == state


async def test_presence_is_the_union_of_the_processes(talk: Talk, elsewhere: Talk) -> None:
    async with talk.socket(talk.customer) as customer:
        await customer.where(is_presence("offline"))
        async with AsyncExitStack() as first:
            pandit = await first.enter_async_context(elsewhere.socket(talk.pandit))
            # Perhaps at the second look: the board is written twice a second.
            found = await pandit.where(is_presence("online"))
            assert found["user"] == talk.customer.user_id
            come = await customer.next("presence")
            assert (come["user"], come["state"]) == (talk.pandit.user_id, "online")
            # A second device, on the customer's own process: leaving the first is no parting.
            async with talk.socket(talk.pandit):
                await first.aclose()
                await asyncio.sleep(0.5)
                assert not [f for f in await customer.quiet() if is_presence("offline")(f)]
        gone = await customer.where(is_presence("offline"))
        assert gone["user"] == talk.pandit.user_id
        assert gone["last_seen"]


async def test_what_is_said_on_one_is_heard_on_the_other_in_order(
    talk: Talk, elsewhere: Talk
) -> None:
    async with (
        talk.socket(talk.customer) as customer,
        elsewhere.socket(talk.pandit) as pandit,
        notification_socket(elsewhere.port, talk.customer.access) as watching,
    ):
        acks = [(await customer.said(f"from one {n}"))["seq"] for n in range(20)]
        heard = [await pandit.next("message") for _ in range(20)]
        assert [m["seq"] for m in heard] == acks == list(range(2, 22))
        answers = [(await pandit.said(f"from the other {n}"))["seq"] for n in range(20)]
        back = [await customer.next("message") for _ in range(20)]
        assert [m["seq"] for m in back] == answers == list(range(22, 42))
        assert (await watching.where(lambda f: f.get("seq") == 41))["type"] == "room_head"


async def test_both_write_to_one_room_at_once_and_every_number_is_used_once(
    talk: Talk, elsewhere: Talk
) -> None:
    async with talk.socket(talk.customer) as customer, elsewhere.socket(talk.pandit) as pandit:

        async def speak(client: Client, who: str) -> list[Frame]:
            return [await client.said(f"{who} {n}") for n in range(15)]

        acks = await asyncio.gather(speak(customer, "one"), speak(pandit, "two"))
    seqs = sorted(ack["seq"] for part in acks for ack in part)
    assert seqs == list(range(2, 32))


async def test_signing_out_closes_the_sockets_of_every_process(talk: Talk, elsewhere: Talk) -> None:
    async with (
        talk.socket(talk.customer) as here,
        elsewhere.socket(talk.customer) as there,
        elsewhere.socket(talk.pandit) as bystander,
    ):
        (await talk.customer.api.post("/api/auth/logout/", json={})).raise_for_status()
        assert await here.closed() == 4401
        assert await there.closed() == 4401
        await bystander.quiet()


async def test_while_redis_is_away_the_database_brings_what_the_other_process_said(
    talk: Talk, elsewhere: Talk, redis: RedisProcess, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("server.ws.hub._CATCH_UP_SECONDS", 0.3)
    async with talk.socket(talk.customer) as customer, elsewhere.socket(talk.pandit) as pandit:
        await customer.said("with Redis")
        assert (await pandit.next("message"))["seq"] == 2
        await redis.kill()
        sent = [(await customer.said(f"alone {n}"))["seq"] for n in range(5)]
        heard = [(await pandit.next("message"))["seq"] for _ in range(5)]
        assert heard == sent == [3, 4, 5, 6, 7]
        await redis.start()
        async with asyncio.timeout(20):
            seq = 0
            while seq < 12:
                seq = (await pandit.said(f"and back {seq}"))["seq"]
                assert (await customer.next("message"))["seq"] == seq


async def test_whoever_signed_out_while_redis_was_away_is_closed_afterwards(
    talk: Talk, elsewhere: Talk, redis: RedisProcess
) -> None:
    async with elsewhere.socket(talk.customer) as there:
        await redis.kill()
        (await talk.customer.api.post("/api/auth/logout/", json={})).raise_for_status()
        await there.quiet()
        await redis.start()
        async with asyncio.timeout(20):
            assert await there.closed() == 4401


async def test_while_redis_is_away_coming_back_prolongs_no_sign_in_that_has_ended(
    talk: Talk, elsewhere: Talk, redis: RedisProcess, other: RunningServer, clock: FakeClock
) -> None:
    hub = other.services.hub
    hub.limits = dataclasses.replace(hub.limits, linger_seconds=60.0)
    async with elsewhere.socket(talk.customer) as there:
        await redis.kill()
        (await talk.customer.api.post("/api/auth/logout/", json={})).raise_for_status()
        await there.quiet()
        async with asyncio.timeout(20):
            while hub._bus.is_online:  # noqa: ASYNC110  # no event tells it
                await asyncio.sleep(0.01)
    async with asyncio.timeout(20):
        while list(hub.sessions()):  # noqa: ASYNC110  # no event tells it
            await asyncio.sleep(0.01)
    clock.advance(seconds=11)
    async with elsewhere.socket(talk.customer, greet=False) as again:
        assert await again.closed() == 4401


async def test_a_room_that_was_closed_while_redis_was_away_cannot_be_written_elsewhere(
    talk: Talk, elsewhere: Talk, redis: RedisProcess, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("server.ws.hub._CATCH_UP_SECONDS", 0.3)
    async with talk.socket(talk.customer) as customer, elsewhere.socket(talk.pandit) as pandit:
        seq = (await pandit.said("Namaste"))["seq"]
        await customer.next("message")
        await redis.kill()
        await customer.send(type="read", seq=seq)
        url = f"/api/bookings/{talk.booking_id}/cancel/"
        answer = await talk.customer.api.post(url, json={"reason": "We move house."})
        answer.raise_for_status()
        told: dict[str, Frame] = {}
        while len(told) < 2:
            frame = await pandit.next("read", "room")
            told[frame["type"]] = frame
        assert not told["room"]["is_active"]
        await pandit.say("too late")
        assert (await pandit.next("error"))["code"] == "room_closed"


async def new_messages(person: Person) -> list[Frame]:
    """The notifications of unread messages that the person has."""
    rows: list[Frame] = (await person.api.get("/api/notifications/")).json()["results"]
    return [row for row in rows if row["notification_type"] == "NEW_MESSAGE"]


async def test_who_reads_the_chat_on_another_process_has_no_notification_of_it(
    talk: Talk, elsewhere: Talk, server: RunningServer, other: RunningServer
) -> None:
    async with talk.socket(talk.customer) as customer, elsewhere.socket(talk.pandit) as pandit:
        for number in range(4):
            for speaker, reader in ((customer, pandit), (pandit, customer)):
                ack = await speaker.said(f"message {number}")
                assert (await reader.next("message"))["seq"] == ack["seq"]
                await reader.send(type="read", seq=ack["seq"])
                await speaker.next("read")
        async with asyncio.timeout(30):
            for running in (server, other):
                notices = running.services.chats._notices
                while notices._waiting or notices._unsure:  # noqa: ASYNC110  # no event tells it
                    await asyncio.sleep(0.05)
        assert await new_messages(talk.customer) == []
        assert await new_messages(talk.pandit) == []


async def test_who_is_on_another_process_and_does_not_look_is_told_a_moment_later(
    talk: Talk, elsewhere: Talk
) -> None:
    async with (
        talk.socket(talk.customer) as customer,
        notification_socket(elsewhere.port, talk.pandit.access) as pandit,
    ):
        await customer.said("Are you there?")
        told = await pandit.where(lambda frame: frame.get("kind") == "NEW_MESSAGE")
        assert told["data"]["room_id"] == talk.room_id
        assert len(await new_messages(talk.pandit)) == 1
