"""A push service on loopback: takes messages as a browser's maker does, and reads them."""

from __future__ import annotations

import asyncio
import base64
import json
import secrets
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import http_ece
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from tornado import httpserver, netutil, web


def base64url(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


@dataclass(frozen=True)
class Delivery:
    """One message as it came, and as the browser would read it."""

    headers: dict[str, str]
    message: dict[str, Any]


class PushService:
    """Browsers subscribe here; ``answers`` are the status codes of the next requests."""

    def __init__(self, port: int) -> None:
        self.port = port
        self.answers: list[tuple[int, dict[str, str]]] = []
        self.tries = 0
        self.deliveries: asyncio.Queue[Delivery] = asyncio.Queue()
        self._browsers: dict[str, tuple[ec.EllipticCurvePrivateKey, bytes]] = {}

    @property
    def host(self) -> str:
        return f"127.0.0.1:{self.port}"

    def browser(self) -> dict[str, Any]:
        """What a browser's ``PushSubscription.toJSON()`` gives."""
        name, key, auth = (
            secrets.token_urlsafe(8),
            ec.generate_private_key(ec.SECP256R1()),
            secrets.token_bytes(16),
        )
        self._browsers[name] = (key, auth)
        point = key.public_key().public_bytes(Encoding.X962, PublicFormat.UncompressedPoint)
        return {
            "endpoint": f"http://{self.host}/push/{name}",
            "expirationTime": None,
            "keys": {"p256dh": base64url(point), "auth": base64url(auth)},
        }

    async def next(self) -> Delivery:
        """The next message that arrives."""
        return await asyncio.wait_for(self.deliveries.get(), 10)

    def take(self, name: str, headers: dict[str, str], body: bytes) -> tuple[int, dict[str, str]]:
        self.tries += 1
        if self.answers:
            status, more = self.answers.pop(0)
            if status >= 300:
                return status, more
        key, auth = self._browsers[name]
        plain = http_ece.decrypt(body, private_key=key, auth_secret=auth, version="aes128gcm")
        self.deliveries.put_nowait(Delivery(headers, json.loads(plain)))
        return 201, {}


class _Door(web.RequestHandler):
    def initialize(self, service: PushService) -> None:
        self._service = service

    def post(self, name: str) -> None:
        headers = {key.lower(): value for key, value in self.request.headers.items()}
        status, more = self._service.take(name, headers, self.request.body)
        self.set_status(status)
        for key, value in more.items():
            self.set_header(key, value)


@asynccontextmanager
async def running_push_service() -> AsyncIterator[PushService]:
    sockets = netutil.bind_sockets(0, "127.0.0.1")
    service = PushService(sockets[0].getsockname()[1])
    application = web.Application([(r"/push/([\w-]+)", _Door, {"service": service})])
    server = httpserver.HTTPServer(application)
    server.add_sockets(sockets)
    try:
        yield service
    finally:
        server.stop()
        await server.close_all_connections()
