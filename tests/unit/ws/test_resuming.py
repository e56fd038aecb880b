"""Coming back at an awkward moment, on real sockets and a clock that a test turns."""

from __future__ import annotations

import asyncio
import gc
import json
import socket
from collections.abc import Callable, Iterator
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from types import ModuleType
from typing import Any

import pytest
from websockets.frames import Frame, Opcode
from websockets.protocol import CLIENT, OPEN, Protocol

from server.domain.chat import Message, MessageType
from server.ws.protocol import MAX_PAGE_BYTES, CloseCode
from server.ws.session import Session
from server.ws.streams import Numbered
from tests.chaos.checker import Page
from tests.fakes.processes import RAM, ROOM, SITA, Device, World

READ_SECONDS = 0.1


@pytest.fixture
def world() -> Iterator[World]:
    made = World()
    yield made
    made.close()


def store(world: World, count: int, content: str = "Namaste") -> None:
    """Messages of Ram's that nobody here has heard of."""
    for sequence in range(1, count + 1):
        world.messages.rows[ROOM, sequence] = Message(
            id=f"m{sequence}",
            room_id=ROOM,
            sequence=sequence,
            sender_id=RAM,
            sender_role="pandit",
            sender_name="Ram",
            cid=f"old{sequence}",
            message_type=MessageType.TEXT,
            content=content,
            content_ne="",
            attachment=None,
            reply_to=None,
            timestamp=datetime(2026, 11, 1, tzinfo=UTC),
        )


class SlowReader:
    """Reads so many bytes in a hundredth of a second; ``frames`` is what it has got."""

    def __init__(self, client: socket.socket) -> None:
        self.frames: list[dict[str, Any]] = []
        self._client = client
        self._parser = Protocol(CLIENT, state=OPEN, max_size=None)

    def say(self, **frame: Any) -> None:
        self._parser.send_text(json.dumps(frame).encode())
        for data in self._parser.data_to_send():
            self._client.sendall(data)

    async def read(self, is_enough: Callable[[], bool], size: int = 8192) -> None:
        while not is_enough():
            await asyncio.sleep(0.01)
            with suppress(BlockingIOError):
                self._parser.receive_data(self._client.recv(size))
            for frame in self._parser.events_received():
                assert isinstance(frame, Frame)
                if frame.opcode is Opcode.TEXT:
                    self.frames.append(json.loads(bytes(frame.data)))

    @property
    def pages(self) -> list[dict[str, Any]]:
        return [frame for frame in self.frames if frame["type"] == "history"]

    @property
    def seqs(self) -> list[int]:
        """The numbers of all messages, in the order in which they came."""
        return [row["seq"] for page in self.pages for row in page["messages"]] + [
            frame["seq"] for frame in self.frames if frame["type"] == "message"
        ]


def held_bytes(session: Session) -> int:
    """The messages that the work of a connection keeps from being forgotten."""
    seen: set[int] = set()
    waiting: list[Any] = [session, *asyncio.all_tasks()]
    size = 0
    while waiting:
        each = waiting.pop()
        if id(each) in seen or isinstance(each, (type, ModuleType)):
            continue
        seen.add(id(each))
        if isinstance(each, Numbered):
            size += len(each.frame)
        waiting += gc.get_referents(each)
    return size


def pages(device: Device) -> list[Page]:
    return [each for each in device.visit.seen if isinstance(each, Page)]


@pytest.mark.parametrize("said_at", [0.5, 1.5, 2.5])
def test_what_is_said_during_the_last_read_of_a_replay_arrives(
    world: World, said_at: float
) -> None:
    store(world, 200)
    speaker, device = world.devices[2], world.devices[0]
    world.call(speaker.come, world.processes[0])
    world.pass_time(1)
    world.messages.read_seconds = READ_SECONDS
    device.forget(0)
    world.call(device.come, world.processes[0])
    world.pass_time(READ_SECONDS * said_at)
    world.call(speaker.say, "new", "said meanwhile")
    world.pass_time(1)
    assert sorted(device.have) == list(range(1, 202))


def test_who_is_too_far_behind_gets_the_newest_though_the_head_was_not_known(world: World) -> None:
    store(world, 700)
    device = world.devices[0]
    device.forget(0)
    world.call(device.come, world.processes[0])
    world.pass_time(1)
    assert [(page.seqs, page.gap) for page in pages(device)] == [(tuple(range(651, 701)), True)]


def test_who_lacks_several_pages_gets_them_all(world: World) -> None:
    store(world, 450)
    device = world.devices[0]
    device.forget(0)
    world.call(device.come, world.processes[0])
    world.pass_time(1)
    assert [seq for page in pages(device) for seq in page.seqs] == list(range(1, 451))
    assert not any(page.gap for page in pages(device))


def test_what_another_process_stores_between_two_reads_is_no_gap(world: World) -> None:
    store(world, 10)
    device = world.devices[0]
    device.forget(10)
    world.messages.read_seconds = READ_SECONDS
    world.call(device.come, world.processes[0])
    world.pass_time(READ_SECONDS / 2)
    store(world, 12)
    world.pass_time(1)
    assert [(page.seqs, page.gap) for page in pages(device)] == [((11, 12), False)]


def test_who_reads_slowly_holds_no_place_of_a_handshake(world: World) -> None:
    store(world, 450, content="Namaste " * 500)
    process = world.processes[0]
    process.hub._handshakes = asyncio.Semaphore(1)

    async def come_and_not_read() -> None:
        client = process.connect(world.actors[SITA], 0, "")
        await asyncio.sleep(1)
        blocked = [each for each, _ in process.hub.poller.blocked_since()]
        assert blocked, "the replay is not yet taken"
        other = world.devices[2]
        other.come(process)
        await asyncio.sleep(1)
        assert other.is_ready
        client.close()

    world.run(come_and_not_read())


@pytest.mark.parametrize("begins_at", [0.0, 9.0, 17.0, 24.0])
def test_silence_ends_after_a_ping_and_its_grace_and_not_much_later(
    world: World, begins_at: float
) -> None:
    hub = world.processes[0].hub

    async def be_silent() -> float:
        await asyncio.sleep(begins_at)
        client = world.processes[0].connect(world.actors[SITA], None, "")
        loop = asyncio.get_running_loop()
        began = loop.time()
        await asyncio.sleep(1)
        assert hub.poller.open_count == 1
        while list(hub.sessions()) and loop.time() < began + 100:  # noqa: ASYNC110  # no event
            await asyncio.sleep(0.1)
        client.close()
        return loop.time() - began

    assert 39.5 <= world.run(be_silent()) <= 56.0


def test_the_end_of_a_token_is_seen_in_time_however_seldom_pings_are() -> None:
    world = World(ping_seconds=120.0)
    try:
        hub, device = world.processes[0].hub, world.devices[0]
        world.call(device.come, world.processes[0])
        world.pass_time(1)
        (session,) = hub.sessions()
        session.expires_at = world.clock.now() + timedelta(seconds=10)
        for _ in range(10 * 4):
            world.clock.advance(seconds=0.25)
            world.pass_time(0.25)
        assert session.is_open
        for _ in range(31 * 4):
            world.clock.advance(seconds=0.25)
            world.pass_time(0.25)
        assert session.closed_with == CloseCode.TOKEN_EXPIRED
    finally:
        world.close()


def test_who_reads_slowly_gets_all_once_and_in_order_and_is_live_then(world: World) -> None:
    store(world, 200, content="न" * 4000)
    process, speaker = world.processes[0], world.devices[2]
    world.call(speaker.come, process)
    world.pass_time(1)

    async def come_and_read() -> None:
        client = process.connect(world.actors[SITA], 0, "")
        reader = SlowReader(client)
        await reader.read(lambda: len(reader.seqs) > 50)
        speaker.say("meanwhile", "said meanwhile")
        await reader.read(lambda: len(reader.seqs) >= 201)
        speaker.say("live", "said live")
        await reader.read(lambda: len(reader.seqs) >= 202)
        assert reader.seqs == list(range(1, 203))
        assert not any(page["gap"] or page["more"] for page in reader.pages)
        assert reader.frames[-1]["type"] == "message"
        client.close()

    world.run(come_and_read())


@pytest.mark.parametrize(
    ("question", "expected", "more"),
    [
        ({"type": "sync", "since": 20, "limit": 100}, range(21, 121), True),
        ({"type": "sync", "since": 20, "limit": 200}, range(21, 201), False),
        ({"type": "history", "before": 181, "limit": 150}, range(31, 181), True),
    ],
    ids=["sync", "sync to the end", "history"],
)
def test_an_answer_is_whole_however_slowly_it_is_read(
    world: World, question: dict[str, Any], expected: range, *, more: bool
) -> None:
    store(world, 200, content="न" * 4000)
    process = world.processes[0]

    async def ask() -> None:
        client = process.connect(world.actors[SITA], 200, "")
        reader = SlowReader(client)
        await reader.read(lambda: bool(reader.pages))
        reader.say(**question)
        await reader.read(lambda: len(reader.seqs) >= len(expected))
        reader.say(type="ping", t=1)
        await reader.read(lambda: reader.frames[-1]["type"] == "pong")
        assert reader.seqs == list(expected)
        assert [page["more"] for page in reader.pages[1:]].count(True) == more
        assert reader.pages[-1]["more"] is more
        client.close()

    world.run(ask())


@pytest.mark.parametrize("asks", [False, True], ids=["replay", "sync"])
def test_what_a_client_has_no_room_for_is_not_held(world: World, *, asks: bool) -> None:
    store(world, 200, content="न" * 4000)
    process = world.processes[0]

    async def come_and_not_read() -> None:
        client = process.connect(world.actors[SITA], 200 if asks else 0, "")
        if asks:
            await asyncio.sleep(0.1)
            SlowReader(client).say(type="sync", since=0, limit=200)
        await asyncio.sleep(1)
        (session,) = process.hub.sessions()
        assert session.is_blocked
        assert held_bytes(session) == 0
        assert session.queued_bytes < session.bounds.soft_bytes + 2 * MAX_PAGE_BYTES
        client.close()

    world.run(come_and_not_read())
