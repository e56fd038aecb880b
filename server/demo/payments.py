"""The demo's payments: the sandbox of the gateways as a child process, and settings that use it."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import sys
import tomllib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Final

import structlog

from server.loopback import free_port
from server.settings import Settings
from server.store.embedded import die_with_parent
from server.tasks import end_all

_log: Final = structlog.get_logger(__name__)
_HOST: Final = "127.0.0.1"
_START_SECONDS: Final = 60.0
_STOP_SECONDS: Final = 5.0
_RESTART_SECONDS: Final = (0.2, 1.0, 2.0, 5.0, 30.0)
_LONG_RUN_SECONDS: Final = 60.0


class SandboxNotStarted(OSError):
    """The sandbox does not answer."""


@asynccontextmanager
async def payment_sandbox(settings: Settings) -> AsyncIterator[tuple[Settings, str]]:
    """Run the sandbox beside what the context does; gives settings that point at it, and its URL.

    A gateway that is enabled already stays as it is. Port 0 of the server becomes a free one,
    because the sandbox has to know where returns and webhooks go.

    Raises
    ------
    SandboxNotStarted
        If it does not answer in time.
    """
    if settings.http.port == 0:
        settings = dataclasses.replace(
            settings, http=dataclasses.replace(settings.http, port=free_port())
        )
    folder = Path(settings.database.embedded_path).parent / "sandbox"
    child = _Child(folder, free_port(), f"http://{_HOST}:{settings.http.port}")
    process = await child.start()
    keeper = asyncio.create_task(child.keep(process), name="payment-sandbox")
    try:
        told = tomllib.loads((folder / "settings.toml").read_text(encoding="utf-8"))
        yield pointed_at(settings, told), f"http://{_HOST}:{child.port}/"
    finally:
        await end_all([keeper])
        await child.stop()


def pointed_at(settings: Settings, told: dict[str, dict[str, Any]]) -> Settings:
    """Give the gateways that nobody has enabled the values that the sandbox tells."""
    sections = {
        name: dataclasses.replace(getattr(settings, name), **values)
        for name, values in told.items()
        if not getattr(settings, name).enabled
    }
    return dataclasses.replace(settings, **sections)


class _Child:
    """The process, always on the same port; started again when it ends."""

    def __init__(self, folder: Path, port: int, site: str) -> None:
        self.port = port
        self._folder = folder
        self._site = site
        self._process: asyncio.subprocess.Process | None = None

    async def start(self) -> asyncio.subprocess.Process:
        """Start it and return when it answers."""
        process = self._process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "server.sandbox",
            "--port", str(self.port),
            "--site", self._site,
            "--write-settings", str(self._folder),
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            # A session of its own: Ctrl-C reaches the demo, which stops it last.
            start_new_session=True,
            preexec_fn=die_with_parent if sys.platform == "linux" else None,
        )  # fmt: skip
        if process.stdout is None:
            raise SandboxNotStarted
        try:
            async with asyncio.timeout(_START_SECONDS):
                line = await process.stdout.readline()
        except TimeoutError:
            line = b""
        if not line:
            await self.stop()
            raise SandboxNotStarted("the payment sandbox does not start")
        return process

    async def keep(self, process: asyncio.subprocess.Process) -> None:
        """Start it again whenever it ends, each time later when it ends soon."""
        loop, soon = asyncio.get_running_loop(), 0
        while True:
            began = loop.time()
            status = await process.wait()
            soon = 0 if loop.time() - began > _LONG_RUN_SECONDS else soon + 1
            _log.error("payment_sandbox_ended", status=status, restarts=soon)
            pause = _RESTART_SECONDS[min(soon, len(_RESTART_SECONDS)) - 1]
            await asyncio.sleep(pause if soon else 0)
            with contextlib.suppress(SandboxNotStarted):
                process = await self.start()

    async def stop(self) -> None:
        """Return when it has ended, by force if it must be."""
        process = self._process
        if process is None or process.returncode is not None:
            return
        with contextlib.suppress(ProcessLookupError):
            process.terminate()
        try:
            await asyncio.wait_for(process.wait(), _STOP_SECONDS)
        except TimeoutError:
            with contextlib.suppress(ProcessLookupError):
                process.kill()
            await process.wait()
