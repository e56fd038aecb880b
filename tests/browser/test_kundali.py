"""In Nepali: a family makes two charts, matches them, picks a muhurta and books it."""

from __future__ import annotations

import os
import re
from pathlib import Path

from playwright.sync_api import Page, expect

from tests.browser.conftest import PHONE, Town, Visit, ready

DEVANAGARI = re.compile("[\u0900-\u097f]")


def make_chart(page: Page, name: str, day_bs: str, clock: str, place: str) -> None:
    page.goto("/kundali/")
    ready(page)
    page.locator('[name="name"]').fill(name)
    page.locator('[name="date_of_birth_bs"]').fill(day_bs)
    page.locator('[name="time_of_birth"]').fill(clock)
    page.locator('[name="place_of_birth"]').fill(place)
    page.get_by_role("button", name="कुण्डली बनाउने").click()
    expect(page.locator("h1")).to_contain_text(name)


def test_a_wedding_is_prepared_in_nepali(town: Town, visit: Visit) -> None:
    family, pandit = town.person("Maya Gurung"), town.pandit("Bishnu Pokhrel")
    offer = {"puja_id": "navagraha-shanti", "name": "Navagraha Shanti", "price": 300_000}
    made = pandit.api.post("/api/services/", json={**offer, "duration_minutes": 60})
    service_id = str(made.raise_for_status().json()["id"])
    page = visit(family, size=PHONE, language="ne")

    make_chart(page, "सीता", "2047-02-01", "06:20", "काठमाडौं")
    for style in ("north", "south"):
        drawing = page.locator(f"#{style}-d1")
        expect(drawing).to_be_visible()
        expect(drawing).to_contain_text("सू")
        if folder := os.environ.get("CHART_PICTURES"):
            drawing.screenshot(path=Path(folder) / f"kundali-{style}-ne.png")
    expect(page.locator("details.dasha")).to_have_count(9)
    expect(page.locator("h1")).to_contain_text("कुण्डली")
    make_chart(page, "राम", "2044-03-10", "14:05", "Pokhara")

    page.goto("/kundali/match/")
    page.locator("#groom_id").select_option(label="राम")
    page.locator("#bride_id").select_option(label="सीता")
    page.get_by_role("button", name="मिलाउनुहोस्").click()
    expect(page.locator("[data-total]")).to_contain_text(re.compile("[०-९]"))
    expect(page.locator(".cards .card")).to_have_count(8)

    page.goto(f"/book/{service_id}/")
    ready(page).get_by_role("button", name="अर्को", exact=True).click()
    expect(page.locator(".days__list li")).to_have_count(30)
    expect(page.locator(".days__list li").first).to_contain_text(DEVANAGARI)
    page.goto(f"/muhurta/?puja_id=navagraha-shanti&service_id={service_id}")
    links = page.locator("a", has_text="यो समय बुक गर्नुहोस्")
    expect(links.first).to_be_visible()
    addresses = [link.get_attribute("href") or "" for link in links.all()]
    assert all("booking_date=" in address for address in addresses)
    free = next(address for address in addresses if is_free(page, service_id, address))
    page.locator(f'a[href="{free}"]').click()
    expect(ready(page).locator('[name="booking_date"]')).not_to_have_value("")
    expect(page.locator("py-slots .slot input:checked")).to_be_attached()
    page.get_by_role("button", name="अर्को", exact=True).click()
    page.locator('[name="city"]').fill("Kathmandu")
    page.locator('[name="area"]').fill("Baneshwor")
    page.locator('[name="address"]').fill("House 7")
    for step in ("samagri", "payment", "confirm"):
        ready(page).get_by_role("button", name="अर्को", exact=True).click()
        page.wait_for_url(re.compile(f"/{step}/$"))
    page.locator('form[action^="/book/"] button.large').click()
    page.wait_for_url(re.compile(r"/bookings/\w+/$"))
    assert re.search(r"booking_date=([\d-]+)", free)
    expect(page.locator("h1")).to_contain_text(DEVANAGARI)


def is_free(page: Page, service_id: str, address: str) -> bool:
    """Whether the pandit can be booked at the time of a link."""
    found = re.search(r"booking_date=([\d-]+)&booking_time=(\d\d)%3A(\d\d)", address)
    if found is None:
        return False
    day, hour, minute = found.groups()
    answer = page.request.get(
        f"/api/booking-slots/available-slots/?service_id={service_id}&date={day}"
    )
    slots = answer.json()["slots"]
    return any(slot["available"] and f"T{hour}:{minute}" in str(slot["start"]) for slot in slots)
