"""A hundred who never read, in one room with twenty who do.

The messages that are offered to those who do not read make 200 MB in all, or as many megabytes as
``SLOW_READERS_MB`` says. Who is closed comes back at once and reads no more than before, so that
there are always a hundred. Before they come, as much is said for as long.
"""

from __future__ import annotations

import asyncio
import base64
import json
import os
import random
import re
import secrets
import socket
import struct
import sys
import time
import uuid
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from shutil import disk_usage
from tempfile import TemporaryDirectory

import pytest
from websockets.exceptions import ConnectionClosed

from server.settings import DatabaseSettings
from server.store.embedded import database_uri
from tests.server_process import Member, Room, ServerProcess, fresh_store, make_rooms
from tests.talk import Client, chat_socket

OFFERED_BYTES = int(os.environ.get("SLOW_READERS_MB", "200")) * 1_000_000
SLOW, READERS = 100, 20
PAST = 50
RATE = 50.0
MESSAGE_BYTES = 8000
MESSAGES = OFFERED_BYTES // (SLOW * MESSAGE_BYTES)
IS_FULL_SIZE = OFFERED_BYTES >= 1_000_000_000
MEMORY_DISK = Path("/dev/shm")  # noqa: S108  # no file of a name that anybody could guess
DATABASE_BYTES = 1_000_000_000
HAS_MEMORY_DISK = MEMORY_DISK.is_dir() and disk_usage(MEMORY_DISK).free > DATABASE_BYTES
MAX_GROWTH_BYTES = 50 * 1024 * 1024
MAX_KERNEL_BYTES = SLOW * 1024 * 1024
# A part of what is offered to each, so that all are full in good time.
MAX_RECEIVE_BYTES = min(2 * 1024 * 1024, OFFERED_BYTES // SLOW // 4)
SLOW_READER = 4001
ONE_TEXT, OTHER_TEXT = "N" * (MESSAGE_BYTES // 2), "n" * (MESSAGE_BYTES // 2)
_SETTINGS = {
    "REALTIME__MESSAGES_PER_SECOND": "100000",
    "REALTIME__MESSAGE_BURST": "100000",
    "REALTIME__CONNECTIONS_PER_USER": "10000",
    "REALTIME__CONNECTS_PER_SECOND": "10000",
    "REALTIME__CONNECT_BURST": "10000",
}
pytestmark = pytest.mark.timeout(120 + OFFERED_BYTES / 1_000_000)


@dataclass(slots=True)
class Reader:
    """Somebody who reads at once. ``seqs`` is what he got, ``latencies`` how late, in seconds."""

    client: Client
    seqs: list[int] = field(default_factory=list)
    latencies: list[float] = field(default_factory=list)

    async def read(self, sent_at: dict[str, float]) -> None:
        with suppress(ConnectionClosed):
            while True:
                frame = json.loads(await self.client.connection.recv())
                if frame["type"] == "message":
                    self.seqs.append(frame["seq"])
                    self.latencies.append(time.perf_counter() - sent_at[frame["cid"]])


class Speaker:
    """Says messages of eight kilobytes at an even pace."""

    def __init__(self, client: Client) -> None:
        self.client = client
        self.sent_at: dict[str, float] = {}
        self.seqs: list[int] = []
        self.has_answer = asyncio.Event()

    async def listen(self) -> None:
        with suppress(ConnectionClosed):
            while True:
                frame = json.loads(await self.client.connection.recv())
                if frame["type"] == "ack":
                    self.seqs.append(frame["seq"])
                    self.has_answer.set()
                else:
                    assert frame["type"] != "error", frame

    async def say(self) -> None:
        cid = str(uuid.uuid4())
        self.sent_at[cid] = time.perf_counter()
        await self.client.say(ONE_TEXT, cid, content_ne=OTHER_TEXT)

    async def all_acknowledged(self) -> None:
        async with asyncio.timeout(60):
            while len(self.seqs) < len(self.sent_at):
                self.has_answer.clear()
                await self.has_answer.wait()


class Sloth:
    """A socket that shakes hands and then never reads; its kernel takes in so many bytes for it."""

    def __init__(self, connection: socket.socket) -> None:
        self._socket = connection

    @classmethod
    async def come(
        cls, port: int, room: Room, member: Member, after: int, *, receive_bytes: int
    ) -> Sloth:
        connection = socket.socket()
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_bytes)
        connection.setblocking(False)
        loop = asyncio.get_running_loop()
        await loop.sock_connect(connection, ("127.0.0.1", port))
        request = (
            f"GET /ws/chat/{room.room_id}/?after={after} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\n"
            f"Authorization: Bearer {member.token}\r\nUpgrade: websocket\r\n"
            "Connection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
            f"Sec-WebSocket-Key: {base64.b64encode(secrets.token_bytes(16)).decode()}\r\n\r\n"
        )
        await loop.sock_sendall(connection, request.encode())
        answer = await loop.sock_recv(connection, 12)
        assert answer == b"HTTP/1.1 101", answer
        return cls(connection)

    async def close_code(self) -> int | None:
        """Read after all, to the end: the code of the close frame, or None if there was none."""
        loop, rest = asyncio.get_running_loop(), b""
        with suppress(ConnectionError, TimeoutError):
            while part := await asyncio.wait_for(loop.sock_recv(self._socket, 1 << 20), 5):
                rest = (rest + part)[-200:]
        # The last frame: 0x88, a length, the code, a reason.
        for place in range(len(rest) - 4, -1, -1):
            if rest[place] == 0x88 and place + 2 + rest[place + 1] == len(rest):
                return int(struct.unpack_from("!H", rest, place + 2)[0])
        return None

    async def say(self, frame: bytes) -> None:
        """One short text frame; what comes back is not read either."""
        head = bytes((0x81, 0x80 | len(frame))) + bytes(4)
        await asyncio.get_running_loop().sock_sendall(self._socket, head + frame)

    def leave(self) -> None:
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self._socket.close()


class Sloths:
    """Keeps a hundred of them there."""

    def __init__(self, server: ServerProcess, room: Room, speaker: Speaker) -> None:
        self._server = server
        self._room = room
        self._speaker = speaker
        self.all: list[Sloth] = []
        self.present = 0
        self.offered = 0
        # Kernels differ: a hundred who are full in the same instant would come back in the same.
        self._receive_bytes = random.Random(7)

    async def fill(self) -> None:
        """Let so many come as are missing; the metrics say how many there are."""
        text = await self._server.metrics()
        self.present = int(_metric(text, r'sockets_open\{kind="chat"\}')) - READERS - 1
        members = (self._room.customer, self._room.pandit)
        for _ in range(SLOW - self.present):
            # With the newest number: who has to catch up first is not live, and is offered nothing.
            after = max(self._speaker.seqs, default=0)
            member = members[len(self.all) % 2]
            room_for = self._receive_bytes.randrange(16 * 1024, MAX_RECEIVE_BYTES)
            self.all.append(
                await Sloth.come(
                    self._server.port, self._room, member, after, receive_bytes=room_for
                )
            )
            self.present += 1

    async def keep(self) -> None:
        while True:
            await self.fill()
            await asyncio.sleep(0.25)

    def leave(self) -> None:
        for sloth in self.all:
            sloth.leave()


@dataclass(slots=True)
class Memory:
    """The highest figures seen, in bytes: of the process, and of the sockets in the kernel."""

    resident: int = 0
    kernel: int = 0
    fullest_socket: int = 0

    async def watch(self, server: ServerProcess) -> None:
        while True:
            self.resident = max(self.resident, resident_bytes(server.pid))
            waiting = waiting_bytes(server.port)
            self.kernel = max(self.kernel, sum(waiting))
            self.fullest_socket = max(self.fullest_socket, *waiting, 0)
            await asyncio.sleep(0.05)


def resident_bytes(pid: int) -> int:
    status = Path(f"/proc/{pid}/status").read_text()
    found = re.search(r"VmRSS:\s+(\d+) kB", status)
    assert found, status
    return int(found.group(1)) * 1024


def waiting_bytes(port: int) -> list[int]:
    """What the kernel keeps to be sent for each socket of the server, acknowledged by nobody."""
    waiting = []
    for line in Path("/proc/net/tcp").read_text().splitlines()[1:]:
        fields = line.split()
        if int(fields[1].rpartition(":")[2], 16) == port:
            waiting.append(int(fields[4].partition(":")[0], 16))
    return waiting


def _metric(text: str, name: str) -> float:
    found = re.search(rf"^{name} ([0-9.e+]+)$", text, re.MULTILINE)
    return float(found.group(1)) if found else 0.0


def p99(latencies: list[float]) -> float:
    return sorted(latencies)[int(len(latencies) * 0.99)]


@asynccontextmanager
async def a_server(
    path: Path, mongo_uri: str, **more: str
) -> AsyncIterator[tuple[ServerProcess, Room]]:
    name = f"slow_{time.time_ns():x}"
    async with fresh_store(mongo_uri, name) as store:
        (room,) = await make_rooms(store, 1)
        settings = {**_SETTINGS, **more, "DATABASE__URI": mongo_uri, "DATABASE__NAME": name}
        server = ServerProcess(path, "server", settings)
        try:
            await server.start()
            yield server, room
        finally:
            await server.kill()


@asynccontextmanager
async def even_database(mongo_uri: str) -> AsyncIterator[str]:
    """The address of a database for the figures of the full size.

    Its files are in memory where there is room: a disk that now and then takes half a second to
    keep what it was given would decide how late messages are, whoever reads or not.
    """
    if not (IS_FULL_SIZE and HAS_MEMORY_DISK):
        yield mongo_uri
        return
    with TemporaryDirectory(dir=MEMORY_DISK) as path:
        async with database_uri(DatabaseSettings(embedded_path=f"{path}/data")) as uri:
            yield uri


async def test_those_who_never_read_cost_little_and_delay_nobody(
    tmp_path: Path, mongo_uri: str
) -> None:
    async with (
        even_database(mongo_uri) as uri,
        a_server(tmp_path, uri) as (server, room),
        AsyncExitStack() as stack,
    ):

        async def come(member: Member) -> Client:
            client: Client = await stack.enter_async_context(
                chat_socket(server.port, member.token, room.room_id)
            )
            return client

        speaker = Speaker(await come(room.pandit))
        members = (room.customer, room.pandit)
        readers = [Reader(await come(members[place % 2])) for place in range(READERS)]
        sloths, memory = Sloths(server, room, speaker), Memory()
        listening = asyncio.gather(
            speaker.listen(), *(reader.read(speaker.sent_at) for reader in readers)
        )
        # Before: twenty readers, nobody else. As many messages, else the database's rare pauses
        # would count for more in the shorter time; and watched as closely, as that takes time too.
        watching = [asyncio.create_task(memory.watch(server))]
        await talk(speaker, MESSAGES)
        await speaker.all_acknowledged()
        before = p99([each for reader in readers for each in reader.latencies])
        for reader in readers:
            reader.latencies.clear()
        resident_before = resident_bytes(server.pid)

        # With a hundred who never read.
        await sloths.fill()
        watching.append(asyncio.create_task(sloths.keep()))
        while sloths.offered < OFFERED_BYTES:
            sloths.offered += await talk(speaker, 10) * MESSAGE_BYTES * sloths.present
            assert not any(task.done() for task in watching), watching
        await speaker.all_acknowledged()
        during = p99([each for reader in readers for each in reader.latencies])
        closed = _metric(await server.metrics(), rf'socket_closes_total\{{code="{SLOW_READER}"\}}')
        for task in watching:
            task.cancel()
        # Of those whose place others have taken the last: they are still waited for.
        replaced = sloths.all[: len(sloths.all) - sloths.present][-SLOW:]
        codes = await asyncio.gather(*(sloth.close_code() for sloth in replaced))
        await asyncio.gather(*(reader.client.connection.close() for reader in readers))
        await speaker.client.connection.close()
        await listening
        sloths.leave()

        growth = memory.resident - resident_before
        figures = {
            "offered MB": sloths.offered / 1e6,
            "came": len(sloths.all),
            "closed with 4001": closed,
            "told 4001": codes.count(SLOW_READER),
            "growth MB": growth / 2**20,
            "kernel MB": memory.kernel / 2**20,
            "fullest socket KB": memory.fullest_socket / 1024,
            "p99 before ms": before * 1e3,
            "p99 during ms": during * 1e3,
        }
        said = ", ".join(f"{name} {value:.1f}" for name, value in figures.items())
        sys.stdout.write(f"{said}\n")
        assert speaker.seqs == list(range(1, len(speaker.sent_at) + 1)), said
        for reader in readers:
            assert reader.seqs == speaker.seqs, "a reader lacks something, or had it twice"
        assert growth < MAX_GROWTH_BYTES, said
        assert closed >= SLOW, said
        # Whoever reads after all, soon enough, reads why he was closed; and no other reason.
        assert set(codes) <= {SLOW_READER, None}, said
        assert codes.count(SLOW_READER) > len(replaced) / 2 > 0, said
        assert memory.kernel < MAX_KERNEL_BYTES, said
        # Beside other tests only a stall fails: readers, speaker and all who come back share a loop
        # with each other, and the machine with those.
        assert during < (2 * before if IS_FULL_SIZE else max(3 * before, 1.0)), said


@pytest.mark.timeout(240)
@pytest.mark.parametrize("asks", [False, True], ids=["replay", "sync"])
async def test_those_who_ask_for_the_past_and_never_read_it_cost_little(
    tmp_path: Path, mongo_uri: str, *, asks: bool
) -> None:
    """Fifty messages of 24 KB are more than a megabyte for each of a hundred."""
    # None is closed for not reading before the last has come, and none is told that the database is
    # away: a hundred ask it for all that at once.
    large = {
        "REALTIME__MAX_FRAME_BYTES": "65536",
        "REALTIME__OUTBOX_STALL_SECONDS": "300",
        "DATABASE__TIMEOUT_SECONDS": "90",
    }
    async with a_server(tmp_path, mongo_uri, **large) as (server, room):
        async with chat_socket(server.port, room.pandit.token, room.room_id) as speaker:
            for _ in range(PAST):
                await speaker.say("न" * 4000, content_ne="म" * 4000)
                await speaker.next("ack")
        # One who reads it all, so that what the process needs for one is there before.
        async with chat_socket(
            server.port, room.customer.token, room.room_id, query="?after=0", max_size=None
        ) as reader:
            got: list[int] = []
            while len(got) < PAST:
                got += [each["seq"] for each in (await reader.next("history"))["messages"]]
            assert got == list(range(1, PAST + 1))
        before, memory = resident_bytes(server.pid), Memory()
        watching = asyncio.create_task(memory.watch(server))
        sloths = []
        for place in range(SLOW):
            member = (room.customer, room.pandit)[place % 2]
            after = PAST if asks else 0
            sloth = await Sloth.come(server.port, room, member, after, receive_bytes=16 * 1024)
            sloths.append(sloth)
            if asks:
                await sloth.say(b'{"type":"sync","since":0,"limit":200}')
        async with asyncio.timeout(180):
            answered = 0
            while answered < SLOW:
                await asyncio.sleep(0.05)
                answered = sum(size > 0 for size in waiting_bytes(server.port))
        # All have been answered; one more is served as always.
        async with chat_socket(server.port, room.pandit.token, room.room_id) as speaker:
            await speaker.said("And now?")
        watching.cancel()
        assert _metric(await server.metrics(), r'sockets_open\{kind="chat"\}') >= SLOW
        for sloth in sloths:
            sloth.leave()
        growth = memory.resident - before
        sys.stdout.write(f"growth MB {growth / 2**20:.1f}\n")
        assert growth < MAX_GROWTH_BYTES, f"{growth / 2**20:.1f} MB"


async def talk(speaker: Speaker, count: int) -> int:
    """Say so many, evenly; returns how many were said."""
    began = time.perf_counter()
    for number in range(count):
        await asyncio.sleep(began + number / RATE - time.perf_counter())
        await speaker.say()
    await asyncio.sleep(began + count / RATE - time.perf_counter())
    return count
