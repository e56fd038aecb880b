"""The bus of several processes, over Redis publish and subscribe (https://redis.io/docs/latest/develop/pubsub/).

Redis only carries; it keeps nothing, and nothing waits for it:

- receivers in this process are called directly, and what comes back from Redis with this process's
  own node id is passed over;
- a process subscribes to a channel while it has a receiver for the topic, once, however many;
- while Redis is away, publications wait in a bounded queue. When it is full the oldest are dropped;
- a batch that was being sent when the connection broke is not sent again: delivery is at most once;
- connections come back by themselves, and the channels are subscribed anew.

Whoever may have missed something is told: the callbacks of :meth:`RedisBus.on_restored` are called
when this process was cut off and hears everything again, and when another one lost what it had to
publish. They read from the database what they need.

Of a cluster the bus uses the sharded commands, so that a publication stays on the one node that has
its channel; there is one :class:`~server.bus.link.Link` for each node. When the slots move, the
links are made anew.
"""

from __future__ import annotations

import asyncio
import logging
import secrets
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Final

from redis.crc import key_slot
from redis.exceptions import RedisError

from server.bus.link import GAPS, Link, at_most, channel_of
from server.bus.memory import MemoryBus
from server.bus.nodes import Address, Topology, read_topology
from server.domain.ports.processes import Deliver
from server.tasks import end_all

_log: Final = logging.getLogger(__name__)
_NODE_BYTES: Final = 16
_MAX_WAITING_BYTES: Final = 8 * 1024 * 1024
_COMMAND_SECONDS: Final = 5.0
_CONNECT_SECONDS: Final = 2.0
_CONFIRM_SECONDS: Final = 1.0
_FLUSH_SECONDS: Final = 1.0
_TOLD_TOGETHER_SECONDS: Final = 0.1
_ASK_AGAIN_SECONDS: Final = 0.3


class RedisBus:
    """See ``ports.Bus``. Made by :meth:`open`."""

    def __init__(self, address: Address, max_waiting_bytes: int) -> None:
        self._address = address
        self._max_waiting_bytes = max_waiting_bytes
        self._node = secrets.token_bytes(_NODE_BYTES)
        self._local = MemoryBus()
        self._topology = Topology(((address.host, address.port),), ())
        self._links = self._make_links()
        self._links[0].subscribe(GAPS)
        self._dropped_before = 0
        self._has_tried = asyncio.Event()
        self._is_stale = asyncio.Event()
        self._was_away = False
        self._on_restored: list[Callable[[], None]] = []
        self._restored_soon: asyncio.TimerHandle | None = None

    @classmethod
    @asynccontextmanager
    async def open(
        cls, url: str, *, max_waiting_bytes: int = _MAX_WAITING_BYTES
    ) -> AsyncIterator[RedisBus]:
        """Connect to ``url`` and stay connected until the context ends.

        Starts without Redis too: it may come later. ``max_waiting_bytes`` bounds what waits for it.
        ``ValueError`` for an address that cannot be read.
        """
        bus = cls(Address.of(url), max_waiting_bytes)
        following = asyncio.create_task(bus._follow_slots(), name="bus-slots")
        try:
            await at_most(_CONNECT_SECONDS, bus._has_tried.wait())
            bus._was_away = not bus.is_online
            yield bus
        finally:
            if bus._restored_soon is not None:
                bus._restored_soon.cancel()
            await end_all([following])
            await asyncio.gather(*(link.flush(_FLUSH_SECONDS) for link in bus._links))
            await asyncio.gather(*(link.stop() for link in bus._links))

    @property
    def topics(self) -> frozenset[str]:
        """The topics that have a receiver in this process."""
        return self._local.topics

    @property
    def dropped(self) -> int:
        """How many publications were dropped because too many waited."""
        return self._dropped_before + sum(link.dropped for link in self._links)

    @property
    def is_online(self) -> bool:
        """Whether Redis answers and has confirmed what this process listens to."""
        return all(link.is_ready for link in self._links)

    def on_restored(self, callback: Callable[[], None]) -> None:
        """Have ``callback`` called whenever publications may have been missed and no longer are."""
        self._on_restored.append(callback)

    def publish(self, topic: str, payload: bytes) -> None:
        """Call the receivers here, and leave the rest to the sender; never waits for Redis."""
        self._local.deliver(topic, payload)
        self._link_of(topic).publish(topic, payload)

    async def subscribe(self, topic: str, deliver: Deliver) -> None:
        """Begin to receive a topic; the same callback counts once.

        Returns when Redis has confirmed, so that whoever reads the database afterwards misses
        nothing; when it is away or slow, after a second at most. Confirmed later than that, the
        callbacks of :meth:`on_restored` are called then.
        """
        await self._local.subscribe(topic, deliver)
        link = self._link_of(topic)
        confirmed = link.subscribe(topic)
        try:
            if link.is_online and not confirmed.is_set():
                await at_most(_CONFIRM_SECONDS, confirmed.wait())
                if not confirmed.is_set():
                    link.go_on_without(topic)
        except BaseException:
            self.unsubscribe(topic, deliver)
            raise

    def unsubscribe(self, topic: str, deliver: Deliver) -> None:
        """Stop receiving a topic; Redis hears of it when nobody here receives it any more."""
        self._local.unsubscribe(topic, deliver)
        if topic not in self._local:
            self._link_of(topic).unsubscribe(topic)

    def _link_of(self, topic: str) -> Link:
        if len(self._links) == 1:
            return self._links[0]
        return self._links[self._topology.owners[key_slot(channel_of(topic).encode())]]

    # -- what the links tell ----------------------------------------------------------------------

    def _deliver(self, topic: str, payload: bytes) -> None:
        if topic == GAPS:
            self._tell_restored()
        else:
            self._local.deliver(topic, payload)

    def _changed(self) -> None:
        is_online = self.is_online
        if is_online and self._was_away:
            self._tell_restored()
        if is_online:
            self._was_away = False
        elif any(link.failures for link in self._links):
            self._was_away = True
            self._is_stale.set()
        if is_online or not self._address.is_cluster:
            self._has_tried.set()

    def _lost_some(self) -> None:
        # Perhaps because the slot has another node now.
        self._is_stale.set()
        self._link_of(GAPS).publish_gap()

    def _tell_restored(self) -> None:
        # What several losses, and several processes, cause together is told once.
        if self._restored_soon is None:
            loop = asyncio.get_running_loop()
            self._restored_soon = loop.call_later(_TOLD_TOGETHER_SECONDS, self._restored)

    def _restored(self) -> None:
        self._restored_soon = None
        for callback in tuple(self._on_restored):
            try:
                callback()
            except Exception:
                # One who cannot catch up must not keep the others from it.
                _log.exception("bus_restored_failed")

    # -- the links --------------------------------------------------------------------------------

    def _make_links(self) -> list[Link]:
        nodes = self._topology.nodes
        return [
            Link(
                self._address.pool(
                    answer_seconds=_COMMAND_SECONDS,
                    connect_seconds=_CONNECT_SECONDS,
                    host=host,
                    port=port,
                ),
                self._node,
                is_sharded=self._address.is_cluster,
                max_waiting_bytes=self._max_waiting_bytes // len(nodes),
                deliver=self._deliver,
                on_change=self._changed,
                on_gap=self._lost_some,
                on_late=self._tell_restored,
            )
            for host, port in nodes
        ]

    async def _follow_slots(self) -> None:
        if not self._address.is_cluster:
            self._links[0].start()
            return
        is_known = False
        while True:
            self._is_stale.clear()
            topology = await self._ask_slots()
            if topology is not None and (topology != self._topology or not is_known):
                await self._rearrange(topology)
                is_known = True
            if topology is None:
                self._has_tried.set()
            if is_known:
                await self._is_stale.wait()
            await asyncio.sleep(_ASK_AGAIN_SECONDS)

    async def _ask_slots(self) -> Topology | None:
        """The present owners of the slots, by the first node that knows; else None."""
        start = (self._address.host, self._address.port)
        for host, port in dict.fromkeys((*self._topology.nodes, start)):
            pool = self._address.pool(
                answer_seconds=_CONNECT_SECONDS,
                connect_seconds=_CONNECT_SECONDS,
                host=host,
                port=port,
            )
            try:
                topology = await read_topology(pool, host)
            except (RedisError, OSError) as error:
                _log.debug("bus_node_away", extra={"error": repr(error)})
            else:
                if topology is not None:
                    return topology
            finally:
                await pool.aclose()
        return None

    async def _rearrange(self, topology: Topology) -> None:
        """Put new links in place of the old ones; what waits and what is wanted moves over."""
        await asyncio.gather(*(link.stop() for link in self._links))
        old, self._topology = self._links, topology
        self._links = self._make_links()
        # What is published until the new ones listen is not heard.
        self._was_away = True
        if any(link.owes_gap for link in old):
            self._link_of(GAPS).publish_gap()
        for link in old:
            self._dropped_before += link.dropped
            for topic, confirmed in link.topics.items():
                self._link_of(topic).subscribe(topic, confirmed)
            for topic, payload in link.waiting:
                self._link_of(topic).publish(topic, payload)
        for link in self._links:
            link.start()
