"""A pandit's day over REST: the way between families, and his number of bookings."""

from __future__ import annotations

import asyncio
from typing import Any

import httpx
import pytest

from tests.integration.test_bookings import WEDNESDAY, act, book, wish
from tests.support import People, Person

NEAR = {"lat": 27.69, "lng": 85.34}
FAR = {"lat": 27.69, "lng": 85.52}
"""Some 18 km off: 71 minutes at 15 km an hour, and half an hour of buffer does not do."""
WIZARD = "/api/booking-wizard/create-step/"
WEEK = [{"weekday": day, "intervals": [{"start": "06:00", "end": "18:00"}]} for day in range(1, 8)]


async def keep_hours(pandit: Person, **more: Any) -> dict[str, Any]:
    answer = await pandit.api.put(
        "/api/pandits/me/availability/", json={"weekly": WEEK, "buffer_minutes": 30, **more}
    )
    hours: dict[str, Any] = answer.raise_for_status().json()
    return hours


async def free(api: httpx.AsyncClient, service_id: str, **place: float) -> list[str]:
    answer = await api.get(
        "/api/booking-slots/available-slots/",
        params={"service_id": service_id, "date": WEDNESDAY, **place},
    )
    slots = answer.raise_for_status().json()["slots"]
    return [slot["time"] for slot in slots if slot["available"]]


def refusal(answer: httpx.Response) -> tuple[int, str, list[tuple[str, str]]]:
    problem = answer.json()
    faults = [(each["field"], each["code"]) for each in problem.get("errors", ())]
    return answer.status_code, problem["type"], faults


NOT_AVAILABLE = (422, "not-bookable", [("booking_time", "not-available")])


async def test_there_is_time_for_the_way_before_and_behind(people: People) -> None:
    pandit, sita, gita = await people.pandit(), await people.customer(), await people.customer()
    await book(sita, pandit.service_id, booking_time="10:00", **NEAR)
    # He is there from 10:00 to 12:00.
    near = await free(gita.api, pandit.service_id, **NEAR)
    far = await free(gita.api, pandit.service_id, **FAR)
    unknown = await free(gita.api, pandit.service_id)
    assert near == unknown
    assert {"07:30", "12:30", "13:00"} <= set(near)
    assert set(near) - set(far) == {"07:00", "07:30", "12:30", "13:00"}
    for at in ("07:00", "13:00"):
        refused = await gita.api.post(
            "/api/bookings/", json=wish(pandit.service_id, booking_time=at, **FAR)
        )
        assert refusal(refused) == NOT_AVAILABLE
        assert "way" not in refused.text
    await book(gita, pandit.service_id, booking_time="13:30", **FAR)
    for kind in ("ONLINE", "PANDIT_LOCATION"):
        await book(
            gita,
            pandit.service_id,
            booking_time="07:30" if kind == "ONLINE" else "16:00",
            service_location=kind,
            **FAR,
        )


async def test_times_that_home_is_too_far_for_are_not_offered_before_a_place_is_said(
    people: People,
) -> None:
    pandit, sita, gita = await people.pandit(), await people.customer(), await people.customer()
    await book(sita, pandit.service_id, booking_time="10:00", **NEAR)
    home = {"area": "Far", "city": "Dhulikhel", "address": "House 1"}
    point = {"latitude": FAR["lat"], "longitude": FAR["lng"]}
    (
        await gita.api.patch("/api/auth/me/", json={"location": {**home, "point": point}})
    ).raise_for_status()
    begun = await gita.api.post(
        WIZARD, json={"booking_step": "service_selection", "service_id": pandit.service_id}
    )
    draft = begun.raise_for_status().json()["booking_id"]
    of_draft: Any = {"exclude_booking": draft}
    anywhere = await free(gita.api, pandit.service_id)
    from_home = await free(gita.api, pandit.service_id, **of_draft)
    assert set(anywhere) - set(from_home) == {"07:00", "07:30", "12:30", "13:00"}
    assert set(await free(sita.api, pandit.service_id, **of_draft)) == set(anywhere), "not his"
    assert "13:00" in await free(gita.api, pandit.service_id, **of_draft, **NEAR)

    held = await gita.api.post(
        WIZARD,
        json={
            "booking_step": "datetime_selection",
            "booking_id": draft,
            "booking_date": WEDNESDAY,
            "booking_time": "15:00",
        },
    )
    held.raise_for_status()
    said = {"booking_step": "details", "booking_id": draft, "service_location": "ONLINE"}
    (await gita.api.post(WIZARD, json=said)).raise_for_status()
    assert "13:00" in await free(gita.api, pandit.service_id, **of_draft), "nobody has to go there"


async def test_the_way_counts_when_a_booking_is_moved(people: People) -> None:
    pandit, sita, gita = await people.pandit(), await people.customer(), await people.customer()
    await book(sita, pandit.service_id, booking_time="10:00", **NEAR)
    moved = await book(gita, pandit.service_id, booking_time="15:00", **FAR)
    day = {"booking_date": WEDNESDAY}
    refused = await act(gita, moved, "reschedule", **day, booking_time="13:00")
    assert refusal(refused) == NOT_AVAILABLE
    (await act(gita, moved, "reschedule", **day, booking_time="13:30")).raise_for_status()
    # Its own old time is no obstacle.
    (await act(gita, moved, "reschedule", **day, booking_time="14:00")).raise_for_status()
    (await act(pandit, moved, "accept")).raise_for_status()
    proposed = await act(gita, moved, "reschedule", **day, booking_time="13:00")
    assert refusal(proposed) == NOT_AVAILABLE


async def test_the_way_counts_in_the_times_of_a_day_far_from_the_bookings_own(
    people: People,
) -> None:
    pandit, sita, gita = await people.pandit(), await people.customer(), await people.customer()
    await book(sita, pandit.service_id, booking_time="10:00", **NEAR)
    moved = await book(gita, pandit.service_id, booking_date="2026-12-10", **FAR)
    shown: Any = {"exclude_booking": moved["id"]}
    times = set(await free(gita.api, pandit.service_id, **shown))
    assert "13:30" in times
    assert not {"07:00", "07:30", "12:30", "13:00"} & times
    refused = await act(gita, moved, "reschedule", booking_date=WEDNESDAY, booking_time="13:00")
    assert refusal(refused) == NOT_AVAILABLE


async def test_a_day_takes_as_many_as_the_pandit_wants_whoever_races(people: People) -> None:
    pandit = await people.pandit(duration_minutes=30)
    shown = await keep_hours(pandit, max_per_day=3, lead_minutes=60)
    assert shown["max_per_day"] == 3
    customers = await asyncio.gather(*(people.customer() for _ in range(4)))
    times = [f"{hour:02}:{minute}" for hour in range(7, 15) for minute in ("00", "30")]
    answers = await asyncio.gather(
        *(
            customers[place % 4].api.post(
                "/api/bookings/",
                json=wish(pandit.service_id, booking_time=at, service_location="ONLINE"),
            )
            for place, at in enumerate(times[::2] * 2)
        )
    )
    booked = [each.json() for each in answers if each.status_code == 201]
    assert len(booked) == 3
    assert {each.status_code for each in answers} <= {201, 409, 422}
    nobody = await people.nobody()
    assert await free(nobody, pandit.service_id) == []
    late = await customers[0].api.post(
        "/api/bookings/",
        json=wish(pandit.service_id, booking_time="17:00", service_location="ONLINE"),
    )
    assert refusal(late) == NOT_AVAILABLE
    found = (await nobody.get("/api/pandits/", params={"date": WEDNESDAY})).json()["results"]
    assert pandit.pandit_id not in [each["id"] for each in found]
    first = booked[0]
    owner = next(each for each in customers if each.user_id == first["user"]["id"])
    moved = await act(owner, first, "reschedule", booking_date=WEDNESDAY, booking_time="16:00")
    assert moved.status_code == 200, "a booking may move within its own full day"
    (await act(owner, first, "cancel")).raise_for_status()
    assert await free(nobody, pandit.service_id)
    await book(customers[0], pandit.service_id, booking_time="17:00", service_location="ONLINE")


@pytest.mark.parametrize("most", [0, 21, 2.5, "many"])
async def test_the_number_of_bookings_a_day_makes_sense(people: People, most: Any) -> None:
    pandit = await people.pandit()
    answer = await pandit.api.put(
        "/api/pandits/me/availability/", json={"weekly": WEEK, "max_per_day": most}
    )
    assert answer.status_code == 422
    assert [each["field"] for each in answer.json()["errors"]] == ["max_per_day"]


async def test_the_hours_page_keeps_what_it_cannot_show_and_takes_a_journey(
    people: People,
) -> None:
    pandit = await people.pandit()
    three = [
        {"start": "06:00", "end": "08:00"},
        {"start": "10:00", "end": "12:00"},
        {"start": "14:00", "end": "18:00"},
    ]
    await pandit.api.put(
        "/api/pandits/me/availability/",
        json={"weekly": [{"weekday": 3, "intervals": three}], "lead_minutes": 90},
    )
    client = await people.nobody()
    client.cookies.set("access", pandit.access)
    page = (await client.get("/pandit/profile/")).text
    token = page.split('name="_xsrf" value="', 1)[1].split('"', 1)[0]
    assert 'name="day3-start2" value="14:00"' in page
    spans: dict[str, str] = {}
    for place, span in enumerate(three):
        spans |= {f"day3-start{place}": span["start"], f"day3-end{place}": span["end"]}
    form = {
        "_xsrf": token,
        **spans,
        "buffer_minutes": "45",
        "lead_hours": "1",
        "max_per_day": "4",
        "new-date": "2026-12-01",
        "new-last": "2026-12-05",
        "new-note": "Pilgrimage",
    }
    assert (await client.post("/pandit/hours/", data=form)).status_code == 303
    hours = (await pandit.api.get("/api/pandits/me/availability/")).json()
    assert [day["intervals"] for day in hours["weekly"] if day["weekday"] == 3] == [three]
    assert (hours["lead_minutes"], hours["buffer_minutes"], hours["max_per_day"]) == (90, 45, 4)
    assert [each["date"] for each in hours["exceptions"]] == [
        f"2026-12-0{day}" for day in range(1, 6)
    ]
    backwards = await client.post("/pandit/hours/", data={**form, "new-last": "2026-11-30"})
    assert backwards.status_code == 422
