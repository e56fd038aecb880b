"""Models are swapped under load: nobody notices but by the version, and nothing stays behind."""

from __future__ import annotations

import asyncio
import gc
import weakref
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import pytest

from recsys.store import ModelStore
from server.app import RunningServer, open_server
from server.settings import Settings
from tests.serving_models import FIND, PUJA, SPOILS, Recipe, add, point, publish, spoil
from tests.support import FakeClock, People

pytestmark = pytest.mark.timeout(300)
RATE = 200
CONNECTIONS = 8
SWAPS, BROKEN = 50, 10
REQUEST = (
    f"GET /api/recommendations/samagri/?puja_id={PUJA} HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n"
).encode()


@pytest.fixture
def models(settings: Settings) -> ModelStore:
    return ModelStore(Path(settings.recommender.path))


@dataclass
class Load:
    """Asks without pause, each connection at its share of the rate, and keeps what came back."""

    server: RunningServer
    answers: list[tuple[str, str, str]] = field(default_factory=list)
    """The version that served when it was asked, that of the answer, and that served then."""
    failures: list[str] = field(default_factory=list)
    is_over: bool = False

    @property
    def serving(self) -> str:
        return self.server.services.recommendations.model_state.version

    async def ask(self) -> None:
        loop = asyncio.get_running_loop()
        reader, writer = await asyncio.open_connection("127.0.0.1", self.server.port)
        due = loop.time()
        try:
            while not self.is_over:
                before = self.serving
                writer.write(REQUEST)
                head = await reader.readuntil(b"\r\n\r\n")
                lengths = [
                    line
                    for line in head.split(b"\r\n")
                    if line.lower().startswith(b"content-length")
                ]
                body = await reader.readexactly(int(lengths[0].split(b":")[1]))
                if not head.startswith(b"HTTP/1.1 200"):
                    self.failures.append(head.decode() + body.decode())
                self.answers.append((before, version_in(body), self.serving))
                due = max(due + CONNECTIONS / RATE, loop.time() - 0.1)
                await asyncio.sleep(max(0.0, due - loop.time()))
        finally:
            writer.close()


def version_in(body: bytes) -> str:
    return body.rpartition(b'"model_version":"')[2].partition(b'"')[0].decode()


@pytest.mark.logs_errors("model_refused")
async def test_no_request_fails_while_fifty_models_come_and_ten_are_refused(
    server: RunningServer, models: ModelStore
) -> None:
    good = [add(models, number, Recipe(share=0.7 + number / 200)) for number in range(1, SWAPS + 1)]
    codes = list(SPOILS)
    pointers = list(good)
    for number in range(BROKEN):
        broken = add(models, 100 + number)
        spoil(models, broken, codes[number % len(codes)])
        pointers.insert(3 + 5 * number, broken)
    recommendations = server.services.recommendations
    load = Load(server)
    refused = 0
    async with asyncio.TaskGroup() as group:
        askers = [group.create_task(load.ask()) for _ in range(CONNECTIONS)]
        for version in pointers:
            point(models, version)
            await recommendations.take_up_model()
            state = recommendations.model_state
            if version in good:
                assert (state.version, state.last_error) == (version, None)
            else:
                refused += 1
                assert state.version != version
                assert state.last_error is not None
            # Each model answers a while before the next one comes: whoever asks had perhaps asked
            # before it came, and then asks again.
            answered = len(load.answers)
            while len(load.answers) < answered + 2 * CONNECTIONS:  # noqa: ASYNC110
                await asyncio.sleep(0.005)
        load.is_over = True
        await asyncio.gather(*askers)
    assert load.failures == []
    assert refused == BROKEN
    assert len(load.answers) >= CONNECTIONS * len(pointers)
    # Later versions have later names, and the rules come before all of them.
    order = {version: place for place, version in enumerate(("rules", *good))}
    for before, answered_by, after in load.answers:
        assert order[before] <= order[answered_by] <= order[after]
    assert {answered_by for _, answered_by, _ in load.answers} - {"rules"} == set(good)
    # The keeper's thread lets go of the last one before it does this; a refusal may leave a cycle.
    await recommendations.model_versions()
    gc.collect()
    assert mapped(models) == {good[-1]}, "only what serves is in memory"


def mapped(models: ModelStore) -> set[str]:
    """The versions that this process has mapped into its memory, as the kernel says."""
    lines = Path("/proc/self/maps").read_text().splitlines()
    root = str(models.root / "versions")
    return {line.partition(root + "/")[2].partition("/")[0] for line in lines if root in line}


async def test_the_old_model_is_freed_after_the_last_request_that_holds_it(
    server: RunningServer, models: ModelStore
) -> None:
    recommendations = server.services.recommendations
    publish(models, 1)
    await recommendations.take_up_model()
    loop, freed = asyncio.get_running_loop(), asyncio.Event()
    held: list[Any] = [recommendations.models.current]
    weakref.finalize(held[0], lambda: loop.call_soon_threadsafe(freed.set))
    publish(models, 2)
    await recommendations.take_up_model()
    assert recommendations.models.current is not held[0]
    # What the keeper's thread lets go of it lets go of before the next thing that it is given.
    await recommendations.model_versions()
    assert not freed.is_set(), "somebody still answers from it"
    held.clear()
    async with asyncio.timeout(10):
        await freed.wait()


@pytest.mark.logs_errors("model_refused")
async def test_a_model_that_failed_is_tried_again_later_and_at_once_when_asked(
    server: RunningServer, models: ModelStore, people: People
) -> None:
    publish(models, 1)
    version = add(models, 2)
    path = models.folder(version) / "manifest.json"
    whole = path.read_bytes()
    path.write_bytes(whole[:100])
    point(models, version)
    recommendations = server.services.recommendations
    await recommendations.take_up_model()
    assert recommendations.model_state.last_error is not None
    path.write_bytes(whole)
    nobody = await people.nobody()
    async with asyncio.timeout(30):
        # The keeper tries again in its own time.
        while recommendations.model_state.version != version:  # noqa: ASYNC110
            await asyncio.sleep(0.05)
    assert recommendations.model_state.last_error is None
    answer = await nobody.get("/api/recommendations/samagri/", params={"puja_id": PUJA})
    assert FIND in [row["item"]["id"] for row in answer.json()["results"]]


@pytest.mark.logs_errors("model_refused")
async def test_a_server_that_starts_with_a_broken_model_serves_by_the_rules(
    settings: Settings, models: ModelStore, clock: FakeClock
) -> None:
    version = publish(models)
    spoil(models, version, "hash")
    async with (
        open_server(settings, clock=clock) as server,
        httpx.AsyncClient(base_url=f"http://127.0.0.1:{server.port}", timeout=30) as client,
    ):
        assert (await client.get("/readyz")).status_code == 200
        answer = await client.get("/api/recommendations/samagri/", params={"puja_id": PUJA})
        assert answer.json()["model_version"] == "rules"
        assert (await client.get("/healthz")).json()["model"]["last_error"]["code"] == "hash"


async def test_a_server_that_starts_with_a_model_serves_it_from_the_first_request(
    settings: Settings, models: ModelStore, clock: FakeClock
) -> None:
    version = publish(models)
    async with (
        open_server(settings, clock=clock) as server,
        httpx.AsyncClient(base_url=f"http://127.0.0.1:{server.port}", timeout=30) as client,
    ):
        answer = await client.get("/api/recommendations/samagri/", params={"puja_id": PUJA})
        assert answer.json()["model_version"] == version
