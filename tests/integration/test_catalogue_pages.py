"""The catalogue's pages: pujas with what they cost, items with the pujas that use them."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from typing import Any

import pytest

from server.app import RunningServer
from server.domain.account import NEPAL
from server.domain.learning import Surface
from server.i18n import Formatter
from tests.integration.test_bookings import wish
from tests.integration.test_pages import Browser, signed_in, text_of
from tests.support import FakeClock, People, Person

SATYANARAYAN = "satyanarayan-puja"


@pytest.fixture
async def guest(people: People) -> Browser:
    return Browser(await people.nobody())


def shown_price(paisa: int) -> str:
    return Formatter("en", NEPAL).price(paisa)


@pytest.mark.parametrize("query", ["puja", "pooja", "पूजा"])
async def test_pages_of_pujas_find_the_same_in_every_spelling(guest: Browser, query: str) -> None:
    page = await guest.client.get("/pujas/", params={"q": query})
    by_api = await guest.client.get("/api/pujas/", params={"q": query, "limit": 100})
    found = set(re.findall(r'href="/pujas/([a-z-]+)/"', page.text))
    assert found == {puja["id"] for puja in by_api.json()["results"]}
    assert SATYANARAYAN in found


@pytest.mark.parametrize("query", ["beshar", "besar", "बेसार", "turmeric"])
async def test_items_are_found_in_every_spelling(guest: Browser, query: str) -> None:
    page = await guest.client.get("/samagri/", params={"q": query})
    assert 'href="/samagri/haldi/"' in page.text


async def test_items_are_listed_by_shelf_and_page(guest: Browser) -> None:
    seen: set[str] = set()
    address: str | None = "/samagri/?category=homa&limit=5"
    while address is not None:
        page = await guest.get(address)
        found = set(re.findall(r'list__link" href="/samagri/([a-z-]+)/"', page.text))
        assert found
        assert not found & seen
        seen |= found
        following = re.search(r'<a href="([^"]+)"[^>]*rel="next"', page.text)
        address = following[1].replace("&amp;", "&") if following else None
    by_api = await guest.client.get("/api/samagri/items/?category=homa&limit=100")
    assert seen == {item["id"] for item in by_api.json()["results"]}


async def test_a_page_of_an_item_tells_its_price_and_which_pujas_use_it(guest: Browser) -> None:
    shown = (await guest.get("/api/samagri/items/haldi/")).raise_for_status().json()
    assert (shown["price"], shown["unit"], shown["base_quantity"]) == (50_000, "kg", 1)
    assert shown["category"]["id"] == shown["category_id"] == "tika"
    uses = {use["puja"]["id"]: use for use in shown["pujas"]}
    use = uses["griha-pravesh"]
    assert (use["quantity"], use["unit"], use["estimated_price"]) == (100, "g", 5_000)
    ranks = [["REQUIRED", "ESSENTIAL", "OPTIONAL"].index(each["type"]) for each in shown["pujas"]]
    assert ranks == sorted(ranks)
    page = text_of(await guest.get("/samagri/haldi/"))
    assert "Haldi (Turmeric)" in page
    assert shown_price(50_000) in page
    assert 'href="/pujas/griha-pravesh/"' in page


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("/pujas/no-such/", 404),
        ("/samagri/no-such/", 404),
        ("/samagri/?cursor=AAAA", 422),
        ("/samagri/?limit=1000", 422),
        ("/pujas/?q=" + "a" * 101, 422),
    ],
)
async def test_bad_addresses_are_told(guest: Browser, path: str, status: int) -> None:
    answer = await guest.get(path)
    assert answer.status_code == status
    assert answer.text.count("<h1") == 1


async def test_an_item_that_cannot_be_had_has_no_page(people: People, guest: Browser) -> None:
    admin = await people.admin()
    path = "/api/admin/catalogue/items/attar/"
    item = (await admin.api.get(path)).raise_for_status().json()
    body = {key: value for key, value in item.items() if key not in ("id", "currency")}
    try:
        (await admin.api.put(path, json=body | {"is_active": False})).raise_for_status()
        assert (await guest.get("/samagri/attar/")).status_code == 404
        assert (await guest.get("/api/samagri/items/attar/")).status_code == 404
    finally:
        (await admin.api.put(path, json=body)).raise_for_status()


async def test_an_estimate_is_what_a_booking_costs_to_the_paisa(people: People) -> None:
    pandit, family = await people.pandit(), await people.customer()
    params = {"puja_id": SATYANARAYAN}
    estimate = (
        (await family.api.get("/api/samagri/estimate/", params=params)).raise_for_status().json()
    )
    usual = {line["item"]["id"]: line for line in estimate["results"] if line["is_usual"]}
    booked = await family.api.post("/api/bookings/", json=wish(pandit.service_id))
    booking = booked.raise_for_status().json()
    answer = await family.api.get(f"/api/bookings/{booking['id']}/samagri/")
    lines = {line["item"]["id"]: line for line in answer.json()["results"]}
    assert lines.keys() == usual.keys()
    for item_id, line in lines.items():
        assert line["price_at_booking"] == usual[item_id]["price"]
    assert (
        booking["samagri_fee"] == estimate["usual"] == sum(line["price"] for line in usual.values())
    )
    needed = [line for line in estimate["results"] if not line["can_remove"]]
    assert estimate["low"] == sum(line["price"] for line in needed)
    assert all(line["is_usual"] for line in needed)
    assert estimate["full"] == sum(line["price"] for line in estimate["results"])
    assert estimate["low"] < estimate["usual"] <= estimate["full"]


async def test_a_page_of_a_puja_shows_the_sums_of_the_estimate(
    people: People, guest: Browser
) -> None:
    estimate = (await guest.get(f"/api/samagri/estimate/?puja_id={SATYANARAYAN}")).json()
    page = text_of(await guest.get(f"/pujas/{SATYANARAYAN}/"))
    for name in ("low", "usual"):
        assert shown_price(estimate[name]) in page
    assert all(f'href="/samagri/{line["item"]["id"]}/"' in page for line in estimate["results"])
    nepali = await guest.client.get(f"/pujas/{SATYANARAYAN}/", headers={"Accept-Language": "ne"})
    assert "सत्यनारायण" in nepali.text


async def test_what_somebody_never_wants_to_see_is_in_no_estimate_of_his(people: People) -> None:
    family = await people.customer()
    path = f"/api/samagri/estimate/?puja_id={SATYANARAYAN}"
    before = (await family.api.get(path)).json()
    optional = next(line for line in before["results"] if line["can_remove"])
    hidden = optional["item"]["id"]
    (
        await family.api.put(
            f"/api/users/me/samagri-preferences/{hidden}/", json={"preference": "NEVER_SHOW"}
        )
    ).raise_for_status()
    after = (await family.api.get(path)).json()
    assert hidden not in {line["item"]["id"] for line in after["results"]}
    assert after["usual"] == before["usual"] - optional["price"]


async def test_what_a_page_recommends_counts_once_a_day(
    server: RunningServer, people: People
) -> None:
    family = await people.customer()
    browser = await signed_in(people, family)
    actor = await server.services.accounts.actor_of(browser.client.cookies["access"])
    shown: dict[str, Any] = {
        "version": "rules",
        "targets": ["haldi", "kumkum"],
        "puja_id": SATYANARAYAN,
    }
    ledger = server.store.collection("recommendation_feedback")
    first = await server.services.learning.show(actor, Surface.SAMAGRI, **shown)
    again = await server.services.learning.show(actor, Surface.SAMAGRI, **shown)
    rows = await ledger.find({"user_id": family.user_id}, limit=10)
    assert {row["target"] for row in rows} == {"haldi", "kumkum"}
    assert len(rows) == 2
    assert {row["kind"] for row in rows} == {"shown"}
    # Both ids are good to report by, and name the same recommendation.
    for rec_id in (first, again):
        answer = await family.api.post(
            "/api/recommendations/feedback/",
            json={"kind": "added", "rec_id": rec_id, "item_id": "haldi"},
        )
        answer.raise_for_status()
    rows = await ledger.find({"user_id": family.user_id, "kind": "added"}, limit=10)
    assert len(rows) == 1


async def estimate_of(browser: Browser, puja_id: str) -> dict[str, dict[str, Any]]:
    answer = await browser.get(f"/api/samagri/estimate/?puja_id={puja_id}")
    lines = answer.raise_for_status().json()["results"]
    return {line["item"]["id"]: line for line in lines}


async def test_what_is_out_of_season_is_not_offered(guest: Browser, clock: FakeClock) -> None:
    # In Mangsir, the eighth month; the lotus flowers from Asar to Kartik.
    assert "lotus" not in await estimate_of(guest, "ekadashi-udyapan")
    page = await guest.get("/samagri/lotus/")
    assert "Out of season" in page.text
    assert "Asar – Kartik" in page.text
    assert 'href="/samagri/white-flowers/"' in page.text
    clock.set(datetime(2027, 8, 1, tzinfo=UTC))
    assert "lotus" in await estimate_of(guest, "ekadashi-udyapan")
    assert "In season" in (await guest.get("/samagri/lotus/")).text


async def test_what_a_puja_cannot_do_without_stays_with_a_note(guest: Browser) -> None:
    bel = (await estimate_of(guest, "ihi"))["bel-fruit"]
    assert (bel["type"], bel["can_remove"]) == ("REQUIRED", False)
    assert "Out of season" in bel["reason"]
    assert "मौसम" in bel["reason_ne"]


async def test_an_admin_sets_a_season_on_the_items_page(people: People) -> None:
    browser = await signed_in(people, await people.admin())
    path = "/admin/catalogue/items/attar/"
    before = (await browser.get("/api/samagri/items/attar/")).json()
    # As the page shows it: what is not typed anew is saved as it is.
    form = {name: before[name] for name in ("name", "name_ne", "category_id", "use", "use_ne")} | {
        "aliases": " | ".join(before["aliases"]),
        "base_unit": before["unit"],
        "base_quantity": str(before["base_quantity"]),
        "price": str(before["price"] / 100),
        "is_active": "true",
    }
    saved = await browser.post(path, **form | {"season": "११-2", "substitutes": "rose-water"})
    assert saved.status_code == 303, saved.text
    after = (await browser.get("/api/samagri/items/attar/")).json()
    assert (after["season"], after["substitutes"]) == ([11, 2], ["rose-water"])
    refused = await browser.post(path, **form | {"season": "13 to 2"})
    assert refused.status_code == 422
    assert 'id="season-fault"' in refused.text
    assert (await browser.post(path, **form | {"season": ""})).status_code == 303
    assert (await browser.get("/api/samagri/items/attar/")).json() == before


async def test_an_item_tells_what_goes_with_it_by_the_rules(guest: Browser) -> None:
    answer = await guest.get("/api/recommendations/together/?item_id=havan-samagri")
    found = answer.raise_for_status().json()
    assert found["model_version"] == "rules"
    assert found["rec_id"] is None
    items = [each["item"]["id"] for each in found["results"]]
    assert items
    assert "havan-samagri" not in items
    assert all(each["reasons"][0]["code"] == "SAME_PUJAS" for each in found["results"])
    page = text_of(await guest.get("/samagri/havan-samagri/"))
    assert "Goes with it" in page
    assert found["results"][0]["reason"] in page
    for path in ("?item_id=no-such", "?item_id=haldi&limit=99"):
        refused = await guest.get(f"/api/recommendations/together/{path}")
        assert refused.status_code in (404, 422)


async def rows_of(server: RunningServer, person: Person, **where: str) -> list[dict[str, Any]]:
    ledger = server.store.collection("recommendation_feedback")
    return await ledger.find({"user_id": person.user_id, **where}, limit=200)


async def test_an_items_page_counts_what_it_recommends_once(
    server: RunningServer, people: People
) -> None:
    family = await people.customer()
    browser = await signed_in(people, family)
    await browser.get("/samagri/havan-samagri/", **{"Sec-Purpose": "prefetch"})
    assert await rows_of(server, family) == []
    for _ in range(3):
        await browser.get("/samagri/havan-samagri/")
    rows = await rows_of(server, family)
    assert {row["kind"] for row in rows} == {"shown"}
    assert {row["surface"] for row in rows} == {"samagri"}
    assert len(rows) == len({row["target"] for row in rows}) == 6


async def test_pandits_of_the_search_count_as_shown_and_as_opened(
    server: RunningServer, people: People
) -> None:
    pandit, family = await people.pandit(), await people.customer()
    browser = await signed_in(people, family)
    # Whoever comes by another way tells nothing of a recommendation.
    await browser.get(f"/pandits/{pandit.pandit_id}/")
    assert await rows_of(server, family) == []
    for _ in range(2):
        await browser.get(f"/pandits/?puja_id={SATYANARAYAN}")
    (shown,) = await rows_of(server, family, surface="pandits")
    assert (shown["target"], shown["kind"]) == (pandit.pandit_id, "shown")
    for _ in range(2):
        await browser.get(f"/pandits/{pandit.pandit_id}/")
    (opened,) = await rows_of(server, family, surface="pandits", kind="added")
    assert opened["rec_id"] == shown["rec_id"]
    events = server.store.collection("interactions")
    (viewed,) = await events.find({"user_id": family.user_id}, limit=5)
    assert (viewed["kind"], viewed["pandit_id"]) == ("pandit_viewed", pandit.pandit_id)


async def test_the_front_page_proposes_pujas_and_counts_them_once(
    server: RunningServer, people: People
) -> None:
    family = await people.customer()
    browser = await signed_in(people, family)
    page = text_of(await browser.get("/"))
    assert "For your family" in page
    await browser.get("/")
    rows = await rows_of(server, family, surface="bookings")
    assert len(rows) == len({row["target"] for row in rows}) > 0
    puja_id = rows[0]["target"]
    assert f'href="/pujas/{puja_id}/"' in page
    await browser.get(f"/pujas/{puja_id}/")
    opened = await rows_of(server, family, surface="bookings", kind="added")
    assert [row["target"] for row in opened] == [puja_id]


async def test_the_front_page_proposes_nothing_to_who_has_unticked_it(people: People) -> None:
    family, pandit = await people.customer(), await people.pandit()
    browser = await signed_in(people, family)
    page, path = "For your family", "/notifications/preferences/"
    assert 'value="proposals" checked' in (await browser.get(path)).text
    for wanted, shown in ((["digest"], False), (["digest", "proposals"], True)):
        await browser.post(path, wanted=wanted)
        assert (page in text_of(await browser.get("/"))) == shown
        assert ('value="proposals" checked' in (await browser.get(path)).text) == shown
    other = await signed_in(people, pandit)
    assert 'value="proposals"' not in (await other.get(path)).text
    await other.post(path, wanted=["digest"])
    kept = await pandit.api.get("/api/notifications/preferences/")
    assert kept.json()["wants_proposals"] is True


async def test_neither_guests_nor_pandits_nor_admins_are_counted(
    server: RunningServer, people: People, guest: Browser
) -> None:
    pandit, admin = await people.pandit(), await people.admin()
    for browser in (guest, await signed_in(people, pandit), await signed_in(people, admin)):
        assert (await browser.get("/samagri/havan-samagri/")).status_code == 200
        assert (await browser.get("/pandits/")).status_code == 200
    for person in (pandit, admin):
        assert await rows_of(server, person) == []


async def test_favourites_and_hidden_items_move_the_recommender(people: People) -> None:
    pandit, family = await people.pandit(), await people.customer()
    browser = await signed_in(people, family)
    path = f"/api/recommendations/samagri/?puja_id={SATYANARAYAN}"
    before = {each["item"]["id"]: each for each in (await family.api.get(path)).json()["results"]}
    optional = [item for item, row in before.items() if row["can_remove"]]
    liked, unwanted = optional[0], optional[1]
    await browser.post(f"/samagri/{liked}/preference/", preference="FAVOURITE")
    await browser.post(f"/samagri/{unwanted}/preference/", preference="NEVER_SHOW")
    after = {each["item"]["id"]: each for each in (await family.api.get(path)).json()["results"]}
    assert unwanted not in after
    assert after[liked]["confidence"] > before[liked]["confidence"]
    assert after[liked]["reasons"][0]["code"] == "FAVOURITE"
    booked = await family.api.post("/api/bookings/", json=wish(pandit.service_id))
    answer = await family.api.get(f"/api/bookings/{booked.json()['id']}/samagri/")
    assert unwanted not in {line["item"]["id"] for line in answer.json()["results"]}
    await browser.post(f"/samagri/{unwanted}/preference/", preference="")
    undone = (await family.api.get(path)).json()["results"]
    assert unwanted in {each["item"]["id"] for each in undone}
