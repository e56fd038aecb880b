"""Ready lists and budgets: what they cost, and what they do to a booking's samagri."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Any

import httpx
import pytest

from server.app import RunningServer
from server.domain.errors import Invalid
from server.schemas.base import decode_body
from server.schemas.bookings import CreateBookingRequest
from tests.integration.test_bookings import act, book, wish
from tests.integration.test_pages import Browser, signed_in, text_of
from tests.support import People, Person

SATYANARAYAN = "satyanarayan-puja"
TEMPLATES = "/api/admin/catalogue/templates/"
BODY: dict[str, Any] = {
    "puja_id": SATYANARAYAN,
    "size": "USUAL",
    "name": "For two",
    "name_ne": "दुई जनाका लागि",
    "lines": [
        {"item": "rice", "quantity": 1, "unit": "kg"},
        {"item": "Honey (Maha)", "quantity": 100, "unit": "g"},
    ],
}


@pytest.fixture
async def family(people: People) -> Person:
    return await people.customer()


@pytest.fixture
async def pandit(people: People) -> Person:
    return await people.pandit()


@pytest.fixture
async def written(server: RunningServer) -> AsyncIterator[None]:
    """What the test writes is gone afterwards."""
    yield
    await server.store.collection("puja_templates").delete_many({"is_edited": True})


async def templates(api: httpx.AsyncClient) -> dict[str, dict[str, Any]]:
    answer = await api.get("/api/samagri/templates/", params={"puja_id": SATYANARAYAN})
    return {row["id"]: row for row in answer.raise_for_status().json()["results"]}


async def samagri(person: Person, booking: dict[str, Any]) -> dict[str, Any]:
    answer = await person.api.get(f"/api/bookings/{booking['id']}/samagri/")
    found: dict[str, Any] = answer.raise_for_status().json()
    return found


def by_item(answer: dict[str, Any]) -> dict[str, dict[str, Any]]:
    return {line["item"]["id"]: line for line in answer["results"]}


async def use(person: Person, booking: dict[str, Any], template_id: str) -> httpx.Response:
    return await person.api.post(
        f"/api/bookings/{booking['id']}/samagri/template/", json={"template_id": template_id}
    )


async def draft_of(person: Person, pandit: Person) -> str:
    """A booking of which the first three steps are done."""
    steps: list[dict[str, Any]] = [
        {"booking_step": "service_selection", "service_id": pandit.service_id},
        {
            "booking_step": "datetime_selection",
            "booking_date": "2026-11-25",
            "booking_time": "10:00",
        },
        {
            "booking_step": "details",
            "service_location": "HOME",
            "address": "House 7",
            "samagri_required": True,
        },
    ]
    draft_id = ""
    for step in steps:
        body = step | ({"booking_id": draft_id} if draft_id else {})
        answer = await person.api.post("/api/booking-wizard/create-step/", json=body)
        draft_id = answer.raise_for_status().json()["booking_id"]
    return draft_id


async def fit(person: Person, booking: dict[str, Any], budget: int) -> dict[str, Any]:
    answer = await person.api.post(
        f"/api/bookings/{booking['id']}/samagri/budget/", json={"budget": budget}
    )
    found: dict[str, Any] = answer.raise_for_status().json()
    return found


async def test_every_puja_has_ready_lists_the_smallest_first(people: People) -> None:
    nobody = await people.nobody()
    found = list((await templates(nobody)).values())
    sizes = [["SIMPLE", "USUAL", "FULL"].index(each["size"]) for each in found]
    assert sizes == sorted(sizes)
    curated = {each["id"]: each["is_curated"] for each in found}
    assert curated == {
        "satyanarayan-puja.simple": False,
        "satyanarayan-family": True,
        "satyanarayan-guests": True,
    }
    simple, full = found[0], found[-1]
    assert not any(line["can_remove"] for line in simple["lines"])
    needed = {line["item"]["id"] for line in simple["lines"]}
    for each in found:
        assert needed <= {line["item"]["id"] for line in each["lines"]}
        assert each["estimated_cost"] == sum(line["price"] for line in each["lines"])
    assert simple["estimated_cost"] < full["estimated_cost"]
    for puja in (await nobody.get("/api/pujas/?limit=100")).json()["results"]:
        answer = await nobody.get("/api/samagri/templates/", params={"puja_id": puja["id"]})
        assert answer.json()["results"], puja["id"]
    missing = await nobody.get("/api/samagri/templates/", params={"puja_id": "no-such"})
    assert missing.status_code == 404


async def test_ready_lists_come_in_pages(people: People) -> None:
    nobody = await people.nobody()
    seen: list[str] = []
    params: dict[str, Any] = {"puja_id": SATYANARAYAN, "limit": 1}
    while True:
        page = (await nobody.get("/api/samagri/templates/", params=params)).json()
        seen += [row["id"] for row in page["results"]]
        if page["next"] is None:
            break
        params = params | {"cursor": page["next"]}
    assert seen == list(await templates(nobody))


async def test_a_booking_by_a_template_costs_what_the_template_says(
    family: Person, pandit: Person
) -> None:
    for number, (template_id, template) in enumerate((await templates(family.api)).items()):
        booking = await book(
            family,
            pandit.service_id,
            template_id=template_id,
            booking_time=f"{6 + 3 * number:02}:00",
        )
        listed = await samagri(family, booking)
        assert listed["samagri_fee"] == booking["samagri_fee"] == template["estimated_cost"]
        assert {
            item: (line["quantity"], line["price_at_booking"])
            for item, line in by_item(listed).items()
        } == {line["item"]["id"]: (line["quantity"], line["price"]) for line in template["lines"]}


async def test_a_template_replaces_what_was_added_by_itself_and_nothing_else(
    family: Person, pandit: Person
) -> None:
    booking = await book(family, pandit.service_id)
    path = f"/api/bookings/{booking['id']}/samagri/"
    (await family.api.put(f"{path}honey/", json={"quantity": 250, "unit": "g"})).raise_for_status()
    before = by_item(await samagri(family, booking))
    chosen = (await use(family, booking, "satyanarayan-puja.simple")).raise_for_status().json()
    after = by_item(chosen)
    firm = {item for item, line in before.items() if not line["can_remove"]}
    assert set(after) == firm | {"honey"}
    assert after["honey"] == before["honey"]
    for item in firm:
        assert after[item]["price_at_booking"] == before[item]["price_at_booking"]
    assert chosen["total_fee"] == chosen["service_fee"] + chosen["samagri_fee"]
    # What the small list has not is not declined: it may be suggested again.
    again = (await family.api.post(path, json={})).raise_for_status().json()
    assert set(before) <= set(by_item(again))


async def test_what_was_declined_comes_back_with_a_list_that_has_it(
    family: Person, pandit: Person
) -> None:
    booking = await book(family, pandit.service_id)
    path = f"/api/bookings/{booking['id']}/samagri/"
    (await family.api.delete(f"{path}dry-fruits/")).raise_for_status()
    assert "dry-fruits" in by_item(
        (await use(family, booking, "satyanarayan-guests")).raise_for_status().json()
    )


async def test_prices_stay_frozen_whatever_list_is_taken(
    people: People, family: Person, pandit: Person
) -> None:
    booking = await book(family, pandit.service_id)
    admin = await people.admin()
    path = "/api/admin/catalogue/items/rice/"
    item = (await admin.api.get(path)).raise_for_status().json()
    body = {key: value for key, value in item.items() if key not in ("id", "currency")}
    before = by_item(await samagri(family, booking))["rice"]
    try:
        (await admin.api.put(path, json=body | {"price": body["price"] * 2})).raise_for_status()
        for template_id in ("satyanarayan-guests", "satyanarayan-puja.simple"):
            after = by_item((await use(family, booking, template_id)).json())["rice"]
            assert after["price_at_booking"] * before["quantity"] == (
                before["price_at_booking"] * after["quantity"]
            )
    finally:
        (await admin.api.put(path, json=body)).raise_for_status()


async def test_a_template_brings_nothing_that_its_reader_never_wants_to_see(
    family: Person, pandit: Person
) -> None:
    for item in ("dry-fruits", "rice"):
        answer = await family.api.put(
            f"/api/users/me/samagri-preferences/{item}/", json={"preference": "NEVER_SHOW"}
        )
        answer.raise_for_status()
    template = (await templates(family.api))["satyanarayan-guests"]
    assert [(left["item"]["id"], left["why"]) for left in template["left_out"]] == [
        ("dry-fruits", "hidden")
    ]
    booking = await book(family, pandit.service_id)
    chosen = (await use(family, booking, "satyanarayan-guests")).raise_for_status().json()
    assert "dry-fruits" not in by_item(chosen)
    assert [left["item"]["id"] for left in chosen["left_out"]] == ["dry-fruits"]
    assert "rice" in by_item(chosen), "what is needed stays"
    assert "asked not to see it" in by_item(chosen)["rice"]["reason"]


@pytest.mark.parametrize("template_id", ["no-such", "griha-pravesh-house", "griha-pravesh.simple"])
async def test_a_list_of_another_puja_is_refused(
    family: Person, pandit: Person, template_id: str
) -> None:
    booking = await book(family, pandit.service_id)
    refused = await use(family, booking, template_id)
    assert refused.status_code == 422
    assert refused.json()["errors"][0]["field"] == "template_id"
    other = await family.api.post(
        "/api/bookings/",
        json=wish(pandit.service_id, booking_time="14:00", template_id=template_id),
    )
    assert other.status_code == 422


async def test_an_accepted_booking_keeps_its_list_until_the_pandit_agrees(
    family: Person, pandit: Person
) -> None:
    booking = await book(family, pandit.service_id)
    (await act(pandit, booking, "accept")).raise_for_status()
    before = await samagri(family, booking)
    chosen = (await use(family, booking, "satyanarayan-guests")).raise_for_status().json()
    assert chosen["results"] == before["results"]
    answer = await family.api.post(
        f"/api/bookings/{booking['id']}/samagri/budget/", json={"budget": 1}
    )
    assert answer.raise_for_status().json()["cost"] < chosen["proposal"]["samagri_fee"]
    after = await samagri(family, booking)
    assert after["results"] == before["results"]
    assert after["proposal"]["samagri_fee"] == answer.json()["cost"]


async def test_lists_taken_at_once_leave_one_of_them_whole(family: Person, pandit: Person) -> None:
    booking = await book(family, pandit.service_id)
    wanted = ["satyanarayan-puja.simple", "satyanarayan-guests"] * 3
    answers = await asyncio.gather(*(use(family, booking, each) for each in wanted))
    assert {answer.status_code for answer in answers} <= {200, 409}
    assert any(answer.status_code == 200 for answer in answers)
    stored = await samagri(family, booking)
    lists = {
        frozenset(line["item"]["id"] for line in each["lines"])
        for each in (await templates(family.api)).values()
    }
    assert frozenset(by_item(stored)) in lists
    assert stored["samagri_fee"] == sum(line["price_at_booking"] for line in stored["results"])


async def test_a_budget_leaves_out_what_it_cannot_buy_and_says_so(
    family: Person, pandit: Person
) -> None:
    booking = await book(family, pandit.service_id)
    before = await samagri(family, booking)
    firm = sum(line["price_at_booking"] for line in before["results"] if not line["can_remove"])
    path = f"/api/bookings/{booking['id']}/samagri/budget/"
    shown = (await family.api.get(path, params={"budget": firm})).raise_for_status().json()
    assert (await samagri(family, booking))["results"] == before["results"], (
        "a look changes nothing"
    )
    plan = await fit(family, booking, firm)
    assert plan == shown
    assert (plan["cost"], plan["shortfall"]) == (firm, 0)
    assert not any(line["can_remove"] for line in plan["results"])
    optional = {line["item"]["id"] for line in before["results"] if line["can_remove"]}
    assert {line["item"]["id"] for line in plan["left_out"]} == optional
    assert (await samagri(family, booking))["samagri_fee"] == firm
    # With more money it comes back, to the paisa.
    whole = await fit(family, booking, before["samagri_fee"])
    assert (whole["cost"], whole["left_out"]) == (before["samagri_fee"], [])


async def test_what_is_needed_passes_a_budget_and_that_is_said(
    family: Person, pandit: Person
) -> None:
    booking = await book(family, pandit.service_id)
    path = f"/api/bookings/{booking['id']}/samagri/"
    (await family.api.put(f"{path}honey/", json={"quantity": 250, "unit": "g"})).raise_for_status()
    plan = await fit(family, booking, 100)
    kept = {line["item"]["id"]: line for line in plan["results"]}
    assert "honey" in kept, "what the customer added himself is his to take off"
    assert all(line["user_added"] or not line["can_remove"] for line in kept.values())
    assert plan["shortfall"] == plan["cost"] - 100


async def test_budgets_that_are_none_are_refused(family: Person, pandit: Person) -> None:
    booking = await book(family, pandit.service_id)
    path = f"/api/bookings/{booking['id']}/samagri/budget/"
    for budget in (-1, "many", 10**15):
        assert (await family.api.post(path, json={"budget": budget})).status_code == 422
    assert (await family.api.get(path)).status_code == 422


async def test_a_series_goes_on_when_its_list_is_offered_no_more(
    server: RunningServer, people: People, family: Person, pandit: Person
) -> None:
    browser = await signed_in(people, family)
    actor = await server.services.accounts.actor_of(browser.client.cookies["access"])
    asked = decode_body(
        json.dumps(wish(pandit.service_id, template_id="gone-long-ago")).encode(),
        CreateBookingRequest,
    ).wish(None)
    with pytest.raises(Invalid):
        await server.services.bookings.book(actor, asked)
    booking = await server.services.bookings.book(actor, replace(asked, is_repeated=True))
    params = {"puja_id": SATYANARAYAN}
    usual = (await family.api.get("/api/samagri/estimate/", params=params)).json()["usual"]
    assert booking.samagri_fee == usual


# -- administration --------------------------------------------------------------------------------


@pytest.mark.usefixtures("written")
async def test_an_admin_writes_a_template_that_customers_then_choose(
    people: People, family: Person, pandit: Person
) -> None:
    admin = await people.admin()
    saved = await admin.api.put(f"{TEMPLATES}for-two/", json=BODY)
    made = saved.raise_for_status().json()
    assert [line["item_id"] for line in made["lines"]] == ["rice", "honey"]
    offered = await templates(family.api)
    assert offered["for-two"]["is_curated"]
    booking = await book(family, pandit.service_id, template_id="for-two")
    lines = by_item(await samagri(family, booking))
    assert (lines["rice"]["quantity"], lines["rice"]["unit"]) == (1, "kg")
    assert lines["honey"]["can_remove"]
    assert lines["honey"]["source"] == "template"
    assert "For two" in lines["honey"]["reason"]
    acts = (await admin.api.get("/api/admin/audit/?act=template-changed")).json()["results"]
    assert acts[0]["target_id"] == "for-two"
    # Taken off the table it is offered no more, and stands for what it was.
    gone = await admin.api.put(f"{TEMPLATES}for-two/", json=BODY | {"is_active": False})
    gone.raise_for_status()
    assert "for-two" not in await templates(family.api)
    assert (await use(family, booking, "for-two")).status_code == 422
    shown = (await admin.api.get(f"{TEMPLATES}for-two/")).raise_for_status().json()
    assert shown["is_active"] is False


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"puja_id": "no-such"}, "puja_id"),
        ({"lines": [{"item": "no-such", "quantity": 1, "unit": "kg"}]}, "lines[0].item"),
        ({"lines": [{"item": "rice", "quantity": 1, "unit": "g"}]}, "lines[0].quantity"),
        ({"lines": [{"item": "rice", "quantity": 1, "unit": "l"}]}, "lines[0].unit"),
        ({"lines": [*BODY["lines"], BODY["lines"][1]]}, "lines[2].item"),
        ({"lines": [*BODY["lines"], BODY["lines"][0] | {"quantity": "x"}]}, "lines[2].quantity"),
        ({"lines": []}, "lines"),
        ({"size": "HUGE"}, "size"),
        ({"name": ""}, "name"),
    ],
)
async def test_faults_of_a_template_are_named(
    people: People, changes: dict[str, Any], field: str
) -> None:
    admin = await people.admin()
    answer = await admin.api.put(f"{TEMPLATES}for-two/", json=BODY | changes)
    assert answer.status_code == 422
    assert field in {fault["field"] for fault in answer.json()["errors"]}
    assert (await admin.api.get(f"{TEMPLATES}for-two/")).status_code == 404


@pytest.mark.usefixtures("written")
async def test_templates_are_imported_as_a_whole_or_not_at_all(people: People) -> None:
    admin = await people.admin()
    head = "template,puja,size,name,name_ne,description,description_ne,active,item,quantity,unit"
    good = f"for-two,{SATYANARAYAN},SIMPLE,For two,दुईका लागि,,,yes,rice,1,kg"
    bad = f"for-two,{SATYANARAYAN},SIMPLE,For two,दुईका लागि,,,yes,nothing,1,kg"

    async def sent(*rows: str) -> dict[str, Any]:
        answer = await admin.api.post(
            "/api/admin/catalogue/imports/",
            data={"kind": "templates"},
            files={"file": ("lists.csv", "\n".join([head, *rows]).encode(), "text/csv")},
        )
        found: dict[str, Any] = answer.raise_for_status().json()
        return found

    faulty = await sent(good, bad)
    assert (faulty["state"], faulty["fault_count"]) == ("FAULTY", 1)
    ready = await sent(good)
    assert (ready["state"], ready["added"]) == ("READY", 1)
    applied = await admin.api.post(f"/api/admin/catalogue/imports/{ready['id']}/apply/")
    assert applied.raise_for_status().json()["state"] == "APPLIED"
    assert (await admin.api.get(f"{TEMPLATES}for-two/")).json()["size"] == "SIMPLE"
    # The simple list that was made of the rules has given way to it.
    found = await templates(await people.nobody())
    assert [each["id"] for each in found.values() if each["size"] == "SIMPLE"] == ["for-two"]


# -- pages -----------------------------------------------------------------------------------------


async def test_a_family_takes_a_list_and_a_budget_without_script(
    people: People, family: Person, pandit: Person
) -> None:
    browser = await signed_in(people, family)
    booking = await book(family, pandit.service_id)
    address = f"/bookings/{booking['id']}/samagri/"
    assert address in (await browser.get(f"/bookings/{booking['id']}/")).text
    page = text_of(await browser.get(address))
    assert "For the family" in page
    taken = await browser.post(address, do="template", template_id="satyanarayan-guests")
    assert (taken.status_code, taken.headers["Location"]) == (303, address)
    assert "The list is yours now." in text_of(await browser.get(address))
    full = (await samagri(family, booking))["samagri_fee"]
    looked = text_of(await browser.get(f"{address}?budget=१,०००"))
    assert "Left out, because the money does not reach" in looked
    assert (await samagri(family, booking))["samagri_fee"] == full
    fitted = await browser.post(address, do="budget", budget="1,000")
    assert fitted.status_code == 303
    after = (await samagri(family, booking))["samagri_fee"]
    assert after < full
    for wrong in ("many", "1.234", ""):
        refused = await browser.post(address, do="budget", budget=wrong)
        assert refused.status_code == 422
        assert 'id="budget-fault"' in refused.text
    (await act(pandit, booking, "accept")).raise_for_status()
    assert "The pandit has to agree" in text_of(await browser.get(address))
    (await act(family, booking, "cancel")).raise_for_status()
    closed = await browser.get(address)
    assert closed.headers["Location"] == f"/bookings/{booking['id']}/#samagri"


async def test_a_booking_that_is_put_together_takes_lists_and_budgets_too(
    people: People, family: Person, pandit: Person
) -> None:
    browser = await signed_in(people, family)
    draft_id = await draft_of(family, pandit)
    review = f"/book/{pandit.service_id}/{draft_id}/samagri/"
    assert "With guests" in text_of(await browser.get(review))
    address = f"/bookings/{draft_id}/samagri/"
    taken = await browser.post(
        address, do="template", template_id="satyanarayan-guests", next=review
    )
    assert (taken.status_code, taken.headers["Location"]) == (303, review)
    full = (await samagri(family, {"id": draft_id}))["samagri_fee"]
    assert full == (await templates(family.api))["satyanarayan-guests"]["estimated_cost"]
    looked = text_of(await browser.get(f"{review}?budget=1000"))
    assert "Left out, because the money does not reach" in looked
    fitted = await browser.post(address, do="budget", budget="1000", next=review)
    assert fitted.headers["Location"] == f"{review}?budget=1000"
    assert (await samagri(family, {"id": draft_id}))["samagri_fee"] < full
    refused = await browser.post(address, do="budget", budget="many", next=review)
    assert refused.headers["Location"] == review
    assert "Write an amount in rupees" in text_of(await browser.get(review))
    stranger = await signed_in(people, await people.customer("Gita Rai"))
    other = await stranger.post(address, do="template", template_id="satyanarayan-guests")
    assert other.status_code == 404


async def test_favourites_and_hidden_items_are_kept_listed_and_undone(
    people: People, family: Person
) -> None:
    browser = await signed_in(people, family)
    assert "Nothing yet" in (await browser.get("/account/samagri/")).text
    await browser.post("/samagri/honey/preference/", preference="FAVOURITE")
    assert "One of your favourites" in (await browser.get("/samagri/honey/")).text
    await browser.post("/samagri/peda/preference/", preference="NEVER_SHOW")
    page = (await browser.get("/account/samagri/")).text
    assert "/samagri/honey/preference/" in page
    assert "/samagri/peda/preference/" in page
    back = await browser.post("/samagri/honey/preference/", preference="", next="/account/samagri/")
    assert back.headers["Location"] == "/account/samagri/"
    stored = (await family.api.get("/api/users/me/samagri-preferences/")).json()["results"]
    assert [(row["item_id"], row["preference"]) for row in stored] == [("peda", "NEVER_SHOW")]
    unknown = await browser.post("/samagri/no-such/preference/", preference="FAVOURITE")
    assert unknown.status_code == 303
    assert "no such item" in text_of(await browser.get("/samagri/"))


async def test_guests_see_the_lists_and_are_led_to_sign_in(people: People) -> None:
    guest = Browser(await people.nobody())
    assert "With guests" in (await guest.get(f"/pujas/{SATYANARAYAN}/")).text
    assert "/sign-in/?next=" in (await guest.get("/samagri/honey/")).text
    for path in ("/account/samagri/", "/bookings/nothing/samagri/"):
        answer = await guest.get(path)
        assert answer.headers["Location"].startswith("/sign-in/")


@pytest.mark.usefixtures("written")
async def test_an_admin_makes_and_changes_a_ready_list_on_pages(people: People) -> None:
    browser = await signed_in(people, await people.admin())
    form = {
        "puja_id": SATYANARAYAN,
        "size": "USUAL",
        "name": "For two",
        "name_ne": "दुई जनाका लागि",
        "is_active": "true",
        "item": ["rice", "Honey (Maha)", ""],
        "quantity": ["१", "100", ""],
        "unit": ["kg", "g", "piece"],
    }
    assert "With guests" in (await browser.get("/admin/catalogue/templates/")).text
    new = "/admin/catalogue/templates/new/"
    assert (await browser.get(new)).status_code == 200
    made = await browser.post(new, code="for-two", **form)
    address = "/admin/catalogue/templates/for-two/"
    assert (made.status_code, made.headers["Location"]) == (303, address)
    page = (await browser.get(address)).text
    assert 'value="honey"' in page
    twice = await browser.post(new, code="for-two", **form)
    assert twice.status_code == 422
    assert 'id="code-fault"' in twice.text
    refused = await browser.post(address, **form | {"quantity": ["many", "100", ""]})
    assert refused.status_code == 422
    assert 'value="many"' in refused.text
    cells = {"item": ["rice", " ", "no-such"], "quantity": ["1", "2", "100"]}
    wrong = await browser.post(address, **form | cells | {"unit": ["kg", "kg", "g"]})
    assert wrong.status_code == 422
    assert '<a href="#lines[1].item">Item 2: There is no such item' in text_of(wrong)
    (field,) = re.findall(r'<input[^>]*aria-invalid="true"[^>]*>', text_of(wrong))
    assert 'id="lines[1].item"' in field
    assert 'value="no-such"' in field
    assert 'aria-describedby="lines[1].item-fault"' in field
    assert 'id="lines[1].item-fault">There is no such item' in text_of(wrong)
    changed = await browser.post(address, **form | {"name": "For a couple"})
    assert changed.status_code == 303
    assert "For a couple" in (await browser.get("/admin/catalogue/templates/")).text
    audit = text_of(await browser.get("/admin/audit/?act=template-changed"))
    assert "Ready list changed" in audit
