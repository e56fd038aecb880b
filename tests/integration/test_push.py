"""Messages to browsers, preferences, reminders and digests, through the running server."""

from __future__ import annotations

import asyncio
import dataclasses
from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Any

import pytest
import structlog

from bench.commands import Recorder
from server.app import RunningServer
from server.domain.account import Actor, Role
from server.domain.events import Event, EventKind
from server.settings import Settings
from tests.integration.test_notifications import listed, mark, tell
from tests.push_service import PushService, running_push_service
from tests.support import FakeClock, People, Person
from tests.talk import accept, book, notification_socket

PATH = "/api/push-subscriptions/"


@pytest.fixture
async def service() -> AsyncIterator[PushService]:
    async with running_push_service() as service:
        yield service


@pytest.fixture
def settings(settings: Settings, service: PushService) -> Settings:
    return dataclasses.replace(
        settings, push=dataclasses.replace(settings.push, hosts=(service.host,))
    )


@pytest.fixture
def recorder() -> Recorder:
    return Recorder()


@pytest.fixture
def listeners(recorder: Recorder) -> list[Recorder]:
    return [recorder]


async def subscribed(person: Person, service: PushService) -> dict[str, Any]:
    browser = service.browser()
    (await person.api.post(PATH, json=browser)).raise_for_status()
    return browser


async def accepted_booking(customer: Person, pandit: Person) -> str:
    booking_id = await book(customer, pandit)
    await accept(pandit, booking_id)
    return booking_id


async def test_somebody_away_is_told_on_his_browser(
    server: RunningServer, clock: FakeClock, people: People, service: PushService
):
    sita = await people.customer()
    await sita.api.patch("/api/auth/me/", json={"language": "ne"})
    await subscribed(sita, service)
    (row,) = await tell(server, clock, sita)
    delivery = await service.next()
    assert delivery.message["title"] == row["title_ne"]
    assert delivery.message["body"] == row["message_ne"]
    assert delivery.message["url"] == "/bookings/booking-0/"
    assert delivery.message["lang"] == "ne"


async def test_somebody_with_a_page_open_is_not_rung_up(
    server: RunningServer, clock: FakeClock, people: People, service: PushService
):
    sita, gita = await people.customer(), await people.customer("Gita Rai")
    for person in (sita, gita):
        await subscribed(person, service)
    async with notification_socket(server.port, sita.access) as line:
        await tell(server, clock, sita)
        await line.next("notification")
        await tell(server, clock, gita)
        # Hers was queued later, and hers alone arrives.
        await service.next()
    assert service.tries == 1


async def test_a_muted_kind_stays_in_the_list_and_is_told_nowhere(
    server: RunningServer, clock: FakeClock, people: People, service: PushService
):
    sita = await people.customer()
    await subscribed(sita, service)
    muted = [{"kind": "BOOKING_ACCEPTED", "channel": each} for each in ("live", "push")]
    answer = await sita.api.put(
        "/api/notifications/preferences/", json={"muted": muted, "wants_digest": False}
    )
    kept = {"muted": muted, "wants_digest": False, "wants_proposals": True}
    assert answer.raise_for_status().json() == kept
    assert (await sita.api.get("/api/notifications/preferences/")).json() == answer.json()
    (row,) = await tell(server, clock, sita)
    assert row["is_read"]
    gita = await people.customer("Gita Rai")
    await subscribed(gita, service)
    await tell(server, clock, gita)
    await service.next()
    assert service.tries == 1


async def test_signing_out_ends_the_messages(
    server: RunningServer, clock: FakeClock, people: People, service: PushService
):
    sita, gita = await people.customer(), await people.customer("Gita Rai")
    for person in (sita, gita):
        await subscribed(person, service)
    (await sita.api.post("/api/auth/logout/", json={"refresh": sita.refresh})).raise_for_status()
    for person in (sita, gita):
        await server.services.notifications.on_event(_event(person, clock))
    await service.next()
    assert service.tries == 1


async def test_a_sign_in_that_holds_no_more_is_told_nothing(
    server: RunningServer, clock: FakeClock, people: People, service: PushService
):
    sita, gita = await people.customer(), await people.customer("Gita Rai")
    for person in (sita, gita):
        await subscribed(person, service)
    # As it is between what voids all sign-ins and their end, and stays after a crash there.
    users = server.store.collection("users")
    await users.update_one({"_id": sita.user_id}, {"$inc": {"generation": 1}})
    for person in (sita, gita):
        await server.services.notifications.on_event(_event(person, clock))
    await service.next()
    await server.services.push._waiting.join()
    assert service.tries == 1
    subscriptions = await server.store.collection("push_subscriptions").find({}, limit=5)
    assert len(subscriptions) == 2, "one that is just carried over comes back"


async def test_a_browser_that_has_gone_is_forgotten(
    server: RunningServer, clock: FakeClock, people: People, service: PushService
):
    sita = await people.customer()
    await subscribed(sita, service)
    service.answers = [(410, {})]
    await tell(server, clock, sita)
    async with asyncio.timeout(10):
        subscriptions = server.store.collection("push_subscriptions")
        # The database has nobody to tell us.
        while await subscriptions.find_one({}) is not None:  # noqa: ASYNC110
            await asyncio.sleep(0.02)


async def test_a_browser_belongs_to_whoever_signed_in_last(
    server: RunningServer, clock: FakeClock, people: People, service: PushService
):
    sita, gita = await people.customer(), await people.customer("Gita Rai")
    browser = await subscribed(sita, service)
    (await gita.api.post(PATH, json=browser)).raise_for_status()
    await tell(server, clock, sita)
    await tell(server, clock, gita)
    await service.next()
    assert service.tries == 1
    # Sita cannot take it away from her.
    await sita.api.request("DELETE", PATH, json={"endpoint": browser["endpoint"]})
    assert await server.store.collection("push_subscriptions").find_one({}) is not None
    await gita.api.request("DELETE", PATH, json={"endpoint": browser["endpoint"]})
    assert await server.store.collection("push_subscriptions").find_one({}) is None


@pytest.mark.parametrize(
    "endpoint",
    [
        "https://169.254.169.254/latest/meta-data/",
        "https://evil.example/push/1",
        "http://fcm.googleapis.com/push/1",
        "https://user@updates.push.services.mozilla.com/x",
        "https://fcm.googleapis.com.evil.example/x",
        "https://127.0.0.1/push",
        "file:///etc/passwd",
        "not an address",
        "https://[fcm.googleapis.com/x",
        "https://fcm.googleapis.com:99999/x",
    ],
)
async def test_only_known_push_services_are_called(
    people: People, service: PushService, endpoint: str
):
    sita = await people.customer()
    answer = await sita.api.post(PATH, json={**service.browser(), "endpoint": endpoint})
    assert answer.status_code == 422
    assert answer.json()["errors"][0]["field"] == "endpoint"


async def test_strangers_have_nothing_to_subscribe(people: People, service: PushService):
    nobody = await people.nobody()
    assert (await nobody.post(PATH, json=service.browser())).status_code == 401
    assert (await nobody.get(PATH)).status_code == 401
    sita = await people.customer()
    assert len((await sita.api.get(PATH)).json()["public_key"]) == 87


async def test_both_parties_are_reminded_a_day_and_an_hour_before_and_never_twice(
    server: RunningServer, clock: FakeClock, people: People
):
    pandit, customer = await people.pandit(), await people.customer()
    booking_id = await accepted_booking(customer, pandit)
    stored = await server.services.bookings.get(_actor(customer), booking_id)
    for person in (pandit, customer):
        await mark(person, {"all": True})
    seen: list[int] = []
    for ahead in (timedelta(days=2), timedelta(hours=23), timedelta(minutes=55), timedelta()):
        clock.set(stored.starts_at - ahead)
        for _ in range(3):
            await server.services.bookings.remind_due()
        for person in (pandit, customer):
            await people.sign_in_again(person)
            rows = await listed(person, unread="true")
            reminders = [row for row in rows if row["notification_type"] == "BOOKING_REMINDER"]
            seen.append(len(reminders))
    assert seen == [0, 0, 1, 1, 2, 2, 2, 2]


async def test_a_cancelled_booking_is_not_recalled(
    server: RunningServer, clock: FakeClock, people: People
):
    pandit, customer = await people.pandit(), await people.customer()
    booking_id = await accepted_booking(customer, pandit)
    stored = await server.services.bookings.get(_actor(customer), booking_id)
    (
        await customer.api.post(f"/api/bookings/{booking_id}/cancel/", json={"reason": "x"})
    ).raise_for_status()
    clock.set(stored.starts_at - timedelta(hours=2))
    assert await server.services.bookings.remind_due() == 0


async def test_unread_notifications_are_recalled_once_a_day(
    server: RunningServer, clock: FakeClock, people: People, service: PushService
):
    sita, gita = await people.customer(), await people.customer("Gita Rai")
    for person in (sita, gita):
        await subscribed(person, service)
    await tell(server, clock, sita, count=2)
    for _ in range(2):
        await service.next()
    push = server.services.push
    assert await push.send_digests() == 0
    # Seven in the evening in Nepal.
    clock.set(clock.now().replace(hour=13, minute=20))
    told = await asyncio.gather(*(push.send_digests() for _ in range(3)))
    assert sum(told) == 1
    delivery = await service.next()
    assert delivery.message["url"] == "/notifications/"
    assert "2" in delivery.message["body"]
    clock.advance(days=1)
    assert await push.send_digests() == 1


async def test_a_digest_asks_for_all_subscribers_together(
    server: RunningServer,
    clock: FakeClock,
    people: People,
    service: PushService,
    recorder: Recorder,
):
    async def commands() -> int:
        # Told apart from what the server's own duties ask meanwhile.
        with structlog.contextvars.bound_contextvars(request_id="digests"):
            await server.services.push.send_digests()
        return len(recorder.take_bound("digests"))

    await subscribed(await people.customer(), service)
    few = await commands()
    for number in range(5):
        await subscribed(await people.customer(f"Customer {number}"), service)
    assert await commands() == few > 0


def _actor(person: Person) -> Actor:
    return Actor(user_id=person.user_id, role=Role.USER, session_id="s", full_name=person.full_name)


def _event(person: Person, clock: FakeClock) -> Event:
    return Event(
        id=f"e-{person.user_id}",
        kind=EventKind.BOOKING_ACCEPTED,
        at=clock.now(),
        recipients=(person.user_id,),
        booking_id="b1",
        params={"service": "Puja", "pandit": "Ram", "starts_at": clock.now().isoformat()},
    )
