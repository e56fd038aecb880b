"""What the commonest searches cost among 20,000 pandits: ``python -m bench.search``.

Builds on demand, under ``var/bench``, a database of 20,000 pandits with 12,000 bookings ahead (the
embedded server; kept between runs), serves it by the real server in a process of its own, and
prints for ten searches the 50th and 99th percentile of their time, one after the other on one
connection, and beside it that of ``/healthz``, which says what the machine itself adds. Then the
same searches are made to a server in this process, whose driver is listened to: every command that
they send must be answered by an index, which the database is asked by ``explain``. Ends with status
1 if one is not, or if a search takes longer than the limit.

``--database`` lets the database search instead of the index in memory, for comparison.
"""

from __future__ import annotations

import argparse
import asyncio
import dataclasses
import gc
import random
import resource
import statistics
import sys
import time
from collections.abc import Iterator, Sequence
from datetime import UTC, date, datetime, timedelta
from datetime import time as clock_time
from pathlib import Path
from typing import Any, Final

import httpx
import structlog
from pymongo import AsyncMongoClient
from tqdm import tqdm

from bench.commands import Plan, Recorder, plans_of
from bench.rest import FOLDER, PLENTY, served
from server.app import open_server, prepare_database
from server.demo.names import PANDIT_FAMILY, PANDIT_GIVEN
from server.domain.account import GeoPoint, Place
from server.domain.booking import Booking, BookingStatus, ServiceLocation
from server.domain.calendar import DayException, default_availability, local_instant, span_of
from server.domain.catalogue import Puja
from server.domain.pandit import Pandit, Service, VerificationStatus
from server.paths import data_path
from server.places.directory import PlaceTable, load_places
from server.settings import (
    DatabaseSettings,
    FileSettings,
    HttpSettings,
    LimitSettings,
    LogSettings,
    SearchSettings,
    Settings,
)
from server.store.bookings import booking_document
from server.store.catalogue_files import load_catalogue
from server.store.client import Store, open_store
from server.store.embedded import EmbeddedServer
from server.store.pandit_directory import IndexedPanditRepository
from server.store.pandits import COLLECTION, pandit_document

DATABASE: Final = "bench_search"
PANDITS: Final = 20_000
BOOKINGS: Final = 12_000
LIMIT_MS: Final = 50.0
_BATCH: Final = 100
"""So many documents are written within a second: while it writes the server answers nobody."""
_WARM_UP: Final = 5
_NOTHING: Final = "(/healthz, for comparison)"
_TOWNS: Final = (
    ("Kathmandu", 34), ("Lalitpur", 16), ("Bhaktapur", 9), ("Pokhara", 10), ("Bharatpur", 6),
    ("Biratnagar", 5), ("Butwal", 5), ("Janakpur", 4), ("Dharan", 4), ("Nepalgunj", 3),
    ("Dhangadhi", 2), ("Hetauda", 2),
)  # fmt: skip
_LANGUAGES: Final = (("ne",), ("ne", "sa"), ("ne", "new"), ("ne", "mai"), ("ne", "hi", "en"))


def searches() -> dict[str, dict[str, Any]]:
    """The ten searches, by name."""
    weekday = _next_weekday()
    puja, thamel = "satyanarayan-puja", {"lat": 27.7154, "lng": 85.3123}
    return {
        "all, recommended": {},
        "a puja": {"puja_id": puja},
        "a puja near me": {"puja_id": puja, **thamel, "radius_km": 10},
        "a puja, cheapest": {"puja_id": puja, "sort": "price"},
        "the nearest": {**thamel, "sort": "distance"},
        "a word: pooja lalitpur": {"q": "pooja lalitpur"},
        "a name: पौडेल": {"q": "पौडेल"},
        "a puja on a day at a time": {"puja_id": puja, "date": weekday, "time": "10:00"},
        "best rated, in Maithili": {"language": "mai", "sort": "rating", "min_rating": 4},
        "all filters": {
            "category": "home", "q": "joshi", **thamel, "radius_km": 15, "date": weekday,
            "min_rating": 3.5, "max_price": 700_000, "language": "ne", "sort": "experience",
        },
    }  # fmt: skip


def _next_weekday() -> str:
    day = datetime.now(UTC).date() + timedelta(days=3)
    return (day + timedelta(days=day.isoweekday() == 6)).isoformat()


# -- the town --------------------------------------------------------------------------------------


async def build_if_needed(store: Store, pandit_count: int) -> None:
    """Fill the database unless it is full already."""
    state = store.collection("bench_state")
    if await state.find_one({"_id": f"{pandit_count} pandits"}) is not None:
        return
    await store.drop()
    await prepare_database(store)
    pujas = load_catalogue(data_path("config") / "catalogue").pujas
    made = list(_town(pujas, load_places(data_path("config") / "places.csv"), pandit_count))
    for name, documents in (
        (COLLECTION, [pandit_document(pandit) for pandit in made]),
        ("bookings", [booking_document(each) for each in _bookings(made)]),
    ):
        for start in tqdm(range(0, len(documents), _BATCH), desc=name, unit="batch", disable=None):
            await store.collection(name).insert_many(documents[start : start + _BATCH])
    await state.insert_one({"_id": f"{pandit_count} pandits"})


def _town(pujas: Sequence[Puja], places: PlaceTable, count: int) -> Iterator[Pandit]:
    chance = random.Random(20_000)  # the same town each time
    joined = datetime(2025, 1, 1, tzinfo=UTC)
    for number in range(count):
        pandit_id = f"{number:024x}"
        town = chance.choices([name for name, _ in _TOWNS], [share for _, share in _TOWNS])[0]
        place = places.named(town)
        assert place is not None, town
        point = GeoPoint(
            place.point.latitude + chance.gauss(0, 0.04),
            place.point.longitude + chance.gauss(0, 0.04),
        )
        given, given_ne = chance.choice(PANDIT_GIVEN)
        family, family_ne = chance.choice(PANDIT_FAMILY)
        day_off = DayException(on=date.fromisoformat(_next_weekday()))
        yield Pandit(
            id=pandit_id,
            user_id=f"user-{pandit_id}",
            full_name=f"{given} {family}",
            full_name_ne=f"{given_ne} {family_ne}",
            phone_number=f"+97798{number:08}",
            languages=chance.choice(_LANGUAGES),
            experience_years=chance.randrange(1, 40),
            rating=round(chance.triangular(2.5, 5, 4.4), 3),
            review_count=chance.randrange(0, 80),
            bio="Performs rites by the books, explains each step and comes in time. " * 3,
            verification_status=VerificationStatus.APPROVED,
            location=Place(city=town, area=town, point=point),
            services=tuple(
                Service(
                    id=f"{pandit_id}-{place_in_list}",
                    pandit_id=pandit_id,
                    puja_id=puja.id,
                    name=puja.name,
                    name_ne=puja.name_ne,
                    duration_minutes=puja.duration_minutes // 15 * 15,
                    price=puja.base_price * chance.randrange(8, 14) // 10,
                )
                for place_in_list, puja in enumerate(chance.sample(list(pujas), 6))
            ),
            availability=dataclasses.replace(
                default_availability(), exceptions=(day_off,) if chance.random() < 0.1 else ()
            ),
            date_joined=joined,
            updated_at=joined + timedelta(minutes=number),
        )


def _bookings(pandits: Sequence[Pandit]) -> Iterator[Booking]:
    chance = random.Random(12_000)  # the same bookings each time
    now = datetime.now(UTC)
    taken: set[tuple[str, int]] = set()
    for number in range(BOOKINGS):
        pandit = chance.choice(pandits)
        service = chance.choice(pandit.services)
        day = now.date() + timedelta(days=chance.randrange(1, 14))
        at = clock_time(chance.randrange(6, 15))
        span = span_of(local_instant(day, at, "Asia/Kathmandu"), service.duration_minutes, 30)
        held = {(pandit.id, claim) for claim in span.claims}
        if held & taken:
            continue
        taken |= held
        yield Booking(
            id=f"b{number:023x}",
            user_id="customer",
            customer_name="Somebody",
            customer_phone="+9779800000000",
            pandit_id=pandit.id,
            pandit_user_id=pandit.user_id,
            pandit_name=pandit.full_name,
            service_id=service.id,
            puja_id=service.puja_id,
            service_name=service.name,
            service_name_ne=service.name_ne,
            service_location=ServiceLocation.PANDIT_LOCATION,
            booking_date=day,
            booking_time=at,
            timezone="Asia/Kathmandu",
            starts_at=span.starts_at,
            ends_at=span.ends_at,
            claims=span.claims,
            status=BookingStatus.ACCEPTED,
            samagri_required=False,
            service_fee=service.price,
            total_fee=service.price,
            commission_basis_points=1000,
            commission_amount=service.price // 10,
            created_at=now,
            updated_at=now,
        )


# -- measuring -------------------------------------------------------------------------------------


async def index_cost(settings: DatabaseSettings, uri: str) -> None:
    """Print what it takes to fill the index, as each process does before it is ready."""
    gc.collect()
    async with open_store(settings, uri) as store:
        repository = IndexedPanditRepository(store)
        before, began, worked = _resident(), time.perf_counter(), time.process_time()
        await repository.look()
        seconds, processor = time.perf_counter() - began, time.process_time() - worked
        megabytes = (_resident() - before) / 1e6
        count = repository.size
    print(
        f"\nindex of {count} pandits: read in {seconds:.1f} s ({processor:.1f} s of this process's"
        f" processor), {megabytes:.0f} MB ({1e3 * megabytes / max(count, 1):.1f} kB a pandit)"
    )


def _resident() -> int:
    pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1])
    return pages * resource.getpagesize()


async def measure(address: str, times: int) -> dict[str, tuple[list[float], int]]:
    """Milliseconds of each search and how many it found, by name."""
    taken = {}
    async with httpx.AsyncClient(base_url=address, timeout=60.0) as api:
        asked: dict[str, tuple[str, dict[str, Any]]] = {_NOTHING: ("/healthz", {})} | {
            name: ("/api/pandits/", params) for name, params in searches().items()
        }
        for name, (path, params) in tqdm(asked.items(), desc="searches", disable=None):
            milliseconds, rows = [], 0
            for turn in range(_WARM_UP + times):
                began = time.perf_counter()
                answer = await api.get(path, params=params)
                if turn >= _WARM_UP:
                    milliseconds.append((time.perf_counter() - began) * 1000)
                rows = len(answer.raise_for_status().json().get("results", ()))
            taken[name] = (milliseconds, rows)
    return taken


async def watch(uri: str, *, in_memory: bool) -> dict[str, list[Plan]]:
    """How the database answers each command of each search."""
    recorder = Recorder()
    settings = Settings(
        environment="bench",
        http=HttpSettings(port=0),
        database=DatabaseSettings(uri=uri, name=DATABASE, timeout_seconds=60.0),
        files=FileSettings(path=str(FOLDER / "files")),
        limits=LimitSettings(**{field.name: PLENTY for field in dataclasses.fields(LimitSettings)}),
        search=SearchSettings(in_memory=in_memory),
        log=LogSettings(level="WARNING"),
    )
    plans = {}
    client: AsyncMongoClient[dict[str, Any]] = AsyncMongoClient(uri)
    async with (
        client,
        open_server(settings, listeners=[recorder]) as server,
        httpx.AsyncClient(base_url=f"http://127.0.0.1:{server.port}", timeout=60.0) as api,
    ):
        for name, params in searches().items():
            tries = []
            for _ in range(3):
                answer = await api.get("/api/pandits/", params=params)
                tries.append(recorder.take_of(answer.raise_for_status()))
            # The fewest: the first also reads what is then believed for a while.
            plans[name] = await plans_of(client.get_database(DATABASE), min(tries, key=len))
    return plans


def show(taken: dict[str, tuple[list[float], int]], plans: dict[str, list[Plan]]) -> list[str]:
    """Print what was found; returns what is not as it must be."""
    faults = []
    print(f"\n{'search':28}{'p50 ms':>9}{'p99 ms':>9}{'rows':>6}{'commands':>10}")
    for name, (milliseconds, rows) in taken.items():
        cuts = statistics.quantiles(milliseconds, n=100, method="inclusive")
        print(f"{name:28}{cuts[49]:9.1f}{cuts[98]:9.1f}{rows:6}{len(plans.get(name, ())):10}")
        if cuts[49] > LIMIT_MS:
            faults.append(f"{name}: {cuts[49]:.0f} ms, more than {LIMIT_MS:.0f}")
    print(f"\n{'search':28}{'collection':12}{'index':38}{'examined':>9}{'returned':>9}")
    for name, its_plans in plans.items():
        for plan in its_plans:
            index = ", ".join(plan.indexes) if plan.uses_index else "NONE"
            print(f"{name:28}{plan.collection:12}{index:38}{plan.examined:9}{plan.returned:9}")
            if not plan.uses_index:
                faults.append(f"{name}: no index on {plan.collection}")
    return faults


async def main(pandit_count: int, times: int, *, in_memory: bool) -> int:
    """Build, measure, print; returns the exit status."""
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(30))
    settings = DatabaseSettings(
        embedded_path=str(FOLDER / "search"), name=DATABASE, timeout_seconds=120.0
    )
    database = EmbeddedServer(settings)
    await database.start()
    try:
        async with open_store(settings, database.uri) as store:
            await build_if_needed(store, pandit_count)
        if in_memory:
            await index_cost(settings, database.uri)
        began = time.perf_counter()
        async with served(
            database.uri, name=DATABASE, extra={"SEARCH__IN_MEMORY": str(in_memory).lower()}
        ) as address:
            print(f"the server is ready after {time.perf_counter() - began:.1f} s")
            taken = await measure(address, times)
        faults = show(taken, await watch(database.uri, in_memory=in_memory))
    finally:
        await database.stop()
    print(*faults, sep="\n")
    return 1 if faults else 0


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--pandits", type=int, default=PANDITS)
    parser.add_argument("--requests", type=int, default=100, help="of each kind")
    parser.add_argument("--database", action="store_true", help="search by the database itself")
    options = parser.parse_args()
    sys.exit(asyncio.run(main(options.pandits, options.requests, in_memory=not options.database)))
