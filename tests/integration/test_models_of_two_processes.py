"""What an admin lets serve in one process serves in the other at once: nobody waits for a look."""

from __future__ import annotations

import asyncio
import dataclasses
from collections.abc import AsyncIterator
from pathlib import Path

import httpx
import pytest

from recsys.store import ModelStore
from server.app import RunningServer, open_server
from server.settings import BusSettings, Settings
from tests.redis_process import RedisProcess
from tests.serving_models import PUJA, add
from tests.support import CapturingCodeSender, FakeClock, People


@pytest.fixture
def settings(settings: Settings, redis: RedisProcess) -> Settings:
    # An hour between two looks: only the word of the other process can bring the model here.
    recommender = dataclasses.replace(settings.recommender, poll_seconds=3600.0)
    return dataclasses.replace(
        settings, recommender=recommender, bus=BusSettings(redis_url=redis.url)
    )


@pytest.fixture
async def other(
    server: RunningServer, settings: Settings, clock: FakeClock
) -> AsyncIterator[RunningServer]:
    """The second process; the first one is ``server``."""
    async with open_server(settings, clock=clock, sender=CapturingCodeSender()) as running:
        yield running


async def test_a_model_comes_to_serve_in_all_processes(
    people: People, other: RunningServer, settings: Settings
) -> None:
    models = ModelStore(Path(settings.recommender.path))
    admin = await people.admin()
    async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{other.port}", timeout=30) as there:
        for number in range(3):
            version = add(models, number)
            path = f"/api/admin/models/{version}/activate/"
            assert (await admin.api.post(path, json={})).status_code == 200
            for client in (admin.api, there):
                async with asyncio.timeout(20):
                    # The other process hears of it and loads it in its own time.
                    while True:
                        answer = await client.get(
                            "/api/recommendations/samagri/", params={"puja_id": PUJA}
                        )
                        if answer.raise_for_status().json()["model_version"] == version:
                            break
                        await asyncio.sleep(0.02)
