from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import asynccontextmanager
from dataclasses import replace

import pytest

from server.domain.chat import ChatRoom, ReadMark
from server.domain.events import Event
from server.services.room_state import RoomState
from server.services.unread_notices import RoomPresence, UnreadNotices
from tests.unit.services.test_room_state import NOW, Database, message, room

RECHECK_SECONDS = 0.05


class Rooms:
    """One room as the database has it, and how often it was read."""

    def __init__(self) -> None:
        self.room = room()
        self.reads = 0
        self.happened = asyncio.Event()

    async def find(self, room_id: str) -> ChatRoom | None:
        self.reads += 1
        self.happened.set()
        return self.room if room_id == self.room.id else None

    def mark(self, user_id: str, sequence: int) -> None:
        mark = ReadMark(sequence=sequence, read_at=NOW)
        self.room = replace(self.room, reads={**self.room.reads, user_id: mark})


class Board:
    """Who is connected to another process; ``asked`` counts the questions."""

    delay_seconds = RECHECK_SECONDS / 2

    def __init__(self) -> None:
        self.elsewhere: dict[str, bool | None] = {}
        self.asked = 0

    def arrive(self, user_id: str) -> None:
        raise NotImplementedError

    def depart(self, user_id: str) -> None:
        raise NotImplementedError

    async def whereabouts(self, user_ids: Iterable[str]) -> dict[str, bool | None]:
        raise NotImplementedError

    async def is_elsewhere(self, user_id: str) -> bool | None:
        self.asked += 1
        return self.elsewhere.get(user_id, False)


class World:
    def __init__(self) -> None:
        self.rooms, self.presence, self.board = Rooms(), RoomPresence(), Board()
        self.events: list[Event] = []
        self.state = RoomState(
            Database(),  # type: ignore[arg-type]  # as much of it as is used
            Database(),  # type: ignore[arg-type]
            is_busy=lambda: False,
            turn=asyncio.Lock(),
        )
        self.notices = UnreadNotices(
            self.rooms,  # type: ignore[arg-type]  # only find is used
            self.state,
            self.presence,
            self.board,
            self,
            recheck_seconds=RECHECK_SECONDS,
        )

    async def on_event(self, event: Event) -> None:
        self.events.append(event)
        self.rooms.happened.set()

    async def until(self, is_so: Callable[[], bool]) -> None:
        while not is_so():
            self.rooms.happened.clear()
            await self.rooms.happened.wait()

    async def settled(self) -> None:
        """Everybody about whom it was not sure has been decided on."""
        while self.notices._waiting or self.notices._unsure:  # noqa: ASYNC110  # no event tells it
            await asyncio.sleep(RECHECK_SECONDS / 10)

    @property
    def told(self) -> list[tuple[str, tuple[str, ...]]]:
        return [(event.id, event.recipients) for event in self.events]

    def say(self, sequence: int, sender_id: str = "sita") -> None:
        said = [message(sequence, sender_id)]
        self.state.stored(said)
        self.notices.add(said)


@asynccontextmanager
async def world() -> AsyncIterator[World]:
    made = World()
    async with asyncio.timeout(10), made.notices.running():
        yield made


async def test_who_has_the_room_open_costs_no_read() -> None:
    async with world() as there:
        there.state.learn(there.rooms.room)
        there.presence.enter("room", "ram")
        for number in range(1, 20):
            there.say(number)
    assert (there.rooms.reads, there.events) == (0, [])


async def test_the_pandit_is_told_of_by_his_name_in_nepali_too() -> None:
    async with world() as there:
        there.rooms.room = replace(there.rooms.room, pandit_name_ne="राम")
        there.say(1, "ram")
        await there.until(lambda: len(there.events) == 1)
        there.say(2, "sita")
        await there.until(lambda: len(there.events) == 2)
    names = [(event.params["sender"], event.params["sender_ne"]) for event in there.events]
    assert [nepali for _, nepali in names] == ["राम", ""]


async def test_a_run_is_told_once_and_read_for_rarely() -> None:
    async with world() as there:
        there.say(1)
        await there.until(lambda: len(there.events) == 1)
        for number in range(2, 20):
            there.say(number)
    assert there.told == [("unread.room.0", ("ram",))]
    assert there.rooms.reads <= 3


async def test_a_mark_that_moved_here_begins_a_new_run_at_once() -> None:
    async with world() as there:
        there.say(1)
        await there.until(lambda: len(there.events) == 1)
        reads = there.rooms.reads
        there.state.read("room", "ram", ReadMark(sequence=1, read_at=NOW))
        there.say(2)
        await there.until(lambda: len(there.events) == 2)
        assert there.rooms.reads == reads
    assert there.told[1] == ("unread.room.1", ("ram",))


async def test_a_mark_that_moved_elsewhere_is_found_a_moment_later() -> None:
    async with world() as there:
        there.say(1)
        await there.until(lambda: len(there.events) == 1)
        there.say(2)
        there.rooms.mark("ram", 1)
        await there.until(lambda: len(there.events) == 2)
    assert there.told[1] == ("unread.room.1", ("ram",))


async def test_what_was_read_meanwhile_is_not_told() -> None:
    async with world() as there:
        there.rooms.mark("ram", 5)
        there.say(4)
        await there.until(lambda: there.rooms.reads == 1)
    assert there.events == []


async def test_the_end_tells_what_waits() -> None:
    async with world() as there:
        there.say(1)
    assert len(there.events) == 1


@pytest.mark.parametrize("is_elsewhere", [True, None])
async def test_who_reads_in_another_process_is_not_told(*, is_elsewhere: bool | None) -> None:
    async with world() as there:
        there.board.elsewhere["ram"] = is_elsewhere
        for number in range(1, 6):
            there.say(number)
            await asyncio.sleep(RECHECK_SECONDS / 3)
            # Late, as another process writes it.
            there.rooms.mark("ram", number)
        await there.settled()
    assert there.events == []
    assert there.board.asked <= 5


async def test_who_was_heard_to_read_is_not_told_though_his_mark_is_not_stored_yet() -> None:
    async with world() as there:
        there.board.elsewhere["ram"] = True
        for number in range(1, 6):
            there.say(number)
            there.notices.heard_read("room", "ram", number)
        await there.settled()
    assert there.events == []


async def test_who_is_elsewhere_and_does_not_read_is_told_at_the_second_look() -> None:
    async with world() as there:
        there.board.elsewhere["ram"] = True
        there.say(1)
        # However fast it goes on: what came first is decided on in its time.
        number, began = 1, asyncio.get_running_loop().time()
        while not there.events:
            await asyncio.sleep(RECHECK_SECONDS / 5)
            number += 1
            there.say(number)
        assert asyncio.get_running_loop().time() - began >= RECHECK_SECONDS
        await there.settled()
    assert there.told == [("unread.room.0", ("ram",))]


async def test_who_goes_away_after_having_read_elsewhere_is_told_of_what_came_then() -> None:
    async with world() as there:
        there.board.elsewhere["ram"] = True
        there.say(1)
        await there.until(lambda: there.rooms.reads > 0)
        there.rooms.mark("ram", 1)
        there.board.elsewhere["ram"] = False
        there.say(2)
        await there.until(lambda: bool(there.events))
    assert there.told == [("unread.room.1", ("ram",))]


async def test_who_has_come_elsewhere_a_moment_ago_counts_though_the_board_does_not_say_so() -> (
    None
):
    async with world() as there:
        there.notices.heard_presence("ram")
        there.say(1)
        await there.until(lambda: there.rooms.reads > 0)
        there.rooms.mark("ram", 1)
        await there.settled()
        assert there.events == []
        await asyncio.sleep(RECHECK_SECONDS)
        there.say(2)
        await there.until(lambda: bool(there.events))
    assert there.told == [("unread.room.1", ("ram",))]
