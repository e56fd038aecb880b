"""Who asks, behind a proxy: forwarded addresses are believed from the proxies of the settings only.

Tornado believes X-Forwarded-For of whoever connects, and X-Real-Ip and X-Scheme above it, which a
proxy passes on as its client sent them. With either anybody could choose the address that limits
are counted by.
"""

from __future__ import annotations

from collections.abc import Awaitable
from typing import Any, Final

from tornado import httpserver, httputil

_NEVER: Final = ("X-Real-Ip", "X-Scheme")
_FROM_PROXIES: Final = ("X-Forwarded-For", "X-Forwarded-Proto")


class ForwardingServer(httpserver.HTTPServer):
    """Tornado's server; ``trusted_downstream`` holds the addresses of the proxies."""

    def start_request(
        self, server_conn: object, request_conn: httputil.HTTPConnection
    ) -> httputil.HTTPMessageDelegate:
        """Put the headers through :class:`_ForwardedHeaders` before anything reads them."""
        delegate = super().start_request(server_conn, request_conn)
        return _ForwardedHeaders(delegate, request_conn, frozenset(self.trusted_downstream or ()))


class _ForwardedHeaders(httputil.HTTPMessageDelegate):
    """Takes off what the sender has no business to say, and hands everything on."""

    def __init__(
        self,
        delegate: httputil.HTTPMessageDelegate,
        connection: Any,
        proxies: frozenset[str],
    ) -> None:
        self._delegate = delegate
        self._connection = connection
        self._proxies = proxies

    def headers_received(
        self,
        start_line: httputil.RequestStartLine | httputil.ResponseStartLine,
        headers: httputil.HTTPHeaders,
    ) -> Awaitable[None] | None:
        """Begin the request."""
        is_proxy = self._connection.context.remote_ip in self._proxies
        for name in _NEVER if is_proxy else (*_NEVER, *_FROM_PROXIES):
            headers.pop(name, None)
        return self._delegate.headers_received(start_line, headers)

    def data_received(self, chunk: bytes) -> Awaitable[None] | None:
        """Hand on a piece of the body."""
        return self._delegate.data_received(chunk)

    def finish(self) -> None:
        """Hand on that the request is complete."""
        self._delegate.finish()

    def on_connection_close(self) -> None:
        """Hand on that the client has gone."""
        self._delegate.on_connection_close()
