"""Steering the payment sandbox in tests: orders, pay pages, clock, ledger; and a merchant's ear."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import httpx
from tornado import httpserver, netutil, web

from server.sandbox import app
from server.sandbox.world import Merchant, World


class SandboxControl:
    """A running sandbox, over HTTP alone."""

    def __init__(self, url: str, client: httpx.AsyncClient, world: World | None = None) -> None:
        self.url = url
        self.client = client
        self.world = world

    async def order(self, gateway: str, mode: str, **parameters: Any) -> None:
        """Let the gateway's next payment go wrong so; ``on_payment`` names one that is there."""
        await self.order_all(gateway, {"mode": mode, **parameters})

    async def order_all(self, gateway: str, *modes: dict[str, Any]) -> None:
        """Put several on one payment."""
        body = [{"gateway": gateway, **mode} for mode in modes]
        response = await self.client.post("/_sandbox/next", json=body)
        assert response.status_code == 200, response.text

    async def act(
        self, gateway: str, payment_id: str, action: str, **fields: str
    ) -> httpx.Response:
        """Press a button of the pay page."""
        url = f"/{gateway}/pay/{payment_id}"
        return await self.client.post(url, data={"action": action, **fields})

    async def advance(self, seconds: float) -> None:
        """Put the clock forward; what is due then has happened."""
        response = await self.client.post("/_sandbox/clock", json={"advance": seconds})
        assert response.status_code == 200, response.text

    async def register(self, **addresses: str) -> None:
        """Tell where webhooks and returns go."""
        response = await self.client.post("/_sandbox/merchant", json=addresses)
        assert response.status_code == 200, response.text

    async def ledger(self, **filters: str) -> list[dict[str, Any]]:
        """What the sandbox holds, payment by payment."""
        response = await self.client.get("/_sandbox/ledger", params=filters)
        rows: list[dict[str, Any]] = response.json()["payments"]
        return rows

    async def row(self, reference: str) -> dict[str, Any]:
        """The one payment with this reference."""
        (row,) = await self.ledger(reference=reference)
        return row

    async def log(self, **filters: str) -> list[dict[str, Any]]:
        """What was received and sent, oldest first."""
        response = await self.client.get("/_sandbox/log", params=filters)
        entries: list[dict[str, Any]] = response.json()["entries"]
        return entries


@asynccontextmanager
async def running_sandbox(merchant: Merchant | None = None) -> AsyncIterator[SandboxControl]:
    """A sandbox of one's own on a free port."""
    async with (
        app.open_sandbox(merchant or Merchant()) as sandbox,
        httpx.AsyncClient(base_url=sandbox.url, timeout=10.0) as client,
    ):
        yield SandboxControl(sandbox.url, client, sandbox.world)


@dataclass
class Ear:
    """A merchant's server that hears every request and answers as it is told."""

    url: str = ""
    status: int = 200
    heard: list[tuple[str, dict[str, str], bytes]] = field(default_factory=list)
    _changed: asyncio.Event = field(default_factory=asyncio.Event)

    def hear(self, uri: str, headers: dict[str, str], body: bytes) -> int:
        self.heard.append((uri, headers, body))
        self._changed.set()
        return self.status

    async def until(self, is_enough: Callable[[], bool]) -> None:
        """Wait until what was heard is enough."""
        async with asyncio.timeout(20):
            while not is_enough():
                self._changed.clear()
                await self._changed.wait()


class _EarHandler(web.RequestHandler):
    def initialize(self, ear: Ear) -> None:
        self.ear = ear

    async def get(self) -> None:
        headers = {name.lower(): value for name, value in self.request.headers.get_all()}
        self.set_status(self.ear.hear(self.request.uri or "", headers, self.request.body))

    post = get


@asynccontextmanager
async def listening_ear() -> AsyncIterator[Ear]:
    """A merchant's server on a free port."""
    ear = Ear()
    application = web.Application(
        [(r"/.*", _EarHandler, {"ear": ear})], log_function=lambda handler: None
    )
    server = httpserver.HTTPServer(application)
    sockets = netutil.bind_sockets(0, "127.0.0.1")
    server.add_sockets(sockets)
    ear.url = f"http://127.0.0.1:{sockets[0].getsockname()[1]}"
    yield ear
    server.stop()
    await server.close_all_connections()
