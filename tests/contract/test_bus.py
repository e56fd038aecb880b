"""One suite over both buses, then what only several processes can show."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from redis.asyncio import Redis
from redis.crc import key_slot

from server.bus.memory import MemoryBus
from server.bus.redis import RedisBus
from server.loopback import free_port
from tests.redis_process import (
    PROGRAM,
    RedisClusterProcesses,
    RedisProcess,
    cluster_fault,
)

needs_redis = pytest.mark.skipif(PROGRAM is None, reason="redis-server is not installed")


class Inbox:
    """Receives publications and waits for them."""

    def __init__(self) -> None:
        self._queue: asyncio.Queue[bytes] = asyncio.Queue()

    def deliver(self, payload: bytes) -> None:
        self._queue.put_nowait(payload)

    async def next(self) -> bytes:
        return await asyncio.wait_for(self._queue.get(), 30)

    def all_now(self) -> list[bytes]:
        return [self._queue.get_nowait() for _ in range(self._queue.qsize())]


@asynccontextmanager
async def running_redis(path: Path) -> AsyncIterator[RedisProcess]:
    process = RedisProcess(path)
    await process.start()
    try:
        yield process
    finally:
        await process.kill()


@pytest.fixture
async def redis(tmp_path: Path) -> AsyncIterator[RedisProcess]:
    if PROGRAM is None:
        pytest.skip("redis-server is not installed")
    async with running_redis(tmp_path) as process:
        yield process


@pytest.fixture(params=["memory", pytest.param("redis", marks=needs_redis)])
async def bus(
    request: pytest.FixtureRequest, tmp_path: Path
) -> AsyncIterator[MemoryBus | RedisBus]:
    if request.param == "memory":
        yield MemoryBus()
        return
    async with running_redis(tmp_path) as process, RedisBus.open(process.url) as opened:
        yield opened


async def test_every_receiver_of_the_topic_is_served_at_once_and_in_order(
    bus: MemoryBus | RedisBus,
) -> None:
    first, second, other = Inbox(), Inbox(), Inbox()
    await bus.subscribe("room.1", first.deliver)
    await bus.subscribe("room.1", second.deliver)
    await bus.subscribe("room.2", other.deliver)
    sent = [b"%d" % number for number in range(100)]
    for payload in sent:
        bus.publish("room.1", payload)
    assert first.all_now() == sent
    assert second.all_now() == sent
    assert other.all_now() == []


@pytest.mark.logs_errors("bus_receiver_failed")
async def test_a_failing_receiver_is_logged_and_does_not_stop_the_others(
    bus: MemoryBus | RedisBus, caplog: pytest.LogCaptureFixture
) -> None:
    def fail(payload: bytes) -> None:
        raise ValueError(payload)

    inbox = Inbox()
    await bus.subscribe("room.1", fail)
    await bus.subscribe("room.1", inbox.deliver)
    bus.publish("room.1", b"news")
    assert inbox.all_now() == [b"news"]
    assert [record.message for record in caplog.records] == ["bus_receiver_failed"]


async def test_who_has_left_hears_nothing_more(bus: MemoryBus | RedisBus) -> None:
    gone, staying = Inbox(), Inbox()
    await bus.subscribe("room.1", gone.deliver)
    await bus.subscribe("room.1", staying.deliver)
    bus.unsubscribe("room.1", gone.deliver)
    bus.unsubscribe("room.1", gone.deliver)
    bus.publish("room.1", b"news")
    assert gone.all_now() == []
    assert staying.all_now() == [b"news"]


async def test_one_callback_counts_once(bus: MemoryBus | RedisBus) -> None:
    inbox = Inbox()
    await bus.subscribe("room.1", inbox.deliver)
    await bus.subscribe("room.1", inbox.deliver)
    bus.publish("room.1", b"a")
    bus.unsubscribe("room.1", inbox.deliver)
    bus.publish("room.1", b"b")
    assert inbox.all_now() == [b"a"]


async def test_nothing_is_kept_for_topics_without_receivers(bus: MemoryBus | RedisBus) -> None:
    inbox = Inbox()
    for number in range(10):
        await bus.subscribe(f"room.{number}", inbox.deliver)
    assert bus.topics == {f"room.{n}" for n in range(10)}
    for number in range(10):
        bus.unsubscribe(f"room.{number}", inbox.deliver)
    bus.publish("room.1", b"news")
    bus.publish("room.99", b"news")
    assert bus.topics == frozenset()
    assert inbox.all_now() == []


async def test_a_receiver_may_leave_while_the_topic_is_served(bus: MemoryBus | RedisBus) -> None:
    heard: list[bytes] = []
    inbox = Inbox()

    def once(payload: bytes) -> None:
        heard.append(payload)
        bus.unsubscribe("room.1", once)

    await bus.subscribe("room.1", once)
    await bus.subscribe("room.1", inbox.deliver)
    bus.publish("room.1", b"a")
    bus.publish("room.1", b"b")
    assert inbox.all_now() == [b"a", b"b"]
    assert heard == [b"a"]


async def test_a_bus_that_was_never_away_calls_nobody(bus: MemoryBus | RedisBus) -> None:
    calls: list[None] = []
    bus.on_restored(lambda: calls.append(None))
    inbox = Inbox()
    for number in range(20):
        await bus.subscribe(f"room.{number}", inbox.deliver)
        bus.publish(f"room.{number}", b"news")
    assert bus.is_online
    assert calls == []


# -- several processes
# ------------------------------------------------------------------------------


@pytest.fixture
async def nodes(redis: RedisProcess) -> AsyncIterator[tuple[RedisBus, RedisBus]]:
    async with RedisBus.open(redis.url) as one, RedisBus.open(redis.url) as two:
        yield one, two


async def publish_until_heard(sender: RedisBus, topic: str, inbox: Inbox) -> None:
    """Publish again and again: while connections come back, publications may be lost."""
    async with asyncio.timeout(20):
        while True:
            sender.publish(topic, b"are you there")
            try:
                async with asyncio.timeout(0.1):
                    await inbox._queue.get()
            except TimeoutError:
                continue
            return


async def test_other_nodes_hear_it_once_in_order_and_the_sender_hears_no_echo(
    nodes: tuple[RedisBus, RedisBus],
) -> None:
    one, two = nodes
    at_one, at_two = Inbox(), Inbox()
    await one.subscribe("room.1", at_one.deliver)
    await two.subscribe("room.1", at_two.deliver)
    sent = [b"%d" % number for number in range(1000)]
    for payload in sent:
        one.publish("room.1", payload)
    assert [await at_two.next() for _ in sent] == sent
    # The answer travels behind every echo, so an echo would be seen before it.
    two.publish("room.1", b"answer")
    assert [await at_one.next() for _ in range(len(sent) + 1)] == [*sent, b"answer"]
    assert at_two.all_now() == [b"answer"]


async def test_a_process_subscribes_once_for_all_its_receivers(
    redis: RedisProcess, nodes: tuple[RedisBus, RedisBus]
) -> None:
    one, _ = nodes
    inbox = Inbox()

    async def subscribers() -> int:
        await one.subscribe("marker", inbox.deliver)
        async with Redis.from_url(redis.url) as client:
            ((_, count),) = await client.pubsub_numsub("pandityatra:room.1")
            return int(count)

    other = Inbox()
    await one.subscribe("room.1", inbox.deliver)
    await one.subscribe("room.1", other.deliver)
    assert await subscribers() == 1
    one.unsubscribe("room.1", inbox.deliver)
    assert await subscribers() == 1
    one.unsubscribe("room.1", other.deliver)
    # Another topic's confirmation comes after everything that Redis was told before.
    await one.subscribe("later.1", inbox.deliver)
    await one.subscribe("later.2", inbox.deliver)
    assert await subscribers() == 0


async def test_a_topic_left_and_joined_again_is_heard(nodes: tuple[RedisBus, RedisBus]) -> None:
    one, two = nodes
    inbox = Inbox()
    for _ in range(50):
        await two.subscribe("room.1", inbox.deliver)
        two.unsubscribe("room.1", inbox.deliver)
    await two.subscribe("room.1", inbox.deliver)
    one.publish("room.1", b"news")
    assert await inbox.next() == b"news"
    assert inbox.all_now() == []


async def test_many_topics_joined_together_are_all_heard(nodes: tuple[RedisBus, RedisBus]) -> None:
    one, two = nodes
    inbox = Inbox()
    topics = [f"room.{number}" for number in range(300)]
    await asyncio.gather(*(two.subscribe(topic, inbox.deliver) for topic in topics))
    for topic in topics:
        one.publish(topic, topic.encode())
    assert [(await inbox.next()).decode() for _ in topics] == topics


@pytest.mark.usefixtures("impatience")
async def test_without_redis_the_process_goes_on_alone_and_joins_again(
    redis: RedisProcess, nodes: tuple[RedisBus, RedisBus]
) -> None:
    one, two = nodes
    at_one, at_two, new_at_two = Inbox(), Inbox(), Inbox()
    await one.subscribe("room.1", at_one.deliver)
    await two.subscribe("room.1", at_two.deliver)
    await redis.kill()

    async with asyncio.timeout(20):
        for _ in range(100):
            one.publish("room.1", b"alone")
        await two.subscribe("room.2", new_at_two.deliver)
    assert at_one.all_now() == [b"alone"] * 100

    await redis.start()
    await publish_until_heard(one, "room.1", at_two)
    await publish_until_heard(one, "room.2", new_at_two)
    await publish_until_heard(two, "room.1", at_one)


@pytest.mark.usefixtures("impatience")
async def test_a_frozen_redis_holds_nobody_up(
    redis: RedisProcess, nodes: tuple[RedisBus, RedisBus]
) -> None:
    one, two = nodes
    inbox = Inbox()
    await one.subscribe("room.1", inbox.deliver)
    redis.freeze()
    try:
        for _ in range(100):
            one.publish("room.1", b"news")
        assert inbox.all_now() == [b"news"] * 100
        # Who gives up waiting has not subscribed. Tried first: whoever knows that Redis is away
        # does not wait for it.
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.1):
                await two.subscribe("room.3", inbox.deliver)
        async with asyncio.timeout(10):
            await two.subscribe("room.2", inbox.deliver)
        assert two.topics == {"room.2"}
    finally:
        redis.thaw()
    await publish_until_heard(one, "room.2", inbox)


async def test_what_was_published_before_the_end_still_leaves(redis: RedisProcess) -> None:
    inbox = Inbox()
    sent = [b"%d" % number for number in range(2000)]
    async with RedisBus.open(redis.url) as two:
        await two.subscribe("room.1", inbox.deliver)
        async with RedisBus.open(redis.url) as one:
            for payload in sent:
                one.publish("room.1", payload)
        assert [await inbox.next() for _ in sent] == sent


async def test_what_waits_for_redis_is_bounded_and_the_oldest_goes_first() -> None:
    inbox = Inbox()
    url = f"redis://127.0.0.1:{free_port()}/0"
    async with RedisBus.open(url, max_waiting_bytes=100) as bus:
        await bus.subscribe("room.1", inbox.deliver)
        for number in range(50):
            bus.publish("room.1", b"%010d" % number)
        assert len(inbox.all_now()) == 50
        assert bus.dropped == 40
        assert [payload for _, payload in bus._links[0].waiting] == [
            b"%010d" % n for n in range(40, 50)
        ]


async def until(is_so: Callable[[], bool], seconds: float = 20.0) -> None:
    """Wait for what nobody announces."""
    async with asyncio.timeout(seconds):
        while not is_so():  # noqa: ASYNC110  # there is nothing to wait on
            await asyncio.sleep(0.01)


class Calls:
    """Counts how often the bus says that something may have been missed."""

    def __init__(self, bus: RedisBus) -> None:
        self.bus = bus
        self.was_online: list[bool] = []
        bus.on_restored(lambda: self.was_online.append(bus.is_online))

    @property
    def count(self) -> int:
        return len(self.was_online)

    async def at_least(self, count: int) -> None:
        await until(lambda: self.count >= count)


async def test_after_an_absence_each_process_is_told_when_it_hears_everything_again(
    redis: RedisProcess, nodes: tuple[RedisBus, RedisBus]
) -> None:
    one, two = nodes
    inbox = Inbox()
    topics = [f"room.{number}" for number in range(700)]
    await asyncio.gather(*(two.subscribe(topic, inbox.deliver) for topic in topics))
    told = Calls(two)
    for absence in (1, 2):
        await redis.kill()
        await until(lambda: not two.is_online and not one.is_online)
        await redis.start()
        await told.at_least(absence)
    assert all(told.was_online)
    assert two.is_online
    # Told only when every subscription stands: what is published now arrives.
    async with Redis.from_url(redis.url) as client:
        counts = await client.pubsub_numsub(*(f"pandityatra:{topic}" for topic in topics))
    assert {count for _, count in counts} == {1}
    assert told.count == 2


@needs_redis
@pytest.mark.usefixtures("impatience")
async def test_who_did_not_wait_for_a_topic_is_told_when_it_is_received(
    redis: RedisProcess,
) -> None:
    async with RedisBus.open(redis.url) as bus:
        assert bus.is_online
        told = asyncio.Event()
        bus.on_restored(told.set)
        redis.freeze()
        await bus.subscribe("room.1", Inbox().deliver)
        assert not told.is_set()
        redis.thaw()
        await asyncio.wait_for(told.wait(), 30)


async def test_redis_that_comes_later_is_an_absence_too(tmp_path: Path) -> None:
    if PROGRAM is None:
        pytest.skip("redis-server is not installed")
    redis = RedisProcess(tmp_path)
    async with RedisBus.open(redis.url) as bus:
        told = Calls(bus)
        assert not bus.is_online
        await redis.start()
        await told.at_least(1)
        assert all(told.was_online)
    await redis.kill()


async def test_the_others_are_told_of_what_a_process_could_not_publish(
    redis: RedisProcess, nodes: tuple[RedisBus, RedisBus]
) -> None:
    _, two = nodes
    inbox = Inbox()
    await two.subscribe("room.1", inbox.deliver)
    told = Calls(two)
    async with RedisBus.open(redis.url, max_waiting_bytes=100) as small:
        own = Calls(small)
        for number in range(50):
            small.publish("room.1", b"%010d" % number)
        assert small.dropped == 40
        assert [await inbox.next() for _ in range(10)] == [b"%010d" % n for n in range(40, 50)]
        await told.at_least(1)
        assert own.count == 0


async def test_a_publishing_connection_that_breaks_on_the_way_is_told(
    redis: RedisProcess, nodes: tuple[RedisBus, RedisBus]
) -> None:
    one, two = nodes
    inbox = Inbox()
    await two.subscribe("room.1", inbox.deliver)
    told = Calls(two)
    async with Redis.from_url(redis.url) as client:
        # Replies to what was sent are held back until the connection that waits for them is cut.
        await client.execute_command("CLIENT", "PAUSE", 60_000, "WRITE")
        one.publish("room.1", b"news")
        async with asyncio.timeout(20):
            while not (paused := await _blocked(client)):  # noqa: ASYNC110  # Redis announces nothing
                await asyncio.sleep(0.01)
        await client.execute_command("CLIENT", "KILL", "ID", paused)
        await client.execute_command("CLIENT", "UNPAUSE")
    await told.at_least(1)


async def _blocked(client: Redis) -> str:
    """The id of the connection whose PUBLISH is held back."""
    for each in await client.client_list():
        if each["cmd"] == "publish" and "b" in each["flags"]:
            return str(each["id"])
    return ""


# -- a cluster
# ------------------------------------------------------------------------------------


@pytest.fixture(params=[1, 3], ids=["one node", "three nodes"])
async def cluster(
    request: pytest.FixtureRequest, tmp_path: Path
) -> AsyncIterator[RedisClusterProcesses]:
    if fault := cluster_fault():
        pytest.skip(fault)
    processes = RedisClusterProcesses(tmp_path, request.param)
    try:
        await processes.start()
        yield processes
    finally:
        await processes.kill()


async def _shard_subscribers(cluster: RedisClusterProcesses, topics: list[str]) -> list[int]:
    """For each node on how many of the topics it has a subscriber."""
    found = []
    for node in cluster.nodes:
        async with Redis.from_url(node.url) as client:
            names = [f"pandityatra:{topic}" for topic in topics]
            counts = await client.execute_command("PUBSUB", "SHARDNUMSUB", *names)
            found.append(sum(int(count) > 0 for count in counts[1::2]))
    return found


async def test_a_cluster_carries_each_topic_on_the_node_of_its_slot(
    cluster: RedisClusterProcesses,
) -> None:
    topics = [f"room.{number}" for number in range(60)]
    inbox = Inbox()
    async with RedisBus.open(cluster.url) as one, RedisBus.open(cluster.url) as two:
        assert one.is_online
        assert two.is_online
        await asyncio.gather(*(two.subscribe(topic, inbox.deliver) for topic in topics))
        for topic in topics:
            for number in range(5):
                one.publish(topic, f"{topic} {number}".encode())
        heard = [(await inbox.next()).decode() for _ in range(len(topics) * 5)]
        for topic in topics:
            own = [each for each in heard if each.startswith(f"{topic} ")]
            assert own == [f"{topic} {number}" for number in range(5)]
        assert inbox.all_now() == []
        counts = await _shard_subscribers(cluster, topics)
        assert sum(counts) == len(topics)
        assert all(counts)
        for topic in topics[:30]:
            two.unsubscribe(topic, inbox.deliver)
        await two.subscribe("later.1", inbox.deliver)
        async with asyncio.timeout(20):
            while sum(await _shard_subscribers(cluster, topics)) != 30:  # noqa: ASYNC110
                await asyncio.sleep(0.02)


async def test_a_node_of_a_cluster_that_was_away_is_joined_again(
    cluster: RedisClusterProcesses,
) -> None:
    topics = [f"room.{number}" for number in range(30)]
    inbox = Inbox()
    async with RedisBus.open(cluster.url) as one, RedisBus.open(cluster.url) as two:
        await asyncio.gather(*(two.subscribe(topic, inbox.deliver) for topic in topics))
        told = Calls(two)
        await cluster.nodes[-1].kill()
        await until(lambda: not two.is_online)
        await cluster.nodes[-1].start()
        await told.at_least(1)
        for topic in topics:
            await publish_until_heard(one, topic, inbox)


async def test_a_slot_that_moves_takes_its_topics_along(tmp_path: Path) -> None:
    if fault := cluster_fault():
        pytest.skip(fault)
    cluster = RedisClusterProcesses(tmp_path, 2)
    await cluster.start()
    try:
        inbox = Inbox()
        topics = [f"room.{number}" for number in range(20)]
        slots = {topic: key_slot(f"pandityatra:{topic}".encode()) for topic in topics}
        moving = next(topic for topic, slot in slots.items() if slot < 8192)
        async with RedisBus.open(cluster.url) as one, RedisBus.open(cluster.url) as two:
            for topic in topics:
                await two.subscribe(topic, inbox.deliver)
            told = Calls(two)
            await cluster.move_slot(slots[moving], 0, 1)
            await told.at_least(1)
            await publish_until_heard(one, moving, inbox)
            for topic in topics:
                await publish_until_heard(one, topic, inbox)
            before, after = await _shard_subscribers(cluster, [moving])
            assert (before, after) == (0, 1)
    finally:
        await cluster.kill()


@pytest.mark.usefixtures("impatience")
async def test_a_cluster_that_is_away_holds_nobody_up() -> None:
    inbox = Inbox()
    url = f"redis+cluster://127.0.0.1:{free_port()}/0"
    async with asyncio.timeout(15), RedisBus.open(url) as bus:
        await bus.subscribe("room.1", inbox.deliver)
        bus.publish("room.1", b"news")
        assert inbox.all_now() == [b"news"]
        assert not bus.is_online
