"""A port of loopback for a process that is started on it now, and again after it has ended."""

from __future__ import annotations

import random
import socket
from pathlib import Path
from typing import Final

HOST: Final = "127.0.0.1"
_OUTGOING: Final = Path("/proc/sys/net/ipv4/ip_local_port_range")
_LOWEST: Final = 10_000
_USUAL_LOWEST_OUTGOING: Final = 32_768
_ATTEMPTS: Final = 1000


def free_port() -> int:
    """A port on which nobody listens.

    Of those below the ones that the system gives to outgoing connections. One of these could take
    the port before, or between two starts of, the process that is to listen there; even the very
    connection with which somebody asks whether it listens already, which then meets itself.

    Raises
    ------
    OSError
        If none is found.
    """
    above = max(_lowest_outgoing(), _LOWEST + _ATTEMPTS)
    for port in random.SystemRandom().sample(range(_LOWEST, above), _ATTEMPTS):
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind((HOST, port))
            except OSError:
                continue
            return port
    raise OSError("no port of loopback is free")


def _lowest_outgoing() -> int:
    try:
        return int(_OUTGOING.read_text(encoding="ascii").split()[0])
    except (OSError, ValueError, IndexError):
        return _USUAL_LOWEST_OUTGOING
