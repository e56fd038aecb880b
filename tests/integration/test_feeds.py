"""Bookings in people's own calendars: files, and the private address."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from typing import Any

import httpx
import pytest
from icalendar import Calendar, Component

from server.app import RunningServer
from tests.integration.test_bookings import WEDNESDAY, act, book
from tests.support import CapturingCodeSender, FakeClock, People, Person

FEED = "/api/users/me/calendar-feed/"
STREET = "House 7, Shantinagar"


def events(answer: httpx.Response) -> list[Component]:
    assert answer.raise_for_status().headers["Content-Type"] == "text/calendar; charset=utf-8"
    assert "\r\n" in answer.text
    assert all(len(line) <= 75 for line in answer.content.split(b"\r\n"))
    calendar = Calendar.from_ical(answer.content)
    assert calendar["version"] == "2.0"
    assert not calendar.errors
    return list(calendar.walk("VEVENT"))


async def feed_of(person: Person) -> str:
    made = (await person.api.post(FEED)).raise_for_status().json()
    assert made["webcal_url"] == made["url"].replace("http://", "webcal://")
    url: str = made["url"]
    return url


async def only(api: httpx.AsyncClient, url: str) -> Component:
    (event,) = events(await api.get(url))
    return event


def facts(event: Component) -> dict[str, Any]:
    return {
        "uid": str(event["uid"]),
        "sequence": int(str(event["sequence"])),
        "status": str(event["status"]),
        "starts": event.decoded("dtstart"),
        "where": str(event.get("location", "")),
    }


async def test_a_booking_keeps_its_uid_and_its_sequence_rises(people: People) -> None:
    pandit, customer = await people.pandit(), await people.customer()
    booking = await book(customer, pandit.service_id)
    url = await feed_of(customer)
    nobody = await people.nobody()
    seen = [facts(await only(nobody, url))]
    assert seen[0]["starts"] == datetime(2026, 11, 25, 4, 15, tzinfo=UTC)
    assert seen[0]["status"] == "TENTATIVE"
    day = {"booking_date": WEDNESDAY, "booking_time": "12:00"}
    for person, move, body in (
        (customer, "reschedule", day),
        (pandit, "accept", {}),
        (customer, "cancel", {}),
    ):
        (await act(person, booking, move, **body)).raise_for_status()
        seen.append(facts(await only(nobody, url)))
    assert {each["uid"] for each in seen} == {f"booking-{booking['id']}@pandityatra"}
    assert [each["status"] for each in seen] == [
        "TENTATIVE",
        "TENTATIVE",
        "CONFIRMED",
        "CANCELLED",
    ]
    sequences = [each["sequence"] for each in seen]
    assert sequences == sorted(set(sequences))
    assert seen[1]["starts"] == datetime(2026, 11, 25, 6, 15, tzinfo=UTC)


async def test_an_address_is_told_where_its_reader_may_know_it(people: People) -> None:
    pandit, customer = await people.pandit(), await people.customer()
    booking = await book(customer, pandit.service_id, notes="Ring twice")
    mine, his = await feed_of(customer), await feed_of(pandit)
    nobody = await people.nobody()
    assert STREET in facts(await only(nobody, mine))["where"]
    before = await only(nobody, his)
    assert facts(before)["where"] == "Baneshwor, Kathmandu"
    (await act(pandit, booking, "accept")).raise_for_status()
    after = await nobody.get(his)
    (event,) = events(after)
    assert STREET in facts(event)["where"]
    assert customer.full_name in str(event["summary"])
    for text in (customer.phone, pandit.phone, "Ring twice", "2500", "250000"):
        assert text not in after.text
        assert text not in (await nobody.get(mine)).text


async def test_one_booking_is_a_file_for_its_parties_alone(people: People) -> None:
    pandit, customer = await people.pandit(), await people.customer()
    booking = await book(customer, pandit.service_id)
    path = f"/api/bookings/{booking['id']}/booking.ics"
    answer = await customer.api.get(path)
    assert len(events(answer)) == 1
    assert answer.headers["Content-Disposition"].startswith("attachment; filename=")
    assert STREET not in (await pandit.api.get(path)).text
    stranger, rival = await people.customer("Stranger Rai"), await people.pandit("Rival Joshi")
    for person in (stranger, rival):
        assert (await person.api.get(path)).status_code == 404
    assert (await (await people.nobody()).get(path)).status_code == 401


async def test_what_has_not_changed_is_not_sent_again(people: People) -> None:
    pandit, customer = await people.pandit(), await people.customer()
    booking = await book(customer, pandit.service_id)
    url, nobody = await feed_of(customer), await people.nobody()
    first = (await nobody.get(url)).raise_for_status()
    assert first.headers["Cache-Control"] == "private, no-cache"
    assert first.headers["Referrer-Policy"] == "no-referrer"
    assert first.headers["X-Robots-Tag"] == "noindex, nofollow"
    known = {"If-None-Match": first.headers["Etag"]}
    again = await nobody.get(url, headers=known)
    assert (again.status_code, again.content) == (304, b"")
    (await act(pandit, booking, "accept")).raise_for_status()
    assert (await nobody.get(url, headers=known)).status_code == 200


async def test_an_address_ends_when_it_is_renewed_or_switched_off(
    server: RunningServer, people: People
) -> None:
    customer, nobody = await people.customer(), await people.nobody()
    assert (await customer.api.get(FEED)).json() == {"is_on": False, "created_at": None}
    first = await feed_of(customer)
    second = await feed_of(customer)
    assert first != second
    assert (await nobody.get(first)).status_code == 404
    assert events(await nobody.get(second)) == []
    assert (await customer.api.get(FEED)).json()["is_on"] is True
    assert (await customer.api.delete(FEED)).status_code == 204
    assert (await customer.api.delete(FEED)).status_code == 204
    assert (await nobody.get(second)).status_code == 404
    token = re.search(r"feeds/([\w-]+)\.ics", second)
    assert token is not None
    stored = await server.store.collection("calendar_feeds").find({}, limit=10)
    assert stored == []
    await feed_of(customer)
    stored = await server.store.collection("calendar_feeds").find({}, limit=10)
    assert token[1] not in str(stored)


async def test_the_token_of_a_feed_opens_nothing_else(people: People) -> None:
    customer, nobody = await people.customer(), await people.nobody()
    url = await feed_of(customer)
    token = url.rpartition("/")[2].removesuffix(".ics")
    for headers in ({"Authorization": f"Bearer {token}"}, {"Cookie": f"access={token}"}):
        assert (await nobody.get("/api/auth/me/", headers=headers)).status_code == 401
    assert (await nobody.post(url)).status_code == 405
    assert (await nobody.get(f"/calendar/feeds/{customer.access[:100]}.ics")).status_code == 404
    for wrong in (token[:-1], token + "A", token.swapcase()):
        assert (await nobody.get(url.replace(token, wrong))).status_code == 404


async def test_a_closed_account_ends_its_feed(server: RunningServer, people: People) -> None:
    customer, nobody = await people.customer(), await people.nobody()
    url = await feed_of(customer)
    await server.store.collection("users").update_one(
        {"_id": customer.user_id}, {"$set": {"is_active": False}}
    )
    assert (await nobody.get(url)).status_code == 404


async def test_an_address_made_before_the_phone_was_verified_ends_then(
    people: People, clock: FakeClock, code_sender: CapturingCodeSender
) -> None:
    squatter, owner = await people.customer(), await people.nobody()
    url = await feed_of(squatter)
    clock.advance(seconds=1)
    await owner.post("/api/auth/otp/", json={"phone_number": squatter.phone})
    code = await code_sender.wait_for(f"+977{squatter.phone}")
    answer = await owner.post(
        "/api/auth/otp/verify/", json={"phone_number": squatter.phone, "code": code}
    )
    squatter.api.headers["Authorization"] = f"Bearer {answer.json()['access']}"
    assert (await owner.get(url)).status_code == 404
    assert (await squatter.api.get(FEED)).json()["is_on"] is False
    assert (await owner.get(await feed_of(squatter))).status_code == 200


async def test_what_is_long_over_leaves_the_feed(people: People, clock: FakeClock) -> None:
    pandit, customer = await people.pandit(), await people.customer()
    await book(customer, pandit.service_id)
    url, nobody = await feed_of(customer), await people.nobody()
    clock.set(datetime(2026, 12, 1, tzinfo=UTC))
    assert len(events(await nobody.get(url))) == 1
    clock.advance(days=3)
    assert events(await nobody.get(url)) == []


async def test_admins_have_no_feed(people: People) -> None:
    admin = await people.admin()
    assert (await admin.api.post(FEED)).status_code == 403


async def test_the_page_shows_an_address_once(people: People) -> None:
    customer, nobody = await people.customer(), await people.nobody()
    nobody.cookies.set("access", customer.access)
    page = (await nobody.get("/account/calendar/")).raise_for_status()
    assert page.headers["Referrer-Policy"] == "no-referrer"
    xsrf = re.search(r'name="_xsrf" value="([^"]+)"', page.text)
    assert xsrf is not None
    made = await nobody.post("/account/calendar/", data={"_xsrf": xsrf[1], "do": "renew"})
    url = re.search(r'value="(http[^"]+\.ics)"', made.text)
    assert url is not None
    assert made.headers["Cache-Control"] == "no-store"
    assert (await nobody.get(url[1])).status_code == 200
    assert "/calendar/feeds/" not in (await nobody.get("/account/calendar/")).text
    off = await nobody.post("/account/calendar/", data={"_xsrf": xsrf[1], "do": "off"})
    assert off.status_code == 303
    assert (await nobody.get(url[1])).status_code == 404
    odd = await nobody.post("/account/calendar/", data={"_xsrf": xsrf[1], "do": "other"})
    assert odd.status_code == 404


@pytest.mark.parametrize("language", ["en", "ne"])
async def test_a_feed_speaks_its_owners_language(people: People, language: str) -> None:
    pandit, customer = await people.pandit(), await people.customer()
    await book(customer, pandit.service_id)
    (await customer.api.patch("/api/auth/me/", json={"language": language})).raise_for_status()
    event = await only(await people.nobody(), await feed_of(customer))
    waiting = {"en": "Not confirmed yet", "ne": "अझै पक्का भएको छैन"}[language]
    assert waiting in str(event["summary"])


async def test_a_feed_that_is_asked_for_twice_has_one_address(
    server: RunningServer, people: People
) -> None:
    customer, nobody = await people.customer(), await people.nobody()
    key = {"Idempotency-Key": "one-feed-only"}
    first, again = [await customer.api.post(FEED, headers=key) for _ in range(2)]
    assert first.json() == again.json()
    assert again.headers["Idempotent-Replayed"] == "true"
    url = first.json()["url"]
    assert (await nobody.get(url)).status_code == 200
    token = url.rpartition("/")[2].removesuffix(".ics")
    kept = await server.store.collection("idempotency").find({}, limit=100)
    assert kept
    assert all(token.encode() not in each["body"] for each in kept)
    # Another key is another address, and the same key of somebody else is no key to this one.
    assert (await feed_of(customer)) != url
    assert (await nobody.get(url)).status_code == 404
    other = await people.customer("Gita Rai")
    assert (await other.api.post(FEED, headers=key)).json()["url"] != url
