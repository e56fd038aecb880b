"""The store itself: indexes that exist, migrations that run once, a database that survives."""

from __future__ import annotations

import asyncio
import functools
import os
import signal
import sys
from collections.abc import Awaitable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from server.domain.errors import StoreUnavailable
from server.settings import DatabaseSettings
from server.store import migrations
from server.store.client import DuplicateKey, Index, Store, open_store
from server.store.embedded import EmbeddedServer, EmbeddedServerError
from server.store.indexes import create_indexes, declared_indexes
from server.store.migrations import Migration, migrate


async def test_creating_the_indexes_again_changes_nothing(store: Store) -> None:
    await create_indexes(store)
    assert {"bookings", "notifications", "pandits", "users"} <= set(declared_indexes())


async def test_an_index_that_is_declared_otherwise_is_replaced(store: Store) -> None:
    things = store.collection("things")
    await things.create_indexes([Index((("code", 1),))])
    await things.insert_one({"_id": "a", "code": 1})
    await things.create_indexes([Index((("code", 1),), unique=True)])
    with pytest.raises(DuplicateKey):
        await things.insert_one({"_id": "b", "code": 1})


async def test_migrations_run_once_in_order_whoever_starts(store: Store) -> None:
    ran: list[int] = []

    async def note(number: int, _: Store) -> None:
        ran.append(number)
        await asyncio.sleep(0.01)

    steps = [
        Migration(number, f"step {number}", functools.partial(note, number))
        for number in (901, 902, 903)
    ]
    counts = await asyncio.gather(*(migrate(store, steps) for _ in range(5)))
    assert ran == [901, 902, 903]
    assert sorted(counts) == [0, 0, 0, 0, 3]


async def test_a_migration_that_fails_runs_again_and_frees_the_lock(store: Store) -> None:
    attempts = []

    async def fails_first(_: Store) -> None:
        attempts.append(1)
        if len(attempts) == 1:
            raise RuntimeError("in the middle")

    steps = [Migration(911, "fails first", fails_first)]
    with pytest.raises(RuntimeError):
        await migrate(store, steps)
    assert await migrate(store, steps) == 1
    assert await migrate(store, steps) == 0


async def test_the_lock_of_a_dead_process_is_taken_over(store: Store) -> None:
    locks = store.collection(migrations.COLLECTION)
    long_ago = datetime.now(UTC) - timedelta(minutes=1)
    await locks.insert_one({"_id": "lock", "holder": "dead", "until": long_ago})
    assert await migrate(store, []) == 0
    assert await locks.find_one({"_id": "lock"}) is None


async def test_documents_without_a_version_get_one(store: Store) -> None:
    bookings = store.collection("bookings")
    await bookings.insert_one({"_id": "old", "pandit_user_id": "p", "user_id": "u"})
    assert await migrate(store) == len(migrations.MIGRATIONS)
    found = await bookings.find_one({"_id": "old"})
    assert found is not None
    assert found["version"] == 1


async def test_a_batch_says_which_were_refused(store: Store) -> None:
    claims = store.collection("bookings")
    refused = await claims.insert_many(
        [{"_id": str(n), "pandit_id": "p", "claims": [n // 2]} for n in range(4)]
    )
    assert refused == {1: ("pandit_id", "claims"), 3: ("pandit_id", "claims")}
    with pytest.raises(DuplicateKey) as caught:
        await claims.insert_one({"_id": "0"})
    assert caught.value.fields == ("_id",)


async def test_one_command_says_which_were_refused_and_stops_if_it_is_ordered(
    store: Store,
) -> None:
    claims = store.collection("bookings")
    batch = [{"_id": str(n), "pandit_id": "p", "claims": [n // 2]} for n in range(4)]
    assert await claims.insert_batch(batch, ordered=True) == {1: ("pandit_id", "claims")}
    assert await claims.count({}, limit=10) == 1
    refused = await claims.insert_batch(batch, ordered=False)
    assert refused.keys() == {0, 1, 3}
    assert refused[3] == ("pandit_id", "claims")
    assert await claims.count({}, limit=10) == 2


@pytest.mark.parametrize(("amount", "size"), [(5, 4 * 1024 * 1024), (600, 10)])
async def test_what_one_command_cannot_hold_is_inserted_all_the_same(
    store: Store, amount: int, size: int
) -> None:
    rows = store.collection("bookings")
    batch: list[dict[str, object]] = [
        {"_id": str(n), "pandit_id": "p", "claims": [n], "note": "न" * (size // 3)}
        for n in range(amount)
    ]
    batch[-2]["claims"] = [0]
    assert await rows.insert_batch(batch, ordered=True) == {amount - 2: ("pandit_id", "claims")}
    assert await rows.count({}, limit=1000) == amount - 2


async def test_a_batch_does_not_wait_behind_single_operations(store: Store) -> None:
    rows = store.collection("bookings")
    await rows.insert_batch([{"_id": "first", "pandit_id": "p", "claims": [0]}], ordered=False)
    ended: list[str] = []

    async def note(name: str, work: Awaitable[object]) -> None:
        await work
        ended.append(name)

    finds = [note("find", rows.find_one({"_id": str(n)})) for n in range(300)]
    batch = [{"_id": "second", "pandit_id": "p", "claims": [1]}]
    await asyncio.gather(*finds, note("batch", rows.insert_batch(batch, ordered=False)))
    assert ended.index("batch") < 150


async def test_a_database_that_is_away_is_unavailable() -> None:
    settings = DatabaseSettings(uri="mongodb://127.0.0.1:9/?directConnection=true")
    async with open_store(settings, settings.uri) as store:
        with pytest.raises(StoreUnavailable):
            await store.ping()
        with pytest.raises(StoreUnavailable):
            await store.collection("users").find_one({})
        with pytest.raises(StoreUnavailable):
            await store.collection("users").insert_batch([{"_id": "1"}], ordered=False)


async def test_the_embedded_server_keeps_its_data_and_ends_its_orphan(tmp_path: Path) -> None:
    settings = DatabaseSettings(embedded_path=str(tmp_path / "data"))
    first = EmbeddedServer(settings)
    await first.start()
    async with open_store(settings, first.uri) as store:
        await store.collection("kept").insert_one({"_id": "a"})
    # As after kill -9 of the server: nobody stops the child, and its files are still locked.
    assert first.pid is not None
    orphan = first.pid
    second = EmbeddedServer(settings)
    keeper = first._keeper  # the dead server must not restart its child
    assert keeper is not None
    keeper.cancel()
    await second.start()
    try:
        async with open_store(settings, second.uri) as store:
            assert await store.collection("kept").find_one({"_id": "a"})
        with pytest.raises(ProcessLookupError):
            os.kill(orphan, 0)
    finally:
        await second.stop()


async def test_a_server_that_cannot_start_says_why(tmp_path: Path) -> None:
    blocked = tmp_path / "data"
    blocked.mkdir()
    (blocked / "WiredTiger").write_text("not a database")
    (blocked / "WiredTiger.turtle").write_text("nonsense")
    server = EmbeddedServer(DatabaseSettings(embedded_path=str(blocked)))
    with pytest.raises(EmbeddedServerError, match="did not start"):
        await server.start()
    await server.stop()


TALKATIVE = """#!{python}
import pathlib, sys, time
print("listening on 127.0.0.1:1", file=sys.stderr, flush=True)
sys.stderr.write("x" * 1_000_000 + chr(10))
sys.stderr.flush()
pathlib.Path({said!r}).touch()
time.sleep(60)
"""


async def test_a_database_that_logs_a_very_long_line_does_not_stand_still(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    program, said = tmp_path / "talkative", tmp_path / "said"
    program.write_text(TALKATIVE.format(python=sys.executable, said=str(said)))
    program.chmod(0o700)
    monkeypatch.setattr("server.store.embedded._program", lambda: str(program))
    server = EmbeddedServer(DatabaseSettings(embedded_path=str(tmp_path / "data")))
    await server.start()
    try:
        async with asyncio.timeout(10):
            while not said.exists():  # noqa: ASYNC110  # the program tells nobody
                await asyncio.sleep(0.02)
    finally:
        await server.stop()


async def test_it_is_stopped_in_order(tmp_path: Path) -> None:
    server = EmbeddedServer(DatabaseSettings(embedded_path=str(tmp_path / "data")))
    await server.start()
    assert server.pid is not None
    pid = server.pid
    await server.stop()
    with pytest.raises(ProcessLookupError):
        os.kill(pid, signal.SIGTERM)
