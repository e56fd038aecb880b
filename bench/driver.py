"""Motor against PyMongo's asyncio API, on the embedded server: ``python bench/driver.py``.

For each operation both drivers run the same work by turns, three times, and the medians are
printed: operations a second, and the processor time of this process, threads included, for one
operation. The database runs in a process of its own and is not counted.
"""

from __future__ import annotations

import argparse
import asyncio
import tempfile
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from statistics import median
from typing import Any, Final

from motor.motor_asyncio import AsyncIOMotorClient
from pymongo import DESCENDING, AsyncMongoClient, WriteConcern

from server.settings import DatabaseSettings
from server.store.embedded import EmbeddedServer

RUNS: Final = 3
DRIVERS: Final = ("motor", "pymongo")
_MANY: Final = 50
_STORED: Final = 2000
_ROOMS: Final = 20

Work = Callable[[Any, int], Awaitable[Any]]


@dataclass(frozen=True, slots=True)
class Figure:
    """One run: operations a second, and microseconds of processor time for each."""

    per_second: float
    cpu_micros: float


def message(number: int) -> dict[str, Any]:
    """A document of the size of a chat message."""
    return {
        "_id": f"{number:024x}",
        "room_id": f"room-{number % _ROOMS}",
        "sequence": number,
        "sender_id": "6a4dfc0a460541f2b14d5da2",
        "sender_name": "Sita Sharma",
        "message_type": "TEXT",
        "content": "Namaste Pandit-ji, shall we buy the flowers the evening before?",
        "content_ne": "",
        "read_at": None,
    }


async def insert(collection: Any, number: int) -> None:
    """Insert one document."""
    await collection.insert_one(message(number))


async def find_one(collection: Any, number: int) -> None:
    """Fetch one document by its id."""
    assert await collection.find_one({"_id": f"{number % _STORED:024x}"})


async def find_many(collection: Any, number: int) -> None:
    """Fetch the newest 50 messages of a room, by an index."""
    cursor = collection.find(
        {"room_id": f"room-{number % _ROOMS}"},
        sort=[("sequence", DESCENDING)],
        limit=_MANY,
        batch_size=_MANY + 1,
    )
    rows = await cursor.to_list(_MANY)
    assert len(rows) == _MANY


async def update(collection: Any, number: int) -> None:
    """Change one field of one document."""
    await collection.update_one({"_id": f"{number % _STORED:024x}"}, {"$set": {"read_at": number}})


async def insert_many(collection: Any, number: int) -> None:
    """Insert 50 documents by one command, as the writer of chat messages does."""
    first = number * _MANY
    await collection.insert_many(
        [message(each) for each in range(first, first + _MANY)], ordered=False
    )


OPERATIONS: Final[dict[str, tuple[Work, float]]] = {
    "insert_one": (insert, 1.0),
    "find_one": (find_one, 1.0),
    "find 50": (find_many, 0.5),
    "update_one": (update, 1.0),
    "insert_many 50": (insert_many, 0.1),
}
"""Each with the share of ``--operations`` that it is run."""


async def measure(
    collection: Any, work: Work, operations: int, tasks: int, numbers: count[int]
) -> Figure:
    """Run the work by so many tasks at once."""
    left = iter(range(operations))

    async def run() -> None:
        for _ in left:
            await work(collection, next(numbers))

    began, cpu_began = time.perf_counter(), time.process_time()
    await asyncio.gather(*(run() for _ in range(tasks)))
    seconds, cpu = time.perf_counter() - began, time.process_time() - cpu_began
    return Figure(operations / seconds, cpu / operations * 1e6)


async def compare(uri: str, operations: int, tasks: int) -> dict[str, dict[str, Figure]]:
    """Return the medians by operation and driver."""
    clients: dict[str, Any] = {
        "motor": AsyncIOMotorClient(uri, maxPoolSize=tasks),
        "pymongo": AsyncMongoClient(uri, maxPoolSize=tasks),
    }
    concern = WriteConcern(w="majority", j=True)
    numbers = count(_STORED)
    results: dict[str, dict[str, Figure]] = {}
    for name, (work, share) in OPERATIONS.items():
        runs: dict[str, list[Figure]] = {driver: [] for driver in DRIVERS}
        for turn in range(RUNS):
            # By turns in both orders, so that neither always meets the warmer database.
            for driver in DRIVERS if turn % 2 == 0 else DRIVERS[::-1]:
                database = clients[driver].get_database("bench", write_concern=concern)
                collection = database.get_collection("messages")
                await collection.drop()
                await collection.create_index([("room_id", 1), ("sequence", 1)])
                await collection.insert_many([message(each) for each in range(_STORED)])
                amount = max(tasks, int(operations * share))
                figure = await measure(collection, work, amount, tasks, numbers)
                runs[driver].append(figure)
        results[name] = {
            driver: Figure(
                median(run.per_second for run in runs[driver]),
                median(run.cpu_micros for run in runs[driver]),
            )
            for driver in DRIVERS
        }
    await clients["pymongo"].close()
    clients["motor"].close()
    return results


def show(results: dict[str, dict[str, Figure]]) -> None:
    """Print a table; the ratios are PyMongo's figure over Motor's."""
    print(f"{'':16}{'ops/s':^29}{'client CPU, µs/op':^29}")
    print(f"{'operation':16}" + f"{'motor':>9}{'pymongo':>9}{'ratio':>8}   " * 2)
    for name, by_driver in results.items():
        motor, own = by_driver["motor"], by_driver["pymongo"]
        print(
            f"{name:16}"
            f"{motor.per_second:9.0f}{own.per_second:9.0f}"
            f"{own.per_second / motor.per_second:8.2f}   "
            f"{motor.cpu_micros:9.0f}{own.cpu_micros:9.0f}"
            f"{own.cpu_micros / motor.cpu_micros:8.2f}"
        )


async def main(operations: int, tasks: int) -> None:
    """Start the database, compare, print."""
    with tempfile.TemporaryDirectory() as folder:
        server = EmbeddedServer(DatabaseSettings(embedded_path=str(Path(folder) / "data")))
        await server.start()
        try:
            show(await compare(server.uri, operations, tasks))
        finally:
            await server.stop()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--operations", type=int, default=1000, help="of each kind and run")
    parser.add_argument("--tasks", type=int, default=8, help="how many at once")
    options = parser.parse_args()
    asyncio.run(main(options.operations, options.tasks))
