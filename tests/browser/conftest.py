"""Fixtures of the browser tests; they run apart from the asyncio tests.

site            (session)  a server process on a fresh embedded database, with people to sign in as
visit                      opens a page of its own context for somebody, watched for console errors
"""

from __future__ import annotations

import dataclasses
import itertools
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest
from playwright.sync_api import Browser, ConsoleMessage, Page, expect

from server.loopback import free_port

ROOT = Path(__file__).resolve().parents[2]
PASSWORD = "a long passphrase"
SECRET = "a-secret-for-tests-only-" + "x" * 32
FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-dev-shm-usage",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
WAIT_MS = 20_000
START_SECONDS = 300
PHONE, DESK = (390, 844), (1280, 900)
EVERY_HOUR = [
    {"weekday": day, "intervals": [{"start": "00:00", "end": "00:00"}]} for day in range(1, 8)
]


@pytest.fixture(scope="session")
def browser_type_launch_args(browser_type_launch_args: dict[str, Any]) -> dict[str, Any]:
    names = ("chromium", "chromium-browser", "google-chrome")
    found = os.environ.get("CHROMIUM") or next(filter(None, map(shutil.which, names)), None)
    if not found or not os.access(found, os.X_OK):
        reason = "no Chromium: install the Debian package chromium or set CHROMIUM=/path"
        if os.environ.get("REQUIRE_BROWSER"):
            pytest.fail(reason)
        pytest.skip(reason)
    return {
        **browser_type_launch_args,
        "executable_path": found,
        "headless": True,
        "args": FLAGS,
    }


class Site:
    """A server as a child process, whose port and data stay over a restart."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.port = free_port()
        self.base = f"http://127.0.0.1:{self.port}"
        self._process: subprocess.Popen[bytes] | None = None
        self._sandbox: subprocess.Popen[str] | None = None

    def start_sandbox(self) -> None:
        """Start the stand-ins of the payment services; their settings are the server's."""
        self._sandbox = subprocess.Popen(  # noqa: S603 - our own command line
            [
                sys.executable,
                *("-m", "server.sandbox", "--port", "0", "--site", self.base),
                *("--write-settings", str(self.folder / "sandbox")),
            ],
            cwd=ROOT,
            stdout=subprocess.PIPE,
            text=True,
        )
        assert self._sandbox.stdout
        # It says where it is once it answers.
        assert self._sandbox.stdout.readline()

    @property
    def _environ(self) -> dict[str, str]:
        plenty = dict.fromkeys(
            (
                f"PANDITYATRA_LIMITS__{name}"
                for name in (
                    "SIGN_IN",
                    "REGISTER",
                    "CODE",
                    "READ",
                    "WRITE",
                    "PAGE",
                    "REFRESH",
                    "COMPUTE",
                )
            ),
            "100000/minute",
        )
        return {
            **os.environ,
            **plenty,
            "PYTHONPATH": str(ROOT),
            "PANDITYATRA_HTTP__PORT": str(self.port),
            "PANDITYATRA_DATABASE__EMBEDDED_PATH": str(self.folder / "mongo"),
            "PANDITYATRA_FILES__PATH": str(self.folder / "files"),
            "PANDITYATRA_RECOMMENDER__PATH": str(self.folder / "models"),
            "PANDITYATRA_AUTH__SECRET": SECRET,
            "PANDITYATRA_REALTIME__RECONNECT_WINDOW_SECONDS": "0.3",
            # What is slow here is the machine.
            "PANDITYATRA_DATABASE__TIMEOUT_SECONDS": "30",
            "PANDITYATRA_DATABASE__EMBEDDED_START_SECONDS": "300",
            # And no hour of the day is too early for a puja.
            "PANDITYATRA_BOOKING__START_EARLY_MINUTES": "1440",
            "PANDITYATRA_BOOKING__TRAVEL_AHEAD_MINUTES": "1440",
            "PANDITYATRA_PAYMENT__RECONCILE_SECONDS": "1",
            # What is slow here is the machine.
            "PANDITYATRA_BOOKING__DRAFT_HOLD_MINUTES": "60",
            "PANDITYATRA_BOOKING__DRAFT_HOLD_MOST_MINUTES": "120",
            "PANDITYATRA_LIMITS__PAY": "100000/minute",
            "PANDITYATRA_LIMITS__CALLBACK": "100000/minute",
            "PANDITYATRA_CONFIG": str(self.folder / "sandbox" / "settings.toml"),
        }

    def start(self) -> None:
        """Start the server and wait until it is ready."""
        with (self.folder / "server.log").open("ab") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "server", "serve"],
                cwd=self.folder,
                env=self._environ,
                stdout=log,
                stderr=log,
            )
        deadline = time.monotonic() + START_SECONDS
        while time.monotonic() < deadline:
            if self._process.poll() is not None:
                break
            try:
                if httpx.get(f"{self.base}/readyz", timeout=2.0).status_code == 200:
                    return
            except httpx.HTTPError:
                pass
            # The one place that waits by the clock: there is nothing yet that could tell.
            time.sleep(0.1)
        pytest.fail((self.folder / "server.log").read_text()[-4000:])

    def kill(self) -> None:
        """End the server in the middle of whatever it does."""
        assert self._process is not None
        self._process.send_signal(signal.SIGKILL)
        self._process.wait(30)

    def stop(self) -> None:
        """End the server as a system does."""
        if self._process is not None and self._process.poll() is None:
            self._process.terminate()
            self._process.wait(60)
        if self._sandbox is not None:
            self._sandbox.terminate()
            self._sandbox.wait(30)
            if self._sandbox.stdout:
                self._sandbox.stdout.close()

    def create_admin(self, phone: str) -> None:
        """Make an administrator, by the command line; the server must not run meanwhile."""
        subprocess.run(  # noqa: S603 - our own command line
            [sys.executable, "-m", "server", "create-admin", "--phone", phone, "--name", "Admin"],
            cwd=self.folder,
            env={**self._environ, "PANDITYATRA_HTTP__PORT": "0", "ADMIN_PASSWORD": PASSWORD},
            check=True,
            capture_output=True,
        )


@dataclasses.dataclass
class Somebody:
    """An account of the site, with an API client for what a test does not click."""

    name: str
    phone: str
    api: httpx.Client
    pandit_id: str = ""
    service_id: str = ""


class Town:
    """The site and the people in it."""

    def __init__(self, site: Site) -> None:
        self.site = site
        self._numbers = itertools.count(9_810_000_001)
        self.admin_phone = "9800000000"

    @property
    def base(self) -> str:
        return self.site.base

    def sign_in(self, name: str, phone: str) -> Somebody:
        client = httpx.Client(base_url=self.base, timeout=30.0)
        answer = client.post(
            "/api/auth/token/", json={"identifier": phone, "password": PASSWORD}
        ).raise_for_status()
        client.headers["Authorization"] = f"Bearer {answer.json()['access']}"
        return Somebody(name, phone, client)

    def person(self, name: str, role: str = "user") -> Somebody:
        """A new account."""
        phone = str(next(self._numbers))
        body = {"full_name": name, "phone_number": phone, "password": PASSWORD, "role": role}
        httpx.post(f"{self.base}/api/auth/register/", json=body, timeout=30.0).raise_for_status()
        return self.sign_in(name, phone)

    def pandit(self, name: str, puja_id: str = "satyanarayan-puja") -> Somebody:
        """A new pandit, approved, with one service on every day of the week."""
        pandit = self.person(name, "pandit")
        pandit.pandit_id = pandit.api.get("/api/pandits/me/").json()["id"]
        place = {
            "area": "Lazimpat",
            "city": "Kathmandu",
            "address": "House 12",
            "point": {"latitude": 27.7215, "longitude": 85.3206},
        }
        pandit.api.patch(
            "/api/pandits/me/", json={"expertise": [puja_id], "location": place}
        ).raise_for_status()
        pandit.api.put(
            "/api/pandits/me/availability/", json={"weekly": EVERY_HOUR}
        ).raise_for_status()
        offer = {
            "puja_id": puja_id,
            "name": "Satyanarayan Puja",
            "name_ne": "सत्यनारायण पूजा",
            "duration_minutes": 120,
            "price": 250_000,
        }
        service = pandit.api.post("/api/services/", json=offer).raise_for_status()
        pandit.service_id = service.json()["id"]
        admin = self.sign_in("Admin", self.admin_phone)
        admin.api.post(
            f"/api/admin/pandits/{pandit.pandit_id}/verify/", json={"decision": "approve"}
        ).raise_for_status()
        return pandit

    def book(self, family: Somebody, pandit: Somebody, days: int = 20, **wish: Any) -> str:
        """Book the pandit's service so many days from now, at nine; returns the booking's id."""
        today = date.fromisoformat(family.api.get("/api/auth/me/").json()["created_at"][:10])
        booking = family.api.post(
            "/api/bookings/",
            json={
                "service_id": pandit.service_id,
                "booking_date": (today + timedelta(days=days)).isoformat(),
                "booking_time": "09:00",
                "service_location": "ONLINE",
                **wish,
            },
        )
        found: str = booking.raise_for_status().json()["id"]
        return found

    def move(self, pandit: Somebody, booking_id: str, *moves: str) -> None:
        """Let the pandit accept, start, complete."""
        for move in moves:
            pandit.api.post(f"/api/bookings/{booking_id}/{move}/", json={}).raise_for_status()

    def hold_puja(self, family: Somebody, pandit: Somebody) -> str:
        """A puja that is over: booked for the next free time, begun and completed."""
        self.open_all_hours(pandit)
        booking_id = self.book_soon(family, pandit)
        self.move(pandit, booking_id, "accept", "start", "complete")
        return booking_id

    def open_all_hours(self, pandit: Somebody) -> None:
        """Let the pandit be free at every hour, and at once."""
        hours = {"weekly": EVERY_HOUR, "lead_minutes": 0, "buffer_minutes": 0}
        pandit.api.put("/api/pandits/me/availability/", json=hours).raise_for_status()

    def book_soon(self, family: Somebody, pandit: Somebody, **wish: Any) -> str:
        """Book the first time that is free, today or tomorrow."""
        today = date.fromisoformat(pandit.api.get("/api/pandits/me/").json()["updated_at"][:10])
        free: list[dict[str, str]] = []
        for day in (today, today + timedelta(days=1)):
            slots = family.api.get(
                "/api/booking-slots/available-slots/",
                params={"service_id": pandit.service_id, "date": day.isoformat()},
            ).raise_for_status()
            free = [slot for slot in slots.json()["slots"] if slot["available"]]
            if free:
                break
        wish |= {"booking_date": free[0]["date"], "booking_time": free[0]["time"]}
        return self.book(family, pandit, 0, **wish)

    def review(self, family: Somebody, booking_id: str, words: str) -> None:
        """Write a review, which waits for a moderator."""
        stars = dict.fromkeys(("rating", "professionalism", "knowledge", "punctuality"), 5)
        family.api.post(
            f"/api/bookings/{booking_id}/review/", json={**stars, "comment": words}
        ).raise_for_status()

    def pay(self, family: Somebody, booking_id: str) -> str:
        """Pay a booking at Khalti's stand-in; returns the payment's id."""
        body = {"booking_id": booking_id, "payment_method": "KHALTI"}
        begun = family.api.post("/api/payments/", json=body).raise_for_status().json()
        back = httpx.post(begun["action"]["url"], data={"action": "pay"}, timeout=30.0)
        # The return settles it: the server asks Khalti before it answers.
        family.api.get(back.headers["Location"])
        found: str = begun["id"]
        return found

    def give_back(self, family: Somebody, pandit: Somebody) -> str:
        """A booking that was paid and cancelled, its money back; returns the payment's id."""
        booking_id = self.book(family, pandit, payment_method="KHALTI")
        payment_id = self.pay(family, booking_id)
        family.api.post(f"/api/bookings/{booking_id}/cancel/", json={}).raise_for_status()
        status, deadline = "", time.monotonic() + WAIT_MS / 1000
        while time.monotonic() < deadline:
            payment = family.api.get(f"/api/payments/{payment_id}/").raise_for_status().json()
            if (status := payment["status"]) == "REFUNDED":
                return f"b-{booking_id}"
            # It goes back behind the answer; nothing tells a client of the API but asking.
            time.sleep(0.05)
        pytest.fail(f"not given back: {status}")


@pytest.fixture(scope="session")
def town(
    tmp_path_factory: pytest.TempPathFactory, browser_type_launch_args: dict[str, Any]
) -> Iterator[Town]:
    # It asks for the browser's arguments so that without a browser no server is started.
    site = Site(tmp_path_factory.mktemp("site"))
    found = Town(site)
    try:
        site.start_sandbox()
        site.create_admin(found.admin_phone)
        site.start()
        yield found
    finally:
        site.stop()


Visit = Callable[..., Page]


@pytest.fixture
def visit(browser: Browser, town: Town) -> Iterator[Visit]:
    """Opens a page for somebody; at the end no console may have shown an error."""
    yield from visits(browser, town)


def visits(browser: Browser, town: Town) -> Iterator[Visit]:
    """What the fixture does, for fixtures of another scope."""
    contexts: list[Any] = []
    faults: list[str] = []
    expect.set_options(timeout=WAIT_MS)

    def heard(message: ConsoleMessage) -> None:
        if message.type == "error":
            faults.append(f"{message.location.get('url', '')}: {message.text}")

    def open_page(
        somebody: Somebody | None = None,
        *,
        size: tuple[int, int] = DESK,
        language: str = "en",
        **options: Any,
    ) -> Page:
        width, height = size
        context = browser.new_context(
            viewport={"width": width, "height": height},
            base_url=town.base,
            locale="ne-NP" if language == "ne" else "en-GB",
            timezone_id="Asia/Kathmandu",
            **options,
        )
        contexts.append(context)
        context.set_default_timeout(WAIT_MS)
        context.add_cookies([{"name": "lang", "value": language, "url": town.base}])
        page = context.new_page()
        page.on("console", heard)
        page.on("pageerror", lambda error: faults.append(str(error)))
        if somebody is not None:
            page.goto("/sign-in/")
            page.locator("#identifier").fill(somebody.phone)
            page.locator("#password").fill(PASSWORD)
            page.locator("main form button").click()
            page.wait_for_url(lambda url: "/sign-in/" not in url)
            if language != "en":
                page.goto(f"/?lang={language}")
        page.faults = faults  # type: ignore[attr-defined]  # tests that break the line forgive some
        return page

    yield open_page
    for context in contexts:
        context.close()
    assert not faults


def ready(page: Page) -> Page:
    """The page, once its elements are alive."""
    page.locator("html[data-ready=yes]").wait_for(state="attached")
    return page
