"""The bus of several processes, over Redis publish and subscribe (https://redis.io/docs/latest/develop/pubsub/).

Redis only carries; it keeps nothing, and nothing waits for it:

- receivers in this process are called directly, and what comes back from Redis with this process's
  own node id is passed over;
- a process subscribes to a channel while it has a receiver for the topic, once, however many;
- while Redis is away, publications wait in a bounded queue. When it is full the oldest are dropped:
  the next one that arrives elsewhere shows by its sequence number that some are missing, and the
  receiver reads them from the database;
- a batch that was being sent when the connection broke is not sent again: delivery is at most once;
- both connections come back by themselves, and the channels are subscribed anew.
"""

from __future__ import annotations

import asyncio
import logging
import secrets
from collections import Counter, deque
from collections.abc import AsyncIterator, Awaitable, Collection
from contextlib import asynccontextmanager, suppress
from typing import Any, Final, Protocol, cast

from redis.asyncio.connection import ConnectionPool
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import RedisError

from server.bus.memory import MemoryBus
from server.domain.ports import Deliver

_log: Final = logging.getLogger(__name__)
_PREFIX: Final = "pandityatra:"
_NODE_BYTES: Final = 16
_MAX_WAITING_BYTES: Final = 8 * 1024 * 1024
_BATCH: Final = 256
_COMMAND_SECONDS: Final = 5.0
_CONNECT_SECONDS: Final = 2.0
_CONFIRM_SECONDS: Final = 1.0
_FLUSH_SECONDS: Final = 1.0
_SILENCE_SECONDS: Final = 15.0
_BACKOFF_SECONDS: Final = (0.1, 0.2, 0.5, 1.0, 2.0)


class _Connection(Protocol):
    """What is used of the driver's connection, whose own methods are only partly typed."""

    async def send_packed_command(self, command: list[bytes]) -> None: ...

    def pack_commands(self, commands: Collection[tuple[str | bytes, ...]]) -> list[bytes]: ...

    async def read_response(
        self,
        *,
        timeout: float | None = None,  # noqa: ASYNC109 - the driver's own parameter
        disconnect_on_error: bool = True,
    ) -> Any: ...

    async def disconnect(self, nowait: bool = False) -> None: ...


class RedisBus:
    """See ``ports.Bus``. Made by :meth:`open`."""

    def __init__(self, pool: ConnectionPool, max_waiting_bytes: int) -> None:
        self._pool = pool
        self._node = secrets.token_bytes(_NODE_BYTES)
        self._local = MemoryBus()
        self._online = asyncio.Event()
        self._has_tried = asyncio.Event()
        # Topics that Redis must be told of, what it has been told, and what it has confirmed.
        self._changed: set[str] = set()
        self._has_changed = asyncio.Event()
        self._confirmed: dict[str, asyncio.Event] = {}
        self._unconfirmed: Counter[str] = Counter()
        self._subscribed: set[str] = set()
        # What waits to be published.
        self._waiting: deque[tuple[str, bytes]] = deque()
        self._waiting_bytes = 0
        self._max_waiting_bytes = max_waiting_bytes
        self._has_waiting = asyncio.Event()
        self._is_closing = False
        self.dropped = 0

    @classmethod
    @asynccontextmanager
    async def open(
        cls, url: str, *, max_waiting_bytes: int = _MAX_WAITING_BYTES
    ) -> AsyncIterator[RedisBus]:
        """Connect to ``url`` and stay connected until the context ends.

        Starts without Redis too: it may come later. ``max_waiting_bytes`` bounds what waits for it.
        """
        pool = ConnectionPool.from_url(
            url,
            protocol=2,
            socket_timeout=_COMMAND_SECONDS,
            socket_connect_timeout=_CONNECT_SECONDS,
            retry=Retry(NoBackoff(), 0),
        )
        bus = cls(pool, max_waiting_bytes)
        listening = asyncio.create_task(bus._listen(), name="bus-listen")
        sending = asyncio.create_task(bus._send(), name="bus-send")
        try:
            await _at_most(_CONNECT_SECONDS, bus._has_tried.wait())
            yield bus
        finally:
            bus._is_closing = True
            bus._has_waiting.set()
            if bus._online.is_set():
                await _at_most(_FLUSH_SECONDS, asyncio.shield(sending))
            for task in (listening, sending):
                task.cancel()
            await asyncio.gather(listening, sending, return_exceptions=True)
            await pool.aclose()

    @property
    def topics(self) -> frozenset[str]:
        """The topics that have a receiver in this process."""
        return self._local.topics

    def publish(self, topic: str, payload: bytes) -> None:
        """Call the receivers here, and leave the rest to the sender; never waits for Redis."""
        self._local.deliver(topic, payload)
        self._waiting.append((topic, payload))
        self._waiting_bytes += len(payload)
        while self._waiting_bytes > self._max_waiting_bytes:
            self._waiting_bytes -= len(self._waiting.popleft()[1])
            self.dropped += 1
        self._has_waiting.set()

    async def subscribe(self, topic: str, deliver: Deliver) -> None:
        """Begin to receive a topic; the same callback counts once.

        Returns when Redis has confirmed, so that whoever reads the database afterwards misses
        nothing; when it is away or slow, after a second at most.
        """
        await self._local.subscribe(topic, deliver)
        confirmed = self._confirmed.get(topic)
        if confirmed is None:
            confirmed = self._confirmed[topic] = asyncio.Event()
            self._tell(topic)

        try:
            if self._online.is_set():
                await _at_most(_CONFIRM_SECONDS, confirmed.wait())
        except BaseException:
            self.unsubscribe(topic, deliver)
            raise

    def unsubscribe(self, topic: str, deliver: Deliver) -> None:
        """Stop receiving a topic; Redis hears of it when nobody here receives it any more."""
        self._local.unsubscribe(topic, deliver)
        if topic not in self._local and topic in self._confirmed:
            del self._confirmed[topic]
            self._tell(topic)

    def _tell(self, *topics: str) -> None:
        self._changed.update(topics)
        self._has_changed.set()

    # -- receiving ------------------------------------------------------------------------------

    async def _listen(self) -> None:
        failures = 0
        while True:
            try:
                async with self._connected() as connection:
                    failures = 0
                    await self._follow(connection)
            except* (RedisError, OSError) as errors:
                if failures == 0:
                    _log.warning("bus_connection_lost", extra={"error": repr(errors.exceptions[0])})
            finally:
                self._online.clear()
                self._has_tried.set()
            await asyncio.sleep(_pause(failures))
            failures += 1

    async def _follow(self, connection: _Connection) -> None:
        self._subscribed.clear()
        self._unconfirmed.clear()
        for confirmed in self._confirmed.values():
            confirmed.clear()
        self._changed.clear()
        self._tell(*self._confirmed)
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._update_subscriptions(connection))
            tasks.create_task(self._read(connection))
            self._online.set()
            self._has_tried.set()

    async def _update_subscriptions(self, connection: _Connection) -> None:
        # The only sender of SUBSCRIBE and UNSUBSCRIBE, so that Redis sees them in the right order.
        while True:
            await self._has_changed.wait()
            self._has_changed.clear()
            changed, self._changed = self._changed, set()
            begin = {topic for topic in changed if topic in self._confirmed} - self._subscribed
            end = {topic for topic in changed if topic not in self._confirmed} & self._subscribed
            self._subscribed = (self._subscribed | begin) - end
            self._unconfirmed.update(begin)
            for topic in changed & self._subscribed - begin:
                self._confirm(topic)
            commands = [
                (verb, *(_PREFIX + topic for topic in topics))
                for verb, topics in (("SUBSCRIBE", begin), ("UNSUBSCRIBE", end))
                if topics
            ]
            if commands:
                await connection.send_packed_command(connection.pack_commands(commands))

    async def _read(self, connection: _Connection) -> None:
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

    def _receive(self, kind: bytes, channel: bytes, data: Any) -> None:
        topic = channel.decode().removeprefix(_PREFIX)
        if kind == b"message":
            if data[:_NODE_BYTES] != self._node:
                self._local.deliver(topic, data[_NODE_BYTES:])
        elif kind == b"subscribe":
            self._unconfirmed[topic] -= 1
            self._confirm(topic)

    def _confirm(self, topic: str) -> None:
        # A topic that was left and joined again has two answers to come; only the last one counts.
        if self._unconfirmed[topic] <= 0:
            del self._unconfirmed[topic]
            if confirmed := self._confirmed.get(topic):
                confirmed.set()

    # -- publishing -----------------------------------------------------------------------------

    async def _send(self) -> None:
        failures = 0
        while not (self._is_closing and not self._waiting):
            if not self._waiting:
                self._has_waiting.clear()
                await self._has_waiting.wait()
                continue
            try:
                # A connection that died while idle is found out here, before anything is taken.
                async with self._connected() as connection:
                    failures = 0
                    while self._waiting:
                        await self._send_batch(connection)
            except (RedisError, OSError) as error:
                if failures == 0:
                    _log.warning("bus_publish_failed", extra={"error": repr(error)})
                await asyncio.sleep(_pause(failures))
                failures += 1

    async def _send_batch(self, connection: _Connection) -> None:
        batch = [self._waiting.popleft() for _ in range(min(_BATCH, len(self._waiting)))]
        self._waiting_bytes -= sum(len(payload) for _, payload in batch)
        await connection.send_packed_command(
            connection.pack_commands(
                [("PUBLISH", _PREFIX + topic, self._node + payload) for topic, payload in batch]
            )
        )
        for _ in batch:
            await connection.read_response()

    @asynccontextmanager
    async def _connected(self) -> AsyncIterator[_Connection]:
        borrowed = await self._pool.get_connection()  # type: ignore[no-untyped-call]  # the driver's
        connection = cast("_Connection", borrowed)
        try:
            yield connection
        except BaseException:
            # Replies may still be on their way: this connection cannot be used again.
            await connection.disconnect(nowait=True)
            raise
        finally:
            await self._pool.release(borrowed)


def _pause(failures: int) -> float:
    return _BACKOFF_SECONDS[min(failures, len(_BACKOFF_SECONDS) - 1)]


async def _at_most(seconds: float, wanted: Awaitable[Any]) -> None:
    with suppress(TimeoutError):
        async with asyncio.timeout(seconds):
            await wanted
