"""One Redis node as the bus sees it: a connection that listens and one that publishes.

Both come back by themselves; then the channels are subscribed anew. What is to be published waits
in a bounded queue while the node is away, the oldest goes when it is full. A batch that was on its
way when the connection broke is not sent again. Either loss is told to ``on_gap``.
"""

from __future__ import annotations

import asyncio
import logging
from collections import Counter, deque
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Any, Final

from redis.asyncio.connection import ConnectionPool
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import RedisError

from server.bus.nodes import Connection, connected
from server.tasks import end_all, until_one_ends

_log: Final = logging.getLogger(__name__)
GAPS: Final = "bus.gaps"
"""The topic on which processes hear that some publication was lost, somewhere."""
_PREFIX: Final = "pandityatra:"
_BATCH: Final = 256
_QUIET: Final = b"*3\r\n$6\r\nCLIENT\r\n$5\r\nREPLY\r\n$3\r\nOFF\r\n"
_LOUD: Final = b"*3\r\n$6\r\nCLIENT\r\n$5\r\nREPLY\r\n$2\r\nON\r\n"
_SILENCE_SECONDS: Final = 15.0
_BACKOFF_SECONDS: Final = (0.1, 0.2, 0.5, 1.0, 2.0)


def channel_of(topic: str) -> str:
    """The Redis channel of a topic."""
    return _PREFIX + topic


class Link:
    """Made and run by ``RedisBus``.

    Parameters
    ----------
    pool
        Connections to the node.
    node
        The mark of this process: what comes back with it is an echo.
    is_sharded
        Whether the node is one of a cluster, where each channel lives on one node.
    max_waiting_bytes
        Bound of what waits to be published.
    deliver
        Takes topic and payload of what other processes have published.
    on_change
        Called when :attr:`is_ready` or :attr:`failures` has changed.
    on_gap
        Called when publications have been lost.
    on_late
        Called when a topic is received at last that somebody no longer waits for.
    """

    def __init__(
        self,
        pool: ConnectionPool,
        node: bytes,
        *,
        is_sharded: bool,
        max_waiting_bytes: int,
        deliver: Callable[[str, bytes], None],
        on_change: Callable[[], None],
        on_gap: Callable[[], None],
        on_late: Callable[[], None],
    ) -> None:
        self._pool = pool
        self._node = node
        self._deliver = deliver
        self._on_change = on_change
        self._on_gap = on_gap
        self._on_late = on_late
        self._late: set[str] = set()
        shard = "S" if is_sharded else ""
        self._is_sharded = is_sharded
        self._publish = b"$8\r\nSPUBLISH\r\n" if is_sharded else b"$7\r\nPUBLISH\r\n"
        self._begin, self._end = f"{shard}SUBSCRIBE", f"{shard}UNSUBSCRIBE"
        # Of a cluster, one command may name channels of one slot only.
        self._per_command = 1 if is_sharded else _BATCH
        self.topics: dict[str, asyncio.Event] = {}
        self.is_online = False
        self.is_ready = False
        self.failures = 0
        # Topics that Redis must be told of, what it has been told, and what it has yet to answer.
        self._changed: set[str] = set()
        self._has_changed = asyncio.Event()
        self._subscribed: set[str] = set()
        self._beginning: Counter[str] = Counter()
        self._ending: Counter[str] = Counter()
        self._missing: set[str] = set()
        # What waits to be published.
        self.waiting: deque[tuple[str, bytes]] = deque()
        self._owes_gap = False
        self._waiting_bytes = 0
        self._max_waiting_bytes = max_waiting_bytes
        self._has_waiting = asyncio.Event()
        self._is_closing = False
        self._tasks: list[asyncio.Task[None]] = []
        self.dropped = 0

    def publish(self, topic: str, payload: bytes) -> None:
        """Put it in the queue."""
        self.waiting.append((topic, payload))
        self._waiting_bytes += len(payload)
        if self._waiting_bytes > self._max_waiting_bytes:
            while self._waiting_bytes > self._max_waiting_bytes:
                self._waiting_bytes -= len(self.waiting.popleft()[1])
                self.dropped += 1
            self._on_gap()
        self._has_waiting.set()

    def publish_gap(self) -> None:
        """Tell the other processes that something was lost; once, however often it is wanted."""
        self._owes_gap = True
        self._has_waiting.set()

    def subscribe(self, topic: str, confirmed: asyncio.Event | None = None) -> asyncio.Event:
        """Want a topic; the event is set while Redis has confirmed it."""
        known = self.topics.get(topic)
        if known is None:
            known = self.topics[topic] = confirmed or asyncio.Event()
            known.clear()
            self._tell(topic)
        return known

    def unsubscribe(self, topic: str) -> None:
        """Want a topic no longer."""
        if self.topics.pop(topic, None) is not None:
            self._missing.discard(topic)
            self._late.discard(topic)
            self._check_ready()
            self._tell(topic)

    def go_on_without(self, topic: str) -> None:
        """Whoever wanted the topic goes on; what is published before it is received is missed."""
        if topic in self.topics:
            self._late.add(topic)

    @property
    def owes_gap(self) -> bool:
        """Whether the other processes have yet to be told that something was lost."""
        return self._owes_gap

    def start(self) -> None:
        """Begin to listen and to publish."""
        self._tasks = [
            asyncio.create_task(self._listen(), name="bus-listen"),
            asyncio.create_task(self._send(), name="bus-send"),
        ]

    async def flush(self, seconds: float) -> None:
        """Wait until everything has left, at most so long; nothing more may be published."""
        self._is_closing = True
        self._has_waiting.set()
        if self._tasks and self.is_ready:
            await asyncio.wait(self._tasks[1:], timeout=seconds)

    async def stop(self) -> None:
        """Stop listening and publishing, and close the connections; what waits is kept."""
        await end_all(self._tasks)
        await self._pool.aclose()

    # -- receiving ------------------------------------------------------------------------------

    async def _listen(self) -> None:
        while True:
            try:
                async with connected(self._pool) as connection:
                    await self._follow(connection)
            except (RedisError, OSError) as error:
                if self.failures == 0:
                    _log.warning("bus_connection_lost", extra={"error": repr(error)})
            self.is_online = self.is_ready = False
            self.failures += 1
            self._on_change()
            await asyncio.sleep(_pause(self.failures - 1))

    async def _follow(self, connection: Connection) -> None:
        self._subscribed.clear()
        self._beginning.clear()
        self._ending.clear()
        for confirmed in self.topics.values():
            confirmed.clear()
        self._missing = set(self.topics)
        self._changed = set(self.topics)
        self._has_changed.set()
        self.is_online = True
        self._check_ready()
        await until_one_ends(self._update_subscriptions(connection), self._read(connection))

    async def _update_subscriptions(self, connection: Connection) -> None:
        # The only sender of SUBSCRIBE and UNSUBSCRIBE, so that Redis sees them in the right order.
        while True:
            await self._has_changed.wait()
            self._has_changed.clear()
            changed, self._changed = self._changed, set()
            begin = {topic for topic in changed if topic in self.topics} - self._subscribed
            end = {topic for topic in changed if topic not in self.topics} & self._subscribed
            self._subscribed = (self._subscribed | begin) - end
            self._beginning.update(begin)
            self._ending.update(end)
            for topic in changed & self._subscribed - begin:
                self._confirm(topic)
            commands = [
                (verb, *map(channel_of, some))
                for verb, topics in ((self._begin, begin), (self._end, end))
                for some in _split(sorted(topics), self._per_command)
            ]
            if commands:
                await connection.send_packed_command(connection.pack_commands(commands))

    async def _read(self, connection: Connection) -> None:
        is_silent = False
        while True:
            reply = await connection.read_response(
                timeout=_SILENCE_SECONDS, disconnect_on_error=False
            )
            if reply is None:
                if is_silent:
                    raise RedisConnectionError("no answer to a ping")
                is_silent = True
                await connection.send_packed_command(connection.pack_commands([("PING",)]))
                continue
            is_silent = False
            if isinstance(reply, list) and len(reply) == 3:
                self._receive(*reply)

    def _receive(self, kind: bytes, channel: bytes | None, data: Any) -> None:
        topic = channel.decode().removeprefix(_PREFIX) if channel else ""
        kind = kind.removeprefix(b"s") if kind != b"subscribe" else kind
        if kind == b"message":
            if not data.startswith(self._node):
                self._deliver(topic, data[len(self._node) :])
        elif kind == b"subscribe":
            self._beginning[topic] -= 1
            self._confirm(topic)
        elif kind == b"unsubscribe":
            self._ending[topic] -= 1
            if self._ending[topic] < 0:
                raise RedisConnectionError("the channel has moved to another node")
            if not self._ending[topic]:
                del self._ending[topic]

    def _confirm(self, topic: str) -> None:
        # A topic that was left and joined again has two answers to come; only the last one counts.
        if self._beginning[topic] <= 0:
            del self._beginning[topic]
            if confirmed := self.topics.get(topic):
                confirmed.set()
            self._missing.discard(topic)
            self._check_ready()
            if topic in self._late:
                self._late.discard(topic)
                self._on_late()

    def _check_ready(self) -> None:
        # Ready means: nothing of what was wanted when the connection began is missing.
        if self.is_online and not self._missing and not self.is_ready:
            self.is_ready = True
            self.failures = 0
            self._on_change()

    def _tell(self, topic: str) -> None:
        self._changed.add(topic)
        self._has_changed.set()

    # -- publishing -----------------------------------------------------------------------------

    async def _send(self) -> None:
        failures = 0
        while not (self._is_closing and not self._has_work):
            if not self._has_work:
                self._has_waiting.clear()
                await self._has_waiting.wait()
                continue
            try:
                # A connection that died while idle is found out here, before anything is taken.
                async with connected(self._pool) as connection:
                    while self._has_work:
                        await self._send_batch(connection)
                        failures = 0
            except (RedisError, OSError) as error:
                if failures == 0:
                    _log.warning("bus_publish_failed", extra={"error": repr(error)})
                await asyncio.sleep(_pause(failures))
                failures += 1

    @property
    def _has_work(self) -> bool:
        return self._owes_gap or bool(self.waiting)

    async def _send_batch(self, connection: Connection) -> None:
        batch = [self.waiting.popleft() for _ in range(min(_BATCH, len(self.waiting)))]
        self._waiting_bytes -= sum(len(payload) for _, payload in batch)
        if self._owes_gap:
            self._owes_gap = False
            batch.append((GAPS, b""))
        commands = [self._packed(topic, payload) for topic, payload in batch]
        try:
            if self._is_sharded:
                # Each answer may say that the channel has moved to another node.
                await connection.send_packed_command([b"".join(commands)])
                for _ in batch:
                    await connection.read_response()
            else:
                # One answer for all: reading each would cost ten times as much as sending it.
                await connection.send_packed_command([b"".join((_QUIET, *commands, _LOUD))])
                await connection.read_response()
        except BaseException:
            self._on_gap()
            raise

    def _packed(self, topic: str, payload: bytes) -> bytes:
        channel = channel_of(topic).encode()
        return b"*3\r\n%b$%d\r\n%b\r\n$%d\r\n%b%b\r\n" % (
            self._publish,
            len(channel),
            channel,
            len(self._node) + len(payload),
            self._node,
            payload,
        )


def _split(topics: list[str], size: int) -> list[list[str]]:
    return [topics[at : at + size] for at in range(0, len(topics), size)]


def _pause(failures: int) -> float:
    return _BACKOFF_SECONDS[min(failures, len(_BACKOFF_SECONDS) - 1)]


async def at_most(seconds: float, wanted: Awaitable[Any]) -> None:
    """Wait for something, but not longer."""
    with suppress(TimeoutError):
        async with asyncio.timeout(seconds):
            await wanted
