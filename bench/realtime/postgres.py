"""A PostgreSQL of our own for the peer that is built on one, with its default settings.

Its programs refuse to run as root, so a bench that runs as root runs them as another user.
"""

from __future__ import annotations

import asyncio
import os
import pwd
import shutil
import signal
import subprocess
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Final

_PLACES: Final = Path("/usr/lib/postgresql")
_USERS: Final = ("postgres", "nobody")
_WAIT_SECONDS: Final = 20.0


def programs() -> Path | None:
    """The folder of ``initdb`` and ``postgres``, the newest there is; None without one."""
    on_path = shutil.which("initdb")
    if on_path:
        return Path(on_path).resolve().parent
    found = sorted(
        _PLACES.glob("*/bin/initdb"), key=lambda each: float(each.parts[-3]), reverse=True
    )
    return found[0].parent if found else None


def _other_user() -> dict[str, Any]:
    """Arguments for ``subprocess`` that leave root."""
    if os.geteuid() != 0:
        return {}
    for name in _USERS:
        try:
            user = pwd.getpwnam(name)
        except KeyError:
            continue
        return {"user": user.pw_uid, "group": user.pw_gid, "extra_groups": []}
    raise RuntimeError(f"PostgreSQL does not run as root, and there is no user of {_USERS}")


@asynccontextmanager
async def postgres(folder: Path) -> AsyncIterator[str]:
    """Run an empty server; yields the folder of its socket, which clients take for the host.

    Raises ``RuntimeError`` where it does not start; ``programs()`` must have found it.
    """
    binaries, user = programs(), _other_user()
    assert binaries is not None
    with tempfile.TemporaryDirectory(prefix="bench-pg-", ignore_cleanup_errors=True) as own:
        if user:
            os.chown(own, user["user"], user["group"])
        data, log = Path(own, "data"), folder / "postgres.log"
        common: dict[str, Any] = {"cwd": own, "stdin": subprocess.DEVNULL, **user}
        with log.open("wb") as out:
            subprocess.run(  # noqa: ASYNC221  # once, before anything is measured
                [binaries / "initdb", "-D", data, "-U", "bench", "-A", "trust", "-E", "UTF8"],
                check=True,
                stdout=out,
                stderr=out,
                **common,
            )
            process = subprocess.Popen(  # noqa: ASYNC220  # once, before anything is measured
                [binaries / "postgres", "-D", data, "-k", own, "-c", "listen_addresses="],
                stdout=out,
                stderr=out,
                **common,
            )
        try:
            await _until_ready(binaries, own, process, log)
            yield own
        finally:
            process.send_signal(signal.SIGINT)  # Fast: it does not wait for clients.
            await asyncio.to_thread(process.wait, _WAIT_SECONDS)


async def _until_ready(
    binaries: Path, own: str, process: subprocess.Popen[bytes], log: Path
) -> None:
    end = asyncio.get_running_loop().time() + _WAIT_SECONDS
    while True:
        check = await asyncio.create_subprocess_exec(
            *(str(binaries / "pg_isready"), "-q", "-h", own), stdout=asyncio.subprocess.DEVNULL
        )
        if await check.wait() == 0:
            return
        if process.poll() is not None or asyncio.get_running_loop().time() > end:
            told = await asyncio.to_thread(log.read_text, errors="replace")
            raise RuntimeError(f"PostgreSQL does not start:\n{told[-2000:]}")
        await asyncio.sleep(0.1)
