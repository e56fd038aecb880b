"""Booking a puja over REST, from the request to the end, by those who may and those who may not."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest

from server.app import RunningServer
from server.domain.account import GeoPoint, Place
from server.domain.travel import Engagement
from server.services import bookings
from server.store.bookings import MongoBookingRepository
from tests.support import FakeClock, People, Person

WEDNESDAY = "2026-11-25"


def wish(service_id: str, **overrides: Any) -> dict[str, Any]:
    return {
        "service_id": service_id,
        "booking_date": WEDNESDAY,
        "booking_time": "10:00",
        "service_location": "HOME",
        "area": "Baneshwor",
        "city": "Kathmandu",
        "address": "House 7, Shantinagar",
        "lat": 27.69,
        "lng": 85.34,
        "samagri_required": True,
        **overrides,
    }


async def book(customer: Person, service_id: str, **overrides: Any) -> dict[str, Any]:
    answer = await customer.api.post("/api/bookings/", json=wish(service_id, **overrides))
    assert answer.status_code == 201, answer.text
    return answer.json()


def place_at(latitude: float, longitude: float) -> Place:
    return Place(city="Hetauda", address="1", point=GeoPoint(latitude, longitude))


async def act(person: Person, booking: dict[str, Any], action: str, **body: Any) -> httpx.Response:
    return await person.api.post(f"/api/bookings/{booking['id']}/{action}/", json=body)


async def kinds(person: Person) -> list[str]:
    listed = (await person.api.get("/api/notifications/")).raise_for_status().json()
    return [each["notification_type"] for each in listed["results"]]


async def test_a_puja_from_the_booking_to_its_end(people: People, clock: FakeClock) -> None:
    customer, pandit = await people.customer(), await people.pandit()
    booking = await book(customer, pandit.service_id)
    assert booking["status"] == "PENDING"
    assert booking["date_bs"] == "2083-08-09"
    assert booking["starts_at"] == "2026-11-25T10:00:00+05:45"
    assert booking["total_fee"] == booking["service_fee"] + booking["samagri_fee"]
    assert booking["service_fee"] == 250_000
    assert booking["commission_amount"] is None, "the commission is not the customer's business"
    assert booking["payment_status"] == "PENDING"
    assert await kinds(pandit) == ["BOOKING_CREATED", "PANDIT_VERIFIED"]

    accepted = (await act(pandit, booking, "accept")).raise_for_status().json()
    assert accepted["status"] == "ACCEPTED"
    assert accepted["accepted_at"]
    assert accepted["commission_amount"] == 25_000
    assert await kinds(customer) == ["BOOKING_ACCEPTED"]

    too_early = await act(pandit, booking, "start")
    assert too_early.status_code == 409
    assert too_early.json()["type"] == "too-early"
    clock.advance(days=2, hours=23, minutes=30)
    # Access tokens have expired by now, as they should have.
    assert (await act(pandit, booking, "start")).status_code == 401
    await people.sign_in_again(pandit)
    await people.sign_in_again(customer)
    assert (await act(pandit, booking, "start")).json()["status"] == "IN_PROGRESS"
    clock.advance(minutes=5)
    completed = (await act(pandit, booking, "complete")).raise_for_status().json()
    assert completed["status"] == "COMPLETED"
    assert completed["payment_status"] == "COMPLETED"
    assert [move["to_status"] for move in completed["history"]] == [
        "PENDING",
        "ACCEPTED",
        "IN_PROGRESS",
        "COMPLETED",
    ]
    assert (await kinds(customer))[:4] == [
        "BOOKING_COMPLETED",
        "PAYMENT_SUCCESS",
        "BOOKING_STARTED",
        "BOOKING_ACCEPTED",
    ]
    for action in ("accept", "start", "complete", "cancel"):
        refused = await act(pandit, booking, action)
        assert (refused.status_code, refused.json()["state"]) == (409, "COMPLETED")


async def test_contact_details_wait_for_the_acceptance(people: People) -> None:
    customer, pandit = await people.customer(), await people.pandit()
    booking = await book(customer, pandit.service_id)
    secrets_of_customer = (customer.phone, "House 7")

    for_pandit = (await pandit.api.get(f"/api/bookings/{booking['id']}/")).text
    assert not any(secret in for_pandit for secret in secrets_of_customer)
    assert "Baneshwor" in for_pandit
    assert (await pandit.api.get(f"/api/bookings/{booking['id']}/")).json()["distance_km"] == 3.9
    for path in (
        f"/api/bookings/{booking['id']}/",
        "/api/bookings/",
        f"/api/pandits/{pandit.pandit_id}/",
        "/api/notifications/",
    ):
        assert pandit.phone not in (await customer.api.get(path)).text

    await act(pandit, booking, "accept")
    for_pandit = (await pandit.api.get(f"/api/bookings/{booking['id']}/")).text
    assert all(secret in for_pandit for secret in secrets_of_customer)
    assert pandit.phone in (await customer.api.get(f"/api/bookings/{booking['id']}/")).text


async def test_of_200_who_race_for_one_slot_one_gets_it(
    people: People, server: RunningServer
) -> None:
    pandit = await people.pandit()
    longer = await pandit.api.post(
        "/api/services/",
        json={
            "puja_id": "griha-pravesh",
            "name": "Griha Pravesh",
            "duration_minutes": 240,
            "price": 500_000,
        },
    )
    services = (pandit.service_id, longer.json()["id"])
    customers = await asyncio.gather(*(people.customer(f"Customer {n}") for n in range(20)))

    async def attempt(number: int) -> httpx.Response:
        overlapping = ("10:00", "10:30", "09:15", "11:45")
        return await customers[number % 20].api.post(
            "/api/bookings/",
            json=wish(
                services[number % 2],
                booking_time=overlapping[number % 4] if number >= 100 else "10:00",
                samagri_required=False,
            ),
        )

    answers = await asyncio.gather(*map(attempt, range(200)))
    outcomes = [(answer.status_code, answer.json().get("type")) for answer in answers]
    assert sorted(set(outcomes), key=str) == [(201, None), (409, "slot-taken")]
    won = [answer.json() for answer in answers if answer.status_code == 201]
    assert len(won) == 1, "every wish meets 10:00 to 12:30"

    claims = server.store.collection("bookings")
    held = await claims.find({"claims": {"$exists": True}}, limit=10)
    assert [document["_id"] for document in held] == [won[0]["id"]]
    owner = next(each for each in customers if each.user_id == won[0]["user"]["id"])
    await act(owner, won[0], "cancel")
    assert await claims.find({"claims": {"$exists": True}}, limit=10) == []
    await book(customers[0], pandit.service_id)


async def test_of_many_moves_at_once_one_wins(people: People) -> None:
    customer, pandit = await people.customer(), await people.pandit()
    booking = await book(customer, pandit.service_id)
    answers = await asyncio.gather(
        *(act(pandit, booking, "accept") for _ in range(10)),
        *(act(customer, booking, "cancel") for _ in range(10)),
    )
    accepts, cancels = answers[:10], answers[10:]
    assert sum(answer.status_code == 200 for answer in accepts) <= 1
    assert sum(answer.status_code == 200 for answer in cancels) == 1
    assert all(answer.status_code in (200, 409) for answer in answers)
    final = (await customer.api.get(f"/api/bookings/{booking['id']}/")).json()
    assert final["status"] == "CANCELLED"
    for person in (customer, pandit):
        told = await kinds(person)
        assert len(told) == len(set(told)), "nobody is told twice"


async def test_a_refused_booking_goes_to_the_next_pandit_and_never_back(people: People) -> None:
    customer = await people.customer()
    first = await people.pandit("First Acharya")
    second = await people.pandit("Second Bhattarai", price=200_000)
    too_dear = await people.pandit("Dear Joshi", price=900_000)
    booking = await book(customer, first.service_id)

    await act(first, booking, "reject", reason="travelling")
    now = (await customer.api.get(f"/api/bookings/{booking['id']}/")).json()
    assert (now["status"], now["pandit"]["id"]) == ("PENDING", second.pandit_id)
    assert now["total_fee"] == booking["total_fee"], "the price stays"
    assert (await first.api.get(f"/api/bookings/{booking['id']}/")).status_code == 404
    assert (await act(first, booking, "accept")).status_code == 404
    assert (await kinds(customer))[:2] == ["BOOKING_REOFFERED", "BOOKING_REJECTED"]
    await book(customer, first.service_id)  # his time is free again

    await act(second, booking, "reject")
    failed = (await customer.api.get(f"/api/bookings/{booking['id']}/")).json()
    assert failed["status"] == "FAILED"
    assert (await too_dear.api.get(f"/api/bookings/{booking['id']}/")).status_code == 404


async def test_what_a_pandit_says_when_he_refuses_is_for_admins_only(people: People) -> None:
    customer, admin = await people.customer(), await people.admin()
    pandits = [
        await people.pandit("First Acharya"),
        await people.pandit("Second Bhattarai"),
        await people.pandit("Third Joshi"),
    ]
    booking = await book(customer, pandits[0].service_id)

    async def seen_by(person: Person) -> list[tuple[str | None, str, str, str]]:
        answer = await person.api.get(f"/api/bookings/{booking['id']}/")
        answer.raise_for_status()
        names = ("from_status", "to_status", "role", "reason")
        moves: list[tuple[str | None, str, str, str]] = [
            tuple(move[name] for name in names) for move in answer.json()["history"]
        ]
        return moves

    placed = (None, "PENDING", "user", "")
    offered = (None, "PENDING", "system", "")
    assert await seen_by(pandits[0]) == [placed]
    for number in range(2):
        at_present = (await customer.api.get(f"/api/bookings/{booking['id']}/")).json()["pandit"]
        now = next(each for each in pandits if each.pandit_id == at_present["id"])
        (await act(now, booking, "reject", reason=f"telephone {number}")).raise_for_status()
    at_present = (await customer.api.get(f"/api/bookings/{booking['id']}/")).json()["pandit"]
    last = next(each for each in pandits if each.pandit_id == at_present["id"])
    assert await seen_by(customer) == [placed, *[("PENDING", "PENDING", "pandit", "")] * 2]
    assert await seen_by(last) == [offered]
    assert [reason for *_, reason in await seen_by(admin)] == [
        "",
        "telephone 0",
        "telephone 1",
    ]
    listed = (await last.api.get("/api/bookings/")).text
    assert "telephone" not in listed

    await act(last, booking, "accept")
    assert await seen_by(last) == [offered, ("PENDING", "ACCEPTED", "pandit", "")]
    await act(last, booking, "cancel", reason="fell ill")
    cancelled = ("ACCEPTED", "CANCELLED", "pandit", "fell ill")
    assert (await seen_by(last))[-1] == (await seen_by(customer))[-1] == cancelled


async def test_the_last_to_refuse_sees_his_own_offer_and_no_earlier_one(people: People) -> None:
    customer, first = await people.customer(), await people.pandit("First Acharya")
    second = await people.pandit("Second Bhattarai")
    booking = await book(customer, first.service_id)
    for pandit in (first, second):
        (await act(pandit, booking, "reject", reason="telephone")).raise_for_status()
    seen = (await second.api.get(f"/api/bookings/{booking['id']}/")).raise_for_status().json()
    assert [(move["from_status"], move["to_status"]) for move in seen["history"]] == [
        (None, "PENDING"),
        ("PENDING", "PENDING"),
        ("PENDING", "FAILED"),
    ]
    assert "telephone" not in str(seen)


async def test_nobody_is_asked_to_cross_the_country(people: People) -> None:
    customer = await people.customer()
    first = await people.pandit("First Acharya")
    far = await people.pandit("Far Bhattarai")
    point = {"latitude": 26.81, "longitude": 87.28}
    dharan = {"area": "Chatara Line", "city": "Dharan", "address": "1", "point": point}
    (await far.api.patch("/api/pandits/me/", json={"location": dharan})).raise_for_status()

    at_home = await book(customer, first.service_id)
    await act(first, at_home, "reject")
    ended = (await customer.api.get(f"/api/bookings/{at_home['id']}/")).json()
    assert ended["status"] == "FAILED"

    online = await book(customer, first.service_id, service_location="ONLINE")
    await act(first, online, "reject")
    offered = (await customer.api.get(f"/api/bookings/{online['id']}/")).json()
    assert (offered["status"], offered["pandit"]["id"]) == ("PENDING", far.pandit_id)


async def test_the_circle_grows_until_somebody_is_found(people: People) -> None:
    customer, first = await people.customer(), await people.pandit("First Acharya")
    outside = await people.pandit("Outside Bhattarai", place=place_at(27.42, 85.03))
    booking = await book(customer, first.service_id)
    (await act(first, booking, "reject")).raise_for_status()
    offered = (await customer.api.get(f"/api/bookings/{booking['id']}/")).json()
    assert (offered["status"], offered["pandit"]["id"]) == ("PENDING", outside.pandit_id)


async def test_the_busy_ones_do_not_use_up_the_offers(people: People) -> None:
    customer, first = await people.customer(), await people.pandit("First Acharya")
    busy = [await people.pandit(f"Busy {number}") for number in range(5)]
    for pandit in busy:
        await book(await people.customer(), pandit.service_id)
    # Farther away, so he is the last of them all.
    free = await people.pandit("Free Upadhyaya", place=place_at(27.42, 85.03))
    booking = await book(customer, first.service_id)
    (await act(first, booking, "reject")).raise_for_status()
    offered = (await customer.api.get(f"/api/bookings/{booking['id']}/")).json()
    assert (offered["status"], offered["pandit"]["id"]) == ("PENDING", free.pandit_id)


async def test_all_of_a_circle_are_looked_at_and_those_who_have_no_time_by_one_query(
    people: People, monkeypatch: pytest.MonkeyPatch
) -> None:
    customer, first = await people.customer(), await people.pandit("First Acharya")
    # Of equal rank the older ones come later: he is the last of them all.
    free = await people.pandit("Free Upadhyaya")
    for number in range(5):
        busy = await people.pandit(f"Busy {number}")
        await book(await people.customer(), busy.service_id)
    monkeypatch.setattr(bookings, "_CANDIDATES", 2)
    engagements = MongoBookingRepository.engagements
    looked_at: list[str] = []

    async def noted(
        self: MongoBookingRepository, pandit_id: str, first: int, last: int
    ) -> tuple[Engagement, ...]:
        looked_at.append(pandit_id)
        return await engagements(self, pandit_id, first, last)

    booking = await book(customer, first.service_id)
    monkeypatch.setattr(MongoBookingRepository, "engagements", noted)
    (await act(first, booking, "reject")).raise_for_status()
    offered = (await customer.api.get(f"/api/bookings/{booking['id']}/")).json()
    assert (offered["status"], offered["pandit"]["id"]) == ("PENDING", free.pandit_id)
    assert set(looked_at) == {free.pandit_id}


@pytest.mark.parametrize(
    ("at", "minutes"), [("16:00", 120), ("13:00", 30), ("12:15", 15)], ids=lambda each: str(each)
)
@pytest.mark.parametrize("is_moved", [False, True])
async def test_silence_is_passed_on_while_there_is_time_for_another(
    people: People,
    server: RunningServer,
    clock: FakeClock,
    at: str,
    minutes: int,
    is_moved: bool,
) -> None:
    customer, first = await people.customer(), await people.pandit("First Acharya")
    second = await people.pandit("Second Bhattarai")
    # Today, so many hours after ten; or for another day, and then moved there.
    today = {"booking_date": "2026-11-22", "booking_time": at}
    booking = await book(customer, first.service_id, **({} if is_moved else today))
    if is_moved:
        assert booking["answer_by"] == "2026-11-22T22:00:00+05:45"
        booking = (await act(customer, booking, "reschedule", **today)).raise_for_status().json()
    until = datetime.fromisoformat(booking["answer_by"])
    assert until - clock.now() == timedelta(minutes=minutes)
    clock.advance(minutes=minutes)
    assert await server.services.bookings.pass_on_unanswered() == 1
    for person in (customer, second):
        await people.sign_in_again(person)
    offered = (await customer.api.get(f"/api/bookings/{booking['id']}/")).json()
    assert (offered["status"], offered["pandit"]["id"]) == ("PENDING", second.pandit_id)
    assert (await act(second, booking, "accept")).json()["status"] == "ACCEPTED"


@pytest.mark.parametrize("at", ["0८:00", "08:00\n", "٠٨:00", "24:00", "8:00", "08:00:00"])
async def test_a_time_is_two_and_two_plain_digits(people: People, at: str) -> None:
    customer, pandit = await people.customer(), await people.pandit()
    answer = await customer.api.post(
        "/api/bookings/", json=wish(pandit.service_id, booking_time=at)
    )
    assert (answer.status_code, answer.json()["errors"][0]["field"]) == (422, "booking_time")
    found = await customer.api.get("/api/pandits/", params={"date": WEDNESDAY, "time": at})
    assert found.status_code == 422


async def test_an_unanswered_booking_is_passed_on(
    people: People, server: RunningServer, clock: FakeClock
) -> None:
    customer, pandit = await people.customer(), await people.pandit()
    booking = await book(customer, pandit.service_id)
    assert await server.services.bookings.pass_on_unanswered() == 0
    clock.advance(hours=12, minutes=1)
    assert await server.services.bookings.pass_on_unanswered() == 1
    await people.sign_in_again(customer)
    found = (await customer.api.get(f"/api/bookings/{booking['id']}/")).json()
    assert found["status"] == "FAILED"


async def test_the_samagri_is_there_and_the_fees_follow(people: People) -> None:
    customer, pandit = await people.customer(), await people.pandit()
    booking = await book(customer, pandit.service_id)
    path = f"/api/bookings/{booking['id']}/samagri/"
    listed = (await customer.api.get(path)).raise_for_status().json()
    lines = {line["item"]["id"]: line for line in listed["results"]}
    assert len(lines) == len(listed["results"]), "one line for each item"
    types = [line["type"] for line in listed["results"]]
    assert types == sorted(types, key=["REQUIRED", "ESSENTIAL", "OPTIONAL"].index)
    for line in listed["results"]:
        assert line["can_remove"] is (line["type"] == "OPTIONAL")
        assert line["confidence"] == (0.8 if line["type"] == "OPTIONAL" else 1.0)
        assert line["auto_added"]
        assert line["reason"]
        assert line["reason_ne"] != line["reason"]
        assert line["price_at_booking"] > 0
    assert listed["samagri_fee"] == sum(each["price_at_booking"] for each in listed["results"])

    haldi = next(line for line in lines.values() if line["item"]["name"].startswith("Haldi"))
    assert (haldi["quantity"], haldi["unit"], haldi["type"]) == (100, "g", "ESSENTIAL")
    more = await customer.api.patch(f"{path}{haldi['item']['id']}/", json={"quantity": 200})
    assert more.json()["samagri_fee"] == listed["samagri_fee"] + haldi["price_at_booking"]
    assert haldi["min_quantity"] == 100
    for less in ({"quantity": 99}, {"quantity": 0.001, "unit": "kg"}):
        for ask in (customer.api.patch, customer.api.put):
            refused = await ask(f"{path}{haldi['item']['id']}/", json=less)
            assert refused.status_code == 422
            (fault,) = refused.json()["errors"]
            assert (fault["field"], fault["code"]) == ("quantity", "less-than-needed")
    refused = await customer.api.delete(f"{path}{haldi['item']['id']}/")
    assert (refused.status_code, refused.json()["type"]) == (409, "item-required")

    optional = next(line for line in lines.values() if line["type"] == "OPTIONAL")
    without = await customer.api.delete(f"{path}{optional['item']['id']}/")
    assert without.status_code == 200
    again = (await customer.api.post(path, json={})).raise_for_status().json()
    ids = [line["item"]["id"] for line in again["results"]]
    assert optional["item"]["id"] not in ids, "what was declined stays away"
    assert again["total_fee"] == again["service_fee"] + again["samagri_fee"]

    items = (await customer.api.get("/api/samagri/items/?limit=100")).json()["results"]
    own = next(item for item in items if item["id"] not in lines)
    added = await customer.api.put(f"{path}{own['id']}/", json={"quantity": 1})
    line = next(each for each in added.json()["results"] if each["item"]["id"] == own["id"])
    assert (line["user_added"], line["auto_added"], line["can_remove"]) == (True, False, True)
    now = (await customer.api.get(f"/api/bookings/{booking['id']}/")).json()
    assert now["total_fee"] == added.json()["total_fee"]

    assert (await pandit.api.get(path)).status_code == 200
    assert (await pandit.api.delete(f"{path}{own['id']}/")).status_code == 403
    await act(pandit, booking, "accept")
    later = (await customer.api.delete(f"{path}{own['id']}/")).raise_for_status().json()
    assert later["total_fee"] == added.json()["total_fee"], "the pandit has to agree"
    assert later["proposal"]["total_fee"] < later["total_fee"]


async def test_edits_of_one_list_at_the_same_time_lose_nothing(people: People) -> None:
    customer, pandit = await people.customer(), await people.pandit()
    booking = await book(customer, pandit.service_id)
    path = f"/api/bookings/{booking['id']}/samagri/"
    lines = (await customer.api.get(path)).json()["results"]
    chosen = {line["item"]["id"]: line["quantity"] + 7 for line in lines[:4]}
    answers = await asyncio.gather(
        *(
            customer.api.patch(f"{path}{item}/", json={"quantity": quantity})
            for item, quantity in chosen.items()
        )
    )
    assert {answer.status_code for answer in answers} == {200}
    final = (await customer.api.get(path)).json()
    kept = {line["item"]["id"]: line["quantity"] for line in final["results"]}
    assert {item: kept[item] for item in chosen} == chosen


async def test_what_a_client_says_of_money_or_state_is_refused(people: People) -> None:
    customer, pandit = await people.customer(), await people.pandit()
    for field, value in (
        ("service_fee", 1),
        ("total_fee", 1),
        ("status", "ACCEPTED"),
        ("user_id", "another"),
        ("commission_amount", 0),
        ("discount", 5),
    ):
        answer = await customer.api.post(
            "/api/bookings/", json=wish(pandit.service_id, **{field: value})
        )
        assert answer.status_code == 422
        assert answer.json()["errors"] == [
            {"field": field, "code": "unknown", "message": "There is no such field."}
        ]


async def test_times_that_cannot_be_booked_say_why(people: People) -> None:
    customer, pandit = await people.customer(), await people.pandit()
    cases = {
        ("2026-11-22", "09:00"): "in-the-past",
        ("2026-11-22", "11:00"): "too-soon",
        ("2026-11-25", "10:05"): "not-quarter-hour",
        ("2026-11-25", "05:00"): "outside-hours",
        ("2026-11-25", "17:00"): "outside-hours",
        ("2026-11-28", "10:00"): "outside-hours",  # Saturday is the holiday
        ("2028-11-27", "10:00"): "too-far",
    }
    for (day, at), code in cases.items():
        answer = await customer.api.post(
            "/api/bookings/", json=wish(pandit.service_id, booking_date=day, booking_time=at)
        )
        assert answer.status_code == 422, (day, at, answer.text)
        assert [each["code"] for each in answer.json()["errors"]] == [code]


async def test_a_pandit_who_is_away_is_not_booked_but_keeps_his_bookings(people: People) -> None:
    customer, pandit = await people.customer(), await people.pandit()
    booking = await book(customer, pandit.service_id)
    await act(pandit, booking, "accept")
    (await pandit.api.patch("/api/pandits/me/", json={"is_available": False})).raise_for_status()
    other = await customer.api.post(
        "/api/bookings/", json=wish(pandit.service_id, booking_time="14:00")
    )
    assert other.status_code == 404
    kept = (await customer.api.get(f"/api/bookings/{booking['id']}/")).json()
    assert kept["status"] == "ACCEPTED"


async def test_a_pandit_who_lost_his_approval_accepts_nothing_but_holds_what_he_accepted(
    people: People, clock: FakeClock
) -> None:
    customer, pandit, admin = (
        await people.customer(),
        await people.pandit(),
        await people.admin(),
    )
    accepted = await book(customer, pandit.service_id)
    await act(pandit, accepted, "accept")
    waiting = await book(customer, pandit.service_id, booking_time="14:00")
    verdict = {"decision": "reject", "notes": "The licence has run out"}
    path = f"/api/admin/pandits/{pandit.pandit_id}/verify/"
    (await admin.api.post(path, json=verdict)).raise_for_status()

    refused = await act(pandit, waiting, "accept")
    assert (refused.status_code, refused.json()["type"]) == (403, "forbidden")
    left = (await customer.api.get(f"/api/bookings/{waiting['id']}/")).json()
    assert left["status"] == "FAILED", "nobody else is there to be asked"

    clock.advance(days=2, hours=23, minutes=30)
    await people.sign_in_again(pandit)
    assert (await act(pandit, accepted, "start")).json()["status"] == "IN_PROGRESS"
    assert (await act(pandit, accepted, "complete")).json()["status"] == "COMPLETED"


async def test_an_idempotency_key_books_once(people: People) -> None:
    customer, pandit = await people.customer(), await people.pandit()
    headers = {"Idempotency-Key": "booking-key-0001"}
    first = await customer.api.post("/api/bookings/", json=wish(pandit.service_id), headers=headers)
    again = await customer.api.post("/api/bookings/", json=wish(pandit.service_id), headers=headers)
    assert first.status_code == again.status_code == 201
    assert first.json() == again.json()
    assert again.headers["Idempotent-Replayed"] == "true"
    other = await customer.api.post(
        "/api/bookings/", json=wish(pandit.service_id, booking_time="14:00"), headers=headers
    )
    assert (other.status_code, other.json()["type"]) == (422, "idempotency-key-reused")
    failed = await customer.api.post(
        "/api/bookings/", json=wish(pandit.service_id), headers={"Idempotency-Key": "another-key"}
    )
    assert failed.status_code == 409
    listed = (await customer.api.get("/api/bookings/")).json()
    assert len(listed["results"]) == 1


async def test_a_request_whose_answer_was_lost_in_a_crash_is_not_booked_twice(
    people: People, server: RunningServer
) -> None:
    customer, pandit = await people.customer(), await people.pandit()
    headers = {"Idempotency-Key": "lost-answer-0001"}
    first = await customer.api.post("/api/bookings/", json=wish(pandit.service_id), headers=headers)
    # As after a crash between the booking and the note of its answer.
    assert await server.store.collection("idempotency").delete_many({}) == 1
    again = await customer.api.post("/api/bookings/", json=wish(pandit.service_id), headers=headers)
    assert again.status_code == 201
    assert again.json()["id"] == first.json()["id"]
    other = await people.customer("Another Rai")
    taken = await other.api.post("/api/bookings/", json=wish(pandit.service_id), headers=headers)
    assert (taken.status_code, taken.json()["type"]) == (409, "slot-taken"), "a key is its user's"


@pytest.mark.parametrize("since", ["he takes no more bookings", "it is too soon by now"])
async def test_a_request_whose_answer_was_lost_finds_its_booking_whatever_has_changed_since(
    people: People, server: RunningServer, clock: FakeClock, since: str
) -> None:
    customer, pandit = await people.customer(), await people.pandit()
    headers = {"Idempotency-Key": "lost-answer-0002"}
    today = wish(pandit.service_id, booking_date="2026-11-22", booking_time="13:00")
    first = await customer.api.post("/api/bookings/", json=today, headers=headers)
    assert await server.store.collection("idempotency").delete_many({}) == 1
    if since.startswith("he"):
        body = {"is_available": False}
        (await pandit.api.patch("/api/pandits/me/", json=body)).raise_for_status()
    else:
        clock.advance(minutes=90)
        await people.sign_in_again(customer)
    again = await customer.api.post("/api/bookings/", json=today, headers=headers)
    assert again.status_code == 201
    assert again.json()["id"] == first.raise_for_status().json()["id"]


async def test_rescheduling_asks_the_other_side_once_accepted(people: People) -> None:
    customer, pandit = await people.customer(), await people.pandit()
    booking = await book(customer, pandit.service_id)
    time = {"booking_date": "2026-11-26", "booking_time": "09:00"}
    assert (await act(pandit, booking, "reschedule", **time)).status_code == 403
    moved = (await act(customer, booking, "reschedule", **time)).raise_for_status().json()
    assert (moved["booking_date"], moved["booking_time"]) == ("2026-11-26", "09:00")
    assert moved["total_fee"] == booking["total_fee"]

    await act(pandit, booking, "accept")
    later = {"booking_date": "2026-11-27", "booking_time": "09:00"}
    proposed = (await act(customer, booking, "reschedule", **later)).raise_for_status().json()
    assert proposed["booking_date"] == "2026-11-26"
    assert proposed["proposal"]["by"] == "user"
    agreed = (await act(pandit, booking, "reschedule", **later)).raise_for_status().json()
    assert (agreed["booking_date"], agreed["proposal"]) == ("2026-11-27", None)
    assert (await act(pandit, booking, "reschedule", decline=True)).status_code == 409


async def test_a_pandit_accepts_the_time_that_he_has_seen(people: People) -> None:
    pandit, customer = await people.pandit(), await people.customer()
    booking = await book(customer, pandit.service_id)
    later = {"booking_date": "2026-11-26", "booking_time": "14:00"}
    moved = (await act(customer, booking, "reschedule", **later)).raise_for_status().json()
    unseen = await act(pandit, booking, "accept", starts_at=booking["starts_at"])
    assert (unseen.status_code, unseen.json()["type"]) == (409, "proposal-changed")
    vague = await act(pandit, booking, "accept", starts_at="2026-11-26T14:00:00")
    assert vague.status_code == 422
    same = datetime.fromisoformat(moved["starts_at"]).astimezone(UTC)
    seen = await act(pandit, booking, "accept", starts_at=same.isoformat())
    assert seen.raise_for_status().json()["status"] == "ACCEPTED"


async def test_a_proposed_time_and_its_refusal_are_told_once_to_the_other_side(
    people: People,
) -> None:
    customer, pandit = await people.customer(), await people.pandit()
    booking = await book(customer, pandit.service_id)
    await act(pandit, booking, "accept")
    later = {"booking_date": "2026-11-27", "booking_time": "09:00"}
    for _ in range(2):
        (await act(customer, booking, "reschedule", **later)).raise_for_status()
    listed = (await pandit.api.get("/api/notifications/")).raise_for_status().json()["results"]
    assert [each["notification_type"] for each in listed][:2] == [
        "BOOKING_TIME_PROPOSED",
        "BOOKING_CREATED",
    ]
    assert "27 Nov 2026, 9:00 am instead of 25 Nov 2026, 10:00 am" in listed[0]["message"]
    assert "२०८३ मङ्सिर ११, बिहान ९:००" in listed[0]["message_ne"]
    assert await kinds(customer) == ["BOOKING_ACCEPTED"], "nobody is told of his own wish"

    (await act(pandit, booking, "reschedule", decline=True)).raise_for_status()
    listed = (await customer.api.get("/api/notifications/")).raise_for_status().json()["results"]
    assert [each["notification_type"] for each in listed] == [
        "BOOKING_TIME_DECLINED",
        "BOOKING_ACCEPTED",
    ]
    assert "27 Nov 2026, 9:00 am" in listed[0]["message"]
    assert listed[0]["booking"] == booking["id"]
    assert (await kinds(pandit)).count("BOOKING_TIME_DECLINED") == 0


async def test_a_proposed_time_is_held_until_it_is_answered_or_its_time_has_run_out(
    people: People, server: RunningServer, clock: FakeClock
) -> None:
    customer, rival, pandit = (
        await people.customer(),
        await people.customer("Gita Rai"),
        await people.pandit(),
    )
    booking = await book(customer, pandit.service_id)
    await act(pandit, booking, "accept")
    later = {"booking_date": "2026-11-27", "booking_time": "09:00"}
    proposed = (await act(pandit, booking, "reschedule", **later)).raise_for_status().json()
    assert proposed["proposal"]["answer_by"] == "2026-11-23T10:00:00+05:45"
    there = wish(pandit.service_id, **later)
    assert (await rival.api.post("/api/bookings/", json=there)).status_code == 409
    elsewhere = {"booking_date": "2026-11-26", "booking_time": "07:00"}
    await act(pandit, booking, "reschedule", **elsewhere)
    taken = await rival.api.post("/api/bookings/", json=there)
    assert taken.status_code == 201, "what is proposed no more is free"
    refused = await act(pandit, booking, "reschedule", **later)
    assert (refused.status_code, refused.json()["type"]) == (409, "slot-taken")
    clock.advance(hours=24)
    for person in (customer, rival, pandit):
        await people.sign_in_again(person)
    assert await server.services.bookings.end_unanswered_proposals() == 1
    assert await server.services.bookings.end_unanswered_proposals() == 0
    shown = (await customer.api.get(f"/api/bookings/{booking['id']}/")).json()
    assert (shown["proposal"], shown["booking_date"]) == (None, WEDNESDAY)
    assert (await kinds(customer))[0] == (await kinds(pandit))[0] == "BOOKING_TIME_LAPSED"
    there = wish(pandit.service_id, **elsewhere)
    assert (await rival.api.post("/api/bookings/", json=there)).status_code == 201


async def test_a_new_time_keeps_the_length_that_was_booked(people: People) -> None:
    customer, pandit = await people.customer(), await people.pandit()
    booking = await book(customer, pandit.service_id)
    path = f"/api/services/{pandit.service_id}/"
    (await pandit.api.patch(path, json={"duration_minutes": 300})).raise_for_status()
    time = {"booking_date": "2026-11-26", "booking_time": "09:00"}
    moved = (await act(customer, booking, "reschedule", **time)).raise_for_status().json()
    assert _length(moved) == _length(booking)
    await act(pandit, booking, "accept")
    (await pandit.api.delete(path)).raise_for_status()
    later = {"booking_date": "2026-11-27", "booking_time": "09:00"}
    (await act(customer, booking, "reschedule", **later)).raise_for_status()
    agreed = (await act(pandit, booking, "reschedule", **later)).raise_for_status().json()
    assert (agreed["booking_date"], _length(agreed)) == ("2026-11-27", _length(booking))


async def test_a_booking_passed_on_meanwhile_is_not_moved_by_the_other_pandits_hours(
    people: People, server: RunningServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    customer, first = await people.customer(), await people.pandit("First Acharya")
    second = await people.pandit("Second Bhattarai")
    booking = await book(customer, first.service_id)
    service = server.services.bookings
    look = service._span_of

    async def look_slowly(*arguments: Any) -> Any:
        span = await look(*arguments)
        (await act(first, booking, "reject")).raise_for_status()
        return span

    monkeypatch.setattr(service, "_span_of", look_slowly)
    time = {"booking_date": "2026-11-26", "booking_time": "09:00"}
    refused = await act(customer, booking, "reschedule", **time)
    assert (refused.status_code, refused.json()["type"]) == (409, "concurrent-change")
    kept = (await second.api.get(f"/api/bookings/{booking['id']}/")).json()
    assert kept["starts_at"] == booking["starts_at"]


@pytest.mark.parametrize("day", ["0001-01-01", "9999-12-31"])
async def test_the_ends_of_the_calendar_cannot_be_booked(people: People, day: str) -> None:
    customer, pandit = await people.customer(), await people.pandit()
    answer = await customer.api.post(
        "/api/bookings/", json=wish(pandit.service_id, booking_date=day, booking_time="00:00")
    )
    assert (answer.status_code, answer.json()["type"]) == (422, "not-bookable")


def _length(booking: dict[str, Any]) -> timedelta:
    ends_at, starts_at = (
        datetime.fromisoformat(booking[name]) for name in ("ends_at", "starts_at")
    )
    return ends_at - starts_at


async def test_lists_are_paged_and_filtered(people: People) -> None:
    customer, pandit = await people.customer(), await people.pandit()
    for hour in ("06:00", "09:00", "12:00", "15:00"):
        await book(customer, pandit.service_id, booking_time=hour, samagri_required=False)
    first = (await customer.api.get("/api/bookings/?limit=3")).json()
    assert len(first["results"]) == 3
    rest = (await customer.api.get(f"/api/bookings/?limit=3&cursor={first['next']}")).json()
    assert (len(rest["results"]), rest["next"]) == (1, None)
    ids = {each["id"] for each in first["results"] + rest["results"]}
    assert len(ids) == 4
    tampered = await customer.api.get(f"/api/bookings/?cursor={first['next'][:-2]}AA")
    assert (tampered.status_code, tampered.json()["errors"][0]["code"]) == (422, "cursor")
    elsewhere = await customer.api.get(f"/api/bookings/?status=PENDING&cursor={first['next']}")
    assert elsewhere.status_code == 422, "a cursor belongs to its list and filters"
    none = (await customer.api.get("/api/bookings/?status=COMPLETED")).json()
    assert none == {"results": [], "next": None}
    dated = (await customer.api.get("/api/bookings/?from=2026-11-25&to=2026-11-25")).json()
    assert len(dated["results"]) == 4
    for query in ("limit=0", "limit=101", "limit=x", "status=NONE", "from=yesterday", "who=me"):
        assert (await customer.api.get(f"/api/bookings/?{query}")).status_code == 422


async def test_bookings_are_never_deleted(people: People) -> None:
    customer, pandit = await people.customer(), await people.pandit()
    booking = await book(customer, pandit.service_id)
    answer = await customer.api.delete(f"/api/bookings/{booking['id']}/")
    assert answer.status_code == 405
    assert "GET" in answer.headers["Allow"]
    assert answer.json()["type"] == "method-not-allowed"


async def test_a_path_without_its_slash_is_served_alike(people: People) -> None:
    customer, pandit = await people.customer(), await people.pandit()
    answer = await customer.api.post("/api/bookings", json=wish(pandit.service_id))
    assert answer.status_code == 201
    found = await customer.api.get(f"/api/bookings/{answer.json()['id']}")
    assert found.status_code == 200


async def test_refusals_speak_the_readers_language(people: People) -> None:
    customer, pandit = await people.customer(), await people.pandit()
    await customer.api.patch("/api/auth/me/", json={"language": "ne"})
    answer = await customer.api.post(
        "/api/bookings/", json=wish(pandit.service_id, booking_time="05:00")
    )
    assert answer.headers["Content-Type"].startswith("application/problem+json")
    problem = answer.json()
    assert problem["type"] == "not-bookable"
    texts = problem["title"] + problem["detail"] + problem["errors"][0]["message"]
    assert any("\u0900" <= letter <= "\u097f" for letter in texts)
