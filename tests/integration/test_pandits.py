"""A pandit's profile, services and hours, what others see of them, and his verification."""

from __future__ import annotations

import asyncio
import json
from datetime import date

import pytest

SECRETS = ("House 12", "27.7215", "85.3206")


def assert_no_contact(text: str, person) -> None:
    for secret in (*SECRETS, person.phone):
        assert secret not in text


@pytest.fixture
async def pandit(people):
    return await people.pandit()


async def book(customer, pandit, at="10:00"):
    answer = await customer.api.post(
        "/api/bookings/",
        json={
            "service_id": pandit.service_id,
            "booking_date": "2026-11-25",
            "booking_time": at,
            "service_location": "PANDIT_LOCATION",
            "samagri_required": False,
        },
    )
    return answer.raise_for_status().json()["id"]


# -- verification --------------------------------------------------------------------------------


async def test_an_unverified_pandit_is_unknown_until_an_admin_approves_him(people):
    pandit, admin, nobody = (
        await people.unverified_pandit(), await people.admin(), await people.nobody(),
    )  # fmt: skip
    path = f"/api/pandits/{pandit.pandit_id}/"
    assert (await nobody.get(path)).status_code == 404
    assert (await pandit.api.get(path)).json()["verification_status"] == "PENDING"
    waiting = (await admin.api.get("/api/admin/pandits/")).json()["results"]
    assert [row["id"] for row in waiting] == [pandit.pandit_id]
    verified = await admin.api.post(
        f"/api/admin/pandits/{pandit.pandit_id}/verify/",
        json={"decision": "approve", "notes": "Seen in person"},
    )
    assert verified.json()["verified_date"] == "2026-11-22"
    shown = (await nobody.get(path)).raise_for_status().json()
    assert (shown["is_verified"], shown["verification_status"]) == (True, "APPROVED")
    assert shown["verified_date_bs"].startswith("2083-08-")
    assert "verification_notes" not in shown
    assert (await admin.api.get("/api/admin/pandits/")).json()["results"] == []


async def test_a_pandit_is_told_of_the_decision_once(people):
    pandit, admin = await people.unverified_pandit(), await people.admin()
    path = f"/api/admin/pandits/{pandit.pandit_id}/verify/"
    for _ in range(2):
        await admin.api.post(path, json={"decision": "reject", "notes": "The scan is unreadable"})
    told = (await pandit.api.get("/api/notifications/")).json()["results"]
    mine = [each for each in told if each["notification_type"] == "PANDIT_REJECTED"]
    assert len(mine) == 1
    assert "The scan is unreadable" in mine[0]["message"]
    await admin.api.post(path, json={"decision": "approve"})
    kinds = [
        each["notification_type"]
        for each in (await pandit.api.get("/api/notifications/")).json()["results"]
    ]
    assert kinds.count("PANDIT_VERIFIED") == 1


async def test_a_rejected_pandit_leaves_the_search_and_sees_the_notes(people, pandit):
    admin, nobody = await people.admin(), await people.nobody()
    await admin.api.post(
        f"/api/admin/pandits/{pandit.pandit_id}/verify/",
        json={"decision": "reject", "notes": "Expired"},
    )
    assert (await nobody.get("/api/pandits/")).json()["results"] == []
    assert (await nobody.get(f"/api/pandits/{pandit.pandit_id}/")).status_code == 404
    own = (await pandit.api.get("/api/pandits/me/")).json()
    assert (own["verification_notes"], own["verified_date"]) == ("Expired", None)
    refused = (
        await admin.api.get("/api/admin/pandits/", params={"verification_status": "REJECTED"})
    ).json()
    assert [row["id"] for row in refused["results"]] == [pandit.pandit_id]


async def test_only_admins_decide(people, pandit):
    customer, nobody = await people.customer(), await people.nobody()
    path = f"/api/admin/pandits/{pandit.pandit_id}/verify/"
    for api, status in ((pandit.api, 403), (customer.api, 403), (nobody, 401)):
        assert (await api.post(path, json={"decision": "reject"})).status_code == status
        assert (await api.get("/api/admin/pandits/")).status_code == status
    assert (await nobody.get(f"/api/pandits/{pandit.pandit_id}/")).json()["is_verified"] is True


async def test_a_decision_about_nobody_is_not_found(people):
    admin = await people.admin()
    answer = await admin.api.post("/api/admin/pandits/nobody/verify/", json={"decision": "approve"})
    assert answer.status_code == 404
    answer = await admin.api.post("/api/admin/pandits/nobody/verify/", json={"decision": "maybe"})
    assert answer.status_code == 422


# -- who sees what -------------------------------------------------------------------------------


async def test_strangers_see_area_and_rounded_place_but_no_contact(people, pandit):
    customer, nobody = await people.customer(), await people.nobody()
    other = await people.pandit("Shyam Joshi")
    for api in (nobody, customer.api, other.api):
        answer = (await api.get(f"/api/pandits/{pandit.pandit_id}/")).raise_for_status()
        shown = answer.json()
        assert shown["contact"] is None
        assert shown["location"] == {
            "area": "Lazimpat",
            "city": "Kathmandu",
            "point": {"latitude": 27.72, "longitude": 85.32},
        }
        assert_no_contact(answer.text, pandit)
        found = await api.get("/api/pandits/", params={"lat": 27.7, "lng": 85.3})
        assert_no_contact(found.text, pandit)


async def test_contact_opens_with_an_accepted_booking_and_for_that_customer_only(people, pandit):
    customer, other = await people.customer(), await people.customer("Gita Rai")
    path = f"/api/pandits/{pandit.pandit_id}/"
    booking = await book(customer, pandit)
    assert (await customer.api.get(path)).json()["contact"] is None
    (await pandit.api.post(f"/api/bookings/{booking}/accept/")).raise_for_status()
    contact = (await customer.api.get(path)).json()["contact"]
    assert contact["phone_number"].endswith(pandit.phone)
    assert contact["address"] == "House 12, Lazimpat"
    assert contact["point"] == {"latitude": 27.7215, "longitude": 85.3206}
    assert (await other.api.get(path)).json()["contact"] is None
    found = await customer.api.get("/api/pandits/")
    assert_no_contact(found.text, pandit)


async def test_contact_closes_again_when_the_booking_is_cancelled(people, pandit):
    customer = await people.customer()
    booking = await book(customer, pandit)
    await pandit.api.post(f"/api/bookings/{booking}/accept/")
    cancelled = await customer.api.post(f"/api/bookings/{booking}/cancel/", json={"reason": "Ill"})
    assert cancelled.status_code == 200
    shown = (await customer.api.get(f"/api/pandits/{pandit.pandit_id}/")).json()
    assert shown["contact"] is None


async def test_himself_and_admins_see_all_of_him(people, pandit):
    admin = await people.admin()
    for api in (pandit.api, admin.api):
        shown = (await api.get(f"/api/pandits/{pandit.pandit_id}/")).json()
        assert shown["contact"]["address"] == "House 12, Lazimpat"
        assert shown["certification_file"] == ""


# -- the own profile -----------------------------------------------------------------------------


async def test_a_pandit_changes_his_profile(people, pandit):
    answer = await pandit.api.patch(
        "/api/pandits/me/",
        json={
            "bio": "Trained in Varanasi.",
            "bio_ne": "वाराणसीमा अध्ययन।",
            "full_name_ne": "राम प्रसाद आचार्य",
            "languages": ["ne", "sa", "ne"],
            "expertise": ["griha-pravesh"],
            "experience_years": 20,
        },
    )
    own = answer.raise_for_status().json()
    nobody = await people.nobody()
    shown = (await nobody.get(f"/api/pandits/{pandit.pandit_id}/")).json()
    for name in ("bio", "bio_ne", "languages", "expertise", "experience_years", "user"):
        assert own[name] == shown[name]
    assert shown["languages"] == ["ne", "sa"]
    assert shown["user"]["full_name_ne"] == "राम प्रसाद आचार्य"
    assert shown["location"]["area"] == "Lazimpat"


@pytest.mark.parametrize(
    ("body", "field", "code"),
    [
        ({"expertise": ["griha-pravesh", "no-such"]}, "expertise[1]", "unknown-puja"),
        ({"languages": []}, "languages", "too-short"),
        ({"languages": ["Nepali"]}, "languages[0]", "pattern"),
        ({"experience_years": -1}, "experience_years", "range"),
        (
            {"location": {"point": {"latitude": 91, "longitude": 0}}},
            "location.point.latitude",
            None,
        ),
        ({"is_verified": True}, "is_verified", "unknown"),
        ({"rating": 5.0}, "rating", "unknown"),
        ({"verification_status": "APPROVED"}, "verification_status", "unknown"),
        ({"review_count": 100}, "review_count", "unknown"),
    ],
)
async def test_what_is_not_his_to_say_or_makes_no_sense_is_refused(pandit, body, field, code):
    before = (await pandit.api.get("/api/pandits/me/")).json()
    answer = await pandit.api.patch("/api/pandits/me/", json=body)
    assert answer.status_code == 422
    fault = answer.json()["errors"][0]
    assert fault["field"] == field
    assert code in (None, fault["code"])
    assert (await pandit.api.get("/api/pandits/me/")).json() == before


async def test_only_pandits_have_a_profile_of_their_own(people):
    customer, admin, nobody = (
        await people.customer(), await people.admin(), await people.nobody(),
    )  # fmt: skip
    for path in ("/api/pandits/me/", "/api/pandits/me/availability/", "/api/services/"):
        assert (await nobody.get(path)).status_code == 401
        assert (await customer.api.get(path)).status_code == 403
        assert (await admin.api.get(path)).status_code == 403


async def test_switching_off_stops_new_bookings_and_keeps_accepted_ones(people, pandit):
    customer, nobody = await people.customer(), await people.nobody()
    booking = await book(customer, pandit)
    await pandit.api.post(f"/api/bookings/{booking}/accept/")
    await pandit.api.patch("/api/pandits/me/", json={"is_available": False})
    assert (await nobody.get("/api/pandits/")).json()["results"] == []
    slots = await nobody.get(
        "/api/booking-slots/available-slots/",
        params={"service_id": pandit.service_id, "date": "2026-11-26"},
    )
    assert slots.status_code == 404
    shown = (await nobody.get(f"/api/pandits/{pandit.pandit_id}/")).json()
    assert shown["is_available"] is False
    kept = (await customer.api.get(f"/api/bookings/{booking}/")).json()
    assert kept["status"] == "ACCEPTED"


async def test_changes_made_at_the_same_time_are_all_kept(pandit):
    changes = [{"bio": "One"}, {"bio_ne": "दुई"}, {"experience_years": 33}]
    answers = await asyncio.gather(
        *(pandit.api.patch("/api/pandits/me/", json=body) for body in changes)
    )
    assert [answer.status_code for answer in answers] == [200, 200, 200]
    own = (await pandit.api.get("/api/pandits/me/")).json()
    assert (own["bio"], own["bio_ne"], own["experience_years"]) == ("One", "दुई", 33)


# -- services ------------------------------------------------------------------------------------


OFFER = {"puja_id": "griha-pravesh", "duration_minutes": 180, "price": 510_000}


async def test_a_service_is_named_like_its_puja_unless_told(pandit):
    service = (await pandit.api.post("/api/services/", json=OFFER)).json()
    assert (service["name"], service["name_ne"]) == ("Griha Pravesh", "गृह प्रवेश")
    assert service["pandit_id"] == pandit.pandit_id
    listed = (await pandit.api.get("/api/services/")).json()["results"]
    assert [each["id"] for each in listed] == [pandit.service_id, service["id"]]


async def test_the_same_key_makes_one_service(pandit):
    headers = {"Idempotency-Key": "one-service-only"}
    ids = {
        (await pandit.api.post("/api/services/", json=OFFER, headers=headers)).json()["id"]
        for _ in range(2)
    }
    assert len(ids) == 1
    assert len((await pandit.api.get("/api/services/")).json()["results"]) == 2


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"puja_id": "no-such"}, "puja_id"),
        ({"duration_minutes": 50}, "duration_minutes"),
        ({"duration_minutes": 0}, "duration_minutes"),
        ({"duration_minutes": 1455}, "duration_minutes"),
        ({"price": 0}, "price"),
        ({"price": -5}, "price"),
        ({"price": 10.5}, "price"),
        ({"pandit_id": "somebody"}, "pandit_id"),
    ],
)
async def test_services_that_make_no_sense_are_refused(pandit, change, field):
    answer = await pandit.api.post("/api/services/", json={**OFFER, **change})
    assert answer.status_code == 422
    assert [fault["field"] for fault in answer.json()["errors"]] == [field]


async def test_a_service_is_changed_by_its_owner_alone(people, pandit):
    other, customer = await people.pandit("Shyam Joshi"), await people.customer()
    path = f"/api/services/{pandit.service_id}/"
    for api, status in ((other.api, 404), (customer.api, 403), (await people.nobody(), 401)):
        assert (await api.patch(path, json={"price": 1})).status_code == status
        assert (await api.delete(path)).status_code == status
    changed = await pandit.api.patch(path, json={"price": 300_000, "duration_minutes": 150})
    assert (changed.json()["price"], changed.json()["duration_minutes"]) == (300_000, 150)
    assert (await pandit.api.patch(path, json={"price": 0})).status_code == 422
    assert (await pandit.api.patch(path, json={"puja_id": "griha-pravesh"})).status_code == 422


async def test_a_removed_service_cannot_be_booked_and_its_bookings_stay(people, pandit):
    customer = await people.customer()
    booking = await book(customer, pandit)
    assert (await pandit.api.delete(f"/api/services/{pandit.service_id}/")).status_code == 204
    again = await customer.api.post(
        "/api/bookings/",
        json={
            "service_id": pandit.service_id,
            "booking_date": "2026-11-26",
            "booking_time": "10:00",
            "service_location": "PANDIT_LOCATION",
            "samagri_required": False,
        },
    )
    assert again.status_code == 404
    kept = (await customer.api.get(f"/api/bookings/{booking}/")).json()
    assert (kept["status"], kept["service_fee"]) == ("PENDING", 250_000)
    accepted = await pandit.api.post(f"/api/bookings/{booking}/accept/")
    assert accepted.status_code == 200
    assert (await pandit.api.delete(f"/api/services/{pandit.service_id}/")).status_code == 404


async def test_services_that_are_switched_off_are_not_shown_to_others(people, pandit):
    await pandit.api.patch(f"/api/services/{pandit.service_id}/", json={"is_available": False})
    nobody = await people.nobody()
    shown = (await nobody.get(f"/api/pandits/{pandit.pandit_id}/")).json()
    assert shown["services"] == []
    own = (await pandit.api.get("/api/pandits/me/")).json()
    assert [service["is_available"] for service in own["services"]] == [False]


# -- hours ---------------------------------------------------------------------------------------


WEEK = {
    "weekly": [
        {"weekday": 7, "intervals": [{"start": "14:00", "end": "00:00"}]},
        {
            "weekday": 1,
            "intervals": [{"start": "06:00", "end": "09:00"}, {"start": "16:00", "end": "19:00"}],
        },
    ],
    "exceptions": [{"date": "2026-11-30", "intervals": [], "note": "Ekadashi"}],
    "buffer_minutes": 45,
    "lead_minutes": 60,
}


async def test_hours_default_to_sunday_to_friday(pandit):
    hours = (await pandit.api.get("/api/pandits/me/availability/")).json()
    assert hours["timezone"] == "Asia/Kathmandu"
    off = [day["weekday"] for day in hours["weekly"] if not day["intervals"]]
    assert off == [6]


async def test_hours_are_replaced_as_a_whole(pandit):
    stored = (await pandit.api.put("/api/pandits/me/availability/", json=WEEK)).json()
    assert stored == (await pandit.api.get("/api/pandits/me/availability/")).json()
    week = {day["weekday"]: day["intervals"] for day in stored["weekly"]}
    assert week[7] == [{"start": "14:00", "end": "00:00"}]
    assert week[3] == []
    assert stored["exceptions"][0]["date_bs"].startswith("2083-08-")
    assert (stored["buffer_minutes"], stored["lead_minutes"]) == (45, 60)


@pytest.mark.parametrize(
    ("change", "field", "code"),
    [
        (
            {"weekly": [{"weekday": 1, "intervals": [{"start": "09:00", "end": "08:00"}]}]},
            "weekly[0].intervals[0].end",
            "order",
        ),
        (
            {"weekly": [{"weekday": 1, "intervals": [{"start": "09:10", "end": "10:00"}]}]},
            "weekly[0].intervals[0].start",
            "not-quarter-hour",
        ),
        ({"exceptions": [{"date": "2026-11-21"}]}, "exceptions[0].date", "in-the-past"),
        ({"buffer_minutes": 241}, "buffer_minutes", "range"),
        ({"weekly": [{"weekday": 8}]}, "weekly[0].weekday", "range"),
        (
            {"weekly": [{"weekday": 1, "intervals": [{"start": "25:00", "end": "26:00"}]}]},
            "weekly[0].intervals[0].start",
            "pattern",
        ),
    ],
)
async def test_hours_that_make_no_sense_are_refused_and_change_nothing(pandit, change, field, code):
    before = (await pandit.api.get("/api/pandits/me/availability/")).json()
    answer = await pandit.api.put("/api/pandits/me/availability/", json={**WEEK, **change})
    assert answer.status_code == 422
    assert [(fault["field"], fault["code"]) for fault in answer.json()["errors"]] == [(field, code)]
    assert (await pandit.api.get("/api/pandits/me/availability/")).json() == before


async def test_exceptions_that_are_over_are_not_shown_and_can_be_written_back(
    people, pandit, clock
):
    (await pandit.api.put("/api/pandits/me/availability/", json=WEEK)).raise_for_status()
    clock.advance(days=9)
    await people.sign_in_again(pandit)
    hours = (await pandit.api.get("/api/pandits/me/availability/")).json()
    assert hours["exceptions"] == []
    del hours["timezone"]
    assert (await pandit.api.put("/api/pandits/me/availability/", json=hours)).status_code == 200


# -- reviews -------------------------------------------------------------------------------------


async def test_only_approved_reviews_are_public_newest_first(people, pandit, server):
    reviews = server.store.collection("reviews")
    for number, is_verified in enumerate((True, False, True, True)):
        await reviews.insert_one(
            {
                "_id": f"review{number}",
                "booking_id": f"booking{number}",
                "user_id": "customer",
                "customer_name": "Sita Sharma",
                "pandit_id": pandit.pandit_id,
                "rating": 5,
                "professionalism": 5,
                "knowledge": 4,
                "punctuality": 3,
                "comment": f"Comment {number}",
                "comment_ne": "",
                "is_verified": is_verified,
                "created_at": server.services.clock.now(),
            }
        )
    nobody = await people.nobody()
    params = {"pandit_id": pandit.pandit_id, "limit": 2}
    first = (await nobody.get("/api/reviews/", params=params)).json()
    rest = (await nobody.get("/api/reviews/", params={**params, "cursor": first["next"]})).json()
    shown = [review["id"] for review in first["results"] + rest["results"]]
    assert shown == ["review3", "review2", "review0"]
    assert rest["next"] is None
    assert "booking_id" not in json.dumps(first)
    assert (await nobody.get("/api/reviews/", params={"pandit_id": "no"})).status_code == 404
    assert (await nobody.get("/api/reviews/")).status_code == 422


async def test_dates_carry_bikram_sambat(people, pandit):
    nobody = await people.nobody()
    shown = (await nobody.get(f"/api/pandits/{pandit.pandit_id}/")).json()
    assert date.fromisoformat(shown["verified_date"]) == date(2026, 11, 22)
    assert shown["date_joined"].endswith("+05:45")
