"""A booking in five steps: its slot is held meanwhile, and nobody else hears of it."""

from __future__ import annotations

import asyncio
import dataclasses
from datetime import timedelta
from typing import Any

import httpx
import pytest

from server.app import RunningServer
from server.settings import Settings
from tests.integration.test_bookings import book, kinds, wish
from tests.support import FakeClock, People, Person

WEDNESDAY = "2026-11-25"
STEP = "/api/booking-wizard/create-step/"
DETAILS = {
    "service_location": "HOME",
    "area": "Baneshwor",
    "city": "Kathmandu",
    "address": "House 7",
    "samagri_required": True,
}


async def step(person: Person, name: str, **body: Any) -> httpx.Response:
    return await person.api.post(STEP, json={"booking_step": name, **body})


async def begin(person: Person, service_id: str) -> str:
    answer = await step(person, "service_selection", service_id=service_id)
    assert answer.status_code == 200, answer.text
    assert answer.json()["status"] == "DRAFT"
    assert answer.json()["booking_step"] == "datetime_selection"
    return str(answer.json()["booking_id"])


async def hold(
    person: Person, service_id: str, at: str = "10:00", day: str = WEDNESDAY, **more: Any
) -> dict[str, Any]:
    draft = await begin(person, service_id)
    answer = await step(
        person, "datetime_selection", booking_id=draft, booking_date=day, booking_time=at, **more
    )
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.json()
    return found


async def prepare(person: Person, service_id: str, method: str = "CASH", **more: Any) -> str:
    """All steps but the last."""
    draft = str((await hold(person, service_id, **more))["booking_id"])
    details = await step(person, "details", booking_id=draft, **DETAILS)
    assert details.status_code == 200, details.text
    paid = await step(person, "payment", booking_id=draft, payment_method=method)
    assert paid.status_code == 200, paid.text
    assert paid.json()["booking_step"] == "confirmation"
    return draft


async def is_free(person: Person, service_id: str, at: str = "10:00", **more: str) -> bool:
    query = {"service_id": service_id, "date": WEDNESDAY, **more}
    answer = await person.api.get("/api/booking-slots/available-slots/", params=query)
    slots = answer.raise_for_status().json()["slots"]
    (slot,) = [each for each in slots if each["time"] == at]
    return bool(slot["available"])


async def test_five_steps_make_a_booking(people: People) -> None:
    customer, pandit = await people.customer(), await people.pandit()
    held = await hold(customer, pandit.service_id)
    draft = held["booking_id"]
    assert held["held_until"] == "2026-11-22T10:10:00+05:45"
    assert (held["date_bs"], held["booking_time"]) == ("2083-08-09", "10:00")
    assert held["total_fee"] == 250_000
    assert [tier["share_percent"] for tier in held["refund_policy"]] == [100, 75, 50]
    detailed = (await step(customer, "details", booking_id=draft, **DETAILS)).json()
    assert detailed["location"]["address"] == "House 7"
    assert detailed["samagri_fee"] > 0
    listed = (await customer.api.get(f"/api/bookings/{draft}/samagri/")).json()
    assert listed["can_edit"]
    assert listed["total_fee"] == detailed["total_fee"]
    await step(customer, "payment", booking_id=draft, payment_method="CASH")
    assert await kinds(pandit) == ["PANDIT_VERIFIED"], "nobody hears of what is not finished"
    confirmed = (await step(customer, "confirmation", booking_id=draft)).raise_for_status().json()
    assert confirmed["status"] == "PENDING"
    booking = confirmed["booking"]
    assert booking["id"] == draft
    assert booking["total_fee"] == detailed["total_fee"]
    assert [move["from_status"] for move in booking["history"]] == [None]
    assert await kinds(pandit) == ["BOOKING_CREATED", "PANDIT_VERIFIED"]
    again = (await step(customer, "confirmation", booking_id=draft)).raise_for_status().json()
    assert again["booking"]["id"] == draft
    assert await kinds(pandit) == ["BOOKING_CREATED", "PANDIT_VERIFIED"]
    late = await step(customer, "payment", booking_id=draft, payment_method="CASH")
    assert (late.status_code, late.json()["state"]) == (409, "PENDING")


async def test_a_draft_is_on_no_list_and_in_no_place_but_its_own(
    people: People, server: RunningServer
) -> None:
    customer, pandit, admin = (
        await people.customer(),
        await people.pandit(),
        await people.admin(),
    )
    draft = await prepare(customer, pandit.service_id)
    for person in (customer, pandit, admin):
        assert (await person.api.get("/api/bookings/")).json()["results"] == []
        assert (await person.api.get(f"/api/bookings/{draft}/")).status_code == 404
    for action in ("accept", "reject", "start", "complete", "cancel", "reschedule"):
        for person in (customer, pandit):
            answer = await person.api.post(f"/api/bookings/{draft}/{action}/", json={})
            assert answer.status_code in (403, 404, 422), (action, answer.text)
    mine = (await customer.api.get("/api/booking-wizard/")).json()["results"]
    assert [each["booking_id"] for each in mine] == [draft]
    past = await server.store.collection("bookings").find({"user_id": customer.user_id}, limit=10)
    assert past == []


async def test_others_see_the_slot_taken_and_not_by_whom(people: People) -> None:
    customer, rival, pandit = (
        await people.customer(),
        await people.customer("Gita Rai"),
        await people.pandit(),
    )
    draft = await prepare(customer, pandit.service_id)
    assert not await is_free(rival, pandit.service_id)
    assert not await is_free(rival, pandit.service_id, exclude_booking=draft)
    assert await is_free(customer, pandit.service_id, exclude_booking=draft)
    lost = await rival.api.post("/api/bookings/", json=wish(pandit.service_id))
    assert (lost.status_code, lost.json()["type"]) == (409, "slot-taken")
    for path in (f"/api/booking-wizard/{draft}/", f"/api/bookings/{draft}/samagri/"):
        assert (await rival.api.get(path)).status_code == 404
        assert (await pandit.api.get(path)).status_code in (403, 404)
    for name, body in (
        ("datetime_selection", {"booking_date": WEDNESDAY, "booking_time": "12:00"}),
        ("details", DETAILS),
        ("payment", {"payment_method": "CASH"}),
        ("confirmation", {}),
        ("service_selection", {"service_id": pandit.service_id}),
    ):
        assert (await step(rival, name, booking_id=draft, **body)).status_code == 404
    assert (await rival.api.delete(f"/api/booking-wizard/{draft}/")).status_code == 404
    assert (await step(customer, "confirmation", booking_id=draft)).json()["status"] == "PENDING"


async def test_each_step_names_what_it_lacks(people: People) -> None:
    customer, pandit = await people.customer(), await people.pandit()
    draft = await begin(customer, pandit.service_id)

    async def faults(name: str, **body: Any) -> set[tuple[str, str]]:
        answer = await step(customer, name, **body)
        assert answer.status_code == 422, answer.text
        assert answer.headers["Content-Type"].startswith("application/problem+json")
        return {(each["field"], each["code"]) for each in answer.json()["errors"]}

    assert await faults("service_selection") == {("service_id", "required")}
    assert await faults("elsewhere") == {("booking_step", "choice")}
    assert await faults("confirmation") == {("booking_id", "required")}
    assert await faults("details", booking_id=draft, **DETAILS) == {
        ("booking_step", "step-missing")
    }
    assert await faults("confirmation", booking_id=draft) == {("booking_step", "step-missing")}
    assert await faults("datetime_selection", booking_id=draft) == {
        ("booking_date", "required"),
        ("booking_time", "required"),
    }
    when = {"booking_id": draft, "booking_date": WEDNESDAY, "booking_time": "10:00"}
    late = {**when, "booking_time": "23:00"}
    assert await faults("datetime_selection", **late) == {("booking_time", "outside-hours")}
    never = {**when, "recurrence": {"frequency": "weekly"}}
    assert await faults("datetime_selection", **never) == {("recurrence.count", "choice")}
    await step(customer, "datetime_selection", **when)
    assert await faults("payment", booking_id=draft, payment_method="CASH") == {
        ("booking_step", "step-missing")
    }
    homeless = {**DETAILS, "address": " "}
    assert await faults("details", booking_id=draft, **homeless) == {("address", "address-needed")}
    assert await faults("details", booking_id=draft) == {("service_location", "required")}
    await step(customer, "details", booking_id=draft, **DETAILS)
    assert await faults("payment", booking_id=draft) == {("payment_method", "required")}
    assert await faults("payment", booking_id=draft, payment_method="GOLD") == {
        ("payment_method", "choice")
    }


async def test_a_hold_ends_by_itself_and_work_prolongs_it_to_a_bound(
    people: People, server: RunningServer, clock: FakeClock
) -> None:
    customer, rival, pandit = (
        await people.customer(),
        await people.customer("Gita Rai"),
        await people.pandit(),
    )
    draft = await prepare(customer, pandit.service_id)
    until = ""
    for _ in range(4):
        clock.advance(minutes=9)
        for person in (customer, rival):
            await people.sign_in_again(person)
        renewed = await customer.api.post(f"/api/booking-wizard/{draft}/renew/", json={})
        until = renewed.raise_for_status().json()["held_until"]
    assert until == "2026-11-22T10:45:00+05:45", "the bound"
    assert await server.services.drafts.end_lapsed() == 0
    clock.advance(minutes=9)
    gone = await step(customer, "confirmation", booking_id=draft)
    assert gone.status_code == 404, "it has lapsed, whether or not it was cleared away yet"
    assert (await customer.api.get("/api/booking-wizard/")).json()["results"] == []
    assert await server.services.drafts.end_lapsed() == 1
    assert await server.services.drafts.end_lapsed() == 0
    assert await is_free(rival, pandit.service_id)
    assert (await book(rival, pandit.service_id))["status"] == "PENDING"
    left = await server.store.collection("bookings").find({"drafter_id": {"$gt": ""}}, limit=9)
    assert left == []


async def test_a_draft_may_be_dropped_and_another_time_frees_the_one_before(
    people: People,
) -> None:
    customer, pandit = await people.customer(), await people.pandit()
    draft = (await hold(customer, pandit.service_id, "07:00"))["booking_id"]
    moved = await step(
        customer,
        "datetime_selection",
        booking_id=draft,
        booking_date=WEDNESDAY,
        booking_time="13:00",
    )
    assert moved.json()["booking_time"] == "13:00"
    assert await is_free(customer, pandit.service_id, "07:00")
    assert not await is_free(customer, pandit.service_id, "13:00")
    dropped = await customer.api.delete(f"/api/booking-wizard/{draft}/")
    assert dropped.status_code == 204
    assert await is_free(customer, pandit.service_id, "13:00")
    assert (await customer.api.delete(f"/api/booking-wizard/{draft}/")).status_code == 404


async def test_another_service_gives_the_slot_back(people: People) -> None:
    customer, pandit = await people.customer(), await people.pandit()
    other = await people.pandit("Keshav Joshi")
    draft = await prepare(customer, pandit.service_id)
    changed = await step(
        customer, "service_selection", booking_id=draft, service_id=other.service_id
    )
    assert changed.json()["booking_step"] == "datetime_selection"
    assert changed.json()["pandit"] == other.pandit_id
    assert changed.json()["held_until"] is None
    assert await is_free(customer, pandit.service_id)


async def test_nobody_holds_more_slots_than_allowed_however_fast_he_is(people: People) -> None:
    customer, pandit = await people.customer(), await people.pandit()
    answers = await asyncio.gather(
        *(step(customer, "service_selection", service_id=pandit.service_id) for _ in range(8))
    )
    statuses = sorted(answer.status_code for answer in answers)
    assert statuses == [200] * 3 + [409] * 5
    refused = next(answer for answer in answers if answer.status_code == 409).json()
    assert refused["type"] == "too-many-drafts"
    mine = (await customer.api.get("/api/booking-wizard/")).json()["results"]
    assert len(mine) == 3
    await customer.api.delete(f"/api/booking-wizard/{mine[0]['booking_id']}/")
    await begin(customer, pandit.service_id)


@pytest.mark.timeout(120)
async def test_of_fifty_who_race_for_one_slot_one_gets_it(people: People) -> None:
    pandit = await people.pandit()
    racers = [await people.customer(f"Racer {number}") for number in range(50)]
    drafts = await asyncio.gather(*(begin(racer, pandit.service_id) for racer in racers))

    async def race(racer: Person, draft: str) -> httpx.Response:
        return await step(
            racer,
            "datetime_selection",
            booking_id=draft,
            booking_date=WEDNESDAY,
            booking_time="10:00",
        )

    answers = await asyncio.gather(*map(race, racers, drafts))
    won = [place for place, answer in enumerate(answers) if answer.status_code == 200]
    assert len(won) == 1
    lost = {answer.json()["type"] for answer in answers if answer.status_code != 200}
    assert lost == {"slot-taken"}
    winner, draft = racers[won[0]], drafts[won[0]]
    await step(winner, "details", booking_id=draft, **{**DETAILS, "samagri_required": False})
    await step(winner, "payment", booking_id=draft, payment_method="CASH")
    # Fifty clicks of the winner, and everybody else once more.
    confirmed = await asyncio.gather(
        *(step(winner, "confirmation", booking_id=draft) for _ in range(25)),
        *map(race, racers, drafts),
    )
    assert {answer.status_code for answer in confirmed[:25]} == {200}
    assert {answer.json()["booking"]["id"] for answer in confirmed[:25]} == {draft}
    assert {answer.status_code for answer in confirmed[25:]} == {409}
    listed = (await pandit.api.get("/api/bookings/")).json()["results"]
    assert [each["id"] for each in listed] == [draft]
    assert (await kinds(pandit)).count("BOOKING_CREATED") == 1


async def test_prices_stand_from_the_moment_in_which_the_time_is_held(people: People) -> None:
    customer, pandit = await people.customer(), await people.pandit()
    draft = await prepare(customer, pandit.service_id)
    dearer = {"price": 900_000, "duration_minutes": 180}
    (await pandit.api.patch(f"/api/services/{pandit.service_id}/", json=dearer)).raise_for_status()
    booking = (await step(customer, "confirmation", booking_id=draft)).json()["booking"]
    assert booking["service_fee"] == 250_000
    assert booking["ends_at"] == "2026-11-25T12:00:00+05:45"


async def test_a_pandit_who_takes_no_more_bookings_gets_none(people: People) -> None:
    customer, pandit = await people.customer(), await people.pandit()
    draft = await prepare(customer, pandit.service_id)
    await pandit.api.patch("/api/pandits/me/", json={"is_available": False})
    assert (await step(customer, "confirmation", booking_id=draft)).status_code == 404
    await pandit.api.patch("/api/pandits/me/", json={"is_available": True})
    hours = (await pandit.api.get("/api/pandits/me/availability/")).json()
    away = [{"date": WEDNESDAY, "intervals": [], "note": "away"}]
    await pandit.api.put(
        "/api/pandits/me/availability/",
        json={
            "weekly": [
                {"weekday": each["weekday"], "intervals": each["intervals"]}
                for each in hours["weekly"]
            ],
            "exceptions": away,
        },
    )
    refused = await step(customer, "confirmation", booking_id=draft)
    assert (refused.status_code, refused.json()["type"]) == (422, "not-bookable")


async def test_the_samagri_is_reviewed_before_anything_is_booked(people: People) -> None:
    customer, pandit = await people.customer(), await people.pandit()
    draft = await prepare(customer, pandit.service_id)
    path = f"/api/bookings/{draft}/samagri/"
    before = (await customer.api.get(path)).json()
    more = await customer.api.patch(f"{path}rice/", json={"quantity": 1000})
    assert more.json()["total_fee"] > before["total_fee"]
    assert (await customer.api.delete(f"{path}ghee/")).status_code == 409
    fewer = (await customer.api.delete(f"{path}dry-fruits/")).raise_for_status().json()
    assert "dry-fruits" not in {line["item"]["id"] for line in fewer["results"]}
    same = (await customer.api.post(path, json={})).raise_for_status().json()
    assert "dry-fruits" not in {line["item"]["id"] for line in same["results"]}
    await step(customer, "details", booking_id=draft, **{**DETAILS, "notes": "Ten people"})
    booking = (await step(customer, "confirmation", booking_id=draft)).json()["booking"]
    assert (booking["total_fee"], booking["notes"]) == (fewer["total_fee"], "Ten people")
    lines = (await customer.api.get(path)).json()["results"]
    (rice,) = [line for line in lines if line["item"]["id"] == "rice"]
    assert rice["quantity"] == 1000


async def test_paid_in_advance_its_pandit_hears_of_it_when_it_is_paid(people: People) -> None:
    customer, pandit = await people.customer(), await people.pandit()
    draft = await prepare(customer, pandit.service_id, method="WALLET")
    booking = (await step(customer, "confirmation", booking_id=draft)).json()["booking"]
    assert booking["pay_by"] == "2026-11-22T10:15:00+05:45"
    assert await kinds(pandit) == ["PANDIT_VERIFIED"]


async def test_a_repeated_puja_is_planned_when_its_first_day_is_confirmed(people: People) -> None:
    customer, pandit = await people.customer(), await people.pandit()
    rule = {"frequency": "weekly", "count": 3}
    draft = await prepare(customer, pandit.service_id, recurrence=rule)
    assert (await customer.api.get("/api/recurrences/")).json()["results"] == []
    for _ in range(2):
        await step(customer, "confirmation", booking_id=draft)
    (series,) = (await customer.api.get("/api/recurrences/")).json()["results"]
    assert [each["state"] for each in series["occurrences"]] == ["BOOKED"] * 3
    assert series["occurrences"][0]["booking_id"] == draft
    assert len((await pandit.api.get("/api/bookings/")).json()["results"]) == 3


class TestWithoutRepetition:
    @pytest.fixture
    def settings(self, settings: Settings) -> Settings:
        booking = dataclasses.replace(settings.booking, recurring=False, most_drafts=1)
        return dataclasses.replace(settings, booking=booking)

    async def test_flags_of_the_settings_hold_in_every_door(self, people: People) -> None:
        customer, pandit = await people.customer(), await people.pandit()
        draft = await begin(customer, pandit.service_id)
        again = {"frequency": "weekly", "count": 3}
        refused = await step(
            customer,
            "datetime_selection",
            booking_id=draft,
            booking_date=WEDNESDAY,
            booking_time="10:00",
            recurrence=again,
        )
        assert refused.json()["errors"][0]["code"] == "not-repeated"
        direct = await customer.api.post(
            "/api/bookings/", json=wish(pandit.service_id, recurrence=again)
        )
        assert direct.status_code == 422
        second = await step(customer, "service_selection", service_id=pandit.service_id)
        assert second.status_code == 409


class TestFewOpenBookings:
    """Few may be unpaid or unanswered at once, by whichever door they are made."""

    @pytest.fixture
    def settings(self, settings: Settings) -> Settings:
        booking = dataclasses.replace(
            settings.booking, most_unpaid=2, most_unanswered=2, most_repeated=3
        )
        return dataclasses.replace(settings, booking=booking)

    async def book(self, customer: Person, service_id: str, **more: Any) -> httpx.Response:
        headers = {"Idempotency-Key": more.pop("key")} if "key" in more else {}
        return await customer.api.post(
            "/api/bookings/", json=wish(service_id, **more), headers=headers
        )

    async def test_nobody_fills_a_calendar_without_paying(
        self, people: People, server: RunningServer, clock: FakeClock
    ) -> None:
        customer, pandit = await people.customer(), await people.pandit(duration_minutes=60)
        service_id = pandit.service_id
        hours = [f"{hour:02}:00" for hour in (8, 10, 12, 14, 16)]
        answers = await asyncio.gather(
            *(
                self.book(
                    customer,
                    service_id,
                    booking_time=at,
                    payment_method="WALLET",
                    key=f"request-at-{at[:2]}",
                )
                for at in hours
            )
        )
        made = [answer.json()["id"] for answer in answers if answer.status_code == 201]
        refused = [answer.json() for answer in answers if answer.status_code != 201]
        assert len(made) == 2
        assert {each["type"] for each in refused} == {"too-many-open"}
        assert refused[0]["detail"].startswith("2 of your bookings are not paid")
        # Neither by the wizard; the draft stays.
        draft = await prepare(customer, (await people.pandit("Om")).service_id, method="WALLET")
        late = await step(customer, "confirmation", booking_id=draft)
        assert (late.status_code, late.json()["type"]) == (409, "too-many-open")
        # Others are not kept from anything, and cash has places of its own.
        other = await people.customer("Gita")
        free = next(at for at, each in zip(hours, answers, strict=True) if each.status_code != 201)
        assert (
            await self.book(other, service_id, booking_time=free, payment_method="WALLET")
        ).status_code == 201
        # What is called off leaves its place.
        await customer.api.post(f"/api/bookings/{made[0]}/cancel/", json={})
        assert (await step(customer, "confirmation", booking_id=draft)).status_code == 200
        assert (await step(customer, "confirmation", booking_id=draft)).status_code == 200
        # And what runs out.
        clock.advance(minutes=16)
        await people.sign_in_again(customer)
        await server.services.booking_payments.fail_unpaid()
        again = await self.book(customer, service_id, booking_time=free, payment_method="WALLET")
        assert again.status_code == 201

    async def test_what_is_answered_or_asked_for_twice_takes_no_place(self, people: People) -> None:
        customer, pandit = await people.customer(), await people.pandit(duration_minutes=60)
        service_id = pandit.service_id
        first = await self.book(customer, service_id, booking_time="08:00", key="first-request")
        second = await self.book(customer, service_id, booking_time="10:00")
        assert (first.status_code, second.status_code) == (201, 201)
        third = await self.book(customer, service_id, booking_time="12:00")
        assert (third.status_code, third.json()["type"]) == (409, "too-many-open")
        same = await self.book(customer, service_id, booking_time="08:00", key="first-request")
        assert same.json()["id"] == first.json()["id"]
        accepted = await pandit.api.post(f"/api/bookings/{first.json()['id']}/accept/", json={})
        assert accepted.status_code == 200
        third = await self.book(customer, service_id, booking_time="12:00")
        assert third.status_code == 201

    async def test_a_series_has_room_for_all_its_days(self, people: People) -> None:
        customer, pandit = await people.customer(), await people.pandit()
        rule = {"frequency": "weekly", "count": 4}
        made = await self.book(customer, pandit.service_id, recurrence=rule)
        assert made.status_code == 201
        (series,) = (await customer.api.get("/api/recurrences/")).json()["results"]
        assert [each["state"] for each in series["occurrences"]] == ["BOOKED"] * 4

    async def test_series_whose_first_days_are_called_off_fill_no_calendar(
        self, people: People, server: RunningServer, clock: FakeClock
    ) -> None:
        customer, pandit = await people.customer(), await people.pandit(duration_minutes=60)
        recurrences = server.services.recurrences

        async def pending() -> list[str]:
            answer = await customer.api.get("/api/bookings/", params={"status": "PENDING"})
            return [row["id"] for row in answer.raise_for_status().json()["results"]]

        async def states() -> list[list[str]]:
            rows = (await customer.api.get("/api/recurrences/")).json()["results"]
            rows.sort(key=lambda row: row["occurrences"][0]["time"])
            return [[each["state"] for each in row["occurrences"]] for row in rows]

        rule = {"frequency": "weekly", "count": 4}
        for at in ("08:00", "10:00", "12:00"):
            made = await self.book(customer, pandit.service_id, booking_time=at, recurrence=rule)
            assert made.status_code == 201
            path = f"/api/bookings/{made.json()['id']}/cancel/"
            (await customer.api.post(path, json={})).raise_for_status()
        waiting = ["BOOKED", "PLANNED", "PLANNED", "PLANNED"]
        assert await states() == [["BOOKED"] * 4, waiting, waiting]
        open_ones = await pending()
        assert len(open_ones) == 3
        (series, *_) = (await customer.api.get("/api/recurrences/")).json()["results"]
        moved = await customer.api.post(
            f"/api/recurrences/{series['id']}/occurrences/1/move/",
            json={"booking_date": "2026-12-10", "booking_time": "14:00"},
        )
        assert (moved.status_code, moved.json()["type"]) == (409, "too-many-open")
        assert await states() == [["BOOKED"] * 4, waiting, waiting], "it stays as it was"
        # They wait till the next day, and nothing is told of it.
        assert await recurrences.book_due() == 0
        accept = f"/api/bookings/{open_ones[0]}/accept/"
        (await pandit.api.post(accept, json={})).raise_for_status()
        clock.advance(days=1)
        await people.sign_in_again(customer)
        assert await recurrences.book_due() == 2
        assert await recurrences.book_due() == 0
        assert len(await pending()) == 3
        assert sum(row.count("PLANNED") for row in await states()) == 5
        assert "RECURRENCE_CONFLICT" not in await kinds(customer)


async def test_two_processes_that_clear_away_leave_what_goes_on(
    people: People, server: RunningServer, clock: FakeClock
) -> None:
    customer, pandit = await people.customer(), await people.pandit()
    draft = (await hold(customer, pandit.service_id))["booking_id"]
    drafts = server.services.drafts
    clock.advance(minutes=11)
    # Renewed by somebody whose clock is a little behind: the version decides, not the list.
    (stale,) = await drafts._drafts.list_lapsed(clock.now(), 10)
    alive = dataclasses.replace(stale, lapses_at=clock.now() + timedelta(minutes=5))
    assert await drafts._drafts.replace(alive)
    assert not await drafts._remove(stale)
    await people.sign_in_again(customer)
    assert (await customer.api.get(f"/api/booking-wizard/{draft}/")).status_code == 200
    clock.advance(minutes=6)
    swept = await asyncio.gather(drafts.end_lapsed(), drafts.end_lapsed())
    assert sum(swept) >= 1
    assert await drafts._drafts.find(draft) is None
