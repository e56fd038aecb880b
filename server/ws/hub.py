"""Who is connected to this process: sockets, streams, presence, heartbeats, and their end.

One timer serves all connections. The bus is subscribed to once for each topic that has a session
here. Nothing in this module knows a command or a rule of the business.
"""

from __future__ import annotations

import asyncio
import dataclasses
import logging
import random
import secrets
from collections import Counter, OrderedDict
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final

import msgspec

from server.domain.account import Actor
from server.domain.errors import NotSignedIn
from server.domain.ports import Bus, Clock, Translator
from server.metrics import Metrics
from server.schemas.frames import PresenceEvent, ReconnectEvent, TokenExpiringEvent, stamp
from server.services.accounts import CONTROL_TOPIC, AccountService
from server.services.chats import ChatService, room_topic
from server.services.notifications import NotificationService, user_topic
from server.settings import RealtimeSettings
from server.ws.limits import AddressGate, TokenBucket
from server.ws.outbox import Outbox
from server.ws.protocol import CloseCode
from server.ws.session import Session
from server.ws.streams import NotificationSource, RoomSource, Source, Stream

_log: Final = logging.getLogger(__name__)
_MAX_TICK_SECONDS: Final = 1.0
_MAX_ENDED: Final = 10_000
_ENDED_SECONDS: Final = 30.0
_CLOSE_SECONDS: Final = 2.0
_random: Final = random.SystemRandom()


@dataclass(frozen=True, slots=True, kw_only=True)
class HubLimits:
    """Bounds of every connection and of all together; sizes in bytes, times in seconds."""

    ping_seconds: float
    pong_grace_seconds: float
    max_frame_bytes: int
    outbox_soft_bytes: int
    outbox_hard_bytes: int
    outbox_stall_seconds: float
    messages_per_second: float
    message_burst: int
    max_unacked: int
    max_connections: int
    connections_per_user: int
    connects_per_second: float
    connect_burst: int
    reconnect_window_seconds: float
    presence_grace_seconds: float
    merge_seconds: float
    expiry_notice_seconds: float = 60.0
    expiry_grace_seconds: float = 30.0
    max_malformed: int = 10
    max_bursts: int = 3
    max_handshakes: int = 200
    handshake_wait_seconds: float = 5.0

    @classmethod
    def of(cls, settings: RealtimeSettings) -> HubLimits:
        """The limits that the settings say."""
        known = {field.name for field in dataclasses.fields(cls)}
        given = {field.name for field in dataclasses.fields(settings)}
        return cls(**{name: getattr(settings, name) for name in known & given})


class _Control(msgspec.Struct, frozen=True):
    type: str = ""
    session_id: str = ""
    user_id: str = ""
    room_id: str = ""


class Hub:
    """All sockets of this process."""

    def __init__(
        self,
        *,
        bus: Bus,
        chats: ChatService,
        notifications: NotificationService,
        accounts: AccountService,
        translator: Translator,
        clock: Clock,
        metrics: Metrics,
        limits: HubLimits,
    ) -> None:
        self.chats = chats
        self.notifications = notifications
        self.accounts = accounts
        self.translator = translator
        self.clock = clock
        self.limits = limits
        self.is_draining = False
        self._bus = bus
        self._metrics = metrics
        self._sessions: dict[str, Session] = {}
        self._by_user: dict[str, OrderedDict[str, Session]] = {}
        self._streams: dict[str, Stream] = {}
        self._rooms_of: dict[str, set[Stream]] = {}
        self._present: Counter[str] = Counter()
        self._leaving: dict[str, asyncio.TimerHandle] = {}
        self._ended: OrderedDict[str, float] = OrderedDict()
        self._tasks: set[asyncio.Task[Any]] = set()
        self._handshakes = asyncio.Semaphore(limits.max_handshakes)
        self._gate = AddressGate(limits.connects_per_second, limits.connect_burst)

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Serve while the context lasts; in its end every socket is closed."""
        await self._bus.subscribe(CONTROL_TOPIC, self._on_control)
        heartbeat = asyncio.create_task(self._beat(), name="socket-heartbeat")
        try:
            yield
        finally:
            self.is_draining = True
            heartbeat.cancel()
            await asyncio.gather(heartbeat, return_exceptions=True)
            await self._close_all(CloseCode.GOING_AWAY)
            self._bus.unsubscribe(CONTROL_TOPIC, self._on_control)

    # -- opening and closing --------------------------------------------------------------------

    @property
    def is_full(self) -> bool:
        """Whether this process holds as many sockets as it may."""
        return len(self._sessions) >= self.limits.max_connections

    def may_connect(self, address: str) -> bool:
        """Whether one more connection from that address is allowed now."""
        return self._gate.take(address, asyncio.get_running_loop().time())

    async def authenticate(self, token: str) -> tuple[Actor, datetime]:
        """Who connects, and until when his token holds.

        So many handshakes as may wait for the database do; others wait for them, not for ever.
        Raises ``NotSignedIn``, ``StoreUnavailable``, ``TimeoutError``.
        """
        await asyncio.wait_for(self._handshakes.acquire(), self.limits.handshake_wait_seconds)
        try:
            return await self.accounts.actor_with_expiry(token)
        finally:
            self._handshakes.release()

    def open(self, kind: str, actor: Actor, expires_at: datetime, outbox: Outbox) -> Session:
        """Register a connection. Raises ``NotSignedIn`` if its sign-in ended a moment ago."""
        now = asyncio.get_running_loop().time()
        long_ago = now - _ENDED_SECONDS
        if any(
            self._ended.get(each, long_ago) > long_ago for each in (actor.session_id, actor.user_id)
        ):
            raise NotSignedIn
        limits = self.limits
        session = Session(
            secrets.token_hex(6),
            kind,
            actor,
            expires_at,
            outbox,
            TokenBucket(limits.messages_per_second, limits.message_burst, now),
            now,
            self._on_closed_by_us,
        )
        # Somewhere in the interval, so that those who came together are not pinged together.
        session.next_ping_at = now + limits.ping_seconds * _random.uniform(0.5, 1.0)
        self._sessions[session.id] = session
        mine = self._by_user.setdefault(actor.user_id, OrderedDict())
        mine[session.id] = session
        self._metrics.sockets.labels(kind).inc()
        if len(mine) > limits.connections_per_user:
            next(iter(mine.values())).close(CloseCode.REPLACED)
        return session

    def gone(self, session: Session) -> None:
        """The socket has ended, from whichever side."""
        session.gone()
        self._forget(session)

    def _on_closed_by_us(self, session: Session, code: CloseCode) -> None:
        self._metrics.socket_closes.labels(str(int(code))).inc()
        self._forget(session)

    def _forget(self, session: Session) -> None:
        if self._sessions.pop(session.id, None) is None:
            return
        self._metrics.sockets.labels(session.kind).dec()
        self._metrics.frames.labels(session.kind, "in").inc(session.received)
        self._metrics.frames.labels(session.kind, "out").inc(session.frames)
        mine = self._by_user[session.user_id]
        del mine[session.id]
        if not mine:
            del self._by_user[session.user_id]
        if session.is_ready:
            self._exit(session)
        stream = self._streams.get(self._topic_of(session))
        if stream is not None:
            stream.leave(session)
            self._end_if_unused(stream)

    @staticmethod
    def _topic_of(session: Session) -> str:
        if session.room is not None:
            return room_topic(session.room.id)
        return user_topic(session.user_id)

    def spawn(self, work: Coroutine[Any, Any, Any]) -> None:
        """Run something aside; errors are logged."""
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._done)

    def _done(self, task: asyncio.Task[Any]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            _log.error("socket_task_failed", exc_info=error)

    # -- streams --------------------------------------------------------------------------------

    async def join_room(self, room_id: str) -> Stream:
        """Subscribe to a room; the caller then adds its session or calls :meth:`drop`."""
        return await self._join(room_topic(room_id), RoomSource(self.chats, room_id))

    async def join_notifications(self, actor: Actor) -> Stream:
        """Subscribe to a person's own stream."""
        source = NotificationSource(self.notifications, actor)
        return await self._join(user_topic(actor.user_id), source)

    async def _join(self, topic: str, source: Source) -> Stream:
        stream = self._streams.get(topic)
        if stream is None:
            stream = self._streams[topic] = Stream(topic, source, self._bus)
        stream.joining += 1
        try:
            await asyncio.shield(stream.subscribed)
        except BaseException:
            self.drop(stream)
            raise
        return stream

    def add(self, stream: Stream, session: Session) -> None:
        """Put the session into a stream that it has joined."""
        stream.joining -= 1
        stream.sessions.add(session)
        if session.room is not None and stream.room_id is None:
            stream.room_id, stream.members = session.room.id, session.room.members
            for user_id in stream.members:
                self._rooms_of.setdefault(user_id, set()).add(stream)

    def drop(self, stream: Stream) -> None:
        """Give a joined stream up again."""
        stream.joining -= 1
        self._end_if_unused(stream)

    def _end_if_unused(self, stream: Stream) -> None:
        if not stream.is_unused or self._streams.get(stream.topic) is not stream:
            return
        del self._streams[stream.topic]
        for user_id in stream.members:
            self._rooms_of[user_id].discard(stream)
            if not self._rooms_of[user_id]:
                del self._rooms_of[user_id]
        stream.close()

    # -- presence -------------------------------------------------------------------------------

    def enter(self, session: Session) -> None:
        """The session is open: tell the rooms that its user is here, and it who else is."""
        session.is_ready = True
        user_id, room = session.user_id, session.room
        was_online = self.is_online(user_id)
        self._present[user_id] += 1
        leaving = self._leaving.pop(user_id, None)
        if leaving is not None:
            leaving.cancel()
        if not was_online:
            self._tell_presence(user_id, "online")
        if room is not None:
            self.chats.presence.enter(room.id, user_id)
            for other in room.members:
                if other != user_id:
                    state = "online" if self.is_online(other) else "offline"
                    session.send(
                        PresenceEvent(room=room.id, user=other, state=state, last_seen=None)
                    )

    def _exit(self, session: Session) -> None:
        user_id = session.user_id
        if session.room is not None:
            self.chats.presence.leave(session.room.id, user_id)
        self._present[user_id] -= 1
        if not self._present[user_id]:
            del self._present[user_id]
            # A page that is loaded anew, or a change of network, is no parting.
            self._leaving[user_id] = asyncio.get_running_loop().call_later(
                self.limits.presence_grace_seconds, self._left, user_id
            )

    def is_online(self, user_id: str) -> bool:
        """Whether the user has a connection here, or had one a moment ago."""
        return user_id in self._present or user_id in self._leaving

    def _left(self, user_id: str) -> None:
        self._leaving.pop(user_id, None)
        self._tell_presence(user_id, "offline")

    def _tell_presence(self, user_id: str, state: str) -> None:
        last_seen = stamp(self.clock.now()) if state == "offline" else None
        for stream in self._rooms_of.get(user_id, ()):
            if stream.room_id is not None:
                self.spawn(self.chats.tell_presence(stream.room_id, user_id, state, last_seen))

    # -- one timer for all ----------------------------------------------------------------------

    async def _beat(self) -> None:
        tick = min(_MAX_TICK_SECONDS, max(0.02, self.limits.ping_seconds / 4))
        while True:
            await asyncio.sleep(tick)
            try:
                self._look_after_all()
            except Exception:
                _log.exception("heartbeat_failed")

    def _look_after_all(self) -> None:
        now, wall = asyncio.get_running_loop().time(), self.clock.now()
        notice_at = wall + timedelta(seconds=self.limits.expiry_notice_seconds)
        expired_at = wall - timedelta(seconds=self.limits.expiry_grace_seconds)
        silence = self.limits.ping_seconds + self.limits.pong_grace_seconds
        for session in tuple(self._sessions.values()):
            if now - session.last_heard > silence:
                session.close(CloseCode.HEARTBEAT_MISSED)
            elif session.outbox.stalled_seconds(now) > self.limits.outbox_stall_seconds:
                session.close(CloseCode.SLOW_READER)
            elif session.expires_at <= expired_at:
                session.close(CloseCode.TOKEN_EXPIRED)
            else:
                if session.expires_at <= notice_at and session.is_ready:
                    self._tell_expiry(session, wall)
                if now >= session.next_ping_at:
                    session.next_ping_at = now + self.limits.ping_seconds
                    session.outbox.ping()

    @staticmethod
    def _tell_expiry(session: Session, wall: datetime) -> None:
        if not session.has_heard_of_expiry:
            session.has_heard_of_expiry = True
            left = (session.expires_at - wall).total_seconds()
            session.send(TokenExpiringEvent(in_=max(0, round(left))))

    # -- what other parts of the product end ----------------------------------------------------

    def _on_control(self, payload: bytes) -> None:
        control = msgspec.json.decode(payload, type=_Control)
        if control.type == "session_ended":
            self._remember_ended(control.session_id)
            self._close_where(
                lambda session: session.actor.session_id == control.session_id,
                CloseCode.NOT_SIGNED_IN,
            )
        elif control.type == "user_ended":
            self._remember_ended(control.user_id)
            self._close_where(
                lambda session: session.user_id == control.user_id, CloseCode.NOT_SIGNED_IN
            )
        elif control.type == "member_removed":
            self._close_where(
                lambda session: (
                    session.user_id == control.user_id
                    and session.room is not None
                    and session.room.id == control.room_id
                ),
                CloseCode.REMOVED,
            )

    def _remember_ended(self, ended_id: str) -> None:
        # For a connection whose token was found good in the moment before.
        self._ended[ended_id] = asyncio.get_running_loop().time()
        if len(self._ended) > _MAX_ENDED:
            self._ended.popitem(last=False)

    def _close_where(self, is_meant: Callable[[Session], bool], code: CloseCode) -> None:
        for session in tuple(self._sessions.values()):
            if is_meant(session):
                session.close(code)

    # -- going away -----------------------------------------------------------------------------

    async def drain(self) -> None:
        """Send everybody elsewhere, spread over a window, and lose nothing that was accepted.

        New sockets are refused. Each client is told when to come back and is closed at that time,
        when all that it sent has been answered; until then it is served as always.
        """
        self.is_draining = True
        window = self.limits.reconnect_window_seconds
        leaving = []
        for session in tuple(self._sessions.values()):
            seconds = _random.uniform(0.0, window)
            session.send(ReconnectEvent(after_ms=round(seconds * 1000)))
            leaving.append(asyncio.create_task(self._part(session, seconds)))
        await asyncio.gather(*leaving)
        await self.chats.flush()

    async def _part(self, session: Session, seconds: float) -> None:
        await asyncio.sleep(seconds)
        await session.all_answered()
        session.close(CloseCode.DRAINING)

    async def _close_all(self, code: CloseCode) -> None:
        for session in tuple(self._sessions.values()):
            session.close(code)
        for timer in self._leaving.values():
            timer.cancel()
        self._leaving.clear()
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=_CLOSE_SECONDS)
