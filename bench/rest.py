"""What the commonest requests cost on a full database: ``python bench/rest.py``.

Builds on demand, under ``var/bench``, a database of 100,000 bookings and 1,000,000 messages (the
embedded server; kept between runs), serves it by the real server in a process of its own, and
prints for the ten commonest requests the 50th and 99th percentile of their time, one after the
other on one connection. Then the same requests are made to a server in this process, whose driver
is listened to: how many commands each takes, how the database answers what must use an index, and
whether a list of 100 rows takes more commands than one of 10. Ends with status 1 if an index is not
used or a list asks more for more rows.
"""

from __future__ import annotations

import argparse
import asyncio
import dataclasses
import functools
import os
import statistics
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import date, timedelta
from itertools import count, cycle
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final

import httpx
import structlog
from pymongo import AsyncMongoClient
from tqdm import tqdm

from bench.commands import Plan, Recorder, plans_of
from bench.crowd import build_if_needed
from server.app import open_server
from server.demo.residents import DEMO_CUSTOMER_PHONE, DEMO_PANDIT_PHONE
from server.demo.seed import DEMO_PASSWORD
from server.loopback import free_port
from server.settings import (
    DatabaseSettings,
    FileSettings,
    HttpSettings,
    LimitSettings,
    LogSettings,
    Settings,
)
from server.store.client import open_store
from server.store.embedded import EmbeddedServer

FOLDER: Final = Path("var/bench")
DATABASE: Final = "bench"
PUJA: Final = "satyanarayan-puja"
PLENTY: Final = "100000000/minute"
_WARM_UP: Final = 5
_START_SECONDS: Final = 600
"""Of a machine that does other things as well; by itself a start takes seconds."""
_PATIENCE_SECONDS: Final = 60.0

Ask = Callable[[], Awaitable[httpx.Response]]


@dataclass(frozen=True, slots=True)
class Request:
    """One of the requests that are measured.

    ``indexed`` are collections that it must look up by an index; ``list_ask`` asks for a number
    of rows.
    """

    name: str
    ask: Ask
    indexed: frozenset[str] = frozenset()
    list_ask: Callable[[int], Awaitable[httpx.Response]] | None = None


class Visitor:
    """Two signed-in people of the demo, and the requests that they make."""

    def __init__(self, customer: httpx.AsyncClient, pandit: httpx.AsyncClient) -> None:
        self._customer = customer
        self._pandit = pandit

    @classmethod
    @asynccontextmanager
    async def to(cls, base_url: str) -> AsyncIterator[Visitor]:
        """Sign in at a server."""
        async with (
            httpx.AsyncClient(base_url=base_url, timeout=60.0) as customer,
            httpx.AsyncClient(base_url=base_url, timeout=60.0) as pandit,
        ):
            for api, phone in ((customer, DEMO_CUSTOMER_PHONE), (pandit, DEMO_PANDIT_PHONE)):
                answer = await api.post(
                    "/api/auth/token/", json={"identifier": phone, "password": DEMO_PASSWORD}
                )
                token = answer.raise_for_status().json()["access"]
                api.headers["Authorization"] = f"Bearer {token}"
            yield cls(customer, pandit)

    async def requests(self) -> list[Request]:
        """The ten commonest requests, over people and bookings that are really there."""
        api = self._customer
        found = await _rows(api, "/api/pandits/", puja_id=PUJA, limit=50)
        pandit_ids = cycle([each["id"] for each in found])
        services = cycle([each["service_id"] for each in found])
        days = cycle([(date.today() + timedelta(days=ahead)).isoformat() for ahead in range(1, 15)])  # noqa: DTZ011  # any day will do
        bookings = cycle([each["id"] for each in await _rows(api, "/api/bookings/", limit=50)])
        rooms = await _rows(api, "/api/chat/rooms/", limit=50)
        room_ids = cycle([each["id"] for each in rooms])
        open_room = next(each["id"] for each in rooms if each["is_active"])
        long_room = "e" + "0" * 23
        numbers = count(time.time_ns())

        def get(path: str, **params: Any) -> Awaitable[httpx.Response]:
            return api.get(path, params=params)

        def listed(path: str, **params: Any) -> Callable[[int], Awaitable[httpx.Response]]:
            return lambda limit: get(path, **params, limit=limit)

        near = {"puja_id": PUJA, "lat": 27.72, "lng": 85.32}
        return [
            Request(
                "search pandits",
                lambda: get("/api/pandits/", **near),
                list_ask=listed("/api/pandits/", **near),
            ),
            Request("a pandit's page", lambda: get(f"/api/pandits/{next(pandit_ids)}/")),
            Request(
                "slots",
                lambda: get(
                    "/api/booking-slots/available-slots/",
                    service_id=next(services),
                    date=next(days),
                ),
                frozenset({"bookings"}),
            ),
            Request(
                "my bookings",
                lambda: get("/api/bookings/"),
                frozenset({"bookings"}),
                listed("/api/bookings/"),
            ),
            Request("a booking", lambda: get(f"/api/bookings/{next(bookings)}/")),
            Request(
                "chat rooms",
                lambda: get("/api/chat/rooms/"),
                list_ask=listed("/api/chat/rooms/"),
            ),
            Request(
                "a room's history",
                lambda: get("/api/messages/", room_id=next(room_ids)),
                frozenset({"messages"}),
                listed("/api/messages/", room_id=long_room),
            ),
            Request(
                "send a message",
                lambda: api.post(
                    "/api/messages/send/",
                    json={"room_id": open_room, "content": f"Namaste {next(numbers)}"},
                ),
            ),
            Request(
                "unread counts",
                lambda: get("/api/unread-count/"),
                frozenset({"chat_rooms", "notifications"}),
            ),
            Request(
                "notifications",
                lambda: get("/api/notifications/"),
                list_ask=listed("/api/notifications/"),
            ),
        ]


async def _rows(api: httpx.AsyncClient, path: str, **params: Any) -> list[dict[str, Any]]:
    answer = await api.get(path, params=params)
    rows: list[dict[str, Any]] = answer.raise_for_status().json()["results"]
    return rows


@asynccontextmanager
async def served(
    uri: str, *, name: str = DATABASE, extra: Mapping[str, str] = MappingProxyType({})
) -> AsyncIterator[str]:
    """The real server in a child process, with ``extra`` settings; yields its address."""
    port = free_port()
    settings = {
        "DATABASE__URI": uri,
        "DATABASE__NAME": name,
        # What is slow shall be measured, not refused.
        "DATABASE__TIMEOUT_SECONDS": str(_PATIENCE_SECONDS),
        "FILES__PATH": str(FOLDER / "files"),
        "LOG__LEVEL": "WARNING",
        **{f"LIMITS__{field.name.upper()}": PLENTY for field in dataclasses.fields(LimitSettings)},
        **extra,
    }
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "server", "serve", "--port", str(port)),
        env={**os.environ, **{f"PANDITYATRA_{key}": value for key, value in settings.items()}},
    )
    address = f"http://127.0.0.1:{port}"
    try:
        await _until_ready(address, process)
        yield address
    finally:
        if process.returncode is None:
            process.terminate()
        await process.wait()


async def _until_ready(address: str, process: asyncio.subprocess.Process) -> None:
    async with httpx.AsyncClient() as api:
        deadline = time.monotonic() + _START_SECONDS
        while time.monotonic() < deadline:
            assert process.returncode is None, "the server has ended"
            try:
                if (await api.get(f"{address}/readyz")).is_success:
                    return
            except httpx.TransportError:
                pass
            await asyncio.sleep(0.2)
    raise TimeoutError("the server does not get ready")


async def measure(address: str, times: int) -> dict[str, list[float]]:
    """Milliseconds of each request, by name."""
    taken: dict[str, list[float]] = {}
    async with Visitor.to(address) as visitor:
        for request in tqdm(await visitor.requests(), desc="requests", unit="route", disable=None):
            milliseconds = taken.setdefault(request.name, [])
            for turn in range(_WARM_UP + times):
                began = time.perf_counter()
                (await request.ask()).raise_for_status()
                if turn >= _WARM_UP:
                    milliseconds.append((time.perf_counter() - began) * 1000)
    return taken


@dataclass(frozen=True, slots=True)
class Watched:
    """What one request asked of the database, and its list of 10 and of 100 rows."""

    request: Request
    commands: int
    plans: tuple[Plan, ...]
    list_commands: tuple[int, int] | None


async def watch(uri: str) -> list[Watched]:
    """Make each request to a server whose driver is listened to."""
    recorder = Recorder()
    settings = Settings(
        environment="bench",
        http=HttpSettings(port=0),
        database=DatabaseSettings(uri=uri, name=DATABASE, timeout_seconds=_PATIENCE_SECONDS),
        files=FileSettings(path=str(FOLDER / "files")),
        limits=LimitSettings(**{field.name: PLENTY for field in dataclasses.fields(LimitSettings)}),
        log=LogSettings(level="WARNING"),
    )
    watched = []
    client: AsyncMongoClient[dict[str, Any]] = AsyncMongoClient(uri)
    async with (
        client,
        open_server(settings, listeners=[recorder]) as server,
        Visitor.to(f"http://127.0.0.1:{server.port}") as visitor,
    ):
        for request in await visitor.requests():
            commands = await _fewest(recorder, request.ask)
            plans = await plans_of(client.get_database(DATABASE), commands)
            watched.append(
                Watched(
                    request, len(commands), tuple(plans), await _list_commands(recorder, request)
                )
            )
    return watched


async def _list_commands(recorder: Recorder, request: Request) -> tuple[int, int] | None:
    if request.list_ask is None:
        return None
    few = await _fewest(recorder, functools.partial(request.list_ask, 10))
    many = await _fewest(recorder, functools.partial(request.list_ask, 100))
    return len(few), len(many)


async def _fewest(recorder: Recorder, ask: Ask) -> list[dict[str, Any]]:
    """The commands of a request; of three tries the fewest: the first fills what is believed."""
    tries = [recorder.take_of((await ask()).raise_for_status()) for _ in range(3)]
    return min(tries, key=len)


def show(taken: dict[str, list[float]], watched: Sequence[Watched]) -> list[str]:
    """Print what was found; returns what is not as it must be."""
    faults = []
    print(
        f"\n{'request':18}{'p50 ms':>9}{'p99 ms':>9}{'commands':>10}{'10 rows':>9}{'100 rows':>9}"
    )
    for each in watched:
        name, milliseconds = each.request.name, taken[each.request.name]
        cuts = statistics.quantiles(milliseconds, n=100, method="inclusive")
        few, many = each.list_commands or ("", "")
        print(f"{name:18}{cuts[49]:9.1f}{cuts[98]:9.1f}{each.commands:10}{few:>9}{many:>9}")
        if few != many:
            faults.append(f"{name}: {few} commands for 10 rows, {many} for 100")
    print(f"\n{'request':18}{'collection':16}{'index':46}{'examined':>9}{'returned':>9}")
    for each in watched:
        for plan in each.plans:
            if plan.collection not in each.request.indexed:
                continue
            index = ", ".join(plan.indexes) if plan.uses_index else "NONE"
            print(
                f"{each.request.name:18}{plan.collection:16}{index:46}"
                f"{plan.examined:9}{plan.returned:9}"
            )
            if not plan.uses_index:
                faults.append(f"{each.request.name}: no index on {plan.collection}")
        missing = each.request.indexed - {plan.collection for plan in each.plans}
        faults += [f"{each.request.name}: {name} was not asked" for name in sorted(missing)]
    return faults


async def main(booking_count: int, message_count: int, times: int) -> int:
    """Build, measure, print; returns the exit status."""
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(30))
    settings = DatabaseSettings(
        embedded_path=str(FOLDER / "mongo"), name=DATABASE, timeout_seconds=2 * _PATIENCE_SECONDS
    )
    database = EmbeddedServer(settings)
    await database.start()
    try:
        async with open_store(settings, database.uri) as store:
            await build_if_needed(store, booking_count=booking_count, message_count=message_count)
        async with served(database.uri) as address:
            taken = await measure(address, times)
        faults = show(taken, await watch(database.uri))
    finally:
        await database.stop()
    print(*faults, sep="\n")
    return 1 if faults else 0


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--bookings", type=int, default=100_000)
    parser.add_argument("--messages", type=int, default=1_000_000)
    parser.add_argument("--requests", type=int, default=200, help="of each kind")
    options = parser.parse_args()
    sys.exit(asyncio.run(main(options.bookings, options.messages, options.requests)))
