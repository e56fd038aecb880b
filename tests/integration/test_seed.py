"""The demo town in a real database, seen through the running server."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest

from server import demo
from server.app import open_server, prepare_database
from server.demo.residents import (
    DEMO_ADMIN_PHONE,
    DEMO_CUSTOMER_PHONE,
    DEMO_PANDIT_PHONE,
)
from server.demo.seed import DEMO_PASSWORD, TOWN_COLLECTIONS, write_batch
from server.settings import DatabaseSettings, Settings
from server.store import messages
from server.store.client import Store, open_store
from tests.support import FakeClock

pytestmark = pytest.mark.timeout(400)


@pytest.fixture
async def store(database_settings: DatabaseSettings) -> AsyncIterator[Store]:
    # Left as it is and gone with its process: to drop a town takes longer than to write it.
    async with open_store(database_settings, database_settings.uri) as opened:
        yield opened


async def sign_in(api: httpx.AsyncClient, phone: str) -> dict[str, str]:
    answer = await api.post(
        "/api/auth/token/", json={"identifier": phone, "password": DEMO_PASSWORD}
    )
    return {"Authorization": f"Bearer {answer.raise_for_status().json()['access']}"}


async def rows(api: httpx.AsyncClient, path: str, **options: Any) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = (
        (await api.get(path, **options)).raise_for_status().json()["results"]
    )
    return found


async def test_town_is_made_anew_after_a_crash_and_can_be_lived_in(
    store: Store, clock: FakeClock, settings: Settings
):
    await prepare_database(store)
    # A seed died before the accounts, its last part, were written.
    for name in TOWN_COLLECTIONS[:-1]:
        await store.collection(name).insert_one(
            {"_id": "half", "user_id": "half", "booking_id": "half", "sequence": 1}
        )
    town = await demo.seed(store, seed=demo.DEFAULT_SEED, show_progress=True, now=clock.now())

    for name, part in zip(
        TOWN_COLLECTIONS,
        (
            town.pandits,
            town.bookings,
            town.reviews,
            town.rooms,
            town.messages,
            town.notifications,
            town.payments,
            town.entries,
            town.payouts,
            town.users,
        ),
        strict=True,
    ):
        # Beside each message stands the claim to its cid.
        each = 2 if name == messages.COLLECTION else 1
        assert await store.collection(name).count({}, limit=100_000) == each * len(part), name
        assert await store.collection(name).find_one({"_id": "half"}) is None
        assert await store.collection(name).find_one({"outbox": {"$exists": True}}) is None

    async with (
        open_server(settings, clock=clock) as server,
        httpx.AsyncClient(base_url=f"http://127.0.0.1:{server.port}", timeout=30.0) as api,
    ):
        await live_in(api)

    with pytest.raises(ValueError, match="has accounts"):
        await demo.seed(store, seed=demo.DEFAULT_SEED, show_progress=False)
    refused = run_seed(settings.database)
    assert refused.returncode == 1
    assert "not empty" in refused.stdout
    assert await store.collection("users").count({}, limit=1000) == len(town.users)


async def test_a_batch_whose_answer_was_lost_is_taken_as_written(store: Store):
    await prepare_database(store)
    batch = [{"_id": f"n{n}", "user_id": "u", "event_id": f"e{n}", "sequence": n} for n in range(5)]
    await write_batch(store, "notifications", batch[:3])
    await write_batch(store, "notifications", batch)
    assert await store.collection("notifications").count({}, limit=10) == 5
    with pytest.raises(RuntimeError, match="refused"):
        await write_batch(store, "notifications", [{**batch[0], "_id": "another"}])


async def live_in(api: httpx.AsyncClient) -> None:
    """Each of the demo's accounts finds what it is meant to show, and can go on from there."""
    found = await rows(api, "/api/pandits/", params={"puja_id": "satyanarayan-puja", "limit": 5})
    assert len(found) == 5

    customer = await sign_in(api, DEMO_CUSTOMER_PHONE)
    mine = await rows(api, "/api/bookings/", headers=customer)
    assert {"ACCEPTED", "PENDING"} <= {booking["status"] for booking in mine}
    rooms = await rows(api, "/api/chat/rooms/", headers=customer)
    assert rooms
    assert await rows(api, "/api/messages/", headers=customer, params={"room_id": rooms[0]["id"]})

    pandit = await sign_in(api, DEMO_PANDIT_PHONE)
    waiting = await rows(api, "/api/bookings/", headers=pandit, params={"status": "PENDING"})
    assert len(waiting) >= 3
    accepted = await api.post(f"/api/bookings/{waiting[0]['id']}/accept/", headers=pandit)
    assert accepted.status_code == 200, accepted.text

    admin = await sign_in(api, DEMO_ADMIN_PHONE)
    assert await rows(api, "/api/notifications/", headers=admin)


def run_seed(database: DatabaseSettings, **environ: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "server", "seed"],
        env={
            **os.environ,
            "PANDITYATRA_DATABASE__URI": database.uri,
            "PANDITYATRA_DATABASE__NAME": database.name,
            **environ,
        },
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


def test_production_is_never_given_accounts_with_a_public_password(
    database_settings: DatabaseSettings,
):
    refused = run_seed(
        database_settings,
        PANDITYATRA_ENV="production",
        PANDITYATRA_AUTH__SECRET="x" * 40,
        PANDITYATRA_AUTH__CODE_SENDER="off",
        PANDITYATRA_HTTP__SECURE_COOKIES="true",
        PANDITYATRA_HTTP__PUBLIC_ORIGINS="https://pandityatra.example",
    )
    assert refused.returncode == 1
    assert "production" in refused.stdout


def test_sign_ins_name_every_role_with_number_and_password():
    lines = demo.sign_ins()
    assert [line.split()[0] for line in lines] == ["customer", "pandit", "admin"]
    assert all(DEMO_PASSWORD in line for line in lines)
