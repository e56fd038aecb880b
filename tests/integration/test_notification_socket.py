"""The notification socket: numbered, resumed, shared by a person's devices."""

from __future__ import annotations

import asyncio

import pytest
from websockets.exceptions import InvalidStatus

from server.app import RunningServer
from server.domain.events import Event, EventKind
from tests.support import FakeClock, People, Person
from tests.talk import Talk, accept, book, make_talk, notification_socket


async def tell(server: RunningServer, clock: FakeClock, person: Person, name: str) -> None:
    await server.services.notifications.on_event(
        Event(
            id=name,
            kind=EventKind.PANDIT_VERIFIED,
            at=clock.now(),
            recipients=(person.user_id,),
            params={},
        )
    )


async def test_hello_and_history_come_first(
    server: RunningServer, people: People, clock: FakeClock
) -> None:
    sita = await people.customer()
    for number in range(3):
        await tell(server, clock, sita, f"e{number}")
    async with notification_socket(server.port, sita.access) as client:
        assert (client.hello["head"], client.hello["unread"]) == (3, 3)
        assert "room" not in client.hello
        assert client.hello["limits"]["frame"] == 2048
        page = await client.next("history")
        assert [row["seq"] for row in page["notifications"]] == [1, 2, 3]
        assert (page["to"], page["gap"], page["more"]) == (3, False, False)
        await client.send(type="sync", since=1, limit=1)
        page = await client.next("history")
        assert ([row["seq"] for row in page["notifications"]], page["more"]) == ([2], True)


async def test_a_cursor_brings_what_was_missed_and_then_it_is_live(
    server: RunningServer, people: People, clock: FakeClock
) -> None:
    sita = await people.customer()
    for number in range(4):
        await tell(server, clock, sita, f"e{number}")
    async with notification_socket(server.port, sita.access, query="?after=2") as client:
        page = await client.next("history")
        assert [row["seq"] for row in page["notifications"]] == [3, 4]
        await tell(server, clock, sita, "e5")
        live = await client.next("notification")
        assert live["seq"] == 5
        assert (live["kind"], live["url"]) == ("PANDIT_VERIFIED", "/pandit/profile/")
        assert all(live[name] for name in ("id", "title", "title_ne", "body", "body_ne", "ts"))
        assert (await client.next("badge"))["unread"] == 5


async def test_joining_under_concurrent_events_has_no_gap_and_no_double(
    server: RunningServer, people: People, clock: FakeClock
) -> None:
    sita, total = await people.customer(), 60

    async def teller() -> None:
        for number in range(total):
            await tell(server, clock, sita, f"e{number}")

    async def listener() -> list[int]:
        seen: list[int] = []
        while not seen or seen[-1] < total:
            query = f"?after={seen[-1] if seen else 0}"
            async with notification_socket(server.port, sita.access, query=query) as client:
                for _ in range(7):
                    frame = await client.next("history", "notification")
                    rows = frame["notifications"] if frame["type"] == "history" else [frame]
                    seen += [row["seq"] for row in rows]
                    if seen and seen[-1] == total:
                        break
        return seen

    _, *lists = await asyncio.gather(teller(), *(listener() for _ in range(3)))
    assert lists == [list(range(1, total + 1))] * 3


async def test_the_read_state_is_shared_by_all_devices(
    server: RunningServer, people: People, clock: FakeClock
) -> None:
    sita = await people.customer()
    for number in range(3):
        await tell(server, clock, sita, f"e{number}")
    async with (
        notification_socket(server.port, sita.access) as phone,
        notification_socket(server.port, sita.access) as laptop,
    ):
        await phone.send(type="read", seq=2)
        assert (await laptop.next("read"))["seq"] == 2
        assert (await laptop.next("badge"))["unread"] == 1
        await laptop.send(type="read")
        assert (await laptop.next("error"))["code"] == "bad_request"
        ids = [row["id"] for row in (await sita.api.get("/api/notifications/")).json()["results"]]
        await laptop.send(type="read", ids=ids)
        await phone.where(lambda f: f["type"] == "badge" and not f["unread"])
    assert (await sita.api.get("/api/unread-count/")).json()["notifications"] == 0


async def test_nobody_hears_what_is_anothers(
    server: RunningServer, people: People, clock: FakeClock
) -> None:
    sita, gita = await people.customer(), await people.customer("Gita")
    async with (
        notification_socket(server.port, sita.access) as hers,
        notification_socket(server.port, gita.access) as others,
    ):
        await others.quiet()
        await tell(server, clock, sita, "e1")
        row = await hers.next("notification")
        await others.send(type="read", ids=[row["id"]])
        assert not [f for f in await others.quiet() if f["type"] in ("notification", "badge")]
    assert (await sita.api.get("/api/unread-count/")).json()["notifications"] == 1


async def test_an_acceptance_reaches_the_customer_live(
    server: RunningServer, people: People
) -> None:
    customer, pandit = await people.customer(), await people.pandit()
    async with notification_socket(server.port, customer.access) as client:
        await accept(pandit, await book(customer, pandit))
        pushed = await client.where(lambda f: f.get("kind") == "BOOKING_ACCEPTED")
        assert pushed["title_ne"]
        older = await client.next("job_update")
        assert older["event"] == "JOB_ACCEPTED"
        assert older["provider_id"] == pandit.pandit_id


async def test_new_messages_are_told_in_short(server: RunningServer, people: People) -> None:
    talk: Talk = await make_talk(people, server.port)
    async with (
        notification_socket(server.port, talk.pandit.access) as bell,
        talk.socket(talk.customer) as customer,
    ):
        ack = await customer.said("Namaste " * 100)
        head = await bell.next("room_head")
        assert (head["room"], head["seq"]) == (talk.room_id, ack["seq"])
        assert head["sender"] == talk.customer.user_id
        assert head["preview"].startswith("Namaste")
        assert len(head["preview"]) <= 120


async def test_what_may_be_said_here_is_little(server: RunningServer, people: People) -> None:
    sita = await people.customer()
    async with notification_socket(server.port, sita.access) as client:
        for frame in ({"type": "message", "content": "x"}, {"type": "typing", "on": True}):
            await client.send(**frame)
            assert (await client.next("error"))["code"] == "unknown_type"
        await client.send(type="ping", t="x" * 3000)
        assert await client.closed() == 1009


async def test_strangers_are_refused(server: RunningServer, people: People) -> None:
    sita = await people.customer()
    async with notification_socket(server.port, None, greet=False) as client:
        assert await client.closed() == 4401
    with pytest.raises(InvalidStatus) as refused:
        async with notification_socket(server.port, sita.access, origin="https://evil.example"):
            pass
    assert refused.value.response.status_code == 403


async def test_signing_out_ends_it_within_a_second(server: RunningServer, people: People) -> None:
    sita = await people.customer()
    async with notification_socket(server.port, sita.access) as client:
        (await sita.api.post("/api/auth/logout/", json={})).raise_for_status()
        assert await asyncio.wait_for(client.closed(), 1.0) == 4401
