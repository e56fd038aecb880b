"""Servers as real processes, to kill, freeze, stop and start again; and rooms for them."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import msgspec

from server.auth import JwtSigner
from server.domain.account import Role, Session, User
from server.domain.chat import ChatRoom
from server.domain.ports.accounts import Claims
from server.loopback import free_port
from server.paths import data_path
from server.settings import DatabaseSettings
from server.store import messages, rooms, users
from server.store.client import Store, open_store
from server.store.codec import to_document
from server.store.indexes import create_indexes

START_SECONDS = 90.0
STOP_SECONDS = 60.0
SECRET = "a-secret-for-tests-only-" + "x" * 32
_MAX_ROWS = 200_000


class ServerProcess:
    """`python -m server serve`, always on the same port.

    ``environment`` adds to the settings; its keys are those after ``PANDITYATRA_``.
    """

    def __init__(self, path: Path, name: str, environment: Mapping[str, str]) -> None:
        self.name = name
        self.port = free_port()
        self.child: asyncio.subprocess.Process | None = None
        self.log_path = path / f"{name}.log"
        self._environment = {
            "ENV": "test",
            "HTTP__PORT": str(self.port),
            "FILES__PATH": str(path / "files"),
            "RECOMMENDER__PATH": str(path / "models"),
            "AUTH__SECRET": SECRET,
            **environment,
        }

    @property
    def pid(self) -> int:
        assert self.child
        return self.child.pid

    @property
    def is_up(self) -> bool:
        return self.child is not None and self.child.returncode is None

    async def start(self) -> None:
        """Start it and return when it is ready to serve."""
        kept = {name: value for name, value in os.environ.items() if "PANDITYATRA" not in name}
        kept["PYTHONFAULTHANDLER"] = "1"
        ours = {f"PANDITYATRA_{name}": value for name, value in self._environment.items()}
        with self.log_path.open("ab") as log:
            self.child = await asyncio.create_subprocess_exec(
                sys.executable, "-m", "server", "serve",
                cwd=data_path("config").parent, env={**kept, **ours}, stdout=log, stderr=log,
            )  # fmt: skip
        async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{self.port}") as client:
            async with asyncio.timeout(START_SECONDS):
                while not await self._is_ready(client):
                    assert self.child.returncode is None, self.log_path.read_text()[-4000:]
                    await asyncio.sleep(0.05)

    @staticmethod
    async def _is_ready(client: httpx.AsyncClient) -> bool:
        try:
            return (await client.get("/readyz")).status_code == 200
        except httpx.TransportError:
            return False

    async def metrics(self) -> str:
        async with httpx.AsyncClient(timeout=20) as client:
            answer = await client.get(f"http://127.0.0.1:{self.port}/metrics")
        return answer.raise_for_status().text

    async def kill(self) -> None:
        await self._end(signal.SIGKILL)

    async def stop(self) -> int:
        """SIGTERM, and the status with which it ends."""
        await self._end(signal.SIGTERM)
        return self.child.returncode or 0 if self.child else 0

    async def _end(self, how: signal.Signals) -> None:
        if self.child is not None and self.child.returncode is None:
            self.child.send_signal(signal.SIGCONT)
            self.child.send_signal(how)
            try:
                await asyncio.wait_for(self.child.wait(), STOP_SECONDS)
            except TimeoutError:
                # Its threads say in the log where they are.
                self.child.send_signal(signal.SIGABRT)
                await self.child.wait()
                raise AssertionError(
                    f"{self.name} does not end:\n{self.log_path.read_text()[-6000:]}"
                ) from None

    def freeze(self) -> None:
        self._signal(signal.SIGSTOP)

    def thaw(self) -> None:
        self._signal(signal.SIGCONT)

    def _signal(self, number: signal.Signals) -> None:
        if self.child is not None and self.child.returncode is None:
            self.child.send_signal(number)

    def errors(self) -> list[str]:
        """The events that it has logged as errors, oldest first."""
        found = []
        for line in self.log_path.read_bytes().splitlines():
            try:
                entry: dict[str, Any] = msgspec.json.decode(line)
            except msgspec.DecodeError:
                # Not a line of the log: what Python itself had to say.
                found.append(line.decode(errors="replace"))
                continue
            if entry.get("level") in ("error", "critical"):
                found.append(line.decode()[:2000])
        return found


@dataclass(frozen=True, slots=True)
class Member:
    """Somebody in a room, with a token that outlives the test."""

    user_id: str
    name: str
    token: str


@dataclass(frozen=True, slots=True)
class Room:
    room_id: str
    customer: Member
    pandit: Member


@asynccontextmanager
async def fresh_store(uri: str, name: str) -> AsyncIterator[Store]:
    """An indexed database of one's own; `DATABASE__NAME` of the processes says the same name."""
    settings = DatabaseSettings(uri=uri, name=name, timeout_seconds=30.0)
    async with open_store(settings, uri) as store:
        await create_indexes(store)
        yield store
        await store.drop()


async def make_rooms(store: Store, count: int) -> list[Room]:
    """Empty rooms of two members each, written without the front door."""
    now = datetime.now(UTC).replace(microsecond=0)
    signer, made = JwtSigner(SECRET), []
    people, sessions, chats = [], [], []
    for place in range(count):
        pair = [
            User(
                id=f"{0xA000_0000 + place * 2 + side:024x}",
                username=None,
                email=None,
                phone_number=f"+97798{place * 2 + side:08d}",
                full_name=f"{name} {place}",
                role=role,
                created_at=now,
                updated_at=now,
            )
            for side, (name, role) in enumerate((("Sita", Role.USER), ("Ram", Role.PANDIT)))
        ]
        signed_in = [
            Session(
                id=f"5{user.id[1:]}",
                user_id=user.id,
                refresh_hash="",
                created_at=now,
                expires_at=now + timedelta(days=1),
            )
            for user in pair
        ]
        chat = ChatRoom(
            id=f"{0xC000_0000 + place:024x}",
            booking_id=f"{0xB000_0000 + place:024x}",
            customer_id=pair[0].id,
            customer_name=pair[0].full_name,
            pandit_id=f"{0xD000_0000 + place:024x}",
            pandit_user_id=pair[1].id,
            pandit_name=pair[1].full_name,
            created_at=now,
        )
        members = [
            Member(
                user.id,
                user.full_name,
                signer.sign(Claims(user.id, session.id, now + timedelta(hours=12)), now),
            )
            for user, session in zip(pair, signed_in, strict=True)
        ]
        people += pair
        sessions += signed_in
        chats.append(chat)
        made.append(Room(chat.id, members[0], members[1]))
    await store.collection(users.USERS).insert_many([to_document(user) for user in people])
    await store.collection(users.SESSIONS).insert_many([to_document(each) for each in sessions])
    await store.collection(rooms.COLLECTION).insert_many(
        [rooms.room_document(chat) for chat in chats]
    )
    return made


async def stored_messages(store: Store, room_id: str) -> list[dict[str, Any]]:
    """All messages of a room as the database has them, by number."""
    return await store.collection(messages.COLLECTION).find(
        {"room_id": room_id},
        sort=(("sequence", 1),),
        limit=_MAX_ROWS,
        fields=("message_id", "sequence", "sender_id", "cid", "content"),
    )
