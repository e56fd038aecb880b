"""What axe finds on every page: nothing, light and dark, phone and desk, both languages."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date, timedelta

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Page

from tests.browser.conftest import DESK, PHONE, Somebody, Town, Visit, ready

# Swagger UI's own markup; ours around it is that of the other pages.
OTHERS_MARKUP = ("/api/docs/",)


class Places:
    """Somebody of each kind, and the pages that each of them has."""

    def __init__(self, town: Town) -> None:
        self.family = town.person("Anita Thapa")
        self.pandit = town.pandit("Devi Prasad Regmi")
        self.admin = town.sign_in("Admin", town.admin_phone)
        town.person("Unverified Bhatta", "pandit")
        pending, accepted = (self._book(days) for days in (20, 21))
        self.pandit.api.post(f"/api/bookings/{accepted}/accept/", json={}).raise_for_status()
        rooms = self.family.api.get("/api/chat/rooms/").json()["results"]
        profile, service = self.pandit.pandit_id, self.pandit.service_id
        both = [f"/bookings/{pending}/", f"/bookings/{accepted}/", f"/chats/{rooms[0]['id']}/"]
        common = [
            "/bookings/",
            "/bookings/?tab=past",
            "/chats/",
            "/notifications/",
            "/notifications/preferences/",
            "/account/",
        ]
        self.pages: list[tuple[Somebody | None, list[str]]] = [
            (
                None,
                [
                    "/",
                    "/pandits/",
                    "/pandits/?q=nobody-has-this-name",
                    "/pandits/?place=Lalitpur&radius_km=25",
                    f"/pandits/{profile}/",
                    "/sign-in/",
                    "/sign-in/code/",
                    "/register/",
                    "/offline/",
                    "/panchang/",
                    "/panchang/?month=2083-07",
                    "/muhurta/?puja_id=griha-pravesh",
                ],
            ),
            (
                self.family,
                [
                    "/",
                    f"/book/{service}/",
                    *self._charts(),
                    *common,
                    *both,
                    f"/bookings/{pending}/pay/",
                    f"/bookings/{pending}/invoice/",
                    f"/pandits/{profile}/unlock/",
                    f"/payments/{self._begun(pending)}/",
                    "/payments/",
                    "/wallet/",
                ],
            ),
            (self.pandit, ["/requests/", "/pandit/profile/", "/pandit/earnings/", *common, *both]),
            (
                self.admin,
                [
                    "/admin/",
                    "/admin/pandits/",
                    "/admin/pandits/?verification_status=APPROVED",
                    "/admin/catalogue/",
                    "/admin/catalogue/items/kumkum/",
                    "/admin/audit/",
                    "/admin/payments/",
                    f"/admin/payments/b-{pending}/",
                    "/admin/callbacks/",
                    "/admin/payouts/",
                    "/admin/ledger/",
                    "/admin/reviews/",
                ],
            ),
        ]

    def _charts(self) -> list[str]:
        """Keep two charts, one without a birth time, and return the pages about them."""
        ids = []
        for name, clock in (("Maya", "06:20"), ("Ram", None)):
            made = self.family.api.post(
                "/api/kundali/",
                json={
                    "name": name,
                    "date_of_birth": "1990-05-15",
                    "time_of_birth": clock,
                    "place_of_birth": "Pokhara",
                },
            )
            ids.append(made.raise_for_status().json()["id"])
        pages = [f"/kundali/{chart_id}/" for chart_id in ids]
        return ["/kundali/", *pages, f"/kundali/match/?groom_id={ids[1]}&bride_id={ids[0]}"]

    def _begun(self, booking_id: str) -> str:
        body = {"booking_id": booking_id, "payment_method": "KHALTI"}
        answer = self.family.api.post("/api/payments/", json=body).raise_for_status()
        found: str = answer.json()["id"]
        return found

    def _book(self, days: int) -> str:
        day = date.fromisoformat(self.family.api.get("/api/auth/me/").json()["created_at"][:10])
        booking = self.family.api.post(
            "/api/bookings/",
            json={
                "service_id": self.pandit.service_id,
                "booking_date": (day + timedelta(days=days)).isoformat(),
                "booking_time": "09:00",
                "service_location": "HOME",
                "address": "House 3",
                "area": "Chabahil",
                "city": "Kathmandu",
                "samagri_required": True,
            },
        )
        found: str = booking.raise_for_status().json()["id"]
        return found


@pytest.fixture(scope="module")
def places(town: Town) -> Iterator[Places]:
    return Places(town)  # type: ignore[return-value]  # nothing to undo


def faults_of(page: Page, path: str) -> list[str]:
    """What axe finds, and whether the page is wider than the screen."""
    found = [
        f"{path}: {each['id']}: {each['nodes'][0]['html'][:120]}"
        for each in Axe().run(page).response["violations"]
    ]
    wider = page.evaluate(
        "document.documentElement.scrollWidth - document.documentElement.clientWidth"
    )
    return [*found, f"{path}: {wider} px too wide"] if wider > 0 else found


@pytest.mark.timeout(300)
@pytest.mark.parametrize(
    ("size", "scheme", "language"),
    [
        (PHONE, "light", "en"),
        (PHONE, "dark", "ne"),
        (DESK, "dark", "en"),
        (DESK, "light", "ne"),
    ],
    ids=["phone-light-en", "phone-dark-ne", "desk-dark-en", "desk-light-ne"],
)
def test_no_page_shuts_anybody_out(
    places: Places, visit: Visit, size: tuple[int, int], scheme: str, language: str
) -> None:
    found: list[str] = []
    for somebody, paths in places.pages:
        page = visit(somebody, size=size, language=language, color_scheme=scheme, bypass_csp=True)
        for path in paths:
            page.goto(path)
            ready(page)
            if page.locator("py-samagri, py-slots").count():
                page.wait_for_load_state("networkidle")
            assert page.locator("h1").count() == 1, path
            found += faults_of(page, path)
    assert found == []


def test_the_narrowest_phone_needs_no_sideways_scrolling(places: Places, visit: Visit) -> None:
    found: list[str] = []
    for somebody, paths in places.pages:
        page = visit(somebody, size=(320, 640), language="ne")
        for path in paths:
            page.goto(path)
            ready(page)
            wider = page.evaluate(
                "document.documentElement.scrollWidth - document.documentElement.clientWidth"
            )
            if wider > 0:
                found.append(f"{path}: {wider} px too wide")
    assert found == []


def test_the_api_page_runs_under_the_strict_policy(visit: Visit) -> None:
    page = visit()
    page.goto("/api/docs/")
    page.locator(".opblock").first.wait_for()
    assert OTHERS_MARKUP[0] in page.url
