"""A crowded database: more than a hundred rows in every list, made by copying one real row."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any

from server.app import RunningServer
from server.domain import ledger
from server.store import messages
from server.store.client import Collection, Store
from server.store.ledger import entry_document
from server.store.payments import payment_document
from tests.factories import make_payment
from tests.support import People, Person

ROWS = 120
Document = dict[str, Any]


@dataclass(frozen=True)
class Crowd:
    """Those to whom the rows belong."""

    customer: Person
    pandit: Person
    admin: Person
    room_id: str
    booking_date: str


async def make_crowd(server: RunningServer, people: People) -> Crowd:
    """One accepted booking by the API, then copies of everything that came of it."""
    customer, pandit, admin = await people.customer(), await people.pandit(), await people.admin()
    store = server.store
    booked = await customer.api.post(
        "/api/bookings/",
        json={
            "service_id": pandit.service_id,
            "booking_date": "2026-11-29",
            "booking_time": "09:00",
            "service_location": "HOME",
            "address": "House 3, Lazimpat",
            "samagri_required": True,
        },
    )
    booking_id = booked.raise_for_status().json()["id"]
    accepted = await pandit.api.post(f"/api/bookings/{booking_id}/accept/")
    accepted.raise_for_status()
    room = await _one(store.collection("chat_rooms"), {"booking_id": booking_id})
    first = await _one(store.collection("bookings"), {"_id": booking_id})
    now: datetime = first["starts_at"]

    def booking(number: int) -> Document:
        # Without claims: these lie in the past and hold nobody's time.
        return {
            "starts_at": now - timedelta(days=number + 10),
            "status": "COMPLETED",
            "completed_at": now - timedelta(days=number + 10),
        }

    await _copy(store.collection("bookings"), first, booking, without=("claims", "busy_pandit_id"))
    await _copy(
        store.collection("chat_rooms"),
        room,
        lambda number: {
            "booking_id": f"other-{number}",
            "active_at": now - timedelta(hours=number),
        },
    )
    said = messages.message_of(
        await _one(store.collection(messages.COLLECTION), {"room_id": room["_id"]})
    )
    copies = [
        replace(said, id=f"copy-{number}", sequence=number + 2, cid=f"cid-{number}")
        for number in range(ROWS)
    ]
    documents = [each for copy in copies for each in messages.documents_of(copy)]
    assert await store.collection(messages.COLLECTION).insert_many(documents) == {}
    notification = await _one(store.collection("notifications"), {"user_id": customer.user_id})
    await _copy(
        store.collection("notifications"),
        notification,
        lambda number: {
            "sequence": notification["sequence"] + number + 1,
            "event_id": f"event-{number}",
        },
    )
    await _copy(
        store.collection("reviews"),
        {
            "user_id": customer.user_id,
            "customer_name": customer.full_name,
            "pandit_id": pandit.pandit_id,
            "rating": 5,
            "professionalism": 5,
            "knowledge": 5,
            "punctuality": 5,
            "comment": "Very good",
            "comment_ne": "",
            "is_verified": True,
            "is_open": False,
        },
        lambda number: {
            "booking_id": f"other-{number}",
            "created_at": now - timedelta(days=number),
        },
    )
    await _copy(
        store.collection("samagri_preferences"),
        {"user_id": customer.user_id, "preference": "FAVOURITE", "updated_at": now},
        lambda number: {"item_id": f"item-{number:03}"},
    )
    template = await _one(store.collection("puja_templates"), {"puja_id": "satyanarayan-puja"})
    await _copy(
        store.collection("puja_templates"), template, lambda number: {"name": f"List {number:03}"}
    )
    account = await _one(store.collection("users"), {"_id": customer.user_id})
    await _copy(
        store.collection("users"),
        account,
        lambda number: {
            "phone_number": f"+977981230{number:04}",
            "email": None,
            "username": None,
            "created_at": now - timedelta(days=number),
        },
    )
    profile = await _one(store.collection("pandits"), {"_id": pandit.pandit_id})
    service = profile["services"][0]
    await _copy(
        store.collection("pandits"),
        profile,
        lambda number: {
            "user_id": f"user-{number}",
            "services": [{**service, "id": f"service-{number}", "pandit_id": f"copy-{number}"}],
        },
    )
    await store.collection("pandits").update_one(
        {"_id": pandit.pandit_id},
        {
            "$push": {
                "services": {
                    "$each": [{**service, "id": f"own-{number}"} for number in range(ROWS)]
                }
            }
        },
    )
    await _make_payments(store, customer, pandit, now)
    await _make_lists(server, customer, pandit, admin, now)
    for name in ("pujas", "samagri_categories", "samagri_items"):
        row = await _one(store.collection(name), {})
        await _copy(store.collection(name), row, lambda number: {"name": f"Copy {number:03}"})
    return Crowd(customer, pandit, admin, room["_id"], "2026-11-29")


async def _make_payments(store: Store, customer: Person, pandit: Person, now: datetime) -> None:
    """Payments that wait, need review and have open refunds; ledger, payouts and callbacks."""
    payment = payment_document(
        make_payment(user_id=customer.user_id, pandit_user_id=pandit.user_id)
    )
    attempt = payment["attempts"][0]
    await _copy(
        store.collection("payments"),
        payment,
        lambda number: {
            "created_at": now - timedelta(days=number),
            "keys": [f"ref:{number}"],
            "attempts": [{**attempt, "reference": str(number)}],
            "due_at": now + timedelta(days=number),
            "review_at": now - timedelta(days=number),
            "refund_at": now - timedelta(days=number),
        },
    )
    for account in (ledger.wallet(customer.user_id), ledger.pandit(pandit.user_id)):
        entry = entry_document(
            ledger.LedgerEntry(
                cause="first",
                kind=ledger.EntryKind.TOP_UP,
                at=server_now(now),
                currency="NPR",
                postings=ledger.two("gateway:KHALTI", account, 100),
            )
        )
        rows = [
            {
                **entry,
                "_id": f"{account}-{number:03}",
                "chain": {"owner": account, "number": number, "balances": {account: 100 * number}},
            }
            for number in range(1, ROWS + 1)
        ]
        assert await store.collection("ledger").insert_many(rows) == {}
    await _copy(
        store.collection("payouts"),
        {
            "pandit_user_id": pandit.user_id,
            "pandit_name": pandit.full_name,
            "amount": 100,
            "currency": "NPR",
            "destination": "",
            "status": "ASKED",
            "note": "",
        },
        lambda number: {"asked_at": now - timedelta(days=number)},
    )
    await _copy(
        store.collection("callbacks"),
        {"method": "STRIPE", "is_return": False, "outcome": "processed", "body": "", "headers": {}},
        lambda number: {"received_at": now - timedelta(days=number)},
    )


def server_now(starts_at: datetime) -> datetime:
    """A time before the one at which the tests of a crowd look."""
    return starts_at - timedelta(days=8)


async def _make_lists(
    server: RunningServer, customer: Person, pandit: Person, admin: Person, now: datetime
) -> None:
    """Tables of the catalogue, acts of administrators, series of bookings, birth charts."""
    store = server.store
    table = await admin.api.post(
        "/api/admin/catalogue/imports/",
        data={"kind": "items"},
        files={"file": ("table.csv", b"code\n", "text/csv")},
    )
    table.raise_for_status()
    repeated = await customer.api.post(
        "/api/bookings/",
        json={
            "service_id": pandit.service_id,
            "booking_date": "2026-12-08",
            "booking_time": "07:00",
            "service_location": "PANDIT_LOCATION",
            "recurrence": {"frequency": "weekly", "count": 2},
        },
    )
    repeated.raise_for_status()
    chart = await customer.api.post(
        "/api/kundali/",
        json={
            "name": "Ram",
            "date_of_birth": "1990-05-15",
            "time_of_birth": "06:30",
            "place_of_birth": "Kathmandu",
        },
    )
    chart.raise_for_status()
    for name, at in (
        ("catalogue_imports", "at"),
        ("audit_entries", "at"),
        ("booking_series", "created_at"),
        ("charts", "created_at"),
    ):
        row = await _one(store.collection(name), {})
        await _copy(
            store.collection(name),
            row,
            lambda number, at=at: {at: now - timedelta(hours=number + 1)},  # type: ignore[misc]
            without=("outbox", "plan_on", "share_hash"),
        )


async def _one(collection: Collection, query: Document) -> Document:
    found = await collection.find_one(query)
    assert found is not None, (collection.name, query)
    return found


async def _copy(
    collection: Collection,
    document: Document,
    changes: Callable[[int], Document],
    *,
    without: tuple[str, ...] = (),
) -> None:
    kept = {name: value for name, value in document.items() if name not in without}
    copies = [{**kept, **changes(number), "_id": f"copy-{number:03}"} for number in range(ROWS)]
    assert await collection.insert_many(copies) == {}
