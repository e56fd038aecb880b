"""How often a door may be used: sliding windows of the ``limits`` library, in memory or in Redis.

While Redis is away each process counts for itself. A limit that is too generous for a moment is
better than a site that nobody can sign in to.
"""

from __future__ import annotations

import asyncio
import dataclasses
import logging
import math
import time
from collections.abc import Callable, Coroutine
from typing import Any, Final, cast

from limits import RateLimitItem, parse
from limits.aio.storage import MemoryStorage, RedisClusterStorage, RedisStorage
from limits.aio.strategies import SlidingWindowCounterRateLimiter
from limits.errors import StorageError
from redis.asyncio.connection import ConnectionPool, parse_url
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff

from server.bus.nodes import AWAY, Address
from server.domain.errors import RateLimited
from server.settings import LimitSettings

_log: Final = logging.getLogger(__name__)
_ANSWER_SECONDS: Final = 0.5
_ASK_AGAIN_SECONDS: Final = 5.0
_KEY_PREFIX: Final = "pandityatra:limits"
_Use = Callable[
    [SlidingWindowCounterRateLimiter, RateLimitItem, str, str], Coroutine[None, None, None]
]


class DoorLimiter:
    """Implements ``ports.RateLimiter``.

    Parameters
    ----------
    limits
        For each door its limit, such as ``10/minute``; ``ValueError`` for one that is unreadable.
    redis_url
        Where all processes count together; empty for one process.
    """

    def __init__(self, limits: LimitSettings, redis_url: str = "") -> None:
        self._items = {name: parse(text) for name, text in dataclasses.asdict(limits).items()}
        self._own = SlidingWindowCounterRateLimiter(MemoryStorage())
        self._pool: ConnectionPool | None = None
        self._shared: SlidingWindowCounterRateLimiter | None = None
        self._away_until = 0.0
        self._asking: set[asyncio.Task[None]] = set()
        self._cluster: RedisClusterStorage | None = None
        if redis_url:
            address = Address.of(redis_url)
            storage: RedisStorage | RedisClusterStorage
            if address.is_cluster:
                storage = self._cluster = _cluster_storage(address)
            else:
                self._pool = address.pool(
                    answer_seconds=_ANSWER_SECONDS, connect_seconds=_ANSWER_SECONDS
                )
                storage = _storage(address.url, self._pool)
            self._shared = SlidingWindowCounterRateLimiter(storage)

    async def hit(self, door: str, who: str) -> None:
        """Count one use. Raises ``RateLimited`` when ``who`` has used the door too often.

        A door without a limit in the settings is a bug of the caller: ``KeyError``.
        """
        await self._try(_count, door, who)

    async def check(self, door: str, who: str) -> None:
        """Raise ``RateLimited`` if one use more would be too many, and count nothing."""
        await self._try(_look, door, who)

    async def _try(self, use: _Use, door: str, who: str) -> None:
        item = self._items[door]
        if self._shared is not None and time.monotonic() >= self._away_until:
            try:
                async with asyncio.timeout(_ANSWER_SECONDS):
                    await asyncio.shield(self._ask(use(self._shared, item, door, who)))
                return
            except (StorageError, *AWAY):
                self._away_until = time.monotonic() + _ASK_AGAIN_SECONDS
                _log.warning("rate_limit_store_away")
        await use(self._own, item, door, who)

    def _ask(self, using: Coroutine[None, None, None]) -> asyncio.Task[None]:
        """Ask Redis, to an end of its own.

        A cluster's client that is cut off while it looks for its nodes leaves their connections
        open; its own time limits end it soon enough.
        """
        asking = asyncio.create_task(using, name="rate-limit")
        self._asking.add(asking)
        asking.add_done_callback(self._asked)
        return asking

    def _asked(self, asking: asyncio.Task[None]) -> None:
        self._asking.discard(asking)
        if not asking.cancelled():
            # Heard, also where nobody waits for it any more.
            asking.exception()

    async def close(self) -> None:
        """Close the connections to Redis, when what was asked there has ended."""
        await asyncio.gather(*self._asking, return_exceptions=True)
        if self._pool is not None:
            await self._pool.disconnect()
        if self._cluster is not None:
            await cast(Any, self._cluster.bridge).get_connection().aclose()


async def _count(
    limiter: SlidingWindowCounterRateLimiter, item: RateLimitItem, door: str, who: str
) -> None:
    if not await limiter.hit(item, door, who):
        await _refuse(limiter, item, door, who)


async def _look(
    limiter: SlidingWindowCounterRateLimiter, item: RateLimitItem, door: str, who: str
) -> None:
    if not await limiter.test(item, door, who):
        await _refuse(limiter, item, door, who)


async def _refuse(
    limiter: SlidingWindowCounterRateLimiter, item: RateLimitItem, door: str, who: str
) -> None:
    stats = await limiter.get_window_stats(item, door, who)
    raise RateLimited(max(1, math.ceil(stats.reset_time - time.time())))


def _storage(redis_url: str, pool: ConnectionPool) -> RedisStorage:
    return RedisStorage(
        f"async+{redis_url}",
        wrap_exceptions=True,
        implementation="redispy",
        key_prefix=_KEY_PREFIX,
        connection_pool=cast(str, pool),
    )


def _cluster_storage(address: Address) -> RedisClusterStorage:
    # The library takes apart neither the credentials nor TLS of a cluster's address.
    options: dict[str, Any] = dict(parse_url(address.url))
    options.pop("db", None)
    if options.pop("connection_class", None) is not None:
        options["ssl"] = True
    return RedisClusterStorage(
        f"async+redis+cluster://{address.host}:{address.port}",
        wrap_exceptions=True,
        implementation="redispy",
        key_prefix=_KEY_PREFIX,
        socket_timeout=_ANSWER_SECONDS,
        socket_connect_timeout=_ANSWER_SECONDS,
        retry=cast(str, Retry(NoBackoff(), 0)),
        **{name: value for name, value in options.items() if name not in ("host", "port")},
    )
