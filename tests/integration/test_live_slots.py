"""Whoever looks at a day of a pandit hears when its times are taken and free again."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from server.app import RunningServer
from tests.integration.test_booking_wizard import hold, step
from tests.integration.test_bookings import act, book, wish
from tests.support import FakeClock, People
from tests.talk import Client, Frame, notification_socket

WEDNESDAY = "2026-11-25"
TEN = "2026-11-25T04:15:00.000Z"


def taken_at(frame: Frame) -> list[str]:
    return [slot["start"] for slot in frame["slots"] if not slot["available"]]


async def watch(client: Client, service_id: str, **more: Any) -> Frame:
    await client.send(type="watch_slots", service=service_id, date=WEDNESDAY, **more)
    return await client.next("slots")


async def test_a_slot_is_seen_taken_and_free_again(
    server: RunningServer, people: People, clock: FakeClock
) -> None:
    watcher, customer = await people.customer("Watching Rai"), await people.customer()
    pandit = await people.pandit()
    async with notification_socket(server.port, watcher.access) as client:
        first = await watch(client, pandit.service_id)
        assert (first["service"], first["date"]) == (pandit.service_id, WEDNESDAY)
        assert taken_at(first) == []
        draft = (await hold(customer, pandit.service_id))["booking_id"]
        held = await client.next("slots")
        assert TEN in taken_at(held)
        assert customer.user_id not in str(held)
        assert draft not in str(held)
        await customer.api.delete(f"/api/booking-wizard/{draft}/")
        assert taken_at(await client.next("slots")) == []
        booking = await book(customer, pandit.service_id)
        assert TEN in taken_at(await client.next("slots"))
        await act(customer, booking, "cancel")
        assert taken_at(await client.next("slots")) == []
        await hold(customer, pandit.service_id)
        assert TEN in taken_at(await client.next("slots"))
        clock.advance(minutes=11)
        assert await server.services.drafts.end_lapsed() == 1
        assert taken_at(await client.next("slots")) == []


async def test_the_pandits_own_changes_are_seen_too(server: RunningServer, people: People) -> None:
    watcher, pandit = await people.customer(), await people.pandit()
    async with notification_socket(server.port, watcher.access) as client:
        assert (await watch(client, pandit.service_id))["slots"]
        await pandit.api.patch("/api/pandits/me/", json={"is_available": False})
        assert (await client.next("slots"))["slots"] == []
        await pandit.api.patch("/api/pandits/me/", json={"is_available": True})
        assert (await client.next("slots"))["slots"]


async def test_what_one_holds_oneself_counts_as_free_to_oneself_alone(
    server: RunningServer, people: People
) -> None:
    customer, rival, pandit = (
        await people.customer(),
        await people.customer("Gita Rai"),
        await people.pandit(),
    )
    draft = (await hold(customer, pandit.service_id))["booking_id"]
    async with (
        notification_socket(server.port, customer.access) as own,
        notification_socket(server.port, rival.access) as other,
    ):
        assert taken_at(await watch(own, pandit.service_id, exclude=draft)) == []
        assert TEN in taken_at(await watch(other, pandit.service_id, exclude=draft))
        later = {"booking_date": WEDNESDAY, "booking_time": "14:00"}
        await step(customer, "datetime_selection", booking_id=draft, **later)
        assert TEN not in taken_at(await other.next("slots"))
        await rival.api.post("/api/bookings/", json=wish(pandit.service_id, booking_time="06:00"))
        assert "2026-11-25T00:15:00.000Z" in taken_at(await own.next("slots"))


async def test_the_times_to_move_a_booking_to_outlast_its_service(
    server: RunningServer, people: People
) -> None:
    customer, rival = await people.customer(), await people.customer("Gita Rai")
    pandit = await people.pandit()
    booking = await book(customer, pandit.service_id)
    (await act(pandit, booking, "accept")).raise_for_status()
    service = f"/api/services/{pandit.service_id}/"
    (await pandit.api.patch(service, json={"duration_minutes": 30})).raise_for_status()
    async with (
        notification_socket(server.port, customer.access) as own,
        notification_socket(server.port, rival.access) as other,
    ):
        first = await watch(own, pandit.service_id, exclude=booking["id"])
        assert first["slots"][-1]["start"] == "2026-11-25T10:15:00.000Z", "two hours before 18:00"
        seen = await watch(other, pandit.service_id, exclude=booking["id"])
        assert seen["slots"][-1]["start"] == "2026-11-25T11:45:00.000Z"
        (await pandit.api.delete(service)).raise_for_status()
        assert (await other.next("slots"))["slots"] == []
        again = await watch(own, pandit.service_id, exclude=booking["id"])
        assert again["slots"] == first["slots"]
        frame = {"service": pandit.service_id, "date": WEDNESDAY, "exclude": booking["id"]}
        await other.send(type="watch_slots", **frame)
        assert (await other.next("error"))["code"] == "not_found"
        (await act(customer, booking, "cancel", reason="Ill")).raise_for_status()
        assert (await own.next("slots"))["slots"] == []


async def test_one_day_is_watched_by_a_connection_and_nothing_is_left_behind(
    server: RunningServer, people: People
) -> None:
    watcher, customer = await people.customer("Watching Rai"), await people.customer()
    pandit, other = await people.pandit(), await people.pandit("Keshav Joshi")
    days = server.services.hub.days
    async with notification_socket(server.port, watcher.access) as client:
        await watch(client, pandit.service_id)
        await watch(client, other.service_id)
        assert len(days) == 1
        await book(customer, pandit.service_id)
        await book(customer, other.service_id, booking_time="14:00")
        assert (await client.next("slots"))["service"] == other.service_id
        await client.send(type="watch_slots", service="no-such-service", date=WEDNESDAY)
        assert (await client.next("error"))["code"] == "not_found"
        assert len(days) == 0
        await watch(client, other.service_id)
        await client.send(type="unwatch_slots")
        assert await client.quiet() == []
        assert len(days) == 0
        await watch(client, pandit.service_id)
        for bad in ({"date": "tomorrow"}, {"service": ""}):
            frame = {"service": pandit.service_id, "date": WEDNESDAY, **bad}
            await client.send(type="watch_slots", **frame)
            assert (await client.next("error"))["code"] == "bad_request"
    async with asyncio.timeout(10):
        while len(days):
            # The server hears of the end in a turn of its own.
            (await watcher.api.get("/api/auth/me/")).raise_for_status()


@pytest.mark.parametrize("day", ["0001-01-01", "9999-12-31"])
async def test_the_ends_of_the_calendar_have_no_times(
    server: RunningServer, people: People, day: str
) -> None:
    watcher, pandit = await people.customer(), await people.pandit()
    async with notification_socket(server.port, watcher.access) as client:
        await client.send(type="watch_slots", service=pandit.service_id, date=day)
        assert (await client.next("slots"))["slots"] == []


async def test_all_who_look_see_in_the_end_what_a_fresh_look_shows(
    server: RunningServer, people: People
) -> None:
    customers = [await people.customer(f"Customer {number}") for number in range(4)]
    watcher, pandit = await people.customer("Watching Rai"), await people.pandit()
    async with (
        notification_socket(server.port, watcher.access) as first,
        notification_socket(server.port, customers[0].access) as second,
    ):
        known = [await watch(client, pandit.service_id) for client in (first, second)]
        hours = ("06:00", "09:00", "12:00", "15:00")
        made = await asyncio.gather(
            *(
                book(customer, pandit.service_id, booking_time=at)
                for customer, at in zip(customers, hours, strict=True)
            )
        )
        await act(customers[1], made[1], "cancel")
        query = {"service_id": pandit.service_id, "date": WEDNESDAY}
        fresh = await watcher.api.get("/api/booking-slots/available-slots/", params=query)
        wanted = [slot["available"] for slot in fresh.json()["slots"]]
        for place, client in enumerate((first, second)):
            while [slot["available"] for slot in known[place]["slots"]] != wanted:
                known[place] = await client.next("slots")
