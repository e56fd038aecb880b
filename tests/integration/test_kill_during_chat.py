"""The server is killed in the middle of a chat: what was acknowledged is there, once."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import httpx
import pytest
from websockets.exceptions import ConnectionClosed

from server.loopback import free_port
from server.paths import data_path
from tests.talk import Client, chat_socket

START_SECONDS = 90.0
PASSWORD = "a long passphrase"
pytestmark = pytest.mark.timeout(300)


@dataclass
class Process:
    """`python -m server serve` with a database of its own in a temporary folder."""

    path: Path
    port: int
    child: asyncio.subprocess.Process | None = None

    @property
    def environment(self) -> dict[str, str]:
        return {
            **{name: value for name, value in os.environ.items() if "PANDITYATRA" not in name},
            "PANDITYATRA_ENV": "test",
            "PANDITYATRA_HTTP__PORT": str(self.port),
            "PANDITYATRA_DATABASE__EMBEDDED_PATH": str(self.path / "mongo"),
            "PANDITYATRA_FILES__PATH": str(self.path / "files"),
            "PANDITYATRA_REALTIME__MESSAGES_PER_SECOND": "100000",
            "PANDITYATRA_REALTIME__MESSAGE_BURST": "100000",
            "ADMIN_PASSWORD": PASSWORD,
        }

    async def run(self, *arguments: str) -> asyncio.subprocess.Process:
        with (self.path / "server.log").open("ab") as log:
            return await asyncio.create_subprocess_exec(
                sys.executable, "-m", "server", *arguments,
                cwd=data_path("config").parent, env=self.environment, stdout=log, stderr=log,
            )  # fmt: skip

    async def start(self) -> None:
        self.child = await self.run("serve")
        async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{self.port}") as client:
            async with asyncio.timeout(START_SECONDS):
                while not await self._is_ready(client):
                    assert self.child.returncode is None, "the server ended"
                    await asyncio.sleep(0.1)

    @staticmethod
    async def _is_ready(client: httpx.AsyncClient) -> bool:
        try:
            return (await client.get("/readyz")).status_code == 200
        except httpx.TransportError:
            return False

    async def end(self, how: signal.Signals) -> None:
        if self.child is not None and self.child.returncode is None:
            self.child.send_signal(how)
            await self.child.wait()


@asynccontextmanager
async def process(path: Path) -> AsyncIterator[Process]:
    made = Process(path, free_port())
    admin = await made.run("create-admin", "--phone", "9811111111", "--name", "Admin Thapa")
    assert await admin.wait() == 0, (path / "server.log").read_text()
    await made.start()
    try:
        yield made
    finally:
        await made.end(signal.SIGTERM)


class Town:
    """Two people with a room, made over the API alone."""

    def __init__(self, port: int) -> None:
        self.base_url = f"http://127.0.0.1:{port}"
        self.tokens: dict[str, str] = {}
        self.room_id = ""

    async def call(self, who: str, method: str, path: str, **options: object) -> dict[str, object]:
        headers = {"Authorization": f"Bearer {self.tokens[who]}"} if who in self.tokens else {}
        async with httpx.AsyncClient(base_url=self.base_url, headers=headers, timeout=30) as client:
            answer = await client.request(method, path, **options)  # type: ignore[arg-type]
        assert answer.is_success, answer.text
        found: dict[str, object] = answer.json() if answer.content else {}
        return found

    async def sign_in(self, who: str, phone: str) -> None:
        body = {"identifier": phone, "password": PASSWORD}
        self.tokens[who] = str(
            (await self.call("nobody", "POST", "/api/auth/token/", json=body))["access"]
        )

    async def register(self, who: str, phone: str, role: str) -> None:
        body = {"full_name": who, "phone_number": phone, "password": PASSWORD, "role": role}
        answer = await self.call("nobody", "POST", "/api/auth/register/", json=body)
        self.tokens[who] = str(answer["access"])

    async def build(self) -> None:
        await self.sign_in("admin", "9811111111")
        await self.register("Sita Sharma", "9822222222", "user")
        await self.register("Ram Acharya", "9833333333", "pandit")
        profile = await self.call("Ram Acharya", "GET", "/api/pandits/me/")
        service = await self.call(
            "Ram Acharya", "POST", "/api/services/",
            json={"puja_id": "satyanarayan-puja", "name": "Satyanarayan Puja",
                  "duration_minutes": 120, "price": 250_000},
        )  # fmt: skip
        verify = f"/api/admin/pandits/{profile['id']}/verify/"
        await self.call("admin", "POST", verify, json={"decision": "approve"})
        start = await self.free_slot(str(service["id"]))
        booking = await self.call(
            "Sita Sharma", "POST", "/api/bookings/",
            json={"service_id": service["id"], "booking_date": start[:10],
                  "booking_time": start[11:16], "service_location": "ONLINE",
                  "samagri_required": False},
        )  # fmt: skip
        await self.call("Ram Acharya", "POST", f"/api/bookings/{booking['id']}/accept/", json={})
        rooms = await self.call("Sita Sharma", "GET", "/api/chat/rooms/")
        self.room_id = rooms["results"][0]["id"]  # type: ignore[index]

    async def free_slot(self, service_id: str) -> str:
        """The first free time; the real clock runs here, so it must be asked for."""
        for days in range(2, 10):
            day = (datetime.now(UTC) + timedelta(days=days)).date().isoformat()
            answer = await self.call(
                "Sita Sharma", "GET", "/api/booking-slots/available-slots/",
                params={"service_id": service_id, "date": day},
            )  # fmt: skip
            slots: list[dict[str, str]] = answer["slots"]  # type: ignore[assignment]
            free = [slot["start"] for slot in slots if slot["available"]]
            if free:
                return free[0]
        raise AssertionError("no free time in a week")

    async def history(self) -> list[dict[str, object]]:
        rows: list[dict[str, object]] = []
        while True:
            page = await self.call(
                "Sita Sharma", "GET", "/api/messages/",
                params={"room_id": self.room_id, "after": len(rows), "limit": 100},
            )  # fmt: skip
            rows += page["results"]  # type: ignore[arg-type]
            if page["next"] is None:
                return rows


async def talk_until_cut(client: Client, name: str, acked: set[str], enough: asyncio.Event) -> None:
    """Keep sending, with many sends under way, until the connection breaks."""
    number = 0
    try:
        while True:
            for _ in range(16):
                await client.say(f"{name} {number}", cid=f"{name}-{number}")
                number += 1
            for _ in range(16):
                acked.add((await client.next("ack"))["cid"])
            if len(acked) > 300:
                enough.set()
    except ConnectionClosed:
        return


async def test_every_acknowledged_message_survives_a_kill_exactly_once(tmp_path: Path) -> None:
    async with process(tmp_path) as server:
        town = Town(server.port)
        await town.build()
        acked: set[str] = set()
        enough = asyncio.Event()
        async with AsyncExitStack() as stack:
            talkers = []
            for name in ("Sita Sharma", "Ram Acharya"):
                for device in range(2):
                    client = await stack.enter_async_context(
                        chat_socket(server.port, town.tokens[name], town.room_id)
                    )
                    talkers.append(talk_until_cut(client, f"{name[0]}{device}", acked, enough))
            talking = asyncio.gather(*talkers)
            await asyncio.wait_for(enough.wait(), 60)
            await server.end(signal.SIGKILL)
            await talking
        await server.start()

        rows = await town.history()
        cids = [row["cid"] for row in rows]
        assert len(acked) > 300
        assert acked <= set(cids), "an acknowledged message is missing"
        assert len(cids) == len(set(cids)), "a message is there twice"
        assert [row["sequence"] for row in rows] == list(range(1, len(rows) + 1))

        # Who resends what was not acknowledged, or what was, changes nothing that is there.
        async with chat_socket(server.port, town.tokens["Sita Sharma"], town.room_id) as client:
            assert client.hello["room"]["head"] >= len(acked)
            again = next(cid for cid in acked if cid.startswith("S"))
            number = again.partition("-")[2]
            ack = await client.said(f"{again.partition('-')[0]} {number}", cid=again)
            assert ack["dup"]
        assert len(await town.history()) == len(rows)
