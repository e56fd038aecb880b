"""Takes the pictures of the ten main screens: ``make screenshots``.

Starts a demo of its own in a folder of its own, whose town is the same in every run but for the day
on which it runs, does what people do before they see these screens, and writes ``docs/screens``.
Needs Chromium: the Debian package, or ``CHROMIUM=/path``.
"""

from __future__ import annotations

import base64
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Literal

import httpx
from playwright.sync_api import Browser, Page, sync_playwright

from server.loopback import free_port

ROOT: Final = Path(__file__).resolve().parent.parent
SCREENS: Final = ROOT / "docs" / "screens"
PASSWORD: Final = "namaste-nepal"  # noqa: S105  # the demo's, printed at its start
CUSTOMER, PANDIT, ADMIN = "9800000001", "9800000002", "9800000003"
PUJA: Final = "satyanarayan-puja"
FLAGS: Final = ["--no-sandbox", "--disable-gpu", "--disable-background-networking"]
QUALITY: Final = 80
WAIT_MS: Final = 60_000
SETTLED: Final = """() => document.documentElement.dataset.ready === "yes"
  && !document.querySelector("main [aria-busy=true], main .skeleton")"""


@dataclass(frozen=True)
class Paper:
    """What a picture is taken of: a window of so many pixels, drawn so many times finer."""

    width: int
    height: int
    scale: float


PHONE: Final = Paper(390, 844, 2.0)
DESK: Final = Paper(1280, 860, 1.0)


@dataclass(frozen=True)
class Screen:
    """One picture. ``path`` may name what :func:`prepare` makes; ``act`` comes before it."""

    name: str
    path: str
    paper: Paper
    language: Literal["en", "ne"] = "en"
    who: str = ""
    scheme: Literal["light", "dark"] = "light"
    act: Callable[[Page], None] | None = None


def choose_time(page: Page) -> None:
    """Take a free time in the second step of the wizard."""
    page.locator("main form.summary .actions button").first.click()
    page.wait_for_url("**/date/**")
    page.wait_for_function(SETTLED)
    page.locator("py-slots label.slot:has(input:enabled)").first.click()


def show_from(selector: str) -> Callable[[Page], None]:
    """Scroll so that this part of the page stands at the top."""

    def act(page: Page) -> None:
        page.locator(selector).first.evaluate("each => each.scrollIntoView({ block: 'start' })")

    return act


SCREEN_LIST: Final = (
    Screen("home", "/", PHONE),
    Screen("search", f"/pandits/?puja_id={PUJA}&place=Kathmandu&radius_km=25", DESK),
    Screen("pandit", "/pandits/{pandit}/", PHONE, "ne", CUSTOMER),
    Screen("wizard", "/book/{service}/", DESK, "ne", CUSTOMER, act=choose_time),
    Screen("samagri", "/bookings/{booking}/", DESK, "en", CUSTOMER, act=show_from("#samagri")),
    Screen("payment", "/payments/{payment}/", PHONE, "ne", CUSTOMER),
    Screen("chat", "/chats/{room}/", PHONE, "en", CUSTOMER, scheme="dark"),
    Screen("kundali", "/kundali/{chart}/", DESK, "ne", CUSTOMER),
    Screen("dashboard", "/dashboard/", DESK, "en", PANDIT),
    Screen("analytics", "/admin/analytics/", DESK, "ne", ADMIN, scheme="dark"),
)


@contextmanager
def running_demo(folder: Path) -> Iterator[str]:
    """A demo that keeps everything in ``folder``; its address."""
    port = free_port()
    process = subprocess.Popen(  # our own command line
        [sys.executable, "-m", "server", "demo", "--port", str(port)],
        cwd=folder,
        env={
            **os.environ,
            "PYTHONPATH": str(ROOT),
            # Whatever else the machine does.
            "PANDITYATRA_DATABASE__TIMEOUT_SECONDS": "60",
            "PANDITYATRA_DATABASE__EMBEDDED_START_SECONDS": "300",
        },
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        if process.stdout is None:
            raise RuntimeError("a pipe was asked for")
        for line in process.stdout:
            if "is ready" in line:
                break
        else:
            raise RuntimeError("the demo did not start")
        yield f"http://127.0.0.1:{port}"
    finally:
        process.terminate()
        process.wait(60)


def signed_in(base: str, phone: str) -> httpx.Client:
    """An API client of one of the demo's people."""
    who = {"identifier": phone, "password": PASSWORD}
    answer = httpx.post(f"{base}/api/auth/token/", json=who, timeout=60).raise_for_status()
    headers = {"Authorization": f"Bearer {answer.json()['access']}"}
    return httpx.Client(base_url=base, timeout=60, headers=headers)


def prepare(base: str) -> dict[str, str]:
    """Do what people do before they see these screens; the names in the paths."""
    with signed_in(base, CUSTOMER) as api:

        def ask(method: str, path: str, **more: Any) -> Any:
            return api.request(method, path, **more).raise_for_status().json()

        found = ask("GET", "/api/pandits/", params={"puja_id": PUJA, "limit": 1})["results"][0]
        profile = ask("GET", f"/api/pandits/{found['id']}/")
        service = next(each for each in profile["services"] if each["puja_id"] == PUJA)
        slot = found["next_free_slot"]["start"]
        booking = ask(
            "POST",
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
        wanted = {"booking_id": booking["id"], "payment_method": "KHALTI"}
        chart = ask(
            "POST",
            "/api/kundali/",
            json={
                "name": "माया",
                "date_of_birth": "1990-05-15",
                "time_of_birth": "06:20",
                "place_of_birth": "Pokhara",
            },
        )
        return {
            "pandit": found["id"],
            "service": service["id"],
            "booking": booking["id"],
            "payment": ask("POST", "/api/payments/", json=wanted)["id"],
            "room": ask("GET", "/api/chat/rooms/")["results"][0]["id"],
            "chart": chart["id"],
        }


def open_page(browser: Browser, base: str, screen: Screen) -> Page:
    """A page of its own, with whoever looks at it signed in."""
    context = browser.new_context(
        base_url=base,
        viewport={"width": screen.paper.width, "height": screen.paper.height},
        device_scale_factor=screen.paper.scale,
        locale="ne-NP" if screen.language == "ne" else "en-GB",
        timezone_id="Asia/Kathmandu",
        color_scheme=screen.scheme,
        reduced_motion="reduce",
    )
    context.set_default_timeout(WAIT_MS)
    context.add_cookies([{"name": "lang", "value": screen.language, "url": base}])
    page = context.new_page()
    if screen.who:
        page.goto("/sign-in/")
        page.locator("#identifier").fill(screen.who)
        page.locator("#password").fill(PASSWORD)
        page.locator("main form button").click()
        page.wait_for_url(lambda url: "/sign-in/" not in url)
    return page


def take(browser: Browser, base: str, screen: Screen, names: dict[str, str]) -> Path:
    """Take one picture; where it was written."""
    page = open_page(browser, base, screen)
    path = screen.path.format(**names)
    page.goto(f"{path}{'&' if '?' in path else '?'}lang={screen.language}")
    page.wait_for_function(SETTLED)
    if screen.act is not None:
        screen.act(page)
    page.evaluate("document.fonts.ready.then(() => null)")
    # Chromium itself writes WebP, at a fifth of what a PNG takes.
    tools = page.context.new_cdp_session(page)
    taken = tools.send("Page.captureScreenshot", {"format": "webp", "quality": QUALITY})
    file = SCREENS / f"{screen.name}.webp"
    file.write_bytes(base64.b64decode(taken["data"]))
    page.context.close()
    return file


def main() -> int:
    """Write the pictures; returns the exit status."""
    found = (shutil.which(name) for name in ("chromium", "chromium-browser", "google-chrome"))
    chromium = os.environ.get("CHROMIUM") or next(filter(None, found), None)
    if chromium is None:
        print("No Chromium: install the Debian package chromium or set CHROMIUM=/path.")
        return 1
    SCREENS.mkdir(parents=True, exist_ok=True)
    with (
        tempfile.TemporaryDirectory() as folder,
        running_demo(Path(folder)) as base,
        sync_playwright() as playwright,
    ):
        names = prepare(base)
        browser = playwright.chromium.launch(executable_path=chromium, args=FLAGS)
        for screen in SCREEN_LIST:
            file = take(browser, base, screen, names)
            print(f"{file.relative_to(ROOT)}: {file.stat().st_size // 1024} KiB")
        browser.close()
    return 0


if __name__ == "__main__":
    sys.exit(main())
