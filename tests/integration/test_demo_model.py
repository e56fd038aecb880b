"""The demo on a fresh machine: a model is trained beside it and serves; training again swaps it."""

from __future__ import annotations

import asyncio
import os
import socket
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import httpx
import pytest

from server.demo.residents import DEMO_CUSTOMER_PHONE
from server.demo.seed import DEMO_PASSWORD
from server.demo.training import needs_model, source_of
from server.loopback import free_port
from server.paths import data_path
from server.settings import DatabaseSettings, RecommenderSettings, Settings

pytestmark = pytest.mark.timeout(900)
ROOT = data_path("config").parent


def environment(folder: Path, port: int) -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if "PANDITYATRA" not in name}
    return {
        **kept,
        "PYTHONPATH": str(ROOT),
        "PANDITYATRA_HTTP__PORT": str(port),
        "PANDITYATRA_DATABASE__EMBEDDED_PATH": str(folder / "mongo"),
        "PANDITYATRA_FILES__PATH": str(folder / "files"),
        "PANDITYATRA_RECOMMENDER__PATH": str(folder / "models"),
        "PANDITYATRA_RECOMMENDER__POLL_SECONDS": "0.2",
    }


@asynccontextmanager
async def the_demo(folder: Path) -> AsyncIterator[httpx.AsyncClient]:
    port = free_port()
    with (folder / "demo.log").open("wb") as log:
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "server", "demo",
            cwd=ROOT, env=environment(folder, port), stdout=log, stderr=log,
        )  # fmt: skip
    try:
        async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}", timeout=30) as client:
            yield client
    finally:
        process.terminate()
        await process.wait()


def check_not_failed(log: Path) -> None:
    text = log.read_text()
    assert "first_model_not_trained" not in text, text[-3000:]


async def another_model(client: httpx.AsyncClient, than: str, log: Path) -> str:
    """The version that serves, once it is another one."""
    async with asyncio.timeout(400):
        # A process of its own does this in its own time.
        while True:
            try:
                serving: str = (await client.get("/healthz")).json()["model"]["version"]
            except httpx.TransportError:
                serving = than
            if serving != than:
                return serving
            check_not_failed(log)
            await asyncio.sleep(0.2)


async def test_a_model_is_live_on_a_fresh_machine_and_training_again_swaps_it(
    tmp_path: Path,
) -> None:
    log = tmp_path / "demo.log"
    async with the_demo(tmp_path) as client:
        first = await another_model(client, "rules", log)
        signed_in = await client.post(
            "/api/auth/token/",
            json={"identifier": DEMO_CUSTOMER_PHONE, "password": DEMO_PASSWORD},
        )
        mine = {"Authorization": f"Bearer {signed_in.raise_for_status().json()['access']}"}
        path = "/api/recommendations/samagri/"
        answer = await client.get(path, params={"puja_id": "satyanarayan-puja"}, headers=mine)
        rows = answer.raise_for_status().json()
        assert rows["model_version"] == first
        found = {row["item"]["id"]: row for row in rows["results"] if row["source"] == "model"}
        assert "seasonal-fruits" in found, "what most families of the town take"
        assert found["seasonal-fruits"]["confidence"] >= 0.6

        festivals = await asyncio.to_thread(
            subprocess.run,
            [
                sys.executable, "-m", "kundali", "festivals", "--json",
                "--pujas", str(ROOT / "config" / "festivals.toml"),
            ],
            cwd=ROOT,
            capture_output=True,
            timeout=60,
            check=True,
        )  # fmt: skip
        (tmp_path / "festivals.json").write_bytes(festivals.stdout)
        done = await asyncio.to_thread(
            subprocess.run,
            [
                sys.executable, "-m", "recsys.train",
                "--source", (tmp_path / "mongo.uri").read_text(),
                "--config", str(ROOT / "config" / "recsys-demo.toml"),
                "--festivals", str(tmp_path / "festivals.json"),
                "--out", str(tmp_path / "models"),
                "--publish", "--quiet",
            ],
            cwd=ROOT,
            env=environment(tmp_path, 0),
            capture_output=True,
            timeout=400,
            check=False,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr.decode()[-2000:]
        second = await another_model(client, first, log)
        assert second > first


def test_a_port_in_use_is_told_before_a_town_is_made(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        refused = subprocess.run(
            [sys.executable, "-m", "server", "demo"],
            cwd=ROOT,
            env=environment(tmp_path, taken.getsockname()[1]),
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
    assert refused.returncode == 1
    assert "Cannot start: " in refused.stderr
    assert "in use" in refused.stderr
    assert not (tmp_path / "mongo").exists()


def test_a_first_model_is_trained_only_where_there_is_none(tmp_path: Path) -> None:
    here = RecommenderSettings(path=str(tmp_path))
    assert needs_model(Settings(recommender=here))
    assert not needs_model(
        Settings(recommender=RecommenderSettings(path=str(tmp_path), enabled=False))
    )
    (tmp_path / "current").write_text("20260101T000000Z-0123abcd")
    assert not needs_model(Settings(recommender=here))


def test_training_reads_the_database_that_the_demo_writes(tmp_path: Path) -> None:
    given = DatabaseSettings(uri="mongodb://host:1/?directConnection=true", name="town")
    assert source_of(Settings(database=given)) == "mongodb://host:1/town?directConnection=true"
    (tmp_path / "mongo.uri").write_text("mongodb://host:2/town")
    embedded = DatabaseSettings(embedded_path=str(tmp_path / "mongo"))
    assert source_of(Settings(database=embedded)) == "mongodb://host:2/town"
