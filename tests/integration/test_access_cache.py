"""What is believed of sessions: for how long, and what ends it at once in every process."""

from __future__ import annotations

import asyncio
import dataclasses
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack

import pytest

from server.app import RunningServer, open_server
from server.domain.errors import NotSignedIn
from server.services.accounts import SignedIn
from server.settings import BusSettings, Settings
from tests.redis_process import RedisProcess
from tests.support import PASSWORD, CapturingCodeSender, FakeClock

PHONE = "9841000001"


@pytest.fixture
async def two(
    settings: Settings, clock: FakeClock, redis: RedisProcess, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[tuple[RunningServer, RunningServer]]:
    joined = dataclasses.replace(settings, bus=BusSettings(redis_url=redis.url))
    async with AsyncExitStack() as stack:
        servers = [
            await stack.enter_async_context(
                open_server(joined, clock=clock, sender=CapturingCodeSender())
            )
            for _ in range(2)
        ]
        yield servers[0], servers[1]
        await servers[0].store.drop()


@pytest.fixture
async def sita(two: tuple[RunningServer, RunningServer]) -> SignedIn:
    """Signed in, and known in both processes."""
    one, _ = two
    signed_in = await one.services.accounts.register("Sita Sharma", PHONE, PASSWORD)
    for server in two:
        await server.services.accounts.actor_of(signed_in.access)
    return signed_in


async def until(is_so: Callable[[], bool]) -> None:
    async with asyncio.timeout(20):
        while not is_so():  # noqa: ASYNC110  # there is nothing to wait on
            await asyncio.sleep(0.01)


async def refused(server: RunningServer, token: str, seconds: float = 2.0) -> None:
    """The token is refused, now or as soon as the publication has arrived."""
    async with asyncio.timeout(seconds):
        while True:
            try:
                await server.services.accounts.actor_of(token)
            except NotSignedIn:
                return
            await asyncio.sleep(0.005)


async def test_a_session_is_read_once_in_a_while(
    two: tuple[RunningServer, RunningServer], sita: SignedIn, clock: FakeClock
) -> None:
    accounts = two[0].services.accounts
    # Behind the back of the service: nobody is told.
    await two[0].store.collection("sessions").delete_many({})
    clock.advance(seconds=9)
    assert (await accounts.actor_of(sita.access)).user_id == sita.user.id
    clock.advance(seconds=2)
    with pytest.raises(NotSignedIn):
        await accounts.actor_of(sita.access)


async def test_sign_out_is_effective_at_once_in_both(
    two: tuple[RunningServer, RunningServer], sita: SignedIn
) -> None:
    one, other = two
    actor = await one.services.accounts.actor_of(sita.access)
    await one.services.accounts.sign_out(actor)
    with pytest.raises(NotSignedIn):
        await one.services.accounts.actor_of(sita.access)
    # The clock of the test stands: only the publication can end the belief.
    await refused(other, sita.access)


async def test_a_closed_account_is_refused_at_once_in_both(
    two: tuple[RunningServer, RunningServer], sita: SignedIn
) -> None:
    one, other = two
    await one.services.accounts.deactivate(sita.user.id)
    with pytest.raises(NotSignedIn):
        await one.services.accounts.actor_of(sita.access)
    await refused(other, sita.access)


async def test_a_changed_profile_is_seen_at_once_in_both(
    two: tuple[RunningServer, RunningServer], sita: SignedIn
) -> None:
    one, other = two
    actor = await one.services.accounts.actor_of(sita.access)
    await one.services.accounts.update_profile(actor, {"language": "en"})
    assert (await one.services.accounts.actor_of(sita.access)).language == "en"
    async with asyncio.timeout(2):
        while (await other.services.accounts.actor_of(sita.access)).language != "en":  # noqa: ASYNC110
            await asyncio.sleep(0.005)


async def test_another_session_of_the_same_person_goes_on(
    two: tuple[RunningServer, RunningServer], sita: SignedIn
) -> None:
    one, other = two
    phone = await other.services.accounts.sign_in(PHONE, PASSWORD)
    await other.services.accounts.actor_of(phone.access)
    await one.services.accounts.sign_out(await one.services.accounts.actor_of(sita.access))
    await refused(other, sita.access)
    assert (await other.services.accounts.actor_of(phone.access)).user_id == sita.user.id


async def test_without_redis_the_other_process_believes_for_some_seconds_only(
    two: tuple[RunningServer, RunningServer],
    sita: SignedIn,
    redis: RedisProcess,
    clock: FakeClock,
) -> None:
    one, other = two
    await redis.kill()
    await one.services.accounts.sign_out(await one.services.accounts.actor_of(sita.access))
    with pytest.raises(NotSignedIn):
        await one.services.accounts.actor_of(sita.access)
    await other.services.accounts.actor_of(sita.access)
    clock.advance(seconds=10.5)
    with pytest.raises(NotSignedIn):
        await other.services.accounts.actor_of(sita.access)


async def test_without_redis_a_connection_that_ends_prolongs_no_belief(
    two: tuple[RunningServer, RunningServer],
    sita: SignedIn,
    redis: RedisProcess,
    clock: FakeClock,
) -> None:
    one, other = two
    accounts = other.services.accounts
    actor = await accounts.actor_of(sita.access)
    # One that ended while all was well, and one that ends while nothing is heard.
    for is_away in (False, True):
        if is_away:
            await redis.kill()
            await until(lambda: not accounts._bus.is_online)
            await one.services.accounts.sign_out(actor)
            await accounts.actor_of(sita.access)
        accounts.believe(actor, 60.0)
    clock.advance(seconds=10.5)
    with pytest.raises(NotSignedIn):
        await accounts.actor_of(sita.access)


async def test_a_connection_that_ends_prolongs_belief_while_the_processes_hear_of_each_other(
    two: tuple[RunningServer, RunningServer], sita: SignedIn, clock: FakeClock
) -> None:
    accounts = two[1].services.accounts
    accounts.believe(await accounts.actor_of(sita.access), 60.0)
    await two[1].store.collection("sessions").delete_many({})
    clock.advance(seconds=59)
    assert (await accounts.actor_of(sita.access)).user_id == sita.user.id
    clock.advance(seconds=2)
    with pytest.raises(NotSignedIn):
        await accounts.actor_of(sita.access)


async def test_when_redis_is_back_nothing_is_believed_that_was_missed(
    two: tuple[RunningServer, RunningServer], sita: SignedIn, redis: RedisProcess
) -> None:
    _, other = two
    await redis.kill()
    await other.store.collection("sessions").delete_many({})
    await other.services.accounts.actor_of(sita.access)
    await redis.start()
    await refused(other, sita.access, 15.0)


async def test_those_who_ask_together_cause_one_reading(
    two: tuple[RunningServer, RunningServer], sita: SignedIn, clock: FakeClock
) -> None:
    accounts = two[0].services.accounts
    clock.advance(seconds=11)
    asked: list[str] = []
    find = accounts._sessions.find

    async def counted(session_id: str) -> object:
        asked.append(session_id)
        return await find(session_id)

    accounts._sessions.find = counted  # type: ignore[method-assign, assignment]
    impatient = asyncio.create_task(accounts.actor_of(sita.access))
    actors = asyncio.gather(*(accounts.actor_of(sita.access) for _ in range(20)))
    await asyncio.sleep(0)
    impatient.cancel()
    assert {actor.user_id for actor in await actors} == {sita.user.id}
    assert len(asked) == 1


async def test_what_was_being_read_when_it_ended_is_not_kept(
    two: tuple[RunningServer, RunningServer], sita: SignedIn, clock: FakeClock
) -> None:
    accounts = two[0].services.accounts
    clock.advance(seconds=11)
    actor = dataclasses.replace(await accounts.actor_of(sita.access))
    clock.advance(seconds=11)
    find, may_answer = accounts._sessions.find, asyncio.Event()

    async def slow(session_id: str) -> object:
        found = await find(session_id)
        await may_answer.wait()
        return found

    accounts._sessions.find = slow  # type: ignore[method-assign, assignment]
    asking = asyncio.create_task(accounts.actor_of(sita.access))
    await until(lambda: bool(accounts._looking))
    # Time for the reading to see the session before it ends.
    await accounts._users.find(sita.user.id)
    accounts._sessions.find = find  # type: ignore[method-assign]
    await accounts.sign_out(actor)
    may_answer.set()
    await asyncio.gather(asking, return_exceptions=True)
    with pytest.raises(NotSignedIn):
        await accounts.actor_of(sita.access)
