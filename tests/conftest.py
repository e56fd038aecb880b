"""Fixtures, all of them real: a database process, a server on a free port, people with tokens.

mongo_uri   (session)  address of one embedded database server
store                  a Store on a fresh, indexed database
clock                  a FakeClock; starts on Sunday 22 November 2026, 10:00 in Nepal
settings               Settings of a test server: fresh database, free port, generous limits
server                 a RunningServer with the catalogue loaded, on ``clock``
people                 makes signed-in customers, pandits and admins of that server
"""

from __future__ import annotations

import dataclasses
import itertools
import uuid
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest

from server.app import RunningServer, open_server
from server.domain.account import GeoPoint, Place
from server.settings import (
    AuthSettings,
    DatabaseSettings,
    FileSettings,
    HttpSettings,
    LimitSettings,
    RealtimeSettings,
    Settings,
)
from server.store.client import Store, open_store
from server.store.embedded import EmbeddedServer
from server.store.indexes import create_indexes

SUNDAY_TEN = datetime(2026, 11, 22, 4, 15, tzinfo=UTC)


class FakeClock:
    """A clock that a test moves."""

    def __init__(self, now: datetime = SUNDAY_TEN) -> None:
        self._now = now

    def now(self) -> datetime:
        return self._now

    def set(self, now: datetime) -> None:
        self._now = now

    def advance(self, **span: float) -> None:
        self._now += timedelta(**span)


class CapturingCodeSender:
    """Keeps the codes that would go to phones."""

    def __init__(self) -> None:
        self.sent: dict[str, str] = {}

    async def send(self, phone_number: str, code: str, language: str) -> None:
        self.sent[phone_number] = code


@dataclass
class Person:
    """Somebody signed in, with an HTTP client of his own."""

    user_id: str
    full_name: str
    phone: str
    access: str
    refresh: str
    api: httpx.AsyncClient
    pandit_id: str = ""
    service_id: str = ""


@pytest.fixture(scope="session")
async def mongo_uri(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[str]:
    path = tmp_path_factory.mktemp("mongo") / "data"
    server = EmbeddedServer(DatabaseSettings(embedded_path=str(path)))
    await server.start()
    yield server.uri
    await server.stop()


@pytest.fixture
def database_settings(mongo_uri: str) -> DatabaseSettings:
    return DatabaseSettings(uri=mongo_uri, name=f"test_{uuid.uuid4().hex[:12]}")


@pytest.fixture
async def store(database_settings: DatabaseSettings) -> AsyncIterator[Store]:
    async with open_store(database_settings, database_settings.uri) as opened:
        await create_indexes(opened)
        yield opened
        await opened.drop()


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
def code_sender() -> CapturingCodeSender:
    return CapturingCodeSender()


@pytest.fixture
def settings(database_settings: DatabaseSettings, tmp_path: Path) -> Settings:
    plenty = "100000/minute"
    return Settings(
        environment="test",
        http=HttpSettings(port=0, drain_seconds=5.0),
        database=database_settings,
        auth=AuthSettings(secret="a-secret-for-tests-only-" + "x" * 32),
        files=FileSettings(path=str(tmp_path / "files")),
        realtime=RealtimeSettings(reconnect_window_seconds=0.3),
        limits=LimitSettings(
            **{field.name: plenty for field in dataclasses.fields(LimitSettings)}
        ),
    )


@pytest.fixture
def listeners() -> list[Any]:
    """Command listeners for the driver; a test module overrides it to count commands."""
    return []


@pytest.fixture
async def server(
    settings: Settings,
    clock: FakeClock,
    code_sender: CapturingCodeSender,
    listeners: list[Any],
) -> AsyncIterator[RunningServer]:
    async with open_server(
        settings, clock=clock, sender=code_sender, listeners=listeners
    ) as running:
        yield running
        await running.store.drop()


class People:
    """Makes people of one server."""

    def __init__(self, server: RunningServer, clients: AsyncExitStack) -> None:
        self._server = server
        self._clients = clients
        self._numbers = itertools.count(9_800_000_000)
        self._signed_in: Any = None

    @property
    def base_url(self) -> str:
        return f"http://127.0.0.1:{self._server.port}"

    async def nobody(self) -> httpx.AsyncClient:
        """A client without a token."""
        return await self._clients.enter_async_context(
            httpx.AsyncClient(base_url=self.base_url, timeout=30.0)
        )

    async def customer(self, full_name: str = "Sita Sharma") -> Person:
        return await self._register(full_name, "user")

    async def admin(self, full_name: str = "Admin Thapa") -> Person:
        phone = str(next(self._numbers))
        await self._server.services.accounts.create_admin(full_name, phone, "a long passphrase")
        client = await self.nobody()
        answer = await client.post(
            "/api/auth/token/", json={"identifier": phone, "password": "a long passphrase"}
        )
        return await self._person(full_name, phone, answer)

    async def unverified_pandit(self, full_name: str = "Hari Upadhyaya") -> Person:
        person = await self._register(full_name, "pandit")
        profile = (await person.api.get("/api/pandits/me/")).raise_for_status().json()
        return dataclasses.replace(person, pandit_id=profile["id"])

    async def pandit(
        self,
        full_name: str = "Ram Prasad Acharya",
        *,
        puja_id: str = "satyanarayan-puja",
        duration_minutes: int = 120,
        price: int = 250_000,
        place: Place | None = None,
    ) -> Person:
        """An approved pandit with one service, working Sunday to Friday 06:00 to 18:00."""
        person = await self.unverified_pandit(full_name)
        place = place or Place(
            area="Lazimpat", city="Kathmandu", address="House 12, Lazimpat",
            point=GeoPoint(27.7215, 85.3206),
        )
        (
            await person.api.patch(
                "/api/pandits/me/",
                json={
                    "expertise": [puja_id],
                    "experience_years": 12,
                    "location": dataclasses.asdict(place),
                },
            )
        ).raise_for_status()
        service = await person.api.post(
            "/api/services/",
            json={
                "puja_id": puja_id,
                "name": "Satyanarayan Puja",
                "duration_minutes": duration_minutes,
                "price": price,
            },
        )
        admin = await self.admin()
        (
            await admin.api.post(
                f"/api/admin/pandits/{person.pandit_id}/verify/", json={"decision": "approve"}
            )
        ).raise_for_status()
        return dataclasses.replace(person, service_id=service.raise_for_status().json()["id"])

    async def _register(self, full_name: str, role: str) -> Person:
        phone = str(next(self._numbers))
        client = await self.nobody()
        answer = await client.post(
            "/api/auth/register/",
            json={
                "full_name": full_name,
                "phone_number": phone,
                "password": "a long passphrase",
                "role": role,
            },
        )
        return await self._person(full_name, phone, answer)

    async def _person(self, full_name: str, phone: str, answer: httpx.Response) -> Person:
        signed_in = answer.raise_for_status().json()
        api = await self._clients.enter_async_context(
            httpx.AsyncClient(
                base_url=self.base_url,
                headers={"Authorization": f"Bearer {signed_in['access']}"},
                timeout=30.0,
            )
        )
        return Person(
            user_id=signed_in["user"]["id"],
            full_name=full_name,
            phone=phone,
            access=signed_in["access"],
            refresh=signed_in["refresh"],
            api=api,
        )


@pytest.fixture
async def people(server: RunningServer) -> AsyncIterator[People]:
    async with AsyncExitStack() as clients:
        yield People(server, clients)
