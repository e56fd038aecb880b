"""The server is killed in the middle of payments: each that was paid counts once, no other does.

Customers book, go to Khalti's pay page in the sandbox, pay or do not, and come back or do not,
while the server is killed at random. Then the clock is put forward, and what the provider holds,
the bookings and the ledger must tell the same. ``PAYMENT_FLOWS=200`` runs as many;
``PAYMENT_SEED`` repeats a run.
"""

from __future__ import annotations

import asyncio
import dataclasses
import os
import random
from contextlib import AsyncExitStack, suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest

from server.app import RunningServer, open_server
from server.domain.payment import booking_payment_id
from server.sandbox import keys
from server.settings import DatabaseSettings, KhaltiSettings, Settings
from tests.payments import ledger_sums, ledger_totals
from tests.sandbox_control import SandboxControl, running_sandbox
from tests.server_process import SECRET, ServerProcess
from tests.support import FakeClock, People, Person

FLOWS = int(os.environ.get("PAYMENT_FLOWS", "10"))
SEED = int(os.environ.get("PAYMENT_SEED", "20261122"))
AT_ONCE = 5
FRESH_DATABASE = True
pytestmark = pytest.mark.timeout(180 + 15 * FLOWS)


async def test_what_was_paid_is_confirmed_once_whenever_the_server_is_killed(
    settings: Settings, database_settings: DatabaseSettings, tmp_path: Path
):
    dice = random.Random(SEED)
    clock = FakeClock(datetime.now(UTC))
    async with running_sandbox() as sandbox, AsyncExitStack() as stack:
        khalti = KhaltiSettings(
            enabled=True,
            api_url=f"{sandbox.url}/khalti/api/v2/",
            refund_url=f"{sandbox.url}/khalti/api/",
            secret_key=min(keys.KHALTI_SECRET_KEYS),
        )
        ours = dataclasses.replace(
            settings,
            # What is slow here is the machine.
            database=dataclasses.replace(database_settings, timeout_seconds=60.0),
            khalti=khalti,
            auth=dataclasses.replace(settings.auth, secret=SECRET, access_minutes=600),
        )
        async with open_server(ours, clock=clock) as quiet:
            people = People(quiet, stack)
            customer = await people.customer()
            pandits = [
                await people.pandit(f"Pandit {number}", duration_minutes=60)
                for number in range(-(-FLOWS // 20))
            ]
        child = ServerProcess(
            tmp_path,
            "killed",
            {
                "DATABASE__URI": database_settings.uri,
                "DATABASE__NAME": database_settings.name,
                **{
                    f"KHALTI__{name.upper()}": str(getattr(khalti, name))
                    for name in ("enabled", "api_url", "refund_url", "secret_key")
                },
                "LIMITS__PAY": "100000/minute",
                "LIMITS__WRITE": "100000/minute",
                "LIMITS__CALLBACK": "100000/minute",
                "PAYMENT__RECONCILE_SECONDS": "0.5",
                "BOOKING__MOST_UNPAID": "1000",
            },
        )
        await child.start()
        try:
            done = 0
            while done < FLOWS:
                flows = [
                    asyncio.create_task(
                        pay_somehow(child.port, customer, wish(pandits, number), sandbox, dice)
                    )
                    for number in range(done, min(FLOWS, done + AT_ONCE))
                ]
                await asyncio.sleep(dice.uniform(0.02, 1.5))
                await child.kill()
                await asyncio.gather(*flows)
                done += AT_ONCE
                await child.start()
        finally:
            await child.kill()
        async with open_server(ours, clock=clock) as after:
            await let_time_pass(after, clock)
            await compare(after, sandbox)


def wish(pandits: list[Person], number: int) -> dict[str, Any]:
    """A booking of an hour that no other one of this test overlaps."""
    day = datetime.now(UTC).date() + timedelta(days=10)
    # A Sunday: every pandit works then, and the two days that follow.
    day += timedelta(days=(6 - day.weekday()) % 7 + number % 20 // 5)
    return {
        "service_id": pandits[number // 20].service_id,
        "booking_date": day.isoformat(),
        "booking_time": f"{7 + 2 * (number % 5):02}:00",
        "service_location": "PANDIT_LOCATION",
        "payment_method": "KHALTI",
    }


async def pay_somehow(
    port: int,
    customer: Person,
    wanted: dict[str, Any],
    sandbox: SandboxControl,
    dice: random.Random,
) -> None:
    """Book, pay or cancel or neither, come back or not; what is lost on the way is lost."""
    headers = {"Authorization": f"Bearer {customer.access}"}
    will_pay, will_return = dice.random() < 0.7, dice.random() < 0.6
    with suppress(httpx.HTTPError):
        async with httpx.AsyncClient(
            base_url=f"http://127.0.0.1:{port}", headers=headers, timeout=20.0
        ) as api:
            booked = await api.post("/api/bookings/", json=wanted)
            begun = await api.post(
                "/api/payments/",
                json={"booking_id": booked.json()["id"], "payment_method": "KHALTI"},
            )
            pidx = begun.json()["action"]["url"].rpartition("/")[2]
            back = await sandbox.act("khalti", pidx, "pay" if will_pay else "cancel")
            if will_return:
                await api.get(back.headers["location"])


async def let_time_pass(server: RunningServer, clock: FakeClock) -> None:
    """Two hours, in the steps in which something falls due."""
    services = server.services
    began = clock.now()
    for minutes in (0, 1, 2, 4, 11, 14, 16, 31, 61, 121):
        clock.set(began + timedelta(minutes=minutes, seconds=10))
        await services.relay.sweep()
        for _ in range(20):
            if not await services.settlement.reconcile():
                break
        await services.settlement.idle()
        await services.booking_payments.fail_unpaid()
    await services.relay.sweep()
    await services.settlement.idle()


async def compare(server: RunningServer, sandbox: SandboxControl) -> None:
    """What the provider holds, the payments, the bookings and the ledger tell the same."""
    held = {row["reference"]: row for row in await sandbox.ledger(gateway="khalti")}
    store = server.store
    bookings = await store.collection("bookings").find({}, limit=1000)
    entries = await store.collection("ledger").find({}, limit=10_000)
    causes = [entry["_id"] for entry in entries]
    assert bookings
    kept = 0
    for booking in bookings:
        payment = await store.collection("payments").find_one(
            {"_id": booking_payment_id(booking["_id"])}
        )
        attempts = payment["attempts"] if payment else []
        paid = [held[each["reference"]] for each in attempts if is_paid(held, each["reference"])]
        captured = [each for each in attempts if f"capture:{each['reference']}" in causes]
        assert len(captured) == len(paid), (booking["_id"], attempts)
        stays = sum(row["amount"] - row["refunded"] for row in paid)
        kept += stays
        if booking["status"] == "PENDING":
            assert stays == booking["total_fee"]
            assert booking["payment_status"] == "COMPLETED"
            assert "pay_by" not in booking
        else:
            assert booking["status"] == "FAILED"
            assert stays == 0
    assert set((await ledger_sums(server)).values()) <= {0}
    totals = await ledger_totals(server)
    assert totals == ({"gateway:KHALTI": kept, "customer": -kept} if kept else {})


def is_paid(held: dict[str, dict[str, Any]], reference: str) -> bool:
    """Whether the provider has, or had, the money."""
    row = held.get(reference)
    return row is not None and row["status"] == "paid"
