"""Redis servers of one's own, to kill, freeze and start again: one, or a cluster of several."""

from __future__ import annotations

import asyncio
import re
import shutil
import signal
import subprocess
from contextlib import AsyncExitStack
from pathlib import Path

from redis.asyncio import Redis

from server.loopback import free_port

PROGRAM = shutil.which("redis-server")


class RedisProcess:
    """Runs ``redis-server`` without persistence, always on the same port."""

    def __init__(self, path: Path, *options: str) -> None:
        self._path = path
        self._options = options
        self._process: asyncio.subprocess.Process | None = None
        self.port = free_port()

    @property
    def url(self) -> str:
        return f"redis://127.0.0.1:{self.port}/0"

    async def start(self) -> None:
        assert PROGRAM, "redis-server is not installed"
        self._process = process = await asyncio.create_subprocess_exec(
            PROGRAM,
            *("--port", str(self.port), "--bind", "127.0.0.1", "--dir", str(self._path)),
            *("--save", "", "--appendonly", "no"),
            *self._options,
            stdout=asyncio.subprocess.PIPE,
        )
        assert process.stdout
        async with asyncio.timeout(20):
            async for line in process.stdout:
                if b"Ready to accept connections" in line:
                    return
        raise AssertionError("redis-server ended before it was ready")

    async def kill(self) -> None:
        if self._process is not None:
            self._process.kill()
            await self._process.communicate()
            self._process = None

    def freeze(self) -> None:
        self._signal(signal.SIGSTOP)

    def thaw(self) -> None:
        self._signal(signal.SIGCONT)

    def _signal(self, number: signal.Signals) -> None:
        assert self._process
        self._process.send_signal(number)


class RedisClusterProcesses:
    """A cluster of servers without replicas; its slots are dealt out in equal parts."""

    def __init__(self, path: Path, size: int) -> None:
        self.nodes: list[RedisProcess] = []
        for number in range(size):
            folder = path / f"node-{number}"
            folder.mkdir()
            self.nodes.append(
                RedisProcess(
                    folder,
                    *("--cluster-enabled", "yes", "--cluster-port", str(free_port())),
                    *("--cluster-node-timeout", "2000"),
                )
            )

    @property
    def url(self) -> str:
        return f"redis+cluster://127.0.0.1:{self.nodes[0].port}/0"

    async def start(self) -> None:
        """Start the nodes, let them meet, and wait until all of them see every slot served."""
        await asyncio.gather(*(node.start() for node in self.nodes))
        async with AsyncExitStack() as stack:
            clients = [
                await stack.enter_async_context(Redis.from_url(node.url)) for node in self.nodes
            ]
            bounds = [16384 * number // len(clients) for number in range(len(clients) + 1)]
            for client, first, after in zip(clients, bounds, bounds[1:], strict=False):
                await client.execute_command("CLUSTER", "ADDSLOTSRANGE", first, after - 1)
            for node in self.nodes[1:]:
                bus_port = node._options[node._options.index("--cluster-port") + 1]
                await clients[0].execute_command(
                    "CLUSTER", "MEET", "127.0.0.1", node.port, bus_port
                )
            await self._settled(clients)

    async def move_slot(self, slot: int, source: int, target: int) -> None:
        """Give an empty slot to another node."""
        ids = []
        for number in (source, target):
            async with Redis.from_url(self.nodes[number].url) as client:
                ids.append((await client.execute_command("CLUSTER", "MYID")).decode())
        steps = ((target, "IMPORTING", ids[0]), (source, "MIGRATING", ids[1]))
        for number, word, other in steps:
            async with Redis.from_url(self.nodes[number].url) as client:
                await client.execute_command("CLUSTER", "SETSLOT", slot, word, other)
        for number in (target, source):
            async with Redis.from_url(self.nodes[number].url) as client:
                await client.execute_command("CLUSTER", "SETSLOT", slot, "NODE", ids[1])

    async def kill(self) -> None:
        await asyncio.gather(*(node.kill() for node in self.nodes))

    async def _settled(self, clients: list[Redis]) -> None:
        async with asyncio.timeout(30):
            for client in clients:
                while True:
                    info = bytes(await client.execute_command("CLUSTER", "INFO"))
                    known = f"cluster_known_nodes:{len(clients)}\r\n".encode()
                    if b"cluster_state:ok" in info and known in info:
                        break
                    await asyncio.sleep(0.05)


def cluster_fault() -> str:
    """Why there can be no cluster with sharded channels here; empty when there can."""
    if PROGRAM is None:
        return "redis-server is not installed"
    told = subprocess.run([PROGRAM, "--version"], capture_output=True, text=True)  # noqa: S603
    text = told.stdout
    found = re.search(r"v=(\d+)", text)
    is_new = found is not None and int(found[1]) >= 7
    return "" if is_new else "redis-server is older than 7: no sharded channels"
