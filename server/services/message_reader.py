"""Reads what members have missed, for all who come back at the same time.

A read waits at most for those under way: then what has been asked for meanwhile is read together,
of many rooms by one query, and what two members ask alike once. When a server or a network comes
back, thousands ask within seconds; one by one they would cost the driver more than all the rest of
their opening, and all at once they would take the database from those who write.

Most have missed a few messages. Whoever has missed more reads on by himself, in the same line.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager
from itertools import islice
from typing import Final

from server.domain.chat import Message
from server.domain.errors import StoreUnavailable
from server.domain.ports.chats import MAX_STARTS, MessageRepository
from server.tasks import end_all

_FEW: Final = 8
"""So many messages of a room are read together with those of others."""
_AT_ONCE: Final = 2
"""Queries under way: while the answer of one is taken apart, the database works on the other."""
_Wanted = tuple[str, int, int]
_Page = list[Message]


class MessageReader:
    """Reads of messages behind a number, in groups.

    As many may wait as there are sockets and requests, which are bounded elsewhere.
    """

    def __init__(self, messages: MessageRepository) -> None:
        self._messages = messages
        self._waiting: dict[_Wanted, list[asyncio.Future[_Page]]] = {}
        self._reading = 0
        self._tasks: set[asyncio.Task[None]] = set()

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Let nothing be under way, and nobody wait, when the context has ended."""
        try:
            yield
        finally:
            await end_all(self._tasks)
            _cancel(self._waiting.values())
            self._waiting.clear()

    async def after(self, room_id: str, sequence: int, limit: int) -> list[Message]:
        """Return up to ``limit`` messages with a higher sequence, ascending.

        Whatever was stored when this was called is among them. Raises ``StoreUnavailable``.
        """
        rows = await self._page(room_id, sequence, min(limit, _FEW))
        left = limit - len(rows)
        if left and len(rows) == _FEW:
            return rows + await self._page(room_id, rows[-1].sequence, left)
        return list(rows)

    async def _page(self, room_id: str, sequence: int, limit: int) -> _Page:
        done: asyncio.Future[_Page] = asyncio.get_running_loop().create_future()
        self._waiting.setdefault((room_id, sequence, limit), []).append(done)
        if self._reading < _AT_ONCE:
            # Counted here and in ``_read``: a task is among the tasks for a moment after its end.
            self._reading += 1
            task = asyncio.create_task(self._read(), name="message-reader")
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)
        return await done

    async def _read(self) -> None:
        try:
            while self._waiting:
                await self._read_some(self._next())
        finally:
            self._reading -= 1

    async def _read_some(self, chosen: Mapping[_Wanted, list[asyncio.Future[_Page]]]) -> None:
        try:
            pages = await self._pages(list(chosen))
        except StoreUnavailable as error:
            # Those behind would wait as long again for the same answer.
            _fail([*chosen.values(), *self._waiting.values()], error)
            self._waiting.clear()
        except Exception as error:
            _fail(chosen.values(), error)
        except BaseException:
            _cancel(chosen.values())
            raise
        else:
            for page, waiting in zip(pages, chosen.values(), strict=True):
                for done in waiting:
                    if not done.done():
                        done.set_result(page)

    def _next(self) -> dict[_Wanted, list[asyncio.Future[_Page]]]:
        """The first in line, and with it, if it wants a few, the others who do."""
        first = next(iter(self._waiting))
        if first[2] > _FEW:
            return {first: self._waiting.pop(first)}
        alike = (each for each in self._waiting if each[2] == first[2])
        return {each: self._waiting.pop(each) for each in list(islice(alike, MAX_STARTS))}

    async def _pages(self, wanted: Sequence[_Wanted]) -> list[_Page]:
        limit = wanted[0][2]
        if limit > _FEW:
            return [await self._messages.list_after(*wanted[0])]
        return await self._messages.list_after_each(
            [(room_id, sequence) for room_id, sequence, _ in wanted], limit
        )


def _fail(waiting: Iterable[list[asyncio.Future[_Page]]], error: Exception) -> None:
    for each in waiting:
        for done in each:
            if not done.done():
                done.set_exception(error)


def _cancel(waiting: Iterable[list[asyncio.Future[_Page]]]) -> None:
    for each in waiting:
        for done in each:
            done.cancel()
