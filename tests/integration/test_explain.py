"""What is asked most often is answered from an index.

The commands that the server really sends are recorded and explained, so that no test repeats a
query that the code has left behind.
"""

from __future__ import annotations

from typing import Any

import pytest
from pymongo import AsyncMongoClient

from bench.commands import Recorder, plans_of
from server.app import RunningServer
from server.domain.events import Event, EventKind
from server.settings import DatabaseSettings
from tests.crowd import make_crowd
from tests.support import People, Person

pytestmark = pytest.mark.timeout(180)
FRESH_DATABASE = True
FIGURES = "/api/bookings/booking-analytics/"


@pytest.fixture
def recorder() -> Recorder:
    return Recorder()


@pytest.fixture
def listeners(recorder: Recorder) -> list[Recorder]:
    return [recorder]


async def test_slots_bookings_unread_counts_and_history_use_an_index(
    server: RunningServer,
    people: People,
    recorder: Recorder,
    database_settings: DatabaseSettings,
):
    crowd = await make_crowd(server, people)
    link = await share_a_chart(crowd.customer)
    made = (await crowd.customer.api.post("/api/users/me/calendar-feed/")).raise_for_status()
    feed = made.json()["url"]
    asked = {
        "slots": (
            crowd.customer,
            "/api/booking-slots/available-slots/",
            {"service_id": crowd.pandit.service_id, "date": crowd.booking_date},
            {"bookings", "pandits"},
        ),
        "my bookings": (crowd.customer, "/api/bookings/", {}, {"bookings"}),
        "one's unfinished bookings": (
            crowd.customer,
            "/api/booking-wizard/",
            {},
            {"bookings"},
        ),
        "all bookings": (crowd.admin, "/api/bookings/", {}, {"bookings"}),
        "the pandit's bookings": (
            crowd.pandit,
            "/api/bookings/",
            {"status": "COMPLETED"},
            {"bookings"},
        ),
        "unread counts": (
            crowd.customer,
            "/api/unread-count/",
            {},
            {"chat_rooms", "notifications"},
        ),
        "a room's history": (
            crowd.customer,
            "/api/messages/",
            {"room_id": crowd.room_id, "limit": "20"},
            {"messages"},
        ),
        "older history": (
            crowd.pandit,
            "/api/messages/",
            {"room_id": crowd.room_id, "before": "60"},
            {"messages"},
        ),
        "notifications": (crowd.customer, "/api/notifications/", {}, {"notifications"}),
        "rooms": (crowd.pandit, "/api/chat/rooms/", {}, {"chat_rooms"}),
        "accuracy": (
            crowd.admin,
            "/api/admin/recommendations/accuracy/",
            {"version": "rules", "surface": "samagri"},
            {"recommendation_counters"},
        ),
        "one's payments": (crowd.customer, "/api/payments/", {}, {"payments"}),
        "one's wallet": (crowd.customer, "/api/wallet/", {}, {"ledger"}),
        "one's wallet's entries": (crowd.customer, "/api/wallet/entries/", {}, {"ledger"}),
        "what one has earned": (crowd.pandit, "/api/pandits/me/earnings/", {}, {"ledger"}),
        "one's payouts": (crowd.pandit, "/api/payouts/", {}, {"payouts"}),
        "payments of a state": (
            crowd.admin,
            "/api/admin/payments/",
            {"status": "PENDING"},
            {"payments"},
        ),
        "payments to review": (
            crowd.admin,
            "/api/admin/payments/",
            {"needs_review": "true"},
            {"payments"},
        ),
        "open refunds": (crowd.admin, "/api/admin/payments/", {"refunds": "true"}, {"payments"}),
        "an account": (
            crowd.admin,
            "/api/admin/ledger/",
            {"account": "gateway:KHALTI"},
            {"ledger"},
        ),
        "the totals of the ledger": (crowd.admin, "/api/admin/ledger/totals/", {}, {"ledger"}),
        "callbacks": (crowd.admin, "/api/admin/callbacks/", {}, {"callbacks"}),
        "the newest accounts": (crowd.admin, "/api/admin/users/", {}, {"users"}),
        "accounts of a role": (crowd.admin, "/api/admin/users/", {"role": "user"}, {"users"}),
        "accounts by name": (crowd.admin, "/api/admin/users/", {"q": "Sita S"}, {"users"}),
        "accounts by phone": (crowd.admin, "/api/admin/users/", {"q": "98123"}, {"users"}),
        "accounts by email": (crowd.admin, "/api/admin/users/", {"q": "sita@ex"}, {"users"}),
        "one account": (
            crowd.admin,
            f"/api/admin/users/{crowd.customer.user_id}/",
            {},
            {"users", "sessions", "bookings", "payments"},
        ),
        "payouts": (crowd.admin, "/api/admin/payouts/", {"status": "ASKED"}, {"payouts"}),
        "one's charts": (crowd.customer, "/api/kundali/", {}, {"charts"}),
        "a shared chart": (crowd.customer, f"/api/kundali/shared/{link}/", {}, {"charts"}),
        "a customer's figures": (crowd.customer, FIGURES, {}, {"bookings", "payments"}),
        "a pandit's figures": (crowd.pandit, FIGURES, {}, {"bookings", "ledger", "reviews"}),
        "the platform's figures": (
            crowd.admin,
            FIGURES,
            {"from": "2026-11-01", "to": "2026-12-31"},
            {"bookings", "payments", "ledger"},
        ),
        "one's bookings in one's calendar": (crowd.customer, feed, {}, {"bookings"}),
        "a pandit's page": (
            crowd.customer,
            f"/api/pandits/{crowd.pandit.pandit_id}/",
            {},
            {"pandits", "papers"},
        ),
        "ready lists of a puja": (
            crowd.customer,
            "/api/samagri/templates/",
            {"puja_id": "satyanarayan-puja"},
            {"puja_templates"},
        ),
        "what one prefers": (
            crowd.customer,
            "/api/users/me/samagri-preferences/",
            {},
            {"samagri_preferences"},
        ),
    }
    client: AsyncMongoClient[dict[str, Any]] = AsyncMongoClient(database_settings.uri)
    async with client:
        database = client.get_database(database_settings.name)
        for name, (person, path, params, collections) in asked.items():
            answer = await person.api.get(path, params=params)
            plans = await plans_of(database, recorder.take_of(answer.raise_for_status()))
            assert {plan.collection for plan in plans} >= collections, name
            for plan in plans:
                # The kinds of puja are few and read as a whole; nobody has visited yet.
                is_small = plan.collection in {"pujas", "visits"}
                assert plan.uses_index or is_small, (name, plan)


async def share_a_chart(person: Person) -> str:
    """Keep a chart and return the token of its link."""
    birth = {"date_of_birth": "1990-05-15", "time_of_birth": "06:20", "place_of_birth": "Pokhara"}
    made = await person.api.post("/api/kundali/", json={"name": "Maya", **birth})
    link = await person.api.post(f"/api/kundali/{made.json()['id']}/share/", json={})
    return str(link.raise_for_status().json()["url"]).rstrip("/").rpartition("/")[2]


async def test_periodic_duties_use_an_index(
    server: RunningServer,
    people: People,
    recorder: Recorder,
    database_settings: DatabaseSettings,
):
    await make_crowd(server, people)
    recorder.take()
    await server.services.relay.sweep()
    await server.services.bookings.pass_on_unanswered()
    await server.services.booking_payments.fail_unpaid()
    await server.services.bookings.end_unanswered_proposals()
    await server.services.drafts.end_lapsed()
    await server.services.accounts.finish_closing()
    await server.services.settlement.reconcile()
    await server.services.chats.drop_abandoned()
    client: AsyncMongoClient[dict[str, Any]] = AsyncMongoClient(database_settings.uri)
    async with client:
        plans = await plans_of(client.get_database(database_settings.name), recorder.take())
    used = {(plan.collection, index) for plan in plans for index in plan.indexes}
    assert all(plan.uses_index for plan in plans)
    assert used >= {
        ("bookings", "outbox.at_1"),
        ("pandits", "outbox.at_1"),
        ("bookings", "answer_by_1"),
        ("bookings", "pay_by_1"),
        ("bookings", "proposal_answer_by_1"),
        ("bookings", "lapses_at_1"),
        ("users", "closing_since_1"),
        ("payments", "due_at_1"),
        ("payments", "outbox.at_1"),
        ("attachments", "expires_at_1"),
    }


async def test_learning_from_a_booking_uses_an_index(
    server: RunningServer,
    people: People,
    recorder: Recorder,
    database_settings: DatabaseSettings,
):
    await make_crowd(server, people)
    recorder.take()
    await server.services.learning.on_event(
        Event(
            id="held",
            kind=EventKind.BOOKING_COMPLETED,
            at=server.services.clock.now(),
            recipients=(),
            booking_id="copy-001",
        )
    )
    await server.services.preferences.find("somebody not asked about before")
    client: AsyncMongoClient[dict[str, Any]] = AsyncMongoClient(database_settings.uri)
    async with client:
        plans = await plans_of(client.get_database(database_settings.name), recorder.take())
    assert all(plan.uses_index for plan in plans), plans
    used = {(plan.collection, index) for plan in plans for index in plan.indexes}
    assert used >= {
        ("recommendation_feedback", "user_id_1_at_-1"),
        ("samagri_preferences", "user_id_1_item_id_1__id_1"),
    }


async def test_a_query_without_an_index_is_seen_as_such(
    server: RunningServer, recorder: Recorder, database_settings: DatabaseSettings
):
    recorder.take()
    await server.store.collection("users").find({"full_name": "Nobody"}, limit=1)
    client: AsyncMongoClient[dict[str, Any]] = AsyncMongoClient(database_settings.uri)
    async with client:
        (plan,) = [
            plan
            for plan in await plans_of(client.get_database(database_settings.name), recorder.take())
            if plan.collection == "users"
        ]
    assert not plan.uses_index
