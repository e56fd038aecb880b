"""What a frame costs in our own functions and in the libraries that could do it.

    uv run --with picows --with wsproto python -m bench.framing

prints a table: microseconds for a masked text frame of 60, 300 and 4,000 bytes that came in, for
one that goes out, and the bytes that an idle connection keeps. What is not installed is left out.

``wsproto`` and ``websockets`` (its Sans-I/O half) take bytes and give messages, as we do, and are
called directly. ``picows`` lives only on a transport of its own: it is measured on a loopback
connection, and so, for comparison, are we on a plain asyncio protocol, each in a fresh process;
the processor time of the loop's thread is counted while another thread writes. The figure is the
best of several rounds.
"""

from __future__ import annotations

import asyncio
import gc
import importlib
import importlib.util
import os
import socket
import subprocess
import sys
import threading
import time
import tracemalloc
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any, Final

from websockets.protocol import OPEN
from websockets.server import ServerProtocol

from server.ws.framing import (
    Partial,
    accept_key,
    encode,
    handshake_response,
    read_frames,
    unmask_by_ints,
)

SIZES: Final = (60, 300, 4000)
LIMIT: Final = 16 * 1024
ROUNDS: Final = 7
FRAMES: Final = 4000
IDLE: Final = 300
IDLE_SOCKETS: Final = 1500
KEY: Final = "dGhlIHNhbXBsZSBub25jZQ=="
REQUEST: Final = (
    "GET / HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    f"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: {KEY}\r\n\r\n"
).encode()


def text(size: int) -> bytes:
    """Return a JSON object of this many bytes."""
    return b'{"type":"message","content":"' + b"n" * (size - 31) + b'"}'


def masked(payload: bytes) -> bytes:
    """Return the frame in which a client sends it."""
    mask = b"\x37\xfa\x21\x3d"
    frame = bytearray(encode(payload))
    head = 2 if len(payload) < 126 else 4
    frame[1] |= 0x80
    return bytes(frame[:head]) + mask + unmask_by_ints(mask, payload)


def micros(call: Callable[[], object], number: int = FRAMES) -> float:
    """Microseconds for one call, the best of several rounds."""
    best = float("inf")
    for _ in range(ROUNDS):
        start = time.thread_time()
        for _ in range(number):
            call()
        best = min(best, time.thread_time() - start)
    return best / number * 1e6


def kept_bytes(make: Callable[[], object]) -> float:
    """Bytes that one object of a connection keeps."""
    make()
    gc.collect()
    tracemalloc.start()
    kept = [make() for _ in range(IDLE)]
    gc.collect()
    size = tracemalloc.get_traced_memory()[0]
    tracemalloc.stop()
    return size / len(kept)


class Ours:
    """Our functions; a connection keeps nothing but a reference that is None."""

    name = "ours"

    def make(self) -> Partial | None:
        """What an idle connection keeps."""
        return None

    def inbound(self, frame: bytes) -> Callable[[], object]:
        """One frame read."""
        return lambda: read_frames(frame, None, LIMIT)

    def outbound(self, payload: bytes) -> Callable[[], object]:
        """One frame written."""
        return lambda: encode(payload)


class Websockets:
    """The Sans-I/O half of websockets."""

    name = "websockets"

    def make(self) -> Any:
        """Return a connection whose handshake is done."""
        return ServerProtocol(state=OPEN, max_size=LIMIT)

    def inbound(self, frame: bytes) -> Callable[[], object]:
        """One frame read, and its UTF-8 checked as the layer above would."""
        protocol = self.make()

        def call() -> None:
            protocol.receive_data(frame)
            for event in protocol.events_received():
                event.data.decode()

        return call

    def outbound(self, payload: bytes) -> Callable[[], object]:
        """One frame written."""
        protocol = self.make()

        def call() -> object:
            protocol.send_text(payload)
            return protocol.data_to_send()

        return call


class Wsproto:
    """wsproto behind its handshake."""

    name = "wsproto"

    def make(self) -> Any:
        """Return a connection whose handshake is done."""
        wsproto = importlib.import_module("wsproto.connection")
        return wsproto.Connection(wsproto.ConnectionType.SERVER)

    def inbound(self, frame: bytes) -> Callable[[], object]:
        """One frame read."""
        protocol = self.make()

        def call() -> None:
            protocol.receive_data(frame)
            for event in protocol.events():
                assert event.data

        return call

    def outbound(self, payload: bytes) -> Callable[[], object]:
        """One frame written; it takes no bytes for text."""
        protocol = self.make()
        event = importlib.import_module("wsproto.events").TextMessage(payload.decode())
        return lambda: protocol.send(event)


class Peer(asyncio.Protocol):
    """Our functions on a loopback connection."""

    def __init__(self, count: Callable[[int], None]) -> None:
        self._count = count
        self._partial: Partial | None = None
        self._is_open = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Remember where to answer."""
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        """Shake hands once, then read frames."""
        if not self._is_open:
            self._is_open = True
            self._transport.write(handshake_response(KEY))
            return
        frames, self._partial, fault = read_frames(data, self._partial, LIMIT)
        assert fault is None
        self._count(len(frames))


Listen = Callable[[Callable[[int], None]], Awaitable[asyncio.Server]]


async def listen_ours(count: Callable[[int], None]) -> asyncio.Server:
    """A server of our functions."""
    loop = asyncio.get_running_loop()
    return await loop.create_server(lambda: Peer(count), "127.0.0.1", 0)


async def listen_picows(count: Callable[[int], None]) -> asyncio.Server:
    """A server of picows."""
    # By name: neither it nor wsproto is a dependency of ours.
    picows = importlib.import_module("picows")

    class Listener(picows.WSListener):  # type: ignore[misc, name-defined]
        def on_ws_frame(self, transport: Any, frame: Any) -> None:
            assert frame.get_payload_as_bytes()
            count(1)

    server: asyncio.Server = await picows.ws_create_server(
        lambda request: Listener(), "127.0.0.1", 0, enable_auto_ping=False
    )
    return server


LISTENERS: Final[dict[str, Listen]] = {"ours": listen_ours, "picows": listen_picows}


def dial(port: int) -> socket.socket:
    """Open a socket that has shaken hands."""
    connection = socket.create_connection(("127.0.0.1", port))
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    connection.sendall(REQUEST)
    head = b""
    while b"\r\n\r\n" not in head:
        head += connection.recv(4096)
    assert accept_key(KEY).encode() in head
    return connection


def resident_bytes() -> int:
    """Resident memory of this process."""
    pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE")


async def on_loopback(listen: Listen) -> tuple[list[float], float]:
    """Microseconds for an inbound frame of each size, and resident bytes an idle connection."""
    seen = 0
    wanted = 0
    enough = asyncio.Event()

    def count(frames: int) -> None:
        nonlocal seen
        seen += frames
        if seen == wanted:
            enough.set()

    server = await listen(count)
    port = server.sockets[0].getsockname()[1]
    client = await asyncio.to_thread(dial, port)
    gc.collect()
    before = resident_bytes()
    idle = await asyncio.to_thread(lambda: [dial(port) for _ in range(IDLE_SOCKETS)])
    each = (resident_bytes() - before) / IDLE_SOCKETS
    costs = []
    for size in SIZES:
        batch = masked(text(size)) * 8
        best = float("inf")
        for _ in range(ROUNDS):
            seen, wanted = 0, FRAMES
            enough.clear()

            def write(batch: bytes = batch) -> None:
                for _ in range(FRAMES // 8):
                    client.sendall(batch)

            writer = threading.Thread(target=write)
            start = time.thread_time()
            writer.start()
            await enough.wait()
            best = min(best, time.thread_time() - start)
            writer.join()
        costs.append(best / FRAMES * 1e6)
    for connection in (client, *idle):
        connection.close()
    server.close()
    await asyncio.sleep(0.1)
    return costs, each


def main() -> None:
    """Print the table."""
    ins = "".join(f"{f'in {size}':>9}" for size in SIZES)
    outs = "".join(f"{f'out {size}':>10}" for size in SIZES)
    print(f"{'µs a frame':24}{ins}{outs}{'idle bytes':>12}")
    for candidate in (Ours(), Wsproto(), Websockets()):
        if importlib.util.find_spec(candidate.name) is None and candidate.name != "ours":
            print(f"{candidate.name:24} not installed")
            continue
        reads = [micros(candidate.inbound(masked(text(size)))) for size in SIZES]
        writes = [micros(candidate.outbound(text(size))) for size in SIZES]
        row = "".join(f"{cost:9.2f}" for cost in reads) + "".join(f"{c:10.2f}" for c in writes)
        print(f"{candidate.name:24}{row}{kept_bytes(candidate.make):12.0f}")
    print("on a loopback connection, with the transport, 8 frames a write; bytes resident:")
    sys.stdout.flush()
    for name in LISTENERS:
        if name == "picows" and importlib.util.find_spec(name) is None:
            print(f"{name:24} not installed")
            continue
        subprocess.run([sys.executable, "-m", "bench.framing", name], check=True, timeout=120)


def loopback(name: str) -> None:
    """Print the row of one that is measured on a connection."""
    costs, each = asyncio.run(on_loopback(LISTENERS[name]))
    row = "".join(f"{cost:9.2f}" for cost in costs)
    print(f"{name:24}{row}{'':30}{each:12.0f}")


if __name__ == "__main__":
    if len(sys.argv) > 1:
        loopback(sys.argv[1])
    else:
        main()
