"""The life of a socket: opened, authenticated, listened to, closed.

What Tornado has to do with it stands here and in ``outbox``; the protocol (RFC 6455 below, ours
above) is told in docs/protocol.md.
"""

from __future__ import annotations

import asyncio
import math
import typing
from collections import deque
from collections.abc import Awaitable, Mapping
from dataclasses import replace
from datetime import datetime
from typing import Any, ClassVar, Final
from urllib.parse import urlsplit

import msgspec
import structlog
from msgspec import Struct
from tornado.websocket import WebSocketHandler

from server import problems
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
from server.ws.commands import (
    CHAT_COMMANDS,
    CHAT_READER,
    NOTIFICATION_COMMANDS,
    NOTIFICATION_READER,
    Act,
    answer_of,
)
from server.ws.hub import Hub
from server.ws.outbox import Outbox
from server.ws.protocol import (
    BEARER_PREFIX,
    NOTIFICATION_FRAME_BYTES,
    SUBPROTOCOL,
    BadFrame,
    CloseCode,
    CommandReader,
    FrameFault,
    fault_event,
)
from server.ws.session import Session
from server.ws.streams import Stream, replay

if typing.TYPE_CHECKING:
    from server.container import Services

_log: Final = structlog.get_logger("server.sockets")
_READ_AHEAD: Final = 16
"""Frames up to so many times the limit are read to their end and answered 1009 in good order;
of larger ones the connection is cut."""
_MINUTE: Final = 60.0
_MAX_CURSOR: Final = 2**53
_SAFE_DIGITS: Final = 16


class SocketHandler(WebSocketHandler):
    """What both sockets share. Subclasses say how a stream is joined and what may be said."""

    kind: ClassVar[str]
    reader: ClassVar[CommandReader[Any]]
    commands: ClassVar[Mapping[type[Struct], Act]]
    route_name = "unknown"

    def initialize(self, route_name: str = "unknown") -> None:
        """Take the route's name, by which metrics and logs know the handler."""
        self.route_name = route_name
        self.session: Session | None = None
        self.stream: Stream | None = None
        self.identity: tuple[Actor, datetime] | None = None
        self.opened_at = asyncio.get_running_loop().time()

    @property
    def services(self) -> Services:
        """The use cases."""
        services: Services = self.application.settings["services"]
        return services

    @property
    def hub(self) -> Hub:
        """The sockets of this process."""
        return self.services.hub

    # -- before the upgrade ---------------------------------------------------------------------

    async def prepare(self) -> None:
        """Check what can be refused with an HTTP status, then who it is.

        A bad token is told after the upgrade, because a browser cannot see the status of a refusal.
        """
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
        if not self.hub.may_connect(self.request.remote_ip or ""):
            raise errors.RateLimited(1)
        origin = self.request.headers.get("Origin")
        if origin is not None and not self._is_own(origin):
            raise errors.Forbidden

    def _is_own(self, origin: str) -> bool:
        allowed: tuple[str, ...] = self.application.settings["settings"].http.public_origins
        if allowed:
            return origin in allowed
        parts = urlsplit(origin)
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

    def check_origin(self, origin: str) -> bool:
        """Checked in :meth:`prepare`, by an exact list."""
        return True

    def select_subprotocol(self, subprotocols: list[str]) -> str | None:
        """Echo the protocol's name, never the token beside it."""
        return SUBPROTOCOL if SUBPROTOCOL in subprotocols else None

    def get_compression_options(self) -> None:
        """No compression: its contexts cost ten times the memory of a connection."""

    @property
    def ping_interval(self) -> float:
        """Off: one timer in the hub serves all connections."""
        return 0.0

    @property
    def max_frame_bytes(self) -> int:
        """The largest frame that is accepted here."""
        return self.hub.limits.max_frame_bytes

    @property
    def max_message_size(self) -> int:
        """What the framework reads; beyond our own limit only to answer in good order."""
        return self.max_frame_bytes * _READ_AHEAD

    # -- opening --------------------------------------------------------------------------------

    async def open(self, *path: str) -> None:
        """Join the stream, say hello, bring the client up to date."""
        self.set_nodelay(True)
        limits = self.hub.limits
        outbox = Outbox(self, limits.outbox_soft_bytes, limits.outbox_hard_bytes)
        try:
            if self.identity is None:
                raise errors.NotSignedIn
            self.session = self.hub.open(self.kind, *self.identity, outbox)
            await self._begin(self.session, *path)
        except errors.NotSignedIn:
            self._close(outbox, CloseCode.NOT_SIGNED_IN)
        except errors.NotFound:
            self._close(outbox, CloseCode.NOT_FOUND)
        except errors.StoreUnavailable as error:
            if self.session is not None:
                self.session.send(answer_of(error, self.hub))
            self._close(outbox, CloseCode.TRY_LATER)
        except Exception:
            # Tornado would drop the connection without telling us that it has ended.
            _log.exception("socket_open_failed", kind=self.kind)
            self._close(outbox, CloseCode.SERVER_ERROR)

    def _close(self, outbox: Outbox, code: CloseCode) -> None:
        if self.session is not None:
            self.session.close(code)
        else:
            self.services.metrics.socket_closes.labels(str(int(code))).inc()
            outbox.close(code, code.name.lower().replace("_", " "))

    async def _begin(self, session: Session, *path: str) -> None:
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
            conn=session.id,
            user=UserView(session.user_id, session.actor.role),
            server_time=stamp(self.services.clock.now()),
            exp=stamp(session.expires_at),
            ping=limits.ping_seconds,
            limits=LimitsView(
                self.max_frame_bytes,
                limits.messages_per_second,
                limits.message_burst,
                limits.max_unacked,
            ),
            **more,
        )

    # -- listening ------------------------------------------------------------------------------

    def on_message(self, message: str | bytes) -> Awaitable[None] | None:
        """Act on one frame. While what this returns is not done, no further frame is read."""
        session, stream = self.session, self.stream
        if session is None or stream is None or session.outbox.is_closed:
            return None
        now = asyncio.get_running_loop().time()
        session.last_heard = now
        session.received += 1
        if isinstance(message, bytes):
            session.close(CloseCode.BINARY)
            return None
        if _is_longer(message, self.max_frame_bytes):
            session.close(CloseCode.TOO_BIG)
            return None
        is_allowed = session.bucket.take(now)
        command = self.reader.read(message)
        if not is_allowed:
            self._slow_down(session, now, getattr(command, "cid", None))
            return None
        if isinstance(command, BadFrame):
            self._complain(session, now, command)
            return None
        return self._act(session, stream, command)

    def _act(self, session: Session, stream: Stream, command: Struct) -> Awaitable[None] | None:
        cid = getattr(command, "cid", None)
        try:
            work = self.commands[type(command)](self.hub, session, stream, command)
        except Exception as error:
            session.send(answer_of(error, self.hub, cid))
            return None
        return None if work is None else self._finish(session, work, cid)

    async def _finish(self, session: Session, work: Awaitable[None], cid: str | None) -> None:
        try:
            await work
        except Exception as error:
            session.send(answer_of(error, self.hub, cid))

    def _complain(self, session: Session, now: float, bad: BadFrame) -> None:
        session.send(fault_event(bad.fault, self.hub.translator, cid=bad.cid))
        if bad.fault.is_malformed:
            _keep_recent(session.malformed, now)
            if len(session.malformed) >= self.hub.limits.max_malformed:
                session.close(CloseCode.MALFORMED)

    def _slow_down(self, session: Session, now: float, cid: str | None) -> None:
        """Refuse a frame that came too fast; who floods on is closed."""
        wait = max(1, math.ceil(session.bucket.seconds_to_next()))
        session.send(
            fault_event(FrameFault.RATE_LIMITED, self.hub.translator, cid=cid, retry_after=wait)
        )
        if session.refused % self.hub.limits.message_burst == 0:
            _keep_recent(session.bursts, now)
        session.refused += 1
        if len(session.bursts) >= self.hub.limits.max_bursts:
            session.close(CloseCode.SENDING_TOO_FAST)

    def on_pong(self, data: bytes) -> None:
        """Any sign of life counts."""
        if self.session is not None:
            self.session.last_heard = asyncio.get_running_loop().time()

    def on_ping(self, data: bytes) -> None:
        """Tornado has answered it; it counts as life, and towards the rate."""
        if self.session is not None:
            now = asyncio.get_running_loop().time()
            self.session.last_heard = now
            if not self.session.bucket.take(now):
                self._slow_down(self.session, now, None)

    # -- closing --------------------------------------------------------------------------------

    def on_close(self) -> None:
        """Take the connection out of everything; one line in the log for the whole session."""
        session = self.session
        if session is None:
            return
        self.hub.gone(session)
        code = session.closed_with or self.close_code
        _log.info(
            "socket_closed",
            kind=self.kind,
            user_id=session.user_id,
            close_code=int(code) if code else None,
            by="server" if session.closed_with else "client",
            seconds=round(asyncio.get_running_loop().time() - self.opened_at, 1),
            frames_in=session.received,
            frames_out=session.frames,
        )


class ChatSocket(SocketHandler):
    """``/ws/chat/{room_id}/``."""

    kind = "chat"
    reader = CHAT_READER
    commands = CHAT_COMMANDS

    async def _begin(self, session: Session, *path: str) -> None:
        """Subscribe, then read: what is published in between is not missed."""
        stream = await self.hub.join_room(path[0])
        try:
            room = await self.hub.chats.room_of(session.actor, path[0])
        except BaseException:
            self.hub.drop(stream)
            raise
        if session.outbox.is_closed:
            self.hub.drop(stream)
            return
        session.room = replace(room, is_active=room.is_active and stream.is_active)
        self.hub.add(stream, session)
        self.stream = stream
        view = view_room(session.room, stream.head, stream.reads)
        session.send(self._hello(session, room=view))
        self.hub.enter(session)
        since = self._cursor()
        if since is not None and self.get_query_argument("epoch", epoch_of(room)) != epoch_of(room):
            since = _MAX_CURSOR
        await replay(session, stream, since=since, head=view.head)


class NotificationSocket(SocketHandler):
    """``/ws/notifications/``."""

    kind = "notifications"
    reader = NOTIFICATION_READER
    commands = NOTIFICATION_COMMANDS

    @property
    def max_frame_bytes(self) -> int:
        """Little is said here, apart from tokens."""
        return min(NOTIFICATION_FRAME_BYTES, self.hub.limits.max_frame_bytes)

    async def _begin(self, session: Session, *path: str) -> None:
        stream = await self.hub.join_notifications(session.actor)
        self.hub.add(stream, session)
        self.stream = stream
        notifications = self.hub.notifications
        head = await notifications.head(session.user_id)
        unread = await notifications.unread_count(session.user_id)
        session.send(self._hello(session, head=head, unread=unread))
        self.hub.enter(session)
        await replay(session, stream, since=self._cursor(), head=head)


def _is_longer(message: str, limit: int) -> bool:
    if len(message) > limit:
        return True
    return len(message) * 4 > limit and len(message.encode()) > limit


def _keep_recent(times: deque[float], now: float) -> None:
    """Add an instant and forget those of more than a minute ago."""
    times.append(now)
    while times and times[0] < now - _MINUTE:
        times.popleft()


ROUTES: Final = (
    Route("/ws/chat/{room_id}/", ChatSocket, "ws_chat"),
    Route("/ws/notifications/", NotificationSocket, "ws_notifications"),
)
