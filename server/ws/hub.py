"""Who is connected to this process: sockets, streams, presence, heartbeats, and their end.

One wheel serves all connections: each stands in one of its slots, and at each tick one slot is
pinged and another one asked whether it has answered. The bus is subscribed to once for each topic
that has a session here, and some time longer, so that whoever comes back finds what he left.
Nothing in this module knows a command or a rule of the business.
"""

from __future__ import annotations

import asyncio
import dataclasses
import logging
import random
import resource
import secrets
import socket
from collections import Counter, OrderedDict, deque
from collections.abc import AsyncIterator, Callable, Coroutine, Iterable, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final

import msgspec

from server.domain.account import Actor
from server.domain.chat import ChatRoom
from server.domain.errors import NotSignedIn, StoreUnavailable
from server.domain.ports.processes import Bus, PresenceBoard
from server.domain.ports.world import Clock, Translator
from server.metrics import Metrics
from server.schemas.frames import PresenceEvent, ReconnectEvent, TokenExpiringEvent, stamp
from server.services.accounts import CONTROL_TOPIC, AccountService
from server.services.chats import ChatService, room_topic
from server.services.notifications import NotificationService, user_topic
from server.services.pandits import PanditService
from server.services.payments import PaymentService
from server.services.positions import PositionService
from server.services.settlement import payments_topic
from server.settings import RealtimeSettings
from server.tasks import end_all
from server.ws.framing import PING, Received
from server.ws.limits import AddressGate, Pace, UserPace
from server.ws.protocol import NOTIFICATION_FRAME_BYTES, CloseCode
from server.ws.session import Session
from server.ws.slot_days import SlotDays
from server.ws.streams import NotificationSource, PaymentSource, RoomSource, Shared, Source, Stream
from server.ws.wire import Bounds, Poller, TurnedAway

_log: Final = logging.getLogger(__name__)
_FEWEST_SLOTS: Final = 25
_MAX_TICK_SECONDS: Final = 0.25
_MIN_TICK_SECONDS: Final = 0.005
_MAX_ENDED: Final = 10_000
_ENDED_SECONDS: Final = 30.0
_CLOSE_SECONDS: Final = 2.0
_SPARE_FILES: Final = 200
"""Descriptors that are left for the database, Redis, requests and files."""
_CATCH_UP_SECONDS: Final = 5.0
_CATCH_UP_READS: Final = 4
_TOLD_AT_ONCE: Final = 100
_random: Final = random.SystemRandom()

OnFrame = Callable[["Hub", Session, Received], None]
"""What is done with a frame of a client; the transport's commands give it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class HubLimits:
    """Bounds of every connection and of all together; sizes in bytes, times in seconds."""

    ping_seconds: float
    pong_grace_seconds: float
    max_frame_bytes: int
    outbox_soft_bytes: int
    outbox_hard_bytes: int
    outbox_stall_seconds: float
    send_buffer_bytes: int
    messages_per_second: float
    message_burst: int
    user_rate_factor: float
    max_unacked: int
    max_connections: int
    connections_per_user: int
    connections_per_address: int
    connects_per_second: float
    connect_burst: int
    reconnect_window_seconds: float
    presence_grace_seconds: float
    merge_seconds: float
    linger_seconds: float
    max_lingering: int
    compression: bool
    expiry_notice_seconds: float = 60.0
    expiry_grace_seconds: float = 30.0
    max_malformed: int = 10
    max_bursts: int = 3
    max_handshakes: int = 200
    handshake_wait_seconds: float = 5.0

    @classmethod
    def of(cls, settings: RealtimeSettings) -> HubLimits:
        """The limits that the settings say, and not more sockets than there are descriptors."""
        known = {field.name for field in dataclasses.fields(cls)}
        given = {field.name for field in dataclasses.fields(settings)}
        values = {name: getattr(settings, name) for name in known & given}
        files, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
        if files != resource.RLIM_INFINITY:
            values["max_connections"] = min(settings.max_connections, files - _SPARE_FILES)
        return cls(**values)


class _Control(msgspec.Struct, frozen=True):
    type: str = ""
    session_id: str = ""
    user_id: str = ""
    room_id: str = ""


class Hub:
    """All sockets of this process. ``tick`` counts the steps of the wheel."""

    def __init__(
        self,
        *,
        bus: Bus,
        board: PresenceBoard,
        chats: ChatService,
        notifications: NotificationService,
        payments: PaymentService,
        pandits: PanditService,
        positions: PositionService,
        accounts: AccountService,
        translator: Translator,
        clock: Clock,
        metrics: Metrics,
        limits: HubLimits,
        on_frame: OnFrame,
    ) -> None:
        self.chats = chats
        self.notifications = notifications
        self.payments = payments
        self.positions = positions
        self.accounts = accounts
        self.translator = translator
        self.clock = clock
        self.limits = limits
        self.metrics = metrics
        self.is_draining = False
        self.tick = 0
        self.pace = Pace(limits.messages_per_second, limits.message_burst)
        self.user_pace = UserPace(
            limits.messages_per_second * limits.user_rate_factor,
            int(limits.message_burst * limits.user_rate_factor),
        )
        self._bus = bus
        self._board = board
        self.days = SlotDays(bus, pandits, self.spawn)
        self._on_frame = on_frame
        self._poller: Poller | None = None
        self._shared = Shared(bus, self._soon)
        self._sources: dict[str, Source] = {
            "chat": RoomSource(chats),
            "notifications": NotificationSource(notifications),
            "payments": PaymentSource(),
        }
        self._bounds = {
            "chat": self._bounds_of(limits.max_frame_bytes),
            "notifications": self._bounds_of(min(NOTIFICATION_FRAME_BYTES, limits.max_frame_bytes)),
            "payments": self._bounds_of(min(NOTIFICATION_FRAME_BYTES, limits.max_frame_bytes)),
        }
        self._count = 0
        self._numbers = 0
        self._node = secrets.token_hex(3)
        self._tick_seconds = min(
            _MAX_TICK_SECONDS, max(_MIN_TICK_SECONDS, limits.ping_seconds / _FEWEST_SLOTS)
        )
        slots = max(1, round(limits.ping_seconds / self._tick_seconds))
        self._slots: tuple[set[Session], ...] = tuple(set() for _ in range(slots))
        # Each slot's tokens are looked at so often that no end is seen later than its grace.
        self._look_ticks = max(1, int(limits.expiry_grace_seconds / 2 / self._tick_seconds))
        self._by_user: dict[str, tuple[Session, ...]] = {}
        self._by_address: Counter[str] = Counter()
        self._streams: dict[str, Stream] = {}
        self._unused: deque[tuple[int, Stream]] = deque()
        self._rooms_of: dict[str, tuple[Stream, ...]] = {}
        self._leaving: dict[str, float] = {}
        self._ended: OrderedDict[str, float] = OrderedDict()
        self._tasks: set[asyncio.Task[Any]] = set()
        self._handshakes = asyncio.Semaphore(limits.max_handshakes)
        self._gate = AddressGate(limits.connects_per_second, limits.connect_burst)
        self._was_away = asyncio.Event()

    def _bounds_of(self, message_bytes: int) -> Bounds:
        return Bounds(
            message_bytes=message_bytes,
            soft_bytes=self.limits.outbox_soft_bytes,
            hard_bytes=self.limits.outbox_hard_bytes,
        )

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Serve while the context lasts; in its end every socket is closed."""
        self._poller = Poller(send_buffer_bytes=self.limits.send_buffer_bytes)
        # Asked for once: each time costs a system call.
        self.now = asyncio.get_running_loop().time
        await self._bus.subscribe(CONTROL_TOPIC, self._on_control)
        self._bus.on_restored(self._was_away.set)
        aside = [
            asyncio.create_task(self._beat(), name="socket-heartbeat"),
            asyncio.create_task(self._catch_up(), name="socket-catch-up"),
            asyncio.create_task(self.days.look_again(), name="socket-slots"),
        ]
        try:
            yield
        finally:
            self.is_draining = True
            await end_all(aside)
            await self._close_all(CloseCode.GOING_AWAY)
            self._bus.unsubscribe(CONTROL_TOPIC, self._on_control)

    @property
    def poller(self) -> Poller:
        """The sockets' own part of the event loop."""
        if self._poller is None:
            raise RuntimeError("the hub is not running")
        return self._poller

    def _soon(self, due: Any) -> None:
        self.poller.soon(due)

    def sessions(self) -> Iterator[Session]:
        """All sessions that are not closing."""
        for slot in self._slots:
            yield from tuple(slot)

    # -- opening and closing --------------------------------------------------------------------

    @property
    def is_full(self) -> bool:
        """Whether this process holds as many sockets as it may."""
        return self.poller.open_count >= self.limits.max_connections

    def may_connect(self, address: str) -> bool:
        """Whether one more connection from that address is allowed now."""
        if not self._gate.take(address, self.now()):
            self.metrics.socket_limits.labels("connect_rate").inc()
            return False
        if self._by_address[address] >= self.limits.connections_per_address:
            self.metrics.socket_limits.labels("connections_per_address").inc()
            return False
        return True

    @asynccontextmanager
    async def handshake(self) -> AsyncIterator[None]:
        """As many as may wait for the database do; others wait for them, not for ever.

        Raises ``TimeoutError``.
        """
        if self._handshakes.locked():
            self.metrics.socket_limits.labels("handshakes").inc()
            async with asyncio.timeout(self.limits.handshake_wait_seconds):
                await self._handshakes.acquire()
        else:
            await self._handshakes.acquire()
        try:
            yield
        finally:
            self._handshakes.release()

    async def authenticate(self, token: str) -> tuple[Actor, datetime]:
        """Who connects, and until when his token holds.

        Raises ``NotSignedIn``, ``StoreUnavailable``, ``TimeoutError``.
        """
        remembered = self.accounts.remembered(token)
        if remembered is not None:
            return remembered
        async with self.handshake():
            return await self.accounts.actor_with_expiry(token)

    def open(
        self, kind: str, actor: Actor, expires_at: datetime, address: str, *, deflates: bool
    ) -> Session:
        """Register a connection. Raises ``NotSignedIn`` if its sign-in ended a moment ago."""
        if self.has_ended(actor):
            raise NotSignedIn
        self._numbers += 1
        session = Session(
            self._numbers,
            kind,
            actor,
            expires_at,
            address,
            self._bounds[kind],
            self,
            deflates=deflates,
        )
        self._slots[session.number % len(self._slots)].add(session)
        self._count += 1
        self._by_address[address] += 1
        mine = self._by_user.get(actor.user_id, ())
        self._by_user[actor.user_id] = (*mine, session)
        self.metrics.sockets.labels(kind).inc()
        if len(mine) >= 2 * self.limits.connections_per_user:
            # As many again are being opened and may all fail; more than that are not waited for.
            self._replace(mine[0])
        return session

    def _make_room_for(self, session: Session) -> None:
        # Only now: an opening that failed must not cost the person another connection.
        most, mine = self.limits.connections_per_user, self._by_user.get(session.user_id, ())
        if len(mine) > most:
            served = [each for each in mine if each.is_ready and each is not session]
            for each in served[: max(0, len(served) - most + 1)]:
                self._replace(each)

    def _replace(self, session: Session) -> None:
        self.metrics.socket_limits.labels("connections_per_user").inc()
        session.close_with(CloseCode.REPLACED)

    def has_ended(self, actor: Actor) -> bool:
        """Whether the sign-in ended a moment ago, perhaps while its token was looked at."""
        if not self._ended:
            return False
        long_ago = self.now() - _ENDED_SECONDS
        ids = (actor.session_id, actor.user_id)
        return any(self._ended.get(each, long_ago) > long_ago for each in ids)

    def turn_away(self, sock: socket.socket, response: bytes, code: CloseCode) -> None:
        """Upgrade and close at once, for a browser cannot see why an upgrade was refused."""
        refused = TurnedAway(self._bounds["chat"])
        self.poller.adopt(sock, refused, response, b"")
        refused.close(code, code.reason)
        self.metrics.socket_closes.labels(str(int(code))).inc()

    def name_of(self, session: Session) -> str:
        """What the connection is called in ``hello`` and in logs."""
        return f"{self._node}{session.number:x}"

    def received(self, session: Session, received: Received) -> None:
        """A frame has come."""
        session.received_count += 1
        self._on_frame(self, session, received)

    def closing(self, session: Session, code: int) -> None:
        """We have begun to close it: it counts no more."""
        self.metrics.socket_closes.labels(str(int(code))).inc()
        self._forget(session)

    def ended(self, session: Session, code: int | None) -> None:
        """The connection is gone, from whichever side."""
        self._forget(session)
        closed_with = session.closed_with
        # What clients do all day is told to who debugs; what we had to do, to everybody.
        _log.log(
            logging.DEBUG if closed_with in _ORDINARY else logging.INFO,
            "socket_closed",
            extra={
                "kind": session.kind,
                "user_id": session.user_id,
                "conn": self.name_of(session),
                "close_code": int(closed_with or code or _ABNORMAL),
                "by": "server" if closed_with else "client",
                "seconds": round((self.tick - session.opened_at) * self._tick_seconds),
                "frames_in": session.received_count,
            },
        )

    def _forget(self, session: Session) -> None:
        slot = self._slots[session.number % len(self._slots)]
        if session not in slot:
            return
        slot.discard(session)
        self._count -= 1
        self.metrics.sockets.labels(session.kind).dec()
        self.metrics.frames.labels(session.kind, "in").inc(session.received_count)
        self._by_address[session.address] -= 1
        if not self._by_address[session.address]:
            del self._by_address[session.address]
        left = tuple(other for other in self._by_user[session.user_id] if other is not session)
        if left:
            self._by_user[session.user_id] = left
        else:
            del self._by_user[session.user_id]
            self.user_pace.left(session.user_id, self.now())
        self.days.leave(session)
        stream = session.stream
        if stream is not None:
            stream.leave(session)
        if session.is_ready:
            self._exit(session)
        session.finish()
        if session.closed_with != CloseCode.NOT_SIGNED_IN:
            self.accounts.believe(session.actor, self.limits.linger_seconds)
        if stream is not None:
            self._linger_if_unused(stream)

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
        return await self._join(room_topic(room_id), room_id, "chat")

    async def join_notifications(self, user_id: str) -> Stream:
        """Subscribe to a person's own stream."""
        return await self._join(user_topic(user_id), user_id, "notifications")

    async def join_payments(self, user_id: str) -> Stream:
        """Subscribe to what becomes of a customer's payments."""
        return await self._join(payments_topic(user_id), user_id, "payments")

    async def _join(self, topic: str, key: str, kind: str) -> Stream:
        stream = self._streams.get(topic)
        if stream is None:
            stream = self._streams[topic] = Stream(topic, key, self._sources[kind], self._shared)
        stream.joining += 1
        stream.unused_since = None
        try:
            await stream.subscribe()
        except BaseException:
            self.drop(stream)
            raise
        return stream

    async def room_of(self, actor: Actor, stream: Stream) -> ChatRoom:
        """The gate of a joined room: what is known of it here holds for its members.

        Raises ``NotFound`` for others, as :meth:`ChatService.room_of` does.
        """
        room = stream.room
        if room is None or actor.user_id not in room.members:
            stream.learn_room(await self.chats.room_of(actor, stream.key))
            room = stream.room
        if room is None:
            raise RuntimeError("a room that was learnt is known")
        return room

    def add(self, stream: Stream, session: Session) -> None:
        """Put the session into a stream that it has joined."""
        stream.joining -= 1
        stream.sessions.append(session)
        session.stream = stream
        if stream.room is not None and len(stream.sessions) == 1:
            for user_id in stream.room.members:
                rooms = self._rooms_of.get(user_id, ())
                if stream not in rooms:
                    self._rooms_of[user_id] = (*rooms, stream)

    def drop(self, stream: Stream) -> None:
        """Give a joined stream up again."""
        stream.joining -= 1
        self._linger_if_unused(stream)

    def _linger_if_unused(self, stream: Stream) -> None:
        if not stream.is_unused or stream.unused_since is not None:
            return
        stream.unused_since = self.tick
        self._leave_rooms(stream)
        self._unused.append((self.tick, stream))
        if len(self._unused) > self.limits.max_lingering:
            self._end_unused(*self._unused.popleft())

    def _leave_rooms(self, stream: Stream) -> None:
        for user_id in stream.room.members if stream.room is not None else ():
            left = tuple(each for each in self._rooms_of.get(user_id, ()) if each is not stream)
            if left:
                self._rooms_of[user_id] = left
            else:
                self._rooms_of.pop(user_id, None)

    def _end_unused(self, since: int, stream: Stream) -> None:
        if stream.unused_since == since and self._streams.get(stream.topic) is stream:
            del self._streams[stream.topic]
            stream.close()

    def _end_lingering(self, until: int) -> None:
        while self._unused and self._unused[0][0] <= until:
            self._end_unused(*self._unused.popleft())

    # -- presence -------------------------------------------------------------------------------

    def enter(self, session: Session) -> None:
        """The session is open: tell the rooms that its user is here, and it who else is."""
        session.is_ready = True
        user_id, room = session.user_id, session.room
        if not self._is_known(user_id, besides=session):
            self._board.arrive(user_id)
            self._tell_presence(user_id, "online")
        self._leaving.pop(user_id, None)
        if room is not None:
            self.chats.presence.enter(room.id, user_id)
            others = [other for other in room.members if other != user_id]
            here = [other for other in others if self.is_online(other)]
            for other in here:
                self._send_presence(session, room.id, other, is_online=True)
            if len(here) < len(others):
                for other in others:
                    # The board may not say yet that he has just come to another process.
                    self.chats.heard_presence(other)
                self.spawn(self._ask_presence(session, room.id, set(others) - set(here)))
        self._make_room_for(session)

    def _is_known(self, user_id: str, besides: Session | None = None) -> bool:
        if user_id in self._leaving:
            return True
        return any(each.is_ready for each in self._by_user.get(user_id, ()) if each is not besides)

    @staticmethod
    def _send_presence(
        session: Session, room_id: str, user_id: str, *, is_online: bool | None
    ) -> None:
        state = "unknown" if is_online is None else "online" if is_online else "offline"
        session.send(PresenceEvent(room=room_id, user=user_id, state=state, last_seen=None))

    async def _ask_presence(self, session: Session, room_id: str, others: set[str]) -> None:
        first = await self._board.whereabouts(others)
        for user_id, is_online in first.items():
            self._send_presence(session, room_id, user_id, is_online=is_online)
        # Who came to another process a moment ago has told the room already, and may not be on the
        # board yet.
        absent = [user_id for user_id, is_online in first.items() if not is_online]
        if absent and self._board.delay_seconds:
            await asyncio.sleep(self._board.delay_seconds)
            for user_id, is_online in (await self._board.whereabouts(absent)).items():
                if is_online != first[user_id] and session.is_open:
                    self._send_presence(session, room_id, user_id, is_online=is_online)

    def _exit(self, session: Session) -> None:
        user_id = session.user_id
        if session.room is not None:
            self.chats.presence.leave(session.room.id, user_id)
        if not self._is_known(user_id):
            # A page that is loaded anew, or a change of network, is no parting.
            now = self.now()
            self._leaving[user_id] = now + self.limits.presence_grace_seconds

    def is_online(self, user_id: str) -> bool:
        """Whether the user has a connection here, or had one a moment ago."""
        return self._is_known(user_id)

    def _let_leave(self) -> None:
        # All wait equally long, so the first to come is the first to go.
        now, left = self.now(), []
        while self._leaving:
            user_id, at = next(iter(self._leaving.items()))
            if at > now:
                break
            del self._leaving[user_id]
            self._board.depart(user_id)
            left.append(user_id)
        if left:
            self.spawn(self._tell_left(left))

    async def _tell_left(self, user_ids: list[str]) -> None:
        for user_id, is_elsewhere in (await self._board.whereabouts(user_ids)).items():
            if not is_elsewhere and not self.is_online(user_id):
                self._tell_presence(user_id, "unknown" if is_elsewhere is None else "offline")

    def _tell_presence(self, user_id: str, state: str) -> None:
        last_seen = stamp(self.clock.now()) if state == "offline" else None
        for stream in self._rooms_of.get(user_id, ()):
            self.chats.tell_presence(stream.key, user_id, state, last_seen)

    # -- one wheel for all ----------------------------------------------------------------------

    async def _beat(self) -> None:
        while True:
            # Never faster to make up for a stall: clients need their time to answer.
            await asyncio.sleep(self._tick_seconds)
            try:
                self._turn()
            except Exception:
                _log.exception("heartbeat_failed")

    def _turn(self) -> None:
        self.tick += 1
        limits, now, wall = self.limits, self.now(), self.clock.now()
        slots = self._slots
        grace = max(1, round(limits.pong_grace_seconds / self._tick_seconds))
        pinged, late = slots[self.tick % len(slots)], slots[(self.tick - grace) % len(slots)]
        # Silent for a whole round and a grace, and asked in between: not there. Asked for twice a
        # round, so that nobody stays much longer than that.
        silent_since = self.tick - len(slots) - grace
        for back in range(0, len(slots), self._look_ticks):
            self._look_at(slots[(self.tick - back) % len(slots)], wall)
        for session in tuple(pinged):
            self.user_pace.forget(session.user_id, now)
            if session.heard_at <= silent_since:
                session.close_with(CloseCode.HEARTBEAT_MISSED)
            else:
                session.is_pinged = True
                session.push(PING, is_droppable=True)
        for session in tuple(late):
            if session.heard_at <= silent_since:
                session.close_with(CloseCode.HEARTBEAT_MISSED)
        for blocked, since in self.poller.blocked_since():
            if now - since > limits.outbox_stall_seconds and isinstance(blocked, Session):
                blocked.close_with(CloseCode.SLOW_READER)
        self.poller.end_overdue()
        self.user_pace.forget_left(now)
        self._let_leave()
        self._end_lingering(self.tick - round(limits.linger_seconds / self._tick_seconds))

    def _look_at(self, sessions: Iterable[Session], wall: datetime) -> None:
        """Tell and close those whose token runs out."""
        notice_at = wall + timedelta(seconds=self.limits.expiry_notice_seconds)
        expired_at = wall - timedelta(seconds=self.limits.expiry_grace_seconds / 2)
        for session in tuple(sessions):
            if session.expires_at > notice_at:
                continue
            if session.expires_at <= expired_at:
                session.close_with(CloseCode.TOKEN_EXPIRED)
            elif session.is_ready and not session.has_heard_of_expiry:
                session.has_heard_of_expiry = True
                left = (session.expires_at - wall).total_seconds()
                session.send(TokenExpiringEvent(in_=max(0, round(left))))

    # -- while the bus is away, and after -------------------------------------------------------

    async def _catch_up(self) -> None:
        """Read from the database what the bus may not have brought."""
        while True:
            try:
                async with asyncio.timeout(_CATCH_UP_SECONDS):
                    await self._was_away.wait()
                self._was_away.clear()
                is_back = True
            except TimeoutError:
                is_back = False
            if not is_back and self._bus.is_online:
                continue
            try:
                self._end_lingering(self.tick)
                await self._in_turns(self._fill, tuple(self._streams.values()))
                if is_back:
                    await self._in_turns(self._count_again, tuple(self._streams.values()))
                    await self._in_turns(self._check_sign_in, tuple(self.sessions()))
            except StoreUnavailable:
                self._was_away.set()
                await asyncio.sleep(_CATCH_UP_SECONDS)
            except Exception:
                _log.exception("catch_up_failed")

    @staticmethod
    async def _in_turns(act: Callable[[Any], Coroutine[Any, Any, None]], over: Any) -> None:
        waiting = iter(over)

        async def work() -> None:
            for each in waiting:
                try:
                    await act(each)
                except StoreUnavailable:
                    raise
                except Exception:
                    # One that fails must not keep the others from it.
                    _log.exception("catch_up_failed")

        done = await asyncio.gather(
            *(work() for _ in range(_CATCH_UP_READS)), return_exceptions=True
        )
        for outcome in done:
            if outcome is not None:
                raise outcome

    async def _fill(self, stream: Stream) -> None:
        if stream.delivered is not None:
            await stream.fill()
            if stream.room is not None:
                for frame in await self.chats.news_of(stream.room, stream.reads):
                    stream.receive(frame)

    async def _count_again(self, stream: Stream) -> None:
        if stream.topic == payments_topic(stream.key):
            if stream.sessions:
                for frame in await self.payments.frames_of(stream.sessions[0].actor):
                    stream.receive(frame)
            return
        if stream.sessions and stream.unread is not None:
            unread = await self.notifications.unread_count(stream.key)
            if unread != stream.unread:
                stream.receive(self.notifications.badge_frame(unread))

    async def _check_sign_in(self, session: Session) -> None:
        if session.is_open and not await self.accounts.is_signed_in(session.actor):
            session.close_with(CloseCode.NOT_SIGNED_IN)

    # -- what other parts of the product end ----------------------------------------------------

    def _on_control(self, payload: bytes) -> None:
        control = msgspec.json.decode(payload, type=_Control)
        if control.type == "session_ended":
            ended = control.session_id
            self._remember_ended(ended)
            for slot in self._slots:
                for session in [each for each in slot if each.actor.session_id == ended]:
                    session.close_with(CloseCode.NOT_SIGNED_IN)
        elif control.type == "user_ended":
            self._remember_ended(control.user_id)
            for session in self._by_user.get(control.user_id, ()):
                session.close_with(CloseCode.NOT_SIGNED_IN)
        elif control.type == "user_changed":
            for session in self._by_user.get(control.user_id, ()):
                self.spawn(self._rename(session))
        elif control.type == "member_removed":
            for session in self._by_user.get(control.user_id, ()):
                if session.room is not None and session.room.id == control.room_id:
                    session.close_with(CloseCode.REMOVED)

    async def _rename(self, session: Session) -> None:
        """Speak under the person's present name from now on."""
        actor = await self.accounts.as_now(session.actor)
        if actor is not None:
            # The sign-in may have been renewed meanwhile.
            session.actor = dataclasses.replace(actor, session_id=session.actor.session_id)

    def _remember_ended(self, ended_id: str) -> None:
        # For a connection whose token was found good in the moment before.
        self._ended[ended_id] = self.now()
        if len(self._ended) > _MAX_ENDED:
            self._ended.popitem(last=False)

    # -- going away -----------------------------------------------------------------------------

    async def drain(self) -> None:
        """Send everybody elsewhere, spread over a window, and lose nothing that was accepted.

        New sockets are refused. Each client is told when to come back and is closed at that time,
        when all that it sent has been answered; until then it is served as always.
        """
        self.is_draining = True
        window = self.limits.reconnect_window_seconds
        leaving: list[tuple[float, Session]] = []
        for place, session in enumerate(self.sessions()):
            if place % _TOLD_AT_ONCE == _TOLD_AT_ONCE - 1:
                # So many that the others are still served in between.
                await asyncio.sleep(0)
            seconds = _random.uniform(0.0, window)
            if session.is_ready:
                session.send(ReconnectEvent(after_ms=round(seconds * 1000)))
            leaving.append((seconds, session))
        leaving.sort(key=lambda each: each[0])
        began = self.now()
        parting = []
        for seconds, session in leaving:
            wait = began + seconds - self.now()
            if wait > 0:
                await asyncio.sleep(wait)
            if session.unacked:
                parting.append(asyncio.create_task(self._part(session)))
            else:
                session.close_with(CloseCode.DRAINING)
        await asyncio.gather(*parting)
        await self.chats.flush()

    @staticmethod
    async def _part(session: Session) -> None:
        await session.acked_below(1)
        session.close_with(CloseCode.DRAINING)

    async def _close_all(self, code: CloseCode) -> None:
        for session in self.sessions():
            session.close_with(code)
        self._leaving.clear()
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=_CLOSE_SECONDS)
        self.poller.close()
        for stream in tuple(self._streams.values()):
            stream.close()
        self._streams.clear()


_ABNORMAL: Final = 1006
_ORDINARY: Final = frozenset({None, CloseCode.GOING_AWAY, CloseCode.DRAINING})
