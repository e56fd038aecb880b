"""Who is connected where: adapters of ``ports.PresenceBoard``.

In Redis each process keeps one set of its users, which expires after a minute unless the process
refreshes it, and one sorted set names the processes by their last refresh. A killed process's users
fade by themselves. All keys carry one hash tag, so that one node of a cluster has them all.
"""

from __future__ import annotations

import asyncio
import logging
import secrets
import time
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from typing import Any, Final

from redis.asyncio import Redis, RedisCluster

from server.bus.nodes import AWAY, open_client
from server.tasks import end_all

_log: Final = logging.getLogger(__name__)
_LIVE: Final = "pandityatra:{presence}:processes"
_USERS: Final = "pandityatra:{presence}:users:"
_ANSWER_SECONDS: Final = 0.5
_AWAY_SECONDS: Final = 2.0
_LIFE_SECONDS: Final = 60
_REFRESH_SECONDS: Final = 20.0
_MERGE_SECONDS: Final = 0.5
_FORGET_SECONDS: Final = 600.0
"""Far more than a life: the clocks of two hosts may differ."""
_CHUNK: Final = 1000


class MemoryPresence:
    """See ``ports.PresenceBoard``; for one process, where nothing is elsewhere."""

    delay_seconds = 0.0

    def __init__(self) -> None:
        self._users: set[str] = set()

    def arrive(self, user_id: str) -> None:
        """Remember him."""
        self._users.add(user_id)

    def depart(self, user_id: str) -> None:
        """Forget him."""
        self._users.discard(user_id)

    async def whereabouts(self, user_ids: Iterable[str]) -> dict[str, bool | None]:
        """Whether each is here."""
        return {user_id: user_id in self._users for user_id in user_ids}

    async def is_elsewhere(self, user_id: str) -> bool | None:
        """Nobody is."""
        return False


class RedisPresence:
    """See ``ports.PresenceBoard``. Made by :meth:`open`.

    Changes are written at once, those of the following half second together. When Redis has
    forgotten this process, or a write has failed, everything is written anew.
    """

    delay_seconds = _MERGE_SECONDS * 2

    def __init__(
        self,
        client: Redis | RedisCluster,
        life_seconds: float,
        refresh_seconds: float,
    ) -> None:
        self._client: Any = client
        self._name = secrets.token_hex(8)
        self._key = _USERS + self._name
        self._life_ms = int(life_seconds * 1000)
        self._refresh_seconds = refresh_seconds
        self._users: set[str] = set()
        self._changed: set[str] = set()
        self._has_changed = asyncio.Event()
        # Whether Redis has what the process has, but for what has changed since.
        self._is_written = False
        self._away_until = 0.0
        self._is_away = False

    @classmethod
    @asynccontextmanager
    async def open(
        cls,
        url: str,
        *,
        life_seconds: float = _LIFE_SECONDS,
        refresh_seconds: float = _REFRESH_SECONDS,
    ) -> AsyncIterator[RedisPresence]:
        """Keep this process on the board until the context ends; then it is taken off."""
        async with open_client(url, _ANSWER_SECONDS) as client:
            board = cls(client, life_seconds, refresh_seconds)
            board.refresh()
            keeping = asyncio.create_task(board._keep(), name="presence")
            try:
                yield board
            finally:
                await end_all([keeping])
                await board._leave()

    def arrive(self, user_id: str) -> None:
        """Remember him, and have it written."""
        if user_id not in self._users:
            self._users.add(user_id)
            self._note(user_id)

    def depart(self, user_id: str) -> None:
        """Forget him, and have it written."""
        if user_id in self._users:
            self._users.discard(user_id)
            self._note(user_id)

    def refresh(self) -> None:
        """Write everything anew: Redis was away and may have forgotten it. Never waits."""
        self._is_written = False
        self._away_until = 0.0
        self._has_changed.set()

    async def whereabouts(self, user_ids: Iterable[str]) -> dict[str, bool | None]:
        """Who is here is known; of the others Redis is asked, all in one round."""
        wanted = list(dict.fromkeys(user_ids))
        others = [user_id for user_id in wanted if user_id not in self._users]
        found = await self._elsewhere(others) if others else {}
        return {user_id: found.get(user_id, user_id in self._users) for user_id in wanted}

    async def is_elsewhere(self, user_id: str) -> bool | None:
        """Whether another process has him, wherever else he is."""
        return (await self._elsewhere([user_id]))[user_id]

    async def _elsewhere(self, user_ids: list[str]) -> dict[str, bool | None]:
        unknown: dict[str, bool | None] = dict.fromkeys(user_ids)
        if time.monotonic() < self._away_until:
            return unknown
        try:
            async with asyncio.timeout(_ANSWER_SECONDS):
                names = [name.decode() for name in await self._client.zrange(_LIVE, 0, -1)]
                others = [name for name in names if name != self._name]
                if self._name not in names:
                    # It has forgotten this process, so it may have forgotten the others too.
                    self._is_written = False
                    self._has_changed.set()
                    return unknown
                if not others:
                    return dict.fromkeys(user_ids, False)
                pipeline = self._client.pipeline(transaction=False)
                for name in others:
                    pipeline.smismember(_USERS + name, user_ids)
                answers = await pipeline.execute()
        except AWAY as error:
            self._went_away(error)
            return unknown
        return {
            user_id: any(flags)
            for user_id, flags in zip(user_ids, zip(*answers, strict=True), strict=True)
        }

    def _note(self, user_id: str) -> None:
        self._changed.add(user_id)
        self._has_changed.set()

    async def _keep(self) -> None:
        while True:
            try:
                async with asyncio.timeout(self._refresh_seconds):
                    await self._has_changed.wait()
            except TimeoutError:
                pass
            self._has_changed.clear()
            try:
                async with asyncio.timeout(_ANSWER_SECONDS * 4):
                    await self._write()
            except AWAY as error:
                self._is_written = False
                self._went_away(error)
                await asyncio.sleep(_AWAY_SECONDS)
                self._has_changed.set()
            else:
                if self._is_away:
                    self._is_away = False
                    self._away_until = 0.0
                    _log.info("presence_store_back")
                await asyncio.sleep(_MERGE_SECONDS)

    async def _write(self) -> None:
        """Bring Redis up to date: the changes alone if it still has the rest, else everything."""
        if self._is_written:
            changed, self._changed = self._changed, set()
            come = changed & self._users
            expected = len(self._users)
            *_, count = await self._run(come, changed - come, begin_anew=False)
            if count == expected:
                return
        self._is_written = True
        self._changed = set()
        await self._run(set(self._users), set(), begin_anew=True)

    async def _run(self, come: set[str], gone: set[str], *, begin_anew: bool) -> list[Any]:
        now = time.time()
        pipeline = self._client.pipeline(transaction=False)
        if begin_anew:
            pipeline.delete(self._key)
        for command, users in ((pipeline.sadd, sorted(come)), (pipeline.srem, sorted(gone))):
            for at in range(0, len(users), _CHUNK):
                command(self._key, *users[at : at + _CHUNK])
        pipeline.zadd(_LIVE, {self._name: now})
        pipeline.zremrangebyscore(_LIVE, "-inf", now - _FORGET_SECONDS)
        pipeline.pexpire(self._key, self._life_ms)
        pipeline.scard(self._key)
        answers: list[Any] = await pipeline.execute()
        return answers

    async def _leave(self) -> None:
        try:
            async with asyncio.timeout(_ANSWER_SECONDS):
                pipeline = self._client.pipeline(transaction=False)
                pipeline.zrem(_LIVE, self._name)
                pipeline.delete(self._key)
                await pipeline.execute()
        except AWAY as error:
            # It expires by itself.
            _log.debug("presence_not_removed", extra={"error": repr(error)})

    def _went_away(self, error: Exception) -> None:
        self._away_until = time.monotonic() + _AWAY_SECONDS
        if not self._is_away:
            self._is_away = True
            _log.warning("presence_store_away", extra={"error": repr(error)})
            self._has_changed.set()
