"""The server is killed while slots are held: no hold outlives its time, what is booked is whole."""

from __future__ import annotations

import asyncio
import dataclasses
import os
import random
from contextlib import AsyncExitStack, suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path

import httpx
import pytest

from server.app import open_server
from server.domain.draft import DRAFT
from server.settings import DatabaseSettings, Settings
from tests.server_process import SECRET, ServerProcess
from tests.support import FakeClock, People, Person

SEED = int(os.environ.get("WIZARD_SEED", "20261122"))
STEP = "/api/booking-wizard/create-step/"
FRESH_DATABASE = True
FAMILIES = 6
pytestmark = pytest.mark.timeout(240)


async def wizard(port: int, person: Person, service_id: str, at: str) -> bool:
    """Go through the steps as far as the server lives; whether the end was seen."""
    headers = {"Authorization": f"Bearer {person.access}"}
    day = datetime.now(UTC).date() + timedelta(days=10)
    # A Sunday, on which every pandit works.
    day += timedelta(days=(6 - day.weekday()) % 7)
    details = {"service_location": "ONLINE", "samagri_required": True}
    with suppress(httpx.HTTPError, KeyError):
        async with httpx.AsyncClient(
            base_url=f"http://127.0.0.1:{port}", headers=headers, timeout=20.0
        ) as api:
            begun = {"booking_step": "service_selection", "service_id": service_id}
            draft = (await api.post(STEP, json=begun)).json()["id"]
            for name, body in (
                ("datetime_selection", {"booking_date": day.isoformat(), "booking_time": at}),
                ("details", details),
                ("payment", {"payment_method": "CASH"}),
                ("confirmation", {"recurrence": None}),
            ):
                step = {"booking_step": name, "booking_id": draft, **body}
                answer = await api.post(STEP, json=step)
                if answer.status_code != 200:
                    return False
            return True
    return False


async def test_no_hold_outlives_its_time_whenever_the_server_is_killed(
    settings: Settings, database_settings: DatabaseSettings, tmp_path: Path
) -> None:
    dice = random.Random(SEED)
    ours = dataclasses.replace(
        settings,
        database=dataclasses.replace(database_settings, timeout_seconds=60.0),
        auth=dataclasses.replace(settings.auth, secret=SECRET, access_minutes=600),
    )
    async with AsyncExitStack() as stack:
        async with open_server(ours, clock=FakeClock(datetime.now(UTC))) as quiet:
            people = People(quiet, stack)
            pandit = await people.pandit(duration_minutes=60)
            families = [await people.customer(f"Family {number}") for number in range(FAMILIES)]
        child = ServerProcess(
            tmp_path,
            "killed",
            {
                "DATABASE__URI": database_settings.uri,
                "DATABASE__NAME": database_settings.name,
                "BOOKING__DRAFT_HOLD_MINUTES": "0.05",
                "BOOKING__DRAFT_KEEP_HOURS": "0.1",
                "BOOKING__MOST_DRAFTS": "20",
                "LIMITS__WRITE": "100000/minute",
            },
        )
        await child.start()
        seen = 0
        try:
            for _ in range(3):
                tries = [
                    asyncio.create_task(
                        wizard(
                            child.port, family, pandit.service_id, f"{7 + 2 * (place // 2):02}:00"
                        )
                    )
                    for place, family in enumerate(families)
                ]
                await asyncio.sleep(dice.uniform(0.05, 0.8))
                await child.kill()
                seen += sum(await asyncio.gather(*tries))
                await child.start()
            async with open_server(ours) as reader, asyncio.timeout(60):
                bookings = reader.store.collection("bookings")
                while holds := await bookings.find({"status": DRAFT}, limit=100):
                    if not any(document.get("claims") for document in holds):
                        break
                    # Whichever process lives clears them away.
                    await asyncio.sleep(0.1)
                made = await bookings.find({"status": "PENDING"}, limit=100)
        finally:
            await child.kill()
    assert len(made) >= seen, "what was confirmed is there"
    claims = [claim for document in made for claim in document["claims"]]
    assert len(claims) == len(set(claims))
    assert all(document["user_id"] and document["history"] for document in made)
