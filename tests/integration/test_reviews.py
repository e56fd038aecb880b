"""Reviews over REST: once and after completion, moderated, counted exactly, answered, reported."""

from __future__ import annotations

import asyncio
import random
import re
from dataclasses import replace
from datetime import timedelta

import pytest

from server.domain.account import Actor, Role
from server.domain.events import Event, EventKind
from server.domain.search import ranking_of
from server.services.reviews import RatingKeeper
from server.store.pandits import MongoPanditRepository
from server.store.reviews import MongoReviewRepository, review_document
from tests.integration.test_pages import signed_in, text_of
from tests.support import SUNDAY_TEN
from tests.unit.domain.test_review import written

STARS = {"rating": 5, "professionalism": 4, "knowledge": 5, "punctuality": 3}


async def booked(customer, pandit, at="10:00", day="2026-11-25"):
    answer = await customer.api.post(
        "/api/bookings/",
        json={
            "service_id": pandit.service_id,
            "booking_date": day,
            "booking_time": at,
            "service_location": "PANDIT_LOCATION",
            "samagri_required": False,
        },
    )
    return answer.raise_for_status().json()["id"]


@pytest.fixture
def held(people, clock):
    async def make(customer, pandit):
        start = clock.now()
        booking = await booked(customer, pandit)
        (await pandit.api.post(f"/api/bookings/{booking}/accept/")).raise_for_status()
        clock.set(start.fromisoformat("2026-11-25T04:15:00+00:00"))
        for person in (customer, pandit):
            await people.sign_in_again(person)
        for move in ("start", "complete"):
            (await pandit.api.post(f"/api/bookings/{booking}/{move}/")).raise_for_status()
        return booking

    return make


@pytest.fixture
async def told(people, held):
    """A completed booking with its people."""
    customer, pandit = await people.customer(), await people.pandit()
    booking = await held(customer, pandit)
    return customer, pandit, await people.admin("Moderator Rai"), booking


async def kinds(person):
    rows = (await person.api.get("/api/notifications/")).raise_for_status().json()["results"]
    return [row["notification_type"] for row in rows]


async def test_a_review_is_public_and_counted_once_a_moderator_has_approved_it(told, people):
    customer, pandit, admin, booking = told
    body = {**STARS, "comment": "Very kind", "comment_ne": "एकदम राम्रो"}
    answer = await customer.api.post(f"/api/bookings/{booking}/review/", json=body)
    assert answer.status_code == 201
    review = answer.json()
    assert (review["state"], review["is_verified"]) == ("open", False)
    nobody = await people.nobody()
    listed = {"pandit_id": pandit.pandit_id}
    assert (await nobody.get("/api/reviews/", params=listed)).json()["results"] == []
    assert (await pandit.api.get(f"/api/bookings/{booking}/review/")).status_code == 404
    waiting = (await admin.api.get("/api/admin/reviews/")).json()["results"]
    assert [each["id"] for each in waiting] == [review["id"]]
    assert "REVIEW_SUBMITTED" in await kinds(admin)

    path = f"/api/admin/reviews/{review['id']}/moderate/"
    for _ in range(2):
        done = await admin.api.post(path, json={"decision": "approve"})
        assert (done.status_code, done.json()["state"]) == (200, "published")
    (shown,) = (await nobody.get("/api/reviews/", params=listed)).json()["results"]
    assert {name: shown[name] for name in body} == body
    assert shown["customer_name"] == "Sita S."
    assert "booking" not in shown
    profile = (await nobody.get(f"/api/pandits/{pandit.pandit_id}/")).json()
    assert (profile["rating"], profile["review_count"]) == (5.0, 1)
    (card,) = (await nobody.get("/api/pandits/")).json()["results"]
    assert (card["rating"], card["review_count"]) == (5.0, 1)
    assert (await kinds(pandit)).count("REVIEW_RECEIVED") == 1
    assert (await kinds(customer)).count("REVIEW_PUBLISHED") == 1

    hidden = {"decision": "withdraw", "notes": "Names a neighbour"}
    assert (await admin.api.post(path, json=hidden)).json()["state"] == "withdrawn"
    profile = (await nobody.get(f"/api/pandits/{pandit.pandit_id}/")).json()
    assert (profile["rating"], profile["review_count"]) == (0.0, 0)
    assert (await nobody.get("/api/reviews/", params=listed)).json()["results"] == []
    own = (await customer.api.get(f"/api/bookings/{booking}/review/")).json()
    assert (own["state"], own["notes"]) == ("withdrawn", "Names a neighbour")


async def test_one_review_of_a_completed_booking_by_its_customer(people, told, clock):
    customer, pandit, admin, booking = told
    path = f"/api/bookings/{booking}/review/"
    other = await people.customer("Gita Rai")
    for person, status in ((other, 404), (pandit, 403), (admin, 403)):
        assert (await person.api.post(path, json=STARS)).status_code == status
    answers = await asyncio.gather(*(customer.api.post(path, json=STARS) for _ in range(5)))
    assert sorted(answer.status_code for answer in answers) == [201, 409, 409, 409, 409]
    refused = next(answer.json() for answer in answers if answer.status_code == 409)
    assert refused["type"].endswith("already-exists")
    open_booking = await booked(customer, pandit, at="08:00", day="2026-12-02")
    early = await customer.api.post(f"/api/bookings/{open_booking}/review/", json=STARS)
    assert (early.status_code, early.json()["type"].rsplit("/")[-1]) == (409, "illegal-transition")


LINES = "\n".join(["x" * 179] * 11) + "x" * 16
"""1,995 characters, ten of them line breaks, which a browser sends as two each."""


def textarea(page, name):
    found = re.search(rf'<textarea[^>]*name="{name}"[^>]*>([^<]*)</textarea>', text_of(page))
    assert found is not None
    return found[1]


async def test_a_review_that_is_refused_keeps_what_was_typed(told, people):
    customer, pandit, _, booking = told
    assert (len(LINES), LINES.count("\n")) == (1_995, 10)
    browser = await signed_in(people, customer)
    path = f"/bookings/{booking}/review/"
    long = "y" * 2_001
    refused = await browser.post(path, **STARS, comment=long)
    assert refused.status_code == 422
    assert textarea(refused, "comment") == long
    assert '<a href="#comment">' in refused.text
    for name, stars in STARS.items():
        (field,) = re.findall(rf'<input[^>]*name="{name}" value="{stars}"[^>]*>', refused.text)
        assert " checked" in field
    unrated = await browser.post(path, **STARS | {"rating": ""}, comment="Good.")
    assert unrated.status_code == 422
    assert textarea(unrated, "comment") == "Good."
    assert 'id="rating-fault"' in unrated.text
    written = await browser.post(path, **STARS, comment=LINES.replace("\n", "\r\n"))
    assert written.status_code == 303, text_of(written)
    review = (await customer.api.get(f"/api/bookings/{booking}/review/")).json()
    assert review["comment"] == LINES
    twice = await browser.post(path, **STARS, comment="Again")
    assert twice.status_code == 409
    assert "You have already reviewed this booking." in text_of(twice)
    desk = await signed_in(people, pandit)
    path = f"/bookings/{booking}/customer-rating/"
    refused = await desk.post(path, rating="4", comment="z" * 1_001)
    assert refused.status_code == 422
    assert textarea(refused, "comment") == "z" * 1_001
    (field,) = re.findall(r'<input[^>]*name="rating" value="4"[^>]*>', refused.text)
    assert " checked" in field
    assert (await desk.post(path, rating="4", comment="Kind.")).status_code == 303


async def test_all_reviews_of_a_pandit_are_reached_and_answers_keep_what_was_typed(
    server, people, repositories
):
    pandit, other, admin = (
        await people.pandit(),
        await people.customer(),
        await people.admin("Moderator Rai"),
    )
    reviews, _ = repositories
    for number in range(11):
        await reviews.add(
            written(
                id=f"r{number}",
                booking_id=f"b{number}",
                pandit_id=pandit.pandit_id,
                pandit_user_id=pandit.user_id,
                comment=f"Word {number}.",
                created_at=SUNDAY_TEN + timedelta(minutes=number),
            )
        )
    office = await signed_in(people, admin)
    too_long = await office.post("/admin/reviews/r3/", decision="approve", notes="n" * 501)
    assert too_long.status_code == 422
    assert textarea(too_long, "notes") == "n" * 501
    assert 'id="review-r3"' in too_long.text
    unsaid = await office.post("/admin/reviews/r3/", decision="withdraw", notes=" ")
    assert unsaid.status_code == 422
    assert 'aria-invalid="true"' in unsaid.text
    assert "This field is needed." in unsaid.text
    for number in range(11):
        decided = await office.post(f"/admin/reviews/r{number}/", decision="approve")
        assert decided.status_code == 303
    home = f"/pandits/{pandit.pandit_id}/"
    desk = await signed_in(people, pandit)
    first = await desk.get(f"{home}?service=x")
    assert [f'id="review-r{number}"' in first.text for number in (10, 1, 0)] == [True, True, False]
    following = re.search(r'href="([^"]*cursor=[^"]*)#reviews"', text_of(first))
    assert following is not None
    second = await desk.get(following[1])
    assert [f'id="review-r{number}"' in second.text for number in (10, 1, 0)] == [
        False,
        False,
        True,
    ]
    assert 'action="/reviews/r0/reply/"' in second.text
    back = re.search(r'name="next" value="([^"]*)"', text_of(second))
    assert back is not None
    refused = await desk.post("/reviews/r0/reply/", next=back[1], reply="a" * 2_001)
    assert refused.status_code == 422
    assert textarea(refused, "reply") == "a" * 2_001
    assert f'name="next" value="{back[1]}"' in text_of(refused)
    assert text_of(refused).count("a" * 2_001) == 1
    answered = await desk.post("/reviews/r0/reply/", next=back[1], reply="Thank you.")
    assert answered.headers["Location"] == back[1]
    assert "Thank you." in (await desk.get(back[1])).text
    reader = await signed_in(people, other)
    refused = await reader.post("/reviews/r5/report/", next=home, reason="b" * 501)
    assert refused.status_code == 422
    assert f'value="{"b" * 501}"' in refused.text
    assert (await reader.post("/reviews/r5/report/", next=home, reason="Rude")).status_code == 303
    assert (await reader.get("/reviews/r5/report/")).headers["Location"] == f"{home}#review-r5"
    assert (await desk.get(f"{home}?cursor=nonsense")).status_code == 422


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"rating": 6}, "rating"),
        ({"knowledge": 0}, "knowledge"),
        ({"punctuality": "5"}, "punctuality"),
        ({"comment": "x" * 2001}, "comment"),
        ({"is_verified": True}, "is_verified"),
    ],
)
async def test_bad_reviews_are_refused_by_field(told, change, field):
    customer, _, _, booking = told
    answer = await customer.api.post(f"/api/bookings/{booking}/review/", json={**STARS, **change})
    assert answer.status_code == 422
    assert [fault["field"] for fault in answer.json()["errors"]] == [field]


async def test_the_pandit_answers_once_and_others_report(told, people):
    customer, pandit, admin, booking = told
    review = (await customer.api.post(f"/api/bookings/{booking}/review/", json=STARS)).json()["id"]
    reply, report = f"/api/reviews/{review}/reply/", f"/api/reviews/{review}/report/"
    assert (await pandit.api.post(reply, json={"reply": "Thanks"})).status_code == 404
    assert (await pandit.api.post(report, json={"reason": "Untrue"})).status_code == 404
    moderate = f"/api/admin/reviews/{review}/moderate/"
    (await admin.api.post(moderate, json={"decision": "approve"})).raise_for_status()

    stranger = await people.pandit("Shyam Joshi")
    assert (await stranger.api.post(reply, json={"reply": "Hm"})).status_code == 404
    assert (await customer.api.post(reply, json={"reply": "Hm"})).status_code == 403
    assert (await pandit.api.post(reply, json={})).status_code == 422
    answered = await pandit.api.post(reply, json={"reply": "Thank you", "reply_ne": "धन्यवाद"})
    assert (answered.status_code, answered.json()["reply"]["reply_ne"]) == (201, "धन्यवाद")
    assert (await pandit.api.post(reply, json={"reply": "More"})).status_code == 409
    assert "REVIEW_REPLIED" in await kinds(customer)

    nobody = await people.nobody()
    assert (await nobody.post(report, json={"reason": "Untrue"})).status_code == 401
    assert (await customer.api.post(report, json={"reason": "Mine"})).status_code == 403
    for _ in range(2):
        assert (await pandit.api.post(report, json={"reason": "Untrue"})).status_code == 204
    acts = (await admin.api.get("/api/admin/audit/")).json()["results"]
    assert "review-moderated" in [each["act"] for each in acts]
    (waiting,) = (await admin.api.get("/api/admin/reviews/")).json()["results"]
    assert [each["reason"] for each in waiting["reports"]] == ["Untrue"]
    assert (await kinds(admin)).count("REVIEW_REPORTED") == 1
    own = (await customer.api.get(f"/api/bookings/{booking}/review/")).json()
    assert (own["state"], "reports" in own) == ("published", False)
    (await admin.api.post(moderate, json={"decision": "approve"})).raise_for_status()
    assert (await admin.api.get("/api/admin/reviews/")).json()["results"] == []
    profile = (await nobody.get(f"/api/pandits/{pandit.pandit_id}/")).json()
    assert (profile["rating"], profile["review_count"]) == (5.0, 1)


async def test_only_admins_moderate(told, people):
    customer, pandit, _, booking = told
    review = (await customer.api.post(f"/api/bookings/{booking}/review/", json=STARS)).json()["id"]
    path = f"/api/admin/reviews/{review}/moderate/"
    nobody = await people.nobody()
    for api, status in ((customer.api, 403), (pandit.api, 403), (nobody, 401)):
        assert (await api.post(path, json={"decision": "approve"})).status_code == status
        assert (await api.get("/api/admin/reviews/")).status_code == status


async def test_pandits_rate_customers_and_the_customer_does_not_see_it(told, people):
    customer, pandit, admin, booking = told
    path = f"/api/bookings/{booking}/customer-rating/"
    assert (await customer.api.post(path, json={"rating": 5})).status_code == 403
    assert (await customer.api.get(path)).status_code == 403
    assert (await pandit.api.post(path, json={"rating": 9})).status_code == 422
    given = await pandit.api.post(path, json={"rating": 4, "comment": "A warm house"})
    assert (given.status_code, given.json()["rating"]) == (201, 4)
    assert (await pandit.api.post(path, json={"rating": 1})).status_code == 409
    other = await people.pandit("Shyam Joshi")
    assert (await other.api.get(path)).status_code == 404
    next_booking = await booked(customer, other, at="14:00", day="2026-12-02")
    next_path = f"/api/bookings/{next_booking}/customer-rating/"
    seen = (await other.api.get(next_path)).raise_for_status().json()
    assert (seen["count"], seen["rating"], seen["latest"][0]["comment"]) == (1, 4.0, "A warm house")
    assert (await admin.api.get(path)).json()["count"] == 1
    early = await other.api.post(next_path, json={"rating": 5})
    assert early.status_code == 409


# -- counting --------------------------------------------------------------------------------------


@pytest.fixture
def repositories(server):
    return MongoReviewRepository(server.store), MongoPanditRepository(server.store)


async def many(server, pandit_id, count):
    chance = random.Random(5)
    reviews = [
        replace(
            written(id=f"r{number}", pandit_id=pandit_id, rating=chance.randrange(1, 6)),
            booking_id=f"b{number}",
            knowledge=chance.randrange(1, 6),
        )
        for number in range(count)
    ]
    await server.store.collection("reviews").insert_many(
        [review_document(each) for each in reviews]
    )
    return [review.id for review in reviews]


async def assert_exact(repositories, pandit_id):
    reviews, pandits = repositories
    pandit = await pandits.find(pandit_id)
    public = (await reviews.list_for_pandit(pandit_id, limit=100, after=None)).rows
    sums = pandit.sums
    assert (sums.count, sums.rating, sums.knowledge) == (
        len(public),
        sum(each.rating for each in public),
        sum(each.knowledge for each in public),
    )
    assert pandit.review_count == sums.count
    assert pandit.rating == sums.mean(sums.rating)
    return pandit


async def test_racing_moderators_count_every_review_exactly_once(people, server, repositories):
    pandit = await people.pandit()
    ids = await many(server, pandit.pandit_id, 8)
    chance = random.Random(11)
    reviews = server.services.reviews

    async def moderator(number):
        admin = Actor(user_id=f"a{number}", role=Role.ADMIN, session_id="s", full_name="A")
        for _ in range(6):
            await reviews.moderate(
                admin, chance.choice(ids), is_approved=chance.random() < 0.6, notes=""
            )

    await asyncio.gather(*(moderator(number) for number in range(3)))
    found = await assert_exact(repositories, pandit.pandit_id)
    stored = await server.store.collection("pandits").find_one({"_id": pandit.pandit_id})
    assert stored["ranking"] == ranking_of(found)


async def test_what_a_dead_process_has_decided_is_counted_by_the_next_decision(
    people, server, repositories
):
    reviews, _ = repositories
    pandit = await people.pandit()
    first, second = await many(server, pandit.pandit_id, 2)
    review = await reviews.find(first)
    # Written, and then the process died: neither counted nor told.
    assert await reviews.replace(replace(review, is_verified=True, is_open=False, turns=(1,)))
    admin = Actor(user_id="a", role=Role.ADMIN, session_id="s", full_name="A")
    await server.services.reviews.moderate(admin, second, is_approved=True, notes="")
    found = await assert_exact(repositories, pandit.pandit_id)
    assert (found.sums.turn, found.sums.count) == (2, 2)


async def test_an_event_that_comes_late_and_often_counts_nothing_twice(
    people, server, repositories, clock
):
    reviews, pandits = repositories
    pandit = await people.pandit()
    (first,) = await many(server, pandit.pandit_id, 1)
    review = await reviews.find(first)
    assert await reviews.replace(replace(review, is_verified=True, is_open=False, turns=(1,)))
    event = Event(
        id="e", kind=EventKind.REVIEW_PUBLISHED, at=clock.now(), recipients=(),
        params={"pandit_id": pandit.pandit_id},
    )  # fmt: skip
    keepers = [RatingKeeper(reviews, pandits, clock) for _ in range(4)]
    await asyncio.gather(*(keeper.on_event(event) for keeper in keepers))
    await keepers[0].on_event(event)
    found = await assert_exact(repositories, pandit.pandit_id)
    assert (found.sums.turn, found.sums.count) == (1, 1)


async def test_one_turn_belongs_to_one_review(people, server, repositories):
    reviews, _ = repositories
    pandit = await people.pandit()
    first, second = [await reviews.find(each) for each in await many(server, pandit.pandit_id, 2)]
    assert await reviews.replace(replace(first, is_verified=True, turns=(1,)))
    assert not await reviews.replace(replace(second, is_verified=True, turns=(1,)))
    assert (await reviews.find_by_turn(pandit.pandit_id, 1)).id == first.id
