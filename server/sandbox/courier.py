"""What the sandbox sends by itself: webhooks, and returns that come more than once."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine, Mapping
from typing import Any, Final
from urllib.parse import urlencode, urlsplit

from tornado.httpclient import AsyncHTTPClient, HTTPError, HTTPRequest
from tornado.simple_httpclient import SimpleAsyncHTTPClient

from server.sandbox.payments import Payment
from server.sandbox.world import World

_MAX_AT_ONCE: Final = 64
_MAX_WAITING: Final = 2000
_SECONDS: Final = 10.0
_LOOPBACK: Final = frozenset({"127.0.0.1", "localhost", "::1"})
_NOBODY: Final = 599


class Courier:
    """Sends requests beside everything else; bounded, and it ends with the sandbox."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._client: AsyncHTTPClient = SimpleAsyncHTTPClient(
            force_instance=True, max_clients=_MAX_AT_ONCE
        )
        self._errands: set[asyncio.Task[None]] = set()

    @property
    def is_idle(self) -> bool:
        """Whether nothing is on its way or waits for another try."""
        return not self._errands

    def close(self) -> None:
        """Drop everything that is on its way."""
        self.drop()
        self._client.close()

    def drop(self) -> None:
        """Forget every errand."""
        for errand in self._errands:
            errand.cancel()

    def run(self, errand: Coroutine[Any, Any, None]) -> bool:
        """Do something beside; False, and nothing, when too much waits already."""
        if len(self._errands) >= _MAX_WAITING:
            errand.close()
            return False
        task = asyncio.get_running_loop().create_task(errand)
        self._errands.add(task)
        task.add_done_callback(self._errands.discard)
        return True

    def come_back(self, payment: Payment, url: str, fields: Mapping[str, str] | None) -> None:
        """Open a return address once more, as a second tab would; on this machine alone."""
        if urlsplit(url).hostname not in _LOOPBACK:
            self._record(payment.gateway, payment.id, "return not sent", "GET", url, "", 0)
            return
        method = "GET" if fields is None else "POST"
        body = None if fields is None else urlencode(fields).encode()

        async def come() -> None:
            headers = {"Content-Type": "application/x-www-form-urlencoded"} if body else {}
            await self.send(payment.gateway, payment.id, "return", method, url, body, headers)

        self.run(come())

    async def send(
        self,
        gateway: str,
        payment: str,
        what: str,
        method: str,
        url: str,
        body: bytes | None,
        headers: Mapping[str, str],
    ) -> int:
        """Send one request; the status that came back, 599 when nobody answered."""
        request = HTTPRequest(
            url,
            method=method,
            body=body,
            headers=dict(headers),
            follow_redirects=False,
            connect_timeout=_SECONDS,
            request_timeout=_SECONDS,
        )
        try:
            response = await self._client.fetch(request, raise_error=False)
            status = response.code
        except (HTTPError, OSError, ValueError):
            status = _NOBODY
        said = (body or b"").decode(errors="replace")
        self._record(gateway, payment, what, method, url, said, status)
        return status

    def _record(
        self, gateway: str, payment: str, what: str, method: str, url: str, body: str, status: int
    ) -> None:
        self._world.record(
            gateway=gateway,
            what=what,
            method=method,
            url=url,
            status=status,
            body=body,
            payment=payment,
            fault="",
        )
