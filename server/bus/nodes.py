"""Where Redis is: one server, or a cluster whose nodes share the slots.

The scheme of the address decides, so that every adapter knows it before anybody answers:
``redis://`` and ``rediss://`` (TLS) are one server, ``redis+cluster://`` and ``rediss+cluster://``
any one node of a cluster.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Collection
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any, Final, Protocol, cast

from redis.asyncio import Redis, RedisCluster
from redis.asyncio.connection import ConnectionPool, parse_url
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import RedisClusterException, RedisError

AWAY: Final = (RedisError, RedisClusterException, OSError, TimeoutError)
"""What a command raises when Redis is away, slow or out of order."""
_CLUSTER: Final = "+cluster"
_SLOTS: Final = 16_384


class Connection(Protocol):
    """What is used of the driver's connection, whose own methods are only partly typed."""

    async def send_packed_command(self, command: list[bytes]) -> None:
        """Write."""
        ...

    def pack_commands(self, commands: Collection[tuple[str | bytes, ...]]) -> list[bytes]:
        """Encode."""
        ...

    async def read_response(
        self,
        *,
        timeout: float | None = None,  # noqa: ASYNC109 - the driver's own parameter
        disconnect_on_error: bool = True,
    ) -> Any:
        """Read one answer; None when ``timeout`` is given and passes."""
        ...

    async def disconnect(self, nowait: bool = False) -> None:
        """Close."""
        ...


@dataclass(frozen=True, slots=True)
class Address:
    """A Redis address taken apart."""

    is_cluster: bool
    url: str
    host: str
    port: int

    @classmethod
    def of(cls, url: str) -> Address:
        """Read ``url``. Raises ``ValueError`` for one that names no Redis."""
        scheme, separator, rest = url.partition("://")
        is_cluster = scheme.endswith(_CLUSTER)
        plain = scheme.removesuffix(_CLUSTER) + separator + rest
        options = parse_url(plain)
        return cls(
            is_cluster, plain, options.get("host", "localhost"), int(options.get("port", 6379))
        )

    def pool(
        self, *, answer_seconds: float, connect_seconds: float, host: str = "", port: int = 0
    ) -> ConnectionPool:
        """Connections to the address, or to another node with the same credentials.

        Nothing is tried again: who waits for an answer knows better whether it still matters.
        """
        options: dict[str, Any] = dict(parse_url(self.url))
        if host:
            options |= {"host": host, "port": port}
        return ConnectionPool(
            **options,
            protocol=2,
            socket_timeout=answer_seconds,
            socket_connect_timeout=connect_seconds,
            retry=Retry(NoBackoff(), 0),
        )


@dataclass(frozen=True, slots=True)
class Topology:
    """Which node has which slots: ``owners[slot]`` is an index into ``nodes``."""

    nodes: tuple[tuple[str, int], ...]
    owners: tuple[int, ...]


@asynccontextmanager
async def connected(pool: ConnectionPool) -> AsyncIterator[Connection]:
    """Borrow a connection; one that ends with an error is not used again."""
    borrowed = await pool.get_connection()  # type: ignore[no-untyped-call]  # the driver's
    connection = cast("Connection", borrowed)
    try:
        yield connection
    except BaseException:
        # Replies may still be on their way.
        await connection.disconnect(nowait=True)
        raise
    finally:
        await pool.release(borrowed)


async def read_topology(pool: ConnectionPool, host: str) -> Topology | None:
    """Ask a node of a cluster who has which slots; None while some have no owner.

    ``host`` is where the question goes: a node that does not know its own name leaves it out.
    Raises ``RedisError`` and ``OSError``.
    """
    async with connected(pool) as connection:
        await connection.send_packed_command(connection.pack_commands([("CLUSTER", "SLOTS")]))
        ranges = await connection.read_response()
    nodes: list[tuple[str, int]] = []
    owners = [-1] * _SLOTS
    for first, last, primary, *_ in sorted(ranges):
        node = (primary[0].decode() if primary[0] else host, int(primary[1]))
        if node not in nodes:
            nodes.append(node)
        owners[first : last + 1] = [nodes.index(node)] * (last - first + 1)
    return None if -1 in owners else Topology(tuple(nodes), tuple(owners))


@asynccontextmanager
async def open_client(url: str, answer_seconds: float) -> AsyncIterator[Redis | RedisCluster]:
    """A client for single commands, none of which waits longer or is tried again."""
    address = Address.of(url)
    client: Redis | RedisCluster
    if address.is_cluster:
        client = RedisCluster.from_url(
            address.url,
            protocol=2,
            socket_timeout=answer_seconds,
            socket_connect_timeout=answer_seconds,
            retry=Retry(NoBackoff(), 0),
        )
    else:
        pool = address.pool(answer_seconds=answer_seconds, connect_seconds=answer_seconds)
        client = Redis.from_pool(pool)
    try:
        yield client
    finally:
        await client.aclose()
