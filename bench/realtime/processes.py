"""What a process costs, as the kernel counts it."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Final

_TICKS: Final = os.sysconf("SC_CLK_TCK")
_QUIET_SECONDS: Final = 0.3
_USER, _SYSTEM = 11, 12


def cpu_seconds(pids: Sequence[int]) -> float:
    """Processor time of these processes, user and system, all threads."""
    total = 0
    for pid in pids:
        # The name in brackets may hold blanks; what follows the last bracket does not.
        fields = Path(f"/proc/{pid}/stat").read_text(encoding="ascii").rpartition(")")[2].split()
        total += int(fields[_USER]) + int(fields[_SYSTEM])
    return total / _TICKS


def resident_bytes(pids: Sequence[int]) -> int:
    """Resident memory of these processes."""
    total = 0
    for pid in pids:
        for line in Path(f"/proc/{pid}/status").read_text(encoding="ascii").splitlines():
            if line.startswith("VmRSS:"):
                total += int(line.split()[1]) * 1024
    return total


def socket_buffer_bytes() -> int:
    """What the kernel holds in TCP buffers of the whole machine; no process is charged for it."""
    for line in Path("/proc/net/sockstat").read_text(encoding="ascii").splitlines():
        if line.startswith("TCP:"):
            return int(line.split()[-1]) * os.sysconf("SC_PAGE_SIZE")
    return 0


class Spent:
    """What other programs of the machine take from when this was made: they spoil a measurement."""

    def __init__(self) -> None:
        self._began = time.monotonic()
        self._before = _others_seconds()

    def by_others(self) -> float:
        """How many cores' time they took on average; those of our own that have ended are ours."""
        return max(0.0, _others_seconds() - self._before) / (time.monotonic() - self._began)


def _others_seconds() -> float:
    with Path("/proc/stat").open(encoding="ascii") as file:
        user, nice, system, _idle, _wait, *interrupts = map(int, file.readline().split()[1:8])
    own = os.times()
    return (user + nice + system + sum(interrupts)) / _TICKS - sum(own[:4])


async def until_quiet(pids: Sequence[int], seconds: float = 20.0) -> None:
    """Return when the processes have nearly nothing left to do, at the latest after ``seconds``."""
    loop = asyncio.get_running_loop()
    end = loop.time() + seconds
    before = cpu_seconds(pids)
    while loop.time() < end:
        await asyncio.sleep(_QUIET_SECONDS)
        now = cpu_seconds(pids)
        if now - before <= 0.02:
            return
        before = now
