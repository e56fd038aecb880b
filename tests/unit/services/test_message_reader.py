from __future__ import annotations

import asyncio
from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from server.domain.chat import Message
from server.domain.errors import StoreUnavailable
from server.services.message_reader import MessageReader
from tests.factories import make_message
from tests.fakes.chat import MemoryMessageRepository

ROOMS = tuple(f"room-{place}" for place in range(40))


class Slow(MemoryMessageRepository):
    """Answers with what was there when it was asked, as soon as ``opened`` is set."""

    def __init__(self, *, is_open: bool = True) -> None:
        super().__init__()
        self.queries: list[list[tuple[str, int]]] = []
        self.under_way = self.most_under_way = 0
        self.opened = asyncio.Event()
        if is_open:
            self.opened.set()
        self.error: Exception | None = None

    def keep(self, room_id: str, numbers: Sequence[int]) -> None:
        self.rows.update({(room_id, each): make_message(each, room_id=room_id) for each in numbers})

    async def list_after(self, room_id: str, sequence: int, limit: int) -> list[Message]:
        self.queries.append([(room_id, sequence)])
        (page,) = await self._answer([(room_id, sequence)], limit)
        return page

    async def list_after_each(
        self, starts: Sequence[tuple[str, int]], limit: int
    ) -> list[list[Message]]:
        self.queries.append(list(starts))
        return await self._answer(starts, limit)

    async def _answer(self, starts: Sequence[tuple[str, int]], limit: int) -> list[list[Message]]:
        pages = [
            [row for row in self.of_room(room_id) if row.sequence > start][:limit]
            for room_id, start in starts
        ]
        self.under_way += 1
        self.most_under_way = max(self.most_under_way, self.under_way)
        await self.opened.wait()
        self.under_way -= 1
        if self.error is not None:
            raise self.error
        return pages


async def turns() -> None:
    for _ in range(5):
        await asyncio.sleep(0)


def numbers(rows: Sequence[Message]) -> list[int]:
    return [row.sequence for row in rows]


async def test_who_comes_while_others_read_is_read_for_together_with_others() -> None:
    messages = Slow(is_open=False)
    for room_id in ROOMS:
        messages.keep(room_id, range(1, 4))
    reader = MessageReader(messages)
    asked = []
    for room_id in ROOMS:
        asked += [asyncio.ensure_future(reader.after(room_id, 1, 200)) for _ in range(2)]
        await turns()
    messages.opened.set()
    assert [numbers(rows) for rows in await asyncio.gather(*asked)] == [[2, 3]] * 2 * len(ROOMS)
    # The first two went at once; each room's second asked while the first was not under way.
    assert messages.most_under_way == 2
    assert [len(query) for query in messages.queries[:2]] == [1, 1]
    assert len(messages.queries) <= 6
    assert all(len(query) == len(set(query)) for query in messages.queries)


async def test_what_was_stored_when_it_was_asked_for_is_among_it() -> None:
    """A read that is under way is no answer to who asks now."""
    messages = Slow(is_open=False)
    messages.keep("room", [1])
    reader = MessageReader(messages)
    before = asyncio.ensure_future(reader.after("room", 0, 10))
    await turns()
    messages.keep("room", [2])
    after = asyncio.ensure_future(reader.after("room", 0, 10))
    await turns()
    messages.opened.set()
    assert numbers(await before) == [1]
    assert numbers(await after) == [1, 2]


async def test_no_answer_is_shared_as_an_object() -> None:
    messages = Slow(is_open=False)
    messages.keep("room", [1])
    messages.keep("first", [1])
    messages.keep("second", [1])
    reader = MessageReader(messages)
    asked = [
        asyncio.ensure_future(reader.after(room_id, 0, 10))
        for room_id in ("first", "second", "room", "room")
    ]
    await turns()
    messages.opened.set()
    *_, one, other = await asyncio.gather(*asked)
    one.clear()
    assert numbers(other) == [1]


@pytest.mark.parametrize("limit", [1, 7, 8, 9, 30, 200])
async def test_who_has_missed_many_gets_as_many_as_he_asked_for(limit: int) -> None:
    messages = Slow()
    messages.keep("room", range(1, 61))
    rows = await MessageReader(messages).after("room", 20, limit)
    assert numbers(rows) == list(range(21, min(60, 20 + limit) + 1))


async def test_a_database_that_is_away_lets_nobody_wait_twice() -> None:
    messages = Slow(is_open=False)
    reader = MessageReader(messages)
    asked = [asyncio.ensure_future(reader.after(room_id, 0, 10)) for room_id in ROOMS]
    await turns()
    messages.error = StoreUnavailable()
    messages.opened.set()
    outcomes = await asyncio.gather(*asked, return_exceptions=True)
    assert all(isinstance(outcome, StoreUnavailable) for outcome in outcomes)
    assert len(messages.queries) == 2
    messages.error = None
    assert await reader.after("room", 0, 10) == []


async def test_an_unforeseen_error_is_told_to_those_of_that_query_alone() -> None:
    messages = Slow(is_open=False)
    reader = MessageReader(messages)
    asked = [asyncio.ensure_future(reader.after(room_id, 0, 10)) for room_id in ROOMS[:2]]
    await turns()
    messages.error = RuntimeError("a bug")
    messages.opened.set()
    await turns()
    messages.error = None
    outcomes = await asyncio.gather(*asked, return_exceptions=True)
    assert all(isinstance(outcome, RuntimeError) for outcome in outcomes)
    assert await reader.after("room", 0, 10) == []


async def test_who_gives_up_takes_nothing_from_others() -> None:
    messages = Slow(is_open=False)
    messages.keep("room", [1])
    reader = MessageReader(messages)
    goes, stays = (asyncio.ensure_future(reader.after("room", 0, 10)) for _ in range(2))
    await turns()
    goes.cancel()
    await turns()
    messages.opened.set()
    assert numbers(await stays) == [1]
    assert goes.cancelled()


async def test_who_asks_in_the_moment_in_which_the_last_read_ends_is_answered() -> None:
    messages = Slow(is_open=False)
    messages.keep("room", [1])
    reader = MessageReader(messages)
    loop = asyncio.get_running_loop()
    late: list[asyncio.Future[list[Message]]] = []

    def ask(left: int) -> None:
        late.append(asyncio.ensure_future(reader.after("room", 0, 10)))
        if left:
            loop.call_soon(ask, left - 1)

    first = [asyncio.ensure_future(reader.after(room_id, 0, 10)) for room_id in ("a", "b")]
    await turns()
    messages.opened.set()
    loop.call_soon(ask, 8)
    async with asyncio.timeout(5):
        await asyncio.gather(*first)
        await turns()
        await turns()
        assert [numbers(rows) for rows in await asyncio.gather(*late)] == [[1]] * 9


async def test_nobody_waits_when_the_context_has_ended() -> None:
    messages = Slow(is_open=False)
    reader = MessageReader(messages)
    async with reader.running():
        asked = [asyncio.ensure_future(reader.after(room_id, 0, 10)) for room_id in ROOMS]
        await turns()
    outcomes = await asyncio.gather(*asked, return_exceptions=True)
    assert all(isinstance(outcome, asyncio.CancelledError) for outcome in outcomes)


@given(
    heads=st.lists(st.integers(0, 40), min_size=4, max_size=4),
    asked=st.lists(
        st.tuples(st.integers(0, 3), st.integers(0, 45), st.integers(1, 30)), max_size=60
    ),
)
def test_everybody_gets_what_he_would_have_got_alone(
    heads: list[int], asked: list[tuple[int, int, int]]
) -> None:
    async def read() -> None:
        messages = Slow()
        for room_id, head in zip(ROOMS, heads, strict=False):
            messages.keep(room_id, range(1, head + 1))
        reader = MessageReader(messages)
        pages = await asyncio.gather(
            *(reader.after(ROOMS[place], start, limit) for place, start, limit in asked)
        )
        for (place, sequence, limit), page in zip(asked, pages, strict=True):
            head = heads[place]
            assert numbers(page) == list(range(sequence + 1, min(head, sequence + limit) + 1))

    asyncio.run(read())
