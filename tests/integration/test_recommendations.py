"""Recommendations over REST: by the rules, by a model, and what must never happen."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest

from recsys.store import ModelStore
from server.app import RunningServer
from server.domain.account import GeoPoint, Place
from server.domain.booking import BookingStatus
from server.paths import data_path
from server.recommender.adviser import Advice
from server.settings import Settings
from server.store.bookings import MongoBookingRepository
from server.store.festival_files import load_festival_pujas
from tests.factories import make_booking
from tests.integration.test_bookings import WEDNESDAY, act, book
from tests.serving_models import (
    FIND,
    PUJA,
    SPOILS,
    Recipe,
    add,
    foreign,
    point,
    publish,
    shorten_year,
    spoil,
    tangle,
    the_catalogue,
)
from tests.support import FakeClock, People, Person

RULES = {
    need.item_id: need.type.value
    for puja in the_catalogue().pujas
    if puja.id == PUJA
    for need in puja.requirements
}
NEEDED = {item_id for item_id, kind in RULES.items() if kind != "OPTIONAL"}
FACTORS = {"location", "rating", "experience", "availability", "affinity"}


@pytest.fixture
def models(settings: Settings) -> ModelStore:
    return ModelStore(Path(settings.recommender.path))


@pytest.fixture
async def live(server: RunningServer, models: ModelStore) -> str:
    """A model that serves; its version."""
    version = publish(models)
    await server.services.recommendations.take_up_model()
    assert server.services.recommendations.model_state.version == version
    return version


async def get(api: httpx.AsyncClient, path: str, **params: Any) -> dict[str, Any]:
    answer = await api.get(path, params=params)
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.json()
    return found


async def samagri(api: httpx.AsyncClient, **params: Any) -> dict[str, Any]:
    return await get(api, "/api/recommendations/samagri/", puja_id=PUJA, **params)


def by_item(answer: dict[str, Any]) -> dict[str, dict[str, Any]]:
    found = {row["item"]["id"]: row for row in answer["results"]}
    assert len(found) == len(answer["results"]), "one line for each item"
    return found


async def prefer(person: Person, item_id: str, preference: str) -> None:
    path = f"/api/users/me/samagri-preferences/{item_id}/"
    (await person.api.put(path, json={"preference": preference})).raise_for_status()


# -- samagri -----------------------------------------------------------------------------------


async def test_the_rules_answer_without_a_model(people: People) -> None:
    answer = await samagri(await people.nobody())
    assert answer["model_version"] == "rules"
    found = by_item(answer)
    assert {item_id: row["type"] for item_id, row in found.items()} == RULES
    order = [row["type"] for row in answer["results"]]
    assert order == sorted(order, key=["REQUIRED", "ESSENTIAL", "OPTIONAL"].index)
    for row in answer["results"]:
        assert row["can_remove"] == (row["type"] == "OPTIONAL")
        assert row["confidence"] == (0.8 if row["can_remove"] else 1.0)
        assert row["reason"]
        assert any("\u0900" <= char <= "\u097f" for char in row["reason_ne"])
    assert answer["total"] == sum(row["price_at_booking"] for row in answer["results"])
    assert answer["shortfall"] == 0


async def test_a_model_finds_what_no_rule_names(people: People, live: str) -> None:
    answer = await samagri((await people.customer()).api)
    assert answer["model_version"] == live
    found = by_item(answer)
    assert {item_id: found[item_id]["type"] for item_id in RULES} == RULES
    row = found[FIND]
    assert (row["type"], row["source"], row["can_remove"]) == ("OPTIONAL", "model", True)
    assert 0.6 <= row["confidence"] <= 1
    assert row["reasons"][0]["code"] == "USUAL_FOR_PUJA"
    assert "97%" in row["reason"]
    assert "९७%" in row["reason_ne"]
    others = {each["source"] for item_id, each in found.items() if item_id != FIND}
    assert others == {"requirement", "rule"}


async def test_a_booking_begins_with_what_the_model_found_and_prices_it_once(
    people: People, live: str
) -> None:
    customer, pandit = await people.customer(), await people.pandit()
    advised = by_item(await samagri(customer.api, date=WEDNESDAY, city="Kathmandu"))
    booking = await book(customer, pandit.service_id)
    listed = await get(customer.api, f"/api/bookings/{booking['id']}/samagri/")
    lines = by_item(listed)
    assert lines.keys() == advised.keys()
    for item_id, line in lines.items():
        assert line["price_at_booking"] == advised[item_id]["price_at_booking"]
        assert line["quantity"] == advised[item_id]["quantity"]
    assert lines[FIND]["source"] == "model"
    assert lines[FIND]["auto_added"]
    assert lines[FIND]["reason"] == advised[FIND]["reason"]
    assert booking["samagri_fee"] == sum(line["price_at_booking"] for line in lines.values())

    path = f"/api/bookings/{booking['id']}/samagri/"
    assert (await customer.api.delete(f"{path}{FIND}/")).status_code == 200
    again = by_item((await customer.api.post(path, json={})).raise_for_status().json())
    assert FIND not in again, "what was declined stays away"


async def test_what_a_puja_needs_is_the_same_with_a_model_as_without(
    people: People, server: RunningServer, models: ModelStore
) -> None:
    customer, pandit = await people.customer(), await people.pandit()
    before = await book(customer, pandit.service_id)
    publish(models)
    await server.services.recommendations.take_up_model()
    after = await book(customer, pandit.service_id, booking_time="14:00")
    by_rules, by_model = [
        by_item(await get(customer.api, f"/api/bookings/{each['id']}/samagri/"))
        for each in (before, after)
    ]
    assert by_model.keys() - by_rules.keys() == {FIND}
    for item_id in NEEDED:
        assert by_model[item_id] == by_rules[item_id]


async def test_what_is_never_to_be_shown_is_not_shown_but_what_is_needed_stays(
    people: People, live: str
) -> None:
    customer, pandit = await people.customer(), await people.pandit()
    optional = next(item_id for item_id, kind in RULES.items() if kind == "OPTIONAL")
    needed = next(item_id for item_id, kind in RULES.items() if kind == "ESSENTIAL")
    for item_id in (FIND, optional, needed):
        await prefer(customer, item_id, "NEVER_SHOW")
    advised = by_item(await samagri(customer.api))
    booking = await book(customer, pandit.service_id)
    lines = by_item(await get(customer.api, f"/api/bookings/{booking['id']}/samagri/"))
    for found in (advised, lines):
        assert found.keys() >= NEEDED
        assert not found.keys() & {FIND, optional}
        assert "asked not to see" in found[needed]["reason"] or found is advised
    assert advised[needed]["user_hidden"]
    assert "NEEDED_THOUGH_HIDDEN" in [each["code"] for each in advised[needed]["reasons"]]
    other = by_item(await samagri((await people.customer("Gita Rai")).api))
    assert other.keys() >= {FIND, optional}, "it is nobody else's wish"


@pytest.mark.parametrize("budget", [0, 1, 50_000, 120_000, 10_000_000])
async def test_a_budget_is_never_passed_except_by_what_is_needed(
    people: People, live: str, budget: int
) -> None:
    answer = await samagri(await people.nobody(), budget=budget)
    found = by_item(answer)
    assert found.keys() >= NEEDED
    needed = sum(row["price_at_booking"] for row in found.values() if row["is_required"])
    assert answer["shortfall"] == max(needed - budget, 0)
    assert answer["total"] <= max(budget, needed)
    assert any(row["over_budget"] for row in found.values()) == (needed > budget)


async def test_questions_that_make_no_sense_are_refused(people: People) -> None:
    nobody = await people.nobody()
    for path, params, status in (
        ("samagri", {"puja_id": "no-such-puja"}, 404),
        ("samagri", {}, 422),
        ("samagri", {"puja_id": PUJA, "budget": "-1"}, 422),
        ("pandits", {"puja_id": "no-such-puja"}, 404),
        ("pandits", {"puja_id": PUJA, "lat": "27.7"}, 422),
        ("pandits", {"puja_id": PUJA, "limit": "51"}, 422),
        ("bookings", {}, 401),
    ):
        answer = await nobody.get(f"/api/recommendations/{path}/", params=params)
        assert answer.status_code == status, (path, params, answer.text)


# -- pandits -----------------------------------------------------------------------------------


async def ranked(api: httpx.AsyncClient, **params: Any) -> list[dict[str, Any]]:
    answer = await get(api, "/api/recommendations/pandits/", puja_id=PUJA, **params)
    rows: list[dict[str, Any]] = answer["results"]
    scores = [row["score"] for row in rows if not row["explored"]]
    assert scores == sorted(scores, reverse=True)
    for row in rows:
        assert row["factors"].keys() == FACTORS
        assert all(0 <= value <= 1 for value in row["factors"].values())
        assert abs(sum(row["factors"].values()) - row["score"]) < 1e-6
        parts = sum(each["contribution"] for each in row["details"].values())
        assert abs(parts - row["score"]) < 1e-5
    return rows


def place(latitude: float, longitude: float) -> Place:
    return Place(area="A", city="Kathmandu", address="House", point=GeoPoint(latitude, longitude))


async def test_pandits_are_ranked_by_factors_that_sum_to_the_score(people: People) -> None:
    far = await people.pandit("Far Away", place=place(27.40, 85.03))
    near = await people.pandit("Near By", place=place(27.70, 85.32))
    await people.pandit("Other Puja", puja_id="griha-pravesh")
    nobody = await people.nobody()
    rows = await ranked(nobody, lat=27.70, lng=85.32, date=WEDNESDAY)
    assert [row["pandit"]["id"] for row in rows] == [near.pandit_id, far.pandit_id]
    assert rows[0]["factors"]["location"] > rows[1]["factors"]["location"]
    assert rows[0]["details"]["location"]["raw"] < 1
    assert rows[0]["pandit"]["price"] == 250_000
    assert rows[0]["pandit"]["next_free_slot"]["date"] == WEDNESDAY
    without_place = await ranked(nobody)
    assert all(row["factors"]["location"] == 0 for row in without_place)


async def test_a_recommended_pandit_is_shown_with_the_service_that_he_has_time_for(
    people: People,
) -> None:
    pandit = await people.pandit(duration_minutes=180, price=100_000)
    offer = {"puja_id": PUJA, "name": "Short", "duration_minutes": 60, "price": 200_000}
    short = (await pandit.api.post("/api/services/", json=offer)).raise_for_status().json()["id"]
    nobody = await people.nobody()

    async def shown() -> tuple[str, int, str]:
        (row,) = await ranked(nobody, date=WEDNESDAY)
        card = row["pandit"]
        return card["service_id"], card["price"], card["next_free_slot"]["end"]

    assert await shown() == (pandit.service_id, 100_000, f"{WEDNESDAY}T09:00:00+05:45")
    hour = [{"start": "07:00", "end": "08:00"}]
    hours = {"weekly": [], "exceptions": [{"date": WEDNESDAY, "intervals": hour}]}
    (await pandit.api.put("/api/pandits/me/availability/", json=hours)).raise_for_status()
    assert await shown() == (short, 200_000, f"{WEDNESDAY}T08:00:00+05:45")
    # Nobody names a day: he has time within two weeks, for the short one alone.
    (row,) = await ranked(nobody)
    assert (row["pandit"]["service_id"], row["pandit"]["price"]) == (short, 200_000)


async def test_who_has_no_time_on_that_day_is_not_recommended(people: People) -> None:
    pandit = await people.pandit()
    nobody = await people.nobody()
    assert len(await ranked(nobody, date=WEDNESDAY)) == 1
    assert await ranked(nobody, date="2026-11-28") == [], "Saturday is his day off"
    assert await ranked(nobody, date="2020-01-01") == []
    (await pandit.api.patch("/api/pandits/me/", json={"is_available": False})).raise_for_status()
    assert await ranked(nobody, date=WEDNESDAY) == []


async def test_a_family_sees_the_pandit_it_had_first(
    people: People, clock: FakeClock, live: str
) -> None:
    known = await people.pandit("Known", place=place(27.72, 85.32))
    other = await people.pandit("Aother", place=place(27.72, 85.32))
    customer = await people.customer()
    booking = await book(customer, known.service_id)
    for action, days in (("accept", 0), ("start", 3), ("complete", 0)):
        clock.advance(days=days)
        await people.sign_in_again(known)
        assert (await act(known, booking, action)).status_code == 200
    await people.sign_in_again(customer)
    where = {"lat": 27.72, "lng": 85.32}
    mine = await ranked(customer.api, **where)
    assert [row["pandit"]["id"] for row in mine] == [known.pandit_id, other.pandit_id]
    # Both speak the family's language; the one it had before is nearer to it.
    assert mine[0]["factors"]["affinity"] > mine[1]["factors"]["affinity"]


async def test_no_answer_tells_how_to_reach_a_pandit(people: People) -> None:
    pandit = await people.pandit()
    text = (
        await (await people.customer()).api.get(
            "/api/recommendations/pandits/", params={"puja_id": PUJA}
        )
    ).text
    assert pandit.pandit_id in text
    assert pandit.phone not in text
    assert "House 12" not in text


async def test_the_search_is_in_the_models_order_page_by_page(people: People, live: str) -> None:
    pandits = [
        await people.pandit(f"Pandit {number}", place=place(27.70 + number / 50, 85.32))
        for number in range(5)
    ]
    nobody = await people.nobody()
    params = {"puja_id": PUJA, "lat": "27.78", "lng": "85.32", "sort": "recommended"}
    whole = await get(nobody, "/api/pandits/", **params, limit=100)
    order = [row["id"] for row in whole["results"]]
    nearest_first = [pandit.pandit_id for pandit in reversed(pandits)]
    assert order == nearest_first, "alike but for the distance, which the stored order ignores"
    seen, cursor = [], None
    while True:
        more: dict[str, str] = {"cursor": cursor} if cursor else {}
        page = await get(nobody, "/api/pandits/", **params, **more, limit=2)
        seen += [row["id"] for row in page["results"]]
        cursor = page["next"]
        if cursor is None:
            break
    assert seen == order


# -- the next puja -----------------------------------------------------------------------------


async def proposals(person: Person) -> dict[str, dict[str, Any]]:
    answer = await get(person.api, "/api/recommendations/bookings/", limit=20)
    rows = answer["results"]
    assert [row["score"] for row in rows] == sorted((r["score"] for r in rows), reverse=True)
    for row in rows:
        assert 0 < row["score"] <= 1
        assert row["reason"] in ("upcoming_festival", "seasonal", "user_history")
        assert row["detail"]
        assert row["detail_ne"] != row["detail"]
    return {row["puja"]["id"]: row for row in rows}


async def hold(people: People, clock: FakeClock, customer: Person, puja_id: str) -> None:
    """Book a puja and hold it."""
    pandit = await people.pandit(puja_id=puja_id)
    booking = await book(customer, pandit.service_id)
    for action, days in (("accept", 0), ("start", 3), ("complete", 0)):
        clock.advance(days=days)
        await people.sign_in_again(pandit)
        assert (await act(pandit, booking, action)).status_code == 200


@pytest.mark.parametrize("with_model", [False, True])
async def test_a_festival_ahead_is_proposed_until_it_is_booked(
    people: People, server: RunningServer, models: ModelStore, with_model: bool
) -> None:
    if with_model:
        publish(models)
        await server.services.recommendations.take_up_model()
    customer, pandit = await people.customer(), await people.pandit()
    found = (await proposals(customer))[PUJA]
    assert found["reason"] == "upcoming_festival"
    assert found["first_day"] == "2026-11-24"
    assert "Kartik Purnima" in found["detail"]
    assert "कार्तिक पूर्णिमा" in found["detail_ne"]
    await book(customer, pandit.service_id, booking_date=WEDNESDAY)
    assert PUJA not in await proposals(customer)


async def test_what_a_family_held_a_year_ago_comes_back(people: People, clock: FakeClock) -> None:
    customer = await people.customer()
    await hold(people, clock, customer, "rudri-puja")
    clock.advance(days=360)
    await people.sign_in_again(customer)
    found = (await proposals(customer))["rudri-puja"]
    assert found["reason"] == "user_history"
    assert "25 Nov 2026" in found["detail"]


@pytest.mark.parametrize("with_model", [False, True])
async def test_a_rite_of_once_in_a_life_is_not_proposed_to_who_has_held_it(
    people: People, server: RunningServer, clock: FakeClock, models: ModelStore, with_model: bool
) -> None:
    if with_model:
        publish(models)
        await server.services.recommendations.take_up_model()
    customer = await people.customer()
    assert "bratabandha" in await proposals(customer)
    await hold(people, clock, customer, "bratabandha")
    # So many newer bookings that it is not among those that are read whole.
    newer = [
        make_booking(
            id=f"newer-{number}",
            user_id=customer.user_id,
            puja_id="rudri-puja",
            status=BookingStatus.COMPLETED,
            claims=(),
            starts_at=clock.now() + timedelta(days=number),
        )
        for number in range(40)
    ]
    for days in (1, 360, 700):
        clock.advance(days=days)
        if days == 360:
            for each in newer:
                await MongoBookingRepository(server.store).add(each)
        await people.sign_in_again(customer)
        found = await proposals(customer)
        assert found
        assert "bratabandha" not in found


async def test_who_wants_no_proposals_gets_none(people: People) -> None:
    customer = await people.customer()
    preferences = "/api/notifications/preferences/"
    said = {"muted": [{"kind": "BOOKING_ACCEPTED", "channel": "live"}], "wants_digest": True}
    assert await proposals(customer)
    refused = {**said, "wants_proposals": False}
    (await customer.api.put(preferences, json=refused)).raise_for_status()
    assert await proposals(customer) == {}
    assert (await customer.api.get(preferences)).json() == refused
    assert await proposals(await people.customer("Gita Rai"))
    (await customer.api.put(preferences, json=said)).raise_for_status()
    assert await proposals(customer)


def test_every_festival_is_of_a_puja_that_exists() -> None:
    pujas = load_festival_pujas(data_path("config") / "festivals.toml")
    assert {each.puja_id for each in pujas} <= {puja.id for puja in the_catalogue().pujas}


# -- models ------------------------------------------------------------------------------------


async def listed(admin: Person) -> dict[str, Any]:
    return await get(admin.api, "/api/admin/models/")


async def activate(admin: Person, version: str, **body: Any) -> httpx.Response:
    return await admin.api.post(f"/api/admin/models/{version}/activate/", json=body)


async def test_an_admin_lets_a_model_serve_and_goes_back(
    people: People, models: ModelStore
) -> None:
    admin = await people.admin()
    assert (await listed(admin))["results"] == []
    first, second = add(models, 1), add(models, 2, Recipe(find="honey"))
    for version in (second, first):
        answer = await activate(admin, version, reason="to try it")
        assert answer.status_code == 200, answer.text
        assert answer.json()["version"] == version
        assert models.current() == version
        assert (await samagri(admin.api))["model_version"] == version
    shown = await listed(admin)
    assert [row["version"] for row in shown["results"]] == [second, first]
    assert [row["is_current"] for row in shown["results"]] == [False, True]
    assert [row["is_live"] for row in shown["results"]] == [False, True]
    assert shown["current"] == shown["live"]["version"] == first
    assert shown["results"][0]["metrics"] == {"ndcg@10": 0.25}
    assert [entry.reason for entry in models.history()] == ["to try it", "to try it"]
    assert models.history()[0].by == admin.user_id


async def test_an_admin_cannot_let_a_bad_model_serve(people: People, models: ModelStore) -> None:
    admin = await people.admin()
    good = publish(models, 0)
    weak = add(models, 1, gates=({"name": "coverage", "passed": False},))
    broken, strange = add(models, 2), foreign(models, 3)
    spoil(models, broken, "size")
    assert (await activate(admin, "20260101T000000Z-aaaaaaaa")).status_code == 404
    assert (await activate(admin, "not-a-version")).status_code == 404
    refused = await activate(admin, weak)
    assert (refused.status_code, refused.json()["type"]) == (409, "gates-failed")
    assert "coverage" in refused.json()["detail"]
    for version, code in ((broken, "size"), (strange, "ids")):
        refused = await activate(admin, version, force=True)
        assert (refused.status_code, refused.json()["type"]) == (422, "model-refused")
        assert code in refused.json()["detail"]
    assert models.current() == good
    assert (await activate(admin, weak, force=True, reason="for a trial")).status_code == 200
    assert models.history()[-1].forced
    problems = {row["version"]: row["gates_failed"] for row in (await listed(admin))["results"]}
    assert problems[weak] == ["coverage"]


@pytest.mark.parametrize(("damage", "code"), [(shorten_year, "shape"), (tangle, "smoke")])
async def test_what_could_not_serve_cannot_be_pointed_at(
    people: People, models: ModelStore, live: str, damage: Callable[[Path], None], code: str
) -> None:
    admin, version = await people.admin(), add(models, 5)
    damage(models.folder(version))
    refused = await activate(admin, version, force=True)
    assert (refused.status_code, refused.json()["type"]) == (422, "model-refused")
    assert code in refused.json()["detail"]
    assert models.current() == live
    assert (await samagri(admin.api))["model_version"] == live


@pytest.mark.logs_errors("not_advised")
async def test_where_the_model_stumbles_the_rules_answer(
    people: People, live: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    customer, _ = await people.customer(), await people.pandit()
    for name in ("samagri", "together", "pandits", "pujas"):
        monkeypatch.setattr(Advice, name, stumbling(getattr(Advice, name)))
    answer = await samagri(customer.api)
    assert answer["model_version"] == "rules"
    assert by_item(answer).keys() >= NEEDED
    item_id = next(iter(NEEDED))
    for path, params in (
        ("/api/recommendations/together/", {"item_id": item_id}),
        ("/api/recommendations/pandits/", {"puja_id": PUJA}),
        ("/api/recommendations/bookings/", {}),
    ):
        assert (await get(customer.api, path, **params))["model_version"] == "rules", path
    assert (await get(customer.api, "/api/pandits/", puja_id=PUJA))["results"]
    counted = (await customer.api.get("/metrics")).text
    for task in ("samagri", "together", "pandits", "bookings", "search"):
        assert f'by="failed",task="{task}"' in counted or f'task="{task}",by="failed"' in counted


def stumbling(answer: Callable[..., Any]) -> Callable[..., Any]:
    """The same, but an adviser with a model fails."""

    def asked(adviser: Advice, *arguments: Any, **more: Any) -> Any:
        if adviser.has_model:
            raise IndexError("out of bounds")
        return answer(adviser, *arguments, **more)

    return asked


@pytest.mark.logs_errors("model_refused")
async def test_a_broken_model_is_refused_and_told_and_the_old_one_serves_on(
    people: People, server: RunningServer, models: ModelStore, live: str
) -> None:
    admin = await people.admin()
    recommendations = server.services.recommendations
    for number, code in enumerate((*SPOILS, "ids", "pointer"), start=1):
        if code == "pointer":
            point(models, "../../etc/passwd")
        elif code == "ids":
            point(models, foreign(models, number))
        else:
            point(models, version := add(models, number))
            spoil(models, version, code)
        await recommendations.take_up_model()
        assert (await samagri(admin.api))["model_version"] == live, code
        for path in ("/healthz", "/readyz"):
            told = (await admin.api.get(path)).raise_for_status().json()["model"]
            assert (told["version"], told["last_error"]["code"]) == (live, code)
        fault = (await listed(admin))["live"]["last_error"]
        assert (fault["code"], bool(fault["reason"])) == (code, True)
        counted = f'recommender_model_refusals_total{{fault="{code}"}} '
        assert counted in (await admin.api.get("/metrics")).text
    assert f'recommender_model{{version="{live}"}} 1.0' in (await admin.api.get("/metrics")).text
    point(models, live)
    await recommendations.take_up_model()
    assert (await admin.api.get("/healthz")).json()["model"]["last_error"] is None


async def test_a_model_that_the_store_names_later_is_taken_up_by_itself(
    people: People, server: RunningServer, models: ModelStore
) -> None:
    """Nobody calls: the pointer is looked at again and again."""
    version = publish(models)
    nobody = await people.nobody()
    async with asyncio.timeout(30):
        # Another task takes it up in its own time, and tells nobody but those who ask.
        while (await samagri(nobody))["model_version"] != version:  # noqa: ASYNC110
            await asyncio.sleep(0.05)
