"""Sockets without a framework: what is done to a file descriptor after the upgrade.

Tornado reads the opening request; then the connection is taken from it (:func:`take_over`, the only
place that knows how) and nothing of the request is kept. All sockets stand in one epoll set of our
own, which the event loop watches as a single descriptor, so that an idle socket costs one small
object and an entry in a table, not a transport, a protocol, buffers and timers.

Writes of one turn of the loop leave together: whoever has something to send is remembered and
flushed at the end of the turn, with one system call a socket. What the kernel does not take is kept
by reference (the bytes of a broadcast are shared by all who wait for them), counted and bounded.
"""

from __future__ import annotations

import asyncio
import logging
import os
import select
import socket
import struct
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any, Final, Protocol

from tornado.ioloop import IOLoop
from tornado.iostream import IOStream

from server.ws.framing import Fault, Opcode, Partial, Received, close_frame, encode, read_frames

_log: Final = logging.getLogger(__name__)
HAS_EPOLL: Final = hasattr(select, "epoll")
_READ_BYTES: Final = 16 * 1024
"""So few that a read full of the smallest frames does not hold up the loop, nor the memory of
who has to wait with them."""
_MAX_EVENTS: Final = 256
_MAX_PARTS: Final = 512
"""Buffers of one writev; the system takes 1024."""
_MAX_PIPELINED: Final = 64 * 1024
_CLOSE_SECONDS: Final = 5.0
_SLOW_CLOSE_SECONDS: Final = 20.0
"""How long a client that does not read may take to read why it is closed; it holds only what the
kernel has of it meanwhile."""
_MAX_SLOW_CLOSING: Final = 256
"""How many of them there are at a time: who comes back again and again must not fill the kernel."""
_EMPTY_PONG: Final = b"\x8a\x80"
"""Its header, without the mask of nothing."""
_PONG: Final = Received(Opcode.PONG, b"")
_LINGER_OFF: Final = struct.pack("ii", 1, 0)
_OPEN, _CLOSING, _DEAF, _CLOSED = range(4)
"""Deaf: what the client sends has no meaning any more and is thrown away until it hangs up. To
close at once with bytes unread would reset the connection and take the close frame from it."""


class Flushable(Protocol):
    """What has something to do at the end of the turn."""

    def flush(self) -> None:
        """Do it."""
        ...


class _Watcher(Protocol):
    """Tells which descriptors are ready."""

    def watch(self, fd: int, *, reads: bool, writes: bool) -> None: ...

    def change(self, fd: int, *, reads: bool, writes: bool) -> None: ...

    def forget(self, fd: int) -> None: ...

    def close(self) -> None: ...


class Poller:
    """All sockets of a process: readiness, joined writes, closings that wait for the client.

    Parameters
    ----------
    send_buffer_bytes
        What the kernel may keep of what a client has not taken; 0 leaves it to the kernel.
    has_epoll
        False has the event loop watch each socket by itself, as it does where there is no epoll.
    """

    def __init__(self, *, send_buffer_bytes: int, has_epoll: bool = HAS_EPOLL) -> None:
        self._loop = asyncio.get_running_loop()
        self._send_buffer_bytes = send_buffer_bytes
        self._sockets: dict[int, Socket] = {}
        self._due: list[Flushable] = []
        self._blocked: dict[Socket, float] = {}
        self._closing: deque[tuple[float, Socket]] = deque()
        self._slow_closing: deque[tuple[float, Socket]] = deque()
        self.has_epoll = has_epoll
        make = _EpollWatcher if has_epoll else _LoopWatcher
        self._watcher: _Watcher = make(self._loop, self._on_ready)

    @property
    def open_count(self) -> int:
        """How many descriptors are held."""
        return len(self._sockets)

    def adopt(self, sock: socket.socket, made: Socket, head: bytes, first: bytes) -> None:
        """Take over a connected socket.

        ``head`` goes out before, and together with, the first thing that is sent; ``first`` has
        been read already. Raises ``OSError``; the socket is the caller's then.
        """
        sock.setblocking(False)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if self._send_buffer_bytes:
            # Else the kernel lets megabytes wait for a client that does not read.
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, self._send_buffer_bytes)
        fd = sock.fileno()
        self._watcher.watch(fd, reads=True, writes=False)
        sock.detach()
        made.attach(self, fd, head)
        self._sockets[fd] = made
        if first:
            self._loop.call_soon(made.take, first)

    def soon(self, due: Flushable) -> None:
        """Flush it at the end of this turn of the loop."""
        if not self._due:
            self._loop.call_soon(self.flush)
        self._due.append(due)

    def flush(self) -> None:
        """Send all that waits, now."""
        due, self._due = self._due, []
        for each in due:
            try:
                each.flush()
            except Exception:
                # One must not keep what the others wait for.
                _log.exception("flush_failed")

    def blocked_since(self) -> Iterator[tuple[Socket, float]]:
        """Sockets whose client has not taken all, with the time since when there is something."""
        return iter(tuple(self._blocked.items()))

    def end_overdue(self) -> None:
        """Cut those who were closed by us and have not answered in time."""
        now = self._loop.time()
        for waiting in (self._closing, self._slow_closing):
            while waiting and waiting[0][0] <= now:
                waiting.popleft()[1].abort()

    def close(self) -> None:
        """Give every client its close frame a last chance, then drop everything."""
        self.flush()
        for each in tuple(self._sockets.values()):
            each.abort(is_hard=False)
        self._watcher.close()

    # -- for sockets --------------------------------------------------------------------------

    def listen(self, made: Socket, fd: int) -> None:
        """Watch what the socket waits for now."""
        self._watcher.change(fd, reads=made.is_reading, writes=made.is_blocked)

    def block(self, made: Socket, fd: int) -> None:
        """The client does not take what there is: tell the socket when it does."""
        self._blocked[made] = self._loop.time()
        self.listen(made, fd)

    def unblock(self, made: Socket, fd: int) -> None:
        """All has been taken."""
        del self._blocked[made]
        self.listen(made, fd)

    def await_close(self, made: Socket, *, is_slow: bool) -> None:
        """Wait for the client's close frame, not for ever."""
        waiting = self._slow_closing if is_slow else self._closing
        seconds = _SLOW_CLOSE_SECONDS if is_slow else _CLOSE_SECONDS
        waiting.append((self._loop.time() + seconds, made))
        if is_slow and len(waiting) > _MAX_SLOW_CLOSING:
            self._slow_closing = deque(each for each in waiting if each[1]._fd >= 0)
            while len(self._slow_closing) > _MAX_SLOW_CLOSING:
                self._slow_closing.popleft()[1].abort()

    def drop(self, made: Socket, fd: int) -> None:
        """The descriptor is about to be closed."""
        self._blocked.pop(made, None)
        del self._sockets[fd]
        self._watcher.forget(fd)

    def _on_ready(self, fd: int, *, reads: bool, writes: bool, is_lost: bool) -> None:
        made = self._sockets.get(fd)
        if made is None:
            return
        try:
            if writes:
                made.flush()
            if reads:
                made.on_readable()
            elif is_lost:
                # Nothing can be read any more, or reading is paused and the client has gone.
                made.on_lost()
        except Exception:
            # What it said may have been acted on by half: it comes back and resumes.
            _log.exception("socket_failed")
            made.abort()


OnReady = Callable[..., None]


class _EpollWatcher:
    """One epoll set inside the loop's own."""

    def __init__(self, loop: asyncio.AbstractEventLoop, on_ready: OnReady) -> None:
        self._loop = loop
        self._on_ready = on_ready
        self._epoll = select.epoll()
        loop.add_reader(self._epoll.fileno(), self._poll)

    def watch(self, fd: int, *, reads: bool, writes: bool) -> None:
        self._epoll.register(fd, _mask(reads=reads, writes=writes))

    def change(self, fd: int, *, reads: bool, writes: bool) -> None:
        self._epoll.modify(fd, _mask(reads=reads, writes=writes))

    def forget(self, fd: int) -> None:
        self._epoll.unregister(fd)

    def close(self) -> None:
        self._loop.remove_reader(self._epoll.fileno())
        self._epoll.close()

    def _poll(self) -> None:
        # Bounded, so that a storm leaves the rest of the loop its turns.
        for fd, events in self._epoll.poll(0, _MAX_EVENTS):
            self._on_ready(
                fd,
                reads=bool(events & select.EPOLLIN),
                writes=bool(events & select.EPOLLOUT),
                is_lost=bool(events & (select.EPOLLHUP | select.EPOLLERR)),
            )


def _mask(*, reads: bool, writes: bool) -> int:
    return (select.EPOLLIN if reads else 0) | (select.EPOLLOUT if writes else 0)


class _LoopWatcher:
    """The event loop itself, where there is no epoll."""

    def __init__(self, loop: asyncio.AbstractEventLoop, on_ready: OnReady) -> None:
        self._loop = loop
        self._on_ready = on_ready
        self._watched: set[int] = set()

    def watch(self, fd: int, *, reads: bool, writes: bool) -> None:
        self._watched.add(fd)
        self.change(fd, reads=reads, writes=writes)

    def change(self, fd: int, *, reads: bool, writes: bool) -> None:
        if reads:
            self._loop.add_reader(fd, self._ready_to_read, fd)
        else:
            self._loop.remove_reader(fd)
        if writes:
            self._loop.add_writer(fd, self._ready_to_write, fd)
        else:
            self._loop.remove_writer(fd)

    def forget(self, fd: int) -> None:
        self._watched.discard(fd)
        self._loop.remove_reader(fd)
        self._loop.remove_writer(fd)

    def close(self) -> None:
        for fd in tuple(self._watched):
            self.forget(fd)

    def _ready_to_read(self, fd: int) -> None:
        self._on_ready(fd, reads=True, writes=False, is_lost=False)

    def _ready_to_write(self, fd: int) -> None:
        self._on_ready(fd, reads=False, writes=True, is_lost=False)


class Socket:
    """One WebSocket after its upgrade. Subclasses say what is done with what comes.

    Parameters
    ----------
    limit
        The largest message that is accepted, bytes.
    soft_bytes, hard_bytes
        While more than the first waits for the client, droppable frames are dropped; what would
        pass the second is refused.
    deflates
        Whether permessage-deflate was agreed on.
    """

    __slots__ = (
        "_fd",
        "_is_blocked",
        "_is_due",
        "_offset",
        "_out",
        "_partial",
        "_poller",
        "_queued",
        "_state",
        "_waiter",
        "bounds",
        "deflates",
        "is_reading",
    )

    _poller: Poller

    def __init__(self, bounds: Bounds, *, deflates: bool = False) -> None:
        self.bounds = bounds
        self.deflates = deflates
        self.is_reading = True
        self._fd = -1
        self._is_blocked = False
        self._is_due = False
        self._out: list[bytes] | None = None
        self._offset = 0
        self._queued = 0
        self._partial: Partial | None = None
        self._state = _CLOSED
        self._waiter: asyncio.Future[None] | None = None

    def attach(self, poller: Poller, fd: int, head: bytes) -> None:
        """Begin to live on a descriptor; called by the poller."""
        self._poller = poller
        self._fd = fd
        self._state = _OPEN
        self._out = [head] if head else None
        self._queued = len(head)

    # -- for subclasses -------------------------------------------------------------------------

    def on_received(self, received: Received) -> None:
        """A message has come, or a ping or pong (a ping is answered already)."""
        raise NotImplementedError

    def on_overflow(self) -> None:
        """More waits for the client than may; the subclass closes."""
        raise NotImplementedError

    def on_end(self, code: int | None) -> None:
        """The connection has ended, once; ``code`` is the client's close code, if it sent one."""
        raise NotImplementedError

    def on_bytes(self) -> None:
        """Something came: a sign of life."""

    # -- sending --------------------------------------------------------------------------------

    @property
    def is_open(self) -> bool:
        """Whether anything can be sent."""
        return self._state == _OPEN

    @property
    def is_blocked(self) -> bool:
        """Whether the client has not taken all that was sent."""
        return self._is_blocked

    @property
    def queued_bytes(self) -> int:
        """How many bytes wait to be sent."""
        return self._queued

    def send_frame(self, frame: bytes, *, is_droppable: bool = False) -> None:
        """Send a finished frame at the end of this turn; nothing once the socket is closing."""
        if self._state != _OPEN or not frame:
            return
        queued = self._queued
        if queued > self.bounds.soft_bytes:
            if is_droppable:
                return
            if queued + len(frame) > self.bounds.hard_bytes:
                if not self._make_room(frame):
                    return
                queued = self._queued
        if self._out is None:
            self._out = [frame]
        else:
            self._out.append(frame)
        self._queued = queued + len(frame)
        if not self._is_due:
            self._is_due = True
            self._poller.soon(self)

    def push(self, blob: bytes, *, is_droppable: bool = False) -> None:
        """Send finished frames at once, behind what waits already."""
        if self._out is not None or self._state != _OPEN:
            self.send_frame(blob, is_droppable=is_droppable)
            return
        try:
            sent = os.write(self._fd, blob)
        except BlockingIOError:
            sent = 0
        except OSError:
            self.on_lost()
            return
        if sent != len(blob):
            self._out, self._offset, self._queued = [blob], sent, len(blob) - sent
            self._block()
            if self._queued > self.bounds.hard_bytes:
                self.on_overflow()

    def _make_room(self, frame: bytes) -> bool:
        self.flush()
        if self._state != _OPEN:
            return False
        if self._queued and self._queued + len(frame) > self.bounds.hard_bytes:
            self.on_overflow()
            return False
        return True

    def flush(self) -> None:
        """Write what waits; called at the end of a turn and when the client reads again."""
        self._is_due = False
        out = self._out
        if out is None or self._fd < 0:
            return
        try:
            while out and not self._offset:
                self._write(out)
            if out:
                self._write(out)
        except BlockingIOError:
            pass
        except OSError:
            self.on_lost()
            return
        if out:
            self._block()
            if self._queued <= self.bounds.soft_bytes:
                self._wake()
            return
        self._out = None
        if self._is_blocked:
            self._is_blocked = False
            self._poller.unblock(self, self._fd)
        self._hang_up()
        self._wake()

    def _write(self, out: list[bytes]) -> None:
        if len(out) == 1 and not self._offset:
            sent = os.write(self._fd, out[0])
        else:
            sent = os.writev(self._fd, self._parts(out))
        self._queued -= sent
        sent += self._offset
        done = 0
        for part in out:
            if sent < len(part):
                break
            sent -= len(part)
            done += 1
        del out[:done]
        self._offset = sent

    def _block(self) -> None:
        # What waits goes on when the client reads, not at the end of a turn.
        self._is_due = True
        if not self._is_blocked:
            self._is_blocked = True
            self._poller.block(self, self._fd)

    def _parts(self, out: list[bytes]) -> list[Any]:
        parts: list[Any] = out[:_MAX_PARTS]
        if self._offset:
            parts[0] = memoryview(parts[0])[self._offset :]
        return parts

    def is_behind(self) -> bool:
        """Whether more than the soft limit waits, after the kernel has taken what it takes."""
        if self._queued > self.bounds.soft_bytes:
            self.flush()
        return self._queued > self.bounds.soft_bytes

    async def drained(self) -> None:
        """Return when no more than the soft limit waits, or when the socket has ended."""
        self.is_behind()
        while self._state == _OPEN and self._queued > self.bounds.soft_bytes:
            if self._waiter is None:
                self._waiter = self._poller._loop.create_future()
            await asyncio.shield(self._waiter)

    def _wake(self) -> None:
        if self._waiter is not None:
            waiter, self._waiter = self._waiter, None
            if not waiter.done():
                waiter.set_result(None)

    # -- receiving ------------------------------------------------------------------------------

    def pause(self) -> None:
        """Read nothing more until :meth:`resume`."""
        if self.is_reading and self._state == _OPEN:
            self.is_reading = False
            self._poller.listen(self, self._fd)

    def resume(self) -> None:
        """Read on."""
        if not self.is_reading and self._fd >= 0:
            self.is_reading = True
            self._poller.listen(self, self._fd)

    def on_readable(self) -> None:
        """Read once; what is left makes the socket readable again."""
        try:
            data = os.read(self._fd, _READ_BYTES)
        except BlockingIOError:
            return
        except OSError:
            self.on_lost()
            return
        if data:
            self.take(data)
        else:
            self.on_lost()

    def take(self, data: bytes) -> None:
        """Act on bytes that came."""
        if self._state >= _DEAF:
            return
        if len(data) == 6 and data[:2] == _EMPTY_PONG and self._partial is None:
            # All that an idle client ever says.
            if self._state == _OPEN:
                self.on_bytes()
                self.on_received(_PONG)
            return
        received, self._partial, fault = read_frames(
            data, self._partial, self.bounds.message_bytes, deflate=self.deflates
        )
        if self._state == _OPEN:
            self.on_bytes()
        for each in received:
            if each.opcode == Opcode.CLOSE:
                if self._state == _OPEN:
                    self._on_close(each.payload)
                else:
                    self._end(None)
                return
            if self._state != _OPEN:
                continue
            if each.opcode == Opcode.PING:
                self.send_frame(encode(each.payload, Opcode.PONG), is_droppable=True)
            self.on_received(each)
        if fault is not None:
            if self._state == _OPEN:
                self.on_fault(fault)
            if self._state == _CLOSING:
                self._state = _DEAF
                self.flush()
                self._hang_up()

    def _hang_up(self) -> None:
        """Tell a client that is not heard any more that nothing follows the close frame."""
        if self._state == _DEAF and self._out is None and self._fd >= 0:
            with _borrowed(self._fd) as sock, suppress(OSError):
                sock.shutdown(socket.SHUT_WR)

    def on_fault(self, fault: Fault) -> None:
        """The client broke the protocol of frames."""
        self.close(fault.code, fault.reason)

    def _on_close(self, payload: bytes) -> None:
        code = int.from_bytes(payload[:2], "big") if payload else None
        self._forget_waiting()
        self._append(close_frame(code or 1000))
        self._state = _CLOSING
        self.flush()
        self._end(code)

    # -- ending ---------------------------------------------------------------------------------

    def close(self, code: int, reason: str = "") -> None:
        """Tell the client why, then wait for its answer for some seconds; nothing else is sent."""
        if self._state != _OPEN:
            return
        is_slow = self._queued > self.bounds.soft_bytes
        if is_slow:
            self._forget_waiting()
        self._append(close_frame(code, reason))
        self._state = _CLOSING
        if not self._is_due:
            self._is_due = True
            self._poller.soon(self)
        self._poller.await_close(self, is_slow=is_slow)
        self._wake()
        self.resume()

    def _append(self, frame: bytes) -> None:
        self._out = [*(self._out or ()), frame]
        self._queued += len(frame)

    def _forget_waiting(self) -> None:
        """Keep only the frame of which a part has left: without its end nothing more is read."""
        out = self._out
        if out:
            kept = out[:1] if self._offset else []
            self._out = kept or None
            self._queued = sum(map(len, kept)) - self._offset if kept else 0

    def abort(self, *, is_hard: bool = True) -> None:
        """Drop the connection, with what the kernel still has of it."""
        if self._fd >= 0 and is_hard and self._queued:
            with _borrowed(self._fd) as sock:
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _LINGER_OFF)
        self._end(None)

    def on_lost(self) -> None:
        """The client has gone."""
        self._end(None)

    def _end(self, code: int | None) -> None:
        if self._fd < 0:
            return
        fd, self._fd = self._fd, -1
        self._state = _CLOSED
        self._poller.drop(self, fd)
        os.close(fd)
        self._out, self._partial, self._queued = None, None, 0
        self._wake()
        self.on_end(code)


class TurnedAway(Socket):
    """A client that was refused after its upgrade: it is told why, and nothing else."""

    __slots__ = ()

    def on_received(self, received: Received) -> None:
        """It has nothing to say."""

    def on_overflow(self) -> None:
        """Nothing is sent to it."""

    def on_end(self, code: int | None) -> None:
        """Nobody waits for it."""


class Bounds:
    """Sizes in bytes that all sockets of one kind share."""

    __slots__ = ("hard_bytes", "message_bytes", "soft_bytes")

    def __init__(self, *, message_bytes: int, soft_bytes: int, hard_bytes: int) -> None:
        self.message_bytes = message_bytes
        self.soft_bytes = soft_bytes
        self.hard_bytes = hard_bytes


@contextmanager
def _borrowed(fd: int) -> Iterator[socket.socket]:
    sock = socket.socket(fileno=fd)
    try:
        yield sock
    finally:
        sock.detach()


def take_over(stream: IOStream) -> tuple[socket.socket, bytes] | None:
    """Take the socket out of Tornado's stream, with what it has read beyond the request.

    The stream must have been detached from its request. None when the client has gone.
    """
    if stream.closed():
        return None
    ahead = stream.read_bytes(_MAX_PIPELINED, partial=True)
    if stream.closed():
        return None
    first = ahead.result() if isinstance(ahead, asyncio.Future) and ahead.done() else b""
    stream.set_close_callback(None)
    sock: socket.socket = stream.socket
    IOLoop.current().remove_handler(sock)
    return sock, first
