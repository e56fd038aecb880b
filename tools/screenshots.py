"""Takes the pictures of the documents from a running demo.

``python tools/screenshots.py http://127.0.0.1:8888`` books a puja as the demo's
customer, opens the booking, and writes ``docs/images/booking.png``. Needs Debian's chromium.
"""

from __future__ import annotations

import shutil
import sys
from pathlib import Path
from typing import Final

import httpx
from playwright.sync_api import sync_playwright

IMAGES: Final = Path(__file__).resolve().parent.parent / "docs" / "images"
PUJA: Final = "satyanarayan-puja"
PHONE: Final = "9800000001"
PASSWORD: Final = "namaste-nepal"  # noqa: S105  # the demo's, printed at its start
FLAGS: Final = ["--no-sandbox", "--disable-gpu", "--disable-background-networking"]


def book(base: str) -> str:
    """Book a puja with its samagri as the demo's customer; returns the booking's id."""
    with httpx.Client(base_url=base, timeout=30) as api:
        token = api.post("/api/auth/token/", json={"identifier": PHONE, "password": PASSWORD})
        api.headers["Authorization"] = f"Bearer {token.raise_for_status().json()['access']}"
        found = api.get("/api/pandits/", params={"puja_id": PUJA, "limit": 1}).json()["results"]
        profile = api.get(f"/api/pandits/{found[0]['id']}/").raise_for_status().json()
        service = next(each for each in profile["services"] if each["puja_id"] == PUJA)
        slot = found[0]["next_free_slot"]["start"]
        answer = api.post(
            "/api/bookings/",
            json={
                "service_id": service["id"],
                "booking_date": slot[:10],
                "booking_time": slot[11:16],
                "service_location": "HOME",
                "area": "Baneshwor",
                "city": "Kathmandu",
                "address": "House 7, Shantinagar",
                "samagri_required": True,
            },
        )
        return str(answer.raise_for_status().json()["id"])


def main() -> int:
    """Write the pictures; returns the exit status."""
    base = sys.argv[1].rstrip("/")
    chromium = shutil.which("chromium") or shutil.which("google-chrome")
    if chromium is None:
        print("No Chromium: install the Debian package chromium.")
        return 1
    booking_id = book(base)
    IMAGES.mkdir(parents=True, exist_ok=True)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=FLAGS)
        page = browser.new_page(viewport={"width": 1180, "height": 900}, locale="en-GB")
        page.goto(f"{base}/sign-in/")
        page.locator('[name="identifier"]').fill(PHONE)
        page.locator('[name="password"]').fill(PASSWORD)
        page.locator('main button[type="submit"], main form button').first.click()
        page.goto(f"{base}/bookings/{booking_id}/")
        page.locator("html[data-ready]").wait_for()
        page.locator("py-samagri input").first.wait_for()
        page.screenshot(path=IMAGES / "booking.png")
        browser.close()
    print(f"Wrote {IMAGES / 'booking.png'}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
