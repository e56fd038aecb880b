"""What the server writes, read as training data: the two agree on every field by meaning."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from decimal import Decimal

import pytest

from recsys import sources
from recsys.data import BadData, Dataset, Kind, Source, Status, Tier
from server.domain.booking import BookingStatus
from server.domain.catalogue import SamagriType
from server.settings import DatabaseSettings
from server.store.bookings import MongoBookingRepository
from server.store.client import Store
from tests.factories import NOW, make_booking, make_line

NOW_MS = round(NOW.timestamp() * 1000)


async def read(settings: DatabaseSettings) -> Dataset:
    base, _, options = settings.uri.partition("?")
    uri = f"{base.rstrip('/')}/{settings.name}" + (f"?{options}" if options else "")
    return await asyncio.to_thread(sources.read, uri, at_ms=NOW_MS)


async def fill(store: Store) -> None:
    bookings = MongoBookingRepository(store)
    lines = (
        make_line("kalash", source="requirement", type=SamagriType.REQUIRED),
        make_line("marigold", source="customer", quantity=Decimal("2.5")),
        make_line("camphor", source="model"),
    )
    await bookings.add(
        make_booking(
            id="held",
            status=BookingStatus.COMPLETED,
            created_at=NOW - timedelta(days=9),
            starts_at=NOW - timedelta(days=2),
            completed_at=NOW - timedelta(days=1),
            claims=(),
            samagri=lines,
            samagri_declined=("honey", "durva", "mala"),
            samagri_own_declined=("mala",),
        )
    )
    await bookings.add(
        make_booking(id="called-off", status=BookingStatus.CANCELLED, claims=(), puja_id="griha")
    )
    await store.collection("pujas").insert_one(
        {
            "_id": "griha",
            "category_id": "home",
            "is_repeatable": False,
            "requirements": [
                {"item_id": "kalash", "quantity": Decimal(1), "unit": "piece", "type": "REQUIRED"}
            ],
        }
    )
    await store.collection("pujas").insert_one(
        {
            "_id": "satyanarayan-puja",
            "requirements": [
                {"item_id": "durva", "quantity": Decimal(1), "unit": "piece", "type": "OPTIONAL"}
            ],
        }
    )
    await store.collection("reviews").insert_one(
        {
            "_id": "review",
            "booking_id": "held",
            "user_id": "customer",
            "pandit_id": "pandit",
            "rating": 4,
            "created_at": NOW,
        }
    )
    await store.collection("interactions").insert_one(
        {
            "_id": "shown-1",
            "user_id": "customer",
            "ts": NOW,
            "kind": "item_dismissed",
            "item_id": "honey",
            "source": "rec",
        }
    )


async def test_bookings_of_the_server_are_training_data(
    store: Store, database_settings: DatabaseSettings
) -> None:
    await fill(store)
    data = await read(database_settings)
    assert data.rejects.share == 0
    assert data.booking_ids.ids == ("called-off", "held")
    held = data.booking_ids.index("held")
    assert data.bookings.status.tolist() == [Status.CANCELLED, Status.COMPLETED]
    assert data.bookings.ts[held] == NOW_MS - 9 * 86_400_000
    assert data.bookings.held_ts[held] == NOW_MS - 2 * 86_400_000
    assert data.regions.ids == ("Kathmandu",)
    lines = {
        data.items.ids[item]: (Source(source), Tier(tier), bool(kept))
        for item, source, tier, kept in zip(
            data.lines.item, data.lines.source, data.lines.tier, data.lines.kept, strict=True
        )
    }
    assert lines == {
        "kalash": (Source.RULE, Tier.REQUIRED, True),
        "marigold": (Source.MANUAL, Tier.OPTIONAL, True),
        "camphor": (Source.REC, Tier.OPTIONAL, True),
        "honey": (Source.REC, Tier.OPTIONAL, False),
        "durva": (Source.RULE, Tier.OPTIONAL, False),
    }
    marigold = data.lines.item.tolist().index(data.items.index("marigold"))
    assert data.lines.quantity[marigold] == 2.5
    rules = data.rules
    assert {
        (data.pujas.ids[puja], data.items.ids[item])
        for puja, item in zip(rules.puja, rules.item, strict=True)
    } == {("griha", "kalash"), ("satyanarayan-puja", "durva")}
    assert data.puja_category[data.pujas.index("griha")] == data.categories.index("home")
    assert data.once() == {"griha"}


async def test_events_are_told_once_each(store: Store, database_settings: DatabaseSettings) -> None:
    await fill(store)
    events = (await read(database_settings)).events
    kinds = sorted(Kind(kind).name for kind in events.kind.tolist())
    assert kinds == [
        "BOOKING_CANCELLED",
        "BOOKING_COMPLETED",
        "BOOKING_CREATED",
        "BOOKING_CREATED",
        "ITEM_DISMISSED",
        "RATING",
        *["SAMAGRI_PURCHASED"] * 3,
    ]
    assert events.rating.max() == 4


async def test_an_empty_database_is_said_to_be_empty(
    store: Store, database_settings: DatabaseSettings
) -> None:
    with pytest.raises(BadData, match="no bookings"):
        await read(database_settings)


async def test_a_database_that_does_not_answer_is_bad_data(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(sources, "_SELECT_MS", 50)
    with pytest.raises(BadData, match="cannot be read"):
        await asyncio.to_thread(sources.read, "mongodb://127.0.0.1:9/nothing", at_ms=NOW_MS)


async def test_bookings_of_every_time_are_read_once(
    store: Store, database_settings: DatabaseSettings
) -> None:
    bookings = MongoBookingRepository(store)
    days = (-3000, -400, -40, -31, -30, -1, 0, 20, 500, 2000)
    for day in days:
        moment = NOW + timedelta(days=day)
        await bookings.add(make_booking(id=f"at{day}", starts_at=moment, claims=()))
    month = (NOW + timedelta(days=1)).replace(day=1, hour=0, minute=0, second=0, microsecond=0)
    await bookings.add(make_booking(id="first-of-month", starts_at=month, claims=()))
    found = await read(database_settings)
    assert sorted(found.booking_ids.ids) == sorted(["first-of-month", *(f"at{d}" for d in days)])
