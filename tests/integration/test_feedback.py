"""What became of recommendations, told by clients and by bookings; what customers prefer."""

from __future__ import annotations

import asyncio
from collections import Counter
from typing import Any

import pytest

from recsys import sources
from recsys.data import Kind
from server.app import RunningServer
from server.domain.account import Actor, Role
from server.domain.events import Event, EventKind
from server.domain.learning import Surface, Trial
from server.settings import Settings
from tests.integration.test_bookings import wish
from tests.support import FakeClock, People, Person

PUJA = "satyanarayan-puja"
FEEDBACK = "/api/recommendations/feedback/"
PREFERENCES = "/api/users/me/samagri-preferences/"
SHOWN = ("haldi", "camphor")
MODEL = "20260401T031500Z-3f9c2a1b"


def rec_id(server: RunningServer, person: Person, surface: Surface, *targets: str) -> str:
    """The id of a recommendation of these, made by the server for this person."""
    return server.services.learning.issue(
        actor_of(person), surface, version=MODEL, targets=targets, puja_id=PUJA
    )


def actor_of(person: Person) -> Actor:
    return Actor(
        user_id=person.user_id,
        session_id="session",
        role=Role.USER,
        full_name=person.full_name,
    )


async def rows(server: RunningServer, collection: str, **query: Any) -> list[dict[str, Any]]:
    return await server.store.collection(collection).find(query, limit=1000)


async def say(person: Person, **body: Any) -> int:
    answer = await person.api.post(FEEDBACK, json=body)
    return int(answer.raise_for_status().json()["recorded"])


async def counters(server: RunningServer, target: str) -> dict[str, Any]:
    await server.services.learning.flush()
    (found,) = await rows(server, "recommendation_counters", target=target)
    return found


async def test_what_is_said_twice_is_counted_once(server: RunningServer, people: People) -> None:
    sita = await people.customer()
    rec = rec_id(server, sita, Surface.SAMAGRI, *SHOWN)
    assert await say(sita, kind="shown", rec_id=rec, item_ids=list(SHOWN)) == 2
    assert await say(sita, kind="shown", rec_id=rec, item_ids=list(SHOWN)) == 0
    assert await say(sita, kind="added", rec_id=rec, item_id="haldi") == 1
    assert await say(sita, kind="added", rec_id=rec, item_id="haldi") == 0
    assert await say(sita, kind="removed", rec_id=rec, item_id="camphor") == 1
    haldi, camphor = await counters(server, "haldi"), await counters(server, "camphor")
    assert (haldi["version"], haldi["arm"], haldi["surface"]) == (MODEL, "", "samagri")
    assert (haldi["times_recommended"], haldi["times_clicked"]) == (1, 1)
    assert (camphor["times_recommended"], camphor["times_removed"]) == (1, 1)
    assert "times_clicked" not in camphor
    total = await counters(server, "")
    assert (total["times_recommended"], total["times_clicked"], total["times_removed"]) == (2, 1, 1)


async def test_clicks_on_items_are_not_what_models_learn_from(
    server: RunningServer, people: People
) -> None:
    """They can be repeated with every new recommendation; a booking's list cannot."""
    sita = await people.customer()
    for _ in range(3):
        rec = rec_id(server, sita, Surface.SAMAGRI, *SHOWN)
        await say(sita, kind="added", rec_id=rec, item_id="haldi")
    assert await rows(server, "interactions") == []


async def test_a_recommendation_cannot_be_invented(
    server: RunningServer, people: People, clock: FakeClock
) -> None:
    sita, gita = await people.customer(), await people.customer("Gita Rai")
    rec = rec_id(server, sita, Surface.SAMAGRI, *SHOWN)
    flipped = ("A" if rec[30] != "A" else "B").join((rec[:30], rec[31:]))
    for person, body, code in (
        (gita, {"rec_id": rec, "item_id": "haldi"}, "unknown-recommendation"),
        (sita, {"rec_id": flipped, "item_id": "haldi"}, "unknown-recommendation"),
        (sita, {"rec_id": rec[:-4], "item_id": "haldi"}, "unknown-recommendation"),
        (sita, {"rec_id": "é" * 40, "item_id": "haldi"}, "unknown-recommendation"),
        (sita, {"rec_id": "A" * 15, "item_id": "haldi"}, "unknown-recommendation"),
        (sita, {"rec_id": rec, "item_id": "ghee"}, "not-recommended"),
        (sita, {"rec_id": rec, "pandit_id": "haldi"}, "not-recommended"),
        (sita, {"item_id": "haldi"}, "required"),
        (sita, {"rec_id": rec}, "required"),
        (sita, {"rec_id": rec, "item_id": "haldi", "puja_id": PUJA}, "choice"),
        (sita, {"rec_id": rec, "item_ids": []}, "too-short"),
        (sita, {"rec_id": rec, "item_ids": ["haldi"] * 101}, "too-long"),
        (sita, {"rec_id": "x" * 1201, "item_id": "haldi"}, "too-long"),
    ):
        answer = await person.api.post(FEEDBACK, json={"kind": "added", **body})
        assert answer.status_code == 422, body
        assert [each["code"] for each in answer.json()["errors"]] == [code], body
    purchased = await sita.api.post(
        FEEDBACK, json={"kind": "purchased", "rec_id": rec, "item_id": "haldi"}
    )
    assert purchased.status_code == 422, "only the server says what was bought"
    clock.advance(days=31)
    await people.sign_in_again(sita)
    late = await sita.api.post(FEEDBACK, json={"kind": "added", "rec_id": rec, "item_id": "haldi"})
    assert late.status_code == 422
    assert await rows(server, "recommendation_feedback") == []


async def test_an_opinion_is_kept_and_training_hears_of_it_once(
    server: RunningServer, people: People
) -> None:
    sita = await people.customer()
    for _ in range(2):
        assert await say(sita, kind="never_show", item_id="camphor") == 1
        put = await sita.api.put(f"{PREFERENCES}haldi/", json={"preference": "FAVOURITE"})
        assert put.raise_for_status().json()["preference"] == "FAVOURITE"
    listed = (await sita.api.get(PREFERENCES)).raise_for_status().json()
    assert [(each["item_id"], each["preference"]) for each in listed["results"]] == [
        ("camphor", "NEVER_SHOW"),
        ("haldi", "FAVOURITE"),
    ]
    found = await server.services.preferences.find(sita.user_id)
    assert found.favourites == {"haldi"}
    assert found.never_show == {"camphor"}
    told = {row["kind"]: row for row in await rows(server, "interactions")}
    assert set(told) == {"rating", "item_dismissed"}
    assert (told["rating"]["rating"], told["rating"]["item_id"]) == (5, "haldi")
    assert told["item_dismissed"]["item_id"] == "camphor"


async def test_training_hears_of_each_change_of_mind(
    server: RunningServer, people: People, clock: FakeClock
) -> None:
    sita = await people.customer()
    target = f"{PREFERENCES}haldi/"
    for preference in ("FAVOURITE", "FAVOURITE", "", "FAVOURITE", "NEVER_SHOW", "NEVER_SHOW", ""):
        clock.advance(minutes=1)
        if preference:
            (await sita.api.put(target, json={"preference": preference})).raise_for_status()
        else:
            (await sita.api.delete(target)).raise_for_status()
    told = sorted(await rows(server, "interactions"), key=lambda row: row["ts"])
    assert [(row["kind"], row.get("rating")) for row in told] == [
        ("rating", 5),
        ("rating", 3),
        ("rating", 5),
        ("item_dismissed", None),
        ("rating", 3),
    ]


async def test_an_opinion_can_be_changed_and_taken_back(people: People) -> None:
    sita, gita = await people.customer(), await people.customer("Gita Rai")
    target = f"{PREFERENCES}haldi/"
    for preference in ("NEVER_SHOW", "FAVOURITE"):
        (await sita.api.put(target, json={"preference": preference})).raise_for_status()
    (only,) = (await sita.api.get(PREFERENCES)).json()["results"]
    assert only["preference"] == "FAVOURITE"
    assert (await gita.api.get(PREFERENCES)).json()["results"] == []
    assert (await gita.api.delete(target)).status_code == 404
    assert (await sita.api.delete(target)).status_code == 204
    assert (await sita.api.delete(target)).status_code == 404
    assert (await sita.api.get(PREFERENCES)).json() == {"results": [], "next": None}
    unknown = await sita.api.put(f"{PREFERENCES}no-such-item/", json={"preference": "FAVOURITE"})
    assert unknown.json()["errors"][0]["code"] == "unknown-item"
    about_a_pandit = await sita.api.post(
        FEEDBACK, json={"kind": "favourite", "pandit_id": "somebody"}
    )
    assert about_a_pandit.status_code == 422
    about_several = await sita.api.post(
        FEEDBACK, json={"kind": "favourite", "item_ids": ["haldi", "camphor"]}
    )
    assert about_several.status_code == 422


async def test_the_ledger_keeps_with_what_chance_somebody_was_tried(
    server: RunningServer, people: People
) -> None:
    sita = await people.customer()
    rec = server.services.learning.issue(
        actor_of(sita),
        Surface.PANDITS,
        version=MODEL,
        targets=("ram", "hari"),
        puja_id=PUJA,
        tried=("hari", Trial(place=2, propensity=0.25)),
    )
    await say(sita, kind="shown", rec_id=rec, pandit_ids=["ram", "hari"])
    await say(sita, kind="added", rec_id=rec, pandit_id="hari")
    ledger = await rows(server, "recommendation_feedback")
    trials = {(row["target"], row["kind"]): row["trial"] for row in ledger}
    tried = {"place": 2, "propensity": 0.25}
    assert trials == {("ram", "shown"): None, ("hari", "shown"): tried, ("hari", "added"): tried}


async def test_a_pandit_looked_at_is_told_to_training_once(
    server: RunningServer, people: People
) -> None:
    sita = await people.customer()
    rec = rec_id(server, sita, Surface.PANDITS, "ram", "hari")
    await say(sita, kind="shown", rec_id=rec, pandit_ids=["ram", "hari"])
    for _ in range(2):
        await say(sita, kind="added", rec_id=rec, pandit_id="ram")
    (row,) = await rows(server, "interactions")
    assert (row["kind"], row["pandit_id"], row["source"]) == ("pandit_viewed", "ram", "rec")
    assert (row["user_id"], row["puja_id"]) == (sita.user_id, PUJA)


async def hold(
    people: People, sita: Person, pandit: Person, clock: FakeClock, booking: dict[str, Any]
) -> None:
    """Accept, begin and complete a booking of three days ahead."""
    target = f"/api/bookings/{booking['id']}"
    (await pandit.api.post(f"{target}/accept/", json={})).raise_for_status()
    clock.advance(days=3)
    await people.sign_in_again(pandit)
    await people.sign_in_again(sita)
    for move in ("start", "complete"):
        (await pandit.api.post(f"{target}/{move}/", json={})).raise_for_status()


@pytest.fixture
async def sita(people: People) -> Person:
    return await people.customer()


async def test_a_booking_tells_what_was_added_taken_off_and_bought(
    server: RunningServer, people: People, clock: FakeClock, sita: Person
) -> None:
    pandit = await people.pandit()
    booked = await sita.api.post("/api/bookings/", json=wish(pandit.service_id))
    booking = booked.raise_for_status().json()
    target = f"/api/bookings/{booking['id']}/samagri/"
    lines = (await sita.api.get(target)).json()["results"]
    optional = next(each["item"]["id"] for each in lines if each["can_remove"])
    known = {each["item"]["id"] for each in lines}
    items = (await sita.api.get("/api/samagri/items/", params={"limit": 100})).json()["results"]
    fresh, plain = [each["id"] for each in items if each["id"] not in known][:2]
    rec = rec_id(server, sita, Surface.SAMAGRI, fresh)
    await say(sita, kind="shown", rec_id=rec, item_id=fresh)
    for item_id in (fresh, plain):
        (await sita.api.put(f"{target}{item_id}/", json={"quantity": 1})).raise_for_status()
    (await sita.api.delete(f"{target}{optional}/")).raise_for_status()
    await hold(people, sita, pandit, clock, booking)
    told = {(row["kind"], row["item_id"]): row for row in await rows(server, "interactions")}
    assert set(told) == {
        ("samagri_added", fresh),
        ("samagri_added", plain),
        ("samagri_removed", optional),
    }
    added = told["samagri_added", fresh]
    assert (added["source"], told["samagri_added", plain]["source"]) == ("rec", "manual")
    assert added["rec_id"]
    assert "rec_id" not in told["samagri_added", plain]
    for row in told.values():
        assert (row["booking_id"], row["user_id"]) == (booking["id"], sita.user_id)
        assert (row["puja_id"], row["pandit_id"]) == (PUJA, pandit.pandit_id)
    counted = await counters(server, fresh)
    assert (counted["times_recommended"], counted["times_purchased"]) == (1, 1)
    assert not await rows(server, "recommendation_counters", target=plain)


async def test_what_is_told_of_bookings_is_training_data(
    server: RunningServer, people: People, clock: FakeClock, sita: Person, settings: Settings
) -> None:
    pandit = await people.pandit()
    booked = await sita.api.post("/api/bookings/", json=wish(pandit.service_id))
    booking = booked.raise_for_status().json()
    target = f"/api/bookings/{booking['id']}/samagri/"
    lines = (await sita.api.get(target)).json()["results"]
    known = {each["item"]["id"] for each in lines}
    items = (await sita.api.get("/api/samagri/items/", params={"limit": 100})).json()["results"]
    fresh = next(each["id"] for each in items if each["id"] not in known)
    (await sita.api.put(f"{target}{fresh}/", json={"quantity": 1})).raise_for_status()
    await say(sita, kind="never_show", item_id="honey")
    await say(sita, kind="favourite", item_id="haldi")
    rec = rec_id(server, sita, Surface.PANDITS, pandit.pandit_id)
    await say(sita, kind="added", rec_id=rec, pandit_id=pandit.pandit_id)
    await hold(people, sita, pandit, clock, booking)
    base, _, options = settings.database.uri.partition("?")
    uri = f"{base.rstrip('/')}/{settings.database.name}" + (f"?{options}" if options else "")
    at_ms = round(clock.now().timestamp() * 1000)
    data = await asyncio.to_thread(sources.read, uri, at_ms=at_ms)
    assert data.rejects.share == 0
    kinds = Counter(Kind(kind) for kind in data.events.kind.tolist())
    assert kinds[Kind.BOOKING_CREATED] == kinds[Kind.BOOKING_COMPLETED] == 1
    assert kinds[Kind.SAMAGRI_PURCHASED] == len(data.lines)
    assert kinds[Kind.ITEM_DISMISSED] == kinds[Kind.PANDIT_VIEWED] == kinds[Kind.RATING] == 1
    assert kinds[Kind.SAMAGRI_ADDED] == 1


async def test_an_event_that_comes_again_changes_nothing(
    server: RunningServer, people: People, clock: FakeClock, sita: Person
) -> None:
    pandit = await people.pandit()
    rec = rec_id(server, sita, Surface.PANDITS, pandit.pandit_id)
    await say(sita, kind="shown", rec_id=rec, pandit_id=pandit.pandit_id)
    booked = await sita.api.post("/api/bookings/", json=wish(pandit.service_id))
    booking = booked.raise_for_status().json()
    await hold(people, sita, pandit, clock, booking)
    for kind in (EventKind.BOOKING_ACCEPTED, EventKind.BOOKING_COMPLETED):
        await server.services.learning.on_event(
            Event(id="again", kind=kind, at=clock.now(), recipients=(), booking_id=booking["id"])
        )
    counted = await counters(server, pandit.pandit_id)
    assert (counted["times_recommended"], counted["times_purchased"]) == (1, 1)
    assert await rows(server, "interactions") == []


async def test_what_was_shown_more_than_a_week_before_gets_no_purchase(
    server: RunningServer, people: People, clock: FakeClock, sita: Person
) -> None:
    pandit = await people.pandit()
    rec = rec_id(server, sita, Surface.PANDITS, pandit.pandit_id)
    await say(sita, kind="shown", rec_id=rec, pandit_id=pandit.pandit_id)
    clock.advance(days=8)
    await people.sign_in_again(pandit)
    await people.sign_in_again(sita)
    later = {**wish(pandit.service_id), "booking_date": "2026-12-03"}
    booked = await sita.api.post("/api/bookings/", json=later)
    await hold(people, sita, pandit, clock, booked.raise_for_status().json())
    assert "times_purchased" not in await counters(server, pandit.pandit_id)
