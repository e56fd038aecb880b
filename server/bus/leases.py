"""Which process does a duty: adapters of ``ports.Leases``."""

from __future__ import annotations

import asyncio
import logging
import secrets
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, Final

from redis.asyncio import Redis, RedisCluster

from server.bus.nodes import AWAY, open_client

_log: Final = logging.getLogger(__name__)
_PREFIX: Final = "pandityatra:lease:"
# Duties ask in the background and can wait: a Redis that pauses is not taken for one that is away.
_ANSWER_SECONDS: Final = 3.0
_AWAY_SECONDS: Final = 5.0
_HOLD: Final = """
local holder = redis.call('GET', KEYS[1])
if holder and holder ~= ARGV[1] then return 0 end
redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[2])
return 1
"""
_RELEASE: Final = """
if redis.call('GET', KEYS[1]) == ARGV[1] then return redis.call('DEL', KEYS[1]) end
return 0
"""


class MemoryLeases:
    """See ``ports.Leases``; for one process, which holds them all."""

    async def hold(self, name: str, seconds: float) -> bool:
        """Nobody else could hold it."""
        return True


class RedisLeases:
    """See ``ports.Leases``. Made by :meth:`open`.

    A lease is a key with this process's token that expires by itself. While Redis is away every
    process holds every lease.
    """

    def __init__(self, client: Redis | RedisCluster) -> None:
        self._client: Any = client
        self._token = secrets.token_hex(16)
        self._held: set[str] = set()
        self._away_until = 0.0
        self._is_away = False

    @classmethod
    @asynccontextmanager
    async def open(cls, url: str) -> AsyncIterator[RedisLeases]:
        """Leases of this process; those that it holds are given back when the context ends."""
        async with open_client(url, _ANSWER_SECONDS) as client:
            leases = cls(client)
            try:
                yield leases
            finally:
                await leases._release_all()

    async def hold(self, name: str, seconds: float) -> bool:
        """Take it, or prolong it if it is ours."""
        if time.monotonic() < self._away_until:
            return True
        try:
            async with asyncio.timeout(_ANSWER_SECONDS):
                is_ours = await self._client.eval(
                    _HOLD, 1, _PREFIX + name, self._token, max(1, int(seconds * 1000))
                )
        except AWAY as error:
            self._away_until = time.monotonic() + _AWAY_SECONDS
            if not self._is_away:
                self._is_away = True
                _log.warning("lease_store_away", extra={"error": repr(error)})
            return True
        self._is_away = False
        if is_ours:
            self._held.add(name)
        else:
            self._held.discard(name)
        return bool(is_ours)

    async def _release_all(self) -> None:
        try:
            async with asyncio.timeout(_ANSWER_SECONDS):
                for name in self._held:
                    await self._client.eval(_RELEASE, 1, _PREFIX + name, self._token)
        except AWAY as error:
            # They expire by themselves.
            _log.debug("leases_not_released", extra={"error": repr(error)})
