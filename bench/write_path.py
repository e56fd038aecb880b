"""What an acknowledged message costs between the socket's command and the room's frames.

Runs the real service on the embedded server, with the bus of one process and a receiver for each
room, and counts the CPU of this process alone: the writer, the driver, the frames, the background
rounds of heads and marks. Sockets are not in it.

``burst N`` submits N messages of N rooms at once and waits for all, again and again; the batches
are then of N. ``pairs N`` has two people in each of N rooms who send as soon as they are answered.

    python -m bench.write_path

``--pool`` measures instead how many connections serve many single operations best.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import statistics
import tempfile
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Final

import uvloop

from server.bus.memory import MemoryBus
from server.bus.presence import MemoryPresence
from server.clock import SystemClock
from server.domain.account import Actor, Role
from server.domain.chat import ChatRoom
from server.domain.events import Event
from server.i18n import Translations
from server.paths import data_path
from server.schemas.frames import JsonChatFrames
from server.services.audit import AuditService
from server.services.chats import ChatPolicy, ChatService, Outgoing, room_topic
from server.settings import DatabaseSettings
from server.store.attachments import DiskFileStore, MongoAttachmentRepository
from server.store.audit import MongoAuditRepository
from server.store.bookings import MongoBookingRepository
from server.store.client import Collection, ObjectIds, Store, open_store
from server.store.embedded import EmbeddedServer
from server.store.indexes import create_indexes
from server.store.messages import MongoMessageRepository
from server.store.rooms import COLLECTION, MongoRoomRepository, room_document

TEXT: Final = "Namaste Pandit-ji, shall we buy the flowers the evening before?"
_WARM_UP_SECONDS: Final = 1.0


@dataclass(frozen=True, slots=True)
class Figure:
    """CPU of this process a message in microseconds, messages a second, p50 of the ack in ms."""

    cpu_micros: float
    per_second: float
    ack_ms: float


@dataclass(frozen=True, slots=True)
class Seat:
    """Somebody in a room."""

    actor: Actor
    room: ChatRoom


class _Nobody:
    """Tells nobody of unread messages."""

    async def on_event(self, event: Event) -> None:
        """Pass it over."""


@asynccontextmanager
async def chatting(store: Store, rooms: int) -> AsyncIterator[tuple[ChatService, list[Seat]]]:
    """A running service and the two seats of each of so many fresh rooms, both of them taken."""
    ids, bus = ObjectIds(), MemoryBus()
    with tempfile.TemporaryDirectory() as folder:
        service = ChatService(
            rooms=MongoRoomRepository(store),
            messages=MongoMessageRepository(store),
            attachments=MongoAttachmentRepository(store),
            files=DiskFileStore(Path(folder)),
            bookings=MongoBookingRepository(store),
            notices=_Nobody(),
            board=MemoryPresence(),
            audit=AuditService(MongoAuditRepository(store), SystemClock(), ids),
            frames=JsonChatFrames(),
            bus=bus,
            translator=Translations(data_path("locale")),
            clock=SystemClock(),
            ids=ids,
            policy=ChatPolicy(max_waiting=5000, max_upload_bytes=1024, max_picture_pixels=0),
        )
        made = [_room(ids) for _ in range(rooms)]
        await store.collection(COLLECTION).insert_many([room_document(room) for room in made])
        seats = []
        for room in made:
            await bus.subscribe(room_topic(room.id), _hear)
            for user_id, role in zip(room.members, (Role.USER, Role.PANDIT), strict=True):
                actor = Actor(user_id=user_id, role=role, full_name="Sita", session_id="s")
                seats.append(Seat(actor, await service.room_of(actor, room.id)))
                service.presence.enter(room.id, user_id)
        async with service.running():
            yield service, seats


def _room(ids: ObjectIds) -> ChatRoom:
    return ChatRoom(
        id=ids.new(),
        booking_id=ids.new(),
        customer_id=ids.new(),
        customer_name="Sita",
        pandit_id=ids.new(),
        pandit_user_id=ids.new(),
        pandit_name="Ram",
        created_at=datetime.now(UTC),
    )


def _hear(payload: bytes) -> None:
    """A receiver that costs nothing."""


async def _say(service: ChatService, seat: Seat, ids: ObjectIds) -> float:
    began = time.perf_counter()
    await service.submit(seat.actor, seat.room, Outgoing(content=TEXT, cid=ids.new()))
    return time.perf_counter() - began


async def burst(store: Store, size: int, seconds: float) -> Figure:
    """So many messages at once, each of its own room, one burst after the other."""
    ids = ObjectIds()
    async with chatting(store, size) as (service, seats):

        async def once() -> list[float]:
            began = time.perf_counter()
            futures = [
                service.submit(seat.actor, seat.room, Outgoing(content=TEXT, cid=ids.new()))
                for seat in seats[::2]
            ]
            for future in futures:
                await future
            return [time.perf_counter() - began] * size

        return await _measure(once, seconds)


async def pairs(store: Store, rooms: int, seconds: float) -> Figure:
    """Everybody sends as soon as the one before is acknowledged."""
    ids = ObjectIds()
    async with chatting(store, rooms) as (service, seats):
        until = 0.0
        times: list[float] = []

        async def talk(seat: Seat) -> None:
            while time.perf_counter() < until:
                times.append(await _say(service, seat, ids))

        async def all_talk() -> list[float]:
            nonlocal until
            times.clear()
            until = time.perf_counter() + seconds
            await asyncio.gather(*(talk(seat) for seat in seats))
            return list(times)

        return await _measure(all_talk, 0.0)


async def _measure(work: Callable[[], Awaitable[list[float]]], seconds: float) -> Figure:
    warm = time.perf_counter() + _WARM_UP_SECONDS
    while time.perf_counter() < warm:
        await work()
    gc.collect()
    times: list[float] = []
    began, cpu_began = time.perf_counter(), time.process_time()
    while not times or time.perf_counter() < began + seconds:
        times += await work()
    elapsed, cpu = time.perf_counter() - began, time.process_time() - cpu_began
    return Figure(cpu / len(times) * 1e6, len(times) / elapsed, statistics.median(times) * 1000)


async def pool(settings: DatabaseSettings, uri: str, tasks: int, operations: int) -> None:
    """Single finds and inserts by so many tasks at once, through so many connections."""
    print(
        f"{'connections':12}{'finds/s':>9}{'p50 ms':>8}{'max ms':>8}{'inserts/s':>11}{'max ms':>8}"
    )
    for size in (2, 4, 8, 16, 32):
        async with open_store(replace(settings, max_pool_size=size), uri) as store:
            collection = store.collection("messages")
            finds = await _crowd(partial(_find, collection), tasks, operations)
            inserts = await _crowd(partial(_insert, collection), tasks, operations)
            print(
                f"{size:<12}{operations / finds[0]:9.0f}{finds[1]:8.1f}{finds[2]:8.1f}"
                f"{operations / inserts[0]:11.0f}{inserts[2]:8.1f}",
                flush=True,
            )


async def _find(collection: Collection) -> None:
    await collection.find_one({"_id": "none:1"}, fields=("sequence",))


async def _insert(collection: Collection) -> None:
    made = ObjectIds().new()
    await collection.insert_one(
        {"_id": made, "room_id": made, "sequence": 1, "sender_id": "", "cid": made}
    )


async def _crowd(
    work: Callable[[], Awaitable[None]], tasks: int, operations: int
) -> tuple[float, float, float]:
    """Seconds in all, and the median and longest of one operation in milliseconds."""
    left = iter(range(operations))
    times: list[float] = []

    async def run() -> None:
        for _ in left:
            began = time.perf_counter()
            await work()
            times.append(time.perf_counter() - began)

    began = time.perf_counter()
    await asyncio.gather(*(run() for _ in range(tasks)))
    seconds = time.perf_counter() - began
    return seconds, statistics.median(times) * 1000, max(times) * 1000


async def main(seconds: float, *, only_pool: bool) -> None:
    """Start the database, measure, print."""
    with tempfile.TemporaryDirectory() as folder:
        settings = DatabaseSettings(embedded_path=str(Path(folder) / "data"))
        server = EmbeddedServer(settings)
        await server.start()
        try:
            async with open_store(settings, server.uri) as store:
                await create_indexes(store)
                if only_pool:
                    await pool(settings, server.uri, tasks=200, operations=2000)
                    return
                print(f"{'':12}{'CPU µs/message':>16}{'messages/s':>12}{'ack p50 ms':>12}")
                runs: list[tuple[str, Awaitable[Figure]]] = [
                    (f"burst {size}", burst(store, size, seconds)) for size in (1, 10, 100)
                ]
                runs.append(("pairs 150", pairs(store, 150, seconds)))
                for name, run in runs:
                    figure = await run
                    print(
                        f"{name:12}{figure.cpu_micros:16.0f}{figure.per_second:12.0f}"
                        f"{figure.ack_ms:12.1f}",
                        flush=True,
                    )
        finally:
            await server.stop()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=5.0, help="of each measurement")
    parser.add_argument("--pool", action="store_true", help="measure numbers of connections")
    options = parser.parse_args()
    uvloop.run(main(options.seconds, only_pool=options.pool))
