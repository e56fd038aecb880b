"""Two server processes behind one port, with a real Redis: chat, deaths, replacement, the end."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import socket
import sys
import time
import uuid
from collections import Counter
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import pytest
from prometheus_client.parser import text_string_to_metric_families
from websockets.exceptions import ConnectionClosed, InvalidHandshake

from server.loopback import free_port
from server.paths import data_path
from server.processes import ChildrenKeepEndingError, ProcessGroup, bind_group
from tests.integration.test_kill_during_chat import PASSWORD, Town
from tests.redis_process import PROGRAM, RedisProcess
from tests.talk import Client, chat_socket

pytestmark = [
    pytest.mark.timeout(300),
    pytest.mark.skipif(PROGRAM is None, reason="redis-server is not installed"),
    pytest.mark.skipif(sys.platform != "linux", reason="reads /proc"),
]
OUT_SECONDS = 5.0


async def until(is_so: Callable[[], bool], seconds: float = 60.0) -> None:
    async with asyncio.timeout(seconds):
        while not is_so():  # noqa: ASYNC110  # there is nothing to wait on
            await asyncio.sleep(0.02)


@dataclass
class Parent:
    """``python -m server serve --processes 2`` and what it started."""

    path: Path
    port: int
    redis: RedisProcess
    process: asyncio.subprocess.Process | None = None
    seen: set[int] = field(default_factory=set)

    @property
    def environment(self) -> dict[str, str]:
        return {
            **{name: value for name, value in os.environ.items() if "PANDITYATRA" not in name},
            "PANDITYATRA_ENV": "test",
            "PANDITYATRA_HTTP__PORT": str(self.port),
            "PANDITYATRA_HTTP__DRAIN_SECONDS": "10",
            "PANDITYATRA_DATABASE__EMBEDDED_PATH": str(self.path / "mongo"),
            "PANDITYATRA_BUS__REDIS_URL": self.redis.url,
            "PANDITYATRA_FILES__PATH": str(self.path / "files"),
            "PANDITYATRA_REALTIME__RECONNECT_WINDOW_SECONDS": "1",
            "PANDITYATRA_REALTIME__MESSAGES_PER_SECOND": "100000",
            "PANDITYATRA_REALTIME__MESSAGE_BURST": "100000",
            "ADMIN_PASSWORD": PASSWORD,
        }

    async def run(self, *arguments: str) -> asyncio.subprocess.Process:
        with (self.path / "server.log").open("ab") as log:
            return await asyncio.create_subprocess_exec(
                sys.executable, "-m", "server", *arguments,
                cwd=data_path("config").parent, env=self.environment, stdout=log, stderr=log,
            )  # fmt: skip

    def descendants(self) -> dict[int, str]:
        """Process ids of the parent's children, with their command lines."""
        assert self.process
        found = {}
        for entry in Path("/proc").iterdir():
            if not entry.name.isdecimal():
                continue
            with contextlib.suppress(OSError):
                stat = (entry / "stat").read_text().rpartition(")")[2].split()
                if int(stat[1]) == self.process.pid and stat[0] != "Z":
                    found[int(entry.name)] = (entry / "cmdline").read_text()
        self.seen |= found.keys()
        return found

    def servers(self) -> set[int]:
        return {pid for pid, command in self.descendants().items() if "--inherited" in command}

    def count_ready(self) -> int:
        return (self.path / "server.log").read_text().count("process_ready")

    def server_of(self, client: Client) -> int:
        """Which child serves the client's connection, by the tables of the kernel."""
        transport: Any = client.connection.transport
        own = transport.get_extra_info("sockname")[1]
        inode = ""
        for line in Path("/proc/net/tcp").read_text().splitlines()[1:]:
            parts = line.split()
            local, remote = (int(parts[at].rpartition(":")[2], 16) for at in (1, 2))
            if (local, remote) == (self.port, own):
                inode = parts[9]
        for pid in self.servers():
            for link in Path(f"/proc/{pid}/fd").iterdir():
                with contextlib.suppress(OSError):
                    if os.readlink(link) == f"socket:[{inode}]":
                        return pid
        raise AssertionError("nobody serves it")


@pytest.fixture(scope="module")
async def parent(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Parent]:
    path = tmp_path_factory.mktemp("processes")
    redis = RedisProcess(path)
    await redis.start()
    made = Parent(path, free_port(), redis)
    admin = await made.run("create-admin", "--phone", "9811111111", "--name", "Admin Thapa")
    assert await admin.wait() == 0, (path / "server.log").read_text()
    made.process = await made.run("serve", "--processes", "2")
    try:
        await until(lambda: made.count_ready() == 2, 90)
        yield made
    finally:
        if made.process.returncode is None:
            made.process.kill()
            await made.process.wait()
        await redis.kill()


@pytest.fixture(scope="module")
async def town(parent: Parent) -> Town:
    town = Town(parent.port)
    await town.build()
    return town


def socket_of(parent: Parent, town: Town, who: str, query: str = "") -> Any:
    return chat_socket(parent.port, town.tokens[who], town.room_id, query=query)


@asynccontextmanager
async def apart(parent: Parent, town: Town) -> AsyncIterator[tuple[Client, Client]]:
    """Two who talk, each on a process of his own: the kernel deals them out."""
    async with AsyncExitStack() as stack:
        sita = await stack.enter_async_context(socket_of(parent, town, "Sita Sharma"))
        for _ in range(30):
            async with AsyncExitStack() as trial:
                ram = await trial.enter_async_context(socket_of(parent, town, "Ram Acharya"))
                if parent.server_of(ram) != parent.server_of(sita):
                    stack.push_async_exit(trial.pop_all())
                    yield sita, ram
                    return
        raise AssertionError("all connections went to one process")


async def test_people_on_different_processes_talk(parent: Parent, town: Town) -> None:
    async with apart(parent, town) as (sita, ram):
        for number in range(20):
            ack = await sita.said(f"question {number}")
            heard = await ram.where(lambda frame, ack=ack: frame.get("id") == ack["id"])  # type: ignore[misc]
            assert heard["seq"] == ack["seq"]
            back = await ram.said(f"answer {number}")
            heard = await sita.where(lambda frame, back=back: frame.get("id") == back["id"])  # type: ignore[misc]
            assert heard["seq"] == back["seq"] == ack["seq"] + 1


async def test_a_killed_process_comes_back_and_the_other_goes_on(
    parent: Parent, town: Town
) -> None:
    async with apart(parent, town) as (sita, ram):
        before, ready = parent.servers(), parent.count_ready()
        os.kill(parent.server_of(ram), signal.SIGKILL)
        assert (await sita.said("still here"))["seq"] > 0
        assert await ram.closed() == 1006
        await until(lambda: parent.count_ready() == ready + 1)
        assert len(parent.servers()) == 2
        assert len(parent.servers() & before) == 1
    async with apart(parent, town) as (sita, ram):
        ack = await sita.said("both are here again")
        await ram.where(lambda frame: frame.get("id") == ack["id"])


async def scraped(parent: Parent) -> tuple[frozenset[int], float]:
    """Whose memory a scrape tells, and how many chats are open."""
    async with httpx.AsyncClient() as client:
        answer = await client.get(f"http://127.0.0.1:{parent.port}/metrics")
    samples = [
        sample
        for family in text_string_to_metric_families(answer.raise_for_status().text)
        for sample in family.samples
    ]
    memory = [each for each in samples if each.name == "process_resident_memory_bytes"]
    sockets = {each.labels["kind"]: each.value for each in samples if each.name == "sockets_open"}
    return frozenset(int(each.labels["pid"]) for each in memory), sockets["chat"]


async def until_all_tell(parent: Parent, chats: float) -> None:
    """Each scrape asks a process of the kernel's choice; those that leave still count."""
    async with asyncio.timeout(60):
        told = set[tuple[frozenset[int], float]]()
        while told != {(frozenset(parent.servers()), chats)}:
            told = {await scraped(parent) for _ in range(12)}


async def test_each_process_tells_the_figures_of_all_that_run(parent: Parent, town: Town) -> None:
    async with apart(parent, town) as (_, ram):
        await until_all_tell(parent, 2)
        ready = parent.count_ready()
        os.kill(parent.server_of(ram), signal.SIGKILL)
        await until(lambda: parent.count_ready() == ready + 1)
        await until_all_tell(parent, 1)


class Device:
    """Talks, comes back whenever it is cut off, and keeps what it has seen."""

    def __init__(self, parent: Parent, town: Town, who: str) -> None:
        self.parent, self.town, self.who = parent, town, who
        self.acked: list[str] = []
        self.seen: dict[int, str] = {}
        self.cursor = 0
        self.longest_out = 0.0
        self.reconnects = 0
        self._waiting: dict[str, str] = {}

    async def live(self, stop: asyncio.Event) -> None:
        out_since = time.monotonic()
        is_first = True
        while not (stop.is_set() and not self._waiting):
            query = f"?since={self.cursor}" if self.cursor else ""
            try:
                async with socket_of(self.parent, self.town, self.who, query) as client:
                    if not is_first:
                        self.longest_out = max(self.longest_out, time.monotonic() - out_since)
                        self.reconnects += 1
                    is_first = False
                    await self._talk(client, stop)
            except (ConnectionClosed, InvalidHandshake, OSError, EOFError):
                pass
            out_since = time.monotonic()
            await asyncio.sleep(0.05)

    async def _talk(self, client: Client, stop: asyncio.Event) -> None:
        reading = asyncio.create_task(self._read(client))
        try:
            for cid, text in tuple(self._waiting.items()):
                await client.say(text, cid=cid)
            while not reading.done() and not (stop.is_set() and not self._waiting):
                if not stop.is_set() and len(self._waiting) < 8:
                    cid = str(uuid.uuid4())
                    self._waiting[cid] = f"{self.who} says {cid}"
                    await client.say(self._waiting[cid], cid=cid)
                await asyncio.wait({reading}, timeout=0.2)
            if reading.done():
                await reading
        finally:
            reading.cancel()
            await asyncio.gather(reading, return_exceptions=True)

    async def _read(self, client: Client) -> None:
        while True:
            frame = await client.receive()
            if frame["type"] == "ack":
                if self._waiting.pop(frame["cid"], None) is not None:
                    self.acked.append(frame["cid"])
            elif frame["type"] == "error":
                # What was refused is said again on the next connection.
                raise ConnectionError(frame["code"])
            elif frame["type"] == "message":
                self._see(frame)
            elif frame["type"] == "history":
                for message in frame["messages"]:
                    self._see(message)
                self.cursor = max(self.cursor, frame["to"])

    def _see(self, message: dict[str, Any]) -> None:
        self.seen[message["seq"]] = message["cid"]
        if message["seq"] == self.cursor + 1:
            self.cursor = message["seq"]


async def test_a_rolling_restart_loses_nothing_and_nobody_is_out_for_long(
    parent: Parent, town: Town
) -> None:
    assert parent.process
    stop = asyncio.Event()
    devices = [
        Device(parent, town, who) for who in ("Sita Sharma", "Ram Acharya") for _ in range(3)
    ]
    living = asyncio.gather(*(device.live(stop) for device in devices))
    try:
        await until(lambda: all(device.acked for device in devices))
        before, ready = parent.servers(), parent.count_ready()
        parent.process.send_signal(signal.SIGHUP)
        await until(lambda: parent.count_ready() == ready + 2, 120)
        await until(lambda: not parent.servers() & before)
        assert len(parent.servers()) == 2
        counts = [len(device.acked) for device in devices]
        await until(lambda: all(len(d.acked) > n for d, n in zip(devices, counts, strict=True)))
        stop.set()
        await asyncio.wait_for(living, 30)
    finally:
        living.cancel()
        await asyncio.gather(living, return_exceptions=True)

    rows = await town.history()
    cids = Counter(str(row["cid"]) for row in rows)
    assert max(cids.values()) == 1
    acked = {cid for device in devices for cid in device.acked}
    assert acked <= cids.keys()
    assert [row["sequence"] for row in rows] == list(range(1, len(rows) + 1))
    stored = {row["sequence"]: row["cid"] for row in rows}
    for device in devices:
        assert device.reconnects >= 1
        assert device.longest_out < OUT_SECONDS
        # What came to it has the number that the database says.
        assert device.seen.items() <= stored.items()


async def test_new_connections_are_spread(parent: Parent, town: Town) -> None:
    async with AsyncExitStack() as stack:
        counted: Counter[int] = Counter()
        who = ("Sita Sharma", "Ram Acharya")
        for number in range(18):
            client = await stack.enter_async_context(socket_of(parent, town, who[number % 2]))
            counted[parent.server_of(client)] += 1
    # Of 18 fair coins fewer than two fall on one side once in 7,000 times.
    assert len(counted) == 2
    assert min(counted.values()) >= 2


async def test_sigterm_ends_everything_in_time(parent: Parent, town: Town) -> None:
    assert parent.process
    parent.descendants()
    async with apart(parent, town) as (sita, ram):
        await sita.said("the last word")
        began = time.monotonic()
        parent.process.send_signal(signal.SIGTERM)
        assert set(await asyncio.gather(sita.closed(), ram.closed())) == {4000}
        assert await asyncio.wait_for(parent.process.wait(), 30) == 0
    assert time.monotonic() - began < 15
    left = [pid for pid in parent.seen if Path(f"/proc/{pid}").exists()]  # noqa: ASYNC240
    assert left == []
    with pytest.raises(httpx.ConnectError):
        async with httpx.AsyncClient() as client:
            await client.get(f"http://127.0.0.1:{parent.port}/healthz")


async def test_nothing_outlives_a_parent_that_is_killed(parent: Parent) -> None:
    ready = parent.count_ready()
    parent.process = await parent.run("serve", "--processes", "2")
    await until(lambda: parent.count_ready() == ready + 2, 90)
    children = parent.descendants()
    assert len(children) == 3, "two servers and the database"
    parent.process.kill()
    await parent.process.wait()
    await until(lambda: not any(Path(f"/proc/{pid}").exists() for pid in children), 30)


async def test_several_processes_need_redis(tmp_path: Path) -> None:
    made = Parent(tmp_path, free_port(), RedisProcess(tmp_path))
    environment = {**made.environment, "PANDITYATRA_BUS__REDIS_URL": ""}
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "server", "serve", "--processes", "2",
        cwd=data_path("config").parent, env=environment, stdout=asyncio.subprocess.PIPE,
    )  # fmt: skip
    out, _ = await process.communicate()
    assert process.returncode == 2
    assert b"bus.redis_url" in out


@pytest.mark.logs_errors("process_ended", "process_not_ready")
async def test_children_that_end_at_once_end_everything() -> None:
    groups = bind_group("127.0.0.1", 0, 2)
    group = ProcessGroup([sys.executable, "-c", "raise SystemExit(3)"], {}, groups, 1.0)
    try:
        with pytest.raises(ChildrenKeepEndingError):
            await asyncio.wait_for(group.run(), 60)
    finally:
        for each in groups:
            for listening in each:
                listening.close()


async def test_all_groups_listen_on_one_free_port() -> None:
    groups = bind_group("127.0.0.1", 0, 3)
    ports = {listening.getsockname()[1] for group in groups for listening in group}
    assert len(ports) == 1
    assert all(isinstance(listening, socket.socket) for group in groups for listening in group)
    for group in groups:
        for listening in group:
            listening.close()
