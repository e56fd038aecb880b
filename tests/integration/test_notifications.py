from __future__ import annotations

from typing import Any

import pytest

from server.app import RunningServer
from server.domain.events import Event, EventKind
from tests.support import FakeClock, People, Person


async def tell(
    server: RunningServer, clock: FakeClock, person: Person, count: int = 1
) -> list[dict[str, Any]]:
    """Let so many events reach the person; returns what he then sees, newest first."""
    for number in range(count):
        await server.services.notifications.on_event(
            Event(
                id=f"event-{person.user_id}-{clock.now():%H%M}-{number}",
                kind=EventKind.BOOKING_ACCEPTED,
                at=clock.now(),
                recipients=(person.user_id,),
                booking_id=f"booking-{number}",
                params={
                    "service": "Satyanarayan Puja",
                    "service_ne": "सत्यनारायण पूजा",
                    "pandit": "Ram Prasad Acharya",
                    "starts_at": clock.now().isoformat(),
                    "status": "ACCEPTED",
                },
            )
        )
    return await listed(person)


async def listed(person: Person, **query: str | int) -> list[dict[str, Any]]:
    answer = await person.api.get("/api/notifications/", params=query)
    rows: list[dict[str, Any]] = answer.raise_for_status().json()["results"]
    return rows


async def mark(person: Person, body: dict[str, Any]) -> int:
    answer = await person.api.post("/api/notifications/read/", json=body)
    unread: int = answer.raise_for_status().json()["unread"]
    return unread


async def test_a_notification_has_every_field(
    server: RunningServer, clock: FakeClock, people: People
) -> None:
    sita = await people.customer()
    (row,) = await tell(server, clock, sita)
    texts = {name: row.pop(name) for name in ("id", "title", "title_ne", "message", "message_ne")}
    assert all(texts.values())
    assert "22 Nov 2026, 10:00 am" in texts["message"]
    assert "सत्यनारायण पूजा" in texts["message_ne"]
    assert "२०८३ मङ्सिर ६, बिहान १०:००" in texts["message_ne"]
    assert row == {
        "sequence": 1,
        "notification_type": "BOOKING_ACCEPTED",
        "booking": "booking-0",
        "data": {"booking_id": "booking-0", "status": "ACCEPTED"},
        "url": "/bookings/booking-0/",
        "is_read": False,
        "read_at": None,
        "created_at": "2026-11-22T10:00:00+05:45",
        "user_timezone": "Asia/Kathmandu",
    }


async def test_the_list_is_paged_newest_first(
    server: RunningServer, clock: FakeClock, people: People
) -> None:
    sita = await people.customer()
    await tell(server, clock, sita, 5)
    seen: list[int] = []
    query: dict[str, str | int] = {"limit": 2}
    while True:
        page = (await sita.api.get("/api/notifications/", params=query)).json()
        seen += [row["sequence"] for row in page["results"]]
        if page["next"] is None:
            break
        query["cursor"] = page["next"]
    assert seen == [5, 4, 3, 2, 1]


async def test_some_up_to_one_and_all_can_be_marked(
    server: RunningServer, clock: FakeClock, people: People
) -> None:
    sita = await people.customer()
    newest, *_ = await tell(server, clock, sita, 5)
    assert await mark(sita, {"ids": [newest["id"]]}) == 4
    assert await mark(sita, {"up_to": 2}) == 2
    assert [row["sequence"] for row in await listed(sita, unread="true")] == [4, 3]
    assert await mark(sita, {"all": True}) == 0
    assert await listed(sita, unread="true") == []
    rows = await listed(sita)
    assert {row["read_at"] for row in rows} == {"2026-11-22T10:00:00+05:45"}
    assert all(row["is_read"] for row in rows)


async def test_anothers_are_invisible_and_cannot_be_marked(
    server: RunningServer, clock: FakeClock, people: People
) -> None:
    sita, gita = await people.customer(), await people.customer("Gita Rai")
    rows = await tell(server, clock, sita, 2)
    assert await listed(gita) == []
    assert await mark(gita, {"ids": [row["id"] for row in rows]}) == 0
    assert await mark(gita, {"up_to": 100}) == 0
    assert await mark(gita, {"all": True}) == 0
    assert await listed(sita) == rows
    assert len(await listed(sita, unread="true")) == 2


async def test_a_cursor_of_another_filter_is_refused(
    server: RunningServer, clock: FakeClock, people: People
) -> None:
    sita = await people.customer()
    await tell(server, clock, sita, 3)
    page = (await sita.api.get("/api/notifications/", params={"limit": 1})).json()
    answer = await sita.api.get(
        "/api/notifications/", params={"cursor": page["next"], "unread": "true"}
    )
    assert answer.status_code == 422


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"all": False},
        {"ids": []},
        {"ids": ["a"], "all": True},
        {"ids": ["a"], "up_to": 1},
        {"up_to": -1},
        {"ids": ["a"] * 101},
        {"user_id": "somebody", "all": True},
    ],
)
async def test_a_body_must_say_one_thing(people: People, body: dict[str, Any]) -> None:
    sita = await people.customer()
    answer = await sita.api.post("/api/notifications/read/", json=body)
    assert answer.status_code == 422
    assert answer.json()["errors"]


async def test_one_must_be_signed_in(people: People) -> None:
    nobody = await people.nobody()
    assert (await nobody.get("/api/notifications/")).status_code == 401
    assert (await nobody.post("/api/notifications/read/", json={"all": True})).status_code == 401


@pytest.mark.parametrize("query", [{"limit": 0}, {"limit": 101}, {"unread": "maybe"}, {"who": "x"}])
async def test_a_bad_query_is_refused(people: People, query: dict[str, Any]) -> None:
    sita = await people.customer()
    assert (await sita.api.get("/api/notifications/", params=query)).status_code == 422
