"""The servers that are measured, each as a process of its own."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from bench.realtime.dialects import Dialect, PlainDialect, SocketIoDialect
from bench.realtime.town import PEER_MESSAGES, SECRET, Seat
from server.loopback import free_port

ROOT: Final = Path(__file__).resolve().parents[2]
PEERS: Final = Path(__file__).resolve().parent / "peers"
DATABASE: Final = "bench"
_START_SECONDS: Final = 60.0
_STOP_SECONDS: Final = 40.0


@dataclass(frozen=True, slots=True)
class Contender:
    """A server by name. ``command`` has ``{port}`` and ``{ping}`` to fill in."""

    name: str
    label: str
    command: tuple[str, ...]
    dialect: Dialect
    is_ours: bool = False
    needs_redis: bool = False
    needs_postgres: bool = False

    def token(self, seat: Seat) -> str:
        """The token that this server believes."""
        return seat.token if self.is_ours else seat.peer_token


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What all servers share: databases, Redis, interpreter of the peers, folder for their logs.

    ``redis_url`` and ``postgres_host`` are empty when nobody needs them.
    """

    mongo_uri: str
    redis_url: str
    postgres_host: str
    peer_python: Path
    folder: Path
    ping_seconds: float


@dataclass(slots=True)
class Process:
    """A running server."""

    process: subprocess.Popen[bytes]
    port: int
    log: Path

    @property
    def pids(self) -> tuple[int, ...]:
        """The processes that are measured."""
        return (self.process.pid,)

    async def stop(self) -> int:
        """Ask it to end, wait, and return its status."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
        try:
            return await asyncio.to_thread(self.process.wait, _STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self.process.kill()
            return self.process.wait()


_UVICORN: Final = (
    *("-m", "uvicorn", "--host", "127.0.0.1", "--port", "{port}", "--backlog", "2048"),
    *("--loop", "uvloop", "--log-level", "warning"),
    *("--ws-ping-interval", "{ping}", "--ws-ping-timeout", "40"),
)
CONTENDERS: Final = (
    Contender(
        "pandityatra",
        "PanditYatra",
        ("-m", "server", "serve", "--port", "{port}"),
        PlainDialect(),
        is_ours=True,
    ),
    Contender("tornado", "Tornado write_message", ("tornado_app.py", "{port}"), PlainDialect()),
    Contender("socketio", "python-socketio", (*_UVICORN, "socketio_app:app"), SocketIoDialect()),
    Contender(
        "channels-uvicorn",
        "Channels, uvicorn",
        (*_UVICORN, "channels_app:application"),
        PlainDialect(),
        needs_redis=True,
    ),
    Contender(
        "channels-postgres",
        "Channels, PostgreSQL",
        (*_UVICORN, "channels_app:application"),
        PlainDialect(),
        needs_redis=True,
        needs_postgres=True,
    ),
    Contender(
        "channels-daphne",
        "Channels, Daphne",
        (
            *("-m", "daphne", "-b", "127.0.0.1", "-p", "{port}", "-v", "0"),
            *("--ping-interval", "{ping:.0f}", "--ping-timeout", "60"),
            *("--websocket_connect_timeout", "120", "channels_app:application"),
        ),
        PlainDialect(),
        needs_redis=True,
    ),
)


@asynccontextmanager
async def running(
    contender: Contender, around: Surroundings, extra: Mapping[str, str] | None = None
) -> AsyncIterator[Process]:
    """Start a server on a free port and stop it in the end."""
    process = await start(contender, around, extra)
    try:
        yield process
    finally:
        await process.stop()


async def start(
    contender: Contender,
    around: Surroundings,
    extra: Mapping[str, str] | None = None,
    port: int = 0,
) -> Process:
    """Start a server and return when it accepts connections; whoever calls stops it."""
    port = port or free_port()
    python = sys.executable if contender.is_ours else str(around.peer_python)
    command = [part.format(port=port, ping=around.ping_seconds) for part in contender.command]
    log = around.folder / f"{contender.name}-{port}.log"
    with log.open("ab") as out:
        process = subprocess.Popen(  # noqa: ASYNC220  # forks once, before anything is measured
            [python, *command],
            cwd=ROOT if contender.is_ours else PEERS,
            env={**os.environ, **_variables(contender, around), **(extra or {})},
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=out,
        )
    started = Process(process, port, log)
    loop = asyncio.get_running_loop()
    end = loop.time() + _START_SECONDS
    while True:
        try:
            _, writer = await asyncio.open_connection("127.0.0.1", port)
        except OSError:
            if process.poll() is not None or loop.time() > end:
                await started.stop()
                raise RuntimeError(
                    f"{contender.name} does not start:\n{log.read_text()[-3000:]}"
                ) from None
            await asyncio.sleep(0.1)
        else:
            writer.close()
            return started


async def copying(around: Surroundings, people: int) -> asyncio.subprocess.Process:
    """Start to copy the first people and their rooms to PostgreSQL."""
    (contender,) = (each for each in CONTENDERS if each.needs_postgres)
    return await asyncio.create_subprocess_exec(
        *(str(around.peer_python), "orm_settings.py", str(people)),
        cwd=PEERS,
        env={**os.environ, **_variables(contender, around)},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )


def _variables(contender: Contender, around: Surroundings) -> dict[str, str]:
    if not contender.is_ours:
        own = {"BENCH_POSTGRES": around.postgres_host} if contender.needs_postgres else {}
        return {
            **own,
            "BENCH_MONGO": around.mongo_uri,
            "BENCH_DATABASE": DATABASE,
            "BENCH_MESSAGES": PEER_MESSAGES,
            "BENCH_REDIS": around.redis_url,
            "BENCH_KEY": SECRET,
            "BENCH_PING_SECONDS": str(around.ping_seconds),
            "PYTHONDONTWRITEBYTECODE": "1",
        }
    values = {
        "DATABASE__URI": around.mongo_uri,
        "DATABASE__NAME": DATABASE,
        "AUTH__SECRET": SECRET,
        "FILES__PATH": str(around.folder / "files"),
        "REALTIME__PING_SECONDS": str(around.ping_seconds),
        # One address and two people stand for a whole town here.
        "REALTIME__CONNECTIONS_PER_USER": "100000",
        "REALTIME__CONNECTS_PER_SECOND": "1000000",
        "REALTIME__CONNECT_BURST": "1000000",
        "REALTIME__MESSAGES_PER_SECOND": "1000000",
        "REALTIME__MESSAGE_BURST": "1000000",
    }
    return {f"PANDITYATRA_{key}": value for key, value in values.items()}
