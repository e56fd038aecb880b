"""A Redis server of one's own, to kill, freeze and start again."""

from __future__ import annotations

import asyncio
import shutil
import signal
import socket
from pathlib import Path

PROGRAM = shutil.which("redis-server")


class RedisProcess:
    """Runs ``redis-server`` without persistence, always on the same port."""

    def __init__(self, path: Path) -> None:
        self._path = path
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


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port
