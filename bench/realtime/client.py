"""Very many client sockets for as little processor time as Python allows.

All sockets hang in one epoll of our own; a turn reads once from each that is ready. No stream, no
task, no queue, no callback for a delivery that another socket has had before: the bytes are equal,
so the span of numbers is known, and all that is left is to compare it with what this socket must
get next. Whatever breaks the protocol is counted, never forgiven.
"""

from __future__ import annotations

import asyncio
import os
import select
import socket
from collections.abc import Callable
from typing import Final

from bench.realtime.dialects import Dialect, Event, Kind
from bench.realtime.wire import (
    CLOSE,
    PING,
    PONG,
    Control,
    Reader,
    Span,
    answer_end,
    frame,
)

ABNORMAL: Final = 1006
_CHUNK: Final = 16 * 1024
_FIRST_SECONDS, _LEAST_SECONDS, _MOST_SECONDS = 0.02, 0.005, 0.2
_STEP: Final = 1.5
_AT_ONCE: Final = 4096
_NO_STATUS: Final = 1005
_PLACES_A_NET: Final = 5000
_HOSTS: Final = 200


class Connection:
    """One socket. ``take`` is called with each event; ``ready`` ends when the server has admitted.

    ``cursor`` is the number up to which it has everything. A listener (``is_listener``) gets only
    messages and only counts them: ``heard_span`` is called for it if it ``is_sampled``, and
    otherwise the poller's ``heard`` is all that grows. ``pings`` counts heartbeats answered,
    ``code`` is the close code once it is closed.
    """

    __slots__ = (
        "_first", "_is_open", "_opening", "_outgoing", "_rest", "_sock", "closed",
        "code", "cursor", "fault", "is_listener", "is_plain", "is_sampled", "pings", "poller",
        "ready",
        "was_busy",
    )  # fmt: skip

    def __init__(self, opening: bytes, first: bytes = b"", after: int = 0) -> None:
        loop = asyncio.get_running_loop()
        self.ready: asyncio.Future[int] = loop.create_future()
        self.closed: asyncio.Future[int] = loop.create_future()
        self.cursor = after
        self.fault = ""
        self.was_busy = False
        self.is_listener = False
        self.is_sampled = False
        self.is_plain = False
        """A listener that stands between two frames: the short way may be gone."""
        self.pings = 0
        self.code = 0
        self._opening = opening
        self._first = first
        self._outgoing = b""
        self._rest = b""
        self._is_open = False
        self.poller: Poller | None = None
        self._sock: socket.socket | None = None

    # -- for subclasses --------------------------------------------------------------------------

    def take(self, event: Event) -> None:
        """Act on an event."""

    def heard_span(self, span: Span) -> None:
        """Act on messages that came the short way."""

    def lost(self) -> None:
        """The connection is gone."""

    # -- what is called from outside -------------------------------------------------------------

    @property
    def is_gone(self) -> bool:
        """Whether it is closed."""
        return self._sock is None

    def send(self, *payloads: bytes) -> None:
        """Send text frames, in one write."""
        self._write(b"".join(map(frame, payloads)))

    def pause(self) -> None:
        """Read no more."""
        if self.poller is not None and self._sock is not None:
            self.poller.watch(self._sock, 0)

    def resume(self) -> None:
        """Read again."""
        if self.poller is not None and self._sock is not None:
            self.poller.watch(self._sock, select.EPOLLIN)

    def drop(self) -> None:
        """Vanish without a word, as a phone does that loses its network."""
        if self._sock is None or self.poller is None:
            return
        self.poller.remove(self._sock)
        self._sock.close()
        self._sock = None
        self.is_plain = False
        self.code = self.code or ABNORMAL
        for future in (self.ready, self.closed):
            if not future.done():
                future.set_result(self.code)
        self.lost()

    # -- what the poller calls -------------------------------------------------------------------

    def opened(self, poller: Poller, sock: socket.socket) -> None:
        """Ask for the upgrade."""
        self.poller, self._sock = poller, sock
        self._write(self._opening)

    def read(self, data: bytes) -> None:
        """Read a chunk the long way."""
        try:
            start = 0
            data = self._rest + data
            if not self._is_open:
                start = answer_end(data)
                if not start:
                    self._rest = data
                    return
                self._is_open = True
                if self._first:
                    self.send(self._first)
            self._read_frames(data, start)
        except ValueError as error:
            self.was_busy = not self._is_open and " 503 " in str(error)
            self.fault = self.fault or f"{type(error).__name__}: {error}"
            self.drop()

    def flush(self) -> None:
        """Write what could not be written before."""
        data, self._outgoing = self._outgoing, b""
        self._write(data)
        if not self._outgoing:
            self.resume()

    # -- within ----------------------------------------------------------------------------------

    def _read_frames(self, data: bytes, start: int) -> None:
        poller = self.poller
        assert poller is not None
        found, self._rest = poller.reader.walk(data, start, is_shared=self.is_listener)
        for each in found:
            if isinstance(each, Control):
                self._control(each)
            elif each.kind is Kind.PING:
                self.pings += 1
                self.send(poller.reader.dialect.pong)
            else:
                self.take(each)
                if each.kind is Kind.HISTORY and not self.ready.done():
                    self.ready.set_result(0)
        self.is_plain = self.is_listener and not self._rest and self._sock is not None

    def _control(self, control: Control) -> None:
        if control.opcode == PING:
            self.pings += 1
            self._write(frame(control.payload, PONG))
        elif control.opcode == CLOSE:
            payload = control.payload
            self.code = int.from_bytes(payload[:2], "big") if len(payload) >= 2 else _NO_STATUS
            self._write(frame(payload[:2], CLOSE))
            self.drop()

    def _write(self, data: bytes) -> None:
        if self._sock is None or self.poller is None:
            return
        if self._outgoing:
            self._outgoing += data
            return
        try:
            sent = self._sock.send(data)
        except BlockingIOError:
            sent = 0
        except OSError:
            return  # The poller is told of it too.
        if sent < len(data):
            self._outgoing = data[sent:]
            self.poller.watch(self._sock, select.EPOLLIN | select.EPOLLOUT)


class Poller:
    """Reads from all connections of one dialect.

    ``heard`` is the number of messages that listeners have got, ``reads`` how many readings of the
    short way brought them. ``after_turn`` is called when
    everything that was ready has been read.
    """

    def __init__(self, dialect: Dialect) -> None:
        self.reader = Reader(dialect)
        self.heard = 0
        self.reads = 0
        self.after_turn: Callable[[], None] | None = None
        self._loop = asyncio.get_running_loop()
        self._connections: dict[int, Connection] = {}
        self._epoll = select.epoll()
        self._timer: asyncio.TimerHandle | None = None
        self._loop.add_reader(self._epoll.fileno(), self._turn)

    async def open(
        self, connection: Connection, port: int, place: int, *, receive_bytes: int = 0
    ) -> None:
        """Connect from one of many loopback addresses, so that no one runs out of ports.

        ``receive_bytes`` bounds the kernel's buffer of what was received but not read. Raises
        ``OSError``.
        """
        sock = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        try:
            sock.setblocking(False)
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            if receive_bytes:
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_bytes)
            # The port is chosen at connect, so that equal ports may serve different destinations.
            sock.setsockopt(socket.IPPROTO_IP, getattr(socket, "IP_BIND_ADDRESS_NO_PORT", 24), 1)
            sock.bind((f"127.0.{1 + place // _PLACES_A_NET}.{2 + place % _HOSTS}", 0))
            await self._loop.sock_connect(sock, ("127.0.0.1", port))
        except BaseException:
            sock.close()
            raise
        self._connections[sock.fileno()] = connection
        self._epoll.register(sock.fileno(), select.EPOLLIN)
        connection.opened(self, sock)

    def read_in_bulk(self, joined: float) -> None:
        """Read by the clock, so seldom that about ``joined`` messages wait on each socket.

        A client on another machine would not wake for each delivery at the server's cost either.
        """
        self._loop.remove_reader(self._epoll.fileno())
        self._tick(_FIRST_SECONDS, joined)

    def read_at_once(self) -> None:
        """Read whatever comes when it comes; the way in which a poller begins."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        self._loop.add_reader(self._epoll.fileno(), self._turn)

    def watch(self, sock: socket.socket, events: int) -> None:
        """Wait for these events of a socket."""
        self._epoll.modify(sock.fileno(), events)

    def remove(self, sock: socket.socket) -> None:
        """Forget a socket that is going to be closed."""
        self._connections.pop(sock.fileno(), None)
        self._epoll.unregister(sock.fileno())

    def close(self) -> None:
        """Drop all connections and read no more."""
        for connection in tuple(self._connections.values()):
            connection.drop()
        if self._timer is not None:
            self._timer.cancel()
        self._loop.remove_reader(self._epoll.fileno())
        self._epoll.close()

    def _tick(self, seconds: float, joined: float) -> None:
        heard, reads = self.heard, self.reads
        self._turn()
        reads = self.reads - reads
        found = (self.heard - heard) / reads if reads else joined
        if found < joined:
            seconds = min(seconds * _STEP, _MOST_SECONDS)
        elif found > joined * _STEP:
            seconds = max(seconds / _STEP, _LEAST_SECONDS)
        self._timer = self._loop.call_later(seconds, self._tick, seconds, joined)

    def _turn(self) -> None:
        known, connections, read = self.reader.known, self._connections, os.read
        heard = reads = 0
        for number, events in self._epoll.poll(0, _AT_ONCE):
            connection = connections.get(number)
            if connection is None:
                continue
            if events & select.EPOLLOUT:
                connection.flush()
                continue
            try:
                data = read(number, _CHUNK)
            except BlockingIOError:
                continue
            except OSError:
                data = b""
            if not data:
                connection.drop()
                continue
            span = known(data)
            if span is None or not connection.is_plain or span[0] != connection.cursor + 1:
                connection.read(data)
                continue
            connection.cursor = span[1]
            reads += 1
            heard += span[1] - span[0] + 1
            if connection.is_sampled:
                connection.heard_span(span)
        self.heard += heard
        self.reads += reads
        if self.after_turn is not None:
            self.after_turn()
