"""A provider of our own on a free port, told by the test what to answer: real HTTP, no network."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from tornado.httpserver import HTTPServer
from tornado.netutil import bind_sockets
from tornado.web import Application, RequestHandler


@dataclass
class Reply:
    """An answer; ``hangs`` never gives one, ``breaks`` closes the connection instead."""

    body: bytes = b"{}"
    status: int = 200
    content_type: str = "application/json"
    hangs: bool = False
    breaks: bool = False


HTML = b"<html><h1>502 Bad Gateway</h1></html>"
BAD_GATEWAY = Reply(HTML, 502, "text/html")
HTML_PAGE = Reply(HTML, 200, "text/html")
HANGS = Reply(hangs=True)
BREAKS = Reply(breaks=True)


def says(data: Any, status: int = 200) -> Reply:
    """An answer in JSON."""
    return Reply(json.dumps(data).encode(), status)


@dataclass
class Seen:
    """A request as it came."""

    method: str
    path: str
    query: dict[str, str]
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)


@dataclass
class Provider:
    """Gives the replies in order, the last one for ever, and keeps what was asked."""

    url: str
    replies: list[Reply] = field(default_factory=list)
    seen: list[Seen] = field(default_factory=list)

    def will(self, *replies: Reply) -> None:
        self.replies = list(replies)
        self.seen.clear()

    def next(self) -> Reply:
        return self.replies.pop(0) if len(self.replies) > 1 else self.replies[0]


class _Handler(RequestHandler):
    def initialize(self, provider: Provider) -> None:
        self.provider = provider

    async def get(self) -> None:
        await self._answer()

    async def post(self) -> None:
        await self._answer()

    def check_xsrf_cookie(self) -> None:
        pass

    async def _answer(self) -> None:
        request = self.request
        query = {name: values[0].decode() for name, values in request.query_arguments.items()}
        headers = {name.lower(): value for name, value in request.headers.get_all()}
        self.provider.seen.append(
            Seen(request.method or "", request.path, query, headers, request.body)
        )
        reply = self.provider.next()
        if reply.hangs:
            closed = asyncio.Event()
            self.on_connection_close = closed.set  # type: ignore[method-assign]
            await closed.wait()
        if reply.breaks or reply.hangs:
            self.request.connection.detach().close()  # type: ignore[union-attr]
            return
        self.set_status(reply.status)
        self.set_header("Content-Type", reply.content_type)
        await self.finish(reply.body)


@asynccontextmanager
async def running_provider() -> AsyncIterator[Provider]:
    """A provider while the block runs."""
    (socket,) = bind_sockets(0, "127.0.0.1")
    provider = Provider(f"http://127.0.0.1:{socket.getsockname()[1]}")
    server = HTTPServer(Application([(r"/.*", _Handler, {"provider": provider})]))
    server.add_sockets([socket])
    try:
        yield provider
    finally:
        server.stop()
        await server.close_all_connections()
