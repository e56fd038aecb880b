"""The demo's payments come to a sandbox that runs beside it, and ends with it."""

from __future__ import annotations

import asyncio
import dataclasses
import os
import signal

import httpx
import pytest

from server.demo.payments import payment_sandbox
from server.settings import DatabaseSettings, Settings


def settings_in(folder) -> Settings:
    settings = Settings(database=DatabaseSettings(embedded_path=str(folder / "mongo")))
    return dataclasses.replace(settings, http=dataclasses.replace(settings.http, port=0))


async def is_up(client: httpx.AsyncClient) -> bool:
    try:
        return (await client.get("/_sandbox/health")).status_code == 200
    except httpx.TransportError:
        return False


async def test_all_methods_point_at_a_sandbox_that_knows_the_site(tmp_path):
    async with payment_sandbox(settings_in(tmp_path)) as (settings, url):
        async with httpx.AsyncClient(base_url=url) as client:
            merchant = (await client.get("/_sandbox/merchant")).json()
            site = f"http://127.0.0.1:{settings.http.port}/"
            assert settings.http.port
            assert merchant["stripe_webhook"].startswith(site)
            assert merchant["connectips_success"].startswith(site)
        sections = (
            settings.khalti, settings.esewa, settings.connect_ips, settings.ime_pay,
            settings.stripe,
        )  # fmt: skip
        assert all(section.enabled for section in sections)
        assert settings.khalti.api_url.startswith(url)
    async with httpx.AsyncClient(base_url=url) as client:
        assert not await is_up(client)


@pytest.mark.logs_errors("payment_sandbox_ended")
async def test_a_sandbox_that_dies_is_started_again_at_the_same_address(tmp_path):
    async with (
        payment_sandbox(settings_in(tmp_path)) as (_, url),
        httpx.AsyncClient(base_url=url) as client,
    ):
        children = [
            int(pid)
            for pid in os.listdir("/proc")
            if pid.isdigit() and _command(pid).find(f"{tmp_path}/sandbox") >= 0
        ]
        (child,) = children
        os.kill(child, signal.SIGKILL)
        async with asyncio.timeout(60):
            # A process of its own does this in its own time.
            while True:
                if _is_another(child, tmp_path) and await is_up(client):
                    break
                await asyncio.sleep(0.1)


def _command(pid: str) -> str:
    try:
        with open(f"/proc/{pid}/cmdline", "rb") as file:
            return file.read().replace(b"\0", b" ").decode(errors="replace")
    except OSError:
        return ""


def _is_another(child: int, folder) -> bool:
    pids = [pid for pid in os.listdir("/proc") if pid.isdigit()]
    return any(int(pid) != child and f"{folder}/sandbox" in _command(pid) for pid in pids)
