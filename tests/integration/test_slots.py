"""The times at which a service can be booked, over REST, in Nepal's time."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest


@pytest.fixture
async def pandit(people):
    return await people.pandit()


async def slots(api, service_id, day="2026-11-25"):
    answer = await api.get(
        "/api/booking-slots/available-slots/", params={"service_id": service_id, "date": day}
    )
    return answer.raise_for_status().json()


async def free_times(api, service_id, day="2026-11-25"):
    found = await slots(api, service_id, day)
    return [slot["time"] for slot in found["slots"] if slot["available"]]


async def book(customer, service_id, at, day="2026-11-25"):
    return await customer.api.post(
        "/api/bookings/",
        json={
            "service_id": service_id,
            "booking_date": day,
            "booking_time": at,
            "service_location": "PANDIT_LOCATION",
            "samagri_required": False,
        },
    )


async def test_slots_fill_the_pandits_day(people, pandit):
    found = await slots(await people.nobody(), pandit.service_id)
    assert (found["date"], found["date_bs"]) == ("2026-11-25", "2083-08-09")
    assert found["timezone"] == "Asia/Kathmandu"
    times = [slot["time"] for slot in found["slots"]]
    assert (times[0], times[1], times[-1]) == ("06:00", "06:30", "16:00")
    assert found["slots"][0] == {
        "start": "2026-11-25T06:00:00+05:45",
        "end": "2026-11-25T08:00:00+05:45",
        "date": "2026-11-25",
        "time": "06:00",
        "available": True,
    }


async def test_a_booking_takes_its_time_and_buffer_and_gives_it_back(people, pandit):
    customer = await people.customer()
    before = await free_times(customer.api, pandit.service_id)
    booking = (await book(customer, pandit.service_id, "10:00")).json()
    left = await free_times(customer.api, pandit.service_id)
    # Until 12:00 and half an hour more; one that ends after 09:30 has no buffer of its own left.
    assert set(before) - set(left) == {"08:00", "08:30", "09:00", "09:30", "10:00", "10:30",
                                       "11:00", "11:30", "12:00"}  # fmt: skip
    await customer.api.post(f"/api/bookings/{booking['id']}/cancel/", json={"reason": "Ill"})
    assert await free_times(customer.api, pandit.service_id) == before


async def test_another_service_of_the_same_pandit_shares_his_time(people, pandit):
    other = (
        await pandit.api.post(
            "/api/services/",
            json={"puja_id": "griha-pravesh", "duration_minutes": 60, "price": 100_000},
        )
    ).json()["id"]
    customer = await people.customer()
    (await book(customer, pandit.service_id, "10:00")).raise_for_status()
    times = await free_times(customer.api, other)
    assert "08:30" in times
    assert "12:30" in times
    assert not {"09:00", "10:00", "11:30", "12:00"} & set(times)


async def test_every_slot_that_is_offered_can_be_booked(people, pandit):
    customer = await people.customer()
    booked = []
    while times := await free_times(customer.api, pandit.service_id):
        answer = await book(customer, pandit.service_id, times[0])
        assert answer.status_code == 201, answer.text
        booked.append(times[0])
    assert booked == ["06:00", "08:30", "11:00", "13:30", "16:00"]
    refused = await book(customer, pandit.service_id, "12:00")
    assert (refused.status_code, refused.json()["type"]) == (409, "slot-taken")


async def test_hours_exceptions_and_lead_time_shape_the_day(people, pandit):
    await pandit.api.put(
        "/api/pandits/me/availability/",
        json={
            "weekly": [{"weekday": 7, "intervals": [{"start": "06:00", "end": "16:00"}]}],
            "exceptions": [
                {"date": "2026-11-29", "intervals": []},
                {"date": "2026-11-28", "intervals": [{"start": "07:15", "end": "09:15"}]},
            ],
            "buffer_minutes": 0,
            "lead_minutes": 180,
        },
    )
    api = await people.nobody()
    # It is Sunday 10:00; three hours of notice.
    assert await free_times(api, pandit.service_id, "2026-11-22") == ["13:00", "13:30", "14:00"]
    assert await free_times(api, pandit.service_id, "2026-11-23") == []
    assert await free_times(api, pandit.service_id, "2026-11-28") == ["07:15"]
    assert (await slots(api, pandit.service_id, "2026-11-29"))["slots"] == []


async def test_today_at_one_in_the_morning_is_nepals_today(people, pandit, clock):
    clock.set(datetime(2026, 11, 22, 19, 15, tzinfo=UTC))  # Monday 01:00 in Nepal
    api = await people.nobody()
    assert (await slots(api, pandit.service_id, "2026-11-22"))["slots"] == []
    assert (await free_times(api, pandit.service_id, "2026-11-23"))[0] == "06:00"


async def test_times_are_told_in_the_readers_zone_and_booked_in_the_pandits(people, pandit):
    customer = await people.customer()
    (await customer.api.patch("/api/auth/me/", json={"timezone": "Asia/Tokyo"})).raise_for_status()
    first = (await slots(customer.api, pandit.service_id))["slots"][0]
    assert first["start"] == "2026-11-25T09:15:00+09:00"
    assert (first["date"], first["time"]) == ("2026-11-25", "06:00")


@pytest.mark.parametrize("day", ["2026-11-21", "2028-01-01", "0001-01-01", "9999-12-31"])
async def test_days_that_cannot_be_booked_have_no_slots(people, pandit, day):
    assert (await slots(await people.nobody(), pandit.service_id, day))["slots"] == []


async def test_only_services_on_offer_have_slots(people, pandit):
    api = await people.nobody()
    path, day = "/api/booking-slots/available-slots/", {"date": "2026-11-25"}
    assert (await api.get(path, params={"service_id": "no", **day})).status_code == 404
    await pandit.api.patch(f"/api/services/{pandit.service_id}/", json={"is_available": False})
    off = await api.get(path, params={"service_id": pandit.service_id, **day})
    assert off.status_code == 404
    assert (await api.get(path, params=day)).status_code == 422
    assert (await api.get(path, params={"service_id": "x", "date": "soon"})).status_code == 422


NOT_OFFERED = ("he takes a rest", "the service is paused", "the service is gone")


async def stop_offering(pandit, how):
    path = f"/api/services/{pandit.service_id}/"
    if how == NOT_OFFERED[0]:
        answer = await pandit.api.patch("/api/pandits/me/", json={"is_available": False})
    elif how == NOT_OFFERED[1]:
        answer = await pandit.api.patch(path, json={"is_available": False})
    else:
        answer = await pandit.api.delete(path)
    answer.raise_for_status()


async def times_to_move_to(person, booking, day="2026-11-26"):
    answer = await person.api.get(
        "/api/booking-slots/available-slots/",
        params={"service_id": booking["service"], "date": day, "exclude_booking": booking["id"]},
    )
    if answer.status_code != 200:
        return answer.status_code
    return [slot["time"] for slot in answer.json()["slots"] if slot["available"]]


async def moved(person, booking, at, day="2026-11-26"):
    path = f"/api/bookings/{booking['id']}/reschedule/"
    return await person.api.post(path, json={"booking_date": day, "booking_time": at})


@pytest.mark.parametrize("how", NOT_OFFERED)
async def test_a_booking_can_be_moved_when_its_service_is_not_offered_any_more(people, pandit, how):
    customer, stranger = await people.customer(), await people.customer("Gita Rai")
    booking = (await book(customer, pandit.service_id, "10:00")).json()
    (await pandit.api.post(f"/api/bookings/{booking['id']}/accept/")).raise_for_status()
    before = await times_to_move_to(customer, booking)
    await stop_offering(pandit, how)
    for party in (customer, pandit):
        assert await times_to_move_to(party, booking) == before
    assert await times_to_move_to(stranger, booking) == 404
    assert (await moved(pandit, booking, before[-1])).status_code == 200
    assert (await moved(customer, booking, before[-1])).status_code == 200
    assert "08:30" in await times_to_move_to(customer, booking, "2026-11-25")
    await customer.api.post(f"/api/bookings/{booking['id']}/cancel/", json={"reason": "Ill"})
    assert await times_to_move_to(customer, booking) == 404, "nothing is left to be moved"


@pytest.mark.parametrize(("minutes", "last"), [(30, "16:00"), (240, "16:00")])
async def test_the_times_for_a_booking_are_as_long_as_it_was_booked_for(
    people, pandit, minutes, last
):
    customer = await people.customer()
    booking = (await book(customer, pandit.service_id, "10:00")).json()
    (await pandit.api.post(f"/api/bookings/{booking['id']}/accept/")).raise_for_status()
    path = f"/api/services/{pandit.service_id}/"
    (await pandit.api.patch(path, json={"duration_minutes": minutes})).raise_for_status()
    found = await times_to_move_to(customer, booking)
    assert found[-1] == last
    assert (await free_times(customer.api, pandit.service_id, "2026-11-26"))[-1] != last
    answer = await moved(customer, booking, last)
    assert answer.status_code == 200, answer.text
