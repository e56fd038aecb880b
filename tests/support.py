"""What the fixtures hand out: a clock to move, people of a running server."""

from __future__ import annotations

import asyncio
import dataclasses
import itertools
from contextlib import AsyncExitStack
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import httpx

from server.app import RunningServer
from server.domain.account import GeoPoint, Place
from server.settings import (
    AnalyticsSettings,
    AuthSettings,
    DatabaseSettings,
    FileSettings,
    HttpSettings,
    LimitSettings,
    PushSettings,
    RealtimeSettings,
    RecommenderSettings,
    Settings,
)

PASSWORD = "a long passphrase"
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
        self._arrived = asyncio.Condition()

    async def send(self, phone_number: str, code: str, language: str) -> None:
        async with self._arrived:
            self.sent[phone_number] = code
            self._arrived.notify_all()

    async def wait_for(self, phone_number: str) -> str:
        """The code that was sent to the phone; sending happens after the answer."""
        async with asyncio.timeout(5), self._arrived:
            await self._arrived.wait_for(lambda: phone_number in self.sent)
            return self.sent[phone_number]


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


class People:
    """Makes people of one server."""

    def __init__(self, server: RunningServer, clients: AsyncExitStack) -> None:
        self._server = server
        self._clients = clients
        self._numbers = itertools.count(9_800_000_000)

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
        await self._server.services.accounts.create_admin(full_name, phone, PASSWORD)
        client = await self.nobody()
        answer = await client.post(
            "/api/auth/token/", json={"identifier": phone, "password": PASSWORD}
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
            area="Lazimpat",
            city="Kathmandu",
            address="House 12, Lazimpat",
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

    async def sign_in_again(self, person: Person) -> None:
        """Give the person a fresh token, after the clock was moved past the old one's end."""
        answer = await person.api.post(
            "/api/auth/token/",
            json={"identifier": person.phone, "password": PASSWORD},
            headers={"Authorization": ""},
        )
        person.access = answer.raise_for_status().json()["access"]
        person.api.headers["Authorization"] = f"Bearer {person.access}"

    async def _register(self, full_name: str, role: str) -> Person:
        phone = str(next(self._numbers))
        client = await self.nobody()
        answer = await client.post(
            "/api/auth/register/",
            json={
                "full_name": full_name,
                "phone_number": phone,
                "password": PASSWORD,
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


def server_settings(database: DatabaseSettings, folder: Path) -> Settings:
    """Settings of a test server: that database, a free port, generous limits."""
    plenty = "100000/minute"
    return Settings(
        environment="test",
        http=HttpSettings(port=0, drain_seconds=5.0),
        database=database,
        auth=AuthSettings(secret="a-secret-for-tests-only-" + "x" * 32),
        files=FileSettings(path=str(folder / "files")),
        push=PushSettings(key_path=str(folder / "vapid.pem"), hosts=("127.0.0.1:8",)),
        recommender=RecommenderSettings(
            path=str(folder / "models"), poll_seconds=0.2, retry_seconds=0.2
        ),
        # What a test has just made is to be seen at once.
        analytics=AnalyticsSettings(cache_seconds=0.0),
        realtime=RealtimeSettings(
            reconnect_window_seconds=0.3, messages_per_second=1000.0, message_burst=1000
        ),
        limits=LimitSettings(**{field.name: plenty for field in dataclasses.fields(LimitSettings)}),
    )
