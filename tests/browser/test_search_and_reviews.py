"""A search by place, spelling and map; a review that is written, published and answered."""

from __future__ import annotations

import re

from playwright.sync_api import Page, expect

from tests.browser.conftest import DESK, PHONE, Town, Visit, ready


def search(page: Page, **fields: str) -> None:
    page.goto("/pandits/")
    filters = ready(page).locator(".filters-fold")
    if filters.get_attribute("open") is None:
        filters.locator("summary").click()
    for name, value in fields.items():
        field = page.locator(f'.filters [name="{name}"]')
        if field.evaluate("each => each.tagName") == "SELECT":
            field.select_option(value)
        else:
            field.fill(value)
    page.locator(".filters button[type=submit]").click()
    page.wait_for_url(re.compile(r"/pandits/\?"))
    ready(page)


def test_a_pandit_is_found_by_any_spelling_place_and_map(town: Town, visit: Visit) -> None:
    pandit = town.pandit("Rishi Ram Khanal")
    page = visit(size=PHONE)
    search(page, q="khanaal pooja", place="काठमाडौं", category="deity", radius_km="25")
    expect(page.locator(".card", has_text=pandit.name)).to_have_count(1)
    expect(page.locator(".card", has_text=pandit.name)).to_contain_text("km away")
    expect(page.locator('[name="sort"] option[value="distance"]')).to_have_count(1)
    pins = page.locator(".search-map a")
    expect(pins).to_have_count(1)
    expect(page.locator(".search-map svg[role=group]")).to_contain_text("Kathmandu")
    pins.first.focus()
    pins.first.press("Enter")
    expect(page).to_have_url(re.compile("#pandit-1$"))
    page.locator(".factors summary").first.click()
    expect(page.locator(".factors meter").first).to_be_visible()
    # Requests to other hosts would be a map with tiles.
    asked = page.evaluate(
        "performance.getEntriesByType('resource').map(each => new URL(each.name).host)"
    )
    assert set(asked) <= {town.base.removeprefix("http://")}

    search(page, q="khanaal", place="Pokhara", radius_km="10")
    expect(page.get_by_text("No pandit fits all of that")).to_be_visible()


def test_a_place_is_offered_while_it_is_typed(town: Town, visit: Visit) -> None:
    page = visit(size=DESK)
    page.goto("/pandits/")
    field = ready(page).locator('.filters [name="place"]')
    if not field.is_visible():
        page.locator(".filters-fold summary").click()
    field.press_sequentially("पाट")
    expect(page.locator('#place-names option[value="Lalitpur"]')).to_have_count(1)


def test_a_family_reviews_a_moderator_publishes_and_the_pandit_answers(
    town: Town, visit: Visit
) -> None:
    family, pandit = town.person("Asha Karki"), town.pandit("Guru Prasad Mainali")
    booking = town.hold_puja(family, pandit)
    admin = town.sign_in("Admin", town.admin_phone)

    phone = visit(family, size=PHONE)
    phone.goto(f"/bookings/{booking}/")
    form = ready(phone).locator("#review form")
    for name, stars in (
        ("rating", 5), ("professionalism", 4), ("knowledge", 5), ("punctuality", 3),
    ):  # fmt: skip
        form.locator(f'[name="{name}"][value="{stars}"]').check()
    form.get_by_label("Your words, in English").fill("He explained every step.")
    form.get_by_label("Your words, in Nepali").fill("सबै बुझाउनुभयो।")
    form.get_by_role("button", name="Send the review").click()
    expect(phone.get_by_text("Your review is published once it is checked.")).to_be_visible()
    expect(phone.locator("#review")).to_contain_text("He explained every step.")
    expect(phone.locator("#review form")).to_have_count(0)

    guest = visit()
    guest.goto(f"/pandits/{pandit.pandit_id}/")
    expect(ready(guest).get_by_text("He explained every step.")).to_have_count(0)

    moderator = visit(admin)
    moderator.goto("/admin/reviews/")
    card = ready(moderator).locator(".card", has_text="He explained every step.")
    expect(card).to_contain_text("Asha K.")
    card.get_by_role("button", name=re.compile("^Publish")).click()
    expect(moderator.get_by_text("The review is published and counted.")).to_be_visible()
    expect(moderator.locator(".card", has_text="He explained every step.")).to_have_count(0)

    desk = visit(pandit)
    desk.goto(f"/pandits/{pandit.pandit_id}/")
    review = ready(desk).locator("article", has_text="He explained every step.")
    review.locator("summary", has_text="Answer").click()
    review.get_by_label("Your answer, in English").fill("It was an honour.")
    review.get_by_role("button", name="Publish the answer").click()
    expect(desk.get_by_text("Your answer stands below the review.")).to_be_visible()
    expect(desk.locator("article blockquote")).to_contain_text("It was an honour.")
    desk.goto(f"/bookings/{booking}/")
    ready(desk).locator('#review [name="rating"][value="4"]').check()
    desk.get_by_label("A word for other pandits").fill("A warm house.")
    desk.locator("#review").get_by_role("button", name="Send").click()
    expect(desk.get_by_text("A warm house.")).to_be_visible()

    guest.goto(f"/pandits/{pandit.pandit_id}/?lang=ne")
    expect(ready(guest).get_by_text("सबै बुझाउनुभयो।")).to_be_visible()
    expect(guest.locator("article", has_text="सबै बुझाउनुभयो।")).to_contain_text("Asha K.")
    phone.goto(f"/bookings/{booking}/")
    expect(ready(phone).locator("#review blockquote")).to_contain_text("It was an honour.")
    expect(phone.get_by_text("A warm house.")).to_have_count(0)
