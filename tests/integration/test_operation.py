"""Health, metrics, headers, and what happens while the database is away."""

from __future__ import annotations

import asyncio
import dataclasses
import os
import signal
from pathlib import Path

import httpx
import pytest

from server.app import RunningServer, open_server
from server.settings import DatabaseSettings, Settings
from server.store.embedded import EmbeddedServer
from tests.support import People


async def test_a_running_server_is_alive_and_ready(people: People) -> None:
    client = await people.nobody()
    without_model = {"version": "rules", "loaded_at": None, "last_error": None}
    alive = (await client.get("/healthz")).json()
    assert alive == {"status": "alive", "model": without_model}
    ready = await client.get("/readyz")
    assert ready.status_code == 200
    checks = {"database": True, "model": True, "started": True, "accepting": True}
    assert ready.json() == {"status": "ready", "checks": checks, "model": without_model}


async def test_a_draining_server_is_not_ready(people: People, server: RunningServer) -> None:
    server.services.health.begin_draining()
    ready = await (await people.nobody()).get("/readyz")
    assert (ready.status_code, ready.json()["checks"]["accepting"]) == (503, False)


async def test_metrics_count_by_route_and_never_by_path(people: People) -> None:
    customer = await people.customer()
    await customer.api.get("/api/bookings/some-booking-id/")
    text = (await customer.api.get("/metrics")).text
    assert 'http_request_seconds_count{method="GET",route="booking",status="4xx"} 1.0' in text
    assert "some-booking-id" not in text
    assert 'mongo_command_seconds_count{command="find"}' in text


async def test_every_answer_carries_the_security_headers(people: People) -> None:
    client = await people.nobody()
    for path in ("/api/pujas/", "/api/bookings/", "/nothing", "/healthz", "/"):
        answer = await client.get(path)
        policy = answer.headers["Content-Security-Policy"]
        assert "script-src 'self'" in policy
        assert "unsafe" not in policy
        assert answer.headers["X-Content-Type-Options"] == "nosniff"
        assert answer.headers["X-Request-ID"]
        assert "Server" not in answer.headers


async def test_a_strangers_request_id_is_not_taken_over(people: People) -> None:
    given = "chosen-by-a-stranger"
    answer = await (await people.nobody()).get("/healthz", headers={"X-Request-ID": given})
    assert answer.headers["X-Request-ID"] != given


async def answers(client: httpx.AsyncClient, path: str) -> None:
    """Return once the path answers 200."""
    # Another process comes back in its own time: there is no event here to wait for.
    while (await client.get(path)).status_code != 200:  # noqa: ASYNC110
        await asyncio.sleep(0.1)


@pytest.mark.logs_errors("request", "embedded_database_ended")
async def test_requests_get_503_while_the_database_is_away_and_recover(
    settings: Settings, tmp_path: Path
) -> None:
    """The embedded database is frozen, then killed; its keeper starts it again by itself."""
    database = EmbeddedServer(DatabaseSettings(embedded_path=str(tmp_path / "data")))
    await database.start()
    try:
        own = dataclasses.replace(
            settings.database, uri=database.uri, name="away", timeout_seconds=2.0
        )
        async with (
            open_server(dataclasses.replace(settings, database=own)) as server,
            httpx.AsyncClient(base_url=f"http://127.0.0.1:{server.port}", timeout=30) as client,
        ):
            assert (await client.get("/api/pujas/")).status_code == 200
            assert database.pid is not None
            first_pid = database.pid
            os.kill(first_pid, signal.SIGSTOP)
            try:
                away = await client.get("/api/pujas/")
                assert away.status_code == 503
                assert int(away.headers["Retry-After"]) > 0
                assert away.json()["type"] == "storage-unavailable"
                written = await client.post(
                    "/api/auth/token/", json={"identifier": "9800000000", "password": "x" * 12}
                )
                assert written.status_code == 503
                assert (await client.get("/healthz")).status_code == 200
                assert (await client.get("/readyz")).status_code == 503
            finally:
                os.kill(first_pid, signal.SIGCONT)
            async with asyncio.timeout(30):
                await answers(client, "/api/pujas/")
                await answers(client, "/readyz")

            os.kill(first_pid, signal.SIGKILL)
            async with asyncio.timeout(30):
                while database.pid == first_pid:
                    await answers(client, "/healthz")
                await answers(client, "/api/pujas/")
    finally:
        await database.stop()
