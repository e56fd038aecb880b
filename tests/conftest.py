"""Fixtures, all of them real: a database process, a server on a free port, people with tokens.

mongo_uri   (session)  address of one embedded database server
store                  a Store on a fresh, indexed database
clock                  a FakeClock; starts on Sunday 22 November 2026, 10:00 in Nepal
settings               Settings of a test server: fresh database, free port, generous limits
server                 a RunningServer with the catalogue loaded, on ``clock``
redis                  a RedisProcess of one's own; skips where there is none
people                 makes signed-in customers, pandits and admins of that server
steady_limits          limits that are counted in memory never see a window of theirs end
"""

from __future__ import annotations

import asyncio
import dataclasses
import functools
import gc
import logging
import uuid
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import httpx
import hypothesis
import pytest
from httpx._transports import default as transports
from pymongo import monitoring

from server import app
from server.app import RunningServer, open_server, prepare_database
from server.auth import Argon2Hasher
from server.domain.booking import PaymentMethod
from server.domain.gateway import PaymentGateway
from server.handlers.static import Assets
from server.places.directory import load_places
from server.settings import DatabaseSettings, Settings
from server.store import embedded
from server.store.catalogue_files import load_catalogue
from server.store.client import Store, open_store
from server.store.embedded import EmbeddedServer
from server.store.indexes import create_indexes, declared_indexes
from tests.error_lines import OURS, ErrorLines, log_plainly
from tests.redis_process import PROGRAM, RedisProcess
from tests.support import CapturingCodeSender, FakeClock, People, server_settings

SHARED_DATABASE = "test_shared"
CATALOGUE = {"samagri_items", "puja_templates"}
EMPTIED_AFTER_EACH_TEST = frozenset(declared_indexes()) - CATALOGUE | {
    "messages",
    "papers",
    "rosters",
}
MIDDLE_OF_AN_HOUR = 500_000 * 3600.0 + 30 * 60 + 30
# How long an example takes says more of the machine than of the code.
hypothesis.settings.register_profile("untimed", deadline=None)
hypothesis.settings.load_profile("untimed")
WRITING = frozenset({"insert", "update", "findAndModify"})


class WrittenCollections(monitoring.CommandListener):
    """Which collections of the shared database the clients of this process have written to."""

    def __init__(self) -> None:
        self._names: set[str] = set()

    def started(self, event: monitoring.CommandStartedEvent) -> None:
        if event.database_name == SHARED_DATABASE and event.command_name in WRITING:
            self._names.add(event.command[event.command_name])

    def succeeded(self, event: monitoring.CommandSucceededEvent) -> None:
        pass

    def failed(self, event: monitoring.CommandFailedEvent) -> None:
        pass

    def take(self) -> set[str]:
        names, self._names = self._names, set()
        return names


WRITTEN = WrittenCollections()
# Of the whole process: some tests have servers and stores of their own on the shared database.
monitoring.register(WRITTEN)


ERROR_LINES = ErrorLines()


@pytest.fixture(autouse=True)
def nothing_unexpected_is_logged(request: pytest.FixtureRequest) -> Iterator[None]:
    """Fail a test in which the server logs an error that ``logs_errors`` does not name."""
    log_plainly()
    logger = logging.getLogger(OURS)
    if ERROR_LINES not in logger.handlers:
        logger.addHandler(ERROR_LINES)
    ERROR_LINES.unexpected(())
    yield
    marks = request.node.iter_markers("logs_errors")
    expected = tuple(word for mark in marks for word in mark.args)
    if unexpected := ERROR_LINES.unexpected(expected):
        pytest.fail("logged as errors:\n" + "\n".join(unexpected))


def pytest_collection_finish() -> None:
    """What is imported by now stays; the collector need not go through it again and again."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(10_000, 20, 20)


@pytest.fixture(scope="session")
async def mongo_uri(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[str]:
    path = tmp_path_factory.mktemp("mongo") / "data"
    server = EmbeddedServer(DatabaseSettings(embedded_path=str(path)))
    with pytest.MonkeyPatch.context() as patch:
        # No test ends this process: those that do have one of their own, with a journal.
        unjournaled = f"{embedded._ENGINE_SETTINGS}log=(enabled=false)\n"
        patch.setattr(embedded, "_ENGINE_SETTINGS", unjournaled)
        await server.start()
    yield server.uri
    await server.stop()


@pytest.fixture
def database_settings(mongo_uri: str, request: pytest.FixtureRequest) -> DatabaseSettings:
    # Servers of tests share one database, emptied after each test: its indexes and catalogue take
    # longer to make than most tests to run. Modules that fill it, or change the catalogue, say
    # FRESH_DATABASE and get one for each test.
    is_shared = (
        "server" in request.fixturenames
        and "store" not in request.fixturenames
        and not getattr(request.module, "FRESH_DATABASE", False)
    )
    name = SHARED_DATABASE if is_shared else f"test_{uuid.uuid4().hex[:12]}"
    return DatabaseSettings(uri=mongo_uri, name=name)


@pytest.fixture(scope="session", autouse=True)
def read_once() -> Iterator[None]:
    """What does not change while tests run is read once; a thousand servers would take minutes.

    The files of catalogue and places, those of the pages, and the certificates that every HTTP
    client trusts; and the indexes of the shared database are made once. Passwords are hashed so
    that it costs nothing: with what it costs those who serve, a fifth of the time went there.
    """
    is_prepared = False

    async def prepare_once(store: Store) -> None:
        nonlocal is_prepared
        if store.name != SHARED_DATABASE or not is_prepared:
            await prepare_database(store)
            is_prepared = is_prepared or store.name == SHARED_DATABASE

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(app, "load_catalogue", functools.cache(load_catalogue))
        patch.setattr(app, "load_places", functools.cache(load_places))
        patch.setattr(app, "prepare_database", prepare_once)
        patch.setattr(app, "Argon2Hasher", functools.partial(Argon2Hasher, memory_kib=64))
        patch.setattr(app, "Assets", functools.cache(Assets))
        patch.setattr(transports, "create_ssl_context", functools.cache(httpx.create_ssl_context))
        yield


@pytest.fixture
async def redis(tmp_path: Path) -> AsyncIterator[RedisProcess]:
    if PROGRAM is None:
        pytest.skip("redis-server is not installed")
    process = RedisProcess(tmp_path)
    await process.start()
    yield process
    await process.kill()


@pytest.fixture
async def store(database_settings: DatabaseSettings) -> AsyncIterator[Store]:
    async with open_store(database_settings, database_settings.uri) as opened:
        await create_indexes(opened)
        yield opened
        await opened.drop()


@pytest.fixture
def steady_limits(monkeypatch: pytest.MonkeyPatch) -> None:
    """In memory it is the middle of an hour, and of a minute, as long as a test lasts.

    Windows begin with the clock's hour there, and what was used in the one before counts less as
    time goes by: whoever counts uses exactly must not meet the end of one. In Redis they begin with
    the first use, so no test meets it.
    """
    time = SimpleNamespace(time=lambda: MIDDLE_OF_AN_HOUR)
    monkeypatch.setattr("limits.aio.storage.memory.time", time)


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
def code_sender() -> CapturingCodeSender:
    return CapturingCodeSender()


@pytest.fixture
def settings(database_settings: DatabaseSettings, tmp_path: Path) -> Settings:
    return server_settings(database_settings, tmp_path)


@pytest.fixture
def listeners() -> list[Any]:
    """Command listeners for the driver; a test module overrides it to count commands."""
    return []


@pytest.fixture
def providers() -> dict[PaymentMethod, PaymentGateway] | None:
    """Payment providers in the place of those that the settings name."""
    return None


@pytest.fixture
async def server(
    settings: Settings,
    clock: FakeClock,
    code_sender: CapturingCodeSender,
    listeners: list[Any],
    providers: dict[PaymentMethod, PaymentGateway] | None,
) -> AsyncIterator[RunningServer]:
    async with open_server(
        settings, clock=clock, sender=code_sender, listeners=listeners, providers=providers
    ) as running:
        yield running
    # Only now: what the server still had to write, it has written.
    patient = dataclasses.replace(settings.database, timeout_seconds=60.0)
    async with open_store(patient, patient.uri) as left:
        if left.name != SHARED_DATABASE:
            await left.drop()
            return
        used = EMPTIED_AFTER_EACH_TEST & WRITTEN.take()
        await asyncio.gather(*(left.collection(name).delete_many({}) for name in used))


@pytest.fixture
async def people(server: RunningServer) -> AsyncIterator[People]:
    async with AsyncExitStack() as clients:
        yield People(server, clients)
