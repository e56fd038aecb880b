"""The demo's first model: trained in a process of its own while the demo is answering already."""

from __future__ import annotations

import asyncio
import contextlib
import os
import sys
import tempfile
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import IO, Final

import structlog

from server.paths import data_path
from server.settings import Settings
from server.store.embedded import die_with_parent
from server.tasks import end_all

_log: Final = structlog.get_logger(__name__)
_STOP_SECONDS: Final = 5.0
_LAST_WORDS: Final = 2000
_PRIORITY: Final = 10
"""Nobody who looks at the demo should have to wait for it."""


def needs_model(settings: Settings) -> bool:
    """Whether models are wanted and none was ever published here."""
    recommender = settings.recommender
    return recommender.enabled and not (Path(recommender.path) / "current").exists()


def source_of(settings: Settings) -> str:
    """The address of the demo's database, with the database's name in it."""
    uri, name = settings.database.uri, settings.database.name
    if not uri:
        # Written by the keeper of the embedded server for programs like this one.
        path = Path(settings.database.embedded_path)
        return path.with_name(path.name + ".uri").read_text(encoding="ascii").strip()
    base, mark, options = uri.partition("?")
    return f"{base.rstrip('/')}/{name}{mark}{options}"


@asynccontextmanager
async def first_model(
    settings: Settings, on_published: Callable[[], Awaitable[None]]
) -> AsyncIterator[None]:
    """Train beside what the context does, and call ``on_published`` when the model is there.

    A training that fails is logged and changes nothing: the rules serve. One that is still running
    in the end is ended.
    """
    task = asyncio.create_task(_train(settings, on_published), name="first-model")
    try:
        yield
    finally:
        await end_all([task])


async def _train(settings: Settings, on_published: Callable[[], Awaitable[None]]) -> None:
    config = data_path("config")
    with tempfile.TemporaryDirectory() as folder:
        festivals = Path(folder, "festivals.json")
        with await asyncio.to_thread(festivals.open, "wb") as file:
            is_told = await _ran(
                file,
                "kundali", "festivals", "--json", "--pujas", str(config / "festivals.toml"),
            )  # fmt: skip
        is_trained = is_told and await _ran(
            asyncio.subprocess.DEVNULL,
            "recsys.train",
            "--source", source_of(settings),
            "--config", str(config / "recsys-demo.toml"),
            "--festivals", str(festivals),
            "--out", settings.recommender.path,
            "--publish", "--quiet", "--reason", "the first model of the demo",
        )  # fmt: skip
    if is_trained:
        await on_published()


async def _ran(output: int | IO[bytes], module: str, *arguments: str) -> bool:
    """Run a module in a process of its own; whether it ended well."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", module, *arguments,
        stdout=output,
        stderr=asyncio.subprocess.PIPE,
        preexec_fn=die_with_parent if sys.platform == "linux" else None,
    )  # fmt: skip
    with contextlib.suppress(ProcessLookupError):
        os.setpriority(os.PRIO_PROCESS, process.pid, _PRIORITY)
    try:
        _, last_words = await process.communicate()
    finally:
        await _ended(process)
    if process.returncode == 0:
        return True
    said = last_words.decode(errors="replace")[-_LAST_WORDS:]
    _log.error("first_model_not_trained", step=module, status=process.returncode, said=said)
    return False


async def _ended(process: asyncio.subprocess.Process) -> None:
    """Return when the process has ended, by force if it must be."""
    if process.returncode is not None:
        return
    with contextlib.suppress(ProcessLookupError):
        process.terminate()
    try:
        await asyncio.wait_for(process.wait(), _STOP_SECONDS)
    except TimeoutError:
        with contextlib.suppress(ProcessLookupError):
            process.kill()
        await process.wait()
