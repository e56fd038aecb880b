"""The real-time bench: ``python -m bench.realtime``, or ``make bench-realtime``.

Each run starts every server in turn, fresh, over the same database, and drives it through the
scenarios; the order turns from run to run. Figures are the servers' own processor time and memory.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import gc
import hashlib
import json
import os
import platform
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

import uvloop
from tqdm import tqdm

from bench.realtime import report, scenarios, town
from bench.realtime.contenders import (
    CONTENDERS,
    DATABASE,
    PEERS,
    ROOT,
    Contender,
    Surroundings,
    copying,
    running,
)
from bench.realtime.disk import DiskWatch, milliseconds
from bench.realtime.members import Figures, Sizes, Target
from bench.realtime.postgres import postgres, programs
from bench.realtime.processes import Spent
from bench.realtime.rolling import rolling_restart
from server.app import prepare_database
from server.loopback import free_port
from server.settings import DatabaseSettings
from server.store.client import Store, open_store
from server.store.embedded import EmbeddedServer

Scenario = Callable[[Target, Sizes], Awaitable[Figures]]
SCENARIOS: Final[dict[str, Scenario]] = {
    "idle": scenarios.idle,
    "fan-out": scenarios.fan_out,
    "chat": scenarios.chat,
    "storm": scenarios.storm,
    "slow": scenarios.slow_reader,
}
ROLLING: Final = "rolling"
_FIGURES_OF: Final = {"fan-out": "fan"}
"""Scenarios whose figures are named otherwise."""
PEERS_HOME: Final = ROOT / "var" / "bench" / "peers"
FULL: Final = Sizes(
    idle=15_000,
    idle_hold=120,
    crowd=1000,
    window=192,
    seconds=8,
    pairs=150,
    storm=10_000,
    slow=100,
    slow_mib=1024,
    slow_rate=60,
    rollers=40,
    roll_rate=100,
)
FULL_PEERS: Final = replace(
    FULL,
    idle=800,
    idle_hold=26,
    crowd=250,
    window=16,
    seconds=4,
    storm=600,
    slow=25,
    slow_mib=20,
    slow_rate=20,
)
QUICK: Final = Sizes(
    idle=200,
    idle_hold=3,
    crowd=120,
    window=32,
    seconds=0.7,
    pairs=20,
    storm=80,
    slow=2,
    slow_mib=4,
    slow_rate=100,
    rollers=6,
    roll_rate=20,
    roll_window=1,
)
QUICK_PEERS: Final = replace(QUICK, slow=0)
_QUICK_CONTENDERS: Final = ("pandityatra", "tornado", "channels-postgres")
_PING_SECONDS: Final = 25.0
_DISK_SECONDS: Final = 10.0
_SHORT_HOLD: Final = 2 * _PING_SECONDS
_DESCRIPTORS_SPARE: Final = 400
_WAIT_SECONDS: Final = 10.0


def peer_python(folder: Path) -> Path:
    """The interpreter of the peers' own environment, made from its lock when it is not there."""
    lock = PEERS / "requirements.lock"
    stamp, wanted = folder / "bench-stamp", hashlib.sha256(lock.read_bytes()).hexdigest()
    python = folder / "bin" / "python"
    if stamp.is_file() and stamp.read_text(encoding="ascii") == wanted and python.is_file():
        return python
    print(f"making the peers' environment in {folder.relative_to(ROOT)}", file=sys.stderr)
    shutil.rmtree(folder, ignore_errors=True)
    uv = shutil.which("uv")
    if uv:
        made = [uv, "venv", "--quiet", "--python", sys.executable, str(folder)]
        install = [uv, "pip", "install", "--quiet", "--python", str(python)]
    else:
        made = [sys.executable, "-m", "venv", str(folder)]
        install = [str(python), "-m", "pip", "install", "--quiet"]
    subprocess.run(made, check=True)
    subprocess.run([*install, "--require-hashes", "-r", str(lock)], check=True)
    stamp.write_text(wanted, encoding="ascii")
    return python


@asynccontextmanager
async def redis(folder: Path) -> AsyncIterator[str]:
    """A Redis of our own."""
    program = shutil.which("redis-server")
    if program is None:
        raise SystemExit("redis-server is not installed, and Channels' layer needs it")
    port = free_port()
    process = await asyncio.create_subprocess_exec(
        *(program, "--port", str(port), "--bind", "127.0.0.1", "--save", "", "--dir", str(folder)),
        stdout=asyncio.subprocess.DEVNULL,
    )
    try:
        await _until_it_listens(port)
        yield f"redis://127.0.0.1:{port}/0"
    finally:
        process.terminate()
        await process.wait()


async def _until_it_listens(port: int) -> None:
    async with asyncio.timeout(_WAIT_SECONDS):
        while True:
            with contextlib.suppress(OSError):
                _, writer = await asyncio.open_connection("127.0.0.1", port)
                writer.close()
                return
            await asyncio.sleep(0.05)


async def measure(options: argparse.Namespace, folder: Path) -> dict[str, dict[str, list[float]]]:
    """Do all runs; returns every figure's values by contender."""
    ours, theirs = (QUICK, QUICK_PEERS) if options.quick else (FULL, FULL_PEERS)
    chosen = _who_can_run(options.contenders)
    for given in options.sizes:
        name, _, number = given.partition("=")
        ours, theirs = (replace(each, **{name: int(number)}) for each in (ours, theirs))
    ours, theirs = _within_limits(ours), _within_limits(theirs)
    has_peers = not all(each.is_ours for each in chosen)
    python = peer_python(PEERS_HOME) if has_peers else Path(sys.executable)
    database = DatabaseSettings(
        embedded_path=str(folder / "mongo"), name=DATABASE, timeout_seconds=60.0
    )
    results: dict[str, dict[str, list[float]]] = {each.name: {} for each in chosen}
    async with contextlib.AsyncExitStack() as stack:
        mongo_uri = options.database_uri
        if not mongo_uri:
            server = EmbeddedServer(database)
            stack.push_async_callback(server.stop)
            await server.start()
            mongo_uri = server.uri
        redis_url = postgres_host = ""
        if ROLLING in options.only or any(each.needs_redis for each in chosen):
            redis_url = await stack.enter_async_context(redis(folder))
        if any(each.needs_postgres for each in chosen):
            postgres_host = await stack.enter_async_context(postgres(folder))
        store = await stack.enter_async_context(open_store(database, mongo_uri))
        if options.database_uri:
            if not await store.is_empty():
                raise SystemExit(f"the database {DATABASE!r} there has users: it is somebody's")
            stack.push_async_callback(store.drop)
        await prepare_database(store)
        most, few = (_seats(each, options.only) for each in (ours, theirs))
        with tqdm(total=max(most, few), unit="seat", desc="people and rooms") as progress:
            turns = options.runs * len(chosen)
            people = await town.build(store, max(most, few), few, turns, progress)
        ping = 2.0 if options.quick else _PING_SECONDS
        around = Surroundings(mongo_uri, redis_url, postgres_host, python, folder, ping)
        if postgres_host:
            await _copy_to_postgres(around, few + town.others(turns))
        steps = turns * len(options.only)
        with tqdm(total=steps, unit="step") as progress:
            for turn in range(options.runs):
                order = [*chosen[turn % len(chosen) :], *chosen[: turn % len(chosen)]]
                for contender in order:
                    sizes = ours if contender.is_ours else theirs
                    if turn:
                        # Held long once; later runs need their two rounds of pings.
                        sizes = replace(sizes, idle_hold=min(sizes.idle_hold, _SHORT_HOLD))
                    figures = await _one(
                        contender, around, people, store, sizes, options.only, progress
                    )
                    for name, value in figures.items():
                        results[contender.name].setdefault(name, []).append(value)
    return results


def _who_can_run(names: Sequence[str]) -> list[Contender]:
    """Those of the contenders whose databases are installed; the others are named and left out."""
    chosen = [each for each in CONTENDERS if each.name in names]
    if programs() is None:
        for each in chosen:
            if each.needs_postgres:
                print(f"left out: {each.name}; PostgreSQL is not installed", file=sys.stderr)
        chosen = [each for each in chosen if not each.needs_postgres]
    return chosen


def _seats(sizes: Sizes, only: Sequence[str]) -> int:
    return max(
        sizes.idle if "idle" in only else 0, sizes.storm if "storm" in only else 0, town.LEAST
    )


async def _copy_to_postgres(around: Surroundings, people: int) -> None:
    """Give the town to the peer on PostgreSQL too."""
    process = await copying(around, people)
    output, _ = await process.communicate()
    if process.returncode:
        raise RuntimeError(f"the town could not be copied:\n{output.decode()[-2000:]}")


async def _one(
    contender: Contender,
    around: Surroundings,
    people: town.Town,
    store: Store,
    sizes: Sizes,
    only: Sequence[str],
    progress: Any,
) -> Figures:
    figures: Figures = {}
    async with running(contender, around) as process:
        target = Target(contender, process, people)
        try:
            for name, scenario in SCENARIOS.items():
                if name not in only:
                    continue
                progress.set_description(f"{contender.label}: {name} (pid {process.pids[0]})")
                gc.collect()
                if name != "slow" or sizes.slow:
                    figures.update(await _attempt(scenario, target, sizes, name))
                progress.update()
        except RuntimeError as error:
            log = await asyncio.to_thread(process.log.read_text, errors="replace")
            error.add_note(f"the end of the server's log:\n{log[-3000:]}")
            raise
        finally:
            target.poller.close()
    if ROLLING in only:
        if contender.is_ours:
            progress.set_description(f"{contender.label}: {ROLLING}")
            figures.update(await rolling_restart(contender, around, people, store, sizes))
        progress.update()
    return figures


async def _attempt(scenario: Scenario, target: Target, sizes: Sizes, name: str) -> Figures:
    """What the scenario finds; of a peer that breaks down under it, that it did.

    Half an hour of the others' figures must not go with it. The product has no such excuse.
    """
    try:
        return await scenario(target, sizes)
    except (RuntimeError, TimeoutError) as error:
        if target.contender.is_ours:
            raise
        tqdm.write(f"{target.contender.label} did not finish {name}: {error!r}", file=sys.stderr)
        return {f"{_FIGURES_OF.get(name, name)}_broken": 1.0}


def _within_limits(sizes: Sizes) -> Sizes:
    """As many sockets as this process may have; the servers inherit the same limit."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    most = hard - _DESCRIPTORS_SPARE
    return replace(sizes, idle=min(sizes.idle, most), storm=min(sizes.storm, most))


def _disk_pauses(folder: Path) -> list[float]:
    with DiskWatch(folder, pause=0.005) as disk:
        time.sleep(_DISK_SECONDS)
    return disk.took


def _conditions(options: argparse.Namespace, began: Spent, pauses: list[float]) -> str:
    size = "smoke run, figures mean little" if options.quick else "full sizes"
    if options.sizes:
        size = f"{size} but {' '.join(options.sizes)}"
    database = options.database_name or "the embedded SecantusDB"
    return (
        f"{options.runs} run(s), {size}; Python {platform.python_version()}, "
        f"{os.cpu_count()} cores; database: {database} over PyMongo, or what is "
        f"named; one server process each; other programs took {began.by_others():.2f} cores "
        f"meanwhile; disk: 8 KB kept in {milliseconds(pauses, 0.5):.1f} ms (median), "
        f"{milliseconds(pauses, 0.99):.1f} (p99), {milliseconds(pauses, 1):.1f} at most before "
        f"and after the runs; {datetime.now(UTC):%Y-%m-%d}"
    )


def main() -> None:
    """Read the arguments, measure, print the table, write the results and the picture."""
    names = [each.name for each in CONTENDERS]
    everything = [*SCENARIOS, ROLLING]
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="one smoke run of small sizes")
    parser.add_argument("--runs", type=int, help="default 3, with --quick 1")
    parser.add_argument("--contenders", nargs="+", choices=names)
    parser.add_argument("--only", nargs="+", choices=everything, default=everything)
    parser.add_argument(
        "--sizes", nargs="*", default=[], metavar="NAME=NUMBER", help="other sizes, as in Sizes"
    )
    parser.add_argument(
        "--folder", help="where the databases' files are for the time; /dev/shm leaves the disk out"
    )
    parser.add_argument(
        "--database-uri",
        default="",
        metavar="URI",
        help="a running server of MongoDB's protocol in the place of the embedded one; its "
        f"database {DATABASE!r} must have no users, and is dropped in the end",
    )
    parser.add_argument(
        "--database-name", default="", metavar="NAME", help="what the table calls that server"
    )
    parser.add_argument("--out", type=Path, default=ROOT / "var" / "bench" / "realtime")
    options = parser.parse_args()
    options.contenders = options.contenders or (_QUICK_CONTENDERS if options.quick else names)
    options.runs = options.runs or (1 if options.quick else 3)
    if bool(options.database_uri) != bool(options.database_name):
        parser.error("--database-uri and --database-name go together")
    options.out.mkdir(parents=True, exist_ok=True)
    # A collection among a town's objects takes a tenth of a second, which would count as latency of
    # those who are measured; it is made between scenarios.
    gc.disable()
    began = Spent()
    with tempfile.TemporaryDirectory(prefix="bench-", dir=options.folder) as folder:
        pauses = _disk_pauses(Path(folder))
        runs = uvloop.run(measure(options, Path(folder)))
        pauses = sorted([*pauses, *_disk_pauses(Path(folder))])
    labels = {each.name: each.label for each in CONTENDERS}
    conditions = _conditions(options, began, pauses)
    print(conditions, "", report.table(runs, labels, is_judged=not options.quick), sep="\n")
    target = options.out / "results.json"
    target.write_text(
        json.dumps({"conditions": conditions, "labels": labels, "runs": runs}, indent=1),
        encoding="utf-8",
    )
    if len(runs) == 1:
        print(f"\n{target.name} is in {options.out}; a picture needs somebody to compare with")
        return
    picture = options.out / "results.png"
    python = peer_python(PEERS_HOME)
    subprocess.run(
        [str(python), str(Path(__file__).with_name("plot.py")), str(target), str(picture)],
        check=True,
    )
    print(f"\n{target.name} and {picture.name} are in {options.out}")


if __name__ == "__main__":
    main()
