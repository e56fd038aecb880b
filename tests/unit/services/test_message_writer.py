from __future__ import annotations

import asyncio
import itertools
import random
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest

from server.domain.chat import Message, MessageType
from server.domain.errors import ClientIdConflict, Overloaded, StoreUnavailable
from server.services.message_writer import MessageWriter, Written
from tests.fakes.chat import MemoryMessageRepository
from tests.support import FakeClock

_ids = itertools.count(1)


def draft(**overrides: Any) -> Message:
    number = next(_ids)
    made = Message(
        id=f"id-{number}",
        room_id="room",
        sequence=0,
        sender_id="sita",
        sender_role="user",
        sender_name="Sita",
        cid=f"cid-{number}",
        message_type=MessageType.TEXT,
        content="Namaste",
        timestamp=datetime(2026, 1, 1, tzinfo=UTC),
    )
    return replace(made, **overrides)


class Hooks:
    """Records what the writer tells, and in which order."""

    def __init__(self) -> None:
        self.calls: list[tuple[str, list[int]]] = []
        self.fails = False

    async def settle(self, stored: Sequence[Message]) -> None:
        self.calls.append(("settle", [row.sequence for row in stored]))
        if self.fails:
            raise StoreUnavailable

    async def announce(self, stored: Sequence[Message]) -> None:
        self.calls.append(("announce", [row.sequence for row in stored]))


@asynccontextmanager
async def writing(
    messages: MemoryMessageRepository, hooks: Hooks | None = None, max_waiting: int = 1000
) -> AsyncIterator[MessageWriter]:
    hooks = hooks or Hooks()
    writer = MessageWriter(
        messages,
        FakeClock(),
        settle=hooks.settle,
        announce=hooks.announce,
        max_waiting=max_waiting,
    )
    async with writer.running():
        yield writer


async def results(futures: Sequence[asyncio.Future[Written]]) -> list[Any]:
    return await asyncio.wait_for(asyncio.gather(*futures, return_exceptions=True), 10)


async def test_what_arrives_during_a_write_is_written_together() -> None:
    messages = MemoryMessageRepository()
    async with writing(messages) as writer:
        messages.gate.clear()
        first = writer.submit(draft())
        await asyncio.sleep(0)
        futures = [first] + [writer.submit(draft()) for _ in range(99)]
        messages.gate.set()
        written = await results(futures)
    assert sum(messages.batches) == 100
    assert len(messages.batches) <= 2
    assert [each.message.sequence for each in written] == list(range(1, 101))


async def test_numbers_go_on_from_what_is_stored_and_each_room_has_its_own() -> None:
    messages = MemoryMessageRepository()
    await messages.insert([draft(sequence=7)])
    async with writing(messages) as writer:
        written = await results(
            [writer.submit(draft()), writer.submit(draft(room_id="other")), writer.submit(draft())]
        )
    assert [each.message.sequence for each in written] == [8, 1, 9]


async def test_the_room_moves_before_the_sender_hears_and_the_others_after() -> None:
    hooks = Hooks()
    async with writing(MemoryMessageRepository(), hooks) as writer:
        future = writer.submit(draft())
        future.add_done_callback(lambda _: None)
        await future
        assert hooks.calls[0] == ("settle", [1])
        await writer.flush()
    assert hooks.calls == [("settle", [1]), ("announce", [1])]


async def test_a_room_that_cannot_be_moved_does_not_unsend_the_message() -> None:
    hooks = Hooks()
    hooks.fails = True
    async with writing(MemoryMessageRepository(), hooks) as writer:
        written = await writer.submit(draft())
    assert written.message.sequence == 1
    assert hooks.calls[-1] == ("announce", [1])


async def test_another_process_took_the_numbers() -> None:
    messages = MemoryMessageRepository()
    async with writing(messages) as writer:
        await writer.submit(draft())
        await messages.insert([draft(sequence=2), draft(sequence=3)])
        written = await results([writer.submit(draft()) for _ in range(4)])
    assert sorted(each.message.sequence for each in written) == [4, 5, 6, 7]
    assert [row.sequence for row in messages.of_room("room")] == [1, 2, 3, 4, 5, 6, 7]


async def test_two_writers_share_a_room_without_gap_or_double() -> None:
    messages, choice = MemoryMessageRepository(), random.Random(7)
    async with writing(messages) as one, writing(messages) as other:
        futures = []
        for _ in range(200):
            futures.append(choice.choice([one, other]).submit(draft()))
            if choice.random() < 0.3:
                await asyncio.sleep(0)
        written = await results(futures)
    assert sorted(each.message.sequence for each in written) == list(range(1, 201))


async def test_a_message_sent_again_is_answered_with_the_stored_one() -> None:
    messages, hooks = MemoryMessageRepository(), Hooks()
    async with writing(messages, hooks) as writer:
        first = await writer.submit(draft(cid="same"))
        again = await writer.submit(draft(cid="same"))
        written = await results([writer.submit(draft(cid="same")), writer.submit(draft())])
    assert not first.is_duplicate
    assert again == Written(first.message, is_duplicate=True)
    assert written[0] == again
    assert written[1].message.sequence == 2, "a resend between others leaves no hole"
    assert [call for call in hooks.calls if call[0] == "announce"] == [
        ("announce", [1]),
        ("announce", [2]),
    ]


async def test_equal_ones_in_one_batch_become_one_message() -> None:
    messages = MemoryMessageRepository()
    async with writing(messages) as writer:
        written = await results([writer.submit(draft(cid="same")) for _ in range(10)])
    assert len(messages.rows) == 1
    assert {each.message for each in written} == set(messages.rows.values())
    assert [each.is_duplicate for each in written] == [False] + [True] * 9


async def test_the_same_cid_with_another_body_is_refused_stored_or_not() -> None:
    messages = MemoryMessageRepository()
    async with writing(messages) as writer:
        together = await results(
            [writer.submit(draft(cid="same")), writer.submit(draft(cid="same", content="other"))]
        )
        with pytest.raises(ClientIdConflict):
            await writer.submit(draft(cid="same", content="other"))
    assert isinstance(together[0], Written)
    assert isinstance(together[1], ClientIdConflict)
    assert len(messages.rows) == 1


async def test_too_many_waiting_are_refused_at_once() -> None:
    messages = MemoryMessageRepository()
    async with writing(messages, max_waiting=3) as writer:
        messages.gate.clear()
        futures = [writer.submit(draft())]
        await asyncio.sleep(0)
        futures += [writer.submit(draft()) for _ in range(2)]
        with pytest.raises(Overloaded):
            writer.submit(draft())
        messages.gate.set()
        assert all(isinstance(each, Written) for each in await results(futures))
        assert isinstance(await writer.submit(draft()), Written)


async def test_an_absent_database_fails_those_who_wait_and_nobody_after() -> None:
    messages = MemoryMessageRepository()
    async with writing(messages) as writer:
        await writer.submit(draft())
        messages.is_away = True
        failed = await results([writer.submit(draft()) for _ in range(3)])
        assert all(isinstance(each, StoreUnavailable) for each in failed)
        messages.is_away = False
        await messages.insert([draft(sequence=2)])
        assert (await writer.submit(draft())).message.sequence == 3


async def test_the_end_waits_for_everything_that_was_accepted() -> None:
    messages = MemoryMessageRepository()
    async with writing(messages) as writer:
        futures = [writer.submit(draft(room_id=f"room-{n % 7}")) for n in range(50)]
    assert all(future.done() for future in futures)
    assert len(messages.rows) == 50


async def test_a_sender_who_went_away_disturbs_nobody() -> None:
    messages = MemoryMessageRepository()
    async with writing(messages) as writer:
        messages.gate.clear()
        gone, stays = writer.submit(draft()), writer.submit(draft())
        await asyncio.sleep(0)
        gone.cancel()
        messages.gate.set()
        assert (await stays).message.sequence == 2
    assert len(messages.rows) == 2
