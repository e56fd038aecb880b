"""Two server processes in one, with a database in memory and a broker that does what it is told.

Everything between the socket and the repositories is the real thing: hub, sessions, streams, the
writer. Time is that of :class:`WarpLoop`, which does not wait.
"""

from __future__ import annotations

import asyncio
import itertools
import json
import selectors
import socket
from collections import Counter, deque
from collections.abc import Callable, Sequence
from contextlib import AsyncExitStack
from datetime import timedelta
from types import SimpleNamespace
from typing import Any, cast

from websockets.frames import Frame, Opcode
from websockets.protocol import CLIENT, OPEN, Protocol

from server.bus.memory import MemoryBus
from server.bus.presence import MemoryPresence
from server.domain.account import Actor, Role
from server.domain.chat import SYSTEM_SENDER, ChatRoom, Message, MessageType
from server.domain.errors import StoreUnavailable
from server.domain.events import Event
from server.domain.ports.processes import Deliver
from server.i18n import Translations
from server.metrics import Metrics
from server.paths import data_path
from server.schemas.frames import JsonChatFrames
from server.services.chats import ChatPolicy, ChatService
from server.settings import RealtimeSettings
from server.ws.commands import receive
from server.ws.connection import ChatSocket
from server.ws.hub import Hub, HubLimits
from tests.chaos.checker import Ack, Entry, Live, Page, Record, Visit
from tests.fakes.chat import MemoryMessageRepository
from tests.fakes.rooms import MemoryRoomRepository
from tests.support import FakeClock

ROOM, SITA, RAM = "room-1", "sita", "ram"
_NUMBERS = itertools.count(1)


class WarpLoop(asyncio.SelectorEventLoop):
    """An event loop in which all waiting is over at once: with nothing to do it is later.

    What happens on sockets between two ends of this loop is always done before time passes.
    """

    def __init__(self) -> None:
        self._ahead = 0.0
        super().__init__(_Impatient(self._skip))

    def time(self) -> float:
        return super().time() + self._ahead

    def _skip(self, seconds: float) -> None:
        self._ahead += seconds


class _Impatient(selectors.DefaultSelector):
    def __init__(self, skip: Callable[[float], None]) -> None:
        super().__init__()
        self._skip = skip

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        ready = super().select(0)
        if not ready and timeout:
            self._skip(timeout)
        return ready


class FickleMessages(MemoryMessageRepository):
    """May store and lose the answer, as a connection that breaks in the middle does.

    Reading takes ``read_seconds``.
    """

    def __init__(self) -> None:
        super().__init__()
        self.loses_answers = False
        self.read_seconds = 0.0

    async def insert(self, messages: Sequence[Message]) -> dict[int, Message | None]:
        refused = await super().insert(messages)
        if self.loses_answers:
            raise StoreUnavailable
        return refused

    async def list_after(self, room_id: str, sequence: int, limit: int) -> list[Message]:
        return await self._answer(await super().list_after(room_id, sequence, limit))

    async def list_before(self, room_id: str, sequence: int | None, limit: int) -> list[Message]:
        return await self._answer(await super().list_before(room_id, sequence, limit))

    async def _answer(self, rows: list[Message]) -> list[Message]:
        # What was read is old when it arrives; a turn of the loop is the least that it takes.
        await asyncio.sleep(self.read_seconds)
        if self.is_away:
            raise StoreUnavailable
        return rows


class FickleBus(MemoryBus):
    """One process's side of a broker. ``inbox`` is what others have published and it not heard."""

    def __init__(self, others: list[FickleBus]) -> None:
        super().__init__()
        self.inbox: deque[tuple[str, bytes]] = deque()
        self._others = others
        self._callbacks: list[Callable[[], None]] = []

    def publish(self, topic: str, payload: bytes) -> None:
        super().publish(topic, payload)
        for other in self._others:
            if other is not self and topic in other:
                other.inbox.append((topic, payload))

    async def subscribe(self, topic: str, deliver: Deliver) -> None:
        # A turn of the loop, as a broker's confirmation takes.
        await asyncio.sleep(0)
        await super().subscribe(topic, deliver)

    def on_restored(self, callback: Callable[[], None]) -> None:
        self._callbacks.append(callback)

    def hear(self, count: int) -> None:
        for _ in range(min(count, len(self.inbox))):
            self.deliver(*self.inbox.popleft())

    def restore(self) -> None:
        for callback in self._callbacks:
            callback()


class _Ids:
    def new(self) -> str:
        return f"id-{next(_NUMBERS)}"


class _Nobody:
    """Receives notices of unread messages."""

    async def on_event(self, event: Event) -> None:
        return None


class _Accounts:
    async def is_signed_in(self, actor: Actor) -> bool:
        return True

    def believe(self, actor: Actor, seconds: float) -> None:
        return None


class Process:
    """One server process."""

    def __init__(
        self,
        bus: FickleBus,
        rooms: MemoryRoomRepository,
        messages: MemoryMessageRepository,
        clock: FakeClock,
        translations: Translations,
        **limits: Any,
    ) -> None:
        self.bus = bus
        self.clock = clock
        nothing, board = cast("Any", None), MemoryPresence()
        self.chats = ChatService(
            rooms=rooms,
            messages=messages,
            attachments=nothing,
            files=nothing,
            bookings=nothing,
            notices=_Nobody(),
            board=board,
            audit=nothing,
            frames=JsonChatFrames(),
            bus=bus,
            translator=translations,
            clock=clock,
            ids=_Ids(),
            policy=ChatPolicy(max_waiting=5000, max_upload_bytes=0, max_picture_pixels=0),
        )
        self.hub = Hub(
            bus=bus,
            board=board,
            chats=self.chats,
            notifications=nothing,
            payments=nothing,
            pandits=nothing,
            positions=nothing,
            accounts=cast("Any", _Accounts()),
            translator=translations,
            clock=clock,
            metrics=Metrics(),
            limits=HubLimits.of(
                RealtimeSettings(messages_per_second=1e6, message_burst=1_000_000, **limits)
            ),
            on_frame=receive,
        )
        self._stack = AsyncExitStack()

    async def start(self) -> None:
        await self._stack.enter_async_context(self.chats.running())
        await self._stack.enter_async_context(self.hub.running())

    async def stop(self) -> None:
        await self._stack.aclose()

    def connect(self, actor: Actor, after: int | None, epoch: str) -> socket.socket:
        """Open a connection as the handler does; returns the client's end."""
        here, there = _pair()
        session = self.hub.open(
            "chat", actor, self.clock.now() + timedelta(days=1), "127.0.0.1", deflates=False
        )
        self.hub.poller.adopt(here, session, b"", b"")
        door = ChatSocket.__new__(ChatSocket)
        services = SimpleNamespace(hub=self.hub, clock=self.clock)
        door.application = cast("Any", SimpleNamespace(settings={"services": services}))
        self.hub.spawn(door._open(session, (ROOM,), after, epoch))
        return there


class Device:
    """A client by the book, over a strict parser; everything that comes is recorded."""

    def __init__(self, name: str, actor: Actor) -> None:
        self.record = Record(name, actor.user_id)
        self.actor = actor
        self.cursor: int | None = None
        self.floor = 1
        self.have: dict[int, Entry] = {}
        self.epoch = ""
        self.errors: Counter[tuple[str, str]] = Counter()
        self.faults: list[str] = []
        self.marks: dict[str, int] = {}
        self.is_asking = False
        self._has_asked = False
        self._socket: socket.socket | None = None
        self._parser = Protocol(CLIENT, state=OPEN)

    @property
    def is_connected(self) -> bool:
        return self._socket is not None

    @property
    def is_ready(self) -> bool:
        """Whether the first page has come."""
        return self.is_connected and any(isinstance(each, Page) for each in self.visit.seen)

    @property
    def visit(self) -> Visit:
        return self.record.visits[-1]

    def come(self, process: Process, epoch: str | None = None) -> None:
        assert self._socket is None
        self._parser = Protocol(CLIENT, state=OPEN, max_size=None)
        self.record.visits.append(Visit(self.cursor))
        self._has_asked = self.is_asking = False
        told = self.epoch if epoch is None else epoch
        self._socket = process.connect(self.actor, self.cursor, told)
        asyncio.get_running_loop().add_reader(self._socket, self._read)

    def leave(self, code: int = 1006) -> None:
        if self._socket is not None:
            self.visit.closed_with = code
            asyncio.get_running_loop().remove_reader(self._socket)
            self._socket.close()
            self._socket = None

    def say(self, cid: str, content: str) -> None:
        self.visit.sent.add(cid)
        self.send(type="message", kind="TEXT", cid=cid, content=content)

    def send(self, **frame: Any) -> None:
        self._parser.send_text(json.dumps(frame).encode())
        self._flush()

    def _flush(self) -> None:
        if self._socket is not None:
            try:
                for data in self._parser.data_to_send():
                    assert self._socket.send(data) == len(data)
            except OSError:
                self.leave()

    def _read(self) -> None:
        assert self._socket
        try:
            data = self._socket.recv(1 << 20)
        except OSError:
            data = b""
        if not data:
            self.leave()
            return
        self._parser.receive_data(data)
        assert self._parser.parser_exc is None, self._parser.parser_exc
        for frame in self._parser.events_received():
            if isinstance(frame, Frame) and frame.opcode is Opcode.TEXT:
                self._take(json.loads(bytes(frame.data)))
        self._flush()
        if (received := self._parser.close_rcvd) is not None:
            self.leave(received.code)

    def _take(self, frame: dict[str, Any]) -> None:
        kind = frame["type"]
        if kind == "hello":
            self.epoch, self.visit.head = frame["room"]["epoch"], frame["room"]["head"]
            self.marks = frame["room"]["read"]
        elif kind == "history":
            self._take_page(frame)
        elif kind == "message":
            self.visit.seen.append(Live(frame["seq"]))
            self._keep(_entry(frame))
        elif kind == "ack":
            self._take_ack(frame)
        elif kind == "error":
            self.errors[frame["code"], frame.get("cid", "")] += 1
        self._follow()

    def _take_page(self, frame: dict[str, Any]) -> None:
        entries = [_entry(row) for row in frame["messages"]]
        seqs = tuple(entry.seq for entry in entries)
        self.visit.seen.append(Page(seqs, frame["to"], frame["gap"], self._has_asked))
        if frame["gap"] or self.cursor is None:
            self.floor = max(1, frame["from"])
            self.have = {seq: each for seq, each in self.have.items() if seq >= self.floor}
            self.cursor = frame["to"]
        for entry in entries:
            self._keep(entry)
        if not (seqs and seqs[-1] < self.floor):
            self.cursor = max(self.cursor, frame["to"])
        while self.floor - 1 in self.have:
            self.floor -= 1
        self.is_asking = frame["more"]

    def _take_ack(self, frame: dict[str, Any]) -> None:
        cid, seq = frame["cid"], frame["seq"]
        self.visit.seen.append(Ack(cid, seq, frame["id"], frame["dup"]))
        content = self.record.said.get(cid)
        if content is not None:
            self._keep(Entry(seq, frame["id"], self.actor.user_id, cid, content))

    def _keep(self, entry: Entry) -> None:
        if self.have.setdefault(entry.seq, entry) != entry:
            self.faults.append(f"{entry} where it had {self.have[entry.seq]}")

    def _follow(self) -> None:
        while self.cursor is not None and self.cursor + 1 in self.have:
            self.cursor += 1

    def ask(self) -> bool:
        """Ask for what is missing, before or after what it has; False when nothing is."""
        if not self.is_ready or self.cursor is None:
            return False
        if max(self.have, default=0) > self.cursor:
            self.send(type="sync", since=self.cursor, limit=200)
        elif self.floor > 1:
            self.send(type="history", before=self.floor, limit=200)
        else:
            return False
        self._has_asked = True
        return True

    def forget(self, cursor: int | None) -> None:
        """Have seen only so much: a device that was away, a new one, one of another world."""
        self.cursor, self.floor = cursor, 1
        kept = range(1, (cursor or 0) + 1)
        self.have = {seq: each for seq, each in self.have.items() if seq in kept}

    def unanswered(self) -> list[str]:
        """What it has said and was never acknowledged, in order."""
        acked = {
            each.cid for visit in self.record.visits for each in visit.seen if isinstance(each, Ack)
        }
        return [cid for cid in self.record.said if cid not in acked]

    def finish(self) -> Record:
        cursor = self.cursor or 0
        self.record.shown = [
            self.have[seq] for seq in range(self.floor, cursor + 1) if seq in self.have
        ]
        return self.record


class World:
    """Two processes, a room of two members, two devices each; ``limits`` as in the settings."""

    def __init__(self, **limits: Any) -> None:
        self.loop = WarpLoop()
        self.clock = FakeClock()
        self.rooms, self.messages = MemoryRoomRepository(), FickleMessages()
        self.rooms.rows[ROOM] = ChatRoom(
            id=ROOM,
            booking_id="booking-1",
            customer_id=SITA,
            customer_name="Sita",
            pandit_id="pandit-1",
            pandit_user_id=RAM,
            pandit_name="Ram",
            created_at=self.clock.now(),
        )
        actors = {
            SITA: Actor(user_id=SITA, role=Role.USER, session_id="s", full_name="Sita"),
            RAM: Actor(user_id=RAM, role=Role.PANDIT, session_id="r", full_name="Ram"),
        }
        self.actors = actors
        self.devices = [
            Device(f"{user_id}{number}", actors[user_id])
            for user_id in (SITA, RAM)
            for number in (0, 1)
        ]
        self.system = Record("the system", SYSTEM_SENDER)
        buses: list[FickleBus] = []
        buses += [FickleBus(buses), FickleBus(buses)]
        self.processes = [
            Process(bus, self.rooms, self.messages, self.clock, _TRANSLATIONS, **limits)
            for bus in buses
        ]
        for process in self.processes:
            self.run(process.start())

    def run(self, work: Any) -> Any:
        return self.loop.run_until_complete(work)

    def call(self, act: Callable[..., None], *arguments: Any) -> None:
        """Do something inside the loop."""

        async def inside() -> None:
            act(*arguments)

        self.run(inside())

    def pass_time(self, seconds: float) -> None:
        self.run(asyncio.sleep(seconds))

    @property
    def is_away(self) -> bool:
        return self.messages.is_away

    def set_away(self, *, is_away: bool) -> None:
        self.messages.is_away = self.rooms.is_away = is_away

    def records(self) -> list[Record]:
        """What everybody has said, shows and has seen."""
        self.system.shown = self.stored()
        return [self.system, *(device.finish() for device in self.devices)]

    def stored(self) -> list[Entry]:
        return [
            Entry(row.sequence, row.id, row.sender_id, row.cid, row.content)
            for row in self.messages.of_room(ROOM)
        ]

    def store_untold(self, count: int) -> None:
        """Another process stores and dies before it tells anybody."""
        head = len(self.messages.rows)
        for number in range(count):
            place = next(_NUMBERS)
            row = Message(
                id=f"other-{place}",
                room_id=ROOM,
                sequence=head + number + 1,
                sender_id=SYSTEM_SENDER,
                sender_role=SYSTEM_SENDER,
                sender_name="PanditYatra",
                cid=f"other-{place}",
                message_type=MessageType.SYSTEM,
                content="untold",
                timestamp=self.clock.now(),
            )
            self.messages.rows[ROOM, row.sequence] = row
            self.system.said[row.cid] = row.content

    def close(self) -> None:
        self.set_away(is_away=False)
        self.messages.loses_answers = False
        self.messages.gate.set()
        for device in self.devices:
            self.call(device.leave)
        for process in self.processes:
            self.run(process.stop())
        self.pass_time(1.0)
        self.loop.close()


class _Local(socket.socket):
    """A local socket, on which what was sent is there at once; it knows nothing of TCP."""

    def setsockopt(self, level: int, name: int, value: Any, *rest: Any) -> None:
        if level != socket.IPPROTO_TCP:
            super().setsockopt(level, name, value, *rest)


def _pair() -> tuple[socket.socket, socket.socket]:
    here, there = socket.socketpair()
    there.setblocking(False)
    return _Local(fileno=here.detach()), there


def _entry(frame: dict[str, Any]) -> Entry:
    return Entry(frame["seq"], frame["id"], frame["sender"]["id"], frame["cid"], frame["content"])


_TRANSLATIONS = Translations(data_path("locale"))
