"""From the search to the conversation, in two windows, one of them a phone; then in Nepali."""

from __future__ import annotations

import re
import time
from datetime import date, timedelta

from playwright.sync_api import FilePayload, Page, Route, expect

from tests.browser.conftest import PHONE, Somebody, Town, Visit, ready


def book(page: Page, pandit: Somebody) -> str:
    """Search for the pandit, book him through all steps, and return the booking's address."""
    page.goto("/")
    page.get_by_label("Puja", exact=True).select_option("satyanarayan-puja")
    page.get_by_role("button", name="Find a pandit").click()
    ready(page).get_by_role("link", name=pandit.name).click()
    page.get_by_role("button", name="Book Satyanarayan Puja").click()
    expect(page.get_by_role("heading", name="Service", exact=True)).to_be_visible()
    next_step(page)
    slots = ready(page).locator("py-slots .slot input:enabled")
    expect(slots.first).to_be_attached()
    # "Back" asks for no time.
    page.get_by_role("button", name="Back", exact=True).click()
    expect(page.get_by_role("heading", name="Service", exact=True)).to_be_visible()
    next_step(page)
    expect(slots.first).to_be_attached()
    slots.last.check(force=True)
    next_step(page)
    expect(page.get_by_role("heading", name="Details", exact=True)).to_be_visible()
    expect(page.locator("py-hold")).to_contain_text("Your time is held until")
    next_step(page)
    expect(page.get_by_role("alert")).to_be_focused()
    expect(page.get_by_role("alert")).to_contain_text("An address is needed")
    page.get_by_label("City").fill("Kathmandu")
    page.get_by_label("Area or tole").fill("Baneshwor")
    page.get_by_label("Address").fill("House 7")
    next_step(page)
    expect(ready(page).locator('.samagri__row[data-item="rice"]')).to_be_visible()
    next_step(page)
    expect(page.get_by_label(re.compile("^Cash"))).to_be_checked()
    expect(page.get_by_role("heading", name="If you cancel")).to_be_visible()
    next_step(page)
    expect(page.locator("[data-review]")).to_contain_text("House 7")
    page.get_by_role("button", name=re.compile("^Book for Rs")).click()
    page.wait_for_url(re.compile(r"/bookings/\w+/$"))
    # The console tells of the form that was refused, and rightly.
    page.faults[:] = [each for each in page.faults if "422" not in each]  # type: ignore[attr-defined]
    return page.url


CONTROLLED = """() => new Promise((done) => {
  const { serviceWorker } = navigator;
  if (serviceWorker.controller) done();
  else serviceWorker.addEventListener("controllerchange", () => done(), { once: true });
})"""
KEPT = """async (language) => {
  for (;;) {
    const kept = await caches.match("/offline/language");
    if ((await kept?.text()) === language) return;
    await new Promise((again) => setTimeout(again, 50));
  }
}"""


def test_without_a_network_the_page_speaks_as_the_last_one_did(visit: Visit) -> None:
    page = visit()
    page.goto("/")
    page.evaluate(CONTROLLED)
    for language, heading in (("ne", "तपाईं अफलाइन हुनुहुन्छ"), ("en", "You are offline")):
        page.goto(f"/?lang={language}")
        page.evaluate(KEPT, language)
        page.context.set_offline(True)
        page.goto("/pandits/")
        expect(page.get_by_role("heading", name=heading)).to_be_visible()
        expect(page.locator("html")).to_have_attribute("lang", language)
        page.context.set_offline(False)
    # What the browser says of the lost network is no fault of the page.
    page.faults[:] = [each for each in page.faults if "ERR_" not in each]  # type: ignore[attr-defined]


def next_step(page: Page) -> None:
    """Press "Next" of the booking, once the page is alive."""
    ready(page).get_by_role("button", name="Next", exact=True).click()


def a_working_day_after(today: date) -> date:
    """A day in the week after next on which pandits work: any but Saturday."""
    day = today + timedelta(days=9)
    return day + timedelta(days=1) if day.isoweekday() == 6 else day


def rupees(text: str) -> float:
    return float(re.sub(r"[^0-9.]", "", text.removeprefix("Rs")))


def test_a_family_books_and_talks_with_its_pandit(town: Town, visit: Visit) -> None:
    family = town.person("Sita Sharma")
    pandit = town.pandit("Ram Prasad Acharya")
    phone, desk = visit(family, size=PHONE), visit(pandit)

    address = book(phone, pandit)
    rice = ready(phone).locator('.samagri__row[data-item="rice"]')
    total = phone.locator('[data-fee="total_fee"]')
    expect(rice).to_be_visible()
    expect(rice).to_contain_text("Needed")
    expect(phone.locator("py-samagri")).to_contain_text("Essential for Satyanarayan Puja")
    shown = total.inner_text()
    before = rupees(shown)
    rice.get_by_role("button", name=re.compile("^More")).click()
    expect(total).not_to_have_text(shown)
    expect(rice.locator("input")).to_have_value("550")
    dry_fruits = phone.locator('.samagri__row[data-item="dry-fruits"]')
    dearer = rupees(total.inner_text())
    assert dearer > before
    dry_fruits.get_by_role("button", name=re.compile("^Remove")).click()
    expect(dry_fruits).to_have_count(0)
    assert rupees(total.inner_text()) < dearer

    desk.goto("/requests/")
    card = ready(desk).locator(".card", has_text="Sita Sharma")
    expect(card).to_contain_text("Baneshwor")
    expect(card).not_to_contain_text("House 7")
    card.get_by_role("button", name=re.compile("^Accept")).click()
    expect(desk.get_by_text("You have accepted.")).to_be_visible()
    expect(desk.locator(".card", has_text="Sita Sharma")).to_contain_text("House 7")

    expect(phone.locator(".toast", has_text="Ram Prasad Acharya")).to_be_visible()
    expect(phone.locator(".badge", has_text="Confirmed")).to_be_visible()
    expect(phone.get_by_role("link", name=re.compile(r"\+977"))).to_be_visible()
    expect(
        phone.get_by_text("The pandit has to agree to each change of this list.")
    ).to_be_visible()

    phone.get_by_role("button", name="Open the chat").click()
    desk.goto("/chats/")
    desk.get_by_role("link", name=re.compile("Sita Sharma")).click()
    for page in (phone, desk):
        expect(ready(page).get_by_text("has accepted the booking").first).to_be_visible()
    ours, theirs = phone.get_by_role("log"), desk.get_by_role("log")
    phone.get_by_label("Message", exact=True).press_sequentially("Namaste, ")
    expect(desk.get_by_text("Sita Sharma is typing")).to_be_visible()
    phone.get_by_label("Message", exact=True).press_sequentially("what shall we prepare?")
    phone.get_by_role("button", name="Send").click()
    expect(theirs.get_by_text("what shall we prepare?")).to_be_visible()
    expect(ours.locator(".bubble--own").last.get_by_role("img", name="Read")).to_be_visible()
    desk.get_by_label("Message", exact=True).fill("Only a clean place.")
    desk.get_by_label("Message", exact=True).press("Enter")
    expect(ours.get_by_text("Only a clean place.")).to_be_visible()
    expect(theirs.locator(".bubble--own").last.get_by_role("img", name="Read")).to_be_visible()

    large: FilePayload = {
        "name": "a.png",
        "mimeType": "image/png",
        "buffer": bytes(5 * 1024 * 1024 + 1),
    }
    attached = phone.locator('py-chat input[type="file"]')
    expect(attached).to_have_attribute("accept", "image/jpeg,image/png,image/webp,application/pdf")
    attached.set_input_files(large)
    expect(phone.get_by_text("The limit is 5.2 MB.")).to_be_visible()

    chat = phone.url
    phone.get_by_role("button", name="नेपाली").click()
    expect(phone.locator("html")).to_have_attribute("lang", "ne")
    expect(ready(phone).get_by_role("textbox", name="सन्देश")).to_be_visible()
    assert phone.url == chat
    phone.goto(address)
    expect(ready(phone).get_by_role("heading", name="सत्यनारायण पूजा")).to_be_visible()
    expect(phone.locator("py-samagri")).to_contain_text("अक्षता")
    expect(phone.locator('[data-fee="total_fee"]')).to_contain_text("रु")
    for path in ("/", "/pandits/", "/bookings/", "/chats/", "/notifications/", "/account/"):
        phone.goto(path)
        expect(ready(phone).locator("html")).to_have_attribute("lang", "ne")
        expect(phone.locator("h1")).to_contain_text(re.compile("[\u0900-\u097f]"))


PRESS_AND_GO_ON = """() => {
  document.querySelector('[data-item="rice"] [aria-label^="More"]').click();
  document.querySelector("form[action*='samagri'] .actions button:not([name])").click();
}"""
PRESS_AND_LEAVE = """() => {
  document.querySelector('[data-item="rice"] [aria-label^="More"]').click();
  location.assign("/account/");
}"""

PRESS_AND_FETCH_A_FILE = """() => {
  document.querySelector('[data-item="rice"] [aria-label^="More"]').click();
  document.querySelector('a[href$="/booking.ics"]').click();
}"""
PRESS_GHEE = """async () => {
  document.querySelector('[data-item="ghee"] [aria-label^="More"]').click();
  await document.querySelector("py-samagri").updateComplete;
  return document.querySelector('[data-item="ghee"] input').value;
}"""


def to_samagri(page: Page, pandit: Somebody) -> str:
    """Through the steps up to the samagri; returns the draft's id."""
    page.goto(f"/book/{pandit.service_id}/")
    next_step(page)
    slots = ready(page).locator("py-slots .slot input:enabled")
    slots.last.check(force=True)
    next_step(page)
    expect(page.get_by_role("heading", name="Details", exact=True)).to_be_visible()
    page.get_by_label("City").fill("Kathmandu")
    page.get_by_label("Area or tole").fill("Baneshwor")
    page.get_by_label("Address").fill("House 7")
    next_step(page)
    expect(ready(page).locator('.samagri__row[data-item="rice"]')).to_be_visible()
    return page.locator("py-samagri").get_attribute("booking-id") or ""


def quantity_of(family: Somebody, booking_id: str, item_id: str) -> float:
    answer = family.api.get(f"/api/bookings/{booking_id}/samagri/").raise_for_status()
    rows = {row["item"]["id"]: row for row in answer.json()["results"]}
    return float(rows[item_id]["quantity"])


def test_a_quantity_is_saved_before_the_page_is_left(town: Town, visit: Visit) -> None:
    family, pandit = town.person("Mina Karki"), town.pandit("Bishnu Sharma")
    page = visit(family)
    draft = to_samagri(page, pandit)
    assert quantity_of(family, draft, "rice") == 500

    # Refused: the page stays and says why.
    title = "The rice is sold out."
    page.route("**/samagri/rice/", lambda route: route.fulfill(status=409, json={"title": title}))
    page.evaluate(PRESS_AND_GO_ON)
    expect(page.locator('[data-item="rice"] [role="alert"]')).to_have_text(title)
    expect(page.locator('[data-item="rice"] input')).to_have_value("500")
    expect(page.get_by_role("button", name="Next", exact=True)).not_to_have_attribute(
        "aria-busy", "true"
    )
    page.unroute("**/samagri/rice/")
    # Not heard at all: nothing looks as if it were saved.
    page.route("**/api/bookings/**", lambda route: route.abort())
    page.evaluate(PRESS_AND_GO_ON)
    expect(page.locator('[data-item="rice"] [role="alert"]')).to_contain_text("No connection")
    expect(page.locator('[data-item="rice"] input')).to_have_value("500")
    page.unroute("**/api/bookings/**")
    forgiven = ("409", "ERR_FAILED")
    page.faults[:] = [  # type: ignore[attr-defined]
        each
        for each in page.faults  # type: ignore[attr-defined]
        if not any(code in each for code in forgiven)
    ]

    page.evaluate(PRESS_AND_GO_ON)
    expect(page.get_by_label(re.compile("^Cash"))).to_be_checked()
    assert quantity_of(family, draft, "rice") == 550

    page.go_back()
    expect(ready(page).locator('[data-item="rice"] input')).to_have_value("550")
    page.evaluate(PRESS_AND_LEAVE)
    page.wait_for_url("**/account/")
    deadline = time.monotonic() + 10
    while quantity_of(family, draft, "rice") != 600 and time.monotonic() < deadline:
        # It goes out as the page ends; nothing tells of it but the list.
        time.sleep(0.05)
    assert quantity_of(family, draft, "rice") == 600


def test_a_file_that_is_fetched_leaves_quantity_and_price_true(town: Town, visit: Visit) -> None:
    family, pandit = town.person("Hema Karki"), town.pandit("Dadhi Ram Sharma")
    booking = town.book(family, pandit, 12, samagri_required=True)
    page = visit(family)
    page.goto(f"/bookings/{booking}/")
    rice = ready(page).locator('[data-item="rice"]')
    expect(rice.locator("input")).to_have_value("500")
    price = rice.locator(".samagri__price")
    before = price.inner_text()
    with page.expect_download():
        page.evaluate(PRESS_AND_FETCH_A_FILE)
    expect(price).not_to_have_text(before)
    assert quantity_of(family, booking, "rice") == 550
    # Refused, it does not stand there as if it were ordered.
    title = "The rice is sold out."
    page.route("**/samagri/rice/", lambda route: route.fulfill(status=409, json={"title": title}))
    with page.expect_download():
        page.evaluate(PRESS_AND_FETCH_A_FILE)
    expect(rice.get_by_role("alert")).to_have_text(title)
    expect(rice.locator("input")).to_have_value("550")
    page.faults[:] = [each for each in page.faults if "409" not in each]  # type: ignore[attr-defined]


def test_an_item_that_was_looked_for_before_is_not_offered(town: Town, visit: Visit) -> None:
    family, pandit = town.person("Usha Karki"), town.pandit("Dhruva Sharma")
    booking = town.book(family, pandit, 12, samagri_required=True)
    page = visit(family)
    page.goto(f"/bookings/{booking}/")
    held: list[Route] = []
    first = re.compile(r"/api/samagri/items/\?.*q=kumkum")
    page.route(first, lambda route: held.append(route))
    field = ready(page).get_by_label("Add another item")
    with page.expect_request(first):
        field.fill("kumkum")
    field.fill("no such thing")
    expect(page.get_by_text("Nothing found for “no such thing”.")).to_be_visible()
    with page.expect_response(first):
        held[0].continue_()
    page.evaluate("() => document.querySelector('py-samagri').updateComplete")
    expect(page.get_by_text("Nothing found for “no such thing”.")).to_be_visible()
    expect(page.locator(".samagri__found")).to_have_count(0)


def test_a_conversation_is_heard_in_the_readers_language(town: Town, visit: Visit) -> None:
    family, pandit = town.person("Kala Karki"), town.pandit("Chet Nath Sharma")
    name = "चेतनाथ शर्मा"
    pandit.api.patch("/api/pandits/me/", json={"full_name_ne": name}).raise_for_status()
    town.move(pandit, town.book(family, pandit, 12), "accept")
    room = family.api.get("/api/chat/rooms/").json()["results"][0]["id"]
    said = {"room_id": room, "message_type": "TEXT", "content": "Namaste"}
    pandit.api.post("/api/messages/send/", json=said).raise_for_status()
    page = visit(family, language="ne")
    page.goto(f"/chats/{room}/")
    bubble = ready(page).locator(".bubble", has_text="Namaste")
    expect(bubble.locator(".visually-hidden").first).to_have_text(f"{name}:")


def test_an_answer_leaves_what_was_pressed_since(town: Town, visit: Visit) -> None:
    family, pandit = town.person("Nita Karki"), town.pandit("Madhav Sharma")
    page = visit(family)
    draft = to_samagri(page, pandit)
    held: list[Route] = []
    page.route("**/samagri/rice/", lambda route: held.append(route))
    with page.expect_request("**/samagri/rice/"):
        page.locator('[data-item="rice"]').get_by_role("button", name=re.compile("^More")).click()
    ghee = page.locator('[data-item="ghee"]')
    before = quantity_of(family, draft, "ghee")
    with page.expect_response("**/samagri/ghee/"):
        with page.expect_response("**/samagri/rice/"):
            pressed = page.evaluate(PRESS_GHEE)
            held[0].continue_()
        # The answer about the rice still has the ghee as it was.
        expect(page.locator('[data-item="rice"]')).to_have_attribute("aria-busy", "false")
        assert ghee.locator("input").input_value() == pressed
    expect(ghee.locator("input")).to_have_value(pressed)
    assert quantity_of(family, draft, "ghee") > before


def test_a_time_that_is_taken_meanwhile_is_seen_at_once(town: Town, visit: Visit) -> None:
    family, rival = town.person("Gita Rai"), town.person("Hari Rai")
    pandit = town.pandit("Keshav Joshi")
    page = ready(visit(family))
    page.goto(f"/book/{pandit.service_id}/")
    next_step(page)
    page.get_by_label("Repeat").select_option("weekly")
    field = page.get_by_label("Date", exact=True)
    day = (date.fromisoformat(field.input_value()) + timedelta(days=1)).isoformat()
    field.fill(day)
    slots = ready(page).locator("py-slots .slot input:enabled")
    # From here on the whole day is free.
    expect(page.locator('.slot input[value="00:00"]')).to_be_enabled()
    slots.last.check(force=True)
    at = page.locator('[name="booking_time"]').input_value()
    rival.api.post(
        "/api/bookings/",
        json={
            "service_id": pandit.service_id,
            "booking_date": day,
            "booking_time": at,
            "service_location": "ONLINE",
        },
    ).raise_for_status()
    expect(page.get_by_role("alert")).to_contain_text("has just been taken")
    expect(page.locator(f'.slot input[value="{at}"]')).to_be_disabled()
    expect(page.locator('[name="booking_time"]')).to_have_value("")
    slots.first.check(force=True)
    chosen = page.locator('[name="booking_time"]').input_value()
    # Another time of the day is taken: the choice stays.
    rival.api.post(
        "/api/booking-wizard/create-step/",
        json={"booking_step": "service_selection", "service_id": pandit.service_id},
    ).raise_for_status()
    (begun,) = rival.api.get("/api/booking-wizard/").json()["results"]
    held = f"{(int(chosen[:2]) + 6) % 24:02}:{chosen[3:]}"
    rival.api.post(
        "/api/booking-wizard/create-step/",
        json={
            "booking_step": "datetime_selection",
            "booking_id": begun["id"],
            "booking_date": day,
            "booking_time": held,
        },
    ).raise_for_status()
    expect(page.locator(f'.slot input[value="{held}"]')).to_be_disabled()
    expect(page.locator(f'.slot input[value="{chosen}"]')).to_be_checked()
    expect(page.get_by_label("Repeat")).to_have_value("weekly")
    next_step(page)
    expect(page.get_by_role("heading", name="Details", exact=True)).to_be_visible()


def test_a_booking_goes_on_on_another_device(town: Town, visit: Visit) -> None:
    family, pandit = town.person("Laxmi Karki"), town.pandit("Gopal Subedi")
    desk = visit(family)
    desk.goto(f"/book/{pandit.service_id}/")
    next_step(desk)
    slots = ready(desk).locator("py-slots .slot input:enabled")
    slots.first.check(force=True)
    next_step(desk)
    desk.get_by_label("Address").fill("House 9, Patan")
    desk.get_by_label("Online, by video call").check(force=True)
    next_step(desk)
    expect(ready(desk).locator("py-samagri .samagri__row").first).to_be_visible()
    phone = visit(family, size=PHONE)
    phone.goto("/bookings/")
    phone.get_by_role("button", name="Go on with it").click()
    expect(phone.get_by_role("heading", name="Payment", exact=True)).to_be_visible()
    phone.get_by_role("link", name="Details").click()
    expect(phone.locator('[name="address"]')).to_have_value("House 9, Patan")
    phone.get_by_role("button", name="Back").click()
    expect(ready(phone).locator("py-slots .slot input:checked")).to_be_attached()
    phone.get_by_role("button", name="Drop this booking").click()
    expect(phone.get_by_text("The unfinished booking was dropped.")).to_be_visible()
    desk.get_by_role("button", name="Next", exact=True).click()
    expect(desk.get_by_text("was not finished in time")).to_be_visible()


def test_what_was_written_while_the_server_was_dead_arrives(town: Town, visit: Visit) -> None:
    family = town.person("Maya Gurung")
    pandit = town.pandit("Bishnu Ghimire")
    today = date.fromisoformat(pandit.api.get("/api/pandits/me/").json()["date_joined"][:10])
    booking = family.api.post(
        "/api/bookings/",
        json={
            "service_id": pandit.service_id,
            "booking_date": a_working_day_after(today).isoformat(),
            "booking_time": "10:00",
            "service_location": "ONLINE",
        },
    ).raise_for_status()
    pandit.api.post(f"/api/bookings/{booking.json()['id']}/accept/", json={}).raise_for_status()
    phone, desk = visit(family, size=PHONE), visit(pandit)
    for page in (phone, desk):
        page.goto("/chats/")
        page.locator("main .list__link").first.click()
        expect(ready(page).get_by_text("has accepted the booking").first).to_be_visible()
    town.site.kill()
    field = phone.get_by_label("Message", exact=True)
    for text in ("Are you there?", "We moved the time."):
        field.fill(text)
        phone.get_by_role("button", name="Send").click()
    own = phone.locator(".bubble--own")
    expect(own.last.get_by_role("img", name="Sending")).to_be_visible()
    expect(phone.locator(".offline")).to_be_visible()
    theirs = desk.get_by_role("log")
    town.site.start()
    # Both come back in their own time: the longest pause between two attempts is 30 seconds.
    expect(theirs.get_by_text("We moved the time.")).to_be_visible(timeout=75_000)
    texts = theirs.locator(".bubble__text").all_inner_texts()
    assert texts == ["Are you there?", "We moved the time."]
    expect(own.last.get_by_role("img", name=re.compile("Sent|Read"))).to_be_visible()
    # While the server is dead a browser says so in its console, and rightly.
    phone.faults[:] = [  # type: ignore[attr-defined]
        fault
        for fault in phone.faults  # type: ignore[attr-defined]
        if "ERR_" not in fault and "WebSocket" not in fault
    ]


def test_other_samagri_is_asked_for_and_agreed_to_on_open_pages(town: Town, visit: Visit) -> None:
    family, pandit = town.person("Rupa Gurung"), town.pandit("Lok Nath Sapkota")
    booking = town.book(family, pandit, 12, samagri_required=True)
    town.move(pandit, booking, "accept")
    at_home, at_work = visit(family), visit(pandit)
    for page in (at_home, at_work):
        page.goto(f"/bookings/{booking}/")
        ready(page)
    total = at_home.locator("[data-fee=total_fee]")
    before = total.inner_text()
    row = at_home.locator("[data-item=haldi]")
    for _ in range(3):
        row.get_by_role("button", name="More Haldi").click()
    mine = at_home.locator("#samagri-proposal")
    expect(mine).to_contain_text("250 g instead of 100 g")
    expect(row.get_by_role("textbox")).to_have_value("250")
    expect(at_home.get_by_text("Total, once the pandit agrees")).to_be_visible()
    expect(total).to_have_text(before)

    theirs = at_work.locator("#samagri-proposal")
    expect(theirs).to_contain_text("Rupa Gurung asks for other samagri")
    expect(theirs).to_contain_text("250 g instead of 100 g")
    theirs.get_by_role("button", name="Agree to this list").click()
    expect(at_work.get_by_text("You have agreed.")).to_be_visible()
    expect(at_work.locator("#samagri-proposal")).to_have_count(0)
    expect(mine).to_have_count(0)
    expect(total).not_to_have_text(before)
    expect(at_home.get_by_text("Total, once the pandit agrees")).to_have_count(0)
