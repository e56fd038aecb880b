"""The day of each role: a customer, a pandit, an administrator; both languages, phone and desk."""

from __future__ import annotations

import itertools
import re
from datetime import date, datetime
from zoneinfo import ZoneInfo

import pytest
from playwright.sync_api import Route, expect

from tests.browser import steps
from tests.browser.conftest import DESK, PHONE, Somebody, Town, Visit, ready
from tests.browser.steps import Reader, Size

# The first of a process waits until the site is there.
pytestmark = pytest.mark.timeout(300)
READINGS = [
    pytest.param(size, language, id=f"{name}-{language}")
    for (name, size), language in itertools.product(
        {"phone": PHONE, "desk": DESK}.items(), ("en", "ne")
    )
]
# Names by which a search finds one pandit and no other; every test takes the next. There are enough
# for one process that runs all of them, which is up to who hands them out.
PANDITS = iter(
    f"{first} {last}"
    for first, last in itertools.product(
        ("Tika Ram", "Hom Nath", "Yadu Prasad", "Dil Bahadur", "Til Bikram", "Megh Raj"),
        ("Subedi", "Dahal", "Lamichhane", "Bastola", "Neupane", "Pokharel"),
    )
)
TOKEN = """(name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim()"""
HOME = {
    "service_location": "HOME",
    "address": "House 7",
    "area": "Baneshwor",
    "city": "Kathmandu",
}
PRICES = itertools.count(41)


def hand(visit: Visit, somebody: Somebody, size: Size, language: str) -> Reader:
    return Reader(visit(somebody, size=size, language=language), language)


def a_day_apart(pandit: Somebody) -> int:
    """A weekday that is neither today nor near, so that shortening it takes no time of today."""
    today = date.fromisoformat(pandit.api.get("/api/pandits/me/").json()["updated_at"][:10])
    return (today.isoweekday() + 2) % 7 + 1


@pytest.mark.parametrize(("size", "language"), READINGS)
def test_the_day_of_a_customer(town: Town, visit: Visit, size: Size, language: str) -> None:
    family, pandit = town.person("Sita Sharma"), town.pandit(next(PANDITS))
    town.open_all_hours(pandit)
    reader = hand(visit, family, size, language)
    steps.find_pandit(reader, pandit)
    steps.book_pandit(reader, "KHALTI")
    booking = re.findall(r"/bookings/(\w+)/", reader.page.url)[0]
    steps.pay_at_the_service(reader, town)

    page = reader.go(f"/bookings/{booking}/")
    reader.status("Waiting for the pandit")
    town.move(pandit, booking, "accept")
    expect(page.locator(".toast", has_text=pandit.name)).to_be_visible()
    reader.status("Confirmed")
    page.get_by_role("button", name=reader.say("Open the chat")).click()
    ready(page)
    steps.write(reader, "Namaste, what shall we prepare?")
    room = pandit.api.get("/api/chat/rooms/").json()["results"][0]["id"]
    answer = {"room_id": room, "message_type": "TEXT", "content": "Only a clean place."}
    pandit.api.post("/api/messages/send/", json=answer).raise_for_status()
    steps.hears(reader, "Only a clean place.")

    reader.go(f"/bookings/{booking}/")
    town.move(pandit, booking, "start", "complete")
    reader.status("Completed")
    reader.go(f"/bookings/{booking}/")
    steps.review(reader, "उहाँले सबै बुझाउनुभयो।" if language == "ne" else "He explained it all.")


def test_a_day_of_the_list_takes_along_how_often_the_puja_is_repeated(
    town: Town, visit: Visit
) -> None:
    family, pandit = town.person("Sita Sharma"), town.pandit(next(PANDITS))
    (service,) = pandit.api.get("/api/services/").json()["results"]
    page = hand(visit, family, DESK, "en").go(f"/book/{service['id']}/")
    ready(page).get_by_role("button", name="Next", exact=True).click()
    ready(page).get_by_label("Repeat").select_option("weekly")
    page.get_by_label("How many times in all").fill("8")
    page.locator(".days__list a").nth(3).click()
    page.wait_for_url(re.compile("repeat=weekly"))
    expect(ready(page).get_by_label("Repeat")).to_have_value("weekly")
    expect(page.get_by_label("How many times in all")).to_have_value("8")
    page.get_by_label("Repeat").select_option("")
    page.locator(".days__list a").nth(4).click()
    expect(ready(page).locator(".days__list a").nth(4)).to_have_attribute("aria-current", "date")
    expect(page.get_by_label("Repeat")).to_have_value("")


def test_only_the_day_that_is_chosen_is_outlined(town: Town, visit: Visit) -> None:
    family, pandit = town.person("Sita Sharma"), town.pandit(next(PANDITS))
    (service,) = pandit.api.get("/api/services/").json()["results"]
    page = hand(visit, family, DESK, "en").go(f"/book/{service['id']}/")
    ready(page).get_by_role("button", name="Next", exact=True).click()
    days = ready(page).locator(".days__list a")
    days.nth(3).click()
    expect(ready(page).locator(".days__list a[aria-current]")).to_have_count(1)
    later = re.findall(r"booking_date=([0-9-]+)", days.nth(6).get_attribute("href") or "")[0]
    page.get_by_label("Date", exact=True).fill(later)
    page.get_by_label("Date", exact=True).dispatch_event("change")
    expect(days.nth(6)).to_have_attribute("aria-current", "date")
    expect(page.locator(".days__list a[aria-current]")).to_have_count(1)
    expect(page.get_by_label("How many times in all")).to_be_hidden()
    page.get_by_label("Repeat").select_option("weekly")
    expect(page.get_by_label("How many times in all")).to_be_visible()


def test_a_day_that_is_taken_back_is_not_waited_for(town: Town, visit: Visit) -> None:
    family, pandit = town.person("Sita Sharma"), town.pandit(next(PANDITS))
    page = visit(family)
    page.goto(f"/pandits/{pandit.pandit_id}/")
    held: list[Route] = []
    page.route("**/available-slots/**", lambda route: held.append(route))
    field = ready(page).get_by_label("Date", exact=True)
    field.fill(field.get_attribute("min") or "")
    field.dispatch_event("change")
    expect(page.locator("py-slots .skeleton").first).to_be_visible()
    field.fill("")
    field.dispatch_event("change")
    expect(page.locator("py-slots")).to_contain_text("Choose a date to see the free times.")
    expect(page.locator("py-slots .skeleton")).to_have_count(0)
    page.unroute("**/available-slots/**")


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_what_is_printed_is_dark_on_light(town: Town, visit: Visit, theme: str) -> None:
    page = visit()
    page.context.add_cookies([{"name": "theme", "value": theme, "url": town.base}])
    page.goto("/")
    page.emulate_media(media="print")
    for token, least in (("--ink", 0), ("--good", 0x1D), ("--sindoor", 0x8D), ("--bad", 0xA8)):
        shown = page.evaluate(TOKEN, token)
        assert int(shown[1:3] if len(shown) == 7 else shown[1] * 2, 16) <= least, (token, shown)
    assert page.evaluate(TOKEN, "--good-tint") == "#fff"


@pytest.mark.parametrize(("size", "language"), READINGS)
def test_the_day_of_a_pandit(town: Town, visit: Visit, size: Size, language: str) -> None:
    family, pandit = town.person("Gita Poudel"), town.pandit(next(PANDITS))
    town.open_all_hours(pandit)
    reader = hand(visit, pandit, size, language)
    steps.keep_hours(reader, a_day_apart(pandit))

    page = reader.go("/requests/")
    reader.sees("No new requests")
    booking = town.book_soon(family, pandit, **HOME)
    expect(page.locator(".toast", has_text=family.name)).to_be_visible()
    steps.answer_request(reader, family)

    page.goto("/chats/")
    ready(page).get_by_role("link", name=re.compile(family.name)).click()
    ready(page)
    room = family.api.get("/api/chat/rooms/").json()["results"][0]["id"]
    question = {"room_id": room, "message_type": "TEXT", "content": "When do you come?"}
    family.api.post("/api/messages/send/", json=question).raise_for_status()
    steps.hears(reader, "When do you come?")
    steps.write(reader, "At eight.")
    steps.hears(reader, "At eight.")

    # Late in the evening the first free time is tomorrow's, which the page does not begin today.
    held_on = family.api.get(f"/api/bookings/{booking}/").json()["booking_date"]
    is_begun = held_on != datetime.now(ZoneInfo("Asia/Kathmandu")).date().isoformat()
    if is_begun:
        town.move(pandit, booking, "start")
    steps.hold_puja(reader, family, is_begun=is_begun)
    price = family.api.get(f"/api/bookings/{booking}/").json()
    page = reader.go("/pandit/earnings/")
    reader.sees("Commission of cash that you have taken")
    expect(page.locator("main")).to_contain_text(reader.price(price["total_fee"] // 10))


@pytest.mark.parametrize(("size", "language"), READINGS)
def test_the_day_of_an_administrator(town: Town, visit: Visit, size: Size, language: str) -> None:
    family, pandit = town.person("Maya Karki"), town.pandit(next(PANDITS))
    newcomer = town.person(next(PANDITS), "pandit")
    words = f"Kind and learned, {size[0]} {language}."
    town.review(family, town.hold_puja(family, pandit), words)
    refunded = town.give_back(family, pandit)
    reader = hand(visit, town.sign_in("Admin", town.admin_phone), size, language)

    reader.go("/admin/")
    steps.approve_pandit(reader, newcomer)
    steps.publish_review(reader, words)
    guest = visit()
    guest.goto(f"/pandits/{pandit.pandit_id}/")
    expect(ready(guest).get_by_text(words)).to_be_visible()
    steps.change_price(reader, "kumkum", f"{next(PRICES)}.50")
    reader.go(f"/admin/payments/{refunded}/")
    reader.sees("Given back")
    page = reader.go("/admin/audit/")
    for act in ("Pandit approved", "Review decided on", "Item changed"):
        expect(page.get_by_role("cell", name=reader.say(act), exact=True).first).to_be_visible()
