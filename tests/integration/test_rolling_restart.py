"""Two processes behind one Redis are replaced in turn while forty devices talk.

The one that goes is told by SIGTERM in the moment when its replacement begins to start, so for a
while there is only the other. A balancer is played by the list of ports: it knows who is told to go
and who is ready.
"""

from __future__ import annotations

import asyncio
import time
from pathlib import Path

from tests.chaos.checker import check_room
from tests.chaos.device import DRAINED, Device
from tests.chaos.play import stored_entries, until
from tests.redis_process import RedisProcess
from tests.server_process import ServerProcess, fresh_store, make_rooms

ROOMS, PROCESSES = 10, 2
RATE = 2.0
CALM_SECONDS = 1.0
SETTLE_SECONDS = 30.0
MAX_OUTAGE_SECONDS = 5.0


async def test_a_rolling_restart_loses_nothing_and_keeps_nobody_out(
    tmp_path: Path, mongo_uri: str
) -> None:
    name = f"rolling_{time.time_ns():x}"
    redis = RedisProcess(tmp_path)
    settings = {
        "DATABASE__URI": mongo_uri,
        "DATABASE__NAME": name,
        "BUS__REDIS_URL": redis.url,
        "REALTIME__CONNECTS_PER_SECOND": "1000",
    }
    servers = [
        ServerProcess(tmp_path, f"server{number}", settings) for number in range(2 * PROCESSES)
    ]
    ports: list[int] = []
    async with fresh_store(mongo_uri, name) as store:
        rooms = await make_rooms(store, ROOMS)
        devices = [
            [
                Device(
                    f"r{place}{side}{number}",
                    member,
                    room.room_id,
                    ports,
                    seed=f"{place} {side} {number}",
                    rate=RATE,
                    deeds={"say": 1.0},
                )
                for side, member in (("c", room.customer), ("p", room.pandit))
                for number in range(2)
            ]
            for place, room in enumerate(rooms)
        ]
        everybody = [device for each in devices for device in each]

        async def replace(old: ServerProcess, new: ServerProcess) -> int:
            ports.remove(old.port)
            _, status = await asyncio.gather(new.start(), old.stop())
            ports.append(new.port)
            await asyncio.sleep(CALM_SECONDS)
            return status

        await redis.start()
        try:
            await asyncio.gather(*(server.start() for server in servers[:PROCESSES]))
            ports.extend(server.port for server in servers[:PROCESSES])
            async with asyncio.TaskGroup() as tasks:
                for device in everybody:
                    tasks.create_task(device.live())
                await asyncio.sleep(CALM_SECONDS)
                for old, new in zip(servers[:PROCESSES], servers[PROCESSES:], strict=True):
                    assert await replace(old, new) == 0, old.errors()
                for device in everybody:
                    device.is_quiet = True
                heads = [0] * ROOMS
                await until(lambda: all(device.is_settled for device in everybody), SETTLE_SECONDS)
                for place, room in enumerate(rooms):
                    heads[place] = len(await stored_entries(store, room.room_id))
                await until(
                    lambda: all(
                        device.cursor == heads[place]
                        for place, each in enumerate(devices)
                        for device in each
                    ),
                    SETTLE_SECONDS,
                )
                for device in everybody:
                    device.end()
            for place, room in enumerate(rooms):
                stored = await stored_entries(store, room.room_id)
                faults = [fault for device in devices[place] for fault in device.faults]
                faults += check_room(stored, [device.finish() for device in devices[place]])
                assert not faults, faults
        finally:
            await asyncio.gather(*(server.kill() for server in servers), redis.kill())

    said = sum(device.counts["said"] for device in everybody)
    told = sum(device.counts["told to reconnect"] for device in everybody)
    drained = sum(device.closes[DRAINED] for device in everybody)
    outages = sorted(outage for device in everybody for outage in device.outages)
    closes = sorted({code for device in everybody for code in device.closes})
    assert said > 10 * len(everybody)
    # Everybody was on one of the two, and so was moved at least once, by that code only.
    assert drained >= len(everybody), closes
    # Who is still being brought up to date has no word to wait for.
    assert 0 < told <= drained, (told, drained)
    assert closes == [DRAINED]
    assert outages[-1] < MAX_OUTAGE_SECONDS, outages[-10:]
