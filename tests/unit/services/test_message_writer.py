from __future__ import annotations

import asyncio
import itertools
import random
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any

import pytest

from server.domain.chat import Message
from server.domain.errors import ClientIdConflict, Overloaded, StoreUnavailable
from server.services.message_writer import Draft, MessageWriter, Written
from tests.factories import make_message
from tests.fakes.chat import MemoryMessageRepository
from tests.support import FakeClock

_numbers = itertools.count(1)


def draft(**overrides: Any) -> Draft:
    made = Draft("room", "sita", "user", "Sita", f"cid-{next(_numbers)}", content="Namaste")
    return replace(made, **overrides)


def stored(sequence: int, **overrides: Any) -> Message:
    """A message that another process has stored."""
    return make_message(sequence, sender_id="ram", sender_role="pandit", **overrides)


class Ids:
    def new(self) -> str:
        return f"id-{next(_numbers)}"


class Told:
    """Records what the writer tells, and in which order."""

    def __init__(self) -> None:
        self.calls: list[tuple[str, list[int]]] = []
        self.fails = False

    def announce(self, messages: Sequence[Message]) -> None:
        self.calls.append(("announce", [row.sequence for row in messages]))
        if self.fails:
            raise RuntimeError

    def announce_again(self, messages: Sequence[Message]) -> None:
        self.calls.append(("again", [row.sequence for row in messages]))


@asynccontextmanager
async def writing(
    messages: MemoryMessageRepository, told: Told | None = None, max_waiting: int = 1000
) -> AsyncIterator[MessageWriter]:
    told = told or Told()
    writer = MessageWriter(
        messages,
        FakeClock(),
        Ids(),
        announce=told.announce,
        announce_again=told.announce_again,
        max_waiting=max_waiting,
        known_head=lambda _: 0,
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


async def test_the_database_works_on_the_next_batch_while_the_last_is_answered(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    messages, told = MemoryMessageRepository(), Told()
    seen: list[str] = []
    begun = asyncio.Event()
    insert, announce = messages.insert, told.announce

    async def sent(batch: Sequence[Message]) -> dict[int, Message | None]:
        seen.append(f"sent {batch[0].sequence}")
        begun.set()
        return await insert(batch)

    def heard(stored: Sequence[Message]) -> None:
        seen.append(f"told {stored[0].sequence}")
        announce(stored)

    monkeypatch.setattr(messages, "insert", sent)
    monkeypatch.setattr(told, "announce", heard)
    async with writing(messages, told) as writer:
        messages.gate.clear()
        futures = [writer.submit(draft())]
        await asyncio.wait_for(begun.wait(), 5)
        futures += [writer.submit(draft()) for _ in range(3)]
        messages.gate.set()
        await writer.flush()
        assert all(each.done() for each in futures)
    assert seen == ["sent 1", "sent 2", "told 1", "told 2"]


async def test_of_long_messages_fewer_are_written_and_told_at_a_time() -> None:
    messages, told = MemoryMessageRepository(), Told()
    async with writing(messages, told) as writer:
        async with writer.turn:
            futures = [writer.submit(draft(content="x" * 4000)) for _ in range(100)]
        await results(futures)
    assert sum(messages.batches) == 100
    assert max(messages.batches) == 33
    assert [len(numbers) for _, numbers in told.calls] == messages.batches


async def test_whoever_has_the_turn_is_waited_for() -> None:
    messages = MemoryMessageRepository()
    async with writing(messages) as writer:
        async with writer.turn:
            futures = [writer.submit(draft()) for _ in range(3)]
            for _ in range(20):
                await asyncio.sleep(0)
            assert not messages.batches
            assert writer.is_busy
        await results(futures)
    assert messages.batches == [3]


async def test_numbers_go_on_from_what_is_stored_and_each_room_has_its_own() -> None:
    messages = MemoryMessageRepository()
    await messages.insert([stored(7)])
    async with writing(messages) as writer:
        written = await results(
            [writer.submit(draft()), writer.submit(draft(room_id="other")), writer.submit(draft())]
        )
    assert [each.message.sequence for each in written] == [8, 1, 9]


async def test_the_room_hears_when_the_message_is_stored() -> None:
    told = Told()
    async with writing(MemoryMessageRepository(), told) as writer:
        await writer.submit(draft())
        assert told.calls == [("announce", [1])]


@pytest.mark.logs_errors("message_hook_failed")
async def test_who_cannot_be_told_does_not_unsend_the_message() -> None:
    told = Told()
    told.fails = True
    async with writing(MemoryMessageRepository(), told) as writer:
        assert (await writer.submit(draft())).message.sequence == 1
        assert (await writer.submit(draft())).message.sequence == 2


@pytest.mark.logs_errors("message_batch_cancelled")
async def test_what_is_cancelled_within_a_write_does_not_end_the_writing(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    messages = MemoryMessageRepository()
    insert = messages.insert

    async def cancelled(batch: Sequence[Message]) -> dict[int, Message | None]:
        monkeypatch.setattr(messages, "insert", insert)
        raise asyncio.CancelledError

    async with writing(messages) as writer:
        monkeypatch.setattr(messages, "insert", cancelled)
        (outcome,) = await results([writer.submit(draft())])
        assert isinstance(outcome, StoreUnavailable)
        assert (await asyncio.wait_for(writer.submit(draft()), 5)).message.sequence == 1


async def test_another_process_took_the_numbers() -> None:
    messages = MemoryMessageRepository()
    async with writing(messages) as writer:
        await writer.submit(draft())
        await messages.insert([stored(2), stored(3)])
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
    messages, told = MemoryMessageRepository(), Told()
    async with writing(messages, told) as writer:
        first = await writer.submit(draft(cid="same"))
        again = await writer.submit(draft(cid="same"))
        written = await results([writer.submit(draft(cid="same")), writer.submit(draft())])
    assert not first.is_duplicate
    assert again == Written(first.message, is_duplicate=True)
    assert written[0] == again
    assert written[1].message.sequence == 2, "a resend between others leaves no hole"
    assert told.calls == [("announce", [1]), ("announce", [2])]


async def test_resends_among_others_leave_no_hole_though_nobody_here_knows_them() -> None:
    messages, told = MemoryMessageRepository(), Told()
    async with writing(messages) as before:
        sent = await results([before.submit(draft(cid=f"old-{n}")) for n in range(4)])
    async with writing(messages, told) as writer:
        mixed = [f"old-{n // 2}" if n % 2 else f"new-{n}" for n in range(8)]
        written = await results([writer.submit(draft(cid=cid)) for cid in mixed])
    assert [row.sequence for row in messages.of_room("room")] == list(range(1, 9))
    assert [each.message for each in written if each.is_duplicate] == [
        each.message for each in sent
    ]
    announced = [number for kind, numbers in told.calls if kind == "announce" for number in numbers]
    assert announced == [5, 6, 7, 8]
    again = [number for kind, numbers in told.calls if kind == "again" for number in numbers]
    assert again == [1, 2, 3, 4], "whoever stored them may have died before telling"


async def test_a_room_that_tells_of_its_numbers_is_not_numbered_in_vain() -> None:
    messages = MemoryMessageRepository()
    async with writing(messages) as writer:
        await writer.submit(draft())
        await messages.insert([stored(2)])
        writer.heard("room", 2)
        writer.heard("room", 1)
        writer.heard("elsewhere", 5)
        messages.batches.clear()
        assert (await writer.submit(draft())).message.sequence == 3
        assert messages.batches == [1]
        assert (await writer.submit(draft(room_id="elsewhere"))).message.sequence == 1


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
        await messages.insert([stored(2)])
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
