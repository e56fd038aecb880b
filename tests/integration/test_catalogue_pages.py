"""The catalogue's pages: pujas with what they cost, items with the pujas that use them."""

from __future__ import annotations

import re
from typing import Any

import pytest

from server.app import RunningServer
from server.domain.account import NEPAL
from server.domain.learning import Surface
from server.i18n import Formatter
from tests.integration.test_bookings import wish
from tests.integration.test_pages import Browser, signed_in, text_of
from tests.support import People

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
