"""A pandit's way to a family: who may share it, who sees it, when it ends, and that it is kept
nowhere.
"""

from __future__ import annotations

import dataclasses
import logging
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import pytest

from server.app import RunningServer
from server.settings import Settings
from tests.support import FakeClock, People, Person
from tests.talk import Client, Frame, accept, book, notification_socket

HOME = {"lat": 27.69, "lng": 85.34}
HERE = {"lat": 27.654321, "lng": 85.312349}
"""Some 4.8 km off."""


@dataclass
class Road:
    """A pandit and his customer on the day of a puja, both with an open socket."""

    server: RunningServer
    clock: FakeClock
    customer: Person
    pandit: Person
    booking_id: str
    bell: Client
    wheel: Client

    async def share(self) -> Frame:
        await self.wheel.send(type="share", booking=self.booking_id, cid="s")
        return await self.wheel.next("sharing", "error")

    async def tell(self, **more: Any) -> None:
        await self.wheel.send(type="position", booking=self.booking_id, **{**HERE, **more})

    async def seen(self) -> list[Frame]:
        """The positions and ends that the customer has heard of by now."""
        # What the pandit said before is done when his ping is answered.
        await self.wheel.quiet()
        return [each for each in await self.bell.quiet() if each["type"].startswith("position")]

    async def act(self, person: Person, move: str, **body: Any) -> int:
        answer = await person.api.post(f"/api/bookings/{self.booking_id}/{move}/", json=body)
        return answer.status_code


@pytest.fixture
def settings(settings: Settings) -> Settings:
    # A socket is closed when its token ends, and here a morning passes at once.
    return dataclasses.replace(
        settings, auth=dataclasses.replace(settings.auth, access_minutes=600)
    )


@pytest.fixture
async def road(server: RunningServer, people: People, clock: FakeClock) -> AsyncIterator[Road]:
    customer, pandit = await people.customer(), await people.pandit()
    # At ten today he is asked for noon: just as long before as he may share.
    booking_id = await book(
        customer, pandit, booking_date="2026-11-22", booking_time="12:00", **HOME
    )
    await accept(pandit, booking_id)
    async with AsyncExitStack() as stack:
        bell = await stack.enter_async_context(notification_socket(server.port, customer.access))
        wheel = await stack.enter_async_context(notification_socket(server.port, pandit.access))
        await bell.next("history")
        await wheel.next("history")
        yield Road(server, clock, customer, pandit, booking_id, bell, wheel)


async def test_the_customer_sees_the_way_in_distance_and_minutes(road: Road) -> None:
    shared = await road.share()
    assert shared == {
        "type": "sharing",
        "booking": road.booking_id,
        "until": "2026-11-22T07:15:00.000Z",
        "interval": 3.0,
    }
    await road.tell(accuracy=8.0)
    assert await road.bell.next("position") == {
        "type": "position",
        "booking": road.booking_id,
        "lat": 27.65432,
        "lng": 85.31235,
        "accuracy": 8.0,
        "distance_km": 4.9,
        "minutes": 20,
        "ts": "2026-11-22T04:15:00.000Z",
        "ttl": 90,
    }


async def test_nobody_else_hears_of_it(road: Road, people: People) -> None:
    stranger, rival, admin = (
        await people.customer("Stranger Rai"),
        await people.pandit("Rival Joshi"),
        await people.admin(),
    )
    async with AsyncExitStack() as stack:
        others = [
            await stack.enter_async_context(notification_socket(road.server.port, each.access))
            for each in (stranger, rival, admin)
        ]
        await road.share()
        await road.tell()
        await road.bell.next("position")
        for other in (*others, road.wheel):
            assert not [each for each in await other.quiet() if each["type"] == "position"]


async def test_only_its_pandit_shares_and_only_what_he_shares_is_told(
    road: Road, people: People
) -> None:
    rival = await people.pandit("Rival Joshi")
    await road.share()
    async with notification_socket(road.server.port, rival.access) as other:
        for kind, more in (("share", {}), ("position", HERE)):
            await other.send(type=kind, booking=road.booking_id, cid="x", **more)
            refused = await other.next("error")
            assert (refused["code"], refused["cid"]) == ("not_found", "x")
        await other.send(type="unshare", booking=road.booking_id)
        await other.quiet()
    await road.bell.send(type="share", booking=road.booking_id)
    assert (await road.bell.next("error"))["code"] == "forbidden"
    await road.tell()
    assert [each["type"] for each in await road.seen()] == ["position"]


async def test_a_position_without_consent_goes_nowhere(road: Road) -> None:
    await road.tell(cid="p")
    assert (await road.wheel.next("error"))["code"] == "not_found"
    for wrong in ({"lat": 91.0}, {"lng": "85"}, {"accuracy": -1}):
        await road.tell(**wrong)
        assert (await road.wheel.next("error"))["code"] == "bad_request"
    assert await road.seen() == []


@pytest.mark.parametrize(
    ("wish", "is_accepted", "code"),
    [
        ({"booking_date": "2026-11-22", "booking_time": "12:30"}, True, "too_early"),
        ({"booking_date": "2026-11-25"}, True, "too_early"),
        ({"booking_date": "2026-11-22", "booking_time": "15:00"}, False, "illegal_transition"),
        (
            {"booking_date": "2026-11-22", "booking_time": "12:00", "service_location": "ONLINE"},
            True,
            "illegal_transition",
        ),
    ],
    ids=["half-an-hour-early", "another-day", "not-accepted", "online"],
)
async def test_there_is_a_way_only_to_what_is_near_and_accepted(
    server: RunningServer, people: People, wish: dict[str, Any], is_accepted: bool, code: str
) -> None:
    customer, pandit = await people.customer(), await people.pandit()
    booking_id = await book(customer, pandit, **wish)
    if is_accepted:
        await accept(pandit, booking_id)
    async with notification_socket(server.port, pandit.access) as wheel:
        await wheel.send(type="share", booking=booking_id)
        assert (await wheel.next("error"))["code"] == code
    arrived = await pandit.api.post(f"/api/bookings/{booking_id}/arrive/", json={})
    assert (arrived.status_code, arrived.json()["type"]) == (409, code.replace("_", "-"))


async def test_positions_that_come_too_often_are_dropped(road: Road) -> None:
    await road.share()
    for lat in (27.6, 27.61, 27.62):
        await road.tell(lat=lat)
    assert [each["lat"] for each in await road.seen()] == [27.6]
    road.clock.advance(seconds=3)
    await road.tell(lat=27.63)
    assert [each["lat"] for each in await road.seen()] == [27.63]


@pytest.mark.parametrize("move", ["arrive", "start", "cancel", "reschedule"])
async def test_it_ends_with_the_way(road: Road, move: str) -> None:
    road.clock.advance(hours=1, minutes=1)
    await road.share()
    await road.tell()
    await road.bell.next("position")
    if move == "reschedule":
        body = {"booking_date": "2026-11-22", "booking_time": "14:00"}
        assert await road.act(road.pandit, move, **body) == 200
        assert await road.act(road.customer, move, **body) == 200
    else:
        assert await road.act(road.pandit, move) == 200
    reason = {"arrive": "arrived", "start": "started", "cancel": "cancelled"}.get(move, "moved")
    for client in (road.bell, road.wheel):
        ended = await client.next("position_ended")
        assert (ended["booking"], ended["reason"]) == (road.booking_id, reason)
    await road.tell()
    assert (await road.wheel.next("error"))["code"] == "not_found"


async def test_it_ends_when_he_says_so_is_silent_or_far_too_late(road: Road) -> None:
    positions = road.server.services.positions
    await road.share()
    await road.wheel.send(type="unshare", booking=road.booking_id)
    assert (await road.bell.next("position_ended"))["reason"] == "stopped"

    await road.share()
    road.clock.advance(seconds=89)
    positions.sweep()
    assert await road.seen() == []
    road.clock.advance(seconds=1)
    positions.sweep()
    assert (await road.bell.next("position_ended"))["reason"] == "silent"

    await road.share()
    road.clock.set(datetime.fromisoformat("2026-11-22T13:00:00+05:45"))
    positions.sweep()
    assert (await road.bell.next("position_ended"))["reason"] == "time"


async def test_a_lost_event_costs_a_minute_at_most(road: Road) -> None:
    await road.share()
    await road.server.store.collection("bookings").update_one(
        {"_id": road.booking_id}, {"$set": {"status": "CANCELLED"}}
    )
    await road.tell()
    assert [each["type"] for each in await road.seen()] == ["position"]
    road.clock.advance(seconds=60)
    await road.tell()
    assert [each["type"] for each in await road.seen()] == ["position_ended"]


async def test_a_position_is_in_no_store_and_no_log(
    road: Road, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    await road.share()
    await road.tell()
    await road.bell.next("position")
    await road.wheel.send(type="unshare", booking=road.booking_id)
    await road.bell.next("position_ended")
    told = ("27.6543", "85.3123")
    assert not any(number in caplog.text for number in told)
    for name in ("bookings", "notifications", "messages", "chat_rooms", "pandits", "users"):
        for document in await road.server.store.collection(name).find({}, limit=100):
            assert not any(number in str(document) for number in told), name
    road.clock.advance(seconds=5)
    async with notification_socket(road.server.port, road.customer.access) as later:
        frames = [await later.next("history"), *await later.quiet()]
        assert not any(number in str(frames) for number in told), "nothing is replayed"


async def test_an_arrival_is_told_and_stands_in_the_history_once(road: Road) -> None:
    assert await road.act(road.customer, "arrive") == 403
    assert await road.act(road.pandit, "arrive") == 200
    told = await road.bell.where(
        lambda frame: frame["type"] == "notification" and frame["kind"] == "BOOKING_ARRIVED"
    )
    assert told["data"]["booking_id"] == road.booking_id
    assert await road.act(road.pandit, "arrive") == 409
    shown = (await road.customer.api.get(f"/api/bookings/{road.booking_id}/")).json()
    assert (shown["status"], shown["arrived_at"]) == ("ACCEPTED", "2026-11-22T10:00:00+05:45")
    last = shown["history"][-1]
    assert (last["from_status"], last["to_status"], last["role"]) == (
        "ACCEPTED",
        "ACCEPTED",
        "pandit",
    )
    road.clock.advance(hours=1)
    assert await road.act(road.pandit, "start") == 200


async def test_pages_offer_the_way_to_those_who_are_on_it(road: Road, people: People) -> None:
    pages = []
    for person in (road.pandit, road.customer):
        browser = await people.nobody()
        browser.cookies.set("access", person.access)
        pages.append(browser)
    his, mine = pages
    path = f"/bookings/{road.booking_id}/"
    page = (await his.get(path)).text
    assert "<py-share-position" in page
    assert f'action="{path}arrive/"' in page
    assert "tel:" in page
    page = (await mine.get(path)).text
    assert '<py-on-the-way booking-id="' in page
    assert 'lat="27.69"' in page
    assert "<py-share-position" not in page
    token = (await his.get(path)).text.split('name="_xsrf" value="', 1)[1].split('"', 1)[0]
    assert (await his.post(f"{path}arrive/", data={"_xsrf": token})).status_code == 303
    assert "<py-share-position" not in (await his.get(path)).text
    assert "<py-on-the-way" not in (await mine.get(path)).text


async def test_the_window_is_on_the_day_alone(
    server: RunningServer, people: People, clock: FakeClock
) -> None:
    customer, pandit = await people.customer(), await people.pandit()
    booking_id = await book(customer, pandit)
    await accept(pandit, booking_id)
    starts_at = datetime.fromisoformat("2026-11-25T10:00:00+05:45")
    for offset, status in (
        (timedelta(hours=-2, seconds=-1), 409),
        (timedelta(hours=1), 409),
        (timedelta(minutes=59, seconds=59), 200),
    ):
        clock.set(starts_at + offset)
        await people.sign_in_again(pandit)
        answer = await pandit.api.post(f"/api/bookings/{booking_id}/arrive/", json={})
        assert answer.status_code == status
