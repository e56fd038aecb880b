"""Series of bookings through the running server: planned, booked, in conflict, moved, skipped."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from datetime import date, time
from typing import Any

import pytest

from server.app import RunningServer
from server.domain.account import Actor, Place, Role
from server.domain.booking import BookingWish, ServiceLocation
from server.domain.errors import ConcurrentChange, NotBookable
from server.domain.recurrence import Frequency, OccurrenceState, RecurrenceRule, Series
from server.services import recurrences as recurrence_services
from server.store.series import MongoSeriesRepository
from tests.integration.test_booking_wizard import prepare, step
from tests.integration.test_notifications import listed
from tests.integration.test_pages import book as book_by_pages
from tests.integration.test_pages import signed_in
from tests.support import FakeClock, People, Person
from tests.talk import book

WEDNESDAY = date(2026, 11, 25)


def actor_of(person: Person) -> Actor:
    return Actor(user_id=person.user_id, role=Role.USER, session_id="s", full_name=person.full_name)


async def placed(
    server: RunningServer, customer: Person, pandit: Person, rule: RecurrenceRule, **more: Any
) -> dict[str, Any]:
    wish = BookingWish(
        service_id=pandit.service_id,
        booking_date=more.get("on", WEDNESDAY),
        booking_time=time(10),
        service_location=ServiceLocation.PANDIT_LOCATION,
        location=Place(),
        notes="",
        samagri_required=False,
        request_key=more.get("key"),
    )
    _, series = await server.services.recurrences.book_series(actor_of(customer), wish, rule)
    return await shown(customer, series.id)


async def shown(customer: Person, series_id: str) -> dict[str, Any]:
    answer = await customer.api.get(f"/api/recurrences/{series_id}/")
    found: dict[str, Any] = answer.raise_for_status().json()
    return found


def states(series: dict[str, Any]) -> list[str]:
    return [each["state"] for each in series["occurrences"]]


WEEKLY = RecurrenceRule(frequency=Frequency.WEEKLY, count=4)


async def test_days_within_reach_are_booked_and_later_ones_when_their_time_comes(
    server: RunningServer, clock: FakeClock, people: People
):
    pandit, sita = await people.pandit(), await people.customer()
    monthly = RecurrenceRule(frequency=Frequency.MONTHLY, count=16)
    series = await placed(server, sita, pandit, monthly)
    assert all(each["date_bs"] for each in series["occurrences"])
    # The clock books the rest of those within reach, a few at a time.
    async with asyncio.timeout(30):
        while await server.services.recurrences.book_due():
            pass
    planned = states(await shown(sita, series["id"])).count("PLANNED")
    assert 0 < planned < 8
    clock.advance(days=31)
    await people.sign_in_again(sita)
    assert await server.services.recurrences.book_due() == 1
    assert states(await shown(sita, series["id"])).count("PLANNED") == planned - 1


async def test_the_same_request_again_is_the_same_series(server: RunningServer, people: People):
    pandit, sita = await people.pandit(), await people.customer()
    first = await placed(server, sita, pandit, WEEKLY, key="once")
    again = await placed(server, sita, pandit, WEEKLY, key="once")
    assert first == again
    bookings = (await sita.api.get("/api/bookings/")).json()["results"]
    assert len(bookings) == 4


async def test_a_taken_day_is_a_conflict_that_is_moved(server: RunningServer, people: People):
    pandit, sita, gita = (
        await people.pandit(),
        await people.customer(),
        await people.customer("Gita Rai"),
    )
    await book(gita, pandit, booking_date="2026-12-09")
    series = await placed(server, sita, pandit, WEEKLY)
    assert states(series) == ["BOOKED", "BOOKED", "CONFLICT", "BOOKED"]
    assert series["occurrences"][2]["reason"] == "slot-taken"
    (row,) = [
        each for each in await listed(sita) if each["notification_type"] == "RECURRENCE_CONFLICT"
    ]
    assert "9 Dec 2026" in row["message"]
    assert row["url"] == f"/series/{series['id']}/"
    path = f"/api/recurrences/{series['id']}/occurrences/2"
    taken = await sita.api.post(
        f"{path}/move/", json={"booking_date": "2026-12-09", "booking_time": "11:00"}
    )
    assert taken.status_code == 409
    assert await shown(sita, series["id"]) == series, "it stays as it was"
    moved = await sita.api.post(
        f"{path}/move/", json={"booking_date": "2026-12-10", "booking_time": "10:00"}
    )
    assert states(moved.raise_for_status().json()) == ["BOOKED"] * 4
    late = await sita.api.post(
        f"{path}/move/", json={"booking_date": "2026-11-20", "booking_time": "10:00"}
    )
    assert late.status_code in (409, 422)


async def test_a_skipped_day_frees_the_pandit(server: RunningServer, people: People):
    pandit, sita, gita = (
        await people.pandit(),
        await people.customer(),
        await people.customer("Gita Rai"),
    )
    series = await placed(server, sita, pandit, WEEKLY)
    answer = await sita.api.post(f"/api/recurrences/{series['id']}/occurrences/1/skip/", json={})
    assert states(answer.raise_for_status().json()) == ["BOOKED", "SKIPPED", "BOOKED", "BOOKED"]
    await book(gita, pandit, booking_date="2026-12-02")


async def test_ending_keeps_or_calls_off_what_is_booked(server: RunningServer, people: People):
    pandit, sita = await people.pandit(), await people.customer()
    series = await placed(server, sita, pandit, WEEKLY)
    path = f"/api/recurrences/{series['id']}/cancel/"
    ended = (await sita.api.post(path, json={})).raise_for_status().json()
    assert ended["is_ended"]
    open_ones = await sita.api.get("/api/bookings/", params={"status": "PENDING"})
    assert len(open_ones.json()["results"]) == 4
    assert (await sita.api.post(path, json={})).status_code in (200, 409)
    other = await placed(server, sita, pandit, WEEKLY, on=date(2026, 11, 26))
    await sita.api.post(f"/api/recurrences/{other['id']}/cancel/", json={"with_booked": True})
    open_ones = await sita.api.get("/api/bookings/", params={"status": "PENDING"})
    assert len(open_ones.json()["results"]) == 4


async def test_a_series_whose_first_day_cannot_be_booked_is_none(
    server: RunningServer, people: People
):
    pandit, sita = await people.pandit(), await people.customer()
    with pytest.raises(NotBookable):
        # A Saturday.
        await placed(server, sita, pandit, WEEKLY, on=date(2026, 11, 28))
    assert (await sita.api.get("/api/recurrences/")).json()["results"] == []


async def test_a_vow_is_kept_on_its_tithi_every_year(server: RunningServer, people: People):
    pandit, sita = await people.pandit(), await people.customer()
    rule = RecurrenceRule(frequency=Frequency.YEARLY_TITHI, count=3)
    series = await placed(server, sita, pandit, rule)
    days = [each["date"] for each in series["occurrences"]]
    # The first day after the full moon of Kartik, by the printed almanac.
    assert days == ["2026-11-25", "2027-11-15", "2028-12-03"]


async def test_a_series_whose_first_day_is_not_paid_is_none(
    server: RunningServer, clock: FakeClock, people: People
):
    pandit, sita = await people.pandit(), await people.customer()
    draft = await prepare(
        sita, pandit.service_id, "WALLET", recurrence={"frequency": "weekly", "count": 3}
    )
    (await step(sita, "confirmation", booking_id=draft)).raise_for_status()
    await server.services.recurrences.book_due()
    (series,) = (await sita.api.get("/api/recurrences/")).json()["results"]
    assert states(series) == ["BOOKED", "PLANNED", "PLANNED"], "nobody is asked before it is paid"
    clock.advance(minutes=16)
    await server.services.booking_payments.fail_unpaid()
    await server.services.recurrences.book_due()
    await people.sign_in_again(sita)
    ended = await shown(sita, series["id"])
    assert (ended["is_ended"], states(ended)) == (True, ["BOOKED", "SKIPPED", "SKIPPED"])
    open_ones = await sita.api.get("/api/bookings/", params={"status": "PENDING"})
    assert open_ones.json()["results"] == []


@pytest.mark.parametrize("how", ["cancel", "skip"])
async def test_a_series_whose_first_day_is_called_off_unpaid_is_none(
    server: RunningServer, people: People, how: str
):
    pandit, sita = await people.pandit(), await people.customer()
    weekly = {"frequency": "weekly", "count": 3}
    first = await book(sita, pandit, payment_method="WALLET", recurrence=weekly)
    (series,) = (await sita.api.get("/api/recurrences/")).json()["results"]
    if how == "cancel":
        (await sita.api.post(f"/api/bookings/{first}/cancel/", json={})).raise_for_status()
    else:
        await server.services.recurrences.skip(actor_of(sita), series["id"], 0)
    for _ in range(2):
        await server.services.recurrences.book_due()
    ended = await shown(sita, series["id"])
    assert (ended["is_ended"], states(ended)[1:]) == (True, ["SKIPPED", "SKIPPED"])
    rows = (await sita.api.get("/api/bookings/")).json()["results"]
    assert [(row["id"], row["status"]) for row in rows] == [(first, "CANCELLED")]
    told = [row["notification_type"] for row in await listed(pandit)]
    assert told == ["PANDIT_VERIFIED"], "he was asked for nothing"


@pytest.mark.parametrize("change", ["end", "skip", "move"])
async def test_what_is_changed_while_days_are_booked_leaves_no_stray_booking(
    server: RunningServer, people: People, monkeypatch: pytest.MonkeyPatch, change: str
):
    pandit, sita = await people.pandit(), await people.customer()
    actor, recurrences = actor_of(sita), server.services.recurrences
    book_one, calls = server.services.bookings.book, 0

    async def book_late(who: Actor, wish: BookingWish) -> Any:
        """Book, but let the customer be faster with the third day."""
        nonlocal calls
        calls += 1
        if calls == 3:
            (series,) = (await recurrences.list_own(actor, limit=5, after=None)).rows
            if change == "end":
                await recurrences.end(actor, series.id, with_booked=False)
            elif change == "skip":
                await recurrences.skip(actor, series.id, 2)
            else:
                await recurrences.move(actor, series.id, 2, date(2026, 12, 10), time(14))
        return await book_one(who, wish)

    monkeypatch.setattr(server.services.bookings, "book", book_late)
    series = await placed(server, sita, pandit, WEEKLY)
    booked = {each["booking_id"] for each in series["occurrences"] if each["state"] == "BOOKED"}
    open_ones = await sita.api.get("/api/bookings/", params={"status": "PENDING"})
    assert {each["id"] for each in open_ones.json()["results"]} == booked
    expected = {
        "end": ["BOOKED", "BOOKED", "SKIPPED", "SKIPPED"],
        "skip": ["BOOKED", "BOOKED", "SKIPPED", "BOOKED"],
        "move": ["BOOKED"] * 4,
    }
    assert states(series) == expected[change]


async def with_a_conflict(
    server: RunningServer, people: People
) -> tuple[Person, dict[str, Any], Callable[[], Awaitable[Series]]]:
    """A customer whose series has a third day to be moved, and how he moves it."""
    pandit, sita, gita = (
        await people.pandit(),
        await people.customer(),
        await people.customer("Gita Rai"),
    )
    await book(gita, pandit, booking_date="2026-12-09")
    series = await placed(server, sita, pandit, WEEKLY)
    recurrences = server.services.recurrences

    def move() -> Awaitable[Series]:
        return recurrences.move(actor_of(sita), series["id"], 2, date(2026, 12, 10), time(10))

    return sita, series, move


async def live_bookings(customer: Person) -> set[str]:
    answer = await customer.api.get("/api/bookings/", params={"status": "PENDING"})
    return {each["id"] for each in answer.raise_for_status().json()["results"]}


def booked_days(series: dict[str, Any]) -> set[str]:
    return {each["booking_id"] for each in series["occurrences"] if each["state"] == "BOOKED"}


async def test_a_move_that_is_sent_twice_is_one_and_keeps_its_booking(
    server: RunningServer, people: People, monkeypatch: pytest.MonkeyPatch
):
    sita, series, move = await with_a_conflict(server, people)
    bookings, book_one = server.services.bookings, server.services.bookings.book

    async def book_second(who: Actor, wish: BookingWish) -> Any:
        """Book, but only after the same request has been through once more."""
        monkeypatch.setattr(bookings, "book", book_one)
        await move()
        return await book_one(who, wish)

    monkeypatch.setattr(bookings, "book", book_second)
    moved = await move()
    assert moved.occurrences[2].state is OccurrenceState.BOOKED
    after = await shown(sita, series["id"])
    assert states(after) == ["BOOKED"] * 4
    assert await live_bookings(sita) == booked_days(after)


async def test_a_move_that_comes_too_late_finds_its_booking_made(
    server: RunningServer, people: People, monkeypatch: pytest.MonkeyPatch
):
    sita, series, move = await with_a_conflict(server, people)
    replace_one = MongoSeriesRepository.replace

    async def replace_late(self: MongoSeriesRepository, changed: Series) -> bool:
        monkeypatch.setattr(MongoSeriesRepository, "replace", replace_one)
        await move()
        return await replace_one(self, changed)

    monkeypatch.setattr(MongoSeriesRepository, "replace", replace_late)
    moved = await move()
    assert moved.occurrences[2].state is OccurrenceState.BOOKED
    after = await shown(sita, series["id"])
    assert await live_bookings(sita) == booked_days(after)


class Killed(BaseException):
    """The process ends here."""


async def test_a_move_that_a_crash_cuts_short_is_finished_by_the_clock(
    server: RunningServer, people: People, monkeypatch: pytest.MonkeyPatch
):
    sita, series, move = await with_a_conflict(server, people)
    bookings, book_one = server.services.bookings, server.services.bookings.book

    async def book_and_die(who: Actor, wish: BookingWish) -> Any:
        await book_one(who, wish)
        raise Killed

    monkeypatch.setattr(bookings, "book", book_and_die)
    with pytest.raises(Killed):
        await move()
    monkeypatch.setattr(bookings, "book", book_one)
    await server.services.recurrences.book_due()
    after = await shown(sita, series["id"])
    assert states(after) == ["BOOKED"] * 4
    assert after["occurrences"][2]["date"] == "2026-12-10"
    assert await live_bookings(sita) == booked_days(after)


@pytest.mark.parametrize("how", ["by itself", "moved"])
async def test_a_booking_that_the_series_could_not_note_is_found_again_by_the_clock(
    server: RunningServer, people: People, monkeypatch: pytest.MonkeyPatch, how: str
):
    recurrences, replace_one = server.services.recurrences, MongoSeriesRepository.replace

    async def lose(self: MongoSeriesRepository, changed: Series) -> bool:
        """Let others always be faster than what notes the third day's booking."""
        is_noted = changed.occurrences[2].state is OccurrenceState.BOOKED
        return not is_noted and await replace_one(self, changed)

    if how == "moved":
        sita, series, move = await with_a_conflict(server, people)
        monkeypatch.setattr(MongoSeriesRepository, "replace", lose)
        with pytest.raises(ConcurrentChange):
            await move()
    else:
        pandit, sita = await people.pandit(), await people.customer()
        monkeypatch.setattr(MongoSeriesRepository, "replace", lose)
        series = await placed(server, sita, pandit, WEEKLY)
        assert states(series) == ["BOOKED", "BOOKED", "PLANNED", "PLANNED"]
    monkeypatch.setattr(MongoSeriesRepository, "replace", replace_one)
    assert await recurrences.book_due() == 1
    after = await shown(sita, series["id"])
    assert states(after) == ["BOOKED"] * 4
    assert after["occurrences"][2]["date"] == ("2026-12-10" if how == "moved" else "2026-12-09")
    assert await live_bookings(sita) == booked_days(after)
    told = [row["notification_type"] for row in await listed(sita)]
    assert told.count("RECURRENCE_CONFLICT") == (1 if how == "moved" else 0)


async def test_a_series_that_waits_for_its_payment_keeps_no_other_from_its_turn(
    server: RunningServer, people: People, monkeypatch: pytest.MonkeyPatch
):
    pandit, sita, gita = (
        await people.pandit(),
        await people.customer(),
        await people.customer("Gita Rai"),
    )
    weekly = {"frequency": "weekly", "count": 3}
    await book(sita, pandit, payment_method="WALLET", recurrence=weekly)
    twelve = RecurrenceRule(frequency=Frequency.WEEKLY, count=12)
    series = await placed(server, gita, pandit, twelve, on=date(2026, 11, 26))
    assert states(series).count("PLANNED") == 3
    monkeypatch.setattr(recurrence_services, "_DUE_ROWS", 1)
    await server.services.recurrences.book_due()
    assert states(await shown(gita, series["id"])) == ["BOOKED"] * 12


async def test_a_day_that_is_skipped_while_it_is_booked_leaves_no_booking(
    server: RunningServer, people: People, monkeypatch: pytest.MonkeyPatch
):
    pandit, sita = await people.pandit(), await people.customer()
    weekly = RecurrenceRule(frequency=Frequency.WEEKLY, count=12)
    series = await placed(server, sita, pandit, weekly)
    assert series["occurrences"][10]["state"] == "PLANNED"
    recurrences, replace_one = server.services.recurrences, MongoSeriesRepository.replace

    async def replace_late(self: MongoSeriesRepository, changed: Series) -> bool:
        monkeypatch.setattr(MongoSeriesRepository, "replace", replace_one)
        await recurrences.book_due()
        return await replace_one(self, changed)

    monkeypatch.setattr(MongoSeriesRepository, "replace", replace_late)
    await recurrences.skip(actor_of(sita), series["id"], 10)
    after = await shown(sita, series["id"])
    assert after["occurrences"][10]["state"] == "SKIPPED"
    assert states(after).count("BOOKED") == 11
    assert await live_bookings(sita) == booked_days(after)


async def on_the_first_day(
    series: dict[str, Any], clock: FakeClock, people: People, customer: Person, pandit: Person
) -> str:
    """Let the pandit accept the first day of a series and that day come; the booking's id."""
    first: str = series["occurrences"][0]["booking_id"]
    (await pandit.api.post(f"/api/bookings/{first}/accept/", json={})).raise_for_status()
    clock.advance(days=3)
    for person in (customer, pandit):
        await people.sign_in_again(person)
    return first


async def test_a_puja_under_way_does_not_keep_the_rest_from_being_called_off(
    server: RunningServer, clock: FakeClock, people: People
):
    pandit, sita = await people.pandit(), await people.customer()
    series = await placed(server, sita, pandit, WEEKLY)
    first = await on_the_first_day(series, clock, people, sita, pandit)
    (await pandit.api.post(f"/api/bookings/{first}/start/", json={})).raise_for_status()
    path = f"/api/recurrences/{series['id']}/cancel/"
    (await sita.api.post(path, json={"with_booked": True})).raise_for_status()
    found = (await sita.api.get("/api/bookings/")).json()["results"]
    assert sorted(each["status"] for each in found) == ["CANCELLED"] * 3 + ["IN_PROGRESS"]
    (await pandit.api.post(f"/api/bookings/{first}/complete/", json={})).raise_for_status()


async def test_a_day_that_was_held_is_not_skipped_afterwards(
    server: RunningServer, clock: FakeClock, people: People
):
    pandit, sita = await people.pandit(), await people.customer()
    series = await placed(server, sita, pandit, WEEKLY)
    first = await on_the_first_day(series, clock, people, sita, pandit)
    for act in ("start", "complete"):
        (await pandit.api.post(f"/api/bookings/{first}/{act}/", json={})).raise_for_status()
    answer = await sita.api.post(f"/api/recurrences/{series['id']}/occurrences/0/skip/", json={})
    assert answer.status_code == 409
    assert states(await shown(sita, series["id"])) == ["BOOKED"] * 4


async def test_a_booked_day_that_is_moved_is_shown_and_ended_where_it_is_now(
    server: RunningServer, clock: FakeClock, people: People
):
    pandit, sita = await people.pandit(), await people.customer()
    series = await placed(server, sita, pandit, WEEKLY)
    path = f"/api/recurrences/{series['id']}"
    elsewhere = {"booking_date": "2026-12-31", "booking_time": "14:00"}
    moved = await sita.api.post(f"{path}/occurrences/1/move/", json=elsewhere)
    day = moved.raise_for_status().json()["occurrences"][1]
    assert (day["date"], day["time"]) == ("2026-12-31", "14:00")
    # By its own page, too.
    other = series["occurrences"][2]["booking_id"]
    later = {"booking_date": "2027-01-04", "booking_time": "14:00"}
    (await sita.api.post(f"/api/bookings/{other}/reschedule/", json=later)).raise_for_status()
    assert (await shown(sita, series["id"]))["occurrences"][2]["date"] == "2027-01-04"
    clock.advance(days=25)
    await people.sign_in_again(sita)
    (await sita.api.post(f"{path}/cancel/", json={"with_booked": True})).raise_for_status()
    for number in (1, 2):
        booking = series["occurrences"][number]["booking_id"]
        found = (await sita.api.get(f"/api/bookings/{booking}/")).json()
        assert found["status"] == "CANCELLED"


@pytest.mark.parametrize("frequency", ["weekly", "monthly", "yearly_tithi"])
@pytest.mark.parametrize("day", ["9999-12-31", "0001-01-02", "2400-01-01"])
async def test_no_calendar_is_unfolded_for_a_day_that_cannot_be_booked(
    people: People, frequency: str, day: str
):
    pandit, sita = await people.pandit(), await people.customer()
    wish = {
        "service_id": pandit.service_id,
        "booking_date": day,
        "booking_time": "10:00",
        "service_location": "PANDIT_LOCATION",
        "recurrence": {"frequency": frequency, "count": 3},
    }
    answer = await sita.api.post("/api/bookings/", json=wish)
    assert (answer.status_code, answer.json()["type"]) == (422, "not-bookable"), answer.text


async def test_a_series_is_its_customers_alone(server: RunningServer, people: People):
    pandit, sita, gita = (
        await people.pandit(),
        await people.customer(),
        await people.customer("Gita Rai"),
    )
    series = await placed(server, sita, pandit, WEEKLY)
    path = f"/api/recurrences/{series['id']}/"
    assert (await gita.api.get(path)).status_code == 404
    assert (await pandit.api.get(path)).status_code == 404
    assert (await (await people.nobody()).get(path)).status_code == 401
    for rest in ("occurrences/1/skip/", "cancel/"):
        assert (await gita.api.post(path + rest, json={})).status_code == 404
    assert states(await shown(sita, series["id"])) == ["BOOKED"] * 4


async def test_a_series_is_booked_over_the_api(people: People):
    pandit, sita = await people.pandit(), await people.customer()
    wish = {
        "service_id": pandit.service_id,
        "booking_date": "2026-11-25",
        "booking_time": "10:00",
        "service_location": "PANDIT_LOCATION",
        "recurrence": {"frequency": "weekly", "count": 3},
    }
    answer = await sita.api.post("/api/bookings/", json=wish)
    booking = answer.raise_for_status().json()
    (series,) = (await sita.api.get("/api/recurrences/")).json()["results"]
    assert series["occurrences"][0]["booking_id"] == booking["id"]
    assert states(series) == ["BOOKED"] * 3
    bad = await sita.api.post("/api/bookings/", json=wish | {"recurrence": {"frequency": "weekly"}})
    assert (bad.status_code, bad.json()["errors"][0]["field"]) == (422, "recurrence.count")


async def test_the_form_repeats_a_puja_and_its_page_skips_and_ends(people: People):
    pandit, sita = await people.pandit(), await people.customer()
    page = await signed_in(people, sita)
    answer = await book_by_pages(page, pandit.service_id, repeat="weekly", repeat_count="3")
    assert answer.status_code == 303, answer.text
    (series,) = (await sita.api.get("/api/recurrences/")).json()["results"]
    assert f"/series/{series['id']}/" in (await page.get(answer.headers["Location"])).text
    shown = await page.get(f"/series/{series['id']}/")
    assert shown.text.count("<article") == 3
    assert shown.text.count("10:00 am · Nepal time") == 3
    asked = await page.post(f"/series/{series['id']}/", do="skip", number="1")
    assert "nothing is lost by cancelling" in asked.text
    assert states((await sita.api.get(f"/api/recurrences/{series['id']}/")).json())[1] == "BOOKED"
    await page.post(f"/series/{series['id']}/", do="skip", number="1", confirmed="true")
    await page.post(f"/series/{series['id']}/", do="end")
    (series,) = (await sita.api.get("/api/recurrences/")).json()["results"]
    assert (states(series), series["is_ended"]) == (["BOOKED", "SKIPPED", "BOOKED"], True)
    bad = await book_by_pages(page, pandit.service_id, repeat="weekly", repeat_count="99")
    assert bad.status_code == 422
