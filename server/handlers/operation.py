"""What operators and API clients look at: health, metrics, the OpenAPI document and its page."""

from __future__ import annotations

import asyncio
import ipaddress
from http import HTTPStatus
from typing import Final

import msgspec
from tornado import web

from server.handlers.base import BaseHandler
from server.handlers.openapi import document
from server.handlers.routing import Route


class PlainHandler(BaseHandler):
    """Base of the answers that are neither API nor page."""

    def check_xsrf_cookie(self) -> None:
        """Nothing here changes anything."""

    def answer(self, status: int, body: object) -> None:
        """Send JSON that nobody keeps."""
        self.set_status(status)
        self.set_header("Content-Type", "application/json; charset=utf-8")
        self.set_header("Cache-Control", "no-store")
        self.finish(msgspec.json.encode(body))


class AliveHandler(PlainHandler):
    """The loop answers; nothing else is asked."""

    async def get(self) -> None:
        """Answer 200, and say which model serves."""
        self.answer(HTTPStatus.OK, {"status": "alive", "model": self.services.health.model()})


class ReadyHandler(PlainHandler):
    """Ready for work: 503 while starting, draining or without a database.

    A model that is refused does not count: what served before it serves on.
    """

    async def get(self) -> None:
        """Answer with one line for each thing that must be right."""
        checks = await self.services.health.checks()
        is_ready = all(checks.values())
        if not is_ready:
            self.set_header("Retry-After", "5")
        self.answer(
            HTTPStatus.OK if is_ready else HTTPStatus.SERVICE_UNAVAILABLE,
            {
                "status": "ready" if is_ready else "not ready",
                "checks": checks,
                "model": self.services.health.model(),
            },
        )


class MetricsHandler(PlainHandler):
    """Prometheus metrics, for the machine's own network only."""

    async def get(self) -> None:
        """Answer in Prometheus' text format."""
        if not ipaddress.ip_address(self.client_address).is_private:
            raise web.HTTPError(HTTPStatus.NOT_FOUND)
        self.set_header("Content-Type", "text/plain; version=0.0.4; charset=utf-8")
        # In a thread: the numbers of several processes are read from files.
        self.finish(await asyncio.to_thread(self.services.metrics.exposition))


class OpenApiHandler(PlainHandler):
    """The API's description, made from the handlers' own declarations."""

    async def get(self) -> None:
        """Answer with an OpenAPI 3.1 document."""
        self.set_header("Content-Type", "application/json; charset=utf-8")
        self.set_header("Cache-Control", "public, max-age=300")
        self.finish(document(self.application.settings["routes"]))


ROUTES: Final = (
    Route("/healthz", AliveHandler, "healthz"),
    Route("/readyz", ReadyHandler, "readyz"),
    Route("/metrics", MetricsHandler, "metrics"),
    Route("/api/openapi.json", OpenApiHandler, "openapi"),
)
