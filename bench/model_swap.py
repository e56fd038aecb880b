"""What a swap of models costs those who are asking: ``python -m bench.model_swap``.

Serves by the real server in a process of its own, asks it for samagri 200 times a second whatever
it answers, and points the store to another model fifty times, ten of them broken. Times count from
the moment at which a request was due, so a stall is paid for by all who wait for its end. Prints
the percentiles without swaps, with them, and of the requests that met one; then what is left in
the server's memory. ``--megabytes 100`` swaps models of that size. Ends with status 1 if a request
failed.
"""

from __future__ import annotations

import argparse
import asyncio
import itertools
import json
import os
import re
import statistics
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from bench.small_models import PUJA, Recipe, add, point
from recsys.store import ModelStore
from server.paths import data_path

PLENTY: Final = "100000000/minute"
_CONNECTIONS: Final = 32
_START_SECONDS: Final = 120.0
_FACTORS: Final = 64
_USER_BYTES: Final = 4 * _FACTORS
_SOUND: Final = 8
_MET_SECONDS: Final = 0.5
"""A request met a swap if it was due so long after the pointer had moved, or sooner."""
_FREED_SECONDS: Final = 10.0
"""How long the server may take after the last swap to let go of the version before."""
_VERSION: Final = re.compile(rb'"model_version":"([^"]*)"')


@dataclass(frozen=True, slots=True)
class Answer:
    """One request: when it was due, how long until its answer (seconds), and whose it was."""

    due: float
    seconds: float
    is_good: bool
    version: str


class Connection:
    """One kept connection."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer

    async def get(self, path: str) -> tuple[bool, bytes]:
        """Whether the answer is 200, and its body."""
        self._writer.write(f"GET {path} HTTP/1.1\r\nHost: bench\r\n\r\n".encode())
        head = await self._reader.readuntil(b"\r\n\r\n")
        length = re.search(rb"(?i)content-length: *(\d+)", head)
        body = await self._reader.readexactly(int(length[1]) if length else 0)
        return head.startswith(b"HTTP/1.1 200"), body

    def close(self) -> None:
        """Close it."""
        self._writer.close()


class Load:
    """Asks at a fixed rate, whatever comes back."""

    def __init__(self, port: int, rate: float) -> None:
        self._port = port
        self._rate = rate
        self._idle: asyncio.Queue[Connection] = asyncio.Queue()
        self.answers: list[Answer] = []

    @asynccontextmanager
    async def connected(self) -> AsyncIterator[None]:
        """Hold the connections while the context lasts."""
        made = [
            Connection(*await asyncio.open_connection("127.0.0.1", self._port))
            for _ in range(_CONNECTIONS)
        ]
        for each in made:
            self._idle.put_nowait(each)
        try:
            yield
        finally:
            for each in made:
                each.close()

    async def ask_for(self, seconds: float) -> list[Answer]:
        """Ask for so long; returns what came back, in the order of coming."""
        self.answers = []
        began = time.perf_counter()
        async with asyncio.TaskGroup() as group:
            for number in range(int(seconds * self._rate)):
                due = began + number / self._rate
                await asyncio.sleep(max(0.0, due - time.perf_counter()))
                group.create_task(self._ask(due))
        return self.answers

    async def _ask(self, due: float) -> None:
        connection = await self._idle.get()
        try:
            is_good, body = await connection.get(f"/api/recommendations/samagri/?puja_id={PUJA}")
        except (OSError, asyncio.IncompleteReadError):
            is_good, body = False, b""
        self._idle.put_nowait(connection)
        found = _VERSION.search(body)
        taken = time.perf_counter() - due
        self.answers.append(Answer(due, taken, is_good, found[1].decode() if found else ""))


@asynccontextmanager
async def serving(folder: Path, port: int) -> AsyncIterator[int]:
    """The server in a process of its own, until it is ready; its process id."""
    environment = {
        "ENV": "test",
        "HTTP__PORT": str(port),
        "DATABASE__EMBEDDED_PATH": str(folder / "mongo"),
        "FILES__PATH": str(folder / "files"),
        "RECOMMENDER__PATH": str(folder / "models"),
        "RECOMMENDER__POLL_SECONDS": "0.05",
        "LIMITS__READ": PLENTY,
        "LOG__LEVEL": "ERROR",
    }
    with (folder / "server.log").open("wb") as log:
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "server", "serve",
            cwd=data_path("config").parent,
            env={**os.environ, **{f"PANDITYATRA_{name}": v for name, v in environment.items()}},
            stdout=log,
            stderr=log,
        )  # fmt: skip
    try:
        async with asyncio.timeout(_START_SECONDS):
            while not await is_ready(port):
                if process.returncode is not None:
                    raise SystemExit((folder / "server.log").read_text()[-2000:])
                await asyncio.sleep(0.1)
        yield process.pid
    finally:
        if process.returncode is None:
            process.terminate()
        await process.wait()


async def is_ready(port: int) -> bool:
    """Whether the server there is ready for work."""
    try:
        connection = Connection(*await asyncio.open_connection("127.0.0.1", port))
    except OSError:
        return False
    try:
        return (await connection.get("/readyz"))[0]
    except (OSError, asyncio.IncompleteReadError):
        return False
    finally:
        connection.close()


def make_models(store: ModelStore, swaps: int, broken: int, megabytes: float) -> list[str]:
    """Versions to point to, in order; ``broken`` of them lack the end of a file.

    The sound ones take turns: what is swapped in is never what serves.
    """
    users = max(3, round(megabytes * 1_000_000 / _USER_BYTES))

    def made(number: int) -> str:
        return add(store, number, Recipe(share=0.7 + number / 300, users=users, factors=_FACTORS))

    sound = [made(number) for number in range(min(_SOUND, swaps - broken))]
    spoilt = [made(len(sound) + number) for number in range(broken)]
    for version in spoilt:
        path = store.folder(version) / "usual.puja_popularity.by_puja.npy"
        path.write_bytes(path.read_bytes()[:-100])
    turns, faults = itertools.cycle(sound), iter(spoilt)
    every = swaps // broken if broken else swaps + 1
    return [next(faults) if n % every == every - 1 else next(turns) for n in range(swaps)]


async def swap(store: ModelStore, pointers: Sequence[str], seconds: float) -> list[float]:
    """Point to one version after the other, evenly over the time; returns when."""
    moments = []
    began = time.perf_counter()
    for number, version in enumerate(pointers):
        due = began + (number + 0.5) * seconds / len(pointers)
        await asyncio.sleep(max(0.0, due - time.perf_counter()))
        moments.append(time.perf_counter())
        await asyncio.to_thread(point, store, version)
    return moments


def figures(answers: Sequence[Answer]) -> dict[str, float]:
    """Requests, failures and milliseconds."""
    taken = sorted(1000 * answer.seconds for answer in answers)
    return {
        "requests": len(taken),
        "failed": sum(not answer.is_good for answer in answers),
        "p50_ms": round(statistics.median(taken), 2),
        "p99_ms": round(taken[int(0.99 * (len(taken) - 1))], 2),
        "max_ms": round(taken[-1], 2),
    }


def resident_megabytes(pid: int) -> float:
    """What the process holds in memory of its own, files that it has mapped left out."""
    fields = Path(f"/proc/{pid}/statm").read_text().split()
    return (int(fields[1]) - int(fields[2])) * os.sysconf("SC_PAGE_SIZE") / 1e6


def mapped_versions(pid: int, store: ModelStore) -> int:
    """How many versions the process has mapped."""
    root = f"{store.root}/versions/"
    lines = Path(f"/proc/{pid}/maps").read_text().splitlines()
    return len({line.partition(root)[2].partition("/")[0] for line in lines if root in line})


async def measure(options: argparse.Namespace, folder: Path) -> dict[str, Any]:
    """Run it all."""
    store = ModelStore(folder / "models")
    pointers = make_models(store, options.swaps, options.broken, options.megabytes)
    first = add(store, 3000, Recipe(users=1000, factors=_FACTORS))
    point(store, first)
    async with serving(folder, options.port) as pid:
        load = Load(options.port, options.rate)
        async with load.connected():
            await load.ask_for(3.0)
            before = resident_megabytes(pid)
            without = await load.ask_for(options.seconds)
            asking = asyncio.create_task(load.ask_for(options.seconds))
            moments = await swap(store, pointers, options.seconds)
            with_swaps = await asking
            waited = time.perf_counter()
            while (left := mapped_versions(pid, store)) > 1:
                if time.perf_counter() - waited > _FREED_SECONDS:
                    break
                await asyncio.sleep(0.05)
            waited = time.perf_counter() - waited
            after = resident_megabytes(pid)
    met = [
        answer
        for answer in with_swaps
        if any(moment <= answer.due + answer.seconds and answer.due <= moment + _MET_SECONDS
               for moment in moments)
    ]  # fmt: skip
    return {
        "rate": options.rate,
        "swaps": options.swaps,
        "broken": options.broken,
        "megabytes": options.megabytes,
        "versions_seen": len({answer.version for answer in with_swaps}),
        "without": figures(without),
        "with_swaps": figures(with_swaps),
        "near_a_swap": figures(met),
        "own_megabytes_before": round(before, 1),
        "own_megabytes_after": round(after, 1),
        "mapped_versions_after": left,
        "seconds_until_freed": round(waited, 2),
    }


def main() -> int:
    """Measure and print; 1 if a request failed."""
    parser = argparse.ArgumentParser(prog="python -m bench.model_swap", description=__doc__)
    parser.add_argument("--rate", type=float, default=200.0, help="requests a second")
    parser.add_argument("--seconds", type=float, default=20.0, help="of each of the two phases")
    parser.add_argument("--swaps", type=int, default=50)
    parser.add_argument("--broken", type=int, default=10, help="of the swaps")
    parser.add_argument("--megabytes", type=float, default=1.0, help="size of a model")
    parser.add_argument("--port", type=int, default=8899)
    parser.add_argument("--json", action="store_true", help="one JSON object instead of lines")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        found = asyncio.run(measure(options, Path(folder)))
    if options.json:
        print(json.dumps(found))
    else:
        for name in ("without", "with_swaps", "near_a_swap"):
            print(f"{name:<12}", *(f"{key} {value}" for key, value in found[name].items()))
        times = found["near_a_swap"]["p99_ms"] / found["without"]["p99_ms"]
        print(
            f"{found['versions_seen']} versions answered;"
            f" {found['mapped_versions_after']} mapped {found['seconds_until_freed']} s after the"
            f" last swap; p99 near a swap {times:.2f} times that without;"
            f" own memory {found['own_megabytes_before']} MB before,"
            f" {found['own_megabytes_after']} MB after"
        )
    return 1 if found["without"]["failed"] or found["with_swaps"]["failed"] else 0


if __name__ == "__main__":
    sys.exit(main())
