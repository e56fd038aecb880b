"""The server is killed at random points of payments: what was paid is confirmed once, nothing else.

``PAYMENT_FLOWS=200 PAYMENT_SEED=7`` plays more of them, from another seed.
"""

from __future__ import annotations

import asyncio
import dataclasses
import os
import random
import tomllib
import uuid
from collections import Counter
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

import httpx
import pytest

from server.app import RunningServer, open_server
from server.demo.payments import pointed_at
from server.sandbox.merchant import write_settings
from server.sandbox.world import Merchant
from server.settings import BookingSettings, DatabaseSettings, LimitSettings, Settings
from tests.payments import FAR, LONG_AGO, ledger_sums
from tests.sandbox_control import SandboxControl, running_sandbox
from tests.server_process import SECRET, ServerProcess
from tests.support import FakeClock, People, Person, server_settings

pytestmark = pytest.mark.timeout(3600)
FLOWS: Final = int(os.environ.get("PAYMENT_FLOWS", "15"))
SEED: Final = int(os.environ.get("PAYMENT_SEED", "1"))
METHODS: Final = ("KHALTI", "ESEWA", "CONNECT_IPS", "IME_PAY", "STRIPE")
_AT_ONCE: Final = 4
_STEPS_BETWEEN_KILLS: Final = (4, 16)
_LONGEST_BREATH: Final = 0.15
_A_DAY: Final = (61, 125, 420, 310, 1260, 3660, 7200, 86_400)
_ACTIONS: Final = ("pay", "pay", "pay", "pay-and-close", "cancel", "fail")


class _Gone(Exception):
    """The server did not answer: the person's page shows an error."""


@dataclass
class Shop:
    """People who pay at a server that dies under them."""

    process: ServerProcess
    sandbox: SandboxControl
    customer: httpx.AsyncClient
    service_id: str
    random: random.Random
    steps: int = 0
    step: asyncio.Condition = field(default_factory=asyncio.Condition)
    booked: list[str] = field(default_factory=list)
    kills: int = 0

    async def call(self, method: str, path: str, **options: Any) -> httpx.Response:
        """Ask the server, which may die of it."""
        async with self.step:
            self.steps += 1
            self.step.notify_all()
        try:
            return await self.customer.request(method, path, **options)
        except httpx.TransportError as error:
            raise _Gone from error

    async def until_answered(self, method: str, path: str, **options: Any) -> httpx.Response:
        """The same, again until the server is back; what it did before it died may be there."""
        while True:
            try:
                return await self.call(method, path, **options)
            except _Gone:
                async with asyncio.timeout(120):
                    await self.process_is_up()

    async def process_is_up(self) -> None:
        """Wait until it serves again."""
        async with self.step:
            await self.step.wait_for(lambda: self.process.is_up)

    async def flow(self, number: int) -> None:
        """Book, begin to pay, do something on the pay page, come back; or as far as it goes."""
        method = METHODS[number % len(METHODS)]
        action = self.random.choice(_ACTIONS)
        day = datetime.now(UTC) + timedelta(days=10 + number)
        booked = await self.until_answered(
            "POST",
            "/api/bookings/",
            json={
                "service_id": self.service_id,
                "booking_date": day.date().isoformat(),
                "booking_time": f"{6 + 2 * self.random.randrange(5):02}:00",
                "service_location": "PANDIT_LOCATION",
                "payment_method": method,
            },
        )
        if booked.status_code != 201:
            # Saturday, or the booking that died was stored after all: there is one that is unpaid.
            return
        booking_id = booked.json()["id"]
        self.booked.append(booking_id)
        begun = await self.until_answered(
            "POST", "/api/payments/", json={"booking_id": booking_id, "payment_method": method}
        )
        if begun.status_code != 201:
            return
        wanted = begun.json()["action"]
        if wanted["kind"] == "form":
            page = await self.sandbox.client.post(wanted["url"], data=wanted["fields"])
        else:
            page = await self.sandbox.client.get(wanted["url"])
        location = page.headers.get("location", wanted["url"])
        back = await self.sandbox.client.post(urlsplit(location).path, data={"action": action})
        if back.status_code == 303:
            try:
                await self.call("GET", back.headers["location"])
            except _Gone:
                # He closes the tab.
                return

    async def kill_again_and_again(self) -> None:
        """Kill it after so many steps and a breath, start it again, and so on."""
        while True:
            until = self.steps + self.random.randint(*_STEPS_BETWEEN_KILLS)
            async with self.step:
                await self.step.wait_for(lambda until=until: self.steps >= until)  # type: ignore[misc]
            # Somewhere inside of what it is doing: this is the point of the test, not a wait.
            await asyncio.sleep(self.random.uniform(0.0, _LONGEST_BREATH))
            await self.process.kill()
            self.kills += 1
            await self.process.start()
            async with self.step:
                self.step.notify_all()


async def test_killed_again_and_again_every_paid_booking_is_confirmed_once_and_no_other(
    mongo_uri: str, tmp_path: Path
):
    database = DatabaseSettings(uri=mongo_uri, name=f"test_{uuid.uuid4().hex[:12]}")
    async with AsyncExitStack() as stack:
        sandbox = await stack.enter_async_context(running_sandbox())
        path = write_settings(tmp_path / "sandbox", sandbox.url, Merchant())
        settings = _settings(server_settings(database, tmp_path), path)
        async with open_server(settings) as server, AsyncExitStack() as clients:
            people = People(server, clients)
            customer = await people.customer()
            pandit = await people.pandit(duration_minutes=60)
        process = _process(tmp_path, database, path)
        stack.push_async_callback(process.kill)
        await process.start()
        site = f"http://127.0.0.1:{process.port}"
        await sandbox.register(
            stripe_webhook=f"{site}/api/payments/webhooks/STRIPE/",
            connectips_success=f"{site}/api/payments/CONNECT_IPS/return/",
            connectips_failure=f"{site}/api/payments/CONNECT_IPS/return/",
        )
        browser = await stack.enter_async_context(
            httpx.AsyncClient(
                base_url=site,
                headers={"Authorization": f"Bearer {customer.access}"},
                timeout=60.0,
            )
        )
        shop = Shop(process, sandbox, browser, pandit.service_id, random.Random(SEED))
        killer = asyncio.create_task(shop.kill_again_and_again())
        turns = asyncio.Semaphore(_AT_ONCE)

        async def one(number: int) -> None:
            async with turns:
                await shop.flow(number)

        await asyncio.gather(*(one(number) for number in range(FLOWS)))
        killer.cancel()
        await asyncio.gather(killer, return_exceptions=True)
        await process.kill()
        clock = FakeClock(datetime.now(UTC))
        await sandbox.client.post("/_sandbox/clock", json={"now": clock.now().timestamp()})
        server = await stack.enter_async_context(open_server(settings, clock=clock))
        for seconds in _A_DAY:
            clock.advance(seconds=seconds)
            await sandbox.advance(seconds)
            await _do_what_is_due(server)
        assert shop.kills
        await _look(server, sandbox, customer, shop)


async def _do_what_is_due(server: RunningServer) -> None:
    services = server.services
    for _ in range(FLOWS):
        done = [
            await services.relay.sweep(),
            await services.settlement.reconcile(),
            await services.booking_payments.fail_unpaid(),
        ]
        await services.settlement.idle()
        if not any(done):
            return


async def _look(
    server: RunningServer, sandbox: SandboxControl, customer: Person, shop: Shop
) -> None:
    assert set((await ledger_sums(server)).values()) <= {0}
    held: Counter[str] = Counter()
    async with AsyncExitStack() as clients:
        people = People(server, clients)
        admin = await people.admin()
        api = admin.api
        payments = await _all(api, "/api/admin/payments/")
        rows = {row["reference"]: row for row in await sandbox.ledger()}
        for payment in payments:
            for attempt in payment["attempts"]:
                row = rows.get(attempt["reference"])
                held[payment["booking_id"]] += row["paid"] - row["refunded"] if row else 0
        own = await clients.enter_async_context(
            httpx.AsyncClient(
                base_url=people.base_url,
                headers={"Authorization": f"Bearer {customer.access}"},
                timeout=60.0,
            )
        )
        told = Counter(
            row["booking"]
            for row in await _all(own, "/api/notifications/")
            if row["notification_type"] == "PAYMENT_SUCCESS"
        )
        ours, captured = await _booked(server)
        for booking_id in {*shop.booked, *held}:
            shown = (await own.get(f"/api/bookings/{booking_id}/")).raise_for_status().json()
            is_paid = held[booking_id] > 0
            assert (shown["payment_status"] == "COMPLETED") == is_paid, shown
            assert (shown["status"] == "PENDING") == is_paid, shown
            assert (told[booking_id], captured[booking_id]) == (is_paid, is_paid), shown
            assert ours[booking_id] == held[booking_id], shown


async def _all(api: httpx.AsyncClient, path: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = []
    cursor: str | None = None
    while True:
        page = (await api.get(path, params={"cursor": cursor} if cursor else {})).raise_for_status()
        found += page.json()["results"]
        cursor = page.json()["next"]
        if cursor is None:
            return found


async def _booked(server: RunningServer) -> tuple[Counter[str], Counter[str]]:
    """What the gateways hold, and how often something was captured, by booking."""
    ours: Counter[str] = Counter()
    captured: Counter[str] = Counter()
    after = None
    while True:
        page = await server.services.ledger.list_entries(
            account=None, first=LONG_AGO, last=FAR, limit=100, after=after
        )
        for entry in page.rows:
            booking_id = entry.refs["booking_id"]
            captured[booking_id] += entry.kind.value == "capture"
            ours[booking_id] += sum(
                posting.amount
                for posting in entry.postings
                if posting.account.startswith("gateway:")
            )
        after = page.next_key
        if after is None:
            return ours, captured


def _settings(settings: Settings, sandbox_settings: Path) -> Settings:
    pointed = pointed_at(settings, tomllib.loads(sandbox_settings.read_text()))
    return dataclasses.replace(
        pointed,
        # A day passes: neither pandits nor tokens shall end what is played.
        booking=BookingSettings(answer_hours=1000.0),
        auth=dataclasses.replace(settings.auth, secret=SECRET, access_minutes=10_000),
    )


def _process(path: Path, database: DatabaseSettings, sandbox_settings: Path) -> ServerProcess:
    limits = {
        f"LIMITS__{limit.name.upper()}": "100000/minute"
        for limit in dataclasses.fields(LimitSettings)
    }
    return ServerProcess(
        path,
        "server",
        {
            "DATABASE__URI": database.uri,
            "DATABASE__NAME": database.name,
            "CONFIG": str(sandbox_settings),
            "BOOKING__ANSWER_HOURS": "1000",
            **limits,
        },
    )
