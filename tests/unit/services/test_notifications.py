from __future__ import annotations

import asyncio
import itertools
import json
from datetime import UTC, datetime, time
from typing import Any, cast
from zoneinfo import ZoneInfo

import pytest

from server.bus.memory import MemoryBus
from server.domain.account import Actor, Role, User
from server.domain.errors import StoreUnavailable
from server.domain.events import SERVICES_ONLY, Event, EventKind
from server.domain.notification import Channel, Notification, NotificationPreferences
from server.domain.ports.accounts import UserRepository
from server.services.notification_texts import WORDINGS, compose, written_instant
from server.services.notifications import NotificationService
from tests.fakes.notifications import MemoryNotificationRepository, QuietRinger

NOW = datetime(2026, 11, 21, 4, 15, tzinfo=UTC)
PARAMS = {
    "service": "Satyanarayan Puja",
    "service_ne": "सत्यनारायण पूजा",
    "customer": "Sita Sharma",
    "pandit": "Ram Prasad Acharya",
    "pandit_id": "p1",
    "starts_at": "2026-11-22T04:15:00+00:00",
    "proposed_at": "2026-11-23T04:15:00+00:00",
    "status": "ACCEPTED",
}


class Clock:
    def now(self) -> datetime:
        return NOW


class Ids:
    def __init__(self) -> None:
        self._numbers = itertools.count(1)

    def new(self) -> str:
        return f"n{next(self._numbers)}"


class Translator:
    """Shows which language was asked for."""

    def text(self, language: str, message: str, **params: str | int | time) -> str:
        return f"{language}: {message.format(**params)}"

    def plural(self, language: str, one: str, many: str, count: int, **params: str | int) -> str:
        return self.text(language, one if count == 1 else many, n=count, **params)


class Users:
    def __init__(self, *users: User) -> None:
        self._users = {user.id: user for user in users}

    async def find(self, user_id: str) -> User | None:
        return self._users.get(user_id)


class FailingRepository(MemoryNotificationRepository):
    """Refuses to store for one user while told to."""

    away_for = ""

    async def add(self, notification: Notification) -> Notification | None:
        if notification.user_id == self.away_for:
            raise StoreUnavailable
        return await super().add(notification)


class World:
    """The service with what it works on, and all that was pushed to each user."""

    def __init__(self) -> None:
        self.bus = MemoryBus()
        self.repository = FailingRepository()
        self.ringer = QuietRinger()
        users = Users(
            user("sita"), user("ram", language="ne"), user("maya", timezone="Australia/Sydney")
        )
        self.service = NotificationService(
            self.repository,
            cast(UserRepository, users),
            Translator(),
            self.bus,
            Clock(),
            Ids(),
            self.ringer,
        )
        self.pushed: dict[str, list[dict[str, Any]]] = {}

    async def listen(self) -> World:
        for user_id in ("sita", "ram", "maya", "gone"):
            await self._listen_as(user_id)
        return self

    async def _listen_as(self, user_id: str) -> None:
        frames = self.pushed[user_id] = []
        await self.bus.subscribe(f"user.{user_id}", lambda frame: frames.append(json.loads(frame)))

    async def stored(self, user_id: str) -> list[Notification]:
        return await self.service.list_after(user_id, 0, 1000)

    def types(self, user_id: str) -> list[str]:
        return [frame["type"] for frame in self.pushed[user_id]]


def user(user_id: str, *, language: str = "en", timezone: str = "Asia/Kathmandu") -> User:
    return User(
        id=user_id,
        username=None,
        email=f"{user_id}@example.com",
        phone_number="+9779812345678",
        full_name=user_id.title(),
        role=Role.USER,
        language=language,
        timezone=timezone,
        created_at=NOW,
        updated_at=NOW,
    )


def actor(user_id: str) -> Actor:
    return Actor(user_id=user_id, role=Role.USER, session_id="s", full_name=user_id.title())


def event(
    kind: EventKind = EventKind.BOOKING_STARTED,
    *recipients: str,
    event_id: str = "e1",
    booking_id: str | None = "b1",
    **params: str,
) -> Event:
    return Event(
        id=event_id,
        kind=kind,
        at=NOW,
        recipients=recipients or ("sita",),
        booking_id=booking_id,
        params={**PARAMS, **params},
    )


@pytest.fixture
async def world() -> World:
    return await World().listen()


async def test_an_event_is_stored_in_both_languages_and_pushed_with_the_badge(world: World) -> None:
    await world.service.on_event(event(EventKind.BOOKING_CREATED))
    (stored,) = await world.stored("sita")
    assert stored.title == "en: New booking request"
    assert stored.title_ne == "ne: New booking request"
    assert stored.message == (
        "en: Sita Sharma asks you for Satyanarayan Puja on 22 Nov 2026, 10:00 am."
    )
    assert stored.message_ne == (
        "ne: Sita Sharma asks you for सत्यनारायण पूजा on २०८३ मङ्सिर ६, बिहान १०:००."
    )
    assert (stored.booking_id, stored.event_id, stored.is_read) == ("b1", "e1", False)
    assert world.pushed["sita"] == [
        {
            "type": "notification",
            "seq": 1,
            "id": "n1",
            "kind": "BOOKING_CREATED",
            "title": stored.title,
            "title_ne": stored.title_ne,
            "body": stored.message,
            "body_ne": stored.message_ne,
            "data": {"booking_id": "b1", "status": "ACCEPTED"},
            "url": "/bookings/b1/",
            "ts": "2026-11-21T04:15:00.000Z",
            "read": False,
        },
        {"type": "badge", "unread": 1},
    ]


async def test_the_same_event_ten_times_at_once_tells_each_recipient_once(world: World) -> None:
    one = event(EventKind.BOOKING_CANCELLED, "sita", "ram")
    await asyncio.gather(*(world.service.on_event(one) for _ in range(10)))
    for user_id in ("sita", "ram"):
        assert [row.sequence for row in await world.stored(user_id)] == [1]
        assert world.types(user_id) == ["notification", "badge"]


async def test_what_failed_half_way_is_completed_by_the_next_delivery(world: World) -> None:
    one = event(EventKind.BOOKING_CANCELLED, "sita", "ram")
    world.repository.away_for = "ram"
    with pytest.raises(StoreUnavailable):
        await world.service.on_event(one)
    assert (world.types("sita"), world.types("ram")) == (["notification", "badge"], [])
    world.repository.away_for = ""
    await world.service.on_event(one)
    assert world.types("sita") == world.types("ram") == ["notification", "badge"]


async def test_many_events_at_once_end_with_the_true_badge(world: World) -> None:
    await asyncio.gather(*(world.service.on_event(event(event_id=f"e{n}")) for n in range(20)))
    frames = world.pushed["sita"]
    seqs = [frame["seq"] for frame in frames if frame["type"] == "notification"]
    assert seqs == list(range(1, 21))
    assert frames[-1] == {"type": "badge", "unread": 20}
    assert world.service._badges == {}


@pytest.mark.parametrize(
    ("kind", "older"),
    [
        (EventKind.BOOKING_ACCEPTED, "JOB_ACCEPTED"),
        (EventKind.BOOKING_REJECTED, "JOB_REJECTED"),
    ],
)
async def test_clients_of_the_older_shape_hear_of_answers(
    world: World, kind: EventKind, older: str
) -> None:
    await world.service.on_event(event(kind, "ram"))
    (stored,) = await world.stored("ram")
    assert sorted(world.types("ram")) == ["badge", "job_update", "notification"]
    assert [frame for frame in world.pushed["ram"] if frame["type"] == "job_update"] == [
        {
            "type": "job_update",
            "event": older,
            "job_id": "b1",
            "provider_id": "p1",
            "provider_name": "Ram Prasad Acharya",
            "message": stored.message_ne,  # his language
            "timestamp": "2026-11-21T10:00:00+05:45",
        }
    ]


async def test_the_time_is_told_as_the_recipients_clock_shows_it(world: World) -> None:
    await world.service.on_event(event(EventKind.BOOKING_RESCHEDULED, "maya"))
    (stored,) = await world.stored("maya")
    assert stored.user_timezone == "Australia/Sydney"
    assert stored.message.endswith("22 Nov 2026, 3:15 pm.")
    assert "दिउँसो ३:१५" in stored.message_ne
    assert world.pushed["maya"][0]["ts"] == "2026-11-21T04:15:00.000Z"


@pytest.mark.parametrize("kind", sorted(set(EventKind) - SERVICES_ONLY))
async def test_every_kind_has_its_texts_and_shows_no_contact_details(
    world: World, kind: EventKind
) -> None:
    await world.service.on_event(
        event(
            kind,
            sender="Sita Sharma",
            amount="250000",
            currency="NPR",
            notes="The scan cannot be read",
            stars="5",
            phone="9812345678",
            phone_number="+9779812345678",
            email="ram@example.com",
            address="House 12, Lazimpat",
        )
    )
    (stored,) = await world.stored("sita")
    assert stored.notification_type is kind
    told = json.dumps([world.pushed["sita"], stored.data])
    for secret in ("9812345678", "example.com", "Lazimpat"):
        assert secret not in told
    for text in (stored.title, stored.title_ne, stored.message, stored.message_ne):
        assert "{" not in text
        assert "  " not in text
    assert len(stored.title) > len("en: ")


def test_every_kind_has_its_wording() -> None:
    assert set(WORDINGS) == set(EventKind) - SERVICES_ONLY


async def test_a_rejection_carries_its_notes_or_says_what_to_do(world: World) -> None:
    rejected = EventKind.PANDIT_REJECTED
    noted = event(rejected, notes="The scan cannot be read", booking_id=None, status="REJECTED")
    await world.service.on_event(noted)
    await world.service.on_event(event(rejected, event_id="e2", notes=" ", booking_id=None))
    first, second = await world.stored("sita")
    assert first.message.endswith("Reason: The scan cannot be read")
    assert "Reason" not in second.message
    assert first.data == {"pandit_id": "p1", "status": "REJECTED"}


async def test_a_recipient_who_is_no_more_does_not_stop_the_others(world: World) -> None:
    await world.service.on_event(event(EventKind.BOOKING_FAILED, "gone", "sita"))
    assert world.pushed["gone"] == []
    assert world.types("sita") == ["notification", "badge"]


async def test_reading_is_told_to_all_devices_once(world: World) -> None:
    for number in range(4):
        await world.service.on_event(event(event_id=f"e{number}"))
    world.pushed["sita"].clear()
    sita = actor("sita")
    (first, *_) = await world.stored("sita")
    assert await world.service.mark_read(sita, ids=[first.id]) == 3
    assert await world.service.mark_read(sita, ids=[first.id]) == 3
    assert await world.service.mark_read(sita, up_to=2) == 2
    assert await world.service.mark_read(sita) == 0
    assert world.pushed["sita"] == [
        {"type": "read", "ids": [first.id]},
        {"type": "badge", "unread": 3},
        {"type": "read", "seq": 2},
        {"type": "badge", "unread": 2},
        {"type": "read", "seq": 4},
        {"type": "badge", "unread": 0},
    ]
    assert {row.read_at for row in await world.stored("sita")} == {NOW}


async def test_nobody_can_mark_anothers(world: World) -> None:
    await world.service.on_event(event())
    (theirs,) = await world.stored("sita")
    assert await world.service.mark_read(actor("ram"), ids=[theirs.id]) == 0
    assert await world.service.unread_count("sita") == 1
    assert world.pushed["ram"] == []


@pytest.mark.parametrize(
    ("instant", "english", "nepali"),
    [
        # One in the morning in Nepal is still the day before in UTC.
        ("2026-11-21T19:15:00+00:00", "22 Nov 2026, 1:00 am", "२०८३ मङ्सिर ६, राति १:००"),
        ("2026-04-13T18:14:00+00:00", "13 Apr 2026, 11:59 pm", "२०८२ चैत ३०, राति ११:५९"),
        ("2026-04-13T18:15:00+00:00", "14 Apr 2026, 12:00 am", "२०८३ वैशाख १, राति १२:००"),
        ("2190-01-01T04:15:00+00:00", "1 Jan 2190, 10:00 am", "२१९०-०१-०१, बिहान १०:००"),
    ],
)
def test_instants_are_written_as_people_write_them(instant: str, english: str, nepali: str) -> None:
    local = datetime.fromisoformat(instant).astimezone(ZoneInfo("Asia/Kathmandu"))
    assert written_instant(local, "en") == english
    assert written_instant(local, "ne") == nepali


async def test_whoever_is_told_is_rung_up_once():
    world = await World().listen()
    await world.service.on_event(event(EventKind.BOOKING_STARTED, "sita"))
    await world.service.on_event(event(EventKind.BOOKING_STARTED, "sita"))
    assert [user_id for user_id, _ in world.ringer.rung] == ["sita"]


async def test_what_is_muted_stands_in_the_list_and_rings_nowhere():
    world = await World().listen()
    world.ringer.wishes["sita"] = NotificationPreferences(
        user_id="sita", muted=frozenset((EventKind.BOOKING_STARTED, each) for each in Channel)
    )
    await world.service.on_event(event(EventKind.BOOKING_STARTED, "sita"))
    (row,) = await world.stored("sita")
    assert row.is_read
    assert await world.service.unread_count("sita") == 0
    assert world.ringer.rung == []


@pytest.mark.parametrize(("nepali", "told"), [("राम प्रसाद", "राम प्रसाद"), ("", "Ram Prasad")])
def test_whoever_writes_is_named_in_the_language_of_the_sentence(nepali: str, told: str) -> None:
    event = Event(
        id="e1",
        kind=EventKind.NEW_MESSAGE,
        at=NOW,
        recipients=("u1",),
        params={"sender": "Ram Prasad", "sender_ne": nepali},
    )
    texts = compose(event, Translator(), ZoneInfo("Asia/Kathmandu"))
    assert texts["en"].message == "en: Ram Prasad has sent you a message."
    assert texts["ne"].message == f"ne: {told} has sent you a message."
