from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta

import pytest

from server.domain.chat import SYSTEM_SENDER, ChatRoom, Message, MessageType, ReadMark, head_of
from server.domain.errors import StoreUnavailable
from server.domain.ports.chats import ReadSpan, RoomChange
from server.services.room_state import RoomState

NOW = datetime(2026, 11, 22, 4, 15, tzinfo=UTC)


def message(sequence: int, sender_id: str = "sita", room_id: str = "room") -> Message:
    return Message(
        id=f"{room_id}-{sequence}",
        room_id=room_id,
        sequence=sequence,
        sender_id=sender_id,
        sender_role="user",
        sender_name=sender_id,
        cid=f"cid-{sequence}",
        message_type=MessageType.TEXT,
        content="Namaste",
        timestamp=NOW + timedelta(seconds=sequence),
    )


def room(room_id: str = "room", head: int = 0) -> ChatRoom:
    return ChatRoom(
        id=room_id,
        booking_id="booking",
        customer_id="sita",
        customer_name="Sita",
        pandit_id="p1",
        pandit_user_id="ram",
        pandit_name="Ram",
        created_at=NOW,
        head=head_of(message(head)) if head else None,
    )


class Database:
    """Takes what is written; both repositories in as much as the state uses them."""

    def __init__(self) -> None:
        self.changes: list[RoomChange] = []
        self.commands: list[int] = []
        self.spans: list[ReadSpan] = []
        self.is_away = self.is_stuck = False
        self.fails_for = ""
        self.is_busy = False
        self.mark_seconds = 0.0
        self.turn = asyncio.Lock()
        self.happened = asyncio.Event()
        self.begun = asyncio.Event()

    async def until(self, is_so: Callable[[], bool]) -> None:
        while not is_so():
            self.happened.clear()
            await self.happened.wait()

    async def advance(self, changes: Sequence[RoomChange]) -> None:
        self.begun.set()
        if self.is_away:
            raise StoreUnavailable
        if self.is_stuck:
            await asyncio.Event().wait()
        if self.fails_for in {change.room_id for change in changes}:
            raise ValueError(self.fails_for)
        self.commands.append(len(changes))
        self.changes += changes
        self.happened.set()

    async def mark_read(self, spans: Sequence[ReadSpan]) -> None:
        if self.is_away:
            raise StoreUnavailable
        await asyncio.sleep(self.mark_seconds)
        self.spans += spans
        self.happened.set()


@pytest.fixture
def database() -> Database:
    return Database()


@pytest.fixture
def state(database: Database) -> RoomState:
    made = RoomState(
        database,  # type: ignore[arg-type]  # as much of it as is used
        database,  # type: ignore[arg-type]
        is_busy=lambda: database.is_busy,
        turn=database.turn,
        round_seconds=0.01,
    )
    made.learn(room())
    return made


async def test_many_messages_become_one_change(state: RoomState, database: Database) -> None:
    answered = state.stored([message(1), message(2, "ram"), message(3), message(4, SYSTEM_SENDER)])
    assert {key: each.sequence for key, each in answered.items()} == {
        ("room", "ram"): 2, ("room", "sita"): 3,
    }  # fmt: skip
    await state.flush()
    assert database.changes == [
        RoomChange(
            "room",
            head_of(message(4, SYSTEM_SENDER)),
            {
                "sita": ReadMark(sequence=3, read_at=message(3).timestamp),
                "ram": ReadMark(sequence=2, read_at=message(2).timestamp),
            },
        )
    ]
    assert {(span.reader_id, span.above, span.up_to) for span in database.spans} == {
        ("ram", 0, 2), ("sita", 1, 3),
    }  # fmt: skip
    await state.flush()
    assert len(database.changes) == 1, "nothing is written twice"


async def test_marks_only_rise(state: RoomState) -> None:
    state.stored([message(number) for number in range(1, 6)])
    assert state.read("room", "ram", ReadMark(sequence=3, read_at=NOW))
    assert not state.read("room", "ram", ReadMark(sequence=3, read_at=NOW))
    assert not state.read("room", "ram", ReadMark(sequence=1, read_at=NOW))
    assert state.unread("room", "ram", head=0, mark=0) == 2
    assert state.unread("room", "ram", head=9, mark=8) == 1, "the document may be newer"
    assert state.unread("elsewhere", "ram", head=9, mark=8) == 1


async def test_a_reader_sees_what_is_being_written_and_what_just_was(
    state: RoomState, database: Database
) -> None:
    old = room()
    state.stored([message(1), message(2)])
    for _ in range(2):
        seen = state.with_news(old)
        assert seen.head == head_of(message(2))
        assert seen.reads["sita"].sequence == 2
        assert state.unread("room", "ram", head=0, mark=0) == 2
        await state.flush()
    newer = room(head=7)
    assert state.with_news(newer) is newer


async def test_whether_it_is_read_is_decided_by_the_mark(state: RoomState) -> None:
    rows = [message(1), message(2, "ram"), message(3), message(4, SYSTEM_SENDER)]
    state.stored(rows[:1])
    assert [row.read_at for row in state.with_read_times("room", rows[:1])] == [None]
    later = NOW + timedelta(hours=1)
    state.read("room", "ram", ReadMark(sequence=4, read_at=later))
    read = state.with_read_times("room", rows)
    assert [row.read_at for row in read] == [later, None, later, later]
    assert state.with_read_times("unknown", rows) == rows


async def test_a_head_that_a_killed_process_did_not_write_is_healed_by_reading(
    state: RoomState, database: Database
) -> None:
    state.learn(room(head=3))
    state.with_read_times("room", [message(2), message(3)])
    await state.flush()
    assert database.changes == []
    state.with_read_times("room", [message(4), message(5)])
    assert state.with_news(room(head=3)).head == head_of(message(5))
    await state.flush()
    assert [change.head for change in database.changes] == [head_of(message(5))]


async def test_nothing_is_dropped_while_the_database_is_away(
    state: RoomState, database: Database
) -> None:
    database.is_away = True
    state.stored([message(1), message(2, "ram")])
    await state.flush()
    state.stored([message(3)])
    database.is_away = False
    await state.flush()
    (change,) = database.changes
    assert change.head == head_of(message(3))
    assert {user: mark.sequence for user, mark in change.marks.items()} == {"sita": 3, "ram": 2}
    assert {(span.reader_id, span.up_to) for span in database.spans} == {("ram", 2), ("sita", 3)}


async def test_nothing_is_dropped_when_a_write_is_given_up(
    state: RoomState, database: Database
) -> None:
    database.is_stuck = True
    for number in range(9):
        state.stored([message(1, room_id=f"room-{number}")])
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.05):
            await state.flush()
    database.is_stuck = False
    await state.flush()
    assert {change.room_id for change in database.changes} == {f"room-{n}" for n in range(9)}


@pytest.mark.logs_errors("room_state_failed")
async def test_a_room_that_cannot_be_written_takes_few_with_it(
    state: RoomState, database: Database
) -> None:
    for number in range(9):
        state.stored([message(1, room_id=f"room-{number}")])
    database.fails_for = "room-4"
    await state.flush()
    await state.flush()
    missing = {f"room-{n}" for n in range(9)} - {change.room_id for change in database.changes}
    assert "room-4" in missing
    assert len(missing) <= 2


async def test_rounds_write_in_bounded_commands_and_read_times_wait_for_messages(
    state: RoomState, database: Database
) -> None:
    database.is_busy = True
    async with asyncio.timeout(10), state.running():
        for number in range(100):
            state.learn(room(f"room-{number}"))
            state.stored([message(1, room_id=f"room-{number}")])
            state.stored([message(2, "ram", room_id=f"room-{number}")])
        await database.until(lambda: len(database.changes) == 100)
        assert database.spans == []
        database.is_busy = False
        await database.until(lambda: len({span.room_id for span in database.spans}) == 100)
        state.stored([message(1)])
    assert max(database.commands) <= 32
    assert database.changes[-1].room_id == "room", "the end writes what is left"


async def test_who_waits_for_heads_and_marks_does_not_wait_for_all_read_times(
    state: RoomState, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("server.services.room_state._HURRY_SECONDS", 0.05)
    database.mark_seconds = 0.04
    for number in range(1000):
        room_id = f"room-{number}"
        state.learn(room(room_id))
        state.stored([message(1, room_id=room_id), message(2, "ram", room_id=room_id)])
    async with asyncio.timeout(5):
        await state.flush()
        async with state.running():
            state.stored([message(1)])
    assert len({change.room_id for change in database.changes}) == 1001
    assert 0 < len(database.spans) < 1000


async def test_long_spans_are_written_in_pieces_and_their_oldest_part_not(
    state: RoomState, database: Database
) -> None:
    state.stored([message(number) for number in range(1, 1001)])
    state.read("room", "ram", ReadMark(sequence=1000, read_at=NOW))
    await state.flush()
    spans = [(span.above, span.up_to) for span in database.spans]
    assert spans[0][0] == 1000 - 256
    assert spans[-1][1] == 1000
    assert all(up_to - above <= 32 for above, up_to in spans)
    assert [above for above, _ in spans[1:]] == [up_to for _, up_to in spans[:-1]]


async def test_heads_and_marks_wait_for_the_messages_that_are_being_written(
    database: Database, state: RoomState
) -> None:
    state.stored([message(1)])
    await database.turn.acquire()
    flushing = asyncio.create_task(state.flush())
    for _ in range(20):
        await asyncio.sleep(0)
    assert not database.changes
    database.turn.release()
    await flushing
    assert [change.room_id for change in database.changes] == ["room"]
    assert not database.turn.locked()


async def test_messages_do_not_wait_for_an_answer_about_heads_and_marks(
    state: RoomState, database: Database
) -> None:
    database.is_stuck = True
    state.stored([message(1)])
    flushing = asyncio.create_task(state.flush())
    await asyncio.wait_for(database.begun.wait(), 5)
    async with asyncio.timeout(5), database.turn:
        pass
    flushing.cancel()
    with pytest.raises(asyncio.CancelledError):
        await flushing
