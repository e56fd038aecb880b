"""The proxy's own configuration before two real servers: balance, upgrade, a death, writes."""

from __future__ import annotations

import asyncio
import dataclasses
import os
import re
import shutil
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest
from websockets.exceptions import ConnectionClosed

from server.app import RunningServer, open_server
from server.loopback import free_port
from server.settings import BusSettings, HttpSettings, Settings
from tests.redis_process import PROGRAM, RedisProcess
from tests.support import CapturingCodeSender, FakeClock, People
from tests.talk import Client, Talk, accept, book, chat_socket

NGINX = shutil.which("nginx")
CONFIGURATION = Path(__file__).resolve().parents[2] / "deploy" / "nginx.conf"
pytestmark = [
    pytest.mark.skipif(NGINX is None, reason="nginx is not installed"),
    pytest.mark.skipif(PROGRAM is None, reason="redis-server is not installed"),
]


class Stub:
    """A server that answers every request with one status, and remembers the methods."""

    def __init__(self, status: int) -> None:
        self.status = status
        self.methods: list[str] = []
        self.port = 0
        self._server: asyncio.Server | None = None

    async def start(self) -> None:
        self._server = await asyncio.start_server(self._answer, "127.0.0.1", 0)
        self.port = self._server.sockets[0].getsockname()[1]

    async def _answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        self.methods.append(head.split(b" ", 1)[0].decode())
        writer.write(
            b"HTTP/1.1 %d Told\r\nContent-Length: 0\r\nConnection: close\r\n\r\n" % self.status
        )
        await writer.drain()
        writer.close()

    def close(self) -> None:
        if self._server is not None:
            self._server.close()


class Proxy:
    """nginx with the file that is shipped; only addresses and paths differ."""

    def __init__(self, path: Path, upstreams: list[int]) -> None:
        self.port = free_port()
        text = CONFIGURATION.read_text(encoding="utf-8")
        lines = "".join(
            f"server 127.0.0.1:{port} max_fails=3 fail_timeout=10s;\n" for port in upstreams
        )
        text, replaced = re.subn(r"server server:8888 [^;]*;", lines, text)
        assert replaced == 1
        text = text.replace("listen 80;", f"listen 127.0.0.1:{self.port};")
        text = text.replace("pid /tmp/nginx.pid;", f"pid {path}/nginx.pid;")
        text = text.replace("/dev/stderr", f"{path}/error.log")
        text = text.replace("worker_rlimit_nofile 65536;", "")
        text = text.replace("worker_connections 16384;", "worker_connections 512;")
        folders = "".join(
            f"{name}_temp_path {path}/{name};\n"
            for name in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
        )
        if os.geteuid() == 0:
            # Or its workers could not write below the test's folder.
            text = f"user root;\n{text}"
        text = text.replace("http {", f"http {{\n{folders}", 1)
        self._path = path
        self._file = path / "nginx.conf"
        self._file.write_text(text, encoding="utf-8")
        self._process: asyncio.subprocess.Process | None = None

    async def start(self) -> None:
        assert NGINX
        self._process = await asyncio.create_subprocess_exec(
            NGINX, "-c", str(self._file), "-p", str(self._path), "-g", "daemon off;",
            stderr=asyncio.subprocess.DEVNULL,
        )  # fmt: skip
        async with asyncio.timeout(10):
            while True:
                assert self._process.returncode is None, (self._path / "error.log").read_text()
                try:
                    _, writer = await asyncio.open_connection("127.0.0.1", self.port)
                except OSError:
                    await asyncio.sleep(0.02)
                    continue
                writer.close()
                return

    async def stop(self) -> None:
        if self._process is not None and self._process.returncode is None:
            self._process.terminate()
            await self._process.wait()


@dataclass
class Site:
    """Two servers behind a proxy."""

    servers: list[RunningServer]
    endings: list[AsyncExitStack]
    proxy: Proxy
    talk: Talk


@pytest.fixture
async def site(settings: Settings, clock: FakeClock, tmp_path: Path) -> AsyncIterator[Site]:
    redis = RedisProcess(tmp_path)
    await redis.start()
    joined = dataclasses.replace(
        settings,
        bus=BusSettings(redis_url=redis.url),
        http=HttpSettings(port=0, trusted_proxies=("127.0.0.1",)),
    )
    async with AsyncExitStack() as stack:
        stack.push_async_callback(redis.kill)
        servers, endings = [], []
        for _ in range(2):
            ending = await stack.enter_async_context(AsyncExitStack())
            servers.append(
                await ending.enter_async_context(
                    open_server(joined, clock=clock, sender=CapturingCodeSender())
                )
            )
            endings.append(ending)
        people = People(servers[0], stack)
        customer, pandit = await people.customer(), await people.pandit()
        booking_id = await book(customer, pandit)
        await accept(pandit, booking_id)
        rooms = (await customer.api.get("/api/chat/rooms/")).raise_for_status().json()["results"]
        proxy = Proxy(tmp_path, [server.port for server in servers])
        await proxy.start()
        stack.push_async_callback(proxy.stop)
        talk = Talk(customer, pandit, booking_id, rooms[0]["id"], proxy.port)
        yield Site(servers, endings, proxy, talk)
        await servers[0].store.drop()


def sockets_of(server: RunningServer) -> int:
    """Open chat sockets, by the server's own figure."""
    found = re.search(
        r'^sockets_open\{kind="chat"\} (\d+)',
        server.services.metrics.exposition().decode(),
        re.MULTILINE,
    )
    return int(found[1]) if found else 0


async def test_sockets_are_spread_and_clients_of_a_dead_server_come_back(site: Site) -> None:
    talk = site.talk
    async with AsyncExitStack() as stack:
        clients = [
            await stack.enter_async_context(
                talk.socket(talk.customer if number % 2 else talk.pandit)
            )
            for number in range(12)
        ]
        assert [sockets_of(server) for server in site.servers] == [6, 6]
        ack = await clients[0].said("who hears this?")
        for client in clients[1:]:
            await client.where(lambda frame, ack=ack: frame.get("id") == ack["id"])

        await site.endings[1].aclose()
        ended = [client for client in clients if not await lives(client)]
        assert len(ended) == 6
        assert {client.connection.close_code for client in ended} <= {1001, 4000, 1006}
        # Each comes back by the same address, at the first try, and misses nothing.
        for number in range(6):
            person = talk.customer if number % 2 else talk.pandit
            back = await stack.enter_async_context(
                chat_socket(site.proxy.port, person.access, talk.room_id, query="?since=1")
            )
            history = await back.next("history")
            assert ack["id"] in {message["id"] for message in history["messages"]}
        assert sockets_of(site.servers[0]) == 12
    async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{site.proxy.port}") as client:
        for _ in range(10):
            assert (await client.get("/healthz")).status_code == 200


async def lives(client: Client) -> bool:
    """Whether its server still answers it."""
    try:
        await client.quiet()
    except ConnectionClosed:
        return False
    return True


async def test_only_what_reads_is_asked_of_another_server(tmp_path: Path) -> None:
    full, free = Stub(503), Stub(200)
    await full.start()
    await free.start()
    proxy = Proxy(tmp_path, [full.port, free.port])
    await proxy.start()
    try:
        address = f"http://127.0.0.1:{proxy.port}/api/anything/"
        async with httpx.AsyncClient() as client:
            for _ in range(4):
                assert (await client.get(address)).status_code == 200
            assert full.methods[:1] == ["GET"]
            seen = len(full.methods)
            statuses: Counter[int] = Counter()
            for method in ("POST", "PATCH", "PUT", "DELETE") * 2:
                answer = await client.request(method, address, content=b"{}")
                statuses[answer.status_code] += 1
        # A write stays where it was sent, and the answer is that server's.
        refused = len(full.methods) - seen
        assert statuses[503] == refused
        assert statuses[200] == 8 - refused
        assert free.methods.count("GET") == 4
        assert len(free.methods) == 4 + 8 - refused
    finally:
        await proxy.stop()
        full.close()
        free.close()


async def test_the_server_itself_says_how_large_an_upload_may_be(site: Site) -> None:
    address = f"http://127.0.0.1:{site.proxy.port}/api/chat/attachments/"
    bearer = {"Authorization": f"Bearer {site.talk.customer.access}"}
    async with httpx.AsyncClient(headers=bearer, timeout=60) as client:
        for size in (HttpSettings().max_upload_bytes + 1, 12_000_000):
            answer = await client.post(
                address, data={"room_id": site.talk.room_id}, files={"file": ("a.png", bytes(size))}
            )
            assert (answer.status_code, answer.json()["type"]) == (413, "too-large")


async def test_a_write_to_a_server_that_is_not_there_goes_to_the_other(tmp_path: Path) -> None:
    free = Stub(200)
    await free.start()
    proxy = Proxy(tmp_path, [free_port(), free.port])
    await proxy.start()
    try:
        async with httpx.AsyncClient() as client:
            for method in ("POST", "PATCH", "PUT", "DELETE", "GET"):
                answer = await client.request(
                    method, f"http://127.0.0.1:{proxy.port}/api/x/", content=b"{}"
                )
                assert answer.status_code == 200
        assert free.methods == ["POST", "PATCH", "PUT", "DELETE", "GET"]
    finally:
        await proxy.stop()
        free.close()
