"""What people do that no client of ours does, and moments at which it is awkward."""

from __future__ import annotations

import asyncio
import gc
from contextlib import suppress

import pytest
from websockets.exceptions import ConnectionClosed, InvalidHandshake, InvalidStatus

from server.app import RunningServer
from server.domain.errors import Forbidden
from server.ws.connection import SocketHandler
from tests.support import People
from tests.talk import Client, Talk, make_talk

WAIT_SECONDS = 10.0


@pytest.fixture
async def talk(server: RunningServer, people: People) -> Talk:
    return await make_talk(people, server.port)


async def test_an_admin_who_types_and_goes_leaves_nothing_behind(
    talk: Talk, people: People, server: RunningServer
) -> None:
    admin = await people.admin()
    hub = server.services.hub
    async with talk.socket(admin) as reader:
        await reader.send(type="typing", on=True)
        await reader.send(type="typing", on=False)
        errors = [frame for frame in await reader.quiet() if frame["type"] == "error"]
        assert [error["code"] for error in errors] == [Forbidden.code, Forbidden.code]
    stream = hub._streams[f"room.{talk.room_id}"]
    async with asyncio.timeout(WAIT_SECONDS):
        while stream.sessions:  # noqa: ASYNC110  # the end of a socket sets no event
            await asyncio.sleep(0.01)
    assert stream.unused_since is not None
    assert [each for _, each in hub._unused] == [stream]


async def flood_with_pongs(client: Client) -> None:
    for _ in range(10_000):
        await client.connection.pong()
        await asyncio.sleep(0)


async def test_a_flood_of_pongs_is_closed(talk: Talk) -> None:
    async with talk.socket(talk.customer) as flooding, talk.socket(talk.pandit) as other:
        # All may be on their way before the server has read the first.
        with suppress(ConnectionClosed):
            await flood_with_pongs(flooding)
        assert await flooding.closed() == 4005
        await other.said("served as ever")


@pytest.mark.logs_errors("request")
async def test_who_was_admitted_before_the_server_goes_is_refused_and_not_forgotten(
    talk: Talk, server: RunningServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    hub = server.services.hub
    authenticate = hub.authenticate
    asked, goes_on = asyncio.Event(), asyncio.Event()

    async def slowly(token: str) -> object:
        asked.set()
        await goes_on.wait()
        return await authenticate(token)

    async def come() -> None:
        async with talk.socket(talk.customer):
            pass

    monkeypatch.setattr(hub, "authenticate", slowly)
    coming = asyncio.create_task(come())
    await asyncio.wait_for(asked.wait(), WAIT_SECONDS)
    await hub.drain()
    goes_on.set()
    with pytest.raises(InvalidStatus) as refused:
        await asyncio.wait_for(coming, WAIT_SECONDS)
    assert refused.value.response.status_code == 503
    assert not list(hub.sessions())


async def test_an_origin_that_is_no_address_is_refused(talk: Talk) -> None:
    with pytest.raises(InvalidStatus) as refused:
        async with talk.socket(talk.customer, origin="http://["):
            pass
    assert refused.value.response.status_code == 403


@pytest.mark.logs_errors("socket_not_adopted")
async def test_a_socket_that_cannot_be_watched_is_not_counted(
    talk: Talk, server: RunningServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    hub = server.services.hub
    asked = asyncio.Event()

    def full(fd: int, *, reads: bool, writes: bool) -> None:
        asked.set()
        raise OSError(28, "no space left")

    with monkeypatch.context() as patch:
        patch.setattr(hub.poller._watcher, "watch", full)
        with pytest.raises(InvalidHandshake):
            async with talk.socket(talk.customer):
                pass
    assert asked.is_set()
    assert not list(hub.sessions())
    async with talk.socket(talk.customer) as client:
        await client.quiet()


async def test_a_token_whose_sign_in_ends_while_it_is_looked_at_renews_nothing(
    talk: Talk, server: RunningServer
) -> None:
    hub = server.services.hub
    async with talk.socket(talk.customer) as client:
        actor, _ = await server.services.accounts.actor_with_expiry(talk.customer.access)
        # As if the news had come between the look at the database and its answer.
        hub._remember_ended(actor.session_id)
        await client.send(type="auth", token=talk.customer.access)
        assert await client.closed() == 4401


async def test_an_open_socket_keeps_nothing_of_its_opening_request(talk: Talk) -> None:
    def requests() -> list[SocketHandler]:
        return [each for each in gc.get_objects() if isinstance(each, SocketHandler)]

    gc.collect()
    gc.disable()
    try:
        async with talk.socket(talk.customer) as client:
            await client.quiet()
            # Without the collector: what is left must not wait for it.
            assert requests() == []
    finally:
        gc.enable()
