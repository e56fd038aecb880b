"""The doors of the sockets: checked as HTTP, upgraded, opened. What comes after is the hub's.

Tornado reads the opening request and knows the session of a browser; the connection is then taken
from it. The protocol (RFC 6455 below, ours above) is told in docs/protocol.md.
"""

from __future__ import annotations

import asyncio
import logging
import typing
from datetime import datetime
from typing import Any, ClassVar, Final
from urllib.parse import urlsplit

import msgspec
from tornado.util import ObjectDict
from tornado.web import RequestHandler

from server import problems
from server.addresses import counted_address
from server.domain import errors
from server.domain.account import Actor
from server.handlers.routing import Route
from server.i18n import best_language
from server.schemas.frames import (
    VERSION,
    HelloEvent,
    LimitsView,
    UserView,
    epoch_of,
    stamp,
    view_room,
)
from server.ws.commands import answer_of
from server.ws.framing import encode, handshake_fault, handshake_response, negotiate_deflate
from server.ws.hub import Hub
from server.ws.protocol import (
    BEARER_PREFIX,
    SUBPROTOCOL,
    CloseCode,
)
from server.ws.session import Session
from server.ws.streams import FirstPage, Stream, read_first_page, replay
from server.ws.wire import take_over

if typing.TYPE_CHECKING:
    from server.container import Services

_log: Final = logging.getLogger(__name__)
_MAX_CURSOR: Final = 2**53
_SAFE_DIGITS: Final = 16
_BAD_REQUEST: Final = 400
_UPGRADE_REQUIRED: Final = 426


class SocketHandler(RequestHandler):
    """What both sockets share. Subclasses say how a stream is joined."""

    kind: ClassVar[str]
    route_name = "unknown"

    def initialize(self, route_name: str = "unknown") -> None:
        """Take the route's name, by which metrics and logs know the handler."""
        self.route_name = route_name
        self.identity: tuple[Actor, datetime] | None = None

    @property
    def services(self) -> Services:
        """The use cases."""
        services: Services = self.application.settings["services"]
        return services

    @property
    def hub(self) -> Hub:
        """The sockets of this process."""
        return self.services.hub

    @property
    def _counted_address(self) -> str:
        return counted_address(self.request.remote_ip or "")

    # -- before the upgrade ---------------------------------------------------------------------

    async def prepare(self) -> None:
        """Check what can be refused with an HTTP status, then who it is.

        A bad token is told after the upgrade, because a browser cannot see the status of a refusal.
        """
        if self.request.method != "GET":
            self._refuse(errors.NotFound())
            return
        fault = handshake_fault(self.request.headers)
        if self.request.version == "HTTP/1.0":
            fault = fault or _BAD_REQUEST
        if fault is not None:
            self._refuse_handshake(fault)
            return
        try:
            self._admit()
            token = self._token()
            if token is not None:
                self.identity = await self.hub.authenticate(token)
        except errors.NotSignedIn:
            self.identity = None
        except TimeoutError:
            self._refuse(errors.Overloaded())
        except errors.DomainError as error:
            self._refuse(error)

    def _admit(self) -> None:
        if self.hub.is_draining or self.hub.is_full:
            raise errors.Overloaded
        if not self.hub.may_connect(self._counted_address):
            raise errors.RateLimited(1)
        origin = self.request.headers.get("Origin")
        if origin is not None and not self._is_own(origin):
            raise errors.Forbidden

    def _is_own(self, origin: str) -> bool:
        allowed: tuple[str, ...] = self.application.settings["settings"].http.public_origins
        if allowed:
            return origin in allowed
        try:
            parts = urlsplit(origin)
        except ValueError:
            return False
        return parts.scheme in ("http", "https") and parts.netloc == self.request.host

    def _token(self) -> str | None:
        """The credential: header, subprotocol, or the site's cookie.

        A browser adds the cookie whichever site asks, so it counts only with an Origin, which has
        been checked. Raises ``Forbidden`` for a cookie without one.
        """
        headers = self.request.headers
        scheme, _, token = headers.get("Authorization", "").partition(" ")
        if scheme.lower() == "bearer" and token.strip():
            return token.strip()
        for offered in headers.get("Sec-WebSocket-Protocol", "").split(","):
            if offered.strip().startswith(BEARER_PREFIX):
                return offered.strip().removeprefix(BEARER_PREFIX)
        is_secure = self.application.settings["secure_cookies"]
        cookie = self.get_cookie("__Host-access" if is_secure else "access")
        if cookie and "Origin" not in headers:
            raise errors.Forbidden
        return cookie or None

    def _refuse(self, error: errors.DomainError) -> None:
        language = best_language(self.request.headers.get("Accept-Language", ""))
        problem = problems.problem_of(error, self.services.translations, language)
        self.set_status(problem.status if problem else 500)
        if (seconds := problems.retry_after_seconds(error)) is not None:
            self.set_header("Retry-After", str(seconds))
        self.set_header("Content-Type", problems.CONTENT_TYPE)
        self.finish(msgspec.json.encode(problem))

    def set_default_headers(self) -> None:
        """Do not tell which software this is."""
        self.clear_header("Server")

    def _refuse_handshake(self, status: int) -> None:
        self.set_status(status)
        if status == _UPGRADE_REQUIRED:
            self.set_header("Sec-WebSocket-Version", "13")
            self.set_header("Upgrade", "websocket")
        self.set_header("Content-Type", "text/plain; charset=UTF-8")
        self.finish("This address is a WebSocket of version 13.\n")

    # -- opening --------------------------------------------------------------------------------

    async def get(self, *path: str) -> None:
        """Upgrade, join the stream, say hello, bring the client up to date."""
        if self.hub.is_draining or self.hub.is_full:
            # Since it was admitted; from here on nothing is awaited until the session is known.
            self._refuse(errors.Overloaded())
            return
        headers = self.request.headers
        offered = headers.get("Sec-WebSocket-Protocol", "").replace(" ", "").split(",")
        extensions = negotiate_deflate(
            headers.get("Sec-WebSocket-Extensions", ""), is_enabled=self.hub.limits.compression
        )
        response = handshake_response(
            headers["Sec-WebSocket-Key"],
            # The protocol's name is echoed, never the token beside it.
            SUBPROTOCOL if SUBPROTOCOL in offered else None,
            extensions,
        )
        cursor, epoch = self._cursor(), self.get_query_argument("epoch", "")
        taken = take_over(self.detach())
        # Tornado breaks this cycle when a request finishes; a detached one never does, and two
        # kilobytes a socket would wait for the collector.
        self.ui = ObjectDict()
        if taken is None:
            return
        sock, first = taken
        try:
            if self.identity is None:
                raise errors.NotSignedIn
            session = self.hub.open(
                self.kind,
                *self.identity,
                self._counted_address,
                deflates=extensions is not None,
            )
        except errors.NotSignedIn:
            self.hub.turn_away(sock, response, CloseCode.NOT_SIGNED_IN)
            return
        try:
            self.hub.poller.adopt(sock, session, response, first)
        except OSError:
            _log.exception("socket_not_adopted", extra={"kind": self.kind})
            sock.close()
            self.hub.ended(session, None)
            return
        await self._open(session, path, cursor, epoch)

    async def _open(
        self, session: Session, path: tuple[str, ...], cursor: int | None, epoch: str
    ) -> None:
        try:
            # What the client says before it is served waits.
            opened = asyncio.get_running_loop().create_future()
            session.hold(opened)
            try:
                async with self.hub.handshake():
                    joined = await self._begin(session, path, cursor, epoch)
                if joined is not None:
                    # Outside: a client that reads slowly must not take the place of others.
                    await replay(session, *joined)
            finally:
                opened.set_result(None)
        except errors.NotFound:
            session.close_with(CloseCode.NOT_FOUND)
        except (errors.StoreUnavailable, TimeoutError) as error:
            if isinstance(error, errors.DomainError):
                session.send(answer_of(error, self.hub))
            session.close_with(CloseCode.TRY_LATER)
        except Exception:
            _log.exception("socket_open_failed", extra={"kind": self.kind})
            session.close_with(CloseCode.SERVER_ERROR)

    async def _begin(
        self, session: Session, path: tuple[str, ...], cursor: int | None, epoch: str
    ) -> tuple[Stream, FirstPage] | None:
        """Join and say hello; what is to be replayed then, None when the client has gone."""
        raise NotImplementedError

    def _cursor(self) -> int | None:
        """The number after which the client wants to go on; None for a first visit."""
        for name in ("after", "since"):
            given = self.get_query_argument(name, "")
            if given.isascii() and given.isdigit() and len(given) <= _SAFE_DIGITS:
                return min(int(given), _MAX_CURSOR)
        return None

    def _hello(self, session: Session, **more: Any) -> HelloEvent:
        limits = self.hub.limits
        return HelloEvent(
            v=VERSION,
            conn=self.hub.name_of(session),
            user=UserView(session.user_id, session.actor.role),
            server_time=stamp(self.services.clock.now()),
            exp=stamp(session.expires_at),
            ping=limits.ping_seconds,
            limits=LimitsView(
                session.bounds.message_bytes,
                limits.messages_per_second,
                limits.message_burst,
                limits.max_unacked,
            ),
            **more,
        )


class ChatSocket(SocketHandler):
    """``/ws/chat/{room_id}/``."""

    kind = "chat"

    async def _begin(
        self, session: Session, path: tuple[str, ...], cursor: int | None, epoch: str
    ) -> tuple[Stream, FirstPage] | None:
        """Subscribe, then read: what is published in between is not missed."""
        stream = await self.hub.join_room(path[0])
        try:
            room = await self.hub.room_of(session.actor, stream)
            if cursor is not None and epoch and epoch != epoch_of(room):
                cursor = _MAX_CURSOR
            first = await read_first_page(stream, cursor)
        except BaseException:
            self.hub.drop(stream)
            raise
        if not session.is_open:
            self.hub.drop(stream)
            return None
        self.hub.add(stream, session)
        view = view_room(stream.room or room, first.head, stream.reads)
        session.send(self._hello(session, room=view))
        self.hub.enter(session)
        return stream, first


class NotificationSocket(SocketHandler):
    """``/ws/notifications/``."""

    kind = "notifications"

    async def _begin(
        self, session: Session, path: tuple[str, ...], cursor: int | None, epoch: str
    ) -> tuple[Stream, FirstPage] | None:
        stream = await self.hub.join_notifications(session.user_id)
        try:
            if stream.unread is None:
                stream.learn_unread(await self.hub.notifications.unread_count(session.user_id))
            first = await read_first_page(stream, cursor)
        except BaseException:
            self.hub.drop(stream)
            raise
        if not session.is_open:
            self.hub.drop(stream)
            return None
        self.hub.add(stream, session)
        session.send(self._hello(session, head=first.head, unread=stream.unread))
        self.hub.enter(session)
        return stream, first


class PaymentSocket(SocketHandler):
    """``/ws/payment/``: where one's payments stand, whole, on connecting and after each change."""

    kind = "payments"

    async def _begin(
        self, session: Session, path: tuple[str, ...], cursor: int | None, epoch: str
    ) -> tuple[Stream, FirstPage] | None:
        """Go live, then read: a state that was told meanwhile has the higher version."""
        wanted = self.get_query_argument("payment", "") or None
        stream = await self.hub.join_payments(session.user_id)
        if not session.is_open:
            self.hub.drop(stream)
            return None
        if wanted is not None:
            session.busy.watched.add(wanted)
        self.hub.add(stream, session)
        session.send(self._hello(session))
        self.hub.enter(session)
        for frame in await self.hub.payments.frames_of(session.actor, wanted):
            session.send_frame(encode(frame))
        return None


ROUTES: Final = (
    Route("/ws/chat/{room_id}/", ChatSocket, "ws_chat"),
    Route("/ws/notifications/", NotificationSocket, "ws_notifications"),
    Route("/ws/payment/", PaymentSocket, "ws_payment"),
)
