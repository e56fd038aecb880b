"""Several server processes behind one port, kept by a parent that serves nothing itself.

Each child has a listening socket of its own in one group (``SO_REUSEPORT``): the kernel deals new
connections out by a hash, evenly, which one shared socket does not (whichever process wakes first
takes whatever waits). The parent opens the sockets and keeps them open, so a connection that
arrives while a child is replaced waits in its queue and is not refused.

A child that ends is started again; one that ends at once again and again ends everything. SIGHUP
replaces the children one after the other: the new one is ready before the old one is told to go.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import socket
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import structlog
from tornado import netutil

from server.store.embedded import die_with_parent
from server.tasks import end_all

_log: Final = structlog.get_logger(__name__)
_BACKLOG: Final = 1024
_READY: Final = b"r"
_RESTART_SECONDS: Final = (0.1, 0.5, 1.0, 2.0, 5.0)
_SOON_SECONDS: Final = 10.0
_MAX_SOON: Final = 6
_START_SECONDS: Final = 90.0
_KILL_AFTER_DRAIN_SECONDS: Final = 10.0


class ChildrenKeepEndingError(RuntimeError):
    """A child ended soon after its start, time after time; its own log says why."""


def bind_group(host: str, port: int, count: int) -> list[list[socket.socket]]:
    """Open ``count`` groups of listening sockets on one port, a group for each child.

    A group has one socket for each address of ``host``. Port 0 takes a free one for all. Raises
    ``OSError``.
    """
    groups = []
    for _ in range(count):
        group = netutil.bind_sockets(port, host, backlog=_BACKLOG, reuse_port=True)
        port = group[0].getsockname()[1]
        groups.append(group)
    return groups


@dataclass(frozen=True, slots=True)
class Inherited:
    """What a child gets from its parent: listening sockets, and where to say that it is ready."""

    sockets: list[socket.socket]
    ready_fd: int

    @classmethod
    def of(cls, text: str) -> Inherited:
        """Read it as it stands on the child's command line."""
        numbers, _, ready = text.partition("/")
        return cls([socket.socket(fileno=int(each)) for each in numbers.split(",")], int(ready))

    def say_ready(self) -> None:
        """Tell the parent, once."""
        os.write(self.ready_fd, _READY)
        os.close(self.ready_fd)


class _Child:
    """One process, and whether it has said that it is ready."""

    def __init__(self, process: asyncio.subprocess.Process, began: float) -> None:
        self.process = process
        self.began = began
        self.is_ready = False

    @property
    def is_running(self) -> bool:
        return self.process.returncode is None

    def signal(self, number: signal.Signals) -> None:
        with contextlib.suppress(ProcessLookupError):
            self.process.send_signal(number)


class ProcessGroup:
    """Keeps one child for each group of sockets.

    Parameters
    ----------
    command
        Starts a child; what it inherits is added in the end.
    environment
        Its environment.
    groups
        See :func:`bind_group`.
    drain_seconds
        How long a child may take to end after SIGTERM; ten seconds later it is killed.
    on_end
        Called with the process id of each child that has ended.
    """

    def __init__(
        self,
        command: Sequence[str],
        environment: Mapping[str, str],
        groups: Sequence[Sequence[socket.socket]],
        drain_seconds: float,
        on_end: Callable[[int], None] = lambda pid: None,
    ) -> None:
        self._command = tuple(command)
        self._environment = dict(environment)
        self._groups = groups
        self._end_seconds = drain_seconds + _KILL_AFTER_DRAIN_SECONDS
        self._on_end = on_end
        self._children: list[_Child | None] = [None for _ in groups]
        self._running: set[_Child] = set()
        self._locks = [asyncio.Lock() for _ in groups]
        self._stop = asyncio.Event()
        self._rolling: asyncio.Task[None] | None = None

    async def run(self) -> None:
        """Serve until :meth:`stop`; then every child has ended.

        Raises ``ChildrenKeepEndingError``.
        """
        stopping = asyncio.create_task(self._stop.wait())
        keepers: list[asyncio.Task[None]] = []
        try:
            # The first one alone: it brings the database up to date, the others find it so.
            for slot in range(len(self._groups)):
                ready = asyncio.Event()
                keepers.append(asyncio.create_task(self._keep(slot, ready), name=f"keep-{slot}"))
                if slot == 0:
                    waiting = asyncio.create_task(ready.wait())
                    await asyncio.wait(
                        {waiting, stopping, *keepers}, return_when=asyncio.FIRST_COMPLETED
                    )
                    waiting.cancel()
            done, _ = await asyncio.wait({stopping, *keepers}, return_when=asyncio.FIRST_COMPLETED)
            for task in done - {stopping}:
                task.result()
        finally:
            self._stop.set()
            tasks = [stopping, *keepers, *([self._rolling] if self._rolling else [])]
            await end_all(tasks)
            await asyncio.gather(*(self._end(child) for child in tuple(self._running)))

    def stop(self) -> None:
        """End all children; called again, they end without finishing what is running."""
        if self._stop.is_set():
            for child in self._running:
                child.signal(signal.SIGTERM)
        self._stop.set()

    def roll(self) -> None:
        """Replace the children one after the other, unless that is being done already."""
        if not self._stop.is_set() and (self._rolling is None or self._rolling.done()):
            self._rolling = asyncio.create_task(self._roll(), name="roll")

    async def _keep(self, slot: int, ready: asyncio.Event) -> None:
        loop = asyncio.get_running_loop()
        soon = 0
        while True:
            async with self._locks[slot]:
                child = self._children[slot]
                if child is None or not child.is_running:
                    child = self._children[slot] = await self._start(slot)
                    if child.is_ready:
                        ready.set()
            status = await child.process.wait()
            self._gone(child)
            if self._children[slot] is not child:
                # It was replaced in order.
                continue
            soon = soon + 1 if loop.time() - child.began < _SOON_SECONDS else 1
            _log.error("process_ended", slot=slot, status=status, soon=soon)
            if soon >= _MAX_SOON:
                raise ChildrenKeepEndingError("the server processes end as soon as they start")
            await asyncio.sleep(_RESTART_SECONDS[min(soon, len(_RESTART_SECONDS)) - 1])

    async def _roll(self) -> None:
        for slot in range(len(self._groups)):
            async with self._locks[slot]:
                new = await self._start(slot)
                if not new.is_ready:
                    _log.error("process_not_replaced", slot=slot)
                    await self._end(new)
                    return
                old, self._children[slot] = self._children[slot], new
            if old is not None:
                await self._end(old)
            _log.info("process_replaced", slot=slot, pid=new.process.pid)

    async def _start(self, slot: int) -> _Child:
        """Start a child and wait until it is ready, or has ended, or has taken too long."""
        read, write = os.pipe()
        try:
            numbers = [each.fileno() for each in self._groups[slot]]
            inherited = f"{','.join(map(str, numbers))}/{write}"
            process = await asyncio.create_subprocess_exec(
                *self._command,
                *("--inherited", inherited),
                env=self._environment,
                pass_fds=(*numbers, write),
                stdin=asyncio.subprocess.DEVNULL,
                # A session of its own: Ctrl-C reaches the parent, which tells its children once.
                start_new_session=True,
                preexec_fn=die_with_parent if sys.platform == "linux" else None,
            )
            child = _Child(process, asyncio.get_running_loop().time())
            self._running.add(child)
        except BaseException:
            os.close(read)
            raise
        finally:
            os.close(write)
        child.is_ready = await _is_said(read)
        if child.is_ready:
            _log.info("process_ready", slot=slot, pid=process.pid)
        elif child.is_running:
            _log.error("process_not_ready", slot=slot, pid=process.pid)
            child.signal(signal.SIGTERM)
        return child

    async def _end(self, child: _Child) -> None:
        child.signal(signal.SIGTERM)
        try:
            await asyncio.wait_for(child.process.wait(), self._end_seconds)
        except TimeoutError:
            _log.error("process_killed", pid=child.process.pid)
            child.signal(signal.SIGKILL)
            await child.process.wait()
        self._gone(child)

    def _gone(self, child: _Child) -> None:
        if child in self._running:
            self._running.discard(child)
            self._on_end(child.process.pid)


async def _is_said(read: int) -> bool:
    """Whether a child says that it is ready, before it ends or takes too long."""
    loop = asyncio.get_running_loop()
    answer: asyncio.Future[bytes] = loop.create_future()

    def on_readable() -> None:
        loop.remove_reader(read)
        if not answer.done():
            answer.set_result(os.read(read, 1))

    loop.add_reader(read, on_readable)
    try:
        return await asyncio.wait_for(answer, _START_SECONDS) == _READY
    except TimeoutError:
        return False
    finally:
        loop.remove_reader(read)
        os.close(read)
