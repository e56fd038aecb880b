"""Several writers on one database and the same rooms: nothing twice, nothing left out."""

from __future__ import annotations

import asyncio
import random
from collections import defaultdict
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from server.clock import SystemClock
from server.domain.chat import Message
from server.domain.errors import ClientIdConflict, StoreUnavailable
from server.domain.ports.chats import MessageKey, MessageRepository
from server.services.message_writer import Draft, MessageWriter, Written, key_of
from server.store.client import ObjectIds, Store
from server.store.messages import MongoMessageRepository

pytestmark = pytest.mark.timeout(300)
ROOMS = ("ghar", "mandir")


class LosesAnswers(MongoMessageRepository):
    """Stores what it is given and now and then says that it does not know."""

    def __init__(self, store: Store, choice: random.Random) -> None:
        super().__init__(store)
        self.choice = choice

    async def insert(self, messages: Sequence[Message]) -> dict[int, Message | None]:
        refused = await super().insert(messages)
        if self.choice.random() < 0.2:
            raise StoreUnavailable
        return refused


@dataclass
class Process:
    """A writer and what it has told the rooms."""

    writer: MessageWriter
    told: list[Message] = field(default_factory=list)
    told_again: list[Message] = field(default_factory=list)


@asynccontextmanager
async def process(messages: MessageRepository) -> AsyncIterator[Process]:
    told: list[Message] = []
    again: list[Message] = []
    writer = MessageWriter(
        messages,
        SystemClock(),
        ObjectIds(),
        announce=told.extend,
        announce_again=again.extend,
        max_waiting=1000,
        known_head=lambda _: 0,
    )
    async with writer.running():
        yield Process(writer, told, again)


async def stay_ahead(messages: MessageRepository, stop: asyncio.Event) -> int:
    """Look at the rooms all the time; whoever resumes by number must never see a hole."""
    looks = 0
    while not stop.is_set():
        for room_id in ROOMS:
            rows = await messages.list_after(room_id, 0, 1000)
            assert [row.sequence for row in rows] == list(range(1, len(rows) + 1))
        looks += 1
        await asyncio.sleep(0)
    return looks


async def send(process: Process, draft: Draft) -> Written | Exception:
    try:
        return await process.writer.submit(draft)
    except (ClientIdConflict, StoreUnavailable) as error:
        return error


sends = st.tuples(
    st.integers(0, 2),  # the process
    st.sampled_from(ROOMS),
    st.sampled_from(("sita", "ram")),
    st.integers(0, 12),  # the cid: few, so that many are sent again
    st.sampled_from(("Namaste", "Namaste", "Namaste", "Dhanyabad")),
    st.booleans(),  # whether the next one waits for something to happen
)


@pytest.mark.parametrize("loses_answers", [False, True])
@settings(
    max_examples=12,
    deadline=None,
    # Who wins a race differs from run to run: there is nothing to make smaller.
    phases=(Phase.explicit, Phase.reuse, Phase.generate),
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(script=st.lists(sends, min_size=20, max_size=120), seed=st.integers(0, 2**16))
async def test_whoever_races_numbers_have_no_hole_and_a_cid_is_one_message(
    store: Store,
    loses_answers: bool,
    script: list[tuple[int, str, str, int, str, bool]],
    seed: int,
) -> None:
    await store.collection("messages").delete_many({})
    choice = random.Random(seed)
    plain = MongoMessageRepository(store)
    repositories = [LosesAnswers(store, choice) if loses_answers else plain for _ in range(3)]
    async with AsyncExitStack() as stack:
        processes = [await stack.enter_async_context(process(each)) for each in repositories]
        stop = asyncio.Event()
        looking = asyncio.create_task(stay_ahead(plain, stop))
        sending = []
        for place, room_id, sender_id, cid, content, waits in script:
            draft = Draft(room_id, sender_id, "user", sender_id, f"cid-{cid}", content=content)
            sending.append((draft, asyncio.create_task(send(processes[place], draft))))
            if waits:
                await asyncio.sleep(0.001)
        answers = [(draft, await task) for draft, task in sending]
        stop.set()
        assert await looking > 0

    stored = {room_id: await plain.list_after(room_id, 0, 1000) for room_id in ROOMS}
    rows = [row for of_room in stored.values() for row in of_room]
    by_key = {key_of(row): row for row in rows}
    assert len(by_key) == len(rows), "a cid is there twice"
    new: defaultdict[MessageKey, int] = defaultdict(int)
    for draft, answer in answers:
        row = by_key.get((draft.room_id, draft.sender_id, draft.cid))
        if isinstance(answer, Written):
            assert answer.message == row, "what was acknowledged is not what is stored"
            assert row is not None
            assert row.content == draft.content
            new[key_of(row)] += not answer.is_duplicate
        elif isinstance(answer, ClientIdConflict):
            assert row is not None
            assert row.content != draft.content
        else:
            assert loses_answers
    assert all(count <= 1 for count in new.values()), "two were told that theirs was the first"
    told = [message for each in processes for message in each.told]
    assert len({message.id for message in told}) == len(told), "announced twice as new"
    if not loses_answers:
        assert {message.id for message in told} == {row.id for row in rows}
    acknowledged = {answer.message.id for _, answer in answers if isinstance(answer, Written)}
    heard = {message.id for each in processes for message in (*each.told, *each.told_again)}
    assert acknowledged <= heard, "acknowledged and told to nobody"
